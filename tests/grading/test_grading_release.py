"""exercises/ is what solutions/ makes, and holds neither answers nor hidden tests."""

import json

import pytest
from nbgrader.validator import Validator
from submitting import ROOT

from grading.release import exercise_names, release


def notebooks(folder):
    """{path: notebook}, without the language_info that JupyterLab adds when a learner opens and saves an exercise."""
    found = {}
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            notebook["metadata"].pop("language_info", None)
            found[str(path.relative_to(folder))] = notebook
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    release(folder)
    return folder


def test_exercises_are_what_the_solutions_make(made):
    assert notebooks(ROOT / "exercises") == notebooks(made), "the exercises differ from their source: run make exercises"


def test_every_solution_is_released(made):
    assert set(notebooks(made)) == {f"{name}/{name}.ipynb" for name in exercise_names()} != set()


def test_the_same_solutions_give_the_same_bytes(made, tmp_path):
    release(tmp_path)
    for path in sorted(made.rglob("*.ipynb")):
        assert path.read_bytes() == (tmp_path / path.relative_to(made)).read_bytes()


def marked_regions(cell):
    """[(what, line)] of a solution cell's lines between BEGIN and END marks; what is SOLUTION or HIDDEN TESTS."""
    found, inside = [], ""
    for line in "".join(cell["source"]).splitlines():
        if line.strip().startswith("### "):
            inside = line.strip().removeprefix("### BEGIN ") if "BEGIN" in line else ""
        elif line.strip() if inside == "SOLUTION" else inside and "assert" in line:  # hidden tests repeat visible calls
            found.append((inside, line))
    return found


def test_no_answer_and_no_hidden_test_is_released(made):
    count = {"SOLUTION": 0, "HIDDEN TESTS": 0}
    for name in exercise_names():
        source = json.loads((ROOT / "solutions" / name / f"{name}.ipynb").read_text(encoding="utf-8"))
        for cell, out in zip(source["cells"], notebooks(made)[f"{name}/{name}.ipynb"]["cells"], strict=True):
            for what, line in marked_regions(cell):
                assert line not in "".join(out["source"]).splitlines(), f"{name}: {line.strip()} must not be released"
                count[what] += 1
            stubs = "".join(cell["source"]).count("BEGIN SOLUTION")
            assert "".join(out["source"]).count('raise NotImplementedError("no answer yet")') == stubs
    assert min(count.values()) > 20


def test_a_solution_that_nbgrader_refuses_is_named(tmp_path, monkeypatch):
    source = ROOT / "solutions" / "01_measuring" / "01_measuring.ipynb"
    notebook = json.loads(source.read_text(encoding="utf-8"))
    notebook["cells"][1]["source"] = "### BEGIN SOLUTION"
    spoilt = tmp_path / "solutions" / "spoilt" / "spoilt.ipynb"
    spoilt.parent.mkdir(parents=True)
    spoilt.write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr("grading.release.SOLUTIONS", tmp_path / "solutions")
    with pytest.raises(ValueError, match="the exercise spoilt cannot be made: "):
        release(tmp_path / "out")


@pytest.mark.parametrize(("folder", "failing"), [("solutions", 0), ("exercises", 5)])
def test_validate_tells_a_learner_what_is_missing(folder, failing):
    results = Validator().validate(str(ROOT / folder / "01_measuring" / "01_measuring.ipynb"))
    failed = results.get("failed", [])
    assert len(failed) == failing and set(results) <= {"failed"}
    for cell in failed:
        assert "no answer yet" in cell["raw_error"]
