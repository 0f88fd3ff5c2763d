"""The suite's own set-up: tests stay out of the learner's records, and a missing system package is never silent."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shared(pytestconfig):
    """The root conftest.py as a module."""
    return pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))


def test_tests_write_nothing_into_the_checkout():
    for name in ("COURSE_RECORDS", "COURSE_DATA"):
        assert not Path(os.environ[name]).is_relative_to(ROOT)
    assert os.environ["OMP_NUM_THREADS"] == "1" and os.environ["COURSE_INTERACTIVE"] == "0"


@pytest.mark.parametrize("package", ["chromium", "bubblewrap", "iproute2"])
def test_missing_package_skips_at_home_and_fails_in_ci(shared, package):
    line = f"sudo apt-get install {package}"
    with pytest.raises(pytest.skip.Exception, match=line):
        shared.require_system_package(package, found=False, in_ci=False)
    with pytest.raises(pytest.fail.Exception, match=line):
        shared.require_system_package(package, found=False, in_ci=True)
    shared.require_system_package(package, found=True, in_ci=True)


def test_refused_permission_skips_and_says_why(shared):
    with pytest.raises(pytest.skip.Exception, match=r"refuses \(Operation not permitted\)\. To be allowed: .*--privileged"):
        shared.require_permission("namespaces", "Operation not permitted")
    shared.require_permission("namespaces", None)


def test_a_permission_is_tried_and_the_refusal_quoted(shared, monkeypatch):
    for command, words in ((["sh", "-c", "echo no such luck >&2; exit 1"], "no such luck"), (["true"], None)):
        monkeypatch.setitem(shared.PERMISSIONS, "namespaces", ("", command, ""))
        shared.refusal.cache_clear()
        assert shared.refusal("namespaces") == words
    shared.refusal.cache_clear()


def test_seconds_per_notebook_sum_all_phases_of_all_cells(shared):
    reports = [
        SimpleNamespace(nodeid="notebooks/01_a.ipynb::Cell 0", duration=1.5),
        SimpleNamespace(nodeid="notebooks/01_a.ipynb::Cell 1", duration=0.25),
        SimpleNamespace(nodeid="tests/lib/test_a.py::test_b", duration=9.0),
        SimpleNamespace(),  # a warning report has no node
    ]
    assert shared.seconds_per_notebook(reports) == {"notebooks/01_a.ipynb": 1.75}
