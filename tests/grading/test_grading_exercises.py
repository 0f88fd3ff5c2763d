"""Every exercise, graded as a teacher grades it: a full submission, and one with right, wrong and missing answers in turn.

That each of the wrong answers loses points, in its test cell and before the judge, is held by test_judge.
"""

import nbformat
import pytest
from submitting import answered, full_marks, hand_in, solutions
from wrong_answers import WRONG

from grading.batch import grade_folder
from grading.release import exercise_names
from grading.sandbox import Limits, unavailable

PATIENCE = Limits(cell=120, total=500)  # s: on a busy machine the import of torch alone may take longer than the usual 20
MARK = "what ran is this file: 8461"


def in_turn(exercise):
    """(the answers of the submission `mixed`, the test cells that they pass): one is right, one wrong, one missing, and on."""
    right, wrong = solutions(exercise), {name: answers[0] for name, answers in WRONG[exercise].items()}
    answers = {name: wrong[name] for name in list(right)[1::3]} | {name: right[name] for name in list(right)[::3]}
    return answers, {name.replace("answer_", "test_") for name in list(right)[::3]}


@pytest.fixture(scope="module", params=sorted(WRONG))
def batch(request, tmp_path_factory):
    """(exercise, folder, {student: Grade}, {student: {test cell: points}})"""
    exercise, folder = request.param, tmp_path_factory.mktemp("class")
    right = solutions(exercise)
    first = next(iter(right))
    hand_in(folder, "full", exercise, answered(exercise, right | {first: f"{right[first]}\nprint({MARK!r})"}))
    hand_in(folder, "mixed", exercise, answered(exercise, in_turn(exercise)[0]))
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


def test_nobody_here_is_flagged(batch):
    _, _, grades, _ = batch
    assert {student: grade.flags for student, grade in grades.items() if grade.flags} == {}


def test_only_right_answers_earn_all_their_marks(batch):
    exercise, _, _, points = batch
    earned = {test for test, full in full_marks(exercise).items() if points["mixed"][test] == full}
    assert earned == in_turn(exercise)[1]
    assert not any(points["mixed"][test] for test in list(full_marks(exercise))[2::3])


def test_what_ran_is_the_learners_file(batch):
    exercise, folder, _, _ = batch
    for student, expected in (("full", True), ("mixed", False)):
        graded = nbformat.read(folder / "autograded" / student / exercise / f"{exercise}.ipynb", as_version=4)
        printed = "".join(o.get("text", "") for cell in graded.cells for o in cell.get("outputs", []))
        assert (MARK in printed) == expected


def test_a_feedback_page_for_everyone(batch):
    exercise, folder, grades, _ = batch
    for student in grades:
        assert (folder / "feedback" / student / exercise / f"{exercise}.html").stat().st_size > 1000
