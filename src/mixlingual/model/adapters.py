"""Puts low-rank adapters (LoRA) into an encoder, by the package peft."""

from __future__ import annotations

import copy

from torch import nn
from transformers import PreTrainedModel

from mixlingual.config.schema import LoraConfig
from mixlingual.records import MixlingualError


def add_adapters(backbone: PreTrainedModel, config: LoraConfig) -> None:
    """Puts adapters into the encoder's layers, in place, and freezes all other weights.

    A layer x -> W x + b becomes x -> W x + b + alpha / rank B A x, with A random and B zero, so that at first
    nothing changes (Hu et al. 2021, arXiv 2106.09685).

    Raises:
        MixlingualError: peft is not installed, or no linear layer has one of the wanted names.
    """
    try:
        import peft
    except ImportError as error:
        raise MixlingualError(
            f"model.lora.rank={config.rank} needs the package peft, which is not installed; run "
            "pip install 'mixlingual[lora]', or set model.lora.rank=0"
        ) from error
    targets = _targets(backbone, config.modules)
    wanted = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=targets
    )
    peft.inject_adapter_in_model(wanted, backbone)


def _targets(backbone: PreTrainedModel, ends: list[str] | None) -> list[str]:
    """Returns the names of the linear layers that end in one of `ends`, or of all if it is None."""
    linear = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    if ends is None:
        return linear
    found = {end: [name for name in linear if f".{name}".endswith(f".{end}")] for end in ends}
    if missing := [end for end, names in found.items() if not names]:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise MixlingualError(
            f"model.lora.modules: {type(backbone).__name__} has no linear layer named {', '.join(missing)}; "
            f"choose from {known}, or null for all"
        )
    return sorted({name for names in found.values() for name in names})


def merged(backbone: PreTrainedModel) -> PreTrainedModel:
    """Returns a copy of the encoder with its adapters added into the weights, or the encoder itself if it has none."""
    if not any("lora_" in name for name, _ in backbone.named_parameters()):
        return backbone
    from peft.tuners.tuners_utils import BaseTunerLayer

    whole = copy.deepcopy(backbone)
    for parent in list(whole.modules()):
        for name, child in parent.named_children():
            if isinstance(child, BaseTunerLayer):
                child.merge(safe_merge=True)
                setattr(parent, name, child.get_base_layer())
    return whole
