"""The ruler: time with warm-up and repeats, paired comparison with an interval, memory, saved bytes, FLOPs, the two ceilings.

What counts exactly (bytes, FLOPs) comes before the clock: it is the same on every run. Time is reported with every repeat
that was measured, and two things are compared in interleaved pairs, so that a slow minute of the machine hits both.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from course_lib.device import synchronize

MIN_PAIRS = 5  # of 5 pairs, the smallest and the largest ratio enclose the true median in 15 of 16 cases; of fewer, too rarely


@dataclass(frozen=True)
class Timing:
    """What `time_call` measured. `seconds` per call, one for each repeat; `first`: the very first call, in seconds.

    The first call pays for what is done once (compilation, allocation, loading of kernels): it is never among `seconds`.
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
    """What `compare` measured. `ratio`: median over the pairs of baseline time / variant time (above 1: the variant is faster);
    `low`, `high`: its 95 % bootstrap interval."""

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
    """Time `fn()`: one first call (kept apart), then `warmup` calls that are not timed, then `repeats` timings of `calls` calls.

    Waits for the device before the clock starts and before it stops. Use `calls` above 1 for what takes only microseconds.
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
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(repeats):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            seconds[which].append(_seconds_per_call((baseline, variant)[which], device, calls))
    if min(seconds[1]) <= 0:
        raise ValueError(f"calls: {calls} calls are too short for the clock to see; allowed is a larger number")
    ratios = [b / v for b, v in zip(*seconds, strict=True)]
    low, high = bootstrap_interval(ratios)
    timings = [Timing(tuple(s), first) for s, first in zip(seconds, firsts, strict=True)]
    return Comparison(*timings, ratio=statistics.median(ratios), low=low, high=high)


def bootstrap_interval(
    values: Sequence[float], statistic: Callable = np.median, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of a statistic, after B. Efron, "Bootstrap methods" (1979).

    `values`: one-dimensional, finite. `statistic` takes an array and `axis`, as np.median and np.mean do. The same seed gives
    the same interval. A single value gives an interval of no width. Raises ValueError for bad input.
    """
    data = _numbers(values, least=1)
    if not 0 < level < 1:
        raise ValueError(f"level: {level!r} is not allowed; it lies between 0 and 1, for instance 0.95")
    _check_whole("resamples", resamples, 1)
    draws = np.random.default_rng(seed).integers(0, len(data), size=(resamples, len(data)))
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = np.quantile(statistic(data[draws], axis=1), tails)
    return float(low), float(high)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """(mean, half_width) of the Student t interval of the mean: for accuracies over seeds. Needs two values or more.

    Raises ValueError for fewer values, values that are not finite, or a level outside (0, 1).
    """
    data = _numbers(values, least=2)
    if not 0 < level < 1:
        raise ValueError(f"level: {level!r} is not allowed; it lies between 0 and 1, for instance 0.95")
    half = _student_t(level, len(data) - 1) * data.std(ddof=1) / math.sqrt(len(data))
    return float(data.mean()), float(half)


def peak_memory(fn: Callable[[], object], device="cpu") -> int:
    """The most bytes of tensor memory in use at once while `fn()` runs, above what was in use when it began.

    CUDA: `torch.cuda.max_memory_allocated`. CPU: every allocation and release of torch's allocator, replayed in order from
    the profiler: exact for tensors, temporaries inside an operation and the backward pass included. Not seen on the CPU:
    memory that is not torch's (NumPy arrays, Python objects, scratch buffers that oneDNN and MKL allocate for themselves).
    """
    _check_callable("fn", fn)
    device = torch.device(device)
    if device.type != "cuda":
        return _cpu_peak(fn)
    synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    start = torch.cuda.memory_allocated(device)
    fn()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) - start


def saved_bytes(fn: Callable[[], object]) -> int:
    """The most bytes that autograd holds for the backward pass at one time while `fn()` runs.

    Each storage counts once, whole, however many operations saved it. Parameters (nn.Parameter) and views of them do not
    count: they exist anyway. A bfloat16 copy of a weight made by autocast does count, and so do inputs. What a backward pass
    releases no longer counts, so a step that accumulates over micro-batches shows the bytes of one of them. Inside
    `torch.utils.checkpoint`, only what it keeps counts, not what it recomputes: `peak_memory` shows that.
    """
    _check_callable("fn", fn)
    ledger = _Ledger()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Held(tensor, ledger), lambda held: held.tensor):
        fn()
    return ledger.peak


def count_flops(fn: Callable[[], object]) -> int:
    """The floating-point operations of the matrix products, convolutions and attention in `fn()`, backward pass included.

    A multiplication and an addition count as 2: (m, k) @ (k, n) costs 2 m n k. Elementwise operations count as 0, as is
    usual (`torch.utils.flop_counter`).
    """
    from torch.utils.flop_counter import FlopCounterMode

    _check_callable("fn", fn)
    with FlopCounterMode(display=False) as counter:
        fn()
    return counter.get_total_flops()


def parameter_bytes(model: nn.Module) -> int:
    """The bytes of a model's parameters; a tied (shared) parameter counts once, and buffers do not count."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: {type(model).__name__} is not allowed; it is a torch.nn.Module")
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def matmul_rate(n: int, dtype: torch.dtype = torch.float32, device="cpu") -> float:
    """The median rate, in FLOP/s, of an (n, n) @ (n, n) product: the compute ceiling of the roofline (Williams et al., 2009)."""
    _check_whole("n", n, 1)
    left, right = (torch.ones(n, n, dtype=dtype, device=device) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * n**3 / time_call(lambda: torch.mm(left, right, out=out), device=device).median


def copy_bandwidth(nbytes: int, device="cpu") -> float:
    """The median rate, in bytes/s read plus written, of copying `nbytes` bytes: the memory ceiling of the roofline.

    Take far more bytes than the caches hold, or you measure a cache.
    """
    _check_whole("nbytes", nbytes, 1)
    source = torch.ones(nbytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * nbytes / time_call(lambda: target.copy_(source), device=device).median


class _Ledger:
    """Counts how many holders each storage has, and the bytes of all held storages: now, and at most."""

    def __init__(self):
        self.holders: dict[int, int] = {}
        self.bytes = self.peak = 0

    def change(self, storage: torch.UntypedStorage, by: int) -> None:
        key = storage.data_ptr()  # unique for as long as someone holds it
        before = self.holders.get(key, 0)
        self.holders[key] = before + by
        if before == 0 or before + by == 0:
            self.bytes += by * storage.nbytes()
            self.peak = max(self.peak, self.bytes)


class _Held:
    """One tensor that autograd saved. Autograd drops it when the graph is released; the ledger notices."""

    def __init__(self, tensor: torch.Tensor, ledger: _Ledger):
        self.tensor = tensor.detach()  # the tensor itself would refer back to the graph, which would then never be released
        owner = tensor if tensor._base is None else tensor._base
        self.ledger = None if isinstance(owner, nn.Parameter) else ledger
        self._count(1)

    def _count(self, by: int) -> None:
        if self.ledger is not None:
            self.ledger.change(self.tensor.untyped_storage(), by)

    def __del__(self):
        self._count(-1)


def _cpu_peak(fn: Callable[[], object]) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler writes lines of its own to stderr
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        fn()
    cpu = torch.autograd.DeviceType.CPU
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]" and e.device_type() == cpu]
    in_use = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        in_use += event.nbytes()
        peak = max(peak, in_use)
    return peak


def _warmed(fn: Callable[[], object], name: str, device, warmup: int) -> float:
    _check_callable(name, fn)
    first = _seconds_per_call(fn, device, 1)
    for _ in range(warmup):
        fn()
    return first


def _seconds_per_call(fn: Callable[[], object], device, calls: int) -> float:
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        fn()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def _student_t(level: float, degrees: int) -> float:
    """The t that |T| stays below with probability `level`: bisection of the closed form for a whole number of degrees of
    freedom (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4)."""
    low, high = 0.0, 1.0
    while _student_within(high, degrees) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, degrees) < level else (low, middle)
    return high


def _student_within(t: float, degrees: int) -> float:
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total


def _numbers(values: Sequence[float], least: int) -> np.ndarray:
    data = np.asarray(values, dtype=float)
    if data.ndim != 1 or len(data) < least or not np.isfinite(data).all():
        raise ValueError(f"values: {values!r} is not allowed; it is a list of {least} or more finite numbers")
    return data


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            break
    return f"{seconds * scale:.3g} {unit}"


def _factor(value: float) -> str:
    return f"{value:.3f}" if abs(value - 1) < 0.1 else f"{value:.2f}"  # close to 1, two digits would hide the side of 1


def _check_timing(warmup: int, repeats: int, calls: int, least: int) -> None:
    _check_whole("warmup", warmup, 0)
    _check_whole("repeats", repeats, least)
    _check_whole("calls", calls, 1)


def _check_whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: {value!r} is not allowed; it is a whole number of {least} or more")


def _check_callable(name: str, fn: object) -> None:
    if not callable(fn):
        raise ValueError(f"{name}: {fn!r} is not allowed; it is a function without arguments, for instance lambda: model(x)")
