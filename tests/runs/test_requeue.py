"""How a run asks for its requeue, where Slurm's controller is away or forbids it."""

import subprocess
from types import SimpleNamespace

import pytest

from mixlingual.runs import requeue
from mixlingual.runs.exits import FINAL, ExitCode
from mixlingual.runs.requeue import ask_for_requeue

AWAY = subprocess.CalledProcessError(1, ["scontrol", "requeue", "12"])


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Lets `scontrol show job` answer as the test says. Only the pauses take time, and none in truth."""
    clock = [0.0]
    passing = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: clock.append(clock.pop() + seconds))
    monkeypatch.setattr(requeue, "time", passing)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program = tmp_path / "scontrol"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/shown")
    program.chmod(0o755)
    (tmp_path / "shown").write_text("JobId=12 JobState=RUNNING Requeue=1 Restarts=0")
    return tmp_path / "shown"


def handler_of(*outcomes):
    """submitit's handler, which raises one thing after the other, the last one for ever."""
    left = list(outcomes)

    def handler(number, frame):
        raise left.pop(0) if len(left) > 1 else left[0]

    return handler


@pytest.mark.parametrize("trouble", [AWAY, subprocess.TimeoutExpired("scontrol", 60)])
def test_a_controller_that_is_away_is_asked_again(shown, trouble):
    answer = ask_for_requeue(handler_of(trouble, trouble, SystemExit(-1)))
    assert (answer.requeued, answer.code) == (True, -1)


def test_a_controller_that_stays_away_leaves_the_asking_to_the_script(shown):
    answer = ask_for_requeue(handler_of(AWAY))
    assert not answer.requeued
    assert answer.code not in FINAL
    assert "its script asks on. If in vain, the same command starts the run again" in answer.reason


def test_a_job_that_must_not_be_requeued_says_what_to_do(shown):
    shown.write_text("JobId=12 JobState=RUNNING Requeue=0 Restarts=0")
    answer = ask_for_requeue(handler_of(AWAY, pytest.fail.Exception("asked again")))
    assert (answer.requeued, answer.code) == (False, ExitCode.FAILED)
    assert answer.reason == (
        "its time was up, and hydra.launcher.requeue=false keeps it out of the queue; the same command starts the run "
        "again, and it goes on from its newest checkpoint"
    )


def test_submitits_own_refusal_is_final(shown):
    utils = pytest.importorskip("submitit.core.utils")
    refusal = utils.UncompletedJobError("Job not requeued because: timed-out too many times.")
    answer = ask_for_requeue(handler_of(refusal, pytest.fail.Exception("asked again")))
    assert (answer.requeued, answer.code) == (False, ExitCode.FAILED)
    assert answer.reason.startswith("Job not requeued because: timed-out too many times; the same command starts")
