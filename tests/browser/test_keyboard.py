"""Every kind of widget of the course, reached by Tab and changed by keys alone, with the focus in sight."""

import json
import re

import nbformat
import pytest
from lab import browser_page, errors, jupyterlab, open_notebook, processes_below, run_all
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, expect

SETUP = """import ipywidgets as widgets
from course_lib import explore, records
own = records.my_store()
for result in (r for results in records.references().values() for r in results if r.lesson in {LESSONS}):
    own.append(result)
def draw(size):
    picture = explore.Picture(3, 1)
    picture.message(f"size {size}")
    return picture"""
LESSONS = ("40_pruning", "41_quantization", "42_distillation")
CELLS = (
    'guess = explore.predict("98_made", "How many times?", unit="x", low=1.0, high=10.0, default=2.0)\nguess.reveal(3.0)',
    'explore.tradeoff("40_pruning", x="bytes", y="latency_1", knob="method")',
    'explore.sliders(draw, {"size": widgets.IntSlider(value=3, min=1, max=9, description="size")})',
    "explore.plane()",
    "explore.claims()",
)
ACTIVE = "document.activeElement"
# What a seeing person has of the focus: an outline, a border or a shadow that is not there without it.
SEEN = """() => {
    const look = element => {
        const style = getComputedStyle(element);
        return [style.outline, style.border, style.boxShadow, style.backgroundColor].join("|");
    };
    const chain = element => [element, element.parentElement, element.parentElement.parentElement].map(look).join("\\n");
    const element = document.activeElement, focused = chain(element);
    element.blur();
    const plain = chain(element);
    element.focus({focusVisible: true});
    return focused !== plain;
}"""


@pytest.fixture
def page(tmp_path):
    root = tmp_path / "course"
    root.mkdir()
    cells = [new_code_cell(source) for source in (SETUP.replace("{LESSONS}", repr(LESSONS)), *CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), root / "made.ipynb")
    with jupyterlab(root, tmp_path, {"COURSE_RECORDS": str(tmp_path / "records")}) as address, browser_page() as page:
        open_notebook(page, address.format("made.ipynb"))
        run_all(page)
        assert errors(page) == []
        yield page
    assert processes_below(tmp_path) == [], "the server or a kernel outlived the test"


def start_in(page: Page, number: int) -> None:
    """Put the focus on the first thing in the output of a code cell that Tab would reach; from there on there are only keys."""
    output = page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-OutputArea-output").first
    output.scroll_into_view_if_needed()
    output.evaluate("""area => {
        const start = document.createElement("span");
        start.tabIndex = -1;
        area.prepend(start);
        start.focus();
    }""")


def tab_to(page: Page, selector: str, presses: int = 40) -> None:
    """Press Tab until what has the focus fits the selector, and see that the focus can be seen."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        if page.evaluate(f"selector => {ACTIVE}.matches(selector)", selector):
            assert page.evaluate(SEEN), f"the focus on {selector} cannot be seen"
            return
    raise AssertionError(f"Tab does not reach {selector} in {presses} presses")


def choose(page: Page, shown) -> None:
    """Choose the option beside the chosen one in the menu that has the focus, and see that what is shown changes.

    Space opens the list first: in a closed one an arrow key is JupyterLab's, which goes to the next cell.
    """
    last = page.evaluate(f"{ACTIVE}.selectedIndex === {ACTIVE}.length - 1")
    page.keyboard.press("Space")
    page.wait_for_timeout(500)  # the list is a window of the browser's, of which the page is not told
    page.keyboard.press("ArrowUp" if last else "ArrowDown")
    page.wait_for_timeout(500)
    changes(page, shown, "Enter")


def changes(page: Page, shown, key: str) -> None:
    """Press a key, and see that what is shown changes."""
    before = shown.evaluate("one => one.src || one.innerHTML")
    page.keyboard.press(key)
    page.wait_for_function("([one, before]) => (one.src || one.innerHTML) !== before", arg=[shown.element_handle(), before])


@pytest.mark.system("chromium")
def test_every_widget_is_reached_and_changed_by_keys_alone(page, tmp_path):
    start_in(page, 1)
    tab_to(page, ".noUi-handle")
    changes(page, page.locator(".course-prediction .widget-readout").first, "ArrowRight")
    tab_to(page, "button")
    page.keyboard.press("Enter")
    expect(page.locator(".course-prediction")).to_contain_text("Committed:")
    expect(page.get_by_role("img", name=re.compile("Your prediction: "))).to_be_visible()
    predictions = (tmp_path / "records" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(predictions[-1])["default"] is False

    start_in(page, 2)
    picture = page.locator(".course-tradeoff img")
    tab_to(page, ".noUi-handle")
    changes(page, picture, "ArrowRight")
    for _ in ("across", "up", "beside"):
        tab_to(page, "select")
        choose(page, picture)

    start_in(page, 3)
    tab_to(page, ".noUi-handle")
    changes(page, page.locator(".course-sliders img"), "ArrowRight")
    expect(page.locator(".course-sliders img")).to_have_attribute("title", "size 4")

    start_in(page, 4)
    picture = page.locator(".course-plane img")
    tab_to(page, "select")
    choose(page, picture)
    tab_to(page, ".noUi-handle")
    changes(page, picture, "ArrowRight")
    tab_to(page, "input[type=checkbox]")
    changes(page, picture, "Space")
    tab_to(page, "button")
    changes(page, picture, "Enter")
    tab_to(page, "div[style*=overflow]")  # the long table, to be scrolled

    start_in(page, 5)
    ledger = page.locator(".jp-Notebook .jp-CodeCell").nth(5).locator(".widget-html-content").last
    tab_to(page, "select")
    tab_to(page, "select")
    choose(page, ledger)

    images = page.locator(".jp-OutputArea img").evaluate_all("all => all.map(one => one.alt || one.title)")
    assert len(images) == 4 and all(images), images
    assert errors(page) == []
