"""The learner's copies of the exercises: never overwritten, and no text of theirs is lost in a merge."""

import copy
import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import copies

STUB = f"def f(x):\n    {copies.STUB}"


def cell(name, source, kind="code", **mark):
    """A cell as a release has it; with `mark` one of nbgrader's."""
    metadata = {"nbgrader": {"grade_id": name, **mark}} if mark else {}
    outputs = {"outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}], "execution_count": 1}
    return {"cell_type": kind, "id": name, "metadata": metadata, "source": source} | (outputs if kind == "code" else {})


def answer(name, source=STUB):
    return cell(name, source, solution=True, grade=False)


def graded(name, source):
    return cell(name, source, solution=False, grade=True, points=2)


def own(source, name="mine"):
    return cell(name, source)


def notebook(*cells):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}


RELEASE = notebook(cell("intro", "# One", "markdown"), answer("answer_f"), graded("test_f", "assert f(1)"))


@pytest.fixture
def course(tmp_path):
    """(the folder of released exercises with one exercise, the learner's folder)."""
    release(tmp_path / "exercises", RELEASE)
    return tmp_path / "exercises", tmp_path / "mine"


def release(folder, content, name="one"):
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / f"{name}.ipynb").write_text(json.dumps(content), encoding="utf-8")


def state(course):
    [copied] = copies.update(*course)
    return copied.state


def edit(course, change):
    """The learner opens the copy, `change(cells)` happens, and it is saved."""
    path = course[1] / "one" / "one.ipynb"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["cells"])
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def changed(**sources):
    """The release with other sources: changed(test_f="assert f(2)")."""
    content = copy.deepcopy(RELEASE)
    for one in content["cells"]:
        one["source"] = sources.get(one["id"], one["source"])
    return content


def sources(course):
    return [one["source"] for one in copies.parse((course[1] / "one" / "one.ipynb").read_bytes())["cells"]]


def test_a_copy_is_made_once_and_then_left_alone(course):
    assert state(course) == "made" and state(course) == "as it was"
    path = edit(course, lambda cells: cells[1].update(source="def f(x):\n    return x"))
    before = path.read_bytes()
    assert state(course) == "as it was" and path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["one.ipynb"]


def test_an_update_brings_the_new_text_and_keeps_the_answer(course):
    state(course)
    path = edit(course, lambda cells: (cells[1].update(source="mine"), cells.append(own("also mine"))))
    before = path.read_bytes()
    release(course[0], changed(intro="# One, mended", test_f="assert f(2)"))
    [copied] = copies.update(*course)
    assert copied.state == "updated" and "before_update_1.ipynb" in copied.words
    assert sources(course) == ["# One, mended", "mine", "assert f(2)", "also mine"]
    assert path.with_name("before_update_1.ipynb").read_bytes() == before
    cells = json.loads(path.read_text())["cells"]
    assert [bool(one["outputs"]) for one in cells[1:]] == [True, True, True], "a release brings its own outputs"
    assert state(course) == "as it was"


def test_outputs_of_a_changed_test_are_dropped_and_others_stay():
    new = changed(test_f="assert f(2)")
    new["cells"][2].update(outputs=[], execution_count=None)
    merged, _ = copies.merge(marked(RELEASE), new)
    assert [one.get("execution_count") for one in merged["cells"]] == [None, 1, None]


def test_code_that_tests_share_makes_their_outputs_stale():
    old, new = (notebook(cell("given", source), *RELEASE["cells"]) for source in ("limit = 1", "limit = 2"))
    merged, _ = copies.merge(marked(old), new)
    assert merged["cells"][-1]["outputs"] == [] and merged["cells"][-2]["outputs"] != []


def marked(content, released=None):
    """The copy that a learner has of this release."""
    return copies._marked(copy.deepcopy(content), released or content)


def test_what_both_changed_is_kept_below_and_named(course):
    state(course)
    edit(course, lambda cells: (cells[0].update(source="# One, with my notes"), cells[2].update(source="assert True")))
    release(course[0], changed(intro="# One, mended", test_f="assert f(2)"))
    [copied] = copies.update(*course)
    assert sources(course) == ["# One, mended", "# One, with my notes", STUB, "assert f(2)", "assert True"]
    assert "cell intro: you and the course have both changed it" in copied.words and "test_f: you and" in copied.words
    kept = copies.parse(copied.path.read_bytes())["cells"][4]
    assert kept["cell_type"] == "raw" and kept["metadata"] == {}, "an old test neither runs nor counts"


def test_the_text_of_an_answered_cell_that_changed_stands_above_the_answer(course):
    state(course)
    edit(course, lambda cells: cells[1].update(source="def f(x):\n    return x"))
    new = f"def f(x, y):\n    {copies.STUB}"
    release(course[0], changed(answer_f=new))
    [copied] = copies.update(*course)
    assert "answer_f: its text has changed" in copied.words
    note, kept = sources(course)[1:3]
    assert new in note and kept == "def f(x):\n    return x"


def test_a_question_that_is_gone_leaves_only_what_the_learner_wrote():
    mine = marked(RELEASE)
    mine["cells"][1]["source"] = "mine"
    merged, words = copies.merge(mine, notebook(RELEASE["cells"][0]))
    assert [one["source"] for one in merged["cells"]] == ["# One", "mine"] and "nbgrader" not in merged["cells"][1]["metadata"]
    assert words == ["answer_f: the course no longer has this cell; your text of it is kept as a cell of your own"]


def test_an_answer_written_into_the_released_exercise_is_the_learners_too(course):
    release(course[0], changed(answer_f="mine, in the wrong folder"))
    state(course)
    release(course[0], RELEASE)  # git checkout exercises
    assert state(course) == "as it was" and "mine, in the wrong folder" in sources(course)


def test_a_copy_that_was_fetched_or_made_by_hand_is_remembered_without_a_word_and_merged_later(course):
    path = course[1] / "one" / "one.ipynb"
    release(course[1], changed(answer_f="mine"))
    [copied] = copies.update(*course)
    assert (copied.state, copied.words) == ("as it was", "") and [file.name for file in path.parent.iterdir()] == ["one.ipynb"]
    release(course[0], changed(test_f="assert f(2)"))
    assert state(course) == "updated" and sources(course) == ["# One", "mine", "assert f(2)"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not a notebook: "),
        ("[]", "not a notebook of format 4"),
        (json.dumps({"nbformat": 3, "worksheets": []}), "not a notebook of format 4"),
        (json.dumps({"nbformat": 4, "cells": []}), "metadata or nbformat_minor is missing"),
        (json.dumps(notebook({"cell_type": "code", "source": 1, "metadata": {}})), "cell 1 is not a cell"),
        ("[" * 100_000, "not a notebook: "),
    ],
)
def test_a_copy_that_cannot_be_read_is_refused_and_the_others_are_made(course, content, reason):
    release(course[0], RELEASE, "two")
    (course[1] / "one").mkdir(parents=True)
    path = course[1] / "one" / "one.ipynb"
    path.write_text(content)
    refused, made = copies.update(*course)
    assert refused.state == "refused" and reason in refused.words and "one.ipynb was left as it is" in refused.words
    assert "Mend it, or move it away" in refused.words
    assert path.read_text() == content and made.state == "made"


def test_a_folder_or_a_dangling_link_in_the_copys_place_is_refused(course):
    path = course[1] / "one" / "one.ipynb"
    path.mkdir(parents=True)
    assert state(course) == "refused"
    path.rmdir()
    path.symlink_to(path.with_name("gone"))
    assert state(course) == "refused" and path.is_symlink()


def test_a_write_that_fails_leaves_the_copy_whole(course, monkeypatch):
    state(course)
    path = edit(course, lambda cells: cells[1].update(source="mine"))
    before = path.read_bytes()
    release(course[0], changed(test_f="assert f(2)"))

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    [copied] = copies.update(*course)
    assert copied.state == "refused" and "no space left" in copied.words and path.read_bytes() == before
    assert not list(path.parent.glob(".*.tmp"))


def test_a_release_that_cannot_be_read_is_named(course):
    (course[0] / "one" / "one.ipynb").write_text("{")
    with pytest.raises(ValueError, match=r"one\.ipynb cannot be read .*git checkout exercises"):
        copies.update(*course)


def test_every_exercise_of_the_course_is_copied_and_merged_with_itself(tmp_path):
    assert {copied.state for copied in copies.update(folder=tmp_path)} == {"made"}
    assert {copied.state for copied in copies.update(folder=tmp_path)} == {"as it was"}
    assert copies.report(copies.update(folder=tmp_path)).startswith(f"{len(list(tmp_path.iterdir()))} exercises of your own")
    shutil.rmtree(tmp_path / "01_measuring")
    assert [c.exercise for c in copies.update(folder=tmp_path) if c.state == "made"] == ["01_measuring"]


# ---- whatever the two sides did: no text of the learner is lost ----

NAMES = ("intro", "answer_f", "test_f", "given", "answer_g", "test_g")
TEXTS = st.text("abc \n", max_size=6)


@st.composite
def releases(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    cells = []
    for name in names:
        text = draw(TEXTS)
        if name.startswith("answer"):
            cells.append(answer(name, f"{text}\n{copies.STUB}" if draw(st.booleans()) else text))
        elif name.startswith("test"):
            cells.append(graded(name, text))
        else:
            cells.append(cell(name, text, draw(st.sampled_from(["code", "markdown"]))))
    return notebook(*cells)


@st.composite
def learners(draw, released):
    """(a copy of `released` after some editing, the texts in it that are the learner's own)."""
    mine, written = marked(released), []
    for number in range(draw(st.integers(0, 6))):
        cells, text = mine["cells"], f"{draw(TEXTS)} learner {number}"
        place = draw(st.integers(0, len(cells)))
        deed = draw(st.sampled_from(["write", "edit", "edit", "double", "delete", "unname", "turn"]))
        if deed == "write":
            cells.insert(place, own(text, draw(st.sampled_from([*NAMES, "x1", "x2"]))))
        elif place < len(cells) and deed == "edit":
            cells[place]["source"] = text
        elif place < len(cells) and deed == "double":
            cells.append(copy.deepcopy(cells[place]))
        elif place < len(cells) and deed == "delete":
            del cells[place]
        elif place < len(cells) and deed == "unname":
            cells[place].pop("id", None)
        elif place < len(cells):
            cells[place]["cell_type"] = "raw"
    if draw(st.booleans()):
        mine["metadata"].pop("course")
    written = [one["source"] for one in mine["cells"] if " learner " in one["source"]]
    return mine, written


@settings(max_examples=150)
@given(st.data())
def test_no_text_of_the_learner_is_ever_lost(data):
    old, new = data.draw(releases()), data.draw(releases())
    mine, written = data.draw(learners(old))
    before = copy.deepcopy((mine, new))
    merged, _ = copies.merge(mine, new)
    assert (mine, new) == before
    texts = [one["source"] for one in merged["cells"]]
    for text in set(written):
        assert texts.count(text) >= written.count(text)
    assert_holds_the_release(merged, new)
    again, words = copies.merge(merged, new)
    assert texts == [one["source"] for one in again["cells"]] and words == [], "merging twice changes nothing"


def assert_holds_the_release(merged, new):
    """Every released cell is there once, in order, in its new text unless the learner answers in it; ids are unique."""
    of_course = [one for one in merged["cells"] if copies.key(one) in {copies.key(other) for other in new["cells"]}]
    first = {copies.key(one): one for one in reversed(of_course)}
    for one in new["cells"]:
        kept = first[copies.key(one)]
        assert copies.is_answer(one) or kept["source"] == one["source"] or " learner " in kept["source"]
        assert kept["metadata"].get("nbgrader") == one["metadata"].get("nbgrader")
    ids = [one["id"] for one in merged["cells"]]
    assert len(ids) == len(set(ids))


@settings(max_examples=100)
@given(releases(), st.data())
def test_without_a_change_by_the_course_a_merge_changes_no_text(released, data):
    mine, _ = data.draw(learners(released))
    once, _ = copies.merge(mine, released)
    twice, _ = copies.merge(once, released)
    assert [one["source"] for one in once["cells"]] == [one["source"] for one in twice["cells"]]
