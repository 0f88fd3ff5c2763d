"""The cache: made once, complete or absent, and never believed without its checksum."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import Dataset, glyphs, jpeg_folder
from course_lib.data.cache import cache_folder, cached_arrays, content_hash, once

ROOT = Path(__file__).parents[2]
PROVENANCE = {"name": "x", "kind": "real", "source": "s", "n_train": 3, "n_test": 2, "sha256": "0"}

# A process that renders slowly, says so in a log, and prints the hash that it got.
SLOW_RENDERER = """
import os, sys, time
import numpy as np
from course_lib.data.cache import cached_arrays

def render():
    with open(sys.argv[1], "a") as log:
        log.write("rendered\\n")
    time.sleep(1)
    return {"x": np.arange(1000)}

print(cached_arrays("set.npz", render)[1])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def start(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE)


def make_ten():
    return {"x": np.arange(10)}


def test_two_processes_render_once_and_agree(tmp_path):
    log = tmp_path / "log"
    processes = [start(SLOW_RENDERER, log) for _ in range(2)]
    hashes = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert log.read_text() == "rendered\n"
    assert hashes[0] == hashes[1] != b""


def test_a_process_killed_while_rendering_leaves_nothing_that_is_taken_for_complete(tmp_path, folder):
    log = tmp_path / "log"
    process = start(SLOW_RENDERER.replace("sleep(1)", "sleep(600)"), log)
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "set.npz").exists()
    arrays, _ = cached_arrays("set.npz", make_ten)  # its lock is free again
    assert arrays["x"].tolist() == list(range(10))


def test_killed_between_writing_and_renaming(folder, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("course_lib.data.cache.os.replace", killed)
        patch.setattr("course_lib.data.cache.remove", lambda path: None)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            cached_arrays("set.npz", make_ten)
    assert [path.name for path in folder.glob(".*.part")] == [".set.npz.part"]
    assert not (folder / "set.npz").exists()
    cached_arrays("set.npz", make_ten)
    assert sorted(path.name for path in folder.iterdir()) == ["set.npz", "set.npz.lock"]


def test_a_failed_render_leaves_no_file(folder):
    with pytest.raises(ZeroDivisionError):
        cached_arrays("set.npz", lambda: 1 / 0)
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def swap(path):
    """A sound file of other values under the old checksum."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["train_inputs"][0, 0, 0, 0] ^= 1
    np.savez(path, **arrays)


def strange(path):
    np.save(path, np.arange(3))
    os.replace(f"{path}.npy", path)


@pytest.mark.parametrize("damage", [cut, flip, empty, swap, strange])
def test_a_damaged_file_is_rendered_again(folder, damage):
    first = glyphs(40, 20, classes=4)
    (file,) = folder.glob("*.npz")
    damage(file)
    with pytest.warns(UserWarning, match="is damaged .* made again"):
        second = glyphs(40, 20, classes=4)
    assert second.provenance == first.provenance
    assert torch.equal(first.train[0], second.train[0])
    glyphs(40, 20, classes=4)  # a warning here would fail the test: the file is sound again


def test_a_sound_file_is_read_and_not_rendered(folder, monkeypatch):
    glyphs(40, 20)
    monkeypatch.setattr("course_lib.data.images._draw", lambda *_: pytest.fail("rendered again"))
    glyphs(40, 20)


def test_a_damaged_picture_is_encoded_again(folder):
    first = jpeg_folder(10, size=(40, 30))
    flip(first.paths[4])
    with pytest.warns(UserWarning, match=r"000004.jpg does not match"):
        second = jpeg_folder(10, size=(40, 30))
    assert second.provenance == first.provenance
    second.paths[2].unlink()
    with pytest.warns(UserWarning, match="is damaged"):
        jpeg_folder(10, size=(40, 30))


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "faster-cheaper-still-right"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "faster-cheaper-still-right"


def test_a_folder_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(RuntimeError, match=r"data folder .*file/data.*COURSE_DATA"):
        cache_folder()


def test_once_removes_what_make_left_when_it_fails(folder):
    def half(path):
        path.mkdir()
        (path / "part").touch()
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        once(cache_folder() / "set", lambda path: path, half)
    assert sorted(path.name for path in folder.iterdir()) == ["set.lock"]


@given(st.lists(st.integers(0, 255), min_size=2, max_size=20), st.data())
def test_the_content_hash_sees_every_value_type_shape_and_name(values, data):
    array = np.array(values, dtype=np.uint8)
    changed = array.copy()
    changed[data.draw(st.integers(0, len(values) - 1))] ^= data.draw(st.integers(1, 255))
    others = [{"x": changed}, {"y": array}, {"x": array.view(np.int8)}, {"x": array[None]}, {"x": array, "y": array}]
    assert all(content_hash({"x": array}) != content_hash(other) for other in others)
    assert content_hash({"x": array}) == content_hash({"x": np.array(values * 2, dtype=np.uint8)[: len(values)]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": (torch.zeros(3, 1), torch.zeros(2))}, "train: 3 inputs but 2 targets"),
        ({"test": (torch.zeros(1), torch.zeros(2))}, "test: 1 inputs but 2 targets"),
        ({"provenance": {"name": "x"}}, r"provenance: .*'sha256'\] missing"),
        ({"provenance": {**PROVENANCE, "kind": "invented"}}, "'invented'; allowed are .*'stand-in'"),
    ],
)
def test_a_data_set_that_does_not_add_up_is_refused(changes, message):
    good = {
        "name": "x",
        "train": (torch.zeros(3, 1), torch.zeros(3)),
        "test": (torch.zeros(2), torch.zeros(2)),
        "classes": ("a",),
        "provenance": PROVENANCE,
    }
    Dataset(**good)
    with pytest.raises(ValueError, match=message):
        Dataset(**{**good, **changes})
