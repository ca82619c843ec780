import json
import os
import subprocess
import sys

import pytest
from matplotlib.figure import Figure
from sweep_fixture import SIZES, without_results, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.config.schema import DashboardConfig
from mixlingual.records import MixlingualError
from mixlingual.reporting.figures import Picture
from mixlingual.tracking import client, dashboard

from .wandb_server import ENTITY

wandb = pytest.importorskip("wandb")
pytest.importorskip("wandb_workspaces")

SETTINGS = ("mono", "cross", "multi")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("multirun"))


@pytest.fixture(scope="module")
def options(sweep):
    return {"sweep_name": "demo", "root": str(sweep.parent)}


@pytest.fixture(scope="module")
def spec(sweep, options):
    file = sweep.parent / "spec.json"
    assert dashboard.show(DashboardConfig(**options, dry_run=str(file))) == {}
    return json.loads(file.read_text())


@pytest.fixture
def _blank_picture(monkeypatch):
    """Drawing all takes seconds; `test_figures` looks at them."""
    blank = Picture("mlqa_r_map_grid", "title", "caption", "alt", Figure())
    monkeypatch.setattr(dashboard, "draw", lambda _: {"mlqa_r": [blank]})


def panels(spec, kind=""):
    return [panel for part in spec["workspace"]["sections"] for panel in part["panels"] if kind in ("", panel["kind"])]


def test_the_workspace_shows_each_benchmark_by_size_and_ratio(spec):
    titles = [part["name"] for part in spec["workspace"]["sections"]]
    parts = ("size x ratio", "mAP against the ratio", "language bias against the ratio")
    more = ("monolingual against cross-lingual", "languages")
    assert titles == [
        *(f"{name}: {part}" for name in ("mlqa_r", "xquad_r") for part in (*parts, *more)), "Tables", "Training",
    ]  # fmt: skip
    drawn = {(panel["x"]["name"], panel["y"]["name"]) for panel in panels(spec, "ScatterPlot")}
    ratio, scores = "batching.monolingual_ratio", "eval/mlqa_r"
    assert {(ratio, f"{scores}/{setting}/map") for setting in SETTINGS} <= drawn
    assert {(ratio, f"{scores}/multi/rank_distance"), (f"{scores}/mono/map", f"{scores}/cross/map")} <= drawn
    assert (ratio, f"{scores}/bias/lift@10/diagonal_preference") in drawn
    assert {bar["groupby"]["name"] for bar in panels(spec, "BarPlot")} == {ratio}
    assert [bar["title"] for bar in panels(spec, "BarPlot")[:3]] == ["monolingual", "cross-lingual", "multilingual"]
    media = {key for panel in panels(spec, "MediaBrowser") for key in panel["media_keys"]}
    assert {"grid/mlqa_r_map_grid", "grid/mlqa_r_rank_distance", "eval/mlqa_r/languages"} <= media


def test_lines_are_drawn_from_the_tables_of_the_grid(spec, sweep):
    lines = panels(spec, "CustomChart")
    keys = [f"grid/{name}/{setting}" for name in ("mlqa_r", "xquad_r") for setting in SETTINGS]
    assert [line["query"]["summaryTable"]["tableKey"] for line in lines] == keys
    assert {line["chart_name"] for line in lines} == {"wandb/lineseries/v0"}
    assert lines[0]["chart_fields"] == {"step": "ratio", "lineKey": "size", "lineVal": "mean"}
    rows = dashboard.grid_tables(read_sweep(sweep))["grid/mlqa_r/mono"]
    assert rows[:2] == [
        ["small", 0.0, *map(pytest.approx, (0.47, 0.46, 0.48)), 2],
        ["small", 0.25, *map(pytest.approx, (0.5, 0.49, 0.51)), 2],
    ]
    assert [row[0] for row in rows[::4]] == ["small", "base", "large"]
    assert rows[-1][1:] == [1.0, *[pytest.approx(0.66)] * 3, 1]


def test_the_run_table_has_the_runs_of_the_sweep_and_the_columns_that_compare_them(spec):
    runs = spec["workspace"]["runset_settings"]
    assert runs["filters"] == "Metric(\"Group\") == 'demo'"
    assert runs["pinned_columns"] == [
        "run:displayName", "config:model.value.name", "config:batching.value.monolingual_ratio", "config:seed.value",
        *(f"summary:eval/{b}/{s}/map" for b in ("mlqa_r", "xquad_r") for s in SETTINGS),
        *(f"summary:eval/{b}/multi/rank_distance" for b in ("mlqa_r", "xquad_r")),
        "summary:training/final_loss", "summary:seconds/train",
    ]  # fmt: skip


def test_the_report_compares_the_sizes_as_sets_of_runs(spec):
    grids = [block for block in spec["report"]["blocks"] if block["kind"] == "PanelGrid"]
    names = [[runs["name"] for runs in grid["runsets"]] for grid in grids]
    assert names.count(list(SIZES)) == 6
    assert names.count(["all runs"]) == len(grids) - 6
    assert "Config('model.name') = 'base'" in grids[1]["runsets"][1]["filters"]


@pytest.mark.usefixtures("_blank_picture")
def test_both_are_sent_and_the_next_call_updates_them(server, options):
    config = DashboardConfig(**options)
    urls = dashboard.show(config)
    first = {key: dict(view) for key, view in server.views.items()}
    for view in server.views.values():
        view["displayName"] = "old"
    assert dashboard.show(config) == urls
    wandb.teardown()
    (run,) = server.runs.values()
    assert sorted(view["type"] for view in server.views.values()) == ["project-view", "runs"]
    assert [view["displayName"] for view in server.views.values()] == ["Sweep demo", "Sweep demo"]
    assert list(server.views) == list(first)
    assert (run.upsert["groupName"], run.upsert["jobType"]) == ("demo", "grid")
    assert run.summary["grid/mlqa_r_map_grid"]["_type"] == "image-file"
    assert run.summary["grid/mlqa_r/cross"]["nrows"] == 12
    assert all(f"/{ENTITY}/mixlingual" in url for url in urls.values())


@pytest.mark.usefixtures("_blank_picture")
def test_what_keeps_it_from_the_server_is_a_message(options, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(MixlingualError, match="WANDB_MODE=disabled keeps the dashboard from W&B; unset it"):
        dashboard.show(DashboardConfig(**options))
    wandb.teardown()
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(client, "INIT_SECONDS", 0.5)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.raises(MixlingualError, match=r"W&B did not take the dashboard \(CommError: (.|\n)*dry_run=FILE"):
        dashboard.show(DashboardConfig(**options))


def test_without_results_the_command_says_so(tmp_path):
    folder = without_results(write_sweep(tmp_path / "multirun"))
    done = subprocess.run(
        [sys.executable, "-m", "mixlingual.dashboard", "sweep_name=demo"],
        cwd=folder.parents[1], env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is evaluated yet; wait for the first result" in done.stderr
    assert "Traceback" not in done.stderr
