"""Exact resume: a training process is killed (SIGKILL) at random moments, again and again, and nothing of it shows.

`python tests/lib/test_resume.py 100` makes 100 kills and says how long they took.
"""

import multiprocessing
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.train import train

KILLS_IN_A_RUN = 20
EPOCHS, SAMPLES, BATCH = 12, 504, 8  # 63 batches an epoch: with accumulation over 4 the last group is a short one

VARIANTS = {
    "all techniques": {
        "accumulate": 4,
        "clip": 0.5,
        "schedule": "cosine",
        "warmup": 10,
        "accuracy": True,
        "checkpoint_every": 1,
    },
    "scaled fp16": {"precision": "fp16", "clip": 0.5, "checkpoint_every": 10},
    "shuffling DataLoader": {"schedule": "linear", "checkpoint_every": 5},
}


def problem(variant: str) -> tuple[nn.Module, object, TensorBatches]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES, 16, generator=generator)
    targets = inputs[:, :4].argmax(1)
    if variant == "scaled fp16":
        inputs = inputs * 30  # gradients overflow at the first scale: it has a history that a resume must not forget
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4))
    test = TensorBatches(inputs[:100], targets[:100], batch_size=50, shuffle=False)
    if variant == "shuffling DataLoader":  # shuffles by torch's global generator, from which dropout draws, too
        return model, DataLoader(TensorDataset(inputs, targets), batch_size=BATCH, shuffle=True), test
    return model, TensorBatches(inputs, targets, batch_size=BATCH), test


def work(variant: str, result: Path, folder: Path | None) -> None:
    """Train to the end and leave the weights and what the epochs reported; runs in a process of its own."""
    torch.set_num_threads(1)
    model, batches, test = problem(variant)
    choices = dict(VARIANTS[variant])
    if folder is None:
        del choices["checkpoint_every"]
    config = Config(epochs=EPOCHS, device="cpu", lr=3e-3, seed=3, checkpoint=folder, **choices)
    epochs = [asdict(epoch) for epoch in train(model, batches, config, test=test)]
    for epoch in epochs:
        del epoch["seconds"], epoch["samples_per_second"]
    torch.save((model.state_dict(), epochs), result)


def started(*arguments) -> multiprocessing.Process:
    """Start `work` in a process forked from a server that has imported torch: a fraction of a second instead of four.

    The first optimizer of a process imports torch._dynamo, so the server does that as well.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["course_lib.train", "torch._dynamo"])
    process = context.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def newest(folder: Path) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.pt")), default=0)


def run_under_fire(variant: str, result: Path, folder: Path, kills: int, dice: random.Random) -> tuple[int, int]:
    """Train to the end under up to `kills` kills; return how many struck, and how many of those inside a save.

    Each waits for a new checkpoint at or after a random batch, and then for a random time, about as long as that between
    two checkpoints; every other one then also waits for the next save to begin, as a save is short and the tender moment.
    """
    struck = in_save = 0
    batches = sorted(dice.sample(range(1, int(0.95 * EPOCHS * SAMPLES / BATCH)), kills))
    for batch, aimed in zip(batches, cycle((False, True))):
        batch = max(batch, newest(folder) + 1)
        process = started(variant, result, folder)
        while process.is_alive() and newest(folder) < batch:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.03))
        while aimed and process.is_alive() and not any(folder.glob(".saving-*")):
            pass
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:  # it was done before
            break
        struck += 1
        in_save += any(folder.glob(".saving-*"))
    process = started(variant, result, folder)
    process.join()
    assert process.exitcode == 0
    return struck, in_save


def hold(variant: str, kills: int, folder: Path) -> tuple[int, int]:
    """Kill `kills` times, over as many runs as that takes; compare each run with one that was left alone."""
    left_alone = started(variant, folder / "left_alone.pt", None)
    left_alone.join()
    assert left_alone.exitcode == 0
    weights, epochs = torch.load(folder / "left_alone.pt", weights_only=True)
    assert epochs[-1]["loss"] < epochs[0]["loss"]  # it does train

    dice = random.Random(4)
    struck = in_save = runs = 0
    while struck < kills:
        runs += 1
        now = min(KILLS_IN_A_RUN, kills - struck)
        counts = run_under_fire(variant, folder / f"{runs}.pt", folder / f"run-{runs}", now, dice)
        struck, in_save = struck + counts[0], in_save + counts[1]
        weights_now, epochs_now = torch.load(folder / f"{runs}.pt", weights_only=True)
        assert weights_now.keys() == weights.keys()
        for name, value in weights.items():
            assert torch.equal(weights_now[name], value), name
        assert epochs_now == epochs
    return struck, in_save


@pytest.mark.parametrize("variant, kills", [("all techniques", 20), ("scaled fp16", 5), ("shuffling DataLoader", 5)])
def test_killed_at_random_moments_the_final_weights_are_bit_identical(tmp_path, variant, kills):
    assert hold(variant, kills, tmp_path)[0] == kills


if __name__ == "__main__":
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        kills, in_save = hold("all techniques", int(sys.argv[1]), Path(temporary))
    seconds = time.perf_counter() - began
    print(f"{kills} kills in {seconds:.0f} s, {in_save} of them inside a save: the final weights are bit-identical")
