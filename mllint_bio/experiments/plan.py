"""Which experiments a program gets: those that its findings ask for, or those that the user names."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from mllint_bio.experiments.options import EXPERIMENTS
from mllint_bio.experiments.study import Experiment
from mllint_bio.rule import Rule

# Experiment -> class that does it, in the module of the same name.
CLASSES = {
    "repeat": "Repeat",
    "seeded-repeat": "SeededRepeat",
    "determinism": "Determinism",
    "counterfactual": "Counterfactual",
    "tuned-baseline": "TunedBaseline",
    "class-balance": "ClassBalance",
    "test-reuse": "TestReuse",
    "label-shuffle": "LabelShuffle",
    "overlap": "Overlap",
}

# Findings that an experiment puts a number on, by the beginning of their code.
ASKED_BY = {
    "counterfactual": ("MLB30", "MLB706", "MLB707", "MLB708", "MLB709", "MLB712"),
    "class-balance": ("MLB726", "MLB725", "MLB727", "MLB728"),
    "test-reuse": ("MLB601", "MLB702", "MLB703", "MLB704", "MLB705"),
    "label-shuffle": ("MLB707", "MLB709"),
    "overlap": ("MLB708", "MLB710", "MLB714", "MLB715", "MLB717"),
}


def chosen(named: tuple[str, ...] | None, rules: Iterable[Rule], device: str) -> list[str]:
    """Names of the experiments to do, in the order in which they are shown.

    named: what the user asked for (None: what the findings ask for); rules: those that have a finding; device: cpu or cuda.
    """
    if named is not None:
        return [name for name in EXPERIMENTS if name in named]
    found = list(rules)
    wanted = {name for name, codes in ASKED_BY.items() if any(rule.code.startswith(codes) for rule in found)}
    ways = {rule.confirmed_by for rule in found}
    if "repeat" in ways:
        wanted |= {"repeat", "seeded-repeat"}
    if "cuda" in ways and device == "cuda":
        wanted.add("determinism")
    if "baseline" in ways:
        wanted.add("tuned-baseline")
    return [name for name in EXPERIMENTS if name in wanted]


def experiment(name: str) -> Experiment:
    """The experiment of this name."""
    made: Experiment = getattr(import_module(f"mllint_bio.experiments.{name.replace('-', '_')}"), CLASSES[name])()
    return made
