"""Grades a folder in a process of its own and reports on it: `python apart.py FOLDER REPORT [--overlay ...]`.

REPORT becomes JSON: the grades, the seconds, the most memory that all processes held together, and what they left running.
Orphans of the grading become children of this process, so that none can hide by losing its parent.
"""

import argparse
import ctypes
import dataclasses
import json
import threading
import time
from pathlib import Path

import psutil

from grading.batch import grade_folder
from grading.sandbox import Limits

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Memory:
    """The most memory in bytes that this process and its descendants held together, looked at five times a second."""

    def __init__(self):
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self):
        self._done.set()
        self._thread.join()

    def _look(self):
        while not self._done.wait(0.2):
            self.peak = max(self.peak, sum(map(held, [psutil.Process(), *psutil.Process().children(recursive=True)])))


def held(process):
    """Its memory without what it shares with others, so that forks are not counted twice; 0 for one that has ended."""
    try:
        return process.memory_full_info().uss
    except psutil.Error:
        return 0


def commands():
    """The command lines of all descendants that are alive."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--overlay", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limits", type=json.loads, default={})
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    memory, start = Memory(), time.monotonic()
    grades = grade_folder(
        options.folder, workers=options.workers, limits=Limits(**options.limits), over=options.overlay, progress=False
    )
    seconds = time.monotonic() - start
    memory.stop()
    report = {
        "grades": [dataclasses.asdict(grade) for grade in grades],
        "seconds": seconds,
        "peak": memory.peak,
        "left": commands(),
    }
    options.report.write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
