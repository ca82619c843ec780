"""Loads training items and benchmarks by their names; the other rooms reach data only through it."""

from __future__ import annotations

import functools
import importlib
import pickle
from pathlib import Path

from mixlingual.config.schema import DataConfig, EvaluationConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.data.sources.custom import load_custom
from mixlingual.data.sources.parallel import load_parallel
from mixlingual.records import AnyBenchmark, ParallelCorpus


def load_corpus(config: DataConfig) -> ParallelCorpus:
    """Returns the training items that `config.name` stands for.

    Cells that one process runs in turn mostly share their data: the last corpus is kept, as long as its files are.

    Raises:
        DataError: the data are missing or malformed, or lack a wanted language.
    """
    folder = Path(config.root or "").expanduser()
    files = folder.iterdir() if config.name == "parallel" and folder.is_dir() else ()
    stamps = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.is_file())
    return _corpus(pickle.dumps(config), str(folder.absolute()), *stamps)


@functools.lru_cache(maxsize=1)
def _corpus(pickled: bytes, *_: object) -> ParallelCorpus:
    config: DataConfig = pickle.loads(pickled)
    return atlas_corpus(config.languages) if config.name == "atlas" else load_parallel(config)


def load_benchmarks(config: EvaluationConfig) -> list[AnyBenchmark]:
    """Returns the benchmarks of the config; read before training, so that a missing file costs no time.

    Raises:
        DataError: a benchmark is missing or malformed, or lacks a wanted language.
    """
    return [load_benchmark(name, config) for name in dict.fromkeys(config.benchmarks)]


def load_benchmark(name: str, config: EvaluationConfig) -> AnyBenchmark:
    """Returns the benchmark of one name: see `mixlingual.data.benchmarks`, and `sources.custom` for the user's own.

    Args:
        name: one of `config.schema.BENCHMARKS`, or of `config.custom`.
        config: says where its files lie, which languages are wanted and what a candidate is.

    Raises:
        DataError: as `load_benchmarks`.
    """
    if name in config.custom:
        return load_custom(name, Path(config.custom[name]).expanduser(), config)
    module = importlib.import_module(f"mixlingual.data.benchmarks.{name}")
    benchmark: AnyBenchmark = module.load(config)
    return benchmark
