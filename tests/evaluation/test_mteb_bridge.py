"""Our encoder in MTEB: its identity, its sides, and a task evaluated by MTEB itself."""

import numpy as np
import pytest
import torch

pytest.importorskip("mteb", reason="needs the package mteb")

from mixlingual.config import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.evaluation.encode import encode
from mixlingual.evaluation.mteb_bridge import MtebEncoder
from mixlingual.model.load import load_encoder
from mixlingual.run import corpus_texts


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
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(bridge.similarity(found, found).diagonal(), bridge.similarity_pairwise(found, found))
