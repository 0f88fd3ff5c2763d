"""The plan of the house: who may import whom, that an import is silent and light, and where the core still runs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "course_lib"

# Each room, and the rooms of ours that it may import. A file names a room by its path: data/images.py is data.
ARROWS = {
    "device": set(),
    "models": set(),
    "checkpoint": set(),
    "intervals": set(),
    "store": set(),
    "schedules": set(),
    "exercises": set(),
    "copies": {"store"},
    "progress": {"copies"},
    "search": set(),
    "data": set(),
    "distributed": set(),
    "config": {"device"},
    "memory": {"device"},
    "checks": {"config", "data"},
    "measure": {"device", "intervals", "memory"},
    "records": {"store"},
    "step": {"config"},
    "resume": {"step", "config", "device", "checkpoint", "distributed"},
    "train": {"step", "resume", "checks", "config", "device", "data", "distributed"},
    "ensemble": {"train", "checks", "config", "device", "data"},
    "compress": {"models", "records", "measure", "memory", "intervals"},
    "cost": {"records", "intervals"},
    "interruptions": {"intervals"},
    "ledger": {"records", "store", "intervals", "compress"},
    "explore": {"records", "measure", "schedules", "ledger", "device"},
}
DRAWING = {"matplotlib", "ipywidgets", "IPython", "traitlets"}
CORE = ("device", "models", "data.loaders", "measure", "records", "checkpoint", "config", "distributed", "train", "ensemble")
FILES = sorted(PACKAGE.rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(source: str, package: list[str]) -> set[str]:
    """Every module that `source`, a file of `package`, imports, at its top or within a function, in full."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def rooms(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("course_lib.")}


def imports_of(path: Path) -> set[str]:
    return imports(path.read_text(encoding="utf-8"), list(path.relative_to(ROOT).parts[:-1]))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_imports_are_read_in_every_form():
    source = (
        "import a.b as c, d\nfrom .e import f\nfrom . import g\nfrom ..h import i\ndef late():\n    from course_lib import j"
    )
    expected = {"a.b", "d", "course_lib.data.e.f", "course_lib.data.g", "course_lib.h.i", "course_lib.j"}
    assert imports(source, ["course_lib", "data"]) == expected
    assert rooms(expected) == {"data", "h", "j"}


def test_the_plan_has_no_circle():
    left = dict(ARROWS)
    while left:
        free = {name for name, needs in left.items() if not needs & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


def test_the_plan_names_every_room():
    found = {room(path) for path in FILES} - {"__init__"}
    assert found == ARROWS.keys(), "a new room needs its arrows in the plan above, and its line in the README's map"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_arrows(path):
    if room(path) == "__init__":
        assert imports_of(path) == set(), "import course_lib itself imports nothing"
        return
    beyond = rooms(imports_of(path)) - ARROWS[room(path)] - {room(path)}
    assert not beyond, f"{module(path)} imports {sorted(beyond)}, which the plan does not allow"


@pytest.mark.parametrize("path", [path for path in FILES if room(path) != "explore"], ids=module)
def test_only_explore_draws(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & DRAWING


@pytest.mark.parametrize("path", [path for path in FILES if room(path) != "explore"], ids=module)
def test_at_their_top_the_others_import_torch_and_numpy_alone(path):
    """What a function imports is its own matter; torch may have brought tqdm or filelock, which would hide such a line."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    top = ast.Module([node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])
    names = {name.split(".")[0] for name in imports(ast.unparse(top), list(path.relative_to(ROOT).parts[:-1]))}
    assert names <= {*sys.stdlib_module_names, "torch", "numpy", "course_lib"}


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_the_library_is_written_for_python_3_11_and_3_12(version):
    for path in FILES:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=version)


# Run in a process of its own, in an empty folder: imports what `then` names, in turn, and prints what each import did.
WATCH = """
import json, logging, os, random, sys, threading
import numpy, torch
for name in {first}:
    __import__(name)
def state():
    loggers = {{n: (len(x.handlers), x.level) for n, x in logging.root.manager.loggerDict.items() if hasattr(x, "level")}}
    return {{
        "threads": (torch.get_num_threads(), threading.active_count()),
        "generators": (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "logging": (loggers, len(logging.root.handlers), logging.root.level),
        "modes": (torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.is_grad_enabled()),
        "environment": (os.getcwd(), dict(os.environ)),
        "cuda": torch.cuda.is_initialized(),
    }}
did = []
def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event in ("os.mkdir", "os.rename", "os.remove", "socket.connect", "subprocess.Popen", "os.fork"):
        did.append(event + " " + str(arguments[0]))
sys.addaudithook(watch)
seen = {{}}
for name in {then}:
    before = state()
    __import__(name)
    after = state()
    changed = [part for part in before if before[part] != after[part]]
    if changed or did:
        seen[name] = changed + did
    did.clear()
print(json.dumps(seen))
"""


def python(code: str, folder: Path) -> str:
    """Run `code` as a fresh process in `folder` and return its output; it may write no byte code, and warn of nothing."""
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def imports_did(folder: Path, first: list[str], then: list[str]) -> dict:
    output = python(WATCH.format(first=first, then=then), folder)
    assert output.count("\n") == 1, f"an import printed: {output}"
    return json.loads(output)


def test_imports_are_silent_and_change_nothing(tmp_path):
    core = [module(path) for path in FILES if room(path) != "explore"]
    assert imports_did(tmp_path, [], core) == {}


def test_the_import_of_explore_is_silent_and_changes_nothing(tmp_path):
    # What the drawing packages do on their own import, such as matplotlib's list of fonts, is not ours.
    theirs = ["matplotlib.figure", "matplotlib.backends.backend_agg", "ipywidgets", "PIL.Image"]
    ours = [module(path) for path in FILES if room(path) == "explore"]
    assert imports_did(tmp_path, theirs, ours) == {}


def test_the_watcher_sees_what_an_import_must_not_do(tmp_path):
    (tmp_path / "loud.py").write_text(
        "import logging, os, subprocess, sys, torch\n"
        "logging.basicConfig()\ntorch.manual_seed(1)\ntorch.set_num_threads(torch.get_num_threads() + 1)\n"
        "torch.set_float32_matmul_precision('high')\nos.environ['LOUD'] = '1'\nopen('new.txt', 'w').close()\n"
        "subprocess.run([sys.executable, '--version'], stdout=subprocess.DEVNULL)\n"
    )
    seen = imports_did(tmp_path, [], ["loud", "json"])
    assert seen.keys() == {"loud"}
    assert seen["loud"][:5] == ["threads", "generators", "logging", "modes", "environment"]
    assert "open new.txt" in seen["loud"] and any(event.startswith("subprocess.Popen") for event in seen["loud"])
    (tmp_path / "loud.py").write_text("print('hello')\n")
    with pytest.raises(AssertionError, match="an import printed: hello"):
        imports_did(tmp_path, [], ["loud"])


# After torch and numpy have brought what they need, nothing but them and the standard library may be imported.
ALONE = """
import sys
import numpy, torch, torch.func
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {{*sys.stdlib_module_names, "torch", "numpy", "course_lib"}}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Refuse())
for name in {names}:
    __import__(name)
print(*sorted(sys.modules.keys() & {refused}))
"""


def test_the_training_core_needs_torch_and_numpy_alone(tmp_path):
    core = [f"course_lib.{name}" for name in CORE]
    assert python(ALONE.format(names=core, refused=DRAWING), tmp_path) == "\n"
    with pytest.raises(AssertionError, match="No module named 'PIL'"):
        python(ALONE.format(names=[*core, "PIL"], refused=DRAWING), tmp_path)
