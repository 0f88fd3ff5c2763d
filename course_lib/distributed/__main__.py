"""What a rank of a launch runs: the worker file, in a process that says how it goes and that no one has to look for."""

import faulthandler
import multiprocessing
import os
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from course_lib.distributed import failures, processes, rank


def run_rank(worker: str, *arguments: str) -> None:
    """Run the worker file as the main program of this rank."""
    _settle()
    _meet()
    sys.argv = [worker, *arguments]
    sys.path.insert(0, str(Path(worker).parent))
    try:
        runpy.run_path(worker, run_name="__main__")
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return _finish()
        trace = _trace(error, worker)
        rank.note_failure(error, trace)
        print(trace, file=sys.stderr, flush=True)
        if failures.kind(f"{type(error).__name__}: {error}") != "own":
            time.sleep(1)  # so that the rank at fault ends first, and the others that wait for it have the time to say so
        os._exit(1)  # at once: a group that is taken down in order could wait for the others
    _finish()


def _settle() -> None:
    """Turn this process's output into a file, tie its life to the launch's, and let it say where it is when it is ended."""
    folder = rank.own_folder()
    folder.mkdir(parents=True, exist_ok=True)
    rank.write(folder / "process", lambda path: path.write_text(str(os.getpid())))
    with open(folder / "output", "wb", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    launcher, lifeline = os.getppid(), None
    if multiprocessing.parent_process() is None:
        lifeline = os.dup(0)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)  # a worker that calls input() is told that there is none
    else:  # forked: input is closed, but the group and the state of random numbers are those of the process copied
        os.setsid()
        np.random.seed()
    processes.die_with_parent()

    def end():
        if hasattr(os, "killpg"):  # the launcher made this rank a group of its own, with all that it started
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    processes.end_with(launcher, end, lifeline)
    faulthandler.enable()  # a crash in compiled code leaves its place among the output
    if hasattr(faulthandler, "register"):  # not on Windows
        stack = open(folder / "stack", "w")  # noqa: SIM115  (open for as long as the process lives)
        faulthandler.register(signal.SIGTERM, file=stack, all_threads=False, chain=True)


def _meet() -> None:
    """Wait until all ranks have come so far: beside other work one may import torch many seconds longer than another."""
    attempt, ranks = rank.own_folder().parent, int(os.environ["WORLD_SIZE"])
    while len(list(attempt.glob("rank-*/process"))) < ranks:
        time.sleep(0.02)


def _finish() -> None:
    (rank.own_folder() / "finished").touch()


def _trace(error: BaseException, worker: str) -> str:
    """Return the traceback from the worker file on, without what leads to it."""
    found = traceback.TracebackException.from_exception(error)
    first = next((i for i, frame in enumerate(found.stack) if frame.filename == worker), len(found.stack))
    found.stack = traceback.StackSummary.from_list(found.stack[first:])
    return "".join(found.format()).rstrip()


if __name__ == "__main__":
    run_rank(*sys.argv[1:])
