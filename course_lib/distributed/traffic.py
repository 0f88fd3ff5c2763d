"""Count collectives, and the bytes handed to them."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# By torch's own names of the operations: the collective, and which argument holds what this rank hands over.
_NAMES = {
    "allreduce_": ("all_reduce", 0),
    "allreduce_coalesced_": ("all_reduce", 0),
    "allgather_": ("all_gather", 1),
    "_allgather_base_": ("all_gather", 1),
    "allgather_coalesced_": ("all_gather", 1),
    "allgather_into_tensor_coalesced_": ("all_gather", 1),
    "reduce_scatter_": ("reduce_scatter", 1),
    "_reduce_scatter_base_": ("reduce_scatter", 1),
    "reduce_scatter_tensor_coalesced_": ("reduce_scatter", 1),
    "broadcast_": ("broadcast", 0),
    "reduce_": ("reduce", 0),
    "gather_": ("gather", 1),
    "scatter_": ("scatter", 1),
    "alltoall_": ("all_to_all", 1),
    "alltoall_base_": ("all_to_all", 1),
    "send": ("send", 0),
    "recv_": ("recv", 0),
    "recv_any_source_": ("recv", 0),
    "barrier": ("barrier", None),
    "monitored_barrier_": ("barrier", None),
}
# The same as functions that return their result, as tensor parallelism and torch.compile use them; argument 0 is handed over.
_FUNCTIONS = {
    "all_reduce": "all_reduce",
    "all_gather_into_tensor": "all_gather",
    "reduce_scatter_tensor": "reduce_scatter",
    "all_to_all_single": "all_to_all",
    "broadcast": "broadcast",
}


@dataclass
class Traffic:
    """What one rank handed to collectives: how often, and how many bytes, by the collective's name."""

    calls: Counter = field(default_factory=Counter)  # {"all_reduce": 3}
    bytes: Counter = field(default_factory=Counter)  # {"all_reduce": 4096}


class traffic(TorchDispatchMode):
    """Within the block, count the collectives that this rank calls, and the bytes of the tensors that it hands to each.

    Counted is the payload, by what this rank hands over: the tensor of an all_reduce, a reduce, a broadcast (on every rank)
    or a send; the input of an all_gather, a gather, a reduce_scatter or an all_to_all; the whole list of a scatter, on the
    rank that scatters; the buffer of a recv. That is not what goes over the wire, which depends on the algorithm: a ring's
    all_reduce sends 2 (n - 1) / n times the payload from each of n ranks.

    Collectives of DDP, of its communication hooks and of FSDP are seen like one's own: one for each bucket or group of
    weights; those that torch makes of several tensors at once count as one. It is for counting, not for timing: every
    operation gets slower. A backward pass on a GPU runs in a thread of its own, to which torch hands this mode on.
    """

    def __enter__(self) -> Traffic:
        super().__enter__()
        self.counted = Traffic()
        return self.counted

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if any(hasattr(kind, "placements") for kind in types):  # a DTensor first works out itself what it calls
            return NotImplemented
        name, position = _recognised(operation)
        if name is not None:
            handed = [] if position is None else tree_leaves(args[position])
            self.counted.calls[name] += 1
            self.counted.bytes[name] += sum(part.nbytes for part in handed if isinstance(part, torch.Tensor))
        return operation(*args, **(kwargs or {}))


def _recognised(operation) -> tuple[str | None, int | None]:
    """Return the collective that `operation` is and the argument that is handed over, (None, None) for any other."""
    name = operation._opname
    if operation.namespace == "c10d":
        return _NAMES.get(name, (None, None))
    if operation.namespace == "_c10d_functional":
        return _FUNCTIONS.get(name.removesuffix("_out").removesuffix("_").removesuffix("_coalesced")), 0
    return None, None
