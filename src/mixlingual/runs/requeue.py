"""Asks Slurm to queue a run's job again, and says so where Slurm does not."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from mixlingual.runs.exits import ExitCode
from mixlingual.runs.lease import slurm_job

log = logging.getLogger(__name__)

_ASKING_SECONDS = 60.0
"""How long a run asks a controller that is away: half of the default `hydra.launcher.signal_delay_s`, since the step
and the checkpoint before took their part. Then it leaves, and the job's script asks on (`cluster.after_srun`)."""

_PAUSE_SECONDS = 5.0
"""Between two questions."""

_GO_ON = "the same command starts the run again, and it goes on from its newest checkpoint"


@dataclass(frozen=True)
class Answer:
    """Whether the job is back in the queue, the exit code to leave with, and why not, if it is not."""

    requeued: bool
    code: int
    reason: str | None = None


def ask_for_requeue(handler: Callable[[int, None], None]) -> Answer:
    """Asks until Slurm takes the job back, forbids it, or has not answered for too long.

    Args:
        handler: submitit's of SIGUSR2, which runs `scontrol requeue` and ends the process where that succeeds.
    """
    give_up = time.monotonic() + _ASKING_SECONDS
    while True:
        try:
            handler(signal.SIGUSR2, None)
        except SystemExit as ended:
            return Answer(requeued=True, code=int(ended.code or 0))
        except (subprocess.SubprocessError, OSError) as error:
            if _is_forbidden():
                reason = f"its time was up, and hydra.launcher.requeue=false keeps it out of the queue; {_GO_ON}"
                return Answer(requeued=False, code=ExitCode.FAILED, reason=reason)
            if time.monotonic() > give_up:
                reason = f"Slurm does not queue the run again ({error}); its script asks on. If in vain, {_GO_ON}"
                return Answer(requeued=False, code=128 + signal.SIGUSR2, reason=reason)
            log.warning("Slurm does not queue the run again (%s); asking on", error)
            time.sleep(_PAUSE_SECONDS)
        except Exception as error:  # submitit's own, where hydra.launcher.max_num_timeout is reached
            return Answer(requeued=False, code=ExitCode.FAILED, reason=f"{str(error).rstrip('.')}; {_GO_ON}")


def _is_forbidden() -> bool:
    """Whether the job was submitted never to be queued again."""
    command = ["scontrol", "--oneliner", "show", "job", slurm_job() or ""]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return re.search(r"\bRequeue=0\b", shown.stdout) is not None
