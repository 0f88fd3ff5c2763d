"""Pruning: masks over single weights, which zero them, and channels that are removed for good.

A mask (torch.nn.utils.prune) keeps every shape, so that nothing gets faster; a removed channel leaves smaller dense layers.
Every function returns a copy and leaves its model alone.
"""

import copy
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils import prune

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PRUNABLE = (nn.Linear, *CONVOLUTIONS)
# whose parameters shrink along with the channels that they normalise or scale
FOLLOWING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.PReLU)


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose weights can be pruned, linear and convolutional, by name. Their biases are never pruned.

    Raises TypeError for what is no module, ValueError for a model without such a layer.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: {type(model).__name__} is not allowed; give a torch.nn.Module")
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, PRUNABLE)}
    if not layers:
        raise ValueError(f"model: {type(model).__name__} has no linear or convolutional layer, so that nothing can be pruned")
    return layers


def sparsity(model: nn.Module) -> float:
    """Return which share of the prunable weights is 0, from 0 to 1. Errors as in `prunable`."""
    weights = [layer.weight for layer in prunable(model).values()]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def mask_layers(model: nn.Module, shares: float | Mapping[str, float]) -> nn.Module:
    """Return a copy in which the smallest weights of each layer, by magnitude, are masked: they are 0 and stay 0.

    `shares`: which share of its weights each layer loses, in [0, 1); one number for all, or layer names with a share
    each (the others stay as they are). Weights masked before stay masked, and count. The copy can be trained: its
    parameter is `weight_orig`, its mask a buffer. `harden` makes ordinary weights of both.

    Raises ValueError for a share outside [0, 1) or below what is masked already, and for a name that is no prunable
    layer; TypeError for what is no module.
    """
    layers = prunable(model)
    shares = shares if isinstance(shares, Mapping) else dict.fromkeys(layers, shares)
    if unknown := shares.keys() - layers.keys():
        names = [", ".join(map(repr, group)) for group in (unknown, layers)]
        raise ValueError(f"shares: {names[0]} cannot be pruned; the model has {names[1]}")
    amounts = {name: _amount(f"shares[{name!r}]", share, [layers[name]]) for name, share in shares.items()}
    masked = _copy(model)
    ours = prunable(masked)
    for name, amount in amounts.items():
        prune.l1_unstructured(ours[name], "weight", amount)
        _let_copy(ours[name])
    return masked


def mask_globally(model: nn.Module, share: float) -> nn.Module:
    """Return a copy in which the smallest weights of the whole model, by magnitude, are masked, as in `mask_layers`.

    One threshold for all layers: what each of them loses follows from it. `share` in [0, 1), and errors as there.
    """
    amount = _amount("share", share, prunable(model).values())
    masked = _copy(model)
    weights = [(layer, "weight") for layer in prunable(masked).values()]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=amount)
    for layer, _ in weights:
        _let_copy(layer)
    return masked


def harden(model: nn.Module) -> nn.Module:
    """Return a copy without masks: the masked weights are zeros like any number, and all names are the unpruned model's."""
    prunable(model)
    hard = _copy(model)
    for layer in hard.modules():
        if hasattr(layer, "weight_mask"):
            prune.remove(layer, "weight")
    return hard


def remove_channels(model: nn.Module, share: float, example: torch.Tensor) -> nn.Module:
    """Return a smaller copy: each layer but the last loses `share`, in [0, 1), of its channels, those of the least norm.

    A channel is a filter, its bias, and what the following layers do with it; which belong together is found by running
    `example`, (B, ...), through the model (torch-pruning's dependency graph; G. Fang and others, "DepGraph", CVPR 2023).
    A channel's norm is the mean of the squared norms of its parts. A layer of C channels keeps int(C (1 - share)).

    Raises ValueError for a share outside [0, 1) or one that leaves a layer no channel, and for layers that it cannot
    shrink, which it names; TypeError for what is no module or no tensor.
    """
    layers = prunable(model)
    _check_share("share", share)
    if not isinstance(example, torch.Tensor):
        raise TypeError(f"example: {type(example).__name__} is not allowed; give a tensor (B, ...) that the model takes")
    _check_supported(model)
    small = _copy(model)
    last, shape = _run(small, example)
    for name, layer in layers.items():
        channels = _channels(layer)
        if name != last and channels > 1 and int(channels * (1 - share)) < 1:
            raise ValueError(f"share: {share} leaves layer {name} none of its {channels} channels; allowed is less")
    _shrink(small, share, example, keep=small.get_submodule(last))
    _run(small, example, shape)
    return small


def _shrink(model: nn.Module, share: float, example: torch.Tensor, keep: nn.Module) -> None:
    import torch_pruning

    training = model.training  # torch-pruning runs the example, and leaves the model, in evaluation mode
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    with torch.enable_grad():  # the graph is read off autograd's
        pruner = torch_pruning.pruner.BasePruner(model, example, importance, pruning_ratio=share, ignored_layers=[keep])
        pruner.step()
    model.zero_grad()
    model.train(training)


def _run(model: nn.Module, example: torch.Tensor, wanted: torch.Size | None = None) -> tuple[str, torch.Size]:
    """The name of the prunable layer that runs last, and the shape of the output, which has to be `wanted`."""
    order: list[str] = []
    hooks = [layer.register_forward_hook(lambda *_, name=name: order.append(name)) for name, layer in prunable(model).items()]
    training = model.training
    try:
        with torch.no_grad():
            output = model.eval()(example)
    except RuntimeError as error:
        words = "the model does not take it" if wanted is None else "the smaller model does not run: it rearranges channels"
        raise ValueError(f"example: {tuple(example.shape)}: {words} ({error})") from error
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    if not isinstance(output, torch.Tensor) or not order:
        raise ValueError("model: it has to return one tensor, made by its layers, to lose channels")
    if wanted is not None and output.shape != wanted:
        raise ValueError(f"model: its output would shrink from {tuple(wanted)} to {tuple(output.shape)}: it has several ends")
    return order[-1], output.shape


def _check_supported(model: nn.Module) -> None:
    masked = [name for name, layer in model.named_modules() if hasattr(layer, "weight_mask")]
    if masked:
        raise ValueError(f"model: {', '.join(masked)} have masks; harden the model before its channels are removed")
    foreign = [
        f"{name or 'the model itself'} ({type(layer).__name__})"
        for name, layer in model.named_modules()
        if next(layer.parameters(recurse=False), None) is not None and not isinstance(layer, PRUNABLE + FOLLOWING)
    ]
    if foreign:
        raise ValueError(
            f"model: no channels can be removed from {', '.join(foreign)}; allowed are parameters in linear, "
            "convolutional and normalising layers"
        )


def _channels(layer: nn.Module) -> int:
    return layer.out_channels if isinstance(layer, CONVOLUTIONS) else layer.out_features


def _amount(name: str, share: float, layers) -> int:
    """How many more weights to mask, so that `share` of all is masked."""
    _check_share(name, share)
    total = sum(layer.weight.numel() for layer in layers)
    already = sum(int((layer.weight_mask == 0).sum()) for layer in layers if hasattr(layer, "weight_mask"))
    amount = round(share * total) - already
    if amount < 0:
        raise ValueError(f"{name}: {share} is not allowed; {already / total:.4g} is masked already, and masks are kept")
    return amount


def _check_share(name: str, share: float) -> None:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise ValueError(f"{name}: {share!r} is not allowed; it is a share in [0, 1)")


def _copy(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if hasattr(layer, "weight_mask"):
            _let_copy(layer)
    return copy.deepcopy(model)


def _let_copy(layer: nn.Module) -> None:
    """Cut a masked weight, which its hook makes anew for each forward pass, off its graph: deepcopy refuses one with it."""
    layer.weight = layer.weight.detach()
