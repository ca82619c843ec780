import json
import logging
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import EvaluationConfig, TrackingConfig, TrainConfig
from mixlingual.records import MixlingualError, RunResult
from mixlingual.tracking import client as wandb_run
from mixlingual.tracking.client import run_id
from mixlingual.tracking.run import Tracker

from .wandb_reader import read_run

wandb = pytest.importorskip("wandb")

FAKE_KEY = "0123456789abcdef" * 2 + "deadbeef"
CLOSED_PORT = "http://127.0.0.1:9"
BENCHMARKS = {
    "atlas": {
        "languages": ["ar", "de"],
        "mono": {"map": 0.5, "r@1": 0.25, "languages": {"ar": {"map": 0.5, "queries": 3}}},
        "cross": {"map": 0.1, "pairs": {"ar-de": {"map": 0.1, "queries": 3}, "de-ar": {"map": 0.2, "queries": 3}}},
    }
}


@pytest.fixture(autouse=True)
def _no_account(tmp_path, monkeypatch):
    """No key, no settings, no proxy and no service process of the user or of another test."""
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    yield
    wandb.teardown()


def make_config(mode="offline", run_name="small_a0.25_s3", **tracked):
    config = TrainConfig(
        evaluation=EvaluationConfig(benchmarks=["atlas"]),
        tracking=TrackingConfig(mode=mode, **tracked),
        seed=3,
        sweep_name="size_x_ratio",
        run_name=run_name,
    )
    config.model.name = "small"
    config.batching.monolingual_ratio = 0.25
    return config


def make_result(benchmarks=BENCHMARKS):
    return RunResult("size_x_ratio", "r", {}, "hash", None, {}, {}, {}, {}, {}, benchmarks, {})


def recorded(folder):
    """What every attempt of the run in `folder` recorded, in order of time, once wandb's process has ended."""
    wandb.teardown()
    return [read_run(path) for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]


def warnings_of(caplog):
    """The warnings of our own code."""
    ours = [record for record in caplog.records if record.name.startswith("mixlingual.training")]
    return [record.message for record in ours if record.levelname == "WARNING"]


class LoggingModel(BoringModel):
    def training_step(self, batch, batch_idx):
        self.log("train/loss", float(batch_idx))
        return super().training_step(batch, batch_idx)


def test_without_tracking_wandb_is_never_imported(tmp_path):
    program = (
        "import sys; from pathlib import Path; from mixlingual.config.schema import TrainConfig\n"
        "from mixlingual.tracking.run import Tracker\n"
        "with Tracker.open(TrainConfig(), Path('run'), {}) as tracker:\n"
        "    assert tracker.logger is None\n"
        "    tracker.log_result(None)\n"
        "assert 'pytorch_lightning' in sys.modules and 'wandb' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["wandb", "offline"])
def test_a_missing_package_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch, mode):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MixlingualError, match=rf"tracking.mode={mode} .* pip install 'mixlingual\[wandb\]'"):
        Tracker.open(make_config(mode), tmp_path, {})


def test_an_offline_run_records_names_config_curves_metrics_and_tables(tmp_path, caplog):
    config = make_config(tags=["try", "small", "x" * 80])
    with caplog.at_level(logging.INFO), Tracker.open(config, tmp_path, {"total": 7, "non_embedding": 5}) as tracker:
        trainer = Trainer(
            logger=tracker.logger, max_steps=3, log_every_n_steps=1, accelerator="cpu",
            limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(LoggingModel())
        tracker.log_result(make_result())
    (of_run,) = recorded(tmp_path)
    run = of_run.run
    assert (run.run_group, run.display_name, run.job_type) == ("size_x_ratio", "small_a0.25_s3", "train")
    assert (run.run_id, run.project) == (run_id(tmp_path), "mixlingual")
    assert list(run.tags) == ["small", "alpha=0.25", "seed=3", "atlas", "try", "x" * 64]
    del of_run.config["_wandb"]
    assert of_run.config == to_plain(config) | {"parameters": {"total": 7, "non_embedding": 5}}
    curve = [(row["trainer/global_step"], row["train/loss"]) for row in of_run.history if "train/loss" in row]
    assert curve == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert {
        key: value for key, value in of_run.summary.items() if key.startswith("eval/atlas/") and "languages" not in key
    } == {
        "eval/atlas/mono/map": 0.5,
        "eval/atlas/mono/r@1": 0.25,
        "eval/atlas/cross/map": 0.1,
    }
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/eval/pairs_*.json")
    assert json.loads(table.read_text()) == {
        "columns": ["benchmark", "query_language", "candidate_language", "map", "queries"],
        "data": [["atlas", "ar", "de", 0.1, 3], ["atlas", "de", "ar", 0.2, 3]],
    }
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/table/eval/languages_*.json"))) == 1
    (picture,) = tmp_path.glob("wandb/offline-run-*/files/media/images/eval/atlas/languages_*.png")
    assert of_run.summary["eval/atlas/languages.path"].endswith(picture.name)
    assert of_run.exit_code == 0
    assert [r.levelname for r in caplog.records if "W&B is offline: tracking.mode=offline" in r.message] == ["INFO"]


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
        tracker.log_result(make_result(benchmarks={}))
    (of_run,) = recorded(tmp_path)
    assert {artifact.type: sorted(e.path for e in artifact.manifest.contents) for artifact in of_run.artifacts} == kept
    places = [entry.local_path for artifact in of_run.artifacts for entry in artifact.manifest.contents]
    assert all(Path(place).is_relative_to(tmp_path) for place in places), "files were copied"


def fail_in_training(folder):
    with Tracker.open(make_config(run_name="second"), folder, {}) as tracker:
        tracker.logger.log_metrics({"train/loss": 1.0}, step=1)
        raise RuntimeError("no more memory")


def test_runs_of_one_process_each_end_their_own_and_a_failed_one_says_so(tmp_path):
    with Tracker.open(make_config(run_name="first"), tmp_path / "first", {}):
        pass
    with pytest.raises(RuntimeError, match="no more memory"):
        fail_in_training(tmp_path / "second")
    again = Tracker.open(make_config(run_name="second"), tmp_path / "second", {})
    again.logger.log_metrics({"train/loss": 2.0}, step=2)
    again.log_result(make_result(benchmarks={}))
    again.close()
    again.close(failed=True)
    (first,) = recorded(tmp_path / "first")
    failed, resumed = recorded(tmp_path / "second")
    assert (first.exit_code, failed.exit_code, resumed.exit_code) == (0, 1, 0)
    assert first.run.run_id != failed.run.run_id == resumed.run.run_id
    assert ([len(run.history) for run in (first, failed, resumed)]) == [0, 1, 1]


def id_on_record(folder):
    """The W&B id of one more attempt at the run in the folder; sweep and run have the same names in all."""
    Tracker.open(make_config(), folder, {}).close()
    *_, newest = recorded(folder)
    return newest.run.run_id


def test_a_run_keeps_its_id_also_elsewhere_and_shares_it_with_no_other_sweep(tmp_path):
    mine, theirs = id_on_record(tmp_path / "mine" / "run"), id_on_record(tmp_path / "theirs" / "run")
    assert mine != theirs
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert id_on_record(tmp_path / "moved" / "run") == mine
    assert re.fullmatch("[0-9a-f]{12}", mine)


def offline_reason(folder, caplog):
    """Opens a run in mode wandb, which must end up on disk, and returns the reason that was logged."""
    started = time.perf_counter()
    with caplog.at_level(logging.INFO), Tracker.open(make_config("wandb"), folder, {}) as tracker:
        tracker.logger.log_metrics({"train/loss": 1.0}, step=1)
    assert time.perf_counter() - started < 5
    (of_run,) = recorded(folder)
    assert (of_run.exit_code, len(of_run.history)) == (0, 1)
    (warning,) = warnings_of(caplog)
    reason, command = re.fullmatch(r"W&B is offline: (.*)\. Send it later with: (.*)", warning, re.DOTALL).groups()
    *words, sync_folder = shlex.split(command)
    assert words == ["wandb", "sync"]
    assert list(Path(sync_folder).glob("run-*.wandb"))
    return reason


def test_without_a_key_a_run_goes_offline_and_says_so(tmp_path, caplog):
    reason = offline_reason(tmp_path / "with space", caplog)
    assert reason == "there is no API key (use wandb login, or set WANDB_API_KEY)"


def test_a_malformed_key_keeps_a_run_offline(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    assert offline_reason(tmp_path, caplog) == "WANDB_API_KEY invalid: API key must have 40+ characters, has 5"


def test_the_environment_may_keep_a_run_offline(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert offline_reason(tmp_path, caplog) == "WANDB_MODE=offline"


@pytest.mark.parametrize("place", ["environment", "netrc"])
def test_without_a_network_a_run_goes_offline_and_the_key_is_written_nowhere(tmp_path, caplog, monkeypatch, place):
    monkeypatch.setenv("WANDB_BASE_URL", CLOSED_PORT)
    if place == "environment":
        monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    else:
        Path(tmp_path / "netrc").write_text(f"machine 127.0.0.1:9\nlogin user\npassword {FAKE_KEY}\n")
    reason = offline_reason(tmp_path / "run", caplog)
    assert re.fullmatch(r"127\.0\.0\.1:9 cannot be reached \(.*refused.*\)", reason)
    wandb.teardown()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "netrc"]
    assert {path.suffix for path in files} >= {".wandb", ".log"}
    assert [path for path in files if FAKE_KEY.encode() in path.read_bytes()] == []
    assert FAKE_KEY not in caplog.text


def test_a_server_that_refuses_the_run_leaves_it_offline(tmp_path, caplog, monkeypatch):
    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    assert offline_reason(tmp_path, caplog).startswith("it did not start online (CommError: ")
    wandb.teardown()
    server.shutdown()
    server.server_close()


def test_with_key_and_network_a_run_goes_online(tmp_path, caplog, monkeypatch):
    modes = []

    class StartedRun:
        project, url = "mixlingual", "https://server/run"
        settings = wandb.Settings()

    def init(config, folder, parameters, mode):
        modes.append(mode)
        return StartedRun()

    monkeypatch.setattr(wandb_run, "_init", init)
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    with socket.create_server(("127.0.0.1", 0)) as server, caplog.at_level(logging.INFO):
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        Tracker.open(make_config("wandb"), tmp_path, {})
        wandb.teardown()
        Tracker.open(make_config("offline"), tmp_path, {})
    assert modes == ["online", "offline"]
    assert "W&B: https://server/run" in caplog.text


def test_the_route_leads_through_a_proxy_and_name_servers_may_hang(monkeypatch):
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "inside.test")
    probed = []
    monkeypatch.setattr(wandb_run, "_connect", probed.append)
    for url in ("http://outside.test", "http://inside.test", "https://outside.test/path", "http://inside.test:8080"):
        assert wandb_run._reason_for_no_route(url) is None
    assert probed == [("127.0.0.1", 9), ("inside.test", 80), ("outside.test", 443), ("inside.test", 8080)]

    monkeypatch.setattr(wandb_run, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(wandb_run, "_connect", lambda address: time.sleep(1))
    assert wandb_run._reason_for_no_route("https://outside.test") == (
        "outside.test:443 cannot be reached (no answer in 0.1 s)"
    )


def test_what_goes_wrong_in_wandb_is_a_warning(tmp_path, caplog, monkeypatch):
    tracker = Tracker.open(make_config(), tmp_path, {})

    def broken(*args, **kwargs):
        raise ConnectionResetError("service is gone")

    for name in ("log", "finish"):
        monkeypatch.setattr(tracker._run, name, broken)
    for step in range(3):
        tracker.logger.log_metrics({"train/loss": 1.0}, step=step)
    tracker.log_result(make_result())
    run = tracker._run
    tracker.close()
    warnings = warnings_of(caplog)
    actions = [
        re.match(r"W&B could not (.*) \(ConnectionResetError: service is gone\)\.", text)[1] for text in warnings
    ]
    assert actions == ["log a point of the curves and logs no more of them", "show the result", "finish"]
    assert all(text.endswith(f"wandb sync {run.settings.sync_dir}") for text in warnings)
    monkeypatch.undo()
    run.finish()

    monkeypatch.setattr(wandb, "init", broken)
    with Tracker.open(make_config(), tmp_path, {}) as tracker:
        assert tracker.logger is None
    assert "W&B could not start (ConnectionResetError: service is gone)" in caplog.text
