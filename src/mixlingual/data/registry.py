"""Loads training items and benchmarks by their names; the other rooms reach data only through it."""

from __future__ import annotations

import importlib
from pathlib import Path

from mixlingual.config.schema import DataConfig, EvaluationConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.data.sources.custom import load_custom
from mixlingual.data.sources.pair_corpus import load_pairs
from mixlingual.data.sources.parallel import load_parallel
from mixlingual.data.text import check_text, rewritten
from mixlingual.records import AnyBenchmark, ParallelCorpus


def load_corpus(config: DataConfig) -> ParallelCorpus:
    """Returns the training items that `config.name` stands for.

    Raises:
        DataError: the data are missing or malformed, or lack a wanted language.
    """
    if config.name == "atlas":
        return atlas_corpus(config.languages)
    return load_parallel(config) if config.name == "parallel" else load_pairs(config)


def load_benchmarks(config: EvaluationConfig) -> list[AnyBenchmark]:
    """Returns the benchmarks of the config; read before training, so that a missing file costs no time.

    Raises:
        DataError: a benchmark is missing or malformed, or lacks a wanted language.
    """
    check_text(config.text)
    return [load_benchmark(name, config) for name in dict.fromkeys(config.benchmarks)]


def load_benchmark(name: str, config: EvaluationConfig) -> AnyBenchmark:
    """Returns the benchmark of one name: see `mixlingual.data.benchmarks`, and `sources.custom` for the user's own.

    Args:
        name: one of `config.schema.BENCHMARKS`, or of `config.custom`.
        config: says where its files lie, which languages are wanted, what a candidate is and how texts are written.

    Raises:
        DataError: as `load_benchmarks`.
    """
    if name in config.custom:
        benchmark = load_custom(name, Path(config.custom[name]).expanduser(), config)
    else:
        benchmark = importlib.import_module(f"mixlingual.data.benchmarks.{name}").load(config)
    return rewritten(benchmark, config.text)
