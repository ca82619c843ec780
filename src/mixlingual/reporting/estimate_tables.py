"""The answer of a sweep as tables: what the sentences of `findings` were read from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mixlingual.analysis.statistics.contrasts import Estimate
from mixlingual.analysis.statistics.controls import PairedEffect
from mixlingual.analysis.statistics.debiasing import Debiasing
from mixlingual.analysis.statistics.estimates import Estimates, Measured
from mixlingual.analysis.statistics.mixed import NoModel
from mixlingual.analysis.statistics.response import Curve


def estimate_tables(answer: Estimates) -> dict[str, pd.DataFrame]:
    """Name of a table -> its rows; tables without rows are left out.

    contrasts: the primary contrast of every measure. contrasts_fixed: the same against one pure ratio.
    contrasts_by_paragraph: the same with paragraphs resampled in place of questions. gains: of every
    size, the mixed ratio less the better pure one. paired: what controls change against the ratio axis, and the ratio
    axis against baselines, of each size and over all; p of a size is not corrected for the number of tests.
    debiasing: what correcting a pure ratio after training gains, beside what the mixed ratio gains over it.
    best_ratios: of every size, also of utilities of both settings. slopes: of the best ratio on log10 of the weights.
    fronts: cells by both settings. mixed_model, components, power_laws, languages, language_covariates: as the modules
    of `analysis` say.
    """
    rows: dict[str, list[dict[str, Any]]] = {
        "contrasts": [
            _place(part) | {"small": answer.sizes[0], "large": answer.sizes[1]} | _estimate(part.interaction)
            for part in answer.measured
            if part.interaction and answer.sizes
        ],
        "contrasts_fixed": [
            _place(part) | {"against": pure, "choice_changes": part.switched} | _estimate(found)
            for part in answer.measured
            for pure, found in part.against.items()
        ],
        "contrasts_by_paragraph": [
            {"benchmark": benchmark, "setting": setting, "metric": measure} | _estimate(found)
            for (benchmark, setting, measure), found in answer.by_paragraph.items()
        ],
        "gains": [
            _place(part) | {"model": model} | _estimate(gain)
            for part in answer.measured
            for model, gain in part.gains.items()
        ],
        "paired": [row for effect in answer.paired for row in _paired(effect)],
        "debiasing": [_debiased(found) for found in answer.debiasing],
        "best_ratios": list(_best_ratios(answer)),
        "slopes": [_place(part) | vars(part.slope) for part in answer.measured if part.slope],
        "fronts": list(_fronts(answer)),
        "mixed_model": [row for part in answer.measured for row in _mixed(part)],
        "components": [_place(part) | vars(part.components) for part in answer.measured if part.components],
        "power_laws": [row for part in answer.measured for row in _laws(part)],
        "languages": [row for part in answer.measured for row in _languages(part)],
        "language_covariates": [row for part in answer.measured for row in _covariates(part)],
    }
    return {name: pd.DataFrame(found) for name, found in rows.items() if found}


def _place(part: Measured) -> dict[str, Any]:
    return {"benchmark": part.benchmark, "setting": part.setting, "metric": part.measure}


def _estimate(found: Estimate) -> dict[str, Any]:
    return dict(vars(found))


def _paired(effect: PairedEffect) -> Iterator[dict[str, Any]]:
    place = {"benchmark": effect.benchmark, "setting": effect.setting, "metric": effect.measure}
    for model, found in {**effect.sizes, "mean of sizes": effect.overall}.items():
        yield place | {"kind": effect.kind, "ratio": effect.ratio, "model": model} | _estimate(found)


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
    for name in ("mixing", "correcting", "remaining", "share"):
        interval = getattr(found, name)
        if interval is not None:
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


def _best_ratios(answer: Estimates) -> Iterator[dict[str, Any]]:
    for part in answer.measured:
        for curve in part.curves.values():
            yield _place(part) | _curve(curve)
    for (benchmark, weight), curves in answer.utilities.items():
        for curve in curves.values():
            setting = f"{weight:g} mono + {1 - weight:g} cross"
            yield {"benchmark": benchmark, "setting": setting, "metric": "map"} | _curve(curve)


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "model": curve.model,
        "best_ratio": curve.best.value,
        "best_low": curve.best.low,
        "best_high": curve.best.high,
        "regret": curve.regret.value,
        "regret_low": curve.regret.low,
        "regret_high": curve.regret.high,
        "not_separable_from_best": " ".join(f"{ratio:g}" for ratio in curve.unseparated),
    }


def _fronts(answer: Estimates) -> Iterator[dict[str, Any]]:
    for benchmark, sizes in answer.fronts.items():
        for front in sizes:
            for ratio, mono, cross, dominated in zip(
                front.ratio_K, front.mono_K, front.cross_K, front.dominated_K, strict=True
            ):
                yield {
                    "benchmark": benchmark,
                    "model": front.model,
                    "ratio": ratio,
                    "mono": mono,
                    "cross": cross,
                    "dominated": dominated,
                    "hypervolume": front.hypervolume.value,
                    "hypervolume_low": front.hypervolume.low,
                    "hypervolume_high": front.hypervolume.high,
                }


def _mixed(part: Measured) -> Iterator[dict[str, Any]]:
    if isinstance(part.mixed, NoModel):
        yield _place(part) | {"term": f"no model: {part.mixed.reason}"}
        return
    for row in part.mixed.coefficients.to_dict("records"):
        yield _place(part) | {str(name): value for name, value in row.items()}
    for name, deviation in part.mixed.deviations.items():
        yield _place(part) | {"term": f"deviation of {name}", "value": deviation}
    yield _place(part) | {"term": "likelihood ratio of the interaction", "value": part.mixed.likelihood_ratio}
    yield _place(part) | {"term": "p of the interaction", "value": part.mixed.p}


def _laws(part: Measured) -> Iterator[dict[str, Any]]:
    if part.law is None:
        return
    for ratio, floor in part.law.floor.items():
        yield _place(part) | {
            "ratio": ratio,
            "exponent": part.law.gamma,
            "floor": floor,
            "scale": part.law.scale[ratio],
            "error_of_size_left_out": part.law.left_out,
            "error_of_mean": part.law.left_out_flat,
        }


def _languages(part: Measured) -> Iterator[dict[str, Any]]:
    for model, gains in part.languages.items():
        for place, language in enumerate(gains.languages):
            yield _place(part) | {
                "model": model,
                "language": language,
                "gain": gains.own_G[place],
                "pooled_gain": gains.pooled.effect_G[place],
                "pooled_error": gains.pooled.error_G[place],
                "between_languages": gains.pooled.between,
            }


def _covariates(part: Measured) -> Iterator[dict[str, Any]]:
    for model, gains in part.languages.items():
        coefficients = zip(gains.covariates, gains.pooled.coefficient_X, gains.pooled.coefficient_error_X, strict=True)
        for name, value, error in coefficients:
            yield _place(part) | {"model": model, "covariate": name, "coefficient": value, "error": error}
