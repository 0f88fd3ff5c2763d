"""The judge outside the kernel: it agrees with every right answer, denies the wrong ones, and believes nothing it is told.

All answers to one exercise run one after another in one kernel, each in place of the last: a kernel each would take minutes.
"""

import ast
import json
import stat
from dataclasses import dataclass

import nbformat
import pytest
from right_answers import RIGHT
from submitting import ROOT, solutions
from wrong_answers import WRONG

from grading import questions
from grading.judge import Judge, Unreadable, equal, needed, read, seed_of
from grading.release import exercise_names
from grading.sandbox import Kernel, KernelEnded, Limits, unavailable

PATIENT = Limits(cell=120, total=1200)  # the machine that runs the tests may be busy
SEEDS = (1, 2)


@dataclass
class Judged:
    """An exercise whose solution has run in the kernel, with judges that have asked it."""

    exercise: str
    kernel: Kernel
    tests: dict
    judges: list
    expected: list

    def verdicts(self, number=0, test=None):
        """{test: {check: verdict}} of the judge `number`, of one test alone where it is named."""
        others = [] if test is None else [other for other in self.tests if other != test]
        return self.judges[number].verdicts(self.kernel, self.expected[number], skip=others)

    def denied(self, test, number=0):
        return {check for check, verdict in self.verdicts(number, test)[test].items() if verdict is not None}

    def failed(self, test):
        """The checks that fail in the test cell with its hidden tests."""
        ran = self.kernel.run(self.tests[test], expressions={"results": "check.results"}, quiet=True)
        passed = {what for what, _, whether in ast.literal_eval(ran.values["results"]) if whether}
        return set(self.checks(test)) - passed

    def checks(self, test):
        return questions.worth(self.tests[test])

    def with_answer(self, name, code):
        """Put `code` in the place of an answer cell."""
        ran = self.kernel.run(code, quiet=True)
        assert ran.error is None, ran.error


def judge_text(exercise):
    return (ROOT / "solutions" / exercise / "judge.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=exercise_names())
def judged(request):
    exercise = request.param
    judges = [Judge(judge_text(exercise), seed) for seed in SEEDS]
    notebook = nbformat.read(ROOT / "solutions" / exercise / f"{exercise}.ipynb", as_version=4)
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    tests = {name: cell.source for name, cell in cells.items() if cell.metadata.nbgrader.grade}
    with Kernel(PATIENT, protected=not unavailable()) as kernel:
        for name, cell in cells.items():
            if name not in tests:
                assert kernel.run(cell.source, quiet=True).error is None, name
        yield Judged(exercise, kernel, tests, judges, [judge.expected(kernel) for judge in judges])


def test_every_check_is_judged(judged):
    assert {test: list(checks) for test, checks in judged.judges[0].judged.items()} == {
        test: questions.check_texts(source) for test, source in judged.tests.items()
    }


def test_the_solution_agrees_with_itself_whatever_the_seed(judged):
    for number, seed in enumerate(SEEDS):
        for test, verdicts in judged.verdicts(number).items():
            assert not any(verdicts.values()), f"seed {seed}, {test}: {verdicts}"


def test_another_seed_asks_something_else(judged):
    assert len({json.dumps(expected) for expected in judged.expected}) == len(SEEDS)


def test_the_solution_raises_nothing_that_shows_a_broken_probe(judged):
    broken = ("NameError", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError", "NotImplementedError")
    for expected in judged.expected:
        assert not [name for name in broken if f'{{"raises": "{name}"}}' in json.dumps(expected)]


def test_wrong_answers_are_denied_for_what_is_wrong_with_them(judged):
    """At least one check that the notebook's tests fail is denied, and none that they pass: half an answer keeps its half."""
    right, partial = solutions(judged.exercise), set()
    for name, wrong in WRONG[judged.exercise].items():
        test = name.replace("answer_", "test_")
        for number, code in enumerate(wrong):
            judged.with_answer(name, code)
            failed, denied = judged.failed(test), judged.denied(test)
            assert failed & denied, f"{name}, wrong answer {number}: its tests fail {failed}, the judge denies {denied}"
            assert denied <= failed, f"{name}, wrong answer {number}: passes its tests but not the judge: {denied - failed}"
            partial |= {test} if failed < set(judged.checks(test)) else set()
        judged.with_answer(name, right[name])
        assert not judged.denied(test), f"{name}: the right answer after the wrong ones"
    assert len(partial) >= min(4, len(WRONG[judged.exercise])), f"half an answer earns half its points only in {partial}"


def test_right_answers_in_another_style_are_right(judged):
    right = solutions(judged.exercise)
    for name, others in RIGHT.get(judged.exercise, {}).items():
        test = name.replace("answer_", "test_")
        for code in others:
            judged.with_answer(name, code)
            assert not judged.failed(test), f"{name}: not even its tests pass"
            for number in range(len(SEEDS)):
                verdicts = judged.verdicts(number, test)[test]
                assert not any(verdicts.values()), verdicts
        judged.with_answer(name, right[name])


def test_neither_cases_nor_rules_go_into_the_kernel(judged):
    judge, text = judged.judges[0], judge_text(judged.exercise)
    entries = [entry for checks in judge.judged.values() for entry in checks.values()]
    sent = ast.parse(needed(text, {entry[0].__name__ for entry in entries})).body
    outside = {part.__name__ for entry in entries for part in entry[1:]} | {"JUDGED"}
    assert outside.isdisjoint({getattr(node, "name", "") for node in sent})
    assert "JUDGED" not in needed(text, {entry[0].__name__ for entry in entries})


# A judge of two questions, for answers that lie.

SMALL = """
def call(answers, x):
    return answers.half(x)

def cases(rng):
    return [(rng.uniform(1, 9),) for _ in range(3)]

def other(answers, x):
    return answers.other(x)

def near(got, expected, x):
    return abs(got - expected) < 0.1

JUDGED = {
    "test_half": {"exactly": (call, cases), "nearly": (call, cases, near)},
    "test_other": {"the other": (other, cases)},
}
"""
HALF = "def half(x):\n    return x / 2\nother = half"


@pytest.fixture(scope="module")
def small():
    """verdicts(code): what the small judge says of the two names that `code` defines, in a kernel where a cell has 3 s."""
    judge = Judge(SMALL, 1)
    with Kernel(Limits(cell=3, total=600), protected=not unavailable()) as kernel:
        kernel.run(HALF)
        expected = judge.expected(kernel)

        def verdicts(code):
            kernel.run(f"{HALF}\n{code}")
            return judge.verdicts(kernel, expected)

        yield verdicts


LIES = {
    "equal to everything": "class Yes:\n def __eq__(self, o): return True\n __lt__ = __sub__ = __abs__ = lambda s, *o: s\n"
    "def half(x): return Yes()",
    "a number equal to everything": "class Yes(float):\n def __eq__(self, o): return True\n __hash__ = None\n"
    "def half(x): return Yes(0)",
    "a string": "def half(x): return str(x / 2)",
    "a subclass of str": "class Word(str): pass\ndef half(x): return Word(x / 2)",
    "not a number": "def half(x): return float('nan')",
    "infinity": "def half(x): return float('inf')",
    "a list around it": "def half(x): return [x / 2]",
    "nothing": "def half(x): return None",
    "a huge whole number": "def half(x): return 10**6000",
    "a huge answer": "def half(x): return [1.5] * 10**6",
    "deep nesting": "def half(x):\n for _ in range(10**5): x = [x]\n return x",
    "an exception": "def half(x): raise ValueError('no')",
    "an exception of its own": "class Mine(Exception): pass\ndef half(x): raise Mine",
    "an exit": "def half(x): raise SystemExit",
    "a lie about its class": "class Odd:\n @property\n def __class__(self): return float\ndef half(x): return Odd()",
    "an array that is not there": "class Odd:\n def tolist(self): return self\ndef half(x): return Odd()",
    "no such name": "del half",
    "no function": "half = 7",
    "an error when it is looked at": "class Odd:\n def __getattr__(s, n): raise RuntimeError\ndef half(x): return Odd()",
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_denied_and_the_other_question_is_judged(small, lie):
    verdicts = small(LIES[lie])
    assert all(verdicts["test_half"].values()), verdicts
    assert verdicts["test_other"] == {"the other": None}
    assert all(len(words) < 500 and words.isprintable() for words in verdicts["test_half"].values())


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np\ndef half(x): return np.float64(x / 2)",
        "import numpy as np\ndef half(x): return np.array(x / 2)",
        "class Mine(float): pass\ndef half(x): return Mine(x / 2)",
        "def half(x): return x / 2 * (1 + 1e-6)",
        "def half(x):\n print('half of', x)\n return x / 2",
    ],
)
def test_what_is_right_may_look_different(small, code):
    assert small(code)["test_half"] == {"exactly": None, "nearly": None}


def test_the_words_for_the_teacher_name_the_case(small):
    words = small("def half(x): return '\\x1b[31m' + 'red' * 1000")["test_half"]["exactly"]
    assert words.startswith("for [") and "it gives" in words and "the course's solution" in words
    assert len(words) < 300 and words.isprintable()


def test_a_probe_that_never_returns_costs_one_limit_of_time(small):
    verdicts = small("def half(x):\n    while True:\n        pass")
    assert verdicts["test_half"] == {"exactly": "ran out of time", "nearly": "its test ran out of time"}
    assert verdicts["test_other"] == {"the other": None}


def test_a_kernel_that_ends_is_the_callers_to_report():
    judge = Judge(SMALL, 1)
    with Kernel(PATIENT, protected=not unavailable()) as kernel:
        kernel.run(HALF)
        expected = judge.expected(kernel)
        kernel.run("import os\ndef half(x): os._exit(0)")
        with pytest.raises(KernelEnded):
            judge.verdicts(kernel, expected)


class Forged:
    """A kernel in the hands of somebody else: it answers everything with one text."""

    def __init__(self, text):
        self.text = text

    def run(self, source, *, timeout=None, expressions=None, quiet=False):
        from grading.sandbox import Ran

        return Ran(values=dict.fromkeys(expressions or {}, self.text))


def in_hexadecimal(text):
    return repr(text.encode().hex())


REPLIES = {
    "none": None,
    "empty": "",
    "quotes": "''",
    "no hexadecimal digits": "'what?'",
    "half a digit": "'5b5'",
    "no JSON": in_hexadecimal("[1, 2"),
    "not UTF-8": "'ff00ff'",
    "too long": f"'{'00' * 1_100_000}'",
    "too deep for JSON": in_hexadecimal("[" * 100_000),
    "too deep for us": in_hexadecimal("[" * 50 + "]" * 50),
    "a number too long to be read": in_hexadecimal("9" * 10_000),
    "nothing": in_hexadecimal("null"),
    "too few": in_hexadecimal("[1.5]"),
    "a dictionary": in_hexadecimal('{"0": 1}'),
    "a true for everything": in_hexadecimal("[true, true, true]"),
    "NaN": in_hexadecimal("[NaN, NaN, NaN]"),
    "infinity": in_hexadecimal("[Infinity, -Infinity, 1e999]"),
    "numbers that no float holds": in_hexadecimal(json.dumps([10**4000] * 3)),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_a_forged_reply_is_denied(reply):
    judge = Judge(SMALL, 1)
    expected = {test: {check: [1.5, 2.5, 3.5] for check in checks} for test, checks in judge.judged.items()}
    verdicts = judge.verdicts(Forged(REPLIES[reply]), expected)
    assert all(verdict for checks in verdicts.values() for verdict in checks.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1" + " " * 1_100_000, "far longer than any right one"),
        ("[" * 20 + "]" * 20, "nested deeper than any right one"),
        ("[" * 100_000, "no plain data"),
        ("[1", "no plain data"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(text, words):
    with pytest.raises(Unreadable, match=words):
        read(in_hexadecimal(text))


def test_a_solution_that_gives_no_answer_is_named():
    with pytest.raises(ValueError, match="the course's own solution cannot be judged: gives the judge no answer"):
        Judge(SMALL, 1).expected(Forged(None))


def test_what_is_read_is_what_was_sent():
    assert read(in_hexadecimal('[1, 2.5, "a", null, true, {"b": []}]')) == [1, 2.5, "a", None, True, {"b": []}]


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        (1, 1, True),
        (1, 2, False),
        (10**20, 10**20 + 1, False),
        (2.00001, 2.0, True),
        (2.001, 2.0, False),
        (2, 2.0, True),
        (1e-9, 0.0, True),
        (float("nan"), float("nan"), True),
        (0.0, float("nan"), False),
        (float("inf"), float("inf"), True),
        (float("inf"), float("-inf"), False),
        ("a", "a", True),
        ("1", 1, False),
        (1, "1", False),
        (None, None, True),
        (None, 0, False),
        (0, None, False),
        (False, None, False),
        ([1, [2]], [1, [2]], True),
        ([1], [1, 2], False),
        ([], {}, False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"raises": "ValueError"}, {"raises": "ValueError"}, True),
        ({"raises": "TypeError"}, {"raises": "ValueError"}, False),
        ([1, 2], 1.5, False),
    ],
)
def test_equal(got, expected, same):
    assert equal(got, expected) == same


@pytest.mark.parametrize("entry", ["call", "(call,)", "(len, cases)", "(lambda a: 1, cases)", "(call, cases, None)"])
def test_an_entry_that_is_wrong_is_named(entry):
    text = f"def call(answers): return 1\ndef cases(rng): return [()]\nJUDGED = {{'test_x': {{'a check': {entry}}}}}"
    with pytest.raises(ValueError, match="JUDGED: test_x, 'a check'"):
        Judge(text, 1)


def test_the_seed_of_a_class_is_drawn_once_and_kept_for_its_owner(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = map(seed_of, folders)
    assert first != second and len(first) == 32
    assert seed_of(folders[0]) == first
    assert [path.name for path in folders[0].iterdir()] == ["judge_seed"]
    assert stat.S_IMODE((folders[0] / "judge_seed").stat().st_mode) == 0o600
