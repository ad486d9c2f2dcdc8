"""Loops, selections and reports: what a loop goes over, when a program chooses by a score, and what reaches a reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.events import (
    Build,
    Data,
    Draw,
    Event,
    Fit,
    Load,
    Loop,
    LoopKind,
    Loss,
    Pairing,
    Save,
    Score,
    Select,
    Split,
    Step,
    Weights,
    ZeroGrad,
)
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Flow
from mllint_bio.predict.library.contents import (
    COPIED,
    PLAIN_EXTREMES,
    RATE,
    arrays_in,
    condensed,
    directed,
    is_cut,
    is_json,
    scores_of,
)
from mllint_bio.predict.library.growth import lies_by_class
from mllint_bio.predict.library.scoring import as_figure
from mllint_bio.predict.values import Array, Choice, Const, Dict, Ext, Func, Klass, Obj, Seq, Value, options, role_of_name

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

_KINDS_BY_NAME: tuple[tuple[LoopKind, re.Pattern[str]], ...] = (
    (LoopKind.EPOCH, re.compile(r"(^|_)(epoch|ep|iteration)($|_)", re.I)),
    (LoopKind.FOLD, re.compile(r"(^|_)(folds?|kfold|n_splits|train_index|test_index|train_idx|test_idx|cv|split)($|_)", re.I)),
    (
        LoopKind.SEED,
        re.compile(r"(^|_)(seeds?|random_state|rs|repeats?|reps?|trials?|runs?|rounds?|bootstrap|n_runs)($|_)", re.I),
    ),
    (
        LoopKind.MODEL,
        re.compile(r"(^|(?<!\bn)_)(models?|clf|clfs|classifiers?|estimators?|regressors?|learners?|algorithms?)($|_)", re.I),
    ),
    (
        LoopKind.GROUP,
        re.compile(
            r"(^|_)(patients?|subjects?|pids?|donors?|participants?|individuals?|animals?|mouse|slides?|records?|recordings?|case_ids?|person)($|_)",
            re.I,
        ),
    ),
    (LoopKind.FILE, re.compile(r"(^|_)(files?|fname|filename|paths?|fn|filepath|img_path)($|_)", re.I)),
    (
        LoopKind.CANDIDATE,
        re.compile(
            r"(^|_)(lr|lrs|alpha|alphas|c|cs|gamma|k|n_neighbors|depth|max_depth|hidden|n_estimators|params?|param|config|configs|threshold|thresholds|thr|n_features|lambda|reg|dropout|batch_size|kernel|weight_decay|hyperparams?|combination)($|_)",
            re.I,
        ),
    ),
)
_LOADER_NAME = re.compile(r"(loader|dataloader|batches|_dl$|iterator|generator$)", re.I)


@lru_cache(maxsize=4096)  # the same loops are met in many passes
def _kinds_by_name(names: tuple[str, ...]) -> tuple[LoopKind, ...]:
    """Kinds of loops that the names of their variables speak for."""
    return tuple(kind for kind, pattern in _KINDS_BY_NAME if any(pattern.search(name) for name in names))


def _listed(value: Value) -> bool:
    """Whether the value is a list of numbers that stands in the program."""
    if not isinstance(value, Seq) or value.kind not in ("list", "tuple") or not value.items:
        return False
    return all(isinstance(item, Const) and isinstance(item.value, (int, float)) for item in value.items)


def _of_one(iterable: Value) -> bool:
    """Whether a loop goes over a list that is known to hold a single member: settings written as lists sweep nothing."""
    return any(isinstance(one, Seq) and one.exact and len(one.items) == 1 for one in options(iterable))


def loop_kind(run: Run, target: ir.Expr, node: ir.Expr, iterable: Value) -> LoopKind:
    """What a loop goes over, as far as it can be told before its body is read."""
    kind = _kind(target, node, iterable)
    return LoopKind.OTHER if kind is LoopKind.CANDIDATE and _of_one(iterable) else kind


def _kind(target: ir.Expr, node: ir.Expr, iterable: Value) -> LoopKind:
    inner = iterable
    if isinstance(inner, Seq) and isinstance(inner.cells.get("#over"), (Obj, Array, Seq)):
        inner = inner.cells["#over"]
    if isinstance(inner, Seq) and inner.cells.get("#folds"):
        return LoopKind.FOLD
    if isinstance(inner, Obj) and inner.is_a("loader"):
        return LoopKind.BATCH
    if isinstance(inner, Array) and (inner.kind in ("loader", "batch") or inner.loader is not None):
        return LoopKind.BATCH
    if isinstance(inner, Array) and inner.kind in ("groups", "unique"):
        return LoopKind.GROUP
    text = _text_of(node)
    if _LOADER_NAME.search(text) and not isinstance(inner, Seq):
        return LoopKind.BATCH
    names = _names(target)
    if any("epochs" in name.lower() for name in names):  # a number of epochs, unless it is counted
        return LoopKind.EPOCH if _text_matches(text, "range") else LoopKind.CANDIDATE
    for kind in _kinds_by_name(tuple(names)):
        if kind is LoopKind.EPOCH and _listed(inner):
            return LoopKind.CANDIDATE  # `for epochs in [10, 50, 200]`: numbers of epochs, not epochs
        if kind is LoopKind.FOLD and _names_parts(inner):
            return LoopKind.OTHER  # `for split in ["train", "test"]`
        counted = isinstance(inner, Array) and inner.kind == "range" and any(n in ("k", "c") for n in names)
        if kind is not LoopKind.CANDIDATE or not counted and not _of_predictions(iterable):
            return kind
    if _text_matches(text, "epoch") and _text_matches(text, "range"):  # as against a list of candidate numbers of epochs
        return LoopKind.EPOCH
    if isinstance(inner, Seq) and inner.items and all(isinstance(i, (Obj, Klass)) or _holds_object(i) for i in inner.items):
        return LoopKind.MODEL
    if _listed(inner):
        return LoopKind.CANDIDATE
    for kind, pattern in _KINDS_BY_NAME[1:]:
        if pattern.search(text) and kind in (LoopKind.FOLD, LoopKind.GROUP, LoopKind.FILE):
            return kind
    if isinstance(inner, Array) and inner.unordered is not None:
        return LoopKind.FILE
    return LoopKind.OTHER


def _names_parts(iterable: Value) -> bool:
    """Whether a loop goes over the names of parts (`eval` and `all` may be among them), alone or each with its data."""
    members = iterable.items if isinstance(iterable, Seq) and iterable.exact else ()
    firsts = [one.items[0] if isinstance(one, Seq) and one.items else one for one in members]
    names = [one.value for one in firsts if isinstance(one, Const) and isinstance(one.value, str)]
    return len(names) == len(members) and len({role for name in names if (role := role_of_name(name))}) > 1


def _of_predictions(iterable: Value) -> bool:
    """Whether a loop goes over what a model predicted, alone or beside the truth: its variables are no settings."""
    members = iterable.rest.items if isinstance(iterable, Seq) and isinstance(iterable.rest, Seq) else [iterable]
    return any(isinstance(one, Array) and one.prediction is not None for one in members)


_SETTINGS = re.compile(
    r"^(n_neighbors|n_estimators|n_components|n_features_to_select|num_leaves|max_depth|max_features|max_leaf_nodes|min_samples_\w+"
    r"|k|C|gamma|alpha|l1_ratio|degree|learning_rate|subsample|colsample_\w+|reg_\w+|lambda_?\w*|hidden\w*|dropout\w*)$"
)
_FEATURES = re.compile(r"feat|gene|column|rank|marker|snp|cpg|probe|importan", re.I)


_GRID = re.compile(r"(^|_)Parameter(Grid|Sampler)($|_)")


def varies_candidates(run: Run, target: ir.Expr, iterable: ir.Expr, members: Value, body: Sequence[ir.Node]) -> bool:
    """Whether every round of a loop builds a model with settings that the loop varies, or takes so many features of a list."""
    if _of_one(members):
        return False
    if target not in run.varied:
        source = _text_of(iterable)
        run.varied[target] = bool(_GRID.search(source)) or _varies(run, set(_names(target)), source, body)
    return run.varied[target]


def _varies(run: Run, names: set[str], source: str, body: Sequence[ir.Node]) -> bool:

    def varied(node: ir.Node | None) -> bool:
        return isinstance(node, ir.Name) and node.name in names

    def member(node: ir.Expr) -> bool:
        """Whether `**node` hands over one member of what the loop goes over; `best[task]` in a loop over tasks is none."""
        if isinstance(node, ir.Subscript) and isinstance(node.value, ir.Name):
            return any(map(varied, node.index)) and node.value.name in source
        return varied(node)

    combined = "product" in source.split("_")
    for one in (node for statement in body for node in ir.walk(statement)):
        if isinstance(one, ir.Call):
            if combined and _named_settings(one) and any(varied(node) for node in ir.walk(one)):
                return True
            for position, (keyword, value) in enumerate(one.args):
                if keyword == "**" and member(value) and _builds_model(run, one.func):
                    return True
                setting = _SETTINGS.match(keyword) if keyword else position == 0 and _builds_model(run, one.func)
                if setting and varied(value):
                    return True
        elif (
            isinstance(one, ir.Subscript) and isinstance(one.value, (ir.Name, ir.Attribute)) and _FEATURES.search(one.value.name)
        ):
            cut = one.index[0] if len(one.index) == 1 else None
            if isinstance(cut, ir.Slice) and cut.lower is None and varied(cut.upper):
                return True
    return False


def _named_settings(node: ir.Call) -> bool:
    """Whether a call names the values of a combination: `dict(zip(names, values))`."""
    inner = node.args[0][1] if len(node.args) == 1 else None
    called = (one.func for one in (node, inner) if isinstance(one, ir.Call))
    return [name.name for name in called if isinstance(name, ir.Name)] == ["dict", "zip"]


def _builds_model(run: Run, node: ir.Expr) -> bool:
    made = run.eval(node) if isinstance(node, ir.Name) else None
    entry = catalog.lookup(made.path) if isinstance(made, Ext) else None
    return entry is not None and entry.is_a("estimator", "feature-selector")


def _holds_object(value: Value) -> bool:
    return isinstance(value, Seq) and any(isinstance(item, (Obj, Klass)) for item in value.items)


def _text_matches(text: str, word: str) -> bool:
    return word in text.lower()


def _text_of(node: ir.Expr) -> str:
    """Names in an iterable expression, joined; enough to see `range(args.epochs)` or `enumerate(train_loader)`."""
    found: list[str] = []
    stack: list[Any] = [node]
    while stack and len(found) < 12:
        one = stack.pop()
        if isinstance(one, ir.Name):
            found.append(one.name)
        elif isinstance(one, ir.Attribute):
            found.append(one.name)
            stack.append(one.value)
        elif isinstance(one, ir.Call):
            stack.extend([value for _, value in one.args] + [one.func])
        elif isinstance(one, (ir.Binary,)):
            stack.extend([one.left, one.right])
        elif isinstance(one, ir.Subscript):
            stack.extend([one.value, *one.index])
    return "_".join(found)


def _names(target: ir.Expr) -> list[str]:
    if isinstance(target, ir.Name):
        return [target.name]
    if isinstance(target, ir.Collection):
        return [name for item in target.items for name in _names(item)]
    return []


def unrolled(run: Run, iterable: Value) -> Sequence[Value] | None:
    """Members to execute one by one: short literal lists of objects, functions, data or names; None to join them instead."""
    if isinstance(iterable, Dict):
        if iterable.rest is None and len(iterable.items) > 0 and _worth(list(iterable.items.values())):
            return [Const(key) for key in iterable.items]
        return None
    if not isinstance(iterable, Seq) or not iterable.exact or iterable.kind == "generator" or not iterable.items:
        return None
    if len(iterable.items) == 1:
        return iterable.items
    return iterable.items if _worth(iterable.items) else None


def _worth(items: Sequence[Value]) -> bool:
    flat = list(items)
    for _ in range(2):  # `for name, (X, y) in zip(names, parts)`
        flat = [part for item in flat for part in (item.items if isinstance(item, Seq) else [item])]
    if any(isinstance(part, (Obj, Func, Klass, Ext, Choice)) for part in flat):
        return True
    if any(isinstance(part, Array) and (part.has_rows or is_json(part)) for part in flat):
        return True
    return len(items) <= 4 and all(isinstance(part, Const) and isinstance(part.value, str) for part in flat)


def loop_done(run: Run, loop: Loop) -> None:
    """Settle the kind of a loop from what happened in it: steps over batches make epochs, labels make classes."""
    lies_by_class(run, loop)
    if loop.kind is not LoopKind.OTHER:
        return
    stepped = run.stepped.get(loop)
    if stepped is not None and not _trains_anew(run.events, loop):
        inner, over_loader = stepped
        loop.kind = LoopKind.BATCH if over_loader and not inner else LoopKind.EPOCH


def _trains_anew(events: Sequence[Event], loop: Loop) -> bool:
    """Whether every round builds the network that it trains: rounds of that kind are runs, not epochs."""
    inside = [e for e in events if isinstance(e, (Build, Draw, Step)) and any(one is loop for one in e.loops)]
    stepped = {id(module) for e in inside if isinstance(e, Step) for module in e.modules}
    built = (e for e in inside if isinstance(e, Build) or (isinstance(e, Draw) and e.purpose == "init"))
    return any(id(e.subject) in stepped for e in built)


# -- selections ------------------------------------------------------------------------------------------------------

_WHAT = {
    LoopKind.EPOCH: "epoch",
    LoopKind.CANDIDATE: "hyperparameter",
    LoopKind.MODEL: "model",
    LoopKind.SEED: "seed",
    LoopKind.FOLD: "fold",
    LoopKind.BATCH: "batch",
}


_CURVES = ("roc_curve", "precision_recall_curve", "det_curve")


def what_is_chosen(run: Run, scores: frozenset[int]) -> str:
    """What a choice between scores chooses: decided by the innermost loop that repeats the scores and the choice."""
    for loop in reversed(run.loops):
        if loop.kind in (LoopKind.BATCH, LoopKind.GROUP, LoopKind.FILE):
            continue
        return "" if _members_of_one(run, loop, scores) else _chosen_in(run, loop, scores)
    return ""


def _members_of_one(run: Run, loop: Loop, scores: frozenset[int]) -> bool:
    """Whether a loop goes over the members of one figure that was there before it, the f1 of each class: none is chosen."""
    if len(scores) != 1:
        return False
    score = run.events[next(iter(scores))]
    if not isinstance(score, Score) or score.metric in _CURVES or score.family == "loss":  # cutoffs; the history of a training
        return False
    return loop not in score.loops and all(outer in run.loops for outer in score.loops)


def _of_parts(run: Run, loop: Loop, scores: frozenset[int]) -> bool:
    """Whether the rounds of a loop score parts of one prediction, class by class or hospital by hospital: none is chosen."""
    for data in (e.data for n in scores if isinstance(e := run.events[n], Score)):
        made = data.prediction
        if made is None or made.event < 0 or loop in run.events[made.event].loops:
            return False
        if not data.rows.known or data.rows == made.rows:
            return False
    return bool(scores)


def _trained_on(inside: Sequence[Event]) -> bool:
    """Whether a network that was built before the loop is fitted further in each round: `net.fit(x, y, epochs=1)`."""
    networks = [e for e in inside if isinstance(e, Fit) and e.subject.is_a("estimator.deep")]
    fitted = any(not e.subject.api.startswith("sklearn") for e in networks)
    return fitted and not any(isinstance(e, (Loss, Load)) or (isinstance(e, Draw) and e.purpose == "init") for e in inside)


def _chosen_in(run: Run, loop: Loop, scores: frozenset[int]) -> str:
    """What a choice between the scores of the rounds of a loop chooses; empty if it chooses nothing."""
    if loop in run.cutoff_loops:
        return "threshold"
    if _of_parts(run, loop, scores):
        return ""
    inside = [e for e in run.events[-400:] if any(one is loop for one in e.loops)]
    kind = loop.kind
    if kind is LoopKind.OTHER:
        stepped = any(isinstance(e, Step) for e in inside) and not _trains_anew(inside, loop)
        if stepped or _trained_on(inside):
            return "epoch"
        if not _only_counts(run, loop) or any(isinstance(e, Draw) and e.purpose == "noise" for e in inside):
            return "hyperparameter"
        kind = LoopKind.SEED
    if kind is LoopKind.SEED and any(isinstance(e, Split) and e.how in ("call", "random", "sample") for e in inside):
        return "split"  # every seed has its own test rows
    return _WHAT[kind]


def _only_counts(run: Run, loop: Loop) -> bool:
    """Whether the variable of a loop over numbers is told to the reader at most: all rounds do the same."""
    node = run.bodies.get(loop)
    if (
        not isinstance(node, ir.For)
        or not isinstance(node.target, ir.Name)
        or not _text_matches(_text_of(node.iterable), "range")
    ):
        return False
    inside = [one for statement in node.body for one in ir.walk(statement)]
    told = {
        id(one)
        for call in inside
        if isinstance(call, ir.Call) and isinstance(call.func, ir.Name) and call.func.name == "print"
        for one in ir.walk(call)
    }
    return all(id(one) in told for one in inside if isinstance(one, ir.Name) and one.name == node.target.name)


def selection_test(run: Run, branch: ir.If, test: Value) -> dict[str, Any] | None:
    """Fields of the Select event for an `if` that compares scores in a loop; None if it is none."""
    node = branch.test
    scores = scores_of(test)
    if not scores or not run.loops or not isinstance(test, (Array, Choice)) or (isinstance(test, Array) and test.kind == "hits"):
        return None
    if is_cut(test):  # a case on one side of a threshold that was chosen before
        return None
    unnamed = isinstance(node, (ir.Name, ir.Attribute)) and isinstance(test, Array) and test.kind == "unknown"
    if _is_check(node) or _mixed(run, scores) or unnamed:  # `if best_params:` asks whether there are any
        return None
    if isinstance(test, Choice) and any(isinstance(one, (Seq, Dict)) for one in test.options):  # whether there are results
        return None
    what = what_is_chosen(run, scores)
    if not what or what == "batch" or (what != "epoch" and (_against_number(node) or _counts_rounds(branch))):
        return None
    as_figure(run, scores)
    return {
        "what": what,
        "how": "if",
        "scores": scores,
        "data": scored_data(run, scores),
        "direction": directed(_direction(run, node, scores), test) if isinstance(test, Array) else "",
        "keeps": frozenset(),
        "metric": _metric(run, scores),
    }


def _counts_rounds(branch: ir.If) -> bool:
    """Whether an `if` counts rounds and no more, as a permutation test does: nothing is kept of the round that did well."""
    if branch.orelse or not all(isinstance(statement, ir.AugAssign) for statement in branch.body):
        return False
    return all(isinstance(s.value, ir.Constant) and s.value.value == 1 for s in branch.body if isinstance(s, ir.AugAssign))


_CHECKS = re.compile(r"^(is_?(nan|inf|finite|null|na|none)|not_?(null|na)|hasattr|isinstance|any|all|len)$", re.I)


_FLAG = re.compile(r"best|better|improv|stop|^is_", re.I)


def _is_check(node: ir.Expr) -> bool:
    """Whether a test asks if a figure exists or is a number, not how good it is."""
    if isinstance(node, ir.Unary):
        return _is_check(node.value)
    if isinstance(node, ir.Boolean):
        return _is_check(node.left) and _is_check(node.right)
    if isinstance(node, ir.Subscript):  # `if result["history"]`; a flag is called after what it says
        keys = [str(key.value) for key in node.index if isinstance(key, ir.Constant)]
        return not any(_FLAG.search(name) for name in (_text_of(node), *keys))
    if isinstance(node, ir.Compare) and isinstance(node.left, ir.Compare):  # `(losses > best) == True`
        return _is_check(node.left)
    if isinstance(node, ir.Compare):  # `loss == loss`, `loss is None`, `gain > 0`
        against_zero = any(isinstance(other, ir.Constant) and other.value == 0 for _, other in node.rest)
        return against_zero or not any(operator[:1] in "<>" for operator, _ in node.rest)
    called = node.func if isinstance(node, ir.Call) else None
    if isinstance(called, ir.Attribute) and isinstance(called.value, ir.Compare):  # `(losses > best).all()`
        return _is_check(called.value)
    return isinstance(called, (ir.Name, ir.Attribute)) and bool(_CHECKS.search(called.name))


def _against_number(node: ir.Expr) -> bool:
    """Whether a figure is held against a number written there: that accepts or rejects it, and finds no best."""
    if isinstance(node, ir.Boolean):
        return _against_number(node.left) and _against_number(node.right)
    return isinstance(node, ir.Compare) and all(isinstance(side, ir.Constant) for _, side in node.rest)


def _mixed(run: Run, scores: frozenset[int]) -> bool:
    """Whether the scores come out of a collection of all results of a program: what is compared is not known."""
    return len({e.metric for n in scores if isinstance(e := run.events[n], Score)}) > 2


def _metric(run: Run, scores: frozenset[int]) -> str:
    names = {e.metric for n in scores if isinstance(e := run.events[n], Score)}
    return names.pop() if len(names) == 1 else ""


def scored_data(run: Run, scores: frozenset[int]) -> Data:
    """Rows behind a set of scores; unknown when they are of different rows."""
    views = [e.data for n in sorted(scores) if isinstance(e := run.events[n], Score)]
    if not views:
        return Data()
    if all(view.rows == views[0].rows for view in views):
        return views[0]
    return Data(name=views[-1].name, named_role=views[-1].named_role if len({v.named_role for v in views}) == 1 else "")


def _direction(run: Run, node: ir.Expr, scores: frozenset[int]) -> str:
    """up when the branch is taken for larger scores, down for smaller, empty if the comparison does not say."""
    if isinstance(node, ir.Boolean):
        return _direction(run, node.left, scores) or _direction(run, node.right, scores)
    if not isinstance(node, ir.Compare) or len(node.rest) != 1:
        return ""
    operator, right_node = node.rest[0]
    if operator not in ("<", "<=", ">", ">="):
        return ""
    left, right = _freshness(node.left), _freshness(right_node)
    if left == right:
        return ""
    greater = operator.startswith(">")
    return "up" if greater == (left > right) else "down"


_BEST = re.compile(r"(best|max|min|lowest|highest|opt(?!im(izer|iser)?(_|$|\d))|record|prev|last|old)", re.I)


def _freshness(node: ir.Expr) -> int:
    """1 for the new figure, 0 for the best one so far, by name."""
    return 0 if _BEST.search(_text_of(node)) else 1


def _found(value: Value, number: int) -> Value:
    """A setting that a search by hand keeps (`best_cost = cost`, `best = {"C": cost}`): an argument from here was tuned."""
    if isinstance(value, Const) and type(value.value) in (int, float):
        return Array(kind="config", owner="tuned", chosen=frozenset({number}))
    if isinstance(value, Array) and value.kind in ("scalar", "config", "unknown"):
        if value.has_rows or value.scores or value.learned or value.prediction is not None:
            return value
        return value.but(kind="config", owner="tuned", chosen=value.chosen | {number}, loop=None)
    if isinstance(value, Dict):
        return Dict({key: _found(item, number) for key, item in value.items.items()}, value.rest)
    if isinstance(value, Seq) and value.kind == "tuple" and value.exact:
        return Seq("tuple", [_found(item, number) for item in value.items])
    return value


def _of_the_best(value: Value, number: int) -> Value:
    """The predictions of the best one so far, alone or among its results."""
    if isinstance(value, Array) and value.prediction is not None and not value.scores:
        return value.but(chosen=value.chosen | {number})
    if isinstance(value, (Dict, Seq)):
        rest = _of_the_best(value.rest, number) if value.rest is not None else None
        if isinstance(value, Seq):
            return Seq(value.kind, [_of_the_best(item, number) for item in value.items], rest)
        return Dict({key: _of_the_best(item, number) for key, item in value.items.items()}, rest)
    return value


def kept(run: Run, number: int, node: ir.If, body: Sequence[ir.Stmt], before: dict[str, Value], flow: Flow, start: int) -> None:
    """Complete a Select with what its branch keeps: the score, weights, a saved file, a model, or the decision to stop.

    Where the first arm keeps nothing (`if score < best: waits += 1`), the other may, which turns the direction of the choice.
    """
    select = run.events[number]
    assert isinstance(select, Select)
    other = body is node.orelse
    if other and select.keeps:
        return
    what = select.what
    keeps: set[str] = set()
    tested = set(_text_of_test(node.test))
    env = run.frames[-1].env
    varied = [
        name for name in env if any(f"_{name}_" in f"_{loop.variable}_" for loop in run.loops if loop.kind is LoopKind.MODEL)
    ]
    for name, value in list(env.items()):
        old = before.get(name)
        if old is value:
            continue
        if isinstance(value, Array) and value.loop in run.cutoff_loops:
            env[name] = value.but(chosen=frozenset({number}), loop=None)
        elif any(one.prediction is not None and not one.scores for one in arrays_in(value)):
            env[name] = _of_the_best(value, number)
        elif what == "hyperparameter" and name not in tested:
            env[name] = _found(value, number)
        if name in tested or scores_of(value):
            keeps.add("score")
        if isinstance(value, Array) and value.kind == "weights":
            keeps.add("weights")
        elif isinstance(value, Obj):
            if not value.is_a("optimizer", "scheduler", "lr-select", "loader", "dataset"):
                keeps.add("model")
        elif isinstance(value, Const) and value.value is True and "stop" in name.lower():
            keeps.add("stop")
        elif isinstance(value, Const) and isinstance(value.value, str) and any(value is env.get(n) for n in varied if n != name):
            keeps.add("candidate")
        elif _BEST.search(name):
            keeps.add("score")
    for event in run.events[start:]:
        if isinstance(event, Weights) and event.action in ("save", "copy", "reference"):
            keeps.add("weights" if event.action != "save" else "saved")
        elif isinstance(event, Save) and event.what == "model":
            keeps.add("saved")
    if flow is Flow.BREAK or flow is Flow.RETURN:
        keeps.add("stop")
    called = (one.func for statement in body for one in ir.walk(statement) if isinstance(one, ir.Call))
    if any(_STORES.search(func.name) for func in called if isinstance(func, (ir.Name, ir.Attribute))):
        keeps.add("saved")  # `shutil.copyfile("last.pth", "best.pth")`
    for statement in body:
        target = statement.targets[0] if isinstance(statement, ir.Assign) else None
        if isinstance(target, ir.Attribute) and (target.name in tested or _BEST.search(target.name)):
            keeps.add("score")
        if isinstance(target, ir.Attribute) and "stop" in target.name.lower():
            keeps.add("stop")
        if what == "hyperparameter" and isinstance(target, ir.Attribute) and isinstance(target.value, ir.Name):
            holder, cell = run.eval(target.value), "." + target.name
            if isinstance(holder, Obj) and cell in holder.cells:
                run.write(holder, cell, _found(holder.cells[cell], number))
        if isinstance(target, (ir.Name, ir.Attribute)) and isinstance(statement, ir.Assign) and _is_dict_of_best(target, run):
            keeps.add("score")
    for event in run.events[:number]:  # what the first pass of the loop saved is not written down again
        if isinstance(event, Select) and event.at == select.at and event.calls == select.calls:
            keeps |= event.keeps & {"saved"}
    run.amend(
        number,
        keeps=select.keeps | frozenset(keeps),
        what="early-stop" if keeps == {"stop"} and what == "epoch" else what,
        direction={"up": "down", "down": "up"}.get(select.direction, "") if other and keeps else select.direction,
    )


_STORES = re.compile(r"save|copyfile|copy2|dump|checkpoint|move|rename", re.I)


_PATIENCE = re.compile(r"(count|patience|wait|improv|stall|stagn|trigger|bad_epochs|since|no_|early|stop|bump|num_)", re.I)


def note_patience(run: Run, number: int, node: ir.If) -> None:
    """Remember the counters that the two arms of a comparison of scores keep; a later test of them may stop the training."""
    for statement in _deep([*node.body, *node.orelse]):
        targets = (
            statement.targets
            if isinstance(statement, ir.Assign)
            else [statement.target]
            if isinstance(statement, ir.AugAssign)
            else []
        )
        for target in targets:
            if isinstance(target, (ir.Name, ir.Attribute)) and _PATIENCE.search(target.name):
                run.patience[target.name] = number
    if any(_stops(statement) for statement in _deep(node.orelse)):
        _mark_stop(run, number)


def patience_test(run: Run, node: ir.If) -> None:
    """`if counter >= patience: break`: the scores behind the counter decide when training stops."""
    numbers = {run.patience[name] for name in _text_of_test(node.test) if name in run.patience}
    if numbers and any(_stops(statement) for statement in _deep(node.body)):
        for number in numbers:
            _mark_stop(run, number)


def _mark_stop(run: Run, number: int) -> None:
    select = run.events[number]
    if isinstance(select, Select):
        run.amend(number, keeps=select.keeps | {"stop"})


def _stops(statement: ir.Stmt) -> bool:
    if isinstance(statement, ir.Jump):
        return statement.kind == "break"
    if isinstance(statement, ir.Return):
        return True
    return isinstance(statement, ir.Assign) and any(
        isinstance(t, (ir.Name, ir.Attribute)) and "stop" in t.name.lower() for t in statement.targets
    )


def _deep(statements: Sequence[ir.Stmt]) -> list[ir.Stmt]:
    """Statements and those of nested branches."""
    found: list[ir.Stmt] = []
    stack = list(statements)
    while stack:
        statement = stack.pop()
        found.append(statement)
        if isinstance(statement, ir.If):
            stack.extend([*statement.body, *statement.orelse])
    return found


def _is_dict_of_best(target: ir.Expr, run: Run) -> bool:
    return bool(_BEST.search(_text_of(target)))


def _text_of_test(node: ir.Expr) -> list[str]:
    found: list[str] = []
    stack: list[Any] = [node]
    while stack:
        one = stack.pop()
        if isinstance(one, (ir.Name, ir.Attribute)):
            found.append(one.name)
        elif isinstance(one, ir.Compare):
            stack.extend([one.left, *(value for _, value in one.rest)])
        elif isinstance(one, ir.Boolean):
            stack.extend([one.left, one.right])
    return found


def choose(run: Run, node: ir.Node, value: Array, how: str, *, key: bool = False, running: bool = False) -> Value:
    """max, min, argmax or sorting over figures: the best of them is taken. `key`: what the figures belong to is taken.

    `running`: the better of two is kept in every round, `best = max(best, auc)`."""
    entry = _metric(run, value.scores) == "confusion_matrix" and not (key and value.owner == RATE)
    if _mixed(run, value.scores) or entry:  # the largest entry of a matrix is no best
        return value
    thresholds = [n for n in value.scores if isinstance(e := run.events[n], Score) and e.metric in _CURVES]
    repeated = [
        loop
        for n in sorted(value.scores)
        for loop in run.events[n].loops
        if loop.kind not in (LoopKind.BATCH, LoopKind.GROUP, LoopKind.FILE)
    ]
    if thresholds:
        what = "threshold"
    elif value.owner == "folds" and not value.shown:  # the best of several means is no best fold
        what = "fold"
    elif isinstance(value, Array) and value.kind == "history":
        what = "epoch"
    else:
        what = (what_is_chosen(run, value.scores) if running else "") or (
            _chosen_in(run, repeated[-1], value.scores)
            if repeated
            else what_is_chosen(run, value.scores) or ("model" if len(value.scores) > 1 else "")
        )
    if not what or what == "batch":
        return value
    as_figure(run, value.scores)
    number = run.emit(
        Select,
        node,
        what=what,
        how=how,
        scores=value.scores,
        data=scored_data(run, value.scores),
        metric=_metric(run, value.scores),
        # The largest loss among others may well be told as the worst; only who takes what it belongs to takes it for the best.
        direction=""
        if how in PLAIN_EXTREMES and not key
        else directed("up" if "max" in how else "down" if "min" in how else "", value),
        keeps=frozenset({"model" if what == "model" and (key or how.startswith(("arg", "idx"))) else "score"}),
    )
    chosen = frozenset({number}) if what == "threshold" else frozenset()
    return condensed(value.but(kind="figure", owner=("chosen", number, what), chosen=chosen), how)


# -- what reaches a reader -------------------------------------------------------------------------------------------


def statement(run: Run, node: ir.ExprStmt, value: Value) -> None:
    """An expression statement: the last one of a notebook cell is shown to the reader."""
    unit = run.frames[-1].module.unit
    if unit.kind == "notebook" and len(run.frames) == 1 and not run.loops and not isinstance(value, Const):
        run.report(node.value, [value], "cell")


def after_assign(run: Run, node: ir.Assign, value: Value) -> None:
    """`best = model.state_dict()`: weights captured under a name; `p.grad = None`: gradients cleared by hand."""
    target = node.targets[0]
    if isinstance(target, ir.Attribute) and target.name in ("grad", "_grad"):
        run.emit(ZeroGrad, node, subject=None)
        return
    name = target.name if isinstance(target, (ir.Name, ir.Attribute)) else ""
    if isinstance(value, Dict) and isinstance(node.value, ir.DictDisplay) and name:
        _hold_weights(run, node, name, value)
    network = isinstance(value, Obj) and isinstance(node.value, ir.Name) and value.is_a("module", "layer", "pretrained")
    if isinstance(value, Obj) and network and run.improving and _BEST.search(name):
        run.emit(Weights, node, subject=value.subject, action="alias", name=name, improving=True)
    for item_target, item in _pairs(target, value, node) if isinstance(value, (Array, Seq)) else ():
        label = item_target or name
        if isinstance(item, Array) and item.kind == "weights" and isinstance(item.owner, tuple) and label:
            action = "copy" if COPIED in item.owner else "reference"
            for obj in item.owner:
                if isinstance(obj, Obj):
                    run.emit(Weights, node, subject=obj.subject, action=action, name=label, improving=run.improving)
    pairing(run, node)


def _hold_weights(run: Run, node: ir.Assign, name: str, held: Dict) -> None:
    """`best = {"epoch": epoch, "model": model.state_dict()}`: weights captured in a mapping that has a name."""
    for key, item in held.items.items():
        if (
            isinstance(item, Array)
            and item.kind == "weights"
            and isinstance(item.owner, tuple)
            and isinstance(item.owner[0], Obj)
        ):
            action = "copy" if COPIED in item.owner else "reference"
            run.emit(Weights, node, subject=item.owner[0].subject, action=action, name=name, improving=run.improving)
            held.cells["items"] = {**held.items, key: item.but(name=name)}  # made by this very statement: no arm has another


def _pairs(target: ir.Expr, value: Value, node: ir.Assign) -> list[tuple[str, Value]]:
    if isinstance(target, ir.Collection) and isinstance(value, Seq) and len(target.items) == len(value.items):
        return [
            (t.name if isinstance(t, (ir.Name, ir.Attribute)) else "", v) for t, v in zip(target.items, value.items, strict=True)
        ]
    return [(target.name if isinstance(target, (ir.Name, ir.Attribute)) else "", value)]


def pairing(run: Run, node: ir.Assign) -> None:
    """Remember `X_trainE = expr[train_index]`, so that the test part cut from another table is noticed (MLB714)."""
    if not isinstance(node.value, (ir.Subscript, ir.Collection)):
        return

    targets = node.targets[0].items if isinstance(node.targets[0], ir.Collection) else [node.targets[0]]
    values = (
        node.value.items if isinstance(node.value, ir.Collection) and isinstance(node.targets[0], ir.Collection) else [node.value]
    )
    if len(targets) != len(values):
        return
    for target, value in zip(targets, values, strict=True):
        if not isinstance(target, ir.Name) or not isinstance(value, ir.Subscript) or not all(map(_everything, value.index[1:])):
            continue
        role = role_of_name(target.name)
        base_node = value.value
        base = ir.dotted_name(
            base_node.value if isinstance(base_node, ir.Attribute) and base_node.name in ("iloc", "loc", "values") else base_node
        )
        index = ir.dotted_name(value.index[0])
        if role not in ("train", "test") or not base or role_of_name(index) != role:
            continue
        key = re.sub(r"(?i)(train|test|trn|tst)", "*", target.name)
        known = run.pairs.setdefault(key, {})
        if len(known) == 2:  # the names are given to another pair
            known.clear()
        known[role] = (target.name, base, run.site(value))
        if len(known) == 2:
            train, test = known["train"], known["test"]
            same = "." not in train[1] + test[1] and _same_table(
                run.eval(ir_name(train[1], node)), run.eval(ir_name(test[1], node))
            )
            controls = sum(
                1 for k, pair in run.pairs.items() if k != key and len(pair) == 2 and pair["train"][1] == pair["test"][1]
            )
            if train[1] != test[1] and not same and controls:
                run.emit(
                    Pairing,
                    test[2],
                    train_name=train[0],
                    train_base=train[1],
                    test_name=test[0],
                    test_base=test[1],
                    controls=controls,
                )


def _everything(index: ir.Expr) -> bool:
    """Whether an index takes all columns: the `:` of `X[rows, :]`."""
    return isinstance(index, ir.Slice) and index.lower is None and index.upper is None and index.step is None


def _same_table(a: Value, b: Value) -> bool:
    """Whether two names stand for one table, or copies of it."""
    if isinstance(a, Array) and isinstance(b, Array) and a.rows.known:
        return (a.rows, a.learned, a.column) == (b.rows, b.learned, b.column)
    return a is b


def ir_name(name: str, node: ir.Node) -> ir.Name:
    """A name node at the place of another node."""
    made = ir.Name(name)
    made.id, made.st = node.id, node.st
    return made
