"""Starts the W&B run of a cell: online where that works within ten seconds, else on disk for `wandb sync`."""

from __future__ import annotations

import logging
import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import TrainConfig
from mixlingual.files import written_whole

if TYPE_CHECKING:
    from wandb import Run, Settings

log = logging.getLogger(__name__)
_client_log = log.getChild("client")
_client_log.setLevel(logging.WARNING)

STEP = "trainer/global_step"
"""The axis of every curve. Steps that a requeued run repeats appear twice; the later row counts."""
INIT_SECONDS, FINISH_SECONDS = 10.0, 60.0
"""Longest waits for the start of an online run, and for its last uploads."""
_FLUSH_SECONDS = 1.0
"""Between writes of the run's file. The client's 15 would lose a killed run's last points, and a short one's all."""
ID_FILE = "wandb_id"
"""In a folder that one W&B run shows, that of a cell or of a sweep: the id of that run."""
_TAG_CHARACTERS = 64
"""W&B refuses longer tags."""


def start_run(config: TrainConfig, folder: Path, parameters: dict[str, int]) -> Run | None:
    """Starts a run online if that works, else offline, saying why and how to send it; None where W&B is disabled.

    Args:
        config: its `tracking` says which.
        folder: receives wandb/.
        parameters: numbers of weights, shown beside the config.

    Raises:
        Exception: whatever W&B raises when it cannot even write to disk.
    """
    import wandb

    if environment_mode() == "disabled":
        log.warning("W&B is off: WANDB_MODE=disabled. Nothing is recorded for it; unset WANDB_MODE to change that")
        return None
    reason = _reason_for_offline(config.tracking.mode)
    if reason is None:
        try:
            run = _init(config, folder, parameters, "online")
        except Exception as error:
            wandb.teardown()
            reason = f"it did not start online ({type(error).__name__}: {' '.join(str(error).split())})"
        else:
            log.info("W&B: %s. What does not get there: %s", run.url, sync_command(run))
            return run
    run = _init(config, folder, parameters, "offline")
    level = logging.INFO if config.tracking.mode == "offline" else logging.WARNING
    log.log(level, "W&B is offline: %s. Send it later with: %s", reason, sync_command(run))
    return run


def environment_mode() -> str:
    """Says what WANDB_MODE, or a file of settings, asks of every run: online, offline or disabled."""
    import wandb

    mode = str(wandb.setup(settings=wandb.Settings(silent=True)).settings.mode)
    return "offline" if mode == "dryrun" else mode


def sync_command(run: Run) -> str:
    """Gives the command that sends what W&B keeps of a run on disk."""
    return f"wandb sync {shlex.quote(run.settings.sync_dir)}"


def run_id(folder: Path) -> str:
    """Gives the id of the W&B run that shows a folder: it is drawn once and kept there, so that later calls go on.

    It moves with the folder, and no other sweep of the same name in the same project has it.
    """
    path = folder / ID_FILE
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_text(secrets.token_hex(6) + "\n", encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def client_settings() -> Settings:
    """Sets how long the client of every run waits, and that it prints nothing."""
    import wandb

    return wandb.Settings(
        silent=True,
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=_FLUSH_SECONDS,
    )


def _init(config: TrainConfig, folder: Path, parameters: dict[str, int], mode: Literal["online", "offline"]) -> Run:
    import wandb

    _say_through_our_log()
    run = wandb.init(
        mode=mode,
        entity=config.tracking.entity,
        project=config.tracking.project,
        group=config.sweep_name,
        name=config.run_name,
        id=run_id(folder),
        resume="allow",
        reinit="create_new",
        job_type="train",
        tags=_tags(config),
        config={**to_plain(config), "parameters": parameters},
        dir=folder.resolve(),
        settings=client_settings(),
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return run


def _say_through_our_log() -> None:
    """Makes the client's warnings, of uploads that it gave up above all, lines of the run's log."""
    import wandb

    silent = wandb.Settings(silent=True)
    wandb.setup(settings=silent)
    wandb.termsetup(silent, _client_log)


def _tags(config: TrainConfig) -> list[str]:
    tags = (
        config.model.name,
        f"alpha={config.batching.monolingual_ratio:g}",
        f"seed={config.seed}",
        *config.evaluation.benchmarks,
        *config.tracking.tags,
    )
    return list(dict.fromkeys(tag[:_TAG_CHARACTERS] for tag in tags if tag))


def _reason_for_offline(mode: str) -> str | None:
    """Says why the run must stay on disk, or None if it may go online."""
    import wandb

    if mode == "offline":
        return "tracking.mode=offline"
    if environment_mode() == "offline":
        return "WANDB_MODE=offline"
    try:
        if not wandb.login(prompt=False, verify=False):
            return "there is no API key (use wandb login, or set WANDB_API_KEY)"
    except wandb.Error as error:
        return str(error).rstrip(".")
    return None
