"""Many seeds at once: train S copies of a small model in one vectorised run.

A claim about accuracy needs an interval, and an interval needs seeds. A small model leaves the processor idle between
its many tiny operations; S copies stacked along a new first dimension fill it, so that 8 seeds cost less than 2 runs.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_lib import checks, device
from course_lib.config import Config, rate_factor
from course_lib.data.loaders import TensorBatches, chunk_batches
from course_lib.train import evaluate, fused_adamw

ONE_RUN_ONLY = {"accumulate": 1, "compile": False, "channels_last": False, "accuracy": False, "checkpoint": None}


@dataclass(frozen=True, kw_only=True)
class EnsembleEpoch:
    """What one epoch did to each of the S copies, in the order of their seeds. Units as in train.Epoch."""

    number: int
    seconds: float  # for all copies together, training alone
    losses: tuple[float, ...]
    test_losses: tuple[float, ...] | None
    test_accuracies: tuple[float, ...] | None


def train_ensemble(
    models: Sequence[nn.Module],
    batches: TensorBatches,
    config: Config,
    *,
    seeds: Sequence[int],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy,
    optimizer: Callable | None = None,
    test: TensorBatches | None = None,
) -> Iterator[EnsembleEpoch]:
    """Train `models`, S copies of one architecture, in place and together; yield an EnsembleEpoch after each epoch.

    Copy i ends with the weights that train(models[i], batches, config with seed=seeds[i]) gives it, up to rounding:
    it sees the data in the order of its own seed. Three things differ. Dropout draws other numbers. The optimizer that
    `optimizer` makes must update each weight by itself, as SGD and the Adam family do. And what serves one long run
    (accumulation, checkpoints, compile, channels_last, training accuracy, fp16 scaling) is refused here by ValueError,
    as are models and seeds of different number, and batches that leave a smaller last one. Other bad input raises
    TypeError or ValueError as in `train`. torch itself refuses batch norm under bf16 here, with a RuntimeError.
    """
    checks.check_run(config, loss, optimizer)
    for name, allowed in ONE_RUN_ONLY.items():
        if getattr(config, name) != allowed:
            raise ValueError(f"{name}: {getattr(config, name)!r} is not allowed in an ensemble; it is {allowed!r}")
    if config.precision == "fp16":
        raise ValueError("precision: 'fp16' is not allowed in an ensemble, whose copies would share one loss scale")
    _check_copies(models, seeds)
    _check_tensors("batches", batches)
    if test is not None:
        _check_tensors("test", test)
        checks.check_whole(test)
    checks.check_warmup(config, config.epochs * len(batches))
    if len(batches) * batches.batch_size != len(batches.order(0)):
        raise ValueError("batches: the last one is smaller, which a stacked run cannot hold; use drop_last=True")
    return _epochs(list(models), batches, config, list(seeds), loss, optimizer or fused_adamw(config), test)


def stack(models: Sequence[nn.Module], loss: Callable) -> tuple[dict, dict, Callable]:
    """Stack S copies of one architecture: (weights, buffers, loss_of_one), for loops of your own.

    `weights` and `buffers` are name -> (S, *shape); the weights ask for gradients, and the models keep theirs.
    `loss_of_one(weights, buffers, inputs, targets)` is the loss of one copy on one batch; `torch.func.vmap` makes of it
    the losses of all. Raises TypeError or ValueError for models that are no copies of one architecture.
    """
    _check_copies(models, range(len(models)) if isinstance(models, Sequence) else ())
    weights, buffers = stack_module_state(list(models))
    skeleton = copy.deepcopy(models[0]).to("meta")

    def loss_of_one(weights, buffers, inputs, targets):
        with sdpa_kernel(SDPBackend.MATH):  # the one form of attention that vmap runs for all copies at once
            return loss(functional_call(skeleton, (weights, buffers), (inputs,)), targets)

    return weights, buffers, loss_of_one


def evaluate_each(
    model: nn.Module,
    weights: dict[str, torch.Tensor],
    batches: TensorBatches,
    *,
    on: str | torch.device = "cpu",
    loss=F.cross_entropy,
) -> list[tuple[float, float | None]]:
    """Return train.evaluate of `model` with the weights of each copy in turn: S pairs (mean loss, share of right answers).

    `weights`: name -> (S, *shape), all that `model` has; `model` ends with those of the last copy. Raises as evaluate
    does, and torch's RuntimeError for weights that are not the model's.
    """
    results = []
    for i in range(len(next(iter(weights.values())))):
        model.load_state_dict({name: weight[i] for name, weight in weights.items()})
        results.append(evaluate(model, batches, on=on, loss=loss))
    return results


def _check_copies(models: Sequence[nn.Module], seeds: Sequence[int]) -> None:
    for name, value in (("models", models), ("seeds", seeds)):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise TypeError(f"{name}: {type(value).__name__} is not allowed; give a list, one entry for each copy")
    if not models or len(models) != len(seeds):
        raise ValueError(f"seeds: {len(seeds)} seeds for {len(models)} models; give one seed for each model, at least one")
    for model in models:
        checks.check_trainable(model)
        if _shapes(model) != _shapes(models[0]):
            raise ValueError("models: two of different weights are not allowed; they are copies of one architecture")
    if len({id(model) for model in models}) < len(models):
        raise ValueError("models: one model is in it twice, which is not allowed; each copy is a model of its own")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ValueError(f"seeds: {seed!r} is not allowed; each is a whole number from 0 to 2**32 - 1")


def _shapes(model: nn.Module) -> list:
    return [(name, value.shape) for name, value in model.state_dict().items()]


def _check_tensors(name: str, batches: TensorBatches) -> None:
    if not isinstance(batches, TensorBatches):
        raise TypeError(f"{name}: {type(batches).__name__} is not allowed in an ensemble; give TensorBatches")
    checks.check_batches(name, batches)


def _epochs(models, batches, config, seeds, loss, make_optimizer, test) -> Iterator[EnsembleEpoch]:
    on = device.choose(config.device)
    device.seed_everything(config.seed)
    batches = batches.to(on)
    test = test if test is None else test.to(on)
    for model in models:
        model.to(on).train()
    autocast = device.autocast(config.precision, on)
    for tried in (batches, test):  # one copy on one batch: under vmap an error would be harder to read
        if tried is not None:
            evaluate(models[0], [next(iter(tried))], on=on, loss=loss, autocast=autocast)
    weights, buffers, loss_of_one = stack(models, loss)
    losses_of_all = vmap(loss_of_one, randomness="different")
    stacked = list(weights.values())
    optimizer = make_optimizer(stacked)
    rates = [group["lr"] for group in optimizer.param_groups]
    total, steps = config.epochs * len(batches), 0
    diverged = False
    for number in range(config.epochs):
        began = time.perf_counter()
        loss_sum = torch.zeros(len(models), device=on)
        with device.matmul_precision(config.precision, on):
            for inputs, targets in _stacked_epoch(batches, number, seeds):
                with autocast:
                    losses = losses_of_all(weights, buffers, inputs, targets)
                losses.sum().backward()  # no copy's loss depends on another's weights
                if config.clip is not None:
                    _clip_each(stacked, config.clip)
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * rate_factor(config, steps, total)
                optimizer.step()
                for weight in stacked:
                    weight.grad = None
                loss_sum += losses.detach()
                steps += 1
            device.synchronize(on)
            seconds = time.perf_counter() - began
            _unstack(models, weights, buffers)
            tested = [evaluate(model, test, on=on, loss=loss, autocast=autocast) for model in models] if test else []
        means = (loss_sum / len(batches)).tolist()
        if not diverged:
            diverged = checks.warn_if_diverged(number, {f"seed {seed}": mean for seed, mean in zip(seeds, means, strict=True)})
        yield EnsembleEpoch(
            number=number,
            seconds=seconds,
            losses=tuple(means),
            test_losses=tuple(value for value, _ in tested) or None,
            test_accuracies=tuple(share for _, share in tested if share is not None) or None,
        )


def _stacked_epoch(batches: TensorBatches, number: int, seeds: list[int]) -> Iterator[list[torch.Tensor]]:
    """Yield batches (S, batch_size, ...) in which row i has the samples that seed i alone would have."""
    copies, size = len(seeds), batches.batch_size
    orders = torch.stack([batches.order(number, seed) for seed in seeds]).view(copies, len(batches), size)
    orders = orders.transpose(0, 1).flatten().to(batches.tensors[0].device)  # step, then copy, then sample
    for chunk in orders.split(chunk_batches(batches, copies) * copies * size):
        gathered = [tensor.index_select(0, chunk) for tensor in batches.tensors]
        yield from zip(*(g.view(-1, copies, size, *g.shape[1:]).unbind() for g in gathered), strict=True)


def _clip_each(stacked: list[torch.Tensor], largest: float) -> None:
    norms = torch.stack([weight.grad.flatten(1).norm(dim=1) for weight in stacked]).norm(dim=0)  # (S,)
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)
    for weight in stacked:
        weight.grad *= factors.view(-1, *[1] * (weight.dim() - 1))


def _unstack(models: list[nn.Module], weights: dict, buffers: dict) -> None:
    with torch.no_grad():
        for i, model in enumerate(models):
            for name, value in [*model.named_parameters(), *model.named_buffers()]:
                value.copy_((weights if name in weights else buffers)[name][i])
