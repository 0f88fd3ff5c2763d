"""The store under what happens to files: two writers at once, a crash within a line, a full disk, a hand-edited line."""

import fcntl
import resource
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass

import pytest

from course_lib.store import Line, Store, write_whole


@dataclass(frozen=True)
class Note(Line):
    who: str
    number: int
    text: str = ""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "folder" / "notes.jsonl", Note)


def test_a_store_without_a_file_is_empty(store):
    assert store.read() == []


def test_items_come_back_in_order(store):
    notes = [Note("a", number, "line\nbreak, é, \u2028 and 'quotes\"") for number in range(3)]
    for note in notes:
        store.append(note)
    assert store.read() == notes
    assert store.path.read_bytes().count(b"\n") == 3


def test_only_the_stores_own_kind_is_kept(store):
    with pytest.raises(ValueError, match=r"item: \{'who': 'a'\} is not allowed; this store keeps each Note"):
        store.append({"who": "a"})
    assert not store.path.exists()


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_store import Note
from course_lib.store import Store

store, go, who = Store(sys.argv[2], Note), Path(sys.argv[3]), sys.argv[4]
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
for number in range(150):
    store.append(Note(who, number, who * 20_000))
"""


def test_processes_that_write_at_once_lose_and_tear_nothing(store, tmp_path, request):
    """Lines of 20 kB are longer than a page and a pipe buffer, so that a write in two pieces would be seen."""
    go = tmp_path / "go"
    arguments = [sys.executable, "-c", WRITER, str(request.path.parent), str(store.path), str(go)]
    writers = [subprocess.Popen([*arguments, who], stdout=subprocess.PIPE) for who in "abc"]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    go.touch()
    while any(writer.poll() is None for writer in writers):
        numbers = [note.number for note in store.read() if note.who == "a"]  # a reader never sees half a line
        assert numbers == sorted(numbers)
        time.sleep(0.02)
    for writer in writers:
        writer.stdout.close()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    notes = store.read()
    assert len(notes) == 3 * 150
    for who in "abc":
        mine = [note for note in notes if note.who == who]
        assert [note.number for note in mine] == list(range(150))
        assert {note.text for note in mine} == {who * 20_000}


def test_a_writer_waits_for_the_one_before(store):
    store.append(Note("a", 1))
    with open(store.path, "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = threading.Thread(target=store.append, args=(Note("b", 2),))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert store.path.read_bytes().count(b"\n") == 1
    writer.join(60)
    assert store.read() == [Note("a", 1), Note("b", 2)]


def torn_at_every_byte():
    """(kept bytes of the last line, its length) for each place where a crash may have cut it, the line break included."""
    length = len(Note("b", 2, "é").to_json()) + 1
    return [(kept, length) for kept in range(length + 1)]


@pytest.mark.parametrize(("kept", "length"), torn_at_every_byte())
def test_a_torn_last_line_is_left_out_and_does_not_spoil_the_next(store, kept, length):
    first, second, third = Note("a", 1), Note("b", 2, "é"), Note("c", 3)
    store.append(first)
    store.append(second)
    content = store.path.read_bytes()
    store.path.write_bytes(content[: len(content) - length + kept])
    torn = 0 < kept < length - 1  # of a whole line without its line break, nothing is lost
    before = [first] if torn or kept == 0 else [first, second]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert store.read() == before
        store.append(third)
    said = [str(warning.message) for warning in caught]
    assert [str(store.path) in message and "cut off" in message for message in said] == [True, True] * torn
    assert store.read() == [*before, third]  # and now without a warning, which would fail the test


@pytest.mark.parametrize("damage", [b'{"who": "b"\n', b"\xff\xfe\n", b"[1]\n", b'{"who": "b", "number": 2, "more": 1}\n'])
def test_a_damaged_line_is_named(store, damage):
    store.append(Note("a", 1))
    with open(store.path, "ab") as file:
        file.write(damage)
    store.append(Note("c", 3))
    with pytest.raises(ValueError, match=rf"{store.path}, line 2: .*Mend or delete that line"):
        store.read()


def test_a_line_says_which_fields_are_wrong():
    with pytest.raises(ValueError, match="number, text: missing; a Note has number, text, who"):
        Note.from_json('{"who": "b"}')
    with pytest.raises(ValueError, match="extra: not known; a Note has number, text, who"):
        Note.from_json('{"who": "b", "number": 1, "text": "", "extra": 1}')


def test_empty_lines_do_no_harm(store):
    store.append(Note("a", 1))
    with open(store.path, "ab") as file:
        file.write(b"\n  \r\n")
    store.append(Note("b", 2))
    assert store.read() == [Note("a", 1), Note("b", 2)]


def test_a_full_disk_is_an_error_and_leaves_the_older_lines_whole(store):
    """A limit on the file's size cuts the write off in the middle, as a full disk does."""
    store.append(Note("a", 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size + 10, hard))
    try:
        with pytest.raises(OSError, match=r"notes.jsonl: the line was cut off .*is the disk full\?"):
            store.append(Note("b", 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.warns(UserWarning, match="cut off"):
        assert store.read() == [Note("a", 1)]
    with pytest.warns(UserWarning, match="cleared away"):
        store.append(Note("c", 3))
    assert store.read() == [Note("a", 1), Note("c", 3)]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file.txt"
    write_whole(path, b"old")

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]
