"""Results and what is done with them: any valid one survives JSON, an invalid one is refused by the name of its field."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib import device, records
from course_lib.records import Prediction, Recorder, Result
from course_lib.store import Store

CPU = {"device": "cpu", "cpu": "Intel(R) Xeon(R) CPU @ 2.50GHz", "cores": 2, "gpu": "", "memory_gb": 15.6, "bf16_units": False}
CUDA = CPU | {"device": "cuda", "gpu": "NVIDIA H200"}
VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6"}
DATA = {"name": "glyphs", "kind": "rendered", "source": "fonts", "n_train": 8000, "n_test": 2000, "sha256": "ab" * 32}


def result(**changes):
    fields = {
        "lesson": "01_measuring",
        "variant": "baseline",
        "knobs": {"batch": 32, "precision": "fp32"},
        "values": {"seconds": (0.3, 0.1, 0.2), "accuracy": (0.9,)},
        "units": {"seconds": "s", "accuracy": "1"},
        "machine": CPU,
        "versions": VERSIONS,
        "data": DATA,
        "time": "2026-11-21T12:00:00+00:00",
        "code": "0f" * 32,
    }
    return Result(**(fields | changes))


texts = st.text(min_size=1, max_size=20).filter(str.strip)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**63), finite, st.text(max_size=20))
flat = st.dictionaries(texts, scalars, max_size=4)
times = st.datetimes().map(lambda moment: moment.isoformat() + "+00:00")


@st.composite
def results(draw):
    values = draw(st.dictionaries(texts, st.lists(finite, min_size=1, max_size=4).map(tuple), min_size=1, max_size=4))
    return result(
        lesson=draw(texts),
        variant=draw(texts),
        knobs=draw(flat),
        values=values,
        units={metric: draw(texts) for metric in values},
        machine=draw(flat) | {"device": draw(texts)},
        versions=draw(flat) | {"torch": draw(texts)},
        data=draw(st.none() | flat.map(lambda d: d | {"name": "n", "kind": "stand-in"})),
        time=draw(times),
        code=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
    )


@given(results())
def test_any_valid_result_survives_json(original):
    line = original.to_json()
    assert "\n" not in line
    assert line.isascii()
    copy = Result.from_json(line)
    assert copy == original
    assert copy.key == original.key
    assert repr(copy) == repr(original)  # True and 1 and 1.0 are equal, but not the same


BAD_TEXT = st.sampled_from([None, "", "  ", 3, b"x", ["a"]])
BAD_FLAT = st.one_of(
    st.sampled_from([None, [], "x", 3, {"": 1}, {3: 1}, {"a": None}, {"a": [1]}, {"a": {"b": 1}}, {"a": 1j}]),
    st.sampled_from([math.nan, math.inf, -math.inf]).map(lambda number: {"a": number}),
)
INVALID = {
    "lesson": BAD_TEXT,
    "variant": BAD_TEXT,
    "knobs": BAD_FLAT,
    "machine": BAD_FLAT | st.just({"gpu": "H200"}),
    "versions": BAD_FLAT | st.just({"python": "3.11"}),
    "data": BAD_FLAT.filter(lambda d: d is not None)
    | st.sampled_from([{}, {"name": "n"}, {"kind": "real"}, {"name": "n", "kind": "invented"}]),
    "values": st.sampled_from([None, {}, [1.0], 3, {"seconds": ()}, {"seconds": "fast"}, {"seconds": None}, {"": (1.0,)}])
    | st.sampled_from([math.nan, math.inf, True, None, "1", 1j, 10**400]).map(lambda v: {"seconds": (1.0, v)}),
    "units": st.sampled_from(
        [None, "s", {}, {"seconds": "s"}, {"seconds": "s", "accuracy": ""}, {"seconds": 1, "accuracy": "1"}]
    ),
    "time": st.sampled_from([None, "", "yesterday", 0, "2026-11-21", "2026-11-21T12:00:00", "2026-11-21T12:00:00+02:00"]),
    "code": st.sampled_from([None, "", "0f" * 31, "0F" * 32, "zz" * 32, 7, "0f" * 32 + "\n"]),
}


def test_every_field_has_its_invalid_values():
    assert INVALID.keys() == {field.name for field in dataclasses.fields(Result)}


@given(st.data(), st.sampled_from(sorted(INVALID)))
def test_an_invalid_result_is_refused_by_the_name_of_its_field(data, field):
    value = data.draw(INVALID[field])
    with pytest.raises(ValueError, match=rf"^{field}\b") as refused:
        result(**{field: value})
    assert re.search("is not allowed; it is|is missing; it has", str(refused.value))


def test_the_message_tells_what_is_allowed():
    with pytest.raises(ValueError, match=re.escape("values['seconds']: nan is not allowed; it is a finite number")):
        result(values={"seconds": [1.0, math.nan]})
    with pytest.raises(ValueError, match=re.escape("units['accuracy']: None is not allowed; it is a text that is not empty")):
        result(units={"seconds": "s"})
    with pytest.raises(ValueError, match=re.escape("data['kind']: 'x' is not allowed; it is one of real, rendered, stand-in")):
        result(data={"name": "n", "kind": "x"})


def test_a_stored_nan_is_refused_as_well():
    line = result().to_json().replace("0.3", "NaN")
    with pytest.raises(ValueError, match=re.escape("values['seconds']: nan")):
        Result.from_json(line)


def test_numbers_of_numpy_and_one_alone_are_taken():
    taken = result(
        knobs={"batch": np.int64(8), "rate": np.float32(0.5)},
        values={"seconds": np.array([1.0, 2.0]), "accuracy": np.float64(0.5)},
        units={"seconds": "s", "accuracy": "1", "unused": "B"},
        versions=VERSIONS | {"torch": torch.__version__},
    )
    assert (taken.knobs, taken.values) == ({"batch": 8, "rate": 0.5}, {"seconds": (1.0, 2.0), "accuracy": (0.5,)})
    assert taken.units == {"seconds": "s", "accuracy": "1"}
    assert type(taken.versions["torch"]) is str
    assert Result.from_json(taken.to_json()) == taken


def test_a_result_does_not_change_with_what_it_was_made_from():
    knobs, repeats = {"batch": 32}, [1.0, 2.0]
    made = result(knobs=knobs, values={"seconds": repeats}, units={"seconds": "s"})
    knobs["batch"] = 64
    repeats.append(3.0)
    assert (made.knobs, made.values) == ({"batch": 32}, {"seconds": (1.0, 2.0)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.variant = "other"


def test_the_median_of_a_metric():
    assert result().median("seconds") == 0.2
    with pytest.raises(ValueError, match="metric: 'memory' is not allowed; it is one of seconds, accuracy"):
        result().median("memory")


def test_the_key_ignores_the_order_of_knobs_and_what_was_measured():
    one, other = result(knobs={"a": 1, "b": "x"}), result(knobs={"b": "x", "a": 1}, values={"seconds": 9}, machine=CUDA)
    assert one.key == other.key == ("01_measuring", "baseline", (("a", 1), ("b", "x")))
    assert result(knobs={"a": 2}).key != result(knobs={"a": 1}).key


def test_latest_keeps_the_last_of_each_key():
    old, other, new = (result(variant=v, values={"seconds": s}) for v, s in (("a", 1), ("b", 2), ("a", 3)))
    assert records.latest([old, other, new]) == [new, other]


# Predictions


@given(texts, texts, finite, texts, st.booleans(), times)
def test_any_valid_prediction_survives_json(lesson, question, value, unit, default, time):
    made = Prediction(lesson=lesson, question=question, value=value, unit=unit, default=default, time=time)
    assert Prediction.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [("lesson", ""), ("question", None), ("value", math.nan), ("value", "3"), ("unit", ""), ("default", 1), ("time", "now")],
)
def test_an_invalid_prediction_is_refused(field, value):
    fields = {"lesson": "l", "question": "q", "value": 2.0, "unit": "x", "default": False, "time": records.now()}
    with pytest.raises(ValueError, match=f"{field}: {re.escape(repr(value))} is not allowed"):
        Prediction(**(fields | {field: value}))


def test_predictions_are_kept_in_the_learners_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path))
    assert records.predictions() == []
    made = Prediction(lesson="l", question="q", value=2, unit="x", default=True, time=records.now())
    records.my_predictions().append(made)
    assert records.predictions() == [made]
    assert (tmp_path / "predictions.jsonl").exists()


# Recording


def test_a_recorder_fills_in_what_every_result_carries(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path))
    log = Recorder("01_measuring", machine=device.describe("cpu"), versions=device.versions())
    made = log.add("batched", {"seconds": [0.1, 0.2], "bytes": 40}, {"seconds": "s", "bytes": "B"}, {"batch": 8}, DATA)
    assert records.my_store().read() == [made]
    assert (made.lesson, made.variant, made.knobs, made.data) == ("01_measuring", "batched", {"batch": 8}, DATA)
    assert (made.machine["device"], made.versions, made.code) == (
        "cpu",
        device.versions(),
        records.code_digest("01_measuring"),
    )
    assert made.time.endswith("+00:00")


def test_a_recorder_stores_nothing_that_is_invalid(tmp_path):
    store = Store(tmp_path / "r.jsonl", Result)
    log = Recorder("01_measuring", machine=CPU, versions=VERSIONS, store=store)
    with pytest.raises(ValueError, match="units"):
        log.add("a", {"seconds": 1.0}, {})
    assert store.read() == []


def test_without_the_variable_records_lie_in_the_checkout(monkeypatch):
    monkeypatch.delenv("COURSE_RECORDS")
    assert records.my_store().path == records.CHECKOUT / "my_records" / "results.jsonl"


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "course_lib" / "data").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "course_lib" / "a.py").write_text("x = 1\n")
    (tmp_path / "course_lib" / "data" / "b.py").write_text("y = 1\n")
    write_notebook(tmp_path)
    return tmp_path


def write_notebook(checkout, code=("a = 1\n", "b = 2"), prose="Text", outputs=()):
    cells = [
        {"cell_type": "markdown", "source": prose},
        {"cell_type": "code", "source": code, "outputs": list(outputs), "execution_count": len(outputs)},
    ]
    (checkout / "notebooks" / "01_x.ipynb").write_text(json.dumps({"cells": cells}))


def test_the_digest_changes_with_code_and_with_nothing_else(checkout):
    def digest():
        return records.code_digest("01_x", checkout)

    seen = [digest()]
    write_notebook(checkout, code="a = 1\nb = 2", prose="Other text", outputs=[{"text": "3"}])
    assert digest() == seen[0]
    write_notebook(checkout, code="a = 1\nb = 3")
    seen.append(digest())
    (checkout / "course_lib" / "data" / "b.py").write_text("y = 2\n")
    seen.append(digest())
    (checkout / "course_lib" / "a.py").rename(checkout / "course_lib" / "c.py")
    seen.append(digest())
    seen.append(records.code_digest("02_without_notebook", checkout))
    assert len(set(seen)) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in seen)


@pytest.mark.parametrize(
    ("machine", "slug"),
    [
        (CPU, "cpu-2-cores-intel-xeon-2.50ghz"),
        (CPU | {"cpu": "Intel Xeon Processor @ 2.50GHz"}, "cpu-2-cores-intel-xeon-2.50ghz"),
        (CUDA, "cuda-nvidia-h200"),
        ({"device": "cpu", "cores": 8, "cpu": "Apple M2"}, "cpu-8-cores-apple-m2"),
        ({"device": "cpu", "cores": 8, "cpu": ""}, "cpu-8-cores"),
    ],
)
def test_a_machine_has_a_readable_slug(machine, slug):
    assert records.machine_slug(machine) == slug


@given(st.text(max_size=200), st.sampled_from(["cpu", "cuda"]))
def test_any_slug_can_be_a_file_name(name, kind):
    slug = records.machine_slug({"device": kind, "cores": 2, "cpu": name, "gpu": name})
    assert re.fullmatch(r"(cpu|cuda)[a-z0-9.-]{0,77}", slug)
    assert not slug.endswith((".", "-"))


# The reference


def test_promoting_replaces_the_lessons_of_this_machine_and_keeps_the_others(tmp_path):
    def measured(lesson, seconds, machine=CPU):
        return result(lesson=lesson, values={"seconds": seconds}, machine=machine)

    first = records.promote([measured("01_a", 1), measured("10_b", 2)], tmp_path)
    records.promote([measured("01_a", 7, CUDA)], tmp_path)
    again = records.promote(iter([measured("01_a", 3), measured("02_c", 4), measured("01_a", 5)]), tmp_path)
    assert first == again == tmp_path / "cpu-2-cores-intel-xeon-2.50ghz.jsonl"
    shipped = records.references(tmp_path)
    assert list(shipped) == ["cpu-2-cores-intel-xeon-2.50ghz", "cuda-nvidia-h200"]
    found = [(r.lesson, r.median("seconds")) for r in shipped["cpu-2-cores-intel-xeon-2.50ghz"]]
    assert found == [("01_a", 5), ("02_c", 4), ("10_b", 2)]
    assert [r.median("seconds") for r in shipped["cuda-nvidia-h200"]] == [7]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_promotion_that_fails_leaves_the_old_reference_whole(tmp_path, monkeypatch):
    path = records.promote([result()], tmp_path)
    before = path.read_bytes()

    def fails(*paths):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="no space"):
        records.promote([result(variant="new")], tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("machines", [[], [CPU, CUDA]])
def test_a_reference_is_of_one_machine(tmp_path, machines):
    with pytest.raises(ValueError, match=r"results: .* is not allowed; it is one or more results, all of one machine"):
        records.promote([result(machine=machine) for machine in machines], tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named():
    have = [result(lesson="01_a", variant="x"), result(lesson="10_b", variant="x")]
    expected = {"01_a": ["x", "y"], "10_b": ["x"], "11_c": ["z"]}
    assert records.missing(have, expected) == ["(01_a, y)", "(11_c, z)"]
    assert records.missing(have, {"01_a": ["x"], "10_b": []}) == []


def test_without_a_folder_there_is_no_reference(tmp_path):
    assert records.references(tmp_path / "none") == {}


def test_the_shipped_reference_is_valid_and_named_after_its_machine():
    for slug, shipped in records.references().items():
        assert {records.machine_slug(r.machine) for r in shipped} == {slug}
        assert records.latest(shipped) == shipped
