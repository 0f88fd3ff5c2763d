"""The judge of exercise 40; grading/judge.py says how it is used.

Where several answers are right (which of equal weights go), the raw data comes out and `accept` judges the property.
"""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import compress, data


def shaped(numbers, shapes):
    """The numbers as tensors of these shapes, one after the other."""
    parts = torch.tensor(numbers, dtype=torch.float32).split([torch.Size(shape).numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def whole(number):
    """A count as an int, also where it came as a float or a tensor of one number."""
    return int(number) if number == int(number) else float(number)


# 1. The masks


def masks(answers, numbers, shapes, share):
    """(type, shape, entries) of each mask."""
    made = answers.global_masks(shaped(numbers, shapes), share)
    return [[str(mask.dtype), list(mask.shape), mask.flatten()] for mask in made]


def layers(rng):
    """A large layer of large weights and small ones of small weights; no two of the same magnitude."""
    shapes = [[rng.randint(3, 6), rng.randint(2, 5), 3], [rng.randint(4, 9), 2], [rng.randint(3, 9)]]
    sizes = [torch.Size(shape).numel() for shape in shapes]
    magnitudes = rng.sample(range(1, 2000), sum(sizes))
    numbers = [rng.choice([-1, 1]) * magnitude / 1000 for magnitude in magnitudes]
    numbers[: sizes[0]] = [10 * number for number in numbers[: sizes[0]]]
    return numbers, shapes


def all_shares(rng):
    """Whole numbers of weights go; those of each layer alone, rounded, would not add up to them."""
    cases = []
    while len(cases) < 3:
        numbers, shapes = layers(rng)
        share = (rng.randrange(1, len(numbers)) + 0.1) / len(numbers)
        if sum(round(share * torch.Size(shape).numel()) for shape in shapes) != round(share * len(numbers)):
            cases.append((numbers, shapes, share))
    return [*cases, (numbers, shapes, 0.0)]


def shapes_and_share(got, expected, numbers, shapes, share):
    gone = sum(entries.count(False) for *_, entries in got)
    return [kind for kind, *_ in got] == ["torch.bool"] * len(shapes) and (
        [shape for _, shape, _ in got] == shapes and gone == sum(entries.count(False) for *_, entries in expected)
    )


def shares_between(rng):
    drawn = [(layers(rng), part) for part in (0.2, 0.4, 0.6, 0.7)]
    return [(numbers, shapes, (round(part * len(numbers)) + 0.1) / len(numbers)) for (numbers, shapes), part in drawn]


def stay(got):
    return [entry for *_, entries in got for entry in entries]


def smallest_go(got, expected, numbers, shapes, share):
    """Nothing went that is larger than something that stays; how many went is another check's."""
    kept = [abs(number) for number, stays in zip(numbers, stay(got), strict=True) if stays]
    lost = [abs(number) for number, stays in zip(numbers, stay(got), strict=True) if not stays]
    return max(lost) <= min(kept)


def equal_magnitudes(rng):
    """All of one magnitude, and a share of each layer that is a whole number; and zeros beside one number."""
    cases = []
    for share in (0.25, 0.5, 0.75):
        sizes, magnitude = [4 * rng.randint(1, 3), 4 * rng.randint(1, 3)], rng.uniform(0.1, 5)
        cases.append(([rng.choice([-1, 1]) * magnitude for _ in range(sum(sizes))], [[size] for size in sizes], share))
    count = rng.randint(4, 9)
    zeros = [0.0] * count
    zeros[rng.randrange(count)] = rng.uniform(1, 5)
    return [*cases, (zeros, [[count]], 1 / count)]


def exactly_the_share(got, expected, numbers, shapes, share):
    return stay(got).count(False) == round(share * len(numbers)) and smallest_go(got, expected, numbers, shapes, share)


def refused(answers, shares):
    """For each share, whether it is refused."""
    found = []
    for share in shares:
        try:
            answers.global_masks([torch.arange(1.0, 6.0)], share)
        except ValueError:
            found.append(True)
        else:
            found.append(False)
    return found


def shares_in_and_out(rng):
    shares = [1.0, rng.uniform(1.01, 3), rng.uniform(-2, -0.01), rng.randint(2, 9), *(rng.uniform(0, 0.9) for _ in range(3))]
    return [(rng.sample(shares, len(shares)),) for _ in range(2)]


# 2. The channels. All numbers are whole and small, so that every product and sum is exact.


def drawn(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(-4, 5, shape, generator=generator).float() for shape in shapes]


def convolutions(answers, seed, channels, keep):
    """What is left of two convolutions."""
    given = drawn(seed, (channels, 2, 3, 3), (channels,), (4, channels, 3, 3))
    return list(answers.keep_channels(*given, keep))


def own(answers, seed, channels, keep):
    return convolutions(answers, seed, channels, keep)[:2]


def following(answers, seed, channels, keep):
    return convolutions(answers, seed, channels, keep)[2]


def some_channels(rng):
    cases = [(rng.randrange(2**31), rng.randint(4, 7)) for _ in range(3)]
    return [(seed, count, sorted(rng.sample(range(count), rng.randint(1, count - 1)))) for seed, count in cases]


def behind_flatten(answers, seed, channels, keep, size):
    """What is left of the linear layer, the outputs of both layers, and whether the given tensors are as they were."""
    pictures, *given = drawn(seed, (2, 2, size + 2, size + 2), (channels, 2, 3, 3), (channels,), (6, channels * size * size))
    before = [tensor.clone() for tensor in given]
    weight, bias, linear = answers.keep_channels(*given, keep)
    outputs = F.linear(F.conv2d(pictures, weight, bias).relu().flatten(1), linear)
    return [linear, outputs, [torch.equal(*pair) for pair in zip(given, before, strict=True)]]


def channels_and_sizes(rng):
    return [(*case, size) for case, size in zip(some_channels(rng), (1, 2, 3), strict=True)]


# 3. The work


def work(answers, kind, sizes, options, shape):
    layer = nn.Linear(*sizes) if kind == "linear" else nn.Conv2d(*sizes, **options)
    return whole(answers.count_macs(layer, torch.zeros(shape)))


def single_layers(rng):
    inputs, outputs, channels, filters, side = rng.sample(range(3, 20), 5)
    return [
        ("linear", [inputs, outputs], {}, [1, inputs]),
        ("conv", [channels, filters, 3], {"padding": 1}, [1, channels, side, side]),
    ]


def strides_groups_samples(rng):
    groups, samples, length, side = rng.randint(2, 4), rng.randint(3, 6), rng.randint(2, 5), rng.randint(7, 12)
    inputs, outputs = rng.sample(range(3, 20), 2)
    return [
        ("conv", [4, rng.randint(3, 7), 3], {"stride": 2}, [1, 4, side, side]),
        ("conv", [4 * groups, 2 * groups, 3], {"groups": groups}, [1, 4 * groups, side, side]),
        ("linear", [inputs, outputs], {}, [samples, inputs]),
        ("linear", [inputs, outputs], {}, [samples, length, inputs]),
    ]


def base_work(answers, masked, removed):
    """The base model's work, whole or with a share of it masked or of its channels removed."""
    model, one = compress.base_model(), torch.zeros(1, 1, 16, 16)
    if masked:
        model = compress.harden(compress.mask_globally(model, masked))
    if removed:
        model = compress.remove_channels(model, removed, one)
    return whole(answers.count_macs(model, one))


def masked_and_removed(rng):
    return [(0, 0), (rng.uniform(0.3, 0.95), 0), (0, rng.uniform(0.2, 0.7))]


def as_it_was(answers, sizes, samples, training):
    """The count, twice; hooks that are left; the modes."""
    first, middle, last = sizes
    model = nn.Sequential(nn.Linear(first, middle), nn.Dropout(), nn.Linear(middle, last)).train(training)
    twice = [whole(answers.count_macs(model, torch.zeros(samples, first))) for _ in range(2)]
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]
    return [twice, sum(hooks), [part.training for part in model.modules()]]


def small_nets(rng):
    return [([rng.randint(2, 9) for _ in range(3)], rng.randint(2, 4), training) for training in (True, False)]


# 4. The bytes


def size(answers, rows, columns, nonzeros, form):
    return whole(answers.stored(rows, columns, nonzeros, form))


def matrices(rng):
    """Sizes whose bits do not fill their last byte; also without a nonzero."""
    cases = [(2 * rng.randint(1, 20) + 1, 2 * rng.randint(1, 20) + 1, form) for form in ("dense", "csr", "bitmap") * 2]
    return [(*sides, rng.randint(0, min(sides)), form) for *sides, form in cases] + [(5, 7, 0, "csr")]


def most(answers, rows, columns, form):
    return whole(answers.break_even(rows, columns, form))


def for_csr(rng):
    """Sizes at which no number of nonzeros takes exactly the bytes of dense; also a single column."""
    sides = [(2 * rng.randint(3, 15), rng.randint(5, 30)), (rng.randint(5, 30), 2 * rng.randint(3, 15) + 1)]
    return [(*pair, "csr") for pair in [*sides, (rng.randint(2, 9), 1)]]


def for_bitmap(rng):
    """Sizes whose bits fill their last byte, exact ties with dense among them."""
    cases = [(32, rng.randint(8, 30)), (rng.randint(5, 30), 8 * rng.randint(1, 4)), (1, 1)]
    return [*((*sides, "bitmap") for sides in cases), (rng.randint(5, 12), 10, "dense")]


# 5. The repair


def task(seed, kind, momentum):
    """A net with zero gradients, its masks, its optimizer and eight batches of a learnable task.

    The optimizer has made one step, so that with momentum every weight has a push that goes on.
    """
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    options = {"lr": 0.02} if kind == "AdamW" else {"lr": 0.2, "momentum": momentum}
    optimizer = getattr(torch.optim, kind)(net.parameters(), **options)
    points = torch.randn(12, 32, 8)
    batches = [(x, (x[:, 0] > x[:, 1]).long()) for x in points]
    F.cross_entropy(net(batches[0][0]), batches[0][1]).backward()
    optimizer.step()
    optimizer.zero_grad()
    return net, {"0.weight": torch.rand(16, 8) > 0.4}, optimizer, batches


def flat(net):
    """All weights in a row, by name: torch.nn.utils.prune leaves the parameters of a layer in another order."""
    weights = dict(net.named_parameters())
    return torch.cat([weights[name].detach().flatten() for name in ("0.weight", "0.bias", "2.weight", "2.bias")])


def repaired(answers, seed, kind, momentum):
    """The weights before and after, as two rows."""
    net, masks, optimizer, batches = task(seed, kind, momentum)
    before = flat(net)
    answers.repair(net, masks, optimizer, batches)
    return [before, flat(net)]


def plain_sgd(rng):
    return [(rng.randrange(2**31), "SGD", 0.0)]


def with_memory(rng):
    return [(rng.randrange(2**31), "SGD", 0.9), (rng.randrange(2**31), "AdamW", 0.9)]


def with_momentum(rng):
    return [(rng.randrange(2**31), "SGD", 0.9)]


def masked_of(weights, masks):
    return torch.tensor(weights)[: masks.numel()][~masks.flatten()]


def zeros_at_the_end(got, expected, *case):
    after = got[1]
    masks = task(*case)[1]["0.weight"]
    return len(after) == len(expected[1]) and bool((masked_of(after, masks) == 0).all())


def zeros_and_trained(got, expected, *case):
    """Zeros where the mask is False; each of the four parameters has moved from where it was."""
    changed = (torch.tensor(got[1]) != torch.tensor(expected[0])).split([128, 16, 32, 2])
    return zeros_at_the_end(got, expected, *case) and all(part.any() for part in changed)


def at_each_pass(answers, seed, kind, momentum):
    """The largest masked weight at each forward pass, and how often the net is right in the end."""
    net, masks, optimizer, batches = task(seed, kind, momentum)
    seen, mask = [], masks["0.weight"]
    net[0].register_forward_hook(lambda *_: seen.append(net[0].weight.detach()[~mask].abs().max()))
    answers.repair(net, masks, optimizer, batches)
    passes = list(seen)
    with torch.no_grad():
        right = [(net(inputs).argmax(1) == targets).float().mean() for inputs, targets in batches]
    return [passes, sum(right) / len(right)]


def zeros_in_all_passes(got, expected, *case):
    return got[0] == [0.0] * 12 and got[1] > expected[1] - 0.05


def reads_again(answers, share, seed):
    """The share of zeros in the base model's weights after the repair, and the share of glyphs that it reads."""
    glyphs = data.glyphs(n_train=1000, n_test=500)
    masked = compress.mask_globally(compress.base_model(), share)
    masks = {f"{name}.weight": layer.weight_mask.bool() for name, layer in compress.prunable(masked).items()}
    net = compress.harden(masked)
    torch.manual_seed(seed)
    order = torch.randperm(1000).split(50)
    batches = [(glyphs.train[0][part], glyphs.train[1][part]) for part in order]
    answers.repair(net, masks, torch.optim.AdamW(net.parameters(), lr=3e-3), batches)
    with torch.no_grad():
        right = (net(glyphs.test[0]).argmax(1) == glyphs.test[1]).float().mean()
    return [compress.sparsity(net), right]


def hard_cut(rng):
    return [(rng.uniform(0.795, 0.805), rng.randrange(2**31))]


def sparse_and_right(got, expected, share, seed):
    return abs(got[0] - share) < 0.001 and got[1] > 0.7  # right answers reach 0.9, an untrained net 0.6


JUDGED = {
    "test_masks": {
        "masks have the shapes of the weights, and exactly the share goes": (masks, all_shares, shapes_and_share),
        "the smallest go, whatever their sign and layer": (masks, shares_between, smallest_go),
        "equal magnitudes: still exactly the share": (masks, equal_magnitudes, exactly_the_share),
        "a share outside [0, 1) is refused": (refused, shares_in_and_out),
    },
    "test_channels": {
        "the layer keeps its filters and their biases": (own, some_channels),
        "the next layer loses the inputs that are no longer there": (following, some_channels),
        "channels that are always 0 can go, and no output changes, also behind Flatten": (behind_flatten, channels_and_sizes),
    },
    "test_macs": {
        "a linear layer, and one convolution": (work, single_layers),
        "strides, groups and samples": (work, strides_groups_samples),
        "the base model: whole, masked, and with half of its channels": (base_work, masked_and_removed),
        "the model is left as it was": (as_it_was, small_nets),
    },
    "test_stored": {
        "bytes of the three forms": (size, matrices),
        "the break-even of CSR is a little below one half": (most, for_csr),
        "a bitmap is smaller until nearly all is there": (most, for_bitmap),
    },
    "test_repair": {
        "masked weights are 0 at the end, the others are trained": (repaired, plain_sgd, zeros_and_trained),
        "also when the optimizer remembers": (repaired, with_memory, zeros_at_the_end),
        "at every forward pass": (at_each_pass, with_momentum, zeros_in_all_passes),
        "the base model with 80 % of its weights gone reads again": (reads_again, hard_cut, sparse_and_right),
    },
}
