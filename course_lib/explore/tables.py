"""Records as a table: HTML in a notebook, aligned Markdown wherever text is printed."""

import html
import statistics
from collections.abc import Iterable, Sequence

from course_lib import measure, records

from .labels import data_name, machine_name, span, words
from .points import interval


class Table:
    """A header, rows of text and a caption. Shows as HTML in a notebook; `str()` is aligned Markdown."""

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = ""):
        self.header, self.rows, self.caption = list(header), [list(row) for row in rows], caption

    def __str__(self) -> str:
        lines = [[cell.replace("|", "\\|") for cell in line] for line in (self.header, *self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        padded.insert(1, ["-" * width for width in widths])
        text = "\n".join(f"| {' | '.join(line)} |" for line in padded)
        return f"{text}\n\n{self.caption}" if self.caption else text

    __repr__ = _repr_markdown_ = __str__

    def _repr_html_(self) -> str:
        sides = [_side(row[column] for row in self.rows) for column in range(len(self.header))]
        head = self._html_row("th scope='col'", self.header, sides)
        body = "".join(self._html_row("td", row, sides) for row in self.rows)
        style = "text-align: left; white-space: nowrap"
        caption = f'<caption style="{style}">{html.escape(self.caption)}</caption>' if self.caption else ""
        return f"<table style='margin-left: 0'>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"

    def _html_row(self, tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
        pairs = zip(cells, sides, strict=True)
        inside = (f"<{tag} style='text-align: {side}'>{html.escape(cell)}</{tag[:2]}>" for cell, side in pairs)
        return f"<tr>{''.join(inside)}</tr>"


def results_table(results: Sequence[records.Result], metrics: Sequence[str]) -> Table:
    """One row a result: variant, knobs, and for each metric the median of its repeats with that median's 95 % interval.

    The caption names machine and data. A metric that a result lacks shows as "-". Raises ValueError for a metric that
    no result has.
    """
    known = list(dict.fromkeys(name for result in results for name in result.values))
    for name in metrics:
        if results and name not in known:
            raise ValueError(f"metrics: {name!r} is in none of the results; allowed: {', '.join(known)}")
    knobs = list(dict.fromkeys(name for result in results for name in result.knobs))
    rows = [
        [words(result.variant)]
        + [setting(result.knobs[name]) if name in result.knobs else "-" for name in knobs]
        + [cell(result, name) for name in metrics]
        for result in results
    ]
    return Table(["variant", *map(words, [*knobs, *metrics])], rows, _caption(results))


def medians(results: Iterable[records.Result]) -> str:
    """What stands in a cell, in a sentence. A bootstrap of fewer than MIN_PAIRS values can only return their range."""
    few = any(1 < len(values) < measure.MIN_PAIRS for result in results for values in result.values.values())
    return f"Medians with 95 % intervals{f' (of fewer than {measure.MIN_PAIRS} values: their range)' if few else ''}."


def _side(cells: Iterable[str]) -> str:
    """Numbers to the right, so that their digits stand below each other; text to the left."""
    return "right" if all(cell == "-" or cell.lstrip("-")[:1].isdigit() for cell in cells) else "left"


def setting(value) -> str:
    """A knob's value as text: True is "on", False is "off"."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def cell(result: records.Result, metric: str) -> str:
    """The median of a metric's repeats with its interval and unit; "-" where the result has no such metric."""
    if metric not in result.values:
        return "-"
    values, unit = result.values[metric], result.units[metric]
    return span(statistics.median(values), *interval(values), unit)


def _caption(results: Sequence[records.Result]) -> str:
    if not results:
        return "No records yet."
    machines = ", ".join(dict.fromkeys(machine_name(result.machine) for result in results))
    data = data_name(results)
    return f"Machine: {machines}." + (f" Data: {data}." if data else "") + f" {medians(results)}"
