"""The notebooks in git are clean and have the plan's anatomy; and the guard that says so sees every fault it names."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import hygiene


@pytest.mark.parametrize("path", hygiene.notebooks(), ids=lambda path: path.stem)
def test_notebook_is_clean(path):
    notebook = hygiene.read(path)
    assert hygiene.faults(notebook, path.stem) + hygiene.broken_links(notebook, path.parent) == []


def printed(text):
    return [new_output("stream", name="stdout", text=text)]


def made_lesson():
    """A lesson without a fault, as short as one can be."""
    cells = [
        new_markdown_cell("# A title\n**You will learn** x. **Prerequisites** y. **Minutes** 1. **A GPU adds** z."),
        new_code_cell("import math"),
    ]
    for heading in hygiene.HEADINGS:
        cells += [new_markdown_cell(f"## {heading}\nA sentence."), new_code_cell("x = math.pi")]
    check = cells[2 * hygiene.HEADINGS.index("Check yourself") + 3]
    check.source, check.outputs = "print(x > 3.1)", printed("pi > 3.1: True; shape (2, 3); 60 within 0.5\n")
    check.metadata.tags = ["keep_output", "nbval-check-output"]
    verdict = cells[2 * hygiene.HEADINGS.index("Verdict") + 3]
    verdict.source = "print('holds' if x > 3 else 'does not hold here')"
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
    course = {"title": "A title", "claims": ["C7"], "minutes": 1, "variants": ["baseline"]}
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}, "course": course})


def cell_below(notebook, heading):
    places = [i for i, cell in enumerate(notebook.cells) if cell.source.startswith(f"## {heading}")]
    return notebook.cells[places[0] + 1]


def test_a_clean_lesson_has_no_fault():
    assert hygiene.faults(made_lesson(), "01_made") == []


def plant(heading="By hand", **fields):
    """A fault planted in the code cell below a heading; `tags` go into its metadata."""

    def into(notebook):
        cell = cell_below(notebook, heading)
        cell.metadata.tags = fields.get("tags", cell.metadata.get("tags", []))
        cell.update({name: value for name, value in fields.items() if name != "tags"})

    return into


def plant_metadata(**fields):
    return lambda notebook: notebook.metadata.update(fields)


def plant_course(**fields):
    return lambda notebook: notebook.metadata.course.update(fields)


def compared(text):
    return plant("Check yourself", outputs=printed(text))


BOTH = ["keep_output", "nbval-check-output"]
FAULTS = [
    (lambda nb: nb.cells[1].pop("id"), "not a valid notebook"),
    (lambda nb: nb.cells[1].update(id=nb.cells[0].id), "not a valid notebook"),
    (plant(source="x ="), "not Python"),
    (plant(outputs=printed("1")), "without the tag keep_output"),
    (plant(tags=["keep_output"]), "tagged keep_output but holds none"),
    (plant(tags=["nbval-check-output"]), "nbval-check-output without keep_output"),
    (plant(tags=BOTH, outputs=[new_output("display_data", data={"image/png": "aa"})]), "without a stored text"),
    (plant(tags=BOTH, outputs=printed("1"), execution_count=None), "without a count"),
    (plant(execution_count=99), "execution counts"),
    (plant(source=""), "empty code cell"),
    (plant(tags=["keep_output"], outputs=[new_output("stream", name="stderr", text="w")]), "stderr"),
    (plant(tags=["keep_output"], outputs=[new_output("error", ename="ValueError", evalue="")]), "error ValueError"),
    (plant(tags=["keep_output"], outputs=[new_output("display_data", data={hygiene.WIDGETS[0]: {}})]), "widget-view"),
    (compared("ratio 1.83"), "compares '1.8'"),
    (compared("loss 1e-05"), "compares '1e-0'"),
    (compared("took 12 ms"), "compares '12 ms'"),
    (compared("<object at 0x7f00aabbcc>"), "compares '0x7f00aabbcc'"),
    (compared(""), "nbval-check-output without a stored text"),
    (plant_metadata(widgets={}), "metadata.widgets"),
    (plant_metadata(language_info={"name": "python"}), "metadata.language_info"),
    (plant_metadata(kernelspec={"name": "conda", "display_name": "x"}), "kernelspec"),
    (plant_metadata(course={}), "metadata.course.title"),
    (plant_course(minutes="one"), "metadata.course.minutes"),
    (plant_course(variants=[]), "records its measurements"),
    (plant_course(variants=["a", "a"]), "a variant twice"),
    (plant(source="# " + "a" * 300_000), "bytes; at most"),
    (plant(source="x = 1\n" * 21), "21 lines of code"),
    (plant(source="import os"), "imports belong in the set-up cell"),
    (plant(source="def f():\n    from os import path"), "imports belong in the set-up cell"),
    (lambda nb: nb.cells[1].update(source="x = 1"), "the first code cell is the set-up cell"),
    (plant(source="%tiem 1"), "magic %tiem"),
    (plant(source="%%tiem\nassert False"), "magic %%tiem"),
    (plant(source="!ls"), "shell command"),
    (plant(source="files = !ls"), "shell command"),
    (plant(tags=["raises-exception"]), "raises-exception passes when nothing raises"),
    (plant("Verdict", source="print('The claim holds.')"), "Verdict holds no cell that computes it"),
    (plant("Check yourself", tags=[], outputs=[]), "Check yourself holds no cell"),
    (lambda nb: nb.cells.__delitem__(slice(20, 22)), "headings are"),
    (lambda nb: nb.cells.extend(new_markdown_cell("More.") for _ in range(20)), "cells; 25 to 45"),
    (lambda nb: nb.cells[0].update(source="# A title"), "the card in the first cell lacks 'prerequisite'"),
]


@pytest.mark.parametrize(("fault", "named"), FAULTS, ids=[named for _, named in FAULTS])
def test_planted_fault_is_named(fault, named):
    notebook = made_lesson()
    fault(notebook)
    assert any(named in sentence for sentence in hygiene.faults(notebook, "01_made"))


def test_an_exception_that_the_next_cell_asserts_is_allowed():
    notebook = made_lesson()
    plant("By hand", source="[][0]", tags=["raises-exception"])(notebook)
    plant("From the library", source="assert isinstance(sys.last_value, IndexError)")(notebook)
    assert hygiene.faults(notebook, "01_made") == []


def test_a_worker_file_may_hold_imports_and_the_start_page_needs_no_anatomy():
    notebook = made_lesson()
    plant(source="%%writefile worker.py\nimport os")(notebook)
    assert hygiene.faults(notebook, "01_made") == []
    notebook.cells = notebook.cells[:2]
    assert hygiene.faults(notebook, "00_start_here") == []
    assert hygiene.faults(notebook, "01_made") != []


def test_links_that_lead_nowhere_are_named(tmp_path):
    (tmp_path / "there.ipynb").touch()
    links = "[a](there.ipynb#part) [b](https://example.org/x) ![c](gone.png) [d](#here)"
    notebook = new_notebook(cells=[new_markdown_cell(links)])
    assert hygiene.broken_links(notebook, tmp_path) == ["link leads nowhere: gone.png"]


def test_nbval_compares_tagged_cells(tmp_path):
    """The suite's own comparison goes red: the stored 3 is not what 1 + 1 prints."""
    right = new_code_cell("print(1 + 1)", execution_count=1, outputs=printed("2\n"), metadata={"tags": BOTH})
    wrong = new_code_cell("print(1 + 1)", execution_count=2, outputs=printed("3\n"), metadata={"tags": BOTH})
    nbformat.write(new_notebook(cells=[right, wrong]), tmp_path / "made.ipynb")
    (tmp_path / "pytest.ini").touch()  # so that the made notebook runs by itself, without this suite's settings
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1 and "1 failed, 1 passed" in run.stdout
