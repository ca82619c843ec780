"""Shows a trained encoder to MTEB (Muennighoff et al. 2023), under an identity of its own.

    encoder, tokenizer = load_encoder(ModelConfig(checkpoint="multirun/SWEEP/RUN/model"), None, seed=0)
    mteb.evaluate(MtebEncoder(encoder, tokenizer, "mixlingual/RUN"), mteb.get_tasks(["MLQARetrieval"]))

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

from mixlingual.evaluation.encode import encode, encoder_fingerprint
from mixlingual.model.encoder import DualEncoder, parameter_counts
from mixlingual.model.tokenizer import TextTokenizer


class MtebEncoder:
    """Serves an encoder by MTEB's protocol.

    MTEB files results under a model's name and revision, and takes both from the base model where a checkpoint has
    none: results of different runs would then be mixed up in its cache. Here the revision is `encoder_fingerprint`.

    Args:
        encoder: a trained encoder.
        tokenizer: its tokenizer; prefixes and limits are its own, MTEB's prompts are not used.
        name: OWNER/NAME to show.
        precision: fp32, bf16 or fp16.
        batch_tokens: tokens of an encoding batch, padding included; None: as `PASS_TOKENS`.
        device: where to encode.
    """

    def __init__(
        self,
        encoder: DualEncoder,
        tokenizer: TextTokenizer,
        name: str,
        *,
        precision: str = "fp32",
        batch_tokens: int | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._encoder = encoder.eval().to(device or torch.device("cpu"))
        self._tokenizer, self._precision, self._batch_tokens = tokenizer, precision, batch_tokens
        self._device = device or torch.device("cpu")
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": name,
                "revision": encoder_fingerprint(encoder, tokenizer),
                "n_parameters": parameter_counts(encoder)["total"],
                "max_tokens": max(tokenizer.max_length.values()),
                "embed_dim": encoder.dimension,
                "similarity_fn_name": ScoringFunction.from_str("cosine" if encoder.normalize else "dot"),
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
        side = "passage" if getattr(prompt_type, "value", prompt_type) == "document" else "query"
        return encode(
            self._encoder,
            self._tokenizer,
            texts,
            "passage" if side == "passage" else "query",
            precision=self._precision,
            batch_tokens=self._batch_tokens,
            device=self._device,
            description=f"{task_metadata.name} {hf_subset} {hf_split}",
        ).embedding_ND

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Returns [N, M] inner products, cosines where the encoder normalises."""
        left_ND, right_MD = torch.as_tensor(embeddings1), torch.as_tensor(embeddings2)
        return left_ND @ right_MD.T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Returns [N] inner products of rows."""
        left_ND, right_ND = torch.as_tensor(embeddings1), torch.as_tensor(embeddings2)
        return (left_ND * right_ND).sum(dim=-1)
