"""Evaluates one encoder, or what other programs made, on the benchmarks, and writes the metrics."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mixlingual.config.identity import evaluation_hash, to_plain, written_out
from mixlingual.config.schema import EvaluateConfig
from mixlingual.data.registry import load_benchmarks
from mixlingual.evaluation.scorer import Share
from mixlingual.evaluation.sentence_transformer import as_published
from mixlingual.evaluation.suite import SuiteScores, evaluate_encoder, score_foreign
from mixlingual.files import check_writable, written_whole
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.hub import as_saved
from mixlingual.model.load import load_encoder
from mixlingual.records import AnyBenchmark, MixlingualError
from mixlingual.training.device import device_of, on_device, use_own_gpu, use_threads
from mixlingual.training.gather import global_rank

log = logging.getLogger(__name__)


def world_size() -> int:
    """Number of processes that torchrun or Slurm started."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", "1")))


def evaluate(config: EvaluateConfig) -> None:
    """Writes the metrics of the encoder to `config.output`, and each query's scores beside it.

    The file holds `model` (the options used) and `parameters`, or the `source` of embeddings or runs; `evaluation` and
    `evaluation_hash` (its options, and what tells it from other evaluations); `benchmarks`
    (benchmark -> setting -> metrics), `corrections` (the post-hoc options), `post_hoc` (correction -> benchmark ->
    setting -> metrics) and `timings` in seconds. The scores of each query are in a Parquet file of the same name, those
    with a correction in NAME_CORRECTION.parquet.

    Raises:
        MixlingualError: the checkpoint or a benchmark cannot be read, or embeddings are not finite.
    """
    use_threads(config.threads)
    output = Path(config.output)
    check_writable(output.parent)
    benchmarks = load_benchmarks(config.evaluation)
    share = Share(global_rank(), world_size())
    if share.parts > 1 and config.score_runs is None and config.evaluation.embeddings is None:
        raise MixlingualError("several processes share encoded passages in a folder; set evaluation.embeddings=FOLDER")
    foreign = config.precomputed or config.score_runs
    if foreign is not None:
        config = written_out(config, bf16=False)
        scores, about = score_foreign(benchmarks, config.evaluation, Path(foreign), share), {"source": foreign}
    else:
        device = device_of(config.accelerator)
        config = on_device(config, device)
        scores, about = _encode(config, benchmarks, share, device)
    if share.part > 0:
        return
    _write(output, config, scores, about)
    for name, settings in scores.benchmarks.items():
        for setting in ("mono", "cross", "multi"):
            if setting in settings:
                shown = "  ".join(f"{k} {v:.4g}" for k, v in settings[setting].items() if isinstance(v, float))
                log.info("%s %s: %s", name, setting, shown)
    log.info("metrics in %s", output)


def _write(output: Path, config: EvaluateConfig, scores: SuiteScores, about: dict[str, Any]) -> None:
    """Writes the scores of every query, then the metrics."""
    content = {
        **about,
        "evaluation": to_plain(config.evaluation),
        "evaluation_hash": evaluation_hash(config),
        "benchmarks": scores.benchmarks,
        "corrections": to_plain(config.post_hoc),
        "post_hoc": {name: part.benchmarks for name, part in scores.corrected.items()},
        "timings": scores.timings,
    }
    for name, part in {"": scores, **scores.corrected}.items():
        target = output.with_name(f"{output.stem}_{name}.parquet") if name else output.with_suffix(".parquet")
        with written_whole(target) as path:
            part.per_query.to_parquet(path, index=False, compression="zstd")
    with written_whole(output) as path:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _encode(
    config: EvaluateConfig, benchmarks: Sequence[AnyBenchmark], share: Share, device: torch.device
) -> tuple[SuiteScores, dict[str, Any]]:
    """Scores of the configured encoder, none in all but the first of several processes, and what it is."""
    use_own_gpu(device)
    model = as_saved(as_published(config.model))
    encoder, tokenizer = load_encoder(model, None, seed=0)
    scores = evaluate_encoder(encoder, tokenizer, benchmarks, config.evaluation, device, config.post_hoc, share)
    return scores, {"model": to_plain(model), "parameters": parameter_counts(encoder)}
