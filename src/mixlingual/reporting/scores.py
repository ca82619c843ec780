"""Makes what is published beside the tables: all results and all scores by question, as `parts` reads them again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.statistics.estimates import Scores, read_scores


def runs_table(sweep: Sweep) -> pd.DataFrame:
    """One row per finished run: its name, and its `RunResult` as JSON."""
    rows = [(run.name, json.dumps(vars(run.result), separators=(",", ":"))) for run in sweep.runs if run.result]
    return pd.DataFrame(rows, columns=["run", "result"])


def question_table(sweep: Sweep, scores: Scores | None = None) -> pd.DataFrame:
    """One row per run, benchmark, setting, measure and question; empty where no run kept its scores by question.

    `score` is a question's part in the macro mean of the run: the mean of `score` over the questions is the number that
    the tables show. A question that exists in all languages has its mean over them; one that some languages lack, as
    in MLQA-R, weighs as much as it weighs in their means. `weight` says how much, as a number of scores: the question's
    own mean is `score` / `weight`, times the mean of `weight`. As Parquet about 70 kB a run on MLQA-R and XQuAD-R.
    """
    parts = (scores or read_scores(sweep)).parts
    columns = ["benchmark", "setting", "measure", "run", "query", "paragraph", "weight", "score"]
    return pd.concat(map(_rows, parts), ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _rows(scores: QuestionScores) -> pd.DataFrame:
    runs, clusters = len(scores.runs), len(scores.clusters)
    return pd.DataFrame(
        {
            "benchmark": scores.benchmark,
            "setting": scores.setting,
            "measure": scores.measure,
            "run": np.repeat(np.array(scores.runs, dtype=object), clusters),
            "query": np.tile(np.array(scores.clusters, dtype=object), runs),
            "paragraph": np.tile(np.array(scores.paragraphs, dtype=object), runs),
            "weight": np.tile(scores.cluster_shares() * scores.count_CG.sum(dtype=np.float64), runs),
            "score": (scores.parts() * clusters).ravel().astype(np.float32),
        }
    )
