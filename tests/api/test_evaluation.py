"""`evaluate_encoder` for whatever encodes: one table, and the figures of the evaluation itself."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from custom_folder import write_parallel

import mixlingual
from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_corpus, atlas_items
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.evaluation.trec import read_run
from mixlingual.grid.cell import corpus_texts
from mixlingual.measures.geometry import unit
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError

SETTINGS = ("mono", "cross", "multi", "bias")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = ModelConfig(
        scratch=ScratchConfig(1, 32, 2, 64, 900), query_prefix="q: ", passage_prefix="p: ",
        max_query_length=40, max_passage_length=50,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("encoder") / "model"
    save_encoder(*load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed=0), folder)
    return folder


@pytest.fixture(scope="module")
def by_folder(checkpoint):
    return mixlingual.evaluate_encoder(checkpoint, "atlas", languages=["de", "en"], device="cpu")


def letters(texts):
    """Counts of letters, an encoder that needs no model."""
    return np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz "] for text in texts], float)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import mixlingual, sys; dir(mixlingual); mixlingual.batches.Plan\n"
        "heavy = {'torch', 'pandas', 'hydra', 'transformers', 'scipy', 'pyarrow'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    for name in mixlingual.__all__:
        assert getattr(mixlingual, name).__doc__, name
    assert set(mixlingual.__all__) == set(mixlingual._HOMES) <= set(dir(mixlingual))
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        mixlingual.evaluat  # noqa: B018


def test_a_function_scores_what_its_arrays_score():
    benchmark = mixlingual.load_benchmark("atlas", languages=["de", "en"])
    arrays = {
        "queries": letters([query.text for query in benchmark.queries]),
        "candidates": letters([candidate.text for candidate in benchmark.candidates]),
    }
    expected = score_benchmark(benchmark, *(array.astype(np.float32) for array in arrays.values())).metrics
    for encode in (letters, (letters, letters), arrays, lambda texts: torch.tensor(letters(texts)), _Ours(), _Theirs()):
        found = mixlingual.evaluate_encoder(encode, "atlas", languages=["de", "en"]).metrics["atlas"]
        assert {name: found[name] for name in SETTINGS} == {name: expected[name] for name in SETTINGS}
    cosine = score_benchmark(benchmark, *(unit(array.astype(np.float32)) for array in arrays.values())).metrics
    found = mixlingual.evaluate_encoder(arrays, "atlas", languages=["de", "en"], similarity="cosine")
    assert found.metrics["atlas"]["multi"] == cosine["multi"] != expected["multi"]


class _Ours:
    encode_queries = encode_passages = staticmethod(letters)


class _Theirs:
    """As a SentenceTransformer that compares by inner products."""

    similarity_fn_name = "dot"
    encode_query = encode_document = staticmethod(letters)


def test_sides_are_told_apart():
    seen = {"query": set(), "passage": set()}

    def spy(side):
        def encode(texts):
            assert not seen[side] & set(texts), "each distinct text once"
            seen[side] |= set(texts)
            return letters(texts)

        return encode

    mixlingual.evaluate_encoder((spy("query"), spy("passage")), "atlas", languages=["de", "en"])
    benchmark = mixlingual.load_benchmark("atlas", languages=["de", "en"])
    assert seen["query"] == {query.text for query in benchmark.queries}
    assert seen["passage"] == {candidate.text for candidate in benchmark.candidates}


def test_a_folder_a_loaded_encoder_and_a_sentence_transformer_agree(checkpoint, by_folder):
    from sentence_transformers import SentenceTransformer

    loaded = mixlingual.load_encoder(checkpoint, device="cpu")
    again = mixlingual.evaluate_encoder(loaded, "atlas", languages=["de", "en"])
    assert again.metrics == by_folder.metrics
    theirs = mixlingual.evaluate_encoder(
        SentenceTransformer(str(checkpoint), device="cpu"), "atlas", languages=["de", "en"]
    )
    for setting in ("mono", "cross", "multi"):
        ours = by_folder.metrics["atlas"][setting]["map"]
        assert theirs.metrics["atlas"][setting]["map"] == pytest.approx(ours, abs=2e-3)
    assert theirs.metrics["atlas"]["token_parity"] == {}, "nobody knows its tokens"
    assert by_folder.metrics["atlas"]["token_parity"]["de"] > 0


def test_a_trained_encoder_encodes_both_sides(checkpoint):
    encoder = mixlingual.load_encoder(checkpoint, device="cpu")
    queries, passages = encoder.encode_queries(["Wo?", "Wo?"]), encoder.encode_passages(["Wo?"])
    assert queries.shape == (2, encoder.dimension) == (2, 32)
    assert np.array_equal(queries[0], queries[1])
    assert not np.allclose(queries[0], passages[0]), "their prefixes differ"
    assert np.linalg.norm(queries, axis=1) == pytest.approx(1, abs=1e-6)
    assert encoder.normalizes
    assert encoder.encode_queries([]).shape == (0, 32)
    with pytest.raises(MixlingualError, match=r"load_encoder got options prefix; allowed: name, checkpoint"):
        mixlingual.load_encoder(checkpoint, prefix="x")
    for option, value in {"precision": "auto", "device": "meta", "pooling": "avg"}.items():
        with pytest.raises(MixlingualError, match=f"load_encoder got {option}='{value}'; allowed: "):
            mixlingual.load_encoder(checkpoint, **{option: value})


def test_a_benchmark_of_ones_own_and_several_at_once(tmp_path):
    write_parallel(tmp_path / "mine", atlas_items()[:20], ("de", "en"))
    write_parallel(tmp_path / "alone", atlas_items()[:20], ("de",))
    found = mixlingual.evaluate_encoder(letters, [tmp_path / "mine", "atlas", tmp_path / "alone"], languages=["de"])
    assert list(found.metrics) == ["mine", "atlas", "alone"]
    named = mixlingual.evaluate_encoder(letters, {"m": tmp_path / "mine", "a": tmp_path / "alone"}, languages=["de"])
    assert named.metrics["m"]["mono"] == found.metrics["mine"]["mono"]
    assert named.metrics["a"]["mono"] == found.metrics["alone"]["mono"]
    files = found.to_trec(tmp_path / "runs")
    assert [str(path.relative_to(tmp_path / "runs")) for path in files] == [
        "alone/de-de.qrels.gz", "alone/de-de.trec.gz", "atlas.qrels.gz", "atlas.trec.gz", "mine.qrels.gz",
        "mine.trec.gz",
    ]  # fmt: skip
    assert len(read_run(tmp_path / "runs/alone/de-de.trec.gz")) == 20


def test_figures_as_a_table_and_as_a_frame(by_folder):
    frame = by_folder.to_pandas()
    assert list(frame) == ["benchmark", "setting", "query_language", "candidate_language", "metric", "value"]
    figures = by_folder.metrics["atlas"]

    def value(setting, query, candidate, metric):
        rows = frame[
            (frame.setting == setting) & (frame.query_language == query) & (frame.candidate_language == candidate)
        ]
        return rows.set_index("metric").value[metric]

    assert value("multi", "all", "all", "rank_distance") == figures["multi"]["rank_distance"]
    assert value("cross", "de", "en", "map") == figures["cross"]["pairs"]["de-en"]["map"]
    assert value("mono", "de", "de", "map") == figures["mono"]["languages"]["de"]["map"]
    assert value("multi", "de", "all", "map") == figures["multi"]["languages"]["de"]["map"]
    assert value("bias", "all", "all", "geometry.language_probe") == figures["bias"]["geometry"]["language_probe"]
    lines = by_folder.table().splitlines()
    assert lines[0].split() == ["metric", "map", "mrr", "ndcg@10", "r@1", "r@10", "r@100", "rank_distance", "own_first"]
    assert f"{figures['mono']['map']:.4f}" in next(line for line in lines if " mono " in line)
    assert isinstance(by_folder.per_query, pd.DataFrame)
    assert str(by_folder) == by_folder.table()


def wide(texts):
    return np.ones((len(texts), 2 + len(texts[0]) % 5))


BAD = {
    "a row too few": (lambda texts: letters(texts)[1:], r"the encoder of a query gave an array of shape \[\d+, 27\]"),
    "a vector": (lambda texts: letters(texts)[0], r"gave an array of shape \[27\]; expected \[\d+, D\], a row a text"),
    "NaN": (lambda texts: letters(texts) * np.nan, r"gave NaN or infinity in \d+ of \d+ rows, first in row 0"),
    "text": (lambda texts: texts, r"the encoder of a query gave list, which is no array of numbers"),
    "nothing": (lambda texts: None, r"gave (an array of shape \[\]|NoneType)"),
    "no function": (7, r"got int as the encoder; allowed: a function of a list of texts, two of them"),
    "three": ((letters,) * 3, r"got tuple as the encoder"),
    "arrays": ({"query": np.ones((1, 2))}, r"got arrays 'query' for atlas; ready embeddings are 'queries' and 'candid"),
    "few arrays": ({"queries": np.ones((1, 2)), "candidates": np.ones((1, 2))}, r"queries of atlas gave an array"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_an_encoder_that_is_none_is_refused(case):
    encode, message = BAD[case]
    with pytest.raises(MixlingualError, match=message):
        mixlingual.evaluate_encoder(encode, "atlas", languages=["de", "en"])


def test_options_that_do_not_fit_are_refused(checkpoint, tmp_path):
    with pytest.raises(
        MixlingualError, match=r"got query_prefix; options of an encoder go with a folder or hub id alone"
    ):
        mixlingual.evaluate_encoder(letters, "atlas", query_prefix="x")
    with pytest.raises(MixlingualError, match=r"got similarity='euclid'; allowed: cosine, dot, None"):
        mixlingual.evaluate_encoder(letters, "atlas", similarity="euclid")
    with pytest.raises(MixlingualError, match=r"benchmarks\[0\]: got 'xquad'; allowed: atlas, "):
        mixlingual.evaluate_encoder(letters, "xquad")
    with pytest.raises(MixlingualError, match=r"unit: got 'word'; allowed: sentence, sentence_in_context, paragraph"):
        mixlingual.evaluate_encoder(letters, "atlas", unit="word")
    with pytest.raises(MixlingualError, match=r"embeddings keeps passages under the identity of their encoder"):
        mixlingual.evaluate_encoder(letters, "atlas", embeddings=tmp_path)
    theirs = _Theirs()
    theirs.similarity_fn_name = "euclidean"
    with pytest.raises(MixlingualError, match=r"the encoder compares by 'euclidean'; set similarity=cosine or dot"):
        mixlingual.evaluate_encoder(theirs, "atlas")


def test_embeddings_in_a_folder(tmp_path):
    benchmark = mixlingual.load_benchmark("atlas", languages=["de", "en"])
    for name, records in (("queries", benchmark.queries), ("candidates", benchmark.candidates)):
        np.save(tmp_path / f"atlas.{name}.npy", letters([record.text for record in records]).astype(np.float32))
        ids = [record.id if name == "candidates" else f"{record.language}/{record.id}" for record in records]
        (tmp_path / f"atlas.{name}.txt").write_text("".join(f"{identity}\n" for identity in ids))
    found = mixlingual.evaluate_encoder(tmp_path, "atlas", languages=["de", "en"])
    called = mixlingual.evaluate_encoder(letters, "atlas", languages=["de", "en"])
    assert found.metrics["atlas"]["multi"] == called.metrics["atlas"]["multi"]
