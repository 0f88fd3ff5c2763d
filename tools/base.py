"""`make base`: train the base model that the lessons on smaller models share, and ship its weights.

The recipe is here and nowhere else; what it gave on which machine stands in the header of the file.
"""

import torch
from tqdm.auto import tqdm

from course_lib import compress, device, models, records
from course_lib.compress import weights
from course_lib.config import Config
from course_lib.data import images
from course_lib.data.loaders import TensorBatches
from course_lib.train import train

RECIPE = Config(epochs=16, device="cpu", lr=3e-3, schedule="cosine", warmup=60, seed=0)
BATCH = 128


def train_base(recipe: Config = RECIPE, data=None) -> tuple[torch.nn.Module, records.Result]:
    """Return the trained model, and the record of its training on `data`, by default the glyphs as they are."""
    data = images.glyphs() if data is None else data
    device.seed_everything(recipe.seed)  # the initial weights
    model = models.small_cnn()
    batches = TensorBatches(*data.train, batch_size=BATCH)
    test = TensorBatches(*data.test, batch_size=500, shuffle=False)
    reports = list(tqdm(train(model, batches, recipe, test=test), total=recipe.epochs, unit="epoch", desc="base model"))
    record = records.Result(
        lesson="base_model",
        variant="small_cnn",
        knobs={name: getattr(recipe, name) for name in ("epochs", "lr", "schedule", "warmup", "seed")} | {"batch": BATCH},
        values={
            "accuracy": [report.test_accuracy for report in reports],
            "loss": [report.loss for report in reports],
            "seconds": [report.seconds for report in reports],
        },
        units={"accuracy": "share", "loss": "nats", "seconds": "s"},
        machine=device.describe("cpu"),
        versions=device.versions(),
        data=data.provenance,
        time=records.now(),
        code=records.code_digest("base_model"),
    )
    return model, record


def main() -> None:
    torch.set_num_threads(1)
    print(f"{RECIPE.epochs} epochs of small_cnn on {BATCH} glyphs a step: about half a minute on a CPU")
    model, record = train_base()
    size = compress.save_weights(model, weights.BASE, record)
    print(f"test accuracy {record.values['accuracy'][-1]:.4f}; wrote {weights.BASE.name}, {size:,} bytes")


if __name__ == "__main__":
    main()
