"""Starts a cluster for all tests of a session, sweeps on it, and a sweep that nothing disturbs."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.install import NoSlurmError, install
from tests.slurm.sweeps import GRID, RUNS, Sweep


@pytest.fixture(scope="session")
def slurm():
    """Starts the cluster itself; skips where there can be none."""
    try:
        install()
    except NoSlurmError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # pytest's own folders are too long for sockets
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(slurm):
    """Gives the cluster with both nodes idle at the start, and ends whatever the test leaves there."""
    slurm.repair()
    yield slurm
    slurm.end_jobs()


@pytest.fixture(params=[False, True], ids=["no accounting", "sacct"])
def accounted(cluster, request):
    """Gives the cluster without accounting, and the same with a stand-in for sacct."""
    return dataclasses.replace(cluster, sacct=request.param)


@pytest.fixture(scope="session")
def cell_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, cell_cache):
    """Trains the grid without Slurm, one run after the other."""
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"), cell_cache)
    assert sweep.run(*GRID) == 0, sweep.log
    assert all(sweep.is_done(run) for run in RUNS)
    return sweep


@pytest.fixture
def sweep(tmp_path, cell_cache, cluster):
    """Makes sweeps on the cluster; keywords as of `Sweep`."""
    made = []

    def make(**options):
        made.append(Sweep(tmp_path / f"sweep{len(made)}", cell_cache, **({"cluster": cluster} | options)))
        return made[-1]

    yield make
    for one in made:
        one.stop()
