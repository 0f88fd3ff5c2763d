"""Claims on many processes: data parallel training, how it scales, and what is sent."""

import torch
from torch import nn

from course_lib.intervals import bootstrap_interval
from course_lib.ledger.finding import FAILS, HOLDS, WRONG, Claim, Finding, Records, span, where

TUNED = "hierarchical, 8 buckets overlap"


def divided_by_n(records: Records) -> Finding | None:
    """A2: a case counts where the interval of the factor reaches 90 % of the 2 ranks."""
    runs = records.of("30", "2 ranks")
    if not runs:
        return None
    good = [r for r in runs if bootstrap_interval(r.values["speedup"])[1] >= 0.9 * 2]
    cases = [f"{r.knobs['model']} model at batch {r.knobs['batch']}" for r in good]
    return Finding(where(cases, len(runs)), f"2 ranks are {span([r.median('speedup') for r in runs])} times as fast as one")


def _simulated(records: Records, ranks: int) -> dict[tuple[str, str], float]:
    """{(network, way): share of linear scaling}."""
    runs = records.of("31", "simulated", ranks=ranks)
    return {(r.knobs["job"], r.knobs["way"]): r.median("simulated_efficiency") for r in runs}


def at_100_cards(records: Records) -> Finding | None:
    """B7: simulated from measured and published rates; the plain ring, and tuned."""
    shares = {key: share for key, share in _simulated(records, 100).items() if key[1] in ("ring", TUNED)}
    if not shares:
        return None
    good = [f"{net} {'tuned' if way == TUNED else f'by {way}'}" for (net, way), share in shares.items() if share >= 0.85]
    return Finding(where(good, len(shares)), f"simulated at 100 cards: {span([*shares.values()], '.0%')} of linear")


def tuned_all_reduce(records: Records) -> Finding | None:
    """B8: how many times as efficient the tuned way is, from each way that one may have started with."""
    shares = _simulated(records, 32)
    nets = sorted({net for net, _ in shares})
    if not nets:
        return None
    factors = {start: [shares[net, TUNED] / shares[net, start] for net in nets] for start in ("flat", "tree", "ring")}
    cases = [(start, net, f) for start, row in factors.items() for net, f in zip(nets, row, strict=True)]
    good = [f"{net} from a {start}" for start, net, factor in cases if 1.7 <= factor <= 2.3]
    said = ", ".join(f"{span(row, '.1f')} from a {start}" for start, row in factors.items())
    return Finding(where(good, len(cases)), f"simulated at 32 cards, times as efficient: {said}")


def compressed_gradients(records: Records) -> Finding | None:
    """B9: bytes counted, time measured, of one bit an entry."""
    full, bit = records.one("31", "fp32"), records.one("31", "1 bit")
    if not (full and bit):
        return None
    less, faster = (full.median(what) / bit.median(what) for what in ("bytes_sent", "step"))
    verdict = (HOLDS if faster > 1.05 else "holds for bytes, not for time") if less > 4 else FAILS
    return Finding(verdict, f"1 bit sends {less:.0f} times less; a step is {faster:.2f} times as fast")


def rule_of_thumb(records: Records) -> Finding | None:
    """B13: plain data parallelism ends where the bytes of training, not those of the weights, fill the card.

    With b bytes a parameter (weights in 16 bits are 2 of them), weights / memory is 2 / b there, before activations.
    """
    memory = records.one("31", "memory")
    if memory is None:
        return None
    trained = memory.median("bytes_a_parameter")
    ends = 2 / trained
    said = f"training takes {trained:.0f} bytes a parameter, so it ends at weights / memory = {ends:.3f} at best, not at 1"
    return Finding(WRONG if ends < 0.9 else HOLDS, said)


def lstm_listing(records: Records) -> Finding | None:
    """C6: computed here: a batch in two halves, through an LSTM that is given (batch, features)."""
    generator = torch.Generator().manual_seed(0)
    lstm, batch = nn.LSTM(8, 16), torch.rand(64, 8, generator=generator)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.copy_(torch.rand(weight.shape, generator=generator) / 4 - 0.125)
        off = (lstm(batch)[0] - torch.cat([lstm(half)[0] for half in batch.chunk(2)])).abs().max().item()
    return Finding(WRONG if off > 1e-3 else HOLDS, f"divide the batch in two, and its answers change by {off:.2f}")


CLAIMS = [
    Claim("A2", "N nodes divide the time by N", "30_ddp", divided_by_n),
    Claim("B7", "at least 85 % of linear scaling at 100 cards", "31_scaling", at_100_cards),
    Claim("B8", "tuning the all-reduce nearly doubles the efficiency at 32 cards", "31_scaling", tuned_all_reduce),
    Claim("B9", "gradient compression cuts communication greatly", "31_scaling", compressed_gradients),
    Claim("B13", "weights / card memory below 1: data parallel; 1-10: model parallel", "31_scaling", rule_of_thumb),
    Claim("C6", "data parallelism by DataParallel on an LSTM; its listing has no sequence", "30_ddp", lstm_listing),
]
