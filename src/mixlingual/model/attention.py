"""Computes the attention of the encoders: without padding on a GPU, with cheap dropout on a CPU.

Registered with transformers under `NAME`, as `attn_implementation`. Texts come either as rows of a
padded batch, or packed one after the other into a single row, with `cu_seq_lens_q` and `max_length_q`
to say where each ends.

Shape suffixes: B rows, H heads, T tokens of a row, D width of a head.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from mixlingual.model.dropout import drop

NAME = "mixlingual"

PACKABLE = ("bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "modernbert")
"""A test compares packed and padded results of these architectures."""

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int, float, float, int | None], Tensor]
"""Maps (query_THD, key_THD, value_THD, ends of the texts from 0 on, longest, scale, dropout, window) to [T, H, D].

A token attends to those at most `window` places away; None: to all of its text.
"""


def use_attention(backbone: PreTrainedModel) -> None:
    """Makes the encoder attend by `attend`, where it lets its attention be chosen."""
    if backbone.config._attn_implementation == "sdpa":
        backbone.set_attn_implementation(NAME)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **extra: Any,
) -> tuple[Tensor, None]:
    """Computes scaled dot-product attention; the layers of transformers call it.

    Args:
        module: the layer.
        query: [B, H, T, D], as are key and value.
        attention_mask: True where a token may be attended to, [B, 1, T, T] or broadcastable; None: everywhere.
        scaling: factor of the scores; None: D ** -0.5.
        dropout: probability, 0 in eval mode.
        extra: what a layer adds; `cu_seq_lens_q` (int32 [texts + 1]) and `max_length_q` mark a packed row, of whose
            tokens those attend to each other that are less than `sliding_window` apart.

    Returns:
        [B, T, H, D], and None for the weights.
    """
    if "cu_seq_lens_q" in extra:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        kernel = varlen_kernel(dropout)
        assert kernel is not None, "DualEncoder packs texts only where a kernel takes them"
        query_THD, key_THD, value_THD = (states.transpose(1, 2).squeeze(0) for states in (query, key, value))
        window = extra.get("sliding_window")
        packed_THD = kernel(
            query_THD, key_THD, value_THD, extra["cu_seq_lens_q"], extra["max_length_q"], scale, dropout,
            None if window is None else window - 1,
        )  # fmt: skip
        return packed_THD.unsqueeze(0), None
    plain = not getattr(module, "is_causal", False) and not extra.keys() & {"is_causal", "position_bias", "softcap"}
    if query.device.type == "cpu" and dropout > 0 and key.shape == query.shape and plain:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        score_BHTT = torch.matmul(query * scale, key.transpose(2, 3))
        if attention_mask is not None:
            score_BHTT = score_BHTT.masked_fill_(~attention_mask, -torch.inf)
        weight_BHTT = drop(score_BHTT.softmax(dim=-1), dropout)
        return torch.matmul(weight_BHTT, value).transpose(1, 2), None
    output, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **extra
    )
    return output, None


def mask(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    """Returns the mask of `sdpa_mask`, on a GPU even where it turns out to hide nothing: to look would be to wait."""
    if attention_mask is not None and attention_mask.device.type != "cpu":
        options |= {"allow_is_bidirectional_skip": False, "allow_is_causal_skip": False}
    hidden: Tensor | None = sdpa_mask(attention_mask=attention_mask, **options)
    return hidden


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, mask)


@functools.cache
def varlen_kernel(dropout: float) -> Kernel | None:
    """Attention over packed texts on a CUDA device, in half precision: PyTorch's where nothing is dropped, else that of
    the package flash-attn; None if it is not installed.
    """
    if dropout == 0:
        return _torch_varlen
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return None

    def flash(
        query_THD: Tensor, key_THD: Tensor, value_THD: Tensor, ends: Tensor, longest: int, scale: float,
        dropout: float, window: int | None,
    ) -> Tensor:  # fmt: skip
        output: Tensor = flash_attn_varlen_func(
            query_THD, key_THD, value_THD, ends, ends, longest, longest, dropout_p=dropout, softmax_scale=scale,
            window_size=_both_sides(window),
        )  # fmt: skip
        return output

    return flash


def _torch_varlen(
    query_THD: Tensor,
    key_THD: Tensor,
    value_THD: Tensor,
    ends: Tensor,
    longest: int,
    scale: float,
    dropout: float,  # noqa: ARG001 - always 0, see varlen_kernel
    window: int | None,
) -> Tensor:
    output_THD = varlen_attn(
        query_THD, key_THD, value_THD, ends, ends, longest, longest, scale=scale, window_size=_both_sides(window)
    )
    assert isinstance(output_THD, Tensor)
    return output_THD


def _both_sides(window: int | None) -> tuple[int, int]:
    """Returns a window as both kernels take it; -1 is none."""
    return (-1, -1) if window is None else (window, window)
