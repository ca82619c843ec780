import numpy as np
import pytest

from mixlingual.tracking.pictures import draw_language_map


@pytest.mark.parametrize("count", [2, 17])
def test_a_cell_without_a_score_is_white_and_others_are_coloured(count):
    """The corner cells of a map whose only gap is the upper right one; 17 languages are too many for numbers."""
    codes = [f"l{number}" for number in range(count)]
    map_LL = np.full((count, count), 0.5)
    map_LL[-1, 0] = 0.25
    blank = map_LL.copy()
    blank[0, -1] = np.nan
    full, gap = (np.asarray(draw_language_map("atlas", codes, grid).convert("RGB")) for grid in (map_LL, blank))
    changed = (full != gap).any(axis=2)
    assert changed.any()
    assert (gap[changed] == 255).mean() > 0.9
