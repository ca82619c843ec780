"""Names sizes, numbers and the ratio axis in tables and pictures."""

from __future__ import annotations

import re

from mixlingual.analysis.tables.grid import Axes

LETTER = 0.065
"""Inches that a letter takes in pictures, on average."""

RATIO = "monolingual ratio α"
"""The ratio axis in pictures."""


def size_label(model: str, axes: Axes) -> str:
    """Gives the model's name with its weights without the embedding table, as in `base (85M)`."""
    weights = axes.sizes[model]
    return model if weights is None else f"{model} ({short_number(weights)})"


def label_width(axes: Axes) -> float:
    """Says how many inches pictures leave for the longest name of a size or series, at 8 points."""
    return LETTER * max(
        len(label) for label in (*(size_label(m, axes) for m in axes.sizes), *(p.series for p in axes.points))
    )


def file_name(name: str) -> str:
    """Makes a part of a file name: other characters than letters, digits, - and . become _."""
    return re.sub(r"[^\w.-]", "_", name)


def counted(number: int, noun: str) -> str:
    """Puts a number before its noun: 1 run, 2 runs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_number(number: float) -> str:
    """Writes three significant digits with a thousands letter: 21300000 is 21.3M."""
    for letter, scale in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if number >= 0.9995 * scale:
            return f"{number / scale:.3g}{letter}"
    return f"{number:g}"
