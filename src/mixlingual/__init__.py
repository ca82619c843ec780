"""Trains and evaluates multilingual retrievers over a grid of model sizes and batch ratios."""

from __future__ import annotations

import os
import sys
from types import TracebackType

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
"""Threads that wait for others sleep. OpenMP reads this when PyTorch is loaded; by its own default they spin, which
takes the cores from every other run of the machine. A value that the user has set, as one of GOMP_SPINCOUNT, stays."""


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Says in a word that Ctrl-C has ended the program."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # `python -m mixlingual.NAME` comes here first, and then imports for seconds
    sys.excepthook = _without_traceback
