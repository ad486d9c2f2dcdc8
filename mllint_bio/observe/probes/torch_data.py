"""Probes of data sets and loaders: which rows each batch holds.

The rows of a map-style data set are those of the arrays that it keeps; the rows of a batch follow from the indices that the
loader's sampler gave out, in this process, whether workers fetch the items or not. A data set that keeps nothing that is known
is a source of its own. Batches of an iterable data set are known by content only.
"""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mllint_bio.observe.identity import UNIDENTIFIED, Tag, Tokens, as_array, is_data, length
from mllint_bio.observe.probes.torch_state import State, data_in, plain
from mllint_bio.observe.probes.wrapping import argument, guarded

WRAPPED = ("dataset", "base", "base_dataset", "subset", "data_source")  # attributes by which one data set wraps another
INDICES = ("indices", "indexes", "index", "idx", "ids", "idxs")


class Datasets:
    """Rows of data sets."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recorder = state.recorder
        self._known: weakref.WeakKeyDictionary[Any, Tag] = weakref.WeakKeyDictionary()

    def tag(self, dataset: Any, depth: int = 6) -> Tag:
        """One token per item, and what shaped the items; no tokens for a data set without a length."""
        try:
            known = self._known.get(dataset)
        except TypeError:  # a list, or an object that cannot be referred to
            return self._of_plain(dataset)
        if known is None:
            known = self._find(dataset, depth)
            self._known[dataset] = known
        return known

    def arrays(self, dataset: Any, count: int) -> list[NDArray[Any]]:
        """The arrays that a data set with `count` items holds or chooses from, one row an item, in the order in which it holds
        them."""
        data = self._state.torch.utils.data
        if isinstance(dataset, data.Subset):
            taken, whole = _indices(dataset.indices), len(dataset.dataset)
            inner = self.arrays(dataset.dataset, whole) if taken is not None else []
            return [array[taken] for array in inner]
        held = dataset.tensors if isinstance(dataset, data.TensorDataset) else list(getattr(dataset, "__dict__", {}).values())
        found = [as_array(value) for value in held if not isinstance(value, str | dict) and length(value) == count]
        return [array for array in found if array is not None]

    def _of_plain(self, dataset: Any) -> Tag:
        if isinstance(dataset, list | tuple) and dataset:
            known = self._recorder.identity.tokens_of(dataset)
            if known is not None and len(known) == len(dataset):
                return Tag(known)
            if isinstance(dataset[0], str):
                return Tag(self._recorder.rows(dataset, "list"))
            key = id(dataset)
            if key not in self._lists:
                self._lists[key] = (dataset, Tag(self._fresh(len(dataset), "list")))
            return self._lists[key][1]
        return Tag(None)

    @functools.cached_property
    def _lists(self) -> dict[int, tuple[Any, Tag]]:
        return {}

    def _fresh(self, count: int, label: str) -> Tokens:
        recorder = self._recorder
        return recorder.identity.new_source(count, label, recorder.site()[0])

    def _find(self, dataset: Any, depth: int) -> Tag:
        data = self._state.torch.utils.data
        if is_data(dataset):
            return self._state.tag_of(dataset, "data set")
        if isinstance(dataset, data.IterableDataset) or not hasattr(dataset, "__len__"):
            return Tag(None)
        count = len(dataset)
        if not count or not depth:
            return Tag(None)
        if isinstance(dataset, data.Subset):
            whole = self.tag(dataset.dataset, depth - 1)
            taken = _indices(dataset.indices)
            if whole.tokens is None or taken is None or (len(taken) and taken.max() >= len(whole.tokens)):
                return Tag(None, whole.learned)
            return Tag(whole.tokens[taken], whole.learned)
        if isinstance(dataset, data.ConcatDataset):
            parts = [self.tag(part, depth - 1) for part in dataset.datasets]
            if any(part.tokens is None for part in parts):
                return Tag(None)
            learned = frozenset[int]().union(*(part.learned for part in parts))
            return Tag(np.concatenate([part.tokens for part in parts if part.tokens is not None]), learned)
        if isinstance(dataset, data.TensorDataset):
            return self._aligned(list(dataset.tensors), count, type(dataset).__name__)
        return self._own(dataset, count, depth)

    def _own(self, dataset: Any, count: int, depth: int) -> Tag:
        """A data set of the project or of another library: by what its attributes hold."""
        held = {name: value for name, value in getattr(dataset, "__dict__", {}).items() if not name.startswith("__")}
        for name in WRAPPED:
            inner = held.get(name)
            if inner is not None and hasattr(inner, "__getitem__") and not is_data(inner) and not isinstance(inner, list | dict):
                tag = self.tag(inner, depth - 1)
                if tag.tokens is not None and len(tag.tokens) == count:
                    return tag
                taken = next((found for one in INDICES if (found := _indices(held.get(one))) is not None), None)
                if tag.tokens is not None and taken is not None and len(taken) == count and taken.max() < len(tag.tokens):
                    return Tag(tag.tokens[taken], tag.learned)
        values = [value for value in held.values() if is_data(value) or isinstance(value, list | tuple)]
        values += [one for value in held.values() if isinstance(value, tuple | list | dict) for one in data_in([value])]
        fitting = [value for value in values if length(value) == count]
        index = next((found for name in INDICES if (found := _indices(held.get(name))) is not None and len(found) == count), None)
        longer = [value for value in values if is_data(value) and length(value) > count]
        if index is not None and longer:
            whole = self._aligned(longer[:1], length(longer[0]), type(dataset).__name__)
            if whole.tokens is not None and len(index) and index.max() < len(whole.tokens):
                return Tag(whole.tokens[index], whole.learned)
        if fitting:
            return self._aligned(fitting, count, type(dataset).__name__)
        return Tag(self._fresh(count, type(dataset).__name__))

    def _aligned(self, values: Sequence[Any], count: int, label: str) -> Tag:
        """Values side by side: what is known of one is known of all; if nothing is, they are a new source."""
        identity = self._recorder.identity
        tags = [identity.tag_of(value) for value in values]
        learned = frozenset[int]().union(*(tag.learned for tag in tags if tag is not None))
        best: Tokens | None = None
        for value in values:
            tokens = identity.tokens_of(value) if is_data(value) or _texts(value) else None
            if tokens is not None and len(tokens) == count and (best is None or _gaps(tokens) < _gaps(best)):
                best = tokens
        if best is None or _gaps(best):
            first = next((value for value in values if is_data(value) and len(getattr(value, "shape", ())) > 1), None)
            first = first if first is not None else next((value for value in values if is_data(value) or _texts(value)), None)
            if first is None:
                return Tag(self._fresh(count, label), learned)
            best = identity.adopt(first, label, self._recorder.site()[0])
        for value, tag in zip(values, tags, strict=True):
            if is_data(value) and (tag is None or tag.tokens is None):
                identity.tag(value, Tag(best, tag.learned if tag is not None else frozenset()))
        return Tag(best, learned)


class _Order:
    """Stands for a loader's sampler, and remembers the indices that it gave out."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler
        self.given: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        self.given.clear()
        for indices in self._sampler:
            self.given.append(indices)
            yield indices

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)


class Loaders:
    """The probe of `DataLoader`."""

    def __init__(self, state: State, datasets: Datasets) -> None:
        self._state = state
        self._recorder = state.recorder
        self.datasets = datasets
        self._visits: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._current: Any = None
        self._passes: weakref.WeakKeyDictionary[Any, tuple[_Order, int, Tag, int]] = weakref.WeakKeyDictionary()

    def install(self) -> None:
        """Wrap the construction and the iteration of loaders, and `random_split`."""
        data = self._state.torch.utils.data
        self._install_init(data.DataLoader)
        self._install_iter(data.DataLoader)
        self._install_next(data.dataloader._BaseDataLoaderIter)
        original = data.random_split

        @functools.wraps(original)
        def random_split(*args: Any, **kwargs: Any) -> Any:
            if not self._state.observing():
                return original(*args, **kwargs)
            before = self._state.torch.get_rng_state()
            parts = original(*args, **kwargs)
            drew = not self._state.torch.equal(before, self._state.torch.get_rng_state())
            guarded(self._recorder, "random_split", lambda: self._split(args, kwargs, parts, drew))
            return parts

        random_split.__mllint_bio_wrapped__ = True  # type: ignore[attr-defined]
        data.random_split = data.dataset.random_split = random_split

    def _install_init(self, loader: Any) -> None:
        original, state, built = loader.__init__, self._state, self._built

        @functools.wraps(original)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if state.observing():
                guarded(state.recorder, "DataLoader", lambda: built(self))

        loader.__init__ = __init__

    def _install_iter(self, loader: Any) -> None:
        original, state, started, orders = loader.__iter__, self._state, self._started, self._orders
        sampler = loader._index_sampler

        def index_sampler(self: Any) -> Any:
            found = sampler.fget(self)
            order = orders.get(self)
            return order if order is not None else found

        @functools.wraps(original)
        def __iter__(self: Any) -> Any:
            if not state.observing():
                return original(self)
            order = None if self.__dict__.get("_iterator") is not None else _Order(sampler.fget(self))
            if order is not None:
                orders[self] = order
            try:
                with state.local:
                    iterator = original(self)
            finally:
                orders.pop(self, None)
            guarded(state.recorder, "DataLoader.__iter__", lambda: started(self, iterator, order))
            return iterator

        loader._index_sampler = property(index_sampler)
        loader.__iter__ = __iter__

    @functools.cached_property
    def _orders(self) -> dict[Any, _Order]:
        return {}

    def _install_next(self, iterator: Any) -> None:
        original, state, passes, handed = iterator.__next__, self._state, self._passes, self._handed

        @functools.wraps(original)
        def __next__(self: Any) -> Any:
            current = passes.get(self)
            if current is None or not state.observing():
                return original(self)
            try:
                with state.local:
                    batch = original(self)
            except StopIteration:
                state.recorder.batch = None
                state.recorder.barrier()
                raise
            guarded(state.recorder, "DataLoader.__next__", lambda: handed(current, batch))
            return batch

        iterator.__next__ = __next__

    # -- what happens ------------------------------------------------------------------------------------------------

    def _subject(self, loader: Any) -> int:
        known = self._recorder.known_subject(loader)
        if known >= 0:
            return known
        held = ("batch_size", "num_workers", "drop_last", "pin_memory", "persistent_workers")
        given = {name: value for name in held if plain(value := getattr(loader, name, ...))}
        number = self._recorder.subject(
            loader, "torch.utils.data.DataLoader", role="loader", given=given, line=self._recorder.site()[0]
        )
        dataset = loader.dataset
        try:
            self._state.datasets[number] = weakref.ref(dataset)
        except TypeError:  # a list
            self._state.datasets[number] = lambda: dataset
        return number

    def _built(self, loader: Any) -> None:
        data = self._state.torch.utils.data
        tag = self.rows_of(loader)
        sampler = getattr(loader, "sampler", None)
        standard = (data.SequentialSampler, data.RandomSampler, data.dataloader._InfiniteConstantSampler)
        self._recorder.event(
            "Loader",
            "torch.utils.data.DataLoader",
            {"data": tag},
            merge=("loader", self._subject(loader)),
            subject=self._subject(loader),
            shuffle=isinstance(sampler, data.RandomSampler),
            drop_last=bool(loader.drop_last),
            workers=int(loader.num_workers),
            sampler="" if isinstance(sampler, standard) else type(sampler).__name__,
        )

    def rows_of(self, loader: Any) -> Tag:
        """Rows that a loader may hand out."""
        return self._narrowed(loader, self.datasets.tag(loader.dataset))

    def _narrowed(self, loader: Any, tag: Tag) -> Tag:
        """A sampler over some indices narrows the rows of a loader."""
        taken = _indices(getattr(getattr(loader, "sampler", None), "indices", None))
        if tag.tokens is None or taken is None or not len(taken) or taken.max() >= len(tag.tokens):
            return tag
        return Tag(tag.tokens[taken], tag.learned)

    def _started(self, loader: Any, iterator: Any, order: _Order | None) -> None:
        recorder, data = self._recorder, self._state.torch.utils.data
        recorder.barrier()
        recorder.wake()
        recorder.batch = None
        visit = self._visits[loader] = self._visits.get(loader, 0) + 1
        known = self._passes.get(iterator)
        if order is None and known is not None:
            order = known[0]
        number = self._subject(loader)
        recorder.passes.start(number, visit)
        if order is not None:
            self._passes[iterator] = (order, number, self.datasets.tag(loader.dataset), visit)
            self._current = weakref.ref(iterator, lambda _: recorder.wake())  # also when the loop is left before its end
        samplers = (loader.sampler, getattr(loader.batch_sampler, "sampler", None))
        random = (data.RandomSampler, data.WeightedRandomSampler, data.SubsetRandomSampler)
        drawing = next((one for one in samplers if isinstance(one, random)), None)
        if drawing is not None and getattr(drawing, "generator", None) is None:
            shuffles = type(drawing) is data.RandomSampler
            what = "DataLoader(shuffle=True)" if shuffles else "DataLoader"
            recorder.event(
                "Draw",
                "torch.utils.data.DataLoader",
                merge=("torch", number),
                stream="torch",
                what=what,
                purpose="order",
                subject=number,
            )

    def _handed(self, current: tuple[_Order, int, Tag, int], batch: Any) -> None:
        order, number, whole, visit = current
        recorder = self._recorder
        indices = order.given.popleft() if order.given else None
        tokens: Tokens | None = None
        if indices is not None and whole.tokens is not None:
            taken = _indices(indices if isinstance(indices, list | tuple) else [indices])
            if taken is not None and len(taken) and taken.max() < len(whole.tokens):
                tokens = whole.tokens[taken]
        learned = whole.learned
        held = [] if recorder.resting and tokens is not None else [value for value in data_in([batch], 2) if length(value)]
        if tokens is None and held:
            tag = self._state.tag_of(held[0], "batch")
            tokens, learned = tag.tokens, tag.learned
        tag = Tag(tokens, learned, -1, number, visit)
        recorder.batch = tag
        recorder.passes.add(tag)
        recorder.next_batch(tag)
        if tokens is None or recorder.resting:
            return
        for value in held:
            if length(value) == len(tokens):
                recorder.identity.tag(value, tag)

    def _split(self, args: Sequence[Any], kwargs: dict[str, Any], parts: Sequence[Any], drew: bool) -> None:
        dataset = argument("dataset", ("dataset", "lengths", "generator"), args, kwargs)
        whole = self.datasets.tag(dataset)
        recorder = self._recorder
        if drew:
            recorder.event(
                "Draw", "torch.utils.data.random_split", merge=("torch",), stream="torch", what="random_split", purpose="split"
            )
        recorder.event(
            "Split",
            "torch.utils.data.random_split",
            {"data": whole, "parts": [self.datasets.tag(part) for part in parts]},
            how="random",
            shuffles=True,
            seeded=not drew,
            stratified=False,
            grouped=False,
        )


def _indices(value: Any) -> Any:
    """Row positions as an array of integers; None if this is something else."""
    if value is None or isinstance(value, str | bytes | dict):
        return None
    if isinstance(value, range):
        return np.arange(value.start, value.stop, value.step)
    array = as_array(value)
    if array is None and isinstance(value, list | tuple) and all(isinstance(one, int) for one in value):
        array = np.asarray(value, np.int64)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iu" or (len(array) and array.min() < 0):
        return None
    return array


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], str)


def _gaps(tokens: Tokens) -> int:
    return int((tokens == UNIDENTIFIED).sum())
