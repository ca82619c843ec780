"""Components of variance with a known truth, and against the mean squares written out."""

import numpy as np
import pytest
from simulated import experiment

from mixlingual.analysis.statistics.gaps import NotPossibleError
from mixlingual.analysis.statistics.variance import components, crossed


def test_the_deviations_of_an_experiment_are_recovered():
    scores, cells = experiment(
        0, seeds=6, languages=4, questions=400, between_runs=0.05, between_questions=0.3, question_and_cell=0, rest=0.2
    )
    found = components(scores, cells)
    assert found.seed == pytest.approx(0.05, rel=0.25)
    assert found.question == pytest.approx(0.3, rel=0.1)
    assert found.rest == pytest.approx(0.2 / np.sqrt(4), rel=0.1)
    assert found.language < 0.02


def test_languages_that_differ_show():
    scores, cells = experiment(1, rest=0.01)
    shifted = type(scores)(**{**vars(scores), "sum_RCG": scores.sum_RCG + np.array([0.0, 0.1, 0.2], dtype=np.float32)})
    assert components(shifted, cells).language == pytest.approx(0.1, rel=0.05)


def test_two_rows_and_two_columns_by_hand():
    rows, columns, rest = crossed(np.array([[1.0, 2.0], [3.0, 6.0]]))
    # means of rows 1.5 and 4.5, of columns 2 and 4; what is left is half of 1 everywhere, one degree of freedom
    assert rest == pytest.approx(4 * 0.5**2)
    assert rows == pytest.approx(4.5 - rest / 2)
    assert columns == pytest.approx(2.0 - rest / 2)


def test_one_seed_has_no_components():
    with pytest.raises(NotPossibleError, match="no cell has two seeds"):
        components(*experiment(0, seeds=1))
