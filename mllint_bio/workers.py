"""Running batches of files so that no file can stop the others: time limits, worker processes, and survival of their death.

A batch is handed to a function as a list of paths. In this process a batch that fails or takes too long is tried again file by
file, which finds the culprit. In worker processes a crash of the interpreter itself (LibCST's parser can overflow the C stack)
is survived as well: what the dead workers had not answered is tried again file by file in a process of its own.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, TypeVar

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


T = TypeVar("T", bound=Task)
R = TypeVar("R")


def run_in_processes(
    tasks: Sequence[T],
    work: Callable[[Any], R],
    died: Callable[[Any], R],
    jobs: int,
    initializer: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[R]:
    """Results of `work(task)` from `jobs` processes, in any order; `died(task)` for a one-file task that kills its worker.

    `work`, `initializer` and their arguments must be picklable; the initializer runs once in each worker.
    """
    lost: list[Any] = []
    with _pool(jobs, initializer, arguments) as pool:
        waiting = {pool.submit(_guarded, work, task): task for task in tasks}
        try:
            for future in as_completed(waiting):
                try:
                    yield future.result()
                except BrokenExecutor:
                    lost.append(waiting[future])
        except BaseException:  # interrupted, or the caller has enough: start nothing more
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    singles = [piece for task in lost for piece in task.pieces()]
    while singles:
        with _pool(1, initializer, arguments) as alone:
            while singles:
                single = singles.pop(0)
                try:
                    yield alone.submit(_guarded, work, single).result()
                except BrokenExecutor:
                    yield died(single)
                    break


def _pool(jobs: int, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> ProcessPoolExecutor:
    # fork hands the imported modules to the workers for nothing; elsewhere each one imports for itself.
    method = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(jobs, multiprocessing.get_context(method), initializer=_start, initargs=(initializer, arguments))


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
