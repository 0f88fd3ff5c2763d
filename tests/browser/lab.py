"""A real JupyterLab on a port of its own, and what a person does in it: open a notebook, run all cells, look for errors."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

CHECKOUT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROMPTS = """[...document.querySelectorAll(".jp-Notebook .jp-CodeCell .jp-InputArea-prompt")].map(p => p.textContent)"""
STARTED = f"() => {PROMPTS}.some(text => /[*0-9]/.test(text))"
FINISHED = f"() => !{PROMPTS}.some(text => text.includes('*'))"
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells in the page, not only those in view
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
}


@contextlib.contextmanager
def jupyterlab(root: Path, scratch: Path, extra_environment: dict | None = None) -> Iterator[str]:
    """Serve `root` with its configuration, if it has one; all other settings and files lie below `scratch`.

    Yields an address, which has a "{}" for the notebook's path below `root`. On leaving, server and kernels have ended.
    """
    [port], token = free_ports(1), secrets.token_hex(16)
    environment = _environment(scratch) | (extra_environment or {})
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": root,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": token,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    if (root / "jupyter_server_config.py").exists():
        command.append("--config=jupyter_server_config.py")
    with open(scratch / "server.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}/api/status?token={token}"
        wait_until_it_answers(server, address, scratch / "server.log", START_SECONDS)
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token={token}"
    finally:
        _stop(server)


@contextlib.contextmanager
def browser_page(width: int = 1300, height: int = 1000) -> Iterator[Page]:
    """A page of the system's own Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


def open_notebook(page: Page, address: str) -> None:
    """Open the notebook and wait until its kernel is ready."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    # the round mark beside the kernel's name says "idle" before there is a kernel; the status bar does not
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)


def run_all(page: Page, seconds: float = 300) -> None:
    """Choose Run > Run All Cells and wait until every code cell has run, or one ended in an error.

    Raises playwright's TimeoutError when that takes more than `seconds`.
    """
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(STARTED, timeout=30_000)
    page.wait_for_function(FINISHED, timeout=seconds * 1000)


def errors(page: Page) -> list[str]:
    """The text of every traceback in the notebook, and of every widget that the browser could not show."""
    tracebacks = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').filter(has_text="Traceback")
    return tracebacks.all_inner_texts() + page.locator(".jupyter-widgets-error-widget").all_inner_texts()


def processes_below(scratch: Path) -> list[int]:
    """Ids of processes whose environment names `scratch`: server and kernels that still live. Linux only, else []."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(scratch) in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listened on a moment ago, all of them different."""
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def _environment(scratch: Path) -> dict:
    """The environment of the server: nothing of this machine's Jupyter is read or written."""
    settings = scratch / "settings"
    for name, values in SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "COURSE_INTERACTIVE"}
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    return (
        environment
        | {name: str(scratch / name.lower()) for name in folders}
        | {
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "PYTHONPATH": str(CHECKOUT),
        }
    )


def wait_until_it_answers(server: subprocess.Popen, address: str, log: Path, seconds: float) -> None:
    """Return when the address answers. Raises RuntimeError with the end of the log when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"{address} did not answer. The log:\n{log.read_text(errors='replace')[-3000:]}")


def _stop(server: subprocess.Popen) -> None:
    server.send_signal(signal.SIGTERM)  # the server ends its kernels first
    try:
        server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
