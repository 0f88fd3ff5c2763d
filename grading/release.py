"""Makes the learners' exercises out of solutions/: answers and hidden tests are cut out. `make exercises` calls it."""

from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = ROOT / "solutions"


def exercise_names():
    """The names of the exercises, in order; each is solutions/<name>/<name>.ipynb."""
    return sorted(path.stem for path in SOLUTIONS.glob("*/*.ipynb") if path.stem == path.parent.name)


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


def converter(kind, config, exercise, student="."):
    """One of nbgrader's converters for one exercise of one student; its start() replaces what an earlier run left."""
    course = CourseDirectory(config=config, assignment_id=exercise, student_id=student)
    return kind(coursedir=course, config=config, force=True)


def release(folder, gradebook=None):
    """Write every exercise as learners get it to folder/<name>/<name>.ipynb; the same solutions give the same bytes.

    With `gradebook`, a SQLite file, the full test cells are stored there too, for grading.
    Raises ValueError naming an exercise that nbgrader cannot make, and why.
    """
    config = settings(release_directory=str(Path(folder).resolve()))
    if gradebook is None:
        config.merge(Config({"SaveCells": {"enabled": False}, "GenerateAssignment": {"no_database": True}}))
    else:
        config.CourseDirectory.db_url = f"sqlite:///{Path(gradebook).resolve()}"
    for name in exercise_names():
        exercise = converter(Release, config, name)
        try:
            exercise.start()
        except NbGraderException as error:
            raise ValueError(f"the exercise {name} cannot be made: {exercise.reason}") from error


def main():
    release(ROOT / "exercises")
    for name in exercise_names():
        print(f"made exercises/{name}/{name}.ipynb")


if __name__ == "__main__":
    main()
