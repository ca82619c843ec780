"""Figures on development sets equal those of the evaluation and of plain loops over pairs."""

import functools
import math
from dataclasses import replace
from statistics import fmean

import judged_folders
import numpy as np
import pytest
import torch

from mixlingual.config.schema import EvaluationConfig, LossConfig, ModelConfig, ScratchConfig, ValidationConfig
from mixlingual.data.development import part_of
from mixlingual.data.registry import load_benchmark
from mixlingual.evaluation.suite import evaluate_encoder
from mixlingual.evaluation.validation import DevelopmentSets, names_of
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError

CPU = torch.device("cpu")
CONFIG = EvaluationConfig(languages=["de", "en", "es"])


@pytest.fixture(scope="module")
def part():
    return part_of(load_benchmark("atlas", CONFIG), ValidationConfig(questions=20, candidates=30))


@pytest.fixture(scope="module")
def model(part):
    config = ModelConfig(scratch=ScratchConfig(1, 16, 2, 32, 400, 0.5))
    encoder, tokenizer = load_encoder(config, lambda: [query.text for query in part.queries], 0)
    encoder.train()
    return encoder, tokenizer


@pytest.fixture(scope="module")
def measured(part, model):
    return DevelopmentSets([part], CONFIG, LossConfig(), 8).measure(*model, CPU)


def test_retrieval_is_that_of_the_evaluation(part, model, measured):
    scores = evaluate_encoder(*model, [part], CONFIG, CPU).benchmarks["atlas"]
    names = {
        "mono/map", "cross/map", "multi/map", "multi/rank_distance", "loss", "loss_mono", "loss_cross",
        "pool_loss", "pool_loss_mono", "pool_loss_cross",
    }  # fmt: skip
    assert set(measured) == {f"atlas/{name}" for name in names}
    for name in names:
        if "/" in name:
            setting, measure = name.split("/")
            assert measured[f"atlas/{name}"] == scores[setting][measure]
    assert model[0].training, "it trains on"


def test_the_loss_is_the_mean_over_batches_of_pairs(part, model, measured):
    """The plain loop: every pair of languages, full batches of 8, other pairs with the same answer left out."""
    encoder, tokenizer = model
    encoder.eval()

    @functools.cache
    def vector(text, side):
        ids = tokenizer.encode([text], side)[0]
        return encoder.embed(torch.tensor(ids), torch.tensor([len(ids)]))[0].detach().numpy().astype(float)

    def batch_loss(pairs):
        losses = []
        for n, (question, answer) in enumerate(pairs):
            others = [a for m, (_, a) in enumerate(pairs) if m == n or a != answer]
            scores = np.array([vector(question, "query") @ vector(a, "passage") for a in others])
            scores /= float(encoder.temperature)
            own = scores[others.index(answer)]
            losses.append(math.log(np.exp(scores - scores.max()).sum()) + scores.max() - own)
        return fmean(losses)

    kinds = {"mono": [], "cross": []}
    for x in part.languages:
        for y in part.languages:
            pairs = [
                (q.text, part.candidates[part.gold[q.id, y]].text)
                for q in part.queries
                if q.language == x and (q.id, y) in part.gold
            ]
            kinds["mono" if x == y else "cross"].append(fmean(batch_loss(pairs[n : n + 8]) for n in (0, 8)))
    encoder.train()
    for kind, losses in kinds.items():
        assert measured[f"atlas/loss_{kind}"] == pytest.approx(fmean(losses), rel=1e-4)
    assert measured["atlas/loss"] == pytest.approx(fmean(map(fmean, kinds.values())), rel=1e-4)


def test_the_pool_loss_is_over_all_candidates_of_a_language(part, model, measured):
    """The plain loop; the batch size plays no part."""
    encoder, tokenizer = model
    encoder.eval()

    @functools.cache
    def vector(text, side):
        ids = tokenizer.encode([text], side)[0]
        return encoder.embed(torch.tensor(ids), torch.tensor([len(ids)]))[0].detach().numpy().astype(float)

    kinds = {"mono": [], "cross": []}
    for x in part.languages:
        for y in part.languages:
            losses = []
            for q in part.queries:
                if q.language == x and (q.id, y) in part.gold:
                    pool = [n for n, candidate in enumerate(part.candidates) if candidate.language == y]
                    scores = [vector(q.text, "query") @ vector(part.candidates[n].text, "passage") for n in pool]
                    scores = np.array(scores) / float(encoder.temperature)
                    own = scores[pool.index(part.gold[q.id, y])]
                    losses.append(math.log(np.exp(scores - scores.max()).sum()) + scores.max() - own)
            kinds["mono" if x == y else "cross"].append(fmean(losses))
    encoder.train()
    for kind, losses in kinds.items():
        assert measured[f"atlas/pool_loss_{kind}"] == pytest.approx(fmean(losses), rel=1e-4)
    assert measured["atlas/pool_loss"] == pytest.approx(fmean(map(fmean, kinds.values())), rel=1e-4)
    other = DevelopmentSets([part], CONFIG, LossConfig(), 3).measure(*model, CPU)
    assert other["atlas/pool_loss"] == measured["atlas/pool_loss"]
    assert other["atlas/loss"] != measured["atlas/loss"]


def test_other_answers_of_a_question_are_left_out(part, model, measured):
    """A second answer of every question: that of the next question, which would count against the first."""
    ids = list(dict.fromkeys(query.id for query in part.queries))
    following = dict(zip(ids, [*ids[1:], ids[0]]))
    several = replace(part, answers={one: {one: 1, other: 1} for one, other in following.items()})
    found = DevelopmentSets([several], CONFIG, LossConfig(), 8).measure(*model, CPU)
    assert found["atlas/pool_loss"] < measured["atlas/pool_loss"]


def test_a_set_smaller_than_a_batch_is_one_batch(part, model, measured):
    whole = DevelopmentSets([part], CONFIG, LossConfig(), 1000).measure(*model, CPU)
    twenty = DevelopmentSets([part], CONFIG, LossConfig(), 20).measure(*model, CPU)
    assert whole == twenty
    assert whole["atlas/loss"] > measured["atlas/loss"], "with more negatives"


def test_judged_sets_give_their_official_measure(tmp_path, model):
    judged_folders.miracl(tmp_path)
    config = EvaluationConfig(root=str(tmp_path), languages=["sw"])
    part = part_of(load_benchmark("miracl", config), ValidationConfig(questions=2, candidates=3))
    found = DevelopmentSets([part], config, LossConfig(), 8).measure(*model, CPU)
    scores = evaluate_encoder(*model, [part], config, CPU).benchmarks["miracl"]
    assert set(found) == {"miracl/loss", "miracl/loss_mono", "miracl/mono/ndcg@10"}
    assert found["miracl/mono/ndcg@10"] == scores["mono"]["ndcg@10"]
    assert found["miracl/loss"] > 0
    assert names_of(part, "mono") == ["miracl/mono/ndcg@10"]
    with pytest.raises(MixlingualError, match=r"measure=multi, but .* miracl has no setting multi, only mono"):
        names_of(part, "multi")


def test_processes_that_do_not_score_encode_along(part, model):
    seen = []

    def share(embed):
        return lambda texts, side, label: seen.append(side) or embed(texts, side, label)

    sets = DevelopmentSets([part], CONFIG, LossConfig(), 8)
    assert sets.measure(*model, CPU, share=share, first=False) == {}
    assert seen == ["query", "passage"]


def test_two_settings_are_compared_by_their_mean(part):
    assert names_of(part, "mono_cross") == ["atlas/mono/map", "atlas/cross/map"]
    assert names_of(part, "loss") == ["atlas/loss"]
