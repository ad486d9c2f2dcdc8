"""The readable trace."""

from __future__ import annotations

import json

from mllint_bio.diagnostics import Place
from mllint_bio.events import LoopKind, Site
from mllint_bio.render import trace as rendered
from mllint_bio.trace import Trace
from tests.rules.traces import TraceBuilder


class Places:
    """Every site at its line."""

    def __getitem__(self, site: Site) -> Place:
        return Place(site.path, None, site.line, 1, site.line, 2, 0, 1)


def program() -> Trace:
    """Load, split, fit and score in a loop."""
    builder = TraceBuilder().load("table").split("table", "train", "test")
    with builder.loop(LoopKind.FOLD):
        builder.fit("sklearn.svm.SVC", "train", role="estimator.baseline.kernel").score("accuracy_score", "test", "SVC")
    return builder.trace()


def test_listing_has_every_event_with_place_rows_and_loop() -> None:
    """One line an event: number, place, kind, and what is known of it."""
    listed = rendered.text([program()], Places()).splitlines()
    assert listed[0] == "script in train.py: 4 events"
    kinds = [line.split()[2] for line in listed[1:5]]
    assert kinds == ["Load", "Split", "Fit", "Score"]
    assert "subject=SVC" in listed[3] and "data=train <" in listed[3] and "in fold loop" in listed[3]
    assert "metric=accuracy_score" in listed[4]
    assert "validation=" not in listed[3]


def test_json_names_subjects_once() -> None:
    """Objects of the program are numbered, so that it is plain which model was fitted and which scored."""
    (one,) = json.loads(rendered.as_json([program()], Places()))
    load, split, fit, score = one["events"]
    assert load["event"] == "Load"
    assert load["at"] == {"filename": "train.py", "cell": None, "location": {"row": 1, "column": 1}}
    assert fit["subject"] == score["subject"]
    assert one["subjects"][fit["subject"]["subject"]]["api"] == "sklearn.svm.SVC"
    assert len(split["parts"]) == 2 and fit["loops"] == [{"kind": "fold", "variable": ""}]


def test_every_site_is_asked_for() -> None:
    """The sites that rendering needs are those that are announced, so that places can be found in one go."""
    announced = set(rendered.sites(program()))
    asked: set[Site] = set()

    class Recording(Places):
        def __getitem__(self, site: Site) -> Place:
            asked.add(site)
            return super().__getitem__(site)

    rendered.text([program()], Recording())
    rendered.as_json([program()], Recording())
    assert asked <= announced
