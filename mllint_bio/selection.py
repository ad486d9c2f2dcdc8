"""Which rules run and which of their findings are shown: selectors, status, preview.

A selector is `ALL`, a code (`MLB706`), a prefix (`MLB7`, `MLB`), a name (`transform-fitted-before-split`), a tip (`tip7`) or one
variant of a rule (`MLB717[windows]`). The most specific selector that matches decides; at equal length `ignore` wins.

>>> rule = ("MLB706", "transform-fitted-before-split", 7, "")
>>> strength("tip3", *rule) < strength("ALL", *rule) < strength("MLB7", *rule) < strength("MLB706", *rule)
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mllint_bio.rule import Registry, Rule, Status

if TYPE_CHECKING:
    from mllint_bio.config import Settings

_NONE, _ALL, _EXACT, _VARIANT = -1, 0, 100, 200
_TIP = re.compile(r"tip[ -]?(\d+)", re.IGNORECASE)


class UnknownSelector(Exception):
    """A selector that matches no rule; the message names the nearest right one."""


def strength(selector: str, code: str, name: str, tip: int, variant: str) -> int:
    """How specifically a selector names a variant of a rule (the empty variant: the rule as such); -1 if it does not."""
    wanted, bracket, sub = selector.strip().partition("[")
    if bracket:
        same = wanted.upper() == code or wanted.lower() == name
        return _VARIANT if same and sub.rstrip("]") == variant else _NONE
    if wanted.upper() == "ALL":
        return _ALL
    if match := _TIP.fullmatch(wanted):
        return len("MLB0") if int(match.group(1)) == tip else _NONE
    if wanted.upper() == code or wanted.lower() == name:
        return _EXACT
    return len(wanted) if wanted and code.startswith(wanted.upper()) else _NONE


def matches(selectors: Iterable[str], rule: Rule, variant: str = "") -> bool:
    """Whether some selector names this variant of the rule."""
    return _strongest(selectors, rule, variant) > _NONE


def shows(settings: Settings, rule: Rule, variant: str = "", preview: bool = False) -> bool:
    """Whether the settings show findings of this variant; `preview` marks a finding that only --preview shows."""
    if (preview or rule.status == Status.PREVIEW or variant in rule.preview_variants) and not settings.preview:
        return False
    chosen = _strongest([*settings.select, *settings.extend_select], rule, variant)
    if rule.status == Status.OPT_IN and chosen < _EXACT:
        return False
    if not settings.select:
        chosen = max(chosen, _ALL)  # without `select`, every rule that is on by default is selected
    return chosen > _strongest(settings.ignore, rule, variant)


def runs(settings: Settings, rule: Rule) -> bool:
    """Whether any finding of the rule could be shown."""
    return any(shows(settings, rule, variant) for variant in ("", *rule.variants))


def validate(selectors: Iterable[str], registry: Registry, where: str) -> None:
    """Raise UnknownSelector for a selector that names nothing; `where` says in which setting it stands."""
    for selector in selectors:
        if not any(strength(selector, r.code, r.name, r.tip, v) > _NONE for r in registry for v in ("", *r.variants)):
            names = [n for r in registry for n in (r.code, r.name, *(f"{r.code}[{v}]" for v in r.variants))]
            near = get_close_matches(selector.upper(), names, n=1) or get_close_matches(selector.lower(), names, n=1)
            raise UnknownSelector(f"{where}: no rule matches {selector!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _strongest(selectors: Iterable[str], rule: Rule, variant: str) -> int:
    return max((strength(s, rule.code, rule.name, rule.tip, variant) for s in selectors), default=_NONE)
