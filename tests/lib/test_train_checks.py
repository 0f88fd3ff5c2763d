"""What the checks find for any shapes and types, what is found after the first batch, and losses that are not finite."""

import math
import warnings
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check_answers, countable, first_checked
from course_lib.config import SCHEDULES, Config
from course_lib.data.loaders import TensorBatches
from course_lib.device import PRECISIONS
from course_lib.ensemble import train_ensemble
from course_lib.train import evaluate, train

X = torch.randn(48, 8, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)
CPU = Config(device="cpu", epochs=3)
DTYPES = sorted({value for value in vars(torch).values() if isinstance(value, torch.dtype)}, key=str)
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)


def batches(x=X, y=Y, batch_size=16):
    return TensorBatches(x, y, batch_size=batch_size)


def model():
    torch.manual_seed(0)
    return nn.Linear(8, 3)


def refused(call) -> str:
    """What ValueError says, "" where there is none."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


# --- any input --------------------------------------------------------------------------------------------------------


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 10**6),
            "precision": st.sampled_from([name for name in PRECISIONS if name != "tf32"]),
            "channels_last": st.booleans(),
            "accumulate": st.integers(1, 64),
            "clip": st.none() | st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1, 9),
            "lr": st.floats(0, exclude_min=True, allow_infinity=False),
            "schedule": st.sampled_from(SCHEDULES),
            "warmup": st.integers(0, 10**6),
            "seed": st.integers(0, 2**32 - 1),
        },
    )
)
def test_a_config_survives_the_way_through_a_dictionary(fields):
    config = Config(device="cpu", **fields)
    assert Config(**asdict(config)) == config == replace(config)
    assert hash(Config(**asdict(config))) == hash(config)


@given(st.text() | st.sampled_from(DTYPES) | st.none() | st.integers() | st.floats() | st.lists(st.sampled_from(PRECISIONS)))
def test_a_precision_is_one_of_four_names_or_refused_by_name(value):
    said = refused(lambda: Config(device="cpu", precision=value))
    if isinstance(value, str) and value in PRECISIONS:
        assert not said or value == "tf32"
    else:
        assert said == f"precision: {value!r} is not known; allowed are fp32, tf32, bf16, fp16"


@given(st.text() | st.integers() | st.none())
def test_a_device_is_a_known_name_or_refused(value):
    said = refused(lambda: Config(device=value))
    assert said.startswith(f"device: {value!r} is not ") or value in ("auto", "cpu", "cuda")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_targets_of_any_type_train_or_are_refused(dtype):
    try:
        targets = torch.zeros(48).to(dtype)
    except (RuntimeError, TypeError, UserWarning):  # a type that torch only names, or calls experimental
        return
    said = refused(lambda: list(train(model(), [(X, targets)], CPU)))
    assert (said == "") == (dtype in (torch.int64, torch.uint8))
    assert said == "" or (said.startswith("targets: ") and "torch.int64" in said)


@given(SHAPES, SHAPES)
def test_shapes_that_would_spread_are_refused_and_only_those(ours, theirs):
    said = refused(lambda: check_answers(F.mse_loss, torch.zeros(ours), torch.zeros(theirs)))
    assert bool(said) == (ours != theirs and math.prod(ours) == math.prod(theirs))


@given(st.lists(st.integers(-200, 20), min_size=1, max_size=9), st.integers(1, 20))
def test_a_class_is_refused_unless_it_has_an_output_or_is_ignored(labels, classes):
    said = refused(lambda: check_answers(F.cross_entropy, torch.zeros(len(labels), classes), torch.tensor(labels)))
    assert bool(said) == any(not 0 <= label < classes for label in labels if label != -100)


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_batch_has_as_many_inputs_as_targets(inputs, targets):
    batch = torch.zeros(inputs, 2), torch.zeros(targets)
    assert bool(refused(lambda: first_checked("batches", [batch]))) == (inputs != targets or inputs == 0)


def test_the_first_batch_is_not_lost():
    assert [number for number, _ in first_checked("batches", [(torch.ones(1), torch.ones(1))] * 3)] == [1, 1, 1]


def test_what_the_table_of_bad_inputs_comes_close_to_is_allowed():
    soft = F.one_hot(Y, 3).float()
    ignoring = nn.CrossEntropyLoss(ignore_index=7)
    for targets, loss in ((soft, F.cross_entropy), (Y.byte(), F.cross_entropy), (torch.where(Y == 1, 7, Y), ignoring)):
        (report, *_) = train(model(), batches(y=targets), CPU, loss=loss)
        assert math.isfinite(report.loss)


# --- what is counted --------------------------------------------------------------------------------------------------


def test_where_there_is_no_right_answer_the_accuracy_is_none():
    regression, numbers = nn.Linear(8, 1), X[:, :1].clone()
    assert evaluate(regression, [(X, numbers)], loss=F.mse_loss)[1] is None
    reports = list(train(regression, batches(y=numbers), CPU, loss=F.mse_loss, test=batches(y=numbers)))
    assert reports[-1].test_accuracy is None and reports[-1].test_loss > 0
    (report, *_) = train_ensemble([regression], batches(y=numbers), CPU, seeds=[0], loss=F.mse_loss, test=batches(y=numbers))
    assert report.test_accuracies is None and report.test_losses[0] > 0
    assert countable(torch.zeros(4, 3), Y[:4]) and not countable((torch.zeros(4, 3),), Y[:4])


# --- what the first batch does not show ---------------------------------------------------------------------------------


def test_a_later_batch_is_described_by_a_note():
    late = [(X[:16], Y[:16]), (X[16:], Y[16:] + 1)]
    with pytest.raises(IndexError, match=r"batch 1 of epoch 0: inputs \(32, 8\) torch.float32, targets .* from 1 to 3"):
        list(train(model(), late, CPU))


class Once:
    """A generator that was given a length: it is used up after an epoch."""

    def __init__(self, came: int, promised: int):
        self.left, self.promised = iter([(X, Y)] * came), promised

    def __len__(self):
        return self.promised

    def __iter__(self):
        return self.left


@pytest.mark.parametrize(
    "came, promised, epoch, words",
    [(2, 3, 0, "2 came in epoch 0"), (4, 3, 0, "4 came in epoch 0"), (3, 3, 1, "0 came in epoch 1")],
)
def test_another_number_of_batches_than_promised_is_an_error_at_the_end_of_the_epoch(came, promised, epoch, words):
    reports = train(model(), Once(came, promised), CPU)
    for _ in range(epoch):
        next(reports)
    with pytest.raises(ValueError, match=f"{words}, but their length is {promised}"):
        next(reports)


def test_the_loss_is_the_learners_own_from_the_second_batch_on():
    seen = []

    def loss(outputs, targets):
        seen.append(torch.is_grad_enabled())
        return F.cross_entropy(outputs, targets)

    list(train(model(), batches(), CPU, loss=loss))
    assert seen == [True] * 9  # 3 epochs of 3 batches: the checks call neither model nor loss once more


# --- losses that are not finite -----------------------------------------------------------------------------------------


def exploding(weights):
    return torch.optim.SGD(weights, lr=1e38)


def test_a_run_that_diverges_goes_on_and_says_so_once():
    with pytest.warns(RuntimeWarning, match=r"epoch 0: .*(nan|inf).*diverged.* lower lr, clip or warmup") as caught:
        reports = list(train(model(), batches(), CPU, optimizer=exploding))
    assert len(reports) == 3 and not math.isfinite(reports[0].loss)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_a_test_loss_that_is_not_finite_is_named():
    holed = X.clone()
    holed[5, 5] = math.nan
    with pytest.warns(RuntimeWarning, match="epoch 0: test_loss nan; "):
        list(train(model(), batches(), CPU, test=batches(holed)))


def test_the_seeds_that_diverge_are_named():
    copies = [model(), model()]
    with torch.no_grad():
        copies[1].weight[0, 0] = math.inf
    with pytest.warns(RuntimeWarning, match=r"epoch 0: seed 9 nan; ") as caught:
        reports = list(train_ensemble(copies, batches(), CPU, seeds=(4, 9)))
    assert len(caught) == 1 and math.isfinite(reports[0].losses[0])


def test_a_learner_who_does_not_want_the_warning_turns_it_off_or_into_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        list(train(model(), batches(), CPU, optimizer=exploding))
    with pytest.raises(RuntimeWarning):  # as pytest is set here
        list(train(model(), batches(), CPU, optimizer=exploding))
