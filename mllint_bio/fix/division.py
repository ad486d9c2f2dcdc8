"""How `train_test_split` divides tables: which names hold which part of what, also when a part is divided again."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from mllint_bio.fix.program import Program, Unsafe, key, read, stored_within
from mllint_bio.fix.roles import Part


@dataclass
class Division:
    """The parts of one split. arguments: what is divided; train, tests: names of the parts by key of the argument; behind: the
    statement behind which all of them exist."""

    arguments: list[ast.expr]
    train: Part
    tests: list[Part]
    behind: ast.stmt

    @classmethod
    def of(cls, program: Program, split: ast.Call) -> Division:
        """The division by a call, and by those that follow it and divide its parts again. Raises Unsafe for other splits."""
        arguments, names = _divided(program, split)
        train = Part({key(a): name for a, name in zip(arguments, names[::2], strict=True)})
        tests = [Part({key(a): name for a, name in zip(arguments, names[1::2], strict=True)}, test=True)]
        behind = program.statement(split)
        block = program.block(behind)
        for statement in block[block.index(behind) + 1 :]:
            mine = {name for part in (train, *tests) for name in part.names.values()}
            if not (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)):
                break
            try:
                again, new = _divided(program, statement.value)
            except Unsafe:
                if (read(statement) | stored_within(statement)) & mine:
                    break
                continue
            given = [a.id if isinstance(a, ast.Name) else "" for a in again]
            parent = next((part for part in (train, *tests) if set(given) & set(part.names.values())), None)
            if parent is None:
                break
            if set(parent.names.values()) != set(given):
                raise Unsafe("a part is divided again in another way")
            halves = dict(zip(given, zip(new[::2], new[1::2], strict=True), strict=True))
            tests.append(Part({k: halves[name][1] for k, name in parent.names.items()}, test=True))
            parent.names.update({k: halves[name][0] for k, name in parent.names.items()})
            behind = statement
        return cls(arguments, train, tests, behind)

    @property
    def names(self) -> set[str]:
        """The names of all parts."""
        return {name for part in (self.train, *self.tests) for name in part.names.values()}


def _divided(program: Program, split: ast.Call) -> tuple[list[ast.expr], list[str]]:
    """What a call divides, and the names of the parts."""
    statement = program.statement(split)
    if program.dotted(split.func) != "sklearn.model_selection.train_test_split":
        raise Unsafe("it is another split")
    if not isinstance(statement, ast.Assign) or statement.value is not split or len(statement.targets) != 1:
        raise Unsafe("the parts are not assigned plainly")
    target = statement.targets[0]
    if not isinstance(target, (ast.Tuple, ast.List)) or any(isinstance(a, ast.Starred) for a in split.args):
        raise Unsafe("the parts are not assigned plainly")
    names = [element.id for element in target.elts if isinstance(element, ast.Name)]
    if len(names) != 2 * len(split.args) or len(names) != len(target.elts) or len(set(names)) < len(names):
        raise Unsafe("the parts are not assigned plainly")
    return list(split.args), names
