"""Trees of source files to measure on: made here, or copied from the running Python, so that every machine has them."""

from __future__ import annotations

import shutil
import sysconfig
from itertools import count
from pathlib import Path

# Packages of the standard library: real code of many hands that trains nothing.
ORDINARY = (
    "asyncio",
    "concurrent",
    "ctypes",
    "email",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "multiprocessing",
    "unittest",
    "wsgiref",
    "xml",
)

DATA = '''\
"""Cohort {n}: expression table, labels and loaders."""

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset


class Cohort{n}(Dataset):
    """Samples of one hospital with their diagnosis."""

    def __init__(self, values, labels, transform=None):
        self.values = torch.tensor(np.asarray(values), dtype=torch.float32)
        self.labels = torch.tensor(np.asarray(labels), dtype=torch.long)
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        sample = self.values[index]
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, self.labels[index]


def read_table(path, minimum=0.1):
    """Counts per million on a log scale; genes that are hardly expressed are left out."""
    table = pd.read_csv(path, index_col=0)
    groups = table.pop("patient")
    labels = table.pop("diagnosis").map({{"healthy": 0, "disease": 1}})
    table = np.log1p(table.div(table.sum(axis=1), axis=0) * 1e6)
    expressed = [gene for gene in table.columns if (table[gene] > 0).mean() > minimum]
    return table[expressed], labels, groups


def loaders_{n}(path, batch_size=32, seed=0):
    """Loaders of three parts that share no patient."""
    values, labels, groups = read_table(path)
    outer = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=seed)
    rest, test = next(outer.split(values, labels, groups))
    inner = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=seed)
    train, valid = next(inner.split(values.iloc[rest], labels.iloc[rest], groups.iloc[rest]))
    scaler = StandardScaler().fit(values.iloc[rest].iloc[train])
    parts = {{}}
    for name, rows in (("train", rest[train]), ("valid", rest[valid]), ("test", test)):
        scaled = scaler.transform(values.iloc[rows])
        parts[name] = DataLoader(Cohort{n}(scaled, labels.iloc[rows]), batch_size=batch_size, shuffle=name == "train")
    return parts
'''

MODEL = '''\
"""Network {n} for expression profiles."""

import torch
from torch import nn


class Block{n}(nn.Module):
    """Two linear layers around a shortcut."""

    def __init__(self, width, dropout=0.3):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        hidden = torch.relu(self.norm(self.first(x)))
        return x + self.second(self.dropout(hidden))


class Classifier{n}(nn.Module):
    """Blocks between an embedding and a linear head; gives logits."""

    def __init__(self, genes, width=256, depth=4, classes=2):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(genes, width), nn.ReLU())
        self.blocks = nn.ModuleList([Block{n}(width) for _ in range(depth)])
        self.head = nn.Linear(width, classes)
        self.reset()

    def reset(self):
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
'''

TRAIN = '''\
"""Train and evaluate network {n}."""

import argparse
import copy
import random

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from torch import nn

from data_{n} import loaders_{n}
from model_{n} import Classifier{n}


def set_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def run_epoch(model, loader, loss_function, optimizer, device):
    model.train()
    total = 0.0
    for values, labels in loader:
        values, labels = values.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = loss_function(model(values), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def predict(model, loader, device):
    model.eval()
    scores, truth = [], []
    for values, labels in loader:
        scores.append(torch.softmax(model(values.to(device)), dim=1)[:, 1].cpu().numpy())
        truth.append(labels.numpy())
    return np.concatenate(scores), np.concatenate(truth)


def baseline(parts, candidates=(0.01, 0.1, 1.0, 10.0)):
    """Logistic regression whose penalty is chosen on the validation part."""
    arrays = {{name: (loader.dataset.values.numpy(), loader.dataset.labels.numpy()) for name, loader in parts.items()}}
    best, chosen = -1.0, None
    for penalty in candidates:
        model = LogisticRegression(C=penalty, max_iter=1000).fit(*arrays["train"])
        score = roc_auc_score(arrays["valid"][1], model.predict_proba(arrays["valid"][0])[:, 1])
        if score > best:
            best, chosen = score, model
    return roc_auc_score(arrays["test"][1], chosen.predict_proba(arrays["test"][0])[:, 1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--patience", type=int, default=5)
    parser.add_argument("--seed", type=int, default={n})
    options = parser.parse_args()
    set_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parts = loaders_{n}(options.table, seed=options.seed)
    model = Classifier{n}(parts["train"].dataset.values.shape[1]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    loss_function = nn.CrossEntropyLoss()
    best, weights, waited = -1.0, None, 0
    for epoch in range(options.epochs):
        loss = run_epoch(model, parts["train"], loss_function, optimizer, device)
        scores, truth = predict(model, parts["valid"], device)
        score = roc_auc_score(truth, scores)
        print(f"{{epoch}}: loss {{loss:.4f}}, validation {{score:.4f}}")
        if score > best:
            best, weights, waited = score, copy.deepcopy(model.state_dict()), 0
        else:
            waited += 1
            if waited >= options.patience:
                break
    model.load_state_dict(weights)
    scores, truth = predict(model, parts["test"], device)
    print("area under the curve", roc_auc_score(truth, scores))
    print("average precision", average_precision_score(truth, scores))
    print("balanced accuracy", balanced_accuracy_score(truth, scores > 0.5))
    print("baseline", baseline(parts))


if __name__ == "__main__":
    main()
'''


def ordinary(folder: Path, lines: int | None = None) -> int:
    """Copy standard-library packages into a folder, again and again until there are so many lines; returns the lines copied."""
    library = Path(sysconfig.get_path("stdlib"))
    total = 0
    for turn in count():
        for package in ORDINARY:
            target = folder / f"copy_{turn}" / package
            shutil.copytree(library / package, target, ignore=shutil.ignore_patterns("__pycache__", "test", "tests"))
            total += _lines(target)
            if lines is not None and total >= lines:
                return total
        if lines is None:
            return total
    raise AssertionError("counts for ever")


def training(folder: Path, lines: int) -> int:
    """Write small PyTorch projects (data, model and training script) until there are so many lines; returns the lines."""
    total = 0
    for n in count():
        project = folder / f"project_{n}"
        project.mkdir(parents=True)
        for name, text in (("data", DATA), ("model", MODEL), ("train", TRAIN)):
            (project / f"{name}_{n}.py").write_text(text.format(n=n))
        total += _lines(project)
        if total >= lines:
            return total
    raise AssertionError("counts for ever")


def long_script(lines: int) -> str:
    """One training script of about so many lines: the networks, data functions and loop of several projects in one file."""
    imports, parts = set(), []
    size = 0
    for n in count():
        for template in (DATA, MODEL, TRAIN):
            body = (
                template.format(n=n)
                .split('"""\n', 1)[1]
                .replace('if __name__ == "__main__":\n    main()\n', f"main_{n} = main\n")
            )
            kept = [line for line in body.splitlines() if not line.startswith(("import ", "from "))]
            imports |= {line for line in body.splitlines() if line.startswith(("import ", "from ")) and f"_{n} " not in line}
            parts += kept
        size = len(parts) + len(imports)
        if size >= lines:
            return "\n".join(
                [*sorted(imports), *parts[: lines - len(imports)], "", 'if __name__ == "__main__":', "    main()", ""]
            )
    raise AssertionError("counts for ever")


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.py"))
