"""What a learner sees and touches: predictions, the trade-off explorer, tables.

This is the only part of the library that needs matplotlib and ipywidgets. Every widget has a plain function of the same
content (`tradeoff` -> `tradeoff_figure`, `plane` -> `plane_figure`, the reveal of a `Guess` -> `prediction_figure`), so
that a page on GitHub or a run without a browser shows it too.
"""

from .claims import claims
from .explorer import tradeoff
from .figures import Picture, prediction_figure, tradeoff_figure
from .guess import Guess, predict
from .ladder import ladder_figure, stacking, stacking_figure
from .palette import BLUE, BROWN, GREEN, GREY, MAUVE, NAVY, PLUM, VERMILION
from .plane import plane, plane_figure
from .points import pareto
from .simulated import paths_figure, sliders, timeline_figure
from .tables import Table, results_table

__all__ = [
    "BLUE",
    "BROWN",
    "GREEN",
    "GREY",
    "MAUVE",
    "NAVY",
    "PLUM",
    "VERMILION",
    "Guess",
    "Picture",
    "Table",
    "claims",
    "ladder_figure",
    "pareto",
    "paths_figure",
    "plane",
    "plane_figure",
    "predict",
    "prediction_figure",
    "results_table",
    "sliders",
    "stacking",
    "stacking_figure",
    "timeline_figure",
    "tradeoff",
    "tradeoff_figure",
]
