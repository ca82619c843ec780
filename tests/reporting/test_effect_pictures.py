"""The pictures of the differences show the numbers of the analysis, and tell cells of other seeds apart."""

import shutil

import pytest
from scored_sweep import write_scored_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.analysis.tables.grid import grid_axes
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.effect_pictures import effect_pictures
from mixlingual.reporting.effects import effect_charts


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = write_scored_sweep(tmp_path_factory.mktemp("multirun"), seeds=2, ratios=(0.0, 0.5, 1.0))
    shutil.rmtree(folder / "large_r1_s1")
    shutil.rmtree(folder / "base_r0.5_s0")
    shutil.rmtree(folder / "base_r0.5_s1")
    return read_sweep(folder)


@pytest.fixture(scope="module")
def estimates(sweep):
    return analyse(sweep, AnalysisConfig(draws=1000, smallest_effect={"map": 0.01}))


@pytest.fixture(scope="module")
def drawn(sweep, estimates):
    return {picture.name: picture for picture in effect_pictures(estimates, grid_axes(sweep), complete=True)}


def family(estimates, setting="mono", measure="map"):
    return next(f for f in estimates.effects if (f.setting, f.measure, f.reference) == (setting, measure, "ratio 0"))


def shown(panel):
    """(place, value) of each mark -> whether it is hollow."""
    marks = [line for line in panel.lines if line.get_marker() not in ("None", "")]
    return {(m.get_xdata()[0], round(m.get_ydata()[0], 6)): m.get_markerfacecolor() == "white" for m in marks}


def test_marks_are_the_differences_and_hollow_where_seeds_are_fewer(drawn, estimates):
    panel = drawn["effect"].figure.axes[0]
    expected = {(e.ratio, round(e.estimate.value, 6)): e.seeds == 1 for e in family(estimates).effects}
    assert sum(expected.values()) == 1
    assert shown(panel) == expected | {(0.0, 0.0): False}
    by_size = drawn["effect_by_size"].figure.axes[0]
    weights = estimates.weights
    assert [label.get_text() for label in by_size.get_xticklabels()] == ["21M", "85M", "302M"]
    assert shown(by_size) == {
        (weights[e.model], round(e.estimate.value, 6)): e.seeds == 1 for e in family(estimates).effects
    }


def test_bands_are_those_that_hold_together(drawn, estimates):
    panel = drawn["effect"].figure.axes[0]
    ends = {round(float(y), 6) for band in panel.collections for y in band.get_paths()[0].vertices[:, 1]}
    for each in family(estimates).effects:
        assert {round(each.estimate.low_all, 6), round(each.estimate.high_all, 6)} <= ends


def test_zero_is_marked_and_what_is_too_small_to_matter(drawn):
    first, *_, last = drawn["effect"].figure.axes
    assert any(list(line.get_ydata()) == [0, 0] for line in first.lines)
    assert [round(patch.get_height(), 6) for patch in first.patches] == [0.02]
    assert last.get_title().startswith("mlqa_r, rank distance")
    assert not last.patches, "none was declared for ranks"


def test_maps_hold_values_and_signs_of_verdicts(drawn, estimates, sweep):
    panel = drawn["effect_map"].figure.axes[0]
    (cells,) = [stamps for stamps in panel.collections if stamps.get_array() is not None]
    values = {round(each.estimate.value, 6) for each in family(estimates).effects}
    assert {round(float(value), 6) for value in cells.get_array()} == values | {0.0}
    signs = {"better": "+", "worse": "\N{MINUS SIGN}", "as good": "=", "undecided": "?"}
    own = family(estimates).effects
    expected = sorted(signs[estimates.verdict("map", each.estimate)] for each in own)
    assert sorted(text.get_text() for text in panel.texts) == expected
    unknown = {p.name: p for p in effect_pictures(estimates, grid_axes(sweep), complete=False)}["effect_map"]
    assert {text.get_text() for text in unknown.figure.axes[0].texts} == {""}


def test_the_page_gets_the_numbers_of_the_analysis(sweep, estimates):
    axes = grid_axes(sweep)
    families = effect_charts(sweep, estimates, axes)["mlqa_r"]
    assert len(families) == len(estimates.effects)
    first, own = families[0], estimates.effects[0]
    assert [cell["value"] for cell in first["cells"]] == pytest.approx(
        [e.estimate.value for e in own.effects], rel=1e-6
    )
    assert [cell["low_all"] for cell in first["cells"]] == pytest.approx(
        [e.estimate.low_all for e in own.effects], rel=1e-6
    )
    assert {cell["verdict"] for cell in first["cells"]} == {None}, "runs that were planned are missing"
    assert first["at"] == {0: 0.0, 1: 0.0, 2: 0.0}


def test_a_sweep_without_differences_has_no_pictures(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=(0.5,))
    found = read_sweep(folder)
    assert effect_pictures(analyse(found, AnalysisConfig(draws=1000)), grid_axes(found), complete=True) == []
