"""MLB603."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Fit, Score, Select
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import SUPERVISED_FAMILIES, Trace

CHOSEN = ("hyperparameter", "features")


class ObjectiveScoredOnTrainingData(Rule):
    """The tuning objective scores the model on the rows that it was just fitted on.

    ## What it does
    Reports the score that a search reads (the value that an objective returns, the figure that a loop over
    candidates compares) when all rows behind it are rows that the scored model learned from, without
    cross-validation; also a Keras tuner whose objective is a training metric. Unsupervised criteria (silhouette,
    BIC) and out-of-bag scores are not reported.

    ## Why it is bad
    The training score rises with capacity. The search finds the most overfitted configuration and presents it as
    the best.

    ## Example
    ```python
    def objective(trial):
        forest = RandomForestClassifier(max_depth=trial.suggest_int("max_depth", 2, 32), random_state=0)
        forest.fit(X_train, y_train)
        return forest.score(X_train, y_train)
    ```

    ## Use instead
    ```python
    def objective(trial):
        forest = RandomForestClassifier(max_depth=trial.suggest_int("max_depth", 2, 32), random_state=0)
        return cross_val_score(forest, X_train, y_train, cv=5, scoring="average_precision").mean()
    ```

    ## How a run confirms it
    The rows that the objective scores are a subset of the rows that it fits; the search is repeated with the
    corrected objective.

    ## References
    Lee et al., tips 6 and 7 (training, tuning and test roles); Lones 3.7; Kapoor and Narayanan L1.1; DOME 2.8;
    REFORMS 5d, 5e.
    """

    code = "MLB603"
    name = "objective-scored-on-training-data"
    tip = 6
    severity = Severity.ERROR
    skip_tests = True
    remedy = "Return a cross-validated score, or the score of a validation part that the model was not fitted on."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per scoring place that a search reads."""
        seen = set()
        for select in trace.of(Select):
            if select.what not in CHOSEN:
                continue
            scores = [event for number in sorted(select.scores) if isinstance(event := trace.event(number), Score)]
            if scores and all(_in_sample(score) for score in scores) and scores[0].at not in seen:
                seen.add(scores[0].at)
                fits = [fit for fit in trace.of(Fit) if fit.subject is scores[0].subject and fit.id < scores[0].id]
                place = trace.parting(scores[0], fits[-1] if fits else None)
                yield self.finding(
                    place,
                    f"The search compares `{scores[0].metric}` on rows that the model learned from: it picks the overfitted.",
                    evidence=[
                        ("fitted here", fits[-1] if fits else None),
                        ("scored here", scores[0] if place != scores[0].at else None),
                        ("the best is chosen here", select),
                    ],
                    confidence=Confidence.LIKELY if scores[0].family == "loss" else Confidence.CERTAIN,
                )
            elif not scores and _training_metric(select) and select.at not in seen:
                seen.add(select.at)
                yield self.finding(
                    select,
                    f"The objective of the search, `{select.metric}`, is a training metric: it picks what overfits most.",
                    remedy=f'Use `objective="val_{select.metric}"`.',
                )


def _in_sample(score: Score) -> bool:
    """Whether the scored rows are proven to be rows that the scored model learned from."""
    judged = score.family in SUPERVISED_FAMILIES or score.family == "loss"
    return judged and not score.cross_validated and score.fitted.known and bool(score.data.rows.subset(score.fitted))


def _training_metric(select: Select) -> bool:
    """Whether a Keras tuner is told to watch a figure of the training rows."""
    keras = select.subject is not None and select.subject.api.split(".")[0] in ("keras_tuner", "kerastuner")
    return keras and bool(select.metric) and not select.metric.startswith("val_")
