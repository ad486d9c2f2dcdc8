"""A transform before a loop over folds: it is fitted inside the loop, on the training rows of each fold."""

from __future__ import annotations

import ast

from mllint_bio.findings import Edit
from mllint_bio.fix.moving import Chain, unread_later
from mllint_bio.fix.program import Program, Unsafe, key, read, statements, stored, stored_within
from mllint_bio.fix.roles import Part, Reader

_ARRAYS = frozenset(
    {"load", "loadtxt", "genfromtxt", "array", "asarray", "log1p", "log2", "log", "vstack", "hstack", "concatenate"}
)
_FRAMES = frozenset(
    {"read_csv", "read_table", "read_excel", "read_parquet", "read_feather", "read_pickle", "read_hdf", "DataFrame"}
)


def edits(
    program: Program, source: ast.expr, split: ast.Call, first: ast.stmt, loop: ast.For, keeps_shape: bool
) -> tuple[Edit, ...]:
    """Edits for `X = T().fit_transform(X0)` before `for train, test in folds.split(X, y)`. Raises Unsafe for other shapes."""
    here, there = _indices(program, split, loop)
    labels = {key(a) for a in split.args[1:] if key(a) != key(source)}
    reader = Reader(program, set(labels), labels)
    chain = Chain(program, reader, source, keeps_shape)
    block = program.block(first)
    chain.follow(block[block.index(first) : block.index(loop)])
    table = chain.current
    if not isinstance(table, ast.Name) or key(table) not in {key(a) for a in split.args[:1]}:
        raise Unsafe("the folds are not of what was transformed")
    bound = stored_within(loop) - {here, there}
    if bound & (chain.tables | reader.states | read(source)) or _binds_inside(loop, {here, there}):
        raise Unsafe("the loop binds a name of the table or of the folds again")
    cuts = {
        node: index for node in ast.walk(loop) if (index := _cut(node, table.id)) in (here, there) and isinstance(node, ast.expr)
    }
    unread_later(
        program, first, chain.tables, program.span(loop)[0], lambda n: _allowed(program, n, cuts, split) or chain.only_shape(n)
    )
    accessor = _accessor(program, source, first)
    names = {index: program.fresh(f"{table.id}_{word}") for index, word in ((here, "train"), (there, "test"))}
    train, test = Part({}), Part({}, test=True)
    for part, index in ((train, here), (test, there)):
        part.names = {key(ast.Name(name, ast.Load())): f"{name}_{names[index]}" for name in chain.tables}
        part.names |= {key(source): names[index], key(table): names[index]}
        part.names |= {label: text for label in labels if (text := _label(program, loop, label, index))}
    lines = [f"{names[index]} = {table.id}{accessor}[{index}]" for index in (here, there)]
    lines += chain.emitted(train, [test])
    replaced = [program.replace(node, names[index]) for node, index in cuts.items()]
    made = [*chain.left, program.before(loop.body[0], lines), *replaced]
    if reader.imports:
        made.append(program.after_imports(list(dict.fromkeys(reader.imports))))
    return tuple(made)


def _indices(program: Program, split: ast.Call, loop: ast.For) -> tuple[str, str]:
    """The names of the training and test indices of a loop over `folds.split(X, y)`, enumerated or not."""
    iterated, target = loop.iter, loop.target
    if isinstance(iterated, ast.Call) and isinstance(iterated.func, ast.Name) and iterated.func.id == "enumerate":
        if not iterated.args or not isinstance(target, ast.Tuple) or len(target.elts) != 2:
            raise Unsafe("the loop is not plain")
        iterated, target = iterated.args[0], target.elts[1]
    if iterated is not split or not isinstance(split.func, ast.Attribute) or split.func.attr != "split":
        raise Unsafe("the loop is not over a split")
    names = [e.id for e in target.elts if isinstance(e, ast.Name)] if isinstance(target, ast.Tuple) else []
    if len(names) != 2 or any(isinstance(a, ast.Starred) for a in split.args) or loop.orelse:
        raise Unsafe("the loop is not plain")
    return names[0], names[1]


def _cut(node: ast.AST, table: str) -> str:
    """The index name of `X[train]` and `X.iloc[train]`, empty for other nodes."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Name) or not isinstance(node.ctx, ast.Load):
        return ""
    base = node.value.value if isinstance(node.value, ast.Attribute) and node.value.attr == "iloc" else node.value
    return node.slice.id if isinstance(base, ast.Name) and base.id == table else ""


def _allowed(program: Program, name: ast.Name, cuts: dict[ast.expr, str], split: ast.Call) -> bool:
    if any(outer in cuts for outer in program.above(name)):
        return True
    return name in split.args


def _binds_inside(loop: ast.For, names: set[str]) -> bool:
    return any(stored_within(statement) & names for statement in loop.body)


def _label(program: Program, loop: ast.For, label: str, index: str) -> str:
    """How the loop takes the labels of a part: `y[train]` or `y.iloc[train]`, as it is written there."""
    for node in ast.walk(loop):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name) and node.slice.id == index:
            base = node.value.value if isinstance(node.value, ast.Attribute) and node.value.attr == "iloc" else node.value
            if key(base) == label:
                return program.text(node)
    return ""


def _accessor(program: Program, source: ast.expr, first: ast.stmt) -> str:
    """How rows of the source are taken by position: empty for arrays, `.iloc` for data frames. Raises Unsafe if unknown."""
    value: ast.expr | None = source
    for _ in range(4):
        if isinstance(value, ast.Attribute) and value.attr == "values":
            return ""
        if isinstance(value, ast.Call):
            name = value.func.attr if isinstance(value.func, ast.Attribute) else ""
            api = program.dotted(value.func)
            if name == "to_numpy" or api.startswith("numpy.") and api.rsplit(".", 1)[-1] in _ARRAYS:
                return ""
            if api.startswith("pandas.") and api.rsplit(".", 1)[-1] in _FRAMES or name == "drop":
                return ".iloc"
            if api.startswith("sklearn.datasets.") and _as_arrays(value):
                return ""
            break
        if not isinstance(value, ast.Name):
            break
        value = _bound_to(program, value.id, first)
    raise Unsafe("it is not known whether the source is an array or a data frame")


def _as_arrays(call: ast.Call) -> bool:
    said = {k.arg: k.value for k in call.keywords}
    frame = said.get("as_frame")
    return frame is None or isinstance(frame, ast.Constant) and frame.value is False


def _bound_to(program: Program, name: str, first: ast.stmt) -> ast.expr | None:
    """The value of the last assignment to a name before a statement; of `X, y = a, b` the one that stands at its place."""
    start = program.span(first)[0]
    found: ast.expr | None = None
    for statement in statements(program.scope(first)):
        if program.span(statement)[1] > start or name not in stored(statement):
            continue
        found = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            if isinstance(target, ast.Name):
                found = value
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
                found = next(
                    (v for t, v in zip(target.elts, value.elts, strict=True) if isinstance(t, ast.Name) and t.id == name), None
                )
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Call):
                found = value
    return found
