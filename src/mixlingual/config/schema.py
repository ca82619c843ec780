"""Every option of Mixlingual: its meaning, unit, range and what null stands for.

The dataclasses below are the schema that Hydra composes against and the reference documentation of
the options. YAML under ``conf/`` only assigns values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlingual.config.names import BENCHMARKS

MOST_STEPS = 100_000_000
MOST_SEED = 2**53
"""The largest whole number that JSON, and the pages made of it, keep exactly."""

UNITS = ("sentence", "sentence_in_context", "paragraph")


def option(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    computed: bool = True,
) -> Any:
    """A dataclass field that carries its documentation and its allowed values.

    Args:
        default: the value when nothing assigns one; lists and dicts are copied for each instance.
        doc: meaning, unit and the rule for null.
        choices: the allowed strings (for a list: of each entry).
        low: the smallest allowed number (for a list: of each entry), inclusive.
        high: the largest allowed number (for a list: of each entry), inclusive.
        computed: False where the option changes how a run is made, shown or kept, and none of its numbers beyond
            rounding; it is then no part of what the run is (see `identity`).
    """
    metadata = {"doc": doc, "choices": choices, "low": low, "high": high, "computed": computed}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(schema: type, *, computed: bool = True) -> Any:
    """A dataclass field that is a group of options.

    Args:
        schema: dataclass of the options.
        computed: as in `option`, of all options of the group.
    """
    return field(default_factory=schema, metadata={"computed": computed})


@dataclass
class ScratchConfig:
    """Geometry of an encoder trained from random weights, used when `model.checkpoint` is null."""

    layers: int = option(2, "Transformer layers.", low=1, high=1000)
    hidden: int = option(
        128, "Width of the hidden states and of the embedding; a multiple of heads.", low=8, high=65_536
    )
    heads: int = option(4, "Attention heads.", low=1, high=1024)
    intermediate: int = option(512, "Width of the feed-forward layers.", low=8, high=262_144)
    vocabulary: int = option(
        8000, "Pieces of the tokenizer, which is trained on the training texts and cached.", low=300, high=2_000_000
    )
    dropout: float = option(0.0, "Dropout probability of hidden states and attention.", low=0.0, high=0.9)


@dataclass
class LoraConfig:
    """Low-rank adapters in place of training the encoder's own weights (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = option(
        0,
        "Rank of the updates; 0 trains all weights instead. Above 0 the encoder's own weights stay as they are, the "
        "token table too, and the package peft is needed.",
        low=0,
        high=65_536,
    )
    alpha: int = option(16, "Updates are scaled by alpha / rank.", low=1, high=65_536)
    dropout: float = option(0.0, "Dropout probability of what enters an adapter.", low=0.0, high=0.9)
    modules: list[str] | None = option(
        None, "Ends of the names of the adapted layers, as in [query, value]. Null: every linear layer."
    )


@dataclass
class ModelConfig:
    """A dual encoder with shared weights over any Hugging Face encoder."""

    name: str = option("unnamed", "Short name of the size, part of run names and of the size axis.")
    checkpoint: str | None = option(
        None, "Hub id or folder of the pretrained encoder. Null: random weights of `scratch` geometry."
    )
    revision: str | None = option(None, "Hub revision (commit, branch or tag). Null: the default branch.")
    trust_remote_code: bool = option(False, "Run code that the checkpoint's repository ships.")
    scratch: ScratchConfig = section(ScratchConfig)
    layers: list[int] | None = option(
        None, "Encoder layers to keep, counted from 0, in ascending order. Null: all.", low=0, high=1000
    )
    pooling: str = option(
        "mean",
        "How token states become one vector: mean of real tokens, first, or last real token.",
        choices=("mean", "cls", "last"),
    )
    normalize: bool = option(True, "Scale embeddings to length 1, so that scores are cosines.")
    query_prefix: str = option("", "Text put before each query.")
    passage_prefix: str = option("", "Text put before each passage.")
    max_query_length: int = option(
        128, "Tokens a query is cut to, prefix and special tokens included.", low=4, high=1_000_000
    )
    max_passage_length: int = option(
        128, "Tokens a passage is cut to, prefix and special tokens included.", low=4, high=1_000_000
    )
    temperature: float = option(
        0.02, "Scores are divided by it in the loss; the starting value when learned.", low=1e-4, high=10.0
    )
    learn_temperature: bool = option(False, "Train log(temperature) with the weights.")
    train_embeddings: bool = option(True, "Train the token embedding table; false freezes it.")
    attention_dropout: float | None = option(
        None,
        "Dropout probability of attention weights in training. Null: the checkpoint's. At 0 a GPU attends without "
        "padding by PyTorch alone; otherwise that needs the package flash-attn.",
        low=0.0,
        high=0.9,
    )
    lora: LoraConfig = section(LoraConfig)


@dataclass
class SourceConfig:
    """A named group of data files that is drawn from as one source."""

    files: list[str] = option([], "File names under `data.root`, shell wildcards allowed.")
    weight: float | None = option(None, "Share of the batches, relative. Null: its number of items.", low=0.0, high=1e9)


@dataclass
class DataConfig:
    """The multi-way parallel (query, passage) items to train on."""

    name: str = option(
        "atlas",
        "atlas: the embedded data set made from Unicode CLDR. parallel: JSON lines under `root`.",
        choices=("atlas", "parallel"),
    )
    root: str | None = option(None, "Folder of *.jsonl or *.jsonl.gz files; needed by `parallel`.", computed=False)
    languages: list[str] | None = option(None, "Language codes to keep. Null: every language the data holds.")
    sources: dict[str, SourceConfig] = option(
        {}, "Named groups of files, each drawn from on its own. Empty: all files are one source."
    )
    exclude: list[str] = option([], "File names under `root` to leave out, shell wildcards allowed.")


@dataclass
class BatchingConfig:
    """Which kind, languages and items each batch holds: the ratio axis of a sweep."""

    name: str = option("hybrid", "Short name of the batching preset, for tables.")
    batch_size: int = option(64, "Query-passage pairs of an optimiser step, over all ranks.", low=2, high=10_000_000)
    monolingual_ratio: float = option(
        0.5, "alpha: probability that a batch is monolingual; otherwise it is cross-lingual.", low=0.0, high=1.0
    )
    ratio_schedule: str = option(
        "constant",
        "How the ratio moves over the steps from monolingual_ratio to final_ratio: not at all, evenly, as half a "
        "cosine, or in `ratio_phases` equal stretches.",
        choices=("constant", "linear", "cosine", "steps"),
    )
    final_ratio: float | None = option(
        None, "The ratio at the end of a schedule that is not constant. Null: monolingual_ratio.", low=0.0, high=1.0
    )
    ratio_phases: int = option(2, "Stretches of ratio_schedule=steps.", low=2, high=10_000)
    granularity: str = option(
        "batch",
        "What draws its kind on its own: the whole batch, each micro-batch of an accumulated step, or each pair.",
        choices=("batch", "micro_batch", "example"),
    )
    draw: str = option(
        "bernoulli",
        "bernoulli: kinds are independent draws (the paper). stratified: after every n batches the "
        "monolingual ones are within one of alpha * n.",
        choices=("bernoulli", "stratified"),
    )
    monolingual_mixed: bool = option(
        False, "False: a monolingual batch is in one language (X-X-mono). True: each pair draws its own (X-X)."
    )
    crosslingual_mixed: bool = option(
        False, "False: a cross-lingual batch is in one ordered pair. True: each pair draws its own (X-Y of LAReQA)."
    )
    languages: list[str] | None = option(None, "Languages to draw batches from. Null: all languages of the data.")
    pairs: list[str] = option(
        ["*-*"], "Ordered query-passage language pairs of cross-lingual batches; wildcards allowed, as in en-*."
    )
    language_exponent: float = option(
        0.0,
        "Languages and pairs are drawn in proportion to (number of items) ** exponent: 0 uniform, "
        "1 by size, between them temperature-smoothed.",
        low=0.0,
        high=1.0,
    )
    language_weights: dict[str, float] = option(
        {},
        "Factors on the draw of a language; of a pair, the product of its two. Missing languages: 1.",
        low=0.0,
        high=1e9,
    )
    hard_negatives: int = option(
        0,
        "Largest number of its item's own negatives that a pair brings along, in the passage's language; of more, "
        "each step draws anew.",
        low=0,
        high=1000,
    )


@dataclass
class LossConfig:
    """InfoNCE over the passages of a step; docs/losses.md has the formulas."""

    symmetric: bool = option(False, "Mean of query -> passages and passage -> queries. False: the first alone.")
    margin: float | None = option(
        None,
        "A passage whose similarity to the query is above that of the positive by more than this is left out as a "
        "suspected false negative, in units of the similarity (cosine if model.normalize). Null: none is suspected.",
        low=-1e6,
        high=1e6,
    )
    matryoshka: list[int] = option(
        [],
        "Widths of prefixes of the embedding that are trained too, with equal weights. Empty: the whole alone.",
        low=1,
        high=65_536,
    )
    score_rows: int | None = option(
        None,
        "Rows of the score matrix that exist at a time. Null: as many as fit in 64 MiB.",
        low=1,
        high=10_000_000,
        computed=False,
    )


@dataclass
class OptimConfig:
    """AdamW and its learning-rate schedule."""

    learning_rate: float = option(3e-5, "Peak learning rate.", low=0.0, high=1e38)
    weight_decay: float = option(0.01, "AdamW weight decay; not applied to biases and norms.", low=0.0, high=1e6)
    betas: list[float] = option([0.9, 0.999], "AdamW moment decay rates, two numbers.", low=0.0, high=1 - 1e-9)
    eps: float = option(1e-8, "AdamW epsilon.", low=0.0, high=1e6)
    warmup: float = option(0.1, "Share of the steps over which the learning rate rises from 0.", low=0.0, high=1.0)
    schedule: str = option(
        "linear",
        "Learning rate after the warm-up: constant, or falling to 0 linearly or as a cosine.",
        choices=("constant", "linear", "cosine"),
    )
    gradient_clip: float | None = option(1.0, "Largest gradient norm. Null: no clipping.", low=1e-6, high=1e38)
    embeddings: str = option(
        "rows",
        "How the token table is updated, to the same numbers but for rounding: rows moves those that a step needs, "
        "and the others when they are next needed; dense moves all at every step.",
        choices=("rows", "dense"),
    )
    average: str = option(
        "none",
        "Weights to evaluate and keep: none takes the last ones, ewa their exponential average over the steps.",
        choices=("none", "ewa"),
    )
    average_decay: float | None = option(
        None,
        "Weight that the average keeps at a step. Null: by batch size, .9995 up to 512 pairs, then .999 (1024), "
        ".998 (2048), .995 (4096), .99 (arXiv 2410.21676).",
        low=0.0,
        high=1 - 1e-9,
    )


@dataclass
class TrainerConfig:
    """How long and on what a run trains. Exactly one of `steps` and `pairs` is set."""

    steps: int | None = option(None, "Optimiser steps.", low=0, high=MOST_STEPS)
    pairs: int | None = option(
        None, "Query-passage pairs to train on, rounded up to whole batches.", low=0, high=10**15
    )
    accumulate: int = option(
        1,
        "Micro-batches of an optimiser step; negatives come from the own micro-batch. Divides batch_size.",
        low=1,
        high=10_000_000,
    )
    pass_tokens: int | None = option(
        None,
        "Tokens of a forward pass, padding included; a step takes as many passes as it needs. Null: 2048 on a CPU, "
        "32768 on a GPU.",
        low=64,
        high=10**9,
    )
    activation_gib: float | None = option(
        None,
        "Memory in GiB that the passes of a step may hold for their backward pass; passes beyond it are computed "
        "twice (gradient caching). Null: half of what is free at the first step.",
        low=0.0,
        high=1e6,
        computed=False,
    )
    gradient_checkpointing: bool = option(
        False, "Keep only the inputs of each layer for the backward pass, and compute the layer again."
    )
    compile: bool = option(False, "Compile the encoder with torch.compile, which takes minutes and needs a compiler.")
    strategy: str = option(
        "replicate",
        "How several devices hold the weights: each a copy, or each a part of every layer (FSDP).",
        choices=("replicate", "shard"),
    )
    probe_every: int | None = option(
        None,
        "Steps between two measurements of how the gradients of the two kinds agree, each as dear as two steps; the "
        "run trains as without, but for rounding with optim.embeddings=rows. Null: none.",
        low=1,
        high=MOST_STEPS,
    )
    accelerator: str = option(
        "auto", "Where to run; auto takes a GPU if there is one.", choices=("auto", "cpu", "gpu"), computed=False
    )
    devices: int = option(
        1,
        "Processes of a run on each machine, one device each, that share a batch; more than one only under torchrun or "
        "Slurm.",
        low=1,
        high=1024,
    )
    nodes: int = option(
        1,
        "Machines of a run, each with as many devices; more than one only under torchrun or Slurm.",
        low=1,
        high=10_000,
    )
    precision: str = option(
        "32-true", "Lightning precision of training; weights are always fp32.", choices=("32-true", "bf16-mixed")
    )
    threads: int | None = option(
        None, "CPU threads of a run. Null: PyTorch's default.", low=1, high=1024, computed=False
    )
    workers: int = option(0, "Data-loading processes.", low=0, high=1024, computed=False)
    log_every: int = option(
        10, "Steps between two points of the logged curves.", low=1, high=MOST_STEPS, computed=False
    )
    checkpoint_steps: int | None = option(
        None,
        "Optimiser steps between checkpoints, from which an interrupted run goes on. Null: by time alone.",
        low=1,
        high=MOST_STEPS,
        computed=False,
    )
    checkpoint_minutes: float | None = option(
        10.0,
        "Minutes between checkpoints. Null: by steps alone; none at all if both are null.",
        low=0.0,
        high=1e6,
        computed=False,
    )
    keep_checkpoints: int = option(
        2, "Newest checkpoints to keep while a run lasts; all go when it is done.", low=1, high=10_000, computed=False
    )
    save_model: bool = option(
        True, "Keep the trained encoder in the run's folder, as a Hugging Face folder.", computed=False
    )

    @property
    def processes(self) -> int:
        """Of all machines together."""
        return self.nodes * self.devices


@dataclass
class EvaluationConfig:
    """Zero-shot retrieval benchmarks and how their texts are encoded."""

    benchmarks: list[str] = option(
        ["atlas"], "Benchmarks to evaluate on; an empty list evaluates nothing.", choices=BENCHMARKS
    )
    root: str | None = option(
        None,
        "Folder that holds mlqa-r/ and xquad-r/, and hub data sets under their names (miracl/, miracl-corpus/, ...). "
        "Null: cache folders, filled from the network on first use.",
        computed=False,
    )
    languages: list[str] | None = option(None, "Languages to evaluate. Null: all of each benchmark.")
    unit: str = option(
        "sentence",
        "A candidate of MLQA-R and XQuAD-R: one sentence; the sentence, then a line break and its paragraph, cut to "
        "model.max_passage_length from the end; or the whole paragraph. Scores of different units do not compare.",
        choices=UNITS,
    )
    cutoffs: list[int] = option(
        [],
        "Further depths k of ndcg@k and r@k of parallel benchmarks, beside ndcg@10 and r@1, r@10, r@100. Judged "
        "benchmarks keep their official measures.",
        low=1,
        high=10**9,
    )
    precision: str = option(
        "fp32", "Number format of the encoder; scores are always fp32.", choices=("fp32", "bf16", "fp16")
    )
    batch_tokens: int | None = option(
        None,
        "Tokens of an encoding batch, padding included. Null: 2048 on a CPU, 32768 on a GPU.",
        low=64,
        high=10**9,
        computed=False,
    )
    embeddings: str | None = option(
        None,
        "Folder that keeps encoded passages of judged benchmarks, so that a killed encode goes on and several "
        "processes share the work. Null: a temporary folder.",
        computed=False,
    )
    wait_minutes: float = option(
        180.0,
        "Minutes that a process waits while none of the files that it needs of the others appears; then it fails and "
        "names the first.",
        low=0.0,
        high=1e6,
        computed=False,
    )
    runs: str | None = option(
        None, "Folder that receives the 100 best of every query as TREC runs, and qrels. Null: none.", computed=False
    )
    search: str = option(
        "exact",
        "How judged benchmarks are searched: exactly, or by faiss with inverted lists (ivf, all passages in memory) "
        "and product quantisation (ivf_pq); the recall of an approximate search is measured and reported.",
        choices=("exact", "ivf", "ivf_pq"),
    )
    probes: int = option(32, "Inverted lists that a query of an approximate search looks into.", low=1, high=10**9)
    search_memory: int = option(
        1024,
        "MiB that an exact search over judged benchmarks takes beside queries and results.",
        low=1,
        high=10**8,
        computed=False,
    )

    @property
    def folder(self) -> Path | None:
        """`root` as a path."""
        return None if self.root is None else Path(self.root)


@dataclass
class PostHocDataConfig(DataConfig):
    """The parallel items behind a correction. An evaluation keeps no fingerprint of them, so the folder counts."""

    root: str | None = option(None, "Folder of *.jsonl or *.jsonl.gz files; needed by `parallel`.")


@dataclass
class PostHocConfig:
    """Corrections of embeddings without training, each scored beside the encoder as it is."""

    methods: list[str] = option(
        [],
        "centering: subtract each language's mean. lir: remove its first components. shift: move passages towards the "
        "source language.",
        choices=("centering", "lir", "shift"),
    )
    data: PostHocDataConfig = section(PostHocDataConfig)
    texts: int = option(1000, "Most training texts of a language and side behind its statistics.", low=2, high=10**9)
    components: int = option(1, "Components that lir removes.", low=1, high=65_536)
    strength: float = option(0.6, "Share of the mean difference that shift takes away.", low=0.0, high=1e6)
    source: str = option("en", "Language that shift moves passages towards.")


@dataclass
class TrackingConfig:
    """Where curves and metrics are shown while files under multirun/ stay the truth."""

    mode: str = option(
        "none",
        "none: files only. wandb: Weights & Biases, offline by itself without key or network. "
        "offline: W&B files on disk only.",
        choices=("none", "wandb", "offline"),
    )
    project: str = option("mixlingual", "W&B project that receives the runs.")
    entity: str | None = option(None, "W&B user or team. Null: the key's default.")
    tags: list[str] = option([], "Extra W&B tags.")
    artifacts: str = option(
        "none",
        "Files that W&B keeps of a finished run. results: result.json, queries.parquet and the curves. model: these "
        "and the trained encoder.",
        choices=("none", "results", "model"),
    )


@dataclass
class AnalysisConfig:
    """The contrast that a sweep was made for, declared before its runs, and how its answer is computed.

    The primary contrast is the gain of the larger size from mixing less that of the smaller. The gain of a size is its
    score at `ratio` less that of the better pure ratio, 0 or 1.
    """

    ratio: float = option(0.5, "The mixed ratio of the contrast.", low=0.0, high=1.0)
    sizes: list[str] | None = option(
        None, "Smaller and larger size of the contrast, by model.name. Null: the sweep's smallest and largest."
    )
    reference: dict[str, str] = option(
        {},
        "Option, as a dotted path -> its value on the ratio axis, where a sweep varies more than size, ratio and seed; "
        "runs with other values are controls. An option that is not named: the value that most runs have.",
    )
    smallest_effect: dict[str, float] = option(
        {},
        "Measure, as map or rank_distance -> the smallest difference that matters, in its unit. Differences that are "
        "surely smaller are called as good.",
    )
    level: float = option(0.95, "Of intervals; tests are at one minus it.", low=0.5, high=0.999)
    cluster: str = option(
        "paragraph",
        "What varies as one from one set of questions to the next: a paragraph with all its questions, or a "
        "question in "
        "all its languages.",
        choices=("paragraph", "query"),
    )
    draws: int = option(4000, "Draws behind the critical values of sets of best ratios.", low=1000, high=1_000_000)
    seed: int = option(0, "Of those draws.", low=0, high=MOST_SEED)


@dataclass
class TrainConfig:
    """One run of a sweep: train on a mix of batches, then evaluate zero-shot."""

    model: ModelConfig = section(ModelConfig)
    data: DataConfig = section(DataConfig)
    batching: BatchingConfig = section(BatchingConfig)
    loss: LossConfig = section(LossConfig)
    optim: OptimConfig = section(OptimConfig)
    trainer: TrainerConfig = section(TrainerConfig)
    evaluation: EvaluationConfig = section(EvaluationConfig)
    tracking: TrackingConfig = section(TrackingConfig, computed=False)
    analysis: AnalysisConfig = section(AnalysisConfig, computed=False)
    seed: int = option(0, "Seed of weights, batches and dropout.", low=0, high=MOST_SEED)
    objective: str = option(
        "multi",
        "What a search over options maximises: mAP of the setting, as the mean over benchmarks; mono_cross is the "
        "mean of two settings.",
        choices=("mono", "cross", "multi", "mono_cross"),
        computed=False,
    )
    sweep_name: str = option("adhoc", "Folder of the sweep under multirun/.", computed=False)
    run_name: str = option("run", "Folder of the run in its sweep; unique in a sweep.", computed=False)
    detach: bool = option(
        False, "With hydra/launcher=submitit_slurm: submit and return, rather than wait for the runs.", computed=False
    )


@dataclass
class EvaluateConfig:
    """Evaluate one encoder on the benchmarks, without training."""

    model: ModelConfig = section(ModelConfig)
    evaluation: EvaluationConfig = section(EvaluationConfig)
    post_hoc: PostHocConfig = section(PostHocConfig)
    accelerator: str = option(
        "auto", "Where to run; auto takes a GPU if there is one.", choices=("auto", "cpu", "gpu"), computed=False
    )
    threads: int | None = option(None, "CPU threads. Null: PyTorch's default.", low=1, high=1024, computed=False)
    output: str = option("evaluation.json", "File that receives the metrics, as JSON.", computed=False)
    sweep_name: str = option(
        "adhoc",
        "With -m: the sweep under multirun/ whose finished runs are evaluated, each to a file in its own folder.",
        computed=False,
    )
    run_name: str = option("${model.name}", "The run of the sweep; unique in a grid of evaluations.", computed=False)
    detach: bool = option(
        False, "With hydra/launcher=submitit_slurm: submit and return, rather than wait for the runs.", computed=False
    )
    precomputed: str | None = option(
        None,
        "Folder of embeddings that another program made, to score in place of an encoder: BENCHMARK.queries.npy and "
        ".txt, BENCHMARK.candidates.npy and .txt, for judged ones BENCHMARK/LANGUAGE.npy and .txt. Null: encode with "
        "`model`.",
    )
    score_runs: str | None = option(
        None,
        "Folder of TREC runs of another system, to score in place of an encoder on judged benchmarks: "
        "BENCHMARK/QUERY_LANGUAGE-PASSAGE_LANGUAGE.trec or .trec.gz. Null: encode with `model`.",
    )


@dataclass
class ReportConfig:
    """Tables and pictures of one sweep, from its files."""

    sweep_name: str = option("adhoc", "Folder of the sweep under `root`.")
    root: str = option("multirun", "Folder of the sweeps.")
    output: str | None = option(None, "Folder of the report. Null: report/ in the sweep's folder.")
    parts: list[str] = option(
        [], "Folders of reports to join into one, in place of a sweep's folder; sweep_name is what it is called."
    )


@dataclass
class ClusterConfig:
    """How the runs of a grid are queued, under Slurm's names; on the command line, `hydra.launcher.OPTION`."""

    name: str = option("mixlingual", "Name of the jobs.")
    partition: str | None = option(None, "Slurm partition. Null: the cluster's default.")
    account: str | None = option(None, "Account that pays. Null: the user's default.")
    qos: str | None = option(None, "Quality of service. Null: the default.")
    constraint: str | None = option(None, "Features that a node must have, as in a100&nvlink. Null: any node.")
    exclude: str | None = option(None, "Nodes to stay off, as in node[01-03]. Null: none.")
    comment: str | None = option(None, "Comment on the jobs, for squeue. Null: the sweep and its number of runs.")
    nodes: int = option(1, "Nodes of a run: trainer.nodes.", low=1, high=10_000)
    tasks_per_node: int = option(1, "Processes of a run on each node: trainer.devices.", low=1, high=1024)
    cpus_per_task: int | None = option(None, "Cores of a process. Null: the cluster's default.", low=1, high=10_000)
    gpus_per_node: int | None = option(None, "GPUs of a run on each node. Null: none is asked for.", low=0, high=1024)
    mem_gb: float | None = option(
        None, "Memory of a run on each node in GB. Null: the cluster's default.", low=0.1, high=1e6
    )
    timeout_min: int = option(
        60, "Minutes that a run gets at a time; then it saves, queues again by itself and goes on.", low=1, high=10**6
    )
    signal_delay_s: int = option(
        120, "Seconds before the end of its time at which a run is told to save.", low=1, high=10**7
    )
    max_num_timeout: int = option(1000, "Times that a run may run out of its time.", low=0, high=10**9)
    requeue: bool = option(True, "Whether Slurm may queue a run again that was preempted or whose node died.")
    array_parallelism: int = option(256, "Runs of a job array at a time.", low=1, high=10**6)
    setup: list[str] = option([], "Lines of shell before a run starts, as in [module load cuda].")
    additional_parameters: dict[str, Any] = option({}, "Further options of sbatch, as in {mail-type: END}.")
    detach: bool = option(False, "Submit and return, rather than wait for the runs: detach.")
    check_files: bool = option(True, "Look for data, benchmarks and checkpoints before anything is queued.")
    poll_s: float = option(15.0, "Seconds between two questions to Slurm while waiting.", low=0.01, high=86_400.0)


@dataclass
class StatusConfig:
    """How the runs of one sweep stand, from their files."""

    sweep_name: str = option("adhoc", "Folder of the sweep under `root`.")
    root: str = option("multirun", "Folder of the sweeps.")
    view: str = option(
        "runs", "A row for each run, or a grid of sizes and ratios that counts them.", choices=("runs", "grid")
    )
    watch: bool = option(False, "Show the table anew until it is interrupted.")
    seconds: float = option(5.0, "Between two looks at the files while watching.", low=0.1, high=86_400.0)
    json: bool = option(False, "Print the runs as JSON in place of a table.")
    silent_minutes: float = option(
        15.0,
        "A run on another machine without a sign of life for longer is called silent: it may be dead.",
        low=0.1,
        high=1e6,
    )


@dataclass
class DashboardConfig:
    """A workspace and a report on W&B that show one sweep."""

    sweep_name: str = option("adhoc", "Folder of the sweep under `root`, and the W&B group of its runs.")
    root: str = option("multirun", "Folder of the sweeps.")
    project: str = option("mixlingual", "W&B project of the sweep's runs.")
    entity: str | None = option(None, "W&B user or team of the sweep's runs. Null: the key's default.")
    dry_run: str | None = option(
        None, "File that receives the workspace and the report as JSON; nothing is sent, no key needed. Null: send."
    )


@dataclass
class SampleSizeConfig:
    """How many seeds the declared contrast of a sweep needs, from the scatter in a pilot sweep."""

    sweep_name: str = option("adhoc", "Folder of the pilot under `root`: two seeds or more, ratios 0, mixed and 1.")
    root: str = option("multirun", "Folder of the sweeps.")
    effects: list[float] = option(
        [0.005, 0.01, 0.02], "True differences of the primary contrast to plan for, in mAP.", low=1e-9, high=1.0
    )
    seeds: list[int] = option([2, 3, 5, 10], "Numbers of seeds to say the detectable effect of.", low=2, high=10_000)
    power: float = option(0.8, "Chance of finding the effect.", low=0.5, high=0.999)


SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "report": ReportConfig,
    "sample_size": SampleSizeConfig,
    "status": StatusConfig,
    "dashboard": DashboardConfig,
    "cluster": ClusterConfig,
}
"""Primary config, as a rule of an entry point -> its options."""


def sections(schema: type) -> dict[str, Any]:
    """Name -> dataclass of the options that are groups of options."""
    factories = {part.name: part.default_factory for part in dataclasses.fields(schema)}
    return {name: factory for name, factory in factories.items() if dataclasses.is_dataclass(factory)}
