"""A grid through the launcher, as a user starts it."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("submitit")

spec = importlib.util.spec_from_file_location("fake_slurm", Path(__file__).with_name("fake_slurm.py"))
fake_slurm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake_slurm)

TINY = (
    "model=scratch_xs", "model.scratch.vocabulary=2000", "trainer.steps=2", "trainer.save_model=false",
    "data.languages=[de,en]", "evaluation.benchmarks=[]", "batching.batch_size=8", "trainer.threads=1",
    "sweep_name=grid", "optim.gradient_clip=null", "trainer.log_every=1", "run_name='lr${optim.learning_rate}'",
)  # fmt: skip


def train(folder, *words, **environment):
    return call(folder, "train", *TINY, *words, **environment)


def call(folder, module, *words, **environment):
    command = [sys.executable, "-m", f"mixlingual.{module}", *words]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


def test_the_rehearsal_on_this_machine(tmp_path):
    words = ("optim.learning_rate=1e-3,1e38", "hydra/launcher=submitit_local", "hydra.launcher.poll_s=0.2")
    ran = train(tmp_path, *words)
    assert ran.returncode == 1, ran.stderr
    sweep = tmp_path / "multirun/grid"
    assert "1 of 2 runs done" in ran.stderr
    assert "lr1e+38: failed: MixlingualError: the loss is not a finite number at step" in ran.stderr
    jobs = json.loads((sweep / "jobs.json").read_text())
    assert {run: entry["launcher"] for run, entry in jobs.items()} == {"lr0.001": "local", "lr1e+38": "local"}
    assert f"log: {jobs['lr1e+38']['log']}" in ran.stderr
    assert (sweep / "lr0.001/result.json").exists()
    again = train(tmp_path, *words[1:], "optim.learning_rate=1e-3")
    assert again.returncode == 0, again.stderr
    assert json.loads((sweep / "jobs.json").read_text()) == jobs, "nothing was queued"


def test_without_slurm_nothing_is_queued(tmp_path):
    refused = train(tmp_path, "seed=0", "hydra/launcher=submitit_slurm", "cluster=slurm_cpu", PATH=str(tmp_path))
    assert refused.returncode == 1
    assert "error: hydra/launcher=submitit_slurm needs sbatch, squeue, scontrol, scancel, not found" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "multirun/grid/.submitit").exists()


def test_a_missing_file_stops_the_grid_on_the_login_node(tmp_path):
    words = ("seed=0", "hydra/launcher=submitit_slurm", "data=parallel", "data.root=nowhere", "data.languages=null")
    refused = train(tmp_path, *words, PATH=str(tmp_path))
    assert refused.returncode == 1
    assert "error: data.root=nowhere holds no" in refused.stderr
    unchecked = train(tmp_path, *words, "hydra.launcher.check_files=false", PATH=str(tmp_path))
    assert "needs sbatch" in unchecked.stderr


def test_the_finished_runs_of_a_sweep_are_evaluated(tmp_path):
    trained = train(tmp_path, "seed=0", "trainer.save_model=true", "run_name=one")
    assert trained.returncode == 0, trained.stderr
    words = (
        "sweep_name=grid", "evaluation.benchmarks=[atlas]", "evaluation.languages=[de,en]", "threads=1",
        "hydra/launcher=submitit_local", "hydra.launcher.poll_s=0.2",
    )  # fmt: skip
    ran = call(tmp_path, "evaluate", *words)
    assert ran.returncode == 0, ran.stderr
    scores = json.loads((tmp_path / "multirun/grid/one/evaluation_atlas.json").read_text())
    assert scores["model"]["name"] == "one"
    assert scores["benchmarks"]["atlas"]["languages"] == ["de", "en"]
    assert not (tmp_path / "multirun/grid/jobs.json").exists(), "jobs of evaluations are not those of runs"
    other = call(tmp_path, "evaluate", *words, "evaluation.languages=[de,es]")
    assert other.returncode == 1
    assert "one/evaluation_atlas.json holds an evaluation with other options" in other.stderr
    assert call(tmp_path, "evaluate", *words, "threads=2").returncode == 0, "what changes no number is no other option"
    failed = call(tmp_path, "evaluate", *words, "evaluation.benchmarks=[mlqa_r]", "evaluation.root=nowhere")
    assert failed.returncode == 1
    assert "one/evaluation_mlqa_r.json was not written: job " in failed.stderr


def test_a_driver_that_leaves_says_what_becomes_of_the_jobs(tmp_path, monkeypatch):
    slurm = fake_slurm.FakeSlurm.installed(tmp_path / "slurm", monkeypatch)
    words = ("seed=0", "hydra/launcher=submitit_slurm", "cluster=slurm_cpu")
    detached = train(tmp_path, *words, "detach=true")
    assert detached.returncode == 0, detached.stderr
    assert "1 jobs go on by themselves" in detached.stderr

    command = [sys.executable, "-m", "mixlingual.train", "-m", *TINY, *words, "hydra.launcher.poll_s=60"]
    with (tmp_path / "log").open("w+") as log:
        driver = subprocess.Popen(command, cwd=tmp_path, stderr=log)
        while driver.poll() is None and "is queued already, as job 1 (PENDING)" not in (tmp_path / "log").read_text():
            time.sleep(0.1)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(60) == 130, (tmp_path / "log").read_text()
    assert "this ends them:\n  scancel 1\n" in (tmp_path / "log").read_text()
    assert list(slurm.jobs) == ["1"]
