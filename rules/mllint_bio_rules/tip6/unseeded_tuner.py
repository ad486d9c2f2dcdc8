"""MLB605."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Draw
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class UnseededTuner(Rule):
    """The search for hyperparameters is unseeded and proposes other configurations on every run.

    ## What it does
    Reports a search whose sampler has no seed: `optuna.create_study` without a seeded sampler, `RandomizedSearchCV`
    without `random_state`, `hyperopt.fmin` without `rstate`, Keras Tuner without `seed`. Optuna and hyperopt draw
    from generators of their own, which no global seed reaches; scikit-learn's searches are covered by
    `np.random.seed`. Grids, and a study that is resumed from storage, are not reported.

    ## Why it is bad
    Another run finds other hyperparameters, so neither the configuration nor the score can be reproduced.

    ## Example
    ```python
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=100)
    ```

    ## Use instead
    ```python
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    study.optimize(objective, n_trials=100)
    ```

    ## How a run confirms it
    The first ten proposed configurations of two runs are compared; five seeds give the spread of the final test
    metric.

    ## References
    Lee et al., tips 3 and 6; Pineau et al., reproducibility checklist; DOME 2.8; REFORMS 2b, 5e.
    """

    code = "MLB605"
    name = "unseeded-tuner"
    tip = 6
    severity = Severity.WARNING
    confirmed_by = "repeat"
    skip_tests = True
    remedy = "Give the search a seed: `sampler=TPESampler(seed=SEED)`, `random_state=SEED`, `seed=SEED` or `rstate=`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per search, where it is made."""
        seen = set()
        for draw in trace.of(Draw):
            own, subject = draw.stream == "own", draw.subject
            if draw.purpose != "tuner" or not (own or (trace.is_program and not trace.seeded(draw.stream))):
                continue
            resumed = subject is not None and (subject.unknown_arguments or subject.arguments & {"storage", "load_if_exists"})
            place = subject.at if subject is not None else draw.at
            if resumed or place in seen:
                continue
            seen.add(place)
            reach = " (no global seed reaches its own generator)" if own else ""
            yield self.finding(
                place,
                f"The `{draw.what}` search is unseeded and proposes other configurations on every run{reach}.",
                evidence=[("the search runs here", draw)] if place != draw.at else (),
            )
