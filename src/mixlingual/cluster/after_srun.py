"""Run by the sbatch script when srun has ended: queues a crashed run again, as long as it makes progress.

python -I after_srun.py FOLDER_OF_THE_SUBMISSION EXIT_STATUS_OF_SRUN

Python alone can't catch SIGKILL, a lack of memory or a segmentation fault; the shell around it sees them. A run may
crash any number of times as long as it has a newer checkpoint each time, and `MOST_CRASHES` times in a row without one.
Preemptions and time-outs don't come here. Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EXPECTED = {
    0: "done",
    3: "an exception, which would come again",
    86: "another attempt has taken over",
    255: "has asked for its requeue itself",
}
"""Exit statuses of a run that call for nothing."""

MOST_CRASHES = 3

_REQUEUE_SECONDS = 60
"""Slurm ends this script meanwhile; if it does not, the requeue came to nothing."""


def main() -> None:
    """Exits with the status of srun, for Slurm to book."""
    folder, status = Path(sys.argv[1]), int(sys.argv[2])
    job = job_id()
    if status not in EXPECTED and is_running(job):
        run = run_folder(folder, job)
        if not failed(run, job) and note_crash(run, job, status):
            subprocess.run(["scontrol", "requeue", job], check=True)
            time.sleep(_REQUEUE_SECONDS)
    sys.exit(status)


def job_id() -> str:
    """Of this job, as squeue writes it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def is_running(job: str) -> bool:
    """Whether Slurm still wants this start of the job: not where it is being cancelled, preempted or requeued.

    Nor where the job has started elsewhere meanwhile, because this node was given up for dead.
    """
    shown = subprocess.run(["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=False)
    start = re.search(r"\bRestarts=(\d+)\b", shown.stdout)
    own = os.environ.get("SLURM_RESTART_COUNT", "0")
    return re.search(r"\bJobState=RUNNING\b", shown.stdout) is not None and (start is None or start[1] == own)


def run_folder(folder: Path, job: str) -> Path:
    """Of the job's run, which lies beside the folder of submissions."""
    runs: list[str] = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    return folder.parents[1] / runs[int(job.partition("_")[2] or 0)]


def failed(run: Path, job: str) -> bool:
    """Whether an exception ended the run: srun reports the largest status, that of the processes killed for it."""
    status = _read(run / "status.json")
    return status.get("state") == "failed" and status.get("job") == job and bool(status.get("traceback"))


def note_crash(run: Path, job: str, status: int) -> bool:
    """Writes crash.json in the run's folder; returns whether the run is worth another attempt."""
    before = _read(run / "crash.json")
    step = newest_step(run)
    stuck = before.get("job") == job and step <= before.get("step", -1)
    crashes = before["crashes"] + 1 if stuck else 1
    again = crashes < MOST_CRASHES
    note = {"job": job, "status": status, "step": step, "crashes": crashes, "requeued": again}
    temporary = run / ".crash.json.tmp"
    run.mkdir(parents=True, exist_ok=True)
    temporary.write_text(json.dumps(note) + "\n", encoding="utf-8")
    temporary.replace(run / "crash.json")
    then = "queued again" if again else "not queued again: no newer checkpoint since the crashes before"
    sys.stderr.write(f"crash {crashes} at step {step}: srun ended with status {status}; {then}\n")
    return again


def newest_step(run: Path) -> int:
    """The step of the checkpoint that was written last; 0 where there is none."""
    written = sorted((run / "checkpoints").rglob("step-*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    return int(written[-1].name.split("-")[1].partition(".")[0]) if written else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


if __name__ == "__main__":
    main()
