"""The driver of a grid: submits what is missing, watches every run, and may die at any moment.

What it knows is on disk or in the queue. Started again it finds the jobs that are still there by the folder of their
submission, and takes up watching where it left off.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from mixlingual.cluster.ledger import Ledger
from mixlingual.cluster.queue import GONE, OVER, Cell, Job, Queue, is_whole, log_of, new_submission, run_of

log = logging.getLogger(__name__)

CONFIRMED = 3
"""Answers in a row that say that a job is over, before it counts: a requeue passes through such states."""

_CONFIRM_SECONDS = 2.0


class GridDriver:
    """Brings the cells of one sweep to their end."""

    def __init__(self, queue: Queue, sweep: Path, call: Callable[..., object], *, poll_s: float) -> None:
        """Args: queue; folder of the sweep; what a job calls with a cell's overrides and number; see ClusterConfig."""
        self._queue = queue
        self._sweep = sweep
        self._call = call
        self._poll_s = poll_s
        self._ledger = Ledger(sweep)
        self._jobs: dict[str, str] = {}
        """Run name -> job, of the runs that are queued."""
        self._over: Counter[str] = Counter()
        """Run name -> answers in a row that said its job is over."""
        self._silent = False

    @property
    def jobs(self) -> list[str]:
        """Jobs that are queued or at work."""
        return list(self._jobs.values())

    def submit(self, cells: Sequence[Cell]) -> list[Cell]:
        """Queues the cells that are neither done nor queued; returns those that the queue has no room for yet.

        Raises:
            MixlingualError: the queue refuses them.
        """
        with self._alone():
            self._attach({cell.run_name for cell in cells} - self._jobs.keys())
            missing = [cell for cell in cells if cell.run_name not in self._jobs and not self._is_done(cell)]
            room = self._queue.room(missing[0].options, len(self._jobs)) if missing else 0
            for group in _alike(missing[:room]):
                self._submit_array(group)
        return missing[room:]

    def watch(self, cells: Sequence[Cell], waiting: Sequence[Cell] = ()) -> None:
        """Returns when every job is done or over, and those that were `waiting` for room too."""
        folders = {cell.run_name: cell for cell in cells}
        while self._jobs or waiting:
            if finished := [run for run, state in self._news(folders) if self._leave(run, state)]:
                log.info("%d runs ended, %d are queued, %d wait", len(finished), len(self._jobs), len(waiting))
                waiting = self.submit(waiting)
            elif self._jobs:
                time.sleep(min(self._poll_s, _CONFIRM_SECONDS) if self._over else self._poll_s)

    def _news(self, cells: dict[str, Cell]) -> list[tuple[str, str]]:
        """The queued runs that have come to an end, with the state of their job or DONE."""
        listed = self._listed()
        news = []
        for run, job in self._jobs.items():
            if self._is_done(cells[run]):
                news.append((run, "DONE"))
            elif listed is not None:
                state = listed[job].state if job in listed else GONE
                self._over[run] = self._over[run] + 1 if state in OVER else 0
                if self._over[run] == CONFIRMED:
                    news.append((run, state))
        self._over += Counter()
        return news

    def _leave(self, run: str, state: str) -> bool:
        job = self._jobs.pop(run)
        del self._over[run]
        if state == "DONE":
            log.info("%s is done", run)
        else:
            log.warning("%s: job %s ended %s without a result", run, job, state)
            self._ledger.ended(run, state)
        return True

    def _submit_array(self, cells: Sequence[Cell]) -> None:
        folder = new_submission(self._sweep, cells)
        ids = self._queue.submit(cells, folder, self._call)
        jobs = {cell.run_name: job for cell, job in zip(cells, ids)}
        self._jobs |= jobs
        self._ledger.submitted(jobs, self._queue.name, {run: log_of(job, folder) for run, job in jobs.items()})
        log.info("submitted %s as %s", _some([cell.run_name for cell in cells]), _some(ids))

    def _attach(self, runs: Set[str]) -> None:
        """Takes over the jobs of these runs, whoever submitted them; cancels those submitted by half."""
        while (listed := self._listed()) is None:
            time.sleep(self._poll_s)
        logs = {}
        for job_id, job in self._own(listed):
            if (run := run_of(job_id, job.folder)) not in runs:
                continue
            if is_whole(job_id, job.folder):
                self._jobs[run], logs[run] = job_id, log_of(job_id, job.folder)
                log.info("%s is queued already, as job %s (%s)", run, job_id, job.state)
            else:
                self._queue.cancel(job_id)
        if logs:
            self._ledger.submitted({run: self._jobs[run] for run in logs}, self._queue.name, logs)

    def _own(self, listed: dict[str, Job]) -> Iterator[tuple[str, Job]]:
        """The listed jobs of this sweep that are not over; where the sweep was moved, by the submission's name."""
        folder = self._sweep / ".submitit"
        for job_id, job in listed.items():
            if job.state not in OVER and job.folder.parent.name == folder.name and (folder / job.folder.name).is_dir():
                yield job_id, Job(job.state, folder / job.folder.name)

    def _listed(self) -> dict[str, Job] | None:
        listed = self._queue.jobs()
        if listed is None and not self._silent:
            log.warning("the queue does not answer; waiting until it does")
        elif listed is not None and self._silent:
            log.info("the queue answers again")
        self._silent = listed is None
        return listed

    def _is_done(self, cell: Cell) -> bool:
        """Whether the cell's result is there. Listing its folder makes a network file system look anew."""
        try:
            return cell.result.name in os.listdir(cell.result.parent)  # noqa: PTH208 - names are enough
        except FileNotFoundError:
            return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps a second driver of the sweep waiting until this one has submitted."""
        folder = self._sweep / ".submitit"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _alike(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Cells grouped by what they ask of the cluster: an array has one set of options."""
    ordered = sorted(cells, key=lambda cell: repr(cell.options))
    for _, group in itertools.groupby(ordered, key=lambda cell: repr(cell.options)):
        yield sorted(group, key=lambda cell: cell.number)


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
