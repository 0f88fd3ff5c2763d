"""The README's picture, as SVG written by hand: the same records give the same bytes on every machine."""

import math
from collections.abc import Sequence
from html import escape

from course_lib.records import Result

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 560, 60, 350  # the frame of the plot
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito: told apart by every kind of eye


def claim_against_measurement(sweep: Sequence[Result]) -> str:
    """Frames per second by batch size: as 1 / (time of a call) has it, and as measured. `sweep`: lesson 01's results of
    one network, by batch size, with the metrics "latency" (s) and "throughput" (frames/s)."""
    batches = [result.knobs["batch"] for result in sweep]
    measured = [result.median("throughput") for result in sweep]
    claimed = [1 / result.median("latency") for result in sweep]
    decades = range(math.floor(math.log10(min(claimed))), math.ceil(math.log10(max(measured))) + 1)

    def x(batch: float) -> float:
        return LEFT + (RIGHT - LEFT) * math.log(batch / batches[0]) / math.log(batches[-1] / batches[0])

    def y(rate: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (math.log10(rate) - decades[0]) / (decades[-1] - decades[0])

    factor = measured[-1] / claimed[-1]
    machine = sweep[0].machine
    subject = f"small_cnn, random 16 x 16 frames, on {machine['cpu']}, {machine['threads']} thread"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="14">',
        f"<title>Frames per second by batch size: claimed and measured, {factor:.0f} times apart at {batches[-1]}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 26, "Frames per second: 1 / total time, and measured", size=18),
        _text(LEFT, 46, subject, GREY, size=12),
    ]
    for decade in decades:
        level = y(10**decade)
        parts.append(f'<path d="M{LEFT} {level:.1f}H{RIGHT}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 8, level + 5, f"{10**decade:,}", GREY, anchor="end"))
    parts += [_text(x(batch), BOTTOM + 22, f"{batch}", GREY, anchor="middle") for batch in batches]
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 48, "frames in one call (batch size)", anchor="middle"))
    for rates, colour, mark, label in (
        (measured, BLUE, _circle, "measured throughput"),
        (claimed, ORANGE, _square, "the claim: 1 / total time"),
    ):
        places = [(x(batch), y(rate)) for batch, rate in zip(batches, rates, strict=True)]
        line = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [mark(across, up, colour) for across, up in places]
        parts.append(_text(RIGHT + 14, places[-1][1] + 5, label, colour))
    middle = (y(measured[-1]) + y(claimed[-1])) / 2
    parts.append(_text(RIGHT + 14, middle + 5, f"{factor:,.0f} times apart"))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, colour: str = "black", size: int = 14, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}">{escape(text)}</text>'


def _circle(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'


def _square(x: float, y: float, colour: str) -> str:
    return f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{colour}"/>'
