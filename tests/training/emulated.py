"""A GPU's streams and graphs, played by CPU tensors.

`Gpu` runs the stepper that records a graph. Operations are run as they come; those between the two
ends of a recording are put on a tape, and what they have changed is set back, as nothing runs while
a GPU records. A replay runs the tape on the same tensors. What a GPU would not do, or do wrongly
without a word, is `Refused`:

- an operation of a recording that a graph cannot hold (`capturing.refusal`), or that has not run on
  the recording's stream before, as libraries are loaded at the first call;
- a read or write on one stream that does not wait for another's write or read of the same memory;
- memory that nobody has written is nan, in a recording's results too until the first replay.
"""

import contextlib
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from credit.training import capturing, optimizer

_EMPTY = ("aten::empty", "aten::new_empty")


class Refused(AssertionError):
    """A GPU would fail here, or give other numbers."""


class Stream:
    """Operations in order; `seen` says up to which operation of other streams it has waited."""

    def __init__(self, device: object = None) -> None:
        self.seen: dict[Stream, int] = {self: 0}

    def wait_stream(self, other: "Stream") -> None:
        self.wait(other)

    def wait(self, other: "Stream") -> None:
        for stream, tick in other.seen.items():
            self.seen[stream] = max(tick, self.seen.get(stream, 0))

    def follows(self, use: "tuple[Stream, int]") -> bool:
        stream, tick = use
        return self.seen.get(stream, 0) >= tick


class Call(NamedTuple):
    """A call, and the memory that it reads, changes and makes, by key."""

    func: Any
    args: tuple
    kwargs: dict
    given: set[int]
    written: set[int]
    is_fresh: list[bool]  # of each tensor of the result
    fresh: list[torch.Tensor]  # those whose memory the call has made

    @classmethod
    def of(cls, func, args, kwargs, result, given, written) -> "Call":
        """Forms (meta) and zeros have no memory."""
        keys, found = set(map(key_of, given)), _tensors(result)
        is_fresh = [not (t.is_meta or t._is_zerotensor()) and key_of(t) not in keys for t in found]
        fresh = [t for t, new in zip(found, is_fresh, strict=True) if new]
        return cls(func, args, kwargs, keys, set(map(key_of, written)), is_fresh, fresh)


def key_of(tensor: torch.Tensor) -> int:
    """Name the memory of a tensor, while it is there."""
    return tensor.untyped_storage()._cdata


class Graph:
    """Calls on the tensors that they were recorded on."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.replays = 0

    def replay(self) -> None:
        self.gpu.replay(self)

    gpu: "Gpu"


class Gpu(TorchDispatchMode):
    """The emulator; `installed` puts it in the place of `torch.cuda`."""

    def __init__(self) -> None:
        super().__init__()
        self.default = self.stream = Stream()
        self.graphs: list[Graph] = []
        self._graph: Graph | None = None  # while it records
        self._idle = False  # the emulator itself is at work
        self._warm: set[tuple] = set()  # calls that other streams have made
        self._writes: dict[int, tuple[Stream, int]] = {}  # the last of each storage
        self._reads: dict[int, dict[Stream, int]] = {}
        self._kept: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._made: dict[int, torch.UntypedStorage] = {}

    # ---------------------------------------------------------------- operations

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._idle:
            return func(*args, **kwargs)
        given, written = _tensors((args, kwargs)), _written(func, args, kwargs)
        if self._graph is not None:
            self._before_recorded(func, args, kwargs, written)
        result = func(*args, **kwargs)
        call = Call.of(func, args, kwargs, result, given, written)
        kind = (func, *(t.dtype for t in given))  # what a library may have to load for it
        if self._graph is None:
            self._used(call)
            if self.stream is not self.default:
                self._warm.add(kind)
        else:
            if (call.fresh or written) and kind not in self._warm:
                raise Refused(f"{func} runs in a recording for the first time")
            self._made |= {key_of(t): t.untyped_storage() for t in call.fresh}
            self._graph.calls.append(call)
        if func._schema.name.startswith(_EMPTY):  # nobody has written it
            result.fill_(float("nan") if result.is_floating_point() else 0)
        return result

    def _before_recorded(self, func, args, kwargs, written) -> None:
        """Refuse what a graph cannot hold; keep what the call is about to change."""
        if why := capturing.refusal(func, args, kwargs):
            raise Refused(f"{func} {why}")
        for tensor in written:
            key, storage = key_of(tensor), tensor.untyped_storage()
            if key not in self._made and key not in self._kept:
                self._kept[key] = storage, storage.clone()

    def _used(self, call: "Call") -> None:
        """Note which memory a call reads and writes, and see that its stream has waited."""
        here = self.stream
        here.seen[here] += 1
        now = here, here.seen[here]
        for key in map(key_of, call.fresh):
            self._writes[key], self._reads[key] = now, {}
        for key in call.given:
            before = [self._writes[key]] if key in self._writes else []
            if key in call.written:
                before += self._reads.get(key, {}).items()
            if not all(map(here.follows, before)):
                raise Refused(f"{call.func} does not wait for another stream")
            if key in call.written:
                self._writes[key], self._reads[key] = now, {}
            else:
                self._reads.setdefault(key, {})[here] = now[1]

    # ---------------------------------------------------------------- graphs

    @contextlib.contextmanager
    def record(self, graph: Graph, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        """In the place of `torch.cuda.graph`, which waits for all that has been asked before."""
        assert capture_error_mode == "thread_local"
        for one, other in ((stream, self.stream), (self.stream, stream)):
            one.wait(other)
        self._graph, self._kept, self._made = graph, {}, {}
        try:
            with self.on(stream):
                yield
        finally:
            self._graph = None
            with self._at_work():
                for storage, before in self._kept.values():
                    storage.copy_(before)
                for storage in self._made.values():
                    storage.fill_(255)  # nan as float, -1 as integer
        graph.gpu = self
        self.graphs.append(graph)

    def replay(self, graph: Graph) -> None:
        """Run the tape on the stream of the caller."""
        graph.replays += 1
        with self._at_work(), torch.no_grad():
            for call in graph.calls:
                again = call.func(*call.args, **call.kwargs)
                if call.fresh:
                    news = [n for n, new in zip(_tensors(again), call.is_fresh, strict=True) if new]
                    for old, new in zip(call.fresh, news, strict=True):
                        old.copy_(new)
                self._used(call)

    @contextlib.contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        """In the place of `torch.cuda.stream`."""
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._idle = True
        try:
            yield
        finally:
            self._idle = False

    def installed(self, monkeypatch) -> None:
        """Let `torch.cuda` be this, and steps on a CPU be recorded."""
        monkeypatch.setattr(optimizer, "recorded", lambda device: True)
        here = SimpleNamespace(is_capturing=lambda: self._graph is not None)
        cuda = lambda check_available=False: torch.device("cuda")  # noqa: E731
        for module, name, value in (
            (torch.cuda, "Stream", Stream),
            (torch.cuda, "current_stream", lambda: self.stream),
            (torch.cuda, "stream", self.on),
            (torch.cuda, "device", lambda device: contextlib.nullcontext()),
            (torch.cuda, "CUDAGraph", Graph),
            (torch.cuda, "graph", self.record),
            (torch.accelerator, "current_accelerator", cuda),  # AdamW asks whether one records
            (torch.accelerator, "current_stream", lambda: here),
        ):
            monkeypatch.setattr(module, name, value)


def _tensors(tree: object) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [tensor for part in tree for tensor in _tensors(part)]


def _written(func, args, kwargs) -> list[torch.Tensor]:
    """The arguments that a call changes in place."""
    given = ((args[i] if i < len(args) else kwargs.get(name)) for i, name in _changed(func))
    return [tensor for argument in given for tensor in _tensors(argument)]


@cache
def _changed(func) -> list[tuple[int, str]]:
    """Place and name of the arguments that a function changes in place."""
    infos = ((i, a.name, a.alias_info) for i, a in enumerate(func._schema.arguments))
    return [(i, name) for i, name, alias in infos if alias is not None and alias.is_write]
