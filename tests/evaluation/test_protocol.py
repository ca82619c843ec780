"""The fast ranking and its aggregation against a reference that sorts lists and walks them.

Invariants pinned here: ties are one threshold to AP and broken by id, descending, for the rest; every score is
independent of the order of candidates; each setting averages over the right queries; the metrics are JSON without NaN.
"""

import json
import math
from statistics import mean, median

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from mixlingual.evaluation import protocol, ranking
from mixlingual.evaluation.protocol import per_query_columns, score_benchmark
from mixlingual.evaluation.ranking import _twins, best_first, id_order
from mixlingual.measures.registry import question_columns
from mixlingual.records import Benchmark, Candidate, DataError, Query

LANGUAGES = ("ar", "de", "en")
OTHER_BIAS = set(question_columns()) - {"rank_distance", "rank_distance_normalized"}
MEASURES = ("map", "mrr", "ndcg@10", "r@1", "r@10", "r@100")


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
            pool = [(score, n) for score, _, language, n in ranked if language == m]
            setting = "mono" if m == query.language else "cross"
            rows[setting, query.id, query.language, m] = (*walk(pool, {gold}), math.nan, math.nan)
        pool = [(score, n) for score, *_, n in ranked]
        places = [[n for _, n in pool].index(gold) + 1 for gold in golds.values()]
        k, distance = len(places), max(places) - min(places)
        bias = (distance, (distance - (k - 1)) / (len(pool) - k)) if k > 1 else (math.nan, math.nan)
        rows["multi", query.id, query.language, "all"] = (*walk(pool, set(golds.values())), *bias)
    return rows


def walk(pool, relevant):
    """AP with equal scores as one threshold; the others from the list as it stands."""
    precisions = []
    for threshold in (score for score, candidate in pool if candidate in relevant):
        reached = [candidate in relevant for score, candidate in pool if score >= threshold]
        precisions.append(sum(reached) / len(reached))
    ranks = [rank for rank, (_, candidate) in enumerate(pool, start=1) if candidate in relevant]
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= 10)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), 10) + 1))
    recall = [sum(rank <= k for rank in ranks) / len(relevant) for k in (1, 10, 100)]
    return (mean(precisions), 1 / ranks[0], gain / ideal, *recall)


def reference_metrics(rows):
    """The three settings from the reference rows, means over queries and then over languages or pairs."""
    parts = {"mono": {}, "cross": {}, "multi": {}}
    for (setting, _, query_language, candidate_language), values in rows.items():
        name = f"{query_language}-{candidate_language}" if setting == "cross" else query_language
        parts[setting].setdefault(name, []).append(values)
    metrics = {}
    for setting, groups in parts.items():
        means = {name: reference_means(values) for name, values in groups.items()}
        section = {**reference_macro(means.values()), "pairs" if setting == "cross" else "languages": means}
        section["micro"] = reference_means([row for values in groups.values() for row in values])
        if setting == "cross":
            for side, key in enumerate(("query_languages", "candidate_languages")):
                of = {
                    language: [m for name, m in means.items() if name.split("-")[side] == language]
                    for language in LANGUAGES
                }
                section[key] = {language: reference_macro(group) for language, group in of.items() if group}
        metrics[setting] = section
    return metrics


def reference_macro(means):
    measures = set().union(*means) - {"queries"}
    return {measure: mean(part[measure] for part in means if measure in part) for measure in measures}


def reference_means(values):
    means = {key: mean(row[i] for row in values) for i, key in enumerate(MEASURES)}
    means["queries"] = len(values)
    distances = [row[6:] for row in values if not math.isnan(row[6])]
    if distances:
        means["rank_distance"] = mean(raw for raw, _ in distances)
        means["rank_distance_normalized"] = mean(normalized for _, normalized in distances)
        means["rank_distance_median"] = median(raw for raw, _ in distances)
    return means


def without_other_bias(tree):
    """The measures that the reference here has; tests of `language_bias` have the others."""
    kept = {key: value for key, value in tree.items() if isinstance(value, dict) or key not in OTHER_BIAS}
    return {key: without_other_bias(value) if isinstance(value, dict) else value for key, value in kept.items()}


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
        assert without_other_bias(scores.metrics[setting]) == approx_deep(expected)
    keys = ["setting", "query", "query_language", "candidate_language"]
    measured = scores.per_query.set_index(keys)[list(per_query_columns()[6:14])]
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
    ranks = ranking.rank(benchmark, np.array([[1], [-1]], dtype=np.float32), candidate_ND, 3)
    np.testing.assert_array_equal(ranks.own_QR, [[2, 2], [2, 1]])  # pool de: c a | c a; pool en: b d | d b
    np.testing.assert_array_equal(ranks.own_last_QR, [[2, 2], [2, 1]])
    np.testing.assert_array_equal(ranks.pooled_QR, [[3, 4], [4, 1]])  # c b a d | d c b a
    np.testing.assert_array_equal(ranks.pooled_last_QR, [[3, 4], [4, 1]])
    np.testing.assert_array_equal(ranks.top_QK, [[1, 2, 0], [3, 1, 2]])


def test_equal_embeddings_tie_whatever_the_matrix_product_rounds():
    rng = np.random.default_rng(0)
    names = rng.permutation(1000)[:531]
    candidates = tuple(Candidate(f"{name:04}", "en", "") for name in names)
    benchmark = Benchmark("twins", ("en",), (Query("q", "en", "", "p"),), candidates, {("q", "en"): 7}, "f")
    candidate_ND = np.tile(rng.standard_normal(384).astype(np.float32), (531, 1))
    query_QD = rng.standard_normal((1, 384)).astype(np.float32)
    ranks = ranking.rank(benchmark, query_QD, candidate_ND, 531)
    assert ranks.own_QR[0, 0] == 1 + (names > names[7]).sum()
    assert ranks.own_last_QR[0, 0] == 531
    np.testing.assert_array_equal(ranks.top_QK[0], np.argsort(-names))


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_the_best_equal_sorting(k, levels):
    rng = np.random.default_rng(k)
    score_BN = rng.integers(0, levels, (20, 9)).astype(np.float32)
    order_N = rng.permutation(9)
    expected = [sorted(range(9), key=lambda n: (-row[n], -order_N[n]))[:k] for row in score_BN]
    np.testing.assert_array_equal(best_first(score_BN, order_N, score_BN, k), expected)


def test_zero_has_no_sign():
    """Embeddings that differ in the sign of a zero score alike."""
    assert _twins(np.array([[0.0, 1.0], [2.0, 1.0], [-0.0, 1.0]], np.float32)) == ([2], [0])


def test_ids_are_ordered_by_code_point():
    np.testing.assert_array_equal(id_order(["b", "a", "é", "Z", "a1"]), [3, 1, 4, 0, 2])


def test_a_trec_evaluator_agrees_whatever_the_ties():
    """ir-measures reads scores and ids as trec_eval does: in pools full of ties all but AP must be the same."""
    rng = np.random.default_rng(11)
    benchmark = toy_benchmark(rng, questions=20, extra=40)
    query_QD, candidate_ND = embeddings(rng, benchmark, 2, "ties")
    names = [f"{query.id}/{query.language}" for query in benchmark.queries]
    qrels = [
        ir_measures.Qrel(name, benchmark.candidates[gold].id, 1)
        for name, query in zip(names, benchmark.queries)
        for (question, _), gold in benchmark.gold.items()
        if question == query.id
    ]
    run = [
        ir_measures.ScoredDoc(name, candidate.id, float(score))
        for name, query_D in zip(names, query_QD)
        for candidate, score in zip(benchmark.candidates, candidate_ND @ query_D)
    ]
    measures = {
        "rr": RR,
        "ndcg@10": nDCG @ 10,
        "r@1": R @ 1,
        "r@10": R @ 10,
        "r@100": R @ 100,
        "ndcg@3": nDCG @ 3,
        "r@3": R @ 3,
    }
    expected = {(str(m.measure), m.query_id): m.value for m in ir_measures.iter_calc(measures.values(), qrels, run)}
    pooled = protocol._per_query(benchmark, ranking.rank(benchmark, query_QD, candidate_ND, 1), {}, (3,))
    pooled = pooled[pooled["setting"] == "multi"]
    assert len(expected) == len(measures) * len(pooled)
    for row in pooled.to_dict("records"):
        for column, measure in measures.items():
            name = f"{row['query']}/{row['query_language']}"
            assert row[column] == pytest.approx(expected[str(measure), name], abs=1e-9)


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
    measured = score_benchmark(shuffled, query_QD, candidate_ND[shuffle]).metrics
    assert {key: measured[key] for key in ("mono", "cross", "multi")} == {
        key: expected[key] for key in ("mono", "cross", "multi")
    }
    assert measured["bias"] == approx_deep(expected["bias"])


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
    measures = set(MEASURES)
    assert set(metrics["mono"]) == measures | {"micro", "languages"}
    assert set(metrics["cross"]) == measures | {"micro", "pairs", "query_languages", "candidate_languages"}
    assert list(metrics["cross"]["pairs"]) == ["ar-de", "ar-en", "de-ar", "de-en", "en-ar", "en-de"]
    assert metrics["cross"]["pairs"]["en-de"].keys() == measures | {"queries"}
    distances = {*question_columns(), "rank_distance_median"}
    assert set(metrics["multi"]) == measures | {"micro", "languages"} | distances
    assert set(metrics["multi"]["languages"]["ar"]) == measures | {"queries"} | distances
    table = scores.per_query
    assert tuple(table.columns) == per_query_columns()
    assert table["setting"].value_counts().to_dict() == {"mono": 24, "cross": 48, "multi": 24}
    assert {str(table[column].dtype) for column in per_query_columns()[6:]} == {"float32"}
    assert table["rank_distance"].notna().equals(table["setting"] == "multi")


def test_one_language_has_no_pairs_and_no_rank_distance():
    rng = np.random.default_rng(2)
    benchmark = toy_benchmark(rng, languages=("de",))
    metrics = score_benchmark(benchmark, *embeddings(rng, benchmark, 4, "distinct")).metrics
    assert "cross" not in metrics
    assert metrics["multi"] == metrics["mono"]
    assert "rank_distance" not in metrics["multi"]
    assert "bias" not in metrics


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
