"""Bad input, from a typing error to a broken file: each gives an error that says what is wrong, before any work begins.

One table: what is called, the error, and words that must be in it. No weight may have changed and no file may have been
written. The tests of each module hold its other arguments, test_train_checks.py what is found later.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from course_lib import data, device, intervals, measure, models
from course_lib.checkpoint import CheckpointError
from course_lib.config import Config
from course_lib.data.loaders import TensorBatches
from course_lib.data.pictures import Pictures, list_pictures, whole_batch
from course_lib.ensemble import train_ensemble
from course_lib.train import evaluate, train

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)
TOKENS = torch.arange(1, 257, 2).view(8, 16)


def batched(*tensors, batch_size=16, **options):
    return TensorBatches(*tensors, batch_size=batch_size, **options)


def linear(outputs=3):
    torch.manual_seed(0)
    return nn.Linear(8, outputs)


class Yields:
    """Batches that come, and the length that is claimed."""

    def __init__(self, *batches, length=None):
        self.batches, self.length = batches, len(batches) if length is None else length

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(self.batches)


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield X[0], Y[0]


class Two(nn.Module):
    """A model that returns two things, as many with an auxiliary head do."""

    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, x):
        return self.layer(x), x


class Bench:
    """Where the calls of the table run: it knows every model it made and the folder that has to stay empty."""

    def __init__(self, folder):
        self.folder, self.models = folder, []

    def watch(self, model):
        self.models.append((model, [value.clone() for value in model.state_dict().values()]))
        return model

    def train(self, batches=None, *, model=None, config=None, fields=None, **arguments):
        batches = batched(X, Y) if batches is None else batches
        model = self.watch(linear()) if model is None else self.watch(model) if isinstance(model, nn.Module) else model
        config = config or Config(device="cpu", checkpoint=self.folder, **(fields or {}))
        return list(train(model, batches, config, **arguments))

    def ensemble(self, batches=None, *, copies=None, seeds=(0, 1), config=None, **arguments):
        batches = batched(X, Y) if batches is None else batches
        copies = [self.watch(linear()), self.watch(linear())] if copies is None else copies
        return list(train_ensemble(copies, batches, config or Config(device="cpu"), seeds=seeds, **arguments))

    def evaluate(self, batches, model=None, **arguments):
        return evaluate(self.watch(linear()) if model is None else model, batches, **arguments)

    def path(self, name, content):
        """A file outside of the folder that has to stay empty."""
        path = self.folder.parent / name
        path.write_bytes(content)
        return path

    def assert_untouched(self):
        assert list(self.folder.iterdir()) == []
        for model, before in self.models:
            assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before, strict=True))


def language_model():
    return models.ByteLM(32, layers=1, heads=2, context=16)


def detached(outputs, targets):
    return F.cross_entropy(outputs, targets).detach()


def each(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")


def by_hand(outputs, targets):
    return ((outputs - targets) ** 2).mean()


OF_OTHERS = torch.optim.SGD(linear().parameters(), lr=0.1)
ONE_OUTPUT = {"model": linear(1), "loss": F.mse_loss}
FLOATS = X[:, 0].contiguous()

# what -> (call, error, words that it has)
TARGETS = {
    "floats": (lambda b: b.train(batched(X, Y.float())), ValueError, "targets: (16,) torch.float32", "torch.int64"),
    "int32": (lambda b: b.train(batched(X, Y.int())), ValueError, "targets: ", "torch.int32", "are torch.int64"),
    "bools": (lambda b: b.train(batched(X, Y > 0)), ValueError, "targets: ", "torch.bool", "are torch.int64"),
    "a column": (lambda b: b.train(batched(X, Y[:, None])), ValueError, "shape (16, 1)", "outputs (16, 3) it is (16,)"),
    "a class too many": (lambda b: b.train(batched(X, Y + 1)), ValueError, "class 3 is", "have 3, numbered from 0"),
    "a rare class too many": (
        lambda b: b.train(batched(X, torch.cat([Y[:-1], torch.tensor([7])]), shuffle=False)), ValueError, "class 7 is",
    ),
    "negative": (lambda b: b.train(batched(X, Y - 1)), ValueError, "targets: class -1 is not allowed"),
    "one of a DataLoader": (
        lambda b: b.train(DataLoader(TensorDataset(X, Y + 1), 16)), ValueError, "targets: class 3 is not allowed",
    ),
    "bytes of a language model": (
        lambda b: b.train(batched(TOKENS, TOKENS, batch_size=4), model=language_model()), ValueError,
        "shape (4, 16)", "it is (4, 256)", "come last", "models.token_loss",
    ),
    "a row against a column": (lambda b: b.train(batched(X, FLOATS), **ONE_OUTPUT), ValueError, "(16, 1)", "(16,)", "shape"),
    "a column against a row": (
        lambda b: b.train(batched(X, FLOATS[:, None]), model=nn.Sequential(linear(1), nn.Flatten(0)), loss=by_hand),
        ValueError, "outputs (16,)", "targets (16, 1)",
    ),
    "a spread in a loss of one's own": (
        lambda b: b.train(batched(X, FLOATS), model=linear(1), loss=by_hand), ValueError, "targets: ", "the outputs' shape",
    ),
    "cross_entropy of one number": (
        lambda b: b.train(model=nn.Sequential(linear(1), nn.Flatten(0))), ValueError, "outputs: shape (16,)", "classes",
    ),
    "numbers, with accuracy": (
        lambda b: b.train(batched(X, FLOATS[:, None]), **ONE_OUTPUT, fields={"accuracy": True}), ValueError,
        "accuracy: True is not allowed for outputs (16, 1)", "whole numbers",
    ),
}  # fmt: skip
INPUTS = {  # torch's own words are clear here; a note adds what the batch holds
    "float64": (lambda b: b.train(batched(X.double(), Y)), RuntimeError, "Double and Float", "batch 0 of epoch 0: inputs (16"),
    "whole numbers": (lambda b: b.train(batched(X.byte(), Y)), RuntimeError, "Byte and Float", "inputs (16, 8) torch.uint8"),
    "too narrow": (lambda b: b.train(batched(X[:, :7], Y)), RuntimeError, "16x7 and 8x3", "inputs (16, 7) torch.float32"),
    "bytes above 255": (
        lambda b: b.train(batched(TOKENS + 1, TOKENS, batch_size=8), model=language_model(), loss=models.token_loss),
        IndexError, "out of range", "inputs (8, 16) torch.int64 from ", " to 256",
    ),
    "one text": (lambda b: language_model()(TOKENS[0]), ValueError, "tokens: shape (16,) is not allowed; it is (B, T)"),
    "a tiny picture": (lambda b: models.small_cnn()(torch.zeros(1, 1, 3, 3)), RuntimeError, "Output size is too small"),
    "outputs that are two": (lambda b: b.train(model=Two()), TypeError, "must be Tensor, not tuple", "inputs (16, 8)"),
}  # fmt: skip
BATCHES = {
    "one tensor": (lambda b: b.train(batched(X)), ValueError, "batches: 1 tensors", "inputs and targets"),
    "three tensors": (lambda b: b.train(batched(X, Y, Y)), ValueError, "batches: 3 tensors"),
    "a loader of inputs": (lambda b: b.train(DataLoader(X, 2)), TypeError, "batches: a batch that is Tensor", "two tensors"),
    "dictionaries": (lambda b: b.train(Yields({"x": X, "y": Y})), TypeError, "a batch that is dict", "(inputs, targets)"),
    "lists of numbers": (lambda b: b.train(Yields(([1.0], [1]))), TypeError, "tuple of 2 (list, list)"),
    "arrays": (lambda b: b.train(Yields((X.numpy(), Y.numpy()))), TypeError, "tuple of 2 (ndarray, ndarray)"),
    "other lengths": (lambda b: b.train(Yields((X, Y[:9]))), ValueError, "shapes (64, 8) and (9,)", "same first dimension"),
    "a single target": (lambda b: b.train(Yields((X[:1], Y[0]))), ValueError, "shapes (1, 8) and ()"),
    "an empty batch": (lambda b: b.train(Yields((X[:0], Y[:0]))), ValueError, "shapes (0, 8) and (0,)", "above 0"),
    "none, though promised": (lambda b: b.train(Yields(length=3)), ValueError, "batches: not one batch came", "used up"),
    "without a length": (lambda b: b.train(DataLoader(Endless(), 4)), TypeError, "batches: DataLoader", "with a length"),
    "a generator": (lambda b: b.train(batch for batch in batched(X, Y)), TypeError, "batches: generator is not allowed"),
    "a number": (lambda b: b.train(3), TypeError, "batches: int is not allowed; give TensorBatches or a DataLoader"),
}
ARGUMENTS = {
    "a class of models": (lambda b: b.train(model=nn.Linear), TypeError, "model: type is not allowed; give a torch.nn.Module"),
    "nothing to train": (lambda b: b.train(model=nn.Flatten()), ValueError, "model: none of its weights", "gradient"),
    "all frozen": (lambda b: b.train(model=linear().requires_grad_(False)), ValueError, "model: none of its weights"),
    "a config that is a dict": (lambda b: b.train(config={"epochs": 1}), TypeError, "config: dict is", "a Config"),
    "a loss by name": (lambda b: b.train(loss="mse"), TypeError, "loss: 'mse' is not allowed", "(outputs, targets)"),
    "a class of losses": (lambda b: b.train(loss=nn.MSELoss), TypeError, "loss: ", "MSELoss", "an instance of the class"),
    "a loss for each sample": (lambda b: b.train(loss=each), ValueError, "loss: it returned shape (16,)", "(), the mean"),
    "a loss that is a float": (lambda b: b.train(loss=lambda o, t: 0.5), TypeError, "loss: it returned float"),
    "a detached loss": (lambda b: b.train(loss=detached), ValueError, "loss: ", "does not depend on the weights", "detach()"),
    "an optimizer ready made": (lambda b: b.train(optimizer=OF_OTHERS), TypeError, "optimizer: SGD", "lambda weights: "),
    "another model's optimizer": (lambda b: b.train(optimizer=lambda w: OF_OTHERS), ValueError, "optimizer: it holds no"),
    "no optimizer made": (lambda b: b.train(optimizer=lambda w: None), TypeError, "optimizer: what it made, NoneType"),
    "a warm-up beyond the run": (lambda b: b.train(fields={"warmup": 5}), ValueError, "warmup: 5 is", "has 4 optimizer steps"),
    "a file for a folder": (
        lambda b: b.train(config=Config(device="cpu", checkpoint=b.path("file", b""))), CheckpointError, "file", "directory",
    ),
}  # fmt: skip
TESTS = {  # refused before training, too
    "test: one tensor": (lambda b: b.train(test=batched(X, drop_last=False)), ValueError, "test: 1 tensors"),
    "test: floats": (lambda b: b.train(test=batched(X, Y.float(), batch_size=32)), ValueError, "targets: (32,) torch.float32"),
    "test: empty": (lambda b: b.train(test=[]), ValueError, "test: there is not one batch in it"),
    "test: a generator": (lambda b: b.train(test=iter([])), TypeError, "test: list_iterator is not allowed"),
    "test: too narrow": (lambda b: b.train(test=batched(X[:, :7], Y)), RuntimeError, "after 0 test samples: inputs (16, 7)"),
    "evaluate: no model": (lambda b: evaluate(None, [(X, Y)]), TypeError, "model: NoneType is not allowed"),
    "evaluate: no batches": (lambda b: b.evaluate(None), TypeError, "test: NoneType is not allowed; give TensorBatches"),
    "evaluate: nothing comes": (lambda b: b.evaluate(iter([])), ValueError, "test: not one batch came out of it"),
    "evaluate: one tensor": (lambda b: b.evaluate([(X,)]), TypeError, "test: a batch that is tuple of 1 (Tensor)"),
    "evaluate: a column": (lambda b: b.evaluate([(X, Y[:, None])]), ValueError, "targets: shape (64, 1) is not allowed"),
    "evaluate: a class too many": (lambda b: b.evaluate([(X, Y), (X, Y + 1)]), IndexError, "after 64 test samples", "to 3"),
    "evaluate: a spread": (
        lambda b: b.evaluate([(X, FLOATS)], **ONE_OUTPUT), ValueError, "outputs (64, 1)", "targets (64,)",
    ),
    "evaluate: device": (lambda b: b.evaluate([(X, Y)], on="gpu"), ValueError, "device: 'gpu' is not known", "'auto'"),
    "evaluate: autocast": (lambda b: b.evaluate([(X, Y)], autocast="bf16"), TypeError, "autocast: 'bf16'", "device.autocast"),
}  # fmt: skip
CONFIGS = {
    "an unknown name": (lambda b: Config(epoch=3), TypeError, "unexpected keyword argument 'epoch'"),
    "a number alone": (lambda b: Config(3), TypeError, "positional"),
    "epochs nan": (lambda b: Config(epochs=float("nan")), ValueError, "epochs: nan is not allowed; it is a whole number"),
    "epochs of NumPy": (lambda b: Config(epochs=np.int64(3)), ValueError, "epochs: np.int64(3)", "a whole number"),
    "seed of 33 bits": (lambda b: Config(seed=2**32), ValueError, "seed: 4294967296", "from 0 to 2**32 - 1"),
    "lr beyond floats": (lambda b: Config(lr=10**400), ValueError, "lr: 1000", "a finite number above 0"),
    "lr True": (lambda b: Config(lr=True), ValueError, "lr: True is not allowed"),
    "lr a tensor": (lambda b: Config(lr=torch.tensor(0.1)), ValueError, "lr: tensor(0.1000) is not allowed"),
    "clip True": (lambda b: Config(clip=True), ValueError, "clip: True is not allowed; it is None or a finite number"),
    "precision a dtype": (
        lambda b: Config(precision=torch.bfloat16),
        ValueError,
        "precision: torch.bfloat16",
        "fp32, tf32, bf16",
    ),
    "precision a list": (lambda b: Config(precision=["fp32"]), ValueError, "precision: ['fp32'] is not known"),
    "tf32 without its units": (
        lambda b: Config(device="cpu", precision="tf32"),
        ValueError,
        "'tf32' needs a CUDA GPU",
        "'bf16'",
    ),
    "schedule a list": (lambda b: Config(schedule=["cosine"]), ValueError, "schedule: ['cosine']", "constant, linear, cosine"),
    "device None": (lambda b: Config(device=None), ValueError, "device: None is not known", "'cuda:N'"),
    "a GPU too many": (lambda b: Config(device="cuda:99"), ValueError, "device: 'cuda:99' is not on this machine", "'auto'"),
}
LOADERS = {
    "an array": (lambda b: batched(X.numpy()), TypeError, "tensors[0]: ndarray is not allowed", "torch.as_tensor"),
    "a data set": (lambda b: batched(X, TensorDataset(Y)), TypeError, "tensors[1]: TensorDataset is not allowed"),
    "a single number": (lambda b: batched(torch.tensor(3)), ValueError, "tensors[0]: ()", "(samples, ...)"),
    "sparse": (lambda b: batched(X.to_sparse()), ValueError, "tensors[0]: (64, 8) torch.sparse_coo", "dense"),
    "with gradients": (lambda b: batched(X.clone().requires_grad_()), ValueError, "requires_grad=True", "detach()"),
    "on two devices": (lambda b: batched(X, Y.to("meta")), ValueError, "tensors: they lie on cpu, meta", "one device"),
    "shuffle a text": (lambda b: batched(X, shuffle="no"), ValueError, "shuffle: 'no' is not allowed; it is True or False"),
    "drop_last None": (lambda b: batched(X, drop_last=None), ValueError, "drop_last: None is not allowed"),
    "a start below 0": (lambda b: list(batched(X).epoch(0, start=-1)), ValueError, "start: -1 is not allowed", "from 0 on"),
    "a split that is no pair": (
        lambda b: data.Dataset("d", X, (X, Y), (), {}),
        ValueError,
        "train: Tensor",
        "(inputs, targets)",
    ),
}
ENSEMBLES = {
    "one model": (lambda b: b.ensemble(copies=linear()), TypeError, "models: Linear is not allowed; give a list"),
    "a number of seeds": (lambda b: b.ensemble(seeds=2), TypeError, "seeds: int is not allowed; give a list"),
    "half a seed": (lambda b: b.ensemble(seeds=[0.5, 1]), ValueError, "seeds: 0.5 is not allowed", "2**32 - 1"),
    "no models": (lambda b: b.ensemble(copies=[], seeds=[]), ValueError, "seeds: 0 seeds for 0 models", "at least one"),
    "no modules": (lambda b: b.ensemble(copies=[1, 2]), TypeError, "model: int is not allowed"),
    "other shapes": (lambda b: b.ensemble(copies=[linear(), linear(4)]), ValueError, "copies of one architecture"),
    "one model twice": (lambda b: b.ensemble(copies=[linear()] * 2), ValueError, "twice"),
    "a DataLoader": (
        lambda b: b.ensemble(DataLoader(TensorDataset(X, Y), 16)),
        TypeError,
        "batches: DataLoader",
        "TensorBatches",
    ),
    "a list to test": (lambda b: b.ensemble(test=[(X, Y)]), TypeError, "test: list is not allowed", "give TensorBatches"),
    "a test that drops": (lambda b: b.ensemble(test=batched(X, Y, batch_size=48)), ValueError, "test: 16 of 64 samples"),
    "float targets": (lambda b: b.ensemble(batched(X, Y.float())), ValueError, "targets: (16,) torch.float32"),
    "a class too many in all": (lambda b: b.ensemble(batched(X, Y + 1)), ValueError, "targets: class 3 is not allowed"),
    "a config by name": (lambda b: b.ensemble(config="fast"), TypeError, "config: str is not allowed"),
}
OTHERS = {
    "mlp of no layer": (lambda b: models.mlp(layers=0), ValueError, "layers: 0 is not allowed; it is a whole number from 1 on"),
    "mlp of half a unit": (lambda b: models.mlp(hidden=1.5), ValueError, "hidden: 1.5 is not allowed"),
    "no class": (lambda b: models.small_cnn(classes=0), ValueError, "classes: 0 is not allowed"),
    "no head": (lambda b: models.ByteLM(heads=0), ValueError, "heads: 0 is not allowed"),
    "timing on a device": (lambda b: measure.time_call(list, device="gpu"), RuntimeError, "Expected one of cpu, cuda", "gpu"),
    "timing with arguments": (lambda b: measure.time_call(lambda x: x), TypeError, "missing 1 required", "'x'"),
    "a dtype by name": (lambda b: measure.matmul_rate(8, "bf16"), ValueError, "dtype: 'bf16'", "torch.bfloat16"),
    "memory of nothing": (lambda b: measure.peak_memory(None), ValueError, "fn: None is not allowed", "lambda: model(x)"),
    "a level by name": (lambda b: intervals.mean_interval([1, 2], "high"), ValueError, "level: 'high'", "between 0 and 1"),
    "texts for numbers": (lambda b: intervals.mean_interval("abc"), ValueError, "values: 'abc'", "finite numbers"),
    "ragged lists": (lambda b: intervals.mean_interval([[1], [2, 3]]), ValueError, "values: [[1], [2, 3]]"),
    "a mode mistyped": (
        lambda b: device.matmul_precision("TF32", "cpu").__enter__(), ValueError, "precision: 'TF32' is not known", "tf32",
    ),
}  # fmt: skip
PICTURES = {
    "no folder": (lambda b: list_pictures(b.folder / "gone"), ValueError, "gone' is no folder", "a subfolder for each class"),
    "an empty folder": (lambda b: list_pictures(b.folder), ValueError, "has no subfolder"),
    "no pictures": (lambda b: Pictures([], []), ValueError, "paths: []", "one or more files"),
    "a file that is gone": (lambda b: Pictures([b.folder / "a.jpg"], [0]), ValueError, "a.jpg' is no file, 1 of 1"),
    "an empty file": (
        lambda b: Pictures([b.path("empty.jpg", b"")], [0])[0], ValueError, "empty.jpg: not a whole JPEG file",
    ),
    "a page of text": (
        lambda b: list(DataLoader(Pictures([b.path("page.jpg", b"<html>" * 99)], [0]), 1, collate_fn=whole_batch)),
        ValueError, "page.jpg: not a whole JPEG file",
    ),
    "only damaged files": (
        lambda b: Pictures([b.path("cut.jpg", b"\xff\xd8\xff\xe0")], [0], skip_damaged=True), ValueError,
        "all 1 files are damaged", "cut.jpg",
    ),
    "decoded bytes for floats": (
        lambda b: b.train(Yields((torch.zeros(4, 3, 8, 8, dtype=torch.uint8), Y[:4])), model=models.small_cnn(3, channels=3)),
        RuntimeError, "inputs (4, 3, 8, 8) torch.uint8 from 0 to 0",
    ),
}  # fmt: skip
TABLES = {
    "targets": TARGETS, "inputs": INPUTS, "batches": BATCHES, "arguments": ARGUMENTS, "test": TESTS, "config": CONFIGS,
    "loaders": LOADERS, "ensemble": ENSEMBLES, "others": OTHERS, "pictures": PICTURES,
}  # fmt: skip
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named_before_any_work(name, tmp_path):
    call, error, *words = CASES[name]
    (tmp_path / "run").mkdir()
    bench = Bench(tmp_path / "run")
    with pytest.raises(error) as caught:
        call(bench)
    assert type(caught.value) is error
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert [word for word in words if word not in told] == [], told
    bench.assert_untouched()
