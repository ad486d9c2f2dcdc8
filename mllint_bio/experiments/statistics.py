"""Intervals and p-values: bootstrap of a figure or of a difference, interval of a mean over seeds, permutation p-value.

Numpy only. Everything random takes a seed and gives the same answer for it. Sources: Efron and Tibshirani, *An Introduction to
the Bootstrap* (1993), chapters 13 and 14 (percentile and BCa intervals); Abramowitz and Stegun 26.7.3 and 26.7.4 (Student's t);
Phipson and Smyth, "Permutation P-values Should Never Be Zero" (2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from mllint_bio.experiments.results import Interval

Array = np.ndarray[Any, np.dtype[Any]]
Statistic = Callable[[Array], float]  # of the rows at these positions; nan where it has no value (one class only)

DRAWS = 2000
WORK = 40_000_000  # rows that all draws together may touch: 2,000 draws of 20,000 rows; above that there are fewer draws
FEWEST_DRAWS = 200
BLOCKS = 200  # jackknife blocks of the BCa interval
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Sampling:
    """How rows are drawn. groups: label per row; whole groups are drawn, because rows of one group are not independent (strata
    are then left aside); strata: label per row; each stratum keeps its number of rows, for figures that need every class."""

    groups: Array | None = None
    strata: Array | None = None

    def blocks(self, rows: int) -> list[Array]:
        """The units that are drawn: positions of each group, or single rows."""
        if self.groups is None:
            return [np.array([row]) for row in range(rows)]
        return _positions(self.groups)

    def drawer(self, rows: int, seed: int) -> Callable[[], Array]:
        """A function that gives the positions of the next draw, with replacement."""
        generator = np.random.default_rng(seed)
        if self.groups is not None:
            blocks = _positions(self.groups)
            return lambda: np.concatenate([blocks[k] for k in generator.integers(0, len(blocks), len(blocks))])
        if self.strata is not None:
            strata = _positions(self.strata)
            return lambda: np.concatenate([part[generator.integers(0, len(part), len(part))] for part in strata])
        return lambda: generator.integers(0, rows, rows)


def bootstrap(
    statistic: Statistic,
    rows: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    sampling: Sampling | None = None,
    level: float = 0.95,
    method: str = "bca",
    paired: bool = True,
) -> Interval:
    """The figure on all rows and its bootstrap interval.

    A paired difference of two models is a statistic that scores both on the same positions. method: bca or percentile. Draws on
    which the figure has no value are left out; the ends are nan if they are the majority, or if there are fewer than 2 rows.
    """
    sampling = sampling or Sampling()
    estimate = _value(statistic, np.arange(rows))
    sample = _sample(statistic, rows, draws, seed, sampling)
    if len(sample) == 0 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, level, len(sample), paired)
    shares = ((1 - level) / 2, (1 + level) / 2)
    if method == "bca":
        shares = _bca_shares(statistic, rows, sample, estimate, sampling, shares)
    low, high = np.quantile(sample, shares)
    return Interval(estimate, float(low), float(high), level, len(sample), paired)


def bootstrap_deviation(
    statistic: Statistic, rows: int, *, draws: int = DRAWS, seed: int = 0, sampling: Sampling | None = None
) -> float:
    """Standard deviation of a figure over bootstrap draws: its sampling error on a test set of this size. nan if it has none."""
    sample = _sample(statistic, rows, draws, seed, sampling or Sampling())
    return float(np.std(sample, ddof=1)) if len(sample) > 1 else math.nan


def unpaired_difference(
    first: Statistic,
    first_rows: int,
    second: Statistic,
    second_rows: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    first_sampling: Sampling | None = None,
    second_sampling: Sampling | None = None,
    level: float = 0.95,
) -> Interval:
    """First figure minus second, computed on different rows; percentile interval of independent draws of both."""
    one = _sample(first, first_rows, draws, seed, first_sampling or Sampling())
    two = _sample(second, second_rows, draws, seed + 1, second_sampling or Sampling())
    estimate = _value(first, np.arange(first_rows)) - _value(second, np.arange(second_rows))
    count = min(len(one), len(two))
    if count == 0:
        return Interval(estimate, math.nan, math.nan, level, 0, paired=False)
    low, high = np.quantile(one[:count] - two[:count], ((1 - level) / 2, (1 + level) / 2))
    return Interval(estimate, float(low), float(high), level, count, paired=False)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean over runs (seeds) with Student's t interval; the ends are nan for fewer than two values that are numbers."""
    numbers = np.array([value for value in values if math.isfinite(value)], dtype=float)
    if len(numbers) < 2:
        return Interval(
            float(numbers.mean()) if len(numbers) else math.nan, math.nan, math.nan, level, len(numbers), paired=False
        )
    half = t_quantile(level, len(numbers) - 1) * float(np.std(numbers, ddof=1)) / math.sqrt(len(numbers))
    mean = float(numbers.mean())
    return Interval(mean, mean - half, mean + half, level, len(numbers), paired=False)


def permutation_p(real: float, null: Sequence[float], direction: str = "up") -> float:
    """(b + 1) / (k + 1): b of the k null figures are at least as good as the real one. direction: up if higher is better."""
    sign = -1.0 if direction == "down" else 1.0
    numbers = [value for value in null if math.isfinite(value)]
    return (sum(sign * value >= sign * real for value in numbers) + 1) / (len(numbers) + 1)


def t_quantile(level: float, degrees: int) -> float:
    """The t with P(|T| < t) = level for Student's T with so many degrees of freedom (1 or more)."""
    low, high = 0.0, 1.0
    while _t_inside(high, degrees) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_inside(middle, degrees) < level else (low, middle)
    return (low + high) / 2


def best_of(looks: int) -> float:
    """Expected excess of the best of k equally good candidates, in standard deviations of the score: sqrt(2 ln k), an upper bound
    that holds for independent normal errors; 0 for one look."""
    return math.sqrt(2 * math.log(looks)) if looks > 1 else 0.0


def _t_inside(t: float, degrees: int) -> float:
    """P(|T| < t), by the finite series for whole degrees of freedom."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees == 1:
        return 2 * angle / math.pi
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _positions(labels: Array) -> list[Array]:
    _, codes = np.unique(labels, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _value(statistic: Statistic, positions: Array) -> float:
    with np.errstate(all="ignore"):
        value = float(statistic(positions)) if len(positions) else math.nan
    return value if math.isfinite(value) else math.nan


def _sample(statistic: Statistic, rows: int, draws: int, seed: int, sampling: Sampling) -> Array:
    """Figures of the draws; empty where they would say nothing."""
    if rows < 2:
        return np.empty(0)
    draws = max(min(draws, WORK // rows), min(draws, FEWEST_DRAWS))
    draw = sampling.drawer(rows, seed)
    values = np.array([_value(statistic, draw()) for _ in range(draws)])
    numbers: Array = values[~np.isnan(values)]
    return numbers if 2 * len(numbers) > draws else np.empty(0)


def _bca_shares(
    statistic: Statistic, rows: int, sample: Array, estimate: float, sampling: Sampling, shares: tuple[float, float]
) -> tuple[float, float]:
    """Shares of the sample at which the bias-corrected and accelerated interval ends; the plain ones where there is no spread."""
    below = (np.sum(sample < estimate) + 0.5 * np.sum(sample == estimate)) / len(sample)
    if not 0 < below < 1:
        return shares
    left_out = _jackknife(statistic, rows, sampling)
    spread = left_out.mean() - left_out if len(left_out) else left_out
    scale = float(np.sum(spread**2)) ** 1.5
    acceleration = float(np.sum(spread**3)) / (6 * scale) if scale > 0 else 0.0
    bias = _NORMAL.inv_cdf(float(below))

    def share(plain: float) -> float:
        z = bias + _NORMAL.inv_cdf(plain)
        return _NORMAL.cdf(bias + z / (1 - acceleration * z)) if acceleration * z < 1 else plain

    return share(shares[0]), share(shares[1])


def _jackknife(statistic: Statistic, rows: int, sampling: Sampling) -> Array:
    """Figures without each unit, units being joined into at most BLOCKS blocks."""
    units = sampling.blocks(rows)
    order = np.random.default_rng(0).permutation(len(units))
    everything = np.ones(rows, dtype=bool)
    values = []
    for block in np.array_split(order, min(BLOCKS, len(units))):
        kept = everything.copy()
        kept[np.concatenate([units[k] for k in block])] = False
        values.append(_value(statistic, np.flatnonzero(kept)))
    numbers = np.array(values)
    valid: Array = numbers[~np.isnan(numbers)]
    return valid
