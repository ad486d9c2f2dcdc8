"""Libraries that run the training loop themselves, and metric objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllint_bio.observe.job import Limits
from mllint_bio.observe.log import Log, Record, Seen
from tests.observe.programs import execute

START = """\
import numpy as np
np.save("cells.npy", np.random.RandomState(0).randn(100, 6).astype("float32"))
X = np.load("cells.npy")
y = (X[:, 0] > 0).astype("int64")
"""
LIGHTNING = """
import lightning, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 2)
    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
    def test_step(self, batch, index):
        self.log("error", nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

def rows(a, b, shuffle=False):
    return DataLoader(TensorDataset(torch.tensor(X[a:b]), torch.tensor(y[a:b])), batch_size=16, shuffle=shuffle)

quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")
trainer, net = lightning.Trainer(max_epochs=2, **quiet), Net()
trainer.fit(net, rows(0, 60, True))
trainer.test(net, rows(80, 100), verbose=False)
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile(loss="binary_crossentropy")
model.fit(X[:80], y[:80], epochs=2, validation_split=0.25, verbose=0)
model.evaluate(X[80:], y[80:], verbose=0)
"""
METRIC = """
import torch, torchmetrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
net = nn.Linear(6, 1)
area = torchmetrics.classification.BinaryAUROC()
for batch, label in DataLoader(TensorDataset(torch.tensor(X[80:]), torch.tensor(y[80:])), batch_size=8):
    with torch.no_grad():
        area.update(torch.sigmoid(net(batch)[:, 0]), label)
print(area.compute())
"""


def observed(folder: Path, program: str) -> Log:
    """The log of a program that ran to its end."""
    outcome = execute(folder, START + program, limits=Limits(seconds=300))
    assert outcome.finished, outcome.reason + outcome.output
    assert not [figure for figure in outcome.log.figures if figure["what"] == "probe-failed"]
    return outcome.log


def positions(log: Log, seen: object) -> set[int]:
    """Which rows of the only source."""
    assert isinstance(seen, Seen)
    (mask,) = log.members(seen.rows).values()
    return {row for row in range(mask.bit_length()) if mask >> row & 1}


def only(log: Log, kind: str) -> Record:
    """The one event of this kind."""
    (found,) = log.of(kind)
    return found


def test_a_trainer_is_one_fit_and_one_score(tmp_path: Path) -> None:
    """Lightning's steps are its own affair: its calls say which rows were learned from and scored, and the figures."""
    pytest.importorskip("lightning", reason="Lightning is not installed")
    log = observed(tmp_path, LIGHTNING)
    fit, score = only(log, "Fit"), only(log, "Score")
    assert (fit.fields["role"], positions(log, fit.fields["data"])) == ("estimator.deep", set(range(60)))
    assert positions(log, score.fields["data"]) == set(range(80, 100))
    assert [figure["name"] for figure in log.figures if figure["what"] == "score"] == ["error"]
    assert fit.fields["subject"] == score.fields["subject"] == only(log, "Build").fields["subject"]
    assert not list(log.of("Step", "Backward", "Predict"))


def test_keras_holds_the_last_rows_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`validation_split` takes the tail: the model learns from the rows before it, and is scored on both held parts."""
    pytest.importorskip("torch", reason="torch, the backend, is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras", reason="Keras is not installed")
    log = observed(tmp_path, KERAS)
    fit = only(log, "Fit")
    assert positions(log, fit.fields["data"]) == set(range(60))
    assert positions(log, fit.fields["validation"]) == set(range(60, 80))
    assert [positions(log, score.fields["data"]) for score in log.of("Score")] == [set(range(60, 80)), set(range(80, 100))]


def test_a_metric_object_is_scored_when_it_is_computed(tmp_path: Path) -> None:
    """torchmetrics: the rows and outputs of all updates, at the line of `compute`."""
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    log = observed(tmp_path, METRIC)
    score = only(log, "Score")
    assert score.fields["metric"] == "BinaryAUROC"
    assert positions(log, score.fields["data"]) == positions(log, score.fields["truth"]) == set(range(80, 100))
    assert score.fields["data"].predicted == only(log, "Predict").number
