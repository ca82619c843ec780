"""What a sweep says about runs that did not finish, and the words of its command line."""

import json

import pytest

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.cluster.queue import after_release
from mixlingual.config.schema import AnalysisConfig, ModelConfig, ScratchConfig, TrainConfig
from mixlingual.grid.guards import over_runs, record_grid, spelled_out
from mixlingual.runs.reasons import why_not_done

AGAIN = "the same command goes on"
KILLED = ": killed, as where memory is short"
JOB = {"job": "12_3", "launcher": "slurm", "log": "/logs/12_3_0_log.err"}


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def failed(job, reason="ValueError: bad"):
    return {"state": "failed", "reason": reason, "job": job}


@pytest.mark.parametrize(
    ("job", "status", "crash", "said"),
    [
        (None, None, None, "never started"),
        (None, {"state": "started", "reason": None}, None, "ended without a word: killed, or out of memory"),
        (None, failed(None), None, "ValueError: bad"),
        ({"ended": "FAILED"}, failed("12_3"), None, "ValueError: bad; log: /logs/12_3_0_log.err"),
        ({"ended": "FAILED"}, failed("11_3"), None, f"job 12_3 ended FAILED without a result; log: {JOB['log']}"),
        (
            {"ended": "CANCELLED"}, failed("12_3", "interrupted"), None,
            "job 12_3 was cancelled; the same command starts it again; log: /logs/12_3_0_log.err",
        ),
        (
            {"ended": "FAILED"}, {"state": "started", "job": "12_3"},
            {"job": "12_3", "status": 137, "step": 40, "crashes": 3, "requeued": False},
            f"job 12_3 crashed 3 times without getting beyond step 40 (exit status 137{KILLED}); log: {JOB['log']}",
        ),
        (
            {"ended": "FAILED"}, {"state": "started", "job": "12_3"},
            {"job": "12_3", "status": 1, "step": 40, "crashes": 1, "requeued": False},
            f"job 12_3 crashed at step 40 and was not queued again (exit status 1); {AGAIN}; log: {JOB['log']}",
        ),
        (
            {"ended": "NODE_FAIL"}, None, {"job": "12_3", "status": 1, "step": 0, "crashes": 1, "requeued": True},
            "job 12_3 ended NODE_FAIL without a result; log: /logs/12_3_0_log.err",
        ),
        (
            {"held": "launch failed requeued held"}, {"state": "requeued", "job": "12_3"}, None,
            f"job 12_3 is held (launch failed requeued held); {after_release('12_3')}; log: {JOB['log']}",
        ),
        ({"ended": "GONE", "launcher": "local"}, failed(None), None, "ValueError: bad; log: /logs/12_3_0_log.err"),
    ],
)  # fmt: skip
def test_why_a_run_is_not_done(tmp_path, job, status, crash, said):
    for name, content in (("status.json", status), ("crash.json", crash)):
        if content is not None:
            write(tmp_path, name, content)
    assert why_not_done(tmp_path, None if job is None else JOB | job) == said


def test_a_result_needs_nowhy_not_done(tmp_path):
    write(tmp_path, "result.json", {})
    write(tmp_path, "status.json", failed("12_3"))
    assert why_not_done(tmp_path, JOB | {"ended": "FAILED"}) is None


def test_detach_is_an_option_of_the_launcher():
    words = ["sweep=demo", "hydra/launcher=submitit_slurm", "--detach"]
    assert spelled_out(words) == ["-m", *words[:2], "hydra.launcher.detach=true"]
    assert spelled_out(["sweep=demo", "-m"]) == ["sweep=demo", "-m"]
    with pytest.raises(SystemExit, match=r"--detach .* add hydra/launcher=submitit_slurm"):
        spelled_out(["sweep=demo", "--detach"])


def test_one_run_for_a_cluster_is_a_grid_of_one():
    word = "hydra/launcher=submitit_local"
    assert spelled_out(["seed=0", word]) == ["-m", "seed=0", word]
    for words in (["-m", word], [word, "--cfg=job"], [word, "--help"], ["hydra/launcher=parallel"]):
        assert spelled_out(words) == words


def test_a_sweep_stands_for_its_finished_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, files in {"a": ("result.json", "model"), "b": ("result.json", "model"), "c": ("model",)}.items():
        for file in files:
            (tmp_path / "multirun/grid" / name / file).mkdir(parents=True)
    words = ["-m", "sweep_name=grid", "evaluation.benchmarks=[miracl]"]
    added = [word for word in over_runs(words) if word not in words]
    assert over_runs([*words, "--cfg", "job"]) == [*over_runs(words), "--cfg", "job"], "Hydra takes no later overrides"
    assert added[0] == "run_name=a,b"
    assert "model.checkpoint='multirun/${sweep_name}/${run_name}/model'" in added
    assert len(added) == 4
    assert len(over_runs([*words, "output=x.json"])) == len(words) + 1 + 3
    assert over_runs([*words, "run_name=c"]) == [*words, "run_name=c"]
    assert over_runs(["model=labse"]) == ["model=labse"]
    with pytest.raises(SystemExit, match="multirun/other has no finished run with a model"):
        over_runs(["sweep_name=other"])


def test_the_analysis_of_the_first_start_is_the_declared_one(tmp_path, capsys):
    first = TrainConfig(run_name="a", analysis=AnalysisConfig(ratio=0.25, sizes=["small", "large"]))
    record_grid(tmp_path, [first])
    record_grid(tmp_path, [TrainConfig(run_name="b", analysis=AnalysisConfig(ratio=0.75))])
    sweep = read_sweep(tmp_path)
    assert sweep.analysis == first.analysis
    assert [run.name for run in sweep.runs] == ["a", "b"]
    assert "stays as it was declared" in capsys.readouterr().err


def test_sizes_left_open_are_those_planned_at_the_first_start_by_name(tmp_path, capsys):
    def planned(name, layers):
        return TrainConfig(run_name=name, model=ModelConfig(name=name, scratch=ScratchConfig(layers=layers)))

    record_grid(tmp_path, [planned("middle", 2), planned("large", 4), planned("small", 1)])
    record_grid(tmp_path, [planned("huge", 8)])
    assert read_sweep(tmp_path).analysis.sizes == ["small", "large"]
    assert "stays as it was declared" not in capsys.readouterr().err
    record_grid(tmp_path, [TrainConfig(run_name="b", analysis=AnalysisConfig(sizes=["small", "huge"]))])
    assert read_sweep(tmp_path).analysis.sizes == ["small", "large"]
    assert "stays as it was declared" in capsys.readouterr().err


def test_sizes_stay_open_where_a_checkpoint_is_out_of_reach(tmp_path):
    models = [ModelConfig(name=name, checkpoint=str(tmp_path / name)) for name in ("small", "large")]
    record_grid(tmp_path, [TrainConfig(run_name=model.name, model=model) for model in models])
    assert read_sweep(tmp_path).analysis.sizes is None


def test_a_sweep_that_declared_nothing_has_the_default_analysis(tmp_path):
    record_grid(tmp_path, [TrainConfig(run_name="a")])
    path = tmp_path / "sweep.json"
    content = json.loads(path.read_text())
    for other in ({"ratio": "x", "new": 1}, None):
        path.write_text(json.dumps(content | {"analysis": other}))
        assert read_sweep(tmp_path).analysis == AnalysisConfig()
