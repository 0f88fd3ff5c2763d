"""Submissions that were written with the grader's own files at hand: how the judge counts, what it is answered with, and what
the look at the code does not read.
"""

from attacks import DENIED, MAXIMUM, REACHES, Attack, blank, right
from attacks_on_points import CHECKS, WASTEFUL

# the count set back through the names of the notebook, the judge's among them
BY_LOCALS = WASTEFUL.replace(
    "FORGED",
    """if "device" in NAMES:
        NAMES["device"].waits = repeats
    for name, judge in list(NAMES.items()):
        if name.startswith("_judge_") and "Device" in judge:
            judge["Device"].waits = property(lambda self: repeats, lambda self, value: None)""",
)

# a draw that counts, and then one draw a resample that does not: it is asked of the class behind the judge's own
UNCOUNTED_DRAWS = """def bootstrap_interval(values, rng, resamples=2000, level=0.95):
    values, outside = np.asarray(values, dtype=float), (1 - level) / 2
    rng.random()
    picks = [np.random.Generator.integers(rng, len(values), size=len(values)) for _ in range(resamples)]
    low, high = np.quantile(np.median(values[np.array(picks)], axis=1), [outside, 1 - outside])
    return float(low), float(high)"""

# whoever owns the kernel answers for the judge, and claims only what it can: what is the same whatever is asked
REPLIES = r"""import json, re
shell = exit._ip
REPLIES = {
    "draws": lambda values, resamples, seed: [1, resamples * len(values)],
    "waits": lambda warmup, repeats: [repeats, repeats],
    "refused": lambda *case: True,
    "warmed_up": lambda work, compiling, warmup, repeats: [warmup + repeats, True],
}
CLAIMED = "refused", "one draw", "warm-up", "no more waits"

def answer(probe, cases):
    return json.dumps([REPLIES[probe](*case) for case in json.loads(cases)]).encode().hex()

def forge(lines):
    text = "".join(lines)
    asked = re.search(r"(_judge_\w+)\['(\w+)'\], globals\(\), '(.*)'\)", text)
    if asked and asked[2] in REPLIES:
        return [f"{asked[1]}['answer'] = answer({asked[2]!r}, {asked[3]!r})\n"]
    if "check.total()" not in text:
        return lines
    checks = re.findall(r'with check\((\d+), "(.*?)"\)', text)
    return [f"check = Checks()\ncheck.results = {[(w, int(p), any(c in w for c in CLAIMED)) for p, w in checks]!r}\n"]

shell.input_transformers_post.append(forge)"""

# what is not in the notebook's text: a client of the same kernel, in another process
CLIENT = """from base64 import b64encode
code = b64encode(b'''
import glob, jupyter_client
client = jupyter_client.BlockingKernelClient()
client.load_connection_file(glob.glob("/tmp/course-*/sockets/kernel.json")[0])
client.start_channels()
client.execute("Checks.total = lambda self: 14", silent=True)
''').decode()
!echo {code} | base64 -d | python"""

MAGIC = f"%%time\n{CHECKS}"

ON_JUDGE = [
    Attack("counter-locals", right("NAMES = locals()", answer_time_device=BY_LOCALS), most=MAXIMUM, flag=REACHES),
    Attack(
        "uncounted-draws", right(answer_bootstrap_interval=UNCOUNTED_DRAWS), most=MAXIMUM - 1, least=MAXIMUM - 1, flag=DENIED
    ),
    Attack("replies", blank(REPLIES), most=4, flag=REACHES),
    Attack("client", blank(CLIENT), flag=REACHES),
    Attack("behind-a-magic", blank(MAGIC), flag=REACHES),
    Attack("too-deep", right("x = " + "-" * 1500 + "1"), most=MAXIMUM, least=MAXIMUM, flag=REACHES),
]
