"""Many ranks simulated in one process: who sends what in which step, and who works when.

`carry_out` does the messages of a collective on real numbers and counts steps and chunks. `play` lays tasks out in time.
Nothing is measured here: seconds that go in are assumptions, and what comes out is a simulation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Send:
    """One chunk on its way: from rank `source` to rank `target`, which adds it to its own or else (`add=False`) keeps it."""

    source: int
    target: int
    chunk: int
    add: bool


@dataclass(frozen=True)
class Carried:
    """What `carry_out` did. `values`: (ranks, chunks, ...) at the end; `sent`: chunks that each rank sent.

    `widest`: for each step, the most chunks that one rank sent in it: the others wait for that rank.
    """

    values: np.ndarray
    sent: tuple[int, ...]
    widest: tuple[int, ...]

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.widest)

    def share_sent(self) -> float:
        """What the busiest rank sent, in multiples of the whole vector."""
        return max(self.sent) / self.values.shape[1]

    def seconds(self, nbytes: float, alpha: float, bandwidth: float) -> float:
        """The simulated time of the steps for a vector of `nbytes`: each costs alpha s, and its widest message.

        The alpha-beta model of R. W. Hockney, Parallel Computing 20 (1994); bandwidth in bytes/s.
        """
        return self.steps * alpha + sum(self.widest) * nbytes / self.values.shape[1] / bandwidth


def carry_out(steps: Iterable[Iterable[Send]], values: np.ndarray) -> Carried:
    """Do the messages of every step on `values`, (ranks, chunks) or (ranks, chunks, elements); `values` stays as it is.

    All messages of a step travel at once, and carry what the sender held before the step. In one step a rank sends to
    one other rank at most, and receives from one at most (to and from may be different ranks), as many chunks as it
    likes. Raises ValueError that names the step and what is wrong in it.
    """
    now = np.array(values, dtype=float)
    if now.ndim < 2:
        raise ValueError(f"values: shape {now.shape} is not allowed; it is (ranks, chunks) or (ranks, chunks, elements)")
    ranks, chunks = now.shape[:2]
    sent, widest = [0] * ranks, []
    for number, step in enumerate(steps):
        messages = list(step)
        _check_step(number, messages, ranks, chunks)
        before = now.copy()
        for message in messages:
            kept = now[message.target, message.chunk] if message.add else 0
            now[message.target, message.chunk] = kept + before[message.source, message.chunk]
            sent[message.source] += 1
        sizes = [sum(message.source == rank for message in messages) for rank in {m.source for m in messages}]
        widest.append(max(sizes, default=0))
    return Carried(now, tuple(sent), tuple(widest))


def _check_step(number: int, messages: Sequence[Send], ranks: int, chunks: int) -> None:
    to, origin, seen = {}, {}, set()
    for m in messages:
        if m.source not in range(ranks) or m.target not in range(ranks) or m.source == m.target:
            raise ValueError(f"step {number}: {m} is not allowed; source and target are two different ranks of 0..{ranks - 1}")
        if m.chunk not in range(chunks):
            raise ValueError(f"step {number}: chunk {m.chunk} is not allowed; it lies in 0..{chunks - 1}")
        if to.setdefault(m.source, m.target) != m.target:
            raise ValueError(f"step {number}: rank {m.source} sends to {to[m.source]} and {m.target}; one a step is allowed")
        if origin.setdefault(m.target, m.source) != m.source:
            raise ValueError(f"step {number}: rank {m.target} hears {origin[m.target]} and {m.source}; one a step is allowed")
        if (m.target, m.chunk) in seen:
            raise ValueError(f"step {number}: rank {m.target} gets chunk {m.chunk} twice; once a step is allowed")
        seen.add((m.target, m.chunk))


@dataclass(frozen=True)
class Task:
    """Something that takes `seconds`, once all tasks that `needs` names have ended. Names are unique in a timeline."""

    name: str
    seconds: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """What `play` made: `spans` holds (start, end) in seconds for each task's name, `lanes` the names on each lane."""

    spans: dict[str, tuple[float, float]]
    lanes: dict[str, tuple[str, ...]]

    @property
    def total(self) -> float:
        """When the last task ends, in seconds."""
        return max((end for _, end in self.spans.values()), default=0.0)

    def idle(self, lane: str) -> float:
        """The share of the total in which `lane` does nothing: the bubble."""
        busy = sum(end - start for start, end in (self.spans[name] for name in self.lanes[lane]))
        return 1 - busy / self.total


def play(lanes: Mapping[str, Sequence[Task]]) -> Timeline:
    """Each lane (a rank, a stage, a network) does its tasks one after another, in the order given, as early as it can.

    Raises ValueError for a name that comes twice, and for tasks that wait for what never ends (a deadlock), naming them.
    """
    names = [task.name for tasks in lanes.values() for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"lanes: {next(n for n in names if names.count(n) > 1)!r} comes twice; names are unique")
    spans: dict[str, tuple[float, float]] = {}
    todo, free = {lane: list(tasks) for lane, tasks in lanes.items()}, dict.fromkeys(lanes, 0.0)
    while len(spans) < len(names):
        before = len(spans)
        for lane, tasks in todo.items():
            while tasks and all(name in spans for name in tasks[0].needs):
                task = tasks.pop(0)
                start = max([free[lane], *(spans[name][1] for name in task.needs)])
                free[lane] = start + task.seconds
                spans[task.name] = (start, free[lane])
        if len(spans) == before:
            stuck = [f"{lane} cannot start {tasks[0].name!r}" for lane, tasks in todo.items() if tasks]
            raise ValueError(f"deadlock: {', '.join(stuck)}; each waits for what never ends")
    return Timeline(spans, {lane: tuple(task.name for task in tasks) for lane, tasks in lanes.items()})


def data_parallel(layers: int, message: float) -> dict[str, list[Task]]:
    """The two lanes of one data parallel rank, for `play`: forward 1 and backward 2 a layer, all-reduce 2 `message`.

    `message` is what one pass of a layer's parameters over the network takes; a ring's all-reduce is two of them. "F0" is
    the forward pass of layer 0, "B0" its backward pass, "R0" the all-reduce of its gradients.
    """
    compute = [Task(f"F{i}", 1) for i in range(layers)] + [Task(f"B{i}", 2) for i in reversed(range(layers))]
    return {"compute": compute, "network": [Task(f"R{i}", 2 * message, (f"B{i}",)) for i in reversed(range(layers))]}


def sharded(layers: int, message: float) -> dict[str, list[Task]]:
    """The same for a rank that keeps only its share of the weights (S. Rajbhandari and others, ZeRO, stage 3, 2020).

    It gathers the weights of a layer before the forward pass ("GF0") and again before the backward pass ("GB0"), one layer
    ahead, and scatters the gradients ("S0"): three times `message` a layer in place of two.
    """
    passes = [f"F{i}" for i in range(layers)] + [f"B{i}" for i in reversed(range(layers))]
    compute = [Task(name, 1 if name[0] == "F" else 2, (f"G{name}",)) for name in passes]
    network = [Task(f"G{name}", message, (f"{passes[at - 2]}",) if at > 1 else ()) for at, name in enumerate(passes)]
    for at, name in reversed(list(enumerate(passes))):
        if name[0] == "B":  # after the gather of the next layer, which its backward pass will wait for
            network.insert(min(at + 2, len(network)), Task(f"S{name[1:]}", message, (name,)))
    return {"compute": compute, "network": network}


Order = Sequence[tuple[str, int]]  # what a stage does, in turn: ("F", 0) is the forward pass of micro-batch 0, "B" backward


def pipeline(orders: Sequence[Order], forward: float = 1.0, backward: float = 2.0) -> dict[str, list[Task]]:
    """The lanes for `play` of a pipeline whose stage s works in the order orders[s]; times in seconds a micro-batch.

    A forward pass needs the one of the stage before, a backward pass that of the stage after. Backward costs twice the
    forward unless told otherwise: it has two products for each one. Raises ValueError for an order that does not hold
    every micro-batch exactly once forward and later once backward.
    """
    last, wanted = len(orders) - 1, sorted(set(orders[0])) if orders else []
    for stage, order in enumerate(orders):
        backwards = [micro for kind, micro in order if kind == "B"]
        if sorted(order) != wanted or sorted(order) != sorted([(k, m) for m in backwards for k in "BF"]):
            raise ValueError(
                f"orders[{stage}]: {list(order)} is not allowed; each micro-batch comes once as 'F' and once as 'B'"
            )
        if any(order.index(("F", m)) > order.index(("B", m)) for m in backwards):
            raise ValueError(f"orders[{stage}]: a backward pass stands before its forward pass; forward comes first")
    return {
        f"stage {stage}": [_pass(kind, micro, stage, last, forward, backward) for kind, micro in order]
        for stage, order in enumerate(orders)
    }


def _pass(kind: str, micro: int, stage: int, last: int, forward: float, backward: float) -> Task:
    if kind == "F":
        needs = (f"F{micro} stage {stage - 1}",) if stage > 0 else ()
        return Task(f"F{micro} stage {stage}", forward, needs)
    needs = (f"B{micro} stage {stage + 1}",) if stage < last else ()
    return Task(f"B{micro} stage {stage}", backward, needs)


def most_alive(order: Order) -> int:
    """The most micro-batches whose activations a stage holds at once: forward is done, backward is not."""
    alive = most = 0
    for kind, _ in order:
        alive += 1 if kind == "F" else -1
        most = max(most, alive)
    return most
