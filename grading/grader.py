"""Grades submissions one by one: nbgrader keeps the book, submitted code runs in a sandbox, a judge looks from outside.

Each submission has one kernel, which is gone before the next begins; whatever one of them does, the next is graded.
"""

import contextlib
import signal
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import Execute
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from grading import feedback, submissions
from grading.answers import mentions
from grading.judge import Judge, seed_of
from grading.passes import Passes, Tests, name_of
from grading.reach import reaches
from grading.release import SOLUTIONS, KeepsReason, converter, database, exercise_names, release, settings, tools_of_this_python
from grading.sandbox import Kernel, KernelEnded, Limits

PATIENCE = 6  # seconds of this processor, however busy, to read a notebook or to make its page; honest ones take one
LONGEST_FLAG = 1000  # characters


@dataclass(frozen=True)
class Grade:
    """One row of grades.csv. Where a submission could not be graded, points is 0 and the flags say why.

    questions: {test cell: Question}, empty where it could not be graded. measured: {name: number} by the judge, for the
    leaderboard, of the checks that were passed.
    """

    student: str
    exercise: str
    points: float
    maximum: float
    flags: tuple[str, ...]
    seconds: float
    questions: dict = field(default_factory=dict)
    measured: dict = field(default_factory=dict)


class Run(KeepsReason, Autograde):
    """nbgrader's Autograde, with another way to execute: `execute(notebook)` changes the notebook."""

    def __init__(self, *, execute, **kwargs):
        super().__init__(**kwargs)
        self._execute = execute
        self.autograde_preprocessors = [self._step if step is Execute else step for step in self.autograde_preprocessors]

    def _step(self, notebook, resources):
        self._execute(notebook)
        return notebook, resources


class Grader:
    """Grades what is in folder/submitted/ and writes folder/autograded/, folder/feedback/ and folder/gradebook.db.

    exercises: names, None for all;  solutions: the folder that they and their judges are in;  limits: a Limits;
    protected: False to run submitted code with the rights of whoever grades;  released: a folder into which `release` has
    put these exercises, for this gradebook, None to do so here. Grades inside `with`. Raises ValueError when the
    gradebook does not fit the exercises, or bubblewrap cannot run.
    """

    def __init__(self, folder, exercises=None, solutions=SOLUTIONS, limits=None, protected=True, released=None):
        self.folder, self.solutions = Path(folder).resolve(), Path(solutions)
        self.exercises = exercise_names(self.solutions) if exercises is None else exercises
        self.limits, self.protected = limits or Limits(), protected
        self._released = released
        self._judged = {}  # {exercise: (its Judge, what the course's solution answers)}, made when first needed
        self._open = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as opened:
            opened.enter_context(tools_of_this_python())
            opened.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", SAWarning)  # nbgrader 0.9.6 adds rows in an order that SQLAlchemy 2 remarks on
            self._work = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            gradebook = self.folder / "gradebook.db"
            self.config = settings(
                root=str(self.folder),
                submitted_directory=str(self._work / "submitted"),
                autograded_directory="autograded",
                feedback_directory="feedback",
                db_url=database(gradebook),
            )
            if self._released is None:
                self._released = self._work / "released"
                self._release(gradebook)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exception):
        self._open.close()

    def grade(self, submission):
        """Grade one Submission. Never raises on what is in it: what goes wrong becomes a flag."""
        start = time.monotonic()
        points, maximum, flags, found, measured = 0.0, self._maximum(submission.exercise), [], {}, {}
        try:
            flags += self._stage(submission)
            passes = self._run(submission)
            points, found, measured = self._points(submission), passes.questions, passes.measured
            flags += [f"{name} ran out of time" for name in passes.late] + passes.flags
            flags += self._feedback(submission)
        except (submissions.CannotGrade, KernelEnded) as problem:
            flags.append(f"not graded: {problem}")
            feedback.not_graded(self.folder, submission, str(problem))
        seconds = round(time.monotonic() - start, 1)
        short = tuple(flag if len(flag) <= LONGEST_FLAG else f"{flag[:LONGEST_FLAG]}..." for flag in flags)
        return Grade(submission.student, submission.exercise, points, maximum, short, seconds, found, measured)

    def _feedback(self, submission):
        """Write the page that the learner gets back; [flag] where that cannot be done."""
        try:
            with _at_most(PATIENCE):
                converter(GenerateFeedback, self.config, submission.exercise, submission.student).start()
        except (NbGraderException, _TooSlow):
            feedback.no_page(self.folder, submission)
            return ["graded, but no feedback page could be made of it"]
        return []

    def _release(self, gradebook):
        try:
            release(self._released, gradebook, self.exercises, self.solutions)
        except ValueError as error:
            raise ValueError(
                f"{error}. If cells were added or removed since the last grading, move {gradebook} away and grade again"
            ) from error

    def _notebook(self, folder, exercise):
        return nbformat.read(folder / exercise / f"{exercise}.ipynb", as_version=4)

    def _maximum(self, exercise):
        if exercise not in self.exercises:
            return 0.0
        cells = self._notebook(self._released, exercise).cells
        return float(sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in cells))

    def _stage(self, submission):
        """Put a repaired copy where nbgrader looks for it: the learner's own folder is only read."""
        try:
            with _at_most(PATIENCE):
                notebook = submissions.read(submission, self.exercises)
                released = self._notebook(self._released, submission.exercise)
                flags = submissions.repair(notebook, released) + _reaches(notebook, released)
                used = _uses(notebook, released)
        except _TooSlow:
            raise submissions.CannotGrade("it takes too long to read: ask for it without what was pasted in") from None
        judge = self._judge(submission.exercise)[0]
        if judge and used & judge.not_for_answers:
            flags.append(f"an answer uses what it is judged by: {', '.join(sorted(used & judge.not_for_answers))}")
        target = self._work / "submitted" / submission.student / submission.exercise
        target.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target / f"{submission.exercise}.ipynb")
        return flags

    def _run(self, submission):
        """The Passes of a submission, after them its row in the gradebook and its notebook in autograded/ are written."""
        exercise = submission.exercise
        judge, expected = self._judge(exercise)
        with Kernel(self.limits, self.protected) as kernel:
            passes = Passes(kernel, self._tests(exercise), judge, expected)
            run = converter(Run, self.config, exercise, submission.student, execute=passes.run)
            try:
                run.start()
            except NbGraderException:
                if isinstance(run.reason, (KernelEnded, OSError, SQLAlchemyError)):
                    raise run.reason from None  # a full disk is not the learner's fault, and is not kept as a grade
                # By its name alone: the words of such an error may hold the whole notebook, hidden tests included.
                raise submissions.CannotGrade(f"nbgrader could not run it ({type(run.reason).__name__})") from None
        return passes

    def _tests(self, exercise):
        return Tests(*(_test_cells(self._notebook(folder, exercise)) for folder in (self._released, self.solutions)))

    def _judge(self, exercise):
        """The Judge of an exercise and what the course's solution answers it; (None, None) where there is no judge."""
        if exercise not in self._judged:
            path = self.solutions / exercise / "judge.py"
            self._judged[exercise] = self._ask_solution(exercise, path) if path.is_file() else (None, None)
        return self._judged[exercise]

    def _ask_solution(self, exercise, path):
        judge = Judge(path.read_text(encoding="utf-8"), seed_of(self.folder))
        with Kernel(self.limits, self.protected) as kernel:
            for cell in self._notebook(self.solutions, exercise).cells:
                if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade"):
                    kernel.run(cell.source, quiet=True)
            return judge, judge.expected(kernel)

    def _points(self, submission):
        with Gradebook(self.config.CourseDirectory.db_url) as book:
            return book.find_submission_notebook(submission.exercise, submission.exercise, submission.student).score


class _TooSlow(Exception):
    pass


@contextlib.contextmanager
def _at_most(seconds):
    """Raise _TooSlow when this takes more seconds of the processor: some text takes for ever to colour or to clean.

    Only in the main thread, and only where the system has such a clock.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_):
        raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1)  # again and again, should somebody's `except` swallow it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _reaches(notebook, released):
    """[flag] where the learner's own code reaches for what grades it."""
    locked = {name_of(cell) for cell in released.cells if cell.metadata.get("nbgrader", {}).get("locked")}
    tests = _test_cells(released)
    own = [cell.source for cell in notebook.cells if cell.cell_type == "code" and name_of(cell) not in locked]
    given = [cell.source for cell in released.cells if name_of(cell) in locked - set(tests)]
    found = reaches(own, given, tests.values())
    return [f"reaches into the grader: {', '.join(found)}"] if found else []


def _uses(notebook, released):
    """The names from outside that the answers use."""
    marks = {name_of(cell): cell.metadata.get("nbgrader", {}) for cell in released.cells if name_of(cell)}
    codes = [(marks.get(name_of(cell), {}), cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    own = [source for mark, source in codes if not mark]
    return mentions([source for mark, source in codes if mark.get("solution")], own)


def _test_cells(notebook):
    """{name: source} of the test cells of a notebook."""
    marked = [(cell.metadata.get("nbgrader", {}), cell) for cell in notebook.cells]
    return {mark["grade_id"]: cell.source for mark, cell in marked if mark.get("grade") and not mark.get("solution")}
