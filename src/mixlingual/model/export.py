"""Writes a trained encoder as a folder that Hugging Face and sentence-transformers load."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from mixlingual.layout import SAVED_OPTIONS
from mixlingual.model.adapters import merged
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.hub import quiet
from mixlingual.model.tokenizer import TextTokenizer


def save_encoder(encoder: DualEncoder, tokenizer: TextTokenizer, folder: Path) -> None:
    """Writes the encoder as a Hugging Face folder that is also a sentence-transformers model.

    The folder appears whole and replaces an earlier one. `load_encoder` with `model.checkpoint=FOLDER` gives the same
    embeddings, since the folder also says how texts are prefixed, cut and pooled.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with quiet(), tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as temporary:
        written = Path(temporary, "written")
        backbone = merged(encoder.backbone)
        backbone.save_pretrained(written, state_dict=backbone.state_dict() | _unused_pooler(backbone))
        tokenizer.save(written)
        files = _sentence_transformers_files(encoder, tokenizer) | {SAVED_OPTIONS: _own_options(encoder, tokenizer)}
        for name, content in files.items():
            (written / name).parent.mkdir(exist_ok=True)
            (written / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if encoder.normalize:
            (written / "2_Normalize").mkdir()
        if folder.exists():
            folder.rename(Path(temporary, "replaced"))
        written.rename(folder)


def _unused_pooler(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Returns zeros for the pooler that was taken off: a library would give it random weights, and warn of them."""
    with torch.device("meta"):
        whole = type(backbone)(backbone.config)
    return {name: torch.zeros(part.shape) for name, part in whole.state_dict().items() if name.startswith("pooler.")}


def _own_options(encoder: DualEncoder, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Returns the `model` options that the weights were trained with, for `hub.as_saved`, and their temperature."""
    return {
        "pooling": encoder.pooling,
        "normalize": encoder.normalize,
        "query_prefix": tokenizer.prefix["query"],
        "passage_prefix": tokenizer.prefix["passage"],
        "max_query_length": tokenizer.max_length["query"],
        "max_passage_length": tokenizer.max_length["passage"],
        "layers": None,
        "temperature": float(encoder.temperature),
    }


def _sentence_transformers_files(encoder: DualEncoder, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Returns file name -> JSON content, in the form that every release of sentence-transformers since 3 reads.

    Without a choice of prompt texts are queries, as in symmetric tasks: none loses its prefix.
    """
    modes = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}
    others = ("max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens")
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    return {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules if encoder.normalize else modules[:2])
        ],
        "config_sentence_transformers.json": {
            "__version__": {"transformers": transformers.__version__, "pytorch": torch.__version__},
            "prompts": {"query": tokenizer.prefix["query"], "document": tokenizer.prefix["passage"]},
            "default_prompt_name": "query" if any(tokenizer.prefix.values()) else None,
            "similarity_fn_name": "cosine" if encoder.normalize else "dot",
        },
        "sentence_bert_config.json": {"max_seq_length": max(tokenizer.max_length.values()), "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": encoder.dimension,
            **{f"pooling_mode_{mode}": mode == modes[encoder.pooling] for mode in (*modes.values(), *others)},
            "include_prompt": True,
        },
    }
