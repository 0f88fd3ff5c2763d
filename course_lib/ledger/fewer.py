"""Claims on fewer steps and fewer runs: optimizers, warm-up, search, stopping."""

import numpy as np

from course_lib.intervals import bootstrap_interval, mean_interval
from course_lib.ledger.finding import FAILS, HOLDS, OPEN, Claim, Finding, Records, differences, plus_minus, where

PLAIN = "no warm-up, constant"


def _fewer_steps(records: Records, optimizers: tuple[str, ...], least: float) -> Finding | None:
    """Steps to target saved against SGD, all tuned alike: the whole interval has to lie above `least` per cent."""
    runs = [r for name in optimizers for r in records.of("50", name) if "fewer_than_SGD" in r.values]
    if not runs:
        return None
    ends = {(r.variant, r.knobs["task"]): mean_interval(r.values["fewer_than_SGD"]) for r in runs}
    good = [f"{name} on {task}" for (name, task), (mean, half) in ends.items() if mean - half > least]
    lost = [key for key, (mean, half) in ends.items() if mean + half < least]
    verdict = HOLDS if len(good) == len(ends) else f"holds for {'; '.join(good)}" if good else FAILS if lost else OPEN
    said = "; ".join(f"{name} on {task} {mean:+.0f} ± {half:.0f} %" for (name, task), (mean, half) in ends.items())
    return Finding(verdict, f"steps saved: {said}")


def adaptive_rates(records: Records) -> Finding | None:
    """A6."""
    return _fewer_steps(records, ("Adagrad", "Adam"), 0)


def a_third_fewer(records: Records) -> Finding | None:
    """B5."""
    return _fewer_steps(records, ("AdamW", "LAMB"), 30)


def warm_up(records: Records) -> Finding | None:
    """B6: runs that fail without either and not with both, in pairs of the same seed, optimizer and rate."""
    runs = {(r.knobs["arm"], r.knobs["optimizer"], r.knobs["rate"]): r.values["failed"] for r in records.of("50", "survival")}
    cases = [key[1:] for key in runs if key[0] == PLAIN and ("warm-up, cosine", *key[1:]) in runs]
    if not cases:
        return None
    before, after = ([f for case in cases for f in runs[arm, *case]] for arm in (PLAIN, "warm-up, cosine"))
    low, high = bootstrap_interval([b - a for b, a in zip(before, after, strict=True)], statistic=np.mean)
    verdict = "holds when the rate is bold" if low > 0 else OPEN if high > 0 else FAILS
    said = f"{sum(before) / len(before):.0%} of the runs fail, with warm-up and cosine {sum(after) / len(after):.0%}"
    return Finding(verdict, said)


def shorter_runs(records: Records) -> Finding | None:
    """B12: a quarter of the FLOPs saved, and the interval of the accuracy gained above -0.5 points."""
    ways = ("small pictures first", "curriculum", "early stopping, patience 2")
    runs = {way: records.one("51", way) for way in ways}
    if not all(runs.values()):
        return None
    good, said = [], []
    for way, run in runs.items():
        saved, (gain, half) = mean_interval(run.values["saved"])[0], mean_interval(run.values["gained"])
        said.append(f"{saved:.0%} by {way} ({gain:+.1f} ± {half:.1f} points)")
        good += [way] if saved >= 0.25 and gain - half >= -0.5 else []
    return Finding(where(good, len(ways)), f"FLOPs saved: {'; '.join(said)}")


def adaptive_search(records: Records) -> Finding | None:
    """D7: each adaptive searcher against random search at equal epochs, the intervals widened to hold together."""
    runs = {(r.variant, r.knobs["budget"]): r for r in records.of("51") if "budget" in r.knobs}
    rivals = [key for key in runs if key[0] != "random" and ("random", key[1]) in runs]
    if not rivals:
        return None
    ahead = {key: differences(runs[key], runs["random", key[1]]) for key in rivals}
    level = 1 - 0.05 / len(rivals)
    good = [f"{name} at {budget} epochs" for (name, budget), points in ahead.items() if _above(points, level)]
    best = max(ahead, key=lambda key: mean_interval(ahead[key])[0])
    lead = f"{plus_minus(ahead[best])} points ({best[0]}, {best[1]} epochs)"
    said = f"{len(good)} of {len(rivals)} contests won; the largest lead {lead}"
    return Finding(HOLDS if len(good) == len(rivals) else f"holds for {'; '.join(good)}" if good else OPEN, said)


def _above(points: list[float], level: float) -> bool:
    mean, half = mean_interval(points, level=level)
    return mean > half


CLAIMS = [
    Claim("A6", "Adagrad and Adam converge faster", "50_adaptive_learning_rates", adaptive_rates),
    Claim("B5", "AdamW and LAMB need 30-50 % fewer epochs than SGD", "50_adaptive_learning_rates", a_third_fewer),
    Claim("B6", "warm-up and annealing prevent early instability", "50_adaptive_learning_rates", warm_up),
    Claim("B12", "progressive training, curriculum and early stopping save 25-40 %", "51_search_and_stop", shorter_runs),
    Claim("D7", "a parallel, adaptive search finds better configurations", "51_search_and_stop", adaptive_search),
]
