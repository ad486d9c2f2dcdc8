"""Which figure of merit of a run is "the" test metric, and where the same figure stands in another run.

A place that scores (file, line, metric) has one value per run: of epochs and batches the last, of folds the mean. The reported
metric is the last one that is known to be of held-out rows and reaches a reader; if the run computed none that could be observed,
the last number that it printed beside a metric's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mllint_bio.experiments.study import Study
from mllint_bio.observe.job import Outcome
from mllint_bio.observe.log import Line, Log, Record, Seen
from mllint_bio.trace import SUPERVISED_FAMILIES

_LEARNERS = ("estimator", "tuner", "trainer", "module")
_UP = r"acc(?:uracy)?|auc|auroc|roc|auprc|f1|r2|r²|precision|recall|sensitivity|specificity|mcc|kappa|dice|iou|jaccard|corr\w*|pearson\w*|spearman\w*|c-?index|concordance|score|nmi|ari"  # noqa: E501
_DOWN = r"loss|error|err|mse|rmse|mae|nll|perplexity|brier|deviance|distance|hamming"
_NUMBER = r"[-+−]?\d+\.\d+(?:[eE][-+]?\d+)?"
_PRINTED = re.compile(rf"(?P<label>[^\d\s|,;][^\n|,;]{{0,60}}?)\s*[:=(\[]*\s*(?P<value>{_NUMBER})")
_UP_WORD = re.compile(rf"(?<![a-z])(?:{_UP})(?![a-z])", re.IGNORECASE)
_DOWN_WORD = re.compile(rf"(?<![a-z])(?:{_DOWN})(?![a-z])", re.IGNORECASE)
_HELD_OUT_WORD = re.compile(r"(?<![a-z])(?:test|val|valid|validation|held[- ]?out|cv|oof|final)", re.IGNORECASE)
_TRAINING_WORD = re.compile(r"(?<![a-z])train", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A figure of merit of one run.

    name: of the metric, as people say it; metric: as the program calls it; line: where it is computed (("", 0): read from the
    printed text); values: all that were computed there; value: the one that stands for the run; direction: up, down or empty if
    not known; event: number of the last Score record, -1 for printed text.
    """

    name: str
    metric: str
    line: Line
    values: tuple[float, ...]
    value: float
    direction: str = ""
    event: int = -1

    @property
    def place(self) -> str:
        """File and line, for people; empty for printed text."""
        return f"{self.line[0]}:{self.line[1]}" if self.line[0] else ""


def figures(outcome: Outcome) -> list[Figure]:
    """Every place that computed a figure of merit with a known value, in the order of the last time."""
    log = outcome.log
    values = _values(log)
    places: dict[tuple[Line, str], list[Record]] = {}
    for record in log.of("Score"):
        if values.get(record.number) and record.fields.get("family") != "loss":
            places.setdefault((record.line, str(record.fields.get("metric", ""))), []).append(record)
    found = []
    for (line, metric), records in places.items():
        everything = tuple(value for record in records for value in values[record.number])
        last = records[-1]
        name = called(metric)
        direction = str(last.fields.get("direction") or "") or direction_of(metric)
        found.append(Figure(name, metric, line, everything, _one(log, records, values), direction, last.number))
    return sorted(found, key=lambda figure: figure.event)


def reported(study: Study, near: Collection[Line] = ()) -> Figure | None:
    """The test metric of a program, as its first run computed it; None if nothing was scored that could be observed or read.

    near: lines that a finding names; a held-out figure computed there is preferred to a later one.
    """
    outcome = study.first
    ranked = [(_rank(study, figure), figure) for figure in figures(outcome)]
    best = max((rank for rank, _ in ranked), default=0)
    if best < _APART:
        text = printed(outcome.output)
        if text is not None:
            return text
    named = [figure for rank, figure in ranked if rank >= _APART and figure.line in near]
    chosen = named or [figure for rank, figure in ranked if rank == best]
    return chosen[-1] if chosen else None


def again(figure: Figure, outcome: Outcome, moved: Callable[[Line], Line | None] = lambda line: line) -> Figure | None:
    """The same figure in another run. moved: where a line of the first program stands in the second one."""
    if not figure.line[0]:
        return next((one for one in reversed(_all_printed(outcome.output)) if one.name == figure.name), None)
    others = [one for one in figures(outcome) if one.metric == figure.metric]
    line = moved(figure.line)
    return next((one for one in others if one.line == line), None)


def called(metric: str) -> str:
    """A metric's name as people say it: `balanced_accuracy_score` is `balanced accuracy`."""
    words = metric.rsplit(".", 1)[-1].removesuffix("_score").replace("neg_", "").replace("_", " ").strip()
    return {"r2": "R²", "f1": "F1", "roc auc": "ROC AUC", "": "score"}.get(words, words)


def direction_of(metric: str) -> str:
    """`up` if higher is better, `down` if lower is, empty if the name does not say."""
    if metric.startswith("neg_"):
        return "up"
    words = metric.replace("_", " ").lower()
    return "down" if _DOWN_WORD.search(words) else "up" if _UP_WORD.search(words) else ""


def printed(output: str) -> Figure | None:
    """The last number that stands beside the name of a metric, those of test or validation rows first; None if there is none."""
    found = [one for one in _all_printed(output) if not _TRAINING_WORD.search(one.name)]
    held_out = [one for one in found if _HELD_OUT_WORD.search(one.name)]
    scores = [one for one in held_out or found if one.direction == "up"]
    chosen = scores or held_out or found
    return chosen[-1] if chosen else None


def _all_printed(output: str) -> list[Figure]:
    """Numbers beside names of metrics; of one name the last."""
    found: dict[str, Figure] = {}
    for text in output.splitlines():
        for match in _PRINTED.finditer(text.rsplit("\r", 1)[-1]):
            label = " ".join(match["label"].split()).strip(" :=([-")
            direction = direction_of(label)
            if direction:
                value = float(match["value"].replace("−", "-"))
                earlier = found.pop(label, None)
                values = (*(earlier.values if earlier else ()), value)
                found[label] = Figure(label, label, ("", 0), values, value, direction)
    return list(found.values())


# -- which one ---------------------------------------------------------------------------------------------------------

_REPORTED, _HELD_OUT, _APART = 3, 2, 1


def _rank(study: Study, figure: Figure) -> int:
    """How well a figure is known to be a reported figure of held-out rows."""
    trace, log = study.trace, study.first.log
    records = [r for r in log.of("Score") if r.line == figure.line and str(r.fields.get("metric", "")) == figure.metric]
    events = {study.event_of.get(record.number) for record in records}
    known = [s for s in trace.scores if s.id in events or ((s.at.path, s.at.line) == figure.line and s.metric == figure.metric)]
    held_out = [score for score in known if trace.held_out(score)]
    if held_out:
        return _REPORTED if any(trace.reported(score) for score in held_out) else _HELD_OUT
    if records[-1].fields.get("family") not in SUPERVISED_FAMILIES:
        return 0
    return _APART if records[-1].fields.get("cross_validated") or _apart(log, records[-1]) else 0


def _apart(log: Log, record: Record) -> bool:
    """Whether no row that was scored is one that a predictor was fitted on before."""
    scored = _rows(log, record)
    fits = [r for r in log.of("Fit", "Step") if r.number < record.number and _learns(r)]
    if not scored or not fits:
        return False
    subject = record.fields.get("subject")
    seen = record.fields.get("data")
    if subject is None and isinstance(seen, Seen) and seen.predicted >= 0:
        subject = next((r.fields.get("subject") for r in log.of("Predict") if r.number == seen.predicted), None)
    own = [fit for fit in fits if fit.fields.get("subject") == subject] if isinstance(subject, int) else []
    return all(not (scored.get(source, 0) & mask) for fit in own or fits for source, mask in _rows(log, fit).items())


def _learns(record: Record) -> bool:
    return record.kind == "Step" or str(record.fields.get("role", "")).startswith(_LEARNERS)


def _rows(log: Log, record: Record) -> dict[int, int]:
    seen = record.fields.get("data")
    return log.members(seen.rows) if isinstance(seen, Seen) else {}


def _values(log: Log) -> dict[int, list[float]]:
    """Values of each Score record, in order."""
    found: dict[int, list[float]] = {}
    for figure in log.figures:
        if figure.get("what") == "score" and isinstance(figure.get("value"), int | float):
            found.setdefault(int(figure.get("event", -1)), []).append(float(figure["value"]))
    for record in log.of("Score"):
        value = record.fields.get("value")
        if record.number not in found and isinstance(value, int | float):
            found[record.number] = [float(value)]
    return found


def _one(log: Log, records: list[Record], values: dict[int, list[float]]) -> float:
    """What stands for the run: the mean over folds (the rows differ each time), the last one of what is scored on equal rows."""
    last = values[records[-1].number]
    if len(last) > 1:  # folds of one call, batches of one pass
        return math.fsum(last) / len(last)
    sets = [tuple(sorted(_rows(log, record).items())) for record in records]
    if len(records) > 1 and all(sets) and len(set(sets)) == len(sets):
        return math.fsum(values[record.number][-1] for record in records) / len(records)
    return last[-1]
