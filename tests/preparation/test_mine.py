"""Mined negatives are those of a slow, obvious search, in any pool and window, and never an answer."""

import hashlib
import math
import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from forks import fork, wait

from mixlingual.config.schema import EvaluationConfig, MineConfig
from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.scorer import Encoding
from mixlingual.preparation.mine import ALL, EncoderRanker, Miner, Passages, WordRanker
from mixlingual.preparation.recipe import Recipe
from mixlingual.preparation.shards import Item, read_items, share, write_items
from mixlingual.preparation.words import words

from .conftest import read_lines

WIDTH = 8


def vector(text):
    """Returns a direction that depends on the text alone, in values that fp16 holds exactly."""
    drawn = np.frombuffer(hashlib.sha256(text.encode()).digest()[:WIDTH], np.uint8)
    return (drawn.astype(np.float32) - 128) / 128


def embed(texts, side, label=""):
    return Embedded(np.stack([vector(text) for text in texts]), 0)


ENCODING = Encoding(embed, None, lambda: "hash", torch.device("cpu"))


@pytest.fixture
def items():
    """Thirty items: some lack a language, two ask the same, two have the same passage, one brings a negative."""
    made = []
    for n in range(30):
        codes = ("en", "de") if n % 3 else ("en",)
        texts = {side: {code: f"{side} {n} {code} word{n % 4} word{n % 5}" for code in codes} for side in ("q", "p")}
        made.append(Item(f"i{n}", texts["q"], texts["p"]))
    made[7].query["en"] = made[3].query["en"].upper()
    made[9].passage["en"] = f" {made[4].passage['en']} "
    made[11].negatives = [{"en": made[12].passage["en"]}]
    return made


@pytest.fixture
def mine(items, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))
    sources = [tmp_path / f"s-{n:05}.jsonl.gz" for n in range(4)]
    for n, path in enumerate(sources):
        write_items(path, items[8 * n : 8 * n + 8], Counter())

    def run(by="encoder", memory=64, **options):
        config = MineConfig(by=by, **options)
        passages = Passages(sources, 8, str(tmp_path))
        search = EvaluationConfig(search_memory=memory)
        pools = [ALL] if config.pool == "all" else []
        ranker = EncoderRanker(passages, ENCODING, search) if by == "encoder" else WordRanker(passages, pools)
        miner = Miner(passages, ranker, config)
        miner.prepare()
        folder = tmp_path / f"mined-{len(list(tmp_path.glob('mined-*')))}"
        targets = {folder / path.name: path for path in sources}
        share(list(targets), lambda target: miner.mine_shard(targets[target], target), "mine")
        return [item for target in targets for item in read_items(target)]

    return run


def slow(items, config, score, pool_of):
    """Returns for each item its negatives by an exhaustive ranking; `score(query, passage, language)`."""

    def folded(text):
        return " ".join(text.casefold().split())

    found = []
    for item in items:
        ranks = {}
        own_texts = {folded(text) for each in (item.passage, *item.negatives) for text in each.values()}
        queries = {folded(text) for text in item.query.values()}
        for language, query in sorted(item.query.items()):
            if config.pool == "same" and language not in item.passage:
                continue
            pool = pool_of(items, None if config.pool == "all" else language)
            scored = sorted(((-score(query, text, language, pool), place) for place, (_, _, text) in enumerate(pool)))
            scored = [each for each in scored if score is not bm25 or each[0] < 0]
            own = item.passage.get(language, item.passage[min(item.passage)])
            own_score = score(query, own, language, pool)
            taken = 0
            for rank, (negative, place) in enumerate(scored[: config.last_rank], start=1):
                other, code, text = pool[place]
                fits = rank >= config.first_rank and folded(text) not in own_texts
                fits &= folded(other.query.get(code, "-")) not in queries
                if config.margin is not None:
                    fits &= -negative <= own_score - config.margin
                if config.relative_margin is not None:
                    fits &= -negative <= own_score - config.relative_margin * abs(own_score)
                if fits and taken < config.negatives:
                    taken += 1
                    key = (other.id, code)
                    ranks[key] = min(rank, ranks.get(key, rank))
        found.append(ranks)
    return found


def by_position(items, language):
    """Passages in the order of positions: shard, language, row."""
    return [
        (item, code, item.passage[code])
        for start in range(0, len(items), 8)
        for code in ("de", "en")
        for item in items[start : start + 8]
        if code in item.passage and language in (None, code)
    ]


def product(query, passage, language, pool):
    return float(vector(query).astype(np.float64) @ vector(passage).astype(np.float64))


def bm25(query, passage, language, pool):
    """Lucene's BM25 with k1 = 1.5 and b = .75, from its formula."""
    tokens = [words(text, code) for _, code, text in pool]
    mean = sum(map(len, tokens)) / len(tokens)
    own = words(passage, language)
    total = 0.0
    for word in words(query, language):
        holding = sum(word in each for each in tokens)
        if holding:
            times = own.count(word)
            idf = math.log(1 + (len(tokens) - holding + 0.5) / (holding + 0.5))
            total += idf * times / (times + 1.5 * (0.25 + 0.75 * len(own) / mean))
    return total


OPTIONS = [
    {},
    {"pool": "all"},
    {"first_rank": 4, "last_rank": 12, "negatives": 3},
    {"margin": 0.3, "negatives": 2},
    {"relative_margin": 0.2, "pool": "all", "last_rank": 25},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_encoder_finds_what_an_exhaustive_search_finds(mine, items, options):
    expected = slow(items, MineConfig(**options), product, by_position)
    found = mine(**options)
    texts = {(item.id, code): text for item in items for code, text in item.passage.items()}
    for item, before, ranks in zip(found, items, expected):
        added = item.negatives[len(before.negatives) :]
        assert {code: text for each in added for code, text in each.items()}.keys() == {code for _, code in ranks}
        assert sorted(text for each in added for text in each.values()) == sorted(texts[key] for key in ranks)
        best = list(dict.fromkeys(other for other, _ in sorted(ranks, key=lambda key: ranks[key])))
        assert len(added) == len(best), "the languages of one passage are one negative"
    assert sum(len(item.negatives) for item in found) > 30
    assert mine(memory=1, **options) == found, "whatever the memory"


@pytest.mark.parametrize("options", [{}, {"pool": "all", "negatives": 4}, {"relative_margin": 0.1}])
def test_bm25_finds_what_its_formula_finds(mine, items, options):
    expected = slow(items, MineConfig(**options), bm25, by_position)
    texts = {(item.id, code): text for item in items for code, text in item.passage.items()}
    for item, before, ranks in zip(mine(by="bm25", **options), items, expected):
        added = item.negatives[len(before.negatives) :]
        assert sorted(text for each in added for text in each.values()) == sorted(texts[key] for key in ranks)


def test_an_answer_is_never_a_negative(mine, items):
    found = {item.id: item for item in mine(last_rank=60, negatives=60)}
    negatives = {name: {text for each in item.negatives for text in each.values()} for name, item in found.items()}
    assert items[7].passage["en"] not in negatives["i3"], "the same question is asked there"
    assert items[9].passage["en"] not in negatives["i4"], "the same text but for white space"
    assert items[3].passage["en"] not in negatives["i3"]
    assert len([each for each in found["i11"].negatives if each.get("en") == items[12].passage["en"]]) == 1
    everything = {text for item in items for text in item.passage.values()}
    assert len(negatives["i20"]) == len(everything) - 2, "all others, and they alone"


def test_a_query_without_words_finds_nothing(mine, items, tmp_path):
    items[0].query["en"] = "?!"
    write_items(tmp_path / "s-00000.jsonl.gz", items[:8], Counter())
    assert mine(by="bm25")[0].negatives == []


def test_killed_mining_goes_on(recipe, tmp_path, monkeypatch):
    """Killed by SIGKILL between two shards: the others are mined, to the same bytes, and none again."""
    config = recipe(mine={"by": "bm25"}, shard_items=1)
    log, plain = tmp_path / "log", Miner.mine_shard

    def slowly(self, source, target):
        with log.open("a") as file:
            file.write(f"{target.name}\n")
        plain(self, source, target)
        time.sleep(0.2)

    monkeypatch.setattr(Miner, "mine_shard", slowly)
    child = fork(lambda: Recipe(config).run(), tmp_path / "killed")
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    assert wait(child) == -signal.SIGKILL
    assert not (tmp_path / "prepared" / "manifest.json").exists()
    Recipe(config).run()
    begun = Counter(log.read_text().splitlines())
    assert len(begun) == 6
    assert sum(begun.values()) <= 7, "the one shard that was being mined, at most, is mined twice"
    killed = [path.read_bytes() for path in sorted((tmp_path / "prepared").glob("*.gz"))]
    os.environ["MIXLINGUAL_CACHE"] = str(tmp_path / "other cache")
    config.folder = str(tmp_path / "whole")
    Recipe(config).run()
    assert killed == [path.read_bytes() for path in sorted((tmp_path / "whole").glob("*.gz"))]
    assert all(row["negatives"] for row in read_lines(Path(config.folder)))
