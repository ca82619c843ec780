"""Joins published reports into one sweep: runs of several machines, or of years, whose folders are not in one place.

A report keeps the whole result of every finished run (`RUNS`) and its scores by question (`QUESTIONS`). Both are
written back as the folders of runs that they came from, so that a sweep of parts is read and analysed like any other.

A score by question is kept once, as the mean over its languages with the weight that it has in the means of the run.
Means are those of the run; so are draws of questions that exist in all languages. Where some languages lack some
questions, as in MLQA-R, a draw takes the mean over all rows in place of the mean of the languages' means. What needs
scores by question and language, the gain of each language, and corrections after training are in the reports of the
parts alone, as are runs that failed: here these have not been started.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_float_dtype, is_string_dtype

from mixlingual.analysis.read.collect import declared_analysis, is_folder_name, planned_runs
from mixlingual.analysis.read.questions import COLUMNS, WEIGHT
from mixlingual.analysis.tables.grid import ALL_LANGUAGES
from mixlingual.layout import QUERIES, RESULT, SWEEP
from mixlingual.records import RESULT_SCHEMA, MixlingualError

PLAN, RUNS, QUESTIONS = "plan.json", "runs.parquet", "questions.parquet"
"""Files of a report that are read again; the first, its sweep.json, only if runs were planned, not started one by one.
"""

_KEYS = ["run", "benchmark", "setting", "measure", "query", "paragraph"]


def restore(parts: Sequence[Path], name: str, folder: Path) -> None:
    """Writes the runs that reports have kept into `folder`, as `read_sweep` reads them.

    Args:
        parts: folders of reports.
        name: of the sweep.
        folder: where it is to lie.

    Raises:
        MixlingualError: a folder holds no such report, two hold the same run, or they declare different analyses.
    """
    origin: dict[str, Path] = {}
    for part in parts:
        runs, questions = _read(part)
        for run in runs["run"]:
            if run in origin:
                raise MixlingualError(
                    f"{origin[run]} and {part} both hold the run {run}. A run is in one part: take its folder out of "
                    "one sweep and make that report again"
                )
            origin[run] = part
        _write_runs(runs, questions, folder)
    _write_plan(parts, name, folder)


def _read(part: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(runs, their scores by question) that a report has kept.

    Raises:
        MixlingualError: there is no such report, or its files hold something else.
    """
    try:
        runs = pd.read_parquet(part / RUNS, columns=["run", "result"])
        questions = pd.read_parquet(part / QUESTIONS, columns=[*_KEYS, WEIGHT, "score"])
    except FileNotFoundError as error:
        raise MixlingualError(
            f"{part} holds no {RUNS} and {QUESTIONS}. A part is the folder of a report, as "
            "python -m mixlingual.report leaves it; that of a sweep lies in multirun/SWEEP/report"
        ) from error
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise MixlingualError(f"{part} cannot be read again: {error}. Make its report anew") from error
    problem = _problem(runs, questions)
    if problem:
        raise MixlingualError(f"{part} cannot be read again: {problem}. Make its report anew")
    return runs, questions


def _problem(runs: pd.DataFrame, questions: pd.DataFrame) -> str | None:
    """Why the files are not those of a report; None if they are."""
    for name, table, texts in ((RUNS, runs, ["run", "result"]), (QUESTIONS, questions, _KEYS)):
        for column in texts:
            if len(table) and not (is_string_dtype(table[column]) and table[column].notna().all()):
                return f"the column {column} of {name} holds other things than text"
    for column in (WEIGHT, "score") if len(questions) else ():
        if not is_float_dtype(questions[column]) or questions[column].isna().any():
            return f"the column {column} of {QUESTIONS} holds other things than numbers"
    if (questions[WEIGHT] <= 0).any():
        return f"a weight in {QUESTIONS} is not above 0"
    if questions.duplicated(_KEYS[:-1]).any() or runs["run"].duplicated().any():
        return "it holds the same row twice"
    unfit = [run for run in runs["run"] if not is_folder_name(run) or run == SWEEP]
    return f"{unfit[0]!r} is no name of a run" if unfit else None


def _write_runs(runs: pd.DataFrame, questions: pd.DataFrame, folder: Path) -> None:
    for run, result in runs.itertuples(index=False):
        (folder / run).mkdir(parents=True)
        (folder / run / RESULT).write_text(result, encoding="utf-8")
    known = questions[questions["run"].isin(runs["run"]) & questions["measure"].isin(COLUMNS)]
    whole = known.groupby(_KEYS[:4], sort=False)[WEIGHT].transform("mean")
    known = known.assign(
        mean=known["score"] * (whole / known[WEIGHT]), query_language=ALL_LANGUAGES, candidate_language=ALL_LANGUAGES
    )
    for run, rows in known.groupby("run", sort=False):
        table = rows.drop(columns=["run", "measure", "score", "mean"])
        for measure in rows["measure"].unique():
            table[COLUMNS[measure]] = rows["mean"].where(rows["measure"] == measure)
        table.to_parquet(folder / str(run) / QUERIES, index=False)


def _write_plan(parts: Sequence[Path], name: str, folder: Path) -> None:
    """sweep.json with the runs that any part planned; none where no part has one."""
    plans = [part / PLAN for part in parts if (part / PLAN).exists()]
    if not plans:
        return
    planned: dict[str, Any] = {}
    analyses = {}
    for plan in plans:
        try:
            planned |= planned_runs(plan)
        except ValueError as error:
            raise MixlingualError(f"{plan} cannot be read: {error}. Make its report anew") from error
        analyses[plan] = declared_analysis(plan)
    first, *others = analyses
    for other in others:
        if analyses[other] != analyses[first]:
            raise MixlingualError(
                f"{first} and {other} declare different analyses: {analyses[first]} and {analyses[other]}. A sweep has "
                "one; make `analysis` the same in both files"
            )
    content = {"analysis": dataclasses.asdict(analyses[first]), "runs": list(planned.values())}
    document = {"schema": RESULT_SCHEMA, "sweep_name": name, **content}
    (folder / SWEEP).write_text(json.dumps(document, indent=1), encoding="utf-8")
