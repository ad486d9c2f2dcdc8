"""Plots as SVG."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from mllint_bio.experiments.results import Plot, Series
from mllint_bio.render.plots import (
    KINDS,
    POINTS,
    WIDTH,
    number,
    shortened,
    spread,
    summary,
    svg,
    thinned,
    tick_labels,
    ticks,
    width_of,
)
from tests.render.confirmation_samples import BARS, CURVES, HISTOGRAM, INTERVAL, MATRIX

NAN, INF = math.nan, math.inf
ODD: dict[str, tuple[float, ...]] = {
    "empty": (),
    "one": (0.5,),
    "constant": (0.5,) * 5,
    "zero": (0.0, 0.0),
    "not a number": (NAN, NAN),
    "diverged": (1.0, 2.0, INF, NAN, -INF),
    "huge": (1e308, -1e308, 3.0),
    "tiny": (1e-300, 2e-300),
    "near": (1.0, 1.0 + 1e-15),
    "many": tuple(math.sin(n) for n in range(10_000)),
}


def tree(plot: Plot) -> ElementTree.Element:
    """The parsed SVG; a parse error is a test failure."""
    return ElementTree.fromstring(svg(plot, "p"))


def coordinates(root: ElementTree.Element) -> list[float]:
    """Every horizontal coordinate that is drawn."""
    found = [float(e.get(key, "")) for e in root.iter() for key in ("x", "x1", "x2", "cx") if e.get(key) is not None]
    lines = [e.get("points", "") for e in root.iter() if e.get("points")]
    return found + [float(pair.split(",")[0]) for points in lines for pair in points.split()]


def odd(kind: str, values: tuple[float, ...]) -> Plot:
    """A plot of odd values."""
    if kind == "matrix":
        return Plot(kind, "odd", matrix=(values, values[:2]) if values else ())
    ends = {"low": tuple(v - 1 for v in values), "high": tuple(v + 1 for v in values)} if kind == "interval" else {}
    return Plot(kind, "odd", "x", "y", (Series("a", values, **ends),), mark=values[0] if values else None, mark_label="mark")


@pytest.mark.parametrize("values", ODD.values(), ids=ODD)
@pytest.mark.parametrize("kind", KINDS)
def test_any_values_give_a_drawing_inside_its_frame(kind: str, values: tuple[float, ...]) -> None:
    """No kind of plot fails on empty, constant, infinite or very many values, nor draws beside its frame."""
    root = tree(odd(kind, values))
    places = coordinates(root)
    assert all(math.isfinite(x) and -0.5 <= x <= WIDTH + 0.5 for x in places)
    assert float(root.get("viewBox", "").split()[3]) > 0
    text = " ".join("".join(e.itertext()) for e in root.iter("text"))
    if values in (ODD["empty"], ODD["not a number"]) and kind != "matrix":
        assert text in ("no data", "no finite value to show")


@pytest.mark.parametrize("plot", [CURVES, INTERVAL, BARS, MATRIX, HISTOGRAM], ids=lambda plot: plot.kind)
def test_plots_have_a_name_and_words_for_those_who_cannot_see(plot: Plot) -> None:
    """Role, title and description are linked; the description holds the figures."""
    root = tree(plot)
    title, described = root.get("aria-labelledby", "").split()
    texts = {e.get("id"): e.text for e in root if e.get("id")}
    assert root.get("role") == "img" and texts[title] == plot.title
    assert texts[described] == summary(plot) and any(c.isdigit() for c in summary(plot))


def test_description_names_every_estimate_with_its_interval() -> None:
    """What an interval plot shows can be read out."""
    assert "accuracy (MLB706, train.py:9): −0.018 [−0.035, −0.004]" in summary(INTERVAL)
    assert summary(INTERVAL).endswith("no change: 0")


def test_unknown_kind_is_an_error() -> None:
    """A misspelt kind is not drawn as nothing."""
    with pytest.raises(ValueError, match="pie"):
        svg(Plot("pie", "t"), "p")


def test_text_of_the_user_is_escaped() -> None:
    """Labels are text, never markup; characters that XML forbids are gone."""
    evil = "</text><script>alert(1)</script>\x00&"
    plots = [replace(p, title=evil, x_label=evil, y_label=evil, mark_label=evil) for p in (CURVES, INTERVAL, BARS, HISTOGRAM)]
    plots += [replace(MATRIX, labels=(evil, evil)), Plot("bars", "t", series=(Series(evil, (1.0,), labels=(evil,)),))]
    for plot in plots:
        root = tree(plot)
        assert not [e for e in root.iter() if e.tag == "script"]


def test_labels_of_rows_never_reach_their_figures() -> None:
    """A long label is shortened to the room that the figure leaves."""
    long = "a very long name of an estimator with all of its parameters " * 3
    plot = Plot("bars", "t", series=(Series("s", (0.123,), low=(0.1,), high=(0.2,), labels=(long,)),))
    label, figure = (e for e in tree(plot).iter("text") if e.get("class", "").startswith("halo"))
    assert figure.text == "0.123 [0.1, 0.2]"
    assert label.text is not None and "…" in label.text
    assert float(label.get("x", "")) + width_of(label.text) < float(figure.get("x", "")) - width_of(figure.text)


def test_numbers_of_an_axis_do_not_touch() -> None:
    """Numbers below an axis keep their distance, however long they are."""
    plot = Plot("interval", "t", series=(Series("s", (1234567.891, 1234569.2)),))
    root = tree(plot)
    named = [e for e in root.iter("text") if e.get("class") == "mid" and "rotate" not in e.get("transform", "")]
    ends = [(float(e.get("x", "")), width_of(e.text or "") / 2) for e in named]
    assert len(ends) >= 2
    assert all(a + half < b - other for (a, half), (b, other) in pairwise(ends))


def test_values_that_are_not_finite_interrupt_a_curve_and_are_counted() -> None:
    """A diverged run shows where it broke off, and the plot says how many values it leaves out."""
    plot = Plot("curves", "t", series=(Series("a", (1.0, 2.0, NAN, 3.0, 4.0, INF)),))
    root = tree(plot)
    assert len(list(root.iter("polyline"))) == 2
    assert any("2 values that are not finite left out" in (e.text or "") for e in root.iter("text"))


def test_long_curves_are_thinned_and_keep_their_extremes() -> None:
    """Of ten thousand points a few hundred are drawn, the lowest and highest among them."""
    points = [(float(n), math.sin(n / 50)) for n in range(10_000)]
    points[4321] = (4321.0, 9.0)
    points[7777] = (7777.0, -9.0)
    few = thinned(points)
    assert len(few) <= POINTS and few == sorted(few)
    assert {points[0], points[-1], points[4321], points[7777]} <= set(few)


def test_losses_over_several_powers_of_ten_get_a_logarithmic_axis() -> None:
    """Powers of ten are the ticks, and the axis says that it is logarithmic."""
    texts = [e.text for e in tree(Plot("curves", "t", "step", "loss", (Series("a", (1000.0, 1.0, 0.01)),))).iter("text")]
    assert "loss (logarithmic)" in texts and {"1000", "10", "0.1"} <= set(texts)


def test_histogram_counts_every_value_once() -> None:
    """The bars' heights add up to the sample, and the real score is marked with its value."""
    root = tree(HISTOGRAM)
    levels = [float(e.get("y1", "")) for e in root.iter("line") if e.get("class") == "grid"]
    names = [int(e.text or "") for e in root.iter("text") if e.get("class") == "end"]
    unit = (levels[0] - levels[-1]) / (names[-1] - names[0])
    assert sum(float(e.get("height", "")) for e in root.iter("rect")) / unit == pytest.approx(20, abs=0.05)
    assert any(e.text == "with the real labels: 0.9737" for e in root.iter("text"))


def test_interval_crosses_the_line_of_no_change_where_it_should() -> None:
    """The first interval of the sample ends left of the reference line, the second crosses it."""
    root = tree(INTERVAL)
    mark = next(float(e.get("x1", "")) for e in root.iter("line") if e.get("class") == "mark")
    spans = [
        (float(e.get("x1", "")), float(e.get("x2", "")))
        for e in root.iter("line")
        if "whisker" in e.get("class", "") and e.get("y1") == e.get("y2")
    ]
    assert spans[0][0] < spans[0][1] < mark and spans[1][0] < mark < spans[1][1]


def test_shade_of_a_matrix_is_the_share_of_the_row() -> None:
    """A rare class is as visible as a common one; counts stand in the cells."""
    root = tree(Plot("matrix", "t", matrix=((5.0, 5.0), (0.0, 900.0)), labels=("rare", "common")))
    shades = [float(e.get("fill-opacity", "")) for e in root.iter("rect")]
    assert shades[0] == shades[1] and shades[3] > shades[0] > shades[2]
    assert {"5", "0", "900", "rare", "common"} <= {e.text for e in root.iter("text")}


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.035, 0.0143), (3, 3.0001), (0, 1e9), (1e-7, 9e-7), (-5, 5), (0, 49)])
def test_ticks_are_round_and_cover_the_range(low: float, high: float) -> None:
    """Two to seven ticks at 1, 2 or 5 times a power of ten; labels are all different."""
    marks = ticks(low, high)
    step = marks[1] - marks[0]
    assert 2 <= len(marks) <= 7 and marks[0] <= low + step * 1e-6 and marks[-1] >= high - step * 1e-6
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)
    assert len(set(tick_labels(marks))) == len(marks)


def test_axis_of_positive_values_does_not_go_below_zero() -> None:
    """Air around the values does not invent negative losses."""
    assert spread([0.01, 1.0])[0] == 0.0
    assert spread([-0.01, 1.0])[0] < -0.01


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97368, "0.9737"), (-0.018, "−0.018"), (5.0, "5"), (123456.0, "123456"), (1.2e9, "1.2e9"), (3e-7, "3e−7"),
     (NAN, "not a number"), (-INF, "−∞"), (0.0, "0")],
)  # fmt: skip
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    """Four digits, a true minus, no padding of exponents."""
    assert number(value) == text


def test_shortened_names_keep_both_ends() -> None:
    """The middle goes, and the rest fits."""
    short = shortened("RandomForestClassifier(n_estimators=500, max_depth=3)", 150)
    assert short.startswith("Random") and short.endswith("=3)") and width_of(short) <= 150
    assert shortened("fits", 150) == "fits"
