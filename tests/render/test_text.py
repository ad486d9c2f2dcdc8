"""The text format."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

from mllint_bio.diagnostics import Report, Units
from mllint_bio.judge import place
from mllint_bio.render.text import summary, text
from mllint_bio.sources import load_text
from tests.render.samples import report

EXPECTED = """\
nb.ipynb:cell 3:3:1: MLB701[resubstitution] [error] the score is of the rows that the model was fitted on
  |
3 | clf.score(X, y)
  | ^^^^^^^^^^^^^^^
2 | clf.fit(X, y)
  | ------------- fitted here
  ::: train.py:3:1
3 | X = scaler.fit_transform(X)
  | ---------- same rows
  |
  = MLB701 evaluated-on-training-data (likely)

train.py:3:5: MLB706 [warning] StandardScaler learns from rows that are scored at line 8
  |
3 | X = scaler.fit_transform(X)
  |     ^^^^^^^^^^^^^^^^^^^^^^^
4 | a, b, c, d = train_test_split(
  |              -----------------
5 |     X,
  |     --
6 |     y,
  |     --
7 | )
  | - split here
8 | print(accuracy_score(d, model.predict(b)))
  |       ----------------------------------- scored here
  |
  = help: fit the scaler on the training rows
  = MLB706 transform-fitted-before-split: https://example.org/MLB706

"""


def test_excerpts_evidence_and_remedy() -> None:
    """A finding shows its span underlined, its evidence with labels and files, its remedy and its page; cells are named."""
    assert text(report()) == EXPECTED


def test_colour_changes_no_text() -> None:
    """Without its escapes, coloured output is the plain output."""
    painted = text(report(), colour=True)
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", painted) == EXPECTED


def test_plain_output_does_not_import_rich() -> None:
    """Rich is imported for colour only."""
    code = "import sys; from mllint_bio.render.text import text; from tests.render.samples import report; text(report())"
    code += "; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_control_characters_are_not_printed() -> None:
    """An escape sequence in the checked source or in a message cannot reach the terminal."""
    unit = load_text("x = '\x1b[31m\u202e'\n", "evil.py")
    one = replace(report().diagnostics[1], place=place(unit, 0, 5), message="a\nb\x1b[0m", evidence=())
    printed = text(Report((one,), units=Units({"evil.py": unit})))
    assert "\x1b" not in printed and "\u202e" not in printed
    assert "a b\\x1b[0m" in printed


def test_underline_stands_below_wide_characters_and_tabs() -> None:
    """Wide characters count two columns and tabs reach the next stop, in the line and in the underline alike."""
    unit = load_text("\tx = '細胞'; f(x)\n", "wide.py")
    start = unit.text.index("f(x)")
    one = replace(report().diagnostics[1], place=place(unit, start, start + 4), evidence=())
    lines = text(Report((one,), units=Units({"wide.py": unit}))).splitlines()
    assert lines[2] == "1 |     x = '細胞'; f(x)"
    assert lines[3] == "  |" + " " * (1 + 4 + 12) + "^^^^"


def test_evidence_at_the_place_itself_labels_it() -> None:
    """Evidence for the very span of the finding becomes its label, not a second excerpt."""
    one = report().diagnostics[1]
    lines = text(replace(report(), diagnostics=(replace(one, evidence=(("fitted here", one.place),)),))).splitlines()
    assert lines[3] == "  |     ^^^^^^^^^^^^^^^^^^^^^^^ fitted here" and lines[4] == "  |"


def test_long_span_is_cut() -> None:
    """A span of many lines shows its first lines and an ellipsis with the label."""
    body = "f(\n" + "    1,\n" * 40 + ")\n"
    unit = load_text(body, "long.py")
    one = replace(report().diagnostics[1], place=place(unit, 0, len(body) - 1), evidence=())
    lines = text(Report((one,), units=Units({"long.py": unit}))).splitlines()
    assert len(lines) < 16 and any(line.endswith("| ...") for line in lines)


def test_summary_counts_by_severity_and_names_what_was_not_read() -> None:
    """The closing lines count findings by severity, checked, unreadable and skipped files."""
    closing = summary(replace(report(), suppressed=2, failed=frozenset({"bad.py"}), skipped=(("r.ipynb", "R notebook"),)))
    assert closing == (
        "Found 1 error, 1 warning in 2 checked files (2 suppressed).\n"
        "1 file could not be checked.\n"
        "1 file skipped: R notebook (1).\n"
    )


def test_summary_of_nothing() -> None:
    """A clean run says so, with the number of files."""
    assert summary(Report(checked=1)) == "Nothing found in 1 checked file.\n"
