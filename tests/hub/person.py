"""What a person's browser says to the class machine, over HTTP and a websocket: log in, pull, fetch, run, save, hand in."""

import json
import time
import uuid

import requests
import websocket

PATIENCE = 400  # seconds for one step: ten servers may start on two cores that run other tests as well


class Person:
    """A login of one user. Every wait has an end: what does not come within PATIENCE raises RuntimeError in words."""

    def __init__(self, machine, name: str):
        self.machine, self.name = machine, name
        self.home = f"{machine.address}/user/{name}"
        self._session = requests.Session()

    def log_in(self) -> float:
        """Fill in the login form and wait for JupyterLab's page; returns the seconds it took."""
        start = time.monotonic()
        form = f"{self.machine.address}/hub/login"
        self._session.get(form, timeout=PATIENCE).raise_for_status()
        fields = {"username": self.name, "password": self.machine.password, "_xsrf": self._session.cookies["_xsrf"]}
        self._session.post(form, data=fields, timeout=PATIENCE)
        while time.monotonic() - start < PATIENCE:
            page = self._session.get(f"{self.home}/lab", timeout=PATIENCE)
            if page.ok and page.url.startswith(f"{self.home}/lab"):
                return time.monotonic() - start
            time.sleep(0.5)
        raise RuntimeError(f"{self.name} has no JupyterLab after {PATIENCE} s, but {page.status_code} at {page.url}")

    def pull(self) -> None:
        """What the page behind an nbgitpuller link does: clone the course into the home, or bring the clone up to date."""
        query = {"repo": self.machine.repository, "branch": "main"}
        events = self._ask("GET", "git-pull/api", params=query, headers={"Accept": "text/event-stream"}).text
        phases = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")]
        if not phases or phases[-1]["phase"] != "finished":
            raise RuntimeError(f"{self.name} could not pull the course: {events[-500:]}")

    def assignment(self, action: str, exercise: str) -> list[str]:
        """Press "fetch" or "submit" in the Assignment List; returns the states in which it then shows the exercise."""
        wanted = {"course_id": "faster-cheaper", "assignment_id": exercise}
        answer = self._ask("POST", f"assignments/{action}", json=wanted).json()
        if not answer["success"]:
            raise RuntimeError(f"{self.name} could not {action} {exercise}: {answer['value']}")
        return [found["status"] for found in answer["value"] if found["assignment_id"] == exercise]

    def notebook(self, path: str) -> dict:
        return self._ask("GET", f"api/contents/{path}").json()["content"]

    def save(self, path: str, notebook: dict) -> None:
        self._ask("PUT", f"api/contents/{path}", json={"type": "notebook", "format": "json", "content": notebook})

    def run(self, sources: list[str], path: str = "") -> list[str]:
        """Run cells one after another in a new kernel, which starts in the folder `path`; returns what each printed."""
        kernel = self._ask("POST", "api/kernels", json={"name": "python3", "path": path}).json()["id"]
        address = f"{self.home}/api/kernels/{kernel}/channels"
        sign = requests.cookies.get_cookie_header(self._session.cookies, requests.Request("GET", address).prepare())
        channels = websocket.create_connection(
            address.replace("http", "ws", 1), timeout=PATIENCE, cookie=sign, origin=self.machine.address
        )
        try:
            return [self._run_cell(channels, source) for source in sources]
        finally:
            channels.close()
            self._ask("DELETE", f"api/kernels/{kernel}")

    def gradebook(self) -> list[str]:
        """The exercises that the formgrader lists."""
        return [assignment["name"] for assignment in self._ask("GET", "formgrader/api/assignments").json()]

    def status(self, path: str) -> int:
        """The status code of a page of this person's own server."""
        return self._session.get(f"{self.home}/{path}", timeout=PATIENCE).status_code

    def _run_cell(self, channels: websocket.WebSocket, source: str) -> str:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "trial", "username": self.name}
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
        message = {"header": header | {"version": "5.3"}, "parent_header": {}, "metadata": {}, "content": content}
        channels.send(json.dumps(message | {"channel": "shell"}))
        printed, deadline = "", time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = json.loads(channels.recv())
            if answer["parent_header"].get("msg_id") != header["msg_id"] or answer["channel"] != "iopub":
                continue
            content = answer["content"]
            if answer["msg_type"] == "stream":
                printed += content["text"]
            if answer["msg_type"] == "error":
                printed += f"{content['ename']}: {content['evalue']}\n"
            if answer["msg_type"] == "status" and content["execution_state"] == "idle":
                return printed
        raise RuntimeError(f"{self.name}: a cell had not ended after {PATIENCE} s: {source[:100]!r}")

    def _ask(self, method: str, path: str, **options) -> requests.Response:
        """A request to this person's own server, with the cross-site token that its pages carry."""
        address = f"{self.home}/{path}"
        tokens = [cookie.value for cookie in self._session.cookies if cookie.name == "_xsrf" and self.name in cookie.path]
        headers = options.pop("headers", {}) | {"X-XSRFToken": tokens[-1]}
        answer = self._session.request(method, address, headers=headers, timeout=PATIENCE, **options)
        if not answer.ok:
            raise RuntimeError(f"{self.name}: {method} {path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer
