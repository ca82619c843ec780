"""Hybrid batches, and LAReQA's settings and language bias, inside `SentenceTransformerTrainer`.

    data = DatasetDict({"de-de": ..., "de-en": ...})     # named by the languages of query and passage
    args = SentenceTransformerTrainingArguments(..., multi_dataset_batch_sampler=hybrid_batches(data, ratio=0.5))
    evaluator = SentenceRetrievalEvaluator("xquad_r", languages=["de", "en"], root="data", paragraphs=60)
    SentenceTransformerTrainer(model, args, train_dataset=data, loss=loss, evaluator=evaluator)

Shape suffixes: N texts, D width of the embedding.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.state import GradientState
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.sampler import MultiDatasetDefaultBatchSampler

from mixlingual.api.evaluation import load_benchmark
from mixlingual.batches.loader import HybridBatches
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.measures.geometry import unit
from mixlingual.measures.registry import METRICS
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
        better = {name.replace(".", "_"): measure.larger_is_better for name, measure in METRICS.items()}
        self.greater_is_better = better.get(primary_metric.partition("_")[2]) is not False

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


class HybridSampler(MultiDatasetDefaultBatchSampler):  # type: ignore[misc]
    """Is what `hybrid_batches` makes: the trainer builds it."""

    def __init__(
        self,
        dataset: Any,
        batch_samplers: Sequence[Any],
        generator: torch.Generator | None = None,
        seed: int = 0,
        *,
        pairs: Sequence[str],
        split_batches: bool,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(dataset, batch_samplers=batch_samplers, generator=generator, seed=seed)
        sizes = [len(part) for part in dataset.datasets]
        if len(sizes) != len(pairs):
            raise MixlingualError(
                f"the trainer has {len(sizes)} data sets, and hybrid_batches was given {len(pairs)}: "
                f"{', '.join(pairs)}; give both the same"
            )
        ranks = 1 if split_batches else PartialState().num_processes
        self.batches = HybridBatches(
            dict(zip(pairs, sizes, strict=True)),
            batch_size=ranks * batch_samplers[0].batch_size,
            ranks=ranks,
            **{"seed": seed, **options},
        )
        self.drop_last = True
        _check_ranks(self.batches.identity)

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the rows of each list of the epoch.

        A trainer of several processes that resumes tells the epoch to accelerate's loader, which does not pass it on.
        """
        loader = GradientState().active_dataloader
        self.batches.set_epoch(max(self.epoch, getattr(loader, "iteration", 0)))
        return iter(self.batches)

    def __len__(self) -> int:
        """Returns how many lists an epoch has, over all ranks."""
        return len(self.batches)


def hybrid_batches(data: Mapping[str, Sized], *, split_batches: bool = False, **options: Any) -> partial[HybridSampler]:
    """Returns the `multi_dataset_batch_sampler` that draws exact shares of monolingual batches.

    Every batch is of one pair of languages, on all ranks the same at a step; rows of a batch are of different items, so
    that no translation of a passage is among its in-batch negatives. It is repeatable, follows the trainer's seed and
    `set_epoch`, goes on in the middle of an epoch, and can be pickled with the training arguments.

    Args:
        data: the training data: pair of languages, as "en-de", -> data set, in the trainer's order.
        split_batches: whether accelerate splits each batch between ranks, by
            `accelerator_config={"split_batches": True}`, where the trainer's batch size is that of all ranks together.
            False: each rank has a batch of that size.
        options: ratio, schedule, final_ratio, phases, draw, exponent, steps, epochs and seed of
            `mixlingual.batches.HybridBatches`; the seed is the trainer's unless given.

    Raises:
        MixlingualError: a key is no pair of languages, or an option is out of range.
    """
    HybridBatches({pair: len(rows) for pair, rows in data.items()}, batch_size=1, **options)
    return partial(HybridSampler, pairs=tuple(data), split_batches=split_batches, options=options)


def _check_ranks(identity: str) -> None:
    """Refuses ranks whose data or options differ: they would train on other pairs without a word."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    found: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, identity)
    if len(set(found)) > 1:
        odd = [rank for rank, one in enumerate(found) if one != found[0]]
        raise MixlingualError(
            f"the data sets or options of rank {odd[0]} are not those of rank 0; give all ranks the same data, whole "
            "and in the same order"
        )
