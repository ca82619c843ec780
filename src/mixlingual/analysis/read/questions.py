"""Scores of the runs of a sweep by question: what every interval and test resamples.

The questions of a parallel benchmark are the same in each language, so its rows are not independent: 13,090 rows of
XQuAD-R are 1,190 questions. Resampled is the question, or its paragraph, with all its rows at once.

Shape suffixes: R runs, C clusters (questions or paragraphs), G groups (query languages; ordered pairs in the
cross-lingual setting), B draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

COLUMNS = {"map": "ap", "mrr": "rr", "ndcg@10": "ndcg@10", "r@1": "r@1", "r@10": "r@10"} | {
    "rank_distance": "rank_distance"
}
"""Measure, as `grid.METRICS` names it -> its column in queries.parquet."""

CLUSTERS = ("query", "paragraph")

WEIGHT = "weight"
"""Column of a queries.parquet whose rows each stand for several scores: their number."""

_KEYS = ["query", "paragraph", "query_language", "candidate_language"]


@dataclass(frozen=True)
class QuestionScores:
    """One measure of one benchmark and setting, for every run; the macro mean over groups is what tables show."""

    benchmark: str
    setting: str
    measure: str
    runs: tuple[str, ...]
    """R names."""
    clusters: tuple[str, ...]
    """C ids, sorted."""
    paragraphs: tuple[str, ...]
    """C paragraphs that the clusters belong to; a question has one."""
    groups: tuple[str, ...]
    """G names, as `en`, or `en-de` where questions and candidates differ in language."""
    sum_RCG: NDArray[np.float32]
    """Sum of the scores of a cluster's rows in a group; 0 where it has none."""
    count_CG: NDArray[np.float32]
    """Number of those rows, the same for each run; their weight where files have a column of weights."""
    share_G: NDArray[np.float64]
    """Weight of each group in the mean; they add up to 1."""

    def only(self, groups: Sequence[int]) -> QuestionScores:
        """The scores of some groups, of equal shares."""
        kept = list(groups)
        return replace(
            self,
            groups=tuple(self.groups[group] for group in kept),
            sum_RCG=self.sum_RCG[:, :, kept],
            count_CG=self.count_CG[:, kept],
            share_G=np.full(len(kept), 1 / len(kept)),
        )

    def of_runs(self, runs: Sequence[str]) -> QuestionScores:
        """The scores of some runs."""
        return replace(self, runs=tuple(runs), sum_RCG=self.sum_RCG[[self.runs.index(run) for run in runs]])

    def by_paragraph(self) -> QuestionScores:
        """With paragraphs as the clusters: questions of a paragraph share its sentences, so they may rise together."""
        names, place_C = np.unique(np.array(self.paragraphs, dtype=object), return_inverse=True)
        order_C = np.argsort(place_C, kind="stable")
        starts = np.searchsorted(place_C[order_C], np.arange(len(names)))
        sum_RCG = np.add.reduceat(self.sum_RCG[:, order_C], starts, axis=1)
        count_CG = np.add.reduceat(self.count_CG[order_C], starts, axis=0)
        clusters = tuple(map(str, names))
        return replace(self, clusters=clusters, paragraphs=clusters, sum_RCG=sum_RCG, count_CG=count_CG)

    def clustered(self, by: str) -> QuestionScores:
        """With the clusters that `by`, one of `CLUSTERS`, names."""
        return self.by_paragraph() if by == "paragraph" else self

    def differences(self, pairs: Sequence[tuple[str, str]]) -> QuestionScores:
        """The scores of the first run of each pair less those of the second, as one run a pair."""
        first, second = (self.of_runs(side).sum_RCG for side in zip(*pairs, strict=True))
        return replace(self, runs=tuple(" - ".join(pair) for pair in pairs), sum_RCG=first - second)

    def macros(self) -> NDArray[np.float64]:
        """[R] the mean of each run: over the groups, by their shares, of their means over rows."""
        mean_R: NDArray[np.float64] = self.parts().sum(axis=1)
        return mean_R

    def cluster_shares(self) -> NDArray[np.float64]:
        """[C] how much each cluster weighs in the mean of a run; they add up to 1."""
        share_C: NDArray[np.float64] = self.count_CG @ (self.share_G / self.count_CG.sum(axis=0, dtype=np.float64))
        return share_C

    def parts(self) -> NDArray[np.float64]:
        """[R, C] what each cluster adds to the mean of each run; a row sums to it."""
        share_G = self.share_G / self.count_CG.sum(axis=0, dtype=np.float64)
        part_RC: NDArray[np.float64] = np.einsum("rcg,g->rc", self.sum_RCG, share_G)
        return part_RC

    def influences(self) -> NDArray[np.float64]:
        """[R, C] what each cluster adds to the mean of each run beyond the mean itself; a row sums to 0.

        A mean over rows is a ratio of two sums, so that a cluster moves it by its rows less their number times the
        mean.
        """
        rows_G = self.count_CG.sum(axis=0, dtype=np.float64)
        mean_RG = self.sum_RCG.sum(axis=1, dtype=np.float64) / rows_G
        expected_RC = (mean_RG * self.share_G / rows_G) @ self.count_CG.T
        influence_RC: NDArray[np.float64] = self.parts() - expected_RC
        return influence_RC


def utility(mono: QuestionScores, cross: QuestionScores, weight: float) -> QuestionScores:
    """W * mono + (1 - w) * cross of the runs and clusters that both have: what someone wants who wants both."""
    runs = [run for run in mono.runs if run in cross.runs]
    clusters = [cluster for cluster in mono.clusters if cluster in set(cross.clusters)]
    sides = []
    for scores in (mono, cross):
        place_C = [scores.clusters.index(cluster) for cluster in clusters]
        sides.append((scores.sum_RCG[[scores.runs.index(run) for run in runs]][:, place_C], scores.count_CG[place_C]))
    return QuestionScores(
        mono.benchmark,
        f"{weight:g} mono + {1 - weight:g} cross",
        mono.measure,
        tuple(runs),
        tuple(clusters),
        tuple(mono.paragraphs[mono.clusters.index(cluster)] for cluster in clusters),
        (*mono.groups, *cross.groups),
        np.concatenate([sums for sums, _ in sides], axis=2),
        np.concatenate([counts for _, counts in sides], axis=1),
        np.concatenate([weight * mono.share_G, (1 - weight) * cross.share_G]),
    )


def read_question_scores(
    files: Mapping[str, Path], measures: Sequence[str] = tuple(COLUMNS)
) -> tuple[list[QuestionScores], dict[str, str]]:
    """The scores of all benchmarks and settings that the files hold, and why runs are missing from them.

    Args:
        files: name of a run -> its queries.parquet.
        measures: keys of `COLUMNS`; files and settings without one, as `mono` without the rank distance, are passed
            over. A column `weight`, if there is one, says how many scores a row stands for.

    Returns:
        Scores by question of the runs that have the questions that most have; name of another run -> reason.
    """
    parts: dict[tuple[str, str, str], list[_Gathered]] = {}
    left_out = {}
    for run, path in files.items():
        if not path.exists():
            left_out[run] = "no scores by question are kept of it"
            continue
        try:
            held = set(pq.read_schema(path).names)
            wanted = [measure for measure in measures if COLUMNS[measure] in held]
            columns = ["benchmark", "setting", *_KEYS, *(COLUMNS[x] for x in wanted), *({WEIGHT} & held)]
            table = pd.read_parquet(path, columns=columns)
            _check_numbers(table, [COLUMNS[measure] for measure in wanted])
        except (OSError, ValueError, KeyError) as error:
            left_out[run] = f"{path.name} cannot be read: {str(error).splitlines()[0]}"
            continue
        if WEIGHT not in held:
            table[WEIGHT] = 1.0
        for (benchmark, setting), rows in table.groupby(["benchmark", "setting"], sort=False):
            for measure in wanted:
                defined = rows[rows[COLUMNS[measure]].notna()]
                if len(defined):
                    _add(parts.setdefault((str(benchmark), str(setting), measure), []), run, defined, measure)
    scores = []
    for name, variants in parts.items():
        largest = max(variants, key=len)
        scores.append(largest.scores(*name))
        for run in (run for variant in variants if variant is not largest for run in variant.runs):
            left_out[run] = f"its questions of {name[0]} ({name[1]}) are not those of most runs"
    return scores, left_out


def _check_numbers(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises ValueError where scores or weights are no finite numbers; a score may be missing."""
    for column in (*columns, *({WEIGHT} & set(table.columns))):
        if not is_numeric_dtype(table[column]) or is_bool_dtype(table[column]):
            raise ValueError(f"the column {column} holds {table[column].dtype}, and it takes numbers")
        if not np.isfinite(table[column].dropna().to_numpy(dtype=float)).all():
            raise ValueError(f"the column {column} holds numbers that are not finite")
    if WEIGHT in table and not (table[WEIGHT] > 0).all():
        raise ValueError(f"the column {WEIGHT} holds other things than numbers above 0")


def _add(variants: list[_Gathered], run: str, rows: pd.DataFrame, measure: str) -> None:
    """Puts a run's rows with those of the runs that have the same; alone where none has."""
    if not any(variant.add(run, rows, COLUMNS[measure]) for variant in variants):
        variants.append(_Gathered(rows))
        variants[-1].add(run, rows, COLUMNS[measure])


class _Gathered:
    """Collects one measure of the runs that have the rows of the first."""

    def __init__(self, first: pd.DataFrame) -> None:
        self._paragraph_C = first.groupby("query", dropna=False)["paragraph"].first()
        self._clusters = self._paragraph_C.index
        self._groups = pd.Index(_group(first).unique())
        self._count_CG = self._summed(self._cells(first), first[WEIGHT])
        self._sums: dict[str, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs collected."""
        return tuple(self._sums)

    def add(self, run: str, rows: pd.DataFrame, column: str) -> bool:
        """Takes a run's rows; False if they are not those of the first."""
        cells = self._cells(rows)
        if (cells < 0).any() or not np.allclose(self._summed(cells, rows[WEIGHT]), self._count_CG, rtol=1e-5, atol=0):
            return False
        self._sums[run] = self._summed(cells, rows[column] * rows[WEIGHT])
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

    def _cells(self, rows: pd.DataFrame) -> NDArray[np.int64]:
        """For each row the number of its cluster and group, below 0 where one is not known."""
        cluster, group = self._clusters.get_indexer(rows["query"]), self._groups.get_indexer(_group(rows))
        return np.where((cluster < 0) | (group < 0), -1, cluster * len(self._groups) + group)

    def _summed(self, cells: NDArray[np.int64], values: pd.Series[float]) -> NDArray[np.float32]:
        sums = np.bincount(cells, weights=values, minlength=len(self._clusters) * len(self._groups))
        return sums.reshape(len(self._clusters), len(self._groups)).astype(np.float32)


def _group(rows: pd.DataFrame) -> pd.Series:
    """The language, or the ordered pair in the cross-lingual setting, that a mean is taken over."""
    query = rows["query_language"].astype(str)
    return query + "-" + rows["candidate_language"].astype(str) if rows["setting"].iloc[0] == "cross" else query
