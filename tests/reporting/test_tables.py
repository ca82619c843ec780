import pandas as pd
import pytest
from sweep_fixture import result, without_results, write_done, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.grid import grid_axes, results_table, size_by_ratio
from mixlingual.reporting.labels import file_name, short_number
from mixlingual.reporting.tables import (
    Cell,
    all_tables,
    escaped,
    grid_markdown,
    grid_table,
    markdown,
    status_line,
    summary_markdown,
    write_tables,
)


@pytest.fixture
def folder(tmp_path):
    return write_sweep(tmp_path)


def table_of(folder, *which, spread=False):
    sweep = read_sweep(folder)
    axes = grid_axes(sweep)
    return grid_table(size_by_ratio(results_table(sweep), axes, *which), axes, spread=spread)


def test_a_grid_as_markdown(folder):
    assert markdown(table_of(folder, "mlqa_r", "mono", "map")) == (
        "**mlqa_r, monolingual: mAP (higher is better; mean of n = 2 seeds)**\n"
        "\n"
        "| size / ratio |            0 |         0.25 |          0.5 |            1 |\n"
        "| :----------- | -----------: | -----------: | -----------: | -----------: |\n"
        "| small (21M)  |       0.4700 |       0.5000 |   **0.5100** |       0.4700 |\n"
        "| base (85M)   |       0.5700 |       0.6000 |   **0.6100** |       0.5700 |\n"
        "| large (302M) | 0.6600 (n=1) | 0.6900 (n=1) | 0.7000 (n=1) | 0.6600 (n=1) |"
    )


def test_spread_is_the_smallest_and_largest_seed(folder):
    rows = table_of(folder, "mlqa_r", "multi", "rank_distance", spread=True).rows
    assert rows[0] == [
        Cell("small (21M)"),
        Cell("101.0 [100.0, 102.0]", best=True),
        Cell("111.0 [110.0, 112.0]"),
        Cell("121.0 [120.0, 122.0]"),
        Cell("141.0 [140.0, 142.0]"),
    ]
    assert rows[2][1] == Cell("80.0 (n=1)"), "it has fewer seeds than most cells"


def test_points_without_runs_are_blank(folder):
    for path in folder.glob("large_*/result.json"):
        path.unlink()
    assert table_of(folder, "mlqa_r", "mono", "map").rows[2] == [Cell("large"), *[Cell("-")] * 4]


def test_the_summary_states_what_is_missing(folder):
    sweep = read_sweep(folder)
    text = summary_markdown(sweep, results_table(sweep), grid_axes(sweep))
    assert text.startswith("# Sweep demo\n\n20 of 24 runs done, 1 planned, 1 silent, 1 failed, 1 unreadable.\n")
    assert text.endswith(
        "## Runs planned\n\n- large_r0.5_s1\n\n"
        "## Runs silent\n\n- large_r0.25_s1: there is no sign of life from process 1 on node1; it may be dead\n\n"
        "## Runs failed\n\n- large_r0_s1: CUDA out of memory\n\n"
        "## Runs unreadable\n\n- large_r1_s1: result.json is not JSON: Unterminated string starting at: "
        "line 1 column 15 (char 14); move the folder away and start the run again\n"
    )
    headings = [line for line in text.splitlines() if line.startswith("**")]
    assert [line.split(" (")[0] for line in headings] == [
        f"**{name}, {what}"
        for name in ("mlqa_r", "xquad_r")
        for what in ("monolingual: mAP", "cross-lingual: mAP", "multilingual: mAP", "multilingual: rank distance")
    ]
    assert text.isascii()


def test_an_empty_sweep_says_so(folder):
    sweep = read_sweep(without_results(folder))
    text = summary_markdown(sweep, results_table(sweep), grid_axes(sweep))
    assert "0 of 24 runs done, 24 planned." in text
    assert "No run has results yet, so there are no tables and pictures." in text
    assert "|" not in text


def test_a_finished_sweep_lists_no_runs(tmp_path):
    write_done(tmp_path / "s", result("small", 0.5, 0))
    sweep = read_sweep(tmp_path / "s")
    assert status_line(sweep) == "1 of 1 run done."
    assert "## Runs" not in summary_markdown(sweep, results_table(sweep), grid_axes(sweep))


def test_the_grid_file_holds_every_metric_there_is(folder):
    sweep = read_sweep(folder)
    results, axes = results_table(sweep), grid_axes(sweep)
    text = grid_markdown(all_tables(results, axes, "mlqa_r"), "mlqa_r")
    assert text.startswith("# mlqa_r\n\nMeans over seeds; brackets hold")
    assert text.count("| size / ratio") == 3 * 3 + 3 + 2
    assert "mlqa_r, language bias: agreement on a language order (W)" in text
    without = results[~results.metric.str.startswith("rank_distance") & (results.setting != "bias")]
    assert len(all_tables(without, axes, "mlqa_r")) == 9


def test_names_do_not_break_markdown(tmp_path):
    write_done(tmp_path / "s", result("a|b*<i>\n[x](y)_", 0.5, 0) | {"run_name": "r"})
    line = markdown(table_of(tmp_path / "s", "mlqa_r", "mono", "map")).splitlines()[-1]
    assert line == r"| a\|b\*\<i> [x\](y)\_ (1K) | 0.5000 |"


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999"), (1000, "1K"), (21_293_568, "21.3M"), (85_054_464, "85.1M"), (2.8324e9, "2.83B"), (999_900, "1M")],
)
def test_short_numbers(number, text):
    assert short_number(number) == text


def test_file_names_stay_in_their_folder():
    assert file_name("../mlqa r/<b>") == ".._mlqa_r__b_"
    assert "/" not in file_name("a/b")


def test_runs_that_were_not_evaluated_are_not_said_to_be_unfinished(tmp_path):
    write_done(tmp_path / "s", result("small", 0.5, 0, languages={"x": []}) | {"benchmarks": {}})
    sweep = read_sweep(tmp_path / "s")
    text = summary_markdown(sweep, results_table(sweep), grid_axes(sweep))
    assert "1 run is done and not evaluated (evaluation=none), so there are no tables and pictures." in text
    assert "No run has results yet" not in text


def test_signs_that_begin_no_markup_stay():
    assert escaped("p < 0.001 & x > 2, AT&T <b> &amp;") == r"p < 0.001 & x > 2, AT\&T \<b> \&amp;"


def test_no_spreadsheet_runs_a_cell(tmp_path):
    cells = ["=cmd()", "+1", "-x", "@SUM(A1)", "\t=1", "a=b", "", None]
    (file,) = write_tables({"x.csv": pd.DataFrame({"=name": cells, "number": -1.5})}, tmp_path)
    found = pd.read_csv(file, keep_default_na=False)
    assert list(found) == ["'=name", "number"]
    assert found["'=name"].tolist() == ["'=cmd()", "'+1", "'-x", "'@SUM(A1)", "'\t=1", "a=b", "", ""]
    assert found["number"].tolist() == [-1.5] * 8


def test_csv_and_text_files(folder, tmp_path):
    results = results_table(read_sweep(folder))
    files = write_tables({"results.csv": results, "a.md": "text é\n"}, tmp_path / "out")
    assert [file.name for file in files] == ["results.csv", "a.md"]
    pd.testing.assert_frame_equal(pd.read_csv(files[0]), results)
    assert files[1].read_text(encoding="utf-8") == "text é\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.md", "results.csv"]
