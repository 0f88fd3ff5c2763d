"""What every data set of the course looks like, and the folder in which rendered ones are kept."""

import hashlib
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

PROVENANCE_KEYS = ("name", "kind", "source", "n_train", "n_test", "sha256")
KINDS = ("real", "rendered", "stand-in")
_HASH = "content_sha256"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and targets, split in two, with a statement of where they come from.

    train, test: (inputs, targets), tensors with equal first dimensions
    classes:     names of the target values, in order
    provenance:  name, kind ("real", "rendered" or "stand-in"), source, n_train, n_test, sha256 of the content;
                 every stored result carries it along, so that no figure is ever shown under another data set's name

    Raises ValueError when lengths disagree or a provenance field is missing.
    """

    name: str
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    classes: tuple[str, ...]
    provenance: dict

    def __post_init__(self):
        for field, split in (("train", self.train), ("test", self.test)):
            inputs, targets = split
            if len(inputs) != len(targets):
                raise ValueError(
                    f"{field}: {len(inputs)} inputs but {len(targets)} targets; every input needs exactly one target"
                )
        missing = [key for key in PROVENANCE_KEYS if key not in self.provenance]
        if missing:
            raise ValueError(f"provenance: {missing} missing; it needs all of {list(PROVENANCE_KEYS)}")
        if self.provenance["kind"] not in KINDS:
            raise ValueError(f"provenance kind: {self.provenance['kind']!r}; allowed are {list(KINDS)}")


def integer(field: str, value, low: int, high: int) -> int:
    """Return value if it is an integer in low..high; raise ValueError naming the field otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{field}: {value!r}; allowed is an integer from {low:,} to {high:,}")
    return int(value)


def number(field: str, value, low: float, high: float) -> float:
    """Return value as a float if it is a finite number in low..high; raise ValueError naming the field otherwise."""
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not plain or not low <= value <= high:  # a NaN fails the comparison
        raise ValueError(f"{field}: {value!r}; allowed is a number from {low:g} to {high:g}")
    return float(value)


def choice(field: str, value, allowed: tuple) -> str:
    """Return value if it is one of allowed; raise ValueError naming the field otherwise."""
    if value not in allowed:
        raise ValueError(f"{field}: {value!r}; allowed are {', '.join(map(repr, allowed))}")
    return value


def cache_folder() -> Path:
    """The folder of rendered and downloaded data: COURSE_DATA, else the user's cache folder. It is created."""
    chosen = os.environ.get("COURSE_DATA")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(home) / "faster-cheaper-still-right"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content_hash(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and values: the same content gives the same hash in every file format."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def cached_arrays(filename: str, render: Callable[[], dict[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], str]:
    """Arrays from the cache, rendered first when they are not there. Returns (arrays, sha256 of the content).

    Processes that ask at the same time wait for the first one, so that the work is done once. The file appears under
    its name only when it is complete, and its content is checked at every load: a damaged one is rendered again.
    """
    from filelock import FileLock

    path = cache_folder() / filename
    with FileLock(f"{path}.lock"):
        found = _load(path)
        if found is None:
            arrays = render()
            found = arrays, content_hash(arrays)
            _save(path, *found)
    return found


def _load(path: Path) -> tuple[dict[str, np.ndarray], str] | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stored = str(arrays.pop(_HASH))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        if content_hash(arrays) == stored:
            return arrays, stored
        reason = "its content does not match its checksum"
    warnings.warn(f"{path} is damaged ({reason}); it is made again", stacklevel=4)
    return None


def _save(path: Path, arrays: dict[str, np.ndarray], sha256: str) -> None:
    with temporary_beside(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays, **{_HASH: np.array(sha256)})
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


class temporary_beside:
    """Context manager: a fresh path in the folder of `path`, removed at the end unless it was renamed away."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".part")
        os.close(handle)
        self.temporary = Path(name)
        return self.temporary

    def __exit__(self, *_):
        self.temporary.unlink(missing_ok=True)
