"""Skeleton of a source unit: what C `ast` tells cheaply, so that LibCST reads only what the interpreter enters.

`ast` is an index here, never a second lowering: it gives trustworthy syntax errors, the extent of the top-level statements,
the imports, and the names of functions and classes. A *chunk* is a run of plain top-level statements, or one function or class;
LibCST parses a chunk when the interpreter first needs it, and its tree is dropped after the lowering.
"""

from __future__ import annotations

import ast
import re
import symtable
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from mllint_bio.sources import Problem, SourceUnit

if TYPE_CHECKING:
    from mllint_bio.predict import ir

# LibCST parses a chain of attribute calls in more than linear time and crashes on deep nesting: what exceeds these is refused.
MAX_DEPTH = 700
MAX_CHAIN = 300
RUN_LINES = 30  # a run of plain statements is cut here: a finding or a keystroke costs the parse of its piece, not of a notebook


@dataclass
class Chunk:
    """A piece of the unit that LibCST parses at once: offsets [start, end) into the text. `name` is that of the function or
    class."""

    number: int
    text: str
    start: int
    name: str = ""
    refused: str = ""
    body: list[ir.Stmt] | None = None


@dataclass
class Skeleton:
    """Index of one source unit. `problems`: syntax errors and refused pieces; `imports`: dotted names imported at any depth."""

    unit: SourceUnit
    chunks: list[Chunk] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    imports: frozenset[str] = frozenset()
    has_main: bool = False
    top_level_calls: bool = False

    @cached_property
    def definitions(self) -> dict[str, int]:
        """Function or class name -> number of the chunk that defines it last."""
        return {chunk.name: chunk.number for chunk in self.chunks if chunk.name}

    def reuse(self, older: Skeleton) -> None:
        """Take over what LibCST parsed for an older state of this unit, chunk by chunk, where the text is the same (editors)."""
        parsed = {(chunk.number, chunk.text): chunk.body for chunk in older.chunks if chunk.body is not None}
        for chunk in self.chunks:
            chunk.body = parsed.get((chunk.number, chunk.text))

    def lowered(self, chunk: Chunk) -> list[ir.Stmt]:
        """Statements of a chunk, parsed on first use; empty (with a problem recorded) when LibCST refuses it."""
        if chunk.body is None:
            chunk.body = self._parse(chunk)
        return chunk.body

    def _parse(self, chunk: Chunk) -> list[ir.Stmt]:
        import libcst

        from mllint_bio.predict.lower import Lowering, parse
        from mllint_bio.predict.spans import deep_recursion

        if chunk.refused:
            return []
        try:
            with deep_recursion():
                return Lowering(chunk.number).module(parse(chunk.text))
        except (libcst.ParserSyntaxError, RecursionError) as error:
            what = str(error).split("\n", 1)[0] if isinstance(error, libcst.ParserSyntaxError) else "too deeply nested"
            self.problems.append(self._problem(chunk.start, f"LibCST cannot read this statement ({what}); it is left out"))
            return []

    def _problem(self, offset: int, message: str) -> Problem:
        place = self.unit.position(offset)
        return Problem(self.unit.path, place.row, place.column, message, place.cell, code="statement")


# Skeletons in use, by path: whoever places findings need not index the file again.
_IN_USE: WeakValueDictionary[str, Skeleton] = WeakValueDictionary()


def at_hand(unit: SourceUnit) -> Skeleton:
    """The skeleton of a unit: the one that a project still holds, else read now."""
    known = _IN_USE.get(unit.path)
    return known if known is not None and known.unit.text == unit.text else read(unit)


def read(unit: SourceUnit) -> Skeleton:
    """The skeleton of a unit; a unit that does not parse has problems and no chunks."""
    skeleton = _IN_USE[unit.path] = Skeleton(unit)
    tree, problem = _parse(unit)
    if problem is not None:
        skeleton.problems.append(problem)
    if tree is not None:
        _index(skeleton, tree)
    return skeleton


def syntax_problems(unit: SourceUnit) -> list[Problem]:
    """What keeps a unit from being parsed, without making its skeleton."""
    if _is_sound(unit.text):
        return []
    problem = _parse(unit)[1]
    return [] if problem is None else [problem]


def _is_sound(text: str) -> bool:
    """Whether Python's parser takes a text: asked through its symbol table, which costs half of what building the tree does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            symtable.symtable(text, "", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # perhaps only its names are wrong: ask for the tree
        return False
    return True


def _parse(unit: SourceUnit) -> tuple[ast.Module | None, Problem | None]:
    if unit.skipped or not unit.text.strip():
        return None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings are not our business
            return ast.parse(unit.text), None
    except SyntaxError as error:
        return None, _syntax_problem(unit, error)
    except (RecursionError, MemoryError):
        return None, Problem(unit.path, 1, 1, "too deeply nested to be analysed")
    except ValueError as error:
        return None, Problem(unit.path, 1, 1, f"cannot be parsed: {error}")


def _syntax_problem(unit: SourceUnit, error: SyntaxError) -> Problem:
    row, column = max(1, error.lineno or 1), max(1, error.offset or 1)
    message = f"syntax error: {error.msg}"
    if "print" in (error.msg or "") or re.search(r"^\s*(print\s+[^(=\s]|except\s+\w+\s*,|exec\s+['\"])", error.text or ""):
        message += " (Python 2?)"
    return Problem(unit.path, row, column, message)


def _index(skeleton: Skeleton, tree: ast.Module) -> None:
    text = skeleton.unit.text
    starts = _line_starts(text)
    imports: set[str] = set()
    too_deep = _too_deep(tree, starts)
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.add("." * node.level + (node.module or ""))
    skeleton.imports = frozenset(imports)

    pieces: list[tuple[int, int, ast.stmt | None, bool]] = []  # first line, last line (0-based, inclusive), definition, refused
    for statement in tree.body:
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))]) - 1
        last = (statement.end_lineno or statement.lineno) - 1
        definition = statement if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) else None
        refused = id(statement) in too_deep
        if isinstance(statement, ast.If) and _is_main(statement.test):
            skeleton.has_main = True
        skeleton.top_level_calls = skeleton.top_level_calls or _does_something(statement)
        if pieces and first <= pieces[-1][1]:  # `a; b` on one line
            previous = pieces.pop()
            pieces.append((previous[0], max(previous[1], last), None, previous[3] or refused))
        elif (
            pieces
            and definition is None
            and pieces[-1][2] is None
            and not refused
            and not pieces[-1][3]
            and last - pieces[-1][0] < RUN_LINES
        ):
            pieces.append((pieces.pop()[0], last, None, False))
        else:
            pieces.append((first, last, definition, refused))
    for number, (first, last, named, refused) in enumerate(pieces):
        start, end = starts[first], starts[last + 1] if last + 1 < len(starts) else len(text)
        chunk = Chunk(number, text[start:end], start, getattr(named, "name", ""))
        if refused:
            chunk.refused = "too deeply nested"
            skeleton.problems.append(
                skeleton._problem(start, "this statement is too deeply nested to be analysed; it is left out")
            )
        skeleton.chunks.append(chunk)


_WORK = frozenset(
    {
        "fit",
        "fit_transform",
        "train_test_split",
        "cross_val_score",
        "train",
        "run",
        "main",
        "predict",
        "evaluate",
        "score",
        "step",
        "seed",
    }
)


def _does_something(statement: ast.stmt) -> bool:
    """Whether a top-level statement is the work of a program, as against a definition, a docstring, a constant or a guarded
    import."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    if isinstance(statement, (ast.For, ast.While, ast.With)):
        return True
    if isinstance(statement, (ast.Try, ast.If)):
        return any(map(_does_something, [*statement.body, *statement.orelse]))
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
        return any(
            isinstance(n, ast.Call) and (getattr(n.func, "attr", None) or getattr(n.func, "id", None)) in _WORK
            for n in ast.walk(statement.value)
        )
    return False


def _line_starts(text: str) -> list[int]:
    """Offsets at which the lines start, as the Python tokenizer counts lines."""
    return [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(test))


_PARTS = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements, nested ones included, in no particular order."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.stmt):
            yield node
        for name in node._fields:
            if name in _PARTS:
                stack.extend(getattr(node, name))


def _too_deep(tree: ast.Module, starts: list[int]) -> set[int]:
    """Identities of top-level statements whose expressions nest deeper, or chain longer, than LibCST can take."""
    return {
        id(statement)
        for statement in tree.body
        if not _short(statement, starts) and any(_exceeds(one, starts) for one in _statements([statement]))
    }


def _short(node: ast.AST, starts: list[int]) -> bool:
    """Whether a node has too few characters to nest or to chain too deep."""
    line, last = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
    if line is None or last is None:
        return False
    length: int = starts[last - 1] + node.end_col_offset - starts[line - 1] - node.col_offset  # type: ignore[attr-defined]
    return length < MAX_CHAIN


def _exceeds(statement: ast.stmt, starts: list[int]) -> bool:
    """Whether an expression of this statement (nested statements left out) is too deep."""
    for part in _children(statement):
        if isinstance(part, (ast.stmt, ast.excepthandler)) or type(part).__name__ == "match_case" or _short(part, starts):
            continue
        stack: list[tuple[ast.AST, int, int]] = [(part, 0, 0)]
        while stack:
            node, depth, chain = stack.pop()
            if depth > MAX_DEPTH or chain > MAX_CHAIN:
                return True
            link = chain + 1 if isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)) else 0
            stack.extend((child, depth + 1, link) for child in _children(node))
    return False


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    yield item
