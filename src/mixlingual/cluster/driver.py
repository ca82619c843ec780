"""Drives a grid: submits what is missing and watches every run, and may itself die at any moment.

What it knows is on disk or in the queue. Started again it finds the jobs that are still there by the folder of their
submission, and takes up watching where it left off.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path

from mixlingual.cluster.ledger import Ledger
from mixlingual.cluster.queue import (
    GONE,
    HELD,
    OVER,
    Cell,
    Job,
    Queue,
    is_whole,
    log_of,
    new_submission,
    run_of,
)
from mixlingual.files import lock_on, read_object
from mixlingual.layout import SUBMISSIONS
from mixlingual.runs.jobs import after_release

log = logging.getLogger(__name__)

CONFIRMED = 3
"""Answers in a row that say that a job is over or held, before it counts: a requeue passes through such states."""

_CONFIRM_SECONDS = 2.0

_AT_WORK = ("RUNNING", "COMPLETING")
"""States of the one to watch of two jobs of one run."""


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
        """Run name -> answers in a row that said its job is over or held."""
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
        with lock_on(self._sweep / SUBMISSIONS / "lock"):  # a second driver of the sweep submits after this one
            self._attach({cell.run_name for cell in cells} - self._jobs.keys())
            missing = [cell for cell in cells if cell.run_name not in self._jobs and not self._is_done(cell)]
            room = self._queue.room(missing[0].options, len(self._jobs)) if missing else 0
            for group in _alike(missing[:room], self._queue.largest() if missing else 0):
                self._submit_array(group)
        return missing[room:]

    def watch(self, cells: Sequence[Cell], waiting: Sequence[Cell] = ()) -> None:
        """Returns when every job is done, over or held, and those that were `waiting` for room too."""
        folders = {cell.run_name: cell for cell in cells}
        while self._jobs or waiting:
            if news := self._news(folders):
                for run, job in news:
                    self._leave(run, job)
                log.info("%d runs ended, %d are queued, %d wait", len(news), len(self._jobs), len(waiting))
                waiting = self.submit(waiting)
            elif self._jobs:
                time.sleep(min(self._poll_s, _CONFIRM_SECONDS) if self._over else self._poll_s)

    def _news(self, cells: dict[str, Cell]) -> list[tuple[str, Job | None]]:
        """The queued runs of which nothing more comes: with None where they are done, else with their job."""
        listed = self._listed()
        news: list[tuple[str, Job | None]] = []
        for run, name in self._jobs.items():
            if self._is_done(cells[run]):
                news.append((run, None))
            elif listed is not None:
                job = listed.get(name, Job(GONE, self._sweep))
                self._over[run] = self._over[run] + 1 if job.state in OVER or job.state == HELD else 0
                if self._over[run] == CONFIRMED:
                    news.append((run, job))
        self._over += Counter()
        return news

    def _leave(self, run: str, job: Job | None) -> None:
        name = self._jobs.pop(run)
        del self._over[run]
        if job is None:
            log.info("%s is done", run)
        elif job.state == HELD:
            log.warning("%s: job %s is held (%s); %s", run, name, job.reason, after_release(name))
            self._ledger.held(run, name, job.reason)
        else:
            log.warning("%s: job %s ended %s without a result", run, name, job.state)
            self._ledger.ended(run, name, job.state)

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
        for name, job in sorted(self._own(listed), key=lambda found: found[1].state in _AT_WORK):
            if (run := run_of(name, job.folder)) not in runs:
                continue
            if not is_whole(name, job.folder):
                self._queue.cancel(name)
                continue
            if run in logs:
                log.warning("%s is queued twice; scancel %s, which is not watched", run, self._jobs[run])
            self._jobs[run], logs[run] = name, log_of(name, job.folder)
            log.info("%s is queued already, as job %s (%s)", run, name, job.state)
        if logs:
            self._ledger.submitted({run: self._jobs[run] for run in logs}, self._queue.name, logs)

    def _own(self, listed: dict[str, Job]) -> Iterator[tuple[str, Job]]:
        """The listed jobs of this sweep, not of a copy, that are not over."""
        for name, job in listed.items():
            folder = self._sweep / SUBMISSIONS / job.folder.name
            if job.state not in OVER and folder.is_dir() and job.folder.is_dir() and folder.samefile(job.folder):
                yield name, Job(job.state, folder, job.reason)

    def _listed(self) -> dict[str, Job] | None:
        listed = self._queue.jobs()
        if listed is None and not self._silent:
            log.warning("the queue does not answer; waiting until it does")
        elif listed is not None and self._silent:
            log.info("the queue answers again")
        self._silent = listed is None
        return listed

    def _is_done(self, cell: Cell) -> bool:
        """Whether the cell's result is there and whole. Listing its folder makes a network file system look anew."""
        try:
            there = cell.result.name in os.listdir(cell.result.parent)  # noqa: PTH208 - names are enough
        except FileNotFoundError:
            return False
        return there and bool(read_object(cell.result))


def _alike(cells: Sequence[Cell], most: int) -> Iterator[list[Cell]]:
    """Cells grouped by what they ask of the cluster, as an array has one set of options; at most so many together."""
    ordered = sorted(cells, key=lambda cell: (repr(cell.options), cell.number))
    for _, group in itertools.groupby(ordered, key=lambda cell: repr(cell.options)):
        alike = list(group)
        yield from (alike[first : first + most] for first in range(0, len(alike), most))


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
