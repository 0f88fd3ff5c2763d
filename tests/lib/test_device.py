import random
from collections import namedtuple

import numpy as np
import pytest
import torch

from course_lib import device


@pytest.mark.parametrize("name", ["gpu", "CPU", "cuda:x", "", "cuda:-1", None, 3])
def test_an_unknown_device_is_named_with_what_is_allowed(name):
    with pytest.raises(ValueError, match=r"device: .* allowed are 'auto', 'cpu', 'cuda' and 'cuda:N'"):
        device.choose(name)


def test_a_device_that_is_not_there_says_what_is():
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"{missing}' is not on this machine"):
        device.choose(missing)


def test_auto_takes_the_gpu_where_there_is_one():
    assert device.choose("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_move_reaches_into_nested_batches_and_leaves_the_rest():
    Pair = namedtuple("Pair", "x y")
    moved = device.move({"a": [torch.ones(2), "text"], "b": Pair(torch.ones(1), 3)}, "meta")
    assert moved["a"][0].device.type == "meta" and moved["a"][1] == "text"
    assert isinstance(moved["b"], Pair) and moved["b"].x.device.type == "meta" and moved["b"].y == 3


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_seed_fixes_all_three_generators():
    device.seed_everything(3)
    first = draws()
    device.seed_everything(3)
    assert draws() == first
    device.seed_everything(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed:"):
        device.seed_everything(seed)


def test_generator_state_brings_back_the_same_draws():
    device.seed_everything(0)
    state = device.generator_state("cpu")
    first = draws()
    device.set_generator_state(state, "cpu")
    assert draws() == first


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_sets_the_type_of_a_product_and_can_be_entered_twice(precision, dtype):
    context, a = device.autocast(precision, "cpu"), torch.ones(2, 2)
    for _ in range(2):
        with context:
            assert (a @ a).dtype == dtype


def test_unknown_and_unavailable_precisions_are_refused():
    with pytest.raises(ValueError, match="precision: 'fp8' is not known; allowed are fp32, tf32, bf16, fp16"):
        device.autocast("fp8", "cpu")
    with pytest.raises(ValueError, match="'tf32' needs a CUDA GPU"):
        device.autocast("tf32", "cpu")


def test_matmul_precision_is_put_back_even_after_an_error():
    def now():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = now()
    with pytest.raises(RuntimeError), device.matmul_precision("tf32", "cuda"):
        assert now() == ("high", True)
        raise RuntimeError
    assert now() == before
    with device.matmul_precision("fp32", "cuda"):
        assert now() == ("highest", False)
    with device.matmul_precision("fp32", "cpu"):
        assert now() == before


def test_the_machine_is_described_with_flat_values():
    machine = device.describe()
    assert machine["cores"] >= 1 and machine["memory_gb"] > 0 and machine["threads"] == torch.get_num_threads()
    assert (machine["device"] == "cuda") == bool(machine["gpu"])
    assert all(isinstance(value, (str, int, float, bool)) for value in machine.values())
    assert machine["cpu"] in device.one_line(machine) and torch.__version__ == device.versions()["torch"]
