"""Trains one encoder on one run's batches."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

from mixlingual.batches.datamodule import HybridDataModule
from mixlingual.config import TrainConfig, config_hash
from mixlingual.model.encoder import DualEncoder
from mixlingual.training.callbacks import CurveRecorder
from mixlingual.training.checkpoint import CheckpointKeeper, VerifiedCheckpointIO, newest_checkpoint
from mixlingual.training.device import check_processes
from mixlingual.training.gather import global_rank
from mixlingual.training.module import RetrieverModule

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """What training did: `losses` of its steps (mean over the pairs of each), tokens by kind, and seconds.

    Seconds are those of all attempts, without what an interrupted one did after its last checkpoint.
    """

    steps: int
    pairs: int
    losses: list[float]
    tokens: dict[str, int]
    seconds: float

    def summary(self) -> dict[str, float]:
        """`steps`, `pairs` and, after any step, `final_loss`: the mean over the last tenth of the steps."""
        tail = self.losses[-max(1, self.steps // 10) :]
        result = {"steps": float(self.steps), "pairs": float(self.pairs)}
        return result | {"final_loss": sum(tail) / len(tail)} if tail else result


def fit(
    encoder: DualEncoder,
    data: HybridDataModule,
    config: TrainConfig,
    *,
    steps: int,
    data_fingerprint: str,
    folder: Path,
    logger: Logger | None,
) -> Trained:
    """Trains the encoder in place for `steps` steps.

    An interrupted run goes on from its newest whole checkpoint in the folder and ends with the very
    weights that it would have had otherwise. With several devices, every process calls this.

    Args:
        data_fingerprint: that of the training items; checkpoints from other items are not used.
        folder: receives curves.csv and checkpoints/.
        logger: Lightning logger for the curves, or None.

    Raises:
        MixlingualError: the loss became NaN or infinite, or there are not as many processes as devices.
    """
    check_processes(config.trainer)
    options = config.trainer
    size = config.batching.batch_size
    checkpoints = folder / "checkpoints" / f"{config_hash(config)}-{data_fingerprint}"
    recorder = CurveRecorder(folder / "curves.csv", every=options.log_every, batch_size=size)
    keeper = CheckpointKeeper(
        checkpoints,
        steps=options.checkpoint_steps,
        minutes=options.checkpoint_minutes,
        keep=options.keep_checkpoints,
    )
    if steps:
        _quiet_lightning()
        trainer = Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy="ddp" if options.devices > 1 else "auto",
            precision=options.precision,  # type: ignore[arg-type]
            max_steps=steps,
            accumulate_grad_batches=options.accumulate,
            gradient_clip_val=config.optim.gradient_clip,
            logger=logger or False,
            callbacks=[recorder, keeper],
            plugins=[VerifiedCheckpointIO()],
            default_root_dir=folder,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty() and global_rank() == 0,
        )
        module = RetrieverModule(encoder, config.optim, steps=steps, seed=config.seed)
        resumed = newest_checkpoint(checkpoints)
        if resumed:
            log.info("going on from %s", resumed)
        trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
    return Trained(steps, steps * size, recorder.losses, recorder.tokens, recorder.seconds)


def _quiet_lightning() -> None:
    """Drops notices that do not apply here: batches come tokenised, and their number of workers is chosen."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*Trying to infer the `batch_size`.*")
