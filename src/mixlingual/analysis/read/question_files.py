"""Reads the scores by question that runs leave in queries.parquet; see `questions` for what becomes of them.

Runs of a sweep have the same rows in the same order, so that where each score belongs is found once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixlingual.analysis.read.questions import COLUMNS, PAIR, WEIGHT, QuestionScores
from mixlingual.layout import QUERIES
from mixlingual.runs.result import TEXTS, opened_scores

_KEYS = list(TEXTS)


@dataclass(frozen=True)
class Scores:
    """What runs have left by question."""

    parts: tuple[QuestionScores, ...]
    """By benchmark, setting and measure, of the runs that have the questions that most have."""
    left_out: dict[str, str]
    """Run -> why its scores are not in."""

    def of_runs(self, runs: Collection[str]) -> Scores:
        """The same without other runs."""
        kept = [part.of_runs([run for run in part.runs if run in runs]) for part in self.parts]
        reasons = {run: reason for run, reason in self.left_out.items() if run in runs}
        return Scores(tuple(part for part in kept if part.runs), reasons)


def read_question_scores(files: Mapping[str, Path | pd.DataFrame], measures: Sequence[str] = tuple(COLUMNS)) -> Scores:
    """The scores of all benchmarks and settings that the files hold.

    Args:
        files: name of a run -> its queries.parquet, or what that holds.
        measures: as those of `QuestionReader`.
    """
    reader = QuestionReader(measures, len(files))
    for run, source in files.items():
        name = source.name if isinstance(source, Path) else "the table"
        try:
            if isinstance(source, pd.DataFrame):
                reader.take(run, source, name)
            elif source.exists():
                with opened_scores(source) as file:
                    reader.take(run, file, name)
            else:
                reader.take(run, None)
        except (OSError, ValueError, pa.ArrowException) as error:
            reader.left_out[run] = f"{name} cannot be read: {str(error).splitlines()[0]}"
    return reader.scores()


class QuestionReader:
    """Takes files one by one, open ones, and gathers their scores."""

    def __init__(self, measures: Sequence[str], files: int) -> None:
        """Makes room.

        Args:
            measures: keys of `COLUMNS`, or columns; files and settings without one, as `mono` without the rank
                distance, are passed over. A column `weight`, if there is one, says how many scores a row stands for.
            files: as many are taken at most.
        """
        self.left_out: dict[str, str] = {}
        self._measures, self._files = measures, files
        self._parts: dict[tuple[str, str, str], list[_Gathered]] = {}
        self._layout: _Layout | None = None

    def take(self, run: str, file: pq.ParquetFile | pd.DataFrame | None, name: str = QUERIES) -> None:
        """Reads a run's scores; None where it has kept none."""
        if file is None:
            self.left_out[run] = "no scores by question are kept of it"
            return
        try:
            keys, scores_of = _read(file, self._measures)
            if not (self._layout and self._layout.keys.equals(keys)):
                self._layout = _Layout(keys)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            self.left_out[run] = f"{name} cannot be read: {str(error).splitlines()[0]}"
            return
        for benchmark, setting, measure, rows, values in self._layout.places(scores_of):
            variants = self._parts.setdefault((benchmark, setting, measure), [])
            if not any(variant.add(run, rows, values) for variant in variants):
                variants.append(_Gathered(rows, self._files))
                variants[-1].add(run, rows, values)

    def scores(self) -> Scores:
        """What was taken."""
        parts, left_out = [], dict(self.left_out)
        for name, variants in self._parts.items():
            largest = max(variants, key=lambda variant: len(variant.runs))
            parts.append(largest.scores(*name))
            for run in (run for variant in variants if variant is not largest for run in variant.runs):
                left_out[run] = f"its questions of {name[0]} ({name[1]}) are not those of most runs"
        return Scores(tuple(parts), left_out)


def _read(
    file: pq.ParquetFile | pd.DataFrame, measures: Sequence[str]
) -> tuple[pa.Table, dict[str, NDArray[np.float64]]]:
    """(columns that say what a row is, measure -> scores of all rows, NaN where there is none).

    Raises:
        ValueError: columns are missing, or scores or weights are no finite numbers.
    """
    held = list(file) if isinstance(file, pd.DataFrame) else file.schema_arrow.names
    if absent := [name for name in _KEYS if name not in held]:
        raise ValueError(f"it has no column {absent[0]}")
    columns = {measure: COLUMNS.get(measure, measure) for measure in measures}
    wanted = {measure: column for measure, column in columns.items() if column in held}
    weight = [WEIGHT] if WEIGHT in held else []
    names = [*_KEYS, *wanted.values(), *weight]
    if isinstance(file, pd.DataFrame):
        table = pa.Table.from_pandas(file[names].astype(dict.fromkeys(_KEYS, "category")), preserve_index=False)
    else:
        table = file.read(columns=names)
    numbers = {column: _numbers(table, column) for column in (*wanted.values(), *weight)}
    if weight and not (numbers[WEIGHT] > 0).all():
        raise ValueError(f"the column {WEIGHT} holds other things than numbers above 0")
    return table.select([*_KEYS, *weight]), {measure: numbers[column] for measure, column in wanted.items()}


def _numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    kind = table.schema.field(column).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise ValueError(f"the column {column} holds {kind}, and it takes numbers")
    values: NDArray[np.float64] = table.column(column).to_numpy().astype(np.float64)
    if np.isinf(values).any():
        raise ValueError(f"the column {column} holds numbers that are not finite")
    return values


class _Rows:
    """Some rows of files of one layout, which are of one benchmark and setting."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.query, self.paragraph, self.weight = table["query"], table["paragraph"], table[WEIGHT].to_numpy()
        own = table["query_language"].astype(str)
        other = table["candidate_language"].astype(str)
        self.group = own + PAIR + other if table["setting"].iloc[0] == "cross" else own
        """The language, or the ordered pair in the cross-lingual setting, that a mean is taken over."""
        self.cells: dict[int, NDArray[np.int64] | None] = {}
        """What `_Gathered` has found out about them."""


class _Layout:
    """What the rows of files are that have the same."""

    def __init__(self, keys: pa.Table) -> None:
        self.keys = keys
        table = keys.to_pandas()
        if table[_KEYS[:3]].isna().any(axis=None):
            raise ValueError("a row has no benchmark, setting or question")
        for key in _KEYS:
            table[key] = table[key].astype(object)
        self._table = table if WEIGHT in table else table.assign(**{WEIGHT: 1.0})
        self._places = self._table.groupby(["benchmark", "setting"], sort=False).indices
        self._rows: dict[tuple[object, bytes], _Rows] = {}

    def places(
        self, scores_of: Mapping[str, NDArray[np.float64]]
    ) -> Iterator[tuple[str, str, str, _Rows, NDArray[np.float64]]]:
        """(benchmark, setting, measure, its rows with a score, the scores)."""
        for ((benchmark, setting), at), (measure, values) in product(self._places.items(), scores_of.items()):
            known = ~np.isnan(values[at])
            if known.any():
                name = (benchmark, setting), known.tobytes()
                if name not in self._rows:
                    self._rows[name] = _Rows(self._table.iloc[at[known]])
                yield str(benchmark), str(setting), measure, self._rows[name], values[at[known]]


class _Gathered:
    """Collects one measure of the runs that have the rows of the first."""

    def __init__(self, first: _Rows, files: int) -> None:
        self.runs: list[str] = []
        self._paragraph_C = first.paragraph.groupby(first.query).first()
        self._clusters = self._paragraph_C.index
        self._groups = pd.Index(first.group.unique())
        self._count_CG = self._summed(self._placed(first), first.weight)
        self._sum_RCG = np.empty((files, *self._count_CG.shape), dtype=np.float32)

    def add(self, run: str, rows: _Rows, values: NDArray[np.float64]) -> bool:
        """Takes a run's scores; False if its rows are not those of the first."""
        if id(self) not in rows.cells:
            rows.cells[id(self)] = self._cells(rows)
        cells = rows.cells[id(self)]
        if cells is None:
            return False
        self._sum_RCG[len(self.runs)] = self._summed(cells, values * rows.weight)
        self.runs.append(run)
        return True

    def scores(self, benchmark: str, setting: str, measure: str) -> QuestionScores:
        """What was collected."""
        return QuestionScores(
            benchmark,
            setting,
            measure,
            tuple(self.runs),
            tuple(map(str, self._clusters)),
            tuple(map(str, self._paragraph_C)),
            tuple(map(str, self._groups)),
            self._sum_RCG[: len(self.runs)],
            self._count_CG,
            np.full(len(self._groups), 1 / len(self._groups)),
        )

    def _cells(self, rows: _Rows) -> NDArray[np.int64] | None:
        """For each row the number of its cluster and group; None if they are not those of the first."""
        cells = self._placed(rows)
        if (cells < 0).any() or not np.allclose(self._summed(cells, rows.weight), self._count_CG, rtol=1e-5, atol=0):
            return None
        return cells

    def _placed(self, rows: _Rows) -> NDArray[np.int64]:
        cluster, group = self._clusters.get_indexer(rows.query), self._groups.get_indexer(rows.group)
        return np.where((cluster < 0) | (group < 0), -1, cluster * len(self._groups) + group)

    def _summed(self, cells: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float32]:
        sums = np.bincount(cells, weights=values, minlength=len(self._clusters) * len(self._groups))
        return sums.reshape(len(self._clusters), len(self._groups)).astype(np.float32)
