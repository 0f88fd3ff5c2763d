"""The ruler: time with warm-up and repeats, paired comparison with an interval, memory, saved bytes, FLOPs, ceilings.

What can be counted (bytes, FLOPs) comes before the clock: it is the same on every run. Time is kept with every repeat,
and two things are compared in interleaved pairs, so that a slow minute of the machine hits both.
"""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import torch

from course_lib.device import synchronize
from course_lib.intervals import bootstrap_interval, check_whole, mean_interval, share_interval
from course_lib.memory import check_callable, parameter_bytes, peak_memory, saved_bytes

__all__ = [
    "Comparison",
    "Timing",
    "bootstrap_interval",
    "compare",
    "copy_bandwidth",
    "count_flops",
    "interleaved",
    "matmul_rate",
    "mean_interval",
    "parameter_bytes",
    "peak_memory",
    "saved_bytes",
    "share_interval",
    "time_call",
]

# The smallest and the largest of 5 values enclose the true median in 15 of 16 cases; fewer cannot carry an interval.
MIN_PAIRS = 5


@dataclass(frozen=True)
class Timing:
    """What `time_call` measured. `seconds` per call, one for each repeat; `first`: the very first call, in seconds.

    The first call pays for what is done once (compilation, loading of kernels): it is never among `seconds`.
    """

    seconds: tuple[float, ...]
    first: float

    @property
    def median(self) -> float:
        """The median of the repeats, in seconds per call."""
        return statistics.median(self.seconds)

    def interval(self) -> tuple[float, float]:
        """The 95 % bootstrap interval (low, high) of the median, in seconds per call."""
        return bootstrap_interval(self.seconds)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{_duration(self.median)} [{_duration(low)}, {_duration(high)}], first call {_duration(self.first)}"


@dataclass(frozen=True)
class Comparison:
    """What `compare` measured.

    `ratio`: the median over the pairs of baseline time / variant time, so that above 1 the variant is faster;
    `low`, `high`: its 95 % bootstrap interval.
    """

    baseline: Timing
    variant: Timing
    ratio: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 1.0; if it does not, no difference was measured."""
        return not self.low <= 1.0 <= self.high

    def __str__(self) -> str:
        if not self.differs:
            return f"no measurable difference [{_factor(self.low)}, {_factor(self.high)}]"
        if self.ratio > 1:
            return f"{_factor(self.ratio)}x faster [{_factor(self.low)}, {_factor(self.high)}]"
        return f"{_factor(1 / self.ratio)}x slower [{_factor(1 / self.high)}, {_factor(1 / self.low)}]"


def time_call(fn: Callable[[], object], *, device="cpu", warmup: int = 3, repeats: int = 10, calls: int = 1) -> Timing:
    """Time `fn()`: a first call, kept apart, `warmup` calls without the clock, then `repeats` timings of `calls` calls.

    Waits for the device before the clock starts and before it stops. Use more `calls` for what takes only microseconds.
    Raises ValueError for a setting that is not allowed.
    """
    _check_timing(warmup, repeats, calls, least=1)
    first = _warmed(fn, "fn", device, warmup)
    return Timing(tuple(_seconds_per_call(fn, device, calls) for _ in range(repeats)), first)


def compare(
    baseline: Callable[[], object],
    variant: Callable[[], object],
    *,
    device="cpu",
    warmup: int = 3,
    repeats: int = 11,
    calls: int = 1,
) -> Comparison:
    """Time both functions in `repeats` interleaved pairs, each time in the other order, and compare them pair by pair.

    Raises ValueError for a setting that is not allowed; at least MIN_PAIRS pairs, for fewer cannot carry an interval.
    """
    _check_timing(warmup, repeats, calls, least=MIN_PAIRS)
    firsts = [_warmed(baseline, "baseline", device, warmup), _warmed(variant, "variant", device, warmup)]
    seconds = _in_turns({"baseline": baseline, "variant": variant}, device, repeats, calls)
    if min(seconds["variant"]) <= 0:
        raise ValueError(f"calls: {calls} calls are too short for the clock to see; allowed is a larger number")
    ratios = [b / v for b, v in zip(*seconds.values(), strict=True)]
    low, high = bootstrap_interval(ratios)
    timings = [Timing(tuple(s), first) for s, first in zip(seconds.values(), firsts, strict=True)]
    return Comparison(*timings, ratio=statistics.median(ratios), low=low, high=high)


def interleaved(
    work: Mapping[Hashable, Callable[[], object]], *, device="cpu", repeats: int = 7, calls: int = 1
) -> dict[Hashable, list[float]]:
    """Seconds per call of several functions: `repeats` rounds in which each has its turn of `calls` calls, every other
    round in the reverse order. Values at one place belong to one round, so they can be compared in pairs. A first round
    warms up and does not count. Raises ValueError for a setting that is not allowed.
    """
    _check_timing(0, repeats, calls, least=1)
    for name, fn in work.items():
        check_callable(f"work[{name!r}]", fn)
    _in_turns(work, device, 1, calls)
    return _in_turns(work, device, repeats, calls)


def count_flops(fn: Callable[[], object]) -> int:
    """The floating-point operations of the matrix products, convolutions and attention in `fn()`, forward and backward.

    A multiplication and an addition count as 2: (m, k) @ (k, n) costs 2 m n k. Elementwise operations count as 0, as is
    usual (`torch.utils.flop_counter`).
    """
    from torch.utils.flop_counter import FlopCounterMode

    check_callable("fn", fn)
    with FlopCounterMode(display=False, custom_mapping=_attention_on_cpu()) as counter:
        fn()
    return counter.get_total_flops()


def matmul_rate(n: int, dtype: torch.dtype = torch.float32, device="cpu") -> float:
    """The median rate, in FLOP/s, of an (n, n) @ (n, n) product: the compute ceiling of the roofline.

    Roofline: S. Williams, A. Waterman, D. Patterson, Communications of the ACM 52 (2009).
    """
    check_whole("n", n, 1)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"dtype: {dtype!r} is not allowed; it is a torch.dtype, for instance torch.bfloat16")
    # random numbers: on some GPUs a product of constants draws less power and so runs faster than real data will
    left, right = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * n**3 / time_call(lambda: torch.mm(left, right, out=out), device=device).median


def copy_bandwidth(nbytes: int, device="cpu") -> float:
    """The median rate, in bytes/s read plus written, of copying `nbytes` bytes: the memory ceiling of the roofline.

    Take far more bytes than the caches hold, or you measure a cache.
    """
    check_whole("nbytes", nbytes, 1)
    source = torch.ones(nbytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * nbytes / time_call(lambda: target.copy_(source), device=device).median


def _attention_on_cpu() -> dict:
    """The formulas for the CPU's fused attention, which torch 2.13 counts as 0; its own, as it has them for CUDA's."""
    from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

    def forward(query, key, value, *_, **__) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(gradient, query, key, value, *_, **__) -> int:
        return sdpa_backward_flop_count(gradient, query, key, value)

    aten = torch.ops.aten
    return {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }


def _warmed(fn: Callable[[], object], name: str, device, warmup: int) -> float:
    check_callable(name, fn)
    first = _seconds_per_call(fn, device, 1)
    for _ in range(warmup):
        fn()
    return first


def _in_turns(work: Mapping, device, rounds: int, calls: int) -> dict[Hashable, list[float]]:
    """Seconds per call of each function, round by round; every other round goes through them in the reverse order."""
    seconds: dict[Hashable, list[float]] = {name: [] for name in work}
    for number in range(rounds):
        for name in list(work)[:: -1 if number % 2 else 1]:
            seconds[name].append(_seconds_per_call(work[name], device, calls))
    return seconds


def _seconds_per_call(fn: Callable[[], object], device, calls: int) -> float:
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        fn()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def _duration(seconds: float) -> str:
    scale, unit = (1, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")
    return f"{seconds * scale:.3g} {unit}"


def _factor(value: float) -> str:
    return f"{value:.3f}" if abs(value - 1) < 0.1 else f"{value:.2f}"  # close to 1, two digits would hide the side of 1


def _check_timing(warmup: int, repeats: int, calls: int, least: int) -> None:
    check_whole("warmup", warmup, 0)
    check_whole("repeats", repeats, least)
    check_whole("calls", calls, 1)
