"""Measures our training step and that of sentence-transformers: pairs a second on the same batches of real text.

    python -m benchmarks.train_throughput --checkpoint FOLDER [--data FOLDER] [--out FILE.json]

Questions of MLQA-R with their paragraphs, and with the sentence that answers them. Both sides train all weights of the
same checkpoint with AdamW and its own dropout, on the same pairs in the same batches, cut to 128 tokens. Each side
lives in a process of its own; they are asked in turn. The peer runs each of its losses, plain, cached, and cached by
token budget; the fastest counts. `--first-step` times a run's way to its first step with and without a token cache.
That both sides' losses are those of a plain loop is a matter of tests/training/test_fit.py.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from benchmarks.rows import Row, number, write_rows
from mixlingual.batches.datamodule import HybridDataModule, StepBatches
from mixlingual.batches.pools import make_sampler
from mixlingual.batches.tokens import TokenStore
from mixlingual.config.schema import BatchingConfig, ModelConfig, OptimConfig, TrainConfig, TrainerConfig
from mixlingual.data.sources.lareqa import load_lareqa
from mixlingual.grid.cost import TRAIN_FLOPS
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError, ParallelCorpus, ParallelItem
from mixlingual.training.device import has_bf16
from mixlingual.training.fit import fit
from mixlingual.training.module import RetrieverModule
from mixlingual.training.preemption import Signals

PEER = "sentence_transformers"
UNITS = ("paragraph", "sentence")
LOSSES = ("plain", "cached", "token budget")
VARIANTS: dict[str, Callable[[TrainConfig], None]] = {
    "dense token table": lambda config: setattr(config.optim, "embeddings", "dense"),
    "passes computed twice": lambda config: setattr(config.trainer, "activation_gib", 0.0),
    "torch.compile": lambda config: setattr(config.trainer, "compile", True),
}
WARM_UP = 2
"""The first steps of a measurement do not count."""
LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
GOALS = {"cpu": (2.0, 0.40), "cuda": (1.3, 0.45)}
"""The goals are a ratio to the peer and a share of the matrix peak, on either device."""


@dataclass(frozen=True, slots=True)
class Work:
    """Says what both sides do."""

    checkpoint: str
    data: str
    unit: str
    """A question is paired with a text of this kind, one of `UNITS`."""
    precision: str
    batch_size: int
    steps: int
    """One measurement has so many steps, those of the warm-up included."""
    loss: str = "plain"
    """The peer trains with this loss."""
    variant: str | None = None
    """One thing of ours is changed: a key of `VARIANTS`."""

    @property
    def name(self) -> str:
        """Returns what rows and lines call the work."""
        return f"{self.unit}s, {self.precision}"


@dataclass(frozen=True, slots=True)
class Speed:
    """Holds what one measurement of a side gave, and the most memory that its process has held."""

    rate: float
    """The rate is in pairs a second, by the median step."""
    flops: float
    """These are operations on the tokens of distinct texts, a second, by the median step; 0 for the peer."""
    peak_mib: float


def corpus_of(work: Work) -> ParallelCorpus:
    """Returns MLQA-R as training items: each question with its gold paragraph or sentence, in each of its languages."""
    benchmark = load_lareqa("mlqa_r", Path(work.data), None, work.unit)
    query: dict[str, dict[str, str]] = {}
    passage: dict[str, dict[str, str]] = {}
    for one in benchmark.queries:
        query.setdefault(one.id, {})[one.language] = one.text
        passage.setdefault(one.id, {})[one.language] = benchmark.candidates[benchmark.gold[one.id, one.language]].text
    items = tuple(ParallelItem(name, "mlqa", query[name], passage[name]) for name in query)
    return ParallelCorpus(f"mlqa_{work.unit}", items, LANGUAGES, {"mlqa": 1.0}, benchmark.fingerprint + work.unit)


def config_of(work: Work) -> TrainConfig:
    """Returns our options for the work: monolingual and cross-lingual batches in equal parts."""
    config = TrainConfig(
        model=ModelConfig(
            checkpoint=work.checkpoint, query_prefix="query: ", passage_prefix="passage: ", temperature=0.02
        ),
        batching=BatchingConfig(batch_size=work.batch_size),
        optim=OptimConfig(learning_rate=3e-5),
        trainer=TrainerConfig(steps=work.steps, precision=work.precision, log_every=1, checkpoint_minutes=None),
    )
    if work.variant:
        VARIANTS[work.variant](config)
    return config


class Ours:
    """Trains through `fit`, as a run does."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.config = config_of(work)
        self.corpus = corpus_of(work)
        sampler = make_sampler(self.corpus, self.config.batching, seed=0, steps=work.steps)
        self.encoder, tokenizer = load_encoder(self.config.model, None, seed=0)
        store = TokenStore.open(self.corpus, tokenizer)
        self.batches = StepBatches(
            self.corpus, sampler, store, steps=work.steps, accumulate=1, hard_negatives=0, seed=0
        )

    def measure(self) -> Speed:
        """Trains all steps."""
        steps = self._work.steps
        data = HybridDataModule(self.batches, self.corpus, workers=0)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            fit(
                self.encoder, data, self.config, steps=steps, data_fingerprint="", folder=folder, logger=None,
                signals=Signals(None),
            )  # fmt: skip
            rates = pd.read_csv(folder / "curves.csv").pairs_per_second[WARM_UP:]
        weights = parameter_counts(self.encoder)["non_embedding"]
        tokens = [len(self.batches[step]["token_ids"]) for step in range(WARM_UP, steps)]
        flops = [TRAIN_FLOPS * weights * held * rate / self._work.batch_size for held, rate in zip(tokens, rates)]
        return Speed(median(rates), median(flops), _peak_mib())


class Peer:
    """Trains through the trainer of sentence-transformers."""

    def __init__(self, work: Work) -> None:
        from datasets import Dataset

        self._work = work
        corpus = corpus_of(work)
        sampler = make_sampler(corpus, config_of(work).batching, seed=0, steps=work.steps)
        anchors, positives = [], []
        for step in range(work.steps):
            batch = sampler.batch(step)
            for item, place in zip(batch.item_B, batch.pool_B):
                pool = sampler.plan.pools[place]
                anchors.append("query: " + corpus.items[item].query[pool.query_language])
                positives.append("passage: " + corpus.items[item].passage[pool.passage_language])
        self.pairs = Dataset.from_dict({"anchor": anchors, "positive": positives})
        self._model = _peer_model(work.checkpoint)

    def measure(self) -> Speed:
        """Trains all steps with the loss of the work."""
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments, losses
        from transformers import TrainerCallback

        work = self._work
        ends: list[float] = []

        class Clock(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                if not ends:
                    ends.append(time.perf_counter())

            def on_step_end(self, *_: Any, **__: Any) -> None:
                ends.append(time.perf_counter())

        make: dict[str, Callable[[], torch.nn.Module]] = {
            "plain": lambda: losses.MultipleNegativesRankingLoss(self._model, scale=50),
            "cached": lambda: losses.CachedMultipleNegativesRankingLoss(self._model, scale=50, mini_batch_size=32),
            "token budget": lambda: losses.CachedMultipleNegativesRankingLoss(
                self._model, scale=50, mini_batch_num_tokens=4096 if not torch.cuda.is_available() else 32768
            ),
        }
        with tempfile.TemporaryDirectory() as folder:
            arguments = SentenceTransformerTrainingArguments(
                folder,
                per_device_train_batch_size=work.batch_size,
                max_steps=work.steps,
                learning_rate=3e-5,
                weight_decay=0.01,
                bf16=work.precision == "bf16-mixed",
                optim="adamw_torch_fused",
                batch_sampler=_in_order,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),
            )
            trainer = SentenceTransformerTrainer(
                model=self._model,
                args=arguments,
                train_dataset=self.pairs,
                loss=make[work.loss](),
                callbacks=[Clock()],
            )
            trainer.train()
        seconds = [stop - start for start, stop in itertools.pairwise(ends)][WARM_UP:]
        return Speed(work.batch_size / median(seconds), 0.0, _peak_mib())


def _in_order(dataset: Any, batch_size: int, drop_last: bool, **_: Any) -> Any:
    """Returns the peer's batches in the order of the rows, so that both sides train on the same ones."""
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from torch.utils.data import SequentialSampler

    return DefaultBatchSampler(SequentialSampler(dataset), batch_size, drop_last)


def _peer_model(checkpoint: str) -> Any:
    from sentence_transformers import SentenceTransformer, models

    unpadded = torch.cuda.is_available() and find_spec("flash_attn") is not None
    options = {"attn_implementation": "flash_attention_2"} if unpadded else {}
    transformer = models.Transformer(checkpoint, max_seq_length=128, model_args=options)
    pooling = models.Pooling(transformer.get_word_embedding_dimension())
    return SentenceTransformer(modules=[transformer, pooling, models.Normalize()])


def _peak_mib() -> float:
    """Returns the most MiB that the process, or its GPU tensors, have held."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


_SIDE: list[Ours | Peer] = []
"""This list holds the side that this process is, once it has been told."""


def _become(side: type[Ours] | type[Peer], work: Work) -> None:
    logging.disable(logging.WARNING)
    os.environ["HF_HUB_OFFLINE"] = "1"
    _SIDE.append(side(work))


def _measure() -> Speed:
    return _SIDE[0].measure()


def matrix_peak(precision: str) -> float:
    """Returns the operations per second of a large matrix product in the precision, the best of a few."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8192 if device == "cuda" else 2048
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if "bf16" in precision else torch.float32)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def measured(work: Work, rounds: int, variants: Iterable[str] = ()) -> tuple[dict[str, list[Speed]], float]:
    """Returns the speeds of every side in turn, by name, and the median share of the matrix peak that ours reaches.

    The sides are `ours`, each variant of ours, and the peer with each of its losses where it is installed.
    """
    works: dict[str, tuple[type[Ours] | type[Peer], Work]] = {"ours": (Ours, work)}
    works |= {variant: (Ours, replace(work, variant=variant)) for variant in variants}
    if find_spec(PEER):
        works |= {f"peer, {loss} loss": (Peer, replace(work, loss=loss)) for loss in LOSSES}
    spawn = multiprocessing.get_context("spawn")
    sides = {
        name: ProcessPoolExecutor(1, spawn, initializer=_become, initargs=arguments)
        for name, arguments in works.items()
    }
    speeds: dict[str, list[Speed]] = {name: [] for name in sides}
    shares = []
    for _ in range(rounds):
        peak = matrix_peak(work.precision)
        for name, side in sides.items():
            speeds[name].append(side.submit(_measure).result())
        shares.append(speeds["ours"][-1].flops / peak)
    for side in sides.values():
        side.shutdown()
    return speeds, median(shares)


def rows_of(work: Work, speeds: dict[str, list[Speed]], share: float) -> list[Row]:
    """Returns rate and memory of ours and of the peer's fastest loss, and the rate of each variant."""
    rates = {name: median(speed.rate for speed in of_side) for name, of_side in speeds.items()}
    best = max((name for name in rates if name.startswith("peer")), key=rates.__getitem__, default=None)
    memory = {name: max(speed.peak_mib for speed in of_side) for name, of_side in speeds.items()}
    return [
        Row(f"training rate, {work.name}", "pairs/s", rates["ours"], best and rates[best], share),
        Row(f"peak memory, {work.name}", "MiB", memory["ours"], best and memory[best]),
        *(
            Row(f"training rate as shipped / {name}, {work.name}", "pairs/s", rates["ours"], rates[name])
            for name in VARIANTS
            if name in rates
        ),
    ]


def describe(work: Work, speeds: dict[str, list[Speed]], rows: list[Row], goals: tuple[float, float]) -> list[str]:
    """Returns lines for people: the rates of each side with their spread, ratio, share of the peak, memory."""
    rate, memory = rows[:2]
    rates = {name: [speed.rate for speed in of_side] for name, of_side in speeds.items()}
    ratio = [] if rate.ratio is None else [f"  ratio  {rate.ratio:.2f} (goal {goals[0]})"]
    return [
        work.name,
        *(f"  {name:24} {median(x):.1f} pairs/s ({min(x):.1f} to {max(x):.1f})" for name, x in rates.items()),
        *ratio,
        f"  peak   {rate.peak_share:.0%} of the matrix product's rate (goal {goals[1]:.0%})",
        f"  memory {number(memory.ours)} MiB, peer {number(memory.peer)} MiB",
    ]


def _diverged(what: str, step: int) -> MixlingualError:
    return MixlingualError(f"{what} is not finite at step {step}")


def profile(work: Work) -> str:
    """Returns the operations of a step of ours, by the processor time that they take themselves."""
    ours = Ours(work)
    module = RetrieverModule(ours.encoder, ours.config, steps=work.steps, diverged=_diverged)
    module.configure_optimizers()
    for step in range(WARM_UP + 1):
        with (
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler,
            module.gradient(ours.batches[step]),
        ):
            module.optimizer.step()
    table: str = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40)
    return f"{work.name}\n{table}"


def first_steps(work: Work) -> Row:
    """Times a run's way to its first step, with the token cache that the first run made, and without."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            command = [
                sys.executable, "-m", "mixlingual.train", "model=me5_small", f"model.checkpoint={work.checkpoint}",
                "data=parallel", f"data.root={work.data}/train-parallel", f"data.languages=[{','.join(LANGUAGES)}]",
                "optim=finetune", "evaluation=none", "trainer.steps=1", "trainer.log_every=1",
                "trainer.save_model=false", "trainer.checkpoint_minutes=null", f"run_name={name}",
                f"hydra.run.dir={folder}/{name}",
            ]  # fmt: skip
            start = time.time()
            environment = os.environ | {"MIXLINGUAL_CACHE": f"{folder}/cache", "HF_HUB_OFFLINE": "1"}
            subprocess.run(command, env=environment, check=True, capture_output=True)
            seconds.append(Path(folder, name, "curves.csv").stat().st_mtime - start)
    return Row("first step, second run of a sweep / first run", "s", seconds[1], seconds[0])


def main() -> None:
    """Measures, prints each comparison and the goals, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_throughput", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--checkpoint", required=True, help="folder of a Hugging Face encoder")
    parser.add_argument("--data", default=os.environ.get("MIXLINGUAL_DATA"), help="folder with mlqa-r/ in it")
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio, peak_share}")
    parser.add_argument("--units", nargs="*", choices=UNITS, default=UNITS, help="none: only what is asked for below")
    parser.add_argument(
        "--precisions", nargs="+", default=["bf16-mixed", "32-true"], help="what the device lacks is left out"
    )
    parser.add_argument("--profile", action="store_true", help="also where a step of ours spends its time")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--steps", type=int, default=6, help="steps of a measurement, the first 2 of which do not count"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--ablate", action="store_true", help="also ours with one thing changed; minutes")
    parser.add_argument("--first-step", action="store_true", help="also time the way to the first step; minutes")
    options = parser.parse_args()
    if not options.data:
        parser.error("--data FOLDER or MIXLINGUAL_DATA names the folder that holds mlqa-r/")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, torch {torch.__version__}, batches of {options.batch_size}")
    work = Work(options.checkpoint, options.data, "paragraph", "32-true", options.batch_size, options.steps)
    precisions = [p for p in options.precisions if p == "32-true" or has_bf16(torch.device(device))]
    if left_out := sorted({*options.precisions} - {*precisions}):
        print(f"{', '.join(left_out)} is left out: this device has no instructions for bf16")
    works = [replace(work, unit=u, precision=p) for u in UNITS for p in precisions]
    rows = []
    for one in works:
        if one.unit in options.units:
            speeds, share = measured(one, options.rounds, VARIANTS if options.ablate else ())
            rows += (of_work := rows_of(one, speeds, share))
            print(*describe(one, speeds, of_work, GOALS[device]), sep="\n", flush=True)
    if options.profile:
        print(*map(profile, works), sep="\n")
    if options.first_step:
        rows.append(row := first_steps(work))
        print(f"first step: {row.ours:.1f} s with cached tokens, {row.peer:.1f} s without, {1 / row.ratio:.1f}x sooner")
    if options.out:
        write_rows(options.out, rows)


if __name__ == "__main__":
    main()
