"""`make reference`: execute the lessons on this machine and ship what they measured.

`python -m tools.reference [01_measuring ...]`. Each lesson runs in a kernel and a store of its own. One that fails, whose
records are incomplete or whose notebook breaks a rule of tools/hygiene.py is reported and changes nothing. The others
replace this machine's records in course_lib/reference/. A CPU machine also refreshes the outputs kept in the notebooks; a
machine with a GPU leaves those alone, since the prose around them is about the figures of a CPU.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm.auto import tqdm

from course_lib import device, records
from course_lib.store import Store
from tools import hygiene
from tools.strip import write_stripped

CELL_SECONDS = 120  # the time-out of one cell, as in `make test`
RUN = "lesson_run"  # the variant that holds how long a whole lesson ran here


class LessonFailed(Exception):
    """A lesson whose records cannot be shipped, with the reason."""


def record(path: Path, reference: Path = records.REFERENCE) -> tuple[float, Path]:
    """Execute the lesson at `path` and promote its records into `reference`: (seconds it ran, the file of records).

    The seconds, start of the kernel included, are recorded too, as the variant "lesson_run". Raises LessonFailed.
    """
    lesson = path.stem
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        seconds = _execute(notebook, path, Path(folder))
        store = Store(Path(folder) / "results.jsonl", records.Result)
        machine = device.describe()
        log = records.Recorder(lesson, machine=machine, versions=device.versions(), store=store)
        log.add(RUN, {"seconds": seconds}, {"seconds": "s"})
        results = store.read()
    if missing := records.missing(results, {lesson: notebook.metadata.course.variants}):
        raise LessonFailed(f"records are incomplete, it lacks {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / path.name
        write_stripped(notebook, executed)
        if found := hygiene.faults(hygiene.read(executed), lesson):
            raise LessonFailed("; ".join(found))
        promoted = records.promote(results, reference)
        if machine["device"] == "cpu":
            path.write_bytes(executed.read_bytes())
    return seconds, promoted


def _execute(notebook: nbformat.NotebookNode, path: Path, store: Path) -> float:
    """Run all cells in a fresh kernel, in the notebook's folder: the seconds it took. Raises LessonFailed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    place = "before the first cell"
    with tqdm(total=len(cells), desc=path.stem, unit="cell", leave=False) as bar:

        def started(cell, cell_index):
            nonlocal place
            place = f"cell {cell_index} ({cell.id})"

        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # a kernel's own warnings would break into the progress bar
            on_cell_start=started,
            on_cell_complete=lambda cell, cell_index: bar.update(cell.cell_type == "code"),
        )
        environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"COURSE_RECORDS": str(store), "COURSE_INTERACTIVE": "0"}
        start = time.perf_counter()
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise LessonFailed(f"{place}: {error.ename}: {error.evalue}") from None
        except CellTimeoutError:
            raise LessonFailed(f"{place}: still running after {CELL_SECONDS} s") from None
        except DeadKernelError:
            raise LessonFailed(f"{place}: the kernel died") from None
        return time.perf_counter() - start


def main(names: list[str]) -> int:
    """Record the named lessons, or all: 0 when each one was, else 1."""
    # The start page goes last: it shows the minutes that the lessons before it have just taken.
    paths = sorted(hygiene.notebooks(), key=lambda path: (not hygiene.is_lesson(path.stem), path.stem))
    if unknown := set(names) - {path.stem for path in paths}:
        raise SystemExit(f"no such lesson: {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in paths)}")
    paths = [path for path in paths if not names or path.stem in names]
    torch.set_num_threads(1)  # as in every lesson, so that the machine is described alike
    minutes = sum(nbformat.read(path, as_version=4).metadata.course.minutes for path in paths)
    print(f"{device.one_line(device.describe())}\n{len(paths)} notebooks, about {minutes} minutes")
    failures = 0
    for path in paths:
        try:
            seconds, promoted = record(path)
            print(f"{path.stem}: {seconds:.0f} s, records in {promoted.relative_to(hygiene.ROOT)}")
        except LessonFailed as failure:
            failures += 1
            print(f"{path.stem}: FAILED, nothing of it is shipped. {failure}")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
