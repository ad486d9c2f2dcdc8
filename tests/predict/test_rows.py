"""Row sets: what is claimed of symbols must hold for the rows that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import product
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllint_bio.rows import NO, UNKNOWN, UNKNOWN_ROWS, YES, Answer, Bound, Equals, Rows, common, either, exact, source, union

TABLE = source("read_csv", "patients.csv")
TRAIN, TEST = (TABLE.part("split", k, 2, random=True) for k in (0, 1))


# -- examples --------------------------------------------------------------------------------------------------------


def test_parts_of_one_split_are_disjoint_and_together_the_table() -> None:
    """A split divides: no row is in two parts, all rows are in one."""
    assert TRAIN.overlap(TEST) is NO
    assert TRAIN.disjoint(TEST) is YES
    assert TRAIN.subset(TABLE) is YES
    assert union([TRAIN, TEST]) == TABLE


def test_two_splits_of_one_table_prove_nothing_about_each_other() -> None:
    """Parts of different splits may or may not share rows; two random ones share some almost surely."""
    other = TABLE.part("second split", 1, 2, random=True)
    assert TRAIN.overlap(other) is UNKNOWN
    assert TRAIN.drawn_independently(other)
    assert not TRAIN.drawn_independently(TEST)


def test_copies_made_in_one_arm_are_compared_with_that_arm() -> None:
    """Where an option decided whether rows were copied, the copies can only be met if it did."""
    copies = TABLE.derived("resample", "bootstrap", (("if", 0),))
    enlarged = either("if", (copies, TABLE))
    assert enlarged.part("split", 1, 2).overlap(copies) is YES
    assert either("another if", (copies, TABLE)).part("split", 1, 2).overlap(copies) is UNKNOWN


def test_two_files_hold_different_samples() -> None:
    """Rows of two load events are taken to be different samples."""
    assert TABLE.overlap(source("read_csv of another file")) is NO


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((None, 100), (100, None), NO),
        ((None, 100), (50, None), YES),
        ((None, -20), (-20, None), NO),
        ((None, -3), (2, None), UNKNOWN),
        ((10, 20), (20, 30), NO),
    ],
)
def test_slices_compare_by_their_boundaries(
    first: tuple[float | None, float | None], second: tuple[float | None, float | None], answer: Answer
) -> None:
    """Boundaries that count from opposite ends are not compared."""
    one, two = (TABLE.slice(*(None if b is None else Bound(b) for b in bounds)) for bounds in (first, second))
    assert one.overlap(two) is answer


def test_slices_at_a_fraction_of_the_length_meet_at_one_row() -> None:
    """`int(0.8 * n)` is a boundary like any other: what ends there and what starts there are disjoint."""
    cut = Bound(0.0, (("len(table)", 0.8),))
    assert TABLE.slice(None, cut).overlap(TABLE.slice(cut, None)) is NO
    assert union([TABLE.slice(None, cut), TABLE.slice(cut, None)]) == TABLE


def test_a_narrowed_slice_is_not_known_to_reach_another() -> None:
    """Two slices overlap, but a selection inside one of them may leave out the common rows."""
    assert TABLE.slice(None, Bound(60)).select("age > 40").overlap(TABLE.slice(Bound(50), None)) is UNKNOWN


def test_the_slices_of_joined_tables_divide_them() -> None:
    """The first rows of two tables below each other are not the first rows of each of them."""
    joined = union([TABLE, source("controls")])
    before, after = joined.slice(None, Bound(80)), joined.slice(Bound(80), None)
    assert before.overlap(after) is NO
    assert before.subset(joined) is YES
    assert before.overlap(TABLE.slice(Bound(80), None)) is UNKNOWN


def test_constants_of_one_column_select_different_rows() -> None:
    """`sex == "f"` and `sex == "m"` are disjoint; conditions on two columns are not comparable."""
    women, men = (TABLE.select(Equals("sex", value)) for value in "fm")
    assert women.overlap(men) is NO
    assert women.overlap(TABLE.select(Equals("site", "f"))) is UNKNOWN


def test_without_gives_the_other_part_or_a_complement() -> None:
    """What is left after dropping the training rows is the test part; after dropping anything else, what is not in it."""
    assert TABLE.without(TRAIN) == TEST
    drawn = TABLE.some("sample", random=True)
    assert TABLE.without(drawn).overlap(drawn) is NO
    assert TABLE.without(drawn).overlap(drawn.part("split", 0, 2)) is NO
    assert TABLE.without(drawn).subset(TABLE) is YES


def test_an_index_moves_to_another_table() -> None:
    """Rows that an index of the features chose are the same rows of the labels."""
    labels = source("labels")
    assert TRAIN.moved(TABLE, labels) == labels.part("split", 0, 2)
    assert TRAIN.moved(TABLE, TABLE) == TRAIN
    assert not TRAIN.moved(labels, source("third table")).known


def test_arms_of_one_branch_are_compared_arm_by_arm() -> None:
    """Rows that one `if` chose together are disjoint if they are in each arm; against anything else all arms count."""
    other = source("other")
    train = either("if", (TRAIN, other.part("split", 0, 2)))
    test = either("if", (TEST, other.part("split", 1, 2)))
    assert train.overlap(test) is NO
    assert train.overlap(TABLE) is UNKNOWN
    assert train.overlap(union([TABLE, other])) is YES


def test_copies_on_both_sides_share_an_origin() -> None:
    """Rows that were multiplied before the split have relatives in both parts; those multiplied afterwards have not."""
    copied = TABLE.derived("oversample", "copy")
    train, test = (copied.part("split", k, 2) for k in (0, 1))
    assert train.overlap(test) is NO
    assert train.shares_origin(test) is YES
    assert TRAIN.derived("oversample", "copy").shares_origin(TEST) is UNKNOWN


def test_unknown_rows_prove_nothing() -> None:
    """Every question about unknown rows is open, and a union with them is unknown."""
    assert UNKNOWN_ROWS.overlap(TABLE) is UNKNOWN
    assert TABLE.subset(UNKNOWN_ROWS) is UNKNOWN
    assert not union([TABLE, UNKNOWN_ROWS]).known


def test_the_common_table_of_two_groups() -> None:
    """Cases and controls come from one table; rows of two files have none in common."""
    cases, controls = TRAIN.select(Equals("er", 1)), TRAIN.select(Equals("er", 0))
    assert common([cases, controls]) == TRAIN
    assert not common([cases, source("other")]).known
    assert not common([]).known


def numbered(rows: frozenset[int]) -> Rows:
    return exact({7: sum(1 << row for row in rows)}, "table")


@given(st.frozensets(st.integers(0, 5), min_size=1), st.frozensets(st.integers(0, 5), min_size=1))
def test_observed_rows_answer_as_sets_do(mine: frozenset[int], theirs: frozenset[int]) -> None:
    """Rows that a real run identified are compared exactly, and counted."""
    a, b = numbered(mine), numbered(theirs)
    assert (a.overlap(b) is YES, a.disjoint(b) is YES, a.subset(b) is YES) == (
        bool(mine & theirs),
        not mine & theirs,
        mine <= theirs,
    )
    assert UNKNOWN not in (a.overlap(b), a.subset(b))
    assert union([a, b]) == numbered(mine | theirs)
    assert (a.shared(b), a.size) == (len(mine & theirs), len(mine))


def test_a_computed_table_may_hold_the_rows_of_another() -> None:
    """A table that the run saw only after a computation is not proven disjoint from others, but its own parts are."""
    table, train, test = exact({1: 0b1111}), exact({2: 0b0011}, loose=[2]), exact({2: 0b1100}, loose=[2])
    assert train.overlap(table) is UNKNOWN
    assert train.overlap(test) is NO
    assert not exact({}).known


def test_synthetic_rows_descend_from_the_rows_they_were_made_from() -> None:
    """Neighbours that were synthesised from all rows share their origin with every part of them."""
    everything = exact({1: 0b1111})
    synthetic = exact({2: 0b11}, made_from={2: everything})
    test = exact({1: 0b1000})
    assert not synthetic.overlap(test)
    assert synthetic.shares_origin(test) is YES
    assert union([exact({1: 0b0011}), synthetic]).shares_origin(test) is YES


# -- symbols against the rows that they stand for --------------------------------------------------------------------

Row = tuple[str, int]
Arms = tuple[int, int]  # the arm that each of the two branches takes
Exact = Callable[[Arms], frozenset[Row]]
ARMS: list[Arms] = [(0, 0), (0, 1), (1, 0), (1, 1)]
COUNTS = {"halves": 2, "thirds": 3}


class World:
    """Two tables of the same length, and what each key means: a function of the position, the same for both tables."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed

    def value(self, key: Hashable, row: Row, below: int) -> int:
        """What a split, condition or draw says of a row."""
        return crc32(f"{self.seed} {key} {row[1]}".encode()) // 64 % below

    def table(self, name: str) -> frozenset[Row]:
        """All rows of a table."""
        return frozenset((name, position) for position in range(self.length))

    def ordered(self, rows: frozenset[Row], order: str | None) -> list[Row]:
        """Rows as stored, or in a random order."""
        return sorted(rows, key=lambda row: row if order is None else (self.value(order, row, 10**6), row))


def plain(rows: Rows) -> bool:
    """Whether no union is inside: what is taken from a union may leave one of its parts empty, of which nothing is claimed."""
    return "|" not in repr(rows)


def divided(world: World, rows: Rows, exact: Exact, draw: st.DrawFn) -> tuple[Rows, Exact]:
    """One step from a row set, taken with the symbols and with the rows."""
    how = draw(st.sampled_from(["part", "slice", "select", "equals", "some"]))
    if how == "part":
        key = draw(st.sampled_from(sorted(COUNTS)))
        index = draw(st.integers(0, COUNTS[key] - 1))
        chosen = rows.part(key, index, COUNTS[key])
        return chosen, lambda arms: frozenset(r for r in exact(arms) if world.value(key, r, COUNTS[key]) == index)
    if how == "slice" and rows.steps():
        low, high = (draw(st.none() | st.integers(-4, 8)) for _ in range(2))
        order = draw(st.sampled_from([None, "permutation"]))
        lower, upper = (None if b is None else Bound(float(b)) for b in (low, high))
        return rows.slice(lower, upper, order), lambda arms: frozenset(world.ordered(exact(arms), order)[low:high])
    if how == "equals":
        constant = draw(st.integers(0, 2))
        return rows.select(Equals("sex", constant)), lambda arms: frozenset(
            r for r in exact(arms) if world.value("sex", r, 3) == constant
        )
    if how == "select":
        positive = draw(st.booleans())
        return rows.select("age > 40", positive), lambda arms: frozenset(
            r for r in exact(arms) if (world.value("age", r, 2) == 1) == positive
        )
    key = draw(st.sampled_from(["dropna", "sample"]))
    return rows.some(key), lambda arms: frozenset(r for r in exact(arms) if world.value(key, r, 3) > 0)


def combined(known: list[tuple[Rows, Exact]], draw: st.DrawFn) -> tuple[Rows, Exact]:
    """A union, a difference, or one of two sets by branch, of sets made before."""
    (rows, exact), (other, exact_other) = (draw(st.sampled_from(known)) for _ in range(2))
    how = draw(st.sampled_from(["union", "without", "either", "moved"] if plain(rows) else ["union", "either"]))
    if how == "union":
        return union([rows, other]), lambda arms: exact(arms) | exact_other(arms)
    if how == "without":
        return rows.without(other), lambda arms: exact(arms) - exact_other(arms)
    if how == "moved":
        return rows.moved(source("a"), source("b")), lambda arms: frozenset(("b", position) for _, position in exact(arms))
    branch = draw(st.integers(0, 1))
    return either(branch, (rows, other)), lambda arms: (exact_other if arms[branch] else exact)(arms)


@st.composite
def row_sets(draw: st.DrawFn) -> list[tuple[Rows, Exact]]:
    """Row sets of two small tables, each as a symbol and as the rows that it stands for in every arm."""
    world = World(draw(st.integers(6, 24)), draw(st.integers(0, 10**6)))
    known: list[tuple[Rows, Exact]] = [(source(n), lambda arms, n=n: world.table(n)) for n in "ab"]  # type: ignore[misc]
    for _ in range(draw(st.integers(2, 8))):
        if draw(st.booleans()):
            rows, exact = divided(world, *draw(st.sampled_from([pair for pair in known if plain(pair[0])])), draw)
        else:
            rows, exact = combined(known, draw)
        if rows.known and all(map(exact, ARMS)):  # a claim about rows that do not exist is no claim
            known.append((rows, exact))
    return known


def pairs(known: list[tuple[Rows, Exact]]) -> Iterator[tuple[Rows, Rows, list[tuple[frozenset[Row], frozenset[Row]]]]]:
    """All pairs of row sets, with their rows in every arm."""
    for (mine, rows_of_mine), (theirs, rows_of_theirs) in product(known, repeat=2):
        yield mine, theirs, [(rows_of_mine(arms), rows_of_theirs(arms)) for arms in ARMS]


@settings(max_examples=200, deadline=None)
@given(row_sets())
def test_overlap_never_contradicts_the_rows(known: list[tuple[Rows, Exact]]) -> None:
    """A yes means common rows in every arm, a no means none in any."""
    for mine, theirs, cases in pairs(known):
        answer = mine.overlap(theirs)
        assert answer is not YES or all(a & b for a, b in cases), (mine, theirs)
        assert answer is not NO or not any(a & b for a, b in cases), (mine, theirs)


@settings(max_examples=200, deadline=None)
@given(row_sets())
def test_subset_never_contradicts_the_rows(known: list[tuple[Rows, Exact]]) -> None:
    """A yes means that all rows are in the other in every arm, a no that some is missing in every arm."""
    for mine, theirs, cases in pairs(known):
        answer = mine.subset(theirs)
        assert answer is not YES or all(a <= b for a, b in cases), (mine, theirs)
        assert answer is not NO or not any(a <= b for a, b in cases), (mine, theirs)


@settings(max_examples=200, deadline=None)
@given(row_sets())
def test_equal_symbols_stand_for_equal_rows(known: list[tuple[Rows, Exact]]) -> None:
    """Two ways to the same symbol lead to the same rows."""
    for mine, theirs, cases in pairs(known):
        assert mine != theirs or all(a == b for a, b in cases), (mine, theirs)


@settings(max_examples=200, deadline=None)
@given(row_sets())
def test_the_common_table_holds_all(known: list[tuple[Rows, Exact]]) -> None:
    """The table that several sets were taken from holds each of them."""
    for mine, theirs, _ in pairs(known):
        table = common([mine, theirs])
        assert not table.known or (mine.subset(table) is YES and theirs.subset(table) is YES)
