"""The README's picture, as SVG written by hand: the same records give the same bytes on every machine."""

from collections.abc import Sequence
from html import escape
from statistics import median

from course_lib.explore.palette import BLUE, GREY
from course_lib.intervals import bootstrap_interval, mean_interval
from course_lib.records import Result

WIDTH, ROW = 860, 38
LEFT, RIGHT, TOP = 150, 560, 104  # the frame of the bars; below it one row of ROW a rung
LOST, FATE = 690, 720  # where the points lost end, and where "stays" begins
PALE = "#BFD9EA"  # with an outline, since it is faint on white
NOTES = (
    "Seconds to the target: start + steps to the target, of each seed, x measured seconds a step. Points lost: of accuracy,",
    "against the baseline, mean and 95 % interval over the seeds; 0 where a technique changes the seconds and not the steps.",
)
HATCH = (
    '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="8" height="8" fill="white"/><path d="M0 0V8" stroke="{BLUE}" stroke-width="3"/></pattern></defs>'
)


def waterfall(rungs: Sequence[Result], together: Result) -> str:
    """The ladder of lesson 90: a bar a rung, its time to target (s), hatched where the technique was taken out again.

    `rungs`: one task's results, the baseline first, with the metrics "time_to_target" (s), "lost" (points, one a seed) and
    "kept"; `together`: what the rungs that stayed come to, with "speedup" and "lost". A bar is the median over the seeds,
    its whisker the 95 % interval of the median. The frame ends where the rungs that stayed need it to: a longer bar is cut.
    """
    stayed = [result for result in rungs if result.median("kept")]
    limit = 1.25 * max(bootstrap_interval(result.values["time_to_target"])[1] for result in stayed)
    machine, seeds = rungs[0].machine, len(rungs[0].values["time_to_target"])
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread"
    bottom = TOP + ROW * (len(rungs) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 90}" font-family="sans-serif" font-size="14">',
        f"<title>{escape(told(rungs, together))}</title>{HATCH}",
        f'<rect width="{WIDTH}" height="{bottom + 90}" fill="white"/>',
        _text(
            16, 30, f"The same training, {together.median('speedup'):.1f} times as fast to its target", size=19, weight="bold"
        ),
        _text(16, 52, f"Photographs, {seeds} seeds, {where}. Each technique on top of those that stayed.", GREY, size=13),
        _text(LEFT, TOP - 14, "seconds to the target (less is better)", GREY, size=13),
        _text(LOST, TOP - 14, "points lost", GREY, size=13, anchor="end"),
        f'<path d="M16 {TOP - 4}H{WIDTH - 16}" stroke="#cccccc"/>',
    ]
    before = None
    for row, result in enumerate(rungs):
        parts += _rung(result, before, TOP + ROW * row, limit)
        before = result if result.median("kept") else before
    parts += _total(before, together, TOP + ROW * len(rungs), limit)
    return "\n".join([*parts, *_legend(bottom + 34), "</svg>", ""])


def told(rungs: Sequence[Result], together: Result) -> str:
    """The picture in words."""
    bars = [f"{_name(r)} {r.median('time_to_target'):.2f} s{'' if r.median('kept') else ' (taken out)'}" for r in rungs]
    factor = f"{together.median('speedup'):.1f}"
    return f"Waterfall of the seconds to the target: {', '.join(bars)}; what stayed is {factor} times as fast as the baseline"


def lost(result: Result) -> str:
    """Points of accuracy lost against the baseline: mean and 95 % interval; a bare 0 where no seed differs."""
    mean, half = mean_interval(result.values["lost"])
    return f"{mean:+.1f} ± {half:.1f}" if mean or half else "0"


def _name(result: Result) -> str:
    return result.knobs["step"].replace("_", " ")


def _rung(result: Result, before: Result | None, top: float, limit: float) -> list[str]:
    """One row: `before` is the last rung that stayed, None for the baseline itself."""
    kept, values = bool(result.median("kept")), result.values["time_to_target"]
    parts = [_text(16, top + 24, _name(result))]
    if before is not None and kept:  # what it won
        parts.append(_bar(before.median("time_to_target"), top, limit, PALE))
    parts += _bar_with_whisker(values, top, limit, BLUE if kept else "url(#hatch)")
    if before is None:
        return parts
    level = _x(before.median("time_to_target"), limit)
    parts.append(f'<path d="M{level:.1f} {top - 7}V{top + ROW - 7}" stroke="{GREY}" stroke-dasharray="3 3"/>')
    fate = "stays" if kept else "taken out again"
    return [*parts, _text(LOST, top + 24, lost(result), anchor="end"), _text(FATE, top + 24, fate)]


def _total(last: Result, together: Result, top: float, limit: float) -> list[str]:
    """The bottom row: what stayed, with its factor and the interval of that."""
    factors = together.values["speedup"]
    low, high = bootstrap_interval(factors)
    said = f"{median(factors):.1f} times as fast, 95 % interval {low:.1f} to {high:.1f}"
    seconds = last.median("time_to_target")
    return [
        f'<path d="M16 {top + 1}H{WIDTH - 16}" stroke="#cccccc"/>',
        _text(16, top + 25, "what stayed", weight="bold"),
        _bar(seconds, top + 1, limit, BLUE),
        _text(_x(seconds, limit) + 8, top + 25, said, weight="bold"),
        _text(LOST, top + 25, lost(together), weight="bold", anchor="end"),
    ]


def _bar_with_whisker(values: Sequence[float], top: float, limit: float, fill: str) -> list[str]:
    middle, (low, high) = median(values), bootstrap_interval(values)
    if middle > limit:  # out of all proportion: the bar is cut, its number stands there
        torn = f'<path d="M{RIGHT - 22} {top + 35}l6 -32h8l-6 32z" fill="white"/>'
        plate = f'<rect x="{RIGHT - 130}" y="{top + 9}" width="92" height="20" fill="white"/>'
        said = _text(RIGHT - 84, top + 24, f"{middle:.1f} s (cut)", anchor="middle")
        return [_bar(limit, top, limit, fill), torn, plate, said]
    ends, level = (_x(low, limit), min(_x(high, limit), RIGHT)), top + 19
    whisker = f'<path d="M{ends[0]:.1f} {level}H{ends[1]:.1f}M{ends[0]:.1f} {level - 5}v10M{ends[1]:.1f} {level - 5}v10" '
    said = _text(max(ends[1], _x(middle, limit)) + 8, top + 24, f"{middle:.2f} s")
    return [_bar(middle, top, limit, fill), f'{whisker}stroke="black" stroke-width="1.5"/>', said]


def _legend(y: float) -> list[str]:
    parts, x = [], 16
    for fill, label, width in (
        (BLUE, "stays", 78),
        (PALE, "what it won", 118),
        ("url(#hatch)", "taken out again: no sure gain, or accuracy in doubt", 376),
    ):
        parts.append(f'<rect x="{x}" y="{y - 12}" width="20" height="14" fill="{fill}" stroke="{BLUE}"/>')
        parts.append(_text(x + 27, y, label, GREY, size=13))
        x += width
    parts.append(_text(x, y, "whisker: 95 % interval of the median", GREY, size=13))
    for line, note in enumerate(NOTES, 1):
        parts.append(_text(16, y + 4 + 20 * line, note, GREY, size=12))
    return parts


def _x(seconds: float, limit: float) -> float:
    return LEFT + (RIGHT - LEFT) * seconds / limit


def _bar(seconds: float, top: float, limit: float, fill: str) -> str:
    wide = _x(seconds, limit) - LEFT
    return f'<rect x="{LEFT}" y="{top + 7}" width="{wide:.1f}" height="24" fill="{fill}" stroke="{BLUE}"/>'


def _text(x: float, y: float, text: str, colour: str = "black", size: int = 14, weight: str = "", anchor: str = "start") -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}"{bold} fill="{colour}">{escape(text)}</text>'
