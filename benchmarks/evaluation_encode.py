"""Measures texts to embeddings: ours against SentenceTransformer.encode on the same weights and texts."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rows import Row
from mixlingual.config.schema import EvaluationConfig, ModelConfig
from mixlingual.data.sources.lareqa import load_lareqa
from mixlingual.evaluation.encode import encode
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.model.tokenizer import TextTokenizer

GOAL_RATIO = 1.5


def compare(root: Path, checkpoint: str, repeats: int, size: int, peer_batch: int) -> list[Row]:
    """Returns medians of texts a second over `repeats` rounds in turn; prints how far the embeddings differ."""
    config = ModelConfig(checkpoint=checkpoint, query_prefix="query: ", passage_prefix="passage: ")
    encoder, tokenizer = load_encoder(config, None, seed=0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.eval().to(device)
    candidates = load_lareqa("xquad_r", root, None).candidates
    texts = [candidate.text for candidate in candidates[:: max(1, len(candidates) // size)]][:size]
    with tempfile.TemporaryDirectory() as folder:
        peer = _peer(encoder, tokenizer, Path(folder) / "model", device)
        rounds = []
        for _ in range(repeats):
            ours, ours_ND = _timed(lambda: _ours(encoder, tokenizer, texts, device))
            if peer is None:
                rounds.append((ours, None))
                continue
            theirs, peer_ND = _timed(
                lambda: peer.encode(texts, prompt_name="document", batch_size=peer_batch, convert_to_numpy=True)
            )
            cosine = (ours_ND * peer_ND).sum(axis=1).min()
            print(f"  ours {ours:.2f} s, the peer {theirs:.2f} s; least cosine {cosine:.6f}")
            rounds.append((ours, theirs))
    rate = len(texts) / median(ours for ours, _ in rounds)
    known = [theirs for _, theirs in rounds if theirs is not None]
    name = f"encode {len(texts)} texts of XQuAD-R in fp32 on {device.type}, the peer at batch size {peer_batch}"
    return [Row(name, "texts/s", rate, len(texts) / median(known) if known else None)]


def _ours(
    encoder: DualEncoder, tokenizer: TextTokenizer, texts: list[str], device: torch.device
) -> NDArray[np.float32]:
    return encode(
        encoder,
        tokenizer,
        texts,
        "passage",
        precision="fp32",
        batch_tokens=EvaluationConfig().batch_tokens,
        device=device,
        description="texts",
    ).embedding_ND


def _peer(encoder: DualEncoder, tokenizer: TextTokenizer, folder: Path, device: torch.device):  # noqa: ANN202
    """Returns the same weights, prefixes and limits in a SentenceTransformer, if it is installed."""
    if find_spec("sentence_transformers") is None:
        return None
    save_encoder(encoder, tokenizer, folder)
    return importlib.import_module("sentence_transformers").SentenceTransformer(str(folder), device=str(device))


def _timed(job) -> tuple[float, NDArray[np.float32]]:  # noqa: ANN001
    start = time.perf_counter()
    result = job()
    return time.perf_counter() - start, result


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Says in one line whether the goal is met."""
    for row in rows:
        if row.ratio is not None:
            met = "met" if row.ratio >= GOAL_RATIO else "NOT MET"
            yield f"goal {GOAL_RATIO} times the texts/s: {met}, {row.ratio:.2f} times"
