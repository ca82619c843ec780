"""Judges how a run stands, and why, for all who ask: status, the end of a grid, the report and the preflight.

It reads the files in the run's folder and what the sweep's jobs.json and Slurm say. A file that is absent, torn or
foreign counts as not there, except a torn result: the picture is made while others write.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from mixlingual.files import read_object
from mixlingual.layout import CRASH, PROGRESS, RESULT, STATUS, SWEEP
from mixlingual.records import MixlingualError, RunResult, is_number
from mixlingual.runs.copies import copies
from mixlingual.runs.jobs import AGAIN, after_release, end_of_job, read_jobs
from mixlingual.runs.lease import process_of, read_attempts
from mixlingual.runs.result import MALFORMED, read_run
from mixlingual.runs.validation import read_points

State = Literal[
    "planned", "queued", "held", "running", "evaluating", "requeued", "silent", "killed", "interrupted", "failed",
    "unreadable", "done",
]  # fmt: skip
STATES: tuple[State, ...] = get_args(State)

SILENT_SECONDS = 600.0


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
    """Why the run is not done, in a line; empty where nothing is wrong."""
    log: str = ""
    """What the run's job printed; empty without a job."""
    updated: str = ""
    """ISO time of the last sign of life."""
    validated: dict[str, float] | None = None
    """The newest validation of a run: see `runs.validation.read_points`."""
    traceback: str = field(default="", repr=False)
    result: RunResult | None = field(default=None, repr=False)
    """Set exactly when the run is done."""

    @property
    def words(self) -> str:
        """State and reason, as people read it."""
        return f"{self.state}: {self.reason}" if self.reason else self.state


@dataclass(frozen=True)
class Moment:
    """What a run's state depends on beside its files."""

    now: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    """With its time zone."""
    silent_seconds: float = SILENT_SECONDS
    """A run on another machine without a sign of life for longer is silent."""
    slurm: Mapping[str, str] | None = None
    """Job -> its state, of all jobs that Slurm knows; None without Slurm."""


def read_states(folder: Path, moment: Moment) -> list[RunState]:
    """The runs of a sweep, planned ones first and in their order.

    Raises:
        MixlingualError: the folder holds no runs.
    """
    listed = read_object(folder / SWEEP).get("runs")
    planned = {str(run.get("run_name")): run for run in listed or [] if isinstance(run, dict)}
    names = list(dict.fromkeys([*planned, *read_jobs(folder), *begun(folder)]))
    if not names:
        raise MixlingualError(no_sweep(folder))
    return [
        replace(state, model=run.get("model", ""), ratio=run.get("monolingual_ratio"), seed=run.get("seed"))
        for state in states_of(folder, names, moment)
        for run in [planned.get(state.name, {})]
    ]


def begun(sweep: Path) -> list[str]:
    """Names of the runs in a sweep's folder that have begun, sorted."""
    return sorted({path.parent.name for name in (STATUS, RESULT) for path in sweep.glob(f"*/{name}")})


def no_sweep(folder: Path) -> str:
    """What to say of a folder without runs."""
    beside = (*folder.parent.glob(f"*/{SWEEP}"), *(path.parent for path in folder.parent.glob(f"*/*/{STATUS}")))
    sweeps = sorted({path.parent.name for path in beside})
    known = f"sweeps beside it: {', '.join(sweeps)}" if sweeps else f"{folder.parent} holds no sweeps yet"
    problem = "holds no runs" if folder.is_dir() else "does not exist"
    return (
        f"the sweep folder {folder} {problem}; {known}. Name a sweep with sweep_name=NAME and the folder of "
        "the sweeps with root=FOLDER, or start one with python -m mixlingual.train"
    )


def state_of(folder: Path, moment: Moment | None = None) -> RunState:
    """How the run in a folder stands. The folder need not exist; the moment is now, without Slurm, if None."""
    return states_of(folder.parent, [folder.name], moment)[0]


def states_of(
    sweep: Path, names: Sequence[str], moment: Moment | None = None, read: Callable[[Path], RunResult] = read_run
) -> list[RunState]:
    """How some runs of a sweep stand, in their order.

    A copy of a run's folder is no second run, so the others in the sweep's folder are looked at too. `read` reads the
    result in the folder of a run, as `read_run`.
    """
    moment, jobs = moment or Moment(), read_jobs(sweep)
    states = {
        name: _state_alone(sweep / name, moment, jobs.get(name, {}), read)
        for name in dict.fromkeys([*names, *begun(sweep)])
    }
    originals = copies({name: state.result for name, state in states.items() if state.result})
    return [
        replace(state, state="unreadable", result=None, reason=_COPY.format(originals[state.name]))
        if state.name in originals
        else state
        for state in map(states.__getitem__, names)
    ]


_COPY = "it is the same run as {}: a copy of its folder? Delete one of the two"


def _state_alone(
    folder: Path, moment: Moment, submitted: dict[str, Any], read: Callable[[Path], RunResult]
) -> RunState:
    """How a run stands by its own files and by what jobs.json says of it."""
    status, progress, attempts = read_object(folder / STATUS), read_object(folder / PROGRESS), read_attempts(folder)
    other = bool(status) and status.get("job") != submitted.get("job")
    if other and submitted.get("launcher") != "local" and _text(status, "started") >= _text(submitted, "submitted"):
        submitted = {}  # the run was started by other means since
    waits_anew = other and submitted.get("launcher") == "slurm"
    job = submitted.get("job") if waits_anew else status.get("job") or submitted.get("job")
    slurm = (moment.slurm or {}).get(job or "")
    if _text(progress, "time") < _text(status, "started"):
        progress = {"step": progress.get("step"), "steps": progress.get("steps")}  # an earlier attempt's
    updated = max(_text(status, "updated"), _text(progress, "time"))
    known = RunState(
        folder.name,
        "planned",
        attempts=max(_started(attempts), int(status["attempt"]) if is_number(status.get("attempt")) else 0),
        preempted=_preempted(attempts, ended=status.get("state") != "started"),
        job=job,
        slurm=slurm,
        log=str(submitted.get("log") or ""),
        updated=updated,
        validated=next(reversed(read_points(folder)), None),
        traceback=_text(status, "traceback"),
    )
    if (folder / RESULT).exists():
        return _finished(folder, known, read)
    if not submitted and not (folder / STATUS).exists():
        return known
    if found := _by_job(folder, status, submitted, job, slurm, moment):
        return replace(known, state=found[0], reason=found[1])
    if waits_anew or (submitted and not status):
        return replace(known, state="queued")
    known = replace(known, step=progress.get("step"), steps=progress.get("steps"), age=_age(updated, moment.now))
    state, reason = _by_status(status, progress, attempts, known, moment)
    if state in ("running", "silent"):
        pace, left = progress.get("pairs_per_second"), progress.get("seconds_left")
        known = replace(known, pairs_per_second=pace, seconds_left=left)
    return replace(known, state=state, reason=reason)


def _finished(folder: Path, known: RunState, read: Callable[[Path], RunResult]) -> RunState:
    """The state of a run that has a result.json, which is written last: whatever status.json says, it is done."""
    try:
        return replace(known, state="done", result=read(folder), traceback="")
    except MALFORMED as error:
        return replace(known, state="unreadable", reason=f"{error}; move the folder away and start the run again")


def _by_job(
    folder: Path,
    status: dict[str, Any],
    submitted: dict[str, Any],
    job: str | None,
    slurm: str | None,
    moment: Moment,
) -> tuple[State, str] | None:
    """What the driver's notes or Slurm say of a run without a result; None where its own files know it better."""
    if job is not None and slurm and slurm.startswith("PENDING") and "held" in slurm.lower():
        return "held", f"job {job} is held; {after_release(job)}"
    ended = submitted.get("ended")
    if submitted.get("launcher") != "slurm" or job is None:
        return ("killed", end_of_job(submitted, {})) if ended and not status else None
    if held := submitted.get("held"):
        return "held", f"job {job} is held ({held}); {after_release(job)}"
    own_end = status.get("state") == "failed" and status.get("job") == job
    if ended and not (own_end and ended not in ("CANCELLED", "TIMEOUT")):
        return "killed", end_of_job(submitted, read_object(folder / CRASH))
    if not own_end and moment.slurm is not None and slurm is None:
        return "killed", f"job {job} is not in the queue any more; {AGAIN}"
    return None


def _by_status(
    status: dict[str, Any], progress: dict[str, Any], attempts: list[dict[str, Any]], known: RunState, moment: Moment
) -> tuple[State, str]:
    """State and reason of a run that has begun and has no result."""
    reason = (_text(status, "reason").splitlines() or [""])[0]
    state = status.get("state")
    if state == "failed":
        ends = [event for event in attempts if event.get("event") == "end"]
        interrupted = bool(ends) and ends[-1].get("outcome") == "interrupted"
        return "interrupted" if interrupted else "failed", reason
    if state == "requeued":
        return "requeued", f"it went back into the queue {reason}".rstrip()
    if state != "started":
        said = f"says {state!r}, but there is no {RESULT}" if state == "done" else f"has the unknown state {state!r}"
        return "unreadable", f"{STATUS} {said if status else 'is no JSON object'}; {AGAIN}"
    working: State = "evaluating" if progress.get("phase") == "evaluating" else "running"
    if status.get("host") == platform.node():
        doing = process_of(status)
        if doing == "stopped":
            return "silent", _STOPPED.format(status["pid"])
        return (working, "") if doing == "at work" else ("killed", _KILLED)
    if known.slurm is not None:
        return (working if known.slurm.startswith(("RUNNING", "COMPLETING")) else "requeued"), ""
    if moment.slurm is not None and status.get("job"):
        return "killed", f"job {status['job']} is not in the queue any more; {AGAIN}"
    if known.age is None or known.age > moment.silent_seconds:
        host = status.get("host") or "an unknown machine"
        return "silent", f"there is no sign of life from process {status.get('pid')} on {host}; it may be dead"
    return working, ""


_STOPPED = "its process {0} is stopped, as by Ctrl-Z; `kill -CONT {0}` lets it go on"
_KILLED = f"its process ended without a word: it was killed, as where memory is short; {AGAIN}"


def _started(attempts: list[dict[str, Any]]) -> int:
    return sum(event.get("event") == "start" for event in attempts)


def _preempted(attempts: list[dict[str, Any]], *, ended: bool) -> int:
    """Attempts that did not come to an end of their own; the last one only if it has ended."""
    outcomes: dict[Any, Any] = {event.get("attempt"): "killed" for event in attempts if event.get("event") == "start"}
    outcomes |= {event.get("attempt"): event.get("outcome") for event in attempts if event.get("event") == "end"}
    *earlier, last = outcomes.values() if outcomes else [None]
    counted = [*earlier, last] if ended else earlier
    return sum(outcome in ("killed", "requeued", "superseded") for outcome in counted)


def _age(time: str, now: datetime.datetime) -> float | None:
    try:
        return (now - datetime.datetime.fromisoformat(time)).total_seconds()
    except (ValueError, TypeError):
        return None


def _text(content: dict[str, Any], name: str) -> str:
    return str(content.get(name) or "").strip()
