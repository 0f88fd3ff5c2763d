"""The README is true: its results are those of the shipped records, and its map is the map of the tree."""

import re
import subprocess
from pathlib import PurePosixPath

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


MADE = [
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
    assert "holds for batches of 1: at batch 8 it is off by a factor of 8; batches of 8 bring 4.0 times" in text


def test_every_lesson_has_a_claim_and_says_what_it_showed():
    lessons = [path.stem for path in readme.hygiene.notebooks() if readme.hygiene.is_lesson(path.stem)]
    assert set(lessons) == set(readme.HEADLINES)
    assert {claim for claims in readme.HEADLINES.values() for claim in claims} <= {claim.id for claim in readme.ledger.CLAIMS}


def test_other_records_make_the_readme_stale(made):
    assert set(readme.stale()) == {readme.README, readme.PICTURE}
    assert readme.main(["--check"]) == 1


def test_text_around_the_results_stays_and_lost_marks_are_named(made):
    text = "before\n" + readme.BEGIN + "stale\n" + readme.END + "after\n"
    new = readme.filled(text, MADE)
    assert new.startswith("before\n") and new.endswith("after\n") and "stale" not in new
    assert readme.filled(new, MADE) == new
    with pytest.raises(ValueError, match="marks"):
        readme.filled(text.replace(readme.END, ""), MADE)


def test_picture_is_the_same_each_time_and_escapes_names():
    picture = readme.claim_against_measurement(readme.sweep(MADE))
    assert picture == readme.claim_against_measurement(readme.sweep(MADE))
    assert "Made &amp; Sons" in picture and "8 times apart" in picture


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
