"""The arrays that a run left (`Controls.capture`), put together again: for every score the truth and the prediction, and the rows
and labels that the scored model was fitted on. What was not captured is None; nothing here raises for a damaged folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.experiments.metrics import Metric, Task, reported, squeeze, understand
from mllint_bio.experiments.statistics import Array
from mllint_bio.observe.job import Outcome
from mllint_bio.observe.log import Line, Record, Seen

MOST_FEATURES = 20_000
_FAMILIES = frozenset({"label", "score", "regression", "segmentation", "subgroup", "unknown"})


@dataclass(frozen=True)
class Evaluation:
    """One score on known rows, and the training behind it.

    score: number of the Score event; value: as the program computed it (None: not known); averaging: literal `average=`; line:
    of the score; api, given: of the scored model and its literal arguments; truth, prediction, X_test: side by side; test_rows:
    tokens of these rows; fit: number of the Fit event, -1 if it was not seen; X_train, y_train, train_rows: what it was given.
    """

    score: int
    metric: str
    family: str
    value: float | None
    averaging: str
    line: Line
    api: str
    given: dict[str, Any]
    truth: Array
    prediction: Array | None = None
    X_test: Array | None = None
    test_rows: Array | None = None
    fit: int = -1
    X_train: Array | None = None
    y_train: Array | None = None
    train_rows: Array | None = None

    @property
    def place(self) -> str:
        """File and line of the score, for people."""
        return f"{self.line[0]}:{self.line[1]}"

    @property
    def model(self) -> str:
        """Short name of the model, for people."""
        return self.api.rsplit(".", 1)[-1] or "the model"

    @property
    def shared(self) -> int | None:
        """How many of the scored rows the model was fitted on; None if the rows of either are not known."""
        if self.test_rows is None or self.train_rows is None:
            return None
        return int(np.isin(self.test_rows, self.train_rows).sum())

    @property
    def held_out(self) -> bool:
        """Whether, as far as is known, most scored rows are not rows that the model was fitted on."""
        return self.shared is None or 2 * self.shared < len(self.truth)

    def task(self) -> Task | str:
        """Truth and prediction in one form, or why they have none."""
        if self.prediction is None:
            return "its predictions were not captured"
        return understand(self.truth, self.prediction, self.family, self.y_train)

    def reported(self, task: Task) -> tuple[Metric, bool]:
        """The metric that the program computed here, and whether it was recognised."""
        return reported(task, self.metric, self.value, self.averaging)


@dataclass(frozen=True)
class _Kept:
    """The arrays of one event; a batch loop's calls below each other."""

    kind: str
    parts: dict[str, Array] = field(default_factory=dict)

    def get(self, *names: str) -> Array | None:
        return next((self.parts[name] for name in names if name in self.parts), None)

    @property
    def rows(self) -> Array | None:
        """Tokens, if every row is known."""
        rows = self.parts.get("rows")
        return rows if rows is not None and len(rows) and bool((rows >= 0).all()) else None


def captured(outcome: Outcome) -> bool:
    """Whether the run left arrays."""
    folder = outcome.folder()
    return folder is not None and (folder / "index.json").is_file()


def training_and_test(outcome: Outcome) -> list[Evaluation]:
    """Every supervised score whose truth was captured, in order; of repeats at one line (epochs) the last one."""
    kept = _load(outcome.folder())
    records = {record.number: record for record in outcome.log.records}
    values: dict[int, list[float]] = {}
    for figure in outcome.log.figures:
        if figure.get("what") == "score" and isinstance(figure.get("value"), int | float):
            values.setdefault(int(figure.get("event", -1)), []).append(float(figure["value"]))
    found: dict[Any, Evaluation] = {}
    for number, arrays in sorted(kept.items()):
        record = records.get(number)
        if record is None or record.kind != "Score" or arrays.kind != "Score":
            continue
        one = _evaluation(outcome, records, kept, record, arrays, values.get(number, []))
        if one is not None:
            key = (one.line, one.metric, one.api, str(sorted(one.given.items(), key=str)))
            found.pop(key, None)
            found[key] = one
    return sorted(found.values(), key=lambda one: one.score)


def held_out(outcome: Outcome) -> list[Evaluation]:
    """The evaluations on rows that the scored model was not fitted on."""
    return [one for one in training_and_test(outcome) if one.held_out]


def by_test_set(evaluations: Iterable[Evaluation]) -> list[list[Evaluation]]:
    """Evaluations by the rows that they score, later sets last."""
    groups: dict[Any, list[Evaluation]] = {}
    for one in evaluations:
        rows = one.test_rows
        key = (len(one.truth), one.truth.tobytes()) if rows is None else (len(rows), np.sort(rows).tobytes())
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def matrices(train: Array, test: Array) -> tuple[Array, Array] | str:
    """Both inputs as tables of numbers, or why they have no such form. Texts in a table become codes of the training column's
    values; more than two axes are flattened."""
    tables = []
    for values in (train, test):
        table = values.reshape(len(values), -1) if len(values) else values.reshape(0, 1)
        tables.append(table)
    one, two = tables
    if one.shape[1] != two.shape[1]:
        return f"training rows have {one.shape[1]} features and test rows {two.shape[1]}"
    if one.shape[1] > MOST_FEATURES:
        return f"{one.shape[1]:,} features a row are more than a flat model is tried on ({MOST_FEATURES:,})"
    if one.dtype.kind in "biuf" and two.dtype.kind in "biuf":
        return one.astype(float), two.astype(float)
    if train.ndim == 1:
        return "its inputs are texts, not a table of numbers"
    columns = [_column(one[:, k].astype(str), two[:, k].astype(str)) for k in range(one.shape[1])]
    return np.column_stack([c[0] for c in columns]), np.column_stack([c[1] for c in columns])


def _column(train: Array, test: Array) -> tuple[Array, Array]:
    try:
        return _number(train), _number(test)
    except ValueError:
        values, codes = np.unique(train, return_inverse=True)
        places = np.searchsorted(values, test).clip(max=len(values) - 1)
        return codes.astype(float), np.where(values[places] == test, places, -1).astype(float)


def _number(texts: Array) -> Array:
    blank = np.isin(texts, ("", "None", "NA", "<NA>", "NaT"))
    return np.where(blank, "nan", texts).astype(float)


def _load(folder: Path | None) -> dict[int, _Kept]:
    """Arrays by event. Files that cannot be read are left out, with the other arrays of their event intact."""
    parts: dict[int, tuple[str, dict[str, list[Array]]]] = {}
    for entry in _index(folder):
        number, kind = entry.get("event"), entry.get("kind")
        if folder is None or not isinstance(number, int) or not isinstance(kind, str):
            continue
        arrays = {name: _read(folder / file) for name, file in entry.items() if name not in ("event", "kind")}
        known = {name: array for name, array in arrays.items() if array is not None and array.ndim}
        _, lists = parts.setdefault(number, (kind, {}))
        if lists and set(known) != set(lists):
            continue  # a batch that lacks what the others have would shift the rows
        for name, array in known.items():
            lists.setdefault(name, []).append(array)
    return {number: _Kept(kind, {name: _joined(some) for name, some in lists.items()}) for number, (kind, lists) in parts.items()}


def _index(folder: Path | None) -> Iterator[dict[str, Any]]:
    if folder is None:
        return
    try:
        entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    yield from (entry for entry in entries if isinstance(entry, dict))


def _read(path: Path) -> Array | None:
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array


def _joined(parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    try:
        return np.concatenate(parts)
    except ValueError:  # batches of sequences of different lengths
        return parts[-1]


def _evaluation(
    outcome: Outcome, records: dict[int, Record], kept: dict[int, _Kept], record: Record, arrays: _Kept, values: list[float]
) -> Evaluation | None:
    fields = record.fields
    family = str(fields.get("family", "unknown"))
    truth, prediction = arrays.get("truth", "y"), arrays.get("prediction")
    if truth is None or len(truth) == 0 or family not in _FAMILIES or fields.get("cross_validated"):
        return None
    if prediction is not None and len(prediction) != len(truth):
        return None
    seen = fields.get("data")
    made = seen.predicted if isinstance(seen, Seen) and seen.predicted >= 0 else fields.get("predicted")  # `model.score(X, y)`
    predict = records.get(made) if isinstance(made, int) else None
    subject = fields.get("subject")
    if not isinstance(subject, int) or subject < 0:
        subject = predict.fields.get("subject") if predict is not None else None
    about = outcome.log.subjects.get(subject, {}) if isinstance(subject, int) else {}
    rows = arrays.rows if arrays.rows is not None and len(arrays.rows) == len(truth) else None
    inputs = arrays.get("X")
    if inputs is None and predict is not None and predict.number in kept:
        inputs = _beside(kept[predict.number], rows, len(truth))
    train_number, x_train, y_train, train_rows = _training(records, kept, subject, record.number, rows)
    given = about.get("given")
    return Evaluation(
        score=record.number,
        metric=str(fields.get("metric", "")),
        family=family,
        value=values[-1] if len(values) == 1 or (values and record.count == 1) else None,
        averaging=str(fields.get("averaging") or ""),
        line=record.line,
        api=str(about.get("api", "")),
        given=dict(given) if isinstance(given, dict) else {},
        truth=truth,
        prediction=prediction,
        X_test=inputs,
        test_rows=rows,
        fit=train_number,
        X_train=x_train,
        y_train=y_train,
        train_rows=train_rows,
    )


def _beside(predict: _Kept, rows: Array | None, count: int) -> Array | None:
    """The inputs of a prediction in the order of the scored rows."""
    inputs = predict.get("X")
    if inputs is None:
        return None
    if rows is not None and predict.rows is not None and len(predict.rows) == len(inputs):
        return _at(inputs, predict.rows, rows)
    return inputs if len(inputs) == count else None


def _at(values: Array, own: Array, wanted: Array) -> Array | None:
    """Values at the wanted tokens; None if some are not there."""
    order = np.argsort(own, kind="stable")
    places = np.searchsorted(own[order], wanted).clip(max=len(own) - 1)
    chosen = order[places]
    return values[chosen] if bool((own[chosen] == wanted).all()) else None


def _training(
    records: dict[int, Record], kept: dict[int, _Kept], subject: Any, before: int, test_rows: Array | None
) -> tuple[int, Array | None, Array | None, Array | None]:
    """The last fit of this model before the score; for a network, its forward passes joined with the truth of its losses."""
    nothing = (-1, None, None, None)
    if not isinstance(subject, int) or subject < 0:
        return nothing
    own = [r for r in records.values() if r.number < before and r.fields.get("subject") == subject]
    fits = [record for record in own if record.kind == "Fit"]
    for record in sorted(fits, key=lambda r: -r.number):
        arrays = kept.get(record.number)
        if arrays is not None and arrays.get("X") is not None and arrays.get("y") is not None:
            x, y = arrays.parts["X"], arrays.parts["y"]
            if len(x) == len(y):
                rows = arrays.rows
                return record.number, x, y, rows if rows is not None and len(rows) == len(x) else None
    if test_rows is None:
        return nothing
    return _from_passes(kept, own, test_rows, fits[-1].number if fits else -1)


def _from_passes(
    kept: dict[int, _Kept], own: list[Record], test_rows: Array, fit: int
) -> tuple[int, Array | None, Array | None, Array | None]:
    inputs: dict[int, Array] = {}
    labels: dict[int, Any] = {}
    for record in own:
        arrays = kept.get(record.number)
        if arrays is None or arrays.rows is None:
            continue
        for target, values in ((inputs, arrays.get("X")), (labels, arrays.get("truth", "y"))):
            if values is not None and len(values) == len(arrays.rows):
                target.update(zip(arrays.rows.tolist(), values, strict=True))
    train = sorted((inputs.keys() & labels.keys()) - set(test_rows.tolist()))
    shapes = {np.shape(inputs[row]) for row in train}
    if not train or len(shapes) != 1:
        return fit, None, None, None
    return fit, np.stack([inputs[row] for row in train]), squeeze(np.array([labels[row] for row in train])), np.array(train)
