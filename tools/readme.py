"""`make readme`: write the results of the shipped reference into README.md, and draw its picture.

`python -m tools.readme --check` changes nothing and exits with 1 when they are out of date. What a lesson showed is
computed from its records by the ledger, course_lib/ledger; which of its claims stand here is in HEADLINES.
"""

import sys
from pathlib import Path

from course_lib import ledger, records
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


# lesson -> the claims of which the README tells; the ledger has them all
HEADLINES: dict[str, tuple[str, ...]] = {
    "01_measuring": ("C7",),
    "10_gpu_move": ("A1",),
    "11_mixed_precision": ("A4", "D1"),
    "12_memory": ("A5",),
    "20_data_loading": ("B1", "D4"),
    "30_ddp": ("A2",),
    "31_scaling": ("B7", "B9"),
    "40_pruning": ("B3", "D3"),
    "41_quantization": ("D2", "C4"),
    "42_distillation": ("D5",),
    "50_adaptive_learning_rates": ("B5", "B6"),
    "51_search_and_stop": ("B12", "D7"),
    "80_cost": ("D8",),
    "90_capstone": ("B14",),
}


def showed(lesson: str, results: list[Result]) -> tuple[str, str]:
    """The lesson's headlines as two cells of the table: what is claimed, and the ledger's verdicts on these results."""
    claims = [claim for claim in ledger.CLAIMS if claim.id in HEADLINES.get(lesson, ())]
    found = [ledger.finding(claim, results) for claim in claims]
    verdicts = [f"{f.verdict}: {f.figure}" if f.figure else f.verdict for f in found]
    return "<br>".join(f"{claim.id}: {claim.says}" for claim in claims), "<br>".join(verdicts)


def results_text(results: list[Result]) -> str:
    """The part of the README that lies between its two marks: the table of lessons, and the machine they ran on."""
    rows = ["| lesson | minutes to run | the claim | what it showed |", "|---|---|---|---|"]
    for path in hygiene.notebooks():
        lesson = path.stem
        title = hygiene.read(path)["metadata"]["course"]["title"]
        run = [r.median("seconds") / 60 for r in results if (r.lesson, r.variant) == (lesson, RUN)]
        minutes = f"{run[-1]:.1f}" if run else "not recorded yet"
        claims, found = showed(lesson, results)
        rows.append(f"| [{lesson[:2]} {title}](notebooks/{path.name}) | {minutes} | {claims} | {found} |")
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
