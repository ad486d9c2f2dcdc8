"""What experiments share in telling and in failing: figures in words, figures for JSON, and one line for what went wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from mllint_bio.experiments.results import Interval, Result
from mllint_bio.experiments.study import Experiment, Study


def number(value: float | None) -> str:
    """Three significant places for figures of merit; large ones keep their whole digits."""
    if value is None or math.isnan(value):
        return "not defined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


def signed(value: float) -> str:
    """A difference, with its sign."""
    return ("+" if value > 0 else "−" if value < 0 else "") + number(abs(value))


def ends(interval: Interval, sign: bool = False) -> str:
    """`95 % interval 0.91 … 0.97`, or that there is none."""
    if math.isnan(interval.low):
        return "no interval"
    show = signed if sign else number
    return f"{interval.level:.0%} interval {show(interval.low)} … {show(interval.high)}".replace("%", " %", 1)


def plain(interval: Interval) -> dict[str, float | int | bool | None]:
    """An interval for JSON; ends that are not numbers are null."""
    figures = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
    known: dict[str, float | int | bool | None] = {name: None if math.isnan(value) else value for name, value in figures.items()}
    return known | {"level": interval.level, "resamples": interval.resamples, "paired": interval.paired}


def share(part: int, whole: int) -> str:
    """`114 of 569 (20 %)`."""
    return f"{part:,} of {whole:,} ({part / whole:.0%})".replace("%)", " %)") if whole else "0 of 0"


def attempt(experiment: Experiment, study: Study, measure: Callable[[], Result]) -> list[Result]:
    """The result of a measurement, with its time; skipped with the reason where there is nothing to measure, and failed with one
    line, never a traceback, where the arrays of a program are stranger than was foreseen."""
    started = time.monotonic()
    reason = experiment.applies(study)
    if reason:
        return [Result(experiment.name, experiment.title, "skipped", reason=reason)]
    try:
        result = measure()
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        result = Result(experiment.name, experiment.title, "failed", reason=f"{type(error).__name__}: {text}")
    return [replace(result, seconds=time.monotonic() - started)]
