"""Keeps the files of one run: what it is (result.json, queries.parquet, config.yaml), and the attempts at it."""

from __future__ import annotations

import dataclasses
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import yaml

from mixlingual.config.identity import changes, config_hash, possible, to_plain
from mixlingual.config.schema import TrainConfig
from mixlingual.files import check_writable, clear_leftovers, written_whole
from mixlingual.layout import CHECKPOINTS, CONFIG, QUERIES, RESULT
from mixlingual.records import MixlingualError, RunResult
from mixlingual.runs.lease import INTERRUPTED, Attempt, Ended, LeaseLostError, PeerLostError, locked, write_json
from mixlingual.runs.result import MALFORMED, read_run


class RunRecord:
    """The folder of one run. result.json is written last and whole: where it is, the run is finished."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        """Args: folder of the run; the config it is started with."""
        self.folder = folder
        self._config = config

    def finished(self) -> RunResult | None:
        """The result of the run, where it finished earlier with this very config.

        A `precision=auto` is satisfied with either value that it may become.

        Raises:
            MixlingualError: the folder holds the result of another config, whose differences are listed, or one that
                cannot be read.
        """
        path = self.folder / RESULT
        if not path.exists():
            return None
        try:
            result = read_run(self.folder)
        except MALFORMED as error:
            raise MixlingualError(f"{path} cannot be read: {error}; move the folder away") from error
        if result.config_hash in map(config_hash, possible(self._config)):
            return result
        nearest = min((list(changes(result.config, each)) for each in possible(self._config)), key=len)
        listed = "\n".join(f"  {line}" for line in nearest)
        raise MixlingualError(
            f"{self.folder} holds the finished run of another configuration:\n{listed}\n"
            "Choose another sweep_name, add what differs to run_name, or move the folder away."
        )

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Makes this process the owner of the run, and records what becomes of it.

        Raises:
            MixlingualError: another process is at work on the run.
            OSError: the folder cannot be written to.
        """
        check_writable(self.folder)
        with locked(self.folder):
            clear_leftovers(self.folder)
            attempt = Attempt(self.folder)
            try:
                with written_whole(self.folder / CONFIG) as path:
                    path.write_text(yaml.safe_dump(to_plain(self._config), sort_keys=False, allow_unicode=True))
                yield attempt
            except (Ended, LeaseLostError):
                raise
            except (KeyboardInterrupt, SystemExit):
                attempt.end("interrupted", INTERRUPTED)
                raise
            except PeerLostError as error:
                attempt.end_without_peer(error)
                raise
            except BaseException as error:
                attempt.end("failed", f"{type(error).__name__}: {error}", traceback.format_exc())
                raise
            attempt.end("done")

    def save(self, attempt: Attempt, result: RunResult, per_query: pd.DataFrame) -> None:
        """Writes the scores of every query, then the result, and drops what only a resumption needs."""
        attempt.check()
        with written_whole(self.folder / QUERIES) as path:
            per_query.to_parquet(path, index=False, compression="zstd")
        attempt.check()
        write_json(self.folder / RESULT, dataclasses.asdict(result))
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)
