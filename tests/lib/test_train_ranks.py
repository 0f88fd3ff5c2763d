"""`train` on two ranks: the same training as in one process, one all-reduce for an update, and an exact resume."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from course_lib import distributed
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.distributed import exchange
from course_lib.train import train

WORKER = '''
import os
import signal
from dataclasses import asdict
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from course_lib import distributed
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.train import train

with distributed.group() as ranks:
    given = distributed.arguments()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(104, 8, generator=generator)
    targets = inputs[:, :3].argmax(1)
    torch.manual_seed(1 + ranks.rank)  # DistributedDataParallel gives every rank the weights of rank 0
    noisy = [nn.BatchNorm1d(16), nn.Dropout(0.2)] if given["noisy"] else []
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), *noisy, nn.Linear(16, 3)))
    batches = TensorBatches(inputs, targets, batch_size=16).shard(ranks.rank, ranks.world_size)
    test = TensorBatches(inputs, targets, batch_size=52, shuffle=False)
    config = Config(device=str(ranks.device), **given["config"])
    saves = []
    step = torch.optim.AdamW.step

    def deadly(self, *arguments, **named):
        """After its n-th update since the start, rank 1 is gone; n counts on over the restarts."""
        result = step(self, *arguments, **named)
        deadly.updates += 1
        if given["kills"][ranks.restart : ranks.restart + 1] == [deadly.updates] and ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    deadly.updates = 0
    torch.optim.AdamW.step = deadly
    with distributed.traffic() as counted:
        epochs = [asdict(epoch) for epoch in train(model, batches, config, test=test)]
    distributed.report({"weights": model.module.state_dict(), "epochs": epochs, "calls": dict(counted.calls),
                        "bytes": dict(counted.bytes), "restart": ranks.restart, "updates": deadly.updates})
'''


def fresh() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def problem() -> tuple[TensorBatches, TensorBatches]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(104, 8, generator=generator)
    targets = inputs[:, :3].argmax(1)
    return TensorBatches(inputs, targets, batch_size=16), TensorBatches(inputs, targets, batch_size=52, shuffle=False)


def launched(folder: Path, config: dict, *, noisy=False, kills=()) -> list:
    worker = folder / "worker.py"
    worker.write_text(WORKER)
    given = {"config": config, "noisy": noisy, "kills": list(kills)}
    return distributed.launch(worker, arguments=given, restarts=len(kills), timeout=300)


def timeless(epochs: list[dict]) -> list[dict]:
    return [{k: v for k, v in epoch.items() if k not in ("seconds", "samples_per_second")} for epoch in epochs]


def test_two_ranks_train_as_one_process_does_and_send_one_gradient_for_an_update(tmp_path, living):
    choices = {"epochs": 3, "accumulate": 4, "clip": 0.5, "schedule": "cosine", "warmup": 2, "accuracy": True, "lr": 0.01}
    model, (batches, test) = fresh(), problem()
    expected = [vars(epoch) for epoch in train(model, batches, Config(device="cpu", **choices), test=test)]
    ranks = launched(tmp_path, choices)

    assert ranks[0]["epochs"] == ranks[1]["epochs"]  # the seconds, too: those of the slowest
    for name, weight in model.state_dict().items():
        assert torch.equal(ranks[0]["weights"][name], ranks[1]["weights"][name])
        torch.testing.assert_close(ranks[0]["weights"][name], weight, rtol=0, atol=1e-6)
    for ours, theirs in zip(timeless(ranks[0]["epochs"]), timeless(expected), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)

    updates = 3 * 2  # 6 batches an epoch, 4 and 2 of them to an update
    size = 4 * sum(weight.numel() for weight in model.parameters())
    assert [rank["calls"]["all_reduce"] for rank in ranks] == [updates, updates]
    assert [rank["bytes"]["all_reduce"] for rank in ranks] == [updates * size, updates * size]


def test_killed_and_started_again_by_the_launcher_the_weights_are_bit_identical(tmp_path, living, capsys):
    """Rank 1 is killed in the second epoch, between two checkpoints; its dropout then draws what it would have drawn."""
    choices = {"epochs": 3, "schedule": "linear", "lr": 0.01}
    left_alone = launched(tmp_path, choices, noisy=True)
    folder = tmp_path / "checkpoints"
    saving = {**choices, "checkpoint": str(folder), "checkpoint_every": 2}
    killed = launched(tmp_path, saving, noisy=True, kills=[9])

    assert [rank["restart"] for rank in killed] == [1, 1]
    assert [rank["updates"] for rank in killed] == [3 * 6 - 8] * 2  # the last checkpoint was made after 8 updates
    for before, after in zip(left_alone, killed, strict=True):
        assert timeless(before["epochs"]) == timeless(after["epochs"])
        for name, weight in before["weights"].items():
            assert torch.equal(after["weights"][name], weight), name
    assert "[launcher] rank 1 failed: restart 1 of 1" in capsys.readouterr().out
    assert len(list(folder.glob("step-*.pt"))) == 2  # rank 0's: two at once would have raised, or left litter
    with pytest.raises(ValueError, match=r"ranks=2 \(now 1\)"):
        next(train(fresh(), problem()[0], Config(device="cpu", checkpoint=folder, **choices)))


# --- what would not train as one -------------------------------------------------------------------------------------


def refused(monkeypatch, model, batches, test=None, **choices) -> str:
    monkeypatch.setattr(exchange, "world_size", lambda: 2)
    monkeypatch.setattr(exchange, "number", lambda: 0)
    with pytest.raises(ValueError) as caught:
        next(train(model, batches, Config(device="cpu", **choices), test=test))
    return str(caught.value)


def test_a_model_of_its_own_on_each_rank_is_refused(monkeypatch):
    message = refused(monkeypatch, fresh(), problem()[0].shard(0, 2))
    assert message.startswith("model: Sequential is not allowed on 2 ranks") and "DistributedDataParallel" in message


def test_the_same_batches_on_each_rank_are_refused(monkeypatch, alone):
    message = refused(monkeypatch, DistributedDataParallel(fresh()), problem()[0])
    assert message.startswith("batches: one of 1 parts is not allowed on 2 ranks")


def test_a_shard_is_refused_in_one_process_and_as_a_test_set():
    batches, _ = problem()
    with pytest.raises(ValueError, match="batches: one of 2 parts is not allowed on 1 ranks"):
        next(train(fresh(), batches.shard(0, 2), Config(device="cpu")))
    with pytest.raises(ValueError, match="test: part 1 of 2 is not allowed"):
        train(fresh(), batches, Config(device="cpu"), test=batches.shard(1, 2))


def test_a_checkpoint_of_a_sharded_model_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(exchange, "is_sharded", lambda model: True)
    assert "torch.distributed.checkpoint" in refused(monkeypatch, fresh(), problem()[0].shard(0, 2), checkpoint=tmp_path)


def test_a_model_wrapped_on_another_device_is_refused(monkeypatch):
    monkeypatch.setattr(exchange, "is_sharded", lambda model: True)
    message = refused(monkeypatch, fresh().to("meta"), problem()[0].shard(0, 2))
    assert message.startswith("device: 'cpu' is not allowed for a model that was wrapped on 'meta'")


# --- parts of batches ------------------------------------------------------------------------------------------------


@given(
    ranks=st.integers(1, 5), part=st.integers(1, 6), rest=st.integers(0, 4), batches=st.integers(1, 5), epoch=st.integers(0, 3)
)
def test_the_parts_of_a_batch_are_the_batch(ranks, part, rest, batches, epoch):
    size = ranks * part
    whole = TensorBatches(torch.arange(batches * size + rest % size), batch_size=size)
    parts = [whole.shard(rank, ranks).to("cpu") for rank in range(ranks)]
    start = batches // 2
    assert all(len(shard) == len(whole) for shard in parts)
    taken = [list(shard.epoch(epoch, seed=7, start=start)) for shard in parts]
    for i, (batch,) in enumerate(whole.epoch(epoch, seed=7, start=start)):
        assert all(len(taken[rank][i][0]) == part for rank in range(ranks))
        assert torch.equal(torch.cat([taken[rank][i][0] for rank in range(ranks)]), batch)


@pytest.mark.parametrize(
    "rank, ranks, more, words",
    [
        (0, 0, {}, "ranks: 0"),
        (2, 2, {}, "rank: 2"),
        (-1, 2, {}, "rank: -1"),
        (True, 2, {}, "rank: True"),
        (0, 3, {}, "batch_size: 16 samples cannot be divided among 3 ranks"),
        (0, 2, {"drop_last": False}, "drop_last: False"),
    ],
)
def test_parts_that_would_not_be_equal_are_refused(rank, ranks, more, words):
    batches = TensorBatches(torch.arange(40), batch_size=16, **more)
    with pytest.raises(ValueError, match=words):
        batches.shard(rank, ranks)


def test_a_part_is_not_parted_again():
    with pytest.raises(ValueError, match="part 1 of 2 already"):
        problem()[0].shard(1, 2).shard(0, 2)
