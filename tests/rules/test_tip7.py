"""Rules of tip 7 on hand-built traces: each reports its fault and keeps silent where the fault is absent or unproven."""

from __future__ import annotations

from dataclasses import replace

import pytest
from traces import TraceBuilder

from mllint_bio.events import Data, Loader, LoopKind, Pairing, Prediction, Report, Resample, Score, Select, Weights
from mllint_bio.findings import Confidence, Severity
from mllint_bio.rows import Bound
from mllint_bio_rules.tip7.accuracy_only_evaluation import AccuracyOnlyEvaluation
from mllint_bio_rules.tip7.augmentation_before_split import AugmentationBeforeSplit
from mllint_bio_rules.tip7.best_of_many_reported import BestOfManyReported
from mllint_bio_rules.tip7.dependent_samples_split_at_random import DependentSamplesSplitAtRandom
from mllint_bio_rules.tip7.early_stopping_without_best_weights import EarlyStoppingWithoutBestWeights
from mllint_bio_rules.tip7.evaluated_on_training_data import EvaluatedOnTrainingData
from mllint_bio_rules.tip7.evaluation_loader_misuse import EvaluationLoaderMisuse
from mllint_bio_rules.tip7.feature_selection_before_split import FeatureSelectionBeforeSplit
from mllint_bio_rules.tip7.hard_labels_in_ranking_metric import HardLabelsInRankingMetric
from mllint_bio_rules.tip7.metric_arguments_swapped import MetricArgumentsSwapped
from mllint_bio_rules.tip7.metric_averaged_over_batches import MetricAveragedOverBatches
from mllint_bio_rules.tip7.model_selected_on_test_set import ModelSelectedOnTestSet
from mllint_bio_rules.tip7.no_untouched_test_set import NoUntouchedTestSet
from mllint_bio_rules.tip7.omics_preprocessing_before_split import OmicsPreprocessingBeforeSplit
from mllint_bio_rules.tip7.ordered_validation_tail import OrderedValidationTail
from mllint_bio_rules.tip7.preprocessing_skipped_on_test import PreprocessingSkippedOnTest
from mllint_bio_rules.tip7.resampling_before_split import ResamplingBeforeSplit
from mllint_bio_rules.tip7.target_encoding_before_split import TargetEncodingBeforeSplit
from mllint_bio_rules.tip7.threshold_chosen_on_test_set import ThresholdChosenOnTestSet
from mllint_bio_rules.tip7.train_test_overlap import TrainTestOverlap
from mllint_bio_rules.tip7.train_test_source_mismatch import TrainTestSourceMismatch
from mllint_bio_rules.tip7.transform_fitted_before_split import TransformFittedBeforeSplit
from mllint_bio_rules.tip7.transform_refitted_on_test import TransformRefittedOnTest

SVC = "sklearn.svm.SVC"


def named(builder: TraceBuilder, **roles: str) -> TraceBuilder:
    """Give data their named roles."""
    for name, role in roles.items():
        builder.data[name] = replace(builder.data[name], named_role=role)
    return builder


def three_parts() -> TraceBuilder:
    """A table in three parts called train, val and test."""
    builder = TraceBuilder().load("expr").split("expr", "train", "val", "test")
    return named(builder, train="train", val="validation", test="test")


def leaky(role: str, api: str = "sklearn.preprocessing.StandardScaler", **fields: object) -> TraceBuilder:
    """A transform fitted on the whole table, then split, train, score on test."""
    builder = TraceBuilder().load("expr").fit(api, "expr", role, **fields)
    builder.transform(api.rsplit(".", 1)[-1], "expr", "X").split("X", "train", "test")
    return builder.fit(SVC, "train").score("accuracy_score", "test", "SVC").report()


# -- 701, 702, 703, 704, 705 -----------------------------------------------------------------------------------------


def test_only_score_on_training_rows_is_an_error() -> None:
    """The only score, on the fitted rows, is reported at the score with the fit as evidence."""
    builder = TraceBuilder().load("otu").fit(SVC, "otu").score("accuracy_score", "otu", "SVC").report()
    (finding,) = builder.check(EvaluatedOnTrainingData)
    assert (finding.severity, finding.evidence[0].message) == (Severity.ERROR, "trained here")
    assert finding.at == builder.events[2].at


@pytest.mark.parametrize("second", ["test", "unknown"])
def test_training_score_beside_a_possible_held_out_score_is_silent(second: str) -> None:
    """A held-out score, or one of unknown rows, makes the training score a comparison."""
    builder = TraceBuilder().load("otu").split("otu", "train", "test").parameter("unknown").fit(SVC, "train")
    builder.score("accuracy_score", "train", "SVC").report().score("accuracy_score", second, "SVC")
    assert builder.check(EvaluatedOnTrainingData) == []


def test_training_score_of_a_saved_model_is_likely_only_and_progress_is_silent() -> None:
    """A saved model may be evaluated elsewhere; progress figures of such a script say nothing."""
    builder = TraceBuilder().load("otu").fit(SVC, "otu").score("accuracy_score", "otu", "SVC").report()
    builder.add(Weights, subject=None, action="save")
    assert builder.check(EvaluatedOnTrainingData)[0].confidence is Confidence.LIKELY
    builder = TraceBuilder().load("otu").add(Weights, subject=None, action="save")
    with builder.loop(LoopKind.EPOCH):
        builder.fit(SVC, "otu").score("accuracy_score", "otu", "SVC").report()
    assert builder.check(EvaluatedOnTrainingData) == []


def epochs_choosing_on(part: str, what: str = "checkpoint") -> TraceBuilder:
    """An epoch loop that keeps the best weights by the score of one of three parts."""
    builder = three_parts()
    with builder.loop(LoopKind.EPOCH):
        builder.step("torch.optim.Adam", "net", "train").score("mse_loss", part, "net", family="loss")
        builder.select(what, keeps=frozenset({"score", "saved"}))
    return builder


def test_checkpoint_on_reported_test_rows_is_an_error() -> None:
    """A checkpoint by the reported test loss is reported at the choice."""
    builder = epochs_choosing_on("test")
    (finding,) = builder.report().check(ModelSelectedOnTestSet)
    assert (finding.severity, finding.variant, finding.confidence) == (Severity.ERROR, "epoch", Confidence.CERTAIN)
    assert finding.at == next(builder.trace().of(Select)).at


def test_checkpoint_on_validation_rows_with_a_reported_test_score_is_silent() -> None:
    """The good pattern: choose on validation, report test."""
    builder = epochs_choosing_on("val").report().score("mse_loss", "test", "net", family="loss").report()
    assert builder.check(ModelSelectedOnTestSet) == []
    assert builder.check(NoUntouchedTestSet) == []


def test_reported_validation_score_does_not_excuse_a_choice_on_test_rows() -> None:
    """Test rows chose the epoch: that a validation figure is shown too changes nothing."""
    builder = epochs_choosing_on("test").report().score("mse_loss", "val", "net", family="loss").report()
    assert [f.severity for f in builder.check(ModelSelectedOnTestSet)] == [Severity.ERROR]


def test_choice_without_a_reported_figure_of_its_rows_is_silent() -> None:
    """Nothing is reported of the rows that chose."""
    assert epochs_choosing_on("test").check(ModelSelectedOnTestSet) == []


def test_learning_rate_on_test_rows_is_info() -> None:
    """A learning rate reduced by the test loss is the weak form."""
    (finding,) = epochs_choosing_on("test", "learning-rate").report().check(ModelSelectedOnTestSet)
    assert (finding.severity, finding.variant) == (Severity.INFO, "learning-rate")


def test_fold_that_chooses_the_epoch_and_is_reported_is_likely() -> None:
    """A held-out fold that chooses and is reported: warning."""
    builder = TraceBuilder().load("ecg").split("ecg", "train", "held", fold=True)
    builder.step("torch.optim.Adam", "net", "train").score("accuracy", "held", "net")
    builder.select("epoch", keeps=frozenset({"weights"})).report()
    (finding,) = builder.check(ModelSelectedOnTestSet)
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.LIKELY)


def test_choice_on_the_headline_validation_rows_is_a_warning() -> None:
    """Validation rows both choose and give the figure that is shown after training."""
    (finding,) = epochs_choosing_on("val").report().check(NoUntouchedTestSet)
    assert finding.severity is Severity.WARNING
    assert epochs_choosing_on("val").report().check(ModelSelectedOnTestSet) == []


def test_validation_progress_and_tests_elsewhere_are_silent() -> None:
    """Figures printed per epoch are progress; a project may say that it tests elsewhere."""
    builder = three_parts()
    with builder.loop(LoopKind.EPOCH):
        builder.step("torch.optim.Adam", "net", "train").score("acc", "val", "net").select(
            "epoch", keeps=frozenset({"saved"})
        ).report()
    assert builder.check(NoUntouchedTestSet) == []
    assert epochs_choosing_on("val").report().check(NoUntouchedTestSet, options={"test-elsewhere": True}) == []
    assert epochs_choosing_on("val").report().check(NoUntouchedTestSet, tested_elsewhere=True) == []


def thresholded(chosen_on: str) -> TraceBuilder:
    """A threshold chosen on one part, used for a score on test."""
    builder = three_parts().fit(SVC, "train").predict("SVC", "test", "cut", output="score")
    builder.add(Select, what="threshold", how="argmax", data=builder.data[chosen_on])
    made = Prediction(builder.subjects["SVC"], builder.data["test"].rows, "label", 3)
    builder.data["cut"] = replace(builder.data["cut"], prediction=made, named_role="test")
    return builder


def test_threshold_used_on_the_rows_that_chose_it() -> None:
    """An error when the score says that it used the choice; labels cut somewhere else prove nothing."""
    builder = thresholded("test")
    link = frozenset({builder.last.id})
    choice = builder.last
    (certain,) = builder.score("recall_score", "cut", chosen=link).report().check(ThresholdChosenOnTestSet)
    assert (certain.severity, certain.at) == (Severity.ERROR, choice.at)
    assert thresholded("test").score("recall_score", "cut").report().check(ThresholdChosenOnTestSet) == []


def test_threshold_from_other_rows_or_for_an_area_is_silent() -> None:
    """A threshold from validation rows is the remedy; an area needs no threshold."""
    assert thresholded("val").score("recall_score", "cut").report().check(ThresholdChosenOnTestSet) == []
    assert thresholded("test").score("roc_auc_score", "cut", family="score").report().check(ThresholdChosenOnTestSet) == []


def many(what: str, *shown: str, reports: int = 1) -> TraceBuilder:
    """The maximum over repetitions is taken, then figures are reported."""
    builder = TraceBuilder().load("expr").split("expr", "train", "test").fit(SVC, "train").score("accuracy_score", "test", "SVC")
    score = builder.last.id
    builder.select(what, score, how="max", keeps=frozenset({"score"}))
    for _ in range(reports):
        builder.add(Report, scores=frozenset({score}), how="print", shown=frozenset(shown))
    return builder


def test_best_of_many_is_reported_by_what_the_reader_sees() -> None:
    """A maximum alone is a finding; with a mean, a spread or an unknown second figure it is none."""
    assert [f.severity for f in many("fold", "max").check(BestOfManyReported)] == [Severity.WARNING]
    assert [f.severity for f in many("seed", "max").check(BestOfManyReported)] == [Severity.ERROR]
    assert [f.confidence for f in many("fold").check(BestOfManyReported)] == [Confidence.LIKELY]
    assert many("fold", "max", "mean").check(BestOfManyReported) == []
    assert many("fold", reports=2).check(BestOfManyReported) == []


# -- 706, 707, 709, 711 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "variant"),
    [
        ("fitted-transform.scale", "scale"),
        ("imputer", "impute"),
        ("fitted-transform.decompose", "decompose"),
        ("column-stat-function", "scale"),
        ("statistic", "hand-written"),
    ],
)
def test_transform_fitted_before_the_split(role: str, variant: str) -> None:
    """State learned from all rows reaches the test score: reported at the fit."""
    builder = leaky(role)
    (finding,) = builder.check(TransformFittedBeforeSplit)
    assert (finding.variant, finding.severity, finding.at) == (variant, Severity.WARNING, builder.events[1].at)
    assert [e.message for e in finding.evidence] == ["fitted here", "split here", "scored here"]


@pytest.mark.parametrize("role", ["fitted-transform.encode", "fitted-transform.label", "fitted-transform.outlier", "estimator"])
def test_state_that_is_no_leak_is_silent(role: str) -> None:
    """Category names, label codes and row filters are left alone."""
    builder = leaky(role)
    for rule in (
        TransformFittedBeforeSplit,
        FeatureSelectionBeforeSplit,
        TargetEncodingBeforeSplit,
        OmicsPreprocessingBeforeSplit,
    ):
        assert builder.check(rule) == []


def test_each_kind_of_leak_belongs_to_one_rule() -> None:
    """Selectors, target encoders and in-place omics functions have their own rules and severities."""
    cases = {
        "feature-selector.supervised": (FeatureSelectionBeforeSplit, Severity.ERROR, "supervised"),
        "feature-selector.unsupervised": (FeatureSelectionBeforeSplit, Severity.WARNING, "unsupervised"),
        "feature-score": (FeatureSelectionBeforeSplit, Severity.ERROR, "hand-written"),
        "fitted-transform.supervised": (TargetEncodingBeforeSplit, Severity.ERROR, ""),
        "inplace-transform.learned": (OmicsPreprocessingBeforeSplit, Severity.WARNING, "learned"),
        "inplace-transform.batch-correction": (OmicsPreprocessingBeforeSplit, Severity.WARNING, "batch-correction"),
    }
    rules = {rule for rule, _, _ in cases.values()} | {TransformFittedBeforeSplit}
    for role, (rule, severity, variant) in cases.items():
        (finding,) = leaky(role, "some.Thing").check(rule)
        assert (finding.severity, finding.variant) == (severity, variant), role
        assert all(leaky(role, "some.Thing").check(other) == [] for other in rules - {rule}), role


def test_zero_variance_filter_is_info() -> None:
    """`VarianceThreshold()` drops constant columns only."""
    builder = leaky("feature-selector.unsupervised", "sklearn.feature_selection.VarianceThreshold")
    assert [f.severity for f in builder.check(FeatureSelectionBeforeSplit)] == [Severity.INFO]


def test_batch_correction_with_the_outcome_is_an_error() -> None:
    """The outcome as covariate writes the label into the data."""
    builder = leaky("inplace-transform.batch-correction", "scanpy.pp.combat", uses_target=True)
    assert [(f.severity, f.variant) for f in builder.check(OmicsPreprocessingBeforeSplit)] == [(Severity.ERROR, "with-label")]


def test_statistic_of_the_target_is_target_encoding() -> None:
    """A group mean of the label is no scaling."""
    builder = leaky("statistic", "pandas.groupby", uses_target=True)
    assert len(builder.check(TargetEncodingBeforeSplit)) == 1
    assert builder.check(TransformFittedBeforeSplit) == []


def test_transform_of_the_training_rows_is_silent() -> None:
    """Fit on train, transform both."""
    builder = (
        TraceBuilder()
        .load("expr")
        .split("expr", "train", "test")
        .fit("sklearn.preprocessing.StandardScaler", "train", "fitted-transform.scale")
    )
    builder.transform("StandardScaler", "train", "A").transform("StandardScaler", "test", "B").fit(SVC, "A").score(
        "accuracy_score", "B", "SVC"
    ).report()
    assert builder.check(TransformFittedBeforeSplit) == []


def test_leak_into_inner_folds_with_a_clean_outer_score_is_silent() -> None:
    """A scaler of train + validation reaches the validation score, the test score stays clean."""
    builder = (
        TraceBuilder()
        .load("expr")
        .split("expr", "dev", "test")
        .fit("sklearn.preprocessing.StandardScaler", "dev", "fitted-transform.scale")
    )
    builder.transform("StandardScaler", "dev", "D").transform("StandardScaler", "test", "T").split("D", "train", "val").fit(
        SVC, "train"
    )
    builder.score("accuracy_score", "val", "SVC").report()
    assert len(builder.check(TransformFittedBeforeSplit)) == 1
    builder.score("accuracy_score", "T", "SVC").report()
    assert builder.check(TransformFittedBeforeSplit) == []


def test_transductive_protocol_lowers_to_info() -> None:
    """A declared protocol is quoted."""
    (finding,) = leaky("fitted-transform.scale").check(TransformFittedBeforeSplit, options={"protocol": "transductive"})
    assert finding.severity is Severity.INFO and "transductive" in finding.message


def test_cross_validation_of_transformed_rows_leaks() -> None:
    """The folds of `cross_val_score` hold out rows that the selector had seen."""
    builder = TraceBuilder().load("expr").fit("sklearn.feature_selection.SelectKBest", "expr", "feature-selector.supervised")
    builder.transform("SelectKBest", "expr", "X").fit(SVC, "X").score(
        "roc_auc", "X", "SVC", cross_validated=True, family="score"
    ).report()
    (finding,) = builder.check(FeatureSelectionBeforeSplit)
    assert "cross-validation holds out" in finding.message


def test_target_encoder_without_cross_fitting() -> None:
    """`fit` and `transform` on the same training rows skip the cross-fitting of `fit_transform`."""
    builder = (
        TraceBuilder()
        .load("expr")
        .fit("sklearn.preprocessing.TargetEncoder", "expr", "fitted-transform.supervised", method="fit")
    )
    builder.transform("TargetEncoder", "expr", "X")
    assert [f.variant for f in builder.check(TargetEncodingBeforeSplit)] == ["in-sample"]


# -- 708, 710 --------------------------------------------------------------------------------------------------------


def resampled(lineage: str, **fields: object) -> TraceBuilder:
    """Rows multiplied, then split, trained and scored."""
    builder = TraceBuilder().load("clin").resample("clin", "X", lineage).split("X", "train", "test", **fields)
    return builder.fit(SVC, "train").score("roc_auc_score", "test", "SVC", family="score").report()


def test_resampling_before_the_split() -> None:
    """Copies and synthetic rows on both sides are errors, dropped rows a warning."""
    assert [(f.severity, f.variant) for f in resampled("synthetic").check(ResamplingBeforeSplit)] == [
        (Severity.ERROR, "synthetic")
    ]
    assert [(f.severity, f.variant) for f in resampled("copy").check(ResamplingBeforeSplit)] == [(Severity.ERROR, "duplicates")]
    assert [(f.severity, f.variant) for f in resampled("drop").check(ResamplingBeforeSplit)] == [
        (Severity.WARNING, "test-balanced")
    ]


def test_resampling_of_the_training_rows_and_bootstrap_intervals_are_silent() -> None:
    """Resample after the split, and bootstrap of the test rows for an interval."""
    builder = TraceBuilder().load("clin").split("clin", "train", "test").resample("train", "more").fit(SVC, "more")
    builder.score("accuracy_score", "test", "SVC").resample("test", "boot", "bootstrap", "sklearn.utils.resample")
    builder.score("accuracy_score", "boot", "SVC").report()
    assert builder.check(ResamplingBeforeSplit) == []


def test_augmentation_before_a_row_wise_split() -> None:
    """Variants of one image on both sides; a split by group keeps them together."""
    assert [f.severity for f in resampled("augment").check(AugmentationBeforeSplit)] == [Severity.ERROR]
    assert resampled("augment", grouped=True).check(AugmentationBeforeSplit) == []
    assert resampled("augment").check(ResamplingBeforeSplit) == []


# -- 712, 713, 714, 715 ----------------------------------------------------------------------------------------------


def refitted(role: str = "fitted-transform.scale") -> TraceBuilder:
    """A scaler fitted on train, then on test."""
    builder = (
        TraceBuilder().load("expr").split("expr", "train", "test").fit("sklearn.preprocessing.StandardScaler", "train", role)
    )
    builder.transform("StandardScaler", "train", "A").fit("StandardScaler", "test", role).transform("StandardScaler", "test", "B")
    return builder.fit(SVC, "A").predict("SVC", "B", "p").score("accuracy_score", "p").report()


def test_transform_fitted_again_on_test_rows() -> None:
    """The second fit is reported, as an error, with a variant by role; it is no leak of MLB706."""
    builder = refitted()
    (finding,) = builder.check(TransformRefittedOnTest)
    assert (finding.severity, finding.variant, finding.at) == (Severity.ERROR, "scale", builder.events[4].at)
    assert builder.check(TransformFittedBeforeSplit) == []
    assert [f.variant for f in refitted("fitted-transform.label").check(TransformRefittedOnTest)] == ["codes"]
    assert [f.variant for f in refitted("fitted-transform.decompose").check(TransformRefittedOnTest)] == ["decompose"]
    assert [f.severity for f in builder.check(TransformRefittedOnTest, options={"protocol": "per-cohort-standardised"})] == [
        Severity.INFO
    ]


def test_refit_on_rows_that_another_model_trains_on_is_silent() -> None:
    """One scaler and one model per part: nothing is evaluated with the wrong units."""
    builder = refitted()
    builder.fit("sklearn.svm.SVR", "B")
    assert builder.check(TransformRefittedOnTest) == []


def test_prediction_of_untransformed_rows() -> None:
    """The model knows scaled rows and gets raw ones; with the transform applied nothing is reported."""
    builder = (
        TraceBuilder()
        .load("expr")
        .split("expr", "train", "test")
        .fit("sklearn.preprocessing.StandardScaler", "train", "fitted-transform.scale")
    )
    builder.transform("StandardScaler", "train", "A").transform("StandardScaler", "test", "B").fit(SVC, "A").predict("SVC", "B")
    assert builder.check(PreprocessingSkippedOnTest) == []
    (finding,) = builder.predict("SVC", "test").check(PreprocessingSkippedOnTest)
    assert (finding.severity, finding.at) == (Severity.ERROR, builder.last.at)
    builder.transform("joblib.Restored", "test", "C", fit=-1).predict("SVC", "test")
    assert len(builder.check(PreprocessingSkippedOnTest)) == 1


def test_source_mismatch_needs_a_control_pair_to_be_an_error() -> None:
    """A slip beside pairs in order is an error, a lone pair info, equal bases nothing."""

    def found(base: str, controls: int, swapped: bool = False) -> list[Severity]:
        builder = TraceBuilder().add(
            Pairing,
            train_name="X_trainC",
            train_base="cna",
            test_name="X_testC",
            test_base=base,
            controls=controls,
            swapped=swapped,
        )
        return [f.severity for f in builder.check(TrainTestSourceMismatch)]

    assert found("mutation", 2) == [Severity.ERROR]
    assert found("mutation", 0) == [Severity.INFO]
    assert found("cna", 2) == []
    assert found("cna", 0, swapped=True) == [Severity.ERROR]


def sliced(stop: float, start: float) -> TraceBuilder:
    """Train on the rows before `stop`, score the rows from `start` on."""
    builder = TraceBuilder().load("X")
    whole = builder.data["X"].rows
    builder.data["train"] = Data(whole.slice(None, Bound(stop)), "X_train")
    builder.data["test"] = Data(whole.slice(Bound(start), None), "X_test", "test")
    return builder.fit(SVC, "train").score("accuracy_score", "test", "SVC").report()


def test_slices_that_intersect_overlap() -> None:
    """X[:800] and X[700:] share rows, X[:800] and X[800:] do not."""
    assert [f.severity for f in sliced(800, 700).check(TrainTestOverlap)] == [Severity.ERROR]
    assert sliced(800, 800).check(TrainTestOverlap) == []


def test_independent_draws_overlap_likely_at_the_second_draw() -> None:
    """Two random draws from one table share rows almost surely: a warning."""
    builder = TraceBuilder().load("df").split("df", "train", "rest").split("df", "other", "test").fit(SVC, "train")
    builder.score("accuracy_score", "test", "SVC").report()
    (finding,) = builder.check(TrainTestOverlap)
    assert (finding.confidence, finding.at) == (Confidence.LIKELY, builder.events[2].at)


def test_model_of_all_rows_scored_on_the_test_part() -> None:
    """Reported at the fit; scoring the training part (named so) is the usual comparison and silent."""
    builder = named(TraceBuilder().load("df").split("df", "train", "test"), test="test", train="train").fit(SVC, "df")
    fit = builder.last
    assert builder.score("accuracy_score", "train", "SVC").report().check(TrainTestOverlap) == []
    (finding,) = builder.score("accuracy_score", "test", "SVC").report().check(TrainTestOverlap)
    assert (finding.at, finding.severity) == (fit.at, Severity.ERROR)


def test_whole_table_evaluation_is_left_to_another_rule() -> None:
    """Fitted and scored rows are the same: MLB701 speaks about that."""
    builder = TraceBuilder().load("df").fit(SVC, "df").score("accuracy_score", "df", "SVC").report()
    assert builder.check(TrainTestOverlap) == []


def test_validation_rows_among_the_fitted_rows() -> None:
    """`fit(X, y, validation_data=part of X)`."""
    builder = named(TraceBuilder().load("df").split("df", "train", "val"), val="validation")
    builder.fit(SVC, "df", validation=builder.data["val"])
    assert [f.variant for f in builder.check(TrainTestOverlap)] == ["val-in-train"]


# -- 717, 723, 725 ---------------------------------------------------------------------------------------------------


def grouped_split(group: str, **fields: object) -> TraceBuilder:
    """Rows of an entity are split, then something trains."""
    builder = TraceBuilder().load("ecg")
    builder.data["ecg"] = replace(builder.data["ecg"], group=group)
    return builder.split("ecg", "train", "test", **{"shuffles": True, "grouped": False, **fields}).fit(SVC, "train")


def test_rows_of_one_patient_split_at_random() -> None:
    """Needs a proven group, a random split and a splitter that is known to ignore groups."""
    assert [f.variant for f in grouped_split("patient").check(DependentSamplesSplitAtRandom)] == ["group-evidence"]
    assert [f.variant for f in grouped_split("patient", fold=True).check(DependentSamplesSplitAtRandom)] == ["cv"]
    for silent in (
        grouped_split(""),
        grouped_split("patient", grouped=True),
        grouped_split("patient", grouped=None),
        grouped_split("patient", shuffles=False),
    ):
        assert silent.check(DependentSamplesSplitAtRandom) == []


def test_an_identifier_that_was_dropped_is_a_possible_group() -> None:
    """Its name alone proves nothing: preview, and no second finding where the group is proven."""
    (finding,) = grouped_split("", identifier="patient_id").check(DependentSamplesSplitAtRandom)
    assert (finding.variant, finding.preview, finding.confidence) == ("lexicon", True, Confidence.POSSIBLE)
    (finding,) = grouped_split("patient", identifier="patient_id").check(DependentSamplesSplitAtRandom)
    assert finding.variant == "group-evidence"
    assert grouped_split("", identifier="patient_id", grouped=True).check(DependentSamplesSplitAtRandom) == []


def test_windows_split_at_random() -> None:
    """Windows of a recording need no further proof of a group."""
    builder = TraceBuilder().load("ecg").resample("ecg", "windows", "window", "numpy.lib.stride_tricks.sliding_window_view")
    builder.split("windows", "train", "test", shuffles=True, grouped=False).fit(SVC, "train")
    assert [f.variant for f in builder.check(DependentSamplesSplitAtRandom)] == ["windows"]


def test_stopped_training_without_best_weights() -> None:
    """Early stopping that restores nothing is reported unless weights are loaded before the score."""

    def found(restored: bool | None, load: bool = False) -> int:
        builder = three_parts().fit("keras.Model", "train", "estimator.deep")
        builder.add(Select, what="early-stop", how="callback", restored=restored, subject=builder.subjects["Model"])
        if load:
            builder.add(Weights, subject=None, action="load")
        builder.score("accuracy", "test", "Model").report()
        return len(builder.check(EarlyStoppingWithoutBestWeights))

    assert (found(False), found(True), found(None), found(False, load=True)) == (1, 0, 0, 0)


def test_best_weights_saved_and_never_loaded() -> None:
    """A torch loop that saves its best weights, then tests the last ones."""
    builder = three_parts()
    with builder.loop(LoopKind.EPOCH):
        builder.step("torch.optim.Adam", "net", "train").score("accuracy", "val", "net")
        builder.add(Weights, subject=builder.subjects["net"], action="save", improving=True)
        saved = builder.last
    builder.score("accuracy", "test", "net").report()
    assert [f.at for f in builder.check(EarlyStoppingWithoutBestWeights)] == [saved.at]


def test_class_blocks_cut_without_shuffling() -> None:
    """Reported for splits known not to shuffle or stratify, and for Keras' tail of the training rows."""

    def found(ordered: str = "class-blocks", **fields: object) -> int:
        builder = TraceBuilder().load("seq")
        builder.data["seq"] = replace(builder.data["seq"], ordered=ordered)
        builder.split("seq", "train", "test", **{"shuffles": False, "stratified": False, **fields}).fit(SVC, "train")
        return len(builder.check(OrderedValidationTail))

    assert found() == 1
    assert (found(""), found("sorted"), found(shuffles=True), found(shuffles=None), found(stratified=True)) == (0, 0, 0, 0, 0)
    builder = TraceBuilder().load("seq")
    whole = replace(builder.data["seq"], ordered="class-blocks")
    tail = Data(whole.rows.slice(Bound(90), None))
    assert len(builder.fit("keras.Model", whole, "estimator.deep", validation=tail).check(OrderedValidationTail)) == 1


# -- 726 - 731 -------------------------------------------------------------------------------------------------------


def classified(*metrics: tuple[str, str], **given: object) -> TraceBuilder:
    """A classifier scored on test rows by metrics of these names and families."""
    builder = three_parts()
    builder.subject("clf", "sklearn.ensemble.RandomForestClassifier", "estimator.baseline.tree", **given)
    builder.fit("clf", "train")
    for metric, family in metrics:
        builder.score(metric, "test", "clf", family=family).report()
    return builder


ACCURACY, AUC, F1 = ("accuracy_score", "label"), ("roc_auc_score", "score"), ("f1_score", "label")


def test_accuracy_alone() -> None:
    """Info without, warning with evidence of imbalance; silent with a second figure."""
    found = {
        "plain": classified(ACCURACY),
        "weighted": classified(ACCURACY, class_weight="balanced"),
        "unweighted": classified(ACCURACY, class_weight=None),
        "both": classified(ACCURACY, F1),
        "balanced": classified(("balanced_accuracy_score", "label")),
        "roc": classified(AUC, class_weight="balanced"),
        "roc-plain": classified(AUC),
    }
    variants = {name: [f.variant for f in builder.check(AccuracyOnlyEvaluation)] for name, builder in found.items()}
    assert variants == {
        "plain": ["accuracy-only"],
        "weighted": ["imbalanced"],
        "unweighted": ["accuracy-only"],
        "both": [],
        "balanced": [],
        "roc": ["roc-only"],
        "roc-plain": [],
    }
    assert found["weighted"].check(AccuracyOnlyEvaluation)[0].severity is Severity.WARNING


def test_labels_in_a_ranking_metric() -> None:
    """Labels in an area under the curve are an error; scores and label metrics are not."""

    def found(output: str, metric: str, family: str) -> int:
        builder = three_parts().fit(SVC, "train").predict("SVC", "test", "p", output=output)
        return len(builder.score(metric, "p", family=family).check(HardLabelsInRankingMetric))

    assert found("label", *AUC) == 1
    assert (found("score", *AUC), found("unknown", *AUC), found("label", *ACCURACY)) == (0, 0, 0)


def test_swapped_arguments() -> None:
    """Asymmetric metrics are errors, symmetric ones silent, a binary F1 is info."""

    def found(metric: str, **fields: object) -> list[Severity]:
        builder = three_parts().fit(SVC, "train").predict("SVC", "test", "p").score(metric, "p", **{"swapped": True, **fields})
        return [f.severity for f in builder.check(MetricArgumentsSwapped)]

    assert found("precision_score") == [Severity.ERROR]
    assert found("accuracy_score") == []
    assert found("f1_score") == [Severity.INFO]
    assert found("f1_score", averaging="weighted") == [Severity.ERROR]
    assert found("precision_score", swapped=False) == []


def batchwise(kind: LoopKind, report_inside: bool = False, **fields: object) -> list[Severity]:
    """Severities for a metric inside a loop of this kind."""
    builder = three_parts().fit("keras.Model", "train", "estimator.deep")
    with builder.loop(kind):
        builder.score("roc_auc_score", "test", "Model", **{"family": "score", "decomposable": False, **fields})
        if report_inside:
            builder.report()
    if not report_inside:
        builder.report()
    return [f.severity for f in builder.check(MetricAveragedOverBatches)]


def test_metric_averaged_over_batches() -> None:
    """Only loops over batches, only figures that are no means; progress inside the loop is info."""
    assert batchwise(LoopKind.BATCH) == [Severity.WARNING]
    assert batchwise(LoopKind.BATCH, report_inside=True) == [Severity.INFO]
    assert batchwise(LoopKind.FOLD) == batchwise(LoopKind.BATCH, decomposable=True) == batchwise(LoopKind.OTHER) == []


def loaded(truth_from: str, **fields: object) -> list[tuple[str, Severity]]:
    """Findings for predictions collected from a loader and labels from an array, the same pass or another one."""
    builder = three_parts().fit("keras.Model", "train", "estimator.deep")
    loader = builder.subject("loader", "torch.utils.data.DataLoader", "loader")
    builder.add(Loader, subject=loader, data=builder.data["test"], **fields)
    view = replace(builder.data["test"], loader=loader, visit=1)
    truth = {"array": builder.data["test"], "same pass": view, "other pass": replace(view, visit=2)}[truth_from]
    builder.add(Score, metric="roc_auc_score", family="score", data=view, truth=truth, fitted=builder.data["train"].rows).report()
    return [(f.variant, f.severity) for f in builder.check(EvaluationLoaderMisuse)]


def test_loaders_of_evaluation_data() -> None:
    """Shuffled predictions beside labels in another order, dropped batches and random draws."""
    assert loaded("array", shuffle=True) == [("misaligned", Severity.ERROR)]
    assert loaded("other pass", shuffle=True) == [("misaligned", Severity.ERROR)]
    assert loaded("same pass", shuffle=True) == loaded("array", shuffle=False) == loaded("array") == []
    assert loaded("same pass", drop_last=True) == [("dropped", Severity.WARNING)]
    assert loaded("same pass", sampler="torch.utils.data.WeightedRandomSampler") == [("sampler", Severity.WARNING)]


def test_findings_stand_once_per_place() -> None:
    """A helper that is called twice is reported once."""
    builder = resampled("synthetic")
    again = [replace(e, id=len(builder.events)) for e in builder.events if isinstance(e, Resample)]
    builder.events.extend(again)
    assert len(builder.check(ResamplingBeforeSplit)) == 1
