"""Two sweeps side by side: what changed is what was made to change, and nothing else."""

import json
import shutil
from itertools import product

import pandas as pd
import pytest
from scored_sweep import LANGUAGES, queries, response, write_scored_sweep, write_scores
from sweep_fixture import SIZES, result

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.two_sweeps import compare_sweeps
from mixlingual.config.schema import AnalysisConfig
from mixlingual.records import MixlingualError
from mixlingual.reporting.two_sweeps import TABLE, write_comparison

CONFIG = AnalysisConfig(smallest_effect={"map": 0.02})
RATIOS = (0.0, 0.5, 1.0)


def changed(model, ratio, setting):
    """Another budget: all are better by .1, and the large size gains .05 less from monolingual batches."""
    less = 0.05 * ratio if model == "large" else 0.0
    return response(model, ratio, setting) + 0.1 - less


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    first = write_scored_sweep(tmp_path_factory.mktemp("a"), ratios=RATIOS)
    second = write_scored_sweep(tmp_path_factory.mktemp("b"), ratios=RATIOS, answer=changed)
    for path in second.glob("*/result.json"):
        content = json.loads(path.read_text())
        content["config"]["batching"]["batch_size"] = 128
        path.write_text(json.dumps(content))
    second = second.rename(second.with_name("longer"))
    return first, second


@pytest.fixture(scope="module")
def comparison(folders):
    return compare_sweeps(*map(read_sweep, folders), CONFIG)


def found(comparison, model, ratio, reference, setting="multi", measure="map"):
    (one,) = [
        each
        for each in comparison.changed
        if (each.models[0], each.ratio, each.reference, each.setting, each.measure)
        == (model, ratio, reference, setting, measure)
    ]
    return one


@pytest.mark.parametrize("setting", ["mono", "cross", "multi"])
def test_the_truth_lies_in_the_intervals(comparison, setting):
    for model, ratio in product(SIZES, RATIOS):
        truth = 0.1 - (0.05 * ratio if model == "large" else 0.0)
        score = found(comparison, model, ratio, None, setting).change
        assert score.low_all < truth < score.high_all
        assert score.over_runs
        if ratio:
            change = found(comparison, model, ratio, 0.0, setting).change
            assert change.low_all < truth - 0.1 < change.high_all
    assert found(comparison, "large", 1.0, 0.0, setting).change.verdict(0.02) == "worse"
    assert found(comparison, "base", 1.0, 0.0, setting).change.verdict(0.02) == "as good"


def test_the_values_are_those_of_the_means(comparison, folders):
    def mean(folder, model, ratio):
        tables = [pd.read_parquet(folder / f"{model}_r{ratio:g}_s{seed}/queries.parquet") for seed in range(3)]
        return sum(t[t.setting == "multi"].groupby("query_language").ap.mean().mean() for t in tables) / 3

    one = found(comparison, "base", 1.0, 0.0)
    sides = [mean(folder, "base", 1.0) - mean(folder, "base", 0.0) for folder in folders]
    assert [one.first.value, one.second.value] == pytest.approx(sides, abs=1e-6)
    assert one.change.value == pytest.approx(sides[1] - sides[0], abs=1e-6)


def test_questions_that_both_were_asked_are_paired_and_others_are_not(folders, tmp_path, comparison):
    """Difficulty is that of the question, so that pairing takes it out of a change of scores."""
    other = shutil.copytree(folders[1], tmp_path / "other")
    for path in other.glob("*/result.json"):
        content = json.loads(path.read_text())
        content["data"]["mlqa_r"] = "another"
        path.write_text(json.dumps(content))
    apart = compare_sweeps(read_sweep(folders[0]), read_sweep(other), CONFIG)
    paired, free = (found(each, "small", 0.5, None).change for each in (comparison, apart))
    assert paired.value == pytest.approx(free.value)
    assert free.error > 2 * paired.error
    assert apart.options["fingerprint of mlqa_r"] == ("feedfeedfeedfeed", "another")


def test_what_differs_is_named(comparison):
    assert comparison.options == {"batching.batch_size": ("64", "128")}
    assert comparison.sizes == (("small", "small"), ("base", "base"), ("large", "large"))


def renamed(folder, to, names):
    """The sweep with other sizes."""
    for model, ratio, seed in product(names, RATIOS, range(3)):
        content = result(model, ratio, seed, languages={"mlqa_r": list(LANGUAGES)})
        content["config"]["model"]["name"] = content["run_name"] = names[model]
        content["run_name"] = f"{names[model]}_r{ratio:g}_s{seed}"
        write_scores(to, content, queries(model, ratio, seed))


def test_sizes_of_other_names_go_by_their_place_where_both_have_as_many(folders, tmp_path):
    renamed(folders[0], tmp_path / "three", {"small": "tiny", "base": "mid", "large": "huge"})
    found = compare_sweeps(read_sweep(folders[0]), read_sweep(tmp_path / "three"), CONFIG)
    assert found.sizes == (("small", "tiny"), ("base", "mid"), ("large", "huge"))
    renamed(folders[0], tmp_path / "two", {"small": "tiny", "base": "mid"})
    with pytest.raises(MixlingualError, match=r"no size in common; .* small, base, large, .* tiny, mid"):
        compare_sweeps(read_sweep(folders[0]), read_sweep(tmp_path / "two"), CONFIG)


def test_sweeps_without_a_common_ratio_are_refused_by_name(folders, tmp_path):
    other = write_scored_sweep(tmp_path, ratios=(0.25,))
    with pytest.raises(MixlingualError, match="no benchmark was asked at one ratio in both"):
        compare_sweeps(read_sweep(folders[0]), read_sweep(other), CONFIG)


def test_the_page_says_what_changed(comparison, tmp_path):
    paths = write_comparison(comparison, CONFIG, tmp_path)
    assert paths.screen.replace("\n", " ").startswith(
        "mlqa_r: In the pool of all languages, ratio 1 against 0 changes mAP of large by"
    )
    assert "longer is worse by -.0" in paths.screen.replace("\n", " ")
    page = paths.page.read_text()
    assert "batching.batch_size" in page
    assert page.count("<caption>") == 2
    table = pd.read_csv(tmp_path / TABLE)
    assert len(table) == len(comparison.changed)
    assert (tmp_path / "two_sweeps.svg").exists()
    assert 'src="data:image/svg' in page


def test_one_common_ratio_compares_scores_alone(folders, tmp_path):
    other = write_scored_sweep(tmp_path, ratios=(0.5,))
    paths = write_comparison(compare_sweeps(*map(read_sweep, (folders[0], other)), CONFIG), CONFIG, tmp_path / "out")
    assert "at ratio 0.5 is" in paths.screen
    assert "<img" not in paths.page.read_text()


def test_while_runs_are_missing_there_is_no_verdict(folders, tmp_path):
    part = shutil.copytree(folders[1], tmp_path / "part")
    (part / "large_r1_s2/result.json").unlink()
    paths = write_comparison(compare_sweeps(*map(read_sweep, (folders[0], part)), CONFIG), CONFIG, tmp_path / "out")
    assert paths.screen.startswith("part: 1 of 27 runs is missing, so there is no verdict yet.")
    assert " so far." in paths.screen
    assert not any(
        word in paths.page.read_text().partition("<main>")[2].partition("Ranges hold")[0]
        for word in ("worse", "undecided")
    )


def test_names_are_shown_as_text(folders, tmp_path):
    strange = shutil.copytree(folders[1], tmp_path / "<b>x")
    paths = write_comparison(compare_sweeps(*map(read_sweep, (folders[0], strange)), CONFIG), CONFIG, tmp_path / "out")
    assert "<b>x" not in paths.page.read_text()
