"""Says whether encoders merged between the pure ratios trace those trained at the ratio."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.merging import Merging, outcome
from mixlingual.measures.registry import METRICS, SETTING_TITLES
from mixlingual.reporting.sentences import ends


def merging_findings(answer: Estimates) -> Iterator[str]:
    """A sentence for each benchmark, setting, measure, kind of merging and size."""
    for _, family in groupby(
        answer.merging, key=lambda found: (found.benchmark, found.setting, found.measure, found.kind, found.model)
    ):
        yield merging_sentence(answer, list(family))


def merging_sentence(answer: Estimates, family: list[Merging]) -> str:
    """What merging gives beside training at the ratio, from all shares of a size."""
    first = family[0]
    verdicts = [answer.verdict(first.measure, found.difference) for found in family]
    word = outcome(verdicts)
    says = f"{first.kind} merging {word} training at the ratio"
    if word == "not known":
        says = f"whether {first.kind} merging reaches training at the ratio is not known"
    shares = "; ".join(
        f"{verdict} at {found.share:g}, by {ends(found.difference, first.measure)}"
        for found, verdict in zip(family, verdicts, strict=True)
    )
    runs = "" if first.difference.over_runs else "; no seed is repeated, so this is about these very runs"
    return (
        f"{first.benchmark}, {SETTING_TITLES[first.setting]}, {METRICS[first.measure].label}, {first.model}: "
        f"{says}: {shares}{runs}."
    )
