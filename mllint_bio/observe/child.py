"""The process in which the user's program runs: bounds, guard, probes and instrumentation first, then the program as `__main__`.

Started by `mllint_bio.observe.launch` as `python -m mllint_bio.observe.child <job file>`, and, for a notebook's kernel, with
`--kernel` by the child itself.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from mllint_bio.observe import guard, instrument, landlock, places
from mllint_bio.observe.job import Command, Controls, Guide, Job, Limits, Permissions, Status
from mllint_bio.observe.log import Line, Writer

_PR_SET_PDEATHSIG = 1
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "Unable to allocate", "cannot allocate memory", "std::bad_alloc")
_os_exit = os._exit  # the program sees one that ends the log first


class Setting:
    """What the job file says: the job, and where its scratch folder and the user's own are."""

    def __init__(self, path: Path) -> None:
        told = json.loads(path.read_text(encoding="utf-8"))
        self.job = _job(told["job"])
        self.project: str = told["project"]
        self.root: str = told["root"]
        self.folder: str = told["folder"]
        self.base = Path(told["base"])
        self.parent: int = told["parent"]
        self.lifeline: int = told["lifeline"]

    def own_path(self, path: str) -> str:
        """The scratch copy's path for one that the user gave."""
        return path.replace(os.path.join(self.root, ""), os.path.join(self.project, ""))


class Observation:
    """The log of this process from start to end: whatever way the program takes out, `end` is written once."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.pid = os.getpid()
        self.writer = Writer(setting.base / "log")
        self.started = time.monotonic()
        self.status, self.reason, self.place, self.exit_code = Status.FAILED, "mllint-bio could not prepare the run", ("", 0), 2
        self.guard: guard.Guard | None = None
        self._ended = False
        self._recorder: Any = None

    def prepare(self) -> None:
        """Bounds, guard, probes, instrumentation; nothing of the user's has run yet."""
        setting = self.setting
        places.set_project(setting.project, setting.root)
        self.writer.write("start", {"command": str(setting.job.command), "pid": self.pid, "python": sys.version.split()[0]})
        self.writer.flush()
        refusals = os.fspath(setting.base / "refusals")
        Path(refusals).touch(mode=0o600)
        writable: tuple[str, ...] = (setting.project, os.fspath(setting.base / "tmp"), os.fspath(setting.base / "arrays"))
        writable += tuple(os.path.realpath(folder) for folder in setting.job.permissions.write)
        protected = _protect(writable, refusals)
        atexit.register(self.end)  # first in, last out: behind the program's own handlers and its threads
        os._exit = self._leave
        self.catch_termination()
        self._recorder = _recorder(setting, self.writer)
        hooks = instrument.Hooks()
        if self._recorder is not None:
            recorder = self._recorder
            hooks = instrument.Hooks(recorder.mark, recorder.made, lambda: int(recorder.steps))
        instrument.install(setting.job.guide, setting.job.limits, hooks)
        instrument.after_import("joblib.parallel", _threads_instead_of_workers)
        _limit_memory(setting.job.limits.memory)
        permissions = setting.job.permissions
        self.guard = guard.install(
            guard.Policy(writable, setting.project, setting.root, permissions.network, permissions.processes, protected), refusals
        )

    def begin(self) -> None:
        """The program starts now; unless something else is said, it will have finished."""
        self.started = time.monotonic()
        self.go_on()

    def go_on(self) -> None:
        """Whatever was said before, the program runs on."""
        self.status, self.reason, self.place, self.exit_code = Status.FINISHED, "", ("", 0), 0

    def catch_termination(self) -> None:
        """Say where the program is when its time is over.

        Not in forked children: a worker of `multiprocessing` that waits for a semaphore would miss a signal which a handler in
        Python takes just before it begins to wait, and the pool that ends it would wait for ever.
        """

        def ours_to_default() -> None:
            if signal.getsignal(signal.SIGTERM) == self._terminated:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

        signal.signal(signal.SIGTERM, self._terminated)
        os.register_at_fork(after_in_child=ours_to_default)

    def failed(self, error: BaseException) -> None:
        """The program ended with an exception."""
        self.status, self.reason, self.place, self.exit_code = classify(error)

    def not_started(self, reason: str) -> None:
        """There is nothing to run."""
        self.status, self.reason, self.exit_code = Status.NOT_STARTED, reason, 2

    def end(self) -> None:
        """Write what is left to say; silent in forked children and at the second call."""
        if self._ended or os.getpid() != self.pid:
            return
        self._ended = True
        seconds = time.monotonic() - self.started
        if self._recorder is not None:
            with suppress(Exception):
                self._recorder.finish()
        with suppress(Exception):
            self.writer.write("versions", _versions())
        end = {"status": self.status.value, "reason": self.reason, "path": self.place[0], "line": self.place[1]}
        end["at"] = places.shown(self.place) if self.place[0] else ""
        with suppress(Exception):
            self.writer.write("end", {**end, "exit_code": self.exit_code, "seconds": seconds})
            self.writer.flush()

    def _leave(self, status: int) -> NoReturn:
        """`os._exit` of the program."""
        if os.getpid() == self.pid and not self._ended:
            code = int(status) & 0xFF
            self.exit_code = code
            self.place = places.innermost(sys._getframe()) or ("", 0)
            if code:
                self.status, self.reason = Status.FAILED, f"exit status {code}{_at(self.place)}"
            self.end()
        _os_exit(status)

    def _terminated(self, _number: int, frame: types.FrameType | None) -> None:
        self.status = Status.KILLED
        self.place = places.innermost(frame) or ("", 0)
        self.reason = f"ended by SIGTERM{_at(self.place)}"
        self.exit_code = 128 + signal.SIGTERM
        self.end()
        _os_exit(self.exit_code)


def classify(error: BaseException) -> tuple[Status, str, Line, int]:
    """Status, reason, place and exit code of a program that ended with this exception."""
    place = places.raised_at(error.__traceback__) or ("", 0)
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        place = places.locate(error.filename, error.lineno) or place
    at = _at(place)
    if isinstance(error, SystemExit):
        if error.code is None or error.code == 0:
            return Status.FINISHED, "", ("", 0), 0
        if isinstance(error.code, int):
            return Status.FAILED, f"exit status {error.code}{at}", place, error.code & 0xFF
        return Status.FAILED, f"sys.exit: {_one_line(error.code)}{at}", place, 1
    if isinstance(error, KeyboardInterrupt):
        return Status.KILLED, f"interrupted{at}", place, 130
    text = f"{type(error).__name__}: {_one_line(error)}" if _one_line(error) else type(error).__name__
    cause = _refusal(error)
    if cause is not None:
        return Status.REFUSED, f"{_one_line(cause.strerror or cause)}{at}", place, 1
    if isinstance(error, MemoryError) or "OutOfMemory" in text or any(word in text for word in _MEMORY_WORDS):
        return Status.MEMORY, f"{text}{at}", place, 1
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] not in sys.modules:
        return Status.FAILED, f"needs the package {error.name.partition('.')[0]!r}{at}, which is not installed", place, 1
    if isinstance(error, EOFError) and "EOF when reading a line" in str(error):
        return Status.FAILED, f"asked for input{at}", place, 1
    if type(error).__name__ == "StdinNotImplementedError":
        return Status.FAILED, f"asked for input{at}", place, 1
    return Status.FAILED, f"{text}{at}", place, 1


def run_script(observation: Observation) -> None:
    """Run the script or module of the job as Python itself would."""
    setting = observation.setting
    command = setting.job.command
    arguments = [setting.own_path(argument) for argument in command.arguments]
    os.chdir(setting.folder)
    if command.kind == "module":
        start = _module(setting, command.target, arguments)
    else:
        start = _script(setting, command.target, arguments)
    if isinstance(start, str):
        observation.not_started(start)
        return
    observation.begin()
    try:
        start()
    except BaseException as error:
        observation.failed(error)
        _show(error)
    finally:
        _flush()


def _script(setting: Setting, target: str, arguments: list[str]) -> Callable[[], None] | str:
    """What runs the script, or why there is nothing to run."""
    path = os.path.join(setting.folder, setting.own_path(target))
    if os.path.isdir(path):
        return f"{target} is a folder"
    try:
        source = Path(path).read_bytes()
    except FileNotFoundError:
        return f"{target} does not exist"
    except OSError as error:
        return f"{target} cannot be read: {error.strerror or error}"
    try:
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{target}:{error.lineno or 1}: syntax error: {error.msg}"
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        return f"{target} is no Python text: {_one_line(error) or type(error).__name__}"
    sys.path[0:1] = [os.path.dirname(os.path.abspath(path))]
    sys.argv[:] = [setting.own_path(target), *arguments]
    module = _main_module(path)
    code = instrument.compiled(source, path)
    return lambda: exec(code, module.__dict__)


def _module(setting: Setting, name: str, arguments: list[str]) -> Callable[[], None] | str:
    """What runs the module (`-m`), or why there is nothing to run."""
    import runpy

    sys.path[0:1] = [setting.folder]
    sys.argv[:] = ["-m", *arguments]
    try:
        # Finds `__main__` of packages, imports the parents, and explains what is wrong, exactly as `python -m` does.
        _, spec, code = runpy._get_module_details(name, error=runpy._Error)  # type: ignore[attr-defined]
    except runpy._Error as error:  # type: ignore[attr-defined]
        return _one_line(error)
    except SyntaxError as error:
        return f"{_project_path(error.filename) or name}:{error.lineno or 1}: syntax error: {error.msg}"
    except BaseException as error:
        return _raise(error)
    sys.argv[0] = spec.origin
    module = _main_module(spec.origin)
    module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
    return lambda: exec(code, module.__dict__)


def _project_path(filename: str | None) -> str:
    """Path relative to the project's root for a message; empty if it is not in the project."""
    return (places.relative(filename) or "") if filename else ""


def _raise(error: BaseException) -> Callable[[], None]:
    def again() -> None:
        raise error

    return again


def _main_module(path: str) -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__dict__.update(__builtins__=sys.modules["builtins"], __cached__=None, __annotations__={})
    sys.modules["__main__"] = module
    return module


# -- around the program ------------------------------------------------------------------------------------------------


def _job(told: dict[str, Any]) -> Job:
    command, guide, controls = told["command"], told["guide"], told["controls"]
    controls["edits"] = tuple((path, text) for path, text in controls["edits"])
    return Job(
        Command(**{**command, "arguments": tuple(command["arguments"])}),
        Limits(**told["limits"]),
        Permissions(**{**told["permissions"], "write": tuple(told["permissions"]["write"])}),
        Controls(**controls),
        Guide(**{name: tuple((path, line) for path, line in pairs) for name, pairs in guide.items()}),
        told["repeat"],
    )


def _recorder(setting: Setting, writer: Writer) -> Any:
    """The recorder with all probes installed, or None where NumPy is not there to observe anything with."""
    if importlib.util.find_spec("numpy") is None or importlib.util.find_spec("mllint_bio.observe.recorder") is None:
        return None
    from mllint_bio.observe import probes
    from mllint_bio.observe.recorder import Recorder

    arrays = setting.base / "arrays" if setting.job.controls.capture else None
    recorder = Recorder(writer, places.locate, setting.job, arrays)
    probes.install(recorder)
    return recorder


def _protect(writable: tuple[str, ...], refusals: str) -> bool:
    import glob

    devices = [file for pattern in guard.DEVICE_FILES for file in glob.glob(pattern)]
    # The folder around the copy as well: removing the copy itself is a change of that.
    around = os.path.dirname(writable[0])
    return landlock.restrict_writes((around, *writable, *guard.DEVICE_FOLDERS, "/proc/self"), (*devices, refusals))


def _limit_memory(limit: int | None) -> None:
    """Bound private memory. Not the address space as such: a mapped data file or a GPU's address range is no memory in use."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limit is None:
        return
    used = 0
    with suppress(OSError), open("/proc/self/status") as file:
        used = next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmData:")), 0)
    which = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with suppress(ValueError, OSError):
        resource.setrlimit(which, (used + limit, used + limit))


def _threads_instead_of_workers(module: Any) -> None:
    """joblib's default workers are new interpreters without probes; threads are observed, and need no permission."""
    module.DEFAULT_BACKEND = "threading"
    module.BACKENDS["loky"] = module.BACKENDS["threading"]


def die_with_parent(parent: int) -> None:
    """End this process when the one that started it ends, however that happens."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        _os_exit(1)


def use_own_paths(setting: Setting) -> None:
    """Import from the scratch copy what would come from the user's own folder (editable installations)."""
    for index, entry in enumerate(sys.path):
        own = setting.own_path(entry) if entry != setting.root else setting.project
        if os.path.exists(own):  # an environment inside the project is not copied
            sys.path[index] = own


def _watch(lifeline: int, base: Path) -> None:
    """Leave a process behind that ends the whole run and removes its scratch folder once the launching process is gone."""
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        os.close(lifeline)
        return
    if os.fork():
        _os_exit(0)
    from mllint_bio.observe.launch import kill_members
    from mllint_bio.observe.scratch import remove

    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(OSError):
        os.read(lifeline, 1)
    for _ in range(100):
        if not kill_members(os.environ[guard.RUN_VARIABLE]):
            break
        time.sleep(0.02)
    remove(base)
    _os_exit(0)


def _versions() -> dict[str, str]:
    """Versions of the top-level packages that were imported, by their distribution's name."""
    found = {}
    by_module = importlib.metadata.packages_distributions()
    for name in {module.partition(".")[0] for module in list(sys.modules)} & by_module.keys():
        for distribution in by_module[name]:
            with suppress(importlib.metadata.PackageNotFoundError):
                found[distribution] = importlib.metadata.version(distribution)
    return {"python": sys.version.split()[0], **dict(sorted(found.items()))}


def _refusal(error: BaseException) -> guard.Refused | None:
    """The refusal that led to this exception, if one did: libraries wrap what they catch."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, guard.Refused):
            return current
        seen.add(id(current))
        current = current.__cause__ or current.__context__
    return None


def _show(error: BaseException) -> None:
    """Show an exception as the interpreter would, without our own frames."""
    with suppress(BaseException):
        if isinstance(error, SystemExit):
            if error.code is not None and not isinstance(error.code, int):
                print(error.code, file=sys.stderr)
            return
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        hook = sys.excepthook if sys.excepthook is not None else traceback.print_exception
        hook(type(error), error.with_traceback(trace), trace)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _at(place: Line) -> str:
    return f" at {places.shown(place)}" if place[0] else ""


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 300 else text[:297] + "..."


def main(arguments: list[str]) -> None:
    """Run the job of the file named first; the exit status is that of the program."""
    if arguments[0] == "--kernel":
        from mllint_bio.observe import kernel

        kernel.main(arguments[1:])
        return
    setting = Setting(Path(arguments[0]))
    die_with_parent(setting.parent)
    _watch(setting.lifeline, setting.base)
    if setting.job.command.kind == "notebook":
        from mllint_bio.observe import kernel

        sys.exit(kernel.drive(setting, Path(arguments[0])))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    observation = Observation(setting)
    observation.prepare()
    use_own_paths(setting)
    run_script(observation)
    sys.exit(observation.exit_code)


if __name__ == "__main__":
    main(sys.argv[1:])
