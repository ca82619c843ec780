"""The plan as a batch sampler: repeatable, resumable, one pair of languages a step on all ranks."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from mixlingual.batches import HybridBatches, exposure
from mixlingual.records import MixlingualError

SIZES = {"de-de": 40, "en-en": 60, "de-en": 50, "faq:en-de": 30}
BOUNDS = np.cumsum([0, *SIZES.values()])


def key_of(rows):
    """The data set that all rows are of."""
    places = set((np.searchsorted(BOUNDS, rows, side="right") - 1).tolist())
    assert len(places) == 1, "a batch is of one pair of languages"
    return list(SIZES)[places.pop()]


def made(**options):
    return HybridBatches(SIZES, **({"batch_size": 8, "seed": 3} | options))


def test_batches_are_whole_repeatable_and_differ_by_seed_and_epoch():
    batches = made()
    first = list(batches)
    assert len(first) == len(batches) == 180 // 8
    assert {len(rows) for rows in first} == {8}
    assert all(len(set(rows)) == 8 for rows in first[:5])
    assert list(batches) == list(made()) == first
    assert list(made(seed=4)) != first
    batches.set_epoch(1)
    assert list(batches) != first
    assert [key_of(rows).split(":")[-1] for rows in first] == [made().pair(step) for step in range(len(first))]


def test_the_share_of_monolingual_batches_is_the_ratio():
    batches = made(ratio=0.25, steps=400, draw="stratified")
    monolingual = [key_of(rows) in ("de-de", "en-en") for rows in batches]
    assert sum(monolingual) == 100
    assert exposure(batches._sampler, 400)["monolingual_ratio"] == 0.25
    rising = made(ratio=0.0, final_ratio=1.0, schedule="linear", draw="stratified", steps=100, epochs=2)
    halves = []
    for epoch in (0, 1):
        rising.set_epoch(epoch)
        halves.append(sum(key_of(rows) in ("de-de", "en-en") for rows in rising))
    assert halves == [25, 75], "the ratio moves over all epochs"
    only = made(ratio=1.0)
    assert {key_of(rows) for rows in only} == {"de-de", "en-en"}
    assert len(only) == 100 // 8, "data sets that are never drawn do not lengthen an epoch"


def test_draws_go_by_size_as_far_as_the_exponent_says():
    def share(exponent):
        keys = [key_of(rows) for rows in made(ratio=1.0, exponent=exponent, steps=1000)]
        return keys.count("en-en") / len(keys)

    assert share(0.0) == pytest.approx(0.5, abs=0.02)
    assert share(1.0) == pytest.approx(0.6, abs=0.02)


def test_it_goes_on_in_the_middle_of_an_epoch():
    batches = made()
    batches.set_epoch(2)
    whole = list(batches)
    stream = iter(batches)
    for _ in range(7):
        next(stream)
    state = pickle.loads(pickle.dumps(batches.state_dict()))
    assert (state["epoch"], state["step"]) == (2, 7)
    again = made()
    again.load_state_dict(state)
    assert list(again) == whole[7:]
    assert list(again) == whole, "the next epoch is whole"
    again.load_state_dict(batches.state_dict(step=3))
    for epoch in range(2, 4):
        again.set_epoch(epoch)
        assert len(list(again)) == (19 if epoch == 2 else 22)
    assert again.state_dict()["step"] == 22, "the epoch is over, and is not begun again"
    with pytest.raises(MixlingualError, match="the state is of other data sets or options"):
        made(ratio=0.7).load_state_dict(state)


def test_ranks_share_the_pair_of_a_step_under_accelerates_sharding():
    alone = list(made(batch_size=8))
    batches = made(batch_size=8, ranks=2)
    assert len(batches) == 2 * len(alone)
    shards = [list(BatchSamplerShard(batches, 2, rank)) for rank in (0, 1)]
    assert [left + right for left, right in zip(*shards, strict=True)] == alone, "the steps of one process, halved"
    assert all(key_of(left) == key_of(right) for left, right in zip(*shards, strict=True))
    split = [list(BatchSamplerShard(made(batch_size=8), 2, rank, split_batches=True)) for rank in (0, 1)]
    assert split == shards
    own = [list(made(batch_size=8, ranks=2, rank=rank)) for rank in (0, 1)]
    assert own == shards


def test_a_loader_serves_it():
    data = ConcatDataset([TensorDataset(torch.full((size,), n)) for n, size in enumerate(SIZES.values())])
    loader = DataLoader(data, batch_sampler=made(), num_workers=0)
    found = [set(batch.tolist()) for (batch,) in loader]
    assert len(found) == len(loader) == 22
    assert all(len(kinds) == 1 for kinds in found)
    assert {kind for kinds in found for kind in kinds} == {0, 1, 2, 3}


BAD = {
    "key": ({"german": 9}, {}, r"got 'german'; each data set is named by its pair of languages, as en-de"),
    "case": ({"DE-en": 9}, {}, r"got 'DE-en'"),
    "none": ({}, {}, r"the ratio draws monolingual batches"),
    "mono": ({"de-en": 9}, {}, r"the ratio draws monolingual batches, and de-en hold none; add a data"),
    "cross": ({"de-de": 9}, {"ratio": 0.9}, r"the ratio draws crosslingual batches, .* set the ratio to 1"),
    "ratio": ({"de-de": 9}, {"ratio": 1.5}, r"got the ratios 1.5 and 1.5; a ratio lies between 0 and 1"),
    "schedule": ({"de-de": 9}, {"schedule": "up"}, r"got schedule='up'; allowed: constant, linear, cosine, steps"),
    "end": ({"de-de": 9}, {"ratio": 1.0, "final_ratio": 0.5}, r"a constant ratio of 1.0 does not end at 0.5"),
    "draw": ({"de-de": 9}, {"draw": "even"}, r"got draw='even'; allowed: bernoulli, stratified"),
    "small": ({"de-de": 9, "de-en": 7}, {}, r":de-en \(7\) hold fewer rows than the 8 of a step; lower the batch size"),
    "ranks": ({"de-de": 9}, {"ranks": 3}, r"got batch_size=8 for 3 ranks; give a multiple of it"),
    "rank": ({"de-de": 9}, {"ranks": 2, "rank": 2}, r"got rank=2; it lies between 0 and 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_drawn_is_said(case):
    sizes, options, message = BAD[case]
    with pytest.raises(MixlingualError, match=message):
        HybridBatches(sizes, **({"batch_size": 8} | options))


def test_a_step_is_known_without_those_before_it():
    batches = made()
    assert batches.rows(17) == next(itertools.islice(iter(batches), 17, None))
    batches.set_epoch(3)
    assert next(iter(batches)) == batches.rows(3 * batches.steps)
