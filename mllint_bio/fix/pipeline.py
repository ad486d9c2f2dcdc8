"""A transform before a cross-validating call: it goes into a pipeline with the estimator, so that it is fitted per fold."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from mllint_bio.findings import Edit
from mllint_bio.fix.moving import unread_later
from mllint_bio.fix.program import Program, Unsafe, key, read, stored_within

CROSS_VALIDATIONS = frozenset(
    {"cross_val_score", "cross_validate", "cross_val_predict", "learning_curve", "permutation_test_score"}
)
_IN_THE_WAY = frozenset({"return_estimator", "fit_params", "params"})  # they name what the pipeline would wrap


def edits(program: Program, call: ast.Call, resampled: bool) -> tuple[Edit, ...]:
    """Edits for `X = T().fit_transform(X0)` before `cross_val_score(estimator, X, y)`. Raises Unsafe for other shapes."""
    first = program.statement(call)
    made: list[Edit] = []
    steps: list[str] = []
    labels: set[str] = set()
    names = _step(program, first, call, resampled, steps, labels)
    block = program.block(first)
    source = [program.text(a) for a in call.args[: len(names)]]
    made.append(_left(program, first, call, names, source))
    inside: list[ast.stmt] = [first]
    for statement in block[block.index(first) + 1 :]:
        value = statement.value if isinstance(statement, ast.Assign) else None
        if not resampled and isinstance(value, ast.Call) and _fits(value) and read(value) & set(names):
            if [key(a) for a in value.args[:1]] != [key(ast.Name(names[-1], ast.Load()))]:
                raise Unsafe("another transform reads the rows")
            new = _step(program, statement, value, False, steps, labels)
            made.append(_left(program, statement, value, new, [names[-1]]))
            names += new
            inside.append(statement)
        elif stored_within(statement) & set(names):
            raise Unsafe("the rows are bound again")
    wrapped = _wrapped(program, first, names, steps, labels, resampled)
    unread_later(program, first, set(names), program.span(first)[1], lambda name: _within(program, name, [*wrapped, *inside]))
    module = "imblearn.pipeline" if resampled else "sklearn.pipeline"
    maker, lines = program.importing(module, "make_pipeline")
    for cross_validation in wrapped:
        estimator = cross_validation.args[0]
        made.append(program.replace(estimator, f"{maker}({', '.join([*steps, program.text(estimator)])})"))
    if lines:
        made.append(program.after_imports(lines))
    return tuple(made)


def _fits(value: ast.Call) -> bool:
    return isinstance(value.func, ast.Attribute) and value.func.attr == "fit_transform"


def _step(
    program: Program, statement: ast.stmt, call: ast.Call, resampled: bool, steps: list[str], labels: set[str]
) -> list[str]:
    """Take down the transform of a statement; the names of the rows that it makes."""
    method = "fit_resample" if resampled else "fit_transform"
    if not isinstance(statement, ast.Assign) or statement.value is not call or len(statement.targets) != 1:
        raise Unsafe("the transformed rows are not assigned plainly")
    if not isinstance(call.func, ast.Attribute) or call.func.attr != method or call.keywords or not call.args:
        raise Unsafe("the transform is not applied plainly")
    if any(isinstance(a, ast.Starred) for a in call.args) or (resampled and len(call.args) != 2):
        raise Unsafe("the transform is not applied plainly")
    target = statement.targets[0]
    elements = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [e.id for e in elements if isinstance(e, ast.Name)]
    if len(names) != len(elements) or len(names) != (2 if resampled else 1):
        raise Unsafe("the transformed rows are not assigned plainly")
    maker = call.func.value
    made = maker if isinstance(maker, ast.Call) else program.definition(maker, call)
    if (
        not isinstance(made, ast.Call)
        or not program.dotted(made.func)
        or read(made) & read(call.args[0]) - program.imports.keys()
    ):
        raise Unsafe("it is not plain what is fitted")
    if isinstance(maker, ast.Name):
        others = [
            n for n in ast.walk(program.tree) if isinstance(n, ast.Name) and n.id == maker.id and isinstance(n.ctx, ast.Load)
        ]
        if others != [maker]:
            raise Unsafe("the fitted object is used elsewhere")  # in a pipeline, only copies of it are fitted
    if not resampled:
        labels |= {key(a) for a in call.args[1:]}
    steps.append(program.text(maker))
    return names


def _left(program: Program, statement: ast.stmt, call: ast.Call, names: list[str], source: list[str]) -> Edit:
    if names == source:
        return program.remove(statement)
    text = ", ".join(source)
    return program.replace(call, f"({text})" if "\n" in text else text)


def _wrapped(
    program: Program, first: ast.stmt, names: list[str], steps: list[str], labels: set[str], resampled: bool
) -> list[ast.Call]:
    """The cross-validating calls that read the rows."""
    scope = program.scope(first)
    found = []
    wanted = [key(ast.Name(n, ast.Load())) for n in (names if resampled else names[-1:])]
    for node in ast.walk(scope):
        if not isinstance(node, ast.Call) or program.span(node)[0] < program.span(first)[1]:
            continue
        if program.dotted(node.func).rsplit(".", 1)[-1] not in CROSS_VALIDATIONS or not read(node) & set(names):
            continue
        plain = len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args)
        if not plain or {k.arg for k in node.keywords} & (_IN_THE_WAY | {None}):
            raise Unsafe("the cross-validation is not called plainly")
        truth = node.args[2] if len(node.args) > 2 else next((k.value for k in node.keywords if k.arg == "y"), None)
        given = [key(node.args[1]), *([key(truth)] if truth is not None and resampled else [])]
        if given != wanted or (labels and (truth is None or labels != {key(truth)})):
            raise Unsafe("the cross-validation does not read what was fitted")
        others = [node.args[0], *(k.value for k in node.keywords if k.value is not truth), *node.args[3:]]
        if any(read(other) & set(names) for other in others):
            raise Unsafe("the cross-validation reads the rows in another way")
        found.append(node)
    if not found:
        raise Unsafe("no cross-validation reads the rows")
    return found


def _within(program: Program, name: ast.Name, nodes: Sequence[ast.AST]) -> bool:
    return any(outer in nodes for outer in program.above(name))
