"""MLB706, MLB707, MLB708, MLB709: what was learned, chosen or resampled before the split happens behind it, on training rows."""

from __future__ import annotations

import ast

from mllint_bio.diagnostics import Diagnostic
from mllint_bio.findings import Edit
from mllint_bio.fix import fold_loop, helper_function, pipeline
from mllint_bio.fix.division import Division
from mllint_bio.fix.edit import Remedy
from mllint_bio.fix.moving import Chain, changed, unread_later
from mllint_bio.fix.program import Program, Unsafe, key, read, stored_within
from mllint_bio.fix.refit import class_name, statistic_of
from mllint_bio.fix.roles import Reader

KEEP_SHAPE = frozenset({"scale", "impute", "quantile", "hand-written"})
_STACKS = frozenset({"vstack", "concatenate", "concat", "r_", "row_stack", "cat"})


def remedy(program: Program, diagnostic: Diagnostic) -> Remedy:
    """The remedy for the shape that the program has. Raises Unsafe if it has none that is known."""
    call = program.call(diagnostic.place.start, diagnostic.place.end)
    place = next((p for text, p in diagnostic.evidence if text == "split here"), None)
    if diagnostic.variant == "in-sample":
        return _cross_fitted(program, diagnostic, call)
    if place is None or place.path != program.unit.path:
        raise Unsafe("the split stands in another file")
    split = program.call(place.start, place.end)
    who = _who(program, call)
    first, last = program.statement(call), program.statement(split)
    stacked = _stacked(program, diagnostic, call, split)
    if stacked is not None:
        return stacked
    block = program.block(first)
    resampled = isinstance(call.func, ast.Attribute) and call.func.attr == "fit_resample"
    if isinstance(first, ast.Return):
        edits = helper_function.edits(program, call, split)
        what, rerun = ("resamples", "unpaired") if resampled else ("is fitted on", "paired")
        return Remedy(diagnostic.code, f"{who} {what} the training rows only", edits, rerun)
    condition = _condition(program, first, last)
    if condition is not None and not resampled and isinstance(last, ast.Assign):
        edits = _moved(program, diagnostic, call, split, first, last, condition)
        return Remedy(diagnostic.code, f"{who} is fitted on the training rows only", edits, "paired")
    if last not in block or block.index(last) <= block.index(first):
        raise Unsafe("the fit does not stand before the split in one block")
    if isinstance(last, ast.For):
        if resampled:
            raise Unsafe("resampling before a loop over folds")
        edits = fold_loop.edits(program, source_of(program, call), split, first, last, diagnostic.variant in KEEP_SHAPE)
        return Remedy(diagnostic.code, f"{who} is fitted inside each fold, on its training rows only", edits, "paired")
    if class_name(split) in pipeline.CROSS_VALIDATIONS:
        edits = pipeline.edits(program, call, resampled)
        what = "resamples" if resampled else "is fitted on"
        rerun = "unpaired" if resampled else "paired"
        return Remedy(diagnostic.code, f"{who} {what} the training rows of each fold only, in a pipeline", edits, rerun)
    if resampled:
        edits = _resampled(program, call, split, first, last)
        return Remedy(diagnostic.code, f"{who} resamples the training rows only", edits, "unpaired")
    edits = _moved(program, diagnostic, call, split, first, last, None)
    return Remedy(diagnostic.code, f"{who} is fitted on the training rows only", edits, "paired")


def _who(program: Program, call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("fit", "fit_transform", "fit_resample"):
        maker = call.func.value
        try:
            made = maker if isinstance(maker, ast.Call) else program.definition(maker, call)
        except Unsafe:
            return program.text(maker)
        return class_name(made) if isinstance(made, ast.Call) else program.text(maker)
    return "the column statistic" if statistic_of(program, call) is not None else f"`{class_name(call)}`"


def source_of(program: Program, call: ast.Call) -> ast.expr:
    """The rows that a fit, a statistic or a test of columns reads."""
    table = statistic_of(program, call)
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("fit", "fit_transform", "fit_resample"):
        table = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "X"), None)
    elif table is None:
        table = call.args[0] if call.args else None
        while isinstance(table, ast.Subscript) and isinstance(table.slice, ast.Compare):
            table = table.value
    if table is None or isinstance(table, ast.Starred):
        raise Unsafe("it is not known which rows go in")
    return table


def _condition(program: Program, first: ast.stmt, last: ast.stmt) -> ast.If | None:
    """The `if` without `else` before the split under which the fit stands, if that can be asked again behind the split."""
    outer = program.parents[first]
    if not isinstance(outer, ast.If) or outer.orelse or outer not in program.block(last) or "\n" in program.text(outer.test):
        return None
    for node in ast.walk(outer.test):
        if isinstance(node, (ast.NamedExpr, ast.Await)):
            return None
        if isinstance(node, ast.Call) and program.dotted(node.func) not in ("os.environ.get", "os.getenv"):
            return None
    return outer


def _moved(
    program: Program,
    diagnostic: Diagnostic,
    call: ast.Call,
    split: ast.Call,
    first: ast.stmt,
    last: ast.stmt,
    condition: ast.If | None,
) -> tuple[Edit, ...]:
    division = Division.of(program, split)
    arguments = division.arguments
    source = source_of(program, call)
    if isinstance(first, ast.Assign) and isinstance(first.targets[0], ast.Subscript) and isinstance(source, ast.Subscript):
        source = source.value  # columns of a table: the table is what the split divides
    # What the statements bind are rows, but no labels: they are found by going through the statements.
    within = _between(program, first, last, condition)
    made = {name for statement in within for name in stored_within(statement)}
    labels = {key(a) for a in arguments if not (isinstance(a, ast.Name) and a.id in made)} - {key(source)}
    reader = Reader(program, set(labels), labels)
    chain = Chain(program, reader, source, diagnostic.variant in KEEP_SHAPE)
    chain.follow(within)
    current = key(chain.current)
    if condition is not None:
        moved = [m.statement for m in chain.moved]
        asked = {name for s in (*within, last) for name in changed(s)} & read(condition.test) - program.imports.keys()
        if current != key(source) or asked or any(program.parents[s] is not condition for s in moved):
            raise Unsafe("what is done on a condition reaches beyond it")
        chain.left[0] = program.replace(moved[0], "pass")
    if sum(key(a) == current for a in arguments) != 1:
        raise Unsafe("the split does not divide what was transformed")
    whole = {n for a in arguments if key(a) != current for n in read(a)} | {n for k in split.keywords for n in read(k.value)}
    if whole & (chain.tables | reader.states):
        raise Unsafe("the split reads the table in another way")
    train, tests = division.train, division.tests
    unread_later(program, first, chain.tables - division.names, program.span(last)[1], chain.only_shape)
    taken: set[str] = set()
    for part in (train, *tests):
        name = part.names[current]
        for table in sorted(chain.tables):  # what stands between the rows that went in and those that are divided
            between = program.fresh(f"{table}_{name.rsplit('_', 1)[-1]}")
            while between in taken:
                between += "_"
            taken.add(between)
            part.names.setdefault(key(ast.Name(table, ast.Load())), between)
        part.names[key(source)] = name
    lines = chain.emitted(train, tests)
    if condition is not None:
        lines = [f"if {program.text(condition.test)}:", *(f"    {line}" for line in lines)]
    edits = [*chain.left, program.after(division.behind, lines)]
    if reader.imports:
        edits.append(program.after_imports(list(dict.fromkeys(reader.imports))))
    return tuple(edits)


def _between(program: Program, first: ast.stmt, last: ast.stmt, condition: ast.If | None) -> list[ast.stmt]:
    """The statements from `first` to before `last`."""
    block = program.block(last)
    if condition is None:
        return block[block.index(first) : block.index(last)]
    return [*condition.body[condition.body.index(first) :], *block[block.index(condition) + 1 : block.index(last)]]


def _stacked(program: Program, diagnostic: Diagnostic, call: ast.Call, split: ast.Call) -> Remedy | None:
    """`scaler.fit(np.vstack([X_train, X_test]))` behind the split: fitted on the training part."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "fit" and len(call.args) == 1 and not call.keywords):
        return None
    rows = call.args[0]
    if not isinstance(rows, ast.Call) or class_name(rows) not in _STACKS or not rows.args:
        return None
    pieces = rows.args[0]
    if not isinstance(pieces, (ast.List, ast.Tuple)) or not program.dotted(rows.func):
        return None
    division = Division.of(program, split)
    train = set(division.train.names.values())
    block = program.block(program.statement(call))
    named = [piece.id for piece in pieces.elts if isinstance(piece, ast.Name)]
    kept = [name for name in named if name in train]
    if division.behind not in block or len(kept) != 1 or set(named) - division.names or len(named) != len(pieces.elts):
        raise Unsafe("it is not known which rows are stacked")
    edits = (program.replace(rows, kept[0]),)
    return Remedy(diagnostic.code, f"{_who(program, call)} is fitted on the training rows only", edits, "paired")


def _resampled(program: Program, call: ast.Call, split: ast.Call, first: ast.stmt, last: ast.stmt) -> tuple[Edit, ...]:
    """`X, y = SMOTE().fit_resample(X0, y0)` before the split: the training part is resampled behind it."""
    division = Division.of(program, split)
    arguments = division.arguments
    names = _resampled_names(first, call)
    if [key(a) for a in arguments[:2]] != [key(ast.Name(n, ast.Load())) for n in names] or len(arguments) != 2:
        raise Unsafe("the split does not divide what was resampled")
    block = program.block(first)
    between = block[block.index(first) + 1 : block.index(last)]
    used = set(names) | read(first)
    if any(stored_within(s) & used or read(s) & set(names) for s in between):
        raise Unsafe("the rows are used before the split")
    unread_later(program, first, set(names) - division.names, program.span(last)[1], lambda name: False)
    here = [division.train.names[key(a)] for a in arguments]
    assert isinstance(call.func, ast.Attribute)
    if (read(call.func.value) - program.imports.keys()) & division.names:
        raise Unsafe("the split binds a name that the resampling reads")
    line = f"{', '.join(here)} = {program.text(call.func)}({', '.join(here)})"
    sources = [program.text(a) for a in call.args]
    stay = program.remove(first) if sources == names else program.replace(call, ", ".join(sources))
    return stay, program.after(division.behind, [line])


def _resampled_names(first: ast.stmt, call: ast.Call) -> list[str]:
    if not isinstance(first, ast.Assign) or first.value is not call or len(first.targets) != 1:
        raise Unsafe("the resampled rows are not assigned plainly")
    target = first.targets[0]
    names = [e.id for e in target.elts if isinstance(e, ast.Name)] if isinstance(target, ast.Tuple) else []
    plain = len(call.args) == 2 and not call.keywords and not any(isinstance(a, ast.Starred) for a in call.args)
    if len(names) != 2 or not plain:
        raise Unsafe("the resampled rows are not assigned plainly")
    return names


def _cross_fitted(program: Program, diagnostic: Diagnostic, use: ast.Call) -> Remedy:
    """`TargetEncoder().fit(X, y)`, then `transform(X)`: `fit_transform` cross-fits, so the second call becomes one."""
    place = next((p for text, p in diagnostic.evidence if text == "fitted here"), None)
    if place is None or place.path != program.unit.path or not isinstance(use.func, ast.Attribute):
        raise Unsafe("the fit is not at hand")
    fit = program.call(place.start, place.end)
    encoder = use.func.value
    block = program.block(program.statement(fit))
    later = program.statement(use)
    if later not in block or not isinstance(encoder, ast.Name) or len(use.args) != 1 or len(fit.args) != 2 or fit.keywords:
        raise Unsafe("the fit and the use do not follow each other")
    start, end = block.index(program.statement(fit)) + 1, block.index(later)
    bound = {n for s in block[start:end] for n in stored_within(s)}
    if start > end or key(fit.args[0]) != key(use.args[0]) or bound & (read(fit) | {encoder.id}):
        raise Unsafe("the encoder is not applied to the rows that it was fitted on")
    text = f"{encoder.id}.fit_transform({program.text(fit.args[0])}, {program.text(fit.args[1])})"
    return Remedy(
        diagnostic.code, "TargetEncoder encodes its training rows by cross-fitting", (program.replace(use, text),), "paired"
    )
