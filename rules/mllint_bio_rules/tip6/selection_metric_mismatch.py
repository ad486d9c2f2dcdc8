"""MLB604."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mllint_bio.events import NO_DATA, Fit, Score, Select
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip6.directions import better_by_name

WORD = {"up": "the highest", "down": "the lowest"}
BY_HAND = ("if", "max", "min", "argmax", "argmin", "sorted")
RANKING = {"f1_score", "fbeta_score", "matthews_corrcoef", "balanced_accuracy_score", "cohen_kappa_score"}


class SelectionMetricMismatch(Rule):
    """A selection optimises the wrong thing: the wrong direction, a default scorer, or a training metric.

    ## What it does
    `[direction]`: the program keeps the lowest value of a figure that is better when higher, or the reverse:
    `optuna.create_study()` minimises by default, `EarlyStopping(monitor="val_auroc")` of Lightning does so too.
    `[scoring]` (warning): a search of scikit-learn uses the default scorer, and only figures of another kind (area
    under the curve, F1) are reported. `[monitor]` (warning): a Keras callback watches a training metric although
    validation data are given. A negated value and a direction that comes from outside or is derived from the name
    by the library are not reported.

    ## Why it is bad
    The search keeps the worst candidate, or the best by another measure, and nothing fails.

    ## Example
    ```python
    study = optuna.create_study()  # minimises: keeps the worst AUC
    study.optimize(objective, n_trials=100)
    checkpoint = ModelCheckpoint(monitor="val_auroc")  # mode is "min" by default
    ```

    ## Use instead
    ```python
    study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=0))
    study.optimize(objective, n_trials=100)
    checkpoint = ModelCheckpoint(monitor="val_auroc", mode="max")
    ```

    ## How a run confirms it
    All candidate scores and the chosen one are logged: confirmed when the chosen one is not the best by the
    metric's own direction.

    ## References
    Lee et al., tips 3 and 6; signatures of the libraries; DOME 2.8; REFORMS 5d, 5e, 7a.
    """

    code = "MLB604"
    name = "selection-metric-mismatch"
    tip = 6
    severity = Severity.ERROR
    variants = ("direction", "scoring", "monitor")
    skip_tests = True

    def check(self, trace: Trace) -> Iterator[Finding]:
        """At most one finding per choice."""
        seen = set()
        for select in trace.of(Select):
            finding = self._direction(trace, select) or self._scoring(trace, select) or self._monitor(trace, select)
            if finding is not None and (finding.at, finding.variant) not in seen:
                seen.add((finding.at, finding.variant))
                yield finding

    def _direction(self, trace: Trace, select: Select) -> Finding | None:
        scores = [event for number in sorted(select.scores) if isinstance(event := trace.event(number), Score)]
        better = {score.direction for score in scores} or {better_by_name(select.metric)}
        unclear = select.how == "if" and not select.keeps & {
            "weights",
            "saved",
            "model",
        }  # counts bad epochs, or tracks the worst
        if len(better) != 1 or "" in better or not select.direction or select.direction in better or unclear:
            return None
        if scores and any(other.scores == select.scores and other.direction in better for other in trace.of(Select)):
            return None  # the worst is shown beside the best
        wanted, metric = better.pop(), scores[0].metric if scores else select.metric
        return self.finding(
            select,
            f"`{metric}` is better when {'higher' if wanted == 'up' else 'lower'}, but the {select.what} with "
            f"{WORD[select.direction]} value is kept.",
            evidence=[("scored here", scores[0] if scores else None)],
            confidence=Confidence.CERTAIN if scores and select.how not in BY_HAND[1:] else Confidence.LIKELY,
            variant="direction",
            remedy=f"{'Maximise' if wanted == 'up' else 'Minimise'} it (`direction=`, `mode=`, or the comparison).",
        )

    def _scoring(self, trace: Trace, select: Select) -> Finding | None:
        tuner = select.subject
        if tuner is None or not tuner.is_a("tuner") or not tuner.api.startswith("sklearn."):
            return None
        shown = [s for s in trace.held_out_scores if trace.reported(s) and s.id > select.id and not s.cross_validated]
        own = [e.metric for n in select.scores if isinstance(e := trace.event(n), Score) and e.family != "unknown"]
        other = [s for s in shown if (s.family == "score" or s.metric in RANKING) and not s.metric.startswith(tuple(own))]
        if select.scores and not own:  # the estimator, which is not known, scores itself
            return None
        if "scoring" in tuner.arguments or tuner.unknown_arguments or not other or len(other) < len(shown):
            return None
        return self.finding(
            tuner.at,
            f"`{tuner.label}` chooses by its default scorer, but `{other[0].metric}` is reported.",
            evidence=[("reported figure", other[0])],
            severity=Severity.WARNING,
            confidence=Confidence.LIKELY,
            variant="scoring",
            remedy="Give the search the `scoring=` that is reported.",
        )

    def _monitor(self, trace: Trace, select: Select) -> Finding | None:
        keras = trace.imports & {"keras", "tensorflow", "tf_keras"}
        validated = next((fit for fit in trace.of(Fit) if fit.validation != NO_DATA), None)
        if not keras or validated is None or select.how in BY_HAND or select.what not in ("epoch", "checkpoint", "early-stop"):
            return None
        if not better_by_name(select.metric) or re.match(r"val(id)?(ation)?_", select.metric):
            return None
        return self.finding(
            select,
            f"The {select.what} is chosen by `{select.metric}`, a training figure, although validation data are given.",
            evidence=[("validation data are given here", validated)],
            severity=Severity.WARNING,
            variant="monitor",
            remedy=f'Use `monitor="val_{select.metric}"`.',
        )
