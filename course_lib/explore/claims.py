"""The ledger of claims as a widget: which reference stands beside the learner's figures, and which verdicts are shown."""

import ipywidgets as widgets

from course_lib import device, ledger, records

from .pieces import guarded

ALL = "all"


def claims() -> "Claims":
    """The ledger as a widget. `ledger.table(ledger.rows(...))` is the same content without one.

    Raises ValueError when the course ships no reference.
    """
    return Claims(records.my_store().read(), records.references())


class Claims(widgets.VBox):
    """Two menus, and below them a table: `machine` chooses the reference, `verdict` the kind that is shown."""

    def __init__(self, own: list[records.Result], references: dict[str, list[records.Result]]):
        if not references:
            raise ValueError("references: the course ships none; `make reference` records one")
        self._own, self._references = own, references
        self.machine = widgets.Dropdown(options=list(references), description="reference")
        self.verdict = widgets.Dropdown(description="verdict")
        self.table, self.note = widgets.HTML(), widgets.HTML()
        self._rows = []
        self.machine.observe(guarded(self.note, self._choose), names="value")
        self.verdict.observe(guarded(self.note, self._show), names="value")
        self._choose()
        super().__init__([widgets.HBox([self.machine, self.verdict]), self.note, self.table])

    def _choose(self, _=None):
        self._rows = ledger.rows(self._own, self._references[self.machine.value])
        chosen = self.verdict.value
        self.verdict.options = [ALL, *sorted({row.kind for row in self._rows})]
        self.verdict.value = chosen if chosen in self.verdict.options else ALL
        self._show()

    def _show(self, _=None):
        kind = self.verdict.value
        rows = [row for row in self._rows if kind in (ALL, row.kind)]
        machine = self._references[self.machine.value][-1].machine
        said = f"{len(rows)} of {len(self._rows)} claims; reference recorded on {device.one_line(machine)}"
        self.table.value = f"<p>{said}</p>{ledger.table(rows)}"
