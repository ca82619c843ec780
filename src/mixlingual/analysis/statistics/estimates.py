"""The answer of a sweep: every estimate that the report states, from the scores of its runs by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.questions import QuestionScores, read_question_scores, utility
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.analysis.statistics.contrasts import Estimate, Gain, Interaction, Options, adjusted
from mixlingual.analysis.statistics.controls import PairedEffect, paired_effects, pairs_of
from mixlingual.analysis.statistics.debiasing import Debiasing, debiasing
from mixlingual.analysis.statistics.language_gains import LanguageGains, Traits, language_gains, traits_of
from mixlingual.analysis.statistics.mixed import LanguageMeans, MixedModel, NoModel, fit_mixed, language_means
from mixlingual.analysis.statistics.resample import CellDraws, draw_cells
from mixlingual.analysis.statistics.response import Curve, Interval, fit_curve, slope_on_size
from mixlingual.analysis.statistics.scaling import PowerLaw, fit_power_law
from mixlingual.analysis.statistics.tradeoff import Front, fronts
from mixlingual.analysis.statistics.variance import Components, components
from mixlingual.analysis.tables.grid import languages_table
from mixlingual.config.schema import AnalysisConfig
from mixlingual.measures.registry import larger_is_better

PRIMARY = (("mono", "map"), ("cross", "map"), ("multi", "map"), ("multi", "rank_distance"))
"""(setting, measure) of the confirmatory contrasts: each is tested on every benchmark of the sweep."""

UTILITIES = (0.25, 0.5, 0.75)
"""Weights w of monolingual retrieval in the utility w * mono + (1 - w) * cross."""


@dataclass(frozen=True)
class Measured:
    """What is known of one measure of one benchmark and setting."""

    benchmark: str
    setting: str
    measure: str
    draws: CellDraws
    interaction: Estimate | None
    """The primary contrast, p adjusted over all of the sweep; None where its cells are not all there."""
    against: dict[float, Estimate]
    """Pure ratio -> the primary contrast with it for both sizes, whichever is better; p of each alone."""
    switched: float
    """Share of the draws in which the better pure ratio of a size is not that of the cell means."""
    gains: dict[str, Estimate]
    """Size -> mean at the mixed ratio less that of the better pure ratio, positive where mixing is better."""
    curves: dict[str, Curve]
    slope: Interval | None
    """Change of the best ratio for ten times the weights."""
    mixed: MixedModel | NoModel
    components: Components | None
    law: PowerLaw | None
    languages: dict[str, LanguageGains]
    """Size -> its gain language by language."""


@dataclass(frozen=True)
class Estimates:
    """All estimates of a sweep."""

    sizes: tuple[str, str] | None
    """Smaller and larger size of the primary contrast."""
    weights: dict[str, int]
    ratio: float
    level: float
    measured: tuple[Measured, ...]
    by_paragraph: dict[tuple[str, str, str], Estimate] = field(default_factory=dict)
    """(benchmark, setting, measure) -> primary contrast with paragraphs resampled in place of questions."""
    fronts: dict[str, list[Front]] = field(default_factory=dict)
    """Benchmark -> front of each size."""
    utilities: dict[tuple[str, float], dict[str, Curve]] = field(default_factory=dict)
    """(benchmark, weight of mono) -> size -> curve of the utility."""
    paired: tuple[PairedEffect, ...] = ()
    """What controls change against the ratio axis, and what the ratio axis changes against baselines."""
    debiasing: tuple[Debiasing, ...] = ()
    """What corrections after training give, beside what mixing gives."""
    differences: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """Kind of controls -> option -> (its value there, on the ratio axis)."""
    reference: dict[str, dict[str, str]] = field(default_factory=dict)
    """Size -> option -> its value on the ratio axis, where controls vary it: see `points.Places`."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Run -> why its scores are not in."""


def analyse(sweep: Sweep, config: AnalysisConfig) -> Estimates:
    """The estimates of all finished runs on the ratio axis.

    Args:
        sweep: as read from its folder.
        config: what is contrasted, and how sure: `Sweep.analysis`, unless another contrast is wanted.
    """
    axis, pairs = RatioAxis.of(sweep), pairs_of(sweep)
    files = _files(sweep, [*axis.cells, *pairs.runs])
    by_question, left_out = read_question_scores(files, ["map", "rank_distance"])
    by_question = [part for part in by_question if (part.setting, part.measure) in PRIMARY]
    every = [part.clustered(config.cluster) for part in by_question]
    scores, sizes = axis.scores(every), axis.sizes(config)
    languages = languages_table(sweep)
    traits = {benchmark: traits_of(sweep, benchmark) for benchmark in {part.benchmark for part in scores}}
    measured = _adjusted(
        [
            _measured(part, language_means(languages, part), axis, sizes, config, traits[part.benchmark])
            for part in scores
        ]
    )
    corrected, without = debiasing(sweep, axis, config, PRIMARY)
    answer = Estimates(
        sizes,
        axis.weights,
        config.ratio,
        config.level,
        measured,
        by_paragraph=_by_paragraph(axis.scores(by_question), axis, config),
        paired=tuple(paired_effects(every, pairs, config.draws, axis.weights, options_of(config))),
        debiasing=tuple(corrected),
        differences=pairs.differences,
        reference=sweep.reference,
        left_out=left_out | pairs.unmatched | without,
    )
    for mono, cross in _both(scores):
        answer.utilities.update(_utilities(mono, cross, axis, config))
        if mono.runs == cross.runs and mono.clusters == cross.clusters:
            sides = [draw_cells(part, axis.cells_of(part), config.draws, config.seed) for part in (mono, cross)]
            answer.fronts[mono.benchmark] = fronts(sides[0], sides[1], config.level)
    return answer


def options_of(config: AnalysisConfig) -> Options:
    """How sure estimates are, as the config says."""
    return Options(config.level, config.permutations, config.seed)


def _files(sweep: Sweep, runs: Sequence[str]) -> dict[str, Path]:
    return {run: sweep.folder / run / "queries.parquet" for run in dict.fromkeys(runs)}


@dataclass(frozen=True)
class PrimaryDraws:
    """What a primary contrast is computed from."""

    benchmark: str
    setting: str
    draws: CellDraws
    contrast: Interaction


def primary_draws(sweep: Sweep, config: AnalysisConfig) -> list[PrimaryDraws]:
    """Cell means of mAP and the contrast of each benchmark and setting; empty with fewer than two sizes.

    Args:
        sweep: as read from its folder.
        config: what is contrasted.
    """
    axis = RatioAxis.of(sweep)
    sizes = axis.sizes(config)
    if sizes is None:
        return []
    by_question, _ = read_question_scores(_files(sweep, list(axis.cells)), ["map"])
    scores = [part.clustered(config.cluster) for part in by_question]
    contrast = Interaction(*sizes, config.ratio, larger_is_better=True)
    return [
        PrimaryDraws(
            part.benchmark, part.setting, draw_cells(part, axis.cells_of(part), config.draws, config.seed), contrast
        )
        for part in scores
    ]


def _measured(
    scores: QuestionScores,
    means: LanguageMeans,
    axis: RatioAxis,
    sizes: tuple[str, str] | None,
    config: AnalysisConfig,
    traits: Traits,
) -> Measured:
    cell_R, weights = axis.cells_of(scores), axis.weights
    draws = draw_cells(scores, cell_R, config.draws, config.seed)
    better = larger_is_better(scores.measure)
    options = options_of(config)
    models = sorted({cell.model for cell in cell_R}, key=weights.__getitem__)
    curves = {
        model: curve
        for model in models
        if (curve := fit_curve(draws, model, larger_is_better=better, level=config.level, reference=config.ratio))
    }
    contrast = Interaction(*sizes, config.ratio, better) if sizes else None
    against = {pure: contrast.against(draws, pure, options) for pure in (0.0, 1.0)} if contrast else {}
    gains = {model: gain for model in models if (gain := Gain(model, config.ratio, better).estimate(draws, options))}
    return Measured(
        scores.benchmark,
        scores.setting,
        scores.measure,
        draws,
        contrast.estimate(draws, options) if contrast else None,
        {pure: found for pure, found in against.items() if found},
        contrast.switched(draws) if contrast else 0.0,
        gains,
        curves,
        slope_on_size(curves, weights, config.level),
        fit_mixed(means, [axis.cells[run] for run in means.mean_RG.index], weights, config.level),
        components(scores, cell_R),
        fit_power_law(draws, weights) if scores.measure == "map" else None,
        dict(language_gains(scores, cell_R, models, config, traits)),
    )


def _adjusted(measured: Sequence[Measured]) -> tuple[Measured, ...]:
    """With p of the primary contrasts by Holm's procedure over all of them."""
    tested = [part for part in measured if part.interaction]
    estimates = adjusted([part.interaction for part in tested if part.interaction])
    holm = {id(part): estimate for part, estimate in zip(tested, estimates, strict=True)}
    return tuple(replace(part, interaction=holm.get(id(part))) for part in measured)


def _by_paragraph(
    by_question: Sequence[QuestionScores], axis: RatioAxis, config: AnalysisConfig
) -> dict[tuple[str, str, str], Estimate]:
    """The primary contrasts once more with paragraphs resampled; empty where that is what is resampled anyway."""
    sizes = axis.sizes(config)
    if sizes is None or config.cluster == "paragraph":
        return {}
    found = {}
    for scores in by_question:
        draws = draw_cells(scores.by_paragraph(), axis.cells_of(scores), config.draws, config.seed)
        contrast = Interaction(*sizes, config.ratio, larger_is_better(scores.measure))
        if estimate := contrast.estimate(draws, options_of(config)):
            found[scores.benchmark, scores.setting, scores.measure] = estimate
    return dict(zip(found, adjusted(list(found.values())), strict=True))


def _both(scores: Sequence[QuestionScores]) -> Iterator[tuple[QuestionScores, QuestionScores]]:
    """(monolingual, cross-lingual) mAP of each benchmark that has both."""
    found = {(part.benchmark, part.setting): part for part in scores if part.measure == "map"}
    for (benchmark, setting), part in found.items():
        if setting == "mono" and (benchmark, "cross") in found:
            yield part, found[benchmark, "cross"]


def _utilities(
    mono: QuestionScores, cross: QuestionScores, axis: RatioAxis, config: AnalysisConfig
) -> Iterator[tuple[tuple[str, float], dict[str, Curve]]]:
    for weight in UTILITIES:
        scores = utility(mono, cross, weight)
        draws = draw_cells(scores, axis.cells_of(scores), config.draws, config.seed)
        curves = {}
        for model in dict.fromkeys(cell.model for cell in draws.cells):
            if curve := fit_curve(draws, model, larger_is_better=True, level=config.level, reference=config.ratio):
                curves[model] = curve
        yield (mono.benchmark, weight), curves
