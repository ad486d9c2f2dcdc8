"""MLB201."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Fit, Score, Step, Subject
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class NoBaselineModel(Rule):
    """A deep model is trained and scored on held-out data, and no simpler model is fitted anywhere in the project.

    ## What it does
    Reports, once per project, the evaluation of a network when neither this program nor another file of the project
    fits a conventional model (linear model, forest, boosting, support vector machine, nearest neighbours, naive
    Bayes, a dummy). Segmentation, work without a supervised held-out score, and projects that name published
    numbers (`external-baselines` in the configuration) are not reported.

    ## Why it is bad
    Whether a network is worth its complexity can only be judged against a simpler model on the same rows. On many
    biological data sets penalised regression or a forest does as well.

    ## Example
    ```python
    net = DrugResponseNet(n_genes=735)
    trainer.fit(net, data)
    trainer.test(net, data)  # the only model of the repository
    ```

    ## Use instead
    ```python
    for name, model in {"ridge": RidgeCV(), "forest": RandomForestRegressor(random_state=0)}.items():
        print(name, r2_score(y_test, model.fit(X_train, y_train).predict(X_test)))
    ```

    ## How a run confirms it
    A roster of conventional models is fitted on the arrays of the run, and the table that the project lacks is
    printed.

    ## References
    Lee et al., tip 2 and the last sentence of tip 1; DOME 4.3 (a requirement); REFORMS 5f; Lones 5.2; Whalen et al.
    2022.
    """

    code = "MLB201"
    name = "no-baseline-model"
    tip = 2
    severity = Severity.WARNING
    confirmed_by = "baseline"
    programs_only = True
    skip_tests = True
    once_per_project = True
    remedy = "Fit a conventional model on the same training rows and score it on the same held-out rows."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per entry point, at the last evaluation of a network."""
        published = trace.options.get("external-baselines")
        if not trace.is_program or trace.project_baselines is not False or published or trace.subjects("estimator.baseline"):
            return
        networks = _networks(trace)
        scores = [s for s in trace.held_out_scores if s.family != "segmentation" and _scored(s, networks)]
        if not networks or not scores:
            return
        score = next((s for s in reversed(scores) if trace.reported(s)), scores[-1])
        network = next((n for n in networks if _scored(score, [n])), networks[0])
        if score.subject is not None and network in score.subject.everything():  # of which only the head is trained
            network = score.subject
        yield self.finding(
            trace.anchor(score),
            f"`{network.name or network.label}` is scored by `{score.metric}`, but no simpler model is fitted in the project.",
            evidence=[("the network", network.at)],
            confidence=Confidence.LIKELY,
        )


def _networks(trace: Trace) -> list[Subject]:
    fitted = [f.subject for f in trace.of(Fit) if f.subject.is_a("estimator.deep", "module", "trainer")]
    return list(dict.fromkeys([*fitted, *(module for step in trace.of(Step) for module in step.modules)]))


def _scored(score: Score, networks: list[Subject]) -> bool:
    """Whether the score is of one of these networks; a trainer or an unnamed subject stands for the network it trains."""
    subject = score.subject or (score.data.prediction.subject if score.data.prediction else None)
    if subject is None or subject.is_a("trainer"):
        return True
    return any(subject in network.everything() or network in subject.everything() for network in networks)
