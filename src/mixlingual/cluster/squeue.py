"""What Slurm says of the user's jobs, where there is Slurm."""

from __future__ import annotations

import logging
import subprocess

log = logging.getLogger(__name__)

_COMMAND = ("squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r")
_SECONDS = 10
"""A busy controller may take long; the files alone must do then."""


def job_states() -> dict[str, str] | None:
    """Job, as 12 or 12_3 -> its state, as RUNNING or PENDING (Priority); None without Slurm, or without its answer."""
    try:
        answer = subprocess.run(_COMMAND, capture_output=True, text=True, check=True, timeout=_SECONDS)
    except FileNotFoundError:
        return None
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("squeue: %s", error)
        return None
    return dict(_job(line) for line in answer.stdout.splitlines() if line.count("|") >= 2)


def _job(line: str) -> tuple[str, str]:
    job, state, reason = line.split("|", 2)
    return job, state if reason in ("None", "") else f"{state} ({reason})"
