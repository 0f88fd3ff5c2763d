"""Smaller models: weights on disk and the base model that the lessons share."""

from .footprint import footprint, macs
from .weights import base_model, base_record, load_weights, save_weights

__all__ = ["base_model", "base_record", "footprint", "load_weights", "macs", "save_weights"]
