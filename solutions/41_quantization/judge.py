"""The judge of exercise 41; grading/judge.py says how it is used.

Rounding may differ where a number lies in the middle, and a search may find another end of a flat valley: so errors are
compared with bounds, and not number by number.
"""

import torch
import torch.nn.functional as F


def steps_of(numbers):
    """Whole numbers as ints, also where they came as floats."""
    return [int(number) if number == int(number) else number for number in numbers.flatten().tolist()]


# 1. There and back


def scale_and_zero(answers, low, high, bits):
    scale, zero = answers.scale_and_zero(low, high, bits=bits)
    return [float(scale), zero if isinstance(zero, int) else type(zero).__name__]


def ranges(rng):
    """Ranges around 0 whose zero point is nearly a whole number, so that it is the same however it is rounded."""
    cases = []
    for bits in (8, 4, rng.choice([3, 5, 6, 7])):
        step, zero = rng.uniform(0.01, 2), rng.randint(1, 2**bits - 2)
        low = -step * (zero + 0.02)
        cases.append((low, low + step * (2**bits - 1), bits))
    return cases


def returned(answers, low, high, bits, numbers):
    """The numbers after a round trip, and the type in between."""
    found = answers.scale_and_zero(low, high, bits=bits)
    between = answers.to_whole(torch.tensor(numbers), *found, bits=bits)
    return [answers.to_float(between, *found), str(between.dtype)]


def within(rng):
    """Numbers from end to end."""
    return [(low, high, bits, [low, high, *(rng.uniform(low, high) for _ in range(40))]) for low, high, bits in ranges(rng)]


def half_a_step(got, expected, low, high, bits, numbers):
    numbers, half = torch.tensor(numbers), (high - low) / (2**bits - 1) / 2
    return got[1] == "torch.uint8" and bool(((torch.tensor(got[0]) - numbers).abs() <= 1.05 * half).all())


def beside_zero(rng):
    """0 and two other numbers, in ranges around 0, above it and below it."""
    cases, bits = [(*case[:2], 8) for case in ranges(rng)[:1]], rng.randint(4, 7)
    cases += [(rng.uniform(1, 3), rng.uniform(4, 6), 8), (rng.uniform(-9, -6), rng.uniform(-4, -2), bits)]
    farthest = [max(low, high, key=abs) for low, high, _ in cases]
    return [(*case, [0.0, end * rng.uniform(0.6, 0.9), end]) for case, end in zip(cases, farthest, strict=True)]


def zero_stays(got, expected, low, high, bits, numbers):
    """0 comes back; the others come back, too, as other numbers: how near is another check's."""
    return got[0][0] == 0 and all(abs(number) > 0 for number in got[0][1:])


def ends(answers, low, high, bits, numbers):
    return steps_of(answers.to_whole(torch.tensor(numbers), *answers.scale_and_zero(low, high, bits=bits), bits=bits))


def outside(rng):
    sides = [[rng.choice([-1, 1]) * 10 ** rng.uniform(4, 5) for _ in range(8)] for _ in range(3)]
    return [(*case, numbers) for case, numbers in zip(ranges(rng), sides, strict=True)]


# 2. A scale for each channel


def rounded(answers, weight, bits):
    whole, scales = answers.round_channels(torch.tensor(weight), bits)
    return [whole, scales]


def types(answers, weight, bits):
    whole, scales = answers.round_channels(torch.tensor(weight), bits)
    return [str(whole.dtype), list(whole.shape), list(scales.shape)]


def rows(rng, count, size):
    """Rows of very different size, in each of which the largest absolute value is a negative number."""
    made = [[rng.gauss(0, 10.0 ** (row % 4 - 2)) for _ in range(size)] for row in range(count)]
    for row in made:
        row[rng.randrange(size)] = -1.5 * max(map(abs, row))
    return made


def unequal(rng):
    return [(rows(rng, rng.randint(4, 6), rng.randint(20, 40)), bits) for bits in (8, rng.randint(3, 7))]


def half_a_step_of_its_own(got, expected, weight, bits):
    weight, whole = torch.tensor(weight).flatten(1), torch.tensor(got[0]).flatten(1)
    half = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1) / 2
    return bool(((whole * torch.tensor(got[1])[:, None] - weight).abs() <= 1.002 * half).all())


def filters(rng):
    """Convolutions, with their extremes at either end, in 8, in few and in 2 bits."""
    cases = []
    for bits in (8, rng.randint(3, 5), 2):
        sign, flat = rng.choice([-1, 1]), rows(rng, 4, 18)
        weight = torch.tensor(flat).view(4, 2, 3, 3) * sign
        cases.append((weight.tolist(), bits))
    return [*cases, (weight.abs().neg().tolist(), 5)]


def symmetric(got, expected, weight, bits):
    largest = torch.tensor(got[0]).abs().max().item()
    return half_a_step_of_its_own(got, expected, weight, bits) and largest == 2 ** (bits - 1) - 1


def with_zeros(rng):
    """A channel of zeros above or below one whose largest absolute value is a negative number."""
    cases = []
    for place in (0, 1):
        weight = rows(rng, 1, rng.randint(3, 8))
        weight.insert(place, [0.0] * len(weight[0]))
        cases.append((weight, 8))
    return cases


def zeros_stay(got, expected, weight, bits):
    zeros, (whole, scales) = [not any(row) for row in weight], got
    right = all((not any(row)) == zero for row, zero in zip(whole, zeros, strict=True))
    return right and all(0 < scale < 1e30 for scale in scales) and half_a_step_of_its_own(got, expected, weight, bits)


# 3. Real bytes


def packed(answers, numbers):
    made = answers.pack(torch.tensor(numbers, dtype=torch.int8))
    return [str(made.dtype), list(made.shape)]


def there_and_back(answers, numbers, others):
    """The numbers from their bytes alone, their type, and the bytes; others are packed in between."""
    bytes_of, _ = [answers.pack(torch.tensor(part, dtype=torch.int8)) for part in (numbers, others)]
    back = answers.unpack(torch.tensor(bytes_of.tolist(), dtype=torch.uint8), len(numbers))
    return [back, str(back.dtype), bytes_of]


def drawn(rng, count):
    return [rng.randint(-8, 7) for _ in range(count)]


def even_counts(rng):
    return [(drawn(rng, 2 * rng.randint(2, 20)),) for _ in range(3)]


def many(rng):
    """So many random pairs that nearly all bytes occur."""
    return [(drawn(rng, 2000), drawn(rng, 2000)), (drawn(rng, 2 * rng.randint(2, 9)), drawn(rng, 20))]


def same_numbers(got, expected, numbers, others):
    many_bytes = len(numbers) < 2000 or len(set(got[2])) > 200
    return got[0] == numbers and got[1] == "torch.int8" and many_bytes


def odd_counts(rng):
    counts = 1, 2 * rng.randint(1, 4) + 1, 2 * rng.randint(5, 9) + 1
    return [([*drawn(rng, count - 1), rng.randint(1, 7)], drawn(rng, count)) for count in counts]


def same_from_half(got, expected, numbers, others):
    return got[0] == numbers and len(got[2]) == (len(numbers) + 1) // 2


# 4. Where to cut


def heavy(seed, size):
    """Values with a heavy tail."""
    return size * torch.randn(4000, generator=torch.Generator().manual_seed(seed)).abs() ** 2.5


def cut(answers, seed, size, bits):
    """The cut, or its type where that is no float."""
    found = answers.best_cut(heavy(seed, size), bits)
    return found if isinstance(found, float) else type(found).__name__


def cuts(answers, seed, size):
    return [float(answers.best_cut(heavy(seed, size), bits)) for bits in (2, 4, 6, 8)]


def even_cut(answers, seed, size, bits):
    values = torch.rand(4000, generator=torch.Generator().manual_seed(seed))
    return float(answers.best_cut(size * values, bits)) / size


def squared(values, cut, bits):
    """The mean squared error of a round trip in `bits` bits from 0 to cut."""
    step = cut / (2**bits - 1)
    return ((values / step).round().clamp(0, 2**bits - 1) * step - values).square().mean().item()


def worst_of_right(values, bits):
    """The error of the worst among searches through 50 to 100 cuts."""
    errors = []
    for count in (50, 60, 75, 100):
        errors.append(min(squared(values, values.max().item() * part / count, bits) for part in range(1, count + 1)))
    return max(errors)


def near_the_best(got, expected, seed, size, bits):
    values = heavy(seed, size)
    return isinstance(got, float) and squared(values, got, bits) <= 1.1 * worst_of_right(values, bits)


def later_and_later(got, expected, seed, size):
    values = heavy(seed, size)
    return got[0] < got[1] < got[2] and squared(values, got[3], 8) <= 1.2 * worst_of_right(values, 8)


def heavy_tails(rng):
    return [(rng.randrange(2**31), size, bits) for size, bits in ((1.0, 3), (rng.uniform(2, 9), 4))]


def one_tail(rng):
    return [(rng.randrange(2**31), 1.0)]


def no_tails(rng):
    return [(rng.randrange(2**31), rng.uniform(0.5, 3), 8) for _ in range(2)]


def hardly_clipped(got, expected, seed, size, bits):
    return 0.97 < got < 1.03


# 5. Through the staircase


def binary(answers, weight):
    return answers.binarize(torch.tensor(weight)).detach()


def weights(rng):
    """Small numbers, and exact zeros among them."""
    cases = []
    for _ in range(3):
        weight = [[rng.choice([-1, 1]) * rng.uniform(0.05, 3) for _ in range(rows)] for rows in [rng.randint(3, 9)] * 4]
        weight[rng.randrange(4)][rng.randrange(3)] = 0.0
        cases.append((weight,))
    return cases


def close(got, expected, *case):
    return bool(torch.allclose(torch.tensor(got), torch.tensor(expected), rtol=1e-4, atol=1e-5))


def gradient(answers, weight, slope):
    weight = torch.tensor(weight, requires_grad=True)
    (answers.binarize(weight) * torch.tensor(slope)).sum().backward()
    return weight.grad


def slopes(rng):
    """Weights, and what each of their products is multiplied by."""
    return [tuple([[rng.gauss(0, 1) for _ in range(4)] for _ in range(3)] for _ in range(2)) for _ in range(3)]


def trained(answers, seed):
    """How often a binary linear classifier on 8 clouds of points is right after 60 steps."""
    torch.manual_seed(seed)
    centres, labels = torch.randn(8, 32), torch.arange(400) % 8
    points, weight = centres[labels] + 0.7 * torch.randn(400, 32), (0.02 * torch.randn(8, 32)).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(points @ answers.binarize(weight).T, labels).backward()
        optimizer.step()
    return ((points @ answers.binarize(weight).T).argmax(1) == labels).float().mean()


def trainings(rng):
    return [(rng.randrange(2**31),)]


def as_right(got, expected, seed):
    return got > min(0.9, expected - 0.05)


JUDGED = {
    "test_affine": {
        "the scale and the zero point": (scale_and_zero, ranges),
        "within the range nothing moves by more than half a step": (returned, within, half_a_step),
        "0 comes back as 0": (returned, beside_zero, zero_stays),
        "what lies outside goes to the nearer end": (ends, outside),
    },
    "test_channels": {
        "shapes and types": (types, unequal),
        "at most half a step of its own channel": (rounded, unequal, half_a_step_of_its_own),
        "convolutions, fewer bits, symmetric": (rounded, filters, symmetric),
        "a channel of zeros": (rounded, with_zeros, zeros_stay),
    },
    "test_pack": {
        "two numbers in a byte": (packed, even_counts),
        "the same numbers come back": (there_and_back, many, same_numbers),
        "an odd count": (there_and_back, odd_counts, same_from_half),
    },
    "test_cut": {
        "few bits, heavy tail: it pays to clip": (cut, heavy_tails, near_the_best),
        "no tail: nothing to clip": (even_cut, no_tails, hardly_clipped),
        "more bits, a later cut": (cuts, one_tail, later_and_later),
    },
    "test_binarize": {
        "sign times a scale": (binary, weights, close),
        "the gradient passes": (gradient, slopes, close),
        "and it trains": (trained, trainings, as_right),
    },
}
