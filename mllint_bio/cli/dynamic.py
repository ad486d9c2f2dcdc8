"""`check --dynamic`: runs the programs in which `check` found something, once each and without experiments, and adds what the
runs show to the findings. `mllint-bio confirm` does more for one program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mllint_bio.config import Settings
from mllint_bio.diagnostics import Diagnostic, Place, Report
from mllint_bio.experiments.results import Judgement, Verdict

if TYPE_CHECKING:
    from mllint_bio.experiments.options import Progress
    from mllint_bio.sources import SourceUnit

# What a run says of a finding outweighs, from left to right, what another run says of it.
WEIGHT = (Verdict.NOT_REACHED, Verdict.REFUTED, Verdict.OBSERVED, Verdict.CONFIRMED)
HARNESS = ("conftest.py", "setup.py", "noxfile.py", "tasks.py", "manage.py")


@dataclass
class Runs:
    """What came of the runs. judged: verdict on each finding that a run judged; lines: what was run and how it ended."""

    report: Report
    judged: dict[Diagnostic, Judgement] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def remarks(self) -> dict[Diagnostic, tuple[str, str, str]]:
        """Verdict, figure and style of each judged finding, for the text formats."""
        from mllint_bio.render.confirmation_text import VERDICTS

        return {d: (one.verdict.value.upper(), one.figure, VERDICTS[one.verdict]) for d, one in self.judged.items()}

    def records(self) -> dict[Diagnostic, dict[str, Any]]:
        """The key `confirmation` of each judged finding, for JSON."""
        from mllint_bio.render.confirmation_json import verdict

        return {d: {"confirmation": verdict(one)} for d, one in self.judged.items()}

    def standing(self) -> Report:
        """The report without refuted findings: what the exit status rests on."""
        kept = tuple(d for d in self.report.diagnostics if d not in self.judged or self.judged[d].verdict is not Verdict.REFUTED)
        return replace(self.report, diagnostics=kept)


def run_programs(
    report: Report, files: Mapping[str, Path], settings_of: Callable[[Path], Settings], progress: Callable[[Progress], None]
) -> Runs:
    """Run every program among `files` (by shown path) that a finding or its evidence names."""
    from mllint_bio.cli import confirm
    from mllint_bio.experiments.options import ConfirmOptions

    named = {p.path for d in report.diagnostics for p in (d.place, *(place for _, place in d.evidence))}
    programs = [path for path in sorted(named & files.keys()) if is_program(report.units[path])]
    by_place: dict[tuple[str, Place], Judgement] = {}
    runs = Runs(report)
    for number, path in enumerate(programs, 1):
        command = confirm.command_of(files[path])
        options = ConfirmOptions(settings=settings_of(Path(command.root)), experiments=())
        try:
            confirmation = confirm.run(command, options, _prefixed(progress, f"{path} ({number} of {len(programs)})"))
        except click.ClickException as error:
            runs.lines.append(f"{path}: not run: {error.format_message()}")
            continue
        _take(by_place, confirmation.judgements)
        verdicts = Counter(one.verdict for one in confirmation.judgements)
        told = ", ".join(f"{verdicts[v]} {v.value}" for v in Verdict if verdicts[v]) or "nothing to judge"
        ended = confirmation.status + (f" ({confirmation.reason})" if confirmation.reason else "")
        refused = "".join(f"; refused: {line}" for line in confirmation.refusals)
        runs.lines.append(f"{path}: {ended}: {told}{refused}")
    found = {(d.code, d.place) for d in report.diagnostics}
    new = [one.finding for key, one in by_place.items() if one.verdict is Verdict.OBSERVED and key not in found]
    shown = sorted((*report.diagnostics, *new), key=lambda d: (d.place.path, d.place.start, d.code, d.place.end, d.message))
    runs.report = replace(report, diagnostics=tuple(shown))
    runs.judged = {d: by_place[d.code, d.place] for d in shown if (d.code, d.place) in by_place}
    count = f"{len(programs)} program{'' if len(programs) == 1 else 's'}"
    rest = len({d.place.path for d in report.diagnostics if d not in runs.judged} - set(programs))
    unrun = f"; findings of {rest} other file{'' if rest == 1 else 's'} belong to no program that was run" if rest else ""
    runs.lines.insert(0, f"Ran {count}{unrun}.")
    return runs


def is_program(unit: SourceUnit) -> bool:
    """Whether running a file does something: a notebook, or a script whose top level does more than define; no test."""
    from mllint_bio.predict.skeleton import read

    name = unit.path.rsplit("/", 1)[-1]
    if unit.skipped or name in HARNESS or name.startswith("test_") or name.endswith("_test.py"):
        return False
    skeleton = read(unit)
    return unit.kind == "notebook" or skeleton.has_main or skeleton.top_level_calls


def _take(known: dict[tuple[str, Place], Judgement], judgements: Sequence[Judgement]) -> None:
    for one in judgements:
        key = one.finding.code, one.finding.place
        if key not in known or WEIGHT.index(one.verdict) > WEIGHT.index(known[key].verdict):
            known[key] = one


def _prefixed(progress: Callable[[Progress], None], name: str) -> Callable[[Progress], None]:
    return lambda state: progress(replace(state, phase=f"{name}: {state.phase}"))
