import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_fixture import SIZES, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.config.schema import DashboardConfig

wandb = pytest.importorskip("wandb")
pytest.importorskip("wandb_workspaces")

from mixlingual import dashboard  # noqa: E402

from .tracking.wandb_server import ENTITY, serving  # noqa: E402


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "multirun")


@pytest.fixture
def spec(sweep, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    file = sweep.parent / "spec.json"
    dashboard.dashboard(DashboardConfig(sweep_name="demo", root=str(sweep.parent), dry_run=str(file)))
    return json.loads(file.read_text())


def values(node, key):
    """Every value of `key` anywhere in nested JSON."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    found = [node[key]] if isinstance(node, dict) and key in node else []
    return found + [value for child in children for value in values(child, key)]


def test_the_workspace_shows_each_benchmark_by_size_and_ratio(spec):
    section = spec["workspace"]["spec"]["section"]
    titles = [part["name"] for part in section["panelBankConfig"]["sections"]]
    parts = ("size x ratio", "mAP against the ratio", "language bias against the ratio")
    more = ("monolingual against cross-lingual", "languages")
    assert titles == [
        *(f"{name}: {part}" for name in ("mlqa_r", "xquad_r") for part in (*parts, *more)), "Tables", "Training",
    ]  # fmt: skip
    scatter = [panel["config"] for panel in _panels(section) if panel["viewType"] == "Scatter Plot"]
    drawn = {(panel["xAxis"], panel["yAxis"]) for panel in scatter}
    ratio, scores = "config:batching.value.monolingual_ratio", "summary:eval/mlqa_r"
    assert {(ratio, f"{scores}/{setting}/map") for setting in ("mono", "cross", "multi")} <= drawn
    assert {(ratio, f"{scores}/multi/rank_distance"), (f"{scores}/mono/map", f"{scores}/cross/map")} <= drawn
    bars = [panel["config"] for panel in _panels(section) if panel["viewType"] == "Bar Chart"]
    assert {bar["groupBy"] for bar in bars} == {"batching.value.monolingual_ratio"}
    media = [key for keys in values(section, "mediaKeys") for key in keys]
    assert {"grid/mlqa_r_map_grid", "grid/mlqa_r_rank_distance", "eval/mlqa_r/languages"} <= set(media)


def test_lines_are_drawn_from_the_tables_of_the_grid(spec, sweep):
    section = spec["workspace"]["spec"]["section"]
    lines = [panel["config"] for panel in _panels(section) if panel["viewType"] == "Vega2"]
    assert [line["panelDefId"] for line in lines] == ["wandb/lineseries/v0"] * 6
    assert lines[0]["fieldSettings"] == {"step": "ratio", "lineKey": "size", "lineVal": "mean"}
    keys = [value for line in lines for value in values(line, "value") if str(value).startswith("grid/")]
    assert keys == [
        f"grid/{name}/{setting}" for name in ("mlqa_r", "xquad_r") for setting in ("mono", "cross", "multi")
    ]
    rows = dashboard.grid_tables(read_sweep(sweep))["mlqa_r"]["mono"]
    assert rows[:2] == [
        ["small", 0.0, *map(pytest.approx, (0.47, 0.46, 0.48)), 2],
        ["small", 0.25, *map(pytest.approx, (0.5, 0.49, 0.51)), 2],
    ]
    assert [row[0] for row in rows[::4]] == ["small", "base", "large"]
    assert rows[-1][1:] == [1.0, *[pytest.approx(0.66)] * 3, 1]


def _panels(section):
    return [panel for part in section["panelBankConfig"]["sections"] for panel in part["panels"]]


def test_the_run_table_has_the_runs_of_the_sweep_and_the_columns_that_compare_them(spec):
    (runs,) = spec["workspace"]["spec"]["section"]["runSets"]
    (rule,) = runs["filters"]["filters"]
    assert (rule["key"]["name"], rule["op"], rule["value"]) == ("group", "=", "demo")
    assert runs["runFeed"]["columnOrder"] == [
        "run:displayName", "config:model.value.name", "config:batching.value.monolingual_ratio", "config:seed.value",
        *(f"summary:eval/{b}/{s}/map" for b in ("mlqa_r", "xquad_r") for s in ("mono", "cross", "multi")),
        *(f"summary:eval/{b}/multi/rank_distance" for b in ("mlqa_r", "xquad_r")),
        "summary:training/final_loss", "summary:seconds/train",
    ]  # fmt: skip


def test_the_report_compares_the_sizes_as_sets_of_runs(spec):
    grids = [block for block in spec["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    names = [[runs["name"] for runs in grid["metadata"]["runSets"]] for grid in grids]
    assert names.count(list(SIZES)) == 6
    assert names.count(["all runs"]) == len(grids) - 6
    assert '"value": "base"' in json.dumps(grids[1]["metadata"]["runSets"][1]["filters"])


def test_both_are_sent_and_the_next_call_updates_them(sweep, tmp_path, monkeypatch, capsys):
    for name in ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    config = DashboardConfig(sweep_name="demo", root=str(sweep.parent), entity=ENTITY)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "deadbeef")
        dashboard.dashboard(config)
        first = dict(server.views)
        dashboard.dashboard(config)
        wandb.teardown()
        (run,) = server.runs.values()
    assert [view["displayName"] for view in first.values()] == ["Sweep demo", "Sweep demo"]
    assert sorted(view["type"] for view in first.values()) == ["project-view", "runs"]
    assert list(server.views) == list(first)
    assert (run.upsert["groupName"], run.upsert["jobType"]) == ("demo", "grid")
    assert run.summary["grid/mlqa_r_map_grid"]["_type"] == "image-file"
    assert run.summary["grid/mlqa_r/cross"]["nrows"] == 12
    assert capsys.readouterr().out.count("workspace: http") == 2


def test_without_results_or_server_there_is_a_message(sweep, monkeypatch, tmp_path):
    command = [sys.executable, "-m", "mixlingual.dashboard", "sweep_name=demo"]
    environment = os.environ | {
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_API_KEY": "0" * 40,
        "HOME": str(tmp_path),
    }
    refused = subprocess.run(
        command, cwd=sweep.parents[1], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "W&B did not take the dashboard (" in refused.stderr
    assert "dry_run=FILE" in refused.stderr
    assert "Traceback" not in refused.stderr
    for path in Path(sweep).glob("*/result.json"):
        path.unlink()
    waiting = subprocess.run(command, cwd=sweep.parents[1], capture_output=True, text=True, check=False)
    assert (waiting.returncode, "is evaluated yet" in waiting.stderr) == (1, True)
