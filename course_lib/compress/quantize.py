"""Fewer bits: weights rounded to a few levels, training that knows of it, and int8 from the engines, in one room.

Rounding is symmetric, as the engines do it for weights: w is replaced by scale x n, with n a whole number of at most
2**(bits - 1) - 1 either way. One bit is the sign alone. Here the numbers are float32 that lie on the levels, so that
accuracy can be measured for any width; what an engine does with real int8 is in `engines` and `pt2e`.
"""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize

from course_lib.compress.engines import WEIGHTED, Engine, check_layers, dynamic_int8, onnx_engine, same_graph, static_int8
from course_lib.compress.pt2e import compile_int8, static_pt2e, weight_only_int8

__all__ = [
    "Engine",
    "compile_int8",
    "dynamic_int8",
    "onnx_engine",
    "quantization_aware",
    "quantize_weights",
    "rounded",
    "same_graph",
    "scale_and_zero_point",
    "settled",
    "static_int8",
    "static_pt2e",
    "weight_bytes",
    "weight_only_int8",
]

MOST_BITS = 8


def scale_and_zero_point(low: float, high: float, bits: int = 8) -> tuple[float, int]:
    """Return (scale, zero_point) that map floats from `low` to `high` to whole numbers q from 0 to 2**bits - 1.

    q = round(x / scale) + zero_point, and back x = scale (q - zero_point). The range is widened to hold 0, so that 0
    comes back as exactly 0: padding depends on it. After B. Jacob and others, CVPR 2018. Raises ValueError for bits that
    are not 2 to 8, and for a range that is empty, reversed or not finite.
    """
    _check_bits(bits, least=2)
    if not -float("inf") < low <= high < float("inf"):
        raise ValueError(f"low, high: {low!r}, {high!r} are not allowed; they are finite numbers, low at most high")
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        raise ValueError("low, high: 0 and 0 are not allowed; a range has a width")
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


def rounded(weight: torch.Tensor, bits: int, per_channel: bool = True) -> torch.Tensor:
    """Return `weight` (out, ...) with each value on its nearest level; same shape.

    The scale is that of the largest value, of each output channel or (`per_channel=False`) of the whole tensor. With 1
    bit a value becomes its sign times the mean of the absolute values, which is the best such scale in squared error
    (M. Rastegari and others, XNOR-Net, 2016). Raises ValueError for bits other than 1 to 8, weights that are not finite.
    """
    _check_bits(bits, least=1)
    if not isinstance(weight, torch.Tensor) or weight.dim() < 2:
        raise ValueError("weight: a tensor of shape (out, ...) with two dimensions or more is needed")
    if not weight.isfinite().all():
        raise ValueError("weight: not every value is finite; a scale needs finite weights")
    return _on_levels(weight, bits, per_channel)


def quantize_weights(model: nn.Module, bits: int, per_channel: bool = True) -> nn.Module:
    """Return a copy of `model` with the weights of all Linear and Conv layers rounded; biases stay float32.

    Raises TypeError or ValueError as `rounded`, and for a layer with matrices of weights that is none of these.
    """
    _check_bits(bits, least=1)
    check_layers(model)
    model = copy.deepcopy(model)
    with torch.no_grad():
        for _, layer in _weighted(model):
            layer.weight.copy_(rounded(layer.weight, bits, per_channel))
    return model


def quantization_aware(model: nn.Module, bits: int) -> nn.Module:
    """Return a copy of `model` that computes with rounded weights (a scale for each channel) and trains the float ones.

    The gradient passes the rounding as if it were not there: the straight-through estimator (Y. Bengio and others, 2013).
    When trained, `settled` leaves the rounded weights alone. Raises as `quantize_weights`.
    """
    _check_bits(bits, least=1)
    check_layers(model)
    model = copy.deepcopy(model)
    for _, layer in _weighted(model):
        parametrize.register_parametrization(layer, "weight", _StraightThrough(bits))
    return model


def settled(model: nn.Module) -> nn.Module:
    """Return a copy of a `quantization_aware` model, in evaluation mode, whose weights are the rounded ones for good."""
    model = copy.deepcopy(model).eval()
    held = [layer for layer in model.modules() if parametrize.is_parametrized(layer, "weight")]
    if not held:
        raise ValueError("model: no weight in it is held to levels; quantization_aware makes such a model")
    for layer in held:
        # by hand: torch's removal also takes the weight off the class that the copy shares with the original
        weight, plain = layer.weight.detach(), parametrize.type_before_parametrizations(layer)
        del layer.parametrizations
        layer.__class__ = plain
        layer.weight = nn.Parameter(weight)
    return model


def weight_bytes(model: nn.Module, bits: int, per_channel: bool = True, kinds: tuple[type, ...] = WEIGHTED) -> int:
    """Return the bytes of `model` with the weights of layers of `kinds` packed at `bits` each, one after another.

    Counted with them: one float32 scale for each output channel (or tensor), and all else as it is. Raises as
    `quantize_weights`.
    """
    _check_bits(bits, least=1)
    check_layers(model)
    packed = [layer.weight for _, layer in _weighted(model) if isinstance(layer, kinds)]
    whole = sum(tensor.nbytes for tensor in model.state_dict().values())
    scales = sum(len(weight) if per_channel else 1 for weight in packed)
    return whole + sum((weight.numel() * bits + 7) // 8 - weight.nbytes for weight in packed) + 4 * scales


class _StraightThrough(nn.Module):
    """Forward: the rounded weight. Backward: the gradient as it came, since what is detached has none."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (_on_levels(weight, self.bits, per_channel=True) - weight).detach()


def _on_levels(weight: torch.Tensor, bits: int, per_channel: bool) -> torch.Tensor:
    within = tuple(range(1 if per_channel else 0, weight.dim()))
    if bits == 1:
        return torch.where(weight < 0, -1.0, 1.0) * weight.abs().mean(within, keepdim=True)
    top = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(within, keepdim=True) / top
    scale = torch.where(scale > 0, scale, 1.0)  # a channel of zeros stays one
    return (weight / scale).round() * scale


def _weighted(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, WEIGHTED))


def _check_bits(bits: int, least: int) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= MOST_BITS:
        raise ValueError(f"bits: {bits!r} is not allowed; it is a whole number from {least} to {MOST_BITS}")
