"""Hybrid batches in the real trainer of sentence-transformers, in one process and in two."""

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from forks import on_ranks
from torch.utils.data import BatchSampler, ConcatDataset
from two_ranks import PAIRS, data_of, trained

from mixlingual.batches import HybridBatches
from mixlingual.integrations.sentence_transformers import hybrid_batches
from mixlingual.records import MixlingualError


def pairs_of(batch):
    return {text.split()[0] for text in batch}


def test_the_trainer_draws_one_pair_a_batch_by_seed_and_ratio(tmp_path):
    data = data_of(40)
    seen = trained(tmp_path, data, draw="stratified")
    assert len(seen) == 10
    assert all(len(pairs_of(batch)) == 1 and len(set(batch)) == 8 for batch in seen)
    assert sum(pairs_of(batch) != {"de-en"} for batch in seen) == 5
    assert trained(tmp_path, data, draw="stratified") == seen
    assert trained(tmp_path, data, draw="stratified", seed=6) != seen
    expected = HybridBatches(dict.fromkeys(PAIRS, 40), batch_size=8, draw="stratified", seed=5)
    rows = [f"{pair} anchor {n}" for pair in PAIRS for n in range(40)]
    assert [[rows[row] for row in batch] for batch, _ in zip(expected, range(10))] == seen


def test_it_goes_on_in_the_middle_of_the_second_epoch(tmp_path):
    """An epoch is 15 steps; the checkpoint is at step 20, and training ends at 28."""
    data = data_of(40)
    whole = trained(tmp_path, data, steps=28, save_steps=20)
    assert whole[15:28] != whole[:13], "epochs differ"
    resumed = trained(tmp_path, data, steps=28, resume=str(tmp_path / "checkpoint-20"))
    assert resumed == whole[20:]


def test_two_processes_go_on_in_the_middle_of_the_second_epoch(tmp_path):
    def batches():
        AcceleratorState._reset_state(reset_partial_state=True)  # of the process that was forked
        whole = trained(tmp_path, data_of(40), steps=28, size=4, save_steps=20)
        return whole, trained(tmp_path, data_of(40), steps=28, size=4, resume=str(tmp_path / "checkpoint-20"))

    (left, left_rest), (right, right_rest) = on_ranks(tmp_path / "said", 2, batches)
    assert [one + other for one, other in zip(left, right, strict=True)] == trained(tmp_path, data_of(40), steps=28)
    assert (left_rest, right_rest) == (left[20:], right[20:])


def test_it_is_pickled_with_the_arguments():
    sampler = pickle.loads(pickle.dumps(hybrid_batches(data_of(10), ratio=0.25)))
    assert sampler.keywords["options"] == {"ratio": 0.25}
    with pytest.raises(MixlingualError, match="got 'german'; each data set is named by its pair of languages"):
        hybrid_batches({"german": [1]})
    lists = [Rows(range(4)), Rows(range(4))]
    sampler = hybrid_batches(dict.fromkeys(PAIRS, range(10)))
    with pytest.raises(MixlingualError, match="the trainer has 2 data sets, and hybrid_batches was given 3: de-de"):
        sampler(ConcatDataset(lists), batch_samplers=[BatchSampler(part, 4, drop_last=True) for part in lists])


class Rows(list):
    """A data set."""


SLOW = [pytest.param(mode, marks=pytest.mark.slow) for mode in ("split", "unequal")]


@pytest.mark.parametrize("mode", ["shard", *SLOW])
def test_two_processes(tmp_path, mode):
    """All ranks share the pair of a step, and train together on the batch that one process would have."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = os.environ | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "two_ranks.py"), str(tmp_path), mode],
            env=environment | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = (json.loads((tmp_path / f"{mode}{rank}.json").read_text()) for rank in (0, 1))
    if mode == "unequal":
        assert "the data sets or options of rank 1 are not those of rank 0" in first
        assert first == second
        return
    assert {len(batch) for batch in (*first, *second)} == {4}
    assert all(pairs_of(left) == pairs_of(right) for left, right in zip(first, second, strict=True))
    together = [left + right for left, right in zip(first, second, strict=True)]
    assert together == trained(tmp_path / "alone", data_of(40), size=8)
