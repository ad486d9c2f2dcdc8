"""What `confirm` concludes: a judgement per finding, a result per experiment, and the report that holds both.

Renderers (`mllint_bio.render.confirmation_*`) work on these records alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mllint_bio.diagnostics import Diagnostic


class Verdict(Enum):
    """What a run says about a finding. CONFIRMED: the fault happened; REFUTED: the run shows that it did not; NOT_REACHED: the
    run did not get there, or the question needs what this machine lacks; OBSERVED: a fault that only the run shows."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    NOT_REACHED = "not reached"
    OBSERVED = "observed"


@dataclass(frozen=True)
class Judgement:
    """The verdict on one finding. figure: the sentence with the number that it rests on ("StandardScaler.fit saw 569 rows, 114 of
    them are the rows scored at line 41"), or, for NOT_REACHED, the reason; measured: the numbers for JSON; effect: the sentence
    of the counterfactual, if one was run ("with the fix ...")."""

    finding: Diagnostic
    verdict: Verdict
    figure: str
    measured: dict[str, Any] = field(default_factory=dict)
    effect: str = ""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval. level: 0.95; resamples: bootstrap draws or repeats that it rests on;
    paired: whether both figures were computed on the same rows."""

    estimate: float
    low: float
    high: float
    level: float = 0.95
    resamples: int = 0
    paired: bool = True


@dataclass(frozen=True)
class Series:
    """One line, one set of bars or one sample of a plot. x may be empty (positions 0, 1, ...); low, high: interval ends."""

    name: str
    y: tuple[float, ...]
    x: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A plot of the report.

    kind: curves (loss per step, one series a run), interval (points with low/high; labels name them; `mark` is the reference
    value), bars (labels and y), matrix (rows of `matrix`, classes in `labels`), histogram (series 0 is the sample, `mark` is the
    real score).
    """

    kind: str
    title: str
    x_label: str = ""
    y_label: str = ""
    series: tuple[Series, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()
    labels: tuple[str, ...] = ()
    mark: float | None = None
    mark_label: str = ""


@dataclass(frozen=True)
class Table:
    """A small table: header and rows of cells (text or numbers)."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]


@dataclass(frozen=True)
class Result:
    """What one experiment says.

    name: as in `--experiments` (repeat, seeded-repeat, determinism, counterfactual, tuned-baseline, class-balance, test-reuse,
    label-shuffle, overlap); status: done, skipped (nothing to do for this program) or failed; verdict: one or two plain
    sentences; reason: why it was skipped or failed; figures: numbers for JSON; runs: runs of the program that it took;
    code, place: of the finding that it is about, if it is about one.
    """

    name: str
    title: str
    status: str
    verdict: str = ""
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    runs: int = 0
    seconds: float = 0.0
    code: str = ""
    place: str = ""


@dataclass(frozen=True)
class Confirmation:
    """The whole of a `confirm`: the report that is shown, written as JSON or rendered as HTML.

    command: as given; status, reason: how the first run ended, in words; seconds: of that run; judgements: by severity and place;
    results: of the experiments; refusals: lines on what the sandbox refused, each with its option; environment:
    Python, packages, hardware; scores: (metric, value, place, held out?) of every figure that the run computed on known rows;
    intervals: how many confidence intervals were computed; notes: limits that a reader must know.
    """

    command: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    judgements: tuple[Judgement, ...] = ()
    results: tuple[Result, ...] = ()
    refusals: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    scores: tuple[tuple[str, float, str, bool | None], ...] = ()
    intervals: int = 0
    notes: tuple[str, ...] = ()
