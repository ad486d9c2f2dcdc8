"""Which rows: symbolic and exact row sets, and the three questions that rules ask of them.

A row set says which samples of which data set a value holds. The static interpreter knows them as *symbols*
(`part 1 of the split at train.py:12 of the table read at train.py:3`), a real run knows each by its *number* in a data set.
Both answer the same three questions, `overlap`, `disjoint` and `subset`, with yes, no or unknown, and unknown never proves
anything: `Answer` is true in a condition only when it is a proven yes. Symbolic sets are taken to hold at least one row.

A symbolic set is a path of steps from its source:

>>> table = source("read_csv", "patients.csv")
>>> train, test = table.part("split", 0, 2), table.part("split", 1, 2)
>>> table.overlap(train), train.overlap(test), train.subset(table)
(<Answer.YES: 'yes'>, <Answer.NO: 'no'>, <Answer.YES: 'yes'>)
>>> union([train, test]) == table
True
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cached_property, lru_cache
from weakref import WeakValueDictionary


class Answer(Enum):
    """Answer of a row-set question; only a proven yes is true."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        return self is Answer.YES


YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


@dataclass(frozen=True, slots=True)
class Bound:
    """A slice boundary: constant + sum of coefficient * symbol, symbols being sizes (never negative)."""

    constant: float = 0.0
    terms: tuple[tuple[str, float], ...] = ()

    def at_most(self, other: Bound) -> bool:
        """Whether this boundary is provably not after the other; opposite ends of a table are not compared."""
        if self.from_end != other.from_end:
            return False
        mine, theirs = dict(self.terms), dict(other.terms)
        return self.constant <= other.constant and all(
            mine.get(symbol, 0.0) <= theirs.get(symbol, 0.0) for symbol in mine.keys() | theirs.keys()
        )

    @property
    def from_end(self) -> bool:
        """Whether it counts back from the end of the table (`[:-20]`)."""
        return self.constant < 0 and not self.terms

    @property
    def whole(self) -> bool:
        """Whether it is the size of something, so that nothing lies behind it."""
        return self.constant == 0 and len(self.terms) == 1 and self.terms[0][1] == 1.0 and self.terms[0][0].startswith("len(")


@dataclass(frozen=True, slots=True)
class Source:
    """All rows of one load event (a file, an array handed in as a parameter, a generated table)."""

    key: Hashable
    label: str = field(default="", compare=False)
    size: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Part:
    """The k-th part of one split; parts of one split are disjoint and together are the parent.

    `fold` marks a cross-validation iteration: the parts are disjoint within the iteration only.
    """

    split: Hashable
    index: int
    count: int
    random: bool = field(default=False, compare=False)
    fold: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Slice:
    """Contiguous rows from `lo` (included) to `hi` (excluded) in some order of the rows; None is the end of the table."""

    lo: Bound | None
    hi: Bound | None
    order: Hashable = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows for which a predicate holds (`positive`) or does not; the two are complementary."""

    key: Hashable
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Equals:
    """Key of a selection by `column == constant`; two constants of one column select disjoint rows."""

    column: Hashable
    constant: Hashable


@dataclass(frozen=True, slots=True)
class EqualsValue:
    """Key of a selection by `column == value` of a value that is not known; two such values may well be equal."""

    column: Hashable
    value: Hashable


@dataclass(frozen=True, slots=True)
class Outside:
    """Key of a selection of the rows that are not in `rows` (`df.drop(train.index)`, `setdiff1d`)."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class Before:
    """Key of a selection of the rows before a boundary in tables that were joined below each other."""

    joined: frozenset[Rows]
    bound: Bound
    order: Hashable


@dataclass(frozen=True, slots=True)
class Subset:
    """Some rows, which ones is not known (dropna, query, sample). `random`: an independent random draw."""

    key: Hashable
    random: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Derived:
    """New rows made from the parent's; `how` is one of copy, synthetic, augment, bootstrap, window, aggregate.

    arms: the branches that they are made in, each with the number of its arm.
    """

    key: Hashable
    how: str
    arms: tuple[tuple[Hashable, int], ...] = field(default=(), compare=False)


Step = Source | Part | Slice | Selection | Subset | Derived


class Rows:
    """A set of rows. Use `source`, `union`, `exact` and the methods; never build a step path by hand."""

    __slots__ = ()

    def part(self, split: Hashable, index: int, count: int, *, random: bool = False, fold: bool = False) -> Rows:
        """The k-th part of a split of these rows."""
        return self._step(Part(split, index, count, random, fold))

    def slice(self, lo: Bound | None, hi: Bound | None, order: Hashable = None) -> Rows:
        """Contiguous rows; the whole table when both bounds are absent. `order` identifies a random order (None: as stored)."""
        return self if lo is None and hi is None else self._step(Slice(lo, hi, order))

    def select(self, key: Hashable, positive: bool = True) -> Rows:
        """Rows for which a predicate holds, or (`positive=False`) does not."""
        return self._step(Selection(key, positive))

    def some(self, key: Hashable, *, random: bool = False) -> Rows:
        """An unknown subset of these rows."""
        return self._step(Subset(key, random))

    def without(self, rows: Rows) -> Rows:
        """The rows of this table that are not in `rows`: the other part of a two-part split, else a complement."""
        last = rows.steps()[-1] if rows.steps() else None
        if isinstance(last, Part) and last.count == 2 and rows == self._step(last):
            return self.part(last.split, 1 - last.index, 2, random=last.random, fold=last.fold)
        if isinstance(last, Selection) and rows == self._step(last):
            return self.select(last.key, not last.positive)
        return self.select(Outside(rows))

    def moved(self, base: Rows, onto: Rows) -> Rows:
        """The same steps taken from another table: rows chosen by an index of `base`, applied to `onto`."""
        mine, start = self.steps(), base.steps()
        if self == onto or (onto.steps() and mine[: len(onto.steps())] == onto.steps()):
            return self
        if not mine or mine[: len(start)] != start:
            return UNKNOWN_ROWS
        moved = onto
        for step in mine[len(start) :]:
            if isinstance(step, Selection) and isinstance(step.key, Outside):
                left_out = step.key.rows
                within = left_out.steps()[: len(start)] == start
                step = Selection(Outside(left_out.moved(base, onto)), step.positive) if within else Subset((start, step))
            moved = moved._step(step)
        return moved

    def derived(self, key: Hashable, how: str, arms: tuple[tuple[Hashable, int], ...] = ()) -> Rows:
        """New rows made from these (copies, synthetic neighbours, augmented variants, windows) in these arms of branches."""
        return self._step(Derived(key, how, arms))

    def after(self, step: Step) -> Rows:
        """These rows after a step that another row set took."""
        return self._step(step)

    def _step(self, step: Step) -> Rows:
        raise NotImplementedError

    def overlap(self, other: Rows) -> Answer:
        """Whether some row is in both."""
        raise NotImplementedError

    def subset(self, other: Rows) -> Answer:
        """Whether every row of this set is in the other."""
        raise NotImplementedError

    def disjoint(self, other: Rows) -> Answer:
        """Whether no row is in both."""
        answer = self.overlap(other)
        return NO if answer is YES else YES if answer is NO else UNKNOWN

    def shares_origin(self, other: Rows, hows: Iterable[str] = ("copy", "synthetic", "augment", "bootstrap", "window")) -> Answer:
        """Whether rows of both were made from the same original rows (copies on both sides of a split)."""
        return UNKNOWN

    def drawn_independently(self, other: Rows) -> bool:
        """Whether the two are independent random draws from one table, so that they share rows almost surely.

        Not a proof that `overlap` could use: draws in two branches of an `if` never meet in one run.
        """
        return False

    def same_table(self, other: Rows) -> bool:
        """Whether both were taken from one load event."""
        return self.steps()[:1] == other.steps()[:1] != ()

    def shared(self, other: Rows) -> int | None:
        """Number of rows in both, as a run counted them; None where rows are symbols."""
        return None

    @property
    def known(self) -> bool:
        """Whether anything is known about these rows."""
        return True

    @property
    def size(self) -> int | None:
        """Number of rows where it is statically known."""
        return None

    @property
    def label(self) -> str:
        """What the source calls the data, for messages."""
        return ""

    def steps(self) -> tuple[Step, ...]:
        """Steps from the source to this set; empty for unions, tokens and the unknown set."""
        return ()


class _Nothing(Rows):
    """Rows of which nothing is known."""

    __slots__ = ()

    def _step(self, step: Step) -> Rows:
        return self

    def overlap(self, other: Rows) -> Answer:
        return UNKNOWN

    def subset(self, other: Rows) -> Answer:
        return UNKNOWN

    @property
    def known(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "?"


UNKNOWN_ROWS: Rows = _Nothing()


@dataclass(frozen=True, eq=False)
class _Path(Rows):
    parent: _Path | None
    step: Step
    _hash: int

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, _Path) or self._hash != other._hash:
            return False
        return self.step == other.step and self.parent == other.parent  # the parent is often the same object

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _below(self) -> dict[Step, _Path]:
        """Rows that were taken from these, by the step that leads to them."""
        return {}

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        found: list[Step] = []
        node: _Path | None = self
        while node is not None:
            found.append(node.step)
            node = node.parent
        return tuple(reversed(found))

    def steps(self) -> tuple[Step, ...]:
        return self._steps

    def _step(self, step: Step) -> Rows:
        if len(self._steps) >= 24:  # a loop that narrows for ever: stop growing, stay sound
            return UNKNOWN_ROWS
        known = self._below.get(step)
        if known is not None and _alike(known.step, step):
            return known  # one object for equal rows: they are compared all the time
        made = _Path(self, step, hash((self._hash, step)))
        if known is None:
            self._below[step] = made
        return made

    def overlap(self, other: Rows) -> Answer:
        if not isinstance(other, _Path):
            return other.overlap(self) if isinstance(other, (_Union, _Either)) else UNKNOWN
        return _overlap(self, other)

    def subset(self, other: Rows) -> Answer:
        if isinstance(other, _Union):
            answers = [self.subset(part) for part in other.parts]
            return YES if YES in answers else NO if all(a is NO for a in answers) else UNKNOWN
        if isinstance(other, _Either):
            return _unanimous(self.subset(option) for option in other.options)
        if not isinstance(other, _Path):
            return UNKNOWN
        mine, theirs = self._steps, other._steps
        if mine[0] != theirs[0]:
            return NO
        shared = _shared(mine, theirs)
        if shared == len(theirs):
            return YES if not any(isinstance(s, Derived) for s in mine[shared:]) else UNKNOWN
        if self.overlap(other) is NO:
            return NO
        return UNKNOWN

    def shares_origin(self, other: Rows, hows: Iterable[str] = ("copy", "synthetic", "augment", "bootstrap", "window")) -> Answer:
        if isinstance(other, _Union):
            return other.shares_origin(self, hows)
        if not isinstance(other, _Path):
            return UNKNOWN
        wanted = tuple(hows)
        shared = _shared(self._steps, other._steps)
        if shared == 0:
            return NO
        made = [s for s in self._steps[:shared] if isinstance(s, Derived) and s.how in wanted]
        return YES if made else UNKNOWN

    def drawn_independently(self, other: Rows) -> bool:
        if not isinstance(other, _Path):
            return False
        shared = _shared(self._steps, other._steps)
        if shared == 0 or shared in (len(self._steps), len(other._steps)):
            return False
        a, b = self._steps[shared], other._steps[shared]
        if isinstance(a, Part) and isinstance(b, Part):
            return a.split != b.split and a.random and b.random and not (a.fold or b.fold)
        return isinstance(a, Subset) and isinstance(b, Subset) and a.random and b.random

    @property
    def size(self) -> int | None:
        return self.step.size if isinstance(self.step, Source) else None

    @property
    def label(self) -> str:
        root = self._steps[0]
        return root.label if isinstance(root, Source) else ""

    def __repr__(self) -> str:
        return ">".join(_show(s) for s in self._steps)


@dataclass(frozen=True)
class _Union(Rows):
    parts: frozenset[Rows]

    @cached_property
    def _hash(self) -> int:
        return hash(self.parts)

    def __hash__(self) -> int:
        return self._hash

    def _step(self, step: Step) -> Rows:
        if isinstance(step, Slice):  # positions count over all parts, not within each
            cut: Rows = self if step.hi is None else self.select(Before(self.parts, step.hi, step.order))
            return cut if step.lo is None else cut.select(Before(self.parts, step.lo, step.order), positive=False)
        return union(part._step(step) for part in self.parts)

    def overlap(self, other: Rows) -> Answer:
        if isinstance(other, _Either):
            return other.overlap(self)  # arm by arm
        if isinstance(other, _Union) and _on_two_sides(self.parts, other.parts):
            return NO
        found = NO
        for part in self.parts:
            answer = part.overlap(other)
            if answer is YES:
                return YES
            if answer is UNKNOWN:
                found = UNKNOWN
        return found

    def subset(self, other: Rows) -> Answer:
        if isinstance(other, _Either):
            return _unanimous(self.subset(option) for option in other.options)
        answers = {part.subset(other) for part in self.parts}
        return YES if answers == {YES} else NO if NO in answers else UNKNOWN

    def shares_origin(self, other: Rows, hows: Iterable[str] = ("copy", "synthetic", "augment", "bootstrap", "window")) -> Answer:
        wanted = tuple(hows)
        answers = {part.shares_origin(other, wanted) for part in self.parts}
        return YES if YES in answers else UNKNOWN if UNKNOWN in answers else NO

    def moved(self, base: Rows, onto: Rows) -> Rows:
        if self in (base, onto):
            return onto
        paths = [part.steps() for part in self.parts]
        starts = [part.steps() for part in base.parts] if isinstance(base, _Union) else []
        taken = [path[len(start) :] for start in starts for path in paths if path[: len(start)] == start]
        one = taken[0] if len(taken) == len(paths) == len(starts) and len(set(taken)) == 1 else ()
        if not one or any(isinstance(step, Selection) and isinstance(step.key, Outside) for step in one):
            return UNKNOWN_ROWS
        for step in one:
            onto = onto.after(step)
        return onto

    @property
    def label(self) -> str:
        return " + ".join(sorted({p.label for p in self.parts if p.label}))

    def __repr__(self) -> str:
        return "(" + " | ".join(sorted(map(repr, self.parts))) + ")"


@dataclass(frozen=True)
class _Either(Rows):
    """One of several sets, decided by the arm that a branch takes; an answer must hold in every arm."""

    branch: Hashable
    options: tuple[Rows, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.branch, self.options))

    def __hash__(self) -> int:
        return self._hash

    def _step(self, step: Step) -> Rows:
        return either(self.branch, tuple(option._step(step) for option in self.options))

    def _pairs(self, other: Rows) -> list[tuple[Rows, Rows]]:
        if isinstance(other, _Either) and other.branch == self.branch and len(other.options) == len(self.options):
            return list(zip(self.options, other.options, strict=True))  # the same arm for both
        made = dict(arm for step in other.steps() if isinstance(step, Derived) for arm in step.arms)
        if self.branch in made and made[self.branch] < len(self.options):
            return [(self.options[made[self.branch]], other)]  # rows that exist in this arm only
        return [(option, other) for option in self.options]

    def overlap(self, other: Rows) -> Answer:
        return _unanimous(a.overlap(b) for a, b in self._pairs(other))

    def subset(self, other: Rows) -> Answer:
        return _unanimous(a.subset(b) for a, b in self._pairs(other))

    def moved(self, base: Rows, onto: Rows) -> Rows:
        return either(self.branch, tuple(option.moved(base, onto) for option in self.options))

    @property
    def label(self) -> str:
        return next((option.label for option in self.options if option.label), "")

    def __repr__(self) -> str:
        return "{" + " or ".join(map(repr, self.options)) + "}"


def _unanimous(answers: Iterable[Answer]) -> Answer:
    found: Answer | None = None
    for answer in answers:
        if answer is UNKNOWN or (found is not None and answer is not found):
            return UNKNOWN
        found = answer
    return UNKNOWN if found is None else found


@dataclass(frozen=True)
class _Exact(Rows):
    """Rows that a real run identified: one bit mask per data set.

    made_from: for data sets whose rows were synthesised, the rows that they were made from. loose: data sets of which the run
    saw only a computed form, so that they may hold the same samples as another data set.
    """

    masks: tuple[tuple[int, int], ...]
    name: str = field(default="", compare=False)
    made_from: tuple[tuple[int, Rows], ...] = field(default=(), compare=False)
    loose: frozenset[int] = field(default=frozenset(), compare=False)

    def _step(self, step: Step) -> Rows:
        return UNKNOWN_ROWS

    def shared(self, other: Rows) -> int | None:
        if not isinstance(other, _Exact):
            return None
        theirs = dict(other.masks)
        return sum((mask & theirs.get(source, 0)).bit_count() for source, mask in self.masks)

    def overlap(self, other: Rows) -> Answer:
        count = self.shared(other)
        if count is None or not isinstance(other, _Exact):
            return UNKNOWN
        if count:
            return YES
        mine, theirs = {source for source, _ in self.masks}, {source for source, _ in other.masks}
        return UNKNOWN if mine != theirs and (mine | theirs) & (self.loose | other.loose) else NO

    def subset(self, other: Rows) -> Answer:
        count = self.shared(other)
        if count is None or not isinstance(other, _Exact):
            return UNKNOWN
        if count == self.size:
            return YES
        return UNKNOWN if self.overlap(other) is UNKNOWN else NO

    def shares_origin(self, other: Rows, hows: Iterable[str] = ("copy", "synthetic", "augment", "bootstrap", "window")) -> Answer:
        if not isinstance(other, _Exact):
            return UNKNOWN
        return self._originals().overlap(other._originals())

    def _originals(self) -> Rows:
        """These rows without the synthetic ones, and the rows that those were made from."""
        made = dict(self.made_from)
        own = _Exact(tuple((s, m) for s, m in self.masks if s not in made), self.name, (), self.loose)
        return union([own, *(made[source] for source, _ in self.masks if source in made)])

    def same_table(self, other: Rows) -> bool:
        return isinstance(other, _Exact) and not {s for s, _ in self.masks}.isdisjoint(s for s, _ in other.masks)

    @property
    def size(self) -> int | None:
        return sum(mask.bit_count() for _, mask in self.masks)

    @property
    def label(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{self.size} rows of {self.name}" if self.name else f"{self.size} rows"


def source(key: Hashable, label: str = "", size: int | None = None) -> Rows:
    """All rows of one load event; `key` identifies the event, `label` is for messages."""
    step = Source(key, label, size)
    known = _sources.get(step)
    if known is not None and _alike(known.step, step):
        return known
    made = _Path(None, step, hash(step))
    if known is None:
        _sources[step] = made
    return made


_sources: WeakValueDictionary[Source, _Path] = WeakValueDictionary()


def _alike(one: Step, other: Step) -> bool:
    """Whether two equal steps agree in what is no part of their identity, too."""
    return all(getattr(one, name) == getattr(other, name) for name in _BESIDES.get(type(one), ()))


# Fields that are left out when steps are compared.
_BESIDES: dict[type, tuple[str, ...]] = {
    kind: tuple(one.name for one in fields(kind) if not one.compare) for kind in (Source, Part, Subset, Derived)
}


def exact(
    masks: Mapping[int, int], label: str = "", made_from: Mapping[int, Rows] | None = None, loose: Iterable[int] = ()
) -> Rows:
    """Rows known exactly from an observed run: a bit mask per data set; unknown when there is none.

    label: what the program calls the data; made_from: data sets of synthetic rows, and what they were made from; loose: data
    sets of which the run saw only a computed form.
    """
    kept = tuple(sorted((source, mask) for source, mask in masks.items() if mask))
    if not kept:
        return UNKNOWN_ROWS
    named = {source for source, _ in kept}
    made = tuple((source, rows) for source, rows in (made_from or {}).items() if source in named)
    return _Exact(kept, label, made, frozenset(loose) & frozenset(named))


def masks_of(rows: Rows) -> tuple[tuple[int, int], ...]:
    """(data set, bit mask) pairs of observed rows; empty for symbols."""
    return rows.masks if isinstance(rows, _Exact) else ()


def joined(rows: Rows) -> frozenset[Rows]:
    """The tables that were joined below each other to make these rows; empty if they are not a union."""
    return rows.parts if isinstance(rows, _Union) else frozenset()


def union(parts: Iterable[Rows]) -> Rows:
    """Rows in any of `parts`; all parts of one split reunite to the table that was split."""
    flat: set[Rows] = set()
    for rows in parts:
        if not rows.known:
            return UNKNOWN_ROWS
        flat |= rows.parts if isinstance(rows, _Union) else {rows}
    observed = [rows for rows in flat if isinstance(rows, _Exact)]
    if observed and len(observed) == len(flat):
        return _joined(observed)
    if len(flat) > 12:
        return UNKNOWN_ROWS
    changed = True
    while changed:
        changed = False
        for rows in list(flat):
            if isinstance(rows, _Path) and rows.parent is not None and _siblings(rows) <= flat:
                flat -= _siblings(rows)
                flat.add(rows.parent)
                changed = True
                break
    flat -= {a for a in flat for b in flat if a is not b and a != b and a.subset(b)}
    if not flat:
        return UNKNOWN_ROWS
    return flat.pop() if len(flat) == 1 else _Union(frozenset(flat))


def _joined(parts: Sequence[_Exact]) -> Rows:
    masks: dict[int, int] = {}
    for rows in parts:
        for number, mask in rows.masks:
            masks[number] = masks.get(number, 0) | mask
    made = {number: rows for part in parts for number, rows in part.made_from}
    label = " + ".join(dict.fromkeys(part.name for part in parts if part.name))
    return exact(masks, label, made, frozenset().union(*(part.loose for part in parts)))


def common(parts: Iterable[Rows]) -> Rows:
    """The smallest known table that all of `parts` were taken from; unknown when they come from different ones."""
    paths = [rows.steps() for rows in parts]
    if not paths or not all(paths):
        return UNKNOWN_ROWS
    shared = min(_shared(paths[0], path) for path in paths)
    first, *rest = paths[0][:shared] or (None,)
    if not isinstance(first, Source):
        return UNKNOWN_ROWS
    table: Rows = source(first.key, first.label, first.size)
    for step in rest:
        table = table._step(step)
    return table


def either(branch: Hashable, options: tuple[Rows, ...]) -> Rows:
    """Rows that depend on the arm taken at `branch`; sets joined at one branch are compared arm by arm."""
    if not all(option.known for option in options) or max(map(_nesting, options)) >= 3:
        return UNKNOWN_ROWS
    return options[0] if all(option == options[0] for option in options) else _Either(branch, options)


def _nesting(rows: Rows) -> int:
    return 1 + max(map(_nesting, rows.options)) if isinstance(rows, _Either) else 0


def _siblings(rows: _Path) -> set[Rows]:
    """The sets that together with `rows` are its parent; impossible to satisfy when they are not known."""
    step, parent = rows.step, rows.parent
    if parent is not None and isinstance(step, Part):
        return {parent.part(step.split, k, step.count, random=step.random, fold=step.fold) for k in range(step.count)}
    if parent is not None and isinstance(step, Selection):
        return {parent.select(step.key, True), parent.select(step.key, False)}
    if parent is not None and isinstance(step, Slice) and (step.lo is None) != (step.hi is None):
        bound = step.lo or step.hi
        return {parent.slice(None, bound, step.order), parent.slice(bound, None, step.order)}
    return {UNKNOWN_ROWS}


def _shared(mine: tuple[Step, ...], theirs: tuple[Step, ...]) -> int:
    count = 0
    for a, b in zip(mine, theirs, strict=False):
        if a != b:
            break
        count += 1
    return count


def _diverge(a: Step, b: Step) -> Answer:
    """Whether two different first steps from one parent lead to common rows."""
    if isinstance(a, Part) and isinstance(b, Part):
        return NO if a.split == b.split else UNKNOWN
    if isinstance(a, Selection) and isinstance(b, Selection):
        if a.key == b.key:
            return NO  # complementary, or they would be the same step
        if a.positive and b.positive and isinstance(a.key, Equals) and isinstance(b.key, Equals) and a.key.column == b.key.column:
            return NO  # one column equals two different constants
        return UNKNOWN
    if isinstance(a, Slice) and isinstance(b, Slice):
        return _slices(a, b)
    return UNKNOWN


@lru_cache(maxsize=65_536)  # an interpreter asks the same questions of the same tables over and over
def _overlap(a: _Path, b: _Path) -> Answer:
    mine, theirs = a.steps(), b.steps()
    if _outside(mine, b) or _outside(theirs, a):
        return NO
    shared = _shared(mine, theirs)
    if shared == 0:
        return NO  # two load events: assumed to be different samples; rules call this declared, not proven
    if shared == len(mine) or shared == len(theirs):
        return YES
    answer = _diverge(mine[shared], theirs[shared])
    narrowed = shared + 1 < max(len(mine), len(theirs))  # what follows may leave out the common rows
    return UNKNOWN if answer is YES and narrowed else answer


def _on_two_sides(one: Iterable[Rows], other: Iterable[Rows]) -> bool:
    """Whether one split put all of these on one side and all of those on another, whatever the tables that were joined before it
    have in common; of copies of rows nothing is said."""
    sides = []
    for parts in (one, other):
        paths = [part.steps() for part in parts]
        if any(isinstance(step, Derived) for path in paths for step in path):
            return False
        told = [{step.split: step.index for step in path if isinstance(step, Part)} for path in paths]
        sides.append({key: side for key, side in told[0].items() if all(each.get(key) == side for each in told)})
    return any(sides[1].get(key, side) != side for key, side in sides[0].items())


def _outside(steps: tuple[Step, ...], other: Rows) -> bool:
    """Whether these steps exclude the rows of `other` by name."""
    return any(
        isinstance(s, Selection) and isinstance(s.key, Outside) and s.positive and other.subset(s.key.rows) is YES for s in steps
    )


def _slices(a: Slice, b: Slice) -> Answer:
    if a.order != b.order:
        return UNKNOWN
    for first, second in ((a, b), (b, a)):
        if first.hi is not None and second.lo is not None and first.hi.at_most(second.lo):
            return NO
    literal = [bound for bound in (a.lo, a.hi, b.lo, b.hi) if bound is not None and bound.terms]
    negative = [bound for bound in (a.lo, a.hi, b.lo, b.hi) if bound is not None and bound.constant < 0]
    return UNKNOWN if literal or negative else YES


def _show(step: Step) -> str:
    match step:
        case Source():
            return step.label or str(step.key)
        case Part():
            return f"{'fold' if step.fold else 'part'} {step.index}/{step.count}"
        case Slice():
            return f"[{_bound(step.lo)}:{_bound(step.hi)}]"
        case Selection():
            return f"{'' if step.positive else 'not '}where"
        case Subset():
            return "some"
        case Derived():
            return step.how


def _bound(bound: Bound | None) -> str:
    if bound is None:
        return ""
    terms = [f"{c:g}*{s}" if c != 1 else s for s, c in bound.terms]
    if bound.constant or not terms:
        terms.append(f"{bound.constant:g}")
    return "+".join(terms)
