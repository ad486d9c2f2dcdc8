"""MLB713: the model gets rows that were not transformed like its training rows."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Data, Fit, Learned, Predict, Score, Step, Transform
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace, first
from mllint_bio_rules.tip7._queries import kind_of, trainings_of

SPACES = frozenset(
    {"scale", "quantile", "discretise", "decompose", "vectorise", "hand-written", "selector-supervised", "selector-unsupervised"}
)


class PreprocessingSkippedOnTest(Rule):
    """The model was trained on transformed inputs but predicts for untransformed rows, or the reverse.

    ## What it does
    Compares the fitted transforms behind a model's training input with those behind the input of its predictions. Reports a
    prediction whose rows lack a scaler, decomposition, vectoriser, selector or hand-written statistic that the training rows
    went through, or have one that they did not.

    Not reported: pipelines; random augmentation; transforms restored from disk; encoders, imputers and row filters.

    ## Why it is bad
    The model reads raw counts where it learned z-scores; its score is that of another, meaningless input.

    ## Example
    ```python
    knn = KNeighborsClassifier().fit(StandardScaler().fit_transform(X_train), y_train)
    print("test accuracy", knn.score(X_test, y_test))
    ```

    ## Use instead
    ```python
    knn = make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(X_train, y_train)
    print("test accuracy", knn.score(X_test, y_test))
    ```

    ## How a run confirms it
    Mean and standard deviation of each input column at fit and at prediction; a shift of more than three standard deviations
    confirms.

    ## References
    Lee et al. 2022, tip 7 (apply transformation and normalization procedures equally); scikit-learn, inconsistent
    preprocessing.
    """

    code = "MLB713"
    name = "preprocessing-skipped-on-test"
    tip = 7
    severity = Severity.ERROR
    remedy = "Apply the fitted transform to these rows as well, or make it part of a pipeline."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Predictions whose input went through other transforms than the training input."""
        told = set()
        for use in trace.of(Predict):
            training = first(reversed(trainings_of(trace, use.subject, use)))
            if training is None or use.at in told or trace.exclusive(training, use):
                continue
            given = self._input(trace, use, training)
            if given is None or not use.data.rows.known or not given.rows.known or self._restored(trace, use):
                continue
            learnt, seen = self._facts(trace, given.learned), self._facts(trace, use.data.learned)
            missing = [f for f, kind in learnt.items() if kind not in seen.values()]
            added = [f for f, kind in seen.items() if kind not in learnt.values() and f.rows.overlap(given.rows)]
            if not missing and not added:
                continue
            told.add(use.at)
            fit = trace.event((missing or added)[0].fit)
            assert isinstance(fit, Fit)
            if fit.role == "statistic" and not self._judged(trace, use):
                continue  # a number that scales what a network generates from noise
            who = "a hand-written statistic" if fit.role == "statistic" else f"`{fit.subject.label}`"
            how = "lacks" if missing else "went through"
            contrast = "that its training input went through" if missing else "that its training input lacks"
            yield self.finding(
                use,
                f"The input of `{use.subject.label}` {how} {who} {contrast}.",
                evidence=[("trained here", training), ("fitted here", fit)],
                confidence=Confidence.CERTAIN
                if missing and fit.role != "statistic" and self._one_source(use.data, given)
                else Confidence.LIKELY,
            )

    @staticmethod
    def _input(trace: Trace, use: Predict, training: Fit | Step) -> Data | None:
        """What the model read when it was trained; a loss says what it compared, which may come from several models."""
        if isinstance(training, Fit) and training.method != "step":
            return training.data
        passes = (p for p in trace.of(Predict) if p.subject is use.subject and p.grad and p.id < training.id)
        last = next(reversed([p.data for p in passes]), None)
        return last if last is not None and last.rows == training.data.rows else None

    @staticmethod
    def _judged(trace: Trace, use: Predict) -> bool:
        """Whether what the model makes of the rows is scored, and not only shown."""
        scores = (s for s in trace.of(Score) if s.subject is use.subject and s.id > use.id and s.family != "loss")
        return any(score.data.rows == use.data.rows for score in scores)

    @staticmethod
    def _facts(trace: Trace, learned: frozenset[Learned]) -> dict[Learned, str]:
        found = {fact: kind_of(fit, fact) for fact in learned if isinstance(fit := trace.event(fact.fit), Fit)}
        return {fact: kind for fact, kind in found.items() if kind in SPACES}

    @staticmethod
    def _restored(trace: Trace, use: Predict) -> bool:
        """Whether a transform whose fit is out of sight was applied to these rows."""
        return any(t.fit < 0 and t.id < use.id and t.data.rows == use.data.rows for t in trace.of(Transform))

    @staticmethod
    def _one_source(use: Data, training: Data) -> bool:
        return use.rows.same_table(training.rows)
