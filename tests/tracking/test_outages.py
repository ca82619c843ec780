"""The real client of wandb against a server of ours, which is slow, refuses, or goes away in the middle of a run."""

import dataclasses
import logging

import pytest

from mixlingual.tracking import client
from mixlingual.tracking.client import run_id
from mixlingual.tracking.run import Tracker

from .wandb_runs import RESULT, log_points, make_config, recorded, steps_of, wait_until


def stored(server):
    """The one run that there is."""
    (run,) = server.runs.values()
    return run


def preempt(folder):
    with Tracker.open(make_config("wandb"), folder, {}) as tracker:
        log_points(tracker, range(4))
        raise SystemExit(255)


def test_a_requeued_run_goes_on_as_itself(server, tmp_path):
    with pytest.raises(SystemExit):
        preempt(tmp_path)
    assert stored(server).is_preempting
    assert stored(server).exit_code == 1
    with Tracker.open(make_config("wandb"), tmp_path, {}) as tracker:
        log_points(tracker, range(2, 6))  # from the checkpoint at step 2
    assert list(server.runs) == [run_id(tmp_path)]
    rows = stored(server).history
    assert steps_of(rows) == [0, 1, 2, 3, 2, 3, 4, 5]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert {step: row["train/loss"] for step, row in zip(steps_of(rows), rows)} == {n: 1 / (1 + n) for n in range(6)}
    assert stored(server).exit_code == 0


def test_an_outage_in_the_middle_loses_nothing(server, tmp_path, caplog):
    with Tracker.open(make_config("wandb"), tmp_path, {}) as tracker:
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
    monkeypatch.setattr(client, "FINISH_SECONDS", 1.0)
    with Tracker.open(make_config("wandb"), tmp_path, {}) as tracker:
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
    (run,) = recorded(tmp_path)
    assert (steps_of(run.history), run.summary["eval/atlas/mono/map"]) == (list(range(6)), 0.5)


def test_a_key_that_is_refused_in_the_middle_is_a_warning(server, tmp_path, caplog):
    with Tracker.open(make_config("wandb"), tmp_path, {}) as tracker:
        log_points(tracker, range(3))
        wait_until(lambda: len(stored(server).history) == 3)
        server.refusal = 401
        log_points(tracker, range(3, 6))
    assert "Fatal error while uploading data" in caplog.text
    assert steps_of(recorded(tmp_path)[-1].history) == list(range(6))


def test_a_slow_server_holds_up_the_start_alone(server, tmp_path):
    server.seconds = 0.4
    with Tracker.open(make_config("wandb"), tmp_path, {}) as tracker:
        before = len(server.calls)
        log_points(tracker, range(50))
        assert len(server.calls) == before  # all logged before the server has answered once more
        server.seconds = 0
    assert steps_of(stored(server).history) == list(range(50))


@pytest.mark.parametrize("fault", [{"seconds": 30}, {"refusal": 401}, {"is_down": True}])
def test_a_server_that_does_not_take_the_run_leaves_it_on_disk(server, tmp_path, caplog, monkeypatch, fault):
    monkeypatch.setattr(client, "INIT_SECONDS", 0.5)
    for name, value in fault.items():
        setattr(server, name, value)
    with Tracker.open(make_config("wandb"), tmp_path, {}) as tracker:
        log_points(tracker, range(2))
    assert "W&B is offline: it did not start online (CommError: " in caplog.text
    assert steps_of(recorded(tmp_path)[-1].history) == [0, 1]
