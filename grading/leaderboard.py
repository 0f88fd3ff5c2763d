"""The leaderboard of an exercise whose judge measures: leaderboard.html and leaderboard.csv, to be published.

It ranks what the judge measured, never what a submission says of itself. First come those within every limit, in the order
of bytes, then of FLOPs; who has the same of both shares a rank. Below them stand, without a rank, those who missed a limit.
A submission with a flag is left out, since somebody has to look at it first.
"""

import csv
import io
from dataclasses import dataclass

from grading.files import replace
from grading.pages import escaped, page, table
from grading.table import harmless

COLUMNS = ("bytes", "flops", "steps", "accuracy")
HEADS = ("rank", "who", "bytes", "GFLOPs", "steps", "accuracy")
RULE = "Within every limit first; then fewest bytes, then fewest FLOPs. Same bytes and FLOPs: same rank."


@dataclass(frozen=True)
class Row:
    """One line of the board; rank is None for whoever missed a limit, measured lacks what was missed."""

    rank: int | None
    name: str
    measured: dict


def pseudonyms(path):
    """{student: name on the board} out of a CSV file with a row `student,name` each; empty where there is no such file.

    Raises ValueError naming a line that is no such pair, a student named twice, or a name that two students share.
    """
    if not path.exists():
        return {}
    found = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(csv.reader(file), start=1):
            if not line or (number == 1 and line == ["student", "name"]):
                continue
            if len(line) != 2 or not all(part.strip() for part in line):
                raise ValueError(f"{path}, line {number}: {','.join(line)!r} is not allowed; give student,name")
            student, name = (part.strip() for part in line)
            if student in found or name in found.values():
                raise ValueError(f"{path}, line {number}: {','.join(line)!r}; each student and each name may stand there once")
            found[student] = name
    return found


def write(folder, grades, names):
    """Write folder/leaderboard.html and .csv for the exercises of which anything was measured; none: remove them.

    grades: one Grade a submission;  names: {student: name on the board}; all others are numbered.
    """
    exercises = sorted({grade.exercise for grade in grades if grade.measured})
    paths = folder / "leaderboard.html", folder / "leaderboard.csv"
    if not exercises:
        for path in paths:
            path.unlink(missing_ok=True)
        return
    boards = {name: [grade for grade in grades if grade.exercise == name and grade.questions] for name in exercises}
    ranked = {name: rows([grade for grade in mine if not grade.flags], names) for name, mine in boards.items()}
    parts = [_board(name, ranked[name], sum(bool(grade.flags) for grade in boards[name])) for name in exercises]
    replace(paths[0], page("Leaderboard", "\n".join([f"<p>{escaped(RULE)}</p>", *parts])))
    replace(paths[1], _csv(ranked))


def rows(grades, names):
    """[Row] of some grades, in the order of the board; who measured nothing is not on it."""
    shown = [grade for grade in grades if grade.measured]
    within = sorted((grade for grade in shown if set(COLUMNS) <= set(grade.measured)), key=_order)
    missed = [grade for grade in shown if grade not in within]
    keys = [_order(grade) for grade in within]
    ranks = [keys.index(key) + 1 for key in keys] + [None] * len(missed)
    called = _called([*within, *missed], names)
    return [Row(rank, name, grade.measured) for rank, name, grade in zip(ranks, called, [*within, *missed], strict=True)]


def _order(grade):
    return grade.measured["bytes"], grade.measured["flops"]


def _called(grades, names):
    """The names on the board: pseudonyms, and numbers that no pseudonym has, in the order of the board."""
    free = (f"learner {number}" for number in range(1, len(grades) + len(names) + 1))
    unused = (name for name in free if name not in names.values())
    return [names.get(grade.student) or next(unused) for grade in grades]


def _board(exercise, ranked, flagged):
    lines = [[row.rank or "", escaped(row.name), *_figures(row.measured)] for row in ranked]
    left_out = f"<p>{flagged} with a flag left out: their teacher looks at them first.</p>" if flagged else ""
    heads = ("who", *HEADS[2:])
    within = [(f"{rank}. {name}", *figures) for rank, name, *figures in lines if rank]
    missed = [(name, *figures) for rank, name, *figures in lines if not rank]
    tables = [table("Within every limit", heads, within)] if within else ["<p>Nobody is within every limit yet.</p>"]
    tables += [table("Not yet within every limit", heads, missed)] if missed else []
    return "\n".join([f"<h2>{escaped(exercise)}</h2>", *tables, left_out])


def _figures(measured):
    forms = {"bytes": "{:,.0f}", "steps": "{:,.0f}", "accuracy": "{:.1%}"}
    giga = {**measured, "flops": measured["flops"] / 1e9} if "flops" in measured else measured
    return [forms.get(name, "{:.2f}").format(giga[name]) if name in giga else "missed" for name in COLUMNS]


def _csv(ranked):
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\r\n")
    out.writerow(("exercise", "rank", "who", *COLUMNS))
    for exercise, lines in ranked.items():
        for row in lines:
            numbers = [f"{row.measured[name]:.12g}" if name in row.measured else "" for name in COLUMNS]
            out.writerow([harmless(exercise), row.rank or "", harmless(row.name), *numbers])
    return text.getvalue()
