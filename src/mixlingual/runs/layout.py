"""The names of all files in the folder of a run and of a sweep.

A sweep lies in multirun/SWEEP, a run of it in multirun/SWEEP/RUN. `cluster.after_srun` reads this file where no package
can be imported, so it must need nothing but the standard library.
"""

from __future__ import annotations

# A run's folder
RESULT = "result.json"
"""Everything known about a finished run. It is written last, so the run is finished where it is whole."""
QUERIES = "queries.parquet"
"""The scores of every query."""
CONFIG = "config.yaml"
"""The configuration of the newest attempt."""
LOG = "run.log"
STATUS = "status.json"
"""How the newest attempt stands."""
LEASE = "lease.json"
"""Which attempt owns the run."""
LOCK = "lock"
"""Empty; the process at work on the run holds a lock on it."""
ATTEMPTS = "attempts.jsonl"
"""Start and end of every attempt."""
PROGRESS = "progress.json"
"""How far the newest attempt is."""
CURVES = "curves.csv"
"""Losses by step."""
PROBES = "probes.csv"
"""How the gradients of the two kinds of batches agree, by step."""
DIVERGED = "diverged.json"
"""The batch on which a run became NaN or infinite."""
CHECKPOINTS = "checkpoints"
"""Folder of what an interrupted run goes on from."""
MODEL = "model"
"""Folder of the trained encoder."""
CRASH = "crash.json"
"""The last crash under Slurm."""

# A sweep's folder
SWEEP = "sweep.json"
"""Every run that was ever planned, and the declared analysis."""
MULTIRUN = "multirun.yaml"
"""Hydra's record of the command that started the sweep last."""
JOBS = "jobs.json"
"""The job of each run."""
STARTS = "starts.jsonl"
"""The words of every command that trained there, each once, as JSON lists."""
REPORT = "report"
"""Folder of the report."""
SUBMISSIONS = ".submitit"
"""Folder of scripts and logs of jobs, one folder a submission."""
SUBMITTED_RUNS = "runs.json"
"""In a submission's folder: the runs' names, in the order of the job array."""
