"""Every exercise, graded as a teacher grades it: a full submission, a blank one, and one with every second answer wrong.

That each of the wrong answers loses points, in its test cell and before the judge, is held by test_judge.
"""

import nbformat
import pytest
from submitting import answered, full_marks, hand_in, released, solutions
from wrong_answers import WRONG

from grading.batch import grade_folder
from grading.release import exercise_names
from grading.sandbox import Limits, unavailable

PATIENCE = Limits(cell=120, total=500)  # s: on a busy machine the import of torch alone may take longer than the usual 20
MARK = "what ran is this file: 8461"


def mistaken(exercise):
    """The answer cells of which the submission `half` has a wrong answer: the second, the fourth and so on."""
    return list(solutions(exercise))[1::2]


@pytest.fixture(scope="module", params=sorted(WRONG))
def batch(request, tmp_path_factory):
    """(exercise, folder, {student: Grade}, {student: {test cell: points}})"""
    exercise, folder = request.param, tmp_path_factory.mktemp("class")
    right = solutions(exercise)
    first = next(iter(right))
    hand_in(folder, "full", exercise, answered(exercise, right | {first: f"{right[first]}\nprint({MARK!r})"}))
    hand_in(folder, "blank", exercise, released(exercise))
    hand_in(
        folder, "half", exercise, answered(exercise, right | {name: WRONG[exercise][name][0] for name in mistaken(exercise)})
    )
    all_grades = grade_folder(folder, workers=1, limits=PATIENCE, protected=unavailable() is None)
    grades = {grade.student: grade for grade in all_grades}
    return exercise, folder, grades, {student: points_of(folder, student, exercise) for student in grades}


def points_of(folder, student, exercise):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        submission = book.find_submission_notebook(exercise, exercise, student)
        return {grade.name: grade.score for grade in submission.grades}


def test_every_exercise_has_wrong_answers_to_every_question():
    assert sorted(WRONG) == exercise_names()
    for exercise, answers in WRONG.items():
        assert set(answers) == set(solutions(exercise))
        assert {name.replace("answer_", "test_") for name in answers} == set(full_marks(exercise))
        assert all(len(wrong) >= 3 for wrong in answers.values())
        assert 3 <= len(answers) <= 5


def test_the_solution_gets_full_marks(batch):
    exercise, _, grades, points = batch
    assert points["full"] == full_marks(exercise)
    assert grades["full"].points == grades["full"].maximum == sum(full_marks(exercise).values())
    assert grades["full"].flags == ()


def test_the_blank_exercise_gets_none(batch):
    exercise, _, grades, points = batch
    assert points["blank"] == dict.fromkeys(full_marks(exercise), 0)
    assert grades["blank"].points == 0


def test_nobody_here_is_flagged(batch):
    _, _, grades, _ = batch
    assert {student: grade.flags for student, grade in grades.items() if grade.flags} == {}


def test_wrong_answers_lose_marks_and_the_right_ones_beside_them_keep_theirs(batch):
    exercise, _, _, points = batch
    wrong = {name.replace("answer_", "test_") for name in mistaken(exercise)}
    for test, full in full_marks(exercise).items():
        assert (points["half"][test] < full) == (test in wrong), test


def test_what_ran_is_the_learners_file(batch):
    exercise, folder, _, _ = batch
    for student, expected in (("full", True), ("blank", False)):
        graded = nbformat.read(folder / "autograded" / student / exercise / f"{exercise}.ipynb", as_version=4)
        printed = "".join(o.get("text", "") for cell in graded.cells for o in cell.get("outputs", []))
        assert (MARK in printed) == expected


def test_a_feedback_page_for_everyone(batch):
    exercise, folder, grades, _ = batch
    for student in grades:
        assert (folder / "feedback" / student / exercise / f"{exercise}.html").stat().st_size > 1000
