"""Names the analyses that the runs do not allow, with reasons: one that fails takes no other with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Gap(NamedTuple):
    """What stands in the place of a result."""

    analysis: str
    """What was to be computed, as the start of a sentence."""
    reason: str
    """Why it was not, as the end of one."""


class NotPossibleError(Exception):
    """Raised by an analysis that the runs do not allow; its text is the reason of the `Gap`."""


class Attempts:
    """Computes analyses one by one and keeps the gaps."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    def __call__(self, analysis: str, compute: Callable[[], Result]) -> Result | None:
        """The result; None where there is none, and then a gap says why.

        Whatever ends an analysis is kept here, lest it end the report: only the analysis knows its inputs, and a report
        with a named gap is worth more than none.
        """
        try:
            return compute()
        except NotPossibleError as error:
            reason = str(error)
        except Exception as error:
            log.debug("%s", analysis, exc_info=True)
            reason = f"it ended in {type(error).__name__}: {error}"
        self.gaps.append(Gap(analysis, reason))
        return None
