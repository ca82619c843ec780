"""Reads when and through what the runs of a sweep were submitted, where the launcher left a record of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mixlingual.runs.jobs import read_jobs


class Launch(NamedTuple):
    """Runs that were submitted in one minute through one launcher."""

    submitted: str
    """ISO time, to the minute."""
    launcher: str
    runs: int
    """How many runs it was the last to submit."""


def read_launches(folder: Path) -> list[Launch]:
    """The launches in the jobs.json of a sweep's folder, oldest first; none where it is absent or malformed."""
    jobs = [job for job in read_jobs(folder).values() if {"submitted", "launcher"} <= job.keys()]
    counts = Counter((str(job["submitted"])[:16], str(job["launcher"])) for job in jobs)
    return [Launch(*key, runs) for key, runs in sorted(counts.items())]
