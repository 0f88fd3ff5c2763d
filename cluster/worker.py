"""Train one small network on all ranks together: under a notebook's `launch`, torchrun on several hosts, or Slurm.

First the ranks check each other: the gradients that they average must be those that one process computes alone. Then they
train. The run goes on from the newest checkpoint in `folder`, so the command that starts it is the one that repairs it.

    torchrun ... cluster/worker.py '{"folder": "/shared/run"}'
"""

import hashlib

import torch
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from course_lib import distributed, models
from course_lib.config import Config
from course_lib.data.images import glyphs
from course_lib.data.loaders import TensorBatches
from course_lib.train import train

BATCH = 96  # samples of one step, over all ranks


def gradients(model: torch.nn.Module, batches: TensorBatches, device: torch.device) -> list[torch.Tensor]:
    """Return the gradients of the first batch's loss; under DDP they are averaged over the ranks."""
    inputs, targets = (tensor.to(device) for tensor in next(batches.epoch(0)))
    model.zero_grad()
    F.cross_entropy(model(inputs), targets).backward()
    return [weight.grad.clone() for weight in model.parameters()]


def difference(model: DistributedDataParallel, whole: TensorBatches, share: TensorBatches, device: torch.device) -> float:
    """Return the largest difference of a gradient between all ranks on their shares and one process on the whole batch."""
    pairs = zip(gradients(model, share, device), gradients(model.module, whole, device), strict=True)
    largest = max((together - alone).abs().max().item() for together, alone in pairs)
    model.zero_grad()
    return largest


def main() -> None:
    given = {"folder": None, "epochs": 5, "patience": 15.0} | distributed.arguments()  # patience in seconds
    with distributed.group(given["patience"]) as ranks:
        data = glyphs(n_train=960, n_test=240)
        whole = TensorBatches(*data.train, batch_size=BATCH)
        share = whole.shard(ranks.rank, ranks.world_size)
        torch.manual_seed(0)
        model = DistributedDataParallel(models.small_cnn().to(ranks.device))
        largest = difference(model, whole, share, ranks.device)
        every = 0 if given["folder"] is None else 5
        config = Config(
            epochs=given["epochs"], device=str(ranks.device), lr=3e-3, checkpoint=given["folder"], checkpoint_every=every
        )
        for epoch in train(model, share, config):
            if ranks.rank == 0:
                print(f"epoch {epoch.number} at step {epoch.steps}: loss {epoch.loss:.3f}, {epoch.seconds:.6f} s", flush=True)
        weights = b"".join(weight.detach().cpu().numpy().tobytes() for weight in model.parameters())
        distributed.report({"difference": largest, "weights": hashlib.sha256(weights).hexdigest()})


if __name__ == "__main__":
    main()
