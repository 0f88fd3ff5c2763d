"""Weights on disk, as safetensors: reading them runs no code. The file's header says how they were trained.

The base model that the lessons on smaller models share lies beside this file; `make base` trains it again.
"""

import hashlib
import os
from pathlib import Path

import torch
from torch import nn

from course_lib import models
from course_lib.records import Result

BASE = Path(__file__).with_name("base.safetensors")


def base_model(path: str | Path = BASE) -> nn.Sequential:
    """Return the trained base model, `models.small_cnn()`, on the CPU and in evaluation mode. Errors as `load_weights`."""
    model = models.small_cnn()
    load_weights(model, path)
    return model.eval()


def base_record(path: str | Path = BASE) -> Result:
    """Return how the base model was trained: knobs, test accuracy after each epoch, data, machine and versions.

    Raises ValueError for a damaged file or one without a record, FileNotFoundError.
    """
    return Result.from_json(_read(Path(path))[1]["record"])


def save_weights(model: nn.Module, path: str | Path, record: Result) -> int:
    """Write all weights and buffers of `model` to the file `path`, whole or not at all; return its bytes.

    Weights that share memory are not allowed: safetensors' RuntimeError names them. Raises OSError when the file cannot
    be written; what lay there before is then still there.
    """
    from safetensors.torch import save

    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    text = record.to_json()
    content = save(tensors, metadata={"record": text, "sha256": _digest(tensors, text)})
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(content)


def load_weights(model: nn.Module, path: str | Path) -> Result:
    """Load the weights in `path` into `model` and return the record of how they were trained.

    Raises ValueError, before a weight is changed, for a damaged file, one that `save_weights` did not write, and one of
    another model: it names the weights that are missing, unknown, or of another shape or type. FileNotFoundError.
    """
    path = Path(path)
    tensors, header = _read(path)
    ours = model.state_dict()
    wrong = [f"{name} is missing" for name in ours.keys() - tensors.keys()]
    wrong += [f"{name} is not known to the model" for name in tensors.keys() - ours.keys()]
    wrong += [
        f"{name} is {_kind(tensors[name])}, the model's {_kind(ours[name])}"
        for name in ours.keys() & tensors.keys()
        if _kind(ours[name]) != _kind(tensors[name])
    ]
    if wrong:
        raise ValueError(f"{path}: not the weights of this {type(model).__name__}: {'; '.join(sorted(wrong))}")
    model.load_state_dict(tensors)
    return Result.from_json(header["record"])


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; `make base` trains the base model")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: damaged, or no safetensors file ({error}); `git checkout` or `make base` mends it"
        ) from error
    if not {"record", "sha256"} <= header.keys():
        raise ValueError(f"{path}: its header has no record and sum; save_weights writes them")
    if _digest(tensors, header["record"]) != header["sha256"]:
        raise ValueError(f"{path}: damaged: its weights and record do not have the SHA-256 in its header")
    return tensors, header


def _digest(tensors: dict[str, torch.Tensor], record: str) -> str:
    digest = hashlib.sha256(record.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {_kind(tensor)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
