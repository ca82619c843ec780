"""A tiny run for the tests of training: two languages, an encoder of one layer, duplicate texts, hard negatives."""

import torch

from mixlingual.batches.datamodule import HybridDataModule, StepBatches
from mixlingual.batches.pools import make_sampler
from mixlingual.batches.tokens import TokenStore
from mixlingual.config.schema import (
    BatchingConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ScratchConfig,
    TrainConfig,
    TrainerConfig,
)
from mixlingual.model.load import load_encoder
from mixlingual.records import ParallelCorpus, ParallelItem
from mixlingual.training.fit import fit
from mixlingual.training.preemption import Signals

STEPS = 20
LANGUAGES = ("aa", "bb")


def corpus(size=40):
    """Items whose passages come in pairs of equal texts; every third brings a hard negative, every fifth two."""
    items = tuple(
        ParallelItem(
            f"{i}",
            "s",
            {x: f"{x} question number {i} about {i % 7}{' and more words' * (i % 4)}" for x in LANGUAGES},
            {x: f"{x} the passage that answers {i // 2}{' at some length' * (i % 6 // 2)}" for x in LANGUAGES},
            tuple({x: f"{x} not the answer to {i} {n}" for x in LANGUAGES} for n in range((i % 3 == 0) + (i % 5 == 0))),
        )
        for i in range(size)
    )
    return ParallelCorpus("toy", items, LANGUAGES, {"s": 1.0}, "0")


def config_of(dropout=0.1, *, model=None, batching=None, optim=None, loss=None, **trainer):
    """A run of `STEPS` steps of 8 pairs; dicts and keywords change options."""
    return TrainConfig(
        model=ModelConfig(
            **({"scratch": ScratchConfig(1, 16, 2, 32, 400, dropout), "learn_temperature": True} | (model or {}))
        ),
        batching=BatchingConfig(**({"batch_size": 8} | (batching or {}))),
        optim=OptimConfig(**({"learning_rate": 0.01, "eps": 1e-3} | (optim or {}))),  # Adam blows up rounding at 0
        trainer=TrainerConfig(
            **({"steps": STEPS, "log_every": 1, "checkpoint_minutes": None, "pass_tokens": 64} | trainer)
        ),
        loss=LossConfig(**(loss or {})),
    )


def prepare(dropout=0.1, **options):
    """(encoder, data module, steps, config) of a run."""
    config = config_of(dropout, **options)
    data = corpus()
    accumulate = config.trainer.accumulate
    sampler = make_sampler(data, config.batching, seed=0, steps=STEPS, accumulate=accumulate)
    texts = [text for item in data.items for text in (*item.query.values(), *item.passage.values())]
    encoder, tokenizer = load_encoder(config.model, lambda: texts, seed=0)
    batches = StepBatches(
        data,
        sampler,
        TokenStore.open(data, tokenizer),
        steps=STEPS,
        accumulate=accumulate,
        hard_negatives=config.batching.hard_negatives,
        seed=0,
    )
    return encoder, HybridDataModule(batches, data, workers=config.trainer.workers), batches, config


def train(folder, encoder, data, config, signals=None):
    """`fit` in a folder, deaf to signals unless told otherwise."""
    folder.mkdir(exist_ok=True)
    signals = signals or Signals(None)
    return fit(encoder, data, config, steps=STEPS, data_fingerprint="d", folder=folder, logger=None, signals=signals)


def weights(encoder):
    """All weights, flat."""
    return torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])
