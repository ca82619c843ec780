"""Names the analyses that the runs do not allow, with reasons: one that fails takes no other with it."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable
from typing import NamedTuple, TypeVar, overload

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Instead = TypeVar("Instead")

_FAILED = "it ended in"


class Gap(NamedTuple):
    """What stands in the place of a result."""

    analysis: str
    """What was to be computed, as the start of a sentence."""
    reason: str
    """Why it was not, as the end of one."""

    @property
    def is_fault(self) -> bool:
        """Whether it is for a fault of the program, or of a file, and not for what the runs are."""
        return self.reason.startswith(_FAILED)


class NotPossibleError(Exception):
    """Raised by an analysis that the runs do not allow; its text is the reason of the `Gap`."""


class Attempts:
    """Computes analyses one by one and keeps the gaps."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    @overload
    def __call__(self, analysis: str, compute: Callable[[], Result]) -> Result | None: ...

    @overload
    def __call__(self, analysis: str, compute: Callable[[], Result], instead: Instead) -> Result | Instead: ...

    def __call__(self, analysis: str, compute: Callable[[], Result], instead: object = None) -> object:
        """The result; `instead` where there is none, and then a gap says why.

        Whatever ends an analysis is kept here, lest it end the report: only the analysis knows its inputs, and a report
        with a named gap is worth more than none.
        """
        try:
            return compute()
        except NotPossibleError as error:
            reason = str(error)
        except Exception as error:
            log.debug("%s", analysis, exc_info=True)
            reason = f"{_FAILED} {type(error).__name__}: {error}"
        self.gaps.append(Gap(analysis, reason))
        return instead

    def beside(self, analysis: str, compute: Callable[[Attempts], Result]) -> Callable[[], Result | None]:
        """Starts an analysis in a copy of this process, where there are such; what it returns waits for the result.

        Args:
            analysis: its name.
            compute: its result can be pickled. The attempts that it is given keep the gaps of its parts.
        """
        if "fork" not in multiprocessing.get_all_start_methods():
            found = self(analysis, lambda: compute(self))
            return lambda: found
        fork = multiprocessing.get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)

        def work() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard's interrupt ends the other process, and so this
            own = Attempts()
            sender.send((own(analysis, lambda: compute(own)), own.gaps))

        process = fork.Process(target=work, daemon=True)
        process.start()
        sender.close()

        def wait() -> Result | None:
            try:
                result, gaps = receiver.recv()
            except EOFError:
                result, gaps = None, [Gap(analysis, f"{_FAILED} its process being killed, as where memory is short")]
            process.join()
            self.gaps += gaps
            found: Result | None = result
            return found

        return wait
