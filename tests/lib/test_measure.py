"""The ruler, laid on things of known length: a clock that tests wind themselves, tensors and products counted by hand."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from course_lib import measure

MS = 2**-10  # about a millisecond; a power of two, so that sums and differences of it are exact
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Clock:
    """A clock that stands still unless work moves it on: `fn = clock.work("a", 2 * MS)` costs exactly 2 ms a call.

    With `asynchronous`, work is only queued, as on a GPU, and passes when someone waits for the device.
    """

    def __init__(self):
        self.now, self.pending, self.asynchronous, self.calls = 100.0, 0.0, False, []

    def perf_counter(self):
        return self.now

    def work(self, name, cost):
        """A function that takes `cost(number of its call)` seconds, or always `cost`."""

        def fn():
            seconds = cost(self.calls.count(name)) if callable(cost) else cost
            self.calls.append(name)
            self.pending += seconds
            if not self.asynchronous:
                self.wait()

        return fn

    def wait(self, device=None):
        self.now, self.pending = self.now + self.pending, 0.0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(measure, "synchronize", clock.wait)
    return clock


def test_a_call_is_timed_as_long_as_it_is(clock):
    timing = measure.time_call(clock.work("a", 2 * MS), repeats=5)
    assert timing.seconds == (2 * MS,) * 5
    assert (timing.first, timing.median, timing.interval()) == (2 * MS, 2 * MS, (2 * MS, 2 * MS))


def test_the_first_call_is_a_figure_of_its_own_and_the_warm_up_none(clock):
    costs = [500 * MS, 30 * MS, 20 * MS, 1 * MS, 4 * MS, 2 * MS]
    timing = measure.time_call(clock.work("a", costs.__getitem__), warmup=2, repeats=3)
    assert (timing.first, timing.seconds) == (500 * MS, (1 * MS, 4 * MS, 2 * MS))
    assert timing.median == 2 * MS


def test_each_timing_spreads_over_its_calls(clock):
    timing = measure.time_call(clock.work("a", lambda call: call * MS), warmup=0, repeats=2, calls=3)
    assert timing.seconds == (2 * MS, 5 * MS)  # calls 1, 2, 3 and 4, 5, 6; call 0 was the first
    assert len(clock.calls) == 1 + 2 * 3


def test_queued_work_is_waited_for_on_both_sides(clock):
    clock.asynchronous = True
    clock.pending = 900 * MS  # somebody else's work, still in the queue when the clock would start
    timing = measure.time_call(clock.work("a", 2 * MS), warmup=4, repeats=3)
    assert (timing.first, timing.seconds) == (2 * MS, (2 * MS,) * 3)


def test_the_device_that_is_waited_for_is_the_one_given(monkeypatch):
    waited = []
    monkeypatch.setattr(measure, "synchronize", waited.append)
    measure.time_call(lambda: None, device="cuda:1", repeats=1)
    assert set(waited) == {"cuda:1"}


def test_pairs_are_interleaved_in_alternating_order(clock):
    measure.compare(clock.work("b", MS), clock.work("v", MS), warmup=1, repeats=5)
    assert "".join(clock.calls) == "bb" + "vv" + "bv" + "vb" + "bv" + "vb" + "bv"


def test_several_functions_take_turns_in_alternating_order_after_a_round_that_warms_up(clock):
    work = {name: clock.work(name, cost * MS) for name, cost in (("a", 1), ("b", 2), ("c", 4))}
    seconds = measure.interleaved(work, repeats=2, calls=2)
    assert "".join(clock.calls) == "aabbcc" + "aabbcc" + "ccbbaa"
    assert seconds == {name: [cost * MS] * 2 for name, cost in (("a", 1), ("b", 2), ("c", 4))}
    with pytest.raises(ValueError, match="repeats: 0"):
        measure.interleaved(work, repeats=0)
    with pytest.raises(ValueError, match=r"work\['a'\]: 3 is not allowed"):
        measure.interleaved({"a": 3})


def test_a_factor_of_two_is_reported_as_two(clock):
    found = measure.compare(clock.work("b", 4 * MS), clock.work("v", 2 * MS))
    assert (found.ratio, found.low, found.high, found.differs) == (2.0, 2.0, 2.0, True)
    assert (found.baseline.median, found.variant.median) == (4 * MS, 2 * MS)
    assert len(found.baseline.seconds) == len(found.variant.seconds) == 11
    assert str(found) == "2.00x faster [2.00, 2.00]"


def test_a_slower_variant_is_called_slower(clock):
    found = measure.compare(clock.work("b", 2 * MS), clock.work("v", 4 * MS))
    assert (found.ratio, found.differs) == (0.5, True)
    assert str(found) == "2.00x slower [2.00, 2.00]"


def test_an_interval_that_holds_one_is_no_difference(clock):
    wobbly = clock.work("v", lambda call: (2 if call % 2 else 0.5) * MS)
    found = measure.compare(clock.work("b", MS), wobbly)
    assert (found.low, found.high, found.differs) == (0.5, 2.0, False)
    assert str(found) == "no measurable difference [0.50, 2.00]"


def test_a_small_difference_does_not_round_to_none():
    timing = measure.Timing((1.0,), 1.0)
    found = measure.Comparison(timing, timing, ratio=1.004, low=1.001, high=1.006)
    assert str(found) == "1.004x faster [1.001, 1.006]"


def test_a_machine_that_slows_down_for_a_while_hits_both_sides_of_a_pair(clock):
    """The medians of the sides would be 41 ms and 2 ms if each were timed in one go around the slow spell."""

    def slow_spell(call):
        return 10 if 5 <= call <= 9 else 1  # calls 0 to 3 are first and warm-up

    baseline = clock.work("b", lambda call: 4 * MS * slow_spell(call))
    variant = clock.work("v", lambda call: 2 * MS * slow_spell(call))
    found = measure.compare(baseline, variant, repeats=9)
    assert max(found.baseline.seconds) == 40 * MS
    assert (found.ratio, found.low, found.high) == (2.0, 2.0, 2.0)


def test_the_median_ratio_ignores_one_wild_pair(clock):
    found = measure.compare(clock.work("b", lambda call: (4000 if call == 6 else 4) * MS), clock.work("v", 2 * MS))
    assert found.ratio == 2.0


def test_ratios_are_taken_pair_by_pair(clock):
    """The ratios are 2, 4, 1, 8 and 0.75, with the median 2; the ratio of the two medians would be 6 / 2 = 3."""
    baseline, variant = (4, 8, 2, 16, 6), (2, 2, 2, 2, 8)
    found = measure.compare(
        clock.work("b", lambda call: baseline[call - 1] * MS),
        clock.work("v", lambda call: variant[call - 1] * MS),
        warmup=0,
        repeats=5,
    )
    assert (found.ratio, found.low, found.high) == (2.0, 0.75, 8.0)


def test_the_first_calls_of_both_are_kept(clock):
    compiled = clock.work("v", lambda call: (10_000 if call == 0 else 1) * MS)
    found = measure.compare(clock.work("b", 2 * MS), compiled)
    assert (found.baseline.first, found.variant.first, found.ratio) == (2 * MS, 10_000 * MS, 2.0)


def test_what_the_clock_cannot_see_is_not_compared(clock):
    with pytest.raises(ValueError, match="calls: 7 calls are too short for the clock to see"):
        measure.compare(clock.work("b", MS), clock.work("v", 0.0), calls=7)


def test_a_timing_prints_its_median_interval_and_first_call():
    assert str(measure.Timing((0.002,) * 3, 1.5)) == "2 ms [2 ms, 2 ms], first call 1.5 s"
    assert str(measure.Timing((3.21e-5,), 2e-3)) == "32.1 us [32.1 us, 32.1 us], first call 2 ms"


@pytest.mark.parametrize(
    ("setting", "value", "least"),
    [("warmup", -1, 0), ("warmup", 1.5, 0), ("repeats", 0, 1), ("repeats", True, 1), ("calls", 0, 1), ("calls", "2", 1)],
)
def test_a_bad_setting_is_refused_before_anything_runs(setting, value, least):
    ran = []
    message = f"{setting}: {value!r} is not allowed; it is a whole number of {least} or more"
    with pytest.raises(ValueError, match=message):
        measure.time_call(lambda: ran.append(1), **{setting: value})
    assert not ran


def test_four_pairs_are_too_few_for_an_interval():
    with pytest.raises(ValueError, match="repeats: 4 is not allowed; it is a whole number of 5 or more"):
        measure.compare(lambda: None, lambda: None, repeats=4)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("fn", lambda bad: measure.time_call(bad)),
        ("baseline", lambda bad: measure.compare(bad, lambda: None)),
        ("variant", lambda bad: measure.compare(lambda: None, bad)),
        ("fn", lambda bad: measure.peak_memory(bad)),
        ("fn", lambda bad: measure.saved_bytes(bad)),
        ("fn", lambda bad: measure.count_flops(bad)),
    ],
)
def test_a_result_in_place_of_a_function_is_refused(name, call):
    with pytest.raises(ValueError, match=f"{name}: tensor.* is not allowed; it is a function without arguments"):
        call(torch.zeros(1))


# Peak memory


def test_peak_memory_counts_what_lives_at_once():
    def fn():
        a = torch.empty(1000)
        b = torch.empty(2000)
        del a
        return b, torch.empty(500)

    assert measure.peak_memory(fn) == 4 * (1000 + 2000)


def test_peak_memory_counts_above_the_start_only():
    before = [torch.empty(5000)]
    assert measure.peak_memory(lambda: before[0].clone()) == 4 * 5000

    def replace():
        before.clear()
        before.append(torch.empty(4000))

    assert measure.peak_memory(replace) == 0  # it stays below what there was


@settings(max_examples=30)
@given(st.lists(st.one_of(st.integers(1, 300), st.none()), max_size=25))
def test_peak_memory_follows_any_order_of_taking_and_releasing(steps):
    """A number takes that many floats; None releases the oldest tensor."""
    in_use, peak, sizes = 0, 0, []
    for size in steps:
        if size is not None:
            sizes.append(4 * size)
            in_use += 4 * size
        elif sizes:
            in_use -= sizes.pop(0)
        peak = max(peak, in_use)

    def fn():
        tensors = []
        for size in steps:
            if size is not None:
                tensors.append(torch.empty(size))
            elif tensors:
                tensors.pop(0)

    assert measure.peak_memory(fn) == peak


def test_peak_memory_sees_the_backward_pass():
    x = torch.ones(1000, requires_grad=True)
    assert measure.peak_memory(lambda: x.exp().exp()) == 2 * 4000
    # Backward: both results of exp and the gradient of the second; then the first and both gradients, for the second result
    # is released once its gradient is there. The sum and its gradient take 4 bytes each.
    assert measure.peak_memory(lambda: x.exp().exp().sum().backward()) == 3 * 4000 + 8


def test_a_second_training_step_releases_the_gradients_of_the_first():
    layer, x = nn.Linear(100, 100, bias=False), torch.ones(1, 100)

    def step():
        layer.zero_grad()
        layer(x).sum().backward()

    first = measure.peak_memory(step)
    step()  # its gradient was never seen by Python
    second, third = measure.peak_memory(step), measure.peak_memory(step)
    assert first >= 4 * 100 * 100  # the gradient was not there before
    assert second == third == first - 4 * 100 * 100


def test_peak_memory_counts_each_way_to_make_a_tensor():
    assert measure.peak_memory(lambda: torch.tensor([1.0] * 50)) == 200
    assert measure.peak_memory(lambda: torch.mm(torch.ones(5, 5), torch.ones(5, 5), out=torch.empty(0))) == 3 * 100
    assert measure.peak_memory(lambda: torch.from_numpy(np.ones(50)) + 1) == 800  # a tensor over an array is a tensor
    assert measure.peak_memory(lambda: torch.ones(50).view(5, 10).t()[1:]) == 200


@needs_cuda
def test_peak_memory_on_cuda_counts_in_blocks():
    before = torch.empty(1 << 20, device="cuda")
    peak = measure.peak_memory(lambda: [torch.empty(1 << 18, device="cuda"), torch.empty(1, device="cuda")], "cuda")
    assert peak == 4 * (1 << 18) + 512
    assert before.numel() == 1 << 20


# Saved bytes


def test_relu_saves_its_result():
    x = torch.ones(10, requires_grad=True)
    assert measure.saved_bytes(lambda: x.relu()) == 40


def test_matmul_saves_both_factors():
    a, b = torch.ones(3, 8, requires_grad=True), torch.ones(8, 5, requires_grad=True)
    assert measure.saved_bytes(lambda: a @ b) == 4 * (3 * 8 + 8 * 5)


def test_linear_saves_its_input_and_parameters_do_not_count():
    layer, x = nn.Linear(8, 4), torch.ones(3, 8, requires_grad=True)
    assert measure.saved_bytes(lambda: layer(x)) == 4 * 3 * 8
    assert measure.saved_bytes(lambda: layer(x).relu()) == 4 * (3 * 8 + 3 * 4)
    plain = layer.weight.detach().clone().requires_grad_()  # a weight that is no nn.Parameter is a tensor like others
    assert measure.saved_bytes(lambda: nn.functional.linear(x, plain)) == 4 * (3 * 8 + 4 * 8)


def test_a_storage_saved_twice_counts_once_and_whole():
    x = torch.ones(10, requires_grad=True)
    assert measure.saved_bytes(lambda: x * x) == 40
    assert measure.saved_bytes(lambda: x[:2] * x[8:]) == 40
    assert measure.saved_bytes(lambda: (x * x, x.sin(), x.cos())) == 40


def test_without_gradients_nothing_is_saved():
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        assert measure.saved_bytes(lambda: layer(torch.ones(3, 8)).relu()) == 0


def test_micro_batches_hold_the_bytes_of_one_of_them():
    layer, x = nn.Linear(8, 4), torch.ones(16, 8)
    whole = measure.saved_bytes(lambda: layer(x).relu().sum().backward())

    def accumulated():
        for part in x.split(4):
            layer(part.clone()).relu().sum().backward()

    assert whole == 4 * (16 * 8 + 16 * 4)
    assert measure.saved_bytes(accumulated) == whole // 4


def test_recomputed_tensors_do_not_count():
    block, x = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8)), torch.ones(3, 8, requires_grad=True)
    assert measure.saved_bytes(lambda: block(x)) == 4 * (3 * 8 + 3 * 64)
    assert measure.saved_bytes(lambda: checkpoint(block, x, use_reentrant=False)) == 4 * 3 * 8


def test_the_copies_that_autocast_makes_count_at_their_own_size():
    layer, x = nn.Linear(8, 4), torch.ones(3, 8, requires_grad=True)

    def forward():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return layer(x)

    assert measure.saved_bytes(forward) == 2 * (3 * 8 + 4 * 8)


def test_counting_saved_bytes_leaves_the_gradients_as_they_are_and_keeps_nothing():
    x = torch.ones(10, requires_grad=True)
    measure.saved_bytes(lambda: x.exp().sum().backward())
    assert torch.equal(x.grad, x.detach().exp())
    seen = []

    def forward_only():
        y = x.exp()
        seen.append(weakref.ref(y))

    measure.saved_bytes(forward_only)
    assert seen[0]() is None  # a hook that holds the result itself would close a circle with its graph


# FLOPs and parameters


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_a_matrix_product_costs_2mnk(m, n, k):
    assert measure.count_flops(lambda: torch.ones(m, k) @ torch.ones(k, n)) == 2 * m * n * k


def test_backward_counts_too():
    layer, x = nn.Linear(8, 4), torch.ones(3, 8, requires_grad=True)
    assert measure.count_flops(lambda: layer(x)) == 2 * 3 * 8 * 4
    assert measure.count_flops(lambda: layer(x).sum().backward()) == 3 * 2 * 3 * 8 * 4


def test_a_convolution_costs_a_product_at_each_place():
    conv, x = nn.Conv2d(3, 5, kernel_size=3, padding=1), torch.ones(2, 3, 7, 7)
    assert measure.count_flops(lambda: conv(x)) == 2 * (2 * 5 * 7 * 7) * (3 * 3 * 3)


def test_the_flops_of_attention_are_counted_on_the_cpu_too():
    batch, heads, length, width = 2, 3, 8, 4
    q, k, v = (torch.randn(batch, heads, length, width, requires_grad=True) for _ in range(3))
    attention = torch.nn.functional.scaled_dot_product_attention
    one_product = 2 * batch * heads * length * length * width
    assert measure.count_flops(lambda: attention(q, k, v)) == 2 * one_product  # q @ k, then weights @ v
    # backward: the scores once more, then two products for each of the two
    assert measure.count_flops(lambda: attention(q, k, v).sum().backward()) == (2 + 5) * one_product


def test_elementwise_operations_count_as_nothing(capsys):
    assert measure.count_flops(lambda: torch.ones(100).relu() + 1) == 0
    assert capsys.readouterr().out == ""


def test_parameter_bytes_by_hand():
    assert measure.parameter_bytes(nn.Linear(8, 4)) == 4 * (8 * 4 + 4)
    assert measure.parameter_bytes(nn.Linear(8, 4).to(torch.bfloat16)) == 2 * (8 * 4 + 4)
    assert measure.parameter_bytes(nn.BatchNorm1d(6)) == 4 * (6 + 6)  # running mean and variance are buffers
    assert measure.parameter_bytes(nn.ReLU()) == 0


def test_a_tied_weight_counts_once():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False))
    assert measure.parameter_bytes(model) == 2 * 4 * 40
    model[1].weight = model[0].weight
    assert measure.parameter_bytes(model) == 4 * 40


def test_the_bytes_of_what_is_no_model_are_refused():
    with pytest.raises(ValueError, match="model: Tensor is not allowed"):
        measure.parameter_bytes(torch.ones(3))


# The ceilings of the roofline, on a clock that ticks 1 ms whenever it is read


@pytest.fixture
def ticking(monkeypatch):
    clock = Clock()

    def tick():
        clock.now += MS
        return clock.now

    clock.perf_counter = tick
    monkeypatch.setattr(measure, "time", clock)


def test_the_matmul_rate_is_2n3_a_call(ticking):
    assert measure.matmul_rate(32) == 2 * 32**3 / MS
    assert measure.matmul_rate(8, torch.bfloat16) == 2 * 8**3 / MS


def test_the_copy_bandwidth_counts_reading_and_writing(ticking):
    assert measure.copy_bandwidth(1 << 16) == 2 * (1 << 16) / MS


@pytest.mark.parametrize(("field", "call"), [("n", measure.matmul_rate), ("nbytes", measure.copy_bandwidth)])
def test_a_ceiling_needs_a_size(field, call):
    with pytest.raises(ValueError, match=f"{field}: 0 is not allowed; it is a whole number of 1 or more"):
        call(0)
