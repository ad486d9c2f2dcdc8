"""Iteration and unpacking."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from mllint_bio.events import Pairing
from mllint_bio.predict import ir
from mllint_bio.predict.library.contents import is_json
from mllint_bio.predict.values import UNKNOWN, Array, Choice, Const, Dict, Obj, Seq, Value, join_all, role_of_name
from mllint_bio.rows import UNKNOWN_ROWS

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def iterated(run: Run, value: Value, node: ir.Node) -> Value:
    """What one round of a loop over the value gets."""
    if isinstance(value, Choice):
        return join_all([iterated(run, option, node) for option in value.options])
    if isinstance(value, Seq):
        member = value.element()
        one = not value.items and isinstance(member, Array) and member.kind == "unknown" and member.has_rows
        return member.but(kind="item") if one and isinstance(member, Array) and member.prediction is None else member
    if isinstance(value, Dict):
        keys = [Const(k) for k in value.items]
        return keys[0] if len(keys) == 1 and value.rest is None else UNKNOWN
    if isinstance(value, Const):
        return UNKNOWN
    if isinstance(value, Obj):
        from mllint_bio.predict.library.loaders import iterate_object

        return iterate_object(run, value, node)
    if isinstance(value, Array):
        if value.kind == "range":
            return Array(kind="scalar", base=value.rows, rows=UNKNOWN_ROWS)
        if value.kind == "groups":
            return Seq("tuple", [Array(kind="scalar", name="key"), value.but(kind="table", rows=value.rows.some(run.site(node)))])
        if value.kind == "unique":
            return value.but(kind="scalar")
        if value.kind == "config" and is_json(value) and not value.column:
            return value.but(owner=("record", value.owner[1]))
        if value.kind == "loader":
            return value.but(kind="batch", visit=run.visit(value.loader, node))
        if value.kind == "text":
            return value.but(owner="line", linear=None, mask=None, drawn=UNKNOWN_ROWS)
        kind = "item" if value.kind in ("table", "array", "dataset") else value.kind
        return value.but(kind=kind, linear=None, mask=None, drawn=UNKNOWN_ROWS)
    return UNKNOWN


def names_if_asked(value: Value, target: ir.Expr, conditions: Sequence[ir.Expr]) -> Value:
    """The names of a table's columns, if what the loop goes over is compared with texts: `[c for c in table if c != "age"]`."""
    if not isinstance(value, Array) or value.kind != "table" or value.column or not value.rows.known:
        return value
    asked = any(
        isinstance(one, ir.Compare)
        and isinstance(one.left, ir.Name)
        and isinstance(target, ir.Name)
        and one.left.name == target.name
        and all(_is_text(other) for _, other in one.rest)
        for one in conditions
    )
    return Array(kind="scalar", owner=("columns", value.rows)) if asked else value


def _is_text(node: ir.Expr) -> bool:
    members = node.items if isinstance(node, ir.Collection) else [node]
    return bool(members) and all(isinstance(one, ir.Constant) and isinstance(one.value, str) for one in members)


def taken(value: Value, key: Hashable) -> Value:
    """What one `next` takes from a stream: some rows of those that the stream goes through, not known to be those of another."""
    if isinstance(value, Choice):
        return join_all([taken(option, key) for option in value.options])
    if isinstance(value, Seq):
        rest = taken(value.rest, key) if value.rest is not None else None
        return Seq(value.kind, [taken(item, key) for item in value.items], rest)
    if isinstance(value, Array) and value.rows.known:
        return value.but(rows=value.rows.some(key))
    return value


def piece(run: Run, value: Value, position: int, names: Sequence[str], node: ir.Node) -> Value:
    """Element `position` of a value that is unpacked into `names` but whose members are not known."""
    if isinstance(value, Seq):
        if value.exact and position < len(value.items):
            return value.items[position]
        if _are_parts(names, [role_of_name(name) for name in names]):
            return _one_part(run, value.element(), (run.site(node), position), node)
        return _one_drawn(value.element(), position)
    if isinstance(value, Dict):
        return UNKNOWN
    if isinstance(value, Obj):
        return iterated(run, value, node)
    if not isinstance(value, Array):
        return UNKNOWN
    if value.kind in ("batch", "item") and len(value.members) == len(names):
        return value.but(learned=value.members[position], members=())
    if value.kind == "shape" and position:
        return value.but(linear=None, base=UNKNOWN_ROWS, drawn=UNKNOWN_ROWS)
    if not value.has_rows:
        return value.but(drawn=UNKNOWN_ROWS)  # a value of its own: two pieces are not the same
    if value.kind in ("batch", "item", "stat", "scalar", "noise") or value.prediction is not None:
        return value
    roles = [role_of_name(name) for name in names]
    if _are_parts(names, roles):  # what comes out is called train and test: different parts of what went in
        key = (run.site(node), roles[position] or position)
        rows = (
            value.rows.some(key)
            if len(value.rows.steps()) > 1
            else run.source(node, names[position], roles[position] or position)
        )
        return value.but(rows=rows, name=names[position])
    if value.kind == "unknown" and len(names) > 1:
        return value
    return value


_ROLE = re.compile(r"train(ing)?|trn|test(ing)?|tst|val(id(ation)?)?|dev|eval(uation)?|hold_?out", re.I)


def _are_parts(names: Sequence[str], roles: Sequence[str]) -> bool:
    """Whether names tell parts from each other (`X_train, X_test`), as against the members of one (`X_val, y_val, w_test`)."""
    told = [(_ROLE.sub("*", name), role) for name, role in zip(names, roles, strict=True) if role]
    different = {role for _, role in told}
    return len(different) >= 2 and (len(told) == len(different) or len({base for base, _ in told}) < len(set(told)))


def _one_part(run: Run, element: Value, key: Hashable, node: ir.Node) -> Value:
    """One of several members of a list that a loop filled: `train, dev = parts`, which are not the same rows."""
    from mllint_bio.predict.library.calls import copied

    if isinstance(element, Choice):
        return join_all([_one_part(run, option, key, node) for option in element.options])
    if isinstance(element, Array) and element.has_rows and element.prediction is None:
        return element.but(rows=element.rows.some(key))
    if isinstance(element, Obj) and element.is_a("dataset"):
        part = copied(run, element, node)
        part.cells.update({name: _one_part(run, cell, key, node) for name, cell in part.cells.items() if isinstance(cell, Array)})
        return part
    return element


def _one_drawn(element: Value, position: int) -> Value:
    """One of several arrays that were drawn at one place: two of them are not the same rows."""
    if isinstance(element, Seq):
        return Seq(element.kind, [_one_drawn(item, position) for item in element.items], element.rest)
    if isinstance(element, Array) and element.drawn.known:
        return element.but(drawn=element.drawn.some(("member", position)))
    return element


def unpacked(run: Run, value: Seq, targets: Sequence[ir.Expr], node: ir.Node) -> None:
    """Notice a splitter's results unpacked in another order than documented (names against parts)."""
    split = value.cells.get("#split")
    if split is None or len(targets) != len(value.items):
        return
    names = [t.name if isinstance(t, (ir.Name, ir.Attribute)) else "" for t in targets]
    roles = [role_of_name(name) for name in names]
    parts = ["train" if i % 2 == 0 else "test" for i in range(len(names))]
    run.amend(split, names=tuple(names))
    if len(names) < 2 or any(role == "" for role in roles) or "train" not in roles or len(set(roles)) < 2:
        return  # `test, val = split(held_out)`, `train_rest, train_fold = split(train_rest)` divide what was told apart before
    # a development or validation part may stand first (it is divided further), a training part never second
    wrong = [
        i for i, (role, part) in enumerate(zip(roles, parts, strict=True)) if role == ("test" if part == "train" else "train")
    ]
    if wrong:
        first = wrong[0] - wrong[0] % 2
        second = first + 1
        run.emit(
            Pairing,
            node,
            train_name=names[first],
            train_base=parts[first],
            test_name=names[second],
            test_base=parts[second],
            swapped=True,
        )


def iterated_silently(run: Run, value: Value) -> Value:
    """One member of a value, without the events that a loop over it would cause."""
    if isinstance(value, (Seq, Dict)):
        return value.element()
    return value
