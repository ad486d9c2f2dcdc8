"""Whatever the text is, the interpreter returns: results, problems, no exception."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllint_bio.events import Fit, Seed
from mllint_bio.predict import Analysis, Project, analyse, spans
from mllint_bio.sources import load_text

pytestmark = pytest.mark.usefixtures("bounded_memory")

PRELUDE = (
    "import numpy as np\nimport pandas as pd\nimport torch\nfrom torch import nn\n"
    "from sklearn.model_selection import KFold, cross_val_score, train_test_split\n"
    "from sklearn.linear_model import LogisticRegression\nfrom sklearn.preprocessing import StandardScaler\n"
    "from sklearn.metrics import accuracy_score, roc_auc_score\nfrom sklearn.pipeline import make_pipeline\n"
)
NAMES = ["X", "y", "model", "best", "i", "self", "data", "loader", "scores", "X_test"]
CALLS = """
    np.load pd.read_csv train_test_split LogisticRegression StandardScaler KFold cross_val_score accuracy_score roc_auc_score
    make_pipeline torch.tensor nn.Linear nn.Sequential torch.optim.Adam np.random.permutation np.random.seed len range zip
    enumerate sorted max print list set dict f C getattr super map
"""
METHODS = """
    fit predict fit_transform split mean append items drop sample backward step eval state_dict groupby iloc get to
"""
OPERATORS = "+ - * / @ < >= == in is and or &"
STATEMENTS = ["pass", "global best", "import random as r", "from torch import *", "del X", "assert X", "raise ValueError(X)"]


def extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions made of smaller ones."""
    arguments = st.lists(
        st.one_of(inner, inner.map("*{}".format), inner.map("k={}".format), inner.map("**{}".format)), max_size=3
    )

    def ordered(parts: list[str]) -> str:
        plain = [p for p in parts if not p.startswith(("k=", "**"))]
        keyword = [p for p in parts if p.startswith("k=")][:1]
        return ", ".join([*plain, *keyword, *[p for p in parts if p.startswith("**")]])

    called = arguments.map(ordered)
    return st.one_of(
        st.builds("{}({})".format, st.sampled_from(CALLS.split()), called),
        st.builds("({}).{}({})".format, inner, st.sampled_from(METHODS.split()), called),
        st.builds("({}).{}".format, inner, st.sampled_from(METHODS.split())),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[{}:{}]".format, inner, inner, inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(OPERATORS.split()), inner),
        st.builds("-({})".format, inner),
        st.builds("not ({})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("({}, {})".format, inner, inner),
        st.builds("[{} for i in ({}) if {}]".format, inner, inner, inner),
        st.builds("{{i: {} for i, x in ({})}}".format, inner, inner),
        st.builds("({}) if ({}) else ({})".format, inner, inner, inner),
        st.builds("(lambda i, *a, k=1: {})".format, inner),
        st.builds("f'{{{}}}'".format, st.sampled_from(NAMES)),
    )


ATOMS = [*NAMES, "1", "0.5", "None", "True", "'a'", "''", "...", "-1"]
EXPRESSIONS = st.recursive(st.sampled_from(ATOMS), extended, max_leaves=6)
TARGETS = st.sampled_from([*NAMES, "X, y", "(X, y), i", "self.a", "data[i]", "X, *y", "data['k']", "best.weights"])


def simple() -> st.SearchStrategy[list[str]]:
    """One statement that holds no others."""
    return st.one_of(
        st.builds("{} = {}".format, TARGETS, EXPRESSIONS),
        st.builds("{} += {}".format, st.sampled_from(NAMES), EXPRESSIONS),
        EXPRESSIONS,
        st.sampled_from(
            ["pass", "global best", "import random as r", "from torch import *", "del X", "assert X", "raise ValueError(X)"]
        ),
    ).map(lambda line: [line])


def compound(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    """Statements around others."""
    body = st.lists(inner, min_size=1, max_size=3).map(lambda parts: ["    " + line for part in parts for line in part])
    head = st.one_of(
        st.builds("for {} in {}:".format, TARGETS, EXPRESSIONS),
        st.builds("while {}:".format, EXPRESSIONS),
        st.builds("if {}:".format, EXPRESSIONS),
        st.builds("with {} as i:".format, EXPRESSIONS),
        st.sampled_from(["def f(X, y=1, *a, **k):", "class C(nn.Module):", "class C(C):", "@property", "def f(self):"]).map(
            lambda line: line if line.endswith(":") else f"{line}\ndef f(self):"
        ),
    )

    def with_jump(first: str, inside: list[str], jump: str) -> list[str]:
        return [*first.splitlines(), *inside, *([f"    {jump}"] if first.startswith(("for", "while")) else [])]

    looped = st.builds(with_jump, head, body, st.sampled_from(["break", "continue", "pass"]))
    tried = st.builds(lambda b, c: ["try:", *b, "except Exception as i:", *c], body, body)
    returned = st.builds(lambda b, e: ["def f(X, y=1, *a, **k):", *b, f"    return {e}", "f(X)"], body, EXPRESSIONS)
    either = st.builds(lambda e, b, c: [f"if {e}:", *b, "else:", *c], EXPRESSIONS, body, body)
    return st.one_of(looped, tried, returned, either)


PROGRAMS = st.lists(st.recursive(simple(), compound, max_leaves=8), min_size=1, max_size=8).map(
    lambda parts: "\n".join([PRELUDE + "np.random.seed(0)", *(line for part in parts for line in part), "print(X)", ""])
)
SEED = PRELUDE + (Path(__file__).parents[2] / "fixtures/MLB311/bad_never_back_to_train.py").read_text(encoding="utf-8")


def interpreted(text: str) -> Analysis:
    """The analysis of a text, with the places of all its events."""
    unit = load_text(text, "main.py")
    analysis = analyse(Project(Path("/nonexistent")), [unit])
    spans(unit, [event.at for trace in analysis.traces for event in trace.events if event.at.path == unit.path])
    return analysis


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS)
def test_any_program(text: str) -> None:
    """A program of a small grammar is interpreted: no exception, and events are numbered by their place in the trace."""
    analysis = interpreted(text)
    assert analysis.problems or isinstance(analysis.traces[0].events[0], Seed)
    for trace in analysis.traces:
        assert [event.id for event in trace.events] == list(range(len(trace.events)))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_any_text(seed: int, changes: int) -> None:
    """A program with characters dropped, doubled and swapped is analysed or has problems."""
    chance = random.Random(seed)
    text = SEED
    for _ in range(changes):
        start = chance.randrange(len(text))
        end = start + chance.randrange(1, 30)
        stray = chance.choice("()[]:,'\n\t*=@")
        text = chance.choice([text[:start] + text[end:], text[:end] + text[start:], text[:start] + stray + text[start:]])
    interpreted(text)


DEEP = {
    "a sum of 400 terms": " + ".join(["X"] * 400),
    "a sum of 5000 terms": " + ".join(["X"] * 5000),
    "1500 nested parentheses": "(" * 1500 + "X" + ")" * 1500,
    "150 nested parentheses": "(" * 150 + "X" + ")" * 150,
    "a chain of 3000 calls": "X" + ".fit()" * 3000,
    "90 nested lists": "[" * 90 + "X" + "]" * 90,
    "60 nested calls": "f(" * 60 + "X" + ")" * 60,
    "a dictionary of 5000 items": "{" + ", ".join(f"{i}: X" for i in range(5000)) + "}",
}


@pytest.mark.parametrize("expression", DEEP.values(), ids=DEEP)
def test_deep_nesting(expression: str) -> None:
    """What is too deep is left out with a problem; the statements around it are interpreted."""
    analysis = interpreted(f"{PRELUDE}np.random.seed(0)\nvalue = {expression}\nmodel = LogisticRegression().fit(X, value)\n")
    assert analysis.traces or analysis.problems


@pytest.mark.parametrize(
    ("expression", "refused"), [(" + ".join(["X"] * 600), 0), ("X" + ".fit()" * 600, 1)], ids=["sum", "chain"]
)
def test_a_deep_statement_is_left_out_alone(expression: str, refused: int) -> None:
    """A statement that is too deep is a problem at its place; the program around it is interpreted."""
    before = f"{PRELUDE}np.random.seed(0)\n"
    analysis = interpreted(f"{before}value = {expression}\nmodel = LogisticRegression().fit(X, value)\n")
    assert [type(event).__name__ for trace in analysis.traces for event in trace.events] == ["Seed", "Fit"]
    assert [problem.row for problem in analysis.problems] == [before.count("\n") + 1] * refused


@pytest.mark.parametrize("blocks", [15, 90])
def test_nested_blocks(blocks: int) -> None:
    """Blocks inside blocks are interpreted or refused."""
    lines = ["    " * depth + f"if X[{depth}]:" for depth in range(blocks)]
    analysis = interpreted(PRELUDE + "\n".join(["np.random.seed(1)", *lines, "    " * blocks + "np.random.seed(0)"]) + "\n")
    assert analysis.traces or analysis.problems


def test_recursion_and_repetition_are_bounded() -> None:
    """Mutual recursion, and a function called from many loops, end."""
    text = PRELUDE + (
        "def f(X, n):\n    for i in X:\n        for j in X:\n            g(i, n)\n    return f(X, n)\n"
        "def g(X, n):\n    while n:\n        n = f(X, n)\n    return g(n, X)\n"
        "X = np.load('a.npy')\nwhile True:\n    for i in X:\n        X = f(g(X, i), g(i, X))\nLogisticRegression().fit(X, X)\n"
    )
    (trace,) = interpreted(text).traces
    assert any(type(event).__name__ == "Fit" for event in trace.events)


GROWING = {
    "text": ("'ab'", "X += X"),
    "format string": ("'ab'", "X = f'{X}{X}{X}'"),
    "width of a format": ("'ab'", "X = '%900000000d' % 3"),
    "replaced letters": ("'a'", "X = X.replace('a', 'aa')"),
    "path": ("'ab'", "X = os.path.join(X, X)"),
    "power": ("7", "X = X ** 63"),
    "product": ("7", "X = X * X"),
    "conversion": ("9.0 ** 63", "X = X * int(X) + float(X)"),
    "list": ("[1, 2]", "X = X + X"),
    "nested list": ("1", "X = [X, X, X]"),
    "unpacked list": ("[1, 2]", "X = [*X, *X]"),
    "dictionary": ("1", "X = {'a': X, 'b': X}"),
    "rows": ("np.load('a')", "X = np.concatenate([X, X[1:]])"),
}


@pytest.mark.parametrize(("start", "step"), GROWING.values(), ids=GROWING)
def test_values_do_not_grow_without_end(start: str, step: str) -> None:
    """Constants and containers that every statement doubles stay small, straight on and in loops in loops."""
    loops = [f"{'    ' * depth}for i{depth} in range(9):" for depth in range(8)]
    lines = ["import os", "np.random.seed(0)", f"X = {start}", *[step] * 60, *loops, "    " * len(loops) + step]
    (trace,) = interpreted(PRELUDE + "\n".join(lines) + "\nLogisticRegression().fit(X, y)\n").traces
    assert isinstance(trace.events[0], Seed) and isinstance(trace.events[-1], Fit)


def test_arrays_without_rows_are_compared() -> None:
    """A computed array has a name and no rows: which of its values equal another leaves the analysis standing."""
    compared = "marks = np.zeros(5)\nfor mark in range(10):\n    print(marks == mark)\n"
    (trace,) = interpreted(PRELUDE + compared + "LogisticRegression().fit(X, y)\n").traces
    assert isinstance(trace.events[-1], Fit)
