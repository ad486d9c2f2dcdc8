"""Instrumentation: the three calls are where they belong, and programs do what they did before."""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import sys
import sysconfig
import textwrap
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mllint_bio.observe import instrument
from mllint_bio.observe.instrument import Hooks, Instrumenter
from mllint_bio.observe.job import Guide, Limits


class Recorded:
    """What the hooks were told."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.made: list[tuple[Any, tuple[Any, ...]]] = []
        self.steps = 0

    def hooks(self) -> Hooks:
        def made(value: Any, operands: Any) -> Any:
            self.made.append((value, tuple(operands)))
            return value

        return Hooks(self.marks.append, made, lambda: self.steps)


@pytest.fixture(autouse=True)
def no_hooks_are_left() -> Iterator[None]:
    """The calls are taken from the builtins again."""
    yield
    for name in [name for name in vars(builtins) if name.startswith("__mllint_")]:
        delattr(builtins, name)


def execute(
    program: str, guide: Guide | None = None, limits: Limits | None = None, **names: Any
) -> tuple[dict[str, Any], Recorded]:
    """Run a changed program; its namespace and what the hooks were told."""
    recorded = Recorded()
    guide, limits = guide or Guide(), limits or Limits()
    instrument.set_hooks(recorded.hooks(), limits)
    tree = Instrumenter(guide, limits).change(ast.parse(textwrap.dedent(program).lstrip("\n")), "train.py")
    namespace: dict[str, Any] = {"__name__": "program", "recorded": recorded, **names}
    exec(compile(tree, "train.py", "exec", dont_inherit=True), namespace)
    return namespace, recorded


class Rows(list):  # type: ignore[type-arg]
    """Stands for an array: not one of the plain types that the hooks pass over."""

    def __add__(self, other: Any) -> Rows:
        return Rows([*self, other])

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return Rows(found) if isinstance(key, slice) else found


def marks(*lines: int) -> Guide:
    """A guide with marks only."""
    return Guide(marks=tuple(("train.py", line) for line in lines))


def test_marks_count_executions() -> None:
    """A marked statement is counted each time it runs, and not when it does not."""
    program = """
        '''Docstring.'''
        from __future__ import annotations
        best = 0
        for score in (1, 3, 2):
            if score > best:
                best = score
        def never():
            return 1
        def once(): return 2
        once()
    """
    namespace, recorded = execute(program, marks(1, 2, 3, 5, 6, 8, 9))
    assert recorded.marks == [2, 3, 4, 3, 4, 3, 6]
    assert namespace["__doc__"] == "Docstring."


def test_a_mark_stands_in_front_of_what_leaves() -> None:
    """`return`, `raise`, `break` and `continue` are marked before they leave."""
    program = """
        def f():
            return 1
        f()
        for x in range(3):
            if x == 0:
                continue
            break
        try:
            raise ValueError
        except ValueError:
            pass
    """
    _, recorded = execute(program, marks(2, 6, 7, 9))
    assert recorded.marks == [0, 1, 2, 3]


def test_a_decorated_function_is_found_by_either_line() -> None:
    """The static side may name the decorator's line or that of `def`."""
    program = "import functools\n@functools.lru_cache\ndef f():\n    pass\n"
    assert execute(program, marks(2))[1].marks == [0]
    assert execute(program, marks(3))[1].marks == [0]


def test_epochs_end_at_the_limit_and_the_program_goes_on() -> None:
    """The marked loop makes as many passes as allowed, its `else` runs, others are left alone."""
    program = """
        passes = others = 0
        for epoch in range(100):
            passes += 1
        else:
            finished = True
        for epoch in range(100):
            others += 1
    """
    guide = Guide(epochs=(("train.py", 2),))
    namespace, _ = execute(program, guide, Limits(epochs=3))
    assert (namespace["passes"], namespace["others"], namespace["finished"]) == (3, 100, True)
    assert execute(program, guide, Limits())[0]["passes"] == 100


def test_steps_end_both_loops_of_each_training() -> None:
    """The limit counts optimizer steps from the start of each training; every loop makes its first pass."""
    program = """
        log = []
        for fold in range(3):
            for epoch in range(10):
                for batch in range(4):
                    recorded.steps += 1
                    log.append((fold, epoch, batch))
        last = batch
    """
    guide = Guide(epochs=(("train.py", 3),), batches=(("train.py", 4),))
    namespace, _ = execute(program, guide, Limits(steps=6))
    assert [entry for entry in namespace["log"] if entry[0] == 1] == [
        (1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 0, 3), (1, 1, 0), (1, 1, 1)
    ]  # fmt: skip
    assert len(namespace["log"]) == 18


def test_a_limited_loop_iterates_as_before() -> None:
    """Exceptions, `break`, and iterators that are used again behind the loop behave as without a limit."""
    program = """
        numbers = iter(range(10))
        for number in numbers:
            if number == 2:
                break
        rest = next(numbers)
        try:
            for x in 5:
                pass
        except TypeError as error:
            message = str(error)
        def generate():
            yield 1
            raise KeyError('inside')
        try:
            for x in generate():
                pass
        except KeyError as error:
            key = error.args
    """
    guide = Guide(epochs=tuple(("train.py", line) for line in (2, 7, 15)))
    namespace, _ = execute(program, guide, Limits(epochs=8))
    assert (namespace["rest"], namespace["message"], namespace["key"]) == (3, "'int' object is not iterable", ("inside",))


def test_values_come_with_what_they_were_made_of() -> None:
    """Assignments, returns and arguments tell their operands; a bare name or a constant has nothing to tell."""
    X = Rows([1, 2, 3])
    program = """
        half = X[:2]
        more = half + 4
        same = X
        class Net:
            pass
        net = Net()
        net.X = X
        part = net.X[1:]
        def scaled(data):
            return data + 1
        use(scaled(X), data=X[1:])
    """
    used: list[Any] = []
    _, recorded = execute(program, X=X, use=lambda value, data: used.append((value, data)))
    told = [(value, [operand for operand in operands if isinstance(operand, Rows)]) for value, operands in recorded.made]
    data = [(value, operands) for value, operands in told if isinstance(value, Rows)]
    assert data == [
        ([1, 2], [X]),
        ([1, 2, 4], [[1, 2]]),
        ([2, 3], [X]),
        ([1, 2, 3, 1], [X]),
        ([1, 2, 3, 1], [X]),
        ([2, 3], [X]),
    ]
    assert used == [([1, 2, 3, 1], [2, 3])]


def test_reading_an_operand_again_runs_no_code_of_the_program() -> None:
    """Properties and `__getattr__` are not run a second time."""
    program = """
        class Stream:
            reads = 0
            @property
            def batch(self):
                self.reads += 1
                return Values([self.reads])
            def __getattr__(self, name):
                self.reads += 100
                return Values([0])
        stream = Stream()
        first = stream.batch + 1
        second = stream.other + 1
    """
    namespace, _ = execute(program, Values=Rows)
    assert namespace["stream"].reads == 101


def test_a_failing_hook_does_not_reach_the_program() -> None:
    """Whatever goes wrong in the recorder, the program runs on."""

    def fail(*_: Any) -> Any:
        raise RuntimeError("ours")

    instrument.set_hooks(Hooks(fail, fail), Limits())
    tree = Instrumenter(marks(1), Limits()).change(ast.parse("x = data[1:]\n"), "train.py")
    namespace: dict[str, Any] = {"data": Rows([1, 2])}
    exec(compile(tree, "train.py", "exec"), namespace)
    assert namespace["x"] == [2]


def test_tracebacks_name_the_author_s_lines() -> None:
    """Lines of frames are those of the source, inside wrapped expressions and behind marks, too."""
    program = "data = [1]\n\nvalue = (data[0] +\n         data[5])\n"
    with pytest.raises(IndexError) as caught:
        execute(program, marks(1, 3))
    plain = "data = [1]\n\nvalue = (data[0] +\n         data[5])\n"
    with pytest.raises(IndexError) as expected:
        exec(compile(plain, "train.py", "exec"), {})
    lines = [frame.lineno for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == "train.py"]
    assert lines == [frame.lineno for frame in traceback.extract_tb(expected.value.__traceback__) if frame.filename == "train.py"]


def test_the_last_expression_of_a_cell_stays_last() -> None:
    """A notebook shows the value of its last expression, marked or not."""
    tree = Instrumenter(marks(2), Limits()).change(ast.parse("x = 1\nx\n"), "train.py", shows_last=True)
    assert isinstance(tree.body[-1], ast.Expr) and isinstance(tree.body[-1].value, ast.Name)
    assert len(tree.body) == 3


def test_every_module_of_the_standard_library_compiles() -> None:
    """Marks on all statements and links everywhere leave every module compilable, with the same functions."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [*sorted(folder.glob("*.py")), *sorted((folder / "asyncio").glob("*.py")), *sorted((folder / "json").glob("*.py"))]
    assert len(files) > 100
    for file in files:
        source = file.read_bytes()
        tree = ast.parse(source)
        lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
        loops = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.For)}
        guide = Guide(tuple(("x.py", line) for line in lines), tuple(("x.py", line) for line in loops))
        changed = Instrumenter(guide, Limits(epochs=1)).change(ast.parse(source), "x.py")
        code = compile(changed, str(file), "exec", dont_inherit=True)
        plain = compile(source, str(file), "exec", dont_inherit=True)
        assert code.co_flags == plain.co_flags, f"{file}: another __future__"
        assert _functions(code) == _functions(plain), file


def _functions(code: Any) -> set[tuple[str, int, tuple[str, ...]]]:
    found, stack = set(), [code]
    while stack:
        one = stack.pop()
        found.add((one.co_name, one.co_firstlineno, one.co_varnames))
        stack += [constant for constant in one.co_consts if hasattr(constant, "co_code")]
    return found


# -- programs drawn at random ----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "data", "obj.x", "missing"])
ATOMS = st.one_of(NAMES, st.integers(-2, 3).map(str), st.sampled_from(["'s'", "[1, 2]", "None", "(1, 2, 3)"]))


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "-", "==", "<", "and", "or", "in"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        inner.map(lambda e: f"(-{e})"),
        st.tuples(st.sampled_from(["f", "len", "list", "obj.method", "str"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"f({t[0]}, key={t[1]})"),
        inner.map(lambda e: f"[{e} for a in (1, 2)]"),
        inner.map(lambda e: f"(b := {e})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        inner.map(lambda e: f"(lambda: {e})()"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}:]"),
    )


EXPRESSIONS = st.recursive(ATOMS, _larger, max_leaves=6)


def _indented(body: list[str]) -> str:
    return textwrap.indent("\n".join(body), "    ")


def _compound(statements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    bodies = st.lists(statements, min_size=1, max_size=3).map(_indented)
    return st.one_of(
        st.tuples(EXPRESSIONS, bodies, bodies).map(lambda t: f"if {t[0]}:\n{t[1]}\nelse:\n{t[2]}"),
        st.tuples(EXPRESSIONS, bodies, bodies).map(lambda t: f"for a in {t[0]}:\n{t[1]}\nelse:\n{t[2]}"),
        st.tuples(bodies, bodies, bodies).map(lambda t: f"try:\n{t[0]}\nexcept Exception as e:\n{t[1]}\nfinally:\n{t[2]}"),
        bodies.map(lambda b: f"def f(x=1, key=None):\n    global c\n{b}\n    return x"),
        bodies.map(lambda b: f"class Other:\n{b}"),
        bodies.map(lambda b: f"with manager() as b:\n{b}"),
    )


STATEMENTS = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["a", "b", "c", "obj.x", "data[0]", "a, b", "a = c"]), EXPRESSIONS).map(
            lambda t: f"{t[0]} = {t[1]}"
        ),
        EXPRESSIONS.map(lambda e: f"print({e})"),
        EXPRESSIONS,
        st.tuples(st.sampled_from(["a", "b"]), EXPRESSIONS).map(lambda t: f"{t[0]} += {t[1]}"),
        st.sampled_from(["pass", "del b", "assert a", "raise ValueError(a)", "import json; c = 2", "'text'"]),
    ),
    _compound,
    max_leaves=8,
)

PRELUDE = """
import contextlib
log = []
class Thing:
    x = 1
    def method(self, value):
        log.append(('method', repr(value)))
        return value
    def __getattr__(self, name):
        log.append(('getattr', name))
        raise AttributeError(name)
def f(value=0, key=None):
    log.append(('f', repr(value), repr(key)))
    return [value, key]
@contextlib.contextmanager
def manager():
    yield 3
obj, a, b, c, data = Thing(), 1, [1, 2], {'k': 1}, [1, 2, 3]
"""


class Endless(BaseException):
    """The program takes too many steps: `for a in b: b += c` never ends."""


def _behaviour(code: Any, most: int) -> Any:
    """What a program does in so many lines at most. Raises Endless."""
    printed = io.StringIO()
    namespace: dict[str, Any] = {"__name__": "program"}
    ending: Any = None
    lines = 0

    def step(frame: types.FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += frame.f_code.co_filename == "train.py"
        if lines > most:
            raise Endless
        return step

    with contextlib.redirect_stdout(printed):
        tracer = sys.gettrace()
        try:
            sys.settrace(step)
            exec(code, namespace)
        except Exception as error:
            frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "train.py"]
            ending = (type(error).__name__, str(error), frames)
        finally:
            sys.settrace(tracer)
    variables = {name: _plain(namespace.get(name, "absent")) for name in ("a", "b", "c", "data", "log", "e")}
    return printed.getvalue(), ending, variables


def _plain(value: Any) -> str:
    return " ".join(word for word in repr(value).split() if "0x" not in word)


@pytest.mark.usefixtures("bounded_memory")
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STATEMENTS, min_size=1, max_size=5).map("\n".join))
@example("for a in b:\n    b += c")
def test_programs_behave_as_before(text: str) -> None:
    """Output, exceptions with their lines, calls in their order and final values are the same with and without changes."""
    source = PRELUDE + text + "\n"
    try:
        plain = compile(source, "train.py", "exec")
    except SyntaxError:
        return
    tree = ast.parse(source)
    lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    loops = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.For)}
    guide = Guide(tuple(("train.py", line) for line in lines), tuple(("train.py", line) for line in loops))
    instrument.set_hooks(Recorded().hooks(), Limits())
    limits = Limits(epochs=1000)  # every loop goes through our iterator, and none is cut off
    changed = compile(Instrumenter(guide, limits).change(tree, "train.py"), "train.py", "exec")
    try:
        before = _behaviour(plain, 3000)
    except (Endless, MemoryError):  # the latter where the values are shown
        return
    after = _behaviour(changed, 30_000)
    if before[1] is not None and before[1][0] in ("RecursionError", "MemoryError"):
        assert after[1][0] == before[1][0]  # how far it comes is not the program's to say: our calls take stack, too
    else:
        assert after == before


def test_what_cannot_be_changed_is_compiled_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours, or code nested too deeply for a tree walk, costs the instrumentation and nothing else."""
    from mllint_bio.observe import places

    file = tmp_path / "deep.py"
    file.write_text("x = " + " + ".join(["1"] * 3000) + "\n")
    monkeypatch.setattr(places, "_prefixes", [f"{tmp_path}/"])
    monkeypatch.setattr(places, "_files", {})
    namespace: dict[str, Any] = {}
    limit = sys.getrecursionlimit()
    try:
        exec(instrument.compiled(file.read_bytes(), str(file)), namespace)
    except RecursionError:
        with pytest.raises(RecursionError):
            compile(file.read_bytes(), str(file), "exec")
    else:
        assert namespace["x"] == 3000
    assert sys.getrecursionlimit() == limit
