"""Compares systems that have several runs each, paired by question, as the report of a sweep compares its cells.

    mixlingual.compare_runs({"mean": [a0, a1, a2], "cls": [b0, b1, b2]}, measures=["map"]).table()
    mixlingual.compare_runs({"bm25": "bm25.trec", "dense": ["s0.trec", "s1.trec"]}, qrels="qrels.txt")

Questions vary, and all systems share them; runs of a system vary, and each has its own. The standard error of a
difference holds both (see `analysis.statistics`). All differences of one call are one family: their intervals hold
together, and p is that of Holm's procedure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mixlingual.analysis.read.question_files import read_question_scores
from mixlingual.analysis.read.questions import CLUSTERS, COLUMNS, QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import Estimate, Verdict, adjusted, estimate
from mixlingual.data.sources.judged import read_qrels
from mixlingual.evaluation.trec import read_run
from mixlingual.layout import QUERIES
from mixlingual.measures.judged import LIST_MEASURES
from mixlingual.measures.registry import METRICS, larger_is_better
from mixlingual.records import MixlingualError

Run = Any
"""An `Evaluation`, a table of scores by question, a file or folder of one; with qrels a TREC run."""

_LIST_MEASURE = re.compile(r"(map|mrr|ndcg|r)(?:@([1-9][0-9]*))?")
_WHOLE_LIST = 1 << 31
_SEEDS = 10**6
"""More than a system has runs."""


class Difference(NamedTuple):
    """One system less another, in one measure of one benchmark and setting."""

    benchmark: str
    setting: str
    measure: str
    first: str
    second: str
    mean_first: float
    mean_second: float
    estimate: Estimate
    verdict: Verdict
    """What is known of the first: better, worse, as good (where `smallest` was given) or undecided."""
    clusters: int
    """Questions, or paragraphs, that vary as one."""
    runs_first: int
    runs_second: int


@dataclass(frozen=True)
class Comparison:
    """Every difference that was asked for."""

    differences: tuple[Difference, ...]
    level: float

    def to_pandas(self) -> pd.DataFrame:
        """Returns a row for each difference; `low` and `high` hold together with all others, p is Holm's."""
        return pd.DataFrame(
            {
                **{name: value for name, value in each._asdict().items() if name not in ("estimate", "verdict")},
                "difference": each.estimate.value,
                "low": each.estimate.low_all,
                "high": each.estimate.high_all,
                "error": each.estimate.error,
                "p": each.estimate.p,
                "p_questions": each.estimate.p_questions,
                "over_runs": each.estimate.over_runs,
                "verdict": each.verdict,
            }
            for each in self.differences
        )

    def table(self) -> str:
        """Returns the differences as text, and what they are uncertain over."""
        unshown = ["clusters", "runs_first", "runs_second", "error", "p_questions", "over_runs"]
        shown = self.to_pandas().drop(columns=unshown)
        over = "questions and runs" if any(each.estimate.over_runs for each in self.differences) else "questions alone"
        lines = [
            shown.to_string(index=False, float_format="{:.4f}".format),
            f"{len(shown)} differences, {self.level:.0%} intervals that hold together, over {over}.",
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def compare_runs(
    runs: Mapping[str, Run | Sequence[Run]] | Sequence[Run],
    *,
    qrels: str | Path | Mapping[str, Mapping[str, int]] | None = None,
    measures: Sequence[str] | None = None,
    benchmark: str | None = None,
    setting: str | None = None,
    baseline: str | None = None,
    smallest: float | None = None,
    level: float = 0.95,
    cluster: str = "paragraph",
    clusters: Mapping[str, str] | None = None,
    same_seeds: bool = False,
) -> Comparison:
    """Compares every two systems, or each with a baseline.

    Args:
        runs: system -> its runs, one for each seed, or one run. A run is an `Evaluation`, its `per_query`, a folder
            with queries.parquet (as multirun/SWEEP/RUN), such a file, or the JSON file of `mixlingual.evaluate`; with
            qrels a TREC run, as file or as query -> passage -> score. A list stands for systems of one run, called by
            their folders, or system_1 and so on.
        qrels: TREC qrels, as file or as query -> passage -> relevance; every judged query counts.
        measures: of the report, as map and rank_distance; None: map. With qrels map, mrr, ndcg@k, r@k, also map@k and
            mrr@k; None: ndcg@10.
        benchmark: to compare on; None: all.
        setting: mono, cross or multi; None: all.
        baseline: system that the others are compared with; None: every two.
        smallest: the smallest difference that matters; then differences that are surely smaller are as good.
        level: of intervals and tests.
        cluster: what varies as one, paragraph or query.
        clusters: with qrels, query -> what it varies with; None: each query on its own.
        same_seeds: whether the runs of all systems stand in the order of common seeds, which share starting weights and
            batches. False takes them as independent.

    Raises:
        MixlingualError: there are fewer than two systems, a run cannot be read or lacks a measure, or runs were not
            asked the same questions; the message names the run.
    """
    systems = _systems(runs)
    if baseline is not None and baseline not in systems:
        raise MixlingualError(f"got baseline={baseline!r}; the systems are {', '.join(systems)}")
    if cluster not in CLUSTERS:
        raise MixlingualError(f"got cluster={cluster!r}; allowed: {', '.join(CLUSTERS)}")
    wanted = [measures] if isinstance(measures, str) else list(measures or (["map"] if qrels is None else ["ndcg@10"]))
    read = _scores if qrels is None else _reader(qrels, wanted, clusters or {})
    trials, tables = {}, {}
    for s, (system, own) in enumerate(systems.items()):
        for n, run in enumerate(own):
            name = f"{system}, run {n + 1}"
            trials[name] = Trial(system, 0.0, n if same_seeds else _SEEDS * s + n)
            tables[name] = read(run, name)
    found_scores = read_question_scores(tables, wanted)
    parts = found_scores.parts
    for name, reason in found_scores.left_out.items():
        raise MixlingualError(f"{name}: {reason}; systems are compared on the same questions")
    chosen = [part for part in parts if benchmark in (None, part.benchmark) and setting in (None, part.setting)]
    if not chosen or {part.measure for part in chosen} != set(wanted):
        held = (
            ", ".join(f"{part.benchmark} {part.setting} {part.measure}" for part in parts) or "none of these measures"
        )
        raise MixlingualError(
            f"wanted {', '.join(wanted)} of benchmark {benchmark or 'any'} and setting {setting or 'any'}; the runs "
            f"hold {held}"
        )
    pairs = (
        [(system, baseline) for system in systems if system != baseline] if baseline else [*combinations(systems, 2)]
    )
    found = [each for part in chosen for each in _differences(part.clustered(cluster), trials, pairs, level)]
    family = adjusted([each.estimate for each in found])
    judged = (
        each._replace(estimate=one, verdict=one.verdict(smallest, larger_is_better=_larger_is_better(each.measure)))
        for each, one in zip(found, family, strict=True)
    )
    return Comparison(tuple(judged), level)


def _systems(runs: Mapping[str, Run | Sequence[Run]] | Sequence[Run]) -> dict[str, list[Run]]:
    """Returns the runs of each system."""
    if not isinstance(runs, Mapping):
        names = [
            Path(run).name if isinstance(run, str | Path) else f"system_{n}" for n, run in enumerate(runs, start=1)
        ]
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise MixlingualError(
                f"{repeated[0]} comes twice in the list; give the systems names, as {{'a': run, 'b': run}}"
            )
        runs = dict(zip(names, runs, strict=True))
    systems = {name: list(own) if isinstance(own, list | tuple) else [own] for name, own in runs.items()}
    if len(systems) < 2 or not all(systems.values()):
        empty = ", ".join(name for name, own in systems.items() if not own)
        raise MixlingualError(
            f"got {len(systems)} systems{f', without runs: {empty}' if empty else ''}; give two or more"
        )
    return systems


def _scores(run: Run, name: str) -> Path | pd.DataFrame:
    """Returns where the scores by question of a run are, or themselves."""
    table = getattr(run, "per_query", run)
    if isinstance(table, pd.DataFrame):
        return table
    if not isinstance(run, str | Path):
        raise MixlingualError(
            f"{name}: got {type(run).__name__}; a run is an Evaluation, its per_query, or a folder or file with "
            "queries.parquet. TREC runs need qrels"
        )
    path = Path(run)
    path = path / QUERIES if path.is_dir() else path.with_suffix(".parquet")
    if not path.is_file():
        raise MixlingualError(f"{name}: {path} is missing, which holds the scores by question; TREC runs need qrels")
    return path


def _reader(
    qrels: str | Path | Mapping[str, Mapping[str, int]], measures: Sequence[str], clusters: Mapping[str, str]
) -> Callable[[Run, str], pd.DataFrame]:
    """Returns what scores a TREC run by question."""
    judged = qrels if isinstance(qrels, Mapping) else read_qrels(Path(qrels))
    score = {COLUMNS.get(name, name): _list_measure(name) for name in measures}
    if not judged:
        raise MixlingualError(f"{qrels} judges nothing; see whether it is the file of judgements")

    def read(run: Run, name: str) -> pd.DataFrame:
        lists = run if isinstance(run, Mapping) else {query: dict(hits) for query, hits in read_run(Path(run)).items()}
        if not lists.keys() & judged.keys():
            raise MixlingualError(
                f"{name} has none of the {len(judged)} judged queries, as {next(iter(judged))}, but {len(lists)} "
                "others; see whether run and qrels belong together"
            )
        ranked = {query: _ranked(lists.get(query, {})) for query in judged}
        return pd.DataFrame(
            {
                **dict.fromkeys(("benchmark", "setting", "query_language", "candidate_language"), "all"),
                "query": list(judged),
                "paragraph": [clusters.get(query, query) for query in judged],
                **{column: [of(ranked[query], judged[query]) for query in judged] for column, of in score.items()},
            }
        )

    return read


def _ranked(scores: Mapping[str, float]) -> list[str]:
    """Returns passages in trec_eval's order: by score in fp32, then id, both descending."""
    return sorted(scores, key=lambda passage: (float(np.float32(scores[passage])), passage), reverse=True)


def _list_measure(name: str) -> Callable[[Sequence[str], Mapping[str, int]], float]:
    found = _LIST_MEASURE.fullmatch(name)
    if found is None or (found[2] is None and found[1] in ("ndcg", "r")):
        raise MixlingualError(f"got the measure {name!r}; with qrels they are map, mrr, ndcg@k, r@k, map@k and mrr@k")
    return partial(LIST_MEASURES[found[1]], depth=int(found[2] or _WHOLE_LIST))


def _differences(
    scores: QuestionScores, trials: Mapping[str, Trial], pairs: Sequence[tuple[str, str]], level: float
) -> Iterator[Difference]:
    """Yields the difference of each pair of systems."""
    own = [trials[run] for run in scores.runs]
    means = CellMeans.of(scores, own)
    place = {cell.model: k for k, cell in enumerate(means.cells)}
    count = Counter(trial.model for trial in own)
    for first, second in pairs:
        weight_K = np.zeros(len(place))
        weight_K[place[first]], weight_K[place[second]] = 1.0, -1.0
        value = estimate(means, weight_K, level)
        yield Difference(
            scores.benchmark,
            scores.setting,
            scores.measure,
            first,
            second,
            float(means.mean_K[place[first]]),
            float(means.mean_K[place[second]]),
            value,
            "undecided",
            means.clusters,
            count[first],
            count[second],
        )


def _larger_is_better(measure: str) -> bool:
    return larger_is_better(measure) if measure in METRICS else True
