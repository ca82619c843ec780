"""Reports as parts of one sweep: runs of several machines, or of years, whose folders are not at one place.

A report keeps the whole result of every finished run (`RUNS`) and its scores by question (`QUESTIONS`). Both are
written back as the folders of runs that they came from, so that a sweep of parts is read and analysed like any other.

A score by question is kept once, for all languages: its part in the macro mean. Means, and draws of questions that
exist in all languages, are those of the runs themselves; where some languages lack some questions, as in MLQA-R, a draw
weighs each question as the whole benchmark does. What needs scores by question and language, the gain of each language,
and corrections after training are in the reports of the parts alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixlingual.analysis.collect import declared_analysis, is_folder_name, planned_runs
from mixlingual.analysis.grid import ALL_LANGUAGES
from mixlingual.analysis.questions import COLUMNS
from mixlingual.records import RESULT_SCHEMA, MixlingualError

PLAN, RUNS, QUESTIONS = "sweep.json", "runs.parquet", "questions.parquet"
"""Files of a report that are read again; the first is there only if the runs were planned, and not started one by one.
"""


def restore(parts: Sequence[Path], folder: Path) -> None:
    """Writes the runs that reports have kept into `folder`, as `read_sweep` reads them.

    Args:
        parts: folders of reports.
        folder: where the sweep is to lie.

    Raises:
        MixlingualError: a folder holds no such report, two hold the same run, or they declare different analyses.
    """
    origin: dict[str, Path] = {}
    for part in parts:
        runs, questions = _read(part)
        for name in runs["run"]:
            if not is_folder_name(name):
                raise MixlingualError(f"{part / RUNS}: {name!r} is no name of a run. Make the report again")
            if name in origin:
                raise MixlingualError(
                    f"{origin[name]} and {part} both hold the run {name}. Name each run in one part only: take its "
                    "folder out of one sweep and make that report again"
                )
            origin[name] = part
        _write_runs(runs, questions, folder)
    _write_plan(parts, folder)


def _read(part: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        runs = pd.read_parquet(part / RUNS, columns=["run", "result"])
        keys = ["benchmark", "setting", "measure", "run", "query", "paragraph", "score"]
        questions = pd.read_parquet(part / QUESTIONS, columns=keys)
    except (OSError, ValueError, KeyError) as error:
        raise MixlingualError(
            f"{part} is no report that can be read again ({str(error).splitlines()[0]}). It needs {RUNS} and "
            f"{QUESTIONS} as python -m mixlingual.report leaves them beside index.html; make the report again"
        ) from error
    return runs.astype(str), questions


def _write_runs(runs: pd.DataFrame, questions: pd.DataFrame, folder: Path) -> None:
    for name, result in runs.itertuples(index=False):
        (folder / name).mkdir(parents=True)
        (folder / name / "result.json").write_text(result, encoding="utf-8")
    known = questions[questions["run"].isin(runs["run"]) & questions["measure"].isin(COLUMNS)]
    for name, rows in known.groupby("run", sort=False):
        keys = ["benchmark", "setting", "query", "paragraph"]
        table = rows.pivot_table(index=keys, columns="measure", values="score", sort=False).rename(columns=COLUMNS)
        every = table.reset_index().assign(query_language=ALL_LANGUAGES, candidate_language=ALL_LANGUAGES)
        every.to_parquet(folder / str(name) / "queries.parquet", index=False)


def _write_plan(parts: Sequence[Path], folder: Path) -> None:
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
            raise MixlingualError(f"{plan} cannot be read: {error}. Make the report again") from error
        analyses[plan] = declared_analysis(plan)
    first, *others = analyses
    for other in others:
        if analyses[other] != analyses[first]:
            raise MixlingualError(
                f"{first} and {other} declare different analyses: {analyses[first]} and {analyses[other]}. A sweep has "
                "one; make `analysis` the same in both files"
            )
    content = {"analysis": dataclasses.asdict(analyses[first]), "runs": list(planned.values())}
    document = {"schema": RESULT_SCHEMA, "sweep_name": folder.name, **content}
    (folder / PLAN).write_text(json.dumps(document, indent=1), encoding="utf-8")
