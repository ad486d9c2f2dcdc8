"""What the probes of torch share: which call is the user's own, what a tensor holds, which object is which."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.observe.identity import Tag, Tokens, is_data, length
from mllint_bio.observe.log import Line
from mllint_bio.observe.recorder import Recorder, api_of

Place = tuple[Line, tuple[Line, ...]]
NEW_SOURCES = 64  # inputs of one line that become data sets of their own; noise that is drawn for every step must not go on


class Local(threading.local):
    """What one thread is in. forward: calls of modules; quiet: calls of torch that a probe looks at as a whole."""

    forward = 0
    quiet = 0

    def __enter__(self) -> None:
        """Be quiet: `with state.local:` around a call of torch that a probe looks at as a whole."""
        self.quiet += 1

    def __exit__(self, *_: object) -> None:
        self.quiet -= 1


class State:
    """One per recorder. `losses` are the tags of losses that no backward pass has taken yet, `outputs` those of outputs
    with gradients, `trained` those of the backward passes that no optimizer has taken yet."""

    def __init__(self, recorder: Recorder, torch: Any) -> None:
        self.recorder = recorder
        self.torch = torch
        self.local = Local()
        self.main = threading.main_thread().ident
        self.losses: list[Tag] = []
        self.outputs: list[Tag] = []
        self.trained: list[Tag] = []
        self.latest_input: Any = None  # weak references, with `Controls.capture`: what was learned from last, and its target
        self.latest_target: Any = None
        self.datasets: dict[int, Callable[[], Any]] = {}  # subject number of a loader -> weak reference to its data set
        self.stepped: dict[int, Any] = {}  # id of an optimizer that stepped since its gradients were cleared -> weak reference
        self.compiling: Callable[[], bool] = getattr(torch.compiler, "is_compiling", lambda: False)
        self._tracing: Callable[[], Any] = torch._C._get_tracing_state
        self._transforms: Callable[[], Any] = getattr(torch._C._functorch, "peek_interpreter_stack", lambda: None)
        self._adopted: dict[Line, int] = {}
        self._described: weakref.WeakSet[Any] = weakref.WeakSet()

    def observing(self) -> bool:
        """Whether a call here is the user's own, in an ordinary run: not inside a library that is observed as a whole, not
        while a graph is traced or a function transformed, not on a worker thread."""
        return not (
            self.recorder.depth
            or self.local.quiet
            or self.compiling()
            or threading.get_ident() != self.main
            or self._tracing() is not None
            or self._transforms() is not None
        )

    # -- rows ------------------------------------------------------------------------------------------------------

    def tag_of(self, value: Any, label: str = "tensor") -> Tag:
        """What is known of the rows of a value; those of a value that nobody has seen become a data set of their own."""
        identity, recorder = self.recorder.identity, self.recorder
        tag = identity.tag_of(value)
        if tag is not None and tag.tokens is not None:
            return tag
        if not is_data(value) or not length(value):
            return tag or Tag(None)
        tokens = identity.tokens_of(value)
        batch = recorder.batch
        if tokens is None and batch is not None and batch.tokens is not None and len(batch.tokens) == length(value):
            known = tag or Tag(None)
            tag = Tag(batch.tokens, batch.learned | known.learned, known.predicted, batch.loader, batch.visit)
            identity.tag(value, tag)
            return tag
        if tokens is None:
            line = recorder.site()[0]
            count = self._adopted[line] = self._adopted.get(line, 0) + 1
            if count > NEW_SOURCES:
                return tag or Tag(None)
            identity.adopt(value, label, line)
        return identity.tag_of(value) or Tag(tokens)

    def first_tag(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Tag:
        """The tag of the first tensor among arguments (also one level down: batches are often dicts or tuples)."""
        fallback = None
        for value in data_in((*args, *kwargs.values())):
            tag = self.tag_of(value)
            if tag.tokens is not None:
                return tag
            fallback = fallback or tag
        return fallback or Tag(None)

    def mark(self, result: Any, tag: Tag, depth: int = 2) -> None:
        """Tag what a call returned: tensors with as many rows as the tag has tokens hold those rows, others carry the rest."""
        if self.torch.is_tensor(result):
            own = tag
            if tag.tokens is not None and (not result.dim() or result.shape[0] != len(tag.tokens)):
                own = Tag(None, tag.learned, tag.predicted, tag.loader, tag.visit)
            self.recorder.identity.tag(result, own)
        elif depth and isinstance(result, tuple | list):
            for value in result[:16]:
                self.mark(value, tag, depth - 1)
        elif depth and isinstance(result, dict):
            for value in list(result.values())[:16]:
                self.mark(value, tag, depth - 1)

    # -- objects ---------------------------------------------------------------------------------------------------

    def module(self, module: Any) -> int:
        """Subject number of a module, with its parts."""
        known = self.recorder.known_subject(module)
        if known >= 0 and module in self._described:
            return known
        self._described.add(module)
        api, facts = self.facts(module, entry_of(type(module)))
        return self.recorder.subject(module, api, **facts, parts=[self.module(child) for child in self.children(module)])

    @staticmethod
    def children(module: Any) -> list[Any]:
        """Direct submodules; those of very deep networks are not all told."""
        return [child for child in module._modules.values() if child is not None][:64]

    def facts(self, module: Any, entry: Entry | None) -> tuple[str, dict[str, Any]]:
        """Name of what a module is, and the facts of its subject."""
        if entry is not None:
            given = {name: value for name in entry.params if plain(value := getattr(module, name, ...))}
            return entry.path, {"role": entry.role, "given": given}
        name = api_of(module)
        own = self.is_users(type(module))
        return (type(module).__name__ if own else name), {"role": "module"}

    def is_users(self, kind: type) -> bool:
        """Whether a class is defined in the project."""
        known = _users.get(kind)
        if known is None:
            file = getattr(sys.modules.get(kind.__module__), "__file__", None)
            known = bool(file) and self.recorder.locate(str(file), 1) is not None
            if not known:  # a class of a notebook or of executed text: ask one of its functions
                codes = [one.__code__ for one in vars(kind).values() if hasattr(one, "__code__")]
                known = any(self.recorder.locate(code.co_filename, code.co_firstlineno) is not None for code in codes)
            _users[kind] = known
        return known


_users: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
_states: weakref.WeakKeyDictionary[Recorder, State] = weakref.WeakKeyDictionary()


def state_of(recorder: Recorder) -> State:
    """The state of a recorder; torch must have been imported."""
    if recorder not in _states:
        _states[recorder] = State(recorder, sys.modules["torch"])
    return _states[recorder]


def plain(value: Any) -> bool:
    """Whether a value can stand in the log."""
    return isinstance(value, bool | int | float | str | type(None))


def data_in(values: Iterable[Any], depth: int = 1) -> Iterator[Any]:
    """Tensors and arrays among values, and in the tuples, lists and dicts among them."""
    for value in values:
        if is_data(value):
            yield value
        elif depth and isinstance(value, tuple | list):
            yield from data_in(value[:16], depth - 1)
        elif depth and isinstance(value, dict):
            yield from data_in(list(value.values())[:16], depth - 1)


def joined(tags: Sequence[Tag]) -> Tag:
    """One tag for rows of several batches."""
    tokens = [tag.tokens for tag in tags if tag.tokens is not None]
    last = tags[-1] if tags else Tag(None)
    rows: Tokens | None = tokens[0] if len(tokens) == 1 else np.unique(np.concatenate(tokens)) if tokens else None
    learned = last.learned if len(tags) < 2 else frozenset().union(*(tag.learned for tag in tags))
    return Tag(rows, learned, last.predicted, last.loader, last.visit)


_entries: dict[type, Entry | None] = {}


def entry_of(kind: type) -> Entry | None:
    """Catalog entry of a library class, under one of the names that people import it by."""
    if kind not in _entries:
        _entries[kind] = _find(kind)
    return _entries[kind]


def _find(kind: type) -> Entry | None:
    parts = kind.__module__.split(".")
    for cut in range(len(parts), 0, -1):
        home = ".".join(parts[:cut])
        if vars(sys.modules.get(home, object)).get(kind.__name__) is kind:
            entry = catalog.lookup(f"{home}.{kind.__name__}")
            if entry is not None:
                return entry
    return None


def construction(frame: FrameType | None, made: Any) -> FrameType | None:
    """The frame that constructs `made`, seen from a frame of its constructor."""
    while frame is not None and frame.f_code.co_argcount and frame.f_locals.get(frame.f_code.co_varnames[0]) is made:
        frame = frame.f_back
    return frame
