"""Reads how a sentence-transformers model pools, prefixes and normalises from its files, without running them.

Every key of its files is honoured, listed here because it changes no embedding, or refused by name.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mixlingual.config.schema import ModelConfig
from mixlingual.layout import SAVED_OPTIONS
from mixlingual.model.hub import checkpoint_file, json_file, replaced, transformer_settings
from mixlingual.records import MixlingualError

log = logging.getLogger(__name__)

_POOLING = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}
"""Names of pooling, in files of release 6 and before, -> ours."""

_ALTERNATIVE = "encode its texts with sentence-transformers and give the arrays with precomputed=FOLDER"

_ORDER = ["Transformer", "Pooling", "Normalize"]
"""The modules that we have, in the order in which they work."""

_MODULE_KEYS = {"idx", "name", "path", "type", "kwargs"}
"""Of modules.json; `kwargs` names arguments that our texts do not have."""

_MODEL = {"model_type": "SentenceTransformer", "truncate_dim": None}
_MODEL_KEYS = {"__version__", "requirements", "prompts", "default_prompt_name", "similarity_fn_name"}
"""Of config_sentence_transformers.json. A default prompt is for texts that are neither queries nor passages."""

_TRANSFORMER: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
    "query_expansion": None,
    "tokenizer_name_or_path": None,
    **{f"{part}_{kind}": {} for part in ("model", "tokenizer", "processor", "config") for kind in ("args", "kwargs")},
}
_TRANSFORMER_KEYS = {
    "do_lower_case", "modality_config", "unpad_inputs", "max_seq_length", "query_length", "document_length",
}  # fmt: skip
"""Of sentence_bert_config.json. `hub` puts texts into lower case; length limits are a choice of the evaluation."""

_POOLING_KEYS = {"word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt"}
_NORMALIZE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}


def as_published(config: ModelConfig) -> ModelConfig:
    """Returns the config with what the files of a sentence-transformers model say in place of its own options.

    That is pooling, normalisation (also where scores are cosines), and the prompts named query and document or
    passage; one that names none keeps the config's prefixes, with a warning. Length limits stay those of the config:
    they are a choice of the evaluation. A model of ours, whose options `hub.as_saved` reads, or one without
    modules.json leaves the config unchanged.

    Raises:
        MixlingualError: the model has a part or a setting that we do not have, or its files cannot be read.
    """
    if config.checkpoint is None or checkpoint_file(config, SAVED_OPTIONS) is not None:
        return config
    modules = json_file(config, "modules.json")
    if modules is None:
        return config
    paths = _paths(config, modules)
    settings = _object(config, "config_sentence_transformers.json")
    _check(config, "config_sentence_transformers.json", settings, _MODEL, _MODEL_KEYS)
    prompts = settings.get("prompts") or {}
    options: dict[str, Any] = {
        "pooling": _pooling(config, paths["Pooling"], prompts),
        "normalize": _normalizes(config, paths, settings),
        **_prefixes(config, prompts),
    }
    config = replaced(config, options)
    inner = Path(config.checkpoint or "").expanduser() / paths["Transformer"]
    if paths["Transformer"] and inner.is_dir():
        config = dataclasses.replace(config, checkpoint=str(inner))
    _check_transformer(config)
    return config


def _paths(config: ModelConfig, modules: Any) -> dict[str, str]:
    """Returns which module lies in which folder. Raises MixlingualError for others, and for another order."""
    names = []
    for module in modules:
        _check(config, "modules.json", module, {}, _MODULE_KEYS)
        package, _, name = str(module.get("type")).rpartition(".")
        names.append(name if package.partition(".")[0] == "sentence_transformers" else f"{package}.{name}")
    if "Pooling" not in names and not set(names) - set(_ORDER):
        raise _unsupported(config, "it has no pooling module")
    if names != _ORDER[: len(names)] or len(names) < 2:
        raise _unsupported(config, f"it has the modules {', '.join(names)}")
    return {name: str(module.get("path", "")) for name, module in zip(names, modules)}


def _pooling(config: ModelConfig, path: str, prompts: Mapping[str, str]) -> str:
    name = f"{path}/config.json"
    settings = _object(config, name)
    modes = {key.removeprefix("pooling_mode_"): on for key, on in settings.items() if key.startswith("pooling_mode_")}
    _check(config, name, settings, {}, _POOLING_KEYS | {f"pooling_mode_{mode}" for mode in modes})
    chosen = settings.get("pooling_mode") or [mode for mode, on in modes.items() if on]
    chosen = [chosen] if isinstance(chosen, str) else chosen
    if len(chosen) != 1 or chosen[0] not in _POOLING:
        raise _unsupported(config, f"its pooling is {' and '.join(chosen) or 'not stated'}")
    if settings.get("include_prompt", True) is False and any(prompts.values()):
        raise _unsupported(config, "its pooling leaves the prompt out")
    return _POOLING[chosen[0]]


def _normalizes(config: ModelConfig, paths: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
    """Tells whether scores are those of embeddings of length 1; the library's default is cosine."""
    similarity = settings.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise _unsupported(config, f"its scores are {similarity}")
    if "Normalize" in paths:
        name = f"{paths['Normalize']}/config.json"
        _check(config, name, _object(config, name), _NORMALIZE, ())
    return "Normalize" in paths or similarity == "cosine"


def _prefixes(config: ModelConfig, prompts: Mapping[str, str]) -> dict[str, str]:
    """Returns the prompts that the model names, empty ones too; if it names none the config's prefixes stay."""
    query = prompts.get("query")
    passage = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), None)
    if query is None and passage is None:
        log.warning(
            "%s names no prompts for queries and passages: model.query_prefix=%r and model.passage_prefix=%r are put "
            "before its texts",
            config.checkpoint,
            config.query_prefix,
            config.passage_prefix,
        )
        return {}
    return {"query_prefix": query or "", "passage_prefix": passage or ""}


def _check_transformer(config: ModelConfig) -> None:
    settings = transformer_settings(config)
    name = "sentence_bert_config.json"
    _check(config, name, settings, _TRANSFORMER, _TRANSFORMER_KEYS)
    text = (settings.get("modality_config") or {"text": _TEXT}).get("text")
    if text != _TEXT:
        raise _unsupported(config, f"{name} has modality_config.text={text!r}")


def _check(
    config: ModelConfig, name: str, settings: Mapping[str, Any], expected: Mapping[str, Any], others: Collection[str]
) -> None:
    """Refuses a key that is unknown, or that has another value than the one expected or none."""
    for key, value in settings.items():
        if key not in others and (key not in expected or (value != expected[key] and value)):
            raise _unsupported(config, f"{name} has {key}={value!r}")


def _object(config: ModelConfig, name: str) -> dict[str, Any]:
    """Returns the object in a JSON file; empty where there is none."""
    content = json_file(config, name)
    return content if isinstance(content, dict) else {}


def _unsupported(config: ModelConfig, why: str) -> MixlingualError:
    return MixlingualError(f"model.checkpoint={config.checkpoint}: {why}, which we do not have; {_ALTERNATIVE}")
