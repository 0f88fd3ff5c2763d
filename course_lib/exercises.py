"""What the exercise notebooks share: checks that give partial credit."""

from contextlib import contextmanager


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
