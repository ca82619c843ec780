"""Controls beside the ratio axis: found, paired by size, ratio and seed, and estimated where the truth is known."""

import json
from itertools import product

import numpy as np
import pytest
from scored_sweep import write_scored_sweep, write_variant
from sweep_fixture import SIZES, write_done

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.points import ZERO_SHOT
from mixlingual.analysis.statistics.controls import pairs_of
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.analysis.tables.grid import grid_axes, results_table, size_by_ratio
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.findings import findings, primary_findings
from mixlingual.reporting.lines import ratio_lines

QUICK = AnalysisConfig(draws=1000)
RATIOS = (0.0, 0.5, 1.0)
EFFECT = 0.02
MIXED = "hybrid, batching.monolingual_mixed=True"


def with_controls(root, seeds=3):
    """A grid; mixed languages at 0.5 that are better, X-X at 1 that is the same; baselines 0.2 below the grid."""
    folder = write_scored_sweep(root, seeds=seeds, ratios=RATIOS)
    for model in SIZES:
        for seed in range(seeds):
            write_variant(folder, model, 0.5, seed, EFFECT, monolingual_mixed=True)
            write_variant(folder, model, 1.0, seed, 0.0, batching="x_x", monolingual_mixed=True)
        write_variant(folder, model, 0.5, 0, -0.2, steps=0)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return with_controls(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture(scope="module")
def answer(folder):
    return analyse(read_sweep(folder), QUICK)


def paired(answer, kind, measure="map"):
    return [effect for effect in answer.paired if effect.kind == kind and effect.measure == measure]


def test_controls_leave_the_answer_of_the_grid_as_it_is(answer, tmp_path):
    """To the last digit: the questions that are drawn are the same."""
    alone = analyse(read_sweep(write_scored_sweep(tmp_path, seeds=3, ratios=RATIOS)), QUICK)
    assert [part.interaction for part in answer.measured] == [part.interaction for part in alone.measured]
    assert primary_findings(answer) == primary_findings(alone) != []


def test_a_control_is_paired_with_the_run_of_its_size_ratio_and_seed(folder):
    pairs = pairs_of(read_sweep(folder))
    mixed = [pair for pair in pairs.pairs if pair.kind == MIXED]
    assert sorted(pair.other for pair in mixed) == sorted(f"{m}_r0.5_s{s}" for m in SIZES for s in range(3))
    assert all(pair.run.split("_")[0] == pair.other.split("_")[0] for pair in mixed)
    assert pairs.differences == {
        MIXED: {"batching.monolingual_mixed": ("True", "False")},
        "x_x": {"batching.monolingual_mixed": ("True", "False")},
    }
    assert pairs.unmatched == {}


def test_the_effect_of_a_control_is_found_where_there_is_one(answer):
    for effect in paired(answer, MIXED):
        assert list(effect.sizes) == ["small", "base", "large"]
        assert effect.overall.low < EFFECT < effect.overall.high
        assert effect.overall.p < 0.01
        assert effect.overall.value == pytest.approx(sum(e.value for e in effect.sizes.values()) / 3)
    assert len(paired(answer, MIXED)) == 3
    for effect in paired(answer, "x_x"):
        assert effect.overall.low < 0 < effect.overall.high
        assert effect.ratio == 1


def test_pairing_takes_out_what_the_runs_of_a_seed_share(answer):
    """Runs of a cell differ by .004, those of a pair by .001 and a little of their questions."""
    multi = next(part for part in answer.measured if (part.setting, part.measure) == ("multi", "map"))
    apart_K = np.zeros(len(multi.means.cells))
    apart_K[:2] = 1, -1
    unpaired = multi.means.variance(apart_K).runs ** 0.5
    found = next(effect for effect in paired(answer, MIXED) if effect.setting == "multi")
    assert max(estimate.error for estimate in found.sizes.values()) < 0.6 * unpaired


def test_baselines_are_compared_with_every_ratio(answer):
    found = [effect for effect in paired(answer, ZERO_SHOT) if effect.setting == "multi"]
    assert [effect.ratio for effect in found] == list(RATIOS)
    assert found[1].overall.value == pytest.approx(0.2, abs=0.02)


def test_sentences_name_options_effect_and_interval(answer):
    text = " ".join(findings(answer))
    assert "This is about the runs with batching.monolingual_mixed=False" in text.replace("All of this", "This")
    effect = next(effect for effect in paired(answer, MIXED) if effect.setting == "multi").overall
    assert (
        "mlqa_r, multilingual, mAP, ratio 0.5: better. batching.monolingual_mixed=True in place of False differs from "
        f"the ratio axis by {effect.value:+.4f} (95 % interval {effect.low:+.4f} to {effect.high:+.4f}, "
        f"{effect.low_all:+.4f} to {effect.high_all:+.4f} with all others); mean of 3 sizes"
    ) in text
    assert "ratio 1: undecided. batching.monolingual_mixed=True in place of False" in text
    assert "better. An encoder trained at ratio 0.5 differs from the same before any training by" in text


def test_the_table_has_every_size_and_their_mean(answer):
    table = estimate_tables(answer)["paired"]
    own = table[(table.kind == MIXED) & (table.setting == "mono")]
    assert list(own.model) == ["small", "base", "large", "mean of sizes"]


def test_a_baseline_is_a_level_across_the_picture(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=RATIOS)
    for model in SIZES:
        write_variant(folder, model, 0.5, 0, -0.02, steps=0)
    sweep = read_sweep(folder)
    results, axes = results_table(sweep), grid_axes(sweep)
    grid = size_by_ratio(results, axes, "mlqa_r", "mono", "map")
    panel = ratio_lines([grid], axes).axes[0]
    levels = [line for line in panel.lines if line.get_linestyle() == ":" and list(line.get_xdata()) == [0, 1]]
    assert [line.get_ydata()[0] for line in levels] == pytest.approx(
        [grid.mean.loc[model, (ZERO_SHOT, 0.5)] for model in SIZES]
    )
    assert list(panel.get_xticks()) == list(RATIOS)


def test_a_far_off_baseline_does_not_flatten_the_lines(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=RATIOS)
    limits = []
    for _ in range(2):
        results, axes = results_table(read_sweep(folder)), grid_axes(read_sweep(folder))
        panel = ratio_lines([size_by_ratio(results, axes, "mlqa_r", "mono", "map")], axes).axes[0]
        limits.append(panel.get_ylim())
        content = json.loads((folder / "small_r0_s0" / "result.json").read_text())
        content["training"]["steps"] = 0
        content["benchmarks"]["mlqa_r"]["mono"]["map"] = -50.0
        content["run_name"] = "untrained"
        write_done(folder, content)
    assert limits[0] == limits[1]
    assert not any(line.get_linestyle() == ":" for line in panel.lines)


def test_a_control_without_a_partner_is_named(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=RATIOS)
    name = write_variant(folder, "small", 0.5, 7, 0.0, monolingual_mixed=True)
    assert "no run of its size, ratio and seed" in analyse(read_sweep(folder), QUICK).left_out[name]


def test_one_seed_of_a_control_says_that_it_is_about_these_runs(tmp_path):
    found = analyse(read_sweep(with_controls(tmp_path, seeds=1)), QUICK)
    assert not any(effect.overall.over_runs for effect in found.paired)
    sentences = [sentence for sentence in findings(found) if "in place of" in sentence]
    assert sentences
    assert all("no seed is repeated" in sentence for sentence in sentences)


def test_where_no_kind_is_the_most_frequent_the_reader_learns_what_to_declare(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=RATIOS)
    for model in SIZES:
        for ratio, seed, size in product(RATIOS, range(2), (32, 128)):
            write_variant(folder, model, ratio, seed, 0.0, batch_size=size)
    found = analyse(read_sweep(folder), QUICK)
    assert found.measured == ()
    assert "analysis.reference in sweep.json" in " ".join(findings(found))
