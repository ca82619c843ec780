"""Runs and sweeps as a user starts them: in a process of their own, judged by what they leave on disk."""

import json

import pandas as pd
import pytest
import yaml
from forks import run_module
from huggingface_hub import ModelCard

TINY = (
    "model=scratch_xs", "model.scratch.vocabulary=2000", "trainer.steps=3", "trainer.save_model=false",
    "data.languages=[de,en]", "evaluation.languages=[de,en]", "batching.batch_size=8", "trainer.threads=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(tmp_path, cache):
    """Calls the entry point in tmp_path; returns the finished process."""

    def call(*overrides, module="train", **variables):
        variables = {"MIXLINGUAL_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | variables
        return run_module(tmp_path, f"mixlingual.{module}", *overrides, **variables)

    return call


def read(folder, name="result.json"):
    return json.loads((folder / name).read_text())


def snapshot(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_one_run_leaves_its_result_and_is_not_repeated(train, tmp_path):
    first = train(*TINY, "trainer.save_model=true")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "multirun/adhoc/scratch_xs_hybrid_r0.5_s0"
    result = read(folder)
    assert result["training"]["steps"] == 3
    assert result["batches"]["pairs"] == 24
    assert result["commits"] == [result["commit"]]
    assert set(result["benchmarks"]["atlas"]) >= {"mono", "cross", "multi"}
    assert read(folder, "status.json")["state"] == "done"
    assert (folder / "curves.csv").read_text().splitlines()[-1].startswith("3,")
    assert "result in" in (folder / "run.log").read_text()
    scores = pd.read_parquet(folder / "queries.parquet")
    mono = scores[(scores.setting == "mono") & (scores.query_language == "de")]
    assert mono.ap.mean() == pytest.approx(result["benchmarks"]["atlas"]["mono"]["languages"]["de"]["map"], abs=1e-6)

    card = ModelCard.load(folder / "model/README.md")
    assert card.data.language == ["de", "en"]
    (figure,) = [f for f in card.data.eval_results if (f.task_name, f.metric_type) == ("monolingual retrieval", "map")]
    assert figure.metric_value == pytest.approx(result["benchmarks"]["atlas"]["mono"]["map"], abs=1e-6)

    assert yaml.safe_load((folder / "config.yaml").read_text()) == result["config"]

    written = snapshot(folder)
    again = train(*TINY)
    assert again.returncode == 0
    assert "is finished; nothing to do" in again.stderr
    changed = train(*TINY, "optim.learning_rate=0.5")
    assert changed.returncode == 1
    assert "optim.learning_rate: 0.002 there, 0.5 now" in changed.stderr
    assert "Traceback" not in changed.stderr
    assert snapshot(folder) == written, "neither touches the finished run"


def test_a_sweep_outlives_a_failing_run_and_does_what_is_missing(train, tmp_path):
    grid = (*TINY, "sweep_name=grid", "optim.gradient_clip=null", "trainer.log_every=1", "evaluation.benchmarks=[]")
    cells = ("-m", "optim.learning_rate=1e-3,1e38", "seed=0,1", "run_name='lr${optim.learning_rate}_s${seed}'")
    first = train(*cells, *grid)
    assert first.returncode == 1, first.stderr
    sweep = tmp_path / "multirun/grid"
    names = ["lr0.001_s0", "lr0.001_s1", "lr1e+38_s0", "lr1e+38_s1"]
    assert [run["run_name"] for run in read(sweep, "sweep.json")["runs"]] == names
    states = [read(sweep / name, "status.json") for name in names]
    assert [status["state"] for status in states] == ["done", "done", "failed", "failed"]
    assert "the loss is not a finite number at step" in states[2]["reason"]
    assert "training_step" in states[2]["traceback"]
    assert "lr1e+38_s1: failed: MixlingualError: the loss is not a finite number at step" in first.stderr
    assert "2 of 4 runs done" in first.stderr

    written = {name: (sweep / name / "result.json").stat().st_mtime_ns for name in names[:2]}
    again = train("-m", *grid, "optim.learning_rate=1e-3", "seed=0,1,2", cells[-1], "hydra/launcher=parallel")
    assert again.returncode == 0, again.stderr
    assert {name: (sweep / name / "result.json").stat().st_mtime_ns for name in names[:2]} == written
    assert read(sweep / "lr0.001_s2")["config"]["seed"] == 2
    assert len(read(sweep, "sweep.json")["runs"]) == 5

    changed = train("-m", *grid, "optim.learning_rate=1e-3", "seed=0,3", cells[-1], "optim.eps=1e-6")
    assert changed.returncode == 1
    assert "optim.eps: 1e-08 there, 1e-06 now" in changed.stderr
    assert not (sweep / "lr0.001_s3").exists(), "nothing starts where the grid contradicts finished runs"


def test_an_invalid_grid_does_not_start(train, tmp_path):
    wrong = train("-m", *TINY, "batching.monolingual_ratio=0.5,1.5", "model.pooling=mean,max")
    assert wrong.returncode == 1
    assert "3 runs of the sweep cannot start" in wrong.stderr
    assert "model.pooling: got 'max'; allowed: mean, cls, last" in wrong.stderr
    shared = train("-m", *TINY, "optim.eps=1e-6,1e-7")
    assert shared.returncode == 1
    assert "adhoc/scratch_xs_hybrid_r0.5_s0 (2 runs); put every swept option into run_name" in shared.stderr
    several = train("-m", *TINY, "sweep_name=one,two")
    assert several.returncode == 1
    assert "got several sweep_names, one, two" in several.stderr
    unset = train("sweep=me5_ladder", "data.root=${oc.env:NOWHERE_SET}")
    assert unset.returncode == 1
    assert "data.root: " in unset.stderr
    assert "Environment variable 'NOWHERE_SET' not found" in unset.stderr
    assert "Traceback" not in unset.stderr
    assert not list(tmp_path.glob("multirun/*/*/status.json"))


def test_a_missing_benchmark_stops_the_run_before_training(train, tmp_path):
    missing = train(
        *TINY, "evaluation.benchmarks=[atlas,mlqa_r]", "evaluation.root=nowhere", "evaluation.languages=[de]"
    )
    assert missing.returncode == 1
    assert "mlqa-r" in missing.stderr
    assert "Traceback" not in missing.stderr
    (folder,) = (tmp_path / "multirun/adhoc").glob("scratch*")
    assert not (folder / "curves.csv").exists()
    assert read(folder, "status.json")["state"] == "failed"


def test_under_slurm_a_failure_has_an_exit_code_that_hydra_cannot_swallow(train, tmp_path):
    grid = ("-m", *TINY, "optim.learning_rate=1e38", "optim.gradient_clip=null", "seed=0,1", "evaluation.benchmarks=[]")
    cell = train(*grid, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12")
    assert cell.returncode == 3, cell.stderr
    (folder,) = (tmp_path / "multirun/adhoc").glob("scratch*")
    assert "the loss is not a finite number at step" in cell.stderr
    assert "the loss is not a finite number at step" in (folder / "run.log").read_text()
    assert "training_step" in read(folder, "status.json")["traceback"]
    assert read(folder, "status.json")["job"] == "12"
    tasks = train(*TINY, "run_name=tasks", SLURM_JOB_ID="12", SLURM_NTASKS="2", SLURM_NNODES="1")
    assert tasks.returncode == 3
    assert "but Slurm started 2 tasks on 1 nodes; set hydra.launcher.nodes" in tasks.stderr
    assert not (tmp_path / "multirun/adhoc/tasks/curves.csv").exists()


def test_the_same_run_gives_the_same_numbers(train, tmp_path):
    """With probes and averaged weights, as their preset has them."""
    for sweep in ("one", "two"):
        options = (f"sweep_name={sweep}", "trainer.log_every=1", "experiment=dynamics", "trainer.probe_every=2")
        assert train(*TINY, *options).returncode == 0
    one, two = (tmp_path / f"multirun/{sweep}/scratch_xs_hybrid_r0.5_s0" for sweep in ("one", "two"))
    losses = [pd.read_csv(folder / "curves.csv").loss.tolist() for folder in (one, two)]
    assert losses[0] == losses[1]
    assert read(one)["benchmarks"] == read(two)["benchmarks"]
    assert read(one)["probes"] == read(two)["probes"]
    assert read(one)["probes"]["probes"] == len(pd.read_csv(one / "probes.csv")) == 2
    assert read(one)["probes"]["norm_cross"] > 0
    assert read(one)["config"]["optim"] | {"average": "ewa", "schedule": "constant"} == read(one)["config"]["optim"]


def test_wrong_words_on_the_command_line(train):
    typo = train("batching.monolingal_ratio=0.5")
    assert typo.returncode == 1
    assert "Key 'monolingal_ratio' is not in struct" in typo.stderr
    help_text = train("--help")
    assert help_text.returncode == 0
    assert "python -m mixlingual.train sweep=demo" in help_text.stdout
    assert "model: labse" in help_text.stdout
