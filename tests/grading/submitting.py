"""Makes submissions the way learners do: from the exercise as it was released, with text in its answer cells."""

from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]


def released(exercise):
    return nbformat.read(ROOT / "exercises" / exercise / f"{exercise}.ipynb", as_version=4)


def solutions(exercise):
    """{answer cell: the course's own answer}."""
    notebook = nbformat.read(ROOT / "solutions" / exercise / f"{exercise}.ipynb", as_version=4)
    marked = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in marked}


def full_marks(exercise):
    """{test cell: its points}; answer_x is tested by test_x."""
    marked = [cell.metadata.nbgrader for cell in released(exercise).cells if "nbgrader" in cell.metadata]
    return {mark.grade_id: mark.points for mark in marked if mark.grade}


def answered(exercise, answers):
    """The released notebook with {answer cell: code} filled in."""
    notebook = released(exercise)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(name, cell.source)
    return notebook


def hand_in(folder, student, exercise, notebook):
    """Save a notebook (or its raw text) where `make grade` looks for it; returns the path."""
    path = folder / "submitted" / student / exercise / f"{exercise}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook), encoding="utf-8")
    return path
