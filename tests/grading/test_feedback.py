"""What learners get back: no hidden test, no script, nothing from the network, and an index that leads to every page."""

import pytest
from nbformat import v4
from nbgrader.converters import GenerateFeedback

from grading import feedback
from grading.exporter import FeedbackPage, without_hidden_tests
from grading.grader import Grade
from grading.passes import Question
from grading.release import settings
from grading.submissions import Submission

SCRIPT = "<script>alert(8461)</script>"
HIDDEN = "a = 1\n### BEGIN HIDDEN TESTS\nb = 8462\n### END HIDDEN TESTS\nc = 3"


def cell(source, grade_id, outputs=(), **mark):
    known = {"grade": False, "solution": False, "locked": False, "task": False, "score": 1.0, "points": 2.0, "comment": SCRIPT}
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"nbgrader": known | mark | {"grade_id": grade_id}})


@pytest.fixture(scope="module")
def page():
    """The page of a notebook with scripts wherever a learner or a teacher can put them, and hidden tests."""
    shown = v4.new_output("display_data", {"text/html": SCRIPT, "application/javascript": "alert(8461)"})
    cells = [
        v4.new_markdown_cell(f"Some *text* {SCRIPT} <img src=x onerror=alert(8461)>"),
        cell(f"# {SCRIPT}\n### BEGIN HIDDEN TESTS\nmine = 8463", "answer_x", [shown], solution=True),
        cell(HIDDEN, "test_x", [v4.new_output("stream", text=f"passed {SCRIPT}\n")], grade=True),
    ]
    resources = {"nbgrader": {"notebook": "x", "score": 1.0, "max_score": 2.0, "late_penalty": 0}, "metadata": {"name": "x"}}
    exporter = FeedbackPage(config=GenerateFeedback(config=settings()).config)
    return exporter.from_notebook_node(v4.new_notebook(cells=cells), resources)[0]


def test_no_script_is_on_the_page_and_none_would_run(page):
    low = page.lower()
    assert "<script" not in low and "onerror" not in low.replace("&lt;img src=x onerror", "")
    assert "default-src 'none'" in page
    assert "text</em>" in page and "passed" in page and '<html lang="en">' in page
    assert "cdnjs" not in page and "src=" not in low.replace("&lt;img src=x", "")


def test_a_learner_sees_the_tests_without_the_hidden_ones(page):
    assert "8462" not in page and "8463" in page
    assert page.count("HIDDEN TESTS") == 1, "the marks go as well, but for the learner's own"


def test_whoever_makes_pages_uses_this_one():
    assert settings().GenerateFeedback.exporter_class == "grading.exporter.FeedbackPage"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (HIDDEN, "a = 1\nc = 3"),
        ("a\n  ### BEGIN HIDDEN TESTS\nb", "a"),
        ("a\n### END HIDDEN TESTS\nb", "a\n### END HIDDEN TESTS\nb"),
        ("a\n", "a\n"),
    ],
)
def test_hidden_tests_are_cut_out(source, shown):
    assert without_hidden_tests(source) == shown


def test_the_index_leads_to_every_page(tmp_path):
    fine = Grade(
        "a&b", "01_measuring", 1.5, 2.0, ("reaches into the grader",), 1.0, {"test_best_one": Question(1.5, 2.0, ("x",))}
    )
    odd = Grade("a&b", "<odd>", 0.0, 0.0, ("not graded: x",), 0.0)
    written = feedback.page_of(tmp_path, Submission("a&b", "01_measuring", None))
    written.parent.mkdir(parents=True)
    written.write_text("of an earlier grading")
    feedback.not_graded(tmp_path, Submission("a&b", "<odd>", None), f"no {SCRIPT}")
    feedback.index(tmp_path, "a&b", [fine, odd])
    index = (tmp_path / "feedback" / "a&b" / "index.html").read_text(encoding="utf-8")
    assert 'href="01_measuring/01_measuring.html"' in index and 'href="%3Codd%3E/not_graded.html"' in index
    assert "best one 1.5 of 2" in index and "a&amp;b" in index and "&lt;odd&gt;" in index and "<odd>" not in index
    assert "reaches" not in index, "flags are for the teacher"
    assert SCRIPT not in (tmp_path / "feedback" / "a&b" / "<odd>" / "not_graded.html").read_text(encoding="utf-8")
    feedback.not_graded(tmp_path, Submission("a&b", "01_measuring", None), "why")
    assert not written.exists(), "a page of an earlier grading would contradict this one"
