"""jobs.json of a sweep: the job of each of its runs, for people and for programs that show how a sweep stands."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from mixlingual.files import read_object, written_whole


class Ledger:
    """run name -> {job, submitted, launcher, log}, and `ended`, a state of Slurm, once the job is over."""

    def __init__(self, sweep: Path) -> None:
        """Args: folder of the sweep. A damaged jobs.json counts as empty: Slurm itself knows the jobs."""
        self._path = sweep / "jobs.json"
        self._jobs = read_jobs(sweep)

    def submitted(self, jobs: dict[str, str], launcher: str, logs: dict[str, Path]) -> None:
        """Notes the jobs of runs; those that are noted already keep their time."""
        for run, job in jobs.items():
            if self._jobs.get(run, {}).get("job") == job:
                continue
            self._jobs[run] = {"job": job, "submitted": _now(), "launcher": launcher, "log": str(logs[run])}
        self._write()

    def ended(self, run: str, state: str) -> None:
        """Notes that the job of a run is over."""
        self._jobs[run]["ended"] = state
        self._write()

    def _write(self) -> None:
        with written_whole(self._path) as temporary:
            temporary.write_text(json.dumps(self._jobs, indent=1) + "\n", encoding="utf-8")


def read_jobs(sweep: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a sweep's runs; none where there is no jobs.json, or a damaged one."""
    return read_object(sweep / "jobs.json")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
