"""What the exercise notebooks share: checks that give partial credit, and a look at what a learner has passed so far."""

import json
from contextlib import contextmanager
from pathlib import Path


class Checks:
    """The checks of one exercise, each worth points of its own, so that half an answer earns half the credit.

        check = Checks()
        with check(1, "the warm-up is left out"):
            assert ...
        check.total()

    A check that fails prints why and lets the next one run. Only Exception is caught, so that an interrupt still stops
    the cell. `results` lists every check that ended, as (what, points, whether it passed).
    """

    def __init__(self):
        self.points = 0
        self.problems = []
        self.results = []

    @contextmanager
    def __call__(self, points, what):
        """Run the block; add `points` when it raises nothing. `what` names the property in words for the learner."""
        try:
            yield
        except Exception as error:
            self.results.append((what, points, False))
            self.problems.append(f"{what}: {_in_words(error)}")
            print(f"not yet (0 of {points})  {self.problems[-1]}")
        else:
            self.results.append((what, points, True))
            self.points += points
            print(f"passed  ({points} of {points})  {what}")

    def total(self):
        """The points earned; the last line of a test cell, which nbgrader reads as its score.

        Raises AssertionError with every message when nothing passed: a cell that fails as a whole is shown
        with its messages by Validate, a cell with partial credit only with its score.
        """
        if self.problems and not self.points:
            raise AssertionError("\n".join(self.problems))
        return self.points


def _in_words(error):
    if isinstance(error, NotImplementedError):
        return "no answer yet"
    if isinstance(error, AssertionError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def passed(folder):
    """How far the learner is: {exercise: (test cells that pass, test cells)}, in the order of the names.

    Reads folder/<exercise>/<exercise>.ipynb and runs nothing. A test cell passes when its stored output is that of
    a run with full marks, so this is the state at the learner's last run and save, for the visible tests alone.
    Raises ValueError naming a notebook that cannot be read.
    """
    notebooks = sorted(Path(folder).glob("*/*.ipynb"))
    return {path.stem: _passed_cells(path) for path in notebooks if path.stem == path.parent.name}


def _passed_cells(path):
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook that can be read ({error}): restore it with git checkout") from None
    tests = [cell for cell in cells if cell["cell_type"] == "code" and _is_test(cell)]
    return sum(_has_full_marks(cell) for cell in tests), len(tests)


def _is_test(cell):
    mark = cell["metadata"].get("nbgrader", {})
    return mark.get("grade", False) and not mark.get("solution", False)


def _has_full_marks(cell):
    """nbgrader's rule: an error or anything on stderr is 0, a number as the last value is the score, else full marks."""
    if cell["execution_count"] is None:
        return False
    for output in cell["outputs"]:
        if output["output_type"] == "error" or output.get("name") == "stderr":
            return False
        if output["output_type"] == "execute_result":
            return float("".join(output["data"]["text/plain"])) >= cell["metadata"]["nbgrader"]["points"]
    return True
