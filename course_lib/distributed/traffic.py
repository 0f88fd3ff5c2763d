"""Count collectives, and the bytes handed to them."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# torch's own names of the collectives, and the position of the argument that holds what this rank hands over.
_COLLECTIVES = {
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
    "barrier": ("barrier", None),
}


@dataclass
class Traffic:
    """What one rank handed to collectives: how often, and how many bytes, by the collective's name."""

    calls: Counter = field(default_factory=Counter)  # {"all_reduce": 3}
    bytes: Counter = field(default_factory=Counter)  # {"all_reduce": 4096}


class traffic(TorchDispatchMode):
    """Within the block, count the collectives that this rank calls, and the bytes of the tensors that it hands to each.

    Counted is the payload, by what this rank hands over: the tensor of an all_reduce, a broadcast (on every rank) or a send;
    the input of an all_gather, a reduce_scatter or an all_to_all; the buffer of a recv. That is not what goes over the
    wire, which depends on the algorithm: a ring's all_reduce sends 2 (n - 1) / n times the payload from each of n ranks.
    DDP's and FSDP's collectives are seen like one's own. It is for counting, not for timing: every operation gets slower.
    """

    def __enter__(self) -> Traffic:
        super().__enter__()
        self.counted = Traffic()
        return self.counted

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.namespace == "c10d":
            name, position = _COLLECTIVES.get(operation._opname, (operation._opname, 0))
            handed = [] if position is None else tree_leaves(args[position])
            self.counted.calls[name] += 1
            self.counted.bytes[name] += sum(part.nbytes for part in handed if isinstance(part, torch.Tensor))
        return operation(*args, **(kwargs or {}))
