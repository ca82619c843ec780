"""Starts, watches and disturbs sweeps of tiny cells on a test cluster, and compares what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tests.slurm import pace
from tests.slurm.cluster import Cluster, wait_until

STEPS = 60
EVERY = 5
"""A cell saves a checkpoint every so many steps."""
SWEEP = "grid"
TINY = (
    "model=scratch_xs", "model.scratch.vocabulary=1000", "model.scratch.hidden=32", "model.scratch.dropout=0.1",
    "data.languages=[de,en]", "evaluation.languages=[de,en]", "batching.batch_size=8", "trainer.accelerator=cpu",
    f"trainer.steps={STEPS}", "trainer.log_every=1", f"trainer.checkpoint_steps={EVERY}", "trainer.threads=1",
    f"sweep_name={SWEEP}", "run_name='r${number:${batching.monolingual_ratio}}_s${seed}'",
)  # fmt: skip
"""These options make a cell of seconds. Its name needs neither model nor batching."""
GRID = ("batching.monolingual_ratio=0,1", "seed=0,1")
RUNS = ("r0_s0", "r0_s1", "r1_s0", "r1_s1")
ONE = ("batching.monolingual_ratio=0", "seed=0")
"""These options name the first run of the grid alone."""
QUEUED = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.poll_s=0.5")
NOT_RESULT = ("timings", "commit", "commits")
"""Results of equal runs need not share these parts."""
FULL_PATIENCE = 30 * 60.0
"""A whole sweep may take so many seconds."""


@dataclass
class Sweep:
    """Is a sweep in a folder of its own; `cluster` None is this machine alone."""

    folder: Path
    cache: Path
    cluster: Cluster | None = None
    partition: str = "low"
    pace: float = 0.0
    """Each step takes so many seconds longer, at first: see `set_pace`."""
    grief: str = ""
    """raise@RUN:STEP or kill@RUN:STEP says what becomes of a run each time it comes to a step."""
    source: Path = Path(__file__).parents[2] / "src"
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables of the driver, which Slurm hands on to the cells."""
        own = {
            "PYTHONPATH": os.pathsep.join([str(self.source), str(self._pace_package())]),
            "PACE_FILE": str(self.folder / "pace.txt"),
            "PACE_GRIEF": self.grief,
            "MIXLINGUAL_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
        }
        return os.environ | own | (self.cluster.environment if self.cluster else {})

    def start(self, *overrides: str) -> subprocess.Popen[bytes]:
        """Starts a driver of the sweep, whose words go to driver.log."""
        queued = (*QUEUED, f"hydra.launcher.partition={self.partition}") if self.cluster else ()
        command = [sys.executable, "-m", "mixlingual.train", "-m", *TINY, *queued, *overrides]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.set_pace(self.pace)
        with (self.folder / "driver.log").open("ab") as log:
            driver = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.drivers.append(driver)
        return driver

    def set_pace(self, seconds: float) -> None:
        """Makes each step take so much longer from now on, also the one that a cell is at."""
        self.pace = seconds
        temporary = self.folder / "pace.tmp"
        temporary.write_text(str(seconds))
        temporary.replace(self.folder / "pace.txt")

    def run(self, *overrides: str) -> int:
        """Returns the exit code of a driver that is left alone."""
        return self.start(*overrides).wait(FULL_PATIENCE)

    def stop(self) -> None:
        """Kills the drivers that are still there."""
        for driver in self.drivers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()

    @property
    def log(self) -> str:
        """Returns all that the drivers have said."""
        return (self.folder / "driver.log").read_text(errors="replace")

    def of(self, run: str) -> Path:
        """Returns the folder of a run."""
        return self.folder / "multirun" / SWEEP / run

    def read(self, run: str, name: str) -> Any:
        """Reads a JSON file of a run."""
        return json.loads((self.of(run) / name).read_text())

    def is_done(self, run: str) -> bool:
        """Tells whether a run is finished."""
        return (self.of(run) / "result.json").exists()

    def jobs(self) -> dict[str, str]:
        """Returns Slurm's name for the job of each run that is queued."""
        path = self.of("jobs.json")
        return {run: entry["job"] for run, entry in json.loads(path.read_text()).items()} if path.exists() else {}

    def job(self, run: str) -> str:
        """Returns Slurm's name for a run's job as soon as it is known."""
        return wait_until(lambda: self.jobs().get(run), f"{run} is queued")

    def step(self, run: str) -> int:
        """Returns the step of a run's newest point; 0 before the first."""
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
            return int((self.of(run) / "curves.csv").read_text().splitlines()[-1].split(",")[0])
        return 0

    def wait_for_step(self, run: str, step: int) -> None:
        """Returns when a run has come to a step in training, and so has the checkpoints before it."""
        wait_until(lambda: self.step(run) >= step or self.is_done(run), f"{run} comes to step {step}")
        assert not self.is_done(run), f"{run} was done before it could be disturbed: its pace is too high"

    def attempts(self, run: str) -> list[dict[str, Any]]:
        """Returns the starts and ends of a run's attempts."""
        path = self.of(run) / "attempts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def starts(self, run: str) -> int:
        """Counts the attempts that a run has had."""
        return sum(event["event"] == "start" for event in self.attempts(run))

    def wait_for_attempt(self, run: str, number: int) -> None:
        """Returns when an attempt at a run has begun."""
        wait_until(lambda: self.starts(run) >= number, f"{run} is attempted for the {number}. time")

    def signal(self, run: str, number: signal.Signals) -> None:
        """Has Slurm send a signal to the run's processes, as before the end of a job's time."""
        self._cluster.call("scancel", f"--signal={number.name.removeprefix('SIG')}", self.job(run))

    def kill(self, run: str, rank: int = 0) -> None:
        """Ends a process of a run as the kernel does where memory runs out."""
        self._cluster.ranks_of(self.job(run))[rank].kill()

    def requeue(self, run: str) -> None:
        """Has Slurm stop a run and queue it again."""
        self._cluster.call("scontrol", "requeue", self.job(run))

    def node(self, run: str) -> str:
        """Returns the node where Slurm says that a run is."""
        return self._cluster.job(self.job(run))["NodeList"]

    @contextlib.contextmanager
    def preempted(self, run: str) -> Iterator[str]:
        """Queues a more important job, for the block, that wants all of a run's node; gives its name."""
        wrap = ("-p", "high", "-w", self.node(run), "-N1", "-c2", "-o", "/dev/null", "--wrap", "sleep 1000")
        job = self._cluster.call("sbatch", "--parsable", *wrap).stdout.strip()
        yield job
        self._cluster.call("scancel", job)

    def wait_for_state(self, run: str, *states: str) -> None:
        """Returns when Slurm says one of the states of a run's job."""
        job = self.job(run)
        wait_until(lambda: self._cluster.job(job).get("JobState") in states, f"{job} is {' or '.join(states)}")

    def wait_until_stopped(self, run: str) -> None:
        """Returns when a run's job is no longer at work: waiting again, or over, whatever Slurm calls that."""
        job = self.job(run)
        wait_until(lambda: self._cluster.job(job).get("JobState") not in ("RUNNING", "COMPLETING"), f"{job} stops")

    @property
    def _cluster(self) -> Cluster:
        assert self.cluster, "a sweep without a cluster"
        return self.cluster

    def _pace_package(self) -> Path:
        package = self.folder / "pace"
        metadata = package / "pace-1.dist-info"
        if not metadata.exists():
            metadata.mkdir(parents=True)
            (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pace\nVersion: 1\n")
            (metadata / "entry_points.txt").write_text(pace.ENTRY_POINT)
            shutil.copy(pace.__file__, package)
        return package


def differences(one: Path, other: Path) -> list[str]:
    """Names what two finished runs do not share bit by bit, times apart: files, or parts of result.json."""
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, other)]
    parts = results[0].keys() | results[1].keys()
    differing = [f"result.json: {name}" for name in sorted(parts - set(NOT_RESULT)) if _part(results, name)]
    scores = [pd.read_parquet(folder / "queries.parquet") for folder in (one, other)]
    curves = [pd.read_csv(folder / "curves.csv", dtype=str).drop(columns="pairs_per_second") for folder in (one, other)]
    weights = [(folder / "model/model.safetensors").read_bytes() for folder in (one, other)]
    differing += ["queries.parquet"] * (not scores[0].equals(scores[1]))
    differing += ["curves.csv"] * (not curves[0].equals(curves[1]))
    return differing + ["model.safetensors"] * (weights[0] != weights[1])


def _part(results: Sequence[dict[str, Any]], name: str) -> bool:
    return results[0].get(name) != results[1].get(name)


def assert_same(sweep: Sweep, undisturbed: Sweep, runs: Sequence[str] = RUNS) -> None:
    """Checks that every run ended with the bits that it ends with when it is left alone."""
    for run in runs:
        assert sweep.is_done(run), f"{run} is not done\n{sweep.log[-3000:]}"
        different = differences(sweep.of(run), undisturbed.of(run))
        assert not different, f"{run} ended otherwise: {different}"
