"""Disturbs grids on a real Slurm at random moments until they are done, and counts those that end with the same bits.

    python -m tests.slurm.chaos [--grids 20] [--events 6] [--seed 0]

Each grid is 2 x 2 tiny cells. Events fall on runs and moments that the seed draws: signals, SIGKILL, requeues,
preemption, the loss of a node whose processes live on, cancellation, and the death of the driver, which is started
again, as it is where a cancelled run makes it end with 1. All files of the runs are then compared with those of a
grid that was left alone.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.slurm.cluster import NODES, Cluster
from tests.slurm.install import install
from tests.slurm.sweeps import FULL_PATIENCE, GRID, RUNS, STEPS, Sweep, differences


def preempt(sweep: Sweep, run: str) -> None:
    """Takes the run's node away for as long as it takes the run to leave."""
    with sweep.preempted(run):
        sweep.wait_until_stopped(run)


def lose_node(sweep: Sweep, run: str) -> None:
    """Takes the run's node down, or brings back the one that is down."""
    assert sweep.cluster
    if len(sweep.cluster.nodes_up()) == len(NODES):
        sweep.cluster.lose_node(sweep.node(run))
    else:
        sweep.cluster.repair()


def cancel(sweep: Sweep, run: str) -> None:
    """Cancels the run's job for good."""
    assert sweep.cluster
    sweep.cluster.call("scancel", sweep.job(run))


def kill_driver(sweep: Sweep, run: str) -> None:
    """Ends the driver without a word."""
    sweep.drivers[-1].kill()
    sweep.drivers[-1].wait()


EVENTS: dict[str, Callable[[Sweep, str], None]] = {
    "USR1": lambda sweep, run: sweep.signal(run, signal.SIGUSR1),
    "USR2": lambda sweep, run: sweep.signal(run, signal.SIGUSR2),
    "TERM": lambda sweep, run: sweep.signal(run, signal.SIGTERM),
    "kill": lambda sweep, run: sweep.kill(run),
    "requeue": lambda sweep, run: sweep.requeue(run),
    "preempt": preempt,
    "node": lose_node,
    "cancel": cancel,
    "driver": kill_driver,
}


class Trial:
    """Disturbs one grid until it is done."""

    def __init__(self, sweep: Sweep, draw: random.Random, events: int) -> None:
        """Takes a sweep that is not yet started, a source of chance, and how many events are to befall it."""
        self.happened: collections.Counter[str] = collections.Counter()
        self.drivers = 0
        self._sweep = sweep
        self._draw = draw
        self._events = events
        self._draw_event()
        self._give_up = time.monotonic() + FULL_PATIENCE

    def run(self) -> list[str]:
        """Returns what differs from a grid that was left alone; empty if nothing does."""
        cluster = self._sweep.cluster
        assert cluster
        self._keep_driving()
        while not self._is_over():
            if self.happened.total() < self._events:
                self._disturb()
            else:
                cluster.repair()
            self._keep_driving()
            time.sleep(0.3)
            if time.monotonic() > self._give_up:
                return [f"not done after {FULL_PATIENCE:g} s"]
        return []

    def _is_over(self) -> bool:
        return all(self._sweep.is_done(run) for run in RUNS) and self._sweep.drivers[-1].poll() is not None

    def _keep_driving(self) -> None:
        """Starts the driver anew where it has ended and work is left."""
        ended = not self._sweep.drivers or self._sweep.drivers[-1].poll() is not None
        if ended and not all(self._sweep.is_done(run) for run in RUNS):
            self._sweep.start(*GRID)
            self.drivers += 1

    def _disturb(self) -> None:
        """Lets the next event happen, if a run that Slurm is running has come to the step that was drawn for it."""
        assert self._sweep.cluster
        jobs = self._sweep.cluster.jobs()
        states = {run: jobs.get(job, {}).get("JobState") for run, job in self._sweep.jobs().items()}
        running = sorted(run for run, state in states.items() if state == "RUNNING" and not self._sweep.is_done(run))
        due = [run for run in running if self._sweep.step(run) >= self._moment]
        if not due:
            return
        run = self._draw.choice(due)
        step = self._sweep.step(run)
        with contextlib.suppress(subprocess.CalledProcessError, KeyError):  # it ended, or has no process yet
            EVENTS[self._event](self._sweep, run)
            self.happened[self._event] += 1
            sys.stdout.write(f"  {self._event} at {run}, step {step}\n")
            sys.stdout.flush()
            self._draw_event()

    def _draw_event(self) -> None:
        """Draws what happens next, and the step that its run must have come to; a fifth happen while a run starts."""
        self._event = self._draw.choice(list(EVENTS))
        self._moment = max(0.0, self._draw.uniform(-0.2, 0.8)) * STEPS


def main() -> None:
    """Runs the trials and prints the tally; exit code 1 if any grid ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=20)
    parser.add_argument("--events", type=int, default=6, help="in each grid")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    install()
    draw = random.Random(arguments.seed)
    sys.stdout.write(f"seed {arguments.seed}\n")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    cluster = Cluster(folder / "slurm")
    cluster.start()
    try:
        same = _trials(arguments.grids, arguments.events, draw, cluster, folder)
    finally:
        cluster.stop()
    sys.exit(same != arguments.grids)


def _trials(grids: int, events: int, draw: random.Random, cluster: Cluster, folder: Path) -> int:
    """Counts the grids that ended with the bits of one that was left alone; reports each as it ends."""
    whole = Sweep(folder / "undisturbed", folder / "cache")
    if whole.run(*GRID):
        sys.exit(f"the undisturbed grid failed:\n{whole.log}")
    total: collections.Counter[str] = collections.Counter()
    same = attempts = 0
    for number in range(1, grids + 1):
        partition = draw.choice(["low", "low0"])
        sweep = Sweep(folder / f"grid{number}", folder / "cache", cluster, partition=partition, pace=0.2)
        trial = Trial(sweep, draw, events)
        wrong = trial.run() or [f"{r}: {x}" for r in RUNS for x in differences(sweep.of(r), whole.of(r))]
        sweep.stop()
        cluster.repair()
        cluster.end_jobs()
        same += not wrong
        total += trial.happened
        tried = sum(sweep.starts(run) for run in RUNS)
        attempts += tried
        verdict = "same bits" if not wrong else f"DIFFERENT ({', '.join(wrong)}); see {sweep.folder}"
        sys.stdout.write(f"grid {number} ({partition}): {verdict}; {tried} attempts, {trial.drivers} drivers\n")
        sys.stdout.flush()
    listed = ", ".join(f"{event} {count}" for event, count in sorted(total.items()))
    sys.stdout.write(
        f"{same} of {grids} grids ended bit-identical after {total.total()} events ({listed}), {attempts} attempts at "
        f"{4 * grids} runs\n"
    )
    return same


if __name__ == "__main__":
    main()
