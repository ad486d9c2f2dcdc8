"""MLB717: several rows of one entity are split row by row."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from mllint_bio.events import Data, Site, Split
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rows import Derived, Equals, EqualsValue, Part, Rows, Selection
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class DependentSamplesSplitAtRandom(Rule):
    """Several rows come from one entity, but the split is made row by row.

    ## What it does
    Reports a random split without groups on data for which the code itself shows that one patient, recording, slide or cell
    line has several rows: grouping by an identifier, rows appended per patient, windows or tiles cut from longer objects
    (`windows`), repeated identifiers, a group splitter elsewhere in the program, a column that the configuration lists among
    `group-columns`. Folds are the variant `cv`. Where an identifier was only dropped (`patient_id`) and nothing shows how often
    its values occur, the finding is possible (`lexicon`, preview).

    Not reported: group splitters; a split of the unique identifiers followed by `isin`; one row per entity; splits without
    shuffling of rows that were not shuffled before; a further split of rows whose entities were kept out of the test rows before,
    or of a part of a split that is reported.

    ## Why it is bad
    Rows of one patient resemble each other. The model recognises the patient and not the disease: with 40 subjects of 8 rows
    each and no signal a forest reaches an area under the curve of 0.98.

    ## Example
    ```python
    for pid, rec in ecg_by_patient.items():
        for s in range(0, rec.shape[0] - 2500, 500):
            rows.append((rec[s : s + 2500], af_label[pid]))
    X, y = map(np.array, zip(*rows))
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.2, random_state=0)
    ```

    ## Use instead
    ```python
    tr, te = next(GroupShuffleSplit(1, test_size=0.2, random_state=0).split(X, y, groups=pid))
    X_tr, X_te, y_tr, y_te = X[tr], X[te], y[tr], y[te]
    ```

    ## How a run confirms it
    The identifiers shared by the parts are counted; the counterfactual splits by group and gives the drop.

    ## References
    Lee et al. 2022, tips 4 and 7; Kapoor & Narayanan 2023, L3.2; REFORMS 6b; DOME 1.2, 1.3; Whalen et al. 2022 (dependent
    examples).
    """

    code = "MLB717"
    name = "dependent-samples-split-at-random"
    tip = 7
    severity = Severity.WARNING
    variants = ("group-evidence", "windows", "cv", "lexicon")
    preview_variants = frozenset({"lexicon"})
    remedy = "Split by the entity: GroupShuffleSplit, GroupKFold or StratifiedGroupKFold with its identifier."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Random row-wise splits of rows that belong together."""
        if trace.options.get("protocol") == "within-subject" or not trace.trains:
            return
        told = set()
        cut: set[tuple[str, tuple[Site, ...]]] = set()
        said: list[Rows] = []
        apart = {key for split in trace.of(Split) if split.grouped for part in split.parts for key in _splits_of(part)[-1:]}
        for split in trace.of(Split):
            windows = any(isinstance(step, Derived) and step.how == "window" for step in split.data.rows.steps())
            if split.at in told or not _at_random(split) or split.grouped is not False:
                continue
            if not (split.data.group or windows):
                if split.identifier:
                    told.add(split.at)
                    yield self.finding(
                        split,
                        f"`{split.identifier}` was dropped and the rows are split at random: if it has several rows, they are in "
                        "training and evaluation.",
                        confidence=Confidence.POSSIBLE,
                        variant="lexicon",
                    )
                continue
            if apart.intersection(_splits_of(split.data.rows)) or _without_one(split.data):
                continue  # a validation part of rows whose entities have none among the test rows
            if any(_instead(trace, split, other) for other in trace.of(Split)):
                continue  # the program splits by group where there are groups
            told.add(split.at)
            if any(split.data.rows.subset(part) for part in said):
                continue  # a validation part of rows whose first split is at fault
            said += split.parts
            if split.how == "slice" and (split.data.group, split.calls) in cut:
                continue  # samples and labels are cut at one place
            cut.add((split.data.group, split.calls))
            entity = split.data.group if len(split.data.group) > 2 else "entity" if split.data.group else "recording"
            rows = "windows cut from" if windows else "rows of"
            yield self.finding(
                split,
                f"Several {rows} one {entity} are split at random, row by row: the same {entity} is in training and evaluation.",
                confidence=Confidence.CERTAIN if split.data.group else Confidence.LIKELY,
                variant="windows" if windows else "cv" if split.how == "fold" else "group-evidence",
            )


def _instead(trace: Trace, split: Split, other: Split) -> bool:
    """Whether another split of the same rows is by group, and one of the two is made only if a condition holds."""
    here = other.calls == split.calls and other.data.rows == split.data.rows
    return bool(other.grouped) and here and (trace.exclusive(split, other) or other.branch != split.branch)


def _splits_of(rows: Rows) -> list[Hashable]:
    """The splits whose parts the rows are of, the last one last."""
    return [step.split for step in rows.steps() if isinstance(step, Part)]


def _without_one(data: Data) -> bool:
    """Whether the rows are those of all entities but one: `table[table["patient"] != patient]`."""
    keys = [step.key for step in data.rows.steps() if isinstance(step, Selection) and not step.positive]
    columns = [key.column for key in keys if isinstance(key, (Equals, EqualsValue))]
    return any(isinstance(column, tuple) and column[1:] == (data.group,) for column in columns)


def _at_random(split: Split) -> bool:
    """Whether rows are dealt at random: by the split, or because their order was random before."""
    return split.shuffles is True or (split.shuffles is False and split.data.ordered == "shuffled")
