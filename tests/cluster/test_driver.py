"""The driver of a grid against an imitation of Slurm whose states the test sets, poll by poll."""

import dataclasses
import importlib.util
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("submitit")

from mixlingual.cluster import driver as driver_module
from mixlingual.cluster.driver import CONFIRMED, GridDriver
from mixlingual.cluster.queue import Cell
from mixlingual.cluster.slurm import SlurmQueue
from mixlingual.config.schema import ClusterConfig
from mixlingual.records import MixlingualError

spec = importlib.util.spec_from_file_location("fake_slurm", Path(__file__).with_name("fake_slurm.py"))
fake_slurm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake_slurm)


def call(overrides, number):
    raise AssertionError("no job runs here")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return fake_slurm.FakeSlurm.installed(tmp_path / "slurm", monkeypatch)


@pytest.fixture
def sweep(tmp_path):
    return tmp_path / "multirun/grid"


@pytest.fixture
def turns(monkeypatch):
    """What happens while the driver sleeps: one entry a time. A driver that sleeps longer than that is an error."""
    happens = []
    monkeypatch.setattr(driver_module, "time", SimpleNamespace(sleep=lambda seconds: happens.pop(0)()))
    return happens


def cells(sweep, *names, **options):
    config = ClusterConfig(**options)
    return [Cell(name, sweep / name / "result.json", (f"run_name={name}",), n, config) for n, name in enumerate(names)]


def a_driver(sweep):
    return GridDriver(SlurmQueue(), sweep, call, poll_s=0.01)


def finish(sweep, *runs):
    for run in runs:
        (sweep / run).mkdir(parents=True, exist_ok=True)
        (sweep / run / "result.json").write_text('{"schema": 1}')


def entries(sweep):
    return json.loads((sweep / "jobs.json").read_text())


def submissions(slurm):
    return sum(words[0] == "sbatch" for words in slurm.calls)


def test_a_grid_is_an_array_and_one_run_is_a_job(slurm, sweep):
    driver = a_driver(sweep)
    assert driver.submit(cells(sweep, "a", "b", "c", array_parallelism=2, partition="low", constraint="a100")) == []
    assert list(slurm.jobs) == ["1_0", "1_1", "1_2"]
    assert {run: entry["job"] for run, entry in entries(sweep).items()} == {"a": "1_0", "b": "1_1", "c": "1_2"}
    assert entries(sweep)["b"]["launcher"] == "slurm"
    assert entries(sweep)["b"]["log"].endswith("/1_1_0_log.err")
    script = slurm.script("1_0")
    for line in (
        "#SBATCH --array=0-2%2", "#SBATCH --partition=low", "#SBATCH --constraint=a100", "#SBATCH --requeue",
        "#SBATCH --comment='mixlingual: 3 runs of grid'", "#SBATCH --signal=USR2@120", "export SLURM_KILL_BAD_EXIT=1",
    ):  # fmt: skip
        assert line in script.splitlines()
    trap = next(line for line in script.splitlines() if line.startswith("trap "))
    assert "after_srun.py" in trap
    assert str(Path(slurm.jobs["1_0"]["script"]).parent) in trap

    a_driver(sweep).submit(cells(sweep, "d"))
    assert list(slurm.jobs)[-1] == "2"
    assert entries(sweep)["d"]["job"] == "2"
    assert "--array" not in slurm.script("2")


def test_done_runs_are_left_and_queued_ones_taken_over(slurm, sweep, turns):
    finish(sweep, "a")
    a_driver(sweep).submit(cells(sweep, "a", "b", "c"))
    assert list(slurm.jobs) == ["1_0", "1_1"]
    slurm.set("1_0", "RUNNING")
    before = entries(sweep)
    second = a_driver(sweep)
    grid = cells(sweep, "a", "b", "c", "d")
    second.submit(grid)
    assert (submissions(slurm), list(slurm.jobs)) == (2, ["1_0", "1_1", "2"])
    assert {run: entries(sweep)[run] for run in before} == before
    assert sorted(second.jobs) == ["1_0", "1_1", "2"]
    turns += [lambda: finish(sweep, "b"), lambda: finish(sweep, "d", "c")]
    second.watch(grid)
    assert second.jobs == []


def test_a_driver_that_died_before_jobs_json_was_written(slurm, sweep):
    a_driver(sweep).submit(cells(sweep, "a", "b"))
    (sweep / "jobs.json").unlink()
    second = a_driver(sweep)
    second.submit(cells(sweep, "a", "b"))
    assert submissions(slurm) == 1
    assert {run: entry["job"] for run, entry in entries(sweep).items()} == {"a": "1_0", "b": "1_1"}


def test_a_driver_that_died_before_the_jobs_knew_their_runs(slurm, sweep):
    a_driver(sweep).submit(cells(sweep, "a", "b"))
    next(sweep.glob(".submitit/*/1_1_submitted.pkl")).unlink()
    a_driver(sweep).submit(cells(sweep, "a", "b"))
    assert {job: entry["state"] for job, entry in slurm.jobs.items()} == {
        "1_0": "PENDING", "1_1": "CANCELLED", "2": "PENDING"
    }  # fmt: skip
    assert entries(sweep)["b"]["job"] == "2"


def test_jobs_of_other_sweeps_are_none_of_its_business(slurm, sweep):
    a_driver(sweep.with_name("other")).submit(cells(sweep.with_name("other"), "a"))
    slurm.write(slurm.jobs | {"77": {"state": "RUNNING", "script": "/home/someone/train|er.sh"}})
    a_driver(sweep).submit(cells(sweep, "a"))
    assert entries(sweep)["a"]["job"] == "78"


def test_a_copy_of_a_sweep_has_jobs_of_its_own(slurm, sweep):
    a_driver(sweep).submit(cells(sweep, "a"))
    copy = sweep.with_name("copy")
    shutil.copytree(sweep, copy)
    a_driver(copy).submit(cells(copy, "a"))
    assert (entries(sweep)["a"]["job"], entries(copy)["a"]["job"]) == ("1", "2")
    (sweep.parent / "link").symlink_to(sweep)
    a_driver(sweep.parent / "link").submit(cells(sweep, "a"))
    assert submissions(slurm) == 2, "another way to the same folder leads to the same jobs"


@pytest.mark.parametrize("at_work", ["1", "2"])
def test_of_two_jobs_of_a_run_the_one_at_work_is_watched(slurm, sweep, at_work, caplog):
    a_driver(sweep).submit(cells(sweep, "a"))
    slurm.set("1", "CANCELLED")
    a_driver(sweep).submit(cells(sweep, "a"))
    slurm.set("1", "PENDING")
    slurm.set(at_work, "RUNNING")
    third = a_driver(sweep)
    third.submit(cells(sweep, "a"))
    assert (third.jobs, submissions(slurm)) == ([at_work], 2)
    assert entries(sweep)["a"]["job"] == at_work
    (other,) = {"1", "2"} - {at_work}
    assert f"a is queued twice; scancel {other}, which is not watched" in caplog.text


def test_drivers_of_one_sweep_keep_each_others_notes(slurm, sweep, turns):
    first, second = a_driver(sweep), a_driver(sweep)
    first.submit(cells(sweep, "a", "b"))
    second.submit(cells(sweep, "c"))
    turns.append(lambda: (slurm.set("1_0", "FAILED"), finish(sweep, "b")))
    turns += [lambda: None] * CONFIRMED
    first.watch(cells(sweep, "a", "b"))
    assert {run: (entry["job"], entry.get("ended")) for run, entry in entries(sweep).items()} == {
        "a": ("1_0", "FAILED"), "b": ("1_1", None), "c": ("2", None)
    }  # fmt: skip


def test_the_end_of_a_job_is_not_that_of_the_job_after_it(slurm, sweep, turns):
    first = a_driver(sweep)
    first.submit(cells(sweep, "a"))
    slurm.set("1", "FAILED")
    a_driver(sweep).submit(cells(sweep, "a"))
    turns += [lambda: None] * CONFIRMED
    first.watch(cells(sweep, "a"))
    assert entries(sweep)["a"]["job"] == "2"
    assert "ended" not in entries(sweep)["a"]


@pytest.mark.parametrize("reason", ["launch failed requeued held", "JobHeldUser", "JobHeldAdmin"])
def test_a_held_job_is_named_with_what_to_do_and_not_waited_for(slurm, sweep, turns, caplog, reason):
    grid = cells(sweep, "a", "b")
    driver = a_driver(sweep)
    driver.submit(grid)
    slurm.set("1_0", "PENDING", reason)
    slurm.set("1_1", "PENDING", "Resources")
    turns += [lambda: None] * (2 * CONFIRMED) + [lambda: finish(sweep, "b")]
    driver.watch(grid)
    assert caplog.text.count(f"a: job 1_0 is held ({reason}); `scontrol release 1_0` lets it start") == 1
    assert entries(sweep)["a"]["held"] == reason
    assert "ended" not in entries(sweep)["a"], "it is still queued"

    slurm.set("1_0", "RUNNING")
    a_driver(sweep).submit(grid)
    assert (submissions(slurm), "held" in entries(sweep)["a"]) == (1, False)


def test_a_grid_larger_than_an_array_may_be_becomes_several(slurm, sweep):
    names = [f"r{n:02}" for n in range(2 * fake_slurm.MAX_ARRAY_SIZE + 1)]
    a_driver(sweep).submit(cells(sweep, *names))
    jobs = [entries(sweep)[name]["job"] for name in names]
    assert jobs == [*(f"{array}_{n}" for array in (1, 2) for n in range(fake_slurm.MAX_ARRAY_SIZE)), "3"]


def test_runs_that_ask_for_different_machines_are_different_arrays(slurm, sweep):
    small, large = cells(sweep, "a", "b"), cells(sweep, "x", "y", nodes=2, tasks_per_node=4)
    a_driver(sweep).submit([small[0], large[0], small[1], large[1]])
    jobs = {run: entry["job"] for run, entry in entries(sweep).items()}
    assert jobs["a"].split("_")[0] == jobs["b"].split("_")[0] != jobs["x"].split("_")[0] == jobs["y"].split("_")[0]
    assert "--nodes=2" in slurm.script(jobs["x"])
    assert "--ntasks-per-node=4" in slurm.script(jobs["x"])
    assert "--nodes=1" in slurm.script(jobs["a"])


def test_a_controller_out_of_reach_says_nothing_about_jobs(slurm, sweep, turns, caplog):
    grid = cells(sweep, "a")
    driver = a_driver(sweep)
    driver.submit(grid)
    down = slurm.folder / "down"
    caplog.set_level(logging.INFO)
    turns += [down.touch, *[lambda: None] * (3 * CONFIRMED), down.unlink, lambda: finish(sweep, "a")]
    driver.watch(grid)
    assert "ended" not in entries(sweep)["a"]
    said = [record.message for record in caplog.records if "answer" in record.message]
    assert said == ["the queue does not answer; waiting until it does", "the queue answers again"]


def test_nothing_is_submitted_while_the_controller_is_out_of_reach(slurm, sweep, turns):
    a_driver(sweep).submit(cells(sweep, "a"))
    (slurm.folder / "down").touch()
    turns += [lambda: None, (slurm.folder / "down").unlink]
    a_driver(sweep).submit(cells(sweep, "a"))
    assert submissions(slurm) == 1


def test_a_requeue_is_not_an_end(slurm, sweep, turns):
    assert CONFIRMED > 1, "one answer is not enough"
    grid = cells(sweep, "a", "b")
    driver = a_driver(sweep)
    driver.submit(grid)
    for state in ("RUNNING", *["NODE_FAIL"] * (CONFIRMED - 1), "PENDING", *["PREEMPTED"] * (CONFIRMED - 1), "RUNNING"):
        turns.append(lambda state=state: slurm.set("1_0", state))
    turns += [lambda: finish(sweep, "a"), lambda: finish(sweep, "b")]
    driver.watch(grid)
    assert not any("ended" in entry for entry in entries(sweep).values())


@pytest.mark.parametrize("state", ["CANCELLED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "COMPLETED", "GONE"])
def test_a_dead_run_does_not_hide_the_others(slurm, sweep, turns, state):
    grid = cells(sweep, "a", "b")
    driver = a_driver(sweep)
    driver.submit(grid)
    turns.append(lambda: slurm.forget("1_0") if state == "GONE" else slurm.set("1_0", state))
    turns += [lambda: None] * CONFIRMED
    turns.append(lambda: finish(sweep, "b"))
    driver.watch(grid)
    assert entries(sweep)["a"]["ended"] == state
    assert "ended" not in entries(sweep)["b"]
    assert (submissions(slurm), turns) == (1, [])


def test_a_result_counts_whatever_slurm_says(slurm, sweep, turns):
    grid = cells(sweep, "a")
    driver = a_driver(sweep)
    driver.submit(grid)
    turns.append(lambda: (slurm.set("1", "FAILED"), finish(sweep, "a")))
    driver.watch(grid)
    assert "ended" not in entries(sweep)["a"]


def test_what_ended_badly_is_submitted_again_by_the_next_driver(slurm, sweep):
    grid = cells(sweep, "a", "b")
    a_driver(sweep).submit(grid)
    slurm.set("1_0", "CANCELLED")
    a_driver(sweep).submit(grid)
    assert list(slurm.jobs) == ["1_0", "1_1", "2"]
    assert entries(sweep)["a"]["job"] == "2"


def test_sbatch_that_refuses_is_quoted(slurm, sweep):
    (slurm.folder / "refuse").write_text("sbatch: error: Invalid account or account/partition combination specified")
    with pytest.raises(MixlingualError, match=r"(?s)sbatch refused 2 runs: .*Invalid account.*conf/cluster/"):
        a_driver(sweep).submit(cells(sweep, "a", "b"))
    assert not (sweep / "jobs.json").exists()


def test_a_machine_without_slurm_is_named(slurm, monkeypatch):
    (slurm.folder / "bin/sbatch").unlink()
    monkeypatch.setenv("PATH", str(slurm.folder / "bin"))
    with pytest.raises(MixlingualError, match=r"needs sbatch, not found .*hydra/launcher=submitit_local"):
        SlurmQueue()


def test_options_go_to_sbatch(slurm, sweep):
    given = ClusterConfig(
        account="lab", qos="long", exclude="n1", gpus_per_node=2, cpus_per_task=3, mem_gb=1.5, timeout_min=7,
        signal_delay_s=30, requeue=False, setup=["module load cuda"], comment="mine", name="grid",
        additional_parameters={"mail-type": "END"},
    )  # fmt: skip
    a_driver(sweep).submit([dataclasses.replace(cells(sweep, "a")[0], options=given)])
    lines = slurm.script("1").splitlines()
    for line in (
        "--account=lab", "--qos=long", "--exclude=n1", "--gpus-per-node=2", "--cpus-per-task=3", "--mem=1536MB",
        "--time=7", "--signal=USR2@30", "--no-requeue", "--comment=mine", "--job-name=grid", "--mail-type=END",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in lines
    assert lines.index("module load cuda") < next(n for n, line in enumerate(lines) if line.startswith("srun "))


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}'])
def test_a_job_that_could_be_any_run_stops_the_driver_with_a_way_out(slurm, sweep, content):
    a_driver(sweep).submit(cells(sweep, "a"))
    Path(slurm.jobs["1"]["script"]).with_name("runs.json").write_text(content)
    with pytest.raises(MixlingualError, match=r"scancel 1\), then give the same command again"):
        a_driver(sweep).submit(cells(sweep, "a"))
    assert submissions(slurm) == 1
