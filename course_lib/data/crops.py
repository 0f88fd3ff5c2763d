"""Random crops of small pictures: one by one, as a data set of single pictures makes them, or a batch at a time."""

from collections.abc import Sequence

import torch

from .pictures import Pictures


def crop_one(pixels: torch.Tensor, chosen: Sequence[float], side: int) -> torch.Tensor:
    """uint8 (C, H, W) -> float (C, side, side), about -0.7 to 0.7: a square cut out, perhaps mirrored, made lighter or darker.

    chosen: four numbers in [0, 1): how far down and how far right the square lies, mirrored above 0.5, brightness 0.8 to 1.2.
    Raises ValueError for a side that does not fit.
    """
    _check(pixels, side)
    top, left = (int(share * (room - side + 1)) for share, room in zip(chosen[:2], pixels.shape[-2:], strict=True))
    square = pixels[:, top : top + side, left : left + side]
    return (square.flip(2) if chosen[2] > 0.5 else square).float() / 255 * (0.8 + 0.4 * float(chosen[3])) - 0.5


def crop_batch(pixels: torch.Tensor, chosen: torch.Tensor, side: int) -> torch.Tensor:
    """crop_one for a whole batch, wherever it lies: uint8 (B, C, H, W) and (B, 4) -> float (B, C, side, side), one read.

    Raises ValueError for a side that does not fit, or numbers of another shape than (B, 4).
    """
    _check(pixels, side)
    batch, channels, height, width = pixels.shape
    if chosen.shape != (batch, 4):
        raise ValueError(f"chosen: shape {tuple(chosen.shape)} is not allowed; it is ({batch}, 4)")
    steps = torch.arange(side, device=pixels.device)
    rows = (chosen[:, 0] * (height - side + 1)).long()[:, None] + steps
    mirrored = torch.where(chosen[:, 2:3] > 0.5, side - 1 - steps, steps)  # the flip hides in the column numbers
    columns = (chosen[:, 1] * (width - side + 1)).long()[:, None] + mirrored
    places = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    squares = pixels.flatten(2).gather(2, places[:, None].expand(-1, channels, -1)).view(batch, channels, side, side)
    return squares.float() / 255 * (0.8 + 0.4 * chosen[:, 3]).view(-1, 1, 1, 1) - 0.5


class Crops(Pictures):
    """Pictures that come as random crops, one by one: decoded, shrunk and cut whenever one is asked for.

    Arguments and errors as `Pictures`; `side` is that of the square, in pixels.
    """

    __getitems__ = None  # so that DataLoader asks for one picture at a time

    def __init__(self, paths: Sequence, labels, *, size: tuple[int, int], side: int):
        super().__init__(paths, labels, size=size)
        if not 1 <= side <= min(self.size):
            raise ValueError(f"side: {side} is not allowed; it is 1 to {min(self.size)}")
        self.side = side

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return (crop, label): float (3, side, side) and an int; the crop is drawn from torch's generator."""
        pixels, label = super().__getitem__(index)
        return crop_one(pixels, torch.rand(4).tolist(), self.side), label


def _check(pixels: torch.Tensor, side: int) -> None:
    if not 1 <= side <= min(pixels.shape[-2:]):
        raise ValueError(f"side: {side} is not allowed; it is 1 to {min(pixels.shape[-2:])}")
