"""Pools of a corpus with gaps have the right items and weights, or are refused with the reason."""

import dataclasses
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingual.batches.plan import Kind
from mixlingual.batches.pools import FEEDS, make_sampler, pool_members
from mixlingual.config.schema import BatchingConfig
from mixlingual.records import DataError, ParallelCorpus, ParallelItem


def corpus(rows, weights=None):
    """Makes a corpus of rows of (source, languages of the query, languages of the passage)."""
    items = tuple(
        ParallelItem(f"{i}", source, {x: f"q{i}{x}" for x in query}, {x: f"p{i}{x}" for x in passage})
        for i, (source, query, passage) in enumerate(rows)
    )
    languages = sorted({x for _, query, passage in rows for x in (*query, *passage)})
    sources = {source: float(sum(row[0] == source for row in rows)) for source, _, _ in rows}
    return ParallelCorpus("test", items, tuple(languages), weights or sources, "0")


def sampler(rows, weights=None, **options):
    return make_sampler(corpus(rows, weights), BatchingConfig(batch_size=4, **options), seed=0, steps=10, accumulate=2)


def numbers(pools, *key):
    return pools[key].at(np.arange(len(pools[key]))).tolist() if key in pools else []


sides = st.sets(st.sampled_from("abc")).map(sorted)


@given(st.lists(st.tuples(st.sampled_from("st"), sides, sides), min_size=1, max_size=30))
@settings(max_examples=40)
def test_members_are_the_items_with_both_sides(rows):
    held = corpus(rows, {"s": 1.0, "t": 1.0})
    found = pool_members(held, "abc")
    fewer = pool_members(held, "abc", np.array([n for n in (0, 3) if n < len(rows)]))
    for source, query, passage in itertools.product("st", "abc", "abc"):
        expected = [i for i, (s, q, p) in enumerate(rows) if s == source and query in q and passage in p]
        assert numbers(found, source, query, passage) == expected
        assert numbers(fewer, source, query, passage) == [i for i in expected if i not in (0, 3)]


def test_a_pair_draws_only_items_that_hold_both_sides():
    rows = [("s", "ab", "ab"), ("s", "a", "ab"), ("s", "b", "b"), ("s", "a", "b")] * 6
    made = sampler(rows, monolingual_ratio=0.5)
    held = corpus(rows).items
    for step in range(60):
        batch = made.batch(step)
        for number, item in zip(batch.pool_B, batch.item_B):
            pool = made.plan.pools[number]
            assert pool.query_language in held[item].query
            assert pool.passage_language in held[item].passage
    assert {(p.query_language, p.passage_language): p.size for p in made.plan.pools} == {
        ("a", "a"): 12, ("a", "b"): 18, ("b", "a"): 6, ("b", "b"): 12,
    }  # fmt: skip


def weights_of(made, kind):
    total = sum(pool.weight for pool in made.plan.pools if pool.kind is kind)
    return {pool.label: pool.weight / total for pool in made.plan.pools if pool.kind is kind}


def test_languages_by_size_and_by_factor():
    rows = [("s", "a", "a")] * 30 + [("s", "b", "b")] * 10
    options = {"monolingual_ratio": 1.0}
    mono = Kind.MONOLINGUAL
    assert weights_of(sampler(rows, **options), mono) == {"s:a-a": 0.5, "s:b-b": 0.5}
    assert weights_of(sampler(rows, language_exponent=1.0, **options), mono) == {"s:a-a": 0.75, "s:b-b": 0.25}
    assert weights_of(sampler(rows, language_exponent=0.5, **options), mono)["s:a-a"] == pytest.approx(
        30**0.5 / (30**0.5 + 10**0.5)
    )
    assert weights_of(sampler(rows, language_weights={"b": 3.0}, **options), mono) == {"s:a-a": 0.25, "s:b-b": 0.75}


def test_a_source_has_its_share_of_either_kind():
    """However many languages it holds: the ratio of kinds must not change the mix of sources."""
    rows = [("x", "ab", "ab")] * 8 + [("y", "abcd", "abcd")] * 8
    made = sampler(rows, {"x": 3.0, "y": 1.0}, monolingual_ratio=0.5)
    for kind in Kind:
        weights = weights_of(made, kind)
        assert sum(weight for label, weight in weights.items() if label.startswith("x:")) == pytest.approx(0.75)
    assert weights_of(made, Kind.MONOLINGUAL)["y:c-c"] == pytest.approx(0.25 / 4)
    assert weights_of(made, Kind.CROSSLINGUAL)["x:a-b"] == pytest.approx(0.75 / 2)


def test_a_source_without_pairs_leaves_its_share_to_the_others():
    made = sampler([("x", "a", "a")] * 8 + [("y", "ab", "ab")] * 8, {"x": 1.0, "y": 1.0})
    assert weights_of(made, Kind.CROSSLINGUAL) == {"y:a-b": 0.5, "y:b-a": 0.5}


def test_pairs_through_english():
    made = sampler([("s", ["en", "de", "fr"], ["en", "de", "fr"])] * 8, pairs=["en-*", "*-en"], monolingual_ratio=0.0)
    assert {p.label for p in made.plan.pools} == {"s:en-de", "s:en-fr", "s:de-en", "s:fr-en"}


def test_small_pools_are_all_named():
    rows = [("s", "ab", "ab")] * 3 + [("s", "a", "a")] * 2
    with pytest.raises(DataError, match=r"1 pools hold fewer items than the 4 that one batch takes: s:b-b \(3\)"):
        sampler(rows)
    with pytest.raises(DataError, match=r"2 pools hold .* s:a-b \(3\), s:b-a \(3\)"):
        sampler(rows, monolingual_ratio=0.0)
    assert sampler(rows, granularity="micro_batch"), "a draw then takes 2 items"


def test_mixed_batches_may_draw_from_small_pools():
    batch = sampler([("s", "ab", "ab")] * 2, monolingual_mixed=True, crosslingual_mixed=True).batch(0)
    assert len(batch.item_B) == 4


def test_one_language_has_no_crosslingual_pair():
    with pytest.raises(DataError, match=r"ratio=0.5 draws cross-lingual .* set batching.monolingual_ratio=1"):
        sampler([("s", "a", "a")] * 8)
    assert sampler([("s", "a", "a")] * 8, monolingual_ratio=1.0).batch(0).monolingual_B.all()


def test_a_ratio_that_the_data_cannot_feed_is_refused_in_the_words_of_the_table():
    table = Path(__file__).parents[2].joinpath("docs/data.md").read_text(encoding="utf-8")
    for shape, feeds, ratios in FEEDS.values():
        assert re.search(rf"^\| {shape} \|.*\| {feeds} \| {ratios} \|$", table, re.MULTILINE)
    one_each, two_each = [("s", "a", "a"), ("s", "b", "b")] * 8, [("s", "a", "b")] * 8
    with pytest.raises(DataError, match=r"Pairs in one language each feed monolingual batches only, .* can be 1 alone"):
        sampler(one_each)
    with pytest.raises(
        DataError, match=r"Pairs of two languages each feed cross-lingual batches only, .* can be 0 alone"
    ):
        sampler(two_each)
    assert not sampler(two_each, monolingual_ratio=0.0).batch(0).monolingual_B.any()
    assert sampler(one_each, monolingual_ratio=1.0).batch(0).monolingual_B.all()
    assert sampler(one_each + [("t", "ab", "ab")] * 8), "another source may feed the other kind"


def test_weights_that_are_all_0_are_named():
    rows = [("s", "ab", "ab")] * 9
    with pytest.raises(DataError, match=r"batching\.language_weights=\{'a': 0, 'b': 0\} .* every monolingual batch"):
        sampler(rows, language_weights={"a": 0, "b": 0})
    with pytest.raises(DataError, match=r"data\.sources=\{'s': 0\.0\} leave a weight of 0"):
        sampler(rows, {"s": 0.0})


@pytest.mark.parametrize("option", [{"languages": ["a", "q"]}, {"language_weights": {"q": 1.0}}])
def test_unknown_language(option):
    with pytest.raises(DataError, match=r"q not in the data, which hold a, b; name only those"):
        sampler([("s", "ab", "ab")] * 8, **option)


def test_granularity_says_what_draws_its_kind():
    rows = [("s", "ab", "ab")] * 8
    kinds = {
        granularity: [sampler(rows, granularity=granularity).batch(step).monolingual_B.tolist() for step in range(30)]
        for granularity in ("batch", "micro_batch", "example")
    }
    assert {len(set(kind)) for kind in kinds["batch"]} == {1}
    assert [True, True, False, False] in kinds["micro_batch"]
    assert all(kind[0] == kind[1] and kind[2] == kind[3] for kind in kinds["micro_batch"])
    assert any(kind[0] != kind[1] for kind in kinds["example"])


def test_the_ratio_moves_over_the_steps():
    moving = sampler(
        [("s", "ab", "ab")] * 8, monolingual_ratio=1.0, final_ratio=0.0, ratio_schedule="steps", ratio_phases=2
    )
    assert [bool(moving.batch(step).monolingual_B[0]) for step in range(10)] == [True] * 5 + [False] * 5
    assert moving.plan.ratio.mean() == 0.5


STEPS_DOWN = {"ratio_schedule": "steps", "final_ratio": 0.0, "monolingual_ratio": 1.0}
EVERY_OPTION = {
    "batch_size": ({}, {"batch_size": 6}),
    "monolingual_ratio": ({}, {"monolingual_ratio": 0.9}),
    "ratio_schedule": (STEPS_DOWN, {"ratio_schedule": "linear"}),
    "final_ratio": (STEPS_DOWN, {"final_ratio": 0.6}),
    "ratio_phases": (STEPS_DOWN, {"ratio_phases": 5}),
    "granularity": ({}, {"granularity": "example"}),
    "draw": ({}, {"draw": "stratified"}),
    "monolingual_mixed": ({}, {"monolingual_mixed": True}),
    "crosslingual_mixed": ({}, {"crosslingual_mixed": True}),
    "languages": ({}, {"languages": ["a", "b"]}),
    "pairs": ({}, {"pairs": ["a-*"]}),
    "language_exponent": ({}, {"language_exponent": 1.0}),
    "language_weights": ({}, {"language_weights": {"c": 9.0}}),
}


def test_every_option_is_listed():
    fields = {field.name for field in dataclasses.fields(BatchingConfig)}
    assert set(EVERY_OPTION) == fields - {"name", "hard_negatives", "negatives"}, "negatives have their own tests"


@pytest.mark.parametrize("option", EVERY_OPTION)
def test_every_option_changes_the_batches(option):
    """No option is dead, and none can be added without a line above."""
    base, change = EVERY_OPTION[option]
    rows = [("s", "abc", "abc")] * 8 + [("s", "a", "a")] * 20

    def drawn(options):
        config = BatchingConfig(**({"batch_size": 4} | base | options))
        made = make_sampler(corpus(rows), config, seed=0, steps=40, accumulate=2)
        batches = [made.batch(step) for step in range(40)]
        labels = [[made.plan.pools[number].label for number in batch.pool_B] for batch in batches]
        return labels, [batch.item_B.tolist() for batch in batches]

    assert drawn({}) == drawn({})
    assert drawn(change) != drawn({})


def test_wanted_hard_negatives_must_be_in_the_data():
    with pytest.raises(DataError, match=r"batching\.hard_negatives=2, but no item of test has negatives; add them"):
        sampler([("s", "a", "a")] * 8, monolingual_ratio=1.0, hard_negatives=2)
