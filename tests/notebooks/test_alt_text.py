"""Every picture that is kept in a notebook is said in words, too: in its alternative text, or in a caption near it."""

import re

import pytest

from course_lib import explore
from tools import hygiene


def caption(cells: list[dict], at: int) -> str:
    """The first paragraph in italics of the next Markdown cell, or of the last one before; "" where neither has one."""
    after = next((cell for cell in cells[at + 1 :] if cell["cell_type"] == "markdown"), {"source": ""})
    before = next((cell for cell in cells[at::-1] if cell["cell_type"] == "markdown"), {"source": ""})
    for cell in (after, before):
        found = re.search(r"^\*(?!\*)(.+?)(?<!\*)\*", "".join(cell["source"]), re.MULTILINE | re.DOTALL)
        if found:
            return found[1]
    return ""


@pytest.mark.parametrize("path", hygiene.notebooks(), ids=lambda path: path.stem)
def test_every_kept_picture_has_words(path):
    cells = hygiene.read(path)["cells"]
    silent = []
    for at, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                alt = output["metadata"].get("image/png", {}).get("alt", "") or caption(cells, at)
                if len(alt.split()) < 5:
                    silent.append(cell["id"])
    assert silent == []


def test_a_picture_takes_its_alternative_text_along():
    picture = explore.prediction_figure(2.0, 3.0, unit="x")
    data, metadata = picture._repr_mimebundle_()
    assert picture.alt and data["text/plain"] == metadata["image/png"]["alt"] == picture.alt
