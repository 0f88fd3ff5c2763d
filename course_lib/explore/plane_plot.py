"""The plane's picture: every smaller model as a point, accuracy against one cost, and the front that nothing beats."""

import re
from collections.abc import Collection, Iterable, Sequence

from matplotlib.lines import Line2D

from course_lib import records

from . import points as pts
from .figures import MarkedPlot, label_axis
from .labels import amount, words
from .palette import BLUE, BROWN, GREEN, GREY, VERMILION

COSTS = ("bytes", "latency_1", "latency_64", "macs")
# How a method's name tells the stages a model went through: "pruned + distilled + int8" is all three.
STAGES = {"prune": r"\b(masked|removed|pruned)\b", "distill": r"\bdistilled\b", "quantize": r"\b(int\d|quantiz|binary|fp8)"}
COLOURS = {"": GREY, "prune": BLUE, "distill": GREEN, "quantize": VERMILION}
COMBINED = BROWN
# What does not look alike; after these come letters.
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "*", "d", (6, 1, 0), (4, 1, 0), r"$\spadesuit$", r"$\clubsuit$", "8")
RING = {"marker": "o", "markersize": 17, "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.6}
COLUMNS = 3  # of the legend
LINE = 0.19  # inches, of the legend


def stages(method: str) -> frozenset[str]:
    """The stages that a method's name tells of: "distilled + int8" -> {"distill", "quantize"}; others have none."""
    return frozenset(stage for stage, told in STAGES.items() if re.search(told, method))


def combined(results: Iterable[records.Result], chosen: Collection[str]) -> list[records.Result]:
    """The results that went through exactly the stages `chosen`; with none of them the unchanged model, method "none"."""
    if not chosen:  # which is not "every model without a stage": a net with cheaper layers is another model
        return [result for result in results if result.knobs["method"] == "none"]
    return [result for result in results if stages(result.knobs["method"]) == set(chosen)]


def combination(chosen: Collection[str]) -> str:
    """A combination of stages in words: "prune + quantize"; without any the base model."""
    return " + ".join(stage for stage in STAGES if stage in chosen) or "no stage (the base model)"


def methods(results: Iterable[records.Result]) -> list[str]:
    """The recorded methods: "none" first, then those of one stage, then combinations, in the order of recording."""
    found = dict.fromkeys(result.knobs["method"] for result in results)
    return sorted(found, key=lambda method: (method != "none", len(stages(method)) > 1))


class PlanePlot(MarkedPlot):
    """`draw` shows the points of some methods, `ring` marks those of one combination of stages.

    `drawn`: what is shown, for each source its points and those of them on its Pareto front. Axes and artists are kept
    and only get new data, and the legend is drawn once: a learner who clicks through the boxes should not have to wait.
    """

    def __init__(self, sources: Sequence[pts.Source]):
        """`sources`: all that may be drawn, so that a method keeps its colour and marker whatever is shown."""
        self._styles = _styles(methods(result for source in sources for result in source.results))
        self._below = 0.75 + LINE * (-(-len(self._styles) // COLUMNS) + 3)  # inches for the axis's label and the legend
        super().__init__(7.6, 3.6 + self._below)

    def clear(self) -> None:
        """Take everything out of the picture."""
        super().clear()
        self.drawn: list[tuple[pts.Source, list[pts.Point], list[pts.Point]]] = []
        self._layers, self._legends, self._backdrop = [], {}, None

    def draw(self, sources: Sequence[pts.Source], cost: str, shown: Collection[str], least: float) -> None:
        """Draw the points of the methods `shown` from the accuracy `least` on, and their fronts; or say what is missing."""
        self.drawn = []
        problem = self._find(sources, cost, shown, least)
        if problem:
            self.clear()
            self.picture.message(problem)
            return
        if not self._layers:
            self._make_axes()
        for layer, own in zip(self._layers, (True, False), strict=True):
            points, front = next(((points, front) for source, points, front in self.drawn if source.own == own), ([], []))
            layer.fill(points, front)
        self._scale([point for _, points, _ in self.drawn for point in points])
        self._name_sources()
        self._lower.set_text(self._below_least)
        self._rest = None

    def ring(self, chosen: Collection[str]) -> None:
        """Ring the drawn points that went through exactly the stages `chosen`, and say so in title and alternative text."""
        if not self.drawn:
            return
        ringed = 0
        for layer in self._layers:
            kept = combined([point.result for point in layer.points], chosen)
            found = [point for point in layer.points if point.result in kept]
            layer.ring.set_data([point.x for point in found], [point.y for point in found])
            ringed += len(found)
        name = combination(chosen)
        self._axes.set_title(f"ringed: {name}" if ringed else f"{name}: no point to ring here", fontsize=10, y=1)
        said = [self._subject(), self._below_least, *map(self._spoken, self.drawn), f"Ringed, {name}: {ringed}."]
        self.picture.alt = " ".join(filter(None, said))

    def draw_rest(self) -> None:
        """As MarkedPlot, with the legends from an earlier draw."""
        if not self._layers:
            super().draw_rest()
            return
        canvas = self.picture.canvas
        if self._backdrop is None:
            self._axes.set_visible(False)
            canvas.draw()
            self._axes.set_visible(True)
            self._backdrop = canvas.copy_from_bbox(self.picture.bbox)
        canvas.restore_region(self._backdrop)
        self.picture.draw_artist(self._axes)

    def _find(self, sources: Sequence[pts.Source], cost: str, shown: Collection[str], least: float) -> str:
        """Fill `drawn`; return what stands in the way of a picture, in words, or ""."""
        offered = pts.axes(result for source in sources for result in source.results)
        missing = [name for name in (cost, "accuracy") if name not in offered]
        if not sources:
            return "No smaller model is recorded yet. Run the measuring cells of this lesson, then this one again."
        if missing:
            return f"No record has {' and '.join(map(words, missing))}: there is nothing to draw on this axis."
        self._x, self._y, lower = offered[cost], offered["accuracy"], 0
        for source in sources:
            results = [result for result in source.results if result.knobs["method"] in shown]
            found = pts.points(results, self._x, self._y, "method")
            points = [point for point in found if point.y >= least]
            lower += len(found) - len(points)
            if points:
                self.drawn.append((source, points, pts.front(points, self._x, self._y)))
        self._below_least = f"Not shown: {lower} below {least:g}." if lower else ""
        return "" if self.drawn else "Nothing recorded fits: choose one or more of the methods, or a lower accuracy."

    def _make_axes(self) -> None:
        self.picture.clear()
        width, height = self.picture.inches
        self.picture.set_size_inches(width, height)
        self.picture.set_layout_engine("none")  # the room is known, and laying out takes longer than drawing
        low, high = self._below / height, 1 - 0.3 / height
        self._axes = self.picture.add_axes((0.75 / width, low, 1 - 1.1 / width, high - low), xscale="log")
        self._axes.minorticks_off()
        self._axes.grid(alpha=0.3)
        self._axes.title.set_animated(True)
        self._lower = self._axes.text(0.99, 0.02, "", transform=self._axes.transAxes, ha="right", fontsize=8, color=GREY)
        self._layers = [_Layer(self._axes, self._styles, own) for own in (True, False)]
        self.moving = [layer.ring for layer in self._layers]
        lines = [Line2D([], [], linestyle="none", label=name, **style) for name, style in self._styles.items()]
        self._legend("methods", LINE * 3 + 0.1, handles=lines, ncols=COLUMNS)

    def _scale(self, points: Sequence[pts.Point]) -> None:
        """Limits with room around the points; labels and ticks."""
        low, high = min(p.x_interval[0] for p in points), max(p.x_interval[1] for p in points)
        room = max((high / low) ** 0.06, 1.05)
        self._axes.set_xlim(low / room, high * room)
        low, high = min(p.y_interval[0] for p in points), max(p.y_interval[1] for p in points)
        room = max(0.06 * (high - low), 0.002)
        self._axes.set_ylim(low - room, high + room)
        label_axis(self._axes.xaxis, self._x, log=True)
        label_axis(self._axes.yaxis, self._y, log=False)

    def _name_sources(self) -> None:
        lines = []
        for source, points, _ in self.drawn:
            kind, dash, fill = ("filled", "-", GREY) if source.own else ("hollow", "--", "white")
            label = f"{kind}: {source.label(point.result for point in points)}"
            lines.append(Line2D([], [], color="black", marker="o", linestyle=dash, markerfacecolor=fill, label=label))
        title = (
            "Lines: Pareto fronts. Bars: 95 % intervals of medians, of fewer than 5 values their range; no bar: a single value."
        )
        self._legend("sources", 0, handles=lines, title=title, title_fontsize=8)

    def _legend(self, name: str, above: float, **what) -> None:
        """Put a legend `above` inches over the lower edge, in the place of the one that had its name."""
        said = [line.get_label() for line in what["handles"]]
        if name in self._legends:
            if self._legends[name][0] == said:
                return
            self._legends[name][1].remove()
        place = (0.5, above / self.picture.inches[1])
        legend = self.picture.legend(loc="lower center", bbox_to_anchor=place, fontsize=8, frameon=False, **what)
        self._legends[name] = said, legend
        self._backdrop = None

    def _subject(self) -> str:
        count = sum(len(points) for _, points, _ in self.drawn)
        return f"{count} models: {self._x.label} (across) against {self._y.label} (up)."

    def _spoken(self, drawn: tuple[pts.Source, list[pts.Point], list[pts.Point]]) -> str:
        source, _, front = drawn
        said = [f"{p.at} ({amount(p.x, self._x.unit)}, {amount(p.y, self._y.unit)})" for p in front]
        return f"On the Pareto front of what was {source.origin}: {', '.join(said)}."


class _Layer:
    """The artists of one source: a line for each method, the intervals, the front, the ring. Hollow marks: not one's own."""

    def __init__(self, axes, styles: dict[str, dict], own: bool):
        self.points: list[pts.Point] = []
        self._front = axes.plot([], [], color="black", linewidth=1.2, linestyle="-" if own else "--", alpha=0.6, zorder=1)[0]
        bars = {"colors": GREY, "linewidth": 0.8, "zorder": 1}
        self._bars = axes.hlines([], [], [], **bars), axes.vlines([], [], [], **bars)
        fill = {} if own else {"markerfacecolor": "white"}
        self._methods = {n: axes.plot([], [], linestyle="none", markersize=7, **s, **fill)[0] for n, s in styles.items()}
        self.ring = axes.plot([], [], linestyle="none", animated=True, zorder=5, **RING)[0]

    def fill(self, points: Sequence[pts.Point], front: Sequence[pts.Point]) -> None:
        self.points = list(points)
        self._front.set_data([point.x for point in front], [point.y for point in front])
        across, up = self._bars
        across.set_segments([[(p.x_interval[0], p.y), (p.x_interval[1], p.y)] for p in points])
        up.set_segments([[(p.x, p.y_interval[0]), (p.x, p.y_interval[1])] for p in points])
        for method, line in self._methods.items():
            chosen = [point for point in points if point.at == method]
            line.set_visible(bool(chosen))
            line.set_data([point.x for point in chosen], [point.y for point in chosen])


def _styles(names: Sequence[str]) -> dict[str, dict]:
    """Colour and marker of each method: the colour tells its stage, the marker it alone."""
    styles = {}
    for index, name in enumerate(names):
        found = stages(name)
        colour = COMBINED if len(found) > 1 else COLOURS["".join(found)]
        styles[name] = {"color": colour, "marker": _marker(index)}
    if "none" in styles:
        styles["none"] = {"color": "black", "marker": "o"}
    return styles


def _marker(index: int) -> str | tuple[int, int, int]:
    return MARKERS[index] if index < len(MARKERS) else rf"$\mathbf{{{chr(ord('a') + (index - len(MARKERS)) % 26)}}}$"
