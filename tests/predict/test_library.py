"""What library calls mean: randomness, devices, loaders, listings, choices, and what the project as a whole holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mllint_bio.events import (
    Device,
    Draw,
    Fit,
    Generator,
    Load,
    Loader,
    Predict,
    Report,
    Resample,
    Score,
    Select,
    Split,
    Step,
    Unordered,
    Weights,
)
from mllint_bio.rows import Answer
from mllint_bio.trace import Trace

Run = Callable[..., Trace]

TABLES = """\
import numpy as np
X, y = np.load("x.npy"), np.load("y.npy")
print("a program")
"""
OPTUNA = (
    TABLES
    + """
import optuna
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
def objective(trial):
    return {result}
study = optuna.create_study({given})
study.optimize(objective, n_trials=9)
final = SVC({final}).fit(X, y)
"""
)
AREA = 'cross_val_score(SVC(C=trial.suggest_float("C", 1, 2)), X, y, scoring="roc_auc").mean()'


class TestDraws:
    """Who draws, from which generator, when."""

    @pytest.mark.parametrize(
        ("code", "drawn"),
        [
            ("from sklearn.ensemble import RandomForestClassifier\nRandomForestClassifier().fit(X, y)", [("numpy", "estimator")]),
            ("from sklearn.ensemble import RandomForestClassifier\nRandomForestClassifier(random_state=0).fit(X, y)", []),
            ("from sklearn.svm import SVC\nSVC().fit(X, y)", []),
            ("from sklearn.linear_model import LogisticRegression as L\nL(solver='saga').fit(X, y)", [("numpy", "estimator")]),
            ("from sklearn.model_selection import train_test_split\ntrain_test_split(X)", [("numpy", "split")]),
            ("from sklearn.model_selection import train_test_split\ntrain_test_split(X, shuffle=False)", []),
            ("import torch\ntorch.nn.Linear(2, 1)", [("torch", "init")]),
            ("np.random.default_rng(0).normal()", []),
            ("np.random.default_rng().permutation(X)", [("own", "other")]),
        ],
    )
    def test_stream_and_purpose(self, run: Run, code: str, drawn: list[tuple[str, str]]) -> None:
        """Arguments decide whether a call draws; a seed of its own means that it does not."""
        assert [(draw.stream, draw.purpose) for draw in run(f"{TABLES}{code}\n").of(Draw)] == drawn

    def test_the_last_step_of_a_pipeline_draws(self, run: Run) -> None:
        """The fit of the pipeline is random because its forest is; the forest is who draws."""
        trace = run(
            TABLES
            + """
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
make_pipeline(StandardScaler(), RandomForestClassifier()).fit(X, y)
"""
        )
        (draw,) = trace.of(Draw)
        assert draw.subject is not None and draw.subject.label == "RandomForestClassifier"
        assert [bool(fit.stochastic) for fit in trace.of(Fit)] == [False, True]
        assert [subject.label for subject in trace.subjects("estimator.baseline")] == ["RandomForestClassifier"]

    @pytest.mark.parametrize(("jobs", "processes"), [("", False), (", n_jobs=1", False), (", n_jobs=4", True)])
    def test_pools(self, run: Run, jobs: str, processes: bool) -> None:
        """`n_jobs` of a cross-validation or a search hands the fit to other processes."""
        head = TABLES + "from sklearn.ensemble import RandomForestClassifier as R\nfrom sklearn.model_selection import *\n"
        for call in (f"cross_val_score(R(), X, y{jobs})", f"GridSearchCV(R(), {{'max_depth': [1]}}{jobs}).fit(X, y)"):
            assert {draw.processes for draw in run(f"{head}{call}\n").of(Draw)} == {processes}

    def test_an_order_is_drawn_when_a_loader_is_iterated(self, run: Run) -> None:
        """A loader that is built draws nothing yet; a sampler draws on its behalf."""
        head = TABLES + "from torch.utils.data import DataLoader, RandomSampler, TensorDataset\ndata = TensorDataset(X, y)\n"
        built = "loader = DataLoader(data, shuffle=True)\n"
        assert not list(run(head + built).of(Draw))
        assert [draw.purpose for draw in run(head + built + "for x in loader: pass\n").of(Draw)] == ["order"]
        sampled = "for x in DataLoader(data, sampler=RandomSampler(data)): pass\n"
        assert [draw.purpose for draw in run(head + sampled).of(Draw)] == ["order"]

    @pytest.mark.parametrize(
        ("made", "stream", "seeded"),
        [
            ("np.random.permutation(len(X))", "numpy", False),
            ("np.random.default_rng().permutation(len(X))", "own", False),
            ("np.random.default_rng(3).permutation(len(X))", "own", True),
        ],
    )
    def test_a_sliced_permutation_is_a_split(self, run: Run, made: str, stream: str, seeded: bool) -> None:
        """The split knows which generator made its order, and whether that is seeded."""
        trace = run(f"{TABLES}order = {made}\ntrain, test = X[order[:400]], X[order[400:]]\n")
        (split,) = trace.of(Split)
        assert (split.shuffles, split.stream, split.seeded) == (True, stream, seeded)
        first, second = split.parts
        assert first.disjoint(second)

    def test_places_of_generators(self, run: Run) -> None:
        """A generator is made in the module, a constructor, an item, or another function."""
        trace = run(
            """
            import numpy as np
            from torch.utils.data import DataLoader, Dataset
            a = np.random.default_rng(0)
            class Tiles(Dataset):
                def __init__(self): self.rng, self.unused = np.random.default_rng(1), np.random.default_rng(9)
                def __len__(self): return 3
                def __getitem__(self, index):
                    np.random.default_rng(2)
                    return self.turn(index)
                def turn(self, index): return self.rng.integers(4) + a.normal()
            def f(): return np.random.default_rng(3)
            f()
            for x in DataLoader(Tiles(), num_workers=2): pass
            """
        )
        made = {
            generator.place: generator.subject for generator in trace.of(Generator) if generator.subject.given.get("seed") != 9
        }
        assert set(made) == {"module", "__init__", "__getitem__", "function"}
        (loader,) = trace.of(Loader)
        assert set(loader.generators) == {made["__init__"], made["module"]}  # those that an item uses
        assert loader.workers == 2

    def test_a_loader_without_workers(self, run: Run) -> None:
        """Without `num_workers` a loader works in the program itself."""
        trace = run(TABLES + "from torch.utils.data import DataLoader, TensorDataset\nDataLoader(TensorDataset(X))\n")
        assert [loader.workers for loader in trace.of(Loader)] == [0]


class TestDevices:
    """Where a network goes."""

    @pytest.mark.parametrize(
        ("code", "conditional"),
        [
            ("net.cuda()", False),
            ("net.to('cuda:0')", False),
            ("device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\nnet.to(device)", True),
            ("device = 'cuda' if torch.cuda.is_available() else 'cpu'\nnet.to(device)", True),
            ("if torch.cuda.is_available():\n    net.cuda()", True),
        ],
    )
    def test_conditional(self, run: Run, code: str, conditional: bool) -> None:
        """Moving to a device only if there is one is not the same as moving there."""
        trace = run(f"import torch\nnet = torch.nn.Linear(2, 1)\nprint(net)\n{code}\n")
        (moved,) = [event for event in trace.of(Device) if event.module is not None]
        assert (moved.device, moved.conditional) == ("cuda", conditional)


class TestUnordered:
    """Listings and sets whose order has consequences."""

    @pytest.mark.parametrize(
        ("code", "found"),
        [
            ("paths = glob.glob('*')\na, b = paths[:300], paths[300:]", [("split", "glob")]),
            ("a, b = train_test_split(os.listdir('d'))", [("split", "listdir")]),
            ("codes = {n: i for i, n in enumerate(set(table['name']))}", [("labels", "set")]),
            ("names = list(set(table['name']))\ncodes = dict(zip(names, range(len(names))))", [("labels", "set")]),
            ("for i, m in zip(os.listdir('i'), os.listdir('m')): pass", [("pairing", "listdir")]),
            ("paths = sorted(glob.glob('*'))\na, b = paths[:300], paths[300:]", []),
            ("codes = {n: i for i, n in enumerate(sorted(set(table['name'])))}", []),
            ("paths = os.listdir('d')\npaths.sort()\na, b = paths[:300], paths[300:]", []),
            ("paths = natsorted(os.listdir('d'))\na, b = paths[:300], paths[300:]", []),
            ("paths = list(Path('d').glob('*'))\na, b = paths[:300], paths[300:]", [("split", "glob")]),
            ("paths = sorted(Path('d').iterdir(), key=str)\na, b = train_test_split(paths)", []),
            ("a, b = train_test_split(list(set(table['age'])))", []),  # numbers, for all that is known
            ("print(len(os.listdir('d')), 'a' in set(table['name']))", []),
            ("for n in set(table['name']): print(n)", []),
            ("for i, m in zip(sorted(os.listdir('i')), sorted(os.listdir('m'))): pass", []),
        ],
    )
    def test_use(self, run: Run, code: str, found: list[tuple[str, str]]) -> None:
        """A split, class codes and a pairing depend on the order; counting, membership and sorted copies do not."""
        head = "import glob\nimport os\nfrom pathlib import Path\nimport pandas as pd\nfrom natsort import natsorted\n"
        head += "from sklearn.model_selection import train_test_split\n"
        trace = run(f"{head}table = pd.read_csv('t.csv')\nprint(table)\n{code}\n")
        assert [(event.use, event.what.rpartition(".")[2]) for event in trace.of(Unordered)] == found


class TestChoices:
    """Selections know the direction in which they choose."""

    @pytest.mark.parametrize(
        ("given", "result", "direction"),
        [
            ("", AREA, "down"),
            ("", "-" + AREA, "up"),
            ("", "1 - " + AREA, "up"),
            ("direction='maximize'", AREA, "up"),
            ("direction='maximize'", "2 * " + AREA, "up"),
            ("direction='maximize'", "-1 * " + AREA, "down"),
            ("direction=trial", AREA, ""),
        ],
    )
    def test_direction_of_a_study(self, run: Run, given: str, result: str, direction: str) -> None:
        """Defaults count, and a negated figure turns the direction round."""
        (select,) = run(OPTUNA.format(given=given, result=result, final="")).of(Select)
        assert (select.what, select.direction) == ("hyperparameter", direction)

    @pytest.mark.parametrize(
        "final", ["C=study.best_params['C']", "**study.best_params", "kernel='rbf', C=study.best_params.get('C')"]
    )
    def test_searched_arguments(self, run: Run, final: str) -> None:
        """A model whose arguments come from a search was tuned."""
        fits = list(run(OPTUNA.format(given="", result=AREA, final=final)).of(Fit))
        assert [bool(fit.subject.facts.get("tuned")) for fit in fits] == [False, True]

    @pytest.mark.parametrize(
        ("callback", "direction"),
        [("monitor='val_auc'", "down"), ("monitor='val_auc', mode='max'", "up"), ("monitor='val_auc', mode=args.mode", "")],
    )
    def test_callbacks_choose_where_they_are_built(self, run: Run, callback: str, direction: str) -> None:
        """A callback of Lightning compares by its `mode`, which is `min` unless given."""
        trace = run(
            "import lightning as pl\nfrom lightning.pytorch.callbacks import EarlyStopping\n"
            f"import argparse\nargs = argparse.ArgumentParser().parse_args()\nstop = EarlyStopping({callback})\n"
            "pl.Trainer(callbacks=[stop]).fit(pl.LightningModule())\n"
        )
        (select,) = trace.of(Select)
        assert (select.metric, select.direction) == ("val_auc", direction)
        assert select.subject is not None and select.at != next(trace.of(Fit)).at

    def test_traits_of_models(self, run: Run) -> None:
        """The catalog says which models tune themselves and which have nothing to tune."""
        trace = run(
            TABLES
            + "from sklearn.linear_model import LassoCV, LinearRegression, Ridge\n"
            + "for m in LassoCV(), LinearRegression(), Ridge(): m.fit(X, y)\n"
        )
        facts = {fit.subject.label: sorted({"tunes_itself", "parameter_free"} & set(fit.subject.facts)) for fit in trace.of(Fit)}
        assert facts == {"LassoCV": ["tunes_itself"], "LinearRegression": ["parameter_free"], "Ridge": []}

    def test_kept_weights_are_loaded_by_name(self, run: Run) -> None:
        """A variable that is None before the first epoch still names the weights that are loaded."""
        trace = run(
            """
            import torch
            net = torch.nn.Linear(2, 1)
            best, kept = 9.0, None
            for epoch in range(9):
                loss = torch.nn.MSELoss()(net(torch.load("x.pt")), torch.load("y.pt")).item()
                if loss < best:
                    best, kept = loss, net.state_dict()
            net.load_state_dict(kept)
            """
        )
        assert [(weights.action, weights.name) for weights in trace.of(Weights)] == [("reference", "kept"), ("load", "kept")]
        assert next(trace.of(Weights)).improving

    def test_condensed_figures(self, run: Run) -> None:
        """A report says how several figures were condensed before."""
        trace = run(
            TABLES
            + "from sklearn.model_selection import cross_val_score\nfrom sklearn.svm import SVC\n"
            + "scores = cross_val_score(SVC(), X, y)\nprint(scores.mean(), scores.std())\nprint(scores.max())\n"
        )
        assert [report.shown for report in trace.of(Report)] == [{"mean", "spread"}, {"max"}]


NETWORK = """\
import torch
from torch import nn
net = nn.Linear(2, 1)
optimizer = torch.optim.Adam(net.parameters())
nn.MSELoss()(net(torch.load("x.pt")), torch.load("y.pt")).backward()
optimizer.step()
"""


MEASURED = """\
import numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
table = pd.read_csv("cohort.csv")
x, y = table.drop(columns="relapse"), table["relapse"]
model = LogisticRegression().fit(x[:80], y[:80])
y_pred, y_true = model.predict(x[80:]), y[80:]
"""
METER = """\
class Meter:
    def __init__(self):
        self.sum = self.n = 0
    def update(self, value, n=1):
        self.sum += value * n
        self.n += n
        self.avg = self.sum / self.n
    {method}
meter = Meter()
meter.update(f1_score(y_true, y_pred))
"""
SHOWS_ITSELF = METER.format(method="def __str__(self):\n        return f'{self.avg:.3f}'")
NESTED = """\
r = defaultdict(lambda: defaultdict(list))
for k in table:
    r[k]['f1'].append(f1_score(y_true, y_pred))
print(r)
"""
FIGURES = """\
from dataclasses import asdict, dataclass
@dataclass
class Figures:
    f1: float
    n: int = 0
figures = Figures(f1_score(y_true, y_pred))
"""


class TestReaders:
    """Figures are followed through whatever holds them until a reader sees them."""

    @pytest.mark.parametrize(
        "code",
        [
            "from collections import defaultdict\nr = defaultdict(list)\nr['f1'].append(f1_score(y_true, y_pred))\nprint(r)",
            f"from collections import defaultdict\n{NESTED}",
            "r = {}\nfor k in table:\n    r.setdefault(k, []).append(f1_score(y_true, y_pred))\nprint(r)",
            "r = {}\nr.setdefault('a', {})['f1'] = f1_score(y_true, y_pred)\nprint(r)",
            "r = {'m': 1}\nr.update(f1_score(y_true, y_pred))\nprint(r)",
            "t = pd.DataFrame(columns=['f1'])\nt.loc[len(t)] = ['a', f1_score(y_true, y_pred)]\nt.to_csv('t.csv')",
            "t = pd.DataFrame()\nt.at[0, 'f1'] = f1_score(y_true, y_pred)\nprint(t)",
            "t = pd.DataFrame()\nt = t.append({'f1': f1_score(y_true, y_pred)}, ignore_index=True)\nt.to_csv('t.csv')",
            "t = pd.DataFrame(0, index=['a'], columns=['f1'])\nt['f1']['a'] = f1_score(y_true, y_pred)\nprint(t)",
            "r = np.array([])\nr = np.append(r, f1_score(y_true, y_pred))\nprint(r.mean())",
            METER.format(method="") + "print('f1 {m.avg:.3f}'.format(m=meter))",
            METER.format(method="") + "print('f1 {avg:.3f}'.format(**vars(meter)))",
            SHOWS_ITSELF + "print(meter)",
            SHOWS_ITSELF + "print('\\t'.join([str(m) for m in [meter]]))",
            SHOWS_ITSELF + "print(f'f1 {meter}')",
            FIGURES + "print(figures)",
            FIGURES + "import json\njson.dump(asdict(figures), open('r.json', 'w'))",
            "n = 0\nfor p, t in zip(y_pred, y_true):\n    if p == t:\n        n += 1\nprint(n / len(y_true))",
            "print(sum(1 for p, t in zip(y_pred, y_true) if p == t) / len(y_true))",
            "tp = ((y_pred == 1) & (y_true == 1)).sum()\nprint(tp / (y_true == 1).sum())",
            "from loguru import logger\nlogger.info(f'f1 {f1_score(y_true, y_pred)}')",
            "from rich.console import Console\nConsole().print(f1_score(y_true, y_pred))",
            "import streamlit as st\nst.metric('f1', f1_score(y_true, y_pred))",
            "import sys\nsys.stdout.write(str(f1_score(y_true, y_pred)))",
            "from prettytable import PrettyTable\nt = PrettyTable()\nt.add_row(['f1', f1_score(y_true, y_pred)])\nprint(t)",
            "import wandb\nwandb.init()\nwandb.summary['f1'] = f1_score(y_true, y_pred)",
        ],
    )
    def test_reported(self, run: Run, code: str) -> None:
        """One figure, one report of it."""
        trace = run(f"{MEASURED}{code}\n")
        (score,) = trace.of(Score)
        assert [report.scores for report in trace.of(Report)] == [{score.id}]

    def test_no_truth(self, run: Run) -> None:
        """Rows of a group that are predicted to be ill are no comparison with the truth."""
        assert not list(run(f"{MEASURED}print(((y_pred == 1) & (table['age'] > 60)).sum())\n").of(Score))


class TestProject:
    """What the project as a whole holds."""

    @pytest.mark.parametrize(
        ("files", "baselines"),
        [
            ({}, False),
            ({"README.py": "print('forest')\n"}, False),
            ({"other/baseline.py": "from sklearn.linear_model import RidgeCV\n"}, True),
            ({"baseline.ipynb": '{"cells": [{"source": "XGBClassifier()"}]}'}, True),
            ({"analysis.R": "fit <- glmnet(x, y)\n"}, True),
        ],
    )
    def test_baselines(self, run: Run, files: dict[str, str], baselines: bool) -> None:
        """A conventional model anywhere in the project counts, in R and in notebooks too."""
        assert run(NETWORK, files).project_baselines is baselines

    @pytest.mark.parametrize(("folder", "others", "elsewhere"), [("far", 3, True), ("far", 99, False), ("", 99, True)])
    def test_tested_elsewhere_in_a_collection(self, run: Run, folder: str, others: int, elsewhere: bool) -> None:
        """Of a collection of programs only those of one folder belong together."""
        choice = "best = max(roc_auc_score(y, y > t) for t in (0.2, 0.5))\nif best > 0.5:\n    print(best)\n"
        program = "from sklearn.metrics import roc_auc_score\n" + TABLES + choice
        tests = {f"{folder or '.'}/evaluate.py": "net.load_state_dict(torch.load('net.pt'))\nscore(net, test_loader)\n"}
        assert run(program, {**{f"other/{n}.py": "" for n in range(others)}, **tests}).tested_elsewhere is elsewhere

    @pytest.mark.parametrize(
        ("text", "elsewhere"),
        [
            ("net.load_state_dict(torch.load('net.pt'))\nscore(net, test_loader)\n", True),
            ("saved.restore(tf.train.latest_checkpoint(folder))\nscore(net, ds_test)\n", True),
            ("net.load_state_dict(torch.load('net.pt'))\nscore(net, val_loader)\n", False),
            ("net.load_state_dict(torch.load('net.pt'))\nloss.backward()\nscore(net, test_loader)\n", False),
        ],
    )
    def test_tested_elsewhere(self, run: Run, text: str, elsewhere: bool) -> None:
        """Another file that puts weights back and names a test part is where the model is tested, unless it trains as well."""
        choice = "best = max(roc_auc_score(y, y > t) for t in (0.2, 0.5))\nif best > 0.5:\n    print(best)\n"
        program = "from sklearn.metrics import roc_auc_score\n" + TABLES + choice
        assert run(program, {"evaluate.py": text}).tested_elsewhere is elsewhere

    def test_asked_of_programs_with_networks(self, run: Run) -> None:
        """A program without a network needs no answer."""
        assert run(TABLES).project_baselines is None


@pytest.mark.parametrize(
    "parameters",
    [
        "[*a.parameters(), *b.parameters()]",
        "list(a.parameters()) + list(b.parameters())",
        "[{'params': a.parameters()}, {'params': b.parameters()}]",
    ],
)
def test_optimizer_of_two_networks(run: Callable[..., Trace], parameters: str) -> None:
    """One optimizer may hold the parameters of several networks, however they are put together."""
    trace = run(
        f"""
        import torch
        from torch import nn
        a, b = nn.Linear(3, 3), nn.Linear(3, 1)
        optimizer = torch.optim.Adam({parameters})
        x = torch.load("x.pt")
        for epoch in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(b(a(x)), x).backward()
            optimizer.step()
        """
    )
    (step,) = trace.of(Step)
    assert {part.name for part in step.subject.parts} == {"a", "b"}


class TestRowsByNumber:
    """Which rows positions, slices and drawn arrays stand for."""

    FIT = """
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
X, y = load_breast_cancer(return_X_y=True)
{indices}
LogisticRegression().fit(X[a], y[a])
LogisticRegression().fit(X[b], y[b])
"""

    @pytest.mark.parametrize(
        ("indices", "shared"),
        [
            ("a, b = np.arange(0, 400), np.arange(400, 569)", Answer.NO),
            ("n = int(0.7 * len(X))\na, b = np.arange(n), np.arange(n, len(X))", Answer.NO),
            ("a, b = list(range(0, 400)), list(range(100, 569))", Answer.YES),
            ("a, b = slice(0, 400), slice(400, None)", Answer.NO),
            ("a = b = np.arange(0, 400)", Answer.YES),
            ("import json\ncfg = json.load(open('cfg'))\na, b = np.arange(*cfg['a']), np.arange(*cfg['b'])", Answer.UNKNOWN),
            ("import json\na, b = json.load(open('cfg'))", Answer.UNKNOWN),
            ("import json\na = b = json.load(open('cfg'))['rows']", Answer.YES),
        ],
    )
    def test_rows_at_positions(self, run: Run, indices: str, shared: Answer) -> None:
        """Counted positions are slices; two indices of unknown content choose rows of which nothing is known."""
        first, second = run(TABLES + self.FIT.format(indices=indices)).of(Fit)
        assert first.data.rows.overlap(second.data.rows) is shared
        assert first.data.rows.same_table(second.data.rows)

    @pytest.mark.parametrize(
        ("made", "known"),
        [
            ("Z = np.random.normal(size=(100, 5))", True),
            ("Z = np.random.randn(100, 5)", True),
            ("Z = np.random.default_rng(0).integers(0, 9, (100, 5))", True),
            ("Z = np.random.normal(size=X.shape)", False),
            ("Z = np.random.normal(0, 1, 2)", False),
        ],
    )
    def test_drawn_arrays_are_rows_where_they_are_data(self, run: Run, made: str, known: bool) -> None:
        """What is drawn in a size of its own and fitted is a table; noise in the shape of something else is none."""
        (fit,) = run(f"{TABLES}from sklearn.cluster import KMeans\n{made}\nKMeans(random_state=0).fit(Z)\n").of(Fit)
        assert fit.data.rows.known is known

    def test_noise_keeps_the_rows_that_it_is_added_to(self, run: Run) -> None:
        """A noisy table has the rows of the table."""
        code = "from sklearn.cluster import KMeans\nZ = X + np.random.normal(size=(100, 5))\nKMeans(random_state=0).fit(Z)\n"
        (fit,) = run(TABLES + code).of(Fit)
        assert fit.data.rows.label == "x.npy"


def test_mode_switched_by_name_is_not_certain(run: Run) -> None:
    """After a method that cannot be named, whether the mode matters is unknown; a plain switch settles it again."""
    trace = run(
        """
        import json, torch
        from torch import nn
        net = nn.Sequential(nn.Linear(3, 1), nn.Dropout())
        net(torch.ones(2, 3))
        getattr(net, json.load(open("phase")))()
        net(torch.ones(2, 3))
        net.train()
        net(torch.ones(2, 3))
        """
    )
    assert [predict.mode_dependent for predict in trace.of(Predict)] == [True, None, True]


def test_positions_of_a_sequential_search_choose_columns(run: Run) -> None:
    trace = run(
        TABLES
        + """
from mlxtend.feature_selection import SequentialFeatureSelector
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
found = SequentialFeatureSelector(SVC(), k_features=50).fit(X, y)
chosen = X[:, found.k_feature_idx_]
X_train, X_test, y_train, y_test = train_test_split(chosen, y, random_state=0)
print(f1_score(y_test, SVC().fit(X_train, y_train).predict(X_test)))
"""
    )
    (leak,) = trace.leaks()
    assert leak[0].role == "feature-selector.supervised"


def test_median_of_what_is_no_gap_is_of_all_rows(run: Run) -> None:
    trace = run(
        """
import pandas as pd
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
women = pd.read_csv("women.csv")
women.loc[women["bmi"] == 0, "bmi"] = women.loc[women["bmi"] != 0, "bmi"].median()
train, test = train_test_split(women, random_state=0)
model = SVC().fit(train[["bmi"]], train["diabetes"])
print(f1_score(test["diabetes"], model.predict(test[["bmi"]])))
"""
    )
    (leak,) = trace.leaks()
    assert leak[0].method == "fill"


class TestTablesFromFiles:
    """Tables that a loop puts together from files."""

    @pytest.mark.parametrize(
        ("start", "grow"),
        [
            ("pd.DataFrame()", "table = pd.concat([table, part])"),
            ("None", "table = part if table is None else pd.concat([table, part])"),
        ],
    )
    def test_rows_of_a_growing_table(self, run: Run, start: str, grow: str) -> None:
        """Its rows are those of the files, each once: known for what is learned of them, and no copies."""
        trace = run(
            f"""
            import pandas as pd
            from sklearn.preprocessing import StandardScaler
            table = {start}
            for number in range(20):
                part = pd.read_csv(f"plate_{{number}}.csv")
                {grow}
            StandardScaler().fit(table)
            """
        )
        (fit,), (load,) = trace.of(Fit), trace.of(Load)
        assert fit.data.rows == load.data.rows
        assert not list(trace.of(Resample))
