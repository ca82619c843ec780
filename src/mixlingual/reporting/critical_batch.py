"""Says how large a batch pays."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mixlingual.analysis.statistics.critical_batch import Arm, CriticalBatch
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.response import Interval
from mixlingual.reporting.sentences import interval, p_value


def critical_findings(answer: Estimates) -> Iterator[str]:
    """The critical batch size of each arm, then what a kind for each group changes, then what negatives save."""
    for found in answer.critical.arms:
        if found.fit:
            yield arm_sentence(found)
    for test in answer.critical.draws:
        yield (
            f"{test.model}, {test.negatives} negatives, ratio {test.ratio:g}: with a kind for each group of a batch, "
            f"in place of one for the step, the critical batch size is {test.factor:.2g} times as large (two-sided p "
            f"{p_value(test.p)}). A larger one was predicted: steps of one kind have noise that no batch size removes."
        )
    for value in answer.critical.same_batches:
        other = f"{value.other.negatives}" if value.other.draw == value.arm.draw else "one for the step"
        yield (
            f"{where(value.arm)}, in place of {other}, at the same batch: {interval(value.factor, 2)} times the steps, "
            f"over {value.pairs} pairs of runs"
            + (f"; {value.left_out} more did not both reach the target." if value.left_out else ".")
        )


def where(arm: Arm) -> str:
    """What the runs of an arm have in common."""
    kind = "" if arm.ratio in (0.0, 1.0) else f", a kind for each {arm.draw}"
    return f"{arm.model}, ratio {arm.ratio:g}{kind}, {arm.negatives} negatives"


def arm_sentence(found: CriticalBatch) -> str:
    """How large a batch pays, by both rules."""
    assert found.fit is not None
    fit = found.fit
    short = fit.runs - fit.reached
    return (
        f"{where(found.arm)}: batches of up to {pairs(fit.critical)} need at most 20 % more pairs than small ones to a "
        f"loss of {found.target:.2f} on {found.set}; {fit.anchored:.0f} by the rule of Zhang et al. (2024), whose "
        f"anchor adds {fit.anchored - fit.critical.value:.0f}. {fit.reached} of {fit.runs} runs reached it"
        + (f"; the other {short} count as slower than they trained." if short else ".")
    )


def pairs(found: Interval) -> str:
    """A batch size with its interval, which may be open."""
    high = "no upper end" if math.isinf(found.high) else f"{found.high:.0f}"
    value = "far more than were tried" if found.value > 1e6 else f"{found.value:.0f}"
    return f"{value} ({found.low:.0f} to {high}) pairs"
