"""Writes sentences on how scores respond to the ratio: gains, best ratios, the model of all cells, and the scatter."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mixlingual.analysis.statistics.estimates import Estimates, Measured
from mixlingual.analysis.statistics.interaction import SizeByRatio, Test
from mixlingual.analysis.statistics.response import Curve
from mixlingual.reporting.sentences import estimated, interval, name_of, number, p_value, sureness


def shape_findings(answer: Estimates) -> Iterator[str]:
    """All of them."""
    for part in answer.measured:
        yield from _gains(answer, part)
    for part in answer.measured:
        yield from _best_ratios(answer, part)
    for part in answer.measured:
        yield from _model(answer, part)
        yield from _scatter(part)


def _gains(answer: Estimates, part: Measured) -> Iterator[str]:
    smallest = answer.config.smallest_effect.get(part.measure)
    for model, gain in part.gains.items():
        yield (
            f"{name_of(part)}, {model}: {gain.verdict(smallest)}; ratio {answer.ratio:g} differs from the better pure "
            f"ratio by {estimated(gain, part.measure)} (positive is better); {sureness(gain, 'gains')}."
        )


def _best_ratios(answer: Estimates, part: Measured) -> Iterator[str]:
    for model, curve in part.curves.items():
        kept = ", ".join(f"{ratio:g}" for ratio in curve.possibly_best)
        yield (
            f"{name_of(part)}, {model}: the fitted curve is best at ratio {interval(curve.best, 2)}."
            f"{_regret(answer, curve, part)} Measured ratios that may be the best: {kept}."
        )
    if part.slope:
        moves = "moves" if part.slope.low > 0 or part.slope.high < 0 else "may move or stay"
        change = interval(part.slope, 2, sign=True)
        yield f"{name_of(part)}: the best ratio {moves} with size, by {change} for ten times the weights."


def _regret(answer: Estimates, curve: Curve, part: Measured) -> str:
    if curve.regret is None:
        return ""
    low, high = (number(part.measure, end) for end in (curve.regret.low, curve.regret.high))
    least = f"at least {low} and at most {high}" if curve.regret.low > 0 else f"at most {high}"
    return f" Ratio {answer.ratio:g} is {least} worse than the best measured one."


def _model(answer: Estimates, part: Measured) -> Iterator[str]:
    model = part.model
    if model is None:
        return
    found = "differs" if model.interaction.p < 1 - answer.level else "is not found to differ"
    reach = "" if found == "differs" else f" {_reach(model)}"
    yield (
        f"{name_of(part)}: in a model of all cells, in {model.scale}, the response to the ratio {found} between sizes "
        f"({_tested(model.interaction)}, not corrected for other measures).{reach}{_fit(answer, model)}"
    )


def _tested(test: Test) -> str:
    return f"F = {test.statistic:.1f} on {test.terms} and {test.freedom:.0f} degrees of freedom, p {p_value(test.p)}"


def _reach(model: SizeByRatio) -> str:
    change = interval(model.change, 2, sign=True)
    return (
        f"From the smallest size to the largest, ratio 1 less ratio 0 changes by {change}; a change of "
        f"{model.reach:.2f} would be found four times in five."
    )


def _fit(answer: Estimates, model: SizeByRatio) -> str:
    if model.lack_of_fit is None or model.lack_of_fit.p >= 1 - answer.level:
        return ""
    return (
        f" The cells do not follow its form, in which curves change along a line in log size "
        f"({_tested(model.lack_of_fit)}): what it says is an average."
    )


def _scatter(part: Measured) -> Iterator[str]:
    """Where the scatter comes from: what more seeds, and what more questions, would narrow."""
    if part.components:
        seed, question = (number(part.measure, value) for value in (part.components.seed, part.components.question))
        known = not math.isnan(part.components.language)
        languages = f", languages by {number(part.measure, part.components.language)}" if known else ""
        yield (
            f"{name_of(part)}: runs that differ in the seed alone differ by {seed} (standard deviation), questions by "
            f"{question}{languages}."
        )
