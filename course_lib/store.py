"""An append-only file with one JSON object a line, safe for several processes at once and for a crash within a line.

Beside it, `write_whole`, for files that are written at one go.

A line is written whole, under a lock. A line that a crash cut off is left out when reading, with a warning, and cleared
away by the next append, so that it never spoils the line after it.
"""

import contextlib
import dataclasses
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path


class Line:
    """The base of a dataclass that is kept as one line: its fields are values that JSON knows."""

    def to_json(self) -> str:
        """The line: one JSON object, without a line break in it."""
        return json.dumps({f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str):
        """The object that `to_json` wrote. Raises ValueError, naming the field, when `text` is not one."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not a JSON object: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"not a JSON object but a {type(fields).__name__}")
        known = {f.name for f in dataclasses.fields(cls)}
        for wrong, word in ((sorted(known - fields.keys()), "missing"), (sorted(fields.keys() - known), "not known")):
            if wrong:
                raise ValueError(f"{', '.join(wrong)}: {word}; a {cls.__name__} has {', '.join(sorted(known))}")
        return cls(**fields)


class Store:
    """The file at `path`, with items of one class, `kind`."""

    def __init__(self, path: str | Path, kind: type[Line]):
        self.path, self.kind = Path(path), kind

    def append(self, item) -> None:
        """Write `item` as one line and wait until it is on the disk.

        Raises ValueError for an item of another class, OSError when it cannot be written.
        """
        if not isinstance(item, self.kind):
            raise ValueError(f"item: {item!r} is not allowed; this store keeps each {self.kind.__name__}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b", buffering=0) as file, _locked(file):
            self._mend(file)
            line = (item.to_json() + "\n").encode()
            if file.write(line) != len(line):
                raise OSError(f"{self.path}: the line was cut off while it was written; is the disk full?")
            os.fsync(file.fileno())

    def read(self) -> list:
        """Every item, oldest first; none when there is no file. A torn last line is left out, with a warning.

        Raises ValueError with the number of the line when another line is damaged.
        """
        if not self.path.exists():
            return []
        with open(self.path, "rb", buffering=0) as file, _locked(file, shared=True):
            lines = file.readall().split(b"\n")
        if lines[-1] and not _is_whole(lines[-1]):
            lines.pop()
            warnings.warn(f"{self.path}: the last line was cut off while it was written; it is left out", stacklevel=2)
        return [self._parse(line, number) for number, line in enumerate(lines, 1) if line.strip()]

    def _parse(self, line: bytes, number: int):
        try:
            return self.kind.from_json(line.decode())
        except ValueError as error:
            raise ValueError(f"{self.path}, line {number}: {error}. Mend or delete that line") from None

    def _mend(self, file) -> None:
        """See that what comes next starts on a fresh line: end a last line that is whole, cut away one that is torn."""
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) in (b"", b"\n"):
            return
        file.seek(0)
        content = file.readall()
        start = content.rfind(b"\n") + 1
        if _is_whole(content[start:]):
            file.write(b"\n")
        else:
            file.truncate(start)
            warnings.warn(f"{self.path}: cleared away a last line that a crash had cut off", stacklevel=3)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: after a crash the old one is there, or the new one, and never half of it. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(file, shared: bool = False) -> Iterator[None]:
    """Hold the lock of an open file, alone or with other readers. It ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:
        with _locked_on_windows(file):
            yield
        return
    with contextlib.suppress(OSError):  # some network disks have no locks; there, the single write must do
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    yield  # closing the file releases it


@contextlib.contextmanager
def _locked_on_windows(file) -> Iterator[None]:
    import msvcrt

    behind = 2**40  # a lock forbids reading there, so it takes one byte far behind the end
    file.seek(behind)
    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    file.seek(0)
    try:
        yield
    finally:
        file.seek(behind)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _is_whole(line: bytes) -> bool:
    """Whether this is all of a line: an object that was cut off lacks its last brace, and so is no JSON."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
