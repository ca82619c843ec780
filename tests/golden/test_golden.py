"""Numbers of the engine as they were when they were committed; `make golden` computes them anew."""

from itertools import product

import pytest

from tests.golden import work
from tests.golden.make import TOLERANCES, differences, read


@pytest.mark.parametrize(("case", "precision"), list(product(work.CASES, work.PRECISIONS)))
def test_twenty_steps_lose_what_they_lost(case, precision, tmp_path):
    golden = read("losses")[f"{case}/{precision}"]
    assert not differences(golden, work.curves(case, precision, tmp_path), TOLERANCES[precision])


def test_an_evaluation_gives_the_same_figures():
    assert not differences(read("evaluation"), work.evaluation(), TOLERANCES["evaluation"])


def test_a_report_has_the_same_tables(tmp_path):
    assert not differences(read("report"), work.report_tables(tmp_path), TOLERANCES["report"])


@pytest.mark.parametrize("change", ["model.temperature=0.0202", "model.pooling=cls", "loss.margin=0.0", "seed=1"])
def test_even_the_looser_tolerance_sees_a_small_change(change, tmp_path):
    """The margin masks some negatives too many."""
    found = work.curves("hybrid", "32-true", tmp_path, change)
    assert len(differences(read("losses")["hybrid/bf16-mixed"], found, TOLERANCES["bf16-mixed"])) > 10


def test_differences_are_named():
    golden = {"a": [1.0, 2.0], "b": None, "c": {"d": "x"}, "e": 0.0, "gone": 1}
    assert not differences(golden, golden, 0.0)
    found = {"a": [1.0, 2.1], "b": 0, "c": {"d": "y"}, "e": 1e-4, "came": 1}
    assert differences(golden, found, 0.01) == [
        "/gone: missing",
        "/came: new",
        "/a/1: 2.0 was golden, 2.1 now",
        "/b: None was golden, 0 now",
        "/c/d: x was golden, y now",
    ]
    assert differences([1], [1, 2], 1.0) == [": [1] was golden, [1, 2] now"]
