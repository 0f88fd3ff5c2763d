"""Finds what was handed in and makes each notebook fit to be graded, or says in a teacher's words why it cannot be."""

import difflib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import nbformat

LARGEST = 50 * 2**20  # bytes of a notebook: one with all its pictures has a few million
MOST_CELLS = 1000  # an exercise has some 30
MOST_TEXT = 200_000  # characters in the cells of a notebook, outputs apart; an exercise has some 20 000
MOST_FOLDERS = 100  # folders of one student
MOST_NAMED = 5  # files named in a message
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
        exercises = _folders(student)
        if 0 < len(exercises) <= MOST_FOLDERS:
            found += [Submission(student.name, path.name, path) for path in exercises]
        else:
            found.append(Submission(student.name, "", student))
    return found


def _folders(student):
    """The folders in a student's own, in order; none where nobody may look into it."""
    try:
        return sorted(path for path in student.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def read(submission, exercises):
    """The submitted notebook. Raises CannotGrade when there is none that can be read; `exercises` are the known names."""
    name = submission.exercise
    if not SAFE_NAME.fullmatch(submission.student):
        raise CannotGrade("the student's folder has a name with special characters: rename it and grade again")
    if name not in exercises:
        close = difflib.get_close_matches(name, exercises, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the exercises are {', '.join(exercises)}"
        what = f"there is no exercise called {name}" if name else f"the student's folder {_lack(submission.folder)}"
        raise CannotGrade(f"{what}: {hint}")
    if submission.folder.is_symlink() or submission.folder.parent.is_symlink():
        raise CannotGrade("the folder is a link to another one, maybe to somebody else's work: ask for a folder of its own")
    path = submission.folder / f"{name}.ipynb"
    if not path.is_file() and not path.is_symlink():
        if path.exists():
            raise CannotGrade(f"{path.name} is no file: ask for the notebook itself")
        others = sorted(other.name for other in submission.folder.glob("*.ipynb"))
        named = ", ".join(others[:MOST_NAMED]) + (f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else "")
        raise CannotGrade(
            f"{path.name} is missing, found: {named or 'no notebook at all'}. Rename the right one and grade again"
        )
    return _parsed(_text(path))


def _lack(student):
    """What is wrong with a student's folder that was found to hold no exercise."""
    if not os.access(student, os.R_OK | os.X_OK):
        return "cannot be read: change its permissions and grade again"
    many = len(_folders(student)) > MOST_FOLDERS
    return f"holds more than {MOST_FOLDERS} folders" if many else "holds no folder with an exercise"


def _text(path):
    """The file's text. A link is not followed: it could show, as if handed in, any file that the teacher can read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CannotGrade(f"{path.name} is no file: ask for the notebook itself")
            data = file.read(LARGEST + 1)
    except OSError as error:
        link = "it is a link to another file" if path.is_symlink() else error.strerror
        raise CannotGrade(f"{path.name} cannot be read ({link}): ask for the notebook itself") from None
    if len(data) > LARGEST:
        raise CannotGrade(f"{path.name} has more than {LARGEST >> 20} MiB: ask for it again with its outputs cleared")
    return data


def _parsed(data):
    try:
        found = json.loads(data.decode("utf-8-sig"))
        if found["nbformat"] != 4:
            raise CannotGrade("the notebook has an old format: open it in JupyterLab, save it, and hand it in again")
        if len(found["cells"]) > MOST_CELLS:
            raise CannotGrade(f"the notebook has more than {MOST_CELLS} cells: ask for it without what is not needed")
        # Before nbformat sees it, which takes minutes for outputs and metadata that somebody made up for that.
        cells = [_lightened(number, cell) for number, cell in enumerate(found["cells"])]
        notebook = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError, AttributeError, TypeError, KeyError, RecursionError):
        raise CannotGrade("the file is damaged or no notebook (it may have been cut off): ask for it again") from None
    if sum(len(cell.source) for cell in notebook.cells) > MOST_TEXT:
        raise CannotGrade(f"the cells have more than {MOST_TEXT:,} characters: ask for it without what was pasted in")
    return notebook


def _lightened(number, cell):
    """Of a cell what grading needs: its kind, its name and its text, made sure to be one that can be written down."""
    text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    text = text.encode("utf-8", "replace").decode("utf-8")  # half of a character pair cannot be stored
    name = _mark(cell)
    kept = {"cell_type": cell["cell_type"], "id": f"cell-{number}", "source": text}
    kept["metadata"] = {"nbgrader": {"grade_id": name}} if name else {}
    return kept | ({"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {})


def repair(notebook, released):
    """Put back what grading needs; return what was done, as flags. `notebook` is changed, `released` is the exercise.

    Marked cells are those nbgrader knows by an id in their metadata: answers, tests and given code. Of these, only the
    text of the answers is the learner's; all else comes from the exercise.
    Raises CannotGrade when no answer cell has kept its mark, as then nobody can tell where the answers are.
    """
    marked = {_mark(cell): cell for cell in released.cells if _mark(cell)}
    for cell in notebook.cells:
        if _mark(cell) and _mark(cell) not in marked:
            cell.metadata.clear()
    copies = _unmark_copies(notebook)
    submitted = {_mark(cell): cell for cell in notebook.cells if _mark(cell)}
    if not any(name in submitted for name, cell in marked.items() if cell.metadata.nbgrader.solution):
        raise CannotGrade(
            "the notebook has lost its cell metadata (some editors drop it), so the answers cannot be told from the "
            "rest: copy the answers into a fresh copy of the exercise"
        )
    missing, edited, position = [], [], 0
    for name, cell in marked.items():
        if name not in submitted:
            missing.append(name)
            notebook.cells.insert(position, cell)
        else:
            if cell.metadata.nbgrader.solution:
                cell.source = submitted[name].source
            elif submitted[name].source != cell.source:
                edited.append(name)
            notebook.cells[_place(notebook, submitted[name])] = cell
        position = max(position, 1 + _place(notebook, cell))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.metadata, notebook.nbformat_minor = released.metadata, released.nbformat_minor
    found = {"there twice, the last one counts": copies, "missing, put back": missing, "edited, restored": edited}
    return [f"{what}: {', '.join(names)}" for what, names in found.items() if names]


def _place(notebook, cell):
    return next(number for number, other in enumerate(notebook.cells) if other is cell)


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
    mark = cell["metadata"].get("nbgrader")
    name = mark.get("grade_id") if isinstance(mark, dict) else None
    return name if isinstance(name, str) else ""
