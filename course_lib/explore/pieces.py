"""What the widgets share: pictures that carry their alternative text, callbacks whose errors are seen, a choice of nothing."""

import functools
import html
import traceback
from collections.abc import Callable

import ipywidgets as widgets
import traitlets

NOTHING = -1  # the value of the choice "nothing" in a menu: None would be "no choice was made", and the menu would go blank


class LabelledImage(widgets.Image):
    """A PNG with alternative text, as the title of the image.

    The front end sets the title from `tooltip`, but only where the widget has a description: an Image of its own has
    none, and would not be shown at all.
    """

    description = traitlets.Unicode("").tag(sync=True)

    def __init__(self):
        super().__init__(format="png", layout={"max_width": "100%", "align_self": "flex-start"})

    def show(self, png: bytes, alt: str) -> None:
        """Replace the picture and its alternative text in one message."""
        with self.hold_sync():
            self.value, self.tooltip = png, alt


def guarded(note: widgets.HTML, callback: Callable) -> Callable:
    """The callback, with its exception shown in `note` (and the note emptied when it succeeds).

    Without this a callback's error would reach only the log of the kernel, where no learner looks.
    """

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
