import math

import pytest
from sweep_fixture import result

from mixlingual.analysis.read.points import differing_options, grid_point, is_number, tell_apart
from mixlingual.records import RunResult


def told_apart(*contents, declared=None):
    return [point.series for point in places(*contents, declared=declared).points]


def places(*contents, declared=None):
    runs = []
    for content in contents:
        config = content["config"]
        batching = config["batching"]
        point = grid_point(config["model"]["name"], batching["name"], batching["monolingual_ratio"], config["seed"])
        runs.append((point, RunResult(**content)))
    return tell_apart(runs, declared)


def test_the_three_presets_of_the_ratio_axis_share_a_series():
    presets = (("x_y", 0.0), ("hybrid", 0.5), ("x_x_mono", 1.0), ("x_x", 1.0), ("en_en", 1.0))
    found = [grid_point("m", name, ratio, 0).series for name, ratio in presets]
    assert found == ["hybrid", "hybrid", "hybrid", "x_x", "en_en"]


@pytest.mark.parametrize(
    "point", [(None, "hybrid", 0, 0), ("m", 3, 0, 0), ("m", "hybrid", "0", 0), ("m", "hybrid", 0, None)]
)
def test_a_point_needs_values_of_the_right_type(point):
    with pytest.raises(ValueError, match="no grid point: model"):
        grid_point(*point)


def test_numbers():
    assert is_number(1)
    assert is_number(0.5)
    assert not any(map(is_number, (True, "1", None, math.nan, math.inf)))


def test_runs_that_differ_only_in_axes_and_in_how_they_ran_share_a_series():
    other = result("base", 0.5, 1, batching="x_y")
    other["config"] |= {"run_name": "b", "tracking": {"mode": "wandb"}, "data": {"name": "atlas", "root": "elsewhere"}}
    other["config"]["evaluation"] = {"benchmarks": [], "batch_tokens": 64}
    assert told_apart(result("base", 0.0, 0), other) == ["hybrid", "hybrid"]


def test_a_varied_option_becomes_part_of_the_series():
    wide, narrow = result("base", 0.5, 0), result("base", 0.5, 0)
    wide["config"]["batching"]["batch_size"] = 128
    narrow["config"]["batching"]["batch_size"] = 32
    assert told_apart(narrow, wide) == [
        "hybrid, batching.batch_size=32",
        "hybrid, batching.batch_size=128",
    ], "one run of each, and none at the default: neither is the ratio axis"
    assert told_apart(wide, result("base", 0.5, 0)) == ["hybrid, batching.batch_size=128", "hybrid"]
    x_x = result("small", 1.0, 0, batching="x_x")
    found = places(result("base", 0.5, 0), wide, result("small", 0.5, 0), x_x)
    assert [point.series for point in found.points] == ["hybrid", "hybrid, batching.batch_size=128", "hybrid", "x_x"]
    assert found.reference == {"base": {"batching.batch_size": "64"}, "small": {"batching.batch_size": "64"}}


def varied(ratio, seed, model="base", **batching):
    content = result(model, ratio, seed)
    content["config"]["batching"] |= batching
    return content


def test_the_ratio_axis_is_what_most_runs_of_a_size_have():
    grid = [varied(ratio, seed) for ratio in (0.0, 0.5, 1.0) for seed in (0, 1)]
    controls = [varied(0.5, 0, draw="stratified", batch_size=64), varied(0.5, 0, draw="bernoulli", batch_size=32)]
    for content in grid:
        content["config"]["batching"]["draw"] = "bernoulli"
    assert told_apart(*controls, *grid) == [
        "hybrid, batching.draw=stratified",
        "hybrid, batching.batch_size=32",
        *["hybrid"] * 6,
    ]


def test_the_declared_value_is_the_ratio_axis_though_fewer_runs_have_it():
    runs = [varied(0.5, seed, batch_size=size) for size, seeds in ((32, 1), (64, 2)) for seed in range(seeds)]
    assert told_apart(*runs, declared={"batching.batch_size": "32"}) == [
        "hybrid",
        *["hybrid, batching.batch_size=64"] * 2,
    ]


def test_sizes_may_have_references_of_their_own():
    """As in a slice of equal cost, where small trains longer: what most runs of a size have is its own."""
    runs = [varied(0.5, seed, "small", batch_size=128) for seed in range(2)] + [varied(0.5, 0, "small")]
    runs += [varied(0.5, seed, "base") for seed in range(2)]
    found = places(*runs)
    assert [point.series for point in found.points] == ["hybrid"] * 2 + ["hybrid, batching.batch_size=64"] + [
        "hybrid"
    ] * 2
    assert found.reference["small"] == {"batching.batch_size": "128"}


def test_options_that_differ_between_two_runs():
    first, second = (RunResult(**varied(0.5, 0, batch_size=size)) for size in (64, 32))
    assert differing_options(first, second) == {"batching.batch_size": ("64", "32")}
    assert differing_options(first, first) == {}


def test_options_may_differ_between_sizes():
    tuned = result("large", 0.5, 0)
    tuned["config"]["model"]["pooling"] = "cls"
    assert told_apart(result("base", 0.5, 0), tuned) == ["hybrid", "hybrid"]


def test_an_option_that_another_version_lacks_is_not_compared():
    newer = result("base", 0.5, 0)
    newer["config"]["batching"]["new"] = True
    assert told_apart(result("base", 0.5, 1), newer) == ["hybrid", "hybrid"]


def test_runs_on_other_data_are_not_averaged():
    other = result("base", 0.5, 1)
    other["data"]["mlqa_r"] = "0000"
    assert told_apart(result("base", 0.5, 0), other) == [
        "hybrid, fingerprint of mlqa_r=feedfeedfeedfeed",
        "hybrid, fingerprint of mlqa_r=0000",
    ]
