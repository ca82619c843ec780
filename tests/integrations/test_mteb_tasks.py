"""Our tasks in MTEB: what MTEB's own search and our measures make of them is what our evaluation says."""

import numpy as np
import pytest
import torch

pytest.importorskip("mteb", reason="needs the package mteb")

import mteb

import mixlingual
from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.grid.cell import corpus_texts
from mixlingual.integrations.mteb import MTEB_LANGUAGES, TASKS, parallel_task
from mixlingual.integrations.mteb_encoder import MtebEncoder
from mixlingual.integrations.sentence_transformers import thinned
from mixlingual.measures.registry import question_columns
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder

LANGUAGES = ("de", "en", "th")


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    config = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900), query_prefix="query: ", passage_prefix="passage: ")
    folder = tmp_path_factory.mktemp("encoder") / "model"
    save_encoder(*load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), 0), folder)
    return MtebEncoder(mixlingual.load_encoder(folder), "mixlingual/run")


def embedded(bridge, records, side):
    class Metadata:
        name = "made"

    texts = [{"text": [record.text for record in records]}]
    return bridge.encode(texts, task_metadata=Metadata, hf_split="", hf_subset="", prompt_type=side)


@pytest.fixture(scope="module", params=["atlas", "mlqa_r"])
def benchmark(request):
    """Facts, and questions that miss languages and share paragraphs."""
    if request.param == "mlqa_r":
        root = request.getfixturevalue("real_data")
        return thinned(mixlingual.load_benchmark("mlqa_r", root=str(root), languages=["de", "en"]), 15)
    return thinned(mixlingual.load_benchmark("atlas", languages=list(LANGUAGES)), 12)


@pytest.mark.parametrize("setting", ["mono", "cross", "multi"])
def test_figures_are_ours(bridge, benchmark, setting):
    ours = score_benchmark(
        benchmark, embedded(bridge, benchmark.queries, "query"), embedded(bridge, benchmark.candidates, "document")
    ).metrics[setting]
    languages = {code: MTEB_LANGUAGES[code] for code in benchmark.languages}
    task = parallel_task(f"Made{setting}", setting, lambda: benchmark, languages)()
    result = mteb.evaluate(bridge, [task], cache=None, show_progress_bar=False).task_results[0]
    scores = {entry["hf_subset"]: entry for entry in result.scores["test"]}
    expected = ours["pairs" if setting == "cross" else "languages"]
    assert scores.keys() == expected.keys()
    for subset, entry in scores.items():
        assert entry["map"] == entry["main_score"] == pytest.approx(expected[subset]["map"], abs=1e-6)
        assert entry["recall_at_10"] == pytest.approx(expected[subset]["r@10"], abs=1e-5), "MTEB rounds to 5 places"
        if setting == "multi":
            known = {name: expected[subset][name] for name in question_columns() if name in expected[subset]}
            assert {"rank_distance", "own_first", "tlr@10"} <= known.keys()
            for name, value in known.items():
                assert entry[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert result.get_score() == pytest.approx(ours["map"], abs=1e-6), "the macro mean"


def test_importing_them_makes_them_known():
    names = [task.metadata.name for task in TASKS]
    assert names == [f"{s}SentenceRetrieval{e}" for s in ("MLQAR", "XQuADR") for e in ("", "CrossLingual", "Pooled")]
    found = mteb.get_tasks(tasks=names)
    assert {task.metadata.name for task in found} == set(names)
    assert len(mteb.get_task("XQuADRSentenceRetrievalCrossLingual").hf_subsets) == 11 * 10
    assert mteb.get_task("MLQARSentenceRetrieval").metadata.license == "cc-by-nc-4.0"
    assert mteb.get_task("XQuADRSentenceRetrievalPooled").metadata.main_score == "map"


def test_a_task_reads_the_published_files(real_data, monkeypatch):
    task = mteb.get_task("XQuADRSentenceRetrievalPooled", languages=["deu"])
    monkeypatch.setattr(type(task), "root", str(real_data))
    task._hf_subsets = ["de"]
    task.hf_subsets = ["de"]
    task.load_data()
    (parts,) = (task.dataset[subset]["test"] for subset in task.hf_subsets)
    assert (len(parts["queries"]), len(next(iter(parts["relevant_docs"].values())))) == (1190, 11)
    assert max(task.k_values) == len(parts["corpus"]) > 10_000


def test_ties_are_one_threshold(bridge):
    """A model that tells nothing apart has the precision of chance, not of the order of ids."""
    benchmark = thinned(mixlingual.load_benchmark("atlas", languages=["de", "en"]), 6)

    class Nothing(MtebEncoder):
        def encode(self, inputs, **_):
            return np.ones((sum(len(batch["text"]) for batch in inputs), 2), np.float32)

    nothing = Nothing(bridge._encoder, "mixlingual/none")
    task = parallel_task("Ties", "mono", lambda: benchmark, {code: MTEB_LANGUAGES[code] for code in ("de", "en")})()
    result = mteb.evaluate(nothing, [task], cache=None, show_progress_bar=False).task_results[0]
    pool = sum(candidate.language == "de" for candidate in benchmark.candidates)
    assert result.scores["test"][0]["map"] == pytest.approx(1 / pool)
    assert torch.is_tensor(nothing.similarity(np.ones((1, 2)), np.ones((1, 2))))
