"""Corrections of any encoder's embeddings without training: what a constant offset between languages explains.

Languages' statistics come from training texts, never from a benchmark. Corrected embeddings of an encoder that
normalises are scaled to length 1 again. Shape suffixes: N texts, D width of the embedding, R components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mixlingual.config import PostHocConfig
from mixlingual.evaluation.encode import Embed
from mixlingual.evaluation.language_bias.geometry import unit
from mixlingual.model.tokenizer import Side
from mixlingual.records import DataError, ParallelCorpus

Map = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Entry = TypeVar("Entry")

_SIDES: tuple[Side, Side] = ("query", "passage")


@dataclass(frozen=True)
class Correction:
    """A map of embeddings for each side and language; a pair that is missing stays as it is."""

    maps: dict[tuple[Side, str], Map]
    normalize: bool
    """Whether corrected embeddings are scaled to length 1."""

    def __call__(self, embedding_ND: NDArray[np.float32], languages: Sequence[str], side: Side) -> NDArray[np.float32]:
        """[N, D] corrected embeddings of texts of a side in these languages, one each."""
        corrected_ND, language_N = embedding_ND.copy(), np.array(languages)
        for language in np.unique(language_N):
            rows = language_N == language
            if (side, str(language)) in self.maps:
                corrected_ND[rows] = self.maps[side, str(language)](embedding_ND[rows])
        return unit(corrected_ND) if self.normalize else corrected_ND


def fit_corrections(
    corpus: ParallelCorpus, languages: Sequence[str], config: PostHocConfig, embed: Embed, *, normalize: bool
) -> dict[str, Correction]:
    """The corrections that the config lists, by name, with statistics of the corpus.

    Args:
        corpus: training items.
        languages: that embeddings will be in.
        config: the `post_hoc` options.
        embed: the encoder.
        normalize: whether it normalises.

    Raises:
        DataError: a language has too few texts in the corpus; with `shift`, too few parallel to the source's.
    """
    fitted = {}
    for name in dict.fromkeys(config.methods):
        if name == "shift":
            maps = _shifts(corpus, languages, config, embed)
        else:
            maps = {}
            for side in _SIDES:
                for language in languages:
                    text_ND = embed(_sample(_texts(corpus, side, language), config, f"{side} in {language}"), side)
                    maps[side, language] = (
                        centering(text_ND) if name == "centering" else lir(text_ND, config.components)
                    )
        fitted[name] = Correction(maps, normalize)
    return fitted


def centering(text_ND: NDArray[np.float32]) -> Map:
    """Subtracts the mean of the language's training embeddings, so that languages share their centroid."""
    mean_D = text_ND.mean(axis=0)
    return lambda embedding_ND: embedding_ND - mean_D


def lir(text_ND: NDArray[np.float32], components: int) -> Map:
    """Gives e - C C^T e, where C holds the first principal directions, not centred, of the language's embeddings.

    Source: language information removal, Yang et al. 2021 (arXiv:2109.04727), whose best r for mBERT X-X is 1; theirs
    takes 10,000 sentences a language.

    Args:
        text_ND: [N, D] training embeddings of one language, at least `components` of them.
        components: r.
    """
    direction_RD = np.linalg.svd(text_ND, full_matrices=False)[2][:components]
    return lambda embedding_ND: embedding_ND - (embedding_ND @ direction_RD.T) @ direction_RD


def shift(text_ND: NDArray[np.float32], source_ND: NDArray[np.float32], strength: float) -> Map:
    """Gives z - a V, where V is the mean difference of parallel passages in a language and the source language.

    For passages only; queries stay. Source: SHIFT (arXiv:2606.18801), which uses a = 0.6 for mE5-large on embeddings
    before normalisation; here on the encoder's own.

    Args:
        text_ND: [N, D] embeddings of passages in the language.
        source_ND: [N, D] those of their translations in the source language.
        strength: a.
    """
    offset_D = strength * (text_ND - source_ND).mean(axis=0)
    return lambda embedding_ND: embedding_ND - offset_D


def _shifts(
    corpus: ParallelCorpus, languages: Sequence[str], config: PostHocConfig, embed: Embed
) -> dict[tuple[Side, str], Map]:
    maps: dict[tuple[Side, str], Map] = {}
    for language in languages:
        if language != config.source:
            parallel = [i for i in corpus.items if language in i.passage and config.source in i.passage]
            chosen = _sample(parallel, config, f"passages in both {language} and {config.source}")
            text_ND, source_ND = (
                embed([item.passage[code] for item in chosen], "passage") for code in (language, config.source)
            )
            maps["passage", language] = shift(text_ND, source_ND, config.strength)
    return maps


def _texts(corpus: ParallelCorpus, side: Side, language: str) -> list[str]:
    sides = (item.query if side == "query" else item.passage for item in corpus.items)
    return [texts[language] for texts in sides if language in texts]


def _sample(entries: list[Entry], config: PostHocConfig, what: str) -> list[Entry]:
    """At most `config.texts` entries, evenly spaced over the corpus."""
    least = max(2, config.components)
    if len(entries) < least:
        raise DataError(
            f"post_hoc.data holds {len(entries)} texts ({what}), too few for statistics; at least {least} are needed: "
            "choose a corpus that has the language, or leave it out with evaluation.languages"
        )
    positions = np.linspace(0, len(entries) - 1, min(len(entries), config.texts)).astype(int)
    return [entries[position] for position in positions]
