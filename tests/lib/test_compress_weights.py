"""Weights on disk: what was saved comes back, anything else is named; and the base model is what its record says."""

import os

import pytest
import torch
from safetensors.torch import save_file

from course_lib import compress, models
from course_lib.compress import weights
from course_lib.data import images
from course_lib.data.loaders import TensorBatches
from course_lib.train import evaluate
from tools import base


@pytest.fixture(scope="module")
def record():
    return compress.base_record()


def test_the_base_model_scores_what_its_record_says(record):
    data = images.glyphs()
    assert record.data == data.provenance, "the glyphs have changed: run `make base`"
    _, accuracy = evaluate(compress.base_model(), TensorBatches(*data.test, batch_size=500, shuffle=False))
    assert abs(accuracy - record.values["accuracy"][-1]) < 0.005
    assert accuracy > 0.9
    assert not compress.base_model().training


def test_the_base_model_was_trained_by_the_recipe_in_the_tree(record):
    assert record.knobs == {"epochs": 16, "lr": 3e-3, "schedule": "cosine", "warmup": 60, "seed": 0, "batch": base.BATCH}
    assert len(record.values["loss"]) == base.RECIPE.epochs == 16


def test_the_command_trains_and_ships(monkeypatch, tmp_path, capsys, record):
    small = images.glyphs(n_train=256, n_test=500)
    recipe = base.Config(epochs=1, device="cpu", lr=1e-3)
    monkeypatch.setattr(weights, "BASE", tmp_path / "base.safetensors")
    weights.BASE.write_bytes(b"damaged")  # which the command mends
    monkeypatch.setattr(base, "train_base", lambda train=base.train_base: train(recipe, small))
    base.main()
    assert "wrote base.safetensors" in capsys.readouterr().out
    made = compress.base_record(weights.BASE)
    assert made.knobs["epochs"] == 1 and made.data == small.provenance


def test_weights_come_back_bit_by_bit(tmp_path, record):
    model, other = models.small_cnn(), models.small_cnn()
    size = compress.save_weights(model, tmp_path / "w.safetensors", record)
    assert size == os.path.getsize(tmp_path / "w.safetensors")
    assert compress.load_weights(other, tmp_path / "w.safetensors") == record
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert os.listdir(tmp_path) == ["w.safetensors"]


@pytest.mark.parametrize("where", [0.001, 0.02, 0.3, 0.7, 0.9999])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_is_refused_and_changes_nothing(tmp_path, where, cut):
    content = bytearray(weights.BASE.read_bytes())
    at = int(where * len(content))
    content[at] ^= 0x40
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[:at] if cut else content)
    model = models.small_cnn()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="damaged"):
        compress.load_weights(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"12\.bias is float32 \(20,\), the model's float32 \(10,\)"):
        compress.load_weights(models.small_cnn(classes=10), weights.BASE)
    with pytest.raises(ValueError, match=r"0\.bias is float32 \(16,\), the model's float32 \(64,\).*12\.bias is not known"):
        compress.load_weights(models.mlp(), weights.BASE)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file(models.small_cnn().state_dict(), path)
    with pytest.raises(ValueError, match="no record and sum"):
        compress.base_model(path)
    path.write_bytes(b"PK\x03\x04 a zip")
    with pytest.raises(ValueError, match="no safetensors file"):
        compress.base_model(path)
    with pytest.raises(FileNotFoundError, match="make base"):
        compress.base_model(tmp_path / "none")


def test_a_write_that_fails_leaves_the_older_file(tmp_path, record, monkeypatch):
    path = tmp_path / "w.safetensors"
    compress.save_weights(models.small_cnn(), path, record)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        compress.save_weights(models.small_cnn(), path, record)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["w.safetensors"]
