"""Our encoder in MTEB: its identity, its sides, and a task evaluated by MTEB itself."""

import numpy as np
import pytest

pytest.importorskip("mteb", reason="needs the package mteb")

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

import mixlingual
from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_benchmark, atlas_corpus
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.grid.cell import corpus_texts
from mixlingual.integrations.mteb_encoder import MtebEncoder
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder


@pytest.fixture(scope="module")
def bridges(tmp_path_factory):
    """Two encoders that differ in their weights alone."""
    config = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900), query_prefix="query: ", passage_prefix="passage: ")
    folders = [tmp_path_factory.mktemp("encoder") / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        save_encoder(*load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed), folder)
    return [MtebEncoder(mixlingual.load_encoder(folder), "mixlingual/run") for folder in folders]


class Metadata:
    name = "made"


def embedded(bridge, texts, side):
    return bridge.encode([{"text": texts}], task_metadata=Metadata, hf_split="", hf_subset="", prompt_type=side)


def test_two_checkpoints_have_two_identities(bridges):
    first, second = (bridge.mteb_model_meta for bridge in bridges)
    assert first.name == second.name == "mixlingual/run"
    assert first.revision != second.revision
    assert first.embed_dim == 32
    assert first.n_parameters > 900 * 32


def test_sides_have_their_prefixes(bridges):
    texts, encoder = ["a b", "c"], bridges[0]._encoder
    queries, passages = encoder.encode_queries(texts), encoder.encode_passages(texts)
    assert not np.allclose(queries, passages, atol=1e-3)
    for expected, prompt_type in ((queries, "query"), (passages, "document")):
        found = embedded(bridges[0], texts, prompt_type)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        bridges[0].similarity(found, found).diagonal(), bridges[0].similarity_pairwise(found, found)
    )


def test_mteb_evaluates_a_task_with_our_encoder(bridges, tmp_path):
    """MTEB's nDCG@10 of held-out facts is that of our own protocol, and its file carries our identity."""
    benchmark, bridge = atlas_benchmark(["en"]), bridges[0]
    result = mteb.evaluate(bridge, Facts(benchmark), cache=mteb.ResultCache(tmp_path), show_progress_bar=False)
    query_QD, candidate_ND = (
        embedded(bridge, [record.text for record in records], side)
        for records, side in ((benchmark.queries, "query"), (benchmark.candidates, "document"))
    )
    ours = score_benchmark(benchmark, query_QD, candidate_ND).metrics["mono"]["ndcg@10"]
    assert 0 < ours < 1
    assert result.task_results[0].scores["test"][0]["ndcg_at_10"] == pytest.approx(ours, abs=1e-4)
    revision = bridge.mteb_model_meta.revision
    assert [path.parent.name for path in tmp_path.rglob("Facts.json")] == [revision]


class Facts(AbsTaskRetrieval):
    """The held-out facts of the atlas in one language."""

    metadata = TaskMetadata(
        name="Facts", description="Facts of the atlas.", reference="https://cldr.unicode.org", type="Retrieval",
        category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"], main_score="ndcg_at_10",
        dataset={"path": "none", "revision": "none"},
    )  # fmt: skip

    def __init__(self, benchmark):
        super().__init__()
        self.benchmark = benchmark

    def load_data(self, **_):
        rows = [{"id": c.id, "title": "", "text": c.text} for c in self.benchmark.candidates]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(rows),
                    "queries": Dataset.from_list([{"id": q.id, "text": q.text} for q in self.benchmark.queries]),
                    "relevant_docs": {
                        question: {self.benchmark.candidates[gold].id: 1}
                        for (question, _), gold in self.benchmark.gold.items()
                    },
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True
