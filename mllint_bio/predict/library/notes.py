"""What is learnt about rows: repetition, order, targets, draws; and the keys by which selections know each other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Data, Draw, Fit, Learned, Load, Score, Site, Split, Subject, Unordered
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library.contents import arrays_in, same_subject
from mllint_bio.predict.values import Array, Const, Seq, Value
from mllint_bio.rows import Derived, Equals, Rows, Selection, Step, Subset

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


@dataclass(frozen=True, slots=True)
class RandomMask:
    """Key of a mask: rows whose random number, drawn at `drawn`, is below `bound`."""

    drawn: Any
    bound: Any = None


@dataclass(frozen=True, slots=True)
class ByIdentifier:
    """Key of a mask: the rows of `table` whose identifier is among those of `rows`, a part of its distinct identifiers."""

    rows: Rows
    table: Rows


def names_of_another(index: Value | None, value: Array) -> bool:
    """Whether the index is the columns of another table, chosen in their order."""
    owner = index.owner if isinstance(index, Array) and index.kind == "scalar" else None
    return isinstance(owner, tuple) and owner[:1] == ("columns",) and owner[1] != value.rows


def note_aligned(run: Run, value: Array) -> None:
    """Indicator columns carry the names of the values: with the columns of another table, they mean what they mean there."""
    for fact in value.learned:
        fit = run.events[fact.fit]
        if isinstance(fit, Fit) and fit.subject.api == "get_dummies":
            fit.subject.facts["aligned"] = True


@dataclass(frozen=True, slots=True)
class Distinct:
    """Key of rows of which there is one for each value of a column (`drop_duplicates`, the first of each group)."""

    column: str
    at: Site


def single_key(column: str, call: Call) -> str:
    """The one column by which rows are told apart; empty if they are told apart by several, or by all."""
    given = call.get("subset", ("subset",))
    if isinstance(given, Seq) and given.exact and len(given.items) == 1:
        given = given.items[0]
    return given.value if isinstance(given, Const) and isinstance(given.value, str) else column if given is None else ""


STATISTICS = frozenset({"mean", "median", "std", "var", "sum", "max", "min"})


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Owner of a table with one row for each group: what was aggregated, where, which column, how."""

    data: Data
    site: Site
    column: str
    how: str


def with_statistic(run: Run, node: ir.Node, value: Array, of: Aggregate) -> Array:
    """Every row gets a statistic of its group's rows."""
    result = value.but(kind="table", column="", owner=None)
    if of.how not in STATISTICS or not of.data.rows.known:
        return result
    subject = same_subject(run, of.site, Subject(api=f"groupby.{of.how}", role="statistic", at=of.site))
    number = run.emit(Fit, of.site, subject=subject, role="statistic", data=of.data, method=of.how)
    run.columns.setdefault(of.column, []).append(number)
    return result.but(learned=value.learned | {Learned(number, "statistic", of.data.rows)})


def note_target(run: Run, target: Array) -> None:
    """What a predictor is fitted to is the target: statistics of that column by group had used it.

    Residuals that the next model of a chain learns are a target as well, and no figure of merit.
    """
    for number in target.scores:
        score = run.events[number]
        if isinstance(score, Score) and score.handwritten and score.metric == "error":
            run.amend(number, family="target")
    for number in run.columns.get(target.column, ()) if target.column else ():
        fit = run.events[number]
        if isinstance(fit, Fit) and fit.data.rows.steps()[:1] == target.rows.steps()[:1]:
            run.amend(number, uses_target=True)


@dataclass(frozen=True, slots=True)
class OneOfEach:
    """Key of rows that were collected in a loop over groups, one record of each group."""

    loop: Site


def is_repeated(rows: Rows) -> bool:
    """Whether each of these rows stands for several."""
    return any(isinstance(step, Derived) and step.how == "copy" for step in rows.steps()[-1:])


# Columns that name what samples are taken from, as against their class, sex, treatment group or gene.
_ENTITY = re.compile(
    r"patient|subject|donor|participant|individual|person|animal|mouse|mice|slide|record|specimen|biopsy|sample|family|cell_?line|"
    r"clone|protein|molecule|compound|scaffold|sequence|(^|_)[a-z]{0,4}ids?($|_)|ID$",
    re.I,
)


def is_entity(column: str) -> bool:
    """Whether a column names what samples are taken from."""
    return bool(_ENTITY.search(column))


def note_repetition(run: Run, rows: Rows, entity: str) -> None:
    """Remember that the table has several rows per entity."""
    steps = rows.steps()
    if steps and is_entity(entity):
        run.repeated.setdefault(steps[0], entity)


def note_groups(run: Run, rows: Rows, groups: Value) -> None:
    """A splitter keeps the rows of each group together, so the table has several rows per group: splits that were made before and
    did not heed it divide them."""
    steps = rows.steps()
    named = next((array.column or array.name for array in arrays_in(groups)), "")
    if not steps or steps[0] in run.repeated or not _ENTITY.search(named):
        return
    run.repeated[steps[0]] = named
    for number, split in enumerate(run.events):
        if not isinstance(split, Split) or split.grouped is not False or split.data.group or number in run.of_entities:
            continue
        if split.data.rows.steps()[:1] == steps[:1]:
            run.amend(number, data=replace(split.data, group=repetition_of(run, split.data.rows)))


_IDENTIFIER = re.compile(
    r"(^|_)(patient|subject|participant|donor|individual|animal|mouse|litter|cell_?line|clone|family|pedigree|study|mrn|slide|case)"
    r"(_?(id|no|num|number|name|code|barcode))?$",
    re.I,
)


def note_column(run: Run, rows: Rows, column: str, dropped: bool = False) -> None:
    """Remember that a column was named which the configuration lists among `group-columns`: its table has several rows of each of
    its values; or that one was dropped whose name says that it is an identifier."""
    steps = rows.steps()
    if not steps:
        return
    if column in run.study.get("group-columns", ()):  # type: ignore[operator]
        run.repeated.setdefault(steps[0], column)
    elif dropped and _IDENTIFIER.search(column):
        run.identifiers.setdefault(steps[0], column)


_VISIT = re.compile(
    r"^(vis(it)?_?(code)?_?(2|num(ber)?|no|id|name)?|time_?point|session(_?id)?|wave|month(_bl)?|baseline)$", re.I
)


def _one_visit(step: Selection) -> bool:
    """Whether the rows are those of one visit (`table["VISCODE"] == "bl"`): one row of each entity."""
    key = step.key
    return step.positive and isinstance(key, Equals) and isinstance(key.column, tuple) and bool(_VISIT.match(str(key.column[1])))


def repetition_of(run: Run, rows: Rows) -> str:
    """The entity of which the table has several rows, if the code proves one; grouping by it leaves one row each."""
    steps = rows.steps()
    entity = run.repeated.get(steps[0], "") if steps else ""
    return "" if any(_one_row_each(step, entity) for step in steps) else entity


def one_of_each_group(run: Run, table: Array, node: ir.Node) -> Rows | None:
    """The row that is taken by its place from each group, where a loop goes over the groups of a table; None elsewhere."""
    steps = table.rows.steps()
    grouped = bool(steps) and isinstance(table.owner, str) and run.repeated.get(steps[0]) == table.owner
    return table.rows.some(Distinct(table.owner, run.site(node))) if grouped else None


def loads_of(run: Run, rows: Rows) -> list[Load]:
    """The events that read the table of these rows."""
    return [event for event in run.events if isinstance(event, Load) and event.data.rows.same_table(rows)]


def identifier_of(run: Run, rows: Rows) -> str:
    """The identifier that was dropped from the rows, unless of each of its values one row is left."""
    steps = rows.steps()
    column = run.identifiers.get(steps[0], "") if steps else ""
    return "" if any(_one_row_each(step, column) for step in steps) else column


def _one_row_each(step: Step, entity: str) -> bool:
    """Whether of each entity one row is left after this step."""
    if isinstance(step, Selection) and _one_visit(step):
        return True
    key = step.key if isinstance(step, Subset) or (isinstance(step, Selection) and step.positive) else None
    if isinstance(key, Distinct):
        return key.column == entity
    return isinstance(key, OneOfEach) or (isinstance(step, Derived) and step.how == "aggregate")


def rows_of_length(run: Run, value: Array, node: ir.Node) -> Rows:
    """Rows that a count stands for; a source of its own when it counts nothing known."""
    return run.source(node, "indices") if not value.rows.known else value.rows


def note_unordered(run: Run, value: Array, use: str, at_use: Site) -> None:
    """Record that the order of a listing or set, which nothing defines, is used here."""
    if isinstance(value.unordered, tuple):
        what, made = value.unordered
        if what == "set" and use == "split":
            return  # only strings are hashed anew in each process, and what the set holds is not known
        run.emit(Unordered, made, what=what, use=use, at_use=at_use)


def emit_draw(run: Run, node: ir.Node, stream: str, what: str, purpose: str, **fields: Any) -> None:
    """Record a draw from a global stream."""
    run.emit(Draw, node, stream=stream, what=what, purpose=purpose, **fields)
