"""JPEG files as a map-style data set for DataLoader: a picture is read and decoded whenever it is asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .dataset import integer

SUFFIXES = (".jpg", ".jpeg")


class Pictures(torch.utils.data.Dataset):
    """n JPEG files with their labels. It can be sent to worker processes however they are started.

    paths:   n files;  labels: n whole numbers of at least 0, a list or a tensor
    size:    (width, height) in pixels, to which pictures are resized; None keeps theirs, which a batch needs to share
    draft:   let the decoder shrink by 2, 4 or 8 on its way, as far as `size` allows: less work, slightly other pixels
    skip_damaged: leave out the files that cannot be decoded. They are found here, before any worker starts, by reading
             every file once, and are kept in `skipped`; without it, a damaged file is an error when it is its turn

    len() counts the pictures kept; `paths` and `labels`, int64 (n,), are theirs;  skipped: ((path, reason), ...)
    Raises ValueError, before any work begins, for an argument that is not allowed, a file that is missing, or when no
    picture is left.
    """

    def __init__(self, paths: Sequence, labels, *, size=None, draft: bool = False, skip_damaged: bool = False):
        paths = _checked_paths(paths)
        labels = _checked_labels(labels, len(paths))
        self.size = _checked_size(size)
        for field, value in (("draft", draft), ("skip_damaged", skip_damaged)):
            if not isinstance(value, bool):
                raise ValueError(f"{field}: {value!r}; allowed are True and False")
        if draft and size is None:
            raise ValueError("draft: True shrinks towards a size, and size is None; give both or neither")
        self.draft = draft
        self.skipped = tuple((p, reason) for p in paths if (reason := _damage(p))) if skip_damaged else ()
        bad = {path for path, _ in self.skipped}
        kept = [i for i, path in enumerate(paths) if path not in bad]
        if not kept:
            raise ValueError(f"paths: all {len(paths)} files are damaged, the first: {self.skipped[0][1]}")
        self.paths, self.labels = tuple(paths[i] for i in kept), labels[kept]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return (pixels, label): uint8 (3, height, width) and an int. Raises ValueError naming a damaged file."""
        picture = _decoded(self.paths[index], self.size, self.draft)  # (height, width, 3), read-only
        return torch.from_numpy(picture.transpose(2, 0, 1).copy()), int(self.labels[index])

    def __getitems__(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a whole batch: uint8 (B, 3, height, width) and int64 (B,). DataLoader calls it once a batch.

        There is nothing left to collate: pass `collate_fn=whole_batch`. Given all indices, it decodes the set once, to
        be kept in memory: n * 3 * height * width bytes. Raises ValueError naming a damaged file, or one whose size
        differs from that of the batch's first.
        """
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        batch = None
        for row, index in enumerate(chosen.tolist()):
            picture = _decoded(self.paths[index], self.size, self.draft)  # (height, width, 3)
            if batch is None:
                batch = np.empty((len(chosen), 3, *picture.shape[:2]), dtype=np.uint8)
            if picture.shape[:2] != batch.shape[2:]:
                sizes = f"{picture.shape[1]}x{picture.shape[0]} in a batch of {batch.shape[3]}x{batch.shape[2]}"
                raise ValueError(f"{self.paths[index]}: {sizes} pixels; give a size, to which all are resized")
            batch[row] = picture.transpose(2, 0, 1)
        if batch is None:
            raise ValueError("indices: an empty batch; allowed are one or more")
        return torch.from_numpy(batch), self.labels[chosen]


def whole_batch(batch):
    """Return what `__getitems__` returned: the collate_fn for a data set that makes whole batches itself."""
    return batch


def list_pictures(folder) -> tuple[list[Path], torch.Tensor, tuple[str, ...]]:
    """List the JPEG files of a folder with a subfolder for each class: (paths, labels int64 (n,), class names).

    The classes are the subfolders in the order of their names; hidden ones, and files with other endings, are left out.
    Raises ValueError when there is no such folder, no subfolder, or no JPEG file in one of them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder: {str(folder)!r} is no folder; allowed is one with a subfolder for each class")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise ValueError(f"folder: {str(folder)!r} has no subfolder; allowed is one with a subfolder for each class")
    paths, labels = [], []
    for label, subfolder in enumerate(classes):
        found = sorted(path for path in subfolder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise ValueError(f"folder: {str(subfolder)!r} holds no file that ends in {' or '.join(SUFFIXES)}")
        paths += found
        labels += [label] * len(found)
    return paths, torch.tensor(labels), tuple(path.name for path in classes)


def _decoded(path: Path, size: tuple[int, int] | None, draft: bool) -> np.ndarray:
    """The picture as uint8 (height, width, 3). Raises ValueError naming the file when it is damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=["JPEG"]) as picture:
            if draft:
                picture.draft("RGB", size)
            picture = picture.convert("RGB")
            if size and picture.size != size:
                picture = picture.resize(size, Image.Resampling.BILINEAR)
            return np.asarray(picture)
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(f"{path}: not a whole JPEG file ({type(error).__name__}: {error})") from error


def _damage(path: Path) -> str:
    """Why the file cannot be decoded; "" when it can. Decoded at an eighth of its size: every byte is still read."""
    try:
        _decoded(path, (1, 1), draft=True)
    except ValueError as error:
        return str(error)
    return ""


def _checked_paths(paths) -> list[Path]:
    if isinstance(paths, (str, Path)) or not isinstance(paths, Sequence) or len(paths) == 0:
        raise ValueError(f"paths: {paths!r}; allowed is a list of one or more files")
    if not all(isinstance(path, (str, Path)) for path in paths):
        wrong = next(path for path in paths if not isinstance(path, (str, Path)))
        raise ValueError(f"paths: {wrong!r} in it; allowed are paths, as text or as pathlib.Path")
    paths = [Path(path) for path in paths]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"paths: {str(missing[0])!r} is no file, {len(missing)} of {len(paths)} are missing")
    return paths


def _checked_labels(labels, n: int) -> torch.Tensor:
    try:
        tensor = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"labels: {labels!r}; allowed are whole numbers of at least 0 ({error})") from None
    if tensor.dim() != 1 or len(tensor) != n:
        raise ValueError(f"labels: shape {tuple(tensor.shape)} for {n} paths; every picture needs exactly one label")
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool or tensor.min() < 0:
        raise ValueError(f"labels: {tensor}; allowed are whole numbers of at least 0")
    return tensor.to("cpu", torch.int64)


def _checked_size(size) -> tuple[int, int] | None:
    if size is None:
        return None
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size: {size!r}; allowed is (width, height) in pixels, or None")
    return tuple(integer("size", side, 1, 16384) for side in size)
