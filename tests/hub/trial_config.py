"""The course's settings for a hub, and what a trial on loopback does otherwise than a class machine (see hub/README.md)."""

import os
from pathlib import Path

scratch = Path(os.environ["TRIAL_FOLDER"])
public_port, hub_port, api_port, _ = os.environ["TRIAL_PORTS"].split()

c = get_config()  # noqa: F821  (JupyterHub puts it there)
load_subconfig("/srv/course/hub/jupyterhub_config.py")  # noqa: F821

c.JupyterHub.bind_url = f"http://127.0.0.1:{public_port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.should_start = False  # inside.py has started it; both find the token in CONFIGPROXY_AUTH_TOKEN
c.JupyterHub.db_url = f"sqlite:///{scratch}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(scratch / "cookie_secret")

c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.start_timeout = c.Spawner.http_timeout = 400  # seconds: other tests may share the cores
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["TRIAL_PASSWORD"]
c.SharedPasswordAuthenticator.allow_all = True
