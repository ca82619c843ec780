"""Reads pretrained encoders and their tokenizers from a folder or the Hugging Face hub."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.repocard import metadata_load
from omegaconf import OmegaConf
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from yaml import YAMLError

from mixlingual.config.checks import to_config
from mixlingual.config.schema import EvaluateConfig, ModelConfig
from mixlingual.data.lines import refuse_pointer
from mixlingual.layout import SAVED_OPTIONS
from mixlingual.model.checks import check_numbers, check_weights, checked_tokenizer
from mixlingual.records import MixlingualError

log = logging.getLogger(__name__)

_KEPT_OPTIONS = (
    "pooling", "normalize", "query_prefix", "passage_prefix", "max_query_length", "max_passage_length", "layers",
)  # fmt: skip


_SETTINGS_KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
"""Files of sentence-transformers are sentence_KIND_config.json; the first that there is holds."""


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back the warnings of Hugging Face libraries and, where nobody watches, their progress bars."""
    verbosity = transformers.logging.get_verbosity(), huggingface_hub.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity(logging.ERROR)
    huggingface_hub.logging.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity[0])
        huggingface_hub.logging.set_verbosity(verbosity[1])
        if bars:
            transformers.logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def as_saved(config: ModelConfig) -> ModelConfig:
    """Returns the config, with the options of a checkpoint that `save_encoder` wrote in place of its own.

    Pooling, prefixes, lengths and layers belong to trained weights; a warning names those that differ. Layers to keep
    count only where they are fewer than the checkpoint has: one that was cut when it was trained is not cut again.

    Raises:
        MixlingualError: the file of options is damaged, or the hub cannot be asked for it.
    """
    path = None if config.checkpoint is None else checkpoint_file(config, SAVED_OPTIONS)
    if path is None:
        return config
    try:
        saved = json.loads(path.read_text(encoding="utf-8-sig"))
        options = {name: saved[name] for name in _KEPT_OPTIONS}
        to_config(EvaluateConfig, OmegaConf.create({"model": {**options, "checkpoint": config.checkpoint}}))
    except (ValueError, KeyError, TypeError) as error:
        raise MixlingualError(f"{path} is damaged ({error!r}); delete it to use the model options given") from error
    except MixlingualError as error:
        raise MixlingualError(f"{path} holds options that cannot be; mend it, or delete it: {error}") from error
    if config.layers is not None and len(config.layers) < _architecture(config).num_hidden_layers:
        del options["layers"]
    return replaced(config, options)


def replaced(config: ModelConfig, options: dict[str, Any]) -> ModelConfig:
    """Returns the config with a checkpoint's options in place of its own; a warning names those that differ."""
    for name, value in options.items():
        if value != getattr(config, name):
            log.warning("model.%s: %r of %s holds, not %r", name, value, config.checkpoint, getattr(config, name))
    return dataclasses.replace(config, **options)


def json_file(config: ModelConfig, name: str) -> dict[str, Any] | list[Any] | None:
    """Returns the content of a JSON file of the checkpoint; None if that has no such file.

    Raises:
        MixlingualError: it is not JSON, or the hub cannot be asked for it.
    """
    path = checkpoint_file(config, name)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise MixlingualError(f"{path} is not JSON ({error}); fetch the model again") from error
    if not isinstance(content, (dict, list)):
        raise MixlingualError(f"{path} holds {content!r}, neither an object nor a list; fetch the model again")
    return content


def transformer_settings(config: ModelConfig) -> dict[str, Any]:
    """Returns what sentence-transformers keeps about a checkpoint's encoder, under any of its names for the file.

    Raises:
        MixlingualError: as `json_file`.
    """
    is_folder = Path(config.checkpoint or "").expanduser().is_dir()
    kinds = _SETTINGS_KINDS if is_folder or checkpoint_file(config, "modules.json") is not None else ()
    for kind in kinds:
        if content := json_file(config, f"sentence_{kind}_config.json"):
            assert isinstance(content, dict)
            return content
    return {}


def _lower_case(config: ModelConfig) -> bool:
    return bool(transformer_settings(config).get("do_lower_case"))


def checkpoint_file(config: ModelConfig, name: str) -> Path | None:
    """Returns a file of the checkpoint's folder or hub repository; None if that has no such file.

    Without network the cache decides. It may know that the repository lacks the file; where it merely lacks it beside a
    config.json, a warning says that the model is taken as one without.

    Raises:
        MixlingualError: the hub cannot be asked, and the cache does not hold the model.
    """
    assert config.checkpoint is not None
    folder = Path(config.checkpoint).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        return Path(huggingface_hub.hf_hub_download(config.checkpoint, name, revision=config.revision))
    except (EntryNotFoundError, OSError, ValueError) as error:
        if _is_missing(config, name, error):
            return None
        raise MixlingualError(_unreadable(config.checkpoint, error)) from error


def front_matter(config: ModelConfig) -> dict[str, Any]:
    """Returns what the checkpoint's model card says for programs, as its licence; empty where that cannot be read."""
    try:
        path = checkpoint_file(config, "README.md")
        return (metadata_load(path) or {}) if path else {}
    except (MixlingualError, ValueError, YAMLError) as error:
        log.warning("the model card of %s cannot be read: %s", config.checkpoint, error)
        return {}


def _is_missing(config: ModelConfig, name: str, error: Exception) -> bool:
    """Tells whether an error of the hub means that the model has no such file."""
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return True
    assert config.checkpoint is not None
    try:
        cached, model = (
            huggingface_hub.try_to_load_from_cache(config.checkpoint, file, revision=config.revision)
            for file in (name, "config.json")
        )
    except ValueError:
        return False
    if isinstance(model, str) and cached is None:
        log.warning(
            "the hub cannot be asked whether %s has a %s: it is taken as a model without, as in the cache",
            config.checkpoint,
            name,
        )
    return isinstance(model, str)


def read_pretrained(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Reads backbone, in float32, and tokenizer of `config.checkpoint`. Only safetensors are read: they hold no code.

    Raises:
        MixlingualError: the checkpoint cannot be found or read, or lacks weights or vocabulary.
    """
    assert config.checkpoint is not None
    log.info("loading the encoder %s", config.checkpoint)
    with _readable(config.checkpoint):
        backbone, info = AutoModel.from_pretrained(
            **_source(config),
            config=_architecture(config),
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
        hf = AutoTokenizer.from_pretrained(**_source(config))
    check_weights(config.checkpoint, info["missing_keys"])
    check_numbers(config.checkpoint, backbone)
    return backbone, checked_tokenizer(config.checkpoint, hf, backbone.config, lower_case=_lower_case(config))


def read_architecture(config: ModelConfig) -> tuple[PreTrainedConfig, PreTrainedTokenizerFast]:
    """Reads architecture and tokenizer of `config.checkpoint`, without its weights.

    Raises:
        MixlingualError: as `read_pretrained`.
    """
    assert config.checkpoint is not None
    with _readable(config.checkpoint):
        architecture = _architecture(config)
        _check_weight_files(config)
        hf = AutoTokenizer.from_pretrained(**_source(config))
    return architecture, checked_tokenizer(config.checkpoint, hf, architecture, lower_case=_lower_case(config))


def _architecture(config: ModelConfig) -> PreTrainedConfig:
    """Reads the checkpoint's architecture, and sets the dropout of attention weights that `config` asks for."""
    assert config.checkpoint is not None
    architecture: PreTrainedConfig = AutoConfig.from_pretrained(**_source(config))
    if architecture.is_encoder_decoder or getattr(type(architecture), "is_encoder_decoder", False):
        raise MixlingualError(
            f"model.checkpoint={config.checkpoint}: {architecture.model_type} models are an encoder with a decoder, "
            "which cannot be loaded, nor can its first part alone. Choose an encoder, or encode with another program "
            "and give the arrays with precomputed=FOLDER."
        )
    if config.attention_dropout is not None:
        set_attention_dropout(architecture, config.attention_dropout)
    return architecture


def set_attention_dropout(architecture: PreTrainedConfig, probability: float) -> None:
    """Sets the dropout of attention weights, which architectures name differently.

    Raises:
        MixlingualError: the architecture has no such setting.
    """
    names = [name for name in ("attention_probs_dropout_prob", "attention_dropout") if hasattr(architecture, name)]
    if not names:
        raise MixlingualError(
            f"model.attention_dropout: {architecture.model_type} encoders have no dropout of attention weights. Set "
            "it to null."
        )
    setattr(architecture, names[0], probability)


def _check_weight_files(config: ModelConfig) -> None:
    """Refuses a checkpoint that holds no safetensors, by the names of its files."""
    assert config.checkpoint is not None
    folder = Path(config.checkpoint).expanduser()
    if folder.is_dir():
        names = [path.name for path in folder.iterdir()]
    else:
        names = huggingface_hub.list_repo_files(config.checkpoint, revision=config.revision)
    if not any(name.endswith(".safetensors") and not name.startswith(".") for name in names):
        raise MixlingualError(
            f"model.checkpoint={config.checkpoint}: it holds no *.safetensors file. Convert its weights, or choose a "
            "revision that holds them."
        )


def _source(config: ModelConfig) -> dict[str, Any]:
    """Returns the arguments that name the checkpoint to the library: a folder if it exists, else a hub id."""
    assert config.checkpoint is not None
    folder = Path(config.checkpoint).expanduser()
    source = str(folder) if folder.is_dir() else config.checkpoint
    return {
        "pretrained_model_name_or_path": source,
        "revision": config.revision or "main",
        "trust_remote_code": config.trust_remote_code,
    }


@contextmanager
def _readable(checkpoint: str) -> Iterator[None]:
    """Turns the libraries' many errors, some of which have no class of their own, into one message."""
    for path in Path(checkpoint).expanduser().glob("[!.]*"):
        refuse_pointer(path)
    try:
        yield
    except MixlingualError:
        raise
    except Exception as error:
        raise MixlingualError(_unreadable(checkpoint, error)) from error


def _unreadable(checkpoint: str, error: Exception) -> str:
    """Says what was tried, what went wrong and what to do, in one message."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if "model.safetensors" in reason:
        reason = (
            "it has no model.safetensors. If you trust its weights, convert them once with "
            "transformers.AutoModel.from_pretrained(SOURCE).save_pretrained(FOLDER)."
        )
    if Path(checkpoint).expanduser().is_dir():
        return (
            f"model.checkpoint={checkpoint}: the folder cannot be read as a Hugging Face encoder: {reason} "
            "It must hold config.json, model.safetensors and the tokenizer's files."
        )
    if checkpoint.startswith(("/", ".", "~")) or checkpoint.count("/") > 1:
        return f"model.checkpoint={checkpoint}: there is no such folder. Give an existing folder or a hub id."
    return (
        f"model.checkpoint={checkpoint}: no folder of this name, and the Hugging Face hub did not give it: {reason} "
        f"Where there is network, run `hf download {checkpoint} --local-dir FOLDER`; then set model.checkpoint=FOLDER."
    )
