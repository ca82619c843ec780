"""Evaluation of an encoder on several benchmarks, with benchmarks made here."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingual.config.names import BENCHMARKS, module_names
from mixlingual.config.schema import EvaluationConfig, PostHocConfig
from mixlingual.data import benchmarks, registry
from mixlingual.data.registry import load_benchmarks
from mixlingual.evaluation import suite
from mixlingual.evaluation.encode import CutTexts, Embedded
from mixlingual.evaluation.post_hoc import fit_corrections
from mixlingual.evaluation.protocol import per_query_columns
from mixlingual.evaluation.scorer import Share
from mixlingual.evaluation.suite import evaluate_encoder
from mixlingual.records import (
    Benchmark,
    Candidate,
    Corpus,
    DataError,
    JudgedBenchmark,
    JudgedTask,
    ParallelCorpus,
    ParallelItem,
    Query,
)

CPU = torch.device("cpu")
LANGUAGES = ("de", "en")


class NumberTokenizer:
    """The text is a number, and the number is its one token; counts the texts it sees."""

    def __init__(self):
        self.seen = []

    def encode_marked(self, texts, side):
        self.seen.append((side, len(texts)))
        return [[int(text)] for text in texts], [side == "passage" and int(text) > 3 for text in texts]

    def counts(self, texts):
        return [int(text) for text in texts]


class OneHotEncoder(torch.nn.Module):
    """Equal numbers match, others do not: a perfect retriever."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(32))
        self.modes = []
        self.normalize = True

    def embed(self, token_id_S, length_B):
        self.modes.append((self.training, self.weight.dtype))
        assert set(length_B.tolist()) == {1}
        return self.weight[token_id_S]


def parallel_benchmark(name, questions):
    """Question q asks for number q in both languages, among numbers that nothing asks for."""
    numbers = range(1, questions + 6)
    candidates = [Candidate(f"{language}/{n:02}", language, str(n)) for language in LANGUAGES for n in numbers]
    place = {candidate.id: position for position, candidate in enumerate(candidates)}
    asked = [(language, n) for language in LANGUAGES for n in range(1, questions + 1)]
    queries = [Query(str(n), language, str(n), str(n)) for language, n in asked]
    gold = {(str(n), language): place[f"{language}/{n:02}"] for language, n in asked}
    return Benchmark(name, LANGUAGES, tuple(queries), tuple(candidates), gold, f"print of {name}")


@pytest.fixture
def loads(monkeypatch):
    """The calls of load_benchmark, which serves benchmarks made here."""
    calls = []

    def load(name, config):
        calls.append((name, config.folder, config.languages, config.unit))
        if name == "xquad_r" and config.folder == Path("/nowhere"):
            raise DataError("missing file")
        return parallel_benchmark(name, 4 if name == "atlas" else 7)

    monkeypatch.setattr(registry, "load_benchmark", load)
    return calls


def evaluated(encoder, tokenizer, config):
    return evaluate_encoder(encoder, tokenizer, load_benchmarks(config), config, CPU)


def test_every_benchmark_is_scored(loads):
    config = EvaluationConfig(benchmarks=["atlas", "mlqa_r"], root="/some/where", languages=["de", "en"])
    scores = evaluated(OneHotEncoder(), NumberTokenizer(), config)
    assert loads == [(name, Path("/some/where"), ["de", "en"], "sentence") for name in ("atlas", "mlqa_r")]
    assert list(scores.benchmarks) == ["atlas", "mlqa_r"]
    assert scores.benchmarks["atlas"]["queries"] == 8
    assert scores.benchmarks["mlqa_r"]["candidates"] == 24
    for metrics in scores.benchmarks.values():
        assert [metrics[setting]["map"] for setting in ("mono", "cross", "multi")] == [1, 1, 1]
        assert metrics["multi"]["rank_distance"] == 1
    assert scores.fingerprints == {"atlas": "print of atlas", "mlqa_r": "print of mlqa_r"}
    assert list(scores.timings) == ["evaluate/atlas", "evaluate/mlqa_r"]
    assert all(seconds > 0 for seconds in scores.timings.values())
    assert scores.per_query.groupby("benchmark").size().to_dict() == {"atlas": 24, "mlqa_r": 42}
    assert np.array_equal(scores.per_query.index, np.arange(66))


TOY = """
from mixlingual.records import Benchmark, Candidate, Query

def load(config):
    listed = [Candidate(f"{code}/{n}", code, str(n)) for code in ("de", "en") for n in range(9)]
    asked = [(code, n) for code in ("de", "en") for n in range(3)]
    queries = tuple(Query(str(n), code, str(n), str(n)) for code, n in asked)
    gold = {(str(n), code): n + 9 * (code == "en") for code, n in asked}
    return Benchmark("toy", ("de", "en"), queries, tuple(listed), gold, config.unit)
"""


def test_a_new_benchmark_is_one_file(tmp_path, monkeypatch):
    """It is offered by the name of its module and scored as any other."""
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "_helper.py").write_text("")
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(tmp_path)])
    assert module_names(tmp_path) == ("toy",)
    assert module_names(Path(benchmarks.__file__).parent) == BENCHMARKS
    scores = evaluated(OneHotEncoder(), NumberTokenizer(), EvaluationConfig(benchmarks=["toy"], unit="paragraph"))
    assert scores.benchmarks["toy"]["multi"]["map"] == 1
    assert scores.fingerprints == {"toy": "paragraph"}
    monkeypatch.delitem(sys.modules, "mixlingual.data.benchmarks.toy")


def test_each_text_is_encoded_once(loads):
    tokenizer = NumberTokenizer()
    evaluated(OneHotEncoder(), tokenizer, EvaluationConfig(benchmarks=["atlas"]))
    assert tokenizer.seen == [("query", 4), ("passage", 9)]
    assert loads == [("atlas", None, None, "sentence")]


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_evaluates_in_fp32_and_gets_its_mode_back(loads, training):
    encoder = OneHotEncoder().to(torch.bfloat16).train(training)
    evaluated(encoder, NumberTokenizer(), EvaluationConfig(benchmarks=["atlas"]))
    assert set(encoder.modes) == {(False, torch.float32)}
    assert encoder.training is training


def test_the_mode_comes_back_after_a_failure(loads):
    encoder = OneHotEncoder().train()
    encoder.weight.data[3] = torch.nan
    with pytest.raises(Exception, match="atlas queries: 2 of 8"):
        evaluated(encoder, NumberTokenizer(), EvaluationConfig(benchmarks=["atlas"]))
    assert encoder.training


def test_missing_files_are_reported_when_benchmarks_are_read(loads):
    with pytest.raises(DataError, match="missing file"):
        load_benchmarks(EvaluationConfig(benchmarks=["atlas", "xquad_r"], root="/nowhere"))


def test_no_benchmarks_give_an_empty_result(loads):
    scores = evaluated(OneHotEncoder(), NumberTokenizer(), EvaluationConfig(benchmarks=[]))
    assert (scores.benchmarks, scores.timings, scores.fingerprints) == ({}, {}, {})
    assert tuple(scores.per_query.columns) == per_query_columns()
    assert scores.per_query.empty


def test_corrections_are_scored_beside_the_encoder(loads, monkeypatch):
    items = tuple(
        ParallelItem(
            str(n), "s", {language: str(n) for language in LANGUAGES}, {language: str(n + 9) for language in LANGUAGES}
        )
        for n in range(1, 9)
    )
    corpus = ParallelCorpus("made", items, LANGUAGES, {"s": 1.0}, "f")
    monkeypatch.setattr(suite, "load_corpus", lambda config: corpus)
    tokenizer = NumberTokenizer()
    config = EvaluationConfig(benchmarks=["atlas"])
    scores = evaluate_encoder(
        OneHotEncoder(), tokenizer, load_benchmarks(config), config, CPU, PostHocConfig(methods=["centering", "lir"])
    )
    assert list(scores.corrected) == ["centering", "lir"]
    assert scores.corrected["centering"].benchmarks["atlas"].keys() == scores.benchmarks["atlas"].keys()
    assert scores.corrected["lir"].benchmarks != scores.benchmarks
    assert tokenizer.seen.count(("query", 4)) == 1, "the benchmark is encoded once"


def test_only_the_first_process_fits_corrections(loads, monkeypatch):
    monkeypatch.setattr(suite, "load_corpus", lambda config: pytest.fail("read the training texts"))
    tokenizer, config = NumberTokenizer(), EvaluationConfig(benchmarks=["atlas"])
    scores = evaluate_encoder(
        OneHotEncoder(), tokenizer, load_benchmarks(config), config, CPU, PostHocConfig(methods=["lir"]), Share(1, 2)
    )
    assert (scores.benchmarks, scores.corrected, tokenizer.seen) == ({}, {}, [])


def test_cut_texts_are_counted_and_named(loads, caplog):
    """Numbers above 3 are cut as passages: 6 of 9 candidates in each language. No question is."""
    with caplog.at_level("WARNING"):
        metrics = evaluated(OneHotEncoder(), NumberTokenizer(), EvaluationConfig(benchmarks=["atlas"])).benchmarks[
            "atlas"
        ]
    assert (metrics["passages_cut"], metrics["queries_cut"]) == (6 / 9, 0)
    assert "atlas: 66.7 % of the passages are cut" in caplog.text
    assert "raise model.max_passage_length" in caplog.text
    assert metrics["token_parity"] == {"de": 1, "en": 1}, "each question is one number in both languages"


def test_one_in_a_hundred_is_cut_in_silence(caplog):
    for passages, warns in ((1, False), (2, True)):
        cut = CutTexts()
        cut.add("passage", 100, passages)
        assert cut.shares("x") == {"passages_cut": passages / 100}
        assert ("are cut" in caplog.text) is warns


def test_further_cutoffs_are_columns_and_means(loads):
    config = EvaluationConfig(benchmarks=["atlas"], cutoffs=[3, 10])
    scores = evaluated(OneHotEncoder(), NumberTokenizer(), config)
    assert tuple(scores.per_query.columns) == (*per_query_columns(), "ndcg@3", "r@3")
    assert [scores.benchmarks["atlas"]["multi"][name] for name in ("ndcg@3", "r@3")] == [1, 1]
    assert "r@3" in scores.benchmarks["atlas"]["mono"]["languages"]["de"]


@pytest.mark.parametrize("post_hoc", [["centering"], ["lir"], ["shift"]])
def test_corrections_of_judged_benchmarks_equal_those_of_vectors(monkeypatch, post_hoc):
    """Scores with a correction are those of the corrected embeddings as another encoder would give them."""
    items = tuple(
        ParallelItem(
            str(n),
            "s",
            {"de": str((n + 3) % 32), "en": str((n + 5) % 32)},
            {"de": str((2 * n + 3) % 32), "en": str((2 * n + 5) % 32)},
        )
        for n in range(20)
    )
    corpus = ParallelCorpus("made", items, LANGUAGES, {"s": 1.0}, "f")
    monkeypatch.setattr(suite, "load_corpus", lambda config: corpus)
    monkeypatch.setattr(suite, "encoder_fingerprint", lambda *_: "e")
    encoder = OneHotEncoder()
    encoder.weight.data = torch.nn.functional.normalize(torch.randn(32, 8, generator=torch.manual_seed(0)))
    listed = [Candidate(f"d{n}", "de", str(n)) for n in range(32)]
    queries = tuple(Query(f"q{n}", "en", str(n), "p") for n in range(12))
    task = JudgedTask(
        queries, "en", Corpus("c/de", "de", lambda: iter(listed), "f"), {f"q{n}": {f"d{n + 3}": 1} for n in range(12)}
    )
    benchmark = JudgedBenchmark("miracl", (task,), ("ndcg@10", "r@100"), "f")
    config = PostHocConfig(methods=post_hoc, components=2, strength=3.0)
    scores = evaluate_encoder(encoder, NumberTokenizer(), [benchmark], EvaluationConfig(), CPU, config)
    weight_ND = encoder.weight.detach().numpy()

    def embed(texts, side, label=""):
        return Embedded(weight_ND[[int(text) for text in texts]], 0)

    correct = fit_corrections(corpus, ["de", "en"], config, embed, normalize=True)[post_hoc[0]]
    query_QD = correct(weight_ND[:12], ["en"] * 12, "query")
    passage_ND = correct(weight_ND.astype(np.float16).astype(np.float32), ["de"] * 32, "passage")
    expected = []
    for n, row in enumerate(query_QD @ passage_ND.T):
        rank = sorted(range(32), key=lambda m: -row[m]).index(n + 3) + 1
        expected.append(1 / np.log2(1 + rank) if rank <= 10 else 0)
    corrected = scores.corrected[post_hoc[0]].benchmarks["miracl"]["cross"]
    assert corrected["ndcg@10"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert corrected != scores.benchmarks["miracl"]["cross"]
