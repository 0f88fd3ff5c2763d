"""`make readme`: write the results of the shipped reference into README.md, and draw the picture at its top.

`python -m tools.readme --check` changes nothing and exits with 1 when they are out of date. What a lesson showed is
computed from its records by the ledger, course_lib/ledger; which of its claims stand here is in HEADLINES.
"""

import sys
from pathlib import Path

from course_lib import ledger, records
from course_lib.records import Result
from tools import hygiene, picture
from tools.reference import RUN

README = hygiene.ROOT / "README.md"
PICTURE = hygiene.ROOT / "tools" / "readme.svg"
BEGIN, END = "<!-- {}: written by `make readme` -->\n", "<!-- end of {} -->\n"  # around a part, by its name


def shipped() -> list[Result]:
    """The CPU reference that the README tells of; of several the first by name. Raises SystemExit when there is none."""
    cpu = [results for slug, results in sorted(records.references().items()) if slug.startswith("cpu-")]
    if not cpu:
        raise SystemExit("course_lib/reference holds no record of a CPU machine: run `make reference` first")
    return cpu[0]


def ladder(results: list[Result]) -> tuple[list[Result], Result]:
    """Lesson 90's rungs for the photographs, and what those that stayed come to. Raises SystemExit when they are missing."""
    found = [r for r in results if r.lesson == "90_capstone" and r.knobs.get("task") == "images"]
    rungs = sorted((r for r in found if r.variant == "ladder"), key=lambda result: result.knobs["rung"])
    together = [r for r in found if r.variant == "altogether"]
    if not (rungs and together):
        raise SystemExit("the reference holds no ladder of 90_capstone: run `make reference` first")
    return rungs, together[-1]


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


def showed(lesson: str, results: list[Result]) -> list[tuple[str, str]]:
    """The lesson's headlines, each as two cells of the table: what is claimed, and the ledger's verdict on these results."""
    found = [(claim, ledger.finding(claim, results)) for claim in ledger.CLAIMS if claim.id in HEADLINES.get(lesson, ())]
    return [(f"{c.id}: {c.says}", f"**{ledger.signed(f.verdict)}**{f.figure and f': {f.figure}'}") for c, f in found]


def picture_text(results: list[Result]) -> str:
    """The part named "picture": the ladder of lesson 90 with its words, and what is to be seen in it."""
    rungs, together = ladder(results)
    stayed = [bool(result.median("kept")) for result in rungs[1:]]
    out = len(stayed) - sum(stayed)
    factor, lost = f"{together.median('speedup'):.1f}", picture.lost(together)
    return f"""![{picture.told(rungs, together)}](tools/readme.svg)

A plain training on photographs, and {len(stayed)} of the course's techniques put on top of it one by one.
{sum(stayed)} of them stayed: together they reach the same target **{factor} times as fast**, at {lost} points of accuracy lost.
Measured, drawn, and taken out again: {out}. Which ones stay on your machine,
[lesson 90](notebooks/90_capstone.ipynb) measures.
"""


def results_text(results: list[Result]) -> str:
    """The part named "results": the table of lessons, a row a claim, and the machine they ran on."""
    rows = ["| lesson | minutes | the claim | what it showed |", "|---|---|---|---|"]
    for path in hygiene.notebooks():
        lesson = path.stem
        title = hygiene.read(path)["metadata"]["course"]["title"]
        run = [r.median("seconds") / 60 for r in results if (r.lesson, r.variant) == (lesson, RUN)]
        named = f"[{lesson[:2]} {title}](notebooks/{path.name}) | {f'{run[-1]:.1f}' if run else 'not recorded yet'}"
        for claim, found in showed(lesson, results) or [("", "")]:
            rows.append(f"| {named} | {claim} | {found} |")
            named = " | "  # once a lesson
    machine, versions = results[-1].machine, results[-1].versions
    where = f"{machine['cpu']}, {machine['cores']} cores, no GPU, {machine['os']}; torch {versions['torch']}"
    return "\n".join([*rows, "", f"Recorded on {where}. One torch thread where a lesson does not say otherwise.", ""])


def filled(readme: str, results: list[Result]) -> str:
    """The README's text with its two parts written anew. Raises ValueError when marks of one are missing."""
    for part, text in (("picture", picture_text(results)), ("results", results_text(results))):
        before, begin, rest = readme.partition(BEGIN.format(part))
        _, end, after = rest.partition(END.format(part))
        if not (begin and end):
            raise ValueError(f"README.md lacks one of the marks of its {part}: {BEGIN.format(part)}{END.format(part)}")
        readme = f"{before}{begin}\n{text}\n{end}{after}"
    return readme


def wanted() -> dict[Path, str]:
    """What the generated files should hold, by path."""
    results = shipped()
    return {
        README: filled(README.read_text(encoding="utf-8"), results),
        PICTURE: picture.waterfall(*ladder(results)),
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
