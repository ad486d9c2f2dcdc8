"""The child: a program finds itself as Python would have started it, and what it imports is observed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mllint_bio.observe.job import Controls, Guide, Limits, Status
from mllint_bio.observe.launch import run
from tests.observe.programs import execute, job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tested on Linux")


def test_a_script_sees_what_python_would_show_it(tmp_path: Path) -> None:
    """`__name__`, `__file__`, `sys.argv`, `sys.path[0]`, the working directory: as by `python sub/train.py`."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "neighbour.py").write_text("x = 1\n")
    (tmp_path / "json.py").write_text("raise ImportError('a module of the project that is not imported')\n")
    (tmp_path / "sub" / "train.py").write_text(
        "import os, sys, json, neighbour, pickle\n"
        "class Net: pass\n"
        "pickle.loads(pickle.dumps(Net()))\n"
        "print(__name__, __spec__, __package__, __annotations__, __doc__)\n"
        "print(sys.argv, os.getcwd() == os.path.dirname(os.path.dirname(__file__)), sys.path[0] == os.path.dirname(__file__))\n"
        "print([name for name in globals() if 'mllint' in name], sys.modules['__main__'].Net is Net)\n"
    )
    outcome = run(job(tmp_path, "sub/train.py", "--lr", "0.1"))
    assert outcome.status is Status.FINISHED, outcome.output
    assert outcome.output.splitlines() == [
        "__main__ None None {} None",
        "['sub/train.py', '--lr', '0.1'] True True",
        "[] True",
    ]


def test_a_module_runs_as_by_m(tmp_path: Path) -> None:
    """`-m pkg.train` and `-m pkg` import the package, resolve relative imports and look in the working directory."""
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("name = 'pkg'\n")
    (package / "model.py").write_text("layers = 3\n")
    (package / "train.py").write_text(
        "import sys\nfrom . import name\nfrom .model import layers\nprint(__name__, __package__, __spec__.name, name, layers)\n"
        "print(sys.argv[0] == __file__, sys.argv[1:])\n1 / 0\n"
    )
    (package / "__main__.py").write_text("print('main of', __package__)\n")
    outcome = run(job(tmp_path, "pkg.train", "x", kind="module"))
    assert outcome.output.splitlines()[:2] == ["__main__ pkg pkg.train pkg 3", "True ['x']"]
    assert (outcome.path, outcome.line) == ("pkg/train.py", 6)
    assert run(job(tmp_path, "pkg", kind="module")).output == "main of pkg\n"


def test_a_package_that_fails_at_import_is_the_program_s_failure(tmp_path: Path) -> None:
    """An error in `__init__.py` under `-m` has a line like any other."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("x = 1\nraise ValueError('no data')\n")
    (tmp_path / "pkg" / "train.py").write_text("")
    outcome = run(job(tmp_path, "pkg.train", kind="module"))
    assert (outcome.status, outcome.reason) == (Status.FAILED, "ValueError: no data at pkg/__init__.py:2")


def test_a_syntax_error_in_an_imported_module_has_its_line(tmp_path: Path) -> None:
    """The place is in the file that is broken."""
    (tmp_path / "helper.py").write_text("x = 1\nx = = 2\n")
    outcome = execute(tmp_path, "print('first')\nimport helper\n")
    assert (outcome.status, outcome.path, outcome.line) == (Status.FAILED, "helper.py", 2)


def test_the_working_directory_below_the_root(tmp_path: Path) -> None:
    """A program that is started in a sub-folder finds the rest of the project where it is."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("1,2")
    (tmp_path / "scripts" / "train.py").write_text("print(open('../data/x.csv').read())\nopen('../data/y.csv', 'w').write('1')\n")
    outcome = run(job(tmp_path / "scripts", "train.py", root=tmp_path))
    assert (outcome.status, outcome.output) == (Status.FINISHED, "1,2\n")
    assert not (tmp_path / "data" / "y.csv").exists()


def test_arguments_that_name_the_user_s_folder_lead_into_the_copy(tmp_path: Path) -> None:
    """`--out /home/me/project/out` is written, in the copy."""
    outcome = execute(tmp_path, "import sys\nopen(sys.argv[1], 'w').write('x')\nprint(sys.argv[1])\n", f"{tmp_path}/out.txt")
    assert outcome.status is Status.FINISHED
    assert outcome.output == f"{tmp_path}/out.txt\n", "what is shown has the user's paths"
    assert not (tmp_path / "out.txt").exists()


def test_modules_of_the_project_are_instrumented_and_libraries_are_not(tmp_path: Path) -> None:
    """Marks and loop limits hold in imported modules, by their path relative to the root."""
    pytest.importorskip("numpy")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "loop.py").write_text(
        "def train():\n    done = 0\n    for epoch in range(50):\n        done += 1\n    return done\n"
    )
    guide = Guide(marks=(("lib/loop.py", 4), ("train.py", 2)), epochs=(("lib/loop.py", 3),))
    outcome = execute(tmp_path, "from lib.loop import train\nprint(train())\n", limits=Limits(60, epochs=4), guide=guide)
    assert outcome.output == "4\n"
    counts = {tuple(figure["line"]): figure["count"] for figure in outcome.log.figures if figure["what"] == "mark"}
    assert counts == {("lib/loop.py", 4): 4, ("train.py", 2): 1}
    assert not list(tmp_path.rglob("*.pyc"))


def test_an_installation_that_points_at_the_user_s_folder_runs_the_copy(tmp_path: Path) -> None:
    """With `pip install -e .` (or PYTHONPATH) modules come from the copy, so that edits count."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "mypkg.py").write_text("value = 'original'\n")
    program = f"import sys\nsys.path.append({str(source)!r})\nimport mypkg\nprint(mypkg.value)\n"
    outcome = execute(tmp_path, program, controls=Controls(edits=(("src/mypkg.py", "value = 'edited'\n"),)))
    assert outcome.output == "edited\n"
    assert (source / "mypkg.py").read_text() == "value = 'original'\n"


def test_controls_reach_the_program(tmp_path: Path) -> None:
    """Hash seed, threads and device are set before anything is imported."""
    program = "import os\nprint(hash('a'), os.environ['OMP_NUM_THREADS'], repr(os.environ['CUDA_VISIBLE_DEVICES']))\n"
    controls = Controls(hash_seed=7, threads=1, device="cpu")
    first, second = (execute(tmp_path, program, controls=controls).output for _ in range(2))
    assert first == second
    assert first.split()[1:] == ["1", "''"]
    assert execute(tmp_path, program, controls=Controls(hash_seed=8, threads=1, device="cpu")).output != first


def test_the_program_s_time_is_without_our_preparations(tmp_path: Path) -> None:
    """`seconds` is the wall time of the program itself."""
    outcome = execute(tmp_path, "import time\ntime.sleep(0.5)\n")
    assert 0.5 <= outcome.seconds < 5


def test_exceptions_that_wrap_a_refusal_are_refusals(tmp_path: Path) -> None:
    """Libraries wrap what they catch; the reason is still the refusal."""
    program = """
        import socket
        try:
            socket.create_connection(('192.0.2.1', 80))
        except OSError as error:
            raise RuntimeError('download failed') from error
    """
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.REFUSED
    assert "connecting to 192.0.2.1:80" in outcome.reason and "--allow-network" in outcome.reason


def test_numba_files_are_left_without_links(tmp_path: Path) -> None:
    """Code that Numba may compile holds none of our calls, marks aside."""
    program = (
        "numba = 'in this file'\nimport dis\ndef f(x):\n    y = x[1:]\n    return y\nprint('made' in dis.Bytecode(f).dis())\n"
    )
    assert execute(tmp_path, program).output == "False\n"
    assert execute(tmp_path, program.replace("numba", "other")).output == "True\n"


def test_the_environment_inside_the_project_is_not_the_project(tmp_path: Path) -> None:
    """With the environment (or mllint-bio's own sources) below the root, libraries are found and are no user code."""
    from mllint_bio.observe import places

    package = Path(places.__file__).parents[1]
    program = f"""
        import sys
        sys.path.append({str(package.parent)!r})
        from mllint_bio.observe import places
        import email.mime.text, mllint_bio.patterns
        for module in (email.mime.text, mllint_bio.patterns):
            print(places.relative(module.__file__), type(module.__spec__.loader).__name__)
    """
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("")
    outcome = execute(project, program)
    assert outcome.output.splitlines() == ["None SourceFileLoader"] * 2
    (tmp_path / "scratch").mkdir()
    kept = list(places.prefixes())
    try:
        places.set_project(str(tmp_path / "scratch"), "/")
        assert places.relative(str(tmp_path / "train.py")) == str(tmp_path / "train.py")[1:]
        assert places.relative(places.__file__) is None
        assert places.relative(traceback_file := sys.modules["traceback"].__file__ or "") is None, traceback_file
    finally:
        places._prefixes[:] = kept
        places._files.clear()
