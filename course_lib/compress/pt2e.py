"""Int8 inside PyTorch, by torchao: the exported graph with its ranges (PT2E), and weights alone."""

import copy
import time
from collections.abc import Callable

import torch
from torch import nn

from course_lib.compress.engines import check_fits, check_layers, evaluating, quiet

# Inductor otherwise builds and runs a test program for each set of vector instructions before it compiles anything,
# which takes longer than our models do; it takes the list of those sets from the processor itself.
INDUCTOR = {"freezing": True, "cpp.vec_isa_ok": True}


def static_pt2e(model: nn.Module, calibration: torch.Tensor) -> nn.Module:
    """Return `model` as an exported graph with weights in int8 and the ranges of its activations fixed (PT2E).

    `calibration`: (N, ...) inputs. As it is, the graph imitates int8 in float32: right numbers, no speed. It is fast
    when compiled, by `compile_int8`. Raises TypeError or ValueError as `engines.static_int8`.
    """
    check_layers(model)
    check_fits(model, calibration, "calibration")
    with quiet():
        from torchao.quantization.pt2e import move_exported_model_to_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
        with evaluating(model):
            shapes = ({0: torch.export.Dim("batch")},)
            two = calibration[:1].repeat_interleave(2, dim=0)  # torch.export takes a batch of 1 for a constant
            graph = torch.export.export(model, (two,), dynamic_shapes=shapes).module()
        watched = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for batch in calibration.split(100):
                watched(batch)
        graph = move_exported_model_to_eval(convert_pt2e(watched))
    for part in graph.modules():
        part.training = False  # an exported graph refuses eval(), and says that it trains
    return graph


def compile_int8(graph: nn.Module, examples: list[torch.Tensor]) -> tuple[Callable[[torch.Tensor], torch.Tensor], float]:
    """Compile the graph of `static_pt2e` for inputs shaped as `examples`; return (function, seconds of compilation).

    The function raises ValueError for inputs of another shape. Raises RuntimeError where PyTorch finds no C++ compiler.
    """
    from torch._inductor import config, exc

    compiled = torch.compile(graph, dynamic=False)
    shapes = [tuple(inputs.shape) for inputs in examples]

    @torch.inference_mode(False)
    @torch.no_grad()  # only without gradients are weights frozen into the code
    def run(inputs: torch.Tensor) -> torch.Tensor:
        if tuple(inputs.shape) not in shapes:
            raise ValueError(f"inputs: shape {tuple(inputs.shape)} is not allowed; compiled were {shapes}")
        return compiled(inputs)

    began = time.perf_counter()
    try:
        with quiet(), config.patch(INDUCTOR):
            for inputs in examples:
                run(inputs)
    except Exception as error:
        if isinstance(getattr(error, "inner_exception", error), exc.InvalidCxxCompiler):
            raise RuntimeError("no C++ compiler was found, which torch.compile needs on a CPU; install g++") from error
        raise
    return run, time.perf_counter() - began


def weight_only_int8(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose Linear layers hold int8 weights and compute in float32; Conv layers stay as they are.

    Raises TypeError or ValueError as `engines.check_layers`, and for a model without a Linear layer.
    """
    check_layers(model)
    if not any(isinstance(layer, nn.Linear) for layer in model.modules()):
        raise ValueError("model: there is no Linear layer in it, and weight-only int8 is for those")
    with quiet():
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        model = copy.deepcopy(model).eval()
        quantize_(model, Int8WeightOnlyConfig())
    return model
