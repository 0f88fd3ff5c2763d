"""A folder of JPEG files, cut from real photographs: the input of a decoding pipeline."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .cache import Damaged, cache_folder, once
from .dataset import integer
from .images import package_folder

# (package, path inside it) of colour photographs that its wheel carries; a picture's class is its photograph
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "retina": ("skimage", "data/retina.jpg"),
    "ihc": ("skimage", "data/ihc.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
_SUMS = "sums.json"
_ENCODING = 1  # count up when the pictures change, so that an older cache is not taken for the new one


@dataclass(frozen=True, eq=False)
class JpegFolder:
    """Pictures on disk. paths: n JPEG files;  labels: int64 (n,);  classes: names;  provenance as in Dataset."""

    paths: tuple[Path, ...]
    labels: torch.Tensor
    classes: tuple[str, ...]
    provenance: dict


def jpeg_folder(n=512, size=(500, 375), seed=0) -> JpegFolder:
    """Cut n pictures at random places from nine photographs and keep them as JPEG files of quality 90.

    n: 1 to 100,000;  size: (width, height) in pixels, each 16 to 2,048;  the class is which photograph, balanced

    They are encoded once and then found in the cache folder, where their checksums are compared at every call.
    Raises ValueError for an argument out of range, RuntimeError when a package with photographs is missing.
    """
    n, seed = integer("n", n, 1, 100_000), integer("seed", seed, 0, 2**63 - 1)
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size: {size!r}; allowed is (width, height) in pixels")
    size = tuple(integer("size", side, 16, 2048) for side in size)
    folder = cache_folder() / f"jpeg-{n}-{size[0]}x{size[1]}-seed{seed}-v{_ENCODING}"
    sums = once(folder, _verified, lambda path: _encode(path, n, size, seed))
    provenance = {
        "name": "jpeg_folder",
        "kind": "real",
        "source": f"crops of {len(PHOTOGRAPHS)} photographs shipped in scikit-image and matplotlib",
        "n_train": n,
        "n_test": 0,
        "sha256": hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest(),
    }
    labels = torch.arange(n) % len(PHOTOGRAPHS)
    return JpegFolder(tuple(folder / name for name in sorted(sums)), labels, tuple(PHOTOGRAPHS), provenance)


def _verified(folder: Path) -> dict[str, str]:
    """File names and their SHA-256, compared with the files."""
    try:
        sums = json.loads((folder / _SUMS).read_text())
        for name, expected in sums.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                raise Damaged(f"{name} does not match its checksum")
    except (OSError, ValueError, AttributeError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    return sums


def _encode(folder: Path, n: int, size: tuple[int, int], seed: int) -> None:
    folder.mkdir()
    sums = {}
    for i, picture in enumerate(_crops(n, size, seed)):
        path = folder / f"{i:06}.jpg"
        picture.save(path, quality=90)
        sums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / _SUMS).write_text(json.dumps(sums))


def _crops(n: int, size: tuple[int, int], seed: int) -> Iterator:
    """Boxes of the asked shape, half to all of what fits into the photograph, scaled to size."""
    from PIL import Image
    from tqdm.auto import tqdm

    photographs = []
    for package, inside in PHOTOGRAPHS.values():
        with Image.open(package_folder(package) / inside) as photograph:
            photographs.append(photograph.convert("RGB"))
    rng = np.random.default_rng(seed)
    for i in tqdm(range(n), desc="encoding photographs", unit=" files", delay=5, leave=False):
        photograph = photographs[i % len(photographs)]
        fit = min(photograph.width / size[0], photograph.height / size[1])
        width, height = np.array(size) * fit * rng.uniform(0.5, 1)
        left, top = rng.uniform(0, photograph.width - width), rng.uniform(0, photograph.height - height)
        yield photograph.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
