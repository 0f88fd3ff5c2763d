"""The peers of the benchmark: the same training in the libraries that learners may know, where they are installed.

Each is set up as its documentation says, with what it would write to the disk or the screen turned off, so that loops
are compared and not logs.
"""

import importlib.util
import logging
import warnings

import torch
from torch.nn import functional as F

LR = 1e-3


def available() -> dict:
    """Return the contenders whose library is installed, by name."""
    every = {"accelerate": ("accelerate", accelerate), "lightning": ("lightning", lightning)}
    every |= {"ignite": ("ignite", ignite), "skorch": ("skorch", skorch)}
    return {name: contender for name, (module, contender) in every.items() if importlib.util.find_spec(module)}


def accelerate(task, epochs: int) -> tuple[int, float]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, steps = task.model(), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    model, optimizer, loader = accelerator.prepare(model, optimizer, task.loader())
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            total += loss.item()
            steps += 1
    return steps, total / len(loader)


def lightning(task, epochs: int) -> tuple[int, float]:
    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.total = task.model(), 0.0

        def on_train_epoch_start(self):
            self.total = 0.0

        def training_step(self, batch, _):
            loss = F.cross_entropy(self.model(batch[0]), batch[1])
            self.total += loss.item()
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=LR)

    module = Module()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, **quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on data loader workers
        trainer.fit(module, task.loader())
    return trainer.global_step, module.total / task.batches


def ignite(task, epochs: int) -> tuple[int, float]:
    from ignite.engine import Events, create_supervised_trainer

    model = task.model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    trainer = create_supervised_trainer(model, optimizer, F.cross_entropy)
    losses = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output))
    trainer.run(task.loader(), max_epochs=epochs)
    last = losses[-task.batches :]
    return trainer.state.iteration, sum(last) / len(last)


def skorch(task, epochs: int) -> tuple[int, float]:
    from skorch import NeuralNet

    net = NeuralNet(
        task.model(), torch.nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, lr=LR, max_epochs=epochs,
        batch_size=task.batch_size, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    net.fit(task.x, task.y)
    return len(net.history) * len(net.history[-1]["batches"]), net.history[-1]["train_loss"]
