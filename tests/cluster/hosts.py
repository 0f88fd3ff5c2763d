"""Two hosts on one Linux machine: network namespaces with names and addresses of their own, and a cable between them.

The cable is a process that carries packets from one host's interface to the other's, at a rate and with a delay. (The
kernel's own way is tc with `netem`, but the small kernels of many virtual machines are built without it.)

All of it hangs from one process, the first of a process namespace, which ends when its standard input is closed. With it
the kernel ends every process of both hosts, and no namespace outlives its processes: nothing is left behind, not even by
a test that is killed. `python tests/cluster/hosts.py` tries whether this machine allows it.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
ADDRESSES = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
INTERFACE = "eth0"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # from linux/if_tun.h
LARGEST = 65536  # bytes of a packet


class Hosts:
    """The two hosts of ADDRESSES, for the time of a `with` block.

    `rate`, bytes a second, and `delay`, seconds, hold for each direction of the cable. Raises OSError with the words of
    the command that failed where this machine does not allow namespaces.
    """

    def __init__(self, rate: float, delay: float):
        rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        apart = ["unshare", *rights, "--mount", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
        with tempfile.TemporaryFile("w+") as errors:
            self.root = subprocess.Popen(
                [*apart, sys.executable, __file__, str(rate), str(delay)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            if not self.root.stdout.readline():
                self.__exit__()
                errors.seek(0)
                raise OSError((errors.read().strip() or "the hosts ended without a word").splitlines()[-1])
        entry = ["--user", "--preserve-credentials"] if rights else []
        entry += [f"--target={self.root.pid}", "--mount", f"--pid=/proc/{self.root.pid}/ns/pid_for_children"]
        self.entry = ["nsenter", *entry, "--"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.root.stdin.close()
        try:
            self.root.wait(timeout=10)
        finally:
            self.root.kill()  # and, by --kill-child, all the rest
            self.root.wait()
            self.root.stdout.close()

    def command(self, host: str, *command: str) -> list[str]:
        """Return the command line, to be run on this machine, that runs `command` on `host`, in the checkout."""
        named = ["unshare", "--uts", "sh", "-c", f'hostname {host} && cd "$0" && exec "$@"', str(ROOT), *command]
        return [*self.entry, "ip", "netns", "exec", host, *named]

    def cut(self, host: str) -> None:
        """Take the interface of `host` down: from now on packets to it and from it are lost in silence."""
        subprocess.run(self.command(host, "ip", "link", "set", INTERFACE, "down"), check=True, timeout=10)

    def mend(self, host: str) -> None:
        """Take the interface of `host` up again."""
        subprocess.run(self.command(host, "ip", "link", "set", INTERFACE, "up"), check=True, timeout=10)


def build(rate: float, delay: float) -> None:
    """Within the new namespaces: make the hosts, say so, and be their cable until the standard input is closed."""
    sh("mount", "-t", "tmpfs", "tmpfs", "/run")  # ip keeps the names of its namespaces there
    names = Path("/run/hosts")
    names.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {host}\n" for host, address in ADDRESSES.items()))
    sh("mount", "--bind", str(names), "/etc/hosts")
    ends = [interface(host) for host in ADDRESSES]
    print("ready", flush=True)
    carry(ends, rate, delay)


def interface(host: str) -> int:
    """Make `host`, and its interface; return the file in which this process reads what it sends, and writes what it gets."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    sh("ip", "netns", "add", host)
    sh("ip", "link", "set", INTERFACE, "netns", host)
    sh("ip", "-n", host, "address", "add", f"{ADDRESSES[host]}/24", "dev", INTERFACE)
    for name in ("lo", INTERFACE):
        sh("ip", "-n", host, "link", "set", name, "up")
    return end


def carry(ends: list[int], rate: float, delay: float) -> None:
    """Carry packets between the two `ends`: each waits until those before it are through, and then for the delay."""
    others = dict(zip(ends, reversed(ends), strict=True))
    under_way = {end: deque() for end in ends}  # (when it arrives, packet), by the end at which it arrives
    free_at = dict.fromkeys(ends, 0.0)  # when the last packet from this end is through
    while True:
        due = min((packets[0][0] for packets in under_way.values() if packets), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([sys.stdin, *ends], [], [], wait)
        if sys.stdin in ready:
            return
        for end in ready:
            with suppress(OSError):  # an interface that is down
                packet = os.read(end, LARGEST)
                free_at[end] = max(time.monotonic(), free_at[end]) + len(packet) / rate
                under_way[others[end]].append((free_at[end] + delay, packet))
        for end, packets in under_way.items():
            while packets and packets[0][0] <= time.monotonic():
                _, packet = packets.popleft()
                with suppress(OSError):
                    os.write(end, packet)


def sh(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        build(float(sys.argv[1]), float(sys.argv[2]))
    else:
        with Hosts(rate=1e9, delay=0.0) as hosts:
            for host in ADDRESSES:
                subprocess.run(hosts.command(host, "true"), check=True, timeout=10)
