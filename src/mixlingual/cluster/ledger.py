"""Keeps jobs.json of a sweep, the job of each of its runs, for people and for programs that show how a sweep stands.

Several drivers may keep it at once, each for other runs of the sweep: a change is made to what is there by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixlingual.files import lock_on
from mixlingual.layout import JOBS, SUBMISSIONS
from mixlingual.runs.jobs import read_jobs
from mixlingual.runs.lease import now, write_json


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
                    noted[run] = {"job": job, "submitted": now(), "launcher": launcher, "log": str(logs[run])}

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
        with lock_on(self._sweep / SUBMISSIONS / "jobs.lock"):
            jobs = read_jobs(self._sweep)
            yield jobs
            write_json(self._sweep / JOBS, jobs)
