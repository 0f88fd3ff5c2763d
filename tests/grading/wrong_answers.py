"""Plausible wrong answers to every question: what people write who have nearly, or not at all, understood.

WRONG[exercise][answer cell] lists at least three; each has to lose marks in that question's test.
"""

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

TRAIN_EPOCH = [
    # a question at every step
    """
def train_epoch(model, batches, optimizer):
    total, samples = 0.0, 0
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, samples = total + loss.item() * len(labels), samples + len(labels)
    return total / samples
""",
    # gradients that pile up
    """
def train_epoch(model, batches, optimizer):
    total, samples = 0.0, 0
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        total, samples = total + loss.detach() * len(labels), samples + len(labels)
    return float(total) / samples
""",
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
    """
def train_epoch(model, batches, optimizer):
    total, samples = 0.0, 0
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, samples = total + loss.detach() * len(labels), samples + len(labels)
    return total / samples
""",
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

WRONG = {
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
}
