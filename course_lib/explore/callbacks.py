"""What goes wrong in a widget's callback must reach the learner: a front end shows such errors nowhere by itself."""

import functools
import html
import traceback
from collections.abc import Callable

import ipywidgets as widgets


def guarded(note: widgets.HTML, callback: Callable) -> Callable:
    """The callback, with its exception shown in `note` (and the note emptied when it succeeds)."""

    @functools.wraps(callback)
    def call(*arguments):
        try:
            callback(*arguments)
        except Exception as error:  # whatever it is, the learner sees it
            summary = html.escape(f"{type(error).__name__}: {error}")
            details = html.escape("".join(traceback.format_exception(error)))
            note.value = (
                f'<div role="alert"><b>This went wrong:</b> {summary}'
                f"<details><summary>Details</summary><pre>{details}</pre></details></div>"
            )
        else:
            note.value = ""

    return call
