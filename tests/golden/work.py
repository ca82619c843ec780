"""The fixed small work behind the golden numbers: twenty steps of each kind of batches, an evaluation, a report.

Inputs are whole numbers wherever scores are compared, so that every processor ranks alike.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from mixlingual.config.checks import to_config
from mixlingual.config.schema import EvaluationConfig, ReportConfig, TrainConfig
from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.judged import Encoded, score_judged
from mixlingual.evaluation.protocol import BenchmarkScores, score_benchmark
from mixlingual.grid.cell import train
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.records import Benchmark, Candidate, Corpus, JudgedBenchmark, JudgedTask, Query
from mixlingual.report import report

STEPS = 20
PRECISIONS = ("32-true", "bf16-mixed")
LANGUAGES = ("ar", "de", "en", "zh")
QUESTIONS, WIDTH, OTHERS = 20, 8, 4
"""Of the simulated benchmark: questions, numbers of an embedding, candidates of a language that answer nothing."""

ATLAS = ("model.scratch.vocabulary=2000", "data.languages=[ar,de,en,zh]")
CASES: dict[str, tuple[str, ...]] = {
    "hybrid": (*ATLAS, "batching=hybrid"),
    "hybrid_stratified": (*ATLAS, "batching=hybrid", "batching.draw=stratified"),
    "x_x_mono": (*ATLAS, "batching=x_x_mono"),
    "x_y": (*ATLAS, "batching=x_y"),
    "x_x": (*ATLAS, "batching=x_x"),
    "en_en": (*ATLAS, "batching=en_en"),
    "hard_negatives_accumulated": (
        "data=parallel", "data.root=toy", "batching=hybrid", "batching.crosslingual_mixed=true",
        "batching.hard_negatives=1", "trainer.accumulate=2", "batching.batch_size=16",
        "model.scratch.vocabulary=400", "model.scratch.dropout=0.1",
    ),
}  # fmt: skip
"""Name -> options of a run. Each is trained in each of `PRECISIONS`."""

_TINY = (
    "model.scratch.layers=1", "model.scratch.hidden=32", "model.scratch.heads=2", "model.scratch.intermediate=64",
    "model.max_query_length=12", "model.max_passage_length=12", "batching.batch_size=8",
    "optim.eps=1e-3", f"trainer.steps={STEPS}", "trainer.log_every=1",
    "trainer.checkpoint_minutes=null", "trainer.save_model=false", "trainer.threads=1", "trainer.accelerator=cpu",
    "evaluation=none",
)  # fmt: skip
"""A model that a processor without bfloat16 trains in a second; AdamW's epsilon keeps it from blowing up rounding."""


def curves(case: str, precision: str, folder: Path, *changes: str) -> dict[str, list[float]]:
    """Loss and gradient norm, before clipping, of each step of a run.

    Args:
        case: one of `CASES`.
        precision: one of `PRECISIONS`.
        folder: empty, for the files of the run.
        changes: further options.
    """
    write_toy_items(folder / "toy")
    options = [*_TINY, *CASES[case], f"trainer.precision={precision}", *changes]
    options = [option.replace("data.root=toy", f"data.root={folder / 'toy'}") for option in options]
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = to_config(TrainConfig, compose("train", options))
    with patch("mixlingual.training.device.has_bf16", return_value=True):  # a run this small may emulate it
        train(config, folder / "run")
    with (folder / "run" / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == STEPS
    return {name: [float(row[name]) for row in rows] for name in ("loss", "gradient_norm")}


def write_toy_items(folder: Path, items: int = 24) -> None:
    """Items in two languages with equal passages in pairs and up to two hard negatives; batches repeat items."""
    folder.mkdir(parents=True)
    lines = [
        {
            "id": f"{n}",
            "query": {code: f"{code} question {n} about {n % 7}{' and more' * (n % 4)}" for code in LANGUAGES},
            "passage": {code: f"{code} answer to {n // 2}{' at length' * (n % 6 // 2)}" for code in LANGUAGES},
            "negatives": [{code: f"{code} no answer to {n} {k}" for code in LANGUAGES} for k in range(n % 3)],
        }
        for n in range(items)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def parallel_scores(size: int, ratio: float, seed: int, cutoffs: Sequence[int] = ()) -> BenchmarkScores:
    """Every figure of a parallel benchmark, from embeddings that are whole numbers.

    Args:
        size: of the simulated encoder, 0 or 1; the larger puts questions near their answers, above all if mixed.
        ratio: of its batches; the larger, the more do texts of a language lie together.
        seed: of its noise.
        cutoffs: further depths of the measures.
    """
    benchmark = parallel_benchmark()
    rng = np.random.default_rng(0)
    topic_TD, language_MD = rng.integers(-3, 4, (QUESTIONS, WIDTH)), rng.integers(-2, 3, (len(LANGUAGES), WIDTH))
    noise = np.random.default_rng((1, size, int(4 * ratio), seed))

    def embed(texts: list[str], languages: list[str]) -> np.ndarray:
        known = np.array([int(text) if text else -1 for text in texts])
        topics_ND = np.where(known[:, None] >= 0, topic_TD[known], 0)
        own_ND = language_MD[[LANGUAGES.index(language) for language in languages]]
        noise_ND = noise.integers(-7, 8, (len(texts), WIDTH))
        signal = 2 + size + 2 * size * (ratio == 0.5)
        return (signal * topics_ND + round(1 + 4 * ratio) * own_ND + 2 * noise_ND).astype(np.float32)

    return score_benchmark(
        benchmark,
        embed([query.text for query in benchmark.queries], [query.language for query in benchmark.queries]),
        embed([one.text for one in benchmark.candidates], [one.language for one in benchmark.candidates]),
        cutoffs,
    )


def parallel_benchmark() -> Benchmark:
    """Twenty questions in four languages on five paragraphs; a text is its topic's number, other candidates' is empty.

    One question lacks its Arabic version, and the answer with it.
    """
    asked = [(code, n) for code in LANGUAGES for n in range(QUESTIONS) if (code, n) != ("ar", 0)]
    candidates = [Candidate(f"{code}/{n}", code, f"{n}") for code, n in asked]
    candidates += [Candidate(f"{code}/other{n}", code, "") for code in LANGUAGES for n in range(OTHERS)]
    return Benchmark(
        "mlqa_r",
        LANGUAGES,
        tuple(Query(f"q{n}", code, f"{n}", f"p{n // 4}") for code, n in asked),
        tuple(candidates),
        {(f"q{n}", code): place for place, (code, n) in enumerate(asked)},
        "golden",
    )


def judged_scores() -> BenchmarkScores:
    """Every figure of a judged benchmark of two languages; a text is a list of whole numbers, and scores tie."""
    rng = np.random.default_rng(0)

    def text() -> str:
        return " ".join(map(str, rng.integers(-2, 3, 4)))

    def embed(texts: list[str], _side: str, _label: str = "") -> Embedded:
        return Embedded(np.array([[float(word) for word in one.split()] for one in texts], np.float32), 0)

    tasks = []
    for code in ("sw", "yo"):
        passages = [Candidate(f"{n}", code, text()) for n in range(150)]
        queries = tuple(Query(f"{n}", code, text(), f"{n}") for n in range(6))
        qrels = {query.id: {f"{d}": int(rng.integers(0, 4)) for d in rng.choice(150, 12, False)} for query in queries}  # noqa: FBT003
        tasks.append(JudgedTask(queries, code, Corpus(code, code, lambda held=passages: iter(held), code), qrels))
    benchmark = JudgedBenchmark("miracl", tuple(tasks), ("ndcg@10", "r@100", "mrr@100"), "golden")
    (scores,) = score_judged(benchmark, Encoded(embed), "golden", EvaluationConfig(), torch.device("cpu")).values()
    return scores


def evaluation() -> dict[str, Any]:
    """Benchmark -> its metrics."""
    return {"parallel": parallel_scores(1, 0.5, 0, cutoffs=[3]).metrics, "judged": judged_scores().metrics}


def report_tables(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """CSV file of the report of a simulated sweep -> its columns.

    Args:
        folder: empty, for the sweep.
    """
    write_sweep(folder / "golden")
    blank = {"savefig": lambda _figure, path, **_: Path(path).touch(), "draw_without_rendering": lambda _figure: None}
    with patch.multiple(Figure, **blank), redirect_stdout(StringIO()):  # pictures take time and hold no numbers
        report(ReportConfig(sweep_name="golden", root=str(folder)))
    tables = {path.name: pd.read_csv(path) for path in sorted((folder / "golden" / "report").glob("*.csv"))}
    return {
        name: json.loads(table.to_json(orient="split", index=False, double_precision=15))
        for name, table in tables.items()
    }


def write_sweep(folder: Path) -> None:
    """Finished runs of two sizes, three ratios and two seeds, with as few draws of the analysis as are allowed."""
    plan = []
    for (size, model), ratio, seed in product(enumerate(("small", "large")), (0.0, 0.5, 1.0), (0, 1)):
        run = f"{model}_r{ratio:g}_s{seed}"
        plan.append({"run_name": run, "model": model, "batching": "hybrid", "monolingual_ratio": ratio, "seed": seed})
        scores = parallel_scores(size, ratio, seed)
        write_json(folder / run / "result.json", result(run, model, ratio, seed, scores.metrics))
        write_json(folder / run / "status.json", {"state": "done", "started": "", "updated": "", "pid": 1, "host": ""})
        scores.per_query.to_parquet(folder / run / "queries.parquet")
    analysis = {"draws": 1000, "sizes": ["small", "large"]}
    write_json(folder / "sweep.json", {"schema": 1, "sweep_name": "golden", "analysis": analysis, "runs": plan})


def write_json(path: Path, content: Any) -> None:
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def result(run: str, model: str, ratio: float, seed: int, metrics: dict[str, Any]) -> dict[str, Any]:
    """result.json of a run, as schema 1 has it."""
    weights = {"small": 1_000_000, "large": 4_000_000}[model]
    return {
        "schema": 1,
        "sweep_name": "golden",
        "run_name": run,
        "config": {
            "model": {"name": model},
            "data": {"name": "atlas"},
            "batching": {"name": "hybrid", "batch_size": 8, "monolingual_ratio": ratio},
            "evaluation": {"benchmarks": ["mlqa_r"]},
            "seed": seed,
        },
        "config_hash": "0123456789ab",
        "commit": "golden",
        "versions": {},
        "data": {"train/atlas": "golden", "mlqa_r": "golden"},
        "parameters": {"total": 2 * weights, "non_embedding": weights},
        "batches": {
            "planned_ratio": ratio,
            "monolingual_ratio": ratio,
            "pairs": 160,
            "tokens": {"monolingual": 1000 * ratio, "crosslingual": 1000 * (1 - ratio)},
            "passes": {"atlas:de-de": ratio, "atlas:de-en": 1 - ratio},
            "language_pairs": {"de-de": 160 * ratio, "de-en": 160 * (1 - ratio)},
        },
        "training": {"steps": 20, "pairs": 160, "final_loss": 1.5, "temperature": 0.02},
        "benchmarks": {"mlqa_r": metrics},
        "timings": {"train": 12.0},
    }
