"""What each person's own server does on the class machine, before it starts a kernel."""

import os
from pathlib import Path

COURSE = Path(__file__).resolve().parents[2]
FOR_TEACHERS = ("formgrader", "course_list", "create_assignment")  # by nbgrader's names; the third works in the browser alone

c = get_config()  # noqa: F821  (Jupyter puts it there)

# course_lib lies in the course's folder here, where learners may not write: their records belong into their homes, and what
# they fetch from the exchange, ~/01_measuring/01_measuring.ipynb, is their own copy, in which the start page counts progress.
os.environ.setdefault("COURSE_RECORDS", str(Path.home() / "my_records"))
os.environ.setdefault("COURSE_EXERCISES", str(Path.home()))

# On a machine that many share, a kernel talks through a socket in its learner's own home, not through an open port.
c.KernelManager.transport = "ipc"


def without_teaching(handler, page):
    """What the browser is told to load, without the panels that would answer a learner with an error."""
    plugins = [f"@jupyter/nbgrader:{name.replace('_', '-')}" for name in FOR_TEACHERS]
    return page | {"disabledExtensions": [*page.get("disabledExtensions", []), *plugins]}


# Whoever may write where hand-ins are collected is the teacher: no second list of names to keep.
if os.access(COURSE / "grading", os.W_OK):
    # formgrader reads nbgrader_config.py in the working folder, and the course must lie below the server's root
    os.chdir(COURSE)
    c.ServerApp.root_dir = str(COURSE)
else:
    c.ServerApp.jpserver_extensions = {f"nbgrader.server_extensions.{name}": False for name in FOR_TEACHERS[:2]}
    c.ServerApp.tornado_settings = {"page_config_hook": without_teaching}
