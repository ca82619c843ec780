"""Does many like tasks in several processes, which end with this one."""

from __future__ import annotations

import functools
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import joblib

Task = TypeVar("Task")
Done = TypeVar("Done")


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(act: Callable[[Task], Done], tasks: Sequence[Task], processes: int) -> Iterator[tuple[int, Done]]:
    """Yields (number of a task, what `act` gave for it), in the order in which they end; here if one process is enough.

    The first exception of a task is raised, and tasks that have not begun are left. Processes end when this one is
    killed, so that none works on what the next start does again.

    Args:
        act: a function that can be pickled.
        tasks: what it is called with, in this order.
        processes: so many work at a time.
    """
    if min(processes, len(tasks)) <= 1:
        for number, task in enumerate(tasks):
            yield number, act(task)
        return
    with tempfile.NamedTemporaryFile() as file:
        pickle.dump(act, file)
        file.flush()
        pool = joblib.Parallel(min(processes, len(tasks)), return_as="generator_unordered", max_nbytes=None)
        yield from pool(joblib.delayed(_done)(os.getpid(), file.name, *each) for each in enumerate(tasks))


def _done(parent: int, path: str, number: int, task: Any) -> tuple[int, Any]:
    if not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=_end_with, args=(parent,), name=_WATCH, daemon=True).start()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each of these processes has one core
    return number, _unpickled(path)(task)


@functools.lru_cache(maxsize=1)
def _unpickled(path: str) -> Callable[[Any], Any]:
    """Returns what to do, read once in each process: a tokenizer is large."""
    act: Callable[[Any], Any] = pickle.loads(Path(path).read_bytes())
    return act


_WATCH = "ends this process with its parent"


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
