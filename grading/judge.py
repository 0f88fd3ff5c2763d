"""Judges a submission from outside: random inputs go into its kernel, plain data comes out and is compared here.

Tests that run in the learner's own kernel can be talked into anything by the code beside them. What is compared in
another process with what the course's own solution gave for the same inputs cannot: whoever wants to pass has to answer.

Each exercise has a judge, solutions/<exercise>/judge.py, a text with plain functions and one table:

    JUDGED = {test cell: {text of a check: (probe, cases) or (probe, cases, accept)}}

    probe(answers, *case)         runs in the kernel; answers.NAME is the learner's NAME; returns plain data
    cases(rng)                    runs here: a list of tuples of JSON data, drawn from rng, a random.Random
    accept(got, expected, *case)  runs here: is `got` a right answer? Default: equal(got, expected)

It may also name numbers for the leaderboard, taken from accepted answers alone:

    MEASURED = {name: (test cell, text of a check, number(got, *case))}

and names that no answer has a use for, such as the data that it is judged by; who uses them gets a flag:

    NOT_FOR_ANSWERS = {name of the notebook, or full name of what can be imported}
"""

import ast
import contextlib
import json
import math
import os
import random
import secrets
import tempfile
import types
from pathlib import Path
from statistics import fmean

IN_KERNEL = Path(__file__).with_name("in_kernel.py")
DEPTH, LETTERS = 14, 1_000_000  # what is read at most: a little more than in_kernel.py sends when nobody meddles with it


def seed_of(folder):
    """The seed of a class: drawn once, kept in folder/judge_seed for its owner alone, so that regrading asks the same."""
    path = Path(folder) / "judge_seed"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix="judge_seed.") as whole:  # readable by its owner alone
            whole.write(secrets.token_hex(16))
            whole.flush()
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(whole.name, path)
    return path.read_text(encoding="utf-8")


class Unreadable(Exception):
    """What came out of the kernel is not what in_kernel.py sends; the message says it in words."""


class Judge:
    """The judge of one exercise: `text` is its judge.py, `seed` any string or int; the same seed draws the same inputs.

    Raises ValueError naming the entry of JUDGED that is not as described above.
    """

    def __init__(self, text, seed):
        space = {"__name__": "judge"}
        exec(compile(text, "judge.py", "exec"), space)
        self.judged = {
            test: {check: _checked(test, check, entry, space) for check, entry in checks.items()}
            for test, checks in space["JUDGED"].items()
        }
        self.not_for_answers = space.get("NOT_FOR_ANSWERS", set())
        self._numbers = _checked_numbers(space.get("MEASURED", {}), self.judged)
        self.measured = {}
        entries = [(test, check, entry) for test, checks in self.judged.items() for check, entry in checks.items()]
        self._cases = {
            (test, check): json.loads(json.dumps(entry[1](random.Random(f"{seed}/{test}/{check}"))))
            for test, check, entry in entries
        }
        self._text = needed(text, {entry[0].__name__ for _, _, entry in entries})

    def expected(self, kernel):
        """{test: {check: one result a case}} of a kernel in which the course's own solution has run: JSON data.

        Raises ValueError when the solution gives no answer that can be read.
        """
        self._prepare(kernel)
        try:
            return {test: {check: self._ask(kernel, test, check) for check in checks} for test, checks in self.judged.items()}
        except (Unreadable, TimeoutError) as problem:
            raise ValueError(f"the course's own solution cannot be judged: {str(problem) or 'out of time'}") from None

    def verdicts(self, kernel, expected, skip=()):
        """{test: {check: None where the judge agrees, else why not, in words for the teacher}}.

        kernel: one in which the submission has run. expected: what `expected` returned for the same seed.
        skip: test cells that ran out of time and shall not cost more of it.
        `measured` is afterwards {name: (test, check, number)} of this submission, averaged over the cases of a check.
        Raises whatever the kernel raises when it has ended.
        """
        self.measured = {}
        self._prepare(kernel)
        return {test: self._verdicts(kernel, test, expected[test], test in skip) for test in self.judged}

    def _verdicts(self, kernel, test, expected, late):
        found = {}
        for check in self.judged[test]:
            try:
                found[check] = "its test ran out of time" if late else self._verdict(kernel, test, check, expected[check])
            except Unreadable as problem:
                found[check] = str(problem)
            except TimeoutError:
                late, found[check] = True, "ran out of time"
        return found

    def _verdict(self, kernel, test, check, expected):
        results = self._ask(kernel, test, check)
        if not isinstance(results, list) or len(results) != len(expected):
            raise Unreadable("answers another number of cases than it was asked")
        for case, got, right in zip(self._cases[test, check], results, expected, strict=True):
            if not _accepted(self.judged[test][check][2:], got, right, case):
                return f"for {_short(case)} it gives {_short(got)}, the course's solution {_short(right)}"
        self._measure(test, check, results)
        return None

    def _measure(self, test, check, results):
        for name, (its_test, its_check, number) in self._numbers.items():
            if (test, check) == (its_test, its_check):
                cases = self._cases[test, check]
                numbers = [float(number(got, *case)) for got, case in zip(results, cases, strict=True)]
                self.measured[name] = (test, check, fmean(numbers))

    def _prepare(self, kernel):
        """Put in_kernel.py and the probes into the kernel, in a name space that no answer can name."""
        self._space = f"_judge_{secrets.token_hex(8)}"
        ran = kernel.run(
            f"{self._space} = {{'__name__': 'judge'}}\n"
            f"exec({IN_KERNEL.read_text(encoding='utf-8')!r}, {self._space})\n"
            f"exec({self._text!r}, {self._space})\n",
            quiet=True,
        )
        self._problem = (
            f"the judge's own functions failed in its kernel ({_short(': '.join(ran.error))})" if ran.error else None
        )

    def _ask(self, kernel, test, check):
        if self._problem:
            raise Unreadable(self._problem)
        probe, cases = self.judged[test][check][0].__name__, json.dumps(self._cases[test, check])
        source = f"{self._space}['answer'] = {self._space}['reply']({self._space}[{probe!r}], globals(), {cases!r})"
        ran = kernel.run(source, expressions={"reply": f"{self._space}['answer']"}, quiet=True)
        if ran.timed_out:
            raise TimeoutError
        if ran.error:
            raise Unreadable(f"fails outside its tests ({_short(': '.join(ran.error))})")
        return read(ran.values.get("reply"))


def _checked(test, check, entry, space):
    good = isinstance(entry, tuple) and 2 <= len(entry) <= 3 and all(callable(part) for part in entry)
    if not good or not isinstance(entry[0], types.FunctionType) or space.get(entry[0].__name__) is not entry[0]:
        raise ValueError(
            f"JUDGED: {test}, {check!r} is {entry!r}; it is (probe, cases) or (probe, cases, accept), "
            "and the probe is a function defined in the judge's file"
        )
    return entry


def _checked_numbers(measured, judged):
    for name, entry in measured.items():
        if (
            not isinstance(entry, tuple)
            or len(entry) != 3
            or entry[1] not in judged.get(entry[0], ())
            or not callable(entry[2])
        ):
            raise ValueError(f"MEASURED: {name!r} is {entry!r}; it is (test cell, text of a judged check, function)")
    return measured


def _accepted(own_rule, got, expected, case):
    """Whether the check's own rule says yes, if it has one; data of a shape that it does not know is no right answer."""
    try:
        return all(accept(got, expected, *case) for accept in own_rule) if own_rule else equal(got, expected)
    except Exception:
        return False


def equal(got, expected):
    """Whether two pieces of plain data are the same: whole numbers exactly, others within 1e-4 relative or 1e-6."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and got.keys() == expected.keys() and all(equal(got[k], expected[k]) for k in expected)
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(equal, got, expected))
    if isinstance(expected, str) or expected is None or isinstance(got, (str, list, dict)) or got is None:
        return type(got) is type(expected) and got == expected
    if isinstance(got, int) and isinstance(expected, int):
        return got == expected
    return _close(got, expected)


def _close(got, expected):
    try:
        return math.isclose(got, expected, rel_tol=1e-4, abs_tol=1e-6) or (math.isnan(got) and math.isnan(expected))
    except OverflowError:  # an int that no float can hold
        return False


def read(reply):
    """The plain data in a reply of in_kernel.py: the repr of a string of hexadecimal digits. Raises Unreadable."""
    if not isinstance(reply, str):
        raise Unreadable("gives the judge no answer")
    if len(reply) <= 2 or len(reply) > 2 * LETTERS:  # in_kernel.py sends an empty text instead of one that is too long
        raise Unreadable("its answer is far longer than any right one")
    try:
        data = json.loads(bytes.fromhex(reply[1:-1]))
    except (ValueError, RecursionError):
        raise Unreadable("its answer is no plain data") from None
    if not _shallow(data, DEPTH):
        raise Unreadable("its answer is nested deeper than any right one")
    return data


def _shallow(data, depth):
    items = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return depth > 0 and all(_shallow(item, depth - 1) for item in items)


def _short(data):
    """Data that may be anybody's, for one line of a report."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(data))
    return text if len(text) <= 80 else f"{text[:77]}..."


def needed(text, names):
    """The imports of `text` and those of its top-level definitions that the functions called `names` need.

    Only this goes into the learner's kernel, so that nobody finds the cases or the rules of `accept` there.
    """
    nodes = ast.parse(text).body
    defined = {name: node for node in nodes for name in _defines(node)}
    wanted, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name in defined and name not in wanted:
            wanted.add(name)
            todo += _uses(defined[name])
    kept = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) or wanted & set(_defines(node))]
    return "\n\n".join(ast.unparse(node) for node in kept)


def _uses(node):
    """The names that a definition takes from outside: a local variable may well be called like somebody else's function."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    local = {part.id for part in names if not isinstance(part.ctx, ast.Load)}
    local |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    return [part.id for part in names if part.id not in local or isinstance(node, ast.Assign)]


def _defines(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
