"""This declares measures: the function of each, beside all that tables, pages, W&B and docs say of it.

A measure is one file of this package, or a few that are computed together are. `registry` finds the files by itself.
Shape suffixes: Q queries, R slots for relevant candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from mixlingual.measures.retrieval import Ranked, Retrieval, Scores

BIAS = "bias"
"""The setting, in tables, of the measures in the `bias` section of a benchmark."""

SETTING_TITLES = {"mono": "monolingual", "cross": "cross-lingual", "multi": "multilingual", BIAS: "language bias"}
"""Setting -> how it is called wherever people read it."""

PARALLEL_RANKS = "Ranks of the translations of an answer"
WHICH_LANGUAGE = "Which language comes first"
SAME_QUESTION = "One question in two languages, and one order of languages"
EMBEDDINGS = "Embeddings, whatever the ranking"

LESS_BIASED = "lower is less biased"

OfRanks = Callable[[Ranked], Scores]
OfDepth = Callable[[Ranked, int], Scores]
OfQuestions = Callable[[Retrieval], Scores]
OfBenchmark = Callable[[Retrieval], dict[str, Any]]
OfList = Callable[[Sequence[str], Mapping[str, int]], float]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a measure is called, how it is read and where it stands."""

    name: str
    """Its key in result.json; with a dot, its path below `bias`."""
    place: float
    """Measures are listed by ascending place; those of one place in the order of their declaration."""
    label: str
    direction: str = "higher is better"
    decimals: int = 4
    larger_is_better: bool | None = True
    """None where neither direction is better by itself; no value is then marked as best."""
    group: str = ""
    """Title that it stands under among the measures of language bias; empty for measures of quality."""
    meaning: str = ""
    """What it says about language bias, in a sentence; empty for measures of quality."""
    unbiased: str = ""
    """What it would be if language did not matter, in words."""
    level: Callable[[int], float] | str | None = None
    """What it would be as a number: from the number of languages, or the figure of each result that holds it."""
    level_over: Literal["mean", "median"] | None = None
    """How `level` is averaged over the questions of a language, where it goes by the languages that a question has an
    answer in; the languages then count the same, as they do in the measure. None: by those of the benchmark."""
    headline: tuple[str, ...] = ()
    """Settings in which it sums a benchmark up: its grids come first, and its contrasts are the planned tests."""
    second_look: bool = False
    """Whether the verdicts of the headlines are looked at once more in it."""
    picture: str = ""
    """Picture of lines against the ratio that shows it, together with other measures that name the same."""
    foremost: bool = False
    """Whether it is seen without a click on the report's page, and has a panel in the workspace on W&B."""
    column: str = ""
    """Column of queries.parquet that it is an average of; empty for a figure of a whole benchmark."""
    average: Literal["mean", "median"] = "mean"
    of_ranks: OfRanks | None = None
    """Where the relevant candidates of queries stand -> column, in every setting."""
    of_questions: OfQuestions | None = None
    """What was found -> column of the multilingual setting, NaN where the measure is undefined."""

    @property
    def setting(self) -> str:
        """The setting that a measure of language bias is found under."""
        return BIAS if "." in self.name else "multi"


METRICS: dict[str, Measure] = {}
"""Name in result.json -> measure, in the order in which they are listed."""

SECTIONS: list[tuple[float, str, OfBenchmark]] = []
"""Place, key below `bias` and function of every figure of a whole benchmark, by ascending place."""

AT_DEPTH: dict[str, OfDepth] = {}
"""What stands before the @ in the name of a measure that `evaluation.cutoffs` asks for at further depths."""

OF_LISTS: dict[str, OfList] = {}
"""Name -> measure of one list of passages, best first, against the relevance of those that are judged."""


def declare(*measures: Measure) -> None:
    """Makes measures known, in their places."""
    for measure in measures:
        own = measure.of_ranks or measure.of_questions
        METRICS[measure.name] = replace(measure, column=measure.column or measure.name) if own else measure
    ordered = sorted(METRICS.items(), key=lambda known: known[1].place)
    METRICS.clear()
    METRICS.update(ordered)


def at_depths(
    prefix: str, label: str, depths: tuple[int, ...], place: float, second_look: int
) -> Callable[[OfDepth], OfDepth]:
    """Declares a measure of quality at each of `depths`, by a function of ranks and depth; other depths are options.

    Verdicts are looked at once more at the depth `second_look`.
    """

    def register(function: OfDepth) -> OfDepth:
        AT_DEPTH[prefix] = function
        for k in depths:
            of_ranks = partial(_of_ranks, function, k)
            look = k == second_look
            declare(
                Measure(name=f"{prefix}@{k}", place=place, label=f"{label}@{k}", of_ranks=of_ranks, second_look=look)
            )
        return function

    return register


def _of_ranks(function: OfDepth, k: int, ranked: Ranked) -> Scores:
    return function(ranked, k)


def in_section(section: str, *measures: Measure, place: float | None = None) -> Callable[[OfBenchmark], OfBenchmark]:
    """Declares figures of a whole benchmark, by a function whose dict goes under `bias`, below the key `section`.

    Args:
        section: what the names of the measures have before the dot.
        measures: those of the figures that are one number and that people compare.
        place: of the section in the result; that of the first measure by default.
    """

    def register(function: OfBenchmark) -> OfBenchmark:
        declare(*measures)
        SECTIONS.append((measures[0].place if place is None else place, section, function))
        SECTIONS.sort(key=lambda known: known[0])
        return function

    return register


def of_lists(name: str) -> Callable[[OfList], OfList]:
    """Makes known how a declared measure is computed on benchmarks with judged passages."""

    def register(function: OfList) -> OfList:
        OF_LISTS[name] = function
        return function

    return register
