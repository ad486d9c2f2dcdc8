"""What `confirm` concluded as one page: a single file without script or anything that is fetched, for reviewers and supplements.

Everything that comes from the user's program is escaped; a content security policy forbids scripts and requests besides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import mllint_bio
from mllint_bio.diagnostics import Place
from mllint_bio.experiments.results import Confirmation, Interval, Judgement, Result, Table, Verdict
from mllint_bio.render import plots
from mllint_bio.render.confirmation_json import plain
from mllint_bio.render.confirmation_text import SEEN, cell, closing, duration, how_it_ended, multiplicity
from mllint_bio.render.plain import excerpt

if TYPE_CHECKING:
    from mllint_bio.sources import SourceUnit

CLASSES = {
    Verdict.CONFIRMED: "confirmed",
    Verdict.REFUTED: "refuted",
    Verdict.NOT_REACHED: "unreached",
    Verdict.OBSERVED: "observed",
}
MEANINGS = {
    Verdict.CONFIRMED: "the fault happened in the run",
    Verdict.REFUTED: "the run shows that it did not happen",
    Verdict.NOT_REACHED: "the run could not tell",
    Verdict.OBSERVED: "a fault that only the run shows",
}
LINES = 6  # of a span in an excerpt
SHORT = 28  # characters of a place that is not broken
LABEL = 40  # characters of a label that stands beside its line, not below it
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f6f7f9;--text:#1c2128;--muted:#57606a;--line:#d0d7de;--grid:#e4e8ec;
--axis:#8c959f;--mark:#b3261e;--link:#0a5cad;--on:#fff;--confirmed:#b3261e;--refuted:#1a7f37;--unreached:#57606a;
--observed:#8a2be2;--hit:#fff1b8;
--c0:#0b62a8;--c1:#d1650a;--c2:#0a8754;--c3:#b04a90;--c4:#5c6bc0;--c5:#8a6d00;--c6:#00838f;--c7:#795548}
@media (prefers-color-scheme:dark){:root{--paper:#12161c;--card:#1b212a;--text:#e6eaf0;--muted:#a0a9b4;--line:#39424e;
--grid:#2a323c;--axis:#77818d;--mark:#ff8a80;--link:#7cb7ff;--on:#10151b;--confirmed:#ff8a80;--refuted:#6fd18b;
--unreached:#a0a9b4;--observed:#cfa6ff;--hit:#4a3d0c;
--c0:#6cb4f5;--c1:#ffa657;--c2:#5fd0a0;--c3:#f08cc8;--c4:#a9b4ff;--c5:#e3c44c;--c6:#5fd4e0;--c7:#c9a38f}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--text:#000;--muted:#444;--line:#999;--grid:#ddd;--axis:#666;
--mark:#a00;--link:#000;--on:#fff;--confirmed:#a00;--refuted:#060;--unreached:#444;--observed:#606;--hit:#eee;
--c0:#0b62a8;--c1:#d1650a;--c2:#0a8754;--c3:#b04a90;--c4:#5c6bc0;--c5:#8a6d00;--c6:#00838f;--c7:#795548}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1060px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.5rem;margin:0 0 .2em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2em 0 .6em;padding-bottom:.25em;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:0 0 .4em;overflow-wrap:anywhere}
p{margin:.4em 0;overflow-wrap:anywhere}
a{color:var(--link)}
code,pre,.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.88em}
.muted{color:var(--muted)}
.counts{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:16px 0;padding:0;list-style:none}
.counts li{padding:10px 14px;border:1px solid var(--line);border-left:5px solid var(--verdict);
border-radius:6px;color:var(--verdict)}
.counts b{display:block;font-size:1.6rem;line-height:1.2}
.counts span{display:block;font-size:.8rem;color:var(--muted)}
.counts .none{opacity:.55}
.badge{display:inline-block;padding:0 .55em;border:1.5px solid;border-radius:1em;color:var(--verdict);font-size:.72rem;
font-weight:700;
letter-spacing:.03em;white-space:nowrap;text-transform:uppercase}
.confirmed{--verdict:var(--confirmed)}.refuted{--verdict:var(--refuted)}.unreached{--verdict:var(--unreached)}
.observed{--verdict:var(--observed)}
.card{border:1px solid var(--line);border-radius:8px;padding:14px 18px;margin:14px 0;background:var(--card);--paper:var(--card)}
.finding{border-left:5px solid var(--verdict)}
@media (min-width:760px){.side{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.1fr);gap:0 32px}}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;margin:.6em 0;font-size:.92em}
caption{text-align:left;font-weight:600;padding-bottom:.3em;white-space:nowrap}
th,td{text-align:left;vertical-align:top;padding:.35em .8em .35em 0;border-bottom:1px solid var(--line);overflow-wrap:break-word}
th{color:var(--muted);font-weight:600;font-size:.9em;vertical-align:bottom}
.num{text-align:right;padding-left:.8em}td.num{font-variant-numeric:tabular-nums;white-space:nowrap}
.summary{width:100%}
.summary td:nth-child(2),.short{white-space:nowrap}.summary td:nth-child(3){overflow-wrap:anywhere;min-width:9.5em;max-width:15em}
.measure{font-size:1.02em}
.measure b{font-weight:600}
pre{margin:.7em 0;padding:.5em 0;overflow-x:auto;border:1px solid var(--line);border-radius:6px;line-height:1.45;tab-size:4}
pre .row{display:block;padding:0 .8em;min-width:max-content}
pre .no{display:inline-block;width:3.2em;color:var(--muted);user-select:none}
pre mark{background:var(--hit);color:inherit;border-bottom:2px solid var(--c1)}
pre mark.also{background:none;border-bottom:2px solid var(--c0)}
pre .said{color:var(--muted);font-family:system-ui,sans-serif;padding-left:1.5em}
pre .below{display:block;padding-left:3.6em;width:0;min-width:100%;white-space:normal}
pre .where{display:block;padding:.2em .8em;color:var(--muted)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:14px 28px;
align-items:start}
figure{margin:.2em 0;max-width:520px;min-width:0}
figcaption{font-weight:600;font-size:.92em;margin-bottom:.3em;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1.2em;margin:.6em 0;font-size:.92em}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--muted);font-size:.9em}
footer{margin-top:3em;font-size:.85em;color:var(--muted)}
@media (max-width:680px){main{padding:18px 12px 40px}.card{padding:12px}.counts{grid-template-columns:1fr 1fr}
.summary thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.summary tr{display:block;border-bottom:1px solid var(--line);padding:.6em 0}
.summary td{display:inline;border:0;padding:0 .5em 0 0;white-space:normal!important}
.summary td.wide{display:block;padding:.25em 0 0}.summary td:empty{display:none}
dl{grid-template-columns:1fr}dd{margin-bottom:.4em}}
@media print{*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:12px}main{max-width:none;padding:0}h2,h3{break-after:avoid}.card,figure,tr{break-inside:avoid}
pre{white-space:pre-wrap;overflow:visible}pre .row{min-width:0}.scroll{overflow:visible}
.side{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.1fr);gap:0 24px}}
"""


def confirmation_html(confirmation: Confirmation, units: Mapping[str, SourceUnit] | None = None) -> str:
    """The page. units: sources for the excerpts (none without them)."""
    title = f"mllint-bio confirm {confirmation.command}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_e(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_e(title)}</title>\n<style>{STYLE}{plots.STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(_page(confirmation, units))
        + "\n</main>\n</body>\n</html>\n"
    )


def _page(confirmation: Confirmation, units: Mapping[str, SourceUnit] | None) -> Iterator[str]:
    yield f"<header><h1>Measured: <code>{_e(confirmation.command)}</code></h1>"
    yield f'<p>{_e(how_it_ended(confirmation))}. <span class="muted">{_e(closing(confirmation))}</span></p>'
    yield _counts(confirmation) + "</header>"
    if confirmation.judgements:
        yield "<h2>Verdicts</h2>" + _summary(confirmation.judgements)
        yield "<h2>Findings</h2>"
        for number, judgement in enumerate(confirmation.judgements, 1):
            yield _finding(judgement, number, units)
    else:
        yield "<h2>Verdicts</h2><p>No finding, before the run or in it.</p>"
    done = [result for result in confirmation.results if result.status == "done"]
    others = [result for result in confirmation.results if result.status != "done"]
    if confirmation.results:
        yield "<h2>Experiments</h2>"
    for number, result in enumerate(done, 1):
        yield _experiment(result, number)
    if others:
        rows = tuple((" ".join(filter(None, (r.title, r.code, r.place))), r.status, r.reason) for r in others)
        yield _table(Table("Experiments without a result", ("experiment", "status", "reason"), rows))
    if confirmation.scores:
        scores = tuple((metric, value, place, SEEN[held_out]) for metric, value, place, held_out in confirmation.scores)
        yield "<h2>Scores of the run</h2>" + _table(Table("", ("metric", "value", "place", "rows"), scores))
    if confirmation.refusals:
        yield "<h2>Refused by the sandbox</h2>" + _list(confirmation.refusals)
    notes = [note for note in (*confirmation.notes, multiplicity(confirmation)) if note]
    if notes:
        yield "<h2>What a reader must know</h2>" + _list(notes)
    if confirmation.environment:
        yield "<h2>Environment</h2>" + _definitions(confirmation.environment)
    yield f"<footer>Written by mllint-bio {_e(mllint_bio.__version__)}, which ran the program. {_e(_LEGEND)}</footer>"


_LEGEND = "; ".join(f"{verdict.value}: {meaning}" for verdict, meaning in MEANINGS.items()) + "."


def _counts(confirmation: Confirmation) -> str:
    counts = Counter(judgement.verdict for judgement in confirmation.judgements)
    items = "".join(
        f'<li class="{CLASSES[verdict]}{"" if counts[verdict] else " none"}"><b>{counts[verdict]}</b>{verdict.value}'
        f"<span>{_e(MEANINGS[verdict])}</span></li>"
        for verdict in Verdict
    )
    return f'<ul class="counts">{items}</ul>'


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {CLASSES[verdict]}">{_e(verdict.value)}</span>'


def _summary(judgements: Sequence[Judgement]) -> str:
    """The table at the top; the column of effects only if there are any."""
    names = ["verdict", "rule", "place", "finding", "figure", *(["effect"] if any(one.effect for one in judgements) else [])]
    rows = []
    for n, one in enumerate(judgements, 1):
        place = str(one.finding.place)
        told = (one.finding.message, one.figure, one.effect)[: len(names) - 3]
        rows.append(
            f'<tr><td>{_badge(one.verdict)}</td><td><a href="#finding-{n}">{_e(one.finding.label)}</a></td>'
            f'<td class="code{" short" if len(place) <= SHORT else ""}">{_e(place)}</td>'
            + "".join(f'<td class="wide">{_prose(text)}</td>' for text in told)
            + "</tr>"
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        f'<div class="scroll"><table class="summary"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _finding(judgement: Judgement, number: int, units: Mapping[str, SourceUnit] | None) -> str:
    finding = judgement.finding
    sure = f'<span class="muted">{_e(finding.severity.label)}, {_e(finding.confidence.label)}</span>'
    word = "Why not" if judgement.verdict is Verdict.NOT_REACHED else "Measured"
    parts = [
        f'<article class="card finding {CLASSES[judgement.verdict]}" id="finding-{number}">',
        f"<h3>{_badge(judgement.verdict)} {_e(finding.label)} {_e(finding.name)} {sure}</h3>",
        f'<p><span class="code">{_e(str(finding.place))}</span>: {_prose(finding.message)}</p>',
        _excerpts(judgement, units) if units is not None else "",
        f'<p class="measure"><b>{word}:</b> {_prose(judgement.figure)}</p>' if judgement.figure else "",
        f'<p class="measure"><b>Effect:</b> {_prose(judgement.effect)}</p>' if judgement.effect else "",
        f"<p><b>Remedy:</b> {_prose(finding.remedy)}</p>" if finding.remedy else "",
        f'<p><a href="{_e(finding.url)}" rel="noreferrer">About {_e(finding.code)}</a></p>' if _safe(finding.url) else "",
        _figures(judgement.measured),
        "</article>",
    ]
    return "".join(parts)


def _safe(url: str) -> bool:
    """Whether a rule's address (a plugin's, perhaps) may be a link."""
    return url.startswith(("https://", "http://"))


def _excerpts(judgement: Judgement, units: Mapping[str, SourceUnit]) -> str:
    """The lines of the finding and of its evidence, with the spans marked."""
    finding = judgement.finding
    own = "; ".join(label for label, place in finding.evidence if place == finding.place)
    marks = [(finding.place, own, ""), *((p, label, "also") for label, p in finding.evidence if p != finding.place)]
    parts: list[str] = []
    shown = (finding.place.path, finding.place.cell)
    for place, label, style in marks:
        if (place.path, place.cell) != shown:
            shown = (place.path, place.cell)
            cell_name = "" if place.cell is None else f", cell {place.cell}"
            parts.append(f'<span class="where">{_e(place.path)}{cell_name}</span>')
        parts += _rows(units[place.path], place, label, style)
    return f"<pre>{''.join(parts)}</pre>"


def _rows(unit: SourceUnit, place: Place, label: str, style: str) -> Iterator[str]:
    rows = range(place.row, max(place.row, place.end_row) + 1)
    chosen = f' class="{style}"' if style else ""
    for row in rows[:LINES]:
        line = unit.line(unit.offset_of(row, 1, place.cell))
        first = place.column - 1 if row == place.row else len(line) - len(line.lstrip())
        last = max(first, place.end_column - 1 if row == place.end_row else len(line.rstrip()))
        before, marked, after = (_e(excerpt(piece)[0]) for piece in (line[:first], line[first:last], line[last:].rstrip()))
        final = row == rows[:LINES][-1]
        dots = " …" if final and len(rows) > LINES else ""
        below = " below" if len(label) > LABEL else ""
        said = f'<span class="said{below}">{_prose(label)}</span>' if label and final else ""
        yield f'<span class="row"><span class="no">{row}</span>{before}<mark{chosen}>{marked}</mark>{after}{dots}{said}</span>'


def _experiment(result: Result, number: int) -> str:
    cost = f"{result.runs} run{'' if result.runs == 1 else 's'}, " if result.runs else ""
    about = " ".join(part for part in (result.code, result.place) if part)
    drawn = "".join(
        f"<figure><figcaption>{_e(plot.title)}</figcaption>{plots.svg(plot, f'plot-{number}-{n}')}</figure>"
        for n, plot in enumerate(result.plots, 1)
    )
    said = "".join(
        (
            f'<h3>{_e(result.title)} <span class="muted">{_e(about)}</span></h3>',
            f"<p>{_prose(result.verdict)}</p>",
            "".join(_table(table) for table in result.tables),
            _figures(result.figures),
            f'<p class="muted">{cost}{duration(result.seconds)}</p>',
        )
    )
    layout = " side" if len(result.plots) == 1 else ""
    return (
        f'<section class="card{layout}"><div>{said}</div>' + (f'<div class="plots">{drawn}</div>' if drawn else "") + "</section>"
    )


def _table(table: Table) -> str:
    """A table; columns of numbers stand at the right."""
    width = max([len(table.header), *map(len, table.rows)])
    right = {
        c
        for c in range(width)
        if any(len(row) > c and isinstance(row[c], (int, float)) for row in table.rows)
        and all(isinstance(row[c], (int, float, type(None))) for row in table.rows if len(row) > c)
    }
    kind = [' class="num"' if c in right else "" for c in range(width)]
    caption = f"<caption>{_e(table.title)}</caption>" if table.title else ""
    head = "".join(f'<th scope="col"{kind[c]}>{_e(name)}</th>' for c, name in enumerate(table.header))
    body = "".join(
        "<tr>" + "".join(f"<td{kind[c]}>{_prose(cell(value))}</td>" for c, value in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figures(figures: Mapping[str, Any]) -> str:
    """Numbers behind a verdict, folded away."""
    flat = dict(_flat(figures))
    return f"<details><summary>figures</summary>{_definitions(flat)}</details>" if flat else ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Interval):
            yield name, f"{plots.number(value.estimate)} [{plots.number(value.low)}, {plots.number(value.high)}]"
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        else:
            yield name, _short(value)


def _short(value: Any) -> str:
    """A figure on one line; of a long list the beginning."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return cell(value) if value is not None else "none"
    known = plain(value)
    if isinstance(known, list):
        return ", ".join(_short(item) for item in known[:20]) + (f", … ({len(known)})" if len(known) > 20 else "")
    return _short(known) if isinstance(known, (bool, int, float)) or known is None else str(known)


def _definitions(values: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{_e(key)}</dt><dd>{_e(value)}</dd>" for key, value in values.items()) + "</dl>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_prose(line)}</li>" for line in lines) + "</ul>"


def _prose(text: str) -> str:
    """A sentence, with what stands between backticks set as code."""
    parts = _e(text).split("`")
    if len(parts) % 2 == 0:
        return _e(text)
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))


def _e(text: str) -> str:
    """Text that may stand in markup; characters that no document may hold are replaced."""
    return escape("".join(c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text))
