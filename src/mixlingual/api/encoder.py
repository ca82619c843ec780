"""A trained encoder for those who want embeddings: `load_encoder(folder).encode_queries(texts)`.

Shape suffixes: N texts, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingual.config.devices import PASS_TOKENS
from mixlingual.config.schema import ModelConfig
from mixlingual.evaluation.encode import Embedded, encode, encoder_fingerprint
from mixlingual.evaluation.sentence_transformer import as_published
from mixlingual.model import load
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.hub import as_saved
from mixlingual.model.pooling import POOLING
from mixlingual.model.tokenizer import Side
from mixlingual.records import MixlingualError, fingerprint


class TrainedEncoder:
    """Encodes texts with the prefixes, lengths, pooling and normalisation that the encoder was trained with."""

    def __init__(self, config: ModelConfig, *, device: torch.device, precision: str, batch_tokens: int | None) -> None:
        self.config = config
        """The `model` options that hold."""
        self._encoder, self.tokenizer = load.load_encoder(config, None, seed=0)
        self._encoder.eval().to(device)
        self.device = device
        """Where it computes."""
        self.precision = precision
        self._encode = partial(
            encode, self._encoder, self.tokenizer, precision=precision, batch_tokens=batch_tokens, device=device
        )

    @property
    def dimension(self) -> int:
        """Returns D."""
        return self._encoder.dimension

    @property
    def parameters(self) -> int:
        """Returns the number of weights of the backbone."""
        return parameter_counts(self._encoder)["total"]

    @property
    def normalizes(self) -> bool:
        """Tells whether embeddings have length 1, so that inner products are cosines."""
        return self._encoder.normalize

    def identity(self) -> str:
        """Returns 16 hex digits that change with the weights, the options and the precision."""
        return fingerprint((encoder_fingerprint(self._encoder, self.tokenizer), self.precision))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [N, D] embeddings of queries, in their order."""
        return self.embed(list(texts), "query").embedding_ND

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [N, D] embeddings of passages, in their order."""
        return self.embed(list(texts), "passage").embedding_ND

    def embed(self, texts: list[str], side: Side, label: str = "texts") -> Embedded:
        """Returns embeddings of texts of a side, and how many are longer than the length limit."""
        if not texts:
            return Embedded(np.empty((0, self.dimension), np.float32), 0)
        return self._encode(texts, side, description=label)


def load_encoder(
    checkpoint: str | Path,
    *,
    device: str | None = None,
    precision: str = "fp32",
    batch_tokens: int | None = None,
    **options: Any,
) -> TrainedEncoder:
    """Loads a trained encoder.

    Args:
        checkpoint: folder that a run left (multirun/SWEEP/RUN/model), or folder or hub id of any encoder. Prefixes,
            pooling and normalisation are those that it was saved with, also for a sentence-transformers model.
        device: as PyTorch names it, as "cuda:1"; None: a GPU if there is one.
        precision: fp32, bf16 or fp16; embeddings are float32 in any case.
        batch_tokens: most tokens of a batch, padding included; None: 2048 on a CPU, 32768 on a GPU.
        options: fields of `config.schema.ModelConfig`, as query_prefix or max_passage_length, for a checkpoint that
            does not say them itself.

    Raises:
        MixlingualError: there is no such checkpoint or option, or the encoder has a part that we do not have.
    """
    try:
        config = ModelConfig(checkpoint=str(checkpoint), **options)
    except TypeError as error:
        known = ", ".join(ModelConfig.__dataclass_fields__)
        raise MixlingualError(f"load_encoder got options {', '.join(options)}; allowed: {known}") from error
    for name, got, allowed in (
        ("precision", precision, ("fp32", "bf16", "fp16")),
        ("device", torch.device(device or "cpu").type, PASS_TOKENS),
        ("pooling", config.pooling, POOLING),
    ):
        if got not in allowed:
            raise MixlingualError(f"load_encoder got {name}={got!r}; allowed: {', '.join(allowed)}")
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return TrainedEncoder(as_saved(as_published(config)), device=chosen, precision=precision, batch_tokens=batch_tokens)
