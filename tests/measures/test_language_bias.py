"""All measures of language bias against lists sorted one by one, on pools where questions miss languages."""

import json
import math
from itertools import combinations
from statistics import mean

import numpy as np
import pytest
from parallel_benchmark import LANGUAGES, made

from mixlingual.evaluation.protocol import DEPTH, score_benchmark
from mixlingual.evaluation.ranking import rank
from mixlingual.measures.consistency import PERSISTENCE
from mixlingual.measures.registry import question_columns, scores_of_questions
from mixlingual.measures.retrieval import Retrieval
from mixlingual.records import Benchmark, Candidate, Query


def sorted_lists(benchmark, query_QD, candidate_ND):
    """Positions of all candidates for each query, best first."""
    for query_D in query_QD:
        scored = [(float(candidate_ND[n] @ query_D), c.id, n) for n, c in enumerate(benchmark.candidates)]
        yield [n for *_, n in sorted(scored, reverse=True)]


def reference_of_query(benchmark, query, ranked):
    """Every column of one query, from its sorted list."""
    language = {n: candidate.language for n, candidate in enumerate(benchmark.candidates)}
    golds = {m: benchmark.gold[query.id, m] for m in LANGUAGES if (query.id, m) in benchmark.gold}
    ranks = {m: ranked.index(n) + 1 for m, n in golds.items()}
    best, worst, k, pool = min(ranks.values()), max(ranks.values()), len(ranks), len(ranked)
    several, own = k > 1, query.language
    full = precision(ranked, set(golds.values()))
    deltas = {
        m: full - precision([n for n in ranked if n != gold], set(golds.values()) - {gold})
        for m, gold in golds.items()
        if several
    }
    others = [m for m in golds if m != own]
    top = [language[n] for n in ranked[:10]]
    exposure = {m: sum(1 / math.log2(1 + i) for i, x in enumerate(top, start=1) if x == m) for m in LANGUAGES}
    total = sum(exposure.values())
    share = sum(x == own for x in language.values()) / pool
    return {
        "rank_distance": worst - best if several else math.nan,
        "rank_distance_normalized": (worst - best - k + 1) / (pool - k) if several else math.nan,
        "rank_distance_log": math.log2(worst / best) if several else math.nan,
        "max_rank": worst,
        "completion@10": float(worst <= 10),
        "completion@100": float(worst <= 100),
        "own_first": float(ranks[own] == best) if several else math.nan,
        "tlr@10": mean(float(ranks[m] <= 10) for m in others) if others else math.nan,
        "delta_ap_own": deltas.get(own, math.nan),
        "delta_ap_other": mean(deltas[m] for m in others) if others else math.nan,
        "own_lift@10": top.count(own) / 10 / share,
        "own_relevant_lift@10": (ranks[own] <= 10) * k / shown
        if (shown := sum(r <= 10 for r in ranks.values()))
        else math.nan,
        "exposure_divergence@10": divergence(
            {m: value / total for m, value in exposure.items()}, {m: (m in golds) / k for m in LANGUAGES}
        ),
    }


def precision(ranked, relevant):
    ranks = [rank for rank, n in enumerate(ranked, start=1) if n in relevant]
    return mean(found / rank for found, rank in enumerate(ranks, start=1))


def divergence(left, right):
    def half(of):
        return sum(p * math.log2(p / ((left[m] + right[m]) / 2)) for m, p in of.items() if p)

    return (half(left) + half(right)) / 2


@pytest.mark.parametrize("seed", range(3))
def test_columns_of_queries_equal_the_sorted_lists(seed):
    benchmark, query_QD, candidate_ND = made(seed, coverage=0.4, shift=0.5)
    rankings = rank(benchmark, query_QD, candidate_ND, DEPTH)
    values = scores_of_questions(Retrieval(benchmark, rankings, query_QD, candidate_ND))
    assert list(values) == question_columns()
    lists = list(sorted_lists(benchmark, query_QD, candidate_ND))
    expected = [reference_of_query(benchmark, *pair) for pair in zip(benchmark.queries, lists)]
    assert any(math.isnan(row["rank_distance"]) for row in expected)
    for name in values:
        np.testing.assert_allclose(values[name], [row[name] for row in expected], rtol=1e-9, atol=1e-12, err_msg=name)


def macro(benchmark, values):
    return mean(mean(v for v, q in zip(values, benchmark.queries) if q.language == m) for m in LANGUAGES)


def test_figures_of_the_benchmark_equal_the_sorted_lists():
    benchmark, query_QD, candidate_ND = made(3, shift=0.5)
    bias = score_benchmark(benchmark, query_QD, candidate_ND).metrics["bias"]
    assert json.loads(json.dumps(bias, allow_nan=False)) == bias
    lists = list(sorted_lists(benchmark, query_QD, candidate_ND))
    language = [candidate.language for candidate in benchmark.candidates]
    golds = [{n for (question, _), n in benchmark.gold.items() if question == q.id} for q in benchmark.queries]
    own = [q.language for q in benchmark.queries]
    kinds = {
        "relevant_own": [float(r[0] in g and language[r[0]] == m) for r, g, m in zip(lists, golds, own)],
        "relevant_other": [float(r[0] in g and language[r[0]] != m) for r, g, m in zip(lists, golds, own)],
        "other_own": [float(r[0] not in g and language[r[0]] == m) for r, g, m in zip(lists, golds, own)],
    }
    for kind, values in kinds.items():
        assert bias["first_result"][kind] == pytest.approx(macro(benchmark, values))
    assert sum(bias["first_result"].values()) == pytest.approx(1)
    shown = sum(language[n] == "en" for r, m in zip(lists, own) if m == "de" for n in r[:10])
    share = language.count("en") / len(language)
    lift = math.log2((shown + share) / ((10 * own.count("de") + 1) * share))
    assert bias["lift@10"]["log2"]["de"]["en"] == pytest.approx(lift)
    of_german = [(r[:10], g) for r, g, m in zip(lists, golds, own) if m == "de"]
    seen = {m: sum(n in g and language[n] == m for r, g in of_german for n in r) for m in LANGUAGES}
    due = {
        m: sum(sum(n in g for n in r) * sum(language[n] == m for n in g) / len(g) for r, g in of_german)
        for m in LANGUAGES
    }
    for m in LANGUAGES:
        share = due[m] / sum(due.values())
        lift = math.log2((seen[m] + share) / (due[m] + share))
        assert bias["relevant_lift@10"]["log2"]["de"][m] == pytest.approx(lift)
    assert 0 < bias["exposure_divergence@10"]["chance"] < 1
    row = {(q.id, q.language): r for q, r in zip(benchmark.queries, lists)}
    pairs = {}
    for left, right in combinations(LANGUAGES, 2):
        shared = sorted({q for q, m in row if m == left} & {q for q, m in row if m == right})
        pairs[f"{left}-{right}"] = mean(overlap(row[q, left], row[q, right]) for q in shared)
    assert {name: pair["rbo"] for name, pair in bias["consistency"]["pairs"].items()} == pytest.approx(pairs)
    assert bias["consistency"]["rbo"] == pytest.approx(mean(pairs.values()))


def overlap(left, right):
    depth = min(DEPTH, len(left))
    shares = [len(set(left[:d]) & set(right[:d])) / d for d in range(1, depth + 1)]
    p = PERSISTENCE
    return shares[-1] * p**depth + (1 - p) / p * sum(x * p**d for d, x in enumerate(shares, start=1))


def test_a_language_offset_shows_in_every_measure():
    blind = score_benchmark(*made(4, coverage=1.0)).metrics
    biased = score_benchmark(*made(4, coverage=1.0, shift=3.0)).metrics
    for name in (
        "rank_distance",
        "rank_distance_log",
        "max_rank",
        "own_first",
        "own_lift@10",
        "own_relevant_lift@10",
        "exposure_divergence@10",
    ):
        assert biased["multi"][name] > blind["multi"][name], name
    for name in ("tlr@10", "completion@10"):
        assert biased["multi"][name] < blind["multi"][name], name
    gaps = [m["multi"]["delta_ap_own"] - m["multi"]["delta_ap_other"] for m in (blind, biased)]
    assert gaps[1] > gaps[0] + 0.03
    blind, biased = blind["bias"], biased["bias"]
    assert biased["relevant_lift@10"]["diagonal_preference"] > blind["relevant_lift@10"]["diagonal_preference"] + 0.5
    assert biased["lift@10"]["diagonal_preference"] > blind["lift@10"]["diagonal_preference"] + 1
    assert biased["consistency"]["rbo"] < blind["consistency"]["rbo"]
    assert biased["concordance"]["w"] > blind["concordance"]["w"] + 0.1
    assert blind["concordance"]["w"] == pytest.approx(blind["concordance"]["chance"], abs=0.1)
    geometry = [bias["geometry"] for bias in (blind, biased)]
    for name in ("centroid_variance_share", "language_probe", "alignment_cross", "alignment_translations"):
        assert geometry[1][name] > geometry[0][name], name
    assert geometry[1]["uniformity_within"] > geometry[1]["uniformity_across"]


def test_measures_without_questions_are_left_out():
    """No question is asked in two languages: nothing is parallel but the pool."""
    rng = np.random.default_rng(6)
    queries = tuple(Query(f"q{n}", LANGUAGES[n % 4], "", f"p{n}") for n in range(12))
    candidates = tuple(Candidate(f"c{n}", LANGUAGES[n % 4], "") for n in range(12))
    benchmark = Benchmark(
        "apart", LANGUAGES, queries, candidates, {(q.id, q.language): n for n, q in enumerate(queries)}, "f"
    )
    metrics = score_benchmark(benchmark, *rng.standard_normal((2, 12, 5)).astype(np.float32)).metrics
    assert metrics["bias"]["consistency"] == metrics["bias"]["concordance"] == {}
    assert not {"rank_distance", "own_first", "tlr@10"} & set(metrics["multi"])
    assert "alignment_cross" not in metrics["bias"]["geometry"]
    assert json.dumps(metrics, allow_nan=False)


def test_a_collapsed_encoder_is_scored_without_nan():
    """All embeddings equal, as after a diverged run: measures that are undefined are left out, none fails."""
    benchmark, query_QD, candidate_ND = made(7)
    metrics = score_benchmark(benchmark, np.ones_like(query_QD), np.ones_like(candidate_ND)).metrics
    assert json.dumps(metrics, allow_nan=False)
    assert "centroid_variance_share" not in metrics["bias"]["geometry"]
    assert metrics["bias"]["geometry"]["language_probe"] == pytest.approx(1 / 4)
    assert metrics["bias"]["geometry"]["uniformity_across"] == pytest.approx(0, abs=1e-6)
    assert score_benchmark(benchmark, 0 * query_QD, 0 * candidate_ND).metrics["bias"]["geometry"]
