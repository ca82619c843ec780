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
from mixlingual.model.transfer import moved


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

    def embed(self, token_id_S: Tensor, length_B: Tensor, longest: int | None = None) -> Tensor:
        """Returns embedding_BD in float32 of texts that lie one after the other; no padding is computed if that pays.

        Where each token goes is found on the device, so that nothing is copied and nothing waits.

        Args:
            token_id_S: token ids, on the encoder's device.
            length_B: tokens of each text, at least one.
            longest: the largest of them. None: `length_B`, best on the CPU, is asked.
        """
        texts, device = len(length_B), token_id_S.device
        longest = int(length_B.max()) if longest is None else longest
        length_B = moved(length_B, device)
        start_B = length_B.cumsum(0) - length_B
        place_T = torch.arange(longest, device=device)
        present_BT = place_T < length_B[:, None]
        if self.packs(device):
            text_S = torch.arange(texts, device=device).repeat_interleave(length_B, output_size=len(token_id_S))
            position_S = torch.arange(len(token_id_S), device=device) - start_B[text_S]
            hidden_SD = self._packed(token_id_S, text_S, position_S, start_B, longest)
            hidden_XD = hidden_SD.new_zeros(texts * longest, hidden_SD.shape[-1])
            hidden_XD = hidden_XD.index_copy(0, text_S * longest + position_S, hidden_SD)
            return self._pooled(hidden_XD.view(texts, longest, -1), present_BT)
        place_BT = (start_B[:, None] + place_T).clamp_(max=len(token_id_S) - 1)
        padded_BT = token_id_S.long()[place_BT].masked_fill_(~present_BT, self.pad_id)
        embedding_BD: Tensor = self(padded_BT, present_BT.long())
        return embedding_BD

    def packs(self, device: torch.device) -> bool:
        """Tells whether texts go through the backbone as one row, without padding."""
        return self.why_padded(device) is None

    def why_padded(self, device: torch.device) -> str | None:
        """Returns what is missing for a row without padding, in words; None if nothing is.

        Rows are for kernels of a GPU that compute in half precision.
        """
        config = self.backbone.config
        if device.type != "cuda":
            return "a GPU"
        if not torch.is_autocast_enabled("cuda"):
            return "half precision (trainer.precision=bf16-mixed, evaluation.precision=bf16)"
        if config.model_type not in PACKABLE or config._attn_implementation != NAME:
            return f"an architecture that was tested so ({', '.join(PACKABLE)})"
        if torch.cuda.get_device_capability(device) < (8, 0):
            return "a GPU of compute capability 8.0 or higher (A100, L4, H100 ...)"
        if config.hidden_size // config.num_attention_heads not in range(8, 257, 8):
            return "attention heads whose width is a multiple of 8, up to 256"
        if varlen_kernel(self._attention_dropout if self.training else 0.0) is None:
            return "the package flash-attn (docs/large_models.md), or model.attention_dropout=0"
        return None

    @property
    def _attention_dropout(self) -> float:
        config = self.backbone.config
        probability: float = getattr(config, "attention_probs_dropout_prob", getattr(config, "attention_dropout", 0.0))
        return probability

    def _packed(self, token_id_S: Tensor, text_S: Tensor, position_S: Tensor, start_B: Tensor, longest: int) -> Tensor:
        """Returns the last hidden states [S, D]. Positions start anew in each text.

        Where layers are of several kinds, no mask at all has to be said for each: one of a row would be its square.
        """
        kinds = getattr(self.backbone.config, "layer_types", None)
        output = self.backbone(
            input_ids=token_id_S.long()[None],
            attention_mask=dict.fromkeys(kinds) if kinds else None,
            position_ids=self._counted(token_id_S, text_S, position_S, start_B)[None],
            cu_seq_lens_q=functional.pad(start_B, (0, 1), value=len(token_id_S)).int(),
            max_length_q=longest,
        )
        hidden_SD: Tensor = output.last_hidden_state[0]
        return hidden_SD

    def _counted(self, token_id_S: Tensor, text_S: Tensor, position_S: Tensor, start_B: Tensor) -> Tensor:
        """Returns positions [S] as the backbone itself counts them in padded rows.

        Encoders of the RoBERTa kind pass over the padding token, also where a text holds it literally.
        """
        first = first_position(getattr(self.backbone.embeddings, "position_embeddings", None))
        if first == 0:
            return position_S
        present_S = token_id_S != first - 1
        count_S = present_S.cumsum(0)
        before_B = (count_S - present_S.long())[start_B]
        return torch.where(present_S, count_S - before_B[text_S], 0) + first - 1

    def _pooled(self, hidden_BTD: Tensor, present_BT: Tensor) -> Tensor:
        embedding_BD = POOLING[self.pooling](hidden_BTD.float(), present_BT)
        return functional.normalize(embedding_BD, dim=-1) if self.normalize else embedding_BD


def first_position(table: nn.Module | None) -> int:
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
