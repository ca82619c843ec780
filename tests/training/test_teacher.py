"""A student learns its teacher's embeddings of the texts that the run draws, which are computed once."""

import json

import numpy as np
import pytest
import torch
from forks import run_module
from training_fixture import LANGUAGES, STEPS, config_of, corpus, prepare, train

from mixlingual.batches.pools import make_sampler
from mixlingual.batches.targets import drawn_texts, texts_of
from mixlingual.config.contradictions import contradictions
from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.evaluation import teacher as module
from mixlingual.evaluation.encode import encode
from mixlingual.evaluation.teacher import learned_targets
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError
from mixlingual.training.step import ContrastiveStep

CPU = torch.device("cpu")
STUDENT = {"batching": {"batch_size": 8, "monolingual_mixed": True}, "optim": {"learning_rate": 0.01, "eps": 1e-8}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Saves a teacher of two layers, whose prefixes are its own."""
    options = ModelConfig(scratch=ScratchConfig(2, 16, 2, 32, 400, 0.0), query_prefix="q: ", passage_prefix="p: ")
    texts = [text for item in corpus().items for text in (*item.query.values(), *item.passage.values())]
    encoder, tokenizer = load_encoder(options, lambda: texts, seed=5)
    for weight in encoder.backbone.encoder.layer.parameters():
        weight.data *= 1 if weight.ndim == 1 else 10  # random layers of the usual scale would hardly change a state
    save_encoder(encoder, tokenizer, tmp_path / "teacher")
    return tmp_path / "teacher"


def taught(folder, *, layers=(0,), **options):
    """Returns (student, its steps, config) of a run that learns from the teacher in the folder."""
    model = {"checkpoint": str(folder), "layers": None if layers is None else list(layers), "learn_temperature": False}
    encoder, data, batches, config = prepare(0.0, model=model, loss={"teacher": str(folder)}, **(STUDENT | options))
    sampler = make_sampler(corpus(), config.batching, seed=0, steps=STEPS, accumulate=1)
    targets = learned_targets(config, corpus(), sampler, steps=STEPS, dimension=encoder.dimension, device=CPU)
    data._batches = batches.taught(targets)
    return encoder, data, data._batches, config


def losses(encoder, batches, config):
    """Returns the mean loss of each step at the encoder's present weights."""
    step = ContrastiveStep(encoder, config.loss, parts=1, pass_tokens=64, kept_bytes=None, bf16=False, seed=0)
    return [float(step.gradient(batches[number], CPU).mean()) for number in range(STEPS)]


def test_targets_are_the_teachers_embeddings_of_the_texts_of_each_pair(folder):
    _, _, batches, config = taught(folder)
    whole, tokenizer = load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)
    sampler = make_sampler(corpus(), config.batching, seed=0, steps=STEPS, accumulate=1)
    for number in (0, 7):
        batch, drawn = batches[number], sampler.batch(number)
        for side in ("query", "passage"):
            texts = [
                getattr(corpus().items[item], side)[getattr(sampler.plan.pools[pool], f"{side}_language")]
                for item, pool in zip(drawn.item_B.tolist(), drawn.pool_B.tolist())
            ]
            known = encode(
                whole.eval(), tokenizer, texts, side, precision="fp32", batch_tokens=64, device=CPU, description=""
            )
            np.testing.assert_allclose(batch[f"target_{side}"].numpy(), known.embedding_ND, atol=1e-6)


def test_the_loss_is_zero_for_the_teacher_itself_and_its_gradient_that_of_plain_code(folder):
    encoder, _, batches, config = taught(folder, layers=None)
    assert max(losses(encoder, batches, config)) < 1e-10
    encoder, _, batches, config = taught(folder)
    encoder.zero_grad()
    batch = batches[0]
    loss = ContrastiveStep(encoder, config.loss, parts=1, pass_tokens=64, kept_bytes=0, bf16=False, seed=0).gradient(
        batch, CPU
    )
    own = torch.cat([weight.grad.flatten() for weight in encoder.parameters() if weight.grad is not None])
    encoder.zero_grad()
    embedded = encoder.embed(batch["token_ids"], batch["lengths"])
    distances = [(1 - (embedded[batch[side]] * batch[f"target_{side}"]).sum(1)) for side in ("query", "passage")]
    plain = (distances[0] + distances[1]) / 2
    plain.mean().backward()
    torch.testing.assert_close(loss, plain.detach(), atol=1e-6, rtol=1e-5)
    expected = torch.cat([weight.grad.flatten() for weight in encoder.parameters() if weight.grad is not None])
    torch.testing.assert_close(own, expected, atol=1e-6, rtol=1e-4)


def test_a_student_comes_nearer_to_its_teacher(folder, tmp_path):
    encoder, data, batches, config = taught(folder)
    before = np.mean(losses(encoder, batches, config))
    encoder.zero_grad()
    train(tmp_path / "run", encoder, data, config)
    encoder.zero_grad()
    assert np.mean(losses(encoder, batches, config)) < before / 2


def test_a_text_is_encoded_once_for_all_students_and_starts(folder, monkeypatch):
    monkeypatch.setattr(module, "_PART", 8)
    encoded = []

    def counts(*args):
        encoded.extend(args[3].tolist())
        if len(encoded) == 24:
            raise KeyboardInterrupt
        return original(*args)

    original = module._encoded
    monkeypatch.setattr(module, "_encoded", counts)
    with pytest.raises(KeyboardInterrupt):
        taught(folder)
    taught(folder)
    taught(folder, layers=(1,))
    _, _, _, config = prepare(0.0, **STUDENT)
    sampler = make_sampler(corpus(), config.batching, seed=0, steps=STEPS, accumulate=1)
    drawn = drawn_texts(sampler, LANGUAGES, STEPS)
    assert len(drawn) > 40
    assert sorted([*encoded[:16], *encoded[24:]]) == drawn.tolist()
    texts, is_query = texts_of(corpus(), drawn)
    assert {"question" in text for text in np.array(texts)[is_query]} == {True}


def test_a_teacher_of_another_width_is_refused(folder):
    config = config_of(loss={"teacher": str(folder)})
    sampler = make_sampler(corpus(), config.batching, seed=0, steps=STEPS, accumulate=1)
    with pytest.raises(MixlingualError, match="16 numbers, those of the student 8; choose"):
        learned_targets(config, corpus(), sampler, steps=STEPS, dimension=8, device=CPU)


def test_options_of_the_other_loss_are_refused():
    config = config_of(loss={"teacher": "t", "symmetric": True}, batching={"hard_negatives": 2})
    found = dict(contradictions(config))
    for option in ("loss.symmetric", "batching.hard_negatives", "model.learn_temperature"):
        assert "loss.teacher" in found[option]


def test_the_door_leaves_a_student_that_trains_on(folder, tmp_path):
    same = ("data.languages=[de,en]", "evaluation.languages=[de,en]", "trainer.steps=2", "trainer.threads=1")
    first = run_module(
        tmp_path, "mixlingual.distill", f"model.checkpoint={folder}", "model.layers=[1]", "model.name=half", *same
    )
    assert first.returncode == 0, first.stderr
    run = tmp_path / "multirun/distilled/half_s0"
    assert json.loads((run / "model/config.json").read_text())["num_hidden_layers"] == 1
    assert json.loads((run / "result.json").read_text())["config"]["loss"]["teacher"] == str(folder)
    second = run_module(
        tmp_path, "mixlingual.train", "model=me5_small", f"model.checkpoint={run / 'model'}", *same, "run_name=next"
    )
    assert second.returncode == 0, second.stderr
