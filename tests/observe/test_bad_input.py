"""Programs that misbehave: the run ends, says why in one line, and the user's files are as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mllint_bio.observe.job import Limits, Permissions, Status
from mllint_bio.observe.launch import OUTPUT_TAIL, run
from tests.observe.programs import execute, fingerprint, job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tested on Linux")


def processes_with(word: str) -> list[str]:
    """Command lines of living processes that hold a word."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if word in line and state != "Z" and entry.name.isdigit() and int(entry.name) != os.getpid():
            found.append(line)
    return found


def eventually(condition: object, seconds: float = 15.0) -> bool:
    """Whether a condition becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_a_crash_is_told_with_exception_and_line(tmp_path: Path) -> None:
    """An uncaught exception is the reason, at the innermost line of the user's code."""
    outcome = execute(tmp_path, "import json\nprint('before')\njson.loads('{')\n")
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith("JSONDecodeError: Expecting property name")
    assert outcome.reason.endswith("at train.py:3")
    assert (outcome.path, outcome.line, outcome.exit_code) == ("train.py", 3, 1)
    assert "before" in outcome.output and "Traceback" in outcome.output
    assert "mllint_bio" not in outcome.output, "our own frames are no business of the user's"


def test_an_endless_program_is_ended_and_its_line_is_known(tmp_path: Path) -> None:
    """The wall time ends a loop, and the reason says where it was."""
    outcome = execute(tmp_path, "x = 0\nwhile True:\n    x += 1\n", limits=Limits(seconds=2))
    assert outcome.status is Status.TIMEOUT
    assert outcome.reason in ("still running after 2 s at train.py:2", "still running after 2 s at train.py:3")


def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    """SIGTERM is only a request; SIGKILL follows."""
    program = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.1)
    """
    outcome = execute(tmp_path, program, limits=Limits(seconds=2))
    assert outcome.status is Status.TIMEOUT
    assert outcome.reason.startswith("still running after 2 s")


def test_asking_for_input(tmp_path: Path) -> None:
    """There is nobody who could answer."""
    outcome = execute(tmp_path, "print(1)\nname = input('Data set? ')\n")
    assert (outcome.status, outcome.reason) == (Status.FAILED, "asked for input at train.py:2")


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """The reason names the package, not the module inside it."""
    outcome = execute(tmp_path, "import json\nimport no_such_package_at_all.layers\n")
    assert outcome.status is Status.FAILED
    assert outcome.reason == "needs the package 'no_such_package_at_all' at train.py:2, which is not installed"


def test_starting_a_program_is_refused_and_names_the_option(tmp_path: Path) -> None:
    """An uncaught refusal ends the run as REFUSED."""
    outcome = execute(tmp_path, "import subprocess\nsubprocess.run(['touch', 'x'])\n")
    assert outcome.status is Status.REFUSED
    refused = "refused by mllint-bio confirm (--allow-processes allows it)"
    assert outcome.reason == f"{refused}: starting the program 'touch x' at train.py:2"
    (refusal,) = outcome.refusals
    assert (refusal.what, refusal.option, refusal.path, refusal.line) == (
        "starting the program 'touch x'",
        "--allow-processes",
        "train.py",
        2,
    )


def test_starting_a_program_can_be_allowed(tmp_path: Path) -> None:
    """With the permission the program runs, inside the scratch copy and without write access to the user's files."""
    program = f"""
        import subprocess
        print(subprocess.run(['touch', 'made']).returncode, subprocess.run(['touch', '{tmp_path}/made']).returncode)
    """
    outcome = execute(tmp_path, program, permissions=Permissions(processes=True))
    assert outcome.status is Status.FINISHED
    assert outcome.output.splitlines()[-1] == "0 1"
    assert not (tmp_path / "made").exists()


def test_exhausted_memory(tmp_path: Path) -> None:
    """An allocation beyond the limit ends the run as MEMORY, with the line."""
    program = "data = []\nwhile True:\n    data.append(bytearray(16 * 2**20))\n"
    outcome = execute(tmp_path, program, limits=Limits(seconds=60, memory=400 * 2**20))
    assert (outcome.status, outcome.reason) == (Status.MEMORY, "MemoryError at train.py:3")


def test_exhausted_memory_of_numpy(tmp_path: Path) -> None:
    """NumPy's own allocation error counts as well."""
    pytest.importorskip("numpy")
    program = "import numpy as np\nx = np.ones((2000, 2000, 200))\n"
    outcome = execute(tmp_path, program, limits=Limits(seconds=60, memory=400 * 2**20))
    assert outcome.status is Status.MEMORY
    assert outcome.reason.endswith("at train.py:2")


def test_a_changed_directory_changes_nothing_for_us(tmp_path: Path) -> None:
    """A program may go where it likes; places and the log stay right."""
    program = "import os\nos.chdir('/')\nopen('x.txt', 'w')\n"
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.REFUSED
    assert (outcome.path, outcome.line) == ("train.py", 3)
    assert outcome.refusals[0].what == "writing /x.txt"
    assert not Path("/x.txt").exists()


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("sys.exit()", Status.FINISHED, ""),
        ("sys.exit(0)", Status.FINISHED, ""),
        ("sys.exit(3)", Status.FAILED, "exit status 3 at train.py:2 (last words)"),
        ("sys.exit('no data')", Status.FAILED, "sys.exit: no data at train.py:2"),
        ("os._exit(0)", Status.FINISHED, ""),
        ("os._exit(7)", Status.FAILED, "exit status 7 at train.py:2 (last words)"),
        ("raise KeyboardInterrupt", Status.KILLED, "interrupted at train.py:2"),
        ("os.abort()", Status.FAILED, "crashed: aborted, in native code"),
        ("os.kill(os.getpid(), 9)", Status.KILLED, "ended by SIGKILL"),
        ("os.kill(os.getpid(), 15)", Status.KILLED, "ended by SIGTERM at train.py:2"),
        ("import ctypes; ctypes.string_at(0)", Status.FAILED, "crashed: segmentation fault, in native code"),
    ],
)
def test_ways_out(tmp_path: Path, code: str, status: Status, reason: str) -> None:
    """Whatever way out a program takes, the log is complete and the outcome says which it was."""
    outcome = execute(tmp_path, f"import os, sys; print('last words', flush=True)\n{code}\n")
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.log.start["command"] == "train.py"


def test_exit_codes_are_those_of_the_program(tmp_path: Path) -> None:
    """`sys.exit(3)` is 3, an exception is 1."""
    assert execute(tmp_path, "raise SystemExit(3)").exit_code == 3
    assert execute(tmp_path, "1 / 0").exit_code == 1
    assert execute(tmp_path, "pass").exit_code == 0


def test_catching_everything_hides_no_refusal(tmp_path: Path) -> None:
    """A program that swallows all exceptions runs on; what was refused, and how often, is in the outcome."""
    program = f"""
        for attempt in range(100):
            try:
                open('{tmp_path}/stolen.txt', 'w')
            except BaseException:
                pass
        print('done')
    """
    outcome = execute(tmp_path, program)
    assert (outcome.status, outcome.reason) == (Status.FINISHED, "")
    (refusal,) = outcome.refusals
    assert refusal.what == f"writing {tmp_path}/stolen.txt"
    assert refusal.option == f"--allow-write {tmp_path}"
    assert 64 <= refusal.count <= 100
    assert not (tmp_path / "stolen.txt").exists()


def test_the_program_s_own_hooks_do_not_break_the_log(tmp_path: Path) -> None:
    """Audit hooks, import hooks, excepthook, signal handlers, atexit handlers and other streams are the program's to set."""
    program = """
        import atexit, io, signal, sys, threading
        sys.addaudithook(lambda event, arguments: None)
        class Finder:
            def find_spec(self, name, path=None, target=None):
                return None
        sys.meta_path.insert(0, Finder())
        sys.excepthook = lambda *error: print('mine:', error[1])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        atexit.register(print, 'bye')
        def late():
            import time
            time.sleep(0.3)
            print('thread done')
        threading.Thread(target=late).start()
        import colorsys
        sys.stdout, kept = io.StringIO(), sys.stdout
        print('swallowed')
        sys.stdout = kept
        sys.stderr.close()
        raise ValueError('as planned')
    """
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.FAILED
    assert outcome.reason == "ValueError: as planned at train.py:20"
    assert outcome.output.splitlines() == ["mine: as planned", "thread done", "bye"]
    assert outcome.seconds >= 0.3, "the program ends when its threads have"


def test_an_audit_hook_that_forbids_everything_harms_only_the_program(tmp_path: Path) -> None:
    """The log's last records need no audited call."""
    program = """
        import sys
        def hook(event, arguments):
            if event in ('open', 'import', 'compile'):
                raise RuntimeError('no ' + event)
        sys.addaudithook(hook)
        open('x')
    """
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith("RuntimeError: no open at train.py:")


def test_endless_output_is_bounded(tmp_path: Path) -> None:
    """A program that prints without end is ended in time, and only the tail of its output is kept."""
    outcome = execute(tmp_path, "while True:\n    print('spam ' * 200)\n", limits=Limits(seconds=2))
    assert outcome.status is Status.TIMEOUT
    assert 1000 < len(outcome.output) <= OUTPUT_TAIL


def test_daemons_do_not_outlive_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that leaves its session and closes its files dies with the run, and does not delay its end."""
    project, temporary = tmp_path / "project", tmp_path / "tmp"
    project.mkdir()
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    program = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 3)
                while True:
                    time.sleep(0.05)
            os._exit(0)
        os.wait()
        open('pid', 'w').write('x')
        print('daemon started')
    """
    outcome = execute(project, program)
    assert outcome.status is Status.FINISHED, outcome.reason
    assert "daemon started" in outcome.output
    assert eventually(lambda: not processes_with(str(temporary)))


def test_deleting_the_own_folder_deletes_the_copy(tmp_path: Path) -> None:
    """`shutil.rmtree` of its own folder and of the whole project takes the scratch copy only."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("1,2\n")
    program = "import os, shutil\nshutil.rmtree(os.path.dirname(os.path.abspath(__file__)))\nprint(os.path.exists(__file__))\n"
    (tmp_path / "train.py").write_text(program)
    before = fingerprint(tmp_path)
    outcome = run(job(tmp_path))
    assert outcome.status is Status.FINISHED, outcome.reason
    assert "False" in outcome.output
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize(
    "deed",
    [
        "open('{0}/data.csv', 'w')",
        "open('{0}/data.csv', 'r+')",
        "open('{0}/new.csv', 'a')",
        "os.remove('{0}/data.csv')",
        "os.rename('{0}/data.csv', 'mine.csv')",
        "os.replace('train.py', '{0}/data.csv')",
        "os.truncate('{0}/data.csv', 0)",
        "os.chmod('{0}/data.csv', 0o777)",
        "os.utime('{0}/data.csv', (0, 0))",
        "os.mkdir('{0}/folder')",
        "os.symlink('/etc', '{0}/link')",
        "os.link('{0}/data.csv', 'mine.csv')",
        "shutil.rmtree('{0}/sub')",
        "shutil.copy('train.py', '{0}/copy.py')",
        "pathlib.Path('{0}/data.csv').write_text('')",
        "os.open('{0}/data.csv', os.O_WRONLY)",
        "os.makedirs('{0}/a/b/c')",
    ],
)
def test_writing_to_the_user_s_tree_by_absolute_path(tmp_path: Path, deed: str) -> None:
    """Reading by absolute path works, changing is refused."""
    (tmp_path / "data.csv").write_text("1,2\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").write_text("x")
    program = f"import os, pathlib, shutil\nassert open('{tmp_path}/data.csv').read() == '1,2\\n'\n{deed.format(tmp_path)}\n"
    (tmp_path / "train.py").write_text(program)
    before = fingerprint(tmp_path)
    outcome = run(job(tmp_path))
    assert outcome.status is Status.REFUSED, outcome.reason
    assert (outcome.path, outcome.line) == ("train.py", 3)
    assert str(tmp_path) in outcome.refusals[0].what
    assert outcome.refusals[0].option.startswith(f"--allow-write {tmp_path}")
    assert fingerprint(tmp_path) == before


def test_native_code_cannot_write_to_the_user_s_tree_either(tmp_path: Path) -> None:
    """Where the kernel has Landlock, a write that no audit hook sees fails as well."""
    from mllint_bio.observe import landlock

    (tmp_path / "data.csv").write_text("1,2\n")
    program = f"""
        import ctypes
        libc = ctypes.CDLL(None)
        print(libc.unlink(b'{tmp_path}/data.csv'), libc.open(b'{tmp_path}/data.csv', 1), libc.truncate(b'{tmp_path}/data.csv', 0))
    """
    if not _kernel_has_landlock():
        pytest.skip("this kernel has no Landlock")
    outcome = execute(tmp_path, program)
    assert outcome.output.splitlines()[-1] == "-1 -1 -1"
    assert (tmp_path / "data.csv").read_text() == "1,2\n"
    assert landlock


def _kernel_has_landlock() -> bool:
    code = "from mllint_bio.observe import landlock; print(landlock.restrict_writes(['/tmp']))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"


def test_a_link_out_of_the_tree_cannot_be_written_through(tmp_path: Path) -> None:
    """A link in the project to a folder elsewhere is read through, not written through."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    (outside / "x.csv").write_text("1\n")
    (project / "data").symlink_to(outside)
    program = "print(open('data/x.csv').read())\nopen('data/x.csv', 'w').write('2')\n"
    outcome = execute(project, program)
    assert outcome.status is Status.REFUSED
    assert outcome.refusals[0].what == f"writing {outside}/x.csv"
    assert (outside / "x.csv").read_text() == "1\n"


@pytest.mark.parametrize("mode", ["w", "r+", "a"])
def test_a_huge_file_is_not_copied_and_not_changed(tmp_path: Path, mode: str) -> None:
    """Large data is linked; a program that writes to it gets its own copy at that moment."""
    large = tmp_path / "data.bin"
    with large.open("wb") as file:
        file.write(b"head")
        file.truncate(300 * 2**20)
        file.seek(0, 2)
        file.write(b"tail")
    program = f"""
        import os
        print(os.path.getsize('data.bin'), open('data.bin', 'rb').read(4))
        with open('data.bin', '{mode}') as file:
            file.write('HEAD')
        with open('data.bin', 'rb') as file:
            print(file.read(4), os.path.getsize('data.bin'))
    """
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.FINISHED, outcome.reason
    size = 300 * 2**20 + 4
    after = {"w": "b'HEAD' 4", "r+": f"b'HEAD' {size}", "a": f"b'head' {size + 4}"}[mode]
    assert outcome.output.splitlines() == [f"{size} b'head'", after]
    with large.open("rb") as file:
        assert (file.read(4), large.stat().st_size) == (b"head", size)


def test_network_is_refused_with_the_option(tmp_path: Path) -> None:
    """A connection and a name look-up name `--allow-network`."""
    program = """
        import socket
        for attempt in (
            lambda: socket.create_connection(('192.0.2.1', 80), 1),
            lambda: socket.getaddrinfo('example.org', 443),
            lambda: socket.socket().bind(('0.0.0.0', 0)),
        ):
            try:
                attempt()
            except PermissionError as error:
                print(error.errno)
    """
    outcome = execute(tmp_path, program)
    assert outcome.output.split() == ["13", "13", "13"]
    assert [refusal.what for refusal in outcome.refusals] == [
        "connecting to 192.0.2.1:80",
        "looking up example.org",
        "listening on 0.0.0.0:0",
    ]
    assert {refusal.option for refusal in outcome.refusals} == {"--allow-network"}


def test_not_started(tmp_path: Path) -> None:
    """What cannot even be started says so in one line."""
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n    pass\n")
    (tmp_path / "binary.py").write_bytes(b"\x00\x01\x02\xff")
    (tmp_path / "latin.py").write_bytes(b"x = 1\ny = '\xe9'\n")
    (tmp_path / "folder").mkdir()
    reasons = {}
    for target in ("missing.py", "broken.py", "binary.py", "latin.py", "folder"):
        outcome = run(job(tmp_path, target))
        assert outcome.status is Status.NOT_STARTED, target
        assert "\n" not in outcome.reason
        reasons[target] = outcome.reason
    assert reasons["missing.py"] == "missing.py does not exist"
    assert reasons["broken.py"] == "broken.py:2: syntax error: invalid syntax"
    assert reasons["folder"] == "folder is a folder"
    assert "latin.py" in reasons["latin.py"] and "binary.py" in reasons["binary.py"]
    missing = run(job(tmp_path, "pkg.nothing", kind="module"))
    assert missing.status is Status.NOT_STARTED
    assert "pkg" in missing.reason


def test_a_project_that_is_no_folder(tmp_path: Path) -> None:
    """A missing root is a reason, not a traceback."""
    outcome = run(job(tmp_path / "nowhere"))
    assert (outcome.status, outcome.reason) == (Status.NOT_STARTED, f"{tmp_path}/nowhere is not a folder")


def test_sigkill_of_the_parent_leaves_nothing_behind(tmp_path: Path) -> None:
    """After SIGKILL in mid-run the user's tree is byte-identical, no process of the run lives and the scratch folder goes."""
    project, temporary = tmp_path / "project", tmp_path / "tmp"
    project.mkdir()
    temporary.mkdir()
    program = """
        import os, time
        open('written.txt', 'w').write('inside the copy')
        if os.fork() == 0:
            os.setsid()
        print('running', flush=True)
        while True:
            time.sleep(0.05)
    """
    (project / "train.py").write_text(textwrap.dedent(program))
    (project / "data.csv").write_text("1,2\n")
    before = fingerprint(project)
    code = f"""
        import sys
        from pathlib import Path
        from mllint_bio.observe.launch import run
        from tests.observe.programs import job
        def progress(seconds, line):
            if line == 'running':
                print('now', flush=True)
        run(job(Path({str(project)!r})), progress=progress)
    """
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"now\n"
    scratch_folders = list(temporary.glob("mllint-bio-*/run-*"))
    assert len(scratch_folders) == 1
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not processes_with(str(temporary)))
    assert eventually(lambda: not scratch_folders[0].exists())
    assert fingerprint(project) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_parent_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM of the launching process end the child and remove the scratch folder."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "train.py").write_text("import time\nprint('running', flush=True)\ntime.sleep(60)\n")
    code = f"""
        from pathlib import Path
        from mllint_bio.observe.launch import run
        from tests.observe.programs import job
        run(job(Path({str(tmp_path)!r})), progress=lambda seconds, line: line == 'running' and print('now', flush=True))
    """
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"now\n"
    parent.send_signal(number)
    parent.wait(30)
    parent.stdout.close()
    assert eventually(lambda: not processes_with(str(temporary)))
    assert eventually(lambda: not list(temporary.glob("mllint-bio-*/run-*")))
