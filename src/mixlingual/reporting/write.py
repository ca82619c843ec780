"""Writes the report of a sweep: tables, pictures and one HTML page that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.parts import PLAN, QUESTIONS, RUNS
from mixlingual.analysis.statistics.estimates import Estimates, Scores, analyse, read_scores
from mixlingual.analysis.statistics.gaps import Attempts
from mixlingual.analysis.tables.answer import Answer, answer
from mixlingual.analysis.tables.exposure import batches_table, exposure_table
from mixlingual.analysis.tables.grid import Axes, benchmarks, grid_axes, languages_table, results_table
from mixlingual.analysis.tables.learning import learning_table
from mixlingual.files import clear_leftovers, written_whole
from mixlingual.layout import SWEEP
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.figures import Picture, pictures, write_picture
from mixlingual.reporting.findings import findings, headline, nature, primary_findings
from mixlingual.reporting.labels import file_name
from mixlingual.reporting.latex import latex_tables
from mixlingual.reporting.learning import inlined, learning_pictures
from mixlingual.reporting.notes import benchmark_notes
from mixlingual.reporting.page import Section, render_page
from mixlingual.reporting.payload import known_benchmarks, payload
from mixlingual.reporting.published import beside_published, published_tables
from mixlingual.reporting.scores import question_table, runs_table
from mixlingual.reporting.tables import (
    Table,
    all_tables,
    batches_display,
    escaped,
    grid_markdown,
    headline_tables,
    status_line,
    summary_markdown,
    write_tables,
)

LEARNING = "learning.csv"
"""The learning curves, where runs were validated."""


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

    Among its files are those that `analysis.parts` reads again: the plan, the results and the scores by question. A
    picture or table that cannot be made is a gap, named on the page, and takes nothing else with it.
    """
    clear_leftovers(output)
    axes, everything, languages = grid_axes(sweep), results_table(sweep), languages_table(sweep)
    names = known_benchmarks(everything)
    results, attempt = everything[everything.benchmark.isin(names)], Attempts()
    scores = attempt("Scores by question", lambda: read_scores(sweep)) or Scores((), {})
    estimates = analyse(sweep, sweep.analysis, scores, attempt)
    report = _Report(sweep, axes, everything, results, languages, scores, estimates, attempt)
    shown = [report.section(name, output / "figures") for name in names]
    learning = report.learning(output / "figures")
    batches = attempt("What the batches held", lambda: batches_display(batches_table(sweep)))
    numbers = attempt("Charts", lambda: payload(sweep, results, languages, axes))
    tables = report.write_tables(names, output)
    _remove_earlier(output, [path.name for path in tables])
    paths = ReportPaths(
        output / "index.html",
        output / "summary.md",
        tuple(tables),
        tuple(file for files in (*learning.values(), *(files for _, files in shown)) for file in files),
    )
    with written_whole(paths.page) as path:
        path.write_text(
            render_page(
                sweep,
                [section for section, _ in shown],
                [name for name in benchmarks(everything) if name not in names],
                findings(estimates),
                batches or Table("What the batches held", [], []),
                {picture: inlined(vector) for picture, (vector, _) in learning.items()},
                numbers or payload(replace(sweep, runs=()), results[:0], languages[:0], axes),
                paths.page,
            ),
            encoding="utf-8",
        )
    return paths


@dataclass(frozen=True)
class _Report:
    """What a report is made from."""

    sweep: Sweep
    axes: Axes
    everything: pd.DataFrame
    """All results, also of benchmarks without a measure that is known."""
    results: pd.DataFrame
    """Of the benchmarks that are shown."""
    languages: pd.DataFrame
    scores: Scores
    estimates: Estimates
    attempt: Attempts
    """Its gaps are those of the estimates, so that the findings name them."""

    def section(self, name: str, folder: Path) -> tuple[Section, list[Path]]:
        """What the page shows of a benchmark, and the files of its pictures."""
        results, axes, attempt = self.results, self.axes, self.attempt
        written = {
            picture: files
            for picture in pictures(results, self.languages, axes, name, attempt)
            if (files := attempt(f"Files of the picture {picture.name}", partial(write_picture, picture, folder)))
        }
        published = attempt(
            f"Published figures of {name}", lambda: published_tables(beside_published(self.sweep, results, name), name)
        )
        section = Section(
            name,
            attempt(f"Answer on {name}", lambda: _answer(self.estimates, results, axes, name)) or Answer("", ""),
            attempt(f"Notes on {name}", lambda: benchmark_notes(self.sweep, name)) or [],
            [
                *(attempt(f"Tables of {name}", lambda: headline_tables(results, axes, name)) or []),
                *(published or []),
            ],
            list(written),
            [f"grid_{file_name(name)}.{kind}" for kind in ("md", "tex")],
        )
        return section, [file for files in written.values() for file in files]

    def learning(self, folder: Path) -> dict[Picture, list[Path]]:
        """Draws the learning curves; each picture with its files."""
        drawn = self.attempt("Learning curves", lambda: learning_pictures(learning_table(self.sweep), self.axes)) or []
        written = {
            picture: self.attempt(f"Files of the picture {picture.name}", partial(write_picture, picture, folder))
            for picture in drawn
        }
        return {picture: files for picture, files in written.items() if files}

    def write_tables(self, names: Sequence[str], output: Path) -> list[Path]:
        """Writes every table, those of the statistics last: they name the gaps of the others."""
        sweep = self.sweep
        makers: dict[str, Callable[[], pd.DataFrame | str]] = {
            "results.csv": lambda: self.everything,
            "languages.parquet": lambda: self.languages,
            RUNS: lambda: runs_table(sweep),
            QUESTIONS: lambda: question_table(sweep, self.scores),
            "batches.csv": lambda: batches_table(sweep),
            LEARNING: lambda: learning_table(sweep),
            "exposure.csv": lambda: exposure_table(sweep),
        }
        for name in names:
            makers |= self._of_benchmark(name)
        if (plan := sweep.folder / SWEEP).exists() and not sweep.plan_problem:
            makers[PLAN] = lambda: plan.read_text(encoding="utf-8")
        makers["summary.md"] = lambda: self._summary()
        written = [path for name, make in makers.items() for path in self._written(name, make, output)]
        if "summary.md" not in {path.name for path in written}:
            written += write_tables({"summary.md": f"# Sweep {escaped(sweep.name)}\n\n{status_line(sweep)}\n"}, output)
        statistics = self.attempt("Tables of the statistics", lambda: estimate_tables(self.estimates)) or {}
        return written + write_tables({f"statistics_{name}.csv": table for name, table in statistics.items()}, output)

    def _summary(self) -> str:
        shown = summary_markdown(self.sweep, self.results, self.axes)
        return shown + _listed(primary_findings(self.estimates))

    def _of_benchmark(self, name: str) -> dict[str, Callable[[], pd.DataFrame | str]]:
        grids = self.attempt(f"Grids of {name}", lambda: all_tables(self.results, self.axes, name))
        return {
            f"published_{file_name(name)}.csv": lambda: beside_published(self.sweep, self.results, name),
            **(
                {
                    f"grid_{file_name(name)}.md": lambda: grid_markdown(grids, name),
                    f"grid_{file_name(name)}.tex": lambda: latex_tables(grids, name),
                }
                if grids
                else {}
            ),
        }

    def _written(self, name: str, make: Callable[[], pd.DataFrame | str], output: Path) -> list[Path]:
        def write() -> list[Path]:
            table = make()
            optional = name == LEARNING or name.startswith("published")
            return write_tables({name: table}, output) if len(table) or not optional else []

        return self.attempt(f"The file {name}", write) or []


def _remove_earlier(output: Path, tables: Collection[str]) -> None:
    """Deletes files of an earlier report that this one has no rows for, lest they be taken for its own."""
    for path in (*output.glob("statistics_*.csv"), *output.glob(PLAN), *output.glob(LEARNING)):
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
