"""Names how the process of a run ends: the exit codes, and which of them call for another attempt.

`cluster.after_srun` reads this file where no package can be imported, so it must need nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of our programs; a program that a signal has ended leaves with 128 and the signal's number."""

    DONE = 0
    """All that was asked for is there."""
    ERROR = 1
    """The program could not do what it was asked to; its message says why."""
    PEER_LOST = 1
    """A run's process under Slurm has lost another one: srun's code, the largest of all, is then that one's."""
    FAILED = 3
    """A run's process under Slurm ended by an exception: another attempt would fail again."""
    LEASE_LOST = os.EX_TEMPFAIL
    """The process cannot tell whether its run belongs to a newer attempt: another attempt can."""
    INTERRUPTED = 128 + signal.SIGINT
    """Ctrl-C has ended the program."""
    SUPERSEDED = 86
    """The run belongs to a newer attempt."""
    REQUEUED = 255
    """The run is back in Slurm's queue by its own request."""


FINAL = frozenset((ExitCode.DONE, ExitCode.FAILED, ExitCode.SUPERSEDED, ExitCode.REQUEUED))
"""Exit codes of srun after which the job's script does nothing more."""

MOST_CRASHES = 3
"""So many crashes in a row without progress are the end of a run."""


@contextmanager
def ending_the_program() -> Iterator[None]:
    """Ends the program with a message where the block raises: Hydra turns exceptions of callbacks into warnings."""
    from mixlingual.records import MixlingualError

    try:
        yield
    except MixlingualError as error:
        sys.exit(f"error: {error}")
    except Exception:
        sys.exit(f"error: {traceback.format_exc()}")
