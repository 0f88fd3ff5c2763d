"""The CIFAR-10 download against real servers on this machine, which behave and misbehave; no test leaves it."""

import hashlib
import io
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data import cifar10
from course_lib.data.cifar import ARCHIVE, MIRRORS, SHA256, read_archive, unpickle

ROOT = Path(__file__).parents[2]
NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
UNREACHABLE = "http://127.0.0.1:9/never"  # the discard port: nobody listens


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path / "data"


def python2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A batch as the real archive has it: protocol 2 of Python 2, whose strings Python 3 cannot write any more."""

    def string(text: bytes) -> bytes:
        return b"T" + len(text).to_bytes(4, "little") + text

    def integer(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    shape = integer(pixels.shape[0]) + integer(pixels.shape[1]) + b"\x86"
    rebuilt = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85" + string(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + string(b"u1") + integer(0) + integer(1) + b"\x87R"
    kind += b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    array = rebuilt + b"(" + integer(1) + shape + kind + b"\x89" + string(pixels.tobytes()) + b"tb"
    items = b"(" + b"".join(map(integer, labels)) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + b"]" + items + b"u."


def archive(batches: dict[str, bytes], path="cifar-10-batches-py/") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in batches.items():
            member = tarfile.TarInfo(path + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
BATCHES = {name: python2_batch(PIXELS, [0, 3, 9, i]) for i, name in enumerate(NAMES)}
TINY = archive(BATCHES)
TINY_SHA256 = hashlib.sha256(TINY).hexdigest()


@contextmanager
def server(answer):
    """A server that calls answer(handler) for every GET and counts the calls."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            web.calls += 1
            with suppress(ConnectionError):  # the client may turn away, as it should
                answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        web.calls, web.url, web.closing = 0, f"http://127.0.0.1:{web.server_port}/{ARCHIVE}", threading.Event()
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield web
        finally:
            web.closing.set()
            web.shutdown()
            thread.join()


def send(handler, body, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def good(handler):
    send(handler, TINY)


def throttled(handler):
    """Answers at once and then sends 20 bytes every 20 ms: no single wait is long enough for a time-out."""
    send(handler, b"", length=len(TINY))
    for i in range(0, len(TINY), 20):
        handler.wfile.write(TINY[i : i + 20])
        handler.server.sent = i
        if handler.server.closing.wait(0.02):
            return


def silent(handler):
    send(handler, TINY[:100], length=len(TINY))
    handler.server.closing.wait(60)


def other_content(handler):
    send(handler, TINY[:-1] + b"x")


def cut_off(handler):
    send(handler, TINY[:200], length=len(TINY))


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(1 << 20))


def missing(handler):
    handler.send_error(404)


def get(*servers, **changes):
    arguments = {"download": True, "sha256": TINY_SHA256, "minimum_rate": 3_000, "patience": 1}
    mirrors = [getattr(each, "url", each) for each in servers]
    return cifar10(**{**arguments, "mirrors": mirrors, **changes})


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_download_gives_the_data_and_is_kept():
    with server(good) as mirror:
        data = get(mirror)
        again = cifar10(sha256=TINY_SHA256)
        get(mirror)  # allowed to, and has no need to
        assert mirror.calls == 1
    assert data.train[0].shape == (20, 3, 32, 32) and data.test[0].shape == (4, 3, 32, 32)
    assert data.train[0].dtype == torch.float32 and data.test[1].tolist() == [0, 3, 9, 5]
    assert data.train[1].tolist() == [label for i in range(5) for label in (0, 3, 9, i)]
    assert data.train[0].mean((0, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(data.train[0].std((0, 2, 3)), torch.ones(3), atol=1e-3)
    expected = torch.from_numpy(PIXELS).reshape(4, 3, 32, 32).float()
    for channel in range(3):
        assert torch.corrcoef(torch.stack([expected[:, channel].flatten(), data.test[0][:, channel].flatten()])).min() > 0.999
    assert again.provenance == data.provenance
    assert data.provenance["kind"] == "real" and data.provenance["n_train"] == 20 and data.classes[3] == "cat"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (throttled, "too slow, [01] kB/s of the 3 asked for"),
        (silent, "timed out"),
        (other_content, "its content has SHA-256"),
        (cut_off, "it stopped .* bytes before the end"),
        (endless, "it sends more than the 170,498,071 bytes"),
        (missing, "404"),
    ],
)
def test_a_faulty_mirror_is_left_for_the_next_and_named_when_there_is_none(folder, fault, reason, monkeypatch):
    if fault is endless:
        monkeypatch.setattr("course_lib.data.cifar.ARCHIVE_BYTES", 5_000_000)
        reason = reason.replace("170,498,071", "5,000,000")
    with server(fault) as faulty, server(good) as mirror:
        with pytest.raises(ConnectionError, match=reason) as caught:
            get(faulty)
        assert faulty.url in str(caught.value) and str(folder / ARCHIVE) in str(caught.value)
        assert visible(folder) == []
        assert len(get(faulty, mirror).train[0]) == 20
        assert (faulty.calls, mirror.calls) == (2, 1)
    assert visible(folder) == [ARCHIVE]


def test_a_throttled_mirror_is_left_long_before_its_end():
    with server(throttled) as mirror, pytest.raises(ConnectionError, match="too slow"):
        get(mirror)
    assert mirror.sent < len(TINY) / 2


def test_every_reason_is_told_when_no_mirror_is_left():
    with server(missing) as first, server(other_content) as second, pytest.raises(ConnectionError) as caught:
        get(UNREACHABLE, first, second)
    message = str(caught.value)
    assert "refused" in message and "404" in message and "SHA-256" in message
    assert message.index(UNREACHABLE) < message.index(first.url) < message.index(second.url)


def test_a_slow_line_is_good_enough_when_the_rate_is_lowered():
    def slow(handler):
        send(handler, b"", length=len(TINY))
        for i in range(0, len(TINY), len(TINY) // 8):
            time.sleep(0.1)
            handler.wfile.write(TINY[i : i + len(TINY) // 8])

    with server(slow) as mirror:
        assert len(get(mirror, minimum_rate=0).train[0]) == 20


def test_nothing_is_downloaded_unless_asked_for(folder):
    with server(good) as mirror:
        with pytest.raises(FileNotFoundError, match=r"cifar10\(download=True\)") as caught:
            get(mirror, download=False)
        assert mirror.calls == 0
    assert str(folder / ARCHIVE) in str(caught.value)


@pytest.mark.parametrize(("value", "allowed"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_the_offline_switch_forbids_a_download_and_nothing_else(folder, monkeypatch, value, allowed):
    monkeypatch.setenv("COURSE_OFFLINE", value)
    with server(good) as mirror:
        if allowed:
            get(mirror)
        else:
            with pytest.raises(FileNotFoundError, match="COURSE_OFFLINE forbids"):
                get(mirror)
            assert mirror.calls == 0
            (folder / ARCHIVE).write_bytes(TINY)
            assert len(get(mirror).train[0]) == 20


def test_a_damaged_archive_is_told_and_fetched_again(folder):
    with server(good) as mirror:
        get(mirror)
        (folder / ARCHIVE).write_bytes(TINY[:-5])
        with pytest.raises(FileNotFoundError, match=r"its checksum differs.*download=True"):
            get(mirror, download=False)
        get(mirror)
        assert mirror.calls == 2
    assert (folder / ARCHIVE).read_bytes() == TINY


CLIENT = """
import sys
from course_lib.data import cifar10
print(len(cifar10(True, mirrors=[sys.argv[1]], sha256=sys.argv[2], minimum_rate=0, patience=30).train[0]))
"""


def start(mirror):
    command = [sys.executable, "-c", CLIENT, mirror.url, TINY_SHA256]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_two_processes_download_once():
    def unhurried(handler):
        time.sleep(1)
        good(handler)

    with server(unhurried) as mirror:
        processes = [start(mirror) for _ in range(2)]
        assert [process.communicate(timeout=60)[0] for process in processes] == [b"20\n", b"20\n"]
        assert mirror.calls == 1


def test_killed_half_way_leaves_nothing_that_is_taken_for_complete(folder):
    half = threading.Event()

    def stops_half_way(handler):
        send(handler, TINY[: len(TINY) // 2], length=len(TINY))
        half.set()
        handler.server.closing.wait(60)

    with server(stops_half_way) as mirror:
        process = start(mirror)
        assert half.wait(60)
        while not list(folder.glob(".*.part")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (folder / ARCHIVE).exists()
    with server(good) as mirror:
        assert len(get(mirror).train[0]) == 20
    assert sorted(path.name for path in folder.iterdir()) == [ARCHIVE, f"{ARCHIVE}.lock"]


def test_a_full_disk_is_not_blamed_on_the_mirror(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_lib.data.download.os.fsync", full)
    with server(good) as mirror, pytest.raises(OSError, match="No space left") as caught:
        get(mirror, UNREACHABLE)
    assert not isinstance(caught.value, ConnectionError) and visible(folder) == []


class Hostile:
    """What a pickle can do: name any function and have it called."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, eval, open, np.load, getattr, __import__])
def test_a_hostile_pickle_is_refused_before_it_runs(tmp_path, protocol, function):
    bait = tmp_path / "bait"
    argument = {os.system: f"touch {bait}", eval: f"open({str(bait)!r}, 'w')"}.get(function, str(bait))
    data = pickle.dumps({b"data": Hostile(function, argument)}, protocol=protocol)
    with pytest.raises(ValueError, match=r"batch: it asks for .*; allowed is a pickle of plain values and numpy arrays"):
        unpickle(data, "batch")
    assert not bait.exists()


def test_a_hostile_pickle_in_an_archive_is_refused(folder, tmp_path):
    bait = tmp_path / "bait"
    content = archive({**BATCHES, "data_batch_3": pickle.dumps(Hostile(os.system, f"touch {bait}"))})
    folder.mkdir()
    (folder / ARCHIVE).write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_3: it asks for (posix|nt).system"):
        cifar10(sha256=hashlib.sha256(content).hexdigest())
    assert not bait.exists()


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_of_old_and_new_numpy_are_read(module):
    data = BATCHES["test_batch"].replace(b"numpy.core.multiarray", module.encode())
    content = unpickle(data, "batch")
    assert np.array_equal(content[b"data"], PIXELS) and content[b"labels"] == [0, 3, 9, 5]


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0, len(BATCHES["test_batch"]) - 1))
def test_broken_pickles_are_value_errors(noise, place):
    broken = BATCHES["test_batch"][:place] + noise
    try:
        assert isinstance(unpickle(broken, "batch"), dict)
    except ValueError as error:
        assert str(error).startswith("batch: ")


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ({"test_batch": pickle.dumps({b"data": PIXELS, b"labels": [0, 1]}, 4)}, "a list of n labels"),
        ({"test_batch": pickle.dumps({b"data": PIXELS, b"labels": [0, 1, 2, 10]}, 4)}, "labels from 0 to 9"),
        ({"test_batch": pickle.dumps({b"data": PIXELS, b"labels": [0, 1, 2, b"3"]}, 4)}, "labels from 0 to 9"),
        ({"test_batch": pickle.dumps({b"data": PIXELS.astype(float), b"labels": [0] * 4}, 4)}, "uint8 pixels"),
        ({"test_batch": pickle.dumps({b"data": PIXELS[:, :3000], b"labels": [0] * 4}, 4)}, "uint8 pixels"),
        ({"test_batch": pickle.dumps({}, 4)}, "uint8 pixels"),
        ({"test_batch": pickle.dumps([], 4)}, "a list; allowed is a pickled dict"),
    ],
)
def test_a_batch_of_other_content_is_refused(tmp_path, batches, message):
    path = tmp_path / ARCHIVE
    path.write_bytes(archive({**BATCHES, **batches}))
    with pytest.raises(ValueError, match=f"test_batch: .*{message}"):
        read_archive(path)


def test_an_archive_of_other_shape_is_refused_and_unpacks_nothing(tmp_path):
    path = tmp_path / ARCHIVE
    path.write_bytes(archive(BATCHES, path="../cifar-10-batches-py/"))
    with pytest.raises(ValueError, match="data_batch_1: missing"):
        read_archive(path)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    path.write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match="data_batch_1: allowed is a plain file"):
        read_archive(path)
    path.write_bytes(TINY[:300])
    with pytest.raises(ValueError, match="not a readable CIFAR-10 archive"):
        read_archive(path)
    assert [each.name for each in tmp_path.iterdir()] == [ARCHIVE]


@given(
    st.sampled_from(
        [
            ("mirrors", "https://example.org/a"),
            ("mirrors", []),
            ("mirrors", ["ftp://example.org/a"]),
            ("mirrors", ["file:///etc/passwd"]),
            ("mirrors", ["https://example.org/a", None]),
            ("sha256", "abc"),
            ("sha256", SHA256.upper()),
            ("sha256", None),
            ("minimum_rate", -1),
            ("minimum_rate", float("nan")),
            ("minimum_rate", "fast"),
            ("patience", 0),
            ("patience", True),
            ("patience", float("inf")),
        ]
    )
)
def test_a_bad_argument_is_named_with_its_value_and_what_is_allowed(case):
    field, value = case
    with pytest.raises(ValueError) as caught:
        cifar10(**{field: value})
    assert str(caught.value).startswith(f"{field}: {value!r}; allowed")


def test_the_published_archive_is_asked_of_several_hosts():
    assert len({address.split("/")[2] for address in MIRRORS}) >= 2
    assert all(address.startswith("https://") and address.endswith(ARCHIVE) for address in MIRRORS)
    assert len(SHA256) == 64
