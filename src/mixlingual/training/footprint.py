"""Counts what an encoder holds in training, from its architecture alone.

Shapes go through the encoder without numbers (PyTorch's fake tensors): no weights are read and no GPU is needed.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from mixlingual.config.schema import ModelConfig, TrainConfig
from mixlingual.model.adapters import add_adapters
from mixlingual.model.attention import use_attention
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.hub import quiet
from mixlingual.model.load import drop_pooler, encoder_layers
from mixlingual.training.forecast import Footprint
from mixlingual.training.memory import held_bytes
from mixlingual.training.step import cast_once

_TEXTS, _LONGEST = 2, 128


def footprint(architecture: PreTrainedConfig, config: TrainConfig) -> Footprint:
    """Returns the footprint of an encoder, as a run trains it on a GPU without padding."""
    bf16 = config.trainer.precision != "32-true"
    backbone = _backbone(architecture, config.model, architecture.num_hidden_layers)
    weights = {name: weight.numel() for name, weight in backbone.named_parameters()}
    table: nn.Parameter = backbone.get_input_embeddings().weight  # type: ignore[assignment]
    layers = [sum(weight.numel() for weight in layer.parameters()) for layer in encoder_layers(backbone)[1]]
    linear = [part for part in backbone.modules() if isinstance(part, nn.Linear)]
    one, two = (_token_bytes(architecture, config.model, count, bf16=bf16) for count in (1, 2))
    layer_bytes, around = two - one, 2 * one - two
    token_bytes = around + layer_bytes * len(layers)
    if config.trainer.gradient_checkpointing:
        token_bytes = around + layer_bytes + 4 * architecture.hidden_size * len(layers)
    return Footprint(
        total=sum(weights.values()),
        trained=sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad),
        table=table.numel() if table.requires_grad else 0,
        cast=sum(weight.numel() for part in linear for weight in part.parameters(recurse=False)) if bf16 else 0,
        layer=max(layers),
        token_bytes=token_bytes,
    )


def _backbone(architecture: PreTrainedConfig, config: ModelConfig, layers: int) -> PreTrainedModel:
    """Returns the encoder with so many of its layers and no numbers, adapted and frozen as the options say."""
    cut = copy.deepcopy(architecture)
    cut.num_hidden_layers = layers
    for name in ("attention_probs_dropout_prob", "attention_dropout"):
        if hasattr(cut, name):
            setattr(cut, name, 0.0)  # kernels keep no mask of it
    if getattr(cut, "layer_types", None) is not None:
        cut.layer_types = cut.layer_types[:layers]
    with quiet(), torch.device("meta"):
        backbone: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
            cut, trust_remote_code=config.trust_remote_code
        )
        drop_pooler(backbone)
        backbone.get_input_embeddings().requires_grad_(config.train_embeddings)
        if config.lora.rank:
            add_adapters(backbone, config.lora)
    return backbone


def _token_bytes(architecture: PreTrainedConfig, config: ModelConfig, layers: int, *, bf16: bool) -> float:
    """Returns the bytes that a token of a packed pass holds in an encoder of so many layers."""
    backbone = _backbone(architecture, config, layers)
    with FakeTensorMode():
        _fake(backbone)
        use_attention(backbone)
        _compute_as_a_gpu(backbone, bf16=bf16)
        encoder = _Packing(backbone, config.pooling, config.normalize, 1.0, learn_temperature=False).train()
        token_id_S = torch.full((_TEXTS * _LONGEST,), 5, dtype=torch.int32)
        length_B = torch.full((_TEXTS,), _LONGEST, dtype=torch.int32)

        def run() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                return encoder.embed(token_id_S, length_B, _LONGEST)

        with cast_once(encoder, enabled=bf16):
            return held_bytes(run) / (_TEXTS * _LONGEST)


def _fake(backbone: PreTrainedModel) -> None:
    """Puts fake tensors, which know their device, in the place of those on the meta device."""
    for module in backbone.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(torch.empty(weight.shape), weight.requires_grad)
        for name, values in module._buffers.items():
            if values is not None:
                module._buffers[name] = torch.empty(values.shape, dtype=values.dtype)


class _Packing(DualEncoder):
    """Is an encoder that packs texts, on a device that need not be there."""

    def packs(self, device: torch.device) -> bool:
        return True


class _FusedDropout(nn.Dropout):
    """Is dropout as a GPU computes it, which keeps a byte for each number."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in nn.Dropout
        return torch.native_dropout(input, self.p, train=True)[0] if self.p else input


def _compute_as_a_gpu(backbone: PreTrainedModel, *, bf16: bool) -> None:
    """Makes layers keep what they would on a GPU, whose autocast has norms in fp32."""
    for parent in list(backbone.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, _FusedDropout(child.p))
            elif bf16 and "Norm" in type(child).__name__:
                child.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
