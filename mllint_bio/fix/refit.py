"""MLB712: the evaluation rows get the transform that was fitted on the training rows."""

from __future__ import annotations

import ast
import re

from mllint_bio.diagnostics import Diagnostic
from mllint_bio.findings import Edit
from mllint_bio.fix.edit import Remedy
from mllint_bio.fix.program import Program, Unsafe, key, read, stored_within

_WITHOUT_TRANSFORM = frozenset({"TSNE", "MDS", "SpectralEmbedding", "DBSCAN", "HDBSCAN", "OPTICS", "SpectralClustering"})


def remedy(program: Program, diagnostic: Diagnostic) -> Remedy:
    """`transform` in place of the second fit."""
    again = program.call(diagnostic.place.start, diagnostic.place.end)
    place = next((p for text, p in diagnostic.evidence if "fitted on training rows" in text), None)
    if place is None or place.path != program.unit.path:
        raise Unsafe("the fit on the training rows stands in another file")
    first = program.call(place.start, place.end)
    if first is again:
        raise Unsafe("one call fits for both")
    block = program.block(program.statement(again))
    if program.statement(first) not in block or block.index(program.statement(first)) >= block.index(program.statement(again)):
        raise Unsafe("the two fits do not follow each other")
    method = again.func.attr if isinstance(again.func, ast.Attribute) else ""
    if method in ("fit", "fit_transform"):
        edits, who = _object(program, first, again, method)
    else:
        edits, who = _statistic(program, first, again)
    return Remedy(diagnostic.code, f"{who} is fitted on the training rows only", tuple(edits), "paired")


def _object(program: Program, first: ast.Call, again: ast.Call, method: str) -> tuple[list[Edit], str]:
    if not isinstance(first.func, ast.Attribute) or first.func.attr not in ("fit", "fit_transform"):
        raise Unsafe("the training rows are fitted in another way")
    assert isinstance(again.func, ast.Attribute)
    edits: list[Edit] = []
    maker = first.func.value
    if isinstance(maker, ast.Name):
        name = who = maker.id
        if name in _bound_between(program, first, again):
            raise Unsafe("the transform is made anew in between")
        if _only_definition(program, maker) in _WITHOUT_TRANSFORM:
            raise Unsafe("it has no transform")
    elif isinstance(maker, ast.Call) and first.func.attr == "fit_transform" and method == "fit_transform":
        if not isinstance(again.func.value, ast.Call):
            raise Unsafe("one transform has a name, the other has none")
        who = class_name(maker)
        if not program.dotted(maker.func) or who in _WITHOUT_TRANSFORM:
            raise Unsafe("it is not known what is fitted")
        name = program.fresh(snake(who))
        edits.append(program.before(program.statement(first), [f"{name} = {program.text(maker)}"]))
        edits.append(program.replace(maker, name))
    else:
        raise Unsafe("the transform has no name")
    if method == "fit":
        statement = program.statement(again)
        if not isinstance(statement, ast.Expr) or statement.value is not again or not isinstance(again.func.value, ast.Name):
            raise Unsafe("the second fit is part of a larger expression")
        if again.func.value.id == name:
            return [*edits, program.remove(statement)], _label(program, first, who)
        raise Unsafe("the second transform is another object")
    arguments = again.args[:1] or [k.value for k in again.keywords if k.arg == "X"]
    if len(arguments) != 1 or isinstance(arguments[0], ast.Starred):
        raise Unsafe("the rows are not a plain argument")
    edits.append(program.replace(again, f"{name}.transform({program.text(arguments[0])})"))
    if isinstance(again.func.value, ast.Name) and again.func.value.id != name and _read_after(program, again):
        raise Unsafe("the second transform is used again")
    return edits, _label(program, first, who)


def _label(program: Program, first: ast.Call, who: str) -> str:
    assert isinstance(first.func, ast.Attribute)
    return _only_definition(program, first.func.value) or who


def _only_definition(program: Program, maker: ast.expr) -> str:
    """The class that an object is made of, if that is plain."""
    try:
        made = maker if isinstance(maker, ast.Call) else program.definition(maker, maker)
    except Unsafe:
        return ""
    return class_name(made) if isinstance(made, ast.Call) else ""


def _bound_between(program: Program, first: ast.AST, again: ast.AST) -> set[str]:
    block = program.block(program.statement(first))
    between = block[block.index(program.statement(first)) + 1 : block.index(program.statement(again))]
    return {name for statement in between for name in stored_within(statement)}


def _read_after(program: Program, again: ast.Call) -> bool:
    """Whether the receiver of the second fit is read behind it."""
    assert isinstance(again.func, ast.Attribute) and isinstance(again.func.value, ast.Name)
    end = program.span(again)[1]
    name = again.func.value.id
    return any(isinstance(n, ast.Name) and n.id == name and program.span(n)[0] >= end for n in ast.walk(program.tree))


def _statistic(program: Program, first: ast.Call, again: ast.Call) -> tuple[list[Edit], str]:
    """`X_test = (X_test - X_test.mean()) / X_test.std()` behind the same for `X_train`: the test rows go first, with the
    statistics of the training rows."""
    train, test = program.statement(first), program.statement(again)
    if not isinstance(train, ast.Assign) or not isinstance(test, ast.Assign) or len(train.targets) + len(test.targets) != 2:
        raise Unsafe("the statistics are not taken in plain assignments")
    here, there = train.targets[0], test.targets[0]
    if not isinstance(here, ast.Name) or not isinstance(there, ast.Name):
        raise Unsafe("the statistics are not taken in plain assignments")
    if key(train.value).replace(repr(here.id), repr(there.id)) != key(test.value) or there.id in read(train.value):
        raise Unsafe("the two parts are not treated alike")
    block = program.block(train)
    between = block[block.index(train) + 1 : block.index(test)]
    used = (read(test.value) | {there.id}) - program.imports.keys()
    if any((read(s) | stored_within(s)) & {there.id} or stored_within(s) & used for s in between):
        raise Unsafe("the parts are used in between")
    of_train: dict[ast.expr, str] = {}
    for node in ast.walk(test.value):
        if isinstance(node, ast.Call) and statistic_of(program, node) is not None:
            of_train |= {n: here.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == there.id}
    left = [n for n in ast.walk(test.value) if isinstance(n, ast.Name) and n.id == there.id and n not in of_train]
    if not left:
        raise Unsafe("no rows are left")
    line = program.rewritten(test, of_train)
    if "\n" in line:
        raise Unsafe("the statement has several lines")
    return [program.before(train, [line]), program.remove(test)], "the column statistic"


_SUMS = """mean std var median min max sum quantile mode percentile ptp average amin amax
nanmean nanstd nanvar nanmedian nanmin nanmax nanpercentile"""
STATISTICS = frozenset(_SUMS.split())


def statistic_of(program: Program, call: ast.Call) -> ast.expr | None:
    """The table whose columns (or all of whose values) a call sums up: `X.mean(axis=0)`, `np.mean(X, axis=0)`; else None."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in STATISTICS:
        return None
    axis = next((k.value for k in call.keywords if k.arg in ("axis", "dim")), None)
    if program.dotted(call.func) in (f"numpy.{call.func.attr}", f"torch.{call.func.attr}"):
        table, rest = (call.args[0] if call.args else None), call.args[1:]
    else:
        table, rest = call.func.value, call.args
    if axis is None and rest and isinstance(rest[-1], ast.Constant) and "quantile" not in call.func.attr:
        axis = rest[-1] if "percentile" not in call.func.attr else None
    if axis is not None and not (isinstance(axis, ast.Constant) and axis.value in (0, None, "index")):
        return None
    return table


def class_name(made: ast.Call) -> str:
    """The name of the class or function that a call names."""
    func = made.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def snake(name: str) -> str:
    """`StandardScaler` as `standard_scaler`, `PCA` as `pca`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower() or "transform"
