from types import SimpleNamespace

import pytest
from rich.console import Console

from mixlingual.runs.state import RunState
from mixlingual.runs.table import runs_table
from mixlingual.runs.time_left import TimeLeft, time_left


def done(model, train, evaluation):
    timings = {"train": train, "evaluate/mlqa_r": evaluation}
    return RunState(f"{model}_{train}", "done", model, result=SimpleNamespace(timings=timings))


def run(state, model, seconds_left=None):
    return RunState(f"{model}_{state}", state, model, seconds_left=seconds_left)


SMALL = [done("small", 100.0, 20.0), done("small", 200.0, 40.0)]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([*SMALL, run("running", "small", 30.0)], TimeLeft(60.0, 1, ())),
        ([*SMALL, run("evaluating", "small")], TimeLeft(30.0, 1, ())),
        ([*SMALL, *[run("running", "small", 30.0)] * 2, run("planned", "small")], TimeLeft(150.0, 2, ())),
        ([*SMALL, *[run("running", "small", 30.0)] * 2], TimeLeft(60.0, 2, ())),
        ([*SMALL, run("running", "small", 0.0), run("running", "small", 900.0)], TimeLeft(930.0, 2, ())),
        ([*SMALL, run("running", "small", 0.0), run("queued", "large")], TimeLeft(30.0, 1, ("large",))),
        ([run("running", "large", 70.0), run("requeued", "large")], TimeLeft(70.0, 1, ("large",))),
        ([*SMALL, run("running", "small", 0.0), run("failed", "small"), run("killed", "small")], TimeLeft(30.0, 1, ())),
        ([*SMALL, run("planned", "small")], None),
        ([run("running", "large")], None),
        ([], None),
    ],
    ids=[
        "training then evaluation", "evaluation", "two at a time", "in parallel", "the longest", "a size without runs",
        "nothing done", "what failed waits", "none at work", "nothing known", "no runs",
    ],
)  # fmt: skip
def test_what_runs_still_take(runs, expected):
    assert time_left(runs) == expected


def test_the_table_says_it():
    console = Console(width=150)
    with console.capture() as capture:
        console.print(runs_table("demo", [*SMALL, run("running", "small", 30.0), run("planned", "large")]))
    said = capture.get().splitlines()[0]
    assert said.endswith("; about 1 min left with 1 run at a time, without large, of which no run is done")
