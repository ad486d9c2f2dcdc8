"""A small report with a file and a notebook, shared by the tests of the renderers."""

from __future__ import annotations

import json

from mllint_bio.diagnostics import Diagnostic, Place, Report, Units
from mllint_bio.findings import Confidence, Severity
from mllint_bio.judge import place
from mllint_bio.sources import SourceUnit, load_text

SCRIPT = """\
import pandas as pd

X = scaler.fit_transform(X)
a, b, c, d = train_test_split(
    X,
    y,
)
print(accuracy_score(d, model.predict(b)))
"""

CELLS = ["# a heading\n", "import numpy as np\nX = np.load('x.npy')", "%matplotlib inline\nclf.fit(X, y)\nclf.score(X, y)"]


def notebook(cells: list[str] = CELLS) -> str:
    """A notebook whose first cell is Markdown."""
    made = [
        {
            "cell_type": "markdown" if n == 0 else "code",
            "metadata": {},
            "source": text,
            **({} if n == 0 else {"outputs": [], "execution_count": n}),
        }
        for n, text in enumerate(cells)
    ]
    return json.dumps(
        {"cells": made, "metadata": {"kernelspec": {"language": "python", "name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    )


def span(unit: SourceUnit, fragment: str) -> Place:
    """The place of the first occurrence of a fragment."""
    start = unit.text.index(fragment)
    return place(unit, start, start + len(fragment))


def report() -> Report:
    """Two findings: one in a script with evidence over several lines, one in a notebook with evidence in the script."""
    script = load_text(SCRIPT, "train.py")
    book = load_text(notebook(), "nb.ipynb")
    first = Diagnostic(
        code="MLB706",
        name="transform-fitted-before-split",
        severity=Severity.WARNING,
        confidence=Confidence.CERTAIN,
        message="StandardScaler learns from rows that are scored at line 8",
        place=span(script, "scaler.fit_transform(X)"),
        evidence=(
            ("split here", span(script, "train_test_split(\n    X,\n    y,\n)")),
            ("scored here", span(script, "accuracy_score(d, model.predict(b))")),
        ),
        remedy="fit the scaler on the training rows",
        url="https://example.org/MLB706",
    )
    second = Diagnostic(
        code="MLB701",
        name="evaluated-on-training-data",
        severity=Severity.ERROR,
        confidence=Confidence.LIKELY,
        message="the score is of the rows that the model was fitted on",
        place=span(book, "clf.score(X, y)"),
        evidence=(("fitted here", span(book, "clf.fit(X, y)")), ("same rows", span(script, "X = scaler"))),
        variant="resubstitution",
    )
    return Report((second, first), checked=2, units=Units({"train.py": script, "nb.ipynb": book}))
