"""What tests that start ranks share: nothing that they start may outlive them."""

import os
import signal
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import torch.distributed as dist

MARK = "COURSE_TEST_MARK"  # an environment variable, by which a test knows its processes


@pytest.fixture
def living(monkeypatch):
    """Return a function that lists the living processes which this test has started, directly or not.

    None may live when the test is over. One that does is ended, so that it harms no other test.
    """
    if sys.platform != "linux":
        pytest.skip("looks for processes in /proc")
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield lambda: _marked(mark)
    left = _marked(mark)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    assert left == []


def _marked(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def alone():
    """A group of one rank, in this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
