"""What a run of a torch program leaves in its log."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mllint_bio.observe.job import Controls, Limits, Outcome
from mllint_bio.observe.log import Log, Record, Seen
from tests.observe.programs import execute

np = pytest.importorskip("numpy", reason="NumPy is not installed")
pytest.importorskip("torch", reason="torch is not installed")

START = """\
import copy

import numpy as np
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, WeightedRandomSampler, random_split

torch.manual_seed(0)
np.save("cells.npy", np.random.RandomState(0).randn(100, 6).astype("float32"))
X = np.load("cells.npy")
y = (X[:, 0] > 0).astype("int64")
"""
FIRST = START.count("\n") + 1  # line of the first statement behind START

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program behind START, once for all tests that look at it."""
    known: dict[Any, Outcome] = {}

    def run(program: str, **controls: Any) -> Outcome:
        key = program, str(controls)
        if key not in known:
            folder = tmp_path_factory.mktemp("program")
            known[key] = execute(folder, START + program, controls=Controls(**controls), limits=Limits(seconds=300))
            assert known[key].finished, known[key].reason + known[key].output
        failed = [figure for figure in known[key].log.figures if figure["what"] == "probe-failed"]
        assert not failed, failed
        return known[key]

    return run


def events(log: Log, *kinds: str) -> list[Record]:
    """Events of these kinds, in order."""
    return list(log.of(*kinds))


def line(record: Record) -> int:
    """Line behind START, 1 for the first."""
    return record.line[1] - FIRST + 1


def count(log: Log, seen: Any) -> int:
    """Number of different rows."""
    assert isinstance(seen, Seen)
    return sum(mask.bit_count() for mask in log.members(seen.rows).values())


def positions(log: Log, seen: Any) -> set[int]:
    """Which rows of the only source."""
    (mask,) = log.members(seen.rows).values()
    return {row for row in range(mask.bit_length()) if mask >> row & 1}


def figures(log: Log, what: str) -> list[dict[str, Any]]:
    """Figures of this kind."""
    return [figure for figure in log.figures if figure["what"] == what]


# -- a training loop ---------------------------------------------------------------------------------------------------

TRAINING = """\
train, test = TensorDataset(torch.tensor(X[:80]), torch.tensor(y[:80])), TensorDataset(torch.tensor(X[80:]), torch.tensor(y[80:]))
loader = DataLoader(train, batch_size=32, shuffle=True)
net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
criterion = nn.CrossEntropyLoss()
for epoch in range(2):
    net.train()
    for batch, label in loader:
        optimizer.zero_grad()
        loss = criterion(net(batch), label)
        loss.backward()
        optimizer.step()
    net.eval()
    collected, labels = [], []
    with torch.no_grad():
        for batch, label in DataLoader(test, batch_size=8):
            collected.append(net(batch.to("cpu")))
            labels.extend(label.tolist())
from sklearn.metrics import accuracy_score, roc_auc_score
print(roc_auc_score(labels, torch.cat(collected).softmax(1)[:, 1].numpy()))
print(accuracy_score(labels, [int(one.argmax()) for part in collected for one in part]))
"""


def test_a_batch_loop_leaves_one_event_of_each_kind_per_pass(observed: Run) -> None:
    """Clearing, applying, comparing, going backwards and stepping are events at their lines, merged over the batches."""
    log = observed(TRAINING).log
    kinds = ("ZeroGrad", "Predict", "Loss", "Score", "Backward", "Step", "Fit")
    of_first_pass = [r for r in events(log, *kinds) if line(r) in (9, 10, 11, 12)][: len(kinds)]
    assert [(record.kind, line(record)) for record in of_first_pass] == [
        ("ZeroGrad", 9), ("Predict", 10), ("Loss", 10), ("Score", 10), ("Backward", 11), ("Step", 12), ("Fit", 12),
    ]  # fmt: skip
    assert {record.count for record in of_first_pass} == {3}  # 80 rows in batches of 32


def test_rows_of_batches_are_those_of_the_data_set(observed: Run) -> None:
    """What the network learns from are the 80 rows of its data set, by their positions, in every pass."""
    log = observed(TRAINING).log
    fits = events(log, "Fit")
    assert [positions(log, fit.fields["data"]) for fit in fits] == [set(range(80))] * 2
    assert all(fit.fields["role"] == "estimator.deep" and fit.fields["method"] == "step" for fit in fits)


def test_loaders_say_how_they_batch(observed: Run) -> None:
    """Shuffling, workers and rows of a loader are told where it is built."""
    log = observed(TRAINING).log
    loader, evaluation = events(log, "Loader")[:2]
    assert (line(loader), loader.fields["shuffle"], loader.fields["workers"], loader.fields["drop_last"]) == (2, True, 0, False)
    assert count(log, loader.fields["data"]) == 80
    assert not evaluation.fields["shuffle"]
    assert positions(log, evaluation.fields["data"]) == set(range(80, 100))


def test_draws_for_weights_and_for_the_order(observed: Run) -> None:
    """Layers draw their first weights, a shuffling loader its order; both from torch's global stream."""
    draws = [(line(one), one.fields["what"], one.fields["purpose"], one.count) for one in events(observed(TRAINING).log, "Draw")]
    assert draws == [(3, "Linear", "init", 2), (8, "DataLoader(shuffle=True)", "order", 2)]


def test_modes_are_those_of_the_layers_that_depend_on_them(observed: Run) -> None:
    """Switches are events; forward passes say the mode and whether gradients are recorded."""
    log = observed(TRAINING).log
    assert [(line(one), one.fields["mode"]) for one in events(log, "Mode")] == [(7, "train"), (13, "eval")] * 2
    predictions = {(line(one), one.fields["mode"], one.fields["grad"]) for one in events(log, "Predict")}
    assert predictions == {(10, "train", True), (17, "eval", False)}
    assert all(one.fields["mode_dependent"] for one in events(log, "Predict"))
    parts = figures(log, "mode")[0]["parts"]
    assert parts == [("2", "Dropout", True)]


def test_outputs_collected_over_batches_hold_their_rows(observed: Run) -> None:
    """Joined outputs, lists of labels and lists of predicted numbers are the rows of the pass, and the last network's output."""
    log = observed(TRAINING).log
    area, accuracy = [one for one in events(log, "Score") if one.fields["metric"] != "loss"]
    last = [one.number for one in events(log, "Predict")][-1]
    for score in (area, accuracy):
        assert positions(log, score.fields["data"]) == set(range(80, 100))
        assert positions(log, score.fields["truth"]) == set(range(80, 100))
        assert score.fields["data"].predicted == last
        assert score.fields["truth"].predicted == -1


def test_steps_name_the_network_whose_parameters_they_change(observed: Run) -> None:
    """An optimizer holds the network that the program took the parameters of, not its layers."""
    log = observed(TRAINING).log
    step = events(log, "Step")[0]
    (network,) = step.fields["modules"]
    assert log.subjects[network]["api"] == "torch.nn.Sequential"
    assert step.fields["modes"] == ["train"]
    assert log.subjects[step.fields["subject"]]["api"] == "torch.optim.Adam"


def test_losses_are_figures_of_every_step(observed: Run) -> None:
    """Every backward pass leaves its loss, numbered by the steps made so far."""
    found = figures(observed(TRAINING).log, "loss")
    assert [figure["step"] for figure in found] == list(range(6))
    assert all(0 < figure["value"] < 10 for figure in found)


def test_parameters_are_fingerprinted_after_every_step(observed: Run) -> None:
    """With fingerprints, the parameters of every step leave a hash, equal in a second run with the same seed only."""
    first, second, other = (observed(TRAINING + f"# {k}\n", fingerprints=True, seed=min(k, 2)).log for k in (1, 2, 3))
    hashes = [[figure["hash"] for figure in figures(log, "parameters")] for log in (first, second, other)]
    assert len(hashes[0]) == 7  # before the first step and after each
    assert len(set(hashes[0])) == 7
    assert hashes[1] == hashes[2]
    assert hashes[0] != hashes[1]


def test_a_long_pass_is_told_as_a_whole(observed: Run) -> None:
    """Batches that repeat exactly are not looked at one by one, and still every row, batch, loss and step counts."""
    log = observed(TRAINING.replace("batch_size=32", "batch_size=4")).log
    fits = events(log, "Fit")
    assert [(fit.count, positions(log, fit.fields["data"])) for fit in fits] == [(20, set(range(80)))] * 2
    assert [figure["step"] for figure in figures(log, "loss")] == list(range(40))


# -- networks ----------------------------------------------------------------------------------------------------------

OWN = """\
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return self.norm(self.layer(x)) + x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return torch.softmax(self.head(self.block(x)), dim=1)


net = Net()
output = net(torch.tensor(X))
loss = nn.functional.cross_entropy(output, torch.tensor(y))
value = nn.functional.nll_loss(torch.log_softmax(output, dim=1), torch.tensor(y))
plain = nn.functional.binary_cross_entropy(output[:, 1], torch.tensor(y).float())
again = net.block(torch.tensor(X))
"""


def test_a_network_of_the_project_is_built_where_it_is_constructed(observed: Run) -> None:
    """Build events stand at the call of the class, inner networks at their line inside the constructor."""
    log = observed(OWN).log
    built = events(log, "Build")
    assert [(one.api, line(one)) for one in built] == [("Block", 14), ("Net", 21)]
    assert [tuple(number - FIRST + 1 for _, number in one.calls) for one in built] == [(21,), ()]
    assert all(one.fields["mode_dependent"] for one in built)
    parts = log.subjects[built[1].fields["subject"]]["parts"]
    assert [log.subjects[part]["api"] for part in parts] == ["Block", "torch.nn.Linear"]


def test_only_the_outermost_network_predicts(observed: Run) -> None:
    """Modules called inside a forward pass are its own affair; called by the program, a part of a network predicts itself."""
    log = observed(OWN).log
    assert [(one.api, line(one)) for one in events(log, "Predict")] == [("Net", 22), ("Block", 26)]


def test_what_reaches_a_loss_is_measured(observed: Run) -> None:
    """Rows that add up to one are a softmax, logarithms of such rows a log-softmax, single values within 0 and 1 a sigmoid."""
    losses = events(observed(OWN).log, "Loss")
    assert [(one.fields["api"], one.fields["expects"], one.fields["received"]) for one in losses] == [
        ("cross_entropy", "logits", "softmax"),
        ("nll_loss", "log-probabilities", "log_softmax"),
        ("binary_cross_entropy", "probabilities", "sigmoid"),
    ]
    measured = figures(observed(OWN).log, "range")[0]
    assert measured["low"] >= 0
    assert measured["row_sums"] == pytest.approx((1, 1), abs=1e-5)


# -- gradients ---------------------------------------------------------------------------------------------------------

LOOP = """\
net = nn.Linear(6, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x, target = torch.tensor(X), torch.tensor(y).float()
for step in range(4):
    loss = nn.functional.binary_cross_entropy_with_logits(net(x).squeeze(1), target)
    {before}
    loss.backward()
    {after}
    optimizer.step()
"""


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("pass", "pass", 3),
        ("optimizer.zero_grad()", "pass", 0),
        ("net.zero_grad()", "pass", 0),
        ("for p in net.parameters(): p.grad = None", "pass", 0),
        ("pass", "(step % 2 and optimizer.step())", 3),
    ],
    ids=["never cleared", "by the optimizer", "by the network", "by hand", "stepped twice"],
)
def test_gradients_left_from_before_a_step_are_figures(observed: Run, before: str, after: str, left: int) -> None:
    """A backward pass that adds to gradients which an optimizer has used already leaves their norm."""
    log = observed(LOOP.format(before=before, after=after)).log
    found = figures(log, "gradient")
    assert len(found) == left
    assert all(figure["value"] > 0 for figure in found)
    assert bool(events(log, "ZeroGrad")) == (left == 0)


def test_accumulated_gradients_are_no_leftovers(observed: Run) -> None:
    """Several backward passes before one step, and clearing behind it, add up on purpose."""
    twice = "(nn.functional.mse_loss(net(x)[:, 0], target) / 2).backward()"
    program = LOOP.format(before="loss = loss / 2", after=twice)
    log = observed(program.replace("    optimizer.step()", "    optimizer.step(); optimizer.zero_grad()")).log
    assert not figures(log, "gradient")
    assert [positions(log, one.fields["data"]) for one in events(log, "Step")] == [set(range(100))]


# -- weights -----------------------------------------------------------------------------------------------------------

WEIGHTS = """\
net = nn.Linear(6, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
def train():
    optimizer.zero_grad()
    net(torch.tensor(X)).mean().backward()
    optimizer.step()
by_reference = net.state_dict()
by_copy = copy.deepcopy(net.state_dict())
by_clones = {name: value.clone() for name, value in net.state_dict().items()}
torch.save(net.state_dict(), "net.pt")
train()
net.load_state_dict(by_reference)
net.load_state_dict(by_copy)
net.load_state_dict(by_clones)
train()
net.load_state_dict(torch.load("net.pt"))
"""


def test_weights_kept_by_reference_are_told_from_copies_and_files(observed: Run) -> None:
    """A state that lives on is a reference; one that is gone after its statement was copied; one that was saved was saved."""
    found = [(line(one), one.fields["action"]) for one in events(observed(WEIGHTS).log, "Weights")]
    assert found == [
        (7, "reference"), (8, "copy"), (9, "copy"), (10, "save"), (12, "load"), (13, "load"), (14, "load"), (16, "load"),
    ]  # fmt: skip


LIVE = """\
net = nn.Linear(6, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
def train():
    optimizer.zero_grad()
    net(torch.tensor(X)).mean().backward()
    optimizer.step()
shallow = net.state_dict().copy()
kept = net.state_dict()
train()
torch.save(kept, "kept.pt")
net.load_state_dict(shallow)
"""


def test_a_shallow_copy_and_a_late_save_are_of_the_live_weights(observed: Run) -> None:
    """A shallow copy holds the live tensors; a reference that is saved after further steps stays one, with the later weights."""
    log = observed(LIVE).log
    found = [(line(one), one.fields["action"]) for one in events(log, "Weights")]
    assert found == [(7, "reference"), (8, "reference"), (10, "save"), (11, "load")]
    shallow, kept, saved, loaded = figures(log, "weights")
    assert shallow["hash"] == kept["hash"] != saved["hash"] == loaded["hash"]


def test_fingerprints_tell_which_weights_are_loaded(observed: Run) -> None:
    """What was kept by reference has changed by the time it is loaded; copies, clones and files have not."""
    log = observed(WEIGHTS).log
    kept, copied, cloned, saved, *loads = figures(log, "weights")
    assert kept["hash"] == copied["hash"] == cloned["hash"] == saved["hash"]
    assert loads[0]["captured"] == kept["event"]
    assert loads[0]["captured_hash"] == kept["hash"] != loads[0]["hash"]
    assert [load["hash"] for load in loads[1:]] == [kept["hash"]] * 3


# -- data sets ---------------------------------------------------------------------------------------------------------

DATASETS = """\
class Held(Dataset):
    def __init__(self, cells, labels):
        self.cells, self.labels = cells, labels
    def __len__(self):
        return len(self.cells)
    def __getitem__(self, index):
        return self.cells[index], self.labels[index]

class Wrapped(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset
    def __len__(self):
        return len(self.dataset)
    def __getitem__(self, index):
        return self.dataset[index][0] * 2

class Chosen(Dataset):
    def __init__(self, table, indices):
        self.table, self.indices = table, indices
    def __len__(self):
        return len(self.indices)
    def __getitem__(self, index):
        return self.table[self.indices[index]]

class Nothing(Dataset):
    def __len__(self):
        return 12
    def __getitem__(self, index):
        return torch.full((3,), float(index))

whole = TensorDataset(torch.tensor(X), torch.tensor(y))
half, rest = random_split(whole, [60, 40], generator=torch.Generator().manual_seed(1))
net = nn.Linear(6, 2)
for data in (
    Held(X[:30], y[:30]), Wrapped(Held(X[:30], y[:30])), Chosen(X, [5, 6, 7, 8]), Subset(whole, range(10, 20)),
    ConcatDataset([Subset(whole, [1, 2]), Subset(whole, [3])]), half,
):
    for batch in DataLoader(data, batch_size=7):
        net(batch[0] if isinstance(batch, list) else batch)
for batch in DataLoader(whole, batch_size=5, sampler=WeightedRandomSampler([1.0] * 50 + [0.0] * 50, 20), num_workers=2):
    net(batch[0])
small = nn.Linear(3, 1)
for batch in DataLoader(Nothing(), batch_size=5):
    small(batch)
"""


def test_rows_of_every_kind_of_data_set(observed: Run) -> None:
    """Batches are known by the arrays that a data set holds, wraps, joins or chooses from."""
    log = observed(DATASETS).log
    found = [positions(log, one.fields["data"]) for one in events(log, "Predict") if line(one) == 39]
    split = events(log, "Split")[0]
    assert found == [
        set(range(30)), set(range(30)), {5, 6, 7, 8}, set(range(10, 20)), {1, 2, 3}, positions(log, split.fields["parts"][0]),
    ]  # fmt: skip


def test_rows_fetched_by_workers_are_those_that_the_sampler_gave_out(observed: Run) -> None:
    """Items fetched by other processes are known by the indices that this process handed to them."""
    log = observed(DATASETS).log
    weighted = next(one for one in events(log, "Predict") if line(one) == 41)
    assert weighted.count == 4
    assert positions(log, weighted.fields["data"]) <= set(range(50))
    assert count(log, weighted.fields["data"]) > 5


def test_a_data_set_that_holds_nothing_is_a_source_of_its_own(observed: Run) -> None:
    """Items made on the fly are the rows 0 to 11 of the data set itself."""
    log = observed(DATASETS).log
    assert log.sources[next(iter(log.members(events(log, "Predict")[-1].fields["data"].rows)))].label == "Nothing"
    assert positions(log, events(log, "Predict")[-1].fields["data"]) == set(range(12))


def test_a_random_split_says_its_parts_and_whether_it_was_seeded(observed: Run) -> None:
    """The parts share no row and make up the whole; a generator of its own is a seed."""
    log = observed(DATASETS).log
    split = events(log, "Split")[0]
    first, second = (positions(log, part) for part in split.fields["parts"])
    assert (len(first), len(second), first & second) == (60, 40, set())
    assert split.fields["seeded"]
    assert not [draw for draw in events(log, "Draw") if draw.fields["purpose"] == "split"]


CAPTURED = """\
x, target = torch.tensor(X[:70]), torch.tensor(y[:70])
net = nn.Linear(6, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for data in (Subset(TensorDataset(torch.tensor(X), torch.tensor(y)), [3, 1, 2]), None):
    for batch, label in DataLoader(data, batch_size=2) if data else [(x, target)] * 2:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch), label).backward()
        optimizer.step()
with torch.no_grad():
    net(torch.tensor(X[70:]))
"""


def test_arrays_that_networks_learn_from_are_captured(observed: Run) -> None:
    """The data set of a loader, or the tensors of a step without one, once each, with labels and rows."""
    outcome = observed(CAPTURED, capture=True)
    folder = outcome.folder()
    assert folder is not None
    entries = [entry for entry in json.loads((folder / "index.json").read_text()) if entry["kind"] in ("Fit", "Predict")]
    shapes = [tuple(np.load(folder / entry[name]).shape for name in ("X", "y") if name in entry) for entry in entries]
    assert shapes == [((3, 6), (3,)), ((70, 6), (70,)), ((30, 6),)]
    assert (np.load(folder / entries[0]["rows"]) & 0xFFFFFFFF).tolist() == [3, 1, 2]


# -- what an experiment changes --------------------------------------------------------------------------------------

ACCURACY = """\
from sklearn.metrics import accuracy_score
loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=25, shuffle=True)
net = nn.Linear(6, 2)
optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
for epoch in range(20):
    for x, label in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), label).backward()
        optimizer.step()
with torch.no_grad():
    print(accuracy_score(y, net(torch.tensor(X)).argmax(1).numpy()))
"""


def test_shuffled_labels_leave_nothing_to_learn(observed: Run) -> None:
    """A network learns the labels of other rows, the same ones in every pass, and is scored on the true ones."""
    honest, shuffled = (figures(observed(ACCURACY, shuffle_labels=seed).log, "score")[-1]["value"] for seed in (None, 4))
    assert honest > 0.9
    assert 0.2 < shuffled < 0.8


def test_every_row_keeps_its_shuffled_label(observed: Run) -> None:
    """Labels found in the data set are replaced by row: a network that can memorise them does so over many passes."""
    program = ACCURACY.replace("nn.Linear(6, 2)", "nn.Sequential(nn.Linear(6, 256), nn.ReLU(), nn.Linear(256, 2))").replace(
        "range(20)", "range(60)"
    )
    losses = [figure["value"] for figure in figures(observed(program, shuffle_labels=4).log, "loss")]
    assert sum(losses[-4:]) < 0.2 * sum(losses[:4])


def test_operations_without_a_deterministic_kernel_are_named(observed: Run) -> None:
    """With deterministic algorithms asked for, torch's warnings become figures with the user's line."""
    program = "x = torch.zeros(4)\nx.put_(torch.tensor([1, 2]), torch.tensor([1.0, 2.0]))\nprint(x)\n"
    outcome = observed(program, deterministic=True)
    (found,) = figures(outcome.log, "operation")
    assert found["name"] == "put_"
    assert found["line"] == ("train.py", FIRST + 1)
    assert "does not have a deterministic" not in outcome.output


def test_determinism_switches_are_events(observed: Run) -> None:
    """Calls and assignments both; the flags in force at the first forward pass are a figure."""
    program = (
        "torch.use_deterministic_algorithms(True)\ntorch.backends.cudnn.benchmark = True\nnn.Linear(6, 1)(torch.tensor(X))\n"
    )
    log = observed(program).log
    switches = [(line(one), one.fields["flag"], one.fields["value"]) for one in events(log, "Determinism")]
    assert switches == [(1, "all-ops", True), (2, "cudnn-benchmark", True)]
    (flags,) = figures(log, "flags")
    assert (flags["deterministic"], flags["cudnn_benchmark"], flags["cudnn_deterministic"]) == (True, True, False)


def test_a_forced_seed_takes_the_place_of_the_programs_own(observed: Run) -> None:
    """The same forced seed gives the same numbers, another one others; the program's call is still an event."""
    program = "print('drawn', torch.rand(1).item())\n"
    first, second = (observed(program, seed=seed).output for seed in (1, 2))
    assert first != second
    assert observed(program + "\n", seed=1).output == first
    assert [line(one) for one in events(observed(program, seed=1).log, "Seed")] == [-3]
    unseeding = "torch.seed()\n" + program
    assert observed(unseeding, seed=1).output == observed(unseeding, seed=1).output


# -- nothing changes -----------------------------------------------------------------------------------------------------


def test_a_program_computes_the_same_with_and_without_probes(tmp_path: Path) -> None:
    """Results bit by bit, and the state of all generators, over scripting, tracing, compiling, function transforms, workers,
    saved models, hooks and much else."""
    example = Path(__file__).parent / "examples" / "torch_features.py"
    shutil.copy(example, tmp_path / "alone.py")
    alone = subprocess.run([sys.executable, "alone.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert alone.returncode == 0, alone.stderr[-2000:]
    outcome = execute(tmp_path, example.read_text(), limits=Limits(seconds=300))
    assert outcome.finished, outcome.reason
    told = [text for text in alone.stdout.splitlines() if text]
    assert [text for text in outcome.output.splitlines() if text in told] == told
    assert not figures(outcome.log, "probe-failed")
