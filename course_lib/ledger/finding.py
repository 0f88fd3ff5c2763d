"""What a claim is, what was found about it, and how records are picked for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from course_lib.intervals import mean_interval
from course_lib.records import Result, latest

HOLDS, FAILS, WRONG, OPEN = "holds", "does not hold here", "wrong as stated", "not decided here"
UNTESTABLE, NOT_RUN = "not testable here", "not run yet"


@dataclass(frozen=True)
class Finding:
    """A verdict, and the figure that it rests on. Verdicts begin with one of the words above, "holds when" or "holds for"."""

    verdict: str
    figure: str


@dataclass(frozen=True)
class Claim:
    """One claim: `lesson` tests it ("" for none), `find` reads a machine's results; None where they are not there."""

    id: str
    says: str
    lesson: str
    find: Callable[[list[Result]], Finding | None]


class Records:
    """The latest results of one machine, to be picked from."""

    def __init__(self, results: Sequence[Result]):
        self._results = latest(results)

    def of(self, lesson: str, variant: str | None = None, **knobs) -> list[Result]:
        """Those of a lesson (its number will do) with this variant and these knobs."""
        return [
            r
            for r in self._results
            if r.lesson.startswith(lesson)
            and variant in (None, r.variant)
            and all(r.knobs.get(name) == value for name, value in knobs.items())
        ]

    def one(self, lesson: str, variant: str | None = None, **knobs) -> Result | None:
        """The one that fits, None where none does."""
        return next(iter(self.of(lesson, variant, **knobs)), None)


def span(values: Sequence[float], form: str = ".2f") -> str:
    """The smallest and the largest of some numbers, in words."""
    low, high = min(values), max(values)
    return f"{low:{form}}" if len(values) == 1 else f"{low:{form}} to {high:{form}}"


def plus_minus(values: Sequence[float], form: str = "+.1f") -> str:
    """The mean with the half width of its 95 % interval."""
    mean, half = mean_interval(values)
    return f"{mean:{form}} ± {half:{form.lstrip('+')}}"


def differences(after: Result, before: Result) -> list[float]:
    """The accuracy of `after` minus that of `before`, seed by seed, in points. Raises ValueError for other numbers of seeds."""
    return [100 * (new - old) for new, old in zip(after.values["accuracy"], before.values["accuracy"], strict=True)]


def where(good: Sequence[str], all_of: int) -> str:
    """The verdict on a claim that held in these of `all_of` cases."""
    if len(good) == all_of:
        return HOLDS
    return f"holds for {'; '.join(good)}" if good else FAILS
