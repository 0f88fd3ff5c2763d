"""Ranks simulated in one process: messages on real numbers, tasks in time, pipelines."""

import numpy as np
import pytest

from course_lib.schedules import Send, Task, carry_out, data_parallel, most_alive, pipeline, play, sharded


def ring(ranks):
    """The all-reduce of a ring: reduce-scatter, then all-gather."""
    for add, ahead in ((True, 0), (False, 1)):
        for step in range(ranks - 1):
            yield [Send(rank, (rank + 1) % ranks, (rank + ahead - step) % ranks, add) for rank in range(ranks)]


def gpipe(stages, micro):
    return [[(kind, m) for kind in "FB" for m in range(micro)] for _ in range(stages)]


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_ring_sums_and_is_counted(ranks):
    values = np.random.default_rng(0).normal(size=(ranks, ranks, 5))
    kept = values.copy()
    done = carry_out(ring(ranks), values)
    assert np.allclose(done.values, values.sum(0))
    assert np.array_equal(values, kept)
    assert done.steps == 2 * (ranks - 1)
    assert done.sent == (2 * (ranks - 1),) * ranks
    assert done.share_sent() == 2 * (ranks - 1) / ranks
    seconds = 2 * (ranks - 1) * (0.5 + 600 / ranks / 100)
    assert done.seconds(600, alpha=0.5, bandwidth=100) == pytest.approx(seconds)


def test_messages_of_one_step_cross_each_other():
    swap = [[Send(0, 1, 0, False), Send(1, 0, 0, False)]]
    assert carry_out(swap, np.array([[1.0], [2.0]])).values.tolist() == [[2.0], [1.0]]


def test_a_step_is_as_wide_as_its_widest_sender():
    steps = [[Send(0, 1, 0, True), Send(0, 1, 1, True), Send(2, 3, 0, True)], []]
    done = carry_out(steps, np.ones((4, 2)))
    assert done.widest == (2, 0) and done.sent == (2, 0, 1, 0)
    assert done.seconds(10, alpha=1, bandwidth=5) == 2 + 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ([Send(0, 3, 0, True)], r"step 0: .*two different ranks of 0\.\.2"),
        ([Send(1, 1, 0, True)], "two different ranks"),
        ([Send(0, 1, 2, True)], r"chunk 2 is not allowed; it lies in 0\.\.1"),
        ([Send(0, 1, 0, True), Send(0, 2, 1, True)], "rank 0 sends to 1 and 2"),
        ([Send(0, 2, 0, True), Send(1, 2, 1, True)], "rank 2 hears 0 and 1"),
        ([Send(0, 1, 0, True), Send(0, 1, 0, False)], "rank 1 gets chunk 0 twice"),
    ],
)
def test_a_step_that_no_network_could_do_is_refused(step, words):
    with pytest.raises(ValueError, match=words):
        carry_out([step], np.ones((3, 2)))


def test_values_need_ranks_and_chunks():
    with pytest.raises(ValueError, match=r"values: shape \(3,\)"):
        carry_out([], np.ones(3))


def test_tasks_wait_for_their_lane_and_for_what_they_need():
    lanes = {"a": [Task("one", 2), Task("two", 1, ("three",))], "b": [Task("three", 4, ("one",))]}
    timeline = play(lanes)
    assert timeline.spans == {"one": (0, 2), "three": (2, 6), "two": (6, 7)}
    assert timeline.total == 7
    assert timeline.idle("a") == pytest.approx(4 / 7)
    assert timeline.lanes == {"a": ("one", "two"), "b": ("three",)}


def test_deadlocks_and_doubled_names_are_refused():
    with pytest.raises(ValueError, match=r"deadlock: a cannot start 'x', b cannot start 'y'"):
        play({"a": [Task("x", 1, ("y",))], "b": [Task("y", 1, ("x",))]})
    with pytest.raises(ValueError, match="'x' comes twice"):
        play({"a": [Task("x", 1)], "b": [Task("x", 1)]})


@pytest.mark.parametrize(("stages", "micro"), [(1, 3), (4, 1), (4, 8)])
def test_gpipe_takes_micro_plus_stages_minus_one_slots(stages, micro):
    orders = gpipe(stages, micro)
    timeline = play(pipeline(orders))
    assert timeline.total == 3 * (micro + stages - 1)
    assert timeline.idle("stage 0") == pytest.approx((stages - 1) / (micro + stages - 1))
    assert [most_alive(order) for order in orders] == [micro] * stages


def test_backward_goes_against_the_stages():
    spans = play(pipeline(gpipe(2, 1), forward=1, backward=3)).spans
    assert spans == {"F0 stage 0": (0, 1), "F0 stage 1": (1, 2), "B0 stage 1": (2, 5), "B0 stage 0": (5, 8)}


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ([[("F", 0)]], r"orders\[0\]"),
        ([[("F", 0), ("B", 0)], [("F", 1), ("B", 1)]], r"orders\[1\]"),
        ([[("F", 0), ("F", 0), ("B", 0)]], r"orders\[0\]"),
        ([[("B", 0), ("F", 0)]], "forward comes first"),
    ],
)
def test_an_order_that_is_no_order_is_refused(orders, words):
    with pytest.raises(ValueError, match=words):
        pipeline(orders)


def test_two_stages_that_wait_for_each_other_are_a_deadlock():
    first = [("F", 0), ("B", 0), ("F", 1), ("B", 1)]
    second = [("F", 0), ("F", 1), ("B", 0), ("B", 1)]
    with pytest.raises(ValueError, match="deadlock"):
        play(pipeline([first, second]))


def test_data_parallel_sends_two_messages_a_layer_and_waits_for_the_last():
    lanes = data_parallel(3, message=0.5)
    timeline = play(lanes)
    assert sum(task.seconds for task in lanes["network"]) == 3 * 2 * 0.5
    assert timeline.spans["R2"] == (5, 6), "the last layer's gradients are ready first"
    assert timeline.total == 3 * 3 + 1, "what is left after the backward pass is the first layer's message"


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_sharded_sends_three_messages_a_layer(layers):
    lanes = sharded(layers, message=0.25)
    timeline = play(lanes)
    assert sum(task.seconds for task in lanes["network"]) == layers * 3 * 0.25
    for i in range(layers):
        for kind in "FB":
            assert timeline.spans[f"G{kind}{i}"][1] <= timeline.spans[f"{kind}{i}"][0], "gathered before it is used"
        assert timeline.spans[f"B{i}"][1] <= timeline.spans[f"S{i}"][0]
    assert timeline.total == 3 * layers + 0.25 + 0.25, "only the first gather and the last scatter are waited for"
