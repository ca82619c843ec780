"""Writes the report of a sweep: tables, pictures and one HTML page that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.parts import PLAN, QUESTIONS, RUNS
from mixlingual.analysis.read.question_files import Scores
from mixlingual.analysis.statistics.estimates import Estimates, analyse, read_scores
from mixlingual.analysis.statistics.gaps import Attempts
from mixlingual.analysis.tables.exposure import batches_table, exposure_table
from mixlingual.analysis.tables.grid import Axes, benchmarks, grid_axes, languages_table, results_table
from mixlingual.analysis.tables.learning import learning_table
from mixlingual.files import clear_leftovers
from mixlingual.layout import SWEEP
from mixlingual.reporting.answer import Answer, answer, missing_runs
from mixlingual.reporting.estimate_tables import TABLES, estimate_table
from mixlingual.reporting.findings import findings, gap_sentences, nature, primary_findings
from mixlingual.reporting.labels import file_name
from mixlingual.reporting.latex import latex_tables
from mixlingual.reporting.notes import benchmark_notes
from mixlingual.reporting.page import PAGE, Drawn, Section, plain_page, render_page
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
from mixlingual.reporting.terminal import screen

if TYPE_CHECKING:
    from mixlingual.reporting.figures import Picture

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
    """Each picture as SVG."""
    screen: str
    """What it says on one screen of a terminal."""


Maker = Callable[[], pd.DataFrame | str]
"""Of a file's content."""


def write_report(sweep: Sweep, output: Path) -> ReportPaths:
    """Writes the report of a sweep, finished or not, into `output`.

    Among its files are those that `analysis.parts` reads again: the plan, the results and the scores by question.
    Whatever part of it cannot be made is a gap, named on the page and in the summary, and takes nothing else with it.
    Pictures are drawn in a process beside the one that computes.
    """
    clear_leftovers(output)
    attempt, empty = Attempts(), replace(sweep, runs=())
    axes = attempt("Sizes and ratios", lambda: grid_axes(sweep), Axes({}, ()))
    everything = attempt("Results", lambda: results_table(sweep), results_table(empty))
    languages = attempt("Results by language", lambda: languages_table(sweep), languages_table(empty))
    learned = attempt("Learning curves", lambda: learning_table(sweep), learning_table(empty))
    names = known_benchmarks(everything)
    results = everything[everything.benchmark.isin(names)]

    def draw(own: Attempts) -> dict[str, list[Drawn]]:
        from mixlingual.reporting.figures import pictures  # which takes a second to import
        from mixlingual.reporting.learning import learning_pictures

        learning = own("Pictures of learning", lambda: learning_pictures(learned, axes)) or []
        return {"": _drawn(learning, output, own)} | {
            name: _drawn(pictures(results, languages, axes, name, own), output, own) for name in names
        }

    def draw_estimates(own: Attempts) -> dict[str, list[Drawn]]:
        from mixlingual.reporting.critical_batch_picture import critical_batch_picture
        from mixlingual.reporting.dial_pictures import dial_picture, small_models_picture
        from mixlingual.reporting.effect_pictures import effect_pictures
        from mixlingual.reporting.merging_pictures import merging_pictures

        complete = not missing_runs(sweep)
        made = {
            "effects": own("Pictures of differences", lambda: effect_pictures(estimates, axes, complete=complete)),
            "dial": own("Picture of the dial", lambda: dial_picture(results, estimates, axes)),
            "batch sizes": own("Picture of batch sizes", lambda: critical_batch_picture(estimates)),
            "merging": own("Pictures of merged encoders", lambda: merging_pictures(estimates, axes)),
            "small models": own("Picture of small models", lambda: small_models_picture(estimates)),
        }
        return {name: _drawn(found or [], output, own) for name, found in made.items()}

    drawn = attempt.beside("Pictures", draw)
    scores = attempt("Scores by question", lambda: read_scores(sweep), Scores((), {}))
    none = Estimates(None, declared=False, weights={}, config=sweep.analysis, measured=(), gaps=attempt.gaps)
    estimates = attempt("The statistics", lambda: analyse(sweep, sweep.analysis, scores, attempt), none)
    estimates_drawn = attempt.beside("Pictures of the statistics", draw_estimates)
    report = _Report(sweep, axes, everything, results, languages, learned, scores, estimates, attempt)
    numbers = report.numbers()
    tables = report.write(report.makers(names), output)
    shown, of_estimates = drawn() or {}, estimates_drawn() or {}
    sections = [report.section(name, shown.get(name, [])) for name in names]
    batches = attempt("What the batches held", lambda: batches_display(batches_table(sweep)), Table("", [], []))
    unknown = [name for name in benchmarks(everything) if name not in names]
    tables += report.write(
        {f"statistics_{name}.csv": partial(estimate_table, estimates, name) for name in TABLES}, output
    )
    _remove_earlier(output, [path.name for path in tables])
    page = output / PAGE
    over = attempt("What the statistics are over", lambda: nature(estimates) if estimates.measured else "") or ""
    answers = {section.benchmark: section.answer.sentence for section in sections}
    said_short = attempt(
        "The summary on the terminal",
        lambda: screen(estimates, answers, status_line(sweep), missing_runs(sweep), over),
        "",
    )
    said = findings(estimates, attempt)
    learning = shown.get("", [])
    html = attempt(
        "The page",
        lambda: render_page(sweep, sections, unknown, said, over, batches, learning, of_estimates, numbers, page),
    )
    summary = report.summary()
    tables += write_tables({"summary.md": summary}, output)
    write_tables({page.name: html or plain_page(sweep.name, summary)}, output)
    pictures = [picture for drawn_of in (shown, of_estimates) for found in drawn_of.values() for picture in found]
    figures = [output / FIGURES / f"{picture.name}.svg" for picture in pictures]
    return ReportPaths(page, output / "summary.md", tuple(tables), tuple(figures), said_short)


def _drawn(drawn: Iterable[Picture], output: Path, attempt: Attempts) -> list[Drawn]:
    """Writes pictures, and tells what was written."""
    from mixlingual.reporting.figures import write_picture
    from mixlingual.reporting.learning import inlined

    def written(picture: Picture) -> Drawn:
        file = write_picture(picture, output / FIGURES)
        return Drawn(picture.name, picture.title, picture.caption, picture.alt, inlined(file))

    found = (attempt(f"The file {picture.name}.svg", partial(written, picture)) for picture in drawn)
    return [picture for picture in found if picture]


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
    learned: pd.DataFrame
    scores: Scores
    estimates: Estimates
    attempt: Attempts
    """Its gaps are those of the estimates, so that the findings name them."""

    def section(self, name: str, shown: Sequence[Drawn]) -> Section:
        """What the page shows of a benchmark."""
        results, axes, attempt = self.results, self.axes, self.attempt

        def published() -> list[Table]:
            return published_tables(beside_published(self.sweep, results, name), name)

        return Section(
            name,
            attempt(f"Answer on {name}", lambda: self._answer(name), Answer("There is no answer.", [], [])),
            attempt(f"Notes on {name}", lambda: benchmark_notes(self.sweep, name)) or [],
            [
                *(attempt(f"Tables of {name}", lambda: headline_tables(results, axes, name)) or []),
                *(attempt(f"Published figures of {name}", published) or []),
            ],
            shown,
            [f"grid_{file_name(name)}.{kind}" for kind in ("md", "tex")],
        )

    def _answer(self, name: str) -> Answer:
        return answer(self.estimates, name, complete=not missing_runs(self.sweep))

    def numbers(self) -> dict[str, Any]:
        """What the charts show."""
        sweep, results, languages, axes, attempt = self.sweep, self.results, self.languages, self.axes, self.attempt
        found = attempt(
            "Charts", lambda: payload(sweep, results, languages, axes, self.scores.parts, attempt, self.estimates)
        )
        empty = replace(sweep, runs=())
        return found or attempt("Charts without runs", lambda: payload(empty, results[:0], languages[:0], axes)) or {}

    def makers(self, names: Iterable[str]) -> dict[str, Maker]:
        """Name of a file -> what makes it, but for the statistics and the summary."""
        sweep = self.sweep
        makers: dict[str, Maker] = {
            "results.csv": lambda: self.everything,
            "languages.parquet": lambda: self.languages,
            RUNS: lambda: runs_table(sweep),
            QUESTIONS: lambda: question_table(sweep, self.scores),
            "batches.csv": lambda: batches_table(sweep),
            LEARNING: lambda: self.learned,
            "exposure.csv": lambda: exposure_table(sweep),
        }
        for name in names:
            makers |= self._of_benchmark(name)
        if (plan := sweep.folder / SWEEP).exists() and not sweep.plan_problem:
            makers[PLAN] = lambda: plan.read_text(encoding="utf-8")
        return makers

    def _of_benchmark(self, name: str) -> dict[str, Maker]:
        makers: dict[str, Maker] = {
            f"published_{file_name(name)}.csv": lambda: beside_published(self.sweep, self.results, name)
        }
        if tables := self.attempt(f"Grids of {name}", lambda: all_tables(self.results, self.axes, name)):
            makers[f"grid_{file_name(name)}.md"] = lambda: grid_markdown(tables, name)
            makers[f"grid_{file_name(name)}.tex"] = lambda: latex_tables(tables, name)
        return makers

    def write(self, makers: Mapping[str, Maker], output: Path) -> list[Path]:
        """Writes files, but for tables of the answer without rows."""

        def file(name: str, make: Maker) -> list[Path]:
            content = make()
            return write_tables({name: content}, output) if len(content) or not name.startswith(_ANSWERS) else []

        found = (self.attempt(f"The file {name}", partial(file, name, make)) or [] for name, make in makers.items())
        return [path for paths in found for path in paths]

    def summary(self) -> str:
        """Tables, what the primary contrasts say, and what failed."""
        title, attempt = f"# Sweep {escaped(self.sweep.name)}\n", self.attempt
        shown = attempt("The summary", lambda: summary_markdown(self.sweep, self.results, self.axes), title)
        found = attempt("The primary contrasts", lambda: primary_findings(self.estimates)) or []
        faults = [*gap_sentences(gap for gap in attempt.gaps if gap.is_fault)]
        return shown + _listed("**Findings** (the page has them all)", found) + _listed("**What failed**", faults)


FIGURES = "figures"
_ANSWERS = ("published", "statistics", LEARNING)
"""Beginnings of the names of files that are left out where they have no rows."""


def _remove_earlier(output: Path, tables: Collection[str]) -> None:
    """Deletes files of an earlier report that this one has no rows for, lest they be taken for its own."""
    for path in (*output.glob("statistics_*.csv"), *output.glob(PLAN), *output.glob(LEARNING)):
        if path.name not in tables:
            path.unlink(missing_ok=True)  # another report of the sweep may be at it


def _listed(title: str, found: list[str]) -> str:
    """A section at the end of the summary; nothing where there is nothing to list."""
    return "\n".join(["", title, "", *(f"- {escaped(sentence)}" for sentence in found), ""]) if found else ""
