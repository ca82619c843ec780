"""Writes the report of a sweep: tables, pictures and one HTML page that holds them all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.parts import PLAN, QUESTIONS, RUNS
from mixlingual.analysis.statistics.estimates import Estimates, Scores, analyse, read_scores
from mixlingual.analysis.statistics.gaps import Attempts
from mixlingual.analysis.tables.answer import Answer, answer
from mixlingual.analysis.tables.exposure import batches_table, exposure_table
from mixlingual.analysis.tables.grid import Axes, benchmarks, grid_axes, languages_table, results_table
from mixlingual.files import written_whole
from mixlingual.layout import SWEEP
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.figures import pictures, write_picture
from mixlingual.reporting.findings import findings, headline, nature, primary_findings
from mixlingual.reporting.labels import file_name
from mixlingual.reporting.latex import latex_tables
from mixlingual.reporting.notes import benchmark_notes
from mixlingual.reporting.page import Section, render_page
from mixlingual.reporting.payload import known_benchmarks, payload
from mixlingual.reporting.published import beside_published, published_tables
from mixlingual.reporting.scores import question_table, runs_table
from mixlingual.reporting.tables import (
    all_tables,
    batches_display,
    escaped,
    grid_markdown,
    headline_tables,
    summary_markdown,
    write_tables,
)


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report."""

    page: Path
    """The HTML page; it needs none of the other files, and links to them."""
    summary: Path
    """Status and the main size x ratio tables, as Markdown that also reads well in a terminal."""
    tables: tuple[Path, ...]
    """All files of tables and records."""
    figures: tuple[Path, ...]
    """Each picture as SVG and PNG."""


def write_report(sweep: Sweep, output: Path) -> ReportPaths:
    """Writes the report of a sweep, finished or not, into `output`.

    Among its files are those that `analysis.parts` reads again: the plan, the results and the scores by question.
    """
    axes, everything, languages = grid_axes(sweep), results_table(sweep), languages_table(sweep)
    batches = batches_table(sweep)
    names = known_benchmarks(everything)
    unknown = [name for name in benchmarks(everything) if name not in names]
    results = everything[everything.benchmark.isin(names)]
    attempt = Attempts()
    scores = attempt("Scores by question", lambda: read_scores(sweep)) or Scores((), {})
    estimates = analyse(sweep, sweep.analysis, scores, attempt)
    tables: dict[str, pd.DataFrame | str] = {
        "summary.md": summary_markdown(sweep, results, axes) + _listed(primary_findings(estimates)),
        "results.csv": everything,
        "languages.parquet": languages,
        RUNS: runs_table(sweep),
        QUESTIONS: question_table(sweep, scores),
        "batches.csv": batches,
        "exposure.csv": exposure_table(sweep),
        **{f"statistics_{name}.csv": table for name, table in estimate_tables(estimates).items()},
    }
    for name in names:
        shown = all_tables(results, axes, name)
        tables[f"grid_{file_name(name)}.md"] = grid_markdown(shown, name)
        tables[f"grid_{file_name(name)}.tex"] = latex_tables(shown, name)
    beside = {name: beside_published(sweep, results, name) for name in names}
    tables |= {f"published_{file_name(name)}.csv": table for name, table in beside.items() if len(table)}
    drawn = {name: pictures(results, languages, axes, name) for name in names}
    figures = [
        file for part in drawn.values() for picture in part for file in write_picture(picture, output / "figures")
    ]
    sections = [
        Section(
            name,
            _answer(estimates, results, axes, name),
            benchmark_notes(sweep, name),
            [*headline_tables(results, axes, name), *published_tables(beside[name], name)],
            drawn[name],
            [f"grid_{file_name(name)}.{kind}" for kind in ("md", "tex")],
        )
        for name in names
    ]
    plan = sweep.folder / SWEEP
    if plan.exists() and not sweep.plan_problem:
        tables[PLAN] = plan.read_text(encoding="utf-8")
    _remove_earlier(output, tables)
    paths = ReportPaths(
        output / "index.html",
        output / "summary.md",
        tuple(write_tables(tables, output)),
        tuple(figures),
    )
    numbers = payload(sweep, results, languages, axes)
    with written_whole(paths.page) as path:
        path.write_text(
            render_page(sweep, sections, unknown, findings(estimates), batches_display(batches), numbers, paths.page),
            encoding="utf-8",
        )
    return paths


def _remove_earlier(output: Path, tables: Collection[str]) -> None:
    """Deletes files of an earlier report that this one has no rows for, lest they be taken for its own."""
    for path in (*output.glob("statistics_*.csv"), *output.glob(PLAN)):
        if path.name not in tables:
            path.unlink(missing_ok=True)  # another report of the sweep may be at it


def _answer(estimates: Estimates, results: pd.DataFrame, axes: Axes, benchmark: str) -> Answer:
    """The tested answer; what the means seem to say as long as there is none."""
    sentence = headline(estimates, benchmark)
    return Answer(sentence, nature(estimates)) if sentence else answer(results, axes, benchmark)


def _listed(found: list[str]) -> str:
    """The last section of the summary; nothing where there are no findings."""
    lines = ["", "**Findings** (the page has them all)", "", *(f"- {escaped(sentence)}" for sentence in found), ""]
    return "\n".join(lines) if found else ""
