"""The files of one run: what it is (result.json, queries.parquet), and the attempts at it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from mixlingual.config.identity import changes, config_hash
from mixlingual.config.schema import TrainConfig
from mixlingual.files import check_writable, written_whole
from mixlingual.grid.prerequisites import check_same_data
from mixlingual.records import MixlingualError, RunResult
from mixlingual.runs.lease import Attempt, Ended, PeerLostError, locked, write_json


class RunRecord:
    """The folder of one run. result.json is written last and whole: where it is, the run is finished."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        """Args: folder of the run; the config it is started with."""
        self.folder = folder
        self._config = config

    def is_done(self) -> bool:
        """Whether the run finished earlier, with this very config, on the very data that its folders hold now.

        Raises:
            MixlingualError: the folder holds the result of another config, whose differences are listed, or of other
                data.
        """
        path = self.folder / "result.json"
        if not path.exists():
            return False
        try:
            finished = json.loads(path.read_text(encoding="utf-8"))
            other_hash, other, data = finished["config_hash"], finished["config"], finished["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise MixlingualError(f"{path} is not a result of ours ({error}); move the folder away") from error
        if other_hash == config_hash(self._config):
            check_same_data(data, self._config)
            return True
        listed = "\n".join(f"  {line}" for line in changes(other, self._config))
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
            attempt = Attempt(self.folder)
            try:
                yield attempt
            except Ended:
                raise
            except (KeyboardInterrupt, SystemExit):
                attempt.end("interrupted", "interrupted; started again it goes on from its newest checkpoint")
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
        with written_whole(self.folder / "queries.parquet") as path:
            per_query.to_parquet(path, index=False, compression="zstd")
        attempt.check()
        write_json(self.folder / "result.json", dataclasses.asdict(result))
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
