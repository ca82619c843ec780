"""Trains one encoder on one run's batches."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import CheckpointIO
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import distributed
from torch._dynamo.exc import TorchDynamoException
from torch.nn import Module

from mixlingual.batches.datamodule import HybridDataModule
from mixlingual.config.identity import config_hash
from mixlingual.config.schema import TrainConfig, TrainerConfig
from mixlingual.files import written_whole
from mixlingual.layout import CHECKPOINTS, CURVES, DIVERGED, PROBES, VALIDATION
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.loss import check_matryoshka
from mixlingual.records import MixlingualError
from mixlingual.runs.lease import PeerLostError
from mixlingual.training.averaging import WeightAverage, decay_for
from mixlingual.training.callbacks import CurveRecorder
from mixlingual.training.checkpoint import (
    CheckpointKeeper,
    VerifiedCheckpointIO,
    last_good_checkpoint,
    newest_checkpoint,
)
from mixlingual.training.device import check_processes, device_of, launched_by
from mixlingual.training.gather import global_rank, lost_peer, processes
from mixlingual.training.module import RetrieverModule
from mixlingual.training.preemption import PreemptGuard, Signals
from mixlingual.training.probes import GradientProbe
from mixlingual.training.sharding import sharding_strategy, whole_weights
from mixlingual.training.validation import Validation, Validator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """Holds what training did: `losses` of its steps (mean over the pairs of each), tokens by kind, seconds, probes.

    Seconds are those of all attempts, without what an interrupted one did after its last checkpoint, and without
    validation. The default is that of no training.
    """

    steps: int = 0
    pairs: int = 0
    losses: list[float] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=lambda: {"monolingual": 0, "crosslingual": 0})
    seconds: float = 0.0
    probes: dict[str, float | None] = field(default_factory=dict)
    """This is `GradientProbe.summary`; it is empty if there were no probes."""
    validation: dict[str, Any] = field(default_factory=dict)
    """This is `Validation.summary`; it is empty if nothing was validated."""

    @property
    def timings(self) -> dict[str, float]:
        """Returns seconds by what they were spent on."""
        points = self.validation.get("points", [])
        return {"train": self.seconds} | ({"validate": sum(point["seconds"] for point in points)} if points else {})

    def summary(self) -> dict[str, float]:
        """Returns `steps`, `pairs` and, after any step, `final_loss`: the mean over the last tenth of the steps."""
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
    signals: Signals,
    validator: Validator | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Trains the encoder in place for `steps` steps, at least one, or until `validation.patience` ends it.

    An interrupted run goes on from its newest whole checkpoint in the folder and ends with the very
    weights that it would have had otherwise. With several devices, every process calls this; where they
    share the weights (`trainer.strategy=shard`), only the first has a whole encoder in the end.

    Args:
        data_fingerprint: that of the training items; checkpoints from other items are not used.
        folder: receives curves.csv, probes.csv, validation.csv and checkpoints/.
        logger: Lightning logger for the curves, or None.
        signals: asked at the end of every step what to do.
        validator: measures what `config.validation` asks for; None measures nothing.
        callbacks: what else watches the training, as a bar on the terminal does.

    Raises:
        MixlingualError: a loss, a gradient or the trained weights became NaN or infinite (see `divergence`), or
            there are not as many processes as devices, or a checkpoint cannot be written.
        PeerLostError: another process of the run has ended.
        SystemExit: a signal has ended the run (see `Signals.answer`); its checkpoint is saved.
    """
    check_processes(config.trainer)
    check_matryoshka(config.loss.matryoshka, encoder.dimension)
    checkpoints = folder / CHECKPOINTS / f"{config_hash(config)}-{data_fingerprint}"
    recorder = CurveRecorder(folder / CURVES, signals.check, every=config.trainer.log_every)
    probe = _probe(config.trainer, data, folder, signals)
    average = _average(config)

    def diverged(what: str, step: int) -> MixlingualError:
        signals.check()
        return divergence(what, step, data.item_ids(step), checkpoints, folder)

    if global_rank() == 0:
        for name in (DIVERGED,) if validator else (DIVERGED, VALIDATION):
            (folder / name).unlink(missing_ok=True)  # of a run with other options
    sharded = config.trainer.strategy == "shard"
    trained = copy.deepcopy(encoder) if sharded and global_rank() == 0 else encoder
    module = RetrieverModule(trained, config, steps=steps, diverged=diverged)
    guard = PreemptGuard(signals, steps=config.trainer.checkpoint_steps, minutes=config.trainer.checkpoint_minutes)
    keeper = CheckpointKeeper(checkpoints, guard, keep=config.trainer.keep_checkpoints)
    validation = validator and Validation(
        folder / VALIDATION,
        config.validation,
        validator,
        pairs=config.batching.batch_size,
        sharded=sharded,
        whole=encoder,
        average=average,
        recorder=recorder,
        guard=guard,
        check=signals.check,
    )
    watchers = [watcher for watcher in (guard, probe, average, validation, recorder, keeper, *callbacks) if watcher]
    trainer = _trainer(config.trainer, steps, folder, logger, watchers, VerifiedCheckpointIO(signals.attempt))
    if resumed := newest_checkpoint(checkpoints):
        log.info("going on from %s", resumed)
    with _prepared(trained, config.trainer), _losing_peers():
        trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
    if module.optimizer.state:  # the checkpoint was of the end: Lightning then skips training, and what ends it
        module.on_train_end()
    module.check_weights()
    if average:
        average.end(module, trainer.global_step)
        average.take(module)
    if sharded and (weights := whole_weights(trained)):
        encoder.load_state_dict(weights)
    if validation and (not sharded or global_rank() == 0):  # the others hold parts of the weights
        validation.take_best(encoder)
    return Trained(
        trainer.global_step,
        trainer.global_step * config.batching.batch_size,
        recorder.losses,
        recorder.tokens,
        recorder.seconds,
        probe.summary() if probe else {},
        validation.summary() if validation else {},
    )


def _probe(options: TrainerConfig, data: HybridDataModule, folder: Path, signals: Signals) -> GradientProbe | None:
    every = options.probe_every
    return GradientProbe(folder / PROBES, data, signals.check, every=every) if every else None


def _average(config: TrainConfig) -> WeightAverage | None:
    if config.optim.average == "none":
        return None
    decay = config.optim.average_decay
    return WeightAverage(decay_for(config.batching.batch_size) if decay is None else decay)


def _trainer(
    options: TrainerConfig,
    steps: int,
    folder: Path,
    logger: Logger | None,
    callbacks: list[Callback],
    checkpoint_io: CheckpointIO,
) -> Trainer:
    _quiet_libraries()
    trainer = Trainer(
        accelerator=device_of(options.accelerator).type,
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=_strategy(options),
        max_steps=steps,
        logger=logger or False,
        callbacks=callbacks,
        plugins=[checkpoint_io, *_environment()],
        default_root_dir=folder,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    # Lightning's own would leave with exit code 0 at a SIGTERM, and nothing turns them off
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


@contextmanager
def _losing_peers() -> Iterator[None]:
    """Turns the errors that a process sees when another one of its run has ended into PeerLostError."""
    try:
        yield
    except Exception as error:
        if not lost_peer(error):
            raise
        raise PeerLostError("another process of the run has ended") from error


@contextmanager
def _prepared(encoder: DualEncoder, options: TrainerConfig) -> Iterator[None]:
    """Compiles the encoder in the block, and lets layers keep their inputs alone (Chen et al., arXiv 1604.06174)."""
    backbone = encoder.backbone
    if options.gradient_checkpointing and not backbone.supports_gradient_checkpointing:
        raise MixlingualError(
            f"trainer.gradient_checkpointing: {type(backbone).__name__} cannot recompute its layers; set it to false"
        )
    try:
        if options.compile:
            backbone.compile(dynamic=True)
        if options.gradient_checkpointing:
            backbone.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
        yield
    except TorchDynamoException as error:
        raise MixlingualError(
            f"trainer.compile: PyTorch cannot compile {type(backbone).__name__} here: {str(error).strip()}\n"
            "It needs a C++ compiler on a CPU, triton on a GPU. Install it, or set trainer.compile=false."
        ) from error
    finally:
        backbone._compiled_call_impl = None  # the library has no way back
        if options.gradient_checkpointing:
            backbone.gradient_checkpointing_disable()  # type: ignore[no-untyped-call]


def _strategy(options: TrainerConfig) -> Strategy | str:
    if options.processes == 1:
        return "auto"
    return sharding_strategy(options.processes) if options.strategy == "shard" else UnwrappedDDP()


def _environment() -> list[SLURMEnvironment]:
    """Returns Slurm's environment without Lightning's requeueing, which would save inside of a signal handler."""
    return [SLURMEnvironment(auto_requeue=False)] if launched_by() == "slurm" else []


class UnwrappedDDP(DDPStrategy):
    """Connects processes that share a batch, without the wrapper that exchanges gradients after every backward pass.

    `ContrastiveStep` has many of them in a step, and adds the gradients up once.
    """

    def _setup_model(self, model: Module) -> Module:  # type: ignore[override]
        return model

    def _register_ddp_hooks(self) -> None:
        """Does nothing: there is no wrapper to hook into."""


def divergence(what: str, step: int, item_ids: list[str], checkpoints: Path, folder: Path) -> MixlingualError:
    """Returns the error of a run whose loss, gradient or weights are not finite, and writes diverged.json.

    Every process calls this, and none goes on before the first has written diverged.json into the run's folder:
    `step` (counted from 1, as in curves.csv), `what`, `items` (ids of the whole batch) and `checkpoint` (path of the
    last good one, or null).

    Args:
        what: is not finite.
        step: counted from 0.
        item_ids: of its batch.
        checkpoints: folder of the run's checkpoints.
        folder: of the run.
    """
    good = last_good_checkpoint(checkpoints)
    record = folder / DIVERGED
    if global_rank() == 0:
        content = {"step": step + 1, "what": what, "items": item_ids, "checkpoint": good and str(good)}
        with written_whole(record) as path:
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if processes() > 1:
        distributed.barrier()
    return MixlingualError(
        f"{what} is not a finite number at step {step + 1}, on a batch of {len(item_ids)} items ({item_ids[0]}, ...; "
        f"all are in {record}). {f'The last good checkpoint is {good}' if good else 'There is no good checkpoint'}. "
        "Lower optim.learning_rate, raise model.temperature, or train with trainer.precision=32-true"
    )


def _quiet_libraries() -> None:
    """Drops notices that do not apply here: batches come tokenised, workers are chosen, curves have a writer.

    And transformers 5 has renamed a method whose old name works in all of its versions that we allow.
    """
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*Trying to infer the `batch_size`.*")
    warnings.filterwarnings("ignore", message=".*The `srun` command is available on your system but is not used.*")
    warnings.filterwarnings("ignore", message=".*log_every_n_steps.*")
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing_(en|dis)able. is deprecated")
