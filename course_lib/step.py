"""One training step, and the state of the run that it belongs to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

from course_lib.config import Config, rate_factor


@dataclass
class Run:
    """A training run in progress: what is fixed, then what a checkpoint holds."""

    config: Config
    model: nn.Module
    weights: list[nn.Parameter]
    forward: Callable  # the model, or its compiled form
    loss: Callable
    optimizer: torch.optim.Optimizer
    device: torch.device
    batches: Iterable
    length: int  # batches in an epoch
    total: int  # optimizer steps in the whole run
    autocast: object
    scaler: torch.amp.GradScaler | None  # for fp16 alone
    loss_sum: torch.Tensor  # () over the samples of this epoch
    correct: torch.Tensor  # () right answers in this epoch
    ranks: int = 1  # that train this model together
    samples: int = 0
    answers: int = 0
    epoch: int = 0
    batch: int = 0  # next batch of this epoch
    steps: int = 0
    seconds: float = 0.0
    checked: bool = False  # whether a first batch has passed
    epoch_rng: dict = field(default_factory=dict)  # the generators as the epoch began: a DataLoader shuffles by them
    history: list = field(default_factory=list)


def step(run: Run, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Train on one micro-batch; at the end of a group of `accumulate` of them, update the weights."""
    config, optimizer, scaler = run.config, run.optimizer, run.scaler
    with run.autocast:
        outputs = run.forward(inputs)
        loss = run.loss(outputs, targets)
    share = loss if config.accumulate == 1 else loss / group_size(run)
    (share if scaler is None else scaler.scale(share)).backward()

    run.batch += 1
    if run.batch % config.accumulate == 0 or run.batch == run.length:
        if config.clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            clip_gradients(run.weights, config.clip)
        if config.schedule != "constant" or config.warmup:
            factor = rate_factor(config, run.steps, run.total)
            for parameters in optimizer.param_groups:
                parameters["lr"] = parameters["initial_lr"] * factor
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        for weight in run.weights:
            weight.grad = None
        run.steps += 1

    # Sums stay on the device: reading one here would make the host wait for every step.
    size = len(targets)
    run.loss_sum.add_(loss.detach(), alpha=size)
    run.samples += size
    if config.accuracy:
        run.correct += (outputs.argmax(-1) == targets).sum()
        run.answers += targets.numel()


def group_size(run: Run) -> int:
    """Return how many micro-batches the present update is the mean of: `accumulate`, or what is left at an epoch's end."""
    began = run.batch // run.config.accumulate * run.config.accumulate
    return min(run.config.accumulate, run.length - began)


def clip_gradients(weights: list[nn.Parameter], largest: float) -> None:
    """Scale all gradients by one factor so that their common norm is at most `largest` (Pascanu et al. 2013).

    The arithmetic of torch.nn.utils.clip_grad_norm_, in half its time for a small model: it sorts no tensors by device.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
