"""The judge of exercise 10; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

from contextlib import ExitStack
from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

# 1. Who was left behind? A model is described as {"plain", "buffers": names, "parts": {name: a model}}.


def built(model):
    """The module so described; each has a linear layer and a number beside."""
    module = nn.Module()
    module.layer, module.width = nn.Linear(2, 2), 4
    for name in model["buffers"]:
        module.register_buffer(name, torch.ones(2))
    for name in model["plain"]:
        setattr(module, name, torch.ones(2))
    for name, part in model["parts"].items():
        module.add_module(name, built(part))
    return module


def names_and_places(answers, model):
    module = built(model)
    return [list(answers.left_behind(module)), sorted({weight.device.type for weight in module.parameters()})]


def names(answers, model):
    return list(answers.left_behind(built(model)))


def words(rng, count):
    return rng.sample(["mask", "scale", "angle", "offset", "table", "shift", "rope", "window", "prior", "bins"], count)


def one_plain_tensor(rng):
    models = []
    for buffers in (1, 2, 3):
        plain, *others = words(rng, 1 + buffers)
        models.append(({"plain": [plain], "buffers": others, "parts": {}},))
    return models


def deep_models(rng):
    def module(depth):
        here = words(rng, 4)
        plain = rng.randint(0, 2)
        parts = {name: module(depth - 1) for name in rng.sample(["0", "1", "encoder", "head"], 2)} if depth else {}
        return {"plain": here[:plain], "buffers": here[plain:3], "parts": parts}

    nothing = {"plain": [], "buffers": words(rng, 2), "parts": {"inner": {"plain": [], "buffers": [], "parts": {}}}}
    return [*((module(2),) for _ in range(4)), (nothing,)]


# 2. Take it along


def moved(answers, mean, std):
    layer = answers.Standardise(torch.tensor(mean), torch.tensor(std))
    trained = len(list(layer.parameters()))
    wide, away = str(layer.double().std.dtype), layer.to("meta")
    return [trained, wide, away.mean.device.type, away.std.device.type]


def saved(answers, mean, std):
    """The names in the saved state, and what a layer makes of numbers once it has loaded that state."""
    state = answers.Standardise(torch.tensor(mean), torch.tensor(std)).state_dict()
    other = answers.Standardise(torch.zeros(len(mean)), torch.ones(len(mean)))
    other.load_state_dict(state)
    return [sorted(state), other(torch.ones(1, len(mean)))]


def statistics(rng):
    counts = [rng.randint(2, 6) for _ in range(3)]
    return [([rng.uniform(2, 9) for _ in range(n)], [rng.uniform(0.5, 3) for _ in range(n)]) for n in counts]


# 3. The luggage


def bytes_of_layers(answers, features, normalised, kind):
    """A linear layer and a batch norm, in a type of their own; the norm's counter stays an integer."""
    layers = nn.Linear(*features), nn.BatchNorm1d(normalised)
    return answers.bytes_moved(nn.Sequential(*layers).to(getattr(torch, kind)))


def layers(rng):
    kinds = ["float16", "float32", "float64"]
    return [((rng.randint(2, 40), rng.randint(2, 40)), rng.randint(2, 40), kind) for kind in kinds]


def bytes_of_shared(answers, width, hidden_buffer, plain):
    tied = nn.Sequential(nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False))
    tied[1].weight = tied[0].weight
    if hidden_buffer:
        tied.register_buffer("positions", torch.zeros(hidden_buffer), persistent=False)
    if plain:
        tied.mask = torch.zeros(plain)
    return answers.bytes_moved(tied)


def shared(rng):
    return [(rng.randint(3, 30), rng.choice([0, 1]) * extra, extra) for extra in (0, *rng.sample(range(1, 60), 3))] + [
        (5, 7, 0)
    ]


def bytes_on_meta(answers, inputs, outputs):
    with torch.device("meta"):
        layer = nn.Linear(inputs, outputs, bias=False)
    return answers.bytes_moved(layer)


def giants(rng):
    return [(rng.randint(100_000, 300_000), rng.randint(100_000, 300_000)) for _ in range(2)]


# 4. Stop asking


def small_task(seed, sizes):
    generator = torch.Generator().manual_seed(seed)
    batches = [(torch.randn(size, 6, generator=generator), torch.randint(3, (size,), generator=generator)) for size in sizes]
    torch.manual_seed(seed)
    model = nn.Linear(6, 3)
    return model, batches, torch.optim.SGD(model.parameters(), lr=0.5)


def weights_after(answers, seed, sizes):
    model, batches, optimizer = small_task(seed, sizes)
    answers.train_epoch(model, batches, optimizer)
    return model.weight


def mean_loss(answers, seed, sizes):
    loss = answers.train_epoch(*small_task(seed, sizes))
    return [isinstance(loss, float), loss]


def questions(answers, seed, sizes):
    """Whether the loss is above 0, and how often the CPU asked the device for a number.

    item() is counted below the methods of tensors, too: somebody may have taken it along before.
    """
    asked, items = [], []

    class Items(TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            if op is torch.ops.aten._local_scalar_dense.default:
                items.append(1)
            return op(*args, **(kwargs or {}))

    def counting(original):
        def ask(*args, **kwargs):
            asked.append(1)
            return original(*args, **kwargs)

        return ask

    task = small_task(seed, sizes)
    with ExitStack() as patched:
        for name in ("item", "tolist", "numpy", "cpu", "__float__", "__int__", "__bool__", "__index__"):
            original = getattr(torch.Tensor, name)
            patched.enter_context(mock.patch.object(torch.Tensor, name, counting(original)))
        patched.enter_context(Items())
        loss = answers.train_epoch(*task)
    return [bool(loss > 0), max(len(asked), len(items))]


def equal_batches(rng):
    return [(rng.randrange(2**31), [rng.randint(5, 9)] * rng.randint(3, 5)) for _ in range(3)]


def smaller_last_batch(rng):
    return [*equal_batches(rng)[:1], *((rng.randrange(2**31), [8, 8, rng.randint(1, 3)]) for _ in range(3))]


def many_batches(rng):
    return [(rng.randrange(2**31), [rng.randint(3, 6)] * rng.randint(10, 25)) for _ in range(2)]


def asks_once(got, expected, seed, sizes):
    return got[0] is True and 0 <= got[1] <= 1


# 5. When does it pay? Rates are drawn; a break-even that is a whole number before rounding does not come up.


def watched(machine):
    """A machine that gives up when it is asked too often: the break-even is to be solved for, not searched."""
    left = [1000]  # out of reach of an answer that would set it back

    class Watched:
        def __getattr__(self, name):
            left[0] -= 1
            if left[0] < 0:
                raise AssertionError("a search")
            return getattr(machine, name)

    return Watched()


def machine_of(answers, cpu_rate, gpu_rate, link, launch):
    return answers.Machine(cpu_rate=cpu_rate, gpu_rate=gpu_rate, link=link, launch=launch)


def step_of(answers, flops, nbytes, kernels):
    return answers.Step(flops=flops, nbytes=nbytes, kernels=kernels)


def factors(answers, step, machine, batches):
    return [answers.speedup(batch, step_of(answers, *step), machine_of(answers, *machine)) for batch in batches]


def whole_break_even(answers, step, machine):
    batch = answers.break_even(step_of(answers, *step), watched(machine_of(answers, *machine)))
    return [isinstance(batch, int), batch]


def no_break_even(answers, step, machine):
    return answers.break_even(step_of(answers, *step), watched(machine_of(answers, *machine)))


def drawn(rng, flops=1e6, link=1e10, gpu_gain=100.0, kernels=50):
    """A step and a machine whose numbers are within a fifth of these."""
    cpu_rate = 1e11 * rng.uniform(0.8, 1.2)
    step = [flops * rng.uniform(0.8, 1.2), 1e3 * rng.uniform(0.8, 1.2), rng.randint(kernels, kernels * 6 // 5)]
    return step, [cpu_rate, cpu_rate * gpu_gain, link * rng.uniform(0.8, 1.2), 1e-5 * rng.uniform(0.8, 1.2)]


def some_batches(rng):
    return [(*drawn(rng), [1, rng.randint(20, 300), rng.randint(1000, 9000)]) for _ in range(3)]


def growing_batches(rng):
    return [(*drawn(rng), [1, 100, 10_000, 10**9]) for _ in range(3)]


def grows_to_its_limit(got, expected, step, machine, batches):
    flops, nbytes, _ = step
    cpu_rate, gpu_rate, link, _ = machine
    limit = (flops / cpu_rate) / (nbytes / link + flops / gpu_rate)
    return got == sorted(got) and got[0] < 1 < got[-1] and abs(got[-1] / limit - 1) < 2e-3


def it_pays(rng):
    """Some dozens of samples; heavy samples, of which one is enough; a slow link, with more than a search may try."""
    slow = drawn(rng)
    slow[1][2] = slow[0][1] / (slow[0][0] / slow[1][0] * rng.uniform(0.91, 0.95))  # moving takes most of what is won
    return [drawn(rng), drawn(rng), drawn(rng, flops=1e9, kernels=1), slow]


def it_never_pays(rng):
    """A link on which moving takes longer than calculating; a GPU that is no faster than the CPU, or slower."""
    return [drawn(rng, link=5e7), drawn(rng, gpu_gain=1.0), drawn(rng, gpu_gain=0.5)]


JUDGED = {
    "test_left_behind": {
        "the plain tensor is found, the registered ones are not": (names_and_places, one_plain_tensor),
        "deep inside a model too": (names, deep_models),
    },
    "test_standardise": {
        "it moves with the model and is not trained": (moved, statistics),
        "it is saved with the model": (saved, statistics),
    },
    "test_bytes_moved": {
        "every parameter and every buffer, in its own type": (bytes_of_layers, layers),
        "what is shared travels once, what is not saved travels too": (bytes_of_shared, shared),
        "shapes and types are enough": (bytes_on_meta, giants),
    },
    "test_train_epoch": {
        "it trains as the plain loop does": (weights_after, equal_batches),
        "the mean loss per sample": (mean_loss, smaller_last_batch),
        "one question an epoch": (questions, many_batches, asks_once),
    },
    "test_speedup": {
        "the factor of one step": (factors, some_batches),
        "it is no constant, and it has a limit below the ratio of the rates": (factors, growing_batches, grows_to_its_limit),
        "the batch from which it pays": (whole_break_even, it_pays),
        "or never": (no_break_even, it_never_pays),
    },
}
