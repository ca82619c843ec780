"""Entry point: evaluate one encoder zero-shot, without training, or every finished run of a sweep.

python -m mixlingual.evaluate model=me5_small evaluation.benchmarks=[mlqa_r] output=FILE.json
python -m mixlingual.evaluate -m sweep_name=NAME evaluation.benchmarks=[miracl]
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mixlingual.config.checks import to_config
from mixlingual.config.identity import evaluation_hash, to_plain
from mixlingual.config.schema import EvaluateConfig
from mixlingual.data.registry import load_benchmarks
from mixlingual.evaluation.scorer import Share
from mixlingual.evaluation.sentence_transformer import as_published
from mixlingual.evaluation.suite import SuiteScores, evaluate_encoder, score_foreign
from mixlingual.files import check_writable, written_whole
from mixlingual.grid.guards import over_runs, spelled_out
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.hub import as_saved
from mixlingual.model.load import load_encoder
from mixlingual.records import AnyBenchmark, MixlingualError
from mixlingual.runs.lease import EXIT_FAILED, leave
from mixlingual.runs.progress import write_progress
from mixlingual.training.device import check_precision, device_of
from mixlingual.training.gather import global_rank

log = logging.getLogger(__name__)

register()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Evaluates and writes the JSON file."""
    try:
        config = to_config(EvaluateConfig, cfg)
        if HydraConfig.get().mode == RunMode.MULTIRUN and global_rank() == 0:
            folder = Path(HydraConfig.get().runtime.output_dir)
            write_progress(folder, "evaluating", 0, 0, embeddings=config.evaluation.embeddings)
        evaluate(config)
    except (MixlingualError, OSError) as error:
        log.error(error)  # noqa: TRY400 - the message is for the user
        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            leave(EXIT_FAILED)
        if HydraConfig.get().mode == RunMode.RUN:
            sys.exit(1)


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
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    output = Path(config.output)
    check_writable(output.parent)
    benchmarks = load_benchmarks(config.evaluation)
    share = Share(global_rank(), world_size())
    if share.parts > 1 and config.score_runs is None and config.evaluation.embeddings is None:
        raise MixlingualError("several processes share encoded passages in a folder; set evaluation.embeddings=FOLDER")
    foreign = config.precomputed or config.score_runs
    if foreign is not None:
        scores, about = score_foreign(benchmarks, config.evaluation, Path(foreign), share), {"source": foreign}
    else:
        scores, about = _encode(config, benchmarks, share)
    if share.part > 0:
        return
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
    for name, settings in scores.benchmarks.items():
        for setting in ("mono", "cross", "multi"):
            if setting in settings:
                shown = "  ".join(f"{k} {v:.4g}" for k, v in settings[setting].items() if isinstance(v, float))
                log.info("%s %s: %s", name, setting, shown)
    log.info("metrics in %s", output)


def _encode(
    config: EvaluateConfig, benchmarks: Sequence[AnyBenchmark], share: Share
) -> tuple[SuiteScores, dict[str, Any]]:
    """Scores of the configured encoder, none in all but the first of several processes, and what it is."""
    device = device_of(config.accelerator)
    check_precision(config.evaluation, device)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))))
    model = as_saved(as_published(config.model))
    encoder, tokenizer = load_encoder(model, None, seed=0)
    scores = evaluate_encoder(encoder, tokenizer, benchmarks, config.evaluation, device, config.post_hoc, share)
    return scores, {"model": to_plain(model), "parameters": parameter_counts(encoder)}


if __name__ == "__main__":
    sys.argv[1:] = spelled_out(over_runs(sys.argv[1:]))
    main()
