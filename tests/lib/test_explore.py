"""Predictions, the trade-off explorer and tables, driven as a front end drives them: by setting values, by clicks."""

import dataclasses
import io
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_lib import explore, records
from course_lib.explore import guess as guesses
from course_lib.explore import labels, pieces, points
from course_lib.store import Store

LAPTOP = {"device": "cpu", "cpu": "Some(R) Processor", "cores": 2, "gpu": ""}
SERVER = {"device": "cuda", "cpu": "Another", "cores": 16, "gpu": "Big GPU"}
UNITS = {"seconds": "s", "throughput": "samples/s", "accuracy": "%"}
GLYPHS = {"name": "glyphs", "kind": "rendered"}
STAND_IN = {"name": "photo crops", "kind": "stand-in"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Records and references of one test are its own."""
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path / "mine"))
    monkeypatch.setattr(records, "references", lambda folder=tmp_path / "reference": REFERENCES(folder))


REFERENCES = records.references


@pytest.fixture
def displayed(monkeypatch):
    """A person at the screen: what is displayed is collected here."""
    shown = []
    monkeypatch.setenv("COURSE_INTERACTIVE", "1")
    monkeypatch.setattr(guesses, "display", shown.append)
    return shown


def measured(batch=8, variant="cnn", seconds=(0.01, 0.011, 0.012), machine=LAPTOP, data=GLYPHS, **changes):
    values = {"seconds": seconds, "throughput": [batch / s for s in seconds], "accuracy": (93.0,)} | changes
    values = {name: value for name, value in values.items() if value}
    log = records.Recorder("01_test", machine=machine, versions={"torch": "2.13.0"})
    return log.add(variant, values, UNITS, knobs={"batch": batch}, data=data)


def shipped(tmp_path, results, machine=SERVER):
    store = Store(tmp_path / "reference" / f"{records.machine_slug(machine)}.jsonl", records.Result)
    for result in results:
        store.append(dataclasses.replace(result, machine=machine))


def explorer(**changes):
    return explore.tradeoff("01_test", **({"x": "seconds", "y": "throughput", "knob": "batch"} | changes))


# --- the Pareto front


coordinates = st.integers(-4, 4)  # few values, so that ties are common
clouds = st.integers(1, 3).flatmap(
    lambda size: st.tuples(
        st.lists(st.tuples(*[coordinates] * size), max_size=12), st.lists(st.booleans(), min_size=size, max_size=size)
    )
)


def beats(a, b, minimise):
    pairs = [(p, q) if less else (-p, -q) for p, q, less in zip(a, b, minimise, strict=True)]
    return all(p <= q for p, q in pairs) and any(p < q for p, q in pairs)


@given(clouds)
def test_pareto_keeps_exactly_what_nothing_beats(cloud):
    cloud, minimise = cloud
    kept = explore.pareto(cloud, minimise)
    expected = {i for i, point in enumerate(cloud) if not any(beats(other, point, minimise) for other in cloud)}
    assert set(kept) == expected and len(kept) == len(expected)
    assert [cloud[i] for i in kept] == sorted(cloud[i] for i in kept)


@given(clouds, st.randoms())
def test_pareto_does_not_depend_on_order_and_flips_with_the_sign(cloud, random):
    cloud, minimise = cloud
    shuffled = random.sample(cloud, len(cloud))
    assert [cloud[i] for i in explore.pareto(cloud, minimise)] == [shuffled[i] for i in explore.pareto(shuffled, minimise)]
    flipped = [tuple(-value for value in point) for point in cloud]
    assert set(explore.pareto(flipped, [not less for less in minimise])) == set(explore.pareto(cloud, minimise))


@pytest.mark.parametrize("cloud", [[(1.0,)], [(1.0, math.nan)], [(1.0, math.inf)], [1.0, 2.0]])
def test_pareto_refuses_what_it_cannot_order(cloud):
    with pytest.raises(ValueError, match="points"):
        explore.pareto(cloud, [True, True])


# --- predictions


def ask(question="How many times as fast?", **changes):
    return explore.predict("01_test", question, **({"unit": "x", "low": 0.5, "high": 10, "default": 2} | changes))


def test_headless_run_commits_the_default_in_one_line_and_reveals_at_once(capsys):
    guess = ask()
    assert guess.committed and guess.value == 2
    assert capsys.readouterr().out.count("\n") == 1
    guess.reveal(4.0)
    assert "4 x" in (said := capsys.readouterr().out) and "factor of 2" in said and said.count("\n") == 1
    (stored,) = records.predictions()
    assert (stored.lesson, stored.value, stored.unit, stored.default) == ("01_test", 2, "x", True)


def press(form, description):
    (button,) = [w for w in walk(form) if getattr(w, "description", None) == description and hasattr(w, "click")]
    if not button.disabled:  # the browser does not send the click of a disabled button
        button.click()


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def texts(widget):
    return " ".join(str(w.value) for w in walk(widget) if type(w).__name__ == "HTML")


def slider(form):
    return next(w for w in walk(form) if type(w).__name__ == "SelectionSlider")


def test_reveal_is_locked_until_the_commit_and_then_fills_itself_in(displayed):
    guess = ask()
    guess.reveal(4.0, label="batched")
    form, box = displayed
    assert not guess.committed and guesses.LOCKED in texts(box) and "4" not in texts(box)
    assert not records.predictions()
    slider(form).value = 8.0
    press(form, "Commit")
    assert guess.committed and guess.value == 8 and slider(form).disabled
    assert guesses.LOCKED not in texts(box) and "You predicted 8 x; batched: 4 x." in texts(box)
    image = box.children[1]
    assert bytes(image.value).startswith(b"\x89PNG") and "8 x" in image.tooltip and "4 x" in image.tooltip
    (stored,) = records.predictions()
    assert stored.value == 8 and not stored.default


def test_reveal_after_the_commit_opens_at_once_and_a_second_commit_changes_nothing(displayed):
    guess = ask()
    press(displayed[0], "Commit")
    guess.commit()
    guess.reveal(1.0)
    assert "You predicted 2 x; measured: 1 x." in texts(displayed[1])
    assert len(records.predictions()) == 1


def test_running_the_cell_again_offers_the_earlier_prediction(displayed):
    ask()
    slider(displayed[0]).value = 5.0
    press(displayed[0], "Commit")
    again = ask()
    assert not again.committed and "Earlier" in texts(displayed[1]) and "5 x" in texts(displayed[1])
    slider(displayed[1]).value = 7.0
    press(displayed[1], "Keep it")
    assert again.committed and again.value == 5 and len(records.predictions()) == 1
    other = ask()
    slider(displayed[2]).value = 7.0
    press(displayed[2], "Commit")
    assert other.value == 7 and [p.value for p in records.predictions()] == [5, 7]


def test_defaults_of_headless_runs_and_other_questions_are_not_offered(displayed, monkeypatch):
    monkeypatch.setenv("COURSE_INTERACTIVE", "0")
    ask()
    monkeypatch.setenv("COURSE_INTERACTIVE", "1")
    ask("Another question?")
    press(displayed[0], "Commit")
    ask()
    assert "Earlier" not in texts(displayed[1])


def test_prediction_that_cannot_be_stored_still_opens_the_reveal_and_says_why(displayed, monkeypatch, tmp_path):
    guess = ask()
    guess.reveal(1.0)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path / "file"))
    press(displayed[0], "Commit")
    assert guess.committed and guesses.LOCKED not in texts(displayed[1])
    assert "This went wrong" in texts(displayed[0])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unit": " "}, "unit"),
        ({"low": 10, "high": 1}, "low, high"),
        ({"low": math.nan}, "low, high"),
        ({"default": 11}, "default"),
        ({"low": 0, "log": True}, "low"),
        ({"question": ""}, "question"),
    ],
)
def test_predict_refuses_bad_input_and_names_the_field(changes, field):
    with pytest.raises(ValueError, match=f"^{field}: .* not allowed"):
        ask(**changes)


def test_reveal_refuses_a_number_that_is_not_finite():
    with pytest.raises(ValueError, match="actual: nan"):
        ask().reveal(math.nan)


@given(
    st.tuples(st.floats(1e-6, 1e6), st.floats(1.001, 1e6), st.floats(0, 1)).map(
        lambda t: (t[0], t[0] * t[1], min(t[0] * t[1], t[0] + (t[0] * t[1] - t[0]) * t[2]))
    ),
    st.booleans(),
)
def test_slider_stops_are_ordered_few_and_hold_the_limits_and_the_default(limits, log):
    low, high, default = limits
    stops = guesses.slider_stops(low, high, default, log)
    assert {low, high, default} <= set(stops) and stops == sorted(set(stops)) and stops[0] == low and stops[-1] == high
    assert len(stops) <= (25 * (math.log10(high / low) + 2) if log else 104)


def test_interactive_only_where_a_front_end_started_the_kernel(monkeypatch):
    kernel = type("Shell", (), {"kernel": object(), "user_ns": {}})()
    monkeypatch.delenv("COURSE_INTERACTIVE", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    assert not guesses.interactive()  # a plain process started from a notebook inherits the name
    monkeypatch.setattr(guesses, "get_ipython", lambda: kernel)
    assert guesses.interactive()
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert not guesses.interactive()
    kernel.user_ns["__vsc_ipynb_file__"] = "lesson.ipynb"
    assert guesses.interactive()
    monkeypatch.setenv("COURSE_INTERACTIVE", "0")
    assert not guesses.interactive()


# --- the explorer


def test_slider_moves_the_picture_its_alternative_text_and_the_table():
    for batch in (32, 8, 128):
        measured(batch)
    widget = explorer(log_x=True, log_y=True)
    assert [value for _, value in widget.knob.options] == [8, 32, 128]
    before = widget.picture.value
    assert bytes(before).startswith(b"\x89PNG") and "batch = 8" in widget.picture.tooltip
    widget.knob.value = 128
    assert widget.picture.value != before and "batch = 128" in widget.picture.tooltip
    assert ">128</td>" in widget.table.value and ">8</td>" not in widget.table.value
    assert widget.note.value == ""


def test_axis_choice_redraws_with_metrics_and_knobs():
    measured(8), measured(32, accuracy=(94.0,))
    widget = explorer()
    assert {value for _, value in widget.across.options} == {"seconds", "throughput", "accuracy", "batch"}
    widget.across.value, widget.up.value = "batch", "accuracy"
    assert "accuracy (%), higher is better" in widget.picture.tooltip
    assert widget.picture.value == explorer(x="batch", y="accuracy").picture.value
    assert widget.note.value == ""


def test_reference_stands_beside_yours_and_both_are_labelled(tmp_path):
    results = [measured(8), measured(32)]
    shipped(tmp_path, [dataclasses.replace(result, data=STAND_IN) for result in results])
    widget = explorer()
    assert widget.beside.options[0] == ("recorded on Big GPU", 0)
    assert "recorded on Big GPU; data: photo crops (stand-in)" in widget.table.value
    assert "measured on yours (Some Processor, 2 cores); data: glyphs (rendered)" in widget.table.value
    before = widget.picture.value
    widget.beside.value = pieces.NOTHING
    assert widget.picture.value != before and "Big GPU" not in widget.table.value + widget.picture.tooltip


def test_reference_alone_is_shown_and_the_lack_of_yours_is_said(tmp_path):
    result = measured(8)
    shipped(tmp_path, [result])
    (tmp_path / "mine" / "results.jsonl").unlink()
    widget = explorer()
    assert "recorded on Big GPU" in widget.table.value and "Nothing of yours yet" in widget.table.value


def test_your_other_machine_is_not_mixed_with_this_one():
    measured(8, machine=SERVER, seconds=(1e-4,)), measured(32)
    widget = explorer()
    assert widget.beside.options[0] == ("measured earlier on your Big GPU", 0)
    own, beside = points.sources("01_test")
    assert [r.machine for r in own.results] == [LAPTOP] and [r.machine for r in beside[0].results] == [SERVER]
    measured(64, machine=SERVER)
    own, beside = points.sources("01_test")
    assert [r.machine for r in own.results] == [SERVER] * 2 and [r.machine for r in beside[0].results] == [LAPTOP]


def test_newest_record_of_a_variant_wins():
    measured(8, seconds=(5.0,)), measured(8, seconds=(1.0,))
    assert len(points.sources("01_test")[0].results) == 1
    assert "1 s" in explorer().table.value and "5 s" not in explorer().table.value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": "watts"}, "No record of 01_test has 'watts'. The records have: seconds"),
        ({"knob": "threads"}, "No record of 01_test has the knob 'threads'. The knobs recorded: batch"),
        ({"y": "accuracy"}, "No single record of 01_test has both seconds and accuracy"),
    ],
)
def test_what_is_missing_is_said_in_words(changes, said):
    measured(8, variant="timed", accuracy=None)
    measured(8, variant="scored", seconds=(), throughput=())
    widget = explorer(**changes)
    assert said in widget.picture.tooltip and widget.note.value == ""
    figure = explore.tradeoff_figure("01_test", **({"x": "seconds", "y": "throughput", "knob": "batch"} | changes))
    assert said in figure.alt


def test_no_records_and_one_record_do_not_end_in_a_traceback():
    assert "No records of 01_test yet" in explorer().picture.tooltip
    measured(8)
    widget = explorer()
    assert "batch = 8" in widget.picture.tooltip and widget.note.value == ""
    assert widget.beside.label == "nothing"


def test_message_gives_way_to_a_plot_of_full_size():
    measured(8, accuracy=None), measured(8, variant="scored", seconds=(), throughput=())
    widget = explorer(x="seconds", y="accuracy")
    assert Image.open(io.BytesIO(widget.picture.value)).height < 100
    widget.up.value = "throughput"
    assert widget.picture.value == explorer().picture.value
    assert Image.open(io.BytesIO(widget.picture.value)).height > 400


def test_error_in_a_callback_reaches_the_learner_and_goes_away_again(monkeypatch):
    measured(8), measured(32)
    widget = explorer()

    def broken(self):
        raise RuntimeError("the <disk> is full")

    with monkeypatch.context() as patch:
        patch.setattr(explore.figures.TradeoffPlot, "frame", broken)
        widget.knob.value = 32
    assert "RuntimeError: the &lt;disk&gt; is full" in widget.note.value and 'role="alert"' in widget.note.value
    widget.knob.value = 8
    assert widget.note.value == ""


# --- figures, tables, words


def test_figure_shows_series_fronts_and_sources_apart(tmp_path):
    results = [measured(b, variant=v, seconds=(s * b,)) for b, (v, s) in itertools.product((8, 32), VARIANTS)]
    shipped(tmp_path, results)
    figure = explore.tradeoff_figure("01_test", x="seconds", y="throughput", knob="batch", at=32)
    lines = figure.axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines if line.get_marker() not in ("None", "")}) == 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "cnn" in legend and "mlp" in legend and any("Pareto" in text for text in legend)
    assert "Marked: batch = 32." in figure.alt
    data, metadata = figure._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG") and data["text/plain"] == metadata["image/png"]["alt"] == figure.alt


VARIANTS = (("cnn", 0.01), ("mlp", 0.001))


def test_a_series_of_one_point_is_named_beside_it_and_not_by_a_line_in_the_legend():
    measured(8), measured(32, seconds=(0.1,)), measured(8, variant="alone", seconds=(0.05,))
    figure = explore.tradeoff_figure("01_test", x="seconds", y="throughput", knob="batch")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "cnn" in legend and "alone" not in legend
    assert [(note.get_text(), note.xy[0]) for note in figure.axes[0].texts] == [("alone", 0.05)]


def test_marks_of_the_knob_value_lie_on_the_medians():
    measured(8, seconds=(0.1, 0.2, 0.9)), measured(32)
    figure = explore.tradeoff_figure("01_test", x="seconds", y="throughput", knob="batch", at=8)
    (mark,) = [line for line in figure.axes[0].lines if line.get_animated()]
    assert np.allclose(mark.get_xydata(), [[0.2, 40]])


def test_logarithmic_axis_is_refused_where_it_would_hide_a_point():
    measured(8, accuracy=(0.0,)), measured(32)
    figure = explore.tradeoff_figure("01_test", x="seconds", y="accuracy", knob="batch", log_x=True, log_y=True)
    assert figure.axes[0].get_xscale() == "log" and figure.axes[0].get_yscale() == "linear"


def test_metrics_of_another_unit_are_not_drawn_on_one_axis():
    result = measured(8)
    other = dataclasses.replace(result, units=UNITS | {"seconds": "ms"})
    axis = points.axes([result])["seconds"]
    assert axis.values(result) and not axis.values(other)


def test_other_knobs_that_vary_separate_the_series():
    log = records.Recorder("01_test", machine=LAPTOP, versions={"torch": "2"})
    for batch, threads in itertools.product((1, 2), (1, 4)):
        log.add("cnn", {"seconds": 1.0, "accuracy": 2.0}, UNITS, {"batch": batch, "threads": threads, "same": "a"})
    results = log.store.read()
    axes = points.axes(results)
    made = points.points(results, axes["seconds"], axes["accuracy"], "batch")
    assert {point.series for point in made} == {"cnn, threads 1", "cnn, threads 4"}
    assert {p.series for p in points.points(results, axes["threads"], axes["accuracy"], "batch")} == {"cnn"}


def test_line_of_a_series_follows_its_knob_in_whatever_order_it_was_measured():
    for batch in (32, 8, 128):
        measured(batch)
    figure = explore.tradeoff_figure("01_test", x="batch", y="accuracy", knob="batch")
    (line,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert list(line.get_xdata()) == [8, 32, 128]


def test_prediction_figure_says_both_numbers_and_refuses_nan():
    figure = explore.prediction_figure(0.002, 0.0035, unit="s", label="compiled")
    assert figure.alt == "Your prediction: 2 ms; compiled: 3.5 ms." and figure.png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="guess: nan"):
        explore.prediction_figure(math.nan, 1.0, unit="s")


def test_results_table_has_units_intervals_and_provenance_in_both_forms():
    table = explore.results_table([measured(8), measured(32, variant="a|<b>")], ["seconds", "accuracy"])
    text, page = str(table), table._repr_html_()
    assert "11 [10, 12] ms" in text and "93 %" in text and "glyphs (rendered)" in text and "Some Processor" in text
    assert len({len(line) for line in text.splitlines()[:4]}) == 1
    assert "a\\|<b>" in text and "a|&lt;b&gt;" in page and page.count("<tr>") == 3
    assert str(explore.results_table([], ["seconds"])).endswith("No records yet.")
    assert text.endswith("Medians with 95 % intervals (of fewer than 5 values: their range).")
    five = measured(8, seconds=(1, 2, 3, 4, 5))
    assert str(explore.results_table([five], ["seconds"])).endswith("Medians with 95 % intervals.")
    with pytest.raises(ValueError, match="metrics: 'watts'"):
        explore.results_table([measured(8)], ["watts"])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00214, "s", "2.14 ms"),
        (5e-7, "s", "500 ns"),
        (0, "s", "0 s"),
        (90.5, "s", "90.5 s"),
        (1_234_567, "bytes", "1.23 MB"),
        (12, "bytes", "12 bytes"),
        (58_234, "samples/s", "58,200 samples/s"),
        (0.9, "", "0.9"),
        (100, "%", "100 %"),
        (0.99951, "x", "1 x"),
        (-3.25, "points", "-3.25 points"),
        (1e-9, "x", "1.00e-09 x"),
    ],
)
def test_amounts_read_well(value, unit, text):
    assert labels.amount(value, unit) == text


def test_direction_of_metrics():
    falling = [("seconds", "s"), ("loss", "nats"), ("saved_bytes", "bytes"), ("error", "%")]
    rising = [("throughput", "frames/s"), ("test_accuracy", "%"), ("speedup", "times"), ("rate", "FLOP/s")]
    assert all(labels.falls(*metric) for metric in falling) and not any(labels.falls(*metric) for metric in rising)


def test_import_is_silent_and_chooses_no_backend():
    code = "import sys; from course_lib import explore; assert 'matplotlib.pyplot' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_guarded_passes_arguments_and_clears_the_note():
    note = pieces.widgets.HTML("old")
    seen = []
    pieces.guarded(note, seen.append)(3)
    assert seen == [3] and note.value == ""
