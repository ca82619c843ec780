"""How each run of a sweep stands, from the small files in its folder; results are never opened.

A file that is absent, torn or foreign counts as not there: the picture is made while others write.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixlingual.files import read_object
from mixlingual.records import MixlingualError

State = Literal[
    "planned", "queued", "running", "evaluating", "requeued", "silent", "killed", "interrupted", "failed", "done"
]


@dataclass(frozen=True)
class RunState:
    """One run of a sweep at one moment."""

    name: str
    state: State
    model: str = ""
    ratio: float | None = None
    seed: int | None = None
    """Place in the grid; empty for a run that sweep.json does not name."""
    step: int | None = None
    steps: int | None = None
    pairs_per_second: float | None = None
    seconds_left: float | None = None
    """Of training, as of the last point of the curves."""
    age: float | None = None
    """Seconds since the last sign of life of a run that has begun and is not done."""
    attempts: int = 0
    preempted: int = 0
    """Earlier attempts that were requeued, superseded or killed."""
    job: str | None = None
    """Slurm's id, as 12 or 12_3."""
    slurm: str | None = None
    """Slurm's word for the job, with its reason for waiting; None where Slurm does not know it."""
    reason: str = ""
    """Why the run failed or was interrupted, in a line."""


@dataclass(frozen=True)
class Moment:
    """What a run's state depends on beside its files."""

    now: datetime.datetime
    """With its time zone."""
    silent_seconds: float
    """A run on another machine without a sign of life for longer is silent."""
    slurm: Mapping[str, str] | None = None
    """Job -> its state, of all jobs that Slurm knows; None without Slurm."""


def read_states(folder: Path, moment: Moment) -> list[RunState]:
    """The runs of a sweep, planned ones first and in their order.

    Raises:
        MixlingualError: the folder holds no runs.
    """
    listed = read_object(folder / "sweep.json").get("runs")
    planned = {str(run.get("run_name")): run for run in listed or [] if isinstance(run, dict)}
    jobs = {name: job for name, job in read_object(folder / "jobs.json").items() if isinstance(job, dict)}
    begun = sorted(path.parent.name for path in folder.glob("*/status.json"))
    names = dict.fromkeys([*planned, *jobs, *begun])
    if not names:
        others = ", ".join(sorted(path.parent.name for path in folder.parent.glob("*/sweep.json"))) or "none"
        raise MixlingualError(
            f"{folder} holds no runs; sweeps beside it: {others}. Name one with sweep_name=NAME, and the folder of "
            "the sweeps with root=FOLDER"
        )
    return [_read_state(folder / name, planned.get(name, {}), jobs.get(name, {}), moment) for name in names]


def _read_state(folder: Path, planned: dict[str, Any], submitted: dict[str, Any], moment: Moment) -> RunState:
    status, progress = read_object(folder / "status.json"), read_object(folder / "progress.json")
    attempts = _events(folder / "attempts.jsonl")
    other = bool(status) and status.get("job") != submitted.get("job")
    if other and str(status.get("started") or "") >= str(submitted.get("submitted") or ""):
        submitted = {}  # the run was started by other means since
    waits_anew = other and submitted.get("launcher") == "slurm"
    job = submitted.get("job") if waits_anew else status.get("job") or submitted.get("job")
    slurm = (moment.slurm or {}).get(job or "")
    facts: dict[str, Any] = {
        "name": folder.name,
        "model": planned.get("model", ""),
        "ratio": planned.get("monolingual_ratio"),
        "seed": planned.get("seed"),
        "attempts": sum(event.get("event") == "start" for event in attempts),
        "preempted": _preempted(attempts, ended=status.get("state") != "started"),
        "job": job,
        "slurm": slurm,
    }
    if (folder / "result.json").exists():
        return RunState(**facts, state="done")
    if not submitted and not status:
        return RunState(**facts, state="planned")
    if lost := _lost(job, submitted, status, moment):
        return RunState(**facts, state="killed", reason=lost)
    if slurm and slurm.startswith("PENDING") and "held" in slurm.lower():
        return RunState(**facts, state="failed", reason=f"job {job} is held; let it go: scontrol release {job}")
    if waits_anew or not status:
        return RunState(**facts, state="queued")
    if str(progress.get("time") or "") < str(status.get("started") or ""):
        progress = {"step": progress.get("step"), "steps": progress.get("steps")}  # an earlier attempt's
    facts |= {name: progress.get(name) for name in ("step", "steps")}
    facts["age"] = _age(max(str(status.get("updated") or ""), str(progress.get("time") or "")), moment.now)
    state = _state(status, progress, attempts, facts["age"], slurm, moment)
    if state in ("running", "silent"):
        facts["pairs_per_second"] = progress.get("pairs_per_second")
        facts["seconds_left"] = progress.get("seconds_left")
    reason = str(status.get("reason") or "").strip()
    return RunState(**facts, state=state, reason=reason.splitlines()[0] if reason else "")


def _lost(job: str | None, submitted: dict[str, Any], status: dict[str, Any], moment: Moment) -> str:
    """Why nothing more comes of a run that has no result, as its driver or Slurm knows; empty if they do not."""
    if submitted.get("launcher") != "slurm" or (status.get("state") == "failed" and status.get("job") == job):
        return ""
    if ended := submitted.get("ended"):
        return f"job {job} ended {ended}; the same command starts the run again"
    if moment.slurm is not None and job not in moment.slurm:
        return f"job {job} is not in the queue any more; the same command starts the run again"
    return ""


def _state(
    status: dict[str, Any],
    progress: dict[str, Any],
    attempts: list[dict[str, Any]],
    age: float | None,
    slurm: str | None,
    moment: Moment,
) -> State:
    """Of a run that has begun and has no result."""
    if status.get("state") == "failed":
        ends = [event for event in attempts if event.get("event") == "end"]
        interrupted = bool(ends) and ends[-1].get("outcome") == "interrupted"
        return "interrupted" if interrupted else "failed"
    if status.get("state") == "requeued":
        return "requeued"
    working: State = "evaluating" if progress.get("phase") == "evaluating" else "running"
    if status.get("host") == platform.node():
        return working if _is_alive(status.get("pid")) else "killed"
    if slurm is not None and slurm.startswith(("RUNNING", "COMPLETING")):
        return working
    if slurm is not None:
        return "requeued"
    if moment.slurm is not None and status.get("job"):
        return "killed"
    return "silent" if age is None or age > moment.silent_seconds else working


def _preempted(attempts: list[dict[str, Any]], *, ended: bool) -> int:
    """Attempts that did not come to an end of their own; the last one only if it has ended."""
    outcomes = {event["attempt"]: "killed" for event in attempts if event.get("event") == "start"}
    outcomes |= {event["attempt"]: event.get("outcome") for event in attempts if event.get("event") == "end"}
    *earlier, last = outcomes.values() if outcomes else [None]
    counted = [*earlier, last] if ended else earlier
    return sum(outcome in ("killed", "requeued", "superseded") for outcome in counted)


def _is_alive(pid: object) -> bool:
    """Whether a process of this machine runs."""
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(time: str, now: datetime.datetime) -> float | None:
    try:
        return (now - datetime.datetime.fromisoformat(time)).total_seconds()
    except (ValueError, TypeError):
        return None


def _events(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON objects; a torn last one is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict) and "attempt" in event]
