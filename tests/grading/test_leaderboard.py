"""The leaderboard: ranked by what the judge measured, under pseudonyms, without those who are flagged."""

import csv

import pytest

from grading import leaderboard, passes
from grading.grader import Grade
from grading.judge import Judge
from grading.passes import Question
from grading.sandbox import Limits, Ran

FULL = {"accuracy": 0.81, "bytes": 9000.0, "flops": 3.2e9, "steps": 104.0}
SCRIPT = "<script>alert('8461')</script>"


def grade(student, flags=(), exercise="90_capstone", **measured):
    questions = {"test_pack": Question(5.0, 5.0, ())}
    return Grade(student, exercise, 5.0, 5.0, flags, 1.0, questions, measured)


def lines(folder):
    with (folder / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return [(row["rank"], row["who"]) for row in csv.DictReader(file)]


def test_fewest_bytes_come_first_then_fewest_flops_and_ties_share_a_rank(tmp_path):
    grades = [
        grade("a", **FULL | {"bytes": 9001.0, "flops": 1e9}),
        grade("b", **FULL),
        grade("c", **FULL | {"flops": 3e9}),
        grade("d", **FULL | {"accuracy": 0.99, "steps": 1.0}),
        grade("e", **{name: value for name, value in FULL.items() if name != "flops"} | {"bytes": 10.0}),
        grade("f", **FULL | {"bytes": 9002.0}),
    ]
    leaderboard.write(tmp_path, grades, {name: name.upper() for name in "abcdef"})
    assert lines(tmp_path) == [("1", "C"), ("2", "B"), ("2", "D"), ("4", "A"), ("5", "F"), ("", "E")]
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert page.index("1. C") < page.index("2. B") < page.index("2. D") < page.index("Not yet within every limit")
    assert "81.0%" in page and "3.20" in page and "9,000" in page and "missed" in page


def test_no_name_is_on_it_unless_the_teacher_gave_one(tmp_path):
    grades = [grade("ada", **FULL), grade("bob", **FULL | {"bytes": 8000.0}), grade("cleo", **FULL | {"bytes": 8500.0})]
    leaderboard.write(tmp_path, grades, {"cleo": "learner 1"})
    assert lines(tmp_path) == [("1", "learner 2"), ("2", "learner 1"), ("3", "learner 3")]
    for path in tmp_path.iterdir():
        assert not any(name in path.read_text(encoding="utf-8") for name in ("ada", "bob", "cleo"))


def test_who_is_flagged_is_left_out_and_counted(tmp_path):
    leaderboard.write(tmp_path, [grade("ada", **FULL), grade("bob", ("reaches into the grader: gc",), **FULL)], {})
    assert lines(tmp_path) == [("1", "learner 1")]
    assert "1 with a flag left out" in (tmp_path / "leaderboard.html").read_text(encoding="utf-8")


def test_what_measured_nothing_is_on_no_board(tmp_path):
    leaderboard.write(tmp_path, [grade("ada", **FULL), grade("bob"), grade("cleo", exercise="01_measuring")], {})
    assert lines(tmp_path) == [("1", "learner 1")]
    leaderboard.write(tmp_path, [grade("bob")], {})
    assert list(tmp_path.iterdir()) == [], "a board of an earlier class would be left"


def test_neither_a_script_nor_a_formula_reaches_its_reader(tmp_path):
    names = {"ada": SCRIPT, "bob": "=cmd()"}
    leaderboard.write(tmp_path, [grade("ada", **FULL), grade("bob", **FULL)], names)
    assert SCRIPT not in (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert lines(tmp_path)[1] == ("1", "'=cmd()")


def test_pseudonyms_are_read_from_a_table(tmp_path):
    path = tmp_path / "pseudonyms.csv"
    assert leaderboard.pseudonyms(path) == {}
    path.write_text('\ufeffstudent,name\nada,Owl\n\nbob,"Heron, grey"\n', encoding="utf-8")
    assert leaderboard.pseudonyms(path) == {"ada": "Owl", "bob": "Heron, grey"}


@pytest.mark.parametrize("line", ["ada", "ada,Owl,3", "ada,", "bob,Heron\nbob,Owl", "bob,Owl\nada,Owl"])
def test_a_line_that_is_no_pseudonym_is_named(tmp_path, line):
    path = tmp_path / "pseudonyms.csv"
    path.write_text(f"student,name\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"pseudonyms\.csv, line [23]: "):
        leaderboard.pseudonyms(path)


# What the judge measures.

SMALL = """
def call(answers, x):
    return answers.half(x)

def cases(rng):
    return [(2,), (4,)]

def number(got, x):
    return 10 * got + x

JUDGED = {"test_half": {"exactly": (call, cases)}}
MEASURED = {"tens": ("test_half", "exactly", number)}
"""


class Answering:
    """A kernel that gives the judge one answer, and in which the checks of a test passed or did not."""

    def __init__(self, answer, passed=True):
        self.limits, self._reply, self._results = Limits(), repr(answer.encode().hex()), repr([("exactly", 1, passed)])

    def run(self, source, *, timeout=None, expressions=None, quiet=False):
        values = {"reply": self._reply, "results": self._results, "problems": "[]"}
        return Ran(values={name: values[name] for name in expressions or {}})


def test_the_mean_of_an_accepted_answers_numbers_is_kept():
    judge = Judge(SMALL, 1)
    judge.verdicts(Answering("[1, 2]"), {"test_half": {"exactly": [1, 2]}})
    assert judge.measured == {"tens": ("test_half", "exactly", 18.0)}
    judge.verdicts(Answering("[1, 3]"), {"test_half": {"exactly": [1, 2]}})
    assert judge.measured == {}, "neither a denied answer nor an earlier one measures anything"


@pytest.mark.parametrize(("passed", "measured"), [(True, {"tens": 18.0}), (False, {})])
def test_a_number_counts_with_its_check(passed, measured):
    from nbformat.v4 import new_code_cell, new_notebook

    test = 'check(1, "exactly")'
    tests = passes.Tests({"test_half": test}, {"test_half": test})
    found = passes.Passes(Answering("[1, 2]", passed), tests, Judge(SMALL, 1), {"test_half": {"exactly": [1, 2]}})
    found.run(new_notebook(cells=[new_code_cell(test, metadata={"nbgrader": {"grade_id": "test_half"}})]))
    assert found.measured == measured


@pytest.mark.parametrize("entry", ["number", "('test_half', 'exactly')", "('test_half', 'nearly', number)", "('x', 'y', 3)"])
def test_an_entry_that_is_wrong_is_named(entry):
    with pytest.raises(ValueError, match="MEASURED: 'tens'"):
        Judge(SMALL.replace("('test_half', 'exactly', number)", entry).replace('("test_half", "exactly", number)', entry), 1)
