"""Queues a crashed run again as long as it makes progress; the sbatch script calls this when srun has ended.

python -I after_srun.py FOLDER_OF_THE_SUBMISSION EXIT_STATUS_OF_SRUN

Python alone can't catch SIGKILL, a lack of memory or a segmentation fault; the shell around it sees them. A run may
crash any number of times as long as it gets further each time, by a checkpoint or by encoded passages, and
`MOST_CRASHES` times in a row without. Preemptions and time-outs come here only where Slurm's controller was away when
the run asked for its requeue. The script needs nothing but the standard library, so that it works where an environment
is broken; the names of files and exit codes come from `layout` and `runs.exits`, which keep to the same rule.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))  # these two need nothing but the standard library either
from mixlingual import layout
from mixlingual.runs.exits import FINAL, MOST_CRASHES

_PATIENCE_SECONDS = 600.0
"""How long a controller that is away is asked again: one that restarts or is replaced is back by then, and the job's
nodes stand idle meanwhile. Slurm ends the script earlier where the job's time does."""

_PAUSE_SECONDS = 2.0
"""Between two questions."""

_REQUEUE_SECONDS = 60.0
"""Slurm ends this script meanwhile; if it does not, the requeue came to nothing."""


def main() -> None:
    """Exits with the status of srun, for Slurm to book, whatever happens here."""
    folder, status = Path(sys.argv[1]), int(sys.argv[2])
    try:
        if status not in FINAL and patiently(is_wanted):
            retry(run_folder(folder), status)
    except Exception:
        traceback.print_exc()
        _say(f"srun ended with status {status}; not queued again: the same command starts the run anew")
    sys.exit(status)


def retry(run: Path, status: int) -> None:
    """Queues the job again, if its run is worth it."""
    if failed(run):
        return
    crash = crash_of(run, status)
    _write_crash(run, crash, requeued=False)
    if crash["crashes"] >= MOST_CRASHES:
        _say(f"{_shown(crash)}; not queued again: no further than at the crashes before")
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # Slurm's, as soon as it has the job: the note is first
    requeued = patiently(is_requeued)
    _write_crash(run, crash, requeued=requeued)
    _say(f"{_shown(crash)}; {'queued again' if requeued else 'not queued again: Slurm does not take it'}")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if requeued:
        time.sleep(_REQUEUE_SECONDS)


def patiently(ask: Callable[[], bool | None]) -> bool:
    """What the controller answers; asked again while it gives no answer, and no in the end."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while (answer := ask()) is None and time.monotonic() < give_up:
        time.sleep(_PAUSE_SECONDS)
    if answer is None:
        _say(f"Slurm's controller did not answer for {_PATIENCE_SECONDS:.0f} seconds")
    return bool(answer)


def is_wanted() -> bool | None:
    """Whether Slurm wants this start of the job and would queue it again; None where it does not say.

    Not where the job is being cancelled, preempted or requeued, or was submitted with --no-requeue, or has started
    elsewhere meanwhile, because this node was given up for dead.
    """
    shown = dict(re.findall(r"\b(JobState|Requeue|Restarts)=(\w+)", _scontrol("--oneliner", "show", "job").stdout))
    if "JobState" not in shown:
        return None
    start = os.environ.get("SLURM_RESTART_COUNT", "0")
    return shown["JobState"] == "RUNNING" and shown.get("Requeue") != "0" and shown.get("Restarts", start) == start


def is_requeued() -> bool | None:
    """Asks Slurm to queue the job again, if it still wants it; None where that is to be asked again."""
    if not (wanted := is_wanted()):
        return wanted
    return _scontrol("requeue").returncode == 0 or None


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scontrol", *words, job_id()], capture_output=True, text=True, check=False)


def job_id() -> str:
    """Of this job, as squeue writes it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def run_folder(folder: Path) -> Path:
    """Of the job's run, which lies beside the folder of submissions.

    Raises:
        ValueError: the submission does not say which run that is.
    """
    path = folder / layout.SUBMITTED_RUNS
    try:
        runs: list[str] = json.loads(path.read_text(encoding="utf-8"))
        return folder.parents[1] / runs[int(job_id().partition("_")[2] or 0)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} does not say which run job {job_id()} is: {error!r}") from error


def failed(run: Path) -> bool:
    """Whether an exception ended the run: srun reports the largest status, that of the processes killed for it."""
    status = _read(run / layout.STATUS)
    return status.get("state") == "failed" and status.get("job") == job_id() and bool(status.get("traceback"))


def crash_of(run: Path, status: int) -> dict[str, Any]:
    """What crash.json is to hold: where the run stands, and how many crashes in a row came no further than that."""
    before = _read(run / layout.CRASH)
    crash = {"job": job_id(), "status": status, "step": newest_step(run), "encoded": encoded_files(run)}
    further = any(crash[name] > before.get(name, 0) for name in ("step", "encoded"))
    stuck = before.get("job") == crash["job"] and not further
    return crash | {"crashes": before.get("crashes", 0) + 1 if stuck else 1}


def newest_step(run: Path) -> int:
    """The step of the checkpoint that was written last; 0 where there is none."""
    written = sorted((run / layout.CHECKPOINTS).rglob("step-*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    return int(written[-1].name.split("-")[1].partition(".")[0]) if written else 0


def encoded_files(run: Path) -> int:
    """How many files of encoded passages lie in the folder that progress.json names, where evaluation keeps them."""
    folder = _read(run / layout.PROGRESS).get("embeddings")
    names = [name for *_, files in os.walk(folder) for name in files] if folder else []
    return sum(name[0].isdigit() and name.endswith(".npy") for name in names)


def _write_crash(run: Path, crash: dict[str, Any], *, requeued: bool) -> None:
    temporary = run / f".{layout.CRASH}.tmp"
    run.mkdir(parents=True, exist_ok=True)
    temporary.write_text(json.dumps(crash | {"requeued": requeued}) + "\n", encoding="utf-8")
    temporary.replace(run / layout.CRASH)


def _shown(crash: dict[str, Any]) -> str:
    encoded = f" with {crash['encoded']} files of encoded passages" if crash["encoded"] else ""
    return f"crash {crash['crashes']} at step {crash['step']}{encoded}: srun ended with status {crash['status']}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
