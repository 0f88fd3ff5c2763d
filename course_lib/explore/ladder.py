"""The ladder of lesson 90: a rung a technique, drawn as a waterfall, and the stack that a learner builds from boxes.

Every bar was recorded. A stack whose combination is not in the records is said to be missing: none is computed.
"""

import statistics
from collections.abc import Sequence

import ipywidgets as widgets

from course_lib import records

from . import points as pts
from .figures import Picture, encoded
from .labels import amount, number, span
from .palette import BLUE, GREY, VERMILION
from .pieces import LabelledImage, guarded
from .tables import Table

RUNG, STACK = "ladder", "combination"
GAINED, HINDERED = BLUE, VERMILION


def ladder_figure(lesson: str, task: str = "images") -> Picture:
    """The recorded ladder of one task as a plain figure: time to target of each rung, and what became of the rung.

    Shows the learner's own records, else the first shipped reference. A bar is the median over the seeds, its whisker the
    95 % interval of the median. Hatched: a technique that was taken out again, so that the next rung builds on those
    before it. Without records the figure holds a sentence that says so.
    """
    source = _source(lesson)
    found = [r for r in source.results if r.variant == RUNG and r.knobs.get("task") == task] if source else []
    picture = Picture(8.6, 1.2 + 0.42 * max(len(found), 1))
    if not found:
        picture.message(f"No ladder of {task} is recorded in {lesson} yet. Run the cells above, then this one again.")
        return picture
    rungs = sorted(found, key=lambda result: result.knobs["rung"])
    stays = [result.median("kept") == 1 for result in rungs]
    bars = [
        (result.knobs["step"].replace("_", " ") + ("" if kept else ", taken out"), result)
        for result, kept in zip(rungs, stays, strict=True)
    ]
    _waterfall(picture, bars, stays, f"{task}: {source.label(rungs)}")
    return picture


def techniques(results: Sequence[records.Result]) -> list[str]:
    """The techniques that the recorded combinations are made of, in the order in which they were recorded."""
    return list(dict.fromkeys(name for result in results if result.variant == STACK for name in result.knobs))


def stacking_figure(lesson: str, order: Sequence[str] = ()) -> Picture:
    """A stack as a plain figure: the baseline, then each technique of `order` on top of those before it, as measured.

    On the right, what every other technique would make of the whole stack as the next one. Shows the learner's own
    records, else the first shipped reference. Raises ValueError for a technique that was not recorded, or is named twice;
    without records the figure holds a sentence that says so.
    """
    return _Stack(lesson).picture(order)


def stacking(lesson: str) -> "Stacking":
    """The explorer of the order of stacking, as a widget: make it the last expression of a cell.

    The boxes are stacked in the order in which they are ticked. `stacking_figure` draws the same without widgets.
    """
    return Stacking(lesson)


class Stacking(widgets.VBox):
    """What `stacking` returns: `boxes` by name, `clear`, and under them `picture`, `table` and `note` (errors)."""

    def __init__(self, lesson: str):
        self._stack, self.order = _Stack(lesson), []
        self.boxes = {
            name: widgets.Checkbox(description=name.replace("_", " "), value=False, indent=False, layout={"width": "auto"})
            for name in self._stack.names
        }
        self.clear = widgets.Button(description="start again", tooltip="Take everything out of the stack")
        self.picture, self.table, self.note = LabelledImage(), widgets.HTML(), widgets.HTML()
        self.table.add_class("jp-RenderedHTMLCommon")  # JupyterLab's own look of tables
        row = widgets.HBox([*self.boxes.values(), self.clear], layout={"flex_flow": "row wrap", "grid_gap": "0 14px"})
        super().__init__([row, self.note, self.picture, self.table])
        self.add_class("course-stacking")
        for name, box in self.boxes.items():
            box.observe(guarded(self.note, lambda change, name=name: self._ticked(name, change["new"])), names="value")
        self.clear.on_click(lambda button: self._empty())
        self._show()  # not guarded: what goes wrong here is the cell's own error

    def __repr__(self) -> str:
        return f"The order of stacking. {self.picture.tooltip}"

    def _ticked(self, name: str, on: bool) -> None:
        self.order = [other for other in self.order if other != name] + ([name] if on else [])
        self._show()

    def _empty(self) -> None:
        for box in self.boxes.values():
            box.value = False

    def _show(self) -> None:
        picture = self._stack.picture(self.order)
        picture.canvas.draw()
        self.picture.show(encoded(picture.canvas), picture.alt)
        self.table.value = self._stack.table(self.order)


class _Stack:
    """The recorded combinations of one source, looked up by the set of techniques that are on."""

    def __init__(self, lesson: str):
        self.lesson, self._source = lesson, _source(lesson)
        results = self._source.results if self._source else ()
        self.names = techniques(results)
        self._found = {frozenset(n for n, on in r.knobs.items() if on): r for r in results if r.variant == STACK}

    def picture(self, order: Sequence[str]) -> Picture:
        picture = Picture(9.6, 1.2 + 0.42 * (1 + max(len(self.names), len(order))))
        if not self._found:
            picture.message(f"No combination is recorded in {self.lesson} yet. Run the cells above, then this one again.")
            return picture
        self._check(order)
        sets = [frozenset(order[:n]) for n in range(len(order) + 1)]
        missing = [chosen for chosen in sets if chosen not in self._found]
        if missing:
            picture.message(f"Not recorded, and not computed from its parts: {_said(missing[0])}.")
            return picture
        left, right = picture.subplots(1, 2, width_ratios=(3, 2))
        names = ["baseline", *(name.replace("_", " ") for name in order)]
        title = self._source.label(self._found[chosen] for chosen in sets)
        bars = list(zip(names, (self._found[chosen] for chosen in sets), strict=True))
        _draw_bars(left, bars, [True] * len(sets))
        spoken = self._next(right, sets[-1])
        picture.suptitle(title, fontsize=9)
        picture.alt = f"{title}. {_told(bars)} {spoken}"
        return picture

    def table(self, order: Sequence[str]) -> str:
        """The stack as HTML, a row a technique: time to target, the run, accuracy; "" when it cannot be drawn."""
        sets = [frozenset(order[:n]) for n in range(len(order) + 1)]
        if any(chosen not in self._found for chosen in sets):
            return ""
        rows = []
        for name, chosen in zip(["baseline", *order], sets, strict=True):
            result = self._found[chosen]
            cells = [_cell(result, metric) for metric in ("time_to_target", "run", "accuracy")]
            rows.append([name.replace("_", " "), *cells])
        caption = "Each row on top of those above it. Medians over the seeds with 95 % intervals."
        return Table(["technique", "time to target", "whole run", "accuracy"], rows, caption)._repr_html_()

    def _check(self, order: Sequence[str]) -> None:
        for name in order:
            if name not in self.names:
                raise ValueError(f"order: {name!r} is not allowed; recorded are {', '.join(self.names)}")
        if len(set(order)) < len(order):
            raise ValueError(f"order: {list(order)} names a technique twice; each one can be stacked once")

    def _next(self, ax, chosen: frozenset) -> str:
        """Draw how many times as fast each technique that is left would make the stack; the same in words."""
        now = self._found[chosen].median("time_to_target")
        left = [name for name in self.names if name not in chosen and chosen | {name} in self._found]
        factors = [now / self._found[chosen | {name}].median("time_to_target") for name in left]
        ax.set_title("as the next one: times as fast to the target", fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
        if not left:
            ax.axis("off")
            return "Nothing is left to stack."
        words = [name.replace("_", " ") for name in left]
        ax.barh(words, factors, color=[_side(factor) for factor in factors], height=0.6)
        ax.axvline(1, color="black", lw=0.8)
        for row, factor in enumerate(factors):
            ax.text(factor, row, f" {number(factor)}", va="center", fontsize=8)
        ax.set_xlim(0, 1.2 * max(*factors, 1.0))
        ax.tick_params(labelsize=8)
        ax.set_ylim(max(len(left), 3) - 0.5, -0.5)  # a single bar stays a bar
        said = [f"{word} {number(factor)} times" for word, factor in zip(words, factors, strict=True)]
        return f"As the next one: {', '.join(said)}."


def _side(factor: float) -> str:
    """The colour of a factor; grey when it rounds to none."""
    return GREY if abs(factor - 1) < 0.005 else GAINED if factor > 1 else HINDERED


def _source(lesson: str) -> pts.Source | None:
    own, beside = pts.sources(lesson)
    return own or next(iter(beside), None)


def _waterfall(picture: Picture, bars: Sequence[tuple[str, records.Result]], stays: Sequence[bool], title: str) -> None:
    ax = picture.add_subplot()
    _draw_bars(ax, bars, stays)
    ax.set_title(title, fontsize=9)
    picture.alt = f"{title}. {_told(bars)}"


def _draw_bars(ax, bars: Sequence[tuple[str, records.Result]], stays: Sequence[bool]) -> None:
    """One bar a rung, and between a rung and the last one that stayed the seconds won (blue) or lost (vermilion)."""
    kept_ones = [
        pts.interval(result.values["time_to_target"])[1] for (_, result), kept in zip(bars, stays, strict=True) if kept
    ]
    limit = 2 * max(kept_ones)  # what was taken out may be out of all proportion: its bar is cut, its number stands there
    before = None
    for row, ((_, result), kept) in enumerate(zip(bars, stays, strict=True)):
        values = result.values["time_to_target"]
        middle, (low, high) = statistics.median(values), pts.interval(values)
        ax.barh(
            row, middle, height=0.62, color=BLUE if kept else "white", edgecolor=BLUE, hatch="" if kept else "///", alpha=0.85
        )
        if before is not None and before > middle:
            ax.barh(row, before - middle, left=middle, height=0.62, color="#BFD9EA")
        if before is not None and before < middle:
            ax.barh(row, middle - before, left=before, height=0.12, color=HINDERED)
        ax.errorbar(middle, row, xerr=[[middle - low], [high - middle]], color="black", capsize=3, lw=0.9)
        factor = "" if before is None else f", {number(before / middle)} times"
        cut = max(middle, high) > 0.7 * limit
        place, side = (limit, "right") if cut else (max(middle, high, before or 0), "left")
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1} if cut else None
        said = f" {amount(middle, 's')}{factor}{' (cut)' if max(middle, high) > limit else ''}"
        ax.text(place, row, said, va="center", ha=side, fontsize=8, bbox=box)
        before = middle if kept else before
    ax.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=8)
    ax.set_xlim(0, limit)
    ax.set_xlabel("time to target, s (lower is better)", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.invert_yaxis()


def _told(bars: Sequence[tuple[str, records.Result]]) -> str:
    said = [f"{name} {amount(result.median('time_to_target'), 's')}" for name, result in bars]
    return f"Time to target, rung by rung: {'; '.join(said)}."


def _cell(result: records.Result, metric: str) -> str:
    if metric not in result.values:
        return "-"
    return span(result.median(metric), *pts.interval(result.values[metric]), result.units[metric])


def _said(chosen: frozenset) -> str:
    return " with ".join(sorted(name.replace("_", " ") for name in chosen)) or "the baseline"
