"""Claims on the cost of one training step: measuring it, another device, 16 bits, memory, and feeding it."""

from statistics import median

import torch

from course_lib.intervals import bootstrap_interval, mean_interval
from course_lib.ledger.finding import FAILS, HOLDS, OPEN, WRONG, Claim, Finding, Records, plus_minus, span, where

NETS = ("glyph CNN", "LM d256", "LM d64")


def frames_per_second(records: Records) -> Finding | None:
    """C7: by what factor 1 / (time of a call) misses the throughput that was measured."""
    runs = sorted(records.of("01", "small_cnn"), key=lambda r: r.knobs["batch"])
    if not runs:
        return None
    pairs = {r.knobs["batch"]: zip(r.values["throughput"], r.values["latency"], strict=True) for r in runs}
    missed = {batch: median(rate * seconds for rate, seconds in timed) for batch, timed in pairs.items()}
    fits = [str(batch) for batch, factor in missed.items() if 0.75 < factor < 1.33]
    best = max(runs, key=lambda r: r.median("throughput"))
    gain = best.median("throughput") / runs[0].median("throughput")
    return Finding(
        HOLDS if len(fits) == len(runs) else f"holds for batches of {' or '.join(fits)}" if fits else FAILS,
        f"off by a factor of {missed[max(missed)]:.0f} at batch {max(missed)}; batches of {best.knobs['batch']} bring "
        f"{gain:.1f} times as many frames per second",
    )


def constant_factor(records: Records) -> Finding | None:
    """A1: whether one factor lies in the intervals of all models and batch sizes, widened to hold together (Bonferroni)."""
    runs = [r for r in records.of("10") if "speedup" in r.values]
    contest = next((name for name in ("GPU against CPU", "two CPU configurations") if name in {r.variant for r in runs}), None)
    runs = [r for r in runs if r.variant == contest]
    if not runs:
        return None
    ends = [bootstrap_interval(r.values["speedup"], level=1 - 0.05 / len(runs)) for r in runs]
    constant = max(low for low, _ in ends) <= min(high for _, high in ends)
    factors = span([r.median("speedup") for r in runs])
    return Finding(HOLDS if constant else FAILS, f"{len(runs)} factors, {factors} ({contest})")


def _sixteen_bits(records: Records) -> dict[str, float]:
    """{case: how many times as fast as fp32}."""
    runs = [r for r in records.of("11") if r.variant in NETS and r.knobs["precision"] in ("bf16", "fp16")]
    return {f"{r.variant} in {r.knobs['precision']} at batch {r.knobs['batch']}": r.median("speedup") for r in runs}


def _machine_words(records: Records) -> str:
    machine = records.of("11")[0].machine
    if machine["device"] != "cpu":
        return machine["gpu"]
    return f"a CPU {'with' if machine['bf16_units'] else 'without'} bf16 units"


def twice_as_fast(records: Records) -> Finding | None:
    """A3: two halves, the standard number and the factor."""
    factors, bits = _sixteen_bits(records), torch.finfo(torch.get_default_dtype()).bits
    if not factors:
        return None
    fast = [case for case, factor in factors.items() if factor >= 2]
    verdict = where(fast, len(factors)) if bits == 64 else WRONG
    said = f"PyTorch's standard number has {bits} bits; on {_machine_words(records)} 16 bits are "
    return Finding(verdict, f"{said}{span([*factors.values()])} times as fast")


def faster_and_more_accurate(records: Records) -> Finding | None:
    """A4: the interval of the paired accuracies, and whether any case is faster."""
    factors, trained = _sixteen_bits(records), records.one("11", "glyph CNN trained", precision="bf16")
    if not factors or trained is None:
        return None
    gains = [100 * gain for gain in trained.values["accuracy_gained"]]
    mean, half = mean_interval(gains)
    verdict = HOLDS if mean > half and min(factors.values()) > 1 else FAILS
    return Finding(verdict, f"{span([*factors.values()])} times as fast; accuracy {plus_minus(gains)} points")


def memory_over_omega(records: Records) -> Finding | None:
    """A5: by what each of its three remedies divides memory; less than 2 % is called nothing."""
    kind = "real" if records.of("12", "allocator, real") else "simulated"
    held = {tuple(r.knobs.values()): r.median("reserved") for r in records.of("12", f"allocator, {kind}")}
    relu, csr = records.of("12", "in-place ReLU"), {r.knobs["density"]: r for r in records.of("12", "CSR")}
    if not held or not relu or not csr:
        return None
    omegas = [held[order, False] / held[order, True] for order in sorted({order for order, _ in held})]
    omegas += [r.median("before") / r.median("peak") for r in relu]
    omegas += [csr[density].median("dense") / csr[density].median("csr") for density in (0.05, 0.5) if density in csr]
    saving = sum(omega > 1.02 for omega in omegas)
    verdict = HOLDS if saving == len(omegas) else "holds when you choose well" if saving else FAILS
    return Finding(verdict, f"{saving} of {len(omegas)} remedies save memory; ω from {span(omegas)} (allocator: {kind})")


def amp_listing(records: Records) -> Finding | None:
    """A7: the function that it calls, and what the missing loss scale costs."""
    gradients = records.one("11", "gradients")
    if gradients is None:
        return None
    known = any(hasattr(place, "initialize") for place in (torch.amp, torch.autocast, torch.amp.GradScaler))
    lost = gradients.median("lost in fp16")
    word = "has" if known else "has no"
    said = f"torch {word} such `initialize`; without a loss scale {lost:.0%} of the gradients become 0 in fp16"
    return Finding(WRONG if not known or lost > 0 else HOLDS, said)


def forty_per_cent(records: Records) -> Finding | None:
    """B2: 40 % of the time saved is 1.67 times as fast; 2 % dearer hardware pays from 1.02 times on."""
    factors = _sixteen_bits(records)
    if not factors:
        return None
    good = [case for case, factor in factors.items() if factor >= 1 / 0.6]
    cheaper = sum(factor >= 1.02 for factor in factors.values())
    said = f"1.67 times as fast in {len(good)} of {len(factors)} cases on {_machine_words(records)}, cheaper in {cheaper}"
    return Finding(where(good, len(factors)), said)


def larger_batches(records: Records) -> Finding | None:
    """D1: the factor, and how many more samples fit into the bytes that one more sample keeps."""
    factors, more = _sixteen_bits(records), []
    for net in NETS:
        kept = {(r.knobs["precision"], r.knobs["batch"]): r.median("kept") for r in records.of("11", net)}
        batches = sorted(batch for precision, batch in kept if precision == "bf16")
        if len(batches) > 1:
            grown = {p: kept[p, batches[-1]] - kept[p, batches[0]] for p in ("fp32", "bf16")}
            more.append(grown["fp32"] / grown["bf16"])
    if not factors or not more:
        return None
    fast, larger = min(factors.values()) >= 2, min(more) > 1
    verdict = HOLDS if fast and larger else "holds for the batch, not the speed" if larger else FAILS
    said = f"{span(more, '.1f')} times as many samples in the same bytes; {span([*factors.values()])} times as fast"
    return Finding(verdict, said)


def waiting_for_data(records: Records) -> Finding | None:
    """B1: the wait share of the plain pipeline."""
    plain = records.one("20", "plain")
    if plain is None:
        return None
    share = plain.median("wait share")
    return Finding(HOLDS if share > 0.6 else FAILS, f"the plain pipeline waits {share:.0%} of its time")


def busy(records: Records) -> Finding | None:
    """B10: the best utilisation that a pipeline reached."""
    used = {r.variant: 1 - r.median("wait share") for r in records.of("20") if "wait share" in r.values}
    if not used:
        return None
    best = max(used, key=used.get)
    verdict = f"holds for {best}" if used[best] > 0.85 else FAILS
    return Finding(verdict, f"busy {used['plain']:.0%} of the time plain, {used[best]:.0%} {best}")


def decoding_in_parallel(records: Records) -> Finding | None:
    """D4: samples per second with a worker a core against none, and against decoding once."""
    plain, crew, once = (records.one("20", name) for name in ("plain", "a worker per core", "cached, by batches"))
    if not (plain and crew and once):
        return None
    gains = [new / old for new, old in zip(crew.values["throughput"], plain.values["throughput"], strict=True)]
    low, high = bootstrap_interval(gains)
    more = once.median("throughput") / plain.median("throughput")
    verdict = "holds when nothing can be decoded once" if low > 1 and more > high else HOLDS if low > 1 else FAILS
    verdict = OPEN if low <= 1 < high and more <= 1 else verdict
    return Finding(verdict, f"{low:.2f} to {high:.2f} times the samples per second in parallel, {more:.1f} times decoded once")


CLAIMS = [
    Claim("A1", "a GPU divides the CPU's time by a constant factor", "10_gpu_move", constant_factor),
    Claim("A3", "mixed precision replaces 64-bit numbers, and 16 bits are 2 times faster", "11_mixed_precision", twice_as_fast),
    Claim("A4", "mixed precision raises speed and accuracy", "11_mixed_precision", faster_and_more_accurate),
    Claim("A5", "allocator, tensor reuse and sparse storage divide memory by ω", "12_memory", memory_over_omega),
    Claim("A7", "a listing that sets mixed precision up, without a loss scale", "11_mixed_precision", amp_listing),
    Claim("B1", "over 60 % of training time can go to preparing data", "20_data_loading", waiting_for_data),
    Claim("B2", "mixed precision saves 40 % of the time for 2 % more hardware cost", "11_mixed_precision", forty_per_cent),
    Claim("B10", "a good input pipeline keeps the device busy above 85 %", "20_data_loading", busy),
    Claim("C7", "frames per second is 1 / total time", "01_measuring", frames_per_second),
    Claim("D1", "mixed precision is 2-3 times faster and allows larger batches", "11_mixed_precision", larger_batches),
    Claim("D4", "the CPU must decode and augment in parallel, or the device starves", "20_data_loading", decoding_in_parallel),
]
