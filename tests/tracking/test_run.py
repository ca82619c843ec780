import dataclasses
import importlib
import json
import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import TrainConfig
from mixlingual.records import MixlingualError
from mixlingual.tracking import client
from mixlingual.tracking.run import Tracker

from .wandb_runs import FAKE_KEY, RESULT, log_points, make_config, recorded, steps_of

wandb = pytest.importorskip("wandb")


def warnings_of(caplog):
    """The warnings of our own code."""
    ours = [record for record in caplog.records if record.name.startswith("mixlingual.tracking")]
    return [record.message for record in ours if record.levelname == "WARNING"]


def test_without_tracking_wandb_is_never_imported(tmp_path, monkeypatch):
    """The modules are loaded anew where an import of wandb fails."""
    for name in [name for name in sys.modules if name.startswith("mixlingual.tracking")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracking = importlib.import_module("mixlingual.tracking.run")
    assert tracking.Tracker is not Tracker
    with tracking.Tracker.open(TrainConfig(), tmp_path / "run", {}) as tracker:
        assert tracker.logger is None
        tracker.log_result(None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["wandb", "offline"])
def test_a_missing_package_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch, mode):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MixlingualError, match=rf"tracking.mode={mode} .* pip install 'mixlingual\[wandb\]'"):
        Tracker.open(make_config(mode), tmp_path, {})


class LoggingModel(BoringModel):
    def training_step(self, batch, batch_idx):
        self.log("train/loss", float(batch_idx))
        return super().training_step(batch, batch_idx)


def test_lightning_logs_against_its_steps(tmp_path):
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        Trainer(
            logger=tracker.logger, max_steps=3, log_every_n_steps=1, accelerator="cpu",
            limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        ).fit(LoggingModel())  # fmt: skip
    (run,) = recorded(tmp_path)
    curve = [(row["trainer/global_step"], row["train/loss"]) for row in run.history if "train/loss" in row]
    assert curve == [(0, 0.0), (1, 1.0), (2, 2.0)]


def leaves(tree):
    """The tree without empty branches, which W&B does not keep."""
    return {key: leaves(x) if isinstance(x, dict) else x for key, x in tree.items() if x != {}}


@pytest.mark.parametrize("mode", ["wandb", "offline"])
def test_a_run_arrives_whole_at_once_or_by_the_command_that_it_names(server, tmp_path, caplog, mode):
    """Names, config, curves, metrics, tables and picture; the key is written nowhere."""
    config = make_config(mode, tags=["try", "small", "x" * 80])
    with caplog.at_level(logging.INFO), Tracker.open(config, tmp_path, {"total": 7}) as tracker:
        log_points(tracker, range(3))
        tracker.log_result(RESULT)
    wandb.teardown()
    levels = [record.levelname for record in caplog.records if record.message.startswith("W&B")]
    assert levels == ["INFO"]
    if mode == "offline":
        assert server.runs == {}
        (command,) = re.findall("Send it later with: (.*)", caplog.text)
        program, *words = shlex.split(command)
        subprocess.run([sys.executable, "-m", program, *words], cwd=tmp_path, check=True, capture_output=True)
    else:
        assert f"W&B: {server.url}/tester/mixlingual/runs/{client.run_id(tmp_path)}. What does not get" in caplog.text
    (run,) = server.runs.values()
    assert [run.upsert[key] for key in ("groupName", "jobType", "displayName", "project")] == [
        "s", "train", "r", "mixlingual",
    ]  # fmt: skip
    assert run.upsert["tags"] == ["small", "alpha=0.5", "seed=0", "atlas", "try", "x" * 64]
    assert leaves(run.config) == leaves(to_plain(config) | {"parameters": {"total": 7}, "_wandb": run.config["_wandb"]})
    assert (steps_of(run.history), run.exit_code) == ([0, 1, 2], 0)
    assert {key: run.summary[key] for key in run.summary if key.startswith("eval/atlas") and "lang" not in key} == {
        "eval/atlas/mono/map": 0.5,
        "eval/atlas/cross/map": 0.15,
        "eval/atlas/multi/map": 0.3,
        "eval/atlas/multi/rank_distance": 9.0,
        "eval/atlas/bias/consistency/rbo": 0.25,
    }
    assert (run.summary["training/final_loss"], run.summary["seconds/train"]) == (0.5, 7.0)
    assert run.files[run.summary["eval/atlas/languages"]["path"]].startswith(b"\x89PNG")
    assert json.loads(run.files[run.summary["eval/pairs"]["path"]]) == {
        "columns": ["benchmark", "query_language", "candidate_language", "map"],
        "data": [["atlas", "ar", "de", 0.1], ["atlas", "de", "ar", 0.2]],
    }
    assert (run.summary["eval/bias"]["nrows"], run.summary["eval/languages"]["nrows"]) == (2, 2)
    assert FAKE_KEY not in caplog.text
    assert FAKE_KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("artifacts", "kept"),
    [
        ("none", {}),
        ("results", {"result": ["curves.csv", "result.json"]}),
        ("model", {"result": ["curves.csv", "result.json"], "model": ["model/deep/vocabulary", "model/weights"]}),
    ],
)
def test_artifacts_hold_the_files_that_the_option_names(tmp_path, artifacts, kept):
    (tmp_path / "model" / "deep").mkdir(parents=True)
    for name in ("result.json", "curves.csv", "status.json", "model/weights", "model/deep/vocabulary"):
        (tmp_path / name).write_text(name)
    with Tracker.open(make_config(artifacts=artifacts), tmp_path, {}) as tracker:
        tracker.log_result(dataclasses.replace(RESULT, benchmarks={}))
    (run,) = recorded(tmp_path)
    assert {artifact.type: sorted(e.path for e in artifact.manifest.contents) for artifact in run.artifacts} == kept
    places = [entry.local_path for artifact in run.artifacts for entry in artifact.manifest.contents]
    assert all(Path(place).is_relative_to(tmp_path) for place in places), "files were copied"


def fail_in_training(folder):
    with Tracker.open(make_config(run_name="second"), folder, {}) as tracker:
        log_points(tracker, [1])
        raise RuntimeError("no more memory")


def test_each_run_of_a_process_ends_by_itself_and_keeps_its_id_also_elsewhere(tmp_path):
    """Runs of one name: those of two sweeps have two ids; an attempt that failed, one after it and a moved one, one."""
    Tracker.open(make_config(), tmp_path / "theirs" / "run", {}).close()
    with pytest.raises(RuntimeError, match="no more memory"):
        fail_in_training(tmp_path / "mine" / "run")
    (tmp_path / "mine").rename(tmp_path / "moved")
    again = Tracker.open(make_config(), tmp_path / "moved" / "run", {})
    log_points(again, [2])
    again.close()
    again.close(failed=True)
    (theirs,), (failed, resumed) = (recorded(tmp_path / name / "run") for name in ("theirs", "moved"))
    assert (theirs.exit_code, failed.exit_code, resumed.exit_code) == (0, 1, 0)
    assert theirs.run.run_id != failed.run.run_id == resumed.run.run_id
    assert re.fullmatch("[0-9a-f]{12}", failed.run.run_id)
    assert [len(run.history) for run in (theirs, failed, resumed)] == [0, 1, 1]


UNREACHABLE = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": FAKE_KEY}
OFFLINE = {
    "no key": ({}, r"there is no API key \(use wandb login, or set WANDB_API_KEY\)"),
    "a malformed key": ({"WANDB_API_KEY": "short"}, "WANDB_API_KEY invalid: API key must have 40.* characters, has 5"),
    "the environment": ({"WANDB_MODE": "offline"}, "WANDB_MODE=offline"),
    "no network": (UNREACHABLE, r"it did not start online \(CommError: .*refused.*\)"),
    "no name": (UNREACHABLE | {"WANDB_BASE_URL": "http://wandb.invalid"}, r"it did not start online \(.*\)"),
    "a proxy that is gone": (UNREACHABLE | {"http_proxy": "http://127.0.0.1:9"}, r"it did not start online \(.*\)"),
}


@pytest.mark.parametrize(("environment", "reason"), OFFLINE.values(), ids=OFFLINE)
def test_a_run_that_cannot_go_online_goes_on_on_disk_and_says_why(tmp_path, caplog, monkeypatch, environment, reason):
    monkeypatch.setattr(client, "INIT_SECONDS", 0.5)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "with space"
    with Tracker.open(make_config("wandb"), folder, {}) as tracker:
        log_points(tracker, [1])
    run = recorded(folder)[-1]
    assert (run.exit_code, len(run.history)) == (0, 1)
    (warning,) = warnings_of(caplog)
    found, command = re.fullmatch(r"W&B is offline: (.*)\. Send it later with: (.*)", warning).groups()
    assert re.fullmatch(reason, found)
    *words, sync_folder = shlex.split(command)
    assert words == ["wandb", "sync"]
    assert list(Path(sync_folder).glob("run-*.wandb"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if FAKE_KEY.encode() in path.read_bytes()] == []
    assert FAKE_KEY not in caplog.text


def test_where_the_environment_disables_wandb_nothing_is_written_and_that_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for mode in ("wandb", "offline"):
        with Tracker.open(make_config(mode), tmp_path, {}) as tracker:
            assert tracker.logger is None
            tracker.log_result(RESULT)
    off = "W&B is off: WANDB_MODE=disabled. Nothing is recorded for it; unset WANDB_MODE to change that"
    assert warnings_of(caplog) == [off] * 2
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_in_wandb_is_a_warning(tmp_path, caplog, monkeypatch):
    tracker = Tracker.open(make_config(), tmp_path, {})

    def broken(*args, **kwargs):
        raise ConnectionResetError("service is gone")

    for name in ("log", "finish"):
        monkeypatch.setattr(tracker._run, name, broken)
    log_points(tracker, range(3))
    tracker.log_result(RESULT)
    run = tracker._run
    tracker.close()
    actions = [
        re.match(r"W&B could not (.*) \(ConnectionResetError: service is gone\)\.", text)[1]
        for text in warnings_of(caplog)
    ]
    assert actions == ["log a point of the curves and logs no more of them", "show the result", "finish"]
    assert all(text.endswith(f"wandb sync {run.settings.sync_dir}") for text in warnings_of(caplog))
    monkeypatch.undo()
    run.finish()

    monkeypatch.setattr(wandb, "init", broken)
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        assert tracker.logger is None
    assert "W&B could not start (ConnectionResetError: service is gone)" in caplog.text
