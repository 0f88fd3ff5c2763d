"""The ledger: what popular articles claim, and the verdict of the records of one machine.

Every verdict is computed from records when it is asked for. Where a claim is about a listing or arithmetic, the code is
run. A record that is not there makes a verdict "not run yet".
"""

from course_lib.ledger import altogether, fewer, ranks, smaller, step
from course_lib.ledger.finding import NOT_RUN, Claim, Finding, Records
from course_lib.ledger.pages import Row, kind, page, signed, table, write_csv

__all__ = ["CLAIMS", "SOURCES", "Claim", "Finding", "Row", "finding", "kind", "page", "rows", "signed", "table", "write_csv"]

SOURCES = {
    "A": "算法创新:提升AI训练效率的关键",
    "B": "全面解析缩短AI模型训练时间的核心策略",
    "C": "AI大模型应用入门实战与进阶:如何降低AI模型的计算成本",
    "D": "AI算量如何支持深度学习模型优化",
}
CLAIMS = sorted(
    (claim for room in (step, ranks, smaller, fewer, altogether) for claim in room.CLAIMS),
    key=lambda claim: (claim.id[0], int(claim.id[1:])),
)


def finding(claim: Claim, results) -> Finding:
    """What the results of one machine say of a claim; "not run yet" where those that it needs are missing or unfit."""
    try:
        found = claim.find(Records(results))
    except KeyError:  # half a lesson was run: some of the variants that are compared are not there
        found = None
    except ValueError as error:  # a changed lesson: one seed has no interval, and other seeds are no pairs
        return Finding(NOT_RUN, f"its records give no verdict ({error}): run the lesson as it is")
    return found or Finding(NOT_RUN, "")


def rows(own, reference) -> list[Row]:
    """The ledger, a Row for every claim: `own` and `reference` are the results of the learner's machine and a shipped one."""
    return [
        Row(
            claim=claim.id,
            says=claim.says,
            source=SOURCES[claim.id[0]],
            lesson=claim.lesson,
            reference=finding(claim, reference),
            yours=finding(claim, own),
        )
        for claim in CLAIMS
    ]
