"""The checkpoint on disk: whole or absent, verified, and clear about what stands in its way."""

import errno
import hashlib
import io
import os
import resource
import signal
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import checkpoint
from course_lib.checkpoint import CheckpointError, load_latest, save


def state_of(step: int, numbers: int = 1000) -> dict:
    return {
        "weights": torch.full((numbers,), float(step)),
        "rng": torch.get_rng_state(),
        "history": [{"loss": step / 3, "accuracy": None}],
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    path.write_bytes(content)


def assert_holds(folder: Path, step: int) -> None:
    state, found = load_latest(folder)
    assert found == step
    assert torch.equal(state["weights"], state_of(step)["weights"][:1].expand_as(state["weights"]))


def test_what_was_saved_comes_back(tmp_path):
    saved = state_of(7)
    path = save(tmp_path / "new" / "folder", saved, 7)
    state, step = load_latest(path.parent)
    assert step == 7 and state.keys() == saved.keys()
    assert torch.equal(state["weights"], saved["weights"]) and torch.equal(state["rng"], saved["rng"])
    assert state["history"] == saved["history"]


def test_optimizer_state_comes_back(tmp_path):
    weights = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weights], fused=True)
    weights.sum().backward()
    optimizer.step()
    save(tmp_path, {"optimizer": optimizer.state_dict()}, 1)
    other = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], fused=True)
    other.load_state_dict(load_latest(tmp_path)[0]["optimizer"])
    for name, value in optimizer.state[weights].items():
        assert torch.equal(other.state_dict()["state"][0][name], value)


def test_the_file_is_an_ordinary_torch_file_with_its_sum_behind(tmp_path):
    path = save(tmp_path, state_of(3), 3)
    assert torch.load(path, weights_only=True)["step"] == 3
    payload, _, line = path.read_bytes().rpartition(b"\nsha256 ")
    assert line.decode().strip() == hashlib.sha256(payload).hexdigest()


def test_a_folder_without_checkpoints_gives_none(tmp_path):
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "missing") is None


def test_keeps_the_newest(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for step in (5, 9, 10, 100):
        save(tmp_path, state_of(step), step, keep=3)
    assert names(tmp_path) == ["notes.txt", "step-0000000009.pt", "step-0000000010.pt", "step-0000000100.pt"]
    save(tmp_path, state_of(101), 101, keep=1)
    assert names(tmp_path) == ["notes.txt", "step-0000000101.pt"]


def test_the_order_is_that_of_the_numbers(tmp_path):
    for step in (9_999_999_999, 10_000_000_000):  # one digit more than the name pads to
        save(tmp_path, state_of(step), step)
    assert load_latest(tmp_path)[1] == 10_000_000_000


def test_the_same_step_again_replaces_the_file(tmp_path):
    save(tmp_path, {"n": 1}, 4)
    save(tmp_path, {"n": 2}, 4)
    assert load_latest(tmp_path) == ({"n": 2}, 4)


# Damage


@pytest.mark.parametrize("how", ["bit", "short", "no sum", "empty", "grown"])
def test_a_damaged_newest_file_falls_back_with_a_warning(tmp_path, how):
    save(tmp_path, state_of(1), 1)
    newest = save(tmp_path, state_of(2), 2)
    content = newest.read_bytes()
    if how == "bit":
        damage(newest)
    else:
        newest.write_bytes({"short": content[:-1], "no sum": content[:-73], "empty": b"", "grown": content + b"\n"}[how])
    with pytest.warns(RuntimeWarning, match=newest.name):
        assert_holds(tmp_path, 1)


def test_a_file_with_a_right_sum_that_would_run_code_is_not_loaded(tmp_path, capfd):
    class Shout:
        def __reduce__(self):
            return print, ("code from a file ran",)

    save(tmp_path, state_of(1), 1)
    buffer = io.BytesIO()
    torch.save({"step": 2, "state": {"x": Shout()}}, buffer)
    payload = buffer.getvalue()
    (tmp_path / "step-0000000002.pt").write_bytes(payload + checkpoint._trailer(payload))
    with pytest.warns(RuntimeWarning, match="step-0000000002"):
        assert_holds(tmp_path, 1)
    assert capfd.readouterr().out == ""


def test_all_damaged_names_all(tmp_path):
    for step in (1, 2, 3):
        damage(save(tmp_path, state_of(step), step, keep=3))
    with pytest.raises(CheckpointError) as caught:
        load_latest(tmp_path)
    for step in (1, 2, 3):
        assert f"step-000000000{step}.pt: its SHA-256 does not match" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_run_that_went_back_is_rid_of_the_damaged_file(tmp_path):
    save(tmp_path, state_of(8), 8)
    damage(save(tmp_path, state_of(10), 10))
    save(tmp_path, state_of(9), 9, keep=1)
    assert names(tmp_path) == ["step-0000000009.pt"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_holds(tmp_path, 9)


def test_a_whole_later_checkpoint_is_another_run(tmp_path):
    save(tmp_path, state_of(10), 10)
    with pytest.raises(CheckpointError, match=r"step-0000000010\.pt, later than step 9; give another folder"):
        save(tmp_path, state_of(9), 9)
    assert names(tmp_path) == ["step-0000000010.pt"]
    assert_holds(tmp_path, 10)


# A process killed while it saves


def test_the_litter_of_a_killed_save_is_not_loaded_and_goes_with_the_next(tmp_path):
    save(tmp_path, state_of(1), 1)
    whole = save(tmp_path / "elsewhere", state_of(2), 2).read_bytes()
    (tmp_path / ".saving-123.tmp").write_bytes(whole)
    (tmp_path / ".saving-124.tmp").write_bytes(whole[:50])
    assert_holds(tmp_path, 1)
    save(tmp_path, state_of(3), 3, keep=1)
    assert names(tmp_path) == ["elsewhere", "step-0000000003.pt"]


@pytest.mark.parametrize("at", ["fsync", "replace", "unlink"])
def test_killed_inside_a_save_one_whole_checkpoint_is_there(tmp_path, monkeypatch, at):
    """A real kill at the calls that matter: before the data is safe, before the rename, before the old one goes."""
    save(tmp_path, state_of(1), 1, keep=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: the test runner may have a thread
        child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(Path if at == "unlink" else os, at, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
            save(tmp_path, state_of(2), 2, keep=1)
        finally:
            os._exit(1)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert_holds(tmp_path, 2 if at == "unlink" else 1)
    save(tmp_path, state_of(3), 3, keep=1)
    assert names(tmp_path) == ["step-0000000003.pt"]


def test_the_data_is_on_the_disk_before_its_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, real=real, name=name: (calls.append(name), real(*args))[1])
    save(tmp_path, state_of(1), 1)
    assert calls == ["fsync", "replace", "fsync"]


def test_an_interrupted_save_leaves_no_litter(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, state_of(1), 1)
    assert names(tmp_path) == []


# A disk that is full, a folder that cannot be written


def assert_refused_and_whole(folder: Path, words: str, numbers: int = 1000) -> None:
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    with pytest.raises(CheckpointError) as caught:
        save(folder, state_of(2, numbers), 2)
    message = str(caught.value)
    assert "could not save step 2 (" in message and str(folder) in message and words in message
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before
    assert_holds(folder, 1)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 64 kB. Only root may mount one; the tests of the other ways to fail need no rights."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("mounting a file system needs root; the file size limit and a path under a file are tested instead")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk(small_disk):
    save(small_disk, state_of(1), 1)
    assert_refused_and_whole(small_disk, "No space left on device; free some space there", numbers=100_000)


def test_read_only_disk(small_disk):
    save(small_disk, state_of(1), 1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert_refused_and_whole(small_disk, "Read-only file system; choose a folder that you may write to")


def test_file_size_limit(tmp_path):
    """The write itself fails half way, as on a full disk; needs no rights."""
    save(tmp_path, state_of(1), 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        assert_refused_and_whole(tmp_path, "File too large; a file may not be that large there", numbers=100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("call, code", [("fsync", errno.ENOSPC), ("replace", errno.EACCES), ("fsync", errno.EIO)])
def test_an_error_at_any_call_is_clear_and_leaves_no_litter(tmp_path, monkeypatch, call, code):
    save(tmp_path, state_of(1), 1)

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    assert_refused_and_whole(tmp_path, os.strerror(code))


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_where_the_folder_should_be(tmp_path, below):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(CheckpointError, match=r"taken.*a file stands where a folder is needed"):
        save(tmp_path / "taken" / below, state_of(1), 1)
    with pytest.raises(CheckpointError, match=r"could not read the checkpoints in .*taken.*Not a directory"):
        load_latest(tmp_path / "taken" / below)
    assert (tmp_path / "taken").read_text() == "mine"


# Bad input


def test_a_state_that_is_no_dict(tmp_path):
    with pytest.raises(TypeError, match="state: list is not allowed; give a dict"):
        save(tmp_path, [1], 1)


@pytest.mark.parametrize("step", [-1, 1.0, True, None, "3"])
def test_a_bad_step(tmp_path, step):
    with pytest.raises(ValueError, match=f"step: {step!r} is not allowed; it is a whole number from 0 on"):
        save(tmp_path, {}, step)


@pytest.mark.parametrize("keep", [0, -2, 1.5, True])
def test_a_bad_keep(tmp_path, keep):
    with pytest.raises(ValueError, match=f"keep: {keep!r} is not allowed; it is a whole number from 1 on"):
        save(tmp_path, {}, 1, keep=keep)


class Custom:
    pass


@pytest.mark.parametrize(
    "part, name, kind",
    [
        ({"custom": Custom()}, r"state\['custom'\]", "Custom"),
        ({"fine": 1, "deep": [0, {"score": np.float64(0.5)}]}, r"state\['deep'\]\[1\]\['score'\]", "float64"),
        ({"array": np.ones(2)}, r"state\['array'\]", "ndarray"),
        ({"rate": lambda step: step}, r"state\['rate'\]", "function"),
        ({"batches": (n for n in range(3))}, r"state\['batches'\]", "generator"),
        ({"net": torch.nn.Linear(1, 1)}, r"state\['net'\]", "Linear"),
        ({Custom(): 1}, "state", "dict"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, part, name, kind):
    save(tmp_path, state_of(1), 1)
    with pytest.raises(ValueError, match=rf"^{name}: {kind} is not allowed, as torch\.load\(weights_only=True\)"):
        save(tmp_path, part, 2)
    assert names(tmp_path) == ["step-0000000001.pt"]
