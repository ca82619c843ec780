"""Writes numbers and words that the sentences of a report share."""

from __future__ import annotations

from collections.abc import Sequence

from mixlingual.analysis.statistics.contrasts import Estimate
from mixlingual.analysis.statistics.controls import PairedEffect
from mixlingual.analysis.statistics.estimates import Estimates, Measured
from mixlingual.analysis.statistics.response import Interval
from mixlingual.measures.registry import METRICS, SETTING_TITLES


def name_of(part: Measured) -> str:
    """Benchmark, setting and measure."""
    return f"{part.benchmark}, {SETTING_TITLES[part.setting]}, {METRICS[part.measure].label}"


def number(measure: str, value: float, *, sign: bool = False) -> str:
    """A value with the decimals of its measure."""
    return f"{value:{'+' if sign else ''}.{METRICS[measure].decimals}f}"


def short(measure: str, value: float, *, sign: bool = False) -> str:
    """A value as sentences have it: three decimals, more where these would all be 0, without the 0 before the point."""
    decimals = METRICS[measure].decimals
    shown = f"{value:{'+' if sign else ''}.{min(decimals, 3) if abs(value) >= 0.001 else decimals}f}"
    return shown.replace("0.", ".", 1) if abs(value) < 1 else shown


def p_value(value: float) -> str:
    """A p, as it follows the letter."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def ends(effect: Estimate, measure: str) -> str:
    """The value with the interval of this estimate alone."""
    value, low, high = (number(measure, end, sign=True) for end in (effect.value, effect.low, effect.high))
    return f"{value} ({100 * effect.level:g} % interval {low} to {high})"


def estimated(effect: Estimate, measure: str) -> str:
    """The value with its interval, and the one that holds with all others of its family."""
    low, high = (number(measure, end, sign=True) for end in (effect.low_all, effect.high_all))
    return f"{ends(effect, measure)[:-1]}, {low} to {high} with all others)"


def interval(found: Interval, decimals: int, *, sign: bool = False) -> str:
    """A value with its ends."""
    form = f"{'+' if sign else ''}.{decimals}f"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def sureness(effect: Estimate, family: str) -> str:
    """The p, and what it is about."""
    if not effect.over_runs:
        return f"no seed is repeated, so this is about these very runs on other questions (p {p_value(effect.p)})"
    after = f"p {p_value(effect.p)} after Holm over all {family}, for other runs and other questions"
    if effect.borrowed:
        after += f"; no seed of {' and '.join(effect.borrowed)} is repeated, so its spread is that of the other sizes"
    return after


def spread_of_runs(effects: Sequence[Estimate]) -> str:
    """What some estimates are over beside questions."""
    borrowed = dict.fromkeys(model for effect in effects for model in effect.borrowed)
    if not any(effect.over_runs for effect in effects):
        return "about these very runs: no seed is repeated"
    if borrowed:
        return (
            f"over training runs; the spread of {' and '.join(borrowed)}, of which no seed is repeated, is that of the "
            "other sizes"
        )
    return "over training runs"


def changes(answer: Estimates, effect: PairedEffect) -> str:
    """What a kind of controls has in place of what the ratio axis has."""
    changed = answer.differences.get(effect.kind, {})
    return " and ".join(f"{option}={own} in place of {axis}" for option, (own, axis) in changed.items()) or effect.kind
