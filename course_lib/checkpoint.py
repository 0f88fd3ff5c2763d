"""State on disk: atomic save, verified load. (Activation checkpointing, another thing, is called recompute here.)

A checkpoint is one file, step-0000000120.pt: an ordinary torch file, which torch.load reads, with a line of text behind
it that holds its SHA-256. File and sum are one, so no crash can part them.
"""

import errno
import hashlib
import io
import os
import pickle
import re
import warnings
from contextlib import suppress
from pathlib import Path

import torch

_NAME = re.compile(r"step-(\d{10,})\.pt")
_LITTER = ".saving-*.tmp"
_TRAILER = len("\nsha256 ") + 64 + len("\n")
_REMEDY = {
    errno.ENOSPC: "free some space there, or choose a folder on another disk",
    errno.EDQUOT: "your quota is used up: free some space there, or choose a folder on another disk",
    errno.EFBIG: "a file may not be that large there: raise the limit (ulimit -f), or choose a folder on another disk",
    errno.EROFS: "choose a folder that you may write to",
    errno.EACCES: "choose a folder that you may write to, or change its permissions",
    errno.EPERM: "choose a folder that you may write to, or change its permissions",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another folder, or move that file",
    errno.EEXIST: "a file stands where a folder is needed: choose another folder, or move that file",
}


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or none of those in the folder could be read."""


def save(folder: str | Path, state: dict, step: int, keep: int = 2) -> Path:
    """Write `state` as the checkpoint of `step`, keep the newest `keep` files of the folder, and return the new path.

    The file appears under its name only when it is whole and on the disk (write, fsync, rename, fsync of the folder),
    so a process killed at any moment leaves the older ones as they were. One process at a time may write into a folder.

    Raises TypeError or ValueError when `state` is not a dict or holds what load_latest would refuse (all but tensors,
    numbers, strings, None, and dicts, lists and tuples of them), or when `step` or `keep` is out of range. Raises
    CheckpointError when the disk is full, the folder cannot be written, or it holds a whole checkpoint of a later step.
    """
    if not isinstance(state, dict):
        raise TypeError(f"state: {type(state).__name__} is not allowed; give a dict")
    _check_whole("step", step, 0)
    _check_whole("keep", keep, 1)
    folder = Path(folder)
    content = _serialise({"step": step, "state": state}, state)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stale = _damaged_later(folder, step)
        path = _write(folder, f"step-{step:010d}.pt", content)
        for old in stale + [file for file in _files(folder) if file not in stale][:-keep]:
            old.unlink()
    except OSError as error:
        remedy = _REMEDY.get(error.errno, "see that the folder can be written, or choose another")
        size = f"{len(content) / 1e6:.1f} MB"
        raise CheckpointError(
            f"could not save step {step} ({size}) in {folder}: {error.strerror or error}; {remedy}"
        ) from error
    return path


def load_latest(folder: str | Path) -> tuple[dict, int] | None:
    """Return (state, step) of the newest whole checkpoint in `folder`, tensors on the CPU; None when it holds none.

    Every file is checked against its SHA-256 and read by torch.load(weights_only=True), which runs no code from it. A
    damaged file is named in a warning and the one before it is taken.

    Raises CheckpointError when all are damaged, or when the folder itself cannot be read.
    """
    folder = Path(folder)
    damaged = []
    for path in reversed(_files(folder)):
        try:
            found = torch.load(io.BytesIO(_verified(path)), map_location="cpu", weights_only=True)
        except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
            damaged.append(f"{path.name}: {error}")
            continue
        if damaged:
            warnings.warn(f"went back to {path}, as these are damaged: {'; '.join(damaged)}", RuntimeWarning, stacklevel=2)
        return found["state"], found["step"]
    if damaged:
        raise CheckpointError(
            f"every checkpoint in {folder} is damaged ({'; '.join(damaged)}); restore one, or remove them to begin anew"
        )
    return None


def _check_whole(name: str, value, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: {value!r} is not allowed; it is a whole number from {least} on")


def _serialise(content: dict, state: dict) -> bytes:
    """Return the bytes of the file; raise ValueError now rather than let a later load find that it cannot be read."""
    try:
        payload = _loadable(content)
    except _REFUSALS as error:
        name, part = _culprit(state, "state")
        raise ValueError(
            f"{name}: {type(part).__name__} is not allowed, as torch.load(weights_only=True) would refuse it; "
            "give tensors, numbers, strings, None, and dicts, lists and tuples of them"
        ) from error
    return payload + _trailer(payload)


# What pickling and the restricted unpickler raise, for want of one exception of their own.
_REFUSALS = (pickle.PickleError, AttributeError, TypeError, ValueError, RuntimeError)


def _loadable(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    torch.load(buffer, map_location="meta", weights_only=True)  # reads all but the numbers: cheap
    return buffer.getvalue()


def _culprit(value, name: str) -> tuple[str, object]:
    """Return the innermost part of `value` that cannot be loaded, and its name."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, part in inner:
        try:
            _loadable(part)
        except _REFUSALS:
            return _culprit(part, f"{name}[{key!r}]")
    return name, value


def _trailer(payload: bytes | memoryview) -> bytes:
    return f"\nsha256 {hashlib.sha256(payload).hexdigest()}\n".encode()


def _verified(path: Path) -> bytes:
    content = path.read_bytes()
    payload = memoryview(content)[:-_TRAILER]
    if content[-_TRAILER:] != _trailer(payload):
        raise ValueError("its SHA-256 does not match")
    return content


def _files(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder`, oldest first."""
    try:
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"could not read the checkpoints in {folder}: {error.strerror or error}") from error
    return [path for _, path in sorted(found)]


def _damaged_later(folder: Path, step: int) -> list[Path]:
    """Return the damaged files of later steps, behind which the run went back: left there, they would stay the newest.

    A whole one is refused: load_latest would go on with it, and it is of another run.
    """
    later = [path for path in _files(folder) if int(_NAME.fullmatch(path.name)[1]) > step]
    for path in later:
        try:
            _verified(path)
        except ValueError:
            continue
        raise CheckpointError(f"{folder} holds {path.name}, later than step {step}; give another folder, or remove that file")
    return later


def _write(folder: Path, name: str, content: bytes) -> Path:
    for litter in folder.glob(_LITTER):  # of a process that was killed while it saved
        litter.unlink(missing_ok=True)
    temporary = folder / f".saving-{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        raise
    _sync_folder(folder)
    return folder / name


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and keeps its renames in a journal
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
