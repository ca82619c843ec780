"""Makes tables of the answer of a sweep: what the sentences of `findings` were read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pandas as pd

from mixlingual.analysis.statistics.contrasts import Estimate
from mixlingual.analysis.statistics.controls import PairedEffect
from mixlingual.analysis.statistics.debiasing import Debiasing
from mixlingual.analysis.statistics.dial import Cost, Moved
from mixlingual.analysis.statistics.estimates import Estimates, Measured
from mixlingual.analysis.statistics.response import Curve, Interval
from mixlingual.analysis.statistics.transfer import Told

Rows = Iterator[dict[str, Any]]


def estimate_table(answer: Estimates, name: str) -> pd.DataFrame:
    """The rows of one of `TABLES`."""
    return pd.DataFrame(list(TABLES[name](answer)))


def estimate_tables(answer: Estimates) -> dict[str, pd.DataFrame]:
    """Name of a table -> its rows; tables without rows are left out."""
    tables = {name: estimate_table(answer, name) for name in TABLES}
    return {name: table for name, table in tables.items() if len(table)}


def _of_parts(rows: Callable[[Estimates, Measured], Iterable[dict[str, Any]]]) -> Callable[[Estimates], Rows]:
    """A table of rows that each measure has by itself."""
    return lambda answer: (_place(part) | row for part in answer.measured for row in rows(answer, part))


def _place(part: Measured) -> dict[str, Any]:
    return {"benchmark": part.benchmark, "setting": part.setting, "metric": part.measure}


def _estimate(found: Estimate) -> dict[str, Any]:
    return vars(found) | {"borrowed": " ".join(found.borrowed)}


def _judged(answer: Estimates, part: Measured, found: Estimate) -> dict[str, Any]:
    return {"verdict": found.verdict(answer.config.smallest_effect.get(part.measure))} | _estimate(found)


def _contrasts(answer: Estimates, part: Measured) -> Rows:
    if part.interaction and answer.sizes:
        yield {"small": answer.sizes[0], "large": answer.sizes[1]} | _judged(answer, part, part.interaction)


def _undeclared(_: Estimates, part: Measured) -> Rows:
    if part.undeclared:
        (small, large), found = part.undeclared
        yield {"small": small, "large": large} | _estimate(found)


def _fixed(_: Estimates, part: Measured) -> Rows:
    for pure, found in part.against.items():
        yield {"against": pure, "choice_in_doubt": part.choice_in_doubt} | _estimate(found)


def _gains(answer: Estimates, part: Measured) -> Rows:
    return ({"model": model} | _judged(answer, part, gain) for model, gain in part.gains.items())


def _scales(answer: Estimates) -> Rows:
    for part in answer.measured:
        for scale, found in part.scales.items():
            yield _place(part) | {"scale": scale} | _estimate(found)
    for (benchmark, setting, metric), found in answer.metrics.items():
        yield {"benchmark": benchmark, "setting": setting, "metric": metric, "scale": "points"} | _estimate(found)


def _paired(effect: PairedEffect) -> Rows:
    place = {"benchmark": effect.benchmark, "setting": effect.setting, "metric": effect.measure}
    for model, found in {**effect.sizes, "mean of sizes": effect.overall}.items():
        yield place | {"kind": effect.kind, "ratio": effect.ratio, "model": model} | _estimate(found)


def _effects(answer: Estimates) -> Rows:
    for family in answer.effects:
        place = {"benchmark": family.benchmark, "setting": family.setting, "metric": family.measure}
        for effect in family.effects:
            cell = {"reference": family.reference, "model": effect.model, "ratio": effect.ratio, "seeds": effect.seeds}
            yield (
                place | cell | {"verdict": answer.verdict(family.measure, effect.estimate)} | _estimate(effect.estimate)
            )


def _merging(answer: Estimates) -> Rows:
    for found in answer.merging:
        place = {"benchmark": found.benchmark, "setting": found.setting, "metric": found.measure, "kind": found.kind}
        cell = {"model": found.model, "share": found.share, "seeds": found.seeds}
        yield (
            place | cell | {"verdict": answer.verdict(found.measure, found.difference)} | _estimate(found.difference)
        )


def _critical(answer: Estimates) -> Rows:
    for found in answer.critical.arms:
        row: dict[str, Any] = {"set": found.set, **found.arm._asdict(), "target": found.target}
        row |= {"runs": len(found.reached), "reached": sum(not each.censored for each in found.reached)}
        if fit := found.fit:
            row |= {"a": fit.a, "b": fit.b, "deviation": fit.deviation, "anchored": fit.anchored}
            row |= _ends(critical=fit.critical)
        yield row


def _steps(answer: Estimates) -> Rows:
    for found in answer.critical.arms:
        for each in found.reached:
            row: dict[str, Any] = {"run": each.run, "set": found.set, **each.arm._asdict(), "seed": each.seed}
            row |= {"batch_size": each.batch_size, "steps": each.steps, "censored": each.censored}
            yield row | {"pairs": each.steps * each.batch_size, "target": found.target, "noise_scale": each.noise}


def _same_batches(answer: Estimates) -> Rows:
    for found in answer.critical.same_batches:
        row: dict[str, Any] = found.arm._asdict()
        row |= {"other_negatives": found.other.negatives, "other_draw": found.other.draw} | _ends(factor=found.factor)
        yield row | {"pairs": found.pairs, "left_out": found.left_out}


def _debiased(found: Debiasing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "benchmark": found.benchmark,
        "setting": found.setting,
        "metric": found.measure,
        "evaluation": found.evaluation,
        "correction": found.correction,
        "model": found.model,
        "pure": found.pure,
        "over_runs": found.over_runs,
    }
    names = ("mixing", "correcting", "remaining", "share")
    return row | _ends(**{name: getattr(found, name) for name in names})


def _best_ratios(answer: Estimates) -> Rows:
    for part in answer.measured:
        for curve in part.curves.values():
            yield _place(part) | _curve(curve)
    for (benchmark, weight), curves in answer.utilities.items():
        for curve in curves.values():
            setting = f"{weight:g} mono + {1 - weight:g} cross"
            yield {"benchmark": benchmark, "setting": setting, "metric": "map"} | _curve(curve)


def _curve(curve: Curve) -> dict[str, Any]:
    row: dict[str, Any] = {"model": curve.model}
    return row | _ends(best=curve.best, regret=curve.regret) | {"possibly_best": _listed(curve.possibly_best)}


def _ends(**intervals: Interval | None) -> dict[str, float]:
    """Name -> value, with the ends of the interval beside it."""
    row: dict[str, float] = {}
    for name, found in intervals.items():
        if found:
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def _listed(ratios: Iterable[float]) -> str:
    return " ".join(f"{ratio:g}" for ratio in ratios)


def _told(told: Told) -> dict[str, Any]:
    found = told.transfer
    row: dict[str, Any] = {
        "benchmark": told.benchmark,
        "setting": told.setting,
        "metric": told.measure,
        "pairs": told.pairs,
    }
    row |= {"small": found.small, "large": found.large, "ratios": _listed(found.ratios)} | _ends(tau=found.tau)
    row |= {"same": found.same, "opposite": found.opposite, "undecided": found.undecided, "choice": found.choice}
    row |= _ends(regret=found.regret) | {"may_pick": _listed(found.may_pick), "most_regret": found.most}
    return row | {"over_questions": found.over_questions, "over_runs": found.over_runs}


def _cost(cost: Cost) -> dict[str, Any]:
    row: dict[str, Any] = {"benchmark": cost.benchmark, "setting": cost.setting, "model": cost.model}
    row |= {"start": cost.start, "stop": cost.stop}
    row |= _ends(own_first=cost.preference, map=cost.relevance, cost_of_a_point=cost.cost)
    return row | {"over_questions": cost.over_questions, "over_runs": cost.over_runs}


def _moved(found: Moved) -> dict[str, Any]:
    return (
        vars(found)
        | {f"excess_{name}": value for name, value in _estimate(found.excess).items()}
        | {"excess": found.excess.value}
    )


def _fronts(answer: Estimates) -> Rows:
    for benchmark, sizes in answer.fronts.items():
        for front in sizes:
            for ratio, mono, cross, beaten in zip(
                front.ratio_K, front.mono_K, front.cross_K, front.beaten_K, strict=True
            ):
                yield {
                    "benchmark": benchmark,
                    "model": front.model,
                    "ratio": ratio,
                    "mono": mono,
                    "cross": cross,
                    "beaten": beaten,
                }


def _model(_: Estimates, part: Measured) -> Rows:
    if part.model is None:
        return
    scale = {"scale": part.model.scale}
    for row in part.model.coefficients.to_dict("records"):
        yield scale | {str(name): value for name, value in row.items()}
    for name, test in (("interaction", part.model.interaction), ("lack of fit", part.model.lack_of_fit)):
        if test:
            yield scale | {"term": f"F of the {name}", "value": test.statistic}
            yield scale | {"term": f"p of the {name}", "value": test.p}
    yield scale | {"term": "change of ratio 1 less ratio 0"} | vars(part.model.change)
    yield scale | {"term": "reach", "value": part.model.reach}


def _languages(_: Estimates, part: Measured) -> Rows:
    for model, gains in part.languages.items():
        for place, language in enumerate(gains.languages):
            yield {
                "model": model,
                "language": language,
                "gain": gains.own_G[place],
                "pooled_gain": gains.pooled.effect_G[place],
                "pooled_error": gains.pooled.error_G[place],
                "between_languages": gains.pooled.between,
            }


def _covariates(_: Estimates, part: Measured) -> Rows:
    for model, gains in part.languages.items():
        coefficients = zip(gains.covariates, gains.pooled.coefficient_X, gains.pooled.coefficient_error_X, strict=True)
        for name, value, error in coefficients:
            yield {"model": model, "covariate": name, "coefficient": value, "error": error}


TABLES: dict[str, Callable[[Estimates], Iterable[dict[str, Any]]]] = {
    "contrasts": _of_parts(_contrasts),
    "contrasts_undeclared": _of_parts(_undeclared),
    "contrasts_fixed": _of_parts(_fixed),
    "contrasts_scales": _scales,
    "gains": _of_parts(_gains),
    "paired": lambda answer: (row for effect in answer.paired for row in _paired(effect)),
    "effects": _effects,
    "debiasing": lambda answer: map(_debiased, answer.debiasing),
    "merging": _merging,
    "transfer": lambda answer: map(_told, answer.told),
    "dial": lambda answer: map(_cost, answer.costs),
    "dial_corrections": lambda answer: map(_moved, answer.moved),
    "critical_batch": _critical,
    "steps_to_target": _steps,
    "same_batches": _same_batches,
    "kind_draws": lambda answer: map(vars, answer.critical.draws),
    "best_ratios": _best_ratios,
    "slopes": _of_parts(lambda _, part: [vars(part.slope)] if part.slope else []),
    "fronts": _fronts,
    "size_by_ratio": _of_parts(_model),
    "components": _of_parts(lambda _, part: [vars(part.components)] if part.components else []),
    "languages": _of_parts(_languages),
    "language_covariates": _of_parts(_covariates),
    "gaps": lambda answer: (gap._asdict() for gap in answer.gaps),
}
"""Name -> rows.

contrasts: the primary contrast of every measure, with its verdict; `low_all` and `high_all` hold with all others.
contrasts_undeclared: of sizes beyond the declared ones. contrasts_fixed: against one pure ratio, whichever is
better. contrasts_scales: on other scales and in other metrics. gains: of every size, the mixed ratio less the
better pure one. paired: what controls change against the ratio axis, and the ratio axis against baselines, of each
size and over all; p of a size is not corrected for the number of tests. effects: every cell less a reference of its
size; `low_all`, `high_all` and p hold together for one benchmark, setting, metric and reference. debiasing: what
correcting a pure ratio after training gains, beside what the mixed ratio gains over it. merging: encoders merged
between the pure ratios less those trained at the ratio; p is Holm's over the shares of a size and kind. transfer: what
each size tells about each larger one, at the end and at every budget with validations (`pairs`). dial: what own
language first costs. dial_corrections: where corrections take encoders beside that. critical_batch: how large a batch
pays, by arm. steps_to_target: of every run. same_batches: steps of an arm over those of another at the same batches.
kind_draws: whether a kind for each group of a batch makes larger ones pay. best_ratios: of every size, also of
utilities of both settings. slopes: of the best ratio on log10 of the weights. fronts: cells by both settings.
size_by_ratio, components, languages, language_covariates: as the modules of `analysis.statistics` say. gaps: analyses
that the runs do not allow, and why; it is the last, so that it names the tables that failed.
"""
