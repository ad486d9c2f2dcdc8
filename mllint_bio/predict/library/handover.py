"""Files between programs: what a program wrote itself, and what another program of its folder wrote for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mllint_bio.events import Data, Fit, Learned, LoopKind
from mllint_bio.predict.library.notes import repetition_of
from mllint_bio.predict.values import Array, Const, Value
from mllint_bio.rows import Part, Rows

if TYPE_CHECKING:
    from pathlib import Path

    from mllint_bio.predict.interpreter import Run

_STEPS = 60_000  # statements of a program that is run only for what it writes
_PREDICTORS = ("estimator", "tuner", "trainer", "module", "calibrator")


@dataclass(frozen=True, slots=True)
class Product:
    """What a program tells of a table that it writes: the fits that all of its rows took part in, and the entity of which it has
    several rows."""

    fits: tuple[tuple[Fit, Learned], ...]
    entity: str


def wrote(run: Run, place: Value | None, value: Array) -> None:
    """Remember what a file holds from now on, so that a program that reads it again gets these rows."""
    if isinstance(place, Const) and isinstance(place.value, str) and value.has_rows and value.kind in ("table", "array"):
        run.written[place.value] = value.but(name="", mask=None, linear=None)


def received(run: Run, file: str, rows: Rows) -> frozenset[Learned]:
    """What shaped the table of a file that another program of the project writes: its fits are events of this run too, and what
    has several rows there has them here."""
    if run.main is None:
        return frozenset()
    facts = set()
    writer = run.project.writer(file, run.main.path)
    product = _products(run, writer).get(file) if writer is not None else None
    if product is None:
        return frozenset()
    if product.entity:
        run.repeated.setdefault(rows.steps()[0], product.entity)
    for fit, learned in product.fits:
        number = run.emit(
            Fit,
            fit.at,
            subject=fit.subject,
            role=fit.role,
            data=Data(rows=rows, name=fit.data.name),
            uses_target=fit.uses_target,
            method=fit.method,
        )
        facts.add(Learned(number, learned.kind, rows, learned.uses_target))
    return frozenset(facts)


def _products(run: Run, writer: Path) -> dict[str, Product]:
    """The files that a program writes."""
    from mllint_bio.predict.interpreter import Run as NewRun

    module = run.project.module(writer)
    known = run.project.products.get(module.path)
    if known is None:
        run.project.products[module.path] = {}, frozenset()  # programs that wait for each other's files get nothing
        other = NewRun(run.project, steps=_STEPS, study=run.study)
        other.run_program(module)
        found = {
            file: Product(tuple(_shaped_by(other, value)), repetition_of(other, value.rows))
            for file, value in other.written.items()
        }
        known = run.project.products[module.path] = found, frozenset(other.visited)
    run.visited |= known[1]
    return known[0]


def _shaped_by(run: Run, value: Array) -> list[tuple[Fit, Learned]]:
    """Fits of transforms that saw all rows of a value; none for a part of a split, which may be a training part."""
    if any(isinstance(step, Part) for step in value.rows.steps()):
        return []
    found = []
    for learned in sorted(value.learned, key=lambda fact: fact.fit):
        fit = run.events[learned.fit]
        apart = isinstance(fit, Fit) and any(loop.kind in (LoopKind.FILE, LoopKind.GROUP) for loop in fit.loops)
        if isinstance(fit, Fit) and not apart and not fit.subject.is_a(*_PREDICTORS) and value.rows.subset(learned.rows):
            found.append((fit, learned))
    return found
