"""The static interpreter: runs a program on abstract values and writes down the events that it would cause.

One `Run` makes one trace. Statements are executed in order, as a person runs them: branches are joined, loops run twice (the
second pass meets the state that the first left behind), project functions and methods are inlined within bounds, project
imports are followed. What a library call means is not decided here but in `mllint_bio.predict.library`, from the catalog.

All mutable state of abstract objects changes through `Run.write`, which keeps a journal: an arm of a branch is executed on the
real objects, its changes are taken back, and the arms are joined.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from mllint_bio.events import Event, Learned, Loop, LoopKind, Report, Site, Step, Subject, Unresolved
from mllint_bio.predict import ir, library
from mllint_bio.predict.expressions import EXPRESSIONS
from mllint_bio.predict.frames import Call, Deferred, Flow, Frame, Lazy, Namespace, OutOfBudget, Super, Updated
from mllint_bio.predict.project import Module, Project
from mllint_bio.predict.statements import STATEMENTS, looked_at
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Choice,
    Const,
    Dict,
    Ext,
    Func,
    Heap,
    Klass,
    Mod,
    Obj,
    Partial,
    Seq,
    Value,
    as_mapping,
    is_hashable,
    join,
    join_all,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows, either, source

if TYPE_CHECKING:
    from mllint_bio.predict.library.passes import Pass

E = TypeVar("E", bound=Event)

# What a run remembers beside events and cells; an excursion puts it back.
_NOTES = (
    "repeated",
    "identifiers",
    "patience",
    "keras_models",
    "materialised",
    "orders",
    "ended",
    "saved",
    "shelved",
    "written",
    "statistics",
    "columns",
    "put_into",
    "samples",
    "doubled",
    "slices",
    "pairs",
    "grown",
    "indexed",
    "visits",
    "applied",
    "passes",
    "stepped",
    "_seen",
    "_counts",
    "_loops",
)
MAX_DEPTH = 14
MAX_CALLS_PER_FUNCTION = 48
MAX_STEPS = 600_000
MAX_MODULES = 80
_MISSING = object()


class Run:
    """One abstract run of one entry point. `events` is the trace so far."""

    def __init__(
        self, project: Project, depth: int = MAX_DEPTH, steps: int = MAX_STEPS, study: Mapping[str, object] | None = None
    ) -> None:
        self.project = project
        self.study = study or {}  # what the configuration says about the study
        self.depth, self.budget = depth, steps
        self.events: list[Event] = []
        self.told: set[type[Event]] = set()  # types of the events so far, and perhaps of some that were taken back
        self.frames: list[Frame] = []
        self.calls: tuple[Site, ...] = ()
        self.loops: tuple[Loop, ...] = ()
        self.branch: tuple[tuple[Site, int], ...] = ()
        self.round = 0  # how many arms of `branch` are outside the body of the innermost loop
        self.grad = True
        self.inside_forward = 0
        self.entered: set[tuple[str, int, int]] = set()
        self.exhausted = False
        self.imports: set[str] = set()
        self.visited: set[Path] = set()
        self.executed: dict[Path, dict[str, Value]] = {}
        self.main: Module | None = None
        self.repeated: dict[Any, str] = {}  # source of rows -> entity that has several of them
        self.of_entities: set[int] = set()  # Splits of what the rows are of, not of the rows
        self.identifiers: dict[Any, str] = {}  # source of rows -> column that was dropped from them and names what they are of
        self.patience: dict[str, int] = {}  # counter -> Select whose scores it counts
        self.keras_models: dict[int, tuple[Value, Obj]] = {}
        self.materialised: dict[Any, tuple[Value, Obj]] = {}
        self.orders: dict[
            Any, tuple[str, bool | None]
        ] = {}  # random order of rows -> stream that made it, and whether it had a seed
        self.looked_at: tuple[ir.Expr, ...] = ()  # calls whose result is shown and then forgotten (`df.sample(5)` in a cell)
        self.drawing_item = 0  # depth of `__getitem__` calls on behalf of a loader
        self.ended: dict[tuple[Site, int], tuple[int, tuple[Site, ...]]] = {}  # see `Trace.ended`
        self.saved: dict[str, Obj | Dict] = {}  # file -> model, or dictionary with a model, that the program wrote there
        self.shelved: dict[str, Rows] = {}  # file -> rows that the weights in it have learned from
        self.written: dict[str, Array] = {}  # file -> data that the program wrote there
        self.statistics: dict[Any, Subject] = {}  # place of a hand-written statistic -> what stands for it
        self.rankings: dict[Any, int] = {}  # (place, rows) of a statistic that columns were chosen by -> its Fit
        self.ranked: dict[Rows, frozenset[Learned]] = {}  # rows -> the ranking of their columns that was made last
        self.prepared: set[tuple[Obj, str]] = set()  # data modules and the stages that they were set up for
        self.masked: dict[Any, set[bool]] = {}  # (rows, key of a random mask) -> sides that were taken
        self.varied: dict[ir.Expr, bool] = {}  # target of a loop -> whether it varies candidates
        self.bodies: dict[Loop, ir.For | ir.While] = {}
        self.cutting: dict[ir.Node, str] = {}  # a loop -> whether it cuts pieces `around` places or `along` a recording
        self.selecting: list[Array] = []  # figures of columns that the arms of `if` which execution stands in depend on
        self.sifting = 0  # depth of conditions under which a comprehension collects things, and counts nothing
        # comparisons with the truth that the arms of `if` which execution stands in depend on
        self.counting: list[tuple[Array, ir.Expr]] = []
        self.sorting: list[
            ir.Expr
        ] = []  # tests of one class (`label == 1`) that the arms of `if` which execution stands in depend on
        self.cuts: list[tuple[Frame, bool, Array]] = []  # `if` on a predicted score: where, whether it has an `else`, the label
        self.put_into: dict[int, frozenset[str]] = {}  # Fit event -> the columns of a table that what it made was put into
        self.columns: dict[str, list[int]] = {}  # column -> Fit events of statistics of that column by group
        self.columns_written: dict[Any, int] = {}  # (source of rows, column) -> how often the program wrote it
        self.samples: dict[Rows, Any] = {}  # rows drawn by `sample` -> what a later `drop` of them needs to tell of the split
        self.slices: dict[Any, tuple[Rows, Site]] = {}  # (table, order, boundary) -> the first part cut there
        self.sliced: set[Any] = set()  # keys of `slices` whose second part was seen
        self.pairs: dict[Any, dict[str, tuple[str, str, Site]]] = {}  # see `choices.pairing`
        self.doubled: dict[Any, bool] = {}  # place where tables are joined -> whether the first join there doubles rows
        self.grown: dict[Loop, list[Seq]] = {}  # loop -> lists that grew inside it
        self.class_loops: set[Loop] = set()  # loops over classes: what grows in them lies class by class
        self.cutoff_loops: set[Loop] = set()  # loops whose variable cuts predictions into labels
        self.undecided = 0  # calls in progress of one of several functions, of which a run takes one
        self.stepped: dict[Loop, tuple[bool, bool]] = {}  # loop with optimizer steps -> (in an inner loop, over a loader)
        self.drawn = 0  # number of arrays that were drawn
        self.indexed: dict[int, tuple[Value, Any]] = {}  # see `first_use`; holds the values, so that no id comes twice
        self.unrolled: tuple[Loop, ...] = ()  # the loops around that are executed member by member
        self.rounds: tuple[int, ...] = ()  # which member of each it is
        self.visits: dict[Any, int] = {}  # (loader, place of the pass) -> number of the pass
        self.backward: Array = UNKNOWN  # the loss of the last backward pass
        self.applied: dict[Subject, Obj] = {}  # networks known only from their use
        self.passes: dict[Any, Pass] = {}  # network, its mode and the form of its arguments -> the pass that was followed
        self._journal: list[dict[tuple[Heap, str], Any]] = []
        self._seen: dict[Any, int] = {}
        self._stack: list[Func] = []
        self._counts: dict[int, int] = {}
        self._steps = 0
        self._pass = 0
        self._loops: dict[Any, Loop] = {}
        self._scored_tests: list[tuple[Value, ir.Expr]] = []

    # -- events --------------------------------------------------------------------------------------------------

    def site(self, node: ir.Node) -> Site:
        """Place of a node in the module that is executing."""
        module = self.frames[-1].module
        known = module.sites.get(node)
        if known is None:
            known = module.sites[node] = Site(module.unit.path, node.st, node.id)
        return known

    def emit(self, event: type[E], node: ir.Node | Site, /, **fields: Any) -> int:
        """Append an event and return its id; the same event of a further pass of a loop is not repeated."""
        at = node if isinstance(node, Site) else self.site(node)
        key = (event, at, self.calls, self.branch, tuple(fields.items()))
        if self.loops or self.calls:
            known = self._seen.get(key)
            if known is not None:
                return known
        number = len(self.events)
        self.told.add(event)
        self.events.append(event(id=number, at=at, calls=self.calls, loops=self.loops, branch=self.branch, **fields))
        self._seen[key] = number
        if event is Step:
            for depth, loop in enumerate(self.loops):
                inner, over_loader = self.stepped.get(loop, (False, False))
                data = fields.get("data")
                self.stepped[loop] = (
                    inner or depth + 1 < len(self.loops),
                    over_loader or getattr(data, "loader", None) is not None,
                )
        return number

    def loop(self, node: ir.Node, kind: LoopKind, variable: str = "") -> Loop:
        """The loop at this node: the same object in every pass of the loops around it."""
        key = (self.site(node), self.calls, self.loops, variable)
        return self._loops.setdefault(key, Loop(self.site(node), kind, variable))

    def visit(self, loader: Subject | None, node: ir.Node) -> int:
        """Number of the pass over a loader that is made here; 0 without a loader."""
        return self.visits.setdefault((loader, self.site(node), self.calls), len(self.visits) + 1) if loader is not None else 0

    def first_use(self, value: Value, node: ir.Node) -> Any:
        """What tells an index of unknown content from others: the place where this very value first chose rows."""
        place = (self.site(node), self.calls, self.rounds) if self.rounds else (self.site(node), self.calls)
        return self.indexed.setdefault(id(value), (value, place))[1]

    def amend(self, number: int, **fields: Any) -> None:
        """Complete an event with facts that were learnt later."""
        self.events[number] = replace(self.events[number], **fields)

    # -- state ---------------------------------------------------------------------------------------------------

    def write(self, heap: Heap, key: str, value: Any) -> None:
        """Change a cell, remembering the old content for the branch being executed."""
        if self._journal:
            self._journal[-1].setdefault((heap, key), heap.cells.get(key, _MISSING))
        heap.cells[key] = value

    def _restore(self, log: dict[tuple[Heap, str], Any]) -> None:
        for (heap, key), old in log.items():
            if old is _MISSING:
                heap.cells.pop(key, None)
            else:
                heap.cells[key] = old

    def branches(self, where: ir.Node, arms: Sequence[Callable[[], Flow]]) -> Flow:
        """Execute each arm from the same state and join what they leave behind."""
        frame, site = self.frames[-1], self.site(where)
        base, outer = frame.env, self.branch
        results: list[tuple[dict[str, Value], dict[tuple[Heap, str], Any], Flow]] = []
        for number, arm in enumerate(arms):
            frame.env = dict(base) if frame.env is not frame.top else frame.env
            undo_top = dict(base) if frame.env is frame.top else None
            self.branch = (*outer, (site, number))
            self._journal.append({})
            count = len(self.events)
            try:
                flow = arm()
            finally:
                log = self._journal.pop()
                self.branch = outer
            if flow in (Flow.RETURN, Flow.RAISE, Flow.BREAK) and len(self.events) > count:
                after = len(self.events) if not self.loops else 0
                self.ended[site, number] = (after, self.calls if flow is Flow.RETURN else ())
            changed = {cell: cell[0].cells.get(cell[1], _MISSING) for cell in log}
            self._restore(log)
            if undo_top is not None:  # module scope: functions hold on to this very dict
                results.append((dict(frame.env), changed, flow))
                frame.env.clear()
                frame.env.update(undo_top)
            else:
                results.append((frame.env, changed, flow))
        survivors = [env for env, _, flow in results if flow is Flow.NEXT]
        merged = self.merge_envs(base if frame.env is not frame.top else dict(frame.env), survivors, site)
        if frame.top is base:
            frame.env = base
            frame.env.clear()
            frame.env.update(merged)
        else:
            frame.env = merged
        self._merge_cells([changed for _, changed, flow in results if flow is not Flow.RAISE], site)
        if survivors:
            return Flow.NEXT
        flows = [flow for _, _, flow in results]
        return next((f for f in (Flow.RETURN, Flow.CONTINUE, Flow.BREAK) if f in flows), Flow.RAISE)

    @staticmethod
    def merge_envs(base: dict[str, Value], envs: list[dict[str, Value]], where: Any) -> dict[str, Value]:
        if not envs:
            return dict(base)
        first, rest = envs[0], envs[1:]
        merged = dict(first)
        for env in rest:
            for name, value in env.items():
                known = merged.get(name)
                if known is None:
                    merged[name] = value
                elif known is not value:
                    merged[name] = join(known, value, where)
        return merged

    def _merge_cells(self, changes: list[dict[tuple[Heap, str], Any]], where: Any) -> None:
        cells = dict.fromkeys(cell for change in changes for cell in change)
        for heap, key in cells:
            before = heap.cells.get(key, _MISSING)
            after = [change.get((heap, key), before) for change in changes]
            known = [value for value in after if value is not _MISSING]
            if known:
                sorted_here = key == "rest" and any(where in change.get((heap, "#sorted"), ()) for change in changes)
                self.write(heap, key, _join_cells(key, known, None if sorted_here else where))

    @contextmanager
    def excursion(self) -> Iterator[None]:
        """Execute something and take all of it back: events, cells and names are afterwards as they were before.

        Many functions of one module are interpreted from the state that its import left, without importing it for each.
        """
        count, executed = len(self.events), {path: dict(env) for path, env in self.executed.items()}
        notes = {name: dict(getattr(self, name)) for name in _NOTES}
        marks = set(self.sliced), set(self.class_loops), set(self.of_entities), self._steps, self.exhausted
        self._journal.append({})
        try:
            yield
        finally:
            self._restore(self._journal.pop())
            del self.events[count:]
            for name, content in notes.items():
                setattr(self, name, content)
            self.sliced, self.class_loops, self.of_entities, self._steps, self.exhausted = marks
            for path, env in list(self.executed.items()):
                if path in executed:
                    env.clear()
                    env.update(executed[path])

    # -- modules -------------------------------------------------------------------------------------------------

    def run_module(self, module: Module) -> dict[str, Value]:
        """Execute a module once; the names that it defines."""
        known = self.executed.get(module.path)
        if known is not None:
            return known
        env: dict[str, Value] = {
            "__name__": Const("__main__" if module is self.main else module.name),
            "__file__": Const(str(module.path)),
        }
        self.executed[module.path] = env
        if len(self.executed) > MAX_MODULES:
            return env
        self.visited.add(module.path)
        skeleton = module.skeleton
        self.imports |= {name.lstrip(".").split(".", 1)[0] for name in skeleton.imports if not name.startswith(".")}
        self.frames.append(Frame(module, env, env))
        calls, loops, branch, journal = self.calls, self.loops, self.branch, self._journal
        self._journal = []  # what a module does at import stays, whichever branch imported it
        try:
            for chunk in skeleton.chunks:
                if chunk.name:
                    env[chunk.name] = Deferred(module, chunk.number)
                else:
                    self.block(skeleton.lowered(chunk))
        finally:
            self.frames.pop()
            self.calls, self.loops, self.branch, self._journal = calls, loops, branch, journal
        return env

    def _define(self, deferred: Deferred) -> Value:
        """Execute the definition of a function or class when it is first needed."""
        module = deferred.module
        env = self.executed[module.path]
        chunk = module.skeleton.chunks[deferred.chunk]
        self.frames.append(Frame(module, env, env))
        journal, self._journal = self._journal, []
        try:
            previous = env.get(chunk.name)
            self.block(module.skeleton.lowered(chunk))
            value = env.get(chunk.name, UNKNOWN)
            if value is deferred:
                value = UNKNOWN
            if previous is not deferred and previous is not None:
                env[chunk.name] = previous
            return value
        finally:
            self.frames.pop()
            self._journal = journal

    def member(self, module: Module, name: str) -> Value:
        """A name of a project module; a submodule if there is one of that name; unknown otherwise."""
        env = self.run_module(module)
        if name in env:
            return self.force(env[name], env, name)
        if module.path.name == "__init__.py":
            found = self.project.resolve(name, 1, module)
            if found is not None:
                return Mod(self.project.module(found))
        return UNKNOWN

    def force(self, value: Value, env: dict[str, Value], name: str) -> Value:
        """Resolve a deferred definition or import, and remember the result."""
        for _ in range(8):
            if isinstance(value, Deferred):
                value = self._define(value)
            elif isinstance(value, Lazy):
                value = self.member(value.module, value.name)
            else:
                break
            env[name] = value
        return value

    # -- statements ----------------------------------------------------------------------------------------------

    def block(self, body: Sequence[ir.Stmt]) -> Flow:
        """Execute statements until one leaves the block."""
        for statement in body:
            self._steps += 1
            if self._steps > self.budget:
                raise OutOfBudget
            try:
                flow = STATEMENTS[type(statement)](self, statement)
            except RecursionError:
                if len(self.frames) > 1:
                    raise
                self.exhausted = True  # too deep for this statement of the module; the next ones may well be read
                continue
            if flow is not Flow.NEXT:
                return flow
        return Flow.NEXT

    def assign(self, target: ir.Expr, value: Value, node: ir.Node) -> None:
        """Bind a value to a target: name, attribute, subscript, or a tuple of these."""
        if isinstance(target, ir.Name):
            self.bind(target.name, named(value, target.name))
            if self.frames[-1].over:
                self.frames[-1].over.pop(target.name, None)
        elif isinstance(target, ir.Collection):
            self._unpack(target.items, value, node)
        elif isinstance(target, ir.Starred):
            self.assign(target.value, Seq("list", (), value), node)
        elif isinstance(target, ir.Attribute):
            receiver = self.eval(target.value)
            for one in options(receiver):
                if isinstance(one, (Obj, Klass)):
                    self.set_attribute(one, target.name, named(value, target.name))
                elif isinstance(one, Ext):
                    library.set_flag(self, f"{one.path}.{target.name}", value, node)
                elif isinstance(one, Mod):
                    self.run_module(one.module)[target.name] = value
                elif isinstance(one, Array):
                    self.update_receiver(target.value, library.with_content(self, one, target.name, value, node))
        elif isinstance(target, ir.Subscript):
            self._assign_item(target, value, node)

    def bind(self, name: str, value: Value) -> None:
        """Give a name in the current scope a value."""
        frame = self.frames[-1]
        if name in frame.shared:
            home = next((env for env in frame.outer if name in env), frame.top)
            home[name] = value
        else:
            frame.env[name] = value

    def set_attribute(self, receiver: Obj | Klass, name: str, value: Value) -> None:
        if isinstance(receiver, Klass):
            receiver.members[name] = value
            return
        if isinstance(value, Obj) and not value.subject.name:
            value.subject.name = name
        self.write(receiver, "." + name, value)
        library.attached(self, receiver, name, value)

    def update_receiver(self, target: ir.Expr, value: Value) -> None:
        """Bind the changed data value again to the name or attribute that holds it."""
        if isinstance(target, ir.Name):
            self.bind(target.name, value)
            if target.name in self.frames[-1].over:
                self._take_over(*self.frames[-1].over[target.name], value)
        elif isinstance(target, ir.Attribute):
            receiver = self.eval(target.value)
            if isinstance(receiver, Obj):
                self.write(receiver, "." + target.name, value)
            elif isinstance(receiver, Array) and target.name in library.INDEXERS:  # `table.loc[row] = ...`
                self.update_receiver(target.value, value)
        elif isinstance(target, ir.Subscript) and isinstance(target.value, (ir.Name, ir.Attribute)):
            container = self.eval(target.value)
            if isinstance(container, Dict) or (isinstance(container, Array) and not container.has_rows):
                self._assign_item(target, value, target)
            else:
                self._take_over(target.value, len(self.events), value)

    def _take_over(self, holder: ir.Expr, before: int, member: Value) -> None:
        """What is written into members of data (`for item in data: item["x"] = scaler.transform(item["x"])`) shapes the data,
        unless a loop over the members learns it from each of them for itself."""
        whole = self.eval(holder)
        if not isinstance(whole, Array) or not isinstance(member, Array) or not library.records(member).known:
            return
        if library.records(whole) == library.records(member):
            learned = whole.learned | {fact for fact in member.learned if fact.fit < before}
            if learned != whole.learned:
                self.update_receiver(holder, whole.but(learned=learned))

    def _assign_item(self, target: ir.Subscript, value: Value, node: ir.Node) -> None:
        container = self.eval(target.value)
        indices = [self.eval(i) for i in target.index]
        for one in options(container):
            if isinstance(one, Dict):
                if len(indices) == 1 and isinstance(indices[0], Const) and is_hashable(indices[0].value):
                    self.write(one, "items", {**one.items, indices[0].value: value})
                else:
                    self.write(one, "rest", value if one.rest is None else join(one.rest, value))
            elif isinstance(one, Seq):
                index = indices[0].value if len(indices) == 1 and isinstance(indices[0], Const) else None
                if isinstance(index, int) and one.exact and -len(one.items) <= index < len(one.items):
                    items = list(one.items)
                    items[index] = value
                    self.write(one, "items", tuple(items))
                else:
                    self.write(one, "rest", value if one.rest is None else join(one.rest, value))
            elif isinstance(one, Array) and one.kind == "config" and one.owner != "tuned" and _is_key(indices):
                self.update_receiver(target.value, Dict({indices[0].value: value}, one))  # a setting that the program makes
            elif isinstance(one, Array):
                self.update_receiver(target.value, library.with_content(self, one, indices, value, node))
            elif isinstance(one, Obj):
                self.write(one, ".[]", value)
            elif isinstance(one, Ext):
                key = indices[0].value if indices and isinstance(indices[0], Const) else ""
                library.set_flag(self, f"{one.path}.{key}", value, node)

    def _unpack(self, targets: list[ir.Expr], value: Value, node: ir.Node) -> None:
        starred = next((i for i, t in enumerate(targets) if isinstance(t, ir.Starred)), None)
        if isinstance(value, Choice):
            fitting = [o for o in value.options if isinstance(o, Seq) and o.exact and len(o.items) == len(targets)]
            if fitting and starred is None:
                one_of = self.site(node)  # all targets get theirs from the same one
                for position, target in enumerate(targets):
                    self.assign(target, join_all([o.items[position] for o in fitting], one_of), node)
                return
            value = join_all([o.element() if isinstance(o, (Seq, Dict)) else o for o in value.options])
        if isinstance(value, Seq) and value.exact:
            items = list(value.items)
            if starred is not None and len(items) >= len(targets) - 1:
                after = len(targets) - starred - 1
                middle = Seq("list", items[starred : len(items) - after])
                items = [*items[:starred], middle, *items[len(items) - after :]]
                targets = [t.value if isinstance(t, ir.Starred) else t for t in targets]
            if len(items) == len(targets):
                library.unpacked(self, value, targets, node)
                for target, item in zip(targets, items, strict=True):
                    self.assign(target, item, node)
                return
        names = [_first_name(target) for target in targets]
        for position, target in enumerate(targets):
            self.assign(target, library.piece(self, value, position, names, node), node)

    def labelled(self, value: Value, *, whole: bool) -> Value:
        """The label that a constant stands for in the arm of an `if` on a predicted score (`whole`: that has both arms)."""
        if not self.cuts or not isinstance(value, Const) or value.value is None:
            return value
        frame, both, label = self.cuts[-1]
        return label if frame is self.frames[-1] and (both or not whole) else value

    @property
    def improving(self) -> bool:
        """Whether execution stands in the arm of an `if` that compares scores."""
        return bool(self._scored_tests)

    # -- expressions ---------------------------------------------------------------------------------------------

    def eval(self, node: ir.Expr) -> Value:
        """The abstract value of an expression."""
        self._steps += 1
        return EXPRESSIONS[type(node)](self, node)

    def is_bound(self, name: str) -> bool:
        frame = self.frames[-1]
        return name in frame.env or name in frame.top or any(name in env for env in frame.outer)

    def lookup(self, name: str) -> Value:
        """What a name means here."""
        frame = self.frames[-1]
        for env in (frame.env, *frame.outer, frame.top):
            value = env.get(name)
            if value is not None:
                return self.force(value, env, name) if isinstance(value, (Lazy, Deferred)) else value
        return _builtin(name)

    def attribute(self, receiver: Value, name: str, node: ir.Node) -> Value:
        """Value of `receiver.name` where it is not called at once."""
        if isinstance(receiver, Array):  # the commonest first
            return library.array_attribute(self, receiver, name, node)
        if name == "__class__":
            return join_all([library.class_of(option) for option in options(receiver)])
        if isinstance(receiver, Choice):
            return join_all([self.attribute(option, name, node) for option in receiver.options])
        if isinstance(receiver, Ext):
            return library.external_attribute(self, receiver, name)
        if isinstance(receiver, Mod):
            return self.member(receiver.module, name)
        if isinstance(receiver, Namespace):
            return self.namespace(receiver, name)
        if isinstance(receiver, Obj):
            value = receiver.cells.get("." + name)
            if value is not None:
                return value  # type: ignore[no-any-return]
            if receiver.klass is not None:
                found = receiver.klass.lookup(name)
                if found is not None:
                    member = self.force(found[1], found[0].members, name)
                    if isinstance(member, Func):
                        if "property" in member.wrappers:
                            return self.inline(member, Call(_expr(node), [], {}), receiver)
                        return Bound_(receiver, name, member)
                    return member
            return library.object_attribute(self, receiver, name, node)
        if isinstance(receiver, Klass):
            if name == "__name__":
                return Const(receiver.name)
            found = receiver.lookup(name)
            if found is None and name == "__name__":
                return Const(receiver.name)
            return self.force(found[1], found[0].members, name) if found else UNKNOWN
        if isinstance(receiver, Dict) and receiver.cells.get("#bunch") and name in receiver.items:
            return receiver.items[name]
        if isinstance(receiver, Seq) and name in receiver.cells.get("#fields", ()):
            return receiver.cells["#fields"][name]  # type: ignore[no-any-return]
        if isinstance(receiver, (Seq, Dict, Const)):
            return Bound_(receiver, name)
        return UNKNOWN

    def namespace(self, receiver: Namespace, name: str) -> Value:
        """Attribute of a package without `__init__`."""
        dotted = f"{receiver.dotted}.{name}"
        found = self.project.resolve(dotted, 0, receiver.importer)
        return Mod(self.project.module(found)) if found else Namespace(receiver.importer, dotted)

    def arguments(self, node: ir.Call) -> Call:
        """Evaluate the arguments of a call."""
        call = Call(node, [], {})
        for keyword, expression in node.args:
            value = self.eval(expression)
            if keyword is None:
                call.args.append(value)
            elif keyword == "*":
                if isinstance(value, Seq) and value.exact:
                    call.args.extend(value.items)
                else:
                    call.open = True
                    call.unpacked = value if isinstance(value, Seq) else None
                    if not isinstance(value, Const):
                        call.args.append(library.iterated(self, value, expression))
            elif keyword == "**":
                given = as_mapping(value)
                if given is not None and given.rest is None and all(isinstance(k, str) for k in given.items):
                    call.kwargs.update(given.items)
                else:
                    call.open = True
                    call.spread.append(value)
            else:
                call.kwargs[keyword] = value
        return call

    def call(self, callee: Value, call: Call, name: str = "") -> Value:
        """The result of calling a value."""
        if isinstance(callee, Func):
            return self.inline(callee, call)
        if isinstance(callee, Ext):
            return library.call(self, callee.path, call)
        if isinstance(callee, Klass):
            return self.instantiate(callee, call)
        if isinstance(callee, Bound_):
            return (
                self.inline(callee.func, call, callee.receiver)
                if callee.func
                else self.call_method(callee.receiver, callee.name, call)
            )
        if isinstance(callee, Obj):
            return self.call_object(callee, call)
        if isinstance(callee, Partial):
            merged = Call(call.node, [*callee.args, *call.args], {**callee.kwargs, **call.kwargs}, call.open)
            return self.call(callee.func, merged, name)
        if isinstance(callee, Choice):
            able = [option for option in callee.options if not isinstance(option, Const)]
            self.undecided += len(able) > 1
            try:
                return join_all([self.call(option, call, name) for option in able])
            finally:
                self.undecided -= len(able) > 1
        return library.unknown_call(self, callee, name, call)

    def call_method(self, receiver: Value, name: str, call: Call, func: ir.Attribute | None = None) -> Value:
        """The result of `receiver.name(...)`."""
        if isinstance(receiver, Array):  # the commonest first
            return self._value_method(receiver, name, call, func)
        if isinstance(receiver, Choice):
            return self._method_of_one(receiver, name, call, func)
        if isinstance(receiver, (Ext, Mod, Namespace)):
            return self.call(self.attribute(receiver, name, call.node), call, name)
        if isinstance(receiver, Super):
            return self.super_call(name, call, call.node)
        if isinstance(receiver, Klass):
            member = self.attribute(receiver, name, call.node)
            if isinstance(member, Func) and "classmethod" in member.wrappers:
                return self.inline(member, call, receiver)
            if isinstance(member, Func) and call.args and isinstance(call.args[0], Obj) and "staticmethod" not in member.wrappers:
                return self.inline(member, Call(call.node, call.args[1:], call.kwargs, call.open), call.args[0])
            restored = library.from_checkpoint(self, receiver, name, call) if member is UNKNOWN else None
            return restored or self.call(member, call, name)
        if isinstance(receiver, Obj):
            own = receiver.cells.get("." + name)
            if own is not None:
                return self.call(own, call, name)
            if name == "forward" and receiver.is_a("module"):
                return self.call_object(receiver, call)
            if receiver.klass is not None:
                found = receiver.klass.lookup(name)
                if found is not None:
                    member = self.force(found[1], found[0].members, name)
                    if isinstance(member, Func):
                        if "staticmethod" in member.wrappers:
                            return self.inline(member, call)
                        if name == "step" and receiver.is_a("optimizer"):
                            return library.own_step(self, receiver, member, call)
                        return self.inline(member, call, receiver)
                    return self.call(member, call, name)
            return library.object_method(self, receiver, name, call)
        return self._value_method(receiver, name, call, func)

    def _method_of_one(self, receiver: Choice, name: str, call: Call, func: ir.Attribute | None) -> Value:
        """A method of one of several objects; what methods of the project do then excludes each other, like arms of a branch."""
        able = [option for option in receiver.options if not _is_none(option)]
        apart = sum(isinstance(option, Obj) and option.klass is not None for option in able) > 1
        outer, site = self.branch, self.site(call.node)
        results: list[Value] = []
        for number, option in enumerate(able):
            self.branch = (*outer, (site, number)) if apart else outer
            try:
                results.append(self.call_method(option, name, call, func))
            finally:
                self.branch = outer
        return join_all(results)

    def _value_method(self, receiver: Value, name: str, call: Call, func: ir.Attribute | None) -> Value:
        result = library.value_method(self, receiver, name, call)
        if isinstance(result, Updated):
            if func is not None:
                self.update_receiver(func.value, result.receiver)
                if isinstance(func.value, ir.Subscript) and isinstance(receiver, Array) and receiver.has_rows:
                    self._update_columns(func.value, receiver, result.receiver)
            return result.value
        return result

    def _update_columns(self, target: ir.Subscript, before: Array, after: Value) -> None:
        """The table knows what a method taught one of its columns in place: `table["age"].fillna(mean, inplace=True)`."""
        table = self.eval(target.value)
        if isinstance(table, Array) and table.rows == before.rows and isinstance(after, Array) and after.learned - before.learned:
            self.update_receiver(target.value, table.but(learned=table.learned | after.learned))

    def super_call(self, name: str, call: Call, node: ir.Node) -> Value:
        frame = self.frames[-1]
        klass, receiver = frame.klass, frame.receiver
        if klass is None or receiver is None:
            return UNKNOWN
        actual = receiver.klass if isinstance(receiver, Obj) and receiver.klass is not None else klass
        order = actual.mro()
        after = order[order.index(klass) + 1 :] if klass in order else klass.mro()[1:]
        for base in after:
            if name in base.members:
                member = self.force(base.members[name], base.members, name)
                return self.inline(member, call, receiver) if isinstance(member, Func) else UNKNOWN
        if isinstance(receiver, Obj) and name != "__init__":
            return library.object_method(self, receiver, name, call)
        if isinstance(receiver, Obj):
            library.base_init(self, receiver, call)
        return UNKNOWN

    def call_object(self, receiver: Obj, call: Call) -> Value:
        """The result of calling an object: forward of a module, `__call__` of others."""
        if receiver.klass is not None:
            is_module = receiver.is_a("module")
            for name in (
                ("forward", "call", "__call__") if is_module or receiver.is_a("estimator.deep", "layer") else ("__call__",)
            ):
                found = receiver.klass.lookup(name)
                if found is not None:
                    member = self.force(found[1], found[0].members, name)
                    if isinstance(member, Func):
                        if name != "__call__":
                            return library.forward(self, receiver, member, call)
                        return self.inline(member, call, receiver)
        return library.invoke(self, receiver, call)

    # -- project functions and classes ---------------------------------------------------------------------------

    def inline(self, func: Func, call: Call, receiver: Value | None = None) -> Value:
        """Execute a project function on these arguments; unknown (absorbing the arguments) beyond the bounds."""
        key = id(func.node)
        self._counts[key] = self._counts.get(key, 0) + 1
        path = str(func.module.path)
        self.entered.add((path, func.node.st, func.node.id))
        deep = len(self._stack) >= self.depth or sum(f.node is func.node for f in self._stack) > 1
        if deep or self._counts[key] > MAX_CALLS_PER_FUNCTION:
            return library.absorb(self, call, func.name)
        env = self._parameters(func, call, receiver)
        top = self.run_module(func.module)
        frame = Frame(func.module, env, top, func.closure or (), func, func.owner, receiver, loops=self.loops)
        outer_calls, grad = self.calls, self.grad
        if self.frames:
            self.calls = (*self.calls, self.site(call.node))
        if "no-grad" in func.wrappers:
            self.grad = False
        self.frames.append(frame)
        self._stack.append(func)
        try:
            if isinstance(func.node, ir.Lambda):
                return self.eval(func.node.body)
            flow = self.block(func.node.body)
        finally:
            self._stack.pop()
            self.frames.pop()
            self.calls, self.grad = outer_calls, grad
        if func.node.generator:
            return Seq("generator", (), join_all(frame.yields))
        if flow is Flow.NEXT and not frame.returns:
            return NONE
        return join_all(frame.returns)

    def _parameters(self, func: Func, call: Call, receiver: Value | None) -> dict[str, Value]:
        env: dict[str, Value] = {}
        positional = list(call.args)
        if receiver is not None:
            positional.insert(0, receiver)
        used: set[str] = set()
        for param in func.node.params.items:
            if param.kind == "*":
                env[param.name] = Seq("tuple", positional, UNKNOWN if call.open else None)
                positional = []
            elif param.kind == "**":
                extra = {k: v for k, v in call.kwargs.items() if k not in used}
                env[param.name] = Dict(extra, UNKNOWN if call.open else None)
            elif positional and param.kind == "positional":
                env[param.name] = named(positional.pop(0), param.name)
            elif param.name in call.kwargs:
                env[param.name] = named(call.kwargs[param.name], param.name)
            elif param.default is not None and not call.open:
                env[param.name] = self._default(func, param.default)
            else:
                env[param.name] = Array(kind="unknown", name=param.name)
            used.add(param.name)
        return env

    def _default(self, func: Func, node: ir.Expr) -> Value:
        if isinstance(node, ir.Constant):
            return Const(node.value)
        top = self.run_module(func.module)
        self.frames.append(Frame(func.module, dict(top), top, func.closure or ()))
        try:
            return self.eval(node)
        finally:
            self.frames.pop()

    def instantiate(self, klass: Klass, call: Call) -> Value:
        """A new object of a project class; its constructor is executed."""
        role, entry = library.class_role(klass)
        subject = Subject(api=klass.name, role=role, at=self.site(call.node))
        obj = Obj(subject, klass, entry)
        obj.cells["#args"] = (tuple(call.args), dict(call.kwargs))
        library.born(self, obj, call)
        found = klass.lookup("__init__")
        if found is not None:
            member = self.force(found[1], found[0].members, "__init__")
            if isinstance(member, Func):
                self.inline(member, call, obj)
        else:
            declared = [one.members.get("__fields__") for one in reversed(klass.mro())]
            names = list(
                dict.fromkeys(
                    c.value for fields in declared if isinstance(fields, Seq) for c in fields.items if isinstance(c, Const)
                )
            )
            for name in names:
                value = call.get(name, names)
                if value is not None:
                    self.set_attribute(obj, name, value)
            library.base_init(self, obj, call)
        library.built(self, obj, call)
        return obj

    # -- operators and displays ----------------------------------------------------------------------------------

    # -- misc ----------------------------------------------------------------------------------------------------

    def source(self, node: ir.Node, label: str = "", part: Any = None, size: int | None = None) -> Rows:
        """Rows of a new load event at this place; `part` tells apart several results of one place."""
        return source((self.site(node), self.calls, part), label, size)

    def source_of(self, node: ir.Node, label: str, key: str | None, size: int | None = None) -> Rows:
        """Rows of a load: the same file read twice gives the same rows, anything else is a source of its own, by place and name
        (`ImageFolder(os.path.join("scans", part))` in a loop over the parts)."""
        return source(("file", key), label, size) if key else self.source(node, label, label, size=size)

    def run_program(self, module: Module) -> None:
        """Execute a module as a program, as far as the bounds allow."""
        self.main = module
        try:
            self.run_module(module)
            self.finish_main()
        except (OutOfBudget, RecursionError):
            self.exhausted = True

    def finish_main(self) -> None:
        """After the module body: a program whose main function is started by a library (hydra, fire) is entered there."""
        module = self.main
        if module is None or self.entered:
            return
        env = self.executed[module.path]
        for name in ("main", "train", "run"):
            value = env.get(name)
            if value is not None and module.skeleton.has_main:
                func = self.force(value, env, name)
                if isinstance(func, Func):
                    self.frames.append(Frame(module, env, env))
                    try:
                        self.inline(func, Call(_expr(func.node), [], {}))
                    finally:
                        self.frames.pop()
                    return

    def unresolved_on(self, obj: Obj, name: str, call: Call) -> None:
        """Record a method that is not known, called on an object that matters."""
        touches = tuple(dict.fromkeys([obj.subject, *(o.subject for v in call.everything() for o in library.objects_in(v))]))
        self.emit(Unresolved, call.node, name=name, touches=touches)

    def report(self, node: ir.Node, values: Iterable[Value], how: str) -> None:
        """Record that what these values carry of scores reaches a reader."""
        seen = looked_at(node) if isinstance(node, ir.Expr) else ()
        if seen and all(isinstance(one, ir.Compare) for one in seen):
            return  # which samples are right, one by one, is no figure
        values = [library.shown(self, value, node) for value in values]
        scores = frozenset[int]().union(*(library.scores_of(value) for value in values))
        if scores:
            if how != "plot":
                library.as_figure(self, scores)
            self.emit(Report, node, scores=scores, how=how, shown=frozenset[str]().union(*map(library.shown_of, values)))

    def unresolved(self, name: str, call: Call) -> None:
        """Record a call that could not be followed, if it could have changed an object that matters."""
        touches = tuple(dict.fromkeys(o.subject for v in call.everything() for o in library.objects_in(v)))
        if touches:
            self.emit(Unresolved, call.node, name=name, touches=touches)


def named(value: Value, name: str) -> Value:
    """The value under a variable name; a name that tells the role is kept against one that does not."""
    if isinstance(value, Array) and value.name != name and value.kind not in ("scalar", "config"):
        if value.name and role_of_name(value.name) and not role_of_name(name):
            return value
        return value.but(name=name)
    if isinstance(value, Obj):
        if not value.subject.name and name != "self":
            value.subject.name = name
        data = value.cells.get("#data")
        if isinstance(data, Array) and role_of_name(name) and not role_of_name(data.name):
            value.cells["#data"] = data.but(name=name)
    return value


@cache
def _builtin(name: str) -> Value:
    if hasattr(builtins, name) or name in ("display", "get_ipython", "unicode", "xrange", "raw_input"):
        return Ext(f"builtins.{name}")
    return UNKNOWN


def _is_none(value: Value) -> bool:
    return isinstance(value, Const) and value.value is None


def _is_key(indices: Sequence[Value]) -> TypeGuard[Sequence[Const]]:
    """Whether one name is written between the brackets."""
    return len(indices) == 1 and isinstance(indices[0], Const) and isinstance(indices[0].value, str)


def _expr(node: ir.Node) -> ir.Expr:
    return node  # type: ignore[return-value]


def _first_name(target: ir.Expr) -> str:
    """What a target is called; of several, the first: `(X_train, y_train), (X_test, y_test) = read()`."""
    if isinstance(target, ir.Collection) and target.items:
        return _first_name(target.items[0])
    return target.name if isinstance(target, (ir.Name, ir.Attribute)) else ""


def _join_cells(key: str, values: list[Any], where: Any) -> Any:
    """Join of what the arms left in one cell: abstract values, row sets, fact sets, or plain marks."""
    first = values[0]
    if all(value is first for value in values):
        return first
    if key == "items" and all(isinstance(v, tuple) for v in values):
        longest = max(values, key=len)
        if all(len(v) == len(longest) for v in values):
            return tuple(join_all(column, where) for column in zip(*values, strict=True))
        return longest
    if key == "items":
        merged: dict[Any, Value] = {}
        for mapping in values:
            for name, value in mapping.items():
                merged[name] = join(merged[name], value, where) if name in merged else value
        return merged
    if all(isinstance(v, Value) for v in values):
        return join_all(values, where)
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, Rows) for v in known):
        return (
            either(where, tuple(known))
            if len(known) > 1 and all(v.known for v in known)
            else known[0]
            if len(known) == 1
            else UNKNOWN_ROWS
        )
    if known and all(isinstance(v, frozenset) for v in known):
        return frozenset().union(*known)
    if known and all(v == known[0] for v in known) and len(known) == len(values):
        return known[0]
    return "unknown" if any(isinstance(v, str) for v in known) else known[0] if known else None
