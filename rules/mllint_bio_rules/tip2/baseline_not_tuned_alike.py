"""MLB202."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Fit, Score, Select, Step, Subject
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rows import Rows
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

# Arguments that do not tune: seeds, threads, talk, limits of the solver.
NEUTRAL = {
    *(
        "random_state",
        "seed",
        "random_seed",
        "n_jobs",
        "nthread",
        "thread_count",
        "num_threads",
        "device",
        "max_iter",
        "probability",
    ),
    *("verbose", "verbosity", "silent", "logging_level", "copy", "cache_size", "eval_metric", "use_label_encoder", "objective"),
    *("allow_writing_files", "importance_type"),
}


class BaselineNotTunedAlike(Rule):
    """A tuned or deep model is compared with a baseline that is left at its default hyperparameters.

    ## What it does
    Reports a conventional model that is built without any hyperparameter (a seed or a number of threads is none)
    and not searched over, when a model below a tuner, or a network, is scored on the same rows in the same program.
    Models that tune themselves (`LogisticRegressionCV`), models without hyperparameters and dummies are not
    reported, nor are models whose arguments come from a configuration, nor comparisons in which nobody was tuned.

    ## Why it is bad
    The comparison measures the effort of tuning, not the models. Two hundred trials for one side and none for the
    other favour the first, whatever it is.

    ## Example
    ```python
    study.optimize(lambda trial: cross_validated_auc(trial, X_train, y_train), n_trials=200)
    forest = RandomForestClassifier(random_state=0).fit(X_train, y_train)
    print("net", net_auc, "forest", roc_auc_score(y_test, forest.predict_proba(X_test)[:, 1]))
    ```

    ## Use instead
    ```python
    forest = RandomizedSearchCV(
        RandomForestClassifier(random_state=0), space, n_iter=200, scoring="roc_auc", random_state=0
    ).fit(X_train, y_train)
    ```

    ## How a run confirms it
    The baseline is tuned with the network's number of trials, by inner cross-validation of the training rows; the
    report says how the gap moves.

    ## References
    Lee et al., tip 2 (Continental Breakfast Included); Lones 3.7, 5.1; DOME 2.8, 4.3; REFORMS 5e, 5f.
    """

    code = "MLB202"
    name = "baseline-not-tuned-alike"
    tip = 2
    severity = Severity.WARNING
    confirmed_by = "baseline"
    skip_tests = True
    remedy = "Search the baseline's hyperparameters with the same budget and the same inner validation."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per trace: all default baselines against the first rival scored on the same rows."""
        tuned = _tuned(trace)
        inside = {id(part) for subject in tuned for part in subject.everything()}
        plain: dict[Subject, tuple[Score, Score, Subject]] = {}
        for score in trace.held_out_scores:
            base = next((part for part in _parts(score) if _default(part)), None)
            if base is None or base in plain or id(base) in inside or _stacked(trace, base, inside):
                continue
            for other in trace.held_out_scores:
                rival = next(iter(_parts(other)), None)
                if rival is None or rival.at == base.at:  # one statement with other settings: no rival, but what tuning brings
                    continue
                if other.metric == score.metric and _same(trace, score, other) and _worked_on(trace, rival, tuned):
                    plain[base] = (score, other, rival)
                    break
        if plain:
            (base, (score, other, rival)), *_ = plain.items()
            labels = dict.fromkeys(subject.label for subject in plain)
            names = ", ".join(f"`{label}`" for label in labels)
            searched = any(rival is one for one in tuned)
            yield self.finding(
                base.at,
                f"{names} {'runs' if len(labels) == 1 else 'run'} with default hyperparameters and "
                f"{'is' if len(labels) == 1 else 'are'} compared with "
                f"{'the tuned' if searched else 'the network'} `{rival.name or rival.label}` on the same rows.",
                evidence=[("baseline scored here", score), ("compared with this score", other), ("the other model", rival.at)],
                confidence=Confidence.CERTAIN if searched else Confidence.LIKELY,
            )


def _parts(score: Score) -> list[Subject]:
    """The scored model and its parts."""
    subject = score.subject or (score.data.prediction.subject if score.data.prediction else None)
    return subject.everything() if subject else []


def _stacked(trace: Trace, base: Subject, tuned: set[int]) -> bool:
    """Whether the model learns from what tuned models predict: it joins them, and is no rival."""
    learned_from = (fit.data.prediction for fit in trace.of(Fit) if fit.subject is base)
    return any(made is not None and id(made.subject) in tuned for made in learned_from)


def _default(subject: Subject) -> bool:
    """Whether this is a conventional model with hyperparameters, none of which was given."""
    facts = subject.facts
    settled = facts.get("tunes_itself") or facts.get("parameter_free") or subject.is_a("estimator.baseline.dummy")
    return subject.is_a("estimator.baseline") and not settled and not subject.unknown_arguments and subject.arguments <= NEUTRAL


def _tuned(trace: Trace) -> list[Subject]:
    """Tuners, and models whose hyperparameters come from a search (`facts["tuned"]`) or were fixed by some choice."""
    chosen = [s.subject for s in trace.of(Select) if s.what == "hyperparameter" and s.subject is not None]
    return [*(f.subject for f in trace.of(Fit) if f.subject.is_a("tuner") or f.subject.facts.get("tuned")), *chosen]


def _worked_on(trace: Trace, rival: Subject, tuned: list[Subject]) -> bool:
    """Whether effort went into the rival: a search, or a network that somebody designed."""
    network = rival.is_a("estimator.deep") and not rival.arguments <= NEUTRAL and not rival.api.startswith("sklearn.")
    module = any(rival in m.everything() for step in trace.of(Step) for m in step.modules) or rival.is_a("trainer", "module")
    return network or module or any(rival is one for one in tuned)


def _same(trace: Trace, a: Score, b: Score) -> bool:
    """Whether both figures are of the same rows and can both be shown in one run."""
    rows: Rows = a.data.rows
    return a is not b and rows.known and rows == b.data.rows and not trace.exclusive(a, b)
