"""A look at the learners' code, without running it: does it reach for what grades it rather than for the answer?

A flag for the teacher and no more. It takes no points, since honest code may do any of this; and it is not what protects
the grades, since whoever tries can hide from it. The sandbox and the judge do that.
"""

import ast
import builtins
import importlib.util
import re
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from grading.release import ROOT

# Modules whose use in an answer is about other code: frames, sources, the interpreter and the notebook itself.
MODULES = {
    *("ast", "bdb", "builtins", "code", "codeop", "ctypes", "dis", "gc", "importlib", "inspect", "marshal", "opcode", "pdb"),
    *(
        "pickle",
        "__main__",
        "IPython",
        "ipykernel",
        "jupyter_client",
        "nbgrader",
        "runpy",
        "sysconfig",
        "traitlets",
        "unittest",
        "zmq",
    ),
}
HARMLESS_MODULES = {"IPython.display"}
NAMES = {
    *("get_ipython", "In", "Out", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "exec", "eval", "compile", "__import__"),
    *("globals", "breakpoint", "__builtins__", "__loader__", "__spec__"),
}
ATTRIBUTES = {
    *(
        "__self__",
        "__func__",
        "__globals__",
        "__code__",
        "__closure__",
        "__builtins__",
        "__subclasses__",
        "__bases__",
        "__mro__",
    ),
    *("__wrapped__", "__traceback__", "__defaults__", "__kwdefaults__", "__getattribute__", "__loader__", "__spec__"),
    *("f_back", "f_locals", "f_globals", "f_builtins", "f_code", "gi_frame", "cr_frame", "ag_frame", "tb_frame", "tb_next"),
    *("_getframe", "_current_frames", "settrace", "setprofile", "modules", "meta_path", "path_hooks", "displayhook"),
    *("attrgetter", "methodcaller"),
}
ONLY_OF_SYS = {"modules", "meta_path", "path_hooks", "displayhook"}  # elsewhere these are honest: model.modules()
# Other modules hold these by the same name: np.os, torch.inspect.
THROUGH_OTHERS = {"builtins", "ctypes", "gc", "importlib", "inspect", "sys"}
SETTINGS = {"backends"}  # torch.backends.cudnn.benchmark = True changes a setting and no function
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
MAGICS = {"matplotlib", "pip", "time", "timeit"}
OFTEN_LOCALS = {"In", "Out", "_i", "_ii", "_iii"}  # where a learner's own variable has the name, it is that
SHELL = {"system", "getoutput"}  # lines that begin with !


def reaches(answers, given, tests):
    """What the code reaches for, as short words in order.

    answers: sources of the learner's own cells;  given, tests: those of the course's cells and test cells.
    """
    names = _names_of(given)
    # A learner's scratch cell may well use a variable of a test; what a test defines or imports is another matter.
    names |= {name: full for name, full in _names_of(tests, definitions_only=True).items() if name not in names}
    look = _Look(names)
    for source in answers:
        tree = _tree(source)
        if tree is not None:
            look.cell(tree)
    return sorted(look.found)


def _tree(source):
    """The syntax tree of a cell, None for one that is no Python and so cannot run."""
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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
        if not isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.comprehension | ast.ListComp
        ):
            yield from _outside_functions(child)


class _Look(ast.NodeVisitor):
    def __init__(self, given):
        self.found = set()
        self._given, self._imports, self._own = given, {name: full for name, full in given.items() if full}, set()

    def cell(self, tree):
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
        self.found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name in ATTRIBUTES}

    def _import(self, node, modules):
        for module in modules:
            top = module.split(".")[0]
            if (top in MODULES and module not in HARMLESS_MODULES) or not _is_installed(top):
                self.found.add(module)
        for name, full in _imported(node).items():
            if self._given.get(name, full) != full:
                self.found.add(f"{name} replaced")
            self._imports[name] = full

    def visit_Name(self, node):
        if node.id in NAMES and isinstance(node.ctx, ast.Load) and node.id not in self._own & OFTEN_LOCALS:
            self.found.add(node.id)
        if node.id == "getattr":  # as a value: its calls are looked at by themselves
            self.found.add("getattr")

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.found |= {word for word in ATTRIBUTES if word.startswith("__") and word in node.value}

    def visit_MatchClass(self, node):
        self.found |= set(node.kwd_attrs) & (ATTRIBUTES - ONLY_OF_SYS)
        self.generic_visit(node)

    def visit_Attribute(self, node):
        of_sys = isinstance(node.value, ast.Name) and self._imports.get(node.value.id) == "sys"
        if node.attr in ATTRIBUTES and (of_sys or node.attr not in ONLY_OF_SYS):
            self.found.add(node.attr)
        if node.attr in THROUGH_OTHERS and isinstance(node.ctx, ast.Load):
            self.found.add(node.attr)
        path = _path(node)
        if not isinstance(node.ctx, ast.Load) and path and path[0] in self._imports and not SETTINGS & set(path[1:-1]):
            self.found.add(f"{'.'.join(path)} replaced")
        self.generic_visit(node)

    def visit_Call(self, node):
        if _is_harmless_magic(node):
            self._look_at_words(node)
            return
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        words = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if name in ("getattr", "setattr", "delattr") and set(words) & (ATTRIBUTES - ONLY_OF_SYS):
            self.found |= set(words) & ATTRIBUTES
        path = _path(node.args[0]) if node.args and name in ("setattr", "delattr") else None
        if path and path[0] in self._imports:
            self.found.add(f"{'.'.join(path)} replaced")
        if name == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant | ast.Name):
            for part in node.args:
                self.visit(part)
        else:
            self.generic_visit(node)

    def _look_at_words(self, magic):
        """What stands behind %time and its like is code, too."""
        text = " ".join(part.value for part in magic.args[1:] if isinstance(part, ast.Constant))
        self.found |= set(re.findall(r"\w+", text)) & (ATTRIBUTES - ONLY_OF_SYS | NAMES - OFTEN_LOCALS | MODULES)


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
    return called.attr in SHELL or (called.attr in ("run_line_magic", "run_cell_magic") and named in MAGICS)
