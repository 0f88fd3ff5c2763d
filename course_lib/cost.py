"""What a run costs: dated prices of machines, bills of what was recorded, and the energy that the hardware reports."""

import csv
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from course_lib.intervals import check_whole
from course_lib.records import Result, machine_slug, my_folder

SHIPPED = Path(__file__).resolve().parent / "prices.csv"
POWERCAP = Path("/sys/class/powercap")
KINDS = ("on-demand", "interruptible", "own")
FIELDS = ("name", "kind", "hardware", "hourly", "currency", "date", "source", "note")
ASSUMED_WATTS = 100.0  # of a small computer under load, at the wall; no meter was read: edit it


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one machine costs in an hour, as a page said on one day.

    hardware: "2 cores" or a part of the GPU's name ("H200"), so that `fits` knows which runs it is the price of; kind:
    one of KINDS, where "own" is a machine of one's own, of which the electricity alone is counted.
    """

    name: str
    kind: str
    hardware: str
    hourly: float
    currency: str
    date: str
    source: str
    note: str = ""

    def __post_init__(self):
        for field in ("name", "hardware", "source"):
            if not isinstance(getattr(self, field), str) or not getattr(self, field).strip():
                raise ValueError(f"{field}: {getattr(self, field)!r} is not allowed; it is a text that is not empty")
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is not allowed; it is one of {', '.join(KINDS)}")
        object.__setattr__(self, "hourly", _at_least_nothing("hourly", self.hourly))
        if not re.fullmatch("[A-Z]{3}", str(self.currency)):
            raise ValueError(f"currency: {self.currency!r} is not allowed; it is a code of three letters, as USD")
        try:
            date.fromisoformat(self.date)
        except (TypeError, ValueError):
            raise ValueError(f"date: {self.date!r} is not allowed; it is the day of the price, as 2026-01-31") from None

    def fits(self, machine: Mapping) -> bool:
        """Whether a time measured on `machine` (`device.describe()`) may be multiplied by this price."""
        if self.kind == "own":
            return True
        if machine["device"] == "cpu":
            return self.hardware == f"{machine['cores']} cores"
        return machine["device"] == "cuda" and self.hardware.lower() in machine["gpu"].lower()


def prices() -> list[Price]:
    """The price table: my_records/prices.csv where the learner made one, else the one that the course ships.

    Raises ValueError naming file, line, field, value and what is allowed.
    """
    mine = my_folder() / "prices.csv"
    return read_prices(mine if mine.exists() else SHIPPED)


def read_prices(path: str | Path) -> list[Price]:
    """Read a price table: a CSV with the columns FIELDS. Raises ValueError as `prices` does."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        missing = [field for field in FIELDS if field not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}, line 1: the columns {', '.join(missing)} are missing; it has {', '.join(FIELDS)}")
        found = [_row(path, rows.line_num, row) for row in rows]
    names = [price.name for price in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not found:
        raise ValueError(f"{path}: {', '.join(twice) or 'no row'} is not allowed; one row or more, each name once")
    return found


def price(seconds: float, hourly: float, unit: int = 1) -> float:
    """What `seconds` cost at `hourly`, in its currency: to the fraction, or each begun `unit` (a minute: 60) in whole.

    Raises ValueError for a time or a price below 0 or not finite, or a unit that is no whole number from 1 on.
    """
    seconds, hourly = _at_least_nothing("seconds", seconds), _at_least_nothing("hourly", hourly)
    check_whole("unit", unit, 1)
    billed = seconds if unit == 1 else math.ceil(seconds / unit) * unit
    return billed * hourly / 3600


@dataclass(frozen=True)
class Bill:
    """What one recorded time costs: the median of `metric`, which is in seconds, on the machine of `tariff`."""

    result: Result
    metric: str
    tariff: Price

    @property
    def seconds(self) -> float:
        """Below 0 where a record holds a time saved, and none was."""
        return self.result.median(self.metric)

    @property
    def cost(self) -> float:
        """Time x price, in the tariff's currency."""
        return self.seconds * self.tariff.hourly / 3600

    def cells(self) -> dict[str, str | float]:
        """The line of `write_bills`, by column."""
        result, tariff = self.result, self.tariff
        return {
            "lesson": result.lesson,
            "variant": result.variant,
            "knobs": ", ".join(f"{name}={value}" for name, value in result.knobs.items()),
            "measured": self.metric,
            "seconds": self.seconds,
            "recorded on": machine_slug(result.machine),
            "machine": tariff.name,
            "an hour": tariff.hourly,
            "cost": self.cost,
            "currency": tariff.currency,
            "price as of": tariff.date,
            "source": tariff.source,
        }


def bills(results: Iterable[Result], table: Iterable[Price]) -> list[Bill]:
    """A Bill for each metric in seconds of each result, from each price of `table` that fits the machine it ran on."""
    table = list(table)
    times = [(result, metric) for result in results for metric, unit in result.units.items() if unit == "s"]
    return [Bill(result, metric, tariff) for result, metric in times for tariff in table if tariff.fits(result.machine)]


def write_bills(found: Iterable[Bill], path: str | Path) -> Path:
    """Write one bill or more as a CSV with a header, and return its path. Raises ValueError for none."""
    lines = [bill.cells() for bill in found]
    if not lines:
        raise ValueError("found: no bill is not allowed; it is one or more")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, list(lines[0]))
        rows.writeheader()
        rows.writerows(lines)
    return path


@dataclass(frozen=True)
class Energy:
    """Joules of one call, and where the figure comes from. `measured`: whether a meter of the hardware was read."""

    joules: float
    seconds: float
    measured: bool
    how: str


def energy(work: Callable[[], object], watts: float = ASSUMED_WATTS, powercap: Path = POWERCAP) -> Energy:
    """Call `work` and say what it took: read from meters of the hardware where it has some, else estimated.

    Meters are the counters of the CPU packages (RAPL, /sys/class/powercap; all that runs on them counts, the rest of the
    computer does not), and the power of the first GPU before and after the call, as nvidia-smi says. Without any the
    joules are `watts` times the seconds. A counter goes round once in half an hour or later: longer calls are in parts.
    Raises ValueError for watts that are negative or not finite.
    """
    watts = _at_least_nothing("watts", watts)
    counters, why_not = rapl_counters(powercap)
    before, drawn = [_joules(counter) for counter in counters], [gpu_watts()]
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    after = [_joules(counter) for counter in counters]
    drawn = [power for power in (*drawn, gpu_watts()) if power is not None]
    parts = []
    if counters:
        parts.append((sum(map(_between, before, after)), "CPU packages (RAPL)"))
    if drawn:
        parts.append((seconds * sum(drawn) / len(drawn), "GPU (nvidia-smi, before and after)"))
    if not parts:
        return Energy(watts * seconds, seconds, False, f"estimate: {watts:g} W assumed; {why_not}")
    return Energy(sum(joules for joules, _ in parts), seconds, True, "measured: " + " and ".join(name for _, name in parts))


def rapl_counters(powercap: Path = POWERCAP) -> tuple[list[Path], str]:
    """(the folders of the CPU packages whose energy may be read, why there are none): RAPL, Linux's powercap interface."""
    zones = sorted(zone for zone in Path(powercap).glob("*-rapl:*") if re.fullmatch(r"[a-z]+-rapl:\d+", zone.name))
    packages = [zone for zone in zones if _text(zone / "name").startswith("package")]  # psys would count them twice
    if not packages:
        return [], f"no counter of energy in {powercap}, as in most virtual machines"
    readable = [zone for zone in packages if _text(zone / "energy_uj")]
    if len(readable) < len(packages):
        return [], f"the counters in {powercap} may be read by the administrator alone"
    return readable, ""


def gpu_watts() -> float | None:
    """The power that the first GPU draws now, in watts, as nvidia-smi says; None where there is none, or none that says."""
    if not torch.cuda.is_available():
        return None
    ask = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return float(subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # not installed, or "[N/A]"
        return None


def _joules(counter: Path) -> tuple[float, float]:
    """(what the counter says, where it goes round to 0), in joules."""
    return tuple(int(_text(counter / name)) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))


def _between(before: tuple[float, float], after: tuple[float, float]) -> float:
    return after[0] - before[0] + (before[1] if after[0] < before[0] else 0.0)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # absent, or not for us to read
        return ""


def _row(path: str | Path, line: int, row: Mapping) -> Price:
    try:
        return Price(**{field: row[field] or "" for field in FIELDS})
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}") from None


def _at_least_nothing(field: str, value: object) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise ValueError(f"{field}: {value!r} is not allowed; it is a finite number from 0 on")
    return number
