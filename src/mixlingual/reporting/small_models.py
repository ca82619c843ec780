"""Says what a small model would have told about a larger one."""

from __future__ import annotations

from collections.abc import Iterator

from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.transfer import Told
from mixlingual.measures.registry import METRICS, SETTING_TITLES
from mixlingual.reporting.sentences import interval, number


def told_findings(answer: Estimates) -> Iterator[str]:
    """Whether the smallest size would have picked a good ratio for the largest, at the end of training."""
    if answer.weights:
        smallest, largest = (ends(answer.weights, key=answer.weights.__getitem__) for ends in (min, max))
        for told in answer.told:
            if (told.transfer.small, told.transfer.large, told.pairs) == (smallest, largest, None):
                yield told_sentence(told)


def told_sentence(told: Told) -> str:
    """What the smaller size would have picked, what that costs the larger, and how far they agree on the order."""
    found, measure = told.transfer, told.measure
    cost = interval(found.regret, METRICS[measure].decimals)
    verdict = {True: "costs", False: "may cost nothing or"}[found.regret.low > 0]
    order = f"{found.same} pairs of ratios surely in the same order at both sizes, {found.opposite} in the opposite one"
    return (
        f"{told.benchmark}, {SETTING_TITLES[told.setting]}, {METRICS[measure].label}{_budget(told)}: {found.small} is "
        f"best at ratio {found.choice:g}. For {found.large} that {verdict} {cost}, against its own best ratio; any of "
        f"the ratios that may truly be best for {found.small} costs at most {number(measure, found.most)}. {order}, "
        f"{found.undecided} undecided (Kendall's tau {interval(found.tau, 2, sign=True)})."
    )


def _budget(told: Told) -> str:
    return "" if told.pairs is None else f" after {told.pairs:,} pairs"
