"""Hostile and broken submissions as data: what each is, what it may keep of the points, and what the teacher has to be told.

MARK is in whatever an attack leaves behind, BREACH in what one prints that got through; neither may be found afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from submitting import answered, hand_in, released, solutions

EXERCISE = "01_measuring"  # needs no torch, so that a kernel starts in a second
MAXIMUM = 14
MARK = "attack-8461"
CANARY = "canary-27182"  # the test plants it in hidden tests and solutions; the attacks look for it
BREACH = "BREACH" + ": "  # in two parts, as the attacks write it, so that their source is no find
PRELUDE = 'def report(what):\n    print("BRE" + "ACH: " + str(what)[:3000], flush=True)'

DENIED = "not the judge|not graded"  # the score made beside the tests was not believed
REACHES = "reaches into the grader"
ENDED = "not graded"
LATE = "out of time|not graded"


@dataclass(frozen=True)
class Attack:
    """One submission, named after its student's folder.

    content: the notebook, its raw text or bytes, or a function that is given the empty exercise folder; least, most:
    the points it has to end between; flag: a pattern one of its flags has to match, "" where none is needed.
    """

    student: str
    content: NotebookNode | str | bytes | Callable[[Path], None]
    most: float = 0
    least: float = 0
    flag: str = ""


HOLLOW = {
    "answer_paired_ratio": "def paired_ratio(baseline, variant):\n    return 1.0",
    "answer_bootstrap_interval": "def bootstrap_interval(values, rng, resamples=2000, level=0.95):\n    return 0.0, 0.0",
    "answer_time_device": "def time_device(fn, synchronize, clock, warmup=3, repeats=5):\n    return [1.0] * repeats",
    "answer_best_batch": "def best_batch(seconds_per_batch, limit):\n    return 1, 1.0",
    "answer_roofline": "def matmul_cost(*sizes):\n    return 1, 1\n\ndef roofline(*bill):\n    return 1.0, 'memory'",
}  # they return the right kinds of things, never the right ones: worth nothing


def blank(*cells):
    return extended(released(EXERCISE), cells)


def hollow(*cells, **answers):
    return extended(answered(EXERCISE, HOLLOW | answers), cells)


def right(*cells, **answers):
    """The course's own answers, others where they are named: answer_x=..."""
    return extended(answered(EXERCISE, solutions(EXERCISE) | answers), cells)


def extended(notebook, cells):
    """With code cells after the one that imports; `report` is there for those that get through."""
    if cells:
        notebook.cells[2:2] = [nbformat.v4.new_code_cell(source) for source in (PRELUDE, *cells)]
    return notebook


def write(attack, folder, **places):
    """Hand the attack in under folder/submitted/; @NAME@ in its text becomes places["NAME"]."""
    path = hand_in(folder, attack.student, EXERCISE, "")
    if callable(attack.content):
        path.unlink()
        attack.content(path.parent)
        return
    content = attack.content if isinstance(attack.content, str | bytes) else nbformat.writes(attack.content)
    content = content.encode() if isinstance(content, str) else content
    for name, place in places.items():
        content = content.replace(f"@{name}@".encode(), str(place).encode())
    path.write_bytes(content)
