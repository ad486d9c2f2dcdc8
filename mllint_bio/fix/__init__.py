"""Remedies of findings as text edits: names and statements through `ast`, calls through LibCST, then edits of the unit's text.

`fixes` says how one finding is mended, or that no mechanical remedy is safe; `apply` makes the edits. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mllint_bio.fix.edit import Applied, Remedy, apply, apply_to_notebook

if TYPE_CHECKING:
    from mllint_bio.diagnostics import Diagnostic
    from mllint_bio.sources import SourceUnit

__all__ = ["Applied", "Remedy", "apply", "apply_to_notebook", "fixes"]

_NONE: Mapping[str, SourceUnit] = MappingProxyType({})


def fixes(unit: SourceUnit, diagnostic: Diagnostic, others: Mapping[str, SourceUnit] = _NONE) -> Remedy | None:
    """The remedy of a finding in `unit`; None when none is known that surely keeps what the program means.

    others: further units of the project by path. Never raises for what a program or a diagnostic may hold.
    """
    from mllint_bio.fix.program import Unsafe

    try:
        remedy = _remedy(unit, diagnostic)
        applied = apply({**others, unit.path: unit}, remedy.edits)
    except (Unsafe, RecursionError):
        return None
    return None if applied.refused or applied.dropped else remedy


def _remedy(unit: SourceUnit, diagnostic: Diagnostic) -> Remedy:
    from mllint_bio.fix import determinism, fit_on_training_rows, random_state, refit, seeds
    from mllint_bio.fix.program import Unsafe, program_of

    families = {
        "MLB301": seeds.remedy,
        "MLB302": seeds.remedy,
        "MLB303": random_state.of_split,
        "MLB304": random_state.of_estimator,
        "MLB305": determinism.remedy,
        "MLB706": fit_on_training_rows.remedy,
        "MLB707": fit_on_training_rows.remedy,
        "MLB708": fit_on_training_rows.remedy,
        "MLB709": fit_on_training_rows.remedy,
        "MLB712": refit.remedy,
    }
    if diagnostic.code not in families or diagnostic.place.path != unit.path:
        raise Unsafe("there is no remedy for this rule")
    return families[diagnostic.code](program_of(unit), diagnostic)
