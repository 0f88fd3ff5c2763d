"""A class machine that leaves no trace: real users, real homes and a real JupyterHub, inside namespaces of their own.

The users exist in a copy of /etc/passwd that only these processes see, /srv is a temporary folder there, and all of their
processes end, with certainty, when the first of them does. Linux only, as root.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import CHECKOUT, free_ports, wait_until_it_answers

TEACHER = "teacher"
FIRST_UID = 70_000
START_SECONDS = 240  # 6 s on a quiet machine
NOT_COPIED = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "my_records", "*.egg-info", "gradebook.db")
FROM_GRADING = ("submitted", "autograded", "feedback", "grades.csv", "judge_seed")


@dataclass(frozen=True)
class Machine:
    """Where the hub answers, what to log in with, and where its folders lie outside the namespaces."""

    address: str
    password: str
    course: Path
    repository: str
    process: subprocess.Popen


@contextlib.contextmanager
def class_machine(scratch: Path, learners: list[str]) -> Iterator[Machine]:
    """Set the machine up in `scratch` as hub/README.md says, and start it. On leaving, all of its processes have ended.

    Raises RuntimeError with the end of the hub's log when it does not answer within START_SECONDS.
    """
    scratch.chmod(0o755)  # the users have to pass through it
    course = _course(scratch)
    _users(scratch, [TEACHER, *learners])
    ports = free_ports(4)
    settings = {
        "TRIAL_FOLDER": str(scratch),
        "TRIAL_PORTS": " ".join(map(str, ports)),
        "TRIAL_PASSWORD": secrets.token_hex(16),
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with open(scratch / "hub.log", "wb") as log:
        process = subprocess.Popen(
            [*command, sys.executable, Path(__file__).with_name("inside.py")],
            env=os.environ | settings, cwd=scratch, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{ports[0]}"
        wait_until_it_answers(process, f"{address}/hub/health", scratch / "hub.log", START_SECONDS)
        yield Machine(address, settings["TRIAL_PASSWORD"], course, f"git://127.0.0.1:{ports[3]}/course", process)
    finally:
        process.send_signal(signal.SIGKILL)  # its child, the first in the namespace, is killed with it, and so all the others
        process.wait(timeout=30)


def _course(scratch: Path) -> Path:
    """The teacher's copy of the course in srv/course, the repository that learners pull from, and the exchange."""
    course = scratch / "srv" / "course"
    shutil.copytree(CHECKOUT, course, ignore=shutil.ignore_patterns(*NOT_COPIED, *FROM_GRADING))
    git = ["git", "-c", "user.name=teacher", "-c", "user.email=teacher@localhost", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "the course"]):
        subprocess.run([*git, *arguments], cwd=course, check=True, timeout=60)
    subprocess.run(["git", "clone", "-q", "--bare", course, scratch / "srv" / "git" / "course"], check=True, timeout=60)
    exchange = scratch / "srv" / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)  # as nbgrader asks
    for path in [course, *course.rglob("*")]:
        os.chown(path, FIRST_UID, FIRST_UID)
    (course / "grading").chmod(0o700)
    return course


def _users(scratch: Path, names: list[str]) -> None:
    """/etc/passwd and /etc/group with `names` in them, and a closed home for each."""
    passwd, group = (Path("/etc", name).read_text() for name in ("passwd", "group"))
    for uid, name in enumerate(names, FIRST_UID):
        passwd += f"{name}:x:{uid}:{uid}::/srv/home/{name}:/bin/bash\n"
        group += f"{name}:x:{uid}:\n"
        home = scratch / "srv" / "home" / name
        home.mkdir(parents=True, mode=0o700)
        os.chown(home, uid, uid)
    (scratch / "passwd").write_text(passwd)
    (scratch / "group").write_text(group)
