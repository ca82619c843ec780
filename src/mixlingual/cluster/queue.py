"""Defines what the driver of a grid asks of a queue, be it Slurm's or this machine's processes."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixlingual.config.schema import ClusterConfig
from mixlingual.files import written_whole
from mixlingual.layout import SUBMISSIONS, SUBMITTED_RUNS
from mixlingual.records import MixlingualError

GONE = "GONE"
"""State of a job that the queue does not know any more."""

_ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
OVER = frozenset((*_ENDED, "TIMEOUT", GONE))
"""States that a job does not leave by itself; Slurm requeues some of them in the same breath."""

HELD = "HELD"
"""State of a job that waits for someone to release it."""


@dataclass(frozen=True)
class Cell:
    """One run of a grid as the driver sees it."""

    run_name: str
    result: Path
    """The file that is there, and whole, once the run is done; nothing else counts as done."""
    overrides: tuple[str, ...]
    number: int
    """Its place in the grid."""
    options: ClusterConfig


@dataclass(frozen=True)
class Job:
    """What a queue says about a job."""

    state: str
    """A job state of Slurm, or HELD for one that waits until someone releases it."""
    folder: Path
    """Of its submission."""
    reason: str = ""
    """Why it is not running, in Slurm's words."""


class Queue(Protocol):
    """Takes cells and says how their jobs stand."""

    name: str

    def largest(self) -> int:
        """Most cells that `submit` takes at once."""

    def room(self, options: ClusterConfig, queued: int) -> int:
        """How many more cells it takes when so many are queued."""

    def submit(self, cells: Sequence[Cell], folder: Path, call: Callable[..., object]) -> list[str]:
        """Queues `call(overrides, number)` of each cell; returns the jobs' ids in the same order.

        Raises:
            MixlingualError: the queue refuses them.
        """

    def jobs(self) -> dict[str, Job] | None:
        """The user's jobs, those that ended minutes ago included; None where the queue does not answer."""

    def cancel(self, job: str) -> None:
        """Ends a job for good."""

    def after_interrupt(self, jobs: Sequence[str]) -> str:
        """What becomes of the jobs when the driver is interrupted, and what to do then."""


def new_submission(sweep: Path, cells: Sequence[Cell]) -> Path:
    """A folder for one submission, with the runs' names in the order of the job array.

    It exists before the jobs do, and Slurm tells a job's folder: so each job can be told its run, however early the
    driver dies.
    """
    folder = sweep / SUBMISSIONS / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    with written_whole(folder / SUBMITTED_RUNS) as temporary:
        temporary.write_text(json.dumps([cell.run_name for cell in cells]) + "\n", encoding="utf-8")
    return folder


def run_of(job_id: str, folder: Path) -> str:
    """The run of a job, of an array or alone.

    Raises:
        MixlingualError: the folder of the submission does not say; the job could be any run's.
    """
    try:
        runs: list[str] = json.loads((folder / SUBMITTED_RUNS).read_text(encoding="utf-8"))
        return runs[int(job_id.partition("_")[2] or 0)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MixlingualError(
            f"{folder / SUBMITTED_RUNS} does not say which run job {job_id} is ({error!r}), so that a second one might "
            f"be started; cancel the job (scancel {job_id}), then give the same command again"
        ) from error


def log_of(job_id: str, folder: Path) -> Path:
    """What the first process of a job prints."""
    return folder / f"{job_id}_0_log.err"


def is_whole(job_id: str, folder: Path) -> bool:
    """Whether the job finds what it is to run; not where the driver died between the two steps of a submission."""
    return (folder / f"{job_id}_submitted.pkl").exists()
