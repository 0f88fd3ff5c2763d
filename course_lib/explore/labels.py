"""How numbers, machines and data sets are written in tables and figures."""

import math
import re

SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")),
}
NAMES = {
    "bytes": "size",
    "macs": "multiply-accumulates",
    "latency_1": "latency at batch 1",
    "latency_64": "latency at batch 64",
}
RISES = ("accuracy", "speed-up", "speedup", "throughput", "hit rate", "correct", "sparsity", "gain")


def number(value: float) -> str:
    """Three significant digits, with thousands separated: 1234.5 -> "1,230", 0.012345 -> "0.0123"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits > 6:
        return f"{value:.2e}"
    rounded = round(value, digits)
    return f"{rounded:,.0f}" if digits <= 0 else f"{rounded:,.{digits}f}".rstrip("0").rstrip(".")


def scale(unit: str, value: float) -> tuple[float, str]:
    """The multiple of `unit` in which `value` reads best, and its name: ("s", 0.002) -> (0.001, "ms")."""
    steps = SCALES.get(unit, ((1.0, unit),))
    return next((step for step in steps if abs(value) >= step[0]), steps[-1] if value else (1.0, unit))


def amount(value: float, unit: str) -> str:
    """A number with its unit, scaled where the unit is seconds or bytes: (0.00214, "s") -> "2.14 ms"."""
    factor, name = scale(unit, value)
    return f"{number(value / factor)} {name}".rstrip()


def span(middle: float, low: float, high: float, unit: str) -> str:
    """A number with its interval, in the unit that suits the number: "2.14 [2.1, 2.2] ms"; no interval of no width."""
    if low == high:
        return amount(middle, unit)
    factor, name = scale(unit, middle)
    return f"{number(middle / factor)} [{number(low / factor)}, {number(high / factor)}] {name}"


def words(name: str) -> str:
    """A metric's or knob's name as prose: "step_seconds" -> "step seconds"."""
    return NAMES.get(name, name.replace("_", " "))


def falls(metric: str, unit: str) -> bool:
    """Whether less of a metric is better. Rates (".../s"), accuracies and speed-ups rise; costs and losses fall.

    Every axis says which direction is taken as better, so that a reader need not know this rule.
    """
    return not (unit.endswith("/s") or any(word in words(metric).lower() for word in RISES))


def machine_name(machine: dict) -> str:
    """A machine in a few words: its GPU, or else its processor and cores."""
    gpu = machine.get("gpu") if machine.get("device") == "cuda" else ""
    if gpu:
        return str(gpu)
    cores = machine.get("cores")
    name = " ".join(re.sub(r"\((R|TM)\)", " ", machine.get("cpu") or "unnamed machine").split())
    return f"{name}, {cores} core{'' if cores == 1 else 's'}" if cores else name


def data_name(results) -> str:
    """The data sets behind results with their kind, so that a stand-in is called one; "" when no data set was used."""
    names = dict.fromkeys(f"{r.data['name']} ({r.data['kind']})" for r in results if r.data)
    return ", ".join(names)
