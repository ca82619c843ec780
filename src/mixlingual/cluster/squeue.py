"""Reads what squeue says of the user's jobs; nothing else parses its answer."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from mixlingual.cluster.queue import HELD, OVER, Job

log = logging.getLogger(__name__)

_COMMAND = ("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%o")
"""The format is: job or array id, place in the array or N/A, state, reason for waiting, path of the script."""
_FIELDS = 5

_SECONDS = 10.0
"""A busy controller may take long; files alone must do then."""


def listed_jobs(seconds: float) -> dict[str, Job] | None:
    """Job, as 12 or 12_3 -> what Slurm says of it, jobs that ended minutes ago included.

    Args:
        seconds: how long to wait for the answer.

    Returns:
        None where there is no Slurm, or no answer.
    """
    try:
        answer = subprocess.run(_COMMAND, capture_output=True, text=True, check=True, timeout=seconds)
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("squeue: %s", error)
        return None
    lines = (line.split("|", _FIELDS - 1) for line in answer.stdout.splitlines())
    return dict(_job(*fields) for fields in lines if len(fields) == _FIELDS)


def _job(number: str, place: str, state: str, reason: str, script: str) -> tuple[str, Job]:
    held = state == "PENDING" and "held" in reason.lower()
    return number if place == "N/A" else f"{number}_{place}", Job(HELD if held else state, Path(script).parent, reason)


def job_states() -> dict[str, str] | None:
    """Job -> its state, as RUNNING or PENDING (Priority), of jobs that are not over; None as `listed_jobs`."""
    listed = listed_jobs(_SECONDS)
    return listed if listed is None else {name: _shown(job) for name, job in listed.items() if job.state not in OVER}


def _shown(job: Job) -> str:
    state = "PENDING" if job.state == HELD else job.state
    return state if job.reason in ("None", "") else f"{state} ({job.reason})"
