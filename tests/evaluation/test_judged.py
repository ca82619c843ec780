"""Scores of judged benchmarks against ir-measures, with trec_eval's conventions, and MKQA's answers."""

import ir_measures
import numpy as np
import pytest
import torch
from embedding_fixture import source
from ir_measures import RR, R, nDCG

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation.judged import score_judged
from mixlingual.evaluation.judged_metrics import tokens
from mixlingual.evaluation.judged_scores import score_runs
from mixlingual.evaluation.scorer import UNCORRECTED, Share
from mixlingual.measures.measure import OF_LISTS
from mixlingual.records import Candidate, Corpus, DataError, JudgedBenchmark, JudgedTask, MixlingualError, Query

CPU = torch.device("cpu")
CONFIG = EvaluationConfig()
MEASURES = ("ndcg@10", "r@100", "mrr@100")


def embed(texts, side, label):
    """A text is a list of whole numbers: scores are exact, and tie often."""
    return np.array([[float(number) for number in text.split()] for text in texts], np.float32)


def made(rng, code="sw", passages=300, queries=25, name="made"):
    """Queries whose ids are ids of passages too, judgements of several grades, and one query that only qrels name."""
    ids = [f"{n}#{n % 3}" for n in rng.permutation(1000)[:passages]]
    listed = [Candidate(identity, code, " ".join(map(str, rng.integers(-2, 3, 4)))) for identity in ids]
    asked = tuple(Query(ids[n], code, " ".join(map(str, rng.integers(-2, 3, 4))), f"p{n // 2}") for n in range(queries))
    qrels = {query.id: {str(d): int(rng.integers(0, 4)) for d in rng.choice(ids, 60, replace=False)} for query in asked}
    qrels["nobody asks"] = {ids[0]: 1}
    qrels[asked[0].id] = {"not in the corpus": 2, asked[0].id: 1}
    return JudgedTask(asked, code, Corpus(f"{name}/{code}", code, lambda: iter(listed), f"f{code}"), qrels), listed


def score(tasks, measures=MEASURES, **options):
    benchmark = JudgedBenchmark("made", tuple(tasks), measures, "f", **options)
    return score_judged(benchmark, source(embed), "encoding", CONFIG, CPU)[UNCORRECTED]


def test_scores_equal_a_trec_evaluator(tmp_path):
    """The whole ranking, ties and all, goes to ir-measures, which orders it as trec_eval; its RR alone has no cut."""
    task, listed = made(np.random.default_rng(0))
    table = score([task]).per_query.set_index("query")
    run, passage_ND = [], embed([passage.text for passage in listed], "passage", "")
    for query in task.queries:
        scores = passage_ND @ embed([query.text], "query", "")[0]
        run += [ir_measures.ScoredDoc(query.id, passage.id, float(score)) for passage, score in zip(listed, scores)]
        assert len(set(scores.tolist())) < 50, "the test needs ties"
    qrels = [ir_measures.Qrel(q, d, rel) for q, row in task.qrels.items() for d, rel in row.items()]
    names = {"ndcg@10": nDCG @ 10, "r@100": R @ 100, "mrr@100": RR}
    found = {(str(m.measure), m.query_id): m.value for m in ir_measures.iter_calc(names.values(), qrels, run)}
    assert len(table) == len(task.queries) + 1
    for column, measure in names.items():
        for query in task.qrels:
            expected = found.get((str(measure), query), 0.0)
            if measure is RR and expected < 1 / 100:
                expected = 0.0
            assert table.loc[query, column] == pytest.approx(expected, abs=1e-7), (column, query)
        assert table[column].nunique() > 3


def test_queries_of_runs_are_compared_with_those_of_the_benchmark(tmp_path, caplog):
    task, _ = made(np.random.default_rng(0), queries=3)
    benchmark = JudgedBenchmark("made", (task,), MEASURES, "f")
    path = tmp_path / "made/sw-sw.trec"
    path.parent.mkdir()
    asked = [query.id for query in task.queries]
    relevant = max(task.qrels[asked[1]], key=task.qrels[asked[1]].get)
    path.write_text(f"\ufeff{asked[1]} Q0 {relevant} 1 2 x\nx1 Q0 d 1 1 x\nx2 Q0 d 1 1 x\n", encoding="utf-8")
    table = score_runs(benchmark, tmp_path).per_query.set_index("query")
    assert table["mrr@100"].to_dict() == {query: float(query == asked[1]) for query in [*asked, "nobody asks"]}
    assert f"{path} lacks 3 judged queries, which score 0; the first is {asked[0]}" in caplog.text
    assert f"{path} has 2 queries without judgement, left out; the first is x1" in caplog.text
    for text, others in (("x1 Q0 d 1 1 x\n", "1 others, as x1"), ("", "0 others, as none")):
        path.write_text(text)
        with pytest.raises(DataError, match=f"has none of the 4 judged queries, as {asked[0]}, but {others}; see"):
            score_runs(benchmark, tmp_path)


def test_measures_by_hand():
    judged = {"a": 2, "b": 0, "c": 1, "d": -1}
    ndcg_at_10, recall_at_100, reciprocal_rank_at_100 = (OF_LISTS[name] for name in ("ndcg@10", "r@100", "mrr@100"))
    assert ndcg_at_10(["b", "c", "a"], judged) == pytest.approx((1 / np.log2(3) + 2 / 2) / (2 + 1 / np.log2(3)))
    assert ndcg_at_10(["x"] * 10 + ["a"], judged) == 0
    assert recall_at_100(["x"] * 99 + ["c", "a"], judged) == 0.5
    assert reciprocal_rank_at_100(["b", "d", "c"], judged) == pytest.approx(1 / 3)
    assert reciprocal_rank_at_100(["x"] * 100 + ["a"], judged) == 0
    assert [measure([], {"a": 0}) for measure in (ndcg_at_10, recall_at_100, reciprocal_rank_at_100)] == [0, 0, 0]


def test_ids_that_collide_keep_apart():
    """A query's id is the id of its one relevant passage, and of a passage in another language."""
    listed = {code: [Candidate("1", code, "1 0"), Candidate("2", code, "0 1")] for code in ("sw", "yo")}
    tasks = [
        JudgedTask(
            (Query("1", code, text, "1"),),
            code,
            Corpus(f"c/{code}", code, lambda code=code: iter(listed[code]), "f"),
            {"1": {"1": 1}},
        )
        for code, text in (("sw", "1 0"), ("yo", "0 1"))
    ]
    metrics = score(tasks).metrics
    assert metrics["mono"]["languages"]["sw"]["ndcg@10"] == 1
    assert metrics["mono"]["languages"]["yo"]["ndcg@10"] == pytest.approx(1 / np.log2(3))


def test_layout_of_metrics_and_table():
    rng = np.random.default_rng(1)
    sw, _ = made(rng)
    yo, _ = made(rng, "yo", queries=5)
    crossed = JudgedTask(yo.queries, "yo", sw.corpus, {query.id: sw.qrels[sw.queries[0].id] for query in yo.queries})
    scores = score([yo, sw, crossed], note="not comparable with x")
    metrics = scores.metrics
    assert metrics["note"] == "not comparable with x"
    assert (metrics["languages"], metrics["queries"], metrics["complete"]) == (["sw", "yo"], 26 + 6 + 5, True)
    assert set(metrics["mono"]["languages"]) == {"sw", "yo"}
    assert set(metrics["cross"]["pairs"]) == {"yo-sw"}
    table = scores.per_query
    for name in MEASURES:
        means = table[table.setting == "mono"].groupby("query_language")[name].mean()
        assert metrics["mono"][name] == pytest.approx(means.mean(), abs=1e-6)
        assert metrics["mono"]["micro"][name] == pytest.approx(table[table.setting == "mono"][name].mean(), abs=1e-6)
    assert table.loc[table["query"] == sw.queries[3].id, "paragraph"].tolist() == ["p1"]


def test_each_corpus_is_encoded_once_and_searched_once():
    rng = np.random.default_rng(2)
    sw, _ = made(rng)
    other = JudgedTask(sw.queries, "yo", sw.corpus, sw.qrels)
    seen = []

    def watched(texts, side, label):
        seen.append((side, len(texts), label))
        return embed(texts, side, label)

    score_judged(JudgedBenchmark("made", (sw, other), MEASURES, "f"), source(watched), "e", CONFIG, CPU)
    assert [(side, size) for side, size, _ in seen] == [("query", 25), ("query", 25), ("passage", 300)]


def test_encoded_passages_are_kept_for_the_same_encoder(tmp_path):
    task, _ = made(np.random.default_rng(3))
    config = EvaluationConfig(embeddings=str(tmp_path))
    benchmark = JudgedBenchmark("made", (task,), MEASURES, "f")
    first = score_judged(benchmark, source(embed), "one", config, CPU)[UNCORRECTED]

    def no_passages(texts, side, label):
        assert side == "query"
        return embed(texts, side, label)

    assert score_judged(benchmark, source(no_passages), "one", config, CPU)[UNCORRECTED].metrics == first.metrics
    with pytest.raises(AssertionError):
        score_judged(benchmark, source(no_passages), "another", config, CPU)
    changed = JudgedTask(task.queries, "sw", Corpus("made/sw", "sw", task.corpus.read, "other"), task.qrels)
    with pytest.raises(MixlingualError, match="holds the embeddings of"):
        score_judged(JudgedBenchmark("made", (changed,), MEASURES, "f"), source(embed), "one", config, CPU)
    (tmp_path / "one/made/sw/complete.json").rename(tmp_path / "complete.json")
    (tmp_path / "complete.json").rename(tmp_path / "one/made/sw/complete.json")
    assert score_judged(benchmark, source(embed), "one", config, CPU, Share(1, 2)) == {}


def test_a_passage_id_that_comes_twice_is_refused():
    listed = [Candidate(identity, "sw", "1 0") for identity in ("a", "b", "a")]
    task = JudgedTask(
        (Query("q", "sw", "1 0", "q"),), "sw", Corpus("c", "sw", lambda: iter(listed), "f"), {"q": {"a": 1}}
    )
    with pytest.raises(DataError, match="passage id 'a' occurs twice"):
        score([task])


def test_answers_count_as_whole_words_within_a_depth():
    listed = [Candidate(f"d{n:02}", "en", f"{n}") for n in range(30)]
    listed[29] = Candidate("d29", "en", "29")
    texts = {f"d{n:02}": "nothing here" for n in range(30)} | {"d09": "In 1848, ZÜRICH grew.", "d04": "U.S. law"}
    corpus = Corpus("c", "en", lambda: (Candidate(c.id, "en", texts[c.id]) for c in listed), "f")

    def by_number(strings, side, label):
        rows = range(30) if side == "passage" else range(len(strings))
        return np.array([[float(n)] if side == "passage" else [1.0] for n in rows], np.float32)

    asked = {"in 20 no": ("Zürich",), "part of a word": ("184", "ric"), "not in 20": ("u.s.",), "empty": ("",)}
    queries = tuple(Query(name, "de", "", name) for name in asked)
    task = JudgedTask(queries, "de", corpus, {}, asked)
    benchmark = JudgedBenchmark("mkqa", (task,), ("answer_recall@20", "answer_recall@100"), "f")
    table = score_judged(benchmark, source(by_number), "e", CONFIG, CPU)[UNCORRECTED].per_query.set_index("query")
    assert table["answer_recall@20"].tolist() == [0, 0, 0, 0], "the passage is the 21st"
    assert table["answer_recall@100"].tolist() == [1, 0, 1, 0]
    texts["d10"] = texts.pop("d09")
    texts["d09"] = ""
    assert score_judged(benchmark, source(by_number), "e", CONFIG, CPU)[UNCORRECTED].per_query[
        "answer_recall@20"
    ].tolist() == [1, 0, 0, 0]


def test_the_corpus_of_answers_is_read_once_for_all_languages():
    """Every language finds its own answers; what the search stores is a reading of its own."""
    readings = []
    texts = [f"passage {n} tells of nine{n}lives" if n % 2 else f"passage {n} word{n}" for n in range(40)]

    def read():
        readings.append(1)
        return (Candidate(f"d{n}", "en", text) for n, text in enumerate(texts))

    def by_number(strings, side, label):
        numbers = [int(text.split()[1]) if side == "passage" else 1 for text in strings]
        return np.array([[float(number)] for number in numbers], np.float32)

    corpus, answers = Corpus("c", "en", read, "f"), {"de": ("word38", "word18"), "fi": ("word18",), "sw": ("word19",)}
    tasks = tuple(
        JudgedTask((Query("q", code, "1", "q"), Query("r", code, "1", "r")), code, corpus, {}, {"q": held, "r": ("",)})
        for code, held in answers.items()
    )
    benchmark = JudgedBenchmark("mkqa", tasks, ("answer_recall@20", "answer_recall@100"), "f")
    table = score_judged(benchmark, source(by_number), "e", CONFIG, CPU)[UNCORRECTED].per_query
    assert len(readings) == 2, "once to encode, once to look for the answers of all languages"
    rows = table.set_index(["query_language", "query"])
    assert rows.loc[[(code, "q") for code in answers], "answer_recall@20"].tolist() == [1, 0, 0]
    assert rows.loc[[(code, "q") for code in answers], "answer_recall@100"].tolist() == [1, 1, 0]
    assert not rows.xs("r", level="query")[["answer_recall@20", "answer_recall@100"]].to_numpy().any()


def test_words_are_decomposed_and_lower_case():
    assert tokens("Zürich, (U.S.)  x2") == " zu\u0308rich , ( u . s . ) x2 "
    assert tokens("คำถาม") == " คำถาม "
