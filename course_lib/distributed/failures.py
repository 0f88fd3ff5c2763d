"""Tell from the files that the ranks of a launch left which of them failed first, and why.

A rank leaves, in the folder of its attempt: process (its id), output, and then finished, or failure.json with why and when
it failed, or stack, where it was when the launcher ended it because of another; a rank that is killed leaves none of them.
"""

import json
import re
import signal
from pathlib import Path

from . import processes

LINES = 15  # of a rank's output in an error
_WAITED = r"timed? ?out"
_LOST = r"connection (was )?(closed|reset|refused|aborted)|broken pipe|closed by peer|remote process exited"


class RankError(RuntimeError):
    """A launch failed. `ranks` are the numbers of those at fault."""

    def __init__(self, message: str, ranks: list[int]):
        super().__init__(message)
        self.ranks = ranks


def attempts(folder: Path) -> list[Path]:
    """Return the folders of the attempts so far, oldest first."""
    return sorted(folder.glob("attempt-*"), key=number_of)


def last_attempt(folder: Path) -> Path:
    """Return the folder of the last attempt, whether or not one has begun."""
    return (attempts(folder) or [folder / "attempt-0"])[-1]


def number_of(path: Path) -> int:
    """Return the number in the name of an attempt's or a rank's folder."""
    return int(path.name.rpartition("-")[2])


def failed(attempt: Path) -> bool:
    """Whether a rank of this attempt has failed: by its own note, or because its process is gone too early."""
    for place in attempt.glob("rank-*"):
        began = place / "process"
        gone = began.exists() and not processes.exists(int(began.read_text()))
        if (place / "failure.json").exists() or (gone and not (place / "finished").exists()):
            return True
    return False


def unfinished(attempt: Path, ranks: int) -> list[int]:
    """Return the ranks that have neither finished nor said that they failed."""
    places = [attempt / f"rank-{number}" for number in range(ranks)]
    return [i for i, place in enumerate(places) if not (place / "finished").exists() and not (place / "failure.json").exists()]


def named(ranks: list[int]) -> str:
    """Return "rank 0", "ranks 0 and 1" or "no rank"."""
    if len(ranks) < 2:
        return f"rank {ranks[0]}" if ranks else "no rank"
    return f"ranks {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"


def explained(folder: Path, ranks: int, ended: str | None) -> RankError:
    """Return the error of a failed launch; `ended` says of its ranks why it was ended before one of them failed, if it was.

    The first cause is looked for, in this order: an exception of a rank's own; a rank that was killed; a rank for which
    the others waited in vain; and only then a rank whose connection to another was lost, as that follows from the rest.
    """
    attempt = last_attempt(folder)
    notes = _notes(attempt)
    codes = _codes(folder, notes)
    silent = {number: code for number, code in codes.items() if not (code < 0 and _stack(attempt / f"rank-{number}"))}
    missing = [number for number in unfinished(attempt, ranks) if number not in silent]
    waited = [number for number in notes if kind(notes[number]["error"]) == "waited"]
    waited += [number for number in range(ranks) if number not in notes and _aborted_by_watchdog(attempt, number)]
    missing = [number for number in missing if number not in waited]
    own = [number for number in notes if kind(notes[number]["error"]) == "own"]
    if own:
        return _raised(own[0], notes)
    if killed := {number: code for number, code in silent.items() if number not in waited}:
        return _died(attempt, killed)
    if (waited and missing) or len(waited) > 1:
        crossed = all(_in_collective(attempt, number) for number in missing)
        return _crossed(attempt, sorted(waited + missing), notes) if crossed else _hung(attempt, missing, waited)
    if notes:
        return _raised(next(iter(notes)), notes)
    if ended is not None:
        stuck = [number for number in missing if not _in_collective(attempt, number)] or missing  # the rest waits for these
        return RankError("\n".join([f"{named(stuck)} {ended}", *_places(attempt, missing)]), stuck)
    if codes:  # someone else asked a rank to end, and the launcher then the others
        first = min(codes, key=lambda number: (attempt / f"rank-{number}" / "stack").stat().st_mtime)
        return _died(attempt, {first: codes[first]})
    return RankError("the launcher failed before a rank did:\n" + _tail(folder / "launcher.log"), [])


def culprits(attempt: Path) -> list[int]:
    """Return, for an attempt that was given up, the ranks that seem to have failed of themselves."""
    notes = _notes(attempt)
    own = [number for number in notes if kind(notes[number]["error"]) == "own"]
    places = [path for path in attempt.glob("rank-*") if not (path / "finished").exists()]
    killed = [number_of(path) for path in places if number_of(path) not in notes and not _stack(path)]
    return own[:1] or sorted(killed) or list(notes)[:1]


def kind(error: str) -> str:
    """Return "waited" or "lost" for an error that torch raises because of another rank, else "own"."""
    if re.match(r"(RuntimeError|Dist\w*Error)\b", error):
        for pattern, name in ((_LOST, "lost"), (_WAITED, "waited")):
            if re.search(pattern, error, re.I):
                return name
    return "own"


def _notes(attempt: Path) -> dict[int, dict]:
    """Return the notes of the ranks that failed, by rank, the earliest first."""
    paths = attempt.glob("rank-*/failure.json")
    notes = {number_of(path.parent): json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return dict(sorted(notes.items(), key=lambda item: item[1]["time"]))


def _codes(folder: Path, notes: dict) -> dict[int, int]:
    """Return the exit codes of the ranks that failed without a note; that of one ended by signal n is -n."""
    path = folder / "codes.json"
    codes = json.loads(path.read_text()) if path.exists() else {}
    return {int(number): code for number, code in codes.items() if int(number) not in notes}


def _aborted_by_watchdog(attempt: Path, number: int) -> bool:
    """Whether NCCL's watchdog, which raises nothing, has ended a rank that waited too long for the others."""
    return "Watchdog caught collective operation timeout" in _tail(attempt / f"rank-{number}" / "output")


def _in_collective(attempt: Path, number: int) -> bool:
    """Whether a rank that was asked to end stood in a collective: then it waited for others."""
    return "distributed_c10d.py" in _stack(attempt / f"rank-{number}")


def _raised(number: int, notes: dict) -> RankError:
    note = notes[number]
    return RankError(f"rank {number} failed: {note['error']}\n\n{note['trace']}", [number])


def _died(attempt: Path, codes: dict[int, int]) -> RankError:
    lines = []
    for number, code in codes.items():
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        tail = _tail(attempt / f"rank-{number}" / "output")
        lines.append(f"rank {number} {how}" + (f"; its last lines:\n{tail}" if tail else "; it had printed nothing"))
    return RankError("\n".join(lines), list(codes))


def _hung(attempt: Path, missing: list[int], waited: list[int]) -> RankError:
    head = f"{named(missing)} hung: {named(waited)} waited in vain, in a collective, which all ranks must call"
    lines = [f"rank {number}'s last lines:\n{_tail(attempt / f'rank-{number}' / 'output')}" for number in waited[:1]]
    return RankError("\n".join([head, *_places(attempt, missing), *lines]), missing)


def _crossed(attempt: Path, ranks: list[int], notes: dict) -> RankError:
    head = f"{named(ranks)} waited for each other in vain: all ranks must call the same collectives in the same order"
    lines = []
    for number in ranks:
        if number in notes:
            lines += [f"rank {number} waited here:", *notes[number]["trace"].splitlines()[1:3]]
        else:
            lines += _places(attempt, [number])
    return RankError("\n".join([head, *lines]), ranks)


def _places(attempt: Path, ranks: list[int]) -> list[str]:
    """Return where each of `ranks` was when it was asked to end, and what it had printed."""
    lines = []
    for number in ranks:
        place = attempt / f"rank-{number}"
        stack = _stack(place)
        lines.append(f"rank {number} was here:\n{stack}" if stack else f"rank {number} did not say where it was")
        if tail := _tail(place / "output"):
            lines.append(f"its last lines:\n{tail}")
    return lines


def _stack(place: Path) -> str:
    """Return where a rank was when it was asked to end, the innermost call first, "" if it did not say."""
    stack = place / "stack"
    text = stack.read_text(encoding="utf-8", errors="replace") if stack.exists() else ""
    return text.split('  File "<frozen runpy>"')[0].rstrip()  # below that: how the worker was started


def _tail(path: Path) -> str:
    """Return the last lines of a file, "" where there is none."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LINES:])
