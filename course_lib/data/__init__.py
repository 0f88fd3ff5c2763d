"""Data sets that carry their provenance, and batches of them."""

from .dataset import Dataset
from .images import glyphs, mnist5k
from .loaders import TensorBatches
from .text import library_text

__all__ = ["Dataset", "TensorBatches", "glyphs", "library_text", "mnist5k"]
