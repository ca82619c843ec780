"""LAReQA's settings and language bias as an evaluator of sentence-transformers, for `SentenceTransformerTrainer`.

    evaluator = SentenceRetrievalEvaluator("xquad_r", languages=["de", "en"], root="data", paragraphs=60)
    SentenceTransformerTrainer(model, args, train_dataset=data, loss=loss, evaluator=evaluator)

Shape suffixes: N texts, D width of the embedding.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator

from mixlingual.api.evaluation import load_benchmark
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.measures.geometry import unit
from mixlingual.records import Benchmark, MixlingualError, is_number

CSV = "sentence_retrieval_{name}_results.csv"


class SentenceRetrievalEvaluator(BaseEvaluator):  # type: ignore[misc]
    """Scores a model in each language, across languages and in the pool of all, with every measure of language bias.

    Queries and passages are encoded with the prompts that the model names for them, each distinct text once.

    Args:
        benchmark: name or folder of a parallel benchmark, or the benchmark itself.
        paragraphs: so many paragraphs are kept, evenly spaced, with their questions and answers and as large a share of
            the candidates that answer nothing, for an evaluation every few steps; None: all. Scores of different
            numbers do not compare.
        primary_metric: SETTING_MEASURE, as multi_map or multi_rank_distance.
        batch_size: texts that are encoded at once.
        name: put before each metric; None: the benchmark's.
        write_csv: whether a line is added to a CSV file in the output folder.
        options: languages, root, unit and shared_ids of `evaluate_encoder`.

    Raises:
        MixlingualError: the benchmark is not there, malformed or not parallel.
    """

    def __init__(
        self,
        benchmark: str | Path | Benchmark,
        *,
        paragraphs: int | None = None,
        primary_metric: str = "multi_map",
        batch_size: int = 32,
        name: str | None = None,
        write_csv: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        loaded = benchmark if isinstance(benchmark, Benchmark) else load_benchmark(benchmark, **options)
        if not isinstance(loaded, Benchmark):
            raise MixlingualError(f"{loaded.name} is not parallel; the evaluator takes parallel benchmarks, as xquad_r")
        self.benchmark = loaded if paragraphs is None else thinned(loaded, paragraphs)
        self.name = loaded.name if name is None else name
        self.batch_size, self.write_csv = batch_size, write_csv
        self.primary_metric = primary_metric
        self.greater_is_better = not any(word in primary_metric for word in _SMALLER_IS_BETTER)

    def __call__(
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Returns NAME_SETTING_MEASURE -> macro mean over languages or pairs, and NAME_bias_MEASURE.

        Raises:
            MixlingualError: embeddings are not finite, or `primary_metric` is none of the metrics.
        """
        queries = self._encoded(model, [query.text for query in self.benchmark.queries], "query")
        candidates = self._encoded(model, [candidate.text for candidate in self.benchmark.candidates], "document")
        scores = score_benchmark(self.benchmark, queries, candidates).metrics
        sections = {setting: scores.get(setting, {}) for setting in ("mono", "cross", "multi")}
        sections |= {f"bias_{name}": figures for name, figures in scores.get("bias", {}).items()}
        metrics = {
            f"{section}_{name}": float(value)
            for section, figures in sections.items()
            for name, value in figures.items()
            if is_number(value)
        }
        wanted = str(self.primary_metric).removeprefix(f"{self.name}_")
        if wanted not in metrics:
            raise MixlingualError(f"got primary_metric={wanted!r}; the metrics are {', '.join(metrics)}")
        if output_path is not None and self.write_csv:
            self._write(Path(output_path), {"epoch": epoch, "steps": steps, **metrics})
        named: dict[str, float] = self.prefix_name_to_metrics(metrics, self.name)
        self.store_metrics_in_model_card_data(model, named, epoch, steps)
        return named

    @property
    def description(self) -> str:
        """What the model card calls it."""
        return "Sentence retrieval in and across languages"

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says of it."""
        benchmark = self.benchmark
        return {
            "benchmark": benchmark.name,
            "languages": list(benchmark.languages),
            "queries": len(benchmark.queries),
            "candidates": len(benchmark.candidates),
            "fingerprint": benchmark.fingerprint,
        }

    def _encoded(
        self, model: SentenceTransformer, texts: list[str], side: str
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        encode = model.encode_query if side == "query" else model.encode_document
        found_ND = encode(list(place), batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True)
        embedding_ND = np.asarray(found_ND, np.float32)[[place[text] for text in texts]]
        return embedding_ND if model.similarity_fn_name == "dot" else unit(embedding_ND)

    def _write(self, folder: Path, row: dict[str, float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CSV.format(name=self.name)
        new = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


_SMALLER_IS_BETTER = ("rank_distance", "max_rank", "own_first", "exposure_divergence")


def thinned(benchmark: Benchmark, paragraphs: int) -> Benchmark:
    """Returns the questions of so many paragraphs, evenly spaced, their answers, and as large a share of the others.

    Args:
        benchmark: parallel.
        paragraphs: at least 1.
    """
    every = sorted({query.paragraph for query in benchmark.queries})
    if paragraphs < 1:
        raise MixlingualError(f"got paragraphs={paragraphs}; it is at least 1, or None for all {len(every)}")
    chosen = {every[n] for n in np.linspace(0, len(every) - 1, min(paragraphs, len(every))).astype(int)}
    queries = tuple(query for query in benchmark.queries if query.paragraph in chosen)
    answers = {answer for query in queries for answer in benchmark.answers_of(query.id)}
    golds = {position for (answer, _), position in benchmark.gold.items() if answer in answers}
    others = sorted(set(range(len(benchmark.candidates))) - set(benchmark.gold.values()))
    kept = sorted(golds | set(others[:: max(1, round(len(every) / len(chosen)))]))
    place = {old: new for new, old in enumerate(kept)}
    gold = {key: place[position] for key, position in benchmark.gold.items() if key[0] in answers}
    return Benchmark(
        benchmark.name,
        benchmark.languages,
        queries,
        tuple(benchmark.candidates[n] for n in kept),
        gold,
        f"{benchmark.fingerprint}/{paragraphs}",
        complete=False,
        unit=benchmark.unit,
        answers={question: row for question, row in benchmark.answers.items() if set(row) <= answers},
    )
