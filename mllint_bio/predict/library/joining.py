"""Tables and arrays put together, by rows or by columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mllint_bio.events import Resample, Site
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library.contents import as_data, as_drawn, blend
from mllint_bio.predict.library.growth import class_of_rows
from mllint_bio.predict.library.notes import is_repeated, loads_of
from mllint_bio.predict.values import UNKNOWN, Array, Value
from mllint_bio.rows import UNKNOWN_ROWS, Rows, Selection, Subset, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def concatenated(run: Run, call: Call, parts: Sequence[Array], over_columns: bool) -> Value:
    """Rows below each other; the union of the parts, in blocks."""
    members: Sequence[Array] = [part for part in parts if part.kind not in ("scalar", "config")]
    filled = [part for part in members if part.kind != "empty"]
    if len(filled) < len(members) and all(
        part.prediction is not None or part.kind in ("batch", "item") or _read_in_this_loop(run, part) for part in filled
    ):
        members = filled or members  # what is read from files round by round is of other rows each time
    if over_columns:
        return side_by_side(run, members)
    longer = _grown_from_one_table(run, members, run.site(call.node))
    if longer is not None:
        return longer
    if not members:
        return next((part for part in parts if part.kind == "empty"), UNKNOWN)
    drawn = [part for part in members if part.kind == "noise" and part.drawn.known and not part.has_rows]
    if drawn and all(part.has_rows or part in drawn for part in members):
        result = concatenated(run, call, [as_data(part) for part in members], False)
        return as_drawn(result, drawn[0]) if len(drawn) == len(members) else result
    merged = blend(run, members)
    members = _with_copies(run, members, run.site(call.node))
    rows = union([part.rows for part in members]) if all(part.has_rows for part in members) else UNKNOWN_ROWS
    augmented = [part for part in members if part.owner == "augmented" and part.kind != "item"]
    repeated = any(part.owner == "repeated" for part in members)
    appended = bool(run.loops) and isinstance(call.node, ir.Call) and getattr(call.node.func, "name", "") == "append"
    grown = appended or any(part.kind == "empty" or part.owner == "grown" for part in parts)  # each round by other rows
    twice = not grown and _same_origin_twice(members)
    place = (run.site(call.node), run.calls)
    if twice and place not in run.doubled:
        twice = not _of_earlier_rounds(run, members)
    twice = len(members) > 1 and (bool(augmented) or twice)
    # A table that a loop makes longer meets the rows of an earlier round again only because rounds are not told apart.
    twice = run.doubled.setdefault(place, twice) and twice
    if rows.known and (repeated or twice) and not run.inside_forward:
        made = rows.derived(run.site(call.node), "augment" if augmented else "copy", run.branch)
        run.emit(
            Resample,
            call.node,
            data=members[0].view(),
            result=made,
            lineage="augment" if augmented else "copy",
            api="concatenate",
            balances=any(is_chosen(part.rows) for part in members),
        )
        rows = made
    distinct = {class_of_rows(part.rows) or repr(part.rows) for part in members}
    ordered = (
        "class-blocks" if len(members) > 1 and len(distinct) > 1 and not all(p.prediction for p in members) else merged.ordered
    )
    predictions = [part.prediction for part in members if part.prediction is not None]
    return merged.but(
        rows=rows,
        ordered=ordered,
        order=None,
        linear=None,
        mask=None,
        prediction=predictions[0] if predictions else None,
        kind="array" if members[0].kind in ("item", "batch") else members[0].kind,
        owner="grown" if grown else None if repeated else merged.owner,
        group=next((p.group for p in members if p.group), ""),
    )


def _grown_from_one_table(run: Run, members: Sequence[Array], site: Site) -> Array | None:
    """`chosen = concat([chosen, table[...]])`: a table that was empty before a loop gets more of another's rows in every round.

    Not so where each round reads a file: those are other rows each time.
    """
    growing = [part for part in members if part.kind == "empty" or part.owner == "grown"]
    added = [part for part in members if part not in growing]
    if len(growing) != 1 or len(added) != 1 or added[0].kind != "table" or added[0].prediction is not None or not run.loops:
        return None
    if growing[0].kind != "empty" and growing[0].rows.steps() and growing[0].rows.steps()[-1] != Subset(site):
        return None  # a table that another loop made, and more below it
    one = added[0]
    if _read_in_this_loop(run, one) is not False:
        return None
    merged = blend(run, [*growing, one])
    return merged.but(kind="table", rows=one.rows.some(site), owner="grown", order=None, linear=None, mask=None, name="")


def _of_earlier_rounds(run: Run, members: Sequence[Array]) -> bool:
    """Whether the first join at a place may meet rows of an earlier round: the first file started the table."""
    return bool(run._pass) or (any(run.rounds) and any(_read_in_this_loop(run, part) for part in members))


def _read_in_this_loop(run: Run, part: Array) -> bool | None:
    """Whether a round of the loop around reads these rows from a file; None if no file is known."""
    loads = loads_of(run, part.rows)
    return bool(run.loops) and any(run.loops[-1] in event.loops for event in loads) if loads else None


def _with_copies(run: Run, members: Sequence[Array], site: Site) -> Sequence[Array]:
    """Tables to be joined, where copies that were recorded when they were made have gone into the table they were made from."""
    if len(members) < 2 or Resample not in run.told:
        return members
    for resample in [event for event in run.events if isinstance(event, Resample)]:
        copies = next((part for part in members if part.rows == resample.result), None)
        table = next((part for part in members if part.has_rows and resample.data.rows.subset(part.rows)), None)
        if copies is None or table is None or copies is table or copies.column != table.column or run.inside_forward:
            continue
        made = table.but(rows=table.rows.derived(site, resample.lineage, run.branch))
        run.amend(resample.id, result=made.rows)
        members = [made if part is table else part for part in members if part is not copies]
    return members


def _same_origin_twice(members: Sequence[Array]) -> bool:
    """Whether some rows stand in two members, as against two columns of the same rows."""
    known = [part for part in members if part.kind in ("table", "array") and part.prediction is None]
    return any(a.rows.overlap(b.rows) and a.column == b.column for i, a in enumerate(known) for b in known[i + 1 :])


def is_chosen(rows: Rows) -> bool:
    """Whether these are rows picked by a condition, as the rows of one class are."""
    return any(isinstance(step, Selection) for step in rows.steps()[-1:])


def side_by_side(run: Run, parts: Sequence[Array]) -> Array:
    """Columns next to each other: the same rows, all facts."""
    members = [part for part in parts if part.kind not in ("scalar", "config", "empty")]
    if not members:
        return UNKNOWN
    rows = next((part.rows for part in members if part.has_rows and not is_repeated(part.rows)), UNKNOWN_ROWS)
    if not any(part.has_rows for part in members) and any(part.drawn.known for part in members):
        return blend(run, members).but(kind="noise", linear=None, mask=None)
    if all(part.has_rows for part in members) and not rows.known:  # one column that repeats its values is no copied row
        rows = members[0].rows
    return blend(run, members).but(rows=rows, kind="array", linear=None, mask=None)
