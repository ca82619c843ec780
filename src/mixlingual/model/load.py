"""Makes a dual encoder and its tokenizer of `model` options: pretrained, cut to some layers, or from scratch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerFast

from mixlingual.config.schema import ModelConfig
from mixlingual.model.adapters import add_adapters
from mixlingual.model.attention import use_attention
from mixlingual.model.dropout import use_cheap_dropout
from mixlingual.model.encoder import DualEncoder, first_position
from mixlingual.model.hub import as_saved, quiet, read_pretrained
from mixlingual.model.tokenizer import TextTokenizer, train_tokenizer
from mixlingual.records import MixlingualError


def load_encoder(
    config: ModelConfig, training_texts: Callable[[], Iterable[str]] | None, seed: int
) -> tuple[DualEncoder, TextTokenizer]:
    """Returns the dual encoder that `config` describes, in training mode and float32, and its tokenizer.

    Weights depend on `config`, `seed` and, from scratch, the tokenizer; the random state of the program is
    neither used nor changed.

    Args:
        config: the `model` options.
        training_texts: called for the texts that a tokenizer is trained on, if `config.checkpoint` is null.
        seed: seed of random weights.

    Raises:
        MixlingualError: the checkpoint cannot be used, or `config` asks for layers or positions it lacks.
    """
    config = as_saved(config)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if config.checkpoint is not None:
            backbone, hf = read_pretrained(config)
        else:
            backbone, hf = _from_scratch(config, training_texts)
        if config.layers is not None:
            backbone = keep_layers(backbone, config.layers)
        drop_pooler(backbone)
        check_positions(backbone, config)
        backbone.get_input_embeddings().requires_grad_(config.train_embeddings)
        if config.lora.rank:
            add_adapters(backbone, config.lora)
    use_attention(backbone)
    use_cheap_dropout(backbone)
    encoder = DualEncoder(
        backbone,
        pooling=config.pooling,
        normalize=config.normalize,
        temperature=config.temperature,
        learn_temperature=config.learn_temperature,
    )
    return encoder.train(), TextTokenizer(hf, config)


def keep_layers(backbone: PreTrainedModel, kept: list[int]) -> PreTrainedModel:
    """Returns the encoder with only the layers at positions `kept`, in that order; weights are shared, not copied.

    It is built anew from a configuration of that many layers, hence saving and loading it changes nothing. Parts
    that a place in the stack does not have are dropped: in ModernBERT the first layer has no norm before attention.

    Raises:
        MixlingualError: a position is out of range, or the layers cannot be found.
    """
    name, layers = encoder_layers(backbone)
    check_layers(kept, len(layers))
    config = copy.deepcopy(backbone.config)
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [config.layer_types[i] for i in kept]
    weights = {key: value for key, value in backbone.state_dict().items() if not key.startswith(f"{name}.")}
    for place, i in enumerate(kept):
        weights |= {f"{name}.{place}.{key}": value for key, value in layers[i].state_dict().items()}
    cut: PreTrainedModel = type(backbone).from_pretrained(None, config=config, state_dict=weights, dtype=torch.float32)
    return cut


def check_layers(kept: list[int] | None, layers: int) -> None:
    """Raises MixlingualError if `kept` names a layer that an encoder of so many layers lacks."""
    if kept is not None and any(not 0 <= i < layers for i in kept):
        raise MixlingualError(
            f"model.layers: got {kept}, but the encoder has {layers} layers; allowed: 0 to {layers - 1}. "
            "A folder saved from a cut encoder holds the kept layers only: load it with model.layers=null."
        )


def encoder_layers(backbone: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Returns dotted name and list of the encoder layers: the outermost list of as many modules as there are layers."""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == backbone.config.num_hidden_layers:
            return name, module
    raise MixlingualError(
        f"model.layers: {type(backbone).__name__} has no list of its {backbone.config.num_hidden_layers} layers "
        "to choose from. Set model.layers=null."
    )


def _from_scratch(
    config: ModelConfig, training_texts: Callable[[], Iterable[str]] | None
) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """Makes a BERT encoder (Devlin et al. 2019) with random weights, and a tokenizer trained on the texts."""
    if training_texts is None:
        raise MixlingualError(
            "model.checkpoint is null, but there are no training texts for the tokenizer of an encoder from random "
            "weights. Set model.checkpoint=FOLDER_OR_HUB_ID."
        )
    hf = train_tokenizer(training_texts(), config.scratch.vocabulary)
    return BertModel(scratch_geometry(config, hf), add_pooling_layer=False), hf


def scratch_geometry(config: ModelConfig, hf: PreTrainedTokenizerFast) -> BertConfig:
    """Returns the BERT configuration of `config.scratch`, with as many positions as the length limits need."""
    scratch = config.scratch
    attention_dropout = scratch.dropout if config.attention_dropout is None else config.attention_dropout
    return BertConfig(
        vocab_size=len(hf),
        hidden_size=scratch.hidden,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        intermediate_size=scratch.intermediate,
        hidden_dropout_prob=scratch.dropout,
        attention_probs_dropout_prob=attention_dropout,
        max_position_embeddings=max(config.max_query_length, config.max_passage_length),
        type_vocab_size=1,
        pad_token_id=hf.pad_token_id,
        bos_token_id=hf.bos_token_id,
        eos_token_id=hf.eos_token_id,
    )


def drop_pooler(backbone: PreTrainedModel) -> None:
    """Takes off the head that some encoders put on the first token: unused weights would count and get no gradient."""
    if getattr(backbone, "pooler", None) is not None:
        backbone.register_module("pooler", None)


def check_positions(backbone: PreTrainedModel, config: ModelConfig) -> None:
    """Refuses length limits beyond the table of position embeddings; rotary encoders have none."""
    for name, table in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
            usable = table.num_embeddings - first_position(table)
            for option in ("max_query_length", "max_passage_length"):
                if getattr(config, option) > usable:
                    raise MixlingualError(
                        f"model.{option}: got {getattr(config, option)}, but the encoder has {usable} positions; "
                        f"allowed: up to {usable}."
                    )
