"""Reads XQuAD-R (Roy et al. 2020, arXiv:2004.05484); see `sources.lareqa`."""

from __future__ import annotations

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.sources.lareqa import load_lareqa
from mixlingual.records import Benchmark


def load(config: EvaluationConfig) -> Benchmark:
    """Reads it from `config.root`, or fetches it."""
    return load_lareqa("xquad_r", config.folder, config.languages, config.unit)
