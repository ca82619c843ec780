"""The sampler draws what a slow, obvious one draws that walks every stream from its start."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingual.batches.permutation import derive_key, permute
from mixlingual.batches.plan import Kind, Plan, Pool
from mixlingual.batches.ratio import RatioSchedule
from mixlingual.batches.sampler import HybridBatchSampler, exposure

SIZES = {("a", "a"): 37, ("b", "b"): 37, ("a", "b"): 21, ("b", "a"): 50}


def make(ratio=0.5, seed=0, batch_size=8, members=None, sizes=SIZES, **options):
    pools = [Pool("s", q, p, size, 1.0) for (q, p), size in sizes.items()]
    plan = Plan(pools, RatioSchedule(ratio, ratio, "constant", 100), seed=seed, batch_size=batch_size, **options)
    return HybridBatchSampler(plan, members or [None] * len(pools), seed=seed)


def stream(pool, seed):
    for turn in itertools.count():
        key = derive_key(derive_key(seed, "items", pool.label), turn)
        yield from permute(np.arange(pool.size), pool.size, key).tolist()


def reference(sampler, seed, steps):
    """Walks the streams from their start with counters: both kinds draw at every step, one is used."""
    streams = [stream(pool, seed) for pool in sampler.plan.pools]
    both = [make(float(monolingual), seed, sampler.plan.batch_size) for monolingual in (False, True)]
    for step in range(steps):
        items = []
        for of_kind in both:
            pool = int(of_kind.plan.at(step).pool_B[0])
            items.append((pool, [next(streams[pool]) for _ in range(sampler.plan.batch_size)]))
        yield items[bool(sampler.plan.monolingual(step)[0])]


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(2, 20))
@settings(max_examples=15)
def test_equals_the_slow_reference(seed, ratio, batch_size):
    sampler = make(ratio, seed, batch_size)
    for step, (pool, items) in enumerate(reference(sampler, seed, 40)):
        batch = sampler.batch(step)
        assert set(batch.pool_B.tolist()) == {pool}
        assert batch.item_B.tolist() == items


@pytest.mark.parametrize("options", [{}, {"mixed": list(Kind)}, {"groups": 4}])
def test_each_item_once_in_a_pass(options):
    sampler = make(1.0, **options)
    drawn = {number: {} for number in range(len(sampler.plan.pools))}
    for step in range(80):
        batch, places = sampler.batch(step), sampler.plan.at(step).position_B
        for number, item, place in zip(batch.pool_B.tolist(), batch.item_B.tolist(), places.tolist()):
            drawn[number][place] = item
    for number, pool in enumerate(sampler.plan.pools):
        items = [drawn[number][place] for place in sorted(drawn[number])]
        passes = [items[i : i + pool.size] for i in range(0, len(items) - pool.size + 1, pool.size)]
        assert pool.kind is Kind.CROSSLINGUAL or len(passes) >= 4
        assert all(sorted(items) == list(range(pool.size)) for items in passes)
        assert len({tuple(items) for items in passes}) == len(passes), "every pass has an order of its own"


def test_members_turn_positions_into_item_numbers():
    members = [SimpleNamespace(at=lambda place: place * 10 + 3) for _ in make().plan.pools]
    plain, mapped = make(), make(members=members)
    for step in range(20):
        assert mapped.batch(step).item_B.tolist() == (plain.batch(step).item_B * 10 + 3).tolist()


def test_exposure_counts_what_the_batches_hold():
    sampler = make(0.5, mixed=[Kind.MONOLINGUAL])
    held = exposure(sampler, 50)
    batches = [sampler.batch(step) for step in range(50)]
    pools = sampler.plan.pools
    assert held["monolingual_ratio"] == np.mean([batch.monolingual_B for batch in batches])
    assert held["planned_ratio"] == 0.5
    counted = {f"{pool.query_language}-{pool.passage_language}": 0 for pool in pools}
    for batch in batches:
        for number in batch.pool_B:
            counted[f"{pools[number].query_language}-{pools[number].passage_language}"] += 1
    assert held["language_pairs"] == counted
    assert held["pairs"] == sum(counted.values()) == 50 * 8
    assert held["sources"] == {"s": 400}
    assert held["passes"]["s:a-b"] == counted["a-b"] / 21


def test_ten_billion_items_need_no_memory():
    sampler = make(sizes={("a", "a"): 10**10, ("a", "b"): 10**10})
    items = np.concatenate([sampler.batch(step).item_B for step in range(10**9, 10**9 + 50)])
    assert len(np.unique(items)) == len(items)
    assert items.max() > 10**9
