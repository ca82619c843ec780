"""Makes the tables of a sweep: display tables for the page, Markdown files and CSV files.

Markdown files are aligned and plain ASCII but for names, so that they also read well in a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.tables.grid import SETTINGS, Axes, Grid, benchmarks, grids
from mixlingual.files import written_whole
from mixlingual.measures.registry import BIAS, METRICS, SETTING_TITLES, headlines
from mixlingual.reporting.labels import counted, size_label
from mixlingual.runs.state import STATES

BLANK = "-"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a cell that spreadsheets take for a formula."""


class Cell(NamedTuple):
    """A formatted value; `best` marks the best of its row."""

    text: str
    best: bool = False


class Table(NamedTuple):
    """A table to show, with text cells under a title."""

    title: str
    header: list[str]
    rows: list[list[Cell]]


def grid_table(grid: Grid, axes: Axes, *, spread: bool = False) -> Table:
    """Puts sizes in rows and ratios in columns, and marks the best ratio of each size.

    Args:
        grid: the means to show.
        axes: rows and columns of the grid.
        spread: add the smallest and largest seed behind each mean of several.
    """
    most = int(grid.seeds.to_numpy().max(initial=0))
    facts = grid.facts
    taken = {0: "no finished runs", 1: "one seed"}.get(most, f"mean of n = {most} seeds")
    title = f"{grid.benchmark}, {SETTING_TITLES[grid.setting]}: {facts.label} ({facts.direction}; {taken})"
    numbers = zip(*(frame.to_numpy().tolist() for frame in (grid.mean, grid.low, grid.high, grid.seeds)), strict=True)
    best = grid.best(facts.decimals).to_numpy().tolist()
    rows = [
        [
            Cell(size_label(model, axes)),
            *(
                Cell(_text(mean, low, high, seeds, facts.decimals, most, spread), marked)
                for mean, low, high, seeds, marked in zip(*row, bests, strict=True)
            ),
        ]
        for model, row, bests in zip(axes.sizes, numbers, best, strict=True)
    ]
    return Table(title, ["size / ratio", *(point.label for point in axes.points)], rows)


def _text(mean: float, low: float, high: float, seeds: int, decimals: int, most: int, spread: bool) -> str:
    if not seeds:
        return BLANK
    extremes = f"[{low:.{decimals}f}, {high:.{decimals}f}]" if spread and seeds > 1 else ""
    parts = [f"{mean:.{decimals}f}", extremes, f"(n={seeds})" if seeds < most else ""]
    return " ".join(part for part in parts if part)


def headline_tables(results: pd.DataFrame, axes: Axes, benchmark: str) -> list[Table]:
    """Makes the tables that sum a benchmark up."""
    return [grid_table(grid, axes) for grid in grids(results, axes, benchmark, headlines())]


def all_tables(results: pd.DataFrame, axes: Axes, benchmark: str) -> list[Table]:
    """Makes a table of every metric of a benchmark that some run has, with the spread over seeds."""
    present = set(results.loc[results.benchmark == benchmark, ["setting", "metric"]].itertuples(index=False, name=None))
    wanted = [(setting, metric) for setting in (*SETTINGS, BIAS) for metric in METRICS if (setting, metric) in present]
    return [grid_table(grid, axes, spread=True) for grid in grids(results, axes, benchmark, wanted)]


def status_line(sweep: Sweep) -> str:
    """Says how far the sweep is, in one line."""
    counts = {state: len(sweep.in_state(state)) for state in STATES if state != "done"}
    rest = "".join(f", {count} {state}" for state, count in counts.items() if count)
    joined = f" Read from the reports in {', '.join(sweep.parts)}." if sweep.parts else ""
    return f"{len(sweep.in_state('done'))} of {counted(len(sweep.runs), 'run')} done{rest}.{joined}"


def nothing_to_show(sweep: Sweep) -> str:
    """Says why a sweep without any score has no tables and pictures."""
    done = sweep.in_state("done")
    why = "No run has results yet"
    if done:
        why = (
            f"{counted(len(done), 'run')} {'is' if len(done) == 1 else 'are'} done and not evaluated (evaluation=none)"
        )
    return f"{why}, so there are no tables and pictures."


def batches_display(batches: pd.DataFrame) -> Table:
    """Shows what the batches of each run held, from `analysis.tables.exposure.batches_table`."""
    header = ["run", "ratio planned", "realised", "pairs", "tokens mono", "tokens cross", "passes min", "passes max"]
    formats = ("{:.3f}", "{:.3f}", "{:,.0f}", "{:,.0f}", "{:,.0f}", "{:.2f}", "{:.2f}")
    rows = [
        [Cell(name), *(Cell(BLANK if pd.isna(x) else form.format(x)) for form, x in zip(formats, numbers))]
        for name, *numbers in batches.itertuples(index=False)
    ]
    return Table("What the batches held (passes: pairs drawn from a pool for each of its items)", header, rows)


def unfinished(sweep: Sweep) -> list[tuple[str, list[str]]]:
    """Lists (state, its runs with their reasons), for the states but done that some run is in."""
    states = ((state, sweep.in_state(state)) for state in STATES if state != "done")
    return [
        (state, [f"{run.name}: {run.reason}" if run.reason else run.name for run in runs])
        for state, runs in states
        if runs
    ]


def summary_markdown(sweep: Sweep, results: pd.DataFrame, axes: Axes) -> str:
    """Shows the sweep on one page: status, size x ratio tables of each benchmark, unfinished runs."""
    parts = [
        f"# Sweep {escaped(sweep.name)}",
        status_line(sweep),
        *(f"Warning: {escaped(w)}" for w in sweep.warnings()),
    ]
    if results.empty:
        parts.append(nothing_to_show(sweep))
    for benchmark in benchmarks(results):
        parts += [f"## {escaped(benchmark)}", *map(markdown, headline_tables(results, axes, benchmark))]
    for title, runs in unfinished(sweep):
        parts += [f"## Runs {title}", "\n".join(f"- {escaped(run)}" for run in runs)]
    return "\n\n".join(parts) + "\n"


def grid_markdown(tables: Sequence[Table], benchmark: str) -> str:
    """Writes every size x ratio table of a benchmark, from `all_tables`."""
    note = "Means over seeds; brackets hold the smallest and largest seed. Bold: the best mean of a size, not a test."
    return "\n\n".join([f"# {escaped(benchmark)}", note, *map(markdown, tables)]) + "\n"


def markdown(table: Table) -> str:
    """Writes the table as aligned Markdown under its title; the best cells are bold."""
    texts = [[f"**{escaped(c.text)}**" if c.best else escaped(c.text) for c in row] for row in table.rows]
    lines = [[escaped(title) for title in table.header], *texts]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [f"{':' if i == 0 else '-'}{'-' * (width - 2)}{'-' if i == 0 else ':'}" for i, width in enumerate(widths)]
    aligned = [_line(lines[0], widths), _line(rule, widths), *(_line(line, widths) for line in lines[1:])]
    return "\n".join([f"**{escaped(table.title)}**", "", *aligned])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return f"| {' | '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])} |"


def escaped(text: str) -> str:
    """Puts text on one line in which Markdown finds no markup; signs that could not begin any stay, as in p < 0.001."""
    return re.sub(r"([\\`*|]|[<&](?! )|\](?=\()|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))


def write_tables(tables: dict[str, pd.DataFrame | str], folder: Path) -> list[Path]:
    """Writes, by file name, CSV or Parquet files from data frames and text files from strings."""
    for name, content in tables.items():
        with written_whole(folder / name) as path:
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            elif name.endswith(".parquet"):
                table = pa.Table.from_pandas(content, preserve_index=False).replace_schema_metadata()
                pq.write_table(table, path, compression="zstd", store_schema=False)  # categories are texts to readers
            else:
                _inert(content).to_csv(path, index=False)
    return [folder / name for name in tables]


def _inert(table: pd.DataFrame) -> pd.DataFrame:
    """Puts an apostrophe before text, in cells and titles, that a spreadsheet would run as a formula."""

    def quoted(cell: object) -> object:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell

    text = table.select_dtypes(["object", "string"]).map(quoted)
    return table.assign(**text).rename(columns=quoted)
