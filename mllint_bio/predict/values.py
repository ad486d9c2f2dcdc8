"""Abstract values: what the interpreter knows about what a name holds.

Every value is one of a few kinds. `Const` is a known constant. `Array` is anything with data provenance: tables, arrays, index
arrays, masks, batches, numbers computed from data, and results that are not understood (they absorb what they were made
from). `Obj` is an object of the program with identity and mutable cells (estimators, modules, instances of project classes), as
are `Seq` and `Dict`. `Func`, `Bound`, `Klass`, `Ext` and `Mod` are callables and namespaces. `Choice` is one of several.

Facts are monotone: a join only loses information, and what is not known never proves anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Data, Learned, Prediction, Subject
from mllint_bio.rows import UNKNOWN_ROWS, Bound, Rows, either, union

if TYPE_CHECKING:
    from mllint_bio.catalog import Entry
    from mllint_bio.predict import ir
    from mllint_bio.predict.project import Module

MAX_CHOICES = 6
MAX_ITEMS = 64
MAX_BITS = 128  # of a computed integer
MAX_TEXT = 4096  # characters of a computed text


class Value:
    """Base of all abstract values."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Const(Value):
    """A known constant: number, string, bytes, bool, None, Ellipsis."""

    value: Any


def constant(value: Any) -> Value:
    """A computed constant; unknown if it is so large that a loop which goes on computing with it would not end."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS or isinstance(value, str) and len(value) > MAX_TEXT:
        return UNKNOWN
    return Const(value)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Some columns of a table were taken: samples of another part, if the samples stand in columns."""

    by: Value


@dataclass(frozen=True, eq=False)
class Array(Value):
    """A value with data provenance; the fields default to "nothing is known".

    kind: table, array, index, mask, batch, dataset, loader, scalar, stat, split-result, groups, config, noise, empty (rows are
    yet to be put into it), unknown, ...
    base: for an index, the rows that it indexes. order: identity of a random order of the rows. mask: identity of a predicate and
    whether it is positive. linear: a size as a linear form. scores: ids of the Score events that the value carries.
    activation: what a network's output ends with. items: structure, when the value is a tuple-like bundle. column: name of the
    column it is. axis_stat: it is a statistic over rows, not yet applied. source: `config` if it comes from outside the
    program. sign: of a figure, 1 as the metric gives it, -1 negated, 0 not known.
    shown: how several figures were condensed into it (mean, median, spread, max, min, sum). loop: the loop whose variable it is.
    members: facts of each of the arrays that are bundled into it, rows in step (a data set of inputs and labels).
    drawn: of random numbers, the rows that they are if they are used as data (see `as_data`).
    visit: which pass over its loader it was collected in (see `Data.visit`). chosen: ids of the Select events that chose it (a
    threshold, or the predictions of the best epoch so far). across: what would be learned of its columns if it were turned,
    and which columns were taken. turned: whether it is.
    """

    kind: str = "unknown"
    rows: Rows = UNKNOWN_ROWS
    name: str = ""
    learned: frozenset[Learned] = frozenset()
    prediction: Prediction | None = None
    scores: frozenset[int] = frozenset()
    ordered: str = ""
    order: Any = None
    base: Rows = UNKNOWN_ROWS
    mask: tuple[Any, bool] | None = None
    linear: Bound | None = None
    activation: str = ""
    activated_at: Any = None
    column: str = ""
    group: str = ""
    loader: Subject | None = None
    owner: Any = None
    stat: Any = None
    noise: str = ""
    unordered: Any = None
    split: Any = None
    sign: int = 1
    shown: frozenset[str] = frozenset()
    loop: Any = None
    visit: int = 0
    members: tuple[frozenset[Learned], ...] = ()
    chosen: frozenset[int] = frozenset()
    drawn: Rows = UNKNOWN_ROWS
    across: frozenset[Learned | Narrowed] = frozenset()
    turned: bool = False

    if not TYPE_CHECKING:  # that of a frozen data class sets all fields, one by one: a tenth of the interpreter's time

        def __init__(self, **fields):
            self.__dict__.update(fields)

    @property
    def has_rows(self) -> bool:
        """Whether it is data of known provenance."""
        return self.rows.known

    def view(self) -> Data:
        """What an event records of it."""
        return Data(
            rows=self.rows,
            name=self.name,
            named_role=role_of_name(self.loader.name if self.loader is not None else "")
            or role_of_name(self.name)
            or role_of_name(self.rows.label),
            learned=self.learned,
            prediction=self.prediction,
            ordered=self.ordered,
            loader=self.loader,
            group=self.group,
            visit=self.visit,
        )

    def but(self, **changes: Any) -> Array:
        """A copy with some fields changed."""
        made = object.__new__(
            Array
        )  # dataclasses.replace costs ten times as much, and this is the hottest call of the interpreter
        known = made.__dict__
        known.update(self.__dict__)
        known.update(changes)
        return made


UNKNOWN = Array()
EMPTY = Array(kind="empty")  # an array without rows, to which a loop appends
NONE = Const(None)


class Heap(Value):
    """A value with identity and mutable cells. All writes go through the interpreter's journal, so that branches can be
    undone."""

    __slots__ = ("_element", "cells")

    def __init__(self, **cells: Any) -> None:
        self.cells: dict[str, Any] = cells
        self._element: tuple[Any, Any, Value] | None = None

    def _joined(self, members: Iterable[Value]) -> Value:
        """Join of the members, remembered until the members change."""
        items, rest = self.cells["items"], self.cells["rest"]
        if self._element is None or self._element[0] is not items or self._element[1] is not rest:
            known = [*members, *([rest] if rest is not None else [])]
            self._element = (items, rest, join_all(known) if known else UNKNOWN)
        return self._element[2]


class Obj(Heap):
    """An object: instance of a project class (`klass`), of a catalogued class (`entry`), or of something unknown."""

    __slots__ = ("entry", "klass", "subject")

    def __init__(self, subject: Subject, klass: Klass | None = None, entry: Entry | None = None, **cells: Any) -> None:
        super().__init__(**cells)
        self.subject, self.klass, self.entry = subject, klass, entry

    def is_a(self, *roles: str) -> bool:
        """Whether its catalog role is one of these or below."""
        return self.subject.is_a(*roles)


class Seq(Heap):
    """List, tuple or set. `items` are the known members (a tuple of values); `rest`, if not None, stands for unknown further
    ones."""

    __slots__ = ("kind",)

    def __init__(self, kind: str, items: Iterable[Value] = (), rest: Value | None = None) -> None:
        members = tuple(items)
        if len(members) > MAX_ITEMS:
            rest, members = join_all([*members, *([rest] if rest is not None else [])]), ()
        super().__init__(items=members, rest=rest)
        self.kind = kind

    @property
    def items(self) -> tuple[Value, ...]:
        """Known members."""
        return self.cells["items"]  # type: ignore[no-any-return]

    @property
    def rest(self) -> Value | None:
        """What unknown further members look like; None when there are none."""
        return self.cells["rest"]  # type: ignore[no-any-return]

    @property
    def exact(self) -> bool:
        """Whether all members are known."""
        return self.rest is None

    def element(self) -> Value:
        """One member, whichever."""
        return self._joined(self.items)

    def in_order(self) -> list[Value]:
        """The members in their order, `rest` standing where the unknown ones are: before those that were added after it."""
        if self.rest is None:
            return list(self.items)
        first = len(self.items) - min(self.cells.get("#tail") or 0, len(self.items))
        return [*self.items[:first], self.rest, *self.items[first:]]


class Dict(Heap):
    """Mapping with known constant keys; `rest` stands for values under unknown keys."""

    __slots__ = ()

    def __init__(self, items: dict[Any, Value] | None = None, rest: Value | None = None) -> None:
        super().__init__(items=dict(items or {}), rest=rest)

    @property
    def items(self) -> dict[Any, Value]:
        """Known members."""
        return self.cells["items"]  # type: ignore[no-any-return]

    @property
    def rest(self) -> Value | None:
        """Values under unknown keys."""
        return self.cells["rest"]  # type: ignore[no-any-return]

    def element(self) -> Value:
        """One value, whichever."""
        return self._joined(self.items.values())


@dataclass(frozen=True, slots=True, eq=False)
class Func(Value):
    """A function or lambda of the project, with the scope that it closes over."""

    node: ir.FunctionDef | ir.Lambda
    module: Module
    closure: Any = None
    owner: Klass | None = None
    wrappers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name; `<lambda>` for a lambda."""
        return getattr(self.node, "name", "<lambda>")


@dataclass(frozen=True, slots=True, eq=False)
class Bound_(Value):
    """A method looked up on a value: a project function with its `self`, or a name to be dispatched on the value's kind."""

    receiver: Value
    name: str
    func: Func | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Partial(Value):
    """functools.partial of a callable."""

    func: Value
    args: tuple[Value, ...]
    kwargs: dict[str, Value]


@dataclass(slots=True, eq=False)
class Klass(Value):
    """A class of the project. `bases` are values (`Klass`, `Ext`, unknown); `members` are its own functions and constants."""

    name: str
    module: Module
    node: ir.ClassDef
    bases: list[Value] = field(default_factory=list)
    members: dict[str, Value] = field(default_factory=dict)

    def mro(self) -> list[Klass]:
        """This class and its project bases, depth first, each once."""
        found: list[Klass] = []
        stack: list[Value] = [self]
        while stack and len(found) < 32:
            klass = stack.pop(0)
            if isinstance(klass, Klass) and klass not in found:
                found.append(klass)
                stack = [*klass.bases, *stack]
        return found

    def lookup(self, name: str) -> tuple[Klass, Value] | None:
        """The member and the class that defines it; a private name may be given as Python mangles it (`_Class__name`)."""
        if name.startswith("_") and "__" in name[1:] and not name.startswith("__"):
            owner, _, private = name[1:].partition("__")
            for klass in self.mro():
                if klass.name.lstrip("_") == owner and f"__{private}" in klass.members:
                    return klass, klass.members[f"__{private}"]
        return next(((klass, klass.members[name]) for klass in self.mro() if name in klass.members), None)

    def external_bases(self) -> list[str]:
        """Dotted names of library classes that it derives from."""
        return [base.path for klass in self.mro() for base in klass.bases if isinstance(base, Ext)]


@dataclass(frozen=True, slots=True)
class Ext(Value):
    """A name of a library: module, class, function or attribute, by dotted path."""

    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Mod(Value):
    """A module of the project."""

    module: Module


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Value):
    """One of several values, which one depends on the run."""

    options: tuple[Value, ...]


def options(value: Value) -> tuple[Value, ...]:
    """The values it may be."""
    return value.options if isinstance(value, Choice) else (value,)


def as_mapping(value: Value) -> Dict | None:
    """The mapping that a value is; several that it may be are one that has the keys of all. None if it is no mapping."""
    if isinstance(value, Dict):
        return value
    found = [option for option in options(value) if isinstance(option, Dict)]
    if not found:
        return None
    items = {key: join_all([one.items[key] for one in found if key in one.items]) for one in found for key in one.items}
    rests = [one.rest for one in found if one.rest is not None]
    return Dict(items, join_all(rests) if rests else None)


def join(a: Value, b: Value, where: Any = None) -> Value:
    """What both may be. `where` identifies the branch, so that values joined there are compared arm by arm."""
    if a is b:
        return a
    if isinstance(a, Const) and isinstance(b, Const) and type(a.value) is type(b.value) and a.value == b.value:
        return a
    if isinstance(a, Array) and isinstance(b, Array):
        return _join_arrays(a, b, where)
    if isinstance(a, Ext) and isinstance(b, Ext) and a.path == b.path:
        return a
    if isinstance(a, Array) and isinstance(b, Const) and _plain(a):
        return a
    if isinstance(b, Array) and isinstance(a, Const) and _plain(b):
        return b
    if isinstance(a, Choice) and isinstance(b, Const) and (len(a.options) >= MAX_CHOICES or b in a.options):
        return a
    found: list[Value] = list(options(a))
    array = next((i for i, other in enumerate(found) if isinstance(other, Array)), -1)
    for option in options(b):
        if isinstance(option, Const):
            if option not in found:
                found.append(option)
        elif isinstance(option, Array) and array >= 0:
            found[array] = _join_arrays(found[array], option, where)  # type: ignore[arg-type]
        elif not any(option is other for other in found):
            if isinstance(option, Array):
                array = len(found)
            found.append(option)
    if len(found) == 1:
        return found[0]
    if len(found) > MAX_CHOICES:
        arrays = [value for value in found if isinstance(value, Array)]
        return arrays[0] if arrays and all(isinstance(v, (Array, Const)) for v in found) else Choice(tuple(found[:MAX_CHOICES]))
    return Choice(tuple(found))


def _plain(array: Array) -> bool:
    return array.kind in ("unknown", "config", "scalar")


# Kinds of facts that are learned of each column by itself.
_COLUMN_BY_COLUMN = frozenset({"statistic", "scale", "impute", "discretise"})


SELECTED = "selector-unsupervised"


def turn(array: Array) -> Array:
    """The data with rows and columns in each other's place."""
    if not array.learned and not array.across:
        return array.but(turned=not array.turned)
    rows = array.rows
    for taken in array.across:
        if isinstance(taken, Narrowed) and rows.known:
            rows = rows.some(taken)
    turned = frozenset(fact for fact in array.learned if fact.kind in _COLUMN_BY_COLUMN)
    read = frozenset(fact for fact in array.across if isinstance(fact, Learned))
    chosen = frozenset(fact for fact in read if fact.kind == SELECTED)  # the operation that turns knows which way they stand
    return array.but(
        rows=rows, learned=(array.learned - turned) | (read - chosen), across=turned | chosen, turned=not array.turned
    )


def _join_arrays(a: Array, b: Array, where: Any) -> Array:
    if a.kind == "empty" or b.kind == "empty":  # no rows add nothing
        return b if a.kind == "empty" else a
    if a.turned is not b.turned:
        b = turn(b)
    if a.rows == b.rows:
        rows = a.rows
    elif where is not None:
        rows = either(where, (a.rows, b.rows))
    else:
        rows = union([a.rows, b.rows])
    return UNKNOWN.but(
        kind=a.kind if a.kind == b.kind else _more_specific(a.kind, b.kind),
        rows=rows,
        name=a.name if a.name == b.name else "",
        learned=a.learned | b.learned,
        across=a.across | b.across,
        turned=a.turned,
        prediction=_either_prediction(a.prediction, b.prediction),
        scores=a.scores | b.scores,
        ordered=a.ordered if a.ordered == b.ordered else "",
        order=a.order if a.order == b.order else None,
        base=a.base if a.base == b.base else UNKNOWN_ROWS,
        mask=a.mask if a.mask == b.mask else None,
        linear=a.linear if a.linear == b.linear else None,
        activation=a.activation if a.activation == b.activation else "",
        activated_at=a.activated_at or b.activated_at,
        column=a.column if a.column == b.column else "",
        group=a.group or b.group,
        loader=a.loader if a.loader is b.loader else None,
        owner=_common_owner(a, b),
        stat=a.stat if a.stat == b.stat else None,
        noise=a.noise or b.noise,
        unordered=a.unordered if a.unordered == b.unordered else None,
        sign=a.sign if not b.scores else b.sign if not a.scores else a.sign if a.sign == b.sign else 0,
        shown=a.shown if a.shown == b.shown or not b.scores else b.shown if not a.scores else frozenset(),
        loop=a.loop if a.loop is b.loop else None,
        visit=a.visit if a.visit == b.visit else 0,
        chosen=a.chosen | b.chosen,
        members=a.members if a.members == b.members else (),
        drawn=a.drawn if a.drawn == b.drawn else UNKNOWN_ROWS,
    )


def _either_prediction(a: Prediction | None, b: Prediction | None) -> Prediction | None:
    """The first of two predictions; labels and scores in one place are of no known form."""
    if a is None or b is None or a.output == b.output:
        return a or b
    return replace(a, output="unknown")


def _common_owner(a: Array, b: Array) -> Any:
    """The owner of both; parameters and weights of two networks belong to both, and what has grown in some rounds has grown."""
    if "grown" in (a.owner, b.owner):
        return "grown"
    if a.owner is b.owner:
        return a.owner
    if a.kind != b.kind or a.kind not in ("parameters", "weights"):
        return None
    owners = tuple(dict.fromkeys((*(a.owner or ()), *(b.owner or ()))))
    return owners if all(isinstance(owner, Obj) for owner in owners) else None


def _more_specific(a: str, b: str) -> str:
    if "empty" in (a, b):
        return b if a == "empty" else a
    return b if a in ("unknown", "config", "scalar") else a if b in ("unknown", "config", "scalar") else "unknown"


def join_all(values: Iterable[Value], where: Any = None) -> Value:
    """The join of several values; unknown when there are none."""
    result: Value | None = None
    for value in values:
        result = value if result is None else join(result, value, where)
    return UNKNOWN if result is None else result


# -- names as weak evidence -------------------------------------------------------------------------------------------

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_ROLES = {
    "test": "test",
    "tst": "test",
    "te": "test",
    "tes": "test",
    "testing": "test",
    "holdout": "test",
    "heldout": "test",
    "ytest": "test",
    "xtest": "test",
    "testx": "test",
    "testy": "test",
    "testset": "test",
    "testloader": "test",
    "testdata": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "vali": "validation",
    "vld": "validation",
    "xval": "validation",
    "yval": "validation",
    "valloader": "validation",
    "valset": "validation",
    "validset": "validation",
    "validloader": "validation",
    "train": "train",
    "trn": "train",
    "tr": "train",
    "training": "train",
    "xtrain": "train",
    "ytrain": "train",
    "trainx": "train",
    "trainy": "train",
    "trainset": "train",
    "trainloader": "train",
    "traindata": "train",
    "trainval": "train",
}


_DECLARED: dict[str, str] = {}


@contextmanager
def declared_roles(roles: Mapping[str, str]) -> Iterator[None]:
    """While it is entered, these names mean what the configuration says (`full`: no part of the rows)."""
    before = dict(_DECLARED)
    _declare(roles)
    try:
        yield
    finally:
        _declare(before)


def _declare(roles: Mapping[str, str]) -> None:
    if roles != _DECLARED:
        _DECLARED.clear()
        _DECLARED.update(roles)
        role_of_name.cache_clear()


@lru_cache(maxsize=16_384)
def role_of_name(name: str) -> str:
    """train, validation or test, if the identifier or file name says so by itself; empty if it says none or several.

    >>> role_of_name("X_test"), role_of_name("valLoader"), role_of_name("train_test"), role_of_name("estimate")
    ('test', 'validation', '', '')
    """
    if not name:
        return ""
    if name in _DECLARED:
        return _DECLARED[name] if _DECLARED[name] != "full" else ""
    found = {_ROLES[word.lower()] for word in _WORDS.findall(name) if word.lower() in _ROLES}
    return found.pop() if len(found) == 1 else ""


def truth(value: Value) -> bool | None:
    """Whether a value is true, if that is known."""
    if isinstance(value, Const):
        try:
            return bool(value.value)
        except Exception:  # numpy-like constants do not occur; be safe with odd literals
            return None
    if isinstance(value, (Func, Klass, Ext, Mod)):
        return True
    return None


def is_hashable(value: Any) -> bool:
    """Whether a value may be a key."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
