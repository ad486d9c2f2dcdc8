"""Lists that a program builds: comprehensions, appended items, windows cut from recordings."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Loop, LoopKind, Site
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library.contents import arrays_with_rows_in, selection_of
from mllint_bio.predict.library.iteration import iterated_silently
from mllint_bio.predict.library.notes import ByIdentifier, OneOfEach, note_unordered
from mllint_bio.predict.values import UNKNOWN, Array, Const, Dict, Seq, Value, join, join_all, options
from mllint_bio.rows import Equals, Rows, Selection, Subset

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def extend(run: Run, sequence: Seq, value: Value) -> None:
    """`list += value` and `list.extend(value)`."""
    if isinstance(value, Seq) and value.exact and not run.loops:
        grow(run, sequence, value.items)
    else:
        collect(run, sequence, iterated_silently(run, value))


def grow(run: Run, sequence: Seq, items: Iterable[Value]) -> None:
    """Add members to a list; of a long one only what its members have in common is kept."""
    members = (*sequence.items, *items)
    if len(members) > 64:
        collect(run, sequence, join_all(list(items)))
    else:
        if sequence.rest is not None:
            run.write(sequence, "#tail", (sequence.cells.get("#tail") or 0) + len(members) - len(sequence.items))
        run.write(sequence, "items", members)


def collect(run: Run, sequence: Seq, value: Value) -> None:
    """Add a value that stands for an unknown number of members."""
    run.write(sequence, "rest", value if sequence.rest is None else join(sequence.rest, value))
    if sequence.cells.get("#tail"):
        run.write(sequence, "#tail", 0)


def coded(run: Run, node: ir.Node, iterables: Sequence[Value]) -> None:
    """A mapping from values to their positions depends on their order.

    `{name: code for code, name in enumerate(names)}`, `dict(zip(names, range(len(names))))`. The mapping back gives no codes:
    where nothing else does, it only numbers colours or lines of a figure.
    """
    if isinstance(node, ir.Comprehension) and isinstance(node.element, ir.Name):
        target = node.loops[0][0]
        if isinstance(target, ir.Collection) and node.element.name in [
            t.name for t in target.items[:1] if isinstance(t, ir.Name)
        ]:
            return
    for iterable in iterables:
        counted = iterable.cells.get("#counted") if isinstance(iterable, Seq) else None
        if isinstance(counted, Array):
            note_unordered(run, counted, "labels", run.site(node))


def comprehended(
    run: Run, node: ir.Comprehension, element: Value, iterables: Sequence[Value], filtered: bool, conditions: Sequence[Value]
) -> Value:
    """Result of a comprehension whose element and conditions were evaluated once."""
    first = iterables[0] if iterables else UNKNOWN
    hits = [one.scores for one in conditions if isinstance(one, Array) and one.kind == "hits"]
    if hits and isinstance(element, Const):  # `sum(1 for a, b in zip(predicted, truth) if a == b)`
        element = Array(kind="figure", scores=frozenset[int]().union(*hits))
    named = selection_of([one for one in conditions if isinstance(one, Array) and one.kind == "columns"], element)
    if named is not element:
        return Seq("set" if node.kind == "set" else "list", (), named)
    if (
        len(iterables) == 1
        and isinstance(first, Array)
        and first.has_rows
        and isinstance(element, Array)
        and element.rows == first.rows
    ):
        rows = element.rows.some(run.site(node)) if filtered else element.rows
        kind = "mask" if element.kind == "mask" else "array" if first.kind in ("table", "array", "item") else first.kind
        return element.but(kind="index" if first.kind == "index" else kind, rows=rows, base=first.base)
    if len(iterables) == 1 and isinstance(first, Array) and first.kind == "index":
        if isinstance(element, Array) and element.kind == "index" and filtered:
            return Array(kind="index", rows=first.rows.some(run.site(node)), base=first.base)
        if isinstance(element, Array) and element.kind in ("scalar", "index"):
            return first
    if len(iterables) == 1 and isinstance(element, Array) and element.kind == "scalar" and element.base.known:
        return _counted(run, node, element.base, filtered, conditions)
    target, over, _ = node.loops[0]
    moving = {target.name} if len(iterables) == 1 and isinstance(target, ir.Name) else set()
    below = list(ir.walk(node.element)) if isinstance(element, Array) and len(iterables) == 1 else []
    if moving and below and _stops_short(over) and _moves(below, moving) or below and _around(target, below):
        element = of_one_recording(element)
    if len(iterables) > 1 and isinstance(element, Array) and element.has_rows:
        element = element.but(group=element.group or "source object")
    return Seq("set" if node.kind == "set" else "list", (), element)


def _counted(run: Run, node: ir.Comprehension, base: Rows, filtered: bool, conditions: Sequence[Value]) -> Array:
    """Positions that are collected under conditions: all, those in an index, those outside it, or an unknown part."""
    rows = base.some(run.site(node)) if filtered else base
    mask = conditions[0].mask if len(conditions) == 1 and isinstance(conditions[0], Array) else None
    if mask is not None and isinstance(mask[0], ByIdentifier):
        inside = mask[0].rows.moved(mask[0].table, base)
        if inside.known:
            rows = inside if mask[1] else base.without(inside)
    return Array(kind="index", rows=rows, base=base)


def exclusive(one: Sequence[tuple[Any, int]], other: Sequence[tuple[Any, int]]) -> bool:
    """Whether two arms of a branch are never both taken in one round."""
    arms = dict(one)
    return any(arms.get(where, number) != number for where, number in other)


_CLASS_NAME = re.compile(r"(^|_)(label|lab|class|cls|category|target|y)(es|s)?($|_)", re.I)


def note_growth(run: Run, sequence: Seq, value: Value, call: Call) -> None:
    """Remember what grows in a loop; a loop whose variable is appended as a label, the same one many times, goes over classes."""
    for loop in run.loops:
        if loop.kind in (LoopKind.OTHER, LoopKind.FILE, LoopKind.CANDIDATE):
            run.grown.setdefault(loop, []).append(sequence)
    outer = run.loops[:-1] if isinstance(call.node, ir.Call) and call.node.func.name == "append" else run.loops  # type: ignore[attr-defined]
    names = {node.name for node in _names_in(call.node)} if outer else set()
    for loop in outer:
        used = [name for name in names if f"_{name}_" in f"_{loop.variable}_"]
        literal = all(isinstance(option, Const) for array in [value] for option in options(array))
        if loop in run.grown and used and not arrays_with_rows_in(value) and (literal or any(map(_CLASS_NAME.search, used))):
            run.class_loops.add(loop)


def _names_in(node: ir.Expr) -> list[ir.Name]:
    """Names in the arguments of `append` and `extend`, as far as a label is written: `y`, `[y]`, `[y] * n`."""
    found: list[ir.Name] = []
    stack: list[ir.Expr] = [value for _, value in node.args] if isinstance(node, ir.Call) else []
    while stack:
        one = stack.pop()
        if isinstance(one, ir.Name):
            found.append(one)
        elif isinstance(one, ir.Collection):
            stack.extend(one.items)
        elif isinstance(one, ir.Binary):
            stack.append(one.left)
    return found


def lies_by_class(run: Run, loop: Loop) -> None:
    """After a loop over classes: what grew in it lies class by class."""
    grown = run.grown.pop(loop, [])
    for sequence in grown if loop in run.class_loops else ():
        for key in ("items", "rest"):
            content = sequence.cells[key]
            if key == "items":
                run.write(sequence, key, tuple(_in_blocks(item) for item in content))
            elif content is not None:
                run.write(sequence, key, _in_blocks(content))


def _in_blocks(value: Value) -> Value:
    return value.but(ordered="class-blocks") if isinstance(value, Array) and (value.has_rows or value.drawn.known) else value


def grouped(run: Run, value: Value, sequence: Seq) -> Value:
    """What is appended in a loop inside a loop over objects: several rows of one object.

    A list that is made anew for each object holds one object: its values may as well be the features of one row.
    """
    made = sequence.cells.get("#made") or ()
    inner = run.loops[-1]
    outer = [loop for loop in _over_objects(run.loops[:-1], inner) if loop not in made]
    if not outer or inner.kind in (
        LoopKind.EPOCH,
        LoopKind.FOLD,
        LoopKind.CANDIDATE,
        LoopKind.MODEL,
        LoopKind.SEED,
        LoopKind.BATCH,
    ):
        return value
    entity = outer[-1].variable or "object"
    if isinstance(value, Array):
        return value.but(group=entity, rows=value.rows if value.has_rows else run.source(_node_at(inner.at), entity))
    if isinstance(value, Seq):
        return Seq(value.kind, [grouped(run, item, sequence) for item in value.items], value.rest)
    if isinstance(value, Dict):
        return Dict({name: grouped(run, item, sequence) for name, item in value.items.items()}, value.rest)
    return value


def one_of_each(run: Run, value: Value) -> Value:
    """What is appended once for each group is one record of the group, until records of several rows are joined."""
    if isinstance(value, Array) and value.has_rows and value.rows.steps()[:1] and value.rows.steps()[0] in run.repeated:
        return value.but(rows=value.rows.some(OneOfEach(run.loops[-1].at)))
    if isinstance(value, Seq):
        return Seq(value.kind, [one_of_each(run, item) for item in value.items], value.rest)
    if isinstance(value, Dict):
        items = {name: one_of_each(run, item) for name, item in value.items.items()}
        return Dict(items, value.rest) if any(items[name] is not item for name, item in value.items.items()) else value
    return value


def rejoined(run: Run, value: Array) -> Array:
    """Records of one group each, joined below each other: several rows of each group again."""
    steps = value.rows.steps()
    each = any(isinstance(step, Subset) and isinstance(step.key, OneOfEach) for step in steps)
    return value.but(group=value.group or run.repeated.get(steps[0], "")) if each else value


def _over_objects(loops: Sequence[Loop], inner: Loop | None) -> list[Loop]:
    """Loops over what several rows may come from.

    A listing of folders, each with a listing of files, is as often one of classes.
    """
    kinds = (LoopKind.GROUP,) if inner is not None and inner.kind is LoopKind.FILE else (LoopKind.GROUP, LoopKind.FILE)
    return [loop for loop in loops if loop.kind in kinds and not _CLASS_NAME.search(loop.variable)]


def of_one_recording(value: Value) -> Value:
    """Pieces that come from one recording: their rows belong to a group."""
    if isinstance(value, Array) and value.prediction is None and not value.scores:
        return value.but(group=value.group or "recording")
    if isinstance(value, Seq):
        return Seq(value.kind, [of_one_recording(item) for item in value.items], value.rest)
    if isinstance(value, Dict):
        return Dict({name: of_one_recording(item) for name, item in value.items.items()}, value.rest)
    return value


def yielded(run: Run, value: Value, made: Sequence[Loop]) -> Value:
    """What a generator, called in the loops `made`, gives in one round of its own: a window of a recording, say."""
    return of_one_recording(value) if len(run.loops) > len(made) and cuts_windows(run, run.loops, made) else value


def cuts_windows(run: Run, loops: Sequence[Loop], made: Sequence[Loop]) -> bool:
    """Whether the innermost loop goes along a recording and cuts a piece of it in every round, as against rows in batches.

    Windows end before the end: their starts are counted up to the length minus a width, or the recording is one of several. A
    piece of one sample of an array is one as well, if the list, made in the loops `made`, holds those of several samples; so is
    what lies around a place that the loop comes to (`signal[peak - 90 : peak + 110]`).
    """
    node = run.bodies.get(loops[-1])
    if node is None:
        return False
    if node not in run.cutting:
        below = [one for statement in node.body for one in ir.walk(statement)]
        around = isinstance(node, ir.For) and _around(node.target, below)
        run.cutting[node] = "around" if around else "along" if _slides(node) else ""
    if run.cutting[node] != "along":
        return run.cutting[node] == "around"
    if len(loops) > len(made) + 1 and isinstance(node, ir.For) and _within_sample(node):
        return True
    return _stops_short(node.test if isinstance(node, ir.While) else node.iterable) or bool(_over_objects(loops[:-1], None))


def _within_sample(node: ir.For) -> bool:
    """Whether the slice that moves with a loop is of one sample: `trials[number, :, k * width : (k + 1) * width]`."""
    moving = {node.target.name} if isinstance(node.target, ir.Name) else set()
    cuts = (one for statement in node.body for one in ir.walk(statement) if isinstance(one, ir.Subscript) and len(one.index) > 1)
    return any(
        not isinstance(cut.index[0], ir.Slice)
        and any(isinstance(one, ir.Slice) and _mentions(one.lower, moving) and _mentions(one.upper, moving) for one in cut.index)
        for cut in cuts
    )


def _stops_short(bound: ir.Expr) -> bool:
    """Whether positions are counted up to a length minus a width: `range(0, n - w, step)`, `while i + w <= n`."""
    return any(isinstance(one, ir.Binary) and one.op in "+-" for one in ir.walk(bound))


def _slides(node: ir.For | ir.While) -> bool:
    """Whether both ends of some slice in the body move with the loop."""
    below = [one for statement in node.body for one in ir.walk(statement)]
    if isinstance(node, ir.While):
        moving = {one.target.name for one in below if isinstance(one, ir.AugAssign) and isinstance(one.target, ir.Name)}
    else:
        moving = {node.target.name} if isinstance(node.target, ir.Name) else set()
    return bool(moving) and _moves(below, moving)


def _around(target: ir.Expr, below: Sequence[ir.Node]) -> bool:
    """Whether some slice in a loop begins before and ends after a place: a beat at its peak, a nucleus at its centre."""
    places = {one.name for one in ir.walk(target) if isinstance(one, ir.Name)}
    ends: dict[str, ir.Expr] = {}
    for one in below:
        if not isinstance(one, ir.Assign) or not isinstance(target := one.targets[0], ir.Name):
            continue
        ends[target.name] = value = one.value
        looked_up = isinstance(value, ir.Subscript) and any(_mentions(index, places) for index in value.index)
        rounded = isinstance(value, ir.Call) and isinstance(value.func, ir.Name) and value.func.name in ("int", "round")
        if looked_up or rounded and _mentions(value, places):
            places.add(target.name)
    return any(
        isinstance(cut, ir.Slice) and _beside(cut.lower, "-", places, ends) and _beside(cut.upper, "+", places, ends)
        for one in below
        if isinstance(one, ir.Subscript) and not _is_text(one)
        for cut in one.index
    )


def _beside(end: ir.Expr | None, sign: str, places: set[str], ends: Mapping[str, ir.Expr]) -> bool:
    """Whether one end of a slice is a place minus, or plus, something: written there, or in a name."""
    written = ends.get(end.name, end) if isinstance(end, ir.Name) else end
    return written is not None and any(
        isinstance(one, ir.Binary) and one.op == sign and _mentions(one.left, places) for one in ir.walk(written)
    )


def _moves(below: Sequence[ir.Node], moving: set[str]) -> bool:
    """Whether both ends of a slice are computed from these names, or from what is computed from them: `end = start + width`."""
    for one in below:
        target = one.targets[0] if isinstance(one, ir.Assign) and isinstance(one.value, ir.Binary) else None
        if isinstance(one, ir.Assign) and isinstance(target, ir.Name) and _mentions(one.value, moving):
            moving.add(target.name)
    return any(
        isinstance(cut, ir.Slice) and cut.lower is not None and _mentions(cut.lower, moving) and _mentions(cut.upper, moving)
        for one in below
        if isinstance(one, ir.Subscript) and not _is_text(one)
        for cut in one.index
    )


# Pieces of a sequence are its words more often than samples.
_TEXT = re.compile(r"seq|mer|dna|rna|prot|pept|smiles|read|text|str|sent|word|genom|fasta|token|chrom|amino", re.I)
_WORD = re.compile(r"^(k|n)$|mer|gram|word", re.I)


def _is_text(node: ir.Subscript) -> bool:
    named = [one.name for one in ir.walk(node.value) if isinstance(one, (ir.Name, ir.Attribute))]
    widths = [one.name for cut in node.index for one in ir.walk(cut) if isinstance(one, ir.Name)]
    return any(map(_TEXT.search, named)) or any(map(_WORD.search, widths))


def _mentions(node: ir.Expr | None, names: set[str]) -> bool:
    return node is not None and any(isinstance(one, ir.Name) and one.name in names for one in ir.walk(node))


def several_of_one(run: Run, value: Value) -> Value:
    """A list of rows that was filled for one object, when it joins those of the others."""
    objects = _over_objects(run.loops, None)
    row = iterated_silently(run, value)
    if not objects or not isinstance(row, Array) or not isinstance(value, Seq) or value.rest is None:
        return value
    return Seq(value.kind, (), row.but(group=row.group or objects[-1].variable or "object"))


def _node_at(site: Site) -> ir.Node:
    """A place to name a source by, where only the site of a loop is at hand."""
    node = ir.Unknown()
    node.st, node.id = site.statement, site.node
    return node


def class_of_rows(rows: Rows) -> Hashable:
    """What tells rows that were picked by their label from those of the other labels; None for rows picked otherwise."""
    for step in rows.steps()[-1:]:
        if isinstance(step, Selection) and isinstance(step.key, Equals) and isinstance(step.key.column, tuple):
            return step if _CLASS_NAME.search(str(step.key.column[1])) else None
    return None
