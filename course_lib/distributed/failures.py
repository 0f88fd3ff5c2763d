"""Tell from the files that the ranks of a launch left which of them failed first, and why."""

import json
import re
import signal
from pathlib import Path

LINES = 15  # of a rank's output in an error


class RankError(RuntimeError):
    """A launch failed. `ranks` are the numbers of those at fault."""

    def __init__(self, message: str, ranks: list[int]):
        super().__init__(message)
        self.ranks = ranks


def attempts(folder: Path) -> list[Path]:
    """Return the folders of the attempts so far, oldest first."""
    return sorted(folder.glob("attempt-*"), key=lambda path: int(path.name.removeprefix("attempt-")))


def last_attempt(folder: Path) -> Path:
    """Return the folder of the last attempt, whether or not one has begun."""
    return (attempts(folder) or [folder / "attempt-0"])[-1]


def noted(folder: Path) -> bool:
    """Whether a rank of the last attempt has left a note that it failed."""
    return any(last_attempt(folder).glob("rank-*/failure.json"))


def unfinished(folder: Path, ranks: int) -> list[int]:
    """Return the ranks of the last attempt that have neither finished nor said that they failed."""
    places = [last_attempt(folder) / f"rank-{number}" for number in range(ranks)]
    return [i for i, place in enumerate(places) if not (place / "finished").exists() and not (place / "failure.json").exists()]


def named(ranks: list[int]) -> str:
    """Return "rank 0", "ranks 0 and 1" or "no rank"."""
    if not ranks:
        return "no rank"
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    return f"ranks {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"


def explained(folder: Path, ranks: int, timeout: float | None) -> RankError:
    """Return the error of a failed launch; `timeout` is the seconds that it was given, if they have run out.

    The first cause is looked for, in this order: an exception of a rank's own; a rank that was killed; a rank for which
    the others waited in vain; and only then a rank whose connection to another was lost, as that follows from the rest.
    """
    attempt = last_attempt(folder)
    notes = {}
    for path in attempt.glob("rank-*/failure.json"):
        notes[int(path.parent.name.removeprefix("rank-"))] = json.loads(path.read_text(encoding="utf-8"))
    codes = json.loads((folder / "codes.json").read_text()) if (folder / "codes.json").exists() else {}
    silent = {int(key): code for key, code in codes.items() if int(key) not in notes and code != -signal.SIGTERM}
    missing = unfinished(folder, ranks)
    by_time = sorted(notes, key=lambda number: notes[number]["time"])
    kinds = {number: _kind(notes[number]["error"]) for number in by_time}

    own = [number for number in by_time if kinds[number] == "own"]
    waited = [number for number in by_time if kinds[number] == "waited"]
    if own:
        return _raised(own[0], notes)
    if silent:
        return _died(attempt, silent)
    if waited and missing:
        head = f"{named(missing)} hung: {named(waited)} waited in vain, in a collective, which all ranks must call"
        return RankError("\n".join([head, *_places(attempt, missing), "", notes[waited[0]]["trace"]]), missing)
    if by_time:
        return _raised(by_time[0], notes)
    if timeout is not None:
        head = f"{named(missing)} had not finished after {timeout:g} s (timeout={timeout:g})"
        return RankError("\n".join([head, *_places(attempt, missing)]), missing)
    return RankError("the launcher failed before a rank did:\n" + _tail(folder / "launcher.log"), [])


def _kind(error: str) -> str:
    """Return "waited" or "lost" for an error that torch raises because of another rank, else "own"."""
    if re.match(r"(RuntimeError|Dist\w*Error)\b", error):
        if re.search(r"timed? ?out", error, re.I):
            return "waited"
        if re.search(r"connection (was )?(closed|reset|refused)|broken pipe|closed by peer", error, re.I):
            return "lost"
    return "own"


def _raised(number: int, notes: dict) -> RankError:
    note = notes[number]
    return RankError(f"rank {number} failed: {note['error']}\n\n{note['trace']}", [number])


def _died(attempt: Path, silent: dict[int, int]) -> RankError:
    lines = []
    for number, code in silent.items():
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        tail = _tail(attempt / f"rank-{number}" / "output")
        lines.append(f"rank {number} {how}" + (f"; its last lines:\n{tail}" if tail else "; it had printed nothing"))
    return RankError("\n".join(lines), list(silent))


def _places(attempt: Path, ranks: list[int]) -> list[str]:
    """Return where each of `ranks` was when it was asked to end."""
    lines = []
    for number in ranks:
        place = attempt / f"rank-{number}"
        stack = _tail(place / "stack").split('  File "<frozen runpy>"')[0].rstrip()  # behind that: how the worker was started
        lines.append(f"rank {number} was here:\n{stack}" if stack else f"rank {number} did not say where it was")
        if tail := _tail(place / "output"):
            lines.append(f"its last lines:\n{tail}")
    return lines


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LINES:])
