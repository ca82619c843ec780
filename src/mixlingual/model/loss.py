"""The contrastive loss over in-batch negatives.

Shape suffixes: B queries, N candidate passages (N >= B), D width of the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    query_BD: Tensor,
    passage_ND: Tensor,
    query_item_B: Tensor,
    passage_item_N: Tensor,
    temperature: Tensor | float,
) -> Tensor:
    """InfoNCE of each query against every passage at hand, in float32 even under autocast.

    Row i is -log(exp(s_ii / t) / sum_j exp(s_ij / t)) with the inner product s_ij of query i and passage j:
    equation 1 of Elmahdy, Lin & Ahmad 2024 (arXiv 2408.10536) with the other passages as negatives. A
    passage j != i that belongs to the item of query i is a translation of the positive, or the positive
    again. It is left out of the sum, since it would otherwise push translations apart.

    Args:
        query_BD: query embeddings.
        passage_ND: passage embeddings; row i < B is the positive of query i, later rows are negatives only.
        query_item_B: item number of each query, int64.
        passage_item_N: item number of each passage, int64; the same numbering over all languages.
        temperature: scores are divided by it.

    Returns:
        loss_B, the loss of each query in nats; callers average.
    """
    with torch.autocast(query_BD.device.type, enabled=False):
        score_BN = query_BD.float() @ passage_ND.float().T / temperature
        false_negative_BN = query_item_B[:, None] == passage_item_N[None, :]
        false_negative_BN.fill_diagonal_(False)  # noqa: FBT003
        score_BN = score_BN.masked_fill(false_negative_BN, -torch.inf)
        positive_B = torch.arange(len(query_BD), device=query_BD.device)
        return functional.cross_entropy(score_BN, positive_B, reduction="none")
