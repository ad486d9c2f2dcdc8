"""Attributes and methods of data, lists, mappings and texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mllint_bio import catalog
from mllint_bio.events import LoopKind, Resample, Split
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call, Updated
from mllint_bio.predict.library.arithmetic import in_both, names_device
from mllint_bio.predict.library.contents import (
    ARCHIVE,
    arrays_in,
    as_array,
    as_columns,
    base_of,
    blend,
    is_opaque,
    listing,
    member_of,
    of_columns,
    row_count,
    scores_of,
    selection_of,
    shown,
)
from mllint_bio.predict.library.growth import (
    collect,
    cuts_windows,
    exclusive,
    extend,
    grouped,
    grow,
    note_growth,
    of_one_recording,
    one_of_each,
    several_of_one,
)
from mllint_bio.predict.library.indexing import entered
from mllint_bio.predict.library.notes import Aggregate, Distinct, emit_draw, single_key, with_statistic
from mllint_bio.predict.library.operations import apply_method
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Const,
    Dict,
    Obj,
    Seq,
    Value,
    as_mapping,
    constant,
    is_hashable,
    join,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

_FIELD = re.compile(r"\{(\w+)\.(\w+)")
INDEXERS = frozenset({"iloc", "loc", "iat", "at", "ix"})


def array_attribute(run: Run, value: Array, name: str, node: ir.Node) -> Value:
    """`data.name` where it is not called."""
    if name in INDEXERS:
        return Array(kind="indexer", owner=(value,), rows=value.rows, name=value.name)
    if name == "shape":
        return Array(kind="shape", linear=row_count(value), rows=UNKNOWN_ROWS, base=UNKNOWN_ROWS if value.turned else value.rows)
    if name == "index" and (of_columns(value) or value.kind == "columns"):
        return as_columns(value)
    if name == "index" and value.scores:
        return value
    if name == "index" and value.has_rows:
        return Array(kind="index", rows=value.rows, base=base_of(value.rows), ordered=value.ordered, across=value.across)
    if name in ("n_obs",):
        return Array(kind="scalar", linear=row_count(value))
    described = catalog.method(name)
    if described is not None and described.get("attribute"):
        return apply_method(run, value, described, Call(node, [], {}), name)  # type: ignore[arg-type]
    if name == "__dict__" and value.kind == "config":
        return value
    if described is not None or name.startswith("_"):
        return Bound_(value, name)
    if value.kind in ("config", "scalar"):
        return Array(kind="config", name=name) if value.kind == "config" else value
    if value.kind in ("unknown", "param") and not value.has_rows:
        return Array(kind="unknown", name=name)
    if value.owner == ARCHIVE and name == "f":  # the arrays of a `numpy.load` as attributes
        return value
    if is_opaque(value) or (value.owner == ARCHIVE and role_of_name(name)):
        return member_of(value, name)
    return value.but(column=name, linear=None, mask=None, name=value.name)


def value_method(run: Run, value: Value, name: str, call: Call) -> Value:
    """`value.name(...)` for data, containers and constants."""
    if isinstance(value, Seq):
        return _sequence_method(run, value, name, call)
    if isinstance(value, Dict):
        return _dict_method(run, value, name, call)
    if isinstance(value, Const):
        return _constant_method(run, value, name, call)
    if isinstance(value, Bound_) and isinstance(value.receiver, Array):
        return value_method(run, value.receiver, name, call)
    if not isinstance(value, Array):
        return blend(run, call.everything())
    from mllint_bio.predict.library.calls import method_of_unknown

    special = method_of_unknown(run, value, name, call)
    if special is not None:
        return special
    if name == "sort" and value.unordered:
        return Updated(value.but(unordered=None, ordered=""), NONE)
    if value.kind == "groups" and name == "transform":
        return _group_statistic(run, value, call)
    if value.kind == "groups" and name in _OF_EACH_GROUP and value.has_rows and isinstance(value.owner, str):
        return _one_of_each_group(run, value, name, call)
    if name == "duplicated" and value.has_rows:
        entity = single_key(value.column, call)
        return value.but(kind="mask", mask=(Distinct(entity, run.site(call.node)), False), column="", linear=None)
    if name == "train_test_split" and value.has_rows:
        return _split_dataset(run, value, call)
    described = catalog.method(name)
    if described is None or name == "sample" and not value.has_rows and not call.everything():  # of a generative model
        return _undescribed_method(run, value, name, call)
    return apply_method(run, value, described, call, name)


_OF_EACH_GROUP = {"first": 1, "last": 1, "nth": 1, "head": 5, "tail": 5, "idxmin": 1, "idxmax": 1}  # rows by default


def _one_of_each_group(run: Run, groups: Array, name: str, call: Call) -> Value:
    """One row of each group, or several."""
    site, wanted = run.site(call.node), call.get("n", ("n",))
    several = wanted is None and _OF_EACH_GROUP[name] > 1
    if wanted is not None and name in ("nth", "head", "tail"):
        several = not isinstance(wanted, Const) or (name != "nth" and wanted.value != 1)
    rows = groups.rows.some(site if several else Distinct(str(groups.owner), site))
    if name.startswith("idx"):
        return Array(kind="index", rows=rows, base=base_of(groups.rows))
    return groups.but(kind="table", rows=rows, owner=None, column="", linear=None)


_DATASET_SPLIT = (  # https://huggingface.co/docs/datasets/package_reference/main_classes#datasets.Dataset.train_test_split
    "test_size",
    "train_size",
    "shuffle",
    "stratify_by_column",
    "seed",
)


def _split_dataset(run: Run, value: Array, call: Call) -> Dict:
    """`datasets.Dataset.train_test_split`: a dictionary of two parts."""
    site = run.site(call.node)
    shuffle, seed = call.get("shuffle", _DATASET_SPLIT), call.get("seed", _DATASET_SPLIT)
    shuffles = not (isinstance(shuffle, Const) and shuffle.value is False)
    seeded = seed is not None and seed is not NONE
    if shuffles and not seeded:
        emit_draw(run, call.node, "numpy", "Dataset.train_test_split", "split")
    parts = (value.rows.part(site, 0, 2, random=shuffles), value.rows.part(site, 1, 2, random=shuffles))
    run.emit(
        Split,
        call.node,
        data=value.view(),
        parts=parts,
        how="call",
        api="Dataset.train_test_split",
        shuffles=shuffles,
        seeded=seeded,
        stratified=call.get("stratify_by_column", _DATASET_SPLIT) is not None,
        stream="numpy",
    )
    return Dict({role: value.but(rows=rows, name=role, order=None) for role, rows in zip(("train", "test"), parts, strict=True)})


def _group_statistic(run: Run, value: Array, call: Call) -> Array:
    """`table.groupby(key)[column].transform("mean")`: every row gets a statistic of its group's rows."""
    how = call.at(0)
    name = str(how.value) if isinstance(how, Const) else ""
    return with_statistic(run, call.node, value, Aggregate(value.view(), run.site(call.node), value.column, name))


def _undescribed_method(run: Run, value: Array, name: str, call: Call) -> Value:
    merged = blend(run, [value if value.kind != "empty" else UNKNOWN, *call.everything()])
    if value.kind == "config":
        return Array(kind="config", name=name, owner=value.owner, chosen=value.chosen)
    if name.startswith("add") and value.kind == "unknown" and merged.scores - value.scores:  # a table of results takes them up
        return Updated(value.but(scores=merged.scores), merged)
    if value.has_rows and value.kind in ("param", "unknown", "table", "array", "item", "dataset"):
        return merged.but(rows=value.rows.some(run.site(call.node)), kind="unknown", linear=None)
    if not merged.has_rows:
        return merged.but(kind="unknown", rows=run.source(call.node, name), linear=None)
    return merged


def _sequence_method(run: Run, value: Seq, name: str, call: Call) -> Value:
    argument = run.labelled(call.at(0) or UNKNOWN, whole=True) if name == "append" else call.at(0) or UNKNOWN
    if name in ("append", "extend"):
        note_growth(run, value, argument, call)
    if name in ("append", "add", "appendleft"):
        argument = _with_variants(run, value, selection_of(run.selecting, argument), call)
        if isinstance(argument, Array) and argument.name == "val":  # a value, as what is appended is called
            argument = argument.but(name="")
        nested = len(list(run.loops))
        if nested and cuts_windows(run, run.loops, value.cells.get("#made") or ()):
            argument = of_one_recording(argument)
        if nested and run.loops[-1].kind is LoopKind.GROUP and run.loops[-1] not in (value.cells.get("#made") or ()):
            argument = one_of_each(run, argument)
        item = grouped(run, argument, value) if nested >= 2 else argument
        if nested and not _once_each(run, value):
            collect(run, value, _sorted_out(run, value, item))
        else:
            grow(run, value, [item])
        return NONE
    if name in ("extend", "update"):
        made_here = isinstance(argument, Seq) and len(run.loops) > len(value.cells.get("#made") or ())
        extend(run, value, several_of_one(run, argument) if made_here else argument)
        return NONE
    if name == "insert":
        collect(run, value, call.at(1) or UNKNOWN)
        return NONE
    if name == "pop":
        return value.element()
    if name in ("copy", "union"):
        return Seq(value.kind, value.items, value.rest)
    if name in ("difference",):
        a, b = as_array(value), as_array(argument)
        return a.but(rows=a.rows.without(b.rows)) if a is not None and b is not None and a.has_rows and b.has_rows else value
    if name == "intersection":
        a, b = as_array(value), as_array(argument)
        if a is not None and b is not None and (a.has_rows or b.has_rows):
            return in_both(run, call.node, a, b)
    if name in ("sort", "reverse"):
        return NONE
    if name in ("index", "count"):
        return Array(kind="scalar", scores=scores_of(value))
    return blend(run, [value, *call.everything()])


def _once_each(run: Run, sequence: Seq) -> bool:
    """Whether the loops that a list grows in are executed member by member, so that what they append stays apart."""
    made = sequence.cells.get("#made") or ()
    return not run.branch[run.round :] and all(loop in run.unrolled for loop in run.loops[len(made) :])


def _sorted_out(run: Run, sequence: Seq, value: Value) -> Value:
    """What one arm of a branch in a loop appends: of the samples that the loop goes over, those for which it is taken.

    `train.append(row) if ... else test.append(row)`. A list that grows in both arms has all of them.
    """
    arms = run.branch[run.round :]
    samples = [array for array in arrays_in(value) if array.has_rows and array.kind in ("item", "index") and not array.prediction]
    if not arms or not samples:
        return value
    for rows in {sample.rows for sample in samples}:
        chosen = rows
        for site, number in arms:
            chosen = chosen.select((site, run.calls), number == 0) if number < 2 else chosen.some((site, run.calls, number))
        value = _of_rows(value, rows, chosen)
    known = sequence.cells.get("#sorted") or frozenset()
    run.write(sequence, "#sorted", known | {site for site, _ in arms})
    return value


def _with_variants(run: Run, sequence: Seq, value: Value, call: Call) -> Value:
    """What is appended in a loop; a changed copy of a sample that joins the list of its original makes both variants of one."""
    sample = next((array for array in arrays_in(value) if array.has_rows), None)
    if not run.loops or sample is None or run.inside_forward or sample.prediction is not None:
        return value
    original, branch = sequence.cells.get("#original") or (None, ())
    if sample.owner != "augmented":
        if original is None:
            run.write(sequence, "#original", (sample.rows, run.branch))
    elif original == sample.rows and not exclusive(branch, run.branch) and "#variants" not in sequence.cells:
        made = sample.rows.derived(run.site(call.node), "augment", run.branch)
        run.emit(Resample, call.node, data=sample.view(), result=made, lineage="augment", api="append", balances=False)
        run.write(sequence, "#variants", made)
        if sequence.rest is not None:
            run.write(sequence, "rest", _of_rows(sequence.rest, sample.rows, made))
    variants = sequence.cells.get("#variants")
    return _of_rows(value, original, variants) if isinstance(variants, Rows) and original is not None else value


def _of_rows(value: Value, rows: Rows, others: Rows) -> Value:
    """A value, where data of these rows are data of others."""
    if isinstance(value, Array):
        return value.but(rows=others) if value.rows == rows else value
    if isinstance(value, Seq):
        return Seq(value.kind, [_of_rows(item, rows, others) for item in value.items], value.rest)
    return value


def _dict_method(run: Run, value: Dict, name: str, call: Call) -> Value:
    argument = call.at(0)
    if name in ("get", "pop", "setdefault"):
        known = isinstance(argument, Const) and is_hashable(argument.value)
        if isinstance(argument, Const) and known and argument.value in value.items:
            return value.items[argument.value]
        default = call.at(1)
        found = value.rest if known or not value.items else value.element()
        if found is not None:
            return join(found, default or NONE) if name == "get" else found
        if name == "setdefault" and default is not None:
            return entered(run, value, argument, default)
        return default if default is not None else NONE if name == "get" else UNKNOWN
    if name == "values":
        return Seq("list", value.items.values(), value.rest)
    if name == "keys":
        return Seq("list", [Const(k) for k in value.items], UNKNOWN if value.rest is not None else None)
    if name == "items":
        pairs = [Seq("tuple", [Const(k), v]) for k, v in value.items.items()]
        return Seq("list", pairs, Seq("tuple", [UNKNOWN, value.rest]) if value.rest is not None else None)
    if name == "update":
        added = as_mapping(argument) if argument is not None else None
        whose = value.cells.get("#fields_of")
        if isinstance(whose, Obj):  # `self.__dict__.update(settings)`
            for key, content in {**(added.items if added is not None else {}), **call.kwargs}.items():
                run.write(whose, f".{key}", content)
        run.write(value, "items", {**value.items, **(added.items if added is not None else {}), **call.kwargs})
        unnamed = added.rest if added is not None else argument if isinstance(argument, Array) else None
        if unnamed is not None:
            run.write(value, "rest", unnamed if value.rest is None else join(value.rest, unnamed))
        return NONE
    if name == "copy":
        return Dict(value.items, value.rest)
    return blend(run, [value.element(), *call.everything()])


def _filled_in(run: Run, template: str, call: Call) -> list[Value]:
    """What `template.format(...)` puts into its fields; `{loss.avg:.3f}` takes an attribute of an argument."""
    found = [shown(run, value, call.node) for value in call.everything()]
    for name, attribute in _FIELD.findall(template):
        value = call.kwargs.get(name) or (call.at(int(name)) if name.isdigit() else None)
        if isinstance(value, Obj):
            found.append(run.attribute(value, attribute, call.node))
    return found


def _constant_method(run: Run, value: Const, name: str, call: Call) -> Value:
    if isinstance(value.value, str):
        if name in ("glob", "rglob", "iterdir"):  # a path that is spelt out
            return listing(run, name, call)
        if name == "format":
            if names_device(value):
                return Array(kind="text", name=value.value)
            return blend(run, [*_filled_in(run, value.value, call), *call.spread]).but(kind="text")
        if name == "join":
            return blend(run, call.everything()).but(kind="text", group="")  # one text of several pieces
        plain = [a.value for a in call.args if isinstance(a, Const)]
        if name in ("lower", "upper", "strip", "replace", "startswith", "endswith", "rstrip", "lstrip", "title") and len(
            plain
        ) == len(call.args):
            try:
                return constant(getattr(value.value, name)(*plain))
            except (TypeError, ValueError):
                return UNKNOWN
        if name == "split" and len(plain) == len(call.args):
            try:
                return Seq("list", [Const(part) for part in value.value.split(*plain)])
            except (TypeError, ValueError):
                return UNKNOWN
    return UNKNOWN
