"""The learners' answers, made comparable: two that differ in comments, layout and local names alone are the same."""

import ast
import symtable

LONGEST = 20_000  # characters; what is longer is no answer to compare, and slow to take apart


def given(notebook, questions):
    """{test cell: the code of the answer cells above it} of a notebook, for the `questions` of grading.questions.read."""
    sources = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in notebook.cells}
    codes = {test: "\n\n".join(sources.get(name, "") for name in asked.answers) for test, asked in questions.items()}
    return {test: code for test, code in codes.items() if len(code) <= LONGEST}


def mentions(answers, others):
    """The names from outside that the answers use, by themselves or through what `others`, the learner's own cells, define.

    answers, others: sources of cells. Of imports the full names, such as course_lib.data.
    """
    made, used = {}, set()  # {name: what its making uses}
    for number, source in enumerate([*answers, *others]):
        try:
            for line in ast.parse(source).body:
                names = {part.id for part in ast.walk(line) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
                for name in names | {getattr(line, "name", "")}:
                    made.setdefault(name, set()).update(_from_outside(line))
                used |= _from_outside(line) if number < len(answers) else set()
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    todo = list(used)
    while todo:
        more = made.get(todo.pop(), set()) - used
        used |= more
        todo += more
    return used


def _from_outside(line):
    """The names that a statement takes from outside its functions, and the full names of what it imports."""
    tables, found = [symtable.symtable(ast.unparse(line), "", "exec")], set()
    for table in tables:
        tables += table.get_children()
        outer = table.get_type() == "module"
        found |= {name.get_name() for name in table.get_symbols() if name.is_referenced() and (outer or name.is_global())}
    for part in ast.walk(line):
        if isinstance(part, ast.Import | ast.ImportFrom):
            found |= {".".join(filter(None, (getattr(part, "module", ""), alias.name))) for alias in part.names}
    return found


def shown(code):
    """The answer without comments and docstrings, laid out anew; as it is where it is no Python."""
    try:
        return ast.unparse(_without_docstrings(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "\n".join(line.rstrip() for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def comparable(code):
    """A text that is the same for answers that differ in comments, docstrings, layout and the names of locals alone."""
    try:
        tree = _without_docstrings(ast.parse(code))
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                _Numbered(_local_names(node)).visit(node)
        return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return shown(code)


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return tree


def _is_text(line):
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _local_names(function):
    """What is named inside, but for the parameters of the function itself: a caller may use those by name."""
    own, names = set(), set()
    for part in ast.walk(function):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            names.add(part.id)
        elif isinstance(part, ast.arg):
            names.add(part.arg)
        elif isinstance(part, ast.FunctionDef) and part is not function:
            names.add(part.name)
        elif isinstance(part, (ast.Global, ast.Nonlocal)):
            own.update(part.names)
    if not isinstance(function, ast.ClassDef):
        own.update(part.arg for part in ast.walk(function.args) if isinstance(part, ast.arg))
    return names - own


class _Numbered(ast.NodeTransformer):
    """Calls the locals v1, v2, ... in the order in which they appear."""

    def __init__(self, names):
        self.names, self.numbers = names, {}

    def _number(self, name):
        return self.numbers.setdefault(name, f"v{len(self.numbers) + 1}") if name in self.names else name

    def visit_Name(self, node):
        node.id = self._number(node.id)
        return node

    def visit_arg(self, node):
        node.arg = self._number(node.arg)
        return node

    def visit_FunctionDef(self, node):
        node.name = self._number(node.name)
        return self.generic_visit(node)
