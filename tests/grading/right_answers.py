"""Second right answers, written in another style than the course's own: a judge that denies one of them is wrong.

RIGHT[exercise][answer cell] lists some for the questions that can well be answered in another way.
"""

PAIRED_RATIO = """
from statistics import median

class NotPaired(ValueError):
    pass

def paired_ratio(baseline, variant):
    ratios = []
    for before, after in zip(baseline, variant, strict=True):
        if before <= 0 or after <= 0:
            raise NotPaired("above zero, please")
        ratios.append(before / after)
    if not ratios:
        raise NotPaired("no times")
    return median(ratios)
"""

BOOTSTRAP_INTERVAL = """
def bootstrap_interval(values, rng, resamples=2000, level=0.95):
    medians = np.sort(np.median(rng.choice(np.array(values), size=(resamples, len(values))), axis=1))
    cut = int((1 - level) / 2 * resamples)
    return medians[cut], medians[-1 - cut]
"""

TIME_DEVICE = """
def time_device(fn, synchronize, clock, warmup=3, repeats=5):
    times = np.zeros(repeats)
    for number in range(-warmup, repeats):
        if number == 0:
            synchronize()
        before = clock()
        fn()
        if number >= 0:
            synchronize()
            times[number] = clock() - before
    return list(times)
"""

BEST_BATCH = """
def best_batch(seconds_per_batch, limit):
    best = None
    for size in sorted(seconds_per_batch):
        seconds = seconds_per_batch[size]
        if not seconds > limit and (best is None or size / seconds > best[1]):
            best = [size, size / seconds]
    return best
"""

ROOFLINE = """
def matmul_cost(m, k, n, itemsize=4):
    multiply_adds = m * k * n
    return [multiply_adds + multiply_adds, itemsize * m * k + itemsize * k * n + itemsize * m * n]

def roofline(flops, nbytes, peak, bandwidth):
    if flops / nbytes >= peak / bandwidth:
        return np.float64(flops) / peak, "compute"
    return np.float64(nbytes) / bandwidth, "memory"
"""

LEFT_BEHIND = """
def left_behind(model, before=""):
    names = [before + name for name, value in model.__dict__.items() if torch.is_tensor(value)]
    for name, part in model.named_children():
        names.extend(left_behind(part, before + name + "."))
    return sorted(names)
"""

STANDARDISE = """
class Standardise(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        for name, value in {"std": std, "mean": mean}.items():
            self.register_buffer(name, value.clone())

    def forward(self, x):
        return (x - self.mean) / self.std
"""

BYTES_MOVED = """
def bytes_moved(model):
    seen = {}
    for module in model.modules():
        for tensor in list(module._parameters.values()) + list(module._buffers.values()):
            if tensor is not None:
                seen[id(tensor)] = tensor.nbytes
    return torch.tensor(list(seen.values()), dtype=torch.int64).sum().item()
"""

TRAIN_EPOCH = """
def train_epoch(model, batches, optimizer):
    losses, sizes = [], []
    for inputs, labels in batches:
        model.zero_grad()
        sum_of_losses = F.nll_loss(F.log_softmax(model(inputs), dim=1), labels, reduction="sum")
        (sum_of_losses / len(labels)).backward()
        optimizer.step()
        losses.append(sum_of_losses.detach())
        sizes.append(len(labels))
    return (torch.stack(losses).sum() / sum(sizes)).item()
"""

SPEEDUP = """
def speedup(batch, step, machine):
    fixed = step.kernels * machine.launch
    return 1 / (fixed * machine.cpu_rate / (batch * step.flops)
                + step.nbytes * machine.cpu_rate / (machine.link * step.flops) + machine.cpu_rate / machine.gpu_rate)

def break_even(step, machine):
    cpu, gpu = step.flops / machine.cpu_rate, step.nbytes / machine.link + step.flops / machine.gpu_rate
    if cpu <= gpu:
        return None
    batch = int(step.kernels * machine.launch / (cpu - gpu))
    while batch < 1 or batch * (cpu - gpu) < step.kernels * machine.launch:
        batch += 1
    return batch
"""

ROUNDED = """
def rounded(x, exponent_bits, fraction_bits):
    from fractions import Fraction
    if x != x or x in (0, math.inf, -math.inf):
        return x
    bias = 2 ** (exponent_bits - 1) - 1
    exponent = max(math.floor(math.log2(abs(x))), 1 - bias)
    spacing = Fraction(2) ** (exponent - fraction_bits)
    steps, rest = divmod(Fraction(abs(x)), spacing)
    steps += rest * 2 > spacing or (rest * 2 == spacing and steps % 2 == 1)
    value = steps * spacing
    if value > (2 - Fraction(1, 2**fraction_bits)) * 2**bias:
        return math.inf if x > 0 else -math.inf
    return float(value) if x > 0 else -float(value)
"""

OUTPUT_TYPES = """
def output_types(model, inputs, dtype):
    leaves = {name: part for name, part in model.named_modules() if next(part.children(), None) is None}
    result, handles = dict.fromkeys(leaves), []

    def watch(name):
        def hook(module, arguments, output):
            result[name] = output.dtype
        return hook

    for name in reversed(list(leaves)):
        handles.append(leaves[name].register_forward_hook(watch(name)))
    with torch.autocast(device_type="cpu", dtype=dtype):
        model(inputs)
    [handle.remove() for handle in handles]
    return result
"""

SCALED_STEP = """
def scaled_step(loss, optimizer, scale, good, grow_after):
    torch.mul(loss, scale).backward()
    fine = True
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            weight.grad.mul_(1 / scale)
            if torch.isnan(weight.grad).any().item() or torch.isinf(weight.grad).any().item():
                fine = False
    if fine:
        optimizer.step()
        good += 1
    else:
        scale, good = scale * 0.5, 0
    if good >= grow_after:
        scale, good = scale * 2.0, 0
    return scale, good
"""

TRAIN_STEP = """
def train_step(model, inputs, targets, optimizer, scaler, largest):
    model.zero_grad(set_to_none=True)
    with torch.amp.autocast(device_type="cpu", dtype=torch.float16):
        logits = model(inputs)
        loss = F.cross_entropy(logits, targets)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    total = torch.sqrt(sum((weight.grad ** 2).sum() for weight in model.parameters()))
    if torch.isfinite(total) and total > largest:
        for weight in model.parameters():
            weight.grad *= largest / total
    scaler.step(optimizer)
    scaler.update()
    return float(loss)
"""

MASTER_SGD = """
class MasterSGD:
    def __init__(self, parameters, lr):
        self.lr, self.pairs = lr, []
        for parameter in parameters:
            self.pairs.append((parameter, parameter.data.to(torch.float32, copy=True)))

    def step(self):
        for parameter, master in self.pairs:
            if parameter.grad is None:
                continue
            master.add_(parameter.grad.to(torch.float32), alpha=-self.lr)
            parameter.data[:] = master.to(parameter.dtype)
"""

TRAINING_BYTES = """
def training_bytes(widths, batch, optimizer):
    count = saved = 0
    for into, out in zip(widths, widths[1:]):
        count += into * out + out
        saved += 4 * into * batch
    saved += 4 * widths[-1] * batch + 8 * batch + 4
    state = {"sgd": 0, "momentum": 4 * count, "adamw": 8 * count}
    return dict(saved=saved, optimizer=state[optimizer], gradients=4 * count, weights=4 * count, total=0)
"""

RECOMPUTE = """
class AgainLater(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, block):
        ctx.block = block
        ctx.state = torch.random.get_rng_state()
        ctx.save_for_backward(x)
        with torch.no_grad():
            return block(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        now = torch.random.get_rng_state()
        torch.random.set_rng_state(ctx.state)
        with torch.enable_grad():
            inner = x.detach().requires_grad_(True)
            torch.autograd.backward(ctx.block(inner), gradient)
        torch.random.set_rng_state(now)
        return inner.grad, None

def recompute(block, x):
    return AgainLater.apply(x, block)
"""

FEWEST_BLOCKS = """
def peak_bytes(layers, inside, kept, count):
    held = [kept] * count + [inside] * (layers - count)
    peaks = [sum(held)]
    if count > 0:
        peaks.append(sum(held[:count - 1]) + inside)
    return max(peaks)

def fewest_blocks(layers, inside, kept, budget):
    count = 0
    while count <= layers:
        if peak_bytes(layers, inside, kept, count) <= budget:
            return count
        count += 1
"""

BACKWARD_IN_PARTS = """
def backward_in_parts(model, loss, inputs, targets, most):
    count, mean = inputs.shape[0], 0.0
    for start in range(0, count, most):
        x, y = inputs[start:start + most], targets[start:start + most]
        value = loss(model(x), y)
        value.backward(torch.tensor(x.shape[0] / count))
        mean += value.item() * x.shape[0] / count
    return torch.tensor(mean)
"""

CSR = """
def csr_bytes(rows, nonzeros, value=4, index=8):
    starts, columns, values = index * (rows + 1), index * nonzeros, value * nonzeros
    return starts + columns + values

def break_even(rows, columns, value=4, index=8):
    dense = rows * columns * value
    if csr_bytes(rows, 0, value, index) > dense:
        return None
    low, high = 0, rows * columns
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if csr_bytes(rows, middle, value, index) <= dense else (low, middle - 1)
    return low
"""

GLOBAL_MASKS = """
def global_masks(weights, share):
    if share < 0 or share >= 1:
        raise ValueError("a share from 0 on and below 1, please")
    flat = torch.cat([w.reshape(-1) for w in weights]).abs()
    stays = flat.topk(len(flat) - round(share * len(flat))).indices
    mask = torch.zeros(len(flat), dtype=torch.bool)
    mask[stays] = True
    masks, start = (), 0
    for w in weights:
        masks += (mask[start : start + w.numel()].reshape(w.shape),)
        start += w.numel()
    return masks
"""

COUNT_MACS = """
import copy

def count_macs(model, example):
    copied, total = copy.deepcopy(model).eval(), []

    def of_convolution(layer, inputs, output):
        height, width = layer.kernel_size
        total.append(layer.in_channels / layer.groups * height * width * output[0].numel())

    def of_linear(layer, inputs, output):
        total.append(layer.in_features * output[0].numel())

    for layer in copied.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(of_convolution)
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(of_linear)
    with torch.inference_mode():
        copied(example[:1])
    return sum(total)
"""

REPAIR = """
def repair(model, masks, optimizer, batches):
    def gone():
        for name, parameter in model.named_parameters():
            if name in masks:
                yield parameter, ~masks[name]

    for parameter, mask in gone():
        parameter.data[mask] = 0
    for x, y in batches:
        nn.CrossEntropyLoss()(model(x), y).backward()
        for parameter, mask in gone():
            parameter.grad.masked_fill_(mask, 0)
        optimizer.step()
        optimizer.zero_grad()
        for parameter, mask in gone():
            parameter.data.masked_fill_(mask, 0)
"""

# the first half of the numbers in the low bits, the second half in the high ones
NIBBLES = """
def pack(whole):
    half = (len(whole) + 1) // 2
    shifted = F.pad(whole.to(torch.int32) + 8, (0, 2 * half - len(whole)))
    return (shifted[:half] + 16 * shifted[half:]).to(torch.uint8)

def unpack(packed, count):
    wide = packed.to(torch.int32)
    return (torch.cat([wide % 16, wide // 16])[:count] - 8).to(torch.int8)
"""

BEST_CUT = """
def best_cut(values, bits):
    top, best = 2**bits - 1, (float("inf"), None)
    for cut in torch.linspace(0, float(values.max()), 51)[1:]:
        back = (torch.minimum(values, cut) * top / cut).round() * cut / top
        best = min(best, (((back - values) ** 2).mean().item(), float(cut)))
    return best[1]
"""

KL = """
def kl(student, teacher, temperature, direction):
    ours, theirs = F.log_softmax(student / temperature, -1), F.log_softmax(teacher / temperature, -1)
    pair = (ours, theirs) if direction == "forward" else (theirs, ours)
    return F.kl_div(*pair, reduction="batchmean", log_target=True)
"""

ASK = """
@torch.inference_mode()
def ask(teacher, inputs, batch):
    awake = [module for module in teacher.modules() if module.training]
    teacher.eval()
    said = [teacher(inputs[start : start + batch]) for start in range(0, len(inputs), batch)]
    for module in awake:
        module.training = True
    return torch.vstack(said)
"""

MEAN_OF = """
def mean_of(checkpoints):
    mean = {}
    for n, state in enumerate(checkpoints, start=1):
        for name, value in state.items():
            if n > 1 and value.is_floating_point():
                mean[name] = mean[name] + (value - mean[name]) / n
            else:
                mean[name] = value.detach().clone()
    return mean
"""

RESUME = """
def resume(study, objective, total):
    for trial in study.trials:
        if trial.state == TrialState.RUNNING:
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=TrialState.FAIL)
    while sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in study.trials) < total:
        study.optimize(objective, n_trials=1)
"""


WAIT_SHARE = """
def wait_share(moments):
    m = np.array(moments)
    return ((m[:,1]-m[:,0]).sum() / (m[:,2]-m[:,0]).sum())

def most(share):
    if share == 0:
        return float("inf")
    return 1.0 / share
"""

GETITEMS = """
class BlockSet(torch.utils.data.Dataset):
    def __init__(self, blocks):
        self.blocks = blocks
    def __getitems__(self, indices):
        out = torch.empty(len(indices), 2, dtype=torch.int64)
        where = torch.tensor(indices)
        for block in torch.unique(where // self.blocks.size).tolist():
            here = where // self.blocks.size == block
            out[here] = self.blocks.read(block)[where[here] % self.blocks.size]
        return out
"""

DRAWS_1 = """
def draws(seed, epoch, index, n):
    r = random.Random(f"{seed}-{epoch}-{index}")
    return np.array([r.random() for _ in range(n)])
"""

DRAWS_2 = """
def draws(seed, epoch, index, n):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, index))).random(n)
"""

SHARDS = """
def my_shards(shards, info, rank=0, ranks=1):
    worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
    return np.array_split(shards, ranks * workers)[rank * workers + worker].tolist()
"""

CROP_FLIP = """
def crop_flip(pixels, tops, lefts, flips, side):
    windows = pixels.unfold(2, side, 1).unfold(3, side, 1)
    cut = windows[torch.arange(len(pixels)), :, tops, lefts]
    return torch.where(flips[:, None, None, None], cut.flip(3), cut)
"""

DDP_SHARE_1 = """
import random as _random
def share(samples, ranks, rank, epoch, seed=0):
    order = list(range(samples))
    _random.Random(f"{seed}/{epoch}").shuffle(order)
    each = samples // ranks
    return order[rank * each : (rank + 1) * each]
"""

DDP_SHARE_2 = """
def share(samples, ranks, rank, epoch, seed=0):
    g = torch.Generator()
    g.manual_seed(seed + epoch)
    indices = torch.randperm(samples, generator=g).tolist()
    return indices[rank : samples // ranks * ranks : ranks]
"""

DDP_BUCKETS = """
def buckets(sizes, cap):
    out, current, total = [], [], 0
    for i in range(len(sizes) - 1, -1, -1):
        if current and total + sizes[i] > cap:
            out.append(current)
            current, total = [], 0
        current.append(i)
        total += sizes[i]
    if current:
        out.append(current)
    return out
"""

DDP_PACK = """
def pack(model, samples):
    flat = nn.utils.parameters_to_vector([p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()])
    return torch.cat([torch.tensor([samples], dtype=torch.float32), flat * samples])

def unpack(model, total):
    n, start = total[0], 1
    for p in model.parameters():
        p.grad = (total[start:start + p.numel()] / n).reshape(p.shape)
        start += p.numel()
"""

DDP_PARTIAL = """
def partial(x):
    d = x.double()
    return torch.cat((d.sum(0), (d * d).sum(0), d.new_tensor([x.shape[0]])))

def normalise(x, total, eps=1e-5):
    s, q = total[:-1].view(2, -1)
    n = total[-1]
    var = ((q - s * s / n) / n).clamp_min(0)
    return F.batch_norm(x, (s / n).float(), var.float(), training=False, eps=eps)
"""

DDP_READER = """
class Reader(nn.Module):
    def __init__(self, hidden=16, classes=2):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden)
        self.head = nn.Linear(hidden, classes)
    def forward(self, x):
        _, (h, _) = self.lstm(x.t()[..., None])
        return self.head(h[-1])
"""

SCALING_FIT = """
def fit(sizes, seconds):
    x, y = np.asarray(sizes, float), np.asarray(seconds, float)
    if np.unique(x).size < 2:
        raise np.linalg.LinAlgError("singular")
    A = np.stack([np.ones_like(x), x], 1)
    alpha, slope = np.linalg.lstsq(A, y, rcond=None)[0]
    return (alpha, 1 / slope)
"""

SCALING_ALL_REDUCE = """
def all_reduce(ranks):
    bits = int(math.log2(ranks))
    steps = []
    lo = {r: 0 for r in range(ranks)}; hi = {r: ranks for r in range(ranks)}
    for b in range(bits - 1, -1, -1):
        d = 1 << b
        step = []
        for r in range(ranks):
            mid = (lo[r] + hi[r]) // 2
            if r & d:
                step += [Send(r, r ^ d, c, True) for c in range(lo[r], mid)]
                lo[r] = mid
            else:
                step += [Send(r, r ^ d, c, True) for c in range(mid, hi[r])]
                hi[r] = mid
        steps.append(step)
    for b in range(bits):
        d = 1 << b
        steps.append([Send(r, r ^ d, c, False) for r in range(ranks) for c in range(lo[r], hi[r])])
        new = {r: (min(lo[r], lo[r ^ d]), max(hi[r], hi[r ^ d])) for r in range(ranks)}
        for r in range(ranks): lo[r], hi[r] = new[r]
    return tuple(steps)
"""

SCALING_TOP_K = """
class TopK:
    def __init__(self, k):
        self.k = k
        self.kept = 0
    def compress(self, gradient):
        g = (gradient + self.kept).double().numpy()
        order = np.argsort(-np.abs(g))[: self.k]
        rest = g.copy(); rest[order] = 0
        self.kept = torch.tensor(rest)
        return torch.tensor(order), torch.tensor(g[order]).float()
"""

SCALING_ONE_FORWARD_ONE_BACKWARD = """
def one_forward_one_backward(stages, micro):
    out = []
    for s in range(stages):
        warm = min(micro, stages - s)
        order = [("F", i) for i in range(warm)]
        f, b = warm, 0
        while b < micro:
            order += [("B", b)]; b += 1
            if f < micro:
                order += [("F", f)]; f += 1
        out.append(tuple(order))
    return out
"""

SCALING_BYTES_A_RANK = """
def bytes_a_rank(parameters, activations, ranks, stage):
    own = np.array([12, 2, 2]) * parameters
    own = np.where(np.arange(3) < stage, own / ranks, own)
    return activations + own.sum()
def smallest_stage(parameters, activations, ranks, memory):
    for s in range(4):
        if bytes_a_rank(parameters, activations, ranks, s) > memory: continue
        return s
"""

RATES_ADAMW = """
def adamw(weights, gradients, memory, lr, betas=(0.9, 0.999), eps=1e-8, decay=0.01):
    b1, b2 = betas
    if not memory:
        memory.update(t=0, m=[0.0] * len(weights), v=[0.0] * len(weights))
    memory["t"] += 1
    t = memory["t"]
    for i, (w, g) in enumerate(zip(weights, gradients)):
        memory["m"][i] = b1 * memory["m"][i] + (1 - b1) * g
        memory["v"][i] = b2 * memory["v"][i] + (1 - b2) * g**2
        w.mul_(1 - lr * decay)
        w.addcdiv_(memory["m"][i], (memory["v"][i] / (1 - b2**t)).sqrt() + eps, value=-lr / (1 - b1**t))
"""

RATES_RESCALED = """
def rescaled(changes, weights, longest=10.0):
    def one(c, w):
        ratio = torch.linalg.vector_norm(w).clamp(max=longest) / torch.linalg.vector_norm(c)
        return torch.where((ratio > 0) & torch.isfinite(ratio), c * ratio, c)
    return list(map(one, changes, weights))
"""

RATES_RATE = """
def rate_at(step, total, peak, warmup=0, floor=0.0):
    if step >= total:
        return floor
    if step <= warmup:
        return peak * (step + 1) / (warmup + 1)
    x = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * math.cos(x * math.pi / 2) ** 2
"""

RATES_STEPS = """
def steps_to_target(losses, every, target):
    if losses[0] <= target:
        return 0.0
    for i in range(len(losses) - 1):
        a, b = losses[i], losses[i + 1]
        if b <= target:
            return every * (i + (a - target) / (a - b))


def best_rate(trials, every, target):
    best = None
    for rate, runs in trials.items():
        steps = []
        for losses in runs:
            s = steps_to_target(losses, every, target)
            steps.append(s if s is not None else (len(losses) - 1) * every)
        end = sum(losses[-1] for losses in runs) / len(runs)
        key = (sum(steps) / len(steps), float("inf") if end != end else end)
        if best is None or key < best[0]:
            best = (key, rate)
    return best[1]
"""

RATES_FIT = """
def fit(model, batches, epochs, peak, warmup):
    ps = list(model.parameters())
    v = [torch.zeros_like(p) for p in ps]
    used = []
    for epoch in range(epochs):
        for x, y in batches:
            g = torch.autograd.grad(F.cross_entropy(model(x), y), ps)
            rate = peak * min(1.0, (len(used) + 1) / (warmup + 1))
            with torch.no_grad():
                for p, vi, gi in zip(ps, v, g):
                    vi.mul_(0.9).add_(gi)
                    p.sub_(rate * vi)
            used.append(rate)
    return used
"""

COST_BILL = """
def bill(seconds, hourly, unit, least=1):
    begun = -(-seconds // unit)
    if not seconds:
        begun = 0
    elif begun < least:
        begun = least
    return hourly / 3600 * unit * begun
"""

COST_STEPS = """
def steps_between(step, save, mean_between, steps):
    best = (2.0 * mean_between * save) ** 0.5
    return sorted([1, int(best / step + 0.5), steps])[1]
"""

COST_REPLAY = """
def replay(lives, work, interval, save, restart):
    left, total, wasted, waiting = work, 0.0, 0.0, list(lives)[::-1]
    getting_ready = 0
    while True:
        if not waiting:
            rounds = math.ceil(left / interval)
            return total + getting_ready + left + rounds * save, wasted
        alive = waiting.pop()
        usable = alive - getting_ready
        rounds = math.ceil(left / interval)
        if usable >= left + rounds * save:
            return total + getting_ready + left + rounds * save, wasted
        total += alive
        if usable > 0:
            saved = min(int(usable // (interval + save)), rounds - 1)
            usable -= saved * (interval + save)
            left -= saved * interval
            wasted += min(usable, interval, left)
        getting_ready = restart
"""

COST_DISCOUNT = """
def discount_needed(undisturbed, times):
    if len(times) == 0 or any(time <= 0 for time in [undisturbed] + times):
        raise ValueError("no such times")
    together = len(times) * undisturbed / sum(times)
    return 0 if together > 1 else 1 - together
"""

READER_BY_HAND = """
class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(32),
        )
        self.head = nn.Linear(512, 10)

    def forward(self, pictures):
        return self.head(self.body(pictures).flatten(1))


def reader():
    return Small()


def train(pictures, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed + 1)
    model = reader()
    parameters = list(model.parameters())
    pushes = [torch.zeros_like(parameter) for parameter in parameters]
    total, size = 120, min(64, len(pictures))
    for step in range(total):
        part = torch.randperm(len(pictures), generator=generator)[:size]
        gradients = torch.autograd.grad(F.cross_entropy(model(pictures[part]), labels[part]), parameters)
        rate = 0.1 * min(1, (step + 1) / 10) * (1 - step / total)
        with torch.no_grad():
            for parameter, push, gradient in zip(parameters, pushes, gradients):
                push.mul_(0.9).add_(gradient)
                parameter.sub_(rate * push)
    return model.eval()
"""
READER_SGD = """
def reader():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(16),
        nn.Conv2d(16, 36, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(36), nn.Flatten(), nn.Linear(576, 10),
    )


def train(pictures, labels, seed):
    torch.manual_seed(seed)
    model = reader()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pictures, labels), batch_size=64, shuffle=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    for _ in range(8):
        for inputs, targets in loader:
            optimizer.zero_grad()
            moved = torch.roll(inputs, tuple(torch.randint(-1, 2, (2,)).tolist()), dims=(-2, -1))
            F.cross_entropy(model(moved), targets, label_smoothing=0.1).backward()
            optimizer.step()
        schedule.step()
    return model.eval()
"""
PACK_IN_A_ZIP = """
import io
import zipfile

def pack(model):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, tensor) in enumerate(model.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            low, high = tensor.min(), tensor.max()
            levels = 255 if tensor.dim() > 1 else 65535
            step = max(float(high - low), 1e-6) / levels
            codes = ((tensor - low) / step).round().numpy().astype(np.uint8 if levels == 255 else np.uint16)
            archive.writestr(str(number), np.array([low, step], np.float32).tobytes() + codes.tobytes())
    return file.getvalue()


def predict(packed, pictures):
    model = reader()
    state = model.state_dict()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for number, tensor in enumerate(state.values()):
            if not tensor.is_floating_point():
                continue
            data = archive.read(str(number))
            low, step = np.frombuffer(data, np.float32, 2)
            codes = np.frombuffer(data, np.uint8 if tensor.dim() > 1 else np.uint16, offset=8)
            tensor.copy_(torch.from_numpy(codes.astype(np.float32) * step + low).view_as(tensor))
    model.eval()
    with torch.inference_mode():
        return [int(label) for part in pictures.split(100) for label in model(part).argmax(1)]
"""
STACKED = """
def plan(rows, most_lost):
    def cost(row):
        return sorted(row["seconds"])[len(row["seconds"]) // 2] * row["price"]

    plain = [row for row in rows if row["techniques"] == []]
    if not plain:
        raise ValueError("rows")
    lost = lambda row: sum(b - a for b, a in zip(plain[0]["accuracy"], row["accuracy"])) / len(row["accuracy"])
    fine = [row for row in rows if lost(row) <= most_lost + 1e-12]
    least = min(cost(row) for row in fine)
    ranked = sorted((len(row["techniques"]), cost(row), row["techniques"]) for row in fine if cost(row) / least <= 1.02)
    return ranked[0][2]
"""

CROP_FLIP_BY_MASK = """
def crop_flip(pixels, tops, lefts, flips, side):
    B, C, H, W = pixels.shape
    inside = lambda start, size: ((torch.arange(size) >= start[:, None]) & (torch.arange(size) < start[:, None] + side))
    mask = inside(tops, H)[:, None, :, None] & inside(lefts, W)[:, None, None, :]
    cut = pixels[mask.expand(B, C, H, W)].view(B, C, side, side)
    out = cut.clone()
    out[flips] = cut[flips].flip(-1)
    return out
"""

DDP_PACK_IN_DOUBLE = """
def pack(model, samples):
    out = torch.zeros(sum(p.numel() for p in model.parameters()) + 1, dtype=torch.float64)
    at = 0
    for p in model.parameters():
        if p.grad is not None:
            out[at : at + p.numel()] = p.grad.reshape(-1).double() * samples
        at += p.numel()
    out[-1] = samples
    return out


def unpack(model, total):
    mean = total[:-1] / total[-1]
    for p, part in zip(model.parameters(), mean.split([p.numel() for p in model.parameters()])):
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        p.grad.copy_(part.view(p.shape))
"""

DDP_READER_OF_TWO_LAYERS = """
class Reader(nn.Module):
    def __init__(self, hidden=16, classes=2):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x):
        out, _ = self.lstm(x.reshape(*x.shape, 1))
        return self.head(out)[:, -1, :]
"""

SCALING_OTHER_HALVES = """
def all_reduce(ranks):
    # the other way round: a rank keeps the half that is numbered contrary to its bit
    own = [list(range(ranks)) for _ in range(ranks)]
    halving, bit = [], ranks >> 1
    while bit:
        step = []
        kept = []
        for r in range(ranks):
            half = len(own[r]) // 2
            low, high = own[r][:half], own[r][half:]
            keep, give = (low, high) if r & bit else (high, low)
            step += [Send(r, r ^ bit, c, True) for c in give]
            kept.append(keep)
        own = kept
        halving.append(step)
        bit >>= 1
    doubling = [[Send(s.target, s.source, s.chunk, False) for s in step] for step in reversed(halving)]
    return halving + doubling
"""

SCALING_WHOLE_BYTES = """
def bytes_a_rank(parameters, activations, ranks, stage):
    parts = [2, 2, 12]
    held = 0
    for place, part in enumerate(reversed(parts)):
        mine = part * parameters
        held += math.ceil(mine / ranks) if place < stage else mine
    return held + activations


def smallest_stage(parameters, activations, ranks, memory):
    return next((s for s in range(4) if bytes_a_rank(parameters, activations, ranks, s) <= memory), None)
"""

KEEP_CHANNELS = """
def keep_channels(weight, bias, following, keep):
    keep = torch.as_tensor(keep)
    C = weight.shape[0]
    grouped = following.reshape(following.shape[0], C, -1, *following.shape[2:])
    return (weight.index_select(0, keep), bias.index_select(0, keep), grouped.index_select(1, keep).flatten(1, 2))
"""

MACS_FROM_FLOPS = """
def count_macs(model, example):
    from torch.utils.flop_counter import FlopCounterMode
    was = {m: m.training for m in model.modules()}
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(example)
    for m, mode in was.items():
        m.training = mode
    return counter.get_total_flops() // 2 // len(example)
"""

STORED = """
def stored(rows, columns, nonzeros, form):
    import math
    places = rows * columns
    return {"dense": 4 * places, "csr": nonzeros * 8 + (rows + 1) * 4, "bitmap": nonzeros * 4 + math.ceil(places / 8)}[form]


def break_even(rows, columns, form):
    if form == "dense":
        return 0
    room = stored(rows, columns, 0, "dense") - stored(rows, columns, 0, form) - 1
    return max(0, room // (8 if form == "csr" else 4))
"""

REPAIR_BY_PRUNE = """
from torch.nn.utils import prune

def repair(model, masks, optimizer, batches):
    layers = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], mask) for name, mask in masks.items()]
    for layer, name, mask in layers:
        prune.custom_from_mask(layer, name, mask)
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    for layer, name, _ in layers:
        prune.remove(layer, name)
"""

REPAIR_BY_HOOK = """
def repair(model, masks, optimizer, batches):
    def clean(*_):
        for name, mask in masks.items():
            model.get_parameter(name).data[~mask] = 0.0
    hook = model.register_forward_pre_hook(clean)
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    clean()
    hook.remove()
"""

AFFINE = """
def scale_and_zero(low, high, bits=8):
    low, high = min(low, 0), max(high, 0)
    top = 2**bits - 1
    scale = float(high - low) / top
    return scale, int(min(max(-low / scale + 0.5, 0), top))


def to_whole(x, scale, zero, bits=8):
    return (x * (1 / scale) + zero).round().clamp(0, 2**bits - 1).byte()


def to_float(whole, scale, zero):
    return scale * (whole.to(torch.int32) - zero).to(torch.float32)
"""

ROUND_CHANNELS = """
def round_channels(weight, bits=8):
    top = 2 ** (bits - 1) - 1
    w = weight.double()
    scales = w.flatten(1).abs().amax(1) / top
    scales[scales == 0] = 1.0
    whole = (w / scales.reshape(-1, *[1] * (w.dim() - 1))).round()
    return whole.to(torch.int8), scales.float()
"""

BINARIZE = """
def binarize(weight):
    with torch.no_grad():
        scale = weight.abs().mean(1, keepdim=True)
        rounded = (2 * (weight >= 0) - 1) * scale
    return rounded + weight - weight.detach()
"""

DISTILLATION_LOSS = """
def distillation_loss(student, labels, teacher, temperature, weight):
    with torch.no_grad():
        target = (teacher / temperature).softmax(1)
    soft = F.kl_div((student / temperature).log_softmax(1), target, reduction="batchmean")
    return torch.lerp(F.cross_entropy(student, labels), temperature**2 * soft, weight)
"""

ARMS = """
def arms(few, labels, more, said, temperature):
    eye = torch.eye(said.shape[-1])
    def both(t):
        return torch.cat((few, more), dim=0), torch.cat((eye[labels], t), dim=0)
    soft, top = F.softmax(said / temperature, -1), eye[said.max(1).indices]
    return dict(soft=both(soft), pseudo=both(top), labels=(few.clone(), eye[labels]))
"""

HALVING = """
def halving(train_further, settings, rungs, keep=3):
    alive = list(range(len(settings)))
    trained = 0
    for level, rung in enumerate(rungs):
        if level:
            alive = alive[: max(1, len(alive) // keep)]
        score = {i: train_further(settings[i], rung - trained) for i in alive}
        trained = rung
        alive.sort(key=lambda i: (-score[i], i))
    return settings[alive[0]]
"""

PATIENT = """
def patient(scores, patience):
    best, kept, trained, waited = float("-inf"), 1, 0, 0
    while waited < patience:
        try:
            score = next(scores)
        except StopIteration:
            break
        trained += 1
        if score > best:
            best, kept, waited = score, trained, 0
        else:
            waited += 1
    return trained, kept
"""

RESUME_BY_CALLBACK = """
from optuna.study import MaxTrialsCallback
def resume(study, objective, total):
    done = (TrialState.COMPLETE, TrialState.PRUNED)
    for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(t.number, state=TrialState.FAIL)
        study.enqueue_trial(t.params)
    if len(study.get_trials(states=done)) < total:
        study.optimize(objective, callbacks=[MaxTrialsCallback(total, states=done)])
"""

RIGHT = {
    "90_capstone": {
        "answer_train": [READER_BY_HAND, READER_SGD],
        "answer_pack": [PACK_IN_A_ZIP],
        "answer_plan": [STACKED],
    },
    "80_cost": {
        "answer_bill": [COST_BILL],
        "answer_steps": [COST_STEPS],
        "answer_replay": [COST_REPLAY],
        "answer_discount": [COST_DISCOUNT],
    },
    "01_measuring": {
        "answer_paired_ratio": [PAIRED_RATIO],
        "answer_bootstrap_interval": [BOOTSTRAP_INTERVAL],
        "answer_time_device": [TIME_DEVICE],
        "answer_best_batch": [BEST_BATCH],
        "answer_roofline": [ROOFLINE],
    },
    "10_gpu_move": {
        "answer_left_behind": [LEFT_BEHIND],
        "answer_standardise": [STANDARDISE],
        "answer_bytes_moved": [BYTES_MOVED],
        "answer_train_epoch": [TRAIN_EPOCH],
        "answer_speedup": [SPEEDUP],
    },
    "11_mixed_precision": {
        "answer_rounded": [ROUNDED],
        "answer_output_types": [OUTPUT_TYPES],
        "answer_scaled_step": [SCALED_STEP],
        "answer_train_step": [TRAIN_STEP],
        "answer_master_sgd": [MASTER_SGD],
    },
    "12_memory": {
        "answer_training_bytes": [TRAINING_BYTES],
        "answer_recompute": [RECOMPUTE],
        "answer_fewest_blocks": [FEWEST_BLOCKS],
        "answer_backward_in_parts": [BACKWARD_IN_PARTS],
        "answer_csr": [CSR],
    },
    "40_pruning": {
        "answer_masks": [GLOBAL_MASKS],
        "answer_macs": [COUNT_MACS, MACS_FROM_FLOPS],
        "answer_repair": [REPAIR, REPAIR_BY_PRUNE, REPAIR_BY_HOOK],
        "answer_channels": [KEEP_CHANNELS],
        "answer_stored": [STORED],
    },
    "41_quantization": {
        "answer_pack": [NIBBLES],
        "answer_cut": [BEST_CUT],
        "answer_affine": [AFFINE],
        "answer_channels": [ROUND_CHANNELS],
        "answer_binarize": [BINARIZE],
    },
    "42_distillation": {
        "answer_kl": [KL],
        "answer_ask": [ASK],
        "answer_loss": [DISTILLATION_LOSS],
        "answer_arms": [ARMS],
    },
    "51_search_and_stop": {
        "answer_mean_of": [MEAN_OF],
        "answer_resume": [RESUME, RESUME_BY_CALLBACK],
        "answer_halving": [HALVING],
        "answer_patient": [PATIENT],
    },
    "20_data_loading": {
        "answer_wait_share": [WAIT_SHARE],
        "answer_getitems": [GETITEMS],
        "answer_draws": [DRAWS_1, DRAWS_2],
        "answer_shards": [SHARDS],
        "answer_crop_flip": [CROP_FLIP, CROP_FLIP_BY_MASK],
    },
    "30_ddp": {
        "answer_share": [DDP_SHARE_1, DDP_SHARE_2],
        "answer_buckets": [DDP_BUCKETS],
        "answer_pack": [DDP_PACK, DDP_PACK_IN_DOUBLE],
        "answer_partial": [DDP_PARTIAL],
        "answer_reader": [DDP_READER, DDP_READER_OF_TWO_LAYERS],
    },
    "31_scaling": {
        "answer_fit": [SCALING_FIT],
        "answer_all_reduce": [SCALING_ALL_REDUCE, SCALING_OTHER_HALVES],
        "answer_top_k": [SCALING_TOP_K],
        "answer_one_forward_one_backward": [SCALING_ONE_FORWARD_ONE_BACKWARD],
        "answer_bytes_a_rank": [SCALING_BYTES_A_RANK, SCALING_WHOLE_BYTES],
    },
    "50_adaptive_learning_rates": {
        "answer_adamw": [RATES_ADAMW],
        "answer_rescaled": [RATES_RESCALED],
        "answer_rate": [RATES_RATE],
        "answer_steps": [RATES_STEPS],
        "answer_fit": [RATES_FIT],
    },
}
