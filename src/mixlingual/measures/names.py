"""What each measure of a result is called, which way is better, and what it would be without language bias.

Definitions are in the docstrings of `evaluation.metrics` and `evaluation.language_bias`; docs/evaluation.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mixlingual.analysis.read.points import is_number

BIAS = "bias"
"""The setting, in tables, of the measures in the `bias` section of a benchmark."""


class Metric(NamedTuple):
    """How a measure is named and read."""

    label: str
    direction: str
    decimals: int
    larger_is_better: bool | None
    """None where neither direction is better by itself; no value is then marked as best."""
    meaning: str = ""
    """What it says about language bias, in a sentence; empty for measures of quality."""
    unbiased: str = ""
    """What it would be if language did not matter, in words."""
    reference: Callable[[int], float] | None = None
    """Number of languages -> the value of `unbiased`, where there is a number."""


def _quality(label: str) -> Metric:
    return Metric(label, "higher is better", 4, larger_is_better=True)


def _always(value: float) -> Callable[[int], float]:
    return lambda _: value


_HIGHER, _LOWER, _NEITHER = True, False, None
_LESS = "lower is less biased"

METRICS = {
    "map": _quality("mAP"),
    "mrr": _quality("MRR"),
    "ndcg@10": _quality("nDCG@10"),
    "r@1": _quality("recall@1"),
    "r@10": _quality("recall@10"),
    "r@100": _quality("recall@100"),
    "mrr@100": _quality("MRR@100"),
    "answer_recall@20": _quality("answer recall@20"),
    "answer_recall@100": _quality("answer recall@100"),
    "rank_distance": Metric(
        "rank distance", f"ranks; {_LESS}", 1, _LOWER,
        "Worst minus best rank of the translations of the answer, in the pool of all languages; mean over questions.",
        "k - 1 for k languages with an answer", lambda k: k - 1,
    ),
    "rank_distance_normalized": Metric(
        "normalised rank distance", f"0 to 1; {_LESS}", 4, _LOWER,
        "Rank distance on a scale that does not depend on the size of the pool: 0 is the least, 1 the "
        "largest possible.",
        "0", _always(0),
    ),
    "rank_distance_log": Metric(
        "log rank distance", f"log2; {_LESS}", 3, _LOWER,
        "How many times further down the worst translation lies than the best, in powers of two; not driven "
        "by single far-off ones.",
        "log2((b + k - 1) / b) for k translations side by side from rank b on",
    ),
    "rank_distance_median": Metric(
        "median rank distance", f"ranks; {_LESS}", 1, _LOWER,
        "Rank distance of the middle question, which single far-off translations do not drive.",
        "k - 1 for k languages with an answer", lambda k: k - 1,
    ),
    "max_rank": Metric(
        "rank of the last translation", f"ranks; {_LESS}", 1, _LOWER,
        "How far to read until every translation of the answer has been seen.",
        "k for a perfect retriever", lambda k: k,
    ),
    "completion@10": Metric(
        "all translations in the top 10", "share; higher is less biased", 4, _HIGHER,
        "Share of questions with every translation of the answer among the first ten; with more than ten "
        "languages it is 0.",
        "1 for a perfect retriever of at most ten languages",
    ),
    "completion@100": Metric(
        "all translations in the top 100", "share; higher is less biased", 4, _HIGHER,
        "Share of questions with every translation of the answer among the first hundred.",
        "1 for a perfect retriever", _always(1),
    ),
    "own_first": Metric(
        "own language first", f"share; {_LESS}", 4, _LOWER,
        "Share of questions whose best-ranked translation of the answer is in the language of the question.",
        "1 / k for k languages", lambda k: 1 / k,
    ),
    "tlr@10": Metric(
        "recall@10 of other languages", "share; higher is less biased", 4, _HIGHER,
        "Recall in the top ten of the translations that are not in the language of the question.",
        "as recall of the own language",
    ),
    "delta_ap_own": Metric(
        "AP lost without the own language", "compare with the next", 4, _NEITHER,
        "How much average precision falls when the translation in the language of the question is taken out.",
        "equal to the loss without another language",
    ),
    "delta_ap_other": Metric(
        "AP lost without another language", "compare with the one before", 4, _NEITHER,
        "How much average precision falls when a translation in another language is taken out.",
        "equal to the loss without the own language",
    ),
    "own_lift@10": Metric(
        "own language in the top 10", "ratio; 1 is in proportion", 3, _NEITHER,
        "Share of the question's language in the first ten results, over its share of the pool.",
        "1", _always(1),
    ),
    "own_relevant_lift@10": Metric(
        "own language of the right results", "ratio; 1 is in proportion", 3, _NEITHER,
        "Share of the question's language among the relevant results of the first ten, over its share of all relevant "
        "candidates: content has no part in it.",
        "1", _always(1),
    ),
    "exposure_divergence@10": Metric(
        "exposure divergence@10", f"0 to 1; {_LESS}", 4, _LOWER,
        "Jensen-Shannon divergence of the languages shown in the first ten from the languages that have an answer.",
        "the dashed line: its mean if languages were shown at random",
    ),
    "first_result.relevant_own": Metric(
        "first result: right, own language", "share", 4, _NEITHER,
        "Share of questions whose first result is relevant and in the language of the question.",
        "1 / k of the relevant first results",
    ),
    "first_result.relevant_other": Metric(
        "first result: right, other language", "share", 4, _NEITHER,
        "Share of questions whose first result is relevant and in another language.",
        "(k - 1) / k of the relevant first results",
    ),
    "first_result.other_own": Metric(
        "first result: wrong, own language", "share; lower is better", 4, _LOWER,
        "Share of questions whose first result is not relevant and in the language of the question: language "
        "before content.",
        "the share of the language in the pool, of the wrong first results",
    ),
    "first_result.other_other": Metric(
        "first result: wrong, other language", "share; lower is better", 4, _LOWER,
        "Share of questions whose first result is not relevant and in another language.",
        "the share of the other languages in the pool, of the wrong first results",
    ),
    "lift@10.diagonal_preference": Metric(
        "preference for the own language", f"log2; {_LESS}", 3, _LOWER,
        "Mean log2 lift of the question's own language in the top ten, minus that of the other languages.",
        "0", _always(0),
    ),
    "relevant_lift@10.diagonal_preference": Metric(
        "preference for the own language among the right", f"log2; {_LESS}", 3, _LOWER,
        "Mean log2 lift of the question's own language among the relevant results of the first ten, minus that of the "
        "other languages.",
        "0", _always(0),
    ),
    "consistency.rbo": Metric(
        "same list in two languages (RBO)", "0 to 1; higher is less biased", 4, _HIGHER,
        "Rank-biased overlap (p = 0.9, depth 100) of the lists of one question asked in two languages.",
        "1", _always(1),
    ),
    "consistency.spearman@10": Metric(
        "same order in two languages (Spearman)", "-1 to 1; higher is less biased", 4, _HIGHER,
        "Rank correlation of the first ten results of one question asked in two languages; disjoint lists "
        "give about -0.86.",
        "1", _always(1),
    ),
    "concordance.w": Metric(
        "agreement on a language order (W)", f"0 to 1; {_LESS}", 4, _LOWER,
        "Kendall's W: 1 if every question ranks the languages of its answers in one order, whatever the question.",
        "the dashed line: its mean where language does not matter",
    ),
    "peer@100.non_relevant": Metric(
        "PEER@100 of wrong results", "p-value; higher is less biased", 4, _HIGHER,
        "Mean p-value of equal ranks of languages among the results that are not relevant (Kruskal-Wallis). "
        "Read it with the next.",
        "1 / 2", _always(0.5),
    ),
    "peer@100.untested": Metric(
        "PEER@100: lists in one language", f"share; {_LESS}", 4, _LOWER,
        "Share of lists whose wrong results are all in one language: PEER calls them fair (p = 1), though "
        "they are not.",
        "near 0", _always(0),
    ),
    "geometry.centroid_variance_share": Metric(
        "variance of language centroids", f"share; {_LESS}", 4, _LOWER,
        "Share of the variance of embeddings that the language alone explains: the constant offset between languages.",
        "0", _always(0),
    ),
    "geometry.language_probe": Metric(
        "language probe", f"accuracy; {_LESS}", 4, _LOWER,
        "Balanced accuracy with which a linear map tells the language of a text from its embedding.",
        "1 / k for k languages", lambda k: 1 / k,
    ),
    "geometry.uniformity_within": Metric(
        "uniformity within a language", "compare with the next", 3, _NEITHER,
        "How evenly the texts of one language are spread: log of the mean kernel of pairs; lower is more even.",
        "equal to uniformity across languages",
    ),
    "geometry.uniformity_across": Metric(
        "uniformity across languages", "compare with the one before", 3, _NEITHER,
        "How evenly texts of two languages are spread; higher than within means that languages lie apart.",
        "equal to uniformity within a language",
    ),
    "geometry.alignment_mono": Metric(
        "alignment in one language", "squared distance; lower is closer", 4, _NEITHER,
        "Squared distance of a question from its answer in the same language; random directions give 2.",
        "equal to alignment across languages",
    ),
    "geometry.alignment_cross": Metric(
        "alignment across languages", "squared distance; lower is closer", 4, _NEITHER,
        "Squared distance of a question from its answer in another language; random directions give 2.",
        "equal to alignment in one language",
    ),
    "geometry.alignment_translations": Metric(
        "alignment of translations", f"squared distance; {_LESS}", 4, _LOWER,
        "Squared distance of the translations of one text; random directions give 2.",
        "0", _always(0),
    ),
}  # fmt: skip
"""Name in result.json -> how it is read. Names with a dot are paths below `bias`."""

_GROUP_STARTS = {
    "rank_distance": "Ranks of the translations of an answer",
    "own_first": "Which language comes first",
    "consistency.rbo": "One question in two languages, and one order of languages",
    "geometry.centroid_variance_share": "Embeddings, whatever the ranking",
}


def language_bias() -> dict[str, list[str]]:
    """Title -> its measures, for all measures of language bias in the order of `METRICS`."""
    groups: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        if metric.meaning:
            title = _GROUP_STARTS.get(name) or next(reversed(groups))
            groups.setdefault(title, []).append(name)
    return groups


def setting_of_bias(name: str) -> str:
    """The setting that a measure of language bias is found under: `multi`, or `BIAS`."""
    return BIAS if "." in name else "multi"


def bias_numbers(section: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """(path, value) of every figure of a benchmark's `bias` section that is one number."""
    for group, figures in section.items():
        for key, value in (figures if isinstance(figures, dict) else {}).items():
            if is_number(value):
                yield f"{group}.{key}", float(value)


def larger_is_better(metric: str) -> bool:
    """Which way is better. Raises ValueError of a metric for which neither is."""
    larger = METRICS[metric].larger_is_better
    if larger is None:
        raise ValueError(f"{metric} is neither better high nor low")
    return larger
