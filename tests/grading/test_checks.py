"""The checks inside exercises, and the look at what a learner has passed."""

import json

import nbformat
import pytest
from submitting import ROOT

from course_lib.exercises import Checks, passed


def test_checks_add_up_and_say_what_failed(capsys):
    check = Checks()
    with check(2, "two and two"):
        assert 2 + 2 == 4
    with check(1, "one more"):
        raise AssertionError("expected 1, got 2")
    assert check.total() == 2
    assert check.results == [("two and two", 2, True), ("one more", 1, False)]
    assert capsys.readouterr().out == "passed  (2 of 2)  two and two\nnot yet (0 of 1)  one more: expected 1, got 2\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotImplementedError("no answer yet"), "no answer yet"),
        (KeyError("x"), "KeyError: 'x'"),
        (AssertionError(), "AssertionError: "),
    ],
)
def test_checks_that_all_fail_fail_the_cell(error, words):
    check = Checks()
    with check(1, "something"):
        raise error
    with pytest.raises(AssertionError) as caught:
        check.total()
    assert str(caught.value) == f"something: {words}"


def test_checks_let_an_interrupt_through():
    check = Checks()
    with pytest.raises(KeyboardInterrupt), check(1, "a loop"):
        raise KeyboardInterrupt


def ran(value=None, error=False, count=1):
    """A test cell of 2 points as JupyterLab saves it after a run."""
    outputs = [nbformat.v4.new_output("stream", text="not yet\n")]
    if value is not None:
        outputs.append(nbformat.v4.new_output("execute_result", {"text/plain": str(value)}))
    if error:
        outputs.append(nbformat.v4.new_output("error", ename="AssertionError", evalue="no", traceback=[]))
    mark = {"grade": True, "solution": False, "points": 2}
    return nbformat.v4.new_code_cell("...", outputs=outputs, execution_count=count, metadata={"nbgrader": mark})


def test_passed_counts_test_cells_with_full_marks(tmp_path):
    (tmp_path / "one").mkdir()
    answer = nbformat.v4.new_code_cell("x", execution_count=1, metadata={"nbgrader": {"grade": False, "solution": True}})
    cells = [ran(2), ran(1), ran(0), ran(error=True), ran(), ran(2, count=None), answer, nbformat.v4.new_markdown_cell("x")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one" / "one.ipynb")
    (tmp_path / "one" / "copy.ipynb").write_text("not an exercise")
    assert passed(tmp_path) == {"one": (2, 6)}


def test_a_fresh_checkout_has_passed_none_of_its_three_to_five_questions():
    released = {path.name: path for path in (ROOT / "exercises").iterdir()}
    assert sorted(passed(ROOT / "exercises")) == sorted(released)
    assert all(done == 0 and 3 <= total <= 5 for done, total in passed(ROOT / "exercises").values())


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"nothing": 1})])
def test_passed_names_a_notebook_that_cannot_be_read(tmp_path, text):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "one.ipynb").write_text(text)
    with pytest.raises(ValueError, match=r"one\.ipynb is not a notebook that can be read"):
        passed(tmp_path)
