"""Text that every Python carries: the pages behind help() and the source of the standard library."""

import hashlib
import sysconfig
from pathlib import Path

import numpy as np
import torch

from .dataset import Dataset, choice, integer

KINDS = ("english", "code")
# Tests are other people's text pasted in; site-packages belongs to the machine and not to Python.
_NOT_LIBRARY = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "lib2to3"}


def library_text(kind="english", context=64) -> Dataset:
    """Bytes of the standard library, cut into windows, with the byte that follows each one as its target.

    kind:     "english" (the pages of pydoc_data.topics, some 0.5 MB) or "code" (its .py files, some 11 MB)
    context:  window length T in bytes, 1 to 4,096
    inputs, targets: int64 (N, T), values 0..255; targets[i, t] is the byte after inputs[i, t]. Windows do not overlap.

    Every tenth page or file, in the order of sorted names, is kept for testing: both splits share no file. The text
    differs between versions of Python, so compare figures only under one. Raises ValueError for a bad argument.
    """
    choice("kind", kind, KINDS)
    context = integer("context", context, 1, 4096)
    files = _topics() if kind == "english" else [path.read_bytes() for _, path in library_files()]
    test = b"\n".join(files[::10])
    train = b"\n".join(text for i, text in enumerate(files) if i % 10)
    splits = {"train": _windows("train", train, context), "test": _windows("test", test, context)}
    name = f"library_text_{kind}"
    provenance = {
        "name": name,
        "kind": "real",
        "source": f"standard library of Python {sysconfig.get_python_version()}, {len(files)} "
        + ("pages of pydoc_data.topics" if kind == "english" else "source files"),
        "n_train": len(splits["train"][0]),
        "n_test": len(splits["test"][0]),
        "sha256": hashlib.sha256(train + b"\0" + test).hexdigest(),
    }
    return Dataset(name, splits["train"], splits["test"], tuple(map(_byte_name, range(256))), provenance)


def library_files() -> list[tuple[str, Path]]:
    """(name relative to the standard library, path) of its .py files, sorted by name; tests are left out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for path in root.rglob("*.py"):
        relative = path.relative_to(root)
        if not _NOT_LIBRARY.intersection(relative.parts[:-1]) and path.is_file():
            found.append((relative.as_posix(), path))
    return sorted(found)


def _topics() -> list[bytes]:
    from pydoc_data.topics import topics

    return [topics[name].encode() for name in sorted(topics)]


def _windows(split: str, text: bytes, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).astype(np.int64))
    count = (len(stream) - 1) // context
    if not count:
        raise ValueError(f"context: {context}; allowed is at most {len(stream) - 1}, the bytes of the {split} split")
    # both are views of one stream, shifted by one byte: the targets cost no memory
    return stream[: count * context].view(count, context), stream[1 : count * context + 1].view(count, context)


def _byte_name(value: int) -> str:
    return chr(value) if 32 < value < 127 else f"0x{value:02x}"
