"""MLB303, MLB304: `random_state=0` for the split or the estimator; shuffling is kept."""

from __future__ import annotations

import ast
import re

from mllint_bio.diagnostics import Diagnostic
from mllint_bio.findings import Edit
from mllint_bio.fix import rewrite, seeds
from mllint_bio.fix.edit import Remedy
from mllint_bio.fix.program import Program, Unsafe

_FUNCTIONS = frozenset({"train_test_split", "check_cv", "resample", "shuffle"})
_SPLITTERS = re.compile(r"sklearn\.model_selection\.(\w*Fold|\w*ShuffleSplit)$")
_GENERATORS = frozenset(
    {"numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.Generator", "random.Random", "torch.Generator"}
)
_STREAM = re.compile(r"draws from the unseeded ([\w-]+) generator")


def of_split(program: Program, diagnostic: Diagnostic) -> Remedy:
    """A seed for the split of MLB303; where its call takes none, for the generator that it draws from."""
    node = program.expression(diagnostic.place.start, diagnostic.place.end)
    try:
        edits, what = _split(program, node)
    except Unsafe:
        stream = _STREAM.search(diagnostic.message)
        if stream is None:
            raise
        edits, what = [seeds.seeding(program, [stream[1]])], f"the {stream[1]} generator is seeded once, behind the imports"
    return Remedy(diagnostic.code, what, tuple(edits), "repeat")


def of_estimator(program: Program, diagnostic: Diagnostic) -> Remedy:
    """`random_state=0` for the object of MLB304, and of MLB302 in a pool of processes."""
    call = program.call(diagnostic.place.start, diagnostic.place.end)
    if not program.dotted(call.func):
        raise Unsafe("what makes the estimator is defined in the program")
    return Remedy(diagnostic.code, f"{_name(call)} has `random_state=0`", (_with(program, call, "random_state"),), "repeat")


def _split(program: Program, node: ast.expr) -> tuple[list[Edit], str]:
    if isinstance(node, ast.Subscript):
        return _generator(program, node.value)
    if not isinstance(node, ast.Call):
        raise Unsafe("the split is no call")
    api = program.dotted(node.func)
    name = _name(node)
    if api.startswith("sklearn.") and (name in _FUNCTIONS or _SPLITTERS.match(api)):
        return [_with(program, node, "random_state")], f"`{name}` has `random_state=0`"
    if api.startswith("torch.") and name == "random_split":
        torch, lines = program.importing("torch")
        added = rewrite.with_argument(program.text(node), "generator", f"{torch}.Generator().manual_seed(0)")
        if added is None:
            raise Unsafe("the arguments of the split are not plain")
        edits = [program.replace(node, added)]
        return edits + ([program.after_imports(lines)] if lines else []), "`random_split` has a seeded generator"
    if isinstance(node.func, ast.Attribute) and not api:
        if name == "split":
            return _split(program, _made(program, node.func.value, node))
        if name == "sample":
            return [_with(program, node, "random_state")], "`sample` has `random_state=0`"
        if name in ("permutation", "permuted", "choice", "shuffle"):
            return _generator(program, node)
    folds = next((k.value for k in node.keywords if k.arg == "cv"), None)
    if folds is not None:
        return _split(program, _made(program, folds, node))
    raise Unsafe("the split takes no seed")


def _made(program: Program, node: ast.expr, before: ast.AST) -> ast.Call:
    """The call that makes an object: the node itself, or the only assignment to its name."""
    made = node if isinstance(node, ast.Call) else program.definition(node, before)
    if not isinstance(made, ast.Call):
        raise Unsafe("the splitter is not made by a plain call")
    return made


def _generator(program: Program, node: ast.expr, depth: int = 4) -> tuple[list[Edit], str]:
    """A seed for the generator object behind a permutation: `rng.permutation(n)`, or a name for its result."""
    if depth == 0:
        raise Unsafe("the generator is not found")
    if isinstance(node, ast.Call):
        if program.dotted(node.func) in _GENERATORS:
            if node.args or node.keywords:
                raise Unsafe("the generator is made with arguments")
            if program.dotted(node.func) == "torch.Generator":
                return [program.replace(node, f"{program.text(node)}.manual_seed(0)")], "the generator is seeded"
            if program.dotted(node.func) == "numpy.random.Generator":
                raise Unsafe("the generator is made with arguments")
            return [program.replace(node, f"{program.text(node.func)}(0)")], f"`{_name(node)}` has the seed 0"
        if isinstance(node.func, ast.Attribute):
            return _generator(program, node.func.value, depth - 1)
    return _generator(program, program.definition(node, node), depth - 1)


def _with(program: Program, call: ast.Call, keyword: str) -> Edit:
    added = rewrite.with_argument(program.text(call), keyword, "0")
    if added is None:
        raise Unsafe("the arguments of the call are not plain")
    return program.replace(call, added)


def _name(call: ast.Call) -> str:
    func = call.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else "the object"
