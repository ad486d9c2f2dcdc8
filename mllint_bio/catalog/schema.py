"""Schema of the catalog: which roles exist, which fields each may have, and what the fields mean.

A catalog file describes one library. It has one `[library]` table, any number of `[[callable]]` tables (functions, classes and
attributes by dotted path) and any number of `[[method]]` tables (methods of data objects, by name).

    [library]
    name = "scikit-learn"
    imports = ["sklearn"]            # top-level import names that load this file
    verified = "1.9.1"               # release that the entries were checked on
    aliases = { "sklearn.cross_validation" = "sklearn.model_selection" }   # old or second homes (prefixes)

    [[callable]]
    paths = ["sklearn.preprocessing.{StandardScaler,MinMaxScaler}"]       # braces expand
    role = "fitted-transform.scale"

Everything else is a field below. A misspelt role, field, operation or stream is an error at load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

STREAMS = frozenset({"python", "numpy", "torch", "torch-cuda", "tensorflow", "jax", "own"})

# Roles and the events that they produce. A role may be refined with a dot: `estimator.baseline.tree`.
ROLES: dict[str, str] = {
    "seed": "seeds global generators: Seed",
    "unseed": "makes a generator non-deterministic: Seed(unseeds)",
    "generator": "makes a generator object: Generator",
    "determinism": "switches determinism when called: Determinism",
    "determinism.flag": "attribute whose assignment switches determinism: Determinism",
    "draw": "draws random numbers: Draw; the result is noise without rows",
    "splitter": "divides rows, as a call or as an object with .split(): Split",
    "cv-evaluator": "fits and scores over folds in one call: Split Fit Predict Score",
    "fitted-transform": "learns from rows, then transforms: Fit Transform",
    "fitted-transform.scale": "column statistics",
    "fitted-transform.discretise": "bins from quantiles or ranges",
    "fitted-transform.encode": "learns categories only; a weak leak",
    "fitted-transform.label": "encodes labels; never a leak",
    "fitted-transform.supervised": "learns from the target",
    "fitted-transform.decompose": "linear or manifold embedding",
    "fitted-transform.vectorise": "vocabulary, document frequencies",
    "fitted-transform.cluster": "cluster labels or distances",
    "fitted-transform.outlier": "outlier scores",
    "fitted-transform.representation": "a learned encoder",
    "imputer": "learns fill values: Fit Transform",
    "stateless-transform": "fit learns nothing from the rows: Transform",
    "stateless-function": "row-wise function: Transform",
    "column-stat-function": "fits and applies in one call: Fit Transform",
    "column-stat-function.batch-correction": "state over all samples and batches",
    "inplace-transform": "learns from and changes an annotated object in place: Fit Transform",
    "inplace-transform.learned": "state over all cells",
    "inplace-transform.batch-correction": "state over all cells and batches",
    "inplace-transform.conditional": "learned unless the parameter named in `stateless_if` is given",
    "inplace-transform.per-cell": "stateless",
    "feature-selector": "chooses columns: Fit Transform",
    "feature-selector.supervised": "with the labels",
    "feature-selector.unsupervised": "without the labels",
    "feature-score": "scores or p-values of columns against the labels",
    "composer": "pipeline, union or column transformer: delegates to its children",
    "resampler": "multiplies or drops rows to balance classes: Resample",
    "augment": "random change of a sample: Draw",
    "estimator": "a predictor: Fit Predict Score",
    "estimator.baseline": "a conventional model",
    "estimator.baseline.linear": "",
    "estimator.baseline.kernel": "",
    "estimator.baseline.neighbors": "",
    "estimator.baseline.tree": "",
    "estimator.baseline.boost": "",
    "estimator.baseline.bayes": "",
    "estimator.baseline.dummy": "chance reference",
    "estimator.deep": "a neural network with fit/predict",
    "estimator.meta": "wraps other estimators",
    "calibrator": "calibrates probabilities: Fit",
    "module": "base class of networks (torch.nn.Module, LightningModule)",
    "layer": "a network layer; parametrised layers draw their initial weights",
    "activation": "softmax, sigmoid and the like, as layer or function",
    "loss": "a training loss: Loss",
    "optimizer": "holds parameters: StepEvent on .step()",
    "scheduler": "learning-rate scheduler without scores",
    "lr-select": "learning-rate scheduler driven by a score: Select",
    "early-stop": "stops by a monitored score: Select",
    "checkpoint": "keeps the weights of the best monitored score: Select",
    "callback": "another training callback",
    "trainer": "runs the training loop itself: Fit Score",
    "datamodule": "base class that groups loaders",
    "tuner": "searches hyper-parameters: Select",
    "tuner.sampler": "proposes candidates",
    "tuner.threshold": "chooses a decision threshold",
    "tuner.space": "describes a search space",
    "metric": "a figure of merit: Score",
    "metric.label": "from predicted labels",
    "metric.score": "from scores or probabilities",
    "metric.regression": "",
    "metric.cluster": "unsupervised: never a test metric",
    "metric.segmentation": "",
    "metric.subgroup": "",
    "scorer-factory": "makes a scorer from a metric",
    "loader": "batches a data set: Loader",
    "sampler": "chooses the order or the rows of a loader",
    "row-selection": "a data set of selected rows of another",
    "dataset": "base class of data sets",
    "data-source": "brings rows into the program: Load",
    "array": "function on arrays or tables: see `op`",
    "device": "moves to, or names, a device: Device",
    "no-grad": "context without gradients",
    "sink": "shows or writes what it gets: Report or Save",
    "explainer": "explains a model",
    "stat-test": "a statistical test",
    "weights": "reads, writes or copies weights: Weights",
    "pretrained": "a network with weights from elsewhere",
    "argument": "gives values that come from outside (command line, environment, config file)",
    "unordered": "a listing without a defined order",
    "clock": "a value that differs between runs (time, process id)",
    "ignore": "known to have no effect that matters here",
}

# Operations on data objects: what a function (role `array`) or a method does to rows. The interpreter implements each once.
OPERATIONS: dict[str, str] = {
    "turn": "rows and columns change places, samples stay samples: T, transpose",
    "keep": "same rows, same values: copy, astype, values, to_numpy, tensor, DataFrame",
    "elementwise": "same rows as its data arguments: log1p, add, clip with constants",
    "stat": "a statistic over rows (over columns when axis=1: then it keeps rows): mean, std, max, quantile",
    "standardise": "subtracts and divides by its own column statistics: zscore",
    "subset": "an unknown subset of the rows: dropna, query, drop_duplicates",
    "shuffle": "same rows in random order",
    "permutation": "a random order of the indices 0..n-1, or of the rows of its argument",
    "sample": "random rows: frac=1 shuffles, frac<1 or n= draws a part, replace=True copies",
    "concat": "union of rows (columns side by side when axis=1)",
    "columns": "columns side by side: hstack, column_stack, join on the index",
    "repeat": "copies rows: repeat, tile",
    "index": "indices 0..n-1 of a table: arange, range",
    "cut": "cuts into pieces at given places: np.split, array_split",
    "take": "rows by an index argument",
    "head": "first k rows",
    "tail": "last k rows",
    "drop": "drops rows by index labels, or columns",
    "pop": "takes a column out",
    "groupby": "groups rows by a key",
    "unique": "distinct values: proves repetition of a key",
    "merge": "joins tables: rows may multiply",
    "explode": "one row becomes several",
    "window": "overlapping or adjacent pieces of longer objects",
    "augment": "changed copy of the samples: flip, rotate, noise",
    "argmax": "labels from scores",
    "round": "labels from scores",
    "softmax": "probabilities over classes",
    "sigmoid": "probabilities",
    "log_softmax": "log-probabilities",
    "isin": "membership mask",
    "negate": "complement of a mask",
    "difference": "indices that are not in the other set: setdiff1d",
    "intersection": "identifiers that are in both sets: intersect1d",
    "where": "indices at which a mask holds",
    "sort": "rows in sorted order",
    "codes": "integer codes of categories, learned from these rows: factorize, cat.codes, get_dummies",
    "align": "two tables with the same columns or rows",
    "fill": "fills gaps with its argument: fillna",
    "zeros": "a new array without rows of any data: zeros, empty, full",
    "scalar": "a number about the data: len, item, shape, nunique",
    "iterate": "items one by one: iterrows, items, values of a dict",
    "accumulate": "keeps what it is given: append, extend, update",
    "sum-correct": "sum of a comparison",
    "opaque": "a result that depends on all arguments in an unknown way",
}

_STR, _BOOL, _INT = (str,), (bool,), (int,)


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _flag_or_param(value: Any) -> bool:
    """true/false, or the name of the parameter that decides."""
    return isinstance(value, (bool, str))


def _flag_or_params(value: Any) -> bool:
    """true/false, or the names of parameters that decide."""
    return isinstance(value, bool) or _strings(value)


def _draws(value: Any) -> bool:
    allowed = {"stream", "seed", "purpose", "when", "unless", "at", "what", "processes"}
    return isinstance(value, list) and all(
        isinstance(d, dict)
        and set(d) <= allowed
        and d.get("stream") in STREAMS
        and d.get("at", "call") in {"call", "fit", "iterate", "split", "predict"}
        for d in value
    )


# field -> (check, roles that may have it; empty: all, meaning)
FIELDS: dict[str, tuple[Callable[[Any], bool], tuple[str, ...], str]] = {
    "path": (_is(str), (), "dotted path of one callable"),
    "paths": (_strings, (), "several dotted paths; {a,b} expands"),
    "role": (_is(str), (), "the role"),
    "since": (_is(str), (), "first release that has it"),
    "until": (_is(str), (), "last release that has it"),
    "note": (_is(str), (), "a fact worth keeping, with its source"),
    "params": (_strings, (), "names of positional parameters, in order (constructor or function, without self)"),
    "defaults": (_is(dict), (), "default values of parameters that decisions depend on"),
    "draws": (
        _draws,
        (),
        (
            "random draws: {stream, seed = parameter that fixes it, purpose, when = {param = [values]}, "
            "unless = {param = [values]}, "
            "at = call|fit|iterate|split|predict}"
        ),
    ),
    "streams": (lambda v: _strings(v) and set(v) <= STREAMS, ("seed", "unseed"), "global streams"),
    "value": (_is(str), ("seed", "determinism", "generator"), "parameter that holds the seed or flag value"),
    "fallback": (lambda v: v in ("seeded", "unseeded"), ("seed",), "what a call without a value means"),
    "also": (_is(dict), ("seed", "determinism", "trainer"), 'determinism flags set on the way: {flag = true|false|"param"}'),
    "flag": (_is(str), ("determinism",), "all-ops, cudnn-deterministic, cudnn-benchmark, tf-ops, env"),
    "kind": (
        _is(str),
        ("generator", "data-source", "layer", "pretrained", "explainer", "sampler", "fitted-transform", "weights"),
        "refinement, see the role",
    ),
    "shape": (_is(str), ("draw",), "parameter that gives the shape of what is drawn; `*`: every argument is the size of an axis"),
    "stream": (lambda v: v in STREAMS, ("generator", "draw"), "stream that it draws from"),
    "form": (
        lambda v: v in ("call", "object"),
        ("splitter", "loss", "metric", "resampler", "activation", "layer"),
        "function, or object that acts later",
    ),
    "parts": (_strings, ("splitter",), "roles of the parts in order"),
    "per_input": (_is(bool), ("splitter",), "one pair of parts per input (train_test_split)"),
    "arrays": (_flag_or_param, ("splitter",), "`*` for all positional arguments, else the data parameter"),
    "shuffle": (
        _flag_or_param,
        ("splitter", "loader", "data-source", "draw"),
        "always (true), never (false), or parameter that decides",
    ),
    "stratified": (_flag_or_param, ("splitter",), "likewise"),
    "grouped": (_flag_or_param, ("splitter",), "likewise"),
    "estimator": (
        _is(str),
        ("cv-evaluator", "tuner", "estimator.meta", "calibrator", "feature-selector", "explainer"),
        "parameter that holds the estimator",
    ),
    "data": (_is(str), (), "parameter that holds the rows"),
    "target": (_is(str), (), "parameter that holds the labels"),
    "groups": (_is(str), ("cv-evaluator",), "parameter that holds the groups"),
    "cv": (_is(str), ("cv-evaluator", "tuner", "calibrator"), "parameter that holds the splitter"),
    "scoring": (_is(str), ("cv-evaluator", "tuner"), "parameter that names the metric"),
    "returns": (
        _is(str),
        ("cv-evaluator", "array", "stateless-function", "column-stat-function", "weights"),
        "scores, predictions, dict, copy, reference",
    ),
    "uses_target": (
        _is(bool),
        ("fitted-transform", "feature-selector", "imputer", "inplace-transform"),
        "learns from the labels",
    ),
    "stores_rows": (_is(bool), ("estimator", "fitted-transform", "imputer"), "keeps training rows inside"),
    "style": (
        _is(str),
        (),
        (
            "protocol of the object: sklearn (fit/transform/predict), keras, booster, torchmetrics, monai, keras-metric, optuna, "
            "study, function, lightning, hf, ignite"
        ),
    ),
    "stateless_if": (
        _is(str),
        ("inplace-transform", "imputer", "fitted-transform"),
        "parameter whose presence makes it stateless",
    ),
    "children": (
        _is(str),
        ("composer", "augment", "stateless-transform"),
        "`*` positional children, or the parameter with the list of steps",
    ),
    "lineage": (
        lambda v: v in ("copy", "synthetic", "drop", "augment", "bootstrap", "window"),
        ("resampler",),
        "what the new rows are",
    ),
    "task": (
        lambda v: v in ("classifier", "regressor", "survival", "cluster", "outlier", "ranker", "unknown"),
        ("estimator", "tuner"),
        "what it predicts",
    ),
    "outputs": (_is(dict), ("estimator", "trainer", "pretrained"), "method -> label, score, value, logit"),
    "tunes_itself": (_is(bool), ("estimator",), "has an inner search over its hyper-parameters"),
    "parameter_free": (_is(bool), ("estimator",), "nothing to tune"),
    "scale_sensitive": (_is(bool), ("estimator",), "needs scaled inputs"),
    "truth": (_is(str), ("metric", "scorer-factory"), "parameter that holds the truth"),
    "pred": (_is(str), ("metric", "loss"), "parameter that holds the prediction"),
    "direction": (lambda v: v in ("up", "down"), ("metric",), "which way is better"),
    "symmetric": (_is(bool), ("metric",), "argument order is irrelevant"),
    "decomposable": (_is(bool), ("metric",), "the mean over batches is the metric of the set"),
    "expects": (lambda v: v in ("logits", "probabilities", "log-probabilities", "value"), ("loss",), "input of the loss"),
    "multiclass": (_is(bool), ("loss", "activation"), "over classes, as against element-wise"),
    "from_logits": (_is(str), ("loss",), "parameter that switches to logits"),
    "activation": (
        _is(str),
        ("activation", "layer"),
        "softmax, sigmoid, log_softmax, linear, other; or the name of the parameter that says so when it starts with $",
    ),
    "mode_dependent": (
        _flag_or_params,
        ("layer", "pretrained"),
        "behaves differently in train and eval mode; or the parameters of which one must be given for that",
    ),
    "container": (_is(bool), ("layer",), "holds other layers, applied in order"),
    "limits": (_strings, ("data-source",), "parameters that leave rows of the file out"),
    "part": (_is(str), ("data-source",), "parameter that names one of several tables in the file"),
    "dataset": (_is(str), ("loader", "row-selection", "sampler"), "parameter that holds the data set"),
    "indices": (_is(str), ("row-selection", "sampler", "loader"), "parameter that holds row indices"),
    "drop_last": (_is(str), ("loader",), "parameter"),
    "workers": (_is(str), ("loader",), "parameter"),
    "sampler": (_is(str), ("loader", "tuner"), "parameter"),
    "generator": (_is(str), ("loader", "sampler", "splitter"), "parameter"),
    "replacement": (_flag_or_param, ("sampler",), "draws with replacement"),
    "monitor": (_is(str), ("early-stop", "checkpoint", "lr-select"), "parameter that names the monitored figure"),
    "mode": (_is(str), ("early-stop", "checkpoint", "lr-select", "tuner"), "parameter that gives the direction"),
    "restores": (_flag_or_param, ("early-stop", "checkpoint"), "puts the best weights back: always, never, or by this parameter"),
    "best_only": (_flag_or_param, ("checkpoint",), "keeps only the best: likewise"),
    "selects": (
        _is(str),
        ("early-stop", "checkpoint", "lr-select", "tuner"),
        "epoch, checkpoint, early-stop, learning-rate, hyperparameter, threshold",
    ),
    "objective": (_is(str), ("tuner",), "parameter or method argument that holds the objective function"),
    "size": (_is(int), ("data-source",), "known number of rows"),
    "location": (_is(str), ("data-source", "sink", "weights"), "parameter that names the file"),
    "yields": (
        _is(str),
        ("data-source",),
        "table, arrays (features, target), split (train, test pairs), bunch, dataset, loader, text",
    ),
    "how": (_is(str), ("sink", "unordered", "clock"), "print, log, save, plot"),
    "what": (_is(str), ("sink",), "parameter that holds what is shown"),
    "op": (lambda v: v in OPERATIONS, ("array",), "operation, see OPERATIONS"),
    "axis": (_is(str), ("array",), "parameter that gives the axis"),
    "device": (_is(str), ("device",), "cuda, mps, gpu, auto, or $parameter"),
}

METHOD_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "names": (_strings, "method or attribute names"),
    "op": (lambda v: v in OPERATIONS, "operation"),
    "params": (_strings, "positional parameters"),
    "defaults": (_is(dict), "default values"),
    "draws": (_draws, "as for callables"),
    "note": (_is(str), "a fact worth keeping"),
    "data": (_is(str), "parameter that holds another data value"),
    "attribute": (_is(bool), "an attribute, not a call"),
    "inplace": (_is(str), "parameter that makes it change the object itself, or `always`"),
}


class CatalogError(Exception):
    """A catalog file is wrong; the message names the file and the entry."""


def check_callable(where: str, table: dict[str, Any]) -> None:
    """Raise CatalogError unless this `[[callable]]` table follows the schema."""
    role = table.get("role")
    if not isinstance(role, str) or not (role in ROLES or role.rsplit(".", 1)[0] in ROLES):
        raise CatalogError(f"{where}: unknown role {role!r}")
    if ("path" in table) == ("paths" in table):
        raise CatalogError(f"{where}: needs exactly one of path and paths")
    for key, value in table.items():
        if key not in FIELDS:
            raise CatalogError(f"{where}: unknown field {key!r}")
        valid, roles, meaning = FIELDS[key]
        if not valid(value):
            raise CatalogError(f"{where}: field {key!r} has a wrong value {value!r} ({meaning})")
        if roles and not any(role == r or role.startswith(r + ".") for r in roles):
            raise CatalogError(f"{where}: field {key!r} does not belong to role {role!r}")
    if role == "array" and "op" not in table:
        raise CatalogError(f"{where}: role array needs op")


def check_method(where: str, table: dict[str, Any]) -> None:
    """Raise CatalogError unless this `[[method]]` table follows the schema."""
    for key, value in table.items():
        if key not in METHOD_FIELDS:
            raise CatalogError(f"{where}: unknown field {key!r}")
        if not METHOD_FIELDS[key][0](value):
            raise CatalogError(f"{where}: field {key!r} has a wrong value {value!r}")
    if "names" not in table or "op" not in table:
        raise CatalogError(f"{where}: a method needs names and op")
