"""MLB303."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Split
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip3.streams import by_hand, kept, predicts_only, unused


class UnseededSplit(Rule):
    """The split into training and test rows is random and unseeded.

    ## What it does
    Reports a call that shuffles rows into parts or folds without a seed, when no global seed covers its generator:
    `train_test_split`, `KFold(shuffle=True)`, `ShuffleSplit`, `random_split`, `DataFrame.sample`, a permutation
    that is sliced. A split that is written to disk is kept and therefore not reported; a seed from a configuration
    counts as a seed.

    ## Why it is bad
    The rows that are held out change on every run, so two reported numbers never speak about the same test set, and
    a pretrained model may later be tested on rows that it was trained on.

    ## Example
    ```python
    X_train, X_test, y_train, y_test = train_test_split(expr, responder, test_size=0.2, stratify=responder)
    ```

    ## Use instead
    ```python
    X_train, X_test, y_train, y_test = train_test_split(
        expr, responder, test_size=0.2, stratify=responder, random_state=SEED
    )
    ```

    ## How a run confirms it
    Two runs are compared by the hash of the row tokens of each part; ten seeds give the range of the test metric
    that could have been reported.

    ## References
    Lee et al., tip 3; scikit-learn, Controlling randomness; DOME 1.2, 1.4 (release exact splits); REFORMS 2b, 5c.
    """

    code = "MLB303"
    name = "unseeded-split"
    tip = 3
    severity = Severity.WARNING
    confirmed_by = "repeat"
    programs_only = True
    skip_tests = True

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per place of an unseeded random split."""
        if not trace.is_program or predicts_only(trace):
            return
        seen: set[object] = set()
        for split in trace.of(Split):
            if split.shuffles is not True or split.seeded is not False or not split.stream or trace.seeded(split.stream):
                continue
            cut: object = split.at
            if split.how == "slice":  # features and labels are cut alike
                cut = tuple(part.steps()[-1:] or split.at for part in split.parts)
            if split.at in seen or cut in seen or kept(trace, split) or unused(trace, split):
                continue
            if by_hand(split) and not trace.studies:
                continue
            seen |= {split.at, cut}
            drawn = "The shuffle before this cut" if split.how == "slice" else f"`{split.api.rsplit('.', 1)[-1]}`"
            held = "folds change" if split.how == "fold" else "held-out rows change"
            where = "its own generator, which has no seed" if split.stream == "own" else f"the unseeded {split.stream} generator"
            yield self.finding(
                split,
                f"{drawn} draws from {where}: the {held} on every run.",
                remedy=f"Give the split {_argument(split.stream)}, or seed the {split.stream} generator before it."
                if split.stream != "own"
                else "Make the generator with a fixed seed.",
            )


def _argument(stream: str) -> str:
    return "`generator=torch.Generator().manual_seed(SEED)`" if stream == "torch" else "a `random_state` (or `seed`)"
