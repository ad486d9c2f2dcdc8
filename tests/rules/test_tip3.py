"""Rules of tip 3 on traces written by hand."""

from __future__ import annotations

import pytest
from traces import TraceBuilder

from mllint_bio.events import (
    Build,
    Determinism,
    Device,
    Generator,
    Loader,
    LoopKind,
    Loss,
    Save,
    Subject,
    Unordered,
    Unresolved,
    Weights,
)
from mllint_bio.findings import Confidence, Severity
from mllint_bio_rules.tip3.best_weights_not_copied import BestWeightsNotCopied
from mllint_bio_rules.tip3.constant_seed_in_loop import ConstantSeedInLoop
from mllint_bio_rules.tip3.contradictory_determinism_settings import ContradictoryDeterminismSettings
from mllint_bio_rules.tip3.cuda_nondeterminism_allowed import CudaNondeterminismAllowed
from mllint_bio_rules.tip3.gradients_not_cleared import GradientsNotCleared
from mllint_bio_rules.tip3.loss_activation_mismatch import LossActivationMismatch
from mllint_bio_rules.tip3.no_seed import NoSeed
from mllint_bio_rules.tip3.random_state_without_shuffle import RandomStateWithoutShuffle
from mllint_bio_rules.tip3.rng_copied_into_workers import RngCopiedIntoWorkers
from mllint_bio_rules.tip3.seed_coverage_gap import SeedCoverageGap
from mllint_bio_rules.tip3.unordered_iteration import UnorderedIteration
from mllint_bio_rules.tip3.unseeded_estimator import UnseededEstimator
from mllint_bio_rules.tip3.unseeded_split import UnseededSplit
from mllint_bio_rules.tip3.wrong_train_eval_mode import WrongTrainEvalMode

FOREST = "sklearn.ensemble.RandomForestClassifier"


def trained(**fields: object) -> TraceBuilder:
    """A program that splits a table and fits a forest on the training part."""
    builder = TraceBuilder(**fields)  # type: ignore[arg-type]
    return builder.load("table").split("table", "train", "test").fit(FOREST, "train", role="estimator.baseline.tree")


def stepped(**fields: object) -> TraceBuilder:
    """A program that trains the network `net` on the training part for some epochs."""
    builder = TraceBuilder(**fields).load("table").split("table", "train", "test")  # type: ignore[arg-type]
    builder.subject("net", "Net", "module")
    builder.subject("optimizer", "torch.optim.Adam", "optimizer")
    builder.add(Build, subject=builder.subjects["net"], mode_dependent=True)
    with builder.loop(LoopKind.EPOCH):
        builder.zero_grad("optimizer").backward("train").step("optimizer", "net", "train")
    return builder


class TestNoSeed:
    """MLB301."""

    def test_one_finding_lists_the_consumers_by_generator(self) -> None:
        """Two unseeded generators give one finding, at the draw that decides the split, naming both."""
        builder = trained().draw("torch", "Dropout", "augment").draw("numpy", "train_test_split", "split")
        (finding,) = builder.check(NoSeed)
        assert finding.at.line == builder.last.at.line
        assert "`train_test_split` (numpy)" in finding.message and "`Dropout` (torch)" in finding.message
        assert len(finding.evidence) == 2 and "torch.manual_seed(SEED)" in finding.remedy

    def test_any_seed_leaves_the_gap_to_the_other_rule(self) -> None:
        """A seed of one generator is intent: the rest is a coverage gap."""
        builder = stepped().seed("numpy").draw("torch", "Linear", "init")
        assert not builder.check(NoSeed)
        assert len(builder.check(SeedCoverageGap)) == 1

    def test_a_seed_helper_out_of_reach_counts(self) -> None:
        """A helper whose body is not known may seed everything."""
        builder = trained().seed("any", call="set_seed").draw("torch", "Linear", "init")
        assert not builder.check(NoSeed) and not builder.check(SeedCoverageGap)

    def test_a_seed_without_value_is_named(self) -> None:
        """`np.random.seed()` does not count and is shown as evidence."""
        builder = trained().seed("numpy", call="np.random.seed()", unseeds=True).draw("numpy", "permutation", "order")
        (finding,) = builder.check(NoSeed)
        assert any("no seed" in evidence.message for evidence in finding.evidence)

    def test_draw_in_a_helper_is_reported_in_the_entry_file(self) -> None:
        """The finding stands at the call in the entry file that leads to the draw."""
        builder = stepped()
        call = builder.site()
        builder.draw("torch", "Linear", "init", path="nets.py", calls=(call,))
        (finding,) = builder.check(NoSeed)
        assert finding.at == call

    def test_initial_weights_of_a_network_that_is_not_trained_do_not_matter(self) -> None:
        """Weights from a file replace them."""
        assert not trained().draw("torch", "Linear", "init").check(NoSeed)

    def test_functions_without_caller_are_silent(self) -> None:
        """The caller may seed."""
        assert not trained(entry="function").draw("numpy", "permutation", "order").check(NoSeed)

    def test_programs_that_do_not_train_are_silent(self) -> None:
        """Random numbers of an inference script matter to nobody's training."""
        assert not TraceBuilder().load("table").draw("numpy", "uniform", "noise").check(NoSeed)

    def test_noise_after_training_is_silent(self) -> None:
        """Jitter of a plot cannot change the model; noise before training can."""
        assert not trained().draw("numpy", "uniform", "noise").check(NoSeed)
        before = TraceBuilder().load("table").draw("numpy", "normal", "noise").fit(FOREST, "table")
        (finding,) = before.check(NoSeed)
        assert finding.confidence is Confidence.LIKELY


class TestSeedCoverageGap:
    """MLB302."""

    def test_a_draw_in_an_arm_that_excludes_the_late_seed_is_not_the_one_named(self) -> None:
        """What was drawn before the seed in the same run is."""
        builder = TraceBuilder().load("table").seed("python").draw("numpy", "normal", "noise")
        early, condition = builder.events[-1].at, builder.site()
        with builder.arm(condition, 0):
            builder.draw("numpy", "train_test_split", "split")
        with builder.arm(condition, 1):
            builder.seed("numpy")
        builder.split("table", "train", "test").fit(FOREST, "train", role="estimator.baseline.tree")
        (finding,) = builder.check(SeedCoverageGap)
        assert finding.at == early

    def test_one_finding_per_generator(self) -> None:
        """Each uncovered generator is reported once, at its first draw."""
        builder = trained().seed("torch", call="torch.manual_seed").draw("numpy", "permutation", "order")
        line = builder.last.at.line
        builder.draw("numpy", "shuffle", "order").draw("python", "choice")
        builder.fit(FOREST, "train")
        findings = builder.check(SeedCoverageGap)
        assert [("numpy" in f.message, "python" in f.message) for f in findings] == [(True, False), (False, True)]
        assert findings[0].at.line == line and findings[1].confidence is Confidence.LIKELY

    def test_loader_workers_are_covered_by_torch(self) -> None:
        """What augmentation draws in workers is seeded by `torch.manual_seed`, without workers it is not."""
        for workers, count in ((4, 0), (None, 0), (0, 1)):
            builder = trained().seed("torch")
            loader = Subject("torch.utils.data.DataLoader", "loader", builder.site())
            builder.add(Loader, subject=loader, data=builder.data["train"], workers=workers)
            assert len(builder.draw("numpy", "normal", "augment").check(SeedCoverageGap)) == count

    def test_generators_of_their_own_are_another_matter(self) -> None:
        """An object with a generator of its own is not a gap of the global seed."""
        assert not trained().seed("numpy").draw("own", "TPESampler", "tuner").check(SeedCoverageGap)

    def test_process_pool(self) -> None:
        """The global NumPy seed does not reach worker processes."""
        (finding,) = trained().seed("numpy").draw("numpy", "cross_val_score", "estimator", processes=True).check(SeedCoverageGap)
        assert finding.variant == "n-jobs"


class TestUnseededSplit:
    """MLB303."""

    def test_reported_at_the_split(self) -> None:
        """An unseeded shuffling split is reported once, also in a loop that is seen twice."""
        builder = TraceBuilder().load("table").split("table", "train", "test", shuffles=True, seeded=False)
        (finding,) = builder.check(UnseededSplit)
        assert finding.at == builder.last.at and "`train_test_split`" in finding.message

    @pytest.mark.parametrize(
        "facts",
        [
            {"shuffles": False, "seeded": False},
            {"shuffles": True, "seeded": True},
            {"shuffles": True, "seeded": None},
            {"shuffles": None},
        ],
    )
    def test_silent_unless_proven(self, facts: dict[str, bool | None]) -> None:
        """Ordered, seeded and unknown splits are silent."""
        assert not TraceBuilder().load("table").split("table", "train", "test", **facts).check(UnseededSplit)

    def test_global_seed_covers_its_own_stream_only(self) -> None:
        """NumPy's seed covers a NumPy split, not a generator object."""
        for stream, count in (("numpy", 0), ("own", 1), ("torch", 1)):
            builder = TraceBuilder().seed("numpy").load("table")
            builder.split("table", "train", "test", shuffles=True, seeded=False, stream=stream)
            assert len(builder.check(UnseededSplit)) == count

    def test_a_saved_split_is_kept(self) -> None:
        """Parts written to disk fix the split."""
        builder = TraceBuilder().load("table").split("table", "train", "test", shuffles=True, seeded=False)
        assert not builder.add(Save, what="data", data=builder.data["test"], location="test.csv").check(UnseededSplit)


class TestUnseededEstimator:
    """MLB304."""

    def test_reported_where_it_is_made(self) -> None:
        """One finding per object, however often it is fitted."""
        builder = (
            trained().fit("sklearn.cluster.KMeans", "train", stochastic="random start").fit("KMeans", "test", stochastic="x")
        )
        (finding,) = builder.check(UnseededEstimator)
        assert finding.at == builder.subjects["KMeans"].at and finding.severity is Severity.INFO

    def test_seeded_or_unknown_arguments_are_silent(self) -> None:
        """A global seed, and arguments from outside, end the matter."""
        assert not trained().seed("numpy").fit("KMeans", "train", stochastic="random start").check(UnseededEstimator)
        builder = trained()
        forest = builder.subject("forest", FOREST, "estimator.baseline.tree")
        forest.unknown_arguments = True
        assert not builder.fit(forest, "train", stochastic="bootstrap").check(UnseededEstimator)

    def test_networks_draw_elsewhere(self) -> None:
        """A network that draws from TensorFlow's generator has no `random_state`."""
        builder = trained()
        net = builder.subject("net", "keras.Sequential", "estimator.deep")
        builder.draw("tensorflow", "Dense", "init", subject=net)
        assert not builder.fit(net, "train", stochastic="weights").check(UnseededEstimator)


class TestCudaNondeterminismAllowed:
    """MLB305."""

    def test_seed_makes_it_a_warning(self) -> None:
        """Training on CUDA is a warning with a seed and information without."""
        builder = stepped().add(Device, device="cuda")
        (finding,) = builder.check(CudaNondeterminismAllowed)
        assert (finding.severity, finding.confidence) == (Severity.INFO, Confidence.CERTAIN)
        (finding,) = builder.seed("torch").check(CudaNondeterminismAllowed)
        assert finding.severity is Severity.WARNING

    def test_only_if_available_is_likely(self) -> None:
        """A conditional device lowers the confidence."""
        (finding,) = stepped().add(Device, device="cuda", conditional=True).check(CudaNondeterminismAllowed)
        assert finding.confidence is Confidence.LIKELY

    def test_cpu_is_silent(self) -> None:
        """Without a GPU nothing is claimed."""
        assert not stepped().check(CudaNondeterminismAllowed)
        assert not stepped().add(Device, device="cpu").check(CudaNondeterminismAllowed)

    def test_keras_takes_a_gpu_by_itself(self) -> None:
        """A Keras fit needs no device, a perceptron of scikit-learn has none."""
        builder = TraceBuilder(imports=frozenset({"keras"})).load("table")
        (finding,) = builder.fit("keras.Sequential", "table", role="estimator.deep").check(CudaNondeterminismAllowed)
        assert finding.confidence is Confidence.LIKELY and "enable_op_determinism" in finding.remedy
        sklearn = TraceBuilder(imports=frozenset({"sklearn"})).load("table")
        assert not sklearn.fit("sklearn.neural_network.MLPClassifier", "table", role="estimator.deep").check(
            CudaNondeterminismAllowed
        )

    @pytest.mark.parametrize(
        ("flag", "value"), [("all-ops", True), ("cudnn-deterministic", True), ("all-ops", None), ("tf-ops", True)]
    )
    def test_requested_determinism_is_silent(self, flag: str, value: bool | None) -> None:
        """A switch that is on, or comes from outside, counts as set."""
        builder = stepped().add(Device, device="cuda").add(Determinism, flag=flag, value=value, call="call")
        assert not builder.check(CudaNondeterminismAllowed)

    def test_benchmark_is_reported_at_its_line(self) -> None:
        """`cudnn.benchmark = True` is the place of the finding; a switch set to False does not help."""
        builder = stepped().add(Device, device="cuda").add(Determinism, flag="cudnn-deterministic", value=False, call="off")
        builder.add(Determinism, flag="cudnn-benchmark", value=True, call="torch.backends.cudnn.benchmark = True")
        (finding,) = builder.check(CudaNondeterminismAllowed)
        assert finding.at == builder.last.at

    def test_statistical_reproducibility_is_a_choice(self) -> None:
        """A project that reports several seeds may say so."""
        builder = stepped(options={"reproducibility": "statistical"}).add(Device, device="cuda")
        assert not builder.check(CudaNondeterminismAllowed)


class TestContradictoryDeterminismSettings:
    """MLB306."""

    def test_benchmark_with_a_request(self) -> None:
        """Reported at the benchmark line, in either order."""
        builder = TraceBuilder().add(Determinism, flag="cudnn-benchmark", value=True, call="benchmark = True")
        place = builder.last.at
        assert not builder.check(ContradictoryDeterminismSettings)
        builder.add(Determinism, flag="all-ops", value=True, call="use_deterministic_algorithms")
        (finding,) = builder.check(ContradictoryDeterminismSettings)
        assert finding.at == place

    def test_exclusive_branches_and_a_later_switch_are_silent(self) -> None:
        """Arms of one branch never meet; the last word counts."""
        builder = TraceBuilder()
        condition = builder.site()
        with builder.arm(condition, 0):
            builder.add(Determinism, flag="cudnn-deterministic", value=True, call="a")
        with builder.arm(condition, 1):
            builder.add(Determinism, flag="cudnn-benchmark", value=True, call="b")
        assert not builder.check(ContradictoryDeterminismSettings)
        builder = TraceBuilder().add(Determinism, flag="cudnn-benchmark", value=True, call="b")
        builder.add(Determinism, flag="cudnn-deterministic", value=True, call="a")
        builder.add(Determinism, flag="cudnn-benchmark", value=False, call="c")
        assert not builder.check(ContradictoryDeterminismSettings)


class TestRngCopiedIntoWorkers:
    """MLB307."""

    @staticmethod
    def build(place: str = "__init__", workers: int | None = 4, **given: object) -> TraceBuilder:
        """A loader whose data set holds a generator."""
        builder = TraceBuilder().load("table")
        rng = builder.subject("rng", "numpy.random.default_rng", "generator")
        builder.add(Generator, subject=rng, seeded=True, constant=True, place=place)
        loader = builder.subject("loader", "torch.utils.data.DataLoader", "loader", **given)
        return builder.add(Loader, subject=loader, data=builder.data["table"], workers=workers, generators=(rng,))

    def test_reported_at_the_generator(self) -> None:
        """Several workers: the number is named; one worker still repeats every epoch."""
        (finding,) = self.build().check(RngCopiedIntoWorkers)
        assert "4 loader workers" in finding.message and finding.severity is Severity.ERROR
        assert "every epoch" in self.build(workers=1).check(RngCopiedIntoWorkers)[0].message

    @pytest.mark.parametrize("workers", [0, None])
    def test_no_known_workers_no_claim(self, workers: int | None) -> None:
        """Without worker processes there is no copy."""
        assert not self.build(workers=workers).check(RngCopiedIntoWorkers)

    def test_worker_init_and_per_sample_generators_are_silent(self) -> None:
        """A `worker_init_fn` may reseed; a generator made per sample is meant."""
        assert not self.build(worker_init_fn="reseed").check(RngCopiedIntoWorkers)
        assert not self.build(place="__getitem__").check(RngCopiedIntoWorkers)


class TestConstantSeedInLoop:
    """MLB308."""

    @pytest.mark.parametrize(
        ("kind", "count"), [(LoopKind.EPOCH, 1), (LoopKind.BATCH, 1), (LoopKind.FOLD, 0), (LoopKind.SEED, 0), (LoopKind.OTHER, 0)]
    )
    def test_the_innermost_loop_decides(self, kind: LoopKind, count: int) -> None:
        """Only loops of one training run are wrong places."""
        builder = TraceBuilder().load("table")
        with builder.loop(kind):
            builder.seed("torch").backward("table").step("torch.optim.Adam", "net", "table")
        assert len(builder.check(ConstantSeedInLoop)) == count

    def test_a_seed_that_varies_is_silent(self) -> None:
        """The epoch may be part of the seed."""
        builder = TraceBuilder()
        with builder.loop(LoopKind.EPOCH):
            builder.seed("torch", constant=False)
        assert not builder.check(ConstantSeedInLoop)

    def test_fixed_evaluation_noise_is_silent(self) -> None:
        """A seed right before predictions in evaluation mode fixes those only."""
        builder = TraceBuilder().load("table")
        with builder.loop(LoopKind.EPOCH):
            builder.step("torch.optim.Adam", "net", "table").seed("torch").predict("net", "table", mode="eval", grad=False)
        assert not builder.check(ConstantSeedInLoop)


class TestUnorderedIteration:
    """MLB309."""

    def test_listing_and_set(self) -> None:
        """The variant follows the source; each place is reported once."""
        builder = trained()
        builder.add(Unordered, what="glob.glob", use="split", at_use=builder.site())
        builder.add(Unordered, what="set", use="labels", at_use=builder.site())
        assert [finding.variant for finding in builder.check(UnorderedIteration)] == ["files", "set"]

    def test_paired_listings_are_an_error_where_they_meet(self) -> None:
        """Two listings that meet in one place give one error."""
        builder = trained()
        meeting = builder.site()
        for name in ("images", "masks"):
            builder.add(Unordered, what=f"os.listdir({name})", use="pairing", at_use=meeting)
        (finding,) = builder.check(UnorderedIteration)
        assert finding.at == meeting and finding.severity is Severity.ERROR

    def test_programs_without_training_or_split_are_silent(self) -> None:
        """A listing that no training depends on is nobody's business."""
        builder = TraceBuilder()
        assert not builder.add(Unordered, what="os.listdir", use="order", at_use=builder.site()).check(UnorderedIteration)


class TestRandomStateWithoutShuffle:
    """MLB310."""

    def test_folds_fail_and_train_test_split_ignores(self) -> None:
        """Folds are an error where they are made, `train_test_split` is information."""
        builder = TraceBuilder().load("table")
        folds = builder.subject("folds", "sklearn.model_selection.KFold", "splitter")
        builder.split("table", "a", "b", fold=True, api=folds.api, subject=folds, shuffles=False, seeded=True)
        builder.split("table", "train", "test", shuffles=False, seeded=True)
        error, info = builder.check(RandomStateWithoutShuffle)
        assert (error.severity, info.severity) == (Severity.ERROR, Severity.INFO) and error.at == folds.at

    def test_unknown_is_silent(self) -> None:
        """Shuffling that comes from outside is not judged."""
        builder = TraceBuilder().load("table")
        assert not builder.split("table", "train", "test", shuffles=None, seeded=True).check(RandomStateWithoutShuffle)


class TestWrongTrainEvalMode:
    """MLB311."""

    def test_prediction_in_training_mode(self) -> None:
        """An evaluation without gradients in training mode is an error; an unknown network makes it likely."""
        builder = stepped().predict("net", "test", "logits", mode="train", grad=False, mode_dependent=True)
        (finding,) = builder.check(WrongTrainEvalMode)
        assert (finding.variant, finding.severity) == ("eval-missing", Severity.ERROR)
        (finding,) = stepped().predict("net", "test", mode="train", grad=False).check(WrongTrainEvalMode)
        assert finding.severity is Severity.WARNING

    def test_scored_prediction_with_gradients(self) -> None:
        """Gradients may be on, if the output is scored on held-out rows; without a score it is a training pass."""
        builder = stepped().predict("net", "test", "logits", mode="train", mode_dependent=True)
        assert not builder.check(WrongTrainEvalMode)
        (finding,) = builder.score("roc_auc_score", "logits", family="score").check(WrongTrainEvalMode)
        assert "`roc_auc_score`" in finding.message

    @pytest.mark.parametrize("facts", [{"mode": "eval"}, {"mode": "unknown"}, {"mode": "train", "mode_dependent": False}])
    def test_other_modes_are_silent(self, facts: dict[str, object]) -> None:
        """Evaluation mode, unknown mode, and networks to which the mode is all one."""
        assert not stepped().predict("net", "test", grad=False, **facts).check(WrongTrainEvalMode)

    def test_monte_carlo_dropout_is_meant(self) -> None:
        """Training mode switched on after the last step is on purpose."""
        builder = stepped().mode("net", "train").predict("net", "test", mode="train", grad=False, mode_dependent=True)
        assert not builder.check(WrongTrainEvalMode)

    def test_a_call_out_of_reach_may_switch(self) -> None:
        """A network that was handed to unknown code is not judged."""
        builder = stepped()
        builder.add(Unresolved, name="prepare", touches=(builder.subjects["net"],))
        assert not builder.predict("net", "test", mode="train", grad=False, mode_dependent=True).check(WrongTrainEvalMode)

    def test_pass_inside_a_training_batch_is_training(self) -> None:
        """A generator applied without gradients while the discriminator learns is no evaluation."""
        builder = stepped()
        with builder.loop(LoopKind.BATCH):
            builder.predict("net", "train", mode="train", grad=False, mode_dependent=True)
            builder.step("critic_optimizer", "critic", "train")
        assert not builder.check(WrongTrainEvalMode)

    @staticmethod
    def epochs(start: str = "", module: str = "net") -> TraceBuilder:
        """Epochs that end in evaluation mode, and may start with a switch."""
        builder = TraceBuilder().load("table")
        builder.subject("net", "Net", "module")
        builder.add(Build, subject=builder.subjects["net"], mode_dependent=True)
        with builder.loop(LoopKind.EPOCH):
            if start:
                builder.mode("net", start)
            builder.backward("table").step("torch.optim.Adam", "net", "table").mode(module, "eval")
        return builder

    def test_never_back_to_training_mode(self) -> None:
        """Evaluation mode at the end of an epoch lasts into the next one."""
        (finding,) = self.epochs().check(WrongTrainEvalMode)
        assert (finding.variant, finding.severity) == ("train-missing", Severity.ERROR)

    def test_back_to_training_mode(self) -> None:
        """A switch at the start of the epoch, or of another network, is fine."""
        assert not self.epochs(start="train").check(WrongTrainEvalMode)
        assert not self.epochs(module="backbone").check(WrongTrainEvalMode)

    def test_phases_are_not_judged(self) -> None:
        """`if phase == "train": train() else: eval()` leaves the mode of the step open."""
        builder = TraceBuilder().load("table")
        condition = builder.site()
        with builder.loop(LoopKind.EPOCH):
            with builder.arm(condition, 0):
                builder.mode("net", "train")
            with builder.arm(condition, 1):
                builder.mode("net", "eval")
            builder.step("torch.optim.Adam", "net", "table")
        assert not builder.check(WrongTrainEvalMode)


class TestGradientsNotCleared:
    """MLB312."""

    @staticmethod
    def loop(**where: str | None) -> TraceBuilder:
        """A training loop; `before`, `epoch`, `batch` say who is cleared where (None: some parameters)."""
        builder = TraceBuilder().load("table")
        for name in ("net", "other"):
            builder.subject(name, "Net", "module")
        builder.subject("optimizer", "torch.optim.Adam", "optimizer")
        with builder.loop(LoopKind.EPOCH):
            if "epoch" in where:
                builder.zero_grad(where["epoch"])
            with builder.loop(LoopKind.BATCH):
                if "batch" in where:
                    builder.zero_grad(where["batch"])
                builder.backward("table").step("optimizer", "net", "table")
        return builder

    def test_never_cleared(self) -> None:
        """Reported at the backward pass."""
        (finding,) = self.loop().check(GradientsNotCleared)
        assert finding.severity is Severity.ERROR and "`optimizer`" in finding.message

    @pytest.mark.parametrize("who", ["optimizer", "net", None])
    def test_cleared_in_the_batch_loop(self, who: str | None) -> None:
        """By the optimizer, by the network, or by hand."""
        assert not self.loop(batch=who).check(GradientsNotCleared)

    def test_cleared_elsewhere_does_not_help(self) -> None:
        """Once an epoch is too seldom, another network is the wrong one."""
        assert self.loop(epoch="optimizer").check(GradientsNotCleared)
        assert self.loop(batch="other").check(GradientsNotCleared)

    def test_one_step_an_epoch(self) -> None:
        """The loop of the step counts, not that of the backward passes."""
        builder = TraceBuilder().load("table")
        with builder.loop(LoopKind.EPOCH):
            builder.zero_grad(builder.actor("optimizer"))
            with builder.loop(LoopKind.BATCH):
                builder.backward("table")
            builder.step("optimizer", "net", "table")
        assert not builder.check(GradientsNotCleared)

    def test_managed_and_unknown_are_silent(self) -> None:
        """A framework that steps itself, and code that was handed the network."""
        builder = TraceBuilder().load("table")
        with builder.loop(LoopKind.BATCH):
            builder.backward("table").step("optimizer", "net", "table", managed=True)
        assert not builder.check(GradientsNotCleared)
        builder = TraceBuilder().load("table")
        with builder.loop(LoopKind.BATCH):
            builder.backward("table").step("optimizer", "net", "table")
            builder.add(Unresolved, name="reset", touches=(builder.subjects["net"],))
        assert not builder.check(GradientsNotCleared)


class TestLossActivationMismatch:
    """MLB313."""

    @pytest.mark.parametrize(
        ("expects", "received", "severity"),
        [
            ("logits", "softmax", Severity.ERROR),
            ("logits", "sigmoid", Severity.ERROR),
            ("logits", "log_softmax", Severity.INFO),
            ("logits", "linear", None),
            ("probabilities", "linear", Severity.ERROR),
            ("probabilities", "sigmoid", None),
            ("log-probabilities", "softmax", Severity.ERROR),
            ("log-probabilities", "log_softmax", None),
            ("value", "softmax", None),
            ("logits", "", None),
        ],
    )
    def test_pairs(self, expects: str, received: str, severity: Severity | None) -> None:
        """What a loss expects against what it gets; unknown is silent."""
        builder = TraceBuilder().load("table")
        builder.add(Loss, api="torch.nn.TheLoss", expects=expects, received=received, data=builder.data["table"], multiclass=True)
        assert [finding.severity for finding in builder.check(LossActivationMismatch)] == ([severity] if severity else [])


class TestBestWeightsNotCopied:
    """MLB314."""

    @staticmethod
    def epochs(action: str = "reference", improving: bool = True, load: str = "best", rebuilt: bool = False) -> TraceBuilder:
        """Epochs that keep weights, and load some afterwards."""
        builder = TraceBuilder().load("table")
        net = builder.subject("net", "Net", "module")
        with builder.loop(LoopKind.EPOCH):
            if rebuilt:
                builder.add(Build, subject=net)
            builder.step("torch.optim.Adam", net, "table")
            builder.add(Weights, subject=net, action=action, name="best", improving=improving)
        return builder.add(Weights, subject=net, action="load", name=load)

    def test_reference_that_is_loaded(self) -> None:
        """Reported where the reference is kept."""
        (finding,) = self.epochs().check(BestWeightsNotCopied)
        assert finding.severity is Severity.ERROR and "`best`" in finding.message

    @pytest.mark.parametrize("facts", [{"action": "copy"}, {"improving": False}, {"load": "other"}, {"rebuilt": True}])
    def test_otherwise_silent(self, facts: dict[str, object]) -> None:
        """A copy, no improvement branch, another name, a network built anew."""
        assert not self.epochs(**facts).check(BestWeightsNotCopied)  # type: ignore[arg-type]
