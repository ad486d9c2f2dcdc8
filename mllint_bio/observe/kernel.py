"""Notebooks: a driver that sends the cells in order, and a real ipykernel in which they run under guard and probes.

`drive` runs in the child that the launching process started and executes nothing of the user's. `main` is the kernel: it prepares
the observation first and then becomes an ipykernel, so that magics, display and `input` behave as in Jupyter's "run all".
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import queue
import re
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mllint_bio.observe import child, instrument, places

if TYPE_CHECKING:
    from mllint_bio.observe.child import Observation, Setting

_END = "__mllint_end__"
_TIMED = ("<timed exec>", "<timed eval>")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NEEDS = "a notebook needs ipykernel to run: pip install 'mllint-bio[dynamic]'"
# Cell magics that hand the cell to another program.
_SHELL_MAGICS = (
    "bash",
    "sh",
    "script",
    "perl",
    "ruby",
    "python",
    "python2",
    "python3",
    "pypy",
    "html_script",
    "cmd",
    "R",
    "julia",
)


@dataclass(frozen=True)
class _Cell:
    """A code cell. number: among all cells; source: as the author wrote it; before: lines of the unit in front of it."""

    number: int
    source: str
    before: int
    tags: tuple[str, ...]


def _cells(setting: Setting) -> tuple[str, list[_Cell], str]:
    """Path relative to the root, the code cells, and why the notebook cannot be run (else empty)."""
    from mllint_bio import sources
    from mllint_bio.sources.notebook import original_cells

    target = setting.job.command.target
    path = Path(setting.folder, setting.own_path(target))
    shown = places.relative(os.fspath(path)) or target
    if not path.exists():
        return shown, [], f"{target} does not exist"
    if not target.endswith(".ipynb"):
        return shown, [], f"{target} is no notebook (.ipynb)"
    unit = sources.load(path, shown)
    if unit.skipped or (unit.problems and not unit.cells):
        problem = next((problem.message for problem in unit.problems), unit.skipped)
        return shown, [], f"{target} {problem}" if unit.problems else problem
    originals = original_cells(path.read_bytes(), shown)
    cells = [
        _Cell(cell.number, source, unit.line_index(cell.start), tags)
        for cell, (source, tags) in zip(unit.cells, originals, strict=True)
    ]
    places.set_cells(shown, [(cell.number, cell.before) for cell in cells])
    return shown, cells, ""


# -- the driver --------------------------------------------------------------------------------------------------------


def drive(setting: Setting, job_file: Path) -> int:
    """Run all cells in order; the exit status of the child process."""
    places.set_project(setting.project, setting.root)
    _, cells, fault = _cells(setting)
    if not fault and importlib.util.find_spec("ipykernel") is None:
        fault = _NEEDS
    if fault:
        observation = child.Observation(setting)
        observation.not_started(fault)
        observation.end()
        return observation.exit_code
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    arguments = [sys.executable, "-m", "mllint_bio.observe.child", "--kernel", os.fspath(job_file), "-f", "{connection_file}"]
    connection = os.fspath(setting.base / "tmp" / "kernel.json")
    # Sockets in the scratch folder, where their path is short enough to be one: nobody else on the machine can connect.
    transport = "ipc" if len(connection) < 90 else "tcp"
    manager = KernelManager(connection_file=connection, transport=transport)
    # Private: a kernel that no kernelspec file on disk names.
    manager._kernel_spec = KernelSpec(argv=arguments, display_name="mllint-bio", language="python")
    manager.start_kernel(cwd=os.fspath(setting.base / "arrays"))
    _forward_termination(manager)
    client = manager.client()
    client.start_channels()
    status = 1
    try:
        client.wait_for_ready(timeout=max(60.0, setting.job.limits.seconds))
        status = _run_all(manager, client, cells)
        _execute(manager, client, {"code": f"{_END}()", "silent": True, "store_history": False}, {})
    except RuntimeError as error:  # it died before it was ready; what it said stands on standard error
        print(error, file=sys.stderr)
    finally:
        client.stop_channels()
        _close(manager)
    return status


def _run_all(manager: Any, client: Any, cells: list[_Cell]) -> int:
    for index, cell in enumerate(cells):
        if not cell.source.strip() or "skip-execution" in cell.tags:
            continue
        content = {"code": cell.source, "silent": False, "store_history": True}
        reply = _execute(manager, client, content, {"cellId": str(index)})
        if reply is None:
            return 1
        if any(payload.get("source") == "ask_exit" for payload in reply.get("payload", ())):
            return 0
        if reply["status"] != "ok" and "raises-exception" not in cell.tags:
            return 1
    return 0


def _execute(manager: Any, client: Any, content: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any] | None:
    """Run code in the kernel and show what it shows until it is done; its reply, or None if the kernel died."""
    content = {"user_expressions": {}, "allow_stdin": False, "stop_on_error": True, **content}
    message = client.session.msg("execute_request", content, metadata=metadata)
    request = message["header"]["msg_id"]
    client.shell_channel.send(message)
    while True:
        try:
            message = client.get_iopub_msg(timeout=0.5)
        except queue.Empty:
            if not manager.is_alive():
                return None
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            break
        _print(message["msg_type"], content)
    while True:
        try:
            reply = client.get_shell_msg(timeout=0.5)
        except queue.Empty:
            if not manager.is_alive():
                return None
            continue
        if reply["parent_header"].get("msg_id") == request:
            return dict(reply["content"])


def _print(kind: str, content: dict[str, Any]) -> None:
    if kind == "stream":
        sys.stdout.write(content["text"])
    elif kind in ("execute_result", "display_data"):
        sys.stdout.write(str(content["data"].get("text/plain", "")) + "\n")
    elif kind == "error":
        sys.stdout.write(_COLOURS.sub("", "\n".join(content["traceback"])) + "\n")
    sys.stdout.flush()


def _forward_termination(manager: Any) -> None:
    """The kernel writes the end of the log; ours only waits for it."""

    def terminated(_number: int, _frame: object) -> NoReturn:
        process = manager.provisioner.process
        with suppress(Exception):
            process.terminate()
            process.wait(2.0)
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminated)


def _close(manager: Any) -> None:
    """End the kernel, which has nothing left to say; if a signal ended it before, end by the same one."""
    process = manager.provisioner.process
    if manager.is_alive():
        manager.shutdown_kernel(now=True)
        return
    code = process.returncode or 0
    if code < 0:
        sys.stdout.flush()
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)


# -- the kernel --------------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """The kernel process: job file first, then what ipykernel understands."""
    setting = child.Setting(Path(arguments[0]))
    setting.parent = os.getppid()
    child.die_with_parent(setting.parent)
    observation = child.Observation(setting)
    observation.prepare()
    os.chdir(setting.folder)
    child.use_own_paths(setting)
    from ipykernel.kernelapp import IPKernelApp

    app: Any = IPKernelApp.instance()
    app.initialize([*arguments[1:], "--HistoryManager.enabled=False"])
    notebook, cells, _ = _cells(setting)
    folder = os.path.dirname(os.path.join(setting.folder, setting.own_path(setting.job.command.target)))
    os.chdir(folder)  # as Jupyter does
    sys.path[:1] = [folder] if sys.path and sys.path[0] == os.fspath(setting.base / "arrays") else sys.path[:1]
    _Session(observation, app.shell, notebook, cells).begin()
    app.start()


class _Session:
    """Knows which cell is running, and tells the observation, the compiler and the instrumentation."""

    def __init__(self, observation: Observation, shell: Any, notebook: str, cells: list[_Cell]) -> None:
        self.observation = observation
        self.shell = shell
        self.notebook = notebook
        self.cells = cells
        self.cell: _Cell | None = None
        self.before = 0
        self.depth = 0
        self.named = False

    def begin(self) -> None:
        """From now on cells are the user's."""
        setattr(builtins, _END, self.observation.end)
        self.shell.events.register("pre_run_cell", self._before_cell)
        self.shell.events.register("post_run_cell", self._after_cell)
        self.shell.compile.get_code_name = self._name
        self.shell.ast_transformers.append(self)
        if not self.observation.setting.job.permissions.processes:
            self._refuse_shell()
        self.observation.catch_termination()
        self.observation.begin()

    def _before_cell(self, info: Any) -> None:
        self.depth += 1
        cell_id = getattr(info, "cell_id", None)
        if self.depth == 1 and isinstance(cell_id, str) and cell_id.isdigit():
            self.cell = self.cells[int(cell_id)]
            self.observation.go_on()  # an error that the notebook expects is no end

    def _after_cell(self, result: Any) -> None:
        self.depth -= 1
        error = result.error_in_exec or result.error_before_exec
        if error is not None and self.depth == 0:
            self.observation.failed(error)

    def _name(self, raw: str, code: str, number: int) -> str:
        """File name for code that is about to be compiled; `%%capture` and the like compile the rest of their cell."""
        if self.cell is None:
            return f"<cell {number}>"
        start = self.cell.source.find(raw.rstrip())
        inside = self.cell.source.count("\n", 0, start) if start > 0 else 0
        self.before = self.cell.before + inside + _blank_lines(raw)
        name = os.path.join(os.fspath(self.observation.setting.base), "cells", f"{self.cell.number}-{inside}.py")
        places.add_cell(name, self.notebook, self.before)
        self.named = True
        return name

    def visit(self, tree: Any) -> Any:
        """As an IPython AST transformer."""
        if self.cell is None:
            return tree
        before = self.before
        if not self.named:  # `%time` and `%%time` compile their code themselves, on the line of the magic or below it
            magic = (places.innermost(sys._getframe()) or ("", before + 1))[1]
            body = self.cell.source.lstrip().partition("\n")[2] if self.cell.source.lstrip().startswith("%%") else None
            before = magic - 1 if body is None else magic + _blank_lines(body)
            for name in _TIMED:
                places.add_cell(name, self.notebook, before)
        self.named = False
        with suppress(Exception):
            links = "numba" not in "".join(cell.source for cell in self.cells)
            return instrument.instrumenter().change(tree, self.notebook, before, links=links, shows_last=True)
        return tree

    def _refuse_shell(self) -> None:
        """`!command` is noted and does nothing: as in Jupyter, a command that fails does not end the run."""

        def system(command: str) -> None:
            self._refused(command)
            self.shell.user_ns["_exit_code"] = 1

        def getoutput(command: str, split: bool = True, depth: int = 0) -> Any:
            from IPython.utils.text import LSString, SList

            self._refused(command)
            return SList([]) if split else LSString("")

        def magic(line: str, cell: str = "") -> None:
            self._refused(cell.strip().split("\n")[0] or line)

        self.shell.system = self.shell.system_piped = self.shell.system_raw = system
        self.shell.getoutput = getoutput
        for name in _SHELL_MAGICS:
            if name in self.shell.magics_manager.magics["cell"]:
                self.shell.register_magic_function(magic, "cell", name)

    def _refused(self, command: str) -> None:
        words = " ".join(str(command).split())
        line = words if len(words) <= 60 else words[:57] + "..."
        option = "--allow-processes"
        place = places.innermost(sys._getframe()) or ("", 0)
        assert self.observation.guard is not None
        self.observation.guard.note(f"starting the program {line!r}", option, place)
        print(f"refused by mllint-bio confirm ({option} allows it): {line}")


def _blank_lines(text: str) -> int:
    """Empty lines in front of code, which IPython drops."""
    return text.count("\n", 0, len(text) - len(text.lstrip()))
