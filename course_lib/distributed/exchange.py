"""What the training loop asks of the other ranks. A process alone is a world of one: it answers itself, at once."""

import torch
import torch.distributed as dist
from torch import nn


def world_size() -> int:
    """Return the number of ranks in the group that this process has joined, 1 if in none."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Return this process's rank, 0 if it is in no group."""
    return dist.get_rank() if world_size() > 1 else 0


def everyones(values: list[float], device: torch.device) -> list[list[float]]:
    """Return what each rank gave, by rank: the same on all of them. All must give equally many numbers."""
    if world_size() == 1:
        return [values]
    own = torch.tensor(values, dtype=torch.float64, device=device)
    rows = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(rows, own)
    return [row.tolist() for row in rows]


def gathered(value) -> list | None:
    """Return on rank 0 what each rank gave, by rank, and None on the others. Tensors in it must lie on the CPU."""
    if world_size() == 1:
        return [value]
    found = [None] * world_size() if number() == 0 else None
    dist.gather_object(value, found)
    return found


def from_first(value):
    """Return what rank 0 gave; what the others gave is dropped. Tensors in it must lie on the CPU."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def copy_buffers_of_first(model: nn.Module) -> None:
    """Give every rank rank 0's buffers: the statistics of batch norm differ, as each rank has seen other samples."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model within DistributedDataParallel, any other as it is."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def is_sharded(model: nn.Module) -> bool:
    """Whether each rank holds a part of some weight alone, as after fully_shard: such a weight has a placement."""
    return any(hasattr(weight, "placements") for weight in model.parameters())


def check(model: nn.Module, device: torch.device, checkpoint: object) -> None:
    """Raise ValueError if `model` would not train as one over the ranks, on `device` and with this choice of `checkpoint`."""
    ranks = world_size()
    if ranks == 1:
        return
    wrapped = isinstance(model, nn.parallel.DistributedDataParallel)
    if not wrapped and not is_sharded(model):
        raise ValueError(
            f"model: {type(model).__name__} is not allowed on {ranks} ranks, which would each train a model of their own; "
            "give DistributedDataParallel(model), or a model after fully_shard"
        )
    if is_sharded(model) and checkpoint is not None:
        raise ValueError(
            "checkpoint: a folder is not allowed for a sharded model, as rank 0 holds a part of it alone; give None, "
            "and save by torch.distributed.checkpoint"
        )
    there = next(model.parameters()).device
    if there.type != device.type:
        raise ValueError(
            f"device: {device.type!r} is not allowed for a model that was wrapped on {there.type!r}; "
            "move it first, and give Config(device=str(ranks.device))"
        )
