"""The plane that the lessons on smaller models share: all that they recorded, accuracy against what a model costs."""

import html
from collections.abc import Collection, Sequence

import ipywidgets as widgets

from course_lib import records

from . import points as pts
from .figures import Picture
from .labels import words
from .pieces import NOTHING, LabelledImage, guarded
from .plane_plot import COSTS, STAGES, PlanePlot, combination, combined, methods
from .tables import Table, cell, medians, setting

LESSONS = ("40_pruning", "41_quantization", "42_distillation")
COLUMNS = ("accuracy", *COSTS)
STARTS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9)  # where the axis of the accuracy may begin
HEADER = ["model", "lesson", *map(words, COLUMNS)]


def plane(*, x: str = "bytes", least: float = 0.0) -> "Plane":
    """All smaller models that lessons 40 to 42 recorded, as a widget: make it the last expression of a cell.

    `x`: the cost shown first, one of "bytes", "latency_1", "latency_64", "macs"; `least`: the accuracy from which the
    picture begins at first, in [0, 1): models below are counted. Methods are shown or hidden by their boxes; "combine"
    rings what went through exactly these stages, as it was measured: nothing is computed from the parts. `plane_figure`
    draws the same without widgets. Raises ValueError for another `x` or `least`.
    """
    _check(x, least)
    return Plane(x, least)


def plane_figure(*, x: str = "bytes", least: float = 0.0, combine: Collection[str] = ()) -> Picture:
    """The plane as a plain figure: the learner's own records beside the first shipped reference, with their fronts.

    `x`, `least`: as for `plane`. `combine`: stages among "prune", "distill" and "quantize"; the models that went through
    exactly these are ringed, without any the base model. Without records the figure holds a sentence that says so.
    Raises ValueError for another `x`, `least` or stage.
    """
    _check(x, least)
    for stage in combine:
        if stage not in STAGES:
            raise ValueError(f"combine: {stage!r} is not allowed; its stages are {', '.join(STAGES)}")
    own, beside = _sources()
    shown = [source for source in (own, *beside[:1]) if source]
    plot = PlanePlot(shown)
    plot.draw(shown, x, methods(result for source in shown for result in source.results), least)
    plot.ring(combine)
    return plot.picture


class Plane(widgets.VBox):
    """What `plane` returns. `across`, `least` and `beside` choose what is drawn, `methods` and `stages` are boxes by name.

    They change `picture`, `said` (what was recorded of the combination), `table` and `note` (errors).
    """

    def __init__(self, x: str, least: float):
        self._own, self._others = _sources()
        everything = [source for source in (self._own, *self._others) if source]
        self._plot = PlanePlot(everything)
        self._make_controls(x, least, methods(result for source in everything for result in source.results))
        self.picture, self.said, self.table, self.note = LabelledImage(), widgets.HTML(), widgets.HTML(), widgets.HTML()
        for tables in (self.said, self.table):
            tables.add_class("jp-RenderedHTMLCommon")  # JupyterLab's own look of tables
        rows = [
            self._labelled("methods", [*self.methods.values(), self.every]),
            self._labelled("combine", self.stages.values()),
        ]
        super().__init__([self.across, self.least, self.beside, *rows, self.note, self.picture, self.said, self.table])
        self.add_class("course-plane")
        self._setting = False  # True while one button sets many boxes, so that they are drawn once
        lay_out, ring, flip = (guarded(self.note, call) for call in (self._lay_out, self._ring, self._flip))
        for control in (self.across, self.least, self.beside, *self.methods.values()):
            control.observe(lambda change: lay_out(), names="value")
        for box in self.stages.values():
            box.observe(lambda change: ring(), names="value")
        self.every.on_click(lambda button: flip())
        self._lay_out()  # not guarded: what goes wrong here is the cell's own error

    def __repr__(self) -> str:
        return f"Smaller models on one plane. {self._plot.picture.alt}"

    def _make_controls(self, x: str, least: float, names: Sequence[str]) -> None:
        wide = {"style": {"description_width": "110px"}, "layout": {"width": "460px"}}
        self.across = widgets.Dropdown(options=[(words(name), name) for name in COSTS], value=x, description="across", **wide)
        starts = [(f"{start:g}", start) for start in sorted({*STARTS, float(least)})]
        self.least = widgets.SelectionSlider(options=starts, value=float(least), description="accuracy from", **wide)
        others = [*((source.origin, index) for index, source in enumerate(self._others)), ("nothing", NOTHING)]
        self.beside = widgets.Dropdown(options=others, index=0, description="beside yours", **wide)
        self.methods = {name: _box(name, True) for name in names}
        self.stages = {name: _box(name, False) for name in STAGES}
        self.every = widgets.Button(description="all or none", tooltip="Show all methods, or hide all when all are shown")

    def _labelled(self, name: str, boxes: Collection[widgets.Widget]) -> widgets.HBox:
        label = widgets.HTML(f"<div style='width: 110px; padding-right: 8px; text-align: right'>{name}</div>")
        return widgets.HBox([label, widgets.HBox([*boxes], layout={"flex_flow": "row wrap", "grid_gap": "0 14px"})])

    def _flip(self) -> None:
        """Show every method, or none when all are shown."""
        show = not all(box.value for box in self.methods.values())
        self._setting = True
        try:
            for box in self.methods.values():
                box.value = show
        finally:
            self._setting = False
        self._lay_out()

    def _lay_out(self) -> None:
        if self._setting:
            return
        beside = [] if self.beside.value == NOTHING else [self._others[self.beside.value]]
        self._shown = [source for source in (self._own, *beside) if source]
        chosen = [name for name, box in self.methods.items() if box.value]
        self._plot.draw(self._shown, self.across.value, chosen, self.least.value)
        self.table.value = _in_a_box("".join(_drawn_table(*drawn) for drawn in self._plot.drawn))
        self._ring()

    def _ring(self) -> None:
        chosen = [stage for stage, box in self.stages.items() if box.value]
        self._plot.ring(chosen)
        self.picture.show(self._plot.frame(), self._plot.picture.alt)
        self.said.value = _in_a_box("".join(_told(source, chosen) for source in self._shown) + _missing(self._own))


def _box(name: str, value: bool) -> widgets.Checkbox:
    return widgets.Checkbox(description=name, value=value, indent=False, layout={"width": "auto"})


def _check(x: str, least: float) -> None:
    if x not in COSTS:
        raise ValueError(f"x: {x!r} is not allowed; it is one of {', '.join(COSTS)}")
    if not isinstance(least, int | float) or not 0 <= least < 1:
        raise ValueError(f"least: {least!r} is not allowed; it is an accuracy as a share, in [0, 1)")


def _sources() -> tuple[pts.Source | None, list[pts.Source]]:
    """As `points.sources`, with the results alone that name their method; a source without any is left out."""
    own, beside = pts.sources(*LESSONS)
    kept = [_smaller(source) for source in (own, *beside) if source]
    found = [source for source in kept if source.results]
    return next((source for source in found if source.own), None), [source for source in found if not source.own]


def _smaller(source: pts.Source) -> pts.Source:
    return pts.Source(tuple(result for result in source.results if "method" in result.knobs), source.own, source.origin)


def _told(source: pts.Source, chosen: Collection[str]) -> str:
    """What was recorded of a combination of stages, a row a model; or that it was not, and what was."""
    name, found = combination(chosen), combined(source.results, chosen)
    if found:
        return Table(HEADER, [_row(result) for result in found], f"Ringed: {name}, {source.origin}.")._repr_html_()
    recorded = ", ".join(methods(source.results))
    return _paragraph(f"{name}, {source.origin}: not recorded, and not computed from its parts. Recorded: {recorded}.")


def _missing(own: pts.Source | None) -> str:
    """Which lessons have nothing of the learner's on the plane yet, in a sentence; "" when all have."""
    present = {result.lesson for result in own.results} if own else set()
    absent = [lesson for lesson in LESSONS if lesson not in present]
    return _paragraph(f"Nothing of yours yet from {', '.join(absent)}: run it to see its models here.") if absent else ""


def _in_a_box(tables: str) -> str:
    """Long tables scroll in a box of their own, which the keyboard reaches; their rows stay one line high."""
    inner = f'<div style="width: max-content">{tables}</div>'
    return f'<div tabindex="0" style="max-height: 26em; overflow: auto">{inner}</div>'


def _paragraph(text: str) -> str:
    return f'<p style="max-width: 90ch">{html.escape(text)}</p>'


def _named(result: records.Result) -> str:
    """Method, variant and the other knobs, each said once: "removed channels, share 0.5"."""
    knobs = [f"{words(name)} {setting(value)}" for name, value in result.knobs.items() if name != "method"]
    return ", ".join(dict.fromkeys([result.knobs["method"], words(result.variant), *knobs]))


def _row(result: records.Result) -> list[str]:
    return [_named(result), result.lesson[:2], *(cell(result, name) for name in COLUMNS)]


def _drawn_table(source: pts.Source, points: Sequence[pts.Point], front: Sequence[pts.Point]) -> str:
    """The drawn models of one source as HTML, the cheapest first."""
    ordered = sorted(points, key=lambda point: point.x)
    rows = [[*_row(point.result), "yes" if point in front else "-"] for point in ordered]
    results = [point.result for point in points]
    caption = f"{source.label(results)}. {medians(results)}"
    return Table([*HEADER, "on the front"], rows, caption)._repr_html_()
