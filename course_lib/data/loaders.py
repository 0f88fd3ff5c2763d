"""Batches of tensors that already lie in memory."""

import copy
from collections.abc import Iterator

import torch

# What one index_select gathers, in bytes: many small batches at once, which spreads its overhead, and yet little enough
# to be still in a core's cache when the batch is used.
CHUNK_BYTES = 2**19


class TensorBatches:
    """Batches of in-memory tensors: shuffled by one `index_select` for many batches, then split into views.

    A DataLoader fetches sample by sample and stacks them again; for data in memory that costs more than a small
    model's step. The order of an epoch is a pure function of (seed, epoch), so that training resumes exactly.
    """

    def __init__(self, *tensors: torch.Tensor, batch_size: int, shuffle: bool = True, drop_last: bool = True):
        """Take `tensors` of equal first dimension (N, ...). With `drop_last`, N % batch_size samples sit an epoch out.

        Raises TypeError for what is no tensor; ValueError if there is none, if one cannot be indexed by samples or asks
        for gradients, if their lengths or devices differ, or if not one batch can be made.
        """
        for i, tensor in enumerate(tensors):
            _check_tensor(f"tensors[{i}]", tensor)
        lengths = [len(tensor) for tensor in tensors]
        if not tensors or len(set(lengths)) != 1:
            raise ValueError(f"tensors: lengths {lengths} are not allowed; give one or more tensors of equal length")
        if len(devices := {str(tensor.device) for tensor in tensors}) > 1:
            raise ValueError(f"tensors: they lie on {', '.join(sorted(devices))}; all of them have to lie on one device")
        for name, value in (("shuffle", shuffle), ("drop_last", drop_last)):
            if not isinstance(value, bool):
                raise ValueError(f"{name}: {value!r} is not allowed; it is True or False")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size: {batch_size!r} is not allowed; it is a whole number of at least 1")
        if lengths[0] < (batch_size if drop_last else 1):
            raise ValueError(f"batch_size: {batch_size} is more than the {lengths[0]} samples; not one batch can be made")
        self.tensors, self.samples = tensors, lengths[0]
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.rank, self.ranks = 0, 1

    def __len__(self) -> int:
        whole, rest = divmod(self.samples, self.batch_size * self.ranks)
        return whole + (rest > 0 and not self.drop_last)

    def to(self, device) -> "TensorBatches":
        """Return the same batches with their tensors on `device`; there they are no longer copied step by step."""
        moved = copy.copy(self)
        moved.tensors = tuple(tensor.to(device) for tensor in self.tensors)
        return moved

    def shard(self, rank: int, ranks: int) -> "TensorBatches":
        """Return rank `rank`'s part of the same batches: of each, one of `ranks` equal parts, batch_size / ranks samples.

        All ranks together see in each step exactly the batch that one process would see, in the same order of epochs.

        Raises ValueError if `rank` is not 0 to ranks - 1, if the batch size cannot be divided by `ranks`, if a smaller
        last batch is kept, or if these batches are a shard already.
        """
        if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 1:
            raise ValueError(f"ranks: {ranks!r} is not allowed; it is a whole number of at least 1")
        if isinstance(rank, bool) or not isinstance(rank, int) or not 0 <= rank < ranks:
            raise ValueError(f"rank: {rank!r} is not allowed; it is a whole number from 0 to {ranks - 1}")
        if self.ranks > 1:
            raise ValueError(f"ranks: these batches are part {self.rank} of {self.ranks} already; shard the whole ones")
        if self.batch_size % ranks:
            raise ValueError(f"batch_size: {self.batch_size} samples cannot be divided among {ranks} ranks")
        if not self.drop_last and self.samples % self.batch_size:
            raise ValueError("drop_last: False leaves a smaller last batch, which the ranks cannot share equally; use True")
        part = copy.copy(self)
        part.batch_size, part.rank, part.ranks = self.batch_size // ranks, rank, ranks
        return part

    def order(self, number: int, seed: int = 0) -> torch.Tensor:
        """Return the sample indices of epoch `number`, (len(self) * batch_size,) or (samples,) int64, on the CPU.

        Of a shard, its own: batch i of all ranks, one after another, is batch i of the whole.
        """
        if not self.shuffle:
            order = torch.arange(self.samples)
        else:  # a multiplier larger than any epoch number keeps the streams of neighbouring seeds apart
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            order = torch.randperm(self.samples, generator=generator)
        order = order[: len(self) * self.batch_size * self.ranks]
        return order if self.ranks == 1 else order.view(len(self), self.ranks, self.batch_size)[:, self.rank].flatten()

    def epoch(self, number: int, *, seed: int = 0, start: int = 0) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield the batches of epoch `number` from batch `start` on, each a tuple of views (batch_size, ...).

        Raises ValueError if `start` is below 0.
        """
        if start < 0:
            raise ValueError(f"start: {start} is not allowed; it is the number of a batch, from 0 on")
        order = self.order(number, seed)[start * self.batch_size :].to(self.tensors[0].device)
        for chunk in order.split(chunk_batches(self) * self.batch_size) if len(order) else ():
            yield from zip(*(t.index_select(0, chunk).split(self.batch_size) for t in self.tensors), strict=True)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        return self.epoch(0)


def chunk_batches(batches: TensorBatches, copies: int = 1) -> int:
    """Return how many batches, `copies` of each, are gathered at once: CHUNK_BYTES of them, and at least one."""
    sample = sum(tensor[0].nbytes for tensor in batches.tensors)
    return max(1, CHUNK_BYTES // max(1, sample * batches.batch_size * copies))  # (N, 0) tensors have no bytes


def _check_tensor(name: str, tensor: torch.Tensor) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: {type(tensor).__name__} is not allowed; give a torch.Tensor, as from torch.as_tensor")
    if tensor.dim() == 0 or tensor.layout is not torch.strided:
        raise ValueError(f"{name}: {tuple(tensor.shape)} {tensor.layout} is not allowed; give a dense tensor (samples, ...)")
    if tensor.requires_grad:
        raise ValueError(f"{name}: requires_grad=True is not allowed, as its graph would span the batches; use detach()")
