"""What learners get back: a page for each submission, without the hidden tests, and an index of them."""

import shutil
from urllib.parse import quote

from grading.files import replace
from grading.pages import escaped, page, table


def page_of(folder, submission, graded=True):
    """Where the page of a submission is."""
    name = f"{submission.exercise}.html" if graded else "not_graded.html"
    return folder / "feedback" / submission.student / _folder_of(submission.exercise) / name


def _folder_of(exercise):
    """The folder for an exercise's page. One that was handed in as "index.html" must not stand where the index belongs."""
    return f"{exercise}_" if exercise.endswith((".html", ".part")) else exercise


def not_graded(folder, submission, problem):
    """Write the page of a submission that could not be graded, in place of what an earlier grading wrote; say why."""
    place = page_of(folder, submission, graded=False)
    shutil.rmtree(place.parent, ignore_errors=True)
    place.parent.mkdir(parents=True)
    title = f"{submission.exercise or 'Submission'}: not graded"
    replace(place, page(title, f"<p>{escaped(problem)}</p>"))


def no_page(folder, submission):
    """Write the page of a submission that was graded, but whose notebook no page can be made of."""
    place = page_of(folder, submission)
    place.parent.mkdir(parents=True, exist_ok=True)
    words = "It was graded, but its notebook is too large, or too odd, to be shown here. Your points are in the index."
    replace(place, page(f"{submission.exercise}: graded", f"<p>{words}</p>"))


def index(folder, student, grades):
    """Write folder/feedback/<student>/index.html: the student's points, question by question, and links to the pages."""
    place = folder / "feedback" / student
    place.mkdir(parents=True, exist_ok=True)
    rows = [(_link(place, grade), f"{grade.points:g} of {grade.maximum:g}", _questions(grade)) for grade in grades]
    body = table("Your exercises", ("exercise", "points", "question by question"), rows)
    replace(place / "index.html", page(f"Feedback for {student}", body))


def _link(place, grade):
    exercise = grade.exercise
    for name in (f"{exercise}.html", "not_graded.html"):
        if (place / _folder_of(exercise) / name).is_file():
            address = quote(f"{_folder_of(exercise)}/{name}".lstrip("/"), errors="surrogateescape")
            return f'<a href="{address}">{escaped(exercise or "submission")}</a>'
    return escaped(exercise)


def _questions(grade):
    if not grade.questions:
        return "not graded"
    parts = [f"{title(test)} {one.points:g} of {one.maximum:g}" for test, one in grade.questions.items()]
    return "<br>".join(escaped(part) for part in parts)


def title(test):
    """A test cell's name for a reader: test_best_batch is "best batch"."""
    return test.removeprefix("test_").replace("_", " ")
