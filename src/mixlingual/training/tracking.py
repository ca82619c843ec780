"""Weights & Biases as a view of a run: its curves, metrics and tables, grouped by sweep.

The files under multirun/ stay the truth. Training never fails because of W&B: without a key or a
network the run is kept on disk for `wandb sync`, and what goes wrong later is a warning.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import shlex
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytorch_lightning.loggers import WandbLogger

from mixlingual.config import TrainConfig, to_plain
from mixlingual.records import MixlingualError, RunResult
from mixlingual.training.result_view import macro_scalars, metric_tables

if TYPE_CHECKING:
    from wandb import Run

log = logging.getLogger(__name__)

_STEP = "trainer/global_step"
_PROBE_SECONDS, _INIT_SECONDS, _FINISH_SECONDS = 3.0, 10.0, 60.0
"""Longest waits for a TCP connection, for the start of an online run, and for its last uploads."""
_TAG_CHARACTERS = 64
"""W&B refuses longer tags."""


class Tracker:
    """Shows one run on W&B, or nowhere; a context manager that ends the run, as failed after an exception.

    `logger` is for Lightning's trainer: None when nothing is tracked.
    """

    def __init__(self, run: Run | None) -> None:
        """Args: run: a W&B run in progress, or None to track nothing."""
        self.logger = None if run is None else _Logger(run)
        self._run = run

    @classmethod
    def open(cls, config: TrainConfig, folder: Path, parameters: dict[str, int]) -> Tracker:
        """Start the W&B run of `config`, or resume it: its id follows from the names of sweep and run.

        Args:
            config: its `tracking` says whether and where to show the run.
            folder: the run's folder; W&B keeps its files in wandb/ there.
            parameters: numbers of weights, shown beside the config.

        Raises:
            MixlingualError: W&B is asked for and not installed.
        """
        if config.tracking.mode == "none":
            return cls(None)
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise MixlingualError(
                f"tracking.mode={config.tracking.mode} needs the package wandb, which is not installed; "
                "run pip install 'mixlingual[wandb]', or set tracking.mode=none"
            ) from error
        run = None
        with _forgiven("start"):
            run = _start(config, folder, parameters)
        return cls(run)

    def log_result(self, result: RunResult) -> None:
        """Show the macro metrics as eval/<benchmark>/<setting>/<metric>, those of languages and pairs as tables."""
        if self._run is None:
            return
        with _forgiven("show the result", self._run.settings.sync_dir):
            import wandb

            self._run.summary.update(macro_scalars(result.benchmarks))
            tables = metric_tables(result.benchmarks)
            if tables:
                self._run.log(
                    {name: wandb.Table(columns=columns, data=rows) for name, (columns, rows) in tables.items()}
                )

    def close(self, *, failed: bool = False) -> None:
        """End the W&B run, with exit code 1 if `failed`; the second call does nothing."""
        run, self._run = self._run, None
        if run is not None:
            with _forgiven("finish", run.settings.sync_dir):
                run.finish(exit_code=int(failed))

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(failed=kind is not None)


class _Logger(WandbLogger):
    """Lightning's logger into a given run, which gives up with one warning where the original raises."""

    def __init__(self, run: Run) -> None:
        super().__init__(experiment=run, project=run.project, save_dir=run.settings.root_dir)
        self._sync_folder = run.settings.sync_dir
        self._works = True

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._works:
            self._works = False
            with _forgiven("log a point of the curves and logs no more of them", self._sync_folder):
                super().log_metrics(metrics, step)
                self._works = True


@contextmanager
def _forgiven(action: str, sync_folder: str | None = None) -> Iterator[None]:
    """Turns any failure of W&B into a warning, with the way to send what W&B kept in `sync_folder`."""
    try:
        yield
    except Exception as error:
        log.warning(
            "W&B could not %s (%s: %s). The run goes on and its own files are complete.%s",
            action,
            type(error).__name__,
            error,
            f" {_sync_advice(sync_folder)}" if sync_folder else "",
        )


def _sync_advice(sync_folder: str) -> str:
    return f"Send it later with: wandb sync {shlex.quote(sync_folder)}"


def _start(config: TrainConfig, folder: Path, parameters: dict[str, int]) -> Run:
    """A run online if that works, else offline, saying why and how to send it later."""
    import wandb

    reason = _reason_for_offline(config.tracking.mode)
    if reason is None:
        try:
            run = _init(config, folder, parameters, "online")
        except Exception as error:
            wandb.teardown()
            reason = f"it did not start online ({type(error).__name__}: {error})"
        else:
            log.info("W&B: %s", run.url)
            return run
    run = _init(config, folder, parameters, "offline")
    level = logging.INFO if config.tracking.mode == "offline" else logging.WARNING
    log.log(level, "W&B is offline: %s. %s", reason, _sync_advice(run.settings.sync_dir))
    return run


def _init(config: TrainConfig, folder: Path, parameters: dict[str, int], mode: Literal["online", "offline"]) -> Run:
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        mode=mode,
        entity=config.tracking.entity,
        project=config.tracking.project,
        group=config.sweep_name,
        name=config.run_name,
        id=run_id(config.sweep_name, config.run_name),
        resume="allow",
        reinit="create_new",
        job_type="train",
        tags=_tags(config),
        config={**to_plain(config), "parameters": parameters},
        dir=folder.resolve(),
        settings=wandb.Settings(
            silent=True,
            init_timeout=_INIT_SECONDS,
            finish_timeout=_FINISH_SECONDS,
            finish_timeout_raises=True,
            x_transaction_log_flush_interval=1.0,
        ),
    )
    run.define_metric(_STEP)
    run.define_metric("*", step_metric=_STEP, step_sync=True)
    return run


def run_id(sweep_name: str, run_name: str) -> str:
    """The W&B id of a run: the same for each attempt, so that an interrupted run is resumed."""
    return hashlib.sha256(f"{sweep_name}/{run_name}".encode()).hexdigest()[:12]


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
    """Why the run must stay on disk, or None if it may go online."""
    import wandb

    settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
    if mode == "offline":
        return "tracking.mode=offline"
    if settings.mode in ("offline", "dryrun", "disabled"):
        return f"WANDB_MODE={settings.mode}"
    try:
        if not wandb.login(prompt=False, verify=False):
            return "there is no API key (use wandb login, or set WANDB_API_KEY)"
    except wandb.Error as error:
        return str(error).rstrip(".")
    return _reason_for_no_route(settings.base_url)


def _reason_for_no_route(base_url: str) -> str | None:
    """Why the server, or the proxy that leads to it, refuses a TCP connection; None if it takes one."""
    url = urlsplit(base_url)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
    outcome: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=lambda: outcome.put(_connect(address)), daemon=True).start()
    try:
        problem = outcome.get(timeout=_PROBE_SECONDS)
    except queue.Empty:
        problem = f"no answer in {_PROBE_SECONDS:g} s"
    return problem and f"{address[0]}:{address[1]} cannot be reached ({problem})"


def _connect(address: tuple[str, int]) -> str | None:
    try:
        socket.create_connection(address, timeout=_PROBE_SECONDS).close()
    except OSError as error:
        return str(error)
    return None
