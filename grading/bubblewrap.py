"""The room in which submitted code runs, as bubblewrap builds it: what can be seen there, written there and reached from there.

Seen: the system's programs and libraries, this Python with its packages, and course_lib, all read-only. Written: a home
and temporary folders in memory, of limited size, and nothing on the disk. Reached: nothing, not even the network of this
machine. Solutions, hidden tests, other submissions and the gradebook are in no place that can be named.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import course_lib
from grading import seccomp

COURSE_LIB = Path(course_lib.__file__).resolve().parent
HOME = "/home/learner"
SOCKETS = "/sockets"  # of the kernel; who is outside finds them through the sandbox's first process
CONNECTION = "/etc/kernel.json"
IN_MEMORY = ("/tmp", HOME, "/dev/shm", SOCKETS)  # all that can be written to
INSTALL = "sudo apt-get install bubblewrap"

# Files of /etc that programs look for: where libraries lie, which time it is. None of them names this machine's people.
FROM_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "fonts", "mime.types")
WRITTEN_ETC = {
    "passwd": f"learner:x:{os.getuid() if hasattr(os, 'getuid') else 0}:0:learner:{HOME}:/bin/sh\n",
    "hosts": "127.0.0.1 localhost sandbox\n",  # ranks that talk to each other look for their own host's name
}


@cache
def unavailable():
    """Why bubblewrap cannot run here, in words for the teacher and with what to do about it; None where it can."""
    if not sys.platform.startswith("linux"):
        return f"bubblewrap is made for Linux and this is {sys.platform}"
    if shutil.which("bwrap") is None:
        return f"bubblewrap is not installed; install it with: {INSTALL}"
    # All that the real one asks for, so that a version too old or a kernel too strict is found here.
    trial = [*_walls(), "--size", "4096", "--tmpfs", "/tmp", "--ro-bind", "/usr", "/usr", *_system_links(), "/usr/bin/true"]
    try:
        tried = subprocess.run(trial, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start ({error}); install it anew with: {INSTALL}"
    if tried.returncode == 0:
        return None
    refused = (tried.stderr.strip() or f"it ended with {tried.returncode}").splitlines()[-1]
    return (
        f"bubblewrap may not run here, or is older than version 0.8 ({refused}). Version 0.8: {INSTALL}. In a container, "
        "start it with --privileged; on Ubuntu 24.04 and later, allow it user namespaces (an AppArmor profile for bwrap)"
    )


def argv(folder, disk, rules):
    """bwrap and its arguments, to be followed by a command.

    folder: a new one, for the files that are shown in /etc; it has the kernel's connection file, kernel.json. disk: bytes
    that each of the folders in memory may hold. rules: the number of an open file that holds seccomp.program().
    """
    memory = [part for place in IN_MEMORY for part in ("--size", str(disk), "--tmpfs", place)]
    return [
        *_walls(),
        *(("--seccomp", str(rules)) if seccomp.program() else ()),
        *("--proc", "/proc", "--dev", "/dev", *memory),
        *("--ro-bind", "/dev/null", "/dev/zero"),  # mapped by several processes, it is memory that no limit counts
        *_read_only(),
        *_etc(folder),
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"),
        *("--hostname", "sandbox", "--chdir", HOME),
        *(part for name, value in environment(HOME).items() for part in ("--setenv", name, value)),
        "--",
    ]


def environment(home):
    """All that submitted code finds in its environment: nothing of the teacher's, which may hold passwords."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(COURSE_LIB.parent),  # bound there is course_lib alone
        "HOME": home,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # torch's own choice of threads beside another busy process is up to 60 times slower
        "OPENBLAS_NUM_THREADS": "1",
        "COURSE_DATA": f"{home}/data",
        "COURSE_RECORDS": f"{home}/records",
        "COURSE_INTERACTIVE": "0",
        "COURSE_OFFLINE": "1",
    }


def _walls():
    """Namespaces of its own for everything, no privilege, and no way to make namespaces with new ones inside."""
    return [
        *("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--clearenv"),
    ]


def _system_links():
    """Arguments that make /bin, /lib and their like as they are here: links into /usr, or folders."""
    arguments = []
    for path in (Path("/bin"), Path("/sbin"), *sorted(Path("/").glob("lib*"))):
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    return arguments


def _read_only():
    binds = ["--ro-bind", "/usr", "/usr", *_system_links()]
    # The number of cores: torch's libraries read it there and complain when they cannot.
    binds += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    # The checkout, which has solutions and hidden tests, may lie inside a folder that is shown: it is covered first.
    checkout = COURSE_LIB.parent
    outside = [place for place in _python() if not place.is_relative_to(checkout)]
    inside = [place for place in _python() if place not in outside]
    binds += [*_bound(outside), "--size", "65536", "--tmpfs", str(checkout)]
    binds += [*_bound([*inside, COURSE_LIB]), "--remount-ro", str(checkout)]
    return binds


def _bound(places):
    return [part for place in sorted(places) for part in ("--ro-bind", str(place), str(place))]


@cache
def _python():
    """The folders of this Python: a virtual environment, and the installation that it links to."""
    executable = Path(sys.executable)
    places = {Path(sys.prefix), Path(sys.base_prefix), executable.resolve().parent.parent}
    places |= {place.resolve() for place in places}
    return sorted(place for place in places if place != Path("/") and not place.is_relative_to("/usr"))


def _etc(folder):
    (folder / "etc").mkdir()
    arguments = []
    for name, text in WRITTEN_ETC.items():
        (folder / "etc" / name).write_text(text, encoding="utf-8")
        arguments += ["--ro-bind", str(folder / "etc" / name), f"/etc/{name}"]
    arguments += ["--ro-bind", str(folder / "kernel.json"), CONNECTION]
    for name in FROM_ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return arguments
