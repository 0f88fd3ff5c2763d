"""The training loop: epochs of steps, their reports, and evaluation."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, device, resume
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.distributed import exchange
from course_lib.step import Run, step


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch did. Losses are means over samples; accuracies are shares of right answers, 0 to 1."""

    number: int  # from 0
    steps: int  # optimizer steps since the start of training
    seconds: float  # of training alone: without the test and the checkpoint
    samples_per_second: float
    loss: float
    accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    learning_rate: float  # of the last step


def train(
    model: nn.Module,
    batches: Iterable,
    config: Config,
    *,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    test: Iterable | None = None,
) -> Iterator[Epoch]:
    """Train `model` in place; yield an Epoch after each epoch. Stop early by `break`.

    `batches` and `test` yield (inputs, targets): TensorBatches (its tensors are moved to the device once) or a
    DataLoader. `optimizer` makes one from the parameters, after the model was moved; the default is fused AdamW.
    With `config.checkpoint`, a run that was killed goes on bit-identically on the CPU: the epochs that it had finished
    are yielded again from the checkpoint, at once, so that code which counts them sees the whole run.

    On several ranks (see course_lib.distributed) every rank calls this with the model in DistributedDataParallel, its
    shard of the batches (`TensorBatches.shard`, or a DistributedSampler) and the whole test set, and yields the same
    Epochs: sums and means over all ranks, the seconds of the slowest. Rank 0 writes the checkpoint, and all read it.

    Raises TypeError or ValueError for bad input: for arguments at once, for shapes and types at the first batch, before
    a weight is changed; an error from the model or the loss carries a note on the batch in which it arose. A loss that
    is not finite is a RuntimeWarning, once; whether to stop is the learner's choice.
    """
    checks.check_run(config, loss, optimizer)
    checks.check_trainable(model)
    checks.check_batches("batches", batches)
    if test is not None:
        checks.check_batches("test", test)
        checks.check_whole(test)
    checks.check_warmup(config, _total_steps(batches, config))
    return _epochs(model, batches, config, loss, optimizer or fused_adamw(config), test)


def evaluate(
    model: nn.Module, batches: Iterable, *, on: str | torch.device = "cpu", loss: Callable = F.cross_entropy, autocast=None
) -> tuple[float, float | None]:
    """Return (mean loss, share of right answers) of `model` over `batches`, in evaluation mode and without gradients.

    The share is None where answers are not right or wrong: unless outputs are (B, ..., classes), targets (B, ...) whole
    numbers. The model must be on the device `on`; it is left in the mode in which it was. `autocast` comes from
    device.autocast. Raises TypeError or ValueError as `train` does, and ValueError for TensorBatches that leave samples
    out: an accuracy is over the whole test set.
    """
    checks.check_model(model)
    checks.check_whole(batches)
    if autocast is not None and not hasattr(autocast, "__enter__"):
        raise TypeError(f"autocast: {autocast!r} is not allowed; it is None, or comes from device.autocast(precision, device)")
    on = device.choose(on)
    was_training = model.training
    model.eval()
    loss_sum = correct = torch.zeros((), device=on)
    samples = answers = 0
    try:
        with torch.inference_mode(), autocast or nullcontext():
            for batch in checks.first_checked("test", batches):
                inputs, targets = device.move(batch, on)
                try:
                    outputs = model(inputs)
                    if samples == 0:
                        checks.check_answers(loss, outputs, targets)
                        counted = checks.countable(outputs, targets)
                    value = loss(outputs, targets)
                    checks.check_value(value)
                    loss_sum = loss_sum + value * len(targets)
                except Exception as error:
                    checks.note(error, f"after {samples} test samples", inputs, targets)
                    raise
                if counted:
                    correct = correct + (outputs.argmax(-1) == targets).sum()
                samples += len(targets)
                answers += targets.numel()
    finally:
        model.train(was_training)
    return float(loss_sum) / samples, float(correct) / answers if counted else None


def _epochs(model, batches, config, loss, make_optimizer, test) -> Iterator[Epoch]:
    run = _start(model, batches, config, loss, make_optimizer)
    if isinstance(test, TensorBatches):
        test = test.to(run.device)
        _test(run, [next(iter(test))])  # a test set that does not fit shows now rather than after an epoch
    bar = _bar(run) if config.progress and exchange.number() == 0 else None
    diverged = False
    try:
        yield from [Epoch(**report) for report in run.history]
        while run.epoch < config.epochs:
            # The mode of the matrix units is global in torch: it holds within an epoch, never in the learner's code.
            with device.matmul_precision(config.precision, run.device):
                _train_epoch(run, bar)
                run.history.append(asdict(_report(run, test)))
            if not diverged:
                diverged = checks.warn_if_diverged(run.epoch, {name: run.history[-1][name] for name in ("loss", "test_loss")})
            _next_epoch(run)
            if config.checkpoint is not None:
                resume.save(run)
            yield Epoch(**run.history[-1])
    finally:
        if bar is not None:
            bar.close()


def _total_steps(batches: Iterable, config: Config) -> int:
    return config.epochs * -(-len(batches) // config.accumulate)


def _start(model, batches, config, loss, make_optimizer) -> Run:
    on = device.choose(config.device)
    exchange.check(model, on, config.checkpoint)
    ranks = exchange.world_size()
    checks.check_shard(batches, ranks)
    device.seed_everything((config.seed + 1_000_003 * exchange.number()) % 2**32)  # the ranks' dropout masks differ
    model.to(on, memory_format=torch.channels_last) if config.channels_last else model.to(on)
    optimizer = make_optimizer(model.parameters())  # after the move: its state must lie where the weights lie
    checks.check_optimizer(optimizer, model)
    for parameters in optimizer.param_groups:
        parameters.setdefault("initial_lr", parameters["lr"])
    run = Run(
        config=config,
        model=model,
        weights=[weight for weight in model.parameters() if weight.requires_grad],
        forward=torch.compile(model) if config.compile else model,
        loss=loss,
        optimizer=optimizer,
        device=on,
        batches=batches.to(on) if isinstance(batches, TensorBatches) else batches,
        length=len(batches),
        total=_total_steps(batches, config),
        autocast=device.autocast(config.precision, on),
        scaler=torch.amp.GradScaler(on.type) if config.precision == "fp16" else None,
        loss_sum=torch.zeros((), device=on),
        correct=torch.zeros((), dtype=torch.int64, device=on),
        ranks=ranks,
    )
    if config.checkpoint is not None:
        resume.restore(run)
    return run


def _train_epoch(run: Run, bar) -> None:
    config = run.config
    run.model.train()
    began = time.perf_counter()
    batches = _batches(run)
    if not run.checked:
        batches = checks.first_checked("batches", batches)
    take = step if run.ranks == 1 else _step_as_rank
    for inputs, targets in batches:
        if config.channels_last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        try:
            if run.checked:
                take(run, inputs, targets)
            else:
                _first_step(take, run, inputs, targets)
        except Exception as error:
            checks.note(error, f"in batch {run.batch} of epoch {run.epoch}", inputs, targets)
            raise
        if bar is not None:
            bar.update()
        if config.checkpoint_every and _is_due(run):
            run.seconds += time.perf_counter() - began
            resume.save(run)
            began = time.perf_counter()
    device.synchronize(run.device)
    run.seconds += time.perf_counter() - began
    checks.check_count(run.epoch, run.batch, run.length)


def _step_as_rank(run: Run, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Take a step as one of several ranks, whose gradients are averaged once for an update, in its last micro-batch."""
    updates = (run.batch + 1) % run.config.accumulate == 0 or run.batch + 1 == run.length
    with nullcontext() if updates or not hasattr(run.model, "no_sync") else run.model.no_sync():
        step(run, inputs, targets)


def _first_step(take: Callable, run: Run, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Take a step in which shapes, types and the loss are checked before a weight is changed. The others pay nothing."""
    loss = run.loss
    labels = run.batches.tensors[1] if isinstance(run.batches, TensorBatches) else None
    run.loss = checks.checked_loss(loss, labels, run.config.accuracy)
    try:
        take(run, inputs, targets)
    finally:
        run.loss = loss
    run.checked = True


def _is_due(run: Run) -> bool:
    """Whether a checkpoint within the epoch is due: after an update, since half-accumulated gradients are not kept."""
    updated = run.batch % run.config.accumulate == 0
    return updated and run.steps % run.config.checkpoint_every == 0 and run.batch < run.length


def _batches(run: Run) -> Iterator:
    """Yield what is left of this epoch, on the device; after a resume, in the order that the killed run would have had."""
    if isinstance(run.batches, TensorBatches):
        return run.batches.epoch(run.epoch, seed=run.config.seed, start=run.batch)
    if hasattr(getattr(run.batches, "sampler", None), "set_epoch"):
        run.batches.sampler.set_epoch(run.epoch)
    now = device.generator_state(run.device)
    if run.batch == 0:
        run.epoch_rng = now
        left = iter(run.batches)
    else:
        device.set_generator_state(run.epoch_rng, run.device)
        left = iter(run.batches)
        for _ in range(run.batch):
            next(left, None)
        device.set_generator_state(now, run.device)
    return (device.move(batch, run.device) for batch in left)


def _report(run: Run, test: Iterable | None) -> Epoch:
    exchange.copy_buffers_of_first(run.model)
    test_loss = test_accuracy = None
    if test is not None:
        test_loss, test_accuracy = exchange.from_first(_test(run, test))
    sums = [run.loss_sum.item(), run.samples, run.correct.item(), run.answers, run.seconds]
    rows = exchange.everyones(sums, run.device)
    loss_sum, samples, correct, answers, _ = (sum(column) for column in zip(*rows, strict=True))
    seconds = max(row[-1] for row in rows)
    return Epoch(
        number=run.epoch,
        steps=run.steps,
        seconds=seconds,
        samples_per_second=samples / seconds,
        loss=loss_sum / samples,
        accuracy=correct / answers if run.config.accuracy else None,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        learning_rate=run.optimizer.param_groups[0]["lr"],
    )


def _test(run: Run, test: Iterable) -> tuple[float, float | None]:
    return evaluate(exchange.unwrapped(run.model), test, on=run.device, loss=run.loss, autocast=run.autocast)


def _next_epoch(run: Run) -> None:
    run.epoch += 1
    run.batch = run.samples = run.answers = 0
    run.seconds = 0.0
    run.loss_sum.zero_()
    run.correct.zero_()


def _bar(run: Run):
    from tqdm.auto import tqdm  # not at import: the core needs torch and numpy alone

    done = run.epoch * run.length + run.batch
    return tqdm(total=run.config.epochs * run.length, initial=done, unit="batch", desc="train")


def fused_adamw(config: Config) -> Callable:
    """Return the default optimizer's maker: AdamW at config.lr, its update one fused kernel for all weights."""
    return lambda parameters: torch.optim.AdamW(parameters, lr=config.lr, fused=True)
