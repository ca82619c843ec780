"""A mixed-effects model of all cells of a measure at once: does the response to the ratio change with size?

On the logit scale for scores from 0 to 1, on the log scale for ranks, the mean of run r in query language g, over the
candidate languages in the cross-lingual setting, is

    y_rg = size + polynomial(ratio) + log10 N * polynomial(ratio)           fixed
           + query language + its slope on the ratio        random, shared by all runs
           + cell + run + rest                                              random

(Bates et al. 2015, doi 10.18637/jss.v067.i01). The runs of a cell, a size at a ratio, share its questions, so that what
these like about the cell is in all of them: without the cell's own term more seeds would make chance look sure. Where
no cell has two runs, the term of the run stands for both. The interaction is tested by the likelihood
ratio of the maximum-likelihood fits with and without the terms in which size and ratio meet. Each size has a level of
its own: how scores rise with size is no straight line, and what a line missed would be taken for scatter between cells.

Shape suffixes: R runs, G query languages.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logit
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning, SingularMatrixWarning

from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.statistics.resample import Cell

DEGREE = 3
"""Of the polynomial in the ratio; lower where a sweep has fewer ratios."""


@dataclass(frozen=True)
class MixedModel:
    """The fit with the interaction, and its test."""

    coefficients: pd.DataFrame
    """Rows of the fixed effects: `term`, `value`, `low`, `high` on the transformed scale; `ratio` is centred at 1/2, so
    that the level of a size is its fit there."""
    deviations: dict[str, float]
    """Standard deviations of the random effects, and `rest`."""
    likelihood_ratio: float
    """Twice the difference of log-likelihoods."""
    freedom: int
    """Terms of the interaction."""
    freedom_rest: int
    """Cells beyond the fixed effects."""
    p: float
    """See `ratio_test`; NaN if a fit did not converge, or the fixed effects take up all cells."""


@dataclass(frozen=True)
class NoModel:
    """Stands in the place of a `MixedModel` that the runs do not allow."""

    reason: str
    """Why there is none, as the end of a sentence."""


@dataclass(frozen=True)
class LanguageMeans:
    """One measure of one benchmark and setting by run and query language."""

    mean_RG: pd.DataFrame
    """Labelled by run and language: means over questions, then over the candidate languages where there are several."""
    rows_G: pd.Series[float]
    """Number of scores behind the means of a language."""


def language_means(languages: pd.DataFrame, scores: QuestionScores) -> LanguageMeans:
    """The means of those runs of `scores` that have any, in their order, in the languages that all of these have.

    Args:
        languages: `languages_table` of the sweep.
        scores: names benchmark, setting, measure and runs.
    """
    own = languages[(languages.benchmark == scores.benchmark) & (languages.setting == scores.setting)]
    by_language = own.groupby(["metric", "run", "query_language"], sort=False)["value"]
    mean, rows = by_language.mean(), by_language.sum()
    rows_G = _of_metric(rows, "queries").max()
    mean_RG = _of_metric(mean, scores.measure).reindex(index=list(scores.runs), columns=list(rows_G.index))
    mean_RG = mean_RG.dropna(how="all").dropna(axis="columns")
    return LanguageMeans(mean_RG, rows_G[mean_RG.columns])


def _of_metric(values: pd.Series[float], metric: str) -> pd.DataFrame:
    return values[values.index.get_level_values("metric") == metric].droplevel("metric").unstack("query_language")


def fit_mixed(
    means: LanguageMeans, cell_R: Sequence[Cell], weights: Mapping[str, int], level: float
) -> MixedModel | NoModel:
    """Fits the model of one measure, or says why the runs do not allow it.

    It takes two sizes, two languages, and three ratios that all sizes have. Where two sizes have no more ratios in
    common than the polynomial has terms, only those of all sizes are in.

    Args:
        means: one measure.
        cell_R: where each of its runs lies.
        weights: size -> number of weights without the embedding table.
        level: of the intervals of coefficients.
    """
    common = _common_ratios(cell_R)
    if len(common) <= min(DEGREE, len({cell.ratio for cell in cell_R}) - 1):
        kept = [cell.ratio in common for cell in cell_R]
        cell_R = [cell for cell in cell_R if cell.ratio in common]
        means = replace(means, mean_RG=means.mean_RG[kept])
    if len({weights[cell.model] for cell in cell_R}) < 2:
        return NoModel("it takes two sizes")
    if len(common) < 3:
        return NoModel(f"it takes three ratios that all sizes have, and they share {len(common)}")
    ratios = {cell.ratio for cell in cell_R}
    if means.mean_RG.shape[1] < 2:
        return NoModel("it takes two languages of questions")
    table = _table(means, cell_R, weights)
    if table["y"].std() < 1e-12:
        return NoModel("all scores are the same")
    powers = [f"I(ratio ** {n})" for n in range(1, min(DEGREE, len(ratios) - 1) + 1)]
    alone = f"y ~ 0 + C(model) + {' + '.join(powers)}"
    try:
        full = _fit(f"{alone} + {' + '.join(f'size:{power}' for power in powers)}", table)
        ratio = 2 * (full.llf - _fit(alone, table).llf)
    except np.linalg.LinAlgError as error:
        return NoModel(f"its equations have no solution where the search for its variances ended ({error})")
    cells = table["cell"].nunique()
    rest = cells - len(full.fe_params)
    converged = bool(full.converged) and np.isfinite(ratio)
    return MixedModel(
        _coefficients(full, level),
        {name: float(np.sqrt(max(0.0, v))) for name, v in zip(full.model.exog_vc.names, full.vcomp, strict=True)}
        | {"rest": float(np.sqrt(full.scale))},
        float(ratio),
        len(powers),
        rest,
        ratio_test(float(ratio), cells, len(powers), rest) if converged and rest > 0 else float("nan"),
    )


def ratio_test(ratio: float, cells: int, terms: int, rest: int) -> float:
    """The p of a likelihood ratio, as the F test that it amounts to in a linear model of cell means.

    There ratio = n log(1 + terms F / rest) exactly. Chi-squared is its limit for many cells; with some thirty it calls
    chance sure too often, since it takes the estimated variance between cells for the true one. Where cells scatter no
    more than their runs do, the p is larger than it need be.

    Args:
        ratio: twice the difference of log-likelihoods.
        cells: n, the independent units: runs of a cell share its questions.
        terms: fixed effects that are tested.
        rest: cells less all fixed effects, at least 1.
    """
    return float(stats.f.sf(np.expm1(max(0.0, ratio) / cells) * rest / terms, terms, rest))


def _common_ratios(cell_R: Sequence[Cell]) -> set[float]:
    """The ratios that all sizes have: what an interaction is seen in."""
    ratios: dict[str, set[float]] = {}
    for cell in cell_R:
        ratios.setdefault(cell.model, set()).add(cell.ratio)
    return set.intersection(*ratios.values()) if ratios else set()


def _table(means: LanguageMeans, cell_R: Sequence[Cell], weights: Mapping[str, int]) -> pd.DataFrame:
    """One row for each run and query language: y, run, cell, model, size (log10, centred), ratio (centred), query."""
    cells = {cell: number for number, cell in enumerate(dict.fromkeys(cell_R))}
    table = pd.DataFrame(
        [
            (run, cells[cell], cell.model, np.log10(weights[cell.model]), cell.ratio - 0.5, query)
            for run, cell in enumerate(cell_R)
            for query in means.mean_RG.columns
        ],
        columns=["run", "cell", "model", "size", "ratio", "query"],
    )
    table["size"] -= table["size"].mean()
    table["y"] = _transformed(means.mean_RG.to_numpy(), means.rows_G.to_numpy()).ravel()
    return table.assign(one=1)


def _transformed(mean_RG: Any, rows_G: Any) -> Any:
    """Logits of scores, kept off 0 and 1 by half a row; logarithms of anything that exceeds 1."""
    if mean_RG.max() > 1:
        return np.log(np.maximum(mean_RG, 0.5))
    return logit(np.clip(mean_RG, 0.5 / rows_G, 1 - 0.5 / rows_G))


class _Searched(MixedLM):  # type: ignore[misc]
    """A mixed model whose search passes over variances at which its equations have no solution.

    Whether such a point is singular or barely not depends on the rounding of the processor.
    """

    def loglike(self, params: Any, profile_fe: bool = True) -> float:
        """Returns minus infinity, the worst value there is, at a singular point."""
        try:
            value = float(super().loglike(params, profile_fe))
        except np.linalg.LinAlgError:
            return -np.inf
        return value if np.isfinite(value) else -np.inf


def _fit(formula: str, table: pd.DataFrame) -> Any:
    components = {"query": "0 + C(query)", "query x ratio": "0 + C(query):ratio", "run": "0 + C(run)"}
    if table["run"].nunique() > table["cell"].nunique():
        components["cell"] = "0 + C(cell)"
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, SingularMatrixWarning, RuntimeWarning):  # variances of 0 are results
            warnings.simplefilter("ignore", category)
        model = _Searched.from_formula(formula, table, groups="one", vc_formula=components)
        methods = ["nm", "powell"]  # without derivatives, which mislead where a variance is 0
        return model.fit(reml=False, method=methods)


def _coefficients(fit: Any, level: float) -> pd.DataFrame:
    interval = fit.conf_int(alpha=1 - level).loc[fit.fe_params.index]
    terms = [re.sub(r"C\(model\)\[(.*)\]", r"level of \1", term) for term in fit.fe_params.index]
    terms = [re.sub(r"I\((.*)\)", r"\1", term) for term in terms]
    return pd.DataFrame(
        {
            "term": terms,
            "value": fit.fe_params.to_numpy(),
            "low": interval[0].to_numpy(),
            "high": interval[1].to_numpy(),
        }
    )
