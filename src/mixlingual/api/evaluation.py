"""Any encoder on any benchmark, from Python.

    result = mixlingual.evaluate_encoder(my_function, "xquad_r", root="data")
    print(result.table())

Shape suffixes: N texts, D width of the embedding.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from tqdm import tqdm

from mixlingual.api.encoder import TrainedEncoder, load_encoder
from mixlingual.config.checks import to_config
from mixlingual.config.names import BENCHMARKS
from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.registry import load_benchmarks
from mixlingual.evaluation.encode import Embed, Embedded
from mixlingual.evaluation.parallel import export_lists
from mixlingual.evaluation.protocol import BenchmarkScores
from mixlingual.evaluation.scorer import UNCORRECTED, WHOLE, Encoding
from mixlingual.evaluation.suite import PROTOCOLS, suite_scores
from mixlingual.measures.geometry import unit
from mixlingual.measures.registry import BIAS, METRICS
from mixlingual.model.tokenizer import Side
from mixlingual.records import AnyBenchmark, Benchmark, MixlingualError, is_number

Encode = Callable[[list[str]], Any]
"""Texts -> an array or tensor [N, D]."""

ALL = "all"
"""Stands for a mean over languages, or for the pool of all of them."""

CHUNK = 1024
"""Texts that a callable gets at a time."""

_METHODS = (("encode_queries", "encode_passages"), ("encode_query", "encode_document"))
"""Of our encoders, and of sentence-transformers 5 and later."""

_SHOWN = ("map", "mrr", "ndcg@10", "r@1", "r@10", "r@100", "mrr@100", "answer_recall@20", "rank_distance", "own_first")


@dataclass(frozen=True)
class Evaluation:
    """What one encoder scores."""

    metrics: dict[str, dict[str, Any]]
    """Benchmark -> all figures, as in result.json: mono | cross | multi -> measures, bias -> measures."""
    per_query: pd.DataFrame
    """A row for each benchmark, setting, query and candidate language; columns are those of queries.parquet."""
    timings: dict[str, float]
    """Benchmark -> seconds."""
    benchmarks: tuple[AnyBenchmark, ...] = field(repr=False)
    _scores: dict[str, BenchmarkScores] = field(repr=False)
    _lists: tempfile.TemporaryDirectory[str] = field(repr=False)
    """TREC runs of judged benchmarks."""

    def table(self) -> str:
        """Returns the macro means as text: a row for each benchmark and setting."""
        tidy = self.to_pandas()
        macro = tidy[(tidy.query_language == ALL) & tidy.metric.isin(_SHOWN)]
        wide = macro.pivot_table("value", ["benchmark", "setting"], "metric", sort=False)
        formats = {name: f"{{:.{METRICS[name].decimals}f}}".format for name in _SHOWN if name in wide}
        return str(wide[list(formats)].to_string(formatters=formats, na_rep=""))

    def __str__(self) -> str:
        return self.table()

    def to_pandas(self) -> pd.DataFrame:
        """Returns every figure, one a row: benchmark, setting, query_language, candidate_language, metric, value.

        The language `all` stands for a macro mean, or for the pool of all languages; the setting `bias` holds measures
        of whole benchmarks.
        """
        columns = ["benchmark", "setting", "query_language", "candidate_language", "metric", "value"]
        return pd.DataFrame(
            [row for name in self.metrics for row in _figures(name, self.metrics[name])], columns=columns
        )

    def to_trec(self, folder: str | Path) -> list[Path]:
        """Writes the 100 best of every query as TREC runs, and the judgements as qrels; returns the files.

        Parallel benchmarks have one run, of the pool of all languages, whose query ids are LANGUAGE/QUESTION.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for benchmark in self.benchmarks:
            if isinstance(benchmark, Benchmark):
                export_lists(target, benchmark, self._scores[benchmark.name])
        shutil.copytree(self._lists.name, target, dirs_exist_ok=True)
        names = [benchmark.name for benchmark in self.benchmarks]
        found = (path for name in names for path in (*target.glob(f"{name}.*.gz"), *target.glob(f"{name}/*.gz")))
        return sorted(found)


def evaluate_encoder(
    encode: Any,
    benchmarks: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    languages: Sequence[str] | None = None,
    root: str | Path | None = None,
    unit: str = "sentence",
    shared_ids: bool | None = None,
    cutoffs: Sequence[int] = (),
    text: Mapping[str, Any] | None = None,
    similarity: str | None = None,
    embeddings: str | Path | None = None,
    search_memory: int = 1024,
    **options: Any,
) -> Evaluation:
    """Evaluates an encoder zero-shot: one encoding of each text, every figure of the benchmark from it.

    Args:
        encode: one of

            - a function from a list of texts to an array or tensor [N, D], for queries and passages alike;
            - two of them, (for queries, for passages);
            - a SentenceTransformer, or any object with encode_query and encode_document, or encode_queries and
              encode_passages;
            - a folder or hub id, loaded by `load_encoder` with `options`;
            - ready embeddings, {"queries": [Q, D], "candidates": [N, D]}, in the order of `load_benchmark`, of one
              parallel benchmark; or a folder of them, as `mixlingual.evaluate precomputed=FOLDER` takes it.
        benchmarks: names, as "xquad_r", or folders of your own, or name -> folder (docs/evaluation.md).
        languages: codes to keep; None: all.
        root: folder of the published files; None: the cache, filled from the network.
        unit: what a candidate of MLQA-R and XQuAD-R is: sentence, sentence_in_context or paragraph.
        shared_ids: whether the same id in several languages of a benchmark of your own is the same text translated.
        cutoffs: further depths k of ndcg@k and r@k.
        text: options of `evaluation.text`, as {"transliterate": "uroman", "side": "query"}; None: texts as they are.
        similarity: cosine scales embeddings to length 1, dot takes them as they are; None: as a SentenceTransformer
            says, else dot.
        embeddings: folder that keeps the encoded passages of judged benchmarks, for an encoder from a folder or the
            hub; None: a temporary one.
        search_memory: MiB that a search over judged benchmarks takes.
        options: of `load_encoder`, as device or query_prefix, where `encode` is a folder or hub id.

    Raises:
        MixlingualError: the encoder or a benchmark is not usable, or embeddings have a wrong shape or hold NaN; the
            message says what was found and what is allowed.
    """
    config = _config(
        benchmarks,
        languages=languages and list(languages),
        root=root and str(root),
        unit=unit,
        shared_ids=shared_ids,
        cutoffs=list(cutoffs),
        text=dict(text or {}),
        search_memory=search_memory,
        embeddings=embeddings and str(embeddings),
    )
    loaded = load_benchmarks(config)
    lists = tempfile.TemporaryDirectory(prefix="mixlingual-")
    score = _scorer(encode, similarity, loaded, config, options)
    found, seconds = {}, {}
    for benchmark in loaded:
        start = time.perf_counter()
        own = None if isinstance(benchmark, Benchmark) else lists.name
        found[benchmark.name] = score(benchmark, replace(config, runs=own))
        seconds[benchmark.name] = time.perf_counter() - start
    suite = suite_scores(loaded, found, {})
    return Evaluation(suite.benchmarks, suite.per_query, seconds, tuple(loaded), found, lists)


def load_benchmark(benchmark: str | Path, **options: Any) -> AnyBenchmark:
    """Returns one benchmark: `queries` and `candidates` hold the texts, in the order that ready embeddings have.

    Args:
        benchmark: name, or folder of your own.
        options: languages, root, unit and shared_ids of `evaluate_encoder`.

    Raises:
        MixlingualError: it is not there or malformed.
    """
    return load_benchmarks(_config(benchmark, **options))[0]


def _config(
    benchmarks: str | Path | Sequence[str | Path] | Mapping[str, str | Path], **options: Any
) -> EvaluationConfig:
    """Returns checked options; what is no name of a benchmark is a folder, and called as it is."""
    if isinstance(benchmarks, Mapping):
        custom = {name: str(folder) for name, folder in benchmarks.items()}
        names = list(custom)
    else:
        listed = [benchmarks] if isinstance(benchmarks, str | Path) else list(benchmarks)
        custom = {Path(one).name: str(one) for one in listed if one not in BENCHMARKS and Path(one).is_dir()}
        names = [one if one in BENCHMARKS else Path(one).name if Path(one).is_dir() else str(one) for one in listed]
    return to_config(EvaluationConfig, OmegaConf.create({"benchmarks": names, "custom": custom, **options}))


Score = Callable[[Any, EvaluationConfig], BenchmarkScores]


def _scorer(
    encode: Any,
    similarity: str | None,
    loaded: Sequence[AnyBenchmark],
    config: EvaluationConfig,
    options: dict[str, Any],
) -> Score:
    """Returns what scores a benchmark by the encoder, whatever it is."""
    if similarity not in (None, "cosine", "dot"):
        raise MixlingualError(f"got similarity={similarity!r}; allowed: cosine, dot, None")
    if isinstance(encode, str | Path):
        folder = Path(encode)
        if any(folder.glob("*.queries.npy")):
            return lambda benchmark, own: _scored_files(benchmark, folder, own)
        encode, options = load_encoder(encode, **options), {}
    if options:
        raise MixlingualError(f"got {', '.join(options)}; options of an encoder go with a folder or hub id alone")
    if isinstance(encode, TrainedEncoder):
        embed, tokenizer, identity = encode.embed, encode.tokenizer, encode.identity
        embed = _scaled(embed) if similarity == "cosine" else embed
    elif config.embeddings is not None:
        raise MixlingualError(
            "embeddings keeps passages under the identity of their encoder, which a function does not have; give the "
            "encoder as a folder or hub id, or leave embeddings out"
        )
    else:
        embed, tokenizer, identity = _embed(encode, similarity, loaded), None, lambda: uuid.uuid4().hex
    own = encode.device if isinstance(encode, TrainedEncoder) else None
    device = own or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(embed, tokenizer, identity, device)
    return lambda benchmark, own: PROTOCOLS[benchmark.protocol].score_encoder(benchmark, encoding, own, WHOLE)[
        UNCORRECTED
    ]


def _scored_files(benchmark: AnyBenchmark, folder: Path, config: EvaluationConfig) -> BenchmarkScores:
    scorer = PROTOCOLS[benchmark.protocol]
    scorer.check_files(benchmark, folder)
    scores = scorer.score_files(benchmark, folder, config, WHOLE)
    assert scores is not None, "this is the first process"
    return scores


def _embed(encode: Any, similarity: str | None, loaded: Sequence[AnyBenchmark]) -> Embed:
    """Returns what embeds texts by somebody's function, object or ready arrays."""
    if isinstance(encode, Mapping):
        return _ready(encode, similarity, loaded)
    sides = _sides(encode)
    if similarity is None:
        similarity = getattr(encode, "similarity_fn_name", None) or "dot"
        if similarity not in ("cosine", "dot"):
            raise MixlingualError(f"the encoder compares by {similarity!r}; set similarity=cosine or dot")
    embed = partial(_called, sides)
    return _scaled(embed) if similarity == "cosine" else embed


def _sides(encode: Any) -> dict[Side, Encode]:
    """Returns the function of each side."""
    for query, passage in _METHODS:
        if callable(getattr(encode, query, None)) and callable(getattr(encode, passage, None)):
            return {"query": getattr(encode, query), "passage": getattr(encode, passage)}
    pair = encode if isinstance(encode, tuple) else (encode, encode)
    if len(pair) != 2 or not all(map(callable, pair)):
        raise MixlingualError(
            f"got {type(encode).__name__} as the encoder; allowed: a function of a list of texts, two of them, an "
            "object with encode_query and encode_document, a folder or hub id, or arrays under queries and candidates"
        )
    return {"query": pair[0], "passage": pair[1]}


def _called(sides: Mapping[Side, Encode], texts: list[str], side: Side, label: str = "texts") -> Embedded:
    """Returns what a function makes of texts; it gets each distinct one once, longest first."""
    distinct = sorted(dict.fromkeys(texts), key=len, reverse=True)
    parts: list[NDArray[np.float32]] = []
    with tqdm(total=len(distinct), desc=f"{label} {side}", unit="text", disable=None) as progress:
        for start in range(0, len(distinct), CHUNK):
            chunk = distinct[start : start + CHUNK]
            parts.append(_array(sides[side](chunk), len(chunk), f"the encoder of a {side}"))
            if parts[-1].shape[1] != parts[0].shape[1]:
                widths = f"{parts[0].shape[1]} and then {parts[-1].shape[1]}"
                raise MixlingualError(f"the encoder of a {side} gave embeddings of width {widths}; they must be alike")
            progress.update(len(chunk))
    place = {text: row for row, text in enumerate(distinct)}
    return Embedded(np.concatenate(parts)[[place[text] for text in texts]], None)


def _array(found: Any, rows: int, what: str) -> NDArray[np.float32]:
    """Returns [rows, D] finite float32 of whatever was given."""
    if isinstance(found, torch.Tensor):
        found = found.detach().float().cpu().numpy()
    try:
        embedding_ND = np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise MixlingualError(f"{what} gave {type(found).__name__}, which is no array of numbers ({error})") from error
    if embedding_ND.ndim != 2 or len(embedding_ND) != rows or not embedding_ND.shape[1]:
        raise MixlingualError(
            f"{what} gave an array of shape {list(embedding_ND.shape)}; expected [{rows}, D], a row a text"
        )
    bad = np.flatnonzero(~np.isfinite(embedding_ND).all(axis=1))
    if bad.size:
        raise MixlingualError(f"{what} gave NaN or infinity in {bad.size} of {rows} rows, first in row {bad[0]}")
    return embedding_ND


def _ready(arrays: Mapping[str, Any], similarity: str | None, loaded: Sequence[AnyBenchmark]) -> Embed:
    if set(arrays) != {"queries", "candidates"} or len(loaded) != 1 or not isinstance(loaded[0], Benchmark):
        raise MixlingualError(
            f"got arrays {', '.join(map(repr, arrays))} for {', '.join(one.name for one in loaded)}; ready embeddings "
            "are 'queries' and 'candidates' of one parallel benchmark. Give those of others in a folder: see "
            "docs/evaluation.md"
        )
    benchmark = loaded[0]
    held = {
        "query": _array(arrays["queries"], len(benchmark.queries), f"queries of {benchmark.name}"),
        "passage": _array(arrays["candidates"], len(benchmark.candidates), f"candidates of {benchmark.name}"),
    }

    def embed(texts: list[str], side: Side, label: str = "") -> Embedded:  # noqa: ARG001 - of all texts, in order
        return Embedded(held[side], None)

    return _scaled(embed) if similarity == "cosine" else embed


def _scaled(embed: Embed) -> Embed:
    """Returns the embeddings at length 1."""

    def scaled(texts: list[str], side: Side, label: str = "texts") -> Embedded:
        found = embed(texts, side, label)
        return Embedded(unit(found.embedding_ND), found.cut)

    return scaled


def _figures(benchmark: str, metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str, float]]:
    """Yields the rows of `Evaluation.to_pandas`."""
    for setting in ("mono", "cross", "multi"):
        section = metrics.get(setting, {})
        yield from ((benchmark, setting, ALL, ALL, name, value) for name, value in section.items() if is_number(value))
        for key, means in {**section.get("languages", {}), **section.get("pairs", {})}.items():
            query, _, candidate = key.partition("-")
            candidate = candidate or (query if setting == "mono" else ALL)
            yield from ((benchmark, setting, query, candidate, name, value) for name, value in means.items())
    for section, figures in metrics.get("bias", {}).items():
        values = ((f"{section}.{name}", value) for name, value in figures.items() if is_number(value))
        yield from ((benchmark, BIAS, ALL, ALL, name, value) for name, value in values)
