"""The plan keeps exact proportions, needs no past steps, and draws the same whatever the ratio."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingual.batches.plan import Kind, Plan, Pool, Urn, _apportion
from mixlingual.batches.ratio import RatioSchedule

SHAPES = ("constant", "linear", "cosine", "steps")


def pools(languages="abc", size=1000):
    return [Pool("s", q, p, size, 1.0) for q in languages for p in languages]


def plan(ratio=0.5, seed=0, batch_size=8, last=None, shape="constant", steps=100, **options):
    schedule = RatioSchedule(ratio, ratio if last is None else last, shape, steps)
    return Plan(pools(), schedule, seed=seed, batch_size=batch_size, **options)


def same(one, other):
    return all((getattr(one, name) == getattr(other, name)).all() for name in ("monolingual_B", "pool_B", "position_B"))


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(SHAPES), st.integers(0, 1000), st.sampled_from([1, 2, 8]))
def test_stratified_share_is_within_one_group_at_every_step(first, last, shape, seed, groups):
    stratified = plan(first, seed, last=last, shape=shape, stratified=True, groups=groups)
    drawn, due = 0, 0.0
    for step in range(120):
        drawn += int(stratified.monolingual(step).sum())
        due += groups * stratified.ratio.at(step)
        assert abs(drawn - due) <= 1 + 1e-6


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("groups", [1, 4])
def test_bernoulli_share_follows_the_ratio(ratio, groups):
    bernoulli = plan(ratio, groups=groups)
    share = np.mean([bernoulli.monolingual(step).mean() for step in range(4000)])
    assert share == ratio if ratio in (0.0, 1.0) else abs(share - ratio) < 0.03


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0, 1), st.sampled_from([1, 4, 8]), st.booleans())
@settings(max_examples=30)
def test_draws_are_the_same_wherever_the_kinds_agree(seed, one, other, groups, mixed):
    options = {"groups": groups, "mixed": [Kind.CROSSLINGUAL] if mixed else []}
    first, second = plan(one, seed, **options), plan(other, seed, last=0.0, shape="cosine", **options)
    for step in range(30):
        a, b = first.at(step), second.at(step)
        agree = a.monolingual_B == b.monolingual_B
        assert (a.pool_B[agree] == b.pool_B[agree]).all()
        assert (a.position_B[agree] == b.position_B[agree]).all()


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=25)
def test_a_higher_ratio_only_turns_crosslingual_batches_monolingual(one, other):
    low, high = plan(min(one, other)), plan(max(one, other))
    for step in range(60):
        assert high.monolingual(step) >= low.monolingual(step)


@pytest.mark.parametrize("options", [{"stratified": True}, {"groups": 4}, {"mixed": list(Kind)}])
def test_any_step_can_be_asked_first(options):
    in_order = plan(**options)
    expected = [in_order.at(step) for step in range(50)]
    for step in (49, 3, 20):
        assert same(plan(**options).at(step), expected[step])


def test_a_group_is_of_one_kind_and_one_pool():
    for step in range(20):
        drawn = plan(groups=2).at(step)
        for half in (slice(0, 4), slice(4, 8)):
            assert len(set(drawn.monolingual_B[half].tolist())) == 1
            assert len(set(drawn.pool_B[half].tolist())) == 1
            assert np.diff(drawn.position_B[half]).tolist() == [1, 1, 1]


def test_mixed_kinds_draw_a_pool_for_each_pair():
    mixed = plan(0.5, batch_size=64, mixed=[Kind.CROSSLINGUAL])
    pools_of = {bool(drawn.monolingual_B[0]): len(set(drawn.pool_B.tolist())) for drawn in map(mixed.at, range(20))}
    assert pools_of == {True: 1, False: 6}


@pytest.mark.parametrize("options", [{}, {"groups": 4}, {"mixed": list(Kind)}, {"stratified": True}])
def test_a_kind_that_is_asked_for_draws_as_one_that_is_drawn(options):
    agreed = set()
    for step in range(40):
        drawn = plan(**options).at(step)
        for kind in Kind:
            asked = plan(**options).at(step, kind)
            monolingual = kind is Kind.MONOLINGUAL
            assert same(asked, plan(float(monolingual), **options).at(step)), "as if the ratio were pure"
            here = drawn.monolingual_B == monolingual
            assert (asked.pool_B[here] == drawn.pool_B[here]).all()
            assert (asked.position_B[here] == drawn.position_B[here]).all()
            if here.all():
                assert same(asked, drawn)
                agreed.add(kind)
    assert agreed == set(Kind) or options == {"groups": 4}


@pytest.mark.parametrize("options", [{}, {"groups": 4}, {"mixed": list(Kind)}, {"stratified": True}])
def test_positions_of_a_pure_kind_are_used_once_and_in_full(options):
    """Every stream is used from its start without gaps: positions 0, 1, 2, ... each once."""
    for ratio in (0.0, 1.0):
        pure = plan(ratio, **options)
        used = {}
        for step in range(150):
            drawn = pure.at(step)
            for pool, position in zip(drawn.pool_B.tolist(), drawn.position_B.tolist()):
                used.setdefault(pool, []).append(position)
        assert all(sorted(positions) == list(range(len(positions))) for positions in used.values())


def test_seeds_differ():
    one, other = plan(seed=0), plan(seed=1)
    assert [one.at(step).pool_B[0] for step in range(30)] != [other.at(step).pool_B[0] for step in range(30)]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(0, 300), st.integers(1, 60))
def test_urn_counts_what_it_drew_before(weights, first, number):
    urn = Urn(weights, slots=4 * len(weights), key=5)
    category, occurrence = urn.draw(0, first + number)
    seen = Counter()
    for c, o in zip(category.tolist(), occurrence.tolist()):
        assert o == seen[c]
        seen[c] += 1
    part = Urn(weights, slots=4 * len(weights), key=5).draw(first, number)
    assert part[0].tolist() == category[first:].tolist()
    assert part[1].tolist() == occurrence[first:].tolist()


def test_urn_keeps_the_proportions_exactly():
    category, _ = Urn([1, 2, 5], slots=80, key=1).draw(0, 800)
    assert np.bincount(category).tolist() == [100, 200, 500]


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=30), st.integers(0, 500))
def test_apportionment_is_whole_and_near_the_shares(weights, extra):
    slots = len(weights) + extra
    counts = _apportion(weights, slots)
    assert counts.sum() == slots
    assert counts.min() >= 1
    share = np.array(weights) / sum(weights) * slots
    if share.min() >= 1:
        assert np.abs(counts - share).max() < 1
