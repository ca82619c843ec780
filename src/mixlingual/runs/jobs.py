"""Reads jobs.json of a sweep, which the drivers of grids keep, and says what a job of Slurm tells of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixlingual.files import read_object
from mixlingual.layout import JOBS
from mixlingual.runs.exits import MOST_CRASHES

AGAIN = "the same command starts it again"


def read_jobs(sweep: Path) -> dict[str, dict[str, Any]]:
    """Run name -> its job, as `cluster.ledger.Ledger` notes it; none where there is no jobs.json, or a damaged one."""
    jobs = read_object(sweep / JOBS)
    return {name: job for name, job in jobs.items() if isinstance(job, dict) and isinstance(job.get("job"), str)}


def after_release(job: str) -> str:
    """What to do about a job that is held."""
    return f"`scontrol release {job}` lets it start, `scancel {job}` gives it up; then give the same command again"


def end_of_job(job: dict[str, Any], crash: dict[str, Any]) -> str:
    """What became of a job whose run could not say it.

    Args:
        job: the run's entry in jobs.json.
        crash: the run's crash.json; empty if there is none.
    """
    name = f"job {job['job']}"
    if job.get("ended") == "CANCELLED":
        return f"{name} was cancelled; {AGAIN}"
    if crash.get("job") == job["job"] and not crash.get("requeued"):
        status, step, crashes = crash.get("status"), crash.get("step"), crash.get("crashes") or 0
        how = f"exit status {status}" + (": killed, as where memory is short" if status == 137 else "")
        if crashes < MOST_CRASHES:
            return f"{name} crashed at step {step} and was not queued again ({how}); the same command goes on"
        return f"{name} crashed {crashes} times without getting beyond step {step} ({how})"
    return f"{name} ended {job.get('ended', 'unseen')} without a result; {AGAIN}"
