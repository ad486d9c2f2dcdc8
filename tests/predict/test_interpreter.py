"""What a program does, in which order, as the interpreter predicts it: control flow, functions, classes, imports."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mllint_bio.events import Draw, Fit, Load, LoopKind, Loss, Predict, Score, Seed, Split
from mllint_bio.predict import Analysis
from mllint_bio.rows import Answer
from mllint_bio.trace import Trace

Run = Callable[..., Trace]
Analyse = Callable[..., Analysis]

SPLIT = """\
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
X, y = np.load("x.npy"), np.load("y.npy")
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
"""


def names(trace: Trace) -> list[str]:
    """Kinds of the events, in order."""
    return [type(event).__name__ for event in trace.events]


def seeds(trace: Trace) -> list[object]:
    """Values of the seed calls, in order."""
    return [seed.value for seed in trace.of(Seed)]


class TestPrograms:
    """A script from top to bottom."""

    def test_events_in_order(self, run: Run) -> None:
        """Load, split, fit, predict, score, report: as a person runs it."""
        trace = run(
            SPLIT + "model = LogisticRegression().fit(X_train, y_train)\nprint(accuracy_score(y_test, model.predict(X_test)))\n"
        )
        assert names(trace) == ["Load", "Load", "Split", "Fit", "Predict", "Score", "Report"]
        split, fit, score = next(trace.of(Split)), next(trace.of(Fit)), next(trace.of(Score))
        assert (fit.data.rows, score.data.rows) == split.parts
        assert score.fitted == fit.data.rows
        assert trace.held_out(score) and trace.reported(score)

    def test_rows_follow_names(self, run: Run) -> None:
        """Attributes, containers and unpacking keep the rows of what they hold."""
        trace = run(
            SPLIT
            + """
data = {"train": (X_train, y_train), "test": [X_test, y_test]}
class Box: pass
box = Box()
box.part = data["test"]
(held, *rest), first = box.part, data["train"][0]
LogisticRegression().fit(first, y_train)
LogisticRegression().fit(held, rest[0])
"""
        )
        train, test = next(trace.of(Split)).parts
        first, second = trace.of(Fit)
        assert (first.data.rows, second.data.rows) == (train, test)
        assert second.target.name == "y_test"

    def test_member_by_a_key_that_is_not_known(self, run: Run) -> None:
        """It may be any member of the mapping, or none of them."""
        trace = run(
            SPLIT
            + """
import sys
model = {"strong": LogisticRegression(C=0.1), "weak": LogisticRegression(C=9)}.get(sys.argv[1])
if model is None:
    sys.exit("which model?")
model.fit(X_train, y_train)
"""
        )
        assert [fit.subject.given.get("C") for fit in trace.of(Fit)] == [0.1, 9]

    def test_branches_join(self, run: Run) -> None:
        """What stands in an arm is marked with it; arms exclude each other; what follows holds for both."""
        trace = run(
            SPLIT
            + """
if len(X) > 100:
    np.random.seed(1)
    chosen = X_train
else:
    np.random.seed(2)
    chosen = X_test
LogisticRegression().fit(chosen, y)
"""
        )
        first, second = trace.of(Seed)
        assert Trace([], "script", "").exclusive(first, second)
        (fit,) = trace.of(Fit)
        assert fit.branch == ()
        train, test = next(trace.of(Split)).parts
        assert not fit.data.rows.overlap(train) and not fit.data.rows.disjoint(test)  # either of them: nothing is proven

    def test_constant_conditions_are_decided(self, run: Run) -> None:
        """An arm that cannot run causes nothing."""
        trace = run(SPLIT + "DEBUG = False\nif DEBUG:\n    np.random.seed(1)\nelif not DEBUG:\n    np.random.seed(2)\n")
        assert seeds(trace) == [2]
        assert next(trace.of(Seed)).branch == ()

    def test_main_guard_is_entered(self, run: Run) -> None:
        """A script runs its main block; as an imported module it does not."""
        module = (
            "import numpy as np\ndef go():\n    np.random.seed(3)\nif __name__ == '__main__':\n    np.random.seed(4)\n    go()\n"
        )
        assert seeds(run(module)) == [4, 3]
        assert seeds(run("import numpy as np\nimport helper\nhelper.go()\n", {"helper.py": module})) == [3]

    def test_exit_ends_the_program(self, run: Run) -> None:
        """Nothing follows `sys.exit()`."""
        assert seeds(run("import sys\nimport numpy as np\nnp.random.seed(1)\nsys.exit()\nnp.random.seed(2)\n")) == [1]

    def test_exceptions(self, run: Run) -> None:
        """`try` runs its body, `else` and `finally`; a handler is an arm of its own."""
        trace = run(
            """
            import numpy as np
            try:
                np.random.seed(1)
            except ValueError as error:
                print(error)
                np.random.seed(2)
            else:
                np.random.seed(3)
            finally:
                np.random.seed(4)
            """
        )
        assert seeds(trace) == [1, 3, 2, 4]
        assert [bool(seed.branch) for seed in trace.of(Seed)] == [False, False, True, False]


class TestLoops:
    """Loops know their kind, and each of their events."""

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            ("for epoch in range(epochs):", LoopKind.EPOCH),
            ("for fold, (a, b) in enumerate(KFold(5).split(X)):", LoopKind.FOLD),
            ("for seed in range(10):", LoopKind.SEED),
            ("for C in [0.1, 1, 10]:", LoopKind.CANDIDATE),
            ("for model in [LogisticRegression(), SVC()]:", LoopKind.MODEL),
            ("for x, y in DataLoader(TensorDataset(X), batch_size=4):", LoopKind.BATCH),
            ("for thing in things:", LoopKind.OTHER),
        ],
    )
    def test_kind(self, run: Run, head: str, kind: LoopKind) -> None:
        """What is iterated over, or what the variable is called, tells the kind."""
        trace = run(
            "import numpy as np\nfrom sklearn.model_selection import KFold\nfrom sklearn.linear_model import LogisticRegression\n"
            "from sklearn.svm import SVC\nfrom torch.utils.data import DataLoader, TensorDataset\n"
            f"X = np.load('x.npy')\n{head}\n    np.random.seed(0)\n"
        )
        assert {loop.kind for seed in trace.of(Seed) for loop in seed.loops} == {kind}

    def test_state_goes_round(self, run: Run) -> None:
        """The second pass meets what the first left behind; an event of both passes stands once."""
        trace = run(
            """
            import torch
            net = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout())
            x = torch.load("x.pt")
            for epoch in range(9):
                net(x)
                net.eval()
            """
        )
        assert [event.mode for event in trace.of(Predict)] == ["train", "eval"]
        assert names(trace).count("Mode") == 1

    def test_a_column_of_a_table_of_predictions_names_its_parts(self, run: Run) -> None:
        """Rows of two names are disjoint, whatever else stands in the table."""
        trace = run(
            "import numpy as np\nimport pandas as pd\nfrom keras.models import load_model\nfrom sklearn.svm import SVC\n"
            "table = pd.DataFrame(load_model('net.keras').predict(np.load('x.npy')))\ntable['part'] = pd.read_csv('parts.csv')\n"
            "for part in ('train', 'val'):\n    SVC().fit(table[table['part'] == part], np.load('y.npy'))\n"
        )
        train, held = (fit.data.rows for fit in trace.of(Fit))
        assert train.disjoint(held) is Answer.YES

    def test_models_that_an_unrolled_loop_collects_stay_apart(self, run: Run) -> None:
        """A later loop over the list they are in goes over each of them; what a branch appends may be missing."""
        program = (
            SPLIT
            + """\
from sklearn.svm import SVC
fitted = []
for model in [LogisticRegression(), SVC()]:
    fitted.append(model.fit(X_train, y_train))
for model in fitted:
    print(accuracy_score(y_test, model.predict(X_test)))
"""
        )
        assert [score.subject.label for score in run(program).of(Score)] == ["LogisticRegression", "SVC"]
        perhaps = program.replace("    fitted.append", "    if X.mean() > 0:\n        fitted.append")
        assert len(list(run(perhaps).of(Score))) == 1

    def test_short_lists_of_objects_are_unrolled(self, run: Run) -> None:
        """Each model of a list has its own fit; the loop is one."""
        trace = run(SPLIT + "from sklearn.svm import SVC\nfor m in (LogisticRegression(), SVC()):\n    m.fit(X_train, y_train)\n")
        fits = list(trace.of(Fit))
        assert [fit.subject.label for fit in fits] == ["LogisticRegression", "SVC"]
        assert fits[0].loops and fits[0].loops == fits[1].loops

    @pytest.mark.parametrize(
        ("body", "shaped"),
        [
            ("for part in [records]:\n    for item in part:\n        item[1]['x'] = scaler.transform(item[1]['x'])", True),
            ("for number, item in enumerate(records):\n    item.x = scaler.transform(item.x)", True),
            ("for item in records:\n    item = dict(item)\n    item['x'] = scaler.transform(item['x'])", False),
            ("for item in records:\n    item['x'] = item['x'] - item['x'].mean()", False),
        ],
    )
    def test_records_changed_in_place(self, run: Run, body: str, shaped: bool) -> None:
        """What a loop writes into the records of a list is in the list; a copy, or what each record says of itself, is not."""
        trace = run(
            "import pickle\nimport numpy as np\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.svm import SVC\n"
            "records = pickle.load(open('records.pkl', 'rb'))\n"
            "scaler = StandardScaler().fit(np.array([item[1]['x'] for item in records]))\n"
            f"{body}\nSVC().fit(np.array([item[1]['x'] for item in records]), np.load('y.npy'))\n"
        )
        assert [bool(fit.data.learned) for fit in trace.of(Fit) if fit.subject.label == "SVC"] == [shaped]

    @pytest.mark.parametrize("read", ["json.load(open('records.json'))", "pickle.load(open('records.pkl', 'rb'))"])
    def test_records_of_a_file(self, run: Run, read: str) -> None:
        """The fields of the records that a file lists are rows of it."""
        trace = run(
            "import json, pickle\nimport numpy as np\nfrom sklearn.svm import SVC\n"
            f"records = {read}\n"
            "X, y = np.array([r['signal'] for r in records]), np.array([r['label'] for r in records])\nSVC().fit(X, y)\n"
        )
        (fit,) = trace.of(Fit)
        assert fit.data.rows.known and fit.target is not None and fit.target.rows.known

    @pytest.mark.parametrize(
        ("held", "answer"),
        [
            ("of == one", Answer.YES),
            ("of != one", Answer.NO),
            ("of == other", Answer.UNKNOWN),
            ("~(of != one)", Answer.YES),
        ],
    )
    def test_one_is_left_out(self, run: Run, held: str, answer: Answer) -> None:
        """The rows of one subject and those of the others are complements; another unknown subject may be the same."""
        trace = run(
            "import numpy as np\nfrom sklearn.svm import SVC\nfrom sklearn.cluster import KMeans\n"
            "X, of = np.load('x.npy'), np.load('subjects.npy')\n"
            "for one, other in zip(np.unique(of), np.load('others.npy')):\n"
            f"    SVC().fit(X[of != one], X[of != one])\n    KMeans().fit(X[{held}])\n"
        )
        rest, one = (fit.data.rows for fit in list(trace.of(Fit))[:2])
        assert rest.disjoint(one) is answer

    def test_inputs_of_a_data_set_are_its_rows(self, run: Run) -> None:
        """A data set that loads inputs and labels itself has the rows of the inputs, whatever it loads first."""
        trace = run(
            "import numpy as np\nimport torch\nfrom torch.utils.data import DataLoader, Dataset\n"
            "class Signals(Dataset):\n    def __init__(self):\n        self.y = torch.tensor(np.load('y.npy'))\n"
            "        x = np.load('x.npy')\n        self.x = torch.tensor((x - x.mean(0)) / x.std(0))\n"
            "    def __len__(self):\n        return len(self.x)\n"
            "    def __getitem__(self, i):\n        return self.x[i], self.y[i]\n"
            "network = torch.nn.Linear(2, 2)\nfor x, y in DataLoader(Signals()):\n    network(x)\n"
        )
        (predict,) = trace.of(Predict)
        assert predict.data.learned and all(fact.rows == predict.data.rows for fact in predict.data.learned)

    def test_encoded_features_know_their_encoder(self, run: Run) -> None:
        """A model of what a network makes of the rows depends on the rows that the network was trained on."""
        trace = run(
            "import torch\nfrom sklearn.svm import SVC\nfrom sklearn.metrics import f1_score\n"
            "x, y = torch.load('x.pt'), torch.load('y.pt')\n"
            "encoder, decoder = torch.nn.Linear(9, 2), torch.nn.Linear(2, 9)\n"
            "optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])\n"
            "torch.nn.functional.mse_loss(decoder(encoder(x)), x).backward()\noptimizer.step()\n"
            "z = encoder(x).detach().numpy()\nprint(f1_score(y[80:], SVC().fit(z[:80], y[:80]).predict(z[80:])))\n"
        )
        fits, (score,) = list(trace.of(Fit)), [s for s in trace.of(Score) if s.metric == "f1_score"]
        assert [trace.event(fact.fit) in fits for fact in score.inputs if fact.kind == "representation"] == [True]

    def test_loaded_tensor_has_a_mean(self, run: Run) -> None:
        """What `torch.load` gives is data once it is centred."""
        trace = run(
            "import torch\nx = torch.load('x.pt')\nx = (x - x.mean(0)) / x.std(0)\nnetwork = torch.nn.Linear(2, 2)\nnetwork(x)\n"
        )
        (predict,) = trace.of(Predict)
        assert len(predict.data.learned) == 2

    def test_comprehensions(self, run: Run) -> None:
        """A comprehension is a loop; its names do not leak."""
        trace = run(
            SPLIT + "i = 5\nmodels = [LogisticRegression(C=i).fit(X_train, y_train) for i in range(50)]\nnp.random.seed(i)\n"
        )
        (fit,) = trace.of(Fit)
        assert len(fit.loops) == 1
        assert seeds(trace) == [5]

    def test_generators(self, run: Run) -> None:
        """What a generator yields is what the loop over it gets."""
        trace = run(
            SPLIT
            + """
def parts():
    yield X_train
for part in parts():
    LogisticRegression().fit(part, y_train)
"""
        )
        assert next(trace.of(Fit)).data.rows == next(trace.of(Split)).parts[0]


class TestFunctions:
    """Project functions are executed where they are called."""

    def test_inlined_at_each_call(self, run: Run) -> None:
        """A function called twice gives its events twice, each with its call site."""
        trace = run(
            SPLIT
            + """
def train(X, y, seed=7, *, scale=True):
    np.random.seed(seed)
    return LogisticRegression().fit(X, y)
train(X_train, y_train)
train(y=y_test, X=X_test, seed=8)
"""
        )
        assert seeds(trace) == [7, 8]
        assert [fit.data.rows for fit in trace.of(Fit)] == list(next(trace.of(Split)).parts)
        assert [len(fit.calls) for fit in trace.of(Fit)] == [1, 1]
        assert len({fit.calls for fit in trace.of(Fit)}) == 2

    def test_closures_lambdas_partials_and_stars(self, run: Run) -> None:
        """Functions are values: with their scope, with arguments bound, with arguments spread."""
        trace = run(
            """
            import functools
            import numpy as np
            def outer(seed):
                def inner(*args, **kwargs):
                    np.random.seed(seed)
                    np.random.seed(args[0])
                    np.random.seed(kwargs["last"])
                return inner
            arguments, named = (2,), {"last": 3}
            outer(1)(*arguments, **named)
            functools.partial(np.random.seed, 4)()
            (lambda value: np.random.seed(value))(5)
            """
        )
        assert seeds(trace) == [1, 2, 3, 4, 5]

    def test_recursion_ends(self, run: Run) -> None:
        """A function that calls itself is entered a bounded number of times."""
        trace = run("import numpy as np\ndef f(n):\n    np.random.seed(1)\n    return f(n - 1)\nf(3)\nnp.random.seed(2)\n")
        assert seeds(trace)[-1] == 2 and set(seeds(trace)) == {1, 2}

    def test_globals(self, run: Run) -> None:
        """`global` writes the module's name."""
        assert seeds(
            run("import numpy as np\nSEED = 1\ndef f():\n    global SEED\n    SEED = 2\nf()\nnp.random.seed(SEED)\n")
        ) == [2]

    def test_decorators_are_seen_through(self, run: Run) -> None:
        """A decorated function is the function."""
        trace = run(
            """
            import functools
            import numpy as np
            import click
            def logged(f):
                @functools.wraps(f)
                def wrapper(*args):
                    return f(*args)
                return wrapper
            @logged
            def go(seed):
                np.random.seed(seed)
            go(6)
            """
        )
        assert seeds(trace) == [6]

    def test_uncalled_functions_have_traces_of_their_own(self, analysed: Analyse) -> None:
        """A function that nothing calls is an entry point with parameters of unknown role."""
        analysis = analysed(
            SPLIT + "def used():\n    np.random.seed(1)\nused()\ndef unused(X, y):\n    LogisticRegression().fit(X, y)\n"
        )
        program, function = analysis.traces
        assert (program.entry, function.entry, function.name) == ("script", "function", "unused")
        (fit,) = function.of(Fit)
        assert fit.data.rows.known and fit.data.rows.label == "X"


class TestClasses:
    """Classes of the project."""

    def test_methods_and_attributes(self, run: Run) -> None:
        """The constructor runs, attributes hold, methods, properties and class methods are found, also on a base."""
        trace = run(
            SPLIT
            + """
class Base:
    default = 9
    def __init__(self, seed):
        self.seed = seed
        np.random.seed(seed)
    @property
    def twice(self):
        return self.seed
    @classmethod
    def make(cls):
        return cls(cls.default)
    @staticmethod
    def helper(value):
        np.random.seed(value)
class Trainer(Base):
    def __init__(self, seed):
        super().__init__(seed)
        self.model = LogisticRegression()
    def train(self):
        self.helper(self.twice)
        return self.model.fit(X_train, y_train)
Trainer(4).train()
Base.make()
"""
        )
        assert seeds(trace) == [4, 4, 9]
        assert len(list(trace.of(Fit))) == 1

    def test_callables_and_containers(self, run: Run) -> None:
        """`__call__`, `__getitem__` and `__iter__` of the project are followed."""
        trace = run(
            """
            import numpy as np
            class Odd:
                def __call__(self): np.random.seed(1)
                def __getitem__(self, key): np.random.seed(key)
                def __iter__(self):
                    np.random.seed(3)
                    yield 1
            odd = Odd()
            odd()
            odd[2]
            for _ in odd: pass
            """
        )
        assert seeds(trace) == [1, 2, 3]

    def test_dataclasses(self, run: Run) -> None:
        """Fields without a constructor take the arguments in order, those of the base first."""
        trace = run(
            "import numpy as np\nfrom dataclasses import dataclass\n@dataclass\nclass Rate:\n    lr: float\n"
            "@dataclass\nclass Settings(Rate):\n    seed: int = 1\n"
            "np.random.seed(Settings(0.1, 5).seed)\nnp.random.seed(Settings(0.1).seed)\n"
        )
        assert seeds(trace) == [5, 1]

    def test_networks(self, run: Run) -> None:
        """A network is built once, draws its weights, and its forward tells what it ends with."""
        trace = run(
            """
            import torch
            from torch import nn
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.head = nn.Linear(2, 3)
                def forward(self, x):
                    return torch.softmax(self.head(x), 1)
            net = Net()
            x, y = torch.load("x.pt"), torch.load("y.pt")
            nn.CrossEntropyLoss()(net(x), y)
            """
        )
        (loss,) = trace.of(Loss)
        assert (loss.expects, loss.received) == ("logits", "softmax")
        assert [draw.purpose for draw in trace.of(Draw)] == ["init"]


HELPER = "import numpy as np\nSEED = 5\ndef seed_all(value=SEED):\n    np.random.seed(value)\n"


class TestSettings:
    """Settings that come from outside, and those that the program makes itself."""

    @pytest.mark.parametrize(
        "settings", ["parser.parse_args().__dict__", "vars(parser.parse_args())", "json.load(open('s.json'))"]
    )
    def test_one_that_is_written_is_known(self, run: Run, settings: str) -> None:
        """`settings["study"] = "main"` decides which arm a later `if` takes, in a function too; others stay unknown."""
        trace = run(
            f"import argparse, json, pandas as pd\nparser = argparse.ArgumentParser()\nsettings = {settings}\n"
            "def read(settings):\n    if settings['study'] == 'pilot':\n        return pd.read_csv('pilot.csv')\n"
            "    return pd.read_csv('main.csv')\n"
            "settings['study'] = 'pilot'\nfirst = read(settings)\nsettings['study'] = 'main'\nsecond = read(settings)\n"
            "if settings['other']:\n    third = pd.read_csv('third.csv')\n"
            "from sklearn.cluster import KMeans\nKMeans().fit(first)\n"
        )
        assert [load.location for load in trace.of(Load) if load.location != "s.json"] == ["pilot.csv", "main.csv", "third.csv"]


class TestImports:
    """Modules of the project are found as the program would find them."""

    @pytest.mark.parametrize(
        ("statement", "path"),
        [
            ("from helper import seed_all", "helper.py"),
            ("from helper import *", "helper.py"),
            ("from tools.helper import seed_all", "tools/helper.py"),
            ("from tools import seed_all", "tools/__init__.py"),
            ("import tools.helper; seed_all = tools.helper.seed_all", "tools/helper.py"),
            ("import tools.helper as h; seed_all = h.seed_all", "tools/helper.py"),
            ("from package.helper import seed_all", "src/package/helper.py"),
            ("import sys; sys.path.append('lib/deep'); from helper import seed_all", "lib/deep/helper.py"),
            ("import sys; sys.path.insert(0, '../lib'); import helper; seed_all = helper.seed_all", "lib/helper.py"),
            ("def seed_all():\n    from helper import seed_all\n    seed_all()", "helper.py"),
        ],
    )
    def test_found(self, run: Run, statement: str, path: str) -> None:
        """Beside the file, in packages with and without `__init__`, in `src`, on an altered path, by star, inside a function."""
        trace = run(f"import numpy as np\n{statement}\nseed_all()\n", {path: HELPER})
        assert seeds(trace) == [5]
        assert next(trace.of(Seed)).at.path.endswith(path)
        assert next(trace.of(Seed)).calls[0].path == "main.py"

    @pytest.mark.parametrize("path", ["'lib/deep'", "0, 'lib/deep'", "os.path.join(os.path.dirname(__file__), 'lib', 'deep')"])
    def test_search_path(self, run: Run, path: str) -> None:
        """Of two modules of one name the one is meant whose directory the program adds to its search path."""
        how = "insert" if path.startswith("0") else "append"
        program = f"import os, sys\nimport numpy as np\nsys.path.{how}({path})\nfrom helper import seed_all\nseed_all()\n"
        trace = run(program, {"lib/deep/helper.py": HELPER, "old/helper.py": HELPER.replace("5", "6")})
        assert seeds(trace) == [5]

    def test_relative(self, run: Run) -> None:
        """Dots count from the package of the importing file."""
        files = {"pkg/__init__.py": "", "pkg/a.py": "from .sub.b import go\nfrom . import c\n", "pkg/c.py": HELPER,
                 "pkg/sub/__init__.py": "", "pkg/sub/b.py": "from ..c import seed_all as go\n"}  # fmt: skip
        trace = run("import numpy as np\nfrom pkg import a\na.go(1)\na.c.seed_all(2)\n", files)
        assert seeds(trace) == [1, 2]

    def test_circular(self, run: Run) -> None:
        """Modules that import each other are executed once each."""
        files = {
            "a.py": "import numpy as np\nimport b\ndef go():\n    np.random.seed(1)\n",
            "b.py": "import a\ndef go():\n    a.go()\n",
        }
        assert seeds(run("import numpy as np\nimport a, b\nb.go()\n", files)) == [1]

    def test_module_is_executed_once(self, run: Run) -> None:
        """The top level of a module counts, and once."""
        files = {"setup_seed.py": "import numpy as np\nnp.random.seed(3)\n"}
        assert seeds(
            run("import numpy as np\nimport setup_seed\nfrom setup_seed import np\nimport setup_seed\nprint(np)\n", files)
        ) == [3]

    def test_a_library_stays_a_library(self, run: Run) -> None:
        """A file that has the name of a catalogued library in another folder does not replace it."""
        trace = run("import numpy as np\nnp.random.seed(1)\n", {"vendored/numpy.py": "class random:\n    seed = print\n"})
        assert seeds(trace) == [1]

    def test_star_of_a_library(self, run: Run) -> None:
        """`from library import *` binds the names that the catalog describes."""
        trace = run("from sklearn.svm import *\nfrom numpy import load\nSVC().fit(load('x.npy'), load('y.npy'))\n")
        assert next(trace.of(Fit)).subject.api == "sklearn.svm.SVC"


class TestNotebooks:
    """A notebook is one program in cell order."""

    def test_cells_in_order(self, run: Run) -> None:
        """Names cross cells, magics are ignored, and the value at the end of a cell reaches the reader."""
        cells = [
            SPLIT,
            "%matplotlib inline\nmodel = LogisticRegression()\nmodel.fit(X_train, y_train)",
            "!ls\nmodel.score(X_test, y_test)",
        ]
        code: dict[str, object] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        text = json.dumps({"cells": [{**code, "source": c} for c in cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
        trace = run(text, name="main.ipynb")
        assert trace.entry == "notebook"
        assert names(trace) == ["Load", "Load", "Split", "Fit", "Predict", "Score", "Report"]
        assert next(trace.of(Score)).data.rows == next(trace.of(Split)).parts[1]


@pytest.mark.parametrize("line", ["from nets import nets", "from nets import (\n    nets,\n)"])
def test_module_of_a_folder(run: Run, line: str) -> None:
    """A driver script imports a module of a folder that is no package; the library is imported there."""
    trained = run(
        f'{line}\n\nnets.Wide().fit_all("table.npy")\n',
        {
            "nets/nets.py": """
                import numpy as np
                from sklearn.linear_model import LogisticRegression

                class Wide:
                    def fit_all(self, path):
                        LogisticRegression().fit(np.load(path), np.load("labels.npy"))
                """
        },
    )
    assert [fit.subject.label for fit in trained.of(Fit)] == ["LogisticRegression"]
