"""A filter for the system calls of submitted code, as seccomp(2) takes it: what the walls of a sandbox do not stop.

Refused is memory that belongs to no process, since the watch over a kernel adds up its processes; the keyring, which is
the teacher's and of which there is one for all submissions; and calls that no lesson needs and many holes were found in.
"""

import errno
import platform
import struct

# The numbers of linux/audit.h and asm/unistd.h; on another processor there is no filter.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "io_uring_setup": (425, 425), "userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241),
}  # fmt: skip
MMAP = (9, 222)
SHARED_BY_NOBODYS_FILE = 0x21  # MAP_SHARED | MAP_ANONYMOUS
OTHER_TABLE = 0x40000000  # from here on, numbers of x86_64's second table of calls

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SECCOMP_RET_*
LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # instructions of linux/filter.h
NUMBER, ARCHITECTURE, FOURTH_ARGUMENT = 0, 4, 40  # where these stand in struct seccomp_data; mmap's flags are its fourth


def program(machine=None):
    """The filter as bytes, empty for a processor that it is not made for. machine: as platform.machine() names it."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    column = list(ARCHITECTURES).index(machine)
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURES[machine]), (RETURN, 0, 0, REFUSE)]
    steps += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, OTHER_TABLE), (RETURN, 0, 0, REFUSE)]
    for numbers in REFUSED.values():
        steps += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, REFUSE)]
    steps += [(EQUAL, 0, 4, MMAP[column]), (LOAD, 0, 0, FOURTH_ARGUMENT), (AND, 0, 0, SHARED_BY_NOBODYS_FILE)]
    steps += [(EQUAL, 0, 1, SHARED_BY_NOBODYS_FILE), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
