"""From records to the points of a trade-off: which results, which axes, which of them nothing beats."""

import functools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from course_lib import measure, records

from .labels import data_name, falls, machine_name, words


def pareto(points: Sequence[Sequence[float]], minimise: Sequence[bool]) -> list[int]:
    """Indices of the points that no other point beats, ordered by the first coordinate.

    `points` is (N, D); `minimise` has D flags, True where less is better. One point beats another when it is at least
    as good in every coordinate and better in one; equal points do not beat each other. Raises ValueError on a wrong
    shape or a number that is not finite.
    """
    minimise = list(minimise)
    if len(points) == 0:
        return []
    values = np.asarray(points, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(minimise):
        raise ValueError(f"points: shape {values.shape} is not allowed; it is (N, {len(minimise)}), as minimise says")
    if not np.isfinite(values).all():
        raise ValueError("points: a number in it is not finite; all of them are finite numbers")
    costs = np.where(minimise, values, -values)
    no_worse = (costs[:, None] <= costs[None]).all(-1)
    better = (costs[:, None] < costs[None]).any(-1)
    beaten = (no_worse & better).any(0)
    return sorted(np.flatnonzero(~beaten).tolist(), key=lambda index: tuple(values[index]))


@dataclass(frozen=True)
class Source:
    """The results of some lessons from one machine. `own`: the learner's, on the machine used last; `origin`: in words."""

    results: tuple[records.Result, ...]
    own: bool
    origin: str

    def label(self, results: Iterable[records.Result]) -> str:
        """Where some of its results come from: machine, then data."""
        data = data_name(results)
        return f"{self.origin}; data: {data}" if data else self.origin


def sources(*lessons: str) -> tuple[Source | None, list[Source]]:
    """The learner's own results of these lessons (on the machine used last; None without any), and what to hold beside.

    That are the shipped references, and the learner's results on other machines.
    """
    groups: dict[str, list[records.Result]] = {}
    for result in records.my_store().read():
        if result.lesson in lessons:
            slug = records.machine_slug(result.machine)
            groups[slug] = [*groups.pop(slug, []), result]  # re-inserted, so that the machine used last comes last
    own = groups.popitem()[1] if groups else None
    shipped = [[r for r in results if r.lesson in lessons] for results in records.references().values()]
    beside = [_source(results, f"recorded on {machine_name(results[-1].machine)}") for results in shipped if results]
    beside += [_source(r, f"measured earlier on your {machine_name(r[-1].machine)}") for r in groups.values()]
    if own is None:
        return None, beside
    return _source(own, f"measured on yours ({machine_name(own[-1].machine)})", own=True), beside


def _source(results: Iterable[records.Result], origin: str, own: bool = False) -> Source:
    return Source(tuple(records.latest(results)), own, origin)


@dataclass(frozen=True)
class Axis:
    """One axis of the picture: a metric, or a knob with numbers (which has no better direction)."""

    name: str
    unit: str
    knob: bool

    @property
    def minimise(self) -> bool:
        """Whether less is better; meaningless for a knob."""
        return falls(self.name, self.unit)

    @property
    def label(self) -> str:
        """Name, unit and the better direction."""
        unit = f" ({self.unit})" if self.unit else ""
        better = "" if self.knob else f", {'lower' if self.minimise else 'higher'} is better"
        return words(self.name) + unit + better

    def values(self, result: records.Result) -> tuple[float, ...]:
        """The result's values on this axis; empty when it has none in the axis's unit."""
        if self.knob:
            return (float(result.knobs[self.name]),) if self.name in result.knobs else ()
        return result.values[self.name] if result.units.get(self.name) == self.unit else ()


def axes(results: Iterable[records.Result]) -> dict[str, Axis]:
    """The axes that results offer: every metric, then every knob whose values are all numbers."""
    found: dict[str, Axis] = {}
    numeric: dict[str, bool] = {}
    for result in results:
        found |= {name: Axis(name, unit, knob=False) for name, unit in result.units.items()}
        for name, value in result.knobs.items():
            numeric[name] = numeric.get(name, True) and isinstance(value, int | float) and not isinstance(value, bool)
    knobs = {name: Axis(name, "", knob=True) for name, is_number in numeric.items() if is_number and name not in found}
    return found | knobs


def knob_values(results: Iterable[records.Result], knob: str) -> list:
    """The recorded values of a knob, numbers in order and then words."""
    found = dict.fromkeys(result.knobs[knob] for result in results if knob in result.knobs)
    return sorted(found, key=_numbers_first)


def _numbers_first(value) -> tuple:
    return isinstance(value, str), 0 if value is None else value


@dataclass(frozen=True)
class Point:
    """One result in the picture: medians of its repeats with the 95 % intervals of those medians."""

    result: records.Result
    series: str
    at: bool | int | float | str | None
    x: float
    y: float
    x_interval: tuple[float, float]
    y_interval: tuple[float, float]


def points(results: Sequence[records.Result], x: Axis, y: Axis, knob: str) -> list[Point]:
    """The results that have both axes. A series is a variant with the other knobs that vary; `at` is its knob value."""
    drawn = [result for result in results if x.values(result) and y.values(result)]
    drawn.sort(key=lambda result: _numbers_first(result.knobs.get(knob)))  # so that a line follows its knob
    others = {name for result in drawn for name in result.knobs} - {knob, x.name, y.name}
    absent = object()
    varying = sorted(name for name in others if len({result.knobs.get(name, absent) for result in drawn}) > 1)
    made = []
    for result in drawn:
        extra = [f"{words(name)} {result.knobs[name]}" for name in varying if name in result.knobs]
        xs, ys = x.values(result), y.values(result)
        made.append(
            Point(
                result=result,
                series=", ".join([words(result.variant), *extra]),
                at=result.knobs.get(knob),
                x=statistics.median(xs),
                y=statistics.median(ys),
                x_interval=interval(xs),
                y_interval=interval(ys),
            )
        )
    return made


@functools.lru_cache(maxsize=4096)
def interval(values: tuple[float, ...]) -> tuple[float, float]:
    """The 95 % interval of the median, kept: a slider asks for the same ones again and again."""
    return measure.bootstrap_interval(values)


def front(made: Sequence[Point], x: Axis, y: Axis) -> list[Point]:
    """The Pareto front of one source's points; none when an axis is a knob, which has no better direction."""
    if x.knob or y.knob:
        return []
    return [made[index] for index in pareto([(point.x, point.y) for point in made], [x.minimise, y.minimise])]


def problem(lesson: str, shown: Sequence[Source], x: str, y: str, knob: str) -> str:
    """What stands in the way of a picture, in words for the learner; "" when nothing does."""
    if not shown:
        return f"No records of {lesson} yet. Run the cells above, which store what they measure, then this one again."
    results = [result for source in shown for result in source.results]
    offered = axes(results)
    for name in (x, y):
        if name not in offered:
            return f"No record of {lesson} has {name!r}. The records have: {', '.join(offered)}."
    if not knob_values(results, knob):
        knobs = ", ".join(dict.fromkeys(name for result in results for name in result.knobs)) or "none"
        return f"No record of {lesson} has the knob {knob!r}. The knobs recorded: {knobs}."
    if not any(points(source.results, offered[x], offered[y], knob) for source in shown):
        return f"No single record of {lesson} has both {words(x)} and {words(y)}."
    return ""
