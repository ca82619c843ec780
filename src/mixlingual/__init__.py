"""Trains and evaluates multilingual retrievers over a grid of model sizes and batch ratios."""

from __future__ import annotations

import sys
from types import TracebackType


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Says in a word that Ctrl-C has ended the program."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # `python -m mixlingual.NAME` comes here first, and then imports for seconds
    sys.excepthook = _without_traceback
