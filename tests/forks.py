"""Starts processes for tests as forks of this one, which need not import torch and Lightning again.

What tests a launcher, an entry point's file or an installed package starts Python anew instead.
"""

import atexit
import importlib
import os
import pickle
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback

PATIENCE = 300
"""A process that has not ended after so many seconds is killed and fails its test."""

_NEEDED = {
    "mixlingual.train": ["mixlingual.grid.cell"],
    "mixlingual.evaluate": ["mixlingual.grid.evaluation"],
    "mixlingual.report": ["mixlingual.reporting.write", "mixlingual.analysis.read.parts"],
}
"""What an entry point imports where it is used."""


def fork(act, folder, **environment):
    """Starts a fork that calls `act` with more variables set, and returns its number.

    It ends with the code of a SystemExit, with 1 after another exception, else with 0. What it prints goes to the
    files `stdout` and `stderr` of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if child := os.fork():
        return child
    code = 1
    try:
        atexit._clear()  # what pytest would do when it ends
        os.environ.update(environment)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        act()
        code = 0
    except SystemExit as ended:
        code = ended.code % 256 if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")  # as Python does
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child):
    """Returns the exit code of a fork; minus the signal if one has killed it."""
    deadline = time.monotonic() + PATIENCE
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a process has not ended after {PATIENCE} s")
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


def on_ranks(folder, world, call, *, codes=None):
    """Returns what `call()` gives in each of `world` processes that are connected as torchrun connects them.

    Args:
        folder: receives the output of each process in `rank0`, `rank1` ...
        codes: exit codes that are expected, by rank; None: all 0.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def act(answer):
        answer.write_bytes(pickle.dumps(call()))

    children = []
    for rank in range(world):
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        ranks |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
        own = folder / f"rank{rank}"
        environment = {name: str(value) for name, value in ranks.items()}
        children.append(fork(lambda own=own: act(own / "answer"), own, **environment))
    ended = [wait(child) for child in children]
    said = "".join((folder / f"rank{rank}" / "stderr").read_text()[-3000:] for rank in range(world))
    assert ended == (codes or [0] * world), said
    answers = [folder / f"rank{rank}" / "answer" for rank in range(world)]
    return [pickle.loads(path.read_bytes()) for path in answers if path.exists()]


def run_module(folder, module, *words, **environment):
    """Does what `python -m module words` does in a folder; returns a finished process with its output."""
    for needed in (module, *_NEEDED.get(module, ())):
        importlib.import_module(needed)  # here, for the forks that follow, too

    def act():
        os.chdir(folder)
        sys.argv = [module, *words]
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    output = folder / ".output"
    for name in ("stdout", "stderr"):
        (output / name).unlink(missing_ok=True)
    code = wait(fork(act, output, **environment))
    return subprocess.CompletedProcess(words, code, *((output / name).read_text() for name in ("stdout", "stderr")))
