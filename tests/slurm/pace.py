"""Does to a cell from within what tests ask for, as a Lightning callback; `Sweep` has the variables.

Copied into a folder of its own on PYTHONPATH, with the metadata of a package, so that Lightning finds it.
"""

import os
import signal
import time
from pathlib import Path

from pytorch_lightning import Callback

ENTRY_POINT = "[pytorch_lightning.callbacks_factory]\npace = pace:callbacks\n"


class UnpicklableError(Exception):
    """Has two arguments and cannot be taken out of a pickle, which kills a driver that tries."""

    def __init__(self, run, step):
        super().__init__(f"{run} fails at step {step} on purpose")


class Pace(Callback):
    """Makes each step last longer, and brings one run to grief at one step, each time it comes there."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        began = time.monotonic()
        while time.monotonic() - began < float(Path(os.environ["PACE_FILE"]).read_text() or 0):
            time.sleep(0.02)
        grief, _, place = os.environ.get("PACE_GRIEF", "").partition("@")
        run = Path(trainer.default_root_dir).name
        if not grief or place != f"{run}:{trainer.global_step}":
            return
        if grief == "raise":
            raise UnpicklableError(run, trainer.global_step)
        os.kill(os.getpid(), signal.SIGKILL)


def callbacks():
    return [Pace()]
