"""Reads the held-out facts of the atlas as a benchmark; see `sources.atlas`."""

from __future__ import annotations

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.sources.atlas import atlas_benchmark
from mixlingual.records import Benchmark


def load(config: EvaluationConfig) -> Benchmark:
    """Reads it; candidates are single sentences, whatever `config.unit` says."""
    return atlas_benchmark(config.languages)
