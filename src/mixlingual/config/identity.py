"""What a run computes, as a short name: two runs of one name give the same numbers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixlingual.config.schema import EvaluateConfig, TrainConfig

NOT_COMPUTED = (
    "tracking", "analysis", "sweep_name", "run_name", "evaluation.batch_tokens", "evaluation.embeddings",
    "evaluation.search_memory", "evaluation.runs", "evaluation.wait_minutes", "trainer.accelerator", "trainer.threads",
    "trainer.workers", "trainer.log_every", "trainer.activation_gib", "trainer.checkpoint_steps",
    "trainer.checkpoint_minutes", "trainer.keep_checkpoints", "trainer.save_model",
    "loss.score_rows", "data.root", "evaluation.root", "objective",
)  # fmt: skip
"""Options that change where or how a run is shown or kept, but none of its numbers beyond rounding.

Folders of data are among them since what they hold has fingerprints of its own, which a result and checkpoints keep.
"""


def to_plain(config: object) -> dict[str, Any]:
    """The config as nested dicts and lists of JSON types."""
    return dataclasses.asdict(config)  # type: ignore[call-overload, no-any-return]


def config_hash(config: TrainConfig) -> str:
    """Twelve hex digits that name what a run computes.

    Independent of the order of keys and of the options `NOT_COMPUTED`.
    """
    return _hash_without(to_plain(config), NOT_COMPUTED)


def evaluation_hash(config: EvaluateConfig) -> str:
    """As `config_hash`, of what an evaluation computes.

    Where the encoder lies in a run's folder, that run's result tells it from one that was trained again since.
    """
    shown = [path for path in NOT_COMPUTED if path.startswith("evaluation.")]
    plain = to_plain(config)
    result = Path(config.model.checkpoint or "").parent / "result.json"
    if config.model.checkpoint and result.is_file():
        plain["trained"] = hashlib.sha256(result.read_bytes()).hexdigest()
    return _hash_without(plain, (*shown, "accelerator", "threads", "output", "sweep_name", "run_name"))


def _hash_without(plain: dict[str, Any], paths: Sequence[str]) -> str:
    for path in paths:
        *sections, name = path.split(".")
        del functools.reduce(dict.__getitem__, sections, plain)[name]
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
