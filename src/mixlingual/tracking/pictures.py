"""The picture of one run's scores by language of the question and of the candidates.

Shape suffixes: L languages of the benchmark.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import PIL.Image
from matplotlib.figure import Figure
from numpy.typing import NDArray

_MOST_NUMBERED = 16
"""Languages up to which the cells hold their values."""
_DARK = 0.42
"""Share of viridis at which white and black letters have equal contrast."""


def draw_language_map(benchmark: str, languages: Sequence[str], map_LL: NDArray[np.float64]) -> PIL.Image.Image:
    """MAP x 100: questions in rows, candidates in columns, monolingual retrieval on the diagonal.

    Args:
        benchmark: its name, for the title.
        languages: of rows and columns.
        map_LL: mAP from 0 to 1, at least one finite; NaN where nothing was measured, left blank.
    """
    side = 1.6 + 0.36 * len(languages)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(100 * map_LL, cmap="viridis")
    panel.set_xticks(range(len(languages)), languages, rotation=90)
    panel.set_yticks(range(len(languages)), languages)
    panel.set(title=f"mAP × 100 on {benchmark}", xlabel="language of the candidates", ylabel="language of the question")
    figure.colorbar(image, shrink=0.7)
    low, high = 100 * np.nanmin(map_LL), 100 * np.nanmax(map_LL)
    if len(languages) <= _MOST_NUMBERED:
        for row, column in np.argwhere(np.isfinite(map_LL)):
            value = 100 * float(map_LL[row, column])
            ink = "white" if value < low + _DARK * (high - low) else "black"
            panel.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=7)
    png = io.BytesIO()
    figure.savefig(png, dpi=150)
    return PIL.Image.open(png)
