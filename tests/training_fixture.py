"""Makes tiny runs for tests: two languages, an encoder of one layer, duplicate texts, hard negatives."""

from contextlib import contextmanager

import pytest
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
    ValidationConfig,
)
from mixlingual.model.load import load_encoder
from mixlingual.model.loss import contrastive_loss
from mixlingual.records import ParallelCorpus, ParallelItem
from mixlingual.training.fit import fit
from mixlingual.training.preemption import Signals

STEPS = 20
LANGUAGES = ("aa", "bb")


def corpus(size=40):
    """Makes items whose passages are equal in pairs; every third brings a hard negative, every fifth two."""
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


def config_of(dropout=0.1, *, model=None, batching=None, optim=None, loss=None, validation=None, **trainer):
    """Returns a run of `STEPS` steps of 8 pairs; dicts and keywords change options."""
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
        validation=ValidationConfig(**(validation or {})),
    )


def prepare(dropout=0.1, **options):
    """Returns (encoder, data module, steps, config) of a run."""
    config = config_of(dropout, **options)
    data = corpus()
    sampler = make_sampler(data, config.batching, seed=0, steps=STEPS, accumulate=config.parts)
    texts = [text for item in data.items for text in (*item.query.values(), *item.passage.values())]
    encoder, tokenizer = load_encoder(config.model, lambda: texts, seed=0)
    batches = StepBatches(
        data,
        sampler,
        TokenStore.open(data, tokenizer),
        steps=STEPS,
        accumulate=config.parts,
        hard_negatives=config.batching.hard_negatives,
        extra=config.batching.extra_passages,
        seed=0,
    )
    return encoder, HybridDataModule(batches, data, workers=config.trainer.workers), batches, config


def train(folder, encoder, data, config, signals=None, validator=None):
    """Calls `fit` in a folder, deaf to signals unless told otherwise."""
    folder.mkdir(exist_ok=True)
    own = {"signals": signals or Signals(None), "validator": validator}
    return fit(encoder, data, config, steps=STEPS, data_fingerprint="d", folder=folder, logger=None, **own)


def trained(folder, dropout=0.1, signals=None, validator=None, **options):
    """Trains a run in a folder, with options of `config_of`; returns (encoder, what `fit` gave)."""
    encoder, data, _, config = prepare(dropout, **options)
    return encoder, train(folder, encoder, data, config, signals, validator)


class InterruptionError(Exception):
    """Ends a run in `interrupted`."""


@contextmanager
def interrupted(step):
    """Makes a run in the block fail when it loads the batch of a step, and checks that it does."""
    original = StepBatches.__getitem__

    def breaks(self, index):
        if index == step:
            raise InterruptionError
        return original(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepBatches, "__getitem__", breaks)
        with pytest.raises(InterruptionError):
            yield


def resumed(folder, step, *, workers=0, **options):
    """Does what `trained` does for a run that fails at a step and is started again, with so many workers."""
    with interrupted(step):
        trained(folder, **options)
    return trained(folder, workers=workers, **options)


def weights(encoder):
    """Returns all weights, flat."""
    return torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])


def naive_losses(encoder, batch, config):
    """Returns the losses of a step by the plainest code: texts padded to the longest, one forward pass.

    The texts come from the batch; that they are those of the pairs is tested with the batches.
    """
    texts = batch["token_ids"].split(batch["lengths"].tolist())

    def embed(places):
        if not places:
            return torch.zeros(0, encoder.dimension)
        rows = [texts[place] for place in places]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=encoder.pad_id).long()
        mask = (torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]).long()
        return encoder(ids, mask)

    losses = []
    pairs = len(batch["item"]) // config.parts
    negatives = iter(batch["negative"].tolist())
    for start in range(0, len(batch["item"]), pairs):
        part = slice(start, start + pairs)
        own = [next(negatives) for _ in range(int(batch["negatives_of"][start // pairs].sum()))]
        item = batch["item"][part]
        passages = torch.cat([embed(batch["passage"][part].tolist()), embed(own)])
        items = torch.cat([item, item.new_full((len(own),), -1)])
        query = embed(batch["query"][part].tolist())
        losses.append(contrastive_loss(query, passages, item, items, encoder.temperature, config.loss, normalized=True))
    return torch.cat(losses)
