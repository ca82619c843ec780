"""Defines what it takes to score a kind of benchmark: one interface for parallel and judged ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation.encode import Embed
from mixlingual.evaluation.parity import CountsTokens
from mixlingual.evaluation.post_hoc import Correction
from mixlingual.evaluation.protocol import BenchmarkScores

UNCORRECTED = "uncorrected"
"""Stands for no correction."""


@dataclass(frozen=True)
class Share:
    """Says which shards of large corpora a process works on: those whose number is `part` modulo `parts`."""

    part: int = 0
    parts: int = 1


WHOLE = Share()
"""All shards: one process alone."""


@dataclass(frozen=True)
class Encoding:
    """Holds an encoder at work, and the corrections of its embeddings that are scored beside them."""

    embed: Embed
    tokenizer: CountsTokens | None
    """None where another program encodes, whose tokens nobody counts."""
    identity: Callable[[], str]
    """Names the encoder and its precision; encoded passages are used again for the same one only."""
    device: torch.device
    corrections: Mapping[str, Correction] = field(default_factory=dict)
    """By name; only the first process has them."""
    label: str = ""
    """Tells these corrections from others, in every process."""


class Scorer(Protocol):
    """Describes a module that scores one kind of benchmark, of the type that `benchmark` has there."""

    def score_encoder(
        self, benchmark: Any, encoding: Encoding, config: EvaluationConfig, share: Share
    ) -> dict[str, BenchmarkScores]:
        """Returns scores by name of the correction, or `UNCORRECTED`; empty in all processes but the first.

        Raises:
            MixlingualError: embeddings are not usable.
        """
        ...

    def check_files(self, benchmark: Any, folder: Path) -> None:
        """Raises DataError if a folder holds nothing that another program made for the benchmark."""
        ...

    def score_files(
        self, benchmark: Any, folder: Path, config: EvaluationConfig, share: Share
    ) -> BenchmarkScores | None:
        """Returns scores of what another program made; None in all processes but the first.

        Raises:
            DataError: a file is missing or malformed.
        """
        ...
