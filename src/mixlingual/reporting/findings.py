"""The answer of a sweep in sentences: each with its effect, its interval, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mixlingual.analysis.read.points import ZERO_SHOT
from mixlingual.analysis.statistics.contrasts import Estimate, Interaction, corrected_level
from mixlingual.analysis.statistics.controls import PairedEffect
from mixlingual.analysis.statistics.debiasing import Debiasing
from mixlingual.analysis.statistics.estimates import Estimates, Measured
from mixlingual.analysis.statistics.mixed import NoModel
from mixlingual.analysis.statistics.power import Pilot
from mixlingual.analysis.statistics.response import Curve, Interval
from mixlingual.measures.registry import METRICS, SETTING_TITLES, larger_is_better
from mixlingual.reporting.labels import short_number

CERTAIN = 0.05
"""Share of the draws up to which the choice of the better pure ratio counts as certain."""

HEADLINE = (("multi", "map"), ("cross", "map"), ("mono", "map"))
"""Settings by how well they stand for the question, best first."""


def headline(answer: Estimates, benchmark: str) -> str | None:
    """The answer on a benchmark, in the setting that stands best for the question; None where there is none yet."""
    by_name = {(part.setting, part.measure): part for part in answer.measured if part.benchmark == benchmark}
    part = next((by_name[name] for name in HEADLINE if name in by_name and by_name[name].interaction), None)
    return interaction_sentence(answer, part) if part else None


def nature(answer: Estimates) -> str:
    """What intervals and tests are over, in a sentence or two."""
    over = "over questions, each with all its languages, and over training runs" if _over_runs(answer) else THESE_RUNS
    return (
        f"Intervals and tests are {over}; docs/statistics.md says how. The contrast was declared when the sweep first "
        "started."
    )


THESE_RUNS = "over questions alone, about these very runs: no seed is repeated"


def _over_runs(answer: Estimates) -> bool:
    return any(part.draws.freedom_K.any() for part in answer.measured)


def primary_findings(answer: Estimates) -> list[str]:
    """What the primary contrasts say."""
    return [interaction_sentence(answer, part) for part in answer.measured if part.interaction]


def findings(answer: Estimates) -> list[str]:
    """Every finding as a sentence or two: primary contrasts first, then curves, models and limits."""
    warning = [] if _over_runs(answer) or not answer.measured else [f"All intervals and tests are {THESE_RUNS}."]
    return [
        *warning,
        *primary_findings(answer),
        *_sensitivity(answer),
        *_axis(answer),
        *_paired(answer),
        *_debiased(answer),
        *(sentence for part in answer.measured for sentence in _best_ratios(answer, part)),
        *(sentence for part in answer.measured for sentence in _models(answer, part)),
        *(sentence for part in answer.measured for sentence in _scatter(part)),
        *_left_out(answer),
    ]


def _left_out(answer: Estimates) -> Iterator[str]:
    if answer.left_out:
        run, reason = next(iter(answer.left_out.items()))
        yield f"Runs that are not, or not all, in the statistics: {len(answer.left_out)}. {run}: {reason}."


def _sensitivity(answer: Estimates) -> Iterator[str]:
    """Whether the verdicts hold with paragraphs in place of questions."""
    both = [
        (part, part.interaction, other)
        for part in answer.measured
        if part.interaction and (other := answer.by_paragraph.get((part.benchmark, part.setting, part.measure)))
    ]
    if not both:
        return
    wider = max(other.error / found.error for _, found, other in both if found.error)
    changed = [
        f"{_name(part)} (p {_p(other.p if other.over_runs else other.p_questions)})"
        for part, found, other in both
        if _separable(found, answer.level) != _separable(other, answer.level)
    ]
    verdict = f"the verdict on {'; '.join(changed)} changes" if changed else "no verdict on a primary contrast changes"
    yield (
        f"Questions of one paragraph share its sentences. With paragraphs resampled in their place {verdict}; standard "
        f"errors are at most {wider:.2f} times as large."
    )


def _axis(answer: Estimates) -> Iterator[str]:
    """Which runs are the ratio axis, where there are others."""
    values: dict[str, dict[str, None]] = {}
    for options in answer.reference.values():
        for option, value in options.items():
            values.setdefault(option, {})[value] = None
    if values:
        kept = ", ".join(f"{option}={' or '.join(found)}" for option, found in values.items())
        yield (
            f"All of this is about the runs with {kept}: as declared, or else as most runs of a size have it. Runs "
            "with other values are controls."
        )


def _paired(answer: Estimates) -> Iterator[str]:
    for effect in answer.paired:
        over = f"mean of {len(effect.sizes)} sizes" if len(effect.sizes) > 1 else next(iter(effect.sizes))
        name = f"{effect.benchmark}, {SETTING_TITLES[effect.setting]}, {METRICS[effect.measure].label}"
        found = f"{_estimated(effect.overall, effect, answer.level)}; {over}"
        if effect.kind != ZERO_SHOT:
            yield (
                f"{name}, ratio {effect.ratio:g}: {_changes(answer, effect)} {_verdict(effect, answer.level)} than the "
                f"ratio axis, by {found}, runs paired by size and seed; {_sureness(effect.overall, 'controls')}."
            )
        elif effect.ratio == answer.ratio:
            yield (
                f"{name}: an encoder trained at ratio {effect.ratio:g} {_verdict(effect, answer.level)} than before "
                f"any training, by {found}; {_sureness(effect.overall, 'comparisons with baselines')}."
            )


def _debiased(answer: Estimates) -> Iterator[str]:
    """What corrections explain, wherever there is a gain to explain."""
    places: dict[tuple[str, ...], list[Debiasing]] = {}
    for found in answer.debiasing:
        if found.share and found.mixing.value > 0:
            place = (found.benchmark, found.setting, found.measure, found.evaluation, found.model, f"{found.pure:g}")
            places.setdefault(place, []).append(found)
    for same in places.values():
        first = same[0]
        name = f"{first.benchmark}, {SETTING_TITLES[first.setting]}, {METRICS[first.measure].label}, {first.model}"
        yield (
            f"{name}: ratio {answer.ratio:g} is better than ratio {first.pure:g} by {_ends(first, first.mixing)}. "
            f"Correcting ratio {first.pure:g} after training: {'; '.join(map(_correction, same))}."
        )
    if answer.debiasing and not places:
        yield (
            f"Ratio {answer.ratio:g} is nowhere separably better than a pure ratio of the same size, so that there is "
            "no gain for corrections after training to explain; what they change is in statistics_debiasing.csv."
        )


def _correction(found: Debiasing) -> str:
    assert found.share is not None
    share = f"{found.share.value:.0%} ({found.share.low:.0%} to {found.share.high:.0%})"
    return (
        f"{found.correction} gains it {_ends(found, found.correcting)}, {share} of that, and leaves "
        f"{_ends(found, found.remaining)} between the two when both are so corrected"
    )


def _ends(found: Debiasing, interval: Interval) -> str:
    value, low, high = (_number(found, end, sign=True) for end in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


def _changes(answer: Estimates, effect: PairedEffect) -> str:
    changed = answer.differences.get(effect.kind, {})
    return " and ".join(f"{option}={own} in place of {axis}" for option, (own, axis) in changed.items()) or effect.kind


def _verdict(effect: PairedEffect, level: float) -> str:
    if not _separable(effect.overall, level):
        return "is not separably better or worse"
    return "is better" if (effect.overall.value > 0) == larger_is_better(effect.measure) else "is worse"


def interaction_sentence(answer: Estimates, part: Measured) -> str:
    """What the primary contrast of a measure says."""
    assert part.interaction is not None
    assert answer.sizes is not None
    small, large = (f"{model} ({short_number(answer.weights[model])} weights)" for model in answer.sizes)
    effect = part.interaction
    verdict = (
        f"the gain from mixing is {'larger' if effect.value > 0 else 'smaller'} for {large} than for {small}"
        if _separable(effect, answer.level)
        else f"whether {large} gains more or less from mixing than {small} cannot be told from this sweep"
    )
    first, second = (_number(part, part.gains[model].value, sign=True) for model in answer.sizes)
    return (
        f"{_name(part)}: {verdict}. Ratio {answer.ratio:g} differs from the better pure ratio by {first} and {second} "
        f"(positive is better), so by {_estimated(effect, part, answer.level)} from the smaller size to the larger; "
        f"{_sureness(effect, 'primary contrasts')}. {_choice(answer, part)}{_what_would_change_it(answer, part)}"
    )


def _choice(answer: Estimates, part: Measured) -> str:
    """What the contrast is without the choice of the better pure ratio, where that choice is in doubt."""
    if part.switched < CERTAIN or len(part.against) < 2:
        return ""
    each = " and ".join(
        f"{_estimated(found, part, answer.level)} against ratio {pure:g} alone" for pure, found in part.against.items()
    )
    return (
        f"Which pure ratio is the better one is not certain (it changes in {part.switched:.0%} of the draws), which "
        f"makes a gain look a little smaller than it is; the difference is {each}. "
    )


def _what_would_change_it(answer: Estimates, part: Measured) -> str:
    assert part.interaction is not None
    detectable = f"It would have found a difference of {_number(part, part.interaction.detectable)} four times in five"
    if not part.interaction.over_runs:
        return f"{detectable}, among these very runs: repeat seeds to say anything of others."
    assert answer.sizes is not None
    contrast = Interaction(*answer.sizes, answer.ratio, larger_is_better(part.measure))
    pilot = Pilot.of(part.draws, contrast)
    level = corrected_level(answer.level, sum(other.interaction is not None for other in answer.measured))
    seeds = pilot and part.interaction.value and pilot.seeds_for(part.interaction.value, level)
    if _separable(part.interaction, answer.level):
        return f"{detectable}."
    if not seeds:
        return f"{detectable}; one as small as the one seen is out of reach of these questions, whatever the seeds."
    return f"{detectable}; one as small as the one seen takes {seeds} seeds in every cell."


def _sureness(effect: Estimate, family: str) -> str:
    if not effect.over_runs:
        return f"no seed is repeated, so this is about these very runs on other questions (p {_p(effect.p_questions)})"
    return f"p {_p(effect.p)} after Holm over all {family}, for other runs and other questions"


def _best_ratios(answer: Estimates, part: Measured) -> Iterator[str]:
    for model, curve in part.curves.items():
        kept = ", ".join(f"{ratio:g}" for ratio in curve.unseparated)
        yield (
            f"{_name(part)}, {model}: the fitted curve is best at ratio {_interval(curve.best, 2)}. Ratio "
            f"{answer.ratio:g} is worse than that by {_regret(curve, part)}. "
            f"Ratios that cannot be told from the best measured one: {kept}."
        )
    if part.slope:
        moves = "moves" if part.slope.low > 0 or part.slope.high < 0 else "does not separably move"
        change = _interval(part.slope, 2, sign=True)
        yield f"{_name(part)}: the best ratio {moves} with size, by {change} for ten times the weights."


def _models(answer: Estimates, part: Measured) -> Iterator[str]:
    if isinstance(part.mixed, NoModel):
        yield f"{_name(part)}: no mixed-effects model of all cells: {part.mixed.reason}."
    elif part.mixed.p == part.mixed.p:  # a fit that did not converge says nothing
        found = "differs" if part.mixed.p < 1 - answer.level else "does not separably differ"
        yield (
            f"{_name(part)}: in a mixed-effects model of all cells the response to the ratio {found} between sizes "
            f"(likelihood ratio {part.mixed.likelihood_ratio:.1f}; as an F test on {part.mixed.freedom} and "
            f"{part.mixed.freedom_rest} degrees of freedom, p {_p(part.mixed.p)}, not corrected for other measures)."
        )
    if part.law and part.law.left_out is not None and part.law.left_out_flat is not None:
        holds = "predicts" if part.law.left_out < part.law.left_out_flat else "does not predict"
        yield (
            f"{_name(part)}: a power law with exponent {part.law.gamma:.2f} {holds} a size left out better than "
            f"the mean of the others (error {part.law.left_out:.4f} against {part.law.left_out_flat:.4f})."
        )


def _scatter(part: Measured) -> Iterator[str]:
    """Where the scatter comes from: what more seeds, and what more questions, would narrow."""
    if part.components:
        known = not math.isnan(part.components.language)
        languages = f", languages by {_number(part, part.components.language)}" if known else ""
        yield (
            f"{_name(part)}: runs that differ in the seed alone differ by {_number(part, part.components.seed)} "
            f"(standard deviation), questions by {_number(part, part.components.question)}{languages}."
        )


def _separable(effect: Estimate, level: float) -> bool:
    return (effect.p if effect.over_runs else effect.p_questions) < 1 - level


def _name(part: Measured) -> str:
    return f"{part.benchmark}, {SETTING_TITLES[part.setting]}, {METRICS[part.measure].label}"


def _estimated(effect: Estimate, part: Measured | PairedEffect, level: float) -> str:
    ends = f"{_number(part, effect.low, sign=True)} to {_number(part, effect.high, sign=True)}"
    return f"{_number(part, effect.value, sign=True)} ({100 * level:g} % interval {ends})"


def _regret(curve: Curve, part: Measured) -> str:
    ends = f"{_number(part, curve.regret.low)} to {_number(part, curve.regret.high)}"
    return f"{_number(part, curve.regret.value)} ({ends})"


def _interval(interval: Interval, decimals: int, *, sign: bool = False) -> str:
    form = f"{'+' if sign else ''}.{decimals}f"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _number(part: Measured | PairedEffect | Debiasing, value: float, *, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.{METRICS[part.measure].decimals}f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
