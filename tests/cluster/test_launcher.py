"""A grid through the launcher, as a user starts it."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("submitit")

TINY = (
    "model=scratch_xs", "model.scratch.vocabulary=2000", "trainer.steps=2", "trainer.save_model=false",
    "data.languages=[de,en]", "evaluation.benchmarks=[]", "batching.batch_size=8", "trainer.threads=1",
    "sweep_name=grid", "optim.gradient_clip=null", "trainer.log_every=1", "run_name='lr${optim.learning_rate}'",
)  # fmt: skip


def train(folder, *words, **environment):
    command = [sys.executable, "-m", "mixlingual.train", "-m", *TINY, *words]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300)


def test_the_rehearsal_on_this_machine(tmp_path):
    words = ("optim.learning_rate=1e-3,1e38", "hydra/launcher=submitit_local", "hydra.launcher.poll_s=0.2")
    ran = train(tmp_path, *words)
    assert ran.returncode == 1, ran.stderr
    sweep = tmp_path / "multirun/grid"
    assert "1 of 2 runs done" in ran.stderr
    assert "lr1e+38: MixlingualError: the loss is not a finite number at step" in ran.stderr
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
