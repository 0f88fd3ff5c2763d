"""How far a learner is with the exercises, read from what their own copies hold: nothing is run here."""

import html
import os
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib import copies

SIGNS = {"passed": "✓", "partly": "◐", "not yet": "✗", "not run": "○"}  # the word always stands beside the sign
TITLE = re.compile(r"^#+ +(?:Exercise +)?(.+?)(?: *\(\d+ points?\))? *$", re.MULTILINE)
FAILED = re.compile(r"^not yet \(0 of \d+\)  (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """One test cell at its last run and save, visible tests alone: `earned` points of `maximum`, None when it never ran.

    `missing` holds what its checks said that did not pass, one line each.
    """

    name: str
    title: str
    earned: float | None
    maximum: float
    missing: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """ "passed", "partly", "not yet" or "not run"."""
        if self.earned is None:
            return "not run"
        if self.earned >= self.maximum:
            return "passed"
        return "partly" if self.earned > 0 else "not yet"


@dataclass(frozen=True)
class Exercise:
    """One exercise: its title, where its notebook lies, its questions in order, and why there are none, if it is unreadable."""

    title: str
    path: Path
    questions: tuple[Question, ...] = ()
    problem: str = ""

    @property
    def next(self) -> Question | None:
        """The first question that has not passed; None when all have."""
        return next((question for question in self.questions if question.state != "passed"), None)


def exercises(folder: Path | None = None) -> dict[str, Exercise]:
    """{name: exercise} of folder/<name>/<name>.ipynb, by default the learner's copies, in the order of the names."""
    folder = copies.my_folder() if folder is None else Path(folder)
    paths = sorted(path for path in folder.glob("*/*.ipynb") if path.stem == path.parent.name)
    return {path.stem: _exercise(path) for path in paths}


def _exercise(path):
    titles, questions = [path.stem], []
    try:
        for cell in copies.parse(path.read_bytes())["cells"]:
            if cell["cell_type"] == "markdown" and (heading := TITLE.search(cell["source"])):
                titles.append(heading[1])
            elif copies.is_test(cell):
                questions.append(_question(cell, titles[-1]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Exercise(path.stem, path, problem=f"cannot be read ({error}): mend it, or move it away for a fresh copy")
    return Exercise(titles[:2][-1], path, tuple(questions))


def _question(cell, title):
    mark = cell["metadata"]["nbgrader"]
    printed = "\n".join(_text(output.get("text", "")) for output in cell["outputs"] if output["output_type"] == "stream")
    return Question(copies.key(cell), title, _earned(cell), mark["points"], tuple(FAILED.findall(printed)))


def _earned(cell):
    """nbgrader's rule: an error or anything on stderr is 0, a number as the last value is the score, else full marks."""
    maximum = cell["metadata"]["nbgrader"]["points"]
    if cell.get("execution_count") is None:
        return None
    for output in cell["outputs"]:
        if output["output_type"] == "error" or output.get("name") == "stderr":
            return 0
        if output["output_type"] == "execute_result":
            return min(float(_text(output["data"]["text/plain"])), maximum)
    return maximum


def _text(lines):
    return "".join(lines)


class Page:
    """All exercises in a table, what is next, and the questions of those that were begun. Text is Markdown.

    found: as `exercises` returns it; beside: the folder of the notebook that shows the page, for its links.
    """

    def __init__(self, found: dict[str, Exercise], beside: Path = copies.CHECKOUT / "notebooks"):
        self.found, self.beside = found, Path(beside)

    def __str__(self) -> str:
        if not self.found:
            return "No exercises of your own yet: `python -m course_lib.copies` makes them."
        begun = [exercise for exercise in self.found.values() if _begun(exercise)]
        return "\n\n".join([self._next(begun), self._overview(), *map(self._details, begun)])

    _repr_markdown_ = __repr__ = __str__

    def _next(self, begun):
        open_ones = [exercise for exercise in [*begun, *self.found.values()] if exercise.next]
        if not open_ones:
            return "**Next:** nothing: every visible test passes."
        return f"**Next:** {self._link(open_ones[0])}, question {_cell(open_ones[0].next.title)}"

    def _overview(self):
        rows = []
        for exercise in self.found.values():
            if exercise.problem:
                rows.append([self._link(exercise), "unknown", "", _cell(exercise.problem)])
                continue
            done = sum(question.state == "passed" for question in exercise.questions)
            signs = "".join(SIGNS[question.state] for question in exercise.questions)
            rest = _cell(exercise.next.title) if exercise.next else "all passed"
            points = f"{_sum(q.earned or 0 for q in exercise.questions)} of {_sum(q.maximum for q in exercise.questions)}"
            rows.append([self._link(exercise), f"{signs} {done} of {len(exercise.questions)}", points, rest])
        return _table(["exercise", "tests passed", "points so far", "next question"], rows)

    def _details(self, exercise):
        rows = []
        for question in exercise.questions:
            points = "" if question.earned is None else f"{_sum([question.earned])} of {_sum([question.maximum])}"
            said = "<br>".join(map(_cell, question.missing))
            rows.append([_cell(question.title), f"{SIGNS[question.state]} {question.state}", points, said])
        return f"**{_cell(exercise.title)}**\n\n" + _table(["question", "visible tests", "points", "what they say"], rows)

    def _link(self, exercise):
        target = Path(os.path.relpath(exercise.path, self.beside)).as_posix().replace(" ", "%20")
        return f"[{_cell(exercise.title)}]({target})"


def _begun(exercise):
    return any(question.state != "not run" for question in exercise.questions)


def _sum(points):
    return f"{sum(points):g}"


def _table(header, rows):
    lines = [header, [":--"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text):
    """Text that stands in a cell of a Markdown table as it is."""
    return re.sub(r"([\\`*_\[\]|$])", r"\\\1", html.escape(text, quote=False))
