"""Seeds, generators, draws and switches of determinism: which numbers of a run can be had again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import Determinism, Draw, Generator, Loop, LoopKind, Seed, Subject
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library.contents import arrays_in, blend
from mllint_bio.predict.library.subjects import literal, make_subject
from mllint_bio.predict.values import (
    UNKNOWN,
    Array,
    Const,
    Obj,
    Seq,
    Value,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


SEED_HELPER_WORDS = ("seed", "determin", "reproduc")


def draws(
    run: Run,
    call_: Call,
    fields: Mapping[str, Any],
    params: Sequence[str],
    what: str,
    *,
    at: str,
    purpose: str | None,
    given: Any = None,
    subject: Subject | None = None,
    pool: bool = False,
) -> list[str]:
    """Emit the draws that a call causes at this moment (`at`); the streams that it draws from without a seed of its own.

    `given` are the arguments of the constructor when the draw happens later; `pool`: a pool of processes does the work.
    """
    found: list[str] = []
    for draw in fields.get("draws") or []:
        if draw.get("at", "call") != at or not _holds(draw, call_ if given is None else given, fields, params):
            continue
        seed = draw.get("seed")
        source = call_ if given is None else given
        value = source.get(seed, params) if seed else None
        _note_seed(value)
        if value is not None and not (isinstance(value, Const) and value.value is None):
            continue
        if source.open and (seed or draw.get("when") or draw.get("unless")):
            continue
        if call_.node in run.looked_at and what == "sample":
            continue
        stream = draw["stream"]
        found.append(stream)
        if stream != "own":
            processes = pool or bool(draw.get("processes")) and in_processes(source, params)
            run.emit(
                Draw,
                call_.node,
                stream=stream,
                what=draw.get("what") or what,
                purpose=_purpose(run, purpose or draw.get("purpose", "other")),
                processes=processes,
                subject=subject,
            )
    return found


def in_processes(call_: Call, params: Sequence[str]) -> bool:
    """Whether the call hands its work to a pool of processes (`n_jobs` other than 1)."""
    jobs = call_.get("n_jobs", params)
    return isinstance(jobs, Const) and jobs.value not in (None, 1)


def _purpose(run: Run, purpose: str) -> str:
    """What numbers are drawn for: in `__getitem__` of a data set that a loader reads, noise is augmentation."""
    return "augment" if run.drawing_item and purpose in ("noise", "other") else purpose


def _note_seed(value: Value | None) -> None:
    """A loop whose variable is used as a seed goes over seeds."""
    if isinstance(value, Array) and isinstance(value.loop, Loop) and value.loop.kind is LoopKind.OTHER:
        value.loop.kind = LoopKind.SEED


def _holds(draw: Mapping[str, Any], call_: Call, fields: Mapping[str, Any], params: Sequence[str]) -> bool:
    """Whether the conditions of a draw hold for these arguments; what comes from outside holds for nothing."""
    defaults = fields.get("defaults") or {}
    for name, wanted in (draw.get("when") or {}).items():
        value = call_.get(name, params)
        actual = defaults.get(name) if value is None else value.value if isinstance(value, Const) else UNKNOWN
        if actual is UNKNOWN or actual not in wanted:
            return False
    for name, excluded in (draw.get("unless") or {}).items():
        value = call_.get(name, params)
        actual = defaults.get(name) if value is None else value.value if isinstance(value, Const) else UNKNOWN
        if actual is UNKNOWN or actual in excluded:
            return False
    return True


def _seed(run: Run, entry: Entry, call_: Call) -> Value:
    draws(run, call_, entry.fields, entry.params, entry.path, at="call", purpose=None)
    parameter = entry.get("value") or (entry.params[0] if entry.params else "seed")
    value = call_.get(parameter, entry.params) or (call_.at(0) if not entry.params else None)
    clock = isinstance(value, Array) and value.noise == "clock"
    missing = value is None or (isinstance(value, Const) and value.value is None)
    unseeds = clock or (missing and not call_.open and entry.get("fallback") == "unseeded")
    constant = isinstance(value, Const) and value.value is not None
    run.emit(
        Seed,
        call_.node,
        streams=frozenset(entry.get("streams") or ()),
        call=entry.path.replace("builtins.", ""),
        constant=constant,
        value=value.value if isinstance(value, Const) else None,
        unseeds=unseeds,
    )
    also(run, entry, call_)
    if entry.is_a("seed") and entry.path.endswith("TrainingArguments"):
        return Obj(make_subject(run, entry, call_))
    return UNKNOWN


def also(run: Run, entry: Entry, call_: Call) -> None:
    """Determinism flags that a call sets on the way (`monai.set_determinism`, `Trainer(deterministic=...)`)."""
    for flag, source in (entry.get("also") or {}).items():
        value: Any = source
        if isinstance(source, str):
            value = literal(call_, entry, source)
            if value is UNKNOWN:
                value = None
            elif value is None or value is False:
                continue
            else:
                value = bool(value)
        run.emit(Determinism, call_.node, flag=flag, value=value, call=entry.path)


def _unseed(run: Run, entry: Entry, call_: Call) -> Value:
    run.emit(Seed, call_.node, streams=frozenset(entry.get("streams") or ()), call=entry.path, unseeds=True)
    return UNKNOWN


def _determinism(run: Run, entry: Entry, call_: Call) -> Value:
    value = literal(call_, entry, entry.get("value")) if entry.get("value") else True
    known: bool | None
    if value is UNKNOWN:
        known = None
    elif isinstance(value, str):
        known = value not in ("default", "0")
    else:
        known = True if value is None else bool(value)
    run.emit(Determinism, call_.node, flag=entry.get("flag", "all-ops"), value=known, call=entry.path)
    also(run, entry, call_)
    if entry.get("streams"):
        run.emit(Seed, call_.node, streams=frozenset(entry.get("streams")), call=entry.path)
    return UNKNOWN


def _generator(run: Run, entry: Entry, call_: Call) -> Value:
    value = call_.get(entry.get("value") or "seed", entry.params) or call_.at(0)
    seeded = value is not None and not (isinstance(value, Const) and value.value is None)
    if entry.get("kind") == "torch":
        seeded = True  # its default seed is fixed
    frame = run.frames[-1]
    name = frame.func.name if frame.func is not None else ""
    place = "module" if frame.func is None else name if name in ("__init__", "__getitem__") else "function"
    subject = make_subject(run, entry, call_)
    run.emit(Generator, call_.node, subject=subject, seeded=seeded, constant=isinstance(value, Const) and seeded, place=place)
    obj = Obj(subject, None, entry)
    obj.cells["#seeded"] = seeded
    return obj


def draw(run: Run, entry: Entry, call_: Call) -> Value:
    emitted = draws(run, call_, entry.fields, entry.params, _call_name(entry), at="call", purpose=None)
    if not entry.get("draws") and entry.get("stream") not in (None, "own"):
        run.emit(Draw, call_.node, stream=entry.get("stream"), what=_call_name(entry), purpose=_purpose(run, "noise"))
    merged = blend(run, [v for v in call_.everything() if isinstance(v, Array) and v.has_rows])
    if merged.has_rows:
        return merged.but(noise="draw")
    site = run.site(call_.node)
    run.orders.setdefault(site, (emitted[0] if emitted else str(entry.get("stream") or ""), False))
    return Array(kind="noise", noise="draw", linear=None, drawn=drawn_rows(run, entry, call_), order=site)


def drawn_rows(run: Run, entry: Entry, call_: Call) -> Rows:
    """The rows that drawn numbers are if they are used as data: those of the table they are drawn for, or rows of their own.

    None for single numbers, for a few, and for noise in the shape of something else.
    """
    parameter = entry.get("shape")
    shape = call_.at(0) if parameter == "*" else call_.get(parameter, entry.params) if parameter else None
    if shape is None:
        return next(
            (a.drawn for v in call_.everything() for a in arrays_in(v) if a.kind == "noise" and a.drawn.known), UNKNOWN_ROWS
        )
    if isinstance(shape, Seq):
        shape = shape.items[0] if shape.items else UNKNOWN
    if isinstance(shape, Array) and shape.kind != "shape" and shape.base.known:
        return shape.base
    several = shape.value > 3 if isinstance(shape, Const) and isinstance(shape.value, int) else isinstance(shape, Array)
    if not several or isinstance(shape, Array) and shape.kind == "shape":
        return UNKNOWN_ROWS
    run.drawn += 1
    return run.source(call_.node, part=run.drawn if run.loops else None)  # each round of a loop draws others


def _call_name(entry: Entry) -> str:
    """`numpy.random.choice` reads better than `choice`."""
    return entry.path.replace("numpy.", "np.") if entry.path.startswith(("numpy.", "random.")) else entry.path.rsplit(".", 1)[-1]


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "seed": _seed,
    "unseed": _unseed,
    "determinism": _determinism,
    "generator": _generator,
    "draw": draw,
}
