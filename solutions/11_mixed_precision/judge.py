"""The judge of exercise 11; grading/judge.py says how it is used.

Each check judges what the check of the same name in the notebook tests, and nothing else: half an answer keeps its half.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

# 1. Round it yourself. Formats are (exponent bits, fraction bits).

FP16, BF16, FP32 = (5, 10), (8, 7), (8, 23)


def rounded(answers, x, bits):
    return answers.rounded(x, *bits)


def everyday(rng):
    """Numbers of everyday size, and whole numbers halfway between two of fp16's, whose even neighbour is the nearest."""
    sizes = [rng.choice([-1, 1]) * 10 ** rng.uniform(-1, 3) for _ in range(9)]
    halfway = [rng.choice([-1.0, 1.0]) * (2049 + 2 * rng.randrange(1000)) for _ in range(4)]
    return [*((x, bits) for x, bits in zip(sizes, [FP16, BF16, FP32] * 3, strict=True)), *((x, FP16) for x in halfway)]


def tiny(rng):
    """Below fp16's normal numbers (they end at 2**-14), and below half of its smallest (2**-25); bf16 has room for both."""
    subnormal = [rng.choice([-1, 1]) * rng.uniform(1.01, 1.99) * 2.0 ** rng.randint(-24, -15) for _ in range(6)]
    gone = [rng.choice([-1, 1]) * rng.uniform(0.1, 0.9) * 2.0**-25 for _ in range(2)]
    return [*((x, FP16) for x in subnormal + gone), *((x, BF16) for x in gone)]


def huge(rng):
    signs = [1.0, -1.0]
    over = [(sign * rng.uniform(65_521, 90_000), FP16) for sign in signs]
    under = [(sign * rng.uniform(65_505, 65_519), FP16) for sign in signs]
    return [
        *over,
        *under,
        (-65_520.0, FP16),
        (rng.uniform(65_521, 90_000), BF16),
        *((x, FP16) for x in (0.0, math.inf, math.nan)),
    ]


def exactly(got, expected, x, bits):
    return type(got) in (int, float) and (got == expected or (math.isnan(got) and math.isnan(expected)))


# 2. What does autocast do in here?


def reader(inner):
    """An embedding, `inner` pairs of a linear layer and a ReLU one level down, a linear layer."""
    pairs = [layer for _ in range(inner) for layer in (nn.Linear(4, 4), nn.ReLU())]
    return nn.Sequential(nn.Embedding(10, 4), nn.Sequential(*pairs), nn.Linear(4, 2))


def types_of(answers, model, letters, dtype):
    return answers.output_types(model, torch.tensor(letters), getattr(torch, dtype))


def type_of_embedding_and_product(answers, inner, letters, dtype):
    types = types_of(answers, reader(inner), letters, dtype)
    return [str(types["0"]), str(types["2"])]


def names_and_types_of_relus(answers, inner, letters, dtype):
    types = types_of(answers, reader(inner), letters, dtype)
    return [sorted(types), [str(types[f"1.{2 * number + 1}"]) for number in range(inner)]]


def what_is_left(answers, inner, letters, dtype):
    """The weights' types, hooks, autocast, the names that a second call gives, the type of an ordinary answer."""
    model = reader(inner)
    types_of(answers, model, letters, dtype)
    weights = sorted({str(weight.dtype) for weight in model.parameters()})
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    on = torch.is_autocast_enabled("cpu")
    again = sorted(types_of(answers, model, letters, dtype))
    return [weights, hooks, on, again, str(model(torch.tensor(letters)).dtype)]


def readers(rng):
    kinds = ["bfloat16", "bfloat16", "float16"]
    return [(rng.randint(1, 3), [rng.randrange(10) for _ in range(rng.randint(2, 6))], kind) for kind in kinds]


def readers_in_bf16(rng):
    return readers(rng)[:2]


# 3. Scale, unscale, skip


def problem(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), torch.randn(16, 6), torch.arange(16) % 3


def flat(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def good_step(answers, seed, state, grow_after, unused):
    """The weights after it, and (scale, good) for the next; `unused` adds a parameter that has no part in the loss."""
    model, optimizer, x, y = problem(seed)
    if unused:
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    after = answers.scaled_step(F.cross_entropy(model(x), y), optimizer, *state, grow_after)
    return [flat(model), list(after)]


def bad_step(answers, seed, state, grow_after, everywhere):
    """Whether weights and momentum stay as they were, and (scale, good) for the next."""
    model, optimizer, x, y = problem(seed)
    before, loss = flat(model), F.cross_entropy(model(x), y)
    loss = loss * math.inf if everywhere else loss + model[2].bias[0] * math.inf
    after = answers.scaled_step(loss, optimizer, *state, grow_after)
    return [torch.equal(flat(model), before), any(optimizer.state.values()), list(after)]


def several_steps(answers, seed, scale, steps, grow_after):
    model, optimizer, x, y = problem(seed)
    state, seen = (scale, 0), []
    for _ in range(steps):
        optimizer.zero_grad()
        state = answers.scaled_step(F.cross_entropy(model(x), y), optimizer, *state, grow_after)
        seen.append(list(state))
    return seen


def steps_in_fp16(answers, seed, scale, steps, grow_after):
    """The scale before each step, and the weights at the end."""
    model, optimizer, x, y = problem(seed)
    state, scales = (scale, 0), []
    for _ in range(steps):
        optimizer.zero_grad()
        scales.append(state[0])
        with torch.autocast("cpu", dtype=torch.float16):
            loss = F.cross_entropy(model(x), y)
        state = answers.scaled_step(loss, optimizer, *state, grow_after)
    return [scales, flat(model)]


def states(rng):
    """(seed, (scale, good), grow_after), with at least two good steps more to go."""
    good = [rng.randint(0, 4) for _ in range(4)]
    scales = [2.0 ** rng.randint(2, 12) for _ in good]
    return [(rng.randrange(2**31), (s, g), g + rng.randint(2, 6)) for s, g in zip(scales, good, strict=True)]


def good_states(rng):
    return [(*state, unused) for state, unused in zip(states(rng), [False, False, True, True], strict=True)]


def bad_states(rng):
    return [(*state, everywhere) for state, everywhere in zip(states(rng), [True, True, False, False], strict=True)]


def growth(rng):
    return [(rng.randrange(2**31), 2.0 ** rng.randint(1, 6), 8, rng.randint(2, 4)) for _ in range(2)]


def high_scales(rng):
    return [(rng.randrange(2**31), 2.0 ** rng.randint(24, 28), 40, rng.randint(3, 6)) for _ in range(2)]


# 4. Find the bugs


def true_gradients(seed):
    """(the gradient of the last layer's weights, the norm of all), in fp32."""
    model, _, x, y = problem(seed)
    F.cross_entropy(model(x), y).backward()
    return model[2].weight.grad, torch.cat([weight.grad.flatten() for weight in model.parameters()]).norm().item()


def watched(answers, seed, largest=1e9, blow_up=False, scale=1024.0):
    """One step of the learner's; what was seen on the way, by name."""
    model, optimizer, x, y = problem(seed)
    scaler, seen = torch.amp.GradScaler("cpu", init_scale=scale), {"before": flat(model), "steps": 0}
    model[2].register_forward_hook(lambda module, given, made: seen.update(forward=made.dtype))

    def at_backward(gradient):
        seen.update(backward=torch.is_autocast_enabled("cpu"), raw=gradient.clone())
        return gradient * math.inf if blow_up else None

    def at_step(optimizer, args, kwargs):
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        seen.update(step=torch.is_autocast_enabled("cpu"), norm=gradient.norm().item(), steps=seen["steps"] + 1)

    model[2].weight.register_hook(at_backward)
    optimizer.register_step_pre_hook(at_step)
    seen["loss"] = answers.train_step(model, x, y, optimizer, scaler, largest)
    return seen | {"after": flat(model), "scale": scaler.get_scale()}


def forward_and_loss(answers, seed):
    seen = watched(answers, seed)
    return [str(seen["forward"]), isinstance(seen["loss"], float), seen["loss"]]


def autocast_seen(answers, seed):
    seen = watched(answers, seed)
    return [seen["backward"], seen["step"]]


def scaled_and_unscaled(answers, seed, scale):
    """The last layer's gradient in backward over the scale, less the true one: the largest difference; both norms' ratio."""
    seen, (last, norm) = watched(answers, seed, scale=scale), true_gradients(seed)
    return [(seen["raw"] / scale - last).abs().max(), seen["norm"] / norm]


def clipped(answers, seed, share):
    """The norm at the step over that of the true gradient, with `share` of it as the largest that is allowed."""
    norm = true_gradients(seed)[1]
    return watched(answers, seed, largest=share * norm)["norm"] / norm


def skipped_and_grown(answers, seed, scale):
    """After an infinite gradient: steps, whether the weights are the same, the scale; then the scales of four good steps."""
    seen = watched(answers, seed, blow_up=True, scale=scale)
    model, optimizer, x, y = problem(seed)
    scaler, scales = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2), []
    for _ in range(4):
        answers.train_step(model, x, y, optimizer, scaler, 1e9)
        scales.append(scaler.get_scale())
    return [seen["steps"], torch.equal(seen["before"], seen["after"]), seen["scale"], scales]


def seeds(rng):
    return [(rng.randrange(2**31),) for _ in range(3)]


def seeds_and_scales(rng):
    return [(rng.randrange(2**31), 2.0 ** rng.randint(6, 12)) for _ in range(3)]


def seeds_and_shares(rng):
    return [(rng.randrange(2**31), share) for share in (rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(1.5, 3))]


def nearly_the_loss(got, expected, seed):
    return got[:2] == expected[:2] and abs(got[2] / expected[2] - 1) < 0.05


def nearly_true(got, expected, seed, scale):
    return got[0] < 3e-3 and abs(got[1] - 1) < 0.05


def at_most_its_share(got, expected, seed, share):
    return abs(got - min(share, 1)) < 0.05


# 5. Master weights


def many_updates(answers, start, rate, steps):
    weight = nn.Parameter(torch.full((3,), start, dtype=torch.bfloat16))
    optimizer = answers.MasterSGD([weight], lr=rate)
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return weight.detach().float()


def descent(answers, start, rate, gradients):
    weight = nn.Parameter(torch.tensor(start).bfloat16())
    optimizer = answers.MasterSGD([weight], lr=rate)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient).bfloat16()
        optimizer.step()
    return weight.detach().float()


def one_update(answers, start, rate, dtype):
    """Of a used and an unused parameter: same memory, type and values; whether the used one is still a leaf."""
    used, unused = (nn.Parameter(torch.full((2,), start, dtype=getattr(torch, dtype))) for _ in range(2))
    memory, optimizer = used.data_ptr(), answers.MasterSGD(iter([used, unused]), lr=rate)
    used.grad = torch.ones_like(used)
    optimizer.step()
    kept = [used.data_ptr() == memory, str(used.dtype), used.requires_grad and used.is_leaf]
    return [*kept, used.detach().float(), unused.detach().float()]


def small_updates(rng):
    """Each is less than a fifth of the spacing of the weights, and together they come to 0.4."""
    steps = [rng.randint(400, 600) for _ in range(2)]
    return [(rng.choice([1.0, 1.25, 1.5]), 0.4 / count, count) for count in steps]


def nearly_arrived(got, expected, start, rate, steps):
    return len(got) == 3 and all(abs(value - (start - rate * steps)) < 0.01 for value in got)


def descents(rng):
    return [
        (
            [rng.uniform(-1, 1) for _ in range(9)],
            0.01,
            [[rng.uniform(0, 0.1 * (number + 1)) for _ in range(9)] for number in range(20)],
        )
        for _ in range(2)
    ]


def rounded_alike(got, expected, start, rate, gradients):
    """Almost all to the last bit. The order of operations may turn a last bit, where a number is about halfway."""
    near = all(abs(g - e) <= 2.0**-7 * abs(e) for g, e in zip(got, expected, strict=True))
    return near and sum(g != e for g, e in zip(got, expected, strict=True)) <= 1


def single_updates(rng):
    return [(rng.choice([1.0, 1.5, 2.0]), rng.choice([0.25, 0.5]), kind) for kind in ("bfloat16", "bfloat16", "float32")]


JUDGED = {
    "test_rounded": {
        "digits: numbers of everyday size": (rounded, everyday, exactly),
        "small: subnormals, then zero": (rounded, tiny, exactly),
        "large: infinity, with its sign": (rounded, huge, exactly),
    },
    "test_output_types": {
        "an embedding is on no list, products are": (type_of_embedding_and_product, readers),
        "every leaf, by its dotted name": (names_and_types_of_relus, readers_in_bf16),
        "the model is left as it was": (what_is_left, readers),
    },
    "test_scaled_step": {
        "a good step is the plain step": (good_step, good_states),
        "a step with an infinite gradient is skipped": (bad_step, bad_states),
        "the scale grows after enough good steps": (several_steps, growth),
        "forty steps in fp16, as GradScaler does them": (steps_in_fp16, high_scales),
    },
    "test_train_step": {
        "it runs, and its forward pass is in fp16": (forward_and_loss, seeds, nearly_the_loss),
        "backward and the optimizer's step are outside autocast": (autocast_seen, seeds),
        "the loss is scaled, the gradients at the step are not": (scaled_and_unscaled, seeds_and_scales, nearly_true),
        "the true gradient is clipped": (clipped, seeds_and_shares, at_most_its_share),
        "a step with infinities is skipped, and the scale adapts": (skipped_and_grown, seeds_and_scales),
    },
    "test_master_sgd": {
        "many small updates arrive": (many_updates, small_updates, nearly_arrived),
        "the weights are those of fp32, rounded": (descent, descents, rounded_alike),
        "the parameters stay what they are": (one_update, single_updates),
    },
}
