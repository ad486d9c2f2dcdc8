"""What third-party APIs mean: one TOML file a library, loaded when a program imports the library.

>>> entry = lookup("sklearn.preprocessing.StandardScaler")
>>> entry.role
'fitted-transform.scale'

Both interpreters read the same entries: the static one to know what a call means, the probes to know what to wrap. The fields
are described in `mllint_bio.catalog.schema`.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources

from mllint_bio.catalog.files import Entry, Library, Method, parse, read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Entry", "Library", "Method", "parse"]


@cache
def _index() -> dict[str, str]:
    """Top-level import name -> catalog file, read from `index.toml` so that no other file is opened before it is needed."""
    text = resources.files(__name__).joinpath("index.toml").read_text(encoding="utf-8")
    return {name: file for file, names in tomllib.loads(text)["files"].items() for name in names}


@cache
def library(file: str) -> Library:
    """The library described by `file` (a name such as `sklearn`)."""
    return read(f"{file}.toml", _text(file))


@cache
def _text(file: str) -> str:
    return resources.files(__name__).joinpath(f"{file}.toml").read_text(encoding="utf-8")


def with_role(role: str) -> list[Entry]:
    """All entries of a role or of one below it. Only tables that name it are parsed."""
    mark = f'"{role}'
    named = (library(file).entries.containing(mark) for file in files() if mark in _text(file))
    return [entry for entries in named for entry in entries if entry.is_a(role)]


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
    if path.count(".") < 2:
        return None
    namesake = _by_last_name(file).get((path.split(".", 1)[0], path.rsplit(".", 1)[-1]))
    return described.entries[namesake] if namesake else None


@cache
def _by_last_name(file: str) -> dict[tuple[str, str], str]:
    entries = library(file).entries
    found: dict[tuple[str, str], str] = {}
    for path in entries:
        key = (path.split(".", 1)[0], path.rsplit(".", 1)[-1])
        known = found.get(key)
        found[key] = path if known is None or known and entries.same_table(known, path) else ""
    # lower-case names (`train`, `split`, `fit`) are too common to be recognised outside their module
    return {key: path for key, path in found.items() if path and key[1][:1].isupper()}


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
