"""What the rules about randomness share: which draws matter, and what seeds a stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mllint_bio.events import (
    Draw,
    Fit,
    Generator,
    Loader,
    Predict,
    Report,
    Save,
    Score,
    Seed,
    Split,
    Step,
    Subject,
    Unresolved,
    Weights,
)
from mllint_bio.trace import Trace

# Consumers whose numbers reach the result for sure; what `noise` and `other` are used for is not known.
DECISIVE = ("split", "estimator", "init", "order", "tuner", "augment")

WHOLE_NUMBERS = frozenset({"randint", "randrange", "getrandbits", "integers"})

SEED_CALLS = {
    "python": "random.seed(SEED)",
    "numpy": "np.random.seed(SEED)",
    "torch": "torch.manual_seed(SEED)",
    "torch-cuda": "torch.manual_seed(SEED)",
    "tensorflow": "tf.keras.utils.set_random_seed(SEED)",
    "jax": "jax.random.PRNGKey(SEED)",
    "own": "np.random.default_rng(SEED)",
}


def unseeded(trace: Trace) -> dict[str, list[Draw]]:
    """Draws from global streams that no seed reaches and that can change the result, by stream, the decisive first; under `own`
    those of generators that the program makes without a seed.

    Left out: other objects with a generator of their own; initial weights and the order of batches where no network is trained;
    initial weights that stored ones replace before the training; noise after the last training or split (jitter of a plot);
    splits whose parts nothing uses; numbers that augmentation draws in loader workers, which torch seeds itself once
    `torch.manual_seed` was called; the default of a command-line option (a port, the number of a run); a loader that is looked
    into before the seed and read again after it; and, before the seed, layers that nothing trains or applies, a network that is
    tried out and then built anew, and the number that becomes the seed.
    """
    end = max((event.id for event in trace.of(Fit, Step, Split)), default=-1)
    workers = trace.seeded("torch") and any(loader.workers != 0 for loader in trace.of(Loader))
    networks = (fit.subject.is_a("estimator.deep", "module", "trainer", "pretrained") for fit in trace.of(Fit))
    trained = any(True for _ in trace.of(Step)) or any(networks)
    idle = {split.at for split in trace.of(Split) if predicts_only(trace) or unused(trace, split)}
    generators = {id(event.subject) for event in trace.of(Generator) if not event.seeded}
    found: dict[str, list[Draw]] = {}
    for stream, draws in trace.unseeded_draws().items():
        kept = [
            draw
            for draw in draws
            if (stream != "own" or id(draw.subject) in generators)
            and (draw.purpose in DECISIVE or draw.id < end and draw.purpose != "option")
            and (trained or draw.purpose != "init" and not (draw.purpose == "order" and draw.subject is not None))
            and not (workers and draw.purpose == "augment" and stream in ("python", "numpy"))
            and not _drawn_anew(trace, draw)
            and not (draw.purpose == "init" and (_overwritten(trace, draw) or _idle_layer(trace, draw)))
            and not _becomes_seed(trace, draw)
            and not (draw.purpose == "split" and draw.at in idle)
        ]
        if kept and stream in SEED_CALLS:
            found[stream] = sorted(kept, key=importance)
    return found


def _drawn_anew(trace: Trace, draw: Draw) -> bool:
    if draw.purpose != "order":
        return False
    later = [one for one in trace.of(Draw) if one.id > draw.id and one.purpose == "order" and trace.reached(one)]
    if draw.subject is not None:
        return any(one.subject is draw.subject for one in later)
    seed = _late_seed(trace, draw)
    learned = seed is not None and any(draw.id < event.id < seed.id for event in trace.of(Fit, Step, Split))
    return not learned and any(one.at == draw.at for one in later)


def _late_seed(trace: Trace, draw: Draw) -> Seed | None:
    """The seed of the drawn stream that comes too late for the draw."""
    return next((seed for seed in trace.of(Seed) if seed.id > draw.id and draw.stream in seed.streams and not seed.unseeds), None)


def _idle_layer(trace: Trace, draw: Draw) -> bool:
    """Whether a layer of which a penalty or a shape is shown, before the seed, is part of no network that is used."""
    seed = _late_seed(trace, draw)
    if draw.subject is None or seed is None:
        return False
    trained = [module for step in trace.of(Step) for module in step.modules]
    passes = [event for event in trace.of(Predict) if not _first_look(trace, event, seed, trained)]
    events: list[Fit | Predict | Weights] = [*trace.of(Fit), *passes, *trace.of(Weights)]
    used = [event.subject for event in events if event.subject is not None]
    handed_on = [subject for call in trace.of(Unresolved) for subject in call.touches]
    known = bool(trained) and not any(module.unknown_arguments for module in trained)
    return known and not any(draw.subject in one.everything() for one in (*trained, *used, *handed_on))


def _first_look(trace: Trace, forward: Predict, seed: Seed, trained: Sequence[Subject]) -> bool:
    """Whether a network that is built anew after the seed, and trained, is applied before it, and nothing reads what it gave."""
    anew = any(one.api == forward.subject.api and one is not forward.subject for one in trained)
    if forward.id > seed.id or not anew:
        return False
    readers: list[Fit | Score | Save] = [*trace.of(Fit), *trace.of(Score), *trace.of(Save)]
    return not any(one.data.prediction and one.data.prediction.subject is forward.subject for one in readers)


def _becomes_seed(trace: Trace, draw: Draw) -> bool:
    """Whether a whole number is drawn where no seed is given, and is the seed: `args.seed or random.randint(0, 9999)`."""
    seed = _late_seed(trace, draw)
    if seed is None or seed.constant or draw.what.rsplit(".", 1)[-1] not in WHOLE_NUMBERS:
        return False
    return all(isinstance(event, (Draw, Seed, Report)) for event in trace.events[draw.id : seed.id])


def _overwritten(trace: Trace, draw: Draw) -> bool:
    """Whether stored weights of the whole network are always loaded over the drawn ones, before anything is learned; weights of
    a layer that is a function, in a program that trains nothing, are restored by name."""
    if draw.subject is None:
        return draw.purpose == "init" and not trace.trains
    first = next((step.id for step in trace.of(Step) if step.id > draw.id), len(trace.events))
    weights = [w for w in trace.of(Weights) if draw.id < w.id < first and w.subject is not None]
    own = {w.name for w in trace.of(Weights) if w.action in ("reference", "copy")}  # its own weights, of which some were replaced
    return any(
        w.action == "load"
        and w.name not in own
        and w.branch == draw.branch[: len(w.branch)]
        and w.subject is not None
        and draw.subject in w.subject.everything()
        for w in weights
    )


def unused(trace: Trace, split: Split) -> bool:
    """Whether the data sets that `random_split` made are dropped: what is learned from and scored was read apart from them."""
    read: list[Fit | Score | Loader] = [*trace.of(Fit), *trace.of(Score), *trace.of(Loader)]
    rows = [event.data.rows for event in read]
    apart = (one.known and one.disjoint(part) and not one.shares_origin(part) for one in rows for part in split.parts)
    return split.how == "random" and bool(rows) and all(apart)


def predicts_only(trace: Trace) -> bool:
    """Whether the program applies a stored model and neither learns nor scores: a split in a loader that it shares with the
    training is of no consequence there."""
    return not trace.trains and any(True for _ in trace.of(Predict)) and not any(True for _ in trace.of(Score))


def kept(trace: Trace, split: Split) -> bool:
    """Whether some part of the split, or its indices, is written to disk, which fixes the split better than a seed."""
    saves = [save for save in trace.of(Save) if save.what in ("data", "indices") and save.id > split.id]
    return any(save.data.rows.subset(part) for save in saves for part in split.parts)


def by_hand(split: Split) -> bool:
    """Whether rows are drawn by an index or a mask, which in a program that trains and scores nothing is sampling, no split."""
    return split.how not in ("call", "fold", "random")


def importance(draw: Draw) -> tuple[bool, bool, int]:
    """Sort key: splits, estimators, initial weights and order of samples, then augmentation, then noise; early before late."""
    return draw.purpose not in DECISIVE, draw.purpose == "augment", draw.id


def generator_of(stream: str) -> str:
    """The generator of a stream, in words."""
    return "a generator of its own" if stream == "own" else f"the {stream} generator"


def seed_calls(streams: Iterable[str]) -> str:
    """The calls that seed these streams, as code."""
    return "; ".join(dict.fromkeys(SEED_CALLS[stream] for stream in streams))


def consumers(draws: Iterable[Draw], most: int = 3) -> str:
    """The drawing calls in words, at most three of them."""
    names = list(dict.fromkeys(f"`{draw.what}`" for draw in draws))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
