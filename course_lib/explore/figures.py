"""Pictures: the trade-off, and a prediction beside what was measured.

They are drawn with `matplotlib.figure.Figure` directly: no pyplot, so no backend is chosen and no figure stays open.
The colours are those of `palette`; markers and line styles say the same again.
"""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from course_lib import records

from . import points as pts
from .labels import amount, number, words
from .palette import BLUE, GREY, VERMILION

OWN = {"color": BLUE, "marker": "o"}
BESIDE = {"color": VERMILION, "marker": "s"}
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (9, 3)), (0, (9, 2, 3, 2)))
TICKS = {"s": "s", "bytes": "B", "MACs": ""}


class Picture(Figure):
    """A matplotlib Figure that shows itself in a notebook and carries its own alternative text in `alt`."""

    def __init__(self, width: float, height: float):
        """`width` and `height` in inches, at 100 dots an inch."""
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")
        self.inches = width, height
        FigureCanvasAgg(self)
        self.alt = ""

    def png(self) -> bytes:
        """The picture as PNG bytes."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png(), "text/plain": self.alt}, {"image/png": {"alt": self.alt}}

    def message(self, text: str) -> None:
        """Show a sentence in place of a plot, in a strip as wide as the plot."""
        self.clear()
        self.set_size_inches(self.inches[0], 0.8)
        self.alt = text
        self.text(0.5, 0.5, text, ha="center", va="center", wrap=True, color=GREY)


def tradeoff_figure(lesson: str, *, x: str, y: str, knob: str, at=None, log_x: bool = False, log_y: bool = False) -> Picture:
    """The trade-off of a lesson as a plain figure: metric (or numeric knob) `x` against `y`, for every value of `knob`.

    Shows the learner's own records beside the first shipped reference, each with its Pareto front. `at`: the knob
    value to highlight. Without fitting records the figure holds a sentence that says what is missing.
    """
    plot = TradeoffPlot(lesson, knob)
    own, beside = pts.sources(lesson)
    plot.draw([source for source in (own, *beside[:1]) if source], x, y, log_x, log_y)
    plot.highlight(at)
    return plot.picture


def encoded(canvas: FigureCanvasAgg) -> bytes:
    """What is drawn on the canvas, as PNG bytes, fast.

    Compressed at level 1: a widget's reader waits for the picture, and more saves next to nothing on a plot.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class MarkedPlot:
    """One Picture that is kept, with artists that move over it: its titles, and those in `moving`.

    They are "animated", in matplotlib's word: an ordinary draw leaves them out, `frame` draws them over a copy of the
    rest. Drawing everything for every move of a slider would take some ten times as long.
    """

    def __init__(self, width: float, height: float):
        """`width` and `height` in inches."""
        self.picture = Picture(width, height)
        self.clear()

    def clear(self) -> None:
        """Take everything out of the picture."""
        self.picture.clear()
        self.moving: list[Line2D] = []
        self._rest = None

    def frame(self) -> bytes:
        """The picture as it now stands, as PNG bytes."""
        canvas = self.picture.canvas
        if self._rest is None:
            self.draw_rest()
            self._rest = canvas.copy_from_bbox(self.picture.bbox)
        canvas.restore_region(self._rest)
        for artist in self.moving + [axes.title for axes in self.picture.axes]:
            artist.axes.draw_artist(artist)
        return encoded(canvas)

    def draw_rest(self) -> None:
        """Draw all that does not move onto the canvas."""
        self.picture.canvas.draw()


class TradeoffPlot(MarkedPlot):
    """The picture of the explorer: `draw` lays out axes and points, `highlight` only moves the marks of one knob value."""

    def __init__(self, lesson: str, knob: str):
        super().__init__(7.2, 3.9)  # grows by the lines of the legend
        self._lesson, self._knob = lesson, knob
        self._marks = []

    def draw(self, sources: Sequence[pts.Source], x: str, y: str, log_x: bool, log_y: bool) -> None:
        """Draw everything but the highlight; when that cannot be done, say why in words."""
        self.clear()
        self._marks = []
        self.picture.set_layout_engine("constrained")
        problem = pts.problem(self._lesson, sources, x, y, self._knob)
        if problem:
            self.picture.message(problem)
            return
        offered = pts.axes(result for source in sources for result in source.results)
        self._x, self._y = offered[x], offered[y]
        drawn = [(source, pts.points(source.results, self._x, self._y, self._knob)) for source in sources]
        self._axes = self.picture.add_subplot()
        names = list(dict.fromkeys(point.series for _, points in drawn for point in points))
        for source, points in drawn:
            if points:
                self._draw_source(source, points, names)
        self._finish(names, log_x, log_y)

    def highlight(self, at) -> None:
        """Mark the points whose knob has the value `at` (None: no point), and say so in title and alternative text."""
        if not self._marks:
            return
        spoken = []
        for mark, source, points in self._marks:
            chosen = [point for point in points if at is not None and point.at == at]
            mark.set_data([point.x for point in chosen], [point.y for point in chosen])
            spoken += [f"{source.origin}: {self._spoken(point)}" for point in chosen]
        setting = "" if at is None else f"{words(self._knob)} = {at}"
        self._axes.set_title(setting, fontsize=10)
        self.picture.alt = " ".join([self._subject(), setting and f"Marked: {setting}.", *spoken]).strip()

    def shown(self, at) -> list[tuple[str, list[records.Result]]]:
        """For each source its label, and the drawn results whose knob has the value `at` or that have no such knob."""
        return [
            (_origin(source, points), [point.result for point in points if point.at in (at, None)])
            for _, source, points in self._marks
        ]

    def _draw_source(self, source: pts.Source, points: list[pts.Point], names: list[str]) -> None:
        style = OWN if source.own else BESIDE
        front = pts.front(points, self._x, self._y)
        if len(front) > 1:
            xs, ys = [point.x for point in front], [point.y for point in front]
            self._axes.plot(xs, ys, color=style["color"], linewidth=9, alpha=0.18, solid_capstyle="round")
            self._axes.plot(xs, ys, linestyle="none", color="black", marker="+", markersize=11, zorder=4)
        for index, name in enumerate(names):
            series = [point for point in points if point.series == name]
            if series:
                self._draw_series(series, {**style, "linestyle": DASHES[index % len(DASHES)]})
            if len(series) == 1 and len(names) > 1:  # no line by which the legend could name it
                at, beside = (series[0].x, series[0].y), {"xytext": (6, 5), "textcoords": "offset points"}
                self._axes.annotate(name, at, **beside, fontsize=7, color=GREY)
        big = {"markersize": 13, "markeredgecolor": "black", "linestyle": "none", "zorder": 5}
        self.moving += self._axes.plot([], [], animated=True, **big, **style)
        self._marks.append((self.moving[-1], source, points))

    def _draw_series(self, series: list[pts.Point], style: dict) -> None:
        xs, ys = [point.x for point in series], [point.y for point in series]
        reach = {
            "xerr": [[p.x - p.x_interval[0] for p in series], [p.x_interval[1] - p.x for p in series]],
            "yerr": [[p.y - p.y_interval[0] for p in series], [p.y_interval[1] - p.y for p in series]],
        }
        self._axes.errorbar(xs, ys, **reach, **style, markersize=5, linewidth=1.2, elinewidth=0.8)

    def _finish(self, names: list[str], log_x: bool, log_y: bool) -> None:
        axes = self._axes
        drawn = [point for _, _, points in self._marks for point in points]
        # a logarithmic axis would drop what is not above zero without a word
        log_x, log_y = log_x and all(p.x > 0 for p in drawn), log_y and all(p.y > 0 for p in drawn)
        axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
        label_axis(axes.xaxis, self._x, log_x)
        label_axis(axes.yaxis, self._y, log_y)
        axes.grid(alpha=0.3)
        axes.set_title(" ", animated=True)  # room for the highlighted setting
        lines = []
        for _, source, points in self._marks:
            style = OWN if source.own else BESIDE
            lines.append(Line2D([], [], linestyle="none", label=_origin(source, points), **style))
        if len(names) > 1:
            several = {n for n in names for _, _, points in self._marks if sum(p.series == n for p in points) > 1}
            dashes = {name: DASHES[index % len(DASHES)] for index, name in enumerate(names) if name in several}
            lines += [Line2D([], [], color=GREY, linestyle=dash, label=name) for name, dash in dashes.items()]
        if not (self._x.knob or self._y.knob):
            front = {"linestyle": "none", "color": "black", "marker": "+", "markersize": 9}
            lines.append(Line2D([], [], **front, label="on the Pareto front: no recorded point is better in both"))
        self.picture.set_size_inches(self.picture.inches[0], self.picture.inches[1] + 0.18 * len(lines))
        self.picture.legend(handles=lines, loc="outside lower center", fontsize=8, frameon=False)
        self.picture.draw_without_rendering()  # lay out once; moving the marks must not move the axes
        self.picture.set_layout_engine("none")

    def _subject(self) -> str:
        return f"Trade-off of {self._lesson}: {self._x.label} (across) against {self._y.label} (up)."

    def _spoken(self, point: pts.Point) -> str:
        return f"{point.series}: {amount(point.x, self._x.unit)}, {amount(point.y, self._y.unit)}."


def _origin(source: pts.Source, points: list[pts.Point]) -> str:
    return source.label(point.result for point in points)


def label_axis(side: Axis, axis: pts.Axis, log: bool) -> None:
    """Label and ticks of one side: "200 µs", "20 k", "0.5", rather than powers of ten."""
    side.set_label_text(axis.label)
    if log:
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_minor_formatter(NullFormatter())
    if axis.unit in TICKS or axis.unit.endswith("/s"):
        side.set_major_formatter(EngFormatter(TICKS.get(axis.unit, "")))
    elif log:
        side.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def prediction_figure(guess: float, actual: float, *, unit: str, label: str = "measured") -> Picture:
    """A small picture of a guess (a diamond) beside what was measured (a circle), both on one scale from zero.

    Raises ValueError when one of the two numbers is not finite.
    """
    for name, value in (("guess", guess), ("actual", actual)):
        if not math.isfinite(value):
            raise ValueError(f"{name}: {value!r} is not allowed; it is a finite number")
    picture = Picture(5.6, 1.5)
    axes = picture.add_subplot()
    rows = ((1, guess, {"color": VERMILION, "marker": "D"}), (0, actual, {"color": BLUE, "marker": "o"}))
    for row, value, style in rows:
        axes.hlines(row, 0, value, color=style["color"], linewidth=1.5)
        axes.plot([value], [row], markersize=9, linestyle="none", **style)
        axes.annotate(amount(value, unit), (value, row), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set(yticks=[1, 0], yticklabels=["your prediction", label], ylim=(-0.6, 1.6))
    least, most = min(0, guess, actual), max(0, guess, actual)
    axes.set_xlim(least, most + 0.25 * ((most - least) or 1))  # room for the numbers
    if unit in TICKS:
        axes.xaxis.set_major_formatter(EngFormatter(TICKS[unit]))
    else:
        axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    picture.alt = f"Your prediction: {amount(guess, unit)}; {label}: {amount(actual, unit)}."
    return picture
