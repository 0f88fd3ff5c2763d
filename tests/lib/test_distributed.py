"""Ranks for real: each launch here starts processes, and afterwards none of them may be left, however it ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib import distributed
from course_lib.distributed import launcher

ROOT = Path(__file__).parents[2]
BOUND = 30  # seconds in which every failure is told, after it has happened


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


def test_each_rank_returns_what_it_reported(worker, living):
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


def test_output_appears_at_once_and_behind_its_rank(worker, living, monkeypatch, tmp_path):
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


def test_the_same_file_runs_under_torchrun(worker, living):
    path = worker("distributed.report(distributed.arguments()['steps'] + ranks.rank)")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", path, '{"steps": 3}']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["report of rank 0: 3", "report of rank 1: 4"]


@pytest.mark.parametrize("dies, words", [(False, None), (True, "rank 1 was killed by SIGKILL; its last lines:\nhere")])
def test_where_ranks_are_not_forked_they_start_and_fail_alike(worker, living, monkeypatch, dies, words):
    monkeypatch.setattr(launcher, "FORKS", False)
    path = worker("""
print("here")
dist.barrier()
if distributed.arguments()["dies"] and ranks.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
distributed.report(ranks.rank)
""")
    if dies:
        assert str(in_time(lambda: distributed.launch(path, arguments={"dies": True}))) == words
    else:
        assert distributed.launch(path, arguments={"dies": False}) == [0, 1]


# --- how it can go wrong ---------------------------------------------------------------------------------------------


def test_an_exception_in_one_rank_is_the_error_though_the_other_will_not_end(worker, living):
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


def test_a_rank_killed_by_sigkill_is_named_with_its_last_lines(worker, living):
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


def test_ranks_that_wait_in_different_collectives_are_both_named(worker, living):
    body = "dist.barrier()\nif ranks.rank == 0:\n    dist.recv(torch.ones(1), 1)\ndist.all_reduce(torch.ones(3))"
    path = worker(body, "group(timeout=5)")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [0, 1]
    assert str(error).startswith("ranks 0 and 1 waited for each other in vain")
    assert f'File "{path}", line 8' in str(error) and f'File "{path}", line 9' in str(error)


def test_a_rank_that_hangs_is_told_by_the_one_that_waits_for_it(worker, living):
    body = "dist.barrier()\nif ranks.rank == 0:\n    time.sleep(1000)  # here\ndist.all_reduce(torch.ones(3))"
    path = worker(body, "group(timeout=5)")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [0]
    assert str(error).startswith("rank 0 hung: rank 1 waited in vain")
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "# here" in text)
    assert f'File "{path}", line {line} in' in str(error)


def test_a_rank_that_never_leaves_the_block_is_told_by_the_one_that_has(worker, living):
    path = worker("if ranks.rank == 1:\n    time.sleep(1000)", "group(timeout=5)")
    error = in_time(lambda: distributed.launch(path))
    assert error.ranks == [1]
    assert str(error).startswith("rank 1 hung: rank 0 waited in vain")


def test_when_all_hang_the_time_runs_out(worker, living):
    path = worker("time.sleep(1000)", "group(timeout=1000)")
    error = in_time(lambda: distributed.launch(path, timeout=10))
    assert error.ranks == [0, 1]
    assert str(error).startswith("ranks 0 and 1 had not finished after 10 s (timeout=10)")


def test_when_all_stand_still_the_one_outside_a_collective_is_at_fault(worker, living):
    """No one loses patience in 1,000 s; but nobody computes, and rank 0 is not among those who wait for another."""
    path = worker("print('here')\nif ranks.rank == 0:\n    time.sleep(1000)\ndist.barrier()", "group(timeout=1000)")
    error = in_time(lambda: distributed.launch(path, idle=3))
    assert error.ranks == [0]
    assert str(error).startswith("rank 0 hung: for 3 s no rank has computed or printed anything (idle=3)")
    assert f'File "{path}", line 8' in str(error) and f'File "{path}", line 9' in str(error)


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


def test_an_interrupt_ends_all_ranks_and_names_them(worker, living):
    kernel = started(worker("dist.barrier()\nprint('at work')\ntime.sleep(1000)"))
    began = time.monotonic()
    kernel.send_signal(signal.SIGINT)
    _, errors = kernel.communicate(timeout=BOUND)
    assert time.monotonic() - began < BOUND
    last = errors.strip().splitlines()[-1]
    assert last == "KeyboardInterrupt: the launch was interrupted; ranks 0 and 1 had not finished, and all were ended"


def test_when_the_kernel_itself_is_killed_the_ranks_end(worker, living):
    """Also what they have started: here a child, in a session of its own."""
    kernel = started(worker("subprocess.Popen(['sleep', '1000'], start_new_session=True)\nprint('at work')\ntime.sleep(1000)"))
    assert len(living()) >= 4
    kernel.kill()
    kernel.communicate()
    deadline = time.monotonic() + BOUND
    while living() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.parametrize(
    "whom, words",
    [
        ("os.getsid(os.getppid())", "the launcher failed before a rank did"),
        ("os.getppid()", "rank 0 ended with exit code 255"),  # of what the ranks are copies of: multiprocessing's way to say so
    ],
)
def test_when_the_launcher_or_a_part_of_it_is_killed_the_ranks_end(worker, living, whom, words):
    path = worker(f"dist.barrier()\nif ranks.rank == 0:\n    os.kill({whom}, signal.SIGKILL)\ntime.sleep(1000)")
    error = in_time(lambda: distributed.launch(path))
    assert words in str(error)
