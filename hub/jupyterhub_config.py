"""The course's settings for JupyterHub on one class machine, whoever else has a say in the configuration.

The Littlest JupyterHub reads every file in /opt/tljh/config/jupyterhub_config.d/: link this one there. tests/hub/ loads the
same file. hub/README.md walks through it.
"""

from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]  # the link is followed: /srv/course

c = get_config()  # noqa: F821  (JupyterHub puts it there)

c.Spawner.default_url = "/lab"
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(COURSE / "hub" / "jupyter"),  # what every learner's server and nbgrader read
    "OMP_NUM_THREADS": "1",  # ten learners who each take every core are slower than ten who take one
}

# Room for a lesson and an exercise open at the same time. Only a spawner that knows limits keeps them: systemdspawner, which
# The Littlest JupyterHub uses, does; JupyterHub's own LocalProcessSpawner ignores them without a word.
c.SystemdSpawner.mem_limit = "2G"
c.SystemdSpawner.cpu_limit = 2.0

# Thirty people press the link within a minute: a few servers start at a time, the rest wait, and nobody is given up too early.
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.start_timeout = 180  # seconds
c.Spawner.http_timeout = 120  # seconds
