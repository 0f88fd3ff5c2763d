"""Fetch one file of known content from the first mirror that delivers it at a bearable rate."""

import hashlib
import http.client
import os
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from .cache import temporary_beside

_CHUNK = 1 << 16
_AGENT = {"User-Agent": "faster-cheaper-still-right course"}  # some servers turn Python's default name away


class _Unfit(Exception):
    """Why a mirror is given up."""


def fetch(mirrors: Sequence[str], path: Path, sha256: str, minimum_rate: float, patience: float, size: int) -> None:
    """Download to `path`, which appears only when it is complete and its SHA-256 is right. Shows a progress bar.

    A mirror is given up for the next one when it fails, stays silent for `patience` seconds, delivers less than
    minimum_rate bytes per second over such a span, sends more than `size` bytes, or sends other content.
    Raises ConnectionError with the reason of every mirror when none is left, OSError when the disk refuses.
    """
    reasons = []
    for address in mirrors:
        with temporary_beside(path) as temporary:
            try:
                _receive(address, temporary, sha256, minimum_rate, patience, size)
            except _Unfit as reason:
                reasons.append(f"{address}: {reason}")
                continue
            os.replace(temporary, path)
            return
    raise ConnectionError(
        f"{path.name}: no mirror delivered it.\n  " + "\n  ".join(reasons) + "\n"
        f"Check the connection; on a slow line lower minimum_rate; or copy the file to {path} by hand."
    )


def _receive(address, temporary, sha256, minimum_rate, patience, size) -> None:
    digest = hashlib.sha256()
    with open(temporary, "wb") as file, closing(_stream(address, minimum_rate, patience, size)) as chunks:
        for chunk in chunks:
            file.write(chunk)  # an OSError from here is the disk's and ends the whole attempt
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        raise _Unfit(f"its content has SHA-256 {digest.hexdigest()[:16]}..., expected {sha256[:16]}...")


def _stream(address, minimum_rate, patience, size):
    """Yield the answer's bytes as they arrive; raise _Unfit for whatever the network or the server does wrong."""
    from tqdm.auto import tqdm

    try:
        request = urllib.request.Request(address, headers=_AGENT)
        with (
            urllib.request.urlopen(request, timeout=patience) as answer,
            tqdm(total=answer.length or size, desc=address.split("/")[2], unit="B", unit_scale=True, leave=False) as bar,
        ):
            total, since, received = 0, time.monotonic(), 0
            # read1 returns what one packet brought: read would sit waiting for a full chunk from a trickling server
            while chunk := answer.read1(_CHUNK):
                total, received = total + len(chunk), received + len(chunk)
                if total > size:
                    raise _Unfit(f"it sends more than the {size:,} bytes of the file")
                elapsed = time.monotonic() - since
                if elapsed >= patience:
                    if received < minimum_rate * elapsed:
                        rates = f"{received / elapsed / 1000:,.0f} kB/s of the {minimum_rate / 1000:,.0f} asked for"
                        raise _Unfit(f"too slow, {rates}, over {elapsed:.1f} s")
                    since, received = time.monotonic(), 0
                bar.update(len(chunk))
                yield chunk
            if answer.length:
                raise _Unfit(f"it stopped {answer.length:,} bytes before the end")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Unfit(f"{type(error).__name__}: {error}") from error
