"""Lays out a W&B workspace and report of a sweep: which panels, over which runs, in which order.

The runs are those of `mixlingual.tracking.run`; pictures and tables of the whole grid lie in one more run of the
group. W&B draws lines from the tables by a preset of its own, and has none for heat maps: these are the pictures.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from mixlingual.analysis.tables.grid import SETTINGS
from mixlingual.measures.registry import METRICS, SETTING_TITLES, headlines
from mixlingual.tracking.client import STEP
from mixlingual.tracking.tables import scalar_name

RATIO, SIZE = "batching.monolingual_ratio", "model.name"
GRID_COLUMNS = ("size", "ratio", "mean", "lowest seed", "highest seed", "seeds")
_WIDE = wr.Layout(w=24, h=10)
_CURVES = ("train/loss", "train/loss_mono", "train/loss_cross", "train/gradient_norm", "train/pairs_per_second")
_TABLES = ("eval/languages", "eval/pairs", "eval/bias")


@dataclass(frozen=True)
class Shown:
    """What there is to show of a sweep, from its own files."""

    sweep_name: str
    entity: str
    """W&B user or team; empty for the key's default."""
    project: str
    models: tuple[str, ...]
    """The size axis, ascending."""
    pictures: dict[str, tuple[str, ...]]
    """Benchmark -> keys of the pictures of the whole grid."""
    tables: tuple[str, ...]
    """Keys of the tables of the whole grid, from `grid_key`: mAP by size and ratio, in `GRID_COLUMNS`."""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names the benchmarks."""
        return tuple(self.pictures)

    @property
    def columns(self) -> list[str]:
        """Lists what tells runs apart and what they are compared by: the columns of the run table."""
        axes = ["config:model.value.name", "config:batching.value.monolingual_ratio", "config:seed.value"]
        ordered = sorted(itertools.product(self.benchmarks, headlines()), key=lambda each: METRICS[each[1][1]].group)
        scores = [f"summary:{scalar_name(name, *pair)}" for name, pair in ordered]
        return [*axes, *scores, "summary:training/final_loss", "summary:seconds/train"]


def grid_key(benchmark: str, setting: str) -> str:
    """Gives the key on W&B of a table of the whole grid."""
    return f"grid/{benchmark}/{setting}"


@dataclass(frozen=True)
class _Part:
    title: str
    text: str
    panels: list[wr.PanelTypes]


def workspace(shown: Shown) -> ws.Workspace:
    """Lays out a saved view of the project: the runs of the sweep, and a section for each part of the picture."""
    order = [ws.Ordering(ws.Summary(f"eval/{name}/multi/map"), ascending=False) for name in shown.benchmarks[:1]]
    return ws.Workspace(
        entity=shown.entity,
        project=shown.project,
        name=f"Sweep {shown.sweep_name}",
        sections=[ws.Section(name=part.title, panels=part.panels, is_open=True) for part in _parts(shown)],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == shown.sweep_name], order=order, pinned_columns=shown.columns
        ),
    )


def report(shown: Shown) -> wr.Report:
    """Lays out the same parts with words between them; panels compare the sizes as sets of runs."""
    group = f"Group = '{shown.sweep_name}'"
    everything = [wr.Runset(name="all runs", filters=group, pinned_columns=shown.columns)]
    sizes = [
        wr.Runset(name=model, filters=f"{group} and Config('{SIZE}') = '{model}'", pinned_columns=shown.columns)
        for model in shown.models
    ]
    blocks: list[wr.BlockTypes] = [wr.TableOfContents()]
    for part in _parts(shown):
        of_a_ratio = any(isinstance(panel, (wr.ScatterPlot, wr.BarPlot)) for panel in part.panels)
        runsets = sizes if of_a_ratio and sizes else everything
        blocks += [wr.H2(part.title), wr.P(part.text), wr.PanelGrid(runsets=runsets, panels=part.panels)]
    blocks += [wr.H2("Runs"), wr.PanelGrid(runsets=everything, panels=[])]
    return wr.Report(
        entity=shown.entity,
        project=shown.project,
        title=f"Sweep {shown.sweep_name}",
        description="How model size and the ratio of monolingual batches interact. Made by mixlingual.dashboard.",
        blocks=blocks,
        width="fluid",
    )


def _parts(shown: Shown) -> Iterator[_Part]:
    for benchmark in shown.benchmarks:
        yield from _parts_of(shown, benchmark)
    yield _tables()
    yield _curves()


def _parts_of(shown: Shown, benchmark: str) -> Iterator[_Part]:
    ratio, prefix = wr.Config(RATIO), f"eval/{benchmark}"
    maps = {SETTING_TITLES[setting]: scalar_name(benchmark, setting, "map") for setting in SETTINGS}
    mono, cross, _ = maps.values()
    tables = {setting: key for setting in SETTINGS if (key := grid_key(benchmark, setting)) in shown.tables}
    yield _Part(
        f"{benchmark}: size x ratio",
        "Means over seeds, as the files say; made anew by each call. Lines: a size each, over the ratio.",
        [
            *(wr.MediaBrowser(media_keys=[key], num_columns=1, layout=_WIDE) for key in shown.pictures[benchmark]),
            *(_lines(key, f"mAP, {SETTING_TITLES[setting]}") for setting, key in tables.items()),
            *(wr.WeavePanelSummaryTable(table_name=key) for key in tables.values()),
        ],
    )
    yield _Part(
        f"{benchmark}: mAP against the ratio",
        "Bars: means over seeds. Points: runs. Ratio 0 is all cross-lingual, 1 all monolingual.",
        [
            *(_bars(name, title) for title, name in maps.items()),
            *(_points(ratio, name, title) for title, name in maps.items()),
        ],
    )
    yield _Part(
        f"{benchmark}: language bias against the ratio",
        "Measured in the pool of all languages.",
        [
            _points(ratio, scalar_name(benchmark, known.setting, known.name), f"{known.label} ({known.direction})")
            for known in METRICS.values()
            if known.foremost
        ],
    )
    compared = (wr.Config(SIZE), ratio, *map(wr.SummaryMetric, maps.values()))
    yield _Part(
        f"{benchmark}: monolingual against cross-lingual",
        "Up and to the right is better at both. Each line of the second panel is a run.",
        [
            _points(wr.SummaryMetric(mono), cross, "trade-off", z=ratio),
            wr.ParallelCoordinatesPlot(columns=[wr.ParallelCoordinatesPlotColumn(metric) for metric in compared]),
        ],
    )
    yield _Part(
        f"{benchmark}: languages",
        "mAP by language of the question (rows) and of the candidates, a picture for each run.",
        [wr.MediaBrowser(media_keys=[f"{prefix}/languages"], num_columns=3, layout=_WIDE)],
    )


def _tables() -> _Part:
    return _Part(
        "Tables",
        "By language, by pair, and every figure of bias.",
        [wr.WeavePanelSummaryTable(table_name=name) for name in _TABLES],
    )


def _curves() -> _Part:
    panels = [wr.LinePlot(title=name, x=STEP, y=[name], max_runs_to_show=100) for name in _CURVES]
    return _Part("Training", "Against the optimiser's steps.", panels)


def _points(x: wr.Config | wr.SummaryMetric, y: str, title: str, z: wr.Config | None = None) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=x, y=wr.SummaryMetric(y), z=z)


def _lines(table: str, title: str) -> wr.CustomChart:
    """Draws a line for each size from a table with `GRID_COLUMNS`, by the preset that wandb.plot.line_series uses."""
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": table}},
        chart_name="wandb/lineseries/v0",
        chart_fields={"step": "ratio", "lineKey": "size", "lineVal": "mean"},
        chart_strings={"title": title, "xname": "monolingual ratio"},
    )


def _bars(metric: str, title: str) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=[wr.SummaryMetric(metric)],
        groupby=wr.Config(RATIO),
        groupby_aggfunc="mean",
        orientation="v",
    )


def save(shown: Shown, known: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Sends both, over those that an earlier call made.

    Args:
        shown: what there is to show.
        known: what an earlier call returned second, or nothing.

    Returns:
        workspace and report -> URL, and what finds them again.
    """
    shown = dataclasses.replace(shown, entity=shown.entity or wandb.Api().default_entity or "")
    view, text = workspace(shown), report(shown)
    if isinstance(address := known.get("workspace"), str):
        stored = ws.Workspace.from_url(address)
        stored.name, stored.sections = view.name, view.sections
        stored.settings, stored.runset_settings = view.settings, view.runset_settings
        view = stored
    text.id = known.get("report", "")
    view.save()
    text.save()
    return {"workspace": view.url, "report": text.url}, {"workspace": view.url, "report": text.id}


def described(part: Any) -> Any:
    """Describes a workspace, a report or a part of one in JSON types: its kind, and what its public fields hold."""
    if dataclasses.is_dataclass(part):
        held = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.name[0] != "_"}
        return {"kind": type(part).__name__} | {
            name: described(value) for name, value in held.items() if value not in (None, "", [], {})
        }
    if isinstance(part, dict):
        return {str(key): described(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [described(value) for value in part]
    return part if isinstance(part, bool | int | float | str) else str(part)
