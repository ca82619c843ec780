"""What signals ask of a run, and the end of a step as the one place where they are answered during training.

A handler only takes note. At the end of the step all processes agree on what to do, save a checkpoint together and go
on or leave; so a run that is started again ends with the same bits. Before and after training there is nothing to
save that the last checkpoint does not hold, and signals are answered at once.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingual.cluster.requeue import ask_for_requeue
from mixlingual.runs.lease import EXIT_SUPERSEDED, Attempt, Ended, leave, slurm_job, types_in_shell
from mixlingual.training.gather import global_rank, largest

log = logging.getLogger(__name__)


class Request(IntEnum):
    """What the processes of a run are to do at the end of a step; of several, the largest counts."""

    NOTHING = 0
    CHECKPOINT = 1
    """Save and go on: it is time, or Slurm has announced the end of the job, which it may not mean."""
    INTERRUPT = 2
    TERMINATE = 3
    REQUEUE = 4
    """Save, and go back into Slurm's queue."""
    LEAVE = 5
    """Write nothing more: the run belongs to a newer attempt."""


_SIGNAL_OF = {
    Request.INTERRUPT: signal.SIGINT,
    Request.TERMINATE: signal.SIGTERM,
    Request.REQUEUE: signal.SIGUSR2,
}


class Signals:
    """While entered, takes the signals that may end a run: SIGINT, SIGTERM, and Slurm's SIGUSR1 and SIGUSR2.

    Attributes:
        attempt: what owns the run; None in all of its processes but the first.
        wait: whether signals wait for `take`; otherwise each is answered where it comes.
    """

    def __init__(self, attempt: Attempt | None) -> None:
        self.attempt = attempt
        self.wait = False
        self._process = os.getpid()
        self._asked: deque[Request] = deque()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """To be called right before a write into the run's folder: `Attempt.check`, where this process has it."""
        if self.attempt:
            self.attempt.check()

    def take(self) -> Request:
        """The largest request that has come since the last call."""
        request = Request.NOTHING
        while self._asked:
            request = max(request, self._asked.popleft())
        return request

    def answer_at_once(self) -> None:
        """No longer lets signals wait; answers what has come meanwhile."""
        self.wait = False
        self.answer(self.take())

    def answer(self, request: Request) -> None:
        """Ends the process where the request says so.

        Raises:
            Ended: the first process has asked Slurm to start the job again; the others leave without a word.
            SystemExit: with 128 and the number of the signal.
        """
        if request > Request.CHECKPOINT:
            self._requeue() if request == Request.REQUEUE and self._requeuer else self._interrupt(_SIGNAL_OF[request])

    @property
    def _requeuer(self) -> Callable[[int, None], None] | None:
        """The handler of SIGUSR2 that was there before: submitit's, which puts the job back into the queue."""
        handler = self._previous.get(signal.SIGUSR2)
        return handler if callable(handler) else None

    def _requeue(self) -> NoReturn:
        if global_rank() > 0:
            raise Ended(0)
        assert self._requeuer
        self.wait = True  # one asking is enough
        answer = ask_for_requeue(self._requeuer)
        if answer.requeued:
            log.info("back into the queue")
        else:
            log.error(answer.reason)
        if self.attempt:
            place = f"at step {self.attempt.step}" if self.attempt.step else "before training"
            self.attempt.end(*(("requeued", place) if answer.requeued else ("interrupted", answer.reason)))
        raise Ended(answer.code)

    def _interrupt(self, number: signal.Signals) -> NoReturn:
        if global_rank() == 0:
            log.warning("%s: the run stops; started again it goes on from its newest checkpoint", number.name)
        raise SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        request = _request_of(signal.Signals(number))
        if os.getpid() != self._process:  # a child has the handler too, and only ends where it is told to
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
            os.kill(os.getpid(), number)
        elif self.wait:
            self._asked.append(request)
        elif request == Request.CHECKPOINT:
            log.info("SIGTERM: going on until Slurm ends the job")
        elif request != Request.REQUEUE or global_rank() == 0:
            self.answer(request)


def _request_of(number: signal.Signals) -> Request:
    """What a signal means. Under Slurm SIGTERM goes before the end of a preempted or cancelled job."""
    if number == signal.SIGINT:
        return Request.INTERRUPT
    if number == signal.SIGTERM:
        return Request.CHECKPOINT if slurm_job() and not types_in_shell() else Request.TERMINATE
    return Request.REQUEUE


class PreemptGuard(Callback):
    """Agrees at the end of every step, in one exchange, on what all processes of the run do there.

    The first of the callbacks, so that a superseded attempt leaves before any of them writes; `CheckpointKeeper`, the
    last, does what `request` says.
    """

    def __init__(self, signals: Signals, *, steps: int | None, minutes: float | None) -> None:
        """Args: entered in this process; steps and minutes between checkpoints, null for never."""
        self.request = Request.NOTHING
        self._signals = signals
        self._steps = steps
        self._minutes = minutes
        self._saved_step = 0
        self._saved_time = time.monotonic()

    @property
    def keeps_end(self) -> bool:
        """Whether the end of training is to be saved, so that an interrupted evaluation does not cost the training."""
        return bool(self._steps or self._minutes)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on signals wait for the end of a step."""
        self.saved(trainer.global_step)
        self._signals.wait = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Agrees on the request of this step."""
        self._agree(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As after a step, for what came since the last."""
        self._agree(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """There are no more steps to wait for."""
        self._signals.wait = False

    def saved(self, step: int) -> None:
        """Counts steps and minutes from here."""
        self._saved_step = step
        self._saved_time = time.monotonic()

    def _agree(self, trainer: Trainer) -> None:
        own = max(self._signals.take(), Request(self._due(trainer.global_step)))
        if attempt := self._signals.attempt:
            attempt.step = trainer.global_step
            own = Request.LEAVE if attempt.superseded() else own
        self.request = Request(largest(own, trainer.strategy.root_device))
        if self.request == Request.LEAVE:
            log.warning("a newer attempt owns the run; this one leaves and writes nothing more")
            leave(EXIT_SUPERSEDED)

    def _due(self, step: int) -> bool:
        by_steps = self._steps is not None and step - self._saved_step >= self._steps
        return by_steps or (self._minutes is not None and time.monotonic() - self._saved_time >= 60 * self._minutes)

    def answer(self) -> None:
        """Ends the process if the request of this step says so; to be called when the checkpoint is saved."""
        self._signals.answer(self.request)

    def end(self) -> None:
        """Training is over: answers signals at once from now on."""
        self.answer()
        self._signals.answer_at_once()
