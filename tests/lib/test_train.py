import warnings
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from course_lib import checkpoint, models
from course_lib.config import Config, rate_factor
from course_lib.data.loaders import TensorBatches
from course_lib.step import clip_gradients
from course_lib.train import evaluate, train


def problem(samples=96, batch_size=16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 8, generator=generator)
    y = (x[:, :3]).argmax(1)
    return TensorBatches(x, y, batch_size=batch_size)


def fresh(dropout=0.0):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def run(model=None, batches=None, *, test=None, optimizer=None, **fields):
    model, batches = model or fresh(), batches or problem()
    config = Config(**{"device": "cpu", "epochs": 2, **fields})
    return model, list(train(model, batches, config, test=test, optimizer=optimizer))


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


# --- the same result as a loop written by hand -----------------------------------------------------------------------


def by_hand(batches, epochs, *, accumulate=1, clip=None, factor=lambda step: 1.0):
    model = fresh()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    steps, losses = 0, []
    for epoch in range(epochs):
        batched, losses_of_epoch = list(batches.epoch(epoch)), []
        for i in range(0, len(batched), accumulate):
            group = batched[i : i + accumulate]
            for x, y in group:
                loss = F.cross_entropy(model(x), y)
                (loss / len(group)).backward()
                losses_of_epoch.append(loss.item())
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            for parameters in optimizer.param_groups:
                parameters["lr"] = 1e-3 * factor(steps)
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
        losses.append(sum(losses_of_epoch) / len(losses_of_epoch))
    return model, losses, steps


@pytest.mark.parametrize("accumulate", [1, 2, 4])  # 6 batches: 4 leaves a group of 2
@pytest.mark.parametrize("clip", [None, 0.05])
def test_it_trains_as_a_loop_written_by_hand(accumulate, clip):
    model, reports = run(accumulate=accumulate, clip=clip)
    expected, losses, steps = by_hand(problem(), 2, accumulate=accumulate, clip=clip)
    torch.testing.assert_close(weights(model), weights(expected))
    assert [r.loss for r in reports] == pytest.approx(losses, rel=1e-5)
    assert reports[-1].steps == steps


def test_accumulation_equals_the_large_batch():
    large, _ = run(batches=problem(batch_size=32))
    small, _ = run(batches=problem(batch_size=8), accumulate=4)
    torch.testing.assert_close(weights(small), weights(large))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_schedule_sets_the_rate_of_every_step(schedule):
    config = Config(epochs=2, schedule=schedule, warmup=3)
    model, reports = run(schedule=schedule, warmup=3)
    expected, _, _ = by_hand(problem(), 2, factor=lambda step: rate_factor(config, step, 12))
    torch.testing.assert_close(weights(model), weights(expected))
    assert reports[-1].learning_rate == pytest.approx(1e-3 * rate_factor(config, 11, 12))


@given(st.sampled_from(["constant", "linear", "cosine"]), st.integers(0, 20), st.integers(1, 50))
def test_rates_rise_in_the_warm_up_and_never_after(schedule, warmup, rest):
    config, total = Config(schedule=schedule, warmup=warmup), warmup + rest
    factors = [rate_factor(config, step, total) for step in range(total)]
    assert all(0 < f <= 1 for f in factors)
    assert factors[:warmup] == sorted(set(factors[:warmup]))
    assert factors[warmup] == 1 and factors[warmup:] == sorted(factors[warmup:], reverse=True)


@given(st.floats(1e-3, 100), st.integers(0, 100))  # the norm is about 14
def test_clipping_equals_torchs(largest, seed):
    torch.manual_seed(seed)
    ours, theirs = fresh(), fresh()
    for model in (ours, theirs):
        for i, weight in enumerate(model.parameters()):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed + i))
    clip_gradients(list(ours.parameters()), largest)
    nn.utils.clip_grad_norm_(theirs.parameters(), largest)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


# --- what a learner sees ----------------------------------------------------------------------------------------------


def test_it_learns_and_reports():
    batches = problem(samples=512, batch_size=32)
    test = TensorBatches(*batches.tensors, batch_size=100, shuffle=False, drop_last=False)
    model, reports = run(batches=batches, test=test, epochs=12, lr=1e-2, accuracy=True)
    assert [r.number for r in reports] == list(range(12))
    assert reports[-1].loss < reports[0].loss / 2
    assert reports[-1].test_accuracy > 0.9 and reports[-1].accuracy > 0.9
    assert all(r.samples_per_second > 0 and r.seconds > 0 for r in reports)
    loss, accuracy = evaluate(model, test)
    assert (loss, accuracy) == pytest.approx((reports[-1].test_loss, reports[-1].test_accuracy))


def test_what_was_not_asked_for_is_none():
    _, reports = run(epochs=1)
    assert reports[0].accuracy is None and reports[0].test_loss is None and reports[0].test_accuracy is None


def test_break_stops_and_cleans_up():
    before = torch.backends.cudnn.allow_tf32
    model = fresh()
    for report in train(model, problem(), Config(epochs=100, device="cpu", progress=False)):
        assert torch.backends.cudnn.allow_tf32 == before  # the learner's code never runs under the loop's modes
        if report.number == 1:
            break
    assert report.steps == 12


def test_the_progress_bar_counts_batches_and_is_closed_by_break(capsys):
    epochs = train(fresh(), problem(), Config(epochs=3, device="cpu", progress=True))
    next(epochs)
    epochs.close()
    shown = capsys.readouterr().err
    assert "6/18" in shown and shown.endswith("\n")


def test_the_seed_decides_order_and_dropout():
    first, _ = run(fresh(0.5), seed=5)
    again, _ = run(fresh(0.5), seed=5)
    other, _ = run(fresh(0.5), seed=6)
    assert torch.equal(weights(first), weights(again)) and not torch.equal(weights(first), weights(other))


def test_evaluation_leaves_the_mode_of_the_model():
    model = fresh(0.5).train()
    batches = TensorBatches(*problem().tensors, batch_size=16, shuffle=False)
    assert evaluate(model, batches) == evaluate(model, batches)  # no dropout
    assert model.training
    evaluate(model.eval(), batches)
    assert not model.training


# --- options ----------------------------------------------------------------------------------------------------------


def test_bf16_and_fp16_learn_with_float32_weights():
    for precision in ("bf16", "fp16"):
        model, reports = run(epochs=8, lr=1e-2, precision=precision)
        assert reports[-1].loss < reports[0].loss
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_gradients_in_fp16_are_clipped_at_their_true_size():
    (half, _), (full, _) = (
        run(clip=0.05, precision=p, optimizer=lambda w: torch.optim.SGD(w, lr=1.0)) for p in ("fp16", "fp32")
    )
    moved = weights(full) - weights(fresh())
    assert torch.linalg.vector_norm(weights(half) - weights(full)) < 0.1 * torch.linalg.vector_norm(moved)


def test_channels_last_gives_the_same_weights():
    x, y = torch.randn(32, 1, 8, 8), torch.randint(0, 5, (32,))
    trained = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        model = models.small_cnn(classes=5)
        list(train(model, TensorBatches(x, y, batch_size=8), Config(device="cpu", channels_last=channels_last)))
        trained.append(model)
    assert trained[1][3].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(weights(trained[1]), weights(trained[0]), rtol=1e-3, atol=1e-5)


def test_compile_leaves_the_model_that_was_given(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or (lambda x: model(x)))
    model, _ = run(compile=True, epochs=1)
    assert compiled == [model]
    torch.testing.assert_close(weights(model), weights(run(epochs=1)[0]))


def test_an_optimizer_of_ones_own_is_made_from_the_weights():
    model, reports = run(optimizer=lambda weights: torch.optim.SGD(weights, lr=0.5), schedule="linear")
    assert 0 < reports[-1].learning_rate < 0.5
    assert not torch.equal(weights(model), weights(fresh()))


def test_a_data_loader_with_a_smaller_last_batch_is_weighed_by_its_samples():
    batches = problem(samples=40)
    loader = DataLoader(TensorDataset(*batches.tensors), batch_size=16, shuffle=True)
    model = fresh()
    reports = list(train(model, loader, Config(device="cpu", lr=1e-12)))
    assert reports[0].steps == 3
    assert reports[0].loss == pytest.approx(F.cross_entropy(model(batches.tensors[0]), batches.tensors[1]).item(), rel=1e-4)


def test_frozen_weights_stay_and_are_not_clipped_over():
    model = fresh()
    for weight in model[0].parameters():
        weight.requires_grad_(False)
    before = model[0].weight.clone()
    run(model, clip=0.1)
    assert torch.equal(before, model[0].weight) and not torch.equal(fresh()[3].weight, model[3].weight)


# --- resume -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tensors", "loader"])
@pytest.mark.parametrize("every", [0, 1, 4])
def test_a_run_that_was_left_goes_on_to_the_same_weights(tmp_path, kind, every):
    def batches():
        return problem() if kind == "tensors" else DataLoader(TensorDataset(*problem().tensors), batch_size=16, shuffle=True)

    fields = {"epochs": 4, "schedule": "cosine", "warmup": 2, "clip": 1.0, "accumulate": 2, "accuracy": True}
    whole, expected = run(fresh(0.3), batches(), **fields)
    config = Config(device="cpu", checkpoint=tmp_path, checkpoint_every=every, **fields)

    class Cut(Exception):
        pass

    calls = 0

    def loss(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == 16:  # in the third epoch, after the first batch of a group of two
            raise Cut
        return F.cross_entropy(outputs, targets)

    with pytest.raises(Cut):
        list(train(fresh(0.3), batches(), config, loss=loss))
    torch.manual_seed(99)
    model = fresh(0.3)
    reports = list(train(model, batches(), config))
    assert torch.equal(weights(model), weights(whole))
    assert [(r.number, r.steps, r.loss, r.accuracy) for r in reports] == [
        (r.number, r.steps, r.loss, r.accuracy) for r in expected
    ]


def test_a_finished_run_is_told_again_and_can_be_made_longer(tmp_path):
    config = {"device": "cpu", "checkpoint": tmp_path}
    first = list(train(fresh(), problem(), Config(epochs=2, **config)))
    model = fresh()
    assert list(train(model, problem(), Config(epochs=2, **config))) == first
    assert torch.equal(weights(model), weights(run(epochs=2)[0]))
    longer = list(train(model, problem(), Config(epochs=3, **config)))
    assert longer[:2] == first and torch.equal(weights(model), weights(run(epochs=3)[0]))


def test_the_scale_of_fp16_goes_on_too(tmp_path):
    for epochs in (1, 2):
        list(train(fresh(), problem(), Config(device="cpu", checkpoint=tmp_path, precision="fp16", epochs=epochs)))
    state, _ = checkpoint.load_latest(tmp_path)
    assert state["scaler"]["_growth_tracker"] == 12  # updates without an overflow, six an epoch


OTHER = {"precision": "bf16", "accumulate": 2, "clip": 0.5, "schedule": "cosine", "warmup": 1, "seed": 1}


@pytest.mark.parametrize("name", OTHER)
def test_every_field_of_the_recipe_counts(tmp_path, name):
    list(train(fresh(), problem(), Config(device="cpu", checkpoint=tmp_path)))
    with pytest.raises(ValueError, match=f"made with {name}="):
        list(train(fresh(), problem(), Config(device="cpu", checkpoint=tmp_path, **{name: OTHER[name]})))


def test_another_recipe_is_refused_with_words(tmp_path):
    list(train(fresh(), problem(), Config(device="cpu", checkpoint=tmp_path)))
    with pytest.raises(ValueError, match=r"made with lr=0.001 \(now 0.1\); give the same values"):
        list(train(fresh(), problem(), Config(device="cpu", checkpoint=tmp_path, lr=0.1)))


# --- bad input --------------------------------------------------------------------------------------------------------

BAD = [
    ("epochs", 0), ("epochs", 1.0), ("epochs", True), ("epochs", "3"), ("device", "gpu"), ("precision", "half"),
    ("precision", "tf32"), ("channels_last", 1), ("compile", "yes"), ("accumulate", 0), ("clip", 0.0), ("clip", -1),
    ("clip", float("nan")), ("clip", "1"), ("lr", 0), ("lr", float("inf")), ("lr", None), ("schedule", "step"),
    ("schedule", None), ("warmup", -1), ("seed", -1), ("accuracy", None), ("checkpoint", 3), ("checkpoint", ""),
    ("checkpoint_every", -1), ("checkpoint_every", 5), ("progress", 0),
]  # fmt: skip


@pytest.mark.parametrize("name, value", BAD)
def test_a_bad_field_is_named_before_any_work(name, value):
    with pytest.raises(ValueError, match=rf"^{name}: "):
        Config(**{"device": "cpu", name: value})


def test_a_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Config().lr = 1.0


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((lambda x: x, problem()), TypeError, "model: function is not allowed"),
        ((fresh(), iter([])), TypeError, "batches: list_iterator is not allowed"),
        ((fresh(), []), ValueError, "batches: there is not one batch"),
    ],
)
def test_bad_arguments_are_named_before_the_loop_begins(arguments, error, words):
    with pytest.raises(error, match=words):
        train(*arguments, Config(device="cpu"))


def test_a_test_set_that_leaves_samples_out_is_refused_before_the_loop_begins():
    short = TensorBatches(torch.randn(20, 8), torch.zeros(20, dtype=torch.long), batch_size=8)
    for call in (lambda: evaluate(fresh(), short), lambda: train(fresh(), problem(), Config(device="cpu"), test=short)):
        with pytest.raises(ValueError, match="4 of 20 samples would be left out"):
            call()


def test_training_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(schedule="cosine", clip=1.0, precision="bf16")
