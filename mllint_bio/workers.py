"""Running batches of files so that no file can stop the others: time limits, worker processes, and survival of their death.

A batch is handed to a function as a list of paths. In this process a batch that fails or takes too long is tried again file by
file, which finds the culprit. In worker processes a crash of the interpreter itself (LibCST's parser can overflow the C stack)
is survived as well: what the dead workers had not answered is tried again file by file in a process of its own.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # 20 ms, which a run in one process does without
    from concurrent.futures import Future, ProcessPoolExecutor

BATCH_SECONDS = 20.0  # CPU time that any batch may take, plus so much a file:
FILE_SECONDS = 1.0
WALL_FACTOR = 6.0  # wall time after which a worker that is stuck in native code is given up, as a multiple of the CPU limit


class OutOfTime(BaseException):
    """The time limit has passed. Not an Exception, so that no handler in the interpreter takes it for one of its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in this block after so many seconds of CPU time, where the platform can tell (main thread, POSIX)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def alarm(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGPROF, alarm)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def limit(files: int) -> float:
    """CPU seconds for a batch of so many files."""
    return BATCH_SECONDS + FILE_SECONDS * files


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Keep the garbage collector from walking what lives for the whole run, and let it run rarely: 30 % of the parse time."""
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Task(Protocol):
    """A batch of files and what to do with them; pickled to a worker."""

    def pieces(self) -> Sequence[Task]:
        """The same task, one file each."""
        ...

    def files(self) -> Sequence[str]:
        """The files of the batch, as shown to users."""
        ...


R = TypeVar("R")


class Workers:
    """Worker processes that keep their state between calls of `run`.

    `work(task)` runs in a worker, `died(task)` here, for a one-file task that killed its worker. `work`, `initializer` and
    `arguments` must be picklable; the initializer runs once in each worker. Use as a context manager.
    """

    def __init__(
        self,
        jobs: int,
        work: Callable[[Any], R],
        died: Callable[[Any], R],
        initializer: Callable[..., None],
        arguments: tuple[Any, ...],
    ) -> None:
        import multiprocessing

        self._work, self._died = work, died
        self._start = initializer, arguments
        # fork hands the imported modules to the workers for nothing; elsewhere each one imports for itself.
        self._context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        # One pool a process: a piece of work goes to the process that has read the same files before, and a death loses no other.
        self._pools = [self._pool() for _ in range(jobs)]

    def _pool(self) -> ProcessPoolExecutor:
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(1, self._context, initializer=_start, initargs=self._start)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)  # waits: a pool that still closes while Python exits prints a traceback

    def run(self, tasks: Sequence[Task]) -> Iterator[Any]:
        """Results for the tasks, in any order; the n-th task always goes to the same worker."""
        from concurrent.futures import BrokenExecutor, as_completed

        waiting: dict[Future[Any], tuple[int, Task]] = {}
        for number, task in enumerate(tasks):
            worker = number % len(self._pools)
            waiting[self._submit(worker, task)] = worker, task
        lost: list[tuple[int, Task]] = []
        try:
            for future in as_completed(waiting):
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    lost.append(waiting[future])
                else:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()  # after an interruption, start nothing more
        for worker, task in lost:
            for single in task.pieces():
                error = (future := self._submit(worker, single)).exception()
                yield self._died(single) if isinstance(error, BrokenExecutor) else future.result()

    def _submit(self, worker: int, task: Task) -> Future[Any]:
        from concurrent.futures import BrokenExecutor

        try:
            return self._pools[worker].submit(_guarded, self._work, task)
        except BrokenExecutor:
            self._pools[worker] = self._pool()
            return self._pools[worker].submit(_guarded, self._work, task)


def _start(initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # end at once and silently: the parent says that the run was interrupted
    gc.set_threshold(50_000, 20, 50)
    initializer(*arguments)


def _guarded(work: Callable[[Any], R], task: Task) -> R:
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(WALL_FACTOR * limit(len(task.files())), exit=True, file=nowhere)
        try:
            return work(task)
        finally:
            faulthandler.cancel_dump_traceback_later()
