"""Suppression comments: facts of the file, matched after the rules, each remembering whether it was of use.

    x = fit(data)  # mllint-bio: ignore[MLB706] -- the test set is a separate file
    # mllint-bio: ignore-file[MLB3, no-baseline-model] -- a tutorial

A comment holds for its own line; alone on its line it holds for the next line of code. Codes may be full codes, prefixes (MLB7),
names (no-seed) or variants (MLB717[windows]); `ignore` without brackets is for all rules. What follows `--` is the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mllint_bio.sources.scan import comments
from mllint_bio.sources.unit import SourceUnit

_MARK = "mllint-bio"
_COMMENT = re.compile(r"#\s*mllint-bio\s*:\s*(?P<body>.*)")
_BODY = re.compile(
    r"ignore(?P<file>-file)?\s*(?:\[(?P<codes>(?:[^\[\]]|\[[^\[\]]*\])*)\])?\s*"
    r"(?:--\s*(?P<reason>.*)|\#.*)?"  # without a reason, another tool's comment may follow
)
_CODE = re.compile(r"(?P<name>[A-Za-z][\w-]*)(?:\[(?P<variant>[\w-]+)\])?")
_PREFIX = re.compile(r"[A-Z]{3}\d{0,2}")

RuleKey = tuple[str, str, str]
"""Code, name and variant ("" for none) of findings."""


@dataclass
class Suppression:
    """One comment: [start, end) offsets, the lines (from 0) it holds for (None: the file), its codes (empty: all) and reason."""

    start: int
    end: int
    lines: frozenset[int] | None
    codes: tuple[str, ...]
    reason: str = ""
    used: set[str] = field(default_factory=set)

    def claim(self, key: RuleKey) -> bool:
        """Whether it names this finding; a code that does has been of use."""
        hits = [code for code in self.codes or ("",) if _names(code, key)]
        self.used.update(hits)
        return bool(hits)


@dataclass(frozen=True)
class Suppressions:
    """The suppression comments of one unit. `malformed`: spans and messages of comments that cannot be understood."""

    unit: SourceUnit
    entries: tuple[Suppression, ...] = ()
    malformed: tuple[tuple[tuple[int, int], str], ...] = ()

    def match(self, code: str, name: str, variant: str, start: int, end: int) -> bool:
        """Whether a comment hides this finding: one for the file, or on the first or last line of [start, end).

        Call it for the finding's own span and for its statement's; every comment that matches counts as used.
        """
        if not self.entries:
            return False
        lines = {self.unit.line_index(start), self.unit.line_index(max(start, end - 1))}
        near = [e for e in self.entries if e.lines is None or not lines.isdisjoint(e.lines)]
        claims = [entry.claim((code, name, variant)) for entry in near]  # all of them: each is to know that it was of use
        return any(claims)

    def unused(self, ran: Iterable[RuleKey], known: Iterable[RuleKey] | None = None) -> list[tuple[tuple[int, int], str]]:
        """Spans and messages of comments that hid nothing.

        ran: the rules that ran, each with every variant that could be shown ("" for the plain rule); known: the same for all
        rules there are (default: `ran`). A code is judged only if everything that it names did run: an `ignore` for a preview
        rule is not idle because --preview is off. A code that names no known rule is reported as unknown.
        """
        active = set(ran)
        everything = active if known is None else set(known)
        found: list[tuple[tuple[int, int], str]] = []
        for entry in self.entries:
            idle: list[str] = []
            for code in entry.codes or ("",):
                meant = {key for key in everything if _names(code, key)}
                if not meant and known is not None:
                    found.append(((entry.start, entry.end), f"no rule is called {code!r}"))
                elif code not in entry.used and meant and meant <= active:
                    idle.append(code)
            if idle:
                what = "this comment" if len(idle) == len(entry.codes or ("",)) else ", ".join(idle)
                found.append(((entry.start, entry.end), f"{what} hides no finding"))
        return found


def parse(unit: SourceUnit) -> Suppressions:
    """The suppression comments of a unit; text in strings is never one."""
    text = unit.text
    if _MARK not in text:
        return Suppressions(unit)
    entries: list[Suppression] = []
    malformed: list[tuple[tuple[int, int], str]] = []
    for start, end in comments(text):
        match = _COMMENT.search(text, start, end)
        if match is None:
            continue
        span = (match.start(), match.start() + len(match.group().rstrip()))
        body = _BODY.fullmatch(match["body"].strip())
        codes = () if body is None or body["codes"] is None else tuple(c.strip() for c in _split(body["codes"]))
        wrong = next((c for c in codes if not _CODE.fullmatch(c)), None)
        alone = not text[unit.line_start(start) : start].strip()
        if body is None or wrong is not None or (body["codes"] is not None and not body["codes"].strip()):
            expected = "expected `ignore[CODE, ...] -- reason` or `ignore-file[CODE, ...] -- reason`"
            malformed.append((span, f"suppression comment not understood: {expected}"))
        elif body["file"] and not alone:
            malformed.append((span, "`ignore-file` must stand on a line of its own"))
        else:
            lines = None if body["file"] else frozenset({_line_meant(unit, start, alone)})
            entries.append(Suppression(*span, lines, codes, (body["reason"] or "").strip()))
    return Suppressions(unit, tuple(entries), tuple(malformed))


def _split(codes: str) -> list[str]:
    parts = codes.split(",")
    return parts[:-1] if len(parts) > 1 and not parts[-1].strip() else parts


def _line_meant(unit: SourceUnit, start: int, alone: bool) -> int:
    """The comment's line, or the next one with code when the comment is alone on its line (in its cell)."""
    if not alone:
        return unit.line_index(start)
    cell = unit.cell_at(start)
    code = _CODE_LINE.search(unit.text, start, cell.end if cell else len(unit.text))
    return unit.line_index(code.start("code") if code else start)


_CODE_LINE = re.compile(r"[\r\n][ \t\f]*(?P<code>[^\s#])")


def _names(selector: str, key: RuleKey) -> bool:
    """Whether a code of a comment names these findings."""
    code, name, variant = key
    match = _CODE.fullmatch(selector)
    if match is None:
        return not selector  # a comment without codes is for all
    wanted = match["name"].upper()
    exact = wanted == code or wanted == name.upper()
    if match["variant"] is not None:
        return exact and match["variant"] == variant
    return exact or (_PREFIX.fullmatch(wanted) is not None and code.startswith(wanted))
