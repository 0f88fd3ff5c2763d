"""Claims on smaller models: pruning, quantization, distillation."""

import torch

from course_lib import compress
from course_lib.intervals import bootstrap_interval, mean_interval
from course_lib.ledger.finding import FAILS, HOLDS, OPEN, WRONG, Claim, Finding, Records, differences, plus_minus, span


def a_third_for_free(records: Records) -> Finding | None:
    """B3: removed channels that save 30 % of the MACs and cost at most one point on average."""
    whole, runs = records.one("40", "base model"), records.of("40", "fine-tuned", method="removed channels")
    if not (whole and runs):
        return None
    lost = {}
    for r in runs:
        points = [100 * (whole.median("accuracy") - share) for share in r.values["accuracy"]]
        lost[1 - r.median("macs") / whole.median("macs"), r.knobs["repair"]] = points
    good = {key: points for key, points in lost.items() if key[0] >= 0.3 and mean_interval(points)[0] <= 1}
    shown = min(good or lost, key=lambda key: mean_interval(lost[key])[0])
    verdict = "holds when channels go and the repair is long" if good else FAILS
    return Finding(verdict, f"{shown[0]:.0%} of the MACs gone, {plus_minus(lost[shown], '.1f')} points lost")


def an_eighth_of_the_parameters(records: Records) -> Finding | None:
    """B4: bytes of depthwise separable nets that lose at most two points to the plain one, the interval included."""
    plain = records.one("40", "trained from scratch", method="narrow, from scratch")
    nets = records.of("40", "trained from scratch", method="depthwise separable")
    if not (plain and nets):
        return None
    lost = {r.knobs["width"]: differences(plain, r) for r in nets}
    fewer = {r.knobs["width"]: plain.median("bytes") / r.median("bytes") for r in nets}
    said = ", ".join(f"{fewer[w]:.1f} times fewer bytes at {plus_minus(lost[w], '.1f')} points lost" for w in fewer)
    equal = [fewer[width] for width, points in lost.items() if sum(mean_interval(points)) <= 2]
    return Finding(HOLDS if max(equal, default=0) >= 8 else FAILS, f"depthwise separable: {said}")


def _weights() -> torch.Tensor:
    """All weights of the shared base model, flat."""
    return torch.cat([weight.detach().flatten() for weight in compress.base_model().parameters() if weight.dim() > 1])


def threshold_listing(records: Records) -> Finding | None:
    """C1: computed here, on the base model's weights: what its comparison removes."""
    weights = _weights()
    limit = weights.abs().median()
    gone = weights > limit  # as listed: no magnitude, and the large ones go
    meant = weights.abs() <= limit
    large = gone[weights.abs().topk(1000).indices].float().mean().item()
    said = (
        f"of the {int(meant.sum()):,} smallest weights it removes {int((gone & meant).sum())}, of the 1,000 largest {large:.0%}"
    )
    return Finding(HOLDS if torch.equal(gone, meant) else WRONG, said)


def top_k(records: Records) -> Finding | None:
    """C3: computed here: keeping the k largest magnitudes against zeroing those below the matching threshold."""
    magnitudes = _weights().abs()
    k = len(magnitudes) // 10
    kept = magnitudes.topk(k)
    same = torch.equal(
        magnitudes >= kept.values[-1], torch.zeros(len(magnitudes), dtype=torch.bool).index_fill(0, kept.indices, True)
    )
    return Finding(
        HOLDS if same else FAILS, f"the {k:,} largest of {len(magnitudes):,} weights are those above the threshold: {same}"
    )


def rounding_listing(records: Records) -> Finding | None:
    """C4: computed here, rounding without a scale; beside it what a scale keeps, from the records."""
    scaled = records.one("41", "bits", bits=8, scales="one scale a channel")
    if scaled is None:
        return None
    zeros = (_weights().round().clamp(-255, 255) == 0).float().mean().item()
    kept = scaled.median("share_right")
    said = f"{zeros:.1%} of the weights become 0; 8 bits with a scale keep an accuracy of {kept:.1%}"
    return Finding(WRONG if zeros > 0.9 else HOLDS, said)


def binary_listing(records: Records) -> Finding | None:
    """C5: computed here: 2 ** abs(log2 |w|) is 1 / |w| for weights below 1."""
    trained = records.one("41", "binary, trained")
    if trained is None:
        return None
    weights = _weights()
    listed = weights.sign() * 2 ** weights.abs().log2().abs()
    sizes = len(listed.abs().unique())
    reached = trained.median("accuracy")
    said = f"a weight of 0.01 becomes 100, and {sizes:,} sizes remain; binary weights, trained as such, reach {reached:.1%}"
    return Finding(WRONG if sizes > 2 else HOLDS, said)


def divergence_listing(records: Records) -> Finding | None:
    """C2: the direction of the divergence, seed by seed, on equal pictures."""
    forward, reverse = (records.one("42", "equal pictures", arm=arm) for arm in ("teacher, T = 4", "teacher, T = 4, reverse"))
    if not (forward and reverse):
        return None
    turned = differences(reverse, forward)
    mean, half = mean_interval(turned)
    verdict = "holds when it is turned round" if mean + half < 0 else HOLDS if mean - half > 0 else OPEN
    return Finding(verdict, f"KL(student, teacher) against KL(teacher, student): {plus_minus(turned)} points")


def engines(records: Records) -> Finding | None:
    """D2: int8 against float32 in the same engine; what training through the rounding costs. *Far above* is twice."""
    runs = [r for r in records.of("41", "engines") if "compiled" not in r.knobs["way"]]
    training = records.of("41", "training step")
    if not (runs and training):
        return None
    far = [r for r in runs if r.median("speedup") >= 2 and bootstrap_interval(r.values["speedup"])[0] > 1]
    batches = {}
    for r in far:
        batches.setdefault(f"{r.knobs['model']}, {r.knobs['way']}", []).append(f"{r.knobs['batch']}")
    cases = [f"{case}, at batch {' and '.join(sizes)}" for case, sizes in batches.items()]
    verdict = HOLDS if len(far) == len(runs) else f"holds for {'; '.join(cases)}" if far else FAILS
    times, costs = span([r.median("speedup") for r in runs]), span([r.median("cost") for r in training])
    said = f"int8 is {times} times as fast; a step of training for it takes {costs} times as long"
    return Finding(verdict, said)


def structured(records: Records) -> Finding | None:
    """D3: removed channels against zeros, both against the base model, at batch 64."""
    zeros, thinned = (records.one("40", "against the base", net=net, batch=64) for net in ("zeros", "half the channels"))
    if not (zeros and thinned):
        return None
    faster = bootstrap_interval(thinned.values["speedup"])[0] > max(1, zeros.median("speedup"))
    said = f"half the channels: {thinned.median('speedup'):.2f} times as fast, 90 % zeros: {zeros.median('speedup'):.2f}"
    return Finding(HOLDS if faster else FAILS, said)


def distilled(records: Records) -> Finding | None:
    """D5: slower, and better: on equal pictures, and where the teacher labels what nobody else has."""
    equal = records.one("42", "equal pictures", arm="teacher, T = 4")
    few, pseudo = (records.one("42", "transfer set", arm=arm) for arm in ("120 labels", "2,000 pseudo-labels"))
    slower = records.of("42", "step")
    if not (equal and few and pseudo and slower):
        return None
    (mean, half), more = mean_interval(equal.values["gain"]), differences(pseudo, few)
    wins = mean_interval(more)
    verdict = HOLDS if mean > half else "holds when the teacher labels what nobody else has" if wins[0] > wins[1] else FAILS
    said = f"on equal pictures {plus_minus(equal.values['gain'])} points, with 2,000 pseudo-labels {plus_minus(more)}; "
    return Finding(verdict, f"{said}a step takes {span([r.median('slowdown') for r in slower], '.1f')} times as long")


CLAIMS = [
    Claim("B3", "pruning removes 30-50 % of the compute without notable loss", "40_pruning", a_third_for_free),
    Claim("B4", "EfficientNet is as accurate with 1/8 of the parameters", "40_pruning", an_eighth_of_the_parameters),
    Claim("C1", "prune by a threshold; its listing compares without magnitude", "40_pruning", threshold_listing),
    Claim("C2", "distillation adds β · KL(student, teacher)", "42_distillation", divergence_listing),
    Claim("C3", "keep the top-k weights", "40_pruning", top_k),
    Claim("C4", "integers by rounding w · scale; its listing rounds without one", "41_quantization", rounding_listing),
    Claim("C5", "binary weights are sign(w) · 2^abs(log2 abs(w))", "41_quantization", binary_listing),
    Claim("D2", "int8 and int4 run far above fp32 rates; training for them costs extra", "41_quantization", engines),
    Claim("D3", "structured pruning suits hardware better", "40_pruning", structured),
    Claim("D5", "distilling is slower, but gives a better small model", "42_distillation", distilled),
]
