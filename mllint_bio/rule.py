"""Rule: a named question about a trace; the registry finds rules through the entry-point group `mllint_bio.rules`.

A rule is one file with one class. Its docstring is its page: a one-line summary, then the headings `What it does`,
`Why it is bad`, `Example`, `Use instead`, `How a run confirms it`, `References`. Third parties register their own modules under
the same entry-point group that the built-in package uses.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from mllint_bio.events import Event, Site
from mllint_bio.findings import Confidence, Evidence, Finding, Severity
from mllint_bio.trace import Trace

ENTRY_POINT_GROUP = "mllint_bio.rules"


class Status:
    """Whether a rule is reported: ON by default, PREVIEW with --preview, OPT_IN only when selected by its own code."""

    ON = "on"
    PREVIEW = "preview"
    OPT_IN = "opt-in"


class Rule:
    """Base class of rules. Subclasses set the class variables and implement `check`; they keep no state between traces.

    code: three letters and three digits, never reused; name: kebab-case, names the fault; tip: tip of the paper (1-10);
    severity: the usual one, a finding may be lower; variants: names of sub-cases, selectable as `CODE[variant]`;
    preview_variants: those of them that need --preview; programs_only: silent for functions without caller; skip_tests: silent
    in tests and docs; once_per_project: one finding, however many programs of the project it concerns. confirmed_by: what settles
    a finding at run time: `trace` (the rule, asked of the observed trace), `repeat` (the program run twice), `cuda` (the same on
    a CUDA device), `baseline` (tuned baselines on the program's own rows).
    """

    code: ClassVar[str]
    name: ClassVar[str]
    tip: ClassVar[int]
    severity: ClassVar[Severity]
    status: ClassVar[str] = Status.ON
    remedy: ClassVar[str] = ""
    variants: ClassVar[tuple[str, ...]] = ()
    preview_variants: ClassVar[frozenset[str]] = frozenset()
    programs_only: ClassVar[bool] = False
    skip_tests: ClassVar[bool] = False
    once_per_project: ClassVar[bool] = False
    confirmed_by: ClassVar[str] = "trace"
    options: ClassVar[dict[str, Any]] = {}

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Findings for one trace."""
        raise NotImplementedError

    def finding(
        self,
        at: Event | Site,
        message: str,
        *,
        evidence: Iterable[tuple[str, Event | Site | None]] = (),
        severity: Severity | None = None,
        confidence: Confidence = Confidence.CERTAIN,
        variant: str = "",
        remedy: str | None = None,
    ) -> Finding:
        """A finding of this rule. An error that is not certain is lowered to a warning: no claim beyond the proof."""
        severity = self.severity if severity is None else severity
        if severity is Severity.ERROR and confidence is not Confidence.CERTAIN:
            severity = Severity.WARNING
        if variant and variant not in self.variants:
            raise ValueError(f"{self.code} has no variant {variant!r}")
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity,
            confidence=confidence,
            message=message,
            at=at if isinstance(at, Site) else at.at,
            evidence=tuple(Evidence(text, e if isinstance(e, Site) else e.at) for text, e in evidence if e is not None),
            remedy=self.remedy if remedy is None else remedy,
            variant=variant,
            preview=self.status == Status.PREVIEW or variant in self.preview_variants or confidence is Confidence.POSSIBLE,
        )

    @classmethod
    def summary(cls) -> str:
        """First sentence of the docstring."""
        return (inspect.getdoc(cls) or "").split("\n\n", 1)[0].replace("\n", " ")

    @classmethod
    def page(cls) -> str:
        """The docstring: the rule's page."""
        return inspect.getdoc(cls) or ""


@dataclass(frozen=True)
class Registry:
    """All rules, by code. `origin` says which distribution registered each."""

    rules: dict[str, Rule]
    origin: dict[str, str]

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules.values())

    def find(self, code_or_name: str) -> Rule | None:
        """The rule with this code or kebab-case name, or None."""
        wanted = code_or_name.split("[", 1)[0]
        return self.rules.get(wanted.upper()) or next((r for r in self.rules.values() if r.name == wanted.lower()), None)


class RegistryError(Exception):
    """A plugin cannot be loaded; the message names the file and what is wrong with it."""


def _entry_points() -> list[metadata.EntryPoint]:
    return sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def load_rule(code_or_name: str) -> tuple[Rule, str] | None:
    """One rule and the distribution that registers it, without importing the others; None if no source states this code or name.

    A rule that makes up its code when it is imported is found in the registry only.
    """
    wanted = code_or_name.split("[", 1)[0]
    statement = rf"""^[ \t]+(?:code|name)\b[^=\n]*=[ \t]*["']{re.escape(wanted)}["']"""
    stated = re.compile(statement.encode(), re.MULTILINE | re.IGNORECASE)
    for point in _entry_points():
        for name, file in _sources(point.module):
            if stated.search(file.read_bytes()):
                try:
                    found = Registry({one.code: one() for one in rules_of(import_module(name))}, {}).find(wanted)
                except Exception:  # the registry says it better
                    return None
                if found is not None:
                    return found, _distribution(point)
    return None


def _sources(module: str) -> Iterator[tuple[str, Path]]:
    """Modules of a package, or the module, with their files; the package itself is not imported."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if spec is not None and spec.origin and not folders:
        yield module, Path(spec.origin)
    for folder in map(Path, folders):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            yield ".".join((module, *(parts[:-1] if parts[-1] == "__init__" else parts))), file


def load_registry() -> Registry:
    """Rules of every installed distribution that registers under `mllint_bio.rules`, sorted by code.

    Raises RegistryError when a plugin cannot be imported, a rule lacks a required attribute, or two rules share a code.
    """
    rules: dict[str, Rule] = {}
    origin: dict[str, str] = {}
    for point in _entry_points():
        try:
            module = point.load()
        except Exception as error:  # a plugin may fail in any way; the user needs to know which one
            raise RegistryError(f"rule plugin {point.name!r} ({point.value}) cannot be imported: {error}") from error
        distribution = _distribution(point)
        for rule_class in rules_of(module):
            if rules.get(rule_class.code) is not None:
                if origin[rule_class.code] == distribution:
                    continue
                raise RegistryError(
                    f"rule {rule_class.code} is registered twice: by {origin[rule_class.code]} and {distribution}"
                )
            rules[rule_class.code] = rule_class()
            origin[rule_class.code] = distribution
    ordered = dict(sorted(rules.items()))
    return Registry(ordered, origin)


def rules_of(module: ModuleType) -> Iterator[type[Rule]]:
    """Rule classes defined in a module or, for a package, in its submodules.

    Raises RegistryError naming file and line of a class that lacks a required attribute.
    """
    modules = [module]
    if hasattr(module, "__path__"):
        modules += [import_module(info.name) for info in pkgutil.walk_packages(module.__path__, module.__name__ + ".")]
    for one in modules:
        for value in vars(one).values():
            if isinstance(value, type) and issubclass(value, Rule) and value is not Rule and value.__module__ == one.__name__:
                missing = [a for a in ("code", "name", "tip", "severity") if not hasattr(value, a)]
                if missing:
                    file, line = inspect.getsourcefile(value), inspect.getsourcelines(value)[1]
                    raise RegistryError(f"{file}:{line}: rule {value.__name__} lacks {', '.join(missing)}")
                yield value
