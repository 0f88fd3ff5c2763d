"""What was graded already, and from what: so that grading goes on where it was killed, and does nothing twice."""

import hashlib
import importlib.metadata
import json
import os
import platform
import stat
from dataclasses import asdict
from pathlib import Path

from grading.files import replace
from grading.grader import Grade
from grading.passes import Question
from grading.release import ROOT
from grading.submissions import LARGEST

PACKAGES = ("ipykernel", "nbgrader", "numpy", "torch")


class Journal:
    """A file with a line for every graded submission, on the disk before the next one is begun.

    Each line holds a key, the digest of everything that decided its grade: under another key it counts no longer.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._lines = {(line["student"], line["exercise"]): line for line in self._read()}

    def _read(self):
        if not self.path.exists():
            return
        for text in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
                _grade(line), line["key"], line["answers"]
            except (ValueError, KeyError, TypeError):
                continue  # written in part when grading was killed, or by an older version: graded again
            yield line

    def get(self, submission, key):
        """(Grade, {test cell: answer}) of a submission that was graded under this key, or None."""
        line = self._lines.get((submission.student, submission.exercise))
        return (_grade(line), line["answers"]) if line and line["key"] == key else None

    def seconds(self):
        """The seconds of every grading on record, whether it still counts or not: for an estimate."""
        return [line["grade"]["seconds"] for line in self._lines.values()]

    def add(self, submission, key, grade, answers):
        """Keep a Grade and the learner's answers, {test cell: code}."""
        line = {"student": submission.student, "exercise": submission.exercise, "key": key}
        line |= {"grade": asdict(grade), "answers": answers}
        self._lines[submission.student, submission.exercise] = line
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
            file.flush()
            os.fsync(file.fileno())

    def clean(self):
        """Leave one line for each submission, and no broken one: a new line must not be glued to half a line."""
        replace(self.path, "".join(f"{json.dumps(line)}\n" for line in self._lines.values()))


def _grade(line):
    fields = dict(line["grade"])
    questions = {test: Question(**{**one, "failed": tuple(one["failed"])}) for test, one in fields.pop("questions").items()}
    return Grade(**{**fields, "flags": tuple(fields["flags"])}, questions=questions)


def key_of(*digests):
    """One digest of several."""
    return hashlib.sha256(repr(digests).encode()).hexdigest()


def digest_of_tools(*settings):
    """Of what grades: the code of the grader and of the library beside it, the versions, and the settings given."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    digest = hashlib.sha256(repr([platform.python_version(), *versions, *settings]).encode())
    for path in sorted([ROOT / "nbgrader_config.py", *(ROOT / "grading").glob("*.py"), *(ROOT / "course_lib").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def digest_of_exercise(name, solutions):
    """Of the source of an exercise and of its judge; of nothing when there is no such exercise."""
    folder = Path(solutions) / name
    return _digest_of_files([folder / f"{name}.ipynb", folder / "judge.py"] if name else [])


def digest_of_submission(submission):
    """Of the names in a submission's folder and of the bytes of its notebook. What cannot be read counts as a name."""
    try:
        names = sorted(os.listdir(submission.folder))
    except OSError as error:
        names = [type(error).__name__]
    digest = hashlib.sha256(repr(names).encode("utf-8", "backslashreplace"))
    digest.update(_digest_of_files([submission.folder / f"{submission.exercise}.ipynb"]).encode())
    return digest.hexdigest()


def _digest_of_files(paths):
    digest = hashlib.sha256()
    for path in paths:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
                digest.update(b"no file")
                continue
            with path.open("rb") as file:  # no more than is ever looked at: a file with a hole may claim any size
                digest.update(hashlib.sha256(file.read(LARGEST + 1)).digest())
        except OSError as error:
            digest.update(type(error).__name__.encode())
    return digest.hexdigest()
