"""The search behind the tuned baselines, run as a process of its own: `python -m mllint_bio.experiments.search FOLDER`.

Reads `request.json` and `arrays.npz` from the folder and writes `result.json` after every round, so that the process can be ended
at any time: a round gives one more configuration to every model, so all have had equally many when time runs out.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.experiments.metrics import METRICS, Metric, Task
from mllint_bio.experiments.statistics import Array

FOLDS = 5
RANGES = {
    "classification": {
        "logistic regression": "C 1e-4 … 1e2 (log)",
        "k nearest neighbours": "neighbours 1 … 50 (log), weights uniform or distance",
        "random forest": "features sqrt, log2, 0.3; rows in a leaf 1 … 20 (log); 200 trees",
        "gradient boosting": "rate 0.01 … 0.3 (log), leaves 7 … 63, L2 1e-3 … 10 (log), rows in a leaf 5 … 50",
    },
    "regression": {
        "ridge regression": "alpha 1e-3 … 1e4 (log)",
        "k nearest neighbours": "neighbours 1 … 50 (log), weights uniform or distance",
        "random forest": "features 1.0, 0.3, sqrt; rows in a leaf 1 … 20 (log); 200 trees",
        "gradient boosting": "rate 0.01 … 0.3 (log), leaves 7 … 63, L2 1e-3 … 10 (log), rows in a leaf 5 … 50",
    },
}


@dataclass
class _Candidate:
    """One family of models: the best configuration so far, by inner cross-validation."""

    name: str
    tried: int = 0
    best: float = -math.inf
    settings: dict[str, Any] = field(default_factory=dict)
    output: Array | None = None
    error: str = ""
    refitted: dict[str, Any] | None = None


def _settings(name: str, trial: int, generator: np.random.Generator, rows: int) -> dict[str, Any]:
    """A configuration out of the documented range; the first one is the library's own."""
    if trial == 0:
        return {}

    def log(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    def choice(*options: Any) -> Any:
        return options[int(generator.integers(len(options)))]

    if name == "logistic regression":
        return {"C": log(1e-4, 1e2)}
    if name == "ridge regression":
        return {"alpha": log(1e-3, 1e4)}
    if name == "k nearest neighbours":
        return {"n_neighbors": min(round(log(1, 50)), max(1, rows // 2)), "weights": choice("uniform", "distance")}
    if name == "random forest":
        return {"max_features": choice("sqrt", "log2", 0.3, 1.0), "min_samples_leaf": round(log(1, 20))}
    return {
        "learning_rate": log(0.01, 0.3),
        "max_leaf_nodes": choice(7, 15, 31, 63),
        "l2_regularization": log(1e-3, 10),
        "min_samples_leaf": int(generator.integers(5, 51)),
    }


def _model(name: str, regression: bool, settings: dict[str, Any], rows: int) -> Any:
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    if name == "logistic regression":
        return make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=1000, **settings))
    if name == "ridge regression":
        return make_pipeline(imputer, StandardScaler(), Ridge(**settings))
    if name == "k nearest neighbours":
        neighbours = {"n_neighbors": min(5, rows), **settings}
        return make_pipeline(
            imputer, StandardScaler(), (KNeighborsRegressor if regression else KNeighborsClassifier)(**neighbours)
        )
    if name == "random forest":
        forest = RandomForestRegressor if regression else RandomForestClassifier
        return make_pipeline(imputer, forest(n_estimators=200, random_state=0, n_jobs=1, **settings))
    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return boosting(random_state=0, **settings)


def _output(model: Any, inputs: Array, classes: int) -> Array:
    """Numbers (regression), or a column of probabilities per class code."""
    if classes == 0:
        return np.asarray(model.predict(inputs), dtype=float)
    columns = np.zeros((len(inputs), classes))
    columns[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(inputs)
    return columns


def task_of(truth: Array, output: Array, classes: int) -> Task:
    """The task of a baseline's output: truth as codes (or numbers), output as `_output` gives it."""
    names = tuple(str(k) for k in range(classes))
    if classes == 0:
        return Task("regression", (), truth.astype(float), output)
    codes = truth.astype(int)
    if classes == 2:
        return Task("binary", names, codes, output.argmax(axis=1), output[:, 1], True)
    return Task("multiclass", names, codes, output.argmax(axis=1), output, True)


def _goodness(metric: Metric, truth: Array, output: Array, classes: int) -> float:
    value = metric.compute(task_of(truth, output, classes))
    return value if metric.up else -value


def _cross_validated(
    candidate: _Candidate, settings: dict[str, Any], data: Any, folds: Any, metric: Metric, classes: int
) -> float:
    scores = []
    for fit, held in folds:
        model = _model(candidate.name, classes == 0, settings, len(fit))
        model.fit(data["X_train"][fit], data["y_train"][fit])
        scores.append(_goodness(metric, data["y_train"][held], _output(model, data["X_train"][held], classes), classes))
    numbers = [score for score in scores if math.isfinite(score)]
    return float(np.mean(numbers)) if numbers else -math.inf


def _folds(data: Any, classes: int) -> list[tuple[Array, Array]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    rows = len(data["y_train"])
    if classes:
        counts = np.bincount(data["y_train"].astype(int))
        fewest = int(counts[counts > 0].min())
        if fewest >= 2:
            splitter: Any = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=0)
            return list(splitter.split(data["X_train"], data["y_train"]))
    return list(KFold(min(FOLDS, rows), shuffle=True, random_state=0).split(data["X_train"]))


def search(folder: Path) -> None:
    """Search until the trials or the seconds of the request are used up; `result.json` holds the best of each model so far."""
    request = json.loads((folder / "request.json").read_text())
    with np.load(folder / "arrays.npz") as file:
        data = {name: file[name] for name in file.files}
    classes, metric = int(request["classes"]), METRICS[request["metric"]]
    end = time.monotonic() + float(request["seconds"])
    folds = _folds(data, classes)
    generator = np.random.default_rng(0)
    candidates = [_Candidate(name) for name in RANGES["regression" if classes == 0 else "classification"]]
    for trial in range(int(request["trials"])):
        if trial and time.monotonic() > end:
            return
        for candidate in candidates:
            if candidate.error:
                continue
            settings = _settings(candidate.name, trial, generator, len(data["y_train"]))
            try:
                value = _cross_validated(candidate, settings, data, folds, metric, classes)
                # The figures are those of inner folds, and told as such.
                if value > candidate.best or candidate.refitted is None:  # mllint-bio: ignore[MLB601] -- inner folds
                    model = _model(candidate.name, classes == 0, settings, len(data["y_train"]))
                    model.fit(data["X_train"], data["y_train"])
                    candidate.output = _output(model, data["X_test"], classes)
                    candidate.best, candidate.settings, candidate.refitted = value, settings, settings
                candidate.tried += 1
            except Exception as error:  # one model that cannot deal with these data leaves the others
                candidate.error = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            if trial == 0:
                _write(folder, candidates)  # large data may not leave time for a second round
        _write(folder, candidates)


def _write(folder: Path, candidates: list[_Candidate]) -> None:
    outputs = {f"output_{k}": one.output for k, one in enumerate(candidates) if one.output is not None}
    np.savez(folder / "outputs.new.npz", **outputs)  # type: ignore[arg-type]
    os.replace(folder / "outputs.new.npz", folder / "outputs.npz")
    record = [
        {
            "name": one.name,
            "tried": one.tried,
            "inner": one.best if math.isfinite(one.best) else None,
            "settings": one.settings,
            "error": one.error,
        }
        for one in candidates
    ]
    (folder / "result.new.json").write_text(json.dumps(record))
    os.replace(folder / "result.new.json", folder / "result.json")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    search(Path(sys.argv[1]))
