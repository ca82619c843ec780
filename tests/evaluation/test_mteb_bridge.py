"""Our encoder in MTEB: its identity, its sides, and a task evaluated by MTEB itself."""

import numpy as np
import pytest
import torch

pytest.importorskip("mteb", reason="needs the package mteb")

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_benchmark, atlas_corpus
from mixlingual.evaluation.encode import encode
from mixlingual.evaluation.mteb_bridge import MtebEncoder
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.grid.cell import corpus_texts
from mixlingual.model.load import load_encoder


def loaded(seed):
    config = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900), query_prefix="query: ", passage_prefix="passage: ")
    return load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed)


class Metadata:
    name = "made"


def test_two_checkpoints_have_two_identities():
    metas = [MtebEncoder(*loaded(seed), "mixlingual/run").mteb_model_meta for seed in (0, 1, 0)]
    assert {meta.name for meta in metas} == {"mixlingual/run"}
    assert metas[0].revision == metas[2].revision != metas[1].revision
    assert metas[0].embed_dim == 32


def test_sides_have_their_prefixes():
    encoder, tokenizer = loaded(0)
    bridge = MtebEncoder(encoder, tokenizer, "mixlingual/run")
    batches = [{"text": ["a b", "c"]}, {"text": ["d"]}]
    for side, prompt_type in (("query", "query"), ("passage", "document")):
        found = bridge.encode(batches, task_metadata=Metadata, hf_split="s", hf_subset="x", prompt_type=prompt_type)
        expected = encode(
            encoder, tokenizer, ["a b", "c", "d"], side,
            precision="fp32", batch_tokens=999, device=torch.device("cpu"), description="",
        )  # fmt: skip
        np.testing.assert_allclose(found, expected.embedding_ND, atol=1e-6)
    np.testing.assert_allclose(bridge.similarity(found, found).diagonal(), bridge.similarity_pairwise(found, found))


def test_mteb_evaluates_a_task_with_our_encoder(tmp_path):
    """MTEB's nDCG@10 of held-out facts is that of our own protocol, and its file carries our identity."""
    benchmark = atlas_benchmark(["en"])
    encoder, tokenizer = loaded(0)
    bridge = MtebEncoder(encoder, tokenizer, "mixlingual/run")
    result = mteb.evaluate(bridge, Facts(benchmark), cache=mteb.ResultCache(tmp_path), show_progress_bar=False)
    query_QD, candidate_ND = (
        bridge.encode(
            [{"text": [r.text for r in records]}], task_metadata=Metadata, hf_split="", hf_subset="", prompt_type=side
        )
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
