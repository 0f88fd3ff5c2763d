"""The ledger as rows, as a page and as CSV."""

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.ledger.finding import NOT_RUN, Finding
from course_lib.store import write_whole

COLUMNS = ("id", "claim", "source", "lesson", "reference figure", "reference verdict", "your figure", "your verdict", "verdict")
# Signs stand beside the words of a verdict, never instead of them.
SIGNS = {"holds when": "◐", "holds for": "◐", "holds": "●", "does not hold": "○", "wrong": "✗"}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.4em .6em;border-bottom:1px solid #767676}"
    "th{position:sticky;top:0;background:#fff}td:last-child{font-weight:600}"
)


@dataclass(frozen=True)
class Row:
    """One claim with what was found about it on the reference machine and on the learner's own."""

    claim: str
    says: str
    source: str
    lesson: str
    reference: Finding
    yours: Finding

    @property
    def verdict(self) -> str:
        """The learner's own, once there is one; until then the reference's."""
        return self.reference.verdict if self.yours.verdict == NOT_RUN else self.yours.verdict

    @property
    def kind(self) -> str:
        """The verdict without the cases that it names."""
        return kind(self.verdict)

    def cells(self) -> list[str]:
        """What stands under COLUMNS."""
        own, shipped = self.yours, self.reference
        found = [shipped.figure, shipped.verdict, own.figure, own.verdict, self.verdict]
        return [self.claim, self.says, self.source, self.lesson, *found]


def kind(verdict: str) -> str:
    """The verdict without the cases that it names: "holds when ..." for all of those."""
    return "holds when ..." if verdict.startswith(("holds when ", "holds for ")) else verdict


def signed(verdict: str) -> str:
    """The verdict with a sign in front, so that a column of them can be read at a glance."""
    return next((f"{sign} {verdict}" for words, sign in SIGNS.items() if verdict.startswith(words)), f"· {verdict}")


def table(rows: Sequence[Row]) -> str:
    """The rows as an HTML table: each claim with both figures and its verdict."""
    lines = ["<table><caption>What was claimed, and what was found</caption>"]
    names = ("claim", "lesson", "reference figure", "your figure", "verdict")
    lines.append("<thead><tr>" + "".join(f'<th scope="col">{name}</th>' for name in names) + "</tr></thead><tbody>")
    for row in rows:
        cells = [f"<b>{row.claim}</b> {html.escape(row.says)}", html.escape(row.lesson or "-")]
        cells += [html.escape(found.figure or found.verdict) for found in (row.reference, row.yours)]
        cells.append(html.escape(signed(row.verdict)))
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def page(rows: Sequence[Row], reference: str, yours: str) -> str:
    """A whole page, readable without this course: `reference` and `yours` describe the two machines in one line."""
    sources = sorted({(row.claim[0], row.source) for row in rows})
    named = "".join(f"<li>{letter}: {html.escape(title)}</li>" for letter, title in sources)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>The ledger of claims</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>The ledger of claims</h1>\n"
        f"<p>Reference: {html.escape(reference)}.<br>Yours: {html.escape(yours)}.</p>\n"
        f"<p>The claims, in our words, are from:</p><ul>{named}</ul>\n{table(rows)}\n</body></html>\n"
    )


def write_csv(rows: Sequence[Row], path: str | Path) -> Path:
    """Write the rows with a line of COLUMNS before them; the file appears whole or not at all. Returns its path."""
    path, text = Path(path), io.StringIO()
    csv.writer(text).writerows([COLUMNS, *(row.cells() for row in rows)])
    write_whole(path, text.getvalue().encode())
    return path
