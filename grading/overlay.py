"""Secret tests: an instructor's folder of solutions with more hidden tests, which is laid over those of the course.

<overlay>/<exercise>/<exercise>.ipynb is a private copy of the solution, <overlay>/<exercise>/judge.py, where it is
there, takes the place of the course's judge. Neither may change what learners get.
"""

import difflib
import shutil
from pathlib import Path

import nbformat

from grading.release import SOLUTIONS, exercise_names, release

JUDGE = "judge.py"


def lay(overlay, work, exercises, solutions=None):
    """The folder of solutions to grade `exercises` with: those of the course, under what `overlay` has of its own.

    work: an empty folder for it. Raises ValueError, before any grading, when the overlay holds what is no exercise, or
    would release an exercise otherwise than the course does; it names the cell.
    """
    overlay, work, solutions = Path(overlay), Path(work), Path(solutions or SOLUTIONS)
    over = _exercises_of(overlay, exercise_names(solutions))
    laid = work / "solutions"
    for name in sorted({*exercises, *over}):
        (laid / name).mkdir(parents=True)
        for file in (f"{name}.ipynb", JUDGE):
            own = overlay / name / file
            source = own if own.is_file() else solutions / name / file
            if source.is_file():
                shutil.copyfile(source, laid / name / file)
    changed = [name for name in over if (overlay / name / f"{name}.ipynb").is_file()]
    release(work / "public", exercises=changed, solutions=solutions)
    release(work / "private", exercises=changed, solutions=laid)
    for name in changed:
        _must_be_equal(name, work, overlay)
    return laid


def _exercises_of(overlay, known):
    if not overlay.is_dir():
        raise ValueError(f"overlay: {overlay} is no folder; it is one that holds <exercise>/<exercise>.ipynb")
    folders = sorted(path for path in overlay.iterdir() if not path.name.startswith("."))
    for path in folders:
        if path.is_dir() and path.name not in known:
            close = difflib.get_close_matches(path.name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the exercises are {', '.join(known)}"
            raise ValueError(f"overlay: {path}: there is no exercise called {path.name}: {hint}")
        if path.is_dir() and not {f"{path.name}.ipynb", JUDGE} & {file.name for file in path.iterdir()}:
            raise ValueError(f"overlay: {path} holds neither {path.name}.ipynb nor {JUDGE}")
        if path.suffix == ".ipynb":
            raise ValueError(f"overlay: {path} lies in the wrong place: it belongs into a folder, {path.stem}/{path.name}")
    over = [path.name for path in folders if path.is_dir()]
    if not over:
        raise ValueError(f"overlay: {overlay} is empty; it holds <exercise>/<exercise>.ipynb")
    return over


def _must_be_equal(name, work, overlay):
    """Raise ValueError naming the first cell that learners would get otherwise than they have it."""
    public, private = (
        nbformat.read(work / kind / name / f"{name}.ipynb", as_version=4).cells for kind in ("public", "private")
    )
    where = f"overlay: {overlay / name / f'{name}.ipynb'}"
    for number, (theirs, ours) in enumerate(zip(public, private, strict=False), 1):
        cell = theirs.metadata.get("nbgrader", {}).get("grade_id") or f"number {number}"
        if theirs.source != ours.source:
            raise ValueError(f"{where}: the cell {cell} {_difference(theirs.source, ours.source)}. {RULE}")
        if theirs.cell_type != ours.cell_type or _mark(theirs) != _mark(ours):
            raise ValueError(f"{where}: the cell {cell} has another type, name or number of points than the exercise. {RULE}")
    if len(public) != len(private):
        raise ValueError(f"{where} has {len(private)} cells, the exercise {len(public)}. {RULE}")


RULE = "Only what stands between ### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS may differ, without blank lines outside"


def _mark(cell):
    return {key: value for key, value in cell.metadata.get("nbgrader", {}).items() if key != "checksum"}


def _difference(public, private):
    """In words, the first line in which two releases of a cell differ."""
    for theirs, ours in zip(public.splitlines(), private.splitlines(), strict=False):
        if theirs != ours:
            return f"would be released with {ours.strip()!r} in place of {theirs.strip()!r}"
    longer, what = max((public, "without"), (private, "with"), key=lambda pair: len(pair[0].splitlines()))
    extra = longer.splitlines()[min(len(public.splitlines()), len(private.splitlines())) :]
    return f"would be released {what} {(extra or ['another end of line'])[0].strip()!r} at its end"
