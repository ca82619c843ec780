"""Questions with several, graded answers, of which languages lack some: everything against lists sorted one by one."""

import gzip
import json
import math
from statistics import mean

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, R, nDCG

from mixlingual.evaluation.parallel import export_lists
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.evaluation.trec import read_run
from mixlingual.measures.uniformity import uniformity
from mixlingual.records import Benchmark, Candidate, Query

LANGUAGES = ("de", "en", "sw", "yo")
"""Nobody asks in the last, and the third has no candidates."""


def made(seed, grades=(1, 2, 3)):
    """Questions of one to three answers; texts are near what they mean, and languages lie apart."""
    rng = np.random.default_rng(seed)
    offset = 0.7 * rng.standard_normal((len(LANGUAGES), 8))
    queries, candidates, gold, answers, query_QD, candidate_ND = [], [], {}, {}, [], []
    for question in range(25):
        meaning = rng.standard_normal(8)
        of_question = [f"a{question}.{n}" for n in range(rng.integers(1, 4))]
        answers[f"q{question}"] = {answer: int(rng.choice(grades)) for answer in of_question}
        for m, language in enumerate(LANGUAGES[:3]):
            if m == question % 3 or rng.random() < 0.6:
                queries.append(Query(f"q{question}", language, "", f"q{question}"))
                query_QD.append(meaning + offset[m])
        for answer in of_question:
            for m, language in enumerate(LANGUAGES):
                if language != "sw" and ((m == 0 and answer.endswith(".0")) or rng.random() < 0.6):
                    gold[answer, language] = len(candidates)
                    candidates.append(Candidate(f"{language}/{answer}", language, ""))
                    candidate_ND.append(meaning + offset[m] + 0.9 * rng.standard_normal(8))
    for n in range(60):
        m = (0, 1, 3)[n % 3]
        candidates.append(Candidate(f"x/{n}", LANGUAGES[m], ""))
        candidate_ND.append(offset[m] + rng.standard_normal(8))
    benchmark = Benchmark(
        "made", LANGUAGES, tuple(queries), tuple(candidates), gold, "f", unit="passage", answers=answers
    )
    return benchmark, np.array(query_QD, np.float32), np.array(candidate_ND, np.float32)


def relevant(benchmark, question, language=None):
    """Candidate's id -> grade."""
    return {
        benchmark.candidates[benchmark.gold[answer, m]].id: grade
        for answer, grade in benchmark.answers[question].items()
        for m in ((language,) if language else benchmark.languages)
        if (answer, m) in benchmark.gold
    }


@pytest.mark.parametrize("grades", [(1,), (1, 2, 3)])
def test_measures_of_quality_equal_those_of_trec_eval(grades):
    benchmark, query_QD, candidate_ND = made(0, grades)
    table = score_benchmark(benchmark, query_QD, candidate_ND, cutoffs=(3,)).per_query
    measures = {
        "ap": AP, "rr": RR, "ndcg@10": nDCG @ 10, "ndcg@3": nDCG @ 3, "r@1": R @ 1, "r@10": R @ 10, "r@3": R @ 3
    }  # fmt: skip
    qrels, run = [], []
    for query, query_D in zip(benchmark.queries, query_QD):
        scored = list(zip(benchmark.candidates, (candidate_ND @ query_D).tolist()))
        for pool in (*LANGUAGES, "all"):
            name = f"{query.id} {query.language} {pool}"
            judged = relevant(benchmark, query.id, None if pool == "all" else pool)
            qrels += [ir_measures.Qrel(name, key, grade) for key, grade in judged.items()]
            run += [ir_measures.ScoredDoc(name, c.id, s) for c, s in scored if pool in (c.language, "all")]
    expected = {(str(m.measure), m.query_id): m.value for m in ir_measures.iter_calc(measures.values(), qrels, run)}
    assert len(table) == len({name for _, name in expected})
    for row in table.to_dict("records"):
        for column, measure in measures.items():
            name = f"{row['query']} {row['query_language']} {row['candidate_language']}"
            assert row[column] == pytest.approx(expected[str(measure), name], abs=1e-6), (column, name)
    assert set(table.candidate_language) == {"de", "en", "yo", "all"}, "the third has nothing to be found"


def reference_of_bias(benchmark, query, ranked):
    """The columns of the pool for one query: means over its answers, each ranked without the query's other answers."""
    language = {candidate.id: candidate.language for candidate in benchmark.candidates}
    every, columns = relevant(benchmark, query.id), []
    for answer in benchmark.answers[query.id]:
        own = {m: benchmark.candidates[n].id for (a, m), n in benchmark.gold.items() if a == answer}
        if not own:
            continue
        pool = [key for key in ranked if key not in every or key in own.values()]
        ranks = {m: pool.index(key) + 1 for m, key in own.items()}
        best, worst, k = min(ranks.values()), max(ranks.values()), len(ranks)
        both = k > 1 and query.language in ranks
        others = [rank for m, rank in ranks.items() if m != query.language]
        shown = sum(rank <= 10 for rank in ranks.values())
        columns.append(
            {
                "rank_distance": worst - best if k > 1 else math.nan,
                "rank_distance_normalized": (worst - best - k + 1) / (len(pool) - k) if k > 1 else math.nan,
                "rank_distance_log": math.log2(worst / best) if k > 1 else math.nan,
                "max_rank": worst,
                "completion@10": float(worst <= 10),
                "own_first": float(ranks[query.language] == best) if both else math.nan,
                "tlr@10": mean(float(rank <= 10) for rank in others) if others else math.nan,
                "own_relevant_lift@10": (ranks[query.language] <= 10) * k / shown
                if shown and query.language in ranks
                else math.nan,
            }
        )
    known = {name: [column[name] for column in columns if not math.isnan(column[name])] for name in columns[0]}
    share = sum(m == query.language for m in language.values()) / len(language)
    top = [language[key] for key in ranked[:10]]
    lift = {"own_lift@10": top.count(query.language) / 10 / share if share else math.nan}
    return {name: mean(values) if values else math.nan for name, values in known.items()} | lift


@pytest.mark.parametrize("seed", range(3))
def test_measures_of_bias_equal_the_sorted_lists(seed):
    benchmark, query_QD, candidate_ND = made(seed)
    scores = score_benchmark(benchmark, query_QD, candidate_ND)
    table = scores.per_query[scores.per_query.setting == "multi"].set_index(["query", "query_language"])
    json.dumps(scores.metrics, allow_nan=False)
    first = []
    for query, query_D in zip(benchmark.queries, query_QD):
        scored = sorted(
            ((float(c_D @ query_D), c.id) for c, c_D in zip(benchmark.candidates, candidate_ND)), reverse=True
        )
        ranked = [key for _, key in scored]
        found = table.loc[query.id, query.language]
        for name, value in reference_of_bias(benchmark, query, ranked).items():
            assert found[name] == pytest.approx(value, rel=1e-5, nan_ok=True), (name, query)
        first.append((query.language, ranked[0] in relevant(benchmark, query.id)))
    shares = scores.metrics["bias"]["first_result"]
    by_language = [mean(right for code, right in first if code == m) for m in LANGUAGES[:3]]
    assert shares["relevant_own"] + shares["relevant_other"] == pytest.approx(mean(by_language))
    assert not any(
        math.isnan(value) for row in scores.metrics["bias"]["lift@10"]["log2"].values() for value in row.values()
    )


def test_a_perfect_ranking_is_without_bias_however_many_answers():
    """All answers come first, those of one in all languages side by side or not: none of them is wrong."""
    languages = ("de", "en")
    candidates = tuple(Candidate(f"{m}/{a}", m, "") for a in "abc" for m in languages)
    gold = {(candidate.id[3:], candidate.language): n for n, candidate in enumerate(candidates)}
    benchmark = Benchmark(
        "made", languages, tuple(Query("q", m, "", "q") for m in languages), candidates, gold, "f",
        answers={"q": {"a": 1, "b": 1}},
    )  # fmt: skip
    score_N = np.array([6, 3, 5, 4, 2, 1], np.float32)  # a in German, both of b, a in English, then c
    multi = score_benchmark(benchmark, np.ones((2, 1), np.float32), score_N[:, None]).metrics["multi"]
    assert (multi["map"], multi["ndcg@10"]) == (1, 1)
    assert (multi["rank_distance"], multi["max_rank"], multi["rank_distance_normalized"]) == (1, 2, 0)


def test_exported_judgements_keep_their_grades(tmp_path):
    benchmark, query_QD, candidate_ND = made(1)
    scores = score_benchmark(benchmark, query_QD, candidate_ND)
    export_lists(tmp_path, benchmark, scores)
    lines = gzip.decompress((tmp_path / "made.qrels.gz").read_bytes()).decode().splitlines()
    written = {}
    for query, _, key, grade in map(str.split, lines):
        written.setdefault(query, {})[key] = int(grade)
    assert written == {f"{query.language}/{query.id}": relevant(benchmark, query.id) for query in benchmark.queries}
    assert read_run(tmp_path / "made.trec.gz").keys() == written.keys()


def test_uniformity_in_blocks_is_that_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    unit_ND = rng.standard_normal((50, 4)).astype(np.float32)
    unit_ND /= np.linalg.norm(unit_ND, axis=1, keepdims=True)
    labels = rng.integers(0, 3, 50), rng.integers(0, 9, 50)
    whole = uniformity(unit_ND, *labels)
    monkeypatch.setattr("mixlingual.measures.uniformity._PAIRS", 7 * 50)
    assert uniformity(unit_ND, *labels) == pytest.approx(whole, rel=1e-6)
