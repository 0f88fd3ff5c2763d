"""What every test shares: the environment, system packages that may be missing, and the seconds each notebook took.

It stands at the root of the checkout because it serves tests/ and notebooks/ alike: `pytest --nbval-lax notebooks` must
not write into the learner's own records either.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import hypothesis
import pytest

# Set before anything imports torch; the kernels of the notebooks inherit it. Under xdist the controller sets it once
# and its workers inherit it, so that all of them share one data cache and render each data set once.
if "PYTEST_XDIST_WORKER" not in os.environ:
    folder = Path(tempfile.mkdtemp(prefix="course-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(
        OMP_NUM_THREADS="1",  # torch's own choice of threads beside another busy process is up to 60 times slower
        COURSE_RECORDS=str(folder / "records"),
        COURSE_DATA=str(folder / "data"),
        COURSE_EXERCISES=str(folder / "exercises"),
        COURSE_INTERACTIVE="0",
    )

hypothesis.settings.register_profile("course", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("course")

LESSON_SECONDS = 60  # the plan's budget for one notebook on two cores: reported below, never asserted

# system package: (a command that shows whether it works here, the line that installs it)
SYSTEM_PACKAGES = {
    "chromium": (["chromium", "--version"], "sudo apt-get install chromium chromium-driver"),
    "bubblewrap": (["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"], "sudo apt-get install bubblewrap"),
    "iproute2": (["ip", "-Version"], "sudo apt-get install iproute2"),
    "jupyterhub": ([sys.executable, "-c", "import jupyterhub, nbgitpuller"], "python -m pip install -r hub/requirements.txt"),
    "configurable-http-proxy": (
        ["configurable-http-proxy", "--version"],
        "sudo npm install --global configurable-http-proxy@5.1.0",
    ),
    "reveal.js": (
        [sys.executable, "-c", "from tools import reveal; assert (reveal.FOLDER / reveal.INSIDE).is_dir()"],
        "python -m tools.reveal",
    ),
    # Debian keeps the server's commands out of the PATH
    "postgresql": (["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb"], "sudo apt-get install postgresql"),
}

# Tried with the system's own commands, so that an error in the test's code cannot pass for a machine that forbids them.
IS_ROOT = getattr(os, "geteuid", int)() == 0
UNSHARE = [
    "unshare",
    *([] if IS_ROOT else ["--user", "--map-root-user"]),
    "--mount",
    "--net",
    "--pid",
    "--mount-proc",
    "--fork",
]
TRIAL = "mount -t tmpfs tmpfs /run && ip netns add host0 && ip tuntap add eth7 mode tun && ip link set eth7 netns host0"

# permission: (what it is, a command that shows whether it is given here, how to get it)
PERMISSIONS = {
    "namespaces": (
        "network namespaces and /dev/net/tun",
        [*UNSHARE, "sh", "-c", TRIAL],
        "run as root on a Linux machine of your own, or in a container started with --privileged",
    ),
    "users": (
        "other users inside a mount namespace",
        [*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /srv && setpriv --reuid=70000 --clear-groups true"],
        "run as root on a Linux machine of your own, or in a container started with --privileged",
    ),
}


@cache
def works(package: str) -> bool:
    """Whether the package's command is found and exits with 0: bubblewrap may be installed and yet forbidden to run."""
    command = SYSTEM_PACKAGES[package][0]
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def require_system_package(package: str, found: bool, in_ci: bool) -> None:
    """Skip the running test with the line that installs `package`; fail instead in CI, where it must be there."""
    if found:
        return
    message = f"needs {package}, which is missing or may not run here. Install it with: {SYSTEM_PACKAGES[package][1]}"
    if in_ci:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@cache
def refusal(permission: str) -> str | None:
    """How this machine refuses the permission, in the words of the command that was tried; None where it is given."""
    command = PERMISSIONS[permission][1]
    if shutil.which(command[0]) is None:
        return f"there is no {command[0]} here"
    tried = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if tried.returncode == 0:
        return None
    return (tried.stderr.strip() or f"{command[0]} ended with {tried.returncode}").splitlines()[-1]


def require_permission(permission: str, refused: str | None) -> None:
    """Skip the running test where the machine refuses `permission`; in CI, too, as no installation can change that."""
    if refused is not None:
        what, _, way = PERMISSIONS[permission]
        pytest.skip(f"needs {what}, which this machine refuses ({refused}). To be allowed: {way}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Carry out `@pytest.mark.system("chromium")`, and the same with the other packages and permissions above."""
    for mark in item.iter_markers("system"):
        for name in mark.args:
            if name in PERMISSIONS:
                require_permission(name, refusal(name))
            else:
                require_system_package(name, works(name), bool(os.environ.get("CI")))


def seconds_per_notebook(reports) -> Counter:
    """Seconds by notebook path, kernel start and stop included, from the reports of nbval's cells."""
    seconds = Counter()
    for report in reports:
        path = getattr(report, "nodeid", "").split("::")[0]
        if path.endswith(".ipynb"):
            seconds[path] += report.duration
    return seconds


def pytest_terminal_summary(terminalreporter):
    """Say how long each notebook ran, and name again what was skipped for want of a system package."""
    stats = terminalreporter.stats
    seconds = seconds_per_notebook(report for reports in stats.values() for report in reports)
    if seconds:
        terminalreporter.section(f"seconds per notebook (the plan allows {LESSON_SECONDS} on two free cores)")
        for path, duration in sorted(seconds.items()):
            over = "   over the plan" if duration > LESSON_SECONDS else ""
            terminalreporter.write_line(f"{duration:7.1f} s  {path}{over}")
    reasons = Counter(str(report.longrepr[-1]) for report in stats.get("skipped", []))
    for reason, count in reasons.items():
        if "Install it with:" in reason or "To be allowed:" in reason:
            terminalreporter.section("SKIPPED FOR WANT OF A SYSTEM PACKAGE OR A PERMISSION", red=True)
            terminalreporter.write_line(f"{count} x {reason}")
