"""What learners and teachers find in JupyterLab: Validate on one's own copy for the one, Formgrader for the other alone."""

import json
import re
import shutil
import urllib.error
import urllib.request

import pytest
from lab import CHECKOUT, browser_page, jupyterlab, open_notebook, processes_below
from playwright.sync_api import expect

from course_lib import copies

EXERCISE = "01_measuring"
COPY = f"my_exercises/{EXERCISE}/{EXERCISE}.ipynb"
TEACHING = ("formgrader", "formgrader/api/assignments", "course_list", "assignments?course_id=x")
ANSWER = """def best_batch(seconds_per_batch, limit):
    rates = {size: size / seconds for size, seconds in seconds_per_batch.items() if seconds <= limit}
    return max(rates.items(), key=lambda item: item[1]) if rates else None"""


@pytest.fixture
def course(tmp_path):
    """A course of one exercise, with the settings of this one and a copy of the learner's."""
    root = tmp_path / "course"
    (root / "grading").mkdir(parents=True)  # the gradebook's
    for name in ("jupyter_server_config.py", "nbgrader_config.py"):
        shutil.copy(CHECKOUT / name, root)
    for folder in ("exercises", "solutions"):
        shutil.copytree(CHECKOUT / folder / EXERCISE, root / folder / EXERCISE)
    copies.update(root / "exercises", root / "my_exercises")
    yield root
    assert processes_below(tmp_path) == [], "the server or a kernel outlived the test"


def status(address, path):
    """The HTTP status of this path on the server of `address`."""
    server, token = re.fullmatch(r"(.+)/lab/tree/\{\}\?(token=.+)", address).groups()
    try:
        with urllib.request.urlopen(f"{server}/{path}{'&' if '?' in path else '?'}{token}", timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.system("chromium")
def test_a_learner_validates_their_copy_and_finds_nothing_of_the_teachers(course, tmp_path):
    path = course / COPY
    notebook = json.loads(path.read_text(encoding="utf-8"))
    [answer] = [cell for cell in notebook["cells"] if cell["id"] == "answer_best_batch"]
    answer["source"] = ANSWER
    path.write_text(json.dumps(notebook), encoding="utf-8")
    with jupyterlab(course, tmp_path) as address, browser_page() as page:
        assert [status(address, path) for path in TEACHING] == [404] * len(TEACHING)
        open_notebook(page, address.format(COPY))
        expect(page.get_by_role("menuitem", name="Nbgrader")).to_have_count(0)
        page.get_by_role("button", name="Validate").click()
        dialog = page.locator(".jp-Dialog")
        expect(dialog).to_contain_text("failed", timeout=60_000)
        page.screenshot(path=tmp_path / "validated.png")
        said = dialog.inner_text()
    assert "paired_ratio" in said and "time_device" in said and "best_batch" not in said, said


@pytest.mark.system("chromium")
def test_a_teacher_finds_formgrader_with_the_exercises(course, tmp_path):
    with jupyterlab(course, tmp_path, {"COURSE_ROLE": "teacher"}) as address, browser_page() as page:
        page.goto(address.format(f"exercises/{EXERCISE}/{EXERCISE}.ipynb"))
        page.get_by_role("menuitem", name="Nbgrader").click()
        page.screenshot(path=tmp_path / "menu.png")
        page.get_by_role("menuitem", name="Formgrader", exact=True).click()
        frame = page.frame_locator("iframe[src*=formgrader]")
        expect(frame.locator("body")).to_contain_text(EXERCISE, timeout=120_000)  # alembic first
        page.screenshot(path=tmp_path / "formgrader.png")
