"""What `confirm` concluded, at a terminal."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from mllint_bio.experiments.results import Confirmation, Judgement, Result, Table, Verdict
from mllint_bio.render.confirmation_text import closing, confirmation_text, duration
from tests.render.confirmation_samples import JUDGEMENTS, LEAK, RESULTS, sample, units

ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\")


def only(judgement: Judgement) -> str:
    """The text of one judgement, with excerpts."""
    return confirmation_text(Confirmation("train.py", "finished", judgements=(judgement,)), units(), quiet=True)


def test_a_confirmed_finding_shows_its_source_its_figure_and_its_effect() -> None:
    """Verdict, rule, place and message, then the excerpt, the measurement, the effect and the rule's page."""
    assert only(JUDGEMENTS[0]) == (
        "CONFIRMED MLB706[scale] [warning] train.py:9:5: `StandardScaler` learns its column statistics from rows that "
        "`accuracy_score` later scores.\n"
        "   |\n"
        " 9 | X = StandardScaler().fit_transform(X)\n"
        "   |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "10 | X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2)\n"
        "   |                                    ------------------------------------- split here\n"
        "13 | print(accuracy_score(y_test, model.predict(X_test)))\n"
        "   |       --------------------------------------------- scored here\n"
        "   |\n"
        "   = measured: StandardScaler.fit saw 569 rows, 114 of them are the rows scored at line 13.\n"
        "   = effect: With the fix the accuracy is 0.956 instead of 0.974 "
        "(difference −0.018, 95 % interval −0.035 to −0.004).\n"
        f"   = MLB706 transform-fitted-before-split: {LEAK.url}\n\n"
    )


def test_what_is_no_fault_needs_no_excerpt() -> None:
    """A refuted finding is its line, the measurement and the page; one that was not reached gives a reason instead."""
    refuted, unreached = only(JUDGEMENTS[3]).splitlines(), only(JUDGEMENTS[4]).splitlines()
    assert refuted[0].startswith("REFUTED MLB601 [error] train.py:13:7: ")
    assert refuted[1].strip().startswith("= measured: One model was scored")
    assert unreached[0].startswith("NOT REACHED MLB305 [info] train.py:12:1: ")
    assert unreached[1].strip() == "= reason: The question needs a CUDA device; this machine has none."


def test_without_sources_there_are_no_excerpts() -> None:
    """The report can be shown where the program is not."""
    shown = confirmation_text(sample())
    assert " | " not in shown and "= measured: StandardScaler.fit saw 569 rows" in shown


def test_colour_changes_no_text() -> None:
    """Without its escapes, coloured output is the plain output; each verdict has its own colour."""
    painted = confirmation_text(sample(), units(), colour=True)
    assert ESCAPES.sub("", painted) == confirmation_text(sample(), units())
    for start, word in (("1;31", "CONFIRMED"), ("1;32", "REFUTED"), ("2", "NOT REACHED"), ("1;35", "OBSERVED")):
        assert f"\x1b[{start}m{word}" in painted


def test_report_holds_experiments_scores_refusals_notes_and_counts() -> None:
    """Every part of a confirmation reaches the reader, in that order; the last line counts."""
    shown = confirmation_text(sample(), units())
    parts = [
        "Run: finished after 2.8 s",
        "CONFIRMED MLB706",
        "Scores of the run",
        "Repeat (MLB303 train.py:10:36)  5 runs, 14 s",
        "The same command gave five different accuracies.",
        "  Determinism: skipped, the program does not use torch",
        "--allow-write /data",
        "they say nothing about others",
        "3 confidence intervals computed",
        "2 confirmed, 1 refuted, 1 not reached, 1 observed; 36 runs, 111 s",
    ]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places) and shown.endswith(parts[-1] + "\n")


def test_tables_stand_in_columns() -> None:
    """Numbers stand at the right with at most four digits, text at the left; missing cells are blank, wide letters are two."""
    table = Table("By fold", ("fold", "score"), (("first", 0.123456), ("細胞", None), ("c", math.nan), ("d", 1)))
    result = Result("x", "X", "done", tables=(table,))
    lines = confirmation_text(Confirmation("p", "finished", results=(result,))).splitlines()
    start = lines.index("  By fold")
    assert lines[start + 1 : start + 6] == [
        "  fold          score",
        "  first        0.1235",
        "  細胞",
        "  c      not a number",
        "  d                 1",
    ]


def test_control_characters_are_not_printed() -> None:
    """Neither what the program printed nor what it is called can move the cursor or forge a line."""
    evil = "a\x1b[2J\nCONFIRMED MLB001"
    judgement = Judgement(replace(LEAK, message=evil, evidence=()), Verdict.CONFIRMED, evil, effect=evil)
    result = Result("x", evil, "done", evil, tables=(Table(evil, (evil,), ((evil,),)),), place=evil)
    whole = Confirmation(evil, "failed", evil, judgements=(judgement,), results=(result,), refusals=(evil,), notes=(evil,))
    shown = confirmation_text(whole, units())
    assert "\x1b" not in shown
    assert not any(line.startswith("CONFIRMED MLB001") for line in shown.splitlines())


def test_quiet_is_verdicts_only() -> None:
    """No header, no experiment, no count."""
    shown = confirmation_text(sample(), units(), quiet=True)
    assert shown.startswith("CONFIRMED MLB706") and "Repeat" not in shown and "36 runs" not in shown


def test_closing_line_counts_the_first_run() -> None:
    """A confirm without experiments is one run."""
    assert closing(Confirmation("p", "finished", seconds=3.0)) == (
        "0 confirmed, 0 refuted, 0 not reached, 0 observed; 1 run, 3.0 s"
    )
    assert closing(Confirmation("p", "finished", results=RESULTS[:2])).endswith("; 16 runs, 37 s")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (41.3, "41 s"), (150, "2 min"), (7300, "2 h 2 min"), (math.nan, "unknown time")],
)
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    """Tenths below ten seconds, then seconds, minutes, hours."""
    assert duration(seconds) == said
