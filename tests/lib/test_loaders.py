import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import loaders
from course_lib.data.loaders import TensorBatches


@given(
    samples=st.integers(1, 400), size=st.integers(1, 50), shuffle=st.booleans(), drop=st.booleans(),
    number=st.integers(0, 5), seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1),
)  # fmt: skip
def test_an_epoch_has_every_sample_once_and_goes_on_from_any_batch(samples, size, shuffle, drop, number, seed, share):
    size = min(size, samples) if drop else size
    x = torch.arange(samples)
    batches = TensorBatches(x, x * 10, batch_size=size, shuffle=shuffle, drop_last=drop)
    got = list(batches.epoch(number, seed=seed))
    assert len(got) == len(batches)
    assert all(torch.equal(b, a * 10) for a, b in got)
    seen = torch.cat([a for a, _ in got])
    assert len(seen) == (samples // size * size if drop else samples)
    assert len(seen.unique()) == len(seen)
    if not shuffle:
        assert torch.equal(seen, x[: len(seen)])
    start = int(share * len(got))
    again = list(batches.epoch(number, seed=seed, start=start))
    assert len(again) == len(got) - start
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(got[start:], again, strict=True))


def test_epochs_and_seeds_differ_and_repeat():
    batches = TensorBatches(torch.arange(1000), batch_size=10)
    order = batches.order(0, 0)
    assert torch.equal(order, batches.order(0, 0))
    assert not torch.equal(order, batches.order(1, 0)) and not torch.equal(order, batches.order(0, 1))


def test_chunks_do_not_show(monkeypatch):
    batches = TensorBatches(torch.arange(1000), batch_size=7)
    whole = torch.cat([b for (b,) in batches.epoch(0)])
    monkeypatch.setattr(loaders, "CHUNK_BYTES", 3 * 7 * 8)  # three batches of seven int64
    assert torch.equal(whole, torch.cat([b for (b,) in batches.epoch(0)]))


def test_to_moves_the_tensors_and_keeps_the_rest():
    moved = TensorBatches(torch.ones(5), batch_size=2, shuffle=False, drop_last=False).to("meta")
    assert moved.tensors[0].device.type == "meta" and len(moved) == 3 and not moved.shuffle


@pytest.mark.parametrize(
    "tensors, size, words",
    [
        ([], 2, r"lengths \[\]"),
        ([torch.ones(3), torch.ones(4)], 2, r"lengths \[3, 4\]"),
        ([torch.ones(3)], 0, "batch_size: 0 is not allowed"),
        ([torch.ones(3)], 2.0, "batch_size: 2.0 is not allowed"),
        ([torch.ones(3)], True, "batch_size: True is not allowed"),
        ([torch.ones(3)], 4, "4 is more than the 3 samples"),
    ],
)
def test_bad_input_is_named(tensors, size, words):
    with pytest.raises(ValueError, match=words):
        TensorBatches(*tensors, batch_size=size)


def test_a_gather_holds_many_small_batches_and_never_less_than_one():
    def at_once(width, copies=1):
        return loaders.chunk_batches(TensorBatches(torch.zeros(64, width), batch_size=32), copies)

    assert at_once(64) == loaders.CHUNK_BYTES // (32 * 64 * 4)
    assert at_once(64, copies=8) == at_once(64) // 8
    assert at_once(10**5) == 1
