"""Run and qrels files: another reader agrees, ties keep their order, and bad lines are named."""

import gzip

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, nDCG

from mixlingual.data.sources.judged import read_qrels
from mixlingual.evaluation.parallel import export_lists
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.evaluation.trec import read_run, write_qrels, write_run
from mixlingual.records import Benchmark, Candidate, DataError, Query


def test_lists_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    scores = np.sort(rng.standard_normal(50).astype(np.float32))[::-1]
    scores[10:13] = scores[10]
    scores[20] = np.nextafter(scores[21], np.float32(9))
    ids = [f"d{n:02}" for n in range(50)]
    ids[10:13] = sorted(ids[10:13], reverse=True)
    write_run(tmp_path / "a.trec.gz", [("en/q 1".replace(" ", "_"), ids, scores.tolist()), ("q2", ["x"], [1.0])])
    run = read_run(tmp_path / "a.trec.gz")
    assert list(run) == ["en/q_1", "q2"]
    assert [passage for passage, _ in run["en/q_1"]] == ids
    np.testing.assert_array_equal(np.array([score for _, score in run["en/q_1"]], np.float32), scores)


def test_another_evaluator_reads_both_files(tmp_path):
    qrels = {"q1": {"a": 2, "b": 0, "c": 1}, "q2": {"a": 1}}
    write_qrels(tmp_path / "q.gz", qrels)
    write_run(tmp_path / "r.trec.gz", [("q1", ["b", "c", "a"], [3.0, 2.5, 2.5]), ("q2", ["a"], [1.0])])
    texts = [gzip.decompress((tmp_path / name).read_bytes()).decode() for name in ("q.gz", "r.trec.gz")]
    for name, text in zip(("q", "r"), texts):
        (tmp_path / name).write_text(text)
    found = ir_measures.calc_aggregate(
        [AP, nDCG @ 10],
        ir_measures.read_trec_qrels(str(tmp_path / "q")),
        ir_measures.read_trec_run(str(tmp_path / "r")),
    )
    assert found[AP] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert found[nDCG @ 10] == pytest.approx(((1 / np.log2(3) + 2 / 2) / (2 + 1 / np.log2(3)) + 1) / 2)
    assert read_qrels(tmp_path / "q") == qrels


def test_the_order_is_by_score_and_id_whatever_the_ranks_say(tmp_path):
    path = tmp_path / "run.trec"
    path.write_text("q Q0 a 1 0.5 x\nq Q0 c 2 0.5 x\nq Q0 b 3 0.75 x\n")
    assert [passage for passage, _ in read_run(path)["q"]] == ["b", "c", "a"]


def test_scores_that_fp32_does_not_tell_apart_are_tied_as_in_trec_eval(tmp_path):
    path = tmp_path / "run.trec"
    path.write_text("q Q0 a 1 40.000001 x\nq Q0 b 2 40.0 x\n")
    assert [passage for passage, _ in read_run(path)["q"]] == ["b", "a"]
    found = ir_measures.calc_aggregate(
        [RR], [ir_measures.Qrel("q", "a", 1)], list(ir_measures.read_trec_run(str(path)))
    )
    assert found[RR] == 1 / 2


def test_an_exported_run_is_the_ranking_that_was_scored(tmp_path):
    """Candidates permute the same numbers: their scores differ by rounding only, which depends on the product."""
    rng = np.random.default_rng(0)
    number_D = rng.standard_normal(384).astype(np.float32)
    candidate_ND = np.stack([rng.permutation(number_D) for _ in range(300)])
    query_QD = np.full((40, 384), 0.1, np.float32)
    candidates = tuple(Candidate(f"{n % 2}/{n:03}", ("de", "en")[n % 2], "") for n in range(300))
    queries = tuple(Query(f"q{n}", ("de", "en")[n % 2], "", f"p{n}") for n in range(40))
    gold = {(query.id, query.language): n for n, query in enumerate(queries)}
    benchmark = Benchmark("made", ("de", "en"), queries, candidates, gold, "f")
    scores = score_benchmark(benchmark, query_QD, candidate_ND)
    export_lists(tmp_path, benchmark, scores)
    run = read_run(tmp_path / "made.trec.gz")
    assert len({score for _, score in run["de/q0"]}) > 3, "the test needs near ties"
    for query, top_K in zip(queries, scores.top_QK):
        assert [passage for passage, _ in run[f"{query.language}/{query.id}"]] == [candidates[n].id for n in top_K]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 a 1 0.5\n", r"line 1: got 5 fields, expected 6: query Q0 passage rank score tag"),
        ("q Q0 a 1 1 x\nq Q0 b 1 nan x\n", r"line 2: the score 'nan' is no finite number"),
        ("q Q0 a 1 high x\n", r"line 1: the score 'high' is no finite number"),
        ("q Q0 a 1 1 x\nq Q0 a 2 1 x\n", r"line 2: query q lists passage a twice"),
    ],
)
def test_bad_lines_are_named(tmp_path, text, message):
    (tmp_path / "run.trec").write_text(text)
    with pytest.raises(DataError, match=message):
        read_run(tmp_path / "run.trec")


def test_files_as_people_have_them_are_read(tmp_path):
    """A byte order mark, carriage returns and a blank last line; other spaces than ASCII's are part of an id."""
    path = tmp_path / "run.trec"
    path.write_bytes("\ufeffq1 Q0 a\u00a0b 1 3.5 x\r\nq\u30001\tQ0 d2 2 2.5 x\x85y\r\n\n".encode())
    assert read_run(path) == {"q1": [("a\u00a0b", 3.5)], "q\u30001": [("d2", 2.5)]}
