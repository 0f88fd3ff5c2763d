"""What a notebook of the course must look like in git: `faults(notebook)` names every place where it does not.

The rules are CONTRIBUTING.md's. Most guard against silence: nbval compares nothing in a cell whose stored output was
stripped, passes a `raises-exception` cell that raises nothing, and passes a cell with an unknown magic that never ran.
`python -m tools.hygiene [NOTEBOOK...]` prints the faults of the given (or of all) notebooks.
"""

import ast
import copy
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parent.parent
HEADINGS = [
    *("The claim", "The bill", "Predict", "By hand", "From the library", "Measure again", "Trade-off"),
    *("When it does not pay", "Verdict", "Check yourself", "Your turn", "Recap"),
]
CARD = ("you will learn", "prerequisite", "minute", "gpu")
ALLOWED_MAGICS = {"%%writefile"}  # worker processes need their code in a file
MOST_BYTES = 300_000
MOST_LINES = 20
CELLS = range(25, 46)
WIDGETS = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")

# In a compared cell a number with a fraction is a bound ("within 0.5", "ratio > 1.2") or else it is a measurement.
BOUND = re.compile(r"(?:[<>≤≥]=?|\b(?:within|above|below|under|over|at least|at most)\b) *[-+]?[\d.]+(e-?\d+)?")
MEASUREMENT = re.compile(r"\d\.\d|\d[eE][-+]\d|\b\d+ ?(?:ns|us|µs|ms|s|seconds?|minutes?)\b|\b0x[0-9a-f]{6,}")


def notebooks() -> list[Path]:
    """Every notebook of the course, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> dict:
    """The notebook as it lies on the disk: nbformat's own reader would mend some of the faults."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_lesson(name: str) -> bool:
    """Lessons have the anatomy; the start page 00 and the ledger 91 tell of them, and have their own."""
    return not name.startswith(("00_", "91_"))


def faults(notebook: dict, name: str) -> list[str]:
    """Each fault of the notebook (nbformat 4 as a dict) as one sentence; `name` is its file's stem."""
    try:
        with warnings.catch_warnings(action="error"):  # a missing or doubled cell id is a warning, and is mended silently
            nbformat.validate(copy.deepcopy(notebook))
    except (nbformat.ValidationError, Warning) as error:
        return [f"not a valid notebook: {str(error).splitlines()[0]}"]
    code = _code_cells(notebook)
    unreadable = [f"{place}: not Python: {why}" for place, cell in code if (why := _why_not_python(cell))]
    if unreadable:
        return unreadable  # the other rules read the code
    rules = [_file_faults, _count_faults, _import_faults]
    if is_lesson(name):
        rules.append(_anatomy_faults)
    found = [fault for rule in rules for fault in rule(notebook)]
    for place, cell in code:
        for rule in (_source_faults, _output_faults, _compared_faults):
            found += [f"{place}: {fault}" for fault in rule(cell)]
    return found + _unproved_exceptions(code)


def broken_links(notebook: dict, folder: Path) -> list[str]:
    """Relative links and pictures in the markdown that lead nowhere from `folder`."""
    prose = "\n".join(_text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    local = [target.replace("../my_exercises/", "../exercises/") for target in local]  # made from there, and not in git
    return [f"link leads nowhere: {target}" for target in local if not (folder / target).exists()]


def _text(cell: dict) -> str:
    return "".join(cell["source"])


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def _code_cells(notebook: dict) -> list[tuple[str, dict]]:
    """(a place that a reader finds, cell) of each code cell that is not empty."""
    return [
        (f"cell {number} ({cell['id']})", cell)
        for number, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code" and _text(cell).strip()
    ]


def _nodes(cell: dict) -> list[ast.AST]:
    """The cell's Python, with magics and shell escapes as the calls that IPython makes of them. Raises SyntaxError."""
    return list(ast.walk(ast.parse(TransformerManager().transform_cell(_text(cell)))))


def _why_not_python(cell: dict) -> str:
    try:
        _nodes(cell)
    except SyntaxError as error:
        return error.msg
    return ""


def _file_faults(notebook: dict) -> Iterator[str]:
    metadata = notebook["metadata"]
    size = len(json.dumps(notebook, indent=1).encode())
    if size > MOST_BYTES:
        yield f"{size} bytes; at most {MOST_BYTES}"
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield "kernelspec is not python3"
    for key in ("widgets", "language_info"):
        if key in metadata:
            yield f"metadata.{key} is noise: run `make strip`"
    course = metadata.get("course", {})
    wanted = {"title": str, "claims": list, "minutes": (int, float), "variants": list}
    for key, kind in wanted.items():
        if not isinstance(course.get(key), kind):
            yield f"metadata.course.{key} is missing or of the wrong type"
    if course.get("variants") and len(set(course["variants"])) != len(course["variants"]):
        yield "metadata.course.variants names a variant twice"


def _count_faults(notebook: dict) -> Iterator[str]:
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code" and not _text(cell).strip():
            yield f"cell {number} ({cell['id']}) is an empty code cell"
    counts = [cell["execution_count"] for _, cell in _code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}; they run 1..{len(counts)} after one run from top to bottom"


def _import_faults(notebook: dict) -> Iterator[str]:
    for order, (place, cell) in enumerate(_code_cells(notebook)):
        imports = any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in _nodes(cell))
        if order == 0 and not imports:
            yield f"{place}: the first code cell is the set-up cell and holds the imports"
        if order > 0 and imports:
            yield f"{place}: imports belong in the set-up cell"


def _source_faults(cell: dict) -> Iterator[str]:
    lines = _text(cell).strip("\n").count("\n") + 1
    if lines > MOST_LINES:
        yield f"{lines} lines of code; at most {MOST_LINES}"
    for call in (node for node in _nodes(cell) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name in ("run_line_magic", "run_cell_magic"):
            magic = ("%%" if name == "run_cell_magic" else "%") + call.args[0].value
            if magic not in ALLOWED_MAGICS:
                yield f"magic {magic} is not allowed: nbval passes a cell whose magic is unknown without running it"
        if name in ("system", "getoutput") and ast.unparse(call.func).startswith("get_ipython()"):
            yield "a shell command does not run everywhere"


def _output_faults(cell: dict) -> Iterator[str]:
    outputs = cell["outputs"]
    if "keep_output" in _tags(cell) and not outputs:
        yield "tagged keep_output but holds none: run `make reference`"
    if "keep_output" not in _tags(cell) and outputs:
        yield "holds an output without the tag keep_output: run `make strip`"
    for output in outputs:
        if output["output_type"] == "error":
            yield f"holds the error {output['ename']}"
        if output.get("name") == "stderr":
            yield "holds an output on stderr"
        for kind in set(output.get("data", {})) & set(WIDGETS):
            yield f"holds {kind}, which shows nothing without a kernel"


def _printed(cell: dict) -> str:
    """Everything that the stored outputs say in plain text."""
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell["outputs"]]
    return "\n".join("".join(text) for text in texts)


def _compared_faults(cell: dict) -> Iterator[str]:
    if "nbval-check-output" not in _tags(cell):
        return
    if "keep_output" not in _tags(cell):
        yield "nbval-check-output without keep_output: its output would be stripped and never compared"
    if not _printed(cell).strip():
        yield "nbval-check-output without a stored text: nothing is compared"
    if cell["execution_count"] is None:
        yield "nbval-check-output without a count: nothing is compared"
    if match := MEASUREMENT.search(BOUND.sub("", _printed(cell))):
        yield f"compares {match[0]!r}, which differs between machines: print the comparison, not the number"


def _unproved_exceptions(code: list[tuple[str, dict]]) -> list[str]:
    """`raises-exception` cells that nothing later holds to having raised."""
    following = [_text(cell) for _, cell in code[1:]] + [""]
    return [
        f"{place}: raises-exception passes when nothing raises; the next cell asserts on sys.last_value"
        for (place, cell), after in zip(code, following, strict=True)
        if "raises-exception" in _tags(cell) and not re.search(r"\bassert\b.*\blast_value\b", after)
    ]


def _sections(notebook: dict) -> dict[str, list[dict]]:
    """The cells below each level-2 heading, in order; the cells before the first are not in it."""
    sections: dict[str, list[dict]] = {}
    for cell in notebook["cells"]:
        heading = re.match(r"## (.+)", _text(cell)) if cell["cell_type"] == "markdown" else None
        if heading:
            sections[heading[1].strip()] = []
        elif sections:
            list(sections.values())[-1].append(cell)
    return sections


def _anatomy_faults(notebook: dict) -> Iterator[str]:
    cells = notebook["cells"]
    markdown = [_text(cell) for cell in cells if cell["cell_type"] == "markdown"]
    headings = [line.strip() for text in markdown for line in re.findall(r"^## (.+)", text, re.MULTILINE)]
    if headings != HEADINGS:
        yield f"headings are {headings}; they are {HEADINGS}"
    if len(cells) not in CELLS:
        yield f"{len(cells)} cells; {CELLS.start} to {CELLS.stop - 1}"
    card = markdown[0].lower() if markdown and cells[0]["cell_type"] == "markdown" else ""
    for word in ("# ", *CARD):
        if word not in card:
            yield f"the card in the first cell lacks {word!r}"
    if not notebook["metadata"].get("course", {}).get("variants"):
        yield "metadata.course.variants is empty: a lesson is an experiment and records its measurements"
    sections = _sections(notebook)
    if not any("nbval-check-output" in _tags(cell) for cell in sections.get("Check yourself", [])):
        yield "Check yourself holds no cell tagged nbval-check-output"
    if not any(_decides(cell) for cell in sections.get("Verdict", []) if cell["cell_type"] == "code"):
        yield "Verdict holds no cell that computes it with an if or a comparison: a verdict is never typed in"


def _decides(cell: dict) -> bool:
    return any(isinstance(node, (ast.If, ast.IfExp, ast.Compare, ast.Match)) for node in _nodes(cell))


if __name__ == "__main__":
    clean = True
    for path in [Path(argument) for argument in sys.argv[1:]] or notebooks():
        notebook = read(path)
        for fault in faults(notebook, path.stem) + broken_links(notebook, path.parent):
            clean = False
            print(f"{path.name}: {fault}")
    sys.exit(not clean)
