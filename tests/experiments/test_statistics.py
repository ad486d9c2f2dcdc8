"""Intervals and p-values."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("hypothesis", reason="hypothesis is not installed")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mllint_bio.experiments import statistics
from mllint_bio.experiments.statistics import Sampling, bootstrap


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_hold_the_true_mean_as_often_as_they_say(method: str) -> None:
    """Of 300 samples of 40 rows, about 95 % give an interval with the true mean inside."""
    generator = np.random.default_rng(1)
    held = 0
    for trial in range(300):
        values = generator.normal(3.0, 2.0, 40)
        interval = bootstrap(lambda i, v=values: v[i].mean(), 40, draws=400, seed=trial, method=method)  # type: ignore[misc]
        held += interval.low <= 3.0 <= interval.high
    assert 0.89 <= held / 300 <= 0.99


def test_paired_differences_are_narrower_than_unpaired_ones() -> None:
    """Two models that fail on the same rows differ by little: the paired interval shows it, the unpaired one cannot."""
    generator = np.random.default_rng(2)
    first = generator.random(200) < 0.8
    second = first.copy()
    second[:4] = ~second[:4]
    paired = bootstrap(lambda i: first[i].mean() - second[i].mean(), 200)
    apart = statistics.unpaired_difference(lambda i: first[i].mean(), 200, lambda i: second[i].mean(), 200)
    assert paired.estimate == pytest.approx(apart.estimate)
    assert paired.high - paired.low < (apart.high - apart.low) / 2
    assert paired.paired and not apart.paired


def test_rows_of_one_group_are_drawn_together() -> None:
    """Ten equal copies of each of 20 rows are 20 observations: the grouped interval is about sqrt(10) times as wide."""
    values = np.repeat(np.random.default_rng(3).normal(size=20), 10)
    groups = np.repeat(np.arange(20), 10)
    plain = bootstrap(lambda i: values[i].mean(), 200)
    grouped = bootstrap(lambda i: values[i].mean(), 200, sampling=Sampling(groups=groups))
    assert 2.2 < (grouped.high - grouped.low) / (plain.high - plain.low) < 4.5


def test_strata_keep_their_sizes() -> None:
    """Every draw holds as many rows of each class as the data."""
    labels = np.array(["a"] * 3 + ["b"] * 30)
    draw = Sampling(strata=labels).drawer(33, seed=0)
    assert {(labels[draw()] == "a").sum() for _ in range(50)} == {3}


def test_a_figure_without_value_on_most_draws_has_no_interval() -> None:
    """One class only: no ends, and no crash."""
    interval = bootstrap(lambda i: math.nan, 10)
    assert math.isnan(interval.low) and interval.resamples == 0
    assert math.isnan(bootstrap(lambda i: 1.0, 1).high)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.integers(0, 1000))
def test_same_seed_same_interval(values: list[float], seed: int) -> None:
    """The interval is a function of data and seed, and lies within the range of the data (a mean cannot leave it)."""
    data = np.array(values)
    one = bootstrap(lambda i: data[i].mean(), len(data), draws=50, seed=seed)
    assert one == bootstrap(lambda i: data[i].mean(), len(data), draws=50, seed=seed)
    slack = 1e-9 * (1 + np.abs(data).max())
    assert data.min() - slack <= one.low <= one.high <= data.max() + slack


def test_large_data_get_fewer_draws_and_say_so() -> None:
    """The number of draws is bounded by the work, and the interval tells how many there were."""
    values = np.random.default_rng(0).random(200_000)
    assert bootstrap(lambda i: values[i].mean(), len(values), method="percentile").resamples == 200


@pytest.mark.parametrize(
    ("degrees", "expected"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227)]
)
def test_t_quantiles_are_those_of_the_tables(degrees: int, expected: float) -> None:
    """The 97.5 % points of Student's t."""
    assert statistics.t_quantile(0.95, degrees) == pytest.approx(expected, rel=1e-5)


def test_interval_of_a_mean_over_seeds() -> None:
    """Five runs: mean ± t(4) · s / sqrt(5); one run has no interval; runs without a figure are left out."""
    interval = statistics.mean_interval([0.8, 0.9, 0.85, 0.95, 0.75, math.nan])
    assert interval.estimate == pytest.approx(0.85)
    assert interval.high - interval.estimate == pytest.approx(2.77645 * 0.0790569 / math.sqrt(5), rel=1e-4)
    assert interval.resamples == 5
    assert math.isnan(statistics.mean_interval([0.8]).low)


def test_permutation_p_is_never_zero() -> None:
    """(b + 1) / (k + 1), in the direction of the metric."""
    assert statistics.permutation_p(0.9, [0.5] * 19) == pytest.approx(1 / 20)
    assert statistics.permutation_p(0.5, [0.5, 0.6, 0.4]) == pytest.approx(3 / 4)
    assert statistics.permutation_p(0.1, [0.5] * 9, "down") == pytest.approx(1 / 10)


def test_best_of_many_looks() -> None:
    """One look is no choice; the bound grows with the logarithm of the looks."""
    assert statistics.best_of(1) == 0
    generator = np.random.default_rng(4)
    best = generator.normal(size=(4000, 50)).max(axis=1).mean()
    assert best <= statistics.best_of(50) <= 1.3 * best
