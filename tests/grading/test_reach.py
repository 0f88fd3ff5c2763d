"""The look at the learners' code: it sees every way to the grader that is written here, and nothing in honest code."""

import pytest
import torch.utils.flop_counter  # noqa: F401, loaded as it is where a judge counts FLOPs
from right_answers import RIGHT
from submitting import released, solutions
from wrong_answers import WRONG

from grading.answers import mentions
from grading.reach import reaches

WAYS = {
    "the names of the notebook": "NAMES = locals()",
    "its names by vars": "NAMES = vars()",
    "the shell behind exit": "shell = exit._ip",
    "the shell behind a harmless import": "import IPython.display\nIPython.core",
    "the kernel behind stdout": "import sys\nkernel = sys.stdout.session.parent.kernel",
    "sys behind another module": "import collections\ncollections._sys.modules",
    "sys from another module": "from statistics import sys",
    "sys by another name": "import sys\ns = sys\ns.modules",
    "a function of a module by another name": "import json\nm = json\nm.dumps = print",
    "in a loop": "import json\nfor m in (json,):\n    m.dumps = print",
    "in a list": "import json\n[json][0].dumps = print",
    "as an argument": "import json\ndef patch(m):\n    m.dumps = print\npatch(json)",
    "as a default": "import json\ndef patch(m=json):\n    m.dumps = print",
    "by its dictionary": "import json\njson.__dict__['dumps'] = print",
    "by vars": "import json\nvars(json)['dumps'] = print",
    "by setattr and a star": "import json\nsetattr(*[json, 'dumps', print])",
    "behind a name that hides it elsewhere": "import json\nclass A:\n    json.dumps = print\n    def f(self, json): pass",
    "a method of the judge's object": "def f(rng):\n    type(rng).integers = print",
    "its class": "def f(rng):\n    rng.__class__.integers = print",
    "a name in pieces": "name = '__se' + 'lf__'\ngetattr(print, name)",
    "a name in a text": "'{0.f_locals}'.format(1)",
    "behind a magic": "%%time\nimport json\njson.dumps = print",
    "in a text that is run": "import timeit\ntimeit.timeit('import ctypes')",
    "another program": "!echo aW1wb3J0 | base64 -d | python",
    "a lookup by name": "import pydoc\npydoc.locate('builtins.eval')",
    "an annotation that is run": "from typing import get_type_hints",
    "a pickle": "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
    "a hook on every module": "from torch.nn.modules.module import register_module_forward_hook",
    "a mode that never ends": "from torch.overrides import TorchFunctionMode\nTorchFunctionMode().__enter__()",
    "a formula for FLOPs": "from torch.utils.flop_counter import flop_registry\nflop_registry[1] = lambda *a, **k: 0",
    "all of them": "from torch.utils.flop_counter import flop_registry\nflop_registry.clear()",
    "code too deep to be read": "x = " + "-" * 1500 + "1",
}
HONEST = [
    "import gc\ngc.collect()",
    "import sys\nprint(sys.version, file=sys.stdout)",
    "import IPython.display\nfrom IPython.display import Markdown\nIPython.display.HTML('x')",
    "import torch\nbackend = torch.backends.cudnn\nbackend.benchmark = True\nfor kind in ('SGD',):\n    getattr(torch, kind)",
    "import numpy as np\nxp = np\nxp.mean([1])\nprint(np)",
    "from course_lib import data\ndef f(data):\n    data.seen = 1\n    return print(data), max(data)",
    "class A:\n    def __init__(self):\n        super().__init__()\n        self._x = locals()\n        type(self).made = 1",
    "import torch\ntorch._foreach_add_([torch.ones(1)], 1)\nprint(torch.nn.Linear(1, 1)._parameters)",
    "%%time\nx = sum(range(9))",
    "import os\nimport matplotlib.pyplot as plt\nos.environ['A'] = '1'\nplt.rcParams.update({'figure.figsize': (4, 3)})",
    "%timeit -n 1 -r 1 sum(range(9))\n!nvidia-smi",
]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_the_grader_is_seen(way):
    assert reaches([WAYS[way]], [], [])


@pytest.mark.parametrize("code", HONEST)
def test_honest_code_is_not_suspected(code):
    assert reaches([code], [], []) == []


@pytest.mark.parametrize("exercise", sorted(WRONG))
def test_no_answer_right_or_wrong_is_suspected(exercise):
    cells = [cell for cell in released(exercise).cells if cell.cell_type == "code"]
    marks = [cell.metadata.get("nbgrader", {}) for cell in cells]
    tests = [cell.source for cell, mark in zip(cells, marks, strict=True) if mark.get("grade")]
    given = [cell.source for cell, mark in zip(cells, marks, strict=True) if mark.get("locked") and not mark.get("grade")]
    answers = [code for table in (RIGHT, WRONG) for codes in table.get(exercise, {}).values() for code in codes]
    for code in [*answers, *solutions(exercise).values()]:
        assert reaches([code], given, tests) == [], code


@pytest.mark.parametrize(
    ("answer", "others", "used"),
    [
        ("def train(): return data.glyphs()", [], True),
        ("def train(): return known()", ["TABLE = data.glyphs()", "def known():\n    return TABLE"], True),
        ("def train():\n    from course_lib import data as other\n    return other.glyphs()", [], True),
        (
            "def train():\n    data = [1]\n    return data",
            ["pictures = data.glyphs()", "def tune(): return data.glyphs()"],
            False,
        ),
        ("def train(data):\n    from torch.utils.data import TensorDataset\n    return [data for _ in range(3)]", [], False),
    ],
)
def test_what_an_answer_uses_is_found_also_behind_names_of_its_own(answer, others, used):
    assert bool(mentions([answer], others) & {"data", "course_lib.data"}) == used
