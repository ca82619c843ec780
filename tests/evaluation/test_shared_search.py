"""Search by several processes: two real ones find what one finds, bit for bit; who does not answer is named."""

import gzip
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from embedding_fixture import by_text, source

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation import judged, shards
from mixlingual.evaluation.judged import score_judged
from mixlingual.evaluation.post_hoc import Correction, Map
from mixlingual.evaluation.scorer import UNCORRECTED, Share
from mixlingual.evaluation.search import search
from mixlingual.evaluation.shards import Shards, encode_corpus, open_shards
from mixlingual.evaluation.shared_search import Meeting, Order
from mixlingual.evaluation.suite import score_foreign
from mixlingual.records import Candidate, Corpus, JudgedBenchmark, JudgedTask, MixlingualError, Query

CPU = torch.device("cpu")
WIDTH = 16
NOWHERE, NO_DIRECTION = np.zeros(WIDTH, np.float32), np.zeros((0, WIDTH), np.float32)
FIRST_TWO = Map(NOWHERE, np.eye(WIDTH, dtype=np.float32)[:2])
CORRECTIONS = {
    "shift": Correction({("passage", "sw"): Map(NOWHERE + 1, NO_DIRECTION)}, normalize=True),
    "lir": Correction({(side, "sw"): FIRST_TWO for side in ("query", "passage")}, normalize=False),
}


def embed(texts, side="passage", label=""):
    """Random by the number that a text is; passages 200 apart are alike, hence tied, in shards of other processes."""
    numbers = [int(text) if int(text) >= 5000 else int(text) % 200 for text in texts]
    return np.array([np.random.default_rng(n).standard_normal(WIDTH) for n in numbers], np.float32)


def made(corpora=("sw", "yo"), passages=330):
    """Two corpora; shards of 40 passages make nine of each, the last one short."""
    tasks = []
    for code in corpora:
        ids = [f"d{n}" for n in np.random.default_rng(len(code)).permutation(10 * passages)[:passages]]
        listed = [Candidate(name, code, str(n)) for n, name in enumerate(ids)]
        asked = tuple(Query(f"q{n}", code, str(5000 + n), f"q{n}") for n in range(20))
        qrels = {query.id: {ids[n]: 1 for n in range(0, passages, 9)} for query in asked}
        tasks.append(JudgedTask(asked, code, Corpus(f"made/{code}", code, partial(iter, listed), f"f{code}"), qrels))
    return JudgedBenchmark("made", tuple(tasks), ("ndcg@10", "r@100"), "f")


def scored(folder, part, parts, **options):
    """Scores with the runs that were written."""
    judged.encode_corpus = partial(encode_corpus, shard_passages=40)
    config = EvaluationConfig(embeddings=str(folder), runs=str(folder / "runs"), **options)
    corrections = CORRECTIONS if part == 0 else None
    return score_judged(made(), source(embed), "e", config, CPU, Share(part, parts), corrections, "label")


def scored_foreign(folder, part, parts):
    """Scores of the embeddings of `written`, shared by so many processes."""
    judged.encode_corpus = partial(encode_corpus, shard_passages=40)
    config = EvaluationConfig(embeddings=str(folder / "kept"), wait_minutes=1.0)
    return score_foreign([made()], config, folder / "theirs", Share(part, parts)).benchmarks


def written(folder):
    """The embeddings of `made`, as another program would write them."""
    benchmark = made()
    (folder / "made").mkdir(parents=True)
    asked = [(f"{task.language}/{query.id}", query.text) for task in benchmark.tasks for query in task.queries]
    files = {"made.queries": asked}
    files |= {task.corpus.name: [(passage.id, passage.text) for passage in task.corpus] for task in benchmark.tasks}
    for name, rows in files.items():
        np.save(folder / f"{name}.npy", embed([text for _, text in rows]))
        (folder / f"{name}.txt").write_text("".join(f"{identity}\n" for identity, _ in rows))


PROCESS = """
import json, sys
from pathlib import Path
sys.path[:0] = {folders!r}
from mixlingual.evaluation import shards
shards._POLL_SECONDS = 0.01
import test_shared_search
folder, part, parts, how, options = sys.argv[1:]
found = getattr(test_shared_search, how)(Path(folder), int(part), int(parts), **json.loads(options))
print(json.dumps({{name: getattr(scores, "metrics", scores) for name, scores in found.items()}}))
"""
SCRIPT = PROCESS.format(folders=[str(folder) for folder in Path(__file__).parents[:2]])


def in_processes(folder, parts, how="scored", **options):
    """The output of each of so many processes, the first started last."""
    arguments = [how, json.dumps(options)]
    running = {
        part: subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(part), str(parts), *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in reversed(range(parts))
    }
    outputs = [running[part].communicate(timeout=300)[0] for part in range(parts)]
    assert [process.returncode for process in running.values()] == [0] * parts
    return [json.loads(output) for output in outputs]


def test_two_processes_share_the_embeddings_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(judged, "encode_corpus", None)
    for side in ("one", "two"):
        written(tmp_path / side / "theirs")
    one = scored_foreign(tmp_path / "one", 0, 1)
    first, second = in_processes(tmp_path / "two", 2, "scored_foreign")
    assert (first, second) == (json.loads(json.dumps(one)), {})
    assert 0 < one["made"]["mono"]["ndcg@10"] < 1
    assert len(list((tmp_path / "two").rglob("*-of-2.npz"))) == 4, "each searched its shards of both corpora"


def test_an_approximate_search_is_the_first_process_s_alone(tmp_path, monkeypatch):
    """The others encode their shards, and end."""
    pytest.importorskip("faiss", reason="needs faiss")
    monkeypatch.setattr(judged, "encode_corpus", None)
    one = {how: scores.metrics for how, scores in scored(tmp_path / "one", 0, 1, search="ivf", probes=2).items()}
    first, second = in_processes(tmp_path / "two", 2, search="ivf", probes=2, wait_minutes=1.0)
    assert (first, second) == (json.loads(json.dumps(one)), {})
    assert 0.2 < one[UNCORRECTED]["search_recall@100"] < 1
    assert not list((tmp_path / "two").rglob("*.npz"))


def test_two_processes_find_what_one_finds_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(judged, "encode_corpus", None)
    one = {name: scores.metrics for name, scores in scored(tmp_path / "one", 0, 1).items()}
    first, second = in_processes(tmp_path / "two", 2, wait_minutes=1.0)
    assert second == {}, "the first scores"
    assert first == json.loads(json.dumps(one))
    assert set(one) == {UNCORRECTED, "shift", "lir"}
    assert len({metrics["mono"]["ndcg@10"] for metrics in one.values()}) == 3, "the corrections change the ranking"
    for code in ("sw-sw", "yo-yo"):
        runs = [
            gzip.decompress((tmp_path / side / f"runs/made/{code}.trec.gz").read_bytes()) for side in ("one", "two")
        ]
        assert len(runs[0].splitlines()) == 2000
        assert runs[0] == runs[1], "passages and scores to the last bit"
    answers = [path.name for path in (tmp_path / "two").rglob("*-of-2.npz")]
    assert len(answers) == 4, "each searched its shards of both corpora"


def test_a_process_without_a_shard_has_nothing_to_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(judged, "encode_corpus", encode_corpus)
    assert scored(tmp_path, 10, 11) == {}
    assert not list(tmp_path.rglob("*-of-11.npz"))


@pytest.fixture
def corpus_folder(tmp_path):
    """Four shards of ten passages."""
    listed = [Candidate(f"d{n}", "sw", str(n)) for n in range(40)]
    encode_corpus(Corpus("c", "sw", lambda: iter(listed), "f"), by_text(embed), tmp_path / "c", "e", shard_passages=10)
    return tmp_path / "c"


def find(order, held):
    return search(order.query_QD, held.changed(order.correct), 7, memory_mib=1, device=CPU)


def part_of(folder, part):
    return Shards(folder, range(part, 4, 2), 10)


def test_answers_to_other_orders_are_never_merged(corpus_folder, monkeypatch):
    """What a killed run left is used for the same orders, and for no others."""
    monkeypatch.setattr(shards, "_POLL_SECONDS", 0.001)
    old, new = ({UNCORRECTED: Order(embed([str(n)]))} for n in (7000, 7001))
    meetings = [Meeting(corpus_folder / "search", part, 2, 0.0001) for part in range(2)]
    meetings[0].publish(old)
    for part, meeting in enumerate(meetings):
        meeting.answer(part_of(corpus_folder, part), find)
    whole = open_shards(corpus_folder)
    expected = find(old[UNCORRECTED], whole)
    np.testing.assert_array_equal(meetings[0].collect(old, whole, 7)[UNCORRECTED].position_QK, expected.position_QK)
    meetings[0].publish(new)
    meetings[0].answer(part_of(corpus_folder, 0), find)
    with pytest.raises(MixlingualError, match=r"waited 0.0001 minutes for the search of process 1 .*wait_minutes"):
        meetings[0].collect(new, whole, 7)
    meetings[1].answer(part_of(corpus_folder, 1), lambda *_: find(new[UNCORRECTED], part_of(corpus_folder, 1)))
    found = meetings[0].collect(new, whole, 7)[UNCORRECTED]
    np.testing.assert_array_equal(found.position_QK, find(new[UNCORRECTED], whole).position_QK)
    meetings[0].publish(new)
    meetings[1].answer(part_of(corpus_folder, 1), lambda *_: pytest.fail("searched again"))


def test_queries_that_never_come_are_named(corpus_folder, monkeypatch):
    monkeypatch.setattr(shards, "_POLL_SECONDS", 0.001)
    meeting = Meeting(corpus_folder / "search", 1, 2, 0.0001)
    with pytest.raises(MixlingualError, match=r"for the queries of process 0 \(.*orders.npz\), one of 1 files"):
        meeting.answer(part_of(corpus_folder, 1), find)
