"""Measures how long the report of a large, made-up sweep takes to write, and how large its files are.

140 runs: 5 sizes x 7 ratios x 4 seeds, each scored on three benchmarks of 7, 11 and 20 languages with every measure
there is, and 600 points of a training curve. The runs have no scores by question, so that no time goes into statistics.

python -m benchmarks.report_page [--out report_page.json] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.rows import Row, number, write_rows
from mixlingual.analysis.read.collect import read_sweep
from mixlingual.measures.registry import METRICS
from mixlingual.records import RunResult
from mixlingual.reporting.write import write_report

SIZES = {
    "me5_small_l3": 5_000_000,
    "me5_small": 21_000_000,
    "base": 85_000_000,
    "large": 302_000_000,
    "xl": 3_500_000_000,
}
RATIOS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEEDS = range(4)
_CODES = {
    "mlqa_r": "ar de en es hi vi zh",
    "xquad_r": "ar de el en es hi ru th tr vi zh",
    "belebele": "ar bg bn de el en es fi fr he hi id ja ko ru sw th tr vi zh",
}
LANGUAGES = {benchmark: codes.split() for benchmark, codes in _CODES.items()}
STEPS = range(10, 6001, 10)
_CURVE = ("loss", "loss_mono", "loss_cross", "gradient_norm", "learning_rate", "pairs_per_second")
_BUDGET_MB = 5.0
"""A page that opens and travels well has at most so many MB."""


def write_sweep(folder: Path, sizes: dict[str, int], ratios: Sequence[float], seeds: Sequence[int]) -> None:
    """Writes finished runs as in multirun/<sweep_name>, with the same numbers at every call."""
    rng = np.random.default_rng(0)
    plan = []
    for (model, weights), ratio, seed in itertools.product(sizes.items(), ratios, seeds):
        name = f"{model}_r{ratio:g}_s{seed}"
        point = {"batching": {"name": "hybrid", "monolingual_ratio": ratio}, "model": {"name": model}, "seed": seed}
        scores = {benchmark: _benchmark(rng, codes) for benchmark, codes in LANGUAGES.items()}
        result = RunResult(
            folder.name, name, point, "0" * 12, "c0ffee", {"python": "3.11"}, dict.fromkeys(LANGUAGES, "feed"),
            {"total": weights, "non_embedding": weights}, {}, {"steps": len(STEPS)}, scores, {"train": 600.0},
        )  # fmt: skip
        (folder / name).mkdir(parents=True)
        (folder / name / "result.json").write_text(json.dumps(asdict(result)), encoding="utf-8")
        curve = pd.DataFrame(rng.uniform(0, 5, (len(STEPS), len(_CURVE))), columns=_CURVE, index=STEPS)
        curve.to_csv(folder / name / "curves.csv", index_label="step")
        plan.append({"run_name": name, "model": model, "batching": "hybrid", "monolingual_ratio": ratio, "seed": seed})
    sweep = {"schema": result.schema, "sweep_name": folder.name, "runs": plan}
    (folder / "sweep.json").write_text(json.dumps(sweep), encoding="utf-8")


def _benchmark(rng: np.random.Generator, codes: list[str]) -> dict[str, Any]:
    quality = [name for name, metric in METRICS.items() if not metric.meaning]
    of_lists = [name for name, metric in METRICS.items() if metric.meaning and "." not in name]

    def scores(names: Sequence[str]) -> dict[str, float]:
        return dict(zip(names, rng.uniform(0.05, 0.95, len(names)).tolist(), strict=True))

    pooled = [*quality, *of_lists]
    bias: dict[str, dict[str, Any]] = {}
    for name, value in scores([name for name in METRICS if "." in name]).items():
        group, _, key = name.partition(".")
        bias.setdefault(group, {})[key] = value
    bias["lift@10"]["log2"] = {code: scores(codes) for code in codes}
    pairs = [f"{query}-{candidate}" for query, candidate in itertools.permutations(codes, 2)]
    return {
        "languages": codes,
        "complete": True,
        "mono": scores(quality) | {"languages": {code: scores(quality) for code in codes}},
        "cross": scores(quality) | {"pairs": {pair: scores(quality) for pair in pairs}},
        "multi": scores(pooled) | {"languages": {code: scores(pooled) for code in codes}},
        "bias": bias,
    }


def measure(folder: Path) -> list[Row]:
    """Writes the report of the sweep in the folder."""
    start = time.process_time()
    paths = write_report(read_sweep(folder), folder / "report")
    seconds = time.process_time() - start
    megabytes = {path.name: path.stat().st_size / 1e6 for path in (paths.page, *paths.tables)}
    runs = len(list(folder.glob("*/result.json")))
    kept = ("index.html", "results.csv", "languages.parquet")
    return [
        Row(f"report of {runs} runs, time of one core", "s", seconds, None),
        *(Row(f"report of {runs} runs, {name}", "MB", megabytes[name], None) for name in kept),
    ]


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Says in one line for each goal whether it is met."""
    (page,) = (row.ours for row in rows if row.name.endswith("index.html"))
    yield f"goal {_BUDGET_MB:g} MB: {'met' if page < _BUDGET_MB else 'NOT MET'}, the page has {page:.2f} MB"


def main() -> None:
    """Makes the sweep up, writes its report, prints the figures, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_page", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    parser.add_argument("--keep", type=Path, help="empty folder for the sweep and its report; else both are deleted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (options.keep or Path(name)) / "made_up"
        write_sweep(folder, SIZES, RATIOS, SEEDS)
        rows = measure(folder)
    for row in rows:
        print(f"{row.name:60} {number(row.ours):>10} {row.unit}")
    print(*verdicts(rows), sep="\n")
    if options.out:
        write_rows(options.out, rows)


if __name__ == "__main__":
    main()
