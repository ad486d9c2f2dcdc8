"""The process that analyses, seen from the server.

LibCST can overflow the C stack, a rule plugin can hang or print: all of that happens in a process of its own, which is ended
when it takes too long and started again when it is gone. It is spawned, not forked, since the server has threads; and it reads
its questions from a pipe that closes when the server dies, however that happens, so that it never outlives the editor.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from mllint_bio.server.checker import Answer, Checker, Question

SECONDS = 60.0  # wall time for one document; the engine gives up by itself after 20 s of CPU time, unless native code hangs


class WorkerError(Exception):
    """The process died or had to be ended; the next question goes to a new one."""


class Worker:
    """Asks the process; to be used from one thread, except for `close`."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Any = None
        self._closed = False
        self._lock = threading.Lock()  # between `start` and `close`

    def start(self) -> None:
        """Start the process, unless it runs. It warms up while nobody asks. Raises WorkerError after `close`."""
        with self._lock:
            if self._closed:
                raise WorkerError("the server is shutting down")
            if self._process is None:
                ours, theirs = self._context.Pipe()
                process = self._context.Process(target=_answer_all, args=(theirs,), name="mllint-bio", daemon=True)
                process.start()
                theirs.close()
                self._process, self._pipe = process, ours

    def ask(self, question: Question) -> Answer:
        """The answer to a question. Raises WorkerError when the process cannot give one."""
        self.start()
        try:
            self._pipe.send(question)
            if self._pipe.poll(self._seconds):
                answer = self._pipe.recv()
                assert isinstance(answer, Answer)
                return answer
        except (EOFError, OSError) as error:
            raise WorkerError(f"the analysis crashed (exit status {self._end()})") from error
        self._end()
        raise WorkerError(f"the analysis took more than {self._seconds:.0f} s")

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def _end(self) -> int | None:
        """End the process, unless it has ended; returns its exit status."""
        with self._lock:
            process, self._process = self._process, None
        process.join(0.2)  # one that is dying says how
        process.kill()
        process.join()
        self._pipe.close()
        status: int | None = process.exitcode
        return status


def _answer_all(pipe: Connection) -> None:
    """The process: answer until nobody asks any more."""
    from mllint_bio.workers import quiet_collector

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the editor ends the server, and the server this process
    checker = Checker()
    _guarded(checker.warm_up)
    with quiet_collector():
        while True:
            try:
                question = pipe.recv()
            except EOFError:
                return
            answer = _guarded(checker.answer, question)
            try:
                pipe.send(answer)
            except OSError:
                return


def _guarded(answer: Callable[..., Answer], *arguments: Question) -> Answer:
    """The answer; if the analysis fails in whatever way, one that says so."""
    try:
        return answer(*arguments)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return Answer(failure=f"the analysis failed ({type(error).__name__}: {error})")
