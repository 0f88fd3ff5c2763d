"""`make bench`: what the training core costs, beside the same loop written by hand in plain PyTorch and beside its peers.

One run on one CPU thread. Each contender is timed between two runs of the plain loop (A-B-A) in every round, and its
ratio is its time over the mean of those two; below 1 is faster. The table shows the median ratio with the least and the
largest. Before anything is timed, every contender must take the same number of steps and end at the same loss.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import peers
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from tqdm.auto import tqdm

from course_lib import device, models
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches, chunk_batches
from course_lib.ensemble import train_ensemble
from course_lib.train import train

ROUNDS = 11
PAIR_ROUNDS = 99
EPOCHS_ENOUGH = 10 * PAIR_ROUNDS
LR = 1e-3
SAME_LOSS = 0.02  # relative: the order of the samples differs from contender to contender

# name -> (the goal of the house on one CPU thread of a quiet machine, what the row is)
GOALS = {
    "mlp_tricks": ("", "tiny MLP by hand, with the tricks of the core"),
    "mlp_off": ("<= 0.5", "tiny MLP, the core, features off"),
    "mlp_on": ("<= 0.75", "tiny MLP, the core, all features on"),
    "cnn_tricks": ("", "small CNN by hand, with the tricks of the core"),
    "cnn": ("<= 0.95", "small CNN, the core, features off"),
    "same_tricks": ("<= 1.02", "an epoch of the core over one by hand with its tricks; of MLP and CNN the slower"),
    "seeds8": ("<= 2", "tiny MLP, 8 seeds in one run"),
    "seeds32": ("<= 4", "tiny MLP, 32 seeds in one run"),
    "loader_vectors": (">= 15", "times as fast as a DataLoader: vectors"),
    "loader_images": (">= 8", "times as fast as a DataLoader: images"),
    "import": ("<= 1.05", "import course_lib.train over import torch"),
}


class Task:
    """A model, its data, and the size of a batch: what every contender trains."""

    def __init__(self, make, shape, classes, batch_size, batches):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(batch_size * batches, *shape, generator=generator)
        # learnable, so that equal final losses mean equal training: which of `classes` means is the largest
        self.y = self.x.flatten(1)[:, : classes * 4].unflatten(1, (classes, 4)).mean(2).argmax(1)
        self.make, self.batch_size, self.batches = make, batch_size, batches

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make()

    def loader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.x, self.y), batch_size=self.batch_size, shuffle=True)

    def tensors(self) -> TensorBatches:
        return TensorBatches(self.x, self.y, batch_size=self.batch_size)


def plain(task: Task, epochs: int) -> tuple[int, float]:
    """Train as most tutorials do. Like every contender: return (steps taken, mean loss of the last epoch)."""
    model, steps = task.model(), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    loader = task.loader()
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
            steps += 1
    return steps, total / len(loader)


def same_tricks(task: Task, epochs: int) -> tuple[int, float]:
    *_, report = islice(same_tricks_epochs(task), epochs)
    return report


def same_tricks_epochs(task: Task):
    """Train by hand with the tricks of the core: gather many batches at once, fused AdamW, sums kept on the device."""
    model, steps = task.model(), 0
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(weights, lr=LR, fused=True)
    at_once = chunk_batches(task.tensors()) * task.batch_size
    while True:
        total = torch.zeros(())
        for chunk in torch.randperm(len(task.x)).split(at_once):
            xs, ys = (t.index_select(0, chunk).split(task.batch_size) for t in (task.x, task.y))
            for x, y in zip(xs, ys, strict=True):
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                for weight in weights:
                    weight.grad = None
                total.add_(loss.detach(), alpha=len(y))
                steps += 1
        yield steps, total.item() / len(task.x)


def core(task: Task, epochs: int) -> tuple[int, float]:
    *_, report = train(task.model(), task.tensors(), Config(epochs=epochs, device="cpu", lr=LR))
    return report.steps, report.loss


def core_on(task: Task, epochs: int) -> tuple[int, float]:
    """Train with clipping, a schedule, accuracy, a checkpoint each epoch, and early stopping that watches the loss."""
    with tempfile.TemporaryDirectory() as folder:
        features = {"clip": 1.0, "schedule": "cosine", "accuracy": True, "checkpoint": folder}
        best, patience = float("inf"), 0
        for report in train(task.model(), task.tensors(), Config(epochs=epochs, device="cpu", lr=LR, **features)):
            best, patience = (report.loss, 0) if report.loss < best else (best, patience + 1)
            if patience == 3:
                break
    return report.steps, report.loss


def seeds(copies: int):
    def contender(task: Task, epochs: int) -> tuple[int, float]:
        stacked = [task.model() for _ in range(copies)]
        config = Config(epochs=epochs, device="cpu", lr=LR)
        *_, report = train_ensemble(stacked, task.tensors(), config, seeds=range(copies))
        return epochs * task.batches, statistics.mean(report.losses)

    return contender


def seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def race(baseline, contenders: dict, rounds: int, bar) -> dict[str, list[float]]:
    """Return the ratios of each contender's time to that of `baseline`, timed before and after it, round by round."""
    for contender in contenders.values():
        contender()  # warm-up
    ratios = {name: [] for name in contenders}
    for _ in range(rounds):
        before = seconds(baseline)
        for name, contender in contenders.items():
            took, after = seconds(contender), seconds(baseline)
            ratios[name].append(2 * took / (before + after))
            before = after
            bar.update()
    return ratios


def check_equal(task: Task, epochs: int, contenders: dict) -> None:
    """Raise AssertionError unless every contender takes the steps and reaches the loss of the plain loop."""
    steps, loss = plain(task, epochs)
    for name, contender in contenders.items():
        their_steps, their_loss = contender(task, epochs)
        assert their_steps == steps, f"{name}: {their_steps} steps, the plain loop {steps}"
        assert name == "mlp_on" or abs(their_loss / loss - 1) < SAME_LOSS, f"{name}: loss {their_loss}, plain {loss}"


def race_tasks(bar) -> dict[str, list[float]]:
    tiny = Task(models.mlp, (64,), 10, batch_size=32, batches=200)
    images = Task(lambda: models.small_cnn(classes=10), (1, 16, 16), 10, batch_size=128, batches=10)
    tiny_contenders = {"mlp_tricks": same_tricks, "mlp_off": core, "mlp_on": core_on, "seeds8": seeds(8), "seeds32": seeds(32)}
    image_contenders = {"cnn_tricks": same_tricks, "cnn": core}
    for name, contender in peers.available().items():
        tiny_contenders[name] = image_contenders[f"{name}_cnn"] = contender
    ratios = {}
    for task, epochs, contenders in ((tiny, 3, tiny_contenders), (images, 2, image_contenders)):
        check_equal(task, epochs, contenders)
        bound = {name: lambda c=c, t=task, e=epochs: c(t, e) for name, c in contenders.items()}
        ratios |= race(lambda t=task, e=epochs: plain(t, e), bound, ROUNDS, bar)
        # The goal is on the step, and 2 % are less than the noise between timings that lie apart: two runs that go on,
        # an epoch of one beside an epoch of the other, in many rounds.
        by_hand = same_tricks_epochs(task)
        by_core = train(task.model(), task.tensors(), Config(epochs=EPOCHS_ENOUGH, device="cpu", lr=LR))
        pair = f"{'mlp' if task is tiny else 'cnn'}_same_tricks"
        ratios |= race(lambda r=by_hand: next(r), {pair: lambda r=by_core: next(r)}, PAIR_ROUNDS, bar)
    return ratios


def race_loaders(bar) -> dict[str, list[float]]:
    """Return how many times faster an epoch of TensorBatches is than one of a DataLoader over the same tensors."""
    shapes = {"loader_vectors": ((64,), 32), "loader_images": ((1, 16, 16), 128)}
    ratios = {}
    for name, (shape, size) in shapes.items():
        task = Task(models.mlp, shape, 10, batch_size=size, batches=25_600 // size)
        slow, fast = (lambda t=task: list_length(t.loader())), (lambda t=task: list_length(t.tensors()))
        assert slow() == fast() == task.batches
        ratios[name] = [1 / ratio for ratio in race(slow, {name: fast}, ROUNDS, bar)[name]]
    return ratios


def list_length(batches) -> int:
    return sum(1 for _ in batches)


def race_imports(bar) -> dict[str, list[float]]:
    def importing(statement):
        return lambda: subprocess.run([sys.executable, "-c", statement], check=True)

    return race(importing("import torch"), {"import": importing("import course_lib.train")}, ROUNDS, bar)


def main() -> int:
    torch.set_num_threads(1)
    print(device.one_line(device.describe("cpu")))
    count = ROUNDS * (10 + 2 * len(peers.available())) + 2 * PAIR_ROUNDS
    print(f"{ROUNDS} rounds, about {count * 2.2 / 60:.0f} minutes; peers: {', '.join(peers.available()) or 'none installed'}")
    with tqdm(total=count, unit="timing") as bar:
        ratios = race_tasks(bar) | race_loaders(bar) | race_imports(bar)
    ratios["same_tricks"] = max(ratios["mlp_same_tricks"], ratios["cnn_same_tricks"], key=statistics.median)
    table = {name: (statistics.median(values), min(values), max(values)) for name, values in ratios.items()}
    print(f"\n{'':16}{'median':>8}{'min':>8}{'max':>8}{'goal':>9}")
    for name, (middle, low, high) in table.items():
        goal, what = GOALS.get(name, ("", ""))
        print(f"{name:16}{middle:8.3f}{low:8.3f}{high:8.3f}{goal:>9}  {what}")
    written = {name: round(middle, 4) for name, (middle, _, _) in table.items()}
    written["spread"] = {name: [round(low, 4), round(high, 4)] for name, (_, low, high) in table.items()}
    Path("bench.json").write_text(json.dumps(written, indent=1) + "\n")
    missed = [name for name, (goal, _) in GOALS.items() if goal and not meets(written[name], goal)]
    print(f"\nwrote bench.json; {'goals missed here: ' + ', '.join(missed) if missed else 'every goal is met'}")
    return 0


def meets(value: float, goal: str) -> bool:
    sign, limit = goal.split()
    return value <= float(limit) if sign == "<=" else value >= float(limit)


if __name__ == "__main__":
    sys.exit(main())
