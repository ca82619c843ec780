from collections import Counter

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from sweep_fixture import result, write_done, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.grid import grid_axes, languages_table, results_table
from mixlingual.reporting.figures import pictures, write_picture


def pictures_of(folder, benchmark="mlqa_r"):
    sweep = read_sweep(folder)
    drawn = pictures(results_table(sweep), languages_table(sweep), grid_axes(sweep), benchmark)
    return {picture.name.removeprefix(f"{benchmark}_"): picture for picture in drawn}


@pytest.fixture(scope="module")
def sweep_folder(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("multirun"))
    for path in folder.glob("large_r1_*/result.json"):
        path.unlink()
    return folder


@pytest.fixture(scope="module")
def drawn(sweep_folder):
    return pictures_of(sweep_folder)


def values(panel):
    """What the cells with a value say, by colour, rounded as they show it."""
    (cells,) = [stamps for stamps in panel.collections if stamps.get_array() is not None]
    return cells.get_array().round(4).tolist()


def letters(panel):
    """Letters of the numbers in cells, each with how often it is written."""
    found = {stamps.get_label(): len(stamps.get_offsets()) for stamps in panel.collections}
    return {letter: count for letter, count in found.items() if len(letter) == 1}


def cells(panel, *, hatched=False):
    """The corners (x, y) of cells: of those with a value, or of the hatched ones."""
    shown = [s for s in panel.collections if (bool(s.get_hatch()) if hatched else s.get_array() is not None)]
    return [tuple(corner) for stamps in shown for corner in stamps.get_offsets().tolist()]


def test_a_benchmark_has_four_pictures(drawn):
    assert list(drawn) == ["map_grid", "map_lines", "rank_distance", "languages"]
    assert all("mlqa_r" in picture.title and picture.caption and picture.alt for picture in drawn.values())


def test_the_grid_writes_means_and_frames_the_best(drawn):
    mono, cross, multi = drawn["map_grid"].figure.axes
    assert [panel.get_title() for panel in (mono, cross, multi)] == [
        "monolingual mAP",
        "cross-lingual mAP",
        "multilingual mAP",
    ]
    assert values(mono) == [0.47, 0.5, 0.51, 0.47, 0.57, 0.6, 0.61, 0.57, 0.66, 0.69, 0.7]
    assert letters(mono) == Counter("0.4700.5000.5100.4700.5700.6000.6100.5700.6600.6900.700")
    assert values(multi)[2] == 0.31
    assert [label.get_text() for label in mono.get_xticklabels()] == ["0", "0.25", "0.5", "1"]
    assert [label.get_text() for label in mono.get_yticklabels()] == ["small (21M)", "base (85M)", "large (302M)"]
    frames = [patch for patch in mono.patches if isinstance(patch, Rectangle)]
    assert [(int(frame.get_x()), int(frame.get_y())) for frame in frames] == [(2, 0), (2, 1)], "large has one seed"
    assert len(cells(mono)) == 11
    assert cells(mono, hatched=True) == [(3, 2)], "large has no finished run at ratio 1"


def test_lines_are_means_and_markers_are_seeds(drawn):
    mono = drawn["map_lines"].figure.axes[0]
    lines = [line for line in mono.lines if line.get_linestyle() == "-"]
    seeds = [line for line in mono.lines if line.get_linestyle() == "None"]
    assert len(lines) == len(seeds) == 3
    np.testing.assert_allclose(lines[0].get_xydata(), [[0, 0.47], [0.25, 0.5], [0.5, 0.51], [1, 0.47]])
    assert len(seeds[0].get_xdata()) == 8
    assert len(seeds[2].get_xdata()) == 3
    assert len({line.get_marker() for line in seeds}) == 3
    assert mono.get_ylabel() == "mAP\n(higher is better)"
    assert mono.get_xlabel() == "monolingual ratio α"
    assert [text.get_text() for text in drawn["map_lines"].figure.legends[0].get_texts()] == [
        "small (21M)", "base (85M)", "large (302M)",
    ]  # fmt: skip


def test_rank_distance_is_drawn_as_mean_and_median(drawn):
    mean, median = drawn["rank_distance"].figure.axes
    assert mean.get_ylabel() == "rank distance\n(ranks; lower is less biased)"
    np.testing.assert_allclose(mean.lines[0].get_ydata(), [101, 111, 121, 141])
    np.testing.assert_allclose(median.lines[0].get_ydata(), [50.5, 55.5, 60.5, 70.5])


def test_language_maps_show_three_ratios_of_each_size(drawn):
    panel = drawn["languages"].figure.axes[0]
    assert [text.get_text() for text in panel.texts] == [
        "small, α = 0", "small, α = 0.5", "small, α = 1", "base, α = 0", "base, α = 0.5", "base, α = 1",
        "large, α = 0", "large, α = 0.25", "large, α = 0.5",
    ]  # fmt: skip
    for axis in (panel.yaxis, panel.xaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == ["de", "en", "ar"] * 3
    assert len(set(cells(panel))) == 9 * 9, "no map covers another"
    # small at 0.5, mean of two seeds; rows de, en, ar
    assert [f"{value:.0f}" for value in values(panel)[9:18]] == ["50", "40", "40", "39", "49", "39", "41", "41", "51"]
    assert sum(letters(panel).values()) == 2 * 9 * 9


def test_alternative_texts_name_the_best(drawn):
    assert "Best monolingual mAP: small at 0.5 (0.5100), base at 0.5 (0.6100)." in drawn["map_grid"].alt
    assert "Best multilingual rank distance: small at 0 (101.0), " in drawn["rank_distance"].alt
    assert "(n = 1 to 2)" in drawn["map_lines"].caption


def test_other_kinds_of_batches_are_marked_apart(tmp_path):
    for ratio in (0.0, 1.0):
        write_done(tmp_path / "s", result("small", ratio, 0))
    write_done(tmp_path / "s", result("small", 1.0, 0, batching="x_x") | {"run_name": "pure"})
    drawn = pictures_of(tmp_path / "s")
    legend = [text.get_text() for text in drawn["map_lines"].figure.legends[0].get_texts()]
    assert legend == ["small (21M)", "hybrid", "x_x"]
    lefts = [x for x, _ in cells(drawn["map_grid"].figure.axes[0])]
    assert lefts == [0, 1, 2.2], "a gap before the other series"


def test_one_run_with_a_partial_benchmark_is_drawn(tmp_path):
    content = result("$x^2$", 0.5, 0) | {"run_name": "r"}
    content["benchmarks"] = {"mlqa_r": {"mono": {"map": 0.5}}}
    write_done(tmp_path / "s", content)
    for picture in pictures_of(tmp_path / "s").values():
        assert write_picture(picture, tmp_path).stat().st_size > 0


def test_files_repeat_bit_for_bit_and_leave_matplotlib_as_it_was(sweep_folder, tmp_path):
    before = [mpl.rcParams[key] for key in ("font.size", "svg.hashsalt", "text.parse_math")]
    for out in ("a", "b"):
        for kind in ("svg", "png"):
            write_picture(pictures_of(sweep_folder)["map_grid"], tmp_path / out, kind)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["mlqa_r_map_grid.png", "mlqa_r_map_grid.svg"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    assert [mpl.rcParams[key] for key in ("font.size", "svg.hashsalt", "text.parse_math")] == before
