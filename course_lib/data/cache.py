"""The folder in which rendered and downloaded data is kept: made once, complete or absent, checked at every load."""

import hashlib
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_HASH = "content_sha256"


class Damaged(Exception):
    """What lies in the cache is not what was put there."""


def cache_folder() -> Path:
    """Return the cache folder, created if need be: COURSE_DATA, else faster-cheaper-still-right in the user's cache.

    Raises RuntimeError when it cannot be created.
    """
    chosen = os.environ.get("COURSE_DATA")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(home) / "faster-cheaper-still-right"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"data folder {folder}: {error}; set COURSE_DATA to a folder that you may write to"
        raise RuntimeError(message) from error
    return folder


def once(path: Path, load: Callable[[Path], T], make: Callable[[Path], None]) -> T:
    """Return load(path), after make(temporary) and a rename to path when there is nothing yet, or nothing sound.

    Processes that ask at the same time wait for the first, so that the work is done once. `load` raises Damaged when
    the content is not sound; that is a warning, and the content is made again. `make` writes a file or a folder at the
    path that it is given, which gets its real name only when it is complete.
    """
    with exclusive(path):
        if path.exists():
            try:
                return load(path)
            except Damaged as error:
                warnings.warn(f"{path} is damaged ({error}); it is made again", stacklevel=4)
                remove(path)
        with temporary_beside(path) as temporary:
            make(temporary)
            os.replace(temporary, path)
        return load(path)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of `path`: one process at a time works on it. The lock of a killed process is free again."""
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        yield


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a free path on the same disk as `path`; whatever is still there at the end is removed.

    Called with the lock of `path` held, so that one name is enough: what a killed process left there goes first.
    """
    temporary = path.with_name(f".{path.name}.part")
    remove(temporary)
    try:
        yield temporary
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it; nothing happens when there is none."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def content_hash(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over names, types, shapes and values, which does not depend on the file format."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes() if array.dtype.kind == "U" else array.data)
    return digest.hexdigest()


def cached_arrays(filename: str, render: Callable[[], dict[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], str]:
    """Return (arrays, sha256 of their content) from the cache file, rendered first when it is not there."""
    return once(cache_folder() / filename, _load_arrays, lambda path: _save_arrays(path, render()))


def _load_arrays(path: Path) -> tuple[dict[str, np.ndarray], str]:
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stored = str(arrays.pop(_HASH))
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    if content_hash(arrays) != stored:
        raise Damaged("its content does not match its checksum")
    return arrays, stored


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays, **{_HASH: np.array(content_hash(arrays))})
        file.flush()
        os.fsync(file.fileno())
