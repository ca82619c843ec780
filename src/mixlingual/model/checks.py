"""Checks what a checkpoint must hold: all weights, finite, and a tokenizer that fits them."""

from __future__ import annotations

import torch
from tokenizers import normalizers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mixlingual.records import MixlingualError


def check_weights(checkpoint: str, missing: set[str]) -> None:
    """Refuses weights that the library would fill in at random; an absent pooler is not used anyway."""
    absent = sorted(name for name in missing if not name.startswith("pooler."))
    if absent:
        raise MixlingualError(
            f"model.checkpoint={checkpoint}: {len(absent)} weights of its architecture are not in it, {absent[0]} "
            "for one; they would stay random. Give the checkpoint of a whole encoder."
        )


def check_numbers(checkpoint: str, backbone: PreTrainedModel) -> None:
    """Refuses weights that are not finite, which training would take for a divergence of its own."""
    bad = [name for name, weight in backbone.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise MixlingualError(
            f"model.checkpoint={checkpoint}: {len(bad)} of its weights hold NaN or infinity, {bad[0]} for one. "
            "Fetch the checkpoint again, or choose an earlier one."
        )


def checked_tokenizer(
    checkpoint: str, hf: PreTrainedTokenizerBase, architecture: PreTrainedConfig, *, lower_case: bool
) -> PreTrainedTokenizerFast:
    """Refuses the empty vocabulary that the library makes up for a folder without one, slow tokenizers, no padding.

    With `lower_case` the tokenizer puts texts into lower case itself, as sentence-transformers does.
    """
    where = f"model.checkpoint={checkpoint}"
    vocabulary = hf.get_vocab()
    if len(vocabulary) <= len(hf.all_special_ids):
        raise MixlingualError(f"{where}: it holds no tokenizer. Add its tokenizer.json.")
    if not isinstance(hf, PreTrainedTokenizerFast) or hf.pad_token_id is None:
        raise MixlingualError(
            f"{where}: {type(hf).__name__} is not a fast tokenizer with a padding token. "
            "Add a tokenizer.json and name its pad_token in tokenizer_config.json."
        )
    rows = architecture.get_text_config().vocab_size
    if (largest := max(vocabulary.values())) >= rows:
        raise MixlingualError(
            f"{where}: its tokenizer gives ids up to {largest}, but its embedding table has {rows} rows. Add the "
            "tokenizer that the weights were trained with."
        )
    if lower_case:
        backend = hf.backend_tokenizer
        others = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *others])
    return hf
