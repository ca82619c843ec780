"""Embeddings from files: order of rows, the same scores as from an encoder, and every kind of bad input."""

import numpy as np
import pytest
import torch
from embedding_fixture import source

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation.judged import score_judged
from mixlingual.evaluation.precomputed import JudgedEmbeddings, read_embeddings
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.evaluation.scorer import UNCORRECTED
from mixlingual.records import Benchmark, Candidate, Corpus, DataError, JudgedBenchmark, JudgedTask, Query

BENCHMARK = Benchmark(
    "toy", ("de", "en"),
    (Query("q", "de", "", "q"), Query("q", "en", "", "q")),
    (Candidate("de/0", "de", ""), Candidate("en/0", "en", ""), Candidate("en/1", "en", "")),
    {("q", "de"): 0, ("q", "en"): 1}, "f",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Rows in another order than the benchmark's, with one that it does not have."""
    np.save(tmp_path / "toy.queries.npy", np.array([[2, 0], [1, 0]], np.float16))
    (tmp_path / "toy.queries.txt").write_text("en/q\nde/q\n")
    np.save(tmp_path / "toy.candidates.npy", np.array([[3, 0], [9, 9], [2, 0], [1, 0]], np.float32))
    (tmp_path / "toy.candidates.txt").write_text("en/1\nother\nen/0\nde/0\n")
    return tmp_path


def test_rows_are_put_in_order(folder):
    query_QD, candidate_ND = read_embeddings(BENCHMARK, folder)
    assert query_QD.dtype == candidate_ND.dtype == np.float32
    np.testing.assert_array_equal(query_QD, [[1, 0], [2, 0]])
    np.testing.assert_array_equal(candidate_ND, [[1, 0], [2, 0], [3, 0]])
    assert score_benchmark(BENCHMARK, query_QD, candidate_ND).metrics["mono"]["languages"]["en"]["mrr"] == 0.5


def test_ids_end_at_line_feeds_only(folder):
    (folder / "toy.candidates.txt").write_bytes("en/1\r\nother\u2028\x85one\r\nen/0\r\nde/0\r\n".encode())
    np.testing.assert_array_equal(read_embeddings(BENCHMARK, folder)[1], [[1, 0], [2, 0], [3, 0]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("toy.candidates.txt", "en/1\nother\nen/1\nde/0\n", r"toy.candidates.txt: the id 'en/1' comes twice"),
        (
            "toy.candidates.txt",
            "en/1\nother\nen/7\nde/0\n",
            r"lacks 1 of 3 ids, the first is 'en/0'; it holds \['en/1'\]",
        ),
        ("toy.candidates.txt", "en/1\nother\n", r"toy.candidates.npy: got float32 of shape \[4, 2\] with 2 ids"),
        (
            "toy.queries.npy",
            np.array([[1, 2], [3, 4]]),
            r"toy.queries.npy: got int64 of shape \[2, 2\]; expected a row",
        ),
        ("toy.queries.npy", np.ones((2, 0)), r"toy.queries.npy: got float64 of shape \[2, 0\]"),
        (
            "toy.queries.npy",
            np.array([[np.nan, 0], [1, 0]]),
            r"toy.queries.npy: 1 embeddings hold NaN or infinity in fp32, first that of en/q",
        ),
        ("toy.queries.npy", np.array([[1, 0], [1e300, 0]]), r"toy.queries.npy: 1 embeddings .* first that of de/q"),
        ("toy.queries.npy", np.array([1.0, 2.0]), r"toy.queries.npy: got float64 of shape \[2\]; expected a row"),
        ("toy.queries.npy", np.array([{}, []], dtype=object), r"toy.queries.npy and toy.queries.txt are needed"),
        ("toy.queries.npy", None, r"toy.queries.npy and toy.queries.txt are needed \(.*No such file"),
    ],
)
def test_bad_files_are_refused(folder, name, content, message):
    path = folder / name
    path.unlink()
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(DataError, match=message):
        read_embeddings(BENCHMARK, folder)


def test_embeddings_of_two_widths_or_with_nan_are_refused_when_scored(folder):
    np.save(folder / "toy.queries.npy", np.ones((2, 3), np.float32))
    with pytest.raises(DataError, match=r"toy: got candidate embeddings of shape \[3, 2\]; .* \(3\)"):
        score_benchmark(BENCHMARK, *read_embeddings(BENCHMARK, folder))
    bad_QD = np.array([[1, 0], [np.nan, 0]], np.float32)
    with pytest.raises(DataError, match=r"toy: 1 of 2 query embeddings hold NaN or infinity, first that of q \(en\)"):
        score_benchmark(BENCHMARK, bad_QD, np.ones((3, 2), np.float32))


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_scores_that_fp32_does_not_hold_are_refused(folder, scale):
    with pytest.raises(DataError, match=r"toy: scores leave the range of fp32"):
        score_benchmark(BENCHMARK, *(side_ND * np.float32(scale) for side_ND in read_embeddings(BENCHMARK, folder)))


WIDTH, PASSAGES = 4, 30


def judged():
    """Two languages asked in one corpus; texts are numbers."""
    listed = [Candidate(f"d{n}", "sw", str(n)) for n in range(PASSAGES)]
    corpus = Corpus("toy/sw", "sw", lambda: iter(listed), "f")
    tasks = [
        JudgedTask(
            tuple(Query(f"q{n}", code, str(100 + n), f"q{n}") for n in range(5)),
            code,
            corpus,
            {f"q{n}": {f"d{n}": 1} for n in range(5)},
        )
        for code in ("sw", "en")
    ]
    return JudgedBenchmark("toy", tuple(tasks), ("ndcg@10", "r@100"), "f")


def by_number(texts, side="passage", label=""):
    return np.array([np.random.default_rng(int(text)).standard_normal(WIDTH) for text in texts], np.float32)


@pytest.fixture
def judged_folder(tmp_path):
    """Queries in another order, and a passage that the corpus does not have."""
    ids = [f"{code}/q{n}" for n in reversed(range(5)) for code in ("en", "sw")]
    np.save(tmp_path / "toy.queries.npy", by_number([str(100 + int(identity[-1])) for identity in ids]))
    (tmp_path / "toy.queries.txt").write_text("".join(f"{identity}\n" for identity in ids))
    (tmp_path / "toy").mkdir()
    numbers = [*range(10), 999, *range(10, PASSAGES)]
    np.save(tmp_path / "toy/sw.npy", by_number(list(map(str, numbers))))
    (tmp_path / "toy/sw.txt").write_text("".join(f"d{n}\n" for n in numbers))
    return tmp_path


def score_files(folder, **options):
    files = JudgedEmbeddings(judged(), folder)
    return score_judged(judged(), files, files.encoding(), EvaluationConfig(**options), torch.device("cpu"))[
        UNCORRECTED
    ]


def test_judged_embeddings_score_as_the_encoder_that_made_them(judged_folder):
    plain = score_judged(judged(), source(by_number), "e", EvaluationConfig(), torch.device("cpu"))[UNCORRECTED]
    found = score_files(judged_folder)
    assert found.per_query.equals(plain.per_query)
    assert 0 < found.metrics["mono"]["ndcg@10"] < 1
    assert (plain.metrics["passages_cut"], plain.metrics["queries_cut"]) == (0, 0)
    assert not {"passages_cut", "queries_cut"} & set(found.metrics), "nobody knows what another program cut"


def test_changed_files_are_not_taken_for_those_encoded_before(judged_folder, tmp_path):
    first = score_files(judged_folder, embeddings=str(tmp_path / "kept")).per_query
    np.save(judged_folder / "toy/sw.npy", np.load(judged_folder / "toy/sw.npy")[::-1])
    assert not score_files(judged_folder, embeddings=str(tmp_path / "kept")).per_query.equals(first)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("toy/sw.txt", "".join(f"d{n}\n" for n in range(29)), r"sw.txt lacks the passage 'd29'"),
        ("toy/sw.txt", "".join(f"d{n}\n" for n in [1, 0, *range(2, 30)]), r"lacks the passage 'd1', or has it before"),
        ("toy/sw.npy", np.ones((20, WIDTH), np.float32), r"sw.npy: got float32 of shape \[20, 4\] with 31 ids"),
        ("toy/sw.npy", np.ones((31, 3), np.float32), r"sw.npy: got embeddings of width 3; .* have 4"),
        ("toy/sw.npy", np.full((31, WIDTH), np.inf, np.float32), r"sw.npy: 30 embeddings hold NaN .* d0"),
        ("toy/sw.npy", np.full((31, WIDTH), 1e25, np.float32), r"toy/sw: 30 of 30 embeddings do not fit into fp16"),
        ("toy.queries.npy", np.full((10, WIDTH), 1e35, np.float32), r"toy: scores leave the range of fp32"),
        ("toy/sw.npy", np.ones((31, WIDTH), int), r"sw.npy: got int64 of shape"),
        ("toy/sw.npy", None, r"toy/sw.npy and sw.txt are needed \(.*No such file"),
        ("toy.queries.txt", "x\n" * 10, r"toy.queries.txt: the id 'x' comes twice"),
        ("toy.queries.npy", np.full((10, WIDTH), np.nan, np.float32), r"toy.queries.npy: 10 embeddings .* sw/q0"),
    ],
)
def test_bad_judged_files_are_refused(judged_folder, name, content, message):
    (judged_folder / name).unlink()
    if isinstance(content, str):
        (judged_folder / name).write_text(content)
    elif content is not None:
        np.save(judged_folder / name, content)
    with pytest.raises(DataError, match=message):
        score_files(judged_folder)
