"""Predictions: commit to a guess, and only then see what was measured."""

import html
import math
import os
import threading
from datetime import datetime

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from course_lib import records

from .figures import prediction_figure
from .labels import amount, number
from .pieces import LabelledImage, guarded

LEADING = (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9)
LOCKED = "Commit your prediction above to see this."


def predict(lesson: str, question: str, *, unit: str, low: float, high: float, default: float, log: bool = False) -> "Guess":
    """Ask for a guess between `low` and `high` (in `unit`) and return it as a Guess; `log`: a logarithmic slider.

    In a notebook that a person has open this shows a slider and a button, and returns at once: nothing waits, but what
    the Guess reveals stays locked until the button is pressed. An earlier prediction for the same question is offered
    again. In a headless run the default is committed at once, in one printed line. Every commit is stored as a
    `records.Prediction`. Raises ValueError for an empty text, or numbers that are not finite, ordered and (with `log`)
    positive.
    """
    for name, text in (("lesson", lesson), ("question", question), ("unit", unit)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name}: {text!r} is not allowed; it is a text that is not empty")
    if not all(map(math.isfinite, (low, high, default))) or not low < high:
        raise ValueError(f"low, high: {low!r}, {high!r} are not allowed; they are finite numbers, low below high")
    if log and low <= 0:
        raise ValueError(f"low: {low!r} is not allowed with log=True; it is above 0")
    if not low <= default <= high:
        raise ValueError(f"default: {default!r} is not allowed; it lies from {low} to {high}")
    guess = Guess(lesson, question, unit, low, high, default, log)
    if interactive():
        display(guess.form())
    else:
        guess.commit(headless=True)
        print(f"Prediction (a headless run takes the default): {amount(guess.value, unit)}. {question}")
    return guess


def interactive() -> bool:
    """Whether a person can answer: a kernel that a Jupyter front end or VS Code started.

    The environment variable COURSE_INTERACTIVE (0 or 1) overrides this.
    """
    forced = os.environ.get("COURSE_INTERACTIVE")
    if forced in ("0", "1"):
        return forced == "1"
    shell = get_ipython()
    if not hasattr(shell, "kernel"):
        return False
    # the Jupyter server tells the kernel its session's name; VS Code puts the notebook's path among its variables
    return bool(os.environ.get("JPY_SESSION_NAME")) or "__vsc_ipynb_file__" in shell.user_ns


class Guess:
    """A prediction of one number. `value`: where the slider stands, final once `committed` is True.

    A front end may answer widgets in a thread beside the running cell (a subshell of the kernel), hence the lock.
    """

    def __init__(self, lesson: str, question: str, unit: str, low: float, high: float, default: float, log: bool):
        self.lesson, self.question, self.unit = lesson, question, unit
        self.committed = False
        self._headless = False
        self._waiting: list = []
        self._lock = threading.RLock()
        self._note, self._status = widgets.HTML(), widgets.HTML()
        stops = [(amount(stop, unit), stop) for stop in slider_stops(low, high, default, log)]
        self._slider = widgets.SelectionSlider(
            options=stops, value=float(default), description="your guess", layout={"width": "460px"}
        )
        self._commit = widgets.Button(description="Commit", button_style="primary", tooltip="Commit your prediction")
        self._keep = widgets.Button(description="Keep it", tooltip="Commit your earlier prediction again")
        self._commit.on_click(lambda button: guarded(self._note, self.commit)())
        self._earlier = None

    @property
    def value(self) -> float:
        """The guess, in `unit`."""
        return self._slider.value

    def form(self) -> widgets.Widget:
        """The question with slider and button, and the earlier prediction where there is one."""
        guarded(self._note, self._recall)()
        question = widgets.HTML(f"<b>Predict.</b> {html.escape(self.question)}")
        answer = widgets.HBox([self._slider, self._commit])
        form = widgets.VBox([question, *self._offer(), answer, self._status, self._note])
        form.add_class("course-prediction")
        return form

    def commit(self, headless: bool = False) -> None:
        """Fix the guess, store it, and open every reveal that waits for it. A second call changes nothing.

        Raises OSError when it cannot be stored; the reveals are open even then.
        """
        with self._lock:
            if self.committed:
                return
            self.committed, self._headless = True, headless
            for control in (self._slider, self._commit, self._keep):
                control.disabled = True
            self._status.value = f"Committed: <b>{html.escape(amount(self.value, self.unit))}</b>."
            for box, actual, label in self._waiting:
                self._open(box, actual, label)
            if self._earlier is None or self._earlier.value != self.value:
                self._store()

    def reveal(self, actual: float, *, label: str = "measured") -> None:
        """Show the guess beside `actual` (in `unit`), in text and in a small picture, once the guess is committed.

        Until then a locked box stands in its place and fills itself in later. A headless run prints the text at once.
        Raises ValueError when `actual` is not finite.
        """
        if not math.isfinite(actual):
            raise ValueError(f"actual: {actual!r} is not allowed; it is a finite number")
        if self._headless:
            print(self.verdict(actual, label))
            return
        box = widgets.VBox([widgets.HTML(f"<i>{LOCKED}</i>")])
        display(box)
        with self._lock:
            if self.committed:
                self._open(box, actual, label)
            else:
                self._waiting.append((box, actual, label))

    def verdict(self, actual: float, label: str = "measured") -> str:
        """How far the guess was from `actual`, in a sentence."""
        whose = "The default prediction was" if self._headless else "You predicted"
        said = f"{whose} {amount(self.value, self.unit)}; {label}: {amount(actual, self.unit)}."
        return f"{said} {_distance(self.value, actual, self.unit)}"

    def _open(self, box: widgets.VBox, actual: float, label: str) -> None:
        picture = prediction_figure(self.value, actual, unit=self.unit, label=label)
        image = LabelledImage()
        image.show(picture.png(), picture.alt)
        box.children = [widgets.HTML(html.escape(self.verdict(actual, label))), image]

    def _store(self) -> None:
        prediction = records.Prediction(
            lesson=self.lesson,
            question=self.question,
            value=self.value,
            unit=self.unit,
            default=self._headless,
            time=records.now(),
        )
        records.my_predictions().append(prediction)

    def _recall(self) -> None:
        """Find the learner's last own answer to this question and set the slider to it."""
        asked = (self.lesson, self.question, self.unit)
        for earlier in reversed(records.predictions()):
            if (earlier.lesson, earlier.question, earlier.unit) == asked and not earlier.default:
                self._earlier = earlier
                stops = [stop for _, stop in self._slider.options]
                self._slider.value = min(stops, key=lambda stop: abs(stop - earlier.value))
                return

    def _offer(self) -> list[widgets.Widget]:
        """A line with the earlier prediction and a button that commits it again; nothing when there is none."""
        if self._earlier is None:
            return []
        when = datetime.fromisoformat(self._earlier.time).astimezone().strftime("%d %B %Y, %H:%M")
        text = f"Earlier ({when}) you predicted <b>{html.escape(amount(self._earlier.value, self.unit))}</b>."
        self._keep.on_click(lambda button: guarded(self._note, self._commit_earlier)())
        return [widgets.HBox([widgets.HTML(f"{text} Keep it, or choose anew below."), self._keep])]

    def _commit_earlier(self) -> None:
        self._recall()
        self.commit()


def slider_stops(low: float, high: float, default: float, log: bool) -> list[float]:
    """Round numbers from `low` to `high`, both included, as is `default`: some 20 a decade, or at most 100 in even steps."""
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        stops = [float(f"{leading}e{decade}") for decade in decades for leading in LEADING]
    else:
        power = 10.0 ** math.floor(math.log10((high - low) / 100))
        step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= 100)
        stops = [float(f"{index * step:.12g}") for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return sorted({stop for stop in stops if low < stop < high} | {float(low), float(high), float(default)})


def _distance(guess: float, actual: float, unit: str) -> str:
    if guess == actual:
        return "Exactly right."
    side = "too high" if guess > actual else "too low"
    if guess <= 0 or actual <= 0:
        return f"{amount(abs(guess - actual), unit)} {side}."
    factor = max(guess, actual) / min(guess, actual)
    return f"{side.capitalize()} by a factor of {number(factor)}."
