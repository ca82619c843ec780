"""Opens the pools of a corpus that a batching config names, or says why they cannot be used."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from mixlingual.batches.plan import Kind, Plan, Pool
from mixlingual.batches.ratio import RatioSchedule
from mixlingual.batches.sampler import HybridBatchSampler
from mixlingual.config.schema import BatchingConfig
from mixlingual.data.items import Members, Patterns, has_negatives
from mixlingual.records import DataError, ParallelCorpus

FEEDS = {
    Kind.CROSSLINGUAL: ("Pairs in one language each", "monolingual", "1"),
    Kind.MONOLINGUAL: ("Pairs of two languages each", "cross-lingual", "0"),
}
"""Kind that data cannot feed -> their shape, the batches that they feed and the possible ratio, as in docs/data.md."""

Key = tuple[str, str, str]
"""A key is (source, query language, passage language)."""


def pool_members(
    corpus: ParallelCorpus, languages: Sequence[str], without: NDArray[np.int64] | None = None
) -> dict[Key, Members]:
    """Returns the numbers of the items with both sides, ascending, for every source and ordered pair of languages.

    A pool without items is left out. The time this takes grows with the number of patterns; of items only where some,
    whose numbers are `without`, are left out.
    """
    patterns = Patterns.of(corpus.items)
    patterns = patterns if without is None else patterns.without(without)
    holding: dict[Key, list[int]] = {}
    for number, pattern in enumerate(patterns.names):
        for query, passage in itertools.product(pattern.query, pattern.passage):
            holding.setdefault((pattern.source, query, passage), []).append(number)
    keys = itertools.product(corpus.source_weights, languages, languages)
    members = {key: Members(patterns, holding[key]) for key in keys if key in holding}
    return {key: items for key, items in members.items() if len(items)}


def make_sampler(
    corpus: ParallelCorpus,
    config: BatchingConfig,
    *,
    seed: int,
    steps: int,
    accumulate: int = 1,
    without: NDArray[np.int64] | None = None,
) -> HybridBatchSampler:
    """Returns the sampler of a corpus.

    Args:
        seed: names all draws.
        steps: length of the run, over which the ratio moves from its first to its final value.
        accumulate: micro-batches of a step; they divide the batch.
        without: numbers of items that are never drawn. None: there are none.

    Raises:
        DataError: a language is unknown, a drawn kind has no pool, a pool is smaller than what one
            batch takes from it (every such pool is named), or wanted hard negatives are missing.
    """
    if config.hard_negatives and not has_negatives(corpus.items):
        raise DataError(
            f"batching.hard_negatives={config.hard_negatives}, but no item of {corpus.name} has negatives; add them to "
            "the items, or set it to 0"
        )
    ratio = _schedule(config, steps)
    groups = {"batch": 1, "micro_batch": accumulate, "example": config.batch_size}[config.granularity]
    mixed = {kind for kind, is_mixed in _mixed(config).items() if is_mixed}
    members = {
        key: items
        for key, items in pool_members(corpus, _drawn_languages(corpus, config), without).items()
        if key[1] == key[2] or _wanted(key[1], key[2], config.pairs)
    }
    pools = []
    for kind in _drawn_kinds(ratio):
        of_kind = {key: items for key, items in members.items() if (key[1] == key[2]) is (kind is Kind.MONOLINGUAL)}
        pools += (kept := list(_weighted(of_kind, corpus.source_weights, config)))
        if not kept:
            raise DataError(_no_pool(kind, corpus, config, weightless=bool(of_kind)))
        if kind not in mixed:
            _check_sizes(kept, config.batch_size // groups + config.extra_passages)
    plan = Plan(
        pools,
        ratio,
        seed=seed,
        batch_size=config.batch_size,
        groups=groups,
        stratified=config.draw == "stratified",
        mixed=mixed,
    )
    in_order = [members[pool.source, pool.query_language, pool.passage_language] for pool in plan.pools]
    return HybridBatchSampler(plan, in_order, seed=seed)


def _schedule(config: BatchingConfig, steps: int) -> RatioSchedule:
    last = config.monolingual_ratio if config.final_ratio is None else config.final_ratio
    return RatioSchedule(config.monolingual_ratio, last, config.ratio_schedule, steps, config.ratio_phases)


def _mixed(config: BatchingConfig) -> dict[Kind, bool]:
    return {Kind.MONOLINGUAL: config.monolingual_mixed, Kind.CROSSLINGUAL: config.crosslingual_mixed}


def _drawn_kinds(ratio: RatioSchedule) -> Iterator[Kind]:
    if max(ratio.first, ratio.last) > 0:
        yield Kind.MONOLINGUAL
    if min(ratio.first, ratio.last) < 1:
        yield Kind.CROSSLINGUAL


def _drawn_languages(corpus: ParallelCorpus, config: BatchingConfig) -> tuple[str, ...]:
    named = {"batching.languages": config.languages or [], "batching.language_weights": list(config.language_weights)}
    for path, languages in named.items():
        if unknown := [language for language in languages if language not in corpus.languages]:
            raise DataError(
                f"{path}: {', '.join(unknown)} not in the data, which hold {', '.join(corpus.languages)}; "
                "name only those"
            )
    return tuple(config.languages or corpus.languages)


def _wanted(query: str, passage: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(f"{query}-{passage}", pattern) for pattern in patterns)


def _weighted(members: dict[Key, Members], source_weights: dict[str, float], config: BatchingConfig) -> Iterator[Pool]:
    """Yields pools of one kind with their weights: first the source by its weight, then the language pair within it.

    So every source has the same share of the batches of either kind, as far as it has pools of both.
    """
    for source, source_weight in source_weights.items():
        held = {(query, passage): len(items) for (name, query, passage), items in members.items() if name == source}
        share = {pair: _pair_weight(pair, size, config) for pair, size in held.items() if size}
        total = sum(share.values())
        for pair in sorted(share):
            if source_weight * share[pair] > 0:
                yield Pool(source, *pair, held[pair], source_weight * share[pair] / total)


def _pair_weight(pair: tuple[str, str], size: int, config: BatchingConfig) -> float:
    factors = (config.language_weights.get(language, 1.0) for language in dict.fromkeys(pair))
    return math.prod(factors, start=float(size**config.language_exponent))


def _check_sizes(pools: list[Pool], needed: int) -> None:
    """Refuses pools from which one draw would take an item twice."""
    small = sorted((pool.size, pool.label) for pool in pools if pool.size < needed)
    if small:
        listed = ", ".join(f"{label} ({size})" for size, label in small)
        raise DataError(
            f"{len(small)} pools hold fewer items than the {needed} that one batch takes: {listed}; lower "
            "batching.batch_size, narrow batching.languages or batching.pairs, or join sources in data.sources"
        )


def _no_pool(kind: Kind, corpus: ParallelCorpus, config: BatchingConfig, *, weightless: bool) -> str:
    if weightless:
        return (
            f"batching.language_weights={config.language_weights} and the weights of data.sources="
            f"{corpus.source_weights} leave a weight of 0 for every {kind.name.lower()} batch; give a language and a "
            "source that have one a weight above 0"
        )
    languages = ", ".join(config.languages or corpus.languages)
    shape, feeds, ratios = FEEDS[kind]
    reason = f"{shape} feed {feeds} batches only, so batching.monolingual_ratio can be {ratios} alone (docs/data.md)"
    if kind is Kind.MONOLINGUAL:
        return (
            f"batching.monolingual_ratio={config.monolingual_ratio} draws monolingual batches, and no item has query "
            f"and passage in one of the languages {languages}: {reason}; check the data or batching.languages, or set "
            "batching.monolingual_ratio=0"
        )
    return (
        f"batching.monolingual_ratio={config.monolingual_ratio} draws cross-lingual batches, but the languages "
        f"{languages} with batching.pairs={config.pairs} leave no pair that items have both sides of: {reason}; add a "
        "language, widen batching.pairs, or set batching.monolingual_ratio=1"
    )
