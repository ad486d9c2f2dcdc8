"""The files of the catalog: what one says of a library, checked against the schema.

A program uses a few dozen of the hundreds of tables in a file. `read` therefore only finds out which table describes which path
and looks for misspelt fields, roles and operations; a table is parsed and checked as a whole when one of its paths is first
looked up. `parse` checks all of them at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mllint_bio.catalog.schema import FIELDS, METHOD_FIELDS, OPERATIONS, ROLES, CatalogError, check_callable, check_method

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, eq=False)
class Entry:
    """One callable of a library: its dotted path, its role and the role's fields."""

    path: str
    role: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def is_a(self, *roles: str) -> bool:
        """Whether the role is one of these or below one of them."""
        return any(self.role == role or self.role.startswith(role + ".") for role in roles)

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or the default."""
        return self.fields.get(name, default)

    @property
    def params(self) -> list[str]:
        """Names of the positional parameters."""
        return self.fields.get("params") or []


@dataclass(frozen=True, eq=False)
class Method:
    """A method (or attribute) of data objects."""

    name: str
    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or the default."""
        return self.fields.get(name, default)


T = TypeVar("T")


class Tables(Mapping[str, T], Generic[T]):
    """What the tables of one kind describe, by name; a table is parsed when one of its names is first looked up.

    Raises CatalogError for a name that two tables describe, and on first use for a table that does not follow the schema.
    """

    def __init__(
        self,
        texts: Sequence[tuple[str, str]],
        names: Callable[[str], Iterator[str]],
        make: Callable[[str, str], Callable[[str], T]],
    ) -> None:
        """texts: (where it stands, text) of each table; names: what a text describes; make(where, text): makes one of them."""
        self._texts, self._make = texts, make
        self._number: dict[str, int] = {}
        for number, (where, text) in enumerate(texts):
            for name in names(text):
                if name in self._number:
                    raise CatalogError(f"{where}: {name} is described twice")
                self._number[name] = number
        self._makers: dict[int, Callable[[str], T]] = {}
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        known = self._made.get(name)
        if known is None:
            known = self._made[name] = self._maker(self._number[name])(name)
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(self._number)

    def __len__(self) -> int:
        return len(self._number)

    def __contains__(self, name: object) -> bool:
        return name in self._number

    def _maker(self, number: int) -> Callable[[str], T]:
        if number not in self._makers:
            self._makers[number] = self._make(*self._texts[number])
        return self._makers[number]

    def same_table(self, one: str, other: str) -> bool:
        """Whether one table describes both names."""
        return self._number[one] == self._number[other]

    def containing(self, mark: str) -> Iterator[T]:
        """What those tables describe whose text contains the mark."""
        return (self[name] for name, number in self._number.items() if mark in self._texts[number][1])

    def check(self) -> None:
        """Parse every table. Raises CatalogError for the first that does not follow the schema."""
        for number in range(len(self._texts)):
            self._maker(number)


@dataclass(frozen=True, eq=False)
class Library:
    """One catalog file."""

    name: str
    imports: tuple[str, ...]
    verified: str
    entries: Tables[Entry]
    methods: Tables[Method]
    aliases: Mapping[str, str]


_HEADER = re.compile(r"^\[[^\n]*\n?", re.MULTILINE)
_PATHS = re.compile(r"""^paths?\s*=\s*(\[[^\]]*\]|"[^"\n]*")""", re.MULTILINE)
_NAMES = re.compile(r"^names\s*=\s*(\[[^\]]*\])", re.MULTILINE)
_STRING = re.compile(r'"([^"\n]*)"')
_FIELD = re.compile(r"^(\w+)\s*=", re.MULTILINE)
_ROLE = re.compile(r'^role\s*=\s*"([^"\n]*)"', re.MULTILINE)
_OPERATION = re.compile(r'^op\s*=\s*"([^"\n]*)"', re.MULTILINE)
_KNOWN = frozenset({"name", "imports", "verified", "note", *FIELDS, *METHOD_FIELDS})
_CHOICE = re.compile(r"\{([^{}]*)\}")


def parse(name: str, text: str) -> Library:
    """A library from the text of its TOML file, all of it checked. Raises CatalogError when it does not follow the schema."""
    _toml(name, text)
    made = _divided(name, text)
    made.entries.check()
    made.methods.check()
    return made


def read(name: str, text: str) -> Library:
    """A library from the text of its TOML file. Raises CatalogError for what is misspelt; values are checked when needed."""
    roles = {role for role in _ROLE.findall(text) if role not in ROLES and role.rsplit(".", 1)[0] not in ROLES}
    if roles or not (_KNOWN.issuperset(_FIELD.findall(text)) and OPERATIONS.keys() >= set(_OPERATION.findall(text))):
        return parse(name, text)  # which says where
    return _divided(name, text)


def _divided(name: str, text: str) -> Library:
    headers = [*_HEADER.finditer(text)]
    head = text[: headers[0].start() if headers else len(text)]
    texts: dict[str, list[str]] = {"[[callable]]": [], "[[method]]": []}
    ends = [*(header.start() for header in headers[1:]), len(text)]
    for header, end in zip(headers, ends, strict=True):
        kind = header.group().strip()
        if kind in texts:
            texts[kind].append(text[header.end() : end])
        elif kind.startswith("[library"):
            head += text[header.start() : end]
        else:
            raise CatalogError(f"{name}: unknown table {kind.strip('[]')!r}")
    library = _toml(name, head).get("library", {})
    wrong = set(library) - {"name", "imports", "verified", "aliases", "note"}
    if wrong or not library.get("imports"):
        raise CatalogError(f"{name}: [library] needs name, imports, verified and may have aliases (found {sorted(library)})")
    callables = [
        (f"{name}: callable {n} ({next(_paths(table), '?')})", table) for n, table in enumerate(texts["[[callable]]"], 1)
    ]
    methods = [(f"{name}: method {n} ({', '.join(_names(table))})", table) for n, table in enumerate(texts["[[method]]"], 1)]
    return Library(
        library.get("name", name),
        tuple(library["imports"]),
        library.get("verified", ""),
        Tables(callables, _paths, _entries),
        Tables(methods, _names, _methods),
        library.get("aliases", {}),
    )


def _toml(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{name}: {error}") from error


def _paths(table: str) -> Iterator[str]:
    found = _PATHS.search(table)
    for pattern in _STRING.findall(found.group(1)) if found else ():
        yield from _expand(pattern)


def _names(table: str) -> Iterator[str]:
    found = _NAMES.search(table)
    yield from _STRING.findall(found.group(1)) if found else ()


def _expand(path: str) -> Iterator[str]:
    match = _CHOICE.search(path) if "{" in path else None
    if not match:
        yield path
        return
    for choice in match.group(1).split(","):
        yield from _expand(path[: match.start()] + choice.strip() + path[match.end() :])


def _entries(where: str, text: str) -> Callable[[str], Entry]:
    table = _toml(where, text)
    check_callable(where, table)
    fields = {key: value for key, value in table.items() if key not in ("path", "paths", "role")}
    return lambda path: Entry(path, table["role"], fields)


def _methods(where: str, text: str) -> Callable[[str], Method]:
    table = _toml(where, text)
    check_method(where, table)
    fields = {key: value for key, value in table.items() if key not in ("names", "op")}
    return lambda name: Method(name, table["op"], fields)
