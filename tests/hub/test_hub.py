"""The course on one class machine, as hub/README.md sets it up: three learners from the login form to their grades."""

import pytest
from trial import NAMES, table, trial


@pytest.mark.system("jupyterhub", "configurable-http-proxy", "chromium", "bubblewrap", "users")
def test_learners_log_in_pull_fetch_run_and_hand_in_and_are_graded():
    outcome = trial(list(NAMES[-3:]))
    print(table(outcome))
    assert all(row.submitted for row in outcome.rows)
    assert [row.points for row in outcome.rows] == [row.expected for row in outcome.rows]
    assert outcome.left_behind == 0
