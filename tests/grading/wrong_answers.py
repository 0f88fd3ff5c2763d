"""Plausible wrong answers to every question: what people write who have nearly, or not at all, understood.

WRONG[exercise][answer cell] lists at least three; each has to lose marks in that question's test.
"""

import re


def altered(answer: str, *changes: tuple[str, str]) -> str:
    """The answer with each `old` of the changes (old, new), found in it exactly once, replaced by its `new`."""
    for old, new in changes:
        if answer.count(old) != 1:
            raise ValueError(f"old: {old!r} is {answer.count(old)} times in the answer; it is there once")
        answer = answer.replace(old, new)
    return answer


PAIRED_RATIO = [
    # the ratio of the medians; nothing refused
    """
def paired_ratio(baseline, variant):
    return np.median(baseline) / np.median(variant)
""",
    # upside down
    """
def paired_ratio(baseline, variant):
    return float(np.median(np.asarray(variant) / np.asarray(baseline)))
""",
    # the mean, which one spoilt pair decides
    """
def paired_ratio(baseline, variant):
    return float(np.mean([b / v for b, v in zip(baseline, variant, strict=True)]))
""",
    # right, but pairs off what can be paired and drops the rest
    """
def paired_ratio(baseline, variant):
    return float(np.median([b / v for b, v in zip(baseline, variant)]))
""",
]

BOOTSTRAP_INTERVAL = [
    # right, but one resample at a time
    """
def bootstrap_interval(values, rng, resamples=2000, level=0.95):
    medians = [np.median(rng.choice(values, len(values))) for _ in range(resamples)]
    return tuple(np.quantile(medians, [(1 - level) / 2, (1 + level) / 2]))
""",
    # without replacement: every resample is the data again
    """
def bootstrap_interval(values, rng, resamples=2000, level=0.95):
    values = np.asarray(values, dtype=float)
    medians = np.median(rng.permuted(np.tile(values, (resamples, 1)), axis=1), axis=1)
    return tuple(np.quantile(medians, [(1 - level) / 2, (1 + level) / 2]))
""",
    # 5 % on each side is the interval of 90 %
    """
def bootstrap_interval(values, rng, resamples=2000, level=0.95):
    values = np.asarray(values, dtype=float)
    medians = np.median(values[rng.integers(len(values), size=(resamples, len(values)))], axis=1)
    return tuple(np.quantile(medians, [1 - level, level]))
""",
    # a seed of its own
    """
def bootstrap_interval(values, rng, resamples=2000, level=0.95):
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=float)
    medians = np.median(values[rng.integers(len(values), size=(resamples, len(values)))], axis=1)
    return tuple(np.quantile(medians, [(1 - level) / 2, (1 + level) / 2]))
""",
]

TIME_DEVICE = [
    # the missing synchronisation
    """
def time_device(fn, synchronize, clock, warmup=3, repeats=5):
    seconds = []
    for i in range(warmup + repeats):
        start = clock()
        fn()
        if i >= warmup:
            seconds.append(clock() - start)
    return seconds
""",
    # waits after each call, but starts while the warm-up is still at work
    """
def time_device(fn, synchronize, clock, warmup=3, repeats=5):
    for _ in range(warmup):
        fn()
    seconds = []
    for _ in range(repeats):
        start = clock()
        fn()
        synchronize()
        seconds.append(clock() - start)
    return seconds
""",
    # a wait on both sides of everything
    """
def time_device(fn, synchronize, clock, warmup=3, repeats=5):
    seconds = []
    for _ in range(warmup + repeats):
        synchronize()
        start = clock()
        fn()
        synchronize()
        seconds.append(clock() - start)
    return seconds[warmup:]
""",
    # one wait for all: the average, in which the orders overlap with the work
    """
def time_device(fn, synchronize, clock, warmup=3, repeats=5):
    for _ in range(warmup):
        fn()
    synchronize()
    start = clock()
    for _ in range(repeats):
        fn()
    synchronize()
    return [(clock() - start) / repeats] * repeats
""",
]

BEST_BATCH = [
    # claim C7 taken at its word
    """
def best_batch(seconds_per_batch, limit):
    in_time = {size: 1 / seconds for size, seconds in seconds_per_batch.items() if seconds <= limit}
    return max(in_time.items(), key=lambda pair: pair[1], default=None)
""",
    # the largest batch in time
    """
def best_batch(seconds_per_batch, limit):
    sizes = [size for size, seconds in seconds_per_batch.items() if seconds <= limit]
    return (max(sizes), max(sizes) / seconds_per_batch[max(sizes)]) if sizes else None
""",
    # the limit forgotten
    """
def best_batch(seconds_per_batch, limit):
    size = max(seconds_per_batch, key=lambda size: size / seconds_per_batch[size])
    return size, size / seconds_per_batch[size]
""",
]

ROOFLINE = [
    # a multiply-add counted once; times added up
    """
def matmul_cost(m, k, n, itemsize=4):
    return m * k * n, (m * k + k * n + m * n) * itemsize

def roofline(flops, nbytes, peak, bandwidth):
    compute, memory = flops / peak, nbytes / bandwidth
    return compute + memory, "compute" if compute >= memory else "memory"
""",
    # elements instead of bytes; the faster of the two
    """
def matmul_cost(m, k, n, itemsize=4):
    return 2 * m * k * n, m * k + k * n + m * n

def roofline(flops, nbytes, peak, bandwidth):
    compute, memory = flops / peak, nbytes / bandwidth
    return min(compute, memory), "compute" if compute >= memory else "memory"
""",
    # right but for the name, which compares what has different units
    """
def matmul_cost(m, k, n, itemsize=4):
    return 2 * m * k * n, (m * k + k * n + m * n) * itemsize

def roofline(flops, nbytes, peak, bandwidth):
    return max(flops / peak, nbytes / bandwidth), "compute" if flops >= nbytes else "memory"
""",
]

LEFT_BEHIND = [
    # buffers are the ones that do move
    """
def left_behind(model):
    return sorted(name for name, _ in model.named_buffers())
""",
    # only the outermost module
    """
def left_behind(model):
    return sorted(name for name, value in vars(model).items() if isinstance(value, torch.Tensor))
""",
    # looks by moving, which loses the weights
    """
def left_behind(model):
    model.to("meta")
    return sorted(
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Tensor) and value.device.type != "meta"
    )
""",
]

STANDARDISE = [
    f"""
class Standardise(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        {body}

    def forward(self, x):
        return (x - self.mean) / self.std
"""
    for body in (
        # left behind and not saved
        "self.mean, self.std = mean, std",
        # trained
        "self.mean, self.std = nn.Parameter(mean), nn.Parameter(std)",
        # moved, but not saved
        "self.register_buffer('mean', mean, persistent=False); self.register_buffer('std', std, persistent=False)",
        # half of it
        "self.register_buffer('mean', mean); self.std = std",
    )
]

BYTES_MOVED = [
    # every parameter taken for 32 bits, buffers forgotten
    """
def bytes_moved(model):
    return 4 * sum(p.numel() for p in model.parameters())
""",
    # what is saved is not what travels
    """
def bytes_moved(model):
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
""",
    # touches the data
    """
def bytes_moved(model):
    return sum(t.detach().numpy().nbytes for t in [*model.parameters(), *model.buffers()])
""",
]

TRAIN_EPOCH_RIGHT = """
def train_epoch(model, batches, optimizer):
    total, samples = 0.0, 0
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, samples = total + loss.detach() * len(labels), samples + len(labels)
    return float(total) / samples
"""

TRAIN_EPOCH = [
    # a question at every step
    altered(TRAIN_EPOCH_RIGHT, ("loss.detach()", "loss.item()"), ("float(total)", "total")),
    # gradients that pile up
    altered(TRAIN_EPOCH_RIGHT, ("        optimizer.zero_grad()\n", "")),
    # the mean of batch means
    """
def train_epoch(model, batches, optimizer):
    losses = []
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()
""",
    # never asks: returns the tensor itself
    altered(TRAIN_EPOCH_RIGHT, ("float(total)", "total")),
]

GPU_STEP = """
def speedup(batch, step, machine):
    cpu = batch * step.flops / machine.cpu_rate
    gpu = step.kernels * machine.launch + batch * (step.nbytes / machine.link + step.flops / machine.gpu_rate)
    return cpu / gpu
"""

SPEEDUP = [
    # claim A1 taken at its word
    """
def speedup(batch, step, machine):
    return machine.gpu_rate / machine.cpu_rate

def break_even(step, machine):
    return 1
""",
    # launches counted for every sample
    """
def speedup(batch, step, machine):
    cpu = batch * step.flops / machine.cpu_rate
    return cpu / (batch * (step.kernels * machine.launch + step.nbytes / machine.link + step.flops / machine.gpu_rate))

def break_even(step, machine):
    return 1 if speedup(1, step, machine) >= 1 else None
""",
    # a search that does not end
    GPU_STEP
    + """
def break_even(step, machine):
    batch = 1
    while speedup(batch, step, machine) < 1:
        batch += 1
    return batch
""",
    # rounded down, and never a "never"
    GPU_STEP
    + """
def break_even(step, machine):
    won = step.flops / machine.cpu_rate - step.nbytes / machine.link - step.flops / machine.gpu_rate
    return int(step.kernels * machine.launch / won)
""",
]

FIT = [
    # through the first and the last point
    """
def fit(sizes, seconds):
    if len(set(sizes)) < 2:
        raise ValueError("sizes: at least two of them differ")
    slope = (seconds[-1] - seconds[0]) / (sizes[-1] - sizes[0])
    return seconds[0] - slope * sizes[0], 1 / slope
""",
    # the slope where the bandwidth belongs; nothing refused
    """
def fit(sizes, seconds):
    slope, alpha = np.polyfit(sizes, seconds, 1)
    return alpha, slope
""",
    # the fastest message for alpha, the mean rate for the bandwidth
    """
def fit(sizes, seconds):
    if len(set(sizes)) < 2:
        raise ValueError("sizes: at least two of them differ")
    return min(seconds), sum(sizes) / sum(seconds)
""",
    # right, but one size gives a line, too
    """
def fit(sizes, seconds):
    line = np.stack([np.ones(len(sizes)), np.asarray(sizes, dtype=float)], axis=1)
    (alpha, slope), *_ = np.linalg.lstsq(line, np.asarray(seconds, dtype=float))
    return alpha, 1 / slope if slope else float("inf")
""",
]

ALL_REDUCE = [
    # the ring: as few bytes, many steps
    """
def all_reduce(ranks):
    return [
        [Send(rank, (rank + 1) % ranks, (rank + ahead - step) % ranks, add) for rank in range(ranks)]
        for add, ahead in ((True, 0), (False, 1))
        for step in range(ranks - 1)
    ]
""",
    # doubling with whole vectors: few steps, many bytes
    """
def all_reduce(ranks):
    return [
        [Send(rank, rank ^ (1 << bit), chunk, True) for rank in range(ranks) for chunk in range(ranks)]
        for bit in range(ranks.bit_length() - 1)
    ]
""",
    # halving alone: every rank ends with its own chunk only
    """
def all_reduce(ranks):
    mine, steps = {rank: list(range(ranks)) for rank in range(ranks)}, []
    for bit in [1 << place for place in reversed(range(ranks.bit_length() - 1))]:
        steps.append([Send(r, r ^ bit, c, True) for r in mine for c in mine[r] if c & bit != r & bit])
        mine = {r: [c for c in mine[r] if c & bit == r & bit] for r in mine}
    return steps
""",
    # everybody adds everything it hears from the left, whole vectors around the ring
    """
def all_reduce(ranks):
    return [[Send(r, (r + 1) % ranks, c, True) for r in range(ranks) for c in range(ranks)] for _ in range(ranks - 1)]
""",
]

TOP_K = [
    f"""
class TopK:
    def __init__(self, k):
        self.k, self.error = k, 0.0

    def compress(self, gradient):
        {body}
"""
    for body in (
        # no error feedback
        "indices = gradient.abs().topk(min(self.k, len(gradient))).indices; return indices, gradient[indices]",
        # the largest, not the largest in magnitude
        "wanted = gradient + self.error; indices = wanted.topk(min(self.k, len(wanted))).indices; "
        "self.error = wanted.clone(); self.error[indices] = 0.0; return indices, wanted[indices]",
        # keeps only the last step's rest: what was kept before is dropped
        "wanted = gradient + self.error; indices = wanted.abs().topk(min(self.k, len(wanted))).indices; "
        "self.error = gradient.clone(); self.error[indices] = 0.0; return indices, wanted[indices]",
        # adds in place, to the caller's gradient
        "gradient += self.error; indices = gradient.abs().topk(min(self.k, len(gradient))).indices; "
        "self.error = gradient.clone(); self.error[indices] = 0.0; return indices, gradient[indices]",
    )
]

ONE_FORWARD_ONE_BACKWARD = [
    # GPipe: all forward passes first
    """
def one_forward_one_backward(stages, micro):
    return [[(kind, m) for kind in "FB" for m in range(micro)] for _ in range(stages)]
""",
    # one micro-batch at a time: little memory, and everybody waits
    """
def one_forward_one_backward(stages, micro):
    return [[(kind, m) for m in range(micro) for kind in "FB"] for _ in range(stages)]
""",
    # every stage runs as far ahead as the first
    """
def one_forward_one_backward(stages, micro):
    ahead = min(micro, stages)
    order = [("F", m) for m in range(ahead)]
    for m in range(micro):
        order += [("B", m)] + ([("F", m + ahead)] if m + ahead < micro else [])
    return [order] * stages
""",
    # one pass ahead too few: the last stage begins with a backward pass
    """
def one_forward_one_backward(stages, micro):
    orders = []
    for stage in range(stages):
        ahead = min(micro, stages - stage - 1)
        order = [("F", m) for m in range(ahead)]
        for m in range(micro):
            order += [("B", m)] + ([("F", m + ahead)] if m + ahead < micro else [])
        orders.append(order)
    return orders
""",
]

SMALLEST_STAGE = """
def smallest_stage(parameters, activations, ranks, memory):
    fits = [stage for stage in range(4) if bytes_a_rank(parameters, activations, ranks, stage) <= memory]
    return fits[0] if fits else None
"""

BYTES_A_RANK = [
    # claim B13 taken at its word: the weights are all there is
    """
def bytes_a_rank(parameters, activations, ranks, stage):
    return 2 * parameters if stage < 3 else 2 * parameters / ranks
"""
    + SMALLEST_STAGE,
    # divides the activations, too
    """
def bytes_a_rank(parameters, activations, ranks, stage):
    parts = (2 * parameters + activations, 2 * parameters, 12 * parameters)
    return sum(part / ranks if stage >= first else part for part, first in zip(parts, (3, 2, 1)))
"""
    + SMALLEST_STAGE,
    # gradients before the state
    """
def bytes_a_rank(parameters, activations, ranks, stage):
    parts = (2 * parameters, 2 * parameters, 12 * parameters)
    return activations + sum(part / ranks if stage >= first else part for part, first in zip(parts, (3, 1, 2)))
"""
    + SMALLEST_STAGE,
    # right, but what fits nowhere gets stage 3
    """
def bytes_a_rank(parameters, activations, ranks, stage):
    parts = (2 * parameters, 2 * parameters, 12 * parameters)
    return activations + sum(part / ranks if stage >= first else part for part, first in zip(parts, (3, 2, 1)))

def smallest_stage(parameters, activations, ranks, memory):
    fits = [stage for stage in range(3) if bytes_a_rank(parameters, activations, ranks, stage) <= memory]
    return fits[0] if fits else 3
""",
]

ROUNDED = [
    # no subnormals: what is below the smallest normal number becomes zero
    """
def rounded(x, exponent_bits, fraction_bits):
    bias = 2 ** (exponent_bits - 1) - 1
    if x == 0 or not math.isfinite(x) or abs(x) < 2.0 ** (1 - bias):
        return x if x != x or abs(x) == math.inf else 0.0
    spacing = 2.0 ** (math.frexp(x)[1] - 1 - fraction_bits)
    value = round(x / spacing) * spacing
    return value if abs(value) <= (2 - 2.0**-fraction_bits) * 2.0**bias else math.copysign(math.inf, x)
""",
    # cut off, not rounded
    """
def rounded(x, exponent_bits, fraction_bits):
    if x == 0 or not math.isfinite(x):
        return x
    bias = 2 ** (exponent_bits - 1) - 1
    spacing = 2.0 ** (max(math.frexp(x)[1] - 1, 1 - bias) - fraction_bits)
    value = int(x / spacing) * spacing
    return value if abs(value) <= (2 - 2.0**-fraction_bits) * 2.0**bias else math.copysign(math.inf, x)
""",
    # digits alone: the exponent's bits are not looked at
    """
def rounded(x, exponent_bits, fraction_bits):
    if x == 0 or not math.isfinite(x):
        return x
    spacing = 2.0 ** (math.frexp(x)[1] - 1 - fraction_bits)
    return round(x / spacing) * spacing
""",
    # stops at the largest number, as if it were a limit for the eye
    """
def rounded(x, exponent_bits, fraction_bits):
    if x == 0 or not math.isfinite(x):
        return x
    bias = 2 ** (exponent_bits - 1) - 1
    spacing = 2.0 ** (max(math.frexp(x)[1] - 1, 1 - bias) - fraction_bits)
    largest = (2 - 2.0**-fraction_bits) * 2.0**bias
    return max(-largest, min(largest, round(x / spacing) * spacing))
""",
]

OUTPUT_TYPES = [
    # the types of the weights, which autocast does not touch
    """
def output_types(model, inputs, dtype):
    return {name: module.weight.dtype for name, module in model.named_modules() if hasattr(module, "weight")}
""",
    # casts the model in place of autocast
    """
def output_types(model, inputs, dtype):
    found = {}
    model.to(dtype)
    hooks = [
        module.register_forward_hook(lambda module, given, made, name=name: found.update({name: made.dtype}))
        for name, module in model.named_modules() if not list(module.children())
    ]
    model(inputs)
    for hook in hooks:
        hook.remove()
    return found
""",
    # leaves its hooks behind
    """
def output_types(model, inputs, dtype):
    found = {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, given, made, name=name: found.update({name: made.dtype}))
    with torch.autocast("cpu", dtype=dtype):
        model(inputs)
    return found
""",
    # the outermost modules alone
    """
def output_types(model, inputs, dtype):
    found = {}
    with torch.autocast("cpu", dtype=dtype):
        for name, module in model.named_children():
            inputs = module(inputs)
            found[name] = inputs.dtype
    return found
""",
]

SCALED_STEP_RIGHT = """
def scaled_step(loss, optimizer, scale, good, grow_after):
    (loss * scale).backward()
    gradients = [w.grad for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
    for gradient in gradients:
        gradient /= scale
    if not all(gradient.isfinite().all() for gradient in gradients):
        return scale / 2, 0
    optimizer.step()
    return (scale * 2, 0) if good + 1 == grow_after else (scale, good + 1)
"""

SCALED_STEP = [
    # never divides by the scale
    altered(SCALED_STEP_RIGHT, ("    for gradient in gradients:\n        gradient /= scale\n", "")),
    # looks for infinities when the step is done
    altered(SCALED_STEP_RIGHT, ("    optimizer.step()\n", ""), ("    if not all", "    optimizer.step()\n    if not all")),
    # asks the first gradient alone
    altered(SCALED_STEP_RIGHT, ("not all(gradient.isfinite().all() for gradient in gradients)", "gradients[0].isinf().any()")),
    # a scale that never grows
    altered(SCALED_STEP_RIGHT, ("(scale * 2, 0) if good + 1 == grow_after else (scale, good + 1)", "scale, good + 1")),
]

TRAIN_STEP_RIGHT = """
def train_step(model, inputs, targets, optimizer, scaler, largest):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = F.cross_entropy(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), largest)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()
"""

TRAIN_STEP = [
    # only the call that does not exist was taken out
    """
def train_step(model, inputs, targets, optimizer, scaler, largest):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), largest)
        optimizer.step()
    return loss.item()
""",
    # clips what is still scaled
    altered(TRAIN_STEP_RIGHT, ("    scaler.unscale_(optimizer)\n", "")),
    # never tells the scaler that the step is over
    altered(TRAIN_STEP_RIGHT, ("    scaler.update()\n", "")),
    # scaled and unscaled as it should be, but all within autocast
    re.sub(r"^    (scaler|nn)\b", r"        \1", TRAIN_STEP_RIGHT, flags=re.MULTILINE),
]

MASTER_SGD = [
    f"""
class MasterSGD:
    def __init__(self, parameters, lr):
        self.parameters, self.lr = list(parameters), lr
        self.masters = [parameter.detach(){copied} for parameter in self.parameters]

    @torch.no_grad()
    def step(self):
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                {body}
"""
    for copied, body in (
        # the master is no wider than what it masters
        (".clone()", "self.masters[i] -= self.lr * parameter.grad; parameter.copy_(self.masters[i])"),
        # the master is made anew from the rounded weight at each step
        (".float()", "parameter.copy_(parameter.float() - self.lr * parameter.grad.float())"),
        # the model's weights become the master
        (".float().clone()", "self.masters[i] -= self.lr * parameter.grad.float(); parameter.data = self.masters[i]"),
        # never written back
        (".float().clone()", "self.masters[i] -= self.lr * parameter.grad.float()"),
    )
]

TRAINING_BYTES = [
    # numbers instead of bytes
    """
def training_bytes(widths, batch, optimizer):
    weights = sum(a * b + b for a, b in pairwise(widths))
    state = {"sgd": 0, "momentum": 1, "adamw": 2}[optimizer] * weights
    return {"weights": weights, "gradients": weights, "optimizer": state, "saved": batch * sum(widths)}
""",
    # the outputs of all layers, and so the outputs before each ReLU too
    """
def training_bytes(widths, batch, optimizer):
    weights = 4 * sum(a * b + b for a, b in pairwise(widths))
    state = {"sgd": 0, "momentum": 1, "adamw": 2}[optimizer] * weights
    saved = 4 * batch * (widths[0] + 2 * sum(widths[1:-1]) + widths[-1]) + 8 * batch + 4
    return {"weights": weights, "gradients": weights, "optimizer": state, "saved": saved}
""",
    # every optimizer is AdamW, and no biases
    """
def training_bytes(widths, batch, optimizer):
    weights = 4 * sum(a * b for a, b in pairwise(widths))
    saved = 4 * batch * sum(widths) + 8 * batch + 4
    return {"weights": weights, "gradients": weights, "optimizer": 2 * weights, "saved": saved}
""",
    # forgets what the loss keeps
    """
def training_bytes(widths, batch, optimizer):
    weights = 4 * sum(a * b + b for a, b in pairwise(widths))
    state = {"sgd": 0, "momentum": 1, "adamw": 2}[optimizer] * weights
    return {"weights": weights, "gradients": weights, "optimizer": state, "saved": 4 * batch * sum(widths[:-1])}
""",
]

RECOMPUTE_AGAIN = """
class Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, x):
        ctx.block, ctx.generator = block, torch.get_rng_state()
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            SECOND
        y.backward(gradient)
        return None, x.grad


def recompute(block, x):
    return Again.apply(block, x)
"""

RECOMPUTE = [
    # keeps everything
    """
def recompute(block, x):
    return block(x)
""",
    # the lesson's version: dropout is drawn anew
    RECOMPUTE_AGAIN.replace("SECOND", "y = ctx.block(x)"),
    # sets the generator back, and leaves it there
    RECOMPUTE_AGAIN.replace("SECOND", "torch.set_rng_state(ctx.generator)\n            y = ctx.block(x)"),
    # PyTorch's own, which is switched off
    """
def recompute(block, x):
    return torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
""",
]

FEWEST_BLOCKS = [
    # only the end of the forward pass counts
    """
def peak_bytes(layers, inside, kept, count):
    return count * kept + (layers - count) * inside

def fewest_blocks(layers, inside, kept, budget):
    counts = [count for count in range(layers + 1) if peak_bytes(layers, inside, kept, count) <= budget]
    return min(counts, default=None)
""",
    # the last blocks are recomputed: while the first of them is rebuilt, all that were kept are still there
    """
def peak_bytes(layers, inside, kept, count):
    return (layers - count) * inside + (count - 1) * kept + inside if count else layers * inside

def fewest_blocks(layers, inside, kept, budget):
    counts = [count for count in range(layers + 1) if peak_bytes(layers, inside, kept, count) <= budget]
    return min(counts, default=None)
""",
    # right, but all blocks where nothing fits
    """
def peak_bytes(layers, inside, kept, count):
    return max(count * kept + (layers - count) * inside, (count - 1) * kept + inside if count else 0)

def fewest_blocks(layers, inside, kept, budget):
    count = 0
    while count < layers and peak_bytes(layers, inside, kept, count) > budget:
        count += 1
    return count
""",
    # solves one inequality with floats, rounded down
    """
def peak_bytes(layers, inside, kept, count):
    return max(count * kept + (layers - count) * inside, (count - 1) * kept + inside if count else 0)

def fewest_blocks(layers, inside, kept, budget):
    return max(0, int((layers * inside - budget) / (inside - kept)))
""",
]

BACKWARD_IN_PARTS = [
    # all losses first, one backward at the end: every graph is held
    """
def backward_in_parts(model, loss, inputs, targets, most):
    pairs = zip(inputs.split(most), targets.split(most), strict=True)
    total = sum(loss(model(x), y) * len(x) / len(inputs) for x, y in pairs)
    total.backward()
    return total.detach()
""",
    # divides by the number of parts
    """
def backward_in_parts(model, loss, inputs, targets, most):
    total, parts = torch.zeros(()), list(zip(inputs.split(most), targets.split(most), strict=True))
    for x, y in parts:
        part = loss(model(x), y) / len(parts)
        part.backward()
        total += part.detach()
    return total
""",
    # does not divide at all
    """
def backward_in_parts(model, loss, inputs, targets, most):
    total = torch.zeros(())
    for x, y in zip(inputs.split(most), targets.split(most), strict=True):
        part = loss(model(x), y)
        part.backward()
        total += part.detach() * len(x) / len(inputs)
    return total
""",
    # one sample at a time, from a zero gradient
    """
def backward_in_parts(model, loss, inputs, targets, most):
    model.zero_grad()
    total = torch.zeros(())
    for x, y in zip(inputs.split(1), targets.split(1), strict=True):
        part = loss(model(x), y) / len(inputs)
        part.backward()
        total += part.detach()
    return total
""",
]

CSR_BYTES = [
    # coordinates: a row and a column for each number
    """
def csr_bytes(rows, nonzeros, value=4, index=8):
    return (2 * index + value) * nonzeros

def break_even(rows, columns, value=4, index=8):
    return rows * columns * value // (2 * index + value)
""",
    # forgets the starts
    """
def csr_bytes(rows, nonzeros, value=4, index=8):
    return (index + value) * nonzeros

def break_even(rows, columns, value=4, index=8):
    return rows * columns * value // (index + value)
""",
    # "a third", with floats, and never a "never"
    """
def csr_bytes(rows, nonzeros, value=4, index=8):
    return index * (rows + 1) + (index + value) * nonzeros

def break_even(rows, columns, value=4, index=8):
    return int((rows * columns * value - index * (rows + 1)) / (index + value))
""",
    # one start for each row, none for the end
    """
def csr_bytes(rows, nonzeros, value=4, index=8):
    return index * rows + (index + value) * nonzeros

def break_even(rows, columns, value=4, index=8):
    left = rows * columns * value - index * rows
    return None if left < 0 else left // (index + value)
""",
]

WAIT_SHARE = [
    # the mean of the steps' shares; the reciprocal of what is left
    """
def wait_share(moments):
    return sum((arrived - asked) / (done - asked) for asked, arrived, done in moments) / len(moments)

def most(share):
    return 1 / (1 - share)
""",
    # waiting over computing
    """
def wait_share(moments):
    waited = sum(arrived - asked for asked, arrived, _ in moments)
    return waited / sum(done - arrived for _, arrived, done in moments)

def most(share):
    return 1 / share if share else math.inf
""",
    # from the first moment to the last: pauses count; no thought of a share of 0
    """
def wait_share(moments):
    waited = sum(arrived - asked for asked, arrived, _ in moments)
    return waited / (moments[-1][2] - moments[0][0])

def most(share):
    return 1 / share
""",
]

GETITEMS = [
    # a read for every sample
    """
class BlockSet(torch.utils.data.Dataset):
    def __init__(self, blocks):
        self.blocks = blocks

    def __getitems__(self, indices):
        size = self.blocks.size
        return torch.stack([self.blocks.read(i // size)[i % size] for i in indices])
""",
    # block by block: few reads, another order
    """
class BlockSet(torch.utils.data.Dataset):
    def __init__(self, blocks):
        self.blocks = blocks

    def __getitems__(self, indices):
        size, rows = self.blocks.size, []
        for block in sorted({i // size for i in indices}):
            held = self.blocks.read(block)
            rows += [held[i % size] for i in indices if i // size == block]
        return torch.stack(rows)
""",
    # remembers the last block only
    """
class BlockSet(torch.utils.data.Dataset):
    def __init__(self, blocks):
        self.blocks = blocks

    def __getitems__(self, indices):
        size, last, rows = self.blocks.size, None, []
        for i in indices:
            if i // size != last:
                last, held = i // size, self.blocks.read(i // size)
            rows.append(held[i % size])
        return torch.stack(rows)
""",
    # keeps every block for ever
    """
class BlockSet(torch.utils.data.Dataset):
    def __init__(self, blocks):
        self.blocks, self.held = blocks, {}

    def __getitems__(self, indices):
        size = self.blocks.size
        for i in indices:
            if i // size not in self.held:
                self.held[i // size] = self.blocks.read(i // size)
        return torch.stack([self.held[i // size][i % size] for i in indices])
""",
]

DRAWS = [
    # a sum of seeds: neighbours in different epochs draw the same
    """
def draws(seed, epoch, index, n):
    return np.random.default_rng(seed + epoch + index).random(n)
""",
    # seeds the global generator
    """
def draws(seed, epoch, index, n):
    np.random.seed(seed * 1000003 + epoch * 10007 + index)
    return np.random.rand(n)
""",
    # forgets the epoch: every epoch shows the same pictures
    """
def draws(seed, epoch, index, n):
    return np.random.default_rng([seed, index]).random(n)
""",
    # one generator for all: depends on who drew before
    """
generator = np.random.default_rng(0)

def draws(seed, epoch, index, n):
    return generator.random(n)
""",
]

SHARDS = [
    # every worker reads everything
    """
def my_shards(shards, info, rank=0, ranks=1):
    return list(shards)
""",
    # forgets the ranks
    """
def my_shards(shards, info, rank=0, ranks=1):
    return list(shards[info.id :: info.num_workers] if info else shards)
""",
    # equal parts, and the rest is nobody's
    """
def my_shards(shards, info, rank=0, ranks=1):
    worker, workers = (info.id, info.num_workers) if info else (0, 1)
    part, reader = len(shards) // (ranks * workers), rank * workers + worker
    return list(shards[reader * part : (reader + 1) * part])
""",
    # rounds up: the last get nothing
    """
def my_shards(shards, info, rank=0, ranks=1):
    worker, workers = (info.id, info.num_workers) if info else (0, 1)
    part, reader = -(-len(shards) // (ranks * workers)), rank * workers + worker
    return list(shards[reader * part : (reader + 1) * part])
""",
]

CROP_FLIP = [
    # the loop again
    """
def crop_flip(pixels, tops, lefts, flips, side):
    return crop_flip_loop(pixels, tops, lefts, flips, side)
""",
    # one place for all
    """
def crop_flip(pixels, tops, lefts, flips, side):
    squares = pixels[:, :, tops[0] : tops[0] + side, lefts[0] : lefts[0] + side]
    return torch.where(flips[:, None, None, None], squares.flip(3), squares)
""",
    # flips upside down, and in floats
    """
def crop_flip(pixels, tops, lefts, flips, side):
    steps = torch.arange(side)
    rows = tops[:, None] + torch.where(flips[:, None], side - 1 - steps, steps)
    columns = lefts[:, None] + steps
    every = torch.arange(len(pixels))[:, None, None]
    return pixels.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float()
""",
    # right, but the augmented batch leaves as floats
    """
def crop_flip(pixels, tops, lefts, flips, side):
    steps = torch.arange(side)
    rows = tops[:, None] + steps
    columns = lefts[:, None] + torch.where(flips[:, None], side - 1 - steps, steps)
    every = torch.arange(len(pixels))[:, None, None]
    return pixels.float().permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
""",
]

SHARE = [
    # every epoch in the same order
    """
def share(samples, ranks, rank, epoch, seed=0):
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(seed))[: samples // ranks * ranks]
    return order[rank::ranks].tolist()
""",
    # divides first and shuffles then: a rank never sees the others' samples
    """
def share(samples, ranks, rank, epoch, seed=0):
    own = torch.arange(samples // ranks * ranks)[rank::ranks]
    return own[torch.randperm(len(own), generator=torch.Generator().manual_seed(seed + epoch))].tolist()
""",
    # the ranks do not get equally many
    """
def share(samples, ranks, rank, epoch, seed=0):
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(1000 * seed + epoch))
    return order[rank::ranks].tolist()
""",
    # seeds the generator that everybody uses
    """
def share(samples, ranks, rank, epoch, seed=0):
    torch.manual_seed(1000 * seed + epoch)
    return torch.randperm(samples)[: samples // ranks * ranks][rank::ranks].tolist()
""",
]

BUCKETS = [
    # from the first layer, whose gradient is the last to be ready
    """
def buckets(sizes, cap):
    sent, filled = [], cap
    for position, size in enumerate(sizes):
        if filled + size > cap:
            sent.append([])
            filled = 0
        sent[-1].append(position)
        filled += size
    return sent
""",
    # a message for each gradient
    """
def buckets(sizes, cap):
    return [[position] for position in reversed(range(len(sizes)))]
""",
    # closes a bucket when it is over the cap, not before
    """
def buckets(sizes, cap):
    sent, filled = [[]], 0
    for position in reversed(range(len(sizes))):
        sent[-1].append(position)
        filled += sizes[position]
        if filled >= cap and position:
            sent.append([])
            filled = 0
    return sent
""",
    # one message for all
    """
def buckets(sizes, cap):
    return [list(range(len(sizes)))[::-1]]
""",
]

PACK_RIGHT = """
def pack(model, samples):
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([samples * g.flatten() for g in gradients] + [torch.tensor([float(samples)])])

def unpack(model, total):
    start = 0
    for p in model.parameters():
        p.grad = (total[start : start + p.numel()] / total[-1]).view_as(p).clone()
        start += p.numel()
"""
PLAIN = ("samples * g.flatten()", "g.flatten()"), ("torch.tensor([float(samples)])", "torch.ones(1)")

PACK = [
    # the plain mean over ranks: right for equal shares only
    altered(PACK_RIGHT, *PLAIN),
    # leaves out what it has not used
    altered(
        PACK_RIGHT,
        ("torch.zeros_like(p) if p.grad is None else ", ""),
        ("in model.parameters()]", "in model.parameters() if p.grad is not None]"),
    ),
    # the sum, never divided
    altered(PACK_RIGHT, *PLAIN, (" / total[-1]", "")),
    # writes only where there was a gradient before
    altered(PACK_RIGHT, ("        p.grad = (", "        if p.grad is not None:\n            p.grad = (")),
]

PARTIAL = [
    # the mean of the means and of the variances
    """
def partial(x):
    return torch.cat([x.mean(0), x.var(0, unbiased=False), torch.ones(1)])

def normalise(x, total, eps=1e-5):
    mean, variance = (total[:-1] / total[-1]).chunk(2)
    return (x - mean) / (variance + eps).sqrt()
""",
    # its own statistics: no message needed
    """
def partial(x):
    return torch.zeros(1)

def normalise(x, total, eps=1e-5):
    return (x - x.mean(0)) / (x.var(0, unbiased=False) + eps).sqrt()
""",
    # moments averaged over ranks: right for equal shares only
    """
def partial(x):
    return torch.cat([x.double().mean(0), (x.double() ** 2).mean(0), torch.ones(1)])

def normalise(x, total, eps=1e-5):
    mean, square = (total[:-1] / total[-1]).chunk(2)
    return ((x - mean) / ((square - mean**2).clamp(min=0) + eps).sqrt()).float()
""",
    # in float32, where a difference of large squares comes out below zero or far off
    """
def partial(x):
    return torch.cat([x.sum(0), (x**2).sum(0), torch.tensor([float(len(x))])])

def normalise(x, total, eps=1e-5):
    mean, square = (total[:-1] / total[-1]).chunk(2)
    return (x - mean) / (square - mean**2 + eps).sqrt()
""",
]

READER = [
    f"""
class Reader(nn.Module):
    def __init__(self, hidden=16, classes=2):
        super().__init__()
        self.lstm = {lstm}
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        {body}
"""
    for lstm, body in (
        # as it was: samples are time steps
        ("nn.LSTM(10, hidden)", "return self.head(self.lstm(x)[0])"),
        # a sequence of one step: no bug, and no sequence either
        ("nn.LSTM(10, hidden, batch_first=True)", "return self.head(self.lstm(x.unsqueeze(1))[0][:, -1])"),
        # batch_first forgotten: the samples are still the time steps
        ("nn.LSTM(1, hidden)", "return self.head(self.lstm(x.unsqueeze(-1))[0][:, -1])"),
        # the answer before anything but the first number was read
        ("nn.LSTM(1, hidden, batch_first=True)", "return self.head(self.lstm(x.unsqueeze(-1))[0][:, 0])"),
    )
]

HALVING_RIGHT = """
def halving(train_further, settings, rungs, keep=3):
    alive, done = list(settings), 0
    for rung in rungs:
        scores = {setting: train_further(setting, rung - done) for setting in alive}
        ranked = sorted(alive, key=scores.get, reverse=True)
        alive, done = ranked[: max(1, len(ranked) // keep)], rung
    return ranked[0]
"""

HALVING = [
    # every rung from scratch: 81 epochs for 63
    altered(HALVING_RIGHT, ("rung - done", "rung")),
    # keeps the worst
    altered(HALVING_RIGHT, (", reverse=True", "")),
    # rounds up
    altered(HALVING_RIGHT, ("max(1, len(ranked) // keep)", "-(-len(ranked) // keep)")),
    # may keep nobody
    altered(HALVING_RIGHT, ("max(1, len(ranked) // keep)", "len(ranked) // keep")),
    # trains all of them to the end: the right winner, and the whole bill
    """
def halving(train_further, settings, rungs, keep=3):
    scores = {setting: train_further(setting, rungs[-1]) for setting in settings}
    return max(settings, key=scores.get)
""",
]

PATIENT_RIGHT = """
def patient(scores, patience):
    best, kept = None, 0
    for epoch, score in enumerate(scores, start=1):
        if best is None or score > best:
            best, kept = score, epoch
        if epoch - kept >= patience:
            break
    return epoch, kept
"""

PATIENT = [
    # an epoch too patient
    altered(PATIENT_RIGHT, ("- kept >= patience", "- kept > patience")),
    # a tie counts as progress
    altered(PATIENT_RIGHT, ("score > best", "score >= best")),
    # the last weights instead of the best
    altered(PATIENT_RIGHT, ("return epoch, kept", "return epoch, epoch")),
    # trains to the end first, and decides afterwards
    altered(PATIENT_RIGHT, ("enumerate(scores, start=1)", "enumerate(list(scores), start=1)")),
    # compares with the epoch before
    altered(PATIENT_RIGHT, ("            best, kept = score, epoch\n", "            kept = epoch\n        best = score\n")),
]

MEAN_OF_RIGHT = """
def mean_of(checkpoints):
    total, n = {}, 0
    for state in checkpoints:
        n += 1
        for name, value in state.items():
            if name in total and value.is_floating_point():
                total[name] += value
            else:
                total[name] = value.clone()
    return {name: value / n if value.is_floating_point() else value for name, value in total.items()}
"""

MEAN_OF = [
    # adds into the first checkpoint's own memory
    altered(MEAN_OF_RIGHT, ("value.clone()", "value")),
    # the list holds the same weights n times
    """
def mean_of(checkpoints):
    states = list(checkpoints)
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}
""",
    # the counter is averaged, too
    altered(
        MEAN_OF_RIGHT,
        ("name in total and value.is_floating_point()", "name in total"),
        ("value / n if value.is_floating_point() else value", "value / n"),
    ),
    # the sum
    altered(MEAN_OF_RIGHT, ("value / n if value.is_floating_point() else value", "value")),
]

RESUME_RIGHT = """
def resume(study, objective, total):
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    if len(finished) < total:
        study.optimize(objective, n_trials=total - len(finished))
"""

RESUME = [
    # starts from the beginning
    altered(RESUME_RIGHT, ("n_trials=total - len(finished)", "n_trials=total")),
    # takes everything that is in the study for finished
    altered(RESUME_RIGHT, ("study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))", "study.trials")),
    # forgets that pruned trials are done
    altered(RESUME_RIGHT, ("(TrialState.COMPLETE, TrialState.PRUNED)", "(TrialState.COMPLETE,)")),
    # the lost trial is called failed, and its values are forgotten
    altered(RESUME_RIGHT, ("        study.enqueue_trial(trial.params)\n", "")),
    # tries again whatever failed in earlier days
    altered(
        RESUME_RIGHT,
        ("(TrialState.RUNNING,)", "(TrialState.RUNNING, TrialState.FAIL)"),
        ("        study.tell(", "        if trial.state == TrialState.RUNNING:\n            study.tell("),
    ),
]

KL_RIGHT = """
def kl(student, teacher, temperature, direction):
    log_q, log_p = (student / temperature).log_softmax(1), (teacher / temperature).log_softmax(1)
    if direction == "reverse":
        log_p, log_q = log_q, log_p
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()
"""

KL = [
    # the directions are swapped, as F.kl_div's arguments invite one to
    altered(KL_RIGHT, ('"reverse"', '"forward"')),
    # only the teacher is softened
    altered(KL_RIGHT, ("(student / temperature)", "student")),
    # the default reduction: divided by the classes, too
    altered(KL_RIGHT, (".sum(1).mean()", ".mean()")),
    # the logarithm of a softmax
    altered(
        KL_RIGHT,
        ("(student / temperature).log_softmax(1)", "(student / temperature).softmax(1).log()"),
        ("(teacher / temperature).log_softmax(1)", "(teacher / temperature).softmax(1).log()"),
    ),
]

DISTILLATION_RIGHT = """
def distillation_loss(student, labels, teacher, temperature, weight):
    log_q, log_p = (student / temperature).log_softmax(1), (teacher.detach() / temperature).log_softmax(1)
    soft = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    return (1 - weight) * F.cross_entropy(student, labels) + weight * temperature**2 * soft
"""

DISTILLATION_LOSS = [
    # T squared forgotten: the hotter, the quieter the teacher
    altered(DISTILLATION_RIGHT, (" * temperature**2", "")),
    # T in place of its square
    altered(DISTILLATION_RIGHT, ("temperature**2", "temperature")),
    # the teacher learns, too
    altered(DISTILLATION_RIGHT, (".detach()", "")),
    # the divergence is added to the whole label loss
    altered(DISTILLATION_RIGHT, ("(1 - weight) * ", "")),
]

ASK_RIGHT = """
def ask(teacher, inputs, batch):
    modes = [(module, module.training) for module in teacher.modules()]
    teacher.eval()
    with torch.no_grad():
        said = torch.cat([teacher(part) for part in inputs.split(batch)])
    for module, mode in modes:
        module.training = mode
    return said
"""

ASK = [
    # in the mode in which it happens to be
    altered(ASK_RIGHT, ("    teacher.eval()\n", "")),
    # with the graph
    altered(ASK_RIGHT, ("torch.no_grad()", "torch.enable_grad()")),
    # all in training mode afterwards, the frozen part with them
    altered(ASK_RIGHT, ("module.training = mode", "teacher.train()")),
    # a look at the shape first: the first part passes twice
    altered(ASK_RIGHT, ("    with torch", "    teacher(inputs[:batch])\n    with torch")),
]

ARMS_RIGHT = """
def arms(few, labels, more, said, temperature):
    known, guessed = (F.one_hot(target, said.shape[1]).float() for target in (labels, said.argmax(1)))
    every, softened = torch.cat([few, more]), (said / temperature).softmax(1)
    pseudo, soft = torch.cat([known, guessed]), torch.cat([known, softened])
    return {"labels": (few, known), "pseudo": (every, pseudo), "soft": (every, soft)}
"""

ARMS = [
    # the control has other pictures than what it controls
    altered(ARMS_RIGHT, ('"pseudo": (every, pseudo)', '"pseudo": (more, guessed)')),
    # not softened
    altered(ARMS_RIGHT, ("(said / temperature)", "said")),
    # logits for probabilities
    altered(ARMS_RIGHT, (".softmax(1)", "")),
    # soft labels are all that the second arm has, too: no control
    altered(ARMS_RIGHT, ("torch.cat([known, guessed])", "torch.cat([known, softened])")),
]

BILL_RIGHT = """
def bill(student, teacher, pictures, epochs, stored, teacher_epochs=0):
    if pictures < 1 or epochs < 1 or teacher_epochs < 0:
        raise ValueError("pictures and epochs are at least 1, teacher_epochs at least 0")
    asked = pictures if stored else pictures * epochs
    trained = 3 * teacher * pictures * teacher_epochs
    return {"student": 3 * student * pictures * epochs, "answers": teacher * asked, "teacher": trained}
"""

BILL = [
    # the backward pass is forgotten
    altered(BILL_RIGHT, ("3 * student", "student")),
    # the answers are always stored
    altered(BILL_RIGHT, (" if stored else pictures * epochs", "")),
    # the teacher came for free
    altered(BILL_RIGHT, ("3 * teacher * pictures * teacher_epochs", "0")),
    # nothing is refused
    altered(BILL_RIGHT, ("pictures < 1 or epochs < 1 or teacher_epochs < 0", "False")),
]

AFFINE_RIGHT = """
def scale_and_zero(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)

def to_whole(x, scale, zero, bits=8):
    return ((x / scale).round() + zero).clamp(0, 2**bits - 1).to(torch.uint8)

def to_float(whole, scale, zero):
    return scale * (whole.float() - zero)
"""
AFFINE = [
    # the range is not widened to hold 0
    altered(AFFINE_RIGHT, ("    low, high = min(low, 0.0), max(high, 0.0)\n", "")),
    # not clamped: what lies outside wraps around
    altered(AFFINE_RIGHT, (".clamp(0, 2**bits - 1)", "")),
    # cut off, not rounded: errors of a whole step
    altered(AFFINE_RIGHT, (".round() + zero)", ".floor() + zero)")),
    # 256 steps between 256 numbers, and always 8 bits
    altered(AFFINE_RIGHT, ("(high - low) / (2**bits - 1)", "(high - low) / 256")),
]

CHANNELS_RIGHT = """
def round_channels(weight, bits=8):
    scales = weight.abs().flatten(1).amax(1) / (2 ** (bits - 1) - 1)
    scales = torch.where(scales > 0, scales, 1.0)
    shaped = scales.view(-1, *[1] * (weight.dim() - 1))
    return (weight / shaped).round().to(torch.int8), scales
"""
CHANNELS = [
    # one scale for all channels
    altered(CHANNELS_RIGHT, ("weight.abs().flatten(1).amax(1)", "weight.abs().max().repeat(len(weight))")),
    # the fault of claim C4: rounds without scaling
    altered(CHANNELS_RIGHT, ("(weight / shaped).round()", "weight.round().clamp(-127, 127)")),
    # a channel of zeros has a scale of 0
    altered(CHANNELS_RIGHT, ("    scales = torch.where(scales > 0, scales, 1.0)\n", "")),
    # the largest value and not the largest absolute one
    altered(CHANNELS_RIGHT, ("weight.abs().flatten(1)", "weight.flatten(1)")),
]

NIBBLES_RIGHT = """
def pack(whole):
    padded = F.pad(whole.to(torch.int16) + 8, (0, len(whole) % 2))
    return (padded[0::2] * 16 + padded[1::2]).to(torch.uint8)

def unpack(packed, count):
    halves = torch.stack([packed // 16, packed % 16], dim=1).flatten()[:count]
    return halves.to(torch.int8) - 8
"""
NIBBLES = [
    # one number a byte: nothing is packed
    """
def pack(whole):
    return (whole + 8).to(torch.uint8)

def unpack(packed, count):
    return packed[:count].to(torch.int8) - 8
""",
    # forgets the sign
    altered(NIBBLES_RIGHT, (" + 8, (0", ", (0"), ("halves.to(torch.int8) - 8", "halves.to(torch.int8)")),
    # the pairs come back in another order
    altered(NIBBLES_RIGHT, ("dim=1", "dim=0")),
    # an odd count loses its last number
    altered(
        NIBBLES_RIGHT,
        (
            "    padded = F.pad(whole.to(torch.int16) + 8, (0, len(whole) % 2))\n",
            "    padded = whole[: len(whole) // 2 * 2].to(torch.int16) + 8\n",
        ),
    ),
]

CUT_RIGHT = """
def best_cut(values, bits):
    def error(cut):
        step = cut / (2**bits - 1)
        return ((values / step).round().clamp(0, 2**bits - 1) * step - values).square().mean().item()

    largest = values.max().item()
    return min((largest * part / 100 for part in range(1, 101)), key=error)
"""
CUT = [
    # min-max
    """
def best_cut(values, bits):
    return values.max().item()
""",
    # a percentile, whatever the bits
    """
def best_cut(values, bits):
    return values.quantile(0.99).item()
""",
    # forgets what is clipped
    altered(CUT_RIGHT, ("- values).square().mean()", "- values)[values <= cut].square().mean()")),
    # the largest error in place of the mean squared one
    altered(CUT_RIGHT, ("square().mean()", "abs().max()")),
]

BINARIZE = [
    # a staircase has no gradient
    """
def binarize(weight):
    return torch.where(weight < 0, -1.0, 1.0) * weight.abs().mean(1, keepdim=True).detach()
""",
    # the fault of claim C5: the weight itself, as powers of two
    """
def binarize(weight):
    binary = weight.sign() * 2 ** weight.abs().log2().abs()
    return weight + (binary - weight).detach()
""",
    # the largest value as the scale, and the sign of 0 is 0
    """
def binarize(weight):
    binary = weight.sign() * weight.abs().amax(1, keepdim=True)
    return weight + (binary - weight).detach()
""",
    # one scale for all rows, whose gradient takes a way of its own
    """
def binarize(weight):
    binary = torch.where(weight < 0, -1.0, 1.0) * weight.abs().mean()
    return weight + (binary - weight.detach())
""",
]

GLOBAL_MASKS_RIGHT = """
def global_masks(weights, share):
    if not 0 <= share < 1:
        raise ValueError(f"share: {share}")
    magnitudes = torch.cat([w.abs().flatten() for w in weights])
    stays = torch.ones(len(magnitudes), dtype=torch.bool)
    stays[magnitudes.argsort()[: round(share * len(magnitudes))]] = False
    return [part.view(w.shape) for part, w in zip(stays.split([w.numel() for w in weights]), weights)]
"""
GLOBAL_MASKS = [
    # the same share of every layer
    altered(GLOBAL_MASKS_RIGHT, ("def global_masks", "def one_layer"))
    + """

def global_masks(weights, share):
    return [one_layer([w], share)[0] for w in weights]
""",
    # the most negative go, not the smallest
    altered(GLOBAL_MASKS_RIGHT, ("w.abs().flatten()", "w.flatten()")),
    # a threshold: of equal magnitudes all go
    altered(
        GLOBAL_MASKS_RIGHT,
        (
            "stays[magnitudes.argsort()[: round(share * len(magnitudes))]] = False",
            "stays = magnitudes > magnitudes.quantile(share)",
        ),
    ),
    # nothing is refused
    altered(GLOBAL_MASKS_RIGHT, ("not 0 <= share < 1", "False")),
]

KEEP_CHANNELS_RIGHT = """
def keep_channels(weight, bias, following, keep):
    owned = following.unflatten(1, (len(weight), -1))
    return weight[keep], bias[keep], owned[:, keep].flatten(1, 2)
"""
KEEP_CHANNELS = [
    # one input for each channel, always
    altered(KEEP_CHANNELS_RIGHT, ("owned[:, keep].flatten(1, 2)", "following[:, keep]")),
    # as if Flatten had laid the pixels out first
    altered(KEEP_CHANNELS_RIGHT, ("(len(weight), -1)", "(-1, len(weight))"), ("owned[:, keep]", "owned[:, :, keep]")),
    # zeroed, not removed
    """
def keep_channels(weight, bias, following, keep):
    stays = torch.zeros(len(weight), dtype=torch.bool)
    stays[keep] = True
    return weight * stays.view(-1, *[1] * (weight.dim() - 1)), bias * stays, following
""",
    # the bias stays whole
    altered(KEEP_CHANNELS_RIGHT, ("bias[keep]", "bias")),
]

COUNT_MACS_RIGHT = """
def count_macs(model, example):
    counts = []
    def count(layer, inputs, output):
        counts.append(layer.weight.numel() * (output[0].numel() // len(layer.weight)))
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        model(example)
    for hook in hooks:
        hook.remove()
    return sum(counts)
"""
COUNT_MACS = [
    # the whole batch
    altered(COUNT_MACS_RIGHT, ("output[0].numel()", "output.numel()")),
    # at every pixel that a layer reads, not that it writes
    altered(COUNT_MACS_RIGHT, ("(output[0].numel() // len(layer.weight))", "inputs[0][0, 0].numel()")),
    # zeros are left out
    altered(COUNT_MACS_RIGHT, ("layer.weight.numel()", "int(layer.weight.count_nonzero())")),
    # the hooks stay
    altered(COUNT_MACS_RIGHT, ("        hook.remove()", "        pass")),
]

STORED_RIGHT = """
def stored(rows, columns, nonzeros, form):
    if form == "dense":
        return 4 * rows * columns
    if form == "csr":
        return 8 * nonzeros + 4 * (rows + 1)
    return 4 * nonzeros + (rows * columns + 7) // 8

def break_even(rows, columns, form):
    sizes = [n for n in range(1, rows * columns + 1) if stored(rows, columns, n, form) < 4 * rows * columns]
    return max(sizes, default=0)
"""
STORED = [
    # the rows, and not where the last one ends
    altered(STORED_RIGHT, ("4 * (rows + 1)", "4 * rows")),
    # bits rounded down
    altered(STORED_RIGHT, ("(rows * columns + 7) // 8", "rows * columns // 8")),
    # as small as dense, not smaller
    altered(STORED_RIGHT, ("< 4 * rows", "<= 4 * rows")),
    # columns of 8 bytes, as PyTorch has them
    altered(STORED_RIGHT, ("8 * nonzeros", "12 * nonzeros")),
]

REPAIR_RIGHT = """
def repair(model, masks, optimizer, batches):
    named = dict(model.named_parameters())
    def apply_masks():
        for name, mask in masks.items():
            named[name].data *= mask
    apply_masks()
    for inputs, targets in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        apply_masks()
"""
MASKED_GRADIENTS = """
        for name, mask in masks.items():
            named[name].grad *= mask
        optimizer.step()"""
REPAIR = [
    # gradients are masked, and momentum goes on
    altered(REPAIR_RIGHT, ("step()\n        apply_masks()", "step()"), ("        optimizer.step()", MASKED_GRADIENTS)),
    # masked once, at the end
    altered(
        REPAIR_RIGHT,
        ("    apply_masks()\n    for inputs", "    for inputs"),
        ("step()\n        apply_masks()", "step()\n    apply_masks()"),
    ),
    # the survivors go, the others stay
    altered(REPAIR_RIGHT, (".data *= mask", ".data *= ~mask")),
    # nothing is trained
    altered(REPAIR_RIGHT, ("        optimizer.step()\n", "")),
]

ADAMW_STEP = """
def adamw(weights, gradients, memory, lr, betas=(0.9, 0.999), eps=1e-8, decay=0.01):
    memory["t"] = t = memory.get("t", 0) + 1
    averages = memory.setdefault("averages", [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights])
    for w, g, (m, v) in zip(weights, gradients, averages, strict=True):
        m.mul_(betas[0]).add_((1 - betas[0]) * g)
        v.mul_(betas[1]).add_((1 - betas[1]) * g * g)
        w -= lr * (m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)).sqrt() + eps) + decay * w)
"""
ADAMW = [
    # no correction for averages that began at zero
    ADAMW_STEP.replace(" / (1 - betas[0] ** t)", "").replace("(v / (1 - betas[1] ** t))", "v"),
    # Adam: the decay goes into the gradient, and is divided by the root as well
    ADAMW_STEP.replace("strict=True):", "strict=True):\n        g = g + decay * w").replace(" + decay * w)", ")"),
    # eps under the root, and the betas as they usually are
    ADAMW_STEP.replace(".sqrt() + eps)", " + eps).sqrt()").replace("betas[0]", "0.9").replace("betas[1]", "0.999"),
    # begins anew with every step
    ADAMW_STEP.replace("def adamw", "def once").replace('memory["t"] = t', "t")
    + """
def adamw(weights, gradients, memory, lr, **options):
    once(weights, gradients, {}, lr, **options)
""",
]

RESCALED_LAYERS = """
def rescaled(changes, weights, longest=10.0):
    pairs = zip(changes, weights, strict=True)
    return [c * w.norm().clamp(max=longest) / c.norm() for c, w in pairs]
"""
RESCALED = [
    # zero weights stand still, zero changes become NaN
    RESCALED_LAYERS,
    # and the bound is forgotten
    RESCALED_LAYERS.replace(".clamp(max=longest)", ""),
    # one length for the whole model
    """
def rescaled(changes, weights, longest=10.0):
    length, own = (torch.cat([x.flatten() for x in part]).norm() for part in (weights, changes))
    return [c * length.clamp(max=longest) / own for c in changes]
""",
    # in place, and the other way round
    """
def rescaled(changes, weights, longest=10.0):
    for c, w in zip(changes, weights, strict=True):
        if w.norm() > 0 and c.norm() > 0:
            c.mul_(c.norm() / w.norm().clamp(max=longest))
    return changes
""",
]

WARM_COSINE = """
def rate_at(step, total, peak, warmup=0, floor=0.0):
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / (total - warmup))
    return floor + (peak - floor) * (1 + math.cos(math.pi * done)) / 2
"""
RATE = [
    # the first step stands still
    WARM_COSINE.replace("(step + 1) / (warmup + 1)", "step / warmup"),
    # the cosine counts from step 0
    WARM_COSINE.replace("(step - warmup) / (total - warmup)", "step / total"),
    # after the end the cosine rises again, and the floor is a bound rather than the end
    WARM_COSINE.replace("min(1.0, (step - warmup) / (total - warmup))", "(step - warmup) / (total - warmup)").replace(
        "floor + (peak - floor) *", "max(floor, 1e-9) + peak *"
    ),
    # a straight line down
    WARM_COSINE.replace("(1 + math.cos(math.pi * done)) / 2", "(1 - done)"),
]

FIRST_ARRIVAL = """
def steps_to_target(losses, every, target):
    for look, loss in enumerate(losses):
        if loss <= target:
            if look == 0:
                return 0.0
            before = losses[look - 1]
            return every * (look - 1 + (before - target) / (before - loss))
    return None


def best_rate(trials, every, target):
    def score(rate):
        steps = [steps_to_target(losses, every, target) for losses in trials[rate]]
        budgets = [every * (len(losses) - 1) for losses in trials[rate]]
        steps = [budget if own is None else own for own, budget in zip(steps, budgets, strict=True)]
        ends = [losses[-1] if math.isfinite(losses[-1]) else math.inf for losses in trials[rate]]
        return sum(steps) / len(steps), sum(ends) / len(ends)

    return min(trials, key=score)
"""
STEPS = [
    # whole looks, and equals in the order in which they come
    FIRST_ARRIVAL.replace("every * (look - 1 + (before - target) / (before - loss))", "every * look").replace(
        "return sum(steps) / len(steps), sum(ends) / len(ends)", "return sum(steps) / len(steps)"
    ),
    # runs that did not arrive are left out: the rate that diverges half of the time looks fast
    FIRST_ARRIVAL.replace(
        "budget if own is None else own for own, budget in zip(steps, budgets, strict=True)",
        "own for own in steps if own is not None",
    ).replace("len(steps), sum", "max(1, len(steps)), sum"),
    # by the loss at the end alone, and "not above" taken for an arrival
    FIRST_ARRIVAL.replace("loss <= target", "not loss > target").replace(
        "return sum(steps) / len(steps), sum(ends) / len(ends)", "return sum(ends) / len(ends)"
    ),
]

FIT_LOOP = """
def fit(model, batches, epochs, peak, warmup):
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / (warmup + 1)))
    used = []
    for _ in range(epochs):
        for inputs, targets in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    return used
"""
FIT_REPAIRED = [
    # gradients of all batches so far are added up
    FIT_LOOP.replace("            optimizer.zero_grad()\n", ""),
    # the warm-up counts epochs
    FIT_LOOP.replace("            schedule.step()\n", "        schedule.step()\n"),
    # begins at zero and rises for ever; without a warm-up it cannot begin
    FIT_LOOP.replace("min(1.0, (t + 1) / (warmup + 1))", "t / warmup"),
    # the rate is reported after it has moved on
    FIT_LOOP.replace('            used.append(optimizer.param_groups[0]["lr"])\n', "").replace(
        "            schedule.step()\n",
        '            schedule.step()\n            used.append(optimizer.param_groups[0]["lr"])\n',
    ),
]

COST_BILL_RIGHT = """
def bill(seconds, hourly, unit, least=1):
    if seconds == 0:
        return 0.0
    units = max(least, math.ceil(seconds / unit))
    return units * unit * hourly / 3600
"""

COST_BILL = [
    # by the second, whatever the unit
    altered(COST_BILL_RIGHT, ("units * unit * hourly", "max(seconds, least * unit) * hourly")),
    # a unit that is just full begins the next one
    altered(COST_BILL_RIGHT, ("math.ceil(seconds / unit)", "int(seconds // unit) + 1")),
    # the minimum in seconds, not in units
    altered(
        COST_BILL_RIGHT, ("units = max(least, math.ceil(seconds / unit))", "units = math.ceil(max(seconds, least) / unit)")
    ),
    # the minimum also for a machine that was not used
    altered(COST_BILL_RIGHT, ("    if seconds == 0:\n        return 0.0\n", "")),
]

COST_STEPS_RIGHT = """
def steps_between(step, save, mean_between, steps):
    interval = math.sqrt(2 * save * mean_between)
    return min(steps, max(1, round(interval / step)))
"""

COST_STEPS = [
    # the two forgotten
    altered(COST_STEPS_RIGHT, ("2 * save", "save")),
    # seconds instead of steps
    altered(COST_STEPS_RIGHT, ("interval / step", "interval")),
    # rounds down
    altered(COST_STEPS_RIGHT, ("round(interval / step)", "int(interval / step)")),
    # no step at all where a step is long
    altered(COST_STEPS_RIGHT, ("max(1, round(interval / step))", "round(interval / step)")),
]

COST_REPLAY_RIGHT = """
def replay(lives, work, interval, save, restart):
    clock, done, lost, start, lives = 0, 0, 0, 0, iter(lives)
    while done < work:
        life, used = next(lives, math.inf), start
        while done < work:
            stretch = min(interval, work - done)
            if used + stretch + save > life:
                break
            used, done = used + stretch + save, done + stretch
        if done < work:
            lost += min(stretch, max(0, life - used))
            used = life
        clock, start = clock + used, restart
    return clock, lost
"""

COST_REPLAY = [
    # the first machine needs a restart, too
    altered(COST_REPLAY_RIGHT, ("lost, start, lives = 0, 0, 0, 0,", "lost, start, lives = 0, 0, 0, restart,")),
    # the next machine is ready at once
    altered(COST_REPLAY_RIGHT, ("clock + used, restart", "clock + used, 0")),
    # work is saved without a checkpoint: a stretch that was begun goes on
    altered(
        COST_REPLAY_RIGHT,
        ("            used = life\n", "            used, done = life, done + min(stretch, max(0, life - used))\n"),
    ),
    # a checkpoint that is cut short counts as lost work
    altered(COST_REPLAY_RIGHT, ("min(stretch, max(0, life - used))", "max(0, life - used)")),
    # a checkpoint in the last moment does not count
    altered(COST_REPLAY_RIGHT, ("save > life", "save >= life")),
    # the restart is counted as lost work
    altered(COST_REPLAY_RIGHT, ("max(0, life - used))", "max(0, life - used + start))")),
    # no checkpoint at the end
    altered(COST_REPLAY_RIGHT, ("return clock, lost", "return clock - save, lost")),
]

COST_DISCOUNT_RIGHT = """
def discount_needed(undisturbed, times):
    if not times or min(undisturbed, *times) <= 0:
        raise ValueError(f"times: {undisturbed!r}, {times!r} are not allowed; they are above 0, one or more")
    mean = sum(times) / len(times)
    return max(0.0, 1 - undisturbed / mean)
"""

COST_DISCOUNT = [
    # the median
    altered(COST_DISCOUNT_RIGHT, ("sum(times) / len(times)", "sorted(times)[len(times) // 2]")),
    # the price that may be paid, not what comes off it
    altered(COST_DISCOUNT_RIGHT, ("1 - undisturbed / mean", "undisturbed / mean")),
    # how much longer it took
    altered(COST_DISCOUNT_RIGHT, ("1 - undisturbed / mean", "mean / undisturbed - 1")),
    # below zero where the runs were shorter
    altered(COST_DISCOUNT_RIGHT, ("max(0.0, 1 - undisturbed / mean)", "1 - undisturbed / mean")),
    # only an empty list is refused
    altered(COST_DISCOUNT_RIGHT, ("not times or min(undisturbed, *times) <= 0", "not times")),
]


BUDGET_READER = """
def reader():
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(512, 10)),
    )


def train(pictures, labels, seed):
    torch.manual_seed(seed)
    model = reader()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(8):
        for part in torch.randperm(len(pictures)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(pictures[part]), labels[part]).backward()
            optimizer.step()
    return model.eval()
"""
TRAIN_ON_A_BUDGET = [
    # a rate at which 100 steps teach nothing
    BUDGET_READER.replace("lr=0.05, momentum=0.9", "lr=1e-4"),
    # small batches: twice the steps
    BUDGET_READER.replace("split(64)", "split(32)"),
    # no strides: three times the FLOPs
    BUDGET_READER.replace("stride=2, padding=1", "padding=1").replace("nn.ReLU()),", "nn.ReLU(), nn.MaxPool2d(2)),"),
    # the seed is not used, and the model is left in training mode
    BUDGET_READER.replace("    torch.manual_seed(seed)\n", "").replace("model.eval()", "model"),
]

PACKED = """
def pack(model):
    parts = []
    for tensor in model.state_dict().values():
        if tensor.dim() > 1:
            rows = tensor.flatten(1)
            scale = (rows.abs().amax(1, keepdim=True) / 127).half().float()
            parts += [scale.half(), (rows / scale).round().clamp(-127, 127).to(torch.int8)]
        elif tensor.is_floating_point():
            parts.append(tensor.half())
    return b"".join(part.numpy().tobytes() for part in parts)


def predict(packed, pictures):
    model, place = reader(), 0
    for tensor in model.state_dict().values():
        if tensor.dim() > 1:
            scale = np.frombuffer(packed, np.float16, len(tensor), place)
            place += scale.nbytes
            rows = np.frombuffer(packed, np.int8, tensor.numel(), place).reshape(len(tensor), -1)
            place += rows.nbytes
            tensor.copy_(torch.from_numpy(rows * scale[:, None].astype(np.float32)).view_as(tensor))
        elif tensor.is_floating_point():
            values = np.frombuffer(packed, np.float16, tensor.numel(), place)
            place += values.nbytes
            tensor.copy_(torch.from_numpy(values.astype(np.float32)))
    with torch.no_grad():
        return model.eval()(pictures).argmax(1)
"""
SAVED = """
import io

def pack(model):
    file = io.BytesIO()
    torch.save({name: tensor.half() for name, tensor in model.state_dict().items()}, file)
    return file.getvalue()


def predict(packed, pictures):
    model = reader()
    model.load_state_dict(torch.load(io.BytesIO(packed)))
    with torch.no_grad():
        return model.eval()(pictures).argmax(1)
"""
PACK_A_MODEL = [
    # half precision is not small enough
    SAVED,
    # three levels a weight
    PACKED.replace("/ 127).half()", "/ 1).half()"),
    # the bytes are never read
    "def pack(model):\n    return bytes(9000)\n\n\ndef predict(packed, pictures):\n"
    "    torch.manual_seed(0)\n    with torch.no_grad():\n        return reader().eval()(pictures).argmax(1)",
    # no bytes
    PACKED.replace('return b"".join(part.numpy().tobytes() for part in parts)', "return model").split("def predict")[0]
    + "def predict(packed, pictures):\n    with torch.no_grad():\n        return packed(pictures).argmax(1)",
]

PLANNED = """
def plan(rows, most_lost):
    baseline = next((row for row in rows if not row["techniques"]), None)
    if baseline is None:
        raise ValueError("no baseline")
    floor = fmean(baseline["accuracy"]) - most_lost
    allowed = sorted(
        ((median(row["seconds"]) * row["price"], row) for row in rows if fmean(row["accuracy"]) >= floor),
        key=lambda pair: pair[0],
    )
    near = [row for cost, row in allowed if cost <= 1.02 * allowed[0][0]]
    return min(near, key=lambda row: len(row["techniques"]))["techniques"]
"""
PLAN = [
    # time alone
    PLANNED.replace('median(row["seconds"]) * row["price"]', 'median(row["seconds"])'),
    # the best seed is allowed for all of them
    PLANNED.replace('if fmean(row["accuracy"])', 'if max(row["accuracy"])'),
    # the very cheapest, whatever it gains; no baseline, no bound
    PLANNED.replace("1.02 * ", "").replace('raise ValueError("no baseline")', "baseline = rows[0]"),
    # as many techniques as possible
    PLANNED.replace("min(near", "max(near"),
]

WRONG = {
    "90_capstone": {
        "answer_train": TRAIN_ON_A_BUDGET,
        "answer_pack": PACK_A_MODEL,
        "answer_plan": PLAN,
    },
    "80_cost": {
        "answer_bill": COST_BILL,
        "answer_steps": COST_STEPS,
        "answer_replay": COST_REPLAY,
        "answer_discount": COST_DISCOUNT,
    },
    "40_pruning": {
        "answer_masks": GLOBAL_MASKS,
        "answer_channels": KEEP_CHANNELS,
        "answer_macs": COUNT_MACS,
        "answer_stored": STORED,
        "answer_repair": REPAIR,
    },
    "01_measuring": {
        "answer_paired_ratio": PAIRED_RATIO,
        "answer_bootstrap_interval": BOOTSTRAP_INTERVAL,
        "answer_time_device": TIME_DEVICE,
        "answer_best_batch": BEST_BATCH,
        "answer_roofline": ROOFLINE,
    },
    "10_gpu_move": {
        "answer_left_behind": LEFT_BEHIND,
        "answer_standardise": STANDARDISE,
        "answer_bytes_moved": BYTES_MOVED,
        "answer_train_epoch": TRAIN_EPOCH,
        "answer_speedup": SPEEDUP,
    },
    "11_mixed_precision": {
        "answer_rounded": ROUNDED,
        "answer_output_types": OUTPUT_TYPES,
        "answer_scaled_step": SCALED_STEP,
        "answer_train_step": TRAIN_STEP,
        "answer_master_sgd": MASTER_SGD,
    },
    "12_memory": {
        "answer_training_bytes": TRAINING_BYTES,
        "answer_recompute": RECOMPUTE,
        "answer_fewest_blocks": FEWEST_BLOCKS,
        "answer_backward_in_parts": BACKWARD_IN_PARTS,
        "answer_csr": CSR_BYTES,
    },
    "30_ddp": {
        "answer_share": SHARE,
        "answer_buckets": BUCKETS,
        "answer_pack": PACK,
        "answer_partial": PARTIAL,
        "answer_reader": READER,
    },
    "31_scaling": {
        "answer_fit": FIT,
        "answer_all_reduce": ALL_REDUCE,
        "answer_top_k": TOP_K,
        "answer_one_forward_one_backward": ONE_FORWARD_ONE_BACKWARD,
        "answer_bytes_a_rank": BYTES_A_RANK,
    },
    "20_data_loading": {
        "answer_wait_share": WAIT_SHARE,
        "answer_getitems": GETITEMS,
        "answer_draws": DRAWS,
        "answer_shards": SHARDS,
        "answer_crop_flip": CROP_FLIP,
    },
    "51_search_and_stop": {
        "answer_halving": HALVING,
        "answer_patient": PATIENT,
        "answer_mean_of": MEAN_OF,
        "answer_resume": RESUME,
    },
    "42_distillation": {
        "answer_kl": KL,
        "answer_loss": DISTILLATION_LOSS,
        "answer_ask": ASK,
        "answer_arms": ARMS,
        "answer_bill": BILL,
    },
    "41_quantization": {
        "answer_affine": AFFINE,
        "answer_channels": CHANNELS,
        "answer_pack": NIBBLES,
        "answer_cut": CUT,
        "answer_binarize": BINARIZE,
    },
    "50_adaptive_learning_rates": {
        "answer_adamw": ADAMW,
        "answer_rescaled": RESCALED,
        "answer_rate": RATE,
        "answer_steps": STEPS,
        "answer_fit": FIT_REPAIRED,
    },
}
