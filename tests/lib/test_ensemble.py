from dataclasses import replace

import pytest
import torch
from torch import nn

from course_lib import models
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.ensemble import evaluate_each, stack, train_ensemble
from course_lib.train import evaluate, train

SEEDS = (3, 11, 40)


def problem(shape=(64,), classes=10, samples=128):
    x = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(0))
    y = torch.randint(0, classes, (samples,), generator=torch.Generator().manual_seed(1))
    return TensorBatches(x, y, batch_size=16)


def seeded(make):
    def one(seed):
        torch.manual_seed(seed)
        return make()

    return [one(seed) for seed in SEEDS]


def norm_net():
    # no bias before the norm: its true gradient is 0, and AdamW would blow rounding up to full steps
    return nn.Sequential(nn.Linear(64, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


MODELS = {"mlp": (models.mlp, (64,)), "cnn": (models.small_cnn, (1, 8, 8)), "norm": (norm_net, (64,))}
FULL, BF16 = {"clip": 0.1, "schedule": "cosine", "warmup": 3}, {"precision": "bf16"}


@pytest.mark.parametrize(
    "name, fields",
    [("mlp", {}), ("mlp", FULL), ("mlp", BF16), ("cnn", {}), ("cnn", FULL), ("cnn", BF16), ("norm", {}), ("norm", FULL)],
)
def test_copies_end_as_separate_runs_do(name, fields):
    make, shape = MODELS[name]
    # AdamW is the default. It turns the sign of a gradient that rounds about 0 into a step of the whole rate, so the
    # deeper net and the 8 bits of bf16 are compared under SGD, where rounding stays small.
    optimizer = (
        None if name == "mlp" and fields is not BF16 else lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9)
    )
    config = Config(epochs=2, device="cpu", **fields)
    together = seeded(make)
    reports = list(train_ensemble(together, problem(shape), config, seeds=SEEDS, optimizer=optimizer))
    for i, (alone, seed) in enumerate(zip(seeded(make), SEEDS, strict=True)):
        expected = list(train(alone, problem(shape), replace(config, seed=seed), optimizer=optimizer))
        for a, b in zip(together[i].state_dict().values(), alone.state_dict().values(), strict=True):
            if config.precision == "fp32":
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
            else:
                assert (a - b).norm() <= 0.05 * b.norm()
        assert [r.losses[i] for r in reports] == pytest.approx([r.loss for r in expected], rel=0.02)


def test_each_copy_is_tested_by_itself():
    batches = problem()
    test = TensorBatches(*batches.tensors, batch_size=50, shuffle=False, drop_last=False)
    copies = seeded(models.mlp)
    (report,) = train_ensemble(copies, batches, Config(device="cpu"), seeds=SEEDS, test=test)
    assert report.test_accuracies == tuple(evaluate(model, test)[1] for model in copies)
    assert len(set(report.test_losses)) == 3


def test_break_leaves_the_weights_of_the_epochs_done():
    copies, expected = seeded(models.mlp), seeded(models.mlp)
    next(train_ensemble(copies, problem(), Config(epochs=5, device="cpu"), seeds=SEEDS))
    list(train_ensemble(expected, problem(), Config(epochs=1, device="cpu"), seeds=SEEDS))
    for a, b in zip(copies, expected, strict=True):
        assert torch.equal(a[0].weight, b[0].weight)


@pytest.mark.parametrize(
    "fields, seeds, words",
    [
        ({"accumulate": 2}, SEEDS, "accumulate: 2 is not allowed in an ensemble"),
        ({"compile": True}, SEEDS, "compile: True"),
        ({"checkpoint": "folder"}, SEEDS, "checkpoint: 'folder'"),
        ({"precision": "fp16"}, SEEDS, "precision: 'fp16'"),
        ({}, (1, 2), "2 seeds for 3 models"),
    ],
)
def test_what_a_stacked_run_cannot_do_is_refused(fields, seeds, words):
    with pytest.raises(ValueError, match=words):
        train_ensemble(seeded(models.mlp), problem(), Config(device="cpu", **fields), seeds=seeds)


def test_a_smaller_last_batch_is_refused():
    x, y = problem().tensors
    with pytest.raises(ValueError, match="the last one is smaller"):
        train_ensemble(
            seeded(models.mlp), TensorBatches(x, y, batch_size=48, drop_last=False), Config(device="cpu"), seeds=SEEDS
        )


def test_a_stack_computes_what_each_copy_does():
    nets, batches = seeded(norm_net), problem()
    inputs, targets = next(iter(batches))
    weights, buffers, loss_of_one = stack([net.eval() for net in nets], nn.functional.cross_entropy)
    assert weights.keys() | buffers.keys() == nets[0].state_dict().keys()
    losses = torch.vmap(loss_of_one, in_dims=(0, 0, None, None))(weights, buffers, inputs, targets)
    losses.sum().backward()
    for i, net in enumerate(nets):
        alone = nn.functional.cross_entropy(net(inputs), targets)
        alone.backward()
        torch.testing.assert_close(losses[i], alone)
        for name, weight in net.named_parameters():
            torch.testing.assert_close(weights[name].grad[i], weight.grad)


def test_copies_with_attention_are_stacked_without_a_warning():
    nets = seeded(lambda: models.ByteLM(16, layers=1, heads=2, context=8))
    tokens = torch.randint(256, (4, 8), generator=torch.Generator().manual_seed(0))
    weights, _, loss_of_one = stack(nets, models.token_loss)
    losses = torch.vmap(loss_of_one, in_dims=(0, None, None, None))(weights, {}, tokens, tokens)
    losses.sum().backward()
    torch.testing.assert_close(losses, torch.stack([models.token_loss(net(tokens), tokens) for net in nets]))


def test_each_copy_of_a_stack_is_evaluated():
    nets, batches = seeded(models.mlp), problem()
    weights, _, _ = stack(nets, nn.functional.cross_entropy)
    seen = evaluate_each(models.mlp(), weights, batches)
    assert seen == [evaluate(net, batches) for net in nets]
    assert len({loss for loss, _ in seen}) == len(SEEDS)


@pytest.mark.parametrize(
    "nets, error, message",
    [
        ([], ValueError, "at least one"),
        (models.mlp(), TypeError, "models: Sequential"),
        ([models.mlp(), models.mlp(hidden=32)], ValueError, "two of different weights"),
        ([models.mlp(), None], TypeError, "NoneType"),
    ],
)
def test_what_cannot_be_stacked(nets, error, message):
    with pytest.raises(error, match=message):
        stack(nets, nn.functional.cross_entropy)
