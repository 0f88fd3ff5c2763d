"""Data sets that carry their provenance, and batches of them. Nothing is read, drawn or fetched before it is asked for."""

from .cifar import cifar10
from .crops import Crops, crop_batch, crop_one
from .dataset import Dataset
from .images import glyphs, mnist5k
from .loaders import TensorBatches
from .photos import jpeg_folder
from .pictures import Pictures, list_pictures, whole_batch
from .recommender import library_calls
from .text import library_text

__all__ = [
    "Crops",
    "Dataset",
    "Pictures",
    "TensorBatches",
    "cifar10",
    "crop_batch",
    "crop_one",
    "glyphs",
    "jpeg_folder",
    "library_calls",
    "library_text",
    "list_pictures",
    "mnist5k",
    "whole_batch",
]
