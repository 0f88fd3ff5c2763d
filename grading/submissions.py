"""Finds what was handed in and makes each notebook fit to be graded, or says in a teacher's words why it cannot be."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

SAFE_NAME = re.compile(r"\w[\w.@ -]*")  # nbgrader matches folder names as patterns: no brackets, stars or braces


class CannotGrade(Exception):
    """Why a submission gets no points before any of it has run; the message is written for the teacher."""


@dataclass(frozen=True)
class Submission:
    student: str
    exercise: str
    folder: Path


def find(folder):
    """Every folder/<student>/<exercise>/ as a Submission, in order. A student without any has one with exercise "".

    Raises ValueError, saying where submissions belong, when there are none.
    """
    folder = Path(folder)
    students = sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    if not students:
        raise ValueError(
            f"there is nothing to grade in {folder}. Put each submission at "
            f"{folder}/<student>/<exercise>/<exercise>.ipynb, for example {folder}/ada/01_measuring/01_measuring.ipynb"
        )
    found = []
    for student in students:
        exercises = sorted(path for path in student.iterdir() if path.is_dir() and not path.name.startswith("."))
        found += [Submission(student.name, path.name, path) for path in exercises]
        if not exercises:
            found.append(Submission(student.name, "", student))
    return found


def read(submission, exercises):
    """The submitted notebook. Raises CannotGrade when there is none that can be read; `exercises` are the known names."""
    name = submission.exercise
    if not SAFE_NAME.fullmatch(submission.student):
        raise CannotGrade("the student's folder has a name with special characters: rename it and grade again")
    if name not in exercises:
        close = difflib.get_close_matches(name, exercises, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the exercises are {', '.join(exercises)}"
        what = f"there is no exercise called {name}" if name else "the student's folder holds no folder with an exercise"
        raise CannotGrade(f"{what}: {hint}")
    path = submission.folder / f"{name}.ipynb"
    if not path.is_file():
        others = ", ".join(sorted(other.name for other in submission.folder.glob("*.ipynb"))) or "no notebook at all"
        raise CannotGrade(f"{path.name} is missing, found: {others}. Rename the right one and grade again")
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook)
    except (ValueError, OSError, nbformat.ValidationError, AttributeError, TypeError):
        raise CannotGrade("the file is damaged or no notebook (it may have been cut off): ask for it again") from None
    return notebook


def repair(notebook, released):
    """Put back what grading needs; return what was done, as flags. `notebook` is changed, `released` is the exercise.

    Marked cells are those nbgrader knows by an id in their metadata: answers, tests and given code.
    Raises CannotGrade when no answer cell has kept its mark, as then nobody can tell where the answers are.
    """
    copies = _unmark_copies(notebook)
    submitted = {_mark(cell): cell for cell in notebook.cells if _mark(cell)}
    marked = [cell for cell in released.cells if _mark(cell)]
    if not any(_mark(cell) in submitted for cell in marked if cell.metadata.nbgrader.solution):
        raise CannotGrade(
            "the notebook has lost its cell metadata (some editors drop it), so the answers cannot be told from the "
            "rest: copy the answers into a fresh copy of the exercise"
        )
    missing, edited, position = [], [], 0
    for cell in marked:
        name = _mark(cell)
        if name not in submitted:
            missing.append(name)
            notebook.cells.insert(position, cell)
        elif not cell.metadata.nbgrader.solution and submitted[name].source != cell.source:
            edited.append(name)
        here = submitted.get(name, cell)
        position = max(position, 1 + next(i for i, other in enumerate(notebook.cells) if other is here))
    found = {"there twice, the last one counts": copies, "missing, put back": missing, "edited, restored": edited}
    return [f"{what}: {', '.join(names)}" for what, names in found.items() if names]


def _unmark_copies(notebook):
    """Take the mark from all but the last of the cells that share one; return the names that were shared."""
    seen, copies = set(), set()
    for cell in reversed(notebook.cells):
        name = _mark(cell)
        if name in seen:
            copies.add(name)
            del cell.metadata["nbgrader"]
        elif name:
            seen.add(name)
    return sorted(copies)


def _mark(cell):
    mark = cell.metadata.get("nbgrader")
    return mark.get("grade_id", "") if isinstance(mark, dict) else ""
