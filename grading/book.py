"""The gradebook: what `make grade` and the teacher's marks by hand in formgrader have in common."""

import os
import sqlite3
import warnings
from contextlib import closing, contextmanager
from dataclasses import replace

from nbgrader import api
from sqlalchemy.exc import SAWarning

from grading.release import database, release


def keep_a_copy(gradebook):
    """Copy the gradebook to gradebook_before.db, beside it, before anything is written to it.

    Raises ValueError when it is damaged.
    """
    if not gradebook.is_file():
        return
    copy = gradebook.with_name("gradebook_before.db")
    try:
        with closing(sqlite3.connect(gradebook)) as old:
            old.execute("SELECT count(*) FROM sqlite_master").fetchall()
            part = copy.with_suffix(".part")
            with closing(sqlite3.connect(part)) as new:
                old.backup(new)
            os.replace(part, copy)
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{gradebook} is damaged ({error}): put {copy.name} in its place, or move it away") from None


def prepare(folder, gradebook, exercises, solutions):
    """Release the exercises to `folder` and into the gradebook. Raises ValueError when they do not fit into it."""
    with quiet():
        try:
            release(folder, gradebook, exercises, solutions)
        except ValueError as error:
            raise ValueError(
                f"{error}. If cells were added or removed since the last grading, move {gradebook} away and grade again"
            ) from error


def submissions(gradebook):
    """{(student, exercise)} of all that the gradebook has a grading of."""
    with _open(gradebook) as book:
        return {(one.student_id, one.assignment.name) for one in book.db.query(api.SubmittedAssignment)}


def marks_by_hand(gradebook):
    """{(student, exercise, test cell): points} of what a teacher marked in formgrader: it counts in place of the rest."""
    with _open(gradebook) as book:
        marked = book.db.query(api.Grade).filter(api.Grade.manual_score.isnot(None) | api.Grade.extra_credit.isnot(None))
        return {(one.student.id, one.assignment.name, one.name): one.score for one in marked}


def with_marks(grade, by_hand):
    """The grade with the teacher's own marks in it, and a flag that says so."""
    marks = {test: by_hand.get((grade.student, grade.exercise, test)) for test in grade.questions}
    changed = {test: points for test, points in marks.items() if points not in (None, grade.questions[test].points)}
    if not changed:
        return grade
    questions = {test: replace(one, points=changed.get(test, one.points)) for test, one in grade.questions.items()}
    words = ", ".join(f"{test} {points:g}" for test, points in changed.items())
    points = sum(one.points for one in questions.values())
    return replace(grade, points=points, questions=questions, flags=(*grade.flags, f"marked by hand: {words}"))


@contextmanager
def _open(gradebook):
    with quiet(), api.Gradebook(database(gradebook)) as book:
        yield book


@contextmanager
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # nbgrader 0.9.6 adds rows in an order that SQLAlchemy 2 remarks on
        yield
