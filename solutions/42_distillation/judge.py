"""The judge of exercise 42; grading/judge.py says how it is used.

Divergences and gradients are compared within 0.2 %: right formulas differ by what float32 rounds.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def near(got, expected, share=2e-3, least=1e-5):
    """Whether two numbers, or lists of them, differ by at most this share of the largest, or by `least`."""
    got, expected = torch.tensor(got, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    allowed = max(share * expected.abs().max().item(), least)
    return got.shape == expected.shape and bool(((got - expected).abs() <= allowed).all())


def as_expected(got, expected, *case):
    return near(got, expected)


def any_seed(rng):
    return rng.randrange(2**31)


# 1. The divergence


def drawn(seed, rows, classes, spread):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=generator), spread * torch.randn(rows, classes, generator=generator)


def divergence(answers, seed, rows, classes, temperature, direction):
    return float(answers.kl(*drawn(seed, rows, classes, 2), temperature, direction))


def at_one(direction):
    def cases(rng):
        return [(any_seed(rng), rng.randint(4, 7), rng.randint(3, 8), 1.0, direction) for _ in range(3)]

    return cases


def at_others(rng):
    sizes = [(any_seed(rng), rng.randint(4, 7), rng.randint(3, 8)) for _ in range(4)]
    temperatures = rng.uniform(2, 4), rng.uniform(0.4, 0.7)
    return [(*size, temperatures[i // 2], ("forward", "reverse")[i % 2]) for i, size in enumerate(sizes)]


def far_apart(answers, tops):
    """Rows that are as far apart in one direction as in the other; and whether the student's gradient is finite."""
    teacher = torch.tensor([[top, 0.0, -top] for top in tops])
    student = teacher.flip(1).requires_grad_()
    value = answers.kl(student, teacher, 1.0, "forward")
    value.backward()
    return [value.item(), student.grad.isfinite().all()]


def far_tops(rng):
    return [([rng.uniform(150, 300) for _ in range(rng.randint(1, 4))],) for _ in range(3)]


def finite(got, expected, tops):
    return near(got[0], expected[0]) and got[1] is True


# 2. The loss


def graded(answers, seed, temperature, weight):
    """The loss and its gradients on the student's and the teacher's logits."""
    student, teacher = drawn(seed, 8, 5, 3)
    student.requires_grad_(), teacher.requires_grad_()
    value = answers.distillation_loss(student, torch.arange(8) % 5, teacher, temperature, weight)
    value.backward()
    return value.item(), student.grad, teacher.grad


def loss(answers, *case):
    return graded(answers, *case)[0]


def students_gradient(answers, *case):
    return graded(answers, *case)[1]


def gradients(answers, *case):
    return graded(answers, *case)[1:]


def labels_alone(rng):
    return [(any_seed(rng), rng.uniform(1, 5), 0.0) for _ in range(3)]


def shared(rng):
    """Weights at which the labels count; and the teacher alone."""
    return [(any_seed(rng), rng.uniform(2, 4), weight) for weight in (rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.7), 1.0)]


def hot(rng):
    return [(any_seed(rng), rng.uniform(10, 30), 1.0), (any_seed(rng), rng.uniform(100, 200), 1.0)]


def mostly_teacher(rng):
    return [(any_seed(rng), rng.uniform(2, 5), rng.uniform(0.6, 0.95)) for _ in range(2)]


def student_alone(got, expected, *case):
    student, teacher = got
    return any(map(any, student)) and (teacher is None or not any(map(any, teacher)))


# 3. Asking


class Teacher(nn.Module):
    """`modes` are those of the whole and of its three parts."""

    def __init__(self, seed, modes):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.net, self.norm, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        with torch.no_grad():
            for tensor in (self.net.weight, self.net.bias, self.norm.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        for part, mode in zip(self.modules(), modes, strict=True):
            part.training = mode

    def forward(self, x):
        return self.drop(self.norm(self.net(x)))


def asked(answers, seed, samples, batch, modes):
    """What was answered, the teacher, and the samples of each of its calls, which no answer can set back."""
    calls = []

    class Counted(Teacher):
        def forward(self, x):
            calls.append(len(x))
            return super().forward(x)

    teacher = Counted(seed, modes)
    inputs = torch.randn(samples, 3, generator=torch.Generator().manual_seed(seed))
    return answers.ask(teacher, inputs, batch), teacher, calls


def logits(answers, *case):
    return asked(answers, *case)[0]


def calls(answers, *case):
    return asked(answers, *case)[2]


def logits_and_graph(answers, *case):
    said = asked(answers, *case)[0]
    return [said, said.requires_grad]


def modes_after(answers, *case):
    return [part.training for part in asked(answers, *case)[1].modules()]


def questions(*modes):
    """Samples that fill their parts, samples that do not, and samples that fit into one."""

    def cases(rng):
        batch = rng.randint(3, 8)
        counts = rng.randint(2, 4) * batch, rng.randint(2, 4) * batch + rng.randint(1, batch - 1), batch - 1
        return [(any_seed(rng), count, batch, modes[i % len(modes)]) for i, count in enumerate(counts)]

    return cases


RESTING, FROZEN = [False] * 4, [True, True, False, True]  # the whole, the linear layer, the batch norm, dropout


def without_graph(got, expected, *case):
    return near(got[0], expected[0]) and got[1] is False


# 4. The arms. The teacher's logits are whole numbers, no two alike in a row, so that its top class is never in doubt.


def made(answers, seed, few, more, classes, temperature):
    """{arm: (inputs, targets)}; the labels are not the teacher's."""
    generator = torch.Generator().manual_seed(seed)
    points, labels = torch.randn(few + more, 2, generator=generator), torch.randint(classes, (few,), generator=generator)
    said = torch.rand(more, classes, generator=generator).argsort(1).float()
    return answers.arms(points[:few], labels, points[few:], said, temperature)


def labelled(answers, *case):
    inputs, targets = made(answers, *case)["labels"]
    return [inputs, targets, targets.is_floating_point()]


def pseudo(answers, *case):
    return list(made(answers, *case)["pseudo"])


def softened(answers, seed, few, *sizes):
    """The targets of the unlabelled, and the sum of each row of all."""
    targets = made(answers, seed, few, *sizes)["soft"][1]
    return [targets[few:], targets.sum(1)]


def two_arms(answers, seed, few, *sizes):
    """For the second arm and the third: inputs, the targets of the few, and the top class of the others."""
    arms = made(answers, seed, few, *sizes)
    return [[arms[arm][0], arms[arm][1][:few], arms[arm][1][few:].argmax(1)] for arm in ("pseudo", "soft")]


def small_sets(rng):
    return [(any_seed(rng), rng.randint(4, 9), rng.randint(8, 15), rng.randint(3, 6), rng.uniform(1.5, 5)) for _ in range(3)]


def same_parts(got, expected, *case):
    return all(near(*parts) for parts in zip(got, expected, strict=True))


def same_but_softness(got, expected, *case):
    (inputs, few, tops), others = got
    return [inputs, few, tops] == others and near(inputs, expected[0][0]) and tops == expected[0][2]


def wedges(points):
    """A teacher's logits (N, 4) for points of the plane, whose four classes are wedges around the origin."""
    angle = torch.atan2(points[:, 1], points[:, 0])[:, None]
    return 4 * torch.cos(angle - torch.arange(4) * math.pi / 2)


def learned(answers, seed, temperature):
    """How often a small net is right on fresh points after it was trained on each arm."""
    torch.manual_seed(seed)
    points, fresh = torch.randn(208, 2), torch.randn(1000, 2)
    few, more, found = points[:8], points[8:], {}
    for arm, (inputs, targets) in answers.arms(few, wedges(few).argmax(1), more, wedges(more), temperature).items():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 4))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(50):
            optimizer.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            optimizer.step()
        found[arm] = (net(fresh).argmax(1) == wedges(fresh).argmax(1)).double().mean()
    return found


def a_training(rng):
    return [(any_seed(rng), 2.0)]


def as_good(got, expected, *case):
    """The two arms with many points learn as much as they should, and the few labels do not learn their answers."""
    many = all(got[arm] > expected[arm] - 0.05 for arm in ("pseudo", "soft"))
    return many and abs(got["labels"] - expected["labels"]) < 0.05


# 5. The bill


def billed(answers, counts, options):
    costs = answers.bill(*counts, **options)
    return {name: int(cost) if cost == int(cost) else cost for name, cost in costs.items()}


def four_counts(rng):
    return [rng.randint(2, 99), rng.randint(100, 999), rng.randint(5, 9999), rng.randint(2, 20)]


def free_and_stored(rng):
    return [(four_counts(rng), {"stored": True}) for _ in range(3)]


def asked_or_trained(rng):
    return [
        (four_counts(rng), {"stored": False, "teacher_epochs": rng.randint(1, 30)}),
        (four_counts(rng), {"stored": True, "teacher_epochs": rng.randint(1, 30)}),
        (four_counts(rng), {"stored": False}),
    ]


def refused(answers, orders):
    """For each order, whether it is refused."""
    found = []
    for order in orders:
        try:
            answers.bill(15, 662, stored=True, **order)
        except ValueError:
            found.append(True)
        else:
            found.append(False)
    return found


def orders(rng):
    """What makes sense and what does not, in any order."""
    few, many = -rng.randint(0, 9), rng.randint(1, 9)
    mixed = [
        {"pictures": few, "epochs": many},
        {"pictures": many, "epochs": few},
        {"pictures": many, "epochs": many, "teacher_epochs": few - 1},
        {"pictures": 0, "epochs": many},
        {"pictures": many, "epochs": many, "teacher_epochs": 0},
        {"pictures": 1, "epochs": 1, "teacher_epochs": many},
        {"pictures": many, "epochs": many},
    ]
    return [(rng.sample(mixed, len(mixed)),) for _ in range(2)]


JUDGED = {
    "test_kl": {
        "forward, at temperature 1": (divergence, at_one("forward"), as_expected),
        "reverse is another number": (divergence, at_one("reverse"), as_expected),
        "both sides are softened": (divergence, at_others, as_expected),
        "logits that are far apart": (far_apart, far_tops, finite),
    },
    "test_loss": {
        "weight 0 is the cross-entropy": (loss, labels_alone, as_expected),
        "labels and teacher share the loss": (loss, shared, as_expected),
        "the gradient keeps its size at any temperature": (students_gradient, hot, as_expected),
        "the teacher learns nothing": (gradients, mostly_teacher, student_alone),
    },
    "test_ask": {
        "its logits, in order": (logits, questions(RESTING), as_expected),
        "no sample twice, in parts of the batch": (calls, questions(FROZEN)),
        "in evaluation mode, without a graph": (logits_and_graph, questions(FROZEN), without_graph),
        "the teacher is left as it was": (modes_after, questions(FROZEN, RESTING)),
    },
    "test_arms": {
        "the labelled few": (labelled, small_sets),
        "pseudo-labels: the control": (pseudo, small_sets),
        "softened answers": (softened, small_sets, same_parts),
        "nothing but the softness differs": (two_arms, small_sets, same_but_softness),
        "what it brings, on three fixed seeds": (learned, a_training, as_good),
    },
    "test_bill": {
        "a free teacher, asked once": (billed, free_and_stored),
        "asked in every epoch, and trained": (billed, asked_or_trained),
        "what makes no sense is refused": (refused, orders),
    },
}
