"""The queue of this machine's processes."""

import pytest

from mixlingual.cluster.local import LocalQueue
from mixlingual.cluster.queue import Cell
from mixlingual.config.schema import ClusterConfig
from mixlingual.records import MixlingualError
from mixlingual.training.gather import lost_peer


@pytest.mark.parametrize(("queued", "room"), [(0, 2), (2, 0), (4, 0)])
def test_no_more_runs_start_than_are_to_run_at_a_time(queued, room):
    assert LocalQueue().room(ClusterConfig(array_parallelism=2), queued) == room


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tasks_per_node": 2}, r"got hydra.launcher.nodes=1 and hydra.launcher.tasks_per_node=2; rehearse with"),
        ({"nodes": 2}, r"got hydra.launcher.nodes=2 and"),
        ({"setup": ["module load cuda"]}, r"got hydra.launcher.setup=\['module load cuda'\]; type them before"),
    ],
)
def test_what_there_is_under_slurm_only_is_refused(tmp_path, options, said):
    cell = Cell("a", tmp_path / "a/result.json", (), 0, ClusterConfig(**options))
    with pytest.raises(MixlingualError, match=said):
        LocalQueue().submit([cell], tmp_path / "folder", print)
    assert not (tmp_path / "folder").exists()


def test_a_process_that_has_ended_needs_no_end():
    LocalQueue().cancel("4194303")


def test_a_path_is_no_lost_process():
    assert lost_peer(RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc] Connection closed by peer"))
    assert not lost_peer(FileNotFoundError("/data/gloomy/x"))
