"""An instructor's secret tests: they count, nobody sees them, and they cannot change what learners get."""

import nbformat
import pytest
from submitting import ROOT, answered, hand_in, solutions

from grading import questions
from grading.batch import grade_folder
from grading.overlay import lay

EXERCISE = "01_measuring"
LINE = 'with check(1, "the slower of the two sets the time"):\n'
SECRET = f"""{LINE}    ### BEGIN HIDDEN TESTS
    assert roofline(flops=8461, nbytes=1, peak=1, bandwidth=1)[0] == 8461, "the secret number"
    ### END HIDDEN TESTS
"""


@pytest.fixture
def overlay(tmp_path):
    """Write an overlay whose copy of the exercise has `old` replaced by `new` in its last test cell; returns the folder."""

    def write(old, new, exercise=EXERCISE):
        notebook = nbformat.read(ROOT / "solutions" / EXERCISE / f"{EXERCISE}.ipynb", as_version=4)
        cell = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "test_roofline")
        assert cell.source.count(old) == 1
        cell.source = cell.source.replace(old, new)
        path = tmp_path / "overlay" / exercise / f"{exercise}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        return tmp_path / "overlay"

    return write


def test_a_secret_test_counts_and_is_shown_to_nobody(overlay, tmp_path):
    folder, right = tmp_path / "class", solutions(EXERCISE)
    caught = right["answer_roofline"].replace("compute, memory =", "flops -= flops == 8461\n    compute, memory =")
    assert caught != right["answer_roofline"]
    hand_in(folder, "ada", EXERCISE, answered(EXERCISE, right))
    hand_in(folder, "bob", EXERCISE, answered(EXERCISE, right | {"answer_roofline": caught}))
    ada, bob = grade_folder(folder, workers=2, protected=False, over=overlay(LINE, SECRET))
    assert (ada.points, ada.flags) == (14, ()) and (bob.points, bob.flags) == (13, ())
    assert bob.questions["test_roofline"].failed == ("the slower of the two sets the time",)
    page = (folder / "feedback" / "bob" / EXERCISE / f"{EXERCISE}.html").read_text(encoding="utf-8")
    assert "a test that you cannot see" in page
    for name in ("feedback/bob/01_measuring/01_measuring.html", "summary.html", "feedback/bob/index.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "secret number" not in text and "nbytes=1, peak=1" not in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (LINE, f"{LINE}    assert True\n", r"the cell test_roofline would be released with 'assert True' in place of "),
        (LINE, f"\n{LINE}", r"the cell test_roofline would be released with '' in place of 'with check\(1, "),
        ("check.total()", "check.total()\n1", r"the cell test_roofline would be released with '1' at its end"),
    ],
)
def test_an_overlay_that_changes_the_release_is_refused(overlay, tmp_path, old, new, words):
    with pytest.raises(ValueError, match=rf"overlay: .*{EXERCISE}\.ipynb: {words}"):
        lay(overlay(old, new), tmp_path / "work", [EXERCISE])


def test_other_points_are_refused(overlay, tmp_path):
    folder = overlay(LINE, SECRET)
    path = folder / EXERCISE / f"{EXERCISE}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace('"points": 4', '"points": 5'), encoding="utf-8")
    with pytest.raises(ValueError, match="the cell test_time_device has another type, name or number of points"):
        lay(folder, tmp_path / "work", [EXERCISE])


def test_what_is_no_exercise_is_refused_before_work_begins(overlay, tmp_path):
    with pytest.raises(ValueError, match="there is no exercise called 01_mesuring: did you mean 01_measuring"):
        lay(overlay(LINE, SECRET, exercise="01_mesuring"), tmp_path / "work", [EXERCISE])
    assert not (tmp_path / "work").exists()
    with pytest.raises(ValueError, match="nowhere is no folder"):
        lay(tmp_path / "nowhere", tmp_path / "work", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is empty; it holds <exercise>/<exercise>\.ipynb"):
        lay(tmp_path / "empty", tmp_path / "work", [])
    (tmp_path / "empty" / f"{EXERCISE}.ipynb").touch()
    with pytest.raises(ValueError, match=r"lies in the wrong place: .* 01_measuring/01_measuring\.ipynb"):
        lay(tmp_path / "empty", tmp_path / "work", [])
    (tmp_path / "empty" / EXERCISE).mkdir()
    with pytest.raises(ValueError, match=r"holds neither 01_measuring\.ipynb nor judge\.py"):
        lay(tmp_path / "empty", tmp_path / "work", [])


def test_the_judge_of_an_overlay_takes_the_place_of_the_courses(tmp_path):
    own = tmp_path / "overlay" / EXERCISE / "judge.py"
    own.parent.mkdir(parents=True)
    own.write_text("JUDGED = {}\n")
    laid = lay(tmp_path / "overlay", tmp_path / "work", ["10_gpu_move"])
    assert sorted(path.name for path in laid.iterdir()) == [EXERCISE, "10_gpu_move"]
    assert (laid / EXERCISE / "judge.py").read_text() == "JUDGED = {}\n"
    assert (laid / "10_gpu_move" / "judge.py").read_bytes() == (ROOT / "solutions" / "10_gpu_move" / "judge.py").read_bytes()
    source = ROOT / "solutions" / EXERCISE / f"{EXERCISE}.ipynb"
    assert (laid / EXERCISE / f"{EXERCISE}.ipynb").read_bytes() == source.read_bytes()


def test_the_questions_without_a_judge_are_named():
    source = ROOT / "solutions" / EXERCISE / f"{EXERCISE}.ipynb"
    asked = questions.read(source)
    judged = {test: dict.fromkeys(one.checks) for test, one in asked.items()}
    assert questions.not_judged(source, judged) == []
    assert questions.not_judged(source, {}) == list(asked)
    judged["test_roofline"].popitem()
    assert questions.not_judged(source, judged) == ["test_roofline"]
    assert asked["test_roofline"].answers == ("answer_roofline",) and questions.maximum(source) == 14
