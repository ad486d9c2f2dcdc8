"""Forward passes are followed once for arguments of one form, and told at every call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mllint_bio.events import Draw, Loss, Predict
from mllint_bio.predict.interpreter import Run as Interpreter
from mllint_bio.predict.values import Func
from mllint_bio.trace import Trace

Run = Callable[..., Trace]

NET = """\
import torch
from torch import nn
import torch.nn.functional as F

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 2)
    def forward(self, x):
        return torch.softmax(self.linear(x), dim=1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = Head()
    def forward(self, x, y=None):
        out = self.head({inside})
        if y is not None:
            return nn.functional.cross_entropy(out, y)
        return out

train, test = torch.load("train.pt"), torch.load("test.pt")
labels = torch.load("labels.pt")
net = Net()
"""
NOISY = NET.format(inside="x + torch.randn(64)")


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the project functions that were followed."""
    names: list[str] = []
    inline = Interpreter.inline

    def noting(self: Interpreter, func: Func, *others: object) -> object:
        names.append(f"{func.owner.name}.{func.name}" if func.owner else func.name)
        return inline(self, func, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Interpreter, "inline", noting)
    return names


def test_a_pass_is_followed_once_and_told_each_time(run: Run, followed: list[str]) -> None:
    """Two applications of one network give predictions of their own rows, with the same end and the same draws."""
    trace = run(NOISY + "a = net(train)\nb = net(test)\nprint(a, b)\n")
    first, second = trace.of(Predict)
    assert followed.count("Net.forward") == followed.count("Head.forward") == 1
    assert first.data.rows != second.data.rows
    draws = [draw for draw in trace.of(Draw) if draw.purpose != "init"]
    assert len(draws) == 2 and draws[0].at == draws[1].at and draws[0].calls != draws[1].calls


def test_a_pass_with_a_loss_is_followed_each_time(run: Run, followed: list[str]) -> None:
    """What a pass says of rows is said of the rows of each call."""
    trace = run(NOISY + "net(train, labels).backward()\nnet(test, labels).backward()\n")
    assert followed.count("Net.forward") == 2
    assert [loss.data.rows for loss in trace.of(Loss)] == [p.data.rows for p in trace.of(Predict)]


def test_a_changed_network_is_followed_again(run: Run, followed: list[str]) -> None:
    """Another layer, another mode or other arguments may go another way."""
    trace = run(
        NET.format(inside="x")
        + "a = net(train)\nnet.head = nn.Linear(64, 2)\nb = net(train)\nnet.eval()\nc = net(test)\nprint(a, b, c)\n"
    )
    assert followed.count("Net.forward") == 3
    assert len(list(trace.of(Predict))) == 3


def test_a_loss_in_a_loop_is_a_loss_after_it(run: Run, followed: list[str]) -> None:
    """The second round of a loop writes no event again; the pass that it makes is no pass without events."""
    trace = run(NOISY + "for epoch in range(9):\n    net(train, labels).backward()\nnet(test, labels).backward()\n")
    assert len({loss.data.rows for loss in trace.of(Loss)}) == 2
