"""A look at the learners' code, without running it: does it reach for what grades it rather than for the answer?

A flag for the teacher and no more. It takes no points, since honest code may do any of this; and it is not what protects
the grades, since whoever tries can hide from it. The sandbox and the judge do that.
"""

import ast
import builtins
import importlib.util
import re
import sys
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from grading import suspects
from grading.release import ROOT

DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def reaches(answers, given, tests):
    """What the code reaches for, as short words in order.

    answers: sources of the learner's own cells;  given, tests: those of the course's cells and test cells.
    """
    names = _names_of(given)
    # A learner's scratch cell may well use a variable of a test; what a test defines or imports is another matter.
    names |= {name: full for name, full in _names_of(tests, definitions_only=True).items() if name not in names}
    look = _Look(names)
    for source in answers:
        look.at(source)
    return sorted(look.found)


def _names_of(cells, definitions_only=False):
    """{name: what it is imported from, None for what is no import} of the names that the course's own cells make."""
    names = {}
    for node in (node for source in cells for node in ast.parse(source).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= _imported(node)
        elif isinstance(node, DEFINITIONS) or not definitions_only:
            names |= dict.fromkeys(_stored(node))
    return names


def _imported(node):
    """{name: full name of what it is} of an import statement."""
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {
        alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
        for alias in node.names
    }


def _stored(node):
    """The names that a statement at the top of a cell assigns to, deletes or defines."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    return {part.id for part in _outside_functions(node) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}


def _outside_functions(node):
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, DEFINITIONS | ast.Lambda | ast.comprehension | ast.ListComp):
            yield from _outside_functions(child)


class _Look(ast.NodeVisitor):
    def __init__(self, given):
        self.found = set()
        self._given, self._imports, self._own = given, {name: full for name, full in given.items() if full}, set()
        self._inside = False  # a function or a class
        self._fine = set()  # places where a module may stand

    def at(self, source):
        """Look at a cell; one that is no Python cannot run."""
        try:
            self._look_at(ast.parse(TransformerManager().transform_cell(source)))
        except (SyntaxError, ValueError):
            return
        except (RecursionError, MemoryError):
            self.found.add("code nested too deeply to be looked at")

    def _look_at(self, tree):
        self._own |= {part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        self._own |= {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)}
        for node in tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                for name in _stored(node) & ({*self._given, *dir(builtins)} - {"_"}):
                    self.found.add(f"{name} replaced")
        self.visit(tree)

    def visit_Import(self, node):
        self._import(node, [alias.name for alias in node.names])

    def visit_ImportFrom(self, node):
        self._import(node, [node.module or ""])
        for full in _imported(node).values():
            self._look_at_path(full.split("."))
            self.found |= {full} & suspects.MODULES

    def _import(self, node, modules):
        for module in modules:
            top = module.split(".")[0]
            harmless = {module, *_imported(node).values()} & suspects.HARMLESS_MODULES
            if (not suspects.MODULES.isdisjoint({top, module}) and not harmless) or not _is_installed(top):
                self.found.add(module)
        for name, full in _imported(node).items():
            if self._given.get(name, full) != full:
                self.found.add(f"{name} replaced")
            self._imports[name] = full

    def _full(self, node):
        """["torch", "nn", "Linear"] for nn.Linear after `from torch import nn`, None for what is not imported."""
        path = _path(node)
        return [*self._imports[path[0]].split("."), *path[1:]] if path and path[0] in self._imports else None

    def _look_at_path(self, full):
        words = set(full[1:])
        self.found |= words & (suspects.ANYWHERE | suspects.THROUGH_OTHERS)
        partly = [
            full[: n + 1]
            for n in (1, 2)
            if full[n : n + 1] and full[n] not in suspects.PARTLY.get(".".join(full[:n]), {full[n]})
        ]
        if partly or any(map(suspects.PRIVATE.match, words)) or "__dict__" in words or suspects.FOR_ALL.match(".".join(full)):
            self.found.add(".".join(partly[0] if partly else full))

    def _visit_scope(self, node):
        """What is named inside hides what was imported outside."""
        imports, inside = self._imports, self._inside
        self._imports = {name: full for name, full in imports.items() if name not in _locals(node)}
        self._inside = inside or isinstance(node, DEFINITIONS | ast.Lambda)
        self.generic_visit(node)
        self._imports, self._inside = imports, inside

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _visit_scope
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_scope

    def visit_Assign(self, node):
        self._call_it(node.targets[0], [node.value])
        self.generic_visit(node)

    def visit_For(self, node):
        self._call_it(node.target, getattr(node.iter, "elts", ()))
        self.generic_visit(node)

    visit_comprehension = visit_For

    def _call_it(self, target, values):
        """Another name for a module or a class is as good as its own."""
        for value in filter(self._full, values if isinstance(target, ast.Name) else ()):
            full = self._full(value)
            if _is_module(full) or full[-1][:1].isupper() or full[0] in suspects.PARTLY:
                self._imports[target.id] = ".".join(full)
                self._fine.add(value)

    def _look_where_it_goes(self, node):
        """What is given a module could do anything with it."""
        full = self._full(node)
        if full and _is_module(full) and isinstance(node.ctx, ast.Load) and node not in self._fine:
            self.found.add(f"{ast.unparse(node)} handed on")

    def visit_Name(self, node):
        self._look_where_it_goes(node)
        if node.id in suspects.NAMES and isinstance(node.ctx, ast.Load) and node.id not in self._own & suspects.OFTEN_LOCALS:
            self.found.add(node.id)
        if node.id == "getattr" or (node.id == "locals" and not self._inside):  # as a value: calls of getattr are below
            self.found.add(node.id)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.found |= suspects.UNMISTAKABLE & set(re.findall(r"\w+", node.value))

    def visit_BinOp(self, node):
        if text := _joined(node):
            self.visit(ast.Constant(text))
        self.generic_visit(node)

    def visit_keyword(self, node):
        if isinstance(node.value, ast.Constant) and (node.arg, node.value.value) in suspects.UNPICKLES:
            self.found.add(f"{node.arg}={node.value.value}")
        self.generic_visit(node)

    def visit_MatchClass(self, node):
        self.found |= set(node.kwd_attrs) & suspects.ANYWHERE
        self.generic_visit(node)

    def visit_Attribute(self, node):
        self.found |= {node.attr} & suspects.ANYWHERE
        if node.attr == "__enter__" and ast.unparse(node.value) != "super()":  # what begins here may never end
            self.found.add("__enter__")
        self._look_where_it_goes(node)
        self._fine.add(node.value)
        full, stored = self._full(node), not isinstance(node.ctx, ast.Load)
        if node.attr in suspects.THROUGH_OTHERS and not stored:
            self.found.add(node.attr)
        if full:
            self._look_at_path(full)
        if stored and (_is_class_of(node.value) or (full and not suspects.SETTINGS & set(full[1:-1]))):
            self.found.add(f"{ast.unparse(node)} replaced")
        self.generic_visit(node)

    def visit_Subscript(self, node):
        if not isinstance(node.ctx, ast.Load):
            self._look_at_change(node.value)
        self.generic_visit(node)

    def _look_at_change(self, table):
        """A table of somebody else's that is written to: PyTorch's formulas for FLOPs, and not a setting."""
        full = self._full(table)
        if full and isinstance(_object(full), dict | list | set) and not suspects.SETTINGS & set(full):
            self.found.add(f"{ast.unparse(table)} replaced")

    def visit_Call(self, node):
        if _is_harmless_magic(node):
            self._look_at_words(node)
            return
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if isinstance(node.func, ast.Attribute) and node.func.attr in suspects.CHANGES:
            self._look_at_change(node.func.value)
        words = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        full = self._full(node.args[0]) if node.args else None
        if name in ("getattr", "setattr", "delattr") and set(words) & suspects.ANYWHERE:
            self.found |= set(words) & suspects.ATTRIBUTES
        if full and name in ("getattr", "setattr", "delattr"):
            self._look_at_path([*full, *words])
        if name in ("setattr", "delattr") and (full or any(isinstance(part, ast.Starred) for part in node.args)):
            self.found.add(f"{ast.unparse(node.args[0])} replaced")
        if name == "vars" and (full or not (node.args or self._inside)):
            self.found.add("vars")
        if self._full(node.func) in (["timeit", "timeit"], ["timeit", "repeat"], ["timeit", "Timer"]):
            for text in words:
                self.at(text)
        self._fine |= set(node.args) if name in suspects.MAY_TAKE_A_MODULE else set()
        self._visit_call(node, name)

    def _visit_call(self, node, name):
        plain = name == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant | ast.Name)
        if plain or name in ("exit", "quit"):
            for part in [*node.args, *node.keywords]:
                self.visit(part)
        else:
            self.generic_visit(node)

    def _look_at_words(self, magic):
        """What stands behind %time and its like is code, too."""
        text = " ".join(part.value for part in magic.args[1:] if isinstance(part, ast.Constant))
        self.found |= set(re.findall(r"\w+", text)) & (
            suspects.ANYWHERE | suspects.NAMES - suspects.OFTEN_LOCALS | suspects.MODULES
        )
        if magic.func.attr in suspects.SHELL:
            line = magic.args[0].value if magic.args and isinstance(magic.args[0], ast.Constant) else ""
            self.found |= set() if suspects.SHELL_LINE.fullmatch(line) else {"another program"}
        elif magic.args[0].value in ("time", "timeit"):
            self.at(re.sub(r"^\s*(-\w+\s*\d*\s+)*", "", text))


def _locals(node):
    """The names that a function, a class or a comprehension has for itself."""
    inside = [*_outside_functions(node)]
    inside += [part for each in getattr(node, "generators", ()) for part in ast.walk(each.target)]
    shared = {name for part in inside if isinstance(part, ast.Global | ast.Nonlocal) for name in part.names}
    stored = {part.id for part in inside if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return (stored - shared) | {part.arg for part in inside if isinstance(part, ast.arg)}


def _is_module(full):
    return len(full) == 1 or ".".join(full) in sys.modules


def _object(full):
    """What a full name stands for, None where this process has not loaded it."""
    loaded = [count for count in range(len(full), 0, -1) if ".".join(full[:count]) in sys.modules]
    found = sys.modules[".".join(full[: loaded[0]])] if loaded else None
    for part in full[loaded[0] :] if loaded else ():
        found = getattr(found, part, None)
    return found


def _is_class_of(node):
    """Whether this is type(x) or x.__class__, of anything but the object itself."""
    of = node.args[0] if isinstance(node, ast.Call) and _path(node.func) == ["type"] and len(node.args) == 1 else None
    of = node.value if isinstance(node, ast.Attribute) and node.attr == "__class__" else of
    return of is not None and _path(of) != ["self"]


def _joined(node):
    """The text of "a" + "b", "" for other sums."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = _joined(node.left), _joined(node.right)
        return "".join(parts) if all(parts) else ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_installed(module):
    """Whether a module is Python's, an installed one or the course's: not one that the notebook itself has written."""
    try:
        found = importlib.util.find_spec(module) if module else None
    except (ImportError, ValueError):
        return False
    return bool(found) and (
        module == "course_lib" or not Path(found.origin or ROOT).is_relative_to(ROOT) or "site-packages" in found.origin
    )


def _path(node):
    """["torch", "nn", "Linear"] for torch.nn.Linear, None for what is no such chain of names."""
    if isinstance(node, ast.Name):
        return [node.id]
    path = _path(node.value) if isinstance(node, ast.Attribute) else None
    return path and [*path, node.attr]


def _is_harmless_magic(node):
    """Whether this is what became of a line with % or !, and one that an honest learner writes."""
    called = node.func
    if (
        not isinstance(called, ast.Attribute)
        or not isinstance(called.value, ast.Call)
        or _path(called.value.func) != ["get_ipython"]
    ):
        return False
    named = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
    return called.attr in suspects.SHELL or (called.attr in ("run_line_magic", "run_cell_magic") and named in suspects.MAGICS)
