"""Rules of tip 2 on traces written by hand."""

from __future__ import annotations

import pytest
from traces import TraceBuilder

from mllint_bio.findings import Confidence
from mllint_bio_rules.tip2.baseline_not_tuned_alike import BaselineNotTunedAlike
from mllint_bio_rules.tip2.no_baseline_model import NoBaselineModel

FOREST = "sklearn.ensemble.RandomForestClassifier"


def network(family: str = "score", **fields: object) -> TraceBuilder:
    """A program that trains a network and scores it on held-out rows."""
    builder = TraceBuilder(**fields).load("table").split("table", "train", "test")  # type: ignore[arg-type]
    builder.subject("net", "Net", "module")
    builder.backward("train").step("torch.optim.Adam", "net", "train").predict("net", "test", "logits", mode="eval")
    return builder.score("roc_auc_score", "logits", family=family).report()


class TestNoBaselineModel:
    """MLB201."""

    def test_needs_a_project_without_baselines(self) -> None:
        """Known absence is a likely finding at the evaluation; unknown and presence are silent."""
        builder = network()
        (finding,) = builder.check(NoBaselineModel, project_baselines=False)
        assert finding.confidence is Confidence.LIKELY and "`roc_auc_score`" in finding.message
        assert not builder.check(NoBaselineModel, project_baselines=None)
        assert not builder.check(NoBaselineModel, project_baselines=True)

    def test_own_baseline_and_published_numbers(self) -> None:
        """A baseline in the same program, or a reference in the configuration, is enough."""
        assert not network().fit(FOREST, "train", role="estimator.baseline.tree").check(NoBaselineModel, project_baselines=False)
        options = {"external-baselines": "docs/baselines.md"}
        assert not network().check(NoBaselineModel, project_baselines=False, options=options)

    def test_other_work_is_silent(self) -> None:
        """Segmentation, functions without caller, and training without a held-out score."""
        assert not network(family="segmentation").check(NoBaselineModel, project_baselines=False)
        assert not network(entry="function").check(NoBaselineModel, project_baselines=False)
        builder = TraceBuilder().load("table").backward("table").step("torch.optim.Adam", "net", "table")
        assert not builder.check(NoBaselineModel, project_baselines=False)


def compared(rival: str, role: str, same: bool = True, **given: object) -> TraceBuilder:
    """A forest with some arguments and a rival, scored on the same rows or on others."""
    builder = TraceBuilder().load("table").split("table", "train", "test", "rest")
    builder.subject("rival", rival, role, C=3.0)
    builder.subject("forest", FOREST, "estimator.baseline.tree", **given)
    for who, rows in (("rival", "test"), ("forest", "test" if same else "rest")):
        builder.fit(who, "train").score("roc_auc_score", rows, who, family="score").report()
    return builder


class TestBaselineNotTunedAlike:
    """MLB202."""

    @pytest.mark.parametrize(
        ("rival", "role", "confidence"),
        [
            ("sklearn.model_selection.GridSearchCV", "tuner", Confidence.CERTAIN),
            ("keras.Sequential", "estimator.deep", Confidence.LIKELY),
        ],
    )
    def test_default_against_effort(self, rival: str, role: str, confidence: Confidence) -> None:
        """Reported where the baseline is made: certain against a search, likely against a network."""
        builder = compared(rival, role, random_state=0, n_jobs=-1)
        (finding,) = builder.check(BaselineNotTunedAlike)
        assert finding.at == builder.subjects["forest"].at and finding.confidence is confidence

    def test_arguments_of_a_search(self) -> None:
        """A model that is built with the result of a search counts as tuned."""
        builder = compared("sklearn.svm.SVC", "estimator.baseline.kernel")
        assert not builder.check(BaselineNotTunedAlike)
        builder.subjects["rival"].facts["tuned"] = True
        assert builder.check(BaselineNotTunedAlike)

    def test_a_chosen_or_unknown_argument_is_enough(self) -> None:
        """A hyperparameter, or arguments from outside, end the matter."""
        assert not compared("GridSearchCV", "tuner", max_depth=4).check(BaselineNotTunedAlike)
        builder = compared("GridSearchCV", "tuner")
        builder.subjects["forest"].unknown_arguments = True
        assert not builder.check(BaselineNotTunedAlike)

    @pytest.mark.parametrize("fact", ["tunes_itself", "parameter_free"])
    def test_nothing_to_tune(self, fact: str) -> None:
        """Models that tune themselves or have nothing to tune."""
        builder = compared("GridSearchCV", "tuner")
        builder.subjects["forest"].facts[fact] = True
        assert not builder.check(BaselineNotTunedAlike)

    def test_other_rows_are_no_comparison(self) -> None:
        """Figures of different rows are not compared, nor is a forest inside the search."""
        assert not compared("GridSearchCV", "tuner", same=False).check(BaselineNotTunedAlike)
        builder = compared("GridSearchCV", "tuner")
        builder.subjects["rival"].parts.append(builder.subjects["forest"])
        assert not builder.check(BaselineNotTunedAlike)
