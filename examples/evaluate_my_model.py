"""Any function from texts to vectors on a benchmark: every measure of quality and of language bias.

Here it is counts of letters on the embedded data; `evaluate_encoder` takes a SentenceTransformer, a folder or a hub id
just as well, and "xquad_r", "mlqa_r" or a folder of your own as the benchmark.
"""

import numpy as np

import mixlingual


def letters(texts: list[str]) -> np.ndarray:
    """[N, 26] how often each letter is in each text."""
    return np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], float)


result = mixlingual.evaluate_encoder(letters, "atlas", languages=["de", "en", "es"], similarity="cosine")
print(result.table())
figures = result.to_pandas()
print(figures[(figures.metric == "map") & (figures.setting == "cross")].to_string(index=False))
print(f"{len(result.per_query)} rows of scores; TREC files: {[path.name for path in result.to_trec('runs')]}")
