"""What was simulated, drawn so that nobody takes it for measured: timelines, and pictures that follow sliders."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from course_lib.schedules import Timeline

from .figures import Picture, encoded
from .pieces import LabelledImage, guarded

# Grey is sent, colour is computed; the first letter of a task's name chooses.
SHADES = {"F": "#FDD0A2", "B": "#F0883E", "G": "#D9D9D9", "R": "#BDBDBD", "S": "#969696"}


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
    ax.barh(row, end - start, left=start, height=0.9, color=SHADES.get(name[0], "#CCCCCC"), edgecolor="white")
    if end - start >= readable:
        ax.text((start + end) / 2, row, name.split()[0], ha="center", va="center", fontsize=6.5)


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
