"""What a sweep says about runs that did not finish, what its evaluations stand for, and what it keeps."""

import json
import threading

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from run_folder import write_result

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.config.checks import ConfigError
from mixlingual.config.schema import AnalysisConfig, EvaluateConfig, ModelConfig, ScratchConfig, TrainConfig
from mixlingual.files import written_whole
from mixlingual.grid import guards
from mixlingual.grid.compose import compose_cells, compose_runs, own_presets
from mixlingual.grid.guards import finished_runs, record_grid, record_start
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.records import MixlingualError


def test_a_sweep_stands_for_its_finished_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "multirun/2024_11"
    for name in ("a=b, c (d)", "it's ü", "no model", "no result", "torn"):
        if name != "no result":
            write_result(sweep / name)
        if name != "no model":
            (sweep / name / "model").mkdir(parents=True)
    (sweep / "torn/result.json").write_text("{")
    words = ["sweep_name='2024_11'", "evaluation.benchmarks=[miracl]"]
    varied = finished_runs(words)
    assert varied == {"runs": "finished", "run_name": r"'a=b, c (d)','it\'s ü'"}
    assert finished_runs([*words, "run_name=c"]) == finished_runs(["model=labse"]) == {}
    with pytest.raises(MixlingualError, match="multirun/other has no finished run with a model"):
        finished_runs(["sweep_name=other"])
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("evaluate", overrides=words, return_hydra_config=True)
        with open_dict(config.hydra):
            config.hydra.sweeper.params = varied
        cells = compose_cells("evaluate", EvaluateConfig, config.hydra.sweeper.params, words)
    assert [cell.run_name for cell in cells] == ["a=b, c (d)", "it's ü"]
    assert [cell.model.name for cell in cells] == ["a=b, c (d)", "it's ü"]
    assert cells[1].model.checkpoint == "multirun/2024_11/it's ü/model"
    assert cells[0].output == "multirun/2024_11/a=b, c (d)/evaluation_miracl.json"


def test_the_preflight_finds_presets_of_ones_own(tmp_path):
    (tmp_path / "own, 'x'" / "sweep").mkdir(parents=True)
    preset = "# @package _global_\nsweep_name: mine\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n"
    (tmp_path / "own, 'x'" / "sweep" / "mine.yaml").write_text(preset)
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        runs = compose_runs(own_presets(str(tmp_path / "own, 'x'"), ["sweep=mine"]))
        assert [(run.sweep_name, run.seed) for run in runs] == [("mine", 1), ("mine", 2)]
        assert len(compose_runs(own_presets(None, ["sweep=demo"]))) == 6
    with pytest.raises(ConfigError, match=r"there is no folder .*nowhere"):
        own_presets(str(tmp_path / "nowhere"), [])


def test_every_distinct_start_of_a_sweep_is_kept_with_its_flags(tmp_path, monkeypatch):
    first, second = ["--config-dir", "my conf", "sweep=demo"], ["-m", "sweep=demo", "seed=1"]
    for words in (first, second, first):
        monkeypatch.setattr("sys.argv", ["train.py", *words])
        record_start(tmp_path)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("sys.argv", ["train.py", "seed=7"])
    record_start(tmp_path)
    record_grid(tmp_path, [TrainConfig(run_name="a")])
    assert read_sweep(tmp_path).commands == (
        "python -m mixlingual.train --config-dir 'my conf' sweep=demo",
        "python -m mixlingual.train -m sweep=demo seed=1",
    )


def test_the_analysis_of_the_first_start_is_the_declared_one(tmp_path, capsys):
    first = TrainConfig(run_name="a", analysis=AnalysisConfig(ratio=0.25, sizes=["small", "large"]))
    record_grid(tmp_path, [first])
    record_grid(tmp_path, [TrainConfig(run_name="b", analysis=AnalysisConfig(ratio=0.75))])
    sweep = read_sweep(tmp_path)
    assert sweep.analysis == first.analysis
    assert [run.name for run in sweep.runs] == ["a", "b"]
    assert "stays as it was declared" in capsys.readouterr().err


def test_two_starts_of_a_sweep_at_once_both_add_their_runs(tmp_path, monkeypatch):
    other = threading.Thread(target=record_grid, args=(tmp_path, [TrainConfig(run_name="b")]))

    def slowly(path):
        monkeypatch.undo()
        other.start()
        other.join(0.5)  # it waits until this one has written what it read
        return written_whole(path)

    monkeypatch.setattr(guards, "written_whole", slowly)
    record_grid(tmp_path, [TrainConfig(run_name="a")])
    other.join()
    assert [run["run_name"] for run in json.loads((tmp_path / "sweep.json").read_text())["runs"]] == ["a", "b"]


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
