"""What every data set of the course looks like, and the checks of the arguments that make one."""

from dataclasses import dataclass

import numpy as np
import torch

PROVENANCE_KEYS = ("name", "kind", "source", "n_train", "n_test", "sha256")
KINDS = ("real", "rendered", "stand-in")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and targets, split in two, with a statement of where they come from.

    train, test: (inputs, targets), tensors with equal first dimensions
    classes:     names of the target values, in order
    provenance:  name, kind ("real", "rendered" or "stand-in"), source, n_train, n_test, sha256 of the content;
                 every stored result carries it along, so that no figure is ever shown under another data set's name

    Raises ValueError when a split is no pair of equal length, or a provenance field is missing.
    """

    name: str
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    classes: tuple[str, ...]
    provenance: dict

    def __post_init__(self):
        for field, split in (("train", self.train), ("test", self.test)):
            if not isinstance(split, tuple) or len(split) != 2:
                raise ValueError(f"{field}: {type(split).__name__} is not allowed; it is the pair (inputs, targets)")
            inputs, targets = split
            if len(inputs) != len(targets):
                raise ValueError(
                    f"{field}: {len(inputs)} inputs but {len(targets)} targets; every input needs exactly one target"
                )
        missing = [key for key in PROVENANCE_KEYS if key not in self.provenance]
        if missing:
            raise ValueError(f"provenance: {missing} missing; it needs all of {list(PROVENANCE_KEYS)}")
        if self.provenance["kind"] not in KINDS:
            raise ValueError(f"provenance kind: {self.provenance['kind']!r}; allowed are {list(KINDS)}")


def integer(field: str, value, low: int, high: int) -> int:
    """Return value if it is an integer in low..high; raise ValueError naming the field otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{field}: {value!r}; allowed is an integer from {low:,} to {high:,}")
    return int(value)


def number(field: str, value, low: float, high: float) -> float:
    """Return value as a float if it is a finite number in low..high; raise ValueError naming the field otherwise."""
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not plain or not low <= value <= high:  # a NaN fails the comparison
        raise ValueError(f"{field}: {value!r}; allowed is a number from {low:g} to {high:g}")
    return float(value)


def choice(field: str, value, allowed: tuple) -> str:
    """Return value if it is one of allowed; raise ValueError naming the field otherwise."""
    if value not in allowed:
        raise ValueError(f"{field}: {value!r}; allowed are {', '.join(map(repr, allowed))}")
    return value
