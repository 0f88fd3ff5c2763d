"""The plane of the smaller models, over records of three lessons, driven as a front end drives it: by setting values."""

import dataclasses
import itertools

import numpy as np
import pytest

from course_lib import explore, records
from course_lib.explore import pieces, plane_plot
from course_lib.store import Store

LAPTOP = {"device": "cpu", "cpu": "Some(R) Processor", "cores": 2, "gpu": ""}
SERVER = {"device": "cuda", "cpu": "Another", "cores": 16, "gpu": "Big GPU"}
UNITS = {"accuracy": "share", "bytes": "bytes", "macs": "MACs", "latency_1": "s", "latency_64": "s"}
GLYPHS = {"name": "glyphs", "kind": "rendered"}
REFERENCES = records.references


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Records and references of one test are its own."""
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path / "mine"))
    monkeypatch.setattr(records, "references", lambda folder=tmp_path / "reference": REFERENCES(folder))


def measured(lesson, method, accuracy, size, machine=LAPTOP, without=(), **knobs):
    values = {"accuracy": [accuracy], "bytes": size, "macs": 2 * size, "latency_1": [1e-6 * size], "latency_64": [1e-5 * size]}
    values = {name: value for name, value in values.items() if name not in without}
    log = records.Recorder(lesson, machine=machine, versions={"torch": "2.13.0"})
    return log.add("small_cnn", values, UNITS, {"method": method} | knobs, GLYPHS)


def three_lessons(machine=LAPTOP):
    """Five models; on the front of accuracy against bytes: int8 static, pruned + int8, none."""
    return [
        measured("40_pruning", "none", 0.93, 200, machine),
        measured("40_pruning", "removed channels", 0.90, 120, machine, share=0.5),
        measured("41_quantization", "int8 static", 0.92, 60, machine),
        measured("42_distillation", "distilled", 0.89, 70, machine),
        measured("42_distillation", "pruned + int8", 0.91, 40, machine),
    ]


def shipped(tmp_path, results):
    store = Store(tmp_path / "reference" / f"{records.machine_slug(SERVER)}.jsonl", records.Result)
    for result in results:
        store.append(dataclasses.replace(result, machine=SERVER))


def ringed(widget):
    return [tuple(point) for mark in widget._plot.moving for point in mark.get_xydata()]


# --- stages


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("none", set()),
        ("depthwise separable", set()),
        ("pointwise", set()),  # the letters of "int" alone are no stage
        ("masked weights", {"prune"}),
        ("removed channels", {"prune"}),
        ("int8 static", {"quantize"}),
        ("int4 weights", {"quantize"}),
        ("quantization-aware", {"quantize"}),
        ("binary weights", {"quantize"}),
        ("distilled", {"distill"}),
        ("distilled + int8", {"distill", "quantize"}),
        ("pruned + distilled + int8", {"prune", "distill", "quantize"}),
    ],
)
def test_a_methods_name_tells_its_stages(method, expected):
    assert plane_plot.stages(method) == expected


def test_a_method_has_a_marker_of_its_own_and_the_colour_of_its_stage():
    three_lessons()
    styles = explore.plane()._plot._styles
    assert len({style["marker"] for style in styles.values()}) == len(styles) == 5
    assert styles["int8 static"]["color"] != styles["removed channels"]["color"] != styles["pruned + int8"]["color"]


def test_many_methods_still_have_a_marker_each():
    styles = plane_plot._styles(["none", *(f"method {number}" for number in range(30))])
    assert len({style["marker"] for style in styles.values()}) == 31


# --- the picture


def test_all_three_lessons_lie_on_one_plane_with_the_front_of_all():
    three_lessons()
    widget = explore.plane()
    ((source, points, front),) = widget._plot.drawn
    assert source.own and len(points) == 5
    assert [point.at for point in front] == ["pruned + int8", "int8 static", "none"]
    said = widget.picture.tooltip
    assert "5 models: size (bytes), lower is better (across) against accuracy (share), higher is better (up)" in said
    assert "pruned + int8 (40 bytes, 0.91 share), int8 static (60 bytes, 0.92 share), none (200 bytes, 0.93 share)" in said
    assert bytes(widget.picture.value).startswith(b"\x89PNG") and widget.note.value == ""
    assert widget.table.value.count("<tr>") == 6 and widget.table.value.count(">yes<") == 3


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        ("latency_1", "latency at batch 1 (s)"),
        ("latency_64", "latency at batch 64 (s)"),
        ("macs", "multiply-accumulates (MACs)"),
    ],
)
def test_axis_choice_redraws_and_the_plain_figure_is_the_same(cost, said):
    three_lessons()
    widget = explore.plane()
    before = widget.picture.value
    widget.across.value = cost
    assert said in widget.picture.tooltip and widget.picture.value != before and widget.note.value == ""
    assert widget.picture.value == explore.plane(x=cost).picture.value
    assert explore.plane_figure(x=cost).alt == widget.picture.tooltip


def test_boxes_hide_methods_and_the_front_is_that_of_what_is_left():
    three_lessons()
    widget = explore.plane()
    assert list(widget.methods) == ["none", "removed channels", "int8 static", "distilled", "pruned + int8"]
    before = widget.picture.value
    widget.methods["pruned + int8"].value = False
    ((_, points, front),) = widget._plot.drawn
    assert len(points) == 4 and [point.at for point in front] == ["int8 static", "none"]
    assert "40 bytes" not in widget.table.value and widget.picture.value != before
    widget.methods["pruned + int8"].value = True
    assert widget.picture.value == before


def test_all_or_none_is_one_button_and_none_is_said_in_words():
    three_lessons()
    widget = explore.plane()
    before = widget.picture.value
    widget.every.click()
    assert "choose one or more of the methods" in widget.picture.tooltip
    assert not any(box.value for box in widget.methods.values()) and "<table" not in widget.table.value
    widget.stages["prune"].value = True
    widget.stages["prune"].value = False
    widget.every.click()
    assert widget.picture.value == before and widget.note.value == ""


def test_models_below_an_accuracy_make_way_and_are_counted():
    three_lessons()
    widget = explore.plane()
    assert "Not shown" not in widget.picture.tooltip
    measured("41_quantization", "binary weights", 0.1, 30)
    widget = explore.plane(least=0.9)
    assert "Not shown: 2 below 0.9." in widget.picture.tooltip and "binary weights" not in widget.table.value
    assert explore.plane_figure(least=0.9).alt == widget.picture.tooltip
    assert widget._plot.picture.axes[0].get_ylim()[0] > 0.88
    widget.least.value = 0.0
    ((_, points, front),) = widget._plot.drawn
    assert len(points) == 6 and front[0].at == "binary weights" and widget.note.value == ""
    assert "or a lower accuracy" in explore.plane_figure(least=0.99).alt


# --- combinations


def test_a_combination_is_ringed_where_it_was_measured():
    three_lessons()
    widget = explore.plane()
    assert np.allclose(ringed(widget), [(200, 0.93)]), "no stage: the base model"
    widget.stages["prune"].value = widget.stages["quantize"].value = True
    assert np.allclose(ringed(widget), [(40, 0.91)])
    assert "Ringed, prune + quantize: 1." in widget.picture.tooltip
    assert "Ringed: prune + quantize" in widget.said.value and "0.91 share" in widget.said.value
    assert "not recorded" not in widget.said.value
    figure = explore.plane_figure(combine=["quantize", "prune"])
    assert figure.alt == widget.picture.tooltip and figure.axes[0].get_title() == "ringed: prune + quantize"


def test_a_combination_that_was_not_recorded_is_said_and_never_computed():
    three_lessons()
    widget = explore.plane()
    for chosen in itertools.chain.from_iterable(itertools.combinations(widget.stages, size) for size in range(4)):
        for name, box in widget.stages.items():
            box.value = name in chosen
        recorded = {(), ("prune",), ("distill",), ("quantize",), ("prune", "quantize")}
        assert bool(ringed(widget)) == (chosen in recorded) == ("not recorded" not in widget.said.value)
    assert "prune + distill + quantize, measured on yours" in widget.said.value
    assert "not computed from its parts. Recorded: none, removed channels" in widget.said.value
    assert "no point to ring" in widget._plot.picture.axes[0].get_title()


def test_cheaper_layers_are_no_combination():
    measured("40_pruning", "depthwise separable", 0.92, 50), measured("40_pruning", "none", 0.93, 200)
    assert np.allclose(ringed(explore.plane()), [(200, 0.93)])


# --- reference, and what is missing


def test_reference_stands_beside_yours_apart_by_fill_and_line_and_both_are_labelled(tmp_path):
    shipped(tmp_path, three_lessons())
    widget = explore.plane()
    assert [source.own for source, _, _ in widget._plot.drawn] == [True, False]
    legend = [text.get_text() for text in widget._plot.picture.legends[1].get_texts()]
    assert legend == [
        "filled: measured on yours (Some Processor, 2 cores); data: glyphs (rendered)",
        "hollow: recorded on Big GPU; data: glyphs (rendered)",
    ]
    own, other = (layer._methods["none"] for layer in widget._plot._layers)
    assert own.get_markerfacecolor() != other.get_markerfacecolor() == "white"
    before = widget.picture.value
    widget.beside.value = pieces.NOTHING
    assert widget.picture.value != before and "Big GPU" not in widget.picture.tooltip + widget.table.value
    assert len(widget._plot.picture.legends[1].get_texts()) == 1


def test_reference_alone_is_shown_and_your_missing_lessons_are_named(tmp_path):
    shipped(tmp_path, three_lessons())
    (tmp_path / "mine" / "results.jsonl").unlink()
    widget = explore.plane()
    assert "recorded on Big GPU" in widget.table.value
    assert "Nothing of yours yet from 40_pruning, 41_quantization, 42_distillation" in widget.said.value
    measured("40_pruning", "none", 0.93, 200)
    assert "Nothing of yours yet from 41_quantization, 42_distillation" in explore.plane().said.value


def test_records_without_a_method_or_a_cost_are_left_out():
    three_lessons()
    records.Recorder("40_pruning", machine=LAPTOP, versions={"torch": "2"}).add(
        "lesson_run", {"seconds": 30.0}, {"seconds": "s"}
    )
    measured("41_quantization", "int4 weights", 0.9, 30, without=("latency_1", "latency_64"))
    widget = explore.plane()
    assert len(widget._plot.drawn[0][1]) == 6
    widget.across.value = "latency_1"
    assert len(widget._plot.drawn[0][1]) == 5 and widget.note.value == ""


@pytest.mark.parametrize("lacks", [("latency_1",), ("accuracy",)])
def test_a_missing_axis_is_said_in_words(lacks):
    measured("40_pruning", "none", 0.93, 200, without=lacks)
    widget = explore.plane(x="latency_1")
    assert "No record has" in widget.picture.tooltip and widget.note.value == "" and "<table" not in widget.table.value
    widget.stages["prune"].value = True
    assert widget.note.value == ""


def test_without_records_there_are_words_and_no_traceback():
    widget = explore.plane()
    assert "No smaller model is recorded yet" in widget.picture.tooltip and widget.note.value == ""
    widget.across.value = "macs"
    widget.every.click()
    assert widget.note.value == "" and "No smaller model" in explore.plane_figure().alt
    assert "No smaller model" in repr(widget)


def test_equal_points_do_not_end_in_an_empty_axis():
    measured("40_pruning", "none", 0.93, 200), measured("42_distillation", "none", 0.93, 200)
    axes = explore.plane_figure().axes[0]
    assert axes.get_xlim()[0] < 200 < axes.get_xlim()[1] and axes.get_ylim()[0] < 0.93 < axes.get_ylim()[1]


def test_plane_refuses_bad_input_and_names_the_field():
    for call in (explore.plane, explore.plane_figure):
        with pytest.raises(ValueError, match=r"^x: 'watts' is not allowed; it is one of bytes, latency_1"):
            call(x="watts")
        for least in (1, -0.1, "0.9"):
            with pytest.raises(ValueError, match=rf"^least: {least!r} is not allowed"):
                call(least=least)
    with pytest.raises(ValueError, match=r"^combine: 'shrink' is not allowed; its stages are prune, distill, quantize"):
        explore.plane_figure(combine=["prune", "shrink"])
