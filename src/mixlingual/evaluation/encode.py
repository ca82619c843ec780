"""Turns texts into embeddings, each distinct text once, in length-sorted batches under a token budget.

Shape suffixes: N texts, U distinct texts, B texts of a batch, T tokens, D width of the embedding.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mixlingual.config.devices import PASS_TOKENS
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import MixlingualError, fingerprint

log = logging.getLogger(__name__)

_AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

_PART = 8192
"""Texts that are tokenised together, while those before them are computed."""

_CUT_NAMES: dict[Side, str] = {"query": "queries_cut", "passage": "passages_cut"}

_MANY_CUT = 0.01
"""Share of the passages that may be cut without a warning."""

_PROVENANCE = ("_name_or_path", "architectures", "dtype", "transformers_version")
"""Entries of a backbone's config that say how it was saved, not what it computes."""


class Embedded(NamedTuple):
    """Holds embeddings of texts."""

    embedding_ND: NDArray[np.float32]
    cut: int | None
    """How many of the texts are longer than the length limit; None where another program encoded them."""


@dataclass
class CutTexts:
    """Counts the texts of a benchmark and those that are longer than the length limit, by side."""

    texts: Counter[Side] = field(default_factory=Counter)
    cut: Counter[Side] = field(default_factory=Counter)
    unknown: set[Side] = field(default_factory=set)
    """Sides that another program encoded, at least in part."""

    def add(self, side: Side, texts: int, cut: int | None) -> None:
        """Counts so many texts of a side."""
        self.texts[side] += texts
        if cut is None:
            self.unknown.add(side)
        else:
            self.cut[side] += cut

    def shares(self, name: str) -> dict[str, float]:
        """Returns `queries_cut` and `passages_cut`, if known; warns of a benchmark whose passages are cut."""
        known = {side: self.cut[side] / texts for side, texts in self.texts.items() if side not in self.unknown}
        if known.get("passage", 0) > _MANY_CUT:
            log.warning(
                "%s: %.1f %% of the passages are cut, what comes after the limit is never found; raise "
                "model.max_passage_length",
                name,
                100 * known["passage"],
            )
        return {_CUT_NAMES[side]: share for side, share in known.items()}


class Embed(Protocol):
    """Turns texts of a side into embeddings; the label names them to whoever waits."""

    def __call__(self, texts: list[str], side: Side, label: str = "training") -> Embedded:  # noqa: D102
        ...


def encode(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    side: Side,
    *,
    precision: str,
    batch_tokens: int | None,
    device: torch.device,
    description: str,
) -> Embedded:
    """Embeds texts in their order; equal texts share one embedding.

    Args:
        encoder: on `device`, in eval mode.
        tokenizer: adds the prefix of the side and truncates.
        texts: at least one.
        side: query or passage.
        precision: fp32, or bf16 or fp16 by autocast; the result is float32 in any case.
        batch_tokens: most tokens of a batch, padding included; a longer text is a batch of its own. None: as
            `PASS_TOKENS`.
        device: where to compute.
        description: label of the progress bar, which counts distinct texts.

    Raises:
        MixlingualError: fp16 on a CPU, or embeddings that are not finite.
    """
    if precision == "fp16" and device.type == "cpu":
        raise MixlingualError("got evaluation.precision=fp16 on a CPU; use fp32 or bf16 there, or a GPU")
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    rows: list[int] = []
    embeddings: list[Tensor] = []
    is_cut = np.zeros(len(row_of), bool)
    dtype = _AUTOCAST[precision]
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=dtype, enabled=dtype is not None),
        tqdm(total=len(row_of), desc=description, unit="text", disable=None) as progress,
    ):
        for part, token_ids, is_cut[part] in _tokenised(tokenizer, list(row_of), side):
            for batch in token_batches([len(ids) for ids in token_ids], batch_tokens or PASS_TOKENS[device.type]):
                token_id_S = torch.tensor([token for row in batch for token in token_ids[row]])
                if device.type == "cuda":
                    token_id_S = token_id_S.pin_memory().to(device, non_blocking=True)
                embedding_BD = encoder.embed(token_id_S, torch.tensor([len(token_ids[row]) for row in batch]))
                embeddings.append(embedding_BD.float().to("cpu", non_blocking=device.type == "cuda"))
                rows += [part[row] for row in batch]
                progress.update(len(batch))
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # the copies have arrived
    embedding_UD = torch.cat(embeddings).numpy()[np.argsort(rows)]
    place = [row_of[text] for text in texts]
    embedding_ND = embedding_UD[place]
    _check_finite(embedding_ND, texts, description)
    return Embedded(embedding_ND, int(is_cut[place].sum()))


def _tokenised(
    tokenizer: TextTokenizer, texts: list[str], side: Side
) -> Iterator[tuple[list[int], list[list[int]], list[bool]]]:
    """Yields places, token ids and marks of the texts in parts, tokenised while those before are used.

    The parts go by characters, longest texts first, so that batches are of like length over the whole.
    """
    longest_first = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
    parts = [sorted(longest_first[start : start + _PART]) for start in range(0, len(texts), _PART)]
    with ThreadPoolExecutor(1) as thread:
        found = thread.map(lambda part: tokenizer.encode_marked([texts[place] for place in part], side), parts)
        for part, (token_ids, is_cut) in zip(parts, found):
            yield part, token_ids, is_cut


def token_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Returns positions of all texts, longest first, cut where padding to the longest would exceed the budget.

    The largest batch comes first, so that running out of memory shows at once.

    Args:
        lengths: tokens of each text.
        batch_tokens: most tokens of a batch, padding included.
    """
    positions = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(positions):
        size = max(1, batch_tokens // lengths[positions[start]])
        yield positions[start : start + size]
        start += size


def encoder_fingerprint(encoder: DualEncoder, tokenizer: TextTokenizer) -> str:
    """Returns 16 hex digits that change with any weight, the backbone's config, pooling, normalisation and tokenizer.

    Names, paths and the release that saved a checkpoint do not count, so that a copy has the same digits.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    config = {key: value for key, value in encoder.backbone.config.to_dict().items() if key not in _PROVENANCE}
    options = (encoder.pooling, str(encoder.normalize), json.dumps(config, sort_keys=True), tokenizer.identity())
    return fingerprint((digest.hexdigest(), *options))


def _check_finite(embedding_ND: NDArray[np.float32], texts: Sequence[str], description: str) -> None:
    bad = np.flatnonzero(~np.isfinite(embedding_ND).all(axis=1))
    if bad.size:
        raise MixlingualError(
            f"{description}: {bad.size} of {len(texts)} embeddings hold NaN or infinity, first that of text {bad[0]} "
            f"({texts[bad[0]][:60]!r}). Look for a diverged training loss, or set evaluation.precision=fp32"
        )
