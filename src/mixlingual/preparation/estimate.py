"""What a recipe would cost: items, tokens, GPU hours and disk, from its sources as they are read."""

from __future__ import annotations

import itertools
import shutil

from mixlingual.config.schema import PrepareConfig
from mixlingual.files import cache_dir
from mixlingual.model.outline import Sample, outline
from mixlingual.preparation.recipe import Recipe
from mixlingual.preparation.shards import SIDES, counts_of, read_items

GPU_FLOPS = 312e12
"""Peak of an A100 in bf16, per second."""
USED = {"translate": 0.1, "mine": 0.3}
"""Shares of the peak that are reached: decoding waits for memory. Assumed, not measured."""
TOKEN_BYTES = 4
"""Of a token of English text; a translation is taken to have as many tokens as its source."""
WIDTH = 1024
"""Of an embedding that passages are searched by, at most."""
COPIES = 5
"""Of a text on disk: read, checked, without copies, translated or mined, and in the folder."""
_SAMPLED = 1000


def estimate(config: PrepareConfig) -> str:
    """Reads the sources, which the recipe then need not read again, and returns its cost in words.

    Raises:
        MixlingualError: the recipe could not start.
    """
    recipe, options = Recipe(config), config.recipe
    engines = {"query": options.translate.query, "passage": options.translate.passage}
    lines, sample = [], Sample([], [])
    flops = dict.fromkeys([*options.translate.engines, "search"], 0.0)
    disk, passages = 0.0, 0
    for name, shards in recipe.read.items():
        items, count = list(itertools.islice(read_items(shards[0]), _SAMPLED)), counts_of(shards)["items out"]
        tokens, texts = {}, {}
        for side in SIDES:
            texts[side] = [text for item in items for text in item.side(side).values()]
            tokens[side] = sum(len(text.encode()) for text in texts[side]) / len(texts[side]) / TOKEN_BYTES
            for engine in engines[side].values() if options.sources[name].translate else ():
                weights = options.translate.engines[engine].parameters or 0.0
                flops[engine] += 2 * weights * 2 * tokens[side] * count  # reads a token and writes one
        sample.queries.extend(texts["query"])
        sample.passages.extend(texts["passage"])
        before = len({code for item in items for code in item.passage})
        languages = before + (len(engines["passage"]) if options.sources[name].translate else 0)
        disk += COPIES * sum(path.stat().st_size for path in shards) * languages / before
        passages += count * languages
        flops["search"] += 2 * WIDTH * float(count) ** 2 * languages
        spoken = f"{before} language{'s' if before > 1 else ''}" + (f", {languages} then" if languages > before else "")
        lines.append(f"  {name}: {count:,} items of {tokens['query']:.0f} + {tokens['passage']:.0f} tokens in {spoken}")
    hours = [
        f"  translate by {name}: "
        + (f"{flops[name] / (GPU_FLOPS * USED['translate'] * 3600):,.2g} h" if engine.parameters else "weights unknown")
        for name, engine in options.translate.engines.items()
    ]
    if options.mine.by == "encoder":
        size = outline(config.model, lambda: (), sample)
        encoded = 2 * size.parameters["non_embedding"] * passages * (size.query_tokens + size.passage_tokens)
        seconds = (encoded + flops["search"]) / (GPU_FLOPS * USED["mine"])
        hours.append(f"  mine by {config.model.name}: {seconds / 3600:,.2g} h for {passages:,} passages")
        disk += 2 * WIDTH * passages
    cache = cache_dir()
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free
    return "\n".join(
        [
            f"recipe {options.name}: {sum(len(shards) for shards in recipe.read.values()):,} shards",
            *lines,
            f"one A100, at {USED['translate']:.0%} of its bf16 peak to translate and {USED['mine']:.0%} to mine:",
            *(hours or ["  nothing to do"]),
            f"disk: {disk / 1e9:,.2g} GB in {cache} and {config.folder}; {free / 1e9:,.0f} GB are free there",
            "",
        ]
    )
