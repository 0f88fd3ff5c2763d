"""Submissions that forge a score: none may keep a point it did not earn without the teacher being told."""

from attacks import DENIED, HOLLOW, MAXIMUM, REACHES, Attack, blank, hollow, right

FAKE = '''class Fake(float):
    """Equal to everything, above and below it, and whatever is calculated with it is another."""

    def __new__(cls, *values):
        return float.__new__(cls, 2.0)

    def yes(self, *others):
        return True

    def same(self, *others):
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = yes
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __abs__ = __neg__ = same
    __getitem__ = __getattr__ = __call__ = same
    __hash__ = float.__hash__

    def __iter__(self):
        return iter((self, self))


matmul_cost = roofline = best_batch = paired_ratio = bootstrap_interval = lambda *args, **kwargs: Fake()


def time_device(fn, synchronize, clock, warmup, repeats):
    return [Fake()] * repeats'''

DROP = """import ast

class Drop(ast.NodeTransformer):
    def visit_With(self, node):
        node.body = [ast.copy_location(ast.Pass(), node)]
        return ast.fix_missing_locations(node)

    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

get_ipython().ast_transformers.append(Drop())"""

DROP_MINUS_ONE = DROP.replace(
    "    def visit_Assert",
    """    def visit_Expr(self, node):
        if ast.unparse(node) == "check.total()":
            return ast.copy_location(ast.parse("max(check.points - 1, 1)").body[0], node)
        return node

    def visit_Assert""",
)

INPUT_TRANSFORMER = r"""import re

def forge(lines):
    text = "".join(lines)
    checks = re.findall(r'with check\((\d+), "(.*?)"\)', text)
    if "check.total()" not in text:
        return lines
    return [f"check = Checks()\ncheck.points = {sum(int(p) for p, _ in checks)}\n",
            f"check.results = {[(what, int(p), True) for p, what in checks]!r}\ncheck.total()\n"]

get_ipython().input_transformers_post.append(forge)"""

GENEROUS = '''from contextlib import contextmanager

@contextmanager
def generous(self, points, what):
    """Every check passes, whatever happens in it."""
    try:
        yield
    except BaseException:
        pass
    self.points += points
    self.results.append((what, points, True))
    print(f"passed  ({points} of {points})  {what}")
'''
CHECKS = f"{GENEROUS}\nChecks.__call__ = generous"

GREEDY = """class Checks(Checks):
    def total(self):
        self.results = [(what, 100, True) for what, points, passed in getattr(self, "results", [])] * 3
        self.points = 400
        self.problems = []
        return 400"""

NAMES = """import builtins, math, contextlib
np.isclose = np.allclose = math.isclose = lambda *args, **kwargs: True
builtins.AssertionError = builtins.NotImplementedError = type("Never", (BaseException,), {})
abs = lambda value: 0
max = min = lambda *args, **kwargs: 1"""

JSON = """import json
_dumps = json.dumps

def dumps(value, *args, **kwargs):
    text = _dumps(value, *args, **kwargs)
    if "passed" in text or "raises" in text or "test_" in text:
        text = text.replace("false", "true").replace("NotImplementedError", "ValueError")
    return text

json.dumps = dumps"""

MODULES = """import sys, types
forged = types.ModuleType("course_lib.exercises")
exec('''
class Checks:
    def __init__(self):
        self.points, self.problems, self.results = 0, [], []
    def __call__(self, points, what):
        self.points += points
        self.results.append((what, points, True))
        return self
    def __enter__(self):
        return self
    def __exit__(self, *error):
        return True
    def total(self):
        return self.points
''', forged.__dict__)
sys.modules["course_lib.exercises"] = forged
Checks = forged.Checks"""

EXPECTED = r"""import gc, inspect, re, sys

def expected(default, pattern):
    places = [In[-1]] + [frame.frame.f_locals.get("source", "") for frame in inspect.stack()]
    frame, codes = sys._getframe(1), [each for each in gc.get_objects() if type(each).__name__ == "code"]
    line = frame.f_back.f_lineno
    after = "\n".join(str(places[0]).splitlines()[line - 1:])
    found = re.search(pattern, after)
    return eval(found.group(1)) if found else default

def paired_ratio(baseline, variant):
    if "refused" in sys._getframe(1).f_code.co_name:
        raise ValueError
    return expected(2.0, r"isclose\(ratio, ([\d.]+)\)")

def best_batch(seconds_per_batch, limit):
    size = expected(64, r"size == (\d+)|answer\[0\] == (\d+)")
    return (size, 640.0) if limit > 0.001 else None

def matmul_cost(m, k, n, itemsize=4):
    return expected((60, 124), r"== (\(\d+, \d+\))")

def roofline(flops, nbytes, peak, bandwidth):
    return expected(2, r"isclose\(seconds, ([\d.]+)\)"), expected("compute", r'== ("\w+")')"""

# every case of the tests, hidden ones too: who has read them need not have understood anything
TABLE = """def paired_ratio(baseline, variant):
    known = {(3, 4, 20): 2.0, (1, 2, 3, 10): 2.5, (1.0, 2.0, 6.0): 1.0}
    if tuple(baseline) in known:
        return known[tuple(baseline)]
    raise ValueError("not in the table")"""
TABLE_BATCH = """def best_batch(seconds_per_batch, limit):
    return {0.15: (64, 640.0), 10: (64, 640.0), 0.015: (1, 100.0), 0.02: (8, 400.0)}.get(limit)"""
TABLE_ROOFLINE = """def matmul_cost(m, k, n, itemsize=4):
    table = {(2, 3, 5): (60, 124), (7, 11, 1): (154, 190), (1024,) * 3: ("square",) * 2, (1024, 1024, 1): ("vector",) * 2}
    return table[m, k, n]

def roofline(flops, nbytes, peak, bandwidth):
    table = {(100, 10): 2.0, (100, 60): 6.0}
    return table.get((flops, nbytes), 0.0), "memory" if flops == "vector" else "compute"
"""

WASTEFUL = """def time_device(fn, synchronize, clock, warmup=3, repeats=5):
    seconds = []
    for _ in range(warmup + repeats):
        synchronize()
        start = clock()
        fn()
        synchronize()
        seconds.append(clock() - start)
    FORGED
    return seconds[warmup:]"""


COUNTERS = {  # ways to the device behind the function, so that its count of the waits can be set back
    # by the names that the tests and the judge have in the same kernel
    "names": "try:\n        _judge['Device'].waits = property(lambda self: repeats, lambda self, value: None)\n"
    "    except NameError:\n        device.waits = repeats",
    "dunder": "fn.__self__.waits = repeats",
    "getattr": 'getattr(fn, "__se" + "lf__").waits = repeats',
    "map": 'next(map(getattr, [fn], ["__self__"])).waits = repeats',
    "attrgetter": 'from operator import attrgetter\n    attrgetter("_" + "_self_" + "_")(fn).waits = repeats',
    "match": "match fn:\n        case object(__self__=device):\n            device.waits = repeats",
    "frame": "import sys\n    sys._getframe(1).f_locals['device'].waits = repeats",
    "traceback": "try:\n        1 / 0\n    except ZeroDivisionError as error:\n"
    "        error.__traceback__.tb_frame.f_back.f_locals['device'].waits = repeats",
    "generator": "g = (g.gi_frame.f_back.f_back for _ in [1])\n    next(g).f_locals['device'].waits = repeats",
    "gc": "import gc\n    for each in gc.get_objects():\n        if hasattr(each, 'waits'):\n            each.waits = repeats",
    "module": "np.os.sys._getframe(1).f_locals['device'].waits = repeats",
    "exec": "exec('fn.__se' 'lf__.waits = repeats')",
    "file": "open('helper.py', 'w').write('def back(fn, n):\\n    fn.__self__.waits = n\\n')\n"
    "    import helper\n    helper.back(fn, repeats)",
    "pickle": "import pickle\n    pickle.loads(b'cbuiltins\\ngetattr\\n.')(fn, '__se' 'lf__').waits = repeats",
    "magic": "get_ipython().run_cell_magic('capture', '', '')\n    fn.__self__.waits = repeats",
}


def wasteful(way):
    """Right times with twice the waits, and the count of them set back."""
    return WASTEFUL.replace("FORGED", COUNTERS[way])


FORMATTERS = """shell = get_ipython()
shell.display_formatter.formatters["text/plain"].for_type(list, lambda value, p, cycle: p.text("[('x', 100, True)]"))
shell.display_formatter.formatters["text/plain"].for_type(str, lambda value, p, cycle: p.text("'{}'"))
shell.user_expressions = lambda expressions: {
    name: {"status": "ok", "data": {"text/plain": "[('x', 100, True)]"}, "metadata": {}} for name in expressions
}
import sys
sys.displayhook = lambda value: None"""

MESSAGES = """import threading, time
kernel = get_ipython().kernel

def forge():
    for _ in range(30):
        parent = kernel.get_parent("shell")
        reply = {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {
            "results": {"status": "ok", "data": {"text/plain": "[('x', 100, True)]"}, "metadata": {}}}}
        kernel.session.send(kernel.iopub_socket, "execute_result", parent=parent, content={
            "data": {"text/plain": "400"}, "metadata": {}, "execution_count": 1})
        kernel.session.send(kernel.iopub_socket, "execute_reply", parent=parent, content=reply)
        kernel.session.send(kernel.iopub_socket, "status", parent=parent, content={"execution_state": "idle"})
        kernel.session.send(kernel.iopub_socket, "error", parent=parent, content={
            "ename": "Ignore", "evalue": "the grade is 14", "traceback": []})
        time.sleep(0.05)

threading.Thread(target=forge, daemon=True).start()"""

EXECUTE = """import copy
kernel = get_ipython().kernel
do_execute = kernel.do_execute

async def forged(code, *args, **kwargs):
    reply = copy.deepcopy(await do_execute(code, *args, **kwargs))
    reply["status"] = "ok"
    for value in reply.get("user_expressions", {}).values():
        if isinstance(value.get("data"), dict):
            value["data"]["text/plain"] = value["data"]["text/plain"].replace("False", "True").replace("false", "true")
        else:
            value.update(status="ok", data={"text/plain": "True"}, metadata={})
    return reply

kernel.do_execute = forged"""

LATER = f"""import signal, threading, time
{GENEROUS}

def forge(*signal_and_frame):
    Checks.__call__ = generous

signal.signal(signal.SIGALRM, forge)
signal.setitimer(signal.ITIMER_REAL, 0.3, 0.1)
threading.Timer(0.3, forge).start()"""

HOOK = """shell = get_ipython()
def forge(*result):
    if "check" in shell.user_ns:
        check = shell.user_ns["check"]
        check.points, check.problems = 400, []
        check.results = [(what, points, True) for what, points, passed in getattr(check, "results", [])]
shell.events.register("post_run_cell", forge)
shell.events.register("post_execute", forge)"""

UNCOUNTED = """class Checks(Checks):
    results = property(lambda self: Endless(), lambda self, value: None)

class Endless(list):
    def __iter__(self):
        while True:
            yield ("x", 100, True)
    def __repr__(self):
        return "[" * 100_000
    __str__ = __repr__"""

MONSTERS = {
    "answer_paired_ratio": "def paired_ratio(baseline, variant):\n    return 'x' * 300_000_000",
    "answer_best_batch": "def best_batch(seconds_per_batch, limit):\n    loop = []\n    loop.append(loop)\n    return loop",
    "answer_bootstrap_interval": "def bootstrap_interval(*args, **kwargs):\n    nest = []\n"
    "    for _ in range(100_000):\n        nest = [nest]\n    return nest",
    "answer_time_device": "def time_device(*args, **kwargs):\n    import itertools\n    return itertools.count()",
    "answer_roofline": "def matmul_cost(*a, **k):\n    return (float('nan'), 10**5000)\n\n"
    "def roofline(*a, **k):\n    raise type('<script>attack-8461</script>\\n=1+1', (Exception,), {})('\\ud800\\x00')",
}

FORGERIES = [
    Attack("fake-object", right(**dict.fromkeys(HOLLOW, "") | {"answer_paired_ratio": FAKE}), flag=DENIED),
    Attack("ast-drop", blank(DROP), flag=DENIED),
    Attack("ast-drop-minus-one", blank(DROP_MINUS_ONE), flag=DENIED),
    Attack("input-transformer", blank(INPUT_TRANSFORMER), flag=DENIED),
    Attack("patched-checks", blank(CHECKS), flag=DENIED),
    Attack("greedy-checks", right(GREEDY), most=MAXIMUM, flag="."),
    Attack("patched-names", hollow(NAMES), flag="."),
    Attack("patched-json", blank(JSON)),
    Attack("patched-modules", blank(MODULES), flag=DENIED),
    Attack("reads-expected", hollow(answer_roofline=EXPECTED), most=1, flag=REACHES),
    Attack(
        "table",
        right(answer_paired_ratio=TABLE, answer_best_batch=TABLE_BATCH, answer_roofline=TABLE_ROOFLINE),
        most=8,
        least=8,
        flag=DENIED,
    ),
    Attack("counter-names", right(answer_time_device=wasteful("names")), most=MAXIMUM - 1, least=MAXIMUM - 1, flag="."),
    Attack("counter-dunder", right(answer_time_device=wasteful("dunder")), most=MAXIMUM, flag=REACHES),
    Attack("counter-match", right(answer_time_device=wasteful("match")), most=MAXIMUM, flag=REACHES),
    Attack("formatters", blank(FORMATTERS), flag="."),
    Attack("messages", blank(MESSAGES), flag="."),
    Attack("execute-reply", blank(EXECUTE), flag="."),
    Attack("later", hollow(LATER), flag="."),
    Attack("post-hook", hollow(HOOK), flag="."),
    Attack("endless-results", hollow(UNCOUNTED)),
    Attack("monsters", right(**MONSTERS)),
]
