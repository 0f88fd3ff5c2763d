"""How to train: one frozen, validated set of choices."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

from course_lib import device

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to train. Every field is checked when it is made: ValueError names the field, the value and what is allowed."""

    epochs: int = 1
    device: str = "auto"  # "auto" | "cpu" | "cuda" | "cuda:N"
    precision: str = "fp32"  # "fp32" | "tf32" | "bf16" | "fp16" (with loss scaling)
    channels_last: bool = False  # memory format of 4-d weights and inputs: NHWC suits the matrix units of GPUs
    compile: bool = False  # torch.compile the forward pass; the first step then takes seconds to minutes
    accumulate: int = 1  # micro-batches for one optimizer step
    clip: float | None = None  # largest norm of the whole gradient
    lr: float = 1e-3  # peak learning rate of the default optimizer
    schedule: str = "constant"  # after the warm-up: "constant", or down to 0 by "linear" or "cosine"
    warmup: int = 0  # optimizer steps in which the rate rises from 0
    seed: int = 0  # of the data's order, and of torch's generators (dropout)
    accuracy: bool = False  # count correct answers in training, too
    checkpoint: str | Path | None = None  # folder; a run that finds its own checkpoint there goes on from it
    checkpoint_every: int = 0  # optimizer steps between checkpoints; 0: one at each epoch's end
    progress: bool = False  # show a bar with the time left

    def __post_init__(self):
        device.check_precision(self.precision, device.choose(self.device))
        for name in ("channels_last", "compile", "accuracy", "progress"):
            _check(name, getattr(self, name), bool, lambda v: True, "True or False")
        for name, least in (("epochs", 1), ("accumulate", 1), ("warmup", 0), ("checkpoint_every", 0)):
            _check(name, getattr(self, name), int, lambda v, least=least: v >= least, f"a whole number from {least} on")
        _check("seed", self.seed, int, lambda v: 0 <= v < 2**32, "a whole number from 0 to 2**32 - 1")
        _check("lr", self.lr, (int, float), lambda v: 0 < v <= sys.float_info.max, "a finite number above 0")
        if self.clip is not None:
            _check("clip", self.clip, (int, float), lambda v: 0 < v <= sys.float_info.max, "None or a finite number above 0")
        _check("schedule", self.schedule, str, lambda v: v in SCHEDULES, "one of " + ", ".join(SCHEDULES))
        if self.checkpoint is not None:
            _check("checkpoint", self.checkpoint, (str, Path), lambda v: str(v), "None or the path of a folder")
        elif self.checkpoint_every:
            raise ValueError(f"checkpoint_every: {self.checkpoint_every} needs a folder in checkpoint, which is None")


def rate_factor(config: Config, step: int, total: int) -> float:
    """Return the factor of the learning rate at optimizer step `step` (from 0) of `total`, 0 to 1.

    Linear warm-up, then cosine after Loshchilov & Hutter 2017 (one cycle, down to 0), or linear, or constant.
    """
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    done = (step - config.warmup) / max(1, total - config.warmup)
    return {"constant": 1.0, "linear": 1 - done, "cosine": (1 + cos(pi * done)) / 2}[config.schedule]


def _check(name: str, value, kind, allowed: Callable, words: str) -> None:
    right_kind = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not right_kind or not allowed(value):
        raise ValueError(f"{name}: {value!r} is not allowed; it is {words}")
