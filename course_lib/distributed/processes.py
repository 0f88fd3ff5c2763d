"""End processes for certain: those of one launch, whoever started them, and whatever became of their parents."""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

LAUNCH = "COURSE_LAUNCH"  # an environment variable: every process of a launch inherits the launch's own value
_PR_SET_PDEATHSIG = 1  # prctl(2)


def carriers(launch: str) -> Iterator[int]:
    """Yield the ids of the processes of `launch`, this one left out: those that began with it in their environment."""
    if sys.platform == "linux":
        mark = f"{LAUNCH}={launch}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:  # it is gone, or another user's
                continue
            if mark in environment.split(b"\0") and int(folder.name) != os.getpid():
                yield int(folder.name)
        return
    import psutil  # where there is no /proc; one of the course's requirements

    for process in psutil.process_iter():
        try:
            ours = process.environ().get(LAUNCH) == launch
        except (psutil.Error, OSError):
            continue
        if ours and process.pid != os.getpid():
            yield process.pid


def seconds_used(launch: str) -> dict[int, float]:
    """Return the seconds of CPU time that each living process of `launch` has used so far, by its id."""
    used = {}
    for process in carriers(launch):
        if sys.platform == "linux":
            try:
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it is gone
                continue
            used[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user mode, and in the kernel
            continue
        import psutil

        with suppress(psutil.Error):
            used[process] = sum(psutil.Process(process).cpu_times()[:2])
    return used


def exists(process: int) -> bool:
    """Whether there is a process with this id."""
    if sys.platform == "linux":
        return Path(f"/proc/{process}").exists()
    import psutil

    return psutil.pid_exists(process)


def sweep(launch: str, seconds: float = 10.0) -> list[int]:
    """Kill every process of `launch` until none is left; return the ids of those that outlived `seconds`, in most cases none.

    A process that waits in the kernel for a broken device cannot be killed by anyone.
    """
    deadline = time.monotonic() + seconds
    while (left := list(carriers(launch))) and time.monotonic() < deadline:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)  # Windows has one way
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(0.02)
    return left


def end_with(parent: int, end: Callable[[], None], lifeline: int | None) -> None:
    """Call `end`, in a thread, once the process `parent` is gone, or the writer of the pipe `lifeline`, where there is one.

    A pipe tells on every system. The parent's id is looked at as well, every second, since a process that the writer has
    forked may hold the pipe open; on Windows, which has no fork, a parent's id does not change.
    """

    def watch():
        if os.name == "nt":
            os.read(lifeline, 1)
        else:
            pipes = [] if lifeline is None else [lifeline]
            while os.getppid() == parent and not select.select(pipes, [], [], 1.0)[0]:
                pass
        end()

    threading.Thread(target=watch, daemon=True, name="lifeline").start()


def die_with_parent() -> None:
    """On Linux, ask the kernel to kill this process when its parent dies: that works even where no Python thread can run."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
