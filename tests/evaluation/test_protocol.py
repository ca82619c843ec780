"""The fast ranking and its aggregation against a reference that sorts lists and walks them.

Invariants pinned here: ties are broken by id, descending; every score is independent of the order of candidates;
each setting averages over the right queries; the metrics are JSON without NaN.
"""

import json
import math
from statistics import mean, median

import numpy as np
import pytest

from mixlingual.evaluation import ranking
from mixlingual.evaluation.protocol import PER_QUERY_COLUMNS, score_benchmark
from mixlingual.records import Benchmark, Candidate, DataError, Query

LANGUAGES = ("ar", "de", "en")


def toy_benchmark(rng, questions=8, extra=5, coverage=0.7, languages=LANGUAGES):
    """A benchmark whose ids sort differently from positions, with questions that miss languages."""
    names = iter(rng.permutation(10_000))
    candidates = [Candidate(f"c{next(names)}", str(rng.choice(languages)), "") for _ in range(extra)]
    queries, gold = [], {}
    for question in range(questions):
        present = [language for language in languages if rng.random() < coverage] or [languages[0]]
        for language in present:
            queries.append(Query(f"q{question}", language, "", f"p{question // 2}"))
            gold[f"q{question}", language] = len(candidates)
            candidates.append(Candidate(f"c{next(names)}", language, ""))
    queries = [queries[i] for i in rng.permutation(len(queries))]
    return Benchmark("toy", languages, tuple(queries), tuple(candidates), gold, "f1", complete=True)


def embeddings(rng, benchmark, width, kind):
    """Random embeddings; `ties` are small integers, so that scores are exact and mostly equal."""
    sizes = (len(benchmark.queries), width), (len(benchmark.candidates), width)
    if kind == "ties":
        return tuple(rng.integers(-1, 2, size).astype(np.float32) for size in sizes)
    return tuple(rng.standard_normal(size).astype(np.float32) for size in sizes)


def reference_rows(benchmark, query_QD, candidate_ND):
    """(setting, query, query language, candidate language) -> all measures, by sorting and walking lists."""
    rows = {}
    for query, query_D in zip(benchmark.queries, query_QD):
        scored = [(float(candidate_ND[n] @ query_D), c.id, c.language, n) for n, c in enumerate(benchmark.candidates)]
        ranked = sorted(scored, reverse=True)
        golds = {m: benchmark.gold[query.id, m] for m in benchmark.languages if (query.id, m) in benchmark.gold}
        for m, gold in golds.items():
            pool = [n for _, _, language, n in ranked if language == m]
            setting = "mono" if m == query.language else "cross"
            rows[setting, query.id, query.language, m] = (*walk(pool, {gold}), math.nan, math.nan)
        pool = [n for *_, n in ranked]
        places = [pool.index(gold) + 1 for gold in golds.values()]
        k, distance = len(places), max(places) - min(places)
        bias = (distance, (distance - (k - 1)) / (len(pool) - k)) if k > 1 else (math.nan, math.nan)
        rows["multi", query.id, query.language, "all"] = (*walk(pool, set(golds.values())), *bias)
    return rows


def walk(pool, relevant):
    found, precisions = 0, []
    for rank, candidate in enumerate(pool, start=1):
        if candidate in relevant:
            found += 1
            precisions.append(found / rank)
    recall = [len(relevant & set(pool[:k])) / len(relevant) for k in (1, 10)]
    return (sum(precisions) / len(relevant), *recall)


def reference_metrics(rows):
    """The three settings from the reference rows, means over queries and then over languages or pairs."""
    parts = {"mono": {}, "cross": {}, "multi": {}}
    for (setting, _, query_language, candidate_language), values in rows.items():
        name = f"{query_language}-{candidate_language}" if setting == "cross" else query_language
        parts[setting].setdefault(name, []).append(values)
    metrics = {}
    for setting, groups in parts.items():
        means = {name: reference_means(values) for name, values in groups.items()}
        measures = set().union(*means.values()) - {"queries"}
        macro = {measure: mean(part[measure] for part in means.values() if measure in part) for measure in measures}
        metrics[setting] = {**macro, "pairs" if setting == "cross" else "languages": means}
    return metrics


def reference_means(values):
    means = {key: mean(row[i] for row in values) for i, key in enumerate(("map", "r@1", "r@10"))}
    means["queries"] = len(values)
    distances = [row[3:] for row in values if not math.isnan(row[3])]
    if distances:
        means["rank_distance"] = mean(raw for raw, _ in distances)
        means["rank_distance_normalized"] = mean(normalized for _, normalized in distances)
        means["rank_distance_median"] = median(raw for raw, _ in distances)
    return means


def approx_deep(tree):
    """The tree with tolerance on every number; pytest.approx itself takes flat dicts only."""
    return {k: approx_deep(v) for k, v in tree.items()} if isinstance(tree, dict) else pytest.approx(tree, rel=1e-9)


@pytest.mark.parametrize("kind", ["ties", "distinct"])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_the_slow_reference(seed, width, kind, monkeypatch):
    monkeypatch.setattr(ranking, "_BLOCK", 5)
    rng = np.random.default_rng(seed)
    benchmark = toy_benchmark(rng)
    query_QD, candidate_ND = embeddings(rng, benchmark, width, kind)
    if kind == "ties":
        assert len(np.unique(query_QD @ candidate_ND.T)) < 9, "the test needs many ties"
    rows = reference_rows(benchmark, query_QD, candidate_ND)
    scores = score_benchmark(benchmark, query_QD, candidate_ND)
    for setting, expected in reference_metrics(rows).items():
        assert scores.metrics[setting] == approx_deep(expected)
    keys = ["setting", "query", "query_language", "candidate_language"]
    measured = scores.per_query.set_index(keys)[["ap", "r@1", "r@10", "rank_distance", "rank_distance_normalized"]]
    assert len(measured) == len(rows)
    np.testing.assert_allclose(measured.loc[list(rows)], list(rows.values()), rtol=1e-6)


def test_ranking_by_hand():
    candidates = (
        Candidate("a", "de", ""),
        Candidate("c", "de", ""),
        Candidate("b", "en", ""),
        Candidate("d", "en", ""),
    )
    queries = (Query("q", "de", "", "p"), Query("q", "en", "", "p"))
    benchmark = Benchmark("hand", ("de", "en"), queries, candidates, {("q", "de"): 0, ("q", "en"): 3}, "f")
    candidate_ND = np.array([[0.5], [0.5], [0.5], [0.25]], dtype=np.float32)
    own_QM, pooled_QM = ranking.gold_ranks(benchmark, np.array([[1], [-1]], dtype=np.float32), candidate_ND)
    np.testing.assert_array_equal(own_QM, [[2, 2], [2, 1]])  # pool de: c a | c a; pool en: b d | d b
    np.testing.assert_array_equal(pooled_QM, [[3, 4], [4, 1]])  # c b a d | d c b a


def test_equal_embeddings_tie_whatever_the_matrix_product_rounds():
    rng = np.random.default_rng(0)
    names = rng.permutation(1000)[:531]
    candidates = tuple(Candidate(f"{name:04}", "en", "") for name in names)
    benchmark = Benchmark("twins", ("en",), (Query("q", "en", "", "p"),), candidates, {("q", "en"): 7}, "f")
    candidate_ND = np.tile(rng.standard_normal(384).astype(np.float32), (531, 1))
    query_QD = rng.standard_normal((1, 384)).astype(np.float32)
    own_QM, _ = ranking.gold_ranks(benchmark, query_QD, candidate_ND)
    assert own_QM[0, 0] == 1 + (names > names[7]).sum()


def test_sort_keys_order_as_pairs_do():
    above = [np.nextafter(np.float32(score), np.float32(9e9)) for score in (-3, 1, 3)]
    scores = np.array([-np.inf, -3, above[0], -1e-45, -0.0, 0.0, 1e-45, 1, above[1], 3, above[2], 3e38], np.float32)
    pairs = [(score, order) for score in scores for order in (0, 1, 2**31 - 1)]
    keys = ranking._sort_key(np.array([p[0] for p in pairs], np.float32), np.array([p[1] for p in pairs]))
    for i, left in enumerate(pairs):
        for j, right in enumerate(pairs):
            assert (keys[i] > keys[j]) == (left > right)


def test_order_of_candidates_does_not_matter():
    rng = np.random.default_rng(5)
    benchmark = toy_benchmark(rng)
    query_QD, candidate_ND = embeddings(rng, benchmark, 2, "ties")
    shuffle = rng.permutation(len(benchmark.candidates))
    place = {int(old): new for new, old in enumerate(shuffle)}
    shuffled = Benchmark(
        "toy", LANGUAGES, benchmark.queries, tuple(benchmark.candidates[n] for n in shuffle),
        {key: place[n] for key, n in benchmark.gold.items()}, "f1",
    )  # fmt: skip
    expected = score_benchmark(benchmark, query_QD, candidate_ND).metrics
    assert score_benchmark(shuffled, query_QD, candidate_ND[shuffle]).metrics == expected


def test_layout_of_metrics_and_table():
    rng = np.random.default_rng(1)
    benchmark = toy_benchmark(rng, coverage=1.0)
    scores = score_benchmark(benchmark, *embeddings(rng, benchmark, 4, "distinct"))
    metrics = scores.metrics
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert metrics["fingerprint"] == "f1"
    assert metrics["languages"] == list(LANGUAGES)
    assert metrics["complete"] is True
    assert (metrics["queries"], metrics["candidates"]) == (24, 29)
    assert set(metrics["mono"]) == {"map", "r@1", "r@10", "languages"}
    assert set(metrics["cross"]) == {"map", "r@1", "r@10", "pairs"}
    assert list(metrics["cross"]["pairs"]) == ["ar-de", "ar-en", "de-ar", "de-en", "en-ar", "en-de"]
    assert metrics["cross"]["pairs"]["en-de"].keys() == {"map", "r@1", "r@10", "queries"}
    distances = {"rank_distance", "rank_distance_normalized", "rank_distance_median"}
    assert set(metrics["multi"]) == {"map", "r@1", "r@10", "languages"} | distances
    assert set(metrics["multi"]["languages"]["ar"]) == {"map", "r@1", "r@10", "queries"} | distances
    table = scores.per_query
    assert tuple(table.columns) == PER_QUERY_COLUMNS
    assert table["setting"].value_counts().to_dict() == {"mono": 24, "cross": 48, "multi": 24}
    assert {str(table[column].dtype) for column in PER_QUERY_COLUMNS[6:]} == {"float32"}
    assert table["rank_distance"].notna().equals(table["setting"] == "multi")


def test_one_language_has_no_pairs_and_no_rank_distance():
    rng = np.random.default_rng(2)
    benchmark = toy_benchmark(rng, languages=("de",))
    metrics = score_benchmark(benchmark, *embeddings(rng, benchmark, 4, "distinct")).metrics
    assert "cross" not in metrics
    assert metrics["multi"] == metrics["mono"]
    assert "rank_distance" not in metrics["multi"]


def test_embeddings_of_the_wrong_shape_are_refused():
    benchmark = toy_benchmark(np.random.default_rng(3))
    queries, candidates = len(benchmark.queries), len(benchmark.candidates)
    with pytest.raises(DataError, match=rf"toy: got candidate embeddings of shape \[{candidates}, 3\]; .* \(4\)"):
        score_benchmark(benchmark, np.ones((queries, 4), np.float32), np.ones((candidates, 3), np.float32))
    with pytest.raises(DataError, match=rf"toy: got query embeddings of shape \[1, 4\]; .* its {queries} texts"):
        score_benchmark(benchmark, np.ones((1, 4), np.float32), np.ones((candidates, 4), np.float32))


def test_embeddings_that_are_not_finite_are_refused():
    rng = np.random.default_rng(4)
    benchmark = toy_benchmark(rng)
    query_QD, candidate_ND = embeddings(rng, benchmark, 4, "distinct")
    candidate_ND[[6, 9], 2] = np.nan, np.inf
    first = benchmark.candidates[6]
    with pytest.raises(DataError, match=rf"toy: 2 of .* candidate embeddings .* {first.id} \({first.language}\)"):
        score_benchmark(benchmark, query_QD, candidate_ND)
