"""Cost and accuracy for the common plane: models whose multiply-accumulates are known by hand, and bad input."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_lib import compress, records

PICTURES = torch.rand(130, 1, 16, 16, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(130) % 20


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 20)).eval()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (linear(), 256 * 20),
        (nn.Conv2d(1, 4, 3, padding=1), 16 * 16 * 4 * 9),
        (nn.Conv2d(1, 4, 3, stride=2, padding=1), 8 * 8 * 4 * 9),
        (nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)), 256 * 4 + 256 * 4 * 9),  # depthwise
        (nn.Sequential(linear(), nn.ReLU(), nn.BatchNorm1d(20).eval()), 256 * 20),  # elementwise operations are free
        (compress.base_model(), 256 * 16 * 9 + 64 * 16 * 32 * 9 + 16 * 32 * 64 * 9 + 256 * 128 + 128 * 20),
    ],
)
def test_macs_of_models_of_known_cost_for_one_picture(model, expected):
    assert compress.macs(model, PICTURES[:1]) == compress.macs(model, PICTURES) == expected


def test_a_mask_saves_no_macs():
    model = linear()
    prune.l1_unstructured(model[1], "weight", 0.9)
    assert compress.macs(model, PICTURES) == 5120


@pytest.mark.parametrize("predict", [linear(), lambda x: nn.functional.one_hot(x[:, 0, 0, 0].long(), 20).float()])
def test_footprint_can_be_recorded_and_drawn(predict, tmp_path):
    values, units = compress.footprint(predict, (PICTURES, TARGETS), stored_bytes=100, macs=5120, repeats=3)
    assert values.keys() == units.keys() == {"accuracy", "bytes", "macs", "latency_1", "latency_64"}
    assert len(values["latency_1"]) == len(values["latency_64"]) == 3 and min(values["latency_1"]) > 0
    assert values["accuracy"] == (predict(PICTURES).argmax(1) == TARGETS).sum().item() / 130
    store = records.Store(tmp_path / "results.jsonl", records.Result)
    log = records.Recorder("40_test", machine={"device": "cpu"}, versions={"torch": "2"}, store=store)
    assert log.add("dense", values, units, {"method": "none"}).values["macs"] == (5120.0,)


def test_a_model_is_asked_for_1_and_for_64_pictures_only_also_where_the_test_set_is_small():
    batches = []

    def predict(x):
        batches.append(len(x))
        return torch.zeros(len(x), 20)

    for count, right in ((3, 1), (130, 7)):  # zeros answer class 0
        values, _ = compress.footprint(predict, (PICTURES[:count], TARGETS[:count]), stored_bytes=1, macs=1, repeats=1)
        assert abs(values["accuracy"] - right / count) < 1e-6
    assert set(batches) == {1, 64}


GOOD = {"predict": linear(), "test": (PICTURES, TARGETS), "stored_bytes": 1, "macs": 1, "repeats": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"predict": 3}, "^predict: 3"),
        ({"predict": nn.Linear(2, 2)}, "^predict: it is in training mode"),
        ({"predict": lambda x: torch.zeros(20)}, r"^predict: logits of shape \(20,\)"),
        ({"test": PICTURES}, "^test: Tensor"),
        ({"test": (PICTURES[:0], TARGETS[:0])}, r"^test\[0\]: torch.float32 \(0, 1, 16, 16\)"),
        ({"test": (PICTURES.to(torch.int64), TARGETS)}, r"^test\[0\]: torch.int64"),
        ({"test": (PICTURES, TARGETS[1:])}, r"^test\[1\]: .*\(130,\)"),
        ({"test": (PICTURES, TARGETS.float())}, r"^test\[1\]: .*int64"),
        ({"stored_bytes": 0}, "^stored_bytes: 0"),
        ({"stored_bytes": 1.5}, "^stored_bytes: 1.5"),
        ({"macs": -1}, "^macs: -1"),
        ({"repeats": 0}, "^repeats: 0"),
    ],
)
def test_footprint_refuses_bad_input_and_names_it(changes, said):
    arguments = GOOD | changes
    with pytest.raises(ValueError, match=said):
        compress.footprint(arguments.pop("predict"), arguments.pop("test"), **arguments)


@pytest.mark.parametrize(
    ("model", "example", "said"),
    [
        (lambda x: x, PICTURES, "^model: function"),
        (nn.ReLU(), PICTURES, "^model: in ReLU torch counts no operation"),
        (linear(), PICTURES[:0], "^example: torch.float32"),
        (linear(), [1.0], "^example: list"),
    ],
)
def test_macs_refuses_bad_input_and_names_it(model, example, said):
    with pytest.raises(ValueError, match=said):
        compress.macs(model, example)
