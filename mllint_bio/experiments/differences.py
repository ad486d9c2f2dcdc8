"""The first difference between runs of one program, in words: split, training data, losses, parameters, scores, predictions.

Causes are looked at before effects: other parts of a split explain another loss. Times, dates, addresses and scratch paths in
the printed text are no differences. Where runs were cut off (a limit of time), only what all of them reached is compared.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.experiments.metric import called
from mllint_bio.observe.job import Outcome, Status
from mllint_bio.observe.launch import OUTPUT_TAIL
from mllint_bio.observe.log import Line, Log, Seen

_VARYING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"0x[0-9a-f]+",
        r"\S*mllint-bio-[^\s'\"]*",
        r"/tmp/[^\s'\"]+",
        r"\d{4}-\d\d-\d\d(?:[ T_]\d\d[:-]\d\d(?:[:-]\d\d)?(?:[.,]\d+)?)?",
        r"\b\d{1,3}:\d\d(?::\d\d)?(?:\.\d+)?\b",
        r"\b(?:time|elapsed|duration|took|runtime|eta|speed)\b[^\d\n]{0,12}\d+(?:\.\d+)?(?:e-?\d+)?",
        r"\b\d+(?:\.\d+)?(?:e-?\d+)?\s?(?:s|secs?|seconds?|ms|µs|us|mins?|minutes?|hours?|it/s|s/it|batch(?:es)?/s)\b(?!\w)",
        r"\bpid\W{0,3}\d+",
        r"\s+",
    )
)


@dataclass(frozen=True)
class Difference:
    """Where runs part. what: split, training data, loss, parameters, score, predictions, course, text or end; words: a clause
    for people; step: optimizer step, from 1; line: `path:line`; values: what the runs have there, in their order."""

    what: str
    words: str
    step: int | None = None
    line: str = ""
    values: tuple[Any, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "what": self.what,
            "step": self.step,
            "line": self.line,
            "values": [_json(v) for v in self.values],
            "words": self.words,
        }


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. counts: how many of each kind were compared; same_split, same_predictions: None if there were none;
    per_line: whether everything that a line computed is equal in all runs."""

    runs: int
    first: Difference | None
    counts: dict[str, int] = field(default_factory=dict)
    same_split: bool | None = None
    same_predictions: bool | None = None
    per_line: dict[str, bool] = field(default_factory=dict)

    @property
    def identical(self) -> bool:
        """Equal bit for bit in all that was observed."""
        return self.first is None

    @property
    def seen(self) -> str:
        """What was compared, for people."""
        words = {
            "splits": ("split", "splits"),
            "fits": ("fit", "fits"),
            "losses": ("loss", "losses"),
            "parameters": ("state of the parameters", "states of the parameters"),
            "scores": ("score", "scores"),
            "predictions": ("set of predictions", "sets of predictions"),
            "text": ("printed line", "printed lines"),
        }
        return ", ".join(f"{count:,} {words[kind][count != 1]}" for kind, count in self.counts.items() if count)


@dataclass(frozen=True)
class _Item:
    """One thing that a run did: where, at which step, and what came of it."""

    what: str
    line: Line
    value: Any
    step: int | None = None
    label: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        return self.what, self.line, self.step, self.label

    @property
    def content(self) -> str:
        return repr(self.value)  # nan is equal to itself


def compare(outcomes: Sequence[Outcome], *, rounded: bool = False) -> Comparison:
    """What differs between runs of one program (two or more).

    rounded: scores and losses are compared to ten digits and predictions in single precision, so that sums which were only added
    up in another order are equal.
    """
    cut = any(outcome.status is not Status.FINISHED for outcome in outcomes)
    kinds: list[tuple[str, list[list[_Item]]]] = [
        ("splits", [_splits(outcome.log) for outcome in outcomes]),
        ("fits", [_fits(outcome) for outcome in outcomes]),
        ("course", [_course(outcome.log, rounded) for outcome in outcomes]),
        ("predictions", [_predictions(outcome, rounded) for outcome in outcomes]),
        ("text", [[] for _ in outcomes] if cut else _texts(outcomes)),
    ]
    lines: dict[Line, bool] = {}
    found: dict[str, Difference | None] = {}
    counts: dict[str, int] = {}
    for kind, runs in kinds:
        if cut:
            shortest = min(len(run) for run in runs)
            runs = [run[:shortest] for run in runs]
        found[kind] = _first(runs)
        counts |= _counts(kind, runs[0])
        if kind != "text":
            for line, same in _by_line(runs):
                lines[line] = lines.get(line, True) and same
    return Comparison(
        len(outcomes),
        next((one for one in found.values() if one is not None), _ends(outcomes)),
        counts,
        found["splits"] is None if any(kinds[0][1]) else None,
        found["predictions"] is None if any(kinds[3][1]) else None,
        {f"{path}:{line}": same for (path, line), same in sorted(lines.items()) if path},
    )


def losses(log: Log) -> tuple[list[float], list[float]]:
    """Steps (from 1) and losses of a run."""
    found = [f for f in log.figures if f.get("what") == "loss" and isinstance(f.get("value"), int | float)]
    return [float(f.get("step", k)) + 1 for k, f in enumerate(found)], [float(f["value"]) for f in found]


def draws(log: Log) -> dict[str, int]:
    """How many times each global generator was drawn from."""
    found: dict[str, int] = {}
    for figure in log.figures:
        if figure.get("what") == "draws" and figure.get("stream"):
            found[figure["stream"]] = found.get(figure["stream"], 0) + int(figure.get("count", 0))
    return found


def distinct(values: Sequence[Any]) -> str:
    """Differing values with as many digits as tell them apart: `0.6931 and 0.6894`."""
    different = list(dict.fromkeys(repr(value) for value in values))
    chosen = [next(value for value in values if repr(value) == text) for text in different][:4]
    texts = [str(value) for value in chosen]
    if all(isinstance(value, float) for value in chosen):
        for digits in range(4, 18):
            texts = [f"{value:.{digits}g}" for value in chosen]
            if len(set(texts)) == len(texts):
                break
    more = f" (and {len(different) - 4} more)" if len(different) > 4 else ""
    return (" and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)) + more


def shown(line: Line) -> str:
    """`path:line`, empty if it is not known."""
    return f"{line[0]}:{line[1]}" if line[0] else ""


# -- what a run did ------------------------------------------------------------------------------------------------------


def _splits(log: Log) -> list[_Item]:
    found = []
    for record in log.of("Split"):
        parts = record.fields.get("parts")
        if isinstance(parts, list | tuple):
            # by rows alone: in which order data sets were met, and so numbered, says nothing
            rows = tuple(tuple(sorted(log.members(p.rows).values())) for p in parts if isinstance(p, Seen))
            found.append(_Item("split", record.line, rows, label=record.api.rsplit(".", 1)[-1]))
    return found


def _fits(outcome: Outcome) -> list[_Item]:
    log, kept = outcome.log, _captured(outcome)
    found = []
    for record in log.of("Fit"):
        value = kept.get(record.number)
        if not value:  # batches of a network: their losses tell more than the union of their rows
            continue
        api = log.subjects.get(record.fields.get("subject", -1), {}).get("api", "") or record.api
        found.append(_Item("training data", record.line, value, label=str(api).rsplit(".", 1)[-1]))
    return found


def _course(log: Log, rounded: bool) -> list[_Item]:
    records = {record.number: record for record in log.of("Score")}
    found = []
    for figure in log.figures:
        if rounded and isinstance(figure.get("value"), float):
            figure = {**figure, "value": float(f"{figure['value']:.10g}")}
        match figure.get("what"):
            case "loss":
                found.append(_Item("loss", _line(figure), figure.get("value"), int(figure.get("step", 0)) + 1))
            case "parameters":
                found.append(_Item("parameters", ("", 0), figure.get("hash"), int(figure.get("step", 0))))
            case "score" if figure.get("event") in records:
                record = records[figure["event"]]
                name = called(str(record.fields.get("metric", "")))
                found.append(_Item("score", record.line, figure.get("value"), label=name))
    return found


def _predictions(outcome: Outcome, rounded: bool) -> list[_Item]:
    kept = _captured(outcome, ("prediction",), rounded)
    return [
        _Item("predictions", record.line, kept[record.number], label=called(str(record.fields.get("metric", ""))))
        for record in outcome.log.of("Score")
        if kept.get(record.number)
    ]


def _texts(outcomes: Sequence[Outcome]) -> list[list[_Item]]:
    texts = [_lines(outcome.output) for outcome in outcomes]
    if any(len(outcome.output) >= OUTPUT_TAIL for outcome in outcomes):  # the beginning was cut off, at different places
        shortest = min(len(lines) for lines in texts) - 1
        texts = [lines[len(lines) - max(shortest, 0) :] for lines in texts]
    return [[_Item("text", ("", 0), line) for line in lines] for lines in texts]


def _lines(output: str) -> list[str]:
    found = []
    for line in output.split("\n"):
        text = line.rstrip("\r").rsplit("\r", 1)[-1]  # a progress bar: what stays
        for pattern in _VARYING:
            text = pattern.sub(" ", text)
        if text.strip():
            found.append(text.strip())
    return found


def _captured(
    outcome: Outcome, names: tuple[str, ...] = ("X", "y"), rounded: bool = False
) -> dict[int, tuple[tuple[str, str], ...]]:
    """Digests of the arrays of each event."""
    folder = outcome.folder()
    if folder is None:
        return {}
    try:
        entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found: dict[int, tuple[tuple[str, str], ...]] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("event"), int):
            digests = tuple((name, _digest(folder / entry[name], rounded)) for name in names if isinstance(entry.get(name), str))
            found[entry["event"]] = found.get(entry["event"], ()) + digests
    return found


def _digest(path: Path, rounded: bool) -> str:
    try:
        if rounded:
            array = np.load(path, allow_pickle=False)
            if array.dtype.kind == "f":
                return hashlib.blake2b(array.astype(np.float32).tobytes(), digest_size=12).hexdigest()
        return hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
    except (OSError, ValueError):
        return ""


def _line(figure: dict[str, Any]) -> Line:
    line = figure.get("line")
    return (str(line[0]), int(line[1])) if isinstance(line, list | tuple) and len(line) == 2 else ("", 0)


# -- how runs differ -----------------------------------------------------------------------------------------------------


def _ends(outcomes: Sequence[Outcome]) -> Difference | None:
    """Some runs ended in another way than others."""
    ways = [outcome.reason or outcome.status.value for outcome in outcomes]
    if len({outcome.status for outcome in outcomes}) == 1:
        return None
    other = next(k for k, outcome in enumerate(outcomes) if outcome.status is not outcomes[0].status)
    words = f"run 1 {_ended(outcomes[0])}, run {other + 1} {_ended(outcomes[other])}"
    return Difference("end", words, values=tuple(ways))


def _ended(outcome: Outcome) -> str:
    return "finishes" if outcome.finished else f"ends with: {outcome.reason or outcome.status.value}"


def _first(runs: Sequence[list[_Item]]) -> Difference | None:
    """The first position at which the runs do not hold the same."""
    for k in range(max((len(run) for run in runs), default=0)):
        if any(len(run) <= k for run in runs):
            short = next(n for n, run in enumerate(runs) if len(run) <= k)
            long = next(n for n, run in enumerate(runs) if len(run) > k)
            return _other_course(runs, short, long, k)
        items = [run[k] for run in runs]
        if any(item.key != items[0].key for item in items):
            other = next(n for n, item in enumerate(items) if item.key != items[0].key)
            words = f"run 1 comes to {_what(items[0])} where run {other + 1} comes to {_what(items[other])}"
            return Difference("course", words, items[0].step, shown(items[0].line), (_what(items[0]), _what(items[other])))
        if any(item.content != items[0].content for item in items):
            return _described(items)
    return None


def _other_course(runs: Sequence[list[_Item]], short: int, long: int, k: int) -> Difference:
    item = runs[long][k]
    if item.what == "text":
        return Difference("text", f"run {long + 1} prints {_quoted(item.value)}, run {short + 1} does not", values=(item.value,))
    words = f"run {long + 1} comes to {_what(item)}, run {short + 1} has nothing more of the kind"
    return Difference("course", words, item.step, shown(item.line), (_what(item),))


def _what(item: _Item) -> str:
    at = f" ({shown(item.line)})" if item.line[0] else ""
    step = f" of step {item.step}" if item.step is not None else ""
    name = {"score": f"the {item.label}", "split": f"the split by {item.label}", "training data": f"the fit of {item.label}"}
    return f"{name.get(item.what, 'the ' + item.what)}{step}{at}" if item.what != "text" else _quoted(item.value)


def _described(items: Sequence[_Item]) -> Difference:
    item, values = items[0], tuple(one.value for one in items)
    at = f" ({shown(item.line)})" if item.line[0] else ""
    match item.what:
        case "split":
            words = f"{item.label} puts other rows into its parts{_rows_moved(values)}{at}"
            return Difference("split", words, None, shown(item.line), tuple(hash_of(value) for value in values))
        case "training data":
            words = f"{item.label} is fitted on other data, or on the same rows in another order{at}"
            return Difference("training data", words, None, shown(item.line), tuple(hash_of(value) for value in values))
        case "loss":
            words = f"the loss differs from step {item.step} on: {distinct(values)}{at}"
        case "parameters":
            words = (
                f"the parameters differ after step {item.step}, although the losses until then are equal"
                if item.step
                else "the parameters differ from the start: they were initialised in another way"
            )
        case "score":
            words = f"the {item.label} differs: {distinct(values)}{at}"
        case "predictions":
            words = f"the predictions behind the {item.label} differ, although all scores until then are equal{at}"
            return Difference("predictions", words, None, shown(item.line), tuple(hash_of(value) for value in values))
        case _:
            other = next(one for one in items if one.content != item.content)
            words = f"the printed text differs: {_quoted(item.value)} and {_quoted(other.value)}"
    return Difference(item.what, words, item.step, shown(item.line), values)


def _json(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def hash_of(value: Any) -> str:
    """A short name for something large, so that equal ones can be told."""
    return hashlib.blake2b(repr(value).encode(), digest_size=6).hexdigest()


def _rows_moved(values: Sequence[Any]) -> str:
    """How many rows of the last part are others in the first run that differs."""
    other = next(value for value in values if repr(value) != repr(values[0]))
    if not values[0] or not other or not values[0][-1] or not other[-1]:
        return ""
    if len(values[0][-1]) != 1 or len(other[-1]) != 1:
        return ""
    [one], [two] = values[0][-1], other[-1]
    size, gone = one.bit_count(), (one & ~two).bit_count()
    return f": {gone:,} of the {size:,} rows of its last part are others" if gone else ""


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= 80 else f'"{text[:77]}..."'


def _by_line(runs: Sequence[list[_Item]]) -> Iterator[tuple[Line, bool]]:
    """Lines, and whether everything that they did is the same in all runs."""
    contents: list[dict[tuple[Line, str], list[str]]] = []
    for run in runs:
        own: dict[tuple[Line, str], list[str]] = {}
        for item in run:
            own.setdefault((item.line, item.what), []).append(item.content)
        contents.append(own)
    for key in dict.fromkeys(key for own in contents for key in own):
        yield key[0], all(own.get(key) == contents[0].get(key) for own in contents)


def _counts(kind: str, items: list[_Item]) -> dict[str, int]:
    if kind != "course":
        return {kind: len(items)}
    named = {"losses": "loss", "parameters": "parameters", "scores": "score"}
    return {name: sum(item.what == what for item in items) for name, what in named.items()}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Values of several runs with their range and standard deviation (None for fewer than two)."""
    numbers = [value for value in values if math.isfinite(value)]
    mean = math.fsum(numbers) / len(numbers) if numbers else math.nan
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in numbers) / (len(numbers) - 1)) if len(numbers) > 1 else None
    return {
        "values": [value if math.isfinite(value) else None for value in values],
        "min": min(numbers, default=None),
        "max": max(numbers, default=None),
        "sd": deviation,
    }
