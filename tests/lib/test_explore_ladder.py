"""The ladder and the stack of lesson 90, over records that are made here, driven as a front end drives them."""

import itertools

import pytest

from course_lib import explore, records

LESSON = "90_capstone"
LAPTOP = {"device": "cpu", "cpu": "Some(R) Processor", "cores": 2, "gpu": ""}
PHOTOGRAPHS = {"name": "jpeg_folder", "kind": "real"}
REFERENCES = records.references
FACTORS = {"loader": 0.2, "schedule": 0.5, "bf16": 2.0}  # of the seconds to the target, 10 without any


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    """Records and references of one test are its own."""
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path / "mine"))
    monkeypatch.setattr(records, "references", lambda folder=tmp_path / "reference": REFERENCES(folder))
    return records.Recorder(LESSON, machine=LAPTOP, versions={"torch": "2.13.0"})


def rung(log, number, step, seconds, kept=1, task="images"):
    values = {"time_to_target": [0.9 * seconds, seconds, 1.1 * seconds], "kept": kept}
    return log.add("ladder", values, {"time_to_target": "s", "kept": "yes or no"},
                   {"task": task, "rung": number, "step": step}, PHOTOGRAPHS)  # fmt: skip


def combinations(log, without=()):
    for chosen in itertools.product((False, True), repeat=len(FACTORS)):
        knobs = dict(zip(FACTORS, chosen, strict=True))
        if {name for name, on in knobs.items() if on} == set(without or ("nothing",)):
            continue
        seconds = 10.0
        for name, on in knobs.items():
            seconds *= FACTORS[name] if on else 1
        units = {"time_to_target": "s", "run": "s", "accuracy": "share"}
        values = {"time_to_target": [seconds], "run": [2 * seconds], "accuracy": [0.9]}
        log.add("combination", values, units, knobs, PHOTOGRAPHS)


def test_without_records_the_figures_say_so():
    assert explore.ladder_figure(LESSON).alt.startswith("No ladder of images is recorded in 90_capstone yet")
    assert explore.stacking_figure(LESSON).alt.startswith("No combination is recorded in 90_capstone yet")
    widget = explore.stacking(LESSON)
    assert not widget.boxes and "No combination" in widget.picture.tooltip and widget.table.value == ""


def test_the_ladder_tells_every_rung_in_order_and_which_were_taken_out(log):
    for number, step, seconds, kept in ((2, "bf16", 4, 0), (0, "baseline", 10, 1), (1, "loader", 2, 1)):
        rung(log, number, step, seconds, kept)
    rung(log, 0, "baseline", 70, task="language")
    figure = explore.ladder_figure(LESSON)
    assert "baseline 10 s; loader 2 s; bf16, taken out 4 s." in figure.alt
    assert "jpeg_folder (real)" in figure.alt and "70" not in figure.alt
    assert figure.png().startswith(b"\x89PNG")
    assert "language" in explore.ladder_figure(LESSON, "language").alt


def test_a_rung_is_compared_with_the_last_one_that_stayed(log):
    for number, (step, seconds, kept) in enumerate((("baseline", 10, 1), ("bf16", 20, 0), ("loader", 5, 1))):
        rung(log, number, step, seconds, kept)
    texts = [text.get_text() for text in explore.ladder_figure(LESSON).axes[0].texts]
    assert [text.strip() for text in texts] == ["10 s", "20 s, 0.5 times", "5 s, 2 times"]


def test_a_stack_is_drawn_in_the_order_asked_for(log):
    combinations(log)
    one, other = (explore.stacking_figure(LESSON, order).alt for order in (("loader", "schedule"), ("schedule", "loader")))
    assert "baseline 10 s; loader 2 s; schedule 1 s." in one
    assert "baseline 10 s; schedule 5 s; loader 1 s." in other
    assert "As the next one: bf16 0.5 times." in one
    assert "Nothing is left to stack." in explore.stacking_figure(LESSON, tuple(FACTORS)).alt


def test_what_was_not_recorded_is_not_computed(log):
    combinations(log, without=("loader", "bf16"))
    assert "not computed from its parts: bf16 with loader" in explore.stacking_figure(LESSON, ("loader", "bf16")).alt
    assert "bf16" not in explore.stacking_figure(LESSON, ("loader",)).alt.partition("As the next one")[2]


def test_bad_orders_are_named(log):
    combinations(log)
    with pytest.raises(ValueError, match="order: 'magic' is not allowed; recorded are loader, schedule, bf16"):
        explore.stacking_figure(LESSON, ("magic",))
    with pytest.raises(ValueError, match="names a technique twice"):
        explore.stacking_figure(LESSON, ("loader", "loader"))


def test_the_widget_stacks_in_the_order_of_the_ticks(log):
    combinations(log)
    widget = explore.stacking(LESSON)
    before = widget.picture.value
    widget.boxes["schedule"].value = True
    widget.boxes["loader"].value = True
    assert widget.order == ["schedule", "loader"] and widget.picture.value != before
    assert "baseline 10 s; schedule 5 s; loader 1 s." in widget.picture.tooltip
    assert widget.table.value.index("schedule") < widget.table.value.index("loader")
    widget.boxes["schedule"].value = False
    assert widget.order == ["loader"] and "baseline 10 s; loader 2 s." in widget.picture.tooltip
    widget.clear.click()
    assert widget.order == [] and not any(box.value for box in widget.boxes.values())


def test_an_error_of_the_widget_is_seen(log, monkeypatch):
    combinations(log)
    widget = explore.stacking(LESSON)
    monkeypatch.setattr(widget._stack, "picture", lambda order: 1 / 0)
    widget.boxes["loader"].value = True
    assert "ZeroDivisionError" in widget.note.value
