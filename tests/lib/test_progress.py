"""The page that tells learners which visible tests pass, and what is next."""

import nbformat
import pytest

from course_lib import copies, progress
from course_lib.progress import Page, exercises


def ran(name, value=None, error=False, count=1, printed=""):
    """A test cell of 2 points as JupyterLab saves it after a run."""
    outputs = [nbformat.v4.new_output("stream", text=printed)]
    if value is not None:
        outputs.append(nbformat.v4.new_output("execute_result", {"text/plain": str(value)}))
    if error:
        outputs.append(nbformat.v4.new_output("error", ename="AssertionError", evalue="no", traceback=[]))
    mark = {"grade": True, "solution": False, "points": 2, "grade_id": name}
    return nbformat.v4.new_code_cell("...", outputs=outputs, execution_count=count, metadata={"nbgrader": mark})


def save(folder, name, *cells):
    (folder / name).mkdir()
    title = nbformat.v4.new_markdown_cell(f"# Exercise 01: {name}\n\nText.")
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *cells]), folder / name / f"{name}.ipynb")


def heading(text):
    return nbformat.v4.new_markdown_cell(text)


@pytest.fixture
def begun(tmp_path):
    """An exercise with one question passed, one in part, one failed, one never run."""
    said = "passed  (1 of 1)  it adds\nnot yet (0 of 1)  it | carries: 9 + 1 should be *10*, got <0>\n"
    answer = nbformat.v4.new_code_cell("x", execution_count=1, metadata={"nbgrader": {"grade": False, "solution": True}})
    cells = [heading("## 1. Add (2 points)"), ran("test_a", 2), heading("## 2. Carry (2 points)"), answer]
    cells += [ran("test_b", 1, printed=said), ran("test_c", error=True), ran("test_d", 2, count=None)]
    save(tmp_path, "one", *cells)
    save(tmp_path, "two", heading("## 1. All of it (1 point)"), ran("test_e"))
    return tmp_path


def test_states_points_and_what_is_missing(begun):
    one, two = exercises(begun).values()
    assert [(q.state, q.earned) for q in one.questions] == [("passed", 2), ("partly", 1), ("not yet", 0), ("not run", None)]
    assert [q.title for q in one.questions][:2] == ["1. Add", "2. Carry"] and one.next.name == "test_b"
    assert one.questions[1].missing == ("it | carries: 9 + 1 should be *10*, got <0>",)
    assert two.next is None and two.questions[0].state == "passed", "a cell without a value or an error has full marks"


def test_a_word_on_stderr_is_nothing_and_no_score_is_above_the_maximum(tmp_path):
    warned, forged = ran("test_a", 2), ran("test_b", 9)
    warned.outputs.insert(0, nbformat.v4.new_output("stream", name="stderr", text="a warning"))
    save(tmp_path, "one", warned, forged)
    assert [question.earned for question in exercises(tmp_path)["one"].questions] == [0, 2]


def test_the_page_says_it_in_words_and_signs(begun):
    text = str(Page(exercises(begun), beside=begun / "notebooks"))
    assert text.startswith("**Next:** [01: one](../one/one.ipynb), question 2. Carry")
    assert "| [01: one](../one/one.ipynb) | ✓◐✗○ 1 of 4 | 3 of 8 | 2. Carry |" in text
    assert "| ✓ 1 of 1 | 2 of 2 | all passed |" in text
    assert "| 2. Carry | ◐ partly | 1 of 2 | it \\| carries: 9 + 1 should be \\*10\\*, got &lt;0&gt; |" in text
    for sign, word in (("✗", "not yet"), ("○", "not run"), ("✓", "passed")):
        assert f"| {sign} {word} |" in text


def test_a_finished_course_and_an_empty_folder_have_words(begun):
    assert str(Page({"two": exercises(begun)["two"]})).startswith("**Next:** nothing: every visible test passes.")
    assert "python -m course_lib.copies" in str(Page(exercises(begun / "nowhere")))


@pytest.mark.parametrize("text", ["{", "[]", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}'])
def test_a_copy_that_cannot_be_read_has_a_row_of_words(begun, text):
    (begun / "one" / "one.ipynb").write_text(text)
    page = str(Page(exercises(begun)))
    assert "| unknown |  | cannot be read (" in page and "✓ 1 of 1" in page


def test_a_fresh_copy_of_the_course_has_passed_none_of_its_three_to_five_questions(tmp_path):
    copies.update(folder=tmp_path)
    found = exercises(tmp_path)
    assert sorted(found) == sorted(path.name for path in copies.EXERCISES.iterdir())
    for exercise in found.values():
        assert 3 <= len(exercise.questions) <= 5 and {q.state for q in exercise.questions} == {"not run"}
        assert len({q.title for q in exercise.questions}) == len(exercise.questions)
    assert set(progress.SIGNS) == {"passed", "partly", "not yet", "not run"}
