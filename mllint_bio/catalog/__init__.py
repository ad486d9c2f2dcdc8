"""What third-party APIs mean: one TOML file a library, loaded when a program imports the library.

>>> entry = lookup("sklearn.preprocessing.StandardScaler")
>>> entry.role
'fitted-transform.scale'

Both interpreters read the same entries: the static one to know what a call means, the probes to know what to wrap. The fields
are described in `mllint_bio.catalog.schema`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from mllint_bio.catalog.schema import CatalogError, check_callable, check_method

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


@dataclass(frozen=True, eq=False)
class Library:
    """One catalog file."""

    name: str
    imports: tuple[str, ...]
    verified: str
    entries: Mapping[str, Entry]
    methods: Mapping[str, Method]
    aliases: Mapping[str, str]


def _expand(path: str) -> Iterator[str]:
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        yield path
        return
    for choice in match.group(1).split(","):
        yield from _expand(path[: match.start()] + choice.strip() + path[match.end() :])


def parse(name: str, text: str) -> Library:
    """A library from the text of its TOML file. Raises CatalogError when the text does not follow the schema."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{name}: {error}") from error
    unknown = set(raw) - {"library", "callable", "method"}
    if unknown:
        raise CatalogError(f"{name}: unknown table {sorted(unknown)[0]!r}")
    head = raw.get("library", {})
    wrong = set(head) - {"name", "imports", "verified", "aliases", "note"}
    if wrong or not head.get("imports"):
        raise CatalogError(f"{name}: [library] needs name, imports, verified and may have aliases (found {sorted(head)})")
    entries: dict[str, Entry] = {}
    for number, table in enumerate(raw.get("callable", []), 1):
        where = f"{name}: callable {number} ({table.get('path') or (table.get('paths') or ['?'])[0]})"
        check_callable(where, table)
        fields = {k: v for k, v in table.items() if k not in ("path", "paths", "role")}
        for pattern in table.get("paths") or [table["path"]]:
            for path in _expand(pattern):
                if path in entries:
                    raise CatalogError(f"{where}: {path} is described twice")
                entries[path] = Entry(path, table["role"], fields)
    methods: dict[str, Method] = {}
    for number, table in enumerate(raw.get("method", []), 1):
        check_method(f"{name}: method {number} ({table.get('names')})", table)
        fields = {k: v for k, v in table.items() if k not in ("names", "op")}
        for method in table["names"]:
            if method in methods:
                raise CatalogError(f"{name}: method {method} is described twice")
            methods[method] = Method(method, table["op"], fields)
    return Library(
        head.get("name", name), tuple(head["imports"]), head.get("verified", ""), entries, methods, head.get("aliases", {})
    )


@cache
def _index() -> dict[str, str]:
    """Top-level import name -> catalog file, read from `index.toml` so that no other file is opened before it is needed."""
    text = resources.files(__name__).joinpath("index.toml").read_text(encoding="utf-8")
    return {name: file for file, names in tomllib.loads(text)["files"].items() for name in names}


@cache
def library(file: str) -> Library:
    """The library described by `file` (a name such as `sklearn`)."""
    return parse(f"{file}.toml", _text(file))


@cache
def _text(file: str) -> str:
    return resources.files(__name__).joinpath(f"{file}.toml").read_text(encoding="utf-8")


def naming(role: str) -> list[str]:
    """The catalog files whose text names a role (or one below it): the others need not be parsed to know that."""
    return [file for file in files() if f'"{role}' in _text(file)]


def files() -> list[str]:
    """Names of all catalog files."""
    return sorted(set(_index().values()))


def file_of(top_level: str) -> str | None:
    """Name of the catalog file that describes the package with this top-level import name."""
    return _index().get(top_level)


def catalogued(top_level: str) -> bool:
    """Whether some catalog file describes the package with this top-level import name."""
    return top_level in _index()


def import_names() -> frozenset[str]:
    """Top-level import names of all described libraries."""
    return frozenset(_index())


@cache
def canonical(path: str) -> str:
    """The dotted path after aliases: the name under which the catalog describes it, if it does."""
    file = _index().get(path.split(".", 1)[0])
    if file is None:
        return path
    described = library(file)
    for _ in range(3):
        if path in described.entries:
            return path
        for old, new in described.aliases.items():
            if path == old or path.startswith(old + "."):
                path = new + path[len(old) :]
                break
        else:
            return path
        if path.split(".", 1)[0] not in described.imports:
            return canonical(path)
    return path


@cache
def lookup(path: str) -> Entry | None:
    """The entry for a dotted path, after aliases; None if it is not catalogued.

    Libraries re-export: a path that differs from a described one only in the middle (`sklearn.linear_model._base.Ridge`,
    `torch.utils.data.dataloader.DataLoader`) is found by its top-level package and last name when that is unambiguous.
    """
    path = canonical(path)
    file = _index().get(path.split(".", 1)[0])
    if file is None:
        return None
    described = library(file)
    found = described.entries.get(path)
    if found is not None:
        return found
    return _by_last_name(file).get((path.split(".", 1)[0], path.rsplit(".", 1)[-1])) if path.count(".") >= 2 else None


@cache
def _by_last_name(file: str) -> dict[tuple[str, str], Entry]:
    found: dict[tuple[str, str], Entry | None] = {}
    for path, entry in library(file).entries.items():
        key = (path.split(".", 1)[0], path.rsplit(".", 1)[-1])
        known = found.get(key)
        if key in found and (known is None or known.fields is not entry.fields):
            found[key] = None
        else:
            found[key] = entry
    # lower-case names (`train`, `split`, `fit`) are too common to be recognised outside their module
    return {key: entry for key, entry in found.items() if entry is not None and key[1][:1].isupper()}


@cache
def method(name: str) -> Method | None:
    """What a method of a data object (table, array, tensor) does, by name; the libraries share these names."""
    for file in ("pandas", "numpy", "torch"):
        found = library(file).methods.get(name)
        if found is not None:
            return found
    return None


# Role of what learns from rows -> kind of the fact (`events.Learned`) that its output carries.
LEARNED_KINDS = {
    "fitted-transform.scale": "scale",
    "fitted-transform.discretise": "discretise",
    "fitted-transform.encode": "encode",
    "fitted-transform.label": "label",
    "fitted-transform.supervised": "supervised",
    "fitted-transform.decompose": "decompose",
    "fitted-transform.vectorise": "vectorise",
    "fitted-transform.cluster": "cluster",
    "fitted-transform.outlier": "outlier",
    "fitted-transform.representation": "representation",
    "imputer": "impute",
    "feature-selector.supervised": "selector-supervised",
    "feature-selector.unsupervised": "selector-unsupervised",
    "feature-selector": "selector-supervised",
    "column-stat-function": "scale",
    "column-stat-function.batch-correction": "batch-correction",
    "feature-score": "selector-supervised",
    "inplace-transform.learned": "omics",
    "inplace-transform.batch-correction": "batch-correction",
    "inplace-transform.conditional": "omics",
    "inplace-transform.gene-filter": "gene-filter",
}


def learned_kind(role: str) -> str:
    """Kind of the learned fact for a role: that of the role, of the role above it, or the last part of its name."""
    return LEARNED_KINDS.get(role) or LEARNED_KINDS.get(role.rpartition(".")[0], role.rpartition(".")[2] or role)
