"""Which of several hosts was lost, told by the doors of the other ranks. (With real hosts: tests/cluster.)"""

import socket

import pytest

from course_lib.distributed import hosts

OPEN, CLOSED, SILENT = "10.0.0.1", "10.0.0.2", "10.0.0.3"


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Three hosts: the rank's door is open, the host is there and the rank is not, the host is not there."""
    real = socket.create_connection

    def create_connection(address, timeout):
        if address[0] == SILENT:
            raise TimeoutError("timed out")
        return real(("127.0.0.1", address[1]), timeout=timeout)

    monkeypatch.setattr(socket, "create_connection", create_connection)


@pytest.fixture
def places():
    """A function that turns addresses into the places of ranks 0, 1, ... on hosts a, b, ..."""
    door, closed = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = {OPEN: door.getsockname()[1], CLOSED: closed.getsockname()[1], SILENT: 1}
    closed.close()
    with door:
        yield lambda *addresses: [(name, at, ports[at]) for name, at in zip("abcd", addresses, strict=False)]


def test_silent_hosts_come_before_ranks_that_have_ended(places):
    loss = hosts._loss(0, places(OPEN, SILENT, CLOSED, SILENT))
    assert loss.ranks == [1, 3]
    assert "rank 0 on a lost ranks 1 and 3: no answer within 3 s from b (10.0.0.3), d (10.0.0.3)" in str(loss)


def test_a_rank_that_has_ended_is_told_from_its_host(places):
    loss = hosts._loss(1, places(CLOSED, OPEN, OPEN))
    assert loss.ranks == [0]
    assert str(loss).startswith("rank 1 on b lost rank 0 on a: the host answers, the process has ended")


def test_no_one_is_named_where_all_answer(places):
    assert hosts._loss(2, places(OPEN, OPEN, OPEN)) is None
