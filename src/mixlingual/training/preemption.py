"""Notes what signals ask of a run, and answers at the end of a step and between the parts of a run.

A handler only takes note, at every moment of a run. At the end of a step all processes agree on what to do, save a
checkpoint together and go on or leave; so a run that is started again ends with the same bits. Before and after
training there is nothing to save that the last checkpoint does not hold: a signal is answered at the next call of
`Signals.answer_now`, or, where that is long in coming, by a thread that ends the process.
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

from mixlingual.runs.exits import ExitCode
from mixlingual.runs.lease import INTERRUPTED, Attempt, Ended, leave, slurm_job, types_in_shell
from mixlingual.runs.requeue import ask_for_requeue
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
    Request.CHECKPOINT: signal.SIGTERM,
    Request.INTERRUPT: signal.SIGINT,
    Request.TERMINATE: signal.SIGTERM,
    Request.REQUEUE: signal.SIGUSR2,
}


_PATIENCE_SECONDS = 5.0
"""How long a signal outside of training waits for `Signals.answer_now`."""
_LOOK_SECONDS = 0.2
_FOLLOWING_SECONDS = 1.0
"""How much later than its data workers a process may get the signal that has ended them."""


class Signals:
    """While entered, takes the signals that may end a run: SIGINT, SIGTERM, and Slurm's SIGUSR1 and SIGUSR2.

    Attributes:
        attempt: what owns the run; None in all of its processes but the first.
        wait: whether signals wait for `take`, at the end of a step.
    """

    def __init__(self, attempt: Attempt | None) -> None:
        self.attempt = attempt
        self.wait = False
        self._process = os.getpid()
        self._asked: deque[Request] = deque()
        self._seen = Request.NOTHING
        self._previous: dict[signal.Signals, Any] = {}
        self._answering = threading.Lock()
        self._left = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                self._previous[number] = signal.signal(number, self._note)
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Lets a signal outrank an exception that follows from it, as that of a data worker which it has ended.

        Raises:
            SystemExit: as `answer`.
        """
        try:
            if isinstance(error, Exception) and self._has_followed(error):
                log.warning("the run was told to end; what came of that: %s: %s", type(error).__name__, error)
                self._end(self._seen)
        finally:
            with self._answering:  # where the thread is at it, it ends the process
                self._left = True
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

    def answer_now(self) -> None:
        """To be called between the parts of a run that are no training: answers what has come meanwhile."""
        self.wait = False
        if (request := self.take()) == Request.CHECKPOINT:
            log.info("SIGTERM: going on until Slurm ends the job")
        self.answer(request)

    def answer(self, request: Request) -> None:
        """Ends the process where the request says so.

        Raises:
            Ended: the first process has asked Slurm to start the job again; the others leave without a word.
            SystemExit: with 128 and the number of the signal.
        """
        self.wait = self.wait and request <= Request.CHECKPOINT
        if request > Request.CHECKPOINT:
            self._end(request)

    def _end(self, request: Request) -> NoReturn:
        if request == Request.REQUEUE and self._requeuer:
            self._requeue(self._requeuer)
        number = _SIGNAL_OF[request]
        if global_rank() == 0:
            log.warning("%s: the run stops; started again it goes on from its newest checkpoint", number.name)
        raise SystemExit(128 + number)

    @property
    def _requeuer(self) -> Callable[[int, None], None] | None:
        """The handler of SIGUSR2 that was there before: submitit's, which puts the job back into the queue."""
        handler = self._previous.get(signal.SIGUSR2)
        return handler if callable(handler) else None

    def _requeue(self, requeuer: Callable[[int, None], None]) -> NoReturn:
        if global_rank() > 0:
            raise Ended(ExitCode.DONE)
        self.wait = True  # one asking is enough
        answer = ask_for_requeue(requeuer)
        self.wait = False
        if answer.requeued:
            log.info("back into the queue")
        else:
            log.error(answer.reason)
        if self.attempt:
            place = f"at step {self.attempt.step}" if self.attempt.step else "before training"
            self.attempt.end(*(("requeued", place) if answer.requeued else ("interrupted", answer.reason)))
        raise Ended(answer.code)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """The handler of all signals. A forked child has it too, and only ends where it is told to."""
        if os.getpid() == self._process:
            request = _request_of(signal.Signals(number))
            self._seen = max(self._seen, request)
            self._asked.append(request)
        else:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
            os.kill(os.getpid(), number)

    def _has_followed(self, error: BaseException) -> bool:
        """Whether the process was told to end before an exception came."""
        give_up = time.monotonic() + _FOLLOWING_SECONDS
        while not self._seen and "DataLoader worker" in str(error) and time.monotonic() < give_up:
            time.sleep(_LOOK_SECONDS)
        return self._seen > Request.NOTHING

    def _watch(self) -> None:
        """In a thread: answers what nobody else has answered for some seconds, and ends the process."""
        since = time.monotonic()
        while not self._left:
            time.sleep(_LOOK_SECONDS)
            if self.wait or not self._asked:
                since = time.monotonic()
            elif time.monotonic() - since > _PATIENCE_SECONDS:
                with self._answering:
                    self._answer_in_thread()

    def _answer_in_thread(self) -> None:
        if self._left:
            return
        try:
            self.answer_now()
        except SystemExit as ended:
            try:
                if self.attempt and not isinstance(ended, Ended):
                    self.attempt.end("interrupted", INTERRUPTED)
            finally:
                leave(int(ended.code or 0) % 256)


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
        """There are no more steps to wait for; `Signals.__exit__` answers."""

    def saved(self, step: int) -> None:
        """Counts steps and minutes from here."""
        self._saved_step = step
        self._saved_time = time.monotonic()

    def agree_again(self, trainer: Trainer) -> None:
        """Agrees on what has come since too, after work at the end of a step that may take as long as many steps."""
        before = self.request
        self._agree(trainer)
        self.request = max(before, self.request)

    def _agree(self, trainer: Trainer) -> None:
        own = max(self._signals.take(), Request(self._due(trainer.global_step)))
        if attempt := self._signals.attempt:
            attempt.step = trainer.global_step
            own = Request.LEAVE if attempt.superseded() else own
        self.request = Request(largest(own, trainer.strategy.root_device))
        if self.request == Request.LEAVE:
            log.warning("a newer attempt owns the run; this one leaves and writes nothing more")
            leave(ExitCode.SUPERSEDED)

    def _due(self, step: int) -> bool:
        by_steps = self._steps is not None and step - self._saved_step >= self._steps
        return by_steps or (self._minutes is not None and time.monotonic() - self._saved_time >= 60 * self._minutes)

    def answer(self) -> None:
        """Ends the process if the request of this step says so; to be called when the checkpoint is saved."""
        self._signals.answer(self.request)

    def end(self) -> None:
        """Training is over: there are no more steps to wait for."""
        self.answer()
        self._signals.answer_now()
