"""A class on one machine, tried on loopback: `python tests/hub/trial.py` prints what each learner waited for and got.

The teacher releases an exercise. Learners log in all at once, pull the lessons, fetch the exercise, answer some of it, run
it in their own kernels and hand it in; the last of them comes through the nbgitpuller link in a real browser. The teacher
collects, and `python -m grading` grades. What this cannot show is in hub/README.md.
"""

import argparse
import concurrent.futures
import contextlib
import csv
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "browser"))  # where lab.py is

from lab import browser_page
from machine import CHECKOUT, TEACHER, Machine, class_machine
from person import PATIENCE, Person

EXERCISE = "01_measuring"
NAMES = ("ada", "ben", "chi", "dana", "eli", "fay", "gus", "hana", "ivo", "jo")
GRADING_SECONDS = 600


@dataclass
class Row:
    """What one learner saw. Seconds: waiting for JupyterLab, pulling the lessons, a new kernel with the whole exercise run."""

    name: str
    expected: float
    log_in: float = 0.0
    pull: float = 0.0
    cells: float = 0.0
    submitted: bool = False
    points: float | None = None


@dataclass
class Outcome:
    rows: list[Row]
    peak_gib: float
    class_seconds: float
    grading_seconds: float
    left_behind: int


def trial(names: list[str]) -> Outcome:
    """Run the whole of it with these learners. Nothing is left when it returns or raises: no process, user or folder."""
    start = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="class-machine-"))
    rows = [Row(name, sum(points for _, _, points in _questions()[: _answered(number)])) for number, name in enumerate(names)]
    try:
        with contextlib.ExitStack() as stack:
            # entered first and left last: where something fails, the machine ends before its learners are waited for
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(len(rows)))
            machine = stack.enter_context(class_machine(scratch, names))
            peak = stack.enter_context(_peak_memory(machine.process.pid))
            teacher = Person(machine, TEACHER)
            teacher.log_in()
            if EXERCISE not in teacher.gradebook():
                raise RuntimeError(f"the formgrader shows the teacher no {EXERCISE}, but {teacher.gradebook()}")
            _nbgrader(teacher, "release_assignment")
            work = [pool.submit(_learn, machine, row, number) for number, row in enumerate(rows)]
            for done in concurrent.futures.as_completed(work):
                done.result()
            _nbgrader(teacher, "collect")
        class_seconds = time.monotonic() - start
        grading_seconds = _seconds(lambda: _grade(machine.course, rows))
        return Outcome(rows, peak[0] / 2**30, class_seconds, grading_seconds, len(_processes_below(scratch)))
    except Exception as error:
        log = scratch / "hub.log"
        error.add_note(log.read_text(errors="replace")[-5000:] if log.exists() else "there is no log of the hub yet")
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _questions() -> list[tuple[str, str, float]]:
    """(answer cell, the course's own answer, points of its test) of the exercise, in order."""
    cells = nbformat.read(CHECKOUT / "solutions" / EXERCISE / f"{EXERCISE}.ipynb", as_version=4).cells
    marked = {cell.metadata.nbgrader.grade_id: cell for cell in cells if "nbgrader" in cell.metadata}
    answers = [name for name in marked if name.startswith("answer_")]
    return [(name, marked[name].source, marked[name.replace("answer", "test")].metadata.nbgrader.points) for name in answers]


def _answered(number: int) -> int:
    """How many of the five questions learner `number` answers: all, then fewer, so that the grades differ."""
    return 5 - number % 5


def _learn(machine: Machine, row: Row, number: int) -> None:
    learner, answers = Person(machine, row.name), _questions()[: _answered(number)]
    if row.name == NAMES[-1]:
        row.log_in = _come_through_the_link(machine, row.name)
        learner.log_in()
    else:
        row.log_in = learner.log_in()
    row.pull = _seconds(learner.pull)
    if learner.status("formgrader") != 404:
        raise RuntimeError(f"{row.name} can open the teacher's formgrader")
    learner.assignment("fetch", EXERCISE)
    path = f"{EXERCISE}/{EXERCISE}.ipynb"
    notebook = learner.notebook(path)
    for cell in notebook["cells"]:
        mark = cell["metadata"].get("nbgrader", {}).get("grade_id")
        cell["source"] = {name: source for name, source, _ in answers}.get(mark, cell["source"])
    sources = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    printed = []
    row.cells = _seconds(lambda: printed.extend(learner.run(sources, EXERCISE)))
    if not any("passed" in text for text in printed):
        raise RuntimeError(f"{row.name} ran the exercise, and no test passed: {printed}")
    learner.save(path, notebook)
    row.submitted = "submitted" in learner.assignment("submit", EXERCISE)


def _come_through_the_link(machine: Machine, name: str) -> float:
    """Click an nbgitpuller link in Chromium, log in, and run a lesson's first cell; seconds until the lesson was open."""
    lesson = "lab/tree/course/notebooks/00_start_here.ipynb"
    query = urllib.parse.urlencode({"repo": machine.repository, "branch": "main", "urlpath": lesson})
    start = time.monotonic()
    with browser_page() as page:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{machine.address}/hub/user-redirect/git-pull?{query}")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", machine.password)
        page.click("#login_submit")
        code = page.locator(".jp-Notebook .jp-CodeCell").first
        code.wait_for()
        seconds = time.monotonic() - start
        # keys pressed before there is a kernel are lost; the status bar says when there is one
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for()
        code.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        code.locator(".jp-InputArea-prompt", has_text="[1]").first.wait_for()
    return seconds


def _nbgrader(teacher: Person, command: str) -> None:
    """Run nbgrader in the course's folder, as the teacher does in a terminal of the hub."""
    source = f"""
import subprocess
done = subprocess.run(["nbgrader", "{command}", "{EXERCISE}"], cwd="/srv/course", capture_output=True, text=True, timeout=120)
print("ended with", done.returncode, done.stderr)
"""
    printed = teacher.run([source])[0]
    if "ended with 0" not in printed:
        raise RuntimeError(f"nbgrader {command}: {printed}")


def _grade(course: Path, rows: list[Row]) -> None:
    """Grade what was collected, outside the hub, with the command behind `make grade`, and note the points."""
    command = [sys.executable, "-m", "grading"]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=GRADING_SECONDS)
    if done.returncode:
        raise RuntimeError(f"grading ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    with (course / "grading" / "grades.csv").open(newline="", encoding="utf-8") as file:
        points = {grade["student"]: float(grade["points"]) for grade in csv.DictReader(file)}
    for row in rows:
        row.points = points.get(row.name)


def _seconds(step) -> float:
    start = time.monotonic()
    step()
    return time.monotonic() - start


@contextlib.contextmanager
def _peak_memory(pid: int) -> Iterator[list[int]]:
    """A list whose one number grows to the most bytes that `pid` and all below it held; pages they share count once."""
    peak, ended = [0], threading.Event()

    def watch():
        while not ended.wait(1):
            living = psutil.Process(pid).children(recursive=True)
            peak[0] = max(peak[0], sum(map(_proportional_bytes, living)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0  # it has ended meanwhile


def _processes_below(scratch: Path) -> list[psutil.Process]:
    """What still lives of the machine: every process of it carries the folder in its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TRIAL_FOLDER") == str(scratch):
                found.append(process)
    return found


def table(outcome: Outcome) -> str:
    lines = ["user   logged in s   pulled s   exercise run s   handed in   points   answers were worth"]
    for row in outcome.rows:
        handed_in = "yes" if row.submitted else "NO"
        points = "none" if row.points is None else f"{row.points:g}"
        waits = f"{row.log_in:11.1f}  {row.pull:9.1f}  {row.cells:15.1f}"
        lines.append(f"{row.name:5}  {waits}  {handed_in:>10}  {points:>7}  {row.expected:19g}")
    lines.append(
        f"{len(outcome.rows)} learners and a teacher: {outcome.class_seconds:.0f} s with the start of the hub, then "
        f"{outcome.grading_seconds:.0f} s of grading; hub, servers and kernels held "
        f"{outcome.peak_gib:.1f} GiB at most; {outcome.left_behind} processes left behind"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", type=int, default=len(NAMES), choices=range(1, len(NAMES) + 1))
    print(table(trial(list(NAMES[-parser.parse_args().learners :]))))
