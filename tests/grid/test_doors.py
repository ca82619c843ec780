"""The one way through an entry point: how words are read, and how it ends."""

import importlib
import sys
from types import SimpleNamespace

import pytest
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

import mixlingual
from mixlingual.config.checks import ConfigError
from mixlingual.config.schema import EvaluateConfig, ReportConfig, TrainConfig
from mixlingual.grid import doors
from mixlingual.grid.compose import compose_cells, compose_runs
from mixlingual.grid.doors import answering, as_written, door, end_cell
from mixlingual.grid.hydra import CONF_DIR, last_parts, register
from mixlingual.records import MixlingualError
from mixlingual.runs.lease import PeerLostError


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("sweep_name=2024_11_28", ["2024_11_28"]),
        ("model.revision=12e4567", ["12e4567"]),
        ("model.revision=1e5,main,0x1f", ["1e5", "main", "0x1f"]),
        ("model.name=true", ["true"]),
        ("sweep_name=Größe", ["Größe"]),
        ("run_name=r0.50 lr1e-3", ["r0.50 lr1e-3"]),
        ("model.revision=null", [None]),
        ("data.languages=[en,no]", [["en", "no"]]),
        ("tracking.tags=[1_0, v2, nan]", [["1_0", "v2", "nan"]]),
        ("tracking.tags=[]", [[]]),
        ("+evaluation.custom.mine=2026_11", ["2026_11"]),
        ("evaluation.custom.mine=Größe/a b", ["Größe/a b"]),
        ("hydra.launcher.account=1_000", ["1_000"]),
        ("trainer.steps=1_000", [1000]),
        ("seed=1,2", [1, 2]),
    ],
)
def test_text_keeps_its_written_form(word, values):
    (parsed,) = OverridesParser.create().parse_overrides(as_written([word], TrainConfig))
    swept = [str(value) for value in parsed.sweep_string_iterator()] if parsed.is_sweep_override() else None
    if swept:
        assert [entry.strip("'") for entry in swept] == [str(value) for value in values]
    else:
        assert [parsed.value()] == values


@pytest.mark.parametrize(
    "word",
    ["run_name='1_0'", "run_name=${model.name}_1e5", "run_name=choice(1_0,2)", "--config-dir", "sweep=demo", "-m"],
)
def test_words_that_say_what_they_mean_stay(word):
    assert as_written([word], TrainConfig) == [word]


@pytest.mark.parametrize(
    ("checkpoints", "names"),
    [
        ("intfloat/multilingual-e5-small,FacebookAI/xlm-roberta-base", ["multilingual-e5-small", "xlm-roberta-base"]),
        ("a/m,b/m", ["a_m", "b_m"]),
        ("multirun/s/r0/model/,/x/r1/model", ["r0_model", "r1_model"]),
        ("~/.bert,../Größe", ["bert", "Größe"]),
        ("'some where/b&w','c=d'", ["b_w", "c_d"]),
        ("2024_11,1e5", ["2024_11", "1e5"]),
        ("x/E5,y/e5", ["x_E5", "y_e5"]),
    ],
)
def test_several_checkpoints_are_sizes_with_names_of_their_own(checkpoints, names):
    register()
    swept = [f"model.checkpoint={checkpoints}", "seed=0,1"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        runs = compose_runs(as_written(swept, TrainConfig))
        assert [run.model.name for run in runs] == [name for name in names for _ in range(2)]
        assert [run.run_name for run in runs[::2]] == [f"{name}_hybrid_r0.5_s0" for name in names]
        cells = compose_cells("evaluate", EvaluateConfig, None, as_written(swept[:1], EvaluateConfig))
    assert [cell.run_name for cell in cells] == names
    assert as_written(["model.checkpoint=a,null"], TrainConfig)[1:] == [
        "model.name='${last_parts:${model.checkpoint},1}'"
    ]
    assert last_parts(None, 1) == "scratch"


@pytest.mark.parametrize(
    "words",
    [["model.checkpoint=a/m"], ["model.checkpoint=a,b", "model.name=x,y"], ["model.checkpoint=a,b", "run_name=x"],
     ["model.checkpoint=a,a"], ["model=me5_small,labse"]],
)  # fmt: skip
def test_other_sizes_keep_their_names(words):
    assert as_written(words, TrainConfig) == words


def test_null_for_a_group_is_a_mistake_unless_none_is_chosen_anyway():
    assert as_written(["optim=null", "sweep=null", "seed=1"], TrainConfig) == ["+optim.null=null", "seed=1"]
    assert as_written(["output=null"], ReportConfig) == ["output=null"]
    for group in ("cluster", "hydra/launcher", "hydra/sweeper"):
        with pytest.raises(ConfigError, match=f"{group}: got null; it is a group of options: choose a preset"):
            as_written([f"{group}=null"], TrainConfig)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (MixlingualError("bad"), "message"),
        (OSError("disk"), "message"),
        (Exception("No space left on device (os error 28)"), "message"),
        (ValueError(), "traceback"),
    ],
)
def test_only_faults_of_the_program_show_a_traceback(error, shown, monkeypatch):
    said = []
    log = SimpleNamespace(error=lambda _: said.append("message"), exception=lambda _: said.append("traceback"))
    monkeypatch.setattr(doors, "log", log)
    with pytest.raises(SystemExit) as ended, answering():
        raise error
    assert ended.value.code == 1
    assert said == [shown]


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["register", "as_written", "hydra.main", "to_config"])
def test_ctrl_c_is_a_word_and_the_shells_exit_code_at_every_moment(moment, monkeypatch, capsys):
    monkeypatch.setattr(f"mixlingual.grid.doors.{moment}", interrupt)
    monkeypatch.setattr("sys.argv", ["report", "sweep_name=nothing"])
    with pytest.raises(SystemExit) as ended:
        door("report", ReportConfig, print)()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_while_a_program_imports_is_a_word_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.excepthook", sys.__excepthook__)
    monkeypatch.setattr("sys.argv", ["-m", "sweep_name=nothing"])
    importlib.reload(mixlingual)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "interrupted\n"
    sys.excepthook(ValueError, ValueError("bad"), None)
    assert "ValueError: bad" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "mode", "error", "code"),
    [
        ({}, RunMode.RUN, MixlingualError(), 1),
        ({}, RunMode.MULTIRUN, MixlingualError(), None),
        ({"SUBMITIT_EXECUTOR": "slurm"}, RunMode.MULTIRUN, MixlingualError(), 3),
        ({"SUBMITIT_EXECUTOR": "slurm"}, RunMode.MULTIRUN, PeerLostError(), 1),
        ({"SUBMITIT_EXECUTOR": "local"}, RunMode.MULTIRUN, MixlingualError(), None),
        ({"SLURM_JOB_ID": "7"}, RunMode.RUN, MixlingualError(), 3),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive"}, RunMode.RUN, MixlingualError(), 1),
    ],
)
def test_a_cell_ends_its_process_unless_others_follow(environment, mode, error, code, monkeypatch):
    for name in ("SUBMITIT_EXECUTOR", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended = []
    monkeypatch.setattr(doors, "leave", ended.append)
    monkeypatch.setattr(doors.sys, "exit", ended.append)
    monkeypatch.setattr(doors.HydraConfig, "get", lambda: SimpleNamespace(mode=mode))
    end_cell(error)
    assert ended[:1] == ([] if code is None else [code])
