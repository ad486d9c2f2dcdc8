"""From traces to diagnostics: ask the rules, keep one finding per rule and site, and give every site its place in the source."""

from __future__ import annotations

import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from mllint_bio.diagnostics import ENGINE_CODES, INTERNAL_ERROR, Diagnostic, Place, rule_url
from mllint_bio.events import Site
from mllint_bio.findings import Confidence, Finding
from mllint_bio.rule import Rule
from mllint_bio.sources import SourceUnit
from mllint_bio.trace import Trace

Spans = Callable[[SourceUnit, Iterable[Site]], "dict[Site, tuple[int, int]]"]


def findings(
    traces: Iterable[Trace], rules: Sequence[Rule], shown: Callable[[Rule, Finding], bool], *, verbose: bool = False
) -> list[Finding]:
    """What the rules say about the traces, after the gates; of several findings of a rule at one site the gravest, then surest.

    shown: whether the settings select this finding (variant, preview). verbose: print the traceback of a failing rule.
    """
    best: dict[tuple[object, ...], Finding] = {}
    for trace in traces:
        for rule in rules:
            if (rule.programs_only and not trace.is_program) or (rule.skip_tests and trace.test_or_docs):
                continue
            for finding in _ask(rule, trace, verbose):
                internal = finding.code == INTERNAL_ERROR
                if not internal and not shown(rule, finding):
                    continue
                key = (finding.code, _key(finding.at), finding.message if internal else "")
                if key not in best or _weight(finding) > _weight(best[key]):
                    best[key] = finding
    return list(best.values())


def _key(site: Site) -> tuple[Site, int]:
    """Identity of a site: sites without a syntax node differ by line, which `Site` itself does not compare."""
    return site, site.line if site.node < 0 else 0


def _weight(finding: Finding) -> tuple[int, int]:
    return finding.severity, finding.confidence


def _ask(rule: Rule, trace: Trace, verbose: bool) -> Iterator[Finding]:
    """The rule's findings; a rule that fails yields what it had found and an internal error."""
    try:
        yield from rule.check(trace)
    except Exception as error:  # a fault of the rule must neither hide the other rules' findings nor pass in silence
        if verbose:
            traceback.print_exc(file=sys.stderr)
        code = ENGINE_CODES[INTERNAL_ERROR]
        entry = f"function {trace.name!r} of " if trace.name else ""
        yield Finding(
            code=code.code,
            name=code.name,
            severity=code.severity,
            confidence=Confidence.CERTAIN,
            message=f"rule {rule.code} failed on {entry}{trace.path}: {type(error).__name__}: {error}",
            at=Site(trace.path, -1, -1, line=1),
            remedy="report this with the output of --verbose; until it is mended, ignore the rule",
        )


def located(found: Sequence[Finding], unit_of: Callable[[str], SourceUnit], spans: Spans) -> list[Diagnostic]:
    """Findings with their places."""
    at = places([site for finding in found for site in (finding.at, *(e.at for e in finding.evidence))], unit_of, spans)
    return [_diagnostic(finding, at) for finding in found]


class Places:
    """The places of sites, by `places[site]`."""

    def __init__(self) -> None:
        self._places: dict[tuple[Site, int], Place] = {}

    def __getitem__(self, site: Site) -> Place:
        return self._places[_key(site)]

    def __setitem__(self, site: Site, place: Place) -> None:
        self._places[_key(site)] = place


def places(sites: Iterable[Site], unit_of: Callable[[str], SourceUnit], spans: Spans) -> Places:
    """The place of each site; spans are computed only for the files that the sites name."""
    by_path: dict[str, dict[tuple[Site, int], Site]] = defaultdict(dict)
    for site in sites:
        by_path[site.path][_key(site)] = site
    found = Places()
    for path, wanted in sorted(by_path.items()):
        unit = unit_of(path)
        nodes = [site for site in wanted.values() if site.node >= 0]
        try:
            offsets = spans(unit, nodes) if nodes else {}
        except (RecursionError, MemoryError):  # rendering a statement may need more stack than there is; the finding still counts
            offsets = {}
        for site in wanted.values():
            found[site] = place(unit, *(offsets.get(site) or _line(unit, site)))
    return found


def _line(unit: SourceUnit, site: Site) -> tuple[int, int]:
    """The line of a site whose span is not known: an observed event, a whole file."""
    start = unit.offset_of_bytes(max(site.line, 1), 0)
    return start, start + len(unit.line(start))


def place(unit: SourceUnit, start: int, end: int) -> Place:
    """The span [start, end) of a unit as people count; an empty span is widened to one character."""
    first = unit.position(start)
    last = unit.position(max(start, end - 1))
    return Place(unit.path, first.cell, first.row, first.column, last.row, last.column + 1, start, max(end, start))


def _diagnostic(finding: Finding, at: Places) -> Diagnostic:
    return Diagnostic(
        code=finding.code,
        name=finding.name,
        severity=finding.severity,
        confidence=finding.confidence,
        message=finding.message,
        place=at[finding.at],
        evidence=tuple((e.message, at[e.at]) for e in finding.evidence),
        variant=finding.variant,
        remedy=finding.remedy,
        url=rule_url(finding.code, finding.name),
        edits=finding.edits,
    )
