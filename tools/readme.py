"""`make readme`: write the results of the shipped reference into README.md, and draw its picture.

`python -m tools.readme --check` changes nothing and exits with 1 when they are out of date. What a lesson showed is
computed here from its records, by its function in SHOWED.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from course_lib import records
from course_lib.intervals import mean_interval
from course_lib.records import Result
from tools import hygiene
from tools.picture import claim_against_measurement
from tools.reference import RUN

README = hygiene.ROOT / "README.md"
PICTURE = hygiene.ROOT / "tools" / "readme.svg"
BEGIN, END = "<!-- results: written by `make readme` -->\n", "<!-- end of results -->\n"


def shipped() -> list[Result]:
    """The CPU reference that the README tells of; of several the first by name. Raises SystemExit when there is none."""
    cpu = [results for slug, results in sorted(records.references().items()) if slug.startswith("cpu-")]
    if not cpu:
        raise SystemExit("course_lib/reference holds no record of a CPU machine: run `make reference` first")
    return cpu[0]


def sweep(results: list[Result]) -> list[Result]:
    """Lesson 01's results of one network at growing batch sizes."""
    found = [r for r in results if r.lesson == "01_measuring" and r.variant == "small_cnn"]
    return sorted(found, key=lambda result: result.knobs["batch"])


def showed_measuring(results: list[Result]) -> str:
    """Claim C7: by what factor 1 / (time of a call) misses the throughput that was measured."""
    runs = sweep(results)
    if not runs:
        return ""
    pairs = {r.knobs["batch"]: zip(r.values["throughput"], r.values["latency"], strict=True) for r in runs}
    missed = {batch: median(rate * seconds for rate, seconds in timed) for batch, timed in pairs.items()}
    holds = [f"{batch}" for batch, factor in missed.items() if 0.75 < factor < 1.33]
    verdict = f"holds when the batch is {' or '.join(holds)}" if holds else "does not hold here"
    best = max(runs, key=lambda result: result.median("throughput"))
    gain = best.median("throughput") / runs[0].median("throughput")
    return (
        f"{verdict}; at batch {max(missed)} it is off by a factor of {missed[max(missed)]:.0f}. "
        f"Batches of {best.knobs['batch']} bring {gain:.1f} times the frames per second"
    )


def showed_gpu_move(results: list[Result]) -> str:
    """Claim A1: between which factors the faster of two devices lies, over models and batch sizes."""
    runs = [r for r in results if r.lesson == "10_gpu_move" and "speedup" in r.values]
    said = []
    for contest in sorted({r.variant for r in runs}):
        factors = [r.median("speedup") for r in runs if r.variant == contest]
        said.append(f"{contest}: {len(factors)} factors from {min(factors):.2f} to {max(factors):.2f}")
    return "; ".join(said)


def showed_mixed_precision(results: list[Result]) -> str:
    """Claims A3 and A4: how many times as fast bf16 autocast was as fp32, and what it did to the accuracy."""
    runs = [r for r in results if r.lesson == "11_mixed_precision" and r.knobs.get("precision") == "bf16"]
    factors = [r.median("speedup") for r in runs if "speedup" in r.values]
    gained = [r.values["accuracy_gained"] for r in runs if "accuracy_gained" in r.values]
    if not factors or not gained:
        return ""
    mean, half = mean_interval(gained[-1])
    units = "with" if runs[-1].machine["bf16_units"] else "without"
    return (
        f"bf16 on a machine {units} bf16 units: {min(factors):.2f} to {max(factors):.2f} times as fast as fp32; "
        f"accuracy {100 * mean:+.1f} ± {100 * half:.1f} points"
    )


def showed_data_loading(results: list[Result]) -> str:
    """Claims B1, B10, D4: the wait share of the plain pipeline, with workers, and decoded once; what that brought."""
    runs = {r.variant: r for r in results if r.lesson == "20_data_loading" and "wait share" in r.values}
    if not runs:
        return ""
    plain, crew, cached = (runs[name] for name in ("plain", "a worker per core", "cached, by batches"))
    shares = [f"{run.median('wait share'):.0%}" for run in (plain, crew, cached)]
    gain = cached.median("throughput") / plain.median("throughput")
    return (
        f"the plain pipeline waits {shares[0]} of its time, with a worker per core {shares[1]}, decoded once and "
        f"augmented by batches {shares[2]}: {gain:.1f} times the samples per second"
    )


def showed_memory(results: list[Result]) -> str:
    """Claim A5: by what each of its remedies divides the peak, and what divides it more."""
    runs = {(r.variant, *r.knobs.values()): r for r in results if r.lesson == "12_memory" and r.variant != RUN}
    names = ("plain", "recompute", "recompute and micro-batches")
    if not all((name, 8) in runs for name in names):
        return ""
    plain, again, both = (runs[name, 8].median("peak") for name in names)
    relu, half = runs["in-place ReLU", "training"], runs["CSR", 0.5]
    reuse, sparse = relu.median("before") / relu.median("peak"), half.median("dense") / half.median("csr")
    return (
        f"ω is {reuse:.2f} for ReLU in place in training, {sparse:.2f} for CSR at half density, "
        f"{plain / again:.1f} for recompute ({runs['recompute', 8].median('slowdown'):.1f} times the step's time), "
        f"{plain / both:.1f} for recompute with micro-batches"
    )


def showed_ddp(results: list[Result]) -> str:
    """Claim A2: how many times as fast two ranks are, and what that does to the accuracy at the same effective batch."""
    runs = [r for r in results if r.lesson == "30_ddp"]
    factors = [r.median("speedup") for r in runs if "speedup" in r.values]
    seeds = {r.knobs["arm"]: r.values["accuracy"] for r in runs if r.variant == "digits"}
    if not factors or not {"1 rank, batch 64", "2 ranks, 32 each"} <= seeds.keys():
        return ""
    pairs = zip(seeds["2 ranks, 32 each"], seeds["1 rank, batch 64"], strict=True)
    mean, half = mean_interval([100 * (two - one) for two, one in pairs])
    return (
        f"two processes are {min(factors):.2f} to {max(factors):.2f} times as fast as one, by model and batch; "
        f"accuracy at the same effective batch {mean:+.2f} ± {half:.2f} points"
    )


def showed_scaling(results: list[Result]) -> str:
    """Claims A2, B7 and B9: two ranks measured, a hundred simulated, and what one bit an entry saves."""
    runs = [r for r in results if r.lesson == "31_scaling"]
    pairs = [r.median("speedup") for r in runs if r.variant == "two ranks"]
    shares = [r for r in runs if r.variant == "simulated" and r.knobs["ranks"] == 100]
    far = [r.median("simulated_efficiency") for r in shares if r.knobs["way"] not in ("flat", "tree")]
    sent = {r.variant: r for r in runs if "bytes_sent" in r.values}
    if not pairs or not far or not {"fp32", "1 bit"} <= sent.keys():
        return ""
    fewer, faster = (sent["fp32"].median(what) / sent["1 bit"].median(what) for what in ("bytes_sent", "step"))
    return (
        f"two CPU ranks bring {min(pairs):.2f} to {max(pairs):.2f} times the samples of one; simulated at 100 cards: "
        f"{min(far):.0%} to {max(far):.0%} of linear. 1 bit sends {fewer:.0f} times less, in {1 / faster:.1f} times the time"
    )


def showed_pruning(results: list[Result]) -> str:
    """Claims B3 and D3: what removed channels save and cost, and what zeros and channels do for the time."""
    runs = [r for r in results if r.lesson == "40_pruning"]
    whole = [r for r in runs if r.variant == "base model"]
    far = [r for r in runs if r.knobs.get("repair") == 8000]  # the long repair, on all the glyphs
    paired = [r for r in runs if r.variant == "against the base" and r.knobs["batch"] == 64]
    timed = {r.knobs["net"]: r.median("speedup") for r in paired}
    if not whole or not far or not {"zeros", "half the channels"} <= timed.keys():
        return ""
    saved = 1 - far[0].median("macs") / whole[0].median("macs")
    lost, half = mean_interval([100 * (whole[0].median("accuracy") - share) for share in far[0].values["accuracy"]])
    return (
        f"without {far[0].knobs['sparsity']:.0%} of the channels {saved:.0%} of the compute is gone, and after a long repair "
        f"{lost:.1f} ± {half:.1f} points of accuracy; 90% zeros are {timed['zeros']:.2f} times as fast, "
        f"half the channels {timed['half the channels']:.2f} times"
    )


def showed_quantization(results: list[Result]) -> str:
    """Claim D2: what int8 keeps, and where it is faster than float32 in the same engine."""
    runs = [r for r in results if r.lesson == "41_quantization"]
    made = {r.variant: r for r in runs}
    pairs = {tuple(r.knobs.values()): r.median("speedup") for r in runs if r.variant == "engines"}
    net, wide = (pairs.get((model, "static, ONNX", 64)) for model in ("glyph net", "wide perceptron"))
    if not net or not wide or not {"float32", "static int8, ONNX", "int3", "int3, trained"} <= made.keys():
        return ""
    before, int8, int3, trained = (
        made[v].median("accuracy") for v in ("float32", "static int8, ONNX", "int3", "int3, trained")
    )
    return (
        f"static int8, 64 at a time: {net:.2f} times as fast on a small convolutional net, {wide:.1f} on a wide perceptron; "
        f"accuracy {before:.1%} and {int8:.1%}. At 3 bits {int3:.1%}, trained for it {trained:.1%}"
    )


def showed_distillation(results: list[Result]) -> str:
    """Claims C2, D5: what a teacher brings on equal pictures, what a transfer set does, and how much of it by softness."""
    arms = {r.knobs.get("arm"): r for r in results if r.lesson == "42_distillation"}
    few, pseudo, soft = (arms.get(name) for name in ("120 labels", "2,000 pseudo-labels", "the same 2,000, soft"))
    equal, reverse = (arms.get(name) for name in ("teacher, T = 4", "teacher, T = 4, reverse"))
    if not all((few, pseudo, soft, equal, reverse)):
        return ""

    def gained(after: Result, before: Result) -> str:
        pairs = zip(after.values["accuracy"], before.values["accuracy"], strict=True)
        mean, half = mean_interval([100 * (a - b) for a, b in pairs])
        return f"{mean:+.1f} ± {half:.1f}"

    mean, half = mean_interval(equal.values["gain"])
    return (
        f"on equal pictures at T = 4 {mean:+.1f} ± {half:.1f} points, reverse against forward KL {gained(reverse, equal)}; "
        f"from 120 labels to 2,000 pseudo-labels {gained(pseudo, few)}, from those to soft answers {gained(soft, pseudo)}"
    )


def showed_search_and_stop(results: list[Result]) -> str:
    """Claims B12 and D7: what stopping and starting small save, and by how much an adaptive search is ahead of a random one."""
    runs = {(r.variant, r.knobs.get("budget")): r for r in results if r.lesson == "51_search_and_stop"}
    ways = [("small pictures first", "small pictures first"), ("curriculum", "a curriculum")]
    ways.append(("early stopping, patience 2", "early stopping"))
    searches = [("random", 36), ("random, halving", 36)]
    if not {*searches, *((way, None) for way, _ in ways)} <= runs.keys():
        return ""
    said = []
    for way, words in ways:
        saved, _ = mean_interval(runs[way, None].values["saved"])
        gained, half = mean_interval(runs[way, None].values["gained"])
        said.append(f"{words} saves {saved:.0%} of the FLOPs at {gained:+.1f} ± {half:.1f} points")
    pairs = zip(*(runs[key].values["accuracy"] for key in searches), strict=True)
    ahead, half = mean_interval([100 * (halving - plain) for plain, halving in pairs])
    return f"{', '.join(said)}; at 36 epochs successive halving is {ahead:+.1f} ± {half:.1f} points from random search"


def showed_adaptive_learning_rates(results: list[Result]) -> str:
    """Claims A6 and B5: steps to target that adaptive optimizers save against SGD; B6: runs that warm-up and cosine save."""
    runs = [r for r in results if r.lesson == "50_adaptive_learning_rates"]
    saved = {(r.knobs["task"], r.variant): r.values["fewer_than_SGD"] for r in runs if "fewer_than_SGD" in r.values}
    failed = {arm: [] for arm in ("no warm-up, constant", "warm-up, cosine")}
    for r in runs:
        if r.variant == "survival" and r.knobs["arm"] in failed:
            failed[r.knobs["arm"]] += r.values["failed"]
    if not saved or not all(failed.values()):
        return ""
    said = []
    for name in ("AdamW", "LAMB"):
        parts = [(task, *mean_interval(values)) for (task, optimizer), values in saved.items() if optimizer == name]
        said.append(f"{name} " + ", ".join(f"{mean:.0f} ± {half:.0f} % ({task})" for task, mean, half in parts))
    before, after = (sum(runs) / len(runs) for runs in failed.values())
    return (
        f"fewer steps than SGD, all tuned alike: {'; '.join(said)}. At bold rates {before:.0%} of the runs fail, "
        f"with warm-up and cosine {after:.0%}"
    )


# lesson -> (the claim in short, what its records say about it)
SHOWED: dict[str, tuple[str, Callable[[list[Result]], str]]] = {
    "01_measuring": ("C7: frames per second is 1 / total time", showed_measuring),
    "10_gpu_move": ("A1: another device divides the time by one constant factor", showed_gpu_move),
    "11_mixed_precision": ("A3, A4: 16 bits are twice as fast, and more accurate", showed_mixed_precision),
    "12_memory": ("A5: allocator, tensor reuse and sparse storage divide memory by ω", showed_memory),
    "20_data_loading": ("B1, B10, D4: most of the time goes to preparing data, unless workers do it", showed_data_loading),
    "30_ddp": ("A2: N nodes divide the time by N", showed_ddp),
    "31_scaling": ("A2, B7, B9: N nodes are N times as fast, 85 % at 100 cards; compression saves", showed_scaling),
    "40_pruning": ("B3, B4, C1, C3, D3: 30-50 % of the compute can go without notable loss", showed_pruning),
    "41_quantization": ("D2, C4, C5: int8 runs far above the rate of fp32", showed_quantization),
    "42_distillation": ("C2, D5: the student of a teacher is better, and takes longer", showed_distillation),
    "50_adaptive_learning_rates": (
        "A6, B5, B6: AdamW and LAMB need 30-50 % fewer epochs than SGD; warm-up prevents instability",
        showed_adaptive_learning_rates,
    ),
    "51_search_and_stop": (
        "B12, D7: stopping, small pictures and a curriculum save 25 to 40 %; an adaptive search finds better settings",
        showed_search_and_stop,
    ),
}


def results_text(results: list[Result]) -> str:
    """The part of the README that lies between its two marks: the table of lessons, and the machine they ran on."""
    rows = ["| lesson | minutes to run | the claim | what it showed |", "|---|---|---|---|"]
    for path in hygiene.notebooks():
        lesson = path.stem
        title = hygiene.read(path)["metadata"]["course"]["title"]
        run = [r.median("seconds") / 60 for r in results if (r.lesson, r.variant) == (lesson, RUN)]
        minutes = f"{run[-1]:.1f}" if run else "not recorded yet"
        claim, showed = SHOWED.get(lesson, ("", lambda results: ""))
        rows.append(f"| [{lesson[:2]} {title}](notebooks/{path.name}) | {minutes} | {claim} | {showed(results)} |")
    machine, versions = results[-1].machine, results[-1].versions
    where = f"{machine['cpu']}, {machine['cores']} cores, no GPU, {machine['os']}; torch {versions['torch']}"
    return "\n".join([*rows, "", f"Recorded on {where}. One torch thread where a lesson does not say otherwise.", ""])


def filled(readme: str, results: list[Result]) -> str:
    """The README's text with its results written anew. Raises ValueError when its marks are missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md lacks one of its marks, {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + "\n" + results_text(results) + "\n" + END + after


def wanted() -> dict[Path, str]:
    """What the generated files should hold, by path."""
    results = shipped()
    return {
        README: filled(README.read_text(encoding="utf-8"), results),
        PICTURE: claim_against_measurement(sweep(results)),
    }


def stale() -> dict[Path, str]:
    """The part of `wanted` that differs from what lies on the disk."""
    return {path: text for path, text in wanted().items() if not path.exists() or path.read_text("utf-8") != text}


def main(arguments: list[str]) -> int:
    """Write what is out of date, or with --check only name it. The exit status: 1 when --check found any."""
    check, found = arguments == ["--check"], stale()
    for path, text in found.items():
        if not check:
            path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{path.relative_to(hygiene.ROOT)}", "is out of date: run `make readme`" if check else "written")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
