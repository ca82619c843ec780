"""Sets the figures of the hybrid-batch paper (Elmahdy, Lin & Ahmad 2024, arXiv 2408.10536) beside those of a sweep.

They are from single runs, of its tables 1 to 8, and only where they stand for the same thing: the encoder, the whole
benchmark with sentences as candidates, and one of its three kinds of batches. The training data are not the same.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.measures.registry import METRICS, SETTING_TITLES
from mixlingual.reporting.tables import Cell, Table

RATIOS = {"x_y": 0.0, "hybrid": 0.5, "x_x_mono": 1.0}
"""Kind of batches in the paper -> ratio."""

CHECKPOINTS = {
    "FacebookAI/xlm-roberta-base": "xlmr",
    "FacebookAI/xlm-roberta-large": "xlmr",
    "sentence-transformers/LaBSE": "labse",
}
"""Checkpoint -> the paper's encoder. Which size of XLM-R it trained it does not say, so both are shown beside it."""

_COLUMNS = ["model", "setting", "metric", "ratio", "published", "ours", "seeds"]


@cache
def published_figures() -> pd.DataFrame:
    """One row for each encoder, benchmark, setting, metric and `kind`, a key of `RATIOS`: `published`."""
    with files(__package__).joinpath("published.csv").open(encoding="utf-8") as file:
        wide = pd.read_csv(file)
    keys = ["encoder", "benchmark", "setting", "metric"]
    return wide.melt(keys, list(RATIOS), var_name="kind", value_name="published")


def beside_published(sweep: Sweep, results: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Published figures of a benchmark, with the means over seeds of the runs that they can be compared with.

    Args:
        sweep: what `results` are of.
        results: its `results_table`.
        benchmark: its name.

    Returns:
        Columns model, setting, metric, ratio, published, ours, seeds; no rows where nothing can be compared.
    """
    encoders = {
        run.name: encoder for run in sweep.in_state("done") if (encoder := _encoder(run, benchmark)) is not None
    }
    known = results[(results.benchmark == benchmark) & (results.series == RATIO_SERIES) & results.run.isin(encoders)]
    theirs = published_figures().assign(ratio=lambda table: table.kind.map(RATIOS))
    keys = ["encoder", "benchmark", "setting", "metric", "ratio"]
    both = known.assign(encoder=known.run.map(encoders)).merge(theirs, on=keys)
    groups = ["non_embedding", "model", "setting", "metric", "ratio", "published"]
    means = both.groupby(groups, as_index=False).agg(ours=("value", "mean"), seeds=("value", "size"))
    return means[_COLUMNS]


def _encoder(run: Run, benchmark: str) -> str | None:
    """The paper's encoder that a run started from, if its figures on the benchmark are of the same task."""
    assert run.result is not None
    section = run.result.benchmarks.get(benchmark)
    same = isinstance(section, dict) and section.get("complete") is True and section.get("unit") == "sentence"
    return CHECKPOINTS.get(str(run.result.config["model"].get("checkpoint"))) if same else None


def published_tables(beside: pd.DataFrame, benchmark: str) -> list[Table]:
    """`beside_published` as a table to show; none without rows."""
    if beside.empty:
        return []
    rows = [
        [
            Cell(str(row.model)),
            Cell(f"{SETTING_TITLES[str(row.setting)]}, {METRICS[str(row.metric)].label}"),
            Cell(f"{row.ratio:g}"),
            *(Cell(f"{value:.{METRICS[str(row.metric)].decimals}f}") for value in (row.published, row.ours)),
            Cell(str(row.seeds)),
        ]
        for row in beside.itertuples()
    ]
    title = f"{benchmark}: beside arXiv 2408.10536 (single runs, other training data, size of its XLM-R not stated)"
    return [Table(title, ["size", "measure", "ratio", "published", "here", "seeds"], rows)]
