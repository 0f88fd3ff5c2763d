"""Smaller models: weights on disk and the base model that the lessons share."""

from .footprint import footprint, macs
from .prune import harden, mask_globally, mask_layers, prunable, remove_channels, sparsity
from .weights import base_model, base_record, load_weights, save_weights

__all__ = [
    "base_model",
    "base_record",
    "footprint",
    "harden",
    "load_weights",
    "macs",
    "mask_globally",
    "mask_layers",
    "prunable",
    "remove_channels",
    "save_weights",
    "sparsity",
]
