"""Plots of a report as SVG text, written by hand: no drawing library, no script, no colour but classes that the page's style
sheet fills (so that light, dark and print are the page's business).

Every plot is `WIDTH` units wide and as high as it needs; the page scales it. Long labels stand above what they name, not beside
it, so that nothing overlaps however long they are. Values that are not finite are left out and counted below the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from unicodedata import east_asian_width

from mllint_bio.experiments.results import Plot, Series

WIDTH = 460.0
FONT = 12.0  # units; the style sheet of the page uses the same size
COLOURS = 8  # classes c0 ... c7
LEGEND = 8  # series named in a legend; of more, the rest is counted
POINTS = 600  # of one curve, more are thinned: a plot is at most this many pixels wide
MARGIN = 8.0

STYLE = """
.plot{display:block;width:100%;height:auto;font:12px system-ui,sans-serif;overflow:visible}
.plot text{fill:var(--text)}
.plot .small{font-size:11px;fill:var(--muted)}
.plot .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.plot .end{text-anchor:end}.plot .mid{text-anchor:middle}
.plot .grid{stroke:var(--grid);stroke-width:1;fill:none}
.plot .axis{stroke:var(--axis);stroke-width:1;fill:none}
.plot .mark{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:5 3;fill:none}
.plot .marked{fill:var(--mark)}
.plot .curve{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.plot .first{stroke-width:3.4}
.plot .band{stroke:none;opacity:.18}
.plot .whisker{stroke-width:2;fill:none}
.plot .over{stroke:var(--text);stroke-width:1.3;fill:none}
.plot .cell{fill:var(--c0);stroke:var(--paper);stroke-width:1}
.plot .on{fill:var(--on)}
.plot .rug{stroke:var(--text);stroke-width:1;opacity:.6}
""" + "".join(f".plot .s{n}{{stroke:var(--c{n})}}.plot .f{n}{{fill:var(--c{n})}}\n" for n in range(COLOURS))


def svg(plot: Plot, name: str) -> str:
    """One plot. name: a prefix for ids, unique on the page. Raises ValueError for a kind that there is not."""
    draw = KINDS.get(plot.kind)
    if draw is None:
        raise ValueError(f"no such plot: {plot.kind!r}")
    canvas = draw(plot)
    title, told = f"{name}-title", f"{name}-text"
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {_n(WIDTH)} {_n(canvas.height)}" aria-labelledby="{title} {told}">'
        f'<title id="{title}">{_text(plot.title)}</title><desc id="{told}">{_text(summary(plot))}</desc>'
        + "".join(canvas.parts)
        + "</svg>"
    )


def summary(plot: Plot) -> str:
    """What a plot shows, in words, for those who cannot see it."""
    if plot.kind == "matrix":
        labels = plot.labels
        rows = [
            f"{labels[n] if n < len(labels) else n}: " + ", ".join(number(value) for value in row)
            for n, row in enumerate(plot.matrix[:20])
        ]
        return f"Matrix of {len(plot.matrix)} rows. " + "; ".join(rows)
    parts = []
    for series in plot.series[:20]:
        known = [y for y in series.y if math.isfinite(y)]
        if not known:
            parts.append(f"{series.name or 'series'}: no finite value")
        elif plot.kind == "curves":
            parts.append(f"{series.name}: {len(known)} points from {number(known[0])} to {number(known[-1])}")
        elif plot.kind == "histogram":
            parts.append(f"{len(known)} values from {number(min(known))} to {number(max(known))}")
        else:
            parts += [
                f"{label}: {value}"
                for label, value in zip(_labels(plot, series), map(_with_interval, _points(series)), strict=False)
            ]
    if plot.mark is not None:
        parts.append(f"{plot.mark_label or 'reference'}: {number(plot.mark)}")
    return f"{plot.kind.capitalize()}. " + "; ".join(parts) if parts else "No data."


# -- numbers and text ----------------------------------------------------------------------------------------------------


def number(value: float, digits: int = 4) -> str:
    """A number for people: at most `digits` significant digits, a true minus sign, powers of ten as in 1.2e5."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == round(value) and abs(value) < 1e6:
        text = str(round(value))
    else:
        text = f"{value:.{digits}g}"
        if "e" in text:
            mantissa, exponent = text.split("e")
            text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten), about evenly spread, from at most `low` to at least `high`.

    Both must be finite and low < high.
    """
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    while (math.ceil(high / step) - math.floor(low / step)) > most:
        # 1 -> 2 -> 5 -> 10
        step *= 2.5 if f"{step:e}".startswith("2") else 2.0
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels of ticks, all with the same number of decimals."""
    step = min((abs(b - a) for a, b in pairwise(values)), default=1.0)
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e6 or step < 1e-6:
        digits = max(2, math.ceil(math.log10(largest / step)) + 1) if step and largest else 3
        return [number(0.0 if abs(value) < step / 2 else value, min(digits, 12)) for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{0.0 if abs(value) < step / 2 else value:.{decimals}f}".replace("-", "−") for value in values]


def spread(values: Iterable[float], pad: float = 0.04) -> tuple[float, float]:
    """The ends of an axis: lowest and highest finite value with some air, but none below zero where nothing is."""
    known = [value for value in values if _drawable(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        air = abs(low) * 0.1 or 0.5
    else:
        air = (high - low) * pad
    return max(low - air, 0.0) if low >= 0 else low - air, high + air


def width_of(text: str, size: float = FONT) -> float:
    """About how wide a text is drawn, in units."""
    narrow, wide = "iljtfI.,:;'|![]() ", "mwMW@%"
    return size * sum(
        0.4 if c in narrow else 0.95 if c in wide else 1.0 if east_asian_width(c) in "WF" else 0.7 if c.isupper() else 0.62
        for c in text
    )


def shortened(text: str, room: float, size: float = FONT) -> str:
    """The text on one line, its middle cut out if it is wider than `room`: both ends of a name tell names apart."""
    text = " ".join(text.split())
    if width_of(text, size) <= room:
        return text
    keep = len(text)
    while keep > 2 and width_of(text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :], size) > room:
        keep -= 1
    return text[: keep - keep // 2].rstrip() + "…" + text[len(text) - keep // 2 :].lstrip()


def thinned(points: Sequence[tuple[float, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """At most `most` points of a curve that look the same: first, last, and the lowest and highest of every stretch between."""
    if len(points) <= most:
        return list(points)
    stretches = max(1, (most - 2) // 2)
    inner = points[1:-1]
    kept = [points[0]]
    for n in range(stretches):
        part = range(len(inner) * n // stretches, len(inner) * (n + 1) // stretches)
        if part:
            ends = {min(part, key=lambda i: inner[i][1]), max(part, key=lambda i: inner[i][1])}
            kept += [inner[i] for i in sorted(ends)]
    return [*kept, points[-1]]


def _n(value: float) -> str:
    """A coordinate: two decimals are finer than any screen."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _text(text: str) -> str:
    """Text that may stand in markup; characters that no document may hold are replaced."""
    return escape("".join(c if c.isprintable() else " " for c in text))


# -- drawing -------------------------------------------------------------------------------------------------------------


@dataclass
class _Canvas:
    parts: list[str] = field(default_factory=list)
    height: float = 0.0

    def add(self, tag: str, classes: str, more: str = "", **places: float) -> None:
        """An element; coordinates by name, `_` for `-`."""
        where = "".join(f' {key.replace("_", "-")}="{_n(value)}"' for key, value in places.items())
        self.parts.append(f'<{tag} class="{classes}"{where}{more}/>')

    def line(self, classes: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight line."""
        self.add("line", classes, x1=x1, y1=y1, x2=x2, y2=y2)

    def write(self, text: str, x: float, y: float, classes: str = "", more: str = "") -> None:
        """Text with its base line at y."""
        chosen = f' class="{classes}"' if classes else ""
        self.parts.append(f'<text{chosen} x="{_n(x)}" y="{_n(y)}"{more}>{_text(text)}</text>')

    def note(self, text: str) -> None:
        """A small line below everything so far."""
        self.height += 16
        self.write(shortened(text, WIDTH - 2 * MARGIN, 11), MARGIN, self.height - 4, "small")

    def legend(self, names: Sequence[str]) -> None:
        """Colours and names above the plot, in as many lines as they need; nothing for a single or nameless series."""
        if len(names) < 2 or not any(names):
            return
        x, y = MARGIN, self.height + 14
        shown = list(enumerate(names[:LEGEND]))
        for n, name in shown:
            label = shortened(name or f"series {n + 1}", WIDTH / 2 - 30, 11)
            room = 26 + width_of(label, 11)
            if x > MARGIN and x + room > WIDTH - MARGIN:
                x, y = MARGIN, y + 17
            self.add("rect", f"f{n % COLOURS}", x=x, y=y - 8, width=12, height=8)
            self.write(label, x + 16, y, "small")
            x += room
        if len(names) > LEGEND:
            if x > WIDTH - 90:
                x, y = MARGIN, y + 17
            self.write(f"and {len(names) - LEGEND} more", x, y, "small")
        self.height = y + 8


@dataclass(frozen=True)
class _Scale:
    """From values to coordinates, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def inside(self, value: float) -> float:
        """As above, values beyond the ends taken to the end."""
        return self(min(max(value, self.low), self.high))


def _curves(plot: Plot) -> _Canvas:
    """Lines over steps; the first is thick and later ones are dashed, so that curves that coincide are all seen."""
    canvas = _Canvas()
    drawn = [_finite(series) for series in plot.series]
    left_out = sum(len(series.y) for series in plot.series) - sum(map(len, drawn))
    all_x = [x for points in drawn for x, _ in points]
    all_y = [y for points in drawn for _, y in points]
    reference = _mark(plot)
    all_y += [v for series in plot.series for v in (*series.low, *series.high) if _drawable(v)]
    if not all_x:
        return _nothing(left_out)
    canvas.legend([series.name for series in plot.series])
    log = min(all_y) > 0 and max(all_y) / min(all_y) > 1000
    if log:
        marks = [10.0**e for e in range(math.floor(math.log10(min(all_y))), math.ceil(math.log10(max(all_y))) + 1)]
        named = [number(mark, 2) for mark in marks]
        if len(marks) > 7:
            named = [text if n % (len(marks) // 5) == 0 else "" for n, text in enumerate(named)]
    else:
        marks = ticks(*spread([*all_y, *([reference] if reference is not None else [])]))
        named = tick_labels(marks)
    left = MARGIN + max(map(width_of, named)) + 8
    top = canvas.height + (22 if plot.y_label else 10)
    bottom, right = top + 200, WIDTH - 14
    if plot.y_label:
        canvas.write(shortened(plot.y_label + (" (logarithmic)" if log else ""), 300, 11), MARGIN, top - 9, "small")
    y = _Scale(marks[0], marks[-1], bottom, top, log)
    for mark, name in zip(marks, named, strict=True):
        canvas.line("grid", left, y(mark), right, y(mark))
        canvas.write(name, left - 6, y(mark) + 4, "end")
    low, high = min(all_x), max(all_x)
    if low == high:
        low, high = low - 0.5, high + 0.5
    x = _Scale(low, high, left + 4, right)
    steps = [mark for mark in ticks(low, high, 5) if low <= mark <= high]
    if all(value == int(value) for value in all_x):
        steps = [mark for mark in steps if mark == int(mark)]
    for mark, name in zip(steps, tick_labels(steps), strict=True):
        canvas.line("axis", x(mark), bottom, x(mark), bottom + 4)
        half = width_of(name) / 2
        canvas.write(name, min(x(mark), WIDTH - half), bottom + 17, "mid")
    canvas.line("axis", left, bottom, right, bottom)
    canvas.height = bottom + 20
    if plot.x_label:
        canvas.write(shortened(plot.x_label, right - left, 11), (left + right) / 2, bottom + 33, "small mid")
        canvas.height = bottom + 38
    for n, (series, points) in enumerate(zip(plot.series, drawn, strict=True)):
        _band(canvas, series, n, x, y)
        _curve(canvas, series, points, n, x, y)
    if reference is not None and marks[0] <= reference <= marks[-1]:
        canvas.line("mark", left, y(reference), right, y(reference))
        canvas.write(shortened(plot.mark_label, 200, 11), right, y(reference) - 5, "small marked halo end")
    _count_left_out(canvas, left_out)
    return canvas


def _curve(canvas: _Canvas, series: Series, points: list[tuple[float, float]], n: int, x: _Scale, y: _Scale) -> None:
    """One curve; values that are not finite interrupt it."""
    dash = "" if n == 0 else f' stroke-dasharray="{(n % 4) * 3 + 3} {(n % 4) * 2 + 3}"'
    thick = " first" if n == 0 else ""
    for stretch in _stretches(series):
        shown = thinned(stretch)
        if len(shown) == 1:
            canvas.add("circle", f"f{n % COLOURS}", cx=x(shown[0][0]), cy=y(shown[0][1]), r=3.5 if n == 0 else 2.5)
        else:
            path = " ".join(f"{_n(x(a))},{_n(y(b))}" for a, b in shown)
            canvas.parts.append(f'<polyline class="curve s{n % COLOURS}{thick}"{dash} points="{path}"/>')


def _band(canvas: _Canvas, series: Series, n: int, x: _Scale, y: _Scale) -> None:
    """The area between the interval's ends, if the series has them at every point."""
    if not len(series.low) == len(series.high) == len(series.y):
        return
    whole = [
        (a, low, high)
        for a, low, high in zip(_positions(series), series.low, series.high, strict=True)
        if all(map(_drawable, (a, low, high)))
    ]
    if len(whole) > 1:
        upper = thinned([(a, high) for a, _, high in whole])
        lower = thinned([(a, low) for a, low, _ in whole])
        path = " ".join(f"{_n(x(a))},{_n(y(b))}" for a, b in [*upper, *reversed(lower)])
        canvas.parts.append(f'<polygon class="band f{n % COLOURS}" points="{path}"/>')


def _interval(plot: Plot) -> _Canvas:
    """One row a point: its label and figures in words, below them the interval as a line and the estimate as a dot."""

    def row(canvas: _Canvas, x: _Scale, y: float, point: _Point, n: int) -> None:
        value, low, high = point
        if low is not None and high is not None:
            canvas.line(f"whisker s{n % COLOURS}", x(low), y + 7, x(high), y + 7)
            for end in (low, high):
                canvas.line(f"whisker s{n % COLOURS}", x(end), y + 2, x(end), y + 12)
        canvas.add("circle", f"f{n % COLOURS}", cx=x(value), cy=y + 7, r=4.5)

    return _rows(plot, row, plot.x_label or plot.y_label, zero=False)


def _bars(plot: Plot) -> _Canvas:
    """One row a bar, from zero; the interval as a whisker over its end."""

    def row(canvas: _Canvas, x: _Scale, y: float, point: _Point, n: int) -> None:
        value, low, high = point
        ends = sorted((x(0.0), x(value)))
        canvas.add("rect", f"f{n % COLOURS}", x=ends[0], y=y, width=max(ends[1] - ends[0], 0.8), height=14)
        if low is not None and high is not None:
            canvas.line("over", x(low), y + 7, x(high), y + 7)
            for end in (low, high):
                canvas.line("over", x(end), y + 3, x(end), y + 11)

    return _rows(plot, row, plot.y_label or plot.x_label, zero=True)


_Point = tuple[float, "float | None", "float | None"]
MOST_ROWS = 40


def _rows(plot: Plot, draw: Callable[[_Canvas, _Scale, float, _Point, int], None], axis: str, zero: bool) -> _Canvas:
    """The frame that intervals and bars share: labels, the axis below, the reference line."""
    by_label: dict[str, list[tuple[str, _Point, int]]] = {}
    left_out = 0
    for n, series in enumerate(plot.series):
        for label, point in zip(_labels(plot, series), _points(series), strict=True):
            if math.isfinite(point[0]):
                several = len(plot.series) > 1 and series.name and series.name != label
                by_label.setdefault(label, []).append((f"{label}: {series.name}" if several else label, point, n))
            else:
                left_out += 1
    rows = [one for group in by_label.values() for one in group]
    if not rows:
        return _nothing(left_out)
    canvas = _Canvas()
    canvas.legend([series.name for series in plot.series])
    surplus = len(rows) - MOST_ROWS
    rows = rows[:MOST_ROWS]
    mark = _mark(plot)
    values = [v for _, point, _ in rows for v in point if v is not None]
    values += [mark] if mark is not None else []
    if zero:
        known = [0.0, *values]
        low, high = min(known), max(known)
        marks = ticks(low, high if high > low else low + 1.0)
    else:
        marks = ticks(*spread(values))
    start, end = MARGIN + 10, WIDTH - MARGIN - 10
    x = _Scale(marks[0], marks[-1], start, end)
    top = canvas.height + (24 if mark is not None else 8)
    height = 38.0
    bottom = top + height * len(rows) + 4
    for at in marks:
        canvas.line("grid", x(at), top, x(at), bottom)
    if mark is not None:
        _reference(canvas, plot, x(mark), mark, top, bottom)
    for n, (label, point, series_number) in enumerate(rows):
        y = top + n * height
        told = _with_interval(point)
        canvas.write(shortened(label, end - start - width_of(told) - 12), start, y + 15, "halo")
        canvas.write(told, end, y + 15, "halo end")
        draw(canvas, x, y + 21, point, series_number)
    canvas.line("axis", start, bottom, end, bottom)
    _value_axis(canvas, x, marks, bottom)
    if axis:
        canvas.write(shortened(axis, end - start, 11), (start + end) / 2, bottom + 33, "small mid")
        canvas.height = bottom + 38
    if surplus > 0:
        canvas.note(f"{surplus} more are not shown.")
    _count_left_out(canvas, left_out)
    return canvas


def _value_axis(canvas: _Canvas, x: _Scale, marks: Sequence[float], bottom: float) -> None:
    """Ticks and numbers below a horizontal axis; numbers that would touch are left out."""
    names = tick_labels(marks)
    taken = -math.inf
    for at, name in zip(marks, names, strict=True):
        canvas.line("axis", x(at), bottom, x(at), bottom + 4)
        half = width_of(name) / 2
        middle = min(max(x(at), half), WIDTH - half)
        if middle - half > taken + 6:
            canvas.write(name, middle, bottom + 17, "mid")
            taken = middle + half
    canvas.height = bottom + 22


def _reference(canvas: _Canvas, plot: Plot, at: float, mark: float, top: float, bottom: float) -> None:
    """The reference line with its label above, kept inside the plot."""
    canvas.line("mark", at, top - 4, at, bottom)
    label = shortened(plot.mark_label, WIDTH - 100, 11)
    label = f"{label}: {number(mark)}" if label and mark else label or number(mark)
    half = width_of(label, 11) / 2
    canvas.write(label, min(max(at, MARGIN + half), WIDTH - MARGIN - half), top - 9, "small marked mid")


def _histogram(plot: Plot) -> _Canvas:
    """How often which value came; every single value as a tick below; the real score as a line."""
    values = [y for y in plot.series[0].y if _drawable(y)] if plot.series else []
    left_out = len(plot.series[0].y) - len(values) if plot.series else 0
    if not values:
        return _nothing(left_out)
    mark = _mark(plot)
    canvas = _Canvas()
    ends = spread([*values, *([mark] if mark is not None else [])], 0.03)
    marks = ticks(*ends)
    inner = min(values), max(values)
    wanted = min(30, max(5, math.ceil(math.sqrt(len(values)))))
    size = (inner[1] - inner[0]) / wanted
    if size <= 1e-12 * max(map(abs, inner)):  # all alike: one bar, wide enough to be seen
        size = (marks[-1] - marks[0]) / 30
        edges = [inner[0] - size / 2, inner[0] + size / 2]
    else:
        edges = [inner[0] + n * size for n in range(wanted + 1)]
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(max(int((value - edges[0]) / size), 0), len(counts) - 1)] += 1
    levels = sorted({round(level) for level in ticks(0.0, float(max(counts)), 4)})
    named = [number(level) for level in levels]
    top = canvas.height + (34 if mark is not None else 22)
    bottom = top + 170
    left, right = MARGIN + max(map(width_of, named)) + 8, WIDTH - 14
    canvas.write(shortened(plot.y_label or "count", 200, 11), MARGIN, 10, "small")
    y = _Scale(0.0, float(levels[-1]), bottom, top)
    x = _Scale(marks[0], marks[-1], left, right)
    for level, name in zip(levels, named, strict=True):
        canvas.line("grid", left, y(level), right, y(level))
        canvas.write(name, left - 6, y(level) + 4, "end")
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        if count:
            canvas.add("rect", "f0", x=x(low), y=y(count), width=max(x(high) - x(low) - 1, 1), height=bottom - y(count))
    for value in values[:1000]:
        canvas.line("rug", x(value), bottom + 1, x(value), bottom + 6)
    canvas.line("axis", left, bottom, right, bottom)
    _value_axis(canvas, x, marks, bottom + 4)
    if plot.x_label:
        canvas.write(shortened(plot.x_label, right - left, 11), (left + right) / 2, bottom + 37, "small mid")
        canvas.height = bottom + 42
    if mark is not None:
        _reference(canvas, plot, x(mark), mark, top, bottom)
    _count_left_out(canvas, left_out)
    return canvas


MOST_CLASSES = 40


def _matrix(plot: Plot) -> _Canvas:
    """Rows and columns of numbers; the shade is the share of the row, so that rare classes are seen as well as common ones."""
    matrix = [list(row[:MOST_CLASSES]) for row in plot.matrix[:MOST_CLASSES]]
    columns = max(map(len, matrix), default=0)
    if not columns:
        return _nothing(0)
    canvas = _Canvas()
    size = max(len(matrix), columns)
    names = [plot.labels[n] if n < len(plot.labels) else str(n) for n in range(size)]
    side = min(76.0, (WIDTH - 150) / columns)
    small = side < 15
    room = min(110.0, max(width_of(name) for name in names[: len(matrix)]) + 1)
    left = MARGIN + 18 + room + 6
    slanted = max(width_of(name) for name in names[:columns]) > side - 4
    head = 22.0 + (min(90.0, max(width_of(name) for name in names[:columns])) if slanted else 16.0)
    if plot.x_label:
        canvas.write(shortened(plot.x_label, columns * side + 60, 11), left, 12, "small")
    tall = side if side >= 30 else max(side, 15.0) if not small else side
    every = max(1, math.ceil(12 / tall))
    for n in range(len(matrix)):
        if n % every == 0:
            canvas.write(shortened(names[n], room), left - 6, head + (n + 0.5) * tall + 4, "end")
    for n in range(0, columns, max(1, math.ceil(13 / side)) if slanted else 1):
        at = left + (n + 0.5) * side
        if slanted:
            turned = f' transform="rotate(-90 {_n(at + 4)} {_n(head - 6)})"'
            canvas.write(shortened(names[n], 90), at + 4, head - 6, "", turned)
        else:
            canvas.write(names[n], at, head - 6, "mid")
    for r, row in enumerate(matrix):
        whole = sum(value for value in row if math.isfinite(value) and value > 0)
        for c, value in enumerate(row):
            share = value / whole if whole and math.isfinite(value) and value > 0 else 0.0
            opacity = f' fill-opacity="{_n(0.05 + 0.9 * share)}"'
            canvas.add("rect", "cell", opacity, x=left + c * side, y=head + r * tall, width=side, height=tall)
            text = number(value, 3)
            if width_of(text) <= side - 4 and tall >= 14:
                middle = head + (r + 0.5) * tall + 4
                canvas.write(text, left + (c + 0.5) * side, middle, "mid on" if share > 0.5 else "mid")
    canvas.height = head + len(matrix) * tall + 6
    if plot.y_label:
        middle = head + len(matrix) * tall / 2
        label = shortened(plot.y_label, max(len(matrix) * tall, 60), 11)
        canvas.write(label, MARGIN + 6, middle, "small mid", f' transform="rotate(-90 {_n(MARGIN + 6)} {_n(middle)})"')
    surplus = max(len(plot.matrix), max(map(len, plot.matrix))) - MOST_CLASSES
    if surplus > 0:
        canvas.note(f"{surplus} more classes are not shown.")
    return canvas


def _nothing(left_out: int) -> _Canvas:
    canvas = _Canvas(height=60)
    canvas.write("no finite value to show" if left_out else "no data", WIDTH / 2, 34, "small mid")
    return canvas


def _count_left_out(canvas: _Canvas, count: int) -> None:
    if count:
        canvas.note(f"{count} value{'' if count == 1 else 's'} that {'is' if count == 1 else 'are'} not finite left out.")


# -- what a series holds -------------------------------------------------------------------------------------------------


def _positions(series: Series) -> tuple[float, ...]:
    return series.x if len(series.x) >= len(series.y) else tuple(float(n) for n in range(len(series.y)))


def _finite(series: Series) -> list[tuple[float, float]]:
    return [point for point in zip(_positions(series), series.y, strict=False) if all(map(_drawable, point))]


def _stretches(series: Series) -> list[list[tuple[float, float]]]:
    """Points of a curve, in pieces between values that are not finite."""
    found: list[list[tuple[float, float]]] = [[]]
    for point in zip(_positions(series), series.y, strict=False):
        if all(map(_drawable, point)):
            found[-1].append(point)
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if stretch]


def _mark(plot: Plot) -> float | None:
    return plot.mark if plot.mark is not None and _drawable(plot.mark) else None


def _drawable(value: float) -> bool:
    """Whether a value has a place on an axis: differences of larger ones are infinite."""
    return math.isfinite(value) and abs(value) < 1e300


def _labels(plot: Plot, series: Series) -> list[str]:
    """The label of each value: the series' own, else the plot's, else the series' name or a number."""
    own = series.labels or plot.labels
    alone = len(series.y) == 1 and series.name
    return [own[n] if n < len(own) else series.name if alone else str(n + 1) for n in range(len(series.y))]


def _points(series: Series) -> list[_Point]:
    """Estimate and ends of the interval of each value; no ends where they are missing or not finite."""
    found: list[_Point] = []
    for n, value in enumerate(series.y):
        low = series.low[n] if n < len(series.low) and _drawable(series.low[n]) else None
        high = series.high[n] if n < len(series.high) and _drawable(series.high[n]) else None
        whole = low is not None and high is not None
        found.append((value if _drawable(value) else math.nan, low if whole else None, high if whole else None))
    return found


def _with_interval(point: _Point) -> str:
    value, low, high = point
    return number(value) if low is None or high is None else f"{number(value)} [{number(low)}, {number(high)}]"


KINDS: dict[str, Callable[[Plot], _Canvas]] = {
    "curves": _curves,
    "interval": _interval,
    "bars": _bars,
    "matrix": _matrix,
    "histogram": _histogram,
}
