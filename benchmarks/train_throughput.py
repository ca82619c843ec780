"""Our training step and that of sentence-transformers: pairs a second on the same batches of real text.

    python -m benchmarks.train_throughput --checkpoint FOLDER [--data FOLDER] [--out FILE.json]

Questions of MLQA-R with their paragraphs, and with the sentence that answers them. Both sides train all weights of the
same checkpoint with AdamW and its own dropout, on the same pairs in the same batches, cut to 128 tokens. Each side
lives in a process of its own; they are asked in turn. The peer runs each of its losses, plain, cached, and cached by
token budget; the fastest counts. `--first-step` times a run's way to its first step with and without a token cache.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing.connection import Connection
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
from mixlingual.model.loss import info_nce
from mixlingual.model.tokenizer import pad
from mixlingual.records import MixlingualError, ParallelCorpus, ParallelItem
from mixlingual.training.fit import fit
from mixlingual.training.module import RetrieverModule
from mixlingual.training.preemption import Signals
from mixlingual.training.schedule import make_scheduler

PEER = "sentence_transformers"
LOSSES = ("plain", "cached", "token budget")
VARIANTS: dict[str, Callable[[TrainConfig], None]] = {
    "as shipped": lambda _: None,
    "dense token table": lambda config: setattr(config.optim, "embeddings", "dense"),
    "passes computed twice": lambda config: setattr(config.trainer, "activation_gib", 0.0),
    "torch.compile": lambda config: setattr(config.trainer, "compile", True),
}
WARM_UP = 2
"""Steps at the start of a measurement that do not count."""
LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
GOALS = {"cpu": (2.0, 0.40), "cuda": (1.3, 0.45)}
"""Ratio to the peer, and share of the matrix peak, on either device."""


@dataclass(frozen=True, slots=True)
class Work:
    """What both sides do."""

    checkpoint: str
    data: str
    unit: str
    """paragraph or sentence: what a question is paired with."""
    precision: str
    batch_size: int
    steps: int
    """Steps of one measurement, those of the warm-up included."""
    loss: str = "plain"
    """The peer's loss."""
    variant: str = "as shipped"
    """Ours with one thing changed: a key of `VARIANTS`."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one side needed: seconds of each step, tokens that it encoded without padding, and the process's memory."""

    seconds: list[float]
    tokens: list[int]
    peak_mib: float


def corpus_of(work: Work) -> ParallelCorpus:
    """MLQA-R as training items: each question with its gold paragraph or sentence, in each of its languages."""
    benchmark = load_lareqa("mlqa_r", Path(work.data), None, work.unit)
    query: dict[str, dict[str, str]] = {}
    passage: dict[str, dict[str, str]] = {}
    for one in benchmark.queries:
        query.setdefault(one.id, {})[one.language] = one.text
        passage.setdefault(one.id, {})[one.language] = benchmark.candidates[benchmark.gold[one.id, one.language]].text
    items = tuple(ParallelItem(name, "mlqa", query[name], passage[name]) for name in query)
    return ParallelCorpus(f"mlqa_{work.unit}", items, LANGUAGES, {"mlqa": 1.0}, benchmark.fingerprint + work.unit)


def config_of(work: Work) -> TrainConfig:
    """Our options for the work: monolingual and cross-lingual batches in equal parts."""
    config = TrainConfig(
        model=ModelConfig(
            checkpoint=work.checkpoint, query_prefix="query: ", passage_prefix="passage: ", temperature=0.02
        ),
        batching=BatchingConfig(batch_size=work.batch_size),
        optim=OptimConfig(learning_rate=3e-5),
        trainer=TrainerConfig(steps=work.steps, precision=work.precision, log_every=1, checkpoint_minutes=None),
    )
    VARIANTS[work.variant](config)
    return config


class Ours:
    """Trains through `fit`, as a run does."""

    def __init__(self, work: Work) -> None:
        self._config = config_of(work)
        self._corpus = corpus = corpus_of(work)
        sampler = make_sampler(corpus, self._config.batching, seed=0, steps=work.steps)
        self._encoder, tokenizer = load_encoder(self._config.model, None, seed=0)
        store = TokenStore.open(corpus, tokenizer)
        self._batches = StepBatches(corpus, sampler, store, steps=work.steps, accumulate=1, hard_negatives=0, seed=0)

    @property
    def weights(self) -> int:
        """Weights without lookup tables."""
        return parameter_counts(self._encoder)["non_embedding"]

    def measure(self, work: Work) -> Speed:
        """Trains `work.steps` steps."""
        with tempfile.TemporaryDirectory() as folder:
            fit(
                self._encoder,
                HybridDataModule(self._batches, self._corpus, workers=0),
                self._config,
                steps=work.steps,
                data_fingerprint="",
                folder=Path(folder),
                logger=None,
                signals=Signals(None),
            )
            curve = pd.read_csv(Path(folder, "curves.csv"))
        tokens = [len(self._batches[step]["token_ids"]) for step in range(work.steps)]
        seconds = (work.batch_size / curve.pairs_per_second).tolist()
        return Speed(seconds[WARM_UP:], tokens[WARM_UP:], _peak_mib())


class Peer:
    """Trains through the trainer of sentence-transformers."""

    def __init__(self, work: Work) -> None:
        from datasets import Dataset

        corpus = corpus_of(work)
        sampler = make_sampler(corpus, config_of(work).batching, seed=0, steps=work.steps)
        anchors, positives = [], []
        for step in range(work.steps):
            batch = sampler.batch(step)
            for item, place in zip(batch.item_B, batch.pool_B):
                pool = sampler.plan.pools[place]
                anchors.append("query: " + corpus.items[item].query[pool.query_language])
                positives.append("passage: " + corpus.items[item].passage[pool.passage_language])
        self._pairs = Dataset.from_dict({"anchor": anchors, "positive": positives})
        self._model = _peer_model(work.checkpoint)

    def measure(self, work: Work) -> Speed:
        """Trains `work.steps` steps with `work.loss`."""
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments, losses
        from transformers import TrainerCallback

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
                train_dataset=self._pairs,
                loss=make[work.loss](),
                callbacks=[Clock()],
            )
            trainer.train()
        return Speed([stop - start for start, stop in itertools.pairwise(ends)][WARM_UP:], [], _peak_mib())


def _in_order(dataset: Any, batch_size: int, drop_last: bool, **_: Any) -> Any:
    """The peer's batches in the order of the rows, so that both sides train on the same ones."""
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
    """The most memory that the process, or its GPU tensors, have held."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def serve(side: type[Ours] | type[Peer], work: Work, channel: Connection) -> None:
    """Answers each `Work` with a `Speed` until the channel closes; the first answer is the number of weights."""
    logging.disable(logging.WARNING)
    os.environ["HF_HUB_OFFLINE"] = "1"
    worker = side(work)
    channel.send(worker.weights if isinstance(worker, Ours) else None)
    while True:
        try:
            channel.send(worker.measure(channel.recv()))
        except EOFError:
            return


class Side:
    """A process that trains when asked."""

    def __init__(self, side: type[Ours] | type[Peer], work: Work) -> None:
        self._channel, theirs = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=serve, args=(side, work, theirs))
        self._process.start()
        theirs.close()
        self.weights = self._channel.recv()

    def measure(self, work: Work) -> Speed:
        """One measurement."""
        self._channel.send(work)
        answer: Speed = self._channel.recv()
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._channel.close()
        self._process.join()


def matrix_peak(precision: str) -> float:
    """Floating-point operations per second of a large matrix product in the precision, the best of a few."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8192 if device == "cuda" else 2048
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if "bf16" in precision else torch.float32)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


@dataclass(frozen=True, slots=True)
class Comparison:
    """One unit and precision: pairs a second of every round, and what they mean."""

    work: Work
    ours: list[float]
    peer: list[float]
    peak_share: float
    """Operations of our weights on the tokens of distinct texts, a second, over the matrix peak of the same run."""
    ours_mib: float
    peer_mib: float | None

    def rows(self) -> list[Row]:
        """The rows of the comparison."""
        name = f"{self.work.unit}s, {self.work.precision}"
        peer = median(self.peer) if self.peer else None
        return [
            Row(f"training rate, {name}", "pairs/s", median(self.ours), peer, self.peak_share),
            Row(f"peak memory, {name}", "MiB", self.ours_mib, self.peer_mib),
        ]


def compare(work: Work, rounds: int) -> Comparison:
    """Ours and the peer's in turn, in every round with each of its losses; the fastest of them counts."""
    ours = Side(Ours, work)
    peers = {loss: Side(Peer, replace(work, loss=loss)) for loss in LOSSES} if find_spec(PEER) else {}
    mine: list[Speed] = []
    theirs: dict[str, list[Speed]] = {loss: [] for loss in peers}
    shares = []
    for _ in range(rounds):
        peak = matrix_peak(work.precision)
        mine.append(speed := ours.measure(work))
        flops = [TRAIN_FLOPS * ours.weights * tokens / seconds for tokens, seconds in zip(speed.tokens, speed.seconds)]
        shares.append(median(flops) / peak)
        for loss, peer in peers.items():
            theirs[loss].append(peer.measure(replace(work, loss=loss)))
    for side in (ours, *peers.values()):
        side.close()
    rates = {loss: [_rate(work, speed) for speed in speeds] for loss, speeds in theirs.items()}
    best = max(rates, key=lambda loss: median(rates[loss]), default="plain")
    return Comparison(
        replace(work, loss=best),
        [_rate(work, speed) for speed in mine],
        rates.get(best, []),
        median(shares),
        max(speed.peak_mib for speed in mine),
        max(speed.peak_mib for speed in theirs[best]) if peers else None,
    )


def loss_difference(work: Work) -> Row:
    """Largest difference between our losses and those of a plain loop over the same steps, without dropout.

    The plain loop pads every text of every pair, takes one backward pass, and steps the whole token table by
    PyTorch's AdamW.
    """
    config = config_of(work)
    corpus = corpus_of(work)
    sampler = make_sampler(corpus, config.batching, seed=0, steps=work.steps)
    encoder, tokenizer = load_encoder(replace(config.model, attention_dropout=0.0), None, seed=0)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain = copy.deepcopy(encoder)
    store = TokenStore.open(corpus, tokenizer)
    batches = StepBatches(corpus, sampler, store, steps=work.steps, accumulate=1, hard_negatives=0, seed=0)
    data = HybridDataModule(batches, corpus, workers=0)
    with tempfile.TemporaryDirectory() as folder:
        ours = fit(
            encoder,
            data,
            config,
            steps=work.steps,
            data_fingerprint="",
            folder=Path(folder),
            logger=None,
            signals=Signals(None),
        ).losses
    matrices = [weight for weight in plain.parameters() if weight.ndim > 1]
    others = [weight for weight in plain.parameters() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.optim.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.optim.learning_rate)
    scheduler = make_scheduler(optimizer, config.optim, work.steps)
    theirs = []
    for step in range(work.steps):
        batch = batches[step]
        texts = batch["token_ids"].split(batch["lengths"].tolist())
        sides = [[texts[place].tolist() for place in batch[side]] for side in ("query", "passage")]
        query_BD, passage_BD = (plain(*pad(rows, tokenizer.pad_id)) for rows in sides)
        loss = info_nce(query_BD, passage_BD, batch["item"], batch["item"], plain.temperature).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), config.optim.gradient_clip or torch.inf)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        theirs.append(loss.item())
    largest = max(abs(a - b) for a, b in zip(ours, theirs))
    return Row(
        f"loss, largest difference from a plain loop over {work.steps} steps from {theirs[0]:.3f}",
        "nats",
        largest,
        None,
    )


def ablate(work: Work, rounds: int) -> list[Row]:
    """Ours as shipped against ours with one thing changed, in turn."""
    rows = []
    for variant in list(VARIANTS)[1:]:
        sides = {name: Side(Ours, replace(work, variant=name)) for name in ("as shipped", variant)}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                rates[name].append(_rate(work, side.measure(work)))
        for side in sides.values():
            side.close()
        name = f"training rate as shipped / {variant}, {work.unit}s, {work.precision}"
        rows.append(Row(name, "pairs/s", median(rates["as shipped"]), median(rates[variant])))
        print(f"as shipped {_spread(rates['as shipped'])}, {variant} {_spread(rates[variant])}", flush=True)
    return rows


def _diverged(what: str, step: int) -> MixlingualError:
    return MixlingualError(f"{what} is not finite at step {step}")


def profile(work: Work) -> str:
    """Operations of a step of ours, by the processor time that they take themselves."""
    ours = Ours(work)
    module = RetrieverModule(ours._encoder, ours._config, steps=work.steps, diverged=_diverged)
    module.configure_optimizers()
    for step in range(WARM_UP + 1):
        with (
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler,
            module.gradient(ours._batches[step]),
        ):
            module.optimizer.step()
    table: str = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40)
    return f"{work.unit}s, {work.precision}\n{table}"


def _rate(work: Work, speed: Speed) -> float:
    """Pairs a second, by the median step."""
    return work.batch_size / median(speed.seconds)


def first_steps(work: Work) -> Row:
    """Seconds from the start of a run to its first step, with the token cache that the first run made, and without."""
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
    parser.add_argument(
        "--units", nargs="*", default=["paragraph", "sentence"], help="none: only what is asked for below"
    )
    parser.add_argument("--precisions", nargs="+", default=["bf16-mixed", "32-true"])
    parser.add_argument("--profile", action="store_true", help="also where a step of ours spends its time")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--steps", type=int, default=6, help="steps of a measurement, the first 2 of which do not count"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--ablate", action="store_true", help="also ours with one thing changed at a time; minutes")
    parser.add_argument("--loss-curve", action="store_true", help="also compare our losses with a plain loop's")
    parser.add_argument("--first-step", action="store_true", help="also time the way to the first step; minutes")
    options = parser.parse_args()
    if not options.data:
        parser.error("--data FOLDER or MIXLINGUAL_DATA names the folder that holds mlqa-r/")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, torch {torch.__version__}, batches of {options.batch_size}")
    work = Work(options.checkpoint, options.data, "paragraph", "bf16-mixed", options.batch_size, options.steps)
    rows = []
    for unit in options.units:
        for precision in options.precisions:
            comparison = compare(replace(work, unit=unit, precision=precision), options.rounds)
            rows += comparison.rows()
            print(*describe(comparison, GOALS[device]), sep="\n", flush=True)
    if options.profile:
        for unit, precision in itertools.product(("paragraph", "sentence"), options.precisions):
            print(profile(replace(work, unit=unit, precision=precision)))
    if options.ablate:
        rows += ablate(work, options.rounds)
    if options.loss_curve:
        rows.append(row := loss_difference(replace(work, precision="32-true")))
        print(f"{row.name}: {row.ours:.2g} nats")
    if options.first_step:
        rows.append(row := first_steps(work))
        print(f"first step: {row.ours:.1f} s with cached tokens, {row.peer:.1f} s without, {1 / row.ratio:.1f}x sooner")
    if options.out:
        write_rows(options.out, rows)


def describe(comparison: Comparison, goals: tuple[float, float]) -> list[str]:
    """Lines for people: rates with their spread, ratio, share of the peak, memory."""
    rate, memory = comparison.rows()
    lines = [f"{comparison.work.unit}s, {comparison.work.precision}", f"  ours   {_spread(comparison.ours)}"]
    if comparison.peer:
        lines.append(f"  peer   {_spread(comparison.peer)} with its {comparison.work.loss} loss")
        lines.append(f"  ratio  {rate.ratio:.2f} (goal {goals[0]})")
    lines.append(f"  peak   {comparison.peak_share:.0%} of the matrix product's rate (goal {goals[1]:.0%})")
    lines.append(f"  memory {number(memory.ours)} MiB, peer {number(memory.peer)} MiB")
    return lines


def _spread(rates: list[float]) -> str:
    return f"{median(rates):.1f} pairs/s ({min(rates):.1f} to {max(rates):.1f})"


if __name__ == "__main__":
    main()
