"""Takes the hidden tests out of what learners get back."""

from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution

BEGIN, END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"


class LeaveOutHiddenTests(NbGraderPreprocessor):
    """Shows test cells as learners know them. nbgrader_config.py gives it to all that makes feedback pages."""

    def preprocess_cell(self, cell, resources, cell_index):
        if is_grade(cell) and not is_solution(cell):
            cell.source = without_hidden_tests(cell.source)
        return cell, resources


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
