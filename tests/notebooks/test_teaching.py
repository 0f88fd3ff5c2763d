"""TEACHING.md is true: its lessons, points and minutes are those of the tree, and its timetables add up."""

import re

import pytest

from course_lib import copies, progress
from tools import hygiene, readme, reference

TEXT = (hygiene.ROOT / "TEACHING.md").read_text(encoding="utf-8")


def table(heading):
    """The rows of the first table below this heading, without its header, as lists of cells."""
    below = TEXT.partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


GLANCE = {name: cells for name, *cells in table("## The lessons at a glance")}


def test_every_lesson_is_in_the_table_and_has_a_page():
    there = [path for path in hygiene.notebooks() if path.stem != "91_claims"]
    assert list(GLANCE) == [f"{path.stem[:2]} {hygiene.read(path)['metadata']['course']['title']}" for path in there]
    pages = TEXT.partition("\n## Lesson by lesson\n")[2]
    assert re.findall(r"^### (\d\d .*)", pages, re.MULTILINE) == list(GLANCE)


def test_points_and_minutes_are_those_of_the_exercises_and_the_records():
    exercises = progress.exercises(copies.EXERCISES)
    points = {name[:2]: sum(question.maximum for question in found.questions) for name, found in exercises.items()}
    assert {name[:2]: float(cells[3]) for name, cells in GLANCE.items() if cells[3] != "-"} == points
    runs = {r.lesson[:2]: r.median("seconds") / 60 for r in readme.shipped() if r.variant == reference.RUN}
    for name, (run, *_) in GLANCE.items():
        assert abs(int(run) - runs[name[:2]]) < 1, f"{name}: {run} is not {runs[name[:2]]:.1f}"


def test_ninety_minutes_and_every_week_add_up():
    assert sum(int(minutes) for minutes, _ in table("### 90 minutes")) == 90
    for week in table("### Ten weeks"):
        assert sum(int(cell) for cell in week[2:5] if cell != "-") == 90, week


@pytest.mark.parametrize("heading", ["### One day", "### Two days"])
def test_a_day_has_no_gap(heading):
    rows = table(heading)
    starts = [60 * int(start[:2]) + int(start[3:]) for start, *_ in rows]
    ends = [start + int(minutes) for start, (_, minutes, _) in zip(starts, rows, strict=True)]
    assert ends == [*starts[1:], 16 * 60 + 30]
