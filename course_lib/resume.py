"""A training run on disk: what a checkpoint of it holds, and how a run goes on from there."""

from course_lib import checkpoint, device
from course_lib.config import Config
from course_lib.distributed import exchange
from course_lib.step import Run

COUNTERS = ("epoch", "batch", "steps", "samples", "answers", "seconds", "loss_sum", "correct", "epoch_rng", "history")


def _recipe(config: Config, ranks: int) -> dict:
    """Return the fields that a resumed run must share with the run that it goes on with."""
    fields = ("precision", "accumulate", "clip", "lr", "schedule", "warmup", "seed")
    recipe = {name: getattr(config, name) for name in fields} | {"ranks": ranks}
    if config.schedule != "constant":
        recipe["epochs"] = config.epochs
    return recipe


def save(run: Run) -> None:
    """Write a checkpoint of `run`: every rank gives its counters and generators, rank 0 writes."""
    exchange.copy_buffers_of_first(run.model)
    own = {
        "rng": device.generator_state(run.device),
        "counters": device.move({name: getattr(run, name) for name in COUNTERS}, "cpu"),
    }
    everyones = exchange.gathered(own)
    if everyones is None:  # rank 0 has them, and writes
        return
    state = {
        "recipe": _recipe(run.config, run.ranks),
        "model": exchange.unwrapped(run.model).state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler and run.scaler.state_dict(),
        "ranks": everyones,
    }
    checkpoint.save(run.config.checkpoint, state, step=run.epoch * run.length + run.batch)


def restore(run: Run) -> None:
    """Set `run` to its newest checkpoint, if there is one.

    Raises ValueError, naming what differs, if that was made with another recipe.
    """
    found = exchange.from_first(checkpoint.load_latest(run.config.checkpoint) if exchange.number() == 0 else None)
    if found is None:
        return
    state, _ = found
    theirs, ours = state["recipe"], _recipe(run.config, run.ranks)
    if theirs != ours:
        named = ", ".join(f"{k}={theirs.get(k)!r} (now {ours.get(k)!r})" for k in ours | theirs if theirs.get(k) != ours.get(k))
        raise ValueError(
            f"checkpoint: the run in {run.config.checkpoint} was made with {named}; "
            "give the same values to go on with it, or another folder to begin anew"
        )
    exchange.unwrapped(run.model).load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.scaler is not None:
        run.scaler.load_state_dict(state["scaler"])
    own = state["ranks"][exchange.number()]
    for name, value in own["counters"].items():
        setattr(run, name, device.move(value, run.device) if name in ("loss_sum", "correct") else value)
    device.set_generator_state(own["rng"], run.device)
