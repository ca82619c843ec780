"""Makes what is published beside the tables: all results and all scores by question, as `parts` reads them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.question_files import Scores
from mixlingual.analysis.statistics.estimates import read_scores


def runs_table(sweep: Sweep) -> pd.DataFrame:
    """One row per finished run: its name, and its `RunResult` as JSON."""
    rows = [(run.name, orjson.dumps(run.result).decode()) for run in sweep.runs if run.result]
    return pd.DataFrame(rows, columns=["run", "result"])


def question_table(sweep: Sweep, scores: Scores | None = None) -> pd.DataFrame:
    """One row per run, benchmark, setting, measure and question; empty where no run kept its scores by question.

    `score` is a question's part in the macro mean of the run: the mean of `score` over the questions is the number that
    the tables show. A question that exists in all languages has its mean over them; one that some languages lack, as
    in MLQA-R, weighs as much as it weighs in their means. `weight` says how much, as a number of scores: the question's
    own mean is `score` / `weight`, times the mean of `weight`. Texts are categories. As Parquet about 70 kB a run on
    MLQA-R and XQuAD-R.
    """
    parts = (scores or read_scores(sweep)).parts
    texts: dict[str, list[Any]] = {name: [[[getattr(part, name)]] for part in parts] for name in _OF_PART}
    texts["run"] = [[[run] for run in part.runs] for part in parts]
    texts |= {name: [[getattr(part, f"{held}s")] for part in parts] for name, held in _OF_CLUSTER.items()}
    shapes = [(len(part.runs), len(part.clusters)) for part in parts]
    weights = [np.tile(p.cluster_shares() * p.count_CG.sum(dtype=np.float64), len(p.runs)) for p in parts]
    values = [(part.parts() * len(part.clusters)).ravel().astype(np.float32) for part in parts]
    columns = {name: _repeated(held, shapes) for name, held in texts.items()}
    numbers = {"weight": [np.zeros(0), *weights], "score": [np.zeros(0, np.float32), *values]}
    return pd.DataFrame(columns | {name: np.concatenate(each) for name, each in numbers.items()})


_OF_PART = ("benchmark", "setting", "measure")
_OF_CLUSTER = {"query": "cluster", "paragraph": "paragraph"}


def _repeated(held: Sequence[Any], shapes: Sequence[tuple[int, int]]) -> pd.Categorical:
    """Texts of each part, broadcast to its runs by clusters."""
    parts = [np.array(part, dtype=object) for part in held]
    names = pd.Index(dict.fromkeys(name for part in parts for name in part.flat), dtype=object)
    codes = [
        np.broadcast_to(names.get_indexer(part.ravel()).reshape(part.shape), shape).ravel()
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return pd.Categorical.from_codes(np.concatenate([np.zeros(0, dtype=int), *codes]), names)
