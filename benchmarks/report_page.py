"""Measures how long the report of a large, made-up sweep takes, and how large its files are.

140 runs: 5 sizes x 7 ratios x 4 seeds, each scored on three benchmarks of 7, 11 and 20 languages with every measure
there is, and 600 points of a training curve. Two benchmarks have as many scores by question as MLQA-R and XQuAD-R. The
report is made in a process of its own, as at the command line: its time holds imports and reading, too.

python -m benchmarks.report_page [--out report_page.json] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rows import Row, number, write_rows
from mixlingual.config.schema import ReportConfig
from mixlingual.measures.registry import METRICS, question_columns, scores_of_ranks
from mixlingual.measures.retrieval import Ranked
from mixlingual.records import RunResult

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
QUESTIONS = {"mlqa_r": 600, "xquad_r": 1190}
"""Benchmark -> questions, each in all languages, whose scores are kept one by one."""
STEPS = range(10, 6001, 10)
_CURVE = ("loss", "loss_mono", "loss_cross", "gradient_norm", "learning_rate", "pairs_per_second")
_KEPT = ("index.html", "results.csv", "languages.parquet", "questions.parquet")
_BUDGET_S = 10.0
"""A report of 140 runs takes at most so many seconds on two quiet cores."""
_BUDGET_MB = 5.0
"""A page that opens and travels well has at most so many MB."""


def write_sweep(folder: Path, sizes: dict[str, int], ratios: Sequence[float], seeds: Sequence[int]) -> None:
    """Writes finished runs as in multirun/<sweep_name>, with the same numbers at every call."""
    rng = np.random.default_rng(0)
    plan = []
    keys = pa.concat_tables([_keys(benchmark, count) for benchmark, count in QUESTIONS.items()])
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
        pq.write_table(_scored(rng, keys), folder / name / "queries.parquet", compression="zstd")
        curve = pd.DataFrame(rng.uniform(0, 5, (len(STEPS), len(_CURVE))), columns=_CURVE, index=STEPS)
        curve.to_csv(folder / name / "curves.csv", index_label="step")
        plan.append({"run_name": name, "model": model, "batching": "hybrid", "monolingual_ratio": ratio, "seed": seed})
    sweep = {"schema": result.schema, "sweep_name": folder.name, "runs": plan}
    (folder / "sweep.json").write_text(json.dumps(sweep), encoding="utf-8")


def _keys(benchmark: str, count: int) -> pa.Table:
    """What each row of queries.parquet is about."""
    codes = LANGUAGES[benchmark]
    pairs = (
        [(code, code) for code in codes] + list(itertools.permutations(codes, 2)) + [(code, "all") for code in codes]
    )
    settings = ["mono"] * len(codes) + ["cross"] * (len(pairs) - 2 * len(codes)) + ["multi"] * len(codes)
    query = np.array([f"{benchmark}-{number}" for number in range(count)], dtype=object)
    paragraph = np.array([f"{benchmark}-{number // 5}" for number in range(count)], dtype=object)
    return pa.table(
        {
            "benchmark": [benchmark] * count * len(pairs),
            "setting": np.repeat(np.array(settings, dtype=object), count),
            "query": np.tile(query, len(pairs)),
            "paragraph": np.tile(paragraph, len(pairs)),
            "query_language": np.repeat(np.array([own for own, _ in pairs], dtype=object), count),
            "candidate_language": np.repeat(np.array([other for _, other in pairs], dtype=object), count),
        }
    )


def _scored(rng: np.random.Generator, keys: pa.Table) -> pa.Table:
    """The same with scores of ranks, and with those of the pool alone where rows are of it."""
    rank_Q1 = np.ceil(np.exp(rng.normal(0.5, 1.0, (len(keys), 1)))).astype(np.int64)
    scores = scores_of_ranks(Ranked(rank_Q1, rank_Q1), ())
    pooled = np.where(np.array(keys["setting"]) == "multi", 1.0, np.nan)
    scores |= {name: pooled * np.rint(rng.gamma(2.0, 50.0, len(keys))) for name in question_columns()}
    table = {name: np.asarray(score, dtype=np.float32) for name, score in scores.items()}
    return pa.table({name: keys[name] for name in keys.column_names} | table)


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


PHASES = {
    "reading": ("analysis.read.collect", "read_sweep"),
    "results by language": ("reporting.write", "languages_table"),
    "statistics": ("reporting.write", "analyse"),
    "charts": ("reporting.write", "payload"),
    "grids": ("reporting.write", "all_tables"),
    "scores by question": ("reporting.write", "question_table"),
    "files": ("reporting.write", "write_tables"),
    "page": ("reporting.write", "render_page"),
}
"""Name -> module and function, of what the report's own process does one after the other."""


def timed(folder: Path) -> dict[str, float]:
    """Makes the report and gives the seconds of its phases; pictures take the time of another process."""
    start = time.perf_counter()
    seconds = dict.fromkeys(("imports", *PHASES), 0.0)
    for phase, (room, name) in PHASES.items():
        module = import_module(f"mixlingual.{room}")
        setattr(module, name, _counted(getattr(module, name), phase, seconds))
    report = import_module("mixlingual.report").report
    seconds["imports"] = time.perf_counter() - start
    with redirect_stdout(StringIO()):
        report(ReportConfig(sweep_name=folder.name, root=str(folder.parent)))
    return seconds | {"all": time.perf_counter() - start}


def _counted(function: Callable[..., Any], phase: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def counted(*given: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            seconds[phase] += time.perf_counter() - start

    return counted


def measure(folder: Path) -> list[Row]:
    """Writes the report of the sweep in the folder, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.report_page", "--report", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    runs = len(list(folder.glob("*/result.json")))
    seconds = json.loads(done.stdout) | {"all, time of cores": cores}
    sizes = ((name, (folder / "report" / name).stat().st_size / 1e6) for name in _KEPT)
    return [
        *(Row(f"report of {runs} runs, {phase}", "s", found, None) for phase, found in seconds.items()),
        *(Row(f"report of {runs} runs, {name}", "MB", size, None) for name, size in sizes),
    ]


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Says in one line for each goal whether it is met."""
    page, seconds = (row.ours for end in ("index.html", "all") for row in rows if row.name.endswith(f", {end}"))
    yield f"goal {_BUDGET_S:g} s: {'met' if seconds < _BUDGET_S else 'NOT MET'}, the report takes {seconds:.1f} s"
    yield f"goal {_BUDGET_MB:g} MB: {'met' if page < _BUDGET_MB else 'NOT MET'}, the page has {page:.2f} MB"


def main() -> None:
    """Makes the sweep up, writes its report, prints the figures, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_page", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    parser.add_argument("--keep", type=Path, help="empty folder for the sweep and its report; else both are deleted")
    parser.add_argument("--report", type=Path, help="folder of a sweep: only its report is made, and timed")
    options = parser.parse_args()
    if options.report:
        print(json.dumps(timed(options.report)))
        return
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
