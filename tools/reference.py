"""`make reference`: execute the lessons on this machine and ship what they measured.

`python -m tools.reference [01_measuring ...]`. Each lesson runs in a kernel and a store of its own. One that fails, whose
records are incomplete or whose notebook breaks a rule of tools/hygiene.py is reported and changes nothing. The others
replace this machine's records in course_lib/reference/. A CPU machine also refreshes the outputs kept in the notebooks; a
machine with a GPU leaves those alone, since the prose around them is about the figures of a CPU.

A run of all lessons that was killed, or in which some failed, is taken up where it stood: the next one leaves out what is
recorded already by the same code.
"""

import base64
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image
from tqdm.auto import tqdm

from course_lib import device, records
from course_lib.store import Store, write_whole
from tools import hygiene
from tools.strip import write_stripped

CELL_SECONDS = 120  # the time-out of one cell, as in `make test`
RUN = "lesson_run"  # the variant that holds how long a whole lesson ran here
UNFINISHED = hygiene.ROOT / "reference_run.json"  # {lesson: digest of its code}: what an unfinished run has recorded


class LessonFailed(Exception):
    """A lesson whose records cannot be shipped, with the reason."""


def record(path: Path, reference: Path = records.REFERENCE) -> tuple[float, Path]:
    """Execute the lesson at `path` and promote its records into `reference`: (seconds it ran, the file of records).

    The seconds, start of the kernel included, are recorded too, as the variant "lesson_run". Raises LessonFailed.
    """
    lesson = path.stem
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        seconds = execute(notebook, path, Path(folder))
        store = Store(Path(folder) / "results.jsonl", records.Result)
        machine = device.describe()
        log = records.Recorder(lesson, machine=machine, versions=device.versions(), store=store)
        log.add(RUN, {"seconds": seconds}, {"seconds": "s"})
        results = store.read()
    if missing := records.missing(results, {lesson: notebook.metadata.course.variants}):
        raise LessonFailed(f"records are incomplete, it lacks {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / path.name
        shrink_pictures(notebook)
        write_stripped(notebook, executed)
        if found := hygiene.faults(hygiene.read(executed), lesson):
            raise LessonFailed("; ".join(found))
        promoted = records.promote(results, reference)
        if machine["device"] == "cpu":
            path.write_bytes(executed.read_bytes())
    return seconds, promoted


def execute(notebook: nbformat.NotebookNode, path: Path, store: Path, *arguments: str) -> float:
    """Run all cells in a fresh kernel, in the notebook's folder: the seconds it took. Raises LessonFailed.

    Records and predictions go into `store`; `arguments` are further ones of the kernel's command line.
    """
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
            extra_arguments=["--log-level=ERROR", *arguments],  # a kernel's own warnings would break into the progress bar
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


def shrink_pictures(notebook: nbformat.NotebookNode) -> None:
    """Give the pictures in the outputs a palette of at most 256 colours: a third of the bytes, which git keeps for ever."""
    for output in [output for cell in notebook.cells for output in cell.get("outputs", [])]:
        if picture := output.get("data", {}).get("image/png"):
            small = io.BytesIO()
            colours = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
            colours.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
            output["data"]["image/png"] = base64.b64encode(small.getvalue()).decode()


def recorded(unfinished: Path = UNFINISHED) -> dict[str, str]:
    """{lesson: digest of the code that it was recorded with} of the run that was interrupted; {} when none was."""
    return json.loads(unfinished.read_text(encoding="utf-8")) if unfinished.exists() else {}


def _note(lesson: str, digest: str, unfinished: Path) -> None:
    write_whole(unfinished, json.dumps(recorded(unfinished) | {lesson: digest}).encode())


def record_all(paths: list[Path], reference: Path = records.REFERENCE, unfinished: Path = UNFINISHED) -> list[str]:
    """Record every lesson that the run before this one has not; return the names of those that failed.

    The note in `unfinished` is dropped once none fails, so that the run after that starts afresh.
    """
    digests = {path.stem: records.code_digest(path.stem) for path in paths}
    done = [name for name, digest in recorded(unfinished).items() if digests.get(name) == digest]
    if done:
        print(f"Going on with an unfinished run, which recorded {', '.join(done)}. To record all: delete {unfinished.name}")
    failed = []
    for path in paths:
        if path.stem in done:
            continue
        try:
            seconds, promoted = record(path, reference)
        except LessonFailed as failure:
            failed.append(path.stem)
            print(f"{path.stem}: FAILED, nothing of it is shipped. {failure}", flush=True)
        else:
            _note(path.stem, digests[path.stem], unfinished)
            print(f"{path.stem}: {seconds:.0f} s, records in {promoted.name}", flush=True)
    if not failed:
        unfinished.unlink(missing_ok=True)
    return failed


def main(names: list[str]) -> int:
    """Record the named lessons, or all: 0 when each one was, else 1."""
    # The start page goes last: it shows the minutes that the lessons before it have just taken.
    paths = sorted(hygiene.notebooks(), key=lambda path: (not hygiene.is_lesson(path.stem), path.stem))
    if unknown := set(names) - {path.stem for path in paths}:
        raise SystemExit(f"no such lesson: {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in paths)}")
    torch.set_num_threads(1)  # as in every lesson, so that the machine is described alike
    print(device.one_line(device.describe()))
    chosen = [path for path in paths if not names or path.stem in names]
    minutes = sum(nbformat.read(path, as_version=4).metadata.course.minutes for path in chosen)
    print(f"{len(chosen)} notebooks, about {minutes} minutes", flush=True)
    if names:  # asked for by name: recorded whatever was recorded before
        with tempfile.TemporaryDirectory() as folder:
            return int(bool(record_all(chosen, unfinished=Path(folder) / UNFINISHED.name)))
    return int(bool(record_all(chosen)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
