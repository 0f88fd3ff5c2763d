"""Timelines drawn, and pictures that follow sliders."""

import ipywidgets as widgets
import numpy as np
import pytest

from course_lib import explore
from course_lib.schedules import Task, pipeline, play


def test_a_timeline_says_that_it_is_simulated_and_draws_every_task():
    orders = [[("F", 0), ("F", 1), ("B", 0), ("B", 1)]] * 3
    timelines = {"GPipe": play(pipeline(orders)), "other": play({"lane": [Task("one", 1)]})}
    picture = explore.timeline_figure(timelines)
    assert "Simulated" in picture.alt and "GPipe ends after 12 units of time" in picture.alt
    assert [len(ax.patches) for ax in picture.axes] == [12, 1]
    assert all("(simulated)" in ax.get_title(loc="left") for ax in picture.axes)
    assert picture.axes[0].get_xlim() == picture.axes[1].get_xlim()
    assert picture.png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="timelines: none"):
        explore.timeline_figure({})


def made():
    drawn = []

    def draw(a, b):
        drawn.append((a, b))
        if b > 8:
            raise ValueError("b is too large")
        picture = explore.Picture(2, 1)
        picture.alt = f"a {a}, b {b}"
        return picture

    controls = {"a": widgets.Dropdown(options=["x", "y"]), "b": widgets.IntSlider(value=1, min=0, max=9)}
    box = explore.sliders(draw, controls, {"a": {"y": {"b": 5}}})
    return drawn, controls, *box.children[-2:]


def test_a_slider_draws_anew():
    drawn, controls, note, image = made()
    assert drawn == [("x", 1)] and image.tooltip == "a x, b 1"
    controls["b"].value = 3
    assert drawn[-1] == ("x", 3) and image.tooltip == "a x, b 3" and note.value == ""


def test_a_preset_sets_other_sliders_and_draws_once():
    drawn, controls, _, image = made()
    controls["a"].value = "y"
    assert drawn == [("x", 1), ("y", 5)] and image.tooltip == "a y, b 5"
    controls["b"].value = 6
    assert drawn[-1] == ("y", 6)


def test_an_error_while_drawing_is_shown_and_goes_away():
    _, controls, note, _ = made()
    controls["b"].value = 9
    assert "b is too large" in note.value
    controls["b"].value = 2
    assert note.value == ""


def bowl(x, y):
    return x**2 + y**2


def test_paths_are_called_computed_and_drawn_in_the_colour_of_computation():
    paths = {name: np.array([[-1, 1], [0, 0.5], [9, 9]]) for name in "abcde"}
    picture = explore.paths_figure(paths, bowl, x=(-2, 2), y=(-1, 1), captions=dict.fromkeys(paths, "2 steps"))
    assert picture.get_suptitle() == "computed" and "Computed" in picture.alt and "e: 2 steps" in picture.alt
    panels = [ax for ax in picture.axes if ax.lines]
    assert len(panels) == 5 and [ax.axison for ax in picture.axes] == [True] * 5 + [False] * 3
    for ax in panels:
        assert ax.lines[0].get_xydata().tolist() == [[-1, 1], [0, 0.5], [9, 9]]
        assert ax.lines[0].get_color() == "#D55E00" and ax.get_xlim() == (-2, 2) and ax.get_ylim() == (-1, 1)


@pytest.mark.parametrize(
    "paths, captions, message",
    [
        ({}, {}, "paths: none"),
        ({"a": np.zeros(3)}, {"a": ""}, r"paths\['a'\]: shape"),
        ({"a": np.zeros((3, 2))}, {}, "captions: 'a'"),
    ],
)
def test_paths_that_cannot_be_drawn(paths, captions, message):
    with pytest.raises(ValueError, match=message):
        explore.paths_figure(paths, bowl, x=(-2, 2), y=(-1, 1), captions=captions)
