"""What a run holds while it executes: scopes, calls, how a block ended, and values that stand for what is not executed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from mllint_bio.predict import ir
from mllint_bio.predict.values import Func, Klass, Seq, Value

if TYPE_CHECKING:
    from mllint_bio.events import Loop
    from mllint_bio.predict.project import Module


class Flow(Enum):
    """How a block ended."""

    NEXT = 0
    RETURN = 1
    RAISE = 2
    BREAK = 3
    CONTINUE = 4


class OutOfBudget(Exception):
    """The run took more steps than it may; what was seen until then counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Lazy(Value):
    """A name imported from a project module that has not been executed yet."""

    module: Module
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Super(Value):
    """`super()` inside a method."""

    klass: Klass
    receiver: Value


@dataclass(eq=False)
class Frame:
    """One scope in execution."""

    module: Module
    env: dict[str, Value]
    top: dict[str, Value]
    outer: tuple[dict[str, Value], ...] = ()
    func: Func | None = None
    klass: Klass | None = None
    receiver: Value | None = None
    returns: list[Value] = field(default_factory=list)
    yields: list[Value] = field(default_factory=list)
    loops: tuple[Loop, ...] = ()  # in which a generator was called
    shared: set[str] = field(default_factory=set)
    exits: list[list[dict[str, Value]]] = field(default_factory=list)
    # Loop variables: what holds the members that they are, and how many events there were before the loop.
    over: dict[str, tuple[ir.Expr, int]] = field(default_factory=dict)


@dataclass(eq=False)
class Call:
    """Arguments of one call. `open`: more may have come through `*args` or `**kwargs` of unknown content, `spread`; `unpacked`
    is the sequence behind the last `*args` whose length is not known."""

    node: ir.Expr
    args: list[Value]
    kwargs: dict[str, Value]
    open: bool = False
    spread: list[Value] = field(default_factory=list)
    unpacked: Seq | None = None

    def get(self, name: str, params: Sequence[str] = ()) -> Value | None:
        """Argument for a parameter, by keyword or by its position in `params`; None when it is not given."""
        if name in self.kwargs:
            return self.kwargs[name]
        if name in params:
            position = list(params).index(name)
            if position < len(self.args):
                return self.args[position]
        return None

    def at(self, position: int) -> Value | None:
        """Positional argument."""
        return self.args[position] if position < len(self.args) else None

    def everything(self) -> list[Value]:
        """All arguments."""
        return [*self.args, *self.kwargs.values()]


@dataclass(frozen=True, slots=True, eq=False)
class Deferred(Value):
    """A top-level function or class whose chunk has not been parsed yet."""

    module: Module
    chunk: int


@dataclass(frozen=True, slots=True, eq=False)
class Namespace(Value):
    """A directory of the project without `__init__.py`, imported as a package."""

    importer: Module
    dotted: str


@dataclass(frozen=True, slots=True, eq=False)
class Updated(Value):
    """Result of a method that changes the data value it is called on: the new receiver and what the call returns."""

    receiver: Value
    value: Value
