"""JupyterLab as the course starts it, with `--config`: a learner sees nothing of the teacher's tools, a teacher does."""

import os
import sysconfig
from pathlib import Path

ROLES = ("learner", "teacher")
TEACHING = ("formgrader", "course_list", "assignment_list", "create_assignment")  # by nbgrader's names
SERVING = TEACHING[:3]  # the fourth works in the browser alone

role = os.environ.get("COURSE_ROLE") or "learner"
if role not in ROLES:
    raise SystemExit(f"COURSE_ROLE, which make calls ROLE: {role!r} is not allowed; allowed: {', '.join(ROLES)}")
hidden = role == "learner"


def without_teaching(handler, page):
    """What the browser is told to load, without nbgrader's menu and panels. Validate is a plugin of its own, and stays."""
    plugins = [f"@jupyter/nbgrader:{name.replace('_', '-')}" for name in (*TEACHING, "menu")]
    return page | {"disabledExtensions": [*page.get("disabledExtensions", []), *plugins]}


c = get_config()  # noqa: F821  (Jupyter puts it there)

# By default this is the folder of the notebook that is opened first, and a lesson could not link to its exercise.
c.ServerApp.root_dir = str(Path(__file__).resolve().parent)
c.ServerApp.jpserver_extensions = {f"nbgrader.server_extensions.{name}": not hidden for name in SERVING}
# The gradebook calls alembic, which a `make lab` without an activated environment would not find.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
if hidden:
    c.ServerApp.tornado_settings = {"page_config_hook": without_teaching}
