"""The trade-off explorer: a slider over what was recorded, the learner's machine beside the reference."""

import ipywidgets as widgets

from . import points as pts
from .figures import TradeoffPlot
from .labels import words
from .pieces import NOTHING, LabelledImage, guarded
from .tables import results_table, setting


def tradeoff(lesson: str, *, x: str, y: str, knob: str, log_x: bool = False, log_y: bool = False) -> "Explorer":
    """The explorer of a lesson's records, as a widget: make it the last expression of a cell.

    `x`, `y`: the metrics (or numeric knobs) shown first; `knob`: the knob under the slider. It shows records only, the
    learner's own and the shipped ones. Where records or metrics are missing it says so in words.
    `tradeoff_figure` draws the same without widgets.
    """
    return Explorer(lesson, x, y, knob, log_x, log_y)


class Explorer(widgets.VBox):
    """What `tradeoff` returns: `knob`, `across`, `up` and `beside` change what `picture`, `table` and `note` show."""

    def __init__(self, lesson: str, x: str, y: str, knob: str, log_x: bool, log_y: bool):
        self._logs = {x: log_x, y: log_y}
        self._own, self._others = pts.sources(lesson)
        self._plot = TradeoffPlot(lesson, knob)
        self._make_controls(x, y, knob)
        self.picture, self.table, self.note = LabelledImage(), widgets.HTML(), widgets.HTML()
        self.table.add_class("jp-RenderedHTMLCommon")  # JupyterLab's own look of tables
        choices = widgets.HBox([self.across, self.up], layout={"flex_flow": "row wrap"})
        super().__init__([self.knob, choices, self.beside, self.note, self.picture, self.table])
        lay_out, mark = guarded(self.note, self._lay_out), guarded(self.note, self._mark)
        for control in (self.across, self.up, self.beside):
            control.observe(lambda change: lay_out(), names="value")
        self.knob.observe(lambda change: mark(), names="value")
        self.add_class("course-tradeoff")
        self._lay_out()  # not guarded: what goes wrong here is the cell's own error

    def __repr__(self) -> str:
        return f"Trade-off explorer. {self._plot.picture.alt}"

    def _make_controls(self, x: str, y: str, knob: str) -> None:
        results = [result for source in (self._own, *self._others) if source for result in source.results]
        wide = {"style": {"description_width": "110px"}, "layout": {"width": "460px"}}
        stops = [(setting(value), value) for value in pts.knob_values(results, knob)] or [("nothing recorded", "")]
        self.knob = widgets.SelectionSlider(options=stops, description=words(knob), **wide)
        axes = [(axis.label, name) for name, axis in pts.axes(results).items()]
        known = {name for _, name in axes}
        axes += [(f"{name}: not recorded", name) for name in dict.fromkeys((x, y)) if name not in known]
        self.across = widgets.Dropdown(options=axes, value=x, description="across", **wide)
        self.up = widgets.Dropdown(options=axes, value=y, description="up", **wide)
        others = [*((source.origin, index) for index, source in enumerate(self._others)), ("nothing", NOTHING)]
        self.beside = widgets.Dropdown(options=others, index=0, description="beside yours", **wide)

    def _lay_out(self) -> None:
        beside = [] if self.beside.value == NOTHING else [self._others[self.beside.value]]
        shown = [source for source in (self._own, *beside) if source]
        x, y = self.across.value, self.up.value
        self._plot.draw(shown, x, y, self._logs.get(x, False), self._logs.get(y, False))
        self._mark()

    def _mark(self) -> None:
        self._plot.highlight(self.knob.value)
        self.picture.show(self._plot.frame(), self._plot.picture.alt)
        self.table.value = self._tables()

    def _tables(self) -> str:
        """The values at the marks as one table for each source, and whose records are still missing."""
        axes = dict.fromkeys((self.across.value, self.up.value))
        parts = []
        for label, results in self._plot.shown(self.knob.value):
            table = results_table(results, [name for name in axes if any(name in r.values for r in results)])
            table.caption = label
            parts.append(table._repr_html_())
        if self._own is None:
            parts.append("<p>Nothing of yours yet: run the cells above, then this one again, to see it here.</p>")
        return "".join(parts)
