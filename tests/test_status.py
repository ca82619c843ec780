import json
import os
import platform
import subprocess
import sys

import pytest


@pytest.fixture
def sweep(tmp_path):
    run = {"run_name": "r0", "model": "small", "monolingual_ratio": 0.0, "seed": 0}
    folder = tmp_path / "multirun" / "demo"
    (folder / "r0").mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"runs": [run, run | {"run_name": "r1"}]}))
    status = {"state": "started", "started": "2026-01-01T00:00:00+00:00", "host": platform.node(), "pid": os.getpid()}
    (folder / "r0" / "status.json").write_text(json.dumps(status))
    return tmp_path


def status(folder, *words):
    command = [sys.executable, "-m", "mixlingual.status", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_tables_are_plain_where_there_is_no_terminal(sweep):
    done = status(sweep, "sweep_name=demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "sweep demo: 2 runs: 1 planned, 1 running"
    assert "\x1b" not in done.stdout


def test_json_is_for_programs(sweep):
    done = status(sweep, "json=true", "sweep_name=demo")
    runs = json.loads(done.stdout)["runs"]
    assert [(run["name"], run["state"], run["ratio"]) for run in runs] == [("r0", "running", 0), ("r1", "planned", 0)]


def test_an_unknown_sweep_is_a_message_and_exit_code_1(sweep):
    done = status(sweep, "sweep_name=other")
    assert done.returncode == 1
    assert "multirun/other does not exist; sweeps beside it: demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_watching_starts_anew_until_it_is_interrupted(sweep):
    command = [sys.executable, "-um", "mixlingual.status", "sweep_name=demo", "watch=true", "seconds=0.1"]
    with subprocess.Popen(command, cwd=sweep, stdout=subprocess.PIPE, text=True) as watching:
        lines = iter(watching.stdout.readline, "")
        assert next(line for line in lines if "1 planned" in line)
        (sweep / "multirun" / "demo" / "r1").mkdir()
        (sweep / "multirun" / "demo" / "r1" / "status.json").write_text(json.dumps({"state": "failed"}))
        assert next(line for line in lines if "1 failed" in line)
        watching.send_signal(2)
        assert watching.wait() == 0
