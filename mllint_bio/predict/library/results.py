"""Tables of results: which figures stand in which column, and when the best row is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mllint_bio.predict import ir
from mllint_bio.predict.library.choices import choose
from mllint_bio.predict.library.contents import arrays_in, data_of
from mllint_bio.predict.values import Array, Const, Dict, Seq, Value, join, options

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What the owner of a table of figures tells: its columns, the one that put its rows in order, and whether upwards."""

    columns: Dict
    order: str = ""
    rising: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What the owner of a sorted list of figures tells: the figures. Who shows the list in full chooses nothing."""

    figures: Array
    keyed: bool


def ranked(figures: Array, keyed: bool) -> Array:
    """`sorted(results.items(), key=...)`: figures in order."""
    return figures.but(kind="figure", owner=Ranking(figures, keyed))


def tabulated(made: Array, value: Value, names: Value | None) -> Array:
    """A table of figures, with its columns where they are written: in a dict of each row, of each column, or as `columns`."""
    rows = value.element() if isinstance(value, (Seq, Dict)) else value
    columns = Dict()
    for row in options(rows):
        if isinstance(row, Dict):
            _put(columns, row.items)
        elif isinstance(row, Seq) and row.exact and isinstance(names, Seq) and len(names.items) == len(row.items):
            keys = [name.value for name in names.items if isinstance(name, Const)]
            _put(columns, dict(zip(keys, row.items, strict=False)) if len(keys) == len(row.items) else {})
    if not columns.items and isinstance(value, Dict):
        _put(columns, value.items)
    return made.but(owner=Results(columns)) if any(a.scores for a in arrays_in(columns)) else made


def _put(columns: Dict, entries: dict[object, Value]) -> None:
    items = columns.items
    for key, entry in entries.items():
        items[key] = join(items[key], entry) if key in items else entry


def column(table: Array, key: object) -> Array | None:
    """The figures in one column of a table of results."""
    if not isinstance(table.owner, Results) or not isinstance(key, str) or key not in table.owner.columns.items:
        return None
    found = data_of(table.owner.columns.items[key])
    return found.but(kind="figure") if found.scores else None


def in_order(table: Array, by: Value | None, ascending: Value) -> Array:
    """The table after its rows were put in the order of a column."""
    by = by.items[0] if isinstance(by, Seq) and by.items else by
    ascending = ascending.items[0] if isinstance(ascending, Seq) and ascending.items else ascending
    key = by.value if isinstance(by, Const) else None
    if not isinstance(table.owner, Results) or column(table, key) is None or not isinstance(key, str):
        return table
    return table.but(owner=Results(table.owner.columns, key, bool(ascending.value) if isinstance(ascending, Const) else None))


def first_row(run: Run, node: ir.Node, table: Array, indices: Sequence[Value]) -> Value | None:
    """`table.sort_values("AUC").iloc[0]`, `sorted(results.items(), key=...)[0]`: the best one is taken."""
    if isinstance(table.owner, Ranking) and indices and indices[0] in (Const(0), Const(-1)):
        return choose(run, node, table.owner.figures, "sorted", key=table.owner.keyed)
    if not isinstance(table.owner, Results) or not table.owner.order or not indices or indices[0] not in (Const(0), Const(-1)):
        return None
    figures = column(table, table.owner.order)
    rising = table.owner.rising
    how = "sorted" if rising is None or indices[0] != Const(0) else "min" if rising else "max"  # the last may well be the worst
    return choose(run, node, figures, how, key=True) if figures is not None else None
