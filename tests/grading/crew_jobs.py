"""What the processes of a crew do in test_crew.py; a module of its own, since they import it afresh."""

import contextlib
import os
import signal
import sys
import time

from grading import crew


@contextlib.contextmanager
def working():
    yield work


def work(job):
    if job == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "leaves":
        os._exit(3)
    if job == "raises":
        raise RecursionError("too deep")
    if job == "hangs":
        time.sleep(600)
    return job.upper()


@contextlib.contextmanager
def refusing():
    raise ValueError("the gradebook does not fit")
    yield


if __name__ == "__main__":  # a crew to be killed from outside
    for _ in crew.run(["fine", "hangs", "hangs"], working, 2, patience=600):
        print("begun", flush=True)
    sys.exit("the crew came to an end by itself")
