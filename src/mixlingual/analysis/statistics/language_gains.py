"""Pools the gain from mixing over query languages: own estimates, what is known of the languages, and both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.by_language import Pooled, covariates, partial_pooling
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import Gain
from mixlingual.analysis.statistics.gaps import NotPossibleError
from mixlingual.config.schema import AnalysisConfig
from mixlingual.measures.registry import larger_is_better
from mixlingual.records import is_number

FEWEST_LANGUAGES = 4
"""Languages from which on their gains are pooled."""


@dataclass(frozen=True)
class Traits:
    """What is known of the languages of a benchmark."""

    trained: frozenset[str]
    """Languages that some batch of a finished run held."""
    parity: dict[str, dict[str, float]]
    """Size -> language -> tokens for each one of English, where a run of the size counted them."""


@dataclass(frozen=True)
class LanguageGains:
    """The gain of a size by query language."""

    languages: tuple[str, ...]
    own_G: NDArray[np.float64]
    """Of each language alone."""
    covariates: tuple[str, ...]
    """Columns of the design behind `pooled`, the first being the mean."""
    pooled: Pooled


def traits_of(sweep: Sweep, benchmark: str) -> Traits:
    """The traits that the finished runs of a sweep tell."""
    pairs = {pair for result in sweep.results() for pair in result.batches.get("language_pairs", {})}
    parity = {}
    for run in sweep.in_state("done"):
        assert run.point is not None
        assert run.result is not None
        section = run.result.benchmarks.get(benchmark)
        found = section.get("token_parity") if isinstance(section, dict) else None
        if isinstance(found, dict):
            parity[run.point.model] = {language: float(v) for language, v in found.items() if is_number(v) and v > 0}
    return Traits(frozenset(language for pair in pairs for language in pair.split("-")), parity)


def language_gains(
    scores: QuestionScores, trials: Sequence[Trial], models: Sequence[str], config: AnalysisConfig, traits: Traits
) -> dict[str, LanguageGains]:
    """Size -> its gain by query language, of sizes with all cells of a gain.

    Args:
        scores: one measure.
        trials: where each run lies.
        models: sizes.
        config: what is contrasted.
        traits: of the benchmark's languages.

    Raises:
        NotPossibleError: scores are not kept of `FEWEST_LANGUAGES`.
    """
    members: dict[str, list[int]] = {}
    for place, language in enumerate(scores.query_languages):
        members.setdefault(language, []).append(place)
    if len(members) < FEWEST_LANGUAGES:
        raise NotPossibleError(f"it takes scores of {FEWEST_LANGUAGES} languages, and those of {len(members)} are kept")
    means = [CellMeans.of(scores.only(places), trials) for places in members.values()]
    better = larger_is_better(scores.measure)
    found = {}
    for model in models:
        gains = [Gain(model, config.ratio, better).estimate(own, config.level) for own in means]
        own_G, error_G = (np.array([getattr(gain, name) for gain in gains if gain]) for name in ("value", "error"))
        if len(own_G) == len(members) and error_G.all():
            names, design_GX = covariates(list(members), traits.trained, traits.parity.get(model, {}))
            found[model] = LanguageGains(tuple(members), own_G, names, partial_pooling(own_G, error_G, design_GX))
    return found
