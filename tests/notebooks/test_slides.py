"""Slides: which cells are shown where, and that the page works in a room without a network."""

import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright

from tools import hygiene, reveal, slides
from tools.slide_rules import PREDICTION, STATE, WIDGET, arranged

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def printed(source, text, tags=()):
    return new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)], metadata={"tags": list(tags)})


def picture(source, tags=()):
    shown = new_output("display_data", {"image/png": PNG, "text/plain": "a dot"}, metadata={"image/png": {"alt": "a dot"}})
    return new_code_cell(source, outputs=[shown], metadata={"tags": list(tags)})


def lesson(*cells):
    return new_notebook(cells=[new_markdown_cell("# Made"), printed("import torch", "a machine"), *cells])


def parts(notebook):
    """(slide type, source where it is shown, what its outputs are) of each part but the running heads."""
    found = []
    for cell in arranged(notebook).cells:
        if cell.metadata.get("tags") != ["where"]:
            hidden = cell.metadata.get("transient", {}).get("remove_source", False)
            kinds = [output.get("text") or sorted(output.data) for output in cell.get("outputs", ())]
            found.append((cell.metadata.slideshow.slide_type, "" if hidden else cell.source, kinds))
    return found


def test_headings_begin_slides_and_the_set_up_is_left_out():
    made = parts(lesson(new_markdown_cell("Before.\n\n## The bill\n\nText.\n\n### Below\n\nMore.")))
    assert made == [
        ("slide", "# Made", []),
        ("-", "Before.", []),
        ("slide", "## The bill\n\nText.", []),
        ("-", "### Below\n\nMore.", []),
    ]


def test_a_picture_is_shown_without_its_code_and_printed_lines_come_one_key_later():
    made = parts(lesson(new_markdown_cell("## By hand"), printed("print(1)", "1\n"), picture("plot()")))
    assert made[2:] == [
        ("-", "print(1)", []),
        ("fragment", "", ["1\n"]),
        ("-", "", [["image/png", "text/plain"]]),
    ]


def test_in_the_verdict_the_answer_alone_is_shown():
    assert parts(lesson(new_markdown_cell("## Verdict"), printed("judge()", "holds\n")))[2:] == [("-", "", ["holds\n"])]


def test_what_no_longer_fits_goes_on_below_under_a_running_head():
    cells = [new_markdown_cell("## The bill"), picture("one()"), picture("two()")]
    made = arranged(lesson(*cells)).cells
    assert [cell.metadata.slideshow.slide_type for cell in made] == ["slide", "slide", "-", "subslide", "-"]
    assert made[3].source.endswith("The bill*")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("skip", []),
        ("notes", [("notes", "", [["image/png", "text/plain"]])]),
        ("slide", [("-", "", [["image/png", "text/plain"]])]),  # after its running head
        ("show_code", [("-", "plot()", []), ("fragment", "", [["image/png", "text/plain"]])]),
    ],
)
def test_tags_set_the_rules_aside(tag, expected):
    assert parts(lesson(new_markdown_cell("## By hand"), picture("plot()", [tag])))[2:] == expected


def test_a_question_is_shown_without_the_default():
    made = arranged(lesson(new_markdown_cell("## Predict"), printed("predict()", f"{PREDICTION}2 x. How many times?\n"))).cells
    assert "How many times?" in made[-1].outputs[0].data["text/html"] and "2 x" not in str(made[-1].outputs)


def test_a_widget_is_shown_as_its_picture():
    image = {"model_name": "ImageModel", "state": {"tooltip": "a dot"}, "buffers": [{"path": ["value"], "data": PNG}]}
    box = {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_i"]}}
    output = new_output("display_data", {WIDGET: {"model_id": "b"}, "text/plain": "VBox"})
    notebook = lesson(new_markdown_cell("## Trade-off"), new_code_cell("sliders()", outputs=[output]))
    notebook.metadata.widgets = {STATE: {"state": {"i": image, "b": box}}}
    shown = arranged(nbformat.from_dict(notebook)).cells[-1].outputs[0]
    assert shown.data["image/png"] == PNG and shown.metadata["image/png"]["alt"] == "a dot"


def test_a_lesson_without_a_cell_to_show_is_refused():
    with pytest.raises(ValueError, match="no cell to show"):
        arranged(new_notebook(cells=[printed("import torch", "")]))


@pytest.mark.parametrize("wanted", ["77", "", "mixed"])
def test_an_unknown_lesson_is_refused_with_those_there_are(wanted):
    with pytest.raises(ValueError, match=r"LESSON: .* is not allowed.*11_mixed_precision"):
        slides.find(wanted, hygiene.notebooks())


def test_lessons_are_found_by_number_and_by_name():
    assert slides.find("11", hygiene.notebooks()) == slides.find("11_mixed_precision", hygiene.notebooks())


def test_a_lesson_that_fails_leaves_the_slides_of_before(tmp_path, monkeypatch, capsys):
    path = tmp_path / "98_made.ipynb"
    cells = [new_code_cell("1 / 0")]
    nbformat.write(new_notebook(cells=cells, metadata={"course": {"title": "Made", "minutes": 1}}), path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "98_made.html").write_text("before")
    monkeypatch.setattr(hygiene, "notebooks", lambda: [path])
    monkeypatch.setattr(reveal, "fetch", lambda: tmp_path)
    assert slides.main(["98", str(tmp_path / "out")]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (tmp_path / "out" / "98_made.html").read_text() == "before"


@pytest.mark.system("chromium", "reveal.js")
def test_slides_of_a_lesson_page_in_a_browser_without_asking_for_anything(tmp_path):
    notebook = nbformat.read(slides.find("11", hygiene.notebooks()), as_version=4)  # as it lies in git: nothing is run
    page_file = tmp_path / "slides.html"
    page_file.write_text(slides.slides(notebook, reveal.fetch()), encoding="utf-8")
    asked, wrong = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(page_file.as_uri())
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        seen = []
        for _ in range(200):
            seen.append(page.evaluate("Reveal.getCurrentSlide().innerText"))
            assert page.evaluate("Reveal.getCurrentSlide().scrollWidth <= 1282"), f"too wide: {seen[-1][:200]}"
            fits = page.evaluate("(s => s.scrollHeight <= 722 || s.classList.contains('scrolls'))(Reveal.getCurrentSlide())")
            assert fits, f"too high: {seen[-1][:200]}"
            if page.evaluate("Reveal.isLastSlide() && Reveal.isLastVerticalSlide()"):
                break
            page.keyboard.press("Space")
        page.keyboard.press("Home")
        first = page.evaluate("Reveal.getIndices().h")
        page.keyboard.press("ArrowRight")
        second = page.evaluate("Reveal.getIndices().h")
        formulas = page.locator("math").count()
        pictures = page.locator("img").evaluate_all("all => all.map(one => one.alt)")
        browser.close()
    assert (first, second) == (0, 1) and seen[0] != seen[1]
    assert any("Recap" in text for text in seen) and formulas >= 1
    assert pictures and all(pictures), pictures
    assert wrong == [] and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
