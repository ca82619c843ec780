"""Learning curves in the report: from results and from runs that still train, a panel for each size and setting."""

import base64

import pandas as pd
import pytest
from sweep_fixture import SEEDS, result, run_name, write_done, write_plan, write_status, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.grid import grid_axes
from mixlingual.analysis.tables.learning import learning_table
from mixlingual.reporting.learning import learning_pictures
from mixlingual.reporting.write import write_report

PAIRS = (0, 1600, 3200)
WARNING = "The development set <dev> is in en alone: what is chosen by it favours that language."


def points(ratio, seed):
    """mono is 0.1 above multi, which grows by 0.1 a step from the ratio on; seed 1 is 0.02 above seed 0."""
    return [
        {
            "step": step,
            "pairs": pairs,
            "seconds": 1.0,
            "value": 0.5,
            "<dev>/loss": 3.0 - step,
            "<dev>/loss_mono": 2.0 - step,
            "<dev>/pool_loss": 5.0 - step,
            "<dev>/pool_loss_mono": 4.0 - step,
            "<dev>/mono/map": 0.1 + 0.1 * step + 0.1 * ratio + 0.02 * seed,
            "<dev>/multi/map": 0.1 * step + 0.1 * ratio + 0.02 * seed,
            "<dev>/multi/rank_distance": 90.0,
            "judged/mono/ndcg@10": 0.25,
        }
        for step, pairs in enumerate(PAIRS)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two ratios of small are done; base is still training and has the first two points."""
    folder = tmp_path_factory.mktemp("multirun") / "demo"
    write_plan(folder)
    for ratio in (0.0, 1.0):
        for seed in SEEDS:
            validation = {"points": points(ratio, seed), "warnings": [WARNING]}
            write_done(folder, result("small", ratio, seed) | {"validation": validation})
    run = folder / run_name("base", 0.5, 0)
    write_status(run, "started")
    table = pd.DataFrame(points(0.5, 0)[:2])
    table.to_csv(run / "validation.csv", index=False)
    return folder


def test_the_table_holds_every_figure_of_every_run(folder):
    table = learning_table(read_sweep(folder))
    assert set(table.run) == {run_name("small", r, s) for r in (0.0, 1.0) for s in SEEDS} | {run_name("base", 0.5, 0)}
    own = table[(table.run == run_name("small", 1.0, 1)) & (table.step == 2)].set_index(["set", "setting", "measure"])
    assert own.value.to_dict() == {
        ("<dev>", "all", "loss"): 1.0,
        ("<dev>", "mono", "loss"): 0.0,
        ("<dev>", "all", "pool_loss"): 3.0,
        ("<dev>", "mono", "pool_loss"): 2.0,
        ("<dev>", "mono", "map"): pytest.approx(0.42),
        ("<dev>", "multi", "map"): pytest.approx(0.32),
        ("<dev>", "multi", "rank_distance"): 90.0,
        ("judged", "mono", "ndcg@10"): 0.25,
    }
    assert set(own.pairs) == {3200}
    assert table[table.model == "base"].pairs.max() == 1600


def test_a_panel_for_each_size_and_curve_and_a_line_for_each_ratio(folder):
    sweep = read_sweep(folder)
    pictures = {picture.name: picture for picture in learning_pictures(learning_table(sweep), grid_axes(sweep))}
    assert list(pictures) == ["_dev__learning", "judged_learning"]
    panels = pictures["_dev__learning"].figure.axes
    titles = [panel.get_title() for panel in panels]
    assert len(panels) == 2 * 3
    assert [title.partition("\n")[0] for title in titles] == ["small (21M)"] * 3 + ["base"] * 3
    multi = panels[2]
    lines = {tuple(line.get_xdata()): line.get_ydata().tolist() for line in multi.lines if line.get_ydata()[0] == 0.01}
    assert lines == {PAIRS: pytest.approx([0.01, 0.11, 0.21])}, "the mean of both seeds at ratio 0"
    assert len(multi.lines) == 2
    assert "small, " in pictures["_dev__learning"].alt
    assert len(pictures["judged_learning"].figure.axes) == 2


def test_the_page_carries_the_picture_and_links_its_values(folder):
    paths = write_report(read_sweep(folder), folder / "report")
    page = paths.page.read_text(encoding="utf-8")
    svg = (paths.page.parent / "figures/_dev__learning.svg").read_bytes()
    assert f'src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"' in page
    assert '<a href="learning.csv">' in page
    assert "The development set &lt;dev&gt; is in en alone" in page
    assert "<dev>" not in page.replace(base64.b64encode(svg).decode(), "")
    table = pd.read_csv(paths.page.parent / "learning.csv")
    assert len(table) == len(learning_table(read_sweep(folder)))
    assert not [path for path in paths.page.parent.rglob("*") if path.name.startswith("statistics_gaps")] or (
        "earning" not in (paths.page.parent / "statistics_gaps.csv").read_text()
    )


def test_without_validation_there_is_no_section_and_no_file(tmp_path):
    folder = write_sweep(tmp_path, languages={"mlqa_r": ["ar", "de"]})
    (folder / "report").mkdir()
    (folder / "report/learning.csv").write_text("of an earlier report")
    paths = write_report(read_sweep(folder), folder / "report")
    assert 'id="learning"' not in paths.page.read_text(encoding="utf-8")
    assert not (folder / "report/learning.csv").exists()
