"""What a smaller model costs and still gets right, measured in the same way for each: all of them share one plane."""

from collections.abc import Callable

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
    per call with 1 and 64 pictures, `repeats` of each. Raises ValueError for bad input, before anything is timed.
    """
    check_callable("predict", predict)
    if isinstance(predict, nn.Module) and predict.training:
        raise ValueError("predict: it is in training mode, which is not allowed here; call its eval()")
    check_whole("stored_bytes", stored_bytes, 1)
    check_whole("macs", macs, 1)
    check_whole("repeats", repeats, 1)
    inputs, targets = _checked(test)
    with torch.inference_mode():
        values = {"accuracy": _accuracy(predict, inputs, targets), "bytes": stored_bytes, "macs": macs}
        for batch, calls in CALLS.items():
            pictures = inputs[torch.arange(batch) % len(inputs)]
            timing = measure.time_call(lambda x=pictures: predict(x), device=inputs.device, repeats=repeats, calls=calls)
            values[f"latency_{batch}"] = timing.seconds
    return values, dict(UNITS)


def _accuracy(predict: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor) -> float:
    correct = 0
    for pictures, wanted in zip(inputs.split(500), targets.split(500), strict=True):
        logits = predict(pictures)
        if logits.dim() != 2 or len(logits) != len(pictures):
            raise ValueError(
                f"predict: logits of shape {tuple(logits.shape)} are not allowed; it is ({len(pictures)}, classes)"
            )
        correct += (logits.argmax(1) == wanted).sum().item()
    return correct / len(inputs)


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
