"""How a sentence-transformers model pools, prefixes and normalises, read from its files without running them."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from mixlingual.config.schema import ModelConfig
from mixlingual.model.hub import SAVED_OPTIONS, checkpoint_file
from mixlingual.records import MixlingualError

log = logging.getLogger(__name__)

_POOLING = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}
"""Names of pooling, in files of release 6 and before, -> ours."""

_ALTERNATIVE = "encode its texts with sentence-transformers and give the arrays with precomputed=FOLDER"


def as_published(config: ModelConfig) -> ModelConfig:
    """The config with what the files of a sentence-transformers model say in place of its own options.

    That is pooling, normalisation (also where scores are cosines), and the prompts named query and document or
    passage; one that names none keeps the config's prefixes, with a warning. Length limits stay those of the config:
    they are a choice of the evaluation. A model of ours, whose options `hub.as_saved` reads, or one without
    modules.json leaves the config as it is.

    Raises:
        MixlingualError: the model has a part that we do not have, or its files cannot be read.
    """
    if config.checkpoint is None or checkpoint_file(config, SAVED_OPTIONS) is not None:
        return config
    modules = _json(config, "modules.json")
    if modules is None:
        return config
    paths = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
    other = sorted(set(paths) - {"Transformer", "Pooling", "Normalize"})
    if other or len(paths) < len(modules):
        raise _unsupported(config, f"it has the modules {', '.join(other or paths)}")
    settings = _json(config, "config_sentence_transformers.json") or {}
    options: dict[str, Any] = {
        "pooling": _pooling(config, paths, settings.get("prompts") or {}),
        "normalize": _normalizes(config, paths, settings),
        **_prefixes(config, settings.get("prompts") or {}),
    }
    for name, value in options.items():
        if value != getattr(config, name):
            log.warning("model.%s: %r of %s holds, not %r", name, value, config.checkpoint, getattr(config, name))
    inner = Path(config.checkpoint).expanduser() / paths.get("Transformer", "")
    checkpoint = str(inner) if paths.get("Transformer") and inner.is_dir() else config.checkpoint
    return dataclasses.replace(config, checkpoint=checkpoint, **options)


def _pooling(config: ModelConfig, paths: dict[str, str], prompts: dict[str, str]) -> str:
    if "Pooling" not in paths:
        raise _unsupported(config, "it has no pooling module")
    settings = _json(config, f"{paths['Pooling']}/config.json") or {}
    legacy = [
        key.removeprefix("pooling_mode_") for key, on in settings.items() if key.startswith("pooling_mode_") and on
    ]
    chosen = settings.get("pooling_mode") or legacy
    modes = [chosen] if isinstance(chosen, str) else chosen
    if len(modes) != 1 or modes[0] not in _POOLING:
        raise _unsupported(config, f"its pooling is {' and '.join(modes) or 'not stated'}")
    if settings.get("include_prompt", True) is False and any(prompts.values()):
        raise _unsupported(config, "its pooling leaves the prompt out")
    return _POOLING[modes[0]]


def _normalizes(config: ModelConfig, paths: dict[str, str], settings: dict[str, Any]) -> bool:
    """Whether scores are those of embeddings of length 1; the library's default is cosine."""
    similarity = settings.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise _unsupported(config, f"its scores are {similarity}")
    return "Normalize" in paths or similarity == "cosine"


def _prefixes(config: ModelConfig, prompts: dict[str, str]) -> dict[str, str]:
    """Options of the prompts that the model names, empty ones too; if it names none the config's prefixes stay."""
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


def _unsupported(config: ModelConfig, why: str) -> MixlingualError:
    return MixlingualError(f"model.checkpoint={config.checkpoint}: {why}, which we do not have; {_ALTERNATIVE}")


def _json(config: ModelConfig, name: str) -> Any:
    path = checkpoint_file(config, name)
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MixlingualError(f"{path} is not JSON ({error}); fetch the model again") from error
