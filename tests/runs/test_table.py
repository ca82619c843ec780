import dataclasses
from types import SimpleNamespace

import pytest
from rich.console import Console

from mixlingual.runs.state import RunState
from mixlingual.runs.table import duration, grid_table, runs_table

RUNS = [
    RunState(
        "small_r0_s0",
        "done",
        "small",
        0.0,
        0,
        attempts=2,
        preempted=1,
        job="12_0",
        result=SimpleNamespace(timings={"train": 110.0}),
    ),
    RunState("small_r0_s1", "running", "small", 0.0, 1, 30, 120, 63.6, 90.0, 2.0, attempts=1, job="12_1"),
    RunState("small_r0.5_s0", "queued", "small", 0.5, 0, job="12_2", slurm="PENDING (Priority)"),
    RunState("large_r0.5_s0", "failed", "large", 0.5, 0, age=7200.0, attempts=1, reason="Error: [red]no[/red] file"),
    RunState("large_r0.5_s1", "killed", "large", 0.5, 1, job="12_4", reason="job 12_4 ended OUT_OF_MEMORY"),
]


def printed(table):
    console = Console(width=150)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_row_for_each_run():
    count, header, *rows = printed(runs_table("demo", RUNS))
    assert (
        count
        == "sweep demo: 5 runs: 1 queued, 1 running, 1 killed, 1 failed, 1 done; about 3 min left with 1 run at a time"
    )
    assert header.split() == ["run", "state", "step", "pairs/s", "left", "seen", "attempt", "preempted"]
    assert [" ".join(row.split()) for row in rows] == [
        "small_r0_s0 done 2 1",
        "small_r0_s1 running 30/120 64 2 min 2 s ago 1 job 12_1",
        "small_r0.5_s0 queued job 12_2: PENDING (Priority)",
        "large_r0.5_s0 failed 2 h 00 ago 1 Error: [red]no[/red] file",
        "large_r0.5_s1 killed job 12_4 ended OUT_OF_MEMORY",
    ]


def test_the_newest_validation_is_shown_where_runs_have_one():
    point = {"step": 200.0, "pairs": 12800.0, "value": 0.41234}
    _, header, *rows = printed(runs_table("demo", [dataclasses.replace(RUNS[1], validated=point), RUNS[2]]))
    assert header.split() == ["run", "state", "step", "pairs/s", "left", "validation", "seen", "attempt", "preempted"]
    assert " ".join(rows[0].split()) == "small_r0_s1 running 30/120 64 2 min 0.4123 at 200 2 s ago 1 job 12_1"


def test_sizes_by_ratios_count_the_seeds():
    _, header, *rows = printed(grid_table("demo", [*RUNS, RunState("by_hand", "done")]))
    assert header.split() == ["size", "0", "0.5"]
    assert [" ".join(row.split()) for row in rows] == ["small 1 running, 1 done 1 queued", "large 1 killed, 1 failed"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.4, "12 s"), (100, "2 min"), (3599, "1 h 00"), (14700, "4 h 05"), (86399, "1 d 00 h"), (183600, "2 d 03 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
