"""Computes the answer of a sweep: every estimate that the report states, from the scores of its runs by question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.question_files import Scores, read_question_scores
from mixlingual.analysis.read.questions import QuestionScores, utility
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.analysis.statistics.cells import CellMeans, RunValues
from mixlingual.analysis.statistics.contrasts import Estimate, Gain, Interaction, Verdict, adjusted
from mixlingual.analysis.statistics.controls import PairedEffect, Pairs, paired_effects, pairs_of
from mixlingual.analysis.statistics.critical_batch import CriticalBatches, critical_batches
from mixlingual.analysis.statistics.debiasing import CorrectedScores, Debiasing, corrected_scores, debiasing
from mixlingual.analysis.statistics.dial import POOL, PREFERENCE, RELEVANCE, Cost, Dial, Moved, costs, moved
from mixlingual.analysis.statistics.effects import UNTRAINED, Effects, ratio_effects, untrained_effects
from mixlingual.analysis.statistics.gaps import Attempts, Gap
from mixlingual.analysis.statistics.interaction import SizeByRatio, fit_size_by_ratio
from mixlingual.analysis.statistics.language_gains import LanguageGains, language_gains, traits_of
from mixlingual.analysis.statistics.merging import Merging, merged_scores, merging
from mixlingual.analysis.statistics.response import Curve, Draws, Interval, fit_curve, slope_on_size
from mixlingual.analysis.statistics.scales import on_scales
from mixlingual.analysis.statistics.tradeoff import Front, fronts
from mixlingual.analysis.statistics.transfer import Told, told_by_budget, transfers
from mixlingual.analysis.statistics.variance import Components, components
from mixlingual.analysis.tables.learning import learning_table
from mixlingual.config.schema import AnalysisConfig
from mixlingual.layout import QUERIES
from mixlingual.measures.registry import METRICS, headlines, larger_is_better
from mixlingual.records import is_number

PRIMARY = headlines()
"""(setting, measure) of the confirmatory contrasts: each is tested on every benchmark of the sweep."""

OTHER_METRICS = [name for name, measure in METRICS.items() if measure.second_look]
"""Measures of quality beside mAP in which the verdicts are looked at once more."""

MEASURES = list(dict.fromkeys([*(measure for _, measure in PRIMARY), *OTHER_METRICS, PREFERENCE]))
"""All that is read by question."""

UTILITIES = (0.25, 0.5, 0.75)
"""Weights w of monolingual retrieval in the utility w * mono + (1 - w) * cross."""

Key = TypeVar("Key")


def read_scores(sweep: Sweep) -> Scores:
    """The scores by question of every finished run, once they are read."""
    files = {run.name: sweep.folder / run.name / QUERIES for run in sweep.in_state("done")}
    return sweep.scores or read_question_scores(files, MEASURES)


@dataclass(frozen=True)
class Measured:
    """What is known of one measure of one benchmark and setting."""

    benchmark: str
    setting: str
    measure: str
    means: CellMeans
    interaction: Estimate | None
    """The primary contrast, adjusted over all of the sweep; None where its cells are not all there."""
    undeclared: tuple[tuple[str, str], Estimate] | None
    """(smallest, largest size), and the contrast of these where others were declared, by itself."""
    against: dict[float, Estimate]
    """Pure ratio -> the primary contrast with it for both sizes, whichever is better; p of each alone."""
    choice_in_doubt: bool
    """Whether the better pure ratio of a size may be the other."""
    gains: dict[str, Estimate]
    """Size -> mean at the mixed ratio less that of the better pure ratio, positive where mixing is better; adjusted
    over all gains of the sweep."""
    scales: dict[str, Estimate]
    """Scale -> the primary contrast on it, alone."""
    curves: dict[str, Curve]
    slope: Interval | None
    """Change of the best ratio for ten times the weights."""
    model: SizeByRatio | None
    components: Components | None
    languages: dict[str, LanguageGains]
    """Size -> its gain language by language."""


@dataclass(frozen=True)
class Estimates:
    """All estimates of a sweep."""

    sizes: tuple[str, str] | None
    """Smaller and larger size of the primary contrast."""
    declared: bool
    """Whether they were, by name, when the sweep first started."""
    weights: dict[str, int]
    config: AnalysisConfig
    measured: tuple[Measured, ...]
    metrics: dict[tuple[str, str, str], Estimate] = field(default_factory=dict)
    """(benchmark, setting, metric of `OTHER_METRICS`) -> the primary contrast in it, alone."""
    fronts: dict[str, list[Front]] = field(default_factory=dict)
    """Benchmark -> front of each size."""
    utilities: dict[tuple[str, float], dict[str, Curve]] = field(default_factory=dict)
    """(benchmark, weight of mono) -> size -> curve of the utility."""
    paired: tuple[PairedEffect, ...] = ()
    """What controls change against the ratio axis, and what the ratio axis changes against baselines."""
    effects: tuple[Effects, ...] = ()
    """Every cell less a reference of its size: a panel for each measure and reference."""
    debiasing: tuple[Debiasing, ...] = ()
    """What corrections after training give, beside what mixing gives."""
    told: tuple[Told, ...] = ()
    """What each size tells about each larger one."""
    costs: tuple[Cost, ...] = ()
    """What own language first costs."""
    moved: tuple[Moved, ...] = ()
    """Where corrections after training take encoders, beside the dial."""
    merging: tuple[Merging, ...] = ()
    """Merged encoders less those trained at the ratio."""
    critical: CriticalBatches = field(default_factory=CriticalBatches)
    """How large a batch pays."""
    differences: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """Kind of controls -> option -> (its value there, on the ratio axis)."""
    reference: dict[str, dict[str, str]] = field(default_factory=dict)
    """Size -> option -> its value on the ratio axis, where controls vary it: see `points.Places`."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Run -> why its scores are not in."""
    gaps: Sequence[Gap] = ()
    """Analyses that the runs do not allow."""

    @property
    def ratio(self) -> float:
        """The mixed one."""
        return self.config.ratio

    def verdict(self, measure: str, found: Estimate) -> Verdict:
        """What is known of a difference in the unit of its measure, by the smallest effect that was declared."""
        smallest = self.config.smallest_effect.get(measure)
        return found.verdict(smallest, larger_is_better=larger_is_better(measure))

    @property
    def level(self) -> float:
        """Of intervals."""
        return self.config.level


def analyse(
    sweep: Sweep, config: AnalysisConfig, scores: Scores | None = None, attempt: Attempts | None = None
) -> Estimates:
    """The estimates of all finished runs on the ratio axis. None ends the others: see `gaps`.

    Args:
        sweep: as read from its folder.
        config: what is contrasted, and how sure: `Sweep.analysis`, unless another contrast is wanted.
        scores: of the sweep; None: read them.
        attempt: what gaps are kept by; None: by the result alone.
    """
    attempt = attempt or Attempts()
    scores = scores or attempt("Scores by question", lambda: read_scores(sweep)) or Scores((), {})
    axis = attempt("The ratio axis", lambda: RatioAxis.of(sweep)) or RatioAxis({}, {}, frozenset())
    by_question = [part for part in scores.parts if (part.setting, part.measure) in PRIMARY]
    primary = [part.clustered(config.cluster) for part in by_question]
    own, sizes = axis.scores(by_question), axis.sizes(config.sizes)

    def measured(each: QuestionScores) -> Measured | None:
        name = f"{each.benchmark}, {each.setting}, {each.measure}"
        return attempt(name, lambda: _measured(each, axis, sizes, config, sweep, attempt))

    parts = [part for part in map(measured, own) if part]
    pairs = attempt("Controls and baselines", lambda: pairs_of(sweep)) or Pairs((), {}, {})
    effects = attempt("Effects of controls", lambda: paired_effects(primary, pairs, axis.weights, config.level))
    shown = [family for part in parts for family in _effects(part, axis, config, attempt)]
    shown += [family for part in primary for family in _untrained(part, pairs, axis, config, attempt)]
    corrected = attempt("Scores corrected after training", lambda: _corrected(sweep, axis)) or []
    merged = attempt("Scores of merged encoders", lambda: merged_scores(sweep, axis, _measures()))
    others = [part.clustered(config.cluster) for part in axis.scores(scores.parts) if part.measure in OTHER_METRICS]
    answer = Estimates(
        sizes,
        config.sizes is not None,
        axis.weights,
        config,
        _adjusted(parts),
        metrics=dict(_other_metrics(others, axis, sizes, config, attempt)),
        paired=tuple(effects or ()),
        effects=tuple(shown),
        debiasing=tuple(
            attempt("Corrections after training", lambda: debiasing(corrected, axis, config, PRIMARY)) or ()
        ),
        told=tuple(_told(parts, sweep, axis, config, attempt)),
        costs=tuple(_costs(scores.parts, sweep, axis, config, attempt)),
        moved=tuple(
            found
            for each in corrected
            for found in attempt(f"{each.correction} beside the dial", partial(moved, each, axis, config)) or ()
        ),
        merging=tuple(
            (merged and attempt("Merging against mixing", lambda: merging(merged, axis, config, PRIMARY))) or ()
        ),
        critical=attempt("Critical batch sizes", lambda: critical_batches(sweep, config.level, attempt))
        or CriticalBatches(),
        differences=pairs.differences,
        reference=sweep.reference,
        left_out=scores.left_out
        | pairs.unmatched
        | {run: why for each in corrected for run, why in each.left_out.items()}
        | (merged.left_out if merged else {}),
        gaps=attempt.gaps,
    )
    by_name = {(part.benchmark, part.setting): part.means for part in answer.measured if part.measure == "map"}
    for mono, cross in _both(axis.scores(primary)):
        answer.utilities.update(_utilities(mono, cross, axis, config, attempt))
        sides = by_name.get((mono.benchmark, "mono")), by_name.get((mono.benchmark, "cross"))
        found = attempt(f"{mono.benchmark}: the front", lambda sides=sides: fronts(*sides))  # type: ignore[misc]
        if found:
            answer.fronts[mono.benchmark] = found
    return answer


def _corrected(sweep: Sweep, axis: RatioAxis) -> list[CorrectedScores]:
    return corrected_scores(sweep, axis, list(dict.fromkeys([*_measures(), PREFERENCE])))


def _measures() -> list[str]:
    return list(dict.fromkeys(measure for _, measure in PRIMARY))


def _told(
    measured: Sequence[Measured], sweep: Sweep, axis: RatioAxis, config: AnalysisConfig, attempt: Attempts
) -> Iterator[Told]:
    draws = _draws(config)
    for part in measured:
        name = f"{part.benchmark}, {part.setting}, {part.measure}"
        for found in transfers(part.means, axis.weights, name, part.measure, draws, attempt):
            yield Told(part.benchmark, part.setting, part.measure, None, found)
    budgets = attempt(
        "What small models tell by budget",
        lambda: [*told_by_budget(learning_table(sweep), axis.trials, axis.weights, draws, attempt)],
    )
    yield from budgets or ()


def _costs(
    parts: Sequence[QuestionScores], sweep: Sweep, axis: RatioAxis, config: AnalysisConfig, attempt: Attempts
) -> Iterator[Cost]:
    """Over questions and runs; over runs alone where no scores of own language first are kept by question."""
    by_name = {
        (part.benchmark, part.setting, part.measure): part.clustered(config.cluster)
        for part in parts
        if part.measure in (RELEVANCE, PREFERENCE)
    }
    for benchmark, setting, measure in by_name:
        if measure == RELEVANCE:
            preference = by_name.get((benchmark, POOL, PREFERENCE))
            if preference:
                first, second = RunValues.of(by_name[benchmark, setting, measure]), RunValues.of(preference)
            else:
                first = _of_results(sweep, benchmark, setting, RELEVANCE)
                second = _of_results(sweep, benchmark, POOL, PREFERENCE)
            name = f"{benchmark}, {setting}: what own language first costs"
            dial = attempt(name, partial(Dial.of, first, second, axis.trials))
            if dial:
                yield from costs(dial, axis.weights, benchmark, setting, config, attempt)


def _of_results(sweep: Sweep, benchmark: str, setting: str, measure: str) -> RunValues:
    values: dict[str, float] = {}
    for run in sweep.in_state("done"):
        section = run.result.benchmarks.get(benchmark, {}).get(setting) if run.result else None
        value = section.get(measure) if isinstance(section, dict) else None
        if is_number(value):
            values[run.name] = float(value)
    return RunValues.alone(values)


@dataclass(frozen=True)
class PrimaryMeans:
    """What a primary contrast is computed from."""

    benchmark: str
    setting: str
    means: CellMeans
    contrast: Interaction


def primary_means(sweep: Sweep, config: AnalysisConfig) -> list[PrimaryMeans]:
    """Cell means of mAP and the contrast of each benchmark and setting; empty with fewer than two sizes.

    Args:
        sweep: as read from its folder.
        config: what is contrasted.
    """
    axis = RatioAxis.of(sweep)
    sizes = axis.sizes(config.sizes)
    if sizes is None:
        return []
    parts = [part for part in axis.scores(read_scores(sweep).parts) if part.measure == "map"]
    contrast = Interaction(*sizes, config.ratio, larger_is_better=True)
    return [
        PrimaryMeans(
            part.benchmark, part.setting, CellMeans.of(part.clustered(config.cluster), axis.trials_of(part)), contrast
        )
        for part in parts
    ]


def _measured(
    by_question: QuestionScores,
    axis: RatioAxis,
    sizes: tuple[str, str] | None,
    config: AnalysisConfig,
    sweep: Sweep,
    attempt: Attempts,
) -> Measured | None:
    scores = by_question.clustered(config.cluster)
    trials, weights = axis.trials_of(scores), axis.weights
    name = f"{scores.benchmark}, {scores.setting}, {scores.measure}"
    means = attempt(f"{name}: means of cells", lambda: CellMeans.of(scores, trials))
    if means is None:
        return None
    better = larger_is_better(scores.measure)
    models = sorted({trial.model for trial in trials}, key=weights.__getitem__)
    contrast = Interaction(*sizes, config.ratio, better) if sizes else None
    ends = axis.sizes(None)
    beyond = Interaction(*ends, config.ratio, better).estimate(means, config.level) if ends and ends != sizes else None
    against = contrast and {pure: contrast.against(means, pure, config.level) for pure in (0.0, 1.0)}
    curves = _curves(means, models, better, config, name, attempt)
    return Measured(
        scores.benchmark,
        scores.setting,
        scores.measure,
        means,
        attempt(f"{name}: the primary contrast", lambda: contrast.estimate(means, config.level) if contrast else None),
        (ends, beyond) if ends and beyond else None,
        {pure: found for pure, found in (against or {}).items() if found},
        bool(contrast and contrast.choice_in_doubt(means, config.level)),
        {
            model: found
            for model in models
            if (found := Gain(model, config.ratio, better).estimate(means, config.level))
        },
        (contrast and attempt(f"{name}: scales", lambda: on_scales(contrast, means, scores.measure, config.level)))
        or {},
        curves,
        attempt(f"{name}: the slope of the best ratio", lambda: slope_on_size(curves, weights)),
        attempt(
            f"{name}: the model of all cells", lambda: fit_size_by_ratio(means, scores.measure, weights, config.level)
        ),
        attempt(f"{name}: where the scatter comes from", lambda: components(by_question, trials)),
        attempt(
            f"{name}: gains by language",
            lambda: language_gains(scores, trials, models, config, traits_of(sweep, scores.benchmark)),
        )
        or {},
    )


def _curves(
    means: CellMeans, models: Iterable[str], better: bool, config: AnalysisConfig, name: str, attempt: Attempts
) -> dict[str, Curve]:
    models = list(models)

    def curve_of(model: str) -> Callable[[], Curve]:
        return lambda: fit_curve(
            means, model, larger_is_better=better, draws=_draws(config), reference=config.ratio, sizes=len(models)
        )

    return _present({model: attempt(f"{name}: the curve of {model}", curve_of(model)) for model in models})


def _effects(part: Measured, axis: RatioAxis, config: AnalysisConfig, attempt: Attempts) -> Iterator[Effects]:
    place = part.benchmark, part.setting, part.measure
    found = attempt(
        f"{', '.join(place)}: differences from a reference",
        lambda: [
            Effects(*place, *family)
            for family in ratio_effects(
                part.means, _by_weights(axis), _draws(config), larger_is_better=larger_is_better(part.measure)
            )
        ],
    )
    yield from found or ()


def _untrained(
    part: QuestionScores, pairs: Pairs, axis: RatioAxis, config: AnalysisConfig, attempt: Attempts
) -> Iterator[Effects]:
    place = part.benchmark, part.setting, part.measure
    found = attempt(
        f"{', '.join(place)}: differences from {UNTRAINED}",
        lambda: untrained_effects(part, pairs, _by_weights(axis), _draws(config)),
    )
    if found:
        yield Effects(*place, UNTRAINED, {}, found)


def _by_weights(axis: RatioAxis) -> list[str]:
    return sorted(axis.weights, key=axis.weights.__getitem__)


def _draws(config: AnalysisConfig) -> Draws:
    return Draws(config.level, config.draws, config.seed)


Value = TypeVar("Value")


def _present(found: Mapping[Key, Value | None]) -> dict[Key, Value]:
    return {key: value for key, value in found.items() if value is not None}


def _adjusted(measured: Sequence[Measured]) -> tuple[Measured, ...]:
    """With the primary contrasts as one family, and all gains as another."""
    contrasts = iter(adjusted([part.interaction for part in measured if part.interaction]))
    gains = iter(adjusted([gain for part in measured for gain in part.gains.values()]))
    return tuple(
        replace(
            part,
            interaction=next(contrasts) if part.interaction else None,
            gains={model: next(gains) for model in part.gains},
        )
        for part in measured
    )


def _other_metrics(
    parts: Sequence[QuestionScores],
    axis: RatioAxis,
    sizes: tuple[str, str] | None,
    config: AnalysisConfig,
    attempt: Attempts,
) -> Iterator[tuple[tuple[str, str, str], Estimate]]:
    for part in parts if sizes else ():
        contrast = Interaction(*(sizes or ("", "")), config.ratio, larger_is_better(part.measure))
        found = attempt(
            f"{part.benchmark}, {part.setting}, {part.measure}: the primary contrast",
            lambda part=part, contrast=contrast: contrast.estimate(  # type: ignore[misc]
                CellMeans.of(part, axis.trials_of(part)), config.level
            ),
        )
        if found:
            yield (part.benchmark, part.setting, part.measure), found


def _both(scores: Sequence[QuestionScores]) -> Iterator[tuple[QuestionScores, QuestionScores]]:
    """(monolingual, cross-lingual) mAP of each benchmark that has both."""
    found = {(part.benchmark, part.setting): part for part in scores if part.measure == "map"}
    for (benchmark, setting), part in found.items():
        if setting == "mono" and (benchmark, "cross") in found:
            yield part, found[benchmark, "cross"]


def _utilities(
    mono: QuestionScores, cross: QuestionScores, axis: RatioAxis, config: AnalysisConfig, attempt: Attempts
) -> Iterator[tuple[tuple[str, float], dict[str, Curve]]]:
    for weight in UTILITIES:
        name = f"{mono.benchmark}, {weight:g} mono + {1 - weight:g} cross"
        scores = attempt(name, lambda weight=weight: utility(mono, cross, weight))  # type: ignore[misc]
        if scores is None or not scores.runs:
            continue
        means = CellMeans.of(scores, axis.trials_of(scores))
        models = dict.fromkeys(cell.model for cell in means.cells)
        yield (mono.benchmark, weight), _curves(means, models, larger_is_better(mono.measure), config, name, attempt)
