"""Runs one submission in its kernel and finds what it earned: three passes, of which only the first one shows anything.

A. The learner's notebook from top to bottom, with the test cells as they were released. Its outputs are kept, and as the
   hidden tests are nowhere in the kernel yet, no output can hold them.
B. The full test cells, with the hidden tests. All that is taken from the kernel is which checks passed.
C. The judge: inputs go in, answers come out, and are compared outside the kernel.

A check counts when it passed in B and the judge agrees. Code beside the tests can forge B; what it forges is worth nothing.
"""

import ast
from dataclasses import dataclass

from nbformat.v4 import new_output

from grading import questions

LONGEST = 100_000  # characters of a list of results; honest ones have some 500
PATIENCE = 4  # after a cell ran out of time, the others get a quarter: an endless loop is often called by several


@dataclass(frozen=True)
class Question:
    """What a test cell gave. failed: the texts of the checks that were not passed."""

    points: float
    maximum: float
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Tests:
    """The test cells of an exercise: {test cell: source} as they were released, and with the hidden tests."""

    released: dict
    full: dict


class Passes:
    """The three passes of one submission, in a kernel that has not run anything yet."""

    def __init__(self, kernel, tests, judge=None, expected=None):
        self._kernel, self._tests, self._judge, self._expected = kernel, tests, judge, expected
        self._cell = kernel.limits.cell
        self._shown = {}  # {test cell: {check: why the released test fails}}
        self.late = []  # the names of the cells that ran out of time
        self.flags = []
        self.questions = {}
        self.measured = {}  # {name: number} that the judge measured, of checks that count

    def run(self, notebook):
        """Run all three and put the outputs into the cells. Raises KernelEnded when there is no kernel left to ask."""
        for cell in notebook.cells:
            if cell.cell_type == "code":
                self._run_cell(cell, name_of(cell))
        passed = {test: self._passed(test) for test in self._tests.full}
        verdicts = self._verdicts()
        for cell in notebook.cells:
            if name_of(cell) in passed:
                self._score(cell, name_of(cell), passed[name_of(cell)], verdicts)
        measured = self._judge.measured if self._judge else {}
        self.measured = {name: number for name, (test, check, number) in measured.items() if check in passed[test]}

    def _run_cell(self, cell, name):
        test = name in self._tests.released
        source = self._tests.released[name] if test else cell.source
        ran = self._timed(source, name or "a cell", {"problems": "check.problems"} if test else {})
        cell.execution_count, cell.outputs = ran.execution_count, ran.outputs
        if test:
            self._shown[name] = _reasons(ran, questions.worth(source))

    def _timed(self, source, name, expressions, quiet=False):
        ran = self._kernel.run(source, timeout=self._cell, expressions=expressions, quiet=quiet)
        if ran.timed_out:
            self.late.append(name)
            self._cell = self._kernel.limits.cell / PATIENCE
        return ran

    def _passed(self, test):
        """The texts of the checks that passed, as far as the kernel can be believed."""
        worth = questions.worth(self._tests.full[test])
        if test in self.late:
            return set()
        # A cell that fails before its first check must not be given the results of the one before.
        ran = self._timed(f"check = None\n{self._tests.full[test]}", test, {"results": "check.results"}, quiet=True)
        results = _results(ran.values["results"])
        claimed = sum(points for _, points, passed in results if passed)
        passed = {what for what, _, passed in results if passed} & set(worth)
        if claimed > sum(worth[what] for what in passed):
            self.flags.append(f"{test}: claims {claimed:g} points, more than its checks give")
        if not ran.error and not ran.timed_out and {what for what, _, _ in results} != set(worth):
            self.flags.append(f"{test}: its checks were tampered with, not all of them can be found")
        return passed

    def _verdicts(self):
        """{test cell: {check: None where the judge agrees, else why not}}; a check that it does not know is not in it."""
        if self._judge is None:
            return {}
        return self._judge.verdicts(self._kernel, self._expected, skip=self.late)

    def _score(self, cell, test, passed, verdicts):
        worth, points, lines, failed, forged = questions.worth(self._tests.full[test]), 0, [], [], []
        for what, value in worth.items():
            verdict = verdicts.get(test, {}).get(what)
            if what in passed and verdict is None:
                points += value
                lines.append(f"passed  ({value} of {value})  {what}")
                continue
            failed.append(what)
            why = "ran out of time" if test in self.late else self._shown.get(test, {}).get(what)
            lines.append(f"not yet (0 of {value})  {what}: {why or 'fails a test that you cannot see'}")
            if what in passed:
                forged.append(f"{what} ({verdict})")
        if forged:
            self.flags.append(f"{test}: passes its tests but not the judge: {'; '.join(forged)}")
        self.questions[test] = Question(float(points), float(sum(worth.values())), tuple(failed))
        cell.outputs = [
            new_output("stream", name="stdout", text="\n".join(lines) + "\n"),
            # nbgrader reads the score of a cell from its value.
            new_output("execute_result", data={"text/plain": f"{points:g}"}, execution_count=cell.execution_count),
        ]


def name_of(cell):
    """The name by which nbgrader knows a cell, "" for the learner's own."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _results(text):
    """[(what, points, passed)] out of a kernel's claim; what is not of this kind is left out."""
    items = _plain_list(text)
    sound = [item for item in items if isinstance(item, tuple) and len(item) == 3 and isinstance(item[0], str)]
    return [item for item in sound if isinstance(item[1], int | float) and isinstance(item[2], bool)]


def _reasons(ran, worth):
    """{check: why it fails}, in the words of the released test, for the checks that failed or were not reached."""
    problems = [problem for problem in _plain_list(ran.values["problems"]) if isinstance(problem, str)]
    found = {
        what: problem.removeprefix(f"{what}: ") for what in worth for problem in problems if problem.startswith(f"{what}: ")
    }
    if ran.error and ran.error[0] != "AssertionError":  # an AssertionError sums up checks that all failed
        found = dict.fromkeys(worth, f"the test stopped: {': '.join(ran.error)}") | found
    return {what: why[:1000] for what, why in found.items()}


def _plain_list(text):
    try:
        value = ast.literal_eval(text) if text and len(text) < LONGEST else []
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return []
    return value if isinstance(value, list) else []
