"""Shows a run on Weights & Biases: its curves, metrics and tables, grouped by sweep.

The files under multirun/ stay the truth. Training never waits for W&B and never fails because of it: without a key
or a network the run is kept on disk for `wandb sync`, and what goes wrong later is a warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pytorch_lightning.loggers import WandbLogger

from mixlingual.config.schema import TrainConfig
from mixlingual.layout import CURVES, MODEL, PROBES, QUERIES, RESULT, VALIDATION
from mixlingual.records import MixlingualError, RunResult
from mixlingual.reporting.figures import language_png
from mixlingual.tracking.client import start_run, sync_command
from mixlingual.tracking.tables import language_matrix, metric_tables, summary_scalars

if TYPE_CHECKING:
    from wandb import Run

log = logging.getLogger(__name__)

_RESULT_FILES = (RESULT, QUERIES, CURVES, PROBES, VALIDATION)
_ARTIFACT_CHARACTERS = 100
"""W&B refuses names of artifacts beyond 128."""


class Tracker:
    """Shows one run on W&B, or nowhere; a context manager that ends the run, as failed after an exception.

    SystemExit is what a run that was preempted leaves with: its next attempt goes on with the same W&B run.

    `logger` is for Lightning's trainer: None when nothing is tracked.
    """

    def __init__(self, run: Run | None, folder: Path = Path(), artifacts: str = "none") -> None:
        """Args: run: a W&B run in progress, or None to track nothing; its folder; see `tracking.artifacts`."""
        self.logger = None if run is None else _Logger(run)
        self._run = run
        self._folder = folder
        self._artifacts = artifacts

    @classmethod
    def open(cls, config: TrainConfig, folder: Path, parameters: dict[str, int]) -> Tracker:
        """Start the W&B run of `config`, or resume the one that the folder names.

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
            run = start_run(config, folder, parameters)
        return cls(run, folder, config.tracking.artifacts)

    def log_result(self, result: RunResult) -> None:
        """Show what the run came to, and keep its files as `tracking.artifacts` says: they must be written before.

        Macro metrics become eval/<benchmark>/<setting>/<metric> in the run's summary; those of languages and pairs
        tables, and a picture of each benchmark's languages.
        """
        if self._run is None:
            return
        with _forgiven("show the result", self._run):
            self._run.summary.update(summary_scalars(result))
            for media in (_pictures(result), _tables(result)):
                if media:
                    self._run.log(media)
        if self._artifacts != "none":
            with _forgiven("keep the files", self._run):
                self._log_artifacts(result)

    def close(self, *, failed: bool = False) -> None:
        """End the W&B run, with exit code 1 if `failed`; the second call does nothing."""
        run, self._run = self._run, None
        if run is not None:
            with _forgiven("finish", run):
                run.finish(exit_code=int(failed))

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._run is not None and kind is not None and issubclass(kind, SystemExit):
            with _forgiven("say that the run is preempted", self._run):
                self._run.mark_preempting()
        self.close(failed=kind is not None)

    def _log_artifacts(self, result: RunResult) -> None:
        self._log_artifact("result", result, [self._folder / name for name in _RESULT_FILES])
        if self._artifacts == "model":
            self._log_artifact("model", result, sorted((self._folder / MODEL).rglob("*")))

    def _log_artifact(self, kind: str, result: RunResult, files: list[Path]) -> None:
        """Files are sent from where they lie, not from copies."""
        import wandb

        assert self._run is not None
        name = re.sub(r"[^\w.-]", "_", result.run_name, flags=re.ASCII)[:_ARTIFACT_CHARACTERS]
        artifact = wandb.Artifact(f"{name}-{self._run.id}-{kind}", kind, metadata={"config_hash": result.config_hash})
        for file in files:
            if file.is_file():
                artifact.add_file(str(file), str(file.relative_to(self._folder)), skip_cache=True, policy="immutable")
        self._run.log_artifact(artifact)


class _Logger(WandbLogger):
    """Lightning's logger into a given run, which gives up with one warning where the original raises."""

    def __init__(self, run: Run) -> None:
        super().__init__(experiment=run, project=run.project, save_dir=run.settings.root_dir)
        self._run = run
        self._works = True

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._works:
            self._works = False
            with _forgiven("log a point of the curves and logs no more of them", self._run):
                super().log_metrics(metrics, step)
                self._works = True


def _pictures(result: RunResult) -> dict[str, object]:
    """Draws eval/<benchmark>/languages of each benchmark that has cross-lingual scores."""
    import wandb
    from PIL import Image

    grids = {benchmark: language_matrix(metrics) for benchmark, metrics in result.benchmarks.items()}
    return {
        f"eval/{benchmark}/languages": wandb.Image(Image.open(BytesIO(language_png(benchmark, grid))))
        for benchmark, grid in grids.items()
        if grid is not None
    }


def _tables(result: RunResult) -> dict[str, object]:
    """Makes `metric_tables` for W&B; these come last, as the client asks the server about each, for up to 20 s."""
    import wandb

    return {
        name: wandb.Table(columns=columns, data=rows)
        for name, (columns, rows) in metric_tables(result.benchmarks).items()
    }


@contextmanager
def _forgiven(action: str, run: Run | None = None) -> Iterator[None]:
    """Turns any failure of W&B into a warning, with the way to send what W&B kept of `run`."""
    try:
        yield
    except Exception as error:
        log.warning(
            "W&B could not %s (%s: %s). The run goes on and its own files are complete.%s",
            action,
            type(error).__name__,
            error,
            f" Send it later with: {sync_command(run)}" if run else "",
        )
