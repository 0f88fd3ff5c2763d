"""Makes the learners' exercises out of solutions/: answers and hidden tests are cut out. `make exercises` calls it."""

import os
import sqlite3
import sys
from contextlib import contextmanager
from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import event
from sqlalchemy.engine import Engine
from traitlets.config import Config, PyFileConfigLoader

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = ROOT / "solutions"
LOCK_SECONDS = 60  # how long one grading process waits for another that writes the gradebook; sqlite's own is 5


def exercise_names(solutions=None):
    """The names of the exercises, in order; each is solutions/<name>/<name>.ipynb."""
    return sorted(path.stem for path in (solutions or SOLUTIONS).glob("*/*.ipynb") if path.stem == path.parent.name)


def database(gradebook):
    """The URL of a gradebook, a SQLite file, for several processes that write to it."""
    return f"sqlite:///{Path(gradebook).resolve()}?timeout={LOCK_SECONDS}"


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection, _):
    """nbgrader commits after every cell, and to wait for the disk each time took a third of the release.

    A killed process loses nothing by it. A power cut may, so `make grade` keeps a copy of the gradebook that it found.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


class KeepsReason:
    """For one of nbgrader's converters: keeps the exception that made it fail, which nbgrader only logs."""

    reason = None

    def init_assignment(self, assignment_id, student_id):
        self._keep(super().init_assignment, assignment_id, student_id)

    def convert_single_notebook(self, notebook_filename):
        self._keep(super().convert_single_notebook, notebook_filename)

    def _keep(self, step, *args):
        try:
            step(*args)
        except Exception as error:
            self.reason = error
            raise


class Release(KeepsReason, GenerateAssignment):
    pass


def settings(**course_directory):
    """The settings of nbgrader_config.py, with other course directories where they are named."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    config.CourseDirectory.update(course_directory)
    return config


def converter(kind, config, exercise, student=".", **more):
    """One of nbgrader's converters for one exercise of one student; its start() replaces what an earlier run left."""
    course = CourseDirectory(config=config, assignment_id=exercise, student_id=student)
    return kind(coursedir=course, config=config, force=True, **more)


@contextmanager
def tools_of_this_python():
    """nbgrader calls the command `alembic` for its gradebook; it stands beside this Python, activated or not."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def release(folder, gradebook=None, exercises=None, solutions=None):
    """Write every exercise as learners get it to folder/<name>/<name>.ipynb; the same solutions give the same bytes.

    gradebook: a SQLite file, where the full test cells are stored too, for grading. exercises: names, None for all.
    solutions: the folder they are made from, None for that of the course.
    Raises ValueError naming an exercise that nbgrader cannot make, and why.
    """
    solutions = solutions or SOLUTIONS
    config = settings(source_directory=str(Path(solutions).resolve()), release_directory=str(Path(folder).resolve()))
    if gradebook is None:
        config.merge(Config({"SaveCells": {"enabled": False}, "GenerateAssignment": {"no_database": True}}))
    else:
        config.CourseDirectory.db_url = database(gradebook)
    for name in exercise_names(solutions) if exercises is None else exercises:
        exercise = converter(Release, config, name)
        try:
            with tools_of_this_python():
                exercise.start()
        except NbGraderException as error:
            raise ValueError(f"the exercise {name} cannot be made: {exercise.reason}") from error


def main():
    release(ROOT / "exercises")
    for name in exercise_names():
        print(f"made exercises/{name}/{name}.ipynb")


if __name__ == "__main__":
    main()
