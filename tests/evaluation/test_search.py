"""Blocked search against sorting all scores, at every block size and memory, ties included."""

import numpy as np
import pytest
import torch
from embedding_fixture import by_text

from mixlingual.evaluation import search as search_module
from mixlingual.evaluation.post_hoc import Map
from mixlingual.evaluation.search import _block_sizes, merged, search
from mixlingual.evaluation.shards import Shards, encode_corpus
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


WIDTH = 384


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """8,193 passages in shards whose last blocks have 1 and 3 rows; the last is a copy of the first."""
    embedding_ND = np.random.default_rng(0).standard_normal((8193, WIDTH)).astype(np.float32)
    embedding_ND /= np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    embedding_ND[[2731, 5466, 8192]] = embedding_ND[[4, 4, 0]]
    corpus = Corpus("large", "sw", lambda: (Candidate(f"d{n:04}", "sw", str(n)) for n in range(8193)), "f")
    embed = by_text(lambda texts: embedding_ND[[int(text) for text in texts]])
    folders = {size: tmp_path_factory.mktemp(str(size)) for size in (2731, 65_536)}
    shards = {size: encode_corpus(corpus, embed, folders[size], "e", shard_passages=size) for size in folders}
    query_QD = embedding_ND[:60] + np.random.default_rng(1).standard_normal((60, WIDTH)).astype(np.float32) / 100
    return shards, folders, query_QD.astype(np.float32)


LIR = Map(np.full(WIDTH, 1 / 99, np.float32), np.linalg.qr(np.random.default_rng(2).standard_normal((WIDTH, 2)))[0].T)
CHANGES = {
    "none": None,
    "shift": Map(LIR.offset_D, np.zeros((0, WIDTH), np.float32), normalize=True),
    "lir": Map(LIR.offset_D, LIR.direction_RD.astype(np.float32), normalize=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_score_depends_on_its_pair_alone(large, monkeypatch, change):
    """Whatever the memory, the block and the shards, and whoever searches a part: the same bits, and ties go by id."""
    shards, folders, query_QD = large
    found = []
    for size, block, memory_mib in (
        (65_536, 8192, 1024), (65_536, 8190, 1024), (65_536, 8192, 3), (65_536, 8192, 1), (2731, 1365, 3),
    ):  # fmt: skip
        monkeypatch.setattr(search_module, "_BLOCK_PASSAGES", block)
        held = shards[size].changed(CHANGES[change])
        found.append(search(query_QD, held, 20, memory_mib=memory_mib, device=CPU))
    parts = [Shards(folders[2731], range(part, 3, 2), 2731).changed(CHANGES[change]) for part in range(2)]
    hits = [search(query_QD, part, 20, memory_mib=2, device=CPU) for part in parts]
    found.append(merged(hits, shards[2731], 20))
    for other in found[1:]:
        np.testing.assert_array_equal(other.score_QK, found[0].score_QK)
        np.testing.assert_array_equal(other.position_QK, found[0].position_QK)
    np.testing.assert_array_equal(found[0].position_QK[0, :2], [8192, 0])
    np.testing.assert_array_equal(found[0].position_QK[4, :3], [5466, 2731, 4])
    held = shards[65_536].changed(CHANGES[change])
    for query in range(3):
        passage_KD = np.concatenate([held.rows(np.array([n])) for n in found[0].position_QK[query]])
        alone_K = [(query_QD[query].astype(float) * passage_D.astype(float)).sum() for passage_D in passage_KD]
        np.testing.assert_array_equal(found[0].score_QK[query], np.array(alone_K, np.float32))


def test_queries_that_do_not_fit_are_searched_for_in_further_passes(tmp_path, monkeypatch):
    """1 MiB holds 55 queries: 100 are two passes with the same result as one."""
    passes = []
    one_pass = search_module._one_pass
    monkeypatch.setattr(
        search_module, "_one_pass", lambda query_BD, *rest: passes.append(len(query_BD)) or one_pass(query_BD, *rest)
    )
    rng = np.random.default_rng(0)
    shards, *_ = made(tmp_path, rng, 130, 8)
    query_QD = rng.standard_normal((100, 4)).astype(np.float32)
    small = search(query_QD, shards, 7, memory_mib=1, device=CPU)
    assert passes == [55, 45]
    large = search(query_QD, shards, 7, memory_mib=100, device=CPU)
    assert passes[2:] == [100]
    np.testing.assert_array_equal(small.position_QK, large.position_QK)


@pytest.mark.parametrize("memory_mib", [1, 2, 60, 1024])
@pytest.mark.parametrize(("width", "k"), [(32, 10), (384, 100), (4096, 1000)])
def test_blocks_fill_the_memory_and_do_not_exceed_it(memory_mib, width, k):
    queries, passages, pairs = _block_sizes(width, k, memory_mib)
    passage_bytes = 34 * width * passages
    used = passage_bytes + 28 * width * pairs + queries * (5 * passages + 320 * k)
    assert used <= memory_mib << 20 or queries == 1
    assert passage_bytes <= memory_mib << 18 or passages == 1
    assert 28 * width * pairs <= memory_mib << 17 or pairs == 1
    assert used + 5 * passages + 320 * k > memory_mib << 20, "one query more would not fit"


def test_a_corpus_smaller_than_k_is_ranked_whole(tmp_path):
    shards, *_ = made(tmp_path, np.random.default_rng(1), 6, 8)
    hits = search(np.ones((2, 4), np.float32), shards, 100, memory_mib=1, device=CPU)
    assert hits.position_QK.shape == (2, 6)
    assert sorted(hits.position_QK[0]) == list(range(6))


@pytest.fixture
def most_kept(monkeypatch):
    """Numbers of the scores that are kept when they are sorted."""
    kept = []
    plain = search_module._Best._merge
    monkeypatch.setattr(search_module._Best, "_merge", lambda self: kept.append(self._filled) or plain(self))
    return kept


def test_what_waits_is_sorted_in_before_it_outgrows_the_results(tmp_path, monkeypatch, most_kept):
    """Ever better passages, the worst order: no more waits than the results and one block."""
    monkeypatch.setattr(search_module, "_BLOCK_PASSAGES", 10)
    corpus = Corpus("rising", "sw", lambda: (Candidate(f"d{n:04}", "sw", str(n)) for n in range(400)), "f")
    shards = encode_corpus(
        corpus, by_text(lambda texts: np.array([[int(t) / 512] for t in texts], np.float32)), tmp_path, "e"
    )
    hits = search(np.ones((3, 1), np.float32), shards, 5, memory_mib=1, device=CPU)
    np.testing.assert_array_equal(hits.position_QK, [[399, 398, 397, 396, 395]] * 3)
    assert max(most_kept) <= 4 * 3 * 5
    assert len(most_kept) > 10


def test_a_collapsed_encoder_takes_no_more_memory(tmp_path, most_kept):
    """One query scores all passages alike, the others all but the last ones: no more is kept than four lists each."""
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
    assert 2 * 3 * 3 < max(most_kept) <= 4 * 3 * 3
