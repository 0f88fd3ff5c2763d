"""Claims on all of it together: the stack of techniques, its price, and hardware that is not here."""

from statistics import mean

from course_lib.intervals import bootstrap_interval, mean_interval
from course_lib.ledger.finding import UNTESTABLE, Claim, Finding, Records, plus_minus, span, where


def software_alone(records: Records) -> Finding | None:
    """B11: the factor in time to target of the whole stack, task by task; all of its interval lies from 2.3 on."""
    runs = records.of("90", "altogether")
    if not runs:
        return None
    good = [r.knobs["task"] for r in runs if bootstrap_interval(r.values["speedup"])[0] >= 2.3]
    said = ", ".join(f"{r.knobs['task']} {r.median('speedup'):.1f}" for r in runs)
    return Finding(where(good, len(runs)), f"times as fast to the target by software alone: {said}")


def two_to_five(records: Records) -> Finding | None:
    """B14: twice as fast, and an interval of the accuracy lost that excludes more than half a point."""
    runs = records.of("90", "altogether")
    if not runs:
        return None
    good = [r.knobs["task"] for r in runs if r.median("speedup") >= 2 and sum(mean_interval(r.values["lost"])) <= 0.5]
    said = ", ".join(f"{r.knobs['task']} {r.median('speedup'):.1f} ({plus_minus(r.values['lost'])})" for r in runs)
    return Finding(where(good, len(runs)), f"times as fast (points lost): {said}")


def interrupted(records: Records) -> Finding | None:
    """D8: what a real run on a machine that is taken away costs in time, against the discount that pays for it."""
    real = records.of("80", "interrupted", source="real")
    even = records.one("80", "break-even")
    if not (real and even):
        return None
    discount = even.median("price_ratio")
    overheads = [mean(r.values["overhead"]) for r in real]  # bills add up
    paid = [r.knobs["interval"] for r, times in zip(real, overheads, strict=True) if times * discount < 1]
    good = [f"checkpoints every {interval:.2g} s" for interval in paid]
    said = f"a run with kills takes {span(overheads)} times as long, on a machine at {discount:.0%} of the price"
    return Finding(where(good, len(real)), said)


def tpu(records: Records) -> Finding:
    """B16: no TPU here, and no GPU cluster."""
    return Finding(UNTESTABLE, "no machine of this course has a TPU, and none is a GPU cluster")


CLAIMS = [
    Claim("B11", "software alone took BERT-base from 8 to 3.5 days (2.3 times)", "90_capstone", software_alone),
    Claim("B14", "speed up, verify, adjust: 2-5 times faster for at most 0.5 points", "90_capstone", two_to_five),
    Claim("B16", "TPU v4 is 3-5 times a GPU cluster", "", tpu),
    Claim("D8", "cost monitoring and interruptible machines get more from each unit of compute", "80_cost", interrupted),
]
