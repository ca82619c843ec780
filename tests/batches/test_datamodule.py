"""Steps equal those of a slow reference that tokenises pair by pair, over ranks, parts and hard negatives."""

import json
import pickle

import numpy as np
import pytest
import torch
from batches.toy import LANGUAGES, Characters, corpus_of, toy_corpus

from mixlingual.batches.datamodule import ResumableLoader, StepBatches
from mixlingual.batches.permutation import derive_key, uniforms
from mixlingual.batches.plan import Kind
from mixlingual.batches.pools import make_sampler
from mixlingual.batches.tokens import TokenStore
from mixlingual.config.schema import BatchingConfig, ModelConfig
from mixlingual.model.tokenizer import TextTokenizer, train_tokenizer
from mixlingual.records import DataError

SEED, STEPS, BATCH = 3, 12, 16


def make(corpus, tokenizer, *, accumulate=1, hard_negatives=0, **batching):
    options = BatchingConfig(batch_size=BATCH, crosslingual_mixed=True, **batching)
    sampler = make_sampler(corpus, options, seed=SEED, steps=STEPS, accumulate=accumulate)
    store = TokenStore.open(corpus, tokenizer)
    return StepBatches(
        corpus, sampler, store, steps=STEPS, accumulate=accumulate, hard_negatives=hard_negatives, seed=SEED
    )


class Reference:
    """Makes the same dict from the texts of one pair after the other."""

    def __init__(self, corpus, tokenizer, sampler, hard_negatives, accumulate=1):
        self.corpus, self.tokenizer, self.sampler, self.hard_negatives = corpus, tokenizer, sampler, hard_negatives
        self.accumulate = accumulate
        self.row = {}
        negatives = [texts for item in corpus.items for texts in item.negatives]
        for side, held in (
            ("query", [item.query for item in corpus.items]),
            ("passage", [item.passage for item in corpus.items] + negatives),
        ):
            for texts in held:
                for language in corpus.languages:
                    if language in texts:
                        self.row.setdefault(self.ids(texts[language], side), len(self.row))

    def ids(self, text, side):
        return tuple(self.tokenizer.encode([text], side)[0])

    def negatives(self, step, pair, item, language):
        held = [(place, texts[language]) for place, texts in enumerate(item.negatives) if language in texts]
        key = derive_key(SEED, "negatives", step)
        drawn = {place: float(uniforms(key, np.array([pair * 2**32 + place]))[0]) for place, _ in held}
        kept = sorted(drawn, key=drawn.get)[: self.hard_negatives]
        return [self.ids(text, "passage") for place, text in held if place in kept]

    def passage(self, batch, number):
        item, pool = self.corpus.items[batch.item_B[number]], self.sampler.plan.pools[batch.pool_B[number]]
        return self.ids(item.passage[pool.passage_language], "passage")

    def step(self, step, rank, world):
        batch = self.sampler.batch(step)
        pairs, vocabulary = [], set()
        negatives_of = [[0] * world for _ in range(self.accumulate)]
        part = len(batch.item_B) // self.accumulate
        candidates = [(number // part, self.passage(batch, number)) for number in range(len(batch.item_B))]
        for number, (item_number, pool_number) in enumerate(zip(batch.item_B.tolist(), batch.pool_B.tolist())):
            item, pool = self.corpus.items[item_number], self.sampler.plan.pools[pool_number]
            query = self.ids(item.query[pool.query_language], "query")
            passage = self.ids(item.passage[pool.passage_language], "passage")
            negatives = []
            for ids in self.negatives(step, number, item, pool.passage_language):
                if (number // part, ids) not in candidates:
                    candidates.append((number // part, ids))
                    negatives.append(ids)
            vocabulary |= {token for ids in (query, passage, *negatives) for token in ids}
            negatives_of[number // part][number % world] += len(negatives)
            if number % world == rank:
                monolingual = pool.query_language == pool.passage_language
                pairs.append((query, passage, negatives, item_number, monolingual))
        distinct = {ids for query, passage, negatives, *_ in pairs for ids in (query, passage, *negatives)}
        texts = sorted(distinct, key=lambda ids: (-len(ids), self.row[ids]))
        place = {ids: number for number, ids in enumerate(texts)}
        queries, passages, negatives, items, monolingual = zip(*pairs)
        return {
            "token_ids": torch.tensor([token for ids in texts for token in ids], dtype=torch.int32),
            "lengths": torch.tensor([len(ids) for ids in texts], dtype=torch.int32),
            "query": torch.tensor([place[ids] for ids in queries]),
            "passage": torch.tensor([place[ids] for ids in passages]),
            "negative": torch.tensor([place[ids] for of_pair in negatives for ids in of_pair], dtype=torch.int64),
            "negative_count": torch.tensor([len(of_pair) for of_pair in negatives]),
            "item": torch.tensor(items),
            "monolingual": torch.tensor(monolingual),
            "tokens": torch.tensor([len(query) + len(passage) for query, passage in zip(queries, passages)]),
            "negatives_of": torch.tensor(negatives_of),
            "vocabulary": torch.tensor(sorted(vocabulary)),
            "step": torch.tensor(step),
        }


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        assert torch.equal(found[name], values), name


@pytest.fixture(scope="module")
def subwords(tmp_path_factory):
    texts = [text for item in toy_corpus().items for text in (*item.query.values(), *item.passage.values())]
    config = ModelConfig(query_prefix="q: ", max_query_length=7, max_passage_length=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXLINGUAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return TextTokenizer(train_tokenizer(texts, 340), config)


@pytest.mark.parametrize(("world", "accumulate", "hard_negatives"), [(1, 1, 0), (1, 2, 2), (2, 1, 2), (2, 2, 0)])
def test_equals_the_slow_reference(world, accumulate, hard_negatives, subwords):
    corpus = toy_corpus()
    batches = make(corpus, subwords, accumulate=accumulate, hard_negatives=hard_negatives, granularity="micro_batch")
    reference = Reference(corpus, subwords, batches._sampler, hard_negatives, accumulate)
    repeated, brought = 0, set()
    for step in range(STEPS):
        for rank in range(world):
            found = batches.dealt(rank, world)[step]
            assert_same(found, reference.step(step, rank, world))
            repeated += 2 * len(found["query"]) + len(found["negative"]) - len(found["lengths"])
            brought |= set(found["negative_count"].tolist())
    assert repeated > STEPS, "texts must repeat within a step"
    assert brought == set(range(hard_negatives + 1))


def extended(corpus, extra, **batching):
    options = BatchingConfig(batch_size=BATCH, **batching)
    sampler = make_sampler(corpus, options, seed=SEED, steps=STEPS)
    store = TokenStore.open(corpus, Characters())
    common = {"steps": STEPS, "accumulate": 1, "hard_negatives": 0, "seed": SEED}
    return StepBatches(corpus, sampler, store, extra=extra, **common), StepBatches(corpus, sampler, store, **common)


def different(size=60):
    """Items with passages of their own, in three languages."""
    return corpus_of(
        *(
            ({x: f"{x} question {i}" for x in LANGUAGES}, {x: f"{x} passage {i}" for x in LANGUAGES})
            for i in range(size)
        )
    )


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_brings_along_as_many_other_passages_as_wanted_each_from_the_pool_of_its_pair(world, mixed):
    corpus = different()
    batches, plain = extended(corpus, 9, crosslingual_mixed=mixed)
    draws = []
    for step in range(STEPS):
        whole = batches._sampler.batch(step)
        held = {corpus.items[i].id for i in whole.item_B}
        brought = []
        for rank in range(world):
            found = batches.dealt(rank, world)[step]
            texts = found["token_ids"].split(found["lengths"].tolist())
            brought += ["".join(map(chr, texts[place][1:-1].tolist())) for place in found["negative"].tolist()]
            assert found["negatives_of"].tolist() == [[len(range(r, 9, world)) for r in range(world)]]
            assert found["negative_count"].sum() == 0, "these are no hard negatives"
        assert len(set(brought)) == 9
        assert not {text.split()[-1] for text in brought} & held, "no passage of an item of the step, in any language"
        pools = [batches._sampler.plan.pools[whole.pool_B[e % BATCH]].passage_language for e in range(9)]
        assert sorted(text[:2] for text in brought) == sorted(pools)
        assert all(torch.equal(batches[step][name], batches[step][name]) for name in batches[step])
        pairs = [plain[step][name] for name in ("item", "monolingual", "tokens")]
        assert all(
            torch.equal(a, b) for a, b in zip(pairs, (batches[step][n] for n in ("item", "monolingual", "tokens")))
        )
        draws.append(frozenset(brought))
    assert len(set(draws)) == STEPS


def test_passages_that_the_step_holds_are_no_others():
    """Passages repeat every 11 items: of 11 texts a batch of 16 leaves few."""
    batches, _ = extended(toy_corpus(), 11, monolingual_ratio=1.0)
    with pytest.raises(DataError, match=r"batching.negatives: step 0 needs 11 passages of s:.* and there are \d"):
        batches[0]


def test_a_pool_without_enough_items_is_refused_before_the_first_step():
    with pytest.raises(DataError, match="fewer items than the 65"):
        make_sampler(different(), BatchingConfig(batch_size=BATCH, negatives=64), seed=SEED, steps=STEPS)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_halves_of_a_probe_are_the_batch_of_a_kind(accumulate):
    batches = make(toy_corpus(), Characters(), accumulate=accumulate, granularity="micro_batch", hard_negatives=1)
    sampler, masks, brought = batches._sampler, [], 0
    for step in range(STEPS):
        probed = batches.probe(step)
        assert set(probed) == set(Kind)
        for rank in range(2):
            dealt = batches.dealt(rank, 2).probe(step)
            for mine, half in ((mine, half) for kind in Kind for mine, half in zip(dealt[kind], probed[kind])):
                assert mine["item"].tolist() == half["item"][rank::2].tolist()
                assert mine["vocabulary"].tolist() == half["vocabulary"].tolist()
        for kind, halves in probed.items():
            whole = sampler.batch(step, kind)
            joined = {name: torch.cat([half[name] for half in halves]) for name in ("item", "monolingual")}
            assert joined["item"].tolist() == whole.item_B.tolist()
            assert joined["monolingual"].unique().tolist() == [kind is Kind.MONOLINGUAL]
            assert len(halves[0]["item"]) == len(halves[1]["item"]) == BATCH // 2
            same_kind = sampler.batch(step).monolingual_B == whole.monolingual_B
            assert (sampler.batch(step).item_B == whole.item_B)[same_kind].all()
            for half in halves:
                masks.append(int(half["step"]))
                assert half["negative_count"].max() <= 1
                brought += len(half["negative"])
    assert brought
    assert max(masks) < 0
    assert len(set(masks)) == len(masks), "a mask of its own for every half"
    assert not set(batches.probe(0)[Kind.MONOLINGUAL][0]["item"].tolist()) & set(
        batches.probe(0)[Kind.MONOLINGUAL][1]["item"].tolist()
    )


@pytest.mark.parametrize(("ratio", "kind"), [(0.0, Kind.CROSSLINGUAL), (1.0, Kind.MONOLINGUAL)])
def test_a_pure_ratio_probes_one_kind(ratio, kind):
    assert list(make(toy_corpus(), Characters(), monolingual_ratio=ratio).probe(0)) == [kind]


def steps_of(batches):
    return [{name: values.tolist() for name, values in batch.items()} for batch in batches]


def test_a_pickled_copy_gives_the_same_steps_and_holds_no_texts():
    batches = make(toy_corpus(400), Characters(), hard_negatives=2)
    pickled = pickle.dumps(batches)
    assert b"question" not in pickled
    copy = pickle.loads(pickled)
    assert steps_of(copy[step] for step in range(STEPS)) == steps_of(batches[step] for step in range(STEPS))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_hands_out_every_step_and_goes_on_where_it_was(workers):
    batches = make(toy_corpus(), Characters(), accumulate=2, hard_negatives=1)
    expected = steps_of(batches[step] for step in range(STEPS))
    loader = ResumableLoader(batches, workers=workers)
    handed = iter(loader)
    begun = steps_of(next(handed) for _ in range(5))
    assert loader.state_dict() == {"position": 5}
    resumed = ResumableLoader(batches, workers=workers)
    resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
    assert begun + steps_of(resumed) == expected
    assert len(resumed) == STEPS
