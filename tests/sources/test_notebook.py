"""Notebooks: cells, magics, broken cells, other kernels, broken files."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mllint_bio.sources import Position, SourceUnit, load_text
from mllint_bio.sources.unit import LINE_BREAK


def code(source: Any, count: int | None = None) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": count, "source": source}


def notebook(*cells: Any, metadata: dict[str, Any] | None = None) -> str:
    cells = tuple(code(c) if isinstance(c, str) else c for c in cells)
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata or {}, "cells": cells})


def read(*cells: Any, metadata: dict[str, Any] | None = None) -> SourceUnit:
    unit = load_text(notebook(*cells, metadata=metadata), "n.ipynb")
    assert len(unit.text) == len(unit.display)
    assert [m.span() for m in LINE_BREAK.finditer(unit.text)] == [m.span() for m in LINE_BREAK.finditer(unit.display)]
    return unit


def sound(source: str) -> str:
    """Text of a notebook of one cell, which must be parsed without a problem and keep every row and column."""
    unit = read(source)
    assert unit.problems == ()
    ast.parse(unit.text)
    if not unit.removed:
        assert unit.display == source + "\n"
    return unit.text.removesuffix("\n")


def test_cells_are_one_program() -> None:
    """Code cells are joined; numbers count Markdown cells, rows start anew in each cell."""
    unit = read(code("import a\nx = 1", 3), {"cell_type": "markdown", "source": "# T"}, code(["y = x\n", "z = y"], 1))
    assert unit.text == "import a\nx = 1\ny = x\nz = y\n"
    assert [(c.number, c.execution_count) for c in unit.cells] == [(1, 3), (3, 1)]
    assert unit.position(unit.text.index("z")) == Position(2, 1, 3)
    assert unit.kind == "notebook"


def test_statements_never_merge_across_cells() -> None:
    """A cell that would run on into the next one is broken by itself, and the next stays."""
    unit = read("x = 1 + \\", "y = 2")
    assert [p.cell for p in unit.problems] == [1]
    assert [ast.unparse(s) for s in ast.parse(unit.text).body] == ["y = 2"]


def test_broken_cell_is_dropped_alone() -> None:
    """A broken cell is reported with cell, row and column, blanked without moving anything, and shown as it was."""
    unit = read("x = 1", "y = 2\nz = = 3\n", "w = 4")
    assert str(unit.problems[0]) == "n.ipynb:cell 2:2:5: error: cell left out: invalid syntax"
    assert [ast.unparse(s) for s in ast.parse(unit.text).body] == ["x = 1", "w = 4"]
    assert "z = = 3" in unit.display
    assert unit.position(unit.text.index("w")) == Position(1, 1, 3)
    assert unit.skipped == ""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\nx = 1", "pass              \nx = 1"),
        ("!pip install a \\\n    b\nx = 1", "pass            \n     \nx = 1"),
        ("!!ls\n?x\nx?\nnp.sum??\n%ls", "pass\n0 \n0 \npass    \n0  "),
        ("for f in g:\n    !cat {f}\n", "for f in g:\n    pass    \n"),
        ("files = !ls -la", "files = _______"),
        ("a, b = %pwd  # here", "a, b = ____________"),
        ("%%time\nx = %pwd\n", "pass  \nx = ____\n"),
        ("\n%%capture out\nx = 1", "\npass         \nx = 1"),
        ("%%bash\ncd /\nrm x", "      \n    \n    "),
        ("%%R -i df\nlibrary(x)", " " * 9 + "\n" + " " * 10),
        ("pip install torch==2.0\nx = 1", "pass                  \nx = 1"),
        ("cd ..\nls", "pass \nls"),
        ("%time x = f()", "x = f()"),
        ("%timeit -n 10 -r 3 f(\n  1)\ny = 2", "f(\n  1)\ny = 2"),
        ("await f()", "await f()"),
        ("  x = 1\n  if x:\n    y = 2", "x = 1\nif x:\n  y = 2"),
        ("%who\r\nx = 1\r\n", "pass\r\nx = 1\r\n"),
    ],
)
def test_ipython_syntax_is_masked(source: str, expected: str) -> None:
    """What IPython allows becomes Python on the same lines and columns."""
    assert sound(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "x %= 3\ny = (a\n%b)",
        "s = '''\n%matplotlib inline\n!ls\nwhat?\n'''",
        "pip = 1\npip\ncd = 2",
        "ls = [1]\nls[0]",
        "x = a != b",
        "print('%d' %x)",
        "",
        "# only a comment",
    ],
)
def test_python_is_never_masked(source: str) -> None:
    """Cells that are Python are left as they are, whatever their lines begin with."""
    assert sound(source) == source


def test_strings_beside_magics_are_kept() -> None:
    """In a cell with a magic, text in strings and brackets that looks like one is kept."""
    assert sound("%ls\ns = '''\n!a\n%b\n'''\nz = (q\n%r)\n") == "0  \ns = '''\n!a\n%b\n'''\nz = (q\n%r)\n"


def test_columns_of_cut_prefixes() -> None:
    """Columns and lines of `%time` statements and of indented cells are those of the notebook."""
    unit = read("if x:\n    %time y = f(x)", "   z = 1\n   w = = 2")
    at = unit.text.index("f(x)")
    assert unit.position(at) == Position(2, 15, 1)
    assert unit.offset_of(2, 15, 1) == at
    assert unit.line(at) == "    %time y = f(x)"
    assert str(unit.problems[0]).startswith("n.ipynb:cell 2:2:8: ")


@given(st.text(alphabet=st.sampled_from("ab1 =!%?\\\n\r\f\t()[]'\"#:.,é\0\ud800pis-"), max_size=40))
@example("?\\\r1")
@example("\r\t\n\t1")
def test_masking_keeps_lengths(source: str) -> None:
    """No cell raises; text and display keep length, line breaks and the statements of the neighbours."""
    unit = read("before = 1", source, "after = 2")
    tree = ast.parse(unit.text)
    assert ast.unparse(tree.body[0]) == "before = 1"
    assert ast.unparse(tree.body[-1]) == "after = 2"
    assert unit.position(unit.text.rindex("after")) == Position(1, 1, 3)
    cut = sum(len(prefix) for prefix in unit.removed.values())
    assert len(unit.text) + cut == len("before = 1\n") + len(source) + len("\nafter = 2\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["cells", "worksheets", "metadata", "cell_type", "source", "input", "kernelspec", "language_info", "name", "code"]
            ),
            inner | st.just("code"),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json(value: Any) -> None:
    """No JSON raises: it is a notebook, or one problem says why not."""
    unit = load_text(json.dumps(value), "n.ipynb")
    assert unit.skipped or unit.kind == "notebook"


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_content(content: str | bytes) -> None:
    """No content raises, and none that is not a notebook is passed over in silence."""
    unit = load_text(content, "n.ipynb")
    assert unit.problems and unit.skipped


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "n.ipynb:1:1: error: is empty"),
        ('{"cells": [\n  }', "n.ipynb:2:3: error: is not valid JSON"),
        ("[1, 2]", "the JSON holds no object"),
        ('{"nbformat": 4}', "it has no cells"),
        ('{"cells": 3}', "it has no cells"),
        ('{"worksheets": [{}]}', "a worksheet has no cells"),
        ('{"cells": [3]}', "n.ipynb:cell 1:1:1: error: is not a notebook cell"),
        (
            '{"cells": [{"cell_type": "code", "source": {"a": 1}}]}',
            "n.ipynb:cell 1:1:1: error: the source of the cell is not text",
        ),
        ('{"cells": [{"cell_type": "code", "source": ["a", 1]}]}', "the source of the cell is not text"),
        ("[" * 200_000, "is not"),
        (b'{"cells": "\xff"}', "not valid UTF-8"),
    ],
)
def test_broken_notebooks(content: str | bytes, message: str) -> None:
    """A file that is no notebook is one line and never reaches the Python parser."""
    unit = load_text(content, "n.ipynb")
    assert len(unit.problems) == 1
    assert message in str(unit.problems[0])
    assert unit.skipped and unit.text == ""


def test_json_that_is_python_too() -> None:
    """A notebook without code is no Python expression."""
    unit = load_text('{"cells": [], "x": null}', "n.ipynb")
    assert (unit.text, unit.problems, unit.skipped) == ("", (), "")


def test_nbformat_3() -> None:
    """Worksheets of old notebooks are read in order, with their own names for source and count."""
    old = {
        "nbformat": 3,
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "heading", "source": "T"},
                    {"cell_type": "code", "input": ["x = 1\n", "y = 2"], "prompt_number": 7},
                ]
            },
            {"cells": [{"cell_type": "code", "input": "z = 3", "language": "python"}]},
        ],
    }
    unit = load_text(json.dumps(old), "n.ipynb")
    assert unit.text == "x = 1\ny = 2\nz = 3\n"
    assert [(c.number, c.execution_count) for c in unit.cells] == [(2, 7), (3, None)]


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"language_info": {"name": "R"}}, "R"),
        ({"kernelspec": {"language": "julia"}}, "Julia"),
        ({"kernelspec": {"name": "ir"}}, "R"),
        ({"kernelspec": {"name": "julia-1.6"}}, "Julia"),
        ({"kernelspec": {"name": "matlab", "language": ""}}, "MATLAB"),
        ({"language_info": {"name": "Haskell"}}, "Haskell"),
    ],
)
def test_other_languages_are_skipped(metadata: dict[str, Any], language: str) -> None:
    """A notebook of another language is said to be skipped; that is no problem."""
    unit = read("x <- 1", metadata=metadata)
    assert unit.skipped == f"{language} notebook: only Python is analysed"
    assert unit.problems == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": {"name": "python3"}},
        {"language_info": {"name": "python"}},
        {"kernelspec": {"name": "conda-env-x-py"}},
        {"kernelspec": 3},
    ],
)
def test_python_kernels(metadata: dict[str, Any]) -> None:
    """Python kernels, named environments and notebooks that do not say are analysed."""
    assert read("x = 1", metadata=metadata).text == "x = 1\n"


def test_python_2_notebook_is_one_line() -> None:
    """The many broken cells of a Python 2 notebook are one problem, and what parses is analysed."""
    unit = read("print 1", "x = 1", "print 2", metadata={"language_info": {"name": "python", "version": "2.7.12"}})
    assert [str(p) for p in unit.problems] == [
        "n.ipynb:cell 1:1:1: error: 2 of 3 cells left out: not valid Python 3 (the kernel is Python 2)"
    ]
    assert "x = 1" in unit.text


def test_too_much_code() -> None:
    """The size of the code counts, not that of the pictures."""
    assert "limit" in read("x = 1\n" * 400_000).skipped
    picture = {**code("x = 1"), "outputs": [{"data": {"image/png": "A" * 3_000_000}}]}
    assert read(picture).skipped == ""
