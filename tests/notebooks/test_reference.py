"""Recording a reference: what a made lesson measures is shipped whole, and a lesson that fails ships nothing."""

import base64
import dataclasses
import io
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image, ImageChops

from course_lib import records
from tools import changes, hygiene, reference, strip

# The made page is called 00_made: it is spared the anatomy, which is not the matter here.
RECORDS = """from course_lib import device, records
log = records.Recorder("00_made", machine=device.describe("cpu"), versions=device.versions())
_ = log.add("baseline", {"loss": [0.5, 0.25]}, {"loss": "nats"})"""


def made(folder, *sources, variants=("baseline",), tags=(), name="00_made"):
    cells = [new_code_cell(source) for source in (RECORDS.replace("00_made", name), *sources)]
    cells[-1].metadata.tags = list(tags)
    course = {"title": "Made", "claims": [], "minutes": 1, "variants": list(variants)}
    kernel = {"name": "python3", "display_name": "Python 3"}
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel, "course": course}), path)
    return path


def test_a_lesson_is_recorded_and_its_kept_outputs_are_written_back(tmp_path):
    path = made(tmp_path, "print('a run')", "print('kept')", tags=["keep_output"])
    seconds, file = reference.record(path, tmp_path / "reference")
    [results] = records.references(tmp_path / "reference").values()
    assert [r.variant for r in results] == ["baseline", "lesson_run"] and file.parent == tmp_path / "reference"
    assert results[0].values == {"loss": (0.5, 0.25)} and results[1].values == {"seconds": (seconds,)}
    notebook = hygiene.read(path)
    assert hygiene.faults(notebook, "00_made") == []
    assert [cell["execution_count"] for cell in notebook["cells"]] == [1, 2, 3]
    assert [cell["outputs"] != [] for cell in notebook["cells"]] == [False, False, True]


@pytest.mark.parametrize(
    ("source", "variants", "reason"),
    [
        ("raise ZeroDivisionError('planted')", ["baseline"], r"cell 1 .*: ZeroDivisionError: planted"),
        ("import os\nos._exit(1)", ["baseline"], r"cell 1 .*: the kernel died"),
        ("print(1)", ["baseline", "bf16"], r"lacks \(00_made, bf16\)"),
        ("import math", ["baseline"], r"cell 1 .*: imports belong in the set-up cell"),
    ],
)
def test_a_lesson_that_fails_ships_nothing(tmp_path, source, variants, reason):
    path = made(tmp_path, source, variants=variants)
    before = path.read_bytes()
    with pytest.raises(reference.LessonFailed, match=reason):
        reference.record(path, tmp_path / "reference")
    assert path.read_bytes() == before and not (tmp_path / "reference").exists()


def test_a_cell_that_runs_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "CELL_SECONDS", 1)
    path = made(tmp_path, "while True: pass")
    with pytest.raises(reference.LessonFailed, match=r"cell \d .*: still running after 1 s"):
        reference.record(path, tmp_path / "reference")


def run_all(folder, *paths):
    """Record these made lessons into folder/reference, as `make reference` does; the names of those that failed."""
    return reference.record_all(list(paths), folder / "reference", folder / "unfinished.json")


def stamps(folder):
    """{lesson: how long it ran, to the last digit}: another run of it has another."""
    [results] = records.references(folder / "reference").values()
    return {r.lesson: r.values["seconds"] for r in results if r.variant == reference.RUN}


def test_a_run_goes_on_where_a_lesson_failed(tmp_path, capsys):
    right, broken = made(tmp_path), made(tmp_path, "raise ValueError", name="00_broken")
    assert run_all(tmp_path, right, broken) == ["00_broken"]
    first = stamps(tmp_path)
    assert list(first) == ["00_made"]
    mended = made(tmp_path, name="00_broken")
    assert run_all(tmp_path, right, mended) == []
    assert "unfinished run, which recorded 00_made." in capsys.readouterr().out
    assert stamps(tmp_path) == first | {"00_broken": stamps(tmp_path)["00_broken"]}
    assert not (tmp_path / "unfinished.json").exists()


def test_a_lesson_whose_code_changed_is_recorded_again(tmp_path):
    (tmp_path / "unfinished.json").write_text('{"00_made": "the digest of other code"}')
    assert run_all(tmp_path, made(tmp_path)) == [] and list(stamps(tmp_path)) == ["00_made"]


def test_a_killed_run_keeps_what_it_recorded(tmp_path):
    """SIGKILL inside its second lesson."""
    right = made(tmp_path)
    slow = made(tmp_path, f"open({str(tmp_path / 'begun')!r}, 'w').close()", "while True: pass", name="00_slow")
    call = (
        "import sys, pathlib; from tools import reference; *paths, folder = map(pathlib.Path, sys.argv[1:]); "
        "reference.record_all(paths, folder / 'reference', folder / 'unfinished.json')"
    )
    run = subprocess.Popen([sys.executable, "-c", call, right, slow, tmp_path], cwd=hygiene.ROOT)
    deadline = time.monotonic() + 100
    while not (tmp_path / "begun").exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    kernels = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    for kernel in kernels:
        kernel.kill()
    assert (tmp_path / "begun").exists() and list(stamps(tmp_path)) == ["00_made"]
    assert list(reference.recorded(tmp_path / "unfinished.json")) == ["00_made"]


def test_the_summary_names_what_changed_beyond_its_spread():
    [results, *_] = records.references().values()
    one, *others = [r for r in results if r.lesson == "12_memory"]
    metric = next(iter(one.values))
    doubled = dataclasses.replace(one, values=one.values | {metric: [2 * max(one.values[metric])]})
    lines = changes.summary([one, *others], [doubled, *others[1:]])
    assert lines[0] == "12_memory:" and any(line.startswith("  gone: ") for line in lines)
    assert sum("figures changed" in line for line in lines) == 1 and any(f"{metric}: " in line for line in lines)
    assert changes.summary(results, results)[0].endswith("not recorded anew")
    assert not changes.moved((1.0, 3.0), (2.0, 5.0)) and changes.moved((1.0, 1.0), (1.5,)) and changes.moved((1.5,), (1.0, 1.2))


def test_the_summary_tells_which_verdict_turned():
    [results, *_] = records.references().values()
    idle = [
        dataclasses.replace(r, values=r.values | {"wait share": [0.01]})
        if r.lesson.startswith("20") and "wait share" in r.values
        else r
        for r in results
    ]
    turned = [line.strip() for line in changes.summary(results, idle) if line.strip().startswith("B1, ")]
    assert len(turned) == 1 and turned[0].endswith(": holds -> does not hold here")


def test_a_name_that_is_no_lesson_is_refused():
    with pytest.raises(SystemExit, match="no such lesson: 99_gone"):
        reference.main(["99_gone"])


def pictures(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))) for output in outputs]


def test_pictures_get_a_palette_and_keep_their_looks():
    drawn = Image.linear_gradient("L").convert("RGBA")
    file = io.BytesIO()
    drawn.save(file, "PNG")
    output = new_output("display_data", {"image/png": base64.b64encode(file.getvalue()).decode()})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output, new_output("stream", text="x")])])
    reference.shrink_pictures(notebook)
    [small] = pictures(notebook)
    assert small.mode == "P" and small.size == drawn.size
    furthest = ImageChops.difference(small.convert("RGB"), drawn.convert("RGB")).getextrema()
    assert max(high for _, high in furthest) <= 4  # of 255


def test_the_lessons_pictures_are_kept_with_a_palette():
    kept = [picture for path in hygiene.notebooks() for picture in pictures(nbformat.read(path, as_version=4))]
    assert len(kept) > 20 and {picture.mode for picture in kept} == {"P"}


def test_strip_keeps_kept_outputs_ids_and_counts(tmp_path):
    path = made(tmp_path, "1", "2", tags=["keep_output"])
    notebook = nbformat.read(path, as_version=4)
    for count, cell in enumerate(notebook.cells, 1):
        cell.execution_count, cell.outputs = count, [nbformat.v4.new_output("stream", text="x")]
        cell.metadata.execution = {"start": "now"}
    notebook.metadata.language_info = {"name": "python"}
    ids = [cell.id for cell in notebook.cells]
    strip.write_stripped(notebook, path)
    stripped = hygiene.read(path)
    assert hygiene.faults(stripped, "00_made") == [] and [cell["id"] for cell in stripped["cells"]] == ids
    assert [len(cell["outputs"]) for cell in stripped["cells"]] == [0, 0, 1]
    assert all("execution" not in cell["metadata"] for cell in stripped["cells"])
