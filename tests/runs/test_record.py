"""The files of a run: what they say after success, failure, interruption and a second start."""

import errno
import fcntl
import json
import os
import platform
import shutil
import signal
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pandas as pd
import pytest
from run_folder import result_of

from mixlingual.config.schema import TrainConfig
from mixlingual.records import MixlingualError, RunResult
from mixlingual.runs import lease as attempt_module
from mixlingual.runs.exits import FINAL, ExitCode
from mixlingual.runs.lease import Attempt, LeaseLostError, code_commit, locked, read_attempts
from mixlingual.runs.record import RunRecord


def status(folder):
    return json.loads((folder / "status.json").read_text())


def finished(config):
    return RunResult(**result_of(config))


def test_a_finished_run_is_done_and_has_no_checkpoints_left(tmp_path):
    config = TrainConfig()
    record = RunRecord(tmp_path / "run", config)
    assert record.finished() is None
    with record.attempt() as attempt:
        (tmp_path / "run/checkpoints").mkdir()
        assert status(tmp_path / "run")["state"] == "started"
        record.save(attempt, finished(config), pd.DataFrame({"ap": [0.5]}))
    assert status(tmp_path / "run")["state"] == "done"
    assert RunRecord(tmp_path / "run", config).finished() == finished(config)
    assert not (tmp_path / "run/checkpoints").exists()
    assert pd.read_parquet(tmp_path / "run/queries.parquet").ap.tolist() == [0.5]


def test_another_config_is_refused_with_the_difference(tmp_path):
    with (record := RunRecord(tmp_path, TrainConfig())).attempt() as attempt:
        record.save(attempt, finished(TrainConfig()), pd.DataFrame())
    other = TrainConfig(seed=7)
    other.optim.eps = 0.5
    with pytest.raises(MixlingualError, match=r"optim\.eps: 1e-08 there, 0\.5 now\n  seed: 0 there, 7 now\nChoose"):
        RunRecord(tmp_path, other).finished()


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_foreign_result_is_refused(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(MixlingualError, match=r"result\.json cannot be read: .*; move the folder away"):
        RunRecord(tmp_path, TrainConfig()).finished()


def test_failure_keeps_reason_and_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), RunRecord(tmp_path, TrainConfig()).attempt():
        1 / 0  # noqa: B018
    assert status(tmp_path)["state"] == "failed"
    assert status(tmp_path)["reason"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in status(tmp_path)["traceback"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_says_how_to_go_on(tmp_path, error):
    with pytest.raises(error), RunRecord(tmp_path, TrainConfig()).attempt():
        raise error
    assert status(tmp_path)["reason"] == "interrupted; started again it goes on from its newest checkpoint"


def test_one_process_at_a_time(tmp_path):
    with RunRecord(tmp_path, TrainConfig()).attempt():
        with (
            pytest.raises(MixlingualError, match="is being trained by another process"),
            RunRecord(tmp_path, TrainConfig()).attempt(),
        ):
            pytest.fail("the second attempt began")
        assert status(tmp_path)["state"] == "started", "the first one's status is left alone"
    with RunRecord(tmp_path, TrainConfig()).attempt():
        pass


SLURM = {"SLURM_JOB_ID": "99", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}


def lease(folder):
    return json.loads((folder / "lease.json").read_text())


def test_each_attempt_is_recorded(tmp_path, monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    first = Attempt(tmp_path)
    first.step = 7
    first.end("failed", "ZeroDivisionError: division by zero")
    with (tmp_path / "attempts.jsonl").open("a") as file:
        file.write('{"event": "sta')  # a kill, or the disk's end, in the middle of a line
    with RunRecord(tmp_path, TrainConfig()).attempt() as second:
        assert (first.number, second.number) == (1, 2)
        assert lease(tmp_path)["attempt"] == status(tmp_path)["attempt"] == 2
        assert lease(tmp_path)["job"] == status(tmp_path)["job"] == "12_3"
    events = read_attempts(tmp_path)
    assert [(event["event"], event["attempt"]) for event in events] == [
        ("start", 1), ("end", 1), ("start", 2), ("end", 2)
    ]  # fmt: skip
    assert events[0] | {"time": ""} == {
        "event": "start", "attempt": 1, "time": "", "host": platform.node(), "pid": os.getpid(), "job": "12_3",
        "commit": code_commit(),
    }  # fmt: skip
    assert events[1] | {"time": ""} == {
        "event": "end", "attempt": 1, "time": "", "outcome": "failed", "step": 7,
        "reason": "ZeroDivisionError: division by zero",
    }  # fmt: skip


def test_other_code_than_at_first_is_said(tmp_path, monkeypatch, caplog):
    commits = iter(["aaa", "aaa", "bbb+"])
    monkeypatch.setattr(attempt_module, "code_commit", lambda: next(commits))
    for said in (0, 0, 1):
        with RunRecord(tmp_path, TrainConfig()).attempt() as attempt:
            assert caplog.text.count("runs code of commit bbb+, the first ran that of aaa") == said
    assert attempt.commits == ["aaa", "aaa", "bbb+"]


class LeftError(Exception):
    pass


@pytest.fixture
def leaving(monkeypatch):
    """What would end this process raises its exit code instead."""

    def leave(code):
        raise LeftError(code)

    monkeypatch.setattr(attempt_module, "leave", leave)


def test_a_superseded_attempt_writes_no_result_and_no_status(tmp_path, leaving):
    record = RunRecord(tmp_path, TrainConfig())
    old = Attempt(tmp_path)
    Attempt(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(LeftError, match=str(ExitCode.SUPERSEDED)):
        record.save(old, finished(TrainConfig()), pd.DataFrame())
    with pytest.raises(LeftError, match=str(ExitCode.SUPERSEDED)):
        old.end("done")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture
def looks(monkeypatch):
    """What happens to lease.json while an attempt waits to look again: one entry a time, nothing after the last."""
    happens = []

    def sleep(seconds):
        if happens:
            happens.pop(0)()

    monkeypatch.setattr(attempt_module, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    return happens


@pytest.mark.parametrize("torn", [None, "", '{"token": "ab', "[1]"])
def test_a_lease_that_cannot_be_read_for_a_moment_is_looked_at_again(tmp_path, leaving, looks, torn):
    own = Attempt(tmp_path)
    path = tmp_path / "lease.json"
    whole = path.read_text()
    path.unlink() if torn is None else path.write_text(torn)
    looks += [lambda: None, lambda: path.write_text(whole)]
    own.check()
    assert not looks, "it looked until the lease was there"
    assert not own.superseded()


def test_a_run_whose_folder_is_deleted_ends_with_a_word_and_writes_nothing_more(tmp_path, looks):
    """Other runs of the sweep come after it in the process."""
    record = RunRecord(tmp_path / "run", TrainConfig())
    looks += [lambda: None] * (attempt_module._LOOKS + 1)

    def run():
        with record.attempt() as own:
            shutil.rmtree(record.folder)
            record.save(own, finished(TrainConfig()), pd.DataFrame())

    with pytest.raises(LeaseLostError, match=r"lease\.json was deleted with its folder .*; start it again"):
        run()
    assert len(looks) == 1, "what cannot be told is not asked again"
    assert not record.folder.exists()
    assert starts(record.folder)


def test_under_slurm_a_lease_that_stays_away_is_neither_superseded_nor_an_exception(
    tmp_path, leaving, looks, monkeypatch
):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    own = Attempt(tmp_path)
    (tmp_path / "lease.json").unlink()
    with pytest.raises(LeftError, match=str(ExitCode.LEASE_LOST)):
        own.end("done")
    assert ExitCode.LEASE_LOST not in FINAL, "the script queues the run again, which takes a new lease"
    assert [event["event"] for event in read_attempts(tmp_path)] == ["start"]


def test_a_requeued_job_waits_for_the_lease_of_the_attempt_that_it_follows(tmp_path, monkeypatch, looks):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with locked(tmp_path):
        Attempt(tmp_path)
        path = tmp_path / "lease.json"
        whole = path.read_text()
        path.write_text(whole[:20])
        looks.append(lambda: path.write_text(whole))
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        with locked(tmp_path):
            assert read_attempts(tmp_path)[-1]["outcome"] == "superseded"


def test_a_lock_file_that_is_deleted_while_it_is_locked_does_not_count(tmp_path, monkeypatch):
    """Whoever comes next would lock the new file of that name, and both would think that the run is theirs."""
    flock, path = fcntl.flock, tmp_path / "lock"
    troubles = [path.unlink, lambda: (path.unlink(), path.touch())]

    def late(file, how):
        if troubles:
            troubles.pop(0)()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        assert not troubles
        assert not starts(tmp_path)


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def unsupported(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(MixlingualError, match=r"lock cannot be locked \(\[Errno 37\] No locks available\).*-o flock"):
        RunRecord(tmp_path, TrainConfig()).attempt().__enter__()
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}


def test_lines_that_are_no_events_count_as_none(tmp_path):
    (tmp_path / "attempts.jsonl").write_text('3\nnull\n[]\n"start"\n{}\n{"event": "start"}\n{"eve')
    attempt = Attempt(tmp_path)
    assert attempt.number == 2
    assert attempt.commits == [None, code_commit()]


def starts(folder):
    """Whether another process may begin an attempt."""
    child = os.fork()
    if child == 0:
        try:
            with RunRecord(folder, TrainConfig()).attempt():
                os._exit(0)
        except MixlingualError:
            os._exit(1)
        finally:
            os._exit(2)
    return {0: True, 1: False}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def test_what_a_dead_process_has_forked_does_not_hold_the_folder(tmp_path):
    reader, writer = os.pipe()
    owner = os.fork()
    if owner == 0:
        with RunRecord(tmp_path, TrainConfig()).attempt():
            if os.fork() == 0:
                os.write(writer, str(os.getpid()).encode())
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(owner, 0)
    left = int(os.read(reader, 100))
    try:
        assert starts(tmp_path)
    finally:
        os.kill(left, signal.SIGKILL)


def test_only_a_requeue_of_its_job_takes_a_run_from_a_live_process(tmp_path, monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as old, ExitStack() as new:
        old.enter_context(locked(tmp_path))
        Attempt(tmp_path)
        assert not starts(tmp_path), "a second start in the same job"
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        assert not starts(tmp_path), "another job"
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
        new.enter_context(locked(tmp_path))
        Attempt(tmp_path)
        assert [(event["event"], event["attempt"]) for event in read_attempts(tmp_path)] == [
            ("start", 1), ("end", 1), ("start", 2)
        ]  # fmt: skip
        assert read_attempts(tmp_path)[1]["outcome"] == "superseded"
        old.close()
        assert not starts(tmp_path), "the old one has let go, the new one holds the folder"
        new.close()
        assert starts(tmp_path)
    assert lease(tmp_path)["attempt"] == 3
