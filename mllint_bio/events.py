"""The vocabulary: what a training program does that matters to a reviewer.

A program, whatever its libraries, becomes an ordered list of these events. The static interpreter predicts them
(`mllint_bio.predict`), the probes of a real run observe them (`mllint_bio.observe`), and a rule is a question about the list.

Events are frozen facts. They name *which* object acted by a `Subject` (one per estimator, module, loader, ... of the run,
compared by identity), *which rows* were touched by a `Data` view, and *where* by a `Site`.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from mllint_bio.rows import UNKNOWN_ROWS, Rows

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda decorator: decorator


K = TypeVar("K")


@lru_cache(maxsize=16_384)
def is_below(role: str, roles: tuple[str, ...]) -> bool:
    """Whether a catalog role is one of `roles`, or below one of them; few roles are asked for, and very often."""
    return any(role == one or role.startswith(one + ".") for one in roles)


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a source unit, resolved to lines and columns only when a finding needs it.

    path: the file (as given to the engine); statement: index of the top-level statement in the unit;
    node: preorder number of the syntax node inside that statement. An observed trace knows lines only: it sets `line` (1-based
    in the unit's text) and leaves `node` at -1.
    """

    path: str
    statement: int
    node: int
    line: int = field(default=0, compare=False)
    _hash: int = field(init=False, compare=False, repr=False)  # the key of an event holds dozens of sites

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.path, self.statement, self.node)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Site, (self.path, self.statement, self.node, self.line)  # another process hashes texts otherwise


class LoopKind(Enum):
    """What a loop goes over; decides whether repetition is training, cross-validation, search or reporting."""

    EPOCH = "epoch"
    BATCH = "batch"
    FOLD = "fold"
    SEED = "seed"
    CANDIDATE = "candidate"
    MODEL = "model"
    GROUP = "group"
    FILE = "file"
    OTHER = "other"


@dataclass(eq=False, slots=True)
class Loop:
    """One loop of the program (compared by identity); its kind may be learnt while the body is read."""

    at: Site
    kind: LoopKind = LoopKind.OTHER
    variable: str = ""
    breaks: bool = False


class Rank(Enum):
    """How a role of rows is known, weakest last; an `error` needs at least USAGE."""

    SPLIT = "split"
    USAGE = "usage"
    DECLARED = "declared"
    NAMED = "named"


@dataclass(eq=False, slots=True)
class Subject:
    """An object of the program that acts: estimator, transform, module, optimizer, loader, splitter, tuner, generator.

    api: dotted name of what it is (`sklearn.svm.SVC`; a project class gives its own name); role: its catalog role
    (`estimator.baseline.kernel`, `module`, ...); name: what the program calls it; at: where it was built.
    given: literal argument values by parameter name; unknown_arguments: some argument came from outside (`**params`, config),
    so a missing one must not be taken for its default. parts: children of a composite (pipeline steps, submodules).
    """

    api: str
    role: str
    at: Site
    name: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    arguments: frozenset[str] = frozenset()
    unknown_arguments: bool = False
    parts: list[Subject] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Short name for messages: the last part of the API name."""
        return self.api.rsplit(".", 1)[-1] or self.name or "object"

    def is_a(self, *roles: str) -> bool:
        """Whether the role is one of these, or below one of them (`estimator` covers `estimator.deep`)."""
        return is_below(self.role, roles)

    def everything(self) -> list[Subject]:
        """This object and all its parts, depth first."""
        found, stack, seen = [], [self], set()
        while stack:
            subject = stack.pop()
            if id(subject) not in seen:
                seen.add(id(subject))
                found.append(subject)
                stack.extend(reversed(subject.parts))
        return found


@dataclass(frozen=True, slots=True)
class Learned:
    """A fact that a value carries: it was made with something that learned from `rows` (the id of the Fit event)."""

    fit: int
    kind: str
    rows: Rows
    uses_target: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """A fact that a value carries: it is the output of `subject` for `rows`.

    output: label, score (probability or decision value), logit, value (regression) or unknown; fitted: the rows that the subject
    had learned from by then, if that was noted.
    """

    subject: Subject
    rows: Rows
    output: str = "unknown"
    event: int = -1
    fitted: Rows = field(default=UNKNOWN_ROWS, compare=False)


@dataclass(frozen=True, slots=True)
class Data:
    """What an event saw of a data value.

    rows: which samples; name: what the program calls it; named_role: train, validation or test by name only (weak evidence);
    learned: transforms and statistics that shaped it; prediction: whose output it is; ordered: known order
    (`class-blocks`, `sorted`, `unordered`, `shuffled`), empty if unknown; loader: the loader that batches it; group: it
    holds several rows of one entity (the name of the entity), proven by code; visit: which pass over its loader the values were
    collected in (two passes over one loader differ; 0: not known).
    """

    rows: Rows = UNKNOWN_ROWS
    name: str = ""
    named_role: str = ""
    learned: frozenset[Learned] = frozenset()
    prediction: Prediction | None = None
    ordered: str = ""
    loader: Subject | None = None
    group: str = ""
    visit: int = 0


NO_DATA = Data()


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _event(kind: type[K]) -> type[K]:
    """A frozen data class of keyword arguments, whose methods `Event` has for all kinds: to generate those of each kind would be
    a seventh of the time that `mllint-bio rule CODE` takes."""
    return dataclass(init=False, repr=False, eq=False)(kind)


@_event
class Event:
    """What all events say: `id` is the position in the trace, `at` the place, `calls` the call sites from the entry point
    inwards (outermost first), `loops` the enclosing loops across calls (outermost first), `branch` the branches it stands in
    (conditions that may be false; two events with the same condition and different arms exclude each other).
    """

    id: int
    at: Site
    calls: tuple[Site, ...] = ()
    loops: tuple[Loop, ...] = ()
    branch: tuple[tuple[Site, int], ...] = ()

    if not TYPE_CHECKING:

        def __init__(self, **facts):
            self.__dict__.update(facts)

        def __setattr__(self, name: str, value: object) -> NoReturn:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{one.name}={getattr(self, one.name)!r}' for one in fields(self))})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, one.name) == getattr(other, one.name) for one in fields(self))

    def __hash__(self) -> int:
        return hash((type(self), self.id, self.at))


@_event
class Seed(Event):
    """A generator is seeded. streams: python, numpy, torch, torch-cuda, tensorflow, jax, or `any` for a helper whose body is
    out of reach. constant: the seed is a literal (or a name bound to one). unseeds: it is no seed at all
    (`np.random.seed()`, `torch.seed()`, the clock)."""

    streams: frozenset[str]
    call: str
    constant: bool = False
    value: Any = None
    unseeds: bool = False


@_event
class Draw(Event):
    """Random numbers are drawn from a global stream, without a seed of its own. what: the consumer, for messages;
    purpose: split, estimator, init, order, augment, tuner, noise, option (the default of a command-line option) or other;
    processes: a pool of processes draws (`n_jobs`), so that a seed of the parent's global generator does not reach it; subject:
    the drawing object."""

    stream: str
    what: str
    purpose: str = "other"
    processes: bool = False
    subject: Subject | None = None


@_event
class Generator(Event):
    """A generator object is made (`np.random.default_rng`, `random.Random`, `torch.Generator`). place: module, `__init__`,
    `__getitem__`, or function; constant: seeded with a literal."""

    subject: Subject
    seeded: bool
    constant: bool
    place: str = ""


@_event
class Determinism(Event):
    """A determinism switch. flag: all-ops, cudnn-deterministic, cudnn-benchmark, tf-ops, env; value: what it is set to (None
    when it comes from outside)."""

    flag: str
    value: bool | None
    call: str


@_event
class Device(Event):
    """Something is moved to or built for a device: cuda, mps, gpu, cpu. conditional: only if one is available; module: the
    network that is moved, if it is one."""

    device: str
    conditional: bool = False
    module: Subject | None = None


@_event
class Load(Event):
    """A table, array or data set comes into the program. kind: file, url, hub, toy, folder, generated, parameter."""

    data: Data
    kind: str
    location: str = ""


@_event
class Split(Event):
    """Rows are divided. how: call, fold, slice, mask, sample, index, random, declared; given: keys whose value is known.

    shuffles/seeded/stratified/grouped: True, False or None when not known. parts: in the documented order (train first).
    names: what the program calls the parts, where it says so at once. identifier: a column that was dropped from the rows and
    names what they are of, by its name only.
    """

    data: Data
    parts: tuple[Rows, ...]
    how: str
    api: str
    shuffles: bool | None = None
    seeded: bool | None = None
    stratified: bool | None = None
    grouped: bool | None = None
    stream: str = ""
    names: tuple[str, ...] = ()
    subject: Subject | None = None
    identifier: str = ""


@_event
class Fit(Event):
    """Something learns from rows. role: the catalog role of the learner (`fitted-transform.scale`, `estimator.deep`, ...;
    `statistic` for a hand-written mean or standard deviation that was applied). target: data of the labels, if any. stochastic:
    why the result is random with these arguments, empty if it is not. held: evaluation data handed to the same call."""

    subject: Subject
    role: str
    data: Data
    target: Data = NO_DATA
    uses_target: bool = False
    method: str = "fit"
    stochastic: str = ""
    validation: Data = NO_DATA


@_event
class Transform(Event):
    """A fitted or stateless transform is applied; `fit` is the id of the Fit that it uses (-1: none, or out of sight)."""

    subject: Subject
    role: str
    data: Data
    fit: int = -1
    method: str = "transform"


@_event
class Resample(Event):
    """Rows are copied, synthesised or dropped to balance classes, or multiplied by augmentation. lineage: copy, synthetic,
    drop, augment, bootstrap, window. balances: some rows more than others, so that the proportions of classes change."""

    data: Data
    result: Rows
    lineage: str
    api: str
    balances: bool = True


@_event
class Loader(Event):
    """A loader is built over data. shuffle and drop_last: None when not known; workers: number of worker processes if known."""

    subject: Subject
    data: Data
    shuffle: bool | None = None
    drop_last: bool | None = None
    workers: int | None = None
    sampler: str = ""
    generators: tuple[Subject, ...] = ()


@_event
class Build(Event):
    """A network is built. mode_dependent: it holds dropout, batch norm or the like (None: unknown layers)."""

    subject: Subject
    mode_dependent: bool | None = None


@_event
class Mode(Event):
    """A module is switched to training (`train`) or evaluation (`eval`) mode."""

    subject: Subject
    mode: str


@_event
class ZeroGrad(Event):
    """Gradients are cleared, by the optimizer, the module or by hand (subject None: some parameters)."""

    subject: Subject | None


@_event
class Backward(Event):
    """Gradients are accumulated from a loss."""

    data: Data


@_event
class Step(Event):
    """An optimizer changes the parameters of the modules it holds. data: what the last backward saw;
    managed: the optimizer or a library does the rest (closures, automatic optimisation); modes: train, eval or unknown of each
    module."""

    subject: Subject
    modules: tuple[Subject, ...]
    data: Data
    managed: bool = False
    modes: tuple[str, ...] = ()


@_event
class Loss(Event):
    """A loss is computed. expects: logits, probabilities, log-probabilities, value; received: what the producer ends with
    (softmax, sigmoid, log_softmax, linear), empty if unknown; producer: place of that activation."""

    api: str
    expects: str
    received: str
    data: Data
    producer: Site | None = None
    multiclass: bool | None = None


@_event
class Predict(Event):
    """A model is applied to rows. mode: train, eval or unknown (modules only); grad: gradients are recorded."""

    subject: Subject
    data: Data
    output: str
    mode: str = "unknown"
    grad: bool = True
    mode_dependent: bool | None = None


@_event
class Score(Event):
    """A figure of merit is computed. metric: its name (`accuracy_score`, `loss`, `accuracy`); family: label, score, regression,
    cluster, segmentation, loss, subgroup, residual (not condensed yet), target (residuals that another model learns), unknown;
    direction: up, down or empty; data: the rows scored (and the prediction that was scored); truth: the labels; cross_validated:
    the figure comes from folds made inside the call; subject: whose predictions; swapped: the arguments stand in the other order
    than the API's; averaging: literal `average=`. fitted: rows that the subject had learned from at that moment. chosen: ids of
    the Select events whose choice (a threshold, an epoch) shaped the scored value; empty if none or not known. target: the column
    of the labels in their table, if the program names it. collected: of what the rounds of a loop have put together so far."""

    metric: str
    family: str
    data: Data
    truth: Data = NO_DATA
    subject: Subject | None = None
    direction: str = ""
    fitted: Rows = UNKNOWN_ROWS
    cross_validated: bool = False
    swapped: bool = False
    decomposable: bool = True
    averaging: str = ""
    handwritten: bool = False
    inputs: frozenset[Learned] = frozenset()
    chosen: frozenset[int] = frozenset()
    target: str = ""
    collected: bool = False


@_event
class Select(Event):
    """A choice is made by looking at scores. what: epoch, checkpoint, early-stop, learning-rate, hyperparameter, model,
    threshold, features, seed, fold, split; range: nothing, an extreme places something in a drawing. how: the mechanism (`if`,
    `max`, `argmax`, `callback`, `tuner`, the API's name). scores: ids of the Score events that it reads; data: the rows that
    those scores saw; direction: up or down as the program compares, empty if not known; keeps: what the branch keeps (score,
    weights, saved, model, candidate: the name of the model of that round, stop); restored: the best weights are put back."""

    what: str
    how: str
    scores: frozenset[int] = frozenset()
    data: Data = NO_DATA
    direction: str = ""
    keeps: frozenset[str] = frozenset()
    subject: Subject | None = None
    metric: str = ""
    restored: bool | None = None


@_event
class Weights(Event):
    """Weights are captured or put back. action: reference (`best = model.state_dict()`), alias (`best = model`), copy, save,
    load; name: variable or path; of: the variable that holds what is saved; improving: the capture stands in the branch of a
    Select."""

    subject: Subject | None
    action: str
    name: str = ""
    of: str = ""
    improving: bool = False


@_event
class Save(Event):
    """Data, predictions, indices or a model leave the program. what: data, model, indices, predictions, scores."""

    what: str
    data: Data = NO_DATA
    location: str = ""


@_event
class Report(Event):
    """Figures reach a reader: printed, logged, written, plotted, returned, or shown by a notebook cell. shown: how several
    figures were condensed before (mean, median, spread, max, min, each); empty if not known."""

    scores: frozenset[int]
    how: str
    shown: frozenset[str] = frozenset()


@_event
class Unordered(Event):
    """Something without a defined order fixes a split, a label code or the order of samples. what: listdir, glob, set, ...;
    use: split, labels, order, pairing."""

    what: str
    use: str
    at_use: Site


@_event
class Unresolved(Event):
    """A call that could not be followed, with what it could have done. name: as written; touches: subjects handed in."""

    name: str
    touches: tuple[Subject, ...] = ()


@_event
class Pairing(Event):
    """Two parts of one split that carry paired names are cut from base arrays (train name, its base; test name, its base), or a
    splitter's results are unpacked in another order than documented (`swapped`)."""

    train_name: str
    train_base: str
    test_name: str
    test_base: str
    controls: int = 0
    swapped: bool = False
