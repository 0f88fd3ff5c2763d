"""What runs first in the class machine's namespaces: it puts the machine's folders in place, then becomes JupyterHub."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
scratch = Path(os.environ["TRIAL_FOLDER"])


def mount(*arguments) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)


def open_the_way(folders: list[Path]) -> None:
    """Let every user reach `folders`, where a folder above them is closed, as /root mostly is: cover it, and keep only them."""
    kept = {}
    for number, folder in enumerate(folders):
        kept[folder] = scratch / "kept" / str(number)
        kept[folder].mkdir(parents=True)
        mount("--bind", folder, kept[folder])
    for folder in folders:
        closed = [above for above in reversed(folder.parents) if above.exists() and not above.stat().st_mode & 0o001]
        if closed:
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", closed[0])
        if not folder.exists():
            folder.mkdir(parents=True)
            mount("--bind", kept[folder], folder)


def wait_for_port(port: int, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError, TimeoutError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        time.sleep(0.2)
    raise SystemExit(f"configurable-http-proxy did not answer within {seconds:g} s")


for name in ("passwd", "group"):
    mount("--bind", scratch / name, f"/etc/{name}")
needed = {CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)}
open_the_way(sorted(path.resolve() for path in needed))
mount("--bind", scratch / "srv", "/srv")

public_port, hub_port, api_port, git_port = os.environ["TRIAL_PORTS"].split()
git = ["git", "daemon", "--export-all", "--base-path=/srv/git", "--listen=127.0.0.1", f"--port={git_port}"]
trust = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
subprocess.Popen(git, env=os.environ | trust)

# JupyterHub would start the proxy itself, and give it ten seconds: too few on a machine that is busy with other tests.
proxy = ["configurable-http-proxy", "--ip=127.0.0.1", f"--port={public_port}", "--api-ip=127.0.0.1", f"--api-port={api_port}"]
subprocess.Popen([*proxy, f"--error-target=http://127.0.0.1:{hub_port}/hub/error"])
wait_for_port(int(api_port))

config = Path(__file__).with_name("trial_config.py")
os.chdir(scratch)
os.execv(sys.executable, [sys.executable, "-m", "jupyterhub", f"--config={config}"])
