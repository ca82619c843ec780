"""Names of data sets and benchmarks -> their loaders. The one door to the data."""

from __future__ import annotations

from pathlib import Path

from mixlingual.config.schema import BENCHMARKS, JUDGED_BENCHMARKS, DataConfig
from mixlingual.data.sources.atlas import atlas_benchmark, atlas_corpus
from mixlingual.data.sources.lareqa import load_lareqa
from mixlingual.data.sources.parallel import load_parallel
from mixlingual.records import Benchmark, ParallelCorpus


def load_corpus(config: DataConfig) -> ParallelCorpus:
    """The training items that `config.name` stands for.

    Raises:
        DataError: the data are missing or malformed, or lack a wanted language.
    """
    return atlas_corpus(config.languages) if config.name == "atlas" else load_parallel(config)


def load_benchmark(name: str, root: Path | None, languages: list[str] | None, unit: str = "sentence") -> Benchmark:
    """A benchmark by its name, in all its languages or in those listed.

    Args:
        name: one of `config.BENCHMARKS` that is not judged; the others are read by `sources.judged.load_judged`.
        root: folder of the benchmark folders, or None for the cache folder.
        languages: codes to keep, or None for all.
        unit: what a candidate is, one of `config.UNITS`; the passages of the atlas are single sentences in any case.

    Raises:
        DataError: the files are missing, changed or malformed, or a language is not in the benchmark.
    """
    assert name in BENCHMARKS
    assert name not in JUDGED_BENCHMARKS
    return atlas_benchmark(languages) if name == "atlas" else load_lareqa(name, root, languages, unit)
