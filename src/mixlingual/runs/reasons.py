"""Why a run of a grid is not done, from its files and the driver's notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixlingual.cluster.after_srun import MOST_CRASHES
from mixlingual.cluster.queue import after_release
from mixlingual.files import read_object


def why_not_done(folder: Path, job: dict[str, Any] | None) -> str | None:
    """Why a run is not done, or None; `job` is what jobs.json says about it."""
    if (folder / "result.json").exists():
        return None
    status = read_object(folder / "status.json")
    if job is None:
        return status.get("reason") or ("ended without a word: killed, or out of memory" if status else "never started")
    own = status.get("job") == job["job"] or job["launcher"] == "local"
    if own and status.get("state") == "failed" and job.get("ended") not in ("CANCELLED", "TIMEOUT"):
        return f"{status.get('reason')}; log: {job['log']}"
    return f"{end_of_job(job, read_object(folder / 'crash.json'))}; log: {job['log']}"


def end_of_job(job: dict[str, Any], crash: dict[str, Any]) -> str:
    """What became of a job whose run could not say it."""
    name = f"job {job['job']}"
    if held := job.get("held"):
        return f"{name} is held ({held}); {after_release(job['job'])}"
    if job.get("ended") == "CANCELLED":
        return f"{name} was cancelled; the same command starts it again"
    if crash.get("job") == job["job"] and not crash["requeued"]:
        how = f"exit status {crash['status']}" + (
            ": killed, as where memory is short" if crash["status"] == 137 else ""
        )
        if crash["crashes"] < MOST_CRASHES:
            return f"{name} crashed at step {crash['step']} and was not queued again ({how}); the same command goes on"
        return f"{name} crashed {crash['crashes']} times without getting beyond step {crash['step']} ({how})"
    return f"{name} ended {job.get('ended', 'unseen')} without a result"
