"""Findings: what a rule says about a place, with evidence and, where there is one, a remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from mllint_bio.events import Site


class Severity(IntEnum):
    """How bad it is: INFO a reporting gap, WARNING probably biased or irreproducible, ERROR wrong by construction."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """The word that people write: info, warning, error."""
        return self.name.lower()

    def lowered(self) -> Severity:
        """One step down; INFO stays."""
        return Severity(max(1, self - 1))


class Confidence(IntEnum):
    """How sure one finding is: CERTAIN every fact proved, LIKELY one fact rests on a name, a default or an unresolved call,
    POSSIBLE words only (shown with --preview)."""

    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3

    @property
    def label(self) -> str:
        """The word that people read."""
        return self.name.lower()


class Applicability(Enum):
    """What applying an edit promises: SAFE keeps what the author must have meant; UNSAFE changes results; DISPLAY is advice."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    DISPLAY = "display"


@dataclass(frozen=True, slots=True)
class Edit:
    """A text edit: replace [start, end) offsets of the unit's text by `text`."""

    path: str
    start: int
    end: int
    text: str
    applicability: Applicability = Applicability.UNSAFE


@dataclass(frozen=True, slots=True)
class Evidence:
    """A labelled place that supports a finding ("split here")."""

    message: str
    at: Site


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault at one place. Positions are sites: they become lines and columns at the edge (`mllint_bio.engine`)."""

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    message: str
    at: Site
    evidence: tuple[Evidence, ...] = ()
    remedy: str = ""
    variant: str = ""
    preview: bool = False
    edits: tuple[Edit, ...] = field(default=())
