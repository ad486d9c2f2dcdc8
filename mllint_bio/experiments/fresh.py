"""A model of scikit-learn fitted again on fresh random splits, as a process of its own: `python -m mllint_bio.experiments.fresh
FOLDER` reads `request.json` and `arrays.npz` and writes `result.json` (a score per split) after every split.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.experiments.metrics import METRICS, Metric, Task
from mllint_bio.experiments.search import task_of
from mllint_bio.experiments.statistics import Array


def build(api: str, given: dict[str, Any]) -> Any:
    """A new estimator of this class with these arguments. Raises ValueError if it cannot be built from them alone."""
    module, _, name = api.rpartition(".")
    if module.split(".")[0] != "sklearn":
        raise ValueError(f"{name} is no model of scikit-learn")
    try:
        kind = getattr(import_module(module), name)
        model = kind(**given)
        model.get_params(deep=False)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"{name} cannot be built from its literal arguments alone") from error
    if any(hasattr(model, part) and getattr(model, part) is not None for part in ("steps", "estimators", "transformers")):
        raise ValueError(f"the parts of {name} are not known")
    return model


def _output(model: Any, inputs: Array, classes: int) -> Task | None:
    """Probabilities where the model gives them, else its labels."""
    if classes == 0:
        return task_of(np.zeros(len(inputs)), np.asarray(model.predict(inputs), dtype=float), 0)
    if hasattr(model, "predict_proba"):
        columns = np.zeros((len(inputs), classes))
        columns[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(inputs)
        return task_of(np.zeros(len(inputs)), columns, classes)
    names = tuple(str(k) for k in range(classes))
    labels = np.asarray(model.predict(inputs), dtype=int)
    scores = np.asarray(model.decision_function(inputs), dtype=float) if hasattr(model, "decision_function") else None
    if scores is not None and scores.shape not in ((len(inputs),), (len(inputs), classes)):
        scores = None
    kind = "binary" if classes == 2 else "multiclass"
    return Task(kind, names, np.zeros(len(inputs), dtype=int), labels, scores)


def splits(folder: Path) -> None:
    """Score the model on one random split after the other until their number or the seconds are used up."""
    from dataclasses import replace

    request = json.loads((folder / "request.json").read_text())
    with np.load(folder / "arrays.npz") as file:
        inputs, labels = file["X"], file["y"]
    classes, test, metric = int(request["classes"]), int(request["test_rows"]), METRICS[request["metric"]]
    end = time.monotonic() + float(request["seconds"])
    scores: list[float] = []
    for k in range(int(request["splits"])):
        order = np.random.default_rng(k).permutation(len(labels))
        held, fit = order[:test], order[test:]
        model = build(request["api"], request["given"])
        model.fit(inputs[fit], labels[fit])
        task = _output(model, inputs[held], classes)
        if task is not None:
            truth = labels[held].astype(int) if classes else labels[held].astype(float)
            value = _value(metric, replace(task, truth=truth))
            if math.isfinite(value):
                scores.append(value)
        (folder / "result.new.json").write_text(json.dumps(scores))
        os.replace(folder / "result.new.json", folder / "result.json")
        if time.monotonic() > end:
            return


def _value(metric: Metric, task: Task) -> float:
    return metric.compute(task) if metric.fits(task) else math.nan


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    splits(Path(sys.argv[1]))
