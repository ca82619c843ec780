"""Measures an encoder on development sets while it trains: in-batch loss, and retrieval by each set's own protocol.

Shape suffixes: B pairs of a batch, D width of the embedding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingual.config.schema import EvaluationConfig, LossConfig
from mixlingual.evaluation.encode import Embed, Embedded
from mixlingual.evaluation.scorer import UNCORRECTED, WHOLE, Encoding
from mixlingual.evaluation.suite import PROTOCOLS, embed_texts, eval_mode
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.loss import contrastive_loss
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import AnyBenchmark, Benchmark, MixlingualError

Share = Callable[[Embed], Embed]
"""Makes of what encodes texts something that encodes a part of them in each process of a run; the identity alone."""

_OF_PARALLEL = {"mono": ("map",), "cross": ("map",), "multi": ("map", "rank_distance")}
"""Setting -> measures of a parallel benchmark that are kept."""

LanguagePair = tuple[str, str]
TextPair = tuple[str, str]
"""(question, a passage that answers it)"""

Pairs = Mapping[LanguagePair, Sequence[TextPair]]
"""Languages of question and passage -> the pairs of a set."""


@dataclass(frozen=True)
class DevelopmentSets:
    """Holds what every validation of a run has in common."""

    sets: Sequence[AnyBenchmark]
    config: EvaluationConfig
    """How texts are encoded."""
    loss: LossConfig
    batch_size: int
    """Pairs of a batch in the in-batch loss."""

    @cached_property
    def texts(self) -> dict[Side, list[str]]:
        """Returns the distinct texts of all sets; the passages of judged ones are read, once."""
        found: dict[Side, dict[str, None]] = {"query": {}, "passage": {}}
        for one in self.sets:
            if isinstance(one, Benchmark):
                found["query"] |= dict.fromkeys(query.text for query in one.queries)
                found["passage"] |= dict.fromkeys(candidate.text for candidate in one.candidates)
                continue
            for task in one.tasks:
                found["query"] |= dict.fromkeys(query.text for query in task.queries)
                found["passage"] |= dict.fromkeys(passage.text for passage in task.corpus)
        return {side: list(texts) for side, texts in found.items()}

    @cached_property
    def _pairs(self) -> list[Pairs]:
        """Returns the pairs of each set."""
        return [pairs_of(one) for one in self.sets]

    def measure(
        self,
        encoder: DualEncoder,
        tokenizer: TextTokenizer,
        device: torch.device,
        *,
        share: Share | None = None,
        first: bool = True,
    ) -> dict[str, float]:
        """Measures the encoder as it is, which stays as it is.

        Args:
            encoder: on `device`, with float32 weights.
            tokenizer: its own.
            device: where to compute.
            share: see there; None where this process encodes everything.
            first: whether this is the process that scores; the others only encode along.

        Returns:
            SET/loss, and its parts SET/loss_mono and SET/loss_cross, in nats; the same as SET/pool_loss of parallel
            sets; SET/SETTING/MEASURE. What a set does not define, as what takes two languages, is left out. Empty in
            all processes but the first.

        Raises:
            MixlingualError: embeddings are not finite.
        """
        with eval_mode(encoder):

            def embed(texts: list[str], side: Side, label: str = "validation") -> Embedded:
                return embed_texts(encoder, tokenizer, self.config, device, texts, side, label)

            shared = share(embed) if share else embed
            known = _Known({side: (texts, shared(texts, side, "validation")) for side, texts in self.texts.items()})
            if not first:
                return {}
            encoding = Encoding(known, tokenizer, lambda: "validation", device)
            temperature = float(encoder.temperature)
            return dict(self._measured(known, encoding, temperature, normalized=encoder.normalize))

    def _measured(
        self, known: Embed, encoding: Encoding, temperature: float, *, normalized: bool
    ) -> Iterator[tuple[str, float]]:
        config = replace(self.config, cutoffs=[], embeddings=None, runs=None, search="exact")
        for one, pairs in zip(self.sets, self._pairs):
            in_batch = {
                languages: self._loss(known, own, temperature, normalized=normalized)
                for languages, own in pairs.items()
            }
            yield from _by_kind(f"{one.name}/loss", in_batch)
            if isinstance(one, Benchmark):
                yield from _by_kind(f"{one.name}/pool_loss", pool_losses(one, known, temperature))
            scores = PROTOCOLS[one.protocol].score_encoder(one, encoding, config, WHOLE)[UNCORRECTED].metrics
            for setting, measures in measures_of(one, kinds_of(pairs)).items():
                found: Mapping[str, Any] = scores.get(setting, {})
                yield from ((f"{one.name}/{setting}/{m}", float(found[m])) for m in measures if m in found)

    def _loss(self, known: Embed, pairs: Sequence[TextPair], temperature: float, *, normalized: bool) -> float:
        """Returns the mean loss over batches of these pairs, in their order; a rest that fills none is left out."""
        size = min(self.batch_size, len(pairs))
        number = {passage: place for place, passage in enumerate(dict.fromkeys(passage for _, passage in pairs))}
        losses = []
        for start in range(0, len(pairs) - size + 1, size):
            batch = pairs[start : start + size]
            questions, passages = map(list, zip(*batch))
            query_BD = torch.from_numpy(known(questions, "query").embedding_ND)
            passage_BD = torch.from_numpy(known(passages, "passage").embedding_ND)
            item_B = torch.tensor([number[passage] for _, passage in batch])
            loss_B = contrastive_loss(
                query_BD, passage_BD, item_B, item_B, temperature, self.loss, normalized=normalized
            )
            losses.append(float(loss_B.mean()))
        return fmean(losses)


def _by_kind(name: str, loss_of: Mapping[LanguagePair, float]) -> Iterator[tuple[str, float]]:
    """Yields the mean of the kinds, and that of each kind over its pairs of languages."""
    kinds = {
        kind: fmean(loss for (x, y), loss in loss_of.items() if (x == y) is (kind == "mono"))
        for kind in kinds_of(dict.fromkeys(loss_of, ()))
    }
    if kinds:
        yield name, fmean(kinds.values())
    yield from ((f"{name}_{kind}", loss) for kind, loss in kinds.items())


def pool_losses(benchmark: Benchmark, known: Embed, temperature: float) -> dict[LanguagePair, float]:
    """Returns the contrastive loss over all candidates of a language: the same candidates whatever a batch holds.

    It is `info_nce` of every question against the candidates of one language, its first answer there being the positive
    and its other answers left out, in nats; the mean over the questions of a language. With the candidates fixed, runs
    of other batch sizes and numbers of negatives have one and the same loss to reach.

    Args:
        benchmark: parallel questions and candidates.
        known: gives embeddings of its texts.
        temperature: scores are divided by it.
    """
    losses = {}
    languages = benchmark.languages
    questions = {x: [query for query in benchmark.queries if query.language == x] for x in languages}
    for y in languages:
        places = [n for n, candidate in enumerate(benchmark.candidates) if candidate.language == y]
        column = {place: c for c, place in enumerate(places)}
        if not places:
            continue
        passage_CD = torch.from_numpy(known([benchmark.candidates[n].text for n in places], "passage").embedding_ND)
        for x in languages:
            answers = [
                [
                    column[benchmark.gold[key]]
                    for key in ((a, y) for a in benchmark.answers_of(q.id))
                    if key in benchmark.gold
                ]
                for q in questions[x]
            ]
            asked = [(query.text, own) for query, own in zip(questions[x], answers) if own]
            if not asked:
                continue
            score_QC = torch.from_numpy(known([text for text, _ in asked], "query").embedding_ND) @ passage_CD.T
            score_QC = score_QC.double() / temperature
            positive_Q = torch.tensor([own[0] for _, own in asked])
            for row, (_, own) in enumerate(asked):
                score_QC[row, [c for c in own if c != own[0]]] = -torch.inf
            losses[x, y] = float(torch.nn.functional.cross_entropy(score_QC, positive_Q))
    return losses


class _Known:
    """Is an `Embed` of texts that are encoded already."""

    def __init__(self, encoded: Mapping[Side, tuple[Sequence[str], Embedded]]) -> None:
        """Takes texts of each side with their embeddings."""
        self._row = {
            (side, text): vector_D
            for side, (texts, embedded) in encoded.items()
            for text, vector_D in zip(texts, embedded.embedding_ND)
        }

    def __call__(self, texts: list[str], side: Side, label: str = "validation") -> Embedded:
        """Returns the embeddings in the order of the texts; how many were cut is not known."""
        embedding_ND: NDArray[np.float32] = np.stack([self._row[side, text] for text in texts])
        return Embedded(embedding_ND, None)


def pairs_of(benchmark: AnyBenchmark) -> dict[LanguagePair, list[TextPair]]:
    """Maps languages of question and passage to the pairs of a question and what answers it, in the set's order.

    A question with several relevant passages makes a pair with the first of them.
    """
    found: defaultdict[LanguagePair, list[TextPair]] = defaultdict(list)
    if isinstance(benchmark, Benchmark):
        for query in benchmark.queries:
            for language in benchmark.languages:
                keys = ((answer, language) for answer in benchmark.answers_of(query.id))
                place = next((benchmark.gold[key] for key in keys if key in benchmark.gold), None)
                if place is not None:
                    found[query.language, language].append((query.text, benchmark.candidates[place].text))
        return dict(found)
    for task in benchmark.tasks:
        text = {passage.id: passage.text for passage in task.corpus}
        for query in task.queries:
            relevant = [p for p, relevance in task.qrels.get(query.id, {}).items() if relevance > 0 and p in text]
            if relevant:
                found[task.language, task.corpus.language].append((query.text, text[relevant[0]]))
    return dict(found)


def kinds_of(pairs: Pairs) -> list[str]:
    """Lists the kinds of pairs that a set has: mono, cross."""
    kinds = {"mono": any(x == y for x, y in pairs), "cross": any(x != y for x, y in pairs)}
    return [kind for kind, there in kinds.items() if there]


def measures_of(benchmark: AnyBenchmark, kinds: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Maps a setting to the measures of it that are kept, for the settings of a set that has these kinds of pairs."""
    if isinstance(benchmark, Benchmark):
        settings = [*kinds, "multi"] if len(benchmark.languages) > 1 else kinds
        return {setting: _OF_PARALLEL[setting] for setting in settings}
    return dict.fromkeys(kinds, (benchmark.measures[0],))


def names_of(benchmark: AnyBenchmark, measure: str) -> list[str]:
    """Names the figures of a set whose mean `validation.measure` is.

    Raises:
        MixlingualError: the set does not have one of them.
    """
    if measure == "loss":
        return [f"{benchmark.name}/loss"]
    there = measures_of(benchmark, kinds_of(pairs_of(benchmark)))
    if missing := [setting for setting in measure.split("_") if setting not in there]:
        raise MixlingualError(
            f"validation.measure={measure}, but the development set {benchmark.name} has no setting {missing[0]}, only "
            f"{', '.join(there)}; set validation.measure to loss or to what it has"
        )
    return [f"{benchmark.name}/{setting}/{there[setting][0]}" for setting in measure.split("_")]
