"""The judge of exercise 80; grading/judge.py says how it is used.

All times are whole numbers or quarters, so that sums are exact however they are taken.
"""

# 1. The bill


def bill(answers, *case):
    return answers.bill(*case)


def begun(rng):
    """One second after, before and at the end of a unit; the minimum is one unit, and the default."""
    units = [(rng.randint(2, 90), unit) for unit in (60, 3600, 10)]
    return [(count * unit + more, rng.randint(1, 40) / 4, unit) for count, unit in units for more in (-1, 0, 1)]


def minimums(rng):
    """Below and above a minimum of several units; all are whole units."""
    cases = []
    for unit in (1, 10, 60):
        least = rng.randint(5, 20)
        for units in (rng.randint(1, least - 1), least + rng.randint(1, 9)):
            cases.append((units * unit, rng.randint(1, 40) / 4, unit, least))
    return cases


def unused(rng):
    return [(0, rng.randint(1, 40) / 4, rng.choice([1, 60, 3600]), rng.randint(1, 60)) for _ in range(3)]


# 2. How often to save. No interval is near the middle between two numbers of steps.


def steps_between(answers, *case):
    return answers.steps_between(*case)


def inner(rng):
    """Young's interval is a whole number of seconds, and 0.2 steps or less beside a whole number of steps."""
    cases = []
    for beside in (-0.2, 0.0, 0.2):
        interval, count = rng.randint(10, 60), rng.randint(3, 9)
        save = rng.choice([1, 2, 4])
        cases.append((interval / (count + beside), save, interval**2 / (2 * save), 1000))
    return cases


def ends(rng):
    """Steps far longer than the interval, and fewer steps than there are in it."""
    interval, steps = rng.randint(10, 60), rng.randint(2, 9)
    return [(interval * 10, 2, interval**2 / 4, 1000), (interval / (steps * 3), 2, interval**2 / 4, steps)]


# 3. The replay


def seconds(answers, *case):
    return answers.replay(*case)[0]


def lost(answers, *case):
    return answers.replay(*case)[1]


def both(answers, *case):
    return list(answers.replay(*case))


def job(rng):
    """(work, interval, save, restart): the last stretch is shorter; a save and a restart are shorter than the interval."""
    interval = rng.randint(20, 40)
    return interval * rng.randint(3, 5) + rng.randint(5, 15), interval, rng.randint(2, 5), rng.randint(6, 12)


def calm(rng):
    """No kills at all, or one long after the end; with work that is a multiple of the interval as well."""
    work, interval, save, restart = job(rng)
    return [([], work, interval, save, restart), ([10 * work], 4 * interval, interval, save, restart)]


def kills(rng):
    """Kills in the work alone, and one in the last moment of a checkpoint; no machine dies in its restart."""
    cases = []
    for _ in range(4):
        work, interval, save, restart = job(rng)
        lives = [restart + rng.randint(0, 2) * (interval + save) + rng.randint(1, interval) for _ in range(rng.randint(1, 3))]
        cases.append(([lives[0] - restart, *lives[1:]], work, interval, save, restart))
    work, interval, save, restart = job(rng)
    return [*cases, ([2 * (interval + save)], work, interval, save, restart)]


def kills_in_saves_too(rng):
    work, interval, save, restart = job(rng)
    in_save = 2 * interval + save + rng.randint(1, save - 1)
    return [*kills(rng), ([in_save], work, interval, save, restart)]


def kills_in_restarts(rng):
    cases = []
    for _ in range(3):
        work, interval, save, restart = job(rng)
        first = interval + save + rng.randint(1, interval)
        cases.append(([first, *(rng.randint(1, restart - 1) for _ in range(2))], work, interval, save, restart))
    return cases


# 4. The discount


def discount(answers, undisturbed, times):
    return answers.discount_needed(undisturbed, times)


def longer(rng):
    """All runs are longer, and the mean lies far from the median."""
    cases = []
    for _ in range(3):
        undisturbed = rng.randint(40, 80)
        times = [undisturbed + rng.randint(1, 5) for _ in range(4)] + [undisturbed * rng.randint(5, 9)]
        cases.append((undisturbed, times))
    return cases


def shorter(rng):
    undisturbed = rng.randint(40, 80)
    return [(undisturbed, [undisturbed] * 3), (undisturbed, [undisturbed - rng.randint(1, 9), undisturbed])]


def refused(answers, undisturbed, times):
    try:
        answers.discount_needed(undisturbed, times)
    except ValueError:
        return True
    return False


def impossible(rng):
    some = [rng.randint(40, 80) for _ in range(3)]
    return [(50, []), (50, [*some, 0]), (0, some), (50, [-some[0], *some]), (-50, some)]


JUDGED = {
    "test_bill": {
        "each begun unit is billed in whole": (bill, begun),
        "never less than the minimum": (bill, minimums),
        "nothing for nothing": (bill, unused),
    },
    "test_steps": {
        "Young's interval, in steps": (steps_between, inner),
        "at least one step, at most all": (steps_between, ends),
    },
    "test_replay": {
        "undisturbed: the work and its checkpoints": (seconds, calm),
        "a kill goes back to the last checkpoint": (seconds, kills),
        "the work lost, and nothing else": (lost, kills_in_saves_too),
        "killed in the restart": (both, kills_in_restarts),
    },
    "test_discount": {
        "the mean of the runs decides": (discount, longer),
        "never below zero": (discount, shorter),
        "what cannot be is refused": (refused, impossible),
    },
}
