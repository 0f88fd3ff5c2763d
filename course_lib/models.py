"""The few reference models, small enough that a laptop's CPU trains them within seconds."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


def mlp(inputs: int = 64, hidden: int = 64, classes: int = 10, layers: int = 2) -> nn.Sequential:
    """Return a perceptron of `layers` linear layers: (B, inputs) -> (B, classes). The default has 4,810 parameters."""
    _check_sizes(inputs=inputs, hidden=hidden, classes=classes, layers=layers)
    widths = [inputs] + [hidden] * (layers - 1)
    stages = [stage for a, b in pairwise(widths) for stage in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*stages, nn.Linear(widths[-1], classes))


def small_cnn(classes: int = 20, channels: int = 1) -> nn.Sequential:
    """Return a convolutional net of about 60,000 parameters: (B, channels, H, W) -> (B, classes), H and W at least 4.

    It ends in a 2 x 2 average, so that one net serves 16 x 16 glyphs, 28 x 28 digits and 32 x 32 photographs.
    """
    _check_sizes(classes=classes, channels=channels)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # (B, 16, H/2, W/2)
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # (B, 32, H/4, W/4)
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),  # (B, 64, 2, 2)
        nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


class ByteLM(nn.Module):
    """A decoder-only transformer over bytes: (B, T) int64 -> (B, T, 256) logits of the next byte, T <= context."""

    def __init__(self, d_model: int = 64, layers: int = 2, heads: int = 4, context: int = 64):
        _check_sizes(d_model=d_model, layers=layers, heads=heads, context=context)
        if d_model % heads:
            raise ValueError(f"d_model: {d_model} is not a multiple of heads, {heads}")
        super().__init__()
        self.context = context
        self.token = nn.Embedding(256, d_model)
        self.position = nn.Embedding(context, d_model)
        self.blocks = nn.Sequential(*(Block(d_model, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, 256, bias=False)
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.normal_(self.position.weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        if tokens.dim() != 2:
            raise ValueError(f"tokens: shape {tuple(tokens.shape)} is not allowed; it is (B, T)")
        length = tokens.shape[1]
        if length > self.context:
            raise ValueError(f"tokens: {length} positions are more than the context of {self.context}")
        x = self.token(tokens) + self.position.weight[:length]  # (B, T, d_model)
        return self.head(self.norm(self.blocks(x)))


class Block(nn.Module):
    """One pre-norm transformer block: causal self-attention, then a perceptron four times as wide. (B, T, d) -> same."""

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.up, self.down = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, heads, T, d/heads)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Factors(nn.Module):
    """A matrix factorisation: (B,) int64 users -> (B, items) scores, a product of two vectors each, and the item's bias."""

    def __init__(self, users: int, items: int, width: int = 16):
        _check_sizes(users=users, items=items, width=width)
        super().__init__()
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width)
        self.bias = nn.Parameter(torch.zeros(items))
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, users: torch.Tensor) -> torch.Tensor:
        return self.users(users) @ self.items.weight.T + self.bias


def _check_sizes(**sizes: int) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {value!r} is not allowed; it is a whole number from 1 on")


def token_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy in nats of (B, T, 256) logits against (B, T) next bytes: the loss of a ByteLM."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
