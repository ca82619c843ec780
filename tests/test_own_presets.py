"""Presets outside the package serve every entry point alike, by --config-dir and by hydra.searchpath."""

import json

import pytest
from forks import run_module

SMALL = "scratch: {layers: 2, hidden: 32, heads: 2, intermediate: 64, vocabulary: 2000}"
PRESETS = {
    "model/mine.yaml": f"name: mine\n{SMALL}\n",
    "model/student.yaml": "name: student\ncheckpoint: multirun/own/mine_r0_s0/model\nlayers: [0]\n",
    "evaluation/mine.yaml": "benchmarks: [atlas]\nlanguages: [de, en]\n",
    "batching/mine.yaml": "batch_size: 8\n",
    "recipe/mine.yaml": "name: mine\nsources:\n  rows:\n    files: [rows.en-de.csv]\n    license: mine\n",
    "cluster/mine.yaml": "# @package hydra.launcher\ndefaults: [slurm, _self_]\npartition: mine\n",
    "sweep/own.yaml": """# @package _global_
defaults:
  - override /model: mine
  - override /batching: mine
  - override /evaluation: mine
sweep_name: own
run_name: ${model.name}_r${number:${batching.monolingual_ratio}}_s${seed}
trainer: {steps: 1, threads: 1}
data: {languages: [de, en]}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      batching.monolingual_ratio: 0,1
""",
}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Calls entry points in a folder whose own presets have just trained a sweep; returns the finished process."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in PRESETS.items():
        path = folder / "my conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "rows.en-de.csv").write_text("".join(f"what is {n},das ist {n}\n" for n in "abcdefgh"))

    def call(module, *words):
        cache = str(folder / "cache")
        done = run_module(folder, f"mixlingual.{module}", *words, MIXLINGUAL_CACHE=cache, OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
        return done

    done = call("train", "--config-dir", "my conf", "sweep=own")
    assert "sweep own: 2 of 2 runs done" in done.stderr
    call.folder = folder
    return call


@pytest.fixture(params=["flag", "searchpath"])
def places(request, start):
    """How a command line names the folder."""
    if request.param == "flag":
        return ["--config-dir", "my conf"]
    return [f"hydra.searchpath={json.dumps([f'file://{start.folder}/my conf'])}"]


def test_train_finds_a_sweep_by_the_search_path(start):
    place = f"hydra.searchpath=[{json.dumps(f'file://{start.folder}/my conf')}]"
    assert "sweep own: 2 of 2 runs done" in start("train", "sweep=own", place).stderr


def test_preflight_knows_the_sweep_the_recipe_and_the_cluster(start, places):
    words = ["sweep=own", "hydra/launcher=submitit_slurm", "cluster=mine"]
    assert "2 runs in multirun/own" in start("preflight", *words, *places).stdout
    assert "mine" in start("preflight", "recipe=mine", *places).stdout


def test_preflight_takes_both_at_once(start, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/other.yaml").write_text("# @package _global_\ndefaults: [own, _self_]\nsweep_name: other\n")
    both = ["--config-dir", "my conf", "sweep=other", f"hydra.searchpath=[{tmp_path}]"]
    assert "2 runs in multirun/other" in start("preflight", *both).stdout
    assert "sweep_name: other" in start("train", *both, "--cfg", "job").stdout


def test_evaluate_takes_a_grid_of_a_sweep(start, places):
    start("evaluate", "-m", "sweep_name=own", "evaluation=mine", *places)
    assert len(list((start.folder / "multirun/own").glob("*/evaluation_atlas.json"))) == 2
    assert "name: mine" in start("evaluate", "model=mine", *places, "--cfg", "job").stdout


def test_prepare_takes_a_recipe_alone_and_with_workers(start, places):
    start("prepare", "recipe=mine", "evaluation=mine", *places)
    assert (start.folder / "prepared/mine/manifest.json").exists()
    start("prepare", "-m", "recipe=mine", "evaluation=mine", "worker=0,1", *places)


def test_distill_takes_a_student(start, places):
    assert "name: student" in start("distill", "model=student", *places, "--cfg", "job").stdout


@pytest.mark.parametrize("module", ["sample_size", "dashboard", "report", "status"])
def test_what_has_no_groups_takes_the_folder_too(start, module):
    places = ["--config-dir", "my conf"]
    assert "sweep_name: own" in start(module, "sweep_name=own", *places, "--cfg", "job").stdout


def test_status_and_report_read_the_sweep(start):
    assert "sweep own: 2 runs: 2 done" in start("status", "--config-dir", "my conf", "sweep_name=own").stdout
    start("report", "--config-dir", "my conf", "sweep_name=own")
    page = (start.folder / "multirun/own/report/index.html").read_text()
    assert "my conf" in page, "the command that makes the sweep again"
