"""Writes the model card of a trained encoder, and its figures as the Hugging Face hub reads them.

The card is README.md: front matter for programs, then what the encoder is, what it was trained on, how good it is and
how to use it. Figures on benchmarks that have a hub id also lie in .eval_results/BENCHMARK.yaml.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

from mixlingual.analysis.read.question_files import read_question_scores
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import estimate
from mixlingual.files import read_object, written_whole
from mixlingual.layout import SAVED_OPTIONS
from mixlingual.measures.registry import METRICS, SETTING_TITLES
from mixlingual.records import RunResult

CARD = "README.md"
PLACEHOLDER = "FOLDER_OR_HUB_ID"
"""Stands in the examples for the name of the encoder, until it has one on the hub."""

HUB_IDS = {
    "belebele": "facebook/belebele",
    "miracl": "miracl/miracl",
    "mkqa": "apple/mkqa",
    "mr_tydi": "castorini/mr-tydi",
    "xquad_r": "google-research-datasets/xquad_r",
}
"""Benchmark -> data set on the hub with the same questions. MLQA-R has none."""

_MEASURES = ("map", "ndcg@10", "rank_distance")
_TAGS = [
    "sentence-transformers",
    "feature-extraction",
    "sentence-similarity",
    "retrieval",
    "multilingual",
    "mixlingual",
]
_LICENCE = ("license", "license_name", "license_link")


@dataclass(frozen=True)
class Figure:
    """A measure of the encoder, with the interval for other questions."""

    benchmark: str
    setting: str
    measure: str
    value: float
    low: float
    high: float
    level: float
    clusters: int
    """Questions, or paragraphs, that vary as one."""
    cluster: str

    @property
    def label(self) -> str:
        """Returns the measure as people read it."""
        return METRICS[self.measure].label

    def shown(self, value: float) -> str:
        """Returns a value of the measure with its number of decimals."""
        return f"{value:.{METRICS[self.measure].decimals}f}"

    @property
    def interval(self) -> str:
        """Returns the interval as text; a dash where there is one cluster, which does not vary."""
        return f"{self.shown(self.low)} to {self.shown(self.high)}" if self.clusters > 1 else "-"


def write_card(
    folder: Path, run: RunResult | None, per_query: pd.DataFrame | Path | None, base: Mapping[str, Any]
) -> None:
    """Writes README.md and .eval_results/ into the folder of a saved encoder.

    Args:
        folder: what `save_encoder` wrote.
        run: the run that trained it; None where it is not known, which the card then says.
        per_query: scores of every query, for the figures: queries.parquet or its content.
        base: front matter of the card of the checkpoint that training began with, as `hub.front_matter` reads it.

    Raises:
        OSError: a file cannot be read or written.
    """
    options = read_object(folder / SAVED_OPTIONS)
    figures = [] if run is None or per_query is None else figures_of(run, per_query)
    about = _front_matter(run, base, figures)
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters |= {"plain": _plain, "literal": repr, "code": _code}
    text = environment.from_string((Path(__file__).parent / "card.md").read_text(encoding="utf-8")).render(
        front_matter=yaml.safe_dump(about, sort_keys=False, allow_unicode=True),
        title=run.run_name if run else "Multilingual sentence encoder",
        options=options,
        run=run,
        start=_start(run, base),
        license=about["license"],
        figures=figures,
        settings=SETTING_TITLES,
        exposure=None if run is None else _exposure(run.batches.get("language_pairs") or {}),
        name=PLACEHOLDER,
        default=read_object(folder / "config_sentence_transformers.json").get("default_prompt_name"),
    )
    with written_whole(folder / CARD) as path:
        path.write_text(text.rstrip() + "\n", encoding="utf-8")
    for benchmark, entries in _eval_results(run, figures).items():
        target = folder / ".eval_results" / f"{benchmark}.yaml"
        target.parent.mkdir(exist_ok=True)
        with written_whole(target) as path:
            path.write_text(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), encoding="utf-8")


def figures_of(run: RunResult, per_query: pd.DataFrame | Path) -> list[Figure]:
    """Returns the headline figures of a run, with intervals over questions (see `analysis.statistics.cells`)."""
    analysis = run.config.get("analysis") or {}
    level, cluster = float(analysis.get("level", 0.95)), str(analysis.get("cluster", "paragraph"))
    trial = Trial(run.run_name, 0.0, 0)

    def figure(part: QuestionScores) -> Figure:
        means = CellMeans.of(part.clustered(cluster), [trial])
        found = estimate(means, np.ones(1), level)
        place = (part.benchmark, part.setting, part.measure)
        return Figure(*place, found.value, found.low, found.high, level, means.clusters, cluster)

    return [figure(part) for part in read_question_scores({run.run_name: per_query}, _MEASURES).parts]


def _front_matter(run: RunResult | None, base: Mapping[str, Any], figures: list[Figure]) -> dict[str, Any]:
    """Returns what the hub and sentence-transformers read of a card."""
    config = {} if run is None else run.config
    pairs = _exposure({} if run is None else run.batches.get("language_pairs") or {})
    about: dict[str, Any] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": _TAGS,
    }
    if languages := sorted({re.split("[-_]", language)[0] for language in pairs.languages} if pairs else ()):
        about["language"] = languages
    about |= {name: base[name] for name in _LICENCE if name in base} if base.get("license") else {"license": "unknown"}
    checkpoint = (config.get("model") or {}).get("checkpoint")
    if base_model := base.get("base_model") if _is_folder(checkpoint) else checkpoint:
        about["base_model"] = base_model
    if datasets := sorted(_hub_data(config.get("data") or {})):
        about["datasets"] = datasets
    if run and figures:
        results = [
            {
                "task": {"type": "retrieval", "name": f"{SETTING_TITLES[each.setting]} retrieval"},
                "dataset": {"type": HUB_IDS.get(each.benchmark, each.benchmark), "name": each.benchmark},
                "metrics": [{"type": each.measure, "value": each.value, "name": each.label}],
            }
            for each in figures
        ]
        about["model-index"] = [{"name": run.run_name, "results": results}]
    return about


def _is_folder(checkpoint: str | None) -> bool:
    """Tells a folder on the machine of the run, whose name means nothing elsewhere, from a hub id."""
    return checkpoint is not None and (
        checkpoint.count("/") > 1 or checkpoint.startswith(("/", ".", "~")) or Path(checkpoint).is_dir()
    )


def _hub_data(data: Mapping[str, Any]) -> Iterator[str]:
    """Yields the hub ids of training data; a set of files has none."""
    sources = data.get("sources") or {}
    own = [(data.get("pairs") or {})] if data.get("name") == "pairs" else []
    for pairs in (*own, *(source.get("pairs") or {} for source in sources.values())):
        if pairs.get("hub"):
            yield str(pairs["hub"])


def _start(run: RunResult | None, base: Mapping[str, Any]) -> str:
    """Says in a sentence what training began with."""
    if run is None:
        return "This folder does not say how it was trained."
    checkpoint = (run.config.get("model") or {}).get("checkpoint")
    if checkpoint is None:
        return "Training began with random weights."
    if not _is_folder(checkpoint):
        return f"Training began with [{_plain(checkpoint)}](https://huggingface.co/{_plain(checkpoint)})."
    ancestor = f", which was made from {_plain(base['base_model'])}" if base.get("base_model") else ""
    return f"Training began with the local folder {_plain(Path(checkpoint).name)}{ancestor}."


@dataclass(frozen=True)
class _Exposure:
    """How many pairs were drawn, by language of query and of passage."""

    languages: list[str]
    pairs: dict[tuple[str, str], int]

    def row(self, query: str) -> list[int]:
        """Returns the pairs of a query language, by passage language, and their sum."""
        row = [self.pairs.get((query, passage), 0) for passage in self.languages]
        return [*row, sum(row)]

    @property
    def totals(self) -> list[int]:
        """Returns the pairs by passage language, and of all."""
        column = [sum(self.pairs.get((query, passage), 0) for query in self.languages) for passage in self.languages]
        return [*column, sum(column)]


def _exposure(drawn: Mapping[str, int]) -> _Exposure | None:
    """Returns the exposure that result.json writes as `en-de`: number; None if nothing was drawn.

    Codes may hold hyphens: a name is split where both sides are languages of monolingual pairs, else in the middle.
    """
    halves = {name: [(name[:at], name[at + 1 :]) for at, sign in enumerate(name) if sign == "-"] for name in drawn}
    known = {query for splits in halves.values() for query, passage in splits if query == passage}
    pairs = {}
    for name, count in drawn.items():
        splits = halves[name]
        fitting = [split for split in splits if known.issuperset(split)] or splits[len(splits) // 2 :]
        if fitting:
            pairs[fitting[0]] = int(count)
    if not sum(pairs.values()):
        return None
    return _Exposure(sorted({language for pair, count in pairs.items() if count for language in pair}), pairs)


def _eval_results(run: RunResult | None, figures: list[Figure]) -> dict[str, list[dict[str, Any]]]:
    """Returns benchmark -> entries in the hub's form, of whole benchmarks with a hub id alone."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in figures:
        if run is None or each.benchmark not in HUB_IDS or not run.benchmarks[each.benchmark].get("complete", True):
            continue
        entry = {
            "dataset": {"id": HUB_IDS[each.benchmark], "task_id": f"{each.setting}_{each.measure}"},
            "value": each.value,
            "notes": f"{SETTING_TITLES[each.setting]} {each.label}, {each.level:.0%} interval {each.interval} over "
            f"{each.clusters} {each.cluster}s; Mixlingual {run.versions.get('mixlingual', '')}".rstrip(),
        }
        found.setdefault(each.benchmark, []).append(entry)
    return found


def _plain(text: object) -> str:
    """Returns text that Markdown and HTML show as it is, in one line."""
    return re.sub(r"([\\`*\[\]|~]|\b_|_\b)", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def _code(text: str) -> str:
    """Returns text in quotes, as code: its blanks at either end are seen."""
    return f"`{json.dumps(text, ensure_ascii=False).replace('`', ' ')}`"
