"""A PostgreSQL server for a test: data, socket and log lie in one temporary folder, and no port is opened."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian keeps the server's commands out of the PATH, one folder a version.
FOLDERS = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
# It refuses to run as root.
AS_NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []


@contextmanager
def server() -> Iterator[str]:
    """Start a server, yield the URL of its empty database, and stop it for certain."""
    folder = Path(tempfile.mkdtemp(prefix="course-pg-"))  # short: a socket's path has 107 characters at most
    if AS_NOBODY:
        shutil.chown(folder, "nobody", "nogroup")
    data, log = folder / "data", folder / "log"
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=30"
    try:
        run("initdb", "-D", data, "-U", "course", "-A", "trust", "-E", "UTF8", "--no-sync", cwd=folder)
        run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options, cwd=folder)
        try:
            yield f"postgresql+psycopg://course@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data, cwd=folder)
    finally:
        shutil.rmtree(folder)


def run(command: str, *arguments: object, cwd: Path) -> None:
    path = shutil.which(command, path=os.pathsep.join([*FOLDERS, os.environ["PATH"]]))
    done = subprocess.run(  # to files: a server that was started would hold a pipe open
        [*AS_NOBODY, path, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}"
