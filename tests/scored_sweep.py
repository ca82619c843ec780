"""A finished sweep on disk with scores by question, made from a known response to size and ratio."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run_folder import write_plan
from sweep_fixture import SIZES, result, write_done

from mixlingual.evaluation.groups import aggregate
from mixlingual.measures.registry import question_columns

RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)
LANGUAGES = ("ar", "de", "en", "es")
QUESTIONS = 60


def response(model: str, ratio: float, setting: str) -> float:
    """Monolingual scores rise with the ratio, cross-lingual ones fall; only the large size gains from mixing."""
    level = {"small": 0.4, "base": 0.5, "large": 0.6}[model]
    mixing = 0.1 if model == "large" else 0.0
    tilt = {"mono": 0.05, "cross": -0.05, "multi": 0.0}[setting]
    return level + tilt * (ratio - 0.5) + mixing * (1 - (2 * ratio - 1) ** 2)


def queries(model: str, ratio: float, seed: int, answer: Callable[[str, float, str], float] = response) -> pd.DataFrame:
    """queries.parquet of a run: questions of one difficulty in all languages, and small noise of runs and rows."""
    difficulty = np.random.default_rng(99).normal(0, 0.1, QUESTIONS)
    rng = np.random.default_rng((seed, int(100 * ratio), list(SIZES).index(model)))
    run = rng.normal(0, 0.004)
    parts = []
    pairs = [("mono", x, x) for x in LANGUAGES] + [("cross", x, y) for x, y in product(LANGUAGES, repeat=2) if x != y]
    for setting, query, candidate in (*pairs, *(("multi", x, "all") for x in LANGUAGES)):
        score = answer(model, ratio, setting) + difficulty + run + rng.normal(0, 0.02, QUESTIONS)
        distance = 100 * (1 + ratio) + 50 * difficulty + rng.normal(0, 2, QUESTIONS)
        rows = {
            "benchmark": "mlqa_r",
            "setting": setting,
            "query": [f"q{number}" for number in range(QUESTIONS)],
            "paragraph": [f"p{number // 4}" for number in range(QUESTIONS)],
            "query_language": query,
            "candidate_language": candidate,
            "ap": np.clip(score, 0.01, 0.99),
            "rank_distance": distance if setting == "multi" else np.nan,
        }
        parts.append(pd.DataFrame(rows))
    return pd.concat(parts, ignore_index=True)


def write_scores(folder: Path, content: dict[str, Any], table: pd.DataFrame) -> Path:
    """A finished run with these scores by question, and with their means in its result."""
    content["benchmarks"]["mlqa_r"] |= aggregate(
        table.reindex(columns=list(dict.fromkeys((*table, *question_columns()))))
    )
    run = write_done(folder, content)
    table.to_parquet(run / "queries.parquet")
    return run


def write_scored_sweep(
    root: Path,
    seeds: int = 3,
    answer: Callable[[str, float, str], float] = response,
    ratios: tuple[float, ...] = RATIOS,
) -> Path:
    """All runs done: three sizes, `ratios`, `seeds`."""
    folder = root / "scored"
    plan = []
    for model, ratio, seed in product(SIZES, ratios, range(seeds)):
        content = result(model, ratio, seed, languages={"mlqa_r": list(LANGUAGES)})
        run = write_scores(folder, content, queries(model, ratio, seed, answer))
        plan.append((run.name, model, ratio, seed))
    write_plan(folder, plan)
    return folder


def write_variant(
    folder: Path,
    model: str,
    ratio: float,
    seed: int,
    shift: float,
    *,
    batching: str = "hybrid",
    steps: int = 100,
    **options: object,
) -> str:
    """A run of the sweep in `folder` with other batching options, whose scores lie `shift` above those of its cell.

    It shares most of its noise with the run of its size, ratio and seed; 0 steps make it a baseline.
    """
    content = result(model, ratio, seed, batching=batching, languages={"mlqa_r": list(LANGUAGES)})
    content["config"]["batching"] |= options
    content["training"]["steps"] = steps
    content["run_name"] = f"{model}_{batching}_{steps}_r{ratio:g}_s{seed}_{'_'.join(map(str, options.values()))}"
    table = queries(model, ratio, seed)
    own = np.random.default_rng((1, seed, list(SIZES).index(model)))
    table["ap"] = np.clip(table.ap + shift + own.normal(0, 0.001) + own.normal(0, 0.005, len(table)), 0, 1)
    return write_scores(folder, content, table).name
