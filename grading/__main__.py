"""Grades a class: grades.csv, a page for every submission, and a summary for the room. `make grade` calls it."""

import argparse
import sys
from pathlib import Path

from grading.batch import grade_folder
from grading.release import ROOT
from grading.table import harmless

UNPROTECTED = "UNPROTECTED: submitted code runs with your rights on this machine. Grade only people you trust."


def main():
    parser = argparse.ArgumentParser(prog="python -m grading", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "grading", help="holds submitted/; default: grading/")
    parser.add_argument("--overlay", type=Path, help="a folder with secret tests, <exercise>/<exercise>.ipynb")
    parser.add_argument("--again", action="store_true", help="grade what was graded already, too")
    parser.add_argument("--unprotected", action="store_true", help="without the sandbox, where it cannot run")
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.unprotected:
        print(UNPROTECTED)
    try:
        grades = grade_folder(folder, protected=not given.unprotected, over=given.overlay, again=given.again, progress=True)
    except ValueError as problem:
        sys.exit(f"Nothing was graded: {problem}")
    except OSError as problem:  # a full disk, or a folder that may only be read
        sys.exit(f"Stopped: {problem}. What was graded is kept: the same command goes on from there.")
    except KeyboardInterrupt:
        print("\nStopped. What was graded is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    for grade in grades:
        if grade.flags:
            print(harmless(f"{grade.student} {grade.exercise}: {'; '.join(grade.flags)}"))
    print(f"Grades: {folder / 'grades.csv'}   Feedback pages: {folder / 'feedback'}   For the room: {folder / 'summary.html'}")


if __name__ == "__main__":
    main()
