"""Approximate search: its recall is that of its own results, and goes to 1 as every list is looked into."""

import sys

import numpy as np
import pytest
import torch
from embedding_fixture import by_text, source

pytest.importorskip("faiss", reason="needs faiss")

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation import approximate
from mixlingual.evaluation.approximate import _parts, approximate_search, flat_search
from mixlingual.evaluation.judged import score_judged
from mixlingual.evaluation.judged_scores import score_runs
from mixlingual.evaluation.scorer import UNCORRECTED
from mixlingual.evaluation.search import search
from mixlingual.evaluation.shards import encode_corpus
from mixlingual.records import Candidate, Corpus, JudgedBenchmark, JudgedTask, MixlingualError, Query

CPU = torch.device("cpu")
EMBEDDINGS = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
CORPUS = Corpus("made", "sw", lambda: (Candidate(f"d{n:04}", "sw", str(n)) for n in range(3000)), "f")


def embed(texts, side="passage", label=""):
    return EMBEDDINGS[[int(text) for text in texts]]


@pytest.fixture
def shards(tmp_path):
    return encode_corpus(CORPUS, by_text(embed), tmp_path, "e", shard_passages=700)


@pytest.mark.parametrize("kind", ["ivf", "ivf_pq"])
def test_recall_is_that_of_the_results_and_grows_with_the_probes(shards, kind, monkeypatch):
    built = approximate._built(shards, kind, 1, CPU)
    monkeypatch.setattr(approximate, "_built", lambda *_: built)
    query_QD = np.random.default_rng(1).standard_normal((60, 16)).astype(np.float32)
    exact = search(query_QD, shards, 10, memory_mib=16, device=CPU)
    recalls = []
    for probes in (1, 1000):
        built.index.nprobe = probes
        hits, recall = approximate_search(query_QD, shards, 10, kind=kind, probes=probes, memory_mib=16, device=CPU)
        counted = [len(set(a) & set(b)) / 10 for a, b in zip(exact.position_QK.tolist(), hits.position_QK.tolist())]
        assert recall == pytest.approx(np.mean(counted))
        recalls.append(recall)
    assert 0 < recalls[0] < recalls[1]
    assert kind == "ivf_pq" or recalls[1] == 1


@pytest.mark.parametrize("most", [2600, 13])
def test_flat_finds_what_the_exact_search_finds_with_its_ties(tmp_path, most, monkeypatch):
    """800 passages of which 20 are alike, among others; at `most` 13 faiss gives no more, as on a GPU."""
    names = [f"d{name:05}" for name in np.random.default_rng(4).permutation(9999)[:2600]]
    vectors = np.concatenate([COPIES, EMBEDDINGS[:1800]])[np.random.default_rng(5).permutation(2600)]
    corpus = Corpus("mixed", "sw", lambda: (Candidate(name, "sw", str(n)) for n, name in enumerate(names)), "f")
    shards = encode_corpus(
        corpus, by_text(lambda texts: vectors[[int(text) for text in texts]]), tmp_path, "e", shard_passages=700
    )
    built = approximate._built
    monkeypatch.setattr(approximate, "_built", lambda *words, **more: built(*words, **more)._replace(most=most))
    query_QD = np.concatenate([COPIES[::20], EMBEDDINGS[2000:2040]])
    exact = search(query_QD, shards, 7, memory_mib=16, device=CPU)
    hits = flat_search(query_QD, shards, 7, memory_mib=16, device=CPU)
    assert np.array_equal(hits.position_QK, exact.position_QK)
    assert np.array_equal(hits.score_QK, exact.score_QK)


def test_results_say_how_they_were_searched():
    queries = tuple(Query(f"q{n}", "sw", str(n), f"q{n}") for n in range(0, 3000, 100))
    task = JudgedTask(queries, "sw", CORPUS, {query.id: {f"d{int(query.text):04}": 1} for query in queries})
    benchmark = JudgedBenchmark("made", (task,), ("ndcg@10", "r@100"), "f")
    found = {
        how: score_judged(benchmark, source(embed), "e", EvaluationConfig(search=how, probes=1), CPU)[
            UNCORRECTED
        ].metrics
        for how in ("exact", "flat", "ivf")
    }
    assert (found["exact"]["search"], found["exact"]["search_recall@100"]) == ("exact", 1)
    assert found["flat"] == found["exact"] | {"search": "flat"}
    assert found["ivf"]["search"] == "ivf"
    assert 0 < found["ivf"]["search_recall@100"] < 1
    assert found["exact"]["mono"]["r@100"] == 1


def test_places_that_stay_empty_are_left_out():
    """One probe of many lists cannot fill 100 places: the scores are those of shorter lists."""
    small = Corpus("small", "sw", lambda: (Candidate(f"d{n:04}", "sw", str(n)) for n in range(640)), "f")
    task = JudgedTask((Query("q", "sw", "5", "q"),), "sw", small, {"q": {"d0005": 1}})
    benchmark = JudgedBenchmark("made", (task,), ("ndcg@10",), "f")
    metrics = score_judged(benchmark, source(embed), "e", EvaluationConfig(search="ivf", probes=1), CPU)[
        UNCORRECTED
    ].metrics
    assert metrics["mono"]["ndcg@10"] == 1
    assert metrics["search_recall@100"] < 1


COPIES = np.repeat(np.random.default_rng(3).standard_normal((40, 16)).astype(np.float32), 20, axis=0)
"""800 passages, of which 20 in a row are alike."""


@pytest.mark.parametrize("kind", ["ivf", "ivf_pq"])
def test_ties_go_by_id_also_with_what_comes_after_the_last(tmp_path, kind):
    """Each list of 7 is cut within 20 copies, of which the 7 of the highest ids count, as in an exact search."""
    ids = [f"d{name:05}" for name in np.random.default_rng(4).permutation(9999)[:800]]
    corpus = Corpus("copies", "sw", lambda: (Candidate(name, "sw", str(n)) for n, name in enumerate(ids)), "f")
    shards = encode_corpus(corpus, by_text(lambda texts: COPIES[[int(text) for text in texts]]), tmp_path, "e")
    query_QD = COPIES[::20].copy()
    options = {"memory_mib": 16, "device": CPU}
    exact = search(query_QD, shards, 7, **options)
    hits, _ = approximate_search(query_QD, shards, 7, kind=kind, probes=1000, **options)
    for query, position_K in enumerate(hits.position_QK):
        group = position_K[0] // 20
        expected = sorted(range(20 * group, 20 * group + 20), key=ids.__getitem__, reverse=True)[:7]
        assert position_K.tolist() == expected
        assert kind == "ivf_pq" or expected == exact.position_QK[query].tolist()
    assert kind == "ivf_pq" or np.array_equal(hits.score_QK, exact.score_QK), "scores are those of an exact search"


def test_scores_are_those_of_the_exported_run(tmp_path):
    rng = np.random.default_rng(5)
    listed = [Candidate(f"d{name:04}", "sw", str(n % 40 * 20)) for n, name in enumerate(rng.permutation(2000))]
    corpus = Corpus("copies", "sw", lambda: iter(listed), "f")
    asked = tuple(Query(f"q{n}", "sw", str(20 * n), f"q{n}") for n in range(40))
    qrels = {query.id: {listed[int(n)].id: 1 for n in rng.choice(2000, 90)} for query in asked}
    benchmark = JudgedBenchmark("made", (JudgedTask(asked, "sw", corpus, qrels),), ("ndcg@10", "r@100"), "f")
    config = EvaluationConfig(search="ivf_pq", probes=3, runs=str(tmp_path))
    by_number = source(lambda texts, side, label: COPIES[[int(text) for text in texts]])
    ours = score_judged(benchmark, by_number, "e", config, CPU)[UNCORRECTED]
    assert 0 < ours.metrics["mono"]["ndcg@10"] < 1
    assert score_runs(benchmark, tmp_path).per_query.equals(ours.per_query)


def test_parts_divide_the_width():
    assert [_parts(width) for width in (384, 768, 1024, 1000, 16, 30, 7)] == [48, 64, 64, 50, 2, 3, 1]


def test_a_corpus_too_small_for_faiss_says_what_to_do(tmp_path):
    small = Corpus("small", "sw", lambda: (Candidate(f"d{n}", "sw", str(n)) for n in range(100)), "f")
    shards = encode_corpus(small, by_text(embed), tmp_path, "e")
    with pytest.raises(
        MixlingualError, match=r"search 100 passages by evaluation\.search=ivf_pq .* set .*=ivf or exact"
    ):
        approximate_search(EMBEDDINGS[:3], shards, 5, kind="ivf_pq", probes=1, memory_mib=1, device=CPU)


def test_without_faiss_the_message_says_what_to_do(shards, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MixlingualError, match=r"evaluation\.search=ivf needs faiss; install the extra cpu or gpu"):
        approximate_search(EMBEDDINGS[:3], shards, 5, kind="ivf", probes=1, memory_mib=1, device=CPU)
