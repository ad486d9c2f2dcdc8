"""What was predicted, against the truth, as figures of merit that can be computed again on any rows.

`understand` brings the arrays of a score, as they come (strings, one-hot rows, logits, columns of probabilities), into one form,
a `Task`; `METRICS` compute on it; `reported` finds the one that the program computed. Numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mllint_bio.experiments.statistics import Array, Sampling, Statistic

MOST_CLASSES = 200  # more distinct labels than this, on many rows, are no classes
AGREEMENT = 5e-4  # a recomputed figure this close to the recorded one is the same: float32, rounding by the program


@dataclass(frozen=True)
class Task:
    """Truth and prediction of some rows in one form.

    kind: binary, multiclass, multilabel or regression; classes: their names, in the order of the codes; truth: codes (numbers in
    a regression, a 0/1 column per label in a multilabel task); labels: predicted codes or 0/1 columns, numbers in a regression;
    scores: higher means more likely: one number per row for the second class (binary), a column per class or label else; None if
    only labels were predicted; probabilities: the scores lie in [0, 1].
    """

    kind: str
    classes: tuple[str, ...]
    truth: Array
    labels: Array | None = None
    scores: Array | None = None
    probabilities: bool = False

    def __len__(self) -> int:
        return len(self.truth)

    def at(self, positions: Array) -> Task:
        """The same task on some rows (repetitions allowed)."""
        labels = None if self.labels is None else self.labels[positions]
        scores = None if self.scores is None else self.scores[positions]
        return replace(self, truth=self.truth[positions], labels=labels, scores=scores)


@dataclass(frozen=True)
class Metric:
    """A figure of merit. label: for people; wants: labels, scores or numbers; kinds: tasks that it is defined for; up: higher is
    better; every_class: undefined where a class is absent; unit: lies between 0 and 1 (or -1 and 1), margins have a scale."""

    name: str
    label: str
    wants: str
    kinds: tuple[str, ...]
    compute: Callable[[Task], float]
    up: bool = True
    every_class: bool = False
    unit: bool = True

    def fits(self, task: Task) -> bool:
        """Whether the figure can be computed for this task."""
        if task.kind not in self.kinds or (self.wants == "scores" and task.scores is None):
            return False
        if self.name in ("log-loss", "brier") and not task.probabilities:
            return False
        return self.wants == "scores" or task.labels is not None

    def statistic(self, task: Task) -> Statistic:
        """The figure as a function of row positions, for a bootstrap."""
        return lambda positions: self.compute(task.at(positions))

    def sampling(self, task: Task, groups: Array | None = None) -> Sampling:
        """How rows are to be drawn for this figure: by group if there are groups, by class if it needs every class."""
        return Sampling(groups=groups, strata=task.truth if self.every_class and task.kind in ("binary", "multiclass") else None)


def understand(truth: Array, prediction: Array, family: str = "unknown", known: Array | None = None) -> Task | str:
    """The task behind a score, or the reason why there is none. known: training labels, which may hold classes that the scored
    rows lack; family: of the score (label, score, regression, ...)."""
    truth, prediction = squeeze(truth), squeeze(prediction)
    if len(truth) != len(prediction):
        return f"{len(prediction)} predictions for {len(truth)} rows"
    if len(truth) == 0:
        return "no rows were scored"
    if truth.ndim > 2 or prediction.ndim > 2:
        return f"predictions of shape {prediction.shape} (a map or a sequence per row) have no single class"
    if _missing(truth) or _missing(prediction):
        return f"{'the truth' if _missing(truth) else 'the prediction'} holds values that are no numbers (nan, inf)"
    regression = family == "regression" or (family not in ("label", "score", "segmentation") and not is_classes(truth, known))
    if regression:
        if truth.shape != prediction.shape or not (_numeric(truth) and _numeric(prediction)):
            return f"predictions of shape {prediction.shape} for numbers of shape {truth.shape}"
        return Task("regression", (), truth.astype(float), prediction.astype(float))
    kind, names, codes = encode(truth, known)
    if kind == "multilabel":
        if prediction.shape != truth.shape or not _numeric(prediction):
            return f"predictions of shape {prediction.shape} for {truth.shape[1]} labels"
        values = prediction.astype(float)
        share = _probabilities(values)
        return Task(kind, names, codes, (values > (0.5 if share else 0.0)).astype(int), values, share)
    if len(names) < 2:
        return f"all scored and training rows are of the class {names[0]}"
    labels, scores, share = _decode(prediction, truth, known, names)
    if labels is None:
        return f"predictions of shape {prediction.shape} do not match the {len(names)} classes"
    return Task("binary" if len(names) == 2 else "multiclass", names, codes, labels, scores, share)


def squeeze(values: Array) -> Array:
    """Without axes of length 1 behind the first."""
    values = np.asarray(values)
    if values.ndim > 1 and 1 in values.shape[1:]:
        values = values.reshape([values.shape[0], *(n for n in values.shape[1:] if n != 1)])
    return values.reshape(1) if values.ndim == 0 else values


def is_classes(truth: Array, known: Array | None = None) -> bool:
    """Whether these are class labels, as against numbers to be predicted."""
    values = squeeze(truth)
    if not _numeric(values):
        return True
    pool = values if known is None else np.concatenate([values.ravel(), squeeze(known).ravel()])
    numbers = pool.astype(float)
    if not np.all(np.isfinite(numbers)) or np.any(numbers != np.round(numbers)):
        return False
    return len(np.unique(numbers)) <= min(MOST_CLASSES, max(2, len(numbers) // 3))


def encode(truth: Array, known: Array | None = None) -> tuple[str, tuple[str, ...], Array]:
    """Kind (multilabel or classes), names of the classes and codes of the rows; one-hot rows are classes."""
    truth = squeeze(truth)
    if truth.ndim == 2:
        numbers = truth.astype(float)
        if truth.shape[1] > 1 and np.all(np.isin(numbers, (0.0, 1.0))) and np.all(numbers.sum(axis=1) == 1):
            return "classes", tuple(str(k) for k in range(truth.shape[1])), numbers.argmax(axis=1)
        return "multilabel", tuple(str(k) for k in range(truth.shape[1])), (numbers > 0.5).astype(int)
    values = classes_of(truth, known)
    return "classes", tuple(_name(value) for value in values), np.searchsorted(values, _comparable(truth, values))


def classes_of(truth: Array, known: Array | None = None) -> Array:
    """Sorted distinct labels of these rows and of the training rows, if those are of the same kind."""
    pools = [truth.ravel()]
    if known is not None and squeeze(known).ndim == 1 and _numeric(squeeze(known)) == _numeric(truth):
        pools.append(squeeze(known))
    if not _numeric(truth):
        pools = [pool.astype(str) for pool in pools]
    return np.unique(np.concatenate(pools))


def _decode(
    prediction: Array, truth: Array, known: Array | None, names: tuple[str, ...]
) -> tuple[Array | None, Array | None, bool]:
    """Predicted codes, scores and whether these are probabilities; (None, None, False) if they do not fit the classes."""
    nothing = (None, None, False)
    if prediction.ndim == 2:
        if not _numeric(prediction) or prediction.shape[1] != len(names):
            return nothing
        values = prediction.astype(float)
        share = _probabilities(values)
        scores = values
        if len(names) == 2:
            scores = values[:, 1] if share else values[:, 1] - values[:, 0]
        return values.argmax(axis=1), scores, share
    if truth.ndim == 1:
        classes = classes_of(truth, known)
        comparable = _comparable(prediction, classes)
        if comparable is not None and np.all(np.isin(comparable, classes)):
            return np.searchsorted(classes, comparable), None, False
    elif _numeric(prediction) and np.all(np.isin(prediction, np.arange(len(names)))):
        return prediction.astype(int), None, False
    if len(names) != 2 or not _numeric(prediction):
        return nothing
    values = prediction.astype(float)
    share = _probabilities(values)
    return (values > (0.5 if share else 0.0)).astype(int), values, share


def _comparable(values: Array, classes: Array) -> Array:
    return values if _numeric(classes) and _numeric(values) else values.astype(str)


def _numeric(values: Array) -> bool:
    return values.dtype.kind in "biuf"


def _missing(values: Array) -> bool:
    return values.dtype.kind == "f" and not bool(np.all(np.isfinite(values)))


def _probabilities(values: Array) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))


def _name(value: Any) -> str:
    number = value.item() if hasattr(value, "item") else value
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


# -- figures -------------------------------------------------------------------------------------------------------


def confusion(task: Task) -> Array:
    """Counts: a row per true class, a column per predicted class."""
    size = len(task.classes)
    assert task.labels is not None
    return np.bincount(task.truth * size + task.labels, minlength=size * size).reshape(size, size)


def recalls(task: Task) -> Array:
    """Recall of each class; nan for a class without rows."""
    counts = confusion(task)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Array = np.diag(counts) / counts.sum(axis=1)
    return shares


def _accuracy(task: Task) -> float:
    assert task.labels is not None
    same = task.truth == task.labels
    return float(np.mean(same if same.ndim == 1 else same.all(axis=1)))


def _balanced_accuracy(task: Task) -> float:
    shares = recalls(task)
    return float(np.mean(shares[~np.isnan(shares)]))


def _matthews(task: Task) -> float:
    counts = confusion(task).astype(float)
    true, predicted, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    divisor = math.sqrt((total**2 - predicted @ predicted) * (total**2 - true @ true))
    return float((np.trace(counts) * total - true @ predicted) / divisor) if divisor > 0 else 0.0


def _kappa(task: Task) -> float:
    counts = confusion(task).astype(float) / len(task)
    chance = float(counts.sum(axis=1) @ counts.sum(axis=0))
    return (float(np.trace(counts)) - chance) / (1 - chance) if chance < 1 else math.nan


def _per_class(task: Task) -> tuple[Array, Array, Array, Array]:
    """Precision, recall, F1 and number of rows of each class; 0 where undefined, as scikit-learn does."""
    counts = confusion(task).astype(float)
    hits, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    f1 = np.divide(2 * hits, true + predicted, out=np.zeros_like(hits), where=true + predicted > 0)
    present = (true + predicted) > 0
    return precision[present], recall[present], f1[present], true[present]


def _averaged(which: int, averaging: str) -> Callable[[Task], float]:
    def compute(task: Task) -> float:
        figures = _per_class(task)
        if averaging == "weighted":
            return float(figures[which] @ figures[3] / figures[3].sum())
        if averaging == "binary":
            return float(figures[which][-1]) if np.any((task.truth == 1) | (task.labels == 1)) else 0.0
        return float(figures[which].mean())

    return compute


def _auc(task: Task) -> float:
    """Area under the ROC curve; for several classes the mean of one class against the rest."""
    assert task.scores is not None
    if task.kind == "binary":
        return _auc_of(task.truth == 1, task.scores)
    truth = task.truth if task.kind == "multilabel" else np.eye(len(task.classes))[task.truth]
    return float(np.mean([_auc_of(truth[:, k] == 1, task.scores[:, k]) for k in range(truth.shape[1])]))


def _auc_of(positive: Array, scores: Array) -> float:
    n = int(positive.sum())
    if n in (0, len(positive)):
        return math.nan
    return float((ranks(scores)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def ranks(values: Array) -> Array:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: Array = (last - (counts - 1) / 2)[inverse]
    return mean


def _average_precision(task: Task) -> float:
    assert task.scores is not None
    if task.kind == "binary":
        return average_precision_of(task.truth == 1, task.scores)
    truth = task.truth if task.kind == "multilabel" else np.eye(len(task.classes))[task.truth]
    return float(np.mean([average_precision_of(truth[:, k] == 1, task.scores[:, k]) for k in range(truth.shape[1])]))


def average_precision_of(positive: Array, scores: Array) -> float:
    """Sum of precision times gain in recall over the distinct thresholds; nan without a positive row."""
    total = int(positive.sum())
    if total == 0:
        return math.nan
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(positive[order])[ends]
    return float(np.sum(np.diff(hits, prepend=0) / total * hits / (ends + 1)))


def _log_loss(task: Task) -> float:
    assert task.scores is not None
    columns = np.column_stack([1 - task.scores, task.scores]) if task.kind == "binary" else task.scores
    chosen = columns[np.arange(len(task)), task.truth] / columns.sum(axis=1)
    return float(-np.mean(np.log(np.clip(chosen, np.finfo(float).eps, 1))))


def _brier(task: Task) -> float:
    assert task.scores is not None
    return float(np.mean((task.scores - task.truth) ** 2))


def _error(power: int, root: bool = False) -> Callable[[Task], float]:
    def compute(task: Task) -> float:
        assert task.labels is not None
        value = float(np.mean(np.abs(task.truth - task.labels) ** power))
        return math.sqrt(value) if root else value

    return compute


def _median_error(task: Task) -> float:
    assert task.labels is not None
    return float(np.median(np.abs(task.truth - task.labels)))


def _r2(task: Task) -> float:
    assert task.labels is not None
    spread = np.sum((task.truth - task.truth.mean(axis=0)) ** 2, axis=0)
    errors = np.sum((task.truth - task.labels) ** 2, axis=0)
    return float(np.mean(1 - errors / spread)) if np.all(spread > 0) else math.nan


def _correlation(ranked: bool) -> Callable[[Task], float]:
    def compute(task: Task) -> float:
        assert task.labels is not None
        one, two = task.truth.ravel(), task.labels.ravel()
        if ranked:
            one, two = ranks(one), ranks(two)
        if one.std() == 0 or two.std() == 0:
            return math.nan
        return float(np.corrcoef(one, two)[0, 1])

    return compute


_CLASSES = ("binary", "multiclass")
_ANY = ("binary", "multiclass", "multilabel")
_NUMBERS = ("regression",)

METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "labels", _ANY, _accuracy),
        Metric("balanced-accuracy", "balanced accuracy", "labels", _CLASSES, _balanced_accuracy),
        Metric("mcc", "Matthews correlation", "labels", _CLASSES, _matthews),
        Metric("kappa", "Cohen's kappa", "labels", _CLASSES, _kappa),
        Metric("f1", "F1", "labels", ("binary",), _averaged(2, "binary")),
        Metric("f1-macro", "macro F1", "labels", _CLASSES, _averaged(2, "macro")),
        Metric("f1-weighted", "weighted F1", "labels", _CLASSES, _averaged(2, "weighted")),
        Metric("precision", "precision", "labels", ("binary",), _averaged(0, "binary")),
        Metric("precision-macro", "macro precision", "labels", _CLASSES, _averaged(0, "macro")),
        Metric("precision-weighted", "weighted precision", "labels", _CLASSES, _averaged(0, "weighted")),
        Metric("recall", "recall", "labels", ("binary",), _averaged(1, "binary")),
        Metric("recall-macro", "macro recall", "labels", _CLASSES, _averaged(1, "macro")),
        Metric("recall-weighted", "weighted recall", "labels", _CLASSES, _averaged(1, "weighted")),
        Metric("roc-auc", "ROC AUC", "scores", _ANY, _auc, every_class=True),
        Metric("average-precision", "average precision", "scores", _ANY, _average_precision, every_class=True),
        Metric("log-loss", "log loss", "scores", _CLASSES, _log_loss, up=False, unit=False),
        Metric("brier", "Brier score", "scores", ("binary",), _brier, up=False),
        Metric("r2", "R²", "numbers", _NUMBERS, _r2),
        Metric("mse", "mean squared error", "numbers", _NUMBERS, _error(2), up=False, unit=False),
        Metric("rmse", "root mean squared error", "numbers", _NUMBERS, _error(2, root=True), up=False, unit=False),
        Metric("mae", "mean absolute error", "numbers", _NUMBERS, _error(1), up=False, unit=False),
        Metric("median-error", "median absolute error", "numbers", _NUMBERS, _median_error, up=False, unit=False),
        Metric("pearson", "Pearson correlation", "numbers", _NUMBERS, _correlation(ranked=False)),
        Metric("spearman", "Spearman correlation", "numbers", _NUMBERS, _correlation(ranked=True)),
    )
}

# Names that programs and libraries use, in the order in which a figure is taken for one of ours where several agree.
_DEFAULTS = {
    "binary": ("accuracy", "roc-auc", "average-precision", "balanced-accuracy", "mcc"),
    "multiclass": ("accuracy", "balanced-accuracy", "roc-auc", "mcc"),
    "multilabel": ("average-precision", "roc-auc", "accuracy"),
    "regression": ("r2", "mae", "rmse", "pearson"),
}
_ALIASES = {
    "mean-squared-error": "mse",
    "root-mean-squared-error": "rmse",
    "mean-absolute-error": "mae",
    "median-absolute-error": "median-error",
    "matthews-corrcoef": "mcc",
    "matthews-corr-coef": "mcc",
    "cohen-kappa": "kappa",
    "auroc": "roc-auc",
    "auc": "roc-auc",
    "rocauc": "roc-auc",
    "ap": "average-precision",
    "balanced-acc": "balanced-accuracy",
    "acc": "accuracy",
    "fbeta": "f1",
    "pearsonr": "pearson",
    "spearmanr": "spearman",
    "pearson-corrcoef": "pearson",
    "spearman-corrcoef": "spearman",
    "brier-score-loss": "brier",
}


def reported(task: Task, name: str, value: float | None, averaging: str = "") -> tuple[Metric, bool]:
    """The metric that the program computed, and whether it was found: its name says so and its value agrees, or only one of ours
    has its value. Else the usual one for such a task, and False."""
    usable = [metric for metric in METRICS.values() if metric.fits(task)]
    named = _named(name, averaging)
    order = sorted(usable, key=lambda metric: (metric.name != named, not metric.name.startswith(named or "\0")))
    if value is not None and math.isfinite(value):
        for metric in order:
            if abs(metric.compute(task) - value) <= AGREEMENT * max(1.0, abs(value)):
                return metric, True
    elif order and order[0].name == named:
        return order[0], True
    return next(METRICS[name] for name in _DEFAULTS[task.kind] if METRICS[name].fits(task)), False


def _named(name: str, averaging: str) -> str:
    words = "".join(f"-{c.lower()}" if c.isupper() and k and not name[k - 1].isupper() else c.lower() for k, c in enumerate(name))
    words = words.rsplit(".", 1)[-1].replace("_", "-").lstrip("-")
    for prefix in ("binary-", "multiclass-"):
        words = words.removeprefix(prefix)
    words = words.removesuffix("-score")
    words = _ALIASES.get(words, words)
    return f"{words}-{averaging}" if averaging in ("macro", "weighted") else words
