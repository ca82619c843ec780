"""MLQA-R and XQuAD-R as tasks of MTEB (Muennighoff et al. 2023): in each language, across languages and pooled.

    import mixlingual.integrations.mteb
    mteb.evaluate(model, mteb.get_tasks(["XQuADRSentenceRetrievalPooled"]))

MTEB's own scores stand beside ours: `map` over the full ranking, ties as one threshold, is the main score; the pooled
tasks have every measure of language bias that goes by question. A task's main score is the macro mean of its subsets,
as in result.json. `parallel_task` makes such tasks of any parallel benchmark. Needs the package mteb, the extra `mteb`.

Shape suffixes: Q queries, N candidates, M languages, R slots for gold candidates, K best candidates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from mixlingual.api.evaluation import load_benchmark
from mixlingual.evaluation.protocol import DEPTH
from mixlingual.evaluation.ranking import id_order
from mixlingual.measures.quality import average_precision
from mixlingual.measures.registry import scores_of_questions
from mixlingual.measures.retrieval import Rankings, Retrieval, gold_positions
from mixlingual.records import Benchmark, MixlingualError

MTEB_LANGUAGES = {
    "ar": "ara-Arab", "de": "deu-Latn", "el": "ell-Grek", "en": "eng-Latn", "es": "spa-Latn", "hi": "hin-Deva",
    "ru": "rus-Cyrl", "th": "tha-Thai", "tr": "tur-Latn", "vi": "vie-Latn", "zh": "zho-Hans",
}  # fmt: skip
"""Language of our benchmarks -> MTEB's code."""

SETTINGS = {"mono": "", "cross": "CrossLingual", "multi": "Pooled"}
"""Setting -> end of the name of its task."""


class ParallelTask(AbsTaskRetrieval):  # type: ignore[misc]
    """One setting of a parallel benchmark; subsets are languages, or pairs of languages across languages."""

    benchmark: ClassVar[Callable[..., Benchmark]]
    setting: ClassVar[str]
    root: ClassVar[str | None] = None
    """Folder of the published files; None: the cache, filled from the network."""
    data_loaded: bool = False

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Reads the benchmark; k goes up to the largest pool, so that rankings are whole."""
        if self.data_loaded:
            return
        self._loaded = type(self).benchmark(**({} if self.root is None else {"root": self.root}))
        self.dataset = {subset: {"test": self._subset(subset)} for subset in self.hf_subsets}
        self._top_k = max(len(parts["test"]["corpus"]) for parts in self.dataset.values())
        self.k_values = tuple(sorted({1, 3, 5, 10, 20, 100, 1000, self._top_k}))
        self.data_loaded = True

    def _subset(self, subset: str) -> dict[str, Any]:
        part = self._part(subset)
        held = {candidate.id for candidate in part.candidates}
        golds: dict[str, dict[str, int]] = {}
        for query in part.queries:
            of_query = [
                (answer, m, grade) for answer, grade in part.answers_of(query.id).items() for m in part.languages
            ]
            found = {self._id(part, a, m): grade for a, m, grade in of_query if (a, m) in part.gold}
            golds[query.id] = {key: grade for key, grade in found.items() if key in held}
        queries = [query for query in part.queries if golds[query.id]]
        return {
            "corpus": Dataset.from_list([{"id": c.id, "title": "", "text": c.text} for c in part.candidates]),
            "queries": Dataset.from_list([{"id": query.id, "text": query.text} for query in queries]),
            "relevant_docs": {query.id: golds[query.id] for query in queries},
            "top_ranked": None,
        }

    @staticmethod
    def _id(part: Benchmark, answer: str, language: str) -> str:
        return part.candidates[part.gold[answer, language]].id

    def _part(self, subset: str) -> Benchmark:
        """Returns the queries and candidates of a subset, as a benchmark."""
        query, _, candidate = subset.partition("-")
        asked, whole = (query, candidate or query), self._loaded
        languages = whole.languages if self.setting == "multi" else (asked[1],)
        kept = [n for n, one in enumerate(whole.candidates) if one.language in languages]
        place = {old: new for new, old in enumerate(kept)}
        return replace(
            whole,
            languages=languages,
            queries=tuple(one for one in whole.queries if one.language == query),
            candidates=tuple(whole.candidates[n] for n in kept),
            gold={key: place[n] for key, n in whole.gold.items() if key[1] in languages},
        )

    def task_specific_scores(
        self, scores: Any, qrels: Any, results: Mapping[str, Mapping[str, float]], hf_split: str, hf_subset: str
    ) -> dict[str, float]:
        """Returns `map`, and in the pool the means of the measures of language bias that single questions have."""
        part = self._part(hf_subset)
        part = replace(part, queries=tuple(query for query in part.queries if query.id in results))
        score_QN = _scores(part, results)
        rank_QR, last_QR, top_QK = _ranks(part, score_QN)
        found = {"map": float(average_precision(last_QR).mean())}
        if self.setting == "multi":
            rankings = Rankings(
                rank_QR, last_QR, rank_QR, last_QR, top_QK, np.take_along_axis(score_QN, top_QK, axis=1)
            )
            nothing = np.zeros((0, 1), np.float32)
            columns = scores_of_questions(Retrieval(part, rankings, nothing, nothing))
            found |= {
                name: float(np.nanmean(value_Q)) for name, value_Q in columns.items() if not np.isnan(value_Q).all()
            }
        return found


def _scores(part: Benchmark, results: Mapping[str, Mapping[str, float]]) -> Any:
    """Returns [Q, N] scores that MTEB ranked by."""
    lists = [results[query.id] for query in part.queries]
    if any(len(listed) < len(part.candidates) for listed in lists):
        raise MixlingualError(
            f"{part.name}: a ranking is shorter than its pool of {len(part.candidates)}; evaluate with a model that "
            "ranks the whole pool"
        )
    return np.array([[listed[candidate.id] for candidate in part.candidates] for listed in lists], np.float32)


def _ranks(part: Benchmark, score_QN: Any) -> tuple[Any, Any, Any]:
    """Returns ranks of the gold candidates, those with ties at their last rank, and the best candidates, as `rank`."""
    order_N, gold_QR = id_order([candidate.id for candidate in part.candidates]), gold_positions(part)
    ranked_QN = np.stack([np.lexsort((-order_N, -score_N)) for score_N in score_QN])
    place_QN = ranked_QN.argsort(axis=1) + 1
    gold_score_QR = np.take_along_axis(score_QN, np.maximum(gold_QR, 0), axis=1)
    last_QR = np.stack(
        [len(score_N) - np.sort(score_N).searchsorted(gold_R) for score_N, gold_R in zip(score_QN, gold_score_QR)]
    )
    rank_QR = np.take_along_axis(place_QN, np.maximum(gold_QR, 0), axis=1)
    return np.where(gold_QR < 0, 0, rank_QR), np.where(gold_QR < 0, 0, last_QR), ranked_QN[:, :DEPTH]


def parallel_task(
    name: str,
    setting: str,
    benchmark: Callable[..., Benchmark],
    languages: Mapping[str, str],
    **metadata: Any,
) -> type[ParallelTask]:
    """Makes a task of one setting of a parallel benchmark.

    Args:
        name: of the task.
        setting: mono, cross or multi.
        benchmark: called for it when data are loaded, with `root` where the task has one.
        languages: those of the benchmark -> MTEB's codes, as {"de": "deu-Latn"}.
        metadata: fields of MTEB's `TaskMetadata` that differ from those of XQuAD-R.
    """
    codes = list(languages)
    if setting == "mono":
        subsets = {code: [languages[code]] for code in codes}
    elif setting == "cross":
        subsets = {f"{q}-{c}": [languages[q], languages[c]] for q in codes for c in codes if q != c}
    else:
        subsets = {code: [languages[code], *(languages[c] for c in codes if c != code)] for code in codes}
    fields = {
        "name": name,
        "description": f"Sentence retrieval, {setting}.",
        "reference": "https://github.com/google-research-datasets/lareqa",
        "type": "Retrieval",
        "category": "t2t",
        "modalities": ["text"],
        "eval_splits": ["test"],
        "eval_langs": subsets,
        "main_score": "map",
        "date": ("2016-01-01", "2020-04-28"),
        "domains": ["Encyclopaedic", "Written"],
        "task_subtypes": ["Question answering"],
        "license": "cc-by-sa-4.0",
        "annotations_creators": "human-annotated",
        "dialect": [],
        "sample_creation": "human-translated",
        "dataset": {"path": "google-research-datasets/lareqa", "revision": "main"},
        "bibtex_citation": "",
    }
    members = {
        "metadata": TaskMetadata(**{**fields, **metadata}),
        "benchmark": staticmethod(benchmark),
        "setting": setting,
    }
    return type(name, (ParallelTask,), members)


def _register(task: type[ParallelTask]) -> type[ParallelTask]:
    """Makes `mteb.get_task` know a task; MTEB itself collects its tasks once, when it is imported."""
    registry: Any = sys.modules["mteb.get_tasks"]
    registry._TASKS_REGISTRY[task.metadata.name] = task
    registry.TASK_LIST = (*registry.TASK_LIST, task)
    return task


_BIBTEX = """@inproceedings{roy-etal-2020-lareqa,
  author = {Roy, Uma and Constant, Noah and Al-Rfou, Rami and Barua, Aditya and Phillips, Aaron and Yang, Yinfei},
  booktitle = {Proceedings of EMNLP 2020},
  title = {{LAR}e{QA}: Language-Agnostic Answer Retrieval from a Multilingual Pool},
  year = {2020},
}"""
_SETS = {
    "MLQAR": ("mlqa_r", ("ar", "de", "en", "es", "hi", "vi", "zh"), "cc-by-nc-4.0", "MLQA-R of LAReQA"),
    "XQuADR": ("xquad_r", tuple(MTEB_LANGUAGES), "cc-by-sa-4.0", "XQuAD-R of LAReQA"),
}

TASKS = [
    _register(
        parallel_task(
            f"{prefix}SentenceRetrieval{ending}",
            setting,
            partial(load_benchmark, name),  # type: ignore[arg-type]
            {code: MTEB_LANGUAGES[code] for code in codes},
            description=f"{about}: the sentence that answers a question, {setting}.",
            license=licence,
            bibtex_citation=_BIBTEX,
        )
    )
    for prefix, (name, codes, licence, about) in _SETS.items()
    for setting, ending in SETTINGS.items()
]
"""Tasks that importing this module makes known to `mteb.get_tasks`."""
