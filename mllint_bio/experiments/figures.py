"""The sentence with the number: what the events at a finding's places measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mllint_bio.events import (
    Data,
    Event,
    Fit,
    Generator,
    Loss,
    Predict,
    Resample,
    Score,
    Seed,
    Select,
    Site,
    Split,
    Step,
    Subject,
)
from mllint_bio.observe.log import Log, Record
from mllint_bio.observe.observed import Observed
from mllint_bio.rows import Rows, masks_of

# Rules about which rows met: the count of shared rows is their figure.
ABOUT_ROWS = ("MLB6", "MLB70", "MLB71", "MLB725")


@dataclass(frozen=True)
class Sentence:
    """A sentence for people and its numbers for JSON."""

    text: str
    measured: dict[str, Any] = field(default_factory=dict)


def figure_of(
    code: str,
    at: Sequence[Event],
    evidence: Sequence[Event],
    observed: Observed,
    log: Log,
    line: Callable[[Site], int],
    where: Callable[[Site], str],
) -> Sentence:
    """The figure of a finding from the events at its place and at the places of its evidence.

    line: row of a site in its unit's text; where: the same for people ("line 41", "cell 4, line 2", "utils.py:41").
    """
    look = _Look(observed, log, line, where)
    events = [*at, *evidence]
    for make in (look.state, look.values, look.groups):
        sentence = make(code, events)
        if sentence is not None:
            return sentence
    if code.startswith(ABOUT_ROWS):
        scores = [event for event in observed.trace.held_out_scores if event.data.rows.known]
        for asked in (events, [*events, *scores]):
            sentence = look.rows(code, asked)
            if sentence is not None:
                return sentence
    return look.count(at)


@dataclass
class _Look:
    observed: Observed
    log: Log
    line: Callable[[Site], int]
    where: Callable[[Site], str]

    def rows(self, code: str, events: Sequence[Event]) -> Sentence | None:
        """Rows that two of these events share, most telling pair first: learning and scoring, then any two."""
        known = [(event, _rows(event)) for event in events]
        sized = [(event, rows) for event, rows in known if rows is not None and rows.known and rows.size]
        best: tuple[tuple[int, int], Event, Rows, Event, Rows, int] | None = None
        for position, (one, mine) in enumerate(sized):
            for other, theirs in sized[position + 1 :]:
                if one is other or one.at == other.at and type(one) is type(other):
                    continue
                shared = mine.shared(theirs)
                if shared is None:
                    continue
                telling = int(isinstance(other, Score)) + int(isinstance(one, (Fit, Select, Step, Resample)))
                weight = (int(shared > 0) * 2 + telling, shared)
                if best is None or weight > best[0]:
                    best = weight, one, mine, other, theirs, shared
        if best is None:
            return None
        _, one, mine, other, theirs, shared = best
        are = "is" if shared == 1 else "are"
        text = f"{self._did(one)} {mine.size} rows, {shared or 'none'} of them {are} among the {theirs.size} {self._done(other)}."
        return Sentence(
            text,
            {
                "rows": mine.size,
                "other_rows": theirs.size,
                "shared": shared,
                "line": self.line(one.at),
                "other_line": self.line(other.at),
            },
        )

    def state(self, code: str, events: Sequence[Event]) -> Sentence | None:
        """Modes, gradients, value ranges and weights that probes read at these lines."""
        lines = {self.line(event.at) for event in events}
        if code == "MLB311":
            for event in events:
                record = self._record(event)
                times = record.count if record is not None else 1
                if isinstance(event, Predict) and event.mode in ("train", "eval"):
                    mode = "training" if event.mode == "train" else "evaluation"
                    often = f"{times} forward pass{'es' if times != 1 else ''}"
                    text = f"{often} at {self.where(event.at)} ran in {mode} mode."
                    return Sentence(text, {"passes": times, "mode": mode})
                if isinstance(event, Step) and "eval" in event.modes:
                    made = f"{times} optimizer steps at {self.where(event.at)} were" if times != 1 else "One optimizer step was"
                    text = f"{made} made in evaluation mode."
                    return Sentence(text, {"steps": times, "mode": "evaluation"})
        seeds = [event for event in events if isinstance(event, (Seed, Generator))]
        if code in ("MLB307", "MLB308") and seeds:
            times = sum(record.count for event in seeds if (record := self._record(event)) is not None)
            value = next((event.value for event in seeds if isinstance(event, Seed) and event.value is not None), None)
            again = f" to {value}" if value is not None else ""
            often = f"{times} time{'s' if times != 1 else ''}"
            return Sentence(f"The generator was set {often}{again} in this run.", {"times": times, "value": value})
        wanted = {"MLB312": "gradient", "MLB313": "range", "MLB314": "weights"}.get(code)
        if wanted is None:
            return None
        found = [one for one in self.log.figures if one.get("what") == wanted]
        near = [one for one in found if _row(one.get("line")) in lines] or found
        if wanted == "gradient":
            near = [one for one in near if one.get("value")]
        if wanted == "gradient" and not near and self.log.end and any(True for _ in self.log.of("Backward")):
            passes = sum(record.count for record in self.log.of("Backward"))
            text = f"At none of the {passes} backward passes were gradients of an earlier step still there."
            return Sentence(text, {"backward_passes": 0, "refutes": True})
        if not near:
            return None
        if wanted == "gradient":
            return Sentence(
                f"At {len(near)} of the backward passes, gradients of an earlier step were still there "
                f"(norm {near[0]['value']:.3g} after step {near[0].get('step')}).",
                {"backward_passes": len(near), "first_step": near[0].get("step"), "norm": near[0]["value"]},
            )
        if wanted == "range":
            low, high = min(one["low"] for one in near), max(one["high"] for one in near)
            sums = [one["row_sums"] for one in near if one.get("row_sums") is not None]
            ones = bool(sums) and all(
                abs(value - 1) < 1e-3 for pair in sums for value in (pair if isinstance(pair, (list, tuple)) else [pair])
            )
            tail = " and every row sums to 1: they are probabilities" if ones else ""
            text = f"The values that reach the loss lie between {low:.3g} and {high:.3g}{tail}."
            expects = next((event.expects for event in events if isinstance(event, Loss)), "")
            probabilities = low >= -1e-6 and high <= 1 + 1e-6  # over all batches: one alone may happen to lie there
            refutes = (expects == "logits" and not probabilities) or (expects == "probabilities" and probabilities)
            return Sentence(text, {"low": low, "high": high, "row_sums_are_one": ones, "refutes": refutes})
        hashes = [one.get("hash") for one in near]
        return Sentence(
            f"{len(set(hashes))} different states of the weights were kept or loaded in {len(hashes)} places.",
            {"states": len(set(hashes)), "captures": len(hashes)},
        )

    def groups(self, code: str, events: Sequence[Event]) -> Sentence | None:
        """Entities with rows on both sides of a split, by the identifier columns of the tables that were divided."""
        if code not in ("MLB717", "MLB710", "MLB715"):
            return None
        for event in events:
            parts = [part for part in getattr(event, "parts", ()) if part.known]
            if len(parts) < 2:
                continue
            wanted = getattr(getattr(event, "data", None), "group", "")
            counts = {column: _on_both_sides(codes, parts) for column, codes in self.log.groups.items()}
            column = wanted if wanted in counts else max(counts, key=lambda name: counts[name][0], default="")
            shared, everything = counts.get(column, (0, 0))
            if not everything or (not shared and column != wanted):
                continue
            where = f"on both sides of the split at {self.where(event.at)}"
            text = f"{shared or 'None'} of {everything} values of `{column}` {'has' if shared == 1 else 'have'} rows {where}."
            return Sentence(text, {"column": column, "groups": everything, "groups_on_both_sides": shared, "refutes": not shared})
        return None

    def values(self, code: str, events: Sequence[Event]) -> Sentence | None:
        """Values of the figures themselves: how many there were, how many distinct predictions a ranking metric got."""
        scores = [event for event in events if isinstance(event, Score)]
        records = [record for event in scores if (record := self._record(event)) is not None]
        if code == "MLB727" and records:
            distinct = max(record.fields.get("distinct", -1) for record in records)
            if distinct >= 0:
                text = f"The ranking metric received {distinct} distinct values."
                return Sentence(text, {"distinct": distinct, "refutes": distinct > 2 and len(records) == len(scores)})
        if code == "MLB728" and records and any(record.fields.get("truth_predicted", -1) >= 0 for record in records):
            return Sentence("The predictions arrived as the truth.", {"truth_is_predicted": True})
        if code == "MLB729" and records:
            count = sum(record.count for record in records)
            return Sentence(f"The figure is a mean over {count} batches.", {"batches": count})
        if code in ("MLB726", "MLB705") and records:
            shown = [record.fields["value"] for record in records if record.fields.get("value") is not None]
            if shown:
                between = f"between {min(shown):.4g} and {max(shown):.4g}"
                text = (
                    f"{len(shown)} figures {between} were computed here." if len(shown) > 1 else f"The figure is {shown[0]:.4g}."
                )
                return Sentence(text, {"values": shown[:100]})
        return None

    def count(self, events: Sequence[Event]) -> Sentence:
        """That it happened, and how often."""
        records = [record for event in events if (record := self._record(event)) is not None]
        times = sum(record.count for record in records) or len(events)
        return Sentence(f"It happened {times} time{'s' if times != 1 else ''} in this run.", {"times": times})

    def _record(self, event: Event) -> Record | None:
        number = self.observed.record_of.get(event.id)
        return self.log.records[number] if number is not None else None

    def _did(self, event: Event) -> str:
        place = self.where(event.at)
        match event:
            case Fit():
                name = _name(event.subject)
                call = name if name == event.method else f"{name}.{event.method}"  # a function is its own method
                what = "Training" if event.method == "step" else f"`{call}`"
                return f"{what} at {place} saw"
            case Step():
                return f"Training at {place} saw"
            case Select():
                return f"The choice at {place} looked at"
            case Split():
                return f"The split at {place} divided"
            case Resample():
                return f"The resampling at {place} used"
            case Score():
                return f"The figure at {place} was computed on"
        return f"{place} used" if ":" in place else f"{place[0].upper()}{place[1:]} used"

    def _done(self, event: Event) -> str:
        place = self.where(event.at)
        match event:
            case Score():
                return f"rows scored at {place}"
            case Fit() | Step():
                return f"rows that {_name(getattr(event, 'subject', None))} learned from at {place}"
            case Split():
                return f"rows divided at {place}"
            case Select():
                return f"rows that the choice at {place} looked at"
        return f"rows used at {place}"


def _on_both_sides(codes: Mapping[int, int], parts: Sequence[Rows]) -> tuple[int, int]:
    """(entities with rows in the first and in the last part, all entities), for the code of each row."""
    sides = [{codes[row] for source, mask in masks_of(part) for row in numbers(source, mask) if row in codes} for part in parts]
    return len(sides[0] & sides[-1]), len(sides[0] | sides[-1])


def numbers(source: int, mask: int) -> Iterator[int]:
    """Tokens of the rows of a mask."""
    for row, bit in enumerate(reversed(f"{mask:b}")):
        if bit == "1":
            yield source << 40 | row


def _row(line: Any) -> int:
    return line[1] if isinstance(line, (tuple, list)) and len(line) == 2 else int(line or 0)


def _name(subject: Any) -> str:
    return subject.label if isinstance(subject, Subject) else "the model"


def _rows(event: Event) -> Rows | None:
    if isinstance(event, Resample):
        return event.data.rows
    data = getattr(event, "data", None)
    return data.rows if isinstance(data, Data) else None
