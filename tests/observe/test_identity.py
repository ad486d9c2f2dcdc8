"""Which row is which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllint_bio.observe.log import Writer, read

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from mllint_bio.observe.identity import UNIDENTIFIED, Identity, Tag  # noqa: E402 - needs NumPy


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """An identity with its log in a temporary file."""
    return Identity(Writer(tmp_path / "log"))


def matrix(rows: int = 30, columns: int = 5) -> Any:
    """A matrix of distinct rows."""
    return np.random.default_rng(0).normal(size=(rows, columns))


def rows(tokens: Any) -> list[int]:
    """Positions within the source."""
    return [int(token) & ((1 << 40) - 1) for token in tokens]


def test_a_new_value_is_a_source_of_its_own(identity: Identity) -> None:
    """Rows are numbered from 0 in each source; what was loaded first is not taken for a form of something else."""
    first, second = matrix(), matrix() * 2
    one = identity.adopt(first, "cells", loaded=True)
    other = identity.adopt(second, "doubled")
    assert rows(one) == rows(other) == list(range(30))
    assert set(one.tolist()).isdisjoint(other.tolist())
    assert identity.loose == {2}


@pytest.mark.parametrize("cut", [slice(5, 12), slice(None, None, 3), slice(20, 10, -2)], ids=["part", "every third", "backwards"])
def test_views_of_an_array_hold_the_rows_that_they_show(identity: Identity, cut: slice) -> None:
    """Basic slices are known by their memory, whatever the values are later."""
    whole = matrix()
    identity.adopt(whole, "cells")
    view = whole[cut]
    whole[:] = 0.0  # content tells nothing any more
    tag = identity.tag_of(view)
    assert tag is not None
    assert rows(tag.tokens) == list(range(30))[cut]


def test_copies_are_known_by_content(identity: Identity) -> None:
    """Chosen rows, in another order and another precision, are the same rows; strange ones stay unidentified."""
    whole = matrix()
    identity.adopt(whole, "cells")
    chosen = whole[[7, 3, 3, 11]].astype("float32")
    assert rows(identity.tokens_of(chosen)) == [7, 3, 3, 11]
    strange = np.vstack([whole[:2], whole[:2] + 1])
    found = identity.tokens_of(strange)
    assert found is not None
    assert list(found[2:]) == [UNIDENTIFIED] * 2


def test_copies_carry_what_shaped_their_values(identity: Identity) -> None:
    """The output of a fitted transform is recognised in another precision, with the fit that shaped it."""
    whole, scaled = matrix(), matrix() * 3 + 1
    tokens = identity.adopt(whole, "cells")
    identity.learn(scaled, tokens, frozenset({4}))
    copy = scaled.astype("float32")
    assert rows(identity.tokens_of(copy)) == list(range(30))
    tag = identity.tag_of(copy)
    assert tag is not None
    assert tag.learned == {4}


def test_labels_are_known_as_a_whole_column(identity: Identity) -> None:
    """Single labels look alike; a long varied column of them does not, and short ones are not taken for it."""
    labels = np.random.default_rng(1).integers(0, 2, 60)
    tokens = identity.adopt(labels, "labels")
    assert rows(identity.tokens_of(labels.copy().tolist())) == rows(tokens)
    assert identity.tokens_of(labels[:10].copy()) is None


def test_values_handed_in_together_hold_the_same_rows(identity: Identity) -> None:
    """Labels beside known features are the labels of those rows; of unequal lengths nothing follows."""
    features, labels, short = matrix(), np.arange(30) % 2, np.arange(7)
    identity.adopt(features, "cells")
    some, theirs = features[10:20], labels[10:20].copy()
    identity.align([some, theirs])
    assert rows(identity.tokens_of(theirs)) == list(range(10, 20))
    identity.align([features, short])
    assert identity.tag_of(short) is None


def test_computed_values_hold_the_rows_of_an_operand_of_their_length(identity: Identity) -> None:
    """Arithmetic keeps rows and what was learned and predicted; a mean over the rows keeps none."""
    whole = matrix()
    tokens = identity.adopt(whole, "cells")
    identity.tag(whole, Tag(tokens, frozenset({2}), 5))
    shifted, mean = whole - 1, whole.mean(0)
    identity.made(shifted, [whole])
    identity.made(mean, [whole])
    tag, other = identity.tag_of(shifted), identity.tag_of(mean)
    assert tag is not None
    assert rows(tag.tokens) == list(range(30))
    assert tag.learned == {2}
    assert tag.predicted == 5
    assert other is not None
    assert other.tokens is None
    assert other.learned == {2}


def test_indexed_labels_hold_the_rows_of_the_index(identity: Identity) -> None:
    """Where the values do not tell, the positions or the mask of `labels[index]` do."""
    labels = np.arange(30) % 2
    tokens = identity.adopt(labels, "labels")
    places, mask = np.array([4, 9, 2]), np.arange(30) > 25
    for index, expected in ((places, [4, 9, 2]), (mask, [26, 27, 28, 29])):
        chosen = labels[index]
        identity.made(chosen, [labels, index])
        tag = identity.tag_of(chosen)
        assert tag is not None
        assert rows(tag.tokens) == expected
    assert len(tokens) == 30


def test_lists_keep_their_rows_until_they_change(identity: Identity) -> None:
    """A list can be tagged; one that has grown since is unknown again."""
    listed = [0, 1, 1, 0]
    identity.tag(listed, Tag(np.arange(4)))
    assert identity.tag_of(listed) is not None
    listed.append(1)
    assert identity.tag_of(listed) is None


def test_tags_end_with_their_objects(identity: Identity) -> None:
    """An object that takes the place of a dead one in memory has no tag."""
    for _ in range(50):
        value = np.empty(3)
        assert identity.tag_of(value) is None
        identity.tag(value, Tag(np.arange(3)))
        del value


def test_tables_are_known_by_their_index(identity: Identity) -> None:
    """Rows that pandas cut from a table go by their labels, even when their values were changed."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame(matrix(), index=[f"patient {k}" for k in range(30)])
    identity.adopt(table, "patients")
    child = table.loc[["patient 8", "patient 1"]] * 0
    identity.cut_from(child, table)
    assert rows(identity.tokens_of(child)) == [8, 1]


def test_tensors_and_arrays_of_one_content_agree(identity: Identity) -> None:
    """A tensor made from an array holds its rows; a view of a tagged tensor the rows that it shows."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    whole = matrix()
    identity.adopt(whole, "cells")
    tensor = torch.tensor(whole, dtype=torch.float32)
    assert rows(identity.tokens_of(tensor)) == list(range(30))
    column, part = tensor[:, 1], tensor[4:9:2]
    tensor.zero_()
    for view, expected in ((column, list(range(30))), (part, [4, 6, 8])):
        tag = identity.tag_of(view)
        assert tag is not None
        assert rows(tag.tokens) == expected


def test_sparse_rows_are_known_by_content(identity: Identity) -> None:
    """Rows of a sparse matrix are recognised when they are chosen in another order."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    whole = sparse.random(40, 200, density=0.1, format="csr", random_state=0)
    identity.adopt(whole, "counts")
    assert rows(identity.tokens_of(whole[[9, 0, 33]])) == [9, 0, 33]


def test_row_sets_are_written_as_masks(tmp_path: Path) -> None:
    """The log holds one mask per source, and one number for equal sets."""
    writer = Writer(tmp_path / "log")
    identity = Identity(writer)
    tokens = identity.adopt(matrix(), "cells")
    first, second = identity.rowset(tokens[[3, 1]]), identity.rowset(tokens[[1, 3, 3]])
    writer.flush()
    assert first == second
    assert read(tmp_path / "log").members(first) == {1: 0b1010}
    assert identity.rowset(np.array([UNIDENTIFIED])) == identity.rowset(None) == -1
