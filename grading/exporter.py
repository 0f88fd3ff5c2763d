"""Feedback pages: what learners get back, without the hidden tests and without scripts."""

import copy
import re

from nbconvert.exporters import HTMLExporter
from nbgrader.utils import is_grade, is_solution

BEGIN, END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"
SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
# nbconvert has cleaned what learners wrote; should it miss a way one day, the browser runs and fetches nothing all the same.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
META = f'\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'


class FeedbackPage(HTMLExporter):
    """nbgrader's page of feedback, for whoever asks for it, `make grade` or formgrader: nbgrader_config.py names it."""

    def from_notebook_node(self, nb, resources=None, **keywords):
        shown = copy.deepcopy(nb)
        for cell in shown.cells:
            if is_grade(cell) and not is_solution(cell):
                cell.source = without_hidden_tests(cell.source)
        page, resources = super().from_notebook_node(shown, resources, **keywords)
        page = SCRIPT.sub("", page)  # nbgrader's template fetches MathJax from the network
        return page.replace("<html>", '<html lang="en">', 1).replace("<head>", f"<head>{META}", 1), resources


def without_hidden_tests(source):
    """The source of a test cell without what stands between the two marks; to its end where the second is missing."""
    kept, hidden = [], False
    for line in source.split("\n"):
        if BEGIN in line:
            hidden = True
        if not hidden:
            kept.append(line)
        if END in line:
            hidden = False
    return "\n".join(kept)
