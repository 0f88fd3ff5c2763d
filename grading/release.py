"""Makes the learners' exercises out of solutions/: answers and hidden tests are cut out. `make exercises` calls it."""

from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = ROOT / "solutions"


def exercise_names():
    """The names of the exercises, in order; each is solutions/<name>/<name>.ipynb."""
    return sorted(path.stem for path in SOLUTIONS.glob("*/*.ipynb") if path.stem == path.parent.name)


def settings(**course_directory):
    """The settings of nbgrader_config.py, with other course directories where they are named."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    config.CourseDirectory.update(course_directory)
    return config


def run_converter(kind, config, exercise, student="."):
    """Run one of nbgrader's converters on one exercise of one student, replacing what an earlier run left.

    Raises NbGraderException when it fails.
    """
    course = CourseDirectory(config=config, assignment_id=exercise, student_id=student)
    kind(coursedir=course, config=config, force=True).start()


def release(folder, gradebook=None):
    """Write every exercise as learners get it to folder/<name>/<name>.ipynb; the same solutions give the same bytes.

    With `gradebook`, a SQLite file, the full test cells are stored there too, for grading.
    """
    config = settings(release_directory=str(Path(folder).resolve()))
    if gradebook is None:
        config.merge(Config({"SaveCells": {"enabled": False}, "GenerateAssignment": {"no_database": True}}))
    else:
        config.CourseDirectory.db_url = f"sqlite:///{Path(gradebook).resolve()}"
    for name in exercise_names():
        run_converter(GenerateAssignment, config, name)


def main():
    release(ROOT / "exercises")
    for name in exercise_names():
        print(f"made exercises/{name}/{name}.ipynb")


if __name__ == "__main__":
    main()
