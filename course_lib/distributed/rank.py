"""What a worker file calls: join the group, read the arguments, report the result."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from . import hosts

FOLDER = "COURSE_RANKS"  # an environment variable: the launch's folder, in which its ranks leave files
PATIENCE = 15.0  # seconds that a rank waits for the others in a collective: a hang is told well within half a minute


@dataclass(frozen=True)
class Ranks:
    """This process's place in the group."""

    rank: int  # 0 to world_size - 1
    world_size: int
    device: torch.device  # the CPU, or this rank's own GPU
    restart: int  # how many times the launcher has started the ranks again: 0 in the first attempt


@contextmanager
def group(timeout: float = PATIENCE) -> Iterator[Ranks]:
    """Join the ranks for the time of a `with` block: gloo on the CPU, NCCL where this machine has a GPU for each rank.

    A collective that the others do not join within `timeout` seconds raises an error, so that a rank that hangs is told
    by those that wait for it. The block ends with a barrier: all ranks leave it together. If an exception leaves the
    block, the group is not taken down, as that could wait for the others: the rank is to end now. Where the ranks are on
    several hosts, and one is lost to the others, a RankError names it.

    Raises RuntimeError where no launcher has made this process a rank, ValueError if `timeout` is not above 0.
    """
    if not timeout > 0:
        raise ValueError(f"timeout: {timeout!r} is not allowed; it is a number of seconds above 0")
    if "RANK" not in os.environ:
        raise RuntimeError("this process is no rank of a group: start its file by distributed.launch, or by torchrun")
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    own_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= here and dist.is_nccl_available()
    device = torch.device("cuda", local) if own_gpu else torch.device("cpu")
    if own_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if own_gpu else "gloo",
        store=_store(timedelta(seconds=timeout)),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=timedelta(seconds=timeout),
        device_id=device if own_gpu else None,
    )
    with hosts.named_losses() if dist.get_world_size() > here else nullcontext():
        yield Ranks(dist.get_rank(), dist.get_world_size(), device, attempt())
        dist.barrier()
    dist.destroy_process_group()


def _store(timeout: timedelta) -> dist.Store | None:
    """Return the store at which the ranks of this attempt meet, None for torch's own choice.

    The launcher keeps its store over its restarts, and in it the addresses of ranks that are gone: torch would have the
    new ranks call those. So each attempt has keys of its own. On several hosts, whose launchers do not count restarts
    alike, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 makes torch use a new store each time.
    """
    several_hosts = os.environ["WORLD_SIZE"] != os.environ["LOCAL_WORLD_SIZE"]
    if several_hosts or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    libuv = os.environ.get("USE_LIBUV", "1") == "1"
    store = dist.TCPStore(address, port, is_master=False, timeout=timeout, use_libuv=libuv)
    return dist.PrefixStore(f"attempt-{attempt()}", store)


def arguments() -> dict:
    """Return the `arguments` of `launch`; under torchrun, the JSON object given as the worker file's argument, else {}."""
    return json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


def report(value) -> None:
    """Hand `value` to `launch`, which returns it; the last report of a rank counts. Under torchrun alone, print it.

    Allowed are tensors (they arrive on the CPU), None, bool, int, float, str, and dicts, lists and tuples of them.
    Raises TypeError that names the part which is something else.
    """
    value = _plain(value, "value")
    if FOLDER not in os.environ:
        # With its line break in one piece: unbuffered, print writes two, and another rank's line may come between.
        print(f"report of rank {os.environ.get('RANK', 0)}: {value}\n", end="", flush=True)
        return
    write(own_folder() / "report.pt", lambda path: torch.save(value, path))


def attempt() -> int:
    """Return how many times the launcher has started the ranks again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def own_folder() -> Path:
    """Return the folder of this rank in this attempt."""
    return Path(os.environ[FOLDER]) / f"attempt-{attempt()}" / f"rank-{os.environ['RANK']}"


def write(path: Path, save) -> None:
    """Let `save` write a file that appears under its name only when it is whole."""
    temporary = path.with_suffix(".writing")
    save(temporary)
    os.replace(temporary, path)


def note_failure(error: BaseException, trace: str) -> None:
    """Leave a note of why and when this rank failed, from which `launch` tells the cause from what followed."""
    note = {"time": time.time(), "error": f"{type(error).__name__}: {error}", "trace": trace}
    write(own_folder() / "failure.json", lambda path: path.write_text(json.dumps(note), encoding="utf-8"))


def _plain(value, name: str):
    """Return `value` with its tensors on the CPU, cut loose from graph and storage; raise TypeError for what may not go."""
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        return value.detach().cpu().clone()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, float):  # NumPy's float64 is one
        return float(value)
    if isinstance(value, dict):  # a state_dict and a Counter are some
        return {_plain(key, f"a key of {name}"): _plain(part, f"{name}[{key!r}]") for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(part, f"{name}[{i}]") for i, part in enumerate(value))
    raise TypeError(
        f"{name}: {type(value).__name__} is not allowed; "
        "give tensors, None, numbers, strings, and dicts, lists and tuples of them"
    )
