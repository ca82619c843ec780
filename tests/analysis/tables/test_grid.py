import shutil
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sweep_fixture import LANGUAGES, mono_map, result, run_name, without_results, write_done, write_plan, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.grid import (
    Point,
    benchmarks,
    grid_axes,
    language_grid,
    languages_table,
    results_table,
    size_by_ratio,
    usual_seeds,
)

RATIO_POINTS = tuple(Point("hybrid", ratio) for ratio in (0.0, 0.25, 0.5, 1.0))


@pytest.fixture
def folder(tmp_path):
    return write_sweep(tmp_path)


def grid_of(folder, *which):
    sweep = read_sweep(folder)
    return size_by_ratio(results_table(sweep), grid_axes(sweep), *which)


def test_results_are_tidy(folder):
    table = results_table(read_sweep(folder))
    metrics = 3 * 3 + 3 + 3  # three scores in each of three settings, three rank distances, three figures of bias
    assert len(table) == 20 * len(LANGUAGES) * metrics
    row = table[(table.run == "base_r0.25_s1") & (table.benchmark == "mlqa_r") & (table.metric == "map")]
    assert row[["series", "model", "non_embedding", "ratio", "seed"]].drop_duplicates().to_numpy().tolist() == [
        ["hybrid", "base", 85_000_000, 0.25, 1]
    ]
    assert dict(zip(row.setting, row.value.round(6), strict=True)) == {"mono": 0.61, "cross": 0.51, "multi": 0.41}
    bias = table[(table.run == "base_r0.25_s1") & (table.benchmark == "mlqa_r") & (table.setting == "bias")]
    assert dict(zip(bias.metric, bias.value.round(6), strict=True)) == {
        "lift@10.diagonal_preference": 0.85, "concordance.w": 0.225, "concordance.chance": 0.01,
    }  # fmt: skip


def test_axes_hold_all_planned_runs_by_weights(folder):
    axes = grid_axes(read_sweep(folder))
    assert list(axes.sizes.items()) == [("small", 21_000_000), ("base", 85_000_000), ("large", 302_000_000)]
    assert axes.points == RATIO_POINTS


def test_sizes_without_results_come_last(folder):
    for path in folder.glob("small_*/result.json"):
        path.unlink()
    axes = grid_axes(read_sweep(folder))
    assert list(axes.sizes.items()) == [("base", 85_000_000), ("large", 302_000_000), ("small", None)]


def test_means_over_seeds(folder):
    grid = grid_of(folder, "mlqa_r", "mono", "map")
    # small: 0.5 - 0.16 (ratio - 0.5)^2, and 0.02 more for seed 1; of large only seed 0 is done
    expected = [[0.47, 0.5, 0.51, 0.47], [0.57, 0.6, 0.61, 0.57], [0.66, 0.69, 0.7, 0.66]]
    np.testing.assert_allclose(grid.mean.to_numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(grid.low.loc["small"], [0.46, 0.49, 0.5, 0.46], rtol=1e-12)
    np.testing.assert_allclose(grid.high.loc["small"], [0.48, 0.51, 0.52, 0.48], rtol=1e-12)
    assert grid.seeds.to_numpy().tolist() == [[2] * 4, [2] * 4, [1] * 4]
    assert len(grid.values) == 20


def test_a_second_run_of_a_grid_point_does_not_count(folder):
    content = result("small", 0.5, 0) | {"run_name": "again"}
    content["benchmarks"]["mlqa_r"]["mono"]["map"] = 0.6
    write_done(folder, content)
    grid = grid_of(folder, "mlqa_r", "mono", "map")
    assert grid.mean.loc["small", ("hybrid", 0.5)] == pytest.approx(0.51), "seed 0: 0.5, seed 1: 0.52"
    assert grid.seeds.loc["small", ("hybrid", 0.5)] == 2


def test_the_best_is_the_largest_map_and_the_smallest_distance(folder):
    assert grid_of(folder, "mlqa_r", "mono", "map").best(4).to_numpy().tolist() == [
        *[[False, False, True, False]] * 2, [False] * 4,
    ], "large has fewer seeds than most"  # fmt: skip
    distance = grid_of(folder, "mlqa_r", "multi", "rank_distance")
    assert distance.mean.loc["base"].tolist() == [91.0, 101.0, 111.0, 131.0]
    assert distance.best(4).to_numpy().tolist() == [[True, False, False, False]] * 2 + [[False] * 4]


@pytest.mark.parametrize(
    ("counts", "usual"), [([3, 3, 1], 3), ([1, 1, 3], 1), ([1, 3], 3), ([0, 0, 2], 2), ([0], 0), ([], 0)]
)
def test_the_usual_number_of_seeds_is_the_most_frequent(counts, usual):
    assert usual_seeds(counts) == usual


def test_means_that_look_equal_are_all_best(tmp_path):
    for ratio, value in ((0.0, 0.51234), (0.5, 0.51231), (1.0, 0.5122)):
        content = result("small", ratio, 0)
        content["benchmarks"]["mlqa_r"]["mono"]["map"] = value
        write_done(tmp_path / "s", content)
    assert grid_of(tmp_path / "s", "mlqa_r", "mono", "map").best(4).to_numpy().tolist() == [[True, True, False]]


def test_a_single_ratio_is_not_best(tmp_path):
    write_done(tmp_path / "s", result("small", 0.5, 0))
    assert not grid_of(tmp_path / "s", "mlqa_r", "mono", "map").best(4).to_numpy().any()


def test_other_kinds_of_batches_have_columns_of_their_own(folder):
    write_done(folder, result("small", 1.0, 0, batching="x_x") | {"run_name": "pure"})
    grid = grid_of(folder, "mlqa_r", "mono", "map")
    assert grid.mean.columns.tolist() == [*RATIO_POINTS, ("x_x", 1.0)]
    assert grid.mean.loc["small"].round(6).tolist() == [0.47, 0.5, 0.51, 0.47, 0.46]
    assert grid.seeds.loc["small"].tolist() == [2, 2, 2, 2, 1]
    assert grid.best(4).loc["small"].tolist() == [False, False, True, False, False]
    assert [point.label for point in grid_axes(read_sweep(folder)).points] == ["0", "0.25", "0.5", "1", "x_x 1"]


def test_variants_replace_the_series_they_split(tmp_path):
    folder = tmp_path / "s"
    write_plan(folder)
    write_done(folder, result("small", 0.5, 0))
    wide = result("small", 0.5, 1)
    wide["config"]["batching"]["batch_size"] = 128
    write_done(folder, wide)
    narrow = result("small", 0.5, 2)
    narrow["config"]["batching"]["batch_size"] = 32
    points = grid_axes(read_sweep(folder)).points
    assert {p.series for p in points} == {"hybrid", "hybrid, batching.batch_size=128"}, "64 is the default"
    write_done(folder, narrow)
    shutil.rmtree(folder / run_name("small", 0.5, 0))
    points = grid_axes(read_sweep(folder)).points
    assert points == (Point("hybrid, batching.batch_size=32", 0.5), Point("hybrid, batching.batch_size=128", 0.5))


def test_what_a_run_lacks_is_blank(folder):
    content = result("small", 0.0, 0)
    del content["benchmarks"]["xquad_r"]
    content["benchmarks"]["mlqa_r"]["mono"]["map"] = None
    del content["benchmarks"]["mlqa_r"]["cross"]
    write_done(folder, content)
    table = results_table(read_sweep(folder))
    assert benchmarks(table) == ["mlqa_r", "xquad_r"]
    mine = table[table.run == run_name("small", 0.0, 0)]
    assert set(mine.benchmark) == {"mlqa_r"}
    assert mine[mine.setting == "mono"].metric.tolist() == ["r@1", "r@10"]
    assert "cross" not in set(mine.setting)
    grid = grid_of(folder, "xquad_r", "mono", "map")
    assert grid.seeds.loc["small"].tolist() == [1, 2, 2, 2]
    assert grid.mean.loc["small", ("hybrid", 0.0)] == mono_map("small", 0.0, 1)


def test_nothing_done_gives_blank_grids(folder):
    grid = grid_of(without_results(folder), "mlqa_r", "mono", "map")
    assert grid.mean.shape == (3, 4)
    assert grid.mean.isna().all(axis=None)
    assert not grid.seeds.any(axis=None)
    assert not grid.best(4).any(axis=None)


def test_scores_by_language(folder):
    table = languages_table(read_sweep(folder))
    run = table[(table.run == "small_r0.5_s0") & (table.benchmark == "mlqa_r") & (table.metric == "map")]
    found = run.set_index(["setting", "query_language", "candidate_language"]).value.round(6).to_dict()
    assert len(found) == 3 + 6 + 3
    assert found["mono", "de", "de"] == 0.49
    assert found["cross", "de", "ar"] == 0.39
    assert found["cross", "ar", "de"] == 0.399
    assert found["multi", "en", "all"] == 0.28


def test_language_grid_joins_the_settings(folder):
    table = languages_table(read_sweep(folder))
    grid = language_grid(table, "mlqa_r", "small", Point("hybrid", 0.5))
    # means over the two seeds: 0.01 above seed 0
    expected = pd.DataFrame(
        [[0.51, 0.409, 0.408], [0.4, 0.5, 0.398], [0.39, 0.389, 0.49]],
        index=["ar", "de", "en"],
        columns=["ar", "de", "en"],
    )
    np.testing.assert_allclose(grid.loc[expected.index, expected.columns], expected, rtol=1e-12)


def test_language_codes_may_hold_hyphens(tmp_path):
    write_done(tmp_path / "s", result("small", 0.5, 0, languages={"atlas": ["zh", "zh-Hant", "pt-BR"]}))
    table = languages_table(read_sweep(tmp_path / "s"))
    cross = table[(table.setting == "cross") & (table.metric == "map")]
    pairs = set(zip(cross.query_language, cross.candidate_language, strict=True))
    assert pairs == set(permutations(["zh", "zh-Hant", "pt-BR"], 2))


def test_no_value_is_best_where_neither_direction_is_better(tmp_path):
    for ratio in (0.0, 1.0):
        content = result("small", ratio, 0)
        content["benchmarks"]["mlqa_r"]["multi"]["delta_ap_own"] = 0.1 + ratio
        write_done(tmp_path / "s", content)
    sweep = read_sweep(tmp_path / "s")
    results, axes = results_table(sweep), grid_axes(sweep)
    assert not size_by_ratio(results, axes, "mlqa_r", "multi", "delta_ap_own").best(4).to_numpy().any()
    assert size_by_ratio(results, axes, "mlqa_r", "bias", "concordance.w").best(4).to_numpy().tolist() == [
        [True, False]
    ]
