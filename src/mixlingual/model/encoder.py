"""Turns queries and passages into vectors by one set of weights, the dual encoder.

Shape suffixes: B texts, T tokens of the longest, S tokens of all, X places of a padded batch, D width of the embedding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from mixlingual.model.attention import NAME, PACKABLE, varlen_kernel
from mixlingual.model.pooling import POOLING

PASS_TOKENS = {"cpu": 2048, "cuda": 32768}
"""A pass through an encoder has so many tokens: what a CPU's cache holds, what keeps a GPU busy."""


class DualEncoder(nn.Module):
    """Is a Hugging Face encoder with pooling and a temperature, shared by queries and passages.

    Args:
        backbone: encoder whose output has `last_hidden_state`.
        pooling: key of `POOLING`.
        normalize: scale embeddings to length 1.
        temperature: divisor of scores in the loss; the starting value if it is learned.
        learn_temperature: make log(temperature) a parameter, as CLIP does (Radford et al. 2021).
    """

    log_temperature: nn.Parameter | None

    def __init__(
        self, backbone: PreTrainedModel, pooling: str, normalize: bool, temperature: float, learn_temperature: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.normalize = normalize
        self._fixed_temperature = temperature
        learned = nn.Parameter(torch.tensor(math.log(temperature))) if learn_temperature else None
        self.register_parameter("log_temperature", learned)

    @property
    def temperature(self) -> Tensor:
        """Returns the divisor of scores, a float32 scalar; it has a gradient if it is learned."""
        if self.log_temperature is None:
            return torch.tensor(self._fixed_temperature)
        return self.log_temperature.float().exp()

    @property
    def dimension(self) -> int:
        """Returns the width of the embedding."""
        return int(self.backbone.config.hidden_size)

    @property
    def pad_id(self) -> int:
        """Returns the token id that fills rows up."""
        return int(self.backbone.config.pad_token_id or 0)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Returns embedding_BD in float32 of right-padded token ids and their mask, both int64."""
        output = self.backbone(input_ids=input_ids_BT, attention_mask=attention_mask_BT)
        return self._pooled(output.last_hidden_state, attention_mask_BT)

    def embed(self, token_id_S: Tensor, length_B: Tensor) -> Tensor:
        """Returns embedding_BD in float32 of texts that lie one after the other; no padding is computed if that pays.

        Args:
            token_id_S: token ids, on the encoder's device.
            length_B: tokens of each text, at least one, on the CPU.
        """
        texts, longest, device = len(length_B), int(length_B.max()), token_id_S.device
        start_B = length_B.cumsum(0) - length_B
        text_S = torch.arange(texts).repeat_interleave(length_B)
        position_S = torch.arange(len(token_id_S)) - start_B[text_S]
        place_S = (text_S * longest + position_S).to(device)
        present_BT = (torch.arange(longest) < length_B[:, None]).to(device)
        if self._packs(device):
            hidden_SD = self._packed(token_id_S, position_S, length_B, longest)
            hidden_XD = hidden_SD.new_zeros(texts * longest, hidden_SD.shape[-1]).index_copy(0, place_S, hidden_SD)
            return self._pooled(hidden_XD.view(texts, longest, -1), present_BT)
        padded_X = torch.full((texts * longest,), self.pad_id, device=device)
        padded_BT = padded_X.index_copy_(0, place_S, token_id_S.long()).view(texts, longest)
        embedding_BD: Tensor = self(padded_BT, present_BT.long())
        return embedding_BD

    def _packs(self, device: torch.device) -> bool:
        """Tells whether texts go through the backbone as one row: by a kernel for it, in half precision, on a GPU."""
        config = self.backbone.config
        dropout = config.attention_probs_dropout_prob if self.training and config.model_type in PACKABLE else 0.0
        return (
            device.type == "cuda"
            and torch.is_autocast_enabled("cuda")
            and config._attn_implementation == NAME
            and config.model_type in PACKABLE
            and torch.cuda.get_device_capability(device) >= (8, 0)
            and config.hidden_size // config.num_attention_heads in range(8, 257, 8)
            and varlen_kernel(dropout) is not None
        )

    def _packed(self, token_id_S: Tensor, position_S: Tensor, length_B: Tensor, longest: int) -> Tensor:
        """Returns the last hidden states [S, D]. Positions start anew in each text."""
        ends = functional.pad(length_B.cumsum(0), (1, 0))
        output = self.backbone(
            input_ids=token_id_S.long()[None],
            position_ids=self._counted(token_id_S, position_S, length_B)[None],
            cu_seq_lens_q=ends.int().to(token_id_S.device),
            max_length_q=longest,
        )
        hidden_SD: Tensor = output.last_hidden_state[0]
        return hidden_SD

    def _counted(self, token_id_S: Tensor, position_S: Tensor, length_B: Tensor) -> Tensor:
        """Returns positions [S] as the backbone itself counts them in padded rows.

        Encoders of the RoBERTa kind pass over the padding token, also where a text holds it literally.
        """
        table, device = self.backbone.get_submodule("embeddings.position_embeddings"), token_id_S.device
        if first_position(table) == 0:
            return position_S.to(device)
        padding = first_position(table) - 1
        present_S = token_id_S != padding
        count_S = present_S.cumsum(0)
        start_B = (length_B.cumsum(0) - length_B).to(device)
        before_S = (count_S - present_S.long())[start_B].repeat_interleave(
            length_B.to(device), output_size=len(token_id_S)
        )
        return torch.where(present_S, count_S - before_S, 0) + padding

    def _pooled(self, hidden_BTD: Tensor, present_BT: Tensor) -> Tensor:
        embedding_BD = POOLING[self.pooling](hidden_BTD.float(), present_BT)
        return functional.normalize(embedding_BD, dim=-1) if self.normalize else embedding_BD


def first_position(table: nn.Module) -> int:
    """Returns the row of the first token's position: encoders like RoBERTa count from the padding index + 1."""
    padding = table.padding_idx if isinstance(table, nn.Embedding) else None
    return 0 if padding is None else padding + 1


def parameter_counts(encoder: DualEncoder) -> dict[str, int]:
    """Counts the weights of the backbone: `total`, and `non_embedding` without its lookup tables.

    The tables are those of tokens, positions and token types, as in Kaplan et al. 2020 (arXiv 2001.08361).
    Frozen weights count; a learned temperature and adapters do not.
    """
    own = (weight for name, weight in encoder.backbone.named_parameters() if "lora_" not in name)
    total = sum(weight.numel() for weight in own)
    tables = {module.weight for module in encoder.backbone.modules() if isinstance(module, nn.Embedding)}
    return {"total": total, "non_embedding": total - sum(table.numel() for table in tables)}
