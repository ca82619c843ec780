"""Says what own language first costs: the ratio as a dial."""

from __future__ import annotations

from collections.abc import Iterator

from mixlingual.analysis.statistics.dial import POOL, RELEVANCE, Cost, Moved
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.response import Interval
from mixlingual.measures.registry import METRICS
from mixlingual.reporting.sentences import interval

_DECIMALS = METRICS[RELEVANCE].decimals


def dial_findings(answer: Estimates) -> Iterator[str]:
    """What a point of own language first costs each size in the pool, then where corrections take encoders."""
    for cost in answer.costs:
        if cost.setting == POOL and (cost.start, cost.stop) == _ends(answer, cost):
            yield cost_sentence(cost)
    for found in answer.moved:
        if found.ratio in (0.0, 1.0):
            yield moved_sentence(found)


def _ends(answer: Estimates, cost: Cost) -> tuple[float, float]:
    """Least and greatest ratio of the size."""
    own = [each for each in answer.costs if (each.benchmark, each.model) == (cost.benchmark, cost.model)]
    return min(each.start for each in own), max(each.stop for each in own)


def cost_sentence(cost: Cost) -> str:
    """What the dial does to a size."""
    turned = Interval(*(100 * end for end in (cost.preference.value, cost.preference.low, cost.preference.high)))
    start = f"{cost.benchmark}, {cost.model}: from ratio {cost.start:g} to {cost.stop:g} own language first rises by "
    moves = f"{start}{interval(turned, 1, sign=True)} points of the questions"
    over = "" if cost.over_questions else "; over runs alone, about these very questions"
    if cost.cost is None:
        return f"{moves}: the ratio does not surely move it, so that a point has no price{over}."
    return f"{moves}, and a point more costs {interval(cost.cost, _DECIMALS, sign=True)} mAP in the pool{over}."


def moved_sentence(found: Moved) -> str:
    """Whether a correction moves along the dial, or beside it."""
    own = Interval(found.excess.value, found.excess.low, found.excess.high)
    word = "above" if own.low > 0 else "below" if own.high < 0 else "not surely beside"
    beyond = "; no ratio has as much or as little preference, so that the line is drawn on" if found.beyond else ""
    return (
        f"{found.benchmark}, {found.model}, ratio {found.ratio:g} with {found.correction}: {word} the dial, by "
        f"{interval(own, _DECIMALS, sign=True)} mAP at the same own language first ({found.preference:.1%}){beyond}."
    )
