"""Overlap: rows of the test set that training rows repeat, by number, by content and nearly, and how alike their sequences are.

Runs nothing: it looks at the arrays that fits and scores were given. Near-identical means: equal after rounding to six digits, or
nearer to a training row than a millionth of the rows' own scale and than a thousandth of the usual distance to the nearest row.
Sequences are compared by the shares of k-mers that they have in common, estimated by MinHash (Broder 1997).
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mllint_bio.experiments import arrays
from mllint_bio.experiments.arrays import Evaluation
from mllint_bio.experiments.metrics import Task, squeeze
from mllint_bio.experiments.results import Plot, Result, Series, Table
from mllint_bio.experiments.statistics import Array, Sampling, unpaired_difference
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, ends, number, plain, share, signed

MOST_SETS = 4
MOST_ROWS = 5_000  # of either side whose distances are computed
MOST_FEATURES = 20_000
RELATIVE = 1e-6
OF_USUAL = 1e-3
FEWEST = 10  # rows of either kind below which their scores are not compared
K = 5  # letters of a k-mer
HASHES = 128
MOST_SEQUENCES = 2_000
ALIKE = 0.5  # Jaccard similarity of 5-mers from which two sequences are taken for relatives
FEW = 0.05  # share of related test sequences that is let pass


@dataclass(frozen=True)
class _Found:
    """What was found on one test set. repeated: mask of test rows that stand in the training set, exactly or nearly."""

    one: Evaluation
    rows: int
    train_rows: int
    shared: int | None
    exact: int
    near: int
    repeated: Array
    similarity: Array | None = None
    notes: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


class Overlap:
    """Identical and near-identical rows across training and test data."""

    name = "overlap"
    title = "Rows on both sides"

    def applies(self, study: Study) -> str:
        """Empty if training and test inputs of a scored model are known."""
        if not arrays.captured(study.first):
            return "the run left no arrays to compare"
        if not _sets(study):
            return "no score was recorded whose training inputs and test inputs are both known"
        return ""

    def run(self, study: Study) -> list[Result]:
        """One result over the last test sets."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        sets = _sets(study)
        found = [_compare(one) for one in sets[-MOST_SETS:]]
        effects = [_effect(one, study.budget.resamples) for one in found]
        table = Table(
            "Test rows that stand in the training data",
            ("score", "test rows", "training rows", "the same row", "identical content", "near-identical", "related sequences"),
            tuple(
                (f.one.place, f.rows, f.train_rows, f.shared, f.exact, f.near, f.figures.get("related_sequences")) for f in found
            ),
        )
        plots = tuple(
            Plot(
                "histogram",
                f"Similarity of the test sequences of {f.one.place} to the nearest training sequence",
                x_label=f"Jaccard similarity of {K}-mers",
                y_label="test rows",
                series=(Series("test rows", tuple(float(v) for v in f.similarity)),),
                mark=ALIKE,
                mark_label="taken for related",
            )
            for f in found
            if f.similarity is not None
        )
        figures = {
            "sets": [f.figures | ({"effect": effect[1]} if effect else {}) for f, effect in zip(found, effects, strict=True)],
            "intervals": sum(effect is not None for effect in effects),
        }
        verdict = " ".join(_sentence(f, effect[0] if effect else "") for f, effect in zip(found, effects, strict=True))
        return Result(self.name, self.title, "done", verdict=verdict, figures=figures, tables=(table,), plots=plots)


def _sets(study: Study) -> list[Evaluation]:
    """One evaluation per test set: the last one whose inputs are known on both sides. Scores of all training rows say nothing
    about a split and are left out; those that share a part of them are what is looked for."""
    complete = [
        one
        for one in arrays.training_and_test(study.first)
        if one.X_train is not None and one.X_test is not None and one.shared != len(one.truth)
    ]
    return [group[-1] for group in arrays.by_test_set(complete)]


def _compare(one: Evaluation) -> _Found:
    assert one.X_train is not None and one.X_test is not None
    train, test = squeeze(one.X_train), squeeze(one.X_test)
    notes: list[str] = []
    exact = _identical(train, test)
    near = np.zeros(len(test), dtype=bool)
    tables = arrays.matrices(train, test) if train.ndim > 1 or train.dtype.kind in "biuf" else "texts"
    if isinstance(tables, str):
        if train.ndim > 1:
            notes.append(f"Near-identical rows were not looked for: {tables}.")
    elif tables[0].shape[1] > 1:  # one column repeats its values by nature
        near = _near(*tables, notes) & ~exact
    else:
        exact[:] = False
        notes.append("The rows have a single feature, whose values repeat by nature: only row numbers were compared.")
    twins = Counter(row.tobytes() for row in np.ascontiguousarray(train))
    inside = sum(count for count in twins.values() if count > 1)
    if exact.any() and 2 * inside * len(test) >= int(exact.sum()) * len(train):
        notes.append(f"Training rows repeat each other as well ({share(inside, len(train))}): equal content may be chance here.")
    similarity = _sequences(train, test, notes)
    related = None if similarity is None else int((similarity >= ALIKE).sum())
    figures = {
        "place": one.place,
        "model": one.api,
        "test_rows": len(test),
        "training_rows": len(train),
        "same_rows": one.shared,
        "identical": int(exact.sum()),
        "near_identical": int(near.sum()),
        "related_sequences": related,
        "median_similarity": None if similarity is None else float(np.median(similarity)),
    }
    return _Found(
        one, len(test), len(train), one.shared, int(exact.sum()), int(near.sum()), exact | near, similarity, tuple(notes), figures
    )


def _identical(train: Array, test: Array) -> Array:
    """Test rows whose content is that of a training row, to the last bit."""
    dtype = np.promote_types(train.dtype, test.dtype)
    known = {row.tobytes() for row in np.ascontiguousarray(train, dtype=dtype)}
    return np.array([row.tobytes() in known for row in np.ascontiguousarray(test, dtype=dtype)], dtype=bool)


def _near(train: Array, test: Array, notes: list[str]) -> Array:
    """Test rows that a training row repeats up to rounding or noise far below the usual distances."""
    both = np.concatenate([train, test])
    known = np.isfinite(both).sum(axis=0) > 1
    both = np.where(np.isfinite(both[:, known]), both[:, known], np.nan)
    if not both.shape[1]:
        return np.zeros(len(test), dtype=bool)
    center, scale = np.nanmean(both, axis=0), np.nanstd(both, axis=0)
    moving = scale > 0
    if not moving.any():
        return np.zeros(len(test), dtype=bool)
    scaled = np.nan_to_num((both[:, moving] - center[moving]) / scale[moving])
    one, two = scaled[: len(train)], scaled[len(train) :]
    rounded = {row.tobytes() for row in np.round(one, 6) + 0.0}
    near = np.array([row.tobytes() in rounded for row in np.round(two, 6) + 0.0], dtype=bool)
    if len(one) > MOST_ROWS or len(two) > MOST_ROWS or one.shape[1] > MOST_FEATURES:
        notes.append(f"Distances were not computed: more than {MOST_ROWS:,} rows; equality after rounding was.")
        return near
    distance = _nearest(one, two)
    usual = float(np.median(distance[distance > RELATIVE])) if (distance > RELATIVE).any() else 0.0
    close = distance < min(RELATIVE * math.sqrt(one.shape[1]), OF_USUAL * usual) if usual else np.zeros(len(two), dtype=bool)
    found: Array = near | close
    return found


def _nearest(train: Array, test: Array) -> Array:
    """Distance of each test row to the nearest training row, in bounded memory. The candidate is found by the expanded square,
    whose rounding hides small distances; its distance is then computed exactly."""
    squares = np.einsum("ij,ij->i", train, train)
    nearest = np.empty(len(test), dtype=int)
    step = max(1, 4_000_000 // max(1, len(train)))
    for start in range(0, len(test), step):
        part = test[start : start + step]
        nearest[start : start + step] = np.argmin(squares - 2 * part @ train.T, axis=1)
    distances: Array = np.sqrt(np.sum((test - train[nearest]) ** 2, axis=1))
    return distances


def _sequences(train: Array, test: Array, notes: list[str]) -> Array | None:
    """Highest similarity of each test sequence to a training sequence; None if the rows are no sequences."""
    if train.ndim != 1 or train.dtype.kind not in "SU" or test.dtype.kind not in "SU" or not len(train) or not len(test):
        return None
    texts = [np.array([t.decode("latin-1") if isinstance(t, bytes) else str(t) for t in side]) for side in (train, test)]
    if np.median([len(text) for text in texts[0]]) < 2 * K:
        return None
    generator = np.random.default_rng(0)
    for k, side in enumerate(texts):
        if len(side) > MOST_SEQUENCES:
            notes.append(f"{MOST_SEQUENCES:,} of {len(side):,} {('training', 'test')[k]} sequences were compared.")
            texts[k] = side[np.sort(generator.choice(len(side), MOST_SEQUENCES, replace=False))]
    one, two = (np.stack([minhash(text) for text in side]) for side in texts)
    return np.array([float((one == row).mean(axis=1).max()) for row in two])


_PRIME = (1 << 31) - 1
_FACTORS = np.random.default_rng(20).integers(1, _PRIME, (2, HASHES), dtype=np.int64)


def minhash(text: str) -> Array:
    """Signature of a text's k-mers: the share of equal places of two signatures estimates the share of k-mers in common."""
    text = text.upper()
    mers = {text[k : k + K] for k in range(max(1, len(text) - K + 1))}
    codes = np.array([zlib.crc32(mer.encode()) % _PRIME for mer in mers], dtype=np.int64)
    hashed: Array = ((codes[:, None] * _FACTORS[0] + _FACTORS[1]) % _PRIME).min(axis=0)
    return hashed


def _effect(found: _Found, draws: int) -> tuple[str, dict[str, Any]] | None:
    """The score on repeated rows against the score on the others: different rows, so the interval is unpaired."""
    repeated = int(found.repeated.sum())
    task = found.one.task()
    if min(repeated, found.rows - repeated) < FEWEST or not isinstance(task, Task) or len(task) != found.rows:
        return None
    metric, _ = found.one.reported(task)
    ours, others = task.at(np.flatnonzero(found.repeated)), task.at(np.flatnonzero(~found.repeated))
    plainly = Sampling()
    interval = unpaired_difference(
        metric.statistic(ours),
        repeated,
        metric.statistic(others),
        found.rows - repeated,
        draws=draws,
        first_sampling=metric.sampling(ours) if metric.every_class else plainly,
        second_sampling=metric.sampling(others) if metric.every_class else plainly,
    )
    if math.isnan(interval.estimate):
        return None
    rest = metric.compute(others)
    text = (
        f"Without them {metric.label} is {number(rest)}; on them it is {number(rest + interval.estimate)} "
        f"(difference {signed(interval.estimate)}, {ends(interval, sign=True)})."
    )
    return text, {"metric": metric.name, "others": rest, "difference": plain(interval)}


def _sentence(found: _Found, effect: str) -> str:
    place = f"{found.one.model} ({found.one.place})"
    repeated = int(found.repeated.sum())
    parts = []
    if found.shared:
        parts.append(f"{share(found.shared, found.rows)} scored rows are rows that the model was fitted on")
    if repeated:
        kinds = f"{found.exact} identical, {found.near} nearly" if found.near else "identical"
        parts.append(f"{share(repeated, found.rows)} scored rows have the content of a training row ({kinds})")
    if found.similarity is not None:
        related = int((found.similarity >= ALIKE).sum())
        many = "more" if related > FEW * len(found.similarity) else "no more"
        parts.append(
            f"{share(related, len(found.similarity))} test sequences share at least half of their {K}-mers with a training "
            f"sequence, {many} than the {FEW:.0%} that are let pass".replace("%", " %")
        )
    if not parts:
        number_known = "" if found.shared is not None else " by content (row numbers are not known)"
        parts.append(f"none of the {found.rows:,} scored rows stands in the {found.train_rows:,} training rows{number_known}")
    return " ".join(filter(None, [f"{place}: {'; '.join(parts)}.", effect, *found.notes]))
