"""Run a job: the parent's side. Nothing here executes code of the user's; a child process does, and this one bounds it.

What can go wrong with the child is expected and becomes the outcome's status and one line of reason; `run` raises for
faults of its caller only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mllint_bio.observe import log as logs
from mllint_bio.observe import scratch
from mllint_bio.observe.guard import RUN_VARIABLE
from mllint_bio.observe.job import Job, Outcome, Refusal, Status

OUTPUT_TAIL = 20_000  # characters of the program's output that are kept
_GRACE = 3.0  # seconds between asking a process to end and killing it
_MEMORY_SHARE = 0.85  # of the machine's memory: a process that was killed above it was most likely killed for it

Progress = Callable[[float, str], None]
"""Called a few times a second with the seconds since the start and the last line that the program printed."""


def run(job: Job, *, progress: Progress | None = None, keep: Path | None = None, arrays: Path | None = None) -> Outcome:
    """Run a program under observation, in a scratch copy of its project, and say what came of it.

    keep: a folder, not existing yet, that receives the whole scratch folder (the changed copy of the project, the log) instead of
    its removal. arrays: folder for captured arrays, made if needed (default: a new temporary one, which the caller removes).
    """
    if os.name != "posix":
        return Outcome(job, Status.NOT_STARTED, logs.Log(), reason="confirm needs Linux or macOS")
    scratch.remove_stale()
    try:
        with scratch.scratch_copy(Path(job.command.root), keep) as place:
            return _Run(job, place, progress).outcome(arrays)
    except scratch.ScratchError as error:
        return Outcome(job, Status.NOT_STARTED, logs.Log(), reason=str(error))


@dataclass
class _End:
    """How the child process ended, as its parent sees it."""

    code: int
    seconds: float
    timed_out: bool
    peak: int  # bytes of resident memory, largest of the child's processes


class _Run:
    def __init__(self, job: Job, place: scratch.Scratch, progress: Progress | None) -> None:
        self.job = job
        self.place = place
        self.progress = progress
        self.token = secrets.token_hex(8)

    def outcome(self, arrays: Path | None) -> Outcome:
        for path, text in self.job.controls.edits:
            target = self.place.project / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # it may be a link to the original
            target.write_text(text, encoding="utf-8", newline="")
        tail = _Tail()
        end = self._child(tail)
        log = logs.read(self.place.log)
        refusals = self._refusals()
        log.refused = [asdict(refusal) for refusal in refusals]
        output = self._with_own_paths(tail.text())
        status, reason, path, line = self._verdict(end, log, output)
        said = log.end.get("seconds")
        return Outcome(
            self.job,
            status,
            log,
            reason=self._with_own_paths(reason),
            path=path,
            line=line,
            exit_code=log.end.get("exit_code") if status in (Status.FINISHED, Status.FAILED, Status.REFUSED) else None,
            seconds=float(said) if said is not None and not end.timed_out else end.seconds,
            refusals=tuple(refusals),
            output=output,
            versions=dict(log.versions),
            arrays=self._arrays(arrays),
        )

    # -- the process ---------------------------------------------------------------------------------------------

    def _child(self, tail: _Tail) -> _End:
        place = self.place
        lifeline, held = os.pipe()  # its end tells the child's watcher that this process is gone, however it went
        job = {
            "job": asdict(self.job),
            "project": os.fspath(place.project),
            "root": os.fspath(place.root),
            "folder": os.fspath(place.counterpart(Path(os.path.realpath(self.job.command.folder)))),
            "base": os.fspath(place.base),
            "parent": os.getpid(),
            "lifeline": lifeline,
        }
        place.job_file.write_text(json.dumps(job), encoding="utf-8")
        started = time.monotonic()
        try:
            # Started in an empty folder: `-m` looks for modules in the current one first, and a project may have a `json.py`.
            process = subprocess.Popen(
                [sys.executable, "-m", "mllint_bio.observe.child", os.fspath(place.job_file)],
                cwd=place.arrays,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[lifeline],
                start_new_session=True,
            )
        except BaseException:
            os.close(held)
            raise
        finally:
            os.close(lifeline)
        assert process.stdout is not None
        reader = threading.Thread(target=tail.read, args=(process.stdout.fileno(),), daemon=True)
        reader.start()
        try:
            timed_out, peak = self._wait(process, started, tail)
        finally:
            self._kill(process)
            reader.join(_GRACE)
            process.stdout.close()
            os.close(held)
        return _End(process.returncode, time.monotonic() - started, timed_out, peak)

    def _wait(self, process: subprocess.Popen[bytes], started: float, tail: _Tail) -> tuple[bool, int]:
        """Wait until the program's own process ends or its time is over; whether it was, and its peak of memory in bytes."""
        deadline = started + self.job.limits.seconds
        peak, pause, measured = 0, 0.01, started - 1
        while process.poll() is None:
            now = time.monotonic()
            if now >= deadline:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE)
                return True, peak
            if now > measured + 1:
                peak, measured = max(peak, *map(_resident, (process.pid, *members(self.token)))), now
            if self.progress is not None:
                self.progress(now - started, tail.last_line())
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(pause, deadline - now))
            pause = min(pause * 1.5, 0.2)
        return False, peak

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """End the child and all that it started: its process group, and whoever left the group but carries the run's name."""
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for _ in range(50):  # a process may be forking while it is looked for
            if not kill_members(self.token):
                return
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        controls, place = self.job.controls, self.place
        temporary = os.fspath(place.temporary)
        env = dict(os.environ)
        env |= {
            RUN_VARIABLE: self.token,
            "PYTHONDONTWRITEBYTECODE": "1",
            "MPLBACKEND": "Agg",
            "PWD": os.fspath(place.counterpart(Path(os.path.realpath(self.job.command.folder)))),
        }
        env |= dict.fromkeys(("TMPDIR", "TMP", "TEMP", "JOBLIB_TEMP_FOLDER"), temporary)
        # Caches that libraries write at run time; the user's own ones would be refused.
        env |= dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), temporary)
        env["TORCH_COMPILE_DISABLE"] = "1"  # it would start compilers, and hide the network's calls from the probes
        for name in ("CUDA_CACHE_PATH", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR"):
            env[name] = os.path.join(temporary, name.lower())
        if env.get("PYTHONPATH"):
            entries = [Path(entry) for entry in env["PYTHONPATH"].split(os.pathsep) if entry]
            copies = {entry: place.counterpart(Path(os.path.realpath(entry))) for entry in entries}
            env["PYTHONPATH"] = os.pathsep.join(os.fspath(copy if copy.exists() else entry) for entry, copy in copies.items())
        if controls.hash_seed is not None:
            env["PYTHONHASHSEED"] = str(controls.hash_seed)
        if controls.threads is not None:
            threads = (
                "OMP_NUM_THREADS",
                "MKL_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "NUMEXPR_NUM_THREADS",
                "VECLIB_MAXIMUM_THREADS",
            )
            env |= dict.fromkeys(threads, str(controls.threads))
        if controls.device == "cpu":
            env["CUDA_VISIBLE_DEVICES"] = ""
        if controls.deterministic:
            env.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not self.job.permissions.network:
            env |= {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
            env |= {"WANDB_SILENT": "true", "NO_ALBUMENTATIONS_UPDATE": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return env

    # -- what it left --------------------------------------------------------------------------------------------

    def _verdict(self, end: _End, log: logs.Log, output: str) -> tuple[Status, str, str, int]:
        """Status, reason and place: what the child said of itself, unless its parent knows better."""
        said = log.end
        path, line = said.get("path", ""), int(said.get("line", 0))
        if not path and log.records:  # it was stuck, or died: the last that was seen of it
            path, line = log.records[-1].line
        at = f" at {said.get('at') or f'{path}:{line}'}" if path else ""
        if end.timed_out:
            return Status.TIMEOUT, f"still running after {self.job.limits.seconds:g} s{at}", path, line
        if said and end.code >= 0:
            status, reason = Status(said["status"]), said.get("reason", "")
            if reason.startswith("exit status") and output:
                reason += f" ({_last_line(output)})"
            return status, reason, path, line
        if end.code == -signal.SIGKILL and self._was_out_of_memory(end):
            return Status.MEMORY, f"killed by the system for want of memory ({end.peak / 2**30:.1f} GiB in use){at}", path, line
        if end.code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
            return Status.KILLED, f"ended by {signal.Signals(-end.code).name}{at}", path, line
        if end.code < 0:
            name = {signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}.get(signal.Signals(-end.code))
            return Status.FAILED, f"crashed: {name or signal.Signals(-end.code).name}, in native code{at}", path, line
        reason = f"the process ended with status {end.code} before it could say why"
        return Status.FAILED, f"{reason} ({_last_line(output)})" if output else reason, path, line

    def _was_out_of_memory(self, end: _End) -> bool:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = self.job.limits.memory
        return end.peak > _MEMORY_SHARE * total or (limit is not None and end.peak > _MEMORY_SHARE * limit)

    def _refusals(self) -> list[Refusal]:
        counts: Counter[tuple[str, str, str, int]] = Counter()
        with suppress(OSError):
            for text in self.place.refusals.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    record = json.loads(text)
                    key = (self._with_own_paths(record["what"]), record["option"], record["path"], int(record["line"]))
                    counts[key] += int(record["count"])
        return [Refusal(*key, count=count) for key, count in counts.items()]

    def _arrays(self, wanted: Path | None) -> str:
        if not any(self.place.arrays.iterdir()):
            return ""
        target = wanted if wanted is not None else Path(tempfile.mkdtemp(prefix="mllint-bio-arrays-"))
        target.mkdir(parents=True, exist_ok=True)
        for file in self.place.arrays.iterdir():
            shutil.move(file, target / file.name)
        return os.fspath(target)

    def _with_own_paths(self, text: str) -> str:
        """The text with paths of the scratch copy replaced by those that the user knows."""
        return text.replace(os.fspath(self.place.project), os.fspath(self.place.root))


class _Tail:
    """The last part of a stream, in bounded memory however much comes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()

    def read(self, handle: int) -> None:
        """Read until the stream ends or is closed."""
        with suppress(OSError, ValueError):
            while part := os.read(handle, 65536):
                with self._lock:
                    self._parts.append(part)
                    self._size += len(part)
                    while self._size - len(self._parts[0]) > 4 * OUTPUT_TAIL:
                        self._size -= len(self._parts.pop(0))

    def text(self) -> str:
        """The last `OUTPUT_TAIL` characters."""
        with self._lock:
            return b"".join(self._parts).decode("utf-8", "replace")[-OUTPUT_TAIL:]

    def last_line(self) -> str:
        """The last line that is not empty."""
        with self._lock:
            data = b"".join(self._parts[-2:])[-4096:]
        return _last_line(data.decode("utf-8", "replace"))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    return lines[-1][:200] if lines else ""


def members(token: str) -> Iterator[int]:
    """Process ids that belong to the run of this name, dead ones excluded (Linux; elsewhere none are found)."""
    mark = f"{RUN_VARIABLE}={token}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    yield int(name)


def kill_members(token: str) -> int:
    """Kill all processes of a run; how many there were."""
    count = 0
    for pid in members(token):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            count += 1
    return count


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
