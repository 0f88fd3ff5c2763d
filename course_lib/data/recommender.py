"""A recommender's table of who chose what, read from the standard library: functions and the names they call."""

import ast
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .cache import cached_arrays
from .dataset import Dataset
from .text import library_files

LEAST_ITEMS = 4  # of a user: one is held out, and three are left to know the user by
LEAST_USERS = 5  # of an item
_READING = 1  # count up when the table changes, so that an older cache is not taken for the new one


@dataclass(frozen=True, eq=False)
class Calls(Dataset):
    """A Dataset of pairs: inputs are users, targets items. users: names of the users; classes: names of the items."""

    users: tuple[str, ...]


def library_calls() -> Calls:
    """Return which standard-library function (user) calls which name (item), with one item of each user held out.

    train: (users, items), int64 (pairs,) each, no pair twice;  test: (users, items), int64 (users,), the pair held out
    users: "module.py:Class.function";  classes: the names called, such as "append"

    Users have at least four items, items at least five users before the split. The table differs a little between
    versions of Python. Reading all sources takes seconds the first time; then the table comes from the cache folder.
    """
    version = sysconfig.get_python_version()
    arrays, sha256 = cached_arrays(f"library_calls-python{version}-v{_READING}.npz", _read_table)
    train, test = (
        (torch.from_numpy(arrays[f"{split}_users"]), torch.from_numpy(arrays[f"{split}_items"])) for split in ("train", "test")
    )
    provenance = {
        "name": "library_calls",
        "kind": "real",
        "source": f"source of the standard library of Python {version}: functions and the names they call",
        "n_train": len(train[0]),
        "n_test": len(test[0]),
        "sha256": sha256,
    }
    items, users = tuple(arrays["item_names"].tolist()), tuple(arrays["user_names"].tolist())
    return Calls("library_calls", train, test, items, provenance, users)


def _read_table() -> dict[str, np.ndarray]:
    chosen = _dense_core({user: called for name, path in library_files() for user, called in _functions(name, path)})
    users = sorted(chosen)
    items = sorted(set().union(*chosen.values()))
    place = {item: i for i, item in enumerate(items)}
    rng = np.random.default_rng(0)
    train, test = [], []
    for user, name in enumerate(users):
        pairs = [(user, place[item]) for item in sorted(chosen[name])]
        test.append(pairs.pop(rng.integers(len(pairs))))
        train += pairs
    arrays = {"user_names": np.array(users), "item_names": np.array(items)}
    for split, pairs in (("train", train), ("test", test)):
        arrays[f"{split}_users"], arrays[f"{split}_items"] = np.array(pairs, dtype=np.int64).T.copy()
    return arrays


def _functions(name: str, path) -> Iterator[tuple[str, set[str]]]:
    """(qualified name, names called) of each function in a source file; none when it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old escapes in other people's strings
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # a few templates in the library are not Python
    stack = [("", tree)]
    while stack:
        prefix, node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{name}:{prefix}{child.name}", _names_called(child)
            elif isinstance(child, ast.ClassDef):
                stack.append((f"{prefix}{child.name}.", child))
            else:
                stack.append((prefix, child))


def _names_called(function: ast.AST) -> set[str]:
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    names = (getattr(target, "attr", None) or getattr(target, "id", None) for target in called)
    return {name for name in names if name}


def _dense_core(chosen: dict[str, set[str]]) -> dict[str, set[str]]:
    """Drop rare items and users with few items until none is left to drop."""
    while True:
        popularity = Counter(item for items in chosen.values() for item in items)
        kept = {user: {item for item in items if popularity[item] >= LEAST_USERS} for user, items in chosen.items()}
        kept = {user: items for user, items in kept.items() if len(items) >= LEAST_ITEMS}
        if kept == chosen:
            return kept
        chosen = kept
