"""Verdicts: what the observed trace and the experiments say about each finding, and the figure that each rests on.

The rule itself is asked again, of the observed trace. It speaks: CONFIRMED. It is silent although every place of the finding was
executed and every row set is known: REFUTED. Anything less is NOT REACHED, with the reason. Findings that depend on chance alone
(missing seeds) need more than one run: there the repeat experiment decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mllint_bio.diagnostics import Diagnostic
from mllint_bio.events import Data, Draw, Event, Fit, Resample, Score, Select, Site, Split, Step
from mllint_bio.experiments.figures import Sentence, figure_of
from mllint_bio.experiments.program import Program, relative
from mllint_bio.experiments.results import Judgement, Result, Verdict
from mllint_bio.findings import Finding
from mllint_bio.observe.job import Outcome, Status
from mllint_bio.observe.observed import Observed
from mllint_bio.rule import Rule

ENDED = {
    Status.TIMEOUT: "the run was ended after its time limit",
    Status.MEMORY: "the run needed more memory than it may have",
    Status.KILLED: "the run was killed",
    Status.REFUSED: "the sandbox refused what the program needs",
}


@dataclass
class Verdicts:
    """Makes the judgements of one program. results: of the experiments that were done, by name (several for `counterfactual`)."""

    program: Program
    observed: Observed
    outcome: Outcome
    results: Sequence[Result]

    def judgements(self) -> list[Judgement]:
        """One judgement per static finding, and one per fault that only the run shows; gravest first, then by place."""
        found = self.program.judge(self.observed.trace)
        judged = []
        used: set[int] = set()
        for finding, diagnostic in zip(self.program.findings, self.program.diagnostics, strict=True):
            twins = [number for number, (other, _) in enumerate(found) if self._same(finding, other)]
            used.update(twins)
            judged.append(self._judge(finding, diagnostic, found[twins[0]][0] if twins else None))
        new = [one for number, one in enumerate(found) if number not in used and self._counts(one[0])]
        claims = self._claims_of_absence() if new and not self.outcome.finished else frozenset()
        for finding, diagnostic in new:
            if (finding.code, finding.at) in claims:
                continue
            sentence = self._figure(finding)
            if sentence.measured.pop("refutes", False):
                continue
            judged.append(Judgement(diagnostic, Verdict.OBSERVED, sentence.text, sentence.measured))
        order = sorted(judged, key=lambda one: (-int(one.finding.severity), one.finding.place.path, one.finding.place.start))
        return order

    # -- one finding -------------------------------------------------------------------------------------------------

    def _judge(self, finding: Finding, diagnostic: Diagnostic, twin: Finding | None) -> Judgement:
        rule = self._rule(finding.code)
        how = rule.confirmed_by if rule is not None else "trace"
        verdict, sentence = {
            "repeat": self._by_repeat,
            "cuda": self._by_device,
            "baseline": self._by_baseline,
        }.get(how, self._by_trace)(finding, twin)
        effect = next(
            (
                one.verdict
                for one in self.results
                if one.name == "counterfactual" and one.place == str(diagnostic.place) and one.verdict
            ),
            "",
        )
        return Judgement(diagnostic, verdict, sentence.text, sentence.measured, effect)

    def _by_trace(self, finding: Finding, twin: Finding | None) -> tuple[Verdict, Sentence]:
        if twin is not None:
            sentence = self._figure(twin)
            return (Verdict.REFUTED if sentence.measured.pop("refutes", False) else Verdict.CONFIRMED), sentence
        missing = self._not_executed(finding)
        if missing is not None:
            return Verdict.NOT_REACHED, Sentence(missing)
        unknown = self._unidentified(finding)
        if unknown:
            return Verdict.NOT_REACHED, Sentence(unknown)
        if not self.outcome.finished:
            return Verdict.NOT_REACHED, Sentence(self._end())
        return Verdict.REFUTED, self._counter_figure(finding)

    def _by_repeat(self, finding: Finding, twin: Finding | None) -> tuple[Verdict, Sentence]:
        missing = self._not_executed(finding)
        if missing is not None:
            return Verdict.NOT_REACHED, Sentence(missing)
        if twin is None and self.outcome.finished:
            text = f"The call at {self._where(finding.at)} drew no random numbers from a global generator."
            return Verdict.REFUTED, Sentence(text, {"draws": 0})
        repeat = self._result("repeat")
        if repeat is None or repeat.status != "done":
            reason = repeat.reason if repeat is not None else "the repeat experiment was not asked for"
            return Verdict.NOT_REACHED, Sentence(f"The program was not run a second time: {reason}.")
        figures = repeat.figures
        drawn = self._drawn(finding)
        measured = {**figures, "draws": drawn}
        if figures.get("rounding_only"):
            return Verdict.REFUTED, Sentence(repeat.verdict, measured)
        if figures.get("identical"):
            return Verdict.REFUTED, Sentence(
                f"{figures.get('runs')} runs agree bit for bit: the same splits, losses, scores and predictions.", measured
            )
        if finding.code == "MLB303" and figures.get("same_split") is True:
            return Verdict.REFUTED, Sentence(f"{figures.get('runs')} runs divided the rows in the same way.", measured)
        return Verdict.CONFIRMED, Sentence(repeat.verdict, measured)

    def _by_device(self, finding: Finding, twin: Finding | None) -> tuple[Verdict, Sentence]:
        result = self._result("determinism")
        if result is None or result.status != "done" or result.figures.get("device") != "cuda":
            return Verdict.NOT_REACHED, Sentence("Only a run on a CUDA device can answer this; this one ran on the CPU.")
        if result.figures.get("identical"):
            return Verdict.REFUTED, Sentence(result.verdict, result.figures)
        return Verdict.CONFIRMED, Sentence(result.verdict, result.figures)

    def _by_baseline(self, finding: Finding, twin: Finding | None) -> tuple[Verdict, Sentence]:
        result = self._result("tuned-baseline")
        if result is None or result.status != "done":
            reason = f": {result.reason}" if result is not None and result.reason else ""
            return Verdict.NOT_REACHED, Sentence(f"No tuned baseline was measured{reason}.")
        if twin is None:
            return Verdict.REFUTED, Sentence(result.verdict, result.figures)
        return Verdict.CONFIRMED, Sentence(result.verdict, result.figures)

    def _claims_of_absence(self) -> frozenset[tuple[str, Site]]:
        """Findings that a rule is only sure of in a run that came to its end: what they miss may stand behind that point, and the
        reading of the whole program found nothing."""
        trace = self.observed.trace
        whole = {(one.code, one.at): one.confidence for one, _ in self.program.judge(replace(trace, resolved=True))}
        cut = self.program.judge(trace)
        return frozenset((one.code, one.at) for one, _ in cut if whole.get((one.code, one.at)) is not one.confidence)

    # -- what was reached --------------------------------------------------------------------------------------------

    def _not_executed(self, finding: Finding) -> str | None:
        """Why the finding's place was not reached; None if it was."""
        for site in (finding.at, *(one.at for one in finding.evidence)):
            span = self.program.spans.get(site)
            if span is None:
                continue
            reached = any(
                path == span.path and (span.statement == row or span.first <= row <= span.last)
                for path, row in self.observed.lines
            )
            if not reached:
                place = self._where(site)
                return f"{place[0].upper()}{place[1:]} of {span.path} was not executed: {self._end()}"
        return None

    def _end(self) -> str:
        if self.outcome.finished:
            return "this run took another branch."
        reason = ENDED.get(self.outcome.status, self.outcome.reason or self.outcome.status.value)
        return f"{reason}." if not reason.endswith(".") else reason

    def _unidentified(self, finding: Finding) -> str:
        """Why the rule's silence proves nothing; empty if it does."""
        asked = [*self._events(finding.at), *(event for one in finding.evidence for event in self._events(one.at))]
        rested = [event for event in asked if isinstance(event, (Fit, Score, Split, Resample, Select, Step))]
        if not asked:
            return "Nothing that a probe could see happened at this place."
        for event in rested:
            data = getattr(event, "data", None)
            if isinstance(data, Data) and not data.rows.known and not isinstance(event, (Step, Select)):
                return f"The rows at {self._where(event.at)} could not be identified."
        return ""

    # -- figures -----------------------------------------------------------------------------------------------------

    def _figure(self, finding: Finding) -> Sentence:
        return figure_of(
            finding.code,
            self._events(finding.at),
            [event for one in finding.evidence for event in self._events(one.at)],
            self.observed,
            self.outcome.log,
            self._line,
            lambda site: self._where(site, finding.at),
        )

    def _counter_figure(self, finding: Finding) -> Sentence:
        sentence = self._figure(finding)
        if sentence.text and sentence.measured.get("shared") == 0:
            return sentence
        return Sentence(
            f"Asked again with the {len(self.observed.trace.events)} events of the run, the rule has nothing to object.",
            sentence.measured,
        )

    def _drawn(self, finding: Finding) -> int:
        numbers = {self.observed.record_of.get(event.id) for event in self._events(finding.at) if isinstance(event, Draw)}
        return sum(self.outcome.log.records[number].count for number in numbers if number is not None)

    # -- lookups -----------------------------------------------------------------------------------------------------

    def _same(self, finding: Finding, other: Finding) -> bool:
        if finding.code != other.code:
            return False
        rule = self._rule(finding.code)
        if rule is not None and rule.programs_only and finding.code.startswith("MLB30"):
            return True  # one finding per entry point, wherever it is shown
        return other.at == finding.at and other.at.node >= 0 or self._line(other.at) == self._line(finding.at)

    def _counts(self, finding: Finding) -> bool:
        """Whether a fault that only the run shows is told: not where design decides, and only with an event behind it."""
        rule = self._rule(finding.code)
        if rule is None or rule.confirmed_by in ("cuda", "baseline"):
            return False
        return any(event.id in self.observed.record_of for event in self._events(finding.at))

    def _events(self, site: Site) -> list[Event]:
        line = self._line(site)
        return [
            event for event in self.observed.trace.events if event.at == site and (site.node >= 0 or self._line(event.at) == line)
        ]

    def _line(self, site: Site) -> int:
        span = self.program.spans.get(site) if site.node >= 0 else None
        return span.first if span is not None else site.line

    def _where(self, site: Site, near: Site | None = None) -> str:
        """The line of a site as people count it: inside its cell, in a notebook; with its file if `near` lies in another."""
        row = self._line(site)
        path = self._path(site)
        unit = self.program.units.get(path)
        if unit is None or not unit.cells:
            return f"line {row}" if near is None or path == self._path(near) else f"{path}:{row}"
        position = unit.position(unit.offset_of_bytes(row, 0))
        return f"cell {position.cell}, line {position.row}"

    def _path(self, site: Site) -> str:
        span = self.program.spans.get(site) if site.node >= 0 else None
        return span.path if span is not None else relative(site.path, self.program.command.root)

    def _rule(self, code: str) -> Rule | None:
        return next((rule for rule in self.program.rules if rule.code == code), None)

    def _result(self, name: str) -> Result | None:
        return next((one for one in self.results if one.name == name), None)
