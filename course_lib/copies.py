"""The learner's own copies of the exercises: made once, never overwritten, merged with what the course changed since.

`python -m course_lib.copies` does it for all of them, as `make lab` does. A copy is my_exercises/<name>/<name>.ipynb. Its
metadata tell what was released when it was made, as digests, so that an update knows the learner's text from the course's.
"""

import copy
import hashlib
import json
import os
import sys
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from course_lib.store import write_whole

CHECKOUT = Path(__file__).resolve().parent.parent
EXERCISES = CHECKOUT / "exercises"
STUB = 'raise NotImplementedError("no answer yet")'  # what stands in an answer cell until there is an answer
NOTE = "**The course has changed the text of the cell below.** Your answer is kept. The new text:\n\n```python\n{}\n```"


@dataclass(frozen=True)
class Copied:
    """What became of one copy: `state` is "made", "as it was", "updated" or "refused"; `words` are for the learner."""

    exercise: str
    path: Path
    state: str
    words: str


def my_folder() -> Path:
    """Where this learner's copies lie: the folder in COURSE_EXERCISES, or my_exercises in the checkout."""
    return Path(os.environ.get("COURSE_EXERCISES") or CHECKOUT / "my_exercises")


def update(released: Path = EXERCISES, folder: Path | None = None) -> list[Copied]:
    """Make the copies that are missing in `folder` and merge what the course changed into the others, in order.

    A copy that cannot be read, or written, is left as it is and reported as refused. Raises ValueError naming an
    exercise of the course (released/<name>/<name>.ipynb) that cannot be read.
    """
    folder = my_folder() if folder is None else Path(folder)
    paths = sorted(path for path in Path(released).glob("*/*.ipynb") if path.stem == path.parent.name)
    return [_update_one(path, folder / path.stem / path.name) for path in paths]


def _update_one(source: Path, path: Path) -> Copied:
    try:
        released = parse(source.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{source} cannot be read ({error}): restore it with git checkout exercises") from None
    shown = _shown(path)
    try:
        if not os.path.lexists(path):
            _write(path, _marked(released, released))
            return Copied(path.stem, path, "made", "")
        before = path.read_bytes()
        mine = parse(before)
        if _memory(mine).get("release") == _digest(_content(released)):
            return Copied(path.stem, path, "as it was", "")
        merged, words = merge(mine, released)
        if _content(merged) == _content(mine):  # fetched, or made by hand: remember the release
            _write(path, merged)
            return Copied(path.stem, path, "as it was", "")
        backup = _keep(path, before)
        _write(path, merged)
    except (OSError, ValueError) as error:
        way = "Mend it, or move it away: then you get a fresh copy"
        return Copied(path.stem, path, "refused", f"{shown} was left as it is ({error}). {way}")
    words = ["the course has changed this exercise; what you wrote is kept", *words, f"before the update: {_shown(backup)}"]
    return Copied(path.stem, path, "updated", ". ".join(words) + ". If it is open: File > Reload Notebook from Disk")


def report(done: list[Copied]) -> str:
    """What an update did, in a line, and one more for each copy that it merged or refused."""
    made = sum(copied.state == "made" for copied in done)
    news = f", {made} of them new" if made else ""
    lines = [f"{len(done)} exercises of your own in {_shown(my_folder())}/<name>/<name>.ipynb{news}"]
    return "\n".join(lines + [f"{copied.exercise}: {copied.words}" for copied in done if copied.words])


def parse(content: bytes) -> dict:
    """The notebook (nbformat 4, as plain dicts) in these bytes. Raises ValueError saying what is wrong with them."""
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a notebook: {error}") from None
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ValueError("not a notebook of format 4")
    if not isinstance(notebook.get("metadata"), dict) or not isinstance(notebook.get("nbformat_minor"), int):
        raise ValueError("not a notebook: metadata or nbformat_minor is missing")
    for number, cell in enumerate(notebook["cells"], 1):
        if not _is_cell(cell):
            raise ValueError(f"cell {number} is not a cell: it needs cell_type, metadata and a source of text")
        cell["source"] = "".join(cell["source"])
    return notebook


def _is_cell(cell) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata"), dict):
        return False
    source = cell.get("source")
    text = isinstance(source, str) or (isinstance(source, list) and all(isinstance(line, str) for line in source))
    return text and cell.get("cell_type") in ("code", "markdown", "raw")


def merge(mine: dict, released: dict) -> tuple[dict, list[str]]:
    """The release with what the learner wrote in their copy: (notebook, words about each cell that needs a look).

    Both as `parse` returns them; neither is changed. Cells follow the release, and each cell of the learner's own
    follows the cell that it followed. All text that is not the course's own from the last time stays: an answer in its
    cell, any other text that both sides changed in a cell of its own below the new one. The outputs of changed cells go,
    and those of all tests when code changed that tests share.
    """
    base = _memory(mine).get("cells", {})
    found, own, words = _sorted_out(mine, released, base)
    cells = own[None]
    for new in released["cells"]:
        joined, word = _join(found.get(key(new)), copy.deepcopy(new), base.get(key(new)))
        cells += joined + own[key(new)]
        words += [word] if word else []
    if any(_is_shared_code(new) and _changed(found.get(key(new)), new) for new in released["cells"]):
        for cell in filter(is_test, cells):
            cell.update(outputs=[], execution_count=None)
    merged = copy.deepcopy({name: value for name, value in mine.items() if name != "cells"}) | {"cells": cells}
    merged["metadata"] = copy.deepcopy(released["metadata"]) | merged["metadata"]
    merged["nbformat_minor"] = max(released["nbformat_minor"], mine["nbformat_minor"])
    return _marked(_with_ids(merged), released), words


def _sorted_out(mine, released, base):
    """({key: the learner's cell of it}, {key or None: own cells that follow it}, words about questions that are gone)."""
    keys = {key(cell) for cell in released["cells"]}
    found, own, words, last = {}, defaultdict(list), [], None
    for cell in copy.deepcopy(mine["cells"]):
        name = key(cell)
        if name in keys and name not in found:
            found[name] = cell
            last = name
        elif name in keys or base.get(name) != _digest(cell):  # a second one of the same name is the learner's own
            own[last].append(_as_own(cell, keys))
            if name in base and name not in keys:
                words.append(f"{name}: the course no longer has this cell; your text of it is kept as a cell of your own")
    return found, own, words


def _join(old, new, base):
    """(the cells that stand for one released cell, words or None); `base` is the digest of what was released before."""
    if old is None or _digest(old) == base:
        return [new if _changed(old, new) else _with_metadata(old, new)], None
    if not _changed(old, new) or base == _digest(new):
        return [_with_metadata(old, new)], None
    name = key(new)
    if is_answer(new) and old["cell_type"] == new["cell_type"]:
        if base is None or not _is_stub(new):
            return [_with_metadata(old, new)], None
        note = {"cell_type": "markdown", "metadata": {}, "source": NOTE.format(new["source"])}
        return [note, _with_metadata(old, new)], f"{name}: its text has changed; the new one stands above your answer"
    kept = _as_own(old, {name})
    if kept["cell_type"] == "code":  # an old test would run beside the new one
        kept["cell_type"] = "raw"
        for produced in ("outputs", "execution_count"):
            kept.pop(produced, None)
    return [new, kept], f"{name}: you and the course have both changed it; your text stands below the new one"


def key(cell: dict) -> str | None:
    """What names a cell of an exercise: nbgrader's name, which outlives programs that renumber cells, or else its id."""
    if isinstance(name := _mark(cell).get("grade_id"), str):
        return name
    return f"cell {cell['id']}" if isinstance(cell.get("id"), str) else None


def is_answer(cell: dict) -> bool:
    """Whether the learner writes in this cell."""
    return bool(_mark(cell).get("solution"))


def is_test(cell: dict) -> bool:
    """Whether this cell's score counts, and the learner does not write in it."""
    return cell["cell_type"] == "code" and bool(_mark(cell).get("grade")) and not is_answer(cell)


def _mark(cell):
    mark = cell["metadata"].get("nbgrader")
    return mark if isinstance(mark, dict) else {}


def _is_stub(cell):
    return STUB in cell["source"]


def _is_shared_code(cell):
    return cell["cell_type"] == "code" and not is_answer(cell) and not is_test(cell)


def _changed(old, new):
    return old is None or _digest(old) != _digest(new)


def _with_metadata(old, new):
    return old | {"metadata": old["metadata"] | new["metadata"]}


def _as_own(cell, names):
    """The cell without what makes it one of the course's: a second cell of one of its `names` would confuse nbgrader."""
    course = ("nbgrader", "deletable", "editable")
    cell = cell | {"metadata": {name: value for name, value in cell["metadata"].items() if name not in course}}
    return cell if key(cell) not in names else cell | {"id": None}


def _with_ids(notebook):
    """The notebook, each of its cells with an id of its own."""
    seen = set()
    for cell in notebook["cells"]:
        if not isinstance(cell.get("id"), str) or cell["id"] in seen:
            cell["id"] = uuid.uuid4().hex[:8]
        seen.add(cell["id"])
    return notebook


def _marked(notebook, released):
    """The notebook, remembering the release. An answer that somebody wrote into exercises/ is nothing that was released."""
    cells = {key(cell): _digest(cell) for cell in released["cells"] if not is_answer(cell) or _is_stub(cell)}
    memory = {"release": _digest(_content(released)), "cells": cells}
    return notebook | {"metadata": notebook["metadata"] | {"course": memory}}


def _memory(notebook):
    memory = notebook["metadata"].get("course")
    whole = isinstance(memory, dict) and isinstance(memory.get("cells"), dict)
    return memory if whole else {}


def _content(notebook):
    """What a release is (a look at it in JupyterLab changes other things, too), as one made-up cell."""
    cells = [[key(cell), cell["cell_type"], _mark(cell), cell["source"]] for cell in notebook["cells"]]
    return {"cell_type": "raw", "source": json.dumps(cells, sort_keys=True)}


def _digest(cell):
    return hashlib.sha256(f"{cell['cell_type']}\n{cell['source']}".encode(errors="surrogatepass")).hexdigest()[:16]


def _keep(path, content):
    """Write `content` beside `path` under the first name that is free, and return that."""
    number = 1
    while True:
        backup = path.with_name(f"before_update_{number}.ipynb")
        try:
            with open(backup, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return backup
        except FileExistsError:
            number += 1


def _write(path, notebook):
    write_whole(path, json.dumps(notebook, indent=1).encode() + b"\n")


def _shown(path):
    return path.relative_to(CHECKOUT).as_posix() if path.is_relative_to(CHECKOUT) else str(path)


def main() -> int:
    """Update all copies, print what was done, and return 1 when a copy was refused."""
    done = update()
    print(report(done))
    return int(any(copied.state == "refused" for copied in done))


if __name__ == "__main__":
    sys.exit(main())
