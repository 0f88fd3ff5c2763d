"""A class graded in one go: killed half-way, gone on with, changed, graded again; its table, its journal, its summary."""

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from submitting import ROOT, answered, hand_in, solutions
from wrong_answers import WRONG

from grading import answers, batch, submissions, summary, table
from grading.batch import grade_folder
from grading.grader import Grade, Grader
from grading.journal import Journal, digest_of_submission
from grading.passes import Question
from grading.questions import Asked
from grading.submissions import Submission

EXERCISE = "01_measuring"
COMMAND = [sys.executable, "-m", "grading", "--unprotected"]  # of the sandbox there are tests elsewhere


def rows(folder):
    """{student: row} of grades.csv."""
    with (folder / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "grading came to an end before it could be killed"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A class that was killed when its first grade was in the table, and then gone on with; the outputs are kept."""
    folder, right = tmp_path_factory.mktemp("class"), solutions(EXERCISE)
    wrong = {name: choices[0] for name, choices in WRONG[EXERCISE].items()}
    for student, code in (("ada", right), ("bob", wrong), ("cleo", right)):
        hand_in(folder, student, EXERCISE, answered(EXERCISE, code))
    (folder / "submitted" / "=cmd()").mkdir()
    temporary = tmp_path_factory.mktemp("t")
    own = {"cwd": ROOT, "text": True, "env": os.environ | {"TMPDIR": str(temporary)}}
    started = subprocess.Popen([*COMMAND, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **own)
    with started:
        wait_for(lambda: (folder / "grades.csv").exists() and len(rows(folder)) > 1, started)
        started.send_signal(signal.SIGKILL)
        first = started.stdout.read()
    before = rows(folder)
    assert list(temporary.glob("grading-*")), "what was killed could not clear up"
    done = subprocess.run([*COMMAND, str(folder)], capture_output=True, timeout=500, check=True, **own)
    assert not [*temporary.iterdir(), *folder.glob(".grading.room")], "the next run does it, and leaves nothing of its own"
    return folder, before, first, done.stdout


def test_a_class_that_was_killed_is_gone_on_with(folder):
    path, before, first, second = folder
    assert "Submissions: 4." in first and "About " in first
    assert f"Submissions: 4, {len(before)} of them graded already and unchanged." in second
    assert 2 <= len(before) < 4, "the class was to be killed half-way"
    after = rows(path)
    assert list(after) == ["'=cmd()", "ada", "bob", "cleo"]
    assert before.items() <= after.items(), "what was graded before the kill keeps its row, and its seconds"
    assert after["ada"]["points"] == after["cleo"]["points"] == "14" == after["bob"]["maximum"]
    assert 0 < float(after["bob"]["points"]) < 14


def test_everybody_has_an_index_and_the_room_a_summary(folder):
    path = folder[0]
    for student in ("ada", "bob", "cleo", "=cmd()"):
        assert "href=" in (path / "feedback" / student / "index.html").read_text(encoding="utf-8")
    page = (path / "summary.html").read_text(encoding="utf-8")
    assert "3 submissions" in page and "1 of 3" in page
    assert not [name for name in ("ada", "bob", "cleo") if name in page]


def test_only_what_changed_is_graded_again_and_grades_the_same(folder):
    path = folder[0]
    before = rows(path)
    place = path / "autograded" / "{}" / EXERCISE / f"{EXERCISE}.ipynb"
    written = {student: os.stat(str(place).format(student)).st_mtime_ns for student in ("ada", "bob", "cleo")}
    notebook = path / "submitted" / "bob" / EXERCISE / f"{EXERCISE}.ipynb"
    notebook.write_bytes(notebook.read_bytes() + b"\n")
    grades = {grade.student: grade for grade in grade_folder(path, workers=1, protected=False)}
    again = {student: os.stat(str(place).format(student)).st_mtime_ns for student in written}
    assert [student for student in written if again[student] != written[student]] == ["bob"]
    assert f"{grades['bob'].points:g}" == before["bob"]["points"]
    assert grades["ada"].points == 14 and set(grades["ada"].questions) == {
        name.replace("answer_", "test_") for name in WRONG[EXERCISE]
    }


def test_two_at_once_and_a_wrong_number_of_processes_are_refused(tmp_path):
    hand_in(tmp_path, "ada", EXERCISE, "{}")
    with FileLock(tmp_path / ".grading.lock"), pytest.raises(ValueError, match="being graded already"):
        grade_folder(tmp_path, protected=False)
    with pytest.raises(ValueError, match=r"workers: 0 is not allowed; give a whole number above 0"):
        grade_folder(tmp_path, workers=0, protected=False)


def test_without_a_sandbox_nothing_is_graded_unless_asked_for(tmp_path, monkeypatch):
    hand_in(tmp_path, "ada", EXERCISE, "{}")
    monkeypatch.setattr("grading.batch.unavailable", lambda: "bubblewrap is not installed")
    with pytest.raises(ValueError, match=r"bubblewrap is not installed.* without it: make grade UNPROTECTED=1"):
        grade_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["submitted"]


def test_only_a_folder_of_its_own_is_cleared(tmp_path):
    for name in ("grading-old", "thesis"):
        (tmp_path / name / "locked").mkdir(mode=0, parents=True)
        (tmp_path / ".grading.room").write_text(str(tmp_path / name))
        with batch._room(tmp_path) as room:
            assert room.is_dir() and (tmp_path / ".grading.room").read_text() == str(room)
        assert not room.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_full_disk_is_nobodys_grade(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    hand_in(tmp_path, "ada", EXERCISE, answered(EXERCISE, {}))
    monkeypatch.setattr("grading.grader.Passes.run", full)
    with Grader(tmp_path, [EXERCISE], protected=False) as grader, pytest.raises(OSError, match="No space left"):
        grader.grade(submissions.find(tmp_path / "submitted")[0])


def test_a_folder_that_nobody_may_look_into_is_one_row_and_no_end(tmp_path, monkeypatch):
    hand_in(tmp_path, "ada", EXERCISE, "{}")

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refused)
    monkeypatch.setattr("os.access", lambda *_: False)
    (found,) = submissions.find(tmp_path / "submitted")
    with pytest.raises(submissions.CannotGrade, match="the student's folder cannot be read: change its permissions"):
        submissions.read(found, [EXERCISE])


def test_a_damaged_gradebook_is_named(tmp_path):
    hand_in(tmp_path, "ada", EXERCISE, "{}")
    (tmp_path / "gradebook.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match=r"gradebook\.db is damaged .* put gradebook_before\.db in its place"):
        grade_folder(tmp_path, protected=False)


GRADE = Grade("ada", EXERCISE, 1.0, 2.0, ("edited",), 3.5, {"test_x": Question(1.0, 2.0, ("the sum",))})
ADA = Submission("ada", EXERCISE, None)


def test_the_journal_survives_half_a_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path).add(ADA, "key", GRADE, {"test_x": "x = 1"})
    with path.open("a") as file:
        file.write('{"student": "bob", "exer')
    journal = Journal(path)
    assert journal.get(ADA, "key") == (GRADE, {"test_x": "x = 1"})
    assert journal.get(ADA, "another key") is None
    assert journal.seconds() == [3.5]
    journal.clean()
    journal.add(Submission("cleo", EXERCISE, None), "key", GRADE, {})
    assert Journal(path).get(Submission("cleo", EXERCISE, None), "key") == (GRADE, {})


def test_the_digest_of_a_submission_sees_its_bytes_and_names_and_waits_for_nobody(tmp_path):
    notebook = tmp_path / f"{EXERCISE}.ipynb"
    submission = Submission("ada", EXERCISE, tmp_path)
    digests = [digest_of_submission(submission)]
    notebook.write_text("one")
    digests.append(digest_of_submission(submission))
    notebook.write_text("two")
    digests.append(digest_of_submission(submission))
    (tmp_path / "more").touch()
    digests.append(digest_of_submission(submission))
    notebook.unlink()
    os.mkfifo(notebook)
    digests.append(digest_of_submission(submission))
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("ada", "ada"),
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("\uff1dx", "'\uff1dx"),
        ("a; =x", "a; '=x"),
        ("\t=x", "\\t=x"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("caf\udce9", "caf\\udce9"),
        ("Ana María", "Ana María"),
    ],
)
def test_no_name_is_a_formula_or_a_command(text, harmless, tmp_path):
    assert table.harmless(text) == harmless
    table.write([Grade(text, EXERCISE, 0.5, 2.0, ("a, b", text), 1.0)], tmp_path / "grades.csv")
    assert rows(tmp_path)[harmless]["flags"].startswith("a, b; ")


def test_answers_are_compared_without_comments_layout_and_names_of_locals():
    one = 'def f(x):\n    """Doc."""\n    total = 0  # start\n    for value in x: total += value\n    return total'
    two = "def f(x):\n\n    t = 0\n    for v in x:\n        t += v\n    return (t)"
    assert answers.comparable(one) == answers.comparable(two)
    for other in ("def f(x):\n    return sum(x)", two.replace("t = 0", "t = 1"), two.replace("(x)", "(y)"), "def f(x"):
        assert answers.comparable(other) != answers.comparable(one)
    assert "Doc" not in answers.shown(one) and "start" not in answers.shown(one) and "total" in answers.shown(one)
    assert answers.shown("def f(\n\n# a name\n  x") == "def f(\n  x"
    assert answers.comparable("(" * 5000) and answers.comparable("x = " + "-" * 15_000 + "1")


def test_the_summary_names_questions_checks_and_answers_and_nobody(tmp_path):
    asked = {EXERCISE: {"test_one": Asked(2.0, ("a", "b"), ()), "test_<two>": Asked(3.0, ("c",), ())}}
    full, half = Question(2.0, 2.0, ()), Question(1.0, 2.0, ("b",))
    lost, kept = Question(0.0, 3.0, ("c",)), Question(3.0, 3.0, ())
    codes = ["x = '<b>' # ada", "x  =  '<b>'", "x = 'bob'", "STUB"]
    graded = [
        (Grade("ada", EXERCISE, 2.0, 5.0, (), 1.0, {"test_one": full, "test_<two>": lost}), {"test_<two>": codes[0]}),
        (Grade("bob", EXERCISE, 1.0, 5.0, (), 1.0, {"test_one": half, "test_<two>": lost}), {"test_<two>": codes[1]}),
        (Grade("cleo", EXERCISE, 5.0, 5.0, (), 1.0, {"test_one": full, "test_<two>": kept}), {"test_<two>": codes[2]}),
        (Grade("dan", EXERCISE, 2.0, 5.0, (), 1.0, {"test_one": full, "test_<two>": lost}), {"test_<two>": codes[3]}),
        (Grade("eve", EXERCISE, 0.0, 5.0, ("not graded: x",), 1.0), {}),
    ]
    summary.write(tmp_path / "summary.html", graded, asked, {EXERCISE: {"test_<two>": "STUB"}})
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "4 submissions, on average 2.5 of 5 points; 1 more could not be graded." in page
    assert "&lt;two&gt; <strong>(lost most)</strong>" in page and "0.8 of 3" in page and "3 of 4" in page
    assert "The commonest wrong answer, 2 of 2:" in page and "&lt;b&gt;" in page and "No answer: 1." in page
    assert not [name for name in ("ada", "bob", "cleo", "dan", "eve", "<b>", "<two>") if name in page]


def test_an_answer_that_holds_a_learners_name_is_not_shown(tmp_path):
    asked = {EXERCISE: {"test_one": Asked(2.0, ("a",), ())}}
    graded = [(Grade("ada", EXERCISE, 0.0, 2.0, (), 1.0, {"test_one": Question(0.0, 2.0, ("a",))}), {"test_one": "by_Ada = 1"})]
    summary.write(tmp_path / "summary.html", graded, asked, {EXERCISE: {}})
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "Ada" not in page and "holds a learner&#x27;s name" in page.replace("'", "&#x27;")
