"""MLB304."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Draw, Event, Fit, Subject
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class UnseededEstimator(Rule):
    """An estimator is random with these arguments and has no `random_state`.

    ## What it does
    Reports, once per object, an estimator, transform or resampler whose result depends on random numbers with the
    arguments that it was given, that has no `random_state`, in a program that does not seed NumPy's global
    generator. Which estimators are random was measured on scikit-learn: random forests, k-means, t-SNE, stochastic
    gradient descent and multi-layer perceptrons are; support vector machines, ridge, lasso, nearest neighbours and
    logistic regression with the default solver are not.

    ## Why it is bad
    Feature rankings, clusters and scores move from run to run, and a published signature may be one draw of many.

    ## Example
    ```python
    forest = RandomForestClassifier(n_estimators=500)
    forest.fit(otu_train, ibd_train)
    ```

    ## Use instead
    ```python
    forest = RandomForestClassifier(n_estimators=500, random_state=SEED)
    forest.fit(otu_train, ibd_train)
    ```

    ## How a run confirms it
    Predictions of two runs are compared by hash; ten seeds show how much the ranking of features overlaps.

    ## References
    Lee et al., tip 3; scikit-learn, Controlling randomness; DOME 2.8; REFORMS 2b.
    """

    code = "MLB304"
    name = "unseeded-estimator"
    tip = 3
    severity = Severity.INFO
    confirmed_by = "repeat"
    programs_only = True
    skip_tests = True
    remedy = "Give it `random_state=SEED`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per object, where it was made."""
        if not trace.is_program or not trace.studies or trace.seeded("numpy"):
            return
        streams: dict[int, set[str]] = {}
        for draw in trace.of(Draw):
            streams.setdefault(id(draw.subject), set()).add(draw.stream)
        seen = set()
        for subject, reason, event in _random(trace):
            given = subject.unknown_arguments or subject.arguments & {"random_state", "seed", "random_seed"}
            numpy = "numpy" in streams.get(id(subject), {"numpy"})  # networks draw from the generator of their library
            composite = subject.is_a("module", "trainer", "tuner", "estimator.pipeline")  # what they wrap draws for itself
            if given or not numpy or composite or subject.at in seen:
                continue
            seen.add(subject.at)
            yield self.finding(
                subject.at,
                f"`{subject.label}` is random here ({reason}) and has no `random_state`.",
                evidence=[("fitted here", event)],
            )


def _random(trace: Trace) -> Iterator[tuple[Subject, str, Event]]:
    """(object, why it is random, where) of fits, and of draws on behalf of resamplers and of estimators inside other objects."""
    for event in trace.of(Fit, Draw):
        if isinstance(event, Fit) and event.stochastic:
            yield event.subject, event.stochastic, event
        elif isinstance(event, Draw) and event.purpose == "estimator" and event.stream == "numpy" and event.subject is not None:
            yield event.subject, "draws from the numpy generator", event
