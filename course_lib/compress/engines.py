"""Inference engines: a model as an ONNX file, in float32 or int8, run by ONNX Runtime on one CPU thread."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
INPUT, OUTPUT = "inputs", "outputs"
FLOAT32 = "float32.onnx"
RANGES = ("min-max", "percentile", "entropy")


class Engine:
    """An ONNX file, loaded: (B, ...) float32 tensor -> (B, ...) tensor on the CPU, for any B. It uses one thread."""

    def __init__(self, path: str | Path):
        """Load the file `path`. `stored_bytes`: what it takes on disk. Raises FileNotFoundError."""
        import onnxruntime

        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; onnx_engine and static_int8 write them")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._shape = tuple(self._session.get_inputs()[0].shape[1:])
        self.stored_bytes = os.path.getsize(path)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs. Raises ValueError for inputs of another shape or type."""
        if inputs.dtype != torch.float32 or tuple(inputs.shape[1:]) != self._shape:
            expected = ", ".join(["B", *map(str, self._shape)])
            raise ValueError(f"inputs: {inputs.dtype} {tuple(inputs.shape)} is not allowed; it is torch.float32 ({expected})")
        return torch.from_numpy(self._session.run(None, {INPUT: inputs.detach().cpu().numpy()})[0])


def onnx_engine(model: nn.Module, example: torch.Tensor, folder: str | Path) -> Engine:
    """Return `model` as an Engine, unchanged in float32. `example`: (B, ...) inputs; any B will do later.

    Writes `folder`/float32.onnx, which the next call in that folder replaces. Raises TypeError or ValueError for what is
    no model on the CPU, for inputs that do not fit it, and for a model that cannot be exported.
    """
    check_fits(model, example, "example")
    return Engine(_export(model, example, folder))


def same_graph(engine: Engine, model: nn.Module, folder: str | Path) -> Engine:
    """Return `model` as an Engine, made from the file of `engine` with the model's weights in it: no second export.

    `engine`: what `onnx_engine` made of another model of the same layers, on the CPU. Writes `folder`/float32.onnx.
    Raises ValueError when the file lacks one of the model's weights, or has it in another shape.
    """
    import onnx
    from onnx import numpy_helper

    graph, weights = onnx.load(engine.path), model.state_dict()
    held = {tensor.name: tensor for tensor in graph.graph.initializer}
    for name, weight in weights.items():
        if name not in held or tuple(held[name].dims) != tuple(weight.shape):
            raise ValueError(
                f"model: {name} {tuple(weight.shape)} is not in {engine.path.name}; it has to have the same layers"
            )
        held[name].CopyFrom(numpy_helper.from_array(weight.detach().numpy(), name))
    path = Path(folder) / FLOAT32
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, path)
    return Engine(path)


def static_int8(model: nn.Module | Engine, calibration: torch.Tensor, folder: str | Path, ranges: str = "min-max") -> Engine:
    """Return `model` with weights and activations in int8, as an Engine.

    `model`: a module, or the Engine that `onnx_engine` made of it, which saves the seconds of another export.
    `calibration`: (N, ...) inputs, from which the range of every activation is taken once and for all: by "min-max",
    "percentile" (leaves out one value in 100,000) or "entropy". Weights have one scale for each output channel and are
    symmetric; activations are uint8 with a zero point. Writes `folder`/static_int8.onnx, and float32.onnx for a module.
    Raises TypeError or ValueError as `onnx_engine`, for an empty or unfit calibration set, and for layers other than
    Linear, Conv1d and Conv2d that hold matrices of weights.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    methods = dict(
        zip(RANGES, (CalibrationMethod.MinMax, CalibrationMethod.Percentile, CalibrationMethod.Entropy), strict=True)
    )
    if ranges not in RANGES:
        raise ValueError(f"ranges: {ranges!r} is not allowed; it is one of {', '.join(map(repr, RANGES))}")
    source = _float32(model, calibration, folder, "calibration")
    target = Path(folder) / "static_int8.onnx"
    with quiet():
        quantize_static(
            source,
            target,
            _reader(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=methods[ranges],
        )
    return Engine(target)


def dynamic_int8(model: nn.Module | Engine, example: torch.Tensor, folder: str | Path) -> Engine:
    """Return `model` with int8 weights whose activations are measured and rounded anew at every call, as an Engine.

    Needs no calibration. Writes `folder`/dynamic_int8.onnx, and float32.onnx for a module. Raises as `static_int8`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source = _float32(model, example, folder, "example")
    target = Path(folder) / "dynamic_int8.onnx"
    with quiet():
        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)
    return Engine(target)


def check_layers(model: nn.Module) -> None:
    """Raise ValueError that names every layer with a matrix of weights which cannot be quantized; TypeError for no model."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: {type(model).__name__} is not allowed; give a torch.nn.Module")
    allowed = ", ".join(layer.__name__ for layer in WEIGHTED)
    foreign = [
        f"{name or 'the model itself'} ({type(layer).__name__})"
        for name, layer in model.named_modules()
        if not isinstance(layer, WEIGHTED) and any(p.dim() > 1 for p in layer.parameters(recurse=False))
    ]
    if foreign:
        raise ValueError(f"model: {', '.join(foreign)} cannot be quantized here; layers with weights are {allowed}")
    if not any(isinstance(layer, WEIGHTED) for layer in model.modules()):
        raise ValueError(f"model: there is nothing to quantize in it; layers with weights are {allowed}")


def check_fits(model: nn.Module, inputs: torch.Tensor, field: str) -> None:
    """Raise TypeError or ValueError, naming `field`, unless the model lies on the CPU and these inputs run through it."""
    if not isinstance(model, nn.Module | Engine):
        raise TypeError(f"model: {type(model).__name__} is not allowed; give a torch.nn.Module")
    if not isinstance(inputs, torch.Tensor):
        raise TypeError(f"{field}: {type(inputs).__name__} is not allowed; give a tensor (N, ...) of inputs")
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    if elsewhere := {weight.device.type for weight in weights} - {"cpu"}:
        raise ValueError(f"model: it lies on {', '.join(sorted(elsewhere))}; the engines run on the CPU, so give model.cpu()")
    if inputs.dim() < 2 or len(inputs) == 0:
        raise ValueError(f"{field}: shape {tuple(inputs.shape)} is not allowed; it is (N, ...) with one sample or more")
    if inputs.dtype != torch.float32 or not inputs.isfinite().all():
        raise ValueError(f"{field}: {inputs.dtype} is not allowed, or not every value is finite; give finite torch.float32")
    try:
        with evaluating(model), torch.inference_mode():
            model(inputs[:2].cpu())
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{field}: shape {tuple(inputs.shape)} does not fit the model: {error}") from error


@contextlib.contextmanager
def evaluating(model: nn.Module | Engine) -> Iterator[None]:
    """Hold the model in evaluation mode within the block. An engine knows no other."""
    if isinstance(model, Engine):
        yield
        return
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _float32(model: nn.Module | Engine, inputs: torch.Tensor, folder: str | Path, field: str) -> Path:
    """The float32 file to start from: the engine's own, or one exported now."""
    if not isinstance(model, Engine):
        check_layers(model)
    check_fits(model, inputs, field)
    if not isinstance(model, Engine):
        return _export(model, inputs, folder)
    if model.path.name != FLOAT32:
        raise ValueError(f"model: the engine of {model.path.name} is not allowed; it is the one from onnx_engine")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return model.path


def _export(model: nn.Module, example: torch.Tensor, folder: str | Path) -> Path:
    import onnx

    path = Path(folder) / FLOAT32
    path.parent.mkdir(parents=True, exist_ok=True)
    two = example[:1].cpu().repeat_interleave(2, dim=0)  # torch.export takes a batch of 1 for a constant
    settings = {"input_names": [INPUT], "output_names": [OUTPUT], "dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    try:
        with evaluating(model), quiet():
            graph = torch.onnx.export(model, (two,), dynamo=True, **settings).model_proto
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"model: {type(model).__name__} cannot be exported to ONNX: {error}") from error
    del graph.graph.value_info[:]  # shapes of intermediate values, out of date once a matrix is transposed
    for node in graph.graph.node:
        del node.metadata_props[:]  # where in which Python file it came from: kilobytes that no engine reads
    onnx.save(graph, path)
    return path


def _reader(calibration: torch.Tensor):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self._batches = iter(calibration.detach().cpu().split(100))

        def get_next(self):
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch.numpy()}

    return Reader()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within the block exporters, quantizers and compilers keep their progress to themselves. Errors come through."""
    before, nowhere = logging.root.manager.disable, logging.NullHandler()
    logging.disable(logging.WARNING)  # "torchvision is not installed", "consider pre-processing"
    logging.root.addHandler(nowhere)  # the quantizer's logging.info() would otherwise set up one that stays
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # what torch, torchao and ONNX Runtime say of their use of one another
            yield
    finally:
        logging.root.removeHandler(nowhere)
        logging.disable(before)
