"""Writes a synthetic sweep in the layout of multirun/, with scores that a reader can compute by hand."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import pandas as pd
import run_folder
from run_folder import write_json as write_json
from run_folder import write_result, write_status

SIZES = {"small": 21_000_000, "base": 85_000_000, "large": 302_000_000}
RATIOS = (0.0, 0.25, 0.5, 1.0)
SEEDS = (0, 1)
LANGUAGES = {"mlqa_r": ["ar", "de", "en"], "xquad_r": ["en", "th", "zh"]}


def run_name(model: str, ratio: float, seed: int) -> str:
    return f"{model}_r{ratio:g}_s{seed}"


def size_rank(model: str) -> int:
    return list(SIZES).index(model) if model in SIZES else 0


def mono_map(model: str, ratio: float, seed: int) -> float:
    """Higher with size, best at ratio 0.5; seed 1 is 0.02 above seed 0. small, 0.5: 0.5 and 0.52."""
    return 0.5 + 0.1 * size_rank(model) - 0.16 * (ratio - 0.5) ** 2 + 0.02 * seed


def metrics(model: str, ratio: float, seed: int, languages: list[str]) -> dict[str, Any]:
    """cross is 0.1 and multi 0.2 below mono; a language is 0.01 below the one before it, a candidate language 0.001."""
    mono = mono_map(model, ratio, seed)
    distance = 100.0 + 40 * ratio - 10 * size_rank(model) + 2 * seed
    place = languages.index

    def scores(value: float) -> dict[str, float]:
        return {"map": value, "r@1": value - 0.05, "r@10": value + 0.05}

    bias = {
        "rank_distance": distance,
        "rank_distance_normalized": distance / 1000,
        "rank_distance_median": distance / 2,
    }
    return {
        "fingerprint": "feedfeedfeedfeed",
        "languages": languages,
        "complete": True,
        "queries": 30,
        "candidates": 300,
        "mono": scores(mono) | {"languages": {x: scores(mono - 0.01 * place(x)) | {"queries": 10} for x in languages}},
        "cross": scores(mono - 0.1)
        | {
            "pairs": {
                f"{q}-{c}": scores(mono - 0.1 - 0.01 * place(q) - 0.001 * place(c)) | {"queries": 10}
                for q, c in permutations(languages, 2)
            }
        },
        "multi": scores(mono - 0.2)
        | bias
        | {"languages": {x: scores(mono - 0.2 - 0.01 * place(x)) | bias | {"queries": 10} for x in languages}},
        "bias": {
            "lift@10": {
                "diagonal_preference": 3 * ratio + 0.1 * seed,
                "log2": {q: {c: ratio + seed if q == c else -ratio for c in languages} for q in languages},
            },
            "concordance": {"w": 0.2 + 0.1 * ratio, "chance": 0.01, "languages": {x: {"w": 0.1} for x in languages}},
        },
    }


def write_curve(run: Path, points: int = 100) -> None:
    """curves.csv of a run whose loss falls by 0.01 each step, with no cross-lingual batch at odd points."""
    rows = [f"{step},{3 - 0.01 * step},{2 - 0.01 * step},{'' if step % 2 else 4}" for step in range(1, points + 1)]
    run.mkdir(parents=True, exist_ok=True)
    (run / "curves.csv").write_text("\n".join(["step,loss,loss_mono,loss_cross", *rows]) + "\n", encoding="utf-8")


def write_answers(run: Path, benchmark: str, answers: dict[tuple[str, str], list[str]]) -> None:
    """queries.parquet of a run: (question, its language) -> the languages that it has an answer in; scores are 0.5."""
    rows = [
        ("mono" if own == language else "cross", query, own, language)
        for (query, own), languages in answers.items()
        for language in languages
    ] + [("multi", query, own, "all") for query, own in answers]
    table = pd.DataFrame(rows, columns=["setting", "query", "query_language", "candidate_language"])
    run.mkdir(parents=True, exist_ok=True)
    table.assign(benchmark=benchmark, paragraph=table["query"], ap=0.5).to_parquet(run / "queries.parquet")


def result(
    model: str, ratio: float, seed: int, *, batching: str = "hybrid", languages: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    languages = languages or LANGUAGES
    return {
        "sweep_name": "demo",
        "run_name": run_name(model, ratio, seed),
        "config": {
            "model": {"name": model, "pooling": "mean"},
            "data": {"name": "atlas", "root": None},
            "batching": {
                "name": batching,
                "batch_size": 64,
                "monolingual_ratio": ratio,
                "monolingual_mixed": batching == "x_x",
            },
            "evaluation": {"benchmarks": list(languages), "batch_tokens": 16384},
            "seed": seed,
        },
        "config_hash": "0123456789ab",
        "commit": "c0ffee0",
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        "data": {"atlas": "beefbeefbeefbeef", **dict.fromkeys(languages, "feedfeedfeedfeed")},
        "parameters": {"total": SIZES.get(model, 1000) + 96_000_000, "non_embedding": SIZES.get(model, 1000)},
        "batches": {
            "planned_ratio": ratio,
            "monolingual_ratio": ratio / 2,
            "pairs": 6400,
            "tokens": {"monolingual": 1000 + seed, "crosslingual": 2000},
            "passes": {"s:de-de": 0.5, "s:de-en": 3.0},
            "language_pairs": {"de-de": 3200, "de-en": 3200},
        },
        "training": {"steps": 100, "pairs": 6400, "final_loss": 0.25},
        "benchmarks": {name: metrics(model, ratio, seed, codes) for name, codes in languages.items()},
        "timings": {"train": 12.0},
        "schema": 1,
    }


def write_plan(folder: Path, batching: str = "hybrid") -> None:
    """sweep.json of the 3 x 4 x 2 grid."""
    run_folder.write_plan(folder, ((run_name(*point), *point) for point in product(SIZES, RATIOS, SEEDS)), batching)


def write_done(folder: Path, content: dict[str, Any]) -> Path:
    """A finished run; returns its folder."""
    run = write_result(folder / content["run_name"], content)
    write_status(run, "done")
    return run


def write_sweep(root: Path, name: str = "demo", languages: dict[str, list[str]] | None = None) -> Path:
    """A half-finished sweep: 20 of 24 runs done, one failed, one planned, one silent, one torn."""
    folder = root / name
    write_plan(folder)
    for point in product(SIZES, RATIOS, SEEDS):
        write_done(folder, result(*point, languages=languages))
    for point in (("large", 0.0, 1), ("large", 0.25, 1), ("large", 0.5, 1), ("large", 1.0, 1)):
        (folder / run_name(*point) / "result.json").unlink()
    write_status(
        folder / run_name("large", 0.0, 1), "failed", reason="CUDA out of memory", traceback="Traceback\n  boom <b>"
    )
    write_status(folder / run_name("large", 0.25, 1), "started")
    (folder / run_name("large", 0.5, 1) / "status.json").unlink()
    (folder / run_name("large", 1.0, 1) / "result.json").write_text('{"schema": 1, "run', encoding="utf-8")
    return folder


def without_results(folder: Path) -> Path:
    """The sweep as it was before any run finished."""
    for path in (*folder.glob("*/result.json"), *folder.glob("*/status.json")):
        path.unlink()
    return folder
