"""jobs.json of a sweep: the job of each of its runs, for people and for programs that show how a sweep stands.

Several drivers may keep it at once, each for other runs of the sweep: a change is made to what is there by then.
"""

from __future__ import annotations

import datetime
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixlingual.files import read_object, written_whole


class Ledger:
    """run name -> {job, submitted, launcher, log}, and `ended`, a state of Slurm, once the job is over, or `held`."""

    def __init__(self, sweep: Path) -> None:
        """Args: folder of the sweep. A damaged jobs.json counts as empty: Slurm itself knows the jobs."""
        self._sweep = sweep

    def submitted(self, jobs: dict[str, str], launcher: str, logs: dict[str, Path]) -> None:
        """Notes the jobs of runs; those that are noted already keep their time, and are not held any more."""
        with self._changed() as noted:
            for run, job in jobs.items():
                if noted.get(run, {}).get("job") == job:
                    noted[run].pop("held", None)
                else:
                    noted[run] = {"job": job, "submitted": _now(), "launcher": launcher, "log": str(logs[run])}

    def ended(self, run: str, job: str, state: str) -> None:
        """Notes that the job of a run is over."""
        self._note(run, job, "ended", state)

    def held(self, run: str, job: str, reason: str) -> None:
        """Notes that the job of a run waits for someone to release it."""
        self._note(run, job, "held", reason)

    def _note(self, run: str, job: str, what: str, value: str) -> None:
        with self._changed() as noted:
            if noted.get(run, {}).get("job") == job:
                noted[run][what] = value

    @contextmanager
    def _changed(self) -> Iterator[dict[str, dict[str, Any]]]:
        """The jobs, written when changed; other drivers wait meanwhile."""
        with locked(self._sweep / ".submitit" / "jobs.lock"):
            jobs = read_jobs(self._sweep)
            yield jobs
            with written_whole(self._sweep / "jobs.json") as temporary:
                temporary.write_text(json.dumps(jobs, indent=1) + "\n", encoding="utf-8")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps others who want the lock waiting, until the block ends or the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_jobs(sweep: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a sweep's runs; none where there is no jobs.json, or a damaged one."""
    return read_object(sweep / "jobs.json")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
