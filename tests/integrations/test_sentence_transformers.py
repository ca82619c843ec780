"""The evaluator inside sentence-transformers: its figures are ours, and the trainer chooses by them."""

import csv
import math

import pytest
import torch
from datasets import Dataset
from judged_folders import belebele
from parallel_benchmark import made
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from static_model import static_model

import mixlingual
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.integrations.sentence_transformers import SentenceRetrievalEvaluator, thinned
from mixlingual.records import MixlingualError

LANGUAGES = ["de", "en"]


@pytest.fixture(scope="module")
def pairs():
    items = atlas_corpus(LANGUAGES).items[:600]
    return Dataset.from_dict(
        {"anchor": [item.query["de"] for item in items], "positive": [item.passage["en"] for item in items]}
    )


@pytest.fixture
def model(pairs):
    torch.manual_seed(0)
    return static_model([*pairs["anchor"], *pairs["positive"]], prompts={"query": "frage ", "document": "antwort "})


def test_its_figures_are_those_of_the_evaluation(model, tmp_path):
    evaluator = SentenceRetrievalEvaluator("atlas", languages=LANGUAGES)
    found = evaluator(model, str(tmp_path), epoch=1, steps=20)
    ours = mixlingual.evaluate_encoder(model, "atlas", languages=LANGUAGES).metrics["atlas"]
    assert found["atlas_multi_map"] == ours["multi"]["map"]
    assert found["atlas_cross_ndcg@10"] == ours["cross"]["ndcg@10"]
    assert found["atlas_multi_rank_distance"] == ours["multi"]["rank_distance"]
    assert found["atlas_bias_geometry_language_probe"] == ours["bias"]["geometry"]["language_probe"]
    assert evaluator.primary_metric == "atlas_multi_map"
    assert evaluator(model)["atlas_multi_map"] == ours["multi"]["map"], "a second time, with the metric's whole name"
    (row,) = csv.DictReader((tmp_path / "sentence_retrieval_atlas_results.csv").open())
    assert (row["epoch"], row["steps"], float(row["multi_map"])) == ("1", "20", ours["multi"]["map"])
    assert model.similarity_fn_name == "cosine"


@pytest.mark.parametrize(
    ("metric", "greater"),
    [
        ("cross_ndcg@10", True), ("multi_rank_distance", False), ("bias_concordance_w", False),
        ("bias_first_result_other_own", False), ("bias_consistency_rbo", True),
    ],
)  # fmt: skip
def test_the_measure_itself_says_which_way_is_better(metric, greater):
    evaluator = SentenceRetrievalEvaluator("atlas", languages=LANGUAGES, paragraphs=2, primary_metric=metric)
    assert evaluator.greater_is_better is greater


@pytest.mark.parametrize("metric", ["multi_map", "multi_rank_distance"])
def test_the_trainer_evaluates_and_keeps_the_best(model, pairs, tmp_path, metric):
    evaluator = SentenceRetrievalEvaluator("atlas", languages=LANGUAGES, paragraphs=20, primary_metric=metric)
    args = SentenceTransformerTrainingArguments(
        str(tmp_path), max_steps=6, per_device_train_batch_size=32, learning_rate=0.05, eval_strategy="steps",
        eval_steps=2, save_steps=2, load_best_model_at_end=True, metric_for_best_model=f"atlas_{metric}",
        greater_is_better=evaluator.greater_is_better, use_cpu=True, report_to=[], disable_tqdm=True,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model, args, train_dataset=pairs, loss=MultipleNegativesRankingLoss(model), evaluator=evaluator
    )
    trainer.train()
    history = [row[f"eval_atlas_{metric}"] for row in trainer.state.log_history if f"eval_atlas_{metric}" in row]
    assert len(history) == 3
    assert trainer.state.best_metric == (max if metric == "multi_map" else min)(history)


def test_fewer_paragraphs_keep_the_share_of_what_is_relevant():
    benchmark, _, _ = made(0, questions=40, extra=80)
    thin = thinned(benchmark, 10)
    assert len({query.paragraph for query in benchmark.queries}) == 20
    assert len({query.paragraph for query in thin.queries}) == 10
    share = [len(set(one.gold.values())) / len(one.candidates) for one in (benchmark, thin)]
    assert math.isclose(*share, rel_tol=0.1)
    for (question, language), position in thin.gold.items():
        assert thin.candidates[position] == benchmark.candidates[benchmark.gold[question, language]]
    assert {query.id for query in thin.queries} == {question for question, _ in thin.gold}
    assert thinned(benchmark, 99).gold == benchmark.gold
    with pytest.raises(MixlingualError, match=r"got paragraphs=0; it is at least 1, or None for all 20"):
        thinned(benchmark, 0)


def test_what_it_cannot_do_is_said(model, tmp_path):
    belebele(tmp_path)
    with pytest.raises(MixlingualError, match=r"belebele is not parallel; the evaluator takes parallel benchmarks"):
        SentenceRetrievalEvaluator("belebele", root=str(tmp_path))
    with pytest.raises(MixlingualError, match=r"got primary_metric='multi_mpa'; the metrics are mono_map, "):
        SentenceRetrievalEvaluator("atlas", languages=LANGUAGES, primary_metric="multi_mpa")(model)
