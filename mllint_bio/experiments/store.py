"""Finished runs, kept by content key, and the set of runs that uses them: what was finished is not run again.

An entry is a folder `runs/<key>` in the cache folder: `outcome.json` (how the run ended), `log` (what was observed, in the format
of `mllint_bio.observe.log`, whose reader takes plain values only) and `arrays/` (captured arrays). It is written beside its place
and renamed into it, so that it is there as a whole or not at all; one that cannot be read is as good as none. The oldest entries
go when all together pass the size limit.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import distributions
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import mllint_bio
from mllint_bio import cache
from mllint_bio.config import DEFAULT_EXCLUDE
from mllint_bio.experiments.executors import Pool, Stopped, Tell
from mllint_bio.observe import log as logs
from mllint_bio.observe.job import Command, Job, Outcome, Refusal, Status
from mllint_bio.observe.log import Log

LIMIT = 2 * 2**30  # bytes of all entries
LAYOUT = 1  # of an entry; raise it when the form changes
KEPT = frozenset({Status.FINISHED, Status.FAILED, Status.REFUSED})  # ends that would be the same again
MOST_FILES = 100_000  # of a project; one with more is never taken for unchanged
_SOURCES = (".py", ".ipynb", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".json", ".r")
_SOURCE_BYTES = 2 * 2**20
REPORTS = "mllint-bio-confirm"  # what `confirm` itself writes into a project changes no run
_KEY = len(Job(Command("", "", (), "", "")).key())
_STALE = 24 * 3600.0  # seconds after which a half-written entry of another process is nobody's
_ENVIRONMENT = ("PYTHONPATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CONDA_PREFIX", "VIRTUAL_ENV")


def content(root: Path, command: Command | None = None) -> str:
    """Hash of what a run's outcome depends on besides its job: sources by content, other files of the project and those that the
    arguments name by size and time of change, Python, this package and the installed packages by version, and variables that
    steer them."""
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        digest.update(repr(parts).encode("utf-8", "surrogatepass"))

    add(LAYOUT, sys.version, platform.platform(), sys.executable)
    add(*sorted(f"{d.metadata['Name']} {d.version}" for d in distributions()))
    add(*((name, os.environ.get(name)) for name in _ENVIRONMENT))
    own = Path(mllint_bio.__file__).parent
    observers = [path for part in ("observe", "catalog") for path in sorted((own / part).rglob("*")) if path.is_file()]
    add(*((path.name, *signature) for path, signature in zip(observers, cache.sign(observers).values(), strict=True)))
    count = 0
    for path, status in _files(root):
        count += 1
        if count > MOST_FILES:
            add(os.getpid(), time.time_ns())
            break
        name = os.path.relpath(path, root)
        if name.startswith(REPORTS):
            continue
        if path.lower().endswith(_SOURCES) and status.st_size <= _SOURCE_BYTES:
            with suppress(OSError):
                add(name, Path(path).read_bytes())
                continue
        add(name, status.st_size, status.st_mtime_ns)
    for path, status in _named(command, root) if command is not None else ():
        add(path, status.st_size, status.st_mtime_ns)
    return digest.hexdigest()


def _named(command: Command, root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files outside the project that the arguments name (`--data /data/cohort`, `--data=/data/cohort.csv`)."""
    for argument in command.arguments:
        for text in dict.fromkeys((argument, argument.partition("=")[2])):
            path = os.path.realpath(os.path.join(command.folder, text)) if text else ""
            if not path or not os.path.exists(path) or Path(path).is_relative_to(root.resolve()):
                continue
            if root.resolve().is_relative_to(path):
                continue  # `..` and `/` are no data sets
            if os.path.isdir(path):
                yield from islice(_files(Path(path)), MOST_FILES)
            else:
                yield path, os.stat(path)


def _files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    excluded = {name for name in DEFAULT_EXCLUDE if "*" not in name} - {"build", "dist", "env"}
    for top, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in excluded)
        for name in sorted(names):
            path = os.path.join(top, name)
            with suppress(OSError):
                yield path, os.stat(path)


class Store:
    """Outcomes by content key. content: see `content`; folder: of the cache (default: the user's); reuse: whether outcomes of
    earlier processes count (`--fresh` says no); limit: bytes of all entries. A folder that cannot be written costs time only."""

    def __init__(self, content: str, folder: Path | None = None, *, reuse: bool = True, limit: int = LIMIT) -> None:
        self.folder = (folder or cache.folder()) / "runs"
        self._content = content
        self._reuse = reuse
        self._limit = limit
        self._own: set[str] = set()  # keys that this process has stored or handed out: never dropped by it
        self._rooms: dict[str, Path] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def get(self, job: Job) -> Outcome | None:
        """The outcome of this job, if it is known."""
        key = job.key(self._content)
        if not self._reuse and key not in self._own:
            return None
        place = self.folder / key
        try:
            record = json.loads((place / "outcome.json").read_bytes())
            outcome = Outcome(
                job,
                Status(record["status"]),
                logs.read(place / "log"),
                reason=str(record["reason"]),
                path=str(record["path"]),
                line=int(record["line"]),
                exit_code=record["exit_code"],
                seconds=float(record["seconds"]),
                refusals=tuple(Refusal(**refusal) for refusal in record["refusals"]),
                output=str(record["output"]),
                versions=dict(record["versions"]),
                arrays=os.fspath(place / "arrays") if (place / "arrays").is_dir() else "",
            )
            if (len(outcome.log.records), len(outcome.log.figures)) != (record["records"], record["figures"]):
                return None
            os.utime(place)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._own.add(key)
        return outcome

    def room(self, job: Job) -> Path:
        """A folder for the captured arrays of this job, where `put` finds them. It is made by who fills it."""
        key = job.key(self._content)
        if key not in self._rooms:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._rooms[key] = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".part", dir=self.folder))
            except OSError:
                self._rooms[key] = Path(tempfile.mkdtemp(prefix=f"mllint-bio-{key}-"))
        return self._rooms[key] / "arrays"

    def put(self, outcome: Outcome) -> Outcome:
        """Keep an outcome; the same one, with its arrays where they stay, comes back. Ends that another time could be different
        (out of time, killed) are not kept, their arrays live until `close`."""
        if outcome.status not in KEPT:
            return outcome
        key = outcome.job.key(self._content)
        self.room(outcome.job)
        room, place = self._rooms.pop(key), self.folder / key
        if room.parent != self.folder:  # the cache cannot be written: arrays stay where they are
            self._rooms[key] = room
            return outcome
        try:
            if outcome.arrays and Path(outcome.arrays) != room / "arrays":
                shutil.copytree(outcome.arrays, room / "arrays", dirs_exist_ok=True)
            write_log(outcome.log, room / "log")
            (room / "outcome.json").write_text(json.dumps(_record(outcome)), encoding="ascii")
            shutil.rmtree(place, ignore_errors=True)
            os.rename(room, place)
        except OSError:  # a full disk, another process with the same run
            self._rooms[key] = room
            return outcome
        self._own.add(key)
        self._expire()
        return replace(outcome, arrays=os.fspath(place / "arrays") if outcome.arrays else "")

    def close(self) -> None:
        """Remove what was not kept."""
        for room in self._rooms.values():
            shutil.rmtree(room, ignore_errors=True)
        self._rooms.clear()

    def _expire(self) -> None:
        entries = []
        for entry in os.scandir(self.folder):
            with suppress(OSError):
                changed = entry.stat().st_mtime
                if entry.name.endswith(".part"):
                    if Path(entry.path) not in self._rooms.values() and changed < time.time() - _STALE:
                        shutil.rmtree(entry.path, ignore_errors=True)
                    continue
                if len(entry.name) == _KEY:  # executors keep folders of their own here
                    entries.append((changed, entry.name, _bytes(entry.path)))
        total = sum(size for _, _, size in entries)
        for _, name, size in sorted(entries):
            if total <= self._limit:
                return
            if name not in self._own:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                total -= size


def _bytes(folder: str) -> int:
    return sum(os.stat(os.path.join(top, name)).st_size for top, _, names in os.walk(folder) for name in names)


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "reason": outcome.reason,
        "path": outcome.path,
        "line": outcome.line,
        "exit_code": outcome.exit_code,
        "seconds": outcome.seconds,
        "refusals": [asdict(refusal) for refusal in outcome.refusals],
        "output": outcome.output,
        "versions": outcome.versions,
        "records": len(outcome.log.records),
        "figures": len(outcome.log.figures),
    }


def write_log(log: Log, path: Path) -> None:
    """Write a log so that `mllint_bio.observe.log.read` gives it back. Raises OSError."""
    writer = logs.Writer(path)
    try:
        if log.start:
            writer.write("start", log.start)
        for source in log.sources.values():
            writer.write("source", source.number, {k: v for k, v in asdict(source).items() if k != "number"})
        for number, masks in log.rows.items():
            writer.write("rows", number, {s: mask.to_bytes((mask.bit_length() + 7) // 8, "little") for s, mask in masks.items()})
        for number, subject in log.subjects.items():
            writer.write("subject", number, subject)
        for column, rows in log.groups.items():
            tokens, codes = array("q", rows), array("q", rows.values())
            writer.write("groups", {"column": column, "tokens": tokens.tobytes(), "codes": codes.tobytes()})
        for record in log.records:
            writer.write("event", record)
        for figure in log.figures:
            writer.write("value", figure)
        for refused in log.refused:
            writer.write("refused", refused)
        writer.write("versions", log.versions)
        if log.end:
            writer.write("end", log.end)
    finally:
        writer.flush()


class Runs:
    """A set of runs: known outcomes are taken from the store, the others are executed and stored, each as soon as it is finished.

    seconds: wall time for everything, from now on; tell: hears of running jobs (local ones only); finished: hears of every
    outcome, with the number of finished and of all jobs of the call. executed, reused: how many runs there were of either kind.
    """

    def __init__(
        self,
        pool: Pool,
        store: Store,
        *,
        seconds: float = float("inf"),
        tell: Tell | None = None,
        finished: Callable[[Outcome, int, int], None] | None = None,
    ) -> None:
        self._pool = pool
        self._store = store
        self._seconds = seconds
        self._started = time.monotonic()
        self._tell = tell
        self._finished = finished
        self.executed = 0
        self.reused = 0

    @property
    def remaining(self) -> float:
        """Seconds of the budget that are left, never below 0."""
        return max(0.0, self._started + self._seconds - time.monotonic())

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Outcomes of these jobs, in their order. Jobs for which the budget does not suffice are NOT_STARTED; those that run when
        it ends may go on to their own limit. An interrupt (Ctrl-C) ends all running programs before it is passed on."""
        found: dict[Job, Outcome] = {}
        waiting: dict[Future[Outcome], Job] = {}
        distinct = list(dict.fromkeys(jobs))
        try:
            for job in distinct:
                known = self._store.get(job)
                if known is not None:
                    self.reused += 1
                    self._take(found, known, len(distinct))
                elif self.remaining == 0:
                    self._take(found, self._not_started(job), len(distinct))
                else:
                    try:
                        waiting[self._pool.run(job, self._store.room(job), self._tell)] = job
                    except RuntimeError as error:
                        self._take(found, _lost(job, error), len(distinct))
            self._collect(waiting, found, len(distinct))
        except BaseException:
            self._pool.stop()
            raise
        return [found[job] for job in jobs]

    def _collect(self, waiting: dict[Future[Outcome], Job], found: dict[Job, Outcome], total: int) -> None:
        grace = max((job.limits.seconds for job in waiting.values()), default=0.0) + 60
        while waiting:
            done, _ = wait(waiting, timeout=min(0.5, self.remaining or 0.5), return_when=FIRST_COMPLETED)
            for future in done:
                self._take(found, self._outcome(future, waiting.pop(future)), total)
            if waiting and self.remaining == 0:
                for future in [future for future in waiting if future.cancel()]:
                    self._take(found, self._not_started(waiting.pop(future)), total)
                if time.monotonic() > self._started + self._seconds + grace:
                    self._pool.stop()
                    for job in waiting.values():
                        self._take(found, self._not_started(job), total)
                    return

    def _outcome(self, future: Future[Outcome], job: Job) -> Outcome:
        try:
            outcome = future.result()
        except (Exception, CancelledError, Stopped) as error:
            return _lost(job, error)
        self.executed += 1
        return self._store.put(outcome)

    def _take(self, found: dict[Job, Outcome], outcome: Outcome, total: int) -> None:
        found[outcome.job] = outcome
        if self._finished is not None:
            self._finished(outcome, len(found), total)

    def _not_started(self, job: Job) -> Outcome:
        return Outcome(job, Status.NOT_STARTED, Log(), reason=f"the {self._seconds:g} s for experiments are over")


def _lost(job: Job, error: BaseException) -> Outcome:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return Outcome(job, Status.NOT_STARTED, Log(), reason=text)
