"""Distillation: the loss is the formula, its gradient has the size that T^2 promises, and what does not fit is named."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.compress import distill
from course_lib.compress.distill import Distillation, Hinted
from course_lib.data.loaders import TensorBatches
from course_lib.ensemble import train_ensemble
from course_lib.train import Config, train


@pytest.fixture
def case():
    torch.manual_seed(0)
    return torch.randn(7, 5), torch.randn(7, 5) * 3, torch.randint(5, (7,))


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 5))


@pytest.mark.parametrize("temperature", [0.5, 1, 4.0])
def test_divergence_is_torchs_kl_div_in_both_directions(case, temperature):
    logits, teacher, _ = case
    p, q = (values.div(temperature).softmax(1) for values in (teacher, logits))
    for direction, log_second, first in (("forward", q.log(), p), ("reverse", p.log(), q)):
        expected = F.kl_div(log_second, first, reduction="none").sum(1)
        torch.testing.assert_close(distill.divergence(logits, teacher, temperature, direction), expected)
    assert (distill.divergence(teacher, teacher, temperature) == 0).all()


def test_the_two_directions_differ_and_none_is_negative(case):
    logits, teacher, _ = case
    forward, reverse = (distill.divergence(logits, teacher, 2.0, direction) for direction in distill.DIRECTIONS)
    assert (forward > 0).all() and (reverse > 0).all() and not torch.allclose(forward, reverse, rtol=0.05)


def test_the_loss_is_hintons_sum(case):
    logits, teacher, labels = case
    targets = distill.with_answers(labels, teacher)
    soft = 9 * F.kl_div((logits / 3).log_softmax(1), (teacher / 3).softmax(1), reduction="batchmean")
    expected = 0.7 * F.cross_entropy(logits, labels) + 0.3 * soft
    torch.testing.assert_close(Distillation(classes=5, temperature=3, weight=0.3)(logits, targets), expected)
    torch.testing.assert_close(Distillation(classes=5, weight=0)(logits, targets), F.cross_entropy(logits, labels))


def test_with_t_squared_the_gradient_keeps_its_size_at_high_temperatures(case):
    logits, teacher, labels = case
    targets, norms = distill.with_answers(labels, teacher), []
    for temperature in (50, 400):
        student = logits.clone().requires_grad_()
        Distillation(classes=5, temperature=temperature, weight=1)(student, targets).backward()
        norms.append(student.grad.norm())
    centred = [values - values.mean(1, keepdim=True) for values in (logits, teacher)]
    torch.testing.assert_close(norms[0], norms[1], rtol=0.05, atol=0)
    torch.testing.assert_close(norms[1], ((centred[0] - centred[1]) / 5 / 7).norm(), rtol=0.02, atol=0)  # its limit


def test_a_hint_adds_the_distance_of_the_features(case):
    logits, teacher, labels = case
    guess, features = torch.zeros(7, 3), torch.full((7, 3), 2.0)
    plain = Distillation(classes=5)(logits, distill.with_answers(labels, teacher))
    hinted = Distillation(classes=5, hint=0.5)
    value = hinted(torch.cat([logits, guess], 1), distill.with_answers(labels, teacher, features))
    torch.testing.assert_close(value, plain + 0.5 * 4)


def test_a_hinted_student_answers_as_it_does_alone():
    student = small()
    hinted, inputs = Hinted(student, width=3), torch.randn(2, 6)
    outputs = hinted(inputs)
    assert outputs.shape == (2, 8)
    assert torch.equal(outputs[:, :5], student(inputs))
    hinted(inputs)[:, 5:].sum().backward()
    assert student[0].weight.grad.any() and not student[-1].weight.grad.any(), "a hint teaches the layers below the last"


def test_answers_come_without_gradient_and_leave_the_teacher_as_it_was():
    teacher = nn.Sequential(small(), nn.Dropout(0.5))
    teacher[0].eval()
    inputs = torch.randn(1203, 6)
    said = distill.answers(teacher, inputs)
    assert not said.requires_grad
    torch.testing.assert_close(said, teacher[0](inputs), msg="dropout was on, or the parts are out of order")
    assert [module.training for module in (teacher, teacher[0], teacher[1])] == [True, False, True]
    assert distill.answers(lambda x: x[:, :2], inputs).shape == (1203, 2)


def test_targets_hold_labels_and_answers():
    labels, logits, features = torch.tensor([2, 16_777_216]), torch.ones(2, 3), torch.zeros(2, 4, 2)
    targets = distill.with_answers(labels, logits, features)
    assert targets.shape == (2, 1 + 3 + 8) and targets.dtype == torch.float32
    assert torch.equal(targets[:, 0].long(), labels)


def test_a_student_comes_to_its_teacher_alone_and_as_one_of_many_seeds():
    teacher, inputs = small(9), torch.randn(512, 6)
    said = distill.answers(teacher, inputs)
    batches = TensorBatches(inputs, distill.with_answers(said.argmax(1), said), batch_size=32)
    loss, config = Distillation(classes=5, temperature=2, weight=1), Config(epochs=12, device="cpu", lr=0.03)
    alone, crew = small(1), [small(1), small(2)]
    epochs = list(train(alone, batches, config, loss=loss))
    many = list(train_ensemble(crew, batches, config, seeds=[0, 1], loss=loss))
    assert epochs[-1].loss < 0.2 * epochs[0].loss
    assert math.isclose(many[-1].losses[0], epochs[-1].loss, rel_tol=1e-3)
    inputs = torch.randn(500, 6)
    agreement = (alone(inputs).argmax(1) == teacher(inputs).argmax(1)).double().mean()
    assert agreement > 0.85


def with_nan(x):
    return x * math.nan


X, Y = torch.zeros(4, 6), torch.zeros(4, dtype=torch.int64)
BAD = [
    (lambda: distill.answers("net", X), TypeError, "teacher: 'net' is not allowed"),
    (lambda: distill.answers(nn.Linear, X), TypeError, "teacher: <class"),
    (lambda: distill.answers(small(), [1.0]), TypeError, "inputs: list is not allowed"),
    (lambda: distill.answers(small(), X[:0]), ValueError, r"inputs: shape \(0, 6\) is not allowed"),
    (lambda: distill.answers(nn.Flatten(0), X), ValueError, r"teacher: outputs torch.float32 \(24,\) are not allowed"),
    (lambda: distill.answers(with_nan, X), ValueError, "not all finite"),
    (lambda: distill.with_answers([0], X), TypeError, "labels: list is not allowed"),
    (lambda: distill.with_answers(Y, 1.0), TypeError, r"said\[0\]: float is not allowed"),
    (lambda: distill.with_answers(Y.int(), X), ValueError, r"labels: torch.int32 \(4,\) is not allowed"),
    (lambda: distill.with_answers(Y), ValueError, "said: none is not allowed for 4 labels"),
    (lambda: distill.with_answers(Y, X[:3]), ValueError, r"said: torch.float32 \(3, 6\) is not allowed for 4 labels"),
    (lambda: distill.with_answers(Y, X.long()), ValueError, "said: torch.int64"),
    (lambda: distill.divergence(X, X[:, :5]), ValueError, r"teacher: logits \(4, 5\) for a student's \(4, 6\)"),
    (lambda: distill.divergence(X, X, 0), ValueError, "temperature: 0 is not allowed"),
    (lambda: distill.divergence(X, X, 1.0, "both"), ValueError, "direction: 'both' is not allowed"),
    (lambda: Distillation(classes=1), ValueError, "classes: 1 is not allowed"),
    (lambda: Distillation(classes=5, temperature=-1), ValueError, "temperature: -1"),
    (lambda: Distillation(classes=5, temperature=math.inf), ValueError, "temperature: inf"),
    (lambda: Distillation(classes=5, weight=1.5), ValueError, "weight: 1.5 is not allowed; it is a number from 0 to 1"),
    (lambda: Distillation(classes=5, weight=True), ValueError, "weight: True"),
    (lambda: Distillation(classes=5, direction="up"), ValueError, "direction: 'up'"),
    (lambda: Distillation(classes=5, hint=math.nan), ValueError, "hint: nan"),
    (lambda: Distillation(classes=6)(X, X), ValueError, r"targets: \(4, 6\) for outputs \(4, 6\) is not allowed"),
    (lambda: Distillation(classes=6)(X, Y), ValueError, r"targets: \(4,\) for outputs"),
    (lambda: Distillation(classes=6, hint=1)(X, torch.zeros(4, 7)), ValueError, r"outputs are \(B, 6 \+ features\)"),
    (lambda: Hinted(nn.Linear(2, 2), 3), ValueError, "student: Linear is not allowed"),
    (lambda: Hinted(small(), 0), ValueError, "width: 0 is not allowed"),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD, ids=[words for _, _, words in BAD])
def test_bad_input_is_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()
