"""What `make setup` promises: it installs once, again after a change, and again after an install that was interrupted."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ANNOUNCES = "Setting up .venv"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of the real Makefile whose requirements are empty, so that an install takes seconds and no network."""
    folder = tmp_path_factory.mktemp("a course")  # a space in the path is part of the test
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text("# nothing\n")
    (folder / "requirements.txt").write_text("# nothing\n")
    return folder


def make(folder, *arguments, python=sys.executable):
    command = ["make", *arguments, f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def setup(folder):
    done = make(folder, "setup")
    assert done.returncode == 0, done.stderr
    return ANNOUNCES in done.stdout


def test_it_installs_once_and_again_after_a_change(course):
    assert setup(course)
    assert (course / ".venv/bin/python").exists()
    assert not setup(course)
    requirements = course / "requirements.txt"
    before = requirements.stat()
    requirements.write_text("# a change\n")
    os.utime(requirements, (before.st_atime, before.st_mtime))  # the content decides, not the clock
    assert setup(course)
    assert not setup(course)


def test_a_course_that_was_moved_installs_again(course, tmp_path):
    setup(course)
    moved = tmp_path / "moved"
    shutil.copytree(course, moved, symlinks=True)
    assert setup(moved)


def test_a_failed_install_is_not_taken_for_a_finished_one(course):
    good = (course / "requirements.txt").read_text()
    (course / "requirements.txt").write_text("-r no-such-file.txt\n")
    failed = make(course, "setup")
    assert failed.returncode != 0 and "no-such-file.txt" in failed.stderr
    (course / "requirements.txt").write_text(good)
    assert setup(course)


def test_a_killed_install_is_not_taken_for_a_finished_one(course):
    (course / "requirements.txt").write_text("./waits\n")
    waits = course / "waits"
    waits.mkdir(exist_ok=True)
    (waits / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n")
    (waits / "backend.py").write_text(
        "import pathlib, time\n\ndef build_wheel(*_):\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        ["make", "setup", f"PYTHON={sys.executable}"], cwd=course, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (waits / "begun").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        assert (waits / "begun").exists()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (course / ".venv/installed").exists()
    (course / "requirements.txt").write_text("# a change\n")
    assert setup(course)


def test_an_old_python_is_named_with_what_is_needed(course, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    (course / "requirements.txt").write_text("# another change\n")
    refused = make(course, "setup", python=old)
    assert refused.returncode != 0
    assert "needs Python 3.11 to 3.13; Python 3.9.1 was found" in refused.stdout


def test_the_server_alone_gets_the_port_and_no_browser(course):
    shown = make(course, "--dry-run", "lab", "PORT=9999", "BROWSER=none").stdout
    assert "--ServerApp.port=9999 --no-browser" in shown and "notebooks/00_start_here.ipynb" in shown
    assert "--no-browser" not in make(course, "--dry-run", "lab").stdout


def test_a_role_is_passed_on_and_an_unknown_one_refused_before_anything_is_installed(course):
    assert "COURSE_ROLE=learner" in make(course, "--dry-run", "lab").stdout
    assert "COURSE_ROLE=teacher" in make(course, "--dry-run", "lab", "ROLE=teacher").stdout
    refused = make(course, "lab", "ROLE=pupil")
    assert refused.returncode != 0 and "ROLE=pupil is not allowed; allowed: learner, teacher" in refused.stderr
    assert ANNOUNCES not in refused.stdout
