"""Smaller models: weights on disk and the base model that the lessons share."""

from .distill import Distillation, Hinted, answers, divergence, with_answers
from .footprint import footprint, macs
from .prune import harden, mask_globally, mask_layers, prunable, remove_channels, sparsity
from .quantize import (
    Engine,
    compile_int8,
    dynamic_int8,
    onnx_engine,
    quantization_aware,
    quantize_weights,
    rounded,
    same_graph,
    scale_and_zero_point,
    settled,
    static_int8,
    static_pt2e,
    weight_bytes,
    weight_only_int8,
)
from .weights import base_model, base_record, load_weights, save_weights

__all__ = [
    "Distillation",
    "Engine",
    "Hinted",
    "answers",
    "base_model",
    "base_record",
    "compile_int8",
    "divergence",
    "dynamic_int8",
    "footprint",
    "harden",
    "load_weights",
    "macs",
    "mask_globally",
    "mask_layers",
    "onnx_engine",
    "prunable",
    "quantization_aware",
    "quantize_weights",
    "remove_channels",
    "rounded",
    "same_graph",
    "save_weights",
    "scale_and_zero_point",
    "settled",
    "sparsity",
    "static_int8",
    "static_pt2e",
    "weight_bytes",
    "weight_only_int8",
    "with_answers",
]
