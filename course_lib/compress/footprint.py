"""What a smaller model costs and still gets right, measured in the same way for each: all of them share one plane."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from course_lib import measure
from course_lib.intervals import check_whole
from course_lib.memory import check_callable

UNITS = {"accuracy": "share", "bytes": "bytes", "macs": "MACs", "latency_1": "s", "latency_64": "s"}
CALLS = {1: 8, 64: 1}  # calls within one timing, by batch: a single picture alone is too short for a steady clock


def macs(model: nn.Module, example: torch.Tensor) -> int:
    """The multiply-accumulates of the convolutions and matrix products for one picture, the first of `example` (B, ...).

    Zeros count as any number does: a mask saves none. Half of `measure.count_flops`. Raises ValueError where nothing
    can be counted, as in an engine or in quantized layers: take the count of the model they were made from.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: {type(model).__name__} is not allowed; it is a torch.nn.Module")
    _check_tensor("example", example)
    with torch.no_grad():
        counted = measure.count_flops(lambda: model(example[:1])) // 2
    if not counted:
        raise ValueError(
            f"model: in {type(model).__name__} torch counts no operation; it has plain linear or convolution layers"
        )
    return counted


def footprint(
    predict: Callable[[torch.Tensor], torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    *,
    stored_bytes: int,
    macs: int,
    repeats: int = 15,
) -> tuple[dict[str, float | tuple[float, ...]], dict[str, str]]:
    """Measure a model or an engine for the common plane; return (values, units), ready for `Recorder.add`.

    `predict` maps (B, ...) float pictures to (B, classes) logits; `test` is (pictures, targets), targets (N,) int64.
    values: accuracy (share of `test`), `bytes` as stored, `macs` for one picture, `latency_1` and `latency_64`: seconds
    per call with 1 and 64 pictures, `repeats` of each. `predict` is called with 1 and with 64 pictures only, for some
    engines are made for fixed sizes. Raises ValueError for bad input, before anything is timed.
    """
    check_callable("predict", predict)
    if isinstance(predict, nn.Module) and predict.training:
        raise ValueError("predict: it is in training mode, which is not allowed here; call its eval()")
    check_whole("stored_bytes", stored_bytes, 1)
    check_whole("macs", macs, 1)
    check_whole("repeats", repeats, 1)
    inputs, targets = _checked(test)
    values = {"accuracy": _accuracy(predict, inputs, targets), "bytes": stored_bytes, "macs": macs}
    for batch, calls in CALLS.items():
        work = partial(predict, inputs[torch.arange(batch) % len(inputs)])
        with torch.inference_mode():
            timing = measure.time_call(work, device=inputs.device, repeats=repeats, calls=calls)
        values[f"latency_{batch}"] = timing.seconds
    return values, dict(UNITS)


def _accuracy(predict: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """The share of right answers, 64 pictures at a time; the last batch is filled up with pictures that do not count."""
    order = torch.arange(-(-len(inputs) // 64) * 64) % len(inputs)
    answers = []
    for pictures in inputs[order].split(64):  # made here, not in inference mode: a compiled function would be compiled again
        with torch.inference_mode():
            logits = predict(pictures)
        if logits.dim() != 2 or len(logits) != 64:
            raise ValueError(f"predict: logits of shape {tuple(logits.shape)} are not allowed; it is (64, classes)")
        answers.append(logits.argmax(1))
    return (torch.cat(answers)[: len(targets)] == targets).sum().item() / len(targets)


def _checked(test: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        inputs, targets = test
    except (TypeError, ValueError):
        raise ValueError(f"test: {type(test).__name__} is not allowed; it is a pair, (pictures, targets)") from None
    _check_tensor("test[0]", inputs)
    if not isinstance(targets, torch.Tensor) or targets.shape != inputs.shape[:1] or targets.dtype != torch.int64:
        raise ValueError(f"test[1]: targets are int64 of shape ({len(inputs)},), one for each picture")
    return inputs, targets


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.dim() < 2 or not len(value):
        raise ValueError(f"{name}: {_said(value)} is not allowed; it is a float tensor of pictures, (B, ...) with B at least 1")


def _said(value: object) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
