"""Distillation: a small student learns from a trained teacher's answers, beside the labels or in their place.

The teacher answers once (`answers`), its answers travel with the labels as targets (`with_answers`), and `Distillation` is the
loss that reads them: `train` and `train_ensemble` take all three as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import torch
from torch import nn
from torch.nn import functional as F

DIRECTIONS = ("forward", "reverse")


def answers(teacher: nn.Module | Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Return what the teacher says to `inputs` (N, ...): its outputs (N, K), in evaluation mode, without gradients.

    500 samples at a time, on the device where the inputs are, which is the teacher's, too. The teacher is left as it
    was. Raises TypeError for what is no teacher and no tensor; ValueError without one sample, and for outputs that are
    not (N, K) or not finite: a student would learn them without a word.
    """
    if not callable(teacher) or isinstance(teacher, type):
        raise TypeError(f"teacher: {teacher!r} is not allowed; give a torch.nn.Module, or a function of the inputs")
    if not isinstance(inputs, torch.Tensor):
        raise TypeError(f"inputs: {type(inputs).__name__} is not allowed; give a tensor (N, ...)")
    if inputs.dim() < 2 or not len(inputs):
        raise ValueError(f"inputs: shape {tuple(inputs.shape)} is not allowed; it is (N, ...) with N of 1 or more")
    modes = {m: m.training for m in teacher.modules()} if isinstance(teacher, nn.Module) else {}
    try:
        for module in modes:
            module.training = False
        with torch.no_grad():
            said = torch.cat([teacher(part) for part in inputs.split(500)])
    finally:
        for module, mode in modes.items():
            module.training = mode
    if said.dim() != 2 or len(said) != len(inputs) or not said.isfinite().all():
        words = f"{said.dtype} {tuple(said.shape)}" + ("" if said.isfinite().all() else ", not all finite,")
        raise ValueError(f"teacher: outputs {words} are not allowed; they are finite numbers ({len(inputs)}, K)")
    return said


def with_answers(labels: torch.Tensor, *said: torch.Tensor) -> torch.Tensor:
    """Return labels and a teacher's answers as one float tensor of targets, (N, 1 + K): the label first.

    `labels`: (N,) int64; `said`: one or more of (N, ...) floats, first the logits, then features if the student is to
    have a hint. A float32 holds class numbers exactly up to 16,777,216. Raises TypeError for what is no tensor,
    ValueError for labels or lengths that do not fit.
    """
    for i, tensor in enumerate((labels, *said)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{f'said[{i - 1}]' if i else 'labels'}: {type(tensor).__name__} is not allowed; give a tensor")
    if labels.dim() != 1 or labels.dtype != torch.int64:
        raise ValueError(f"labels: {labels.dtype} {tuple(labels.shape)} is not allowed; they are torch.int64 (N,)")
    if not said or any(part.dim() < 2 or len(part) != len(labels) or not part.is_floating_point() for part in said):
        shapes = ", ".join(f"{part.dtype} {tuple(part.shape)}" for part in said) or "none"
        raise ValueError(
            f"said: {shapes} is not allowed for {len(labels)} labels; give floats ({len(labels)}, K), at least one"
        )
    return torch.cat([labels[:, None].float(), *(part.flatten(1).float() for part in said)], 1)


def divergence(
    logits: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0, direction: str = "forward"
) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of student and teacher in nats, (B,), from logits (B, K) at one temperature.

    p is the teacher's softmax(teacher / T), q the student's: "forward" is KL(p || q) = sum p (log p - log q), which
    punishes a q that leaves out what p holds possible; "reverse" is KL(q || p). No factor T^2 is in it. Raises
    ValueError for shapes that differ, a temperature that is not above 0, and another direction.
    """
    _check_temperature(temperature)
    _check_direction(direction)
    if logits.shape != teacher.shape or logits.dim() != 2:
        raise ValueError(
            f"teacher: logits {tuple(teacher.shape)} for a student's {tuple(logits.shape)} are not allowed; both are (B, K)"
        )
    student, teacher = ((values / temperature).log_softmax(1) for values in (logits, teacher))
    first, second = (teacher, student) if direction == "forward" else (student, teacher)
    return (first.exp() * (first - second)).sum(1)  # F.kl_div has no batching rule, and is slow in an ensemble


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """The loss (1 - weight) * cross-entropy + weight * T^2 * KL, after G. Hinton and others, arXiv:1503.02531 (2015).

    Call it with a student's outputs (B, classes) and targets from `with_answers`. T^2 keeps the size of the gradient, which
    falls with 1 / T^2. With `hint` above 0 the outputs of `Hinted` are expected, and `hint` times the mean squared distance of
    its guess from the teacher's features is added (A. Romero and others, "FitNets", 2015).

    Raises ValueError that names the field, when it is made, and for targets of another width when it is called.
    """

    classes: int
    temperature: float = 4.0  # above 0; the higher, the more the small probabilities count
    weight: float = 0.5  # of the teacher, from 0 to 1; the labels have the rest
    direction: str = "forward"  # KL(teacher || student), or "reverse": KL(student || teacher)
    hint: float = 0.0  # weight of the hint loss

    def __post_init__(self):
        if isinstance(self.classes, bool) or not isinstance(self.classes, int) or self.classes < 2:
            raise ValueError(f"classes: {self.classes!r} is not allowed; it is a whole number from 2 on")
        _check_temperature(self.temperature)
        if not _is_number(self.weight) or not 0 <= self.weight <= 1:
            raise ValueError(f"weight: {self.weight!r} is not allowed; it is a number from 0 to 1")
        _check_direction(self.direction)
        if not _is_number(self.hint) or self.hint < 0:
            raise ValueError(f"hint: {self.hint!r} is not allowed; it is a finite number from 0 on")

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss, (), of outputs (B, classes [+ features]) against targets (B, 1 + classes [+ features])."""
        self._check(outputs, targets)
        logits, guess = outputs[:, : self.classes], outputs[:, self.classes :]
        labels, teacher, features = targets[:, 0].long(), targets[:, 1 : 1 + self.classes], targets[:, 1 + self.classes :]
        soft = self.temperature**2 * divergence(logits, teacher, self.temperature, self.direction).mean()
        loss = (1 - self.weight) * F.cross_entropy(logits, labels) + self.weight * soft
        return loss + self.hint * F.mse_loss(guess, features) if self.hint else loss

    def _check(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        width = outputs.shape[-1]
        fits = width > self.classes if self.hint else width == self.classes
        if not fits or outputs.dim() != 2 or targets.shape != (len(outputs), 1 + width):
            features = " + features" if self.hint else ""
            raise ValueError(
                f"targets: {tuple(targets.shape)} for outputs {tuple(outputs.shape)} is not allowed; outputs are "
                f"(B, {self.classes}{features}), targets with_answers(labels, logits{features.replace(' +', ',')})"
            )


class Hinted(nn.Module):
    """A student that also guesses its teacher's features, through an adapter that is thrown away after training.

    (B, ...) -> (B, classes + width): the student's logits, then the adapter's guess from the student's own features, which
    are what enters its last layer. Train it with `Distillation(hint=...)`; `student` is what is kept.
    """

    def __init__(self, student: nn.Sequential, width: int):
        """`student` ends in a Linear, to whose inputs the adapter is fitted; `width`: how many features the teacher has.

        Raises ValueError otherwise.
        """
        if not isinstance(student, nn.Sequential) or len(student) < 2 or not isinstance(student[-1], nn.Linear):
            raise ValueError(f"student: {type(student).__name__} is not allowed; it is an nn.Sequential that ends in a Linear")
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"width: {width!r} is not allowed; it is a whole number from 1 on")
        super().__init__()
        self.student = student
        self.adapter = nn.Linear(student[-1].in_features, width)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.student[:-1](inputs)
        return torch.cat([self.student[-1](features), self.adapter(features)], 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _check_temperature(value: float) -> None:
    if not _is_number(value) or value <= 0:
        raise ValueError(f"temperature: {value!r} is not allowed; it is a finite number above 0")


def _check_direction(value: str) -> None:
    if value not in DIRECTIONS:
        raise ValueError(f"direction: {value!r} is not allowed; it is one of {', '.join(map(repr, DIRECTIONS))}")
