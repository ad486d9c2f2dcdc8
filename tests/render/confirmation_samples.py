"""A confirmation with every verdict, experiment, plot and table, shared by the tests of the renderers and by docs/confirm.md."""

from __future__ import annotations

import math

from mllint_bio.diagnostics import Diagnostic, Place, Units, rule_url
from mllint_bio.experiments.results import Confirmation, Judgement, Plot, Result, Series, Table, Verdict
from mllint_bio.findings import Confidence, Severity
from mllint_bio.judge import place
from mllint_bio.sources import SourceUnit, load_text

SCRIPT = """\
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2)
model = RandomForestClassifier()
model.fit(X_train, y_train)
print(accuracy_score(y_test, model.predict(X_test)))
"""


def units() -> Units:
    """The program's source."""
    return Units({"train.py": load_text(SCRIPT, "train.py")})


def span(unit: SourceUnit, fragment: str) -> Place:
    """The place of the first occurrence of a fragment."""
    start = unit.text.index(fragment)
    return place(unit, start, start + len(fragment))


def diagnostic(
    code: str, name: str, fragment: str, message: str, evidence: tuple[tuple[str, str], ...] = (), **more: object
) -> Diagnostic:
    """A finding in the program."""
    unit = units()["train.py"]
    values: dict[str, object] = {
        "code": code,
        "name": name,
        "severity": Severity.WARNING,
        "confidence": Confidence.CERTAIN,
        "message": message,
        "place": span(unit, fragment),
        "evidence": tuple((label, span(unit, at)) for label, at in evidence),
        "url": rule_url(code, name),
        **more,
    }
    return Diagnostic(**values)  # type: ignore[arg-type]


LEAK = diagnostic(
    "MLB706",
    "transform-fitted-before-split",
    "StandardScaler().fit_transform(X)",
    "`StandardScaler` learns its column statistics from rows that `accuracy_score` later scores.",
    (("split here", "train_test_split(X, y, test_size=0.2)"), ("scored here", "accuracy_score(y_test, model.predict(X_test))")),
    variant="scale",
    remedy="Fit it on the training rows only: split first, or put it into a pipeline with the estimator.",
)
SPLIT = diagnostic(
    "MLB303",
    "unseeded-split",
    "train_test_split(X, y, test_size=0.2)",
    "`train_test_split` draws other rows in every run: no `random_state` and no seed before it.",
    remedy="Give it `random_state=`.",
)
CUDA = diagnostic(
    "MLB305",
    "cuda-nondeterminism-allowed",
    "model.fit(X_train, y_train)",
    "Operations without a deterministic CUDA kernel are allowed.",
    severity=Severity.INFO,
    confidence=Confidence.LIKELY,
)
SELECTION = diagnostic(
    "MLB601",
    "tuned-on-test-set",
    "accuracy_score(y_test, model.predict(X_test))",
    "The rows that choose the model are the rows that are reported.",
    severity=Severity.ERROR,
)
DUPLICATES = diagnostic(
    "MLB715",
    "train-test-overlap",
    "X_train, X_test, y_train, y_test",
    "Rows of the test part also stand in the training part.",
    severity=Severity.ERROR,
)

JUDGEMENTS = (
    Judgement(
        LEAK,
        Verdict.CONFIRMED,
        "StandardScaler.fit saw 569 rows, 114 of them are the rows scored at line 13.",
        {"fitted": 569, "scored": 114, "shared": 114},
        "With the fix the accuracy is 0.956 instead of 0.974 (difference −0.018, 95 % interval −0.035 to −0.004).",
    ),
    Judgement(
        SPLIT,
        Verdict.CONFIRMED,
        "5 runs of the same command split the rows in 5 ways; the accuracy ranges from 0.947 to 0.982.",
        {"splits": 5, "low": 0.947, "high": 0.982},
    ),
    Judgement(DUPLICATES, Verdict.OBSERVED, "3 of the 114 test rows are equal to training rows.", {"equal": 3}),
    Judgement(
        SELECTION,
        Verdict.REFUTED,
        "One model was scored on the 114 test rows, once: nothing was chosen by that score.",
        {"selections": 0},
    ),
    Judgement(CUDA, Verdict.NOT_REACHED, "The question needs a CUDA device; this machine has none."),
)


def curve(run: int, length: int = 40) -> Series:
    """The losses of a run, the later ones different from the first after step 3."""
    wobble = [0.0 if n < 3 else 0.01 * run * math.sin(0.9 * n + run) for n in range(length)]
    return Series(f"run {run}", tuple(0.12 + 0.58 * math.exp(-n / 9) + wobble[n] for n in range(length)))


CURVES = Plot("curves", "Training loss of five runs", "optimizer step", "loss", tuple(curve(n) for n in range(1, 6)))
INTERVAL = Plot(
    "interval",
    "Change of the accuracy with the fix",
    "accuracy with the fix minus accuracy as it is",
    series=(
        Series(
            "difference",
            (-0.018, -0.0088, 0.0017),
            low=(-0.035, -0.026, -0.011),
            high=(-0.004, 0.0079, 0.0143),
            labels=("accuracy (MLB706, train.py:9)", "balanced accuracy", "average precision"),
        ),
    ),
    mark=0.0,
    mark_label="no change",
)
BARS = Plot(
    "bars",
    "Score against baselines tuned with the same budget",
    y_label="accuracy on the 114 test rows",
    series=(
        Series(
            "accuracy",
            (0.6316, 0.9649, 0.9561, 0.9737, 0.9737),
            low=(0.54, 0.912, 0.904, 0.93, 0.93),
            high=(0.719, 0.991, 0.991, 1.0, 1.0),
            labels=(
                "majority class",
                "k nearest neighbours",
                "random forest (tuned)",
                "logistic regression",
                "the program's model",
            ),
        ),
    ),
    mark=0.9737,
    mark_label="the program's model",
)
MATRIX = Plot(
    "matrix",
    "Confusion matrix of the recorded predictions",
    "predicted class",
    "true class",
    matrix=((40.0, 3.0), (1.0, 70.0)),
    labels=("malignant", "benign"),
)
HISTOGRAM = Plot(
    "histogram",
    "Accuracy with shuffled training labels",
    "accuracy",
    "runs",
    (Series("shuffled", tuple(0.5 + 0.012 * ((n * 7) % 20) for n in range(20))),),
    mark=0.9737,
    mark_label="with the real labels",
)

RESULTS = (
    Result(
        "repeat",
        "Repeat",
        "done",
        "The same command gave five different accuracies. The first step whose loss differs is step 4.",
        figures={"first_difference": 4, "accuracy": {"low": 0.947, "high": 0.982, "sd": 0.0135}},
        tables=(
            Table(
                "",
                ("run", "accuracy", "first step that differs"),
                ((1, 0.9737, None), (2, 0.9474, 4), (3, 0.9825, 4), (4, 0.9561, 4), (5, 0.9649, 4)),
            ),
        ),
        plots=(CURVES,),
        runs=5,
        seconds=14.2,
        code="MLB303",
        place="train.py:10:36",
    ),
    Result(
        "counterfactual",
        "Counterfactual",
        "done",
        "Fitting the scaler on the training rows lowers the accuracy by 0.018; the interval excludes zero.",
        figures={"difference": -0.018, "low": -0.035, "high": -0.004, "resamples": 2000, "paired": True},
        plots=(INTERVAL,),
        runs=10,
        seconds=23.0,
        code="MLB706",
        place="train.py:9:5",
    ),
    Result(
        "tuned-baseline",
        "Tuned baseline",
        "done",
        "Logistic regression, tuned with the same number of trials, reaches the model's score.",
        plots=(BARS,),
        seconds=31.0,
    ),
    Result(
        "class-balance",
        "Class balance",
        "done",
        "The model is better than the majority class: balanced accuracy 0.958, MCC 0.924.",
        tables=(Table("", ("metric", "model", "majority class"), (("accuracy", 0.9649, 0.6316), ("MCC", 0.924, 0.0))),),
        plots=(MATRIX,),
        seconds=0.1,
    ),
    Result(
        "label-shuffle",
        "Label shuffle",
        "done",
        "With shuffled training labels the accuracy lies between 0.5 and 0.73: the score is not an artefact of the protocol.",
        plots=(HISTOGRAM,),
        runs=20,
        seconds=40.0,
    ),
    Result("determinism", "Determinism", "skipped", reason="the program does not use torch"),
    Result("overlap", "Overlap", "failed", reason="the budget of 1800 s was used up"),
)


def sample() -> Confirmation:
    """The whole report."""
    return Confirmation(
        command="train.py",
        status="finished",
        seconds=2.8,
        judgements=JUDGEMENTS,
        results=RESULTS,
        refusals=("train.py:20 wanted to write /data/scores.csv: allow it with --allow-write /data",),
        environment={"Python": "3.12.3", "scikit-learn": "1.5.1", "numpy": "1.26.4", "device": "CPU, 8 cores"},
        scores=(("accuracy", 0.9737, "train.py:13:7", True), ("loss", math.nan, "train.py:12:1", None)),
        intervals=3,
        notes=("Results were measured on this machine and these releases; they say nothing about others.",),
    )
