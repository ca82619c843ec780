import json
import signal
import subprocess
import sys

import pytest
from run_folder import HERE, write_plan, write_status

from mixlingual.config.schema import StatusConfig
from mixlingual.status import show


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "multirun" / "demo"
    write_plan(folder, [("r0", "small", 0.0, 0), ("r1", "small", 0.0, 1)])
    write_status(folder / "r0", "started", **HERE)
    return tmp_path


def started(folder, *words):
    command = [sys.executable, "-um", "mixlingual.status", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_tables_are_plain_where_there_is_no_terminal_and_json_is_for_programs(sweep, capsys):
    show(StatusConfig(sweep_name="demo", root=str(sweep / "multirun")))
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "sweep demo: 2 runs: 1 planned, 1 running"
    assert "\x1b" not in shown
    show(StatusConfig(sweep_name="demo", root=str(sweep / "multirun"), json=True))
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["name"], run["state"], run["ratio"]) for run in runs] == [("r0", "running", 0), ("r1", "planned", 0)]


def test_an_unknown_sweep_is_a_message_and_exit_code_1(sweep):
    asked = started(sweep, "sweep_name=other")
    said = asked.communicate()[1]
    assert asked.returncode == 1
    assert "multirun/other does not exist; sweeps beside it: demo" in said
    assert "Traceback" not in said


def test_nobody_reads_the_output_any_more(sweep):
    with started(sweep, "json=true", "sweep_name=demo") as asked:
        asked.stdout.close()
        assert asked.stderr.read() == ""
    assert asked.returncode == 128 + signal.SIGPIPE


def test_watching_starts_anew_until_it_is_interrupted(sweep):
    with started(sweep, "sweep_name=demo", "watch=true", "seconds=0.1") as watching:
        lines = iter(watching.stdout.readline, "")
        assert next(line for line in lines if "1 planned" in line)
        write_status(sweep / "multirun" / "demo" / "r1", "failed")
        assert next(line for line in lines if "1 failed" in line)
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 0
