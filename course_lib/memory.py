"""Bytes, counted exactly: the most that is in use at once, what autograd keeps for backward, what parameters take."""

import gc
import weakref
from collections.abc import Callable

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.device import synchronize

PLAIN = (torch.Tensor, nn.Parameter)  # of other classes, the tensors inside them are what takes memory


def peak_memory(fn: Callable[[], object], device="cpu") -> int:
    """The most bytes of tensor memory in use at once while `fn()` runs, above what was in use when it began.

    CUDA: `torch.cuda.max_memory_allocated`, which counts in blocks of 512 bytes. CPU: the storages of tensors that are
    alive after each operation, forward and backward: the same on every run. Not seen on the CPU: scratch memory that an
    operation takes and returns on its way, what a compiled function keeps inside, and the memory of Python and NumPy.
    Measure the second step of a training, not the first, which also pays for the optimizer's state.
    """
    check_callable("fn", fn)
    device = torch.device(device)
    if device.type != "cuda":
        with _LiveStorages() as storages:
            fn()
        return storages.peak
    synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    start = torch.cuda.memory_allocated(device)
    fn()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) - start


def saved_bytes(fn: Callable[[], object]) -> int:
    """The most bytes that autograd holds for the backward pass at one time while `fn()` runs.

    Each storage counts once, whole, however many operations saved it. Parameters (nn.Parameter) and views of them do
    not count: they exist anyway. Inputs do, and so does the bfloat16 copy of a weight that autocast makes. What a
    backward pass has released no longer counts, so a step that accumulates over micro-batches shows the bytes of one
    of them. Of `torch.utils.checkpoint` only what it keeps counts, not what it recomputes: `peak_memory` shows that.
    """
    check_callable("fn", fn)
    ledger = _Ledger()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Held(tensor, ledger), lambda held: held.tensor):
        fn()
    return ledger.peak


def parameter_bytes(model: nn.Module) -> int:
    """The bytes of a model's parameters; a tied (shared) parameter counts once, and buffers do not count."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: {type(model).__name__} is not allowed; it is a torch.nn.Module")
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def check_callable(name: str, fn: object) -> None:
    """Raise ValueError unless `fn` can be called."""
    if not callable(fn):
        raise ValueError(f"{name}: {fn!r} is not allowed; it is a function without arguments, as lambda: model(x)")


class _LiveStorages(TorchDispatchMode):
    """Counts the bytes of the storages on the CPU: those that live at the start, and those that each operation makes."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, weakref.ref] = {}
        self.sizes: dict[int, int | None] = {}  # None: not torch's own or not seen when it was made, and so not counted
        self.in_use = self.peak = 0
        for tensor in [found for found in gc.get_objects() if type(found) in PLAIN]:
            self._note(tensor)
            if tensor.is_leaf:
                self._note(tensor.grad)
        self.in_use = 0  # from here on it says what lies above the start

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is not torch.ops.aten.lift_fresh.default:  # whose input is what torch.tensor has just made
            for tensor in tree_leaves((args, kwargs)):
                self._note(tensor, unseen=True)
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            self._note(tensor)
        self.peak = max(self.peak, self.in_use)
        return result

    def _note(self, tensor: object, unseen: bool = False) -> None:
        """Count the storage of `tensor` from now until it is released, also when it grows; `unseen`: only if it is known."""
        if type(tensor) not in PLAIN or tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        key = id(storage)
        if key not in self.alive:
            self.alive[key] = weakref.ref(storage, lambda _: self._released(key))
            self.sizes[key] = None if unseen else 0
        if self.sizes[key] is not None:
            self.in_use += storage.nbytes() - self.sizes[key]
            self.sizes[key] = storage.nbytes()

    def _released(self, key: int) -> None:
        del self.alive[key]
        self.in_use -= self.sizes.pop(key) or 0


class _Ledger:
    """Counts how many holders each storage has, and the bytes of all held storages: now, and at most."""

    def __init__(self):
        self.holders: dict[int, int] = {}
        self.bytes = self.peak = 0

    def change(self, storage: torch.UntypedStorage, by: int) -> None:
        key = storage.data_ptr()  # unique for as long as someone holds it
        before = self.holders.get(key, 0)
        self.holders[key] = before + by
        if before == 0 or before + by == 0:
            self.bytes += by * storage.nbytes()
            self.peak = max(self.peak, self.bytes)


class _Held:
    """One tensor that autograd saved. Autograd drops it when the graph is released; the ledger notices."""

    def __init__(self, tensor: torch.Tensor, ledger: _Ledger):
        self.tensor = tensor.detach()  # the tensor itself may refer back to the graph, which would then never be released
        owner = tensor if tensor._base is None else tensor._base
        self.ledger = None if isinstance(owner, nn.Parameter) else ledger
        self._count(1)

    def _count(self, by: int) -> None:
        if self.ledger is not None:
            self.ledger.change(self.tensor.untyped_storage(), by)

    def __del__(self):
        self._count(-1)
