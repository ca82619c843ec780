"""Says the answer of a sweep in sentences: each with its effect, its interval, and what it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from mixlingual.analysis.read.points import ZERO_SHOT
from mixlingual.analysis.statistics.contrasts import Estimate, two_sided
from mixlingual.analysis.statistics.debiasing import Debiasing
from mixlingual.analysis.statistics.estimates import Estimates, Measured
from mixlingual.analysis.statistics.gaps import Attempts, Gap
from mixlingual.analysis.statistics.response import Interval
from mixlingual.measures.registry import METRICS, SETTING_TITLES, larger_is_better
from mixlingual.reporting.critical_batch import critical_findings
from mixlingual.reporting.dial import dial_findings
from mixlingual.reporting.labels import short_number
from mixlingual.reporting.merging import merging_findings
from mixlingual.reporting.sentences import changes, ends, estimated, name_of, number, p_value, spread_of_runs, sureness
from mixlingual.reporting.shapes import shape_findings
from mixlingual.reporting.small_models import told_findings


def nature(answer: Estimates) -> str:
    """What intervals and tests are over, in a sentence or two."""
    varies = f"over {answer.config.cluster.replace('query', 'question')}s, each with all its languages"
    contrasts = [part.interaction for part in answer.measured if part.interaction]
    effects = [each.estimate for family in answer.effects for each in family.effects]
    told = contrasts or effects or [effect.overall for effect in answer.paired]
    over = spread_of_runs(told) if told else "about these very runs"
    return f"Intervals and tests are {varies}, and {over}; docs/statistics.md says how. {_declared(answer)}"


def _declared(answer: Estimates) -> str:
    if answer.declared:
        return "The sizes of the contrast were declared by name when the sweep first started."
    return (
        "The sizes of the contrast are the smallest and the largest of the sweep as it is now: they were not "
        "declared by "
        "name before it started, so that this is a look, not a planned test."
    )


def primary_findings(answer: Estimates) -> list[str]:
    """What the primary contrasts say."""
    return [interaction_sentence(answer, part) for part in answer.measured if part.interaction]


def findings(answer: Estimates, attempt: Attempts | None = None) -> list[str]:
    """Every finding as a sentence or two: primary contrasts first, then curves, models and limits.

    Args:
        answer: the estimates.
        attempt: keeps a gap in place of sentences that cannot be written; the gaps are the last sentences.
    """
    attempt = attempt or Attempts()
    parts: dict[str, Callable[[Estimates], Iterable[str]]] = {
        "what was declared": lambda answer: [_declared(answer)] if answer.measured and not answer.declared else [],
        "the primary contrasts": primary_findings,
        "other sizes": lambda answer: (sentence for part in answer.measured for sentence in _undeclared(part)),
        "the ratio axis": _axis,
        "controls and baselines": _paired,
        "corrections after training": _debiased,
        "merging against mixing": merging_findings,
        "critical batch sizes": critical_findings,
        "own language first as a dial": dial_findings,
        "what small models tell": told_findings,
        "the response to the ratio": shape_findings,
        "runs left out": _left_out,
    }
    found: list[str] = []
    for name, part in parts.items():
        found += attempt(f"Findings on {name}", lambda part=part: [*part(answer)]) or []  # type: ignore[misc]
    return [*found, *gap_sentences([*answer.gaps])]


def _left_out(answer: Estimates) -> Iterator[str]:
    """Every run that is not, or not all, in the statistics; runs of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for run, reason in answer.left_out.items():
        by_reason.setdefault(reason, []).append(run)
    for reason, runs in by_reason.items():
        more = f" and {len(runs) - _MOST_NAMED} more" if len(runs) > _MOST_NAMED else ""
        yield f"Not, or not all, in the statistics: {', '.join(runs[:_MOST_NAMED])}{more}: {reason}."


_MOST_NAMED = 12
"""So many runs of one reason are named in a sentence."""


def gap_sentences(gaps: Iterable[Gap]) -> Iterator[str]:
    """Every analysis that there is none of; those of one reason together."""
    by_reason = groupby(sorted(gaps, key=lambda gap: gap.reason), key=lambda gap: gap.reason)
    for reason, same in by_reason:
        yield f"Not computed: {'; '.join(gap.analysis for gap in same)}. The reason: {reason}."


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
        found = f"{estimated(effect.overall, effect.measure)}; {over}"
        smallest = answer.config.smallest_effect.get(effect.measure)
        word = effect.overall.verdict(smallest, larger_is_better=larger_is_better(effect.measure))
        if effect.kind != ZERO_SHOT:
            yield (
                f"{name}, ratio {effect.ratio:g}: {word}. {changes(answer, effect)} differs from the ratio axis by "
                f"{found}, runs paired by size and seed; {sureness(effect.overall, 'controls')}."
            )
        elif effect.ratio == answer.ratio:
            yield (
                f"{name}: {word}. An encoder trained at ratio {effect.ratio:g} differs from the same before any "
                f"training "
                f"by {found}; {sureness(effect.overall, 'comparisons with baselines')}."
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
            f"Ratio {answer.ratio:g} is nowhere surely better than a pure ratio of the same size, so that there is "
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
    value, low, high = (number(found.measure, end, sign=True) for end in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


def interaction_sentence(answer: Estimates, part: Measured) -> str:
    """What the primary contrast of a measure says."""
    assert part.interaction is not None
    assert answer.sizes is not None
    small, large = (f"{model} ({short_number(answer.weights[model])} weights)" for model in answer.sizes)
    effect, smallest = part.interaction, answer.config.smallest_effect.get(part.measure)
    word = effect.verdict(smallest)
    says = {
        "better": f"{large} gains more from mixing than {small}",
        "worse": f"{large} gains less from mixing than {small}",
        "as good": f"{large} and {small} gain the same from mixing, within {number(part.measure, smallest or 0)}",
        "undecided": f"whether {large} gains more or less from mixing than {small} is not known",
    }[word]
    first, second = (number(part.measure, part.gains[model].value, sign=True) for model in answer.sizes)
    return (
        f"{name_of(part)}: {word}; {says}. Ratio {answer.ratio:g} differs from the better pure ratio by {first} and "
        f"{second} (positive is better), so by {estimated(effect, part.measure)} from the smaller size to the larger; "
        f"{sureness(effect, 'primary contrasts')}.{_choice(part)}{_scales(answer, part)}"
    )


def _choice(part: Measured) -> str:
    """What the contrast is without the choice of the better pure ratio, where that choice is in doubt."""
    if not part.choice_in_doubt or len(part.against) < 2:
        return ""
    each = " and ".join(
        f"{ends(found, part.measure)} against ratio {pure:g} alone" for pure, found in part.against.items()
    )
    return (
        " Which pure ratio is the better one is not certain, which makes a gain look a little smaller than it is; the "
        f"difference is {each}."
    )


def _scales(answer: Estimates, part: Measured) -> str:
    """Where the verdict depends on the scale or on the metric: each contrast by itself."""
    assert part.interaction is not None
    found = {f"in {scale}" if scale[0] == "l" else f"as a {scale}": each for scale, each in part.scales.items()}
    for (benchmark, setting, metric), each in answer.metrics.items():
        if part.measure == "map" and (benchmark, setting) == (part.benchmark, part.setting):
            found[f"in {METRICS[metric].label}"] = each
    own = _alone(part.interaction)
    other = [f"{_alone(each)} {scale}" for scale, each in found.items() if _alone(each) != own]
    return (
        f" By itself the contrast is {own}, but {', '.join(other)}: the verdict depends on the scale." if other else ""
    )


def _alone(effect: Estimate) -> str:
    if two_sided(effect.value, effect.error, effect.freedom) >= 1 - effect.level:
        return "undecided"
    return "better" if effect.value > 0 else "worse"


def _undeclared(part: Measured) -> Iterator[str]:
    if part.undeclared:
        (small, large), effect = part.undeclared
        yield (
            f"{name_of(part)}, not declared: the sweep has sizes beyond the declared ones. From {small} to {large} the "
            f"gain from mixing changes by {ends(effect, part.measure)}, p {p_value(effect.p)} by itself: a look, not a "
            "planned test."
        )
