"""Arranges the scores of a sweep's runs by question, which every interval and test resamples.

The questions of a parallel benchmark are the same in each language, so its rows are not independent: 13,090 rows of
XQuAD-R are 1,190 questions. What varies as one is the question, or its paragraph, with all its rows.

Shape suffixes: R runs, C clusters (questions or paragraphs), G groups (query languages; ordered pairs in the
cross-lingual setting).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.registry import METRICS

COLUMNS = {name: measure.column for name, measure in METRICS.items() if measure.column and measure.average == "mean"}
"""Measure -> its column in queries.parquet."""

PAIR = ">"
"""Between the languages of questions and candidates in the name of a group; codes of languages may hold hyphens."""

CLUSTERS = ("query", "paragraph")

WEIGHT = "weight"
"""Column of a queries.parquet whose rows each stand for several scores: their number."""


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
    """G names, as `en`, or `en>de` where questions and candidates differ in language."""
    sum_RCG: NDArray[np.float32]
    """Sum of the scores of a cluster's rows in a group; 0 where it has none."""
    count_CG: NDArray[np.float32]
    """Number of those rows, the same for each run; their weight where files have a column of weights."""
    share_G: NDArray[np.float64]
    """Weight of each group in the mean; they add up to 1."""

    @property
    def query_languages(self) -> tuple[str, ...]:
        """G languages of the questions."""
        pairs = self.setting == "cross"
        return tuple(group.partition(PAIR)[0] if pairs else group for group in self.groups)

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
        if tuple(runs) == self.runs:
            return self
        return replace(self, runs=tuple(runs), sum_RCG=self.sum_RCG[[self.runs.index(run) for run in runs]])

    @cached_property
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
        return self.by_paragraph if by == "paragraph" else self

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
