"""Embeddings from files: any order of rows, and every kind of bad input."""

import numpy as np
import pytest

from mixlingual.evaluation.precomputed import read_embeddings
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.records import Benchmark, Candidate, DataError, Query

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
        ("toy.queries.npy", np.array([[1, 2], [3, 4]]), r"toy.queries.npy: got int64 of shape \[2, 2\] with 2 ids"),
        ("toy.queries.npy", np.array([1.0, 2.0]), r"toy.queries.npy: got float64 of shape \[2\] with 2 ids"),
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
    np.save(folder / "toy.queries.npy", np.array([[np.nan, 0], [1, 0]], np.float32))
    with pytest.raises(DataError, match=r"toy: 1 of 2 query embeddings hold NaN or infinity, first that of q \(en\)"):
        score_benchmark(BENCHMARK, *read_embeddings(BENCHMARK, folder))
