"""Grading processes side by side: whatever one of them does, the others go on, and none outlives who started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import crew_jobs
import psutil
import pytest
from submitting import ROOT

from grading import crew


def children():
    """The processes of a crew below this one; multiprocessing has a helper of its own, which stays."""
    found = psutil.Process().children()
    return [child for child in found if child.is_running() and "spawn_main" in " ".join(child.cmdline())]


def test_one_that_dies_leaves_raises_or_hangs_stops_no_other():
    jobs = ["a", "dies", "b", "leaves", "raises", "hangs", "c"]
    ended = {job: (result, problem) for job, result, problem in crew.run(jobs, crew_jobs.working, 2, patience=6)}
    assert {job: ended[job] for job in "abc"} == {"a": ("A", None), "b": ("B", None), "c": ("C", None)}
    assert ended["dies"] == (None, "the process that graded it ended (SIGKILL)")
    assert ended["leaves"] == (None, "the process that graded it ended (exit code 3)")
    assert ended["raises"] == (None, "the grader itself failed on it (RecursionError)")
    assert ended["hangs"] == (None, "the process that graded it did not come to an end")
    assert set(ended) == set(jobs) and not children()


def test_a_crew_that_cannot_begin_says_why_and_is_gone():
    with pytest.raises(ValueError, match="the gradebook does not fit"):
        list(crew.run(["a"], crew_jobs.refusing, 1, patience=60))
    assert not children()


def test_a_crew_that_is_given_up_ends():
    running = crew.run(["a", "hangs", "hangs"], crew_jobs.working, 1, patience=600)
    assert next(running) == ("a", "A", None)
    assert children()
    running.close()
    assert not children()


def test_no_process_outlives_a_grading_that_was_killed():
    script = Path(crew_jobs.__file__)
    started = subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    with started:
        assert started.stdout.readline() == b"begun\n"
        below = psutil.Process(started.pid).children(recursive=True)
        started.send_signal(signal.SIGKILL)
    assert below
    assert not psutil.wait_procs(below, timeout=120)[1]


def test_an_unprotected_kernel_ends_with_the_process_that_grades():
    code = "from grading.sandbox import Kernel\nwith Kernel(protected=False):\n print('up', flush=True)\n input()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout.readline() == b"up\n"
        below = psutil.Process(started.pid).children(recursive=True)
        started.send_signal(signal.SIGKILL)
    assert below
    assert not psutil.wait_procs(below, timeout=120)[1]
