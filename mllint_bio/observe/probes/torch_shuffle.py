"""The label-shuffle control for networks: what a loss compares with, while gradients are recorded, is another row's label.

The permutation is fixed by the seed. Where the batch comes from a loader and its labels are found unchanged in an array of the
data set, a row always gets the label of the same other row of that data set. Otherwise (labels that are made when the item is
read, training without a loader) the labels are permuted within what the loss is given. Losses without gradients, which
evaluate, keep the true labels.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mllint_bio.observe.identity import Tokens, length
from mllint_bio.observe.probes.torch_data import Datasets
from mllint_bio.observe.probes.torch_state import State


@dataclass(slots=True)
class _Labels:
    """Of one data set: its tokens in sorted order with their positions, arrays that may hold its labels, and the permutation."""

    tokens: Tokens
    places: NDArray[np.int64]
    candidates: list[NDArray[Any]]
    order: NDArray[np.int64]


class Shuffle:
    """Gives the targets that take the place of a loss's own."""

    def __init__(self, state: State, datasets: Datasets, seed: int) -> None:
        self._state = state
        self._datasets = datasets
        self._seed = seed
        self._labels: weakref.WeakKeyDictionary[Any, _Labels] = weakref.WeakKeyDictionary()

    def replaced(self, predicted: Any, truth: Any) -> Any:
        """The shuffled targets, as a tensor like `truth`; None where the targets must stay."""
        torch, identity = self._state.torch, self._state.recorder.identity
        if not (torch.is_tensor(truth) and torch.is_tensor(predicted)) or not predicted.requires_grad or truth.requires_grad:
            return None
        if not length(truth):
            return None
        tag = identity.tag_of(truth) or identity.tag_of(predicted)
        reference = self._state.datasets.get(tag.loader) if tag is not None else None
        dataset = reference() if reference is not None else None
        if dataset is not None and tag is not None and tag.tokens is not None and len(tag.tokens) == length(truth):
            found = self._of_other_rows(dataset, tag.tokens, truth)
            if found is not None:
                return found
        order = np.random.Generator(np.random.PCG64(self._seed)).permutation(length(truth))
        return truth[torch.from_numpy(order).to(truth.device)]

    def _of_other_rows(self, dataset: Any, tokens: Tokens, truth: Any) -> Any:
        try:
            known = self._labels.get(dataset)
        except TypeError:
            return None
        if known is None:
            known = self._read(dataset)
            if known is None:
                return None
            self._labels[dataset] = known
        torch = self._state.torch
        at = np.searchsorted(known.tokens, tokens)
        at[at == len(known.tokens)] = 0
        if not (known.tokens[at] == tokens).all():
            return None
        places = known.places[at]
        plain = truth.detach().cpu().double().reshape(len(tokens), -1).numpy()
        for candidate in known.candidates:
            if candidate.shape[1] == plain.shape[1] and np.allclose(candidate[places], plain, rtol=1e-6, atol=1e-6):
                values = torch.from_numpy(candidate[known.order[places]]).to(truth.device, truth.dtype)
                return values.reshape(truth.shape)
        return None

    def _read(self, dataset: Any) -> _Labels | None:
        tokens = self._datasets.tag(dataset).tokens
        if tokens is None:
            return None
        candidates = []
        for array in self._datasets.arrays(dataset, len(tokens)):
            if array.dtype.kind in "fiub" and len(array) == len(tokens) and array.size <= 5_000_000:
                candidates.append(array.astype(np.float64).reshape(len(array), -1))
        places = np.argsort(tokens, kind="stable")
        order = np.random.Generator(np.random.PCG64(self._seed)).permutation(len(tokens))
        return _Labels(tokens[places], places, candidates[::-1], order)  # labels are usually held last
