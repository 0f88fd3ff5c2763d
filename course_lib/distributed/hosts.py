"""Ranks on several hosts: when one host falls silent, the others say which.

A collective that fails over a network says "timed out", and not who is missing. So each rank keeps a door open, a listening
socket that the kernel answers for as long as the process lives; after such an error the doors of the others are tried.
"""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch.distributed as dist

from . import failures

ANSWER = 3.0  # seconds in which a host answers, even over a slow network
AT_ONCE = 64  # doors tried at the same time


@contextmanager
def named_losses() -> Iterator[None]:
    """Within the block, turn a collective's error that comes of a lost host, or of a rank that ended, into one that names it.

    To be entered by all ranks of a group. Raises RankError, caused by the collective's error; where all others answer, that
    error itself is raised.
    """
    with _door() as door:
        places = [None] * dist.get_world_size()
        dist.all_gather_object(places, (socket.gethostname(), *door.getsockname()[:2]))
        try:
            yield
        except RuntimeError as error:
            if failures.kind(f"{type(error).__name__}: {error}") == "own":
                raise
            if (loss := _loss(dist.get_rank(), places)) is None:
                raise
            raise loss from error


def _door() -> socket.socket:
    """Open a listening socket at the address from which this host reaches the meeting point of the ranks."""
    meeting = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    family, kind, *_, target = socket.getaddrinfo(*meeting, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as way:
        way.connect(target)  # chooses a way and sends nothing
        address = way.getsockname()[0]
    return socket.create_server((address, 0), family=family, backlog=dist.get_world_size())  # each rank tries it once at most


def _loss(own: int, places: list[tuple[str, str, int]]) -> failures.RankError | None:
    """Return the error that names the ranks whose hosts are silent, else those that have ended, None if all answer."""
    others = [number for number in range(len(places)) if number != own]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(others, pool.map(lambda number: _answer(*places[number][1:]), others), strict=True))
    here = f"rank {own} on {places[own][0]}"
    if lost := [number for number in others if answers[number] == "silence"]:
        hosts = dict.fromkeys(f"{places[number][0]} ({places[number][1]})" for number in lost)
        return failures.RankError(
            f"{here} lost {failures.named(lost)}: no answer within {ANSWER:g} s from {', '.join(hosts)}. When the network is "
            "back, start the same command again: with a checkpoint folder, training goes on from the newest checkpoint",
            lost,
        )
    if ended := [number for number in others if answers[number] == "refusal"]:
        hosts = dict.fromkeys(places[number][0] for number in ended)
        return failures.RankError(
            f"{here} lost {failures.named(ended)} on {', '.join(hosts)}: the host answers, the process has ended; "
            "its own output says why",
            ended,
        )
    return None


def _answer(address: str, port: int) -> str:
    """Return "yes", "refusal" (the host is there, the rank is not) or "silence"."""
    try:
        socket.create_connection((address, port), timeout=ANSWER).close()
    except ConnectionRefusedError:
        return "refusal"
    except OSError:
        return "silence"
    return "yes"
