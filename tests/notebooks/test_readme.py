"""The README is true: its results are those of the shipped records, and its map is the map of the tree."""

import re
import subprocess
from pathlib import PurePosixPath
from xml.etree import ElementTree

import pytest

from course_lib.records import Result
from tools import readme
from tools.hygiene import ROOT

WHOLE = ("course_lib", "grading", "notebooks", "tools")  # folders of which the map names every file
UNLISTED = re.compile(r"(^|/)(\.gitignore|__init__\.py|[^/]*\.jsonl)$")


def mapped(text: str) -> dict[str, str]:
    """Path -> description from the map in the README: names indented by two spaces a level, folders with a slash."""
    block = re.search(r"## The map\n.*?```\n(.*?)```", text, re.DOTALL)[1]
    paths, folders = {}, []
    for line in block.splitlines():
        indent, name, description = re.fullmatch(r"( *)(\S+)(?: {2,}(.+))?", line).groups()
        del folders[len(indent) // 2 :]
        paths["".join([*folders, name])] = description
        if name.endswith("/"):
            folders.append(name)
    return paths


def unlisted(files: list[str], paths: dict[str, str]) -> list[str]:
    """Files that the map must name, itself or (outside the folders of WHOLE) by a folder above, and does not."""
    missing = []
    for file in files:
        above = [f"{folder}/" for folder in PurePosixPath(file).parents if str(folder) != "."]
        covered = file in paths or (file.split("/")[0] not in WHOLE and any(folder in paths for folder in above))
        if not covered and not UNLISTED.search(file):
            missing.append(file)
    return missing


def files_of_the_tree() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: no list of the tree's files")
    return [file for file in listed.stdout.splitlines() if (ROOT / file).exists()]


def result(lesson, variant, values, **knobs):
    return Result(
        lesson=lesson,
        variant=variant,
        knobs=knobs,
        values=values,
        units=dict.fromkeys(values, "s"),
        machine={"device": "cpu", "cpu": "Made & Sons", "cores": 2, "threads": 1, "os": "Linux"},
        versions={"torch": "2.13.0"},
        data=None,
        time="2026-01-31T12:00:00+00:00",
        code="0" * 64,
    )


def rung(number, step, seconds, kept, lost=(0, 0)):
    values = {"time_to_target": seconds, "lost": lost, "kept": [kept]}
    return result("90_capstone", "ladder", values, task="images", rung=number, step=step)


LADDER = [  # the second rung is out of all proportion, and loses
    rung(2, "early stop", [3, 3], 1),
    rung(1, "compile", [90, 90], 0, lost=(1, 3)),
    rung(0, "baseline", [10, 12], 1),
    result(
        "90_capstone", "ladder", {"time_to_target": [1], "lost": [0], "kept": [1]}, task="language", rung=0, step="baseline"
    ),
]
MADE = [
    *LADDER,
    result("90_capstone", "altogether", {"speedup": [3, 4], "lost": [0, 0]}, task="images"),
    result("01_measuring", "small_cnn", {"latency": [0.5], "throughput": [2]}, batch=1),
    result("01_measuring", "small_cnn", {"latency": [1.0], "throughput": [8]}, batch=8),
    result("01_measuring", "lesson_run", {"seconds": [90]}),
]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A course of one lesson, with MADE as what the shipped records say of it."""
    path = tmp_path / "01_measuring.ipynb"
    path.write_text('{"metadata": {"course": {"title": "A ruler"}}}', encoding="utf-8")
    monkeypatch.setattr(readme.hygiene, "notebooks", lambda: [path])
    monkeypatch.setattr(readme, "shipped", lambda: MADE)


def test_results_and_picture_are_those_of_the_shipped_records():
    assert list(readme.stale()) == [], "run `make readme`"


def test_results_are_computed_from_the_records(made):
    text = readme.results_text(MADE)
    assert "[01 A ruler](notebooks/01_measuring.ipynb) | 1.5 |" in text and "Made & Sons, 2 cores" in text
    assert "**◐ holds for batches of 1**: off by a factor of 8 at batch 8; batches of 8 bring 4.0 times" in text


def test_a_lesson_is_named_once_and_each_of_its_claims_has_a_row(made, monkeypatch):
    monkeypatch.setitem(readme.HEADLINES, "01_measuring", ("C7", "B1"))
    rows = [line for line in readme.results_text(MADE).splitlines() if line.startswith("|")][2:]
    assert [row.startswith("| [01 A ruler](notebooks/01_measuring.ipynb) | 1.5 | ") for row in rows] == [True, False]
    assert rows[1].startswith("|  |  | ") and all(row.count("|") == 5 for row in rows)
    assert "B1: " in rows[0] and "**· not run yet** |" in rows[0] and "C7: " in rows[1]


def test_every_lesson_has_a_claim_and_says_what_it_showed():
    lessons = [path.stem for path in readme.hygiene.notebooks() if readme.hygiene.is_lesson(path.stem)]
    assert set(lessons) == set(readme.HEADLINES)
    assert {claim for claims in readme.HEADLINES.values() for claim in claims} <= {claim.id for claim in readme.ledger.CLAIMS}


def test_other_records_make_the_readme_stale(made):
    assert set(readme.stale()) == {readme.README, readme.PICTURE}
    assert readme.main(["--check"]) == 1


def test_text_around_the_results_stays_and_lost_marks_are_named(made):
    first, second = (f"{readme.BEGIN.format(part)}stale\n{readme.END.format(part)}" for part in ("picture", "results"))
    new = readme.filled(f"before\n{first}between\n{second}after\n", MADE)
    assert new.startswith("before\n") and "\nbetween\n" in new and new.endswith("after\n") and "stale" not in new
    assert readme.filled(new, MADE) == new
    for part in ("picture", "results"):
        with pytest.raises(ValueError, match=f"marks of its {part}"):
            readme.filled(new.replace(readme.END.format(part), ""), MADE)


def test_picture_is_the_same_each_time_well_formed_and_says_what_was_recorded():
    drawn = readme.picture.waterfall(*readme.ladder(MADE))
    assert drawn == readme.picture.waterfall(*readme.ladder(MADE))
    said = [text.text for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert [name for name in said if name in ("baseline", "compile", "early stop")] == ["baseline", "compile", "early stop"]
    assert any("Made & Sons" in text for text in said) and "The same training, 3.5 times as fast to its target" in said
    assert {"11.00 s", "90.0 s (cut)", "3.00 s", "+2.0 ± 12.7"} <= set(said)


def test_a_rung_that_was_taken_out_is_drawn_in_another_way_and_never_built_upon():
    rungs, together = readme.ladder(MADE)
    assert [r.knobs["rung"] for r in rungs] == [0, 1, 2]
    drawn = readme.picture.waterfall(rungs, together)
    bars = [line for line in drawn.splitlines() if line.startswith("<rect") and 'height="24"' in line]
    hatched = [bar for bar in bars if "#hatch" in bar]
    assert len(hatched) == 1 and 'width="410.0"' in hatched[0]  # cut where the frame ends
    (won,) = [bar for bar in bars if readme.picture.PALE in bar]
    assert won.split("width=")[1] in bars[0].replace(readme.picture.BLUE, readme.picture.PALE, 1)  # from the baseline on


def test_words_around_the_picture_count_what_stayed(made):
    text = readme.picture_text(MADE)
    assert "2 of the course's techniques" in text and "1 of them stayed" in text and "taken out again: 1." in text
    assert "**3.5 times as fast**, at 0 points" in text
    assert "baseline 11.00 s, compile 90.00 s (taken out), early stop 3.00 s; what stayed is 3.5 times" in text


def test_without_a_ladder_it_says_what_to_run():
    with pytest.raises(SystemExit, match="make reference"):
        readme.ladder(MADE[-3:])


def test_map_names_what_is_there():
    paths = mapped(readme.README.read_text(encoding="utf-8"))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [path for path, description in paths.items() if not description] == []


def test_map_misses_nothing():
    assert unlisted(files_of_the_tree(), mapped(readme.README.read_text(encoding="utf-8"))) == []


def test_a_file_that_the_map_lacks_is_seen():
    paths = mapped("## The map\n\n```\nREADME.md   x\ncourse_lib/  y\n  data/   z\n    loaders.py   w\ntests/   v\n```\n")
    assert list(paths) == ["README.md", "course_lib/", "course_lib/data/", "course_lib/data/loaders.py", "tests/"]
    files = ["README.md", "new.txt", "course_lib/data/loaders.py", "course_lib/data/new.py", "tests/lib/test_a.py"]
    assert unlisted(files, paths) == ["new.txt", "course_lib/data/new.py"]
