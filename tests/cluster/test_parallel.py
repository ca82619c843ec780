"""Runs side by side on this machine, whose driver is killed."""

import json
import signal
import subprocess
import sys
import time

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


@pytest.mark.parametrize("deaf", [False, True], ids=["dies", "saves"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_leave_when_the_driver_is_gone(tmp_path, how, deaf):
    (tmp_path / "app.py").write_text(APP)
    target = yaml.safe_load((CONF_DIR / "hydra/launcher/parallel.yaml").read_text())["_target_"]
    words = ("hydra/launcher=joblib", f"hydra.launcher._target_={target}", "hydra.launcher.n_jobs=2")
    driver = subprocess.Popen(
        [sys.executable, "app.py", "-m", *words, "+n=1,2,3,4", f"+deaf={json.dumps(deaf)}"], cwd=tmp_path
    )
    runs = [tmp_path / f"run{n}" for n in (1, 2)]
    while not all(run.exists() for run in runs):
        assert driver.poll() is None
        time.sleep(0.05)
    workers = [psutil.Process(int(run.read_text())) for run in runs]
    driver.send_signal(how)
    driver.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert len(list(tmp_path.glob("told*"))) == 2 * deaf, "a run has the time to save"
    assert not list(tmp_path.glob("run[34]")), "no other run starts"
