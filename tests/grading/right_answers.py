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

RIGHT = {
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
}
