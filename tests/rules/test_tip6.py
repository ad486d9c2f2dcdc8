"""Rules of tip 6 on traces written by hand."""

from __future__ import annotations

import pytest
from traces import TraceBuilder

from mllint_bio.events import Data, LoopKind
from mllint_bio.findings import Confidence, Severity
from mllint_bio_rules.tip6.objective_scored_on_training_data import ObjectiveScoredOnTrainingData
from mllint_bio_rules.tip6.selection_metric_mismatch import SelectionMetricMismatch
from mllint_bio_rules.tip6.tuned_on_test_set import TunedOnTestSet
from mllint_bio_rules.tip6.unseeded_tuner import UnseededTuner

SVC = "sklearn.svm.SVC"


def candidates(rows: str = "test", what: str = "hyperparameter") -> TraceBuilder:
    """A loop over candidates that keeps the best by its score on `rows`, which is reported afterwards."""
    builder = TraceBuilder().load("table").split("table", "train", "validation", "test")
    for name in ("validation", "test"):
        builder.data[name] = Data(builder.data[name].rows, name, name)
    with builder.loop(LoopKind.CANDIDATE):
        builder.fit(SVC, "train", role="estimator.baseline.kernel").score("roc_auc_score", rows, "SVC", family="score")
        builder.select(what, direction="up", keeps=frozenset({"score"}))
    return builder.report()


class TestTunedOnTestSet:
    """MLB601."""

    @pytest.mark.parametrize(("what", "variant"), [("hyperparameter", "hyperparameter"), ("features", "feature-count")])
    def test_chosen_on_the_reported_rows(self, what: str, variant: str) -> None:
        """The choice is an error when its rows give the reported figure."""
        (finding,) = candidates(what=what).check(TunedOnTestSet)
        assert (finding.variant, finding.severity, finding.confidence) == (variant, Severity.ERROR, Confidence.CERTAIN)

    def test_another_part_gives_the_result(self) -> None:
        """A choice on validation rows is right, and a further test part excuses rows called test."""
        builder = candidates("validation").score("roc_auc_score", "test", "SVC", family="score").report()
        assert not builder.check(TunedOnTestSet)
        builder = candidates("validation")
        assert not builder.check(TunedOnTestSet)

    def test_rows_without_a_name_are_likely(self) -> None:
        """Held-out rows that nobody calls test lower the claim to a warning."""
        builder = TraceBuilder().load("table").split("table", "a", "b")
        builder.fit(SVC, "a").score("accuracy_score", "b", "SVC").select("hyperparameter", keeps=frozenset({"score"})).report()
        (finding,) = builder.check(TunedOnTestSet)
        assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.LIKELY)

    def test_a_branch_that_keeps_nothing_chooses_nothing(self) -> None:
        """`if sum(window) >= least: found.append(1)`."""
        builder = TraceBuilder().load("table").split("table", "a", "b")
        assert (
            not builder.fit(SVC, "a").score("accuracy_score", "b", "SVC").select("hyperparameter").report().check(TunedOnTestSet)
        )

    def test_unreported_choice_and_other_choices_are_silent(self) -> None:
        """What nobody reads is harmless; choices of epochs belong to another rule."""
        builder = TraceBuilder().load("table").split("table", "train", "test")
        builder.fit(SVC, "train").score("accuracy_score", "test", "SVC").select("hyperparameter", keeps=frozenset({"score"}))
        assert not builder.check(TunedOnTestSet)
        assert not candidates(what="epoch").check(TunedOnTestSet)

    def test_sweep_shown_in_full(self) -> None:
        """All candidates shown on the test rows, none chosen: information."""
        builder = TraceBuilder().load("table").split("table", "train", "test")
        builder.data["test"] = Data(builder.data["test"].rows, "test", "test")
        with builder.loop(LoopKind.CANDIDATE):
            builder.fit(SVC, "train").score("accuracy_score", "test", "SVC").report()
        (finding,) = builder.check(TunedOnTestSet)
        assert (finding.variant, finding.severity, finding.preview) == ("all-reported", Severity.INFO, False)


class TestObjectiveScoredOnTrainingData:
    """MLB603."""

    def test_training_rows_in_the_objective(self) -> None:
        """Reported at the score."""
        builder = candidates("train")
        (finding,) = builder.check(ObjectiveScoredOnTrainingData)
        assert finding.severity is Severity.ERROR and "`roc_auc_score`" in finding.message

    def test_held_out_and_cross_validated_scores_are_silent(self) -> None:
        """Validation rows, folds made inside the call, and unsupervised criteria."""
        assert not candidates("validation").check(ObjectiveScoredOnTrainingData)
        for facts in ({"cross_validated": True}, {"family": "cluster"}):
            builder = TraceBuilder().load("table").fit(SVC, "table").score("figure", "table", "SVC", **facts)
            assert not builder.select("hyperparameter", how="tuner").check(ObjectiveScoredOnTrainingData)

    def test_unknown_training_rows_are_silent(self) -> None:
        """A model of unknown origin proves nothing."""
        builder = TraceBuilder().load("table")
        builder.subject("net", "Net", "module")
        builder.score("accuracy_score", "table", "net").select("hyperparameter", keeps=frozenset({"score"}))
        assert not builder.check(ObjectiveScoredOnTrainingData)

    @pytest.mark.parametrize(("metric", "count"), [("accuracy", 1), ("val_accuracy", 0), ("", 0)])
    def test_objective_of_a_keras_tuner(self, metric: str, count: int) -> None:
        """A training metric as the objective."""
        builder = TraceBuilder()
        tuner = builder.subject("tuner", "keras_tuner.RandomSearch", "tuner")
        builder.select("hyperparameter", how="tuner", subject=tuner, metric=metric)
        assert len(builder.check(ObjectiveScoredOnTrainingData)) == count


class TestSelectionMetricMismatch:
    """MLB604."""

    @pytest.mark.parametrize(
        ("metric", "kept", "count"), [("up", "down", 1), ("down", "up", 1), ("up", "up", 0), ("", "down", 0)]
    )
    def test_direction(self, metric: str, kept: str, count: int) -> None:
        """A search that keeps the wrong end is an error; an unknown direction is silent."""
        builder = TraceBuilder().load("table").fit(SVC, "table").score("figure", "table", "SVC", direction=metric)
        findings = builder.select("hyperparameter", how="tuner", direction=kept).check(SelectionMetricMismatch)
        assert [(f.variant, f.severity) for f in findings] == [("direction", Severity.ERROR)] * count

    @pytest.mark.parametrize(
        ("metric", "kept", "count"),
        [("val_auroc", "down", 1), ("val_loss", "down", 0), ("val_loss", "up", 1), ("score", "down", 0), ("auc_loss", "up", 0)],
    )
    def test_direction_by_name(self, metric: str, kept: str, count: int) -> None:
        """A monitor whose name says what is better is likely; one that says nothing, or both, is silent."""
        findings = TraceBuilder().select("epoch", how="callback", metric=metric, direction=kept).check(SelectionMetricMismatch)
        assert [f.confidence for f in findings] == [Confidence.LIKELY] * count

    def test_branches_that_keep_nothing_are_silent(self) -> None:
        """`if loss > best: patience += 1` counts; only a branch that keeps the model chooses."""
        for keeps, count in ((frozenset(), 0), (frozenset({"weights"}), 1)):
            builder = TraceBuilder().load("table").fit(SVC, "table").score("loss", "table", "SVC", direction="down")
            builder.select("epoch", how="if", direction="up", keeps=keeps)
            assert len(builder.check(SelectionMetricMismatch)) == count

    @staticmethod
    def search(metric: str, family: str, **given: object) -> TraceBuilder:
        """A grid search, and a figure of the test rows."""
        builder = TraceBuilder().load("table").split("table", "train", "test")
        tuner = builder.subject("search", "sklearn.model_selection.GridSearchCV", "tuner", cv=5, **given)
        builder.fit(tuner, "train").select("hyperparameter", how="tuner", subject=tuner)
        return builder.score(metric, "test", tuner, family=family).report()

    def test_default_scorer(self) -> None:
        """A search by the default scorer, reported by the area under the curve."""
        (finding,) = self.search("roc_auc_score", "score").check(SelectionMetricMismatch)
        assert (finding.variant, finding.severity) == ("scoring", Severity.WARNING)
        assert not self.search("accuracy_score", "label").check(SelectionMetricMismatch)
        assert not self.search("roc_auc_score", "score", scoring="roc_auc").check(SelectionMetricMismatch)

    @pytest.mark.parametrize(("monitor", "count"), [("loss", 1), ("val_loss", 0), ("something", 0)])
    def test_monitor(self, monitor: str, count: int) -> None:
        """A Keras callback that watches the training loss although validation data are given."""
        builder = TraceBuilder(imports=frozenset({"keras"})).load("table").split("table", "train", "valid")
        builder.fit("keras.Sequential", "train", role="estimator.deep", validation=builder.data["valid"])
        findings = builder.select("early-stop", how="EarlyStopping", metric=monitor).check(SelectionMetricMismatch)
        assert [f.variant for f in findings] == ["monitor"] * count


class TestUnseededTuner:
    """MLB605."""

    @staticmethod
    def search(stream: str, **given: object) -> TraceBuilder:
        """A search that draws its candidates from a generator."""
        builder = TraceBuilder()
        study = builder.subject("study", "optuna.create_study", "tuner", **given)
        return builder.draw(stream, "optuna.create_study", "tuner", subject=study)

    def test_reported_where_it_is_made(self) -> None:
        """The search, not the run of it, is the place."""
        builder = self.search("own")
        (finding,) = builder.check(UnseededTuner)
        assert finding.at == builder.subjects["study"].at

    def test_global_seed(self) -> None:
        """The global seed covers scikit-learn's searches and not Optuna's."""
        assert not self.search("numpy").seed("numpy").check(UnseededTuner)
        assert self.search("own").seed("numpy", "python").check(UnseededTuner)

    def test_functions_without_caller(self) -> None:
        """The caller may seed NumPy, but nobody can seed a generator that is made here."""
        assert not self.search("numpy").check(UnseededTuner, entry="function")
        assert self.search("own").check(UnseededTuner, entry="function")

    def test_resumed_study_is_silent(self) -> None:
        """A study from storage goes on where it stopped."""
        assert not self.search("own", storage="sqlite:///study.db").check(UnseededTuner)
