"""nbgrader's settings: JupyterLab's Validate button, `make exercises` and `make grade` all read them from here."""

import html
import sys
from pathlib import Path

import bleach
from nbconvert.filters import markdown2html

ROOT = Path(__file__).resolve().parent
TAGS = {"p", "br", "hr", "pre", "span", "div", "h1", "h2", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td"}


def _shown(text):
    """A text cell as HTML; as it was written where it cannot be rendered: with a pasted picture, or nested without end."""
    try:
        return markdown2html(text)
    except Exception:
        return f"<pre>{html.escape(text)}</pre>"


c = get_config()  # noqa: F821  (nbgrader puts it there)

c.CourseDirectory.root = str(ROOT)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.CourseDirectory.submitted_directory = "grading/submitted"
c.CourseDirectory.autograded_directory = "grading/autograded"
c.CourseDirectory.feedback_directory = "grading/feedback"
c.CourseDirectory.db_url = f"sqlite:///{ROOT / 'grading' / 'gradebook.db'}"

# nbgrader copies whatever else lies in the folder of a solution; the judge of an exercise is not for its learners.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "judge.py"]

c.ClearSolutions.code_stub = {"python": '# YOUR CODE HERE\nraise NotImplementedError("no answer yet")'}

# A learner who deletes a test cell gets it back; the default leaves the points of that cell undecided.
c.OverwriteCells.add_missing_cells = True

# Seconds for one cell. The slowest honest one takes 3 s, the import of torch.
c.Execute.timeout = 20

# What a submission shows is opened in the teacher's browser: the default would let its scripts run there.
# nbgrader's feedback page heeds sanitize_html for outputs only, so its text cells are cleaned as well.
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {"markdown2html": lambda text: bleach.clean(_shown(text), tags=TAGS | set(bleach.ALLOWED_TAGS))}

# A kernel's own warnings would break into the progress bar and mean nothing to the reader.
c.Execute.extra_arguments = ["--log-level=ERROR"]

# Whatever makes feedback pages, `make grade` or the button of formgrader, leaves hidden tests and scripts out of them.
sys.path.append(str(ROOT))
c.GenerateFeedback.exporter_class = "grading.exporter.FeedbackPage"
