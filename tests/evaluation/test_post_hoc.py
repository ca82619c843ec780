"""Corrections by hand, fitted on training texts alone, and what they do to a made offset between languages."""

import numpy as np
import pytest

from mixlingual.config.schema import PostHocConfig
from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.post_hoc import Correction, centering, fit_corrections, lir, shift, training_code
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.records import Benchmark, Candidate, DataError, ParallelCorpus, ParallelItem, Query

OFFSET = {"de": np.array([9, 0, 0, 0, 0]), "en": np.array([0, 7, 0, 0, 0]), "th": np.array([0, 0, 5, 0, 0])}


def meaning(number):
    return np.random.default_rng(int(number)).standard_normal(5)


def embed(texts, side, label=""):
    """A text is LANGUAGE NUMBER: its embedding is the number's meaning, moved by the language."""
    pairs = [text.split() for text in texts]
    return np.array([meaning(number) + OFFSET[language] for language, number in pairs], np.float32)


def corpus(languages, numbers=range(1000, 1400)):
    items = [
        ParallelItem(str(n), "s", *({language: f"{language} {n}" for language in languages} for _ in range(2)))
        for n in numbers
    ]
    return ParallelCorpus("made", tuple(items), tuple(languages), {"s": 1.0}, "f")


def embedded(texts, side, label=""):
    return Embedded(embed(texts, side, label), 0)


def fitted(method, languages=("de", "en", "th"), **options):
    config = PostHocConfig(methods=[method], **options)
    return fit_corrections(corpus(languages), languages, config, embedded, normalize=False)[method]


def test_centering_by_hand():
    correct = centering(np.array([[1, 0], [3, 4]], np.float32))
    np.testing.assert_array_equal(correct(np.array([[2, 2], [5, 1]], np.float32)), [[0, 0], [3, -1]])


def test_lir_removes_the_first_directions():
    text_ND = np.array([[3, 4, 0], [6, 8, 0], [-3, -4, 0], [0, 0, 1]], np.float32)
    value_ND = np.array([[3, 4, 2], [4, -3, 1]], np.float32)
    np.testing.assert_allclose(lir(text_ND, 1)(value_ND), [[0, 0, 2], [4, -3, 1]], atol=1e-6)
    np.testing.assert_allclose(lir(text_ND, 2)(value_ND), [[0, 0, 0], [4, -3, 0]], atol=1e-6)


def test_shift_by_hand():
    correct = shift(np.array([[2, 0], [4, 2]], np.float32), np.array([[1, 0], [1, 0]], np.float32), 0.5)
    np.testing.assert_array_equal(correct(np.array([[1, 1]], np.float32)), [[0, 0.5]])


def test_centering_takes_a_constant_offset_away():
    correct = fitted("centering")
    texts = [f"{language} {n}" for language in OFFSET for n in range(50)]
    corrected_ND = correct(embed(texts, "query"), [text[:2] for text in texts], "query").reshape(3, 50, 5)
    np.testing.assert_allclose(corrected_ND[0], corrected_ND[1], atol=1e-4)
    np.testing.assert_allclose(corrected_ND[0], corrected_ND[2], atol=1e-4)


def test_shift_moves_passages_only_and_leaves_the_source():
    correct = fitted("shift", strength=1.0)
    embedding_ND = embed(["de 1", "en 1", "th 1"], "passage")
    moved_ND = correct(embedding_ND, ["de", "en", "th"], "passage")
    np.testing.assert_allclose(moved_ND, np.tile(embedding_ND[1], (3, 1)), atol=1e-4)
    np.testing.assert_array_equal(correct(embedding_ND, ["de", "en", "th"], "query"), embedding_ND)
    assert embedding_ND[0, 0] == np.float32(meaning(1)[0] + 9), "the input stays as it is"


def test_embeddings_of_an_encoder_that_normalises_have_length_one():
    correct = Correction({("query", "de"): lambda embedding_ND: embedding_ND - 2}, normalize=True)
    corrected_ND = correct(np.array([[5, 6], [3, 4]], np.float32), ["de", "en"], "query")
    np.testing.assert_allclose(corrected_ND, [[3 / 5, 4 / 5], [3 / 5, 4 / 5]], rtol=1e-6)


def test_corrections_that_know_the_offset_undo_its_bias():
    queries = tuple(Query(str(n), language, "", str(n)) for language in OFFSET for n in range(40))
    candidates = tuple(Candidate(f"{language}/{n}", language, "") for language in OFFSET for n in range(40))
    gold = {(query.id, query.language): position for position, query in enumerate(queries)}
    benchmark = Benchmark("made", tuple(OFFSET), queries, candidates, gold, "f")
    texts = [f"{query.language} {query.id}" for query in queries]
    embedding_ND, languages = embed(texts, "query"), [query.language for query in queries]
    plain = score_benchmark(benchmark, embedding_ND, embedding_ND).metrics["multi"]
    for method in ("centering", "lir"):
        correct = fitted(method)
        query_QD, candidate_ND = (correct(embedding_ND, languages, side) for side in ("query", "passage"))
        better = score_benchmark(benchmark, query_QD, candidate_ND).metrics["multi"]
        assert better["map"] > plain["map"] + 0.1, method
        assert better["rank_distance"] < plain["rank_distance"] / 2, method


def test_statistics_see_so_many_training_texts_and_nothing_else():
    seen = []

    def watched(texts, side, label=""):
        seen.append((side, len(texts), texts[0], texts[-1]))
        return embedded(texts, side)

    config = PostHocConfig(methods=["centering", "centering"], texts=30)
    fit_corrections(corpus(["de", "en"]), ["de", "en"], config, watched, normalize=False)
    sides = [(side, language) for side in ("query", "passage") for language in ("de", "en")]
    assert seen == [(side, 30, f"{language} 1000", f"{language} 1399") for side, language in sides]


def test_a_language_without_training_texts_is_refused():
    config = PostHocConfig(methods=["centering"])
    with pytest.raises(
        DataError, match=r"post_hoc.data holds 0 texts \(query in th\), too few .* evaluation.languages"
    ):
        fit_corrections(corpus(["de", "en"]), ["de", "th"], config, embedded, normalize=False)
    with pytest.raises(DataError, match=r"0 texts \(passages in both de and fr\)"):
        fit_corrections(
            corpus(["de"]), ["de"], PostHocConfig(methods=["shift"], source="fr"), embedded, normalize=False
        )


def test_benchmarks_name_languages_in_their_own_way():
    known = ["de", "en", "sw", "zh", "xyz_Latn"]
    codes = {"de": "de", "deu_Latn": "de", "swh_Latn": "sw", "zho_Hans": "zh", "zh_cn": "zh", "xyz_Latn": "xyz_Latn"}
    assert {code: training_code(code, known) for code in codes} == codes
    assert training_code("fra_Latn", known) == training_code("fra_Latn", []) == "fra_Latn"
    config = PostHocConfig(methods=["centering", "shift"])
    fitted = fit_corrections(corpus(["de", "en"]), ["deu_Latn", "eng_Latn"], config, embedded, normalize=False)
    assert set(fitted["shift"].maps) == {("passage", "deu_Latn")}
    moved_ND = fitted["centering"](embed(["de 1", "en 1"], "query"), ["deu_Latn", "eng_Latn"], "query")
    np.testing.assert_allclose(moved_ND[0], moved_ND[1], atol=1e-4)
