"""Says the answer on a benchmark in words that need no course: a sentence, how sure it is and of what, and its words.

The sentence is about the widest setting that has a measure of quality: what the ratio furthest from the reference does
to the largest and to the smallest size, by the differences of `analysis.statistics.effects`. While runs are missing it
holds means alone, since every verdict may still turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.statistics.contrasts import Verdict
from mixlingual.analysis.statistics.effects import BETTER_PURE, UNTRAINED, Effect, Effects
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.measures.registry import METRICS, headlines
from mixlingual.reporting.labels import counted, short_number
from mixlingual.reporting.sentences import changes, short

MOST_WORDS = 25
"""Of a sentence; one that would be longer leaves out the range of its second size."""

MONOLINGUAL = "monolingual batches"

PLACES = {"mono": "Inside a language", "cross": "Across two languages", "multi": "In the pool of all languages"}
"""Setting -> where it is, in a sentence."""

WORDS: dict[Verdict, str] = {
    "better": "gives (verdict: better): the whole range is on the good side of zero",
    "worse": "costs (verdict: worse): the whole range is on the bad side of zero",
    "as good": "changes by less than (verdict: as good): the whole range is within the smallest effect that matters",
    "undecided": "undecided: the range holds zero, so that the runs do not say which is better",
}
"""Verdict -> the words for it in sentences, and what it means."""


class Answer(NamedTuple):
    """What the box on top of the page says of a benchmark."""

    sentence: str
    notes: Sequence[str]
    """How sure, of what, and what is undecided."""
    verdicts: Sequence[Verdict]
    """Those that the sentence uses."""


def missing_runs(sweep: Sweep) -> str:
    """How many runs are missing, in a sentence; empty where nothing is."""
    missing, planned = len(sweep.runs) - len(sweep.in_state("done")), counted(len(sweep.runs), "run")
    verb = "is" if missing == 1 else "are"
    return f"{missing} of {planned} {verb} missing, so there is no verdict yet." if missing else ""


def answer(estimates: Estimates, benchmark: str, *, complete: bool) -> Answer:
    """The answer on a benchmark.

    Args:
        estimates: of the sweep.
        benchmark: its name.
        complete: whether no run is missing.
    """
    family = _family(estimates.effects, benchmark)
    if family is None:
        return _of_controls(estimates, benchmark, complete=complete) or Answer(_NOTHING, [_WHY], [])
    ratio, effects, words = _told(estimates, family)
    place, subject = PLACES[family.setting], _subject(family, ratio)
    if not complete:
        return Answer(f"{place}, {_so_far(family, subject, effects)}.", [_of_what(estimates, effects)], [])
    said = ""
    for ranges in (2, 1, 0):
        said = f"{place}, {_clauses(estimates, family, subject, effects, words, ranges)}."
        if len(said.split()) <= MOST_WORDS:
            break
    notes = [_how_sure(estimates, family), _of_what(estimates, effects), _undecided(estimates, family)]
    return Answer(said, notes, list(dict.fromkeys(words)))


_NOTHING = "Nothing can be compared yet."
_WHY = (
    "It takes the scores by question of two ratios of one size, or of one ratio and the untrained encoder or a control."
)


def _of_controls(estimates: Estimates, benchmark: str, *, complete: bool) -> Answer | None:
    """What the first control changes, over all sizes: the answer of a sweep with one ratio."""
    order = [pair for pair in reversed(headlines()) if not METRICS[pair[1]].group]
    own = [e for e in estimates.paired if e.benchmark == benchmark and (e.setting, e.measure) in order]
    if not own:
        return None
    first = min(own, key=lambda effect: order.index((effect.setting, effect.measure)))
    found, label = first.overall, METRICS[first.measure].label
    value, *ends = (short(first.measure, end, sign=True) for end in (found.value, found.low_all, found.high_all))
    subject = f"{PLACES[first.setting]}, at ratio {first.ratio:g}, {changes(estimates, first)} changes {label}"
    if not complete:
        return Answer(f"{subject} so far by {value}.", [], [])
    verdict = estimates.verdict(first.measure, found)
    return Answer(f"{subject} by {value} ({' to '.join(ends)}): {verdict}.", [_CONTROLS], [verdict])


_CONTROLS = (
    "Of what: runs of one ratio, paired by size and seed; the mean over sizes. All findings are in the fold-out."
)


def _family(families: Sequence[Effects], benchmark: str) -> Effects | None:
    """The differences that the sentence is about: of quality, in the widest setting, from one ratio if there is one."""
    own = [each for each in families if each.benchmark == benchmark and each.reference != BETTER_PURE]
    order = [pair for pair in reversed(headlines()) if not METRICS[pair[1]].group]
    ranked = sorted(
        (each for each in own if (each.setting, each.measure) in order),
        key=lambda each: (each.reference == UNTRAINED, order.index((each.setting, each.measure))),
    )
    return next(iter(ranked), None)


def _told(estimates: Estimates, family: Effects) -> tuple[float, list[Effect], list[Verdict]]:
    """(the ratio of the sentence, its differences in the largest and in the smallest size, what is known of them).

    It is the ratio furthest from the reference at which something is known, else the furthest; of the untrained encoder
    the mixed one comes first. Ranges hold for all ratios together, so that looking for one makes none too narrow.
    """
    at = next(iter(family.at.values()), None)
    ratios = {each.ratio for each in family.effects}
    far = (lambda ratio: abs(ratio - at)) if at is not None else (lambda ratio: -abs(ratio - estimates.ratio))
    told = []
    for ratio in sorted(ratios, key=far, reverse=True):
        own = [each for each in family.effects if each.ratio == ratio]
        effects = [own[-1], *own[:1]] if len(own) > 1 else own
        told.append((ratio, effects, [estimates.verdict(family.measure, each.estimate) for each in effects]))
    return next((each for each in told if {"better", "worse"} & {*each[2]}), told[0])


def _subject(family: Effects, ratio: float) -> str:
    """Who acts in the sentence."""
    if family.reference == UNTRAINED:
        return f"training at ratio {ratio:g}"
    if (family.reference, ratio) == ("ratio 0", 1.0):
        return MONOLINGUAL
    return f"ratio {ratio:g} against {family.reference.removeprefix('ratio ')}"


def _names(effects: Sequence[Effect]) -> list[str]:
    return ["the largest encoder", "the smallest"] if len(effects) > 1 else ["the encoder"]


def _so_far(family: Effects, subject: str, effects: Sequence[Effect]) -> str:
    """Means without a verdict."""
    told = " and ".join(
        f"{short(family.measure, each.estimate.value, sign=True)} for {name}"
        for each, name in zip(effects, _names(effects), strict=True)
    )
    return f"{subject} so far {_verb('change', subject)} {METRICS[family.measure].label} by {told}"


def _clauses(
    estimates: Estimates,
    family: Effects,
    subject: str,
    effects: Sequence[Effect],
    words: Sequence[Verdict],
    ranges: int,
) -> str:
    """What the subject does to each size, the first `ranges` of them with its range."""
    names = _names(effects)
    known = [each for each in zip(words, effects, names, strict=True) if each[0] != "undecided"]
    if not known:
        verbs = " or ".join(_verb(each, subject) for each in ("help", "harm"))
        return f"whether {subject} {verbs} {' and '.join(names)} is undecided"
    said: list[str] = []
    for place, (word, effect, name) in enumerate(known):
        verb = "" if place and word == known[0][0] else f"{_verb(_VERBS[word], subject)} "
        unit = "" if place else f" {METRICS[family.measure].label}"
        if word == "as good" and not verb:
            amount = "as little"
        elif word == "as good":
            amount = f"by less than {short(family.measure, estimates.config.smallest_effect[family.measure])}{unit}"
        else:
            low, high = sorted((abs(effect.estimate.low_all), abs(effect.estimate.high_all)))
            span = f" ({short(family.measure, low)} to {short(family.measure, high)})" if place < ranges else ""
            amount = f"{short(family.measure, abs(effect.estimate.value))}{unit}{span}"
        said.append(f"{verb}{name} {amount}")
    rest = "".join(
        f"; for {name} it is undecided" for word, name in zip(words, names, strict=True) if word == "undecided"
    )
    return f"{subject} {' and '.join(said)}{rest}"


_VERBS: dict[Verdict, str] = {"better": "give", "worse": "cost", "as good": "change"}


def _verb(plural: str, subject: str) -> str:
    """The verb in the number of its subject."""
    return plural if subject == MONOLINGUAL else f"{plural}s"


def _how_sure(estimates: Estimates, family: Effects) -> str:
    """What the ranges hold for."""
    found = [each.estimate for each in family.effects]
    borrowed = dict.fromkeys(model for each in found for model in each.borrowed)
    over = "for other training runs and other questions"
    if not any(each.over_runs for each in found):
        over = "for other questions but these very runs, since no seed is repeated"
    elif borrowed:
        over += f" (no seed of {' and '.join(borrowed)} is repeated: its spread is that of the other sizes)"
    several = f"for all {len(found)} differences from {family.reference} together" if len(found) > 1 else "for it"
    return f"How sure: the ranges hold with {100 * estimates.level:g} %, {several}, {over}."


def _of_what(estimates: Estimates, effects: Sequence[Effect]) -> str:
    """Which encoders they are."""
    named = [
        f"{each.model} ({short_number(estimates.weights[each.model])} weights), {counted(each.seeds, 'seed')}"
        for each in effects
    ]
    return (
        f"Of what: {named[0]}."
        if len(named) == 1
        else (f"Of what: the largest encoder is {named[0]}; the smallest is {named[1]}.")
    )


def _undecided(estimates: Estimates, family: Effects) -> str:
    """Which differences of the setting are not known."""
    open_at: dict[str, list[str]] = {}
    for each in family.effects:
        if estimates.verdict(family.measure, each.estimate) == "undecided":
            open_at.setdefault(each.model, []).append(f"{each.ratio:g}")
    if not open_at:
        return "Undecided here: nothing."
    number = sum(map(len, open_at.values()))
    where = "; ".join(f"{model} at {', '.join(ratios)}" for model, ratios in open_at.items())
    return f"Undecided here: {number} of {len(family.effects)} differences, {where}."


def explained(answers: Sequence[Answer]) -> Iterator[list[str]]:
    """For each answer, what its verdicts mean, where an earlier one has not said so."""
    known: set[Verdict] = set()
    for each in answers:
        yield [WORDS[word] for word in each.verdicts if word not in known]
        known |= {*each.verdicts}
