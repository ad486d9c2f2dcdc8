"""Which row is which: row numbers that survive copies, slicing, tensors, tables and loaders.

Every data set that the run meets is a *source*; its row k has the token `source << 40 | k`. A value's tokens are found by, in
this order:

1. the *tag* of the object itself (tags are kept beside objects, by weak reference, never on them);
2. the tagged array that it is a view of (pointer arithmetic), the table that it was cut from (index labels);
3. the *content* of its rows (a 64-bit hash of each row, rounded to single precision, so that tensors and tables of one
   array agree), or of the whole column for labels;
4. what it was computed from: the instrumented program says `made(value, operands)`, and a result with as many rows as one
   operand holds the rows of that operand;
5. what it is handed in with: features and labels of one call are aligned.

What none of this finds becomes a new source, which is *loose* if it may be a computed form of one that is known.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mllint_bio.observe.log import Line, Writer

Tokens = NDArray[np.int64]

SHIFT = 40
UNIDENTIFIED = -1
MAX_CELLS = 40_000_000  # larger arrays are hashed by a sample of their columns
MAX_COLUMNS = 256
LISTS = 64  # tagged lists, which are kept alive
BLOCKS = 400  # registered arrays per number of columns; the oldest are forgotten


@dataclass(slots=True)
class Tag:
    """What is known of one object. learned: numbers of the Fit events that shaped its values; predicted: number of the Predict
    event that made it (-1: none); loader: subject number of the loader that yielded it; visit: in which pass."""

    tokens: Tokens | None
    learned: frozenset[int] = frozenset()
    predicted: int = -1
    loader: int = -1
    visit: int = 0


@dataclass(slots=True)
class _Block:
    hashes: NDArray[np.uint64]  # sorted
    tokens: Tokens
    learned: frozenset[int] = frozenset()


@dataclass
class Identity:
    """Row numbers of one run. Not safe for threads beyond what the interpreter lock gives; a race costs a tag, never a crash."""

    writer: Writer
    sources: int = 0
    loose: set[int] = field(default_factory=set)
    _tags: dict[int, tuple[Any, Tag]] = field(default_factory=dict)
    _blocks: dict[Any, list[_Block]] = field(default_factory=dict)
    _columns: dict[tuple[int, bytes], Tokens] = field(default_factory=dict)
    _frames: dict[int, tuple[Any, Tokens]] = field(default_factory=dict)
    _weights: dict[int, NDArray[np.uint64]] = field(default_factory=dict)
    _rowsets: dict[Any, int] = field(default_factory=dict)
    _lists: deque[Any] = field(default_factory=deque)

    # -- tags ------------------------------------------------------------------------------------------------------

    def tag_of(self, value: Any) -> Tag | None:
        """The tag of this very object, or of the array that it is a view of."""
        found = self._tags.get(id(value))
        if found is not None and found[0]() is value:
            tag = found[1]
            changed = isinstance(value, list) and tag.tokens is not None and len(tag.tokens) != len(value)
            return None if changed else tag
        if isinstance(value, np.ndarray):
            return self._view(value)
        if is_tensor(value):
            return self._view_of_tensor(value)
        return None

    def tagged(self, value: Any) -> bool:
        """Whether this very object has a tag of its own."""
        found = self._tags.get(id(value))
        return found is not None and found[0]() is value

    def tag(self, value: Any, tag: Tag) -> None:
        """Tag an object; objects that cannot be referred to weakly stay untagged, except the latest lists."""
        key = id(value)

        def forget(_: Any) -> None:
            self._tags.pop(key, None)

        try:
            reference: Any = weakref.ref(value, forget)
        except TypeError:
            if not isinstance(value, list):
                return
            self._lists.append(value)  # kept alive, so that its number stays its own
            if len(self._lists) > LISTS:
                self._tags.pop(id(self._lists.popleft()), None)

            def reference() -> Any:
                return value

        self._tags[key] = (reference, tag)

    def forget(self, value: Any) -> None:
        """The value was changed in place: only its content tells its rows from now on."""
        found = self._from_content(value)
        tag = self.tag_of(value)
        if tag is not None:
            self.tag(value, Tag(found[0] if found is not None else None, tag.learned, tag.predicted))

    def _view(self, value: NDArray[Any]) -> Tag | None:
        base: Any = value.base
        for _ in range(8):
            if not isinstance(base, np.ndarray):
                return None
            found = self._tags.get(id(base))
            if found is not None and found[0]() is base:
                return self._cut(value, base, found[1])
            base = base.base
        return None

    def _view_of_tensor(self, value: Any) -> Tag | None:
        base = value._base
        found = self._tags.get(id(base)) if base is not None else None
        if found is None or found[0]() is not base:
            return None
        tag = found[1]
        tokens = tag.tokens
        if tokens is None or not value.dim() or not base.dim() or len(base) != len(tokens):
            return None
        if base.stride(0) and not value.stride(0) % base.stride(0):
            first, offset = divmod(value.storage_offset() - base.storage_offset(), base.stride(0))
            step = value.stride(0) // base.stride(0)
            places = first + step * np.arange(len(value))
            within = sum((size - 1) * stride for size, stride in zip(value.shape[1:], value.stride()[1:], strict=True))
            if offset + within < base.stride(0) and len(places) and places.min() >= 0 and places.max() < len(base):
                return Tag(tokens[places], tag.learned, tag.predicted, tag.loader, tag.visit)
        return None

    @staticmethod
    def _cut(value: NDArray[Any], base: NDArray[Any], tag: Tag) -> Tag | None:
        """The tag of a view: its rows are at regular distances among those of the base."""
        if tag.tokens is None or not value.ndim or not base.ndim or not base.strides[0] or len(tag.tokens) != len(base):
            return None
        offset = value.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        if value.strides[0] % base.strides[0]:
            return None
        first, step = offset // base.strides[0], value.strides[0] // base.strides[0]
        last = first + step * (len(value) - 1)
        if not (0 <= first < len(base) and 0 <= last < len(base)) and len(value):
            return None
        tokens = tag.tokens[first + step * np.arange(len(value))] if len(value) else tag.tokens[:0]
        return Tag(tokens, tag.learned, tag.predicted, tag.loader, tag.visit)

    # -- rows ------------------------------------------------------------------------------------------------------

    def tokens_of(self, value: Any) -> Tokens | None:
        """One token per row, `UNIDENTIFIED` for rows that are not known; None if nothing is known of the value."""
        tag = self.tag_of(value)
        if tag is not None and tag.tokens is not None:
            return tag.tokens
        learned: frozenset[int] = frozenset()
        found = self._from_table(value)
        if found is None:
            found, learned = self._from_content(value)
        if found is not None:
            self._retag(value, found, learned)
        return found

    def _retag(self, value: Any, tokens: Tokens, learned: frozenset[int] = frozenset()) -> None:
        tag = self.tag_of(value) or Tag(None)
        self.tag(value, Tag(tokens, tag.learned | learned, tag.predicted, tag.loader, tag.visit))

    def adopt(
        self, value: Any, label: str, line: Line = ("", 0), *, loaded: bool = False, made_from: int = -1, how: str = ""
    ) -> Tokens:
        """The tokens of a value, with a new source for rows that are not known yet.

        loaded: it came into the program here, so that it is no computed form of something else.
        """
        known = self.tokens_of(value)
        count = length(value)
        if known is not None and not (known == UNIDENTIFIED).any():
            return known
        missing = count if known is None else int((known == UNIDENTIFIED).sum())
        fresh = self.new_source(missing, label, line, loaded=loaded, made_from=made_from, how=how)
        tokens: Tokens = fresh if known is None else known.copy()
        if known is not None:
            tokens[known == UNIDENTIFIED] = fresh
        self.learn(value, tokens)
        return tokens

    def new_source(
        self, count: int, label: str, line: Line = ("", 0), *, loaded: bool = False, made_from: int = -1, how: str = ""
    ) -> Tokens:
        """Tokens of a data set that was not seen before (see `adopt`)."""
        self.sources += 1
        number = self.sources
        if not loaded and number > 1 and made_from < 0:
            self.loose.add(number)
        self.writer.write(
            "source",
            number,
            {
                "label": label,
                "size": count,
                "line": line,
                "derived_from": made_from,
                "how": how or ("loose" if number in self.loose else ""),
            },
        )
        fresh: Tokens = (np.int64(number) << SHIFT) + np.arange(count, dtype=np.int64)
        return fresh

    def learn(self, value: Any, tokens: Tokens, learned: frozenset[int] = frozenset()) -> None:
        """Remember that this value holds these rows: by tag, by content and, for tables, by index. learned: what shaped these
        values, so that a copy of them is known to carry it."""
        self._retag(value, tokens, learned)
        hashed = self._hashes(value)
        if hashed is not None:
            key, hashes = hashed
            order = np.argsort(hashes, kind="stable")
            blocks = self._blocks.setdefault(key, [])
            blocks.append(_Block(hashes[order], tokens[order], learned))
            del blocks[:-BLOCKS]
        else:
            column = self._digest(value)
            if column is not None:
                self._columns[column] = tokens
        if is_table(value):
            self._frames[id(value.index)] = (value.index, tokens)

    def align(self, values: Sequence[Any]) -> None:
        """Values that one call takes side by side hold the same rows: what is known of one is known of all."""
        sized = [value for value in values if length(value) > 0]
        if len({length(value) for value in sized}) != 1:
            return
        known = {id(value): self.tokens_of(value) for value in sized}
        best = max(known.values(), key=lambda tokens: -1 if tokens is None else int((tokens != UNIDENTIFIED).sum()), default=None)
        if best is None:
            return
        for value in sized:
            tokens = known[id(value)]
            if tokens is None or (tokens == UNIDENTIFIED).any():
                self.learn(value, best)

    def made(self, value: Any, operands: Sequence[Any]) -> None:
        """A value was computed from operands: it holds their rows if it has as many, and carries what they had learned."""
        if not is_data(value):
            return
        tags = [(operand, tag) for operand in operands if is_data(operand) and (tag := self.tag_of(operand)) is not None]
        if not tags:
            return
        mine = self.tag_of(value)
        learned = frozenset().union(*(tag.learned for _, tag in tags))
        predicted = max((tag.predicted for _, tag in tags), default=-1)
        if mine is not None and mine.tokens is not None:
            if learned - mine.learned or (mine.predicted < 0 <= predicted):
                same = length(value) in {length(operand) for operand, _ in tags}
                self.tag(
                    value,
                    Tag(
                        mine.tokens,
                        mine.learned | learned,
                        predicted if same and mine.predicted < 0 else mine.predicted,
                        mine.loader,
                        mine.visit,
                    ),
                )
            return
        count = length(value)
        found = self._from_table(value)
        if found is None:
            found, shaped = self._from_content(value)
            learned |= shaped
        carriers = [tag for operand, tag in tags if tag.tokens is not None and length(operand) == count]
        if found is None or (found == UNIDENTIFIED).all():
            found = carriers[0].tokens if carriers else self._indexed(value, operands)
        source = carriers[0] if carriers else None
        self.tag(
            value,
            Tag(
                found,
                learned,
                predicted if carriers else -1,
                source.loader if source else -1,
                source.visit if source else 0,
            ),
        )

    def _indexed(self, value: Any, operands: Sequence[Any]) -> Tokens | None:
        """Rows of `table[index]` where the values themselves do not tell (labels, changed columns)."""
        count = length(value)
        for table in operands:
            tag = self.tag_of(table) if is_data(table) else None
            if tag is None or tag.tokens is None:
                continue
            for index in operands:
                if index is table or not isinstance(index, np.ndarray) or index.ndim != 1:
                    continue
                if index.dtype == bool and len(index) == len(tag.tokens) and int(index.sum()) == count:
                    return tag.tokens[index]
                if (
                    index.dtype.kind in "iu"
                    and len(index) == count
                    and count
                    and index.min() >= 0
                    and index.max() < len(tag.tokens)
                ):
                    chosen = tag.tokens[index]
                    return chosen
        return None

    # -- tables ----------------------------------------------------------------------------------------------------

    def _from_table(self, value: Any) -> Tokens | None:
        """Rows of a table that shares its index with a known one, or was cut from it (`cut_from`)."""
        if not is_table(value):
            return None
        found = self._frames.get(id(value.index))
        if found is None or found[0] is not value.index or len(found[1]) != len(value):
            return None
        return found[1]

    def cut_from(self, child: Any, parent: Any) -> None:
        """pandas made `child` from `parent`: rows go by index labels, where those are unique."""
        tag = self.tag_of(parent)
        if tag is None or tag.tokens is None or self.tag_of(child) is not None or not is_table(child) or not is_table(parent):
            return
        tokens: Tokens | None = None
        if child.index is parent.index or (len(child.index) == len(parent.index) and child.index.equals(parent.index)):
            tokens = tag.tokens
        elif parent.index.is_unique and len(child.index):
            places = parent.index.get_indexer(child.index)
            if (places >= 0).all():
                tokens = tag.tokens[places]
        if tokens is not None:
            self.tag(child, Tag(tokens, tag.learned, tag.predicted, tag.loader, tag.visit))

    # -- content ---------------------------------------------------------------------------------------------------

    def _from_content(self, value: Any) -> tuple[Tokens | None, frozenset[int]]:
        """Rows that hold the same values, and what had shaped those values."""
        if is_tensor(value) and value.grad_fn is not None:
            return None, frozenset()  # an activation: computed from parameters, it is nobody's row
        hashed = self._hashes(value)
        if hashed is None:
            column = self._digest(value)
            return (self._columns.get(column) if column is not None else None), frozenset()
        key, hashes = hashed
        blocks = self._blocks.get(key)
        if not blocks or not len(hashes):
            return None, frozenset()
        learned: frozenset[int] = frozenset()
        tokens = np.full(len(hashes), UNIDENTIFIED, np.int64)
        open_rows = np.arange(len(hashes))
        for block in reversed(blocks):
            places = np.searchsorted(block.hashes, hashes[open_rows])
            places[places == len(block.hashes)] = 0
            hit = block.hashes[places] == hashes[open_rows]
            if hit.any():
                learned |= block.learned
            tokens[open_rows[hit]] = block.tokens[places[hit]]
            open_rows = open_rows[~hit]
            if not len(open_rows):
                break
        return (None if len(open_rows) == len(hashes) else tokens), learned

    def _hashes(self, value: Any) -> tuple[Any, NDArray[np.uint64]] | None:
        """(kind of row, one hash per row); None where a row alone says too little (labels) or the type is not known."""
        if is_sparse(value):
            return self._sparse(value)
        if is_table(value) and getattr(value, "ndim", 1) == 2:
            matrix = _numeric(value)
            if matrix is None:
                return self._mixed(value)
            return self._dense(matrix)
        if isinstance(value, list) and value and isinstance(value[0], str):
            return "text", np.fromiter((hash(text) & 0xFFFFFFFFFFFFFFFF for text in value), np.uint64, len(value))
        matrix = as_array(value)
        if matrix is None or matrix.dtype.kind not in "fiub":
            return None
        if matrix.ndim == 1:
            return self._dense(matrix[:, None]) if _mostly_distinct(matrix) else None
        return self._dense(matrix)

    def _dense(self, matrix: NDArray[Any]) -> tuple[Any, NDArray[np.uint64]] | None:
        count, width = len(matrix), int(np.prod(matrix.shape[1:], dtype=np.int64))
        if not count or not width:
            return None
        flat = matrix.reshape(count, width)
        if width > MAX_COLUMNS and flat.size > 1_000_000:
            flat = flat[:, np.linspace(0, width - 1, MAX_COLUMNS).astype(np.int64)]
        elif flat.size > MAX_CELLS:
            return None
        if width <= 2 and not all(_mostly_distinct(flat[:, k]) for k in range(width)):
            return None
        bits = (np.ascontiguousarray(flat, np.float32) + np.float32(0)).view(np.uint32)
        return width, _mix((bits.astype(np.uint64) * self._weights_for(flat.shape[1])).sum(axis=1, dtype=np.uint64))

    def _sparse(self, value: Any) -> tuple[Any, NDArray[np.uint64]]:
        rows = value.tocsr()
        bits = (rows.data.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)
        products = np.append(bits * self._weights_for(rows.shape[1])[rows.indices], np.uint64(0))
        sums = np.add.reduceat(products, np.minimum(rows.indptr[:-1], len(products) - 1), dtype=np.uint64)
        sums[np.diff(rows.indptr) == 0] = 0
        return rows.shape[1], _mix(sums)

    @staticmethod
    def _mixed(value: Any) -> tuple[Any, NDArray[np.uint64]] | None:
        from pandas.util import hash_pandas_object

        try:
            hashes = hash_pandas_object(value, index=False).to_numpy()
        except (TypeError, ValueError):  # cells that cannot be hashed: lists, dicts
            return None
        return ("table", value.shape[1]), hashes.astype(np.uint64)

    def _weights_for(self, width: int) -> NDArray[np.uint64]:
        if width not in self._weights:
            generator = np.random.Generator(np.random.PCG64(width))  # of its own: the program's generators are not touched
            self._weights[width] = generator.integers(1, 2**63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        return self._weights[width]

    @staticmethod
    def _digest(value: Any) -> tuple[int, bytes] | None:
        """Identity of a column of labels: its length and content, if it is long and varied enough to be unlike any other."""
        column = as_array(value)
        if column is None or column.ndim > 2 or len(column) < 24 or column.dtype.kind not in "fiubUSO":
            return None
        if column.dtype.kind in "fiub":
            flat = np.ascontiguousarray(column, np.float32).ravel()
        else:
            flat = np.array([hash(str(cell)) for cell in column.ravel().tolist()], np.int64)
        changes = int((flat[1:] != flat[:-1]).sum())
        return (len(column), flat.tobytes()) if changes >= 8 and len(flat) <= 2_000_000 else None

    # -- writing ---------------------------------------------------------------------------------------------------

    def rowset(self, tokens: Tokens | None) -> int:
        """Number of the row set with these tokens in the log; -1 if none of the rows is identified."""
        if tokens is None:
            return -1
        known = np.unique(tokens[tokens != UNIDENTIFIED])
        if not len(known):
            return -1
        key = (len(known), known.tobytes() if len(known) < 4096 else hash(known.tobytes()))
        if key not in self._rowsets:
            number = self._rowsets[key] = len(self._rowsets)
            self.writer.write("rows", number, masks(known))
        return self._rowsets[key]


def masks(tokens: Tokens) -> dict[int, bytes]:
    """Little-endian bit masks by source, of distinct tokens."""
    sources = tokens >> SHIFT
    found = {}
    for source in np.unique(sources).tolist():
        rows = tokens[sources == source] & ((1 << SHIFT) - 1)
        bits = np.zeros(int(rows.max()) + 1, np.uint8)
        bits[rows] = 1
        found[int(source)] = np.packbits(bits, bitorder="little").tobytes()
    return found


def _mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed: NDArray[np.uint64] = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed


def _mostly_distinct(column: NDArray[Any]) -> bool:
    sample = column[:: max(1, len(column) // 512)]
    return len(column) >= 4 and len(np.unique(sample)) > 0.9 * len(sample)


def _numeric(table: Any) -> NDArray[Any] | None:
    try:
        matrix = table.to_numpy()
    except (TypeError, ValueError):
        return None
    return matrix if matrix.dtype.kind in "fiub" else None


# -- kinds of values, without importing what the program did not import ---------------------------------------------


def _module(value: Any) -> str:
    return type(value).__module__.split(".", 1)[0]


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor."""
    return _module(value) == "torch" and hasattr(value, "detach") and hasattr(value, "shape")


def is_table(value: Any) -> bool:
    """Whether this is a pandas DataFrame or Series."""
    return _module(value) == "pandas" and hasattr(value, "index") and hasattr(value, "iloc")


def is_sparse(value: Any) -> bool:
    """Whether this is a SciPy sparse matrix or array."""
    return _module(value) == "scipy" and hasattr(value, "tocsr") and getattr(value, "ndim", 0) == 2


def is_data(value: Any) -> bool:
    """Whether this is a value that may hold rows: array, tensor, table, sparse matrix."""
    return isinstance(value, np.ndarray) or is_tensor(value) or is_table(value) or is_sparse(value)


def length(value: Any) -> int:
    """Number of rows; 0 for what has none."""
    if is_sparse(value):
        return int(value.shape[0])
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    try:
        return len(value)
    except TypeError:
        return 0


def as_array(value: Any) -> NDArray[Any] | None:
    """The value as a NumPy array, without a copy where that can be had; None for what is no array."""
    if isinstance(value, np.ndarray):
        return value if value.ndim else None
    if is_tensor(value):
        if value.layout is not _strided(value) or not value.ndim or value.numel() > MAX_CELLS:
            return None
        try:
            array: NDArray[Any] = value.detach().cpu().numpy()
        except (TypeError, RuntimeError):  # bfloat16, a fake or lazy tensor
            return None
        return array
    if is_table(value):
        try:
            column: NDArray[Any] = value.to_numpy()
        except (TypeError, ValueError):
            return None
        return column
    if isinstance(value, list | tuple) and value and isinstance(value[0], int | float | bool | np.number):
        return np.asarray(value)
    return None


def _strided(value: Any) -> Any:
    import sys

    return sys.modules["torch"].strided
