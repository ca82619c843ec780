"""A sweep outlives a real Slurm for a minute or two, with every change; test_scenarios.py has the rest."""

from tests.slurm.sweeps import GRID, RUNS, assert_same


def test_a_grid_outlives_preemption_a_kill_a_failing_cell_and_the_death_of_its_driver(sweep, cluster, undisturbed):
    grid = sweep(pace=0.3, partition="low0", grief="raise@r1_s1:7")
    first = grid.start(*GRID)
    preempted, killed, failing = "r0_s0", "r1_s0", "r1_s1"
    grid.wait_for_step(killed, 8)
    grid.kill(killed)
    grid.wait_for_step(preempted, 8)
    with grid.preempted(preempted):
        grid.wait_for_state(preempted, "PENDING")
    grid.wait_for_attempt(killed, 2)
    first.kill()
    first.wait()
    jobs = grid.jobs()
    assert grid.run(*GRID) == 1, "one run has failed"

    jobs[failing] = grid.jobs()[failing]
    assert grid.jobs() == jobs, "the second driver submits anew what had failed, and nothing else"
    assert "3 of 4 runs done" in grid.log
    assert f"{failing}: failed: UnpicklableError: r1_s1 fails at step 7 on purpose" in grid.log
    assert "in on_train_batch_end" in grid.read(failing, "status.json")["traceback"]
    assert "Traceback" in (grid.of(failing) / "run.log").read_text()
    assert cluster.job(jobs[failing])["JobState"] == "FAILED"
    assert cluster.job(jobs[failing])["ExitCode"] == "3:0"
    assert [grid.starts(preempted), grid.starts(killed)] == [2, 2]
    finished = [run for run in RUNS if run != failing]
    assert_same(grid, undisturbed, finished)
    for run in (preempted, killed):
        assert "going on from" in (grid.of(run) / "run.log").read_text()
