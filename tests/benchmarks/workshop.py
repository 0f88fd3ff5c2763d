"""A workshop of 30 handed in at once: `python tests/benchmarks/workshop.py [--workers 2]` grades it and says what it cost.

Good, half done, blank, hostile and broken submissions to two exercises, one of which needs torch, graded by the real
grader with its own limits. Prints seconds, the most memory held at once, and whether anything was lost. Ends with 1 when
a learner is missing or has other points than were earned.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GRADING = ROOT / "tests" / "grading"
sys.path[:0] = [str(ROOT), str(GRADING)]

from attacks import MAXIMUM, write  # noqa: E402
from attacks_on_machine import ON_MACHINE  # noqa: E402
from attacks_on_points import FORGERIES  # noqa: E402
from attacks_on_reader import BROKEN, ON_READER  # noqa: E402
from submitting import answered, full_marks, hand_in, released, solutions  # noqa: E402

HOSTILE = ("loop", "loop-deaf", "exit", "memory", "fork-bomb", "flood", "fake-object", "shadows", "deep-json")
EXERCISES = ("01_measuring", "10_gpu_move")


def class_of_thirty(folder):
    """Hand in 30 submissions under folder/submitted; returns {learner: (least points, most points)}."""
    expected = {}
    for number in range(21):
        exercise = EXERCISES[number % 3 == 2]
        marks, right = full_marks(exercise), solutions(exercise)
        names = list(right)[: (len(right), len(right) // 2, 0)[number // 3 % 3]]  # all of it, half of it, none of it
        points = sum(marks[name.replace("answer_", "test_")] for name in names)
        learner = f"learner-{number:02}"
        notebook = answered(exercise, {name: right[name] for name in names}) if names else released(exercise)
        hand_in(folder, learner, exercise, notebook)
        expected[learner] = points, points
    for attack in (*FORGERIES, *ON_MACHINE, *ON_READER, *BROKEN):
        if attack.student in HOSTILE:
            write(attack, folder)
            expected[attack.student] = attack.least, min(attack.most, MAXIMUM)
    return expected


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    with tempfile.TemporaryDirectory(prefix="workshop-") as place:
        folder, report = Path(place) / "class", Path(place) / "report.json"
        expected = class_of_thirty(folder)
        command = [sys.executable, GRADING / "apart.py", folder, report, "--workers", workers]
        subprocess.run(list(map(str, command)), env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))
        with (folder / "grades.csv").open(encoding="utf-8", newline="") as table:
            rows = len(list(csv.DictReader(table)))
    print(f"{len(found['grades'])} submissions, {workers} at once, load of the machine at the end {os.getloadavg()[0]:.1f}")
    print(f"{found['seconds']:.0f} s in all, {found['seconds'] / len(found['grades']):.1f} s each")
    print(f"{found['peak'] / 2**30:.2f} GiB of memory at most, all processes together")
    wrong = []
    for grade in found["grades"]:
        least, most = expected[grade["student"]]
        right = least <= grade["points"] <= most
        wrong += [] if right else [grade["student"]]
        flags = "; ".join(grade["flags"])[:70]
        print(f"  {grade['student']:12} {grade['points']:4g} of {grade['maximum']:3g} {grade['seconds']:6.1f} s  {flags}")
    lost = sorted(expected.keys() - {grade["student"] for grade in found["grades"]})
    print(f"rows in grades.csv: {rows} of {len(expected)}; lost: {lost or 'none'}; other points than earned: {wrong or 'none'}")
    sys.exit(bool(lost or wrong or rows != len(expected)))


if __name__ == "__main__":
    main()
