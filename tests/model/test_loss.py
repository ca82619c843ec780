"""Every option of the loss equals a dense softmax in float64, and chunks bound the memory."""

import resource
import sys

import pytest
import torch
from forks import fork, wait
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from mixlingual.config.schema import LossConfig
from mixlingual.model.loss import check_matryoshka, contrastive_loss, info_nce
from mixlingual.records import MixlingualError

WIDTH = 8


def dense_info_nce(row_BD, candidate_ND, row_item_B, candidate_item_N, temperature, margin):
    """Returns (loss_B, how near the closest similarity comes to the margin)."""
    similarity_BN = row_BD @ candidate_ND.T
    excess_BN = similarity_BN - similarity_BN.diagonal()[:, None]
    left_out_BN = row_item_B[:, None] == candidate_item_N[None, :]
    if margin is not None:
        left_out_BN = left_out_BN | (excess_BN > margin)
    own_BN = torch.eye(*similarity_BN.shape, dtype=torch.bool)
    probability_BN = (similarity_BN / temperature).masked_fill(left_out_BN & ~own_BN, -torch.inf).softmax(dim=1)
    gap = torch.inf if margin is None else min((excess_BN - margin)[~own_BN].abs().tolist(), default=torch.inf)
    return -probability_BN.diagonal().log(), gap


def embeddings(count, seed, width=WIDTH):
    return normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=-1)


@st.composite
def cases(draw):
    """Draws arguments of `contrastive_loss`: repeated items and texts, negatives, other processes' rows, options."""
    pairs, others, hard = draw(st.integers(1, 7)), draw(st.integers(0, 4)), draw(st.integers(0, 3))
    seed, normalized = draw(st.integers(0, 10**6)), draw(st.booleans())
    item = torch.tensor(draw(st.lists(st.integers(0, 5), min_size=pairs + others, max_size=pairs + others)))
    query = embeddings(pairs + others, seed)
    passage = embeddings(pairs + others + hard, seed + 1)
    if draw(st.booleans()):
        passage[-1] = passage[0]
    if not normalized:
        query, passage = query * 2, passage * 3
    return {
        "query_BD": query[:pairs],
        "passage_ND": passage,
        "query_item_B": item[:pairs],
        "passage_item_N": torch.cat([item, torch.full((hard,), -1)]),
        "temperature": torch.tensor(draw(st.sampled_from([0.05, 1.0]))),
        "config": LossConfig(
            symmetric=draw(st.booleans()),
            margin=draw(st.sampled_from([None, -0.3, 0.05, 0.5])),
            matryoshka=draw(st.lists(st.integers(1, WIDTH), max_size=3)),
            score_rows=draw(st.none() | st.integers(1, 9)),
        ),
        "normalized": normalized,
        "all_query_MD": query,
        "all_query_item_M": item,
    }


def dense_loss(
    *, query_BD, passage_ND, query_item_B, passage_item_N, temperature, config, normalized, all_query_MD,
    all_query_item_M,
):  # fmt: skip
    losses, gaps = [], []
    for width in {WIDTH, *config.matryoshka}:
        query, passage, all_query = (matrix[:, :width] for matrix in (query_BD, passage_ND, all_query_MD))
        if normalized and width < WIDTH:
            query, passage, all_query = (normalize(matrix, dim=-1) for matrix in (query, passage, all_query))
        sides = [(query, passage, query_item_B, passage_item_N)]
        sides += [(passage[: len(query)], all_query, query_item_B, all_query_item_M)] * config.symmetric
        for side in sides:
            loss, gap = dense_info_nce(*side, temperature, config.margin)
            losses.append(loss)
            gaps.append(gap)
    return sum(losses) / len(losses), min(gaps)


def gradients(loss, case, dtype):
    """Returns (loss_B, gradients of the embeddings and of the temperature) of a weighted sum of the losses."""
    names = ("query_BD", "passage_ND", "all_query_MD", "temperature")
    leaves = {name: case[name].to(dtype, copy=True).requires_grad_() for name in names}
    loss_B = loss(**(case | leaves))
    (loss_B * torch.arange(1.0, len(loss_B) + 1)).sum().backward()
    zeros = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    return loss_B.detach(), [leaves[name].grad if leaves[name].grad is not None else zeros[name] for name in names]


@settings(max_examples=200)
@given(cases())
def test_every_combination_equals_the_dense_softmax(case):
    double = {name: part.double() if torch.is_tensor(part) and part.is_floating_point() else part
              for name, part in case.items()}  # fmt: skip
    assume(dense_loss(**double)[1] > 1e-5)
    expected_B, expected = gradients(lambda **parts: dense_loss(**parts)[0], case, torch.float64)
    loss_B, actual = gradients(contrastive_loss, case, torch.float32)
    torch.testing.assert_close(loss_B, expected_B.float(), rtol=1e-4, atol=1e-4)
    sharpness = 1 / float(case["temperature"])
    for ours, dense, steep in zip(actual, expected, [sharpness] * 3 + [sharpness**2]):
        torch.testing.assert_close(ours / steep, (dense / steep).float(), rtol=1e-3, atol=2e-4)


def gradient_on_candidate(similarity, *, item=1, margin=None):
    """Returns the gradient of query 0's loss, whose positive has cosine 0.6, on a passage of another cosine."""
    passage = torch.tensor([[0.6, 0.8], [similarity, (1 - similarity**2) ** 0.5]], requires_grad=True)
    query = torch.tensor([[1.0, 0.0]])
    info_nce(query, passage, torch.tensor([0]), torch.tensor([0, item]), 0.1, margin=margin).sum().backward()
    return passage.grad[1] @ query[0]


def test_translations_are_not_pushed_apart():
    assert gradient_on_candidate(0.59, item=0) == 0.0
    assert gradient_on_candidate(0.59) > 1.0, "without the mask a step lowers the score of the translation"
    assert gradient_on_candidate(0.59, item=-1) > 1.0, "a hard negative of no item is pushed away"


@pytest.mark.parametrize(
    ("similarity", "margin", "kept"),
    [(0.75, None, True), (0.75, 0.2, True), (0.75, 0.1, False), (0.59, 0.0, True), (0.59, -0.1, False)],
)
def test_a_candidate_above_the_positive_by_more_than_the_margin_is_left_out(similarity, margin, kept):
    assert (gradient_on_candidate(similarity, margin=margin) > 0.0) == kept


def test_a_symmetric_loss_takes_its_own_queries_unless_all_are_given():
    query, passage, item = embeddings(5, 1), embeddings(8, 2), torch.arange(8)
    arguments = (query, passage, item[:5], item, 0.1)
    loss_B = contrastive_loss(*arguments, LossConfig(symmetric=True), normalized=True)
    backward_B = info_nce(passage[:5], query, item[:5], item[:5], 0.1)
    torch.testing.assert_close(loss_B, (info_nce(*arguments) + backward_B) / 2)


@pytest.mark.parametrize("embedding_dtype", [torch.float32, torch.bfloat16])
def test_scores_and_gradients_are_float32_under_autocast(embedding_dtype):
    item = torch.arange(16)
    results = []
    for enabled in (False, True):
        query, passage = (embeddings(16, seed).to(embedding_dtype).requires_grad_() for seed in (1, 2))
        rows = (query, passage) if enabled else (query.float(), passage.float())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            config = LossConfig(symmetric=True, matryoshka=[4], score_rows=5)
            loss_B = contrastive_loss(*rows, item, item, 0.02, config, normalized=True)
            loss_B.mean().backward()
        results.append((loss_B, query.grad, passage.grad))
    assert results[1][0].dtype == torch.float32
    assert all(torch.equal(plain, under) for plain, under in zip(*results))


def test_what_is_not_finite_stays_so():
    query, passage, item = embeddings(4, 1), embeddings(4, 2), torch.arange(4)
    passage[2, 0] = torch.nan
    loss_B = contrastive_loss(query, passage, item, item, 0.1, LossConfig(margin=0.1, score_rows=2), normalized=True)
    assert loss_B.isnan().all()


def test_matryoshka_widths_must_fit_the_embedding():
    check_matryoshka([1, 384], 384)
    with pytest.raises(MixlingualError, match=r"loss.matryoshka: got \[0, 385\], but the embedding has 384 numbers"):
        check_matryoshka([0, 64, 385], 384)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in other units elsewhere")
@pytest.mark.parametrize(
    ("pairs", "most_bytes"),
    [pytest.param(8192, 8192**2 * 4, id="less than one dense score matrix"),
     pytest.param(65536, 2e9, id="65536 x 65536 below 2 GB", marks=pytest.mark.slow)],
)  # fmt: skip
def test_chunks_bound_the_memory(tmp_path, pairs, most_bytes):
    def measure():
        query, passage = (embeddings(pairs, seed, 16).requires_grad_() for seed in (1, 2))
        item = torch.arange(pairs)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        loss_B = contrastive_loss(query, passage, item, item, torch.tensor(0.05), LossConfig(), normalized=True)
        loss_B.sum().backward()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        leaf = query[:3].detach().requires_grad_()
        dense_B = torch.nn.functional.cross_entropy(leaf @ passage.T / 0.05, item[:3], reduction="none")
        dense_B.sum().backward()
        torch.testing.assert_close(loss_B[:3], dense_B, rtol=0, atol=1e-3)
        torch.testing.assert_close(query.grad[:3], leaf.grad, rtol=0, atol=1e-3)
        assert grown * 1024 < most_bytes, grown

    assert wait(fork(measure, tmp_path)) == 0, (tmp_path / "stderr").read_text()
