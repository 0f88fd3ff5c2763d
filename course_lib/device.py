"""Choose the device and the precision, seed, move batches, wait for the device, and describe the machine."""

import contextlib
import os
import platform
import random
import re
import sys

import numpy as np
import torch

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


def choose(name: str = "auto") -> torch.device:
    """Return the device called `name`: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or "cuda:N".

    Raises ValueError for another name, or for a CUDA device that this machine does not have.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(name)):
        raise ValueError(f"device: {name!r} is not known; allowed are 'auto', 'cpu', 'cuda' and 'cuda:N'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(name)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device: {name!r} is not on this machine, which has {torch.cuda.device_count()} CUDA devices; "
            "'auto' takes what is there"
        )
    return chosen


def synchronize(device: str | torch.device) -> None:
    """Wait until `device` has finished all queued work. The CPU has no queue: there it returns at once."""
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def move(batch, device: str | torch.device):
    """Return `batch` (a tensor, or tuples, lists and dicts of them) on `device`; what is no tensor stays as it is.

    Copies from pinned memory do not block the host.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        moved = [move(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators (the CPU's and every CUDA device's). Raises ValueError if seed < 0."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed: {seed!r} is not allowed; it is a whole number from 0 to 2**32 - 1")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def generator_state(device: str | torch.device) -> dict:
    """Return the state of Python's, NumPy's and torch's generators (the CPU's and that of `device`), to be kept."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()
    state = {  # tensors, as reading 600 numbers one by one takes longer than the rest of a small checkpoint
        "python": (version, torch.tensor(words), gauss),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_generator_state(state: dict, device: str | torch.device) -> None:
    """Set the generators as `generator_state` found them."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.tolist(), *rest))
    torch.set_rng_state(state["torch"])
    if torch.device(device).type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def autocast(precision: str, device: str | torch.device) -> contextlib.AbstractContextManager:
    """Return the context for a forward pass in `precision` (one of PRECISIONS); it may be entered again and again.

    bf16 and fp16 are torch.autocast. fp32 needs none; tf32 is a mode of the matrix units, set by `matmul_precision`.
    """
    check_precision(precision, device)
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(torch.device(device).type, dtype=dtype)


@contextlib.contextmanager
def matmul_precision(precision: str, device: str | torch.device):
    """Within the block, float32 products and convolutions on CUDA use TF32 if `precision` is "tf32", else full float32.

    torch allows TF32 in convolutions unless told otherwise, so that an "fp32" figure measured without this is not one.
    On the CPU, which has no TF32, nothing is touched. Raises ValueError for an unknown precision.
    """
    _check_known(precision)
    if torch.device(device).type != "cuda":
        yield
        return
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


def check_precision(precision: str, device: str | torch.device) -> None:
    """Raise ValueError if `precision` is unknown, or is "tf32" where there are no TF32 units (CUDA, Ampere or later)."""
    _check_known(precision)
    device = torch.device(device)
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device)[0] < 8):
        raise ValueError("precision: 'tf32' needs a CUDA GPU of compute capability 8.0 or later; use 'fp32' or 'bf16'")


def _check_known(precision: str) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} is not known; allowed are {', '.join(PRECISIONS)}")


def describe(name: str = "auto") -> dict:
    """Describe this machine with the device called `name`, as flat JSON-able values.

    Keys: device, gpu (empty without one), gpu_memory_gb, cpu, cores (those this process may use), threads (torch's),
    memory_gb, simd (what torch's kernels use), bf16_units (matrix units of the device that multiply bf16), os.
    """
    device = choose(name)
    gpu = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    flags = _cpu_flags()
    return {
        "device": device.type,
        "gpu": gpu.name if gpu else "",
        "gpu_memory_gb": round(gpu.total_memory / 2**30, 1) if gpu else 0.0,
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(_memory_bytes() / 2**30, 1),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "bf16_units": gpu.major >= 8 if gpu else bool({"avx512_bf16", "amx_bf16", "bf16"} & flags),
        "os": platform.system(),
    }


def versions() -> dict[str, str]:
    """Return the versions that a figure depends on: python, torch (with its build) and numpy."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def one_line(machine: dict) -> str:
    """Return what `describe` found as one line for a reader."""
    gpu = f"{machine['gpu']} ({machine['gpu_memory_gb']:.0f} GiB)" if machine["gpu"] else "no GPU"
    bf16 = "with" if machine["bf16_units"] else "without"
    threads = f"{machine['threads']} torch thread{'s' * (machine['threads'] != 1)}"
    return (
        f"{gpu} | {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:.0f} GiB | "
        f"{threads}, {machine['simd']}, {bf16} bf16 units | torch {torch.__version__}"
    )


def _proc(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # not Linux
        return ""


def _cpu_flags() -> set[str]:
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _proc("/proc/cpuinfo"), re.M)
    return set(found[1].split()) if found else set()


def _cpu_name() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", _proc("/proc/cpuinfo"), re.M)
    name = found[1] if found else platform.processor() or platform.machine()
    return re.sub(r"\((R|TM)\)|\bCPU\b", "", name).replace("  ", " ").strip()


def _memory_bytes() -> int:
    if sys.platform == "win32":
        import ctypes

        kilobytes = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
