"""What was measured: one validated Result, the learner's own store, the predictions, and the shipped reference."""

import contextlib
import hashlib
import json
import math
import numbers
import os
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from course_lib.store import Line, Store, write_whole

CHECKOUT = Path(__file__).resolve().parent.parent
REFERENCE = Path(__file__).resolve().parent / "reference"
DATA_KINDS = ("real", "rendered", "stand-in")


@dataclass(frozen=True, kw_only=True)
class Result(Line):
    """One measured variant of one lesson, with all that is needed to believe it.

    lesson: "01_measuring"; variant: "baseline"; knobs: what was set, {"batch": 32}; values: every repeat of every
    metric, {"seconds": (0.51, 0.5)}, where a number alone is one repeat; units: of every metric at least, {"seconds":
    "s"}; machine: `device.describe()`; versions: `device.versions()`; data: the data set's provenance, or None; time:
    ISO-8601 UTC; code: `code_digest(lesson)`. The dictionaries are copied, and units of other metrics left out.
    Raises ValueError that names the field, the value and what is allowed.
    """

    lesson: str
    variant: str
    knobs: dict[str, bool | int | float | str]
    values: dict[str, tuple[float, ...]]
    units: dict[str, str]
    machine: dict[str, bool | int | float | str]
    versions: dict[str, str]
    data: dict[str, bool | int | float | str] | None
    time: str
    code: str

    def __post_init__(self):
        _check_text("lesson", self.lesson)
        _check_text("variant", self.variant)
        checked = {
            "knobs": _flat("knobs", self.knobs),
            "values": _measured(self.values),
            "units": _units(self.units, self.values),
            "machine": _flat("machine", self.machine, required=("device",)),
            "versions": _flat("versions", self.versions, required=("torch",)),
            "data": None if self.data is None else _flat("data", self.data, required=("name", "kind")),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.data is not None and self.data["kind"] not in DATA_KINDS:
            raise _refused("data['kind']", self.data["kind"], f"one of {', '.join(DATA_KINDS)}")
        _check_time(self.time)
        if not (isinstance(self.code, str) and re.fullmatch(r"[0-9a-f]{64}", self.code)):
            raise _refused("code", self.code, "a SHA-256 in 64 hexadecimal digits, as code_digest(lesson) gives it")

    @property
    def key(self) -> tuple:
        """(lesson, variant, sorted knobs): what makes two results two runs of the same thing."""
        return self.lesson, self.variant, tuple(sorted(self.knobs.items()))

    def median(self, metric: str) -> float:
        """The median of the repeats of `metric`. Raises ValueError when it was not measured."""
        if metric not in self.values:
            raise _refused("metric", metric, f"one of {', '.join(self.values)}")
        return statistics.median(self.values[metric])


@dataclass(frozen=True, kw_only=True)
class Prediction(Line):
    """What a learner guessed before measuring. `default`: True when a headless run committed the default guess."""

    lesson: str
    question: str
    value: float
    unit: str
    default: bool
    time: str

    def __post_init__(self):
        for name in ("lesson", "question", "unit"):
            _check_text(name, getattr(self, name))
        object.__setattr__(self, "value", _finite("value", self.value))
        if not isinstance(self.default, bool):
            raise _refused("default", self.default, "True or False")
        _check_time(self.time)


class Recorder:
    """What a notebook records with: it fills in lesson, machine, versions, time and code, and stores each result.

    Without `store` the results go to `my_store()`.
    """

    def __init__(self, lesson: str, *, machine: Mapping, versions: Mapping, store: Store | None = None):
        _check_text("lesson", lesson)
        self.lesson, self.machine, self.versions = lesson, machine, versions
        self.store = my_store() if store is None else store
        self.code = code_digest(lesson)

    def add(
        self,
        variant: str,
        values: Mapping[str, float | Sequence[float]],
        units: Mapping[str, str],
        knobs: Mapping | None = None,
        data: Mapping | None = None,
    ) -> Result:
        """Store one variant and return its Result. Raises ValueError as Result does, and stores nothing then."""
        result = Result(
            lesson=self.lesson,
            variant=variant,
            knobs={} if knobs is None else knobs,
            values=values,
            units=units,
            machine=self.machine,
            versions=self.versions,
            data=data,
            time=now(),
            code=self.code,
        )
        self.store.append(result)
        return result


def my_folder() -> Path:
    """Where this learner's own records lie: the folder in COURSE_RECORDS, or my_records in the checkout."""
    return Path(os.environ.get("COURSE_RECORDS") or CHECKOUT / "my_records")


def my_store() -> Store:
    """The store of this learner's own results."""
    return Store(my_folder() / "results.jsonl", Result)


def my_predictions() -> Store:
    """The store of this learner's predictions."""
    return Store(my_folder() / "predictions.jsonl", Prediction)


def predictions() -> list[Prediction]:
    """This learner's predictions, oldest first."""
    return my_predictions().read()


def now() -> str:
    """The time, ISO-8601 in UTC to the second, as results and predictions carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def latest(results: Iterable[Result]) -> list[Result]:
    """The last result of each key, in the order in which the keys first came."""
    return list({result.key: result for result in results}.values())


def code_digest(lesson: str, checkout: Path = CHECKOUT) -> str:
    """The SHA-256 of the library's code and of the code cells of the lesson's notebook (if there is one), as on disk.

    Two results with one digest were measured by the same code; outputs and prose do not change it.
    """
    digest = hashlib.sha256()
    for path in sorted((checkout / "course_lib").rglob("*.py")):
        digest.update(f"{path.relative_to(checkout).as_posix()}\n{path.read_text(encoding='utf-8')}\0".encode())
    notebook = checkout / "notebooks" / f"{lesson}.ipynb"
    if notebook.exists():
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                digest.update(("".join(cell["source"]) + "\0").encode())
    return digest.hexdigest()


def machine_slug(machine: Mapping) -> str:
    """A name for a kind of machine that can be a file name: "cpu-2-cores-intel-xeon-2.50ghz", "cuda-nvidia-h200"."""
    if machine["device"] == "cpu":
        words = f"cpu {machine.get('cores', '')} cores {re.sub(r'(?i)cpu|processor', ' ', machine.get('cpu', ''))}"
    else:
        words = f"{machine['device']} {machine.get('gpu', '')}"
    words = re.sub(r"(?i)\((r|tm|c)\)", " ", words)
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-.")[:80]


def references(folder: Path = REFERENCE) -> dict[str, list[Result]]:
    """The results that the course ships, by machine (its slug)."""
    return {path.stem: Store(path, Result).read() for path in sorted(Path(folder).glob("*.jsonl"))}


def promote(results: Iterable[Result], folder: Path = REFERENCE) -> Path:
    """Make these results of one machine its shipped reference, and return the file, which is replaced in one step.

    They replace its records of the same lessons; those of other lessons stay. Raises ValueError for none or for those
    of two machines.
    """
    results = list(results)
    slugs = sorted({machine_slug(result.machine) for result in results})
    if len(slugs) != 1:
        raise _refused("results", slugs, "one or more results, all of one machine")
    path = Path(folder) / f"{slugs[0]}.jsonl"
    fresh = latest(results)
    lessons = {result.lesson for result in fresh}
    kept = [result for result in Store(path, Result).read() if result.lesson not in lessons]
    lines = [result.to_json() + "\n" for result in sorted(kept + fresh, key=lambda result: result.lesson)]
    write_whole(path, "".join(lines).encode())
    return path


def missing(results: Iterable[Result], expected: Mapping[str, Sequence[str]]) -> list[str]:
    """The "(lesson, variant)" that `expected` (lesson -> its variants) names and `results` lack; [] when complete."""
    present = {(result.lesson, result.variant) for result in results}
    wanted = [(lesson, variant) for lesson, variants in expected.items() for variant in variants]
    return [f"({lesson}, {variant})" for lesson, variant in wanted if (lesson, variant) not in present]


def _refused(field: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{field}: {value!r} is not allowed; it is {allowed}")


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise _refused(field, value, "a text that is not empty")


def _check_time(value: object) -> None:
    try:
        utc = datetime.fromisoformat(value).utcoffset() == timedelta(0)
    except (TypeError, ValueError):
        utc = False
    if not utc:
        raise _refused("time", value, "ISO-8601 in UTC, for instance 2026-01-31T12:00:00+00:00")


def _finite(field: str, value: object, allowed: str = "a finite number") -> float:
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        with contextlib.suppress(OverflowError):  # a whole number beyond the largest float
            if math.isfinite(value):
                return float(value)
    raise _refused(field, value, allowed)


def _flat(field: str, value: object, required: Sequence[str] = ()) -> dict:
    if not isinstance(value, Mapping):
        raise _refused(field, value, "a dictionary from names to texts, numbers and truth values")
    for name in required:
        if name not in value:
            raise ValueError(f"{field}: {name!r} is missing; it has {', '.join(map(repr, required))} at least")
    for name in value:
        _check_text(f"{field}: name", name)
    return {name: _scalar(f"{field}[{name!r}]", entry) for name, entry in value.items()}


def _scalar(field: str, value: object) -> bool | int | float | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)  # torch.__version__ is a text of a class of its own
    if isinstance(value, numbers.Integral):
        return int(value)
    return _finite(field, value, "a text, a finite number, True or False")


def _measured(values: object) -> dict[str, tuple[float, ...]]:
    if not isinstance(values, Mapping) or not values:
        raise _refused("values", values, "a dictionary from metrics to all their repeats, with one metric or more")
    return {metric: _repeats(metric, repeats) for metric, repeats in values.items()}


def _repeats(metric: object, repeats: object) -> tuple[float, ...]:
    _check_text("values: name", metric)
    if isinstance(repeats, numbers.Real):
        repeats = (repeats,)
    if not isinstance(repeats, Iterable) or isinstance(repeats, (str, Mapping)) or not (repeats := tuple(repeats)):
        raise _refused(f"values[{metric!r}]", repeats, "a list of finite numbers, one or more")
    return tuple(_finite(f"values[{metric!r}]", value) for value in repeats)


def _units(units: object, metrics: Iterable[str]) -> dict[str, str]:
    if not isinstance(units, Mapping):
        raise _refused("units", units, "a dictionary from metrics to their units")
    for metric in metrics:
        _check_text(f"units[{metric!r}]", units.get(metric))
    return {metric: units[metric] for metric in metrics}
