"""A lesson as a learner meets it: JupyterLab, all cells run, a prediction committed, the explorer's slider moved."""

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest
from lab import CHECKOUT, browser_page, errors, jupyterlab, open_notebook, processes_below, run_all
from playwright.sync_api import Locator, Page, expect

LESSON = "01_measuring"
LOCKED = "Commit your prediction above to see this."
MOVES = 11

# Notes by the browser's own clock when the key goes down, and when the picture that answers it is drawn.
WATCH = """(image, clock) => {
    const now = name => () => { clock[name] = performance.now(); };
    document.activeElement.addEventListener("keydown", now("start"), {once: true, capture: true});
    image.addEventListener("load", () => requestAnimationFrame(now("end")), {once: true});
}"""


@pytest.fixture
def lesson_page(tmp_path):
    """The lesson in a JupyterLab of its own, opened by a learner without records."""
    root = tmp_path / "course"
    root.mkdir()
    shutil.copytree(CHECKOUT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    with jupyterlab(root, tmp_path, {"COURSE_RECORDS": str(tmp_path / "records")}) as address, browser_page() as page:
        open_notebook(page, address.format(f"notebooks/{LESSON}.ipynb"))
        yield page
    assert processes_below(tmp_path) == [], "the server or a kernel outlived the test"


@pytest.mark.system("chromium")
def test_lesson_runs_reveals_after_the_commit_and_explores(lesson_page, tmp_path, record_property):
    page = lesson_page
    run_all(page)
    page.screenshot(path=tmp_path / "1_all_run.png")
    prompts = page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-prompt").all_inner_texts()
    assert errors(page) == [] and all(re.fullmatch(r"\[\d+\]:", prompt.strip()) for prompt in prompts), prompts

    commit_the_prediction(page, tmp_path / "records" / "predictions.jsonl")
    page.screenshot(path=tmp_path / "2_revealed.png")

    picture = page.locator(".course-tradeoff img")
    handle = page.locator(".course-tradeoff .noUi-handle")
    drag_right(page, handle, picture)
    page.screenshot(path=tmp_path / "3_explored.png")
    seconds = [seconds_of_one_move(page, handle, picture, key) for key in ("ArrowLeft", "ArrowRight") * (MOVES // 2 + 1)]
    assert errors(page) == []
    median = statistics.median(seconds)
    record_property("slider_to_picture_seconds", median)
    print(f"slider to picture: median {median * 1000:.0f} ms of {len(seconds)} moves; screenshots in {tmp_path}")


def commit_the_prediction(page: Page, stored: Path) -> None:
    """Move the first prediction's slider, press Commit, and see its reveal open; the others stay locked."""
    locked = page.get_by_text(LOCKED)
    before = locked.count()
    assert before >= 1, "nothing is locked before the commit"
    form = page.locator(".course-prediction").first
    form.locator(".noUi-handle").press("ArrowRight")
    form.get_by_role("button", name="Commit").click()
    expect(form).to_contain_text("Committed:")
    expect(locked).not_to_have_count(before)
    revealed = page.get_by_text(re.compile("You predicted .*;"))
    revealed.first.scroll_into_view_if_needed()
    expect(revealed.first).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Your prediction: ")).first).to_be_visible()
    expect(form.get_by_role("button", name="Commit")).to_be_disabled()
    prediction = json.loads(stored.read_text(encoding="utf-8").splitlines()[-1])
    assert prediction["lesson"] == LESSON and prediction["default"] is False


def drag_right(page: Page, handle: Locator, picture: Locator) -> None:
    """Drag the explorer's slider with the mouse to its right end and see another picture."""
    expect(picture).to_have_attribute("title", re.compile("Marked: "))
    handle.scroll_into_view_if_needed()
    source, title = picture.get_attribute("src"), picture.get_attribute("title")
    box, track = handle.bounding_box(), page.locator(".course-tradeoff .noUi-base").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"], box["y"] + box["height"] / 2, steps=10)
    page.mouse.up()
    expect(picture).not_to_have_attribute("src", source)
    expect(picture).not_to_have_attribute("title", title)
    assert picture.evaluate("image => image.naturalWidth") > 300


def seconds_of_one_move(page: Page, handle: Locator, picture: Locator, key: str) -> float:
    """Press an arrow key on the slider; seconds until the new picture is on the screen. Reported, never asserted."""
    page.wait_for_timeout(300)  # the moves before this one have been answered
    source = picture.get_attribute("src")
    handle.focus()
    clock = page.evaluate_handle("() => ({})")
    picture.evaluate(WATCH, clock)
    page.keyboard.press(key)
    expect(picture).not_to_have_attribute("src", source)
    page.wait_for_function("clock => clock.end", arg=clock)
    return clock.evaluate("clock => (clock.end - clock.start) / 1000")
