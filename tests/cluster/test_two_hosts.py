"""Beyond one machine: the batch file trains on two hosts, the link between them is cut, and nothing of it shows at the end.

The hosts are network namespaces, the cable between them has a rate and a delay; torchrun, the ranks and the connections
are real. Slurm is played: its srun and scontrol are a few lines each.
"""

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hosts import ADDRESSES, ROOT, Hosts

from course_lib import distributed

WORKER, BATCH_FILE = ROOT / "cluster" / "worker.py", ROOT / "cluster" / "slurm.sh"
EPOCHS, STEPS = 5, 50
SRUN = """\
    #!{python}
    import os, subprocess, sys
    tasks = [
        subprocess.Popen(host + sys.argv[2:], env=os.environ | {{"SLURM_NODEID": str(number)}})
        for number, host in enumerate({hosts})
    ]
    sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """\
    #!/bin/sh
    if [ "$1" = show ]; then printf 'alpha\\nbeta\\n'; else echo "$@" >> {asked}; fi
"""


class Slurm:
    """What the batch file sees of Slurm: its commands and its variables."""

    def __init__(self, folder: Path, hosts: list[list[str]]):
        self.asked, self.commands = folder / "asked", folder / "bin"
        self.commands.mkdir()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
            file = self.commands / name
            file.write_text(textwrap.dedent(text).format(python=sys.executable, hosts=hosts, asked=self.asked))
            file.chmod(0o755)

    def start(self, arguments: dict, attempt: int = 0) -> subprocess.Popen:
        """Start the job; `attempt` counts how often it was queued again."""
        job = {"JOB_ID": 4711, "JOB_NODELIST": "alpha,beta", "JOB_NUM_NODES": 2, "RESTART_COUNT": attempt}
        env = os.environ | {f"SLURM_{name}": str(value) for name, value in job.items()}
        env |= {"PATH": f"{self.commands}:{env['PATH']}", "PYTHON": sys.executable}
        command = ["bash", str(BATCH_FILE), json.dumps(arguments)]
        return subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def requests(self) -> str:
        """What the jobs asked of scontrol, beside the names of the nodes."""
        return self.asked.read_text() if self.asked.exists() else ""


@pytest.fixture
def hosts():
    with Hosts(rate=10e6, delay=0.005) as hosts:
        yield hosts


def newest_step(folder: Path) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.pt")), default=0)


@pytest.mark.system("iproute2", "namespaces")
def test_link_cut_in_training_names_the_host_and_leaves_no_trace_after_the_resume(hosts, tmp_path):
    unbroken = distributed.launch(WORKER, 2, arguments={"epochs": EPOCHS})

    slurm = Slurm(tmp_path, [hosts.command(host) for host in ADDRESSES])
    arguments = {"epochs": EPOCHS, "folder": str(tmp_path / "run")}
    job = slurm.start(arguments | {"patience": 6.0})
    while newest_step(tmp_path / "run") < 15:
        assert job.poll() is None, job.stdout.read()
        time.sleep(0.02)
    hosts.cut("beta")
    broken, _ = job.communicate(timeout=240)
    assert job.returncode == 1 and newest_step(tmp_path / "run") < STEPS
    assert "rank 0 on alpha lost rank 1: no answer within 3 s from beta (10.77.0.2)" in broken
    assert "rank 1 on beta lost rank 0: no answer within 3 s from alpha (10.77.0.1)" in broken
    assert slurm.requests() == "requeue 4711\n"

    hosts.mend("beta")
    job = slurm.start(arguments, attempt=1)
    resumed, _ = job.communicate(timeout=240)
    assert job.returncode == 0, resumed
    done = re.findall(r"epoch .* s\n", broken)  # with their seconds: no epoch that is trained again has the same
    assert done and all(line in resumed for line in done)

    reports = {int(n): ast.literal_eval(report) for n, report in re.findall(r"report of rank (\d): (\{.*\})", resumed)}
    assert sorted(reports) == [0, 1]
    for report in [*reports.values(), *unbroken]:
        assert report["difference"] < 1e-6  # of a gradient, from that of one process with the whole batch
        assert report["weights"] == unbroken[0]["weights"]  # bit for bit


def test_a_job_that_fails_again_and_again_is_given_up(tmp_path):
    slurm = Slurm(tmp_path, [["false"], ["false"]])
    for attempt, asked in ((0, 1), (1, 2), (2, 2)):
        job = slurm.start({}, attempt)
        output, _ = job.communicate(timeout=60)
        assert job.returncode == 1 and f"attempt {attempt + 1} of 3 of job 4711 failed" in output
        assert slurm.requests() == "requeue 4711\n" * asked


SERVER = """
import socket
with socket.create_server(("", 5000)) as door:
    print("open", flush=True)
    way, _ = door.accept()
    while part := way.recv(65536):
        way.sendall(b"!" * part.count(b"?"))
"""
CLIENT = """
import socket, time
way = socket.create_connection(("beta", 5000))
begun = time.monotonic()
way.sendall(b"?"); way.recv(1)
there_and_back = time.monotonic() - begun
begun = time.monotonic()
way.sendall(b"." * 300_000 + b"?"); way.recv(1)
print(there_and_back, time.monotonic() - begun)
"""


@pytest.mark.system("iproute2", "namespaces")
def test_the_cable_has_its_rate_and_its_delay():
    with Hosts(rate=1e6, delay=0.02) as hosts:
        server = subprocess.Popen(hosts.command("beta", sys.executable, "-c", SERVER), stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "open\n"
        client = hosts.command("alpha", sys.executable, "-c", CLIENT)
        there_and_back, long = map(float, subprocess.check_output(client, timeout=30, text=True).split())
        server.communicate(timeout=30)
    assert there_and_back >= 0.04  # lower bounds: a busy machine only adds to them
    assert long >= 0.04 + 300_000 / 1e6


@pytest.mark.system("iproute2", "namespaces")
def test_nothing_is_left_when_the_test_itself_is_killed():
    mark = f"86400.{os.getpid()}"
    program = textwrap.dedent(f"""
        import subprocess, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from hosts import Hosts
        with Hosts(1e6, 0.0) as hosts:
            for host in ("alpha", "beta"):
                subprocess.Popen(hosts.command(host, "sleep", "{mark}"), start_new_session=True)
            print("started", flush=True)
            sys.stdin.read()
    """)

    def sleeping() -> int:
        return sum(words == ["sleep", mark] for words in command_lines())

    test = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert test.stdout.readline() == "started\n"
        wait_until(lambda: sleeping() == 2)
    finally:
        test.kill()
        test.communicate()
    wait_until(lambda: sleeping() == 0)


def command_lines() -> list[list[str]]:
    """Return the words of every process's command line on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text().rstrip("\0").split("\0"))
        except OSError:  # it has just ended
            continue
    return found


def wait_until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
