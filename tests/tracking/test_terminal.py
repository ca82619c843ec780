import contextlib
import logging
import multiprocessing
import os
import re
import sys
import threading
import time

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

from mixlingual.tracking import terminal
from mixlingual.tracking.terminal import TerminalBar, terminal_bars

log = logging.getLogger("mixlingual.test")


def read_all(terminal, sent):
    """Until the other side is closed, which Linux calls an error."""
    with contextlib.suppress(OSError):
        while some := os.read(terminal, 1 << 16):
            sent.append(some)


@contextlib.contextmanager
def screen(monkeypatch):
    """Waits until a terminal, which is stderr and shows the log, has been sent a text; returns all that it was sent.

    No fixture: pytest sets stderr anew between those and the test.
    """
    master, slave = os.openpty()
    sent = []
    reader = threading.Thread(target=read_all, args=(master, sent))
    reader.start()

    def until(text):
        for _ in range(6000):
            if text in (shown := b"".join(sent).decode()):
                return shown
            time.sleep(0.01)
        raise AssertionError(f"the terminal was never sent {text!r}")

    with os.fdopen(slave, "w", buffering=1) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        for name, value in (("TERM", "xterm"), ("COLUMNS", "100")):
            monkeypatch.setenv(name, value)
        handler = logging.StreamHandler(stderr)
        logging.getLogger().addHandler(handler)
        yield until
        logging.getLogger().removeHandler(handler)
        assert handler.stream is stderr
    reader.join()
    os.close(master)


class Logging(BoringModel):
    """Says something at its second step; fails there if told to."""

    fails = False

    def training_step(self, batch, batch_idx):
        if batch_idx == 1:
            log.warning("a line in the middle")
            if self.fails:
                raise SystemExit(255)
        return super().training_step(batch, batch_idx)


def train(folder, model):
    Trainer(
        max_steps=3, callbacks=terminal_bars(), accelerator="cpu", logger=False, default_root_dir=folder,
        limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(model)  # fmt: skip


def test_a_bar_moves_below_the_lines_of_the_log_and_goes_away(monkeypatch, tmp_path):
    with screen(monkeypatch) as until:
        train(tmp_path, Logging())
        log.warning("after")
        shown = until("after")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "\n").split("\n")
    assert "a line in the middle" in lines
    assert any(re.match(r"training .*[0-3]/3 steps 0:00:\d\d left", line) for line in lines)
    assert [line for line in lines if line][-1] == "after"


def test_an_end_by_a_signal_takes_the_bar_away_too(monkeypatch, tmp_path):
    model = Logging()
    model.fails = True
    with screen(monkeypatch) as until:
        with pytest.raises(SystemExit):
            train(tmp_path, model)
        log.warning("after")
        assert "\x1b[?25h" in until("after"), "the cursor is back"


def test_there_is_no_bar_without_a_terminal_or_in_one_process_of_many(monkeypatch):
    assert terminal_bars() == []
    with screen(monkeypatch):
        assert [type(bar) for bar in terminal_bars()] == [TerminalBar]
        with monkeypatch.context() as patch:
            patch.setattr(terminal, "global_rank", lambda: 1)
            assert terminal_bars() == []
        monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-1")
        assert terminal_bars() == []
