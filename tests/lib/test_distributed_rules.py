"""What needs no ranks: bad input, which rank is at fault, when all stand still, and what is counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from course_lib import distributed
from course_lib.distributed import failures, launcher, processes

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
        ({"idle": 0}, ValueError, "idle: 0 is not allowed"),
        ({"idle": None}, ValueError, "idle: None is not allowed"),
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
        # where ranks are forked, only the first code is known
        ({0: (1, LOST)}, {1: -9}, {"stacks": [2]}, [1], "rank 1 was killed by SIGKILL"),
        ({0: (1, WAITED)}, {0: 1}, {"stacks": [1], "finished": [2]}, [1], "rank 1 hung: rank 0 waited in vain"),
        ({}, {0: -15}, {"stacks": [0, 1, 2]}, [0], "rank 0 was killed by SIGTERM"),
    ],
)
def test_the_first_cause_is_told_from_what_followed(tmp_path, notes, codes, more, ranks, words):
    folder = left(tmp_path, notes, codes, **more)
    for number in more.get("stacks", ()):  # rank 0 was asked first
        os.utime(folder / "attempt-0" / f"rank-{number}" / "stack", (number, number))
    error = failures.explained(folder, 3, None)
    assert error.ranks == ranks
    assert words in str(error)


@pytest.mark.parametrize("codes", [{0: -15, 1: -6, 2: -6}, {1: -6}])  # the second: only the first code is known
def test_a_rank_that_nccls_watchdog_ended_has_waited(tmp_path, codes):
    folder = left(tmp_path, {}, codes, stacks=[0])
    for number in (1, 2):
        (folder / "attempt-0" / f"rank-{number}" / "output").write_text(NCCL)
    error = failures.explained(folder, 3, None)
    assert error.ranks == [0]
    assert str(error).startswith("rank 0 hung: ranks 1 and 2 waited in vain")


def test_a_sweep_says_what_it_could_not_end(monkeypatch):
    monkeypatch.setattr(processes, "carriers", lambda launch: iter([10**7]))
    assert processes.sweep("none", seconds=0.1) == [10**7]


# --- when all stand still --------------------------------------------------------------------------------------------


@pytest.fixture
def two_ranks(tmp_path, monkeypatch):
    """Return a function: two ranks have used these seconds of CPU time and printed these bytes; has it been too quiet?"""
    used = {}
    monkeypatch.setattr(processes, "seconds_used", lambda mark: used | {1: 1e6 * len(used)})  # process 1 is the launcher
    for number in (0, 1):
        place = tmp_path / "attempt-0" / f"rank-{number}"
        place.mkdir(parents=True)
    quiet = launcher._Quiet(20.0, 1, "mark", tmp_path, 2)
    start = quiet.since

    def seen(after: float, seconds: dict[int, float], printed: int = 0, begun: int = 2) -> bool:
        for number in range(begun):
            (tmp_path / "attempt-0" / f"rank-{number}" / "process").touch()
        used.clear()
        used.update(seconds)
        return quiet.too_long(start + after, printed)

    return seen


def test_ranks_that_neither_compute_nor_print_are_still(two_ranks):
    assert not two_ranks(2, {7: 3.0, 8: 3.0})
    assert not two_ranks(21, {7: 3.1, 8: 3.1})  # a tenth of a second in 19 s is what waiting costs
    assert two_ranks(23, {7: 3.1, 8: 3.1})


@pytest.mark.parametrize("seconds, printed", [({7: 3.0, 8: 4.0}, 0), ({7: 3.0, 8: 3.0, 9: 1.0}, 0), ({7: 3.0}, 5)])
def test_a_rank_or_a_child_of_one_that_computes_or_prints_is_at_work(two_ranks, seconds, printed):
    two_ranks(2, {7: 3.0, 8: 3.0})
    assert not two_ranks(23, seconds, printed)
    assert not two_ranks(42, seconds, printed)
    assert two_ranks(44, seconds, printed)


def test_ranks_that_have_not_all_begun_are_not_still(two_ranks):
    assert not any(two_ranks(after, {7: 3.0}, begun=1) for after in (2, 25, 50))


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems ask psutil")
def test_the_seconds_of_a_process_are_counted(monkeypatch):
    """A child that computes for half a second, by its own clock, and then waits to be told to end."""
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ninput()"
    environment = {**os.environ, processes.LAUNCH: "this test"}
    with subprocess.Popen(
        [sys.executable, "-c", busy], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        used = processes.seconds_used("this test")
        child.communicate("\n")
    assert list(used) == [child.pid] and 0.4 < used[child.pid] < 2


# --- counting --------------------------------------------------------------------------------------------------------


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
