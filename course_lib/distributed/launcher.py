"""Start a worker file on N ranks, show what they print, collect what they report, and leave nothing behind."""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import torch

from . import failures, processes, rank

POLL = 0.05  # seconds between two looks at the ranks' output
GRACE = 5.0  # seconds for the launcher to end by itself, before all of it is killed
LOOK = 1.0  # seconds between two looks at what the ranks have computed
IDLE = 0.01  # of a core: a process that uses less waits, in its main thread
FORKS = sys.platform == "linux"  # elsewhere it is unsafe to copy a process that has loaded libraries, or impossible
LONGEST = 30_000  # characters of JSON; Windows allows 32,767 in a whole command line


def launch(
    worker: str | Path,
    ranks: int = 2,
    *,
    arguments: dict | None = None,
    timeout: float = 120.0,
    idle: float = 20.0,
    restarts: int = 0,
    threads: int = 1,
) -> list:
    """Run the file `worker` on `ranks` processes; return what each rank reported, by rank, None where it reported nothing.

    torch's elastic launcher starts the ranks; what they print appears at once, each line behind its rank. `arguments`, a
    dict of JSON values, is what `arguments()` returns in the worker. `threads` are torch's threads in each rank. When a
    rank fails, the launcher ends all of them and starts them again, up to `restarts` times.

    However the launch ends, also by an interrupt, no process of it is left. If this process itself is killed, they end, too.

    Raises RankError that names the rank when one fails (with its traceback), is killed, or hangs. A hang is told in one of
    three ways. The others wait for the rank in a collective, and lose patience (see `group`: 15 s). Or nobody does anything:
    for `idle` seconds no process of the ranks has computed (used more than 1 % of a core), and none has printed; give
    float("inf") to ranks that may wait so long for something outside. Or `timeout` seconds for the whole launch are over: that
    alone ends ranks which loop for ever outside collectives, as nobody can tell such a loop from work. The error says where in
    its code each rank was.

    Raises TypeError or ValueError for bad input, and FileNotFoundError for a missing file, before work begins.
    """
    worker, text = _checked(worker, ranks, arguments, timeout, idle, restarts, threads)
    with tempfile.TemporaryDirectory(prefix="ranks-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        agent, mark = _started(worker, text, folder, ranks, restarts, threads)
        screen = _Screen(folder, restarts)
        quiet = _Quiet(idle, agent.pid, mark, folder, ranks)
        try:
            ended = _watched(agent, folder, screen, quiet, timeout, restarts)
        except KeyboardInterrupt:
            left = failures.named(failures.unfinished(failures.last_attempt(folder), ranks))
            raise KeyboardInterrupt(f"the launch was interrupted; {left} had not finished, and all were ended") from None
        finally:
            _end(agent, mark)
        screen.show(last=True)
        if agent.returncode != 0 or ended:
            raise failures.explained(folder, ranks, ended)
        return [_reported(failures.last_attempt(folder) / f"rank-{number}") for number in range(ranks)]


def _watched(
    agent: subprocess.Popen, folder: Path, screen: "_Screen", quiet: "_Quiet", timeout: float, restarts: int
) -> str | None:
    """Show the ranks' output until the launcher has ended; return None, or why it is to be ended, said of its ranks.

    When a rank fails for good, the launcher ends the others; one that does not want to end would hold it up for 30 s.
    """
    deadline, failed_at = time.monotonic() + timeout, None
    while agent.poll() is None:
        screen.show()
        now = time.monotonic()
        if now > deadline:
            return f"had not finished after {timeout:g} s (timeout={timeout:g})"
        if quiet.too_long(now, sum(screen.read.values())):
            return f"hung: for {quiet.limit:g} s no rank has computed or printed anything (idle={quiet.limit:g})"
        if failed_at is None and screen.attempt == restarts and failures.failed(failures.last_attempt(folder)):
            failed_at = now
        if failed_at is not None and now > failed_at + GRACE:
            return None
        time.sleep(POLL)
    return None


RankError = failures.RankError


def _checked(worker, ranks, arguments, timeout, idle, restarts, threads) -> tuple[Path, str]:
    for name, value, least in (("ranks", ranks, 1), ("restarts", restarts, 0), ("threads", threads, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: {value!r} is not allowed; it is a whole number from {least} on")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise ValueError(f"timeout: {timeout!r} is not allowed; it is a number of seconds above 0")
    if isinstance(idle, bool) or not isinstance(idle, int | float) or not idle > 0:
        raise ValueError(f"idle: {idle!r} is not allowed; it is a number of seconds above 0, or float('inf')")
    if not isinstance(worker, str | Path):
        raise TypeError(f"worker: {type(worker).__name__} is not allowed; give the path of a Python file")
    worker = Path(worker).resolve()
    if not worker.is_file():
        raise FileNotFoundError(f"worker: there is no file {worker}; write it first, for instance by %%writefile")
    if not isinstance(arguments, dict | None):
        raise TypeError(f"arguments: {type(arguments).__name__} is not allowed; give a dict of JSON values")
    for name, value in (arguments or {}).items():
        try:
            same = json.loads(json.dumps({name: value})) == {name: value}
        except (TypeError, ValueError):
            same = False
        if not same:
            raise TypeError(
                f"arguments: {name!r}: {value!r} is not allowed; give what JSON keeps: "
                "numbers, strings, True, False, None, and lists and dicts (with keys that are strings) of them"
            )
    text = json.dumps(arguments or {})
    if len(text) > LONGEST:
        raise ValueError(f"arguments: {len(text)} characters of JSON are too many; write a file and give its path")
    return worker, text


def _started(worker: Path, text: str, folder: Path, ranks: int, restarts: int, threads: int) -> tuple[subprocess.Popen, str]:
    """Start torch's elastic launcher; return it and the mark that all processes of this launch carry."""
    mark = uuid.uuid4().hex
    outer = ("PET_", "TORCHELASTIC_")  # settings of a launcher that this process may itself run under
    environment = {key: value for key, value in os.environ.items() if not key.startswith(outer)}
    home = str(Path(__file__).parents[2])  # where course_lib lies, also when it is not installed
    environment |= {
        processes.LAUNCH: mark,
        rank.FOLDER: str(folder),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    if sys.platform == "win32":
        environment["USE_LIBUV"] = "0"  # torch for Windows is built without it
    else:  # all ranks are on this machine: gloo need not look up its name, which fails on some laptops
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    rooms = Path(__file__).parent
    command = [sys.executable, "-u", "-P", str(rooms / "agent.py"), "--standalone", "--local-addr=127.0.0.1"]
    command += [f"--nproc-per-node={ranks}", f"--max-restarts={restarts}", f"--log-dir={folder / 'launcher'}"]
    if os.name == "nt":  # there a process inherits the lifeline, its standard input, only if its output is redirected
        command.append("--redirects=3")
    if FORKS:
        command += ["--start-method=forkserver", "--run-path", str(rooms / "__main__.py"), str(worker), text]
    else:
        command += ["--module", "course_lib.distributed", str(worker), text]
    apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"start_new_session": True}
    with open(folder / "launcher.log", "wb") as log:
        agent = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, **apart)
    return agent, mark


def _end(agent: subprocess.Popen, mark: str) -> None:
    """End the launcher and all its processes: first by a request, to which each rank answers where it was, then by force."""
    try:
        if agent.poll() is None:
            agent.terminate()
            with suppress(subprocess.TimeoutExpired):
                agent.wait(GRACE)
    finally:
        agent.stdin.close()  # the lifeline of all of them
        left = processes.sweep(mark)
        agent.kill()
        agent.wait()
        if left:
            print(f"processes {left} could not be killed: they wait in the kernel for a device", file=sys.stderr)


class _Screen:
    """Prints the whole lines that have come into the ranks' output files since the last look."""

    def __init__(self, folder: Path, restarts: int):
        self.folder, self.restarts = folder, restarts
        self.read: dict[Path, int] = {}  # bytes
        self.attempt = 0  # the number of the last one that was seen

    def show(self, last: bool = False) -> None:
        """Print what is new; with `last`, also a line without an end."""
        for attempt in failures.attempts(self.folder):
            number = failures.number_of(attempt)
            if number > self.attempt:
                self.attempt = number
                before = failures.culprits(attempt.with_name(f"attempt-{number - 1}"))
                print(f"[launcher] {failures.named(before) if before else 'a rank'} failed: ", end="")
                print(f"restart {number} of {self.restarts}", flush=True)
            for output in sorted(attempt.glob("rank-*/output")):
                self._show(output, failures.number_of(output.parent), last)

    def _show(self, output: Path, number: int, last: bool) -> None:
        with open(output, "rb") as file:
            file.seek(self.read.get(output, 0))
            new = file.read()
        whole = new if last else new[: new.rfind(b"\n") + 1]
        self.read[output] = self.read.get(output, 0) + len(whole)
        for line in whole.decode(errors="replace").removesuffix("\n").split("\n") if whole else ():
            shown = line.rstrip("\r").rpartition("\r")[2]  # of a bar that was redrawn in its line, the last state
            print(f"[rank {number}] {shown}", flush=True)


class _Quiet:
    """Watches for ranks that have begun, and of which none computes or prints any more."""

    def __init__(self, limit: float, agent: int, mark: str, folder: Path, ranks: int):
        self.limit, self.agent, self.mark, self.folder, self.ranks = limit, agent, mark, folder, ranks
        self.since = self.looked = time.monotonic()
        self.used: dict[int, float] = {}  # seconds of CPU time at `since`, by process
        self.printed = 0  # bytes

    def too_long(self, now: float, printed: int) -> bool:
        """Whether nothing has happened for `limit` seconds; `printed` are the bytes of the ranks' output so far."""
        if now < self.looked + LOOK:
            return False
        self.looked = now
        used = processes.seconds_used(self.mark)
        used.pop(self.agent, None)  # it looks at the ranks ten times a second
        works = any(seconds - self.used.get(process, 0) > IDLE * self.limit for process, seconds in used.items())
        begun = len(list(failures.last_attempt(self.folder).glob("rank-*/process"))) == self.ranks
        if works or printed != self.printed or not begun:
            self.since, self.used, self.printed = now, used, printed
        return now > self.since + self.limit


def _reported(folder: Path):
    path = folder / "report.pt"
    return torch.load(path, weights_only=True) if path.exists() else None
