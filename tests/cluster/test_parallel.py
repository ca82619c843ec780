"""Runs side by side on this machine, whose driver is killed."""

import json
import signal
import subprocess
import sys
import time

import joblib
import psutil
import pytest
import yaml

from mixlingual.grid.hydra import CONF_DIR

APP = """
import os, signal, time
from pathlib import Path
import hydra
from omegaconf import DictConfig
from mixlingual.grid.hydra import register

register()

@hydra.main(version_base="1.3", config_path=None)
def main(cfg: DictConfig) -> None:
    if cfg.deaf:
        signal.signal(signal.SIGTERM, lambda *_: Path(f"told{cfg.n}").touch())
    Path(f"{cfg.n}.tmp").write_text(str(os.getpid()))
    Path(f"{cfg.n}.tmp").rename(f"run{cfg.n}")
    while not (cfg.deaf and Path(f"told{cfg.n}").exists()):
        time.sleep(0.05)

main()
"""
"""Runs that never end, or end some time after they were told to, as one that saves."""


def started(folder, *, deaf):
    """(driver, its two workers at work) of four runs."""
    (folder / "app.py").write_text(APP)
    target = yaml.safe_load((CONF_DIR / "hydra/launcher/parallel.yaml").read_text())["_target_"]
    words = ("hydra/launcher=joblib", f"hydra.launcher._target_={target}", "hydra.launcher.n_jobs=2")
    command = [sys.executable, "app.py", "-m", *words, "+n=1,2,3,4", f"+deaf={json.dumps(deaf)}"]
    with (folder / "said").open("w") as said:
        driver = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
    runs = [folder / f"run{n}" for n in (1, 2)]
    while not all(run.exists() for run in runs):
        assert driver.poll() is None
        time.sleep(0.05)
    return driver, [psutil.Process(int(run.read_text())) for run in runs]


@pytest.mark.parametrize(("how", "deaf"), [("KILL", False), ("KILL", True), ("TERM", True)])
def test_workers_leave_when_the_driver_is_gone(tmp_path, how, deaf):
    driver, workers = started(tmp_path, deaf=deaf)
    driver.send_signal(signal.Signals[f"SIG{how}"])
    driver.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert len(list(tmp_path.glob("told*"))) == 2 * deaf, "a run has the time to save"
    assert not list(tmp_path.glob("run[34]")), "no other run starts"


def test_workers_share_the_cores_and_wait_asleep(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    driver, workers = started(tmp_path, deaf=False)
    share = str(max(1, joblib.cpu_count() // 2))
    try:
        for worker in workers:
            assert worker.environ()["OMP_NUM_THREADS"] == worker.environ()["OPENBLAS_NUM_THREADS"] == share
            assert worker.environ()["OMP_WAIT_POLICY"] == "passive"
    finally:
        driver.kill()
        driver.wait()
        psutil.wait_procs(workers, timeout=60)


def test_a_worker_that_is_killed_ends_the_grid_with_a_word(tmp_path):
    driver, workers = started(tmp_path, deaf=False)
    workers[0].kill()
    assert driver.wait(60) == 0, "the guard of the sweep tells what is missing"
    said = (tmp_path / "said").read_text()
    assert "a worker was killed, as where memory is short; the same command does what is missing" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
