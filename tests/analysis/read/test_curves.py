import numpy as np
import pytest
from sweep_fixture import write_curve

from mixlingual.analysis.read.curves import thinned_curve


def test_a_long_curve_keeps_its_ends_and_evenly_spread_rows(tmp_path):
    write_curve(tmp_path, 100)
    curve = thinned_curve(tmp_path / "curves.csv", 10)
    assert curve.step.tolist() == [1, 12, 23, 34, 45, 56, 67, 78, 89, 100]
    np.testing.assert_allclose(curve.loss, 3 - 0.01 * curve.step)
    assert np.isnan(curve.loss_cross[curve.step % 2 == 1]).all()
    assert "gradient_norm" not in curve


def test_a_short_curve_stays_whole(tmp_path):
    write_curve(tmp_path, 4)
    assert thinned_curve(tmp_path / "curves.csv", 10).step.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "step,loss\n", b"\xff\xfe\x00"])
def test_without_a_readable_curve_there_are_no_rows(tmp_path, content):
    if content is not None:
        (tmp_path / "curves.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert len(thinned_curve(tmp_path / "curves.csv", 10)) == 0


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    (tmp_path / "curves.csv").write_text("step,loss\n10,3.5\n20,x\nnan,1\n")
    curve = thinned_curve(tmp_path / "curves.csv", 10)
    assert curve.step.tolist() == [10, 20]
    assert np.isnan(curve.loss.tolist()[1])
