"""Blocked search against sorting all scores, at every block size and memory, ties included."""

import numpy as np
import pytest
import torch
from embedding_fixture import by_text

from mixlingual.evaluation import search as search_module
from mixlingual.evaluation.search import search
from mixlingual.evaluation.shards import encode_corpus
from mixlingual.records import Candidate, Corpus

CPU = torch.device("cpu")


def made(tmp_path, rng, size, levels, shard_passages=40):
    """Shards of random embeddings whose ids sort differently from positions; few levels make ties."""
    embedding_ND = (rng.integers(-levels, levels + 1, (size, 4)) / 8).astype(np.float32)
    ids = [f"d{name}" for name in rng.permutation(10 * size)[:size]]

    def read():
        return iter([Candidate(identity, "sw", str(n)) for n, identity in enumerate(ids)])

    def embed(texts):
        return embedding_ND[[int(text) for text in texts]]

    corpus = Corpus("made", "sw", read, "f")
    return encode_corpus(corpus, by_text(embed), tmp_path, "e", shard_passages=shard_passages), embedding_ND, ids


def reference(query_QD, embedding_ND, ids, k):
    lists = []
    for query_D in query_QD:
        scored = [(float(embedding_ND[n] @ query_D), ids[n], n) for n in range(len(ids))]
        lists.append(sorted(scored, reverse=True)[:k])
    return [[score for score, *_ in row] for row in lists], [[n for *_, n in row] for row in lists]


@pytest.mark.parametrize("levels", [1, 8])
@pytest.mark.parametrize("block", [3, 17, 1000])
@pytest.mark.parametrize("k", [1, 5, 30])
def test_search_equals_sorting_all_scores(tmp_path, monkeypatch, levels, block, k):
    monkeypatch.setattr(search_module, "_BLOCK_PASSAGES", block)
    rng = np.random.default_rng(k)
    shards, embedding_ND, ids = made(tmp_path, rng, 130, levels)
    query_QD = rng.integers(-2, 3, (9, 4)).astype(np.float32)
    hits = search(query_QD, shards, k, memory_mib=1, device=CPU)
    scores, positions = reference(query_QD, embedding_ND, ids, k)
    np.testing.assert_array_equal(hits.score_QK, np.array(scores, np.float32))
    np.testing.assert_array_equal(hits.position_QK, positions)
    assert levels > 1 or len(np.unique(query_QD @ embedding_ND.T)) < 60, "the test needs ties"


def test_queries_are_cut_to_the_memory(tmp_path, monkeypatch):
    """1 MiB holds 16 queries by 8192 passages twice: 40 queries are three chunks with the same result as one."""
    chunks = []
    made_best = search_module._Best
    monkeypatch.setattr(
        search_module, "_Best", lambda query_BD, *rest: chunks.append(len(query_BD)) or made_best(query_BD, *rest)
    )
    rng = np.random.default_rng(0)
    shards, *_ = made(tmp_path, rng, 130, 8)
    query_QD = rng.standard_normal((40, 4)).astype(np.float32)
    small = search(query_QD, shards, 7, memory_mib=1, device=CPU)
    assert chunks == [16, 16, 8]
    large = search(query_QD, shards, 7, memory_mib=100, device=CPU)
    np.testing.assert_array_equal(small.position_QK, large.position_QK)


def test_a_corpus_smaller_than_k_is_ranked_whole(tmp_path):
    shards, *_ = made(tmp_path, np.random.default_rng(1), 6, 8)
    hits = search(np.ones((2, 4), np.float32), shards, 100, memory_mib=1, device=CPU)
    assert hits.position_QK.shape == (2, 6)
    assert sorted(hits.position_QK[0]) == list(range(6))


def test_what_waits_is_sorted_in_before_it_outgrows_the_results(tmp_path, monkeypatch):
    """Ever better passages, the worst order: no more waits than the results and one block."""
    monkeypatch.setattr(search_module, "_BLOCK_PASSAGES", 10)
    longest = []
    plain = search_module._Best.merge
    monkeypatch.setattr(search_module._Best, "merge", lambda self: longest.append(self._waiting) or plain(self))
    corpus = Corpus("rising", "sw", lambda: (Candidate(f"d{n:04}", "sw", str(n)) for n in range(400)), "f")
    shards = encode_corpus(
        corpus, by_text(lambda texts: np.array([[int(t) / 512] for t in texts], np.float32)), tmp_path, "e"
    )
    hits = search(np.ones((3, 1), np.float32), shards, 5, memory_mib=1, device=CPU)
    np.testing.assert_array_equal(hits.position_QK, [[399, 398, 397, 396, 395]] * 3)
    assert max(longest) <= 3 * 5 + 3 * 10
    assert len(longest) > 10


def test_a_collapsed_encoder_takes_no_more_memory(tmp_path, monkeypatch):
    """One query scores all passages alike, the others all but the last ones: no more waits than five lists each."""
    waiting = []
    plain = search_module._Best.merge
    monkeypatch.setattr(search_module._Best, "merge", lambda self: waiting.append(self._waiting) or plain(self))
    embedding_ND = np.ones((400, 2), np.float32)
    embedding_ND[-5:, 1] = [2, 3, 5, 4, 6]
    ids = [f"d{name}" for name in np.random.default_rng(0).permutation(4000)[:400]]
    corpus = Corpus("collapsed", "sw", lambda: (Candidate(name, "sw", str(n)) for n, name in enumerate(ids)), "f")
    shards = encode_corpus(corpus, by_text(lambda texts: embedding_ND[[int(text) for text in texts]]), tmp_path, "e")
    query_QD = np.array([[1, 0], [1, 1], [0, 2]], np.float32)
    hits = search(query_QD, shards, 3, memory_mib=1, device=CPU)
    scores, positions = reference(query_QD, embedding_ND, ids, 3)
    np.testing.assert_array_equal(hits.score_QK, np.array(scores, np.float32))
    np.testing.assert_array_equal(hits.position_QK, positions)
    assert 3 * 3 < max(waiting) <= 5 * 3 * 3
