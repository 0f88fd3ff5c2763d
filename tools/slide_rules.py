"""Which parts of a lesson are projected: `arranged(notebook)` makes slides of an executed lesson's cells, by rules.

A level-2 heading begins a slide, a level-3 heading one below it, as does whatever no longer fits. The set-up is skipped.
A cell with a picture or a table shows that alone; one whose code is the point shows it, and what it prints one key
later. A cell's tags set a rule aside where it is wrong: TAGS.
"""

import copy
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

# The first five are the slide types of Jupyter: begin a slide, or one below; wait for a key; show nothing; say, not show.
TAGS = ("slide", "subslide", "fragment", "skip", "notes", "show_code", "hide_code")
CODE_MATTERS = ("By hand", "From the library", "Check yourself")
ANSWERS = ("When it does not pay", "Verdict")  # what is printed there is the point
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
PREDICTION = "Prediction (a headless run takes the default): "

# Estimates in the pixels of a slide of 1280 x 720; slides.js makes smaller what is higher after all.
ROOM = 640
LINE, CHARACTERS = 41, 86  # of prose: height, and how many stand in a line
ROW, IN_ROW = 32, 100  # of a table: height of a line in it, and how many characters stand there
CODE_LINE, PRINTED_LINE, PICTURE = 28, 28, 440


@dataclass
class Piece:
    """What stays together on a slide: a cell, its height in pixels, and how it begins (a slide type, "" to go on)."""

    cell: NotebookNode
    height: float
    begins: str = ""


def arranged(notebook: NotebookNode) -> NotebookNode:
    """A copy of an executed notebook (nbformat 4) whose cells are parts of slides, as nbconvert's slides expect them.

    The slide type is in metadata.slideshow. The given notebook stays as it is. Raises ValueError when nothing is left.
    """
    title = notebook.metadata.get("course", {}).get("title", "")
    pieces = list(_pieces(notebook))
    if not any(piece.begins not in ("skip", "notes") for piece in pieces):
        raise ValueError("notebook: it has no cell to show; allowed: a lesson of at least one cell that is not skipped")
    cells, used, section = [], 0.0, ""
    for piece in pieces:
        section = _heading(piece.cell, "## ") or section
        kind = piece.begins
        if kind in ("", "fragment") and cells and used + piece.height > ROOM:
            kind = "subslide"
        if kind in ("slide", "subslide"):
            used = 0.0
            if section and not _heading(piece.cell, "## "):
                cells.append(_typed(new_markdown_cell(f"*{title} · {section}*", metadata={"tags": ["where"]}), kind))
                kind = ""
        used += piece.height if kind not in ("skip", "notes") else 0
        cells.append(_typed(piece.cell, kind))
    for number, cell in enumerate(cells):
        cell.id = f"part-{number}"  # parts of one cell have its id in common
    made = copy.copy(notebook)
    made.cells = cells
    return made


def _typed(cell: NotebookNode, kind: str) -> NotebookNode:
    cell.metadata.slideshow = NotebookNode(slide_type=kind or "-")
    return cell


def _pieces(notebook: NotebookNode) -> Iterator[Piece]:
    """The cells taken apart, in order; what the rules leave out is not among them."""
    cells = [cell for cell in copy.deepcopy(notebook.cells) if cell.source.strip()]
    states = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell in code:
        _settle(cell, states)
    section = ""
    for number, cell in enumerate(cells):
        tags = set(cell.metadata.get("tags", [])) & set(TAGS)
        kind = next((tag for tag in TAGS[:5] if tag in tags), "")
        section = _heading(cell, "## ") or section
        if kind == "skip" or (code and cell is code[0] and not tags):
            continue
        after = next((later for later in cells[number + 1 :] if later.cell_type == "code"), None)
        if cell.cell_type == "code" and _is_widget(cell) and after is not None and _rich(after):
            continue  # the next cell is the plain picture of the same
        parts = _of_code(cell, section, tags) if cell.cell_type == "code" else _of_prose(cell)
        for order, part in enumerate(parts):
            if kind and (order == 0 or kind == "notes"):
                part.begins = kind
            yield part


def _heading(cell: NotebookNode, marks: str) -> str:
    """The text of the heading that a cell begins with, or ""."""
    first = cell.source.lstrip().partition("\n")[0]
    return first.removeprefix(marks).strip() if cell.cell_type == "markdown" and first.startswith(marks) else ""


def _of_prose(cell: NotebookNode) -> Iterator[Piece]:
    for block in _blocks(cell.source):
        begins = "slide" if re.match(r"##? ", block) else "subslide" if block.startswith("### ") else ""
        part = copy.deepcopy(cell)
        part.source = block
        yield Piece(part, _prose_height(block), begins)


def _blocks(source: str) -> list[str]:
    """Paragraphs, lists and tables; a heading stays with what follows it, a code block in its fences is one."""
    blocks: list[str] = []
    fenced = False
    for block in re.split(r"\n\s*\n", source.strip()):
        goes_on = fenced or (blocks and re.fullmatch(r"#+ .*", blocks[-1]))
        fenced ^= block.count("```") % 2 == 1
        if goes_on:
            blocks[-1] += "\n\n" + block
        else:
            blocks.append(block)
    return blocks


def _prose_height(block: str) -> float:
    height = 2.0 * LINE * block.count("$$") / 2
    for line in re.sub(r"\$\$.*?\$\$", "", block, flags=re.DOTALL).splitlines():
        if line.startswith("|"):
            height += 10 + ROW * -(-max(map(len, line.split("|"))) // IN_ROW)
        elif line.startswith("#"):
            height += 2 * LINE
        else:
            height += LINE * -(-len(line) // CHARACTERS)
    return height + LINE / 2


def _of_code(cell: NotebookNode, section: str, tags: set[str]) -> Iterator[Piece]:
    """The cell's code and what it shows, as the rules and its tags have it."""
    shows = bool(cell.outputs)
    hidden = shows and (section in ANSWERS or (section not in CODE_MATTERS and _rich(cell)) or _has_picture(cell))
    hidden = "hide_code" in tags or ((hidden or _asks(cell)) and "show_code" not in tags)
    if not hidden:
        code = copy.deepcopy(cell)
        code.outputs = []
        yield Piece(code, CODE_LINE * (cell.source.count("\n") + 1) + LINE)
    for order, output in enumerate(cell.outputs):
        shown = copy.deepcopy(cell)
        shown.outputs = [output]
        shown.metadata.transient = NotebookNode(remove_source=True)
        yield Piece(shown, _output_height(output), "" if hidden or order else "fragment")


def _settle(cell: NotebookNode, states: dict) -> None:
    """Replace a widget by its picture, the headless answer to a question by the question; drop what cannot be shown."""
    kept = []
    for output in cell.outputs:
        data = output.get("data", {})
        if WIDGET in data:
            picture = _picture_of(data[WIDGET].get("model_id"), states)
            cell.metadata.widget = True
            output = nbformat.v4.new_output("display_data", **picture) if picture else None
        elif output.get("text", "").startswith(PREDICTION):
            question = html.escape(output["text"].removeprefix(PREDICTION).partition(". ")[2].strip())
            output = nbformat.v4.new_output("display_data", {"text/html": f"<p class='ask'>{question}</p>"})
            cell.metadata.asks = True
        elif output.get("name") == "stderr":
            output = None
        elif kept and "name" in output and "name" in kept[-1]:  # one line after another
            kept[-1].text += output.text
            output = None
        if output:
            kept.append(output)
    cell.outputs = kept


def _picture_of(model: str | None, states: dict, depth: int = 9) -> dict | None:
    """data and metadata of the first PNG in a widget's tree, with its alternative text; None when there is none."""
    state = states.get(model)
    if state is None or not depth:
        return None
    for buffer in state.get("buffers", []):
        if buffer["path"] == ["value"] and state["model_name"] == "ImageModel":
            alt = state["state"].get("tooltip") or ""
            return {"data": {"image/png": buffer["data"], "text/plain": alt}, "metadata": {"image/png": {"alt": alt}}}
    children = [child.removeprefix("IPY_MODEL_") for child in state["state"].get("children") or ()]
    return next((found for child in children if (found := _picture_of(child, states, depth - 1))), None)


def _is_widget(cell: NotebookNode) -> bool:
    return cell.metadata.get("widget", False)


def _asks(cell: NotebookNode) -> bool:
    return cell.metadata.get("asks", False)


def _kinds(cell: NotebookNode) -> set[str]:
    return {kind for output in cell.outputs for kind in output.get("data", {})}


def _has_picture(cell: NotebookNode) -> bool:
    return bool(_kinds(cell) & {"image/png", "image/svg+xml"})


def _rich(cell: NotebookNode) -> bool:
    return _has_picture(cell) or "text/html" in _kinds(cell)


def _output_height(output: NotebookNode) -> float:
    data = output.get("data", {})
    if "image/png" in data:
        return PICTURE
    if "text/html" in data:
        return (ROW + 10) * (1 + data["text/html"].count("<tr"))
    printed = output.get("text") or data.get("text/plain", "")
    return PRINTED_LINE * sum(-(-len(line) // 110) or 1 for line in printed.splitlines()) + LINE / 2
