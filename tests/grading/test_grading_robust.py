"""Broken and odd submissions in one class: each is named in a teacher's words, and nobody else is touched."""

import csv
import json
import shutil
import subprocess
import sys

import nbformat
import psutil
import pytest
from submitting import ROOT, answered, hand_in, released, solutions

from grading.batch import grade_folder
from grading.sandbox import Limits, unavailable
from grading.submissions import LARGEST, find

EXERCISE = "01_measuring"
SCRIPT = "<script>alert('8461')</script>"
LIMITS = Limits(cell=20, total=200)  # s; more in all than usual, for a busy machine
PROTECTED = unavailable() is None


def without(notebook, *names):
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") not in names]
    return notebook


def cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)


def unmarked(notebook):
    for each in notebook.cells:
        each.metadata.clear()
    return notebook


def edited(notebook):
    cell(notebook, "test_best_batch").source = "2"
    return notebook


def doubled(notebook):
    for name in ("test_best_batch", "answer_best_batch"):
        original = cell(notebook, name)
        copy = nbformat.from_dict(original | {"id": f"copy-of-{name}"[:60]})
        notebook.cells.insert(notebook.cells.index(original), copy)
    return notebook


def odd(notebook):
    """Marks, ids and texts of kinds that no learner makes, around right answers."""
    notebook.metadata = {"language_info": {"name": ["x"], "pygments_lexer": 5}, "kernelspec": {"name": "nothing"}}
    cell(notebook, "test_best_batch").cell_type = "markdown"
    for mark in ({"grade_id": ["test_roofline"]}, {"grade_id": "no_such_cell", "grade": True, "points": 100}, "x", None):
        notebook.cells.append(nbformat.v4.new_code_cell("print(1)", metadata={"nbgrader": mark}))
    notebook.cells.append(nbformat.v4.new_markdown_cell("x", metadata={"nbgrader": {"grade_id": "more", "grade": True}}))
    for each in notebook.cells:
        each.id = "same"
    text = json.dumps(notebook)
    return text.replace('"print(1)"', '"print(1) # \\ud800"')


def scripted(notebook):
    notebook.cells.append(nbformat.v4.new_markdown_cell(f"Look {SCRIPT}"))
    notebook.cells.append(nbformat.v4.new_code_cell(f"from IPython.display import HTML\nHTML({SCRIPT!r})"))
    return notebook


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A class of learners, each with a submission of its own kind; zoe comes last and is right."""
    folder, right = tmp_path_factory.mktemp("class"), solutions(EXERCISE)
    loop = {"answer_best_batch": "def best_batch(seconds_per_batch, limit):\n    while True:\n        pass"}
    submitted = {
        "broken": nbformat.writes(released(EXERCISE))[:2000],
        "deleted": without(answered(EXERCISE, right), "setup", "test_best_batch", "test_roofline"),
        "doubled": doubled(answered(EXERCISE, right)),
        "edited": edited(released(EXERCISE)),
        "exit": answered(EXERCISE, {"answer_roofline": "import os\nos._exit(3)"}),
        "loop": answered(EXERCISE, right | loop),
        "large": "x" * (LARGEST + 1),
        "nested": '{"cells": ' + "[" * 50_000,
        "odd": odd(answered(EXERCISE, right)),
        "reaching": answered(EXERCISE, right | {"answer_roofline": f"import inspect\n{right['answer_roofline']}"}),
        "missing": without(answered(EXERCISE, right), "answer_roofline", "test_roofline"),
        "scripted": scripted(released(EXERCISE)),
        "unmarked": unmarked(answered(EXERCISE, right)),
        "zoe": answered(EXERCISE, right),
    }
    for student, notebook in submitted.items():
        hand_in(folder, student, EXERCISE, notebook)
    hand_in(folder, "elsewhere", "1_measurng", released(EXERCISE))
    renamed = hand_in(folder, "renamed", EXERCISE, answered(EXERCISE, right))
    renamed.rename(renamed.with_name("my copy.ipynb"))
    loose = hand_in(folder, "loose", EXERCISE, released(EXERCISE))
    shutil.move(loose, loose.parent.parent)
    loose.parent.rmdir()
    for name in ("linked", "linked folder"):
        hand_in(folder, name, EXERCISE, "")
    (folder / "submitted/linked" / EXERCISE / f"{EXERCISE}.ipynb").unlink()
    (folder / "submitted/linked" / EXERCISE / f"{EXERCISE}.ipynb").symlink_to(
        folder / f"submitted/zoe/{EXERCISE}/{EXERCISE}.ipynb"
    )
    shutil.rmtree(folder / "submitted/linked folder" / EXERCISE)
    (folder / "submitted/linked folder" / EXERCISE).symlink_to(folder / "submitted/zoe" / EXERCISE)
    hand_in(folder, "odd [name]", EXERCISE, released(EXERCISE))
    return folder


@pytest.fixture(scope="module")
def grades(folder):
    return {grade.student: grade for grade in grade_folder(folder, workers=2, limits=LIMITS, protected=PROTECTED)}


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("broken", "damaged or no notebook"),
        ("elsewhere", "did you mean 01_measuring?"),
        ("exit", "ended the Python process"),
        ("large", "more than 50 MiB"),
        ("linked", "it is a link to another file"),
        ("linked folder", "the folder is a link"),
        ("nested", "damaged or no notebook"),
        ("loose", "no folder with an exercise"),
        ("odd [name]", "special characters"),
        ("renamed", "01_measuring.ipynb is missing, found: my copy.ipynb"),
        ("unmarked", "lost its cell metadata"),
    ],
)
def test_what_cannot_be_graded_is_named_and_gets_no_points(grades, folder, student, words):
    grade = grades[student]
    assert grade.points == 0
    assert grade.flags[-1].startswith("not graded: ") and words in grade.flags[-1]
    page = folder / "feedback" / student / grade.exercise / "not_graded.html"
    assert words.split(",")[0] in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("student", "points", "flags"),
    [
        ("deleted", 14, ("missing, put back: setup, test_best_batch, test_roofline",)),
        ("doubled", 14, ("there twice, the last one counts: answer_best_batch, test_best_batch",)),
        ("edited", 0, ("edited, restored: test_best_batch",)),
        ("loop", 12, ("test_best_batch ran out of time",)),
        ("odd", 14, ()),
        ("reaching", 14, ("reaches into the grader: inspect",)),
        ("missing", 11, ("missing, put back: answer_roofline, test_roofline",)),
        ("scripted", 0, ()),
        ("zoe", 14, ()),
    ],
)
def test_what_can_be_graded_keeps_the_points_it_earned(grades, student, points, flags):
    assert (grades[student].points, grades[student].flags) == (points, flags)
    assert grades[student].maximum == 14


def test_everyone_is_in_the_list(grades, folder):
    assert sorted(grades) == sorted(path.name for path in (folder / "submitted").iterdir())


def test_the_loop_costs_one_time_out(grades):
    assert grades["loop"].flags and grades["loop"].seconds < 20 * 5


def test_no_script_reaches_the_reader_of_a_feedback_page(grades, folder):
    page = (folder / "feedback" / "scripted" / EXERCISE / f"{EXERCISE}.html").read_text(encoding="utf-8")
    assert "Look" in page and "<h1>Exercise 01" in page, "the text itself has to survive the cleaning"
    assert SCRIPT not in page


def test_no_kernel_is_left_running(grades):
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert not [command for command in commands if "ipykernel" in command]


def test_grading_again_gives_the_same_and_writes_the_table(grades, folder):
    again = {"edited", "exit", "zoe"}
    for path in (folder / "submitted").iterdir():
        if path.name not in again:
            shutil.rmtree(path)
    done = subprocess.run(
        [sys.executable, "-m", "grading", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert "Submissions: 3" in done.stdout and "UNPROTECTED" not in done.stdout
    with (folder / "grades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["student", "exercise", "points", "maximum", "flags", "seconds"]
    assert {row["student"] for row in rows} == again
    for row in rows:
        before = grades[row["student"]]
        assert (row["exercise"], float(row["points"]), float(row["maximum"])) == (EXERCISE, before.points, before.maximum)
        assert row["flags"] == "; ".join(before.flags)


def test_an_empty_class_says_where_submissions_belong(tmp_path):
    with pytest.raises(ValueError, match=r"nothing to grade in .*Put each submission at .*<student>/<exercise>"):
        find(tmp_path / "submitted")
    done = subprocess.run(
        [sys.executable, "-m", "grading", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Nothing was graded: there is nothing to grade")
