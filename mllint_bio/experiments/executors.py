"""Where runs are executed: threads of this machine, a Slurm cluster (submitit) or a Dask cluster (distributed).

Each is a `concurrent.futures.Executor` that can also be told to `stop`: what waits is dropped and what runs is ended. A run is a
process of its own whatever the executor, so threads suffice to wait for it.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from mllint_bio.experiments.options import CannotStart
from mllint_bio.observe import launch
from mllint_bio.observe.job import Job, Outcome

T = TypeVar("T")
Tell = Callable[[Job, float, str], None]  # a job, the seconds since its start, the last line that its program printed
Work = Callable[..., Outcome]

THREADS = 4  # threads that a run is taken to want if nothing says otherwise
SLURM_MINUTES = 240  # time limit of a Slurm job, unless the parameters or SBATCH_TIMELIMIT set another
_POLL = 0.5  # seconds between looks at the result files of Slurm jobs
_QUEUE_POLL = 15.0  # seconds between questions to the Slurm controller


class Stopped(BaseException):
    """A run was ended because the pool was stopped. Not an Exception: nothing may take it for a failure of the run."""


class Pool(Executor):
    """An executor for runs. work: what executes a job, `launch.run`, which must be importable where the run takes place."""

    work: Work = staticmethod(launch.run)

    def run(self, job: Job, arrays: Path, tell: Tell | None = None) -> Future[Outcome]:
        """Send a job; captured arrays come to the folder `arrays`, which the executing machine must see under the same path."""
        return self.submit(self.work, job, arrays=arrays)

    @abstractmethod
    def stop(self) -> None:
        """Drop what waits, end what runs, as far as the executor can; nothing can be submitted afterwards."""


def executor(
    kind: str,
    jobs: int | None,
    device: str,
    folder: Path,
    *,
    threads: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Pool:
    """The executor of this kind: local, slurm or dask.

    jobs: runs at the same time (None: as many as the device bears; on Slurm as many as the cluster admits); device: cpu or cuda;
    folder: for what the executor itself writes, on Slurm visible to all nodes; threads: that one run wants; parameters: of
    `submitit.SlurmExecutor` (partition, account, time in minutes, gres, ...), or `address` of a Dask scheduler.

    Raises CannotStart with one line if the executor cannot be had here.
    """
    if jobs is not None and jobs < 1:
        raise CannotStart(f"--jobs {jobs}: at least one run at a time is needed")
    given = dict(parameters or {})
    if kind == "local":
        return LocalPool(jobs or size(device, threads))
    if kind == "slurm":
        return SlurmPool(folder / "slurm", jobs, device, threads, given)
    if kind == "dask":
        return DaskPool(given.get("address"), jobs or size(device, threads))
    raise CannotStart(f"--executor {kind}: there are local, slurm and dask")


def size(device: str, threads: int | None = None) -> int:
    """Runs at the same time that this machine bears: one on a GPU, whose memory a run takes as its own; on CPUs one for every so
    many threads (`threads`, else OMP_NUM_THREADS, else 4)."""
    if device == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    wanted = threads or (int(said) if said.isdecimal() and int(said) > 0 else THREADS)
    return max(1, cores // wanted)


class LocalPool(ThreadPoolExecutor, Pool):
    """Runs on this machine, so many at a time."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, thread_name_prefix="mllint-bio-run")
        self._stopped = threading.Event()

    def run(self, job: Job, arrays: Path, tell: Tell | None = None) -> Future[Outcome]:
        """Send a job; `tell` hears of it several times a second."""

        def progress(seconds: float, line: str) -> None:
            if self._stopped.is_set():
                raise Stopped
            if tell is not None:
                tell(job, seconds, line)

        return self.submit(self.work, job, arrays=arrays, progress=progress)

    def stop(self) -> None:
        """End running programs (within a fifth of a second, by their launcher) and wait for the launchers to clean up."""
        self._stopped.set()
        self.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Sent:
    """A job in the cluster."""

    future: Future[Any]
    job: Any  # submitit.Job
    missed: int = 0  # how often in a row the controller did not know it while it had no result


class SlurmPool(Pool):
    """Runs as jobs of a Slurm cluster, by submitit. The folder must be visible to all nodes under the same path, and so must the
    project and the Python environment."""

    def __init__(self, folder: Path, jobs: int | None, device: str, threads: int | None, parameters: dict[str, Any]) -> None:
        try:
            submitit: Any = import_module("submitit")
        except ImportError as error:
            raise CannotStart("--executor slurm needs submitit: pip install 'mllint-bio[slurm]'") from error
        if shutil.which("sbatch") is None:
            raise CannotStart("--executor slurm: there is no sbatch on this machine's PATH")
        settings = {"job_name": "mllint-bio", "time": SLURM_MINUTES, "cpus_per_task": threads or 1, "signal_delay_s": 30}
        if device == "cuda":
            settings["gpus_per_node"] = 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=folder))
        except OSError as error:
            raise CannotStart(f"--executor slurm: {folder} cannot be written ({error.strerror})") from error
        try:
            self._cluster = submitit.SlurmExecutor(self._folder, max_num_timeout=0)
            self._cluster.update_parameters(**(settings | parameters))
        except (ValueError, RuntimeError, TypeError) as error:
            raise CannotStart(f"--executor slurm: {' '.join(str(error).split())[:300]}") from error
        self._jobs = jobs or math.inf
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._sent: list[_Sent] = []
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Send a call to the cluster. Its future fails with RuntimeError if Slurm refuses the job or loses it."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool was shut down")
            self._waiting.append((future, fn, args, kwargs))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="mllint-bio-slurm", daemon=True)
                self._thread.start()
        self._wake.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; drop those that have not been sent to the cluster if asked to; wait for the others if asked to."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                for waiting in self._waiting:
                    waiting[0].cancel()
            thread = self._thread
            nothing = not self._sent and all(waiting[0].cancelled() for waiting in self._waiting)
        self._wake.set()
        if wait and thread is not None:
            thread.join()
        if wait or nothing:
            shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """`scancel` everything that was sent."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            sent, self._sent = self._sent, []
        for one in sent:
            with suppress(OSError):
                one.job.cancel(check=False)
            one.future.set_exception(Stopped())
        shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self) -> None:
        """The pool's thread: sends what waits, looks for results. Ends when the pool is closed and nothing is left."""
        asked = time.monotonic()
        while True:
            self._wake.wait(_POLL)
            self._wake.clear()
            self._send()
            with self._lock:
                sent = list(self._sent)
                if self._closed and not self._waiting and not sent:
                    return
            for one in sent:
                if one.job.paths.result_pickle.exists():
                    self._finish(one)
            if time.monotonic() - asked > _QUEUE_POLL:
                self._look_for_lost()
                asked = time.monotonic()

    def _send(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or len(self._sent) >= self._jobs:
                    return
                future, fn, args, kwargs = self._waiting.pop(0)
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    with redirect_stderr(io.StringIO()):  # submitit prints what sbatch says, and raises it as well
                        self._sent.append(_Sent(future, self._cluster.submit(fn, *args, **kwargs)))
                except Exception as error:  # sbatch says no: a partition that does not exist, a limit
                    detail = getattr(error, "stderr", None) or error
                    text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
                    future.set_exception(RuntimeError(f"Slurm does not take the job: {' '.join(text.split())[:300]}"))

    def _finish(self, one: _Sent) -> None:
        if not self._take(one):
            return
        try:
            failed = one.job.exception()
            result = one.job.result() if failed is None else None
        except Exception as error:
            failed = error
        if failed is not None:
            lines = [line for line in str(failed).splitlines() if line.strip() and not line.startswith("---")]
            reason = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "no reason given")
            one.future.set_exception(RuntimeError(f"Slurm job {one.job.job_id}: {reason.strip()[:300]}"))
            return
        for path in (one.job.paths.submitted_pickle, one.job.paths.result_pickle):  # arrays of outcomes may be large
            with suppress(OSError):
                path.unlink()
        one.future.set_result(result)

    def _look_for_lost(self) -> None:
        """Jobs that the controller does not list any more and that left no result, twice in a row (file systems lag), are lost:
        killed, out of memory, out of time. The queue is asked because clusters without accounting have no `sacct`."""
        with self._lock:
            sent = list(self._sent)
        if not sent:
            return
        try:
            queue = subprocess.run(["squeue", "--noheader", "--me", "--format=%A"], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return
        if queue.returncode:
            return  # the controller does not answer: that says nothing about the jobs
        listed = set(queue.stdout.split())
        for one in sent:
            one.missed = 0 if one.job.job_id in listed else one.missed + 1
            if one.missed >= 2 and not one.job.paths.result_pickle.exists() and self._take(one):
                error = " ".join((one.job.stderr() or "").split())[-200:]
                one.future.set_exception(RuntimeError(f"Slurm job {one.job.job_id} ended without a result: {error}"))

    def _take(self, one: _Sent) -> bool:
        """Whether the job was still in the list; it is not afterwards."""
        with self._lock:
            if one not in self._sent:
                return False
            self._sent.remove(one)
            return True


class DaskPool(Pool):
    """Runs on a Dask cluster: the scheduler at `address` (or DASK_SCHEDULER_ADDRESS), else a local one of so many processes."""

    def __init__(self, address: str | None, jobs: int) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError as error:
            raise CannotStart("--executor dask needs distributed: pip install 'mllint-bio[dask]'") from error
        address = address or os.environ.get("DASK_SCHEDULER_ADDRESS")
        self._cluster: Any = None
        try:
            if not address:
                self._cluster = distributed.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            self._client: Any = distributed.Client(address or self._cluster, timeout=20)
        except (OSError, ValueError, TimeoutError) as error:
            where = f" at {address}" if address else ""
            raise CannotStart(f"--executor dask: no scheduler answers{where} ({' '.join(str(error).split())[:200]})") from error
        self._executor = self._client.get_executor(pure=False)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Send a call to the cluster."""
        future: Future[T] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls and leave the cluster; one that was started here ends with it."""
        with suppress(Exception):  # a scheduler that went away leaves nothing to shut down
            self._executor.shutdown(wait=wait and not cancel_futures)
        self._leave()

    def stop(self) -> None:
        """Drop what waits. Runs on workers that were started here end with them; on another's cluster a run that has begun goes
        on to its own time limit."""
        self.shutdown(wait=False, cancel_futures=True)

    def _leave(self) -> None:
        with suppress(Exception):
            self._client.close()
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close()
