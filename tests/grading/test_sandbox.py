"""The sandbox: what code in it can see, change, take and leave, and what it can make the grading process believe."""

import os
import socket
import sys
from pathlib import Path

import psutil
import pytest
from submitting import ROOT

from grading import bubblewrap, sandbox, seccomp, watch
from grading.outputs import Outputs
from grading.passes import _plain_list, _results
from grading.sandbox import Kernel, KernelEnded, Limits, NoKernel

PATIENT = Limits(cell=120, total=500)  # s; a busy machine is no failure
EAGER = Limits(cell=1, total=60)
CROWDED = Limits(cell=80, total=90, processes=60)
SMALL = Limits(cell=80, total=90, memory=2**30)

sandboxed = pytest.mark.system("bubblewrap")


@pytest.fixture(scope="module")
def kernel():
    with Kernel(PATIENT) as kernel:
        yield kernel


@pytest.fixture
def leaves_nothing():
    """Fails the test when a process is left that was not there before; all of a sandbox are descendants of this one."""
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def printed(kernel, source):
    ran = kernel.run(source)
    assert ran.error is None, ran.error
    return "".join(output.text for output in ran.outputs if output.output_type == "stream")


@sandboxed
def test_a_cell_shows_what_a_notebook_keeps(kernel):
    ran = kernel.run("print('out'); import sys; print('err', file=sys.stderr); 1 / 0", expressions={"a": "6 * 7", "b": "c"})
    assert [output.output_type for output in ran.outputs] == ["stream", "stream", "error"]
    assert ran.error == ("ZeroDivisionError", "division by zero")
    assert ran.values == {"a": "42", "b": None}, "expressions are evaluated after a cell that raised, too"
    assert not ran.timed_out and ran.execution_count > 0


@sandboxed
def test_a_quiet_cell_shows_nothing_and_leaves_no_history(kernel):
    ran = kernel.run("hidden = 'test 8461'; print(hidden); hidden", expressions={"seen": "'test 8461' in str(In)"}, quiet=True)
    assert ran.outputs == [] and ran.values == {"seen": "False"}


@sandboxed
def test_nothing_of_the_course_is_there_but_course_lib(kernel):
    python = Path(sys.prefix)  # with `make` it lies in the checkout, and is seen there as well
    shown = ["course_lib", *([python.relative_to(ROOT).parts[0]] if python.is_relative_to(ROOT) else [])]
    seen = printed(kernel, f"import os; print(sorted(os.listdir({str(ROOT)!r})), os.path.isdir(os.path.expanduser('~/.ssh')))")
    assert seen == f"{sorted(shown)} False\n"
    kernel.run("import course_lib.exercises, numpy")
    wanted = ["hidden_tests_8461", str(Path.home() / ".bashrc"), "/etc/shadow", "/run", "/var", "/root/.ssh", "/sys/fs"]
    assert printed(kernel, f"import os; print([name for name in {wanted!r} if os.path.exists(name)])") == "[]\n"


@sandboxed
def test_nothing_can_be_changed(kernel):
    places = ["/", "/usr", "/etc", "/dev", str(ROOT), str(ROOT / "course_lib"), sys.prefix, "/proc/sys/kernel/core_pattern"]
    source = f"""
import os
for place in {places!r}:
    try:
        open(place if os.path.isfile(place) else place + "/new-8461", "w").close()
    except OSError:
        continue
    print("changed", place)
"""
    assert printed(kernel, source) == ""


@sandboxed
def test_no_network_and_no_environment(kernel, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        source = f"import socket, os\ntry:\n    socket.create_connection({address!r}, 2)\nexcept OSError:\n    print('refused')"
        assert printed(kernel, source) == "refused\n"
    monkeypatch.setenv("PASSWORD_8461", "secret")
    assert "8461" not in " ".join(bubblewrap.argv(tmp_path, 4096, 3))
    assert printed(kernel, "print(os.environ['OMP_NUM_THREADS'], os.environ['COURSE_DATA'])") == "1 /home/learner/data\n"


@sandboxed
def test_no_privilege_and_no_way_to_one(kernel):
    status = printed(kernel, "print(open('/proc/self/status').read())")
    lines = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert {lines[name].strip() for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert lines["NoNewPrivs"].strip() == "1"
    command = ["unshare", "--user", "--map-root-user", "true"]
    tried = f"import subprocess; print(subprocess.run({command}, capture_output=True).returncode)"
    assert printed(kernel, tried) != "0\n", "a namespace of its own would let it mount memory without a limit"


CALLS = """
import ctypes, mmap, os
system = ctypes.CDLL(None, use_errno=True)
def tried(what, make):
    try:
        made = make()
    except OSError:
        return
    if made != -1 or ctypes.get_errno() != 1: print(what)
tried("memfd", lambda: os.memfd_create("x"))
tried("shared by nobody's file", lambda: mmap.mmap(-1, 4096))
tried("shared zeros", lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 4096))
tried("System V", lambda: system.shmget(0, 4096, 0o1600))
tried("io_uring", lambda: system.syscall(425, 8, 0))
if os.uname().machine == "x86_64":
    tried("the teacher's keyring", lambda: system.syscall(250, 0, -3, 1))
    tried("through the other table", lambda: system.syscall(0x40000000 + 250, 0, -3, 1))
print(len(mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)))
"""


@sandboxed
@pytest.mark.skipif(not seccomp.program(), reason="no filter of system calls is made for this processor")
def test_memory_that_is_nobodys_and_the_teachers_keyring_are_refused(kernel):
    assert printed(kernel, CALLS) == "4096\n"


@sandboxed
def test_its_disk_is_small():
    fill = """
try:
    for i in range(9):
        open(f"{place}/{i}", "wb").write(bytes(2**18))
except OSError as error:
    print(error.strerror)
"""
    large = (
        "import os, tempfile\nwith tempfile.TemporaryFile(dir='/sockets') as file: print(os.write(file.fileno(), bytes(2**21)))"
    )
    with Kernel(Limits(disk=2**20, cell=60)) as kernel:
        for place in ("/home/learner", "/tmp", "/dev/shm"):
            assert printed(kernel, f"place = {place!r}\n{fill}") == "No space left on device\n"
        assert printed(kernel, large) == f"{2**20}\n"


@sandboxed
def test_too_much_output_is_cut_and_said():
    with Kernel(Limits(output=10_000, cell=60)) as kernel:
        ran = kernel.run("for i in range(3): print('x' * 9000, flush=True)")
        assert sum(len(output.text) for output in ran.outputs) < 11_000
        assert "output left out: more than 10,000 characters" in ran.outputs[-1].text
        ran = kernel.run("display({'text/plain': 'x' * 2**23}, raw=True)")
        assert ran.error is None and "output left out: a message of more than 8 MiB" in ran.outputs[-1].text
        shown = [sum(len(output.text) for output in kernel.run("print('x' * 8000)").outputs) for _ in range(5)]
        assert shown[0] > 8000 > shown[-1], "all cells together have a limit as well"
        assert kernel.run("1").outputs[0].data["text/plain"] == "1"


@sandboxed
def test_messages_that_are_none_do_no_harm(kernel):
    ran = kernel.run("""
kernel = get_ipython().kernel
parent = kernel.get_parent()
def forge(kind, content, parent=parent):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=parent)
forge("stream", {"name": 5, "text": ["x"]})
forge("stream", {"name": "stdout", "text": "for another cell"}, {"header": {"msg_id": "another"}})
forge("display_data", {"data": {"text/html": "<b>kept</b>", "application/javascript": "alert(1)"}, "metadata": {"x": 1}})
forge("status", {"execution_state": ["idle"]})
kernel.iopub_socket.send_multipart([b"<IDS|MSG>", b"", b"{", b"{}", b"{}", b"{}"])
kernel.iopub_socket.send_multipart([b"", b"x"])
""")
    assert ran.error is None
    assert [output.data for output in ran.outputs] == [{"text/html": "<b>kept</b>"}]
    assert printed(kernel, "print('still here')") == "still here\n"


@sandboxed
def test_an_endless_loop_is_interrupted_and_the_kernel_lives():
    with Kernel(EAGER) as kernel:
        ran = kernel.run("while True: pass")
        assert ran.timed_out and ran.error[0] == "KeyboardInterrupt"
        assert not kernel.run("1").timed_out


STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
BOMB = "import os\nwhile True: os.fork()"
THREADS = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()"
LOG = """
import glob, os
for number in map(os.path.basename, glob.glob("/proc/self/fd/*")):
    if os.readlink(f"/proc/self/fd/{number}").endswith("/log"): os.write(int(number), bytes(2**27))
while True: pass
"""
FILES = """
import tempfile
kept = []
for place in ("/tmp", "/home/learner", "/dev/shm"):
    for _ in range(7):
        kept.append(tempfile.TemporaryFile(dir=place))
        kept[-1].write(bytes(2**26)), kept[-1].flush()
while True: pass
"""
PAIRS = """
import os, socket
kept = []
for i in range(4):
    if os.fork() == 0: break
while len(kept) < 220:
    kept.append(socket.socketpair())
while True: pass
"""
FAMILY = """
import os, time
for i in range(4):
    if os.fork() == 0:
        x = bytearray(b"1") * 2**28
        time.sleep(90)
time.sleep(90)
"""


@sandboxed
@pytest.mark.parametrize(
    ("source", "limits", "reason"),
    [
        pytest.param("import os; os._exit(0)", PATIENT, "ended the Python process", id="exit"),
        pytest.param(STUBBORN, EAGER, "ran on for 2 s after it was interrupted", id="stubborn"),
        pytest.param(BOMB, CROWDED, "processes and threads|memory|opened more", id="fork bomb"),
        pytest.param(THREADS, CROWDED, "processes and threads", id="threads"),
        pytest.param(LOG, PATIENT, "wrote more", id="log"),
        pytest.param(FAMILY, SMALL, "GiB of memory", id="memory of several"),
        pytest.param(FILES, SMALL, "GiB of memory", id="memory of files that have no name"),
        pytest.param(PAIRS, PATIENT, "opened more", id="sockets of several"),
    ],
)
def test_what_cannot_be_borne_ends_the_kernel(leaves_nothing, monkeypatch, source, limits, reason):
    monkeypatch.setattr(sandbox, "MERCY", 2)
    with Kernel(limits) as kernel, pytest.raises(KernelEnded, match=reason):
        kernel.run(source)


@sandboxed
def test_what_cannot_be_watched_does_not_go_on(leaves_nothing, monkeypatch):
    with Kernel(PATIENT) as kernel:  # the other kernel of this file is watched meanwhile
        own, usage = kernel._process.pid, watch.usage
        monkeypatch.setattr(watch, "usage", lambda pid: [][1] if pid == own else usage(pid))
        with pytest.raises(KernelEnded, match=r"could not be watched \(IndexError\)"):
            kernel.run("while True: pass")


@sandboxed
def test_one_process_cannot_take_more_than_the_limit(kernel):
    assert kernel.run("x = bytearray(5 * 2**30)").error[0] == "MemoryError"


@sandboxed
def test_the_total_time_is_the_end():
    with Kernel(Limits(cell=60, total=2)) as kernel, pytest.raises(KernelEnded, match="used up the 2 s"):
        kernel.run("import time; time.sleep(50)")


@sandboxed
@pytest.mark.parametrize(
    ("starter", "words"),
    [("print('no ipykernel')", "did not start: no ipykernel"), ("import time; time.sleep(60)", "within 2 s")],
)
def test_a_kernel_that_does_not_start_is_nobodys_submission(leaves_nothing, monkeypatch, starter, words):
    monkeypatch.setattr(sandbox, "STARTER", starter)
    monkeypatch.setattr(sandbox, "START", 2 if "sleep" in starter else 60)
    with pytest.raises(NoKernel, match=words), Kernel(Limits()):
        pass


def test_what_it_started_ends_with_it(leaves_nothing):
    with Kernel(PATIENT) as kernel:
        kernel.run(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)"
        )
        folder = kernel._folder
        (folder / "locked").mkdir(mode=0)
    assert not folder.exists()


def test_an_unprotected_kernel_runs_anywhere(monkeypatch):
    monkeypatch.setattr("grading.sandbox.unavailable", lambda: "no bubblewrap here")
    with Kernel(PATIENT, protected=False) as kernel:
        assert printed(kernel, "import course_lib, os; print(os.environ['COURSE_OFFLINE'])") == "1\n"
        pid = int(kernel.run("", expressions={"pid": "__import__('os').getpid()"}).values["pid"])
    assert not psutil.pid_exists(pid)
    with pytest.raises(ValueError, match="no bubblewrap here"):
        Kernel()


@pytest.mark.parametrize(
    ("platform", "where", "words"),
    [
        ("darwin", "/usr/bin/bwrap", "made for Linux"),
        ("linux", None, "apt-get install bubblewrap"),
        ("linux", "broken", "may not run"),
    ],
)
def test_without_bubblewrap_it_says_why_and_what_helps(monkeypatch, tmp_path, platform, where, words):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("grading.bubblewrap.sys.platform", platform)
    monkeypatch.setattr("grading.bubblewrap.shutil.which", lambda name: where)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert words in bubblewrap.unavailable.__wrapped__()


@pytest.mark.parametrize("name", ["cell", "total", "memory", "processes", "disk", "output"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "20", None, True])
def test_limits_that_are_none_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: .* is not allowed"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    "text", [None, "", "(", "[" * 5000, "{'a': 1}", "check", "[1, 'x', ('a', 1)]", "[('a', 'many', True)]"]
)
def test_results_are_read_as_data_and_nothing_else(text):
    assert _results(text) == []


def test_results_that_are_sound_are_kept():
    assert _results("[('a', 1, True), 5, ('b', 2, False)]") == [("a", 1, True), ("b", 2, False)]
    assert _plain_list("[" + "1," * 200_000 + "]") == []


def test_outputs_of_one_stream_are_joined():
    outputs = Outputs(1000)
    for text in ("a", "b"):
        outputs.add({"msg_type": "stream", "content": {"name": "stdout", "text": text}})
    assert [output.text for output in outputs.all()] == ["ab"]


def test_half_a_character_is_no_output():
    outputs = Outputs(1000)
    outputs.add({"msg_type": "display_data", "content": {"data": {"text/plain": "\ud800"}, "metadata": {}}})
    assert outputs.all() == []
