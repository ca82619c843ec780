"""Tells what an encoder costs from its configuration and tokenizer alone: no weights are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean

import torch
from transformers import AutoModel, PreTrainedConfig

from mixlingual.config.schema import ModelConfig
from mixlingual.model.encoder import DualEncoder, parameter_counts
from mixlingual.model.hub import as_saved, quiet, read_architecture
from mixlingual.model.load import check_layers, check_positions, drop_pooler, scratch_geometry
from mixlingual.model.tokenizer import TextTokenizer, train_tokenizer


@dataclass(frozen=True, slots=True)
class Sample:
    """Holds texts that stand for all: at least one query and one passage."""

    queries: list[str]
    passages: list[str]


@dataclass(frozen=True, slots=True)
class Outline:
    """Holds the size of an encoder and the mean tokens of its texts, prefix and special tokens included."""

    architecture: PreTrainedConfig
    parameters: dict[str, int]
    query_tokens: float
    passage_tokens: float


def outline(config: ModelConfig, training_texts: Callable[[], Iterable[str]], sample: Sample) -> Outline:
    """Counts the parameters of the encoder that `config` describes, and the tokens of sampled texts.

    Args:
        config: the `model` options.
        training_texts: called for the texts of the tokenizer, if `config.checkpoint` is null.
        sample: queries and passages whose tokens are counted.

    Raises:
        MixlingualError: the checkpoint cannot be used, or lacks layers that `config.layers` names.
    """
    config = as_saved(config)
    with quiet(), torch.device("meta"):
        if config.checkpoint is None:
            hf = train_tokenizer(training_texts(), config.scratch.vocabulary)
            architecture: PreTrainedConfig = scratch_geometry(config, hf)
            backbone = AutoModel.from_config(architecture)  # type: ignore[no-untyped-call]
        else:
            architecture, hf = read_architecture(config)
            check_layers(config.layers, architecture.num_hidden_layers)
            architecture.num_hidden_layers = len(config.layers or range(architecture.num_hidden_layers))
            backbone = AutoModel.from_config(  # type: ignore[no-untyped-call]
                architecture, trust_remote_code=config.trust_remote_code
            )
        drop_pooler(backbone)
    check_positions(backbone, config)
    encoder = DualEncoder(backbone, config.pooling, config.normalize, config.temperature, config.learn_temperature)
    tokenizer = TextTokenizer(hf, config)
    return Outline(
        architecture,
        parameter_counts(encoder),
        mean(len(ids) for ids in tokenizer.encode(sample.queries, "query")),
        mean(len(ids) for ids in tokenizer.encode(sample.passages, "passage")),
    )
