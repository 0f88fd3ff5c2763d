"""What a run is given, checked before its first update: each error names what is wrong, its value, and what is allowed.

Shapes and types are looked at in the first batch alone, so that no other step pays for it.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import isfinite

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.config import Config
from course_lib.data.loaders import TensorBatches


def check_run(config: Config, loss: Callable, optimizer: Callable | None) -> None:
    """Raise TypeError unless these are a Config, a function (no class), and a maker of optimizers or None."""
    if not isinstance(config, Config):
        raise TypeError(f"config: {type(config).__name__} is not allowed; give a Config")
    if not callable(loss) or isinstance(loss, type):
        raise TypeError(f"loss: {loss!r} is not allowed; give a function of (outputs, targets), or an instance of the class")
    if optimizer is not None and not callable(optimizer):
        raise TypeError(
            f"optimizer: {type(optimizer).__name__} is not allowed; give what makes one from the weights, "
            "for instance lambda weights: torch.optim.SGD(weights, lr=0.1)"
        )


def check_model(model: nn.Module) -> None:
    """Raise TypeError unless `model` is a torch.nn.Module (an instance)."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: {type(model).__name__} is not allowed; give a torch.nn.Module")


def check_trainable(model: nn.Module) -> None:
    """Raise TypeError unless `model` is a module, ValueError unless at least one of its weights can be trained."""
    check_model(model)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("model: none of its weights requires a gradient; there is nothing to train")


def check_batches(name: str, batches: Iterable) -> None:
    """Raise TypeError unless `batches` can be iterated and has a length, ValueError if it is empty or holds no pairs."""
    try:
        length = len(batches) if hasattr(batches, "__iter__") else None
    except TypeError:  # a DataLoader has __len__, and passes the question on to its data set
        length = None
    if length is None:
        raise TypeError(f"{name}: {type(batches).__name__} is not allowed; give TensorBatches or a DataLoader with a length")
    if length == 0:
        raise ValueError(f"{name}: there is not one batch in it")
    if isinstance(batches, TensorBatches) and len(batches.tensors) != 2:
        raise ValueError(f"{name}: {len(batches.tensors)} tensors in TensorBatches are not allowed; give inputs and targets")


def check_shard(batches: Iterable, ranks: int) -> None:
    """Raise ValueError for TensorBatches that are not one of as many parts as there are ranks."""
    if isinstance(batches, TensorBatches) and batches.ranks != ranks:
        raise ValueError(
            f"batches: one of {batches.ranks} parts is not allowed on {ranks} ranks; give batches.shard(rank, world_size)"
        )


def check_whole(test: Iterable) -> None:
    """Raise ValueError for TensorBatches that leave samples out: an accuracy is over the whole test set."""
    if isinstance(test, TensorBatches) and test.ranks > 1:
        raise ValueError(f"test: part {test.rank} of {test.ranks} is not allowed; every rank is given the whole test set")
    if isinstance(test, TensorBatches) and (left_out := test.samples - len(test.order(0))):
        raise ValueError(f"test: {left_out} of {test.samples} samples would be left out; use drop_last=False")


def check_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Raise TypeError unless this is an optimizer, ValueError if no weight of `model` is among what it updates."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer: what it made, {type(optimizer).__name__}, is not allowed; it makes a torch.optim.Optimizer"
        )
    weights = {id(weight) for weight in model.parameters()}
    if not any(id(weight) in weights for group in optimizer.param_groups for weight in group["params"]):
        raise ValueError("optimizer: it holds no weight of this model; make it from the weights that it is called with")


def first_checked(name: str, batches: Iterable) -> Iterator:
    """Return an iterator over `batches`, the first of which was found to be two tensors of equal, positive length.

    Raises TypeError or ValueError if it is not, or if there is none.
    """
    if not hasattr(batches, "__iter__"):
        raise TypeError(f"{name}: {type(batches).__name__} is not allowed; give TensorBatches, a DataLoader or a list")
    left = iter(batches)
    for first in left:
        _check_pair(name, first)
        return chain([first], left)
    raise ValueError(f"{name}: not one batch came out of it; is it empty, or an iterator that is used up?")


def _check_pair(name: str, batch) -> None:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not all(isinstance(part, torch.Tensor) for part in batch):
        raise TypeError(f"{name}: a batch that is {_kinds(batch)} is not allowed; each is two tensors, (inputs, targets)")
    sizes = [len(part) if part.dim() else None for part in batch]
    if sizes[0] != sizes[1] or not sizes[0]:
        shapes = " and ".join(str(tuple(part.shape)) for part in batch)
        raise ValueError(f"{name}: shapes {shapes} are not allowed; inputs and targets have the same first dimension, above 0")


def _kinds(batch) -> str:
    if isinstance(batch, (tuple, list)):
        return f"{type(batch).__name__} of {len(batch)} ({', '.join(type(part).__name__ for part in batch[:4])})"
    return type(batch).__name__


def checked_loss(loss: Callable, labels: torch.Tensor | None, accuracy: bool) -> Callable:
    """Return `loss` for the first step of a training: it checks what it is given and what it returns.

    `labels`: the targets of all samples where they are at hand;  `accuracy`: whether right answers are to be counted.
    """

    def first(outputs, targets):
        check_answers(loss, outputs, targets, labels)
        if accuracy and not countable(outputs, targets):
            raise ValueError(f"accuracy: True is not allowed for {_shapes(outputs, targets)}; it counts {COUNTABLE}")
        value = loss(outputs, targets)
        check_value(value)
        if not value.requires_grad:
            raise ValueError("loss: its value does not depend on the weights; compute it from the outputs, without detach()")
        return value

    return first


COUNTABLE = "outputs (B, ..., classes) against targets (B, ...) that are whole numbers"


def countable(outputs, targets: torch.Tensor) -> bool:
    """Whether right answers can be counted: class scores in the last dimension, and one class number for each of them."""
    return (
        isinstance(outputs, torch.Tensor)
        and not targets.is_floating_point()
        and outputs.dim() > 1
        and outputs.shape[:-1] == targets.shape
    )


def check_answers(loss: Callable, outputs, targets: torch.Tensor, labels: torch.Tensor | None = None) -> None:
    """Raise ValueError if `targets` do not fit `outputs`: what torch says late, unclearly, or (a broadcast) not at all.

    A loss of one's own may take outputs and targets of any shapes, but not of as many numbers in two shapes: (B, 1)
    against (B,) would compare every output with every target.
    """
    if not isinstance(outputs, torch.Tensor):
        return
    if loss is F.cross_entropy or isinstance(loss, nn.CrossEntropyLoss):
        ignored = getattr(loss, "ignore_index", -100)
        _check_classes(outputs, targets, targets if labels is None else labels, ignored)
    elif outputs.shape != targets.shape and outputs.numel() == targets.numel():
        raise ValueError(f"targets: {_shapes(outputs, targets)} are not allowed together; give the targets the outputs' shape")


def _check_classes(outputs: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor, ignored: int) -> None:
    if outputs.dim() < 2:
        raise ValueError(f"outputs: shape {tuple(outputs.shape)} is not allowed in cross_entropy; it is (B, classes, ...)")
    if targets.is_floating_point():
        if targets.shape != outputs.shape:
            raise ValueError(
                f"targets: {_words(targets)} is not allowed in cross_entropy; class numbers are torch.int64, as from "
                f"targets.long(), and probabilities have the outputs' shape, {tuple(outputs.shape)}"
            )
        return
    if targets.dtype not in (torch.int64, torch.uint8):
        raise ValueError(f"targets: {_words(targets)} is not allowed in cross_entropy; class numbers are torch.int64")
    expected = outputs.shape[:1] + outputs.shape[2:]
    if targets.shape != expected:
        last = outputs.dim() > 2 and outputs.shape[:-1] == targets.shape
        hint = "; the classes of these outputs come last, as models.token_loss takes them" if last else ""
        raise ValueError(
            f"targets: shape {tuple(targets.shape)} is not allowed in cross_entropy; for outputs {tuple(outputs.shape)} "
            f"it is {tuple(expected)}{hint}"
        )
    classes = outputs.shape[1]
    low, high = labels.aminmax()
    if low < 0 or high >= classes:
        wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignored)]
        if len(wrong):
            raise ValueError(f"targets: class {wrong[0].item()} is not allowed; the outputs have {classes}, numbered from 0")


def check_value(value) -> None:
    """Raise TypeError or ValueError unless a loss returned one number, as a tensor of shape ()."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"loss: it returned {type(value).__name__}, which is not allowed; it returns a tensor of shape ()")
    if value.dim():
        raise ValueError(f"loss: it returned shape {tuple(value.shape)}; allowed is (), the mean over the samples")


def check_warmup(config: Config, total: int) -> None:
    """Raise ValueError for a warm-up longer than the run of `total` optimizer steps: the rate would never reach its peak."""
    if config.warmup > total:
        raise ValueError(f"warmup: {config.warmup} is not allowed; the whole run has {total} optimizer steps")


def check_count(epoch: int, batches: int, length: int) -> None:
    """Raise ValueError unless an epoch had as many batches as their length says: schedule and resume rely on it."""
    if batches != length:
        raise ValueError(f"batches: {batches} came in epoch {epoch}, but their length is {length}; give as many in every epoch")


def warn_if_diverged(epoch: int, losses: dict[str, float | None]) -> bool:
    """Return whether a loss of this epoch is nan or infinite, and warn if so: from then on the figures say nothing."""
    wrong = {name: loss for name, loss in losses.items() if loss is not None and not isfinite(loss)}
    if wrong:
        named = ", ".join(f"{name} {loss}" for name, loss in wrong.items())
        warnings.warn(
            f"epoch {epoch}: {named}; training has diverged, or the data hold nan or inf. Try a lower lr, clip or warmup",
            RuntimeWarning,
            stacklevel=3,  # the learner's loop
        )
    return bool(wrong)


def note(error: Exception, where: str, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Add to an error what the batch holds in which it arose: torch names neither."""
    error.add_note(f"This arose {where}: inputs {_words(inputs)}, targets {_words(targets)}.")


def _shapes(outputs, targets) -> str:
    if not isinstance(outputs, torch.Tensor):
        return f"outputs that are {type(outputs).__name__}"
    return f"outputs {_words(outputs)} and targets {_words(targets)}"


def _words(tensor) -> str:
    if not isinstance(tensor, torch.Tensor):
        return type(tensor).__name__
    words = f"{tuple(tensor.shape)} {tensor.dtype}"
    # A note must not raise: after an error on a GPU reading a value there may, and torch finds no range of other types.
    if tensor.device.type == "cpu" and tensor.numel() and tensor.dtype in (torch.int64, torch.int32, torch.uint8, torch.bool):
        low, high = tensor.aminmax()
        words += f" from {low.item()} to {high.item()}"
    return words
