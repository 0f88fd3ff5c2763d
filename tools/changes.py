"""Says what the reference on the disk changes against the committed one: the last step of `make reference`.

`python -m tools.changes`. A figure has changed when none of its new repeats lies among its old ones: for a time that is
more than the spread of both runs, for a number of bytes any difference.
"""

import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from course_lib import ledger, records
from course_lib.records import Result
from tools import hygiene

SHOWN = 5  # figures a lesson, those that changed most


def committed(path: Path) -> list[Result]:
    """The results of this reference file in the last commit; none when it is not in there. Raises SystemExit without git."""
    name = path.relative_to(hygiene.ROOT).as_posix()
    git = ["git", "-C", str(hygiene.ROOT)]
    try:
        subprocess.run([*git, "rev-parse", "--verify", "--quiet", "HEAD"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit("this is no git checkout, so there is no committed reference to compare with") from None
    shown = subprocess.run([*git, "show", f"HEAD:{name}"], capture_output=True, text=True, encoding="utf-8")
    return [Result.from_json(line) for line in shown.stdout.splitlines()] if shown.returncode == 0 else []


def figures(results: list[Result]) -> dict[tuple, tuple[float, ...]]:
    """{(variant, knobs, metric): every repeat}; where one key was recorded several times the last counts."""
    return {(r.variant, r.key[2], metric): repeats for r in results for metric, repeats in r.values.items()}


def moved(old: tuple[float, ...], new: tuple[float, ...]) -> bool:
    """Whether the two ranges of repeats have nothing in common."""
    return max(new) < min(old) or min(new) > max(old)


def _named(key: tuple) -> str:
    variant, knobs, metric = key
    set_to = ", ".join(f"{name} {value}" for name, value in knobs)
    return f"{variant} ({set_to}), {metric}" if set_to else f"{variant}, {metric}"


def _size(old: float, new: float) -> float:
    """How large a change is, whatever its unit: 0.5 for a half more or a third less."""
    return max(abs(new), abs(old)) / min(abs(new), abs(old)) - 1 if old * new > 0 else float("inf")


def _of_lesson(before: dict, after: dict) -> Iterator[str]:
    for what, keys in (("new", after.keys() - before.keys()), ("gone", before.keys() - after.keys())):
        variants = Counter(key[0] for key in keys)
        if variants:
            yield f"{what}: " + ", ".join(f"{variant} ({n} figures)" for variant, n in sorted(variants.items()))
    both = [key for key in after if key in before]
    medians = {key: (statistics.median(before[key]), statistics.median(after[key])) for key in both}
    changed = [key for key in both if moved(before[key], after[key])]
    changed.sort(key=lambda key: _size(*medians[key]), reverse=True)
    yield f"{len(changed)} of {len(both)} figures changed beyond their spread"
    for key in changed[:SHOWN]:
        old, new = medians[key]
        yield f"  {_named(key)}: {old:.4g} -> {new:.4g}"


def summary(before: list[Result], after: list[Result]) -> list[str]:
    """What changed, lesson by lesson: lines to print."""
    lines = []
    for lesson in sorted({r.lesson for r in [*before, *after]}):
        old, new = ([r for r in results if r.lesson == lesson] for results in (before, after))
        if [r.to_json() for r in old] == [r.to_json() for r in new]:
            lines.append(f"{lesson}: not recorded anew")
            continue
        lines += [f"{lesson}:", *(f"  {line}" for line in _of_lesson(figures(old), figures(new)))]
        for claim in ledger.CLAIMS:
            was, now = (ledger.finding(claim, results).verdict for results in (old, new))
            if was != now:
                lines.append(f"  {claim.id}, {claim.says}: {was} -> {now}")
    return lines


def main() -> None:
    files = sorted(records.REFERENCE.glob("*.jsonl"))
    for path, after in zip(files, records.references().values(), strict=True):
        print(f"\n{path.stem}, against the last commit")
        print("\n".join(summary(committed(path), after)))


if __name__ == "__main__":
    main()
