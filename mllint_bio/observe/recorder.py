"""The recorder: what probes call to write events, and what the instrumented program calls back.

Probes stand at the edge between the user's code and a library. `Recorder.outermost` keeps what a library calls inside itself out
of the log, `site` finds the user's line, `event` numbers and merges events: the repeats of a batch loop become one event whose
rows are the union of the batches, until something else happens.
"""

from __future__ import annotations

import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from mllint_bio.observe.identity import UNIDENTIFIED, Identity, Tag, Tokens, is_data, is_table, length
from mllint_bio.observe.job import Job
from mllint_bio.observe.log import Line, Record, Seen, Writer
from mllint_bio.observe.passes import Passes

NOWHERE: Line = ("", 0)

MAX_RECORDS = 200_000
ALIKE = 6  # batches with the same events, after which the following ones are not looked at one by one

# Columns that name what a row belongs to, as people in biology call them.
IDENTIFIER = re.compile(
    r"patient|subject|donor|participant|person|individual|animal|mouse|case|slide|sample|specimen|cell_?line|family|protein|"
    r"recording|(^|_)id$|^id",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Open:
    """An event that may still grow: the record and the rows of each of its data fields."""

    record: Record
    tokens: dict[str, list[Tokens]] = field(default_factory=dict)
    dirty: bool = False


class Recorder:
    """Writes what happens in one run.

    steps: optimizer steps so far; batch: rows of the batch that a loader handed out last; locate: maps a frame's file and line to
    a `Line`, or to None for code that is not the user's.
    """

    def __init__(self, writer: Writer, locate: Callable[[str, int], Line | None], job: Job, arrays: Path | None = None) -> None:
        self.writer = writer
        self.identity = Identity(writer)
        self.job = job
        self.arrays = arrays
        self.steps = 0
        self.records = 0
        self.locate = locate
        self._foreign: set[str] = set()
        self._local = threading.local()
        self._lock = threading.RLock()
        self._subjects: dict[int, tuple[Any, int]] = {}
        self._subject_count = 0
        self._cycle: dict[Any, _Open] = {}
        self._drawn: dict[Any, _Open] = {}
        self._round: list[Any] = []  # keys of the events of this batch that repeat earlier ones, in order
        self._rounds: tuple[tuple[Any, ...], int] = ((), 0)  # the latest round, and how often it came in a row
        self._handed: list[Tag] = []  # batches that were handed out while resting
        self.resting = False  # batches repeat exactly: probes of training need not tell every one
        self._marks: dict[int, int] = {}
        self._grouped: set[tuple[str, int]] = set()
        self._saved: list[dict[str, Any]] = []
        self._saved_bytes = 0
        self.batch: Tag | None = None
        self.learned: dict[int, frozenset[int]] = {}  # subject number -> Fit events that its state rests on
        self.fits: list[int] = []  # numbers of Fit events, in order
        self.last: Record | None = None  # the record that was written last
        self.passes = Passes()
        self.finished = False
        self.at_end: list[Callable[[], Any]] = []  # what probes still have to write
        self._makers: dict[int, int] = {}  # Predict event -> its subject

    # -- where we are ----------------------------------------------------------------------------------------------

    def site(self, frame: FrameType | None = None) -> tuple[Line, tuple[Line, ...]]:
        """The innermost line of the user's code on the stack, and the call sites around it from the entry point inwards.

        frame: where to begin (default: the caller).
        """
        found: list[Line] = []
        frame = frame or sys._getframe(1)
        foreign, locate = self._foreign, self.locate
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in foreign:
                line = locate(name, frame.f_lineno)
                if line is None:
                    foreign.add(name)  # whether a file is the user's does not depend on the line
                else:
                    found.append(line)
            frame = frame.f_back
        return (found[0], tuple(reversed(found[1:]))) if found else (NOWHERE, ())

    @contextmanager
    def inside(self, what: str = "") -> Iterator[bool]:
        """Enter a probed call; true if no other probed call is around it. `what` is kept for `around`."""
        stack: list[str] = getattr(self._local, "stack", None) or []
        self._local.stack = stack
        stack.append(what)
        try:
            yield len(stack) == 1
        finally:
            stack.pop()

    @property
    def depth(self) -> int:
        """Number of probed calls that this thread is in."""
        return len(getattr(self._local, "stack", None) or ())

    def around(self) -> list[str]:
        """What was said by the probed calls that this thread is in, outermost first."""
        return list(getattr(self._local, "stack", None) or ())

    # -- objects ---------------------------------------------------------------------------------------------------

    def subject(self, value: Any, api: str = "", **facts: Any) -> int:
        """Number of an object; facts (api, role, given, parts, line, ...) are written when they come, and may come later."""
        with self._lock:
            known = self._subjects.get(id(value))
            if known is None or known[0]() is not value:
                self._subject_count += 1
                try:
                    reference: Any = weakref.ref(value)
                except TypeError:
                    reference = lambda value=value: value  # noqa: E731 - kept alive, so that its number stays its own
                known = self._subjects[id(value)] = (reference, self._subject_count)
                facts = {"api": api or api_of(value), **facts}
            if facts:
                self.writer.write("subject", known[1], facts)
            return known[1]

    def known_subject(self, value: Any) -> int:
        """Number of an object that was seen before, -1 otherwise."""
        known = self._subjects.get(id(value))
        return known[1] if known is not None and known[0]() is value else -1

    # -- data ------------------------------------------------------------------------------------------------------

    def rows(self, value: Any, label: str = "data", *, beside: Any = None) -> Tokens | None:
        """Tokens of a value's rows; what was not seen before becomes a source of its own.

        beside: a value that was handed in with it, so that it holds the same rows (labels beside features).
        """
        if value is None or length(value) == 0:
            return None
        if beside is not None:
            self.align(value, beside)
        tokens = self.identity.tokens_of(value)
        if (
            tokens is None
            and self.batch is not None
            and self.batch.tokens is not None
            and length(value) == len(self.batch.tokens)
        ):
            self.identity.tag(value, self.batch)
            return self.batch.tokens
        if tokens is None:
            collected = self.passes.collected(value, prediction=False)
            if collected is not None:
                self.identity.tag(value, collected)
                return collected.tokens
        if tokens is None or (tokens == UNIDENTIFIED).any():
            tokens = self.identity.adopt(value, label, self.site()[0])
        return tokens

    def prediction(self, value: Any) -> None:
        """This value is scored as a prediction: if it was collected over a pass of a loader, it holds that pass's outputs."""
        tag = self.tag(value)
        if tag.predicted < 0 and length(value) and (tag.tokens is None or tag.loader >= 0):
            collected = self.passes.collected(value, prediction=True)
            if collected is None or collected.tokens is None:
                return
            if tag.tokens is None or np.array_equal(tag.tokens, collected.tokens):
                self.identity.tag(value, collected)

    def align(self, *values: Any) -> None:
        """These values were handed in side by side."""
        self.identity.align([value for value in values if value is not None])

    def tag(self, value: Any) -> Tag:
        """What is known of a value besides its rows."""
        return self.identity.tag_of(value) or Tag(None)

    def groups(self, table: Any) -> None:
        """Write the identifier columns of a table (a patient's number, a slide's name): rows with equal codes belong together."""
        if not is_table(table) or table.ndim != 2 or len(table) > 1_000_000:
            return
        tokens = self.identity.tokens_of(table)
        if tokens is None or (tokens == UNIDENTIFIED).any():
            return
        for name in [name for name in table.columns if isinstance(name, str) and IDENTIFIER.search(name)][:8]:
            key = (name, self.identity.rowset(tokens))
            values = table[name]
            if key in self._grouped or getattr(values, "ndim", 1) != 1 or values.dtype.kind == "f":
                continue
            self._grouped.add(key)
            codes = values.map({value: code for code, value in enumerate(values.unique())}).to_numpy(np.int64, na_value=-1)
            self.writer.write("groups", {"column": name, "tokens": tokens.tobytes(), "codes": codes.tobytes()})

    # -- events ----------------------------------------------------------------------------------------------------

    def event(
        self,
        kind: str,
        api: str,
        data: dict[str, Any] | None = None,
        /,
        *,
        merge: Any = None,
        site: tuple[Line, tuple[Line, ...]] | None = None,
        **fields: Any,
    ) -> int:
        """Write an event and return its number.

        data: values by field name (`data`, `target`, `truth`, `parts` as a list, ...), whose rows are identified here, or their
        tags; fields: the other fields, plain values and subject numbers; merge: repeats with the same line, kind, api and
        `merge` become one event while nothing else happens (None: never merged); site: where it happened, if not here.
        """
        line, calls = site or self.site()
        seen = {name: self._see(value, api, several=name == "parts") for name, value in (data or {}).items()}
        with self._lock:
            key = None if merge is None else (kind, line, calls, api, merge)
            if key is not None and kind.split(":")[0] == "Draw" and key in self._drawn:
                self._drawn[key].record.count += 1
                return self._drawn[key].record.number
            if key is not None and key in self._cycle:
                self._round.append(key)
                return self._again(self._cycle[key], seen)
            if not self.resting:
                self._rounds = ((), 0)
            if key is None:
                self.barrier()
            if self.records >= MAX_RECORDS:
                return self.records - 1
            kind = kind.split(":")[0]
            plain = {name: self._plain(tokens, tag) for name, (tokens, tag) in seen.items()}
            record = Record(self.records, kind, line, calls, api, {**plain, **fields})
            self.records += 1
            self.writer.write("event", record)
            self.last = record
            if kind == "Predict":
                self._makers[record.number] = fields.get("subject", -1)
            if key is not None:
                growing = _Open(record, {name: [tokens] for name, (tokens, _) in seen.items() if isinstance(tokens, np.ndarray)})
                (self._drawn if kind == "Draw" else self._cycle)[key] = growing
            return record.number

    def maker(self, predict: int) -> int:
        """Subject number of what made a prediction; -1 if no such Predict event is known."""
        return self._makers.get(predict, -1)

    def revise(self, record: Record, **changes: Any) -> None:
        """Write a record again: later calls told more about it. Changes are fields, or `line` and `api`."""
        with self._lock:
            record.line = changes.pop("line", record.line)
            record.api = changes.pop("api", record.api)
            record.fields.update(changes)
            self.writer.write("event", record)

    def _see(self, value: Any, label: str, *, several: bool) -> tuple[Any, Any]:
        if isinstance(value, Tag):
            return value.tokens, value
        if several:
            parts = [self._see(part, label, several=False) for part in value]
            return [tokens for tokens, _ in parts], [tag for _, tag in parts]
        return self.rows(value, label), self.tag(value)

    def _plain(self, tokens: Any, tag: Any) -> Any:
        if isinstance(tokens, list):
            return [self._plain(one, own) for one, own in zip(tokens, tag, strict=True)]
        return Seen(
            self.identity.rowset(tokens),
            -1 if tokens is None else len(tokens),
            tuple(sorted(tag.learned)),
            tag.predicted,
            tag.loader,
            tag.visit,
            order_of(tokens),
        )

    def _again(self, growing: _Open, seen: dict[str, tuple[Any, Any]]) -> int:
        growing.record.count += 1
        growing.dirty = True
        for name, (tokens, _) in seen.items():
            if isinstance(tokens, np.ndarray):
                parts = growing.tokens.setdefault(name, [])
                parts.append(tokens)
                if len(parts) > 64:  # one pass over a large data set: keep what is distinct
                    growing.tokens[name] = [np.unique(np.concatenate(parts))]
        return growing.record.number

    def barrier(self) -> None:
        """Something that no batch loop repeats: events before it grow no more."""
        self.wake()
        for growing in self._cycle.values():
            self._write_again(growing)
        self._cycle.clear()

    def next_batch(self, tag: Tag) -> None:
        """A loader hands out a batch. Once the same events have come in the same order for some batches, the recorder rests:
        the rest of the pass is taken to go on like that, and the events grow by the rows of the batches handed out."""
        if self.resting:
            self._handed.append(tag)
            return
        latest, count = tuple(self._round), self._rounds[1]
        self._round = []
        self._rounds = (latest, count + 1 if latest and latest == self._rounds[0] else 0)
        self.resting = self._rounds[1] >= ALIKE and self.job.controls.shuffle_labels is None
        if self.resting:
            self.next_batch(tag)

    def wake(self) -> None:
        """The pass is over, or something happens that training batches do not do."""
        handed, self._handed = self._handed, []
        repeated = [self._cycle[key] for key in self._rounds[0] if handed and key in self._cycle]
        for growing in repeated:
            for tag in handed:
                self._again(growing, dict.fromkeys(growing.tokens, (tag.tokens, tag)))
        self.resting, self._rounds, self._round = False, ((), 0), []

    def _write_again(self, growing: _Open) -> None:
        if not growing.dirty:
            return
        for name, parts in growing.tokens.items():
            tokens = np.unique(np.concatenate(parts))
            seen = growing.record.fields.get(name)
            if isinstance(seen, Seen):
                seen.rows, seen.count = self.identity.rowset(tokens), len(tokens[tokens != UNIDENTIFIED])
        self.writer.write("event", growing.record)
        growing.dirty = False

    def figure(self, what: str, **values: Any) -> None:
        """Write a figure (see `mllint_bio.observe.log`)."""
        self.writer.write("value", {"what": what, **values})

    def finish(self) -> None:
        """Write what is still open; called when the program has ended, in whatever way."""
        with self._lock:
            for last in self.at_end:
                with suppress(Exception):
                    last()
            self.barrier()
            for growing in self._drawn.values():
                self.writer.write("event", growing.record)
                self.figure("draws", stream=growing.record.fields.get("stream", ""), count=growing.record.count)
            for number, count in self._marks.items():
                path, line = self.job.guide.marks[number]
                self.figure("mark", line=(path, line), count=count)
            self._save_index()
            self.finished = True
            self.writer.flush()

    # -- callbacks of the instrumented program ----------------------------------------------------------------------

    def mark(self, number: int) -> None:
        """A marked statement is executed; the first times are placed among the events."""
        count = self._marks[number] = self._marks.get(number, 0) + 1
        if count <= 50:
            path, line = self.job.guide.marks[number]
            with self._lock:
                key = ("Mark", number)
                if key in self._cycle:
                    self._again(self._cycle[key], {})
                    return
                record = Record(self.records, "Mark", (path, line), self.site()[1], "", {"mark": number})
                self.records += 1
                self.writer.write("event", record)
                self._cycle[key] = _Open(record)

    def made(self, value: Any, operands: Sequence[Any]) -> Any:
        """The value of an assignment or a return, and what it was computed from; returns the value."""
        if not self.resting and is_data(value) and self.depth == 0:
            try:
                self.identity.made(value, operands)
            except Exception:  # the user's program must not fail for our sake; rows of this value stay unknown
                return value
        return value

    # -- arrays for experiments --------------------------------------------------------------------------------------

    def capture(self, event: int, kind: str, **values: Any) -> None:
        """Keep arrays of an event (X, y, truth, prediction) for experiments; up to 256 MiB in all, the first 400 events. Those
        inside a search or a cross-validation are many: they leave room for what the program itself fits and scores."""
        most = 100 if self.depth else 400
        if self.arrays is None or not self.job.controls.capture or len(self._saved) >= most:
            return
        entry: dict[str, Any] = {"event": event, "kind": kind}
        for name, value in values.items():
            array = plain_array(value)
            if array is None or array.nbytes + self._saved_bytes > 256 * 2**20:
                continue
            self._keep(entry, name, array)
            if name in ("X", "truth") and "rows" not in entry:
                tokens = self.identity.tokens_of(value)
                if tokens is not None and len(tokens) == len(array):
                    self._keep(entry, "rows", tokens)
        self._saved.append(entry)
        if len(self._saved) % 20 == 1:
            self._save_index()

    def _keep(self, entry: dict[str, Any], name: str, array: Any) -> None:
        assert self.arrays is not None
        file = f"{len(self._saved)}_{name}.npy"
        np.save(self.arrays / file, array, allow_pickle=False)
        self._saved_bytes += array.nbytes
        entry[name] = file

    def _save_index(self) -> None:
        if self.arrays is not None and self._saved:
            import json

            (self.arrays / "index.json").write_text(json.dumps(self._saved), encoding="utf-8")


def api_of(value: Any) -> str:
    """Dotted name of an object's class, or of a function."""
    kind = value if isinstance(value, type) or callable(value) and hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def order_of(tokens: Any) -> str:
    """`sorted` for rows in the order of their source, else empty."""
    if not isinstance(tokens, np.ndarray) or len(tokens) < 2:
        return ""
    return "sorted" if bool((np.diff(tokens) > 0).all()) else "shuffled"


def plain_array(value: Any) -> Any:
    """A value as an array that can be saved without pickling; None if it cannot."""
    from mllint_bio.observe.identity import as_array, is_sparse

    if is_sparse(value):
        return value.toarray() if value.shape[0] * value.shape[1] < 20_000_000 else None
    array = as_array(value)
    if array is None and isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            return None
    if array is None or not array.ndim:
        return None
    if array.dtype.kind == "O":
        texts = array.ravel().tolist()
        if all(isinstance(cell, bool | int | float | np.number) for cell in texts):
            return array.astype(float)
        return np.array([str(cell) for cell in texts]).reshape(array.shape)
    return array if array.dtype.kind in "fiubUS" else None
