"""Pruning: exactly the share goes, zeros stay through training and copies, removed channels are really gone."""

import copy

import pytest
import torch
from torch import nn

from course_lib import compress, models
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.ensemble import train_ensemble
from course_lib.train import train

ONE = torch.zeros(1, 1, 16, 16)


@pytest.fixture
def base():
    return compress.base_model()


def flat(model):
    return torch.cat([layer.weight.data.flatten() for layer in compress.prunable(model).values()])


def batches():
    torch.manual_seed(0)
    return TensorBatches(torch.randn(40, 1, 16, 16), torch.randint(20, (40,)), batch_size=10)


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.99])
def test_masks_take_exactly_the_smallest(base, share):
    layerwise, globally = compress.mask_layers(base, share), compress.mask_globally(base, share)
    for name, layer in compress.prunable(layerwise).items():
        before = base.get_submodule(name).weight.data.abs()
        gone = layer.weight_mask == 0
        assert int(gone.sum()) == round(share * gone.numel())
        assert share == 0 or before[gone].max() <= before[~gone].min()
    gone = flat(globally) == 0
    assert int(gone.sum()) == round(share * gone.numel())
    assert share == 0 or flat(base)[gone].abs().max() <= flat(base)[~gone].abs().min()
    assert compress.sparsity(globally) == int(gone.sum()) / gone.numel()
    assert compress.sparsity(base) == 0, "the model itself is left alone"


def test_equal_magnitudes_are_counted_out():
    model = nn.Linear(10, 10)
    nn.init.ones_(model.weight)
    for masked in (compress.mask_layers(model, 0.37), compress.mask_globally(model, 0.37)):
        assert compress.sparsity(masked) == 0.37


def test_named_layers_alone(base):
    masked = compress.mask_layers(base, {"10": 0.9, "3": 0.25})
    lost = {name: (layer.weight == 0).float().mean().item() for name, layer in compress.prunable(masked).items()}
    assert lost == pytest.approx({"0": 0, "3": 0.25, "6": 0, "10": 0.9, "12": 0}, abs=1e-4)


@pytest.mark.parametrize("mask", [compress.mask_layers, compress.mask_globally])
def test_what_is_masked_stays_masked_and_counts(base, mask):
    half = mask(base, 0.5)
    more = mask(half, 0.8)
    assert compress.sparsity(more) == pytest.approx(0.8, abs=1e-4)
    assert ((flat(half) != 0) | (flat(more) == 0)).all()


def test_zeros_survive_training_and_a_copy_after_it(base):
    masked = compress.mask_globally(base, 0.8)
    gone = flat(masked) == 0
    start = flat(masked).clone()
    list(train(masked, batches(), Config(epochs=2, lr=0.01, device="cpu")))
    assert (flat(masked)[gone] == 0).all()
    assert (flat(masked)[~gone] != start[~gone]).float().mean() > 0.9
    again = compress.mask_globally(masked, 0.9)  # after a backward pass: plain deepcopy refuses such a model
    assert compress.sparsity(again) == pytest.approx(0.9, abs=1e-4)


def test_hardened_models_compute_the_same_with_plain_weights(base):
    masked = compress.mask_layers(base, 0.7).eval()
    hard = compress.harden(masked)
    pictures = torch.randn(4, 1, 16, 16)
    assert torch.equal(hard(pictures), masked(pictures))
    assert hard.state_dict().keys() == base.state_dict().keys()
    assert all(isinstance(layer.weight, nn.Parameter) for layer in compress.prunable(hard).values())
    assert hasattr(masked[0], "weight_mask"), "the masked model keeps its masks"
    assert copy.deepcopy(hard) is not None
    assert torch.equal(flat(compress.harden(base)), flat(base))


def test_masked_models_train_as_an_ensemble():
    masked = [compress.mask_layers(models.mlp(8, 8, 4), 0.5) for _ in range(2)]
    gone = [flat(model) == 0 for model in masked]
    toy = TensorBatches(torch.randn(20, 8), torch.randint(4, (20,)), batch_size=10)
    list(train_ensemble(masked, toy, Config(epochs=2, lr=0.1, device="cpu"), seeds=[0, 1]))
    for model, zeros in zip(masked, gone, strict=True):
        hard = compress.harden(model)
        assert torch.equal(flat(hard) == 0, zeros)


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.9])
def test_removed_channels_leave_a_smaller_model(base, share):
    small = compress.remove_channels(base, share, ONE)
    kept = {name: len(layer.weight) for name, layer in compress.prunable(small).items()}
    assert kept == {name: int(count * (1 - share)) for name, count in {"0": 16, "3": 32, "6": 64, "10": 128}.items()} | {
        "12": 20
    }
    assert small(torch.randn(3, 1, 16, 16)).shape == (3, 20)
    assert not small.training and all(p.requires_grad and p.grad is None for p in small.parameters())
    assert len(base[0].weight) == 16, "the model itself is left alone"
    small.load_state_dict(small.state_dict())
    list(train(small, batches(), Config(device="cpu")))


def test_nothing_removed_computes_the_same(base):
    pictures = torch.randn(4, 1, 16, 16)
    assert torch.equal(compress.remove_channels(base, 0, ONE)(pictures), base(pictures))


def test_channels_that_do_nothing_are_the_ones_that_go(base):
    dead = [1, 3, 6, 7, 9, 11, 12, 15]
    with torch.no_grad():
        base[0].weight[dead], base[0].bias[dead], base[3].weight[:, dead] = 0.0, 0.0, 0.0
    small = compress.remove_channels(base, 0.5, ONE)
    alive = [channel for channel in range(16) if channel not in dead]
    assert torch.equal(small[0].weight, base[0].weight[alive])


class Residual(nn.Module):
    """A skip connection, batch norm and a depthwise convolution: what belongs to a channel takes a graph to say."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.inner, self.depthwise = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = self.depthwise(x + self.inner(x).relu())
        return self.head(x.mean((2, 3)))


def test_skip_connections_and_batch_norm_shrink_together():
    model = Residual().train()
    running = model.norm.running_mean.clone()
    small = compress.remove_channels(model, 0.5, torch.randn(2, 3, 8, 8))
    widths = (small.norm.num_features, small.inner.in_channels, small.inner.out_channels, small.depthwise.groups)
    assert widths == (4, 4, 4, 4) and small.head.out_features == 5
    assert small.training and torch.equal(model.norm.running_mean, running)
    assert (small.norm.running_mean == 0).all(), "the example changed the statistics"


class Rearranging(nn.Module):
    def __init__(self):
        super().__init__()
        self.three, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        query, key, value = self.three(x).view(len(x), 3, 8).unbind(1)
        return self.out(query * key * value)


class TwoEnds(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        y = self.first(x)
        return y, self.last(x)


BAD = [
    (lambda m: compress.prunable("net"), TypeError, "model: str is not allowed"),
    (lambda m: compress.prunable(nn.ReLU()), ValueError, "model: ReLU has no linear or convolutional layer"),
    (lambda m: compress.sparsity(nn.Sequential()), ValueError, "nothing can be pruned"),
    (lambda m: compress.mask_layers(m, 1.0), ValueError, r"shares\['0'\]: 1.0 is not allowed; it is a share in \[0, 1\)"),
    (lambda m: compress.mask_layers(m, -0.1), ValueError, "-0.1 is not allowed"),
    (lambda m: compress.mask_layers(m, {"3": float("nan")}), ValueError, r"shares\['3'\]: nan is not allowed"),
    (
        lambda m: compress.mask_layers(m, {"1": 0.5}),
        ValueError,
        "shares: '1' cannot be pruned; the model has '0', '3', '6', '10', '12'",
    ),
    (lambda m: compress.mask_layers(m, {3: 0.5}), ValueError, "shares: 3 cannot be pruned"),
    (lambda m: compress.mask_globally(m, 1), ValueError, "share: 1 is not allowed"),
    (lambda m: compress.mask_globally(m, True), ValueError, "share: True is not allowed"),
    (lambda m: compress.mask_globally(m, "half"), ValueError, "share: 'half' is not allowed"),
    (lambda m: compress.mask_globally(compress.mask_globally(m, 0.5), 0.4), ValueError, "0.5 is masked already"),
    (
        lambda m: compress.mask_layers(compress.mask_layers(m, {"3": 0.5}), 0.4),
        ValueError,
        r"shares\['3'\]: 0.4 .* 0.5 is masked",
    ),
    (lambda m: compress.harden(3), TypeError, "model: int is not allowed"),
    (lambda m: compress.remove_channels(m, 1.5, ONE), ValueError, r"share: 1.5 is not allowed; it is a share in \[0, 1\)"),
    (lambda m: compress.remove_channels(m, 0.95, ONE), ValueError, "0.95 leaves layer 0 none of its 16 channels"),
    (lambda m: compress.remove_channels(m, 0.5, [1.0]), TypeError, "example: list is not allowed"),
    (lambda m: compress.remove_channels(m, 0.5, torch.zeros(4)), ValueError, r"example: \(4,\): the model does not take it"),
    (
        lambda m: compress.remove_channels(compress.mask_layers(m, {"3": 0.5}), 0.5, ONE),
        ValueError,
        "model: 3 have masks; harden",
    ),
    (
        lambda m: compress.remove_channels(models.ByteLM(), 0.5, torch.zeros(1, 4, dtype=torch.long)),
        ValueError,
        r"token \(Embedding\), position \(Embedding\); allowed are",
    ),
    (lambda m: compress.remove_channels(Rearranging(), 0.5, torch.zeros(2, 8)), ValueError, "it rearranges channels"),
    (lambda m: compress.remove_channels(TwoEnds(), 0.5, torch.zeros(2, 8)), ValueError, "it has to return one tensor"),
]


@pytest.mark.parametrize(("call", "kind", "words"), BAD, ids=[words for *_, words in BAD])
def test_bad_input_is_named(base, call, kind, words):
    before = flat(base).clone()
    with pytest.raises(kind, match=words):
        call(base)
    assert torch.equal(flat(base), before)
