"""The queue of this machine's processes."""

import pytest

from mixlingual.cluster.local import LocalQueue
from mixlingual.config import ClusterConfig
from mixlingual.training.gather import lost_peer


@pytest.mark.parametrize(("queued", "room"), [(0, 2), (2, 0), (4, 0)])
def test_no_more_runs_start_than_are_to_run_at_a_time(queued, room):
    assert LocalQueue().room(ClusterConfig(array_parallelism=2), queued) == room


def test_a_process_that_has_ended_needs_no_end():
    LocalQueue().cancel("4194303")


def test_a_path_is_no_lost_process():
    assert lost_peer(RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc] Connection closed by peer"))
    assert not lost_peer(FileNotFoundError("/data/gloomy/x"))
