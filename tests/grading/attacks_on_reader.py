"""Submissions whose pages act in the reader's browser, and what is broken, misplaced or disguised as something else."""

import json
import os
import shutil
import zipfile

import nbformat
from attacks import ENDED, EXERCISE, MAXIMUM, Attack, blank, right
from submitting import ROOT

SCRIPTS = [
    "<script>alert('attack-8461')</script>",
    "<img src=x onerror=\"alert('attack-8461')\">",
    "<svg onload=alert('attack-8461')><script>alert('attack-8461')</script></svg>",
    '<iframe src="data:text/html,attack-8461"></iframe><object data="attack-8461"></object><embed src="attack-8461">',
    '<a href="javascript:alert(\'attack-8461\')">a</a><a href="data:text/html,attack-8461">b</a>',
    '<style>body::after { content: "attack-8461" }</style><link rel="stylesheet" href="//attack-8461">',
    '<p style="position:fixed;inset:0;background:url(//attack-8461)">over everything</p>',
    '<form action="//attack-8461"><input name="attack-8461"></form><meta http-equiv="refresh" content="0;//attack-8461">',
    '<base href="//attack-8461"><img src="//attack-8461/seen.png"><video src="//attack-8461" autoplay></video>',
    "</pre></div></code><script>alert('attack-8461')</script>",
    "[a](javascript:alert('attack-8461')) ![b](//attack-8461/b.png) <//attack-8461> $$</script>attack-8461$$",
    "<math><mtext><style><img src=x onerror=alert('attack-8461')></style></mtext></math>",
    "> " * 3000 + "[" * 3000 + "attack-8461",
    "$\\href{javascript:alert('attack-8461')}{x}$",
    "<noscript><p title=\"</noscript><img src=x onerror=alert('attack-8461')>\"></noscript>",
]
SHOW = f"""from IPython.display import HTML, SVG, Image, Javascript, Latex, Markdown, display
import sys
for text in {SCRIPTS!r}:
    display(HTML(text), Markdown(text), Latex(text), Javascript("'attack-8461'"), Javascript(text))
    for kind in ("text/html", "image/svg+xml", "text/markdown", "text/latex", "image/png", "image/jpeg", "application/pdf",
                 "application/javascript", "text/plain", "application/vnd.jupyter.widget-view+json", "application/json"):
        display({{kind: text, "text/plain": text}}, raw=True)
        display({{kind: "aGk=", "text/plain": ""}}, raw=True, metadata={{kind: {{
            "width": '1" onerror="x(8461)', "height": text, "alt": '"' + text, "needs_background": text}}}})
    print(text)
    print(text, file=sys.stderr)
    print(chr(27) + "]8;;javascript:alert('attack-8461')" + chr(7) + text)
raise type(text, (Exception,), {{}})(text)"""


def scripted():
    notebook = right(SHOW)
    for number, text in enumerate(SCRIPTS):
        notebook.cells.append(nbformat.v4.new_markdown_cell(f"{text}\n\n![x](attachment:a.png)", id=f"m{number}"))
        notebook.cells[-1]["attachments"] = {"a.png": {"image/png": '"><script>alert("attack-8461")</script>'}}
        notebook.cells.append(nbformat.v4.new_raw_cell(text, metadata={"raw_mimetype": "text/html"}, id=f"r{number}"))
        notebook.cells.append(
            nbformat.v4.new_code_cell(f'"""{text}"""', metadata={"tags": [SCRIPTS[1]], "name": text}, id=f"c{number}")
        )
    state = {"state": {"a": {"model_name": "HTMLModel", "model_module": "</script><script>'attack-8461'", "state": {}}}}
    widgets = {"application/vnd.jupyter.widget-state+json": state | {"version_major": 2, "version_minor": 0}}
    notebook.metadata.update(title=SCRIPTS[9], authors=[{"name": SCRIPTS[0]}], widgets=widgets)
    notebook.metadata.language_info = {"name": SCRIPTS[0], "pygments_lexer": SCRIPTS[0], "file_extension": "/../../attack-8461"}
    return notebook


def metadata(change):
    notebook = right()
    change(notebook)
    return notebook


def marks(notebook):
    return {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader for cell in notebook.cells if "nbgrader" in cell.metadata}


def slow_page():
    """Right answers beside text that takes minutes to clean and to colour, though there is little of it."""
    notebook = right("display({'text/html': '<b>' * 60_000, 'text/plain': ''}, raw=True)")
    notebook.cells.append(nbformat.v4.new_markdown_cell("![" * 10_000))
    return notebook


def heavy(notebook):
    """A few megabytes of empty dictionaries, which nbformat would take apart one by one, for minutes."""
    notebook.cells[0].metadata.x = [{} for _ in range(1_000_000)]


def many_cells(notebook):
    notebook.cells += [nbformat.v4.new_code_cell("1", id=f"more{number}") for number in range(2_000)]


def long_text(notebook):
    notebook.cells.append(nbformat.v4.new_code_cell("x = " + "[]," * 500_000))


def greedy(notebook):
    for mark in marks(notebook).values():
        mark.update(points=400, grade=True)


def graded_answers(notebook):
    """Answers that claim to be graded by hand, and one more test of 100 points."""
    for name, mark in marks(notebook).items():
        if name.startswith("answer"):
            mark.update(grade=True, points=100)
    cell = nbformat.v4.new_code_cell("100")
    cell.metadata.nbgrader = {**marks(notebook)["test_roofline"], "grade_id": "test_more", "points": 100}
    notebook.cells.append(cell)


def strange_marks(notebook):
    for name, mark in marks(notebook).items():
        if name.startswith("test"):
            mark.update(schema_version="x", points="many", cell_type=["a"], checksum=7, locked=None, task=True)


def other_kernel(notebook):
    notebook.metadata.kernelspec = {"name": "../../bash; touch /tmp/attack-8461", "display_name": "x", "language": "R"}


def tests_as_text(notebook):
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.update(cell_type="markdown", source="attack-8461")
            cell.pop("outputs", None), cell.pop("execution_count", None)


def shown_outputs(notebook):
    """Outputs as if every test had passed, in a notebook that answers nothing."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "400"}, execution_count=1)]


def without_answers(change):
    notebook = blank()
    change(notebook)
    return notebook


def text(change):
    """The right notebook's JSON, changed as text."""
    return change(nbformat.writes(right()))


def with_key(key, value):
    return json.dumps(json.loads(nbformat.writes(right())) | {key: value})


def link(target):
    return lambda folder: (folder / f"{EXERCISE}.ipynb").symlink_to(target)


def link_to_neighbour(folder):
    (folder / f"{EXERCISE}.ipynb").symlink_to(f"../../honest/{EXERCISE}/{EXERCISE}.ipynb")


def linked_folder(folder):
    folder.rmdir()
    folder.symlink_to(ROOT / "solutions" / EXERCISE)


def linked_student(folder):
    shutil.rmtree(folder.parent)
    folder.parent.symlink_to(ROOT / "solutions")


def pipe(folder):
    os.mkfifo(folder / f"{EXERCISE}.ipynb")


def directory(folder):
    (folder / f"{EXERCISE}.ipynb").mkdir()


def huge(folder):
    with (folder / f"{EXERCISE}.ipynb").open("wb") as file:
        file.write(nbformat.writes(right()).encode())
        file.truncate(1 << 42)  # sparse: it takes no room on the disk, and hours to be read


FORGING = """from contextlib import contextmanager
class Checks:
    def __init__(self):
        self.points, self.problems, self.results = 0, [], []
    @contextmanager
    def __call__(self, points, what):
        try:
            yield
        except Exception:
            pass
        self.points += points
        self.results.append((what, points, True))
    def total(self):
        return self.points
"""


def index_folder(folder):
    """Beside the right answers, folders with the names of the pages that grading writes."""
    (folder / f"{EXERCISE}.ipynb").write_text(nbformat.writes(right()), encoding="utf-8")
    for name in ("index.html", "index.html.part"):
        (folder.parent / name).mkdir()


def many_folders(folder):
    for number in range(2000):
        (folder.parent / f"attack-8461-{number}").mkdir()


def shadows(folder):
    """Beside a blank notebook: modules and settings that would be imported instead of the real ones."""
    (folder / f"{EXERCISE}.ipynb").write_text(nbformat.writes(blank()), encoding="utf-8")
    act = 'import pathlib; pathlib.Path("/tmp/attack-8461").write_text("attack-8461")\n'
    for name in ("sitecustomize", "usercustomize", "numpy", "torch", "conftest", "nbgrader_config", "ipython_config", "json"):
        (folder / f"{name}.py").write_text(act + FORGING)
    for name in ("course_lib", ".ipython/profile_default/startup", "grading"):
        (folder / name).mkdir(parents=True)
        for file in ("__init__.py", "exercises.py", "00.py", "judge.py"):
            (folder / name / file).write_text(act + FORGING)
    (folder / "pyproject.toml").write_text("attack-8461")
    with zipfile.ZipFile(folder / "python311.zip", "w") as archive:
        archive.writestr("json.py", act)
    (folder / "judge.py").write_text("JUDGED = {}")
    (folder / "kernel.json").write_text('{"argv": ["touch", "/tmp/attack-8461"], "display_name": "python3"}')


def without_ids(body):
    """Two cells with one id, and one whose id is no name."""
    notebook = json.loads(body)
    notebook["cells"][2]["id"] = notebook["cells"][3]["id"]
    notebook["cells"][4]["id"] = '"><script>attack-8461'
    return json.dumps(notebook)


DEEP = "[" * 100_000 + "]" * 100_000
OLD = nbformat.writes(nbformat.v3.nbbase.new_notebook(worksheets=[nbformat.v3.nbbase.new_worksheet()]), version=3)

ON_READER = [
    Attack("scripts", scripted(), most=MAXIMUM, least=MAXIMUM),
    Attack("greedy-marks", metadata(greedy), most=MAXIMUM, least=MAXIMUM),
    Attack("graded-answers", without_answers(graded_answers)),
    Attack("strange-marks", metadata(strange_marks), most=MAXIMUM),
    Attack("other-kernel", metadata(other_kernel), most=MAXIMUM, least=MAXIMUM),
    Attack("tests-as-text", metadata(tests_as_text), most=MAXIMUM, flag="."),
    Attack("shown-outputs", without_answers(shown_outputs)),
    Attack("shadows", shadows),
    Attack("slow-page", slow_page(), most=MAXIMUM, least=MAXIMUM, flag="no feedback page"),
    Attack("heavy-metadata", metadata(heavy), most=MAXIMUM, least=MAXIMUM),
]

BROKEN = [
    Attack("link-outside", link("/etc/passwd"), flag=ENDED),
    Attack("link-to-solution", link(ROOT / "solutions" / EXERCISE / f"{EXERCISE}.ipynb"), flag=ENDED),
    Attack("link-to-device", link("/dev/zero"), flag=ENDED),
    Attack("link-to-itself", link(f"{EXERCISE}.ipynb"), flag=ENDED),
    Attack("link-to-neighbour", link_to_neighbour, flag=ENDED),
    Attack("linked-folder", linked_folder, flag=ENDED),
    Attack("linked-student", linked_student, flag=ENDED),
    Attack("pipe", pipe, flag=ENDED),
    Attack("directory", directory, flag=ENDED),
    Attack("huge", huge, flag=ENDED),
    Attack("not-utf8", b"\xff\xfe\x00" * 1000, flag=ENDED),
    Attack("old-format", OLD, flag=ENDED),
    Attack("deep-json", DEEP, flag=ENDED),
    Attack(
        "deep-metadata", text(lambda body: body.replace('"metadata": {', '"metadata": {"x": ' + DEEP + ", ", 1)), flag=ENDED
    ),
    Attack("huge-number", with_key("nbformat_minor", 5).replace(": 5", ": 1" + "0" * 5000), flag=ENDED),
    Attack("lone-surrogate", nbformat.writes(right("x = 'SURROGATE'")).replace("SURROGATE", "\\ud800"), most=MAXIMUM),
    Attack("no-cells", with_key("cells", []), flag=ENDED),
    Attack("cells-of-numbers", with_key("cells", [1, 2, None]), flag=ENDED),
    Attack("no-notebook", json.dumps([1, 2]), flag=ENDED),
    Attack("doubled-ids", text(without_ids), most=MAXIMUM),
    Attack("many-cells", metadata(many_cells), flag=ENDED),
    Attack("long-text", metadata(long_text), flag=ENDED),
    Attack("index-folder", index_folder, flag=ENDED),  # its last row is that of no exercise
    Attack("many-folders", many_folders, flag="holds more than"),
    Attack("byte-order-mark", b"\xef\xbb\xbf" + nbformat.writes(right()).encode(), most=MAXIMUM, least=MAXIMUM),
    Attack("empty-file", "", flag=ENDED),
    Attack("odd [name]*", right(), flag=ENDED),
    Attack("=HYPERLINK(1)", right(), flag=ENDED),
    Attack('x;=1+1"', right(), flag=ENDED),
    Attack("-rf", right(), flag=ENDED),
    Attack("ada; touch attack-8461", right(), flag=ENDED),
    Attack("a\nb", right(), flag=ENDED),
    Attack("Zo\u00eb \u6f22\u5b57", right(), most=MAXIMUM, least=MAXIMUM),
]
