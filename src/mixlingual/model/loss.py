"""Computes the contrastive loss over the candidates of a step, in chunks of rows whose scores fit in memory.

Shape suffixes: B rows (pairs of this process), N candidates (N >= B), M queries of all processes
(M >= B), R rows of a chunk, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mixlingual.config.schema import LossConfig
from mixlingual.records import MixlingualError

CHUNK_BYTES = 64 * 2**20
"""The scores of one chunk take at most so many bytes, unless `loss.score_rows` says how many rows it has."""


def contrastive_loss(
    query_BD: Tensor,
    passage_ND: Tensor,
    query_item_B: Tensor,
    passage_item_N: Tensor,
    temperature: Tensor | float,
    config: LossConfig,
    *,
    normalized: bool,
    all_query_MD: Tensor | None = None,
    all_query_item_M: Tensor | None = None,
) -> Tensor:
    """Returns the loss of each pair: the mean of `info_nce` over the directions and widths that the config names.

    The directions are query -> passages and, if symmetric, passage -> queries (equation 3 of Radford et al.
    2021, arXiv 2103.00020, averages them too). The widths are the whole embedding and each Matryoshka prefix
    (equation 1 of Kusupati et al. 2022, arXiv 2205.13147, as a mean, so that it stays comparable). Suspected
    false negatives are judged anew in each direction and at each width.

    Args:
        query_BD: query embeddings.
        passage_ND: passage embeddings; row i < B is the positive of query i, later rows are negatives only:
            passages of other processes and hard negatives.
        query_item_B: item number of each query, int64, at least 0.
        passage_item_N: item number of each passage, int64, over all languages; -1 for a hard negative.
        temperature: scores are divided by it; gets a gradient if it is a tensor that asks for one.
        config: the options of the loss.
        normalized: embeddings have length 1, so prefixes are brought to length 1 again.
        all_query_MD: candidates of passage -> queries, those of this process first. None: query_BD.
        all_query_item_M: item number of each of them. None: query_item_B.

    Returns:
        loss_B, float32, in nats; callers average.
    """
    query_BD, passage_ND = query_BD.float(), passage_ND.float()
    directions = [(query_BD, passage_ND, query_item_B, passage_item_N)]
    if config.symmetric:
        candidate_MD = query_BD if all_query_MD is None else all_query_MD.float()
        candidate_item_M = query_item_B if all_query_item_M is None else all_query_item_M
        directions.append((passage_ND[: len(query_BD)], candidate_MD, query_item_B, candidate_item_M))
    width = query_BD.shape[1]
    losses = [
        info_nce(
            query_BD=_prefix(row_BD, prefix, normalized=normalized),
            passage_ND=_prefix(candidate_ND, prefix, normalized=normalized),
            query_item_B=item_B,
            passage_item_N=item_N,
            temperature=temperature,
            margin=config.margin,
            score_rows=config.score_rows,
        )
        for prefix in sorted({width, *config.matryoshka})
        for row_BD, candidate_ND, item_B, item_N in directions
    ]
    return torch.stack(losses).mean(0)


def info_nce(
    query_BD: Tensor,
    passage_ND: Tensor,
    query_item_B: Tensor,
    passage_item_N: Tensor,
    temperature: Tensor | float,
    *,
    margin: float | None = None,
    score_rows: int | None = None,
) -> Tensor:
    """Returns InfoNCE of each query against every passage at hand, in float32 even under autocast.

    Row i is -log(exp(s_ii / t) / sum_j exp(s_ij / t)) with the inner product s_ij of query i and passage j:
    equation 1 of Elmahdy, Lin & Ahmad 2024 (arXiv 2408.10536) with the other passages as negatives. Left out
    of the sum is a passage j != i that

    - belongs to the item of query i: a translation of the positive, or the positive again, which would
      otherwise be pushed away from it;
    - has s_ij > s_ii + margin: a suspected false negative. The choice is a constant to the gradient.

    The scores of `score_rows` queries exist at a time, and are computed again in the backward pass. It can be
    differentiated once.

    Args:
        query_BD: query embeddings.
        passage_ND: passage embeddings; row i < B is the positive of query i, later rows are negatives only.
        query_item_B: item number of each query, int64, at least 0.
        passage_item_N: item number of each passage, int64; the same numbering over all languages, and -1
            for a passage that belongs to none.
        temperature: scores are divided by it.
        margin: in units of s. None: only the item decides.
        score_rows: queries of a chunk, at least 1. None: as many as `CHUNK_BYTES` of scores allow.

    Returns:
        loss_B, the loss of each query in nats; callers average.
    """
    rows = score_rows or max(1, CHUNK_BYTES // (4 * len(passage_ND)))
    slack = None if margin is None else margin / torch.as_tensor(temperature).detach()
    with torch.autocast(query_BD.device.type, enabled=False):
        scaled_BD = query_BD.float() / temperature
        loss_B: Tensor = _ChunkedInfoNCE.apply(  # type: ignore[no-untyped-call]
            scaled_BD, passage_ND.float(), query_item_B, passage_item_N, slack, rows
        )
        return loss_B


def teacher_loss(query_BD: Tensor, passage_BD: Tensor, target_query_BD: Tensor, target_passage_BD: Tensor) -> Tensor:
    """Returns half the squared distance of each text's embedding from the teacher's, as the mean of a pair's two texts.

    It is the loss of Reimers & Gurevych 2020 (arXiv 2004.09813, equation 1) for a teacher that reads the text itself,
    and 1 - cosine where embeddings have length 1.

    Returns:
        loss_B, float32.
    """
    pairs = ((query_BD, target_query_BD), (passage_BD, target_passage_BD))
    return torch.stack([(own.float() - target).square().sum(1) for own, target in pairs]).mean(0) / 2


def check_matryoshka(widths: list[int], dimension: int) -> None:
    """Refuses prefix widths that an embedding of `dimension` numbers does not have.

    Raises:
        MixlingualError: naming the widths outside 1 to `dimension`.
    """
    if bad := [width for width in widths if not 1 <= width <= dimension]:
        raise MixlingualError(
            f"loss.matryoshka: got {bad}, but the embedding has {dimension} numbers; allowed are widths from 1 to "
            f"{dimension}. Take them out of loss.matryoshka or choose a wider model"
        )


def _prefix(embedding_BD: Tensor, width: int, *, normalized: bool) -> Tensor:
    """Returns the first `width` numbers of each embedding, at length 1 if the embeddings are."""
    prefix_BD = embedding_BD[:, :width]
    return functional.normalize(prefix_BD, dim=-1) if normalized and width < embedding_BD.shape[1] else prefix_BD


class _ChunkedInfoNCE(torch.autograd.Function):
    """Computes InfoNCE of queries over the temperature, `scaled_BD`; `slack` is the margin over the temperature.

    With e_ij = s_ij / t - s_ii / t, the loss is log sum_j exp(e_ij), and its gradient with respect to
    s_ij / t is exp(e_ij - loss_i), less 1 for j = i. All chunks share one buffer of scores: fresh ones for
    each, as torch.utils.checkpoint would take, fragment the C library's heap by gigabytes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scaled_BD: Tensor,
        passage_ND: Tensor,
        item_B: Tensor,
        item_N: Tensor,
        slack: Tensor | None,
        rows: int,
    ) -> Tensor:
        loss_B = torch.empty_like(scaled_BD[:, 0])
        for chunk, excess_RN in _excess_chunks(scaled_BD, passage_ND, item_B, item_N, slack, rows):
            largest_R = excess_RN.amax(1)
            excess_RN.sub_(largest_R[:, None]).exp_()
            loss_B[chunk] = excess_RN.sum(1).log() + largest_R
        ctx.save_for_backward(scaled_BD, passage_ND, item_B, item_N, loss_B)
        ctx.slack, ctx.rows = slack, rows
        return loss_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_B: Tensor) -> tuple[Tensor | None, ...]:
        scaled_BD, passage_ND, item_B, item_N, loss_B = ctx.saved_tensors
        scaled_gradient_BD, passage_gradient_ND = torch.empty_like(scaled_BD), torch.zeros_like(passage_ND)
        with torch.autocast(scaled_BD.device.type, enabled=False):
            for chunk, score_RN in _excess_chunks(scaled_BD, passage_ND, item_B, item_N, ctx.slack, ctx.rows):
                score_RN.sub_(loss_B[chunk, None]).exp_()
                score_RN.diagonal(chunk.start).sub_(1.0)
                score_RN.mul_(gradient_B[chunk, None])
                scaled_gradient_BD[chunk] = score_RN @ passage_ND
                passage_gradient_ND.addmm_(score_RN.T, scaled_BD[chunk])
        return scaled_gradient_BD, passage_gradient_ND, None, None, None, None


def _excess_chunks(
    scaled_BD: Tensor, passage_ND: Tensor, item_B: Tensor, item_N: Tensor, slack: Tensor | None, rows: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yields (rows of a chunk, their scores less that of the positive, on the diagonal); -inf is left out.

    The scores are good until the next chunk, and may be written over.
    """
    size = (min(rows, len(scaled_BD)), len(passage_ND))
    excess, left_out = scaled_BD.new_empty(size), item_B.new_empty(size, dtype=torch.bool)
    for start in range(0, len(scaled_BD), rows):
        chunk = slice(start, min(start + rows, len(scaled_BD)))
        excess_RN, left_out_RN = excess[: chunk.stop - start], left_out[: chunk.stop - start]
        torch.mm(scaled_BD[chunk], passage_ND.T, out=excess_RN)
        excess_RN.sub_(excess_RN.diagonal(start)[:, None].clone())
        torch.eq(item_B[chunk, None], item_N, out=left_out_RN)
        left_out_RN.diagonal(start).fill_(value=False)
        excess_RN.masked_fill_(left_out_RN, -torch.inf)
        if slack is not None:
            torch.gt(excess_RN, slack, out=left_out_RN)
            left_out_RN.diagonal(start).fill_(value=False)
            excess_RN.masked_fill_(left_out_RN, -torch.inf)
        yield chunk, excess_RN
