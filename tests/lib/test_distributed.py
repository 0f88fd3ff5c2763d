"""Ranks for real: each launch here starts processes, and afterwards none of them may be left, however it ended."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from course_lib import distributed
from course_lib.distributed import failures, processes

ROOT = Path(__file__).parents[2]
MARK = "COURSE_TEST_MARK"  # an environment variable, by which a test knows its processes
BOUND = 30  # seconds in which every failure is told, after it has happened
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def living(mark: str) -> list[int]:
    """Return the processes that began with this mark in their environment, in whatever state."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def mark(monkeypatch):
    """Mark what this test starts; when it is over, none of it may live."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield mark
    assert living(mark) == []


@pytest.fixture
def worker(tmp_path):
    """Return a function that writes the body of a worker file, within its group, and returns its path."""

    def write(body: str, group: str = "group()") -> Path:
        lines = ["import os, signal, subprocess, sys, time", "import torch", "import torch.distributed as dist"]
        lines += ["from course_lib import distributed", f"with distributed.{group} as ranks:"]
        lines += ["    " + line for line in body.strip().splitlines()]
        path = tmp_path / "worker.py"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def in_time(launch):
    """Return the RankError of `launch`, and see that it took no longer than the start and the bound."""
    began = time.monotonic()
    with pytest.raises(distributed.RankError) as caught:
        launch()
    assert time.monotonic() - began < BOUND + 60  # the start takes five seconds, or many times that beside other work
    return caught.value


# --- what comes back -------------------------------------------------------------------------------------------------


@linux
def test_each_rank_returns_what_it_reported(worker, mark):
    path = worker("""
values = distributed.arguments()["values"]
total = torch.tensor(values[ranks.rank])
dist.all_reduce(total)
distributed.report("dropped")
distributed.report({"total": total, "rank": (ranks.rank, ranks.world_size), "threads": torch.get_num_threads()})
try:
    input()
except EOFError:
    print("no input")
subprocess.Popen(["sleep", "1000"], start_new_session=True)  # a child that would outlive its rank
""")
    found = distributed.launch(path, arguments={"values": [1.5, 2.5]}, threads=2)
    assert [report["rank"] for report in found] == [(0, 2), (1, 2)]
    assert [report["total"].item() for report in found] == [4.0, 4.0]
    assert [report["threads"] for report in found] == [2, 2]


@linux
def test_output_appears_at_once_and_behind_its_rank(worker, mark, monkeypatch, tmp_path):
    """Rank 1 waits for a file that is written only when its first line has been shown."""
    seen, lines = tmp_path / "seen", []

    class Screen:
        def write(self, text):
            lines.append(text)
            if "[rank 1] early" in "".join(lines):
                seen.touch()

        def flush(self):
            pass

    path = worker("""
if ranks.rank == 1:
    print("early", "ähnlich", flush=True)
    while not os.path.exists(distributed.arguments()["seen"]):
        time.sleep(0.05)
    sys.stderr.write("10 %\\r100 %\\nno end")
""")
    monkeypatch.setattr(sys, "stdout", Screen())
    assert distributed.launch(path, arguments={"seen": str(seen)}) == [None, None]
    assert "".join(lines).splitlines() == ["[rank 1] early ähnlich", "[rank 1] 100 %", "[rank 1] no end"]


@linux
def test_the_same_file_runs_under_torchrun(worker, mark):
    path = worker("distributed.report(distributed.arguments()['steps'] + ranks.rank)")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", path, '{"steps": 3}']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["report of rank 0: 3", "report of rank 1: 4"]


# --- how it can go wrong ---------------------------------------------------------------------------------------------


@linux
def test_an_exception_in_one_rank_is_the_error_though_the_other_will_not_end(worker, mark):
    """Rank 0 ignores the launcher's request to end, for which torch would wait 30 s."""
    path = worker("""
if ranks.rank == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
dist.barrier()
if ranks.rank == 1:
    raise KeyError("bad luck")
time.sleep(1000)
""")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [1]
    assert str(error).startswith("rank 1 failed: KeyError: 'bad luck'\n\nTraceback")
    assert str(path) in str(error) and "runpy" not in str(error)


@linux
def test_a_rank_killed_by_sigkill_is_named_with_its_last_lines(worker, mark):
    path = worker("""
print("so far so good")
dist.barrier()
if ranks.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
dist.all_reduce(torch.ones(1))
""")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [1]
    assert str(error) == "rank 1 was killed by SIGKILL; its last lines:\nso far so good"


@linux
def test_ranks_that_wait_in_different_collectives_are_both_named(worker, mark):
    body = "dist.barrier()\nif ranks.rank == 0:\n    dist.recv(torch.ones(1), 1)\ndist.all_reduce(torch.ones(3))"
    path = worker(body, "group(timeout=5)")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [0, 1]
    assert str(error).startswith("ranks 0 and 1 waited for each other in vain")
    assert f'File "{path}", line 8' in str(error) and f'File "{path}", line 9' in str(error)


@linux
def test_a_rank_that_hangs_is_told_by_the_one_that_waits_for_it(worker, mark):
    body = "dist.barrier()\nif ranks.rank == 0:\n    time.sleep(1000)  # here\ndist.all_reduce(torch.ones(3))"
    path = worker(body, "group(timeout=5)")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [0]
    assert str(error).startswith("rank 0 hung: rank 1 waited in vain")
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "# here" in text)
    assert f'File "{path}", line {line} in' in str(error)


@linux
def test_a_rank_that_never_leaves_the_block_is_told_by_the_one_that_has(worker, mark):
    path = worker("if ranks.rank == 1:\n    time.sleep(1000)", "group(timeout=5)")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [1]
    assert str(error).startswith("rank 1 hung: rank 0 waited in vain")


@linux
def test_when_all_hang_the_time_runs_out(worker, mark):
    path = worker("time.sleep(1000)", "group(timeout=1000)")
    error = in_time(lambda: distributed.launch(path, timeout=10))
    assert error.ranks == [0, 1]
    assert str(error).startswith("ranks 0 and 1 had not finished after 10 s (timeout=10)")


# A process that a shell started in the background ignores interrupts, and so would its children.
INTERRUPTIBLE = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
LAUNCH = "import sys\nfrom course_lib import distributed\ndistributed.launch(sys.argv[1])\n"


def started(path: Path) -> subprocess.Popen:
    """Start a launch in a process of its own, as a notebook's kernel is, and wait until its ranks are at work."""
    command = [sys.executable, "-u", "-c", INTERRUPTIBLE + LAUNCH, path]
    kernel = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "at work" not in (line := kernel.stdout.readline()):
        assert line, kernel.stderr.read()
    return kernel


@linux
def test_an_interrupt_ends_all_ranks_and_names_them(worker, mark):
    kernel = started(worker("dist.barrier()\nprint('at work')\ntime.sleep(1000)"))
    began = time.monotonic()
    kernel.send_signal(signal.SIGINT)
    _, errors = kernel.communicate(timeout=BOUND)
    assert time.monotonic() - began < BOUND
    last = errors.strip().splitlines()[-1]
    assert last == "KeyboardInterrupt: the launch was interrupted; ranks 0 and 1 had not finished, and all were ended"


@linux
def test_when_the_kernel_itself_is_killed_the_ranks_end(worker, mark):
    """Also what they have started: here a child, in a session of its own."""
    kernel = started(worker("subprocess.Popen(['sleep', '1000'], start_new_session=True)\nprint('at work')\ntime.sleep(1000)"))
    assert len(living(mark)) >= 4
    kernel.kill()
    kernel.communicate()
    deadline = time.monotonic() + BOUND
    while living(mark) and time.monotonic() < deadline:
        time.sleep(0.1)


@linux
def test_when_the_launcher_is_killed_the_ranks_end(worker, mark, tmp_path):
    path = worker("if ranks.rank == 0:\n    os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(1000)")
    error = in_time(lambda: distributed.launch(path))
    assert "launcher" in str(error)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, kind, words",
    [
        ({"ranks": 0}, ValueError, "ranks: 0 is not allowed"),
        ({"ranks": True}, ValueError, "ranks: True is not allowed"),
        ({"ranks": 2.0}, ValueError, "ranks: 2.0 is not allowed"),
        ({"restarts": -1}, ValueError, "restarts: -1 is not allowed"),
        ({"threads": 0}, ValueError, "threads: 0 is not allowed"),
        ({"timeout": 0}, ValueError, "timeout: 0 is not allowed"),
        ({"timeout": float("nan")}, ValueError, "timeout: nan is not allowed"),
        ({"timeout": "10"}, ValueError, "timeout: '10' is not allowed"),
        ({"arguments": [1]}, TypeError, "arguments: list is not allowed"),
        ({"arguments": {"model": nn.Linear(1, 1)}}, TypeError, "arguments: 'model'"),
        ({"arguments": {"shape": (1, 2)}}, TypeError, "arguments: 'shape'"),
        ({"arguments": {1: "one"}}, TypeError, "arguments: 1"),
        ({"arguments": {"data": "x" * 40_000}}, ValueError, "write a file"),
        ({"worker": "missing.py"}, FileNotFoundError, "missing.py"),
        ({"worker": "."}, FileNotFoundError, "there is no file"),
        ({"worker": print}, TypeError, "worker: builtin_function_or_method is not allowed"),
    ],
)
def test_bad_input_is_refused_before_work_begins(given, kind, words, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(kind) as caught:
        distributed.launch(**{"worker": __file__, **given})
    assert words in str(caught.value)


@pytest.mark.parametrize("value, name", [(print, "value"), ({"a": [1, {2}]}, "value['a'][1]"), ({(1,): 2j}, "value[(1,)]")])
def test_what_cannot_be_reported_is_named(value, name):
    with pytest.raises(TypeError) as caught:
        distributed.report(value)
    assert str(caught.value).startswith(f"{name}: ")


def test_outside_of_ranks_a_group_says_what_is_missing():
    with pytest.raises(RuntimeError, match="no rank of a group"), distributed.group():
        pass
    with pytest.raises(ValueError, match="timeout: 0 is not allowed"), distributed.group(timeout=0):
        pass


# --- which rank is at fault ------------------------------------------------------------------------------------------


def left(folder: Path, notes: dict, codes: dict, finished=(), stacks=()) -> Path:
    """Write what the ranks of a failed launch leave: notes {rank: (seconds, error)}, exit codes, and so on."""
    for number in range(3):
        place = folder / "attempt-0" / f"rank-{number}"
        place.mkdir(parents=True)
        if number in notes:
            seconds, error = notes[number]
            (place / "failure.json").write_text(json.dumps({"time": seconds, "error": error, "trace": "Trace " + error}))
        if number in finished:
            (place / "finished").touch()
        (place / "stack").write_text("Stack" if number in stacks else "")
        (place / "output").write_text(f"output of {number}\n")
    (folder / "codes.json").write_text(json.dumps(codes))
    return folder


LOST = "RuntimeError: [pair.cc:537] Connection closed by peer [127.0.0.1]:23441"
WAITED = "RuntimeError: [unbound_buffer.cc:78] Timed out waiting 15000ms for recv operation to complete"
REFUSED = "RuntimeError: Gloo connectFullMesh failed with timed out connecting: SO_ERROR: Connection refused"
NCCL = "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3, OpType=ALLREDUCE)"


@pytest.mark.parametrize(
    "notes, codes, more, ranks, words",
    [
        ({0: (2, LOST), 1: (1, "ValueError: x")}, {0: 1, 1: 1, 2: -15}, {"stacks": [2]}, [1], "rank 1 failed: ValueError: x"),
        ({0: (1, LOST), 1: (2, "ValueError: x")}, {0: 1, 1: 1}, {"finished": [2]}, [1], "rank 1 failed"),  # whoever wrote first
        ({0: (1, LOST), 2: (1, LOST)}, {0: 1, 1: -9, 2: 1}, {}, [1], "rank 1 was killed by SIGKILL"),
        ({0: (1, LOST)}, {0: 1, 1: -9, 2: -15}, {"stacks": [2]}, [1], "rank 1 was killed by SIGKILL"),
        ({}, {0: -15, 1: 3, 2: -15}, {"stacks": [0, 2]}, [1], "rank 1 ended with exit code 3"),
        ({0: (1, WAITED), 1: (2, WAITED)}, {0: 1, 1: 1, 2: -15}, {"stacks": [2]}, [2], "rank 2 hung: ranks 0 and 1 waited"),
        ({0: (1, WAITED), 1: (2, LOST)}, {0: 1, 1: 1}, {"finished": [2]}, [0], "rank 0 failed: RuntimeError"),
        ({0: (1, WAITED), 1: (2, REFUSED)}, {0: 1, 1: 1}, {"finished": [2]}, [0], "rank 0 failed: RuntimeError"),
        ({0: (1, "TimeoutError: timed out")}, {0: 1, 1: -15}, {"stacks": [1]}, [0], "rank 0 failed: TimeoutError"),
        ({}, {0: -15, 1: -15, 2: -15}, {"stacks": [0, 1, 2]}, [0], "rank 0 was killed by SIGTERM"),
        ({}, {}, {}, [], "the launcher failed before a rank did"),
    ],
)
def test_the_first_cause_is_told_from_what_followed(tmp_path, notes, codes, more, ranks, words):
    folder = left(tmp_path, notes, codes, **more)
    for number in more.get("stacks", ()):  # rank 0 was asked first
        os.utime(folder / "attempt-0" / f"rank-{number}" / "stack", (number, number))
    error = failures.explained(folder, 3, None)
    assert error.ranks == ranks
    assert words in str(error)


def test_a_rank_that_nccls_watchdog_ended_has_waited(tmp_path):
    folder = left(tmp_path, {}, {0: -15, 1: -6, 2: -6}, stacks=[0])
    for number in (1, 2):
        (folder / "attempt-0" / f"rank-{number}" / "output").write_text(NCCL)
    error = failures.explained(folder, 3, None)
    assert error.ranks == [0]
    assert str(error).startswith("rank 0 hung: ranks 1 and 2 waited in vain")


@linux
def test_a_sweep_says_what_it_could_not_end(monkeypatch):
    monkeypatch.setattr(processes, "carriers", lambda launch: iter([10**7]))
    assert processes.sweep("none", seconds=0.1) == [10**7]


# --- counting --------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone():
    """A group of one rank, in this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_calls_and_bytes_are_counted_by_collective(alone):
    ten = torch.ones(10)
    with distributed.traffic() as counted:
        dist.all_reduce(ten)
        dist.all_reduce(ten.half(), async_op=True).wait()
        dist.broadcast(ten, 0)
        dist.all_gather([torch.ones(10)], ten)
        dist.reduce_scatter(torch.ones(10), [ten])
        dist.all_to_all_single(torch.empty(10), ten)
        dist.barrier()
        ten + ten
    assert counted.calls == {
        "all_reduce": 2, "broadcast": 1, "all_gather": 1, "reduce_scatter": 1, "all_to_all": 1, "barrier": 1
    }  # fmt: skip
    assert {name: size for name, size in counted.bytes.items() if size} == {
        "all_reduce": 60, "broadcast": 40, "all_gather": 40, "reduce_scatter": 40, "all_to_all": 40
    }  # fmt: skip
    dist.all_reduce(ten)
    assert counted.calls["all_reduce"] == 2


def test_the_gradients_that_ddp_sends_are_counted(alone):
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4)))
    with distributed.traffic() as counted:
        model(torch.randn(2, 8)).sum().backward()
        with model.no_sync():
            model(torch.randn(2, 8)).sum().backward()
    assert counted.bytes["all_reduce"] == 4 * sum(weight.numel() for weight in model.parameters())
