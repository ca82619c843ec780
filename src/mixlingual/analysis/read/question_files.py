"""Reads the scores by question that runs leave in queries.parquet; see `questions` for what becomes of them.

Runs of a sweep have the same rows in the same order, so that where each score belongs is found once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixlingual.analysis.read.questions import COLUMNS, WEIGHT, QuestionScores

_KEYS = ["benchmark", "setting", "query", "paragraph", "query_language", "candidate_language"]


def read_question_scores(
    files: Mapping[str, Path | pd.DataFrame], measures: Sequence[str] = tuple(COLUMNS)
) -> tuple[list[QuestionScores], dict[str, str]]:
    """The scores of all benchmarks and settings that the files hold, and why runs are missing from them.

    Args:
        files: name of a run -> its queries.parquet, or what that holds.
        measures: keys of `COLUMNS`, or columns; files and settings without one, as `mono` without the rank distance,
            are passed over. A column `weight`, if there is one, says how many scores a row stands for.

    Returns:
        Scores by question of the runs that have the questions that most have; name of another run -> reason.
    """
    parts: dict[tuple[str, str, str], list[_Gathered]] = {}
    left_out = {}
    layout: _Layout | None = None
    for run, path in files.items():
        if isinstance(path, Path) and not path.exists():
            left_out[run] = "no scores by question are kept of it"
            continue
        try:
            keys, scores_of = _read(path, measures)
            layout = layout if layout and layout.keys.equals(keys) else _Layout(keys)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            what = path.name if isinstance(path, Path) else "the table"
            left_out[run] = f"{what} cannot be read: {str(error).splitlines()[0]}"
            continue
        for benchmark, setting, measure, rows, values in layout.places(scores_of):
            _add(parts.setdefault((benchmark, setting, measure), []), run, rows, values)
    scores = []
    for name, variants in parts.items():
        largest = max(variants, key=len)
        scores.append(largest.scores(*name))
        for run in (run for variant in variants if variant is not largest for run in variant.runs):
            left_out[run] = f"its questions of {name[0]} ({name[1]}) are not those of most runs"
    return scores, left_out


def _read(file: Path | pd.DataFrame, measures: Sequence[str]) -> tuple[pa.Table, dict[str, NDArray[np.float64]]]:
    """(columns that say what a row is, measure -> scores of all rows, NaN where there is none).

    Raises:
        ValueError: scores or weights are no finite numbers.
    """
    held = pq.read_schema(file).names if isinstance(file, Path) else list(file)
    columns = {measure: COLUMNS.get(measure, measure) for measure in measures}
    wanted = {measure: column for measure, column in columns.items() if column in held}
    weight = [WEIGHT] if WEIGHT in held else []
    names = [*_KEYS, *wanted.values(), *weight]
    if isinstance(file, Path):
        table = pq.read_table(file, columns=names, read_dictionary=_KEYS)
    else:
        table = pa.Table.from_pandas(file[names].astype(dict.fromkeys(_KEYS, "category")), preserve_index=False)
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
        self.group = own + "-" + other if table["setting"].iloc[0] == "cross" else own
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


def _add(variants: list[_Gathered], run: str, rows: _Rows, values: NDArray[np.float64]) -> None:
    """Puts a run's scores with those of the runs that have the same rows; alone where none has."""
    if not any(variant.add(run, rows, values) for variant in variants):
        variants.append(_Gathered(rows))
        variants[-1].add(run, rows, values)


class _Gathered:
    """Collects one measure of the runs that have the rows of the first."""

    def __init__(self, first: _Rows) -> None:
        self._paragraph_C = first.paragraph.groupby(first.query).first()
        self._clusters = self._paragraph_C.index
        self._groups = pd.Index(first.group.unique())
        self._count_CG = self._summed(self._placed(first), first.weight)
        self._sums: dict[str, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs collected."""
        return tuple(self._sums)

    def add(self, run: str, rows: _Rows, values: NDArray[np.float64]) -> bool:
        """Takes a run's scores; False if its rows are not those of the first."""
        if id(self) not in rows.cells:
            rows.cells[id(self)] = self._cells(rows)
        cells = rows.cells[id(self)]
        if cells is None:
            return False
        self._sums[run] = self._summed(cells, values * rows.weight)
        return True

    def scores(self, benchmark: str, setting: str, measure: str) -> QuestionScores:
        """What was collected."""
        return QuestionScores(
            benchmark,
            setting,
            measure,
            tuple(self._sums),
            tuple(map(str, self._clusters)),
            tuple(map(str, self._paragraph_C)),
            tuple(map(str, self._groups)),
            np.stack(list(self._sums.values())),
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
