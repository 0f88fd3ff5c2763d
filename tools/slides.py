"""`make slides LESSON=11`: run a lesson here and write it as slides that need no network.

`python -m tools.slides 11 [FOLDER]` writes FOLDER/11_mixed_precision.html, by default into slides/. It is one file: reveal.js,
styles and pictures are in it, and formulas are MathML, which browsers show by themselves. What is projected is decided
in tools/slide_rules.py. The lesson's records and predictions go into a temporary store, not among one's own.
"""

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert.exporters import SlidesExporter

from course_lib import records
from course_lib.store import write_whole
from tools import hygiene, reference, reveal
from tools.slide_rules import arranged

SLIDES = hygiene.ROOT / "slides"
TEMPLATE = Path(__file__).with_name("slide_template")
SHARP = "--InlineBackend.figure_formats=retina"  # twice the dots, since a projector enlarges
FORMULA = re.compile(r"\$\$(?P<display>.+?)\$\$|(?<![\\$])\$(?P<inline>[^$\n]+?)\$", re.DOTALL)
LOCAL_LINK = re.compile(r'<a href="(?![a-z]+:)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)


def find(wanted: str, paths: list[Path]) -> Path:
    """The notebook whose name is `wanted`, or begins with that number ("11"). Raises ValueError naming those there are."""
    found = [path for path in paths if path.stem == wanted or path.stem.split("_")[0] == wanted]
    if len(found) != 1:
        there = ", ".join(path.stem for path in paths)
        raise ValueError(f"LESSON: {wanted!r} is not allowed; it is one of {there}, or its number")
    return found[0]


def expected_minutes(path: Path) -> float:
    """How long the lesson ran when it was recorded last, on any machine; the plan on its card where it never was."""
    runs = [
        result.median("seconds") / 60
        for results in records.references().values()
        for result in results
        if result.lesson == path.stem and result.variant == reference.RUN
    ]
    return runs[-1] if runs else nbformat.read(path, as_version=4).metadata.course.minutes


def executed(path: Path) -> nbformat.NotebookNode:
    """The lesson after a run of all its cells in a kernel and a store of its own. Raises reference.LessonFailed."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        reference.execute(notebook, path, Path(folder), SHARP)
    return notebook


def slides(notebook: nbformat.NotebookNode, kit: Path) -> str:
    """The page of an executed lesson; `kit` is the folder of reveal.js. Raises ValueError for one without cells to show."""
    notebook = arranged(notebook)
    formulas: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(lambda match: _kept(match, formulas), cell.source)
    exporter = SlidesExporter(template_name=TEMPLATE.name, extra_template_basedirs=[str(TEMPLATE.parent)])
    course = notebook.metadata.get("course", {})
    own = {name: (TEMPLATE / name).read_text(encoding="utf-8") for name in ("slides.css", "slides.js")}
    parts = {
        "title": course.get("title", "Slides"),
        "css": _text(kit / "dist/reset.css") + _text(kit / "dist/reveal.css") + own["slides.css"],
        "js": "\n".join(map(_script, [_text(kit / "dist/reveal.js"), _text(kit / "plugin/notes/notes.js"), own["slides.js"]])),
        "license": _text(kit / "LICENSE"),
    }
    page, _ = exporter.from_notebook_node(notebook, resources={"course": parts})
    shown, end, scripts = page.partition("</main>")
    shown = LOCAL_LINK.sub(r"\1", shown)  # what is beside a notebook is not beside its slides
    return re.sub(r"FORMULA(\d+)ALUMROF", lambda match: formulas[int(match[1])], shown) + end + scripts


def _kept(match: re.Match, formulas: list[str]) -> str:
    """A placeholder for a formula, which Markdown would take apart."""
    kind = match.lastgroup
    formulas.append(convert(match[kind].strip(), display="block" if kind == "display" else "inline"))
    return f"FORMULA{len(formulas) - 1}ALUMROF"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _script(source: str) -> str:
    """JavaScript that may stand between <script> and </script>: the speaker's view is HTML inside its strings."""
    source = re.sub(r"//# sourceMappingURL=.*", "", source)  # the map would be asked for over the network
    return "<script>" + re.sub(r"<(?=/?script|!--)", r"<\\", source, flags=re.IGNORECASE) + "</script>"


def main(arguments: list[str]) -> int:
    """Write the slides of the lesson named first into the folder named second: 0, or 1 when the lesson failed."""
    try:
        path = find(arguments[0] if arguments else "", [p for p in hygiene.notebooks() if hygiene.is_lesson(p.stem)])
    except ValueError as error:
        raise SystemExit(str(error)) from None
    folder = Path(arguments[1]) if arguments[1:] else SLIDES
    kit = reveal.fetch()
    print(f"Running {path.stem}: it took {expected_minutes(path):.1f} minutes when it was recorded", flush=True)
    try:
        notebook = executed(path)
    except reference.LessonFailed as failure:
        print(f"{path.stem}: FAILED, no slides are written. {failure}")
        return 1
    target = folder / f"{path.stem}.html"
    write_whole(target, slides(notebook, kit).encode())
    print(f"{target}: open it in a browser. Arrow keys page, S opens the notes, F fills the screen, ? lists the keys")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
