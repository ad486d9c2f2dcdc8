"""The catalog is well formed, agrees with its index, and names only what the libraries have."""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from importlib import resources
from typing import Any

import pytest
import tomli

from mllint_bio import catalog
from mllint_bio.catalog import parse
from mllint_bio.catalog.files import read
from mllint_bio.catalog.schema import CatalogError

HEAD = '[library]\nname = "x"\nimports = ["x"]\nverified = "1"\n'

# Modules that must be imported before a name of the library can be looked up: experimental features switched on by import.
ENABLERS = {"sklearn": ("sklearn.experimental.enable_halving_search_cv", "sklearn.experimental.enable_iterative_imputer")}


@cache
def _load(module: str) -> Any:
    """A module, or None if the library has no such module. Raises ImportError when it needs another package that is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(error.name + ".")):
                return None
            raise


def _exists(path: str) -> bool:
    """Whether a dotted path leads to an object of the installed release."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = _load(".".join(parts[:length]))
        except ImportError:
            return True  # an integration with a package that is not installed here: nothing to hold against the catalog
        if found is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in parts[length:]:
                if not hasattr(found, name):
                    return False
                found = getattr(found, name)
        return True
    return False


def _index() -> dict[str, list[str]]:
    """Catalog file -> import names, as `index.toml` says."""
    files: dict[str, list[str]] = tomli.loads(resources.files(catalog).joinpath("index.toml").read_text(encoding="utf-8"))[
        "files"
    ]
    return files


FILE_OF = {name: file for file, names in _index().items() for name in names}


@pytest.mark.parametrize("file", catalog.files())
def test_every_file_parses_and_agrees_with_the_index(file: str) -> None:
    """A file follows the schema and lists exactly the import names under which the index finds it."""
    described = parse(f"{file}.toml", resources.files(catalog).joinpath(f"{file}.toml").read_text(encoding="utf-8"))
    assert described.entries
    assert described.verified
    assert sorted(described.imports) == sorted(_index()[file])


@pytest.mark.parametrize("file", catalog.files())
def test_entries_live_under_the_import_names_of_their_file(file: str) -> None:
    """No entry starts with a package that would load another file."""
    described = catalog.library(file)
    assert {path.split(".", 1)[0] for path in described.entries} <= set(described.imports)


@pytest.mark.parametrize("file", catalog.files())
def test_fields_name_parameters_that_are_listed(file: str) -> None:
    """Where positional parameters of a metric function are listed, its truth and its prediction are among them."""
    for path, entry in catalog.library(file).entries.items():
        if entry.is_a("metric") and entry.params and entry.get("form") != "object":
            for name in ("truth", "pred"):
                if entry.get(name):
                    assert entry.get(name) in entry.params, path


@pytest.mark.parametrize("file", catalog.files())
def test_aliases_point_at_something(file: str) -> None:
    """The new home of an alias is described, holds something that is, or is an old home itself."""
    for old, new in catalog.library(file).aliases.items():
        home = catalog.library(FILE_OF[new.split(".", 1)[0]])
        known = [*home.entries, *(alias for alias in home.aliases if alias != old)]
        assert any(path == new or path.startswith(new + ".") for path in known), old


@pytest.mark.parametrize("top_level", sorted(catalog.import_names()))
def test_described_names_exist(top_level: str) -> None:
    """Every described name exists in the installed release (names that were removed say so by `until`)."""
    pytest.importorskip(top_level, exc_type=ImportError)
    for module in ENABLERS.get(top_level, ()):
        importlib.import_module(module)
    described = catalog.library(FILE_OF[top_level])
    current = [path for path, entry in described.entries.items() if path.split(".", 1)[0] == top_level and not entry.get("until")]
    assert current or any(old.split(".", 1)[0] == top_level for old in described.aliases)  # a second name may only lead elsewhere
    assert [path for path in current if not _exists(path)] == []


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('[[callable]]\npath = "x.f"\nrole = "estimtor"', "unknown role 'estimtor'"),
        ('[[callable]]\npath = "x.f"\nrole = "fitted-transform.scale.more"\n', None),
        ('[[callable]]\npath = "x.f"\nrole = "estimator"\ntaks = "classifier"', "unknown field 'taks'"),
        ('[[callable]]\npath = "x.f"\nrole = "array"\nop = "shufle"', "field 'op' has a wrong value 'shufle'"),
        ('[[callable]]\npath = "x.f"\nrole = "array"', "role array needs op"),
        ('[[callable]]\npath = "x.f"\nrole = "seed"\nstreams = ["nunpy"]', "field 'streams' has a wrong value"),
        ('[[callable]]\npath = "x.f"\nrole = "draw"\ndraws = [{ stream = "nunpy" }]', "field 'draws' has a wrong value"),
        (
            '[[callable]]\npath = "x.f"\nrole = "draw"\ndraws = [{ stream = "numpy", at = "never" }]',
            "field 'draws' has a wrong value",
        ),
        ('[[callable]]\npath = "x.f"\nrole = "seed"\nsymmetric = true', "field 'symmetric' does not belong to role 'seed'"),
        ('[[callable]]\nrole = "seed"', "needs exactly one of path and paths"),
        ('[[callable]]\npath = "x.f"\nrole = "ignore"\n[[callable]]\npath = "x.f"\nrole = "ignore"', "x.f is described twice"),
        ('[[callable]]\npaths = ["x.{f,g}", "x.g"]\nrole = "ignore"', "x.g is described twice"),
        ('[[method]]\nnames = ["mean"]\nop = "avarage"', "field 'op' has a wrong value 'avarage'"),
        ('[[method]]\nnames = ["mean"]', "a method needs names and op"),
        ('[[method]]\nnames = ["mean"]\nop = "stat"\nrole = "array"', "unknown field 'role'"),
        ('[[method]]\nnames = ["mean", "mean"]\nop = "stat"', "mean is described twice"),
        ("[[function]]\n", "unknown table 'function'"),
        ("[[callable]\n", "x.toml"),
    ],
)
def test_the_schema_rejects_misspellings(table: str, complaint: str | None) -> None:
    """A misspelt role, field, operation, stream or table is an error that names it; refined roles are not misspelt."""
    if complaint is None:
        assert parse("x.toml", HEAD + table).entries
        return
    with pytest.raises(CatalogError) as error:
        parse("x.toml", HEAD + table)
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    "table",
    [
        '[[callable]]\npath = "x.f"\nrole = "estimtor"',
        '[[callable]]\npath = "x.f"\nrole = "estimator"\ntaks = "classifier"',
        '[[callable]]\npath = "x.f"\nrole = "array"\nop = "shufle"',
        '[[method]]\nnames = ["mean"]\nop = "avarage"',
        '[[callable]]\npath = "x.f"\nrole = "ignore"\n[[callable]]\npath = "x.f"\nrole = "ignore"',
        "[[function]]\n",
    ],
)
def test_misspellings_are_rejected_at_load(table: str) -> None:
    """A file with a misspelt role, field, operation or table is not loaded, whether or not its entries are asked for."""
    with pytest.raises(CatalogError):
        read("x.toml", HEAD + table)


def test_values_are_checked_on_first_use() -> None:
    """A field of the wrong form is an error when the entry is first looked up; the other entries can be used."""
    good, bad = '[[callable]]\npath = "x.g"\nrole = "ignore"\n', '[[callable]]\npath = "x.f"\nrole = "estimator"\nparams = 3\n'
    described = read("x.toml", HEAD + good + bad)
    assert described.entries["x.g"].role == "ignore"
    with pytest.raises(CatalogError):
        described.entries["x.f"]


@pytest.mark.parametrize("head", ['[library]\nname = "x"', '[library]\nimports = ["x"]\nversion = "1"'])
def test_the_head_is_checked(head: str) -> None:
    """A file without import names, or with an unknown head field, is rejected."""
    with pytest.raises(CatalogError):
        parse("x.toml", head)


def test_braces_expand_to_several_entries() -> None:
    """One pattern describes the product of its alternatives."""
    described = parse("x.toml", HEAD + '[[callable]]\npaths = ["x.{a,b}.{c,d}"]\nrole = "ignore"')
    assert set(described.entries) == {"x.a.c", "x.a.d", "x.b.c", "x.b.d"}


@pytest.mark.parametrize(
    ("path", "described"),
    [
        ("sklearn.cross_validation.train_test_split", "sklearn.model_selection.train_test_split"),
        ("sklearn.grid_search.GridSearchCV", "sklearn.model_selection.GridSearchCV"),
        ("sklearn.lda.LDA", "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"),
        ("sklearn.externals.joblib.dump", "joblib.dump"),
        ("sklearn.metrics._classification.f1_score", "sklearn.metrics.f1_score"),
        ("tqdm.auto.tqdm", "tqdm.tqdm"),
        ("sklearn.cross_validation.KFold", "sklearn.cross_validation.KFold"),
    ],
)
def test_aliases_lead_to_the_described_name(path: str, described: str) -> None:
    """Old and second homes are found, across files too; what an old home describes itself comes first."""
    entry = catalog.lookup(path)
    assert entry is not None
    assert entry.path == described
    assert catalog.canonical(path) == described


@pytest.mark.parametrize(
    ("path", "described"),
    [
        ("sklearn.linear_model._ridge.Ridge", "sklearn.linear_model.Ridge"),
        ("sklearn.ensemble.forest.RandomForestClassifier", "sklearn.ensemble.RandomForestClassifier"),
        ("sklearn.somewhere.private.check_array", None),
        ("sklearn.KFold", None),
        ("unheard_of.KFold", None),
    ],
)
def test_classes_are_found_by_their_last_name(path: str, described: str | None) -> None:
    """A class imported from a private module is found; a lower-case name, a short path or another package is not."""
    entry = catalog.lookup(path)
    assert (entry and entry.path) == described


def test_an_ambiguous_last_name_is_not_guessed() -> None:
    """`KFold` of scikit-learn means two things (today's splitter, and the one removed in 0.20), so only full paths are found."""
    assert catalog.lookup("sklearn.somewhere.KFold") is None


def test_methods_of_data_objects_are_found_by_name() -> None:
    """Names shared by tables, arrays and tensors are described once, the names of only one of them too."""
    found = {name: catalog.method(name) for name in ("mean", "dropna", "ravel", "no_such_method")}
    assert [m and m.op for m in found.values()] == ["stat", "subset", "keep", None]


@pytest.mark.parametrize(
    ("path", "stochastic"),
    [
        ("sklearn.ensemble.RandomForestClassifier", True),
        ("sklearn.linear_model.LinearRegression", False),
        ("xgboost.XGBClassifier", False),
        ("imblearn.over_sampling.SMOTE", True),
    ],
)
def test_draws_tell_stochastic_from_deterministic_estimators(path: str, stochastic: bool) -> None:
    """An estimator lists a draw at fit exactly when a missing seed changes it."""
    entry = catalog.lookup(path)
    assert entry is not None
    assert any(draw["at"] == "fit" for draw in entry.get("draws", [])) is stochastic
