"""Prices with their lines refused in words, energy from a folder that looks like Linux's, and machines that are taken away."""

import csv
import math
from datetime import date

import numpy as np
import pytest

from course_lib import cost, interruptions, records
from course_lib.intervals import mean_interval

HEADER = ",".join(cost.FIELDS)
ROW = "one,on-demand,2 cores,0.10,USD,2026-01-31,a page,"
CPU = {"device": "cpu", "gpu": "", "cores": 2}
A100 = {"device": "cuda", "gpu": "NVIDIA A100-SXM4-40GB", "cores": 12}


def written(folder, *rows):
    path = folder / "prices.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_the_shipped_table_has_a_date_and_a_source_in_every_row():
    table = cost.read_prices(cost.SHIPPED)
    assert all(date.fromisoformat(p.date) < date(2027, 1, 1) and p.source for p in table)
    assert {p.kind for p in table} == set(cost.KINDS)
    for p in table:
        if p.kind == "interruptible":
            stays = next(other for other in table if other.name == p.name.removesuffix(" spot"))
            assert (stays.kind, stays.hardware, stays.currency) == ("on-demand", p.hardware, p.currency)
            assert p.hourly < stays.hourly


def test_ones_own_electricity_is_called_an_estimate_and_follows_from_its_assumption():
    (own,) = [p for p in cost.read_prices(cost.SHIPPED) if p.kind == "own"]
    assert "estimate" in own.note and f"{cost.ASSUMED_WATTS:.0f} W assumed" in own.note
    assert math.isclose(own.hourly, cost.ASSUMED_WATTS / 1000 * 0.2872)


def test_the_learners_table_takes_the_place_of_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path))
    assert cost.prices() == cost.read_prices(cost.SHIPPED)
    written(tmp_path, ROW)
    assert [(p.name, p.hourly) for p in cost.prices()] == [("one", 0.1)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("two,on-demand,2 cores,-1,USD,2026-01-31,a page,", "line 3: hourly: '-1'"),
        ("two,on-demand,2 cores,nan,USD,2026-01-31,a page,", "line 3: hourly: 'nan'"),
        ("two,on-demand,2 cores,cheap,USD,2026-01-31,a page,", "line 3: hourly: 'cheap'"),
        ("two,rented,2 cores,1,USD,2026-01-31,a page,", "line 3: kind: 'rented'"),
        ("two,own,2 cores,1,dollars,2026-01-31,a page,", "line 3: currency: 'dollars'"),
        ("two,own,2 cores,1,USD,yesterday,a page,", "line 3: date: 'yesterday'"),
        ("two,own,2 cores,1,USD,2026-01-31,,", "line 3: source: ''"),
        ("two,own", "line 3: hardware: ''"),
        ("one,own,2 cores,1,USD,2026-01-31,a page,", "one is not allowed; one row or more, each name once"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path, row, words):
    with pytest.raises(ValueError, match=words):
        cost.read_prices(written(tmp_path, ROW, row))


def test_a_table_without_rows_or_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no row is not allowed"):
        cost.read_prices(written(tmp_path))
    (tmp_path / "prices.csv").write_text("name,kind\none,own\n")
    with pytest.raises(ValueError, match="line 1: the columns hardware, hourly"):
        cost.read_prices(tmp_path / "prices.csv")


def test_a_price_fits_a_run_on_its_kind_of_machine_alone():
    fitting = {p.name for p in cost.read_prices(cost.SHIPPED) if p.fits(CPU)}
    assert fitting == {"this computer", "Google Cloud e2-highmem-2", "Google Cloud e2-highmem-2 spot"}
    fitting = {p.name for p in cost.read_prices(cost.SHIPPED) if p.fits(A100)}
    assert fitting == {"this computer", "Google Cloud a2-highgpu-1g", "Google Cloud a2-highgpu-1g spot"}
    assert not any(p.fits({**CPU, "cores": 4}) for p in cost.read_prices(cost.SHIPPED) if p.kind != "own")


def test_price_is_time_times_price_in_whole_units():
    assert cost.price(1800, 3.0) == 1.5 and cost.price(0, 3.0) == 0
    assert cost.price(61, 60, unit=60) == 2 and cost.price(60, 60, unit=60) == 1
    assert math.isclose(cost.price(0.5, 3600.0), 0.5)
    for arguments in ((-1, 1), (1, -1), (math.inf, 1), (True, 1), (1, 1, 0), (1, 1, 1.5)):
        with pytest.raises(ValueError, match="is not allowed"):
            cost.price(*arguments)


SHIPPED = [result for results in records.references().values() for result in results]


def test_every_time_of_every_shipped_record_has_bills_with_date_and_source(tmp_path):
    table = cost.read_prices(cost.SHIPPED)
    found = cost.bills(SHIPPED, table)
    timed = {(r.key, metric) for r in SHIPPED for metric in r.values if r.units[metric] == "s"}
    assert timed and {(b.result.key, b.metric) for b in found} == timed
    assert all(b.tariff.fits(b.result.machine) for b in found) and len({b.tariff.name for b in found}) > 1
    with cost.write_bills(found, tmp_path / "deep" / "bills.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found)
    for line in lines:
        assert math.isclose(float(line["cost"]), float(line["seconds"]) * float(line["an hour"]) / 3600, abs_tol=1e-15)
        assert line["currency"] in ("USD", "EUR") and date.fromisoformat(line["price as of"]) and line["source"]


def test_a_bill_is_of_the_median_and_of_seconds_alone(tmp_path):
    one = cost.read_prices(cost.SHIPPED)[1]
    store = records.Store(tmp_path / "results.jsonl", records.Result)
    log = records.Recorder("80_cost", machine=CPU, versions={"torch": "2"}, store=store)
    values, units = {"step": [1, 9, 3], "rate": [7]}, {"step": "s", "rate": "samples/s"}
    (bill,) = cost.bills([log.add("a step", values, units, {"batch": 8})], [one])
    assert (bill.metric, bill.seconds, bill.cells()["knobs"]) == ("step", 3, "batch=8")
    assert math.isclose(bill.cost, cost.price(3, one.hourly))
    (saved,) = cost.bills([log.add("saved", {"saved": [-2]}, {"saved": "s"})], [one])
    assert math.isclose(saved.cost, -cost.price(2, one.hourly))
    assert cost.bills([], [one]) == cost.bills([bill.result], []) == []
    with pytest.raises(ValueError, match="no bill is not allowed"):
        cost.write_bills([], "bills.csv")


def zone(folder, name, label, joules, most=262_143.0):
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(f"{label}\n")
    (made / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
    (made / "max_energy_range_uj").write_text(f"{int(most * 1e6)}\n")
    return made / "energy_uj"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(cost, "gpu_watts", lambda: None)


def test_energy_is_the_sum_over_packages_and_survives_a_counter_that_goes_round(tmp_path, no_gpu):
    first = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 990, most=1000)
    others = [zone(tmp_path, "intel-rapl:2", "psys", 0), zone(tmp_path, "intel-rapl:0:0", "core", 0)]  # the same energy again

    def work():
        for counter in others:
            counter.write_text(str(int(9e6)))
        first.write_text(str(int(107.5e6)))
        second.write_text(str(int(5e6)))

    used = cost.energy(work, powercap=tmp_path)
    assert used.measured and math.isclose(used.joules, 7.5 + 15) and used.how == "measured: CPU packages (RAPL)"


def test_energy_without_a_meter_is_called_an_estimate_and_says_why(tmp_path, no_gpu, monkeypatch):
    used = cost.energy(lambda: None, watts=50, powercap=tmp_path)
    assert not used.measured and math.isclose(used.joules, 50 * used.seconds)
    assert used.how.startswith("estimate: 50 W assumed; no counter of energy in")
    zone(tmp_path, "intel-rapl:0", "package-0", 100)
    readable = cost._text
    monkeypatch.setattr(cost, "_text", lambda path: "" if path.name == "energy_uj" else readable(path))
    assert "may be read by the administrator alone" in cost.energy(lambda: None, powercap=tmp_path).how
    with pytest.raises(ValueError, match="watts: -1 is not allowed"):
        cost.energy(lambda: None, watts=-1)


def test_a_gpus_power_counts_beside_the_packages(tmp_path, monkeypatch):
    powers = iter([100.0, 300.0])
    monkeypatch.setattr(cost, "gpu_watts", lambda: next(powers))
    used = cost.energy(lambda: None, powercap=tmp_path)
    assert used.measured and math.isclose(used.joules, 200 * used.seconds) and "GPU" in used.how


@pytest.mark.parametrize("interval", [0.3, 1.0, 4.0, 10.0, 25.0])
def test_the_simulation_agrees_with_dalys_formula(interval):
    job = (10.0, interval, 0.2, 0.5, 5.0)
    mean, half = mean_interval(interruptions.simulate(*job, runs=3000, seed=1), level=0.999)
    assert abs(mean - interruptions.expected_time(*job)) < half


def test_without_interruptions_only_the_saves_are_added():
    assert math.isclose(interruptions.expected_time(100, 10, 1, 5, 1e12), 110, rel_tol=1e-6)
    assert np.allclose(interruptions.simulate(50, 20, 2, 5, 1e12, runs=3), 56)
    assert math.isclose(interruptions.expected_time(2.1, 0.3, 1, 0, 1e12), 9.1, rel_tol=1e-6)  # 7 stretches, not 8


def test_youngs_interval_lies_near_the_best():
    save, mean = 0.5, 100.0
    tried = np.geomspace(1, 100, 200).tolist()
    best = min(tried, key=lambda interval: interruptions.expected_time(1e4, interval, save, 1, mean))
    young = interruptions.young_interval(save, mean)
    assert young == 10 and abs(best / young - 1) < 0.15
    times = [interruptions.expected_time(1e4, interval, save, 1, mean) for interval in (young, best)]
    assert times[0] < 1.005 * times[1]


def test_a_job_that_never_ends_is_infinite_by_formula_and_refused_by_the_simulation():
    assert interruptions.expected_time(10_000, 10_000, 1, 1, 1) == math.inf
    with pytest.raises(ValueError, match="mean_between: 1 is not allowed; such a job takes"):
        interruptions.simulate(100, 100, 1, 1, 1)


def test_break_even_and_what_is_refused():
    assert interruptions.break_even(1.6) == 0.625
    for wrong in (0.9, 0, -1, math.nan, True, "2"):
        with pytest.raises(ValueError, match=r"overhead: .* is not allowed"):
            interruptions.break_even(wrong)
    good = {"work": 1.0, "interval": 0.5, "save": 0.0, "restart": 0.0, "mean_between": 1.0}
    assert interruptions.expected_time(**good) > 1
    for field, wrong in [(name, -1) for name in good] + [("work", 0), ("interval", 1e-9), ("mean_between", math.inf)]:
        with pytest.raises(ValueError, match=f"{field}: {wrong!r} is not allowed"):
            interruptions.expected_time(**good | {field: wrong})
    with pytest.raises(ValueError, match="runs: 0 is not allowed"):
        interruptions.simulate(**good, runs=0)
