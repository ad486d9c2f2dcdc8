"""Text edits: order, overlap, notebooks, and that what is not edited stays as it is."""

from __future__ import annotations

import json

import pytest

from mllint_bio import fix
from mllint_bio.findings import Edit
from mllint_bio.sources import load_text
from tests.fix.conftest import Diagnose, Mend


def test_edits_are_sorted() -> None:
    """Edits may come in any order."""
    unit = load_text("a = 1\nb = 2\n", "p.py")
    applied = fix.apply({"p.py": unit}, [Edit("p.py", 10, 11, "20"), Edit("p.py", 4, 5, "10")])
    assert applied == {"p.py": "a = 10\nb = 20\n"}


def test_later_overlapping_edit_is_dropped() -> None:
    """Of two edits that overlap, the later one is left out and reported; equal ones are made once."""
    unit = load_text("a = 1 + 2\n", "p.py")
    late = Edit("p.py", 8, 9, "7")
    applied = fix.apply({"p.py": unit}, [late, Edit("p.py", 4, 9, "3"), Edit("p.py", 4, 9, "3")])
    assert applied == {"p.py": "a = 3\n"} and applied.dropped == [late]


@pytest.mark.parametrize("edit", [Edit("p.py", 4, 5, "("), Edit("p.py", 4, 99, "1"), Edit("q.py", 0, 1, "b")])
def test_what_cannot_be_edited_is_refused(edit: Edit) -> None:
    """A result that does not parse, an edit outside the text and an unknown file are refused with a reason."""
    applied = fix.apply({"p.py": load_text("a = 1\n", "p.py")}, [edit])
    assert not applied and applied.refused[edit.path]


def notebook(*cells: str) -> str:
    """A notebook of code cells as JSON, with an output that must stay."""
    output = {"output_type": "stream", "name": "stdout", "text": ["old\n"]}
    made = [
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [output], "source": c.splitlines(keepends=True)}
        for c in cells
    ]
    return json.dumps({"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# Title"}, *made], "nbformat": 4})


CELLS = (
    "%matplotlib inline\nimport numpy as np\nfrom sklearn.model_selection import train_test_split",
    "from sklearn.preprocessing import StandardScaler\nX = StandardScaler().fit_transform(np.load('X.npy'))",
    "X_train, X_test, y_train, y_test = train_test_split(X, np.load('y.npy'), random_state=0)",
    "from sklearn.svm import SVC\nmodel = SVC(C=1).fit(X_train, y_train)\nprint(model.score(X_test, y_test))",
)


def test_notebook_is_mended_within_its_cells(diagnose: Diagnose) -> None:
    """Edits of a notebook go into the sources of its cells; magics, outputs and other cells stay."""
    content = notebook(*CELLS)
    unit, diagnostics = diagnose(content, "book.ipynb")
    remedy = fix.fixes(unit, next(d for d in diagnostics if d.code == "MLB706"))
    assert remedy is not None
    mended = json.loads(fix.apply_to_notebook(content, unit, remedy.edits))
    sources = ["".join(cell["source"]) for cell in mended["cells"]]
    assert sources[1] == CELLS[0] and sources[4] == CELLS[3]
    assert sources[2].endswith("X = np.load('X.npy')")
    assert sources[3].splitlines()[1:] == [
        "standard_scaler = StandardScaler()",
        "X_train = standard_scaler.fit_transform(X_train)",
        "X_test = standard_scaler.transform(X_test)",
    ]
    assert mended["cells"][1]["outputs"] == json.loads(content)["cells"][1]["outputs"]


def test_edit_across_cells_is_refused() -> None:
    """An edit that crosses the border of two cells is refused, and so is one of a magic."""
    unit = load_text(notebook("%time\na = 1", "b = 2"), "book.ipynb")
    assert fix.apply({unit.path: unit}, [Edit(unit.path, 6, 13, "x")]).refused
    assert fix.apply({unit.path: unit}, [Edit(unit.path, 0, 4, "x")]).refused


SEEDLESS = """# Cells by type.
import numpy.random as npr, torch as t  # two at once

x = t.tensor(npr.permutation(100).astype('float32')).reshape(50, 2)
net = t.nn.Linear(2, 1)
optimizer = t.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    optimizer.zero_grad()
    loss = net(x).square().mean()
    loss.backward()
    optimizer.step()
t.save(net.state_dict(), 'net.pt')
"""


def test_seeds_use_the_names_of_the_program(mend: Mend) -> None:
    """Seed calls stand behind the imports, say modules as the program does, and nothing else changes."""
    mended = mend(SEEDLESS, "MLB301")
    assert mended is not None
    first, second, rest = SEEDLESS.split("\n", 2)
    added = "import numpy as np\nt.manual_seed(0)\nnp.random.seed(0)"
    assert mended.split("\n", 2)[:2] == [first, second]
    assert sorted(mended.replace(rest, "").split("\n")[2:-1]) == sorted(added.split("\n"))
    assert mended.endswith(rest)


def test_line_breaks_of_the_file_are_kept(mend: Mend) -> None:
    """A file with Windows line breaks gets no others."""
    mended = mend(SEEDLESS.replace("\n", "\r\n"), "MLB301")
    assert mended is not None
    assert mended.count("\n") == mended.count("\r\n")


CALL = """from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
import numpy as np
X, y = np.load("X.npy"), np.load("y.npy")
X_train, X_test, y_train, y_test = train_test_split(
    X,
    y,  # labels
    {last}
)
print(SVC(C=1).fit(X_train, y_train).score(X_test, y_test))
"""


@pytest.mark.parametrize(
    ("last", "mended"),
    [
        ("test_size=0.2,  # a fifth", "test_size=0.2, random_state=0,  # a fifth"),
        ("test_size=0.2", "test_size=0.2, random_state=0"),
        ("random_state=None,", "random_state=0,"),
    ],
)
def test_arguments_keep_comments_and_commas(last: str, mended: str, mend: Mend) -> None:
    """`random_state=0` is added behind the last argument, or put in place of `None`; comments and line breaks stay."""
    assert mend(CALL.format(last=last), "MLB303") == CALL.format(last=mended)


def test_unknown_rule_and_other_file_have_no_remedy(diagnose: Diagnose) -> None:
    """A finding of another rule, or of another file than the unit, has no remedy."""
    unit, diagnostics = diagnose(CALL.format(last=""))
    split = next(d for d in diagnostics if d.code == "MLB303")
    assert fix.fixes(unit, split) is not None
    assert fix.fixes(load_text(unit.text, "other.py"), split) is None
