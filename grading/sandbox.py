"""A Jupyter kernel for code that nobody has read: in bubblewrap, with limits, and with nothing it says believed.

What comes out of such a kernel may be forged, malformed, endless or missing. It is cut to a size, and what is no message
of Jupyter's is dropped.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from jupyter_client.connect import write_connection_file

from grading import bubblewrap, seccomp, watch
from grading.bubblewrap import unavailable
from grading.messages import LARGEST, Messages
from grading.outputs import Outputs

__all__ = ["Kernel", "KernelEnded", "Limits", "NoKernel", "Ran", "remove", "unavailable"]

START = 180  # seconds that a kernel may take to start, on a machine however busy
LONGEST_WORDS = 2000  # characters of an error's name or message
MERCY = 5  # seconds between the interrupt of a cell and the end of the kernel
LAST_OUTPUT = 2  # seconds to wait for what a finished cell printed
LONGEST_FOLDER = 80  # characters: the path of a socket in it may have 107

# Runs in the kernel's process, before IPython: limits that the system holds for every process of its own.
STARTER = """
import sys
try:
    import resource
except ImportError:
    resource = None
def limit(name, value):
    kind = getattr(resource, name, None)
    if kind is not None:
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            pass
memory, disk, processes = map(int, sys.argv[1:4])
for name in ("RLIMIT_CORE", "RLIMIT_RTPRIO", "RLIMIT_NICE"):
    limit(name, 0)
limit("RLIMIT_NOFILE", 512)
limit("RLIMIT_FSIZE", disk)
limit("RLIMIT_NPROC", processes)
limit("RLIMIT_AS", memory)
sys.argv[1:4] = []
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


@dataclass(frozen=True)
class Limits:
    """What one submission may use; all are above 0.

    cell: seconds of one cell;  total: seconds of all that runs of it;  memory: bytes, its processes together;
    processes: processes and threads;  disk: bytes in each of its folders;  output: characters that one cell may show, all
    together four times as many.
    Raises ValueError naming a field that is not allowed.
    """

    cell: float = 20.0
    total: float = 120.0
    memory: int = 4 * 2**30
    processes: int = 128
    disk: int = 512 * 2**20
    output: int = 2 * 2**20

    def __post_init__(self):
        for name in ("cell", "total"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value > 0):
                raise ValueError(f"{name}: {value!r} is not allowed; give seconds above 0")
        for name in ("memory", "processes", "disk", "output"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {value!r} is not allowed; give a whole number above 0")


class NoKernel(RuntimeError):
    """No kernel could be started. Nothing of a submission had run, so it is the machine's fault and not the learner's."""


class KernelEnded(Exception):
    """The kernel is gone, and with it all that ran in it; `reason` is written for the teacher."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


@dataclass
class Ran:
    """What one cell left. Nothing of it can be believed: the code that ran may have made it up.

    outputs: valid outputs of a notebook;  error: (name, message) or None;  values: {name: text, or None where the
    expression raised};  timed_out: it was interrupted at its limit of time.
    """

    outputs: list = field(default_factory=list)
    execution_count: int | None = None
    timed_out: bool = False
    error: tuple[str, str] | None = None
    values: dict = field(default_factory=dict)


class Kernel:
    """A Python kernel, started and ended by `with`; when it ends, nothing of it is left.

    With protected=False the kernel has the rights of whoever starts it. Start it in the main thread, or in one that
    outlives it: the sandbox ends with the thread that started it. Raises ValueError when bubblewrap cannot run here,
    NoKernel when the kernel does not start.
    """

    def __init__(self, limits=None, protected=True):
        self.limits = limits or Limits()
        if protected and unavailable():
            raise ValueError(unavailable())
        self._protected = protected
        self._open = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as opened:
            self._folder = _new_folder(short=not self._protected)
            opened.callback(remove, self._folder)
            sockets = bubblewrap.SOCKETS if self._protected else str(self._folder)
            connection = write_connection_file(str(self._folder / "kernel.json"), transport="ipc", ip=f"{sockets}/k")[1]
            self._process = self._start()
            opened.callback(watch.end, self._process)
            root = self._root() if self._protected else ""
            in_memory = [f"{root}{place}" for place in bubblewrap.IN_MEMORY] if self._protected else []
            self._watch = watch.Watch(self._process, self.limits, self._folder / "log", in_memory)
            opened.callback(self._watch.stop)
            self._messages = Messages(connection | {"ip": f"{root}{sockets}/k"})
            opened.callback(self._messages.close)
            self._wait_for_start()
            self._deadline = time.monotonic() + self.limits.total
            self._may_show = 4 * self.limits.output
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exception):
        self._open.close()

    def run(self, source, *, timeout=None, expressions=None, quiet=False):
        """Run one cell and then evaluate the expressions, {name: Python expression}; returns Ran.

        timeout: seconds, None for the limit of a cell; a cell that takes longer is interrupted. quiet: drop what it
        shows. Raises KernelEnded when the kernel ended, had to be ended, or used up its total time.
        """
        timeout = timeout or self.limits.cell
        ran = self._execute(source, timeout, quiet, expressions or {})
        if expressions and ran.error:  # asked for again by themselves, since a cell that raised evaluates none
            asked = self._execute("", timeout, True, expressions)
            ran.values, ran.timed_out = asked.values, ran.timed_out or asked.timed_out
        return ran

    def _start(self):
        limits = self.limits
        connection = bubblewrap.CONNECTION if self._protected else str(self._folder / "kernel.json")
        tasks = watch.tasks_of_user() + limits.processes  # the system counts all that this user runs
        kernel = [sys.executable, "-c", STARTER, str(limits.memory), str(limits.disk), str(tasks)]
        kernel += ["-f", connection, "--log-level=CRITICAL", "--HistoryManager.enabled=False"]
        with contextlib.ExitStack() as files:
            log = files.enter_context((self._folder / "log").open("wb"))
            if self._protected:
                rules = self._folder / "rules"
                rules.write_bytes(seccomp.program())
                number = files.enter_context(rules.open("rb")).fileno()
                # bubblewrap itself is the sandbox's first process, whose environment can be read there: none of the teacher's.
                extra = {"env": {"PATH": os.environ.get("PATH", os.defpath)}, "pass_fds": [number]}
                command = bubblewrap.argv(self._folder, limits.disk, number) + kernel
            else:
                home = self._folder / "home"
                home.mkdir()
                parent = {"JPY_PARENT_PID": str(os.getpid())}  # a kernel looks for it every second, and ends when it is gone
                command, extra = kernel, {"cwd": home, "env": os.environ | bubblewrap.environment(str(home)) | parent}
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **extra)

    def _root(self):
        """The root folder of the sandbox as seen from outside, through its first process."""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and self._process.poll() is None:
            inside = watch.family(self._process.pid)[1:]
            if inside:
                return f"/proc/{inside[0].pid}/root"
            time.sleep(0.01)
        raise NoKernel(f"the sandbox did not start: {self._said()}")

    def _wait_for_start(self):
        deadline = time.monotonic() + START
        asked, heard = [], set()
        while time.monotonic() < deadline:
            asked.append(self._messages.ask_whether_ready())
            heard |= {channel for channel, _ in self._messages.answers(asked, 0.5)}
            if heard == {"shell", "iopub"}:
                return
            if self._process.poll() is not None:
                raise NoKernel(f"the kernel did not start: {self._said()}")
        raise NoKernel(f"the kernel did not start within {START} s: is the machine overloaded?")

    def _said(self):
        """The last line that the kernel or its sandbox wrote."""
        said = (self._folder / "log").read_bytes()[-2000:].decode(errors="replace").strip()
        return said.splitlines()[-1] if said else "it said nothing"

    def _execute(self, source, timeout, quiet, expressions):
        outputs, ran = Outputs(min(self.limits.output, self._may_show)), Ran()
        request = self._messages.execute(source, quiet, expressions)
        reply = self._reply(request, outputs, timeout, quiet)
        if reply is None:
            ran.timed_out = True
            self._messages.interrupt()
            reply = self._reply(request, outputs, MERCY, quiet)
        if reply is None:
            self._end(f"a cell ran on for {MERCY} s after it was interrupted")
        ran.outputs = [] if quiet else outputs.all()
        self._may_show -= outputs.size
        _note(reply, ran, expressions)
        return ran

    def _reply(self, request, outputs, seconds, quiet):
        """The reply to a request, with the outputs that came before it; None when there is none within `seconds`."""
        deadline, reply, idle = min(time.monotonic() + seconds, self._deadline), None, quiet
        while time.monotonic() < deadline:
            for channel, message in self._messages.answers((request,), 0.1):
                if message is None:
                    outputs.lost(f"a message of more than {LARGEST >> 20} MiB")
                elif channel == "shell" and message["msg_type"] == "execute_reply":
                    reply, deadline = message["content"], time.monotonic() + LAST_OUTPUT
                elif message["msg_type"] == "status":
                    idle = idle or message["content"].get("execution_state") == "idle"
                elif not quiet:
                    outputs.add(message)
            if reply is not None and idle:
                return reply
            self._check_alive()
        if reply is not None:
            outputs.lost("it was too much to be read in time")
        elif time.monotonic() >= self._deadline:
            self._end(f"it used up the {self.limits.total:g} s that a submission has")
        return reply

    def _check_alive(self):
        if self._process.poll() is not None:
            raise KernelEnded(
                self._watch.reason or "its code ended the Python process (an exit call, a crash, or no memory left)"
            )

    def _end(self, reason):
        watch.end(self._process)
        raise KernelEnded(self._watch.reason or reason)


def _note(reply, ran, expressions):
    """Copy what the reply claims into `ran`, as far as it is of the right kind."""
    count, values = reply.get("execution_count"), reply.get("user_expressions")
    ran.execution_count = count if isinstance(count, int) and not isinstance(count, bool) else None
    if reply.get("status") != "ok":
        ran.error = str(reply.get("ename", ""))[:LONGEST_WORDS], str(reply.get("evalue", ""))[:LONGEST_WORDS]
    ran.values = {name: _text(values.get(name)) if isinstance(values, dict) else None for name in expressions}


def _text(value):
    """The text of an expression's value, None where it raised or is no text."""
    data = value.get("data") if isinstance(value, dict) else None
    text = data.get("text/plain") if isinstance(data, dict) else None
    return text if isinstance(text, str) else None


def _new_folder(short):
    """A new temporary folder; short: its path leaves room for the name of a socket, which the system keeps short."""
    folder = Path(tempfile.mkdtemp(prefix="course-"))
    if short and len(str(folder)) > LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="course-", dir="/tmp"))
    return folder


def remove(folder):
    """Delete the folder with what submitted code left there, also where that code took the right to look into it."""
    for place, folders, _ in os.walk(folder):
        for inner in (Path(place, name) for name in folders):
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder)
