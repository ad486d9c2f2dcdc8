"""A function that is called once and returns transformed or resampled rows: it returns them raw, the caller does the rest."""

from __future__ import annotations

import ast

from mllint_bio.findings import Edit
from mllint_bio.fix.division import Division
from mllint_bio.fix.moving import unread_later
from mllint_bio.fix.program import Program, Unsafe, key, parameters, read, stored_within
from mllint_bio.fix.refit import class_name, snake
from mllint_bio.fix.roles import NO_TRANSFORM


def edits(program: Program, call: ast.Call, split: ast.Call) -> tuple[Edit, ...]:
    """Edits for `def load(): ...; return SMOTE().fit_resample(X, y)` and a caller that splits. Raises Unsafe for other shapes."""
    returned = program.statement(call)
    function = program.scope(call)
    if not isinstance(returned, ast.Return) or returned.value is not call or isinstance(function, ast.Module):
        raise Unsafe("the fit does not stand before the split in one block")
    used = _only_call(program, function)
    made = _maker(program, call)
    division = Division.of(program, split)
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "fit_resample" and len(call.args) == 2 and not call.keywords:
        names = _bound_to(program, used, split, 2)
        if [key(a) for a in division.arguments] != [key(name) for name in names]:
            raise Unsafe("the split does not divide what was resampled")
        here = ", ".join(division.train.names[key(name)] for name in names)
        lines = [f"{here} = {program.text(made)}.fit_resample({here})"]
    elif call.func.attr == "fit_transform" and call.args and not call.keywords:
        rows = used if used in split.args else _bound_to(program, used, split, 1)[0]
        labels = [_in_caller(function, used, a) for a in call.args[1:]]
        if key(rows) not in division.train.names or any(label not in division.train.names for label in labels):
            raise Unsafe("the split does not divide what was fitted")
        name = program.fresh(snake(class_name(made)))
        given = [division.train.names[k] for k in (key(rows), *labels)]
        lines = [f"{name} = {program.text(made)}", f"{given[0]} = {name}.fit_transform({', '.join(given)})"]
        lines += [f"{part.names[key(rows)]} = {name}.transform({part.names[key(rows)]})" for part in division.tests]
    else:
        raise Unsafe("the rows are not returned plainly")
    raw = ", ".join(program.text(a) for a in (call.args if call.func.attr == "fit_resample" else call.args[:1]))
    return program.replace(call, f"({raw})" if "\n" in raw else raw), program.after(division.behind, lines)


def _only_call(program: Program, function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.Call:
    """The only call of a plain function of the module."""
    uses = [n for n in ast.walk(program.tree) if isinstance(n, ast.Name) and n.id == function.name]
    plain = function in program.tree.body and not function.decorator_list and isinstance(function, ast.FunctionDef)
    used = program.parents[uses[0]] if len(uses) == 1 else None
    returns = [n for n in ast.walk(function) if isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom))]
    if not plain or not isinstance(used, ast.Call) or used.func is not uses[0] or len(returns) != 1:
        raise Unsafe("the function is not called at one place, or returns at several")
    return used


def _maker(program: Program, call: ast.Call) -> ast.Call:
    """The constructor of what is fitted; the caller can write it as well."""
    assert isinstance(call.func, ast.Attribute)
    maker = call.func.value
    made = maker if isinstance(maker, ast.Call) else program.definition(maker, call)
    if not isinstance(made, ast.Call) or not program.dotted(made.func) or class_name(made) in NO_TRANSFORM:
        raise Unsafe("it is not plain what is fitted")
    known = {
        alias
        for statement in program.tree.body
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for alias in _names(statement)
    }
    if read(made) - known:
        raise Unsafe("the transform depends on the function's variables")
    if (
        isinstance(maker, ast.Name)
        and sum(isinstance(n, ast.Name) and n.id == maker.id for n in ast.walk(program.scope(call))) != 2
    ):
        raise Unsafe("the fitted object is used elsewhere")
    return made


def _names(statement: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.asname or alias.name.split(".")[0] for alias in statement.names]


def _bound_to(program: Program, used: ast.Call, split: ast.Call, count: int) -> list[ast.expr]:
    """The names that the caller gives to the rows, which nothing but the split may read."""
    statement, last = program.statement(used), program.statement(split)
    block = program.block(last)
    if not isinstance(statement, ast.Assign) or statement.value is not used or statement not in block:
        raise Unsafe("the rows that the function returns are not assigned plainly")
    target = statement.targets[0]
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    if len(names) != count or len(statement.targets) != 1 or not all(isinstance(n, ast.Name) for n in names):
        raise Unsafe("the rows that the function returns are not assigned plainly")
    known = {n.id for n in names if isinstance(n, ast.Name)}
    between = block[block.index(statement) + 1 : block.index(last)]
    if block.index(statement) > block.index(last) or any((read(s) | stored_within(s)) & known for s in between):
        raise Unsafe("the rows are used before the split")
    unread_later(program, last, known - stored_within(last), program.span(last)[1], lambda name: False)
    return names


def _in_caller(function: ast.FunctionDef | ast.AsyncFunctionDef, used: ast.Call, node: ast.expr) -> str:
    """The key of an expression of the parameters, in the names of the caller."""
    given = dict(zip((a.arg for a in function.args.args), used.args, strict=False))
    bound = {n for statement in function.body for n in stored_within(statement)}
    if used.keywords or any(name not in given or name in bound for name in read(node)) or not read(node) <= parameters(function):
        raise Unsafe("the labels are made in the function")
    text = key(node)
    for name, argument in given.items():
        text = text.replace(key(ast.Name(name, ast.Load())), f"<{name}>") if isinstance(argument, ast.Name) else text
    for name, argument in given.items():
        text = text.replace(f"<{name}>", key(argument))
    return text
