"""Fewer bits: whole numbers in place of floats, by hand and through the inference engines."""

from course_lib.compress.engines import Engine, dynamic_int8, onnx_engine, static_int8

__all__ = ["Engine", "dynamic_int8", "onnx_engine", "static_int8"]
