"""The ledger: every claim has a verdict from records, other records have another, and missing ones have none."""

import csv
import dataclasses

import pytest
import torch

from course_lib import ledger, records
from course_lib.ledger.finding import FAILS, HOLDS, NOT_RUN, OPEN, UNTESTABLE, WRONG
from tools import hygiene

LATER = {"B15", "B17", "B18", "D6"}  # claims that the course leaves for another day
IDS = {f"{letter}{n}" for letter, last in (("A", 7), ("B", 18), ("C", 7), ("D", 8)) for n in range(1, last + 1)} - LATER
[SHIPPED] = [results for slug, results in records.references().items() if slug.startswith("cpu-")][:1]
RECORDED = {result.lesson for result in SHIPPED}


def found(claim, results):
    return ledger.finding(next(c for c in ledger.CLAIMS if c.id == claim), results)


def changed(results, lesson, metric, change, **chosen):
    """The same results, with one metric of a lesson changed, repeat by repeat, where variant and knobs are the chosen ones."""
    made = []
    for r in results:
        known = {"variant": r.variant, **r.knobs}
        if r.lesson.startswith(lesson) and metric in r.values and all(known.get(k) == v for k, v in chosen.items()):
            values = [change(number, value) for number, value in enumerate(r.values[metric])]
            r = dataclasses.replace(r, values=r.values | {metric: values})
        made.append(r)
    return made


def turned(results, lesson, metric, factor, **chosen):
    return changed(results, lesson, metric, lambda _, value: factor * value, **chosen)


def put(results, lesson, metric, value, **chosen):
    return changed(results, lesson, metric, lambda *_: value, **chosen)


def test_every_claim_is_in_it_once():
    assert sorted(claim.id for claim in ledger.CLAIMS) == sorted(IDS)


def test_every_lesson_named_is_there_and_names_the_claim():
    for claim in ledger.CLAIMS:
        if claim.lesson:
            notebook = hygiene.read(hygiene.ROOT / "notebooks" / f"{claim.lesson}.ipynb")
            assert claim.id in notebook["metadata"]["course"]["claims"], claim.id


def test_every_claim_of_a_lesson_is_in_the_ledger():
    for path in hygiene.notebooks():
        assert set(hygiene.read(path)["metadata"]["course"]["claims"]) <= IDS, path.stem


@pytest.mark.parametrize("claim", ledger.CLAIMS, ids=lambda claim: claim.id)
def test_the_shipped_records_give_a_verdict(claim):
    made = ledger.finding(claim, SHIPPED)
    known = (HOLDS, "holds when ", "holds for ", FAILS, WRONG, OPEN, UNTESTABLE)
    assert made.verdict.startswith(known) and made.figure, f"{claim.id}: {made}"


@pytest.mark.parametrize("claim", ledger.CLAIMS, ids=lambda claim: claim.id)
def test_without_its_records_a_claim_is_not_run_yet(claim):
    listings = {"B16", "C1", "C3", "C6"}  # the code itself is the evidence
    assert (ledger.finding(claim, []).verdict == NOT_RUN) == (claim.id not in listings)


@pytest.mark.parametrize("lesson", sorted(RECORDED))
def test_half_a_lesson_is_no_error(lesson):
    own = [result for result in SHIPPED if result.lesson == lesson]
    for kept in (own[:1], own[1:2], own[: len(own) // 2], own[len(own) // 2 :], own[::2]):
        for claim in ledger.CLAIMS:
            assert isinstance(ledger.finding(claim, kept), ledger.Finding)


@pytest.mark.parametrize(
    ("claim", "lesson", "metric", "factor", "chosen", "verdict"),
    [
        ("A2", "30", "speedup", 10.0, {}, HOLDS),
        ("A3", "11", "speedup", 0.1, {}, WRONG),
        ("A4", "11", "accuracy_gained", -9.0, {}, FAILS),
        ("A5", "12", "before", 0.01, {}, "holds when you choose well"),
        ("A6", "50", "fewer_than_SGD", -1.0, {}, FAILS),
        ("B1", "20", "wait share", 0.1, {}, FAILS),
        ("B2", "11", "speedup", 50.0, {}, HOLDS),
        ("B3", "40", "macs", 2.5, {"method": "removed channels"}, FAILS),
        ("B5", "50", "fewer_than_SGD", 0.1, {}, FAILS),
        ("B6", "50", "failed", 0.0, {}, FAILS),
        ("B7", "31", "simulated_efficiency", 0.1, {}, FAILS),
        ("B7", "31", "simulated_efficiency", 10.0, {}, HOLDS),
        ("B8", "31", "simulated_efficiency", 100.0, {"way": "hierarchical, 8 buckets overlap"}, FAILS),
        ("B9", "31", "bytes_sent", 40.0, {"method": "1 bit"}, FAILS),
        ("B10", "20", "wait share", 20.0, {}, FAILS),
        ("B11", "90", "speedup", 10.0, {}, HOLDS),
        ("B11", "90", "speedup", 0.1, {}, FAILS),
        ("B12", "51", "saved", 0.0, {}, FAILS),
        ("B13", "31", "bytes_a_parameter", 0.1, {}, HOLDS),
        ("B14", "90", "speedup", 10.0, {}, HOLDS),
        ("B14", "90", "speedup", 0.1, {}, FAILS),
        ("C2", "42", "accuracy", 1.5, {"arm": "teacher, T = 4, reverse"}, HOLDS),
        ("C7", "01", "throughput", 1000.0, {}, FAILS),
        ("D1", "11", "speedup", 50.0, {}, HOLDS),
        ("D2", "41", "speedup", 100.0, {}, HOLDS),
        ("D2", "41", "speedup", 0.01, {}, FAILS),
        ("D3", "40", "speedup", 0.1, {"net": "half the channels"}, FAILS),
        ("D4", "20", "throughput", 100.0, {"variant": "plain"}, FAILS),
        ("D4", "20", "throughput", 0.1, {"variant": "cached, by batches"}, HOLDS),
        ("D5", "42", "accuracy", 0.1, {"arm": "2,000 pseudo-labels"}, FAILS),
        ("D7", "51", "accuracy", 0.1, {"variant": "random"}, HOLDS),
        ("D7", "51", "accuracy", 3.0, {"variant": "random"}, OPEN),
        ("D8", "80", "price_ratio", 0.01, {}, HOLDS),
        ("D8", "80", "overhead", 10.0, {}, FAILS),
    ],
)
def test_other_records_have_another_verdict(claim, lesson, metric, factor, chosen, verdict):
    before, after = found(claim, SHIPPED), found(claim, turned(SHIPPED, lesson, metric, factor, **chosen))
    assert after.verdict == verdict and after != before


@pytest.mark.parametrize(
    ("claim", "lesson", "metric", "fails", "holds"),
    [
        ("A2", "30", "speedup", 1.79, 1.81),
        ("A6", "50", "fewer_than_SGD", -1.0, 1.0),
        ("B1", "20", "wait share", 0.6, 0.61),
        ("B2", "11", "speedup", 1.66, 1.67),
        ("B5", "50", "fewer_than_SGD", 29.0, 31.0),
        ("B7", "31", "simulated_efficiency", 0.84, 0.85),
        ("B10", "20", "wait share", 0.16, 0.14),
        ("B11", "90", "speedup", 2.29, 2.3),
        ("B12", "51", "gained", -0.6, -0.4),
        ("B13", "31", "bytes_a_parameter", 2.3, 2.2),
        ("B14", "90", "lost", 0.51, 0.49),
        ("D2", "41", "speedup", 1.99, 2.0),
        ("D8", "80", "overhead", 2.01, 1.99),
    ],
)
def test_a_verdict_turns_where_its_words_say(claim, lesson, metric, fails, holds):
    fair = put(put(SHIPPED, "80", "price_ratio", 0.5), "90", "speedup", 2.5) if metric in ("lost", "overhead") else SHIPPED
    assert found(claim, put(fair, lesson, metric, fails)).verdict in (FAILS, WRONG)
    assert found(claim, put(fair, lesson, metric, holds)).verdict.startswith(HOLDS)


def test_a_lead_within_the_scatter_of_the_seeds_wins_no_contest():
    random = put(SHIPPED, "51", "accuracy", 0.5)
    ahead = changed(random, "51", "accuracy", lambda number, _: 0.4 if number % 2 else 0.65)
    level = put(ahead, "51", "accuracy", 0.5, variant="random")
    assert found("D7", level).verdict == OPEN
    assert found("D7", put(ahead, "51", "accuracy", 0.3, variant="random")).verdict == HOLDS


def test_a_small_net_that_is_as_accurate_would_be_seen():
    equal = turned(SHIPPED, "40", "accuracy", 1.5, method="depthwise separable")
    assert found("B4", equal).verdict == FAILS, "as accurate, but not small enough"
    assert found("B4", turned(equal, "40", "bytes", 0.1, method="depthwise separable")).verdict == HOLDS


def test_the_listings_are_run_on_the_weights(monkeypatch):
    given = {"C3": (torch.ones(100), FAILS), "C4": (torch.linspace(-200, 200, 99), HOLDS), "C5": (torch.ones(100), HOLDS)}
    for claim, (weights, verdict) in given.items():
        monkeypatch.setattr(ledger.smaller, "_weights", lambda weights=weights: weights)
        assert found(claim, SHIPPED).verdict == verdict, claim


def test_records_that_are_no_pairs_say_so_and_keep_the_others():
    half = [
        dataclasses.replace(r, values={name: values[:2] for name, values in r.values.items()})
        if r.knobs.get("arm") == "120 labels"
        else r
        for r in SHIPPED
    ]
    rows = {row.claim: row.yours for row in ledger.rows(half, SHIPPED)}
    assert rows["D5"].verdict == NOT_RUN and "give no verdict" in rows["D5"].figure and rows["B1"].verdict == HOLDS
    alone = [dataclasses.replace(r, values={name: values[:1] for name, values in r.values.items()}) for r in SHIPPED]
    assert all(row.yours.verdict for row in ledger.rows(alone, SHIPPED))


def test_one_constant_factor_would_be_seen():
    same = [
        dataclasses.replace(r, values=r.values | {"speedup": [2.0, 2.1, 1.9]})
        if r.lesson.startswith("10") and "speedup" in r.values
        else r
        for r in SHIPPED
    ]
    assert found("A1", same).verdict == HOLDS


def test_the_learners_own_verdict_comes_first():
    rows = {row.claim: row for row in ledger.rows(turned(SHIPPED, "20", "wait share", 0.1), SHIPPED)}
    assert rows["B1"].reference.verdict == HOLDS and rows["B1"].yours.verdict == rows["B1"].verdict == FAILS
    alone = {row.claim: row for row in ledger.rows([], SHIPPED)}
    assert alone["B1"].yours.verdict == NOT_RUN and alone["B1"].verdict == HOLDS


def test_the_csv_holds_every_row_and_the_page_escapes_what_it_shows(tmp_path):
    rows = ledger.rows([], SHIPPED)
    rows[0] = dataclasses.replace(rows[0], says="<script>x</script>")
    with ledger.write_csv(rows, tmp_path / "deep" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [line["id"] for line in read] == [row.claim for row in rows]
    assert all(
        (line["verdict"], line["your verdict"]) == (row.verdict, row.yours.verdict)
        for line, row in zip(read, rows, strict=True)
    )
    page = ledger.page(rows, "a machine", "R&D")
    assert "<script>" not in page and "&lt;script&gt;" in page and "R&amp;D" in page and page.count("<tr>") == len(rows) + 1
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["ledger.csv"]


def test_the_widget_shows_what_its_menus_choose():
    from course_lib.explore.claims import Claims

    widget = Claims([], {"here": SHIPPED, "nowhere": SHIPPED[:1]})
    assert widget.table.value.count("<tr>") == len(ledger.CLAIMS) + 1 and "36 of 36 claims" in widget.table.value
    widget.verdict.value = WRONG
    wrong = sum(row.verdict == WRONG for row in ledger.rows([], SHIPPED))
    assert widget.table.value.count("<tr>") == wrong + 1 and f"{wrong} of 36" in widget.table.value
    widget.machine.value = "nowhere"
    assert NOT_RUN in widget.verdict.options and not widget.note.value
    with pytest.raises(ValueError, match="ships none"):
        Claims([], {})
