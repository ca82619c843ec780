"""This tests how a run stands: one table for the judge and for all that ask it."""

import dataclasses
import json
import signal
import subprocess
import sys

import psutil
import pytest
from rich.console import Console
from run_folder import (
    HERE,
    NOW,
    at,
    result_of,
    write_json,
    write_plan,
    write_progress,
    write_result,
    write_status,
)

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.config.schema import TrainConfig
from mixlingual.grid import cost, guards
from mixlingual.grid.guards import SweepGuard
from mixlingual.records import MixlingualError
from mixlingual.reporting.tables import unfinished
from mixlingual.runs import state as state_module
from mixlingual.runs.jobs import AGAIN, after_release
from mixlingual.runs.state import STATES, Moment, read_states, state_of, states_of
from mixlingual.runs.table import STYLES, runs_table

RUN = "small_r0"
JOB = {"job": "12_1", "launcher": "slurm", "submitted": at(30), "log": "/logs/12_1.err"}
OWN = {"job": "12_1", "minutes": 20}
CRASH = {"job": "12_1", "status": 137, "step": 40, "crashes": 3, "requeued": False}
INTERRUPTED = "interrupted; started again it goes on from its newest checkpoint"
STOPPED = "number of a stopped process"
AWAY = "move the folder away and start the run again"


def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def case(said, *, job=None, status=None, crash=None, result=None, slurm=None, progress=None):
    """What lies in a sweep's folder, and what is said of its run."""
    return said, job, status, crash, result, slurm, progress


CASES = {
    "not started": case("planned"),
    "queued": case("queued", job=JOB, slurm={"12_1": "PENDING (Priority)"}),
    "queued, without Slurm": case("queued", job=JOB),
    "queued anew": case("queued", job=JOB, status={"state": "failed", "job": "10_1"}, slurm={"12_1": "PENDING"}),
    "held, by the driver": case(
        f"held: job 12_1 is held (JobHeldUser); {after_release('12_1')}", job=JOB | {"held": "JobHeldUser"},
        status={"state": "requeued"} | OWN,
    ),
    "held, by Slurm": case(
        f"held: job 12_1 is held; {after_release('12_1')}", job=JOB, slurm={"12_1": "PENDING (launch requeued held)"}
    ),
    "running": case("running", status=HERE),
    "stopped": case(
        f"silent: its process {STOPPED} is stopped, as by Ctrl-Z; `kill -CONT {STOPPED}` lets it go on",
        status=HERE | {"pid": STOPPED, "minutes": 1},
    ),
    "running, by its age": case("running", status={}, progress={"minutes": 9}),
    "running, by Slurm": case("running", status={"job": "7"}, slurm={"7": "RUNNING"}),
    "running, started by hand since": case(
        "running", job=JOB | {"ended": "CANCELLED"}, status={"minutes": 5} | HERE, slurm={}
    ),
    "evaluating": case("evaluating", status=HERE, progress={"minutes": 9, "phase": "evaluating"}),
    "silent": case(
        "silent: there is no sign of life from process 1 on node1; it may be dead", status={}, progress={"minutes": 11}
    ),
    "silent, without times": case(
        "silent: there is no sign of life from process None on an unknown machine; it may be dead",
        status={"started": None, "updated": None, "host": None, "pid": None}, progress={"time": None, "minutes": 0},
    ),
    "requeued": case(
        "requeued: it went back into the queue at step 40", status={"state": "requeued", "reason": "at step 40"}
    ),
    "requeued, by Slurm": case("requeued", status={"job": "7"}, slurm={"7": "PENDING (BeginTime)"}),
    "interrupted": case(
        f"interrupted: {INTERRUPTED}",
        status={"state": "failed", "reason": INTERRUPTED, "ends": ["requeued", "interrupted"]},
    ),
    "killed, without a job": case(
        f"killed: its process ended without a word: it was killed, as where memory is short; {AGAIN}",
        status=HERE | {"pid": gone(), "minutes": 1},
    ),
    "killed, and its number is another process's now": case(
        f"killed: its process ended without a word: it was killed, as where memory is short; {AGAIN}",
        status=HERE | {"born": psutil.Process().create_time() - 60},
    ),
    "killed, its job gone": case(
        f"killed: job 12_1 is not in the queue any more; {AGAIN}", job=JOB, status=OWN, slurm={}
    ),
    "killed, started by hand in a job that is gone": case(
        f"killed: job 7 is not in the queue any more; {AGAIN}", status={"job": "7"}, slurm={}
    ),
    "cancelled": case(
        f"killed: job 12_1 was cancelled; {AGAIN}", job=JOB | {"ended": "CANCELLED"},
        status={"state": "failed", "reason": "interrupted"} | OWN, slurm={},
    ),
    "cancelled before it started": case(f"killed: job 12_1 was cancelled; {AGAIN}", job=JOB | {"ended": "CANCELLED"}),
    "out of memory, says Slurm": case(
        f"killed: job 12_1 ended OUT_OF_MEMORY without a result; {AGAIN}", job=JOB | {"ended": "OUT_OF_MEMORY"},
        status=OWN,
    ),
    "out of memory, says the exit status": case(
        "killed: job 12_1 crashed 3 times without getting beyond step 40 (exit status 137: killed, as where memory is "
        "short)", job=JOB | {"ended": "FAILED"}, status=OWN, crash=CRASH,
    ),
    "crashed once": case(
        "killed: job 12_1 crashed at step 40 and was not queued again (exit status 1); the same command goes on",
        job=JOB | {"ended": "FAILED"}, status=OWN, crash=CRASH | {"status": 1, "crashes": 1},
    ),
    "crashed, of an older job": case(
        f"killed: job 12_1 ended NODE_FAIL without a result; {AGAIN}", job=JOB | {"ended": "NODE_FAIL"},
        crash=CRASH | {"job": "10_1"},
    ),
    "killed, on this machine": case(
        f"killed: job 4711 ended GONE without a result; {AGAIN}",
        job=JOB | {"launcher": "local", "job": "4711", "ended": "GONE"},
    ),
    "failed": case("failed: DataError: line 3", status={"state": "failed", "reason": "DataError: line 3\nmore"}),
    "failed in its job": case(
        "failed: ValueError: bad", job=JOB | {"ended": "FAILED"},
        status={"state": "failed", "reason": "ValueError: bad"} | OWN, slurm={},
    ),
    "torn result": case(
        "unreadable: result.json is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char "
        f"1); {AWAY}", status={"state": "done"}, result="{",
    ),
    "result of a newer schema": case(
        f"unreadable: result.json has layout version 2; this version of Mixlingual reads 1; {AWAY}",
        status={"state": "done"}, result=json.dumps(result_of(schema=2)),
    ),
    "result deleted": case(
        f"unreadable: status.json says 'done', but there is no result.json; {AGAIN}", status={"state": "done"}
    ),
    "unknown status": case(
        f"unreadable: status.json has the unknown state 'asleep'; {AGAIN}", status={"state": "asleep"}
    ),
    "a copy of another run's folder": case(
        "unreadable: it is the same run as original: a copy of its folder? Delete one of the two",
        result=json.dumps(result_of(run_name="original", benchmarks={"atlas": {}})),
    ),
    "done": case(
        "done", job=JOB | {"ended": "FAILED"}, status={"state": "failed", "reason": "late"} | OWN,
        result=json.dumps(result_of(run_name=RUN)),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stopped():
    """The number of a process that is stopped."""
    process = subprocess.Popen(["sleep", "600"])
    process.send_signal(signal.SIGSTOP)
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("name", CASES)
def test_all_say_the_same_of_a_run(tmp_path, monkeypatch, capsys, name, stopped):
    said, job, status, crash, result, slurm, progress = CASES[name]
    said = said.replace(STOPPED, str(stopped))
    if status and status.get("pid") == STOPPED:
        status = status | {"pid": stopped}
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "multirun" / "demo"
    run = sweep / RUN
    write_plan(sweep, [(RUN, "small", 0.0, 0)])
    if job:
        write_json(sweep / "jobs.json", {RUN: job})
    if status is not None:
        write_status(run, **({"state": "started"} | status))
    if progress:
        write_progress(run, **progress)
    if crash:
        write_json(run / "crash.json", crash)
    if result:
        run.mkdir(exist_ok=True)
        (run / "result.json").write_text(result)
        if "same run" in said:
            write_result(sweep / "original", json.loads(result))
    state, _, reason = said.partition(": ")
    moment = Moment(NOW, slurm=slurm)
    assert state_of(run, moment).words == said

    console = Console(width=400)
    with console.capture() as capture:
        console.print(runs_table("demo", read_states(sweep, moment)))
    row = next(line for line in capture.get().splitlines() if line.startswith(RUN))
    assert row.split()[:2] == [RUN, state]
    assert reason in row

    read = read_sweep(sweep, moment)
    assert [(found.state, found.reason) for found in read.runs if found.name == RUN] == [(state, reason)]
    assert unfinished(read) == ([] if state == "done" else [(state, [f"{RUN}: {reason}" if reason else RUN])])

    guard, config = SweepGuard(), TrainConfig(sweep_name="demo", run_name=RUN)
    guard._folder, guard._runs = sweep, [config]
    monkeypatch.setattr(state_module, "datetime", Clock)
    monkeypatch.setattr(guards, "job_states", lambda: slurm)
    (found,) = states_of(sweep, [RUN], moment)
    assert cost._begun(found) == ("" if state == "planned" else f" ({said})")
    if state == "done":
        guard.on_multirun_end(None)
        assert f"{RUN}: " not in capsys.readouterr().err
    else:
        with pytest.raises(SystemExit, match="1"):
            guard.on_multirun_end(None)
        log = f"; log: {job['log']}" if job and "by hand" not in name else ""
        assert f"{RUN}: {said}{log}\n" in capsys.readouterr().err


class Clock:
    """Stands still at `NOW`."""

    datetime = type("", (), {"now": staticmethod(lambda zone: NOW), "fromisoformat": type(NOW).fromisoformat})
    UTC = NOW.tzinfo


def test_every_state_is_in_the_table_and_has_a_colour():
    assert {said.partition(": ")[0] for said, *_ in CASES.values()} == set(STATES) == set(STYLES)


@pytest.fixture
def sweep(tmp_path):
    cells = [("small", 0.0), ("small", 0.5), ("large", 0.0), ("large", 0.5)]
    write_plan(tmp_path / "demo", [(f"{model}_r{ratio:g}", model, ratio, 0) for model, ratio in cells])
    return tmp_path / "demo"


def states(folder, slurm=None):
    return {run.name: run for run in read_states(folder, Moment(NOW, 600, slurm))}


def test_runs_keep_the_order_of_the_grid_and_their_place_in_it(sweep):
    write_json(sweep / "jobs.json", {"small_r0.5": JOB | {"job": "12_1"}, "large_r0": JOB | {"job": "12_2"}})
    write_result(sweep / "large_r0")
    write_status(sweep / "by_hand", "started", **HERE)
    found = states(sweep, {"12_1": "PENDING (Priority)"})
    assert list(found) == ["small_r0", "small_r0.5", "large_r0", "large_r0.5", "by_hand"]
    assert (found["small_r0.5"].job, found["small_r0.5"].slurm) == ("12_1", "PENDING (Priority)")
    assert (found["large_r0"].model, found["large_r0"].ratio, found["by_hand"].ratio) == ("large", 0.0, None)


def test_a_running_run_shows_its_pace_and_an_evaluating_one_has_none(sweep):
    write_status(sweep / "small_r0", "started", **HERE)
    write_progress(sweep / "small_r0", 2, pairs_per_second=64.0, seconds_left=90.0)
    run = states(sweep)["small_r0"]
    assert (run.state, run.step, run.steps, run.pairs_per_second) == ("running", 30, 120, 64.0)
    assert (run.seconds_left, run.age) == (90.0, 120.0)
    write_progress(sweep / "small_r0", 2, phase="evaluating", pairs_per_second=64.0)
    run = states(sweep)["small_r0"]
    assert (run.state, run.pairs_per_second, run.seconds_left) == ("evaluating", None, None)


def test_the_progress_of_an_earlier_attempt_is_no_sign_of_this_one(sweep):
    write_status(sweep / "small_r0", "started", 1, **HERE)
    write_progress(sweep / "small_r0", 30, phase="evaluating", pairs_per_second=64.0)
    run = states(sweep)["small_r0"]
    assert (run.state, run.step, run.pairs_per_second, run.age) == ("running", 30, None, 60.0)


@pytest.mark.parametrize(
    ("state", "outcomes", "preempted"),
    [
        ("failed", ["failed"], 0), ("failed", ["requeued", "failed"], 1), ("failed", ["interrupted"], 0),
        ("requeued", ["requeued"], 1), ("started", ["requeued", None, "superseded", None], 3),
    ],
)  # fmt: skip
def test_attempts_and_preemptions_are_counted(sweep, state, outcomes, preempted):
    write_status(sweep / "small_r0", state, ends=outcomes, **HERE)
    run = states(sweep)["small_r0"]
    assert (run.attempts, run.preempted) == (len(outcomes), preempted)


def test_torn_and_foreign_files_hide_no_run(sweep):
    write_status(sweep / "small_r0", "started", ends=[None], **HERE)
    (sweep / "small_r0" / "progress.json").write_text('{"time": ')
    with (sweep / "small_r0" / "attempts.jsonl").open("a") as file:
        file.write('[]\n{"event": "en')
    for jobs in ([], {"small_r0": 7}, {"small_r0": {"job": None}}):
        write_json(sweep / "jobs.json", jobs)
        found = states(sweep)
        assert (len(found), found["small_r0"].state, found["small_r0"].attempts) == (4, "running", 1)
    write_json(sweep / "sweep.json", {"runs": [{"model": "small"}, 3, {"run_name": "small_r0"}]})
    assert states(sweep)["small_r0"].state == "running"
    (sweep / "small_r0" / "status.json").write_text("{")
    assert states(sweep)["small_r0"].words == f"unreadable: status.json is no JSON object; {AGAIN}"


def test_a_folder_without_runs_names_the_sweeps_beside_it(sweep):
    with pytest.raises(MixlingualError, match=r"nothing does not exist; sweeps beside it: demo\."):
        read_states(sweep.parent / "nothing", Moment(NOW, 600))
    assert state_of(sweep / "no_such_run").words == "planned"


def test_a_run_that_is_read_twice_is_read_anew_only_when_it_changes(sweep):
    write_result(sweep / "small_r0")
    first = states(sweep)["small_r0"].result
    assert states(sweep)["small_r0"].result is first
    write_result(sweep / "small_r0", result_of(commit="c0ffee"))
    assert states(sweep)["small_r0"].result == dataclasses.replace(first, commit="c0ffee")
