"""Grades submissions one after another with nbgrader; whatever one of them does, the next is graded.

The submitted code runs in a kernel with the rights of whoever grades.
"""

import contextlib
import html
import os
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient.exceptions import DeadKernelError
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import Execute
from sqlalchemy.exc import SAWarning
from tqdm import tqdm

from grading import submissions
from grading.release import KeepsReason, converter, exercise_names, release, settings


@dataclass(frozen=True)
class Grade:
    """One row of grades.csv. Where a submission could not be graded, points is 0 and the flags say why."""

    student: str
    exercise: str
    points: float
    maximum: float
    flags: tuple[str, ...]
    seconds: float


class PatientOnce(Execute):
    """Runs the cells; once one ran out of time, the others get a quarter of it, so that an endless loop costs little."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.ran_out = False
        self.timeout_func = lambda cell: self.timeout / 4 if self.ran_out else self.timeout

    def on_cell_executed(self, **kwargs):
        super().on_cell_executed(**kwargs)
        self.ran_out |= kwargs["execute_reply"]["content"].get("ename") == "CellTimeoutError"


class Run(KeepsReason, Autograde):
    """nbgrader's Autograde with our patience."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.autograde_preprocessors = [PatientOnce if step is Execute else step for step in self.autograde_preprocessors]


class Grader:
    """Grades what is in folder/submitted/ and writes folder/autograded/, folder/feedback/ and folder/gradebook.db.

    timeout: seconds a cell may take, None for that of nbgrader_config.py. Grades inside `with`: it holds the exercises
    in a temporary folder. Raises ValueError when the gradebook does not fit the exercises.
    """

    def __init__(self, folder, timeout=None):
        self.folder = Path(folder).resolve()
        self.exercises = exercise_names()
        self._timeout = timeout
        self._open = contextlib.ExitStack()

    def __enter__(self):
        self._open.enter_context(_tools_of_this_python())
        self._open.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", SAWarning)  # nbgrader 0.9.6 adds rows in an order that SQLAlchemy 2 remarks on
        self._work = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        gradebook = self.folder / "gradebook.db"
        self.config = settings(
            root=str(self.folder),
            submitted_directory=str(self._work / "submitted"),
            autograded_directory="autograded",
            feedback_directory="feedback",
            db_url=f"sqlite:///{gradebook}",
        )
        if self._timeout is not None:
            self.config.Execute.timeout = self._timeout
        try:
            release(self._work / "released", gradebook)
        except ValueError as error:
            self._open.close()
            raise ValueError(
                f"{error}. If cells were added or removed since the last grading, move {gradebook} away and grade again"
            ) from error
        return self

    def __exit__(self, *exception):
        self._open.close()

    def grade(self, submission):
        """Grade one Submission. Never raises on what is in it: what goes wrong becomes a flag."""
        start = time.monotonic()
        points, maximum, flags = 0.0, self._maximum(submission.exercise), []
        try:
            flags += self._stage(submission)
            self._run(submission)
            points = self._points(submission)
            flags += self._out_of_time(submission)
            converter(GenerateFeedback, self.config, submission.exercise, submission.student).start()
        except submissions.CannotGrade as problem:
            flags.append(f"not graded: {problem}")
            self._feedback_without_grade(submission, str(problem))
        except NbGraderException:
            flags.append("graded, but no feedback page could be made of it")
        return Grade(submission.student, submission.exercise, points, maximum, tuple(flags), round(time.monotonic() - start, 1))

    def _released(self, exercise):
        return nbformat.read(self._work / "released" / exercise / f"{exercise}.ipynb", as_version=4)

    def _maximum(self, exercise):
        if exercise not in self.exercises:
            return 0.0
        cells = self._released(exercise).cells
        return float(sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in cells))

    def _stage(self, submission):
        """Put a repaired copy where nbgrader looks for it: the learner's own folder is only read."""
        notebook = submissions.read(submission, self.exercises)
        flags = submissions.repair(notebook, self._released(submission.exercise))
        target = self._work / "submitted" / submission.student / submission.exercise
        target.mkdir(parents=True)
        nbformat.write(notebook, target / f"{submission.exercise}.ipynb")
        return flags

    def _run(self, submission):
        run = converter(Run, self.config, submission.exercise, submission.student)
        try:
            run.start()
        except NbGraderException:
            if isinstance(run.reason, DeadKernelError):
                raise submissions.CannotGrade(
                    "its code ended the Python process (an exit call, a crash, or no memory left)"
                ) from None
            raise submissions.CannotGrade(f"nbgrader could not run it ({run.reason!r})") from None

    def _points(self, submission):
        with Gradebook(self.config.CourseDirectory.db_url) as book:
            return book.find_submission_notebook(submission.exercise, submission.exercise, submission.student).score

    def _out_of_time(self, submission):
        path = self.folder / "autograded" / submission.student / submission.exercise / f"{submission.exercise}.ipynb"
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        late = [cell for cell in cells if any(output.get("ename") == "CellTimeoutError" for output in cell.outputs)]
        return [f"{cell.metadata.get('nbgrader', {}).get('grade_id', 'a cell')} ran out of time" for cell in late]

    def _feedback_without_grade(self, submission, problem):
        page = self.folder / "feedback" / submission.student / submission.exercise / "not_graded.html"
        shutil.rmtree(page.parent, ignore_errors=True)  # a page of an earlier grading would contradict this one
        page.parent.mkdir(parents=True)
        title = html.escape(f"{submission.exercise or 'Submission'}: not graded")
        page.write_text(
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<h1>{title}</h1><p>{html.escape(problem)}</p></html>\n",
            encoding="utf-8",
        )


@contextlib.contextmanager
def _tools_of_this_python():
    """nbgrader calls the command `alembic` for its gradebook; it stands beside this Python, activated or not."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def grade_folder(folder, timeout=None, progress=False):
    """Grade every submission in folder/submitted/; returns one Grade each, in order.

    Raises ValueError when there is nothing to grade or the gradebook does not fit.
    """
    found = submissions.find(Path(folder) / "submitted")
    with Grader(folder, timeout) as grader:
        return [grader.grade(submission) for submission in tqdm(found, unit="submission", disable=not progress)]
