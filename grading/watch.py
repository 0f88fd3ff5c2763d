"""A watch over the processes of one kernel: too much memory, too many of them, too much written or sent, and all are ended."""

import contextlib
import os
import subprocess
import threading

import psutil

LOOK_EVERY = 0.2  # seconds; in that time a program can take some 500 MB more than it is allowed
OWN_GROWTH = 2 * 2**30  # bytes that the grading process itself may grow by: beyond, it is being flooded with messages
LOG = 64 * 2**20  # bytes in the log of a kernel, the one file on the disk that submitted code can write to
OPEN = 2000  # files, pipes and sockets; the system keeps up to 2 MB in each socket, and counts them as nobody's memory
NODE = 1024  # bytes of memory that a file takes without what is in it


class Watch:
    """Looks at a process and all its descendants until `stop`; ends them and keeps the `reason` when a limit is passed.

    Limits of the operating system alone do not do: that on memory holds for each process and not for their sum, that on
    the number of processes does not bind root. log: what the processes say is written there. in_memory: folders whose
    files are memory of theirs.
    """

    def __init__(self, process, limits, log, in_memory=()):
        self.reason = None
        self._process, self._limits, self._log, self._in_memory = process, limits, log, in_memory
        self._stopped = threading.Event()
        self._own = psutil.Process().memory_info().rss
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopped.set()
        self._thread.join()

    def _look(self):
        while not self._stopped.wait(LOOK_EVERY):
            try:
                self.reason = self._excess()
            except Exception as error:  # what nobody can watch does not go on
                self.reason = f"it could not be watched ({type(error).__name__})"
            if self.reason:
                end(self._process)
                return

    def _excess(self):
        memory, tasks, files = usage(self._process.pid)
        memory += sum(map(held_by_files, self._in_memory))
        if tasks > self._limits.processes:
            return f"it started more than {self._limits.processes} processes and threads"
        if memory > self._limits.memory:
            return f"it took more than {self._limits.memory / 2**30:.3g} GiB of memory"
        if files > OPEN:
            return f"it opened more than {OPEN} files, pipes and sockets"
        if self._log.stat().st_size > LOG:
            return f"it wrote more than {LOG // 2**20} MiB where only the last words of its kernel belong"
        if psutil.Process().memory_info().rss - self._own > OWN_GROWTH:
            return "it sent more than anybody can read"
        return None


def family(pid):
    """The process and all its descendants that are alive, the process first."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def usage(pid):
    """(bytes of memory, processes and threads, open files) of a process and all its descendants."""
    memory = tasks = files = 0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied), process.oneshot():
            memory += process.memory_info().rss
            tasks += process.num_threads()
            files += _open_files(process)
    return memory, tasks, files


def _open_files(process):
    """How many it has; those of the sandbox's own first process cannot always be looked at, and are few."""
    with contextlib.suppress(psutil.AccessDenied):
        return process.num_fds() if hasattr(process, "num_fds") else 0
    return 0


def held_by_files(folder):
    """Bytes of memory that the files of a file system in memory take, also those that have no name any more."""
    try:
        info = os.statvfs(folder)
    except OSError:  # not there yet, or not there any more
        return 0
    return (info.f_blocks - info.f_bfree) * info.f_frsize + (info.f_files - info.f_ffree) * NODE


def tasks_of_user():
    """How many processes and threads the user has, who runs this; the limits of the system count them all."""
    user, total = psutil.Process().username(), 0
    for process in psutil.process_iter(["username", "num_threads"]):
        if process.info["username"] == user:
            total += process.info["num_threads"] or 1
    return total


def end(process):
    """End a process and its descendants for good, and wait until they are gone; none of them can refuse.

    Inside bubblewrap, the first descendant is the first process of the sandbox: with it the system ends all others at
    once, however fast they multiply, and bubblewrap itself ends after the last of them.
    """
    for _ in range(50):
        descendants = [each for each in family(process.pid)[1:] if _lives(each)]
        for descendant in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()
        if not descendants:
            break
        psutil.wait_procs(descendants, timeout=0.2)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)  # bubblewrap ends by itself, after the last of them
    process.kill()
    process.wait()


def _lives(process):
    """Whether it still runs: one that has ended is kept in the list until its parent asks after it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
