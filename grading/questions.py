"""What an exercise asks: its test cells, their checks and points, and the answer cells that each of them tests."""

import ast
from dataclasses import dataclass

import nbformat


@dataclass(frozen=True)
class Asked:
    """One test cell: its points, the texts of its checks, and the names of the answer cells above it."""

    points: float
    checks: tuple[str, ...]
    answers: tuple[str, ...]


def read(path):
    """{test cell: Asked}, in order, of a notebook of solutions/, exercises/ or an overlay."""
    found, answers = {}, []
    for cell in nbformat.read(path, as_version=4).cells:
        mark = cell.metadata.get("nbgrader", {})
        if mark.get("grade") and not mark.get("solution"):
            found[mark["grade_id"]] = Asked(float(mark["points"]), tuple(check_texts(cell.source)), tuple(answers))
            answers = []
        elif mark.get("solution"):
            answers.append(mark["grade_id"])
    return found


def check_texts(source):
    """The texts of the checks in a test cell, in order."""
    return list(worth(source))


def worth(source):
    """{text: points} of the checks in a test cell: of every `check(points, "text")`, in order."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and len(node.args) == 2]
    named = [node.args for node in calls if isinstance(node.func, ast.Name) and node.func.id == "check"]
    plain = [(points, text) for points, text in named if isinstance(points, ast.Constant) and isinstance(text, ast.Constant)]
    return {text.value: points.value for points, text in plain if isinstance(text.value, str)}


def maximum(path):
    """The points of an exercise."""
    return sum(asked.points for asked in read(path).values())


def not_judged(path, judged):
    """[test cell] with a check that the judge does not know; `judged` is {test cell: {check text: ...}}, or empty."""
    return [
        test for test, asked in read(path).items() if not asked.checks or not set(asked.checks) <= set(judged.get(test, ()))
    ]
