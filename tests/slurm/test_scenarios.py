"""Whatever a real Slurm does to a sweep, it ends with the bits of an undisturbed one."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.slurm.cluster import wait_until
from tests.slurm.sweeps import GRID, ONE, RUNS, Sweep, assert_same

pytestmark = pytest.mark.slurm

RUN = RUNS[0]
"""This is the run of `ONE`."""

STOPS = {
    "USR1": lambda sweep: sweep.signal(RUN, signal.SIGUSR1),
    "USR2": lambda sweep: sweep.signal(RUN, signal.SIGUSR2),
    "requeue": lambda sweep: sweep.requeue(RUN),
    "kill": lambda sweep: sweep.kill(RUN),
}
"""Each of these ends an attempt, and calls for another one."""


def outcomes(sweep, run=RUN):
    """Returns number of an attempt -> what became of it; one that was killed has none."""
    return {event["attempt"]: event["outcome"] for event in sweep.attempts(run) if event["event"] == "end"}


def resumed(sweep, run=RUN):
    """Counts how often a run went on from a checkpoint."""
    return (sweep.of(run) / "run.log").read_text().count("going on from")


def ends_as(sweep, driver, whole, runs=(RUN,)):
    """Lets go of the pace, waits for the driver, and checks that it has done all runs as in the sweep `whole`."""
    sweep.set_pace(0.0)
    assert driver.wait() == 0, sweep.log[-3000:]
    assert_same(sweep, whole, runs)


@pytest.mark.parametrize("stop", STOPS)
def test_an_array_of_one_is_stopped_and_goes_on(sweep, undisturbed, stop):
    one = sweep(pace=0.5)
    driver = one.start(*ONE)
    one.wait_for_step(RUN, 12)
    STOPS[stop](one)
    one.wait_for_attempt(RUN, 2)
    ends_as(one, driver, undisturbed)
    assert one.starts(RUN) == 2
    assert resumed(one) == 1
    assert "_" not in one.jobs()[RUN], "an array of one is a job"
    assert outcomes(one)[2] == "done"


def test_a_term_costs_nothing(sweep, undisturbed):
    one = sweep(pace=0.2)
    driver = one.start(*ONE)
    one.wait_for_step(RUN, 12)
    one.signal(RUN, signal.SIGTERM)
    ends_as(one, driver, undisturbed)
    assert outcomes(one) == {1: "done"}


@pytest.mark.parametrize("partition", ["low", "low0"], ids=["grace", "no grace"])
def test_a_preempted_run_goes_on(sweep, undisturbed, partition):
    one = sweep(pace=1.0, partition=partition)  # Slurm looks every 30 s for jobs whose time of grace is over
    driver = one.start(*ONE)
    one.wait_for_step(RUN, 12)
    with one.preempted(RUN):
        one.wait_for_state(RUN, "PENDING")
    ends_as(one, driver, undisturbed)
    assert one.starts(RUN) == 2
    assert resumed(one) == 1


def test_a_run_that_needs_longer_than_its_time(sweep, undisturbed):
    one = sweep(pace=2.0)
    assert one.run(*ONE, "hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=30") == 0, one.log[-3000:]
    assert_same(one, undisturbed, [RUN])
    assert one.starts(RUN) >= 2
    assert "requeued" in outcomes(one).values()


@pytest.fixture(scope="module")
def together(tmp_path_factory, cell_cache, slurm):
    """Trains a run of two processes without disturbance; the same options give the same sweep again."""
    made = {}

    def make(*geometry):
        if geometry not in made:
            made[geometry] = Sweep(tmp_path_factory.mktemp("together"), cell_cache, slurm)
            assert made[geometry].run(*ONE, *geometry) == 0, made[geometry].log[-3000:]
        return made[geometry]

    return make


@pytest.mark.parametrize("stop", ["kill rank 0", "kill rank 1", "USR2", "requeue"])
@pytest.mark.parametrize(
    "geometry", [("trainer.devices=2",), ("trainer.nodes=2", "trainer.devices=1")], ids=["one node", "two nodes"]
)
def test_a_run_of_two_processes_goes_on(sweep, together, geometry, stop):
    whole = together(*geometry)
    one = sweep(pace=0.5)
    driver = one.start(*ONE, *geometry)
    one.wait_for_step(RUN, 12)
    if stop.startswith("kill"):
        one.kill(RUN, rank=int(stop[-1]))
    else:
        STOPS[stop](one)
    one.wait_for_attempt(RUN, 2)
    ends_as(one, driver, whole)
    assert one.starts(RUN) == 2
    assert resumed(one) >= 1


def test_where_a_node_dies_its_process_leaves_the_run_to_the_next(sweep, cluster, undisturbed):
    one = sweep(pace=1.0)
    driver = one.start(*ONE)
    one.wait_for_step(RUN, 12)
    old, lost = cluster.ranks_of(one.job(RUN))[0], one.node(RUN)
    cluster.lose_node(lost)
    one.set_pace(4.0)
    one.wait_for_attempt(RUN, 2)
    assert one.node(RUN) != lost
    wait_until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE, "the old process leaves")
    ends_as(one, driver, undisturbed)
    assert one.starts(RUN) == 2
    assert outcomes(one) == {1: "superseded", 2: "done"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, None])
def test_a_driver_that_ended_takes_up_its_jobs_again(sweep, cluster, undisturbed, how):
    """None: it is killed at once, before it can have written down its jobs."""
    grid = sweep(pace=0.2)
    first = grid.start(*GRID)
    if how:
        grid.wait_for_step(RUN, 5)
    else:
        wait_until(cluster.has_jobs, "Slurm has jobs")
    first.send_signal(how or signal.SIGKILL)
    assert first.wait() != 0
    jobs = grid.jobs() if how else None
    assert grid.run(*GRID) == 0, grid.log[-3000:]
    assert set(grid.jobs()) == set(RUNS)
    assert jobs in (None, grid.jobs())
    assert [grid.starts(run) for run in RUNS] == [1, 1, 1, 1], "no run was started twice"
    assert_same(grid, undisturbed)


def test_detached_runs_do_without_a_driver(sweep, undisturbed):
    grid = sweep(pace=0.2)
    assert grid.run(*GRID, "detach=true") == 0, grid.log
    assert not any(grid.is_done(run) for run in RUNS)
    for run in RUNS:
        wait_until(lambda run=run: grid.is_done(run), f"{run} is done")
    assert_same(grid, undisturbed)
    assert grid.run(*GRID) == 0, "started again, it collects"
    assert [grid.starts(run) for run in RUNS] == [1, 1, 1, 1]


def test_a_cancelled_run_stays_cancelled_and_the_others_go_on(sweep, accounted, undisturbed):
    grid = sweep(pace=0.2, cluster=accounted)
    driver = grid.start(*GRID)
    grid.wait_for_step(RUN, 5)
    accounted.call("scancel", grid.job(RUN))
    assert driver.wait() == 1
    assert accounted.job(grid.job(RUN))["JobState"] == "CANCELLED"
    assert grid.starts(RUN) == 1
    named = [line for line in grid.log.splitlines() if RUN in line and "cancelled" in line.lower()]
    assert named, grid.log[-3000:]
    assert_same(grid, undisturbed, RUNS[1:])
    assert grid.run(*GRID) == 0, "started again, it is done like any that is missing"
    assert_same(grid, undisturbed)


def test_a_held_run_is_named_and_goes_on_once_it_is_released(sweep, cluster, undisturbed):
    one = sweep(pace=0.3)
    driver = one.start(*ONE)
    one.wait_for_step(RUN, 7)
    job = one.job(RUN)
    cluster.call("scontrol", "requeuehold", job)
    assert driver.wait() == 1
    assert f"{RUN}: held: job {job} is held (" in one.log
    cluster.call("scontrol", "release", job)
    one.set_pace(0.0)
    assert one.run(*ONE) == 0, one.log[-3000:]
    assert (one.job(RUN), one.starts(RUN)) == (job, 2)
    assert_same(one, undisturbed, [RUN])


def test_a_killed_run_is_collected_with_and_without_accounting(sweep, accounted, undisturbed):
    grid = sweep(pace=0.2, cluster=accounted)
    driver = grid.start(*GRID)
    for run in RUNS[:2]:
        grid.wait_for_step(run, 7)
        grid.kill(run)
    ends_as(grid, driver, undisturbed, RUNS)


def test_a_run_that_crashes_at_the_same_step_is_given_up(sweep, cluster, undisturbed):
    grid = sweep(grief=f"kill@{RUN}:12")
    assert grid.run(*GRID) == 1
    assert not grid.is_done(RUN)
    assert 2 <= grid.starts(RUN) <= 5
    assert cluster.job(grid.job(RUN))["JobState"] == "FAILED"
    assert "3 of 4 runs done" in grid.log
    assert_same(grid, undisturbed, RUNS[1:])


def test_more_crashes_than_are_borne_in_one_place_are_borne_with_progress(sweep, undisturbed):
    one = sweep(pace=0.2)
    driver = one.start(*ONE)
    for crash in range(1, 6):
        one.wait_for_attempt(RUN, crash)
        one.wait_for_step(RUN, 10 * crash + 2)
        one.kill(RUN)
    assert driver.wait() == 0, one.log[-3000:]
    assert one.starts(RUN) == 6
    assert_same(one, undisturbed, [RUN])


def test_other_code_than_at_the_start_is_pointed_out(sweep, tmp_path):
    checkout = tmp_path / "checkout"
    git = ("git", "-C", str(checkout), "-c", "user.name=test", "-c", "user.email=test@test")
    subprocess.run(["git", "clone", "-q", str(Path(__file__).parents[2]), str(checkout)], check=True)
    one = sweep(pace=0.2, source=checkout / "src")
    driver = one.start(*ONE)
    one.wait_for_step(RUN, 7)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "other code"], check=True)
    one.requeue(RUN)
    assert driver.wait() == 0, one.log[-3000:]
    commits = [event["commit"] for event in one.attempts(RUN) if event["event"] == "start"]
    assert commits[0] != commits[1]
    log = (one.of(RUN) / "run.log").read_text().splitlines()
    assert [line for line in log if "WARNING" in line and all(commit in line for commit in commits)], log


@pytest.fixture
def small_disk(tmp_path):
    """Puts a file system of its own, of some KiB, at a folder; the size can be changed."""
    mounted = []

    def mount(folder, kib):
        folder.mkdir(parents=True, exist_ok=True)
        options = f"size={kib}k" if folder not in mounted else f"remount,size={kib}k"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(folder)

    yield mount
    for folder in set(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_costs_one_run_its_attempt_and_no_checkpoint(sweep, small_disk, undisturbed):
    grid = sweep(pace=0.1)
    small_disk(grid.of(RUN), 2000)
    assert grid.run(*GRID) == 1
    assert "No space left" in grid.read(RUN, "status.json")["reason"]
    assert_same(grid, undisturbed, RUNS[1:])
    assert list(grid.of(RUN).glob("checkpoints/*/step-*.ckpt")), "the last good checkpoints are kept"
    small_disk(grid.of(RUN), 30_000)
    assert grid.run(*GRID) == 0, grid.log[-3000:]
    assert resumed(grid) == 1
    assert_same(grid, undisturbed)
