"""Hands a trained encoder to MTEB (Muennighoff et al. 2023), under an identity of its own.

    encoder = mixlingual.load_encoder("multirun/SWEEP/RUN/model")
    mteb.evaluate(MtebEncoder(encoder, "mixlingual/RUN"), mteb.get_tasks(["MLQARetrieval"]))

Needs the package mteb, the extra `mteb` of ours. Shape suffixes: N texts, M others, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from mteb.models import ModelMeta
from mteb.models.model_meta import ScoringFunction
from numpy.typing import NDArray

from mixlingual.api.encoder import TrainedEncoder
from mixlingual.model.tokenizer import Side


class MtebEncoder:
    """Serves an encoder by MTEB's protocol.

    MTEB files results under a model's name and revision, and takes both from the base model where a checkpoint has
    none. Its cache would then mix up the results of different runs. Here the revision is `TrainedEncoder.identity`.

    Args:
        encoder: a trained encoder; prefixes and limits are its own, MTEB's prompts are not used.
        name: OWNER/NAME to show.
    """

    def __init__(self, encoder: TrainedEncoder, name: str) -> None:
        self._encoder = encoder
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": name,
                "revision": encoder.identity(),
                "n_parameters": encoder.parameters,
                "max_tokens": max(encoder.tokenizer.max_length.values()),
                "embed_dim": encoder.dimension,
                "similarity_fn_name": ScoringFunction.from_str("cosine" if encoder.normalizes else "dot"),
                "framework": ["PyTorch"],
            }
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **_: object,
    ) -> NDArray[np.float32]:
        """Returns [N, D] embeddings of the texts of all batches; queries unless `prompt_type` says document."""
        texts = [text for batch in inputs for text in batch["text"]]
        side: Side = "passage" if getattr(prompt_type, "value", prompt_type) == "document" else "query"
        return self._encoder.embed(texts, side, f"{task_metadata.name} {hf_subset} {hf_split}").embedding_ND

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Returns [N, M] inner products, cosines where the encoder normalises."""
        left_ND, right_MD = torch.as_tensor(embeddings1), torch.as_tensor(embeddings2)
        return left_ND @ right_MD.T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Returns [N] inner products of rows."""
        left_ND, right_ND = torch.as_tensor(embeddings1), torch.as_tensor(embeddings2)
        return (left_ND * right_ND).sum(dim=-1)
