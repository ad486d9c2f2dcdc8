"""The log of an observed run: what the child process writes while the program runs, and the parent reads, even after a crash.

The file is a sequence of pickled tuples `(kind, ...)`, flushed several times a second; reading stops at the first
incomplete one. Only plain values are written (numbers, strings, bytes, tuples, lists, dicts), so that reading needs nothing but
the standard library. Row numbers: every data set seen is a *source* with rows 0..n-1; a row set is one
bit mask (an `int`) per source.

Records, in the order in which they happen:

    ("start", {...})                         once: versions, command, pid
    ("source", number, {...})                a data set: label, size, line, derived_from (row-set number), how
    ("rows", number, {source: mask bytes})   a row set (little-endian bytes of the mask)
    ("subject", number, {...})               an object: api, given, line, parts (subject numbers), modules, ...
    ("groups", {...})                        column (an identifier's name), tokens and codes: bytes of int64, one per row
    ("event", kind, {...})                   an event of `mllint_bio.events`, see `Record`
    ("value", {...})                         a figure, see below; ("values", [...]) several
    ("refused", {...})                       what the sandbox refused
    ("versions", {...})                      packages that the program imported
    ("end", {...})                           status, reason, place, exit code, seconds

Figures, by their key "what":

    score        event (number of the Score), value                  every figure of merit that was computed
    loss         step (optimizer steps so far), value, line          at every backward
    parameters   step, hash                                          after every step, with `Controls.fingerprints`
    draws        stream, count                                       random numbers drawn per global generator, at the end
    operation    name, line, message                                 an operation without a deterministic kernel
    mode         subject, training, line                             `module.training` at a forward whose output is scored
    gradient     step, value (norm), line                            gradients present before a backward (nothing cleared them)
    range        line, low, high, row_sums                           values that reach a loss
    weights      event, hash                                         weights kept, saved or loaded
    mark         line, count                                         a marked statement was executed
    device       name, cuda                                          hardware that the program used

With `Controls.capture`, the folder `Outcome.arrays` holds `index.json`, a list of objects with `event` (number), `kind` (Fit,
Predict or Score) and the file names of the arrays `X`, `y`, `truth`, `prediction` and `rows` (absent if there is no such array),
and those `.npy` files; `rows` holds one token per row, `source << 40 | row`, -1 if unknown."""

from __future__ import annotations

import os
import pickle
import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = tuple[str, int]  # path relative to the project's root (as the static side shows it), 1-based line in the unit's text


@dataclass(slots=True)
class Seen:
    """What an event saw of a data value, as written by the child.

    rows: number of the row set, -1 if the rows could not be identified; count: number of rows as the value holds them (copies
    counted); learned: numbers of the Fit events whose result shaped the values; predicted: number of the Predict event whose
    output this is, -1 if none; loader: subject number of the loader that the values came from, -1 if none; visit: which pass.
    """

    rows: int = -1
    count: int = -1
    learned: tuple[int, ...] = ()
    predicted: int = -1
    loader: int = -1
    visit: int = 0
    ordered: str = ""


@dataclass(slots=True)
class Record:
    """One event: number (its position among the events), kind (class name in `mllint_bio.events`), line (where in the
    user's code), calls (call sites from the entry point inwards), api (dotted name of what was called), fields (event fields:
    `Seen` for data, subject numbers for subjects, plain values else), count (how often it happened in a row; repeats of a batch
    loop are merged), thread (0 main)."""

    number: int
    kind: str
    line: Line
    calls: tuple[Line, ...] = ()
    api: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    count: int = 1


@dataclass(slots=True)
class Source:
    """A data set that the run saw: label for messages, size in rows, line where it was first seen; derived_from: row set from
    which its rows were made (synthetic samples), how: copy, synthetic, augment, window."""

    number: int
    label: str = ""
    size: int = 0
    line: Line = ("", 0)
    derived_from: int = -1
    how: str = ""


@dataclass(slots=True)
class Log:
    """Everything that was read from a run's log file."""

    start: dict[str, Any] = field(default_factory=dict)
    sources: dict[int, Source] = field(default_factory=dict)
    rows: dict[int, dict[int, int]] = field(default_factory=dict)
    subjects: dict[int, dict[str, Any]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, dict[int, int]] = field(default_factory=dict)  # identifier column -> token of a row -> code of its value
    refused: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)

    def members(self, number: int) -> dict[int, int]:
        """Mask of each source in a row set; empty for -1."""
        return self.rows.get(number, {})

    def of(self, *kinds: str) -> Iterator[Record]:
        """Records of these kinds, in order."""
        return (record for record in self.records if record.kind in kinds)


class Writer:
    """Writes the log of the process it lives in; safe to use from several threads, silent in forked children."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._flushed = 0.0

    def write(self, *record: Any) -> None:
        """Append a record; it reaches the disk within a fifth of a second of the next one, or at `flush`."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            pickle.dump(record, self._file, protocol=5)
            now = time.monotonic()
            if now - self._flushed > 0.2:
                self._file.flush()
                self._flushed = now

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if os.getpid() == self._pid:
            with self._lock:
                self._file.flush()


class _Plain(pickle.Unpickler):
    """Reads plain values and the two record classes of this module, nothing else: a log is data, even a manipulated one."""

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in ("Seen", "Record"):
            return globals()[name]
        raise pickle.UnpicklingError(f"a log holds no {module}.{name}")


def read(path: Path) -> Log:
    """The log of a run, up to the first record that is incomplete; an empty log if there is no file."""
    log = Log()
    if not path.exists():
        return log
    with path.open("rb") as file:
        while True:
            try:
                kind, *rest = _Plain(file).load()
            except Exception:  # cut off in the middle by a kill, or damaged: what stands before it counts
                return log
            _take(log, kind, rest)


def _take(log: Log, kind: str, rest: list[Any]) -> None:
    match kind:
        case "start":
            log.start = rest[0]
        case "source":
            log.sources[rest[0]] = Source(rest[0], **rest[1])
        case "rows":
            log.rows[rest[0]] = {source: int.from_bytes(mask, "little") for source, mask in rest[1].items()}
        case "subject":
            log.subjects.setdefault(rest[0], {}).update(rest[1])
        case "event":
            record: Record = rest[0]
            if record.number < len(log.records):
                log.records[record.number] = record  # written again, with more rows or a higher count
            else:
                log.records.append(record)
        case "value":
            log.figures.append(rest[0])
        case "values":
            log.figures.extend(rest[0])
        case "groups":
            tokens, codes = (array("q", rest[0][name]) for name in ("tokens", "codes"))
            log.groups.setdefault(rest[0]["column"], {}).update(zip(tokens, codes, strict=True))
        case "refused":
            log.refused.append(rest[0])
        case "versions":
            log.versions.update(rest[0])
        case "end":
            log.end = rest[0]
