"""Lets a worker of this machine leave when the driver of its grid is gone.

Left alone it would train on, run after run, with nobody to stop it.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

_LOOK_SECONDS = 0.5


def while_alive(driver: int, task: Callable[[Any], Any], config: object) -> object:
    """Runs a cell in a worker. When the driver is gone it is told to end, and so is the worker."""
    _watch(driver)
    try:
        return task(config)
    finally:
        if os.getppid() != driver:
            os._exit(128 + signal.SIGTERM)


@functools.cache
def _watch(driver: int) -> None:
    """Once in a worker, which runs many cells."""
    threading.Thread(target=_follow, args=(driver,), daemon=True).start()


def _follow(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
