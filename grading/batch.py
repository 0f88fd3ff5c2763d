"""Grades a class: every submission of a folder, side by side, each once, and whatever one of them does."""

import contextlib
import functools
import os
import tempfile
from pathlib import Path
from statistics import median

import nbformat
from filelock import FileLock, Timeout
from tqdm import tqdm

from grading import answers, book, crew, feedback, leaderboard, overlay, questions, submissions, summary, table
from grading.grader import Grade, Grader
from grading.journal import Journal, digest_of_exercise, digest_of_submission, digest_of_tools, key_of
from grading.judge import Judge, seed_of
from grading.release import SOLUTIONS, exercise_names
from grading.sandbox import Limits, remove, unavailable

ROOM = "grading-"
SECONDS_EACH = 3.0  # of a small submission on one core, while a folder has no figures of its own
WITHOUT = "To grade people that you trust without it: make grade UNPROTECTED=1, or python -m grading --unprotected"


def grade_folder(folder, *, workers=None, limits=None, protected=True, over=None, again=False, progress=False):
    """Grade every submission in folder/submitted/; returns one Grade each, in order.

    workers: processes, None for one a core. over: an instructor's overlay of secret tests. again: also what was graded
    already. progress: say on the terminal what is done. Writes, in folder: grades.csv, whole after every submission;
    feedback/, autograded/, summary.html, gradebook.db; leaderboard.html and .csv where a judge measures; and journal.jsonl,
    from which it goes on after it was killed.
    Raises ValueError, before anything is graded, when there is nothing to grade or a part of it is not as it has to be.
    """
    folder, workers = Path(folder).resolve(), _whole(os.cpu_count() or 1 if workers is None else workers)
    found = submissions.find(folder / "submitted")
    if protected and (why := unavailable()):
        raise ValueError(f"the sandbox cannot run: {why}. {WITHOUT}")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(folder / ".grading.lock", timeout=0))
        except Timeout:
            raise ValueError(f"{folder} is being graded already, by another process: wait for it, or end it") from None
        work = held.enter_context(_room(folder))
        batch = Batch(folder, work, found, limits or Limits(), protected, over)
        return batch.run(workers, again, progress)


@contextlib.contextmanager
def _room(folder):
    """A temporary folder for all that grading puts aside, to be used under the lock of the class folder.

    Its path stands in a file there, so that what a killed run left, secret tests among it, is cleared by the next one.
    """
    note = folder / ".grading.room"
    if note.is_file():
        _clear(Path(note.read_text(encoding="utf-8").strip()))
    room = Path(tempfile.mkdtemp(prefix=ROOM))
    note.write_text(str(room), encoding="utf-8")
    try:
        yield room
    finally:
        _clear(room)
        note.unlink(missing_ok=True)


def _clear(room):
    """Remove such a folder, and nothing else: not what took its place since."""
    if room.name.startswith(ROOM) and room.is_dir() and not room.is_symlink():
        remove(room)


def _whole(workers):
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers: {workers!r} is not allowed; give a whole number above 0, or None for one a core")
    return workers


class Batch:
    """What grade_folder holds while it runs: what is graded, with what, and {Submission: (Grade, answers)} so far."""

    def __init__(self, folder, work, found, limits, protected, over):
        self.folder, self.found, self.limits, self.protected, self.work = folder, found, limits, protected, work
        names = [name for name in exercise_names() if any(one.exercise == name for one in found)]
        self.solutions = overlay.lay(over, work, names) if over else SOLUTIONS
        self.released, self.gradebook = work / "released", folder / "gradebook.db"
        book.keep_a_copy(self.gradebook)
        book.prepare(self.released, self.gradebook, names, self.solutions)
        self.pseudonyms = leaderboard.pseudonyms(folder / "pseudonyms.csv")
        self.asked = {name: questions.read(self.solutions / name / f"{name}.ipynb") for name in names}
        self.tools = digest_of_tools(limits, protected, seed_of(folder))
        self.exercises = {name: digest_of_exercise(name, self.solutions) for name in names}
        self.journal = Journal(folder / "journal.jsonl")
        # Taken now: what is handed in anew while its first version is graded shall be graded again.
        self.keys = {one: key_of(self.tools, self.exercises.get(one.exercise), digest_of_submission(one)) for one in found}
        self.by_hand = book.marks_by_hand(self.gradebook)
        self.done = {}

    def run(self, workers, again, progress):
        self.done = {} if again else self._kept()
        todo = [submission for submission in self.found if submission not in self.done]
        if progress:
            self._announce(todo, workers)
        self.journal.clean()
        self._write_table()
        start = functools.partial(_grading, self.work, self.folder, self.released, self.solutions, self.limits, self.protected)
        patience = 2 * self.limits.total + 60  # the grader keeps its own time; this is for a grader that hangs
        try:
            running = contextlib.closing(crew.run(todo, start, workers, patience))
            with running as ended, tqdm(total=len(todo), unit="submission", disable=not progress or not todo) as bar:
                for submission, result, problem in ended:
                    self._take(submission, result, problem)
                    bar.update()
        finally:
            self._write_pages()
        return self._grades()

    def _kept(self):
        """{Submission: (Grade, answers)} of what was graded from the same bytes, and is still where it was written."""
        there = book.submissions(self.gradebook)
        kept = {one: self.journal.get(one, self.keys[one]) for one in self.found}
        return {one: pair for one, pair in kept.items() if pair and self._is_there(one, pair[0], there)}

    def _is_there(self, submission, grade, there):
        graded = bool(grade.questions)
        page = feedback.page_of(self.folder, submission, graded)
        return page.is_file() and (not graded or (submission.student, submission.exercise) in there)

    def _take(self, submission, result, problem):
        """Keep the result of one submission and bring the table up to date."""
        if result is None:
            maximum = sum(asked.points for asked in self.asked.get(submission.exercise, {}).values())
            flag = f"not graded: {problem}; run the command again"
            result = Grade(submission.student, submission.exercise, 0.0, maximum, (flag,), 0.0), {}
            feedback.not_graded(self.folder, submission, "The grader ended while it graded this. It will be graded again.")
        else:
            self.journal.add(submission, self.keys[submission], *result)
        self.done[submission] = result
        self._write_table()

    def _grades(self):
        """The grades so far, in the order of the folders, with what a teacher marked by hand."""
        return [book.with_marks(self.done[one][0], self.by_hand) for one in self.found if one in self.done]

    def _write_table(self):
        table.write(self._grades(), self.folder / "grades.csv")

    def _write_pages(self):
        grades = self._grades()
        for student in {grade.student for grade in grades}:
            feedback.index(self.folder, student, [grade for grade in grades if grade.student == student])
        pairs = list(zip(grades, (self.done[one][1] for one in self.found if one in self.done), strict=True))
        stubs = {name: answers.given(_notebook(self.released, name), asked) for name, asked in self.asked.items()}
        summary.write(self.folder / "summary.html", pairs, self.asked, stubs)
        leaderboard.write(self.folder, grades, self.pseudonyms)

    def _announce(self, todo, workers):
        """Say what will be done and how long it may take, before it begins."""
        kept = len(self.found) - len(todo)
        again = f", {kept} of them graded already and unchanged" if kept else ""
        size = max(1, min(workers, len(todo)))
        seconds = len(todo) * median(self.journal.seconds() or [SECONDS_EACH]) / size
        how_long = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        print(f"Submissions: {len(self.found)}{again}.")
        for line in self._not_judged({submission.exercise for submission in todo}):
            print(line)
        if todo:
            longest = f"one that never ends costs up to {self.limits.total:g} s more"
            print(f"About {how_long} with {size} at a time; {longest}.", flush=True)

    def _not_judged(self, names):
        for name in sorted(names & set(self.asked)):
            source, judge = (self.solutions / name / file for file in (f"{name}.ipynb", "judge.py"))
            judged = Judge(judge.read_text(encoding="utf-8"), seed=0).judged if judge.is_file() else {}
            if left := questions.not_judged(source, judged):
                yield f"{name}: not judged from outside, so that their points can be forged: {', '.join(left)}"


@contextlib.contextmanager
def _grading(work, folder, released, solutions, limits, protected):
    """In a process of the crew: a function of a Submission that returns (Grade, answers)."""
    tempfile.tempdir = str(work)  # so that all it leaves when it is killed lies in one place
    with Grader(folder, exercise_names(), solutions, limits, protected, released) as grader:

        def grade(submission):
            result = grader.grade(submission)
            return result, _answers(folder, solutions, submission) if result.questions else {}

        yield grade


def _answers(folder, solutions, submission):
    name = submission.exercise
    notebook = _notebook(folder / "autograded" / submission.student, name)
    return answers.given(notebook, questions.read(solutions / name / f"{name}.ipynb"))


def _notebook(folder, name):
    return nbformat.read(folder / name / f"{name}.ipynb", as_version=4)
