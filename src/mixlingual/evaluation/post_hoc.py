"""Corrects any encoder's embeddings without training, to show what a constant offset between languages explains.

Languages' statistics come from training texts, never from a benchmark. Corrected embeddings of an encoder that
normalises are scaled to length 1 again. Shape suffixes: N texts, D width of the embedding, R components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixlingual.config.schema import PostHocConfig
from mixlingual.data.items import Members, Pattern, Patterns
from mixlingual.evaluation.encode import Embed
from mixlingual.measures.geometry import unit
from mixlingual.model.tokenizer import Side
from mixlingual.records import DataError, ParallelCorpus, ParallelItem

_TWO_LETTERS = {
    "arb": "ar", "ben": "bn", "bul": "bg", "ces": "cs", "deu": "de", "ell": "el", "eng": "en", "fin": "fi", "fra": "fr",
    "heb": "he", "hin": "hi", "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "pes": "fa",
    "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "spa": "es", "swe": "sv", "swh": "sw", "tel": "te", "tha": "th",
    "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi", "yor": "yo", "zho": "zh",
}  # fmt: skip
"""Language of a code of Belebele -> code in training data."""

_SIDES: tuple[Side, Side] = ("query", "passage")


@dataclass(frozen=True)
class Map:
    """Takes e to e - offset - C C^T e, scaled to length 1 if wanted: every correction does this to a language."""

    offset_D: NDArray[np.float32]
    direction_RD: NDArray[np.float32]
    """C^T: orthogonal directions, none for a mere offset."""
    normalize: bool = False

    def __call__(self, embedding_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns [N, D] corrected embeddings; each depends on its own row alone, whatever block it comes in."""
        whole_ND = embedding_ND.astype(np.float64)
        moved_ND = whole_ND - self.offset_D
        for direction_D in self.direction_RD:
            moved_ND -= (whole_ND * direction_D).sum(axis=1, keepdims=True) * direction_D
        return unit(moved_ND.astype(np.float32)) if self.normalize else moved_ND.astype(np.float32)


@dataclass(frozen=True)
class Correction:
    """Maps the embeddings of each side and language; those of a pair that is missing do not change."""

    maps: dict[tuple[Side, str], Map]
    normalize: bool
    """Whether corrected embeddings are scaled to length 1."""

    def of(self, side: Side, language: str, width: int) -> Map:
        """Returns the whole correction of a side and language, as one map of embeddings [N, width]."""
        nothing = Map(np.zeros(width, np.float32), np.zeros((0, width), np.float32))
        return replace(self.maps.get((side, language), nothing), normalize=self.normalize)

    def __call__(self, embedding_ND: NDArray[np.float32], languages: Sequence[str], side: Side) -> NDArray[np.float32]:
        """Returns [N, D] corrected embeddings of texts of a side in these languages, one each."""
        corrected_ND, language_N = embedding_ND.copy(), np.array(languages)
        for language in np.unique(language_N):
            rows = language_N == language
            if (side, str(language)) in self.maps:
                corrected_ND[rows] = self.maps[side, str(language)](embedding_ND[rows])
        return unit(corrected_ND) if self.normalize else corrected_ND


def fit_corrections(
    corpus: ParallelCorpus, languages: Sequence[str], config: PostHocConfig, embed: Embed, *, normalize: bool
) -> dict[str, Correction]:
    """Returns the corrections that the config lists, by name, with statistics of the corpus.

    Args:
        corpus: training items.
        languages: that embeddings will be in, by the benchmark's codes: see `training_code`.
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
                    text_ND = embed(_texts(corpus, side, language, config), side)[0]
                    maps[side, language] = (
                        centering(text_ND) if name == "centering" else lir(text_ND, config.components)
                    )
        fitted[name] = Correction(maps, normalize)
    return fitted


def centering(text_ND: NDArray[np.float32]) -> Map:
    """Subtracts the mean of the language's training embeddings, so that languages share their centroid."""
    return _offset(text_ND.mean(axis=0))


def lir(text_ND: NDArray[np.float32], components: int) -> Map:
    """Gives e - C C^T e, where C holds the first principal directions, not centred, of the language's embeddings.

    Source: language information removal, Yang et al. 2021 (arXiv:2109.04727), whose best r for mBERT X-X is 1; theirs
    takes 10,000 sentences a language.

    Args:
        text_ND: [N, D] training embeddings of one language, at least `components` of them.
        components: r.
    """
    direction_RD = np.linalg.svd(text_ND, full_matrices=False)[2][:components]
    return Map(np.zeros(text_ND.shape[1], np.float32), direction_RD)


def shift(text_ND: NDArray[np.float32], source_ND: NDArray[np.float32], strength: float) -> Map:
    """Gives z - a V, where V is the mean difference of parallel passages in a language and the source language.

    For passages only; queries stay. Source: SHIFT (arXiv:2606.18801), which uses a = 0.6 for mE5-large on embeddings
    before normalisation; here on the encoder's own.

    Args:
        text_ND: [N, D] embeddings of passages in the language.
        source_ND: [N, D] those of their translations in the source language.
        strength: a.
    """
    return _offset(strength * (text_ND - source_ND).mean(axis=0))


def _offset(offset_D: NDArray[np.float32]) -> Map:
    return Map(offset_D, np.zeros((0, len(offset_D)), np.float32))


def _shifts(
    corpus: ParallelCorpus, languages: Sequence[str], config: PostHocConfig, embed: Embed
) -> dict[tuple[Side, str], Map]:
    maps: dict[tuple[Side, str], Map] = {}
    for language in languages:
        code = training_code(language, corpus.languages)
        if code != config.source:
            wanted = frozenset((code, config.source))
            what = f"passages in both {language} and {config.source}"
            chosen = _sample(corpus, lambda pattern, wanted=wanted: wanted <= {*pattern.passage}, config, what)  # type: ignore[misc]
            text_ND, source_ND = (
                embed([item.passage[side] for item in chosen], "passage")[0] for side in (code, config.source)
            )
            maps["passage", language] = shift(text_ND, source_ND, config.strength)
    return maps


def training_code(language: str, known: Sequence[str]) -> str:
    """Returns the code of a benchmark's language in training data: de for deu_Latn, zh for zh_cn; else the same."""
    main = language.partition("_")[0]
    return next((code for code in (language, main, _TWO_LETTERS.get(main, "")) if code in known), language)


def _texts(corpus: ParallelCorpus, side: Side, language: str, config: PostHocConfig) -> list[str]:
    code = training_code(language, corpus.languages)
    chosen = _sample(corpus, lambda pattern: code in getattr(pattern, side), config, f"{side} in {language}")
    return [getattr(item, side)[code] for item in chosen]


def _sample(
    corpus: ParallelCorpus, holds: Callable[[Pattern], bool], config: PostHocConfig, what: str
) -> list[ParallelItem]:
    """Returns at most `config.texts` of the items whose pattern holds what is wanted, evenly spaced over the corpus."""
    patterns = Patterns.of(corpus.items)
    entries = Members(patterns, [number for number, pattern in enumerate(patterns.names) if holds(pattern)])
    least = max(2, config.components)
    if len(entries) < least:
        raise DataError(
            f"post_hoc.data holds {len(entries)} texts ({what}), too few for statistics; at least {least} are needed: "
            "choose a corpus that has the language, or leave it out with evaluation.languages"
        )
    positions = np.linspace(0, len(entries) - 1, min(len(entries), config.texts)).astype(int)
    return [corpus.items[number] for number in entries.at(positions).tolist()]
