"""Keeps one attempt at a run: who may write into the run's folder, and what became of each attempt.

A run that was preempted, killed or moved to another machine is attempted again, in the same folder, and the process
of an earlier attempt may outlive its node's death. So the newest attempt puts a token of its own into lease.json, and
every attempt looks for its token before it writes: the fencing token of Gray & Cheriton 1989 (Leases, SOSP) and of
Burrows 2006 (The Chubby lock service, section 2.4). docs/decisions/0008-cluster.md has the whole design.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import platform
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

import psutil
from filelock import FileLock, Timeout

from mixlingual.files import lock_on, read_object, written_whole
from mixlingual.layout import ATTEMPTS, LEASE, LOCK, STATUS
from mixlingual.records import MixlingualError, is_number
from mixlingual.runs.exits import ExitCode

log = logging.getLogger(__name__)

Outcome = Literal["done", "failed", "requeued", "interrupted"]


class PeerLostError(Exception):
    """Another process of the run has ended: what became of the run, that one knows."""


INTERRUPTED = "interrupted; started again it goes on from its newest checkpoint"
"""Reason of an attempt that a signal has ended."""


class LeaseLostError(MixlingualError):
    """Whose the run is cannot be told, as where its folder was deleted: nothing more may be written there."""


class Ended(SystemExit):
    """Ends a process whose attempt's end is recorded, or is the first process's to record."""


_LEASE_SECONDS = 1.0
"""How old the knowledge of the lease may be where `superseded` is asked at every step."""

_LOCK_SECONDS = 0.2
"""How long a lock that another process holds is tried: one that is just letting go needs a moment."""

_CLOCK_SECONDS = 10.0
"""How far the birth of a process may seem to move, since the system tells it by a clock that may be set."""

_LOOKS = 5
_LOOK_SECONDS = 1.0
"""Looks at a lease.json that is missing or damaged, and the time after each: a network file system may show it so for a
moment while another machine replaces it."""


class Attempt:
    """The newest attempt at a run, in the first of its processes.

    Attributes:
        number: 1 for the first attempt.
        commits: of all attempts, in order, this one's last.
        step: optimiser steps done so far; None before training.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the lease of the run in the folder, and with it the right to write there."""
        self.step: int | None = None
        self._folder = folder
        self._started = now()
        starts = [event for event in read_attempts(folder) if event.get("event") == "start"]
        self.number = len(starts) + 1
        self.commits = [*(event.get("commit") for event in starts), code_commit()]
        self._token = uuid.uuid4().hex
        self._looked = time.monotonic()
        self._own = {"host": platform.node(), "pid": os.getpid(), "job": slurm_job()}
        lease = {"token": self._token, "attempt": self.number, **self._own, "restart": _restarts(), "taken": now()}
        write_json(self._folder / LEASE, lease)
        self._append("start", **self._own, commit=self.commits[-1])
        self._write_status("started")
        if self.commits[0] != self.commits[-1]:
            log.warning(
                "attempt %d runs code of commit %s, the first ran that of %s: the run may end otherwise",
                self.number,
                self.commits[-1],
                self.commits[0],
            )

    def superseded(self) -> bool:
        """Whether a newer attempt owns the run; looks at most once a second, so that any step may ask."""
        if time.monotonic() - self._looked < _LEASE_SECONDS:
            return False
        self._looked = time.monotonic()
        return not self._is_owner()

    def check(self) -> None:
        """To be called right before any write: ends the process as superseded if a newer attempt owns the run."""
        if not self._is_owner():
            leave_superseded(self._folder)

    def _is_owner(self) -> bool:
        """Whether lease.json has this attempt's token.

        Raises:
            LeaseLostError: it stays missing or damaged. Under Slurm the process ends instead, to be queued again.
        """
        if not (lease := _read_lease(self._folder)):
            problem = "is missing or damaged" if self._folder.is_dir() else "was deleted with its folder"
            lost = f"{self._folder / LEASE} {problem} while the run was at work, so whose it is cannot be told; "
            if slurm_job() is None:
                raise LeaseLostError(lost + "start it again")
            log.error("%sthe job's script starts it again", lost)
            leave(ExitCode.LEASE_LOST)
        return lease.get("token") == self._token

    def end(self, outcome: Outcome, reason: str | None = None, trace: str | None = None) -> None:
        """Records what became of the attempt, in attempts.jsonl and status.json; of several ends the last counts."""
        self.check()
        self._append("end", outcome=outcome, reason=reason, step=self.step)
        self._write_status("failed" if outcome == "interrupted" else outcome, reason, trace)

    def end_without_peer(self, error: PeerLostError) -> None:
        """As `end`: failed, if that is what the other process said of itself, else interrupted."""
        status = read_object(self._folder / STATUS)
        if status.get("state") == "failed":
            self.end("failed", status["reason"], status["traceback"])
        else:
            self.end("interrupted", f"{error}; started again it goes on from its newest checkpoint")

    def _append(self, event: str, **facts: Any) -> None:
        append_event(self._folder, event, self.number, **facts)

    def _write_status(self, state: str, reason: str | None = None, trace: str | None = None) -> None:
        status = {"state": state, "reason": reason, "traceback": trace, "started": self._started, "updated": now()}
        born = {"attempt": self.number, "born": psutil.Process().create_time()}
        write_json(self._folder / STATUS, status | self._own | born)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run's folder; the system lets go of it when the process ends, however it ends.

    A Slurm job that was requeued does not wait for its own earlier attempt, whose node may have died without
    telling: it puts a lock of its own in the place of the old one, and the lease makes the old one leave.

    Raises:
        MixlingualError: another process is at work on the run.
    """
    lock = lock_on(folder / LOCK, _LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        lease = _read_lease(folder)
        if not _is_earlier_attempt(lease):
            raise MixlingualError(
                f"{folder} is being trained by another process{_whose(lease)}; wait for it, or choose another "
                f"run_name. If its machine is gone for good, delete {folder / LOCK}"
            ) from None
        lock = _lock_in_place_of(folder / LOCK)
        log.warning("taking over from attempt %s of this job%s, which has not let go", lease["attempt"], _whose(lease))
        append_event(folder, "end", lease["attempt"], outcome="superseded", reason="its job was requeued", step=None)
    except OSError as error:
        raise MixlingualError(
            f"{folder / LOCK} cannot be locked ({error}), without which two processes could write the same run; mount "
            "its file system with locks (Lustre: -o flock), or put multirun/ on another one"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _lock_in_place_of(path: Path) -> FileLock:
    """A lock, held, on a new file in the place of one that another process holds."""
    new = path.with_name(f".{LOCK}.{uuid.uuid4().hex}")
    lock = lock_on(new)
    lock.acquire()
    new.replace(path)
    return lock


def _is_earlier_attempt(lease: dict[str, Any]) -> bool:
    """Whether the lease is that of this Slurm job before its last requeue."""
    job = slurm_job()
    return job is not None and lease.get("job") == job and lease["restart"] < _restarts()


def _whose(lease: dict[str, Any]) -> str:
    return f" (process {lease['pid']} on {lease['host']})" if lease else ""


def _read_lease(folder: Path) -> dict[str, Any]:
    """Content of lease.json; empty where it is missing or damaged at every look."""
    for _ in range(_LOOKS):
        if lease := read_object(folder / LEASE):
            return lease
        time.sleep(_LOOK_SECONDS)
    return {}


def record_failure(folder: Path, rank: int, error: Exception) -> None:
    """Lets status.json say why the run failed, where another process than the first did.

    Unless the run is another attempt's by now.
    """
    lease = _read_lease(folder)
    if (lease.get("job"), lease.get("restart")) != (slurm_job(), _restarts()):
        return
    status = read_object(folder / STATUS)
    reason = f"process {rank}: {type(error).__name__}: {error}"
    failure = {"state": "failed", "reason": reason, "traceback": traceback.format_exc(), "updated": now()}
    write_json(folder / STATUS, status | failure)


def leave_superseded(folder: Path) -> NoReturn:
    """Ends the process at once and without a trace in the run's files."""
    log.warning("a newer attempt owns %s; this one leaves and writes nothing more", folder)
    leave(ExitCode.SUPERSEDED)


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code that nothing on the way out can change."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def append_event(folder: Path, event: str, attempt: int, **facts: Any) -> None:
    """Adds a line to the folder's attempts.jsonl, on disk when this returns."""
    line = json.dumps({"event": event, "attempt": attempt, "time": now(), **facts}, ensure_ascii=False)
    path = folder / ATTEMPTS
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + line + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """The events of attempts.jsonl, oldest first; none where there is no file.

    What is no JSON object, as a line torn by a kill, is left out.
    """
    try:
        lines = (folder / ATTEMPTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        with suppress(ValueError):
            events.append(json.loads(line))
    return [event for event in events if isinstance(event, dict)]


def process_of(status: dict[str, Any]) -> Literal["at work", "stopped", "gone"]:
    """What the process of a status.json of this machine does.

    A later process may have its number, but was born at another time.
    """
    try:
        process = psutil.Process(status["pid"])
        doing, born = process.status(), process.create_time()
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError):
        return "gone"
    known = status.get("born")
    if doing == psutil.STATUS_ZOMBIE or (is_number(known) and abs(born - known) > _CLOCK_SECONDS):
        return "gone"
    return "stopped" if doing == psutil.STATUS_STOPPED else "at work"


def slurm_job() -> str | None:
    """The Slurm job that this process belongs to, as 12 or, in an array, 12_3; None outside of Slurm."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")


def types_in_shell() -> bool:
    """Whether the process belongs to a Slurm job that somebody types in, as salloc's: it ends as any other does."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")


def global_rank() -> int:
    """Number of this process among those of the run, also before they are connected."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def own_name(name: str) -> str:
    """Name of a file that every process of the run writes: as given for the first, with .rank1 for the second."""
    return f"{name}.rank{global_rank()}" if global_rank() else name


def _restarts() -> int:
    """How often Slurm has requeued the job."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def code_commit() -> str | None:
    """The code's git commit, with a + where the checkout has uncommitted changes; None outside of a checkout."""
    git = ("git", "-C", str(Path(__file__).parent))
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole."""
    with written_whole(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
