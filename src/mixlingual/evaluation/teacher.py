"""Encodes the texts that a run draws with its teacher, once: the embeddings are cached, in parts, for every student."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from mixlingual.batches.sampler import HybridBatchSampler
from mixlingual.batches.targets import Floats, Ints, Targets, drawn_texts, texts_of
from mixlingual.config.schema import LoraConfig, ModelConfig, TrainConfig
from mixlingual.evaluation.encode import encode, encoder_fingerprint
from mixlingual.evaluation.sentence_transformer import as_published
from mixlingual.files import built_once, cache_dir
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.load import load_encoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import MixlingualError, ParallelCorpus, fingerprint

_PART = 4096
"""So many texts are encoded and kept together: what a killed run loses at most."""
_FILE = "embeddings.npy"


def teacher_options(config: TrainConfig) -> ModelConfig:
    """Returns the `model` options of the run's teacher: those of the student, but whole and of its own checkpoint."""
    assert config.loss.teacher is not None
    same = config.loss.teacher == config.model.checkpoint
    return as_published(
        dataclasses.replace(
            config.model,
            checkpoint=config.loss.teacher,
            revision=config.model.revision if same else None,
            layers=None,
            lora=LoraConfig(),
        )
    )


def learned_targets(
    config: TrainConfig,
    corpus: ParallelCorpus,
    sampler: HybridBatchSampler,
    *,
    steps: int,
    dimension: int,
    device: torch.device,
    share: slice = slice(None),
) -> Targets:
    """Returns the teacher's embeddings of every text that the run's pairs draw.

    What is not in the cache is encoded in float32. Several runs and processes share the work.

    Args:
        config: the run, which has a teacher.
        corpus: its items.
        sampler: names the pairs of its steps.
        steps: length of the run.
        dimension: width of the student's embedding.
        device: where to encode.
        share: the parts that this process encodes first, before it looks for what the others have not.

    Raises:
        MixlingualError: the teacher cannot be read, or its embeddings have another width than the student's.
    """
    encoder, tokenizer = load_encoder(teacher_options(config), None, seed=0)
    if encoder.dimension != dimension:
        raise MixlingualError(
            f"loss.teacher: the embeddings of {config.loss.teacher} have {encoder.dimension} numbers, those of the "
            f"student {dimension}; choose a teacher and a model of one width"
        )
    encoder.eval().to(device)
    known = (encoder_fingerprint(encoder, tokenizer), corpus.fingerprint, *corpus.languages)
    number_X = drawn_texts(sampler, corpus.languages, steps)
    starts = range(0, len(number_X), _PART)
    parts = {}
    for turn in dict.fromkeys([*range(len(starts))[share], *range(len(starts))]):
        start = starts[turn]
        part_X = number_X[start : start + _PART]

        def write(folder: Path, part_X: Ints = part_X, turn: int = turn) -> None:
            label = f"teacher, part {turn + 1}/{len(starts)}"
            np.save(folder / _FILE, _encoded(encoder, tokenizer, corpus, part_X, device, label))

        key = fingerprint((*known, fingerprint(map(str, part_X.tolist()))))
        parts[turn] = built_once(cache_dir() / "teacher" / key, write, _read)
    return Targets(number_X, [parts[turn] for turn in range(len(starts))])


def _read(folder: Path) -> Floats:
    """Maps the embeddings of a part."""
    embedding_XD: Floats = np.load(folder / _FILE, mmap_mode="r")
    return embedding_XD


def _encoded(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    corpus: ParallelCorpus,
    number_X: Ints,
    device: torch.device,
    label: str,
) -> Floats:
    """Returns the embeddings of the texts with these numbers, in their order."""
    texts, is_query_X = texts_of(corpus, number_X)
    embedding_XD = np.empty((len(texts), encoder.dimension), np.float32)
    sides: dict[Side, Ints] = {"query": np.flatnonzero(is_query_X), "passage": np.flatnonzero(~is_query_X)}
    for side, places in sides.items():
        if len(places):
            embedding_XD[places] = encode(
                encoder,
                tokenizer,
                [texts[place] for place in places],
                side,
                precision="fp32",
                batch_tokens=None,
                device=device,
                description=f"{label}, {side} texts",
            ).embedding_ND
    return embedding_XD
