"""What was simulated, drawn so that nobody takes it for measured: timelines, and pictures that follow sliders."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets
import numpy as np

from course_lib.schedules import Timeline

from .figures import Picture, encoded
from .palette import GREY, VERMILION
from .pieces import LabelledImage, guarded

# Grey is sent, colour is computed; the first letter of a task's name chooses.
SHADES = {"F": "#FDD0A2", "B": "#F0883E", "G": "#D9D9D9", "R": "#BDBDBD", "S": "#969696"}
HATCHES = {"F": "////", "B": "\\\\\\\\", "G": "....", "R": "xxxx", "S": "----"}  # where there is no room for a name


def timeline_figure(timelines: Mapping[str, Timeline]) -> Picture:
    """Draw what `schedules.play` laid out: a row of pictures a timeline, a bar a task, one scale of time for all.

    A task shows the first word of its name where there is room. The first letter of the name gives the colour: F and B
    (forward and backward pass), G, R and S (gather, all-reduce, scatter). Raises ValueError for no timeline.
    """
    if not timelines:
        raise ValueError("timelines: none is not allowed; it is a dictionary from names to Timelines, one or more")
    picture = Picture(9, sum(0.55 + 0.24 * len(timeline.lanes) for timeline in timelines.values()))
    readable = max(timeline.total for timeline in timelines.values()) / 40  # a shorter bar has no room for its name
    heights = [2 + len(timeline.lanes) for timeline in timelines.values()]
    axes = picture.subplots(len(timelines), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for ax, (title, timeline) in zip(axes, timelines.items(), strict=True):
        for row, names in enumerate(timeline.lanes.values()):
            for name in names:
                _bar(ax, row, name, *timeline.spans[name], readable)
        ax.set_yticks(range(len(timeline.lanes)), list(timeline.lanes), fontsize=8)
        ax.invert_yaxis()
        ax.set_title(f"{title} (simulated): {timeline.total:g} units of time", fontsize=9, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
    totals = [f"{title} ends after {timeline.total:g} units of time" for title, timeline in timelines.items()]
    picture.alt = f"Simulated timelines: {', '.join(totals)}."
    return picture


def _bar(ax, row: int, name: str, start: float, end: float, readable: float) -> None:
    named = end - start >= readable
    ax.barh(
        row,
        end - start,
        left=start,
        height=0.9,
        color=SHADES.get(name[0], "#CCCCCC"),
        edgecolor=GREY,
        hatch="" if named else HATCHES.get(name[0]),
    )
    if named:
        ax.text((start + end) / 2, row, name.split()[0], ha="center", va="center", fontsize=6.5)


def paths_figure(
    paths: Mapping[str, np.ndarray],
    height: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    captions: Mapping[str, str],
) -> Picture:
    """Draw computed paths through a landscape, a panel each: `paths` has (points, 2) each, in order; a dot a point.

    `height(x, y)` gives the landscape at arrays of one shape, shown by contour lines that halve from one to the next;
    `x` and `y` are the limits of the panels, whatever a path does beyond them. A path's caption stands in its title.
    Raises ValueError for no paths, for one of another shape, or for one without a caption.
    """
    if not paths:
        raise ValueError("paths: none is not allowed; it is a dictionary from names to points (N, 2), one or more")
    for name, points in paths.items():
        if np.ndim(points) != 2 or np.shape(points)[1] != 2:
            raise ValueError(f"paths[{name!r}]: shape {np.shape(points)} is not allowed; it is (points, 2)")
        if name not in captions:
            raise ValueError(f"captions: {name!r} is missing; every path has one")
    columns = min(4, len(paths))
    rows = -(-len(paths) // columns)
    picture = Picture(2.5 * columns, 2.3 * rows + 0.3)
    panels = picture.subplots(rows, columns, squeeze=False).flat
    across, up = np.meshgrid(np.linspace(*x, 80), np.linspace(*y, 80))
    ground = height(across, up)
    levels = ground.max() * 2.0 ** np.arange(-9, 1)
    for (name, points), ax in zip(paths.items(), panels, strict=False):
        ax.contour(across, up, ground, levels=levels, colors="#8F8F8F", linewidths=0.6)
        ax.plot(*np.transpose(points), ".-", color=VERMILION, linewidth=0.8, markersize=3)
        ax.set(xlim=x, ylim=y, xticks=[], yticks=[])
        ax.set_title(f"{name}: {captions[name]}", fontsize=9)
    for ax in panels:  # what the paths left over
        ax.axis("off")
    picture.suptitle("computed", fontsize=9)
    spoken = [f"{name}: {captions[name]}" for name in paths]
    picture.alt = f"Computed paths: {'; '.join(spoken)}."
    return picture


def sliders(
    draw: Callable[..., Picture],
    controls: Mapping[str, widgets.Widget],
    presets: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
) -> widgets.VBox:
    """A picture under its controls: `draw(**values)` makes it anew whenever one of them changes.

    `controls`: a widget with a value for each argument of `draw`. `presets`: for a control, what each of its values sets
    the other controls to: {"link": {"25 GbE": {"gbit": 25}}}. An error of `draw` shows below the controls.
    """
    image, note = LabelledImage(), widgets.HTML()
    setting = []  # not empty while a preset sets several controls, so that they are drawn once

    def show() -> None:
        picture = draw(**{name: control.value for name, control in controls.items()})
        picture.canvas.draw()
        image.show(encoded(picture.canvas), picture.alt)

    def changed(name: str) -> None:
        if setting:
            return
        setting.append(name)
        try:
            for other, value in (presets or {}).get(name, {}).get(controls[name].value, {}).items():
                controls[other].value = value
        finally:
            setting.clear()
        show()

    for name, control in controls.items():
        control.observe(guarded(note, lambda change, name=name: changed(name)), names="value")
    show()
    box = widgets.VBox([*controls.values(), note, image])
    box.add_class("course-sliders")
    return box
