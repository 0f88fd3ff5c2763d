"""Ranks: start them from a notebook, stop them for certain, and count what they send.

A rank is one of several processes that train one model together. `launch` starts a worker file on N ranks through torch's
own elastic launcher (the one behind `torchrun`), prints what each rank prints, and returns what each rank reported. In the
worker file:

    from course_lib import distributed

    with distributed.group() as ranks:          # ranks.rank, ranks.world_size, ranks.device
        steps = distributed.arguments()["steps"]
        ...
        distributed.report({"loss": loss})

The same file runs under `torchrun worker.py '{"steps": 10}'`, on one machine or many.
"""

from .launcher import RankError, launch
from .rank import Ranks, arguments, group, report
from .traffic import Traffic, traffic

__all__ = ["RankError", "Ranks", "Traffic", "arguments", "group", "launch", "report", "traffic"]
