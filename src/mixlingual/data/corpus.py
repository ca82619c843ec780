"""Makes a corpus of what was converted: its languages, and how often its sources are drawn."""

from __future__ import annotations

import logging
from collections import Counter

from mixlingual.config.schema import DataConfig
from mixlingual.data.convert import Conversion, converted
from mixlingual.data.items import Items
from mixlingual.records import DataError, ParallelCorpus

log = logging.getLogger(__name__)


def corpus_of(conversion: Conversion, config: DataConfig) -> ParallelCorpus:
    """Returns the corpus of a conversion, which is done unless it was before.

    Raises:
        DataError: as `converted`; every source has weight 0.
    """
    items = converted(conversion)
    log.info("%s: %d items in %s", conversion.name, len(items), ", ".join(items.about["languages"]))
    seen = items.about["seen"]
    if len(items) < seen:
        log.info("%d of %d items have no (query, passage) in the chosen languages: left out", seen - len(items), seen)
    weights = _source_weights(config, items)
    return ParallelCorpus(conversion.name, items, tuple(items.about["languages"]), weights, items.about["fingerprint"])


def _source_weights(config: DataConfig, items: Items) -> dict[str, float]:
    """Returns the weight of each source that has items: the configured one, else its number of items."""
    sizes: Counter[str] = Counter()
    for pattern, size in zip(items.patterns.names, items.patterns.size_P.tolist()):
        sizes[pattern.source] += size
    weights = {}
    for name in sorted({*sizes, *config.sources}):
        given = config.sources[name].weight if name in config.sources else None
        if sizes[name]:
            weights[name] = float(sizes[name] if given is None else given)
        else:
            log.warning("source %s has no item in the chosen languages and is never drawn", name)
    if not any(weights.values()):
        raise DataError(f"every source of data.sources has weight 0 ({', '.join(weights)}); give one a positive weight")
    return weights
