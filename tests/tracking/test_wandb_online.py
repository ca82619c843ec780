"""The real client of wandb against a server of ours, which is slow, refuses, or goes away in the middle of a run."""

import dataclasses
import json
import logging
import re
import shlex
import subprocess
import sys
import time

import pytest

from mixlingual.config.schema import TrainConfig
from mixlingual.records import RunResult
from mixlingual.tracking import client as wandb_run
from mixlingual.tracking.client import run_id
from mixlingual.tracking.run import Tracker

from .wandb_reader import read_run
from .wandb_server import ENTITY, WandbServer

wandb = pytest.importorskip("wandb")

FAKE_KEY = "0123456789abcdef" * 2 + "deadbeef"
BENCHMARKS = {
    "atlas": {
        "languages": ["ar", "de"],
        "mono": {"map": 0.5, "languages": {"ar": {"map": 0.5}, "de": {"map": 0.5}}},
        "cross": {"map": 0.15, "pairs": {"ar-de": {"map": 0.1}, "de-ar": {"map": 0.2}}},
        "multi": {"map": 0.3, "rank_distance": 9.0},
        "bias": {"consistency": {"rbo": 0.25, "pairs": {"ar-de": {"rbo": 0.25}}}},
    }
}
RESULT = RunResult("s", "r", {}, "hash", None, {}, {}, {}, {}, {"final_loss": 0.5}, BENCHMARKS, {"train": 7.0})


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that the client finds and has a key for; it sends what it logs every second, not every fifteen."""
    found = WandbServer()
    for name in ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", found.url)
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")
    monkeypatch.setenv("WANDB_X_FILE_STREAM_RETRY_WAIT_MIN_SECONDS", "1")
    monkeypatch.setenv("WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS", "1")
    monkeypatch.setenv("WANDB_X_DISABLE_STATS", "true")
    yield found
    wandb.teardown()
    found.close()
    assert set(found.unknown) <= {"ArtifactType"}, "the client asks for something new"


def make_config(**tracked):
    config = TrainConfig(sweep_name="s", run_name="r")
    config.model.name = "small"
    config.tracking.mode = "wandb"
    for name, value in tracked.items():
        setattr(config.tracking, name, value)
    return config


def log_points(tracker, steps):
    for step in steps:
        tracker.logger.log_metrics({"train/loss": 1 / (1 + step)}, step=step)


def wait_until(condition):
    """Waits for what other processes do; a limit that no working machine needs ends a broken test."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to pass")


def stored(server):
    """The one run that there is."""
    (run,) = server.runs.values()
    return run


def steps_of(rows):
    return [row["trainer/global_step"] for row in rows if "train/loss" in row]


def on_disk(folder):
    """What the newest attempt recorded on disk, once the client's process has ended."""
    wandb.teardown()
    return read_run(max(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime))


def test_a_run_arrives_whole_and_says_where(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO), Tracker.open(make_config(), tmp_path, {"total": 7}) as tracker:
        log_points(tracker, range(3))
        tracker.log_result(RESULT)
    run = stored(server)
    named = {key: run.upsert[key] for key in ("groupName", "jobType", "displayName", "project", "tags")}
    assert named == {
        "groupName": "s", "jobType": "train", "displayName": "r", "project": "mixlingual",
        "tags": ["small", "alpha=0.5", "seed=0", "atlas"],
    }  # fmt: skip
    assert (run.config["batching"]["monolingual_ratio"], run.config["parameters"]) == (0.5, {"total": 7})
    assert steps_of(run.history) == [0, 1, 2]
    assert {key: run.summary[key] for key in run.summary if key.startswith("eval/atlas") and "lang" not in key} == {
        "eval/atlas/mono/map": 0.5,
        "eval/atlas/cross/map": 0.15,
        "eval/atlas/multi/map": 0.3,
        "eval/atlas/multi/rank_distance": 9.0,
        "eval/atlas/bias/consistency/rbo": 0.25,
    }
    assert (run.summary["training/final_loss"], run.summary["seconds/train"]) == (0.5, 7.0)
    (image,) = [content for name, content in run.files.items() if name.endswith(".png")]
    assert image.startswith(b"\x89PNG")
    assert run.summary["eval/atlas/languages"]["_type"] == "image-file"
    assert run.summary["eval/bias"]["nrows"] == 2
    assert run.exit_code == 0
    assert f"W&B: {server.url}/{ENTITY}/mixlingual/runs/{run_id(tmp_path)}. What does not get there:" in caplog.text
    assert FAKE_KEY not in caplog.text
    assert FAKE_KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_an_offline_run_arrives_whole_by_the_command_that_it_names(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO), Tracker.open(make_config(mode="offline"), tmp_path, {}) as tracker:
        log_points(tracker, range(3))
        tracker.log_result(RESULT)
    wandb.teardown()
    assert server.runs == {}
    (command,) = re.findall("Send it later with: (.*)", caplog.text)
    program, *words = shlex.split(command)
    subprocess.run([sys.executable, "-m", program, *words], cwd=tmp_path, check=True, capture_output=True)
    run = stored(server)
    assert (steps_of(run.history), run.exit_code) == ([0, 1, 2], 0)
    assert (run.summary["eval/atlas/mono/map"], run.summary["eval/pairs"]["nrows"]) == (0.5, 2)
    table = json.loads(run.files[run.summary["eval/pairs"]["path"]])
    assert table["data"] == [["atlas", "ar", "de", 0.1], ["atlas", "de", "ar", 0.2]]


def preempt(folder):
    with Tracker.open(make_config(), folder, {}) as tracker:
        log_points(tracker, range(4))
        raise SystemExit(255)


def test_a_requeued_run_goes_on_as_itself(server, tmp_path):
    with pytest.raises(SystemExit):
        preempt(tmp_path)
    assert stored(server).is_preempting
    assert stored(server).exit_code == 1
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        log_points(tracker, range(2, 6))  # from the checkpoint at step 2
    assert list(server.runs) == [run_id(tmp_path)]
    rows = stored(server).history
    assert steps_of(rows) == [0, 1, 2, 3, 2, 3, 4, 5]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert {step: row["train/loss"] for step, row in zip(steps_of(rows), rows)} == {n: 1 / (1 + n) for n in range(6)}
    assert stored(server).exit_code == 0


def test_an_outage_in_the_middle_loses_nothing(server, tmp_path, caplog):
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        log_points(tracker, range(3))
        wait_until(lambda: len(stored(server).history) == 3)
        server.is_down = True
        log_points(tracker, range(3, 6))
        wait_until(lambda: server.hung_up > 1)
        server.is_down = False
        log_points(tracker, range(6, 9))
    assert steps_of(stored(server).history) == list(range(9))
    assert stored(server).exit_code == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_an_outage_that_lasts_ends_the_wait_with_the_way_to_send_the_run(server, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(wandb_run, "FINISH_SECONDS", 1.0)
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        log_points(tracker, range(3))
        wait_until(lambda: len(stored(server).history) == 3)
        server.is_down = True
        log_points(tracker, range(3, 6))
        tracker.log_result(dataclasses.replace(RESULT, benchmarks={"atlas": {"mono": {"map": 0.5}}}))
    assert stored(server).exit_code is None
    assert steps_of(stored(server).history) == [0, 1, 2]
    *_, text = [record.message for record in caplog.records if "could not" in record.message]
    assert text.startswith("W&B could not finish (TimeoutError: ")
    assert f"Send it later with: wandb sync {tmp_path}/wandb/run-" in text
    recorded = on_disk(tmp_path)
    assert (steps_of(recorded.history), recorded.summary["eval/atlas/mono/map"]) == (list(range(6)), 0.5)


def test_a_key_that_is_refused_in_the_middle_is_a_warning(server, tmp_path, caplog):
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        log_points(tracker, range(3))
        wait_until(lambda: len(stored(server).history) == 3)
        server.refusal = 401
        log_points(tracker, range(3, 6))
    assert "Fatal error while uploading data" in caplog.text
    assert steps_of(on_disk(tmp_path).history) == list(range(6))


def test_a_slow_server_holds_up_the_start_alone(server, tmp_path):
    server.seconds = 0.4
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        before = len(server.calls)
        log_points(tracker, range(50))
        assert len(server.calls) == before  # all logged before the server has answered once more
        server.seconds = 0
    assert steps_of(stored(server).history) == list(range(50))


def test_a_server_that_never_answers_leaves_the_run_on_disk(server, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(wandb_run, "INIT_SECONDS", 0.5)
    server.seconds = 30
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        log_points(tracker, range(2))
    assert "W&B is offline: it did not start online" in caplog.text
    assert steps_of(on_disk(tmp_path).history) == [0, 1]


def test_runs_of_one_process_each_end_their_own(server, tmp_path):
    for name in ("first", "second"):
        config = make_config()
        config.run_name = name
        with Tracker.open(config, tmp_path / name, {}) as tracker:
            log_points(tracker, range(2))
    ended = {run.upsert["displayName"]: (run.exit_code, len(run.history)) for run in server.runs.values()}
    assert ended == {"first": (0, 2), "second": (0, 2)}
