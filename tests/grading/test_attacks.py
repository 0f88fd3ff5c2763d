"""A class full of hostile and broken submissions, graded in one go by the real grader: nobody keeps what was not earned,
nothing is read, sent, changed or left behind, and the honest ones among them get what is theirs.
"""

import csv
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import psutil
import pytest
from attacks import BREACH, CANARY, EXERCISE, MARK, MAXIMUM, Attack, right, write
from attacks_on_judge import ON_JUDGE
from attacks_on_machine import ON_MACHINE
from attacks_on_points import COUNTERS, FORGERIES, WASTEFUL, wasteful
from attacks_on_reader import BROKEN, ON_READER
from submitting import ROOT

from grading.reach import reaches
from grading.sandbox import START

TOTAL = 25  # seconds that one submission may run
LIMITS = {"cell": 5, "total": TOTAL, "memory": 3 << 29, "disk": 64 << 20}

EXPLORING = """import time

start = time.perf_counter()
%timeit -n 1 -r 1 np.random.default_rng(0).normal(size=10).mean()
print(f"{time.perf_counter() - start:.3f} s", np.median.__doc__, type(1).__name__)
!echo hello"""

HONEST = [
    Attack("honest", right(), most=MAXIMUM, least=MAXIMUM),
    Attack("honest-explorer", right(EXPLORING), most=MAXIMUM, least=MAXIMUM),
]
ALL = [*HONEST, *FORGERIES, *ON_JUDGE, *ON_MACHINE, *ON_READER, *BROKEN]

pytestmark = pytest.mark.system("bubblewrap")


def overlay(folder):
    """A teacher's own copy of the solution, with the canary where no learner may look: in the answers and hidden tests."""
    notebook = nbformat.read(ROOT / "solutions" / EXERCISE / f"{EXERCISE}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r"( *)### BEGIN (SOLUTION|HIDDEN TESTS)", rf"\g<0>\n\1'{CANARY}'", cell.source)
        cell.source = cell.source.replace('"a negative time: ', f'"a negative time {CANARY}: ')
    path = folder / EXERCISE / f"{EXERCISE}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return folder


def state(*folders):
    """{path: what it is and what is in it}, links not followed; without what Python itself caches."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            info = path.lstat()
            if "__pycache__" in path.parts or path.is_socket():
                continue
            small = path.is_file() and not path.is_symlink() and info.st_size < 10_000_000
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if small else ""
            found[str(path)] = (info.st_mode, 0 if path.is_dir() else info.st_size, digest)
    return found


def listeners(folder):
    """Sockets at which somebody would be heard: on the loopback, in the abstract space, and in the class folder."""
    loopback, abstract, file = socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    loopback.bind(("127.0.0.1", 0))
    abstract.bind(f"\0{MARK}-{os.getpid()}")
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket may have 107 characters
    file.bind("listening")
    os.chdir(here)
    for each in (loopback, abstract, file):
        each.listen()
        each.setblocking(False)
    return [loopback, abstract, file]


class Siege:
    """What was handed in, what came of it, and what the world was like before and after."""

    def __init__(self, base):
        self.folder, self.home, self.temporary, report = (base / name for name in ("class", "home", "tmp", "report.json"))
        for folder in (self.folder, self.home, self.temporary):
            folder.mkdir()
        laid = overlay(base / "overlay")
        sockets = listeners(self.folder)
        places = {"CLASS": self.folder, "REPO": ROOT, "OVERLAY": laid, "HOME": self.home}
        places |= {"PORT": sockets[0].getsockname()[1], "ABSTRACT": f"{MARK}-{os.getpid()}"}
        for attack in ALL:
            write(attack, self.folder, **places)
        kept = [self.folder / "submitted", laid, self.home, *(ROOT / name for name in ("solutions", "exercises", "course_lib"))]
        self.before = state(*kept)
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "SECRET_OF_THE_TEACHER": "x", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, Path(__file__).with_name("apart.py"), self.folder, report, "--overlay", laid]
        self.done = subprocess.run(
            [*map(str, command), "--limits", json.dumps(LIMITS)],
            env=os.environ | own, capture_output=True, timeout=900, check=False,
        )  # fmt: skip
        assert self.done.returncode == 0, self.done.stderr.decode()[-3000:]
        self.report = json.loads(report.read_text(encoding="utf-8"))
        self.after = state(*kept)
        self.calls = sum(heard(each) for each in sockets)
        self.grades = {grade["student"]: grade for grade in self.report["grades"]}

    def written(self):
        """{name: bytes} of all that grading left for anybody to read."""
        skipped = {self.folder / "submitted"}
        files = [path for path in self.folder.rglob("*") if path.is_file() and not skipped & set(path.parents)]
        said = {"stdout": self.done.stdout, "stderr": self.done.stderr}
        return said | {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


def heard(listener):
    try:
        listener.accept()
    except BlockingIOError:
        return 0
    finally:
        listener.close()
    return 1


@pytest.fixture(scope="module")
def siege(tmp_path_factory):
    return Siege(tmp_path_factory.mktemp("siege"))


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own():
    assert len({attack.student for attack in ALL}) == len(ALL) >= 30 + len(HONEST)


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.student)
def test_nobody_keeps_more_than_was_earned(siege, attack):
    grade = siege.grades[attack.student]
    assert attack.least <= grade["points"] <= attack.most, grade
    assert not attack.flag or any(re.search(attack.flag, flag) for flag in grade["flags"]), grade
    assert grade["seconds"] < START + TOTAL + 10


@pytest.mark.parametrize("way", sorted(COUNTERS.keys() - {"names"}))
def test_every_way_to_the_object_behind_a_function_is_seen(way):
    """By names alone no look could tell; the judge has none that an answer knows: see counter-names above."""
    code = wasteful(way)
    assert reaches([code], [], []), code
    assert not reaches([WASTEFUL.replace("FORGED", "pass")], [], [])


@pytest.mark.parametrize("student", [attack.student for attack in HONEST])
def test_the_honest_are_not_suspected(siege, student):
    assert siege.grades[student]["flags"] == []


def test_nothing_that_learners_may_not_know_was_written_anywhere(siege):
    written = siege.written()
    assert f"autograded/honest/{EXERCISE}/{EXERCISE}.ipynb" in written
    for name, content in written.items():
        assert BREACH.encode() not in content, f"{name}: {content[content.index(BREACH.encode()) :][:300]}"
        if name.endswith(".ipynb"):  # in the teacher's own copy the test cells are whole: formgrader needs them
            content = json.dumps([cell.get("outputs") for cell in json.loads(content)["cells"]]).encode()
        if not name.startswith("gradebook.db"):  # the teacher's own, too
            assert CANARY.encode() not in content, f"{name}: {content[content.index(CANARY.encode()) - 200 :][:400]}"


def test_what_was_handed_in_and_the_course_are_as_they_were(siege):
    assert siege.after == siege.before


def test_nothing_was_left_behind(siege):
    assert [command for command in siege.report["left"] if "resource_tracker" not in command] == []  # Python's own, to its end
    assert list(siege.temporary.iterdir()) == []
    places = [Path(place) for place in ("/", "/tmp", "/var/tmp", "/dev/shm", "/run", Path.home(), ROOT, siege.home)]
    assert [path for place in places for path in place.glob(f"*{MARK}*")] == []
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert [command for command in running if "84610" in command or str(siege.temporary) in " ".join(command)] == []


def test_nobody_called(siege):
    assert siege.calls == 0


def test_the_table_has_a_row_for_everyone_and_no_formula(siege):
    with (siege.folder / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert set(siege.grades) == {attack.student for attack in ALL} and {len(row) for row in rows} == {6}
    assert len(rows) == 1 + len(siege.report["grades"])
    assert not [cell for row in rows for cell in row if re.search(r"(^|;)\s*[=+\-@\t\r]", cell)]
    assert all(letter.isprintable() for row in rows for cell in row for letter in cell)


def test_no_file_is_too_large_to_be_opened(siege):
    assert max(map(len, siege.written().values())) < 20_000_000


class Dangers(HTMLParser):
    """What a browser would run, load or submit on its own, or at a click, and that a learner brought in."""

    ADDRESSES = ("src", "srcset", "href", "action", "formaction", "data", "style", "content", "background", "poster")

    def __init__(self):
        super().__init__()
        self.found, self._inside = [], ""

    def handle_starttag(self, tag, attributes):
        self._inside = tag if tag in ("script", "style") else ""
        for name, value in attributes:
            value = value or ""
            link = tag == "a" and re.match(r"(https?:)?//|#|mailto:", value.strip().lower())
            picture = tag == "img" and re.match(r"data:image/(png|jpeg|gif);base64,", value)  # no other text runs there
            if "8461" in value and (name.startswith("on") or (name in self.ADDRESSES and not (link or picture))):
                self.found.append((tag, name, value[:200]))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, text):
        if self._inside and "8461" in text:
            self.found.append((self._inside, text[:200]))


def test_no_page_acts_in_the_readers_browser(siege):
    pages = {name: text.decode() for name, text in siege.written().items() if name.endswith(".html")}
    assert f"feedback/scripts/{EXERCISE}/{EXERCISE}.html" in pages
    for name, page in pages.items():
        parser = Dangers()
        parser.feed(page)
        assert parser.found == [], name
