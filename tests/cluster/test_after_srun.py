"""The EXIT trap of the sbatch script, run as the script runs it, against an imitation of Slurm."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mixlingual.cluster import after_srun
from mixlingual.runs.exits import FINAL
from mixlingual.runs.progress import write_progress

spec = importlib.util.spec_from_file_location("fake_slurm", Path(__file__).with_name("fake_slurm.py"))
fake_slurm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake_slurm)

CRASH = 128 + signal.SIGKILL


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    slurm = fake_slurm.FakeSlurm.installed(tmp_path / "slurm", monkeypatch)
    slurm.write({"7_1": {"state": "RUNNING", "script": "x"}, "8": {"state": "RUNNING", "script": "x"}})
    return slurm


@pytest.fixture
def submission(tmp_path):
    folder = tmp_path / "grid/.submitit/one"
    folder.mkdir(parents=True)
    (folder / "runs.json").write_text('["a", "b"]')
    return folder


def run(submission, status, job="7_1"):
    """Exit status of the trap, without any package at hand.

    After a requeue it waits for Slurm to end it, which the test does in Slurm's place.
    """
    number, _, place = job.partition("_")
    names = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": place} if place else {"SLURM_JOB_ID": job}
    command = [sys.executable, "-IS", after_srun.__file__, str(submission), str(status)]
    process = subprocess.Popen(command, env=os.environ | names, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not requeued():
        time.sleep(0.01)
    process.terminate()
    process.communicate()
    return process.returncode


def requeued():
    calls = Path(os.environ["FAKE_SLURM"]) / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return [json.loads(line)[-1] for line in lines if '"requeue"' in line]


def crash(submission, job="7_1"):
    """Whether a crash is followed by a requeue."""
    (Path(os.environ["FAKE_SLURM"]) / "calls").unlink(missing_ok=True)
    run(submission, CRASH, job)
    return requeued() == [job]


def end(submission, status, monkeypatch, capsys):
    """Exit status and words of the trap, run in this process, where only its pauses take time, and none in truth."""
    clock = [0.0]
    passing = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: clock.append(clock.pop() + seconds))
    monkeypatch.setattr(after_srun, "time", passing)
    monkeypatch.setattr(after_srun, "_PATIENCE_SECONDS", 2 * after_srun._PAUSE_SECONDS)
    monkeypatch.setattr(sys, "argv", ["after_srun", str(submission), str(status)])
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    with pytest.raises(SystemExit) as ended:
        after_srun.main()
    return ended.value.code, capsys.readouterr().err


def checkpoint(submission, name, step):
    path = submission.parents[1] / name / f"checkpoints/0123-abcd/step-{step:09d}-beef.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def note(submission, name="b"):
    return json.loads((submission.parents[1] / name / "crash.json").read_text())


@pytest.mark.parametrize("status", sorted(FINAL))
def test_expected_ends_are_left_alone(slurm, submission, status):
    assert run(submission, status) == status
    assert requeued() == []
    assert not (submission.parents[1] / "b/crash.json").exists()


@pytest.mark.parametrize("job", ["7_1", "8"])
def test_a_crash_is_queued_again(slurm, submission, job):
    assert crash(submission, job)
    assert note(submission, {"7_1": "b", "8": "a"}[job])["requeued"], "noted before Slurm's SIGTERM ends the script"


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", "PREEMPTED"])
def test_a_job_that_slurm_does_not_want_is_not(slurm, submission, state):
    slurm.set("7_1", state)
    assert run(submission, CRASH) == CRASH
    assert requeued() == []


def test_a_job_that_runs_elsewhere_by_now_is_left_alone(slurm, submission, monkeypatch):
    slurm.write({"7_1": {"state": "RUNNING", "script": "x", "restarts": 2}})
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not crash(submission)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert crash(submission)


@pytest.mark.parametrize(
    ("job", "traceback", "again"),
    [("7_1", "Traceback ...", False), ("7_1", None, True), ("6_1", "Traceback ...", True)],
)
def test_an_exception_of_one_process_is_no_crash_of_those_killed_for_it(slurm, submission, job, traceback, again):
    run_folder = submission.parents[1] / "b"
    run_folder.mkdir()
    (run_folder / "status.json").write_text(json.dumps({"state": "failed", "job": job, "traceback": traceback}))
    assert crash(submission) == again


def test_a_run_that_stands_still_is_given_up(slurm, submission):
    assert [crash(submission) for _ in range(3)] == [True, True, False]
    assert note(submission) == {
        "job": "7_1", "status": 137, "step": 0, "encoded": 0, "crashes": 3, "requeued": False
    }  # fmt: skip


def test_a_run_that_moves_on_may_crash_as_often_as_it_likes(slurm, submission):
    for step in (10, 20, 30, 40):
        checkpoint(submission, "b", step)
        assert crash(submission)
        assert crash(submission)
    assert note(submission)["step"] == 40
    assert not crash(submission), "the third crash at step 40"


def test_another_job_of_the_run_starts_counting_anew(slurm, submission):
    assert [crash(submission) for _ in range(3)] == [True, True, False]
    slurm.write(slurm.jobs | {"9_1": {"state": "RUNNING", "script": "x"}})
    assert crash(submission, "9_1")


def test_a_controller_that_is_away_is_asked_again(slurm, submission, monkeypatch, capsys):
    away = iter([subprocess.CompletedProcess([], 1, "", "Unable to contact slurm controller")] * 2)
    ask = after_srun._scontrol
    monkeypatch.setattr(after_srun, "_scontrol", lambda *words: next(away, None) or ask(*words))
    assert end(submission, CRASH, monkeypatch, capsys)[0] == CRASH
    assert requeued() == ["7_1"]
    assert note(submission)["requeued"]


@pytest.mark.parametrize("trouble", ["down", "mute"])
def test_a_controller_that_does_not_answer_says_neither_yes_nor_no(slurm, submission, monkeypatch, capsys, trouble):
    (slurm.folder / trouble).touch()
    code, words = end(submission, CRASH, monkeypatch, capsys)
    assert code == CRASH
    assert len(slurm.calls) == 3
    assert "Slurm's controller did not answer for" in words


def test_a_requeue_that_slurm_refuses_is_not_noted(slurm, submission, monkeypatch, capsys):
    ask = after_srun._scontrol
    refused = subprocess.CompletedProcess([], 1, "", "Unable to contact slurm controller")
    monkeypatch.setattr(after_srun, "_scontrol", lambda *words: refused if words == ("requeue",) else ask(*words))
    code, words = end(submission, CRASH, monkeypatch, capsys)
    assert code == CRASH
    assert "not queued again: Slurm does not take it" in words
    assert not note(submission)["requeued"]


def test_a_job_that_must_not_be_requeued_is_left_alone(slurm, submission):
    slurm.write({"7_1": {"state": "RUNNING", "script": "x", "requeue": 0}})
    assert run(submission, CRASH) == CRASH
    assert requeued() == []
    assert not (submission.parents[1] / "b/crash.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", "3", '["a"]', None])
def test_a_damaged_submission_is_reported_and_hides_no_status(slurm, submission, monkeypatch, capsys, content):
    runs = submission / "runs.json"
    runs.unlink() if content is None else runs.write_text(content)
    code, words = end(submission, CRASH, monkeypatch, capsys)
    assert code == CRASH
    assert f"{runs} does not say which run job 7_1 is" in words
    assert "srun ended with status 137; not queued again: the same command starts the run anew" in words
    assert requeued() == []


def test_encoded_passages_are_progress(slurm, submission, tmp_path):
    """An evaluation that is killed again and again goes on as long as it leaves more than the time before."""
    shards = tmp_path / "embeddings/0123/corpus"
    shards.mkdir(parents=True)
    run_folder = submission.parents[1] / "b"
    run_folder.mkdir()
    write_progress(run_folder, "evaluating", 40, 40, embeddings=str(tmp_path / "embeddings"))
    for number in range(3):
        (shards / f"{number:05d}.npy").touch()
        assert crash(submission)
        assert crash(submission)
        (shards / f".{number + 1:05d}.host.1.tmp.npy").touch()  # what a kill in the middle of a write leaves
    assert note(submission)["encoded"] == 3
    assert not crash(submission), "the third crash with as many"
