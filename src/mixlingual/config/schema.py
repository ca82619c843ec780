"""Declares every option of Mixlingual: its meaning, unit, range and what null stands for.

The dataclasses below are the schema that Hydra composes against and the reference documentation of
the options. YAML under ``conf/`` only assigns values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlingual.config.devices import DEVICES
from mixlingual.config.names import BENCHMARKS

LARGEST = 10**9
"""The largest allowed number where an option says no other: none has a use for more."""
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
        high: the largest allowed number (for a list: of each entry), inclusive. None: `LARGEST`.
        computed: False where the option changes how a run is made, shown or kept, and none of its numbers beyond
            rounding; it is then no part of what the run is (see `identity`).
    """
    metadata = {
        "doc": doc,
        "choices": choices,
        "low": low,
        "high": LARGEST if high is None else high,
        "computed": computed,
    }
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

    layers: int = option(2, "How many Transformer layers the encoder has.", low=1, high=1000)
    hidden: int = option(
        128,
        "The width of the hidden states and of the embedding, which must be a multiple of heads.",
        low=8,
        high=65_536,
    )
    heads: int = option(4, "How many attention heads a layer has.", low=1, high=1024)
    intermediate: int = option(512, "How wide the feed-forward layers are.", low=8, high=262_144)
    vocabulary: int = option(
        8000,
        "How many pieces the tokenizer has, which is trained on the training texts and cached.",
        low=300,
        high=2_000_000,
    )
    dropout: float = option(
        0.0, "The probability that a hidden state or attention weight is dropped.", low=0.0, high=0.9
    )


@dataclass
class LoraConfig:
    """Low-rank adapters in place of training the encoder's own weights (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = option(
        0,
        "The rank of the updates; 0 trains all weights instead. Above 0 the encoder's own weights do not move, nor"
        " does the token table, and the package peft is needed.",
        low=0,
        high=65_536,
    )
    alpha: int = option(16, "Updates are scaled by alpha / rank.", low=1, high=65_536)
    dropout: float = option(0.0, "The probability that an input of an adapter is dropped.", low=0.0, high=0.9)
    modules: list[str] | None = option(
        None, "Layers are adapted whose names end so, as in [query, value]. Null adapts every linear layer."
    )


@dataclass
class ModelConfig:
    """A dual encoder with shared weights over any Hugging Face encoder."""

    name: str = option("unnamed", "It is the short name of the size, part of run names and of the size axis.")
    checkpoint: str | None = option(
        None, "The hub id or folder of the pretrained encoder. Null starts from random weights of `scratch` geometry."
    )
    revision: str | None = option(
        None, "The hub revision to load: a commit, branch or tag. Null takes the default branch."
    )
    trust_remote_code: bool = option(False, "It lets the code run that the checkpoint's repository ships.")
    scratch: ScratchConfig = section(ScratchConfig)
    layers: list[int] | None = option(
        None, "Encoder layers to keep, counted from 0, in ascending order. Null keeps all.", low=0, high=1000
    )
    pooling: str = option(
        "mean",
        "How token states become one vector: mean of real tokens, first, or last real token.",
        choices=("mean", "cls", "last"),
    )
    normalize: bool = option(True, "It scales embeddings to length 1, so that scores are cosines.")
    query_prefix: str = option("", "This text is put before each query.")
    passage_prefix: str = option("", "This text is put before each passage.")
    max_query_length: int = option(128, "A query is cut to so many tokens, prefix and special tokens included.", low=4)
    max_passage_length: int = option(
        128, "A passage is cut to so many tokens, prefix and special tokens included.", low=4
    )
    temperature: float = option(
        0.02,
        "Scores are divided by it in the loss. Where it is learned, this is its starting value.",
        low=1e-4,
        high=10.0,
    )
    learn_temperature: bool = option(False, "It trains log(temperature) with the weights.")
    train_embeddings: bool = option(True, "It trains the token embedding table; false freezes it.")
    attention_dropout: float | None = option(
        None,
        "The probability that an attention weight is dropped in training. Null takes the checkpoint's. At 0 a GPU "
        "attends without padding by PyTorch alone; otherwise that needs the package flash-attn.",
        low=0.0,
        high=0.9,
    )
    lora: LoraConfig = section(LoraConfig)


@dataclass
class PairsConfig:
    """How to read the rows of files or of a hub data set; docs/data.md has an example of each shape.

    In a source of `data.sources`, null takes the value of `data.pairs`.
    """

    hub: str | None = option(
        None, "The data set of the Hugging Face hub to read, as OWNER/NAME. Null reads files under `root`."
    )
    subset: str | None = option(None, "The subset of the hub data set, often a language. Null takes its only one.")
    split: str | None = option(None, "The split of the hub data set. Null takes train.")
    revision: str | None = option(
        None, "The hub revision to read: a commit, branch or tag. Null takes the default branch."
    )
    query: str | None = option(
        None,
        "The column of queries; a dot names a nested column, as in translation.en. Null takes a column with a usual "
        "name (query, question, anchor), else the first column of texts, as sentence-transformers does.",
    )
    passage: str | None = option(
        None,
        "The column of relevant passages. Null takes a column with a usual name (passage, positive, answer), else the "
        "second column of texts.",
    )
    negatives: list[str] | None = option(
        None,
        "The columns of hard negatives, each a text or a list; wildcards are allowed, as in negative_*. Null takes "
        "those with usual names, else the columns of texts after the second.",
    )
    id: str | None = option(
        None,
        "The column of ids. Rows with the same id are one item, in several languages or with several negatives. Null "
        "takes `id` or `_id`, if there is one.",
    )
    language: str | None = option(
        None,
        "The language of all texts, as in en. Null takes it from a column, else from the name of the file, as in "
        "train.en.tsv or en-de.csv (query-passage), or of its folder.",
    )
    query_language: str | None = option(None, "The language of all queries. Null takes `language`.")
    passage_language: str | None = option(None, "The language of all passages and negatives. Null takes `language`.")
    language_column: str | None = option(
        None, "The column that holds the language of both sides. Null takes `language`, `lang` or `locale`."
    )
    query_language_column: str | None = option(
        None, "The column that holds the language of the query. Null takes `query_language`, else that of both sides."
    )
    passage_language_column: str | None = option(
        None,
        "The column that holds the language of passage and negatives. Null takes `passage_language`, else that of both "
        "sides.",
    )
    file_languages: dict[str, str] | None = option(
        None,
        "It maps file names to the language of their texts; wildcards are allowed, as in {english_*: en, german_*: de}."
        " Null takes the language codes in file names.",
    )
    by_line: bool | None = option(
        None,
        "True joins by line: row n of every file of the source is one item, and each file is in another language. Null "
        "joins by id alone.",
    )
    header: bool | None = option(
        None,
        "Whether the first line of CSV and TSV names the columns. Without a header the columns are called 1, 2 and so "
        "on. Null takes the first line for a header if it holds a column's name.",
    )
    quotes: bool | None = option(
        None, "Whether cells of CSV and TSV may stand in double quotes. Null allows quotes in CSV, and not in TSV."
    )


@dataclass
class SourceConfig:
    """A named group of data files that is drawn from as one source."""

    files: list[str] = option(
        [],
        "The names of its files under `data.root`; shell wildcards are allowed, and folders where data=pairs.",
    )
    weight: float | None = option(
        None, "Its share of the batches, relative to the other sources. Null takes its number of items.", low=0.0
    )
    pairs: PairsConfig = section(PairsConfig)


@dataclass
class DataConfig:
    """The multi-way parallel (query, passage) items to train on."""

    name: str = option(
        "atlas",
        "atlas is the embedded data set made from Unicode CLDR; parallel reads JSON lines of multi-way items under "
        "`root`; pairs reads rows of most shapes, from files or the hub.",
        choices=("atlas", "parallel", "pairs"),
    )
    root: str | None = option(
        None,
        "Where the data are. `parallel` needs a folder of *.jsonl or *.jsonl.gz files; `pairs` a file, a folder or a "
        "path with wildcards, unless everything is read from the hub.",
        computed=False,
    )
    languages: list[str] | None = option(
        None, "The language codes to keep. Null keeps every language that the data hold."
    )
    sources: dict[str, SourceConfig] = option(
        {}, "Named groups of files, each drawn from on its own. If there is none, all files are one source."
    )
    exclude: list[str] = option([], "File names under `root` to leave out; shell wildcards are allowed.")
    pairs: PairsConfig = section(PairsConfig)
    processes: int | None = option(
        None,
        "The number of processes that convert and tokenise the data, once. Null takes as many as there are cores.",
        low=1,
        high=1024,
        computed=False,
    )


@dataclass
class BatchingConfig:
    """Which kind, languages and items each batch holds: the ratio axis of a sweep."""

    name: str = option("hybrid", "It is the short name of the batching preset, for tables.")
    batch_size: int = option(
        64, "How many query-passage pairs an optimiser step takes, over all ranks.", low=2, high=10_000_000
    )
    monolingual_ratio: float = option(
        0.5, "alpha, the probability that a batch is monolingual; otherwise it is cross-lingual.", low=0.0, high=1.0
    )
    ratio_schedule: str = option(
        "constant",
        "How the ratio moves over the steps from monolingual_ratio to final_ratio: not at all, evenly, as half a "
        "cosine, or in `ratio_phases` equal stretches.",
        choices=("constant", "linear", "cosine", "steps"),
    )
    final_ratio: float | None = option(
        None,
        "The ratio at the end of a schedule that is not constant. Null takes monolingual_ratio.",
        low=0.0,
        high=1.0,
    )
    ratio_phases: int = option(2, "How many stretches ratio_schedule=steps has.", low=2, high=10_000)
    granularity: str = option(
        "batch",
        "What draws its kind on its own: the whole batch, each micro-batch of an accumulated step, or each pair.",
        choices=("batch", "micro_batch", "example"),
    )
    draw: str = option(
        "bernoulli",
        "bernoulli draws each kind independently, as in the paper. stratified keeps the number of monolingual "
        "batches after n of them within one of alpha * n.",
        choices=("bernoulli", "stratified"),
    )
    monolingual_mixed: bool = option(
        False, "If false, a monolingual batch is in one language (X-X-mono). If true, each pair draws its own (X-X)."
    )
    crosslingual_mixed: bool = option(
        False,
        "If false, a cross-lingual batch is in one ordered pair. If true, each pair draws its own (X-Y of LAReQA).",
    )
    languages: list[str] | None = option(
        None, "Batches are drawn from these languages. Null takes all languages of the data."
    )
    pairs: list[str] = option(
        ["*-*"],
        "The ordered query-passage language pairs that cross-lingual batches draw; wildcards are allowed, as in en-*.",
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
        "The draw of a language is multiplied by its factor, and that of a pair by both. Languages that are not "
        "named have 1.",
        low=0.0,
    )
    hard_negatives: int = option(
        0,
        "A pair brings along at most so many of its item's own negatives, in the passage's language; of more, each"
        " step draws anew.",
        low=0,
        high=1000,
    )
    negatives: int | None = option(
        None,
        "A query sees so many passages beside its own, whatever batch_size: a larger batch falls into groups that see "
        "only each other, and a smaller one brings along passages of other items from the pools that it is drawn from. "
        "Hard negatives come on top. Null takes the rest of the batch, or of the micro-batch of trainer.accumulate.",
        low=1,
        high=10_000_000,
    )

    @property
    def groups(self) -> int:
        """Stretches of a batch whose pairs do not see each other's passages, as `negatives` asks for."""
        return 1 if self.negatives is None else max(1, self.batch_size // (self.negatives + 1))

    @property
    def extra_passages(self) -> int:
        """How many passages of other items a batch brings along, as `negatives` asks for."""
        return 0 if self.negatives is None else max(0, self.negatives + 1 - self.batch_size)


@dataclass
class LossConfig:
    """InfoNCE over the passages of a step, or the distance from a teacher; docs/losses.md has the formulas."""

    teacher: str | None = option(
        None,
        "The hub id or folder of an encoder whose embeddings the run learns, in place of telling passages apart. It "
        "is read whole, with the pooling, prefixes and lengths of `model` unless its files say others. Null has no "
        "teacher.",
    )
    symmetric: bool = option(
        False, "It takes the mean of query -> passages and passage -> queries; false takes the first alone."
    )
    margin: float | None = option(
        None,
        "A passage whose similarity to the query is above that of the positive by more than this is left out as a "
        "suspected false negative. Its unit is that of the similarity (cosine if model.normalize). Null suspects "
        "none.",
        low=-1e6,
    )
    matryoshka: list[int] = option(
        [],
        "Prefixes of the embedding that have these widths are trained too, with equal weights. Without any the "
        "whole is trained alone.",
        low=1,
        high=65_536,
    )
    score_rows: int | None = option(
        None,
        "How many rows of the score matrix exist at a time. Null takes as many as fit in 64 MiB.",
        low=1,
        computed=False,
    )


@dataclass
class OptimConfig:
    """AdamW and its learning-rate schedule."""

    learning_rate: float = option(3e-5, "The learning rate reaches this peak after the warm-up.", low=0.0, high=1e38)
    weight_decay: float = option(0.01, "The weight decay of AdamW, which is not applied to biases and norms.", low=0.0)
    betas: list[float] = option([0.9, 0.999], "The decay rates of AdamW's two moments.", low=0.0, high=1 - 1e-9)
    eps: float = option(1e-8, "AdamW adds it to the root of the second moment.", low=0.0)
    warmup: float = option(0.1, "The learning rate rises from 0 over this share of the steps.", low=0.0, high=1.0)
    schedule: str = option(
        "linear",
        "After the warm-up the learning rate is constant, or falls to 0 linearly or as a cosine.",
        choices=("constant", "linear", "cosine"),
    )
    gradient_clip: float | None = option(
        1.0, "Gradients are scaled down to this norm where they exceed it. Null clips none.", low=1e-6, high=1e38
    )
    embeddings: str = option(
        "rows",
        "How the token table is updated, to the same numbers but for rounding: rows moves those that a step needs, "
        "and the others when they are next needed; dense moves all at every step.",
        choices=("rows", "dense"),
    )
    average: str = option(
        "none",
        "none evaluates and keeps the last weights, ewa their exponential average over the steps.",
        choices=("none", "ewa"),
    )
    average_decay: float | None = option(
        None,
        "The average keeps this share of itself at a step. Null chooses by batch size: .9995 up to 512 pairs, then"
        " .999 (1024), .998 (2048), .995 (4096), .99 (arXiv 2410.21676).",
        low=0.0,
        high=1 - 1e-9,
    )


@dataclass
class TrainerConfig:
    """How long and on what a run trains. Exactly one of `steps` and `pairs` is set."""

    steps: int | None = option(None, "How many optimiser steps the run takes.", low=0, high=MOST_STEPS)
    pairs: int | None = option(
        None, "How many query-passage pairs the run trains on, rounded up to whole batches.", low=0, high=10**15
    )
    accumulate: int = option(
        1,
        "An optimiser step has so many micro-batches, whose negatives come from the own micro-batch. It must "
        "divide batch_size.",
        low=1,
    )
    pass_tokens: int | None = option(
        None,
        "A forward pass takes at most so many tokens, padding included, and a step as many passes as it needs. "
        "Null takes 2048 on a CPU; on a GPU 32768, halved until a pass fits in a quarter of what is free.",
        low=64,
    )
    activation_gib: float | None = option(
        None,
        "The passes of a step may hold so much memory, in GiB, for their backward pass; passes beyond it are "
        "computed twice (gradient caching). Null takes half of what is free at the first step.",
        low=0.0,
        computed=False,
    )
    gradient_checkpointing: bool = option(
        False, "It keeps only the inputs of each layer for the backward pass, and computes the layer again."
    )
    compile: bool = option(
        False, "It compiles the encoder with torch.compile, which takes minutes and needs a compiler."
    )
    strategy: str = option(
        "replicate",
        "Of several devices each holds a copy of the weights (replicate), or a part of every layer (shard, which "
        "is FSDP).",
        choices=("replicate", "shard"),
    )
    probe_every: int | None = option(
        None,
        "So many steps lie between two measurements of how the gradients of the two kinds agree; each costs as "
        "much as two steps. The run trains as without, but for rounding with optim.embeddings=rows. Null measures "
        "nothing.",
        low=1,
    )
    accelerator: str = option(
        "auto",
        "Where the run computes; auto takes a GPU if there is one.",
        choices=("auto", "cpu", "gpu"),
        computed=False,
    )
    devices: int = option(
        1,
        "A run has so many processes on each machine, one device each, that share a batch. More than one works "
        "only under torchrun or Slurm.",
        low=1,
        high=1024,
    )
    nodes: int = option(
        1,
        "A run takes so many machines, each with as many devices. More than one works only under torchrun or Slurm.",
        low=1,
    )
    precision: str = option(
        "32-true",
        "The precision of training, as Lightning names it; weights are always fp32. auto takes bf16-mixed on a device "
        "that has it natively, else 32-true; the result says which.",
        choices=("32-true", "bf16-mixed", "auto"),
    )
    threads: int | None = option(
        None,
        "How many CPU threads a run uses, numpy's included. Null takes all cores, or its share under `parallel`.",
        low=1,
        high=1024,
        computed=False,
    )
    workers: int = option(
        0, "How many processes load data; 0 loads in the run's own.", low=0, high=1024, computed=False
    )
    log_every: int = option(10, "How many steps lie between two points of the logged curves.", low=1, computed=False)
    checkpoint_steps: int | None = option(
        None,
        "How many optimiser steps lie between checkpoints, from which an interrupted run goes on. Null goes by "
        "time alone.",
        low=1,
        computed=False,
    )
    checkpoint_minutes: float | None = option(
        10.0,
        "How many minutes lie between checkpoints. Null goes by steps alone; none is written if both are null.",
        low=0.0,
        computed=False,
    )
    keep_checkpoints: int = option(
        2,
        "So many of the newest checkpoints are kept while a run lasts; all go when it is done.",
        low=1,
        computed=False,
    )
    save_model: bool = option(
        True, "It keeps the trained encoder in the run's folder, as a Hugging Face folder.", computed=False
    )

    @property
    def processes(self) -> int:
        """Of all machines together."""
        return self.nodes * self.devices


@dataclass
class TextConfig:
    """In which form the texts of benchmarks are read."""

    normalize: str = option(
        "none", "Texts are normalised so (Unicode): nfkc makes one of signs that look alike.",
        choices=("none", "nfc", "nfkc"),
    )  # fmt: skip
    transliterate: str = option(
        "none", "uroman writes texts in Latin letters without accents; it needs mixlingual[text].",
        choices=("none", "uroman"),
    )  # fmt: skip
    languages: list[str] | None = option(None, "Texts in these languages are changed. Null changes all.")
    side: str = option(
        "query",
        "Questions are changed, or passages, or both.",
        choices=("query", "passage", "both"),
    )
    keep_original: bool = option(False, "A transliterated text follows the original in place of replacing it.")


@dataclass
class EvaluationConfig:
    """Zero-shot retrieval benchmarks and how their texts are encoded."""

    benchmarks: list[str] = option(
        ["atlas"],
        "The run is evaluated on these benchmarks; an empty list evaluates nothing. They are "
        f"{', '.join(BENCHMARKS)}, or names of `custom`.",
    )
    custom: dict[str, str] = option(
        {},
        "Benchmarks of your own: it maps a name to a folder with a sub-folder for each language in BEIR's form, or "
        "with a file of LAReQA's JSON for each.",
        computed=False,
    )
    shared_ids: bool | None = option(
        None,
        "If true, the same id in several languages of such a benchmark in BEIR's form is the same text translated; if "
        "false, each language is a benchmark of its own. Null decides by the judgements, and asks where they leave it "
        "open.",
    )
    root: str | None = option(
        None,
        "The folder that holds mlqa-r/ and xquad-r/, and hub data sets under their names (miracl/, miracl-corpus/,"
        " ...). Null takes cache folders, which are filled from the network on first use.",
        computed=False,
    )
    languages: list[str] | None = option(None, "The languages to evaluate. Null evaluates all of each benchmark.")
    text: TextConfig = section(TextConfig)
    unit: str = option(
        "sentence",
        "A candidate of MLQA-R and XQuAD-R is one sentence; or the sentence, then a line break and its paragraph, "
        "cut to model.max_passage_length from the end; or the whole paragraph. Scores of different units do not "
        "compare.",
        choices=UNITS,
    )
    cutoffs: list[int] = option(
        [],
        "Parallel benchmarks report ndcg@k and r@k at these depths too, beside ndcg@10 and r@1, r@10, r@100. "
        "Judged benchmarks keep their official measures.",
        low=1,
    )
    precision: str = option(
        "fp32",
        "The encoder computes in this number format; scores are always fp32. auto takes bf16 on a device that has it "
        "natively, else fp32; the result says which.",
        choices=("fp32", "bf16", "fp16", "auto"),
    )
    batch_tokens: int | None = option(
        None,
        "An encoding batch has at most so many tokens, padding included. Null takes 2048 on a CPU, 32768 on a GPU.",
        low=64,
        computed=False,
    )
    embeddings: str | None = option(
        None,
        "This folder keeps encoded passages of judged benchmarks, so that a killed encode goes on and several "
        "processes share the work. Null takes a temporary folder.",
        computed=False,
    )
    wait_minutes: float = option(
        180.0,
        "A process waits so long while none of the files appears that it needs of the others; then it fails and "
        "names the first.",
        low=0.0,
        computed=False,
    )
    runs: str | None = option(
        None,
        "This folder receives the 100 best of every query as TREC runs, and qrels. Null writes none.",
        computed=False,
    )
    search: str = option(
        "exact",
        "Judged benchmarks are searched exactly, from disk in search_memory (exact) or by faiss with all passages in "
        "memory (flat), which find the same; or by faiss with inverted lists (ivf, all in memory) and product "
        "quantisation (ivf_pq), whose recall is measured and reported.",
        choices=("exact", "flat", "ivf", "ivf_pq"),
    )
    probes: int = option(32, "A query of an approximate search looks into so many inverted lists.", low=1)
    search_memory: int = option(
        1024,
        "An exact search over judged benchmarks takes so many MiB beside queries and results.",
        low=1,
        computed=False,
    )

    @property
    def folder(self) -> Path | None:
        """`root` as a path."""
        return None if self.root is None else Path(self.root)


@dataclass
class ValidationConfig:
    """What is measured on development sets while a run trains, and whether it selects weights or stops the run.

    The development sets are encoded as `evaluation` says. Validation that only watches changes no number of the run.
    """

    every: int | None = option(
        None, "The number of optimiser steps between two validations. Null validates only at the steps of `at`.", low=1
    )
    at: list[int] = option(
        [],
        "The run is also validated after these steps; 0 is before training. If `every` or `at` is set, the run is "
        "validated after its last step too.",
        low=0,
        high=MOST_STEPS,
    )
    benchmarks: list[str] = option(
        [], "Parts of these benchmarks are development sets; all names of evaluation.benchmarks and your own are valid."
    )
    held_out: int = option(
        0,
        "The number of items of the training data that are a development set. They are never trained on, nor are items "
        "that share a text with one of them. 0 holds out none.",
        low=0,
    )
    languages: list[str] | None = option(None, "The languages of the development sets. Null takes all that they have.")
    questions: int | None = option(
        200,
        "The number of questions in a benchmark's part, each in all its languages; with judged passages, the number in "
        "each task. Null takes all.",
        low=1,
    )
    candidates: int | None = option(
        1000,
        "The number of candidates per language in a benchmark's part; there are more only if its questions have more "
        "answers. Null takes all.",
        low=1,
    )
    measure: str = option(
        "multi",
        "The measure that compares validations, as the mean over development sets: the mAP of a setting (mono_cross: "
        "of two), or the in-batch loss. A benchmark with judged passages counts by its official measure.",
        choices=("multi", "cross", "mono", "mono_cross", "loss"),
    )
    select: str = option(
        "last",
        "last saves and evaluates the weights at the end of training, best the weights of the best validation.",
        choices=("last", "best"),
    )
    patience: int | None = option(
        None, "Training ends after this many validations in a row without improvement. Null never stops early.", low=1
    )

    @property
    def wanted(self) -> bool:
        """Whether the run is validated at all."""
        return self.every is not None or bool(self.at)

    @property
    def decides(self) -> bool:
        """Whether the run's numbers depend on what is measured."""
        return self.select == "best" or self.patience is not None

    def times(self, steps: int) -> int:
        """Counts the validations of a run of so many steps, at least one, that is not stopped."""
        every = range(self.every, steps + 1, self.every) if self.every else ()
        return len({*self.at, *every, steps}) if self.wanted else 0


@dataclass
class PostHocDataConfig(DataConfig):
    """The parallel items behind a correction. An evaluation keeps no fingerprint of them, so the folder counts."""

    root: str | None = option(None, "As in `data`.")


@dataclass
class PostHocConfig:
    """Corrections of embeddings without training, each scored beside the encoder as it is."""

    methods: list[str] = option(
        [],
        "centering subtracts each language's mean; lir removes its first components; shift moves passages towards "
        "the source language.",
        choices=("centering", "lir", "shift"),
    )
    data: PostHocDataConfig = section(PostHocDataConfig)
    texts: int = option(1000, "At most so many training texts of a language and side are behind its statistics.", low=2)
    components: int = option(1, "lir removes so many components.", low=1, high=65_536)
    strength: float = option(0.6, "shift takes away this share of the mean difference.", low=0.0)
    source: str = option("en", "shift moves passages towards this language.")


@dataclass
class TrackingConfig:
    """Where curves and metrics are shown while files under multirun/ stay the truth."""

    mode: str = option(
        "none",
        "none writes files only. wandb sends to Weights & Biases, and goes offline by itself without key or "
        "network. offline writes W&B files on disk only.",
        choices=("none", "wandb", "offline"),
    )
    project: str = option("mixlingual", "The W&B project that receives the runs.")
    entity: str | None = option(None, "The W&B user or team that owns the project. Null takes the key's default.")
    tags: list[str] = option([], "W&B shows these tags on a run too.")
    artifacts: str = option(
        "none",
        "W&B keeps these files of a finished run: result.json, queries.parquet and the curves (results), or these "
        "and the trained encoder (model).",
        choices=("none", "results", "model"),
    )


@dataclass
class AnalysisConfig:
    """The contrast that a sweep was made for, declared before its runs, and how its answer is computed.

    The primary contrast is the gain of the larger size from mixing less that of the smaller. The gain of a size is its
    score at `ratio` less that of the better pure ratio, 0 or 1.
    """

    ratio: float = option(0.5, "The contrast is about this mixed ratio.", low=0.0, high=1.0)
    sizes: list[str] | None = option(
        None,
        "The contrast compares a smaller with a larger size, named by model.name. Null takes the sweep's smallest "
        "and largest.",
    )
    reference: dict[str, str] = option(
        {},
        "It maps an option, as a dotted path, to its value on the ratio axis, where a sweep varies more than size,"
        " ratio and seed; runs with other values are controls. An option that is not named has the value there "
        "that most runs have.",
    )
    smallest_effect: dict[str, float] = option(
        {},
        "It maps a measure, as map or rank_distance, to the smallest difference that matters, in its unit. "
        "Differences that are surely smaller are called as good.",
        low=0.0,
    )
    level: float = option(
        0.95, "Intervals cover the truth with this probability; tests are at one minus it.", low=0.5, high=0.999
    )
    cluster: str = option(
        "paragraph",
        "What varies as one from one set of questions to the next is a paragraph with all its questions, or a "
        "question in all its languages.",
        choices=("paragraph", "query"),
    )
    draws: int = option(
        4000, "So many draws are behind the critical values of sets of best ratios.", low=1000, high=1_000_000
    )
    seed: int = option(0, "It is the seed of those draws.", low=0, high=MOST_SEED)


@dataclass
class PreflightConfig:
    """What a preflight plans for; a run ignores it."""

    device: str | None = option(
        None,
        "The GPU to plan for. Null takes the one that the cluster's preset names, else the one in this machine, else "
        "a100-80gb if the runs ask for a GPU.",
        choices=tuple(DEVICES),
    )
    utilisation: float = option(
        0.3, "The share of the device's rate in large matrix products that a run reaches.", low=0.01, high=1.0
    )


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
    validation: ValidationConfig = section(ValidationConfig)
    tracking: TrackingConfig = section(TrackingConfig, computed=False)
    analysis: AnalysisConfig = section(AnalysisConfig, computed=False)
    preflight: PreflightConfig = section(PreflightConfig, computed=False)
    seed: int = option(0, "It is the seed of weights, batches and dropout.", low=0, high=MOST_SEED)
    objective: str = option(
        "multi",
        "A search over options maximises the mAP of this setting, as the mean over benchmarks; mono_cross is the "
        "mean of two settings.",
        choices=("mono", "cross", "multi", "mono_cross"),
        computed=False,
    )
    sweep_name: str = option("adhoc", "The sweep lies in this folder under multirun/.", computed=False)
    run_name: str = option(
        "run", "The run lies in this folder of its sweep, where the name must be unique.", computed=False
    )
    detach: bool = option(
        False,
        "With hydra/launcher=submitit_slurm the command submits the runs and returns, rather than wait for them.",
        computed=False,
    )

    @property
    def parts(self) -> int:
        """Stretches of a step whose pairs do not see each other's passages: groups, or micro-batches."""
        return max(self.batching.groups, self.trainer.accumulate)


@dataclass
class EvaluateConfig:
    """Evaluate one encoder on the benchmarks, without training."""

    model: ModelConfig = section(ModelConfig)
    evaluation: EvaluationConfig = section(EvaluationConfig)
    post_hoc: PostHocConfig = section(PostHocConfig)
    accelerator: str = option(
        "auto",
        "Where the encoder computes; auto takes a GPU if there is one.",
        choices=("auto", "cpu", "gpu"),
        computed=False,
    )
    threads: int | None = option(
        None,
        "How many CPU threads are used, numpy's included. Null takes all cores, or its share under `parallel`.",
        low=1,
        high=1024,
        computed=False,
    )
    output: str = option("evaluation.json", "This file receives the metrics, as JSON.", computed=False)
    sweep_name: str = option(
        "adhoc",
        "With -m, the finished runs of this sweep under multirun/ are evaluated, each to a file in its own folder.",
        computed=False,
    )
    run_name: str = option(
        "${model.name}", "It names the run of the sweep, and must be unique in a grid of evaluations.", computed=False
    )
    detach: bool = option(
        False,
        "With hydra/launcher=submitit_slurm the command submits the evaluations and returns, rather than wait for "
        "them.",
        computed=False,
    )
    precomputed: str | None = option(
        None,
        "This folder holds embeddings that another program made, which are scored in place of an encoder: "
        "BENCHMARK.queries.npy and .txt, BENCHMARK.candidates.npy and .txt, for judged ones BENCHMARK/LANGUAGE.npy"
        " and .txt. Null encodes with `model`.",
    )
    score_runs: str | None = option(
        None,
        "This folder holds TREC runs of another system, which are scored in place of an encoder on judged "
        "benchmarks: BENCHMARK/QUERY_LANGUAGE-PASSAGE_LANGUAGE.trec or .trec.gz. Null encodes with `model`.",
    )


@dataclass
class RecipeSourceConfig:
    """One collection of question-passage pairs that a recipe reads."""

    files: list[str] = option(
        [],
        "Its files, folders or wildcards. With `pairs.hub` they are names in that data set, as in train/*.parquet; an "
        "empty list reads the data set by `datasets`.",
    )
    pairs: PairsConfig = section(PairsConfig)
    license: str = option("unknown", "Its licence, which the manifest repeats.")
    where: dict[str, str] = option({}, "Only rows whose column has this value are read, as in {label: '1'}.")
    join: dict[str, str] = option(
        {},
        "If rows hold ids instead of texts, it maps `query` and `passage` to the files of the texts, with lines of id, "
        "tab, text; {language} stands for each of `join_languages`.",
    )
    join_languages: dict[str, str] = option(
        {}, "It maps language codes to what {language} stands for in `join`, as in {de: german}."
    )
    negatives: int = option(8, "At most so many negatives of an item are read.", low=0, high=1000)
    limit: int | None = option(None, "Reading ends after so many items. Null reads all.", low=1)
    languages: list[str] | None = option(None, "Its texts in other languages are left out. Null keeps all.")
    translate: bool = option(True, "Its texts are translated.")
    note: str = option("", "A note for the manifest, for example which data set this one replaces.")


@dataclass
class FilterConfig:
    """Which items and texts a recipe keeps."""

    identify: bool = option(
        True, "Texts of 40 characters or more in another language than theirs are left out (py3langid)."
    )
    query_characters: list[int] = option([3, 1000], "Shortest and longest query, in characters.", low=0)
    passage_characters: list[int] = option([10, 20_000], "Shortest and longest passage, in characters.", low=0)
    exact: bool = option(
        True, "Of items whose query and passage differ only in case and white space, only the first is kept."
    )
    near: float | None = option(
        0.9,
        "Of items whose queries and whose passages share this much of their word triples (Jaccard, estimated by "
        "MinHash), only the first is kept. Null keeps near copies.",
        low=0.1,
        high=1.0,
    )
    overlap_words: int = option(
        13,
        "An item is left out if it shares this many words in a row, or all of a shorter text, with a text of "
        "`evaluation.benchmarks`.",
        low=2,
    )


@dataclass
class EngineConfig:
    """A program or model that translates."""

    kind: str = option(
        "program",
        "ctranslate2 and transformers run sequence-to-sequence models, apertium its rules, and program any command "
        "that reads lines and writes as many.",
        choices=("ctranslate2", "transformers", "apertium", "program"),
    )
    model: str | None = option(
        None,
        "The hub id or folder of the model; {source} and {target} stand for the codes of the languages. ctranslate2 "
        "needs a converted folder.",
    )
    tokenizer: str | None = option(None, "The hub id or folder of the tokenizer. Null takes the model's.")
    revision: str | None = option(None, "The hub revision of model and tokenizer. Null takes the newest.")
    codes: dict[str, str] = option(
        {}, "It maps language codes to the engine's own, as in {en: eng_Latn}; others stay as they are."
    )
    command: list[str] = option(
        [], "The words of the program's command; {source} and {target} stand for the codes of the languages."
    )
    prefix: str = option("", "A model reads this before each line, as in '>>{target}<< '.")
    beams: int = option(1, "The number of beams in the search for a translation; 1 is greedy.", low=1, high=100)
    batch_tokens: int = option(4096, "The most source tokens in a batch, padding included.", low=16)
    max_tokens: int = option(256, "The most tokens in the translation of a line.", low=1, high=100_000)
    compute: str = option("default", "The number format of ctranslate2, as in int8 or float16; of transformers, dtype.")
    parameters: float | None = option(
        None, "How many weights the model has, for the estimate of GPU hours. Null estimates none.", low=1, high=1e13
    )


@dataclass
class TranslateConfig:
    """Which texts are translated by which engine, and which translations are kept."""

    engines: dict[str, EngineConfig] = option({}, "The engines, by names of your choice.")
    query: dict[str, str] = option({}, "It maps a language to the engine that translates queries into it.")
    passage: dict[str, str] = option({}, "It maps a language to the engine that translates passages into it.")
    source: str = option("en", "Texts are translated from this language.")
    via: dict[str, str] = option(
        {}, "It maps a language to the one that it is translated from instead of `source`, which must be named before."
    )
    sentence_characters: int = option(300, "Longer texts are translated sentence by sentence, and joined again.", low=1)
    lines: int = option(512, "The number of lines translated at a time, and then stored.", low=1, high=1_000_000)
    identify: bool = option(True, "Translations in another language than the target are left out.")
    copied: float = option(
        0.6, "Translations of four words or more with a larger share of the source's words are left out.", low=0.0
    )
    length_ratio: list[float] = option(
        [0.3, 5.0], "Least and largest length of a translation over that of its source, in bytes of UTF-8.", low=0.0
    )
    repetition: float = option(
        3.0,
        "Translations that compress (zlib) this many times better than their source are left out, because they repeat "
        "themselves.",
        low=1.0,
    )


@dataclass
class MineConfig:
    """How hard negatives are found: passages of other items that rank high for a query."""

    by: str = option(
        "none",
        "none finds none; encoder ranks by `model`, exactly; bm25 ranks by words.",
        choices=("none", "encoder", "bm25"),
    )
    negatives: int = option(5, "The most hard negatives for a query.", low=1, high=1000)
    first_rank: int = option(1, "Passages that rank before this one are not taken; 1 is the best.", low=1)
    last_rank: int = option(50, "Passages that rank after this one are not taken.", low=1, high=10_000)
    margin: float | None = option(
        None, "A negative must score at least this much below the item's own passage. Null sets no margin.", low=0.0
    )
    relative_margin: float | None = option(
        None,
        "Like margin, as a share of the own passage's score: .05 is what NV-Retriever (arXiv 2407.15831) found best. "
        "Null sets no margin.",
        low=0.0,
        high=1.0,
    )
    pool: str = option(
        "same",
        "Queries are compared with the passages of their own language (same), or with all passages at once (all).",
        choices=("same", "all"),
    )


@dataclass
class RecipeConfig:
    """How training data are made from sources."""

    name: str = option("local", "The name of the recipe.")
    root: str | None = option(
        None, "The folder that holds hub data sets under their names. Null fetches them from the hub."
    )
    sources: dict[str, RecipeSourceConfig] = option({}, "What is read, by names of your choice.")
    filter: FilterConfig = section(FilterConfig)
    translate: TranslateConfig = section(TranslateConfig)
    mine: MineConfig = section(MineConfig)
    shard_items: int = option(
        10_000, "The number of items in a file, which is the most that a killed process loses.", low=1, high=10_000_000
    )


@dataclass
class PrepareConfig:
    """Make training data: read, filter, translate, mine and write."""

    recipe: RecipeConfig = section(RecipeConfig)
    model: ModelConfig = section(ModelConfig)
    evaluation: EvaluationConfig = section(EvaluationConfig)
    accelerator: str = option(
        "auto", "Where models compute; auto takes a GPU if there is one.", choices=("auto", "cpu", "gpu")
    )
    threads: int | None = option(None, "How many CPU threads are used. Null takes PyTorch's default.", low=1, high=1024)
    folder: str = option("prepared/${recipe.name}", "This folder receives the data and manifest.json.")
    worker: int = option(
        0, "With -m, worker=0,1,2,3 starts so many processes that share the work of one recipe.", low=0, high=100_000
    )
    sweep_name: str = option("prepare_${recipe.name}", "Logs of several workers lie in this folder under multirun/.")
    run_name: str = option("worker_${worker}", "It names a worker, and must be unique among them.")
    detach: bool = option(
        False, "With hydra/launcher=submitit_slurm the command submits the workers and returns, rather than wait."
    )


@dataclass
class ReportConfig:
    """Tables and pictures of one sweep, from its files."""

    sweep_name: str = option("adhoc", "The sweep lies in this folder under `root`.")
    root: str = option("multirun", "The sweeps lie in this folder.")
    output: str | None = option(None, "The report is written to this folder. Null takes report/ in the sweep's folder.")
    parts: list[str] = option(
        [],
        "These folders of reports are joined into one, in place of a sweep's folder; sweep_name is what it is called.",
    )
    compare: list[str] = option(
        [],
        "The answers of these two sweeps under `root` are put side by side, in place of a report of one. Null as "
        "output takes report/compared_with_SECOND/ in the folder of the first.",
    )


@dataclass
class ClusterConfig:
    """How the runs of a grid are queued, under Slurm's names; on the command line, `hydra.launcher.OPTION`."""

    name: str = option("mixlingual", "The jobs have this name.")
    partition: str | None = option(None, "The Slurm partition to use. Null takes the cluster's default.")
    account: str | None = option(None, "This account pays. Null takes the user's default.")
    qos: str | None = option(None, "The quality of service to ask for. Null takes the default.")
    constraint: str | None = option(None, "A node must have these features, as in a100&nvlink. Null takes any node.")
    exclude: str | None = option(None, "The jobs stay off these nodes, as in node[01-03]. Null excludes none.")
    comment: str | None = option(
        None, "squeue shows this comment on the jobs. Null says the sweep and its number of runs."
    )
    nodes: int = option(1, "A run takes so many nodes, which follows from trainer.nodes.", low=1)
    tasks_per_node: int = option(
        1, "A run has so many processes on each node, which follows from trainer.devices.", low=1, high=1024
    )
    cpus_per_task: int | None = option(None, "A process gets so many cores. Null takes the cluster's default.", low=1)
    gpus_per_node: int | None = option(
        None, "A run gets so many GPUs on each node. Null asks for none.", low=0, high=1024
    )
    gpu: str | None = option(
        None, "Its GPUs are of this kind, which a preflight plans for. Null says none.", choices=tuple(DEVICES)
    )
    mem_gb: float | None = option(
        None, "A run gets so much memory on each node, in GB. Null takes the cluster's default.", low=0.1
    )
    timeout_min: int = option(
        60, "A run gets so many minutes at a time; then it saves, queues again by itself and goes on.", low=1
    )
    signal_delay_s: int = option(120, "A run is told to save so many seconds before the end of its time.", low=1)
    max_num_timeout: int = option(1000, "A run may run out of its time so many times.", low=0)
    requeue: bool = option(True, "It lets Slurm queue a run again that was preempted or whose node died.")
    array_parallelism: int = option(256, "So many runs of a job array run at a time.", low=1)
    setup: list[str] = option([], "These lines of shell run before a run starts, as in [module load cuda].")
    additional_parameters: dict[str, Any] = option({}, "sbatch gets these options too, as in {mail-type: END}.")
    detach: bool = option(
        False, "The command submits the jobs and returns, rather than wait for them; it follows from detach."
    )
    check_files: bool = option(True, "Data, benchmarks and checkpoints are looked for before anything is queued.")
    poll_s: float = option(15.0, "Slurm is asked every so many seconds while the command waits.", low=0.01)


@dataclass
class StatusConfig:
    """How the runs of one sweep stand, from their files."""

    sweep_name: str = option("adhoc", "The sweep lies in this folder under `root`.")
    root: str = option("multirun", "The sweeps lie in this folder.")
    view: str = option(
        "runs", "runs shows a row for each run, grid counts them by size and ratio.", choices=("runs", "grid")
    )
    watch: bool = option(False, "It shows the table anew until it is interrupted.")
    seconds: float = option(5.0, "The files are looked at every so many seconds while watching.", low=0.1)
    json: bool = option(False, "It prints the runs as JSON in place of a table.")
    silent_minutes: float = option(
        15.0, "A run on another machine without a sign of life for longer is called silent: it may be dead.", low=0.1
    )


@dataclass
class DashboardConfig:
    """A workspace and a report on W&B that show one sweep."""

    sweep_name: str = option("adhoc", "The sweep lies in this folder under `root`, and is the W&B group of its runs.")
    root: str = option("multirun", "The sweeps lie in this folder.")
    project: str = option("mixlingual", "The W&B project that the sweep's runs are in.")
    entity: str | None = option(None, "The W&B user or team that owns the project. Null takes the key's default.")
    dry_run: str | None = option(
        None,
        "This file receives the workspace and the report as JSON; nothing is sent and no key is needed. Null sends"
        " them.",
    )


@dataclass
class SampleSizeConfig:
    """How many seeds the declared contrast of a sweep needs, from the scatter in a pilot sweep."""

    sweep_name: str = option(
        "adhoc", "The pilot lies in this folder under `root`; it has two seeds or more, and the ratios 0, mixed and 1."
    )
    root: str = option("multirun", "The sweeps lie in this folder.")
    effects: list[float] = option(
        [0.005, 0.01, 0.02],
        "The plan is made for these true differences of the primary contrast, in mAP.",
        low=1e-9,
        high=1.0,
    )
    seeds: list[int] = option(
        [2, 3, 5, 10], "The detectable effect of these numbers of seeds is said.", low=2, high=10_000
    )
    power: float = option(0.8, "The effect is to be found with this probability.", low=0.5, high=0.999)


@dataclass
class ExportConfig:
    """Make a trained encoder ready for others: its model card, other formats, the Hugging Face hub."""

    folder: str | None = option(
        None, "The encoder's run, multirun/SWEEP/RUN, or the folder model/ in it; it must be set."
    )
    format: str | None = option(
        None,
        "onnx adds onnx/model.onnx in float32 and onnx/model_int8.onnx, and compares them with PyTorch. Null adds "
        "nothing.",
        choices=("onnx",),
    )
    push: str | None = option(
        None, "This repository of the Hugging Face hub, OWNER/NAME, receives the files. Null pushes nothing."
    )
    dry_run: bool = option(True, "With `push` it only lists the files; false sends them.")
    private: bool = option(True, "A repository that `push` makes is private.")


@dataclass
class MergeConfig:
    """Merge the encoders of the two pure ratios of each size and seed of a sweep, and evaluate them."""

    sweep_name: str = option("adhoc", "The sweep lies in this folder under `root`; its runs have kept their encoders.")
    root: str = option("multirun", "The sweeps lie in this folder.")
    shares: list[float] = option(
        [0.25, 0.5, 0.75],
        "Encoders are merged at these shares l of the one trained on monolingual batches alone: "
        "l mono + (1 - l) cross.",
        low=0.0,
        high=1.0,
    )
    kinds: list[str] = option(
        ["linear", "spherical"],
        "linear takes the mean of the weights, spherical goes along the arc between them, for each tensor by itself.",
        choices=("linear", "spherical"),
    )
    save_model: bool = option(False, "It keeps the merged encoders, in model/ beside their scores.")
    benchmarks_root: str | None = option(
        None, "The benchmarks lie in this folder. Null takes the one that the runs were evaluated from."
    )
    accelerator: str = option(
        "auto", "Where the encoders compute; auto takes a GPU if there is one.", choices=("auto", "cpu", "gpu")
    )
    threads: int | None = option(None, "How many CPU threads are used. Null takes PyTorch's default.", low=1, high=1024)


SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "prepare": PrepareConfig,
    "report": ReportConfig,
    "export": ExportConfig,
    "merge": MergeConfig,
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
