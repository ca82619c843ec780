import datetime
import json
import os
import platform
import subprocess
import sys

import pytest

from mixlingual.records import MixlingualError
from mixlingual.runs.state import Moment, read_states

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
ELSEWHERE = {"host": "another", "pid": 1}
HERE = {"host": platform.node(), "pid": os.getpid()}


def at(minutes):
    """ISO time of so many minutes ago."""
    return (NOW - datetime.timedelta(minutes=minutes)).isoformat(timespec="seconds")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def start(folder, minutes=60, state="started", updated=None, **facts):
    times = {"started": at(minutes), "updated": at(minutes if updated is None else updated)}
    write(folder / "status.json", {"state": state, "reason": None, "traceback": None, **times, **facts})


def progress(folder, minutes, phase="training", **facts):
    write(folder / "progress.json", {"time": at(minutes), "phase": phase, "step": 30, "steps": 120, **facts})


def attempt(folder, number, outcome=None):
    """Appends an attempt, without an end if it has no outcome."""
    events = [{"event": "start", "attempt": number}]
    if outcome:
        events.append({"event": "end", "attempt": number, "outcome": outcome})
    with (folder / "attempts.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def states(folder, slurm=None):
    return {run.name: run for run in read_states(folder, Moment(NOW, 600, slurm))}


@pytest.fixture
def sweep(tmp_path):
    cells = [("small", 0.0), ("small", 0.5), ("large", 0.0), ("large", 0.5)]
    runs = [
        {"run_name": f"{model}_r{ratio:g}", "model": model, "monolingual_ratio": ratio, "seed": 0}
        for model, ratio in cells
    ]
    write(tmp_path / "demo" / "sweep.json", {"runs": runs})
    return tmp_path / "demo"


def test_planned_queued_and_done_runs_keep_the_order_of_the_grid(sweep):
    write(sweep / "jobs.json", {"small_r0.5": {"job": "12_1"}, "large_r0": {"job": "12_2"}})
    start(sweep / "large_r0", state="done", **ELSEWHERE)
    write(sweep / "large_r0" / "result.json", {})
    start(sweep / "by_hand", **HERE)
    found = states(sweep, {"12_1": "PENDING (Priority)"})
    assert {name: run.state for name, run in found.items()} == {
        "small_r0": "planned", "small_r0.5": "queued", "large_r0": "done", "large_r0.5": "planned",
        "by_hand": "running",
    }  # fmt: skip
    assert list(found)[:4] == ["small_r0", "small_r0.5", "large_r0", "large_r0.5"]
    assert (found["small_r0.5"].job, found["small_r0.5"].slurm) == ("12_1", "PENDING (Priority)")
    assert (found["large_r0"].model, found["large_r0"].ratio, found["by_hand"].ratio) == ("large", 0.0, None)


def test_a_running_run_shows_its_pace_and_what_is_left(sweep):
    start(sweep / "small_r0", **HERE)
    progress(sweep / "small_r0", 2, pairs_per_second=64.0, seconds_left=90.0)
    run = states(sweep)["small_r0"]
    assert (run.state, run.step, run.steps, run.pairs_per_second) == ("running", 30, 120, 64.0)
    assert (run.seconds_left, run.age) == (90.0, 120.0)


def test_an_evaluating_run_has_no_pace(sweep):
    start(sweep / "small_r0", **HERE)
    progress(sweep / "small_r0", 2, phase="evaluating", pairs_per_second=64.0)
    run = states(sweep)["small_r0"]
    assert (run.state, run.pairs_per_second, run.seconds_left) == ("evaluating", None, None)


def test_a_run_whose_process_is_gone_was_killed_however_young_its_files(sweep):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    start(sweep / "small_r0", 1, host=platform.node(), pid=gone.pid)
    assert states(sweep)["small_r0"].state == "killed"


def test_on_another_machine_age_tells_or_slurm(sweep):
    for name, minutes in (("small_r0", 9), ("small_r0.5", 11)):
        start(sweep / name, **ELSEWHERE, job=f"7_{minutes}")
        progress(sweep / name, minutes)
    assert [states(sweep)[name].state for name in ("small_r0", "small_r0.5")] == ["running", "silent"]
    slurm = {"7_9": "PENDING (BeginTime)", "7_11": "RUNNING"}
    assert [states(sweep, slurm)[name].state for name in ("small_r0", "small_r0.5")] == ["requeued", "running"]
    assert [states(sweep, {})[name].state for name in ("small_r0", "small_r0.5")] == ["killed", "killed"]


def test_the_progress_of_an_earlier_attempt_is_no_sign_of_this_one(sweep):
    start(sweep / "small_r0", minutes=1, **HERE)
    progress(sweep / "small_r0", 30, phase="evaluating", pairs_per_second=64.0)
    run = states(sweep)["small_r0"]
    assert (run.state, run.step, run.pairs_per_second, run.age) == ("running", 30, None, 60.0)


@pytest.mark.parametrize(
    ("state", "outcomes", "shown", "preempted"),
    [
        ("failed", ["failed"], "failed", 0),
        ("failed", ["requeued", "failed"], "failed", 1),
        ("failed", ["interrupted"], "interrupted", 0),
        ("requeued", ["requeued"], "requeued", 1),
        ("started", ["requeued", None, "superseded", None], "running", 3),
    ],
)
def test_attempts_tell_what_became_of_a_run(sweep, state, outcomes, shown, preempted):
    start(sweep / "small_r0", state=state, **HERE)
    for number, outcome in enumerate(outcomes, 1):
        attempt(sweep / "small_r0", number, outcome)
    run = states(sweep)["small_r0"]
    assert (run.state, run.attempts, run.preempted) == (shown, len(outcomes), preempted)


def test_a_failure_is_told_in_a_line(sweep):
    write(
        sweep / "small_r0" / "status.json",
        {"state": "failed", "reason": "DataError: items.jsonl, line 3: no query\nmore", "updated": at(5)},
    )
    assert states(sweep)["small_r0"].reason == "DataError: items.jsonl, line 3: no query"


def test_torn_and_foreign_files_hide_no_run(sweep):
    start(sweep / "small_r0", **HERE)
    (sweep / "small_r0" / "progress.json").write_text('{"time": ')
    attempt(sweep / "small_r0", 1)
    with (sweep / "small_r0" / "attempts.jsonl").open("a") as file:
        file.write('[]\n{"event": "en')
    (sweep / "jobs.json").write_text("[]")
    found = states(sweep)
    assert (len(found), found["small_r0"].state, found["small_r0"].attempts) == (4, "running", 1)


def test_a_folder_without_runs_names_the_sweeps_beside_it(sweep):
    with pytest.raises(MixlingualError, match=r"nothing holds no runs; sweeps beside it: demo\."):
        read_states(sweep.parent / "nothing", Moment(NOW, 600))


QUEUED = {"job": "12_1", "launcher": "slurm", "submitted": at(30)}


@pytest.mark.parametrize(
    ("job", "status", "slurm", "state", "reason"),
    [
        ({"ended": "CANCELLED"}, None, None, "killed", "job 12_1 ended CANCELLED"),
        ({"ended": "CANCELLED"}, {"state": "requeued", "job": "12_1"}, {}, "killed", "job 12_1 ended CANCELLED"),
        ({"ended": "OUT_OF_MEMORY"}, {"job": "12_1"}, None, "killed", "job 12_1 ended OUT_OF_MEMORY"),
        ({"ended": "FAILED"}, {"state": "failed", "job": "12_1"}, {}, "failed", ""),
        ({}, None, {"12_1": "PENDING"}, "queued", ""),
        ({}, None, {"12_1": "PENDING (JobHeldUser)"}, "failed", "job 12_1 is held; let it go: scontrol release 12_1"),
        ({}, None, {"12_1": "PENDING (launch failed requeued held)"}, "failed", "job 12_1 is held"),
        ({}, None, {}, "killed", "job 12_1 is not in the queue any more"),
        ({}, None, None, "queued", ""),
        ({}, {"state": "failed", "job": "10_1", "minutes": 60}, {"12_1": "PENDING"}, "queued", ""),
        ({"ended": "CANCELLED"}, {"job": None, "minutes": 5} | HERE, {}, "running", ""),
    ],
)
def test_what_the_driver_noted_counts(sweep, job, status, slurm, state, reason):
    write(sweep / "jobs.json", {"small_r0": QUEUED | job})
    if status is not None:
        start(sweep / "small_r0", **({"minutes": 20} | ELSEWHERE | status))
    found = states(sweep, slurm)["small_r0"]
    assert found.state == state
    assert found.reason.startswith(reason)


def test_values_that_are_null_count_as_absent(sweep):
    write(sweep / "sweep.json", {"runs": [{"model": "small"}, 3, {"run_name": "small_r0"}]})
    write(sweep / "jobs.json", {"small_r0": 7})
    write(sweep / "small_r0" / "status.json", {"state": "started", "started": None, "updated": None, **ELSEWHERE})
    write(sweep / "small_r0" / "progress.json", {"time": None})
    assert states(sweep)["small_r0"].state == "silent"
