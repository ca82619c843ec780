"""Fixtures that every test may use."""

import logging
import os
import signal
from pathlib import Path

import hypothesis
import pytest

import mixlingual as mixlingual  # before PyTorch, so that threads which wait sleep

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Tiny encoders gain nothing from threads, and processes that share cores wait for each other's."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""Shells start what runs in the background deaf to the keyboard's interrupt, and what that starts is deaf, too."""

hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Tests never read or fill the user's cache."""
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _own_logging():
    """What a test sets up of logging, as Hydra does in an entry point, ends with the test."""
    for logger in _loggers():
        logger.disabled = False  # by a fixture of a whole module
    before = {logger: (logger.level, logger.propagate, logger.disabled, logger.handlers[:]) for logger in _loggers()}
    off = logging.root.manager.disable
    yield
    logging.disable(off)
    for logger in _loggers():
        found = (logger.level, logger.propagate, False, logger.handlers)
        level, propagate, disabled, handlers = before.get(logger, found)
        logger.setLevel(level)
        logger.propagate, logger.disabled, logger.handlers[:] = propagate, disabled, handlers


def _loggers():
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real benchmarks and training pairs, named by MIXLINGUAL_DATA."""
    folder = os.environ.get("MIXLINGUAL_DATA")
    if not folder:
        pytest.skip("set MIXLINGUAL_DATA to the folder that holds mlqa-r/, xquad-r/ and train-parallel/")
    path = Path(folder)
    assert (path / "mlqa-r").is_dir(), f"MIXLINGUAL_DATA={folder} holds no mlqa-r/"
    return path
